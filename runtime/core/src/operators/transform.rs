//! Filters, computes and chooses columns: a compiled program over each batch.

use super::{Fault, Outputs, RowFault, Stateless};
use arrow::record_batch::RecordBatch;
use flowc_ir::Program;
use flowc_ir::eval::{Backend, EvalContext, Kernel, RowFailure};
use flowc_ir::interpret::Interpreter;
use flowc_ir::plan::KernelSlot;
use std::sync::Arc;

/// The operator.
#[derive(Debug)]
pub struct Transform {
    /// Which program.
    pub slot: KernelSlot,
    /// Its kernel.
    pub kernel: Arc<dyn Kernel>,
    /// The epoch's constants.
    pub context: EvalContext,
}

/// Runs a kernel; a failure takes the row with it.
pub(crate) fn run_kernel(
    slot: KernelSlot,
    kernel: &dyn Kernel,
    context: &EvalContext,
    input: &RecordBatch,
) -> Result<RecordBatch, Fault> {
    kernel.run(context, input).map_err(|failure| {
        let row = input.slice(failure.row.min(input.num_rows()), 1.min(input.num_rows()));
        Fault::Row(Box::new(RowFault { slot, failure, row }))
    })
}

impl Stateless for Transform {
    fn process<'a>(&'a self, input: RecordBatch) -> Outputs<'a> {
        Box::new(std::iter::once_with(move || run_kernel(self.slot, &*self.kernel, &self.context, &input)))
    }
}

/// Lets the interpreter evaluate a row that failed again, for the explanation.
pub(crate) fn explain(program: &Program, context: &EvalContext, row: &RecordBatch) -> Option<RowFailure> {
    let kernel = Interpreter.compile(program).ok()?;
    kernel.run(context, row).err()
}
