//! Writing a test from real rows: some of each source, what of the tables they look up, and what the program makes of them.

use super::compare::Row;
use super::execution::{self, Ended};
use super::literal::literal;
use super::scenario::{Given, GivenKind, Phase, Scenario, batch};
use crate::exit::{Exit, Failure};
use crate::report;
use crate::world::{self, Program};
use arrow::record_batch::RecordBatch;
use flowc_core::checked::{Checked, Input, Observed};
use flowc_core::pipeline::CheckOutcome;
use flowc_ir::arrow_values::value_at;
use flowc_ir::eval::{Backend, EvalContext};
use flowc_ir::graph::{Lookup, Node, Operator, SinkId};
use flowc_ir::interpret::Interpreter;
use flowc_ir::plan::{Connector, Executable, Plan, SinkMode, SourceSpec, TableSpec, VersionSpec};
use flowc_ir::types::quote_name;
use flowc_ir::{Schema, Value};
use flowc_runtime::{BatchStream, Connectors, EpochLimits, Part, RunError};
use futures::StreamExt;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

/// What to record.
#[derive(Debug, Clone)]
pub struct Request {
    /// The flow or sink.
    pub subject: String,
    /// The version of the sources' tables; none: the newest.
    pub from: Option<VersionSpec>,
    /// The most rows of each source.
    pub limit: usize,
    /// What time it is.
    pub now: i64,
}

/// Reads `version 812`, `as of @2026-11-22T10:00:00Z` or the time alone.
pub fn version(text: &str) -> Result<VersionSpec, String> {
    let text = text.trim();
    if let Some(number) = text.strip_prefix("version ") {
        let wrong = |_| format!("`{}` is not the number of a version", number.trim());
        return number.trim().parse().map(VersionSpec::Number).map_err(wrong);
    }
    let time = text.strip_prefix("as of ").unwrap_or(text).trim();
    match time.strip_prefix('@').and_then(|time| time.parse::<jiff::Timestamp>().ok()) {
        Some(at) => Ok(VersionSpec::Timestamp(at.as_microsecond())),
        None => Err("write for example \"version 812\" or \"as of @2026-11-22T10:00:00Z\"".to_string()),
    }
}

/// Rows of a source or table, with all its columns.
struct Found {
    name: String,
    table: bool,
    schema: Schema,
    rows: Vec<Row>,
}

/// The text of a test, formatted. It has been run, and passes.
pub fn record(
    program: &Program,
    outcome: &CheckOutcome,
    request: &Request,
    threads: &tokio::runtime::Runtime,
) -> Result<String, Failure> {
    let Some(checked) = &outcome.checked else { return Err(Failure::wrong("the program is wrong")) };
    let observed = subject(checked, &request.subject)?;
    let input = match observed {
        Observed::Rows(input) => input,
        Observed::Sink(index) => checked.sinks[index].input,
    };
    let failed = |error: RunError| Failure {
        exit: report::run_exit(&error),
        message: format!("[{}] {}", error.code, error.message),
        help: error.help,
    };
    let (mut found, pinned) = threads.block_on(read(checked, &checked.sources_of(input), request)).map_err(failed)?;
    let plan = checked.lower_for_test(&[observed]).plan().clone();
    if plan.graph.nodes.iter().any(|n| matches!(&n.operator, Operator::Lookup(lookup) if lookup.as_of.is_some())) {
        let failure =
            unfit(&format!("`{}` looks rows up in a table's history, and only one version is read", request.subject));
        return Err(failure.help(
            "write the test by hand: each `given` of the table makes a version, of the time of the `at @…` before it",
        ));
    }
    // How rows change is no part of what they add up to.
    let schema = super::kept(checked.observed_schema(observed));
    let used = keep_what_is_used(&plan, &mut found, &schema, request, threads)?;
    let clock = if reads_clock(checked, observed) { Some(request.now) } else { None };
    let name = unique(checked, &name(&request.subject, pinned.or(request.from)));
    let test = written(&name, clock, &found, &request.subject, &schema, &used);
    let text = flowc_syntax::format(&test).map_err(|_| unfit("its text does not parse"))?;
    passes(program, outcome, &text, threads)?;
    Ok(text)
}

fn unfit(why: &str) -> Failure {
    Failure::wrong(format!("no test was recorded: {why}"))
}

fn subject(checked: &Checked, name: &str) -> Result<Observed, Failure> {
    if let Some(index) = checked.flows.iter().position(|f| f.name == name) {
        return Ok(Observed::Rows(Input::Flow(index)));
    }
    if let Some(index) = checked.sinks.iter().position(|s| s.name == name) {
        return Ok(Observed::Sink(index));
    }
    let names = checked.flows.iter().map(|f| f.name.as_str()).chain(checked.sinks.iter().map(|s| s.name.as_str()));
    let failure = Failure::usage(format!("there is no flow or sink `{name}`"));
    Err(match flowc_syntax::did_you_mean(name, names.clone()) {
        Some(near) => failure.help(format!("did you mean `{near}`?")),
        None => failure.help(format!("there are {}", names.collect::<Vec<_>>().join(", "))),
    })
}

fn reads_clock(checked: &Checked, observed: Observed) -> bool {
    // When rows were committed says since when they are valid.
    let mut reads = matches!(observed, Observed::Sink(index) if checked.sinks[index].since_commit);
    checked.walk([observed], &mut |e| reads |= flowc_core::checked::reads_clock(e));
    reads
}

fn name(subject: &str, version: Option<VersionSpec>) -> String {
    match version {
        Some(VersionSpec::Number(number)) => format!("{subject} at version {number}"),
        Some(VersionSpec::Timestamp(at)) => {
            let at = literal(&Value::Timestamp(at), &flowc_ir::DataType::Timestamp);
            format!("{subject} as of {}", at.trim_start_matches('@'))
        }
        None => format!("{subject} as recorded"),
    }
}

/// A name that no other test has.
fn unique(checked: &Checked, name: &str) -> String {
    let names = std::iter::once(name.to_string()).chain((2..).map(|n| format!("{name} ({n})")));
    names.into_iter().find(|name| !checked.tests.iter().any(|t| t.name == *name)).unwrap_or_default()
}

/// Reads rows of each source and all rows of each table; the version of the first source that has one.
async fn read(
    checked: &Checked,
    inputs: &BTreeSet<Input>,
    request: &Request,
) -> Result<(Vec<Found>, Option<VersionSpec>), RunError> {
    let connectors = world::connectors(Arc::new(Mutex::new(std::io::sink())));
    let mut found = vec![];
    let mut pinned = None;
    for input in inputs {
        match input {
            Input::Source(index) => {
                let spec = &checked.sources[*index].spec;
                let (rows, version) = source_rows(&*connectors, spec, request).await?;
                pinned = pinned.or(version);
                found.push(Found { name: spec.name.clone(), table: false, schema: spec.schema.clone(), rows });
            }
            Input::Table(index) => {
                let spec = &checked.tables[*index].spec;
                let (rows, _) = table_rows(&*connectors, spec, usize::MAX).await?;
                found.push(Found { name: spec.name.clone(), table: true, schema: spec.schema.clone(), rows });
            }
            // Of malformed records none are recorded: what is malformed is a matter of files, not of the program.
            Input::Malformed(_) | Input::Flow(_) | Input::Rejected(_) | Input::Late(_) => {}
        }
    }
    Ok((found, pinned))
}

async fn source_rows(
    connectors: &dyn Connectors,
    spec: &SourceSpec,
    request: &Request,
) -> Result<(Vec<Row>, Option<VersionSpec>), RunError> {
    if matches!(spec.connector, Connector::Delta { .. }) {
        // A source's rows at a version are those of the table then.
        let table = TableSpec {
            name: spec.name.clone(),
            connector: spec.connector.clone(),
            schema: spec.schema.clone(),
            predicate: None,
            version: request.from,
            promises: vec![],
            origin: spec.origin,
        };
        return table_rows(connectors, &table, request.limit).await;
    }
    let source = connectors.source(spec).await?;
    let limits = EpochLimits { rows: Some(request.limit as u64), ..EpochLimits::NONE };
    let mut rows = vec![];
    if let Some(range) = source.next_range(None, limits).await? {
        for split in source.splits(&range).await? {
            let parts = source.read_parts(&split, request.limit.max(1)).await?;
            let batches = parts.filter_map(|part| async move {
                match part {
                    Ok(Part::Rows(batch)) => Some(Ok(batch)),
                    Ok(Part::Malformed(_) | Part::Skipped(_)) => None,
                    Err(error) => Some(Err(error)),
                }
            });
            take(&mut rows, batches.boxed(), &spec.schema, request.limit).await?;
        }
    }
    Ok((rows, None))
}

async fn table_rows(
    connectors: &dyn Connectors,
    spec: &TableSpec,
    limit: usize,
) -> Result<(Vec<Row>, Option<VersionSpec>), RunError> {
    let table = connectors.table(spec).await?;
    let version = table.pin().await?;
    let mut rows = vec![];
    for split in table.splits(&version).await? {
        if rows.len() < limit {
            take(&mut rows, table.read(&split, 8192).await?, &spec.schema, limit).await?;
        }
    }
    Ok((rows, version.0["version"].as_u64().map(VersionSpec::Number)))
}

/// Adds rows until there are enough.
async fn take(rows: &mut Vec<Row>, mut batches: BatchStream, schema: &Schema, limit: usize) -> Result<(), RunError> {
    while rows.len() < limit {
        let Some(batch) = batches.next().await else { break };
        rows.extend(values(&batch?, schema).take(limit - rows.len()).collect::<Vec<_>>());
    }
    Ok(())
}

fn values<'a>(batch: &'a RecordBatch, schema: &'a Schema) -> impl Iterator<Item = Row> + 'a {
    (0..batch.num_rows()).map(move |row| {
        let columns = schema.fields.iter().zip(batch.columns());
        columns.map(|(field, column)| value_at(column, row, &field.ty)).collect()
    })
}

/// Runs the program over the rows found; leaves of the tables' rows those that were looked up. What came out, or the code with which it stopped.
fn keep_what_is_used(
    plan: &Plan,
    found: &mut [Found],
    schema: &Schema,
    request: &Request,
    threads: &tokio::runtime::Runtime,
) -> Result<Result<Vec<Row>, &'static str>, Failure> {
    let mut watched = plan.clone();
    let lookups = watch_lookups(&mut watched);
    let mut schemas = vec![schema.clone()];
    schemas.extend(lookups.iter().map(|l| l.stream.clone()));
    let ended = run(&watched, found, &schemas, request, threads)?;
    if let Some((_, error)) = &ended.error {
        return Ok(Err(error.code));
    }
    for table in found.iter_mut().filter(|f| f.table) {
        let id = plan.tables.iter().position(|t| t.name == table.name);
        let looked_up: Vec<(usize, &Watched)> =
            lookups.iter().enumerate().filter(|(_, l)| id == Some(l.lookup.table.0 as usize)).collect();
        let scanned = plan
            .graph
            .iter()
            .any(|(_, n)| matches!(n.operator, Operator::TableScan(scan) if id == Some(scan.0 as usize)));
        // What is joined to rows that change is read like a source.
        let followed = plan.sources.iter().any(|source| source.name == table.name);
        if scanned || followed {
            table.rows.truncate(request.limit);
            continue;
        }
        let mut used = vec![false; table.rows.len()];
        for (at, watched) in looked_up {
            mark_used(watched, ended.rows_after(0, at + 1), table, request, &mut used)?;
        }
        let mut used = used.into_iter();
        table.rows.retain(|_| used.next().unwrap_or(false));
    }
    // Once more over what is left, so that a mistake here shows as a test that does not pass.
    let ended = run(plan, found, std::slice::from_ref(schema), request, threads)?;
    Ok(match &ended.error {
        Some((_, error)) => Err(error.code),
        None => Ok(ended.rows_after(0, 0).to_vec()),
    })
}

/// A lookup whose stream is written to a sink of its own.
struct Watched {
    lookup: Lookup,
    stream: Schema,
}

fn watch_lookups(plan: &mut Plan) -> Vec<Watched> {
    let mut found = vec![];
    let nodes: Vec<(Lookup, flowc_ir::graph::NodeId)> = (plan.graph.iter())
        .filter_map(|(_, node)| match &node.operator {
            Operator::Lookup(lookup) => Some((lookup.clone(), node.inputs[0])),
            _ => None,
        })
        .collect();
    for (lookup, stream) in nodes {
        let before = plan.graph.node(stream).clone();
        let schema = super::kept(before.schema.clone());
        let id = SinkId(plan.sinks.len() as u32);
        let mut spec = plan.sinks[0].clone();
        spec.name = format!("the stream of lookup {}", found.len());
        spec.schema = schema.clone();
        spec.input = stream;
        spec.changing = before.kind.is_changing();
        if !spec.whole {
            spec.mode = SinkMode::Append;
        }
        plan.sinks.push(spec);
        plan.graph.add(Node { operator: Operator::Sink(id), inputs: vec![stream], ..before });
        found.push(Watched { lookup, stream: schema });
    }
    found
}

fn run(
    plan: &Plan,
    found: &[Found],
    schemas: &[Schema],
    request: &Request,
    threads: &tokio::runtime::Runtime,
) -> Result<Ended, Failure> {
    let executable: Executable = world::compile(plan.clone(), &Interpreter)?;
    let given = found.iter().map(|f| Given {
        name: f.name.clone(),
        kind: if f.table { GivenKind::Table } else { GivenKind::Source },
        rows: batch(&f.schema, &f.rows),
    });
    let phase = Phase { given: given.collect(), now: request.now, ..Phase::default() };
    execution::run(&executable, &Scenario { phases: vec![phase] }, schemas, execution::all(0)[0], threads)
}

/// Marks the rows of a table whose keys the stream has; all of them for a join that compares no keys.
fn mark_used(
    watched: &Watched,
    stream: &[Row],
    table: &Found,
    request: &Request,
    used: &mut [bool],
) -> Result<(), Failure> {
    let lookup = &watched.lookup;
    let key = |row: &Row, columns: &[usize]| Value::Struct(columns.iter().map(|c| row[*c].clone()).collect());
    let mut wanted: Vec<Value> = stream.iter().map(|row| key(row, &lookup.stream_keys)).collect();
    wanted.sort_by(Value::compare);
    let prepare = Interpreter.compile(&lookup.prepare).map_err(Failure::world)?;
    let prepared = lookup.prepare.output_schema();
    let columns: Vec<usize> =
        lookup.prepare.input.fields.iter().filter_map(|f| table.schema.index_of(&f.name)).collect();
    let context = EvalContext { now: request.now, epoch: 1 };
    for (row, used) in table.rows.iter().zip(used) {
        let row: Row = columns.iter().map(|c| row[*c].clone()).collect();
        // A row that fails here fails the run, too.
        let Ok(out) = prepare.run(&context, &batch(&lookup.prepare.input, &[row])) else {
            *used = true;
            continue;
        };
        let found = values(&out, &prepared).any(|row| {
            let key = key(&row, &lookup.table_keys);
            wanted.binary_search_by(|w| w.compare(&key)).is_ok()
        });
        *used |= found;
    }
    Ok(())
}

/// The test, not yet formatted.
fn written(
    name: &str,
    clock: Option<i64>,
    found: &[Found],
    subject: &str,
    schema: &Schema,
    out: &Result<Vec<Row>, &'static str>,
) -> String {
    let mut text = format!("test {} {{\n", literal(&Value::String(name.into()), &flowc_ir::DataType::String));
    if let Some(now) = clock {
        text.push_str(&format!("at {}\n", literal(&Value::Timestamp(now), &flowc_ir::DataType::Timestamp)));
    }
    // Tables first: what rows look up should be read before them.
    for f in found.iter().filter(|f| f.table).chain(found.iter().filter(|f| !f.table)) {
        text.push_str(&format!("given {} {}\n", quote_name(&f.name), rows(&f.rows, &f.schema, true)));
    }
    match out {
        Ok(out) => text.push_str(&format!("then {} {}\n", quote_name(subject), rows(out, schema, false))),
        Err(code) => text.push_str(&format!("then error {code}\n")),
    }
    text + "}\n"
}

/// Rows as a list of structs; `brief`: nulls are left out.
fn rows(rows: &[Row], schema: &Schema, brief: bool) -> String {
    let cell = |(field, value): (&flowc_ir::Field, &Value)| {
        let shown = !(brief && value.is_null());
        shown.then(|| format!("{}: {}", quote_name(&field.name), literal(value, &field.ty.data)))
    };
    let row = |row: &Row| {
        let cells: Vec<String> = schema.fields.iter().zip(row).filter_map(cell).collect();
        if cells.is_empty() { "{}".to_string() } else { format!("{{ {} }}", cells.join(", ")) }
    };
    match rows.len() {
        0 => "[]".to_string(),
        _ => format!("[\n{},\n]", rows.iter().map(row).collect::<Vec<_>>().join(",\n")),
    }
}

/// Checks the program with the test at its end, and runs the test.
fn passes(
    program: &Program,
    outcome: &CheckOutcome,
    test: &str,
    threads: &tokio::runtime::Runtime,
) -> Result<(), Failure> {
    let mut files: indexmap::IndexMap<String, String> =
        outcome.sources.files().map(|(_, file)| (file.name.clone(), file.text.to_string())).collect();
    if let Some(text) = files.get_mut(&program.path) {
        text.push_str(&format!("\n{test}"));
    }
    let with_test = Program { files: Some(files), ..program.clone() }.check();
    let wrong = with_test.diagnostics.iter().find(|d| d.is_error());
    if let Some(wrong) = wrong {
        return Err(unfit(&format!("{}: {}", wrong.code, wrong.message)));
    }
    let Some((checked, test)) = with_test.checked.as_ref().and_then(|c| Some((c, c.tests.last()?))) else {
        return Err(unfit("the program is wrong"));
    };
    let result = super::run(checked, test, threads, None)?;
    match result.failures.first() {
        None => Ok(()),
        Some(failure) => Err(Failure {
            exit: Exit::Wrong,
            message: format!("no test was recorded, because it would not pass: {}", failure.diagnostic.message),
            help: Some(format!(
                "{}; {}",
                failure.diagnostic.label,
                failure.diagnostic.help.clone().unwrap_or_default()
            )),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_the_language_writes_them() {
        assert_eq!(version("version 812"), Ok(VersionSpec::Number(812)));
        assert_eq!(version(" as of @1970-01-01T00:00:01Z"), Ok(VersionSpec::Timestamp(1_000_000)));
        assert_eq!(version("@1970-01-01T00:00:01Z"), Ok(VersionSpec::Timestamp(1_000_000)));
        assert!(version("812").is_err() && version("version x").is_err());
    }
}
