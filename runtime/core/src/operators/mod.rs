//! The operators, one a file. Each sees batches and the end of its input; none knows of sources, sinks, epochs or workers' scheduling.

pub mod aggregate;
pub(crate) mod changing_join;
pub(crate) mod dedup;
pub mod expect;
pub mod explode;
pub(crate) mod incremental;
pub(crate) mod join;
mod kept;
pub mod limit;
pub(crate) mod lookup;
pub mod sort;
pub(crate) mod spilled;
pub mod stateful;
pub(crate) mod top;
pub mod transform;
pub mod unique;
pub(crate) mod upsert;
pub mod watermark;
pub mod window;

pub(crate) use aggregate::{depends_on_order, saved_types, yields_null};
pub(crate) use kept::part_of;
pub(crate) use unique::{fits, rekeyed};

use crate::batch::Batch;
use crate::error::RunError;
use arrow::array::ArrayRef;
use arrow::record_batch::RecordBatch;
use flowc_ir::eval::RowFailure;
use flowc_ir::plan::KernelSlot;
use std::fmt;

/// Why an operator cannot go on.
#[derive(Debug, Clone)]
pub enum Fault {
    /// A row fails in a program.
    Row(Box<RowFault>),
    /// A row breaks a rule that stops the run.
    Rule(Box<RunError>),
    /// Anything else.
    Run(Box<RunError>),
    /// The run was stopped from outside while the operator waited for something.
    Cancelled,
}

/// A row that fails.
#[derive(Debug, Clone)]
pub struct RowFault {
    /// The program.
    pub slot: KernelSlot,
    /// Why.
    pub failure: RowFailure,
    /// The row that the program got, alone in a batch.
    pub row: RecordBatch,
}

impl From<RunError> for Fault {
    fn from(error: RunError) -> Self {
        Fault::Run(Box::new(error))
    }
}

impl From<arrow::error::ArrowError> for Fault {
    fn from(error: arrow::error::ArrowError) -> Self {
        internal(error).into()
    }
}

/// Arrow refused what should have been right by construction: a mistake of flowc.
pub(crate) fn internal(error: impl fmt::Display) -> RunError {
    RunError::world("R0901", format!("a mistake in flowc itself: {error}")).help("please report it, with the program")
}

/// Batches that an operator makes, one at a time, so that none has to be large.
pub type Outputs<'a> = Box<dyn Iterator<Item = Result<RecordBatch, Fault>> + Send + 'a>;

/// An operator whose output for a row depends on that row alone. Rows keep their order.
pub trait Stateless: Send + Sync + fmt::Debug {
    /// What comes out for these rows.
    fn process<'a>(&'a self, input: RecordBatch) -> Outputs<'a>;

    /// Of a lookup in one version of a table: this key of all of its rows.
    fn table_key(&self, _key: usize) -> Option<&ArrayRef> {
        None
    }
}

/// An operator that needs all of its input before anything comes out.
pub trait Blocking: Send + Sync + fmt::Debug {
    /// Takes rows from this worker. Within a path and split, batches come in order, and from one worker.
    fn push(&self, worker: usize, batch: Batch) -> Result<(), Fault>;

    /// What comes out, in order; called once, after all input. The result does not depend on how the input was cut or who pushed it.
    fn finish(&self) -> Result<Outputs<'static>, Fault>;
}
