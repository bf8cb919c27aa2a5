//! Sums of weighted rows: a Z-set says of each different row how often it is there (see [`flowc_ir::graph::WEIGHT`]). Knows nothing of where rows come from, nor of
//! what becomes of them.

use crate::error::RunError;
use crate::keys::{Keys, hash_bytes};
use crate::operators::internal;
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::buffer::ScalarBuffer;
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{Int64Type, Schema as ArrowSchema, SchemaRef};
use flowc_ir::arrow_types::to_arrow_field;
use flowc_ir::graph::{WEIGHT, weight};
use hashbrown::HashTable;
use std::sync::Arc;

/// Different rows, by flowc's equality, each with its weight, which is not zero.
#[derive(Debug, Clone)]
pub(crate) struct ZSet {
    /// The rows, without the weight, in the order in which they were first seen.
    pub(crate) rows: RecordBatch,
    /// How often each is there; negative: taken away.
    pub(crate) weights: Vec<i64>,
}

/// The position of the weight.
pub(crate) fn weight_position(schema: &ArrowSchema) -> Result<usize, RunError> {
    schema.index_of(WEIGHT).map_err(|_| internal("rows that change have no weight"))
}

/// The weights of rows.
pub(crate) fn weights(batch: &RecordBatch) -> Result<&ScalarBuffer<i64>, RunError> {
    let column = batch.column(weight_position(batch.schema_ref())?);
    let column = column.as_primitive_opt::<Int64Type>().filter(|column| column.null_count() == 0);
    let column = column.ok_or_else(|| internal("a weight is no number"))?;
    Ok(column.values())
}

/// The rows, each with this weight behind it.
pub(crate) fn weighted(rows: &RecordBatch, weights: Vec<i64>) -> Result<RecordBatch, RunError> {
    let mut fields: Vec<_> = rows.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(to_arrow_field(&weight())));
    let mut columns = rows.columns().to_vec();
    columns.push(Arc::new(Int64Array::from(weights)));
    RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), columns).map_err(internal)
}

/// A batch with these rows of another.
pub(crate) fn chosen(batch: &RecordBatch, rows: Vec<u32>) -> Result<RecordBatch, RunError> {
    take_record_batch(batch, &UInt32Array::from(rows)).map_err(internal)
}

impl ZSet {
    /// The sum of batches of one schema, which has a weight. `schema`: of what comes of no batches, with a weight, too.
    pub(crate) fn sum(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<ZSet, RunError> {
        let schema = batches.first().map_or_else(|| Arc::clone(schema), RecordBatch::schema);
        let all = concat_batches(&schema, batches).map_err(internal)?;
        let at = weight_position(&schema)?;
        let others: Vec<usize> = (0..schema.fields().len()).filter(|column| *column != at).collect();
        let (rows, weights) = (all.project(&others).map_err(internal)?, weights(&all)?);
        let keys = encoded(rows.columns())?;
        let key = |row: usize| keys.as_ref().map_or(&[][..], |keys| keys.row(row).data());
        let mut places: HashTable<u32> = HashTable::with_capacity(rows.num_rows());
        let (mut distinct, mut sums): (Vec<u32>, Vec<i64>) = (vec![], vec![]);
        for (row, weight) in weights.iter().enumerate() {
            let hash = hash_bytes(key(row));
            let same = |place: &u32| key(distinct[*place as usize] as usize) == key(row);
            match places.find(hash, same).copied() {
                // Weights are a group: what overflows in between comes back.
                Some(place) => sums[place as usize] = sums[place as usize].wrapping_add(*weight),
                None => {
                    let again = |place: &u32| hash_bytes(key(distinct[*place as usize] as usize));
                    places.insert_unique(hash, distinct.len() as u32, again);
                    distinct.push(row as u32);
                    sums.push(*weight);
                }
            }
        }
        let left = |place: &usize| sums[*place] != 0;
        let left: Vec<usize> = (0..distinct.len()).filter(left).collect();
        let rows = chosen(&rows, left.iter().map(|place| distinct[*place]).collect())?;
        Ok(ZSet { rows, weights: left.into_iter().map(|place| sums[place]).collect() })
    }

    /// A row that is taken away more often than it is there; none: there is no such row.
    pub(crate) fn negative(&self) -> Option<usize> {
        self.weights.iter().position(|weight| *weight < 0)
    }

    /// The rows, each as often as it is there; those with a negative weight are left out.
    pub(crate) fn repeated(&self) -> Result<RecordBatch, RunError> {
        let times = |(row, weight): (usize, &i64)| std::iter::repeat_n(row as u32, (*weight).max(0) as usize);
        chosen(&self.rows, self.weights.iter().enumerate().flat_map(times).collect())
    }
}

/// The rows in the form in which they are compared; none: they have no columns, so they are all equal.
pub(crate) fn encoded(columns: &[ArrayRef]) -> Result<Option<arrow::row::Rows>, RunError> {
    if columns.is_empty() {
        return Ok(None);
    }
    Keys::new(columns.iter().map(|column| column.data_type()))?.encode(columns).map(Some)
}

/// The first columns of a batch, under this schema.
pub(crate) fn leading(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, RunError> {
    let columns = batch.columns().iter().take(schema.fields().len()).cloned().collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).map_err(internal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float64Array, StringArray};

    fn batch(rows: &[(f64, &str, i64)]) -> RecordBatch {
        let numbers: ArrayRef = Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.0)));
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1)));
        let plain = RecordBatch::try_from_iter([("n", numbers), ("t", texts)]).unwrap();
        weighted(&plain, rows.iter().map(|row| row.2).collect()).unwrap()
    }

    #[test]
    fn equal_rows_are_counted_together_and_what_cancels_is_gone() {
        let first = batch(&[(f64::NAN, "a", 1), (0.0, "b", 2), (1.0, "c", 1)]);
        let second = batch(&[(-f64::NAN, "a", 1), (-0.0, "b", -2), (1.0, "d", -1), (1.0, "c", 1)]);
        let sum = ZSet::sum(&first.schema(), &[first.clone(), second]).unwrap();
        assert_eq!(sum.weights, [2, 2, -1]);
        assert_eq!(sum.negative(), Some(2));
        let texts = |batch: &RecordBatch| {
            batch.column(1).as_string::<i32>().iter().flatten().map(str::to_string).collect::<Vec<_>>()
        };
        assert_eq!(texts(&sum.rows), ["a", "c", "d"]);
        assert_eq!(texts(&sum.repeated().unwrap()), ["a", "a", "c", "c"]);
        let nothing = ZSet::sum(&first.schema(), &[]).unwrap();
        assert_eq!((nothing.rows.num_rows(), nothing.rows.num_columns(), nothing.negative()), (0, 2, None));
    }
}
