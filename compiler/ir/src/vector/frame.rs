//! A set of rows on which expressions are evaluated, with the columns and variables as they stand there.

use super::{Rows, forms};
use crate::arrow_values::{build_array, value_at};
use crate::cast::cast_can_fail;
use crate::eval::EvalContext;
use crate::expr::{CastFailure, Expr, ExprKind, LocalId};
use crate::functions::{Call, FunctionRef};
use crate::interpret;
use crate::types::Type;
use crate::value::Value;
use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::compute::take;
use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

/// Why an evaluation stopped.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Stop {
    /// This row fails; rows before it may fail too.
    Fails(usize),
    /// Which rows fail only the interpreter can say.
    Interpret,
}

/// The result of evaluating an expression in a frame.
pub(super) type Evaluated = Result<ArrayRef, Stop>;

/// A variable, its expression, and its values once it has been used.
struct Binding<'e> {
    local: LocalId,
    value: &'e Expr,
    values: OnceCell<ArrayRef>,
}

/// The values of an expression for some rows of a frame.
pub(super) struct Part {
    /// The values.
    pub(super) array: ArrayRef,
    dense: bool,
}

impl Part {
    /// Where the value of a row stands that is the `nth` of those asked for.
    pub(super) fn place(&self, nth: usize, row: u32) -> usize {
        if self.dense { row as usize } else { nth }
    }
}

/// Whether an expression may fail, as far as its form tells.
fn may_fail(expr: &Expr) -> bool {
    let mut fails = false;
    expr.walk(&mut |e| {
        fails |= match &e.kind {
            ExprKind::Call { function, args } => {
                function.can_fail(&args.iter().map(|a| a.ty.clone()).collect::<Vec<_>>())
            }
            ExprKind::Cast { value, on_failure } => {
                *on_failure != CastFailure::Null && cast_can_fail(&value.ty.data, &e.ty.data)
            }
            ExprKind::Local(_) => true,
            _ => false,
        }
    });
    fails
}

/// A set of rows, chosen from an outer frame (`'f`); the expressions live as long as `'e`.
pub(super) struct Frame<'f, 'e> {
    context: &'e EvalContext,
    rows: usize,
    /// The columns of the whole, or those taken so far.
    columns: Vec<OnceCell<ArrayRef>>,
    /// The frame that these rows are chosen from, and which they are.
    outer: Option<(&'f Frame<'f, 'e>, UInt32Array)>,
    /// The variables whose `let` is being evaluated in this frame, innermost last.
    bindings: RefCell<Vec<Rc<Binding<'e>>>>,
    /// Variables of outer frames, as they stand here.
    taken: RefCell<Vec<(LocalId, ArrayRef)>>,
}

impl<'f, 'e> Frame<'f, 'e> {
    /// The first `rows` rows of these columns.
    pub(super) fn root(columns: &[ArrayRef], rows: usize, context: &'e EvalContext) -> Frame<'f, 'e> {
        let whole = |c: &ArrayRef| OnceCell::from(if c.len() > rows { c.slice(0, rows) } else { c.clone() });
        Frame {
            context,
            rows,
            columns: columns.iter().map(whole).collect(),
            outer: None,
            bindings: RefCell::default(),
            taken: RefCell::default(),
        }
    }

    /// The number of rows.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// The values of a column.
    fn column(&self, index: usize) -> ArrayRef {
        let here = || match &self.outer {
            Some((outer, rows)) => pick(&outer.column(index), rows),
            None => unreachable!("the columns of the whole are there from the beginning"),
        };
        self.columns[index].get_or_init(here).clone()
    }

    /// Evaluates an expression for the rows of this frame.
    pub(super) fn eval(&self, expr: &'e Expr) -> Evaluated {
        if self.rows == 0 {
            return Ok(build_array(&expr.ty.data, &[]));
        }
        match &expr.kind {
            ExprKind::Column(index) => Ok(self.column(*index)),
            ExprKind::Local(local) => self.local(*local),
            ExprKind::Let { local, value, body } => {
                let binding = Binding { local: *local, value, values: OnceCell::new() };
                self.bindings.borrow_mut().push(Rc::new(binding));
                let result = self.eval(body);
                self.bindings.borrow_mut().pop();
                result
            }
            ExprKind::Call { function, args } => self.call(*function, args, &expr.ty),
            ExprKind::Try(inner) => match self.eval(inner) {
                Err(Stop::Fails(_)) => Ok(self.attempt(inner)),
                other => other,
            },
            _ => forms::eval(self, expr),
        }
    }

    /// Evaluates an expression for some of the rows of this frame. Where nothing can fail and most rows are wanted it is evaluated for all, as that is
    /// cheaper than choosing them.
    pub(super) fn eval_some(&self, expr: &'e Expr, rows: &[u32]) -> Result<Part, Stop> {
        let leaf = matches!(expr.kind, ExprKind::Column(_) | ExprKind::Literal(_));
        let dense = rows.len() == self.rows || leaf || rows.len() > self.rows / 2 && !may_fail(expr);
        let array = if dense { self.eval(expr)? } else { self.eval_rows(expr, rows)? };
        Ok(Part { array, dense })
    }

    /// Evaluates an expression for these rows of this frame alone. A row that fails is given by its number in this frame.
    fn eval_rows(&self, expr: &'e Expr, rows: &[u32]) -> Evaluated {
        let inner = Frame {
            context: self.context,
            rows: rows.len(),
            columns: self.columns.iter().map(|_| OnceCell::new()).collect(),
            outer: Some((self, UInt32Array::from(rows.to_vec()))),
            bindings: RefCell::default(),
            taken: RefCell::default(),
        };
        inner.eval(expr).map_err(|stop| match stop {
            Stop::Fails(row) => Stop::Fails(rows[row] as usize),
            Stop::Interpret => Stop::Interpret,
        })
    }

    fn local(&self, local: LocalId) -> Evaluated {
        let own = self.bindings.borrow().iter().rev().find(|b| b.local == local).cloned();
        if let Some(binding) = own {
            if let Some(values) = binding.values.get() {
                return Ok(values.clone());
            }
            let values = self.eval(binding.value)?;
            let _ = binding.values.set(values.clone());
            return Ok(values);
        }
        if let Some((_, values)) = self.taken.borrow().iter().find(|t| t.0 == local) {
            return Ok(values.clone());
        }
        let Some((outer, rows)) = &self.outer else {
            unreachable!("variable {local:?} has no `let` around it: the expression was not verified")
        };
        // A variable is evaluated for all rows of the frame of its `let`. If one fails, it may be one that does not come here.
        let values = pick(&outer.local(local).map_err(|_| Stop::Interpret)?, rows);
        self.taken.borrow_mut().push((local, values.clone()));
        Ok(values)
    }

    fn call(&self, function: FunctionRef, args: &'e [Expr], result: &Type) -> Evaluated {
        let arrays = args.iter().map(|a| self.eval(a)).collect::<Result<Vec<_>, _>>()?;
        let types: Vec<Type> = args.iter().map(|a| a.ty.clone()).collect();
        let call = Call { args: &types, result, context: self.context };
        if let Some(kernel) = function.vectorized {
            return kernel(&call, &arrays, self.rows).map_err(|(row, _)| Stop::Fails(row));
        }
        let value = |row| {
            let operands: Vec<Value> = arrays.iter().zip(&types).map(|(a, t)| value_at(a, row, t)).collect();
            function.call(&call, &operands).map_err(|_| Stop::Fails(row))
        };
        let values = (0..self.rows).map(value).collect::<Result<Vec<_>, _>>()?;
        Ok(build_array(&result.data, &values))
    }

    /// The values of an expression that fails for some rows: null there.
    fn attempt(&self, expr: &Expr) -> ArrayRef {
        let mut whole = expr.clone();
        let mut frame = Some(self);
        while let Some(at) = frame {
            for binding in at.bindings.borrow().iter().rev() {
                let (ty, origin) = (whole.ty.clone(), whole.origin);
                let (value, body) = (Box::new(binding.value.clone()), Box::new(whole));
                whole = Expr::new(ExprKind::Let { local: binding.local, value, body }, ty, origin);
            }
            frame = at.outer.as_ref().map(|o| o.0);
        }
        let rows = Rows::new(&whole, self.columns.len(), |i| self.column(i));
        let value = |row| interpret::eval(&whole, &rows.values(row), self.context).unwrap_or(Value::Null);
        build_array(&expr.ty.data, &(0..self.rows).map(value).collect::<Vec<_>>())
    }
}

/// The values in these rows.
pub(super) fn pick(array: &ArrayRef, rows: &UInt32Array) -> ArrayRef {
    take(array.as_ref(), rows, None)
        .expect("rows are chosen from those there are, and every type of flowc can be taken")
}
