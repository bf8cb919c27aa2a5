//! Kept left rows that no key leads to yet. Most of them die before a right row asks for them, and entering a row into the index costs more than looking at it several
//! times; so new right rows, where few, look through those that wait, and only rows that have been looked at often are entered: each side of a join has its own way
//! to find rows (Kang, Naughton and Viglas, "Evaluating window joins over unbounded streams", ICDE 2003). What is found is the same either way. Knows nothing of pairs.

use super::super::kept::{Horizon, Ids, NO_KEY, Posting, no_nulls};
use super::super::threads::at_once_from;
use super::{Kept, LEFT, Shape};
use crate::error::RunError;
use arrow::buffer::ScalarBuffer;
use arrow::record_batch::RecordBatch;
use std::collections::VecDeque;
use std::ops::Range;

/// A row is entered when so many epochs have looked at it: by then looking has cost about as much as that does. Tests have few epochs.
const LOOKS: usize = if cfg!(test) { 2 } else { 4 };

/// Which left rows wait.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Those from this number on.
    from: u64,
    /// The numbers behind the last row at the last looks, first look first.
    looks: VecDeque<u64>,
}

impl Waiting {
    /// The first number of a row that waits.
    pub(super) fn from(&self) -> u64 {
        self.from
    }

    /// Notes another look at all rows up to a number; those that waited long enough, and do not any more.
    fn look(&mut self, next: u64) -> Range<u64> {
        let first = self.from;
        self.looks.push_back(next);
        if self.looks.len() > LOOKS
            && let Some(seen) = self.looks.pop_front()
        {
            self.from = self.from.max(seen);
        }
        first..self.from
    }
}

/// Enters waiting rows into the index that new right rows with these keys may match; the keys that they have been entered for, to be taken back.
pub(super) fn enter(shape: &Shape, memory: &mut Kept, asked: &[u32], threads: usize) -> Result<Vec<u32>, RunError> {
    let horizon = shape.horizon(memory.closed);
    let known = memory.waiting.look(memory.sides[LEFT].next_id());
    enter_all(shape, memory, LEFT, horizon, &known)?;
    let mut wanted = vec![];
    for key in asked.iter().filter(|key| **key != NO_KEY) {
        if wanted.len() <= *key as usize {
            wanted.resize(*key as usize + 1, false);
        }
        wanted[*key as usize] = true;
    }
    let from = memory.waiting.from();
    let found = {
        let memory = &*memory;
        let rows = memory.sides[LEFT].chunks().filter(|(batch, _, ids)| ids.get(batch.num_rows() - 1) >= from);
        let rows: Vec<_> = rows.collect();
        let count = rows.iter().map(|(batch, ..)| batch.num_rows()).sum();
        let share = rows.len().div_ceil(threads.max(1)).max(1);
        let shares: Vec<&[_]> = rows.chunks(share).collect();
        at_once_from(count, shares, |share| {
            share.iter().map(|rows| look_through(shape, memory, *rows, (horizon, &wanted))).collect::<Vec<_>>()
        })
    };
    let mut keys = vec![];
    for found in found.into_iter().flatten() {
        for (key, row) in found? {
            memory.index.add(LEFT, key, row);
            keys.push(key);
        }
    }
    keys.sort_unstable();
    keys.dedup();
    Ok(keys)
}

/// The waiting rows of a chunk that have wanted keys.
fn look_through(
    shape: &Shape,
    memory: &Kept,
    (batch, times, ids): (&RecordBatch, &ScalarBuffer<i64>, &Ids),
    (horizon, wanted): (Horizon, &[bool]),
) -> Result<Vec<(u32, Posting)>, RunError> {
    let columns = shape.key_columns(LEFT, batch);
    let valid = no_nulls(&columns);
    let keys = memory.index.found(&memory.index.encode(&columns, batch.num_rows())?);
    let from = memory.waiting.from();
    let mut found = vec![];
    for (row, key) in keys.into_iter().enumerate() {
        let waits = wanted.get(key as usize).is_some_and(|wanted| *wanted)
            && ids.get(row) >= from
            && !horizon.passed(times[row])
            && valid.as_ref().is_none_or(|valid| valid.is_valid(row));
        if waits {
            found.push((key, Posting { time: times[row], id: ids.get(row) }));
        }
    }
    Ok(found)
}

/// Enters those rows of a side into the index that have these numbers.
pub(super) fn enter_all(
    shape: &Shape,
    memory: &mut Kept,
    side: usize,
    horizon: Horizon,
    numbers: &Range<u64>,
) -> Result<(), RunError> {
    let Kept { sides, index, .. } = memory;
    for (batch, times, ids) in sides[side].chunks() {
        let rows = batch.num_rows();
        if rows == 0 || ids.get(0) >= numbers.end || ids.get(rows - 1) < numbers.start {
            continue;
        }
        let columns = shape.key_columns(side, batch);
        let valid = no_nulls(&columns);
        let keys = index.encode(&columns, rows)?;
        for row in 0..rows {
            let null = || valid.as_ref().is_some_and(|valid| valid.is_null(row));
            if horizon.passed(times[row]) || !numbers.contains(&ids.get(row)) || null() {
                continue;
            }
            let key = index.number(&keys, row)?;
            index.add(side, key, Posting { time: times[row], id: ids.get(row) });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_wait_until_they_have_been_looked_at_often() {
        let mut waiting = Waiting::default();
        let entered: Vec<Range<u64>> = [10, 10, 30, 40, 50, 60, 70].map(|next| waiting.look(next)).into();
        assert_eq!(entered, [0..0, 0..0, 0..10, 10..10, 10..30, 30..40, 40..50]);
        assert_eq!(waiting.from(), 50);
    }
}
