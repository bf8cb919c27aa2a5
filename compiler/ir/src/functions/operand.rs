//! Taking operands apart. The resolver has settled their types, so a value of another kind is a broken invariant, not wrong input.

use crate::eval::{Failure, FailureCode};
use crate::value::Value;

#[cold]
fn ill_typed(expected: &str, value: &Value) -> ! {
    unreachable!("operand {value:?} is not of type {expected}: the expression was not verified")
}

macro_rules! accessors {
    ($($(#[$doc:meta])* $name:ident: $variant:ident -> $ty:ty = $word:literal;)*) => {
        $($(#[$doc])* pub(crate) fn $name(value: &Value) -> $ty {
            match value {
                Value::$variant(v) => *v,
                other => ill_typed($word, other),
            }
        })*
    };
}

accessors! {
    boolean: Boolean -> bool = "boolean";
    integer: Integer -> i32 = "integer";
    long: Long -> i64 = "long";
    double: Double -> f64 = "double";
    unscaled: Decimal -> i128 = "decimal";
    date: Date -> i32 = "date";
    duration: Duration -> i64 = "duration";
}

/// The microseconds of a timestamp of either kind.
pub(crate) fn micros(value: &Value) -> i64 {
    match value {
        Value::Timestamp(v) | Value::TimestampNtz(v) => *v,
        other => ill_typed("timestamp", other),
    }
}

/// A string.
pub(crate) fn string(value: &Value) -> &str {
    match value {
        Value::String(s) => s,
        other => ill_typed("string", other),
    }
}

/// A string's or a binary's bytes.
pub(crate) fn bytes(value: &Value) -> &[u8] {
    match value {
        Value::String(s) => s.as_bytes(),
        Value::Binary(b) => b,
        other => ill_typed("binary", other),
    }
}

/// An array's elements.
pub(crate) fn array(value: &Value) -> &[Value] {
    match value {
        Value::Array(items) => items,
        other => ill_typed("array", other),
    }
}

/// A map's entries.
pub(crate) fn map(value: &Value) -> &[(Value, Value)] {
    match value {
        Value::Map(entries) => entries,
        other => ill_typed("map", other),
    }
}

/// An operand outside the domain of the function.
pub(crate) fn argument(message: impl Into<String>) -> Failure {
    Failure::new(FailureCode::Argument, message)
}

/// A result that does not fit.
pub(crate) fn overflow(message: impl Into<String>) -> Failure {
    Failure::new(FailureCode::Overflow, message)
}

/// The largest string, binary or array (in elements) that a function makes: what grows beyond all bounds is a mistake, not data.
pub(crate) const LARGEST: usize = 64 << 20;

/// The most elements of an array that a function makes.
pub(crate) const MOST_ELEMENTS: usize = 4 << 20;
