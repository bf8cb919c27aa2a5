//! What a plan means, row by row: the interpreter for expressions, and the plainest way for every operator.

use flowc_ir::aggregates::AggregateFunction;
use flowc_ir::eval::{EvalContext, FailureCode};
use flowc_ir::graph::{Aggregate, JoinKind, Lookup, LookupKind, Node, Operator, SortColumn, SourceId, StreamJoin, Top};
use flowc_ir::interpret::eval;
use flowc_ir::key_pruning::{KnownKeys, prunings};
use flowc_ir::plan::Plan;
use flowc_ir::{Program, ProgramStep, Schema, Value};
use std::cmp::Ordering;

pub(super) type Row = Vec<Value>;

/// Rows by the names of their columns.
#[derive(Debug, Clone)]
pub(super) struct Data {
    pub(super) schema: Schema,
    pub(super) rows: Vec<Row>,
}

impl Data {
    /// The columns that are read.
    fn project(&self, to: &Schema) -> Vec<Row> {
        let positions: Vec<usize> =
            to.fields.iter().map(|f| self.schema.index_of(&f.name).expect("a column of the source")).collect();
        self.rows.iter().map(|row| positions.iter().map(|p| row[*p].clone()).collect()).collect()
    }
}

/// The rows of every sink, or what failed first. `pruned`: sources leave out what lookups tell them.
pub(super) fn run(plan: &Plan, sources: &[Data], tables: &[Data], pruned: bool) -> Result<Vec<Vec<Row>>, FailureCode> {
    let mut outputs: Vec<Vec<Row>> = vec![];
    let mut sinks = vec![vec![]; plan.sinks.len()];
    for (_, node) in plan.graph.iter() {
        let inputs: Vec<&Vec<Row>> = node.inputs.iter().map(|i| &outputs[i.0 as usize]).collect();
        let rows = operator(plan, node, &inputs, (sources, pruned), tables)?;
        if let Operator::Sink(sink) = node.operator {
            sinks[sink.0 as usize].clone_from(&rows);
        }
        outputs.push(rows);
    }
    Ok(sinks)
}

fn operator(
    plan: &Plan,
    node: &Node,
    inputs: &[&Vec<Row>],
    (sources, pruned): (&[Data], bool),
    tables: &[Data],
) -> Result<Vec<Row>, FailureCode> {
    Ok(match &node.operator {
        Operator::Source(id) => {
            let (data, spec) = (&sources[id.0 as usize], &plan.sources[id.0 as usize]);
            let needed = if pruned { needed_by_keys(plan, *id, tables)? } else { None };
            let rows = read(data, &spec.schema, spec.predicate.as_ref())?;
            read(&Data { schema: spec.schema.clone(), rows }, &spec.schema, needed.as_ref())?
        }
        // What is made up for these tests is well-formed.
        Operator::Malformed(_) => vec![],
        Operator::TableScan(id) => read(
            &tables[id.0 as usize],
            &plan.tables[id.0 as usize].schema,
            plan.tables[id.0 as usize].predicate.as_ref(),
        )?,
        Operator::Transform(program) => self::program(program, inputs[0])?,
        Operator::Lookup(lookup) => {
            let spec = &plan.tables[lookup.table.0 as usize];
            let table = read(&tables[lookup.table.0 as usize], &spec.schema, spec.predicate.as_ref())?;
            self::lookup(lookup, inputs[0], &program(&lookup.prepare, &table)?)?
        }
        Operator::Aggregate(aggregate) => self::aggregate(aggregate, inputs[0])?,
        Operator::Sort(keys) => {
            let mut rows = inputs[0].clone();
            rows.sort_by(|a, b| {
                keys.iter().map(|key| compare(key, a, b)).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
            });
            rows
        }
        Operator::Limit(count) => inputs[0].iter().take(*count as usize).cloned().collect(),
        Operator::Union => inputs.iter().flat_map(|rows| rows.iter().cloned()).collect(),
        Operator::Explode { column, .. } => {
            let mut rows = vec![];
            for row in inputs[0] {
                if let Value::Array(items) = &row[*column] {
                    rows.extend(items.iter().map(|item| row.iter().chain([item]).cloned().collect::<Row>()));
                }
            }
            rows
        }
        Operator::Unique(unique) => {
            let mut seen: Vec<Row> = vec![];
            let first = |row: &Row| {
                let key: Row = unique.keys.iter().map(|c| row[*c].clone()).collect();
                let first = !seen.contains(&key);
                seen.push(key);
                row.iter().cloned().chain([Value::Boolean(first)]).collect::<Row>()
            };
            inputs[0].iter().map(first).collect()
        }
        Operator::Expect(_) | Operator::Watermark(_) | Operator::Sink(_) => inputs[0].clone(),
        Operator::Dedup(dedup) => {
            let mut seen: Vec<Row> = vec![];
            let is_new = |row: &&Row| {
                let key: Row = dedup.keys.iter().map(|c| row[*c].clone()).collect();
                let new = !seen.contains(&key);
                seen.push(key);
                new
            };
            inputs[0].iter().filter(is_new).cloned().collect()
        }
        Operator::Top(top) => self::top(top, inputs[0]),
        Operator::Join(join) => self::join(join, node, inputs)?,
        Operator::WindowAggregate(_) | Operator::KeyedAggregate(_) | Operator::Upsert(_) | Operator::Late => {
            unreachable!("no program here is generated with {}", node.label)
        }
    })
}

/// What a lookup behind a source tells of the rows that it needs.
fn needed_by_keys(plan: &Plan, source: SourceId, tables: &[Data]) -> Result<Option<Program>, FailureCode> {
    let pruning = prunings(plan).into_iter().find(|pruning| pruning.source == source);
    let Some(pruning) = pruning else { return Ok(None) };
    let Operator::Lookup(lookup) = &plan.graph.node(pruning.lookup).operator else { unreachable!("it is a lookup") };
    let spec = &plan.tables[lookup.table.0 as usize];
    let table = read(&tables[lookup.table.0 as usize], &spec.schema, spec.predicate.as_ref())?;
    let table = program(&lookup.prepare, &table)?;
    let known = pruning.keys.iter().map(|key| {
        let keys = table.iter().map(|row| row[lookup.table_keys[key.key]].clone());
        let mut keys: Vec<Value> = keys.filter(|key| !key.is_null()).collect();
        keys.sort_by(Value::compare);
        let bounds = (keys.first()?.clone(), keys.last()?.clone());
        // Now and then the bounds alone.
        let all = keys.len().is_multiple_of(2).then_some(keys);
        Some(KnownKeys { bounds, all })
    });
    let known: Vec<Option<KnownKeys>> = known.collect();
    Ok(pruning.predicate(&plan.sources[source.0 as usize].schema, &known))
}

/// A source that skips all that it may skip.
fn read(data: &Data, columns: &Schema, predicate: Option<&Program>) -> Result<Vec<Row>, FailureCode> {
    let rows = data.project(columns);
    let Some(predicate) = predicate else { return Ok(rows) };
    let mut kept = vec![];
    for row in rows {
        if program(predicate, &vec![row.clone()])?[0][0] == Value::Boolean(true) {
            kept.push(row);
        }
    }
    Ok(kept)
}

fn program(program: &Program, rows: &Vec<Row>) -> Result<Vec<Row>, FailureCode> {
    let context = EvalContext { now: 1_700_000_000_000_000, epoch: 3 };
    let evaluate = |e, row: &Row| eval(e, row, &context).map_err(|(failure, _)| failure.code);
    let mut out = vec![];
    'rows: for row in rows {
        let mut slots = row.clone();
        for step in &program.steps {
            match step {
                ProgramStep::Let(e) => {
                    let value = evaluate(e, &slots)?;
                    slots.push(value);
                }
                ProgramStep::Filter(e) if evaluate(e, &slots)? != Value::Boolean(true) => continue 'rows,
                ProgramStep::Assert { condition, .. } if evaluate(condition, &slots)? != Value::Boolean(true) => {
                    return Err(FailureCode::Constraint);
                }
                _ => {}
            }
        }
        out.push(program.outputs.iter().map(|o| evaluate(&o.value, &slots)).collect::<Result<Row, _>>()?);
    }
    Ok(out)
}

fn compare(key: &SortColumn, a: &Row, b: &Row) -> Ordering {
    let (a, b) = (&a[key.column], &b[key.column]);
    match (a.is_null(), b.is_null()) {
        (false, false) if key.descending => b.compare(a),
        (true, false) => {
            if key.nulls_first {
                Ordering::Less
            } else {
                Ordering::Greater
            }
        }
        (false, true) => {
            if key.nulls_first {
                Ordering::Greater
            } else {
                Ordering::Less
            }
        }
        _ => a.compare(b),
    }
}

fn lookup(lookup: &Lookup, stream: &[Row], table: &[Row]) -> Result<Vec<Row>, FailureCode> {
    let mut out = vec![];
    for row in stream {
        let mut matched = false;
        for candidate in table {
            let mut keys = lookup.stream_keys.iter().zip(&lookup.table_keys);
            if !keys.all(|(a, b)| !row[*a].is_null() && row[*a] == candidate[*b]) {
                continue;
            }
            let pair: Row = row.iter().chain(candidate).cloned().collect();
            let holds = match &lookup.residual {
                Some(residual) => program(residual, &vec![pair])?[0][0] == Value::Boolean(true),
                None => true,
            };
            matched |= holds;
            if holds && matches!(lookup.kind, LookupKind::Inner | LookupKind::Left) {
                out.push(row.iter().cloned().chain(lookup.output.iter().map(|c| candidate[*c].clone())).collect());
            }
        }
        match lookup.kind {
            LookupKind::Left if !matched => {
                out.push(row.iter().cloned().chain(lookup.output.iter().map(|_| Value::Null)).collect());
            }
            LookupKind::Mark => {
                let null = row[lookup.stream_keys[0]].is_null();
                let unknown = null || !matched && table.iter().any(|t| t[lookup.table_keys[0]].is_null());
                let mark = if unknown { Value::Null } else { Value::Boolean(matched) };
                out.push(row.iter().cloned().chain([mark]).collect());
            }
            LookupKind::Semi if matched => out.push(row.clone()),
            LookupKind::Anti if !matched => out.push(row.clone()),
            _ => {}
        }
    }
    Ok(out)
}

/// The first rows of each key; all columns break ties.
fn top(top: &Top, rows: &[Row]) -> Vec<Row> {
    let mut rows = rows.to_vec();
    let other = |a: &Row, b: &Row| format!("{a:?}").cmp(&format!("{b:?}"));
    rows.sort_by(|a, b| {
        let by_order = top.order.iter().map(|key| compare(key, a, b)).find(|o| o.is_ne());
        by_order.unwrap_or_else(|| other(a, b))
    });
    let mut counts: Vec<(Row, u64)> = vec![];
    let mut first = |row: &Row| {
        let key: Row = top.keys.iter().map(|c| row[*c].clone()).collect();
        let at = counts.iter().position(|(k, _)| *k == key).unwrap_or_else(|| {
            counts.push((key, 0));
            counts.len() - 1
        });
        counts[at].1 += 1;
        counts[at].1 <= top.count
    };
    rows.retain(|row| first(row));
    rows
}

/// Left rows in order, each with its matches in order.
fn join(join: &StreamJoin, node: &Node, inputs: &[&Vec<Row>]) -> Result<Vec<Row>, FailureCode> {
    let mut out = vec![];
    for row in inputs[0] {
        let mut matched = false;
        for candidate in inputs[1] {
            let mut keys = join.left_keys.iter().zip(&join.right_keys);
            if !keys.all(|(a, b)| !row[*a].is_null() && row[*a] == candidate[*b]) {
                continue;
            }
            let pair: Row = row.iter().chain(candidate).cloned().collect();
            let holds = match &join.residual {
                Some(residual) => program(residual, &vec![pair.clone()])?[0][0] == Value::Boolean(true),
                None => true,
            };
            matched |= holds;
            out.extend((holds && join.kind.yields_right()).then_some(pair));
        }
        match join.kind {
            JoinKind::Left if !matched => out.push(padded(row, node.schema.len())),
            JoinKind::Semi if matched => out.push(row.clone()),
            JoinKind::Anti if !matched => out.push(row.clone()),
            _ => {}
        }
    }
    Ok(out)
}

fn padded(row: &Row, width: usize) -> Row {
    row.iter().cloned().chain((row.len()..width).map(|_| Value::Null)).collect()
}

/// Count, sum of longs and max: enough to see which rows came.
fn aggregate(aggregate: &Aggregate, rows: &[Row]) -> Result<Vec<Row>, FailureCode> {
    let mut groups: Vec<(Row, Vec<&Row>)> = vec![];
    for row in rows {
        let key: Row = aggregate.keys.iter().map(|k| row[*k].clone()).collect();
        match groups.iter_mut().find(|(k, _)| *k == key) {
            Some((_, members)) => members.push(row),
            None => groups.push((key, vec![row])),
        }
    }
    if aggregate.keys.is_empty() && groups.is_empty() {
        groups.push((vec![], vec![]));
    }
    let mut out = vec![];
    for (mut row, members) in groups {
        for call in &aggregate.aggregates {
            let members = members.iter().filter(|r| call.filter.is_none_or(|f| r[f] == Value::Boolean(true)));
            let values = members.map(|r| call.args.first().map_or(Value::Long(0), |a| r[*a].clone()));
            let values: Vec<Value> = values.filter(|v| !v.is_null()).collect();
            row.push(match call.function {
                AggregateFunction::Count => Value::Long(values.len() as i64),
                AggregateFunction::Max => values.into_iter().max_by(Value::compare).unwrap_or(Value::Null),
                AggregateFunction::Sum => {
                    let longs =
                        values.iter().map(|v| if let Value::Long(v) = v { *v } else { panic!("a long: {v:?}") });
                    let empty = values.is_empty();
                    let sum = longs.map(i128::from).sum::<i128>();
                    let sum = i64::try_from(sum).map_err(|_| FailureCode::Overflow)?;
                    if empty { Value::Null } else { Value::Long(sum) }
                }
                other => panic!("{other:?}"),
            });
        }
        out.push(row);
    }
    Ok(out)
}
