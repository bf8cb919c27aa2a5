//! Text to graphs and plans.

use super::parse_expr::program;
use super::print_plan::implied_columns;
use super::reader::{Parsed, Reader};
use super::value;
use crate::aggregates::AggregateFunction;
use crate::expr::{Origin, Program};
use crate::graph::*;
use crate::plan::{Connector, Plan, SinkMode, SinkSpec, SourceSpec, TableSpec};
use crate::types::{Field, Schema};

fn numbers(r: &mut Reader<'_>) -> Parsed<Vec<usize>> {
    r.expect("[")?;
    r.list("]", Reader::number)
}

pub(super) fn graph(r: &mut Reader<'_>) -> Parsed<Graph> {
    r.expect_word("graph")?;
    r.expect("{")?;
    let mut graph = Graph::default();
    while !r.eat("}") {
        if r.number::<usize>()? != graph.nodes.len() {
            return r.fail(format!("the next node is {}", graph.nodes.len()));
        }
        r.expect(":")?;
        let node = self::node(r, &graph)?;
        graph.nodes.push(node);
    }
    Ok(graph)
}

/// An operator whose parts are still to come.
enum Head {
    Whole(Box<Operator>),
    Transform,
    Lookup(TableId),
    Aggregate,
    KeyedAggregate(String),
    Sort,
    Explode(usize),
    Expect(String),
    WindowAggregate(String),
    Top(String, u64),
    Join(String),
}

fn head(r: &mut Reader<'_>) -> Parsed<Head> {
    Ok(match r.word()? {
        "source" => Head::Whole(Box::new(Operator::Source(SourceId(r.number()?)))),
        "malformed" => Head::Whole(Box::new(Operator::Malformed(SourceId(r.number()?)))),
        "scan" => Head::Whole(Box::new(Operator::TableScan(TableId(r.number()?)))),
        "transform" => Head::Transform,
        "lookup" => Head::Lookup(TableId(r.number()?)),
        "aggregate" => Head::Aggregate,
        "keyed_aggregate" => Head::KeyedAggregate(r.string()?),
        "upsert" => Head::Whole(Box::new(Operator::Upsert(upsert(r)?))),
        "sort" => Head::Sort,
        "limit" => Head::Whole(Box::new(Operator::Limit(r.number()?))),
        "union" => Head::Whole(Box::new(Operator::Union)),
        "explode" => Head::Explode(r.number()?),
        "unique" => Head::Whole(Box::new(Operator::Unique(unique(r)?))),
        "expect" => Head::Expect(r.string()?),
        "watermark" => Head::Whole(Box::new(Operator::Watermark(watermark(r)?))),
        "window_aggregate" => Head::WindowAggregate(r.string()?),
        "dedup" => Head::Whole(Box::new(Operator::Dedup(dedup(r)?))),
        "top" => Head::Top(r.string()?, r.number()?),
        "join" => Head::Join(r.string()?),
        "late" => Head::Whole(Box::new(Operator::Late)),
        "sink" => Head::Whole(Box::new(Operator::Sink(SinkId(r.number()?)))),
        other => return r.fail(format!("`{other}` is no operator")),
    })
}

fn node(r: &mut Reader<'_>, graph: &Graph) -> Parsed<Node> {
    let head = head(r)?;
    let inputs: Vec<NodeId> = match r.eat("<-") {
        true => {
            r.expect("[")?;
            r.list("]", |r| r.number().map(NodeId))?
        }
        false => vec![],
    };
    let label = r.string()?;
    let bounded = r.eat_word("bounded");
    let mut kind = Kind::Append;
    if r.eat_word("changing") {
        r.expect("(")?;
        kind = Kind::Changing { key: r.list(")", Reader::name)? };
    }
    let origin = r.origin()?;
    let written = if r.eat_word("columns") { Some(r.schema()?) } else { None };
    let known = inputs.iter().map(|i| graph.nodes.get(i.0 as usize));
    let known: Vec<&Schema> = known.map_while(|n| n.map(|n| &n.schema)).collect();
    let operator = match head {
        Head::Whole(operator) => *operator,
        Head::Transform => Operator::Transform(program(r, known.first().copied())?),
        Head::Lookup(table) => Operator::Lookup(lookup(r, table)?),
        Head::Aggregate => Operator::Aggregate(aggregate(r)?),
        Head::KeyedAggregate(name) => Operator::KeyedAggregate(KeyedAggregate { name, aggregate: aggregate(r)? }),
        Head::Sort => Operator::Sort(sort(r)?),
        Head::Expect(flow) => Operator::Expect(Expect { flow, rules: rules(r)? }),
        Head::WindowAggregate(name) => Operator::WindowAggregate(window_aggregate(r, name)?),
        Head::Top(name, count) => Operator::Top(top(r, name, count)?),
        Head::Join(name) => Operator::Join(join(r, name)?),
        Head::Explode(column) => Operator::Explode { column, element: element(r)? },
    };
    let Some(schema) = written.or_else(|| implied_columns(&operator, &known)) else {
        return r.fail("expected `columns`");
    };
    Ok(Node { operator, inputs, schema, kind, bounded, label, origin })
}

fn element(r: &mut Reader<'_>) -> Parsed<Field> {
    r.expect_word("element")?;
    r.field()
}

fn unique(r: &mut Reader<'_>) -> Parsed<Unique> {
    let (flow, rule, keys) = (r.string()?, r.string()?, numbers(r)?);
    let time = if r.eat_word("time") { Some(r.number()?) } else { None };
    let within = if r.eat_word("within") { Some(r.number()?) } else { None };
    let delay = if r.eat_word("delay") { Some(r.number()?) } else { None };
    Ok(Unique { flow, rule, keys, time, within, delay })
}

/// A number behind a word, where the word is there.
fn after<T: std::str::FromStr>(r: &mut Reader<'_>, word: &str) -> Parsed<Option<T>> {
    if r.eat_word(word) { r.number().map(Some) } else { Ok(None) }
}

fn upsert(r: &mut Reader<'_>) -> Parsed<Upsert> {
    let (name, source) = (r.string()?, r.string()?);
    r.expect_word("width")?;
    let width = r.number()?;
    r.expect_word("keys")?;
    let keys = numbers(r)?;
    r.expect_word("operation")?;
    let operation = r.number()?;
    r.expect_word("sequence")?;
    let sequence = numbers(r)?;
    Ok(Upsert { name, source, width, keys, operation, sequence, history: after(r, "history")? })
}

fn watermark(r: &mut Reader<'_>) -> Parsed<Watermark> {
    let source = r.string()?;
    r.expect_word("time")?;
    let time = r.number()?;
    r.expect_word("delay")?;
    Ok(Watermark { source, time, delay: r.number()?, idle: after(r, "idle")? })
}

fn dedup(r: &mut Reader<'_>) -> Parsed<Dedup> {
    let (name, keys, time, within) = (r.string()?, numbers(r)?, after(r, "time")?, after(r, "within")?);
    Ok(Dedup { name, keys, time, within, by_time: r.eat_word("by_time") })
}

/// Two positions.
fn pair(r: &mut Reader<'_>) -> Parsed<(usize, usize)> {
    match numbers(r)?.as_slice() {
        [a, b] => Ok((*a, *b)),
        _ => r.fail("expected two positions"),
    }
}

fn top(r: &mut Reader<'_>, name: String, count: u64) -> Parsed<Top> {
    r.expect_word("per")?;
    let keys = numbers(r)?;
    let window = if r.eat_word("window") { Some(pair(r)?) } else { None };
    Ok(Top { name, count, keys, window, order: sort(r)? })
}

fn window(r: &mut Reader<'_>) -> Parsed<Window> {
    let align = |r: &mut Reader<'_>| {
        r.expect_word("offset")?;
        Ok(Alignment { offset: r.number()?, zone: if r.eat_word("zone") { Some(r.string()?) } else { None } })
    };
    Ok(match r.word()? {
        "tumble" => Window::Tumble { size: r.number()?, align: align(r)? },
        "hop" => Window::Hop { size: r.number()?, slide: r.number()?, align: align(r)? },
        "session" => Window::Session { gap: r.number()? },
        "cumulate" => Window::Cumulate { size: r.number()?, step: r.number()?, align: align(r)? },
        other => return r.fail(format!("`{other}` is no kind of window")),
    })
}

fn window_aggregate(r: &mut Reader<'_>, name: String) -> Parsed<WindowAggregate> {
    let window = window(r)?;
    r.expect_word("time")?;
    let time = r.number()?;
    let by_time = r.eat_word("by_time");
    let late = after(r, "late")?;
    Ok(WindowAggregate { name, window, time, by_time, late, aggregate: aggregate(r)? })
}

fn join(r: &mut Reader<'_>, name: String) -> Parsed<StreamJoin> {
    let word = r.word()?;
    let Some((kind, _)) = JoinKind::ALL.into_iter().find(|(_, known)| *known == word) else {
        return r.fail(format!("`{word}` is no kind of join"));
    };
    r.expect_word("keys")?;
    let left_keys = numbers(r)?;
    r.expect("==")?;
    let right_keys = numbers(r)?;
    let mut within = None;
    if let Some(duration) = after(r, "within")? {
        r.expect_word("times")?;
        let (left, right) = pair(r)?;
        within = Some(Within { left, right, duration });
    }
    let residual = if r.eat_word("residual") { Some(program(r, None)?) } else { None };
    Ok(StreamJoin { name, kind, left_keys, right_keys, within, residual })
}

fn rules(r: &mut Reader<'_>) -> Parsed<Vec<ExpectRule>> {
    let mut rules = vec![];
    while r.eat_word("rule") {
        let name = r.string()?;
        let word = r.word()?;
        let Some(policy) = Policy::ALL.into_iter().find(|p| p.word() == word) else {
            return r.fail(format!("`{word}` is no policy"));
        };
        let passes = if r.eat_word("passes") { Some(r.number()?) } else { None };
        let repaired = if r.eat_word("repaired") { Some(r.number()?) } else { None };
        r.expect_word("shown")?;
        let shown = numbers(r)?;
        let origin = r.origin()?;
        let share = match r.eat_word("share") {
            true => Some(ShareCondition { of: numbers(r)?, program: program(r, None)? }),
            false => None,
        };
        rules.push(ExpectRule { name, policy, passes, repaired, share, shown, origin });
    }
    Ok(rules)
}

fn lookup(r: &mut Reader<'_>, table: TableId) -> Parsed<Lookup> {
    let kind = match r.word()? {
        "inner" => LookupKind::Inner,
        "left" => LookupKind::Left,
        "semi" => LookupKind::Semi,
        "anti" => LookupKind::Anti,
        "mark" => LookupKind::Mark,
        other => return r.fail(format!("`{other}` is no kind of lookup")),
    };
    let as_of = if r.eat_word("as_of") { Some(r.number()?) } else { None };
    r.expect_word("keys")?;
    let stream_keys = numbers(r)?;
    r.expect("==")?;
    let table_keys = numbers(r)?;
    r.expect_word("output")?;
    let output = numbers(r)?;
    r.expect_word("prepare")?;
    let prepare = program(r, None)?;
    let residual = if r.eat_word("residual") { Some(program(r, None)?) } else { None };
    Ok(Lookup { table, kind, as_of, prepare, stream_keys, table_keys, residual, output })
}

fn aggregate(r: &mut Reader<'_>) -> Parsed<Aggregate> {
    r.expect_word("keys")?;
    let mut aggregate = Aggregate { keys: numbers(r)?, aggregates: vec![] };
    while let Some(function) = AggregateFunction::find(r.peek_word()) {
        r.word()?;
        let args = numbers(r)?;
        let mut constants = vec![];
        if r.eat_word("constants") {
            r.expect("[")?;
            constants = r.list("]", |r| value::parse(r).map(|(v, _)| v))?;
        }
        let filter = if r.eat_word("filter") { Some(r.number()?) } else { None };
        r.expect(":")?;
        let ty = r.ty()?;
        aggregate.aggregates.push(AggregateCall { function, args, constants, filter, ty, origin: r.origin()? });
    }
    Ok(aggregate)
}

fn sort(r: &mut Reader<'_>) -> Parsed<Vec<SortColumn>> {
    let mut columns = vec![];
    while r.eat_word("by") {
        let column = r.number()?;
        let descending = r.eat_word("desc");
        columns.push(SortColumn { column, descending, nulls_first: r.eat_word("nulls_first") });
    }
    Ok(columns)
}

pub(super) fn plan(r: &mut Reader<'_>) -> Parsed<Plan> {
    r.expect_word("plan")?;
    let pipeline = r.string()?;
    let (mut sources, mut tables, mut sinks) = (vec![], vec![], vec![]);
    loop {
        match r.peek_word() {
            "source" => sources.push(source(r)?),
            "table" => tables.push(table(r)?),
            "sink" => sinks.push(sink(r)?),
            _ => return Ok(Plan { pipeline, sources, tables, sinks, graph: graph(r)? }),
        }
    }
}

/// What every declaration begins with.
fn declared(r: &mut Reader<'_>) -> Parsed<(String, Connector)> {
    r.word()?;
    Ok((r.string()?, r.json()?))
}

fn columns(r: &mut Reader<'_>) -> Parsed<Schema> {
    r.expect_word("columns")?;
    r.schema()
}

fn predicate(r: &mut Reader<'_>, columns: &Schema) -> Parsed<Option<Program>> {
    if r.eat_word("predicate") { program(r, Some(columns)).map(Some) } else { Ok(None) }
}

fn source(r: &mut Reader<'_>) -> Parsed<SourceSpec> {
    let (name, connector) = declared(r)?;
    let origin = r.origin()?;
    let schema = columns(r)?;
    let quarantine = if r.eat_word("quarantine") { Some(r.schema()?) } else { None };
    let updates = clause(r, "updates")?;
    let committed = clause(r, "committed")?;
    let start = if r.eat_word("start") { Some(r.json()?) } else { None };
    let arrival = if r.eat_word("arrival") { Some(r.json()?) } else { None };
    let promises = clause(r, "promises")?;
    let predicate = predicate(r, &schema)?;
    Ok(SourceSpec {
        name,
        connector,
        schema,
        predicate,
        quarantine,
        updates,
        committed,
        start,
        arrival,
        promises,
        origin,
    })
}

fn table(r: &mut Reader<'_>) -> Parsed<TableSpec> {
    let (name, connector) = declared(r)?;
    let origin = r.origin()?;
    let schema = columns(r)?;
    let version = if r.eat_word("version") { Some(r.json()?) } else { None };
    let promises = clause(r, "promises")?;
    let predicate = predicate(r, &schema)?;
    Ok(TableSpec { name, connector, schema, predicate, version, promises, origin })
}

/// A clause whose value is JSON; its type's default where it is left out.
fn clause<T: serde::de::DeserializeOwned + Default>(r: &mut Reader<'_>, word: &str) -> Parsed<T> {
    if r.eat_word(word) { r.json() } else { Ok(T::default()) }
}

fn sink(r: &mut Reader<'_>) -> Parsed<SinkSpec> {
    let (name, connector) = declared(r)?;
    r.expect("<-")?;
    let input = NodeId(r.number()?);
    let keys = |r: &mut Reader<'_>| {
        r.expect("(")?;
        r.list(")", Reader::name)
    };
    let mode = match r.word()? {
        "append" => SinkMode::Append,
        "overwrite" => SinkMode::Overwrite,
        "overwrite_partition" => SinkMode::OverwritePartition,
        "merge" => SinkMode::Merge { keys: keys(r)? },
        "scd2" => SinkMode::Scd2 { keys: keys(r)? },
        other => return r.fail(format!("`{other}` is no mode")),
    };
    let changing = r.eat_word("changing");
    let whole = r.eat_word("whole");
    let evolve = r.eat_word("evolve");
    let origin: Origin = r.origin()?;
    let schema = columns(r)?;
    Ok(SinkSpec {
        name,
        connector,
        mode,
        whole,
        schema,
        changing,
        partition_by: clause(r, "partition_by")?,
        generated: clause(r, "generated")?,
        constraints: clause(r, "constraints")?,
        enforced: clause(r, "enforced")?,
        properties: clause(r, "properties")?,
        description: clause(r, "description")?,
        evolve,
        input,
        origin,
    })
}
