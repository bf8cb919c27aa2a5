//! Runs a program over the sample tables, with the interpreter, and gives the rows of its sinks and those at the cursor. Bounded: so many epochs, so many rows of a
//! generator; what takes too long all the same is ended by the page. Must not know how programs are checked.

use crate::samples::{Samples, sorted};
use crate::session::{PATH, Session};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use flowc_core::checked::Observed;
use flowc_core::lower::Lowered;
use flowc_ide::Cut;
use flowc_ir::arrow_types::from_arrow_field;
use flowc_ir::arrow_values::value_at;
use flowc_ir::graph::malformed_schema;
use flowc_ir::interpret::Interpreter;
use flowc_ir::plan::{Connector, Executable, Plan, SinkSpec, SourceSpec, TableSpec, Updates};
use flowc_ir::{Field, Schema};
use flowc_runtime::clock::FixedClock;
use flowc_runtime::connectors::generate::GenerateSource;
use flowc_runtime::connectors::memory::MemoryConnectors;
use flowc_runtime::state::MemoryState;
use flowc_runtime::text::write_json;
use flowc_runtime::{
    Cancel, Connectors, EpochLimits, EpochReport, LookupTable, Observer, RunError, RunOptions, RunSummary, Sink, Source,
};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use std::sync::Arc;

/// The most rows of a generator.
const GENERATED: u64 = 1000;

/// The most epochs of a run.
const EPOCHS: u64 = 500;

/// The most rows of a sink that are given; more are counted.
const SHOWN: usize = 500;

/// How to run.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Wishes {
    /// The cursor; none: the rows of sinks alone.
    at: Option<usize>,
    /// Rows of each source that an epoch takes; none: all of them.
    epoch_rows: Option<u64>,
    /// What time it is, in microseconds since 1970-01-01T00:00:00Z.
    #[serde(default)]
    now: i64,
    /// Whether what is open at the end closes.
    #[serde(default)]
    close: bool,
}

/// The rows of a program that runs, or why it stopped; nothing of sinks where it is wrong. At the cursor there may be rows all the same.
pub(crate) fn answer(session: &mut Session, wishes: &Wishes) -> Json {
    session.settle();
    let (text, offsets) = session.text();
    let analysis = session.workspace.program(PATH);
    let mut answer = json!({ "sinks": [] });
    if let Some(checked) = &analysis.outcome.checked {
        let all: Vec<Observed> = (0..checked.sinks.len()).map(Observed::Sink).collect();
        let ended = run(checked.lower_for_test(&all), &session.samples, wishes);
        answer["sinks"] = json!(ended.sinks);
        if let Some(error) = &ended.error {
            answer["error"] = failure(error);
            if let Some(origin) = error.origin {
                answer["error"]["from"] = json!(offsets.units(origin.start as usize));
                answer["error"]["to"] = json!(offsets.units(origin.end as usize));
            }
        }
        if let Some(summary) = &ended.summary {
            answer["cut"] = json!(summary.cancelled);
            answer["summary"] = serde_json::to_value(summary).unwrap_or(Json::Null);
        }
    }
    let at = wishes.at.map(|at| offsets.bytes(&text, at));
    let of = at.and_then(|at| session.workspace.rows_at(PATH, at));
    if let Some(Cut { checked, input, title, .. }) = of.and_then(|of| session.workspace.cut(PATH, &of).ok()) {
        let mut ended = run(checked.lower_rows(input), &session.samples, wishes);
        let mut here = ended.sinks.pop().unwrap_or_else(|| json!({}));
        here["title"] = json!(title);
        if let Some(error) = &ended.error {
            here["error"] = failure(error);
        }
        answer["here"] = here;
    }
    answer
}

fn failure(error: &RunError) -> Json {
    json!({ "code": error.code, "message": error.message, "help": error.help, "row": error.row })
}

/// How a run ended.
#[derive(Debug, Default)]
struct Ended {
    sinks: Vec<Json>,
    summary: Option<RunSummary>,
    error: Option<RunError>,
}

fn run(program: Lowered, samples: &Samples, wishes: &Wishes) -> Ended {
    match run_plan(program.optimize(), samples, wishes) {
        Ok(ended) => ended,
        Err(error) => Ended { error: Some(error), ..Ended::default() },
    }
}

fn run_plan(plan: Plan, samples: &Samples, wishes: &Wishes) -> Result<Ended, RunError> {
    let memory = fill(&plan, samples, wishes.now)?;
    let executable = Executable::compile(plan, &Interpreter).map_err(|why| RunError::world("R0901", why))?;
    let state = MemoryState::new();
    let cancel = Cancel::new();
    let limits = EpochLimits { rows: wishes.epoch_rows.map(|rows| rows.max(1)), ..EpochLimits::NONE };
    let options = RunOptions {
        workers: 1,
        batch_rows: 1024,
        memory: 256 << 20,
        limits,
        durable: false,
        drain: wishes.close,
        cancel: cancel.clone(),
        clock: Arc::new(FixedClock(wishes.now)),
        ..RunOptions::new(state.path())
    };
    let world = Arc::new(World(memory.clone()));
    let thread = tokio::runtime::Builder::new_current_thread().build();
    let thread = thread.map_err(|e| RunError::world("R0901", format!("cannot start: {e}")))?;
    let result = thread.block_on(flowc_runtime::run(&executable, world, options, Arc::new(Bound(cancel))));
    let sinks = executable.plan.sinks.iter().map(|sink| table(&sink.name, &sink.schema, &memory.written(&sink.name)));
    let (summary, error) = match result {
        Ok(summary) => (Some(summary), None),
        Err(error) => (None, Some(error)),
    };
    Ok(Ended { sinks: sinks.collect(), summary, error })
}

/// Ends a run after so many epochs.
#[derive(Debug)]
struct Bound(Cancel);

impl Observer for Bound {
    fn epoch(&self, report: &EpochReport) {
        if report.epoch >= EPOCHS {
            self.0.cancel();
        }
    }
}

/// The rows of the sample tables that a plan reads, for its sources and tables.
fn fill(plan: &Plan, samples: &Samples, now: i64) -> Result<MemoryConnectors, RunError> {
    let memory = MemoryConnectors::new(1024);
    for source in &plan.sources {
        if matches!(source.connector, Connector::Generate { .. }) {
            continue;
        }
        let given = samples.rows(&source.connector);
        let mut schema = source.schema.clone();
        schema.fields.retain(|field| source.committed.as_ref() != Some(&field.name));
        let judged = source.quarantine.as_ref().unwrap_or(&schema);
        let (_, bad) = sorted(judged, given);
        if let (Some((row, why)), None) = (bad.first(), &source.quarantine) {
            return Err(does_not_fit(&source.name, *row, why, source.origin));
        }
        let fit: Vec<Json> =
            given.iter().enumerate().filter(|(i, _)| bad.iter().all(|(b, _)| b != i)).map(|(_, r)| r.clone()).collect();
        if let (Some(rows), _) = sorted(&schema, &fit) {
            match source.updates {
                Updates::Follow => memory.replace_rows(&source.name, &rows, now)?,
                _ => memory.commit_rows(&source.name, rows, now)?,
            }
        }
        if !bad.is_empty() {
            memory.add_malformed(&source.name, malformed(source, given, &bad)?)?;
        }
    }
    for table in &plan.tables {
        match sorted(&table.schema, samples.rows(&table.connector)) {
            (Some(rows), bad) if bad.is_empty() => {
                memory.set_table(&table.name, rows.clone(), now);
                // What is joined to rows that change follows the table.
                memory.replace_rows(&table.name, &rows, now)?;
            }
            (_, bad) => {
                let (row, why) = bad.into_iter().next().unwrap_or_default();
                return Err(does_not_fit(&table.name, row, &why, table.origin));
            }
        }
    }
    Ok(memory)
}

fn does_not_fit(name: &str, row: usize, why: &str, origin: flowc_ir::Origin) -> RunError {
    RunError::data("R0204", format!("`{name}`, row {}: {why}", row + 1)).at(origin)
}

/// The records of a source that do not fit, as its side output has them.
fn malformed(source: &SourceSpec, given: &[Json], bad: &[(usize, String)]) -> Result<RecordBatch, RunError> {
    let mut schema = malformed_schema();
    schema.fields.retain(|field| field.name != "_epoch");
    let file = flowc_ir::catalog::location(&source.connector).unwrap_or_default().trim_start_matches('/');
    let record = |(row, why): &(usize, String)| json!({ "_raw": given[*row].to_string(), "_file": file, "_line": row + 1, "_error": why });
    let records: Vec<Json> = bad.iter().map(record).collect();
    let rows = flowc_runtime::connectors::batch_of_json(&schema, &records);
    rows.map_err(|why| RunError::world("R0901", why.message))
}

/// Rows in memory, and generators that end.
struct World(MemoryConnectors);

#[async_trait]
impl Connectors for World {
    async fn source(&self, spec: &SourceSpec) -> Result<Arc<dyn Source>, RunError> {
        match spec.connector {
            // A page does not wait for rows.
            Connector::Generate { rows, seed, .. } => {
                let rows = rows.unwrap_or(GENERATED).min(GENERATED);
                Ok(Arc::new(GenerateSource::new(spec.schema.clone(), Some(rows), None, seed)))
            }
            _ => self.0.source(spec).await,
        }
    }

    async fn table(&self, spec: &TableSpec) -> Result<Arc<dyn LookupTable>, RunError> {
        self.0.table(spec).await
    }

    async fn sink(&self, spec: &SinkSpec) -> Result<Arc<dyn Sink>, RunError> {
        self.0.sink(spec).await
    }
}

/// Rows with their columns. A cell is the text of its JSON, so that no digits are lost.
fn table(name: &str, schema: &Schema, batches: &[RecordBatch]) -> Json {
    let schema = match batches.first() {
        // A history has more columns than its sink's specification.
        Some(batch) if batch.num_columns() > schema.len() => {
            let mut wider = schema.clone();
            let arrow = batch.schema();
            wider.fields.extend(arrow.fields()[schema.len()..].iter().filter_map(|field| from_arrow_field(field)));
            wider
        }
        _ => schema.clone(),
    };
    let column = |field: &Field| json!({ "name": field.name, "type": field.ty.to_string(), "comment": field.comment });
    let columns: Vec<Json> = schema.fields.iter().map(column).collect();
    let mut rows: Vec<Vec<String>> = vec![];
    for batch in batches {
        for row in 0..batch.num_rows().min(SHOWN - rows.len()) {
            let cell = |(field, column): (&Field, &Arc<dyn arrow::array::Array>)| {
                let mut text = String::new();
                write_json(&mut text, &value_at(column, row, &field.ty), &field.ty.data);
                text
            };
            rows.push(schema.fields.iter().zip(batch.columns()).map(cell).collect());
        }
    }
    let total: usize = batches.iter().map(RecordBatch::num_rows).sum();
    json!({ "name": name, "columns": columns, "rows": rows, "total": total })
}
