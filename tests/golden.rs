//! Runs with one expected output and many executions: interpreter and machine code, batches of 1, 3 and 1024 rows, one and two workers, straight and
//! stopped and resumed. A case is a program;
//! its input files stand in comments: `#@ file in/a.json` and the lines behind `#|`. Its sinks write JSON to `out/SINK`, or Delta tables without deletion vectors.
//!
//! `#@ stream` says that windows and joins are in it: all that is open comes out at the end, the rows of a sink are compared in any order, and the case also runs
//! cut into an epoch for each file, and as a run for each file that arrives. `#@ stream, an epoch for each file`: it is always cut so, because the late rows depend on it.

use crate::docs::programs;
use crate::support::{self, root};
use flowc::world::{self, Program};
use flowc_ir::eval::Backend;
use flowc_ir::interpret::Interpreter;
use flowc_ir::plan::Plan;
use flowc_runtime::report::Unobserved;
use flowc_runtime::{Cancel, EpochLimits, Observer, Progress, RunOptions};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// The input files that the case's comments hold, in their order.
fn input_files(text: &str) -> Vec<(&str, String)> {
    let mut files: Vec<(&str, String)> = vec![];
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("#@ file ") {
            files.push((name.trim(), String::new()));
        } else if let Some(row) = line.strip_prefix("#|") {
            let (_, file) = files.last_mut().expect("`#|` stands below `#@ file`");
            file.push_str(row.strip_prefix(' ').unwrap_or(row));
            file.push('\n');
        }
    }
    files
}

/// Writes an input file.
fn lay_out(dir: &Path, name: &str, content: &str) {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

/// One way to run a case.
#[derive(Debug, Clone, Copy)]
struct Execution {
    machine_code: bool,
    batch_rows: usize,
    workers: usize,
    files_per_epoch: Option<u64>,
    /// Whether a first run is stopped at its first batch, so that the one that counts has to finish its epoch.
    stopped_before: bool,
    /// Whether the files arrive one after the other, with a run behind each.
    file_by_file: bool,
}

/// Stops a run at its first batch.
#[derive(Debug)]
struct Stopper(Cancel);

impl Observer for Stopper {
    fn progress(&self, _progress: &Progress) {
        self.0.cancel();
    }
}

fn executions() -> Vec<Execution> {
    let mut all = vec![];
    for machine_code in [false, true] {
        for batch_rows in [1, 3, 1024] {
            for workers in [1, 2] {
                all.push(Execution {
                    machine_code,
                    batch_rows,
                    workers,
                    files_per_epoch: None,
                    stopped_before: false,
                    file_by_file: false,
                });
            }
        }
        all.push(Execution { stopped_before: true, ..all[all.len() - 1] });
    }
    all.push(Execution { files_per_epoch: Some(1), stopped_before: false, ..all[all.len() - 1] });
    all
}

/// How a case with windows or joins of streams is run, too.
fn stream_executions() -> Vec<Execution> {
    let mut all = vec![];
    for (machine_code, batch_rows, workers) in [(false, 1, 2), (true, 3, 1)] {
        let cut = Execution {
            machine_code,
            batch_rows,
            workers,
            files_per_epoch: Some(1),
            stopped_before: false,
            file_by_file: false,
        };
        all.push(cut);
        all.push(Execution { stopped_before: true, ..cut });
        all.push(Execution { file_by_file: true, files_per_epoch: None, ..cut });
    }
    all
}

/// Runs a case and collects what its sinks wrote.
fn run(case: &Path, execution: Execution) -> String {
    let dir = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(case).unwrap();
    let (stream, cut) = (text.contains("#@ stream"), text.contains("#@ stream, an epoch for each file"));
    let files = input_files(&text);
    files.iter().for_each(|(name, content)| lay_out(dir.path(), name, content));
    std::fs::write(dir.path().join(case.file_name().unwrap()), &text).unwrap();
    let program = Program::open(&dir.path().join(case.file_name().unwrap()), &[]).unwrap();
    let outcome = program.check();
    let errors: Vec<_> = outcome.diagnostics.iter().filter(|d| d.is_error()).collect();
    assert!(errors.is_empty(), "{}: {errors:#?}", case.display());
    let plan: Plan = world::plan(&outcome).unwrap();
    let backend: Box<dyn Backend> =
        if execution.machine_code { Box::new(world::backend()) } else { Box::new(Interpreter) };
    let executable = world::compile(plan, &*backend).unwrap();
    let options = || RunOptions {
        workers: execution.workers,
        batch_rows: execution.batch_rows,
        durable: false,
        limits: EpochLimits { files: execution.files_per_epoch.or(cut.then_some(1)), ..EpochLimits::NONE },
        ..RunOptions::new(dir.path().join("state"))
    };
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let run = |options: RunOptions, observer: Arc<dyn Observer>| {
        let connectors = world::connectors(Arc::new(Mutex::new(std::io::sink())));
        threads.block_on(flowc_runtime::run(&executable, connectors, options, observer))
    };
    if execution.file_by_file {
        files.iter().for_each(|(name, _)| std::fs::remove_file(dir.path().join(name)).unwrap());
        for (name, content) in &files {
            lay_out(dir.path(), name, content);
            run(options(), Arc::new(Unobserved)).unwrap();
        }
    }
    if execution.stopped_before {
        let options = options();
        let stopper = Arc::new(Stopper(options.cancel.clone()));
        // It may have failed, too: then the next run fails in the same way.
        let _ = run(options, stopper);
    }
    let ended = run(RunOptions { drain: stream, ..options() }, Arc::new(Unobserved));
    let mut text = String::new();
    if let Err(error) = ended {
        text.push_str(&format!("stopped: {}\n", flowc::report::run_error_text(&error, &outcome.sources, false)));
        text = text.replace(&dir.path().display().to_string(), "");
    }
    text.push_str(&written(dir.path(), stream));
    text
}

/// What the sinks of a case wrote; the rows of each in order, where they come in any.
fn written(dir: &Path, in_order: bool) -> String {
    let mut text = String::new();
    let mut sinks: Vec<_> =
        std::fs::read_dir(dir.join("out")).map_or(vec![], |d| d.map(|e| e.unwrap().path()).collect());
    sinks.sort();
    for sink in sinks {
        text.push_str(&format!("== {}\n", sink.file_name().unwrap().to_string_lossy()));
        if sink.join("_delta_log").exists() {
            support::rows(&sink).iter().for_each(|row| text.push_str(&format!("{row}\n")));
            continue;
        }
        let mut files: Vec<_> = std::fs::read_dir(&sink).unwrap().map(|e| e.unwrap().path()).collect();
        files.retain(|f| !f.file_name().unwrap().to_string_lossy().starts_with(['.', '_']));
        files.sort();
        let rows: String = files.iter().map(|f| std::fs::read_to_string(f).unwrap()).collect();
        let mut rows: Vec<&str> = rows.lines().collect();
        if in_order {
            rows.sort_unstable();
        }
        rows.iter().for_each(|row| text.push_str(&format!("{row}\n")));
    }
    text
}

#[test]
fn every_execution_gives_the_expected_rows() {
    let cases = programs(&root().join("tests/golden/run"));
    assert!(cases.len() >= 8, "the cases were not found");
    let mut executed = 0;
    for case in &cases {
        let name = case.file_stem().unwrap().to_string_lossy().into_owned();
        let expected = run(case, executions()[0]);
        insta::with_settings!({ snapshot_path => root().join("tests/golden/run"), prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name.clone(), expected);
        });
        let text = std::fs::read_to_string(case).unwrap();
        let whole = text.contains("mode overwrite");
        let further = if text.contains("#@ stream") { stream_executions() } else { vec![] };
        for execution in executions().into_iter().skip(1).chain(further) {
            // A case that replaces its whole result at each epoch has one file more an epoch; the rows are compared by the other executions.
            if execution.files_per_epoch.is_some() && whole {
                continue;
            }
            assert_eq!(run(case, execution), expected, "{name}: {execution:?}");
            executed += 1;
        }
    }
    println!("{} cases, {executed} further executions", cases.len());
}
