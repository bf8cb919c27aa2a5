//! For tests: sources, tables and sinks in memory that can be made to fail at any of their operations, and plans put together by hand.

mod changing;
mod deferred;
mod determinism;
mod files;
mod follow;
mod incremental;
mod malformed;
mod quality;
mod recovery;
mod replay;
mod simulate;
mod spilled;
mod time;

use crate::connector::*;
use crate::error::RunError;
use crate::quality::Judgement;
use crate::run::{RunOptions, run};
use crate::{Cancel, RunSummary, report::Unobserved};
use arrow::array::{Array, AsArray, Float64Array, Int64Array, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type};
use async_trait::async_trait;
use flowc_ir::arrow_types::to_arrow_schema;
use flowc_ir::functions::find;
use flowc_ir::graph::{Graph, Kind, Node, NodeId, Operator, SinkId, SourceId, WEIGHT, weight};
use flowc_ir::interpret::Interpreter;
use flowc_ir::plan::*;
use flowc_ir::{DataType, Expr, ExprKind, Field, Origin, Output, Program, ProgramStep, Schema, Type, Value};
use futures::StreamExt;
use indexmap::IndexMap;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

/// Lets so many operations pass; that one and all later ones fail, as if the process had been killed.
#[derive(Debug)]
pub(crate) struct Faults(AtomicI64);

impl Faults {
    pub(crate) fn after(operations: i64) -> Arc<Faults> {
        Arc::new(Faults(AtomicI64::new(operations)))
    }

    pub(crate) fn none() -> Arc<Faults> {
        Faults::after(i64::MAX)
    }

    fn step(&self) -> Result<(), RunError> {
        match self.0.fetch_sub(1, Ordering::SeqCst) {
            left if left > 0 => Ok(()),
            _ => Err(RunError::world("R9999", "killed")),
        }
    }

    pub(crate) fn hit(&self) -> bool {
        self.0.load(Ordering::SeqCst) < 0
    }
}

/// A row: `id`, and `x` that may be null.
pub(crate) type Row = (i64, Option<f64>);

pub(crate) fn row_schema() -> Schema {
    Schema::new(vec![Field::new("id", Type::new(DataType::Long)), Field::new("x", Type::nullable(DataType::Double))])
}

pub(crate) fn batch_of(rows: &[Row]) -> RecordBatch {
    let ids = Int64Array::from_iter_values(rows.iter().map(|r| r.0));
    let xs: Float64Array = rows.iter().map(|r| r.1).collect();
    RecordBatch::try_new(to_arrow_schema(&row_schema()), vec![Arc::new(ids), Arc::new(xs)]).unwrap()
}

/// Columns as texts, so that rows of any schema can be compared (doubles by their bits).
pub(crate) fn texts(batch: &RecordBatch) -> Vec<String> {
    let cell = |c: &dyn Array, row: usize| match c.data_type() {
        _ if c.is_null(row) => "null".to_string(),
        arrow::datatypes::DataType::Float64 => {
            let x = c.as_primitive::<Float64Type>().value(row);
            format!("{x}#{:x}", x.to_bits())
        }
        arrow::datatypes::DataType::Int64 => c.as_primitive::<Int64Type>().value(row).to_string(),
        arrow::datatypes::DataType::Timestamp(..) => {
            c.as_primitive::<arrow::datatypes::TimestampMicrosecondType>().value(row).to_string()
        }
        _ => arrow::util::display::array_value_to_string(c, row).unwrap(),
    };
    let line = |row| batch.columns().iter().map(|c| cell(c, row)).collect::<Vec<_>>().join(" ");
    (0..batch.num_rows()).map(line).collect()
}

/// What lies outside of the process: rows to read, tables, targets.
#[derive(Debug, Default)]
pub(crate) struct Outside {
    pub(crate) rows: Mutex<BTreeMap<String, Vec<Row>>>,
    pub(crate) targets: Mutex<BTreeMap<String, Target>>,
    pub(crate) split_rows: usize,
}

/// A target and what it keeps account of.
#[derive(Debug, Default, Clone)]
pub(crate) struct Target {
    pub(crate) committed: Option<u64>,
    /// What other applications have committed.
    pub(crate) others: BTreeMap<String, u64>,
    pub(crate) rows: Vec<String>,
    pub(crate) commits: u64,
}

impl Outside {
    pub(crate) fn new(rows: impl IntoIterator<Item = Row>) -> Arc<Outside> {
        let rows = BTreeMap::from([("in".to_string(), rows.into_iter().collect())]);
        Arc::new(Outside { rows: Mutex::new(rows), targets: Mutex::default(), split_rows: 3 })
    }

    pub(crate) fn add(&self, rows: impl IntoIterator<Item = Row>) {
        self.rows.lock().unwrap().entry("in".into()).or_default().extend(rows);
    }

    pub(crate) fn target(&self, name: &str) -> Target {
        self.targets.lock().unwrap().get(name).cloned().unwrap_or_default()
    }
}

/// Connects to an [`Outside`].
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    pub(crate) outside: Arc<Outside>,
    pub(crate) faults: Arc<Faults>,
}

#[derive(Debug, Clone)]
struct MemorySource {
    memory: Memory,
    name: String,
    /// Whether rows with an odd id are malformed records, put aside.
    quarantine: bool,
}

#[async_trait]
impl Connectors for Memory {
    async fn source(&self, spec: &SourceSpec) -> Result<Arc<dyn Source>, RunError> {
        self.faults.step()?;
        let quarantine = spec.quarantine.is_some();
        Ok(Arc::new(MemorySource { memory: self.clone(), name: spec.name.clone(), quarantine }))
    }

    async fn table(&self, spec: &TableSpec) -> Result<Arc<dyn LookupTable>, RunError> {
        self.faults.step()?;
        Ok(Arc::new(MemorySource { memory: self.clone(), name: spec.name.clone(), quarantine: false }))
    }

    async fn sink(&self, spec: &SinkSpec) -> Result<Arc<dyn Sink>, RunError> {
        self.faults.step()?;
        let replaces = spec.mode == SinkMode::Overwrite;
        let ordered = spec.name.starts_with("ordered");
        Ok(Arc::new(MemorySink { memory: self.clone(), name: spec.name.clone(), replaces, ordered }))
    }
}

impl MemorySource {
    fn rows(&self) -> Vec<Row> {
        self.memory.outside.rows.lock().unwrap().get(&self.name).cloned().unwrap_or_default()
    }

    fn cut(&self, from: u64, to: u64) -> Vec<Split> {
        let step = self.memory.outside.split_rows.max(1) as u64;
        let split = |at: u64| Split {
            detail: json!([at, to.min(at + step)]),
            text: format!("rows {at}..{}", to.min(at + step)),
            rows: None,
        };
        (from..to).step_by(step as usize).map(split).collect()
    }

    fn stream(&self, split: &Split, batch_rows: usize) -> BatchStream {
        let bound = |i: usize| split.detail[i].as_u64().unwrap() as usize;
        let rows = self.rows()[bound(0)..bound(1)].to_vec();
        let batches: Vec<_> = rows.chunks(batch_rows).map(batch_of).collect();
        let faults = Arc::clone(&self.memory.faults);
        futures::stream::iter(batches).map(move |b| faults.step().map(|()| b)).boxed()
    }
}

#[async_trait]
impl Source for MemorySource {
    async fn next_range(&self, from: Option<&Position>, limits: EpochLimits) -> Result<Option<SourceRange>, RunError> {
        self.memory.faults.step()?;
        let first = from.map_or(0, |p| p.0.as_u64().unwrap());
        let end = (self.rows().len() as u64).min(first.saturating_add(limits.rows.unwrap_or(u64::MAX)));
        Ok((end > first).then(|| SourceRange {
            from: from.cloned(),
            to: Position(json!(end)),
            text: format!("rows {first}..{end}"),
            rows: Some(end - first),
            bytes: None,
        }))
    }

    async fn splits(&self, range: &SourceRange) -> Result<Vec<Split>, RunError> {
        self.memory.faults.step()?;
        let from = range.from.as_ref().map_or(0, |p| p.0.as_u64().unwrap());
        Ok(self.cut(from, range.to.0.as_u64().unwrap()))
    }

    async fn read(&self, split: &Split, batch_rows: usize) -> Result<BatchStream, RunError> {
        self.memory.faults.step()?;
        Ok(self.stream(split, batch_rows))
    }

    async fn read_parts(&self, split: &Split, batch_rows: usize) -> Result<PartStream, RunError> {
        let batches = Source::read(self, split, batch_rows).await?;
        let aside = self.quarantine;
        let parts = move |batch: Result<RecordBatch, RunError>| match batch {
            Ok(batch) if aside => malformed::parts(&batch),
            other => vec![other.map(Part::Rows)],
        };
        Ok(batches.flat_map(move |batch| futures::stream::iter(parts(batch))).boxed())
    }
}

#[async_trait]
impl LookupTable for MemorySource {
    async fn pin(&self) -> Result<Position, RunError> {
        self.memory.faults.step()?;
        Ok(Position(json!(self.rows().len())))
    }

    async fn splits(&self, version: &Position) -> Result<Vec<Split>, RunError> {
        self.memory.faults.step()?;
        Ok(self.cut(0, version.0.as_u64().unwrap()))
    }

    async fn read(&self, split: &Split, batch_rows: usize) -> Result<BatchStream, RunError> {
        self.memory.faults.step()?;
        Ok(self.stream(split, batch_rows))
    }
}

#[derive(Debug, Clone)]
struct MemorySink {
    memory: Memory,
    name: String,
    replaces: bool,
    ordered: bool,
}

struct MemoryEpoch(MemorySink, EpochId);

struct MemoryWriter(Arc<Faults>, Vec<String>);

#[async_trait]
impl Sink for MemorySink {
    async fn committed(&self, application: &str) -> Result<Option<u64>, RunError> {
        self.memory.faults.step()?;
        let target = self.memory.outside.target(&self.name);
        Ok(if application.contains("/replay/") { target.others.get(application).copied() } else { target.committed })
    }

    async fn begin(&self, id: EpochId) -> Result<Box<dyn SinkEpoch>, RunError> {
        self.memory.faults.step()?;
        Ok(Box::new(MemoryEpoch(self.clone(), id)))
    }

    fn ordered(&self) -> bool {
        self.ordered
    }
}

#[async_trait]
impl SinkEpoch for MemoryEpoch {
    async fn writer(&self) -> Result<Box<dyn SinkWriter>, RunError> {
        self.0.memory.faults.step()?;
        Ok(Box::new(MemoryWriter(Arc::clone(&self.0.memory.faults), vec![])))
    }

    async fn commit(&self, written: Vec<Written>, _quality: &[Judgement]) -> Result<Committed, RunError> {
        self.0.memory.faults.step()?;
        let rows: Vec<String> =
            written.iter().flat_map(|w| &w.detail).map(|row| row.as_str().unwrap().to_string()).collect();
        let committed = Committed { rows: rows.len() as u64, ..Committed::default() };
        {
            let mut targets = self.0.memory.outside.targets.lock().unwrap();
            let target = targets.entry(self.0.name.clone()).or_default();
            if target.others.get(&self.1.application).is_some_and(|other| *other >= self.1.epoch) {
                return Ok(Committed { already: true, ..Committed::default() });
            }
            if self.0.replaces || self.1.replace {
                target.rows.clear();
            }
            if let Some(read) = &self.1.takes {
                // The target is what a source of its name reads.
                let mut held = self.0.memory.outside.rows.lock().unwrap();
                let held = held.entry(self.0.name.clone()).or_default();
                held.drain(..read.0.as_u64().unwrap() as usize);
                let id = |row: &String| row.split(' ').next().unwrap().parse::<i64>().unwrap();
                held.extend(rows.iter().map(|row| (id(row), None)));
            }
            target.rows.extend(rows);
            if self.1.application.contains("/replay/") {
                target.others.insert(self.1.application.clone(), self.1.epoch);
            } else {
                target.committed = Some(self.1.epoch);
            }
            target.commits += 1;
        }
        self.0.memory.faults.step()?;
        Ok(committed)
    }

    async fn abort(&self, _written: Vec<Written>) {}
}

#[async_trait]
impl SinkWriter for MemoryWriter {
    async fn write(&mut self, batch: &RecordBatch) -> Result<(), RunError> {
        self.0.step()?;
        self.1.extend(texts(batch));
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<Written, RunError> {
        self.0.step()?;
        let rows = self.1.len() as u64;
        Ok(Written { detail: self.1.into_iter().map(Into::into).collect(), rows, ..Written::default() })
    }

    async fn abort(self: Box<Self>) {}
}

/// Puts plans together.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) plan: Plan,
}

impl Planned {
    pub(crate) fn new() -> Self {
        let graph = Graph::default();
        Planned { plan: Plan { pipeline: "p".into(), sources: vec![], tables: vec![], sinks: vec![], graph } }
    }

    pub(crate) fn node(&mut self, operator: Operator, inputs: &[NodeId], schema: Schema) -> NodeId {
        let label = format!("{operator:?}").chars().take(20).collect();
        let changes = schema.field(WEIGHT).is_some();
        let kind = if changes { Kind::Changing { key: vec![] } } else { Kind::Append };
        let (inputs, bounded) = (inputs.to_vec(), true);
        self.plan.graph.add(Node { operator, inputs, schema, kind, bounded, label, origin: Origin::default() })
    }

    /// The source `in`, or another of that schema.
    pub(crate) fn source(&mut self, name: &str) -> NodeId {
        let id = SourceId(self.plan.sources.len() as u32);
        self.plan.sources.push(SourceSpec {
            arrival: None,
            updates: Default::default(),
            committed: None,
            promises: vec![],
            quarantine: None,
            name: name.into(),
            connector: Connector::Console,
            schema: row_schema(),
            predicate: None,
            start: None,
            origin: Origin::default(),
        });
        self.node(Operator::Source(id), &[], row_schema())
    }

    /// A source of that schema whose changes are followed.
    pub(crate) fn changing(&mut self, name: &str) -> NodeId {
        let id = self.source(name);
        let mut schema = row_schema();
        schema.fields.push(weight());
        if let Some(spec) = self.plan.sources.last_mut() {
            (spec.updates, spec.schema) = (Updates::Follow, schema.clone());
        }
        let node = &mut self.plan.graph.nodes[id.0 as usize];
        (node.schema, node.kind) = (schema, Kind::Changing { key: vec![] });
        id
    }

    /// A sink that merges by these columns.
    pub(crate) fn merge(&mut self, name: &str, input: NodeId, keys: &[&str]) {
        self.sink(name, input, false);
        if let Some(spec) = self.plan.sinks.last_mut() {
            spec.mode = SinkMode::Merge { keys: keys.iter().map(|key| key.to_string()).collect() };
        }
    }

    pub(crate) fn sink(&mut self, name: &str, input: NodeId, whole: bool) {
        let schema = self.plan.graph.node(input).schema.clone();
        let id = SinkId(self.plan.sinks.len() as u32);
        let mut columns = schema.clone();
        columns.fields.retain(|field| field.name != WEIGHT);
        self.plan.sinks.push(SinkSpec {
            name: name.into(),
            connector: Connector::Console,
            mode: if whole { SinkMode::Overwrite } else { SinkMode::Append },
            whole,
            changing: columns != schema,
            schema: columns,
            partition_by: vec![],
            generated: vec![],
            constraints: vec![],
            enforced: vec![],
            properties: IndexMap::new(),
            description: None,
            evolve: false,
            input,
            origin: Origin::default(),
        });
        self.node(Operator::Sink(id), &[input], schema);
    }

    /// Keeps rows where `id % divisor == 0`; fails where the divisor is zero.
    pub(crate) fn divisible(&mut self, input: NodeId, divisor: i64) -> NodeId {
        let long = Type::new(DataType::Long);
        let at = Origin { file: 0, start: divisor as u32, end: 9 };
        let literal = |v: i64| Expr::new(ExprKind::Literal(Value::Long(v)), long.clone(), at);
        let call = |name: &str, args: Vec<Expr>, ty: &Type| {
            Expr::new(ExprKind::Call { function: find(name).unwrap(), args }, ty.clone(), at)
        };
        let id = Expr::new(ExprKind::Column(0), long.clone(), at);
        let rest = call("mod", vec![id, literal(divisor)], &long);
        let condition = call("equal", vec![rest, literal(0)], &Type::boolean());
        self.transform(input, vec![ProgramStep::Filter(condition)])
    }

    /// Fails where this is not true.
    pub(crate) fn assert_not(&mut self, input: NodeId, bad: i64) -> NodeId {
        let long = Type::new(DataType::Long);
        let at = Origin::default();
        let id = Expr::new(ExprKind::Column(0), long.clone(), at);
        let literal = Expr::new(ExprKind::Literal(Value::Long(bad)), long, at);
        let call = ExprKind::Call { function: find("not_equal").unwrap(), args: vec![id, literal] };
        let condition = Expr::new(call, Type::boolean(), at);
        self.transform(input, vec![ProgramStep::Assert { condition, what: format!("not {bad}") }])
    }

    fn transform(&mut self, input: NodeId, steps: Vec<ProgramStep>) -> NodeId {
        let schema = self.plan.graph.node(input).schema.clone();
        let outputs = schema.fields.iter().enumerate().map(|(i, field)| Output {
            field: field.clone(),
            value: Expr::new(ExprKind::Column(i), field.ty.clone(), Origin::default()),
        });
        let program = Program { input: schema.clone(), steps, outputs: outputs.collect() };
        self.node(Operator::Transform(program), &[input], schema)
    }

    pub(crate) fn executable(&self) -> Executable {
        Executable::compile(self.plan.clone(), &Interpreter).unwrap()
    }

    pub(crate) async fn run(&self, memory: &Memory, options: RunOptions) -> Result<RunSummary, RunError> {
        run(&self.executable(), Arc::new(memory.clone()), options, Arc::new(Unobserved)).await
    }
}

pub(crate) fn options(state: &Path, workers: usize, batch_rows: usize, limit: Option<u64>) -> RunOptions {
    RunOptions {
        workers,
        batch_rows,
        limits: EpochLimits { rows: limit, ..EpochLimits::NONE },
        cancel: Cancel::new(),
        clock: Arc::new(crate::clock::FixedClock(1_000_000)),
        ..RunOptions::new(state)
    }
}
