//! Puts rows in the order of their event times, whatever the order in which they came. Knows nothing of what is done with them.

use super::super::sort::Sort;
use super::super::{Blocking, Fault, Outputs};
use crate::batch::{Batch, Order};
use crate::error::RunError;
use crate::keys::{Keys, hash_bytes};
use crate::spill::{Budget, Held};
use arrow::array::{Int64Array, RecordBatchOptions};
use arrow::datatypes::{DataType as A, SchemaRef};
use arrow::record_batch::RecordBatch;
use flowc_ir::arrow_types::to_arrow_schema;
use flowc_ir::graph::SortColumn;
use flowc_ir::{DataType, Field, Schema, Type};
use std::sync::Arc;

/// Puts rows in the order of their times, and those of one time in the order of a hash of the row.
pub(in crate::operators) struct Sorting {
    sort: Sort,
    input: SchemaRef,
    /// The same with the hash behind it.
    schema: SchemaRef,
    keys: Keys,
    pushed: u32,
    /// Its part of the memory.
    held: Held,
}

impl Sorting {
    /// Of rows of this schema with their event time at this position. It takes so much of the memory, if there is so much; other rows are sorted in files.
    pub(in crate::operators) fn new(
        time: usize,
        input: &Schema,
        batch_rows: usize,
        budget: &Budget,
        bytes: usize,
    ) -> Result<Sorting, RunError> {
        let hash = Field::new("#hash", Type::new(DataType::Long));
        let schema = Schema::new(input.fields.iter().cloned().chain([hash]).collect());
        let column = |column: usize| SortColumn { column, descending: false, nulls_first: true };
        let columns = [column(time), column(schema.fields.len() - 1)];
        let mut held = Held::new(budget.clone());
        let part = Budget::new(if held.grow_to(bytes) { bytes } else { 0 }, &budget.directory);
        let sort = Sort::new(&columns, &schema, 1, batch_rows, part)?;
        let (input, schema) = (to_arrow_schema(input), to_arrow_schema(&schema));
        let types: Vec<A> = input.fields().iter().map(|field| field.data_type().clone()).collect();
        Ok(Sorting { sort, input, schema, keys: Keys::new(types.iter())?, pushed: 0, held })
    }

    /// The rows in order.
    pub(in crate::operators) fn finish(self) -> Result<Outputs<'static>, Fault> {
        let Sorting { sort, input: schema, held, .. } = self;
        let width = schema.fields().len();
        Ok(Box::new(sort.finish()?.map(move |batch| {
            let _held = &held;
            let batch = batch?.project(&(0..width).collect::<Vec<_>>())?;
            Ok(batch.with_schema(Arc::clone(&schema))?)
        })))
    }

    pub(in crate::operators) fn push(&mut self, batch: RecordBatch) -> Result<(), Fault> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let rows = self.keys.exact(batch.columns())?;
        let hashes = Int64Array::from_iter_values(rows.iter().map(|row| hash_bytes(row.data()) as i64));
        let mut columns = batch.columns().to_vec();
        columns.push(Arc::new(hashes));
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let data = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        let order = Order { path: 0, split: 0, sequence: self.pushed };
        self.pushed += 1;
        self.sort.push(0, Batch { data, order })
    }
}
