//! The end of an aggregate whose groups did not fit in memory: the rows that were set aside come back part by part, each part's groups go to a temporary
//! file, and all are merged into the order of their first rows.

use super::Shape;
use super::table::{Batches, Ended, Part, State, Table};
use crate::batch::RowOrder;
use crate::error::RunError;
use crate::operators::sort::{Merge, RunReader, Sorted};
use crate::operators::{Fault, internal};
use crate::spill::{Budget, Held, create, reopen, spill_error};
use arrow::array::BinaryArray;
use arrow::datatypes::{DataType as A, Field, Schema as ArrowSchema};
use arrow::record_batch::RecordBatch;
use std::sync::Arc;

/// The most rows of a batch that is merged: one batch of each file is in memory.
const RUN_ROWS: usize = 4096;

/// Gives the groups out. An empty batch means that work was done and nothing can be given yet, so that the run can be stopped between parts.
pub(super) struct Replay {
    shape: Arc<Shape>,
    budget: Budget,
    batch_rows: usize,
    /// The groups that the workers had.
    state: Option<State>,
    held: usize,
    /// What is still to be read, with how often it has been divided.
    waiting: Vec<(u32, Vec<RunReader>)>,
    runs: Vec<RunReader>,
    failed: Option<(RowOrder, RunError)>,
    merge: Option<Merge>,
}

impl Replay {
    pub(super) fn new(shape: Arc<Shape>, budget: Budget, batch_rows: usize, ended: Ended) -> Replay {
        let waiting = ended.rest.into_iter().filter(|files| !files.is_empty()).map(|files| (1, files)).collect();
        let (state, held) = (Some(ended.state), ended.held);
        Replay { shape, budget, batch_rows, state, held, waiting, runs: vec![], failed: None, merge: None }
    }

    /// Aggregates the rows of a part.
    fn part(&mut self, depth: u32, files: Vec<RunReader>) -> Result<(), RunError> {
        let mut table = Table::new(&self.shape, depth, self.budget.clone())?;
        for packed in files.into_iter().flatten() {
            let part = Part::unpack(&packed.map_err(spill_error)?)?;
            // Another worker may have had the group.
            let rest = match &mut self.state {
                Some(state) if depth == 1 => state.absorb_known(&self.shape, part)?.map(|(rest, _)| rest),
                _ => Some(part),
            };
            if let Some(rest) = rest {
                table.push(&self.shape, rest)?;
            }
        }
        let ended = table.end()?;
        let deeper = ended.rest.into_iter().filter(|files| !files.is_empty());
        self.waiting.extend(deeper.map(|files| (depth + 1, files)));
        let written = self.write(ended.state.into_batches(Arc::clone(&self.shape), RUN_ROWS.min(self.batch_rows)));
        self.budget.give(ended.held);
        written
    }

    fn write(&mut self, batches: Batches) -> Result<(), RunError> {
        let mut file = None;
        for batch in batches {
            match batch {
                Ok((batch, places)) => {
                    let keyed = keyed(&batch, &places)?;
                    let file = match &mut file {
                        Some(file) => file,
                        none => none.insert(create(&self.budget.directory, keyed.schema())?),
                    };
                    file.write(&keyed).map_err(spill_error)?;
                }
                Err(failed) => self.fail(*failed),
            }
        }
        self.runs.extend(file.map(reopen).transpose()?);
        Ok(())
    }

    /// Of several failures that of the first group counts.
    fn fail(&mut self, failed: (RowOrder, RunError)) {
        if self.failed.as_ref().is_none_or(|(place, _)| failed.0 < *place) {
            self.failed = Some(failed);
        }
    }

    /// All parts are aggregated.
    fn begin_merge(&mut self) -> Result<(), RunError> {
        let rows = RUN_ROWS.min(self.batch_rows);
        let first = self.state.take().map(|state| state.into_batches(Arc::clone(&self.shape), rows));
        if self.failed.is_some() {
            if let Some(Err(failed)) = first.into_iter().flatten().find(Result::is_err) {
                self.fail(*failed);
            }
            return self.failed.take().map_or(Ok(()), |(_, error)| Err(error));
        }
        let mut inputs: Vec<Sorted> = vec![];
        if let Some(first) = first {
            inputs.push(Box::new(first.map(|batch| match batch {
                Ok((batch, places)) => keyed(&batch, &places),
                Err(failed) => Err(failed.1),
            })));
        }
        for run in self.runs.drain(..) {
            inputs.push(Box::new(run.map(|batch| batch.map_err(spill_error))));
        }
        self.merge = Some(Merge::new(
            inputs,
            self.batch_rows,
            Held::taken(self.budget.clone(), std::mem::take(&mut self.held)),
        )?);
        Ok(())
    }

    fn step(&mut self) -> Result<Option<RecordBatch>, RunError> {
        if let Some((depth, files)) = self.waiting.pop() {
            self.part(depth, files)?;
            return Ok(Some(RecordBatch::new_empty(Arc::clone(&self.shape.output))));
        }
        if self.merge.is_none() {
            self.begin_merge()?;
        }
        let Some(batch) = self.merge.as_mut().and_then(Iterator::next).transpose()? else { return Ok(None) };
        let columns = batch.columns()[..batch.num_columns() - 1].to_vec();
        RecordBatch::try_new(Arc::clone(&self.shape.output), columns).map(Some).map_err(internal)
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        self.budget.give(self.held);
    }
}

impl Iterator for Replay {
    type Item = Result<RecordBatch, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().map_err(Fault::from).transpose()
    }
}

/// The groups with their places as keys.
fn keyed(batch: &RecordBatch, places: &[RowOrder]) -> Result<RecordBatch, RunError> {
    let mut fields: Vec<_> = batch.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new("", A::Binary, false)));
    let mut columns = batch.columns().to_vec();
    columns.push(Arc::new(BinaryArray::from_iter_values(places.iter().map(|place| place.to_be_bytes()))));
    RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), columns).map_err(internal)
}
