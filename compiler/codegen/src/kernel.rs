//! Runs a planned program over batches: its parts in order, and, where one of them meets a row that fails, the interpreter, which says which row fails
//! first and why. Knows plans, arrays and compiled functions; nothing of how code is made.

use crate::constants::Constants;
use crate::machine::Machine;
use crate::plan::{Part, Plan};
use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{Int32Type, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use flowc_ir::arrow_types::to_arrow_schema;
use flowc_ir::eval::{Backend, EvalContext, Kernel, KernelReport, RowFailure};
use flowc_ir::interpret::Interpreter;
use flowc_ir::{Expr, Program, vector};
use std::sync::Arc;

/// Some row fails. The number is that row's in the batch given, if no row was removed before; rows in front of it may fail, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SomeRowFails(pub(crate) Option<usize>);

/// A program made ready.
#[derive(Debug)]
pub(crate) struct JitKernel {
    parts: Vec<Ready>,
    plan: Plan,
    schema: SchemaRef,
    inputs: usize,
    reference: Arc<dyn Kernel>,
}

/// A part made ready.
#[derive(Debug)]
enum Ready {
    Arrow { slot: usize, value: Expr, reads: Vec<usize> },
    Choice { slot: usize, code: usize, constants: Constants },
    Machine(Box<Machine>),
}

/// The columns that are there at some point of a run.
pub(crate) struct State {
    pub(crate) slots: Vec<Option<ArrayRef>>,
    pub(crate) rows: usize,
    /// Whether some filter has removed rows.
    pub(crate) filtered: bool,
}

impl JitKernel {
    /// Plans and compiles a program.
    pub(crate) fn new(program: &Program) -> Result<JitKernel, String> {
        JitKernel::planned(program, Plan::of(program))
    }

    /// Compiles a program that is planned.
    pub(crate) fn planned(program: &Program, plan: Plan) -> Result<JitKernel, String> {
        let mut parts = vec![];
        for part in &plan.parts {
            parts.push(match part {
                Part::Arrow { slot, value, reads } => {
                    Ready::Arrow { slot: *slot, value: value.clone(), reads: reads.clone() }
                }
                Part::Choice { slot, code, constants, data } => {
                    Ready::Choice { slot: *slot, code: *code, constants: Constants::new(data, constants) }
                }
                Part::Machine { fused, targets, keep } => Ready::Machine(Box::new(Machine::new(fused, targets, keep)?)),
            });
        }
        let schema = to_arrow_schema(&program.output_schema());
        let reference = Interpreter.compile(program)?;
        Ok(JitKernel { parts, plan, schema, inputs: program.input.len(), reference })
    }

    /// Runs the parts.
    pub(crate) fn parts(&self, context: &EvalContext, input: &RecordBatch) -> Result<RecordBatch, SomeRowFails> {
        self.parts_counted(context, input).map(|(batch, _)| batch)
    }

    /// Runs the parts; also how many values Arrow's kernels computed.
    fn parts_counted(&self, context: &EvalContext, input: &RecordBatch) -> Result<(RecordBatch, usize), SomeRowFails> {
        let mut computed = 0;
        assert_eq!(input.num_columns(), self.inputs, "a batch has the program's input columns");
        let mut state = State {
            slots: input.columns().iter().cloned().map(Some).collect(),
            rows: input.num_rows(),
            filtered: false,
        };
        state.slots.resize(self.plan.slots, None);
        for part in &self.parts {
            match part {
                Ready::Arrow { slot, value, reads } => {
                    let columns: Vec<ArrayRef> = reads.iter().map(|r| state.column(*r)).collect();
                    let array = vector::evaluate(value, &columns, state.rows, context)
                        .map_err(|failure| state.fails(failure.row))?;
                    computed += array.len();
                    state.slots[*slot] = Some(array);
                }
                Ready::Choice { slot, code, constants } => {
                    state.slots[*slot] =
                        Some(constants.choose(state.column(*code).as_primitive::<Int32Type>().values()));
                }
                Ready::Machine(machine) => machine.run(context, &mut state)?,
            }
        }
        let columns: Vec<ArrayRef> = self.plan.outputs.iter().map(|slot| state.column(*slot)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(state.rows));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .expect("a verified program's values have the types of its outputs");
        Ok((batch, computed))
    }

    /// The first row that fails, and why; the rows, if the machine was wrong.
    fn interpreted(
        &self,
        context: &EvalContext,
        input: &RecordBatch,
        SomeRowFails(row): SomeRowFails,
    ) -> Result<RecordBatch, RowFailure> {
        // The first row that fails is this one or one before it.
        if let Some(row) = row.filter(|row| row + 1 < input.num_rows()) {
            self.reference.run(context, &input.slice(0, row + 1))?;
        }
        self.reference.run(context, input)
    }

    /// As `run`; also the share of the values that Arrow's kernels would have to compute if no filter came before them.
    pub(crate) fn run_measured(
        &self,
        context: &EvalContext,
        input: &RecordBatch,
    ) -> Result<(RecordBatch, f64), RowFailure> {
        match self.parts_counted(context, input) {
            Ok((batch, computed)) => {
                let by_arrow = self.parts.iter().filter(|part| matches!(part, Ready::Arrow { .. })).count();
                Ok((batch, computed as f64 / (by_arrow * input.num_rows()).max(1) as f64))
            }
            Err(failure) => Ok((self.interpreted(context, input, failure)?, 1.0)),
        }
    }
}

impl State {
    pub(crate) fn column(&self, slot: usize) -> ArrayRef {
        self.slots[slot].clone().expect("the plan computes columns before it reads them")
    }

    pub(crate) fn fails(&self, row: usize) -> SomeRowFails {
        SomeRowFails((!self.filtered).then_some(row))
    }
}

impl Kernel for JitKernel {
    fn run(&self, context: &EvalContext, input: &RecordBatch) -> Result<RecordBatch, RowFailure> {
        self.parts(context, input).or_else(|failure| self.interpreted(context, input, failure))
    }

    fn report(&self) -> KernelReport {
        let parts = self.plan.report.clone();
        KernelReport { backend: "cranelift", parts }
    }
}
