//! A plan that keeps all laws, and for every law changes that break it.

use super::{Law, verify, verify_program};
use crate::aggregates::AggregateFunction;
use crate::expr::{CastFailure, Expr, ExprKind, LocalId, Origin, Output, Program, ProgramStep};
use crate::functions::{find, resolve};
use crate::graph::*;
use crate::plan::{Connector, Plan, SinkMode, SinkSpec, SourceSpec, TableSpec, VersionSpec};
use crate::types::{DataType, Field, Schema, Type};
use crate::value::Value;
use std::collections::BTreeSet;

fn column(index: usize, ty: Type) -> Expr {
    Expr::new(ExprKind::Column(index), ty, Origin::default())
}

fn literal(value: Value, data: DataType) -> Expr {
    Expr::new(ExprKind::Literal(value), Type::new(data), Origin::default())
}

fn call(name: &str, args: Vec<Expr>) -> Expr {
    let types: Vec<Type> = args.iter().map(|a| a.ty.clone()).collect();
    let found = resolve(name, &types).expect("the call resolves");
    Expr::new(ExprKind::Call { function: found.function, args }, found.result, Origin::default())
}

fn long() -> Type {
    Type::new(DataType::Long)
}

fn expr(kind: ExprKind, ty: Type) -> Expr {
    Expr::new(kind, ty, Origin::default())
}

fn boxed(e: Expr) -> Box<Expr> {
    Box::new(e)
}

fn item() -> Type {
    Type::nullable(DataType::Integer)
}

fn columns() -> Schema {
    Schema::new(vec![
        Field::new("id", long()),
        Field::new("value", Type::nullable(DataType::Double)),
        Field::new("xs", Type::new(DataType::Array(Box::new(item())))),
        Field::new("m", Type::new(DataType::Map(Box::new(DataType::String), Box::new(item())))),
    ])
}

fn positive(schema: &Schema) -> Program {
    let condition = call("greater", vec![column(0, long()), literal(Value::Long(0), DataType::Long)]);
    let field = Field::new("needed", condition.ty.clone());
    Program { input: schema.clone(), steps: vec![], outputs: vec![Output { field, value: condition }] }
}

fn node(operator: Operator, inputs: &[u32], schema: Schema) -> Node {
    let inputs = inputs.iter().map(|i| NodeId(*i)).collect();
    Node { operator, inputs, schema, kind: Kind::Append, bounded: true, label: "n".into(), origin: Origin::default() }
}

fn identity(schema: &Schema) -> Program {
    let outputs = schema.fields.iter().enumerate();
    let outputs = outputs.map(|(i, f)| Output { field: f.clone(), value: column(i, f.ty.clone()) }).collect();
    Program { input: schema.clone(), steps: vec![], outputs }
}

fn sink(schema: Schema) -> SinkSpec {
    SinkSpec {
        name: "out".into(),
        connector: Connector::Console,
        mode: SinkMode::Overwrite,
        whole: true,
        schema,
        changing: false,
        partition_by: vec!["id".into()],
        generated: vec![],
        constraints: vec![],
        enforced: vec![],
        properties: Default::default(),
        description: None,
        evolve: false,
        input: NodeId(7),
        origin: Origin::default(),
    }
}

fn timed(schema: &Schema) -> Schema {
    let mut fields = schema.fields.to_vec();
    fields.push(Field::new("at", Type::nullable(DataType::Timestamp)));
    Schema::new(fields)
}

/// A program that adds an event time.
fn with_time(schema: &Schema) -> Program {
    let null = expr(ExprKind::Literal(Value::Null), Type::nullable(DataType::Timestamp));
    let mut program = identity(schema);
    program.outputs.push(Output { field: timed(schema).fields.remove(schema.len()), value: null });
    program
}

/// What knows of event time: transform → watermark → dedup → join with itself → window → top, and the late rows of the window. The first node is 11, the
/// source is 1.
fn streaming(nodes: &mut Vec<Node>, schema: &Schema, counted: &AggregateCall) {
    let input = timed(schema);
    let mut joined = input.clone();
    joined.fields.extend(input.fields.iter().map(|f| Field {
        name: format!("other.{}", f.name),
        ty: f.ty.clone().with_nullable(true),
        ..f.clone()
    }));
    let mut pair = input.clone();
    pair.fields.extend(input.fields.iter().map(|f| Field { name: format!("#{}", f.name), ..f.clone() }));
    let instant = Type::new(DataType::Timestamp);
    let windows = Schema::new(vec![
        Field::new("id", long()),
        Field::new("window_start", instant.clone()),
        Field::new("window_end", instant),
        Field::new("n", long()),
        Field::new("least", long()),
    ]);
    let least = AggregateCall { function: AggregateFunction::Min, args: vec![0], ..counted.clone() };
    let name = |word: &str| format!("f|>{word}");
    let window = WindowAggregate {
        name: name("aggregate"),
        window: Window::Hop { size: 60, slide: 20, align: Alignment { offset: 5, zone: Some("Europe/Berlin".into()) } },
        time: 4,
        aggregate: Aggregate { keys: vec![0], aggregates: vec![counted.clone(), least] },
        by_time: true,
        late: None,
    };
    let dedup = Dedup { name: name("dedup"), keys: vec![0, 1], time: Some(4), within: Some(7), by_time: true };
    let join = StreamJoin {
        name: name("join"),
        kind: JoinKind::Left,
        left_keys: vec![0],
        right_keys: vec![0],
        within: Some(Within { left: 4, right: 4, duration: 10 }),
        residual: Some(positive(&pair)),
    };
    let order = vec![SortColumn { column: 3, descending: true, nulls_first: false }];
    let top = Top { name: name("top"), count: 3, order, keys: vec![0], window: Some((1, 2)) };
    let watermark = Watermark { source: "s".into(), time: 4, delay: 5, idle: Some(60) };
    let first = nodes.len() as u32;
    nodes.extend([
        node(Operator::Transform(with_time(schema)), &[1], input.clone()),
        node(Operator::Watermark(watermark), &[first], input.clone()),
        node(Operator::Dedup(dedup), &[first + 1], input.clone()),
        node(Operator::Join(join), &[first + 2, first + 1], joined.clone()),
        node(Operator::WindowAggregate(window), &[first + 3], windows.clone()),
        node(Operator::Top(top), &[first + 4], windows),
        node(Operator::Late, &[first + 4], joined),
    ]);
}

/// scan → transform → lookup → explode → union → sort → limit → aggregate → sink; and what knows of event time
pub(crate) fn plan() -> Plan {
    let (schema, table) = (columns(), Schema::new(vec![Field::new("id", long()), Field::new("site", long())]));
    let mut wide = schema.clone();
    wide.fields.push(Field::new("device.site", long()));
    let mut exploded = wide.clone();
    exploded.fields.push(Field::new("x", item()));
    let counted = Schema::new(vec![Field::new("id", long()), Field::new("n", long())]);
    let mut pair = schema.clone();
    pair.fields.extend([Field::new("#0", long()), Field::new("site", long())]);
    let lookup = Lookup {
        table: TableId(0),
        kind: LookupKind::Inner,
        as_of: None,
        prepare: identity(&table),
        stream_keys: vec![0],
        table_keys: vec![0],
        residual: Some(positive(&pair)),
        output: vec![1],
    };
    let mut program = identity(&schema);
    program.steps.push(ProgramStep::Filter(positive(&schema).outputs.remove(0).value));
    let aggregate = Aggregate {
        keys: vec![0],
        aggregates: vec![AggregateCall {
            function: AggregateFunction::Count,
            args: vec![1],
            constants: vec![],
            filter: None,
            ty: long(),
            origin: Origin::default(),
        }],
    };
    let by_id = vec![SortColumn { column: 0, descending: false, nulls_first: true }];
    let counted_call = aggregate.aggregates[0].clone();
    let mut nodes = vec![
        node(Operator::Source(SourceId(0)), &[], schema.clone()),
        node(Operator::Transform(program), &[0], schema.clone()),
        node(Operator::Lookup(lookup.clone()), &[1], wide.clone()),
        node(Operator::Explode { column: 2, element: Field::new("x", item()) }, &[2], exploded.clone()),
        node(Operator::Union, &[3, 3], exploded.clone()),
        node(Operator::Sort(by_id), &[4], exploded.clone()),
        node(Operator::Limit(3), &[5], exploded.clone()),
        node(Operator::Aggregate(aggregate), &[6], counted.clone()),
        node(Operator::Sink(SinkId(0)), &[7], counted.clone()),
        node(Operator::TableScan(TableId(0)), &[], table.clone()),
        node(Operator::Malformed(SourceId(1)), &[], malformed_schema()),
    ];
    let past = Lookup { kind: LookupKind::Semi, as_of: Some(4), output: vec![], residual: None, ..lookup.clone() };
    streaming(&mut nodes, &schema, &counted_call);
    nodes.push(node(Operator::Lookup(past), &[12], timed(&schema)));
    let connector = Connector::Delta { location: "/t".into() };
    let origin = Origin::default();
    let lines = SourceSpec {
        arrival: None,
        updates: Default::default(),
        committed: None,
        promises: vec![],
        name: "lines".into(),
        connector: Connector::Json { glob: "/lines/*".into() },
        schema: Schema::new(vec![schema.fields[0].clone()]),
        predicate: None,
        quarantine: Some(schema.clone()),
        start: None,
        origin,
    };
    Plan {
        pipeline: "p".into(),
        sources: vec![
            SourceSpec {
                arrival: None,
                updates: Default::default(),
                committed: None,
                promises: vec![],
                name: "s".into(),
                connector: connector.clone(),
                predicate: Some(positive(&schema)),
                quarantine: None,
                schema,
                start: None,
                origin,
            },
            lines,
        ],
        tables: vec![TableSpec {
            promises: vec![],
            name: "device".into(),
            connector: connector.clone(),
            schema: table,
            predicate: None,
            version: None,
            origin,
        }],
        sinks: vec![sink(counted)],
        graph: Graph { nodes },
    }
}

fn laws(plan: &Plan) -> BTreeSet<Law> {
    verify(plan).err().unwrap_or_default().into_iter().map(|v| v.law).collect()
}

#[test]
fn a_good_plan_has_no_violation() {
    assert_eq!(verify(&plan()), Ok(()));
}

fn lookup(plan: &mut Plan) -> &mut Lookup {
    match &mut plan.graph.nodes[2].operator {
        Operator::Lookup(lookup) => lookup,
        other => panic!("{other:?}"),
    }
}

fn aggregate(plan: &mut Plan) -> &mut Aggregate {
    match &mut plan.graph.nodes[7].operator {
        Operator::Aggregate(aggregate) => aggregate,
        other => panic!("{other:?}"),
    }
}

/// The lookup in a table's history.
fn past(plan: &mut Plan) -> &mut Lookup {
    match &mut plan.graph.nodes[18].operator {
        Operator::Lookup(lookup) => lookup,
        other => panic!("{other:?}"),
    }
}

macro_rules! operator {
    ($name:ident, $at:literal, $variant:ident, $ty:ty) => {
        fn $name(plan: &mut Plan) -> &mut $ty {
            match &mut plan.graph.nodes[$at].operator {
                Operator::$variant(found) => found,
                other => panic!("{other:?}"),
            }
        }
    };
}

operator!(watermark, 12, Watermark, Watermark);
operator!(dedup, 13, Dedup, Dedup);
operator!(join, 14, Join, StreamJoin);
operator!(window, 15, WindowAggregate, WindowAggregate);
operator!(top, 16, Top, Top);

fn transform(plan: &mut Plan) -> &mut Program {
    match &mut plan.graph.nodes[1].operator {
        Operator::Transform(program) => program,
        other => panic!("{other:?}"),
    }
}

/// A change to the good plan, and the law that it breaks.
type Planted = (Law, &'static str, fn(&mut Plan));

const PLANTED: &[Planted] = &[
    (Law::Order, "a later node is read", |p| p.graph.nodes[3].inputs = vec![NodeId(5)]),
    (Law::Order, "a node reads itself", |p| p.graph.nodes[3].inputs = vec![NodeId(3)]),
    (Law::Order, "too many inputs", |p| p.graph.nodes[6].inputs = vec![NodeId(5), NodeId(5)]),
    (Law::Order, "a source with an input", |p| p.graph.nodes[9].inputs = vec![NodeId(0)]),
    (Law::Reference, "no such source", |p| p.sources.clear()),
    (Law::Reference, "malformed records of a source that keeps none", |p| {
        p.graph.nodes[10].operator = Operator::Malformed(SourceId(0));
    }),
    (Law::SchemaAgreement, "malformed records with other columns", |p| drop(p.graph.nodes[10].schema.fields.pop())),
    (Law::SchemaAgreement, "a column is read that records are not judged by", |p| {
        p.sources[1].quarantine = Some(Schema::default());
    }),
    (Law::Predicate, "records that are skipped instead of judged", |p| {
        p.sources[1].predicate = Some(positive(&p.sources[1].schema));
    }),
    (Law::Reference, "no such table", |p| p.tables.clear()),
    (Law::Reference, "no such sink", |p| p.sinks.clear()),
    (Law::Reference, "a sink without a node", |p| {
        let second = p.sinks[0].clone();
        p.sinks.push(second);
    }),
    (Law::Reference, "a sink fed by another node", |p| p.sinks[0].input = NodeId(6)),
    (Law::Position, "a sort column out of range", |p| {
        p.graph.nodes[5].operator =
            Operator::Sort(vec![SortColumn { column: 9, descending: false, nulls_first: false }]);
    }),
    (Law::Position, "a partition column that is not written", |p| p.sinks[0].partition_by = vec!["day".into()]),
    (Law::Position, "a lookup output out of range", |p| lookup(p).output = vec![7]),
    (Law::SchemaAgreement, "a source yields another type", |p| p.graph.nodes[0].schema.fields[0].ty.nullable = true),
    (Law::SchemaAgreement, "a transform for other columns", |p| transform(p).input.fields[0].name = "other".into()),
    (Law::SchemaAgreement, "a transform yields others", |p| transform(p).outputs[0].field.name = "other".into()),
    (Law::SchemaAgreement, "a union of different schemas", |p| p.graph.nodes[4].inputs[1] = NodeId(2)),
    (Law::SchemaAgreement, "an explode of another type", |p| {
        p.graph.nodes[3].operator =
            Operator::Explode { column: 2, element: Field::new("x", Type::new(DataType::Long)) };
    }),
    (Law::SchemaAgreement, "an explode of what is no array", |p| {
        p.graph.nodes[3].operator = Operator::Explode { column: 0, element: Field::new("x", item()) };
    }),
    (Law::SchemaAgreement, "a left lookup that yields no null", |p| lookup(p).kind = LookupKind::Left),
    (Law::SchemaAgreement, "a semi lookup with columns", |p| lookup(p).kind = LookupKind::Semi),
    (Law::SchemaAgreement, "an aggregate column of another type", |p| {
        p.graph.nodes[7].schema.fields[1].ty = Type::new(DataType::Integer);
    }),
    (Law::SchemaAgreement, "a sink that writes other columns", |p| p.sinks[0].schema.fields[1].name = "m".into()),
    (Law::KeyType, "one key against none", |p| lookup(p).table_keys.clear()),
    (Law::KeyType, "a long against an array", |p| lookup(p).stream_keys = vec![2]),
    (Law::KeyType, "a map as a group", |p| aggregate(p).keys = vec![3]),
    (Law::Bounded, "sort of what does not end", |p| p.graph.nodes[4].bounded = false),
    (Law::Bounded, "a table that does not end", |p| p.graph.nodes[9].bounded = false),
    (Law::Bounded, "a sink that replaces with what is new", |p| p.sinks[0].whole = false),
    (Law::Predicate, "a predicate over other columns", |p| {
        p.sources[0].predicate.as_mut().expect("there is one").input.fields.pop();
    }),
    (Law::Predicate, "a residual with two outputs", |p| {
        let residual = lookup(p).residual.as_mut().expect("there is one");
        let mut second = residual.outputs[0].clone();
        second.field.name = "b".into();
        residual.outputs.push(second);
    }),
    (Law::AggregateType, "count as integer", |p| {
        aggregate(p).aggregates[0].ty = Type::new(DataType::Integer);
        p.graph.nodes[7].schema.fields[1].ty = Type::new(DataType::Integer);
    }),
    (Law::AggregateType, "min without operand", |p| {
        aggregate(p).aggregates[0].function = AggregateFunction::Min;
        aggregate(p).aggregates[0].args.clear();
    }),
    (Law::Boolean, "an aggregate's filter", |p| aggregate(p).aggregates[0].filter = Some(0)),
    (Law::Window, "a version by what is no time", |p| past(p).as_of = Some(0)),
    (Law::Position, "a version by no column", |p| past(p).as_of = Some(9)),
    (Law::Reference, "the history of a single version", |p| p.tables[0].version = Some(VersionSpec::Number(3))),
    (Law::KeyType, "a mark as of a time", |p| past(p).kind = LookupKind::Mark),
    (Law::Window, "a watermark by what is no time", |p| watermark(p).time = 0),
    (Law::Window, "a watermark ahead of the rows", |p| watermark(p).delay = -1),
    (Law::Position, "a watermark by no column", |p| watermark(p).time = 9),
    (Law::Window, "windows without a length", |p| {
        window(p).window = Window::Tumble { size: 0, align: Alignment::default() };
    }),
    (Law::Window, "windows whose last step ends behind them", |p| {
        window(p).window = Window::Cumulate { size: 7, step: 3, align: Alignment::default() };
    }),
    (Law::Window, "windows over what is no time", |p| window(p).time = 0),
    (Law::SchemaAgreement, "windows without their start", |p| drop(p.graph.nodes[15].schema.fields.remove(1))),
    (Law::AggregateType, "a windowed count as integer", |p| {
        window(p).aggregate.aggregates[0].ty = Type::new(DataType::Integer);
    }),
    (Law::Window, "dedup with a duration and no time", |p| dedup(p).time = None),
    (Law::KeyType, "dedup by a map", |p| dedup(p).keys = vec![3]),
    (Law::Bounded, "dedup for ever of what does not end", |p| {
        p.graph.nodes[12].bounded = false;
        (dedup(p).time, dedup(p).within) = (None, None);
    }),
    (Law::Window, "top in windows that start with a number", |p| top(p).window = Some((0, 2))),
    (Law::KeyType, "top by a map", |p| {
        p.graph.nodes[16].schema.fields[0].ty = columns().fields[3].ty.clone();
        p.graph.nodes[15].schema.fields[0].ty = columns().fields[3].ty.clone();
        top(p).keys = vec![0];
    }),
    (Law::Bounded, "top of what does not end", |p| {
        p.graph.nodes[15].bounded = false;
        top(p).window = None;
    }),
    (Law::KeyType, "a left key against none", |p| join(p).right_keys.clear()),
    (Law::Window, "a negative duration", |p| join(p).within.as_mut().expect("there is one").duration = -1),
    (Law::Window, "a join by what is no time", |p| join(p).within.as_mut().expect("there is one").right = 0),
    (Law::Bounded, "a join for ever of what does not end", |p| {
        p.graph.nodes[12].bounded = false;
        join(p).within = None;
    }),
    (Law::SchemaAgreement, "a full join whose left columns are never null", |p| join(p).kind = JoinKind::Full),
    (Law::SchemaAgreement, "a semi join with columns", |p| join(p).kind = JoinKind::Semi),
    (Law::Predicate, "a join's residual over other columns", |p| {
        join(p).residual.as_mut().expect("there is one").input.fields.pop();
    }),
    (Law::Reference, "late rows of what waits for nothing", |p| p.graph.nodes[17].inputs = vec![NodeId(12)]),
    (Law::SchemaAgreement, "late rows in other columns", |p| drop(p.graph.nodes[17].schema.fields.pop())),
    (Law::UniqueNames, "two columns of one name", |p| p.graph.nodes[9].schema.fields[1].name = "id".into()),
    (Law::Scope, "an expression in a node", |p| {
        transform(p).steps.push(ProgramStep::Filter(column(17, Type::boolean())));
    }),
];

#[test]
fn every_law_of_plans_is_checked() {
    for (law, what, change) in PLANTED {
        let mut broken = plan();
        change(&mut broken);
        assert!(laws(&broken).contains(law), "{what}: {law:?} is not among {:?}", laws(&broken));
    }
}

/// An expression over the columns of [`columns`], alone in a program.
fn laws_of(value: Expr) -> BTreeSet<Law> {
    let field = Field::new("out", value.ty.clone());
    let program = Program { input: columns(), steps: vec![], outputs: vec![Output { field, value }] };
    verify_program(&program).err().unwrap_or_default().into_iter().map(|v| v.law).collect()
}

fn variable(id: u32, ty: Type) -> Expr {
    expr(ExprKind::Local(LocalId(id)), ty)
}

fn bind(id: u32, value: Expr, body: Expr) -> Expr {
    let ty = body.ty.clone();
    expr(ExprKind::Let { local: LocalId(id), value: boxed(value), body: boxed(body) }, ty)
}

fn one() -> Expr {
    literal(Value::Long(1), DataType::Long)
}

fn truth() -> Expr {
    literal(Value::Boolean(true), DataType::Boolean)
}

fn null(data: DataType) -> Expr {
    expr(ExprKind::Literal(Value::Null), Type::nullable(data))
}

fn point() -> Type {
    Type::new(DataType::Struct(vec![Field::new("a", long()), Field::new("b", item())]))
}

fn choose(condition: Expr, then: Expr, otherwise: Expr, ty: Type) -> Expr {
    let (condition, then, otherwise) = (boxed(condition), boxed(then), boxed(otherwise));
    expr(ExprKind::If { condition, then, otherwise }, ty)
}

fn cast(value: Expr, to: Type, on_failure: CastFailure) -> Expr {
    expr(ExprKind::Cast { value: boxed(value), on_failure }, to)
}

fn good_expressions() -> Vec<Expr> {
    let double = Type::nullable(DataType::Double);
    vec![
        bind(1, one(), bind(2, variable(1, long()), call("add", vec![variable(1, long()), variable(2, long())]))),
        column(1, Type::new(DataType::Double)),
        expr(ExprKind::And(vec![truth(), expr(ExprKind::Not(boxed(truth())), Type::boolean())]), Type::boolean()),
        expr(ExprKind::IsNull(boxed(column(1, double.clone()))), Type::boolean()),
        choose(null(DataType::Boolean), one(), null(DataType::Long), Type::nullable(DataType::Long)),
        expr(ExprKind::Coalesce(vec![null(DataType::Long), one()]), long()),
        expr(ExprKind::InList { value: boxed(one()), list: vec![Value::Long(3)] }, Type::boolean()),
        cast(one(), Type::new(DataType::Double), CastFailure::Never),
        cast(one(), Type::nullable(DataType::Byte), CastFailure::Null),
        expr(ExprKind::Try(boxed(one())), Type::nullable(DataType::Long)),
        expr(
            ExprKind::Field {
                value: boxed(expr(ExprKind::Struct(vec![one(), null(DataType::Integer)]), point())),
                index: 1,
            },
            item(),
        ),
        expr(ExprKind::Array(vec![null(DataType::Integer)]), columns().fields[2].ty.clone()),
        literal(Value::Decimal(99), DataType::Decimal { precision: 2, scale: 1 }),
    ]
}

fn bad_expressions() -> Vec<(Law, Expr)> {
    let add =
        |ty: Type, args: Vec<Expr>| expr(ExprKind::Call { function: find("add").expect("there is add"), args }, ty);
    let boolean = Type::boolean;
    let in_list = |list: Vec<Value>| ExprKind::InList { value: boxed(one()), list };
    let in_struct = |xs: Vec<Expr>| expr(ExprKind::Struct(xs), point());
    vec![
        (Law::Scope, column(4, long())),
        (Law::Scope, variable(1, long())),
        (Law::Scope, call("add", vec![bind(1, one(), variable(1, long())), variable(1, long())])),
        (Law::UniqueLocals, bind(1, one(), bind(1, one(), variable(1, long())))),
        (Law::SlotType, column(0, Type::new(DataType::Integer))),
        (Law::SlotType, bind(1, null(DataType::Long), variable(1, Type::new(DataType::Integer)))),
        (Law::LiteralType, literal(Value::Integer(1), DataType::Long)),
        (Law::LiteralType, literal(Value::Null, DataType::Long)),
        (Law::LiteralType, literal(Value::Decimal(100), DataType::Decimal { precision: 2, scale: 1 })),
        (Law::LiteralType, expr(in_list(vec![Value::Integer(1)]), boolean())),
        (Law::CallType, add(long(), vec![one(), truth()])),
        (Law::CallType, add(long(), vec![one()])),
        (Law::CallType, add(Type::new(DataType::Double), vec![one(), one()])),
        (Law::CallType, add(long(), vec![one(), literal(Value::Integer(1), DataType::Integer)])),
        (Law::Boolean, expr(ExprKind::And(vec![one()]), boolean())),
        (Law::Boolean, expr(ExprKind::Not(boxed(one())), boolean())),
        (Law::Boolean, choose(one(), one(), one(), long())),
        (Law::Boolean, expr(ExprKind::IsNull(boxed(one())), long())),
        (Law::Branches, choose(truth(), one(), truth(), long())),
        (Law::Branches, expr(ExprKind::Coalesce(vec![truth(), one()]), long())),
        (Law::Branches, expr(ExprKind::Try(boxed(truth())), Type::nullable(DataType::Long))),
        (Law::Null, add(long(), vec![one(), null(DataType::Long)])),
        (Law::Null, expr(ExprKind::Or(vec![truth(), null(DataType::Boolean)]), boolean())),
        (Law::Null, choose(truth(), one(), null(DataType::Long), long())),
        (Law::Null, expr(ExprKind::Coalesce(vec![null(DataType::Long)]), long())),
        (Law::Null, expr(in_list(vec![Value::Null]), boolean())),
        (Law::Null, expr(ExprKind::Try(boxed(one())), long())),
        (Law::Null, cast(one(), Type::new(DataType::Byte), CastFailure::Null)),
        (Law::Operands, expr(ExprKind::And(vec![]), boolean())),
        (Law::Operands, expr(ExprKind::Coalesce(vec![]), long())),
        (Law::CastType, cast(one(), Type::new(DataType::Byte), CastFailure::Never)),
        (Law::CastType, cast(one(), Type::new(DataType::Date), CastFailure::Error)),
        (Law::Nested, expr(ExprKind::Field { value: boxed(one()), index: 0 }, long())),
        (Law::Nested, expr(ExprKind::Field { value: boxed(in_struct(vec![one(), one()])), index: 2 }, long())),
        (Law::Nested, in_struct(vec![one()])),
        (Law::Nested, in_struct(vec![null(DataType::Long), null(DataType::Integer)])),
        (Law::Nested, expr(ExprKind::Array(vec![one()]), columns().fields[2].ty.clone())),
    ]
}

#[test]
fn every_law_of_expressions_is_checked() {
    for good in good_expressions() {
        assert_eq!(laws_of(good.clone()), BTreeSet::new(), "{good:?}");
    }
    for (law, bad) in bad_expressions() {
        assert!(laws_of(bad.clone()).contains(&law), "{law:?} is not found in {bad:?}: {:?}", laws_of(bad.clone()));
    }
}

#[test]
fn every_law_of_programs_is_checked() {
    let of = |program: &Program| -> BTreeSet<Law> {
        verify_program(program).err().unwrap_or_default().into_iter().map(|v| v.law).collect()
    };
    let mut program = identity(&columns());
    program.steps = vec![ProgramStep::Let(truth()), ProgramStep::Filter(column(4, Type::boolean()))];
    assert_eq!(of(&program), BTreeSet::new());
    let mut early = program.clone();
    early.steps.reverse();
    assert_eq!(of(&early), BTreeSet::from([Law::Scope]));
    let mut filter = program.clone();
    filter.steps.push(ProgramStep::Assert { condition: one(), what: String::new() });
    assert_eq!(of(&filter), BTreeSet::from([Law::Boolean]));
    let mut output = program.clone();
    output.outputs[1].field.ty.nullable = false;
    assert_eq!(of(&output), BTreeSet::from([Law::OutputType]));
    let mut names = program;
    names.outputs[1].field.name = "id".into();
    assert_eq!(of(&names), BTreeSet::from([Law::UniqueNames]));
}

/// Rows that change from a source to sinks that keep them by a key.
const CHANGING: &str = r##"
plan "p"
source "s" {"connector":"delta","location":"/s"}
    columns (id: long, v: double?, `#weight`: long)
    updates "follow"
sink "sums" {"connector":"delta","location":"/sums"} <- 1 merge(id) changing
    columns (id: long, n: long)
sink "rows" {"connector":"delta","location":"/rows"} <- 0 merge(id) changing
    columns (id: long, v: double?)
graph {
    0: source 0 "s" changing(id)
        columns (id: long, v: double?, `#weight`: long)
    1: keyed_aggregate "f |> aggregate" <- [0] "f |> aggregate" changing(id)
        columns (id: long, n: long, `#weight`: long)
        keys [0]
        count [] : long
    2: sink 0 <- [1] "sums" changing(id)
    3: sink 1 <- [0] "rows" changing(id)
    4: expect "f" <- [0] "e" changing(id)
}
"##;

#[test]
fn rows_that_change_have_weights() {
    let good = crate::text::parse_plan(CHANGING).expect("a plan");
    assert_eq!(laws(&good), BTreeSet::new());
    type Planted = (&'static str, Law, fn(&mut Plan));
    let planted: [Planted; 7] = [
        ("a source without its weight", Law::Weight, |p| {
            p.sources[0].schema.fields.pop();
        }),
        ("a weight that nobody follows", Law::Weight, |p| p.sources[0].updates = crate::plan::Updates::Stop),
        ("rows that change, called added", Law::Weight, |p| p.graph.nodes[4].kind = Kind::Append),
        ("a weight that may be null", Law::Weight, |p| {
            let last = p.graph.nodes[4].schema.fields.last_mut().expect("a column");
            last.ty.nullable = true;
        }),
        ("changes that are appended", Law::Weight, |p| p.sinks[0].mode = SinkMode::Append),
        ("a key that is no column", Law::Position, |p| p.sinks[0].mode = SinkMode::Merge { keys: vec!["k".into()] }),
        ("history without a time", Law::Window, |p| p.sinks[0].mode = SinkMode::Scd2 { keys: vec!["id".into()] }),
    ];
    for (what, law, change) in planted {
        let mut broken = good.clone();
        change(&mut broken);
        assert!(laws(&broken).contains(&law), "{what}: {law:?} is not among {:?}", laws(&broken));
    }
}
