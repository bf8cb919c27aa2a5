//! The simulated world: sources that grow, a table, and targets that keep account of epochs, where every operation can go wrong. Written rows are staged, as files
//! that no commit names are; a commit makes those visible that it names.

use super::chaos::{Area, Chaos, Effect, Verdict, wait};
use crate::connector::*;
use crate::error::RunError;
use crate::quality::Judgement;
use crate::testing::{Row, batch_of};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType};
use async_trait::async_trait;
use flowc_ir::plan::{SinkMode, SinkSpec, SourceSpec, TableSpec};
use futures::StreamExt;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Rows that come, by source.
pub(super) type Part = BTreeMap<&'static str, Vec<Row>>;

/// The table that rows are looked up in; its rows never change.
pub(super) const TABLE: &str = "dim";

/// All there is.
#[derive(Debug)]
pub(super) struct World {
    pub(super) chaos: Arc<Chaos>,
    pub(super) split_rows: usize,
    rows: Mutex<BTreeMap<String, Vec<Row>>>,
    targets: Mutex<BTreeMap<String, Target>>,
}

/// A target.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Target {
    pub(super) committed: Option<u64>,
    /// Its rows, in the order in which they became visible.
    pub(super) rows: Vec<String>,
    /// The rows of each epoch that was committed.
    pub(super) epochs: BTreeMap<u64, u64>,
    /// Commits of other writers.
    pub(super) foreign: u64,
    /// Epochs that were committed although the target had them.
    pub(super) again: Vec<u64>,
    /// What is written and not visible, by number.
    staged: BTreeMap<u64, Vec<String>>,
    next: u64,
}

/// Rows as texts; doubles by their bits, times as numbers.
pub(super) fn lines(batch: &RecordBatch) -> Vec<String> {
    let cell = |column: &dyn Array, row: usize| match column.data_type() {
        _ if column.is_null(row) => "null".to_string(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Timestamp(..) => column.as_primitive::<TimestampMicrosecondType>().value(row).to_string(),
        DataType::Float64 => double(column.as_primitive::<Float64Type>().value(row)),
        _ => arrow::util::display::array_value_to_string(column, row).unwrap(),
    };
    let line = |row| batch.columns().iter().map(|c| cell(c, row)).collect::<Vec<_>>().join(" ");
    (0..batch.num_rows()).map(line).collect()
}

/// As in [`lines`].
pub(super) fn double(x: f64) -> String {
    format!("{x}#{:x}", x.to_bits())
}

impl World {
    pub(super) fn new(chaos: Arc<Chaos>, split_rows: usize) -> World {
        let table = (0..40).step_by(4).map(|id| (id, Some(id as f64 / 2.0))).collect();
        let rows = Mutex::new(BTreeMap::from([(TABLE.to_string(), table)]));
        World { chaos, split_rows, rows, targets: Mutex::default() }
    }

    pub(super) fn add(&self, part: &Part) {
        let mut rows = self.rows.lock().unwrap();
        for (source, more) in part {
            rows.entry(source.to_string()).or_default().extend(more);
        }
    }

    pub(super) fn targets(&self) -> BTreeMap<String, Target> {
        self.held().clone()
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<String, Target>> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connects to a [`World`].
#[derive(Debug, Clone)]
pub(super) struct Simulated(pub(super) Arc<World>);

#[derive(Debug, Clone)]
struct Input {
    world: Arc<World>,
    area: Area,
    name: String,
}

#[async_trait]
impl Connectors for Simulated {
    async fn source(&self, spec: &SourceSpec) -> Result<Arc<dyn Source>, RunError> {
        self.0.chaos.reads(Area::Source, "opens").await?;
        Ok(Arc::new(Input { world: Arc::clone(&self.0), area: Area::Source, name: spec.name.clone() }))
    }

    async fn table(&self, spec: &TableSpec) -> Result<Arc<dyn LookupTable>, RunError> {
        self.0.chaos.reads(Area::Table, "opens").await?;
        Ok(Arc::new(Input { world: Arc::clone(&self.0), area: Area::Table, name: spec.name.clone() }))
    }

    async fn sink(&self, spec: &SinkSpec) -> Result<Arc<dyn Sink>, RunError> {
        self.0.chaos.reads(Area::Sink, "opens").await?;
        let replaces = spec.mode == SinkMode::Overwrite;
        Ok(Arc::new(Output { world: Arc::clone(&self.0), name: spec.name.clone(), replaces }))
    }
}

impl Input {
    fn rows(&self) -> Vec<Row> {
        self.world.rows.lock().unwrap().get(&self.name).cloned().unwrap_or_default()
    }

    fn cut(&self, from: u64, to: u64) -> Vec<Split> {
        let step = self.world.split_rows as u64;
        let split = |at: u64| Split { detail: json!([at, to.min(at + step)]), text: format!("row {at}"), rows: None };
        (from..to).step_by(step as usize).map(split).collect()
    }

    async fn read(&self, split: &Split, batch_rows: usize) -> Result<BatchStream, RunError> {
        self.world.chaos.reads(self.area, "reads a split").await?;
        let bound = |i: usize| split.detail[i].as_u64().unwrap() as usize;
        let rows = self.rows()[bound(0)..bound(1)].to_vec();
        let batches: Vec<RecordBatch> = rows.chunks(batch_rows).map(batch_of).collect();
        let (chaos, area) = (Arc::clone(&self.world.chaos), self.area);
        let read = move |batch| {
            let chaos = Arc::clone(&chaos);
            async move { chaos.reads(area, "reads a batch").await.map(|()| batch) }
        };
        Ok(futures::stream::iter(batches).then(read).boxed())
    }
}

#[async_trait]
impl Source for Input {
    async fn next_range(&self, from: Option<&Position>, limits: EpochLimits) -> Result<Option<SourceRange>, RunError> {
        self.world.chaos.reads(self.area, "looks for more").await?;
        let first = from.map_or(0, |p| p.0.as_u64().unwrap());
        let end = (self.rows().len() as u64).min(first.saturating_add(limits.rows.unwrap_or(u64::MAX)));
        Ok((end > first).then(|| SourceRange {
            from: from.cloned(),
            to: Position(json!(end)),
            text: format!("{first}..{end}"),
            rows: Some(end - first),
            bytes: None,
        }))
    }

    async fn splits(&self, range: &SourceRange) -> Result<Vec<Split>, RunError> {
        self.world.chaos.reads(self.area, "lists splits").await?;
        let from = range.from.as_ref().map_or(0, |p| p.0.as_u64().unwrap());
        Ok(self.cut(from, range.to.0.as_u64().unwrap()))
    }

    async fn read(&self, split: &Split, batch_rows: usize) -> Result<BatchStream, RunError> {
        Input::read(self, split, batch_rows).await
    }
}

#[async_trait]
impl LookupTable for Input {
    async fn pin(&self) -> Result<Position, RunError> {
        self.world.chaos.reads(self.area, "pins").await?;
        Ok(Position(json!(self.rows().len())))
    }

    async fn splits(&self, version: &Position) -> Result<Vec<Split>, RunError> {
        self.world.chaos.reads(self.area, "lists splits").await?;
        Ok(self.cut(0, version.0.as_u64().unwrap()))
    }

    async fn read(&self, split: &Split, batch_rows: usize) -> Result<BatchStream, RunError> {
        Input::read(self, split, batch_rows).await
    }
}

#[derive(Debug, Clone)]
struct Output {
    world: Arc<World>,
    name: String,
    replaces: bool,
}

impl Output {
    /// What becomes of an operation that writes.
    async fn rolls(&self, effect: Effect, what: &str) -> Verdict {
        let verdict = self.world.chaos.roll(Area::Sink, effect, &format!("{what} `{}`", self.name));
        if let Verdict::Slow(times) = verdict {
            wait(times).await;
            return Verdict::Passes;
        }
        verdict
    }

    fn failed(&self, what: &str) -> RunError {
        self.world.chaos.injected(Area::Sink, what)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Target) -> T) -> T {
        change(self.world.held().entry(self.name.clone()).or_default())
    }
}

struct Epoch(Output, EpochId);

struct Writer(Output, Vec<String>);

#[async_trait]
impl Sink for Output {
    async fn committed(&self, _application: &str) -> Result<Option<u64>, RunError> {
        self.world.chaos.reads(Area::Sink, "asks what is committed").await?;
        Ok(self.world.held().get(&self.name).and_then(|target| target.committed))
    }

    async fn begin(&self, id: EpochId) -> Result<Box<dyn SinkEpoch>, RunError> {
        self.world.chaos.reads(Area::Sink, "begins").await?;
        Ok(Box::new(Epoch(self.clone(), id)))
    }

    fn ordered(&self) -> bool {
        self.name.starts_with("ordered")
    }
}

#[async_trait]
impl SinkEpoch for Epoch {
    async fn writer(&self) -> Result<Box<dyn SinkWriter>, RunError> {
        self.0.world.chaos.reads(Area::Sink, "opens a writer").await?;
        Ok(Box::new(Writer(self.0.clone(), vec![])))
    }

    async fn commit(&self, written: Vec<Written>, _quality: &[Judgement]) -> Result<Committed, RunError> {
        let Epoch(output, id) = self;
        let verdict = output.rolls(Effect::Commits, "commits to").await;
        if matches!(verdict, Verdict::Conflict | Verdict::Retried) {
            output.change(|target| target.foreign += 1);
        }
        // A commit is one file: there is no half of it.
        if matches!(verdict, Verdict::Before | Verdict::Torn | Verdict::Conflict) {
            return Err(output.failed("commits"));
        }
        let rows = output.change(|target| {
            if target.committed.is_some_and(|last| last >= id.epoch) {
                target.again.push(id.epoch);
            }
            if output.replaces || id.replace {
                target.rows.clear();
                target.epochs.clear();
            }
            let numbers: Vec<u64> = written.iter().flat_map(|w| &w.detail).filter_map(|n| n.as_u64()).collect();
            let rows: Vec<String> = numbers.iter().filter_map(|n| target.staged.remove(n)).flatten().collect();
            target.committed = Some(id.epoch);
            target.epochs.insert(id.epoch, rows.len() as u64);
            let count = rows.len() as u64;
            target.rows.extend(rows);
            count
        });
        if verdict == Verdict::After {
            return Err(output.failed("commits"));
        }
        Ok(Committed { rows, ..Committed::default() })
    }

    async fn abort(&self, written: Vec<Written>) {
        if self.0.rolls(Effect::Removes, "removes from").await == Verdict::Passes {
            let numbers: Vec<u64> = written.iter().flat_map(|w| &w.detail).filter_map(|n| n.as_u64()).collect();
            self.0.change(|target| target.staged.retain(|number, _| !numbers.contains(number)));
        }
    }
}

impl Writer {
    fn stage(&mut self, half: bool) -> u64 {
        let mut rows = std::mem::take(&mut self.1);
        if half {
            rows.truncate(rows.len() / 2);
        }
        self.0.change(|target| {
            target.next += 1;
            target.staged.insert(target.next, rows);
            target.next
        })
    }
}

#[async_trait]
impl SinkWriter for Writer {
    async fn write(&mut self, batch: &RecordBatch) -> Result<(), RunError> {
        let verdict = self.0.rolls(Effect::Writes, "writes to").await;
        if verdict != Verdict::Before {
            self.1.extend(lines(batch));
        }
        match verdict {
            Verdict::Passes => Ok(()),
            Verdict::Torn => {
                self.stage(true);
                Err(self.0.failed("writes"))
            }
            _ => Err(self.0.failed("writes")),
        }
    }

    async fn finish(mut self: Box<Self>) -> Result<Written, RunError> {
        let verdict = self.0.rolls(Effect::Writes, "ends a file of").await;
        if verdict == Verdict::Before {
            return Err(self.0.failed("ends a file"));
        }
        let rows = self.1.len() as u64;
        let number = self.stage(verdict == Verdict::Torn);
        match verdict {
            Verdict::Passes => Ok(Written { detail: vec![json!(number)], rows, ..Written::default() }),
            _ => Err(self.0.failed("ends a file")),
        }
    }

    async fn abort(self: Box<Self>) {}
}
