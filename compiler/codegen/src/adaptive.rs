//! A program planned in two ways, of which each batch runs in the better one: conditions that machine code decides before those that Arrow's kernels do, or
//! all together. Which is better depends on how many rows the cheap conditions leave, which is only seen when rows come (Hellerstein and Stonebraker,
//! "Predicate migration", SIGMOD 1993; Răducanu, Boncz and Zukowski, "Micro adaptivity in Vectorwise", SIGMOD 2013). Rows and failures are the same either
//! way. Knows kernels; nothing of expressions.

use crate::kernel::JitKernel;
use crate::plan::Plan;
use arrow::record_batch::RecordBatch;
use flowc_ir::Program;
use flowc_ir::eval::{EvalContext, Kernel, KernelReport, RowFailure};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Where the cheap conditions leave more rows than this share, to copy them once more costs more than it saves.
const WORTH: f64 = 0.5;
/// One batch of so many is measured again where they run together.
const MEASURED: u32 = 32;

/// See the module.
#[derive(Debug)]
pub(crate) struct Adaptive {
    together: JitKernel,
    cheap_first: JitKernel,
    batches: AtomicU32,
    /// The share of rows that the cheap conditions left in the batch measured last, in thousandths.
    left: AtomicU32,
}

/// Compiles a program, in both ways where they differ.
pub(crate) fn compile(program: &Program) -> Result<Arc<dyn Kernel>, String> {
    let together = JitKernel::new(program)?;
    Ok(match Plan::cheap_first(program) {
        None => Arc::new(together),
        Some(plan) => Arc::new(Adaptive {
            together,
            cheap_first: JitKernel::planned(program, plan)?,
            batches: AtomicU32::new(0),
            left: AtomicU32::new(0),
        }),
    })
}

impl Kernel for Adaptive {
    fn run(&self, context: &EvalContext, input: &RecordBatch) -> Result<RecordBatch, RowFailure> {
        let batch = self.batches.fetch_add(1, Ordering::Relaxed);
        let few = f64::from(self.left.load(Ordering::Relaxed)) <= WORTH * 1000.0;
        if !few && !batch.is_multiple_of(MEASURED) {
            return self.together.run(context, input);
        }
        let (rows, left) = self.cheap_first.run_measured(context, input)?;
        if input.num_rows() > 0 {
            self.left.store((left * 1000.0) as u32, Ordering::Relaxed);
        }
        Ok(rows)
    }

    fn report(&self) -> KernelReport {
        let KernelReport { backend, mut parts } = self.cheap_first.report();
        // A condition that was divided is there twice.
        parts.dedup();
        parts.push(("cheap conditions before costly ones".to_string(), "adaptive"));
        KernelReport { backend, parts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::build::{and, call, column, integer, literal, program};
    use arrow::array::{Int32Array, StringArray};
    use flowc_ir::arrow_types::to_arrow_schema;
    use flowc_ir::eval::Backend;
    use flowc_ir::interpret::Interpreter;
    use flowc_ir::{DataType, ProgramStep, Type, Value};

    /// Rows of which every `one_in`-th passes the cheap condition.
    fn batch(program: &Program, one_in: i32) -> RecordBatch {
        let numbers: Int32Array = (0..500).map(|i| Some(if i % one_in == 0 { 1 } else { -1 })).collect();
        let names: StringArray = (0..500).map(|i| (i % 7 > 0).then(|| format!("a{}", i % 3))).collect();
        let columns: Vec<arrow::array::ArrayRef> = vec![Arc::new(numbers), Arc::new(names)];
        RecordBatch::try_new(to_arrow_schema(&program.input), columns).expect("columns of the schema")
    }

    #[test]
    fn batches_run_either_way_with_the_same_rows() {
        let types = [Type::new(DataType::Integer), Type::nullable(DataType::String)];
        let pattern = literal(Value::String("%2".into()), DataType::String);
        let like = call("like", vec![column(1, &types[1]), pattern]);
        let filter = and(vec![like, call("greater", vec![column(0, &types[0]), integer(0)])]);
        let outputs = vec![column(1, &types[1]), column(0, &types[0])];
        let program = program(&types, vec![ProgramStep::Filter(filter)], outputs);
        let adaptive = Adaptive {
            together: JitKernel::new(&program).expect("it compiles"),
            cheap_first: JitKernel::planned(&program, Plan::cheap_first(&program).expect("it has both kinds"))
                .expect("it compiles"),
            batches: AtomicU32::new(0),
            left: AtomicU32::new(0),
        };
        let reference = Interpreter.compile(&program).expect("it is verified");
        let context = EvalContext::default();
        for (one_in, left) in [(10, 100), (1, 1000), (1, 1000), (10, 1000)] {
            let input = batch(&program, one_in);
            let rows = adaptive.run(&context, &input).expect("no row fails");
            assert_eq!(rows, reference.run(&context, &input).expect("no row fails"));
            // Where nearly all rows were left, the conditions run together until it is measured again.
            assert_eq!(adaptive.left.load(Ordering::Relaxed), left, "one in {one_in}");
        }
        adaptive.batches.store(MEASURED, Ordering::Relaxed);
        adaptive.run(&context, &batch(&program, 10)).expect("no row fails");
        assert_eq!(adaptive.left.load(Ordering::Relaxed), 100);
    }
}
