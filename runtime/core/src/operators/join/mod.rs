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
use crate::spill::{Budget, Held, SpillBuffer, batch_bytes};
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
    /// The same with left and right exchanged, where either side may be kept: pairs come out in the order of the right rows then.
    exchanged: Option<Shape>,
    surroundings: Surroundings,
    /// Left rows. They are read once, so they need not fit the memory.
    left: Mutex<Buffered>,
    /// Right rows, as long as either side may be kept.
    open: Mutex<Buffered>,
    /// Right rows. Left rows are matched with them, so they have to fit it.
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
    /// The sides as their columns stand in pairs.
    order: [usize; 2],
}

/// Rows of one side that need not fit the memory, by path and split; those of one come in order.
#[derive(Debug, Default)]
struct Buffered {
    splits: BTreeMap<(u32, u32), SpillBuffer>,
    rows: u64,
}

impl Buffered {
    fn push(&mut self, batch: Batch, budget: &Budget) -> Result<(), RunError> {
        let place = (batch.order.path, batch.order.split);
        self.rows += batch.data.num_rows() as u64;
        self.splits.entry(place).or_insert_with(|| SpillBuffer::leaving_half(budget.clone())).push(batch.data)
    }
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

impl Arrived {
    fn push(&mut self, place: (u32, u32), rows: RecordBatch, (budget, name): (&Budget, &str)) -> Result<(), RunError> {
        self.bytes += batch_bytes(&rows);
        account(&mut self.held, budget, self.bytes, name)?;
        self.rows.entry(place).or_default().push(rows);
        Ok(())
    }
}

impl Shape {
    /// The same join with left and right exchanged: what is called left here is the right side of the program.
    fn exchanged(&self) -> Shape {
        let spec = graph::StreamJoin {
            left_keys: self.spec.right_keys.clone(),
            right_keys: self.spec.left_keys.clone(),
            ..self.spec.clone()
        };
        let inputs = [Arc::clone(&self.inputs[RIGHT]), Arc::clone(&self.inputs[LEFT])];
        let (output, pair, residual) = (Arc::clone(&self.output), Arc::clone(&self.pair), self.residual.clone());
        Shape { node: self.node, spec, inputs, output, pair, residual, context: self.context, order: [RIGHT, LEFT] }
    }

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

    /// Goes on with the sides of another shape. Only where nothing is kept: then there is only how far time has come.
    fn hand_over(&mut self, shape: &Shape) -> Result<(), RunError> {
        debug_assert_eq!(self.live(), 0);
        let (closed, latest) = (self.closed, self.latest);
        *self = Kept { closed, latest, ..shape.empty()? };
        Ok(())
    }
}

/// Takes buffered rows into the memory.
fn keep(buffered: Buffered, kept: &mut Arrived, around: (&Budget, &str)) -> Result<(), RunError> {
    for (place, buffer) in buffered.splits {
        // What the buffer held is counted with what is kept from here on.
        let batches = buffer.drain()?.collect::<Result<Vec<_>, _>>()?;
        batches.into_iter().try_for_each(|batch| kept.push(place, batch, around))?;
    }
    Ok(())
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
        let order = [LEFT, RIGHT];
        let shape = Shape { node: id, spec: spec.clone(), inputs, output, pair, residual, context, order };
        let mut memory = recalled(before, &spec.name, || shape.empty(), |stored| stored::restore(&shape, &stored))?;
        memory.sides.iter_mut().for_each(KeptRows::begin);
        let budget = &surroundings.budget;
        let mut held = Held::new(budget.clone());
        account(&mut held, budget, memory.bytes(), &spec.name)?;
        let right = Arrived { rows: BTreeMap::new(), bytes: 0, held: Held::new(budget.clone()) };
        let (right, work) = (Mutex::new(right), Mutex::new(Work { memory, held }));
        let (left, open) = (Mutex::default(), Mutex::default());
        Ok(Join { shape, exchanged: None, surroundings, left, open, right, filter: Mutex::default(), work })
    }

    /// Where either side may be kept ([`flowc_ir::join_side`]): the one with fewer rows is.
    pub(crate) fn open(mut self, open: bool) -> Join {
        self.exchanged = open.then(|| self.shape.exchanged());
        self
    }

    /// Right rows are kept: those that were only buffered, too.
    fn settle(&self) -> Result<(), RunError> {
        let buffered = std::mem::take(&mut *self.open.lock().unwrap_or_else(PoisonError::into_inner));
        let mut right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        keep(buffered, &mut right, (&self.surroundings.budget, &self.shape.spec.name))
    }

    /// If fewer left rows than right ones have come, and that may be: keeps the left ones; the right ones, to be matched against them.
    fn exchange(&self) -> Result<Option<Buffered>, RunError> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        // Where right rows were asked for what they need of the left side, they are kept already, and none are open.
        if left.rows >= open.rows {
            return Ok(None);
        }
        keep(std::mem::take(&mut *left), &mut right, (&self.surroundings.budget, &self.shape.spec.name))?;
        Ok(Some(std::mem::take(&mut *open)))
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
        let budget = &self.surroundings.budget;
        if input == LEFT || self.exchanged.is_some() {
            let side = if input == LEFT { &self.left } else { &self.open };
            return Ok(side.lock().unwrap_or_else(PoisonError::into_inner).push(batch, budget)?);
        }
        let place = (batch.order.path, batch.order.split);
        let mut right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(right.push(place, batch.data, (budget, &self.shape.spec.name))?)
    }

    fn needs(&self, watermark: Option<i64>) -> Result<Option<Arc<dyn RowFilter>>, RunError> {
        self.settle()?;
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
        let exchanged = match &self.exchanged {
            Some(shape) => self.exchange()?.map(|probing| (shape, probing)),
            None => None,
        };
        let (shape, left) = match exchanged {
            Some((shape, probing)) => {
                self.work().memory.hand_over(shape)?;
                (shape, probing)
            }
            None => {
                self.settle()?;
                (&self.shape, std::mem::take(&mut *self.left.lock().unwrap_or_else(PoisonError::into_inner)))
            }
        };
        let right = {
            let mut arrived = self.right.lock().unwrap_or_else(PoisonError::into_inner);
            // From here on the bytes are counted with what is kept.
            (arrived.bytes, arrived.held) = (0, Held::new(self.surroundings.budget.clone()));
            std::mem::take(&mut arrived.rows)
        };
        Ok(run::Run::new((self, shape), watermark, left.splits, right).emissions())
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
