//! Infix operators: logic with narrowing from left to right, comparison, arithmetic, `??`.

use crate::check::narrow::{Outcome, facts};
use crate::check::scope::Env;
use crate::check::types::{constant_of, span_of};
use crate::check::{Checker, article, origin};
use crate::codes;
use flowc_ir::functions::{self, ResolveError};
use flowc_ir::{DataType, Expr, ExprKind, Type, Value};
use flowc_syntax::ast::{self, BinaryOp};
use flowc_syntax::diagnostic::Diagnostic;
use flowc_syntax::span::Span;

/// The function behind an operator.
pub(crate) fn function_of(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::Equal => "equal",
        BinaryOp::NotEqual => "not_equal",
        BinaryOp::Less => "less",
        BinaryOp::LessEqual => "less_equal",
        BinaryOp::Greater => "greater",
        BinaryOp::GreaterEqual => "greater_equal",
        BinaryOp::Add => "add",
        BinaryOp::Subtract => "subtract",
        BinaryOp::Multiply => "multiply",
        BinaryOp::Divide => "divide",
        BinaryOp::IntegerDivide => "div",
        BinaryOp::Remainder => "mod",
        BinaryOp::Or => "or",
        BinaryOp::And => "and",
        BinaryOp::Coalesce => "coalesce",
    }
}

fn is_comparison(name: &str) -> bool {
    matches!(name, "equal" | "not_equal" | "less" | "less_equal" | "greater" | "greater_equal")
}

impl Checker<'_> {
    /// `left op right`
    pub(super) fn binary(
        &self,
        env: &mut Env<'_>,
        op: BinaryOp,
        op_span: Span,
        (left, right): (&ast::Expr, &ast::Expr),
        span: Span,
    ) -> Option<Expr> {
        match op {
            BinaryOp::And | BinaryOp::Or => self.logic(env, op, left, right, span),
            BinaryOp::Coalesce => {
                let (left, right) = (self.expr(env, left), self.expr(env, right));
                self.coalesce(vec![left?, right?], span)
            }
            _ => {
                // `a < b < c` has its diagnostic from the parser. (In `(a < b) == c` the whole begins with the bracket.)
                let chained =
                    matches!(&left.kind, ast::ExprKind::Binary { op: inner, .. } if is_comparison(function_of(*inner)));
                if chained && is_comparison(function_of(op)) && left.span.start == span.start {
                    return None;
                }
                let (left, right) = (self.expr(env, left), self.expr(env, right));
                self.operator(function_of(op), op.text(), op_span, vec![left?, right?], span)
            }
        }
    }

    fn logic(&self, env: &mut Env<'_>, op: BinaryOp, left: &ast::Expr, right: &ast::Expr, span: Span) -> Option<Expr> {
        let what = format!("an operand of `{}`", op.text());
        let left = self.condition(env, left, &what);
        // The right side is evaluated only where the left does not decide.
        let outcome = if op == BinaryOp::And { Outcome::NotFalse } else { Outcome::NotTrue };
        let known = left.as_ref().map(|l| facts(l, outcome)).unwrap_or_default();
        let right = env.assuming(known, |env| self.condition(env, right, &what));
        let (left, right) = (left?, right?);
        let ty = Type { data: DataType::Boolean, nullable: left.ty.nullable || right.ty.nullable };
        let mut operands = vec![];
        for side in [left, right] {
            match side.kind {
                ExprKind::And(xs) if op == BinaryOp::And => operands.extend(xs),
                ExprKind::Or(xs) if op == BinaryOp::Or => operands.extend(xs),
                kind => operands.push(Expr::new(kind, side.ty, side.origin)),
            }
        }
        let kind = if op == BinaryOp::And { ExprKind::And(operands) } else { ExprKind::Or(operands) };
        Some(Expr::new(kind, ty, origin(span)))
    }

    /// The first value that is not null.
    pub(super) fn coalesce(&self, values: Vec<Expr>, span: Span) -> Option<Expr> {
        if let Some(at) = values[..values.len() - 1].iter().position(|v| !v.ty.nullable) {
            let value = &values[at];
            self.report(
                Diagnostic::warning(codes::NEEDLESS_DEFAULT, span, "what stands behind `??` is never used here")
                    .also(span_of(value), format!("this is {}, which is never null", article(&value.ty)))
                    .help("leave the default out"),
            );
        }
        let never_null = values.iter().any(|v| !v.ty.nullable);
        let (values, common) = self.unified(values, codes::NO_COMMON_TYPE, "the values of `??`")?;
        let mut flat = vec![];
        for value in values {
            match value.kind {
                ExprKind::Coalesce(inner) => flat.extend(inner),
                kind => flat.push(Expr::new(kind, value.ty, value.origin)),
            }
        }
        Some(Expr::new(ExprKind::Coalesce(flat), common.with_nullable(!never_null), origin(span)))
    }

    /// A comparison of typed operands.
    pub(super) fn compare(&self, op: BinaryOp, left: Expr, right: Expr, span: Span) -> Option<Expr> {
        let at = span_of(&right);
        self.operator(function_of(op), op.text(), at, vec![left, right], span)
    }

    /// An operator of the function table.
    pub(super) fn operator(
        &self,
        name: &str,
        sign: &str,
        sign_span: Span,
        args: Vec<Expr>,
        span: Span,
    ) -> Option<Expr> {
        let types: Vec<Type> = args.iter().map(|a| a.ty.clone()).collect();
        if is_comparison(name) && args.len() == 2 && !self.comparable(name, sign, sign_span, &args) {
            return None;
        }
        match functions::resolve(name, &types) {
            Ok(resolution) => self.apply(resolution, args, span),
            Err(error) => {
                self.bad_operands(sign, sign_span, &args, &error);
                None
            }
        }
    }

    fn comparable(&self, name: &str, sign: &str, sign_span: Span, args: &[Expr]) -> bool {
        let (left, right) = (&args[0], &args[1]);
        let Some(common) = left.ty.data.common(&right.ty.data) else {
            self.report(
                Diagnostic::error(
                    codes::NOT_COMPARABLE,
                    sign_span,
                    format!("{} and {} cannot be compared", article(&left.ty.data), article(&right.ty.data)),
                )
                .label(format!("`{sign}` needs two values of one type"))
                .also(span_of(left), format!("this is {}", article(&left.ty)))
                .also(span_of(right), format!("this is {}", article(&right.ty)))
                .help(comparison_help(&left.ty.data, &right.ty.data)),
            );
            return false;
        };
        if let Some(null) = args.iter().find(|a| matches!(constant_of(a), Some(Value::Null))) {
            self.report(
                Diagnostic::warning(
                    codes::NULL_COMPARED,
                    sign_span,
                    "a comparison with null is always null, never true",
                )
                .also(span_of(null), "null")
                .help(if name == "not_equal" {
                    "write `… is not null`"
                } else {
                    "write `… is null`"
                }),
            );
        }
        if !matches!(name, "equal" | "not_equal") && !common.is_orderable() {
            self.report(
                Diagnostic::error(codes::NOT_ORDERED, sign_span, format!("values of type `{common}` have no order"))
                    .label(format!("`{sign}` needs an order"))
                    .help("maps can only be read with `m[key]`; compare their values"),
            );
            return false;
        }
        true
    }

    fn bad_operands(&self, sign: &str, sign_span: Span, args: &[Expr], error: &ResolveError) {
        let message = match args {
            [one] => format!("`{sign}` does not take {}", article(&one.ty.data)),
            [left, right] => {
                format!("`{sign}` does not take {} and {}", article(&left.ty.data), article(&right.ty.data))
            }
            _ => format!("`{sign}` does not take these operands"),
        };
        let mut diagnostic = Diagnostic::error(codes::BAD_OPERANDS, sign_span, message).label("no such operation");
        for arg in args {
            diagnostic = diagnostic.also(span_of(arg), format!("this is {}", article(&arg.ty)));
        }
        let textual = args.iter().any(|a| a.ty.data == DataType::String);
        let help = if sign == "+" && textual {
            "to join texts write one string: `\"{a} {b}\"`; to add numbers convert the text: `x as double`".to_string()
        } else if textual {
            "convert the text to a number first: `x as double`".to_string()
        } else {
            match error {
                ResolveError::Argument { expected, .. } => format!("it takes {expected} there"),
                ResolveError::Arity { expected, .. } => format!("it takes {expected}"),
                ResolveError::UnknownFunction => "there is no such operation".to_string(),
            }
        };
        self.report(diagnostic.help(help));
    }
}

fn comparison_help(left: &DataType, right: &DataType) -> String {
    match (left, right) {
        (DataType::String, other) => format!("convert the text: `… as {other}`"),
        (other, DataType::String) => format!("convert the text: `… as {other}`"),
        (DataType::TimestampNtz, _) | (_, DataType::TimestampNtz) => {
            "say in which time zone: convert it with `as timestamp`".to_string()
        }
        (DataType::Timestamp | DataType::Date, n) | (n, DataType::Timestamp | DataType::Date) if n.is_numeric() => {
            "make a timestamp of the number: `timestamp_millis(x)`, or write the time: `@2026-11-22T10:00:00Z`"
                .to_string()
        }
        (DataType::Struct(_), _) | (_, DataType::Struct(_)) => "compare the fields one by one".to_string(),
        _ => format!("convert one of them, for example with `as {left}`"),
    }
}
