//! Lets the first rows of each key through, by an order; of each window, where there are windows, once the watermark reaches its end. Of a window that is open
//! only rows are kept that can still be among the first. Knows nothing of where rows come from, nor of where what is kept is stored.

mod rank;
mod run;
mod stored;

pub(super) use stored::stored_keys;

use super::Fault;
use super::kept::{Horizon, KeptRows, KeyIndex, Stepwise, account, recalled, split_late, times};
use super::stateful::{Before, Changes, Emissions, Extent, Memory, Remembered, Stateful, Surroundings};
use crate::batch::Batch;
use crate::error::RunError;
use crate::spill::{Held, SpillBuffer, batch_bytes};
use arrow::array::ArrayRef;
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use flowc_ir::Schema;
use flowc_ir::arrow_types::to_arrow_schema;
use flowc_ir::graph;
use rank::Ranking;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A worker looks for rows that are not among the first when it has at least so many.
const PRUNE_ROWS: usize = 1 << 15;

/// The operator.
#[derive(Debug)]
pub(crate) struct Top {
    shape: Shape,
    surroundings: Surroundings,
    /// The end of the last window that is closed: what belongs to it is late.
    closed: Option<i64>,
    workers: Vec<Mutex<Arrived>>,
    /// Rows that came too late, by path and split; those of one come in order.
    late: Mutex<BTreeMap<(u32, u32), SpillBuffer>>,
    work: Mutex<Work>,
}

/// What does not change.
#[derive(Debug)]
struct Shape {
    spec: graph::Top,
    schema: SchemaRef,
    ranking: Ranking,
}

/// The rows of a worker.
#[derive(Debug)]
struct Arrived {
    batches: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
    /// So many rows are looked through for those that are not among the first.
    prune_at: usize,
    held: Held,
}

/// What is at work in an epoch.
#[derive(Debug)]
struct Work {
    memory: Kept,
    held: Held,
}

/// What is kept from epoch to epoch.
#[derive(Debug)]
struct Kept {
    /// Rows with the ends of their windows; those that are not among the first any more are flagged.
    rows: KeptRows,
    /// By window and key.
    index: KeyIndex<1>,
    /// The end up to which windows are closed.
    closed: Option<i64>,
    /// The greatest end of a window of rows that were on time.
    latest: Option<i64>,
}

impl Shape {
    /// The positions of what rows are ranked within: window and key.
    fn group(spec: &graph::Top) -> Vec<usize> {
        spec.window.into_iter().flat_map(|(start, end)| [end, start]).chain(spec.keys.iter().copied()).collect()
    }

    fn group_columns(&self, batch: &RecordBatch) -> Vec<ArrayRef> {
        Shape::group(&self.spec).into_iter().map(|c| Arc::clone(batch.column(c))).collect()
    }

    /// The ends of the rows' windows; without windows they are all the same.
    fn ends(&self, batch: &RecordBatch) -> Result<ScalarBuffer<i64>, RunError> {
        match self.spec.window {
            None => Ok(vec![0; batch.num_rows()].into()),
            Some((_, end)) => Ok(times(batch, end)?.values().clone()),
        }
    }

    /// Which windows are closed at this watermark: those whose end it has reached.
    fn horizon(&self, watermark: Option<i64>) -> Horizon {
        if self.spec.window.is_none() { Horizon::All } else { Horizon::behind(watermark, -1) }
    }

    fn empty(&self) -> Result<Kept, RunError> {
        let group = Shape::group(&self.spec);
        let types: Vec<DataType> = group.iter().map(|c| self.schema.field(*c).data_type().clone()).collect();
        Ok(Kept {
            rows: KeptRows::new(Arc::clone(&self.schema), true),
            index: KeyIndex::new(&types)?,
            closed: None,
            latest: None,
        })
    }
}

impl Kept {
    fn bytes(&self) -> usize {
        self.rows.bytes() + self.index.bytes()
    }
}

impl Top {
    /// For rows of this schema. Fails if `before` is of another form of the program, or does not fit the memory.
    pub(crate) fn new(
        spec: &graph::Top,
        input: &Schema,
        surroundings: Surroundings,
        before: Before,
    ) -> Result<Top, RunError> {
        let schema = to_arrow_schema(input);
        let ranking = Ranking::new(spec, &schema)?;
        let shape = Shape { spec: spec.clone(), schema, ranking };
        let mut memory = recalled(before, &spec.name, || shape.empty(), |stored| stored::restore(&shape, &stored))?;
        memory.rows.begin();
        let budget = &surroundings.budget;
        let mut held = Held::new(budget.clone());
        account(&mut held, budget, memory.bytes(), &spec.name)?;
        let arrived =
            || Arrived { batches: vec![], rows: 0, bytes: 0, prune_at: PRUNE_ROWS, held: Held::new(budget.clone()) };
        let workers = (0..surroundings.workers.max(1)).map(|_| Mutex::new(arrived())).collect();
        let closed = memory.closed.max(surroundings.watermark);
        let (late, work) = (Mutex::default(), Mutex::new(Work { memory, held }));
        Ok(Top { shape, surroundings, closed, workers, late, work })
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves out rows that are not among the first of those that arrived here.
    fn prune(&self, arrived: &mut Arrived) -> Result<(), Fault> {
        let order = self.shape.ranking.first(&arrived.batches)?;
        let parts = order.chunks(self.surroundings.batch_rows.max(1));
        arrived.batches = parts.map(|part| rank::pick(&arrived.batches, part)).collect::<Result<_, _>>()?;
        arrived.rows = order.len();
        arrived.bytes = arrived.batches.iter().map(batch_bytes).sum();
        arrived.prune_at = PRUNE_ROWS.max(2 * arrived.rows);
        Ok(())
    }

    /// Rows of windows that are closed are set aside.
    fn separate(&self, batch: Batch) -> Result<RecordBatch, Fault> {
        let Some((_, end)) = self.shape.spec.window else { return Ok(batch.data) };
        let (on_time, late) = split_late(batch.data, end, self.closed.map(|closed| closed.saturating_add(1)))?;
        if let Some(rows) = late {
            let mut late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
            let place = (batch.order.path, batch.order.split);
            let buffer = || SpillBuffer::leaving_half(self.surroundings.budget.clone());
            late.entry(place).or_insert_with(buffer).push(rows)?;
        }
        Ok(on_time)
    }
}

impl Stateful for Top {
    fn push(&self, worker: usize, _input: usize, batch: Batch) -> Result<(), Fault> {
        let batch = self.separate(batch)?;
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let mut arrived = self.workers[worker % self.workers.len()].lock().unwrap_or_else(PoisonError::into_inner);
        let arrived = &mut *arrived;
        arrived.rows += batch.num_rows();
        arrived.bytes += batch_bytes(&batch);
        arrived.batches.push(batch);
        if arrived.rows >= arrived.prune_at || !arrived.held.grow_to(arrived.bytes) {
            self.prune(arrived)?;
        }
        Ok(account(&mut arrived.held, &self.surroundings.budget, arrived.bytes, &self.shape.spec.name)?)
    }

    fn finish(&self, watermark: Option<i64>) -> Result<Emissions<'_>, Fault> {
        let late = std::mem::take(&mut *self.late.lock().unwrap_or_else(PoisonError::into_inner));
        let mut batches = vec![];
        for worker in &self.workers {
            let mut arrived = worker.lock().unwrap_or_else(PoisonError::into_inner);
            batches.append(&mut arrived.batches);
            // From here on the bytes are counted with what is kept.
            arrived.held = Held::new(self.surroundings.budget.clone());
        }
        Ok(run::Run::new(self, watermark, late, batches).emissions())
    }

    fn changes(&self, extent: Extent) -> Result<Changes, RunError> {
        stored::changes(&self.shape, &self.work().memory, extent)
    }

    fn remembered(&self) -> Remembered {
        let memory = &self.work().memory;
        let mut windows = BTreeSet::new();
        if let Some((start, _)) = self.shape.spec.window {
            let horizon = self.shape.horizon(memory.closed);
            for (batch, ends, _) in memory.rows.chunks() {
                let starts = times(batch, start).map(|starts| starts.values().to_vec()).unwrap_or_default();
                windows.extend(starts.into_iter().zip(ends.iter().copied()).filter(|(_, end)| !horizon.passed(*end)));
            }
        }
        let span = memory.rows.span().filter(|_| self.shape.spec.window.is_some());
        Remembered {
            unit: "rows".into(),
            entries: memory.rows.live() as u64,
            bytes: memory.bytes() as u64,
            on_disk: 0,
            windows: windows.len() as u64,
            first_end: span.map(|span| span.0),
            last_end: span.map(|span| span.1),
        }
    }

    fn take_memory(&self) -> Memory {
        let mut work = self.work();
        match self.shape.empty() {
            Ok(empty) => Box::new(std::mem::replace(&mut work.memory, empty)),
            // It was made before, so it can be made. What is no memory is refused by the next epoch.
            Err(_) => Box::new(()),
        }
    }
}

#[cfg(test)]
mod tests;
