//! A snapshot of a table in memory: its prepared rows, and a hash table from keys to rows. Nothing of where the rows come from, nor of what is looked up.

use super::NONE;
use crate::error::RunError;
use crate::keys::{Keys, hash_bytes};
use crate::spill::{Held, batch_bytes};
use arrow::array::{Array, ArrayRef};
use arrow::record_batch::RecordBatch;
use arrow::row::Rows;
use hashbrown::HashTable;
use std::sync::Arc;

/// The rows of a table at one version.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(super) table: RecordBatch,
    index: Option<Index>,
    /// Whether a row of the table has a null key.
    pub(super) null_key: bool,
    /// Its part of the memory, until its end.
    held: Vec<Held>,
}

/// From keys to the table's rows.
#[derive(Debug)]
struct Index {
    rows: Rows,
    heads: HashTable<u32>,
    /// The next row with the same key, in the table's order.
    next: Vec<u32>,
}

impl Index {
    fn build(table: &RecordBatch, keys: &Keys, columns: &[usize]) -> Result<Index, RunError> {
        let columns: Vec<ArrayRef> = columns.iter().map(|c| Arc::clone(table.column(*c))).collect();
        let rows = keys.encode(&columns)?;
        let mut heads: HashTable<u32> = HashTable::with_capacity(table.num_rows());
        let mut next = vec![NONE; table.num_rows()];
        // From the last row to the first, so that chains are in the table's order.
        for row in (0..table.num_rows()).rev().filter(|row| columns.iter().all(|c| c.is_valid(*row))) {
            let bytes = rows.row(row).data();
            let same = |other: &u32| rows.row(*other as usize).data() == bytes;
            match heads.find_mut(hash_bytes(bytes), same) {
                Some(head) => {
                    next[row] = *head;
                    *head = row as u32;
                }
                None => {
                    let rehash = |other: &u32| hash_bytes(rows.row(*other as usize).data());
                    heads.insert_unique(hash_bytes(bytes), row as u32, rehash);
                }
            }
        }
        Ok(Index { rows, heads, next })
    }
}

impl Snapshot {
    /// Of these rows, by these key columns; without keys every row is a candidate.
    pub(super) fn new(table: RecordBatch, keys: Option<&Keys>, columns: &[usize]) -> Result<Snapshot, RunError> {
        let null_key = columns.iter().any(|c| table.column(*c).logical_null_count() > 0);
        let index = keys.map(|keys| Index::build(&table, keys, columns)).transpose()?;
        Ok(Snapshot { table, index, null_key, held: vec![] })
    }

    /// The bytes that it takes.
    pub(crate) fn bytes(&self) -> usize {
        let index = |i: &Index| i.rows.size() + i.next.len() * size_of::<u32>() + i.heads.capacity() * 6;
        batch_bytes(&self.table) + self.index.as_ref().map_or(0, index)
    }

    /// Keeps the memory until its end.
    pub(crate) fn hold(&mut self, held: impl IntoIterator<Item = Held>) {
        self.held.extend(held);
    }

    /// The first row with this key; without keys, the first row.
    pub(super) fn first(&self, key: Option<&[u8]>) -> u32 {
        match (&self.index, key) {
            (Some(index), Some(bytes)) => {
                let same = |other: &u32| index.rows.row(*other as usize).data() == bytes;
                index.heads.find(hash_bytes(bytes), same).copied().unwrap_or(NONE)
            }
            _ if self.table.num_rows() == 0 => NONE,
            _ => 0,
        }
    }

    /// The candidate after this one.
    pub(super) fn following(&self, row: u32) -> u32 {
        match &self.index {
            Some(index) => index.next[row as usize],
            None if (row as usize) + 1 < self.table.num_rows() => row + 1,
            None => NONE,
        }
    }
}
