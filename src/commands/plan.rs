//! `flowc plan`: what becomes of the state of the last run when the program of a file runs next. It only looks.

use crate::cli::{Format, PlanFile};
use crate::commands::checked;
use crate::console::Console;
use crate::exit::{Exit, Failure};
use crate::progress::group;
use crate::report;
use crate::world::{self, Program};
use flowc_ir::plan::Plan;
use flowc_runtime::state::{self, Checkpoint};
use flowc_runtime::upgrade::{Fate, StepFate, compare};
use serde_json::json;

/// Compares the program with the state of its last run.
pub fn file(words: &PlanFile, console: &Console) -> Result<Exit, Failure> {
    let program = Program::open(&words.file, &words.params.params)?;
    let outcome = match checked(&program, words.format, console) {
        Ok(outcome) => outcome,
        Err(exit) => return Ok(exit),
    };
    let plan = world::plan(&outcome)?;
    let root = words.state.clone().unwrap_or_else(|| program.state());
    let checkpoint = match state::look(&root, &program.name) {
        Ok(seen) => seen.and_then(|seen| seen.checkpoint),
        Err(error) => {
            console.err(&report::run_error_text(&error, &outcome.sources, console.color_err));
            return Ok(report::run_exit(&error));
        }
    };
    let fates = checkpoint.as_ref().map(|checkpoint| compare(&plan, checkpoint)).unwrap_or_default();
    match words.format {
        Format::Json => {
            let document = json!({
                "pipeline": program.name,
                "last_epoch": checkpoint.as_ref().map_or(0, |c| c.done),
                "steps": fates,
                "sinks": sinks(&plan, checkpoint.as_ref()).into_iter().map(|(name, what)| json!({ "name": name, "plan": what })).collect::<Vec<_>>(),
                "stops": fates.iter().any(StepFate::loses),
            });
            console.out_line(&format!("{document:#}"));
        }
        Format::Text => console.out(&text(&program.name, &plan, checkpoint.as_ref(), &fates)),
    }
    Ok(if fates.iter().any(StepFate::loses) { Exit::Wrong } else { Exit::Fine })
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

fn text(name: &str, plan: &Plan, checkpoint: Option<&Checkpoint>, fates: &[StepFate]) -> String {
    let Some(checkpoint) = checkpoint else { return format!("{name}: has not run yet; everything begins new\n") };
    let mut text = format!("{name}: compared with the state after epoch {}\n", checkpoint.done);
    let width = fates.iter().map(|fate| fate.step.chars().count()).max().unwrap_or(0);
    for fate in fates {
        let remembered = &fate.remembered;
        let what = match fate.fate {
            Fate::Kept => format!(
                "{}{} {}",
                if remembered.on_disk > 0 { "about " } else { "" },
                group(remembered.entries),
                remembered.unit
            ),
            Fate::New => format!("begins with what is read from epoch {} on", checkpoint.done + 1),
            Fate::Changed if !fate.loses() => "another form of it begins; nothing was open".to_string(),
            Fate::Dropped if !fate.loses() => "nothing was open".to_string(),
            Fate::Changed => format!("{} {} cannot be used", group(remembered.entries), remembered.unit),
            Fate::Dropped => format!("{} {} would be lost", group(remembered.entries), remembered.unit),
        };
        let word = match fate.fate {
            Fate::Kept => "kept",
            Fate::New => "new",
            Fate::Changed => "changed",
            Fate::Dropped => "dropped",
        };
        text += &format!("  {word:7}  {:width$}  {what}\n", fate.step);
        if let (Fate::Changed, Some(before), Some(now)) = (fate.fate, &fate.before, &fate.now) {
            text += &format!("           was {before}\n           is  {now}\n");
        }
    }
    let sinks = sinks(plan, Some(checkpoint));
    let width = sinks.iter().map(|(sink, _)| sink.chars().count()).max().unwrap_or(0);
    for (sink, what) in sinks {
        text += &format!("  sink     {sink:width$}  {what}\n");
    }
    for fate in fates.iter().filter(|fate| fate.loses()) {
        text += &format!(
            "a run stops before it loses that: --rebuild \"{}\" computes `{}` again from the beginning; or run the program as it was once more, with --drain\n",
            fate.step,
            fate.sinks.join("`, `")
        );
    }
    text
}
