//! `flowc test`: runs the `test` blocks of programs.

use crate::cli::{Format, Test, TestFormat};
use crate::commands::checked;
use crate::console::{Console, paint};
use crate::exit::{Exit, Failure};
use crate::lock;
use crate::payload::write_atomically;
use crate::report;
use crate::suite::coverage::{self, Coverage};
use crate::suite::filter;
use crate::suite::junit::{self, Suite};
use crate::suite::record::{self, Request};
use crate::suite::{self, Outcome, show};
use crate::world::{Program, describe};
use flowc_core::pipeline::CheckOutcome;
use flowc_runtime::{Clock, SystemClock};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;

/// A program with what became of its tests.
struct Tested {
    path: String,
    outcome: CheckOutcome,
    /// How checking ended.
    exit: Exit,
    results: Vec<Outcome>,
    /// Tests that the filter left out.
    left_out: usize,
    /// What they reached.
    coverage: Option<Coverage>,
}

/// Runs the tests of each program.
pub fn test(words: &Test, console: &Console) -> Result<Exit, Failure> {
    let programs = words.files.iter().map(|file| Program::open(file, &words.params.params));
    let programs = programs.collect::<Result<Vec<_>, _>>()?;
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let threads = threads.map_err(|e| Failure::world(format!("cannot start threads: {e}")))?;
    if let Some(subject) = &words.record {
        return record_one(subject, &programs, words, &threads, console);
    }
    let mut all = vec![];
    for program in &programs {
        all.push(one(program, words, &threads, console)?);
    }
    if let Some(filter) = &words.filter {
        takes_something(filter, &all)?;
    }
    let exit = all.iter().fold(Exit::Fine, |exit, tested| {
        let failed = tested.results.iter().any(|r| !r.passed());
        exit.worst(tested.exit).worst(if failed { Exit::Wrong } else { Exit::Fine })
    });
    match words.format {
        TestFormat::Text => console.out(&closing(&all, console.color_out)),
        TestFormat::Json => console.out_line(&format!("{:#}", document(&all))),
        TestFormat::Junit => console.out(&junit::document(&suites(&all))),
    }
    if let Some(path) = &words.junit {
        save(path, &junit::document(&suites(&all)))?;
    }
    Ok(exit)
}

/// A filter that takes no test is a mistake of the command line: what it was to run did not run. Of programs that are wrong the tests are not known.
fn takes_something(filter: &str, all: &[Tested]) -> Result<(), Failure> {
    if all.iter().any(|tested| tested.exit != Exit::Fine || !tested.results.is_empty()) {
        return Ok(());
    }
    let tests = all.iter().filter_map(|tested| tested.outcome.checked.as_ref()).flat_map(|checked| &checked.tests);
    Err(filter::none_taken(filter, &tests.map(|test| test.name.as_str()).collect::<Vec<_>>()))
}

/// Writes a test from real rows.
fn record_one(
    subject: &str,
    programs: &[Program],
    words: &Test,
    threads: &tokio::runtime::Runtime,
    console: &Console,
) -> Result<Exit, Failure> {
    let [program] = programs else {
        return Err(Failure::usage("a test is recorded for one program").help("name one file with --record"));
    };
    let from = words.from.as_deref().map(record::version).transpose();
    let from = from.map_err(|why| Failure::usage(format!("--from: {why}")))?;
    let outcome = match checked(program, Format::Text, console) {
        Ok(outcome) => outcome,
        Err(exit) => return Ok(exit),
    };
    let limit = words.limit as usize;
    let request = Request { subject: subject.to_string(), from, limit, now: SystemClock.now() };
    let test = record::record(program, &outcome, &request, threads)?;
    if !words.write {
        console.out(&test);
        return Ok(Exit::Fine);
    }
    let path = &words.files[0];
    let cannot = |e: &std::io::Error| Failure::world(format!("cannot write `{}`: {}", path.display(), describe(e)));
    let text = std::fs::read_to_string(path).map_err(|e| cannot(&e))?;
    save(path, &format!("{}\n\n{test}", text.trim_end()))?;
    console.err_line(&format!("{}: a test was added", path.display()));
    Ok(Exit::Fine)
}

fn save(path: &Path, text: &str) -> Result<(), Failure> {
    write_atomically(path, |file| file.write_all(text.as_bytes()))
        .map_err(|e| Failure::world(format!("cannot write `{}`: {}", path.display(), describe(&e))))
}

/// Checks a program and, if nothing is wrong with it or its tests, runs them.
fn one(
    program: &Program,
    words: &Test,
    threads: &tokio::runtime::Runtime,
    console: &Console,
) -> Result<Tested, Failure> {
    let outcome = if words.locked { lock::check_locked(program)? } else { program.check() };
    let exit = report::check_exit(&outcome);
    console.err(&report::diagnostics_text(&outcome.diagnostics, &outcome.sources, console.color_err));
    for bad in &outcome.bad_params {
        console.failure(&Failure::usage(format!("--param {}: {}", bad.name, bad.message)));
    }
    let mut tested = Tested { path: program.path.clone(), outcome, exit, results: vec![], left_out: 0, coverage: None };
    if exit != Exit::Fine {
        if let Some(tally) = report::tally(&tested.outcome.diagnostics) {
            console.err_line(&format!("{}: {tally}; no test was run", program.path));
        }
        return Ok(tested);
    }
    let Some(checked) = &tested.outcome.checked else { return Ok(tested) };
    let text = words.format == TestFormat::Text;
    let taken = |name: &str| filter::takes(words.filter.as_deref(), name);
    if text && words.files.len() > 1 && checked.tests.iter().any(|test| taken(&test.name)) {
        console.out_line(&program.path);
    }
    let mut coverage = words.coverage.then(Coverage::default);
    for test in &checked.tests {
        if !taken(&test.name) {
            tested.left_out += 1;
            continue;
        }
        let result = suite::run(checked, test, threads, coverage.as_mut())?;
        if text {
            console.out_line(&verdict(&result, console.color_out));
        }
        tested.results.push(result);
    }
    tested.coverage = coverage;
    Ok(tested)
}

fn verdict(result: &Outcome, color: bool) -> String {
    let word = if result.passed() { paint(color, "32", "ok    ") } else { paint(color, "1;31", "FAILED") };
    format!("{word}  {}", result.name)
}

/// The failures, one after the other, and how many of which there are.
fn closing(all: &[Tested], color: bool) -> String {
    let mut text = String::new();
    for tested in all {
        for result in tested.results.iter().filter(|r| !r.passed()) {
            text.push_str(&format!("\n{} \"{}\"\n\n", paint(color, "1;31", "FAILED"), result.name));
            for failure in &result.failures {
                text.push_str(&show::mismatch(failure, &tested.outcome.sources, color));
            }
        }
    }
    if text.is_empty() && all.iter().any(|t| !t.results.is_empty()) {
        text.push('\n');
    }
    for tested in all {
        if let (Some(coverage), Some(checked)) = (&tested.coverage, &tested.outcome.checked) {
            let sources = &tested.outcome.sources;
            text.push_str(&coverage::text(&coverage.points(checked, sources), sources));
            text.push('\n');
        }
    }
    text + &tally(all) + "\n"
}

fn tally(all: &[Tested]) -> String {
    let results = || all.iter().flat_map(|t| &t.results);
    let left_out: usize = all.iter().map(|t| t.left_out).sum();
    let passed = results().filter(|r| r.passed()).count();
    let failed = results().count() - passed;
    let mut parts = vec![];
    if passed + failed == 0 {
        parts.push(if left_out > 0 { "no test has such a name" } else { "no tests" }.to_string());
    } else {
        parts.push(format!("{passed} passed, {failed} failed"));
    }
    if left_out > 0 {
        parts.push(format!("{left_out} left out"));
    }
    let broken = all.iter().filter(|t| t.exit != Exit::Fine).count();
    match broken {
        0 => {}
        1 => parts.push("1 program with errors".to_string()),
        n => parts.push(format!("{n} programs with errors")),
    }
    parts.join(", ")
}

fn document(all: &[Tested]) -> Value {
    let diagnostics: Vec<Value> =
        all.iter().flat_map(|t| report::diagnostics_json(&t.outcome.diagnostics, &t.outcome.sources)).collect();
    let tests: Vec<Value> = all
        .iter()
        .flat_map(|t| t.results.iter().map(|result| show::outcome_json(result, &t.outcome.sources)))
        .collect();
    let passed = all.iter().flat_map(|t| &t.results).filter(|r| r.passed()).count();
    let coverage: Vec<Value> = all
        .iter()
        .filter_map(|t| Some((t, t.coverage.as_ref()?, t.outcome.checked.as_ref()?)))
        .flat_map(|(t, coverage, checked)| {
            coverage::document(&coverage.points(checked, &t.outcome.sources), &t.outcome.sources)
        })
        .collect();
    let mut document = json!({
        "diagnostics": diagnostics,
        "passed": passed,
        "failed": tests.len() - passed,
        "left_out": all.iter().map(|t| t.left_out).sum::<usize>(),
        "tests": tests,
    });
    if all.iter().any(|t| t.coverage.is_some()) {
        document["coverage"] = Value::Array(coverage);
    }
    document
}

fn suites(all: &[Tested]) -> Vec<Suite<'_>> {
    let suite = |tested: &'_ Tested| {
        let wrong = || report::diagnostics_text(&tested.outcome.diagnostics, &tested.outcome.sources, false);
        (tested.exit != Exit::Fine).then(wrong)
    };
    all.iter()
        .map(|tested| Suite {
            name: &tested.path,
            sources: &tested.outcome.sources,
            outcomes: &tested.results,
            broken: suite(tested),
        })
        .collect()
}
