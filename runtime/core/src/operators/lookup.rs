//! Looks rows up in the snapshot of a table that the epoch pinned. The snapshot is in memory: its rows, and a hash table from keys to rows. Nothing of where
//! the rows come from.

use super::transform::run_kernel;
use super::{Fault, Outputs, Stateless, internal};
use crate::error::RunError;
use crate::keys::{Keys, hash_bytes};
use crate::spill::{Held, batch_bytes};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, UInt32Array, new_null_array};
use arrow::compute::{concat_batches, filter_record_batch, take};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use arrow::row::Rows;
use flowc_ir::arrow_types::to_arrow_schema;
use flowc_ir::eval::{EvalContext, Kernel};
use flowc_ir::graph::{self, LookupKind, NodeId};
use flowc_ir::plan::KernelSlot;
use hashbrown::HashTable;
use std::sync::Arc;

/// Marks the end of a chain of rows with equal keys, and a row without a match.
const NONE: u32 = u32::MAX;

/// The operator.
#[derive(Debug)]
pub struct Lookup {
    node: NodeId,
    kind: LookupKind,
    stream_keys: Vec<usize>,
    table: RecordBatch,
    index: Option<Index>,
    output: Vec<usize>,
    /// Over the stream's columns and all of the table's: kernel, input schema.
    residual: Option<Arc<dyn Kernel>>,
    /// Whether a row of the table has a null key.
    null_key: bool,
    context: EvalContext,
    schema: SchemaRef,
    batch_rows: usize,
    /// Its part of the memory.
    held: Option<Held>,
}

/// From keys to the table's rows.
#[derive(Debug)]
struct Index {
    keys: Keys,
    rows: Rows,
    heads: HashTable<u32>,
    /// The next row with the same key, in the table's order.
    next: Vec<u32>,
}

impl Index {
    fn build(table: &RecordBatch, columns: &[usize]) -> Result<Index, RunError> {
        let columns: Vec<ArrayRef> = columns.iter().map(|c| Arc::clone(table.column(*c))).collect();
        let keys = Keys::new(columns.iter().map(|c| c.data_type()))?;
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
        Ok(Index { keys, rows, heads, next })
    }

    /// The first row of the table with this key.
    fn find(&self, bytes: &[u8]) -> u32 {
        let same = |other: &u32| self.rows.row(*other as usize).data() == bytes;
        self.heads.find(hash_bytes(bytes), same).copied().unwrap_or(NONE)
    }
}

impl Lookup {
    /// Prepares the snapshot. `kernels`: of the program over the table's rows, and of the residual condition.
    pub(crate) fn build(
        node: NodeId,
        spec: &graph::Lookup,
        rows: &[RecordBatch],
        (prepare, residual): (Arc<dyn Kernel>, Option<Arc<dyn Kernel>>),
        context: EvalContext,
        (schema, batch_rows): (SchemaRef, usize),
    ) -> Result<Lookup, Fault> {
        let prepared = rows.iter().map(|batch| run_kernel(KernelSlot::Prepare(node), &*prepare, &context, batch));
        let prepared = prepared.collect::<Result<Vec<_>, _>>()?;
        if prepared.iter().map(RecordBatch::num_rows).sum::<usize>() >= NONE as usize {
            let text = "a table that rows are looked up in has more than four billion rows";
            return Err(RunError::data("R0107", text).into());
        }
        let table = concat_batches(&to_arrow_schema(&spec.prepare.output_schema()), &prepared)?;
        let null_key = spec.table_keys.iter().any(|c| table.column(*c).logical_null_count() > 0);
        let index = (!spec.stream_keys.is_empty()).then(|| Index::build(&table, &spec.table_keys)).transpose()?;
        Ok(Lookup {
            node,
            kind: spec.kind,
            stream_keys: spec.stream_keys.clone(),
            table,
            index,
            output: spec.output.clone(),
            residual,
            null_key,
            context,
            schema,
            batch_rows,
            held: None,
        })
    }

    /// The bytes that the snapshot takes.
    pub(crate) fn bytes(&self) -> usize {
        let index = |i: &Index| i.rows.size() + i.next.len() * size_of::<u32>() + i.heads.capacity() * 6;
        batch_bytes(&self.table) + self.index.as_ref().map_or(0, index)
    }

    /// Keeps the memory until its end.
    pub(crate) fn hold(&mut self, held: Held) {
        self.held = Some(held);
    }

    /// For each row of the stream the first candidate of the table.
    fn candidates(&self, input: &RecordBatch) -> Result<Vec<u32>, Fault> {
        let Some(index) = &self.index else {
            let first = if self.table.num_rows() == 0 { NONE } else { 0 };
            return Ok(vec![first; input.num_rows()]);
        };
        let columns: Vec<ArrayRef> = self.stream_keys.iter().map(|c| Arc::clone(input.column(*c))).collect();
        let rows = index.keys.encode(&columns)?;
        let find = |row: usize| {
            let valid = columns.iter().all(|c| c.is_valid(row));
            if valid { index.find(rows.row(row).data()) } else { NONE }
        };
        Ok((0..input.num_rows()).map(find).collect())
    }

    /// The candidate after this one.
    fn following(&self, row: u32) -> u32 {
        match &self.index {
            Some(index) => index.next[row as usize],
            None if (row as usize) + 1 < self.table.num_rows() => row + 1,
            None => NONE,
        }
    }

    /// Which pairs meet the residual condition.
    fn admitted(&self, input: &RecordBatch, pairs: &Pairs) -> Result<Option<BooleanArray>, Fault> {
        let Some(kernel) = &self.residual else { return Ok(None) };
        let stream = UInt32Array::from(pairs.stream.clone());
        let table = UInt32Array::from(pairs.table.clone());
        let columns = input.columns().iter().map(|c| take(c, &stream, None));
        let columns = columns.chain(self.table.columns().iter().map(|c| take(c, &table, None)));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let fields = input.schema().fields().iter().chain(self.table.schema().fields()).cloned().collect::<Vec<_>>();
        let schema = Arc::new(arrow::datatypes::Schema::new(fields));
        let options = RecordBatchOptions::new().with_row_count(Some(pairs.stream.len()));
        let batch = RecordBatch::try_new_with_options(schema, columns, &options)?;
        let result = run_kernel(KernelSlot::Residual(self.node), &**kernel, &self.context, &batch)?;
        if result.num_rows() != pairs.stream.len() {
            return Err(internal("the condition of a lookup removed rows").into());
        }
        Ok(Some(result.column(0).as_boolean().clone()))
    }

    /// Rows of the stream beside rows of the table; [`NONE`] beside nulls.
    fn joined(&self, input: &RecordBatch, pairs: &Pairs) -> Result<RecordBatch, Fault> {
        let stream = UInt32Array::from(pairs.stream.clone());
        let table: UInt32Array = pairs.table.iter().map(|row| (*row != NONE).then_some(*row)).collect();
        let mut columns = input.columns().iter().map(|c| take(c, &stream, None)).collect::<Result<Vec<_>, _>>()?;
        for column in &self.output {
            let column = self.table.column(*column);
            columns.push(if column.is_empty() {
                new_null_array(column.data_type(), table.len())
            } else {
                take(column, &table, None)?
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(pairs.stream.len()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }
}

/// Rows of the stream, each beside a row of the table.
#[derive(Debug, Default)]
struct Pairs {
    stream: Vec<u32>,
    table: Vec<u32>,
}

impl Pairs {
    fn push(&mut self, stream: u32, table: u32) {
        self.stream.push(stream);
        self.table.push(table);
    }
}

/// A batch of the stream on its way.
struct Probe<'a> {
    lookup: &'a Lookup,
    input: RecordBatch,
    /// The next candidate of each row.
    next: Vec<u32>,
    /// The row to go on with.
    row: usize,
    /// Whether that row has had a match.
    matched: bool,
}

impl Probe<'_> {
    /// The next candidates, at most about a batch of them; whether the last row has none left.
    fn gather(&mut self) -> (Pairs, usize) {
        let mut pairs = Pairs::default();
        let mut row = self.row;
        while row < self.next.len() && pairs.stream.len() < self.lookup.batch_rows {
            match self.next[row] {
                NONE => row += 1,
                candidate => {
                    pairs.push(row as u32, candidate);
                    self.next[row] = self.lookup.following(candidate);
                }
            }
        }
        // Rows before `row` have no candidates left.
        (pairs, row)
    }

    /// The next rows of an inner or left lookup; none at the end.
    fn join(&mut self) -> Result<Option<RecordBatch>, Fault> {
        if self.row >= self.next.len() {
            return Ok(None);
        }
        let (candidates, end) = self.gather();
        let admitted = self.lookup.admitted(&self.input, &candidates)?;
        let left = self.lookup.kind == LookupKind::Left;
        let mut pairs = Pairs::default();
        let mut pair = 0;
        for row in self.row..self.next.len().min(end + 1) {
            while pair < candidates.stream.len() && candidates.stream[pair] as usize == row {
                if admitted.as_ref().is_none_or(|a| a.is_valid(pair) && a.value(pair)) {
                    pairs.push(row as u32, candidates.table[pair]);
                    self.matched = true;
                }
                pair += 1;
            }
            if row < end {
                if left && !self.matched {
                    pairs.push(row as u32, NONE);
                }
                self.matched = false;
            }
        }
        self.row = end;
        self.lookup.joined(&self.input, &pairs).map(Some)
    }

    /// The rows, each with whether it has a match.
    fn mark(&mut self) -> Result<RecordBatch, Fault> {
        let keys: Vec<&ArrayRef> = self.lookup.stream_keys.iter().map(|c| self.input.column(*c)).collect();
        let mark = |(row, head): (usize, &u32)| match *head {
            _ if keys.iter().any(|key| key.is_null(row)) => None,
            NONE => (!self.lookup.null_key).then_some(false),
            _ => Some(true),
        };
        let marks: BooleanArray = self.next.iter().enumerate().map(mark).collect();
        let columns = self.input.columns().iter().cloned().chain([Arc::new(marks) as ArrayRef]).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.input.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.lookup.schema), columns, &options)?)
    }

    /// The rows that have a match (semi) or none (anti).
    fn filter(&mut self) -> Result<RecordBatch, Fault> {
        let mut found = vec![false; self.next.len()];
        if self.lookup.residual.is_none() {
            found = self.next.iter().map(|head| *head != NONE).collect();
        } else {
            while self.row < self.next.len() {
                let (candidates, end) = self.gather();
                if let Some(admitted) = self.lookup.admitted(&self.input, &candidates)? {
                    let rows = candidates.stream.iter().zip(admitted.iter());
                    rows.filter(|(_, yes)| *yes == Some(true)).for_each(|(row, _)| found[*row as usize] = true);
                }
                // One match is enough.
                if end < found.len() && found[end] {
                    self.next[end] = NONE;
                }
                self.row = end;
            }
        }
        let wanted = self.lookup.kind == LookupKind::Semi;
        let keep: BooleanArray = found.into_iter().map(|f| Some(f == wanted)).collect();
        let kept = filter_record_batch(&self.input, &keep)?;
        Ok(kept.with_schema(Arc::clone(&self.lookup.schema))?)
    }
}

impl Stateless for Lookup {
    fn process<'a>(&'a self, input: RecordBatch) -> Outputs<'a> {
        let next = match self.candidates(&input) {
            Ok(next) => next,
            Err(fault) => return Box::new(std::iter::once(Err(fault))),
        };
        let mut probe = Probe { lookup: self, input, next, row: 0, matched: false };
        match self.kind {
            LookupKind::Semi | LookupKind::Anti => Box::new(std::iter::once_with(move || probe.filter())),
            LookupKind::Mark => Box::new(std::iter::once_with(move || probe.mark())),
            LookupKind::Inner | LookupKind::Left => Box::new(std::iter::from_fn(move || probe.join().transpose())),
        }
    }
}

#[cfg(test)]
#[path = "lookup_tests.rs"]
mod tests;
