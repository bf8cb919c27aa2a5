//! Joins two streams whose rows change, and keeps the pairs right: a join of Z-sets is bilinear (Budiu et al., "DBSP", arXiv 2203.16684, section 4), so that what an
//! epoch changes is what its rows make with those of the other side. Knows nothing of where rows come from, nor of where what is kept is stored.
//!
//! Let `L` and `R` be the sides and `l` and `r` what an epoch adds to them, each row's weight netted. What comes out are the pairs of `l` with `R`, then, with `l` in
//! `L`, those of `L` with `r`. Rows that go are taken before those that come, on both sides: then the two rows of a pair were there together, before the epoch
//! or after it, and a condition that fails of a pair that never was does not stop the run.
//!
//! A row matches as often as the weights of the rows that it matches add up to, and is without a match where that is no more than nothing: in between, a row may be taken
//! away before it is added. Without a further condition the key alone tells; with one, matches are counted row by row. Rows come out or go when that changes.
//!
//! A row with a null in its key matches nothing, and is not kept: what becomes of it, it tells alone.

mod run;
mod side;
mod stored;

pub(super) use stored::{key_places, stored_keys};

use super::Fault;
use super::aggregate::index::KeyIndex;
use super::kept::{Stepwise, account, recalled};
use super::stateful::{Before, Changes, Emissions, Extent, Memory, Remembered, Stateful, Surroundings};
use crate::batch::Batch;
use crate::error::RunError;
use crate::spill::{Held, SpillBuffer};
use crate::zset::weight_position;
use arrow::datatypes::{DataType, SchemaRef};
use flowc_ir::Schema;
use flowc_ir::arrow_types::to_arrow_schema;
use flowc_ir::eval::{EvalContext, Kernel};
use flowc_ir::graph::{self, JoinKind, NodeId};
use side::Side;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const LEFT: usize = 0;
const RIGHT: usize = 1;

/// Whether a join whose columns these are is one of rows that change.
pub(crate) fn is_changing(output: &Schema) -> bool {
    output.field(graph::WEIGHT).is_some()
}

/// Whether what it remembers falls apart by key: not where every row without a match depends on whether any key is null.
pub(super) fn falls_apart(spec: &graph::StreamJoin, inputs: &[&Schema]) -> bool {
    let nullable = |key: &usize| inputs[RIGHT].fields[*key].ty.nullable;
    spec.kind != JoinKind::Mark || !spec.right_keys.iter().any(nullable)
}

/// The operator.
#[derive(Debug)]
pub(crate) struct ChangingJoin {
    shape: Shape,
    surroundings: Surroundings,
    /// Rows, by input, path and split.
    rows: Mutex<BTreeMap<(usize, u32, u32), SpillBuffer>>,
    work: Mutex<Work>,
}

/// What does not change.
#[derive(Debug)]
struct Shape {
    node: NodeId,
    spec: graph::StreamJoin,
    inputs: [SchemaRef; 2],
    /// Where the weights of each side are.
    weights: [usize; 2],
    /// The columns of each side that are kept: all but the weight.
    kept: [Vec<usize>; 2],
    output: SchemaRef,
    /// The left columns followed by the right ones.
    pair: SchemaRef,
    residual: Option<Arc<dyn Kernel>>,
    context: EvalContext,
}

/// What is at work in an epoch.
#[derive(Debug)]
struct Work {
    memory: Kept,
    held: Held,
    /// The weight of the right rows with a null key before the epoch.
    null_keys: i64,
}

/// What is kept from epoch to epoch.
#[derive(Debug)]
struct Kept {
    sides: [Side; 2],
    keys: KeyIndex,
    /// By key, the weight of the rows of each side.
    totals: [Vec<i64>; 2],
    /// The weight of the right rows with a null key.
    null_keys: i64,
}

impl Shape {
    fn new(
        node: NodeId,
        spec: &graph::StreamJoin,
        (left, right, output): (&Schema, &Schema, &Schema),
        residual: Option<Arc<dyn Kernel>>,
        context: EvalContext,
    ) -> Result<Shape, RunError> {
        let inputs = [to_arrow_schema(left), to_arrow_schema(right)];
        let weights = [weight_position(&inputs[LEFT])?, weight_position(&inputs[RIGHT])?];
        let kept = [LEFT, RIGHT].map(|side| {
            let columns = 0..inputs[side].fields().len();
            columns.filter(|column| *column != weights[side]).collect()
        });
        let pair = to_arrow_schema(&Schema::new(left.fields.iter().chain(&right.fields).cloned().collect()));
        let (spec, output) = (spec.clone(), to_arrow_schema(output));
        Ok(Shape { node, spec, inputs, weights, kept, output, pair, residual, context })
    }

    fn kind(&self) -> JoinKind {
        self.spec.kind
    }

    /// The key columns of a side, by their positions in its rows.
    fn keys(&self, side: usize) -> &[usize] {
        if side == LEFT { &self.spec.left_keys } else { &self.spec.right_keys }
    }

    /// The key columns of a side, by their positions among those that are kept.
    fn kept_keys(&self, side: usize) -> Vec<usize> {
        let before = |key: &usize| key - usize::from(self.weights[side] < *key);
        self.keys(side).iter().map(before).collect()
    }

    /// Whether rows of this side come out by themselves, as it is told by their matches.
    fn single(&self, side: usize) -> bool {
        match self.kind() {
            JoinKind::Inner => false,
            JoinKind::Left | JoinKind::Semi | JoinKind::Anti | JoinKind::Mark => side == LEFT,
            JoinKind::Right => side == RIGHT,
            JoinKind::Full => true,
        }
    }

    /// Whether a row of a side that comes out by itself does, with matches of this weight. (A marked row always does.)
    fn comes_out(&self, matches: i64) -> bool {
        match self.kind() {
            JoinKind::Semi => matches > 0,
            JoinKind::Mark => true,
            _ => matches <= 0,
        }
    }

    /// Whether pairs must be looked at one by one.
    fn pairs(&self) -> bool {
        self.kind().yields_right() || self.residual.is_some()
    }

    fn types(&self, side: usize) -> Vec<DataType> {
        self.kept[side].iter().map(|column| self.inputs[side].field(*column).data_type().clone()).collect()
    }

    fn empty(&self) -> Result<Kept, RunError> {
        let keys: Vec<DataType> =
            self.spec.left_keys.iter().map(|c| self.inputs[LEFT].field(*c).data_type().clone()).collect();
        let side = |side: usize| Side::new(&self.types(side), self.residual.is_some() && self.single(side));
        let sides = [side(LEFT)?, side(RIGHT)?];
        Ok(Kept { sides, keys: KeyIndex::new(&keys, false)?, totals: [vec![], vec![]], null_keys: 0 })
    }
}

impl Kept {
    fn bytes(&self) -> usize {
        let totals: usize = self.totals.iter().map(|totals| totals.capacity() * size_of::<i64>()).sum();
        self.sides.iter().map(Side::bytes).sum::<usize>() + self.keys.bytes() + totals
    }

    fn live(&self) -> usize {
        self.sides.iter().map(Side::live).sum()
    }

    /// Whether more is dead than alive.
    fn is_sparse(&self) -> bool {
        let rows: usize = self.sides.iter().map(Side::len).sum();
        let most = 2 * self.live() + 1024;
        rows > most || self.keys.len() > most
    }

    fn total(&self, side: usize, key: u32) -> i64 {
        self.totals[side].get(key as usize).copied().unwrap_or(0)
    }

    /// Adds to the weight of a key's rows.
    fn add_total(&mut self, side: usize, key: u32, weight: i64) {
        let totals = &mut self.totals[side];
        if totals.len() <= key as usize {
            let missing = key as usize + 1 - totals.len();
            if totals.capacity() - totals.len() < missing {
                totals.reserve_exact((totals.len() / 4).max(missing).max(64));
            }
            totals.resize(key as usize + 1, 0);
        }
        totals[key as usize] = totals[key as usize].wrapping_add(weight);
    }

    /// The weight of what a row of a side matches.
    fn matches(&self, side: usize, row: u32) -> i64 {
        let rows = &self.sides[side];
        if rows.counts() { rows.matches(row) } else { self.total(1 - side, rows.key(row)) }
    }
}

impl ChangingJoin {
    /// For these schemas. `residual`: the kernel of the further condition. Fails if `before` is of another form of the program, or does not fit the memory.
    pub(crate) fn new(
        id: NodeId,
        spec: &graph::StreamJoin,
        schemas: (&Schema, &Schema, &Schema),
        residual: Option<Arc<dyn Kernel>>,
        context: EvalContext,
        surroundings: Surroundings,
        before: Before,
    ) -> Result<ChangingJoin, RunError> {
        let shape = Shape::new(id, spec, schemas, residual, context)?;
        let mut memory = recalled(before, &spec.name, || shape.empty(), |stored| stored::restore(&shape, &stored))?;
        memory.sides.iter_mut().for_each(Side::begin);
        if memory.is_sparse() {
            memory = stored::compacted(&shape, &memory)?;
        }
        let budget = &surroundings.budget;
        let mut held = Held::new(budget.clone());
        account(&mut held, budget, memory.bytes(), &spec.name)?;
        let work = Work { null_keys: memory.null_keys, memory, held };
        Ok(ChangingJoin { shape, surroundings, rows: Mutex::default(), work: Mutex::new(work) })
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stateful for ChangingJoin {
    fn push(&self, _worker: usize, input: usize, batch: Batch) -> Result<(), Fault> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let budget = || self.surroundings.budget.clone();
        let place = (input, batch.order.path, batch.order.split);
        let buffer = rows.entry(place).or_insert_with(|| SpillBuffer::leaving_half(budget()));
        Ok(buffer.push(batch.data)?)
    }

    fn finish(&self, _watermark: Option<i64>) -> Result<Emissions<'_>, Fault> {
        let rows = std::mem::take(&mut *self.rows.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(run::Run::new(self, rows).emissions())
    }

    fn changes(&self, extent: Extent) -> Result<Changes, RunError> {
        stored::changes(&self.shape, &self.work().memory, extent)
    }

    fn remembered(&self) -> Remembered {
        let memory = &self.work().memory;
        // A null key is remembered, too.
        let entries = memory.live() as u64 + u64::from(memory.null_keys != 0);
        Remembered { unit: "rows".into(), entries, bytes: memory.bytes() as u64, ..Remembered::default() }
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
