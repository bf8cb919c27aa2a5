//! The laws of graphs and plans.

use super::{Findings, Law, expr};
use crate::expr::Program;
use crate::graph::{
    Aggregate, Dedup, Expect, JoinKind, Lookup, LookupKind, Node, NodeId, Operator, SinkId, SortColumn, StreamJoin,
    Top, Unique, Upsert, WEIGHT, Window, WindowAggregate, malformed_schema, weight,
};
use crate::plan::{COMMITTED, Connector, Plan, SinkMode, SinkSpec, SourceSpec, Updates};
use crate::types::{DataType, Field, Schema, Type};

pub(super) fn plan(f: &mut Findings, plan: &Plan) {
    for source in &plan.sources {
        f.at(&format!("source `{}`", source.name), |f| {
            spec(f, &source.schema, source.predicate.as_ref());
            quarantine(f, source);
            changes(f, source);
        });
    }
    for table in &plan.tables {
        f.at(&format!("table `{}`", table.name), |f| spec(f, &table.schema, table.predicate.as_ref()));
    }
    for (id, node) in plan.graph.iter() {
        f.at(&format!("node {} ({})", id.0, node.label), |f| self::node(f, plan, id, node));
    }
    for (i, sink) in plan.sinks.iter().enumerate() {
        f.at(&format!("sink `{}`", sink.name), |f| {
            let nodes =
                plan.graph.nodes.iter().filter(|n| matches!(n.operator, Operator::Sink(s) if s.0 as usize == i));
            let nodes: Vec<_> = nodes.collect();
            f.check(Law::Reference, nodes.len() == 1, || format!("{} nodes write it", nodes.len()));
            let fed = nodes.iter().all(|n| n.inputs == [sink.input]);
            f.check(Law::Reference, fed, || format!("it is not fed by node {}", sink.input.0));
            expr::schema(f, "columns", &sink.schema);
            for column in &sink.partition_by {
                f.check(Law::Position, sink.schema.field(column).is_some(), || format!("no column `{column}`"));
            }
            let replaces = matches!(sink.mode, SinkMode::Overwrite | SinkMode::OverwritePartition);
            f.check(Law::Bounded, sink.whole || !replaces, || "it replaces what is there by a part".into());
            self::sink(f, sink);
        });
    }
}

fn spec(f: &mut Findings, schema: &Schema, predicate: Option<&Program>) {
    expr::schema(f, "columns", schema);
    if let Some(program) = predicate {
        f.at("predicate", |f| self::predicate(f, program, schema));
    }
}

/// What is read is part of what records are judged by; none of them is skipped unread.
fn quarantine(f: &mut Findings, source: &SourceSpec) {
    let Some(judged) = &source.quarantine else { return };
    expr::schema(f, "quarantine", judged);
    for field in &source.schema.fields {
        let same = judged.field(&field.name).is_some_and(|j| j.ty == field.ty);
        f.check(Law::SchemaAgreement, same, || format!("{field} is read, but not among those judged: ({judged})"));
    }
    f.check(Law::Predicate, source.predicate.is_none(), || {
        "files may be skipped whose records are to be judged".into()
    });
}

/// The weight is a source's last column where its changes are followed, and nowhere else; the time of the commit is a timestamp.
fn changes(f: &mut Findings, source: &SourceSpec) {
    let weighted = source.schema.fields.last().is_some_and(|field| field.name == WEIGHT);
    let follows = source.updates == Updates::Follow;
    f.check(Law::Weight, weighted == follows, || {
        format!("updates: {:?}, columns: ({})", source.updates, source.schema)
    });
    let Some(committed) = &source.committed else { return };
    let timed = source.schema.field(committed).is_some_and(|field| field.ty == Type::new(DataType::Timestamp));
    f.check(Law::Window, timed, || format!("`{committed}` of ({}) is no time of a commit", source.schema));
}

/// The keys of a sink are columns that can be compared.
fn sink(f: &mut Findings, sink: &SinkSpec) {
    let (SinkMode::Merge { keys } | SinkMode::Scd2 { keys }) = &sink.mode else {
        // The console shows changes as they come.
        let stays = sink.whole || !sink.changing || matches!(sink.connector, Connector::Console);
        return f.check(Law::Weight, stays, || "rows that change are only added".into());
    };
    f.check(Law::Position, !keys.is_empty(), || "a merge without a key".into());
    for key in keys {
        match sink.schema.field(key) {
            Some(field) => comparable(f, &field.ty),
            None => f.report(Law::Position, format!("no column `{key}`")),
        }
    }
    if matches!(sink.mode, SinkMode::Scd2 { .. }) {
        let timed = sink.schema.field("valid_from").is_some_and(|field| field.ty == Type::new(DataType::Timestamp));
        f.check(Law::Window, timed, || format!("no time `valid_from` in ({})", sink.schema));
    }
}

/// The columns of the rows that a sink takes.
fn sink_rows(spec: &SinkSpec) -> Schema {
    let mut rows = spec.schema.clone();
    if spec.changing {
        let history = matches!(spec.mode, SinkMode::Scd2 { .. });
        rows.fields.extend(history.then(|| Field::new(COMMITTED, Type::new(DataType::Timestamp))));
        rows.fields.push(weight());
    }
    rows
}

/// A program that decides about rows of these columns.
fn predicate(f: &mut Findings, program: &Program, columns: &Schema) {
    expr::program(f, program);
    let reads = same_columns(&program.input, columns);
    f.check(Law::Predicate, reads, || format!("reads ({}), not ({columns})", program.input));
    let boolean = matches!(program.outputs.as_slice(), [o] if o.field.ty.data == DataType::Boolean);
    f.check(Law::Predicate, boolean, || format!("yields ({})", program.output_schema()));
}

/// Whether names and types are the same; comments do not matter.
fn same_columns(a: &Schema, b: &Schema) -> bool {
    a.len() == b.len() && a.fields.iter().zip(&b.fields).all(|(x, y)| x.name == y.name && x.ty == y.ty)
}

fn agree(f: &mut Findings, what: &str, found: &Schema, expected: &Schema) {
    f.check(Law::SchemaAgreement, same_columns(found, expected), || {
        format!("{what}: ({found}) instead of ({expected})")
    });
}

/// How many inputs an operator takes.
fn arity(operator: &Operator) -> (usize, usize) {
    match operator {
        Operator::Source(_) | Operator::Malformed(_) | Operator::TableScan(_) => (0, 0),
        Operator::Union => (1, usize::MAX),
        Operator::Join(_) => (2, 2),
        _ => (1, 1),
    }
}

fn node(f: &mut Findings, plan: &Plan, id: NodeId, node: &Node) {
    expr::schema(f, "columns", &node.schema);
    let (least, most) = arity(&node.operator);
    let count = node.inputs.len();
    f.check(Law::Order, (least..=most).contains(&count), || format!("{count} inputs"));
    let ordered = node.inputs.iter().all(|input| input.0 < id.0);
    f.check(Law::Order, ordered, || format!("reads {:?}, which do not come before it", node.inputs));
    if !ordered || !(least..=most).contains(&count) {
        return;
    }
    let inputs: Vec<&Node> = node.inputs.iter().map(|i| plan.graph.node(*i)).collect();
    weighted(f, node, &inputs);
    match &node.operator {
        Operator::Source(source) => match plan.sources.get(source.0 as usize) {
            Some(spec) => agree(f, "columns", &node.schema, &spec.schema),
            None => f.report(Law::Reference, format!("there is no source {}", source.0)),
        },
        Operator::Malformed(source) => {
            agree(f, "columns", &node.schema, &malformed_schema());
            let kept = plan.sources.get(source.0 as usize).is_some_and(|spec| spec.quarantine.is_some());
            f.check(Law::Reference, kept, || format!("there is no source {} that keeps malformed records", source.0));
        }
        Operator::TableScan(table) => match plan.tables.get(table.0 as usize) {
            Some(spec) => {
                agree(f, "columns", &node.schema, &spec.schema);
                f.check(Law::Bounded, node.bounded, || "a table is bounded".into());
            }
            None => f.report(Law::Reference, format!("there is no table {}", table.0)),
        },
        Operator::Transform(program) => {
            expr::program(f, program);
            agree(f, "program input", &program.input, &inputs[0].schema);
            agree(f, "columns", &node.schema, &program.output_schema());
        }
        Operator::Lookup(lookup) => self::lookup(f, plan, lookup, &inputs[0].schema, &node.schema),
        Operator::Aggregate(aggregate) => {
            self::aggregate(f, aggregate, !aggregate.keys.is_empty(), &inputs[0].schema, &node.schema);
            bounded(f, inputs[0]);
        }
        Operator::KeyedAggregate(keyed) => {
            let grouped = !keyed.aggregate.keys.is_empty();
            let out = without_weight(f, node);
            self::aggregate(f, &keyed.aggregate, grouped, &inputs[0].schema, &out);
        }
        Operator::Upsert(upsert) => self::upsert(f, upsert, &inputs[0].schema, &node.schema),
        Operator::Sort(columns) => {
            sort(f, columns, &inputs[0].schema);
            agree(f, "columns", &node.schema, &inputs[0].schema);
            bounded(f, inputs[0]);
        }
        Operator::Limit(_) => {
            agree(f, "columns", &node.schema, &inputs[0].schema);
            bounded(f, inputs[0]);
        }
        Operator::Union => inputs.iter().for_each(|input| agree(f, "input", &input.schema, &node.schema)),
        Operator::Explode { column, element } => explode(f, *column, element, &inputs[0].schema, &node.schema),
        Operator::Unique(unique) => self::unique(f, unique, &inputs[0].schema, &node.schema),
        Operator::Expect(expect) => {
            agree(f, "columns", &node.schema, &inputs[0].schema);
            self::expect(f, expect, &inputs[0].schema);
        }
        Operator::Watermark(watermark) => {
            agree(f, "columns", &node.schema, &inputs[0].schema);
            event_time(f, &inputs[0].schema, watermark.time);
            f.check(Law::Window, watermark.delay >= 0, || "the delay is negative".into());
        }
        Operator::WindowAggregate(aggregate) if node.kind.is_changing() => {
            let out = without_weight(f, node);
            window_aggregate(f, aggregate, &inputs[0].schema, &out);
        }
        Operator::WindowAggregate(aggregate) => window_aggregate(f, aggregate, &inputs[0].schema, &node.schema),
        Operator::Dedup(dedup) => self::dedup(f, dedup, inputs[0], node),
        Operator::Top(top) => self::top(f, top, inputs[0], node),
        Operator::Join(join) => self::join(f, join, &inputs, node),
        Operator::Late => late(f, plan, inputs[0], &node.schema),
        Operator::Sink(sink) => sink_node(f, plan, *sink, inputs[0], node),
    }
}

fn sink_node(f: &mut Findings, plan: &Plan, sink: SinkId, input: &Node, node: &Node) {
    match plan.sinks.get(sink.0 as usize) {
        Some(spec) => {
            agree(f, "columns", &node.schema, &sink_rows(spec));
            agree(f, "input", &input.schema, &sink_rows(spec));
        }
        None => f.report(Law::Reference, format!("there is no sink {}", sink.0)),
    }
}

/// What changes has a weight, and what goes into a step changes only if what comes out does; a blocking step looks at rows that are there.
fn weighted(f: &mut Findings, node: &Node, inputs: &[&Node]) {
    let field = node.schema.field(WEIGHT);
    let agrees = field.is_some() == node.kind.is_changing() && field.is_none_or(|found| *found == weight());
    f.check(Law::Weight, agrees, || format!("{:?}, columns: ({})", node.kind, node.schema));
    let begins = matches!(
        node.operator,
        Operator::Source(_)
            | Operator::Transform(_)
            | Operator::KeyedAggregate(_)
            | Operator::Upsert(_)
            | Operator::WindowAggregate(_)
            | Operator::Top(_)
            | Operator::Late
    );
    for input in inputs.iter().filter(|_| !begins) {
        f.check(Law::Weight, input.kind.is_changing() == node.kind.is_changing(), || {
            format!("{:?} of {:?}", node.kind, input.kind)
        });
    }
    let ends = matches!(node.operator, Operator::Transform(_) | Operator::Aggregate(_));
    // Late rows are as they went in.
    let late = node.operator == Operator::Late;
    for input in inputs.iter().filter(|input| !late && input.kind.is_changing() && !node.kind.is_changing()) {
        f.check(Law::Weight, ends && input.bounded, || format!("the weight of {} is lost", input.label));
    }
}

/// The columns of what changes but for the weight, which is the last.
fn without_weight(f: &mut Findings, node: &Node) -> Schema {
    let last = node.schema.fields.last().is_some_and(|field| field.name == WEIGHT);
    f.check(Law::Weight, last, || format!("the weight is not the last of ({})", node.schema));
    let mut columns = node.schema.clone();
    columns.fields.pop();
    columns
}

fn upsert(f: &mut Findings, upsert: &Upsert, input: &Schema, out: &Schema) {
    let row = input.fields.iter().take(upsert.width);
    f.check(Law::Position, upsert.width <= input.len(), || format!("a row of {} columns", upsert.width));
    let mut expected: Vec<Field> = row.cloned().collect();
    expected.extend(upsert.history.map(|_| Field::new(COMMITTED, Type::new(DataType::Timestamp))));
    expected.push(weight());
    if let Some(time) = upsert.history
        && let Some(field) = column(f, input, time)
    {
        f.check(Law::Window, field.ty.data == DataType::Timestamp, || format!("{field} is no time of a version"));
    }
    let agrees = expected.len() == out.len()
        && expected.iter().zip(&out.fields).all(|(e, o)| e.name == o.name && e.ty.data == o.ty.data);
    f.check(Law::SchemaAgreement, agrees, || format!("columns: ({out}) instead of {expected:?}"));
    f.check(Law::Position, !upsert.keys.is_empty(), || "no key".into());
    for key in &upsert.keys {
        f.check(Law::Position, *key < upsert.width, || format!("the key {key} is not of the row"));
    }
    for index in upsert.keys.iter().chain(&upsert.sequence) {
        if let Some(field) = column(f, input, *index) {
            comparable(f, &field.ty);
        }
    }
    if let Some(field) = column(f, input, upsert.operation) {
        f.check(Law::KeyType, field.ty.data == DataType::String, || format!("{field} is no word"));
    }
}

fn bounded(f: &mut Findings, input: &Node) {
    f.check(Law::Bounded, input.bounded, || "the input does not end".into());
}

fn column<'a>(f: &mut Findings, schema: &'a Schema, index: usize) -> Option<&'a Field> {
    let field = schema.fields.get(index);
    f.check(Law::Position, field.is_some(), || format!("there is no column {index} in ({schema})"));
    field
}

fn comparable(f: &mut Findings, ty: &Type) {
    f.check(Law::KeyType, ty.data.is_orderable(), || format!("{ty} cannot be compared"));
}

fn lookup(f: &mut Findings, plan: &Plan, lookup: &Lookup, stream: &Schema, out: &Schema) {
    let Some(table) = plan.tables.get(lookup.table.0 as usize) else {
        return f.report(Law::Reference, format!("there is no table {}", lookup.table.0));
    };
    let prepared = lookup.prepare.output_schema();
    f.at("prepare", |f| {
        expr::program(f, &lookup.prepare);
        agree(f, "input", &lookup.prepare.input, &table.schema);
    });
    if let Some(time) = lookup.as_of {
        event_time(f, stream, time);
        f.check(Law::Reference, table.version.is_none(), || {
            format!("`{}` is pinned to a version: it has no history", table.name)
        });
        f.check(Law::KeyType, lookup.kind != LookupKind::Mark, || "a mark lookup is never as of a time".into());
    }
    let (ours, theirs) = (lookup.stream_keys.len(), lookup.table_keys.len());
    f.check(Law::KeyType, ours == theirs, || format!("{ours} keys of the stream, {theirs} of the table"));
    for (a, b) in lookup.stream_keys.iter().zip(&lookup.table_keys) {
        if let (Some(a), Some(b)) = (column(f, stream, *a), column(f, &prepared, *b)) {
            f.check(Law::KeyType, a.ty.data == b.ty.data, || format!("{a} is matched with {b}"));
            comparable(f, &a.ty);
        }
    }
    if let Some(residual) = &lookup.residual {
        f.at("residual", |f| predicate(f, residual, &pair_schema(stream, &prepared, &residual.input)));
    }
    let widens = lookup.kind == LookupKind::Left;
    let mut expected = stream.clone();
    for index in &lookup.output {
        if let Some(field) = column(f, &prepared, *index) {
            expected
                .fields
                .push(Field { ty: field.ty.clone().with_nullable(field.ty.nullable || widens), ..field.clone() });
        }
    }
    let carries = matches!(lookup.kind, LookupKind::Inner | LookupKind::Left);
    f.check(Law::SchemaAgreement, carries || lookup.output.is_empty(), || {
        "a semi, anti or mark lookup with columns of the table".into()
    });
    if lookup.kind == LookupKind::Mark {
        let nullable = |schema: &Schema, keys: &[usize]| {
            keys.iter().any(|k| schema.fields.get(*k).is_some_and(|field| field.ty.nullable))
        };
        let nullable = nullable(stream, &lookup.stream_keys) || nullable(&prepared, &lookup.table_keys);
        expected.fields.push(Field::new("mark", Type::boolean().with_nullable(nullable)));
        f.check(Law::KeyType, ours == 1 && lookup.residual.is_none(), || "a mark lookup has one key alone".into());
    }
    // The table's columns are renamed on their way out: `device.site`.
    let agrees = expected.len() == out.len()
        && expected.fields.iter().zip(&out.fields).enumerate().all(|(i, (e, o))| {
            e.ty.data == o.ty.data
                && (o.ty.nullable || !e.ty.nullable)
                && (i >= stream.len() || (e.name == o.name && e.ty == o.ty))
        });
    f.check(Law::SchemaAgreement, agrees, || format!("columns: ({out}) instead of ({expected})"));
}

/// The columns of a pair of rows, with the names that the residual has for the table's (they may be called as the stream's are).
fn pair_schema(stream: &Schema, table: &Schema, named: &Schema) -> Schema {
    let mut schema = stream.clone();
    schema.fields.extend(table.fields.iter().cloned());
    for (field, name) in schema.fields.iter_mut().zip(&named.fields).skip(stream.len()) {
        field.name.clone_from(&name.name);
    }
    schema
}

/// `grouped`: every group has a row.
fn aggregate(f: &mut Findings, aggregate: &Aggregate, grouped: bool, input: &Schema, out: &Schema) {
    let mut expected = vec![];
    for key in &aggregate.keys {
        if let Some(field) = column(f, input, *key) {
            comparable(f, &field.ty);
            expected.push(field.ty.clone());
        }
    }
    for call in &aggregate.aggregates {
        let args: Vec<Type> = call.args.iter().filter_map(|a| column(f, input, *a)).map(|a| a.ty.clone()).collect();
        if let Some(field) = call.filter.and_then(|filter| column(f, input, filter)) {
            f.check(Law::Boolean, field.ty.data == DataType::Boolean, || format!("a filter is {}", field.ty));
        }
        let (least, most) = call.function.arity();
        let fits = (least..=most).contains(&args.len());
        let nonempty = grouped && call.filter.is_none();
        let yields = if fits { call.function.result_type(&args, nonempty) } else { None };
        let agrees = yields.as_ref().is_some_and(|t| t.data == call.ty.data && (call.ty.nullable || !t.nullable));
        f.check(Law::AggregateType, agrees, || {
            format!("{:?} of {args:?} is {yields:?}, not {}", call.function, call.ty)
        });
        expected.push(call.ty.clone());
    }
    let agrees = out.len() == expected.len() && out.fields.iter().zip(&expected).all(|(o, e)| o.ty == *e);
    f.check(Law::SchemaAgreement, agrees, || format!("columns: ({out}) instead of {expected:?}"));
}

fn event_time(f: &mut Findings, input: &Schema, index: usize) {
    if let Some(field) = column(f, input, index) {
        f.check(Law::Window, field.ty.data == DataType::Timestamp, || format!("{field} is no event time"));
    }
}

fn window_aggregate(f: &mut Findings, windowed: &WindowAggregate, input: &Schema, out: &Schema) {
    event_time(f, input, windowed.time);
    let sound = match &windowed.window {
        Window::Tumble { size, .. } => *size > 0,
        Window::Hop { size, slide, .. } => *size > 0 && *slide > 0,
        Window::Session { gap } => *gap > 0,
        Window::Cumulate { size, step, .. } => *step > 0 && *size > 0 && size % step == 0,
    };
    f.check(Law::Window, sound, || format!("{:?} are no windows", windowed.window));
    // Without the bounds it is an aggregate like any other.
    let (keys, mut rest) = (windowed.aggregate.keys.len(), out.clone());
    let bounds: Vec<Field> = rest.fields.splice(keys.min(out.len())..(keys + 2).min(out.len()), []).collect();
    let timestamp = Type::new(DataType::Timestamp);
    let bounded = bounds.len() == 2 && bounds.iter().all(|field| field.ty == timestamp);
    f.check(Law::SchemaAgreement, bounded, || format!("columns: ({out}) without the windows' start and end"));
    aggregate(f, &windowed.aggregate, true, input, &rest);
}

fn dedup(f: &mut Findings, dedup: &Dedup, input: &Node, node: &Node) {
    agree(f, "columns", &node.schema, &input.schema);
    if node.kind.is_changing() {
        let distinct = dedup.within.is_none() && dedup.keys.len() + 1 == input.schema.len();
        f.check(Law::Weight, distinct, || "only different rows can be told apart where rows change".into());
    }
    for key in &dedup.keys {
        if let Some(field) = column(f, &input.schema, *key) {
            comparable(f, &field.ty);
        }
    }
    if let Some(time) = dedup.time {
        event_time(f, &input.schema, time);
    }
    let timed = dedup.time.is_some() == dedup.within.is_some();
    f.check(Law::Window, timed, || "a duration without an event time, or the other way round".into());
    if dedup.within.is_none() && !node.kind.is_changing() {
        bounded(f, input);
    }
}

fn top(f: &mut Findings, top: &Top, input: &Node, node: &Node) {
    let begins = node.kind.is_changing() && !input.kind.is_changing();
    let out = if begins { without_weight(f, node) } else { node.schema.clone() };
    agree(f, "columns", &out, &input.schema);
    sort(f, &top.order, &input.schema);
    for key in &top.keys {
        if let Some(field) = column(f, &input.schema, *key) {
            comparable(f, &field.ty);
        }
    }
    match top.window {
        Some((start, end)) => {
            event_time(f, &input.schema, start);
            event_time(f, &input.schema, end);
        }
        None if node.kind.is_changing() => {}
        None => bounded(f, input),
    }
}

fn join(f: &mut Findings, join: &StreamJoin, inputs: &[&Node], node: &Node) {
    let out = &node.schema;
    let (left, right) = (&inputs[0].schema, &inputs[1].schema);
    let (ours, theirs) = (join.left_keys.len(), join.right_keys.len());
    f.check(Law::KeyType, ours == theirs, || format!("{ours} left keys, {theirs} right ones"));
    for (a, b) in join.left_keys.iter().zip(&join.right_keys) {
        if let (Some(a), Some(b)) = (column(f, left, *a), column(f, right, *b)) {
            f.check(Law::KeyType, a.ty.data == b.ty.data, || format!("{a} is matched with {b}"));
            comparable(f, &a.ty);
        }
    }
    match &join.within {
        Some(within) => {
            event_time(f, left, within.left);
            event_time(f, right, within.right);
            f.check(Law::Window, within.duration >= 0, || "the duration is negative".into());
        }
        None if node.kind.is_changing() => {}
        None => inputs.iter().for_each(|input| bounded(f, input)),
    }
    f.check(Law::Weight, join.within.is_none() || !node.kind.is_changing(), || "rows that change have no time".into());
    if let Some(residual) = &join.residual {
        f.at("residual", |f| predicate(f, residual, &pair_schema(left, right, &residual.input)));
    }
    let widened = |schema: &Schema, widens: bool| {
        let fields = schema.fields.iter().cloned();
        fields
            .map(|field| Field { ty: field.ty.clone().with_nullable(field.ty.nullable || widens), ..field })
            .collect::<Vec<Field>>()
    };
    let mut expected = Schema::new(widened(left, join.kind.widens_left()));
    // That of the pair.
    expected.fields.iter_mut().filter(|field| field.name == WEIGHT).for_each(|field| *field = weight());
    if join.kind.yields_right() {
        expected.fields.extend(widened(right, join.kind.widens_right()));
    }
    if join.kind == JoinKind::Mark {
        let nullable = |schema: &Schema, keys: &[usize]| {
            keys.iter().any(|k| schema.fields.get(*k).is_some_and(|field| field.ty.nullable))
        };
        let nullable = nullable(left, &join.left_keys) || nullable(right, &join.right_keys);
        expected.fields.push(Field::new("mark", Type::boolean().with_nullable(nullable)));
        let single = ours == 1 && join.residual.is_none() && node.kind.is_changing();
        f.check(Law::KeyType, single, || "a mark join has one key alone, and rows that change".into());
    }
    // The right columns are renamed on their way out: `payments.at`.
    let agrees = expected.len() == out.len()
        && expected.fields.iter().zip(&out.fields).enumerate().all(|(i, (e, o))| {
            e.ty.data == o.ty.data && (o.ty.nullable || !e.ty.nullable) && (i >= left.len() || e.name == o.name)
        });
    f.check(Law::SchemaAgreement, agrees, || format!("columns: ({out}) instead of ({expected})"));
}

/// Late rows have the columns of the (first) input of what they were too late for.
fn late(f: &mut Findings, plan: &Plan, of: &Node, out: &Schema) {
    let stateful =
        matches!(of.operator, Operator::WindowAggregate(_) | Operator::Dedup(_) | Operator::Top(_) | Operator::Join(_));
    f.check(Law::Reference, stateful, || "no rows are late for its input".into());
    if let Some(input) = of.inputs.first().filter(|_| stateful) {
        agree(f, "columns", out, &plan.graph.node(*input).schema);
    }
}

fn unique(f: &mut Findings, unique: &Unique, input: &Schema, out: &Schema) {
    for index in &unique.keys {
        if let Some(field) = column(f, input, *index) {
            comparable(f, &field.ty);
        }
    }
    if let Some(field) = unique.time.and_then(|index| column(f, input, index)) {
        f.check(Law::KeyType, field.ty.data == DataType::Timestamp, || format!("{field} is no event time"));
    }
    let timed = unique.time.is_some() == unique.within.is_some();
    f.check(Law::KeyType, timed, || "a duration without an event time, or the other way round".into());
    let mut expected = input.clone();
    let last = out.fields.last().map_or(String::new(), |field| field.name.clone());
    expected.fields.push(Field::new(last, Type::boolean()));
    agree(f, "columns", out, &expected);
}

fn sort(f: &mut Findings, columns: &[SortColumn], input: &Schema) {
    for key in columns {
        if let Some(field) = column(f, input, key.column) {
            comparable(f, &field.ty);
        }
    }
}

fn expect(f: &mut Findings, expect: &Expect, input: &Schema) {
    for rule in &expect.rules {
        for index in rule.passes.iter().chain(&rule.repaired) {
            if let Some(field) = column(f, input, *index) {
                f.check(Law::Boolean, field.ty == Type::boolean(), || format!("rule `{}` is {field}", rule.name));
            }
        }
        for index in &rule.shown {
            column(f, input, *index);
        }
        let Some(share) = &rule.share else { continue };
        f.at(&format!("rule `{}`", rule.name), |f| {
            let known = share.of.iter().all(|i| *i < expect.rules.len());
            f.check(Law::Position, known, || format!("there are no rules {:?}", share.of));
            let doubles = share.program.input.fields.iter().all(|field| field.ty == Type::new(DataType::Double));
            f.check(Law::Predicate, doubles && share.program.input.len() == share.of.len(), || {
                format!("reads ({}), not a double for each rule", share.program.input)
            });
            predicate(f, &share.program, &share.program.input);
        });
    }
}

fn explode(f: &mut Findings, index: usize, element: &Field, input: &Schema, out: &Schema) {
    let Some(field) = column(f, input, index) else { return };
    match &field.ty.data {
        DataType::Array(item) => {
            f.check(Law::SchemaAgreement, **item == element.ty, || format!("elements are {item}, not {}", element.ty));
        }
        other => f.report(Law::SchemaAgreement, format!("{other} is not an array")),
    }
    let mut expected = input.clone();
    expected.fields.push(element.clone());
    agree(f, "columns", out, &expected);
}
