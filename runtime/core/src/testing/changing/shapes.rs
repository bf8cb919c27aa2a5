//! Programs over rows that change, and what they mean: computed anew from the tables as they are, in a few lines that share nothing with the engine.

use crate::testing::{Planned, Row, row_schema};
use flowc_ir::aggregates::AggregateFunction;
use flowc_ir::functions::find;
use flowc_ir::graph::*;
use flowc_ir::plan::SinkMode;
use flowc_ir::{DataType, Expr, ExprKind, Field, Origin, Output, Program, Schema, Type, Value};
use std::collections::BTreeMap;

/// The tables as they are: rows by id.
#[derive(Debug, Clone, Default)]
pub(super) struct Tables {
    pub(super) left: BTreeMap<i64, Option<f64>>,
    pub(super) right: BTreeMap<i64, Option<f64>>,
    /// What records of changes say.
    pub(super) records: BTreeMap<i64, Option<f64>>,
}

/// What rows are put through. Sources are `left` and `right`, whose changes are followed, and `records`, which are upserted; all have `id`, which is unique, and
/// `x`, by which rows are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// The rows with an even id.
    Filter,
    /// All rows of both tables.
    Union,
    /// Rows of both with equal `x`. Whether ids must add up to an even number, too.
    Join(JoinKind, bool),
    /// The newest records.
    Upsert,
    /// Rows of `left` beside the newest records with equal `x`, those with an even id alone, and the same again without a match beside `right`.
    Chain,
    /// How many rows there are of each `x`.
    Aggregate,
    /// The row of each `x` with the greatest id.
    Top,
    /// The different `x`.
    Distinct,
}

/// Those that a run can do.
pub(super) const SHAPES: [Shape; 16] = [
    Shape::Filter,
    Shape::Union,
    Shape::Join(JoinKind::Inner, false),
    Shape::Join(JoinKind::Inner, true),
    Shape::Join(JoinKind::Left, false),
    Shape::Join(JoinKind::Left, true),
    Shape::Join(JoinKind::Right, false),
    Shape::Join(JoinKind::Full, false),
    Shape::Join(JoinKind::Full, true),
    Shape::Join(JoinKind::Semi, false),
    Shape::Join(JoinKind::Semi, true),
    Shape::Join(JoinKind::Anti, false),
    Shape::Join(JoinKind::Anti, true),
    Shape::Join(JoinKind::Mark, false),
    Shape::Upsert,
    Shape::Chain,
];

/// Those whose operators are to come: what they mean is known. Move them up.
pub(super) const TO_COME: [Shape; 3] = [Shape::Aggregate, Shape::Top, Shape::Distinct];

fn long() -> Type {
    Type::new(DataType::Long)
}

fn column(index: usize, ty: &Type) -> Expr {
    Expr::new(ExprKind::Column(index), ty.clone(), Origin::default())
}

fn call(name: &str, args: Vec<Expr>, ty: Type) -> Expr {
    Expr::new(ExprKind::Call { function: find(name).unwrap(), args }, ty, Origin::default())
}

fn literal(number: i64) -> Expr {
    Expr::new(ExprKind::Literal(Value::Long(number)), long(), Origin::default())
}

/// The records of changes: a row, what happened, and the order.
pub(super) fn record_schema() -> Schema {
    let mut schema = row_schema();
    schema.fields.push(Field::new("op", Type::new(DataType::String)));
    schema.fields.push(Field::new("seq", long()));
    schema
}

fn records(plan: &mut Planned) -> NodeId {
    let source = plan.source("records");
    if let Some(spec) = plan.plan.sources.last_mut() {
        spec.schema = record_schema();
    }
    plan.plan.graph.nodes[source.0 as usize].schema = record_schema();
    let (name, keys, sequence) = ("newest".into(), vec![0], vec![3]);
    let spec = Upsert { name, source: "records".into(), width: 2, keys, operation: 2, sequence };
    let mut schema = row_schema();
    schema.fields.push(weight());
    plan.node(Operator::Upsert(spec), &[source], schema)
}

/// These columns, in this order.
pub(super) fn choose(plan: &mut Planned, input: NodeId, columns: &[usize]) -> NodeId {
    let input_schema = plan.plan.graph.node(input).schema.clone();
    let output = |place: &usize| {
        let field = input_schema.fields[*place].clone();
        Output { value: column(*place, &field.ty), field }
    };
    let outputs: Vec<Output> = columns.iter().map(output).collect();
    let schema = Schema::new(outputs.iter().map(|output| output.field.clone()).collect());
    plan.node(Operator::Transform(Program { input: input_schema, steps: vec![], outputs }), &[input], schema)
}

/// Rows of two sides with equal `x`; the columns of both without the right weight, the left one last. The columns stand in any order.
pub(super) fn join(
    plan: &mut Planned,
    name: &str,
    (left, right): (NodeId, NodeId),
    kind: JoinKind,
    even: bool,
) -> NodeId {
    let of = |node: NodeId| plan.plan.graph.node(node).schema.clone();
    let (ours, theirs) = (of(left), of(right));
    let place = |schema: &Schema, name: &str| schema.index_of(name).unwrap();
    let widened = |schema: &Schema, widens: bool, prefix: &str| -> Vec<Field> {
        let widen =
            |f: &Field| Field::new(format!("{prefix}{}", f.name), f.ty.clone().with_nullable(f.ty.nullable || widens));
        schema.fields.iter().map(widen).collect()
    };
    let (prefix, width) = (format!("{name}."), ours.len());
    let mut fields = widened(&ours, kind.widens_left(), "");
    fields[place(&ours, WEIGHT)] = weight();
    let mut chosen = vec![place(&ours, "id"), place(&ours, "x")];
    if kind.yields_right() {
        fields.extend(widened(&theirs, kind.widens_right(), &prefix));
        chosen.extend(["id", "x"].map(|name| width + place(&theirs, name)));
    }
    if kind == JoinKind::Mark {
        fields.push(Field::new("mark", Type::boolean().with_nullable(true)));
        chosen.push(width);
    }
    chosen.push(place(&ours, WEIGHT));
    let residual = even.then(|| {
        let input = Schema::new(ours.fields.iter().cloned().chain(widened(&theirs, false, &prefix)).collect());
        let ids = vec![column(place(&ours, "id"), &long()), column(width + place(&theirs, "id"), &long())];
        let sum = call("add", ids, long());
        let value = call("equal", vec![call("mod", vec![sum, literal(2)], long()), literal(0)], Type::boolean());
        Program { input, steps: vec![], outputs: vec![Output { field: Field::new("even", Type::boolean()), value }] }
    });
    let (left_keys, right_keys) = (vec![place(&ours, "x")], vec![place(&theirs, "x")]);
    let spec = StreamJoin { name: name.into(), kind, left_keys, right_keys, within: None, residual };
    let joined = plan.node(Operator::Join(spec), &[left, right], Schema::new(fields));
    choose(plan, joined, &chosen)
}

fn count() -> Aggregate {
    let call = AggregateCall {
        function: AggregateFunction::Count,
        args: vec![],
        constants: vec![],
        filter: None,
        ty: long(),
        origin: Origin::default(),
    };
    Aggregate { keys: vec![1], aggregates: vec![call] }
}

impl Shape {
    /// The program, with a sink `sum` that adds up what comes, one that is computed from the `whole` each time, and a sink `out` that merges what comes by what
    /// is unique in it, if anything is.
    pub(super) fn plan(self) -> Planned {
        let mut plan = Planned::new();
        let (end, keys): (NodeId, &[&str]) = match self {
            Shape::Filter => {
                let left = plan.changing("left");
                (plan.divisible(left, 2), &["id"])
            }
            Shape::Union => {
                let (left, right) = (plan.changing("left"), plan.changing("right"));
                let schema = plan.plan.graph.node(left).schema.clone();
                (plan.node(Operator::Union, &[left, right], schema), &[])
            }
            Shape::Join(kind, even) => {
                let (left, right) = (plan.changing("left"), plan.changing("right"));
                let keys: &[&str] = if kind.yields_right() { &["id", "j.id"] } else { &["id"] };
                (join(&mut plan, "j", (left, right), kind, even), keys)
            }
            Shape::Upsert => (records(&mut plan), &["id"]),
            Shape::Chain => {
                let (left, records) = (plan.changing("left"), records(&mut plan));
                let beside = join(&mut plan, "j", (left, records), JoinKind::Left, false);
                let even = plan.divisible(beside, 2);
                // The id of the record may be missing.
                let rows = choose(&mut plan, even, &[0, 1, 4]);
                let right = plan.changing("right");
                let rows = join(&mut plan, "a", (rows, right), JoinKind::Anti, false);
                (rows, &[])
            }
            Shape::Aggregate => {
                let left = plan.changing("left");
                let x = row_schema().fields[1].clone();
                let schema = Schema::new(vec![x, Field::new("n", long()), weight()]);
                let spec = KeyedAggregate { name: "counted".into(), aggregate: count() };
                (plan.node(Operator::KeyedAggregate(spec), &[left], schema), &["x"])
            }
            Shape::Top => {
                let left = plan.changing("left");
                let order = vec![SortColumn { column: 0, descending: true, nulls_first: false }];
                let spec = Top { name: "greatest".into(), count: 1, order, keys: vec![1], window: None };
                let schema = plan.plan.graph.node(left).schema.clone();
                (plan.node(Operator::Top(spec), &[left], schema), &["x"])
            }
            Shape::Distinct => {
                let left = plan.changing("left");
                let rows = choose(&mut plan, left, &[1, 2]);
                let spec = Dedup { name: "d".into(), keys: vec![0], time: None, within: None, by_time: false };
                let schema = plan.plan.graph.node(rows).schema.clone();
                (plan.node(Operator::Dedup(spec), &[rows], schema), &["x"])
            }
        };
        plan.sink("sum", end, false);
        plan.sink("whole", end, true);
        if !keys.is_empty() {
            plan.merge("out", end, keys);
        }
        flowc_ir::verify::verify(&plan.plan).unwrap();
        plan
    }

    /// The rows that its sinks must hold, as texts, sorted.
    pub(super) fn model(self, tables: &Tables) -> Vec<String> {
        let rows = |table: &BTreeMap<i64, Option<f64>>| table.iter().map(|(id, x)| (*id, *x)).collect::<Vec<Row>>();
        let (left, right, records) = (rows(&tables.left), rows(&tables.right), rows(&tables.records));
        let even = |row: &&Row| row.0 % 2 == 0;
        let by_x = || {
            let mut groups: BTreeMap<String, Vec<Row>> = BTreeMap::new();
            left.iter().for_each(|row| groups.entry(shown(row.1)).or_default().push(*row));
            groups
        };
        let mut lines: Vec<String> = match self {
            Shape::Filter => left.iter().filter(even).map(line).collect(),
            Shape::Union => left.iter().chain(&right).map(line).collect(),
            Shape::Join(kind, even) => joined(&left, &right, kind, even),
            Shape::Upsert => records.iter().map(line).collect(),
            Shape::Chain => {
                let beside = left.iter().filter(even).flat_map(|row| {
                    let records = records.iter().filter(|record| same(row, record)).count();
                    std::iter::repeat_n(*row, records.max(1))
                });
                joined(&beside.collect::<Vec<_>>(), &right, JoinKind::Anti, false)
            }
            Shape::Aggregate => by_x().iter().map(|(x, rows)| format!("{x} {}", rows.len())).collect(),
            Shape::Top => by_x().values().filter_map(|rows| rows.last()).map(line).collect(),
            Shape::Distinct => by_x().into_keys().collect(),
        };
        lines.sort();
        lines
    }

    /// The columns by which its sinks merge.
    pub(super) fn merges(plan: &Planned) -> bool {
        plan.plan.sinks.iter().any(|sink| matches!(sink.mode, SinkMode::Merge { .. }))
    }
}

fn shown(x: Option<f64>) -> String {
    x.map_or("null".into(), |x| format!("{x}#{:x}", x.to_bits()))
}

fn line((id, x): &Row) -> String {
    format!("{id} {}", shown(*x))
}

fn same(a: &Row, b: &Row) -> bool {
    a.1.is_some() && a.1 == b.1
}

fn joined(left: &[Row], right: &[Row], kind: JoinKind, even: bool) -> Vec<String> {
    let matches = |l: &Row, r: &Row| same(l, r) && (!even || (l.0 + r.0) % 2 == 0);
    let mut lines = vec![];
    for l in left {
        let found: Vec<String> = right.iter().filter(|r| matches(l, r)).map(line).collect();
        let none = found.is_empty();
        match kind {
            JoinKind::Left | JoinKind::Full if none => lines.push(format!("{} null null", line(l))),
            JoinKind::Semi if !none => lines.push(line(l)),
            JoinKind::Anti if none => lines.push(line(l)),
            JoinKind::Semi | JoinKind::Anti => {}
            JoinKind::Mark => {
                let unknown = l.1.is_none() || none && right.iter().any(|r| r.1.is_none());
                let mark = if unknown { "null".to_string() } else { (!none).to_string() };
                lines.push(format!("{} {mark}", line(l)));
            }
            _ => lines.extend(found.iter().map(|r| format!("{} {r}", line(l)))),
        }
    }
    let alone = right.iter().filter(|r| !left.iter().any(|l| matches(l, r)));
    if matches!(kind, JoinKind::Right | JoinKind::Full) {
        lines.extend(alone.map(|r| format!("null null {}", line(r))));
    }
    lines
}
