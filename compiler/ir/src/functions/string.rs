//! Functions of strings. Positions count characters from 1, as in Spark.

use super::operand::{LARGEST, argument, bytes};
use super::{Call, Category, Function};
use crate::eval::Failure;
use crate::types::DataType;
use crate::value::Value;

const STRING: Category = Category::String;

/// The functions of this topic.
pub(super) const FUNCTIONS: &[Function] = &[Function::new(
    "concat",
    STRING,
    &["concat(texts: string...) -> string", "concat(xs: binary...) -> binary", "concat(xs: array<T>...) -> array<T>"],
    "The operands one behind the other.",
    &[("concat(\"a\", \"b\", \"c\")", "\"abc\""), ("concat([1], [2, 3])", "[1, 2, 3]")],
    concat,
)
.failing()];

pub(super) fn too_long(size: usize) -> Failure {
    argument(format!("the result would have {size} bytes, more than {LARGEST}"))
}

fn concat(call: &Call<'_>, args: &[Value]) -> Result<Value, Failure> {
    if matches!(call.result.data, DataType::Array(_)) {
        return super::array::concat(args);
    }
    let size = args.iter().map(|a| bytes(a).len()).sum();
    if size > LARGEST {
        return Err(too_long(size));
    }
    let joined: Vec<u8> = args.iter().flat_map(|a| bytes(a)).copied().collect();
    Ok(match call.result.data {
        // Strings joined are a string still.
        DataType::String => Value::String(String::from_utf8(joined).unwrap_or_default()),
        _ => Value::Binary(joined),
    })
}
