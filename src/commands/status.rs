//! `flowc status`: how far a program has come, from its state directory alone: no table is opened, nothing is created, and a run may be going on.

use crate::cli::{Format, StatusFlags};
use crate::console::Console;
use crate::exit::{Exit, Failure};
use crate::progress::{ONLY_TIME, rule_lines, taken, wrote};
use crate::report;
use crate::world::Program;
use flowc_runtime::quality::ExpectationReport;
use flowc_runtime::state::{self, Checkpoint, EpochRecord, Seen};
use flowc_runtime::{EpochReport, Position, StepReport};
use indexmap::IndexMap;
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::Path;

/// Epochs that are shown to people; documents have all that the state keeps.
const SHOWN: usize = 8;

/// Shows the state of a program's runs.
pub fn program(program: &Program, flags: &StatusFlags, console: &Console) -> Result<Exit, Failure> {
    let root = flags.state.clone().unwrap_or_else(|| program.state());
    let seen = match state::look(&root, &program.name) {
        Ok(seen) => seen,
        Err(error) => {
            let nowhere = flowc_syntax::SourceMap::default();
            console.err(&report::run_error_text(&error, &nowhere, console.color_err));
            return Ok(report::run_exit(&error));
        }
    };
    match flags.format {
        Format::Json => console.out_line(&format!("{:#}", document(program, &root, seen.as_ref()))),
        Format::Text => console.out(&text(program, &root, seen.as_ref())),
    }
    Ok(Exit::Fine)
}

/// A position that some of the sinks have in a source.
struct At<'a> {
    position: &'a Position,
    sinks: Vec<&'a str>,
}

/// How far each source was read: sinks that stand at the same place together.
fn positions(checkpoint: &Checkpoint) -> IndexMap<&str, Vec<At<'_>>> {
    let mut found: IndexMap<&str, Vec<At<'_>>> = checkpoint.locations.keys().map(|n| (n.as_str(), vec![])).collect();
    for (sink, state) in &checkpoint.sinks {
        for (source, position) in &state.sources {
            let all = found.entry(source).or_default();
            match all.iter_mut().find(|at| same_place(at.position, position)) {
                Some(at) => at.sinks.push(sink),
                None => all.push(At { position, sinks: vec![sink] }),
            }
        }
    }
    found
}

/// Whether two positions are one, however their ranges began.
fn same_place(a: &Position, b: &Position) -> bool {
    let plain = |p: &Position| {
        let mut value = p.0.clone();
        if let Some(fields) = value.as_object_mut() {
            fields.shift_remove("begun");
            fields.shift_remove("snapshot");
        }
        value
    };
    plain(a) == plain(b)
}

/// A position in words: what each connector keeps is its own matter, but people want to read it.
fn place(position: &Position) -> String {
    let value = &position.0;
    match (value["version"].as_u64(), value["file"].as_u64(), &value["files"], value["row"].as_u64()) {
        (Some(version), None, ..) => format!("version {version}"),
        (Some(version), Some(files), ..) => format!("version {version}, {} of it", count(files as usize, "file")),
        (_, _, Value::Object(files), _) => count(files.len(), "file"),
        (_, _, Value::Array(files), _) => count(files.len(), "file"),
        (.., Some(row)) => format!("row {row}"),
        _ => value.to_string(),
    }
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

fn location(checkpoint: &Checkpoint, source: &str) -> Option<String> {
    checkpoint.locations.get(source)?.get("location")?.as_str().map(str::to_string)
}

fn reports(seen: &Seen) -> impl DoubleEndedIterator<Item = &EpochReport> {
    seen.epochs.iter().filter_map(|record| record.report.as_ref())
}

/// The epoch that was begun and is not done: a run works on it, or was stopped.
fn unfinished(seen: &Seen) -> Option<&EpochRecord> {
    let done = seen.checkpoint.as_ref().map_or(0, |c| c.done);
    seen.epochs.last().filter(|record| record.report.is_none() && record.epoch > done)
}

fn time(microseconds: i64) -> String {
    jiff::Timestamp::from_microsecond(microseconds - microseconds.rem_euclid(1_000_000))
        .map_or_else(|_| microseconds.to_string(), |t| t.to_string())
}

fn text(program: &Program, root: &Path, seen: Option<&Seen>) -> String {
    let Some(seen) = seen else {
        return format!("{}: has not run yet; its state will be in {}\n", program.name, root.display());
    };
    let done = seen.checkpoint.as_ref().map_or(0, |c| c.done);
    let mut text = match done {
        0 => format!("{}: no epoch is committed yet\n", program.name),
        n => format!("{}: epoch {n} is committed\n", program.name),
    };
    let _ = writeln!(text, "  state   {}", root.display());
    if let Some(checkpoint) = &seen.checkpoint {
        text.push_str(&sources_text(checkpoint));
        text.push_str(&sinks_text(checkpoint, seen));
        text.push_str(&crate::steps::lines(&steps(seen)));
        text.push_str(&expectations_text(&checkpoint.expectations));
    }
    if reports(seen).next().is_some() {
        text.push_str("  epochs\n");
    }
    for report in reports(seen).rev().take(SHOWN) {
        let _ = writeln!(text, "    {}", epoch_text(report));
    }
    if let Some(record) = unfinished(seen) {
        let ranges: Vec<String> = record.sources.iter().map(|(name, range)| format!("{name} {}", range.text)).collect();
        let _ = writeln!(
            text,
            "  epoch {} was begun {}: {}; a run works on it, or the next one will finish it",
            record.epoch,
            time(record.started),
            if ranges.is_empty() { "tables as a whole".to_string() } else { ranges.join(", ") }
        );
    }
    text
}

fn sources_text(checkpoint: &Checkpoint) -> String {
    let mut text = String::new();
    let positions = positions(checkpoint);
    let width = positions.keys().map(|name| name.chars().count()).max().unwrap_or(0);
    for (name, places) in &positions {
        let from = location(checkpoint, name).map(|l| format!("  {l}")).unwrap_or_default();
        for at in places {
            // Only where sinks stand at different places it matters which.
            let sinks = if places.len() > 1 { format!(" for {}", at.sinks.join(", ")) } else { String::new() };
            let _ = writeln!(text, "  source  {name:width$}  read to {}{sinks}{from}", place(at.position));
        }
    }
    text
}

fn sinks_text(checkpoint: &Checkpoint, seen: &Seen) -> String {
    let mut text = String::new();
    let width = checkpoint.sinks.keys().map(|name| name.chars().count()).max().unwrap_or(0);
    for (name, sink) in &checkpoint.sinks {
        let epoch = sink.epoch.map_or("no epoch yet".to_string(), |e| format!("epoch {e}"));
        let version = version(seen, name).map(|v| format!(", version {v}")).unwrap_or_default();
        let replace = if sink.replace { ", its next epoch replaces all" } else { "" };
        let _ = writeln!(text, "  sink    {name:width$}  {epoch}{version}{replace}");
    }
    text
}

/// What waits for event time, by the last epoch that tells of it; late rows of all epochs.
fn steps(seen: &Seen) -> Vec<StepReport> {
    let mut found: Vec<StepReport> = vec![];
    for step in reports(seen).flat_map(|report| &report.steps) {
        let step = StepReport { late: step.late_in_all, ..step.clone() };
        match found.iter_mut().find(|known| (&known.name, &known.kind) == (&step.name, &step.kind)) {
            Some(known) => *known = step,
            None => found.push(step),
        }
    }
    found
}

/// The version of a sink's table after its last epoch that is still known.
fn version(seen: &Seen, sink: &str) -> Option<u64> {
    reports(seen).rev().find_map(|r| r.sinks.iter().find(|s| s.name == sink)?.committed.version)
}

fn expectations_text(rules: &[ExpectationReport]) -> String {
    let mut flows: IndexMap<&str, Vec<&ExpectationReport>> = IndexMap::new();
    for rule in rules {
        flows.entry(&rule.flow).or_default().push(rule);
    }
    let block = |(flow, rules): (&str, Vec<_>)| format!("  expect  {flow}  over all epochs\n{}", rule_lines(&rules));
    flows.into_iter().map(block).collect()
}

fn epoch_text(report: &EpochReport) -> String {
    let mut read: Vec<String> = vec![];
    for source in &report.sources {
        let range = if source.range.is_empty() { String::new() } else { format!(" ({})", source.range) };
        read.push(format!("{} {}{range}", source.name, taken(source)));
    }
    read.extend(report.tables.iter().map(|(name, at)| format!("{name} {}", place(at))));
    if read.is_empty() {
        read.push(ONLY_TIME.to_string());
    }
    let wrote: Vec<String> = report.sinks.iter().map(|s| format!("{} {}", s.name, wrote(s))).collect();
    let resumed = if report.resumed { " (resumed)" } else { "" };
    let seconds = report.duration as f64 / 1e6;
    format!(
        "{}  {}  {seconds:.1} s{resumed}  {} -> {}",
        report.epoch,
        time(report.started),
        read.join("; "),
        wrote.join("; ")
    )
}

fn document(program: &Program, root: &Path, seen: Option<&Seen>) -> Value {
    let checkpoint = seen.and_then(|s| s.checkpoint.as_ref());
    let sources: Vec<Value> = checkpoint.iter().flat_map(|c| sources_json(c)).collect();
    let sinks = checkpoint.iter().flat_map(|c| &c.sinks).map(|(name, sink)| {
        json!({
            "name": name,
            "epoch": sink.epoch,
            "version": seen.and_then(|s| version(s, name)),
            "replace": sink.replace,
            "tables": sink.tables,
        })
    });
    let begun = seen.and_then(unfinished).map(|record| {
        let sources = record.sources.iter().map(|(name, range)| json!({ "name": name, "range": range.text }));
        json!({ "epoch": record.epoch, "started": record.started, "sources": sources.collect::<Vec<_>>() })
    });
    json!({
        "pipeline": program.name,
        "state": root.display().to_string(),
        "ran": seen.is_some(),
        "last_epoch": checkpoint.map_or(0, |c| c.done),
        "sources": sources,
        "sinks": sinks.collect::<Vec<_>>(),
        "steps": seen.map(steps).unwrap_or_default(),
        "expectations": checkpoint.map(|c| c.expectations.as_slice()).unwrap_or_default(),
        "epochs": seen.iter().flat_map(|s| reports(s)).collect::<Vec<_>>(),
        "unfinished": begun,
    })
}

fn sources_json(checkpoint: &Checkpoint) -> Vec<Value> {
    let one = |(name, places): (&str, Vec<At<'_>>)| {
        let places =
            places.iter().map(|at| json!({ "at": place(at.position), "position": at.position, "sinks": at.sinks }));
        json!({ "name": name, "location": location(checkpoint, name), "positions": places.collect::<Vec<_>>() })
    };
    positions(checkpoint).into_iter().map(one).collect()
}
