//! Conversions: what `as` and implicit widening compute, and which pairs of types have one. As Spark's ANSI casts. Knows values and types; nothing of
//! expressions or batches.

pub mod format;
pub mod parse;

use crate::calendar::{MICROS_PER_DAY, MICROS_PER_SECOND};
use crate::eval::{Failure, FailureCode};
use crate::functions::decimal;
use crate::types::DataType;
use crate::value::Value;
use format::text_of;

/// Whether values of one type can be converted to the other (each may still fail).
pub fn castable(from: &DataType, to: &DataType) -> bool {
    use DataType::*;
    if from == to || *from == Null {
        return true;
    }
    match (from, to) {
        (_, Null) => false,
        (_, String) => true,
        (String, Array(_) | Map(..) | Struct(_)) => false,
        (String, _) => true,
        (Boolean, b) => b.is_numeric(),
        (a, Boolean) => a.is_numeric(),
        (a, b) if a.is_numeric() && b.is_numeric() => true,
        (Date, Timestamp | TimestampNtz) | (Timestamp | TimestampNtz, Date) => true,
        (Timestamp, TimestampNtz) | (TimestampNtz, Timestamp) => true,
        (Timestamp, b) => b.is_numeric(),
        (a, Timestamp) => a.is_numeric(),
        (Array(a), Array(b)) => (b.nullable || !a.nullable) && castable(&a.data, &b.data),
        (Map(k, v), Map(l, w)) => castable(k, l) && (w.nullable || !v.nullable) && castable(&v.data, &w.data),
        (Struct(a), Struct(b)) => {
            a.len() == b.len()
                && a.iter().zip(b).all(|(x, y)| (y.ty.nullable || !x.ty.nullable) && castable(&x.ty.data, &y.ty.data))
        }
        _ => false,
    }
}

/// Whether a conversion of one type to the other can fail for some value.
pub fn cast_can_fail(from: &DataType, to: &DataType) -> bool {
    use DataType::*;
    match (from, to) {
        (a, b) if a == b => false,
        (Null, _) => false,
        (Binary, String) => true,
        (_, String) => false,
        (String, Binary) => false,
        // Dates reach further than timestamps.
        (Date, Timestamp | TimestampNtz) => true,
        (Timestamp | TimestampNtz, Date) | (Timestamp, TimestampNtz) | (TimestampNtz, Timestamp) => false,
        (Timestamp, Long | Float | Double) => false,
        (a, Boolean) if a.is_numeric() => false,
        (Boolean, Decimal { precision, scale }) => precision == scale,
        (Boolean, _) => false,
        (a, Float | Double) if a.is_numeric() => false,
        (Array(a), Array(b)) => cast_can_fail(&a.data, &b.data),
        (Map(k, v), Map(l, w)) => cast_can_fail(k, l) || cast_can_fail(&v.data, &w.data),
        (Struct(a), Struct(b)) => a.iter().zip(b).any(|(x, y)| cast_can_fail(&x.ty.data, &y.ty.data)),
        (a, b) => !a.widens_to(b),
    }
}

/// Converts a value; a failure has code R0103. Null stays null.
pub fn cast_value(value: &Value, from: &DataType, to: &DataType) -> Result<Value, Failure> {
    if from == to || value.is_null() {
        return Ok(value.clone());
    }
    match (value, from, to) {
        (Value::Array(items), DataType::Array(a), DataType::Array(b)) => {
            let cast = items.iter().map(|v| cast_value(v, &a.data, &b.data));
            Ok(Value::Array(cast.collect::<Result<_, _>>()?))
        }
        (Value::Map(entries), DataType::Map(k, v), DataType::Map(l, w)) => {
            let cast = |(key, item): &(Value, Value)| Ok((cast_value(key, k, l)?, cast_value(item, &v.data, &w.data)?));
            Ok(Value::Map(entries.iter().map(cast).collect::<Result<_, Failure>>()?))
        }
        (Value::Struct(values), DataType::Struct(a), DataType::Struct(b)) => {
            let cast = values.iter().zip(a.iter().zip(b)).map(|(v, (x, y))| cast_value(v, &x.ty.data, &y.ty.data));
            Ok(Value::Struct(cast.collect::<Result<_, _>>()?))
        }
        _ => scalar(value, from, to).ok_or_else(|| failure(value, from, to)),
    }
}

fn failure(value: &Value, from: &DataType, to: &DataType) -> Failure {
    let shown = match value {
        Value::String(s) => {
            let start: String = s.chars().take(80).collect();
            format!("{start:?}{}", if start.len() < s.len() { "…" } else { "" })
        }
        Value::Binary(bytes) => format!("a binary of {} bytes", bytes.len()),
        other => text_of(other, from),
    };
    Failure::new(FailureCode::Cast, format!("{shown} cannot be converted to {to}"))
}

fn scalar(value: &Value, from: &DataType, to: &DataType) -> Option<Value> {
    match (value, to) {
        (Value::Binary(bytes), DataType::String) => String::from_utf8(bytes.clone()).ok().map(Value::String),
        (_, DataType::String) => Some(Value::String(text_of(value, from))),
        (Value::String(text), _) => from_string(text, to),
        (Value::Boolean(b), _) => from_integer(i128::from(*b), to),
        (Value::Byte(v), _) => from_integer(i128::from(*v), to),
        (Value::Short(v), _) => from_integer(i128::from(*v), to),
        (Value::Integer(v), _) => from_integer(i128::from(*v), to),
        (Value::Long(v), _) => from_integer(i128::from(*v), to),
        (Value::Float(v), DataType::Double) => Some(Value::Double(f64::from(*v))),
        (Value::Float(v), _) => from_double(f64::from(*v), to),
        (Value::Double(v), _) => from_double(*v, to),
        (Value::Decimal(v), _) => from_decimal(*v, from.as_decimal()?.1, to),
        (Value::Date(days), _) => {
            let micros = i64::from(*days).checked_mul(MICROS_PER_DAY)?;
            timestamp(micros, to)
        }
        (Value::Timestamp(micros), _) if to.is_numeric() => match to {
            DataType::Float => Some(Value::Float((*micros as f64 / 1e6) as f32)),
            DataType::Double => Some(Value::Double(*micros as f64 / 1e6)),
            DataType::Decimal { .. } => from_decimal(i128::from(*micros), 6, to),
            _ => from_integer(i128::from(micros.div_euclid(MICROS_PER_SECOND)), to),
        },
        (Value::Timestamp(micros) | Value::TimestampNtz(micros), _) => timestamp(*micros, to),
        _ => None,
    }
}

fn timestamp(micros: i64, to: &DataType) -> Option<Value> {
    match to {
        DataType::Timestamp => Some(Value::Timestamp(micros)),
        DataType::TimestampNtz => Some(Value::TimestampNtz(micros)),
        DataType::Date => i32::try_from(micros.div_euclid(MICROS_PER_DAY)).ok().map(Value::Date),
        _ => None,
    }
}

/// Converts a text to a type other than string; none if it is none of its values.
pub(crate) fn from_string(text: &str, to: &DataType) -> Option<Value> {
    use parse::*;
    match to {
        DataType::Boolean => parse_boolean(text).map(Value::Boolean),
        DataType::Byte | DataType::Short | DataType::Integer | DataType::Long => {
            from_integer(i128::from(parse_integer(text)?), to)
        }
        DataType::Float => parse_float(text).map(Value::Float),
        DataType::Double => parse_double(text).map(Value::Double),
        DataType::Decimal { precision, scale } => parse_decimal(text, *precision, *scale)?.map(Value::Decimal),
        DataType::Binary => Some(Value::Binary(text.as_bytes().to_vec())),
        DataType::Date => parse_date(text).map(Value::Date),
        DataType::Timestamp => parse_timestamp(text).map(Value::Timestamp),
        DataType::TimestampNtz => parse_timestamp_ntz(text).map(Value::TimestampNtz),
        DataType::Duration => parse_duration(text).map(Value::Duration),
        _ => None,
    }
}

fn from_integer(v: i128, to: &DataType) -> Option<Value> {
    match to {
        DataType::Boolean => Some(Value::Boolean(v != 0)),
        DataType::Byte => i8::try_from(v).ok().map(Value::Byte),
        DataType::Short => i16::try_from(v).ok().map(Value::Short),
        DataType::Integer => i32::try_from(v).ok().map(Value::Integer),
        DataType::Long => i64::try_from(v).ok().map(Value::Long),
        DataType::Float => Some(Value::Float(v as f32)),
        DataType::Double => Some(Value::Double(v as f64)),
        DataType::Decimal { precision, scale } => decimal::rescale(v, 0, (*precision, *scale)).map(Value::Decimal),
        DataType::Timestamp => {
            let micros = v.checked_mul(i128::from(MICROS_PER_SECOND))?;
            i64::try_from(micros).ok().map(Value::Timestamp)
        }
        _ => None,
    }
}

/// Truncates a double to an integer that has at most 63 bits and a sign.
pub fn double_to_long(v: f64) -> Option<i64> {
    // Both bounds are exact doubles; NaN is in no range.
    (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&v).then_some(v as i64)
}

fn from_double(v: f64, to: &DataType) -> Option<Value> {
    match to {
        DataType::Boolean => Some(Value::Boolean(v != 0.0)),
        DataType::Float => Some(Value::Float(v as f32)),
        DataType::Double => Some(Value::Double(v)),
        DataType::Decimal { precision, scale } => double_to_decimal(v, *precision, *scale).map(Value::Decimal),
        DataType::Timestamp => double_to_long(v * 1e6).map(Value::Timestamp),
        _ => from_integer(i128::from(double_to_long(v)?), to),
    }
}

/// The decimal that a double's shortest text stands for, rounded half up; none for NaN, infinities and what does not fit.
pub fn double_to_decimal(v: f64, precision: u8, scale: u8) -> Option<i128> {
    v.is_finite().then(|| parse::parse_decimal(&format!("{v:e}"), precision, scale)).flatten().flatten()
}

/// The double nearest to a decimal.
pub fn decimal_to_double(unscaled: i128, scale: u8) -> f64 {
    // Where both numbers are exact doubles their quotient is correctly rounded; the text is always right.
    if unscaled.unsigned_abs() < 1 << 53 && scale <= 22 {
        return unscaled as f64 / 10f64.powi(i32::from(scale));
    }
    format!("{unscaled}e-{scale}").parse().unwrap_or(f64::NAN)
}

fn from_decimal(v: i128, scale: u8, to: &DataType) -> Option<Value> {
    match to {
        DataType::Boolean => Some(Value::Boolean(v != 0)),
        DataType::Float => format!("{v}e-{scale}").parse().ok().map(Value::Float),
        DataType::Double => Some(Value::Double(decimal_to_double(v, scale))),
        DataType::Decimal { precision, scale: t } => decimal::rescale(v, scale, (*precision, *t)).map(Value::Decimal),
        DataType::Timestamp => {
            let micros = if scale <= 6 {
                v.checked_mul(decimal::power_of_ten(6 - scale))?
            } else {
                v / decimal::power_of_ten(scale - 6)
            };
            i64::try_from(micros).ok().map(Value::Timestamp)
        }
        _ => from_integer(v / decimal::power_of_ten(scale), to),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Type;

    fn cast(value: Value, from: DataType, to: DataType) -> Option<Value> {
        assert!(castable(&from, &to));
        cast_value(&value, &from, &to).ok()
    }

    fn decimal_type(precision: u8, scale: u8) -> DataType {
        DataType::Decimal { precision, scale }
    }

    #[test]
    fn numbers() {
        use DataType::*;
        assert_eq!(cast(Value::Double(-1.9), Double, Integer), Some(Value::Integer(-1)));
        assert_eq!(cast(Value::Double(f64::NAN), Double, Long), None);
        assert_eq!(cast(Value::Double(9.3e18), Double, Long), None);
        assert_eq!(cast(Value::Double(9_223_372_036_854_775_808.0), Double, Long), None);
        assert_eq!(cast(Value::Long(300), Long, Byte), None);
        assert_eq!(cast(Value::Double(0.125), Double, decimal_type(5, 2)), Some(Value::Decimal(13)));
        assert_eq!(cast(Value::Double(1e300), Double, decimal_type(38, 0)), None);
        assert_eq!(cast(Value::Decimal(-199), decimal_type(5, 2), Integer), Some(Value::Integer(-1)));
        assert_eq!(cast(Value::Decimal(12_345), decimal_type(5, 2), decimal_type(5, 1)), Some(Value::Decimal(1235)));
        assert_eq!(cast(Value::Boolean(true), Boolean, Double), Some(Value::Double(1.0)));
        assert_eq!(cast(Value::Float(0.1), Float, Double), Some(Value::Double(0.100_000_001_490_116_12)));
        assert_eq!(decimal_to_double(12_345_678_901_234_567_890_123, 10), 1_234_567_890_123.456_8);
    }

    #[test]
    fn texts_and_times() {
        use DataType::*;
        assert_eq!(cast(Value::String("12x".into()), String, Integer), None);
        assert_eq!(cast(Value::String(" 7 ".into()), String, Short), Some(Value::Short(7)));
        assert_eq!(cast(Value::Timestamp(-1), Timestamp, Long), Some(Value::Long(-1)));
        assert_eq!(cast(Value::Timestamp(-1), Timestamp, Date), Some(Value::Date(-1)));
        assert_eq!(cast(Value::Date(i32::MAX), Date, Timestamp), None);
        assert_eq!(cast(Value::Binary(vec![255]), Binary, String), None);
        let array = |data| Array(Box::new(Type::nullable(data)));
        let items = Value::Array(vec![Value::Integer(1), Value::Null]);
        assert_eq!(cast(items.clone(), array(Integer), String), Some(Value::String("[1, null]".into())));
        let strings = Value::Array(vec![Value::String("1".into()), Value::Null]);
        assert_eq!(cast(items, array(Integer), array(String)), Some(strings));
        let error = cast_value(&Value::String("x".into()), &String, &Date).expect_err("not a date");
        assert_eq!(error.message, "\"x\" cannot be converted to date");
    }
}
