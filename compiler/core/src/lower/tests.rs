//! Flows and steps by hand, and the graphs that they become.

use crate::checked::*;
use flowc_ir::aggregates::AggregateFunction;
use flowc_ir::catalog::TableInfo;
use flowc_ir::functions::resolve;
use flowc_ir::graph::{Kind, LookupKind, Operator};
use flowc_ir::plan::{Connector, Plan, SinkMode, SourceSpec, TableSpec};
use flowc_ir::*;

pub(crate) fn column(index: usize, ty: Type) -> Expr {
    Expr::new(ExprKind::Column(index), ty, Origin::default())
}

pub(crate) fn long(value: i64) -> Expr {
    Expr::new(ExprKind::Literal(Value::Long(value)), Type::new(DataType::Long), Origin::default())
}

pub(crate) fn call(name: &str, args: Vec<Expr>) -> Expr {
    let types: Vec<Type> = args.iter().map(|a| a.ty.clone()).collect();
    let found = resolve(name, &types).expect("the call resolves");
    Expr::new(ExprKind::Call { function: found.function, args }, found.result, Origin::default())
}

pub(crate) fn and(xs: Vec<Expr>) -> Expr {
    let nullable = xs.iter().any(|x| x.ty.nullable);
    Expr::new(ExprKind::And(xs), Type::boolean().with_nullable(nullable), Origin::default())
}

pub(crate) fn schema(columns: &[(&str, Type)]) -> Schema {
    Schema::new(columns.iter().map(|(name, ty)| Field::new(*name, ty.clone())).collect())
}

pub(crate) fn id() -> Type {
    Type::new(DataType::Long)
}

pub(crate) fn identity(schema: &Schema) -> Program {
    let outputs = schema.fields.iter().enumerate();
    let outputs = outputs.map(|(i, f)| Output { field: f.clone(), value: column(i, f.ty.clone()) }).collect();
    Program { input: schema.clone(), steps: vec![], outputs }
}

fn rows(schema: &Schema, bounded: bool) -> Rows {
    let joined = vec![false; schema.len()];
    Rows { schema: schema.clone(), joined, kind: Kind::Append, bounded, event_time: None, window: None }
}

fn delta(location: &str) -> Connector {
    Connector::Delta { location: location.into() }
}

/// A program over `sensor(id, value, xs)` and the table `device(id, site)`.
pub(crate) struct Builder {
    pub(crate) checked: Checked,
}

impl Builder {
    pub(crate) fn new() -> Self {
        let item = Type::nullable(DataType::Integer);
        let sensor = schema(&[
            ("id", id()),
            ("value", Type::nullable(DataType::Double)),
            ("xs", Type::new(DataType::Array(Box::new(item)))),
        ]);
        let device = schema(&[("id", id()), ("site", Type::new(DataType::String))]);
        let (info, origin) = (TableInfo::default(), Origin::default());
        let spec = SourceSpec {
            arrival: None,
            updates: Default::default(),
            committed: None,
            promises: vec![],
            quarantine: None,
            name: "sensor".into(),
            connector: delta("/sensor"),
            schema: sensor.clone(),
            predicate: None,
            start: None,
            origin,
        };
        let source = CheckedSource {
            spec,
            changes: None,
            records: None,
            derive: None,
            schema: sensor,
            event_time: None,
            watermark: None,
            idle: None,
            bounded: false,
            info: info.clone(),
            facts: vec![],
        };
        let spec = TableSpec {
            promises: vec![],
            name: "device".into(),
            connector: delta("/device"),
            schema: device,
            predicate: None,
            version: None,
            origin,
        };
        let checked = Checked {
            pipeline: "p".into(),
            description: None,
            sources: vec![source],
            tables: vec![CheckedTable { spec, info, facts: vec![] }],
            flows: vec![],
            sinks: vec![],
            obligations: vec![],
            tests: vec![],
            unproved: None,
        };
        Builder { checked }
    }

    pub(crate) fn schema(&self, input: Input) -> Schema {
        match input {
            Input::Source(i) => self.checked.sources[i].schema.clone(),
            Input::Malformed(_) => flowc_ir::graph::malformed_schema(),
            Input::Table(i) => self.checked.tables[i].spec.schema.clone(),
            Input::Flow(i) => self.checked.flows[i].rows.schema.clone(),
            Input::Rejected(i) => self.checked.flows[i].rejected[0].program.output_schema(),
            Input::Late(i) => self.checked.flows[i].late.as_ref().expect("a step").program.output_schema(),
        }
    }

    pub(crate) fn flow(&mut self, name: &str, input: Input, steps: Vec<(&'static str, Operation, Schema)>) -> Input {
        let origin = Origin::default();
        let steps: Vec<_> = steps
            .into_iter()
            .map(|(keyword, operation, schema)| CheckedStep { operation, rows: rows(&schema, false), keyword, origin })
            .collect();
        let rows = steps.last().map_or_else(|| rows(&self.schema(input), false), |s| s.rows.clone());
        self.checked.flows.push(CheckedFlow {
            name: name.into(),
            doc: None,
            input,
            steps,
            rows,
            rejected: vec![],
            late: None,
            origin,
        });
        Input::Flow(self.checked.flows.len() - 1)
    }

    pub(crate) fn sink(&mut self, name: &str, input: Input, mode: SinkMode) {
        self.checked.sinks.push(CheckedSink {
            name: name.into(),
            connector: delta(&format!("/{name}")),
            mode,
            input,
            program: identity(&self.schema(input)),
            tested: vec![],
            partition_by: vec![],
            generated: vec![],
            constraints: vec![],
            enforced: vec![],
            properties: Default::default(),
            description: None,
            evolve: false,
            existing: None,
            since_commit: false,
            origin: Origin::default(),
        });
    }
}

/// The operators, each with the numbers of its inputs.
fn shape(plan: &Plan) -> Vec<String> {
    let name = |operator: &Operator| match operator {
        Operator::Source(_) => "source",
        Operator::Malformed(_) => "malformed",
        Operator::TableScan(_) => "scan",
        Operator::Transform(_) => "transform",
        Operator::Lookup(_) => "lookup",
        Operator::Aggregate(_) => "aggregate",
        Operator::KeyedAggregate(_) => "keyed aggregate",
        Operator::Upsert(_) => "upsert",
        Operator::Sort(_) => "sort",
        Operator::Limit(_) => "limit",
        Operator::Union => "union",
        Operator::Explode { .. } => "explode",
        Operator::Unique(_) => "unique",
        Operator::Expect(_) => "expect",
        Operator::Watermark(_) => "watermark",
        Operator::WindowAggregate(_) => "window",
        Operator::Dedup(_) => "dedup",
        Operator::Top(_) => "top",
        Operator::Join(_) => "join",
        Operator::Late => "late",
        Operator::Sink(_) => "sink",
    };
    let nodes = plan.graph.nodes.iter();
    nodes.map(|n| n.inputs.iter().fold(name(&n.operator).to_string(), |s, i| format!("{s} {}", i.0))).collect()
}

fn joined(b: &Builder, nullable: bool) -> Schema {
    let mut out = b.schema(Input::Source(0));
    out.fields.push(Field::new("device.id", id().with_nullable(nullable)));
    out.fields.push(Field::new("device.site", Type::new(DataType::String).with_nullable(nullable)));
    out
}

fn lookup(plan: &Plan) -> &flowc_ir::graph::Lookup {
    let find = plan.graph.nodes.iter().find_map(|n| match &n.operator {
        Operator::Lookup(lookup) => Some(lookup),
        _ => None,
    });
    find.expect("there is a lookup")
}

fn join(kind: LookupKind, on: Expr) -> Plan {
    let mut b = Builder::new();
    let carries = matches!(kind, LookupKind::Inner | LookupKind::Left);
    let out = if carries { joined(&b, kind == LookupKind::Left) } else { b.schema(Input::Source(0)) };
    let operation = Operation::Lookup { table: 0, alias: "device".into(), kind, as_of: None, on };
    let flow = b.flow("f", Input::Source(0), vec![("join", operation, out)]);
    b.sink("out", flow, SinkMode::Append);
    b.checked.lower().plan().clone()
}

fn same_id() -> Expr {
    call("equal", vec![column(3, id()), column(0, id())])
}

#[test]
fn what_no_sink_reads_is_left_out_and_what_two_read_is_one_node() {
    let mut b = Builder::new();
    let source = Input::Source(0);
    let filter = Program {
        steps: vec![ProgramStep::Filter(call("greater", vec![column(0, id()), long(1)]))],
        ..identity(&b.schema(source))
    };
    let shared = b.flow("shared", source, vec![("where", Operation::Transform(filter), b.schema(source))]);
    b.flow("unused", Input::Table(0), vec![]);
    b.sink("a", shared, SinkMode::Append);
    b.sink("b", shared, SinkMode::Append);
    let plan = b.checked.lower().plan().clone();
    assert_eq!(shape(&plan), ["source", "transform 0", "transform 1", "sink 2", "transform 1", "sink 4"]);
    assert_eq!(plan.tables, []);
    assert!(plan.sinks.iter().all(|s| !s.whole));
}

#[test]
fn what_a_whole_computation_reads_is_bounded() {
    let mut b = Builder::new();
    let flow = b.flow("f", Input::Source(0), vec![]);
    b.sink("a", Input::Source(0), SinkMode::Append);
    b.sink("b", flow, SinkMode::Overwrite);
    let plan = b.checked.lower().plan().clone();
    assert_eq!(shape(&plan), ["source", "transform 0", "sink 1", "transform 0", "sink 3"]);
    assert!(plan.graph.nodes.iter().all(|n| n.bounded));
    assert_eq!(plan.sinks.iter().map(|s| s.whole).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn an_equality_becomes_keys_and_the_rest_goes_where_it_can() {
    let table_only =
        call("equal", vec![column(4, Type::new(DataType::String)), column(4, Type::new(DataType::String))]);
    let stream_only = call("greater", vec![column(0, id()), long(1)]);
    let both = call("less", vec![column(0, id()), column(3, id())]);
    let on = and(vec![same_id(), table_only, stream_only, both]);
    let inner = join(LookupKind::Inner, on.clone());
    assert_eq!(shape(&inner), ["source", "transform 0", "lookup 1", "transform 2", "sink 3"]);
    assert_eq!((&lookup(&inner).stream_keys, &lookup(&inner).table_keys), (&vec![0], &vec![0]));
    assert_eq!(lookup(&inner).prepare.steps.len(), 1);
    assert!(lookup(&inner).residual.is_some());
    // Unmatched rows come out of these: the condition on the stream is no filter.
    for kind in [LookupKind::Left, LookupKind::Anti] {
        let plan = join(kind, on.clone());
        assert_eq!(shape(&plan), ["source", "lookup 0", "transform 1", "sink 2"]);
        assert_eq!(lookup(&plan).prepare.steps.len(), 1);
    }
}

#[test]
fn what_can_fail_stays_in_its_place() {
    let sum = || call("greater", vec![call("add", vec![column(0, id()), long(1)]), long(5)]);
    // Second, it is evaluated only where the first is true.
    let plan = join(LookupKind::Inner, and(vec![call("less", vec![column(0, id()), column(3, id())]), sum()]));
    assert_eq!(shape(&plan), ["source", "lookup 0", "transform 1", "sink 2"]);
    assert!(lookup(&plan).residual.is_some());
    // First, it is evaluated for every row; a key behind one that can fail and stays is no key.
    let pair = call("greater", vec![call("add", vec![column(0, id()), column(3, id())]), long(5)]);
    let plan = join(LookupKind::Inner, and(vec![sum(), pair, same_id()]));
    assert_eq!(shape(&plan), ["source", "transform 0", "lookup 1", "transform 2", "sink 3"]);
    assert!(lookup(&plan).stream_keys.is_empty());
}

#[test]
fn computed_keys_are_temporary() {
    let key = call("equal", vec![call("add", vec![column(0, id()), long(1)]), column(3, id())]);
    let plan = join(LookupKind::Inner, key);
    assert_eq!(shape(&plan), ["source", "transform 0", "lookup 1", "transform 2", "transform 3", "sink 4"]);
    assert_eq!(plan.graph.nodes[1].schema.fields[3].name, "#id + 1");
    let names: Vec<_> = plan.graph.nodes[3].schema.fields.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["id", "value", "xs", "device.id", "device.site"]);
}

#[test]
fn aggregates_and_sorts_compute_what_they_need_first() {
    let mut b = Builder::new();
    let source = Input::Source(0);
    let double = Type::nullable(DataType::Double);
    let aggregate = |name: &str, function, args: Vec<Expr>, filter, ty| CheckedAggregate {
        field: Field::new(name, ty),
        function,
        args,
        constants: vec![],
        filter,
        origin: Origin::default(),
    };
    let next = || call("add", vec![column(0, id()), long(1)]);
    let positive = call("greater", vec![column(0, id()), long(0)]);
    let operation = Operation::Aggregate {
        keys: vec![(Field::new("next", id()), next())],
        aggregates: vec![
            aggregate("n", AggregateFunction::Count, vec![], Some(positive), id()),
            aggregate("mean", AggregateFunction::Avg, vec![column(1, double.clone())], None, double.clone()),
            aggregate("top", AggregateFunction::Max, vec![next()], None, id()),
        ],
        window: None,
    };
    let out = schema(&[("next", id()), ("n", id()), ("mean", double), ("top", id())]);
    let order =
        vec![CheckedSortKey { value: call("negate", vec![column(1, id())]), descending: true, nulls_first: false }];
    let steps = vec![
        ("aggregate", operation, out.clone()),
        ("sort", Operation::Sort(order), out.clone()),
        ("limit", Operation::Limit(3), out),
    ];
    let flow = b.flow("f", source, steps);
    b.sink("out", flow, SinkMode::Append);
    let plan = b.checked.lower().plan().clone();
    let expected = [
        "source",
        "transform 0",
        "aggregate 1",
        "transform 2",
        "sort 3",
        "transform 4",
        "limit 5",
        "transform 6",
        "sink 7",
    ];
    assert_eq!(shape(&plan), expected);
    assert!(plan.sinks[0].whole);
    // The key, the filter and the operand of avg: `next` is computed once.
    assert_eq!(
        plan.graph.nodes[1].schema.fields.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(),
        ["#id + 1", "#id > 0", "value"]
    );
}

#[test]
fn an_element_takes_the_place_of_a_column_of_its_name() {
    let mut b = Builder::new();
    let source = Input::Source(0);
    let xs = column(2, b.schema(source).fields[2].ty.clone());
    let item = Type::nullable(DataType::Integer);
    let mut replaced = b.schema(source);
    replaced.fields[0] = Field::new("id", item.clone());
    let explode = |array: Expr, name: &str| Operation::Explode { array, element: Field::new(name, item.clone()) };
    let mut added = replaced.clone();
    added.fields.push(Field::new("x", item.clone()));
    let twice = call("concat", vec![xs.clone(), xs.clone()]);
    let steps = vec![("explode", explode(xs, "id"), replaced), ("explode", explode(twice, "x"), added)];
    let flow = b.flow("f", source, steps);
    b.sink("out", flow, SinkMode::Append);
    let plan = b.checked.lower().plan().clone();
    let expected =
        ["source", "explode 0", "transform 1", "transform 2", "explode 3", "transform 4", "transform 5", "sink 6"];
    assert_eq!(shape(&plan), expected);
}

#[test]
fn a_union_aligns_its_inputs() {
    let mut b = Builder::new();
    let out = schema(&[("id", id())]);
    let only_id = |schema: &Schema| Program { outputs: identity(schema).outputs[..1].to_vec(), ..identity(schema) };
    let align = only_id(&b.schema(Input::Source(0)));
    let others = vec![(Input::Table(0), only_id(&b.schema(Input::Table(0))))];
    let flow = b.flow("f", Input::Source(0), vec![("union", Operation::Union { align, others }, out)]);
    b.sink("out", flow, SinkMode::Overwrite);
    let plan = b.checked.lower().plan().clone();
    assert_eq!(shape(&plan), ["source", "transform 0", "scan", "transform 2", "union 1 3", "transform 4", "sink 5"]);
}

#[test]
fn what_is_remembered_is_named_by_flow_and_word() {
    let dedup = || Operation::Dedup { keys: vec![column(0, id())], within: None, by_time: false, whole: true };
    let top = || Operation::Top { count: 1, order: vec![], keys: vec![], window: None, whole: true };
    let names = |first: &str, more: bool| {
        let mut b = Builder::new();
        let all = b.schema(Input::Source(0));
        let step = |operation: Operation| ("step", operation, all.clone());
        let mut steps = vec![step(dedup()), step(top()), step(Operation::Limit(3)), step(dedup())];
        if more {
            steps.insert(3, step(Operation::Sort(vec![])));
            steps.push(step(dedup()));
        }
        let other = b.flow(first, Input::Source(0), vec![step(dedup())]);
        let flow = b.flow("f", Input::Source(0), steps);
        b.sink("a", other, SinkMode::Overwrite);
        b.sink("b", flow, SinkMode::Overwrite);
        let plan = b.checked.lower().plan().clone();
        let name = |node: &flowc_ir::graph::Node| match &node.operator {
            Operator::Dedup(dedup) => Some(dedup.name.clone()),
            Operator::Top(top) => Some(top.name.clone()),
            _ => None,
        };
        plan.graph.nodes.iter().filter_map(name).collect::<Vec<_>>()
    };
    assert_eq!(names("e", false), ["e |> dedup", "f |> dedup", "f |> top", "f |> dedup 2"]);
    // Neither other flows nor what stands between or behind changes a name.
    assert_eq!(names("x", true), ["x |> dedup", "f |> dedup", "f |> top", "f |> dedup 2", "f |> dedup 3"]);
}
