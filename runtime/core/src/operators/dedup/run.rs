//! The end of an epoch, step by step: rows are separated into late ones, those that wait and those that are judged, and judged in their order.

use super::super::kept::{Horizon, KeptRows, Stepwise, account, drained, parts, split_late, times};
use super::super::stateful::Emitted;
use super::super::{Fault, Outputs, internal};
use super::sorting::Sorting;
use super::{Dedup, Work};
use crate::error::RunError;
use crate::spill::SpillBuffer;
use arrow::array::{ArrayRef, BooleanArray};
use arrow::compute::filter_record_batch;
use arrow::record_batch::RecordBatch;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

enum Phase {
    /// Rows are read as they came. In the order of time: those that the watermark has passed are sorted.
    Read(Option<Box<Sorting>>),
    /// Rows are judged as the sorting gives them back.
    Judge(Outputs<'static>),
    Over,
}

/// See the module.
pub(super) struct Run<'a> {
    dedup: &'a Dedup,
    watermark: Option<i64>,
    /// The least time that is not late.
    on_time: Option<i64>,
    input: Box<dyn Iterator<Item = Result<RecordBatch, RunError>> + Send>,
    phase: Phase,
    out: VecDeque<Emitted>,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        dedup: &'a Dedup,
        watermark: Option<i64>,
        rows: BTreeMap<(u32, u32), SpillBuffer>,
    ) -> Result<Run<'a>, RunError> {
        let on_time = dedup.on_time(&dedup.work().memory);
        let sorting = dedup.shape.by_time().then(|| sorting(dedup)).transpose()?;
        let (input, phase) = (drained(rows.into_values()), Phase::Read(sorting.map(Box::new)));
        Ok(Run { dedup, watermark, on_time, input, phase, out: VecDeque::new() })
    }

    /// The rows that are on time; the others come out as late ones.
    fn separate(&mut self, work: &mut Work, batch: RecordBatch) -> Result<RecordBatch, Fault> {
        let Some((time, _)) = self.dedup.shape.bound else { return Ok(batch) };
        let (batch, late) = split_late(batch, time, self.on_time)?;
        if let Some(late) = late {
            self.out.extend(parts(late, self.dedup.surroundings.batch_rows).map(Emitted::Late));
        }
        work.memory.latest = work.memory.latest.max(times(&batch, time)?.values().iter().max().copied());
        Ok(batch)
    }

    /// Lets the first rows through.
    fn judge(&mut self, work: &mut Work, batch: RecordBatch) -> Result<(), Fault> {
        let (shape, surroundings) = (&self.dedup.shape, &self.dedup.surroundings);
        let columns: Vec<ArrayRef> = shape.spec.keys.iter().map(|c| Arc::clone(batch.column(*c))).collect();
        let bound = match shape.bound {
            Some((time, within)) => Some((&times(&batch, time)?.values()[..], within)),
            None => None,
        };
        let first = work.memory.firsts.judge(&columns, batch.num_rows(), bound)?;
        account(&mut work.held, &surroundings.budget, work.memory.bytes(), &shape.spec.name)?;
        let kept = filter_record_batch(&batch, &BooleanArray::from(first))?;
        self.out.extend(parts(kept, surroundings.batch_rows).map(Emitted::Rows));
        Ok(())
    }

    /// What the watermark has passed.
    fn passed(&self) -> Horizon {
        Horizon::behind(self.watermark, 0)
    }

    /// Sorts the rows that the watermark has passed, and lets the others wait.
    fn sort_or_wait(&self, work: &mut Work, sorting: &mut Sorting, batch: RecordBatch) -> Result<(), Fault> {
        let (shape, passed) = (&self.dedup.shape, self.passed());
        let Some((time, _)) = shape.bound else { return Ok(()) };
        let ready: BooleanArray = times(&batch, time)?.values().iter().map(|time| Some(passed.passed(*time))).collect();
        let wait = filter_record_batch(&batch, &arrow::compute::not(&ready)?)?;
        sorting.push(filter_record_batch(&batch, &ready)?)?;
        let (at, rows) = (times(&wait, time)?.values().clone(), wait.num_rows());
        work.memory.waiting.add(wait, at, vec![false; rows])?;
        let (budget, name) = (&self.dedup.surroundings.budget, &shape.spec.name);
        Ok(account(&mut work.held, budget, work.memory.bytes(), name)?)
    }

    /// Sorts the rows of earlier epochs that the watermark has passed now.
    fn sort_waiting(&self, work: &mut Work, sorting: &mut Sorting) -> Result<(), Fault> {
        let waiting: &mut KeptRows = &mut work.memory.waiting;
        let places: Vec<_> = waiting.due(self.passed()).into_iter().map(|due| due.place).collect();
        for places in places.chunks(self.dedup.surroundings.batch_rows.max(1)) {
            let columns = waiting.gather(places)?;
            sorting.push(RecordBatch::try_new(Arc::clone(&self.dedup.shape.schema), columns)?)?;
        }
        Ok(())
    }

    /// Notes how far time has come.
    fn close(&self, work: &mut Work) -> Result<(), Fault> {
        let memory = &mut work.memory;
        memory.waiting.sweep()?;
        let closed = match self.watermark {
            Some(i64::MAX) if self.dedup.shape.by_time() => memory.latest.map(|latest| latest.saturating_add(1)),
            // Nothing waits, so nothing has ended.
            Some(i64::MAX) => None,
            watermark => watermark,
        };
        memory.closed = memory.closed.max(closed).max(self.dedup.surroundings.watermark);
        Ok(())
    }
}

/// What sorts the rows that are judged in the order of time, with a part of the memory; the rest is for what is kept.
fn sorting(dedup: &Dedup) -> Result<Sorting, RunError> {
    let Some((time, _)) = dedup.shape.bound else { return Err(internal("rows without a time are to be sorted")) };
    let (budget, batch_rows) = (&dedup.surroundings.budget, dedup.surroundings.batch_rows.max(1));
    Sorting::new(time, &dedup.shape.input, batch_rows, budget, budget.total / 4)
}

impl Stepwise for Run<'_> {
    fn made(&mut self) -> &mut VecDeque<Emitted> {
        &mut self.out
    }

    fn step(&mut self) -> Result<bool, Fault> {
        let dedup = self.dedup;
        let mut work = dedup.work();
        let work = &mut *work;
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Read(sorting) => {
                let next = self.input.next().transpose()?;
                self.phase = match (next, sorting) {
                    (Some(batch), None) => {
                        let batch = self.separate(work, batch)?;
                        self.judge(work, batch)?;
                        Phase::Read(None)
                    }
                    (Some(batch), Some(mut sorting)) => {
                        let batch = self.separate(work, batch)?;
                        self.sort_or_wait(work, &mut sorting, batch)?;
                        Phase::Read(Some(sorting))
                    }
                    (None, None) => {
                        self.close(work)?;
                        Phase::Over
                    }
                    (None, Some(mut sorting)) => {
                        self.sort_waiting(work, &mut sorting)?;
                        Phase::Judge(sorting.finish()?)
                    }
                };
            }
            Phase::Judge(mut sorted) => match sorted.next().transpose()? {
                Some(batch) => {
                    self.judge(work, batch)?;
                    self.phase = Phase::Judge(sorted);
                }
                None => self.close(work)?,
            },
            Phase::Over => return Ok(true),
        }
        Ok(false)
    }
}
