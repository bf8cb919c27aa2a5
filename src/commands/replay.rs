//! `flowc replay`: rows that a table keeps because a flow rejected them go through the (mended) program again. Finds the program, has it compiled for a
//! replay, runs it, and says what became of the rows.

use crate::cli::{Format, Replay as Words};
use crate::commands::checked;
use crate::commands::run::{conclude_with, run_until_signal, watch};
use crate::console::Console;
use crate::exit::{Exit, Failure};
use crate::progress::{self, group};
use crate::report;
use crate::world::{self, Program};
use flowc_core::pipeline::CheckOutcome;
use flowc_core::replay::{Reason, Refusal, Replay, Unfit, rejects_sink};
use flowc_delta::{Storage, show};
use flowc_runtime::{RunError, RunOptions, RunSummary};
use serde_json::{Value, json};
use std::path::{Component, Path, PathBuf};

/// The program that wrote the table is not known, or not there.
const NO_PROGRAM: &str = "R0621";
/// The program does not write the rejected rows of a flow to the table.
const NO_REJECTS: &str = "R0622";
/// The table holds something that is computed from rejected rows.
const DERIVED: &str = "R0623";
/// The table cannot give the flow its columns.
const COLUMNS: &str = "R0624";
/// Sinks cannot take the rows.
const SINKS: &str = "R0625";
/// A row cannot enter the flow.
const UNFIT: &str = "R0626";

/// The codes of the errors that only replays stop with, with their titles; each has a page.
pub const CODES: &[(&str, &str)] = &[
    (NO_PROGRAM, "the program of a table is not known"),
    (NO_REJECTS, "the table does not hold what a flow rejected"),
    (DERIVED, "the table holds what was computed from rejected rows"),
    (COLUMNS, "rejected rows do not have the columns that the flow needs"),
    (SINKS, "the sinks cannot take replayed rows"),
    (UNFIT, "a rejected row cannot enter the flow"),
];

/// Versions in which the program is looked for, the newest first.
const HISTORY: usize = 200;

/// Replays the rows that a table keeps.
pub fn replay(words: &Words, console: &Console) -> Result<Exit, Failure> {
    let place = match Place::find(words) {
        Ok(place) => place,
        Err(Stop::Failure(failure)) => return Err(failure),
        Err(Stop::Error(error)) => return Ok(stopped(words, &error, None, console)),
    };
    let program = match place.program(words) {
        Ok(program) => program?,
        Err(error) => return Ok(stopped(words, &error, None, console)),
    };
    let outcome = match checked(&program, words.format, console) {
        Ok(outcome) => outcome,
        Err(exit) => return Ok(exit),
    };
    let planned = outcome.undecided.as_ref().ok_or_else(|| Failure::world("there is no checked program"))?;
    let made = rejects_sink(planned, &|location| place.is(location)).and_then(|sink| Replay::of(planned, sink));
    let made = made.and_then(|replay| Ok((replay.plan()?, replay)));
    let (plan, replay) = match made {
        Ok(made) => made,
        Err(refusal) => return Ok(stopped(words, &refused(refusal), Some(&outcome), console)),
    };
    for left in &replay.left_out {
        console.err_line(&format!("sink {} gets nothing of the replay: {}", left.sink, left.why));
    }
    let executable = world::executable(plan)?;
    let watch = watch(words.format, console);
    let ended = run_until_signal(
        &executable,
        options(words, &program, &outcome, &replay.sink),
        watch.observer(),
        watch.out(),
        Some(&replay.sink),
    )?;
    watch.finish();
    let ended = (ended.0.map_err(|error| explained(error, &replay)), ended.1);
    let conclude = |summary: Option<&RunSummary>, document: &mut Value| told(words, &replay, summary, document);
    Ok(conclude_with(&program, words.format, ended, &outcome, console, conclude))
}

/// Why there is nothing to go on with.
enum Stop {
    Failure(Failure),
    Error(RunError),
}

/// The table.
struct Place {
    /// As an absolute path or a URL.
    location: String,
    /// The program's file, as a commit of the table says it.
    program: Option<String>,
}

impl Place {
    fn find(words: &Words) -> Result<Place, Stop> {
        let location = super::show::location(&words.table).map_err(Stop::Failure)?;
        let threads = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let threads = threads.map_err(|e| Stop::Failure(Failure::world(format!("cannot start threads: {e}"))))?;
        let history = threads.block_on(async {
            let storage = Storage::open(&location).map_err(|e| e.reading(&words.table))?;
            show::history(&storage, HISTORY).await
        });
        let history = history.map_err(|error| Stop::Error(RunError { origin: None, ..error }))?;
        let program = history.iter().find_map(|entry| entry.parameters.get("program")).cloned();
        Ok(Place { location, program })
    }

    /// Whether a location of the program is this table.
    fn is(&self, location: &str) -> bool {
        let plain = |text: &str| match std::fs::canonicalize(text.strip_prefix("file://").unwrap_or(text)) {
            Ok(path) => path.to_string_lossy().into_owned(),
            Err(_) => text.trim_end_matches('/').to_string(),
        };
        plain(&self.location) == plain(location)
    }

    /// The program: the one given, or the one that wrote the table.
    fn program(&self, words: &Words) -> Result<Result<Program, Failure>, RunError> {
        let file = match (&words.program, &self.program) {
            (Some(given), _) => given.clone(),
            (None, Some(written)) => {
                let file =
                    plain(&Path::new(self.location.strip_prefix("file://").unwrap_or(&self.location)).join(written));
                if !file.exists() {
                    let message =
                        format!("the program that wrote the table was `{}`, and is not there", file.display());
                    return Err(RunError::data(NO_PROGRAM, message).help("say where it is now: --program FILE"));
                }
                nearer(file)
            }
            (None, None) => {
                let message = format!("none of the table's last {HISTORY} versions says which program wrote it");
                return Err(RunError::data(NO_PROGRAM, message).help("name the program: --program FILE"));
            }
        };
        Ok(Program::open(&file, &words.params.params))
    }
}

/// The path without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            part => plain.push(part),
        }
    }
    plain
}

/// The path as one would write it here.
fn nearer(file: PathBuf) -> PathBuf {
    let here = std::env::current_dir().ok();
    here.and_then(|here| file.strip_prefix(here).map(Path::to_path_buf).ok()).unwrap_or(file)
}

fn options(words: &Words, program: &Program, outcome: &CheckOutcome, sink: &str) -> RunOptions {
    let state = words.state.clone().unwrap_or_else(|| program.state());
    let mut options = RunOptions::new(state.join("replay").join(folder(sink)));
    options.workers = words.workers.map_or(options.workers, usize::from);
    options.memory = words.memory.and_then(|m| usize::try_from(m).ok()).unwrap_or(options.memory);
    options.program = program.file();
    options.fingerprint = Some(fingerprint(program, outcome));
    options
}

/// A sink's name as the name of a directory.
fn folder(sink: &str) -> String {
    let sign = |c: char| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' => c.to_string(),
        other => format!("%{:x}.", u32::from(other)),
    };
    sink.chars().map(sign).collect()
}

/// What tells the program's meaning from that of others: its trees and its parameters, without layout and comments.
fn fingerprint(program: &Program, outcome: &CheckOutcome) -> String {
    let trees = outcome.sources.files().map(|(id, file)| flowc_syntax::print(&flowc_syntax::parse(id, &file.text).0));
    let params = program.params.iter().map(|(name, value)| format!("{name}={value}\n"));
    let text: String = trees.chain(params).collect();
    format!("{:016x}", xxhash_rust::xxh64::xxh64(text.as_bytes(), 0))
}

fn refused(refusal: Refusal) -> RunError {
    let code = match refusal.reason {
        Reason::NoRejects => NO_REJECTS,
        Reason::Derived => DERIVED,
        Reason::Columns => COLUMNS,
        Reason::Sinks => SINKS,
    };
    let error = RunError::data(code, refusal.message).help(refusal.help);
    match refusal.origin {
        Some(origin) => error.at(origin),
        None => error,
    }
}

/// A row that fails as it enters says more than that.
fn explained(error: RunError, replay: &Replay) -> RunError {
    let (message, help) = match replay.unfit(error.origin, &error.message) {
        None => return error,
        Some(Unfit::Unnamed) => (
            format!("`_failed` names no rule of `{}`: at which `expect` the row left it cannot be told", replay.flow),
            "call one of the rules as it was called when the row failed it, or delete the row; nothing was written",
        ),
        Some(Unfit::Null(column)) => (
            format!("`{column}` is null, which it never is where the row would enter `{}`", replay.flow),
            "give it a value in the table, or delete the row; nothing was written",
        ),
    };
    RunError { code: UNFIT, message, help: Some(help.to_string()), ..error }
}

/// Tells why nothing was replayed.
fn stopped(words: &Words, error: &RunError, outcome: Option<&CheckOutcome>, console: &Console) -> Exit {
    let nowhere = flowc_syntax::SourceMap::default();
    let sources = outcome.map_or(&nowhere, |o| &o.sources);
    if words.format == Format::Json {
        let document = progress::summary_json(None, Some(report::run_error_json(error, sources)));
        console.out_line(&document.to_string());
    }
    console.err(&report::run_error_text(error, sources, console.color_err));
    report::run_exit(error)
}

/// What became of the rows: a line for people, and an object in the document.
fn told(words: &Words, replay: &Replay, summary: Option<&RunSummary>, document: &mut Value) -> String {
    let left_out: Vec<Value> = replay.left_out.iter().map(|l| json!({ "sink": l.sink, "why": l.why })).collect();
    document["replay"] =
        json!({ "table": words.table, "sink": replay.sink, "flow": replay.flow, "left_out": left_out });
    let Some(summary) = summary else { return String::new() };
    let Some(rows) = summary.sources.first().map(|s| s.rows).filter(|_| summary.epochs > 0) else {
        document["replay"]["replayed"] = 0.into();
        return format!("{}: no rows to replay\n", words.table);
    };
    let rejected = summary.sinks.iter().find(|s| s.name == replay.sink).map(|s| &s.committed);
    let finished = rejected.is_some_and(|c| c.already);
    let rejected = rejected.map_or(0, |c| c.rows);
    let dropped: u64 = summary.expects.iter().filter(|f| f.flow == replay.flow).map(|f| f.dropped).sum();
    let passed = rows.saturating_sub(rejected + dropped);
    document["replay"]["number"] = summary.last_epoch.into();
    let what = format!("replay {} of {}", summary.last_epoch, replay.sink);
    if finished {
        return format!("{what}: was complete already\n");
    }
    for (name, count) in [("replayed", rows), ("passed", passed), ("rejected", rejected), ("dropped", dropped)] {
        document["replay"][name] = count.into();
    }
    let dropped = if dropped > 0 { format!(" + {} dropped", group(dropped)) } else { String::new() };
    format!(
        "{what}: {} = {} passed + {} rejected again{dropped}\n",
        progress::rows(rows),
        group(passed),
        group(rejected)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_page() {
        let pages = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/errors");
        for (code, title) in CODES {
            let page = std::fs::read_to_string(format!("{pages}/{code}.md")).unwrap_or_default();
            assert_eq!(page.lines().next(), Some(format!("# {code}: {title}").as_str()));
            assert!(page.contains("How to go on"), "{code}");
        }
    }

    #[test]
    fn sinks_have_directories_of_their_own() {
        assert_eq!(folder("rejects_2"), "rejects_2");
        assert_eq!(folder("../a b"), "%2e.%2e.%2f.a%20.b");
    }

    #[test]
    fn paths_lose_their_detours() {
        assert_eq!(plain(Path::new("/a/b/../c.flow")), PathBuf::from("/a/c.flow"));
    }
}
