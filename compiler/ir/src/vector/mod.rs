//! Expressions over whole columns, with Arrow's kernels: for what is not compiled to machine code (strings, nested values).
//!
//! [`evaluate`] gives, for every row, exactly what the interpreter gives, and fails with the same failure of the same row. How:
//!
//! - A [`frame::Frame`] is a set of rows on which an expression is evaluated. Branches of `if`, later operands of `and`, `or` and `??` are evaluated in
//!   frames of only those rows that reach them, so laziness holds, and a division by zero in a branch not taken does not happen.
//! - Functions with a vectorized kernel run it, others are called row by row.
//! - A failure stops the evaluation with *some* failing row. Rows before it are then evaluated again until none of them fails; the interpreter evaluates
//!   the row that is left, which gives the message and the place. So failures cost a second look, and success nothing.
//!
//! It must not know of programs or of generated code.

mod forms;
mod frame;
mod members;

use crate::arrow_values::{build_array, value_at};
use crate::eval::{EvalContext, RowFailure};
use crate::expr::{Expr, ExprKind};
use crate::interpret;
use crate::types::Type;
use crate::value::Value;
use arrow::array::ArrayRef;
use frame::{Frame, Stop};

/// Evaluates an expression over columns of `rows` values each. `columns[i]` is what `Column(i)` reads, of the Arrow type that
/// [`crate::arrow_types::to_arrow`] gives for it; slices are allowed, and columns that the expression does not read may be of any type and length. The
/// result has `rows` values and the Arrow type of the expression's type. Only rows that reach a sub-expression are evaluated by it; the failure
/// is that of the first row that fails, with message and place.
pub fn evaluate(expr: &Expr, columns: &[ArrayRef], rows: usize, context: &EvalContext) -> Result<ArrayRef, RowFailure> {
    let mut failing = match Frame::root(columns, rows, context).eval(expr) {
        Ok(array) => return Ok(array),
        Err(Stop::Interpret) => return interpret_rows(expr, columns, rows, context),
        Err(Stop::Fails(row)) => row,
    };
    loop {
        match Frame::root(columns, failing, context).eval(expr) {
            Err(Stop::Fails(row)) => failing = row,
            Err(Stop::Interpret) => return interpret_rows(expr, columns, rows, context),
            Ok(_) => break,
        }
    }
    let row = reader(expr, columns).values(failing);
    match interpret::eval(expr, &row, context) {
        Err((failure, origin)) => Err(RowFailure { row: failing, failure, origin }),
        Ok(_) => interpret_rows(expr, columns, rows, context),
    }
}

fn reader(expr: &Expr, columns: &[ArrayRef]) -> Rows {
    Rows::new(expr, columns.len(), |i| columns[i].clone())
}

/// The same by the interpreter, row by row.
fn interpret_rows(
    expr: &Expr,
    columns: &[ArrayRef],
    rows: usize,
    context: &EvalContext,
) -> Result<ArrayRef, RowFailure> {
    let reader = reader(expr, columns);
    let value = |row| {
        interpret::eval(expr, &reader.values(row), context).map_err(|(failure, origin)| RowFailure {
            row,
            failure,
            origin,
        })
    };
    let values = (0..rows).map(value).collect::<Result<Vec<_>, _>>()?;
    Ok(build_array(&expr.ty.data, &values))
}

/// The columns that an expression reads, as rows of values; others are null there.
struct Rows {
    columns: Vec<Option<(ArrayRef, Type)>>,
}

impl Rows {
    fn new(expr: &Expr, count: usize, column: impl Fn(usize) -> ArrayRef) -> Self {
        let mut columns = vec![None; count];
        expr.walk(&mut |e| {
            if let ExprKind::Column(index) = e.kind
                && columns[index].is_none()
            {
                columns[index] = Some((column(index), e.ty.clone()));
            }
        });
        Rows { columns }
    }

    fn values(&self, row: usize) -> Vec<Value> {
        let value = |column: &Option<(ArrayRef, Type)>| match column {
            Some((column, ty)) => value_at(column, row, ty),
            None => Value::Null,
        };
        self.columns.iter().map(value).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testgen::{Generator, Options};

    /// Interpreter and vectors agree on this program's first output.
    fn compare(seed: u64, counts: &mut [usize; 4]) {
        let mut g = Generator::new(seed, Options { fixed_width: seed.is_multiple_of(5), ..Options::default() });
        let program = g.single();
        let batch = g.batch(&program.input);
        let context = g.context();
        let expr = &program.outputs[0].value;
        let vector = evaluate(expr, batch.columns(), batch.num_rows(), &context);
        let rows = interpret_rows(expr, batch.columns(), batch.num_rows(), &context);
        match (vector, rows) {
            (Ok(a), Ok(b)) => {
                assert_eq!(a.data_type(), b.data_type(), "seed {seed}: {expr:?}");
                assert_eq!(a.len(), b.len(), "seed {seed}");
                for row in 0..a.len() {
                    let (x, y) = (value_at(&a, row, &expr.ty), value_at(&b, row, &expr.ty));
                    // Printed, -0.0 differs from 0.0, and NaN does not differ from itself.
                    assert_eq!(format!("{x:?}"), format!("{y:?}"), "seed {seed}, row {row}: {expr:?}");
                    counts[1] += usize::from(x.is_null());
                }
                counts[0] += a.len();
            }
            (Err(a), Err(b)) => {
                assert_eq!(a, b, "seed {seed}: {expr:?}");
                counts[2] += 1;
            }
            (a, b) => panic!("seed {seed}: {a:?} by columns, {b:?} by rows: {expr:?}"),
        }
        counts[3] += 1;
    }

    #[test]
    fn columns_equal_rows() {
        let mut counts = [0; 4];
        for seed in 0..6000 {
            compare(seed, &mut counts);
        }
        let [rows, nulls, failures, expressions] = counts;
        println!("{expressions} expressions, {rows} rows, {nulls} nulls, {failures} failures");
        assert!(rows > 50_000 && nulls > 5000 && failures > 300, "{counts:?}");
    }
}
