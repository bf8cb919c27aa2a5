//! The reference interpreter: what expressions and programs mean, one row at a time. Compiled kernels must equal it bit for bit. It knows values; of
//! Arrow only that batches are made of them.

mod program;

pub use program::{Interpreter, Recording};

use crate::cast::cast_value;
use crate::eval::{EvalContext, Failure};
use crate::expr::{CastFailure, Expr, ExprKind, LocalId, Origin};
use crate::functions::Call;
use crate::types::Type;
use crate::value::Value;
use std::cell::RefCell;

/// Why evaluating an expression failed, and the expression inside it that did.
pub type Failed = (Failure, Origin);

/// A variable with its expression, evaluated when it is first used.
struct Scope<'a> {
    outer: Option<&'a Scope<'a>>,
    local: LocalId,
    value: &'a Expr,
    result: RefCell<Option<Result<Value, Failed>>>,
}

/// Is told which way evaluation goes.
pub trait Recorder: Send + Sync + std::fmt::Debug {
    /// Of the branches of an `if`, a `match` or a `??`, given by its place, the one at another place gave the value. The arms of a `match` are branches of one
    /// expression.
    fn branch(&self, whole: Origin, taken: Origin);
}

/// Evaluates an expression for one row, given by the values of its columns.
pub fn eval(expr: &Expr, row: &[Value], context: &EvalContext) -> Result<Value, Failed> {
    Evaluator { row, context, recorder: None }.eval(expr, None)
}

/// As [`eval`], and tells which branches were taken.
pub fn eval_recorded(
    expr: &Expr,
    row: &[Value],
    context: &EvalContext,
    recorder: Option<&dyn Recorder>,
) -> Result<Value, Failed> {
    Evaluator { row, context, recorder }.eval(expr, None)
}

/// Whether this is a later arm of the `match` that `expr` is an arm of: its conditions are a chain of `if`s at one place.
pub fn continues(expr: &Expr, otherwise: &Expr) -> bool {
    matches!(otherwise.kind, ExprKind::If { .. }) && otherwise.origin == expr.origin
}

struct Evaluator<'a> {
    row: &'a [Value],
    context: &'a EvalContext,
    recorder: Option<&'a dyn Recorder>,
}

impl Evaluator<'_> {
    fn eval(&self, expr: &Expr, scope: Option<&Scope<'_>>) -> Result<Value, Failed> {
        let each = |xs: &[Expr]| xs.iter().map(|x| self.eval(x, scope)).collect::<Result<Vec<_>, _>>();
        match &expr.kind {
            ExprKind::Column(index) => Ok(self.row[*index].clone()),
            ExprKind::Literal(value) => Ok(value.clone()),
            ExprKind::Local(local) => self.local(*local, scope),
            ExprKind::Let { local, value, body } => {
                let inner = Scope { outer: scope, local: *local, value, result: RefCell::new(None) };
                self.eval(body, Some(&inner))
            }
            ExprKind::Call { function, args } => {
                let values = each(args)?;
                let types: Vec<Type> = args.iter().map(|a| a.ty.clone()).collect();
                let call = Call { args: &types, result: &expr.ty, context: self.context };
                function.call(&call, &values).map_err(|f| (f, expr.origin))
            }
            ExprKind::And(xs) => self.connect(xs, scope, false),
            ExprKind::Or(xs) => self.connect(xs, scope, true),
            ExprKind::Not(x) => Ok(match self.eval(x, scope)? {
                Value::Boolean(b) => Value::Boolean(!b),
                _ => Value::Null,
            }),
            ExprKind::IsNull(x) => Ok(Value::Boolean(self.eval(x, scope)?.is_null())),
            ExprKind::If { condition, then, otherwise } => {
                let taken = if self.eval(condition, scope)? == Value::Boolean(true) { then } else { otherwise };
                if let Some(recorder) = self.recorder.filter(|_| !continues(expr, taken)) {
                    recorder.branch(expr.origin, taken.origin);
                }
                self.eval(taken, scope)
            }
            ExprKind::Coalesce(xs) => {
                for (i, x) in xs.iter().enumerate() {
                    let value = self.eval(x, scope)?;
                    let settled = !value.is_null() || i + 1 == xs.len();
                    if let Some(recorder) = self.recorder.filter(|_| settled) {
                        recorder.branch(expr.origin, x.origin);
                    }
                    if !value.is_null() {
                        return Ok(value);
                    }
                }
                Ok(Value::Null)
            }
            ExprKind::InList { value, list } => Ok(in_list(&self.eval(value, scope)?, list)),
            ExprKind::Cast { value: inner, on_failure } => {
                let value = self.eval(inner, scope)?;
                match (cast_value(&value, &inner.ty.data, &expr.ty.data), on_failure) {
                    (Ok(value), _) => Ok(value),
                    (Err(_), CastFailure::Null) => Ok(Value::Null),
                    (Err(failure), _) => Err((failure, expr.origin)),
                }
            }
            ExprKind::Try(x) => Ok(self.eval(x, scope).unwrap_or(Value::Null)),
            ExprKind::Field { value, index } => Ok(match self.eval(value, scope)? {
                Value::Struct(mut fields) => fields.swap_remove(*index),
                _ => Value::Null,
            }),
            ExprKind::Struct(xs) => each(xs).map(Value::Struct),
            ExprKind::Array(xs) => each(xs).map(Value::Array),
        }
    }

    fn local(&self, local: LocalId, scope: Option<&Scope<'_>>) -> Result<Value, Failed> {
        let mut at = scope;
        while let Some(scope) = at {
            if scope.local == local {
                if let Some(result) = scope.result.borrow().as_ref() {
                    return result.clone();
                }
                let result = self.eval(scope.value, scope.outer);
                *scope.result.borrow_mut() = Some(result.clone());
                return result;
            }
            at = scope.outer;
        }
        unreachable!("variable {local:?} has no `let` around it: the expression was not verified")
    }

    /// `and`, `or`: operands in order until one is `decisive`; null if none is but one is null.
    fn connect(&self, xs: &[Expr], scope: Option<&Scope<'_>>, decisive: bool) -> Result<Value, Failed> {
        let mut result = Value::Boolean(!decisive);
        for x in xs {
            match self.eval(x, scope)? {
                Value::Boolean(b) if b == decisive => return Ok(Value::Boolean(b)),
                Value::Null => result = Value::Null,
                _ => {}
            }
        }
        Ok(result)
    }
}

/// Three-valued membership in a list of constants.
pub(crate) fn in_list(value: &Value, list: &[Value]) -> Value {
    if value.is_null() {
        return Value::Null;
    }
    let found = list.iter().any(|v| !v.is_null() && v == value);
    if !found && list.iter().any(Value::is_null) { Value::Null } else { Value::Boolean(found) }
}
