//! Joins two streams whose rows match by key and, in event time, within a duration. Rows are kept as long as a row of the other side can match them. Knows
//! nothing of where rows come from, nor of where what is kept is stored.
//!
//! What is late, and when rows are let go, follow from one another. Let `D` be the duration and `W` the watermark. A row at `t` is late when `t + D < W` before its
//! epoch: everything that it could match lies behind the watermark.
//!
//! - Where rows without a match come out, they do when `k + D < W`: no row that comes in order can match them any more. They are let go then.
//! - Otherwise a row at `k` is let go when `k + 2 D < W`. Any row that matches it has `t <= k + D`, and then `t + D <= k + 2 D < W`: it would be late in every later
//!   epoch. So a row that is not late finds every row that it matches, be it behind the watermark.
//!
//! Either way rows that are not behind the watermark find all that they match, however the input is cut into epochs.
//!
//! When everything is over all rows are let go, and `W` becomes `T + R + 1`, where `T` is the greatest time seen and `R` how long rows are kept: rows that could match
//! what was let go are late from then on; later ones are taken.

mod filter;
mod lane;
mod probe;
mod run;
mod stored;
mod waiting;

pub(super) use stored::stored_keys;

use super::Fault;
use super::kept::{Horizon, KeptRows, KeyIndex, Stepwise, account, before, recalled, times};
use super::stateful::{Before, Changes, Emissions, Extent, Memory, Remembered, Stateful, Surroundings};
use crate::batch::Batch;
use crate::connector::RowFilter;
use crate::error::RunError;
use crate::spill::{Held, SpillBuffer, batch_bytes};
use arrow::array::ArrayRef;
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use filter::LeftFilter;
use flowc_ir::Schema;
use flowc_ir::arrow_types::to_arrow_schema;
use flowc_ir::eval::{EvalContext, Kernel};
use flowc_ir::graph::{self, JoinKind, NodeId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use waiting::Waiting;

const LEFT: usize = 0;
const RIGHT: usize = 1;

/// The operator.
#[derive(Debug)]
pub(crate) struct Join {
    shape: Shape,
    surroundings: Surroundings,
    /// Left rows, by path and split; those of one come in order. They are read once, so they need not fit the memory.
    left: Mutex<BTreeMap<(u32, u32), SpillBuffer>>,
    /// Right rows, likewise. Left rows are matched with them, so they have to.
    right: Mutex<Arrived>,
    /// What was asked of left rows before they came.
    filter: Mutex<Option<Arc<LeftFilter>>>,
    work: Mutex<Work>,
}

/// What does not change.
#[derive(Debug)]
struct Shape {
    node: NodeId,
    spec: graph::StreamJoin,
    inputs: [SchemaRef; 2],
    output: SchemaRef,
    /// The left columns followed by the right ones.
    pair: SchemaRef,
    residual: Option<Arc<dyn Kernel>>,
    context: EvalContext,
}

/// The right rows of an epoch.
#[derive(Debug)]
struct Arrived {
    rows: BTreeMap<(u32, u32), Vec<RecordBatch>>,
    bytes: usize,
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
    sides: [KeptRows; 2],
    index: KeyIndex<2>,
    /// The left rows that are not in it.
    waiting: Waiting,
    /// The watermark by which rows were let go.
    closed: Option<i64>,
    /// The greatest event time of rows that were on time.
    latest: Option<i64>,
}

impl Shape {
    fn duration(&self) -> i64 {
        self.spec.within.map_or(0, |within| within.duration)
    }

    fn kind(&self) -> JoinKind {
        self.spec.kind
    }

    fn keys(&self, side: usize) -> &[usize] {
        if side == LEFT { &self.spec.left_keys } else { &self.spec.right_keys }
    }

    fn key_columns(&self, side: usize, batch: &RecordBatch) -> Vec<ArrayRef> {
        self.keys(side).iter().map(|column| batch.column(*column).clone()).collect()
    }

    /// Whether rows of this side without a match come out.
    fn unmatched(&self, side: usize) -> bool {
        match self.kind() {
            // A mark is never waited for: it is of rows that change.
            JoinKind::Inner | JoinKind::Semi | JoinKind::Mark => false,
            JoinKind::Left | JoinKind::Anti => side == LEFT,
            JoinKind::Right => side == RIGHT,
            JoinKind::Full => true,
        }
    }

    /// How far behind the watermark rows are kept.
    fn kept_for(&self) -> i128 {
        let waits = self.unmatched(LEFT) || self.unmatched(RIGHT);
        i128::from(self.duration()) * if waits { 1 } else { 2 }
    }

    /// Whether a left row needs one match only, and is not needed after it.
    fn once(&self) -> bool {
        matches!(self.kind(), JoinKind::Semi | JoinKind::Anti)
    }

    /// The event times of a batch; without a duration they are all the same.
    fn times(&self, side: usize, batch: &RecordBatch) -> Result<ScalarBuffer<i64>, RunError> {
        match self.spec.within {
            None => Ok(vec![0; batch.num_rows()].into()),
            Some(within) => {
                let column = if side == LEFT { within.left } else { within.right };
                Ok(times(batch, column)?.values().clone())
            }
        }
    }

    /// What is let go at this watermark.
    fn horizon(&self, watermark: Option<i64>) -> Horizon {
        match self.spec.within {
            None => Horizon::All,
            Some(_) => Horizon::behind(watermark, self.kept_for()),
        }
    }

    fn empty(&self) -> Result<Kept, RunError> {
        let types: Vec<DataType> =
            self.spec.left_keys.iter().map(|c| self.inputs[LEFT].field(*c).data_type().clone()).collect();
        let side = |side: usize| KeptRows::new(Arc::clone(&self.inputs[side]), side == LEFT && self.once());
        let (index, waiting) = (KeyIndex::new(&types)?, Waiting::default());
        Ok(Kept { sides: [side(LEFT), side(RIGHT)], index, waiting, closed: None, latest: None })
    }
}

impl Kept {
    fn bytes(&self) -> usize {
        self.index.bytes() + self.sides.iter().map(KeptRows::bytes).sum::<usize>()
    }

    fn live(&self) -> usize {
        self.sides.iter().map(KeptRows::live).sum()
    }
}

impl Join {
    /// For these schemas. `residual`: the kernel of the further condition. Fails if `before` is of another form of the program, or does not fit the memory.
    pub(crate) fn new(
        id: NodeId,
        spec: &graph::StreamJoin,
        (left, right, output): (&Schema, &Schema, &Schema),
        residual: Option<Arc<dyn Kernel>>,
        context: EvalContext,
        surroundings: Surroundings,
        before: Before,
    ) -> Result<Join, RunError> {
        let inputs = [to_arrow_schema(left), to_arrow_schema(right)];
        let pair = to_arrow_schema(&Schema::new(left.fields.iter().chain(&right.fields).cloned().collect()));
        let output = to_arrow_schema(output);
        let shape = Shape { node: id, spec: spec.clone(), inputs, output, pair, residual, context };
        let mut memory = recalled(before, &spec.name, || shape.empty(), |stored| stored::restore(&shape, &stored))?;
        memory.sides.iter_mut().for_each(KeptRows::begin);
        let budget = &surroundings.budget;
        let mut held = Held::new(budget.clone());
        account(&mut held, budget, memory.bytes(), &spec.name)?;
        let right = Arrived { rows: BTreeMap::new(), bytes: 0, held: Held::new(budget.clone()) };
        let (right, work) = (Mutex::new(right), Mutex::new(Work { memory, held }));
        Ok(Join { shape, surroundings, left: Mutex::default(), right, filter: Mutex::default(), work })
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The least time that is not late; none: no time is known.
    fn on_time(&self, memory: &Kept) -> Option<i64> {
        let bound = memory.closed.max(self.surroundings.watermark)?;
        Some(before(bound, self.shape.duration().into()))
    }
}

impl Stateful for Join {
    fn push(&self, _worker: usize, input: usize, batch: Batch) -> Result<(), Fault> {
        let place = (batch.order.path, batch.order.split);
        if input == LEFT {
            let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
            let budget = || self.surroundings.budget.clone();
            let buffer = left.entry(place).or_insert_with(|| SpillBuffer::leaving_half(budget()));
            return Ok(buffer.push(batch.data)?);
        }
        let mut right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        let right = &mut *right;
        right.bytes += batch_bytes(&batch.data);
        account(&mut right.held, &self.surroundings.budget, right.bytes, &self.shape.spec.name)?;
        right.rows.entry(place).or_default().push(batch.data);
        Ok(())
    }

    fn needs(&self, watermark: Option<i64>) -> Result<Option<Arc<dyn RowFilter>>, RunError> {
        let right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        let (arrived, work) = (right.rows.values().flatten(), self.work());
        let bounds = (self.shape.horizon(watermark), self.on_time(&work.memory));
        let filter = LeftFilter::new(&self.shape, (arrived, &work.memory), bounds, &self.surroundings.budget)?;
        let filter = filter.map(Arc::new);
        self.filter.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&filter);
        Ok(filter.map(|filter| filter as Arc<dyn RowFilter>))
    }

    fn finish(&self, watermark: Option<i64>) -> Result<Emissions<'_>, Fault> {
        if let Some(filter) = self.filter.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let memory = &mut self.work().memory;
            memory.latest = memory.latest.max(filter.latest());
        }
        let left = std::mem::take(&mut *self.left.lock().unwrap_or_else(PoisonError::into_inner));
        let right = {
            let mut arrived = self.right.lock().unwrap_or_else(PoisonError::into_inner);
            // From here on the bytes are counted with what is kept.
            (arrived.bytes, arrived.held) = (0, Held::new(self.surroundings.budget.clone()));
            std::mem::take(&mut arrived.rows)
        };
        Ok(run::Run::new(self, watermark, left, right).emissions())
    }

    fn changes(&self, extent: Extent) -> Result<Changes, RunError> {
        stored::changes(&self.shape, &self.work().memory, extent)
    }

    fn remembered(&self) -> Remembered {
        let memory = &self.work().memory;
        let end = |time: i64| before(time, -self.shape.kept_for() - 1);
        let waiting = [LEFT, RIGHT].into_iter().filter(|side| self.shape.unmatched(*side));
        let spans: Vec<(i64, i64)> = waiting.filter_map(|side| memory.sides[side].span()).collect();
        Remembered {
            unit: "rows".into(),
            entries: memory.live() as u64,
            bytes: memory.bytes() as u64,
            on_disk: 0,
            windows: 0,
            first_end: spans.iter().map(|span| end(span.0)).min(),
            last_end: spans.iter().map(|span| end(span.1)).max(),
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
