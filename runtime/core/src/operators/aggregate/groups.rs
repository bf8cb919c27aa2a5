//! Numbers the groups that keys fall into, and knows where each begins. Knows nothing of what is computed for a group.

use super::accumulator::{Places, room};
use super::index::KeyIndex;
use crate::batch::RowOrder;
use crate::error::RunError;
use arrow::array::ArrayRef;
use arrow::datatypes::DataType;

/// Groups, numbered as they come.
#[derive(Debug)]
pub(super) struct Groups {
    index: KeyIndex,
    /// The place of the first row of each group.
    firsts: Vec<RowOrder>,
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
        Ok(Groups { index: KeyIndex::new(types, false)?, firsts: vec![] })
    }

    pub(super) fn len(&self) -> usize {
        self.firsts.len()
    }

    /// The bytes that it takes, about.
    pub(super) fn bytes(&self) -> usize {
        self.index.bytes() + room(&self.firsts)
    }

    /// The group of each row.
    pub(super) fn assign(&mut self, columns: &[ArrayRef], places: &Places) -> Result<Vec<u32>, RunError> {
        let encoded = self.index.encode(columns, columns.first().map_or(0, |c| c.len()))?;
        let groups = self.index.assign(&encoded, &[])?;
        groups.iter().enumerate().for_each(|(row, group)| self.note(*group, places.of(row)));
        Ok(groups)
    }

    /// The group of each row whose group there is; no groups are added.
    pub(super) fn known(&mut self, columns: &[ArrayRef], places: &Places) -> Result<Known, RunError> {
        let count = columns.first().map_or(0, |c| c.len());
        let encoded = self.index.encode(columns, count)?;
        let mut known = Known::default();
        for row in 0..count {
            match self.index.find(&encoded, row, 0) {
                Some(group) => {
                    self.note(group, places.of(row));
                    known.rows.push(row as u32);
                    known.groups.push(group);
                }
                None => known.others.push((row as u32, KeyIndex::hash(&encoded, row))),
            }
        }
        Ok(known)
    }

    /// A row of the group stands here.
    fn note(&mut self, group: u32, place: RowOrder) {
        if group as usize == self.firsts.len() {
            if self.firsts.capacity() == self.firsts.len() {
                self.firsts.reserve_exact((self.firsts.len() / 4).max(16));
            }
            self.firsts.push(place);
        }
        let first = &mut self.firsts[group as usize];
        *first = place.min(*first);
    }

    /// Takes another worker's groups; returns the number here of each group there.
    pub(super) fn merge(&mut self, other: &Groups) -> Result<Vec<u32>, RunError> {
        let group = |(theirs, first): (usize, &RowOrder)| {
            let group = self.index.adopt(&other.index, theirs as u32, 0)?;
            self.note(group, *first);
            Ok(group)
        };
        other.firsts.iter().enumerate().map(group).collect()
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
        self.index.columns(order)
    }
}
