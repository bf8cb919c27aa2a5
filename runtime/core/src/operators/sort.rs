//! Orders bounded input; ties stay in the order of the input. Rows that memory does not hold are sorted in runs, kept in temporary files, and merged.

use super::{Blocking, Fault, Outputs, internal};
use crate::batch::Batch;
use crate::error::RunError;
use crate::keys::Keys;
use crate::spill::{Budget, Held, batch_bytes, create, reopen, spill_error};
use arrow::array::{ArrayRef, AsArray, BinaryArray};
use arrow::compute::{SortOptions, interleave_record_batch};
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef};
use arrow::record_batch::RecordBatch;
use flowc_ir::Schema;
use flowc_ir::arrow_types::to_arrow_schema;
use flowc_ir::graph::SortColumn;
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex, PoisonError};

pub(super) use crate::spill::Reader as RunReader;

/// The operator.
#[derive(Debug)]
pub struct Sort {
    columns: Vec<usize>,
    keys: Keys,
    schema: SchemaRef,
    batch_rows: usize,
    budget: Budget,
    workers: Vec<Mutex<Rows>>,
}

/// The rows of a worker: each batch has the key of its rows as an additional last column.
#[derive(Debug, Default)]
struct Rows {
    batches: Vec<RecordBatch>,
    held: usize,
    runs: Vec<RunReader>,
}

impl Sort {
    /// Orders rows of this schema.
    pub(crate) fn new(
        columns: &[SortColumn],
        schema: &Schema,
        workers: usize,
        batch_rows: usize,
        budget: Budget,
    ) -> Result<Sort, RunError> {
        let schema = to_arrow_schema(schema);
        let key = |c: &SortColumn| {
            let options = SortOptions { descending: c.descending, nulls_first: c.nulls_first };
            (schema.field(c.column).data_type().clone(), options)
        };
        let keys = Keys::sorted(columns.iter().map(key).collect())?;
        let workers = (0..workers).map(|_| Mutex::default()).collect();
        let columns = columns.iter().map(|c| c.column).collect();
        Ok(Sort { columns, keys, schema, batch_rows, budget, workers })
    }

    /// Adds the key column: the sort key, then the row's place, so that no two keys are equal.
    fn keyed(&self, batch: &Batch) -> Result<RecordBatch, RunError> {
        let columns: Vec<ArrayRef> = self.columns.iter().map(|c| Arc::clone(batch.data.column(*c))).collect();
        let rows = self.keys.encode(&columns)?;
        let first = batch.order.first_row();
        let mut bytes = vec![];
        let keys = BinaryArray::from_iter_values((0..batch.data.num_rows()).map(|row| {
            bytes.clear();
            bytes.extend_from_slice(rows.row(row).data());
            bytes.extend_from_slice(&(first + row as u128).to_be_bytes());
            bytes.clone()
        }));
        let mut columns = batch.data.columns().to_vec();
        columns.push(Arc::new(keys));
        let mut fields: Vec<_> = self.schema.fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new("", DataType::Binary, false)));
        RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), columns).map_err(internal)
    }

    /// Sorts what a worker holds into batches.
    fn sorted(&self, batches: Vec<RecordBatch>) -> impl Iterator<Item = Result<RecordBatch, RunError>> + use<> {
        let mut order: Vec<(usize, usize)> =
            batches.iter().enumerate().flat_map(|(b, batch)| (0..batch.num_rows()).map(move |row| (b, row))).collect();
        {
            let keys: Vec<&BinaryArray> = batches.iter().map(key_column).collect();
            order.sort_unstable_by(|a, b| keys[a.0].value(a.1).cmp(keys[b.0].value(b.1)));
        }
        let (mut next, batch_rows) = (0, self.batch_rows);
        std::iter::from_fn(move || {
            let end = order.len().min(next + batch_rows);
            let part = &order[next..end];
            next = end;
            if part.is_empty() {
                return None;
            }
            let refs: Vec<&RecordBatch> = batches.iter().collect();
            Some(interleave_record_batch(&refs, part).map_err(internal))
        })
    }

    /// Writes what a worker holds to a temporary file, sorted.
    fn spill(&self, rows: &mut Rows) -> Result<(), RunError> {
        let mut file = None;
        for batch in self.sorted(std::mem::take(&mut rows.batches)) {
            let batch = batch?;
            let file = match &mut file {
                Some(file) => file,
                none => none.insert(create(&self.budget.directory, batch.schema())?),
            };
            file.write(&batch).map_err(spill_error)?;
        }
        self.budget.give(std::mem::take(&mut rows.held));
        rows.runs.extend(file.map(reopen).transpose()?);
        Ok(())
    }
}

fn key_column(batch: &RecordBatch) -> &BinaryArray {
    batch.column(batch.num_columns() - 1).as_binary::<i32>()
}

impl Blocking for Sort {
    fn push(&self, worker: usize, batch: Batch) -> Result<(), Fault> {
        let mut rows = self.workers[worker].lock().unwrap_or_else(PoisonError::into_inner);
        let keyed = self.keyed(&batch)?;
        let bytes = batch_bytes(&keyed);
        if !self.budget.take(bytes) {
            self.spill(&mut rows)?;
            // A single batch is held even if it alone exceeds what is left.
            if !self.budget.take(bytes) {
                rows.batches.push(keyed);
                return Ok(self.spill(&mut rows)?);
            }
        }
        rows.held += bytes;
        rows.batches.push(keyed);
        Ok(())
    }

    fn finish(&self) -> Result<Outputs<'static>, Fault> {
        let (mut batches, mut runs, mut held) = (vec![], vec![], 0);
        for worker in &self.workers {
            let rows = std::mem::take(&mut *worker.lock().unwrap_or_else(PoisonError::into_inner));
            batches.extend(rows.batches);
            runs.extend(rows.runs);
            held += rows.held;
        }
        let mut inputs: Vec<Sorted> =
            runs.into_iter().map(|r| Box::new(r.map(|b| b.map_err(spill_error))) as Sorted).collect();
        if !batches.is_empty() {
            inputs.push(Box::new(self.sorted(batches)));
        }
        let merge = Merge::new(inputs, self.batch_rows, Held::taken(self.budget.clone(), held))?;
        let width = self.schema.fields().len();
        let unkeyed = move |batch: RecordBatch| batch.project(&(0..width).collect::<Vec<_>>()).map_err(Fault::from);
        Ok(Box::new(merge.map(move |batch| batch.map_err(Fault::from).and_then(unkeyed))))
    }
}

pub(super) type Sorted = Box<dyn Iterator<Item = Result<RecordBatch, RunError>> + Send>;

/// Merges sorted inputs: batches whose last column has the keys, which are all different.
pub(super) struct Merge {
    inputs: Vec<Sorted>,
    /// The current batch of each input.
    current: Vec<Option<RecordBatch>>,
    /// The next row of each input, least first.
    heap: BinaryHeap<std::cmp::Reverse<(Vec<u8>, usize, usize)>>,
    batch_rows: usize,
    _held: Held,
}

impl Merge {
    pub(super) fn new(inputs: Vec<Sorted>, batch_rows: usize, held: Held) -> Result<Merge, RunError> {
        let current = inputs.iter().map(|_| None).collect();
        let mut merge = Merge { inputs, current, heap: BinaryHeap::new(), batch_rows, _held: held };
        for input in 0..merge.inputs.len() {
            merge.load(input)?;
        }
        Ok(merge)
    }

    /// Takes the next batch of an input.
    fn load(&mut self, input: usize) -> Result<(), RunError> {
        self.current[input] = self.inputs[input].next().transpose()?;
        if let Some(batch) = &self.current[input] {
            let key = key_column(batch).value(0).to_vec();
            self.heap.push(std::cmp::Reverse((key, input, 0)));
        }
        Ok(())
    }

    /// Up to `batch_rows` rows; ends earlier when an input needs its next batch, because rows refer to the current ones.
    fn part(&mut self) -> Result<Option<RecordBatch>, RunError> {
        if let ([_], Some(batch)) = (self.inputs.as_slice(), self.current.first().cloned().flatten()) {
            self.heap.clear();
            self.load(0)?;
            return Ok(Some(batch));
        }
        let mut order = vec![];
        let mut exhausted = None;
        while let Some(std::cmp::Reverse((_, input, row))) = self.heap.pop() {
            order.push((input, row));
            match &self.current[input] {
                Some(batch) if row + 1 < batch.num_rows() => {
                    let key = key_column(batch).value(row + 1).to_vec();
                    self.heap.push(std::cmp::Reverse((key, input, row + 1)));
                }
                _ => {
                    exhausted = Some(input);
                    break;
                }
            }
            if order.len() == self.batch_rows {
                break;
            }
        }
        if order.is_empty() {
            return Ok(None);
        }
        let live: Vec<usize> = (0..self.inputs.len()).filter(|i| self.current[*i].is_some()).collect();
        let place = |input: usize| live.iter().position(|i| *i == input).unwrap_or(0);
        let batches: Vec<&RecordBatch> = self.current.iter().flatten().collect();
        let order: Vec<(usize, usize)> = order.into_iter().map(|(input, row)| (place(input), row)).collect();
        let part = interleave_record_batch(&batches, &order).map_err(internal)?;
        if let Some(input) = exhausted {
            self.load(input)?;
        }
        Ok(Some(part))
    }
}

impl Iterator for Merge {
    type Item = Result<RecordBatch, RunError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.part().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Order;
    use arrow::array::{Float64Array, Int64Array};
    use arrow::datatypes::{Float64Type, Int64Type};
    use flowc_ir::{DataType, Field, Type};

    /// Rows (x, n): n is the row's place in the input.
    fn sorted(xs: &[Option<f64>], descending: bool, memory: usize, batch: usize) -> Vec<(Option<u64>, i64)> {
        let fields =
            vec![Field::new("x", Type::nullable(DataType::Double)), Field::new("n", Type::new(DataType::Long))];
        let schema = Schema::new(fields);
        let directory = tempfile::tempdir().unwrap();
        let column = SortColumn { column: 0, descending, nulls_first: !descending };
        let sort = Sort::new(&[column], &schema, 2, batch, Budget::new(memory, directory.path())).unwrap();
        // Splits arrive from the last to the first, from two workers.
        for (split, part) in xs.chunks(batch).enumerate().collect::<Vec<_>>().into_iter().rev() {
            let first = (split * batch) as i64;
            let n = Int64Array::from_iter_values(first..first + part.len() as i64);
            let x = Float64Array::from(part.to_vec());
            let data = RecordBatch::try_new(to_arrow_schema(&schema), vec![Arc::new(x), Arc::new(n)]).unwrap();
            sort.push(split % 2, Batch { data, order: Order { split: split as u32, ..Order::default() } }).unwrap();
        }
        let mut rows = vec![];
        for out in sort.finish().unwrap() {
            let out = out.unwrap();
            let (x, n) = (out.column(0).as_primitive::<Float64Type>(), out.column(1).as_primitive::<Int64Type>());
            rows.extend(x.iter().map(|x| x.map(f64::to_bits)).zip(n.values().iter().copied()));
        }
        rows
    }

    #[test]
    fn total_order_with_ties_in_input_order_whatever_the_memory() {
        let xs = [
            Some(2.0),
            None,
            Some(-0.0),
            Some(f64::NAN),
            Some(0.0),
            Some(1.0),
            Some(f64::INFINITY),
            None,
            Some(-1.0),
            Some(1.0),
        ];
        let places = |rows: Vec<(Option<u64>, i64)>| rows.into_iter().map(|(_, n)| n).collect::<Vec<_>>();
        for memory in [0, 150, 1 << 20] {
            for batch in [1, 3, 1024] {
                assert_eq!(
                    places(sorted(&xs, false, memory, batch)),
                    [1, 7, 8, 2, 4, 5, 9, 0, 6, 3],
                    "{memory} {batch}"
                );
                assert_eq!(
                    places(sorted(&xs, true, memory, batch)),
                    [3, 6, 0, 5, 9, 2, 4, 8, 1, 7],
                    "{memory} {batch}"
                );
            }
        }
        // Values come out as they went in: -0.0 stays -0.0.
        assert_eq!(sorted(&xs, false, 0, 3)[3], (Some((-0.0_f64).to_bits()), 2));
    }
}
