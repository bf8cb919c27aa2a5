//! `flowc run`: builds in memory and runs.

use crate::cli::{Format, RunFile, RunFlags};
use crate::commands::checked;
use crate::console::{Console, Results};
use crate::exit::{Exit, Failure};
use crate::lock;
use crate::progress::{self, Bars, JsonLines, Lines};
use crate::report;
use crate::world::{self, Program};
use flowc_core::pipeline::CheckOutcome;
use flowc_ir::plan::{Connector, Executable, Plan, SourceSpec, VersionSpec};
use flowc_runtime::connectors::console::Out;
use flowc_runtime::report::Unobserved;
use flowc_runtime::{Cancel, EpochLimits, Follow, Observer, RunError, RunOptions, RunSummary};
use serde_json::Value;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

/// Microseconds from one look at the sources to the next, when a run that follows them finds nothing new: a look costs little, and people wait for the result.
const POLL: i64 = 100_000;

/// What an epoch takes of each source where nothing else is said, and what was read can be closed: so much that commits cost little, so little that what is open fits
/// the memory.
const EPOCH_ROWS: u64 = 4_000_000;

/// Whether something waits for watermarks, and all sources can tell which files hold later rows.
fn closes_as_it_reads(plan: &Plan) -> bool {
    let delta = |source: &SourceSpec| matches!(source.connector, Connector::Delta { .. });
    plan.sources.iter().any(|source| source.arrival.is_some()) && plan.sources.iter().all(delta)
}

/// Runs the program of a file.
pub fn file(words: &RunFile, console: &Console) -> Result<Exit, Failure> {
    program(&Program::open(&words.file, &words.flags.params.params)?, &words.flags, console)
}

/// Runs a program.
pub fn program(program: &Program, flags: &RunFlags, console: &Console) -> Result<Exit, Failure> {
    let outcome = match checked(program, flags.format, console) {
        Ok(outcome) => outcome,
        Err(exit) => return Ok(exit),
    };
    let plan = world::plan(&outcome)?;
    let options = RunOptions { since: since(&plan, flags)?, ..options(program, &plan, flags) };
    let state = options.state_dir.clone();
    let baseline = lock::baseline(program, &state)?.filter(|_| !refreshes_all(flags));
    if let Some(Err(error)) = baseline.map(|lock| lock::gate(program, &outcome, &plan, &lock)) {
        return Ok(conclude(program, flags.format, (Err(error), None), &outcome, console));
    }
    let executable = world::executable(plan)?;
    let watch = watch(flags.format, console);
    let ended = run_until_signal(&executable, options, watch.observer(), watch.out(), None)?;
    watch.finish();
    if ended.0.is_ok() {
        lock::remember(program, &outcome, &state);
    }
    Ok(conclude(program, flags.format, ended, &outcome, console))
}

/// Runs a program that is known to be right, without a word unless something fails.
pub fn quietly(program: &Program, console: &Console) -> Result<Exit, Failure> {
    let outcome = match checked(program, Format::Text, console) {
        Ok(outcome) => outcome,
        Err(exit) => return Ok(exit),
    };
    let executable = world::executable(world::plan(&outcome)?)?;
    let options = RunOptions { program: program.file(), ..RunOptions::new(program.state()) };
    let (result, signal) =
        run_until_signal(&executable, options, Arc::new(Unobserved), Arc::new(Mutex::new(Results)), None)?;
    match (result, signal) {
        (_, Some(number)) => Ok(Exit::Signal(number)),
        (Ok(_), None) => Ok(Exit::Fine),
        (Err(error), None) => {
            console.err(&report::run_error_text(&error, &outcome.sources, console.color_err));
            Ok(report::run_exit(&error))
        }
    }
}

/// What watches the run: bars on a terminal, a line an epoch elsewhere, a document an epoch for programs.
pub(super) fn watch(format: Format, console: &Console) -> Watch {
    match format {
        Format::Json => Watch::Json(Arc::new(JsonLines(*console))),
        Format::Text if console.live => Watch::Bars(Arc::new(Bars::new(*console))),
        Format::Text => Watch::Lines(Arc::new(Lines(*console))),
    }
}

/// One of the ways to watch a run.
#[derive(Debug, Clone)]
pub(super) enum Watch {
    Bars(Arc<Bars>),
    Lines(Arc<Lines>),
    Json(Arc<JsonLines>),
}

impl Watch {
    pub(super) fn observer(&self) -> Arc<dyn Observer> {
        match self {
            Watch::Bars(bars) => bars.clone(),
            Watch::Lines(lines) => lines.clone(),
            Watch::Json(lines) => lines.clone(),
        }
    }

    /// Where the rows of `console()` go: standard output is for the documents where there are some.
    pub(super) fn out(&self) -> Out {
        match self {
            Watch::Bars(bars) => Arc::new(Mutex::new(bars.between())),
            Watch::Lines(_) => Arc::new(Mutex::new(Results)),
            Watch::Json(_) => Arc::new(Mutex::new(std::io::stderr())),
        }
    }

    pub(super) fn finish(&self) {
        if let Watch::Bars(bars) = self {
            bars.clear();
        }
    }
}

/// Whether all sinks are computed again, and not only those that are named.
fn refreshes_all(flags: &RunFlags) -> bool {
    flags.full_refresh.iter().any(String::is_empty)
}

/// The source that is read again, and from which version on.
fn since(plan: &Plan, flags: &RunFlags) -> Result<Option<(String, VersionSpec)>, Failure> {
    let Some([what, number]) = flags.since.as_deref() else { return Ok(None) };
    let usage = "--since takes `version N`, or `SOURCE=version N` where the program has several sources";
    let (named, word) = what.rsplit_once('=').map_or((None, what.as_str()), |(name, word)| (Some(name), word));
    let version: u64 = number.parse().ok().filter(|_| word == "version").ok_or_else(|| Failure::usage(usage))?;
    let delta = |source: &&SourceSpec| matches!(source.connector, Connector::Delta { .. });
    let mut sources: Vec<&SourceSpec> = plan.sources.iter().filter(delta).collect();
    let names: Vec<String> = sources.iter().map(|source| format!("`{}`", source.name)).collect();
    let known = || if names.is_empty() { "none that reads a Delta table".to_string() } else { names.join(", ") };
    let source = match named {
        Some(name) => sources.into_iter().find(|source| source.name == name),
        None if sources.len() == 1 => sources.pop(),
        None => None,
    };
    let Some(source) = source else {
        return Err(Failure::usage(format!("which source is read again? {usage}; the program has {}", known())));
    };
    Ok(Some((source.name.clone(), VersionSpec::Number(version))))
}

fn options(program: &Program, plan: &Plan, flags: &RunFlags) -> RunOptions {
    let mut options = RunOptions::new(flags.state.clone().unwrap_or_else(|| program.state()));
    options.workers = flags.workers.map_or(options.workers, usize::from);
    options.memory = flags.memory.and_then(|m| usize::try_from(m).ok()).unwrap_or(options.memory);
    options.full_refresh = refreshes_all(flags);
    options.refresh = flags.full_refresh.iter().filter(|sink| !sink.is_empty()).cloned().collect();
    options.partitions = flags.refresh_partition.clone();
    options.rebuild = flags.rebuild.clone();
    options.limits = EpochLimits { files: flags.epoch_files, bytes: flags.epoch_bytes, rows: flags.epoch_rows };
    if options.limits == EpochLimits::NONE && closes_as_it_reads(plan) {
        options.limits.rows = Some(EPOCH_ROWS);
    }
    options.drain = flags.drain;
    options.follow = flags.follow.then(|| Follow { poll: POLL, interval: flags.every.unwrap_or(0) });
    options.program = program.file();
    options
}

/// What a run came to, and the signal that ended it, if one did.
pub(super) type Ended = (Result<RunSummary, RunError>, Option<u8>);

/// Runs (or replays what this sink's table keeps) to the end, or until SIGINT or SIGTERM: the first one ends the epoch's work uncommitted, a second one ends the process on the spot.
pub(super) fn run_until_signal(
    executable: &Executable,
    options: RunOptions,
    observer: Arc<dyn Observer>,
    out: Out,
    replayed: Option<&str>,
) -> Result<Ended, Failure> {
    let workers = options.workers.max(2);
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build();
    let threads = threads.map_err(|e| Failure::world(format!("cannot start threads: {e}")))?;
    let signal = Arc::new(AtomicU8::new(0));
    let result = threads.block_on(async {
        tokio::spawn(cancel_on_signal(options.cancel.clone(), signal.clone()));
        match replayed {
            Some(sink) => flowc_runtime::replay(executable, world::connectors(out), options, observer, sink).await,
            None => flowc_runtime::run(executable, world::connectors(out), options, observer).await,
        }
    });
    threads.shutdown_background();
    let number = signal.load(Ordering::SeqCst);
    Ok((result, (number != 0).then_some(number)))
}

#[cfg(unix)]
async fn cancel_on_signal(cancel: Cancel, caught: Arc<AtomicU8>) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    loop {
        let number = tokio::select! {
            _ = interrupt.recv() => 2,
            _ = terminate.recv() => 15,
        };
        if caught.swap(number, Ordering::SeqCst) != 0 {
            std::process::exit(128 + i32::from(number));
        }
        cancel.cancel();
    }
}

#[cfg(not(unix))]
async fn cancel_on_signal(cancel: Cancel, caught: Arc<AtomicU8>) {
    if tokio::signal::ctrl_c().await.is_ok() {
        caught.store(2, Ordering::SeqCst);
        cancel.cancel();
    }
}

/// Tells what the run came to.
fn conclude(program: &Program, format: Format, ended: Ended, outcome: &CheckOutcome, console: &Console) -> Exit {
    let head = |summary: Option<&RunSummary>, _: &mut Value| {
        summary.map(|s| progress::verdict(&program.name, s)).unwrap_or_default()
    };
    conclude_with(program, format, ended, outcome, console, head)
}

/// Tells what a run came to; `head` gives the summary's first line, and may add to the document.
pub(super) fn conclude_with(
    program: &Program,
    format: Format,
    (result, signal): Ended,
    outcome: &CheckOutcome,
    console: &Console,
    head: impl Fn(Option<&RunSummary>, &mut Value) -> String,
) -> Exit {
    let sources = &outcome.sources;
    let error = result.as_ref().err().map(|e| report::run_error_json(e, sources));
    let mut document = progress::summary_json(result.as_ref().ok(), error);
    document["diagnostics"] = Value::Array(report::diagnostics_json(&outcome.diagnostics, sources));
    let head = head(result.as_ref().ok(), &mut document);
    if format == Format::Json {
        console.out_line(&document.to_string());
    }
    if let Some(number) = signal.filter(|_| !matches!(&result, Ok(summary) if !summary.cancelled)) {
        console.err_line(&format!("{}: stopped by a signal; the epoch's work was not committed", program.name));
        if let (Format::Text, Ok(summary)) = (format, &result)
            && summary.epochs > 0
        {
            console.err(&progress::verdict(&program.name, summary));
            console.err(&progress::summary_text(summary));
        }
        return Exit::Signal(number);
    }
    match result {
        Ok(summary) => {
            if format == Format::Text {
                console.err(&report::failures_text(&summary.expectations, sources, console.color_err));
                console.err(&head);
                console.err(&progress::summary_text(&summary));
            }
            Exit::Fine
        }
        Err(error) => {
            console.err(&report::run_error_text(&error, sources, console.color_err));
            report::run_exit(&error)
        }
    }
}
