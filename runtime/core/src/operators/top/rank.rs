//! Puts rows in the order of their groups, and within them in the wanted order, and finds the first of each group. Knows nothing of what is kept.

use super::super::internal;
use super::Shape;
use crate::error::RunError;
use crate::keys::{Keys, has_floats};
use arrow::array::ArrayRef;
use arrow::compute::{SortOptions, interleave_record_batch};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow::row::Rows;
use flowc_ir::graph;
use std::sync::Arc;

/// A row among batches: which batch, which row.
pub(super) type At = (usize, usize);

/// The order.
#[derive(Debug)]
pub(super) struct Ranking {
    count: usize,
    /// The columns of window and key.
    group: Vec<usize>,
    group_keys: Keys,
    /// The columns of the wanted order, then all columns, so that it does not matter how rows came.
    order: Vec<usize>,
    order_keys: Keys,
    /// Tells rows apart that are equal, but not the same: 0.0 and -0.0.
    exact: Option<Keys>,
}

/// The keys of a batch.
struct Ranked {
    group: Option<Rows>,
    order: Rows,
    exact: Option<Rows>,
}

impl Ranked {
    fn group(&self, row: usize) -> &[u8] {
        self.group.as_ref().map_or(&[], |rows| rows.row(row).data())
    }

    fn key(&self, row: usize) -> (&[u8], &[u8], &[u8]) {
        let exact = self.exact.as_ref().map_or(&[][..], |rows| rows.row(row).data());
        (self.group(row), self.order.row(row).data(), exact)
    }
}

impl Ranking {
    pub(super) fn new(spec: &graph::Top, schema: &SchemaRef) -> Result<Ranking, RunError> {
        let group = Shape::group(spec);
        let data = |column: usize| schema.field(column).data_type().clone();
        let wanted =
            spec.order.iter().map(|c| (c.column, SortOptions { descending: c.descending, nulls_first: c.nulls_first }));
        let all = (0..schema.fields().len()).map(|column| (column, SortOptions::default()));
        let (order, options): (Vec<usize>, Vec<SortOptions>) = wanted.chain(all).unzip();
        let order_keys = Keys::sorted(order.iter().zip(options).map(|(c, o)| (data(*c), o)).collect())?;
        let types: Vec<DataType> = schema.fields().iter().map(|field| field.data_type().clone()).collect();
        let exact = types.iter().any(has_floats).then(|| Keys::new(types.iter())).transpose()?;
        let group_keys = Keys::new(group.iter().map(|c| schema.field(*c).data_type()))?;
        let count = usize::try_from(spec.count).unwrap_or(usize::MAX);
        Ok(Ranking { count, group, group_keys, order, order_keys, exact })
    }

    fn ranked(&self, batch: &RecordBatch) -> Result<Ranked, RunError> {
        let columns = |of: &[usize]| of.iter().map(|c| Arc::clone(batch.column(*c))).collect::<Vec<ArrayRef>>();
        let group = if self.group.is_empty() { None } else { Some(self.group_keys.encode(&columns(&self.group))?) };
        let order = self.order_keys.encode(&columns(&self.order))?;
        let exact = self.exact.as_ref().map(|keys| keys.exact(batch.columns())).transpose()?;
        Ok(Ranked { group, order, exact })
    }

    /// The first rows of each group, group by group.
    pub(super) fn first(&self, batches: &[RecordBatch]) -> Result<Vec<At>, RunError> {
        let ranked = batches.iter().map(|batch| self.ranked(batch)).collect::<Result<Vec<_>, _>>()?;
        let rows = batches.iter().enumerate().flat_map(|(b, batch)| (0..batch.num_rows()).map(move |row| (b, row)));
        let mut rows: Vec<At> = rows.collect();
        // Rows that compare as equal are the same, wherever they stand; of those, the ones of earlier batches come first.
        rows.sort_unstable_by(|a, b| (ranked[a.0].key(a.1), a).cmp(&(ranked[b.0].key(b.1), b)));
        let (mut last, mut rank): (Option<At>, usize) = (None, 0);
        rows.retain(|at| {
            let same = last.is_some_and(|last| ranked[last.0].group(last.1) == ranked[at.0].group(at.1));
            rank = if same { rank + 1 } else { 0 };
            last = Some(*at);
            rank < self.count
        });
        Ok(rows)
    }
}

/// These rows.
pub(super) fn pick(batches: &[RecordBatch], rows: &[At]) -> Result<RecordBatch, RunError> {
    interleave_record_batch(&batches.iter().collect::<Vec<_>>(), rows).map_err(internal)
}
