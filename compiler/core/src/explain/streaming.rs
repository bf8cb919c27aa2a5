//! What `explain` says of steps that remember something: what they do, what they remember, and what bounds it.

use super::expression;
use flowc_ir::aggregates::AggregateFunction;
use flowc_ir::graph::{
    AggregateCall, Dedup, JoinKind, KeyedAggregate, Node, Operator, StreamJoin, Top, Upsert, WEIGHT, Window,
    WindowAggregate,
};
use flowc_ir::plan::Plan;
use flowc_ir::{DataType, Schema, Value};

/// A duration as it is written in a program.
pub(crate) fn duration(micros: i64) -> String {
    expression::value(&Value::Duration(micros), &DataType::Duration)
}

/// The name of the operator, what it does, and its state with its bound.
pub(super) fn describe(plan: &Plan, node: &Node) -> (&'static str, Vec<String>, Option<String>) {
    let input = |i: usize| &plan.graph.node(node.inputs[i]).schema;
    let name = |schema: &Schema, column: usize| expression::name(&schema.fields[column].name);
    match &node.operator {
        Operator::Watermark(watermark) => {
            let idle = watermark.idle.map_or(String::new(), |idle| {
                format!("; holds no other source back after {} without rows", duration(idle))
            });
            let does = format!(
                "the greatest {} seen, less {}{idle}",
                name(input(0), watermark.time),
                duration(watermark.delay)
            );
            ("watermark", vec![does], Some("one time".to_string()))
        }
        Operator::WindowAggregate(windowed) if node.kind.is_changing() => {
            let mut columns = node.schema.clone();
            let keys = windowed.aggregate.keys.len();
            columns.fields.pop();
            let bounds = keys.min(columns.len())..(keys + 2).min(columns.len());
            columns.fields.drain(bounds);
            let mut does = vec![format!("{} over {}", windowed.window, name(input(0), windowed.time))];
            does.extend(super::aggregate(&windowed.aggregate, input(0), &columns));
            ("window", does, Some(corrected_windows(windowed)))
        }
        Operator::WindowAggregate(windowed) => {
            let mut does = vec![format!("{} over {}", windowed.window, name(input(0), windowed.time))];
            let (mut columns, keys) = (node.schema.clone(), windowed.aggregate.keys.len());
            let bounds = keys.min(columns.len())..(keys + 2).min(columns.len());
            columns.fields.drain(bounds);
            does.extend(super::aggregate(&windowed.aggregate, input(0), &columns));
            ("window", does, Some(window_state(windowed, knows_time(plan, node))))
        }
        Operator::Dedup(dedup) => self::dedup(dedup, input(0), node.kind.is_changing()),
        Operator::Top(top) if node.inputs.iter().any(|i| plan.graph.node(*i).kind.is_changing()) => (
            "top",
            vec![self::top(top, input(0))],
            Some("all rows of the input: any of them may become one of the first".to_string()),
        ),
        Operator::Top(top) => ("top", vec![self::top(top, input(0))], Some(top_state(top))),
        Operator::Join(join) => {
            let does = join_text(join, input(0), input(1));
            let state = match &join.within {
                Some(within) => format!(
                    "the rows of both sides up to {} behind the watermark, and those ahead of it",
                    duration(within.duration)
                ),
                None if node.kind.is_changing() => "the rows of both sides as they are now".to_string(),
                None => "all rows of both sides".to_string(),
            };
            ("join", vec![does], Some(state))
        }
        Operator::KeyedAggregate(keyed) => {
            let mut columns = node.schema.clone();
            columns.fields.pop();
            let does = super::aggregate(&keyed.aggregate, input(0), &columns);
            ("aggregate", does, Some(keyed_state(keyed, input(0))))
        }
        Operator::Upsert(upsert) => self::upsert(upsert, input(0)),
        Operator::Late => ("late", vec!["the rows that came too late for it".to_string()], None),
        _ => ("", vec![], None),
    }
}

fn names(schema: &Schema, columns: &[usize]) -> String {
    let names: Vec<String> = columns.iter().map(|column| expression::name(&schema.fields[*column].name)).collect();
    names.join(", ")
}

fn dedup(dedup: &Dedup, input: &Schema, changing: bool) -> (&'static str, Vec<String>, Option<String>) {
    let within = dedup.within.map_or(String::new(), |d| format!(" within {}", duration(d)));
    let first = format!("the first row of each {}{within}", names(input, &dedup.keys));
    let (does, state) = match dedup.within {
        None if changing => {
            ("the different rows, each once".to_string(), "every different row, with how often it is there".to_string())
        }
        Some(within) => (first, format!("the keys of twice {} behind the watermark", duration(within))),
        None => (first, "every key of the input".to_string()),
    };
    ("dedup", vec![does], Some(state))
}

fn upsert(upsert: &Upsert, input: &Schema) -> (&'static str, Vec<String>, Option<String>) {
    let by = match upsert.sequence.as_slice() {
        [] => "the last one that came",
        _ => "the one whose sequence is the greatest",
    };
    if let Some(time) = upsert.history {
        let (keys, time) = (names(input, &upsert.keys), expression::name(&input.fields[time].name));
        let does = format!("of the records of each {keys} every version, by {time}");
        return ("history", vec![does], Some("every record".to_string()));
    }
    let state = "the row of each key, and the sequence of each key that was deleted";
    let does = format!("of the records of each {}, {by}", names(input, &upsert.keys));
    ("upsert", vec![does], Some(state.to_string()))
}

/// Whether a watermark reaches the node, so that it lets go what is over.
fn knows_time(plan: &Plan, node: &Node) -> bool {
    let mut open = node.inputs.clone();
    while let Some(id) = open.pop() {
        let node = plan.graph.node(id);
        if matches!(node.operator, Operator::Watermark(_)) {
            return true;
        }
        open.extend(&node.inputs);
    }
    false
}

/// What an aggregate of rows that change remembers of each group.
fn keyed_state(keyed: &KeyedAggregate, input: &Schema) -> String {
    use AggregateFunction::{Avg, Count, Stddev, Sum, Variance};
    let kept = |call: &&AggregateCall| !matches!(call.function, Count | Sum | Avg | Stddev | Variance);
    let group = if keyed.aggregate.keys.is_empty() { "one group" } else { "a group for each different key" };
    let values = keyed.aggregate.aggregates.iter().any(|call| kept(&call));
    match values && input.field(WEIGHT).is_some() {
        true => format!("{group}, with the values that some of its aggregates look through when one is taken away"),
        false => group.to_string(),
    }
}

/// What windows that are corrected remember.
fn corrected_windows(windowed: &WindowAggregate) -> String {
    match windowed.late {
        Some(late) => {
            format!("a group for each key and window, until the watermark is {} past its end", duration(late))
        }
        None => "a group for each key and window of the input".to_string(),
    }
}

fn window_state(windowed: &WindowAggregate, released: bool) -> String {
    if !released {
        return "a group for each key and window of the input".to_string();
    }
    let group = if windowed.aggregate.keys.is_empty() { "a group" } else { "a group for each key" };
    match &windowed.window {
        Window::Tumble { .. } => {
            format!("{group} and window that is open: released when the watermark reaches its end")
        }
        // A row at its end still belongs to it.
        Window::Session { .. } => {
            format!("{group} and session that is open: released when the watermark is past its end")
        }
        Window::Hop { .. } | Window::Cumulate { .. } => {
            format!(
                "{group} and slice of the windows that are open: a row is kept in one of them, however many windows share it"
            )
        }
    }
}

fn top(top: &Top, input: &Schema) -> String {
    let name = |column: usize| expression::name(&input.fields[column].name);
    let order: Vec<String> = top
        .order
        .iter()
        .map(|key| format!("{}{}", name(key.column), if key.descending { " desc" } else { "" }))
        .collect();
    let mut text = format!("the first {} by {}", top.count, order.join(", "));
    if !top.keys.is_empty() {
        text += &format!(" per {}", top.keys.iter().map(|key| name(*key)).collect::<Vec<_>>().join(", "));
    }
    if let Some((start, _)) = top.window {
        text += &format!(", of each window ({})", name(start));
    }
    text
}

fn top_state(top: &Top) -> String {
    let rows = if top.keys.is_empty() { "rows".to_string() } else { "rows for each key".to_string() };
    match top.window {
        Some(_) => format!("{} {rows} of each window that is open", top.count),
        None => format!("{} {rows}", top.count),
    }
}

fn join_text(join: &StreamJoin, left: &Schema, right: &Schema) -> String {
    let name = |schema: &Schema, column: usize| expression::name(&schema.fields[column].name);
    let kind = JoinKind::ALL.iter().find(|(kind, _)| *kind == join.kind).map_or("", |(_, word)| word);
    let keys = join.left_keys.iter().zip(&join.right_keys);
    let mut conditions: Vec<String> = keys.map(|(l, r)| format!("{} == {}", name(left, *l), name(right, *r))).collect();
    if let Some(within) = &join.within {
        let (l, r) = (name(left, within.left), name(right, within.right));
        conditions.push(format!("{l} and {r} at most {} apart", duration(within.duration)));
    }
    if let Some(residual) = &join.residual {
        // Its name says what it is.
        conditions.extend(residual.outputs.iter().map(|o| o.field.name.trim_start_matches('#').to_string()));
    }
    format!("{kind}: {}", conditions.join(", "))
}
