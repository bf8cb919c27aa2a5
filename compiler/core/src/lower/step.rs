//! Steps to nodes. An expression that an operator needs as a column is computed in a `Transform` before it, and dropped behind it.

use super::changing::{carried, with_carried};
use super::temporary::{WithTemporaries, choose, hidden};
use super::{Lowering, Mode, lookup, node, stateful, stream_join};
use crate::checked::{CheckedAggregate, CheckedSortKey, CheckedStep, Input, Operation, Windowing};
use flowc_ir::graph::{
    Aggregate, AggregateCall, KeyedAggregate, NodeId, Operator, SortColumn, Unique, WEIGHT, WindowAggregate, weight,
};
use flowc_ir::{Expr, ExprKind, Field, Program, Schema};

/// Adds the nodes of a step behind `before`.
pub(super) fn lower(l: &mut Lowering<'_>, before: NodeId, step: &CheckedStep, label: &str, mode: Mode) -> NodeId {
    match &step.operation {
        Operation::Transform(program) => {
            let program = super::changing::through(program, l.schema(before), |_| true);
            let schema = program.output_schema();
            let operator = Operator::Transform(program);
            l.add(node(operator, vec![before], schema, &step.rows, mode, label, step.origin))
        }
        Operation::Lookup { table, as_of: None, .. } if l.is_followed(*table, mode) => {
            stream_join::lookup(l, before, step, label, mode)
        }
        Operation::Mark { table, .. } if l.is_followed(*table, mode) => stream_join::mark(l, before, step, label, mode),
        Operation::Lookup { .. } => lookup::lower(l, before, step, label, mode),
        Operation::Mark { table, column, value } => {
            lookup::mark(l, before, step, (*table, *column, value), label, mode)
        }
        Operation::Unique { .. } => unique(l, before, step, label, mode),
        Operation::Expect(expect) => {
            let schema = l.schema(before).clone();
            let operator = Operator::Expect(expect.clone());
            l.add(node(operator, vec![before], schema, &step.rows, mode, label, step.origin))
        }
        Operation::Aggregate { keys, aggregates, window } => {
            aggregate(l, before, step, (keys, aggregates, window.as_ref()), label, mode)
        }
        Operation::Dedup { .. } => stateful::dedup(l, before, step, label, mode),
        Operation::Top { .. } => stateful::top(l, before, step, label, mode),
        Operation::Join(join) => stream_join::lower(l, before, step, join, label, mode),
        Operation::Sort(keys) => sort(l, before, step, keys, label, mode),
        Operation::Limit(count) => {
            let schema = l.schema(before).clone();
            l.add(node(Operator::Limit(*count), vec![before], schema, &step.rows, mode, label, step.origin))
        }
        Operation::Union { align, others } => union(l, before, step, align, others, label, mode),
        Operation::Explode { array, element } => explode(l, before, step, array, element, label, mode),
    }
}

fn unique(l: &mut Lowering<'_>, before: NodeId, step: &CheckedStep, label: &str, mode: Mode) -> NodeId {
    let Operation::Unique { flow, rule, keys, within, time, delay } = &step.operation else { return before };
    let input = l.schema(before).clone();
    let mut columns = WithTemporaries::new(&input);
    let positions = keys.iter().map(|key| columns.column(key.clone())).collect();
    let reads = l.with_temporaries(before, columns, label, step.origin);
    let mut schema = l.schema(reads).clone();
    // The checked rows end with the answer.
    schema.fields.extend(step.rows.schema.fields.last().cloned());
    let (flow, rule, within, time, delay) = (flow.clone(), rule.clone(), *within, *time, *delay);
    let operator = Operator::Unique(Unique { flow, rule, keys: positions, time, within, delay });
    let judged = l.add(node(operator, vec![reads], schema.clone(), &step.rows, mode, label, step.origin));
    if reads == before {
        return judged;
    }
    let positions: Vec<usize> = (0..input.len()).chain([schema.len() - 1]).collect();
    l.transform(judged, choose(&schema, &positions, &step.rows.schema), label, step.origin)
}

/// The position of the column that an expression is, if it is nothing more, and has the column's type.
fn plain_column(expr: &Expr, schema: &Schema) -> Option<usize> {
    match expr.kind {
        ExprKind::Column(index) => schema.fields.get(index).filter(|f| f.ty == expr.ty).map(|_| index),
        _ => None,
    }
}

fn aggregate(
    l: &mut Lowering<'_>,
    before: NodeId,
    step: &CheckedStep,
    (keys, aggregates, window): (&[(Field, Expr)], &[CheckedAggregate], Option<&Windowing>),
    label: &str,
    mode: Mode,
) -> NodeId {
    let unmarked = window.is_some_and(|window| window.whole && window.late.is_none());
    // Nothing closes its windows: they are as they are so far.
    let before = if mode.changing && unmarked { l.with_weight(before, label) } else { before };
    let before = l.without_times(before, label);
    let input = l.schema(before).clone();
    let operands = aggregates.iter().flat_map(|a| a.args.iter().chain(&a.filter));
    let times = window.iter().map(|window| &window.time);
    let needed: Vec<&Expr> = keys.iter().map(|(_, key)| key).chain(operands).chain(times).collect();
    let direct = needed.iter().all(|expr| plain_column(expr, &input).is_some());
    // Late rows have all columns.
    let all = direct || l.at.late;
    let mut columns = if all { WithTemporaries::new(&input) } else { WithTemporaries::empty(&input) };
    if let Some(place) = input.index_of(WEIGHT) {
        columns.column(super::temporary::column(place, &input.fields[place]));
    }
    // By what they are, not by what they are called: the results have the keys' own names.
    let positions = keys.iter().map(|(_, key)| columns.column(key.clone())).collect();
    let calls = aggregates.iter().map(|a| AggregateCall {
        function: a.function,
        args: a.args.iter().map(|arg| columns.column(arg.clone())).collect(),
        constants: a.constants.clone(),
        filter: a.filter.as_ref().map(|filter| columns.column(filter.clone())),
        ty: a.field.ty.clone(),
        origin: a.origin,
    });
    let aggregate = Aggregate { aggregates: calls.collect(), keys: positions };
    let operator = match window {
        None if mode.changing => Operator::KeyedAggregate(KeyedAggregate { name: l.at.name.clone(), aggregate }),
        None => Operator::Aggregate(aggregate),
        Some(Windowing { window, time, by_time, late, .. }) => {
            let (time, window) = (columns.column(time.clone()), window.clone());
            let name = l.at.name.clone();
            Operator::WindowAggregate(WindowAggregate {
                name,
                window,
                time,
                aggregate,
                by_time: *by_time,
                late: late.filter(|_| mode.changing),
            })
        }
    };
    let reads = if direct { before } else { l.transform(before, columns.finish(), label, step.origin) };
    let mut schema = step.rows.schema.clone();
    schema.fields.extend(mode.changing.then(weight));
    let grouped = l.add(node(operator, vec![reads], schema, &step.rows, mode, label, step.origin));
    l.at.node = Some(grouped);
    grouped
}

/// The columns to order by.
pub(super) fn order(columns: &mut WithTemporaries, keys: &[CheckedSortKey]) -> Vec<SortColumn> {
    let column = |key: &CheckedSortKey| SortColumn {
        column: existing_or_new(columns, &key.value),
        descending: key.descending,
        nulls_first: key.nulls_first,
    };
    keys.iter().map(column).collect()
}

/// The position of a value. A column that has lost its null is the same column to be compared.
pub(super) fn existing_or_new(columns: &mut WithTemporaries, value: &Expr) -> usize {
    match value.kind {
        ExprKind::Column(index) => index,
        _ => columns.column(value.clone()),
    }
}

fn sort(
    l: &mut Lowering<'_>,
    before: NodeId,
    step: &CheckedStep,
    keys: &[CheckedSortKey],
    label: &str,
    mode: Mode,
) -> NodeId {
    let input = l.schema(before).clone();
    let mut columns = WithTemporaries::new(&input);
    let operator = Operator::Sort(order(&mut columns, keys));
    if columns.is_identity() {
        return l.add(node(operator, vec![before], input, &step.rows, mode, label, step.origin));
    }
    let computed = l.transform(before, columns.finish(), label, step.origin);
    let widened = l.schema(computed).clone();
    let sorted = l.add(node(operator, vec![computed], widened.clone(), &step.rows, mode, label, step.origin));
    let kept: Vec<usize> = (0..input.len()).collect();
    l.transform(sorted, choose(&widened, &kept, &input), label, step.origin)
}

fn union(
    l: &mut Lowering<'_>,
    before: NodeId,
    step: &CheckedStep,
    align: &Program,
    others: &[(Input, Program)],
    label: &str,
    mode: Mode,
) -> NodeId {
    // What is lowered for the others has its own place.
    let at = std::mem::take(&mut l.at);
    let aligned = |l: &mut Lowering<'_>, input: NodeId, program: &Program| {
        let input = l.without_times(input, label);
        let aligned = l.transform_all(input, program, label, step.origin);
        if mode.changing { l.with_weight(aligned, label) } else { aligned }
    };
    let mut inputs = vec![aligned(l, before, align)];
    for (input, program) in others {
        let rows = l.input(*input);
        inputs.push(aligned(l, rows, program));
    }
    l.at = at;
    let mut schema = align.output_schema();
    schema.fields.extend(mode.changing.then(weight));
    l.add(node(Operator::Union, inputs, schema, &step.rows, mode, label, step.origin))
}

fn explode(
    l: &mut Lowering<'_>,
    before: NodeId,
    step: &CheckedStep,
    array: &Expr,
    element: &Field,
    label: &str,
    mode: Mode,
) -> NodeId {
    let input = l.schema(before).clone();
    let (reads, column) = match array.kind {
        ExprKind::Column(index) => (before, index),
        _ => {
            let mut columns = WithTemporaries::new(&input);
            let column = columns.column(array.clone());
            (l.transform(before, columns.finish(), label, step.origin), column)
        }
    };
    let widened = l.schema(reads).clone();
    let replaced = input.index_of(&element.name);
    let name = match widened.field(&element.name) {
        Some(_) => hidden(&element.name, |n| widened.field(n).is_some()),
        None => element.name.clone(),
    };
    let element = Field { name, ..element.clone() };
    let mut schema = widened.clone();
    schema.fields.push(element.clone());
    let operator = Operator::Explode { column, element };
    let exploded = l.add(node(operator, vec![reads], schema.clone(), &step.rows, mode, label, step.origin));
    let behind = carried(&input).len();
    if replaced.is_none() && reads == before && behind == 0 {
        return exploded;
    }
    let last = schema.len() - 1;
    let own = input.len() - behind;
    let mut positions: Vec<usize> = (0..own).collect();
    match replaced {
        Some(position) => positions[position] = last,
        None => positions.push(last),
    }
    positions.extend(own..input.len());
    let to = with_carried(&step.rows.schema, &input);
    l.transform(exploded, choose(&schema, &positions, &to), label, step.origin)
}
