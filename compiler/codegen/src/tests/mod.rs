//! Tests of compiled programs against the interpreter: by operation, by generated programs, and the text of their code.

pub(crate) mod build;
mod edges;
mod golden;
mod operations;
mod property;
mod staged;

use crate::kernel::{JitKernel, SomeRowFails};
use crate::plan::{Part, Plan};
use crate::stages::Stages;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType as ArrowType, Float32Type, Float64Type};
use arrow::record_batch::RecordBatch;
use flowc_ir::eval::{Backend, EvalContext, FailureCode, Kernel, RowFailure};
use flowc_ir::interpret::Interpreter;
use flowc_ir::{Origin, Program};

/// What a program did to a batch.
pub(crate) enum Outcome {
    /// The rows that came out.
    Rows(RecordBatch),
    /// The row that failed.
    Failed(RowFailure),
}

/// Runs a program compiled and interpreted; says how they differ, if they do.
pub(crate) fn compare(program: &Program, batch: &RecordBatch, context: &EvalContext) -> Result<Outcome, String> {
    if let Some(plan) = Plan::cheap_first(program) {
        compare_planned(program, plan, batch, context).map_err(|e| format!("cheap conditions first: {e}"))?;
    }
    compare_planned(program, Plan::of(program), batch, context)
}

fn compare_planned(
    program: &Program,
    plan: Plan,
    batch: &RecordBatch,
    context: &EvalContext,
) -> Result<Outcome, String> {
    let alone = matches!(plan.parts.as_slice(), [Part::Machine { .. }]);
    let stages = matches!(plan.parts.as_slice(), [Part::Machine { fused, .. }] if Stages::of(fused).is_some());
    let kernel = JitKernel::planned(program, plan)?;
    let reference = Interpreter.compile(program)?.run(context, batch);
    match (kernel.parts(context, batch), reference) {
        (Ok(ours), Ok(theirs)) => {
            if ours.num_rows() != theirs.num_rows() {
                return Err(format!("{} rows instead of {}", ours.num_rows(), theirs.num_rows()));
            }
            for (i, (a, b)) in ours.columns().iter().zip(theirs.columns()).enumerate() {
                same(a, b).map_err(|difference| format!("output {i}: {difference}"))?;
            }
            Ok(Outcome::Rows(ours))
        }
        (Err(SomeRowFails(row)), Err(theirs)) => {
            // Machine code alone finds the very row, or, in two stages, one behind it; Arrow's kernels may meet another one first.
            let found = row.is_some_and(|row| if stages { row >= theirs.row } else { row == theirs.row });
            if alone && !found {
                return Err(format!("row {row:?} fails instead of {}", theirs.row));
            }
            let ours = kernel.run(context, batch).expect_err("the interpreter said so");
            let key = |f: &RowFailure| -> (usize, FailureCode, Origin) { (f.row, f.failure.code, f.origin) };
            if key(&ours) != key(&theirs) {
                return Err(format!("{ours} instead of {theirs}"));
            }
            Ok(Outcome::Failed(ours))
        }
        (Ok(_), Err(failure)) => Err(format!("no failure, but {failure}")),
        (Err(failure), Ok(_)) => Err(format!("{failure:?}, but the interpreter has no failure")),
    }
}

/// Whether all of a program is machine code of one part.
pub(crate) fn program_is_one_function(program: &Program) -> bool {
    matches!(Plan::of(program).parts.as_slice(), [Part::Machine { .. }])
}

/// Equal types, nulls, and values by their bits; a NaN is a NaN, as which bits it has depends on the order of operands in the machine's instruction.
fn same(ours: &ArrayRef, theirs: &ArrayRef) -> Result<(), String> {
    if ours.data_type() != theirs.data_type() {
        return Err(format!("{} instead of {}", ours.data_type(), theirs.data_type()));
    }
    for row in 0..ours.len() {
        let null = (ours.is_null(row), theirs.is_null(row));
        let equal = match null {
            (false, false) => match ours.data_type() {
                ArrowType::Float64 => {
                    let (a, b) = (ours.as_primitive::<Float64Type>(), theirs.as_primitive::<Float64Type>());
                    let (a, b) = (a.value(row), b.value(row));
                    a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
                }
                ArrowType::Float32 => {
                    let (a, b) = (ours.as_primitive::<Float32Type>(), theirs.as_primitive::<Float32Type>());
                    let (a, b) = (a.value(row), b.value(row));
                    a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
                }
                _ => ours.slice(row, 1) == theirs.slice(row, 1),
            },
            (a, b) => a == b,
        };
        if !equal {
            let (a, b) = (ours.slice(row, 1), theirs.slice(row, 1));
            return Err(format!("row {row}: {a:?} instead of {b:?}"));
        }
    }
    Ok(())
}
