//! Typed expressions and the straight-line programs made of them. Types are settled: no implicit conversion is left. What an expression means is
//! defined by the `interpret` module.

use crate::functions::FunctionRef;
use crate::types::{Field, Schema, Type};
use crate::value::Value;
use serde::{Deserialize, Serialize};

/// A place in the user's source, for messages at run time: file index and byte range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Origin {
    /// The file, as the front end numbers them.
    pub file: u32,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

/// An expression with its type and place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Expr {
    /// What it computes.
    pub kind: ExprKind,
    /// The type of its value.
    pub ty: Type,
    /// Where it was written.
    pub origin: Origin,
}

/// A variable of a [`ExprKind::Let`]; unique within one expression tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LocalId(pub u32);

/// The forms of expressions. Operators and functions are [`ExprKind::Call`]; the other forms are those that do not evaluate all their operands,
/// or that the function table cannot type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExprKind {
    /// The value in this column of the row (in a [`Program`]: inputs first, then its `Let`s).
    Column(usize),
    /// A constant.
    Literal(Value),
    /// A variable bound by a `Let` around it.
    Local(LocalId),
    /// `value` once, then `body`, in which it may be used any number of times. A failure in `value` is the expression's only where `body` uses it:
    /// it is evaluated at its first use.
    Let {
        /// The variable.
        local: LocalId,
        /// Its value.
        value: Box<Expr>,
        /// Where it is seen.
        body: Box<Expr>,
    },
    /// A function or operator of the table; operands are evaluated from left to right, all of them.
    Call {
        /// Which.
        function: FunctionRef,
        /// The operands, already of the parameters' types.
        args: Vec<Expr>,
    },
    /// Three-valued; from left to right, until one is false.
    And(Vec<Expr>),
    /// Three-valued; from left to right, until one is true.
    Or(Vec<Expr>),
    /// Three-valued.
    Not(Box<Expr>),
    /// Never null.
    IsNull(Box<Expr>),
    /// Only the branch taken is evaluated; a null condition takes `otherwise`. Both branches have the type of the whole.
    If {
        /// The condition.
        condition: Box<Expr>,
        /// When true.
        then: Box<Expr>,
        /// When false or null.
        otherwise: Box<Expr>,
    },
    /// The first that is not null; later ones are not evaluated. All have the data type of the whole.
    Coalesce(Vec<Expr>),
    /// Three-valued membership in constants of the operand's type: null if the operand is null, or if it is not found and the list has a null.
    InList {
        /// The value.
        value: Box<Expr>,
        /// The constants.
        list: Vec<Value>,
    },
    /// Conversion to the type of the whole.
    Cast {
        /// The value.
        value: Box<Expr>,
        /// What happens if it cannot be.
        on_failure: CastFailure,
    },
    /// Null where the operand fails.
    Try(Box<Expr>),
    /// A field of a struct; null if the struct is.
    Field {
        /// The struct.
        value: Box<Expr>,
        /// The position of the field.
        index: usize,
    },
    /// A struct of these fields; their names are in the type.
    Struct(Vec<Expr>),
    /// An array of these elements, each of the element type.
    Array(Vec<Expr>),
}

/// What a conversion does with a value that the target type does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CastFailure {
    /// It cannot happen: an implicit widening.
    Never,
    /// The row fails.
    Error,
    /// The result is null.
    Null,
}

/// A straight-line program over one row: what stands between two operators that keep state, fused. Steps run in order; a row that a filter removes
/// is not seen by later steps, so it cannot fail there. Of the failures of a batch the one of the first row is reported, and within a row the
/// first in the order of evaluation.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Program {
    /// The columns that come in.
    pub input: Schema,
    /// The steps.
    pub steps: Vec<ProgramStep>,
    /// The columns that go out.
    pub outputs: Vec<Output>,
}

/// A step of a [`Program`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProgramStep {
    /// Computes a further column slot: the first `Let` has index `input.len()`, and so on.
    Let(Expr),
    /// Lets a row through only where this boolean is true.
    Filter(Expr),
    /// A row where this boolean is not true fails, with this explanation.
    Assert {
        /// What must be true.
        condition: Expr,
        /// What is broken when it is not: for example ``constraint `sane` of sink `per_minute` ``.
        what: String,
    },
}

/// An outgoing column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Output {
    /// Its name and type; the type is the expression's (or wider in nullability).
    pub field: Field,
    /// Its value.
    pub value: Expr,
}

impl Program {
    /// The columns that go out.
    pub fn output_schema(&self) -> Schema {
        Schema::new(self.outputs.iter().map(|o| o.field.clone()).collect())
    }

    /// The type of a column slot: an input, or a `Let`.
    pub fn slot_type(&self, slot: usize) -> Option<&Type> {
        if slot < self.input.len() {
            return Some(&self.input.fields[slot].ty);
        }
        let lets = self.steps.iter().filter_map(|s| match s {
            ProgramStep::Let(e) => Some(&e.ty),
            _ => None,
        });
        lets.clone().nth(slot - self.input.len())
    }
}

impl Expr {
    /// An expression at a place.
    pub fn new(kind: ExprKind, ty: Type, origin: Origin) -> Self {
        Expr { kind, ty, origin }
    }

    /// The expressions directly inside, in the order of evaluation.
    pub fn children(&self) -> Vec<&Expr> {
        match &self.kind {
            ExprKind::Column(_) | ExprKind::Literal(_) | ExprKind::Local(_) => vec![],
            ExprKind::Let { value, body, .. } => vec![value, body],
            ExprKind::Call { args, .. } => args.iter().collect(),
            ExprKind::And(xs) | ExprKind::Or(xs) | ExprKind::Coalesce(xs) => xs.iter().collect(),
            ExprKind::Struct(xs) | ExprKind::Array(xs) => xs.iter().collect(),
            ExprKind::Not(x) | ExprKind::IsNull(x) | ExprKind::Try(x) => vec![x],
            ExprKind::If { condition, then, otherwise } => vec![condition, then, otherwise],
            ExprKind::InList { value, .. } | ExprKind::Cast { value, .. } | ExprKind::Field { value, .. } => {
                vec![value]
            }
        }
    }

    /// As [`Expr::children`], to change them.
    pub fn children_mut(&mut self) -> Vec<&mut Expr> {
        match &mut self.kind {
            ExprKind::Column(_) | ExprKind::Literal(_) | ExprKind::Local(_) => vec![],
            ExprKind::Let { value, body, .. } => vec![value, body],
            ExprKind::Call { args, .. } => args.iter_mut().collect(),
            ExprKind::And(xs) | ExprKind::Or(xs) | ExprKind::Coalesce(xs) => xs.iter_mut().collect(),
            ExprKind::Struct(xs) | ExprKind::Array(xs) => xs.iter_mut().collect(),
            ExprKind::Not(x) | ExprKind::IsNull(x) | ExprKind::Try(x) => vec![x],
            ExprKind::If { condition, then, otherwise } => vec![condition, then, otherwise],
            ExprKind::InList { value, .. } | ExprKind::Cast { value, .. } | ExprKind::Field { value, .. } => {
                vec![value]
            }
        }
    }

    /// Calls `f` for this and every expression inside, parents first.
    pub fn walk(&self, f: &mut impl FnMut(&Expr)) {
        f(self);
        for child in self.children() {
            child.walk(f);
        }
    }

    /// Calls `f` for this and every expression inside, children first.
    pub fn walk_mut(&mut self, f: &mut impl FnMut(&mut Expr)) {
        for child in self.children_mut() {
            child.walk_mut(f);
        }
        f(self);
    }
}
