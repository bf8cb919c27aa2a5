//! What the state of a step depends on: what it computes, by the names of columns and the texts of expressions, and the types. Two forms that say the same can
//! use the same state. Knows nothing of checkpoints, nor of how state is stored.
//!
//! Part of a form is what decides which state a row goes to and what is kept of it. Not part of it: where columns stand, columns that the step only carries and
//! nobody reads, what results are called, and what happens to rows before the step: state holds rows as they were. A column that was computed for the step
//! alone is named by its expression (the compiler sees to that), so the layout of the programs before a step is no part of its form either.

use crate::operators::changing_join::is_changing;
use crate::operators::incremental::is_incremental;
use flowc_ir::graph::{
    Aggregate, AggregateCall, Graph, JoinKind, Node, Operator, SortColumn, StreamJoin, Upsert, WEIGHT, WindowAggregate,
};
use flowc_ir::types::quote_name;
use flowc_ir::{Field, Schema, Type};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Which kind of step it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// A windowed `aggregate`.
    Aggregate,
    /// `dedup`
    Dedup,
    /// `top`
    Top,
    /// A `join` of streams.
    Join,
    /// A rule with `unique`.
    Unique,
    /// The newest records of a source of changes.
    Upsert,
    /// A `join` of rows that change.
    ChangingJoin,
    /// An `aggregate`, `dedup` or `top` that keeps its results right as rows come and change.
    Incremental,
}

/// A column or a key: what it is, in words, and its type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Of a key: its name or expression. Of kept rows: its name in the graph.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub ty: Type,
}

/// An aggregate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// What it computes: `sum(v * 2) where ok`.
    pub computes: String,
    /// The types of its operands.
    pub operands: Vec<Type>,
    /// Whether its result may be null.
    pub nullable: bool,
}

/// What the state of a step depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Form {
    /// Which kind of step it is.
    pub kind: StepKind,
    /// What it does with them, in words: nothing of it may change.
    pub does: String,
    /// The keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<Column>,
    /// The aggregates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Call>,
    /// The columns of the rows that it keeps, of each of its inputs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<Vec<Column>>,
}

/// The form that a state was left with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum LeftForm {
    /// As it is written since version 3 of the format.
    Parts(Form),
    /// As it was written before: words that name types, and few columns.
    Words(String),
}

impl fmt::Display for LeftForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LeftForm::Parts(form) => form.fmt(f),
            LeftForm::Words(words) => f.write_str(words),
        }
    }
}

fn list<T>(items: &[T], text: impl Fn(&T) -> String) -> String {
    items.iter().map(text).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.does)?;
        if !self.keys.is_empty() {
            let word = if matches!(self.kind, StepKind::Join | StepKind::ChangingJoin) { "on" } else { "by" };
            write!(f, " {word} ({})", list(&self.keys, |key| format!("{}: {}", key.name, key.ty)))?;
        }
        if !self.calls.is_empty() {
            let operands = |call: &Call| match call.operands.as_slice() {
                [] => call.computes.clone(),
                types => format!("{} of {}", call.computes, list(types, Type::to_string)),
            };
            write!(f, ": {}", list(&self.calls, operands))?;
        }
        for (i, columns) in self.rows.iter().enumerate() {
            let shown: Vec<&Column> = columns.iter().filter(|column| !is_hidden(&column.name)).collect();
            let columns = list(&shown, |column| format!("{}: {}", quote_name(&column.name), column.ty));
            write!(f, "{} ({columns})", if i == 0 { " of" } else { " and" })?;
        }
        Ok(())
    }
}

/// Whether no user sees a column: it was computed for a step alone.
pub(super) fn is_hidden(name: &str) -> bool {
    name.starts_with('#')
}

/// What a column is, in words: its name, or the expression that it was computed by.
pub(super) fn words(name: &str) -> String {
    let Some(text) = name.strip_prefix('#') else {
        let plain = |part: &str| !part.is_empty() && quote_name(part) == part;
        return if name.split('.').all(plain) { name.to_string() } else { quote_name(name) };
    };
    // A number that makes the name unique.
    let numbered = |number: &str| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    text.rsplit_once('#').filter(|(_, number)| numbered(number)).map_or(text, |(text, _)| text).to_string()
}

fn duration(micros: i64) -> String {
    let mut text = String::new();
    flowc_ir::cast::format::write_duration(&mut text, micros);
    text
}

fn word(schema: &Schema, column: usize) -> String {
    words(&schema.fields[column].name)
}

fn key(schema: &Schema, column: usize) -> Column {
    Column { name: word(schema, column), ty: schema.fields[column].ty.clone() }
}

fn row(schema: &Schema) -> Vec<Column> {
    let column = |field: &Field| Column { name: field.name.clone(), ty: field.ty.clone() };
    schema.fields.iter().map(column).collect()
}

/// The form of a node. None: it remembers nothing that has a form.
pub fn form(graph: &Graph, node: &Node) -> Option<Form> {
    let input = |i: usize| &graph.node(node.inputs[i]).schema;
    let keys = |keys: &[usize]| keys.iter().map(|column| key(input(0), *column)).collect();
    let within = |time: usize, within: i64| format!(" within {} of {}", duration(within), word(input(0), time));
    if is_incremental(&node.operator, &node.schema) {
        return incremental(&node.operator, input(0));
    }
    Some(match &node.operator {
        Operator::WindowAggregate(spec) => windowed(spec, input(0)),
        Operator::Dedup(spec) => {
            let bound = spec.time.zip(spec.within).map(|(time, duration)| within(time, duration));
            // Without a duration rows are taken as they come.
            let waits = spec.by_time && bound.is_some();
            let does =
                format!("dedup{}{}", bound.unwrap_or_default(), if waits { " in the order of time" } else { "" });
            let rows = if waits { vec![row(input(0))] } else { vec![] };
            Form { kind: StepKind::Dedup, does, keys: keys(&spec.keys), calls: vec![], rows }
        }
        Operator::Top(spec) => {
            let window = spec
                .window
                .map(|(start, end)| format!(" of each window {} to {}", word(input(0), start), word(input(0), end)));
            let does =
                format!("the first {} by {}{}", spec.count, order(input(0), &spec.order), window.unwrap_or_default());
            Form { kind: StepKind::Top, does, keys: keys(&spec.keys), calls: vec![], rows: vec![row(input(0))] }
        }
        Operator::Join(spec) => joined(spec, input(0), input(1), is_changing(&node.schema)),
        Operator::Unique(spec) => {
            let bound = spec.time.zip(spec.within).map(|(time, duration)| within(time, duration));
            let does = format!("unique{}", bound.unwrap_or_default());
            Form { kind: StepKind::Unique, does, keys: keys(&spec.keys), calls: vec![], rows: vec![] }
        }
        Operator::Upsert(spec) => upsert(spec, input(0)),
        _ => return None,
    })
}

fn upsert(spec: &Upsert, input: &Schema) -> Form {
    let order = match spec.sequence.as_slice() {
        [] => "order they come in".to_string(),
        columns => format!("order of {}", list(columns, |column| word(input, *column))),
    };
    let (_, kept) = crate::operators::upsert::kept_fields(spec, input);
    let keys = spec.keys.iter().map(|column| key(input, *column)).collect();
    let rows = vec![row(&Schema::new(kept))];
    let does = match spec.history {
        None => format!("upsert in the {order}"),
        Some(time) => format!("history by {}, in the {order}", word(input, time)),
    };
    Form { kind: StepKind::Upsert, does, keys, calls: vec![], rows }
}

fn windowed(spec: &WindowAggregate, input: &Schema) -> Form {
    let does = format!("{} over {}", spec.window, word(input, spec.time));
    aggregated(StepKind::Aggregate, does, &spec.aggregate, spec.by_time, input)
}

fn aggregated(kind: StepKind, does: String, spec: &Aggregate, by_time: bool, input: &Schema) -> Form {
    let calls = spec.aggregates.iter().map(|call| Call {
        computes: computes(call, by_time, input),
        operands: call.args.iter().map(|arg| input.fields[*arg].ty.clone()).collect(),
        nullable: call.ty.nullable,
    });
    let keys = spec.keys.iter().map(|column| key(input, *column)).collect();
    Form { kind, does, keys, calls: calls.collect(), rows: vec![] }
}

/// Of an operator that keeps its results right.
fn incremental(operator: &Operator, input: &Schema) -> Option<Form> {
    let kind = StepKind::Incremental;
    let changing = input.fields.iter().any(|field| field.name == WEIGHT);
    let of = if changing { " of rows that change" } else { "" };
    let keys = |keys: &[usize]| keys.iter().map(|column| key(input, *column)).collect();
    Some(match operator {
        Operator::KeyedAggregate(spec) => aggregated(kind, format!("aggregate{of}"), &spec.aggregate, false, input),
        Operator::WindowAggregate(spec) => {
            let late = spec.late.map_or("for ever".to_string(), |late| format!("for {}", duration(late)));
            let does = format!("{} over {}{of}, corrected {late}", spec.window, word(input, spec.time));
            aggregated(kind, does, &spec.aggregate, spec.by_time, input)
        }
        Operator::Dedup(spec) => {
            Form { kind, does: format!("the different rows{of}"), keys: keys(&spec.keys), calls: vec![], rows: vec![] }
        }
        Operator::Top(spec) => {
            let does = format!("the first {} by {}{of}, kept right", spec.count, order(input, &spec.order));
            let mut rows = row(input);
            rows.retain(|column| column.name != WEIGHT);
            Form { kind, does, keys: keys(&spec.keys), calls: vec![], rows: vec![rows] }
        }
        _ => return None,
    })
}

fn computes(call: &AggregateCall, by_time: bool, input: &Schema) -> String {
    let args = call.args.iter().map(|arg| word(input, *arg));
    let constants = call.constants.iter().map(constant);
    let operands = args.chain(constants).collect::<Vec<_>>().join(", ");
    let filter = call.filter.map_or(String::new(), |filter| format!(" where {}", word(input, filter)));
    let order = if by_time && crate::operators::depends_on_order(call.function) { " in the order of time" } else { "" };
    format!("{}({operands}){filter}{order}", call.function.info().name)
}

fn constant(value: &flowc_ir::Value) -> String {
    match value {
        flowc_ir::Value::Double(double) => double.to_string(),
        other => format!("{other:?}"),
    }
}

fn order(input: &Schema, columns: &[SortColumn]) -> String {
    list(columns, |c| {
        let nulls = if c.nulls_first { "first" } else { "last" };
        format!("{}{} nulls {nulls}", word(input, c.column), if c.descending { " desc" } else { "" })
    })
}

fn kind_of(join: &StreamJoin) -> &'static str {
    JoinKind::ALL.iter().find(|(kind, _)| *kind == join.kind).map_or("", |(_, word)| word)
}

fn joined(spec: &StreamJoin, left: &Schema, right: &Schema, changing: bool) -> Form {
    let mut does = format!("{} join", kind_of(spec));
    if changing {
        does += " of rows that change";
    }
    if let Some(within) = spec.within {
        let (ours, theirs) = (word(left, within.left), word(right, within.right));
        does += &format!(" within {} of {ours} and {theirs}", duration(within.duration));
    }
    if let Some(output) = spec.residual.as_ref().and_then(|program| program.outputs.first()) {
        does += &format!(" where {}", words(&output.field.name));
    }
    let pairs = spec.left_keys.iter().zip(&spec.right_keys);
    let keys = pairs.map(|(l, r)| Column {
        name: format!("{} == {}", word(left, *l), word(right, *r)),
        ty: left.fields[*l].ty.clone(),
    });
    let kind = if changing { StepKind::ChangingJoin } else { StepKind::Join };
    let rows = [left, right].map(|side| row(&if changing { unweighted(side) } else { side.clone() }));
    Form { kind, does, keys: keys.collect(), calls: vec![], rows: rows.into() }
}

/// The columns of rows that change, without the weight.
pub(super) fn unweighted(schema: &Schema) -> Schema {
    Schema::new(schema.fields.iter().filter(|field| field.name != WEIGHT).cloned().collect())
}

/// The forms that versions 1 and 2 of the format had: of types, and of the names of kept rows' columns.
pub(super) mod earlier {
    use super::*;

    /// Whether a form in words is that of a node, but for what columns that no user sees were called.
    pub(in super::super) fn agrees(left: &str, graph: &Graph, node: &Node) -> bool {
        form(graph, node).is_some_and(|now| unnumbered(&now) == unnumbered(left))
    }

    /// `#0` and `#12` are `#`.
    fn unnumbered(text: &str) -> String {
        let (mut out, mut hidden) = (String::new(), false);
        for c in text.chars() {
            if hidden && c.is_ascii_digit() {
                continue;
            }
            hidden = c == '#';
            out.push(c);
        }
        out
    }

    fn plain(schema: &Schema) -> Schema {
        let field = |f: &Field| if is_hidden(&f.name) { Field::new("#", f.ty.clone()) } else { f.clone() };
        Schema::new(schema.fields.iter().map(field).collect())
    }

    fn form(graph: &Graph, node: &Node) -> Option<String> {
        let inputs: Vec<Schema> = node.inputs.iter().map(|input| plain(&graph.node(*input).schema)).collect();
        let types = |schema: &Schema, columns: &[usize]| list(columns, |c| schema.fields[*c].ty.to_string());
        let within = |micros: Option<i64>| micros.map_or(String::new(), |m| format!(" within {}", duration(m)));
        Some(match &node.operator {
            Operator::WindowAggregate(windowed) => {
                let of = aggregates(&windowed.aggregate.aggregates, &inputs[0]);
                format!("{} by ({}): {of}", windowed.window, types(&inputs[0], &windowed.aggregate.keys))
            }
            Operator::Dedup(dedup) => format!("by ({}){}", types(&inputs[0], &dedup.keys), within(dedup.within)),
            Operator::Top(top) => {
                let order = order(&inputs[0], &top.order);
                format!("{} by {order} per ({}) of ({})", top.count, types(&inputs[0], &top.keys), inputs[0])
            }
            Operator::Join(join) => {
                let (keys, within) = (types(&inputs[0], &join.left_keys), within(join.within.map(|w| w.duration)));
                format!("{} on ({keys}){within} of ({}) and ({})", kind_of(join), inputs[0], inputs[1])
            }
            _ => return None,
        })
    }

    fn order(input: &Schema, columns: &[SortColumn]) -> String {
        list(columns, |c| {
            let nulls = if c.nulls_first { "first" } else { "last" };
            format!("{}{} nulls {nulls}", input.fields[c.column].name, if c.descending { " desc" } else { "" })
        })
    }

    fn aggregates(calls: &[AggregateCall], input: &Schema) -> String {
        list(calls, |call| {
            let args = list(&call.args, |arg| input.fields[*arg].ty.to_string());
            let constants: String = call.constants.iter().map(|c| format!(", {c:?}")).collect();
            let filter = if call.filter.is_some() { " where" } else { "" };
            format!("{}({args}{constants}){filter}", call.function.info().name)
        })
    }
}
