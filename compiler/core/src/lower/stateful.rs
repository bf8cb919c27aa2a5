//! Steps that remember rows: what they remember is named so that it is found again, whatever else of the program changes.

use super::step::{existing_or_new, order};
use super::temporary::{WithTemporaries, choose};
use super::{Lowering, Mode, node};
use crate::checked::{CheckedFlow, CheckedStep, Operation};
use flowc_ir::Schema;
use flowc_ir::graph::{Dedup, NodeId, Operator, Top, weight};

/// The word that names what a step remembers.
fn word(operation: &Operation) -> Option<&'static str> {
    match operation {
        Operation::Aggregate { .. } => Some("aggregate"),
        Operation::Dedup { .. } => Some("dedup"),
        Operation::Top { .. } => Some("top"),
        Operation::Join(_) => Some("join"),
        // Where rows change.
        Operation::Lookup { .. } => Some("join table"),
        Operation::Mark { .. } => Some("in"),
        _ => None,
    }
}

/// What names the memory of a step: its flow and its word, with a number from the second of that word in the flow on.
pub(super) fn name(flow: &CheckedFlow, place: usize) -> String {
    let Some(own) = word(&flow.steps[place].operation) else { return String::new() };
    let number = flow.steps[..=place].iter().filter(|step| word(&step.operation) == Some(own)).count();
    let number = if number > 1 { format!(" {number}") } else { String::new() };
    format!("{} |> {own}{number}", flow.name)
}

pub(super) fn dedup(l: &mut Lowering<'_>, before: NodeId, step: &CheckedStep, label: &str, mode: Mode) -> NodeId {
    let Operation::Dedup { keys, within, by_time, .. } = &step.operation else { return before };
    let before = l.without_times(before, label);
    let input = l.schema(before).clone();
    let mut columns = WithTemporaries::new(&input);
    let keys = keys.iter().map(|key| existing_or_new(&mut columns, key)).collect();
    let time = within.as_ref().map(|within| existing_or_new(&mut columns, &within.time));
    let within = within.as_ref().map(|within| within.duration);
    let operator = Operator::Dedup(Dedup { name: l.at.name.clone(), keys, time, within, by_time: *by_time });
    passing(l, before, step, (columns, operator, &input), label, mode)
}

pub(super) fn top(l: &mut Lowering<'_>, before: NodeId, step: &CheckedStep, label: &str, mode: Mode) -> NodeId {
    let before = l.without_times(before, label);
    let Operation::Top { count, order: by, keys, window, .. } = &step.operation else { return before };
    let input = l.schema(before).clone();
    let mut columns = WithTemporaries::new(&input);
    let order = order(&mut columns, by);
    let keys = keys.iter().map(|key| existing_or_new(&mut columns, key)).collect();
    let mut keys: Vec<usize> = keys;
    let mut window = *window;
    if mode.changing {
        // A window's rows are those of a key.
        keys.extend(window.take().into_iter().flat_map(|(start, end)| [start, end]));
    }
    let operator = Operator::Top(Top { name: l.at.name.clone(), count: *count, order, keys, window });
    passing(l, before, step, (columns, operator, &input), label, mode)
}

/// An operator that lets rows through as they are, with temporary columns before it, which are dropped behind it.
fn passing(
    l: &mut Lowering<'_>,
    before: NodeId,
    step: &CheckedStep,
    (columns, operator, input): (WithTemporaries, Operator, &Schema),
    label: &str,
    mode: Mode,
) -> NodeId {
    let reads = l.with_temporaries(before, columns, label, step.origin);
    let mut widened = l.schema(reads).clone();
    let mut to = input.clone();
    let mut positions: Vec<usize> = (0..input.len()).collect();
    if mode.changing && !l.changes(reads) {
        positions.push(widened.len());
        widened.fields.push(weight());
        to.fields.push(weight());
    }
    let kept = l.add(node(operator, vec![reads], widened.clone(), &step.rows, mode, label, step.origin));
    l.at.node = Some(kept);
    if reads == before {
        return kept;
    }
    l.transform(kept, choose(&widened, &positions, &to), label, step.origin)
}
