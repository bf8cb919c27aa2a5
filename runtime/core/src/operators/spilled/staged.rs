//! The new rows of an epoch, until it is known which buckets are taken together: as they came, each with its bucket. Knows nothing of what they are for.

use crate::batch::{Batch, Order};
use crate::error::RunError;
use crate::operators::internal;
use crate::spill::{Budget, SpillBuffer, batch_bytes};
use arrow::array::{ArrayRef, AsArray, Int64Array, UInt16Array, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, UInt16Type};
use arrow::record_batch::RecordBatch;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The most groups that rows are divided into: each has a file of its own.
pub(super) const MOST_GROUPS: usize = 200;

/// How many columns say where a row stands in the input.
pub(super) const PLACE: usize = 2;

/// Batches of an input, in order.
pub(super) struct Stage {
    input: usize,
    orders: Vec<Order>,
    rows: SpillBuffer,
}

/// See the module.
pub(super) struct Staged {
    budget: Budget,
    stages: BTreeMap<(usize, u32, u32), Stage>,
    /// The bytes of the rows of each bucket, about.
    bytes: Vec<u64>,
    /// How many columns of rows' places are added: [`PLACE`], or none.
    places: usize,
}

impl Staged {
    pub(super) fn new(budget: Budget, buckets: usize, places: usize) -> Staged {
        Staged { budget, stages: BTreeMap::new(), bytes: vec![0; buckets], places }
    }

    /// Takes rows. Within a path and split they come in order.
    pub(super) fn push(&mut self, input: usize, batch: Batch, buckets: &[u16]) -> Result<(), RunError> {
        let Batch { data, order } = batch;
        let bytes = (batch_bytes(&data) / buckets.len().max(1)).max(1) as u64;
        buckets.iter().for_each(|bucket| self.bytes[usize::from(*bucket)] += bytes);
        let places = if input == 0 { self.places } else { 0 };
        let data = with_places(&data, order, places, buckets)?;
        let budget = &self.budget;
        let stage = || Stage { input, orders: vec![], rows: SpillBuffer::leaving_half(budget.clone()) };
        let stage = self.stages.entry((input, order.path, order.split)).or_insert_with(stage);
        stage.orders.push(order);
        stage.rows.push(data)
    }

    /// The rows so far, and their bytes by bucket; there are none from here on.
    pub(super) fn take(&mut self) -> (Staged, Vec<u64>) {
        let count = self.bytes.len();
        let empty = Staged::new(self.budget.clone(), count, self.places);
        let taken = std::mem::replace(self, empty);
        let bytes = taken.bytes.clone();
        (taken, bytes)
    }

    /// The rows of each group of buckets. Every row's bucket is in a group.
    pub(super) fn divided(self, groups: &[Vec<u16>]) -> Result<Vec<Vec<Stage>>, RunError> {
        if groups.len() <= 1 {
            return Ok(groups.iter().zip([self.stages.into_values().collect()]).map(|(_, stages)| stages).collect());
        }
        let mut group_of = vec![0; self.bytes.len()];
        for (group, buckets) in groups.iter().enumerate() {
            buckets.iter().for_each(|bucket| group_of[usize::from(*bucket)] = group);
        }
        let mut divided: Vec<Vec<Stage>> = groups.iter().map(|_| vec![]).collect();
        for Stage { input, orders, rows } in self.stages.into_values() {
            for (order, batch) in orders.into_iter().zip(rows.drain()?) {
                let batch = batch?;
                let mut rows: Vec<Vec<u32>> = vec![vec![]; groups.len()];
                for (row, bucket) in bucket_column(&batch)?.values().iter().enumerate() {
                    rows[group_of[usize::from(*bucket)]].push(row as u32);
                }
                for (stages, rows) in divided.iter_mut().zip(rows).filter(|(_, rows)| !rows.is_empty()) {
                    let part = take_record_batch(&batch, &UInt32Array::from(rows)).map_err(internal)?;
                    if stages.last().is_none_or(|stage| stage.input != input) {
                        stages.push(Stage {
                            input,
                            orders: vec![],
                            rows: SpillBuffer::leaving_half(self.budget.clone()),
                        });
                    }
                    if let Some(stage) = stages.last_mut() {
                        stage.orders.push(order);
                        stage.rows.push(part)?;
                    }
                }
            }
        }
        Ok(divided)
    }
}

impl Stage {
    /// The rows again: the input that they are of, and the batches. `places`: how many of the columns of their places they keep, of so many.
    pub(super) fn batches(
        self,
        (keep, places): (usize, usize),
    ) -> Result<impl Iterator<Item = Result<(usize, Batch), RunError>>, RunError> {
        let Stage { input, orders, rows } = self;
        let dropped = if input == 0 { places - keep } else { 0 };
        Ok(orders.into_iter().zip(rows.drain()?).map(move |(order, batch)| {
            let batch = batch?;
            // The bucket is the last column.
            let columns: Vec<usize> = (0..batch.num_columns() - 1 - dropped).collect();
            Ok((input, Batch { data: batch.project(&columns).map_err(internal)?, order }))
        }))
    }
}

fn bucket_column(batch: &RecordBatch) -> Result<&UInt16Array, RunError> {
    let last = batch.columns().last().and_then(|column| column.as_primitive_opt::<UInt16Type>());
    last.ok_or_else(|| internal("staged rows have no buckets"))
}

/// The rows with the columns of their places, and with their buckets.
fn with_places(data: &RecordBatch, order: Order, places: usize, buckets: &[u16]) -> Result<RecordBatch, RunError> {
    let mut columns: Vec<ArrayRef> = data.columns().to_vec();
    let mut fields: Vec<_> = data.schema().fields().iter().cloned().collect();
    if places == PLACE {
        let first = i64::from(order.path) << 32 | i64::from(order.split);
        let second = i64::from(order.sequence) << 32;
        let rows = buckets.len() as i64;
        columns.push(Arc::new(Int64Array::from(vec![first; buckets.len()])));
        columns.push(Arc::new(Int64Array::from_iter_values((0..rows).map(|row| second | row))));
        fields.extend((0..PLACE).map(|n| Arc::new(Field::new(format!("#place {n}"), DataType::Int64, true))));
    }
    columns.push(Arc::new(UInt16Array::from(buckets.to_vec())));
    fields.push(Arc::new(Field::new("#bucket", DataType::UInt16, false)));
    RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), columns).map_err(internal)
}
