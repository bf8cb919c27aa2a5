//! Lets the first row of each key through, or the first within a duration. Knows nothing of where rows come from, nor of where what is kept is stored.
//!
//! With a duration `D`, a row at `t` is a duplicate when a kept row of its key lies at `k` with `0 <= t - k <= D`. Let `W` be the watermark before the epoch.
//!
//! - In the order of the input: a row is late when `t + D < W`, so that one that is not late has `t >= W - D`. A kept row at `k` matters to rows up to
//!   `k + D`, and those are late once `k + 2 D < W`: then it is forgotten. Rows come out at once; so the end of everything ends nothing here.
//! - In the order of time: rows wait until the watermark has passed them, and are then taken by time, and where times are equal by a hash of the row, which
//!   is the same however rows were cut into epochs. A row behind the watermark is late; a kept row is forgotten once `k + D < W`. When everything is over,
//!   no row waits any more, and rows up to the greatest time seen are late from then on.

mod firsts;
mod run;
mod sorting;
mod stored;

pub(super) use sorting::Sorting;
pub(super) use stored::stored_keys;

use super::kept::{Horizon, KeptRows, Stepwise, account, before, recalled};
use super::spilled::carrying;
use super::stateful::{Before, Changes, Emissions, Extent, Memory, Remembered, Stateful, Surroundings};
use super::{Fault, internal};
use crate::batch::Batch;
use crate::error::RunError;
use crate::spill::{Held, SpillBuffer};
use arrow::datatypes::{DataType, SchemaRef};
use firsts::Firsts;
use flowc_ir::Schema;
use flowc_ir::arrow_types::to_arrow_schema;
use flowc_ir::graph;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The operator.
#[derive(Debug)]
pub(crate) struct Dedup {
    shape: Shape,
    surroundings: Surroundings,
    /// The rows, by path and split; those of one come in order.
    rows: Mutex<BTreeMap<(u32, u32), SpillBuffer>>,
    work: Mutex<Work>,
}

/// What does not change.
#[derive(Debug)]
struct Shape {
    spec: graph::Dedup,
    input: Schema,
    schema: SchemaRef,
    /// The position of the event time, and the duration.
    bound: Option<(usize, i64)>,
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
    firsts: Firsts,
    /// Rows that the watermark has not passed.
    waiting: KeptRows,
    /// The watermark up to which rows were taken.
    closed: Option<i64>,
    /// The greatest event time of rows that were on time.
    latest: Option<i64>,
}

impl Shape {
    /// Whether rows are taken in the order of time.
    fn by_time(&self) -> bool {
        self.spec.by_time && self.bound.is_some()
    }

    /// What kept rows are forgotten at this watermark.
    fn forgotten(&self, watermark: Option<i64>) -> Horizon {
        let Some((_, within)) = self.bound else { return Horizon::Before(i64::MIN) };
        Horizon::behind(watermark, i128::from(within) * if self.by_time() { 1 } else { 2 })
    }

    fn empty(&self) -> Result<Kept, RunError> {
        let types: Vec<DataType> = self.spec.keys.iter().map(|c| self.schema.field(*c).data_type().clone()).collect();
        Ok(Kept {
            firsts: Firsts::new(types)?,
            waiting: KeptRows::new(Arc::clone(&self.schema), false),
            closed: None,
            latest: None,
        })
    }
}

impl Kept {
    fn bytes(&self) -> usize {
        self.firsts.bytes() + self.waiting.bytes()
    }
}

impl Dedup {
    /// For rows of this schema. Fails if `before` is of another form of the program, or does not fit the memory.
    pub(crate) fn new(
        spec: &graph::Dedup,
        input: &Schema,
        surroundings: Surroundings,
        before: Before,
    ) -> Result<Dedup, RunError> {
        let bound = match (spec.within, spec.time) {
            (None, _) => None,
            (Some(within), Some(time)) => Some((time, within)),
            (Some(_), None) => return Err(internal("`dedup` has a duration, but no event time")),
        };
        let input = carrying(input, input.fields.len(), surroundings.carried);
        let shape = Shape { spec: spec.clone(), schema: to_arrow_schema(&input), input, bound };
        let mut memory = recalled(before, &spec.name, || shape.empty(), |stored| stored::restore(&shape, &stored))?;
        memory.waiting.begin();
        memory.firsts.begin(shape.forgotten(memory.closed.max(surroundings.watermark)));
        let budget = &surroundings.budget;
        let mut held = Held::new(budget.clone());
        account(&mut held, budget, memory.bytes(), &spec.name)?;
        Ok(Dedup { shape, surroundings, rows: Mutex::default(), work: Mutex::new(Work { memory, held }) })
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The least time that is not late; none: no time is known.
    fn on_time(&self, memory: &Kept) -> Option<i64> {
        let bound = memory.closed.max(self.surroundings.watermark)?;
        let within = self.shape.bound.map_or(0, |(_, within)| within);
        Some(before(bound, if self.shape.by_time() { 0 } else { within.into() }))
    }
}

impl Stateful for Dedup {
    fn push(&self, _worker: usize, _input: usize, batch: Batch) -> Result<(), Fault> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let budget = || self.surroundings.budget.clone();
        let place = (batch.order.path, batch.order.split);
        let buffer = rows.entry(place).or_insert_with(|| SpillBuffer::leaving_half(budget()));
        Ok(buffer.push(batch.data)?)
    }

    fn finish(&self, watermark: Option<i64>) -> Result<Emissions<'_>, Fault> {
        let rows = std::mem::take(&mut *self.rows.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(run::Run::new(self, watermark, rows)?.emissions())
    }

    fn changes(&self, extent: Extent) -> Result<Changes, RunError> {
        stored::changes(&self.work().memory, extent)
    }

    fn remembered(&self) -> Remembered {
        let memory = &self.work().memory;
        let span = memory.waiting.span();
        Remembered {
            unit: "keys".into(),
            entries: memory.firsts.live() as u64,
            bytes: memory.bytes() as u64,
            on_disk: 0,
            windows: 0,
            first_end: span.map(|span| span.0.saturating_add(1)),
            last_end: span.map(|span| span.1.saturating_add(1)),
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
