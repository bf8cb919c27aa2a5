//! The comparing operators and those that look inside strings, arrays and maps.

use super::operand::{array, long, map, string};
use super::{Call, Category, Function, Scalar, decimal, kernels};
use crate::cast::format::text_of;
use crate::eval::Failure;
use crate::types::{DataType, Type};
use crate::value::Value;
use std::cmp::Ordering;

const OPERATOR: Category = Category::Operator;

macro_rules! comparison {
    ($name:literal, $sign:literal, $doc:literal, $examples:expr, $test:expr) => {
        Function::new(
            $name,
            OPERATOR,
            &[concat!($name, "(a: O, b: O) -> boolean"), concat!($name, "(a: decimal, b: decimal) -> boolean")],
            $doc,
            $examples,
            |call, args| {
                let test: fn(Ordering) -> bool = $test;
                Ok(Value::Boolean(test(compare(call, &args[0], &args[1]))))
            },
        )
        .with_kernel(|call, args, rows| {
            let scalar: Scalar = |call, args| {
                let test: fn(Ordering) -> bool = $test;
                Ok(Value::Boolean(test(compare(call, &args[0], &args[1]))))
            };
            kernels::comparison(call, args, rows, scalar, $test)
        })
    };
}

/// The functions of this topic.
pub(super) const FUNCTIONS: &[Function] = &[
    comparison!(
        "equal",
        "==",
        "`a == b`. NaN equals NaN, -0.0 equals 0.0. Arrays and structs are compared element by element; nulls inside them equal each other.",
        &[("1 == 1.0", "true"), ("\"a\" == \"b\"", "false"), ("1 == null", "null")],
        Ordering::is_eq
    ),
    comparison!("not_equal", "!=", "`a != b`.", &[("1 != 2", "true")], Ordering::is_ne),
    comparison!(
        "less",
        "<",
        "`a < b`. Strings are ordered by their UTF-8 bytes; NaN is greater than every other number.",
        &[("1 < 2", "true"), ("\"B\" < \"a\"", "true"), ("[1, 2] < [1, 3]", "true")],
        Ordering::is_lt
    ),
    comparison!("less_equal", "<=", "`a <= b`.", &[("2 <= 2", "true")], Ordering::is_le),
    comparison!("greater", ">", "`a > b`.", &[("1 > 2", "false")], Ordering::is_gt),
    comparison!("greater_equal", ">=", "`a >= b`.", &[("2 >= 3", "false")], Ordering::is_ge),
    Function::new(
        "like",
        OPERATOR,
        &["like(text: string, pattern: string) -> boolean"],
        "`text like pattern`: `%` stands for any characters, `_` for one; `\\` before them makes them ordinary.",
        &[("\"flowc\" like \"f%c\"", "true"), ("\"flowc\" like \"f_c\"", "false")],
        |_, args| Ok(Value::Boolean(Like::new(string(&args[1])).fits(string(&args[0])))),
    )
    .with_kernel(kernels::like),
    Function::new(
        "index",
        OPERATOR,
        &["index(xs: array<T>, i: long) -> T?", "index(m: map<K, V>, key: K) -> V?"],
        "`xs[i]`, counted from 0, or `m[key]`: null outside of the array and for a key that is missing.",
        &[("[10, 20][1]", "20"), ("[10, 20][5]", "null"), ("map_from_arrays([\"a\"], [1])[\"a\"]", "1")],
        index,
    )
    .with_kernel(kernels::index),
    Function::new(
        "to_text",
        OPERATOR,
        &["to_text(x: T) -> string"],
        "What `\"{x}\"` prints: `x as string`, and `null` for null.",
        &[("\"{1}, {null}\"", "\"1, null\""), ("to_text(100.0)", "\"100.0\"")],
        |call, args| Ok(Value::String(text_of(&args[0], &call.args[0].data))),
    )
    .sees_nulls(None)
    .with_kernel(kernels::to_text),
    Function::new(
        "array_contains",
        Category::Array,
        &["array_contains(xs: array<O>, x: O) -> boolean"],
        "Whether `x` is an element; written `x in xs` as well. Null where it is not found and the array has a null.",
        &[("array_contains([1, 2], 2)", "true"), ("array_contains([1, null], 2)", "null")],
        |_, args| {
            let items = array(&args[0]);
            let found = items.iter().any(|i| !i.is_null() && *i == args[1]);
            Ok(if !found && items.iter().any(Value::is_null) { Value::Null } else { Value::Boolean(found) })
        },
    )
    .nullable_when(has_null_elements),
];

/// Whether the first operand is an array with nulls.
pub(super) fn has_null_elements(types: &[Type]) -> bool {
    matches!(&types[0].data, DataType::Array(item) if item.nullable)
}

/// The order of two operands; decimals may have different scales.
pub(super) fn compare(call: &Call<'_>, a: &Value, b: &Value) -> Ordering {
    match (a, b, &call.args[0].data, &call.args[1].data) {
        (
            Value::Decimal(x),
            Value::Decimal(y),
            DataType::Decimal { scale: s, .. },
            DataType::Decimal { scale: t, .. },
        ) if s != t => decimal::compare((*x, *s), (*y, *t)),
        _ => a.compare(b),
    }
}

fn index(_: &Call<'_>, args: &[Value]) -> Result<Value, Failure> {
    Ok(match &args[0] {
        Value::Map(_) => map(&args[0]).iter().find(|(k, _)| *k == args[1]).map(|(_, v)| v.clone()),
        items => usize::try_from(long(&args[1])).ok().and_then(|i| array(items).get(i).cloned()),
    }
    .unwrap_or(Value::Null))
}

/// A step of a `like` pattern.
enum Step {
    Char(char),
    One,
    Any,
}

/// A `like` pattern, taken apart.
pub(super) struct Like(Vec<Step>);

impl Like {
    /// Reads a pattern; every text is one.
    pub(super) fn new(pattern: &str) -> Like {
        let mut steps = vec![];
        let mut chars = pattern.chars();
        while let Some(c) = chars.next() {
            steps.push(match c {
                '%' => Step::Any,
                '_' => Step::One,
                '\\' => Step::Char(chars.next().unwrap_or('\\')),
                other => Step::Char(other),
            });
        }
        Like(steps)
    }

    /// Whether a text fits. Linear in the text for each `%`: it goes back to the last `%` only.
    pub(super) fn fits(&self, text: &str) -> bool {
        let (mut at, mut step, mut retry) = (0, 0, None);
        loop {
            let next = text[at..].chars().next();
            match (self.0.get(step), next) {
                (Some(Step::Any), _) => {
                    step += 1;
                    retry = Some((step, at));
                    continue;
                }
                (Some(Step::Char(c)), Some(n)) if *c == n => {
                    at += n.len_utf8();
                    step += 1;
                    continue;
                }
                (Some(Step::One), Some(n)) => {
                    at += n.len_utf8();
                    step += 1;
                    continue;
                }
                (None, None) => return true,
                _ => {}
            }
            let Some((after, from)) = retry else { return false };
            let Some(skipped) = text[from..].chars().next() else { return false };
            retry = Some((after, from + skipped.len_utf8()));
            (at, step) = (from + skipped.len_utf8(), after);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Like;

    #[test]
    fn like_patterns() {
        for (text, pattern, expected) in [
            ("", "", true),
            ("", "%", true),
            ("a", "_", true),
            ("ä", "_", true),
            ("ab", "_", false),
            ("a%b", "a\\%b", true),
            ("axb", "a\\%b", false),
            ("aXbXc", "a%b%c", true),
            ("abcabc", "%abc", true),
            ("abcab", "%abc", false),
            ("a\\", "a\\", true),
        ] {
            assert_eq!(Like::new(pattern).fits(text), expected, "{text} like {pattern}");
        }
    }
}
