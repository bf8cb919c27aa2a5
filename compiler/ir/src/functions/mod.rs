//! The table of built-in functions and operators: each declared once, with signature, documentation, meaning and, where it pays, a vectorized kernel.
//! The type checker, the interpreter, the compiled kernels, the reference documentation and the editor's completion all read this table.
//! It must not know of programs, tables or how expressions are compiled.

pub mod arithmetic;
mod array;
pub mod comparison;
mod conditional;
mod date_parts;
mod datetime;
pub mod decimal;
#[cfg(test)]
mod examples;
mod hash;
mod json;
mod kernels;
#[cfg(test)]
mod laws;
mod map;
mod math;
pub(crate) mod operand;
mod pattern;
mod reference;
pub(crate) mod regex;
mod signature;
mod string;
mod substring;
mod table;

pub use reference::{Completion, completions, reference_markdown};
#[cfg(any(test, feature = "testgen"))]
pub(crate) use signature::instantiations;
pub use signature::resolve;
pub use table::all;

use crate::eval::{EvalContext, Failure};
use crate::types::{DataType, Type};
use crate::value::Value;
use arrow::array::ArrayRef;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// What a function computes for one row: `types` are those of the operands, `result` the call's.
pub type Scalar = fn(&Call<'_>, &[Value]) -> Result<Value, Failure>;

/// What a function computes for a batch: as [`Scalar`] for every row. A failure carries the first row that fails. Operands all have `rows` values.
pub type Vectorized = fn(&Call<'_>, &[ArrayRef], usize) -> Result<ArrayRef, (usize, Failure)>;

/// The type of a result by those of the operands.
pub type ResultType = fn(&[Type]) -> Option<DataType>;

/// What a call knows besides its operands.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The types of the operands.
    pub args: &'a [Type],
    /// The type of the result.
    pub result: &'a Type,
    /// The epoch's constants.
    pub context: &'a EvalContext,
}

/// The groups of the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// `+`, `==`, …: written with a sign or a word, not called by name.
    Operator,
    /// Numbers.
    Math,
    /// Strings.
    String,
    /// Regular expressions.
    Regex,
    /// Dates, timestamps, durations.
    DateTime,
    /// Choice among values.
    Conditional,
    /// Hashes and encodings.
    Hash,
    /// JSON texts.
    Json,
    /// Arrays.
    Array,
    /// Maps.
    Map,
    /// Structs.
    Struct,
}

/// How nulls pass through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Nulls {
    /// A null operand makes the result null; `scalar` never sees one.
    Propagate,
    /// The function sees nulls and decides itself.
    Custom,
}

/// A built-in function.
#[derive(Clone, Copy)]
pub struct Function {
    /// Its name: for operators `add`, `equal`, … (the front end knows which sign is which).
    pub name: &'static str,
    /// Its group.
    pub category: Category,
    /// Its overloads, the cheapest to convert to wins and of equal ones the first, for example
    /// `substring(text: string, start: integer, length: integer) -> string`. Single capital letters are type variables (`N` numeric, `I` integer,
    /// `O` orderable, others any), `decimal` and `struct` stand for any decimal and any struct (each operand its own; at least one operand must be
    /// a decimal, integers go along), `any` for anything, each operand its own, `T?` marks what may be null whatever the operands, `...` behind the last parameter lets it be
    /// repeated, `= 1` shows that it may be left out.
    pub signatures: &'static [&'static str],
    /// One sentence, then details.
    pub doc: &'static str,
    /// Calls and results as they are written in a program, for example `("upper(\"ab\")", "\"AB\"")`; each is run by a test.
    pub examples: &'static [(&'static str, &'static str)],
    /// How nulls pass through.
    pub nulls: Nulls,
    /// Whether a row can fail.
    pub fails: bool,
    /// Result type where the signature alone cannot say it (decimal precision, struct fields): gets the operands' types after coercion. None: as
    /// the signature says.
    pub result_type: Option<ResultType>,
    /// Whether the result may be null for operands of these types, besides what [`Nulls`] and the signature's `?` say already.
    pub result_nullable: Option<fn(&[Type]) -> bool>,
    /// Its meaning.
    pub scalar: Scalar,
    /// The same over batches; none: `scalar` row by row.
    pub vectorized: Option<Vectorized>,
}

impl Function {
    /// A function that propagates nulls, never fails and is computed row by row; the methods below change that.
    pub(crate) const fn new(
        name: &'static str,
        category: Category,
        signatures: &'static [&'static str],
        doc: &'static str,
        examples: &'static [(&'static str, &'static str)],
        scalar: Scalar,
    ) -> Function {
        Function {
            name,
            category,
            signatures,
            doc,
            examples,
            nulls: Nulls::Propagate,
            fails: false,
            result_type: None,
            result_nullable: None,
            scalar,
            vectorized: None,
        }
    }

    /// A row can fail.
    pub(crate) const fn failing(mut self) -> Function {
        self.fails = true;
        self
    }

    /// The function sees nulls; the result may be null as `nullable` says, or where the signature has a `?`.
    pub(crate) const fn sees_nulls(mut self, nullable: Option<fn(&[Type]) -> bool>) -> Function {
        self.nulls = Nulls::Custom;
        self.result_nullable = nullable;
        self
    }

    /// Nulls propagate, and the result may be null for these operands too.
    pub(crate) const fn nullable_when(mut self, nullable: fn(&[Type]) -> bool) -> Function {
        self.result_nullable = Some(nullable);
        self
    }

    /// The type of the result.
    pub(crate) const fn typed(mut self, result: ResultType) -> Function {
        self.result_type = Some(result);
        self
    }

    /// The kernel.
    pub(crate) const fn with_kernel(mut self, kernel: Vectorized) -> Function {
        self.vectorized = Some(kernel);
        self
    }

    /// Whether a row can fail for operands of these types: arithmetic on floats does not.
    pub fn can_fail(&self, args: &[Type]) -> bool {
        self.fails && !(self.category == Category::Operator && args.iter().all(|t| t.data.is_floating()))
    }

    /// Calls the function for one row: a null operand makes the result null where nulls propagate.
    pub fn call(&self, call: &Call<'_>, args: &[Value]) -> Result<Value, Failure> {
        if self.nulls == Nulls::Propagate && args.iter().any(Value::is_null) {
            return Ok(Value::Null);
        }
        (self.scalar)(call, args)
    }
}

/// A function of the table; equal by name, written as its name.
#[derive(Clone, Copy)]
pub struct FunctionRef(pub &'static Function);

impl std::ops::Deref for FunctionRef {
    type Target = Function;
    fn deref(&self) -> &Function {
        self.0
    }
}

impl fmt::Debug for FunctionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

impl PartialEq for FunctionRef {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for FunctionRef {}

impl Serialize for FunctionRef {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.0.name)
    }
}

impl<'de> Deserialize<'de> for FunctionRef {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let name = String::deserialize(d)?;
        find(&name).ok_or_else(|| serde::de::Error::custom(format!("unknown function `{name}`")))
    }
}

/// The function of this name.
pub fn find(name: &str) -> Option<FunctionRef> {
    table::index_of(name).map(|i| FunctionRef(&all()[i]))
}

/// The names that can be called, in alphabetical order: all but the operators written with a sign.
pub fn names() -> Vec<&'static str> {
    let callable = all().iter().filter(|f| f.category != Category::Operator);
    let mut names: Vec<_> = callable.map(|f| f.name).chain(SPECIAL_FORMS.iter().map(|s| s.0)).collect();
    names.sort_unstable();
    names
}

/// What is called like a function but is a form of expression of its own, because it does not evaluate all its operands: name, signature, documentation.
pub const SPECIAL_FORMS: &[(&str, &str, &str)] = &[
    (
        "coalesce",
        "coalesce(x: T, y: T...) -> T",
        "The first operand that is not null; later ones are not evaluated. Written `x ?? y` as well.",
    ),
    ("try", "try(x: T) -> T?", "`x`, or null where computing it fails."),
];

/// A call that fits: what to convert the operands to, and what comes out.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolution {
    /// The function.
    pub function: FunctionRef,
    /// The types the operands must be widened to, one each (nullability as given).
    pub parameters: Vec<Type>,
    /// The type of the result.
    pub result: Type,
}

/// Why a call does not fit.
#[derive(Debug, Clone, PartialEq)]
pub enum ResolveError {
    /// There is no function of this name.
    UnknownFunction,
    /// It does not take so many operands.
    Arity {
        /// The signatures.
        signatures: Vec<String>,
        /// How many it takes, in words: `2`, `1 or 2`, `at least 1`.
        expected: String,
    },
    /// An operand has a type that no overload takes there.
    Argument {
        /// Which operand.
        index: usize,
        /// What would fit, in words: `string`, `a number`, `array<T>`.
        expected: String,
        /// The signatures.
        signatures: Vec<String>,
    },
}
