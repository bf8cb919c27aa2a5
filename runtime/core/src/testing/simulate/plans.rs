//! The programs that are simulated, and what some of them mean, said again in a few lines of Rust that share nothing with the engine.

use super::world::{Part, TABLE, double};
use crate::testing::time::timed_schema;
use crate::testing::{Planned, Row, row_schema};
use flowc_ir::graph::*;
use flowc_ir::plan::{Connector, TableSpec};
use flowc_ir::{Expr, ExprKind, Field, Origin, Output, Program, Schema};
use std::collections::BTreeMap;

/// What rows are put through. The event time of a row is its `id` in microseconds, its key `k` the rest of `id` by three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Topology {
    /// Rows looked up in a table, filtered rows, rows in their order, and the whole again and again.
    Stateless,
    /// A tumbling window by key, and what came too late for it.
    Windows,
    /// Sessions, then a window over them.
    Chain,
    /// Two sources matched within a duration.
    InnerJoin,
    /// Unmatched left rows, too.
    LeftJoin,
    /// The first row of each key within a duration, and the best of each window over them.
    FirstAndBest,
    /// A window over two sources with watermarks of their own.
    Union,
}

pub(super) const TOPOLOGIES: [Topology; 7] = [
    Topology::Stateless,
    Topology::Windows,
    Topology::Chain,
    Topology::InnerJoin,
    Topology::LeftJoin,
    Topology::FirstAndBest,
    Topology::Union,
];

/// The delay of watermarks.
pub(super) const DELAY: i64 = 4;

/// How far apart the rows of a match may be.
pub(super) const WITHIN: i64 = 6;

impl Topology {
    /// Its sinks.
    pub(super) fn sinks(self) -> &'static [&'static str] {
        match self {
            Topology::Stateless => &["all", "even", "ordered", "whole"],
            Topology::Windows | Topology::Union => &["out", "late"],
            Topology::Chain => &["out", "sessions"],
            Topology::InnerJoin | Topology::LeftJoin => &["out"],
            Topology::FirstAndBest => &["first", "out"],
        }
    }

    /// The sinks whose rows must come in the order of their windows' ends, with the place of that column.
    pub(super) fn by_end(self) -> &'static [(&'static str, usize)] {
        match self {
            Topology::Windows | Topology::Union | Topology::FirstAndBest => &[("out", 2)],
            Topology::Chain => &[("out", 1), ("sessions", 1)],
            _ => &[],
        }
    }

    /// The plan with the first so many of its sinks.
    pub(super) fn plan(self, sinks: usize) -> Planned {
        let mut plan = Planned::new();
        let ends = match self {
            Topology::Stateless => stateless(&mut plan),
            Topology::Windows => {
                let rows = plan.timed("in", DELAY);
                let windowed = plan.window("w", rows, tumble(10), (2, &[3]));
                vec![windowed, plan.node(Operator::Late, &[windowed], timed_schema())]
            }
            Topology::Union => union(&mut plan),
            Topology::Chain => {
                let rows = plan.timed("in", DELAY);
                let sessions = plan.window("sessions", rows, Window::Session { gap: 3 }, (2, &[]));
                let ended = plan.last_instant(sessions, 1);
                vec![plan.window("w", ended, tumble(20), (4, &[])), sessions]
            }
            Topology::InnerJoin => join(&mut plan, JoinKind::Inner),
            Topology::LeftJoin => join(&mut plan, JoinKind::Left),
            Topology::FirstAndBest => first_and_best(&mut plan),
        };
        for (name, node) in self.sinks().iter().zip(ends).take(sinks) {
            plan.sink(name, node, *name == "whole");
        }
        flowc_ir::verify::verify(&plan.plan).unwrap();
        plan
    }

    /// What its sinks must hold when `rows` are all there are and none is late: for some, as far as a few lines tell. Lines may be the beginnings of rows.
    pub(super) fn model(self, rows: &Part) -> BTreeMap<&'static str, Vec<String>> {
        let of = |source: &str| rows.get(source).map_or(&[][..], Vec::as_slice);
        match self {
            Topology::Stateless => modelled_stateless(of("in")),
            Topology::Windows => BTreeMap::from([("out", modelled_windows(of("in"), true)), ("late", vec![])]),
            Topology::Union => {
                let both = [of("in"), of("other")].concat();
                BTreeMap::from([("out", modelled_windows(&both, false)), ("late", vec![])])
            }
            Topology::Chain => modelled_chain(of("in")),
            Topology::InnerJoin => BTreeMap::from([("out", modelled_join(of("in"), of("other"), false))]),
            Topology::LeftJoin => BTreeMap::from([("out", modelled_join(of("in"), of("other"), true))]),
            Topology::FirstAndBest => BTreeMap::new(),
        }
    }
}

fn tumble(size: i64) -> Window {
    Window::Tumble { size, align: Alignment::default() }
}

fn stateless(plan: &mut Planned) -> Vec<NodeId> {
    let source = plan.source("in");
    let id = TableId(plan.plan.tables.len() as u32);
    plan.plan.tables.push(TableSpec {
        name: TABLE.into(),
        connector: Connector::Console,
        schema: row_schema(),
        predicate: None,
        version: None,
        promises: vec![],
        origin: Origin::default(),
    });
    let outputs = row_schema().fields.into_iter().enumerate().map(|(i, field)| {
        let value = Expr::new(ExprKind::Column(i), field.ty.clone(), Origin::default());
        Output { field, value }
    });
    let prepare = Program { input: row_schema(), steps: vec![], outputs: outputs.collect() };
    let spec = Lookup {
        as_of: None,
        table: id,
        kind: LookupKind::Left,
        prepare,
        stream_keys: vec![0],
        table_keys: vec![0],
        residual: None,
        output: vec![1],
    };
    let mut schema = row_schema();
    schema.fields.push(Field::new("dim.x", row_schema().fields[1].ty.clone()));
    let found = plan.node(Operator::Lookup(spec), &[source], schema);
    let even = plan.divisible(source, 2);
    vec![found, even, source, source]
}

fn union(plan: &mut Planned) -> Vec<NodeId> {
    let (rows, other) = (plan.timed("in", DELAY), plan.timed("other", DELAY));
    let both = plan.node(Operator::Union, &[rows, other], timed_schema());
    let windowed = plan.window("w", both, tumble(10), (2, &[3]));
    // Which row of the two sources is the last depends on how they are cut, unless it is by event time.
    if let Operator::WindowAggregate(spec) = &mut plan.plan.graph.nodes[windowed.0 as usize].operator {
        spec.by_time = true;
    }
    vec![windowed, plan.node(Operator::Late, &[windowed], timed_schema())]
}

fn join(plan: &mut Planned, kind: JoinKind) -> Vec<NodeId> {
    let (rows, other) = (plan.timed("in", DELAY), plan.timed("other", DELAY));
    let within = Some(Within { left: 2, right: 2, duration: WITHIN });
    let name = "j".to_string();
    let spec = StreamJoin { name, kind, left_keys: vec![3], right_keys: vec![3], within, residual: None };
    let mut schema: Schema = timed_schema();
    for field in timed_schema().fields {
        let ty = if kind.widens_right() { field.ty.with_nullable(true) } else { field.ty };
        schema.fields.push(Field::new(format!("o.{}", field.name), ty));
    }
    vec![plan.node(Operator::Join(spec), &[rows, other], schema)]
}

fn first_and_best(plan: &mut Planned) -> Vec<NodeId> {
    let rows = plan.timed("in", DELAY);
    let dedup = Dedup { name: "d".into(), keys: vec![3], time: Some(2), within: Some(7), by_time: false };
    let first = plan.node(Operator::Dedup(dedup), &[rows], timed_schema());
    let windowed = plan.window("w", first, tumble(15), (2, &[3]));
    let order = vec![SortColumn { column: 3, descending: true, nulls_first: false }];
    let top = Top { name: "t".into(), count: 2, order, keys: vec![], window: Some((1, 2)) };
    let schema = plan.plan.graph.node(windowed).schema.clone();
    vec![first, plan.node(Operator::Top(top), &[windowed], schema)]
}

fn shown(x: Option<f64>) -> String {
    x.map_or("null".into(), double)
}

fn modelled_stateless(rows: &[Row]) -> BTreeMap<&'static str, Vec<String>> {
    let line = |(id, x): &Row| format!("{id} {}", shown(*x));
    let found = |row: &Row| {
        let x = (row.0 % 4 == 0 && (0..40).contains(&row.0)).then_some(row.0 as f64 / 2.0);
        format!("{} {}", line(row), shown(x))
    };
    let all: Vec<String> = rows.iter().map(line).collect();
    let even = rows.iter().filter(|row| row.0 % 2 == 0).map(line).collect();
    BTreeMap::from([
        ("all", rows.iter().map(found).collect()),
        ("even", even),
        ("ordered", all.clone()),
        ("whole", all),
    ])
}

fn modelled_windows(rows: &[Row], last: bool) -> Vec<String> {
    let mut windows: BTreeMap<(i64, i64), (u64, Option<f64>)> = BTreeMap::new();
    for (id, x) in rows {
        let window = windows.entry((id.div_euclid(10) * 10, id % 3)).or_default();
        *window = (window.0 + 1, *x);
    }
    let line = |((start, k), (n, x)): (&(i64, i64), &(u64, Option<f64>))| {
        let line = format!("{k} {start} {} {n}", start + 10);
        if last { format!("{line} {}", shown(*x)) } else { line }
    };
    windows.iter().map(line).collect()
}

fn modelled_chain(rows: &[Row]) -> BTreeMap<&'static str, Vec<String>> {
    let mut times: Vec<(i64, usize)> = rows.iter().enumerate().map(|(i, row)| (row.0, i)).collect();
    times.sort_unstable();
    let mut sessions: Vec<Vec<(i64, usize)>> = vec![];
    for row in times {
        match sessions.last_mut() {
            Some(session) if row.0 - session[session.len() - 1].0 <= 3 => session.push(row),
            _ => sessions.push(vec![row]),
        }
    }
    let (mut lines, mut windows): (Vec<String>, BTreeMap<i64, (u64, i64)>) = (vec![], BTreeMap::new());
    for session in sessions {
        let (start, end) = (session[0].0, session[session.len() - 1].0 + 3);
        let last = session.iter().map(|(_, i)| *i).max().and_then(|i| rows[i].1);
        lines.push(format!("{start} {end} {} {}", session.len(), shown(last)));
        // Sessions come in the order of their ends; their time is their last instant.
        let window = windows.entry((end - 1).div_euclid(20) * 20).or_default();
        *window = (window.0 + 1, end);
    }
    let windows = windows.iter().map(|(start, (n, last))| format!("{start} {} {n} {last}", start + 20));
    BTreeMap::from([("sessions", lines), ("out", windows.collect())])
}

fn modelled_join(left: &[Row], right: &[Row], unmatched: bool) -> Vec<String> {
    let line = |(id, x): &Row| format!("{id} {} {id} {}", shown(*x), id % 3);
    let mut lines = vec![];
    for row in left {
        let near = |other: &&Row| row.0 % 3 == other.0 % 3 && row.0.abs_diff(other.0) <= WITHIN as u64;
        let matches: Vec<String> =
            right.iter().filter(near).map(|other| format!("{} {}", line(row), line(other))).collect();
        if matches.is_empty() && unmatched {
            lines.push(format!("{} null null null null", line(row)));
        }
        lines.extend(matches);
    }
    lines
}
