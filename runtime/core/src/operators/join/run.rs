//! The end of an epoch, step by step: the right rows are indexed and matched with the left rows of earlier epochs, then the left rows are matched with all
//! right rows as they are read, then what is over is let go. What comes out is made a batch at a time.

use super::super::Fault;
use super::super::kept::{Horizon, NO_KEY, Place, Stepwise, account, drained, no_nulls, parts, split_late, taken};
use super::super::stateful::Emitted;
use super::probe::Probe;
use super::{Join, Kept, LEFT, RIGHT, Work};
use crate::error::RunError;
use crate::spill::SpillBuffer;
use arrow::array::{ArrayRef, RecordBatchOptions};
use arrow::buffer::ScalarBuffer;
use arrow::record_batch::RecordBatch;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

type Input = Box<dyn Iterator<Item = Result<RecordBatch, RunError>> + Send>;

/// A row that is let go without a match: its time, side, number, and place.
type Unmatched = (i64, usize, u64, Place);

#[derive(Debug)]
enum Phase {
    /// The right rows are to be indexed.
    Index,
    /// New right rows are matched with left rows of earlier epochs.
    Right(VecDeque<Probe>),
    /// New left rows are matched with all right rows.
    Left(Option<Probe>),
    /// Rows without a match come out: from this one on.
    Unmatched(Vec<Unmatched>, usize),
    Over,
}

/// See the module.
pub(super) struct Run<'a> {
    join: &'a Join,
    watermark: Option<i64>,
    horizon: Horizon,
    /// The least time that is not late.
    on_time: Option<i64>,
    left: Input,
    right: BTreeMap<(u32, u32), Vec<RecordBatch>>,
    phase: Phase,
    out: VecDeque<Emitted>,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        join: &'a Join,
        watermark: Option<i64>,
        left: BTreeMap<(u32, u32), SpillBuffer>,
        right: BTreeMap<(u32, u32), Vec<RecordBatch>>,
    ) -> Run<'a> {
        let left = drained(left.into_values());
        let (horizon, on_time) = (join.shape.horizon(watermark), join.on_time(&join.work().memory));
        let (phase, out) = (Phase::Index, VecDeque::new());
        Run { join, watermark, horizon, on_time, left, right, phase, out }
    }

    fn emit(&mut self, rows: RecordBatch) {
        if rows.num_rows() > 0 {
            self.out.push_back(Emitted::Rows(rows));
        }
    }

    /// Separates late rows, where there is a duration.
    fn separate(&self, side: usize, batch: RecordBatch) -> Result<(RecordBatch, Option<RecordBatch>), Fault> {
        match self.join.shape.spec.within {
            None => Ok((batch, None)),
            Some(within) => split_late(batch, if side == LEFT { within.left } else { within.right }, self.on_time),
        }
    }

    /// The keys of new rows. Those of rows for which `add` is true get numbers if they have none, so that the rows can be added to them.
    fn keys(
        &self,
        memory: &mut Kept,
        side: usize,
        batch: &RecordBatch,
        add: impl Fn(usize) -> bool,
    ) -> Result<Vec<u32>, RunError> {
        let columns: Vec<ArrayRef> = self.join.shape.keys(side).iter().map(|c| Arc::clone(batch.column(*c))).collect();
        let valid = no_nulls(&columns);
        let encoded = memory.index.encode(&columns, batch.num_rows())?;
        let key = |row: usize| {
            if valid.as_ref().is_some_and(|valid| valid.is_null(row)) {
                return Ok(NO_KEY);
            }
            if add(row) {
                return memory.index.number(&encoded, row);
            }
            Ok(memory.index.find(&encoded, row).unwrap_or(NO_KEY))
        };
        (0..batch.num_rows()).map(key).collect()
    }

    /// Takes the new right rows; what is to be done to match them with left rows of earlier epochs.
    fn index(&mut self, work: &mut Work) -> Result<VecDeque<Probe>, Fault> {
        let (join, memory) = (self.join, &mut work.memory);
        let waits = memory.sides[LEFT].live() > 0;
        let (mut probes, mut late) = (VecDeque::new(), 0);
        for batch in std::mem::take(&mut self.right).into_values().flatten() {
            let (mut batch, others) = self.separate(RIGHT, batch)?;
            late += others.map_or(0, |others| others.num_rows() as u64);
            memory.latest = memory.latest.max(join.shape.times(RIGHT, &batch)?.iter().max().copied());
            let mut keys = self.keys(memory, RIGHT, &batch, |_| true)?;
            if !join.shape.unmatched(RIGHT) && keys.contains(&NO_KEY) {
                // They match nothing.
                let rows: Vec<u32> = (0..).zip(&keys).filter(|(_, key)| **key != NO_KEY).map(|(row, _)| row).collect();
                batch = taken(&batch, rows)?;
                keys.retain(|key| *key != NO_KEY);
            }
            let times = join.shape.times(RIGHT, &batch)?;
            let first = add(memory, RIGHT, &batch, &times, &keys, vec![false; keys.len()])?;
            if waits && !keys.is_empty() {
                probes.push_back(Probe::right(first, batch, times, keys));
            }
            account(&mut work.held, &join.surroundings.budget, memory.bytes(), &join.shape.spec.name)?;
        }
        memory.index.settle();
        if late > 0 {
            self.out.push_back(Emitted::LateOther(late));
        }
        Ok(probes)
    }

    /// Flags new right rows that have had a match.
    fn note_right(&self, memory: &mut Kept, probe: &Probe) {
        if !self.join.shape.unmatched(RIGHT) {
            return;
        }
        for (row, _) in probe.matched.iter().enumerate().filter(|(_, matched)| **matched) {
            if let Some(place) = memory.sides[RIGHT].locate(probe.first + row as u64) {
                memory.sides[RIGHT].flag(place);
            }
        }
    }

    /// A batch of new left rows, to be matched with right rows.
    fn probe_left(&mut self, work: &mut Work, batch: RecordBatch) -> Result<Option<Probe>, Fault> {
        let (batch, late) = self.separate(LEFT, batch)?;
        if let Some(late) = late {
            self.out.extend(parts(late, self.join.surroundings.batch_rows).map(Emitted::Late));
        }
        if batch.num_rows() == 0 {
            return Ok(None);
        }
        let times = self.join.shape.times(LEFT, &batch)?;
        // Rows that are let go at once are not added to their keys.
        let add = |row: usize| !self.horizon.passed(times[row]);
        let keys = self.keys(&mut work.memory, LEFT, &batch, add)?;
        Ok(Some(Probe::left(batch, times, keys)))
    }

    /// Keeps the left rows that a later row may match.
    fn keep_left(&self, work: &mut Work, probe: Probe) -> Result<(), Fault> {
        let (shape, memory) = (&self.join.shape, &mut work.memory);
        memory.latest = memory.latest.max(probe.times.iter().max().copied());
        let needed = |row: &usize| {
            let alone = probe.keys[*row] == NO_KEY && !shape.unmatched(LEFT);
            !(self.horizon.passed(probe.times[*row]) || alone || shape.once() && probe.matched[*row])
        };
        let rows: Vec<u32> = (0..probe.keys.len()).filter(needed).map(|row| row as u32).collect();
        if rows.is_empty() {
            return Ok(());
        }
        if rows.len() == probe.keys.len() {
            add(memory, LEFT, &probe.batch, &probe.times, &probe.keys, probe.matched)?;
        } else {
            let times: ScalarBuffer<i64> = rows.iter().map(|row| probe.times[*row as usize]).collect();
            let keys: Vec<u32> = rows.iter().map(|row| probe.keys[*row as usize]).collect();
            let matched = rows.iter().map(|row| probe.matched[*row as usize]).collect();
            add(memory, LEFT, &taken(&probe.batch, rows)?, &times, &keys, matched)?;
        }
        let join = self.join;
        Ok(account(&mut work.held, &join.surroundings.budget, memory.bytes(), &shape.spec.name)?)
    }

    /// Passes over the rows that are over; those that come out without a match, in order.
    fn let_go(&self, memory: &mut Kept) -> Vec<Unmatched> {
        memory.index.settle();
        let mut rows = vec![];
        for side in [LEFT, RIGHT] {
            let due = memory.sides[side].due(self.horizon);
            if self.join.shape.unmatched(side) {
                rows.extend(due.into_iter().map(|due| (due.time, side, due.id, due.place)));
            }
        }
        rows.sort_unstable();
        rows
    }

    /// Rows without a match, beside nulls.
    fn unmatched(&self, memory: &Kept, rows: &[Unmatched]) -> Result<RecordBatch, Fault> {
        let shape = &self.join.shape;
        let places = |wanted: usize| -> Vec<Place> {
            rows.iter().map(|(_, side, _, place)| if *side == wanted { *place } else { Place::NONE }).collect()
        };
        let mut columns = memory.sides[LEFT].gather(&places(LEFT))?;
        if shape.kind().yields_right() {
            columns.extend(memory.sides[RIGHT].gather(&places(RIGHT))?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&shape.output), columns, &options)?)
    }

    /// Frees what was let go; notes how far time has come.
    fn close(&self, work: &mut Work) -> Result<(), Fault> {
        let memory = &mut work.memory;
        let kept_for = self.join.shape.kept_for();
        let closed = match self.watermark {
            // Rows that could match what is let go are late from now on.
            Some(i64::MAX) => {
                memory.latest.map(|latest| super::before(latest, -kept_for - 1)).max(self.join.surroundings.watermark)
            }
            watermark => watermark,
        };
        memory.closed = memory.closed.max(closed);
        memory.sides.iter_mut().try_for_each(|side| side.sweep())?;
        Ok(forget_keys(memory, self.horizon)?)
    }
}

/// Forgets keys and rows in the index once half of it is dead.
pub(super) fn forget_keys(memory: &mut Kept, horizon: Horizon) -> Result<(), RunError> {
    let sides = &memory.sides;
    if memory.index.entries() > 2 * (sides[LEFT].live() + sides[RIGHT].live()) + 1024 || horizon == Horizon::All {
        memory.index.retain(horizon, |side, id| sides[side].holds(id))?;
    }
    Ok(())
}

/// Remembers rows and what keys they have.
pub(super) fn add(
    memory: &mut Kept,
    side: usize,
    batch: &RecordBatch,
    times: &ScalarBuffer<i64>,
    keys: &[u32],
    flagged: Vec<bool>,
) -> Result<u64, RunError> {
    let ids = memory.sides[side].add(batch.clone(), times.clone(), flagged)?;
    for ((key, time), id) in keys.iter().zip(times).zip(ids.clone()).filter(|((key, _), _)| **key != NO_KEY) {
        memory.index.add(side, *key, super::Posting { time: *time, id });
    }
    Ok(ids.start)
}

impl Stepwise for Run<'_> {
    fn made(&mut self) -> &mut VecDeque<Emitted> {
        &mut self.out
    }

    fn step(&mut self) -> Result<bool, Fault> {
        let join = self.join;
        let mut work = join.work();
        let work = &mut *work;
        let batch_rows = join.surroundings.batch_rows.max(1);
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Index => self.phase = Phase::Right(self.index(work)?),
            Phase::Right(mut probes) => {
                self.phase = Phase::Left(None);
                if let Some(probe) = probes.front_mut() {
                    let rows = probe.step(&join.shape, &mut work.memory, batch_rows, |_| false)?;
                    self.emit(rows);
                    if probe.is_done()
                        && let Some(probe) = probes.pop_front()
                    {
                        self.note_right(&mut work.memory, &probe);
                    }
                    self.phase = Phase::Right(probes);
                }
            }
            Phase::Left(Some(mut probe)) => {
                let horizon = self.horizon;
                let rows = probe.step(&join.shape, &mut work.memory, batch_rows, |time| horizon.passed(time))?;
                self.emit(rows);
                if probe.is_done() {
                    self.keep_left(work, probe)?;
                    self.phase = Phase::Left(None);
                } else {
                    self.phase = Phase::Left(Some(probe));
                }
            }
            Phase::Left(None) => {
                self.phase = match self.left.next() {
                    Some(batch) => Phase::Left(self.probe_left(work, batch?)?),
                    None => Phase::Unmatched(self.let_go(&mut work.memory), 0),
                };
            }
            Phase::Unmatched(rows, next) if next < rows.len() => {
                let end = rows.len().min(next + batch_rows);
                let batch = self.unmatched(&work.memory, &rows[next..end])?;
                self.emit(batch);
                self.phase = Phase::Unmatched(rows, end);
            }
            Phase::Unmatched(..) => self.close(work)?,
            Phase::Over => return Ok(true),
        }
        Ok(false)
    }
}
