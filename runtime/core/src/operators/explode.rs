//! A row for each element of an array column, in order; none for null or empty. The array stays, the element becomes the last column.

use super::{Fault, Outputs, Stateless};
use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use std::sync::Arc;

/// The operator.
#[derive(Debug)]
pub struct Explode {
    /// The array's position.
    pub column: usize,
    /// The columns that come out.
    pub schema: SchemaRef,
    /// The most rows of a batch that comes out.
    pub batch_rows: usize,
}

impl Stateless for Explode {
    fn process<'a>(&'a self, input: RecordBatch) -> Outputs<'a> {
        let mut next = (0, 0);
        Box::new(std::iter::from_fn(move || self.chunk(&input, &mut next).transpose()))
    }
}

impl Explode {
    /// The next rows; `next` is the row and the element in it where they begin.
    fn chunk(&self, input: &RecordBatch, next: &mut (usize, usize)) -> Result<Option<RecordBatch>, Fault> {
        let list = input.column(self.column).as_list::<i32>();
        let offsets = list.value_offsets();
        let (mut rows, mut elements) = (vec![], vec![]);
        while next.0 < input.num_rows() && rows.len() < self.batch_rows {
            let (row, skip) = *next;
            let length = if list.is_valid(row) { (offsets[row + 1] - offsets[row]) as usize } else { 0 };
            let taken = (length - skip).min(self.batch_rows - rows.len());
            let first = offsets[row] as u32 + skip as u32;
            rows.extend(std::iter::repeat_n(row as u32, taken));
            elements.extend(first..first + taken as u32);
            *next = if skip + taken == length { (row + 1, 0) } else { (row, skip + taken) };
        }
        if rows.is_empty() {
            return Ok(None);
        }
        let (rows, elements) = (UInt32Array::from(rows), UInt32Array::from(elements));
        let mut columns = input.columns().iter().map(|c| take(c, &rows, None)).collect::<Result<Vec<ArrayRef>, _>>()?;
        columns.push(take(list.values(), &elements, None)?);
        Ok(Some(RecordBatch::try_new(Arc::clone(&self.schema), columns)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, ListArray};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};

    #[test]
    fn elements_in_order_whatever_the_chunks() {
        let list = ListArray::from_iter_primitive::<Int64Type, _, _>(vec![
            Some(vec![Some(1), None, Some(3)]),
            None,
            Some(vec![]),
            Some(vec![Some(4)]),
            Some(vec![Some(5), Some(6)]),
        ]);
        let id = Int64Array::from_iter_values(0..5);
        let fields = [Field::new("id", DataType::Int64, false), Field::new("xs", list.data_type().clone(), true)];
        let input =
            RecordBatch::try_new(Arc::new(Schema::new(fields.to_vec())), vec![Arc::new(id), Arc::new(list)]).unwrap();
        let input = input.slice(0, 5);
        let mut fields = fields.to_vec();
        fields.push(Field::new("x", DataType::Int64, true));
        for batch_rows in 1..8 {
            let explode = Explode { column: 1, schema: Arc::new(Schema::new(fields.clone())), batch_rows };
            let mut seen = vec![];
            for from in [0, 3] {
                let slice = input.slice(from, if from == 0 { 3 } else { 2 });
                for out in explode.process(slice) {
                    let out = out.unwrap();
                    assert!(out.num_rows() <= batch_rows);
                    let (ids, xs) = (out.column(0).as_primitive::<Int64Type>(), out.column(2));
                    let xs = xs.as_primitive::<Int64Type>();
                    seen.extend(ids.values().iter().copied().zip(xs.iter()));
                }
            }
            let expected = [(0, Some(1)), (0, None), (0, Some(3)), (3, Some(4)), (4, Some(5)), (4, Some(6))];
            assert_eq!(seen, expected, "batches of {batch_rows}");
        }
    }
}
