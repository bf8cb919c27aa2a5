//! Numbers the groups that keys fall into. Knows nothing of what is computed for a group.

use super::accumulator::{Places, room};
use crate::batch::RowOrder;
use crate::error::RunError;
use crate::keys::{Bytes, Keys, hash_bytes};
use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use hashbrown::HashTable;

/// Groups, numbered as they come.
#[derive(Debug)]
pub(super) struct Groups {
    keys: Keys,
    /// The key of each group.
    bytes: Bytes,
    /// The place of the first row of each group.
    firsts: Vec<RowOrder>,
    table: HashTable<u32>,
}

/// Which rows fall into groups that were there.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The rows that do.
    pub(super) rows: Vec<u32>,
    /// Their groups.
    pub(super) groups: Vec<u32>,
    /// The other rows, each with the hash of its key.
    pub(super) others: Vec<(u32, u64)>,
}

impl Groups {
    pub(super) fn new(types: &[DataType]) -> Result<Groups, RunError> {
        let keys = Keys::new(types.iter())?;
        Ok(Groups { keys, bytes: Bytes::default(), firsts: vec![], table: HashTable::new() })
    }

    pub(super) fn len(&self) -> usize {
        self.firsts.len()
    }

    /// The bytes that it takes, about.
    pub(super) fn bytes(&self) -> usize {
        // The table has room for an eighth more than its capacity; a slot takes its number and a byte.
        self.bytes.room() + room(&self.firsts) + self.table.capacity() * 6
    }

    /// The group of each row.
    pub(super) fn assign(&mut self, columns: &[ArrayRef], places: &Places) -> Result<Vec<u32>, RunError> {
        let rows = self.keys.encode(columns)?;
        (rows.iter().enumerate()).map(|(i, row)| self.find(row.data(), hash_bytes(row.data()), places.of(i))).collect()
    }

    /// The group of each row whose group there is; no groups are added.
    pub(super) fn known(&mut self, columns: &[ArrayRef], places: &Places) -> Result<Known, RunError> {
        let rows = self.keys.encode(columns)?;
        let mut known = Known::default();
        for (i, row) in rows.iter().enumerate() {
            let hash = hash_bytes(row.data());
            match self.table.find(hash, |group| self.bytes.get(*group as usize) == row.data()) {
                Some(group) => {
                    let first = &mut self.firsts[*group as usize];
                    *first = places.of(i).min(*first);
                    known.rows.push(i as u32);
                    known.groups.push(*group);
                }
                None => known.others.push((i as u32, hash)),
            }
        }
        Ok(known)
    }

    fn find(&mut self, key: &[u8], hash: u64, place: RowOrder) -> Result<u32, RunError> {
        let bytes = &self.bytes;
        if let Some(group) = self.table.find(hash, |group| bytes.get(*group as usize) == key) {
            let first = &mut self.firsts[*group as usize];
            *first = place.min(*first);
            return Ok(*group);
        }
        let group = u32::try_from(self.firsts.len())
            .map_err(|_| RunError::data("R0108", "an aggregate has more than four billion groups"))?;
        self.bytes.push(key);
        if self.firsts.capacity() == self.firsts.len() {
            self.firsts.reserve_exact((self.firsts.len() / 4).max(16));
        }
        self.firsts.push(place);
        let bytes = &self.bytes;
        self.table.insert_unique(hash, group, |group| hash_bytes(bytes.get(*group as usize)));
        Ok(group)
    }

    /// Takes another worker's groups; returns the number here of each group there.
    pub(super) fn merge(&mut self, other: &Groups) -> Result<Vec<u32>, RunError> {
        let group = |i: usize| self.find(other.bytes.get(i), hash_bytes(other.bytes.get(i)), other.firsts[i]);
        (0..other.len()).map(group).collect()
    }

    /// The place of a group's first row.
    pub(super) fn first(&self, group: u32) -> RowOrder {
        self.firsts[group as usize]
    }

    /// All groups by the place of their first row.
    pub(super) fn in_order(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.len() as u32).collect();
        order.sort_unstable_by_key(|group| self.firsts[*group as usize]);
        order
    }

    /// The keys of these groups.
    pub(super) fn columns(&self, order: &[u32]) -> Result<Vec<ArrayRef>, RunError> {
        self.keys.decode(order.iter().map(|group| self.bytes.get(*group as usize)))
    }
}
