//! Finds, for rows of one side, the rows of the other that they match: candidates by key and time, a batch of them at a time, judged by the further
//! condition. Knows nothing of epochs.

use super::super::kept::{NO_KEY, Place, before};
use super::super::transform::run_kernel;
use super::super::{Fault, internal};
use super::{Kept, LEFT, RIGHT, Shape};
use arrow::array::{Array, AsArray, BooleanArray, RecordBatchOptions, UInt32Array};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::compute::take;
use arrow::record_batch::RecordBatch;
use flowc_ir::graph::JoinKind;
use flowc_ir::plan::KernelSlot;
use std::ops::Range;
use std::sync::Arc;

/// Rows of one side, each beside a row of the other.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    pub(super) rows: Vec<u32>,
    pub(super) others: Vec<Place>,
}

impl Pairs {
    fn push(&mut self, row: u32, other: Place) {
        self.rows.push(row);
        self.others.push(other);
    }

    fn len(&self) -> usize {
        self.rows.len()
    }
}

/// A batch of one side on its way.
#[derive(Debug)]
pub(super) struct Probe {
    /// The side that the rows are of.
    side: usize,
    /// The number of the first row, where they have numbers.
    pub(super) first: u64,
    pub(super) batch: RecordBatch,
    pub(super) times: ScalarBuffer<i64>,
    /// The key of each row, or [`NO_KEY`]: of left rows, which have no numbers yet, where no right row has it.
    pub(super) keys: Vec<u32>,
    /// Which rows have a key that can match; none: all.
    pub(super) valid: Option<NullBuffer>,
    /// Which rows have had a match.
    pub(super) matched: Vec<bool>,
    /// The right rows that have had a match, where they are to be flagged.
    pub(super) others: Vec<Place>,
    /// The row to go on with, and how many of its candidates have been taken.
    row: usize,
    taken: usize,
}

impl Probe {
    /// For left rows, which have no numbers yet.
    pub(super) fn left(
        batch: RecordBatch,
        times: ScalarBuffer<i64>,
        keys: Vec<u32>,
        valid: Option<NullBuffer>,
    ) -> Probe {
        let matched = vec![false; keys.len()];
        Probe { side: LEFT, first: 0, batch, times, keys, valid, matched, others: vec![], row: 0, taken: 0 }
    }

    /// For right rows, numbered from `first` on.
    pub(super) fn right(first: u64, batch: RecordBatch, times: ScalarBuffer<i64>, keys: Vec<u32>) -> Probe {
        Probe { side: RIGHT, first, ..Probe::left(batch, times, keys, None) }
    }

    /// Whether all rows have had all their candidates.
    pub(super) fn is_done(&self) -> bool {
        self.row >= self.keys.len()
    }

    /// The next candidates, at most `most`. Rows before `self.row` have had all theirs.
    fn gather(&mut self, shape: &Shape, memory: &Kept, most: usize) -> Pairs {
        let other = 1 - self.side;
        let mut pairs = Pairs::default();
        let kept_from = memory.closed.map_or(i64::MIN, |watermark| before(watermark, shape.kept_for()));
        while self.row < self.keys.len() && pairs.len() < most {
            let key = self.keys[self.row];
            if key == NO_KEY {
                self.row += 1;
                continue;
            }
            let time = self.times[self.row];
            // Rows that were let go may still be there.
            let (first, last) = (time.saturating_sub(shape.duration()), time.saturating_add(shape.duration()));
            let first = first.max(kept_from);
            let candidates = memory.index.candidates(other, key, first, last);
            // Where there is no further condition, one candidate is a match, and one match is enough.
            let enough = shape.once() && self.side == LEFT && shape.residual.is_none();
            while self.taken < candidates.len() && pairs.len() < most {
                let candidate = candidates[self.taken];
                self.taken += 1;
                let Some(place) = memory.sides[other].locate(candidate.id) else { continue };
                if shape.once() && other == LEFT && memory.sides[LEFT].is_flagged(place) {
                    continue;
                }
                pairs.push(self.row as u32, place);
                if enough {
                    self.taken = candidates.len();
                }
            }
            if self.taken >= candidates.len() {
                self.row += 1;
                self.taken = 0;
            }
        }
        pairs
    }

    /// The next rows that come out for right rows.
    pub(super) fn step_right(&mut self, shape: &Shape, memory: &mut Kept, most: usize) -> Result<RecordBatch, Fault> {
        let begin = self.row;
        let candidates = self.gather(shape, memory, most);
        let admitted = self.admitted(shape, memory, &candidates)?;
        let flag = |other| memory.sides[LEFT].flag(other);
        let out = self.judged(shape, (begin, &candidates, admitted), |_| false, flag);
        self.joined(shape, memory, &out)
    }

    /// The next rows that come out for left rows. `over` says which of them are let go at once: without a match they come out in their place, if left rows do.
    pub(super) fn step_left(
        &mut self,
        shape: &Shape,
        memory: &Kept,
        most: usize,
        over: impl Fn(i64) -> bool,
    ) -> Result<RecordBatch, Fault> {
        let begin = self.row;
        let candidates = self.gather(shape, memory, most);
        let admitted = self.admitted(shape, memory, &candidates)?;
        let mut others = std::mem::take(&mut self.others);
        // Whether a right row was flagged before does not matter to left rows.
        let flag = |other| {
            others.push(other);
            true
        };
        let out = self.judged(shape, (begin, &candidates, admitted), over, flag);
        self.others = others;
        self.joined(shape, memory, &out)
    }

    /// The pairs that come out, of candidates that were gathered from this row on. `flag` notes that a row of the other side has had a match, and says whether that
    /// was the first.
    fn judged(
        &mut self,
        shape: &Shape,
        (begin, candidates, admitted): (usize, &Pairs, Option<BooleanArray>),
        over: impl Fn(i64) -> bool,
        mut flag: impl FnMut(Place) -> bool,
    ) -> Pairs {
        let alone = self.side == LEFT && shape.unmatched(LEFT);
        let (mut out, mut row) = (Pairs::default(), begin);
        for (pair, (of, other)) in candidates.rows.iter().zip(&candidates.others).enumerate() {
            if alone {
                self.pass_over(row..*of as usize, &over, &mut out);
                row = *of as usize;
            }
            if admitted.as_ref().is_none_or(|admitted| admitted.is_valid(pair) && admitted.value(pair)) {
                self.matches(shape, *of as usize, *other, &mut flag, &mut out);
            }
        }
        if alone {
            self.pass_over(row..self.row, &over, &mut out);
        }
        // One match is enough.
        if self.side == LEFT && shape.once() && self.matched.get(self.row).is_some_and(|matched| *matched) {
            self.row += 1;
            self.taken = 0;
        }
        out
    }

    /// Rows that have had all their candidates; those without a match come out if they are let go at once.
    fn pass_over(&self, rows: Range<usize>, over: &impl Fn(i64) -> bool, out: &mut Pairs) {
        let alone = rows.filter(|row| !self.matched[*row] && over(self.times[*row]));
        alone.for_each(|row| out.push(row as u32, Place::NONE));
    }

    /// Notes a match.
    fn matches(
        &mut self,
        shape: &Shape,
        row: usize,
        other: Place,
        flag: &mut impl FnMut(Place) -> bool,
        out: &mut Pairs,
    ) {
        let first = !std::mem::replace(&mut self.matched[row], true);
        let wanted = match (shape.kind(), self.side) {
            (JoinKind::Semi, LEFT) => first,
            (JoinKind::Semi, _) => flag(other),
            (JoinKind::Anti, side) => {
                if side == RIGHT {
                    flag(other);
                }
                false
            }
            (_, side) => {
                if shape.unmatched(1 - side) {
                    flag(other);
                }
                true
            }
        };
        if wanted {
            out.push(row as u32, other);
        }
    }

    /// Which pairs meet the further condition; none: all.
    fn admitted(&self, shape: &Shape, memory: &Kept, pairs: &Pairs) -> Result<Option<BooleanArray>, Fault> {
        let Some(kernel) = shape.residual.as_ref().filter(|_| pairs.len() > 0) else { return Ok(None) };
        let mut columns = self.columns(shape.order[0], memory, pairs)?;
        columns.extend(self.columns(shape.order[1], memory, pairs)?);
        let options = RecordBatchOptions::new().with_row_count(Some(pairs.len()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&shape.pair), columns, &options)?;
        let result = run_kernel(KernelSlot::Residual(shape.node), &**kernel, &shape.context, &batch)?;
        if result.num_rows() != pairs.len() {
            return Err(internal("the condition of a join removed rows").into());
        }
        Ok(Some(result.column(0).as_boolean().clone()))
    }

    /// The columns of one side of pairs.
    fn columns(&self, side: usize, memory: &Kept, pairs: &Pairs) -> Result<Vec<arrow::array::ArrayRef>, Fault> {
        if side != self.side {
            return Ok(memory.sides[side].gather(&pairs.others)?);
        }
        let rows = UInt32Array::from(pairs.rows.clone());
        Ok(self.batch.columns().iter().map(|column| take(column, &rows, None)).collect::<Result<_, _>>()?)
    }

    fn joined(&self, shape: &Shape, memory: &Kept, pairs: &Pairs) -> Result<RecordBatch, Fault> {
        if pairs.len() == 0 {
            return Ok(RecordBatch::new_empty(Arc::clone(&shape.output)));
        }
        let mut columns = self.columns(shape.order[0], memory, pairs)?;
        if shape.kind().yields_right() {
            columns.extend(self.columns(shape.order[1], memory, pairs)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(pairs.len()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&shape.output), columns, &options)?)
    }
}
