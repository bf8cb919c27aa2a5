//! Looks rows up in snapshots of a table: in the one that the epoch pinned, or each row in the version of its time. Snapshots are in memory. Nothing of where
//! their rows come from.

pub(crate) mod as_of;
mod condition;
mod index;
mod probe;
mod snapshot;

use super::transform::run_kernel;
use super::{Fault, Outputs, Stateless};
use crate::error::RunError;
use arrow::array::{Array, ArrayRef, UInt32Array, new_null_array};
use arrow::compute::{concat_batches, interleave, take};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use condition::Condition;
use flowc_ir::arrow_types::to_arrow_schema;
use flowc_ir::eval::{EvalContext, Kernel};
use flowc_ir::graph::{self, LookupKind, NodeId};
use flowc_ir::plan::KernelSlot;
use index::Form;
use probe::{Pairs, Probe};
pub(crate) use snapshot::Snapshot;
use std::sync::Arc;

/// Marks the end of a chain of rows with equal keys, a row without a match, and a row without a snapshot.
const NONE: u32 = u32::MAX;

/// How rows are matched with those of a snapshot.
#[derive(Debug)]
pub(crate) struct Matching {
    node: NodeId,
    kind: LookupKind,
    stream_keys: Vec<usize>,
    table_keys: Vec<usize>,
    /// How keys of either side are compared; none: there are no keys.
    keys: Option<Form>,
    output: Vec<usize>,
    /// Over the table's rows.
    prepare: Arc<dyn Kernel>,
    /// The columns of the prepared rows.
    prepared: SchemaRef,
    residual: Option<Condition>,
    context: EvalContext,
    schema: SchemaRef,
    batch_rows: usize,
}

/// The snapshots that the rows of a batch are looked up in.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    snapshots: Vec<Arc<Snapshot>>,
    /// For each row its snapshot; [`NONE`]: none, as if the table had no rows. Not there: the first one for all rows.
    of: Option<Vec<u32>>,
}

impl Seen {
    /// The snapshot of all rows, if it is one.
    fn single(&self) -> Option<&Snapshot> {
        match (&self.of, self.snapshots.as_slice()) {
            (None, [one]) => Some(one),
            _ => None,
        }
    }

    /// The snapshot of a row.
    fn of(&self, row: usize) -> Option<&Snapshot> {
        let place = self.of.as_ref().map_or(0, |of| of[row] as usize);
        self.snapshots.get(place).map(Arc::as_ref)
    }
}

impl Matching {
    /// `kernels`: of the program over the table's rows, and of the residual condition. `schema`: of what comes out.
    pub(crate) fn new(
        node: NodeId,
        spec: &graph::Lookup,
        (prepare, residual): (Arc<dyn Kernel>, Option<Arc<dyn Kernel>>),
        context: EvalContext,
        (schema, batch_rows): (SchemaRef, usize),
    ) -> Result<Matching, RunError> {
        let prepared = to_arrow_schema(&spec.prepare.output_schema());
        let types: Vec<_> = spec.table_keys.iter().map(|c| prepared.field(*c).data_type()).collect();
        let keys = (!types.is_empty()).then(|| Form::new(&types)).transpose()?;
        let residual = spec.residual.as_ref().zip(residual);
        let residual = residual.map(|(program, kernel)| Condition::new(program, kernel, batch_rows));
        Ok(Matching {
            node,
            kind: spec.kind,
            stream_keys: spec.stream_keys.clone(),
            table_keys: spec.table_keys.clone(),
            keys,
            output: spec.output.clone(),
            prepare,
            prepared,
            residual,
            context,
            schema,
            batch_rows,
        })
    }

    /// Prepares a snapshot.
    pub(crate) fn snapshot(&self, rows: &[RecordBatch]) -> Result<Snapshot, Fault> {
        let slot = KernelSlot::Prepare(self.node);
        let prepared = rows.iter().map(|batch| run_kernel(slot, &*self.prepare, &self.context, batch));
        let prepared = prepared.collect::<Result<Vec<_>, _>>()?;
        if prepared.iter().map(RecordBatch::num_rows).sum::<usize>() >= NONE as usize {
            let text = "a table that rows are looked up in has more than four billion rows";
            return Err(RunError::data("R0107", text).into());
        }
        let table = concat_batches(&self.prepared, &prepared)?;
        Ok(Snapshot::new(table, self.keys.as_ref(), &self.table_keys)?)
    }

    /// What comes out for these rows of the stream.
    fn outputs<'a>(&'a self, input: RecordBatch, seen: Seen) -> Outputs<'a> {
        let next = match self.candidates(&input, &seen) {
            Ok(next) => next,
            Err(fault) => return Box::new(std::iter::once(Err(fault))),
        };
        let mut probe = Probe { matching: self, input, seen, next, row: 0, matched: false };
        match self.kind {
            LookupKind::Semi | LookupKind::Anti => Box::new(std::iter::once_with(move || probe.filter())),
            LookupKind::Mark => Box::new(std::iter::once_with(move || probe.mark())),
            LookupKind::Inner | LookupKind::Left => Box::new(std::iter::from_fn(move || probe.join().transpose())),
        }
    }

    /// For each row of the stream the first candidate of its snapshot.
    fn candidates(&self, input: &RecordBatch, seen: &Seen) -> Result<Vec<u32>, Fault> {
        let columns: Vec<ArrayRef> = self.stream_keys.iter().map(|c| Arc::clone(input.column(*c))).collect();
        let (valid, count) = (index::valid(&columns), input.num_rows());
        let keys = self.keys.as_ref().map(|keys| keys.encode(&columns)).transpose()?;
        let mut next = match seen.single() {
            Some(one) => one.firsts(keys.as_ref(), count),
            None => {
                let first = |row: usize| seen.of(row).map_or(NONE, |snapshot| snapshot.first(keys.as_ref(), row));
                (0..count).map(first).collect()
            }
        };
        if let Some(valid) = valid {
            next.iter_mut().zip(valid.iter()).filter(|(_, valid)| !valid).for_each(|(next, _)| *next = NONE);
        }
        Ok(next)
    }

    /// A column of the table's rows of these pairs; nulls where there is none.
    fn taken(&self, seen: &Seen, pairs: &Pairs, column: usize) -> Result<ArrayRef, Fault> {
        let data = self.prepared.field(column).data_type();
        if let [one] = seen.snapshots.as_slice() {
            let column = one.table.column(column);
            if column.is_empty() {
                return Ok(new_null_array(data, pairs.len()));
            }
            let rows = match self.kind {
                LookupKind::Left => pairs.table.iter().map(|row| (*row != NONE).then_some(*row)).collect(),
                // Every row is beside one of the table.
                _ => UInt32Array::from(pairs.table.clone()),
            };
            return Ok(take(column, &rows, None)?);
        }
        let null = new_null_array(data, 1);
        let columns = seen.snapshots.iter().map(|snapshot| snapshot.table.column(column).as_ref());
        let columns: Vec<&dyn Array> = columns.chain([null.as_ref()]).collect();
        let of = |row: u32| seen.of.as_ref().map_or(0, |of| of[row as usize] as usize);
        let place = |(stream, table): (&u32, &u32)| match *table {
            NONE => (columns.len() - 1, 0),
            row => (of(*stream), row as usize),
        };
        let places: Vec<(usize, usize)> = pairs.stream.iter().zip(&pairs.table).map(place).collect();
        Ok(interleave(&columns, &places)?)
    }

    /// Rows of the stream beside rows of the table; [`NONE`] beside nulls.
    fn joined(&self, input: &RecordBatch, seen: &Seen, pairs: &Pairs) -> Result<RecordBatch, Fault> {
        let columns = input.columns().iter().map(|column| pairs.of_stream(column, input.num_rows()));
        let mut columns = columns.collect::<Result<Vec<_>, _>>()?;
        for column in &self.output {
            columns.push(self.taken(seen, pairs, *column)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(pairs.len()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }
}

/// A lookup in the snapshot that the epoch pinned.
#[derive(Debug)]
pub(crate) struct Lookup {
    /// How.
    pub(crate) matching: Matching,
    /// In what.
    pub(crate) snapshot: Arc<Snapshot>,
}

impl Stateless for Lookup {
    fn process<'a>(&'a self, input: RecordBatch) -> Outputs<'a> {
        let seen = Seen { snapshots: vec![Arc::clone(&self.snapshot)], of: None };
        self.matching.outputs(input, seen)
    }

    fn table_key(&self, key: usize) -> Option<&ArrayRef> {
        let column = self.matching.table_keys.get(key)?;
        Some(self.snapshot.table.column(*column))
    }
}

#[cfg(test)]
mod tests;
