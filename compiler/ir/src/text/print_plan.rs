//! Graphs and plans to text. Connectors and the other plain data of a plan are written as JSON, as they are in `plan.json`.

use super::name::{quote, string};
use super::print_expr::Printer;
use super::value;
use crate::graph::{
    Aggregate, Alignment, Expect, Graph, JoinKind, Kind, Lookup, LookupKind, Node, Operator, SortColumn, StreamJoin,
    Top, Upsert, Window, WindowAggregate, malformed_schema,
};
use crate::plan::{Plan, SinkMode, SinkSpec, SourceSpec, TableSpec};
use crate::types::{DataType, Schema};
use serde::Serialize;

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain data with string keys is always JSON")
}

/// What a node's columns are, where they follow from its operator and inputs.
pub(super) fn implied_columns(operator: &Operator, inputs: &[&Schema]) -> Option<Schema> {
    let input = inputs.first().copied();
    match operator {
        Operator::Transform(program) => Some(program.output_schema()),
        Operator::Sort(_)
        | Operator::Limit(_)
        | Operator::Union
        | Operator::Expect(_)
        | Operator::Watermark(_)
        | Operator::Dedup(_)
        | Operator::Top(_)
        | Operator::Sink(_) => input.cloned(),
        Operator::Explode { element, .. } => input.map(|input| {
            let mut columns = input.clone();
            columns.fields.push(element.clone());
            columns
        }),
        Operator::Malformed(_) => Some(malformed_schema()),
        Operator::Source(_)
        | Operator::TableScan(_)
        | Operator::Lookup(_)
        | Operator::Aggregate(_)
        | Operator::KeyedAggregate(_)
        | Operator::Upsert(_)
        | Operator::WindowAggregate(_)
        | Operator::Join(_)
        | Operator::Late
        | Operator::Unique(_) => None,
    }
}

pub(super) fn graph(p: &mut Printer, graph: &Graph) {
    p.line(0);
    p.push("graph {");
    for (id, node) in graph.iter() {
        p.line(1);
        p.push(format!("{}: ", id.0));
        let inputs = node.inputs.iter().map(|i| graph.nodes.get(i.0 as usize).filter(|_| i.0 < id.0));
        // A node that reads what does not come before it is printed in full.
        let inputs: Vec<&Schema> = inputs.map_while(|n| n.map(|n| &n.schema)).collect();
        self::node(p, node, &inputs);
    }
    p.line(0);
    p.push("}");
}

fn numbers<T: ToString>(numbers: impl IntoIterator<Item = T>) -> String {
    format!("[{}]", numbers.into_iter().map(|n| n.to_string()).collect::<Vec<_>>().join(", "))
}

fn node(p: &mut Printer, node: &Node, inputs: &[&Schema]) {
    p.push(match &node.operator {
        Operator::Source(id) => format!("source {}", id.0),
        Operator::Malformed(id) => format!("malformed {}", id.0),
        Operator::TableScan(id) => format!("scan {}", id.0),
        Operator::Transform(_) => "transform".to_string(),
        Operator::Lookup(lookup) => format!("lookup {}", lookup.table.0),
        Operator::Aggregate(_) => "aggregate".to_string(),
        Operator::KeyedAggregate(keyed) => format!("keyed_aggregate {}", string(&keyed.name)),
        Operator::Upsert(upsert) => self::upsert(upsert),
        Operator::Sort(_) => "sort".to_string(),
        Operator::Limit(count) => format!("limit {count}"),
        Operator::Union => "union".to_string(),
        Operator::Explode { column, .. } => format!("explode {column}"),
        Operator::Unique(unique) => {
            let part = |word: &str, value: Option<i64>| value.map_or(String::new(), |v| format!(" {word} {v}"));
            let time = part("time", unique.time.map(|t| t as i64));
            let (within, delay) = (part("within", unique.within), part("delay", unique.delay));
            let (flow, rule) = (string(&unique.flow), string(&unique.rule));
            format!("unique {flow} {rule} {}{time}{within}{delay}", numbers(&unique.keys))
        }
        Operator::Expect(expect) => format!("expect {}", string(&expect.flow)),
        Operator::Watermark(watermark) => {
            let idle = watermark.idle.map_or(String::new(), |idle| format!(" idle {idle}"));
            format!("watermark {} time {} delay {}{idle}", string(&watermark.source), watermark.time, watermark.delay)
        }
        Operator::WindowAggregate(windowed) => format!("window_aggregate {}", string(&windowed.name)),
        Operator::Dedup(dedup) => {
            let time = dedup.time.map_or(String::new(), |time| format!(" time {time}"));
            let within = dedup.within.map_or(String::new(), |within| format!(" within {within}"));
            let by_time = if dedup.by_time { " by_time" } else { "" };
            format!("dedup {} {}{time}{within}{by_time}", string(&dedup.name), numbers(&dedup.keys))
        }
        Operator::Top(top) => format!("top {} {}", string(&top.name), top.count),
        Operator::Join(join) => format!("join {}", string(&join.name)),
        Operator::Late => "late".to_string(),
        Operator::Sink(id) => format!("sink {}", id.0),
    });
    if !node.inputs.is_empty() {
        p.push(format!(" <- {}", numbers(node.inputs.iter().map(|i| i.0))));
    }
    p.push(format!(" {}", string(&node.label)));
    if node.bounded {
        p.push(" bounded");
    }
    if let Kind::Changing { key } = &node.kind {
        p.push(format!(" changing({})", key.iter().map(|k| quote(k)).collect::<Vec<_>>().join(", ")));
    }
    p.origin(node.origin, " ");
    if implied_columns(&node.operator, inputs).as_ref() != Some(&node.schema) {
        p.line(2);
        p.push("columns ");
        p.schema(&node.schema);
    }
    match &node.operator {
        Operator::Transform(program) => {
            p.line(2);
            let known = inputs.first().is_some_and(|input| **input == program.input);
            p.program(program, (!known).then_some(&program.input), 2);
        }
        Operator::Lookup(lookup) => self::lookup(p, lookup),
        Operator::Aggregate(aggregate) => self::aggregate(p, aggregate),
        Operator::KeyedAggregate(keyed) => self::aggregate(p, &keyed.aggregate),
        Operator::Expect(expect) => self::expect(p, expect),
        Operator::WindowAggregate(windowed) => window_aggregate(p, windowed),
        Operator::Join(join) => self::join(p, join),
        Operator::Top(top) => self::top(p, top),
        Operator::Sort(columns) => order(p, columns),
        Operator::Explode { element, .. } => {
            p.line(2);
            p.push("element ");
            p.field(element);
        }
        _ => {}
    }
}

fn upsert(upsert: &Upsert) -> String {
    let (name, source) = (string(&upsert.name), string(&upsert.source));
    let (keys, sequence) = (numbers(&upsert.keys), numbers(&upsert.sequence));
    let (width, operation) = (upsert.width, upsert.operation);
    let history = upsert.history.map_or(String::new(), |time| format!(" history {time}"));
    format!("upsert {name} {source} width {width} keys {keys} operation {operation} sequence {sequence}{history}")
}

fn order(p: &mut Printer, columns: &[SortColumn]) {
    for key in columns {
        p.line(2);
        p.push(format!("by {}", key.column));
        p.push(if key.descending { " desc" } else { "" });
        p.push(if key.nulls_first { " nulls_first" } else { "" });
    }
}

fn top(p: &mut Printer, top: &Top) {
    p.line(2);
    p.push(format!("per {}", numbers(&top.keys)));
    p.push(top.window.map_or(String::new(), |(start, end)| format!(" window {}", numbers([start, end]))));
    order(p, &top.order);
}

fn window_aggregate(p: &mut Printer, windowed: &WindowAggregate) {
    let align = |align: &Alignment| {
        let zone = align.zone.as_ref().map_or(String::new(), |zone| format!(" zone {}", string(zone)));
        format!(" offset {}{zone}", align.offset)
    };
    p.line(2);
    p.push(match &windowed.window {
        Window::Tumble { size, align: a } => format!("tumble {size}{}", align(a)),
        Window::Hop { size, slide, align: a } => format!("hop {size} {slide}{}", align(a)),
        Window::Session { gap } => format!("session {gap}"),
        Window::Cumulate { size, step, align: a } => format!("cumulate {size} {step}{}", align(a)),
    });
    p.push(format!(" time {}{}", windowed.time, if windowed.by_time { " by_time" } else { "" }));
    p.push(windowed.late.map_or(String::new(), |late| format!(" late {late}")));
    aggregate(p, &windowed.aggregate);
}

fn join(p: &mut Printer, join: &StreamJoin) {
    p.line(2);
    let kind = JoinKind::ALL.iter().find(|(kind, _)| *kind == join.kind).map_or("", |(_, word)| word);
    p.push(format!("{kind} keys {} == {}", numbers(&join.left_keys), numbers(&join.right_keys)));
    if let Some(within) = &join.within {
        p.push(format!(" within {} times {}", within.duration, numbers([within.left, within.right])));
    }
    if let Some(residual) = &join.residual {
        p.line(2);
        p.push("residual ");
        p.program(residual, Some(&residual.input), 2);
    }
}

fn expect(p: &mut Printer, expect: &Expect) {
    for rule in &expect.rules {
        p.line(2);
        p.push(format!("rule {} {}", string(&rule.name), rule.policy.word()));
        p.push(rule.passes.map(|c| format!(" passes {c}")).unwrap_or_default());
        p.push(rule.repaired.map(|c| format!(" repaired {c}")).unwrap_or_default());
        p.push(format!(" shown {}", numbers(&rule.shown)));
        p.origin(rule.origin, " ");
        if let Some(share) = &rule.share {
            p.line(3);
            p.push(format!("share {} ", numbers(&share.of)));
            p.program(&share.program, Some(&share.program.input), 3);
        }
    }
}

fn lookup(p: &mut Printer, lookup: &Lookup) {
    p.line(2);
    let kind = match lookup.kind {
        LookupKind::Inner => "inner",
        LookupKind::Left => "left",
        LookupKind::Semi => "semi",
        LookupKind::Anti => "anti",
        LookupKind::Mark => "mark",
    };
    let (ours, theirs) = (numbers(&lookup.stream_keys), numbers(&lookup.table_keys));
    let as_of = lookup.as_of.map_or(String::new(), |time| format!(" as_of {time}"));
    p.push(format!("{kind}{as_of} keys {ours} == {theirs} output {}", numbers(&lookup.output)));
    p.line(2);
    p.push("prepare ");
    p.program(&lookup.prepare, Some(&lookup.prepare.input), 2);
    if let Some(residual) = &lookup.residual {
        p.line(2);
        p.push("residual ");
        p.program(residual, Some(&residual.input), 2);
    }
}

fn aggregate(p: &mut Printer, aggregate: &Aggregate) {
    p.line(2);
    p.push(format!("keys {}", numbers(&aggregate.keys)));
    for call in &aggregate.aggregates {
        p.line(2);
        p.push(format!("{} {}", call.function.info().name, numbers(&call.args)));
        if !call.constants.is_empty() {
            p.push(format!(" constants {}", numbers(call.constants.iter().map(|v| value::print(v, &DataType::Null)))));
        }
        if let Some(filter) = call.filter {
            p.push(format!(" filter {filter}"));
        }
        p.push(" : ");
        p.ty(&call.ty);
        p.origin(call.origin, " ");
    }
}

pub(super) fn plan(p: &mut Printer, plan: &Plan) {
    p.push(format!("plan {}", string(&plan.pipeline)));
    for spec in &plan.sources {
        source(p, spec);
    }
    for spec in &plan.tables {
        table(p, spec);
    }
    for spec in &plan.sinks {
        sink(p, spec);
    }
    graph(p, &plan.graph);
}

fn source(p: &mut Printer, spec: &SourceSpec) {
    p.line(0);
    p.push(format!("source {} {}", string(&spec.name), json(&spec.connector)));
    p.origin(spec.origin, " ");
    columns(p, &spec.schema);
    if let Some(judged) = &spec.quarantine {
        p.line(1);
        p.push("quarantine ");
        p.schema(judged);
    }
    if !spec.updates.stop() {
        p.line(1);
        p.push(format!("updates {}", json(&spec.updates)));
    }
    if let Some(committed) = &spec.committed {
        p.line(1);
        p.push(format!("committed {}", json(committed)));
    }
    if let Some(start) = &spec.start {
        p.line(1);
        p.push(format!("start {}", json(start)));
    }
    if let Some(arrival) = &spec.arrival {
        p.line(1);
        p.push(format!("arrival {}", json(arrival)));
    }
    promises(p, &spec.promises);
    predicate(p, spec.predicate.as_ref(), &spec.schema);
}

fn table(p: &mut Printer, spec: &TableSpec) {
    p.line(0);
    p.push(format!("table {} {}", string(&spec.name), json(&spec.connector)));
    p.origin(spec.origin, " ");
    columns(p, &spec.schema);
    if let Some(version) = &spec.version {
        p.line(1);
        p.push(format!("version {}", json(version)));
    }
    promises(p, &spec.promises);
    predicate(p, spec.predicate.as_ref(), &spec.schema);
}

fn promises(p: &mut Printer, promises: &[(String, String)]) {
    if !promises.is_empty() {
        p.line(1);
        p.push(format!("promises {}", json(&promises)));
    }
}

fn columns(p: &mut Printer, schema: &Schema) {
    p.line(1);
    p.push("columns ");
    p.schema(schema);
}

fn predicate(p: &mut Printer, predicate: Option<&crate::expr::Program>, columns: &Schema) {
    if let Some(program) = predicate {
        p.line(1);
        p.push("predicate ");
        p.program(program, (program.input != *columns).then_some(&program.input), 1);
    }
}

fn sink(p: &mut Printer, spec: &SinkSpec) {
    p.line(0);
    p.push(format!("sink {} {} <- {}", string(&spec.name), json(&spec.connector), spec.input.0));
    let keyed = |word: &str, keys: &[String]| {
        format!(" {word}({})", keys.iter().map(|k| quote(k)).collect::<Vec<_>>().join(", "))
    };
    p.push(match &spec.mode {
        SinkMode::Append => " append".to_string(),
        SinkMode::Overwrite => " overwrite".to_string(),
        SinkMode::OverwritePartition => " overwrite_partition".to_string(),
        SinkMode::Merge { keys } => keyed("merge", keys),
        SinkMode::Scd2 { keys } => keyed("scd2", keys),
    });
    p.push(if spec.changing { " changing" } else { "" });
    p.push(if spec.whole { " whole" } else { "" });
    p.push(if spec.evolve { " evolve" } else { "" });
    p.origin(spec.origin, " ");
    columns(p, &spec.schema);
    let mut clause = |word: &str, empty: bool, text: String| {
        if !empty {
            p.line(1);
            p.push(format!("{word} {text}"));
        }
    };
    clause("partition_by", spec.partition_by.is_empty(), json(&spec.partition_by));
    clause("generated", spec.generated.is_empty(), json(&spec.generated));
    clause("constraints", spec.constraints.is_empty(), json(&spec.constraints));
    clause("enforced", spec.enforced.is_empty(), json(&spec.enforced));
    clause("properties", spec.properties.is_empty(), json(&spec.properties));
    clause("description", spec.description.is_none(), json(&spec.description));
}
