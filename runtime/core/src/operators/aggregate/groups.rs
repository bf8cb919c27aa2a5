//! Numbers the groups that keys fall into. Knows nothing of what is computed for a group.

use crate::batch::RowOrder;
use crate::error::RunError;
use crate::keys::{Bytes, Keys, hash_bytes};
use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use hashbrown::HashTable;

/// The groups of a worker, numbered as they come.
#[derive(Debug)]
pub(super) struct Groups {
    keys: Keys,
    /// The key of each group.
    bytes: Bytes,
    hashes: Vec<u64>,
    /// The place of the first row of each group.
    firsts: Vec<RowOrder>,
    table: HashTable<u32>,
}

impl Groups {
    pub(super) fn new(types: &[DataType]) -> Result<Groups, RunError> {
        let keys = Keys::new(types.iter())?;
        Ok(Groups { keys, bytes: Bytes::default(), hashes: vec![], firsts: vec![], table: HashTable::new() })
    }

    pub(super) fn len(&self) -> usize {
        self.firsts.len()
    }

    /// The group of each row.
    pub(super) fn assign(&mut self, columns: &[ArrayRef], first: RowOrder) -> Result<Vec<u32>, RunError> {
        let rows = self.keys.encode(columns)?;
        (rows.iter().enumerate())
            .map(|(i, row)| self.find(row.data(), hash_bytes(row.data()), first + i as RowOrder))
            .collect()
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
        self.hashes.push(hash);
        self.firsts.push(place);
        let hashes = &self.hashes;
        self.table.insert_unique(hash, group, |group| hashes[*group as usize]);
        Ok(group)
    }

    /// Takes another worker's groups; returns the number here of each group there.
    pub(super) fn merge(&mut self, other: &Groups) -> Result<Vec<u32>, RunError> {
        let group = |i: usize| self.find(other.bytes.get(i), other.hashes[i], other.firsts[i]);
        (0..other.len()).map(group).collect()
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
