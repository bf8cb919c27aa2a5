//! Programs, run row by row: the reference for compiled kernels, and a backend of its own.

use super::{Recorder, eval_recorded};
use crate::arrow_types::to_arrow_schema;
use crate::arrow_values::{build_array, value_at};
use crate::eval::{Backend, EvalContext, Failure, FailureCode, Kernel, KernelReport, RowFailure};
use crate::expr::{Expr, Program, ProgramStep};
use crate::value::Value;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use std::sync::Arc;

/// The backend that interprets.
#[derive(Debug, Clone, Copy, Default)]
pub struct Interpreter;

impl Backend for Interpreter {
    fn compile(&self, program: &Program) -> Result<Arc<dyn Kernel>, String> {
        Ok(Arc::new(Interpreted { program: program.clone(), recorder: None }))
    }
}

/// The backend that interprets and tells a recorder which branches are taken.
#[derive(Debug, Clone)]
pub struct Recording(pub Arc<dyn Recorder>);

impl Backend for Recording {
    fn compile(&self, program: &Program) -> Result<Arc<dyn Kernel>, String> {
        Ok(Arc::new(Interpreted { program: program.clone(), recorder: Some(Arc::clone(&self.0)) }))
    }
}

#[derive(Debug)]
struct Interpreted {
    program: Program,
    recorder: Option<Arc<dyn Recorder>>,
}

impl Interpreted {
    /// The values that go out for one row; none if a filter removes it.
    fn row(&self, context: &EvalContext, mut slots: Vec<Value>, row: usize) -> Result<Option<Vec<Value>>, RowFailure> {
        let failed = |(failure, origin)| RowFailure { row, failure, origin };
        let eval = |expr: &Expr, slots: &[Value], context: &EvalContext| {
            eval_recorded(expr, slots, context, self.recorder.as_deref())
        };
        for step in &self.program.steps {
            match step {
                ProgramStep::Let(expr) => {
                    let value = eval(expr, &slots, context).map_err(failed)?;
                    slots.push(value);
                }
                ProgramStep::Filter(condition) => {
                    if eval(condition, &slots, context).map_err(failed)? != Value::Boolean(true) {
                        return Ok(None);
                    }
                }
                ProgramStep::Assert { condition, what } => {
                    if eval(condition, &slots, context).map_err(failed)? != Value::Boolean(true) {
                        let failure = Failure::new(FailureCode::Constraint, format!("{what} does not hold"));
                        return Err(RowFailure { row, failure, origin: condition.origin });
                    }
                }
            }
        }
        let outputs = self.program.outputs.iter().map(|o| eval(&o.value, &slots, context).map_err(failed));
        outputs.collect::<Result<_, _>>().map(Some)
    }
}

impl Kernel for Interpreted {
    fn run(&self, context: &EvalContext, input: &RecordBatch) -> Result<RecordBatch, RowFailure> {
        let mut columns: Vec<Vec<Value>> = vec![vec![]; self.program.outputs.len()];
        let mut kept = 0;
        for row in 0..input.num_rows() {
            let fields = self.program.input.fields.iter().zip(input.columns());
            let slots = fields.map(|(field, column)| value_at(column, row, &field.ty)).collect();
            if let Some(values) = self.row(context, slots, row)? {
                kept += 1;
                for (column, value) in columns.iter_mut().zip(values) {
                    column.push(value);
                }
            }
        }
        let outputs = self.program.outputs.iter().zip(&columns);
        let arrays = outputs.map(|(o, values)| build_array(&o.field.ty.data, values)).collect();
        let schema = to_arrow_schema(&self.program.output_schema());
        let options = RecordBatchOptions::new().with_row_count(Some(kept));
        Ok(RecordBatch::try_new_with_options(schema, arrays, &options)
            .expect("a verified program's values have the types of its outputs"))
    }

    fn report(&self) -> KernelReport {
        let steps = self.program.steps.iter().enumerate().map(|(i, step)| {
            let kind = match step {
                ProgramStep::Let(_) => "let",
                ProgramStep::Filter(_) => "filter",
                ProgramStep::Assert { .. } => "assert",
            };
            (format!("{kind} {i}"), "row")
        });
        let outputs = self.program.outputs.iter().map(|o| (o.field.name.clone(), "row"));
        KernelReport { backend: "interpreter", parts: steps.chain(outputs).collect() }
    }
}
