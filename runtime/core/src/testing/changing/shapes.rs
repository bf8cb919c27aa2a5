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
    /// How many rows there are of each `x` in sessions of ids, or in windows of ids: one id is one millisecond.
    Window { sessions: bool },
    /// How many rows of `left` there are of each `x` beside the newest records with equal `x`, and of those counts the greatest.
    Counted,
}

/// All of them.
pub(super) const SHAPES: [Shape; 22] = [
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
    Shape::Aggregate,
    Shape::Top,
    Shape::Distinct,
    Shape::Window { sessions: false },
    Shape::Window { sessions: true },
    Shape::Counted,
];

/// How long a window is, in ids.
const LENGTH: i64 = 4;

/// How far apart the rows of a session may be, in ids.
const GAP: i64 = 2;

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
    let spec = Upsert { name, source: "records".into(), width: 2, keys, operation: 2, sequence, history: None };
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

/// How many rows there are of each value of the second column.
fn counted(plan: &mut Planned, input: NodeId) -> NodeId {
    let x = plan.plan.graph.node(input).schema.fields[1].clone();
    let schema = Schema::new(vec![x, Field::new("n", long()), weight()]);
    let spec = KeyedAggregate { name: "counted".into(), aggregate: count() };
    plan.node(Operator::KeyedAggregate(spec), &[input], schema)
}

/// The first of the rows of each key, or of all, with the greatest value in a column; of equal ones that with the least in the others.
fn greatest(plan: &mut Planned, input: NodeId, column: usize, keys: &[usize]) -> NodeId {
    let order = vec![SortColumn { column, descending: true, nulls_first: false }];
    let spec = Top { name: "greatest".into(), count: 1, order, keys: keys.to_vec(), window: None };
    let schema = plan.plan.graph.node(input).schema.clone();
    plan.node(Operator::Top(spec), &[input], schema)
}

/// Rows with the time that their id says as their last column but the weight.
fn timed(plan: &mut Planned, input: NodeId) -> NodeId {
    let schema = plan.plan.graph.node(input).schema.clone();
    let output = |place: usize| {
        let field = schema.fields[place].clone();
        Output { value: column(place, &field.ty), field }
    };
    let time = Type::new(DataType::Timestamp);
    let value = call("timestamp_millis", vec![column(0, &long())], time.clone());
    let outputs = vec![output(0), output(1), Output { value, field: Field::new("at", time) }, output(2)];
    let schema = Schema::new(outputs.iter().map(|output| output.field.clone()).collect());
    let program = Program { input: plan.plan.graph.node(input).schema.clone(), steps: vec![], outputs };
    plan.node(Operator::Transform(program), &[input], schema)
}

/// How many rows there are of each `x` and window.
fn windowed(plan: &mut Planned, input: NodeId, sessions: bool) -> NodeId {
    let rows = timed(plan, input);
    let window = match sessions {
        true => Window::Session { gap: GAP * 1000 },
        false => Window::Tumble { size: LENGTH * 1000, align: Alignment::default() },
    };
    let (x, time) = (row_schema().fields[1].clone(), Type::new(DataType::Timestamp));
    let bounds = ["window_start", "window_end"].map(|name| Field::new(name, time.clone()));
    let schema = Schema::new([vec![x], bounds.to_vec(), vec![Field::new("n", long()), weight()]].concat());
    let aggregate = count();
    let spec = WindowAggregate { name: "w".into(), window, time: 2, aggregate, by_time: false, late: None };
    plan.node(Operator::WindowAggregate(spec), &[rows], schema)
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
                (counted(&mut plan, left), &["x"])
            }
            Shape::Top => {
                let left = plan.changing("left");
                (greatest(&mut plan, left, 0, &[1]), &["x"])
            }
            Shape::Distinct => {
                let left = plan.changing("left");
                let rows = choose(&mut plan, left, &[1, 2]);
                let spec = Dedup { name: "d".into(), keys: vec![0], time: None, within: None, by_time: false };
                let schema = plan.plan.graph.node(rows).schema.clone();
                (plan.node(Operator::Dedup(spec), &[rows], schema), &["x"])
            }
            Shape::Window { sessions } => {
                let left = plan.changing("left");
                (windowed(&mut plan, left, sessions), &["x", "window_start"])
            }
            Shape::Counted => {
                let (left, records) = (plan.changing("left"), records(&mut plan));
                let beside = join(&mut plan, "j", (left, records), JoinKind::Inner, false);
                let counts = counted(&mut plan, beside);
                (greatest(&mut plan, counts, 1, &[]), &["x"])
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
            Shape::Window { sessions } => by_x().iter().flat_map(|(x, rows)| in_windows(x, rows, sessions)).collect(),
            Shape::Counted => {
                let pairs = |rows: &Vec<Row>| {
                    let records = |row: &Row| records.iter().filter(|record| same(row, record)).count();
                    rows.iter().map(records).sum::<usize>()
                };
                let mut counts: Vec<(f64, usize)> = vec![];
                by_x().values().for_each(|rows| counts.extend(rows[0].1.map(|x| (x, pairs(rows)))));
                counts.retain(|(_, n)| *n > 0);
                // The greatest count, and of equal ones the least `x`.
                counts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.total_cmp(&b.0)));
                counts.first().map(|(x, n)| format!("{} {n}", shown(Some(*x)))).into_iter().collect()
            }
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

/// How many rows of one `x`, in the order of their ids, there are in each window.
fn in_windows(x: &str, rows: &[Row], sessions: bool) -> Vec<String> {
    let mut windows: Vec<(i64, i64, usize)> = vec![];
    for (id, _) in rows {
        let window = id / LENGTH * LENGTH;
        match windows.last_mut() {
            Some((_, end, n)) if sessions && *id <= *end => (*end, *n) = (id + GAP, *n + 1),
            Some((start, _, n)) if !sessions && *start == window => *n += 1,
            _ if sessions => windows.push((*id, id + GAP, 1)),
            _ => windows.push((window, window + LENGTH, 1)),
        }
    }
    windows.into_iter().map(|(start, end, n)| format!("{x} {} {} {n}", start * 1000, end * 1000)).collect()
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
