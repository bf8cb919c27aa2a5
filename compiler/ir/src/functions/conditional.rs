//! Functions that choose among values. `coalesce`, `if` and `try`, which do not evaluate all their operands, are forms of expressions, not functions.

use super::{Category, Function};
use crate::types::Type;
use crate::value::Value;

const CONDITIONAL: Category = Category::Conditional;

fn second_nullable(types: &[Type]) -> bool {
    types[0].nullable && types[1].nullable
}

/// The functions of this topic.
pub(super) const FUNCTIONS: &[Function] = &[
    Function::new(
        "nullif",
        CONDITIONAL,
        &["nullif(x: O, y: O) -> O?"],
        "Null where the operands are equal, else `x`.",
        &[("nullif(1, 1)", "null"), ("nullif(1, 2)", "1")],
        |_, args| Ok(if !args[0].is_null() && args[0] == args[1] { Value::Null } else { args[0].clone() }),
    )
    .sees_nulls(None),
    Function::new(
        "nullifzero",
        CONDITIONAL,
        &["nullifzero(x: N) -> N?"],
        "Null where the number is zero, else the number.",
        &[("nullifzero(0)", "null"), ("nullifzero(2)", "2")],
        |_, args| {
            use Value::*;
            let zero = match &args[0] {
                Byte(0) | Short(0) | Integer(0) | Long(0) | Decimal(0) => true,
                Float(x) => *x == 0.0,
                Double(x) => *x == 0.0,
                _ => false,
            };
            Ok(if zero { Null } else { args[0].clone() })
        },
    ),
    Function::new(
        "nvl",
        CONDITIONAL,
        &["nvl(x: T, y: T) -> T"],
        "`x`, or `y` where `x` is null; both are evaluated (`x ?? y` evaluates `y` only then).",
        &[("nvl(null, 2)", "2"), ("nvl(1, 2)", "1")],
        |_, args| Ok(if args[0].is_null() { args[1].clone() } else { args[0].clone() }),
    )
    .sees_nulls(Some(second_nullable)),
    Function::new(
        "ifnull",
        CONDITIONAL,
        &["ifnull(x: T, y: T) -> T"],
        "As `nvl`.",
        &[("ifnull(null, \"a\")", "\"a\"")],
        |_, args| Ok(if args[0].is_null() { args[1].clone() } else { args[0].clone() }),
    )
    .sees_nulls(Some(second_nullable)),
    Function::new(
        "nvl2",
        CONDITIONAL,
        &["nvl2(x: A, y: T, z: T) -> T"],
        "`y` where `x` is not null, else `z`; all are evaluated.",
        &[("nvl2(null, 1, 2)", "2"), ("nvl2(\"a\", 1, 2)", "1")],
        |_, args| Ok(if args[0].is_null() { args[2].clone() } else { args[1].clone() }),
    )
    .sees_nulls(Some(|types| types[1].nullable || types[2].nullable)),
    Function::new(
        "isnull",
        CONDITIONAL,
        &["isnull(x: T) -> boolean"],
        "Whether `x` is null, as `x is null`.",
        &[("isnull(null)", "true"), ("isnull(1)", "false")],
        |_, args| Ok(Value::Boolean(args[0].is_null())),
    )
    .sees_nulls(None),
    Function::new(
        "isnotnull",
        CONDITIONAL,
        &["isnotnull(x: T) -> boolean"],
        "Whether `x` is not null, as `x is not null`.",
        &[("isnotnull(null)", "false"), ("isnotnull(1)", "true")],
        |_, args| Ok(Value::Boolean(!args[0].is_null())),
    )
    .sees_nulls(None),
    Function::new(
        "typeof",
        CONDITIONAL,
        &["typeof(x: T) -> string"],
        "The name of the operand's type.",
        &[("typeof(1)", "\"integer\""), ("typeof([1.5])", "\"array<double>\"")],
        |call, _| Ok(Value::String(call.args[0].data.to_string())),
    )
    .sees_nulls(None),
    Function::new(
        "equal_null",
        CONDITIONAL,
        &["equal_null(x: O, y: O) -> boolean"],
        "Whether the operands are equal, null being equal to null; never null itself.",
        &[("equal_null(null, null)", "true"), ("equal_null(1, null)", "false")],
        |_, args| Ok(Value::Boolean(args[0] == args[1])),
    )
    .sees_nulls(None),
];
