//! Keys, numbered as they come, and for each what belongs to it on each of several sides: rows by time. Knows nothing of the rows but their times and numbers.

use super::Horizon;
use crate::error::RunError;
use crate::operators::aggregate::index::{Encoded, KeyIndex as Numbers};
use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use smallvec::SmallVec;

/// A row without a key.
pub(in crate::operators) const NO_KEY: u32 = u32::MAX;

/// A row of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::operators) struct Posting {
    /// Its time.
    pub(in crate::operators) time: i64,
    /// Its number.
    pub(in crate::operators) id: u64,
}

/// The rows of a key, by time; most keys have one.
type Postings = SmallVec<[Posting; 1]>;

fn too_many() -> RunError {
    RunError::data("R0117", "there are more than four billion keys to remember")
}

/// How many keys a segment of [`Lists`] has.
const SEGMENT: usize = 1024;

/// The rows of each key, in segments: those that are there are not copied as keys come, and keys of a side without rows take nothing.
#[derive(Debug, Default)]
struct Lists {
    /// Each has lists for its first keys, up to the last that has had rows.
    segments: Vec<Vec<Postings>>,
}

impl Lists {
    fn get(&self, key: u32) -> &[Posting] {
        let list = self.segments.get(key as usize / SEGMENT).and_then(|segment| segment.get(key as usize % SEGMENT));
        list.map_or(&[], |list| list)
    }

    /// The list of a key; none: it has had no rows.
    fn find(&mut self, key: u32) -> Option<&mut Postings> {
        self.segments.get_mut(key as usize / SEGMENT).and_then(|segment| segment.get_mut(key as usize % SEGMENT))
    }

    /// The list of a key, made if there is none.
    fn enter(&mut self, key: u32) -> &mut Postings {
        let (number, at) = (key as usize / SEGMENT, key as usize % SEGMENT);
        if self.segments.len() <= number {
            self.segments.resize_with(number + 1, Vec::new);
        }
        let segment = &mut self.segments[number];
        if segment.len() <= at {
            if segment.capacity() <= at {
                let wanted = (2 * segment.capacity()).max(at + 1).clamp(16, SEGMENT);
                segment.reserve_exact(wanted - segment.len());
            }
            segment.resize_with(at + 1, Postings::new);
        }
        &mut segment[at]
    }

    fn bytes(&self) -> usize {
        let lists: usize = self.segments.iter().map(Vec::capacity).sum();
        lists * size_of::<Postings>() + self.segments.capacity() * size_of::<Vec<Postings>>()
    }
}

/// The keys.
#[derive(Debug)]
pub(in crate::operators) struct KeyIndex<const SIDES: usize> {
    types: Vec<DataType>,
    numbers: Numbers,
    postings: [Lists; SIDES],
    /// Keys some of whose last rows are not in order: side, key, and how many are.
    disordered: Vec<(u32, u32, usize)>,
    entries: usize,
}

impl<const SIDES: usize> KeyIndex<SIDES> {
    /// For keys of these types; none: there is one key.
    pub(in crate::operators) fn new(types: &[DataType]) -> Result<Self, RunError> {
        Ok(KeyIndex {
            types: types.to_vec(),
            numbers: Numbers::new(types, false)?,
            postings: std::array::from_fn(|_| Lists::default()),
            disordered: vec![],
            entries: 0,
        })
    }

    /// The keys of so many rows of these columns.
    pub(in crate::operators) fn encode(&self, columns: &[ArrayRef], rows: usize) -> Result<Encoded, RunError> {
        self.numbers.encode(columns, rows)
    }

    /// The number of a row's key, if it has one.
    pub(in crate::operators) fn find(&self, keys: &Encoded, row: usize) -> Option<u32> {
        self.numbers.find(keys, row, 0)
    }

    /// The number of a row's key.
    pub(in crate::operators) fn number(&mut self, keys: &Encoded, row: usize) -> Result<u32, RunError> {
        if self.numbers.len() >= NO_KEY as usize {
            return self.find(keys, row).ok_or_else(too_many);
        }
        self.numbers.insert(keys, row, 0)
    }

    /// The number of each row's key.
    pub(in crate::operators) fn assign(&mut self, keys: &Encoded, rows: usize) -> Result<Vec<u32>, RunError> {
        if self.numbers.len() + rows > NO_KEY as usize {
            return (0..rows).map(|row| self.number(keys, row)).collect();
        }
        self.numbers.assign(keys, &[])
    }

    /// The number of each row's key, or [`NO_KEY`].
    pub(in crate::operators) fn found(&self, keys: &Encoded) -> Vec<u32> {
        self.numbers.find_all(keys, NO_KEY)
    }

    /// Takes the rows from this number on away from these keys of a side again.
    pub(in crate::operators) fn take_back(&mut self, side: usize, keys: &[u32], from: u64) {
        for key in keys {
            let Some(postings) = self.postings[side].find(*key) else { continue };
            let before = postings.len();
            postings.retain(|row| row.id < from);
            postings.shrink_to_fit();
            self.entries -= before - postings.len();
        }
    }

    /// Adds a row to a key; [`KeyIndex::settle`] must follow before the key's rows are asked for.
    pub(in crate::operators) fn add(&mut self, side: usize, key: u32, row: Posting) {
        let postings = self.postings[side].enter(key);
        if postings.last().is_some_and(|last| *last > row) {
            self.disordered.push((side as u32, key, postings.len()));
        }
        postings.push(row);
        self.entries += 1;
    }

    /// Puts the rows that were added in order. What was in order before the first of them stays where it is.
    pub(in crate::operators) fn settle(&mut self) {
        let mut disordered = std::mem::take(&mut self.disordered);
        disordered.sort_unstable();
        disordered.dedup_by_key(|(side, key, _)| (*side, *key));
        for (side, key, sorted) in disordered {
            let Some(postings) = self.postings[side as usize].find(key) else { continue };
            let Some(least) = postings[sorted..].iter().min().copied() else { continue };
            let start = postings[..sorted].partition_point(|row| *row < least);
            postings[start..].sort();
        }
    }

    /// The rows of a key with times from `first` to `last`, by time and number.
    pub(in crate::operators) fn candidates(&self, side: usize, key: u32, first: i64, last: i64) -> &[Posting] {
        let postings = self.postings[side].get(key);
        let start = postings.partition_point(|row| row.time < first);
        let end = start + postings[start..].partition_point(|row| row.time <= last);
        &postings[start..end]
    }

    /// How many rows belong to keys, or how many keys there are, whichever is more; forgotten ones among them.
    pub(in crate::operators) fn entries(&self) -> usize {
        self.entries.max(self.numbers.len())
    }

    /// The bytes that it takes, about.
    pub(in crate::operators) fn bytes(&self) -> usize {
        let lists: usize = self.postings.iter().map(Lists::bytes).sum();
        // Lists of several rows have room of their own, of which a quarter is empty on the average.
        let rows = self.entries.saturating_sub(self.numbers.len()) * size_of::<Posting>() * 4 / 3;
        self.numbers.bytes() + lists + rows
    }

    /// Leaves out rows that are over or that `holds` (by side and number) does not know, and keys without rows. Numbers of keys change.
    pub(in crate::operators) fn retain(
        &mut self,
        horizon: Horizon,
        holds: impl Fn(usize, u64) -> bool,
    ) -> Result<(), RunError> {
        let numbers = std::mem::replace(&mut self.numbers, Numbers::new(&self.types, false)?);
        let mut postings = std::mem::replace(&mut self.postings, std::array::from_fn(|_| Lists::default()));
        self.entries = 0;
        for key in 0..numbers.len() as u32 {
            let mut left = 0;
            for (side, postings) in postings.iter_mut().enumerate() {
                let Some(postings) = postings.find(key) else { continue };
                postings.retain(|row| !horizon.passed(row.time) && holds(side, row.id));
                postings.shrink_to_fit();
                left += postings.len();
            }
            if left > 0 {
                let number = self.numbers.adopt(&numbers, key, 0)?;
                for (kept, postings) in self.postings.iter_mut().zip(&mut postings) {
                    if let Some(postings) = postings.find(key).filter(|postings| !postings.is_empty()) {
                        *kept.enter(number) = std::mem::take(postings);
                    }
                }
                self.entries += left;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_made_for_the_keys_that_have_rows() {
        let mut lists = Lists::default();
        let rows = |key: u32| [Posting { time: i64::from(key), id: 1 }, Posting { time: i64::from(key), id: 2 }];
        let keys = [5_000, 3, 0, 1023, 1024, 4_999, 70_000];
        for key in keys {
            lists.enter(key).extend(rows(key));
        }
        assert!(keys.iter().all(|key| lists.get(*key) == rows(*key)));
        assert!([1, 1025, 2_000, 69_999, 70_001, 1 << 30].iter().all(|key| lists.get(*key).is_empty()));
        assert!(lists.find(2_000).is_none() && lists.find(3).is_some());
        assert!(lists.bytes() < 70_000 * size_of::<Postings>());
    }
}
