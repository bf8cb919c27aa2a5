//! The first rows of each key, by an order; ties are broken by the other columns. Of rows that are only added, those that are not among the first are forgotten. Knows
//! nothing of epochs.

use super::keyed_rows::{Kept, Shape};
use super::zset::{Codec, Entry, Owned, Zset, begin, owned, split};
use crate::error::RunError;
use crate::operators::Fault;
use crate::operators::internal;
use arrow::array::{ArrayRef, Int64Array};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use flowc_ir::graph::{Top, WEIGHT};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The order, and how many rows there are.
#[derive(Debug)]
pub(super) struct Ranking {
    count: u64,
    /// Where the weight is in what goes in; none: rows are only added.
    weight: Option<usize>,
    /// Where it is in what comes out.
    placed: usize,
    /// The order, by the positions without the weight.
    order: Vec<(usize, SortOptions)>,
}

impl Ranking {
    pub(super) fn new(spec: &Top, output: &SchemaRef, weight: Option<usize>) -> Result<Ranking, RunError> {
        let placed = output.index_of(WEIGHT).map_err(internal)?;
        let at = |column: usize| column - usize::from(weight.is_some_and(|weight| weight < column));
        let options = |descending, nulls_first| SortOptions { descending, nulls_first };
        let order = spec.order.iter().map(|c| (at(c.column), options(c.descending, c.nulls_first))).collect();
        Ok(Ranking { count: spec.count, weight, placed, order })
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Whether rows are only added.
    pub(super) fn appends(&self) -> bool {
        self.weight.is_none()
    }

    /// The types of the rows without their weight.
    pub(super) fn types(&self, input: &SchemaRef) -> Vec<DataType> {
        let fields = input.fields().iter().enumerate().filter(|(column, _)| Some(*column) != self.weight);
        fields.map(|(_, field)| field.data_type().clone()).collect()
    }

    pub(super) fn codec(&self, types: &[DataType]) -> Result<Codec, RunError> {
        Codec::new(types, &self.order)
    }

    /// Rows without their weight.
    pub(super) fn columns(&self, rows: &RecordBatch) -> Vec<ArrayRef> {
        let columns = rows.columns().iter().enumerate().filter(|(column, _)| Some(*column) != self.weight);
        columns.map(|(_, column)| Arc::clone(column)).collect()
    }

    /// The first rows of a key, with how often each is among them.
    fn first<'a>(&self, rows: &'a Zset, key: &[u8]) -> impl Iterator<Item = Entry<'a>> + use<'a> {
        let mut left = i64::try_from(self.count).unwrap_or(i64::MAX);
        let there = rows.of(key).filter(|(_, weight)| *weight > 0);
        there.map_while(move |(entry, weight)| {
            let taken = weight.min(left);
            left -= taken;
            (taken > 0).then_some((entry, taken))
        })
    }

    /// Adds what the epoch brought for these keys; what comes out for them.
    pub(super) fn differences(
        &self,
        shape: &Shape,
        kept: &mut Kept,
        delta: &Zset,
        keys: &[Box<[u8]>],
    ) -> Result<Option<RecordBatch>, Fault> {
        let mut out: Vec<Owned> = vec![];
        for key in keys {
            let mut changed: BTreeMap<Box<[u8]>, i64> = BTreeMap::new();
            changed.extend(self.first(&kept.rows, key).map(|(entry, weight)| (entry.into(), -weight)));
            delta.of(key).for_each(|(entry, weight)| kept.add(entry, weight));
            let mut last: Option<Entry<'_>> = None;
            for (entry, weight) in self.first(&kept.rows, key) {
                last = Some((entry, weight));
                match changed.get_mut(entry) {
                    Some(known) => *known += weight,
                    None => drop(changed.insert(entry.into(), weight)),
                }
            }
            if self.appends() {
                let last = last.map(owned);
                self.forget(kept, key, last);
            }
            out.extend(changed.into_iter().filter(|(_, weight)| *weight != 0));
        }
        if out.is_empty() {
            return Ok(None);
        }
        let mut columns = shape.codec.decode(out.iter().map(|(entry, _)| split(entry).1))?;
        let weights = Int64Array::from_iter_values(out.iter().map(|(_, weight)| *weight));
        columns.insert(self.placed, Arc::new(weights));
        Ok(Some(RecordBatch::try_new(Arc::clone(&shape.output), columns)?))
    }

    /// Forgets the rows of a key behind its last one that is among the first, which is there so often.
    fn forget(&self, kept: &mut Kept, key: &[u8], last: Option<Owned>) {
        let mut start = vec![];
        begin(key, &mut start);
        let from = last.as_ref().map_or(&[][..], |(entry, _)| split(entry).1);
        let behind: Vec<Owned> = kept.rows.from(key, from).map(owned).collect();
        for (entry, weight) in behind {
            let stays = last.as_ref().filter(|(last, _)| *last == entry).map_or(0, |(_, weight)| *weight);
            if weight != stays {
                kept.add(&entry, stays - weight);
            }
        }
    }
}
