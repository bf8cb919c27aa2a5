//! A batch of left rows on its way to the right rows of its keys, ahead of its turn: several are at once, each by a thread of its own, and come out one after the other.
//! Knows nothing of epochs, nor of what becomes of what it makes.

use super::super::Fault;
use super::super::kept::{Horizon, NO_KEY, no_nulls, split_late};
use super::probe::Probe;
use super::{Kept, LEFT, Shape};
use crate::error::RunError;
use arrow::record_batch::RecordBatch;
use std::collections::VecDeque;

/// So many batches are made ahead at most.
const AHEAD: usize = 4;

/// See the module. What comes out: late rows first, then what was made; a failure in its place.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) late: Option<RecordBatch>,
    pub(super) made: VecDeque<Result<RecordBatch, Fault>>,
    /// None: no row is on time, or finding their keys failed.
    pub(super) probe: Option<Probe>,
}

impl Lane {
    /// Finds the keys of left rows among those of right rows.
    pub(super) fn begin(
        shape: &Shape,
        memory: &Kept,
        batch: Result<RecordBatch, RunError>,
        on_time: Option<i64>,
    ) -> Lane {
        let mut lane = Lane { late: None, made: VecDeque::new(), probe: None };
        let separated = batch.map_err(Fault::from).and_then(|batch| separate(shape, LEFT, batch, on_time));
        let probe = separated.and_then(|(batch, late)| {
            lane.late = late;
            probe(shape, memory, batch)
        });
        match probe {
            Ok(probe) => lane.probe = probe,
            Err(fault) => lane.made.push_back(Err(fault)),
        }
        lane
    }

    /// Whether all has been made.
    pub(super) fn is_done(&self) -> bool {
        self.probe.as_ref().is_none_or(Probe::is_done)
    }

    /// Whether there is more to make, and room for it.
    pub(super) fn has_room(&self) -> bool {
        !self.is_done() && self.made.len() < AHEAD && !self.made.iter().any(Result::is_err)
    }

    /// How many rows there are.
    pub(super) fn rows(&self) -> usize {
        self.probe.as_ref().map_or(0, |probe| probe.keys.len())
    }

    /// Makes what there is room for.
    pub(super) fn advance(&mut self, shape: &Shape, memory: &Kept, batch_rows: usize, horizon: Horizon) {
        while self.has_room()
            && let Some(probe) = &mut self.probe
        {
            let rows = probe.step_left(shape, memory, batch_rows, |time| horizon.passed(time));
            if !rows.as_ref().is_ok_and(|rows| rows.num_rows() == 0) {
                self.made.push_back(rows);
            }
        }
    }
}

fn probe(shape: &Shape, memory: &Kept, batch: RecordBatch) -> Result<Option<Probe>, Fault> {
    if batch.num_rows() == 0 {
        return Ok(None);
    }
    let (times, columns) = (shape.times(LEFT, &batch)?, shape.key_columns(LEFT, &batch));
    let mut keys = memory.index.found(&memory.index.encode(&columns, batch.num_rows())?);
    let valid = no_nulls(&columns);
    if let Some(valid) = &valid {
        keys.iter_mut().zip(valid).filter(|(_, valid)| !valid).for_each(|(key, _)| *key = NO_KEY);
    }
    Ok(Some(Probe::left(batch, times, keys, valid)))
}

/// Separates late rows, where there is a duration.
pub(super) fn separate(
    shape: &Shape,
    side: usize,
    batch: RecordBatch,
    on_time: Option<i64>,
) -> Result<(RecordBatch, Option<RecordBatch>), Fault> {
    match shape.spec.within {
        None => Ok((batch, None)),
        Some(within) => split_late(batch, if side == LEFT { within.left } else { within.right }, on_time),
    }
}
