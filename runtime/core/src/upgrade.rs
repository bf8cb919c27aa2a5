//! What becomes of the state of the last run when a program has changed: which steps go on with what they remember, be it in another layout, which begin with
//! nothing, and which would lose something. `flowc plan` and a run ask the same question here, so they cannot disagree. Knows nothing of how state is stored.

mod form;
mod migrate;
mod settle;
#[cfg(test)]
mod tests;

pub use form::{Call, Column, Form, LeftForm, StepKind, form};

use crate::error::RunError;
use crate::flow::operator_name;
use crate::jobs::{Inputs, inputs};
use crate::operators::fits;
use crate::operators::stateful::{Before, Remembered, Stored, other_shape};
use crate::state::{Checkpoint, OperatorState, Segments};
use flowc_ir::graph::{Graph, Node, Operator};
use flowc_ir::plan::{Plan, SinkSpec, SourceSpec};
pub(crate) use migrate::widened;
use migrate::{Migration, Unmoved, same_columns};
use serde::Serialize;
use settle::{Verdict, settle};
use std::collections::{BTreeMap, BTreeSet};

/// What becomes of what a step remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It goes on with it.
    Kept,
    /// It goes on with it, in another layout: columns more or less, wider types.
    Migrated,
    /// There is nothing for it: it begins with the rows that are read from now on.
    New,
    /// It was left by another form of the step, and cannot be used.
    Changed,
    /// The program no longer has the step, or the sink no longer depends on it.
    Dropped,
}

/// A step that remembers something, for a sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepFate {
    /// The step.
    pub step: String,
    /// The sinks for which it remembers it.
    pub sinks: Vec<String>,
    /// What becomes of it.
    pub fate: Fate,
    /// What is remembered.
    pub remembered: Remembered,
    /// The form of the step in the last run.
    pub before: Option<String>,
    /// Its form now.
    pub now: Option<String>,
    /// What is another layout in it, where it is migrated.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<String>,
    /// Why it cannot be used, where it has changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Whether it is the memory of a rule, which is lost when the rule gets another name, as its user wants.
    #[serde(skip)]
    rule: bool,
    /// Whether it keeps results right that have come out: none of it can come out first.
    #[serde(skip)]
    incremental: bool,
}

impl StepFate {
    /// What is open of it, in words: `12 groups`.
    pub fn held(&self) -> String {
        held(&self.remembered)
    }

    /// Whether what is open can come out first, with --drain.
    pub fn drains(&self) -> bool {
        !self.incremental
    }

    /// Whether a run would lose something.
    pub fn loses(&self) -> bool {
        match self.fate {
            Fate::Kept | Fate::Migrated | Fate::New => false,
            Fate::Changed => holds(&self.remembered),
            Fate::Dropped => self.before.is_some() && !self.rule && holds(&self.remembered),
        }
    }
}

/// What is open, in words.
fn held(remembered: &Remembered) -> String {
    match remembered.entries {
        0 if holds(remembered) => "rows that wait".to_string(),
        // Version 1 of the format did not say.
        0 if remembered.unit.is_empty() => "what it remembers".to_string(),
        // Of what is on disk, parts are counted when they are looked at.
        entries if remembered.on_disk > 0 => format!("about {entries} {}", remembered.unit),
        entries => format!("{entries} {}", remembered.unit),
    }
}

/// Whether anything is open: groups, keys or rows, or rows that wait beside the keys.
fn holds(remembered: &Remembered) -> bool {
    remembered.entries > 0 || remembered.first_end.is_some()
}

/// What can be done with a state.
enum Use {
    /// It is as the step would leave it.
    Same,
    /// It was left in another layout.
    Move { old: Form, moved: settle::Move },
    /// It was left under a form in words, or none, and the step can read it.
    Earlier,
    /// Nothing: why.
    Not(Option<String>),
}

/// What a step can do with a state. `segments` is read only where that depends on what is remembered.
fn usage(
    graph: &Graph,
    node: &Node,
    state: &OperatorState,
    segments: &Segments<'_>,
) -> Result<(Use, Option<Stored>), RunError> {
    let Some(now) = form(graph, node) else { return Ok((Use::Same, None)) };
    match &state.form {
        Some(LeftForm::Parts(left)) if *left == now => Ok((Use::Same, None)),
        Some(LeftForm::Parts(left)) => match settle(left, &now) {
            Verdict::Other(why) => Ok((Use::Not(Some(why)), None)),
            Verdict::Taken(moved) if !moved.loses_null => Ok((Use::Move { old: left.clone(), moved }, None)),
            Verdict::Taken(moved) => {
                let stored = segments.stored(state)?;
                match (Migration { graph, node, old: left, new: &now, moved: &moved }).run(&stored) {
                    Ok(_) => Ok((Use::Move { old: left.clone(), moved }, Some(stored))),
                    Err(Unmoved::Unfit(why)) => Ok((Use::Not(Some(why)), None)),
                    Err(Unmoved::Run(error)) => Err(error),
                }
            }
        },
        Some(LeftForm::Words(left)) if !form::earlier::agrees(left, graph, node) => Ok((Use::Not(None), None)),
        Some(LeftForm::Words(_)) | None => {
            let stored = segments.stored(state)?;
            let fits = match &node.operator {
                Operator::Unique(spec) => fits(spec, &graph.node(node.inputs[0]).schema, &stored),
                _ => same_columns(graph, node, &stored),
            };
            let why = || Use::Not(Some("what is remembered has other columns, or of other types".into()));
            Ok((if fits { Use::Earlier } else { why() }, Some(stored)))
        }
    }
}

/// What a step takes over of a state, to be read a segment at a time where it `spills`. None: nothing of it is of use, and nothing would be lost.
pub(crate) fn taken_over(
    plan: &Plan,
    name: &str,
    state: &OperatorState,
    segments: &Segments<'_>,
    spills: bool,
) -> Result<Option<Before>, RunError> {
    let graph = &plan.graph;
    let node = graph.nodes.iter().find(|node| operator_name(&node.operator).as_deref() == Some(name));
    // Nobody takes what the program has no step for.
    let Some(node) = node else { return Ok(Some(Before::Nothing)) };
    let (usage, read) = usage(graph, node, state, segments)?;
    let stored = |read: Option<Stored>| read.map_or_else(|| segments.stored(state), Ok);
    match usage {
        Use::Same | Use::Earlier if spills && read.is_none() => Ok(Some(Before::Unread(segments.unread(state)))),
        Use::Same | Use::Earlier => stored(read).map(Before::Stored).map(Some),
        Use::Move { old, moved } => {
            let Some(new) = form(graph, node) else { return stored(read).map(Before::Stored).map(Some) };
            match (Migration { graph, node, old: &old, new: &new, moved: &moved }).run(&stored(read)?) {
                Ok(stored) => Ok(Some(Before::Stored(stored))),
                Err(Unmoved::Unfit(_)) => Err(other_shape(name)),
                Err(Unmoved::Run(error)) => Err(error),
            }
        }
        Use::Not(_) if holds(&state.remembered) => Err(other_shape(name)),
        Use::Not(_) => Ok(None),
    }
}

/// What becomes of each step's state. `segments`: where it is; it is looked at only where the forms do not tell.
pub fn compare(plan: &Plan, checkpoint: &Checkpoint, segments: &Segments<'_>) -> Result<Vec<StepFate>, RunError> {
    let mut fates: BTreeMap<(String, Fate), StepFate> = BTreeMap::new();
    for (spec, inputs) in plan.sinks.iter().zip(inputs(plan)).filter(|(spec, _)| !spec.whole) {
        let Some(known) = checkpoint.sinks.get(&spec.name).filter(|known| known.epoch.is_some()) else { continue };
        let nodes = inputs.nodes.iter().map(|node| &plan.graph.nodes[*node]);
        let now: BTreeMap<String, &Node> =
            nodes.filter_map(|node| Some((operator_name(&node.operator)?, node))).collect();
        let steps: BTreeSet<&String> = now.keys().chain(known.operators.keys()).collect();
        for step in steps {
            let known = known.operators.get(step);
            let Some(fate) = fate(&plan.graph, step, now.get(step).copied(), known, segments)? else { continue };
            let entry = fates.entry((step.clone(), fate.fate)).or_insert(fate);
            entry.sinks.push(spec.name.clone());
        }
    }
    Ok(fates.into_values().collect())
}

fn fate(
    graph: &Graph,
    step: &str,
    now: Option<&Node>,
    known: Option<&OperatorState>,
    segments: &Segments<'_>,
) -> Result<Option<StepFate>, RunError> {
    let (mut changes, mut why) = (vec![], None);
    let fate = match (now, known) {
        (Some(node), Some(state)) => match usage(graph, node, state, segments)?.0 {
            Use::Same | Use::Earlier => Fate::Kept,
            Use::Move { moved, .. } if moved.changes.is_empty() => Fate::Kept,
            Use::Move { moved, .. } => {
                changes = moved.changes;
                Fate::Migrated
            }
            Use::Not(reason) => {
                why = reason;
                Fate::Changed
            }
        },
        (Some(_), None) => Fate::New,
        (None, Some(_)) => Fate::Dropped,
        (None, None) => return Ok(None),
    };
    // A watermark that is no longer there holds nothing.
    let watermark = |node: &Node| matches!(node.operator, Operator::Watermark(_));
    if now.is_some_and(watermark) || fate == Fate::Dropped && known.is_some_and(|state| state.segments.is_empty()) {
        return Ok(None);
    }
    let left = known.and_then(|state| state.form.as_ref());
    let was = |kind: StepKind| matches!(left, Some(LeftForm::Parts(form)) if form.kind == kind);
    let rule = was(StepKind::Unique);
    let incremental = [StepKind::Incremental, StepKind::ChangingJoin, StepKind::Upsert].into_iter().any(was);
    let (step, before) = (step.to_string(), left.map(LeftForm::to_string));
    let now = now.and_then(|node| form(graph, node)).map(|form| form.to_string());
    let remembered = known.map(|state| state.remembered.clone()).unwrap_or_default();
    Ok(Some(StepFate { step, sinks: vec![], fate, remembered, before, now, changes, why, rule, incremental }))
}

/// Refuses a run that would lose something, but for the steps that are to be rebuilt.
pub(crate) fn refuse_losses(
    plan: &Plan,
    checkpoint: &Checkpoint,
    segments: &Segments<'_>,
    rebuilt: &[String],
) -> Result<(), RunError> {
    let replaced: BTreeSet<String> = rebuilt.iter().flat_map(|step| sinks_of(plan, checkpoint, step)).collect();
    let lost = |fate: &StepFate| fate.loses() && fate.sinks.iter().any(|sink| !replaced.contains(sink));
    let Some(lost) = compare(plan, checkpoint, segments)?.into_iter().find(lost) else { return Ok(()) };
    Err(loss(&lost))
}

fn loss(lost: &StepFate) -> RunError {
    let (step, sinks) = (&lost.step, lost.sinks.join("`, `"));
    let several = lost.sinks.len() > 1;
    let (word, its) = if several { ("sinks", "their tables are") } else { ("sink", "its table is") };
    let held = held(&lost.remembered);
    let (text, help) = match (lost.fate, &lost.before, &lost.now) {
        (Fate::Changed, before, Some(now)) => {
            let why = lost.why.as_ref().map_or(String::new(), |why| format!("\n{why}"));
            let was = before.as_ref().map_or(String::new(), |before| format!("\nit was {before}\nit is  {now}"));
            let text = format!(
                "the step `{step}` is not the one that left its state ({held}): the run would lose it{why}{was}"
            );
            let again =
                format!("compute the {word} `{sinks}` again from the beginning: --rebuild \"{step}\" ({its} replaced)");
            let or = match lost.remembered.unit.as_str() {
                "keys" if lost.now.as_ref().is_some_and(|now| now.starts_with("unique")) => {
                    "or give the rule another name, to begin with an empty memory"
                }
                _ => "or let what is open come out first: run the program as it was once more, with --drain",
            };
            (text, format!("{again}; {or}"))
        }
        _ => (
            format!(
                "the program no longer has the step `{step}` before the {word} `{sinks}`, and {held} of it are open: the run would lose them"
            ),
            format!(
                "run the program as it was once more, with --drain, so that they come out; or compute the {word} again from the beginning: --rebuild \"{step}\" ({its} replaced)"
            ),
        ),
    };
    // What keeps results right has given them out already.
    let help = match lost.incremental {
        true => format!("compute the {word} `{sinks}` again from the beginning: --rebuild \"{step}\" ({its} replaced)"),
        false => help,
    };
    RunError::data("R0412", text)
        .help(format!("nothing was read or written; `flowc plan` shows what becomes of each step\n{help}"))
}

/// The sources that some sinks depend on: what they are computed again from.
pub fn sources_of<'a>(plan: &'a Plan, sinks: &[String]) -> Vec<&'a SourceSpec> {
    let of =
        |(spec, inputs): (&SinkSpec, Inputs)| if sinks.contains(&spec.name) { inputs.sources } else { BTreeSet::new() };
    let sources: BTreeSet<usize> = plan.sinks.iter().zip(inputs(plan)).flat_map(of).collect();
    sources.into_iter().filter_map(|source| plan.sources.get(source)).collect()
}

/// The sinks whose state knows a step, or that depend on it now.
pub(crate) fn sinks_of(plan: &Plan, checkpoint: &Checkpoint, step: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (spec, inputs) in plan.sinks.iter().zip(inputs(plan)) {
        let mut names = inputs.nodes.iter().filter_map(|node| operator_name(&plan.graph.nodes[*node].operator));
        let known = checkpoint.sinks.get(&spec.name).is_some_and(|known| known.operators.contains_key(step));
        if known || names.any(|name| name == step) {
            found.insert(spec.name.clone());
        }
    }
    found
}
