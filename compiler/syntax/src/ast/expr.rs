//! Expressions and patterns.

use super::{Arg, Name, TypeExpr};
use crate::span::Span;

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    /// Which.
    pub kind: ExprKind,
    /// The whole; parentheses around it are not part of it.
    pub span: Span,
}

impl Expr {
    /// The expressions directly inside, in the order of the text; those in the patterns of a `match` too.
    pub fn children(&self) -> Vec<&Expr> {
        match &self.kind {
            ExprKind::String(parts) => {
                let inside = parts.iter().filter_map(|part| match part {
                    StringPart::Text(_) => None,
                    StringPart::Expr(e) => Some(e),
                });
                inside.collect()
            }
            ExprKind::Array(items) => items.iter().collect(),
            ExprKind::Struct(fields) => fields.iter().map(|(_, value)| value).collect(),
            ExprKind::Field(value, _) | ExprKind::Unary(_, value) => vec![value],
            ExprKind::IsNull { value, .. } | ExprKind::Cast { value, .. } => vec![value],
            ExprKind::Index(a, b) => vec![a, b],
            ExprKind::Call { args, filter, .. } => args.iter().map(|a| &a.value).chain(filter.as_deref()).collect(),
            ExprKind::Binary { left, right, .. } => vec![left, right],
            ExprKind::Between { value, low, high, .. } => vec![value, low, high],
            ExprKind::In { value, list, .. } => vec![value, list],
            ExprKind::Like { value, pattern, .. } | ExprKind::Matches { value, pattern, .. } => vec![value, pattern],
            ExprKind::If { condition, then, otherwise } => vec![condition, then, otherwise],
            ExprKind::Match { value, arms } => {
                let mut inside: Vec<&Expr> = vec![value];
                for arm in arms {
                    inside.extend(arm.patterns.iter().flat_map(|pattern| pattern.kind.children()));
                    inside.push(&arm.value);
                }
                inside
            }
            ExprKind::Null
            | ExprKind::Boolean(_)
            | ExprKind::Integer(_)
            | ExprKind::Double(_)
            | ExprKind::Decimal { .. }
            | ExprKind::Percent(_)
            | ExprKind::RawString(_)
            | ExprKind::Date(_)
            | ExprKind::Timestamp(_)
            | ExprKind::TimestampNtz(_)
            | ExprKind::Duration(_)
            | ExprKind::Name(_)
            | ExprKind::Error => vec![],
        }
    }
}

/// A piece of an interpolated string.
#[derive(Debug, Clone, PartialEq)]
pub enum StringPart {
    /// Text, unescaped.
    Text(String),
    /// `{expr}`
    Expr(Expr),
}

/// The forms of expressions.
#[derive(Debug, Clone, PartialEq)]
pub enum ExprKind {
    /// `null`
    Null,
    /// `true`, `false`
    Boolean(bool),
    /// `1_000`; at most 38 digits, a longer one is a diagnostic of the parser.
    Integer(i128),
    /// `1.5`, `6e-3`
    Double(f64),
    /// `1.50d`: the unscaled value and the number of digits after the point
    Decimal {
        /// Without the point.
        unscaled: i128,
        /// Digits in all, at most 38.
        precision: u8,
        /// Digits after the point.
        scale: u8,
    },
    /// `1%`: the value divided by 100
    Percent(f64),
    /// `"text {expr}"`; no braces: one text part, or none for `""`
    String(Vec<StringPart>),
    /// `r"raw"`
    RawString(String),
    /// `@2026-11-22`: days since 1970-01-01
    Date(i32),
    /// `@2026-11-22T10:00:00Z`: microseconds since 1970-01-01T00:00:00Z
    Timestamp(i64),
    /// `@2026-11-22T10:00:00`: the same without a zone
    TimestampNtz(i64),
    /// `250ms`: microseconds
    Duration(i64),
    /// `[1, 2]`
    Array(Vec<Expr>),
    /// `{ a: 1 }`
    Struct(Vec<(Name, Expr)>),
    /// A column, parameter or local.
    Name(Name),
    /// `a.b`
    Field(Box<Expr>, Name),
    /// `a[0]`
    Index(Box<Expr>, Box<Expr>),
    /// `f(x, y)`, also `try(x)`; an aggregate call may have `where cond` behind it
    Call {
        /// The function.
        function: Name,
        /// Its arguments.
        args: Vec<Arg>,
        /// `where cond`
        filter: Option<Box<Expr>>,
    },
    /// `-x`, `not x`
    Unary(UnaryOp, Box<Expr>),
    /// `a + b`
    Binary {
        /// Which.
        op: BinaryOp,
        /// Where the operator stands.
        op_span: Span,
        /// Left.
        left: Box<Expr>,
        /// Right.
        right: Box<Expr>,
    },
    /// `x is null`, `x is not null`
    IsNull {
        /// The value.
        value: Box<Expr>,
        /// `is not null`
        negated: bool,
    },
    /// `x between a and b`
    Between {
        /// The value.
        value: Box<Expr>,
        /// The least.
        low: Box<Expr>,
        /// The greatest.
        high: Box<Expr>,
        /// `not between`
        negated: bool,
    },
    /// `x in [..]`, `id in device.id`, `x in xs`
    In {
        /// The value.
        value: Box<Expr>,
        /// An array literal, an array, or a table's column.
        list: Box<Expr>,
        /// `not in`
        negated: bool,
    },
    /// `x like "a%"`
    Like {
        /// The value.
        value: Box<Expr>,
        /// The pattern.
        pattern: Box<Expr>,
        /// `not like`
        negated: bool,
    },
    /// `x matches r"…"`
    Matches {
        /// The value.
        value: Box<Expr>,
        /// The regular expression.
        pattern: Box<Expr>,
        /// `not matches`
        negated: bool,
    },
    /// `if a then b else c`
    If {
        /// The condition.
        condition: Box<Expr>,
        /// When true.
        then: Box<Expr>,
        /// When false or null.
        otherwise: Box<Expr>,
    },
    /// `match x { 1 => "one", _ => "some" }`
    Match {
        /// The value.
        value: Box<Expr>,
        /// The arms, in order.
        arms: Vec<MatchArm>,
    },
    /// `x as T`; with `T?` a failure is null
    Cast {
        /// The value.
        value: Box<Expr>,
        /// The type.
        ty: TypeExpr,
    },
    /// What could not be parsed; it has its diagnostic.
    Error,
}

/// `pattern => value`
#[derive(Debug, Clone, PartialEq)]
pub struct MatchArm {
    /// Any of these.
    pub patterns: Vec<Pattern>,
    /// The value.
    pub value: Expr,
    /// The whole.
    pub span: Span,
}

/// A pattern with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Pattern {
    /// Which.
    pub kind: PatternKind,
    /// The whole.
    pub span: Span,
}

/// The patterns.
#[derive(Debug, Clone, PartialEq)]
pub enum PatternKind {
    /// `_`
    Wildcard,
    /// `1`, `"a"`, `null`: any expression, compared with `==`, but null matches null
    Value(Expr),
    /// `> 10`
    Compare(BinaryOp, Expr),
    /// `in [..]`
    In(Expr),
    /// `between a and b`
    Between(Expr, Expr),
    /// `like "a%"`
    Like(Expr),
    /// `matches r"…"`
    Matches(Expr),
}

impl PatternKind {
    /// The expressions directly inside.
    pub fn children(&self) -> Vec<&Expr> {
        match self {
            PatternKind::Wildcard => vec![],
            PatternKind::Value(e) | PatternKind::Compare(_, e) | PatternKind::In(e) => vec![e],
            PatternKind::Like(e) | PatternKind::Matches(e) => vec![e],
            PatternKind::Between(low, high) => vec![low, high],
        }
    }
}

/// Prefix operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnaryOp {
    /// `-`
    Negate,
    /// `not`
    Not,
}

/// Infix operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    /// `or`
    Or,
    /// `and`
    And,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterEqual,
    /// `??`
    Coalesce,
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `div`
    IntegerDivide,
    /// `%`
    Remainder,
}

impl BinaryOp {
    /// As it is written.
    pub fn text(self) -> &'static str {
        match self {
            BinaryOp::Or => "or",
            BinaryOp::And => "and",
            BinaryOp::Equal => "==",
            BinaryOp::NotEqual => "!=",
            BinaryOp::Less => "<",
            BinaryOp::LessEqual => "<=",
            BinaryOp::Greater => ">",
            BinaryOp::GreaterEqual => ">=",
            BinaryOp::Coalesce => "??",
            BinaryOp::Add => "+",
            BinaryOp::Subtract => "-",
            BinaryOp::Multiply => "*",
            BinaryOp::Divide => "/",
            BinaryOp::IntegerDivide => "div",
            BinaryOp::Remainder => "%",
        }
    }
}
