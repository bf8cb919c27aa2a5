//! `flowc plan`: what becomes of the state of the last run when the program of a file runs next. It only looks.

use crate::cli::{Format, PlanFile};
use crate::commands::checked;
use crate::console::Console;
use crate::exit::{Exit, Failure};
use crate::progress::group;
use crate::report;
use crate::world::{self, Program};
use flowc_ir::plan::{Plan, SourceSpec};
use flowc_runtime::EpochLimits;
use flowc_runtime::connectors::console::Out;
use flowc_runtime::state::{self, Checkpoint, Segments};
use flowc_runtime::upgrade::{Fate, StepFate, compare, sources_of};
use serde_json::json;
use std::sync::{Arc, Mutex};

/// Compares the program with the state of its last run.
pub fn file(words: &PlanFile, console: &Console) -> Result<Exit, Failure> {
    let program = Program::open(&words.file, &words.params.params)?;
    let outcome = match checked(&program, words.format, console) {
        Ok(outcome) => outcome,
        Err(exit) => return Ok(exit),
    };
    let plan = world::plan(&outcome)?;
    let root = words.state.clone().unwrap_or_else(|| program.state());
    let seen = state::look(&root, &program.name).map(|seen| seen.and_then(|seen| seen.checkpoint));
    let compared = seen.and_then(|checkpoint| {
        let fates = checkpoint.as_ref().map(|checkpoint| compare(&plan, checkpoint, &Segments::of(&root)));
        Ok((checkpoint, fates.transpose()?.unwrap_or_default()))
    });
    let (checkpoint, fates) = match compared {
        Ok(compared) => compared,
        Err(error) => {
            console.err(&report::run_error_text(&error, &outcome.sources, console.color_err));
            return Ok(report::run_exit(&error));
        }
    };
    let lost = fates.iter().filter(|fate| fate.loses());
    let rebuilt = lost.map(|fate| Ok((fate, rebuilt_from(&plan, fate)?))).collect::<Result<Vec<_>, Failure>>()?;
    match words.format {
        Format::Json => {
            let rebuild = rebuilt.iter().map(|(fate, sources)| json!({ "step": fate.step, "sinks": fate.sinks, "sources": sources.iter().map(|(name, reads)| json!({ "name": name, "reads": reads })).collect::<Vec<_>>() }));
            let document = json!({
                "pipeline": program.name,
                "last_epoch": checkpoint.as_ref().map_or(0, |c| c.done),
                "steps": fates,
                "sinks": sinks(&plan, checkpoint.as_ref()).into_iter().map(|(name, what)| json!({ "name": name, "plan": what })).collect::<Vec<_>>(),
                "stops": !rebuilt.is_empty(),
                "rebuild": rebuild.collect::<Vec<_>>(),
            });
            console.out_line(&format!("{document:#}"));
        }
        Format::Text => console.out(&text(&program.name, &plan, checkpoint.as_ref(), &fates, &rebuilt)),
    }
    Ok(if rebuilt.is_empty() { Exit::Fine } else { Exit::Wrong })
}

/// A source, and what would be read of it: `version 0..7, 12 files`.
type Reads = (String, String);

/// What the sinks behind a step would be computed again from.
fn rebuilt_from(plan: &Plan, fate: &StepFate) -> Result<Vec<Reads>, Failure> {
    let threads = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let threads = threads.map_err(|e| Failure::world(format!("cannot start threads: {e}")))?;
    let nowhere: Out = Arc::new(Mutex::new(std::io::sink()));
    let connectors = world::connectors(nowhere);
    let range = async |spec: &SourceSpec| connectors.source(spec).await?.next_range(None, EpochLimits::NONE).await;
    let reads = |spec: &SourceSpec| match threads.block_on(range(spec)) {
        Ok(Some(range)) => range.text,
        Ok(None) => "nothing: it has no rows yet".to_string(),
        Err(error) => format!("what it can no longer give: {}", error.message),
    };
    Ok(sources_of(plan, &fate.sinks).into_iter().map(|spec| (spec.name.clone(), reads(spec))).collect())
}

/// What becomes of each sink.
fn sinks(plan: &Plan, checkpoint: Option<&Checkpoint>) -> Vec<(String, &'static str)> {
    let known = |name: &str| checkpoint.and_then(|c| c.sinks.get(name)).filter(|sink| sink.epoch.is_some());
    let mut found: Vec<(String, &'static str)> = vec![];
    for spec in &plan.sinks {
        let what = match (known(&spec.name), spec.whole) {
            (None, _) => "new: filled from the beginning",
            (Some(_), true) => "computed whole, as before",
            (Some(_), false) => "goes on",
        };
        found.push((spec.name.clone(), what));
    }
    let gone =
        checkpoint.iter().flat_map(|c| c.sinks.keys()).filter(|name| plan.sinks.iter().all(|s| s.name != **name));
    found.extend(gone.map(|name| (name.clone(), "no longer in the program: its target stays as it is")));
    found
}

fn text(
    name: &str,
    plan: &Plan,
    checkpoint: Option<&Checkpoint>,
    fates: &[StepFate],
    rebuilt: &[(&StepFate, Vec<Reads>)],
) -> String {
    let Some(checkpoint) = checkpoint else { return format!("{name}: has not run yet; everything begins new\n") };
    let mut text = format!("{name}: compared with the state after epoch {}\n", checkpoint.done);
    let width = fates.iter().map(|fate| fate.step.chars().count()).max().unwrap_or(0);
    for fate in fates {
        text += &step(fate, checkpoint, width);
    }
    let sinks = sinks(plan, Some(checkpoint));
    let width = sinks.iter().map(|(sink, _)| sink.chars().count()).max().unwrap_or(0);
    for (sink, what) in sinks {
        text += &format!("  sink      {sink:width$}  {what}\n");
    }
    for (fate, sources) in rebuilt {
        let from: Vec<String> = sources.iter().map(|(source, reads)| format!("`{source}` ({reads})")).collect();
        let from = if from.is_empty() { "from the beginning".to_string() } else { format!("from {}", from.join("; ")) };
        let or = if fate.drains() { "; or run the program as it was once more, with --drain" } else { "" };
        text += &format!(
            "a run stops before it loses that: --rebuild \"{}\" computes `{}` again {from}{or}\n",
            fate.step,
            fate.sinks.join("`, `")
        );
    }
    text
}

/// A step's lines.
fn step(fate: &StepFate, checkpoint: &Checkpoint, width: usize) -> String {
    let count = match fate.remembered.entries {
        0 => fate.held(),
        entries => format!("{} {}", group(entries), fate.remembered.unit),
    };
    let (word, what) = match fate.fate {
        Fate::Kept => ("kept", count),
        Fate::Migrated => ("migrated", format!("{count}: {}", fate.changes.join(", "))),
        Fate::New => ("new", format!("begins with what is read from epoch {} on", checkpoint.done + 1)),
        Fate::Changed if !fate.loses() => ("changed", "another form of it begins; nothing was open".to_string()),
        Fate::Dropped if !fate.loses() => ("dropped", "nothing was open".to_string()),
        Fate::Changed => ("changed", format!("{count} cannot be used")),
        Fate::Dropped => ("dropped", format!("{count} would be lost")),
    };
    let mut text = format!("  {word:8}  {:width$}  {what}\n", fate.step);
    if fate.fate == Fate::Changed {
        text += &fate.why.as_ref().map_or(String::new(), |why| format!("            {why}\n"));
        if let (Some(before), Some(now)) = (&fate.before, &fate.now) {
            text += &format!("            was {before}\n            is  {now}\n");
        }
    }
    text
}
