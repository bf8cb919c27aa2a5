//! Sources, tables and sinks in memory: the world of a program's tests. Rows are given by name, whatever connector the program declares; what a sink
//! would hold is kept, in every mode. Everything else (ranges, splits, accounts of epochs) is as with real ones, and outlives runs, as real ones do.

mod target;

use crate::connector::*;
use crate::error::RunError;
use crate::quality::Judgement;
use crate::zset::{ZSet, weighted, weights};
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray};
use arrow::compute::concat_batches;
use arrow::datatypes::Schema as ArrowSchema;
use async_trait::async_trait;
use flowc_ir::arrow_types::{to_arrow_field, to_arrow_schema};
use flowc_ir::graph::WEIGHT;
use flowc_ir::plan::{COMMITTED, SinkSpec, SourceSpec, TableSpec, Updates};
use flowc_ir::{DataType, Field, Schema, Type};
use futures::StreamExt;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use target::Target;

/// Marks the split that has the malformed records.
const MALFORMED: &str = "malformed";

/// Marks splits of the rows that commits add up to, of a source whose table is read as a whole; the number of rows with the last of the commits stands behind it.
const SUM: &str = "sum";

/// What there is.
#[derive(Default)]
struct World {
    /// The rows of each source so far.
    sources: BTreeMap<String, Given>,
    /// What is malformed in each source, so far.
    malformed: BTreeMap<String, RecordBatch>,
    /// The versions of each table, counted from 1, each with its time: version 0 is empty.
    tables: BTreeMap<String, Vec<(RecordBatch, i64)>>,
    /// What each sink has written.
    targets: BTreeMap<String, Target>,
}

/// The rows of a source.
struct Given {
    /// With a weight, and the time of their commits, [`COMMITTED`], besides.
    rows: RecordBatch,
    commits: Vec<Commit>,
}

/// Rows that were added at once.
#[derive(Debug, Clone, Copy)]
struct Commit {
    /// How many rows there are with them.
    end: u64,
    /// Whether some of them are taken away: half of such a change is none.
    takes: bool,
}

impl Given {
    /// The rows that commits add up to, as far as they have so many rows.
    fn sum(&self, end: u64) -> Result<ZSet, RunError> {
        let mut rows = self.rows.slice(0, self.rows.num_rows().min(end as usize));
        // When a row was committed does not make it another one.
        rows.remove_column(rows.schema().index_of(COMMITTED).map_err(broken)?);
        ZSet::sum(&rows.schema(), &[rows.clone()])
    }

    /// Whether rows are taken away by commits that have at most so many rows.
    fn takes(&self, end: u64) -> bool {
        self.commits.iter().any(|commit| commit.takes && commit.end <= end)
    }

    /// Where an epoch that may take rows up to `end` ends, if changes are not to be torn.
    fn whole(&self, first: u64, end: u64) -> u64 {
        let commit = self.commits.partition_point(|commit| commit.end <= end);
        let begin = commit.checked_sub(1).map_or(0, |before| self.commits[before].end);
        match self.commits.get(commit) {
            Some(commit) if commit.takes && begin < end => {
                if begin > first {
                    begin
                } else {
                    commit.end
                }
            }
            _ => end,
        }
    }
}

/// Makes sources, tables and sinks over rows in memory; its clones share them.
#[derive(Clone)]
pub struct MemoryConnectors {
    world: Arc<Mutex<World>>,
    split_rows: usize,
}

impl fmt::Debug for MemoryConnectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryConnectors")
    }
}

impl MemoryConnectors {
    /// Without any rows. A split has `split_rows` rows.
    pub fn new(split_rows: usize) -> Self {
        MemoryConnectors { world: Arc::default(), split_rows: split_rows.max(1) }
    }

    /// Adds rows to a source. All that are added to one source have the same columns, at least those that the program reads. Of a source whose changes are
    /// followed, rows may have a weight, [`WEIGHT`]; without it each is added once.
    pub fn add_rows(&self, source: &str, rows: RecordBatch) -> Result<(), RunError> {
        self.commit_rows(source, rows, 0)
    }

    /// As [`MemoryConnectors::add_rows`]. `at`: when they were committed, in microseconds since 1970-01-01T00:00:00Z: for a source that tells.
    pub fn commit_rows(&self, source: &str, rows: RecordBatch, at: i64) -> Result<(), RunError> {
        let rows = match rows.schema().index_of(WEIGHT) {
            Ok(_) => rows,
            Err(_) => weighted(&rows, vec![1; rows.num_rows()])?,
        };
        let takes = weights(&rows)?.iter().any(|weight| *weight < 0);
        let rows = committed(&rows, at)?;
        let mut world = self.world();
        let (rows, mut commits) = match world.sources.get(source) {
            Some(given) => {
                let all = concat_batches(&given.rows.schema(), [&given.rows, &rows]).map_err(broken)?;
                (all, given.commits.clone())
            }
            None => (rows, vec![]),
        };
        commits.push(Commit { end: rows.num_rows() as u64, takes });
        world.sources.insert(source.to_string(), Given { rows, commits });
        Ok(())
    }

    /// A new version of the table that a source follows: these rows, and no others. What is another row than before is committed, at this time; nothing if none is.
    pub fn replace_rows(&self, source: &str, rows: &RecordBatch, at: i64) -> Result<(), RunError> {
        let new = weighted(rows, vec![1; rows.num_rows()])?;
        let before = match self.world().sources.get(source) {
            Some(given) => given.sum(given.rows.num_rows() as u64)?,
            None => ZSet { rows: rows.slice(0, 0), weights: vec![] },
        };
        let taken = before.weights.iter().map(|weight| weight.wrapping_neg()).collect();
        let changes = ZSet::sum(&new.schema(), &[weighted(&before.rows, taken)?, new.clone()])?;
        if changes.weights.is_empty() {
            return Ok(());
        }
        self.commit_rows(source, weighted(&changes.rows, changes.weights)?, at)
    }

    /// Adds malformed records to a source: the columns of [`flowc_ir::graph::malformed_schema`] but `_epoch`.
    pub fn add_malformed(&self, source: &str, records: RecordBatch) -> Result<(), RunError> {
        add(&mut self.world().malformed, source, records)
    }

    /// A new version of a table: these rows, and no others. `at`: its time, in microseconds since 1970-01-01T00:00:00Z.
    pub fn set_table(&self, table: &str, rows: RecordBatch, at: i64) {
        self.world().tables.entry(table.to_string()).or_default().push((rows, at));
    }

    /// All rows that a sink holds: with the sink's columns, and `valid_to` and `is_current` behind them if it keeps history. Of a stream whose rows change,
    /// what they add up to.
    pub fn written(&self, sink: &str) -> Vec<RecordBatch> {
        self.world().targets.get(sink).map(Target::rows).unwrap_or_default()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cut(&self, name: &str, from: u64, to: u64) -> Vec<Split> {
        let step = self.split_rows as u64;
        let split = |at: u64| {
            let end = to.min(at + step);
            let place = if end == at + 1 { format!("row {end}") } else { format!("rows {} to {end}", at + 1) };
            Split { detail: json!([at, end]), text: format!("{place} of `{name}`"), rows: Some(end - at) }
        };
        (from..to).step_by(self.split_rows).map(split).collect()
    }
}

fn add(to: &mut BTreeMap<String, RecordBatch>, source: &str, rows: RecordBatch) -> Result<(), RunError> {
    let rows = match to.get(source) {
        Some(before) => concat_batches(&before.schema(), [before, &rows]).map_err(broken)?,
        None => rows,
    };
    to.insert(source.to_string(), rows);
    Ok(())
}

fn broken(error: impl fmt::Display) -> RunError {
    crate::operators::internal(format!("rows in memory: {error}"))
}

/// The rows with the time of their commit.
fn committed(rows: &RecordBatch, at: i64) -> Result<RecordBatch, RunError> {
    let field = to_arrow_field(&Field::new(COMMITTED, Type::new(DataType::Timestamp)));
    let times = TimestampMicrosecondArray::from(vec![at; rows.num_rows()]).with_timezone("UTC");
    let times = arrow::compute::cast(&times, field.data_type()).map_err(broken)?;
    let fields = rows.schema().fields().iter().cloned().chain([Arc::new(field)]).collect::<Vec<_>>();
    let columns = rows.columns().iter().cloned().chain([times]).collect();
    RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), columns).map_err(broken)
}

/// The batches of a split of these rows, with the columns of the schema. `dated`: the column that is not among them, but says when they were committed.
fn stream(
    rows: &RecordBatch,
    (schema, dated): (&Schema, Option<&str>),
    split: &Split,
    batch_rows: usize,
) -> Result<BatchStream, RunError> {
    let bound = |i: usize| split.detail[i].as_u64().unwrap_or(0) as usize;
    let (from, to) = (bound(0), bound(1).min(rows.num_rows()));
    let column = |name: &str| -> Result<ArrayRef, RunError> {
        match rows.column_by_name(name) {
            Some(column) => Ok(Arc::clone(column)),
            None if dated == Some(name) => rows.column_by_name(COMMITTED).cloned().ok_or_else(|| broken("no commits")),
            None => Err(broken(format!("no column `{name}`"))),
        }
    };
    let columns: Vec<ArrayRef> = schema.fields.iter().map(|f| column(&f.name)).collect::<Result<_, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    let rows = RecordBatch::try_new_with_options(to_arrow_schema(schema), columns, &options).map_err(broken)?;
    let batch_rows = batch_rows.max(1);
    let cut = (from..to).step_by(batch_rows).map(move |at| Ok(rows.slice(at, batch_rows.min(to - at))));
    Ok(futures::stream::iter(cut.collect::<Vec<_>>()).boxed())
}

#[async_trait]
impl Connectors for MemoryConnectors {
    async fn source(&self, spec: &SourceSpec) -> Result<Arc<dyn Source>, RunError> {
        let memory = self.clone();
        Ok(Arc::new(MemorySource { memory, spec: spec.clone() }))
    }

    async fn table(&self, spec: &TableSpec) -> Result<Arc<dyn LookupTable>, RunError> {
        let memory = self.clone();
        Ok(Arc::new(MemoryTable { memory, name: spec.name.clone(), schema: spec.schema.clone() }))
    }

    async fn sink(&self, spec: &SinkSpec) -> Result<Arc<dyn Sink>, RunError> {
        Ok(Arc::new(MemorySink { memory: self.clone(), spec: Arc::new(spec.clone()) }))
    }
}

/// A source: its position is the numbers of rows and of malformed records that were read.
#[derive(Debug)]
struct MemorySource {
    memory: MemoryConnectors,
    spec: SourceSpec,
}

fn number(value: &serde_json::Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

fn read_so_far(position: Option<&Position>) -> (u64, u64) {
    position.map_or((0, 0), |p| (number(&p.0[0]), number(&p.0[1])))
}

impl MemorySource {
    /// What the rows of a table that is not followed are when it has so many changes; none: they are the changes themselves, because none is taken away.
    fn sum(&self, end: u64) -> Result<Option<RecordBatch>, RunError> {
        let world = self.memory.world();
        let given = world.sources.get(&self.spec.name).filter(|given| given.takes(end));
        match given {
            Some(given) if self.spec.updates == Updates::Stop => given.sum(end)?.repeated().map(Some),
            _ => Ok(None),
        }
    }
}

#[async_trait]
impl Source for MemorySource {
    async fn next_range(&self, from: Option<&Position>, limits: EpochLimits) -> Result<Option<SourceRange>, RunError> {
        let (first, first_malformed) = read_so_far(from);
        let most = |from: u64| from.saturating_add(limits.rows.unwrap_or(u64::MAX).max(1));
        let (end, end_malformed) = {
            let world = self.memory.world();
            let malformed = world.malformed.get(&self.spec.name).map_or(0, |rows| rows.num_rows() as u64);
            let end = world.sources.get(&self.spec.name).map_or(0, |given| {
                let end = most(first).min(given.rows.num_rows() as u64);
                if self.spec.updates == Updates::Ignore { end } else { given.whole(first, end) }
            });
            (end, malformed.min(most(first_malformed)))
        };
        Ok((end > first || end_malformed > first_malformed).then(|| SourceRange {
            from: from.cloned(),
            to: Position(json!([end, end_malformed])),
            text: format!("rows {} to {end}", first + 1),
            rows: Some(end - first),
            bytes: None,
        }))
    }

    async fn splits(&self, range: &SourceRange) -> Result<Vec<Split>, RunError> {
        let (from, to) = (read_so_far(range.from.as_ref()), read_so_far(Some(&range.to)));
        let mut splits = match self.sum(to.0)? {
            // A table that is read as a whole: what its rows are by then.
            Some(rows) if range.from.is_none() => {
                let mut splits = self.memory.cut(&self.spec.name, 0, rows.num_rows() as u64);
                splits.iter_mut().for_each(|split| split.detail = json!([split.detail[0], split.detail[1], SUM, to.0]));
                splits
            }
            _ => self.memory.cut(&self.spec.name, from.0, to.0),
        };
        if to.1 > from.1 {
            let (detail, text) =
                (json!([from.1, to.1, MALFORMED]), format!("malformed records of `{}`", self.spec.name));
            splits.push(Split { detail, text, rows: None });
        }
        Ok(splits)
    }

    async fn read(&self, split: &Split, batch_rows: usize) -> Result<BatchStream, RunError> {
        if split.detail[2] == MALFORMED {
            return Ok(futures::stream::empty().boxed());
        }
        if split.detail[2] == SUM {
            let rows = self.sum(number(&split.detail[3]))?;
            let rows = rows.ok_or_else(|| broken(format!("nothing of `{}` was taken away", self.spec.name)))?;
            return stream(&rows, (&self.spec.schema, None), split, batch_rows);
        }
        let rows = self.memory.world().sources.get(&self.spec.name).map(|given| given.rows.clone());
        let rows = rows.ok_or_else(|| broken(format!("no rows of `{}`", self.spec.name)))?;
        stream(&rows, (&self.spec.schema, self.spec.committed.as_deref()), split, batch_rows)
    }

    fn reads_columns(&self, _range: &SourceRange) -> bool {
        true
    }

    async fn read_parts(&self, split: &Split, batch_rows: usize) -> Result<PartStream, RunError> {
        if split.detail[2] != MALFORMED {
            return Ok(self.read(split, batch_rows).await?.map(|batch| batch.map(Part::Rows)).boxed());
        }
        let records = self.memory.world().malformed.get(&self.spec.name).cloned();
        let records = records.ok_or_else(|| broken(format!("no malformed records of `{}`", self.spec.name)))?;
        let mut schema = flowc_ir::graph::malformed_schema();
        schema.fields.retain(|field| field.name != "_epoch");
        Ok(stream(&records, (&schema, None), split, batch_rows)?.map(|batch| batch.map(Part::Malformed)).boxed())
    }
}

/// A table: its position is the number of a version.
#[derive(Debug)]
struct MemoryTable {
    memory: MemoryConnectors,
    name: String,
    schema: Schema,
}

impl MemoryTable {
    fn version(&self, version: &Position) -> Option<RecordBatch> {
        let index = number(&version.0).checked_sub(1)? as usize;
        self.memory.world().tables.get(&self.name)?.get(index).map(|(rows, _)| rows.clone())
    }
}

#[async_trait]
impl LookupTable for MemoryTable {
    async fn pin(&self) -> Result<Position, RunError> {
        Ok(Position(json!(self.memory.world().tables.get(&self.name).map_or(0, Vec::len))))
    }

    async fn history(&self, pin: &Position) -> Result<History, RunError> {
        let world = self.memory.world();
        let versions = world.tables.get(&self.name).map(Vec::as_slice).unwrap_or_default();
        let mut history = History::default();
        for (index, (_, at)) in versions.iter().enumerate().take(number(&pin.0) as usize) {
            // A clock that is set back makes no version older than the one before it.
            let committed = history.versions.last().map_or(*at, |before: &TableVersion| before.committed.max(*at));
            let (position, text) = (Position(json!(index + 1)), format!("version {}", index + 1));
            history.versions.push(TableVersion { position, committed, text });
        }
        Ok(history)
    }

    async fn splits(&self, version: &Position) -> Result<Vec<Split>, RunError> {
        let rows = self.version(version).map_or(0, |rows| rows.num_rows() as u64);
        let mut splits = self.memory.cut(&self.name, 0, rows);
        // Which version is part of what is read.
        splits.iter_mut().for_each(|split| split.detail = json!([split.detail[0], split.detail[1], version]));
        Ok(splits)
    }

    async fn read(&self, split: &Split, batch_rows: usize) -> Result<BatchStream, RunError> {
        let rows = self.version(&Position(split.detail[2].clone()));
        let rows = rows.ok_or_else(|| broken(format!("no such version of `{}`", self.name)))?;
        stream(&rows, (&self.schema, None), split, batch_rows)
    }
}

/// A sink that keeps its rows, and account of its epochs.
#[derive(Debug, Clone)]
struct MemorySink {
    memory: MemoryConnectors,
    spec: Arc<SinkSpec>,
}

#[async_trait]
impl Sink for MemorySink {
    async fn committed(&self, _application: &str) -> Result<Option<u64>, RunError> {
        Ok(self.memory.world().targets.get(&self.spec.name).and_then(|target| target.committed))
    }

    async fn begin(&self, id: EpochId) -> Result<Box<dyn SinkEpoch>, RunError> {
        Ok(Box::new(MemoryEpoch { sink: self.clone(), id, staged: Arc::default() }))
    }
}

/// Batches of finished writers, by the number that [`Written::detail`] holds.
type Staged = Arc<Mutex<Vec<Vec<RecordBatch>>>>;

struct MemoryEpoch {
    sink: MemorySink,
    id: EpochId,
    staged: Staged,
}

#[async_trait]
impl SinkEpoch for MemoryEpoch {
    async fn writer(&self) -> Result<Box<dyn SinkWriter>, RunError> {
        Ok(Box::new(MemoryWriter { staged: Arc::clone(&self.staged), rows: vec![] }))
    }

    async fn commit(&self, written: Vec<Written>, _quality: &[Judgement]) -> Result<Committed, RunError> {
        let mut staged = self.staged.lock().unwrap_or_else(PoisonError::into_inner);
        let mut world = self.sink.memory.world();
        let target = world.targets.entry(self.sink.spec.name.clone()).or_default();
        let numbers = written.iter().flat_map(|w| &w.detail).filter_map(serde_json::Value::as_u64);
        let rows = numbers.flat_map(|number| std::mem::take(&mut staged[number as usize])).collect();
        target.take(&self.sink.spec, (self.id.epoch, self.id.replace), rows)?;
        Ok(Committed { rows: written.iter().map(|w| w.rows).sum(), ..Committed::default() })
    }

    async fn abort(&self, _written: Vec<Written>) {}
}

struct MemoryWriter {
    staged: Staged,
    rows: Vec<RecordBatch>,
}

#[async_trait]
impl SinkWriter for MemoryWriter {
    async fn write(&mut self, batch: &RecordBatch) -> Result<(), RunError> {
        self.rows.push(batch.clone());
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<Written, RunError> {
        let rows = self.rows.iter().map(|batch| batch.num_rows() as u64).sum();
        let mut staged = self.staged.lock().unwrap_or_else(PoisonError::into_inner);
        staged.push(self.rows);
        Ok(Written { detail: vec![json!(staged.len() - 1)], rows, ..Written::default() })
    }

    async fn abort(self: Box<Self>) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Unobserved;
    use crate::run;
    use crate::testing::{Planned, Row, batch_of, options, texts};

    fn rows(memory: &MemoryConnectors, sink: &str) -> Vec<String> {
        let mut all: Vec<String> = memory.written(sink).iter().flat_map(texts).collect();
        all.sort();
        all
    }

    #[tokio::test]
    async fn runs_go_on_where_the_last_one_ended() {
        let given: Vec<Row> = (0..7).map(|i| (i, Some(i as f64))).collect();
        for (limit, workers) in [(None, 1), (Some(1), 1), (Some(2), 2)] {
            let memory = MemoryConnectors::new(2);
            let mut planned = Planned::new();
            let source = planned.source("in");
            planned.sink("out", source, false);
            planned.sink("whole", source, true);
            let state = tempfile::tempdir().unwrap();
            for part in given.chunks(4) {
                memory.add_rows("in", batch_of(part)).unwrap();
                let options = options(state.path(), workers, 3, limit);
                run(&planned.executable(), Arc::new(memory.clone()), options, Arc::new(Unobserved)).await.unwrap();
            }
            assert_eq!(rows(&memory, "out"), texts(&batch_of(&given)), "each row once");
            assert_eq!(rows(&memory, "whole"), texts(&batch_of(&given)), "the whole, not twice");
        }
    }

    #[tokio::test]
    async fn a_table_is_what_it_was_pinned_to() {
        let memory = MemoryConnectors::new(2);
        let schema = crate::testing::row_schema();
        let table = MemoryTable { memory: memory.clone(), name: "t".into(), schema };
        let empty = table.pin().await.unwrap();
        memory.set_table("t", batch_of(&[(1, None), (2, None), (3, None)]), 7);
        let first = table.pin().await.unwrap();
        memory.set_table("t", batch_of(&[(9, None)]), 5);
        let mut found = vec![];
        for version in [empty, first.clone(), table.pin().await.unwrap()] {
            let mut ids = vec![];
            for split in table.splits(&version).await.unwrap() {
                let mut batches = table.read(&split, 10).await.unwrap();
                while let Some(batch) = batches.next().await {
                    ids.extend(texts(&batch.unwrap()));
                }
            }
            found.push(ids.join(", "));
        }
        assert_eq!(found, ["", "1 null, 2 null, 3 null", "9 null"]);
        let times = async |pin: &Position| {
            table.history(pin).await.unwrap().versions.iter().map(|v| v.committed).collect::<Vec<_>>()
        };
        assert_eq!(times(&first).await, [7]);
        assert_eq!(times(&table.pin().await.unwrap()).await, [7, 7], "times do not fall");
    }

    #[tokio::test]
    async fn a_table_that_becomes_another_commits_what_is_different() {
        let memory = MemoryConnectors::new(2);
        let row = |id: i64, x: f64| (id, Some(x));
        let versions = [vec![row(1, 0.0), row(2, 0.0)], vec![row(1, 5.0), row(2, 0.0), row(2, 0.0)], vec![row(2, 0.0)]];
        let mut planned = Planned::new();
        let source = planned.changing("in");
        planned.sink("sum", source, false);
        let follows = planned.plan.sources[0].clone();
        let mut whole = SourceSpec { updates: Updates::Stop, ..follows.clone() };
        whole.schema.fields.pop();
        let (mut from, mut found) = (None, vec![]);
        for version in versions {
            memory.replace_rows("in", &batch_of(&version), 0).unwrap();
            memory.replace_rows("in", &batch_of(&version), 9).unwrap();
            for (spec, from) in [(&follows, &mut from), (&whole, &mut None)] {
                let source = memory.source(spec).await.unwrap();
                let range = source.next_range(from.as_ref(), EpochLimits::NONE).await.unwrap().unwrap();
                let mut rows = vec![];
                for split in source.splits(&range).await.unwrap() {
                    let batches: Vec<_> = source.read(&split, 10).await.unwrap().collect().await;
                    batches.into_iter().for_each(|batch| rows.extend(texts(&batch.unwrap())));
                }
                rows.sort();
                found.push(rows.join(", ").replace("#0", "").replace("#4014000000000000", ""));
                *from = Some(range.to);
            }
        }
        let wanted =
            [["1 0 1, 2 0 1", "1 0, 2 0"], ["1 0 -1, 1 5 1, 2 0 1", "1 5, 2 0, 2 0"], ["1 5 -1, 2 0 -1", "2 0"]];
        assert_eq!(found, wanted.concat());
    }

    /// Rows with a weight behind them.
    fn changes(rows: &[(Row, i64)]) -> RecordBatch {
        let plain = batch_of(&rows.iter().map(|(row, _)| *row).collect::<Vec<_>>());
        weighted(&plain, rows.iter().map(|(_, weight)| *weight).collect()).unwrap()
    }

    #[tokio::test]
    async fn changes_are_followed_commit_by_commit() {
        let row = |id: i64, x: f64| (id, Some(x));
        let commits = [
            // Without a weight rows are added.
            batch_of(&[row(1, 0.0), row(2, 0.0), row(3, 0.0)]),
            changes(&[(row(2, 0.0), -1), (row(2, 5.0), 1), (row(3, 0.0), -1)]),
            changes(&[(row(4, 0.0), 1), (row(5, 0.0), 1)]),
        ];
        for (limit, ranges) in [(None, vec![8]), (Some(1), vec![1, 2, 3, 6, 7, 8]), (Some(2), vec![2, 3, 6, 8])] {
            let memory = MemoryConnectors::new(2);
            commits.iter().for_each(|commit| memory.add_rows("in", commit.clone()).unwrap());
            let mut planned = Planned::new();
            let source = planned.changing("in");
            planned.merge("out", source, &["id"]);
            planned.sink("sum", source, false);
            let spec = &planned.plan.sources[0];
            let source = memory.source(spec).await.unwrap();
            let (mut from, mut found) = (None, vec![]);
            let limits = EpochLimits { rows: limit, ..EpochLimits::NONE };
            while let Some(range) = source.next_range(from.as_ref(), limits).await.unwrap() {
                found.push(number(&range.to.0[0]));
                from = Some(range.to);
            }
            assert_eq!(found, ranges, "{limit:?}");
            let state = tempfile::tempdir().unwrap();
            let options = options(state.path(), 2, 1, limit);
            run(&planned.executable(), Arc::new(memory.clone()), options, Arc::new(Unobserved)).await.unwrap();
            let wanted = texts(&batch_of(&[row(1, 0.0), row(2, 5.0), row(4, 0.0), row(5, 0.0)]));
            assert_eq!(rows(&memory, "out"), wanted, "{limit:?}");
            assert_eq!(rows(&memory, "sum"), wanted, "{limit:?}");
        }
    }

    #[tokio::test]
    async fn a_merge_of_rows_that_are_added_takes_them_in_order() {
        // The last of each key stands in the last split; workers race for them.
        let given: Vec<Row> = (0..40).map(|i| (i % 3, Some(i as f64))).collect();
        let memory = MemoryConnectors::new(1);
        memory.add_rows("in", batch_of(&given)).unwrap();
        let mut planned = Planned::new();
        let source = planned.source("in");
        planned.merge("out", source, &["id"]);
        let state = tempfile::tempdir().unwrap();
        let options = options(state.path(), 4, 1, None);
        run(&planned.executable(), Arc::new(memory.clone()), options, Arc::new(Unobserved)).await.unwrap();
        assert_eq!(rows(&memory, "out"), texts(&batch_of(&[(0, Some(39.0)), (1, Some(37.0)), (2, Some(38.0))])));
        let sink = memory.sink(&planned.plan.sinks[0]).await.unwrap();
        assert!(!sink.ordered(), "the run sees to the order");
    }

    #[tokio::test]
    async fn a_source_tells_when_its_rows_were_committed() {
        let memory = MemoryConnectors::new(2);
        memory.commit_rows("in", batch_of(&[(1, None), (2, None)]), 7).unwrap();
        memory.commit_rows("in", batch_of(&[(3, None)]), 9).unwrap();
        let mut planned = Planned::new();
        planned.changing("in");
        let spec = &mut planned.plan.sources[0];
        spec.schema.fields.insert(2, Field::new("when", Type::new(DataType::Timestamp)));
        spec.committed = Some("when".into());
        let source = memory.source(spec).await.unwrap();
        let range = source.next_range(None, EpochLimits::NONE).await.unwrap().unwrap();
        let mut found = vec![];
        for split in source.splits(&range).await.unwrap() {
            let mut batches = source.read(&split, 10).await.unwrap();
            while let Some(batch) = batches.next().await {
                found.extend(texts(&batch.unwrap()));
            }
        }
        assert_eq!(found, ["1 null 7 1", "2 null 7 1", "3 null 9 1"]);
    }
}
