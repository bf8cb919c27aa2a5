//! How flowc's types stand in machine code. Knows nothing of expressions.

use cranelift::prelude::{Type, types};
use flowc_ir::{DataType, Value};

/// The type of a value in a register; none for types of no fixed width.
pub(crate) fn clif_type(data: &DataType) -> Option<Type> {
    Some(match data {
        DataType::Boolean | DataType::Byte => types::I8,
        DataType::Short => types::I16,
        DataType::Integer | DataType::Date => types::I32,
        DataType::Long | DataType::Timestamp | DataType::TimestampNtz | DataType::Duration => types::I64,
        DataType::Float => types::F32,
        DataType::Double => types::F64,
        DataType::Decimal { .. } => types::I128,
        DataType::Null
        | DataType::String
        | DataType::Binary
        | DataType::Array(_)
        | DataType::Map(..)
        | DataType::Struct(_) => return None,
    })
}

/// Bytes from one value to the next in a column; booleans are written as bytes.
pub(crate) fn width(data: &DataType) -> Option<usize> {
    clif_type(data).map(|t| t.bytes() as usize)
}

/// The integer that stands for a constant: the bits of a float, 0 or 1 for booleans. None for null and for types of no fixed width.
pub(crate) fn bits(value: &Value) -> Option<i128> {
    Some(match value {
        Value::Boolean(v) => i128::from(*v),
        Value::Byte(v) => i128::from(*v),
        Value::Short(v) => i128::from(*v),
        Value::Integer(v) | Value::Date(v) => i128::from(*v),
        Value::Long(v) | Value::Timestamp(v) | Value::TimestampNtz(v) | Value::Duration(v) => i128::from(*v),
        Value::Float(v) => i128::from(v.to_bits()),
        Value::Double(v) => i128::from(v.to_bits()),
        Value::Decimal(v) => *v,
        Value::Null | Value::String(_) | Value::Binary(_) | Value::Array(_) | Value::Map(_) | Value::Struct(_) => {
            return None;
        }
    })
}

/// Least and greatest value of an integer type.
pub(crate) fn range(ty: Type) -> (i128, i128) {
    match ty.bits() {
        128 => (i128::MIN, i128::MAX),
        bits => (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1),
    }
}
