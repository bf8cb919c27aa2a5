//! Columns that nobody reads are neither computed nor carried nor read from files.
//!
//! Law: what can fail is still computed. An output of a program that nobody reads becomes a step if it can fail; an aggregate that can fail stays. Every
//! node keeps a column, so that its rows can be counted.

use super::analysis::{can_fail, columns_of};
use super::edit::{expressions, move_columns};
use flowc_ir::aggregates::AggregateFunction;
use flowc_ir::graph::{
    Aggregate, ExpectRule, Graph, JoinKind, KeyedAggregate, Lookup, LookupKind, NodeId, Operator, WEIGHT,
};
use flowc_ir::plan::{Connector, Plan};
use flowc_ir::{Program, ProgramStep, Schema};
use std::collections::{BTreeMap, BTreeSet};

type Columns = BTreeSet<usize>;

/// Prunes the whole plan.
pub(super) fn run(plan: &mut Plan) {
    let kept = settle(plan);
    let tables = table_columns(plan, &kept);
    let sources = source_columns(plan, &kept);
    let graph = plan.graph.clone();
    for (id, _) in graph.iter() {
        rewrite(plan, &graph, &kept, &tables, id);
    }
    for (spec, kept) in plan.sources.iter_mut().zip(&sources) {
        spec.schema = choose(&spec.schema, kept);
        spec.predicate = None;
    }
    for (spec, kept) in plan.tables.iter_mut().zip(&tables) {
        spec.schema = choose(&spec.schema, kept);
        spec.predicate = None;
    }
}

fn choose(schema: &Schema, kept: &Columns) -> Schema {
    Schema::new(kept.iter().map(|i| schema.fields[*i].clone()).collect())
}

/// The column that costs least to carry.
fn cheapest(schema: &Schema) -> Option<usize> {
    (0..schema.len()).min_by_key(|i| !schema.fields[*i].ty.data.is_fixed_width())
}

/// For every node the columns that it goes on yielding: the least sets that give every reader what it reads.
fn settle(plan: &Plan) -> Vec<Columns> {
    let graph = &plan.graph;
    let mut kept: Vec<Columns> = vec![Columns::new(); graph.nodes.len()];
    loop {
        let before = kept.clone();
        for (id, node) in graph.iter().rev() {
            let own = id.0 as usize;
            if kept[own].is_empty() {
                kept[own].extend(cheapest(&node.schema));
            }
            for (input, needed) in node.inputs.iter().zip(needs(graph, id, &kept)) {
                kept[input.0 as usize].extend(needed);
            }
            let more = also_kept(plan, id, &kept);
            kept[own].extend(more);
            kept[own].extend(node.schema.index_of(WEIGHT));
        }
        if kept == before {
            return kept;
        }
    }
}

/// What a node yields besides what is read of it: what passes columns on yields all that it gets, the branches of a union yield the same, all who read a
/// source or a table read one set.
fn also_kept(plan: &Plan, id: NodeId, kept: &[Columns]) -> Columns {
    let graph = &plan.graph;
    let node = graph.node(id);
    let inputs = || node.inputs.iter().flat_map(|i| kept[i.0 as usize].clone()).collect::<Columns>();
    match &node.operator {
        Operator::Lookup(Lookup { kind: LookupKind::Mark, .. }) | Operator::Explode { .. } | Operator::Unique(_) => {
            let mut columns = inputs();
            columns.insert(node.schema.len() - 1);
            columns
        }
        Operator::Sort(_)
        | Operator::Limit(_)
        | Operator::Union
        | Operator::Lookup(_)
        | Operator::Expect(_)
        | Operator::Watermark(_)
        | Operator::Dedup(_)
        | Operator::Top(_) => inputs(),
        Operator::Upsert(_) => (0..node.schema.len()).collect(),
        Operator::Join(join) => {
            let width = graph.node(node.inputs[0]).schema.len();
            let mut columns = kept[node.inputs[0].0 as usize].clone();
            if join.kind.yields_right() {
                columns.extend(kept[node.inputs[1].0 as usize].iter().map(|c| width + c));
            }
            columns.extend((join.kind == JoinKind::Mark).then_some(width));
            columns
        }
        Operator::WindowAggregate(windowed) => {
            let aggregate = &windowed.aggregate;
            let (first, input) = (aggregate.keys.len() + 2, &graph.node(node.inputs[0]).schema);
            let calls = (0..aggregate.aggregates.len()).filter(|i| call_fails(aggregate, *i, input));
            (0..first).chain(calls.map(|i| first + i)).collect()
        }
        Operator::Late => kept[graph.node(node.inputs[0]).inputs[0].0 as usize].clone(),
        Operator::Aggregate(aggregate) | Operator::KeyedAggregate(KeyedAggregate { aggregate, .. }) => {
            let (keys, input) = (aggregate.keys.len(), &graph.node(node.inputs[0]).schema);
            let calls = (0..aggregate.aggregates.len()).filter(|i| call_fails(aggregate, *i, input));
            (0..keys).chain(calls.map(|i| keys + i)).collect()
        }
        Operator::Malformed(_) => (0..node.schema.len()).collect(),
        Operator::Source(source) => source_columns(plan, kept).swap_remove(source.0 as usize),
        Operator::TableScan(table) => table_columns(plan, kept).swap_remove(table.0 as usize),
        Operator::Sink(_) => (0..node.schema.len()).collect(),
        Operator::Transform(_) => Columns::new(),
    }
}

/// Columns that a program reads to yield these outputs, and to fail where it fails.
fn reads(program: &Program, outputs: &Columns) -> Columns {
    let mut columns = Columns::new();
    for step in &program.steps {
        columns.extend(columns_of(super::edit::step_expression(step)));
    }
    for (i, output) in program.outputs.iter().enumerate() {
        if outputs.contains(&i) || can_fail(&output.value) {
            columns.extend(columns_of(&output.value));
        }
    }
    columns.retain(|c| *c < program.input.len());
    columns
}

/// Whether an aggregate can fail, so that it stays whoever reads it.
pub(super) fn call_fails(aggregate: &Aggregate, i: usize, input: &Schema) -> bool {
    let call = &aggregate.aggregates[i];
    let floating = call.args.iter().all(|a| input.fields[*a].ty.data.is_floating());
    matches!(call.function, AggregateFunction::Sum | AggregateFunction::Avg) && !floating
}

/// What an aggregation reads of its input to yield these columns; the first aggregate is column `first`.
fn aggregated(aggregate: &Aggregate, first: usize, input: &Schema, outputs: &Columns) -> Columns {
    let mut columns: Columns = aggregate.keys.iter().copied().collect();
    for (i, call) in aggregate.aggregates.iter().enumerate() {
        if outputs.contains(&(first + i)) || call_fails(aggregate, i, input) {
            columns.extend(call.args.iter().chain(&call.filter));
        }
    }
    columns
}

/// The columns of late rows that are read, where a node has some.
fn read_of_late(graph: &Graph, id: NodeId, kept: &[Columns]) -> Columns {
    let late = graph.iter().filter(|(_, node)| node.operator == Operator::Late && node.inputs == [id]);
    late.flat_map(|(late, _)| kept[late.0 as usize].clone()).collect()
}

/// What a node reads of each input to yield the columns that are kept of it.
fn needs(graph: &Graph, id: NodeId, kept: &[Columns]) -> Vec<Columns> {
    let (node, outputs) = (graph.node(id), &kept[id.0 as usize]);
    let width = |i: usize| graph.node(node.inputs[i]).schema.len();
    let late = || read_of_late(graph, id, kept);
    let one = |columns: Columns| vec![columns];
    match &node.operator {
        Operator::Source(_) | Operator::Malformed(_) | Operator::TableScan(_) => vec![],
        Operator::Transform(program) => one(reads(program, outputs)),
        Operator::Lookup(lookup) => {
            let width = graph.node(node.inputs[0]).schema.len();
            let mut columns: Columns = outputs.iter().copied().filter(|c| *c < width).collect();
            columns.extend(lookup.stream_keys.iter().chain(&lookup.as_of));
            let residual = lookup.residual.iter().flat_map(expressions).flat_map(columns_of);
            columns.extend(residual.filter(|c| *c < width));
            one(columns)
        }
        Operator::Aggregate(aggregate) | Operator::KeyedAggregate(KeyedAggregate { aggregate, .. }) => {
            let input = &graph.node(node.inputs[0]).schema;
            one(aggregated(aggregate, aggregate.keys.len(), input, outputs))
        }
        Operator::WindowAggregate(windowed) => {
            let (aggregate, input) = (&windowed.aggregate, &graph.node(node.inputs[0]).schema);
            // The hash of a row is that of all its columns.
            let mut columns: Columns = if windowed.by_time { (0..input.len()).collect() } else { late() };
            columns.extend(aggregated(aggregate, aggregate.keys.len() + 2, input, outputs));
            columns.insert(windowed.time);
            one(columns)
        }
        Operator::Watermark(watermark) => one(outputs.iter().copied().chain([watermark.time]).collect()),
        Operator::Dedup(dedup) => {
            one(outputs.iter().chain(&dedup.keys).chain(&dedup.time).copied().chain(late()).collect())
        }
        // Its input has what it needs, and no more.
        Operator::Upsert(_) => one((0..width(0)).collect()),
        // Any column may break a tie.
        Operator::Top(_) => one((0..width(0)).collect()),
        Operator::Join(join) => {
            let left = width(0);
            let mut columns: Columns = outputs.clone();
            columns.extend(&join.left_keys);
            columns.extend(join.right_keys.iter().map(|key| left + key));
            columns.extend(join.within.iter().flat_map(|within| [within.left, left + within.right]));
            columns.extend(join.residual.iter().flat_map(expressions).flat_map(columns_of));
            // The last of a mark join is its own.
            if join.kind == JoinKind::Mark {
                columns.retain(|c| *c < left || join.right_keys.contains(&(c - left)));
            }
            columns.retain(|c| *c < left + width(1));
            let right = columns.split_off(&left).into_iter().map(|c| c - left).collect();
            columns.extend(late());
            vec![columns, right]
        }
        // Its input sees to what it reads.
        Operator::Late => one(Columns::new()),
        Operator::Sort(keys) => one(outputs.iter().copied().chain(keys.iter().map(|k| k.column)).collect()),
        Operator::Limit(_) => one(outputs.clone()),
        Operator::Unique(unique) => {
            let mut columns = outputs.clone();
            columns.remove(&(node.schema.len() - 1));
            columns.extend(unique.keys.iter().chain(&unique.time));
            one(columns)
        }
        Operator::Expect(expect) => {
            let read = expect.rules.iter().flat_map(|r| r.passes.iter().chain(&r.repaired).chain(&r.shown));
            one(outputs.iter().chain(read).copied().collect())
        }
        Operator::Union => vec![outputs.clone(); node.inputs.len()],
        Operator::Explode { column, .. } => {
            let element = node.schema.len() - 1;
            let mut columns = outputs.clone();
            columns.remove(&element);
            columns.insert(*column);
            one(columns)
        }
        Operator::Sink(_) => one((0..node.schema.len()).collect()),
    }
}

/// The columns of the table that a lookup keeps of its prepared rows.
fn prepared(lookup: &Lookup, width: usize, outputs: &Columns) -> Columns {
    let mut columns: Columns = lookup.table_keys.iter().copied().collect();
    let residual = lookup.residual.iter().flat_map(expressions).flat_map(columns_of);
    columns.extend(residual.filter(|c| *c >= width).map(|c| c - width));
    let kept = lookup.output.iter().enumerate().filter(|(i, _)| outputs.contains(&(width + i)));
    columns.extend(kept.map(|(_, column)| *column));
    if columns.is_empty() {
        columns.extend(cheapest(&lookup.prepare.output_schema()));
    }
    columns
}

fn width_of_stream(graph: &Graph, id: NodeId) -> usize {
    graph.node(graph.node(id).inputs[0]).schema.len()
}

fn source_columns(plan: &Plan, kept: &[Columns]) -> Vec<Columns> {
    let mut columns = vec![Columns::new(); plan.sources.len()];
    for (id, node) in plan.graph.iter() {
        if let Operator::Source(source) = node.operator {
            columns[source.0 as usize].extend(kept[id.0 as usize].clone());
        }
    }
    for (columns, spec) in columns.iter_mut().zip(&plan.sources).filter(|(_, s)| by_position(&s.connector)) {
        columns.extend(0..spec.schema.len());
    }
    columns
}

/// The columns of each table that scans and lookups read.
fn table_columns(plan: &Plan, kept: &[Columns]) -> Vec<Columns> {
    let mut columns = vec![Columns::new(); plan.tables.len()];
    for (id, node) in plan.graph.iter() {
        match &node.operator {
            Operator::TableScan(table) => columns[table.0 as usize].extend(kept[id.0 as usize].clone()),
            Operator::Lookup(lookup) => {
                let outputs = prepared(lookup, width_of_stream(&plan.graph, id), &kept[id.0 as usize]);
                columns[lookup.table.0 as usize].extend(reads(&lookup.prepare, &outputs));
            }
            _ => {}
        }
    }
    for (columns, spec) in columns.iter_mut().zip(&plan.tables) {
        if by_position(&spec.connector) {
            columns.extend(0..spec.schema.len());
        } else if columns.is_empty() {
            columns.extend(cheapest(&spec.schema));
        }
    }
    columns
}

/// Whether columns are found by their places, so that none can be left out.
fn by_position(connector: &Connector) -> bool {
    matches!(connector, Connector::Csv { header: false, .. })
}

/// Where the columns that are kept stand afterwards.
fn places(kept: &Columns) -> BTreeMap<usize, usize> {
    kept.iter().enumerate().map(|(new, old)| (*old, new)).collect()
}

/// The program over fewer inputs that yields fewer outputs.
fn narrow(program: &Program, inputs: &Columns, outputs: &Columns) -> Program {
    let removed = program.input.len() - inputs.len();
    let slots = program.input.len() + program.steps.len() + program.outputs.len();
    let mut place = places(inputs);
    place.extend((program.input.len()..slots).map(|slot| (slot, slot - removed)));
    let mut narrowed = Program { input: choose(&program.input, inputs), steps: program.steps.clone(), outputs: vec![] };
    for (i, output) in program.outputs.iter().enumerate() {
        if outputs.contains(&i) {
            narrowed.outputs.push(output.clone());
        } else if can_fail(&output.value) {
            narrowed.steps.push(ProgramStep::Let(output.value.clone()));
        }
    }
    super::edit::expressions_mut(&mut narrowed).for_each(|e| move_columns(e, &place));
    narrowed
}

/// The aggregates that are among the outputs, the first of which is column `first`, over columns at other places.
fn narrow_aggregate(aggregate: &mut Aggregate, first: usize, outputs: &Columns, place: &BTreeMap<usize, usize>) {
    let calls = aggregate.aggregates.iter().enumerate().filter(|(i, _)| outputs.contains(&(first + i)));
    let mut calls: Vec<_> = calls.map(|(_, call)| call.clone()).collect();
    for call in &mut calls {
        call.args.iter_mut().chain(&mut call.filter).for_each(|c| *c = place[&*c]);
    }
    aggregate.aggregates = calls;
    aggregate.keys.iter_mut().for_each(|key| *key = place[&*key]);
}

fn rewrite(plan: &mut Plan, old: &Graph, kept: &[Columns], tables: &[Columns], id: NodeId) {
    let outputs = &kept[id.0 as usize];
    let input = old.node(id).inputs.first().map(|i| &kept[i.0 as usize]);
    let place = input.map(places).unwrap_or_default();
    let node = &mut plan.graph.nodes[id.0 as usize];
    node.schema = choose(&node.schema, outputs);
    match &mut node.operator {
        Operator::Source(_)
        | Operator::Malformed(_)
        | Operator::TableScan(_)
        | Operator::Limit(_)
        | Operator::Union
        | Operator::Late
        // It keeps all columns.
        | Operator::Upsert(_)
        | Operator::Sink(_) => {}
        Operator::Watermark(watermark) => watermark.time = place[&watermark.time],
        Operator::Dedup(dedup) => dedup.keys.iter_mut().chain(&mut dedup.time).for_each(|c| *c = place[&*c]),
        Operator::Top(top) => {
            let order = top.order.iter_mut().map(|key| &mut key.column);
            let window = top.window.iter_mut().flat_map(|(start, end)| [start, end]);
            order.chain(&mut top.keys).chain(window).for_each(|c| *c = place[&*c]);
        }
        Operator::WindowAggregate(windowed) => {
            let first = windowed.aggregate.keys.len() + 2;
            narrow_aggregate(&mut windowed.aggregate, first, outputs, &place);
            windowed.time = place[&windowed.time];
        }
        Operator::Join(join) => {
            let inputs: Vec<&Columns> = old.node(id).inputs.iter().map(|i| &kept[i.0 as usize]).collect();
            let (left, right) = (place, places(inputs[1]));
            let width = old.node(old.node(id).inputs[0]).schema.len();
            join.left_keys.iter_mut().for_each(|c| *c = left[&*c]);
            join.right_keys.iter_mut().for_each(|c| *c = right[&*c]);
            if let Some(within) = &mut join.within {
                (within.left, within.right) = (left[&within.left], right[&within.right]);
            }
            if let Some(residual) = &mut join.residual {
                let all: Columns = (0..residual.outputs.len()).collect();
                let pair: Columns = inputs[0].iter().copied().chain(inputs[1].iter().map(|c| width + c)).collect();
                *residual = narrow(residual, &pair, &all);
            }
        }
        Operator::Transform(program) => {
            if let Some(input) = input {
                *program = narrow(program, input, outputs);
            }
        }
        Operator::Sort(keys) => keys.iter_mut().for_each(|key| key.column = place[&key.column]),
        Operator::Expect(expect) => {
            let read = |r: &mut ExpectRule, moved: &BTreeMap<usize, usize>| {
                r.passes.iter_mut().chain(&mut r.repaired).chain(&mut r.shown).for_each(|c| *c = moved[&*c]);
            };
            expect.rules.iter_mut().for_each(|rule| read(rule, &place));
        }
        Operator::Explode { column, .. } => *column = place[&*column],
        Operator::Unique(unique) => unique.keys.iter_mut().chain(&mut unique.time).for_each(|c| *c = place[&*c]),
        Operator::Aggregate(aggregate) | Operator::KeyedAggregate(KeyedAggregate { aggregate, .. }) => {
            let first = aggregate.keys.len();
            narrow_aggregate(aggregate, first, outputs, &place);
        }
        Operator::Lookup(lookup) => {
            let (width, streams) = (width_of_stream(old, id), input.map_or(0, Columns::len));
            let columns = prepared(lookup, width, outputs);
            let table = places(&columns);
            let mut pair = place.clone();
            pair.extend(table.iter().map(|(old, new)| (width + old, streams + new)));
            lookup.prepare = narrow(&lookup.prepare, &tables[lookup.table.0 as usize], &columns);
            lookup.stream_keys.iter_mut().chain(&mut lookup.as_of).for_each(|column| *column = place[&*column]);
            lookup.table_keys.iter_mut().for_each(|key| *key = table[&*key]);
            let read = lookup.output.iter().enumerate().filter(|(i, _)| outputs.contains(&(width + i)));
            lookup.output = read.map(|(_, column)| table[column]).collect();
            if let (Some(residual), Some(input)) = (&mut lookup.residual, input) {
                let all: Columns = (0..residual.outputs.len()).collect();
                let inputs: Columns = input.iter().copied().chain(columns.iter().map(|c| width + c)).collect();
                *residual = narrow(residual, &inputs, &all);
            }
        }
    }
}
