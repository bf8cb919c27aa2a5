//! What becomes of the state of the last run when a program has changed: which steps go on with what they remember, which begin with nothing, and which would
//! lose something. Pure: from a plan and a checkpoint. Knows nothing of how either is stored.

use crate::error::RunError;
use crate::flow::operator_name;
use crate::jobs::inputs;
use crate::operators::stateful::Remembered;
use crate::state::{Checkpoint, OperatorState};
use flowc_ir::Schema;
use flowc_ir::graph::{Aggregate, Graph, JoinKind, Node, Operator, SortColumn};
use flowc_ir::plan::Plan;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What becomes of what a step remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It goes on with it.
    Kept,
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
}

impl StepFate {
    /// Whether a run would lose something.
    pub fn loses(&self) -> bool {
        match self.fate {
            Fate::Kept | Fate::New => false,
            Fate::Changed => self.remembered.entries > 0,
            // A rule with `unique` has no form: under another name it begins with an empty memory, as its user wants.
            Fate::Dropped => self.before.is_some() && self.remembered.entries > 0,
        }
    }
}

/// What the state of a step depends on, in words: two forms that are equal can use the same state. None: the step remembers nothing that has a form.
pub fn form(graph: &Graph, node: &Node) -> Option<String> {
    let input = |i: usize| &graph.node(node.inputs[i]).schema;
    let types = |schema: &Schema, columns: &[usize]| {
        columns.iter().map(|c| schema.fields[*c].ty.to_string()).collect::<Vec<_>>().join(", ")
    };
    let within = |micros: Option<i64>| {
        let mut text = String::new();
        if let Some(micros) = micros {
            text.push_str(" within ");
            flowc_ir::cast::format::write_duration(&mut text, micros);
        }
        text
    };
    let names = |schema: &Schema| schema.fields.iter().map(|f| f.to_string()).collect::<Vec<_>>().join(", ");
    Some(match &node.operator {
        Operator::WindowAggregate(windowed) => {
            let of = aggregates(&windowed.aggregate, input(0));
            format!("{} by ({}): {of}", windowed.window, types(input(0), &windowed.aggregate.keys))
        }
        Operator::Dedup(dedup) => format!("by ({}){}", types(input(0), &dedup.keys), within(dedup.within)),
        Operator::Top(top) => {
            let order = order(input(0), &top.order);
            format!("{} by {order} per ({}) of ({})", top.count, types(input(0), &top.keys), names(input(0)))
        }
        Operator::Join(join) => {
            let keys = types(input(0), &join.left_keys);
            let kind = JoinKind::ALL.iter().find(|(kind, _)| *kind == join.kind).map_or("", |(_, word)| word);
            let within = within(join.within.map(|within| within.duration));
            format!("{kind} on ({keys}){within} of ({}) and ({})", names(input(0)), names(input(1)))
        }
        _ => return None,
    })
}

fn order(input: &Schema, columns: &[SortColumn]) -> String {
    let column = |c: &SortColumn| {
        let nulls = if c.nulls_first { "first" } else { "last" };
        format!("{}{} nulls {nulls}", input.fields[c.column].name, if c.descending { " desc" } else { "" })
    };
    columns.iter().map(column).collect::<Vec<_>>().join(", ")
}

fn aggregates(aggregate: &Aggregate, input: &Schema) -> String {
    let call = |call: &flowc_ir::graph::AggregateCall| {
        let args: Vec<String> = call.args.iter().map(|arg| input.fields[*arg].ty.to_string()).collect();
        let constants: String = call.constants.iter().map(|c| format!(", {c:?}")).collect();
        let filter = if call.filter.is_some() { " where" } else { "" };
        format!("{}({}{constants}){filter}", call.function.info().name, args.join(", "))
    };
    aggregate.aggregates.iter().map(call).collect::<Vec<_>>().join(", ")
}

/// What becomes of each step's state.
pub fn compare(plan: &Plan, checkpoint: &Checkpoint) -> Vec<StepFate> {
    let mut fates: BTreeMap<(String, Fate), StepFate> = BTreeMap::new();
    for (spec, inputs) in plan.sinks.iter().zip(inputs(plan)).filter(|(spec, _)| !spec.whole) {
        let Some(known) = checkpoint.sinks.get(&spec.name).filter(|known| known.epoch.is_some()) else { continue };
        let nodes = inputs.nodes.iter().map(|node| &plan.graph.nodes[*node]);
        let now: BTreeMap<String, &Node> =
            nodes.filter_map(|node| Some((operator_name(&node.operator)?, node))).collect();
        let steps: BTreeSet<&String> = now.keys().chain(known.operators.keys()).collect();
        for step in steps {
            let Some(fate) = fate(&plan.graph, step, now.get(step).copied(), known.operators.get(step)) else {
                continue;
            };
            let entry = fates.entry((step.clone(), fate.fate)).or_insert(fate);
            entry.sinks.push(spec.name.clone());
        }
    }
    fates.into_values().collect()
}

fn fate(graph: &Graph, step: &str, now: Option<&Node>, known: Option<&OperatorState>) -> Option<StepFate> {
    // Where nothing says what form it had, the operator itself will see.
    let before = known.and_then(|state| state.form.clone());
    let form = now.and_then(|node| form(graph, node));
    let fate = match (now, known) {
        (Some(_), Some(_)) if before.is_none() || form.is_none() || before == form => Fate::Kept,
        (Some(_), Some(_)) => Fate::Changed,
        (Some(_), None) => Fate::New,
        (None, Some(_)) => Fate::Dropped,
        (None, None) => return None,
    };
    // A watermark that is no longer there holds nothing.
    let watermark = |node: &Node| matches!(node.operator, Operator::Watermark(_));
    if now.is_some_and(watermark) || fate == Fate::Dropped && known.is_some_and(|state| state.segments.is_empty()) {
        return None;
    }
    let remembered = known.map(|state| state.remembered.clone()).unwrap_or_default();
    Some(StepFate { step: step.to_string(), sinks: vec![], fate, remembered, before, now: form })
}

/// Refuses a run that would lose something.
pub(crate) fn refuse_losses(plan: &Plan, checkpoint: &Checkpoint) -> Result<(), RunError> {
    let Some(lost) = compare(plan, checkpoint).into_iter().find(StepFate::loses) else { return Ok(()) };
    let (step, sinks) = (&lost.step, lost.sinks.join("`, `"));
    let several = lost.sinks.len() > 1;
    let (word, its) = if several { ("sinks", "their tables are") } else { ("sink", "its table is") };
    let (entries, unit) = (lost.remembered.entries, &lost.remembered.unit);
    let (text, help) = match (lost.fate, &lost.before, &lost.now) {
        (Fate::Changed, Some(before), Some(now)) => (
            format!(
                "the step `{step}` is not the one that left its state ({entries} {unit}): the run would lose it\nit was {before}\nit is  {now}"
            ),
            format!(
                "compute the {word} `{sinks}` again from the beginning: --rebuild \"{step}\" ({its} replaced); or let what is open come out first: run the program as it was once more, with --drain"
            ),
        ),
        _ => (
            format!(
                "the program no longer has the step `{step}` before the {word} `{sinks}`, and {entries} {unit} of it are open: the run would lose them"
            ),
            format!(
                "run the program as it was once more, with --drain, so that they come out; or compute the {word} again from the beginning: --rebuild \"{step}\" ({its} replaced)"
            ),
        ),
    };
    Err(RunError::data("R0412", text)
        .help(format!("nothing was read or written; `flowc plan` shows what becomes of each step\n{help}")))
}

/// The steps whose state was left by another form of them.
pub(crate) fn other_forms(plan: &Plan, checkpoint: &Checkpoint) -> BTreeSet<String> {
    let changed = compare(plan, checkpoint).into_iter().filter(|fate| fate.fate == Fate::Changed);
    changed.map(|fate| fate.step).collect()
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
