//! The rows of one side: each different one once, with its weight, found by all of its columns or through its key. What an epoch changes waits beside them until
//! its turn comes. Knows nothing of the other side.

use super::super::internal;
use crate::error::RunError;
use crate::keys::{Bytes, Keys, hash_bytes};
use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use hashbrown::HashTable;

/// No row, no change.
pub(super) const NONE: u32 = u32::MAX;

/// A row that an epoch has to do with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Changed {
    pub(super) row: u32,
    /// What is to be added to its weight.
    pub(super) delta: i64,
    /// Its weight before the epoch.
    pub(super) weight: i64,
    /// The weight of its matches before the epoch.
    pub(super) matches: i64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Side {
    columns: Keys,
    rows: Bytes,
    /// From a row's bytes to its number.
    numbers: HashTable<u32>,
    weights: Vec<i64>,
    /// The weight of the rows of the other side that a row matches; where it is not told by the key.
    matches: Option<Vec<i64>>,
    keys: Vec<u32>,
    /// The rows of a key are a list.
    next: Vec<u32>,
    previous: Vec<u32>,
    /// By key, the first row.
    heads: Vec<u32>,
    changes: Vec<u32>,
    changed: Vec<Changed>,
    /// How many rows have a weight.
    live: usize,
    /// Rows from this number on are of this epoch.
    first: u32,
}

/// A quarter more, not twice as much: there may be many millions.
fn push<T>(to: &mut Vec<T>, value: T) {
    if to.len() == to.capacity() {
        to.reserve_exact((to.len() / 4).max(64));
    }
    to.push(value);
}

fn room<T>(of: &Vec<T>) -> usize {
    of.capacity() * size_of::<T>()
}

impl Side {
    /// For rows with columns of these types. `counted`: matches are counted row by row.
    pub(super) fn new(types: &[DataType], counted: bool) -> Result<Side, RunError> {
        Ok(Side {
            columns: Keys::new(types.iter())?,
            rows: Bytes::default(),
            numbers: HashTable::new(),
            weights: vec![],
            matches: counted.then(Vec::new),
            keys: vec![],
            next: vec![],
            previous: vec![],
            heads: vec![],
            changes: vec![],
            changed: vec![],
            live: 0,
            first: 0,
        })
    }

    /// The bytes that it takes, about.
    pub(super) fn bytes(&self) -> usize {
        let lists =
            room(&self.keys) + room(&self.next) + room(&self.previous) + room(&self.heads) + room(&self.changes);
        let weights = room(&self.weights) + self.matches.as_ref().map_or(0, room) + room(&self.changed);
        self.rows.room() + lists + weights + self.numbers.capacity() * (size_of::<u32>() + 2)
    }

    /// How many different rows there are.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// How many rows have a number, gone ones among them.
    pub(super) fn len(&self) -> usize {
        self.weights.len()
    }

    pub(super) fn counts(&self) -> bool {
        self.matches.is_some()
    }

    /// The rows that the epoch has to do with.
    pub(super) fn changed(&self) -> &[Changed] {
        &self.changed
    }

    /// The numbers of rows with these columns, bit by bit; new ones where there are none. `keys`: of the rows. `found` gets each.
    pub(super) fn find(
        &mut self,
        columns: &[ArrayRef],
        keys: &[u32],
        mut found: impl FnMut(&mut Side, usize, u32),
    ) -> Result<(), RunError> {
        // Rows without columns are all the same.
        let encoded = if columns.is_empty() { None } else { Some(self.columns.exact(columns)?) };
        for (place, key) in keys.iter().enumerate() {
            let bytes = encoded.as_ref().map_or(&[][..], |rows| rows.row(place).data());
            let number = self.number(bytes, *key)?;
            found(self, place, number);
        }
        Ok(())
    }

    fn number(&mut self, bytes: &[u8], key: u32) -> Result<u32, RunError> {
        let (hash, rows) = (hash_bytes(bytes), &self.rows);
        if let Some(number) = self.numbers.find(hash, |other| rows.get(*other as usize) == bytes) {
            return Ok(*number);
        }
        let number = u32::try_from(self.rows.len()).ok().filter(|number| *number != NONE);
        let number = number.ok_or_else(|| RunError::data("R0117", "a join keeps more than four billion rows"))?;
        self.rows.push(bytes);
        push(&mut self.weights, 0);
        if let Some(matches) = &mut self.matches {
            push(matches, 0);
        }
        while self.heads.len() <= key as usize {
            push(&mut self.heads, NONE);
        }
        let head = std::mem::replace(&mut self.heads[key as usize], number);
        if head != NONE {
            self.previous[head as usize] = number;
        }
        push(&mut self.keys, key);
        push(&mut self.next, head);
        push(&mut self.previous, NONE);
        push(&mut self.changes, NONE);
        let rows = &self.rows;
        self.numbers.insert_unique(hash, number, |other| hash_bytes(rows.get(*other as usize)));
        Ok(number)
    }

    /// The change of a row; a new one that changes nothing if it has none.
    fn touch(&mut self, row: u32) -> &mut Changed {
        let place = &mut self.changes[row as usize];
        if *place == NONE {
            *place = self.changed.len() as u32;
            let matches = self.matches.as_ref().map_or(0, |matches| matches[row as usize]);
            self.changed.push(Changed { row, delta: 0, weight: self.weights[row as usize], matches });
        }
        &mut self.changed[self.changes[row as usize] as usize]
    }

    /// Lets a change wait.
    pub(super) fn add(&mut self, row: u32, weight: i64) {
        let changed = self.touch(row);
        // Weights are a group: what overflows in between comes back.
        changed.delta = changed.delta.wrapping_add(weight);
    }

    /// The rows whose weight grows (or shrinks).
    pub(super) fn growing(&self, grows: bool) -> Vec<u32> {
        let wanted = self.changed.iter().filter(|changed| changed.delta != 0 && (changed.delta > 0) == grows);
        wanted.map(|changed| changed.row).collect()
    }

    /// What the epoch adds to a row's weight.
    pub(super) fn delta(&self, row: u32) -> i64 {
        self.change(row).map_or(0, |changed| changed.delta)
    }

    /// What the epoch has to do with a row.
    pub(super) fn change(&self, row: u32) -> Option<&Changed> {
        self.changed.get(self.changes[row as usize] as usize)
    }

    /// Changes a row as it waits for it.
    pub(super) fn apply(&mut self, row: u32) {
        let weight = self.weights[row as usize].wrapping_add(self.delta(row));
        self.weigh(row, weight);
    }

    fn weigh(&mut self, row: u32, weight: i64) {
        let before = std::mem::replace(&mut self.weights[row as usize], weight);
        self.live = self.live + usize::from(weight != 0) - usize::from(before != 0);
    }

    pub(super) fn weight(&self, row: u32) -> i64 {
        self.weights[row as usize]
    }

    pub(super) fn key(&self, row: u32) -> u32 {
        self.keys[row as usize]
    }

    /// The weight of a row's matches, where they are counted.
    pub(super) fn matches(&self, row: u32) -> i64 {
        self.matches.as_ref().map_or(0, |matches| matches[row as usize])
    }

    /// Counts more matches of a row, where they are counted.
    pub(super) fn count(&mut self, row: u32, weight: i64) {
        self.touch(row);
        if let Some(matches) = &mut self.matches {
            matches[row as usize] = matches[row as usize].wrapping_add(weight);
        }
    }

    /// Whether the epoch brought a row.
    pub(super) fn is_new(&self, row: u32) -> bool {
        row >= self.first
    }

    /// The first row of a key.
    pub(super) fn head(&self, key: u32) -> u32 {
        self.heads.get(key as usize).copied().unwrap_or(NONE)
    }

    /// The row of its key behind another one.
    pub(super) fn following(&self, row: u32) -> u32 {
        self.next[row as usize]
    }

    /// The columns of rows.
    pub(super) fn columns(&self, rows: &[u32]) -> Result<Vec<ArrayRef>, RunError> {
        self.columns.decode(rows.iter().map(|row| self.rows.get(*row as usize)))
    }

    /// The bytes of a row's columns, about.
    pub(super) fn width(&self, row: u32) -> usize {
        self.rows.get(row as usize).len()
    }

    /// Sets what was stored of a row.
    pub(super) fn restore(&mut self, row: u32, weight: i64, matches: i64) {
        self.weigh(row, weight);
        if let Some(counted) = &mut self.matches {
            counted[row as usize] = matches;
        }
    }

    /// Forgets the rows that the epoch left without a weight.
    pub(super) fn forget(&mut self) -> Result<(), RunError> {
        for place in 0..self.changed.len() {
            let row = self.changed[place].row;
            if self.weights[row as usize] == 0 {
                self.remove(row)?;
            }
        }
        Ok(())
    }

    /// Forgets a row; its number is not used again.
    pub(super) fn remove(&mut self, row: u32) -> Result<(), RunError> {
        let (next, previous) = (self.next[row as usize], self.previous[row as usize]);
        match previous {
            NONE => self.heads[self.keys[row as usize] as usize] = next,
            previous => self.next[previous as usize] = next,
        }
        if next != NONE {
            self.previous[next as usize] = previous;
        }
        let hash = hash_bytes(self.rows.get(row as usize));
        let entry = self.numbers.find_entry(hash, |other| *other == row);
        entry.map_err(|_| internal("a join forgets a row that it does not know"))?.remove();
        Ok(())
    }

    /// The next rows are those of a new epoch.
    pub(super) fn begin(&mut self) {
        for changed in std::mem::take(&mut self.changed) {
            self.changes[changed.row as usize] = NONE;
        }
        self.first = self.weights.len() as u32;
    }
}
