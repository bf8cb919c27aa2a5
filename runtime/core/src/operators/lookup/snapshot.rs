//! A snapshot of a table in memory: its prepared rows, and an index from keys to rows. Nothing of where the rows come from, nor of what is looked up.

use super::NONE;
use super::index::{Encoded, Form, Index};
use crate::error::RunError;
use crate::spill::{Held, batch_bytes};
use arrow::array::{Array, ArrayRef};
use arrow::record_batch::RecordBatch;
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

impl Snapshot {
    /// Of these rows, by these key columns; without keys every row is a candidate.
    pub(super) fn new(table: RecordBatch, keys: Option<&Form>, columns: &[usize]) -> Result<Snapshot, RunError> {
        let columns: Vec<ArrayRef> = columns.iter().map(|c| Arc::clone(table.column(*c))).collect();
        let null_key = columns.iter().any(|c| c.logical_null_count() > 0);
        let index = keys.map(|keys| Index::build(keys, &columns, table.num_rows())).transpose()?;
        Ok(Snapshot { table, index, null_key, held: vec![] })
    }

    /// The bytes that it takes.
    pub(crate) fn bytes(&self) -> usize {
        batch_bytes(&self.table) + self.index.as_ref().map_or(0, Index::bytes)
    }

    /// Keeps the memory until its end.
    pub(crate) fn hold(&mut self, held: impl IntoIterator<Item = Held>) {
        self.held.extend(held);
    }

    /// The first row with the key of a row; without keys, the first row.
    pub(super) fn first(&self, keys: Option<&Encoded>, row: usize) -> u32 {
        match (&self.index, keys) {
            (Some(index), Some(keys)) => index.first(keys, row),
            _ => self.any(),
        }
    }

    /// As [`Snapshot::first`], for each of so many rows.
    pub(super) fn firsts(&self, keys: Option<&Encoded>, count: usize) -> Vec<u32> {
        match (&self.index, keys) {
            (Some(index), Some(keys)) => index.firsts(keys, count),
            _ => vec![self.any(); count],
        }
    }

    fn any(&self) -> u32 {
        if self.table.num_rows() == 0 { NONE } else { 0 }
    }

    /// Whether no row has a candidate after its first.
    pub(super) fn is_unique(&self) -> bool {
        self.index.as_ref().is_some_and(Index::is_unique)
    }

    /// The candidate after this one.
    pub(super) fn following(&self, row: u32) -> u32 {
        match &self.index {
            Some(index) => index.following(row),
            None if (row as usize) + 1 < self.table.num_rows() => row + 1,
            None => NONE,
        }
    }
}
