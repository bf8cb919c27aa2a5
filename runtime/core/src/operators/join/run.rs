//! The end of an epoch, step by step: the right rows are indexed and matched with the left rows of earlier epochs, then the left rows are matched with all
//! right rows as they are read, by all threads, because the index does not change any more; then what is over is let go. What comes out is made a batch at a time.

use super::super::Fault;
use super::super::kept::{Horizon, NO_KEY, Place, Posting, Stepwise, account, drained, no_nulls, parts, taken};
use super::super::stateful::Emitted;
use super::super::threads::at_once_from;
use super::lane::{Lane, separate};
use super::probe::Probe;
use super::{Join, Kept, LEFT, RIGHT, Shape, Work, waiting};
use crate::error::RunError;
use crate::spill::SpillBuffer;
use arrow::array::RecordBatchOptions;
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
    Left(VecDeque<Lane>),
    /// Rows without a match come out: from this one on.
    Unmatched(Vec<Unmatched>, usize),
    Over,
}

/// See the module.
pub(super) struct Run<'a> {
    join: &'a Join,
    /// That of the join, or the one with its sides exchanged.
    shape: &'a Shape,
    watermark: Option<i64>,
    horizon: Horizon,
    /// The least time that is not late.
    on_time: Option<i64>,
    left: Input,
    right: BTreeMap<(u32, u32), Vec<RecordBatch>>,
    phase: Phase,
    /// Keys for which waiting left rows are in the index for now.
    entered: Vec<u32>,
    out: VecDeque<Emitted>,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        (join, shape): (&'a Join, &'a Shape),
        watermark: Option<i64>,
        left: BTreeMap<(u32, u32), SpillBuffer>,
        right: BTreeMap<(u32, u32), Vec<RecordBatch>>,
    ) -> Run<'a> {
        let left = drained(left.into_values());
        let (horizon, on_time) = (shape.horizon(watermark), join.on_time(&join.work().memory));
        let (phase, entered, out) = (Phase::Index, vec![], VecDeque::new());
        Run { join, shape, watermark, horizon, on_time, left, right, phase, entered, out }
    }

    fn emit(&mut self, rows: RecordBatch) {
        if rows.num_rows() > 0 {
            self.out.push_back(Emitted::Rows(rows));
        }
    }

    /// The keys of new right rows; those that have no number get one, so that the rows can be added to them.
    fn keys(&self, memory: &mut Kept, batch: &RecordBatch) -> Result<Vec<u32>, RunError> {
        let columns = self.shape.key_columns(RIGHT, batch);
        let valid = no_nulls(&columns);
        let encoded = memory.index.encode(&columns, batch.num_rows())?;
        if valid.as_ref().is_none_or(|valid| valid.null_count() == 0) {
            return memory.index.assign(&encoded, batch.num_rows());
        }
        let key = |row: usize| match valid.as_ref().is_some_and(|valid| valid.is_null(row)) {
            true => Ok(NO_KEY),
            false => memory.index.number(&encoded, row),
        };
        (0..batch.num_rows()).map(key).collect()
    }

    /// Takes the new right rows; what is to be done to match them with left rows of earlier epochs.
    fn index(&mut self, work: &mut Work) -> Result<VecDeque<Probe>, Fault> {
        let (join, memory) = (self.join, &mut work.memory);
        let waits = memory.sides[LEFT].live() > 0;
        let (mut probes, mut late) = (VecDeque::new(), 0);
        for batch in std::mem::take(&mut self.right).into_values().flatten() {
            let (mut batch, others) = separate(self.shape, RIGHT, batch, self.on_time)?;
            late += others.map_or(0, |others| others.num_rows() as u64);
            memory.latest = memory.latest.max(self.shape.times(RIGHT, &batch)?.iter().max().copied());
            let mut keys = self.keys(memory, &batch)?;
            if !self.shape.unmatched(RIGHT) && keys.contains(&NO_KEY) {
                // They match nothing.
                let rows: Vec<u32> = (0..).zip(&keys).filter(|(_, key)| **key != NO_KEY).map(|(row, _)| row).collect();
                batch = taken(&batch, rows)?;
                keys.retain(|key| *key != NO_KEY);
            }
            let times = self.shape.times(RIGHT, &batch)?;
            let first = add_right(memory, &batch, &times, &keys)?;
            if waits && !keys.is_empty() {
                probes.push_back(Probe::right(first, batch, times, keys));
            }
            account(&mut work.held, &join.surroundings.budget, memory.bytes(), &self.shape.spec.name)?;
        }
        if !probes.is_empty() {
            let asked: Vec<u32> = probes.iter().flat_map(|probe| &probe.keys).copied().collect();
            self.entered = waiting::enter(self.shape, memory, &asked, join.surroundings.workers)?;
            account(&mut work.held, &join.surroundings.budget, memory.bytes(), &self.shape.spec.name)?;
        }
        memory.index.settle();
        if late > 0 {
            self.out.push_back(Emitted::LateOther(late));
        }
        Ok(probes)
    }

    /// Flags new right rows that have had a match.
    fn note_right(&self, memory: &mut Kept, probe: &Probe) {
        if !self.shape.unmatched(RIGHT) {
            return;
        }
        for (row, _) in probe.matched.iter().enumerate().filter(|(_, matched)| **matched) {
            if let Some(place) = memory.sides[RIGHT].locate(probe.first + row as u64) {
                memory.sides[RIGHT].flag(place);
            }
        }
    }

    /// The next batches of left rows, on their way to right rows; none: that was all.
    fn begin_lanes(&mut self, memory: &Kept) -> VecDeque<Lane> {
        let most = self.join.surroundings.workers.max(1);
        let batches: Vec<Result<RecordBatch, RunError>> = self.left.by_ref().take(most).collect();
        let rows = batches.iter().flatten().map(RecordBatch::num_rows).sum();
        let begin = |batch| Lane::begin(self.shape, memory, batch, self.on_time);
        at_once_from(rows, batches, begin).into()
    }

    /// Matches left rows with right rows: several batches at a time, of which the first is the next to come out.
    fn advance(&self, memory: &Kept, lanes: &mut VecDeque<Lane>) {
        let (shape, horizon) = (self.shape, self.horizon);
        let batch_rows = self.join.surroundings.batch_rows.max(1);
        let lanes: Vec<&mut Lane> = lanes.iter_mut().filter(|lane| lane.has_room()).collect();
        let rows = lanes.iter().map(|lane| lane.rows()).sum();
        at_once_from(rows, lanes, |lane| lane.advance(shape, memory, batch_rows, horizon));
    }

    /// What comes out for the first of some batches of left rows; they are all taken once it has had its matches.
    fn left(&mut self, work: &mut Work, mut lanes: VecDeque<Lane>) -> Result<Phase, Fault> {
        if let Some(first) = lanes.front_mut() {
            if let Some(late) = first.late.take() {
                self.out.extend(parts(late, self.join.surroundings.batch_rows).map(Emitted::Late));
                return Ok(Phase::Left(lanes));
            }
            if let Some(rows) = first.made.pop_front() {
                self.emit(rows?);
                return Ok(Phase::Left(lanes));
            }
            if first.is_done() {
                if let Some(probe) = lanes.pop_front().and_then(|lane| lane.probe) {
                    self.keep_left(work, probe)?;
                }
                return Ok(Phase::Left(lanes));
            }
        } else {
            lanes = self.begin_lanes(&work.memory);
            if lanes.is_empty() {
                return Ok(Phase::Unmatched(self.let_go(&mut work.memory), 0));
            }
        }
        self.advance(&work.memory, &mut lanes);
        Ok(Phase::Left(lanes))
    }

    /// Keeps the left rows that a later row may match.
    fn keep_left(&self, work: &mut Work, probe: Probe) -> Result<(), Fault> {
        let (shape, memory) = (self.shape, &mut work.memory);
        memory.latest = memory.latest.max(probe.times.iter().max().copied());
        for other in &probe.others {
            memory.sides[RIGHT].flag(*other);
        }
        let needed = |row: &usize| {
            let null = || probe.valid.as_ref().is_some_and(|valid| valid.is_null(*row));
            let alone = !shape.unmatched(LEFT) && null();
            !(self.horizon.passed(probe.times[*row]) || alone || shape.once() && probe.matched[*row])
        };
        let rows: Vec<u32> = (0..probe.keys.len()).filter(needed).map(|row| row as u32).collect();
        if rows.is_empty() {
            return Ok(());
        }
        if rows.len() == probe.keys.len() {
            memory.sides[LEFT].add(probe.batch, probe.times, probe.matched)?;
        } else {
            let times: ScalarBuffer<i64> = rows.iter().map(|row| probe.times[*row as usize]).collect();
            let matched = rows.iter().map(|row| probe.matched[*row as usize]).collect();
            memory.sides[LEFT].add(taken(&probe.batch, rows)?, times, matched)?;
        }
        let join = self.join;
        Ok(account(&mut work.held, &join.surroundings.budget, memory.bytes(), &shape.spec.name)?)
    }

    /// Passes over the rows that are over; those that come out without a match, in order.
    fn let_go(&self, memory: &mut Kept) -> Vec<Unmatched> {
        memory.index.settle();
        let mut rows = vec![];
        for side in [LEFT, RIGHT] {
            match self.shape.unmatched(side) {
                true => memory.sides[side].pass(self.horizon, |due| rows.push((due.time, side, due.id, due.place))),
                false => memory.sides[side].pass(self.horizon, |_| {}),
            }
        }
        rows.sort_unstable();
        rows
    }

    /// Rows without a match, beside nulls.
    fn unmatched(&self, memory: &Kept, rows: &[Unmatched]) -> Result<RecordBatch, Fault> {
        let shape = self.shape;
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
        let kept_for = self.shape.kept_for();
        let closed = match self.watermark {
            // Rows that could match what is let go are late from now on.
            Some(i64::MAX) => {
                memory.latest.map(|latest| super::before(latest, -kept_for - 1)).max(self.join.surroundings.watermark)
            }
            watermark => watermark,
        };
        memory.closed = memory.closed.max(closed);
        memory.sides.iter_mut().try_for_each(|side| side.sweep())?;
        forget_keys(memory, self.horizon)?;
        if !std::ptr::eq(self.shape, &self.join.shape) {
            memory.hand_over(&self.join.shape)?;
        }
        Ok(())
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

/// Remembers right rows and what keys they have; the number of the first.
fn add_right(memory: &mut Kept, batch: &RecordBatch, times: &ScalarBuffer<i64>, keys: &[u32]) -> Result<u64, RunError> {
    let ids = memory.sides[RIGHT].add(batch.clone(), times.clone(), vec![false; keys.len()])?;
    for ((key, time), id) in keys.iter().zip(times).zip(ids.clone()).filter(|((key, _), _)| **key != NO_KEY) {
        memory.index.add(RIGHT, *key, Posting { time: *time, id });
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
                if probes.is_empty() {
                    let (memory, entered) = (&mut work.memory, std::mem::take(&mut self.entered));
                    memory.index.take_back(LEFT, &entered, memory.waiting.from());
                    self.phase = Phase::Left(VecDeque::new());
                }
                if let Some(probe) = probes.front_mut() {
                    let rows = probe.step_right(self.shape, &mut work.memory, batch_rows)?;
                    self.emit(rows);
                    if probe.is_done()
                        && let Some(probe) = probes.pop_front()
                    {
                        self.note_right(&mut work.memory, &probe);
                    }
                    self.phase = Phase::Right(probes);
                }
            }
            Phase::Left(lanes) => self.phase = self.left(work, lanes)?,
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
