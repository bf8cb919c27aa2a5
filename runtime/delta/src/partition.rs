//! Values of partition columns: to and from the strings of the log, and the folder names of Hive. Knows types; nothing of tables.

use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::datatypes::DataType as A;
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime};
use flowc_ir::arrow_types::to_arrow;
use flowc_ir::{DataType, Value};

/// What Hive calls the folder of null.
pub const NULL_FOLDER: &str = "__HIVE_DEFAULT_PARTITION__";

/// The value of a partition column, from the log's string. The error says what is wrong with it.
pub fn parse(text: Option<&str>, data: &DataType) -> Result<Value, String> {
    let text = match text {
        None | Some("" | NULL_FOLDER) => return Ok(Value::Null),
        Some(text) => text,
    };
    parse_value(text, data).ok_or_else(|| format!("`{text}` is not a {data}"))
}

/// A value that is not null, as logs and statistics write it.
pub fn parse_value(text: &str, data: &DataType) -> Option<Value> {
    Some(match data {
        DataType::Boolean => Value::Boolean(text.to_ascii_lowercase().parse().ok()?),
        DataType::Byte => Value::Byte(text.parse().ok()?),
        DataType::Short => Value::Short(text.parse().ok()?),
        DataType::Integer => Value::Integer(text.parse().ok()?),
        DataType::Long => Value::Long(text.parse().ok()?),
        DataType::Float => Value::Float(parse_float(text)? as f32),
        DataType::Double => Value::Double(parse_float(text)?),
        DataType::Decimal { precision, scale } => Value::Decimal(parse_decimal(text, *precision, *scale)?),
        DataType::String => Value::String(text.to_string()),
        DataType::Binary => Value::Binary(text.as_bytes().to_vec()),
        DataType::Date => Value::Date(parse_date(text)?),
        DataType::Timestamp => Value::Timestamp(parse_timestamp(text)?),
        DataType::TimestampNtz => Value::TimestampNtz(parse_timestamp(text)?),
        _ => return None,
    })
}

fn parse_float(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" | "+Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        other => other.parse().ok(),
    }
}

fn parse_date(text: &str) -> Option<i32> {
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    i32::try_from((date - NaiveDate::default()).num_days()).ok()
}

/// `2020-01-01 00:00:00.123`, or ISO 8601 with a zone; without one it is UTC.
pub fn parse_timestamp(text: &str) -> Option<i64> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.timestamp_micros());
    }
    let formats = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f"];
    let local = formats.iter().find_map(|f| NaiveDateTime::parse_from_str(text, f).ok());
    let local = local.or_else(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0))?;
    Some(local.and_utc().timestamp_micros())
}

/// A decimal's unscaled value; exponents (as JSON numbers may have) included.
pub fn parse_decimal(text: &str, precision: u8, scale: u8) -> Option<i128> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (sign, digits) = match mantissa.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{whole}{fraction}");
    if all.is_empty() || !all.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let shift = i32::from(scale) - fraction.len() as i32 + exponent;
    let trimmed = all.trim_start_matches('0');
    let text = if shift >= 0 {
        format!("{trimmed}{}", "0".repeat(usize::try_from(shift).ok().filter(|s| *s <= 80)?))
    } else {
        let width = usize::try_from(shift.unsigned_abs()).ok().filter(|w| *w <= 1_000)?;
        let padded = format!("{trimmed:0>width$}");
        let (kept, cut) = padded.split_at(padded.len() - width);
        if cut.bytes().any(|b| b != b'0') {
            return None;
        }
        kept.to_string()
    };
    let text = text.trim_start_matches('0');
    if text.len() > usize::from(precision) {
        return None;
    }
    Some(sign * if text.is_empty() { 0 } else { text.parse::<i128>().ok()? })
}

/// The log's string for a value; none for null, and for the empty string, which the log cannot tell from null. The error says why the log cannot hold
/// the value.
pub fn serialize(value: &Value, data: &DataType) -> Result<Option<String>, String> {
    if value.is_null() {
        return Ok(None);
    }
    let text = text_of(value, data).ok_or_else(|| match value {
        Value::Binary(_) => "the log holds partition values as text, and these bytes are not UTF-8".to_string(),
        other => format!("the log has no text for the {data} {other:?}"),
    })?;
    Ok((!text.is_empty()).then_some(text))
}

fn text_of(value: &Value, data: &DataType) -> Option<String> {
    Some(match value {
        Value::Boolean(v) => v.to_string(),
        Value::Byte(v) => v.to_string(),
        Value::Short(v) => v.to_string(),
        Value::Integer(v) => v.to_string(),
        Value::Long(v) => v.to_string(),
        Value::Float(v) => float_text(f64::from(*v), v.to_string()),
        Value::Double(v) => float_text(*v, v.to_string()),
        Value::Decimal(v) => match data {
            DataType::Decimal { scale, .. } => decimal_text(*v, *scale),
            _ => return None,
        },
        Value::String(v) => v.clone(),
        Value::Binary(v) => String::from_utf8(v.clone()).ok()?,
        Value::Date(v) => {
            let date = NaiveDate::from_num_days_from_ce_opt(v.checked_add(719_163)?)?;
            plain_year(date.year()).then(|| date.to_string())?
        }
        Value::Timestamp(v) => time_text(*v, "%Y-%m-%dT%H:%M:%S%.6fZ")?,
        Value::TimestampNtz(v) => time_text(*v, "%Y-%m-%d %H:%M:%S%.6f")?,
        _ => return None,
    })
}

/// Years that readers know how to parse: of four digits.
fn plain_year(year: i32) -> bool {
    (0..=9999).contains(&year)
}

fn time_text(micros: i64, format: &str) -> Option<String> {
    let time = DateTime::from_timestamp_micros(micros)?;
    plain_year(time.year()).then(|| time.format(format).to_string())
}

fn float_text(value: f64, text: String) -> String {
    if value.is_nan() {
        "NaN".into()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity".into() } else { "-Infinity".into() }
    } else {
        text
    }
}

/// A decimal with its point.
pub fn decimal_text(unscaled: i128, scale: u8) -> String {
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = usize::from(scale) + 1);
    let (whole, fraction) = digits.split_at(digits.len() - usize::from(scale));
    let sign = if unscaled < 0 { "-" } else { "" };
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// The folder of a partition as Hive names it: `day=2020-01-01`. What a file system may refuse is escaped, and no name is longer than one takes; the
/// name has no meaning for readers.
pub fn folder(column: &str, value: Option<&str>) -> String {
    let mut name = format!("{}=", escape(column));
    for c in value.map_or_else(|| NULL_FOLDER.to_string(), escape).chars() {
        if name.len() + c.len_utf8() > 200 {
            break;
        }
        name.push(c);
    }
    name
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || "\"#%'*/:=?\\{[]^<>|~".contains(c) {
            let mut buffer = [0; 4];
            c.encode_utf8(&mut buffer).bytes().for_each(|b| out.push_str(&format!("%{b:02X}")));
        } else {
            out.push(c);
        }
    }
    // `.` and `..` alone would be other folders; a column's name and `=` stand before a value, so only a column name can be one.
    out
}

/// `rows` times the same value, as a column.
pub fn constant(value: &Value, data: &DataType, rows: usize) -> Option<ArrayRef> {
    let ty = to_arrow(data);
    if value.is_null() {
        return Some(new_null_array(&ty, rows));
    }
    let one = scalar(value, data)?;
    let indices = arrow::array::UInt32Array::from(vec![0u32; rows]);
    let column = arrow::compute::take(&one, &indices, None).ok()?;
    (column.data_type() == &ty).then_some(column)
}

/// A column of one value that is not null.
pub fn scalar(value: &Value, data: &DataType) -> Option<ArrayRef> {
    use arrow::array::*;
    use std::sync::Arc;
    Some(match (value, data) {
        (Value::Boolean(v), _) => Arc::new(BooleanArray::from(vec![*v])),
        (Value::Byte(v), _) => Arc::new(Int8Array::from(vec![*v])),
        (Value::Short(v), _) => Arc::new(Int16Array::from(vec![*v])),
        (Value::Integer(v), _) => Arc::new(Int32Array::from(vec![*v])),
        (Value::Long(v), _) => Arc::new(Int64Array::from(vec![*v])),
        (Value::Float(v), _) => Arc::new(Float32Array::from(vec![*v])),
        (Value::Double(v), _) => Arc::new(Float64Array::from(vec![*v])),
        (Value::Decimal(v), DataType::Decimal { precision, scale }) => {
            Arc::new(Decimal128Array::from(vec![*v]).with_precision_and_scale(*precision, *scale as i8).ok()?)
        }
        (Value::String(v), _) => Arc::new(StringArray::from(vec![v.as_str()])),
        (Value::Binary(v), _) => Arc::new(BinaryArray::from(vec![v.as_slice()])),
        (Value::Date(v), _) => Arc::new(Date32Array::from(vec![*v])),
        (Value::Timestamp(v), _) => Arc::new(TimestampMicrosecondArray::from(vec![*v]).with_timezone("UTC")),
        (Value::TimestampNtz(v), _) => Arc::new(TimestampMicrosecondArray::from(vec![*v])),
        _ => return None,
    })
}

/// The value at a row of a column of a primitive type; none for types that flowc does not map to.
pub fn value_at(array: &dyn Array, row: usize) -> Option<Value> {
    use arrow::array::AsArray;
    use arrow::datatypes::*;
    if array.is_null(row) {
        return Some(Value::Null);
    }
    Some(match array.data_type() {
        A::Null => Value::Null,
        A::Boolean => Value::Boolean(array.as_boolean().value(row)),
        A::Int8 => Value::Byte(array.as_primitive::<Int8Type>().value(row)),
        A::Int16 => Value::Short(array.as_primitive::<Int16Type>().value(row)),
        A::Int32 => Value::Integer(array.as_primitive::<Int32Type>().value(row)),
        A::Int64 => Value::Long(array.as_primitive::<Int64Type>().value(row)),
        A::Float32 => Value::Float(array.as_primitive::<Float32Type>().value(row)),
        A::Float64 => Value::Double(array.as_primitive::<Float64Type>().value(row)),
        A::Decimal128(..) => Value::Decimal(array.as_primitive::<Decimal128Type>().value(row)),
        A::Utf8 => Value::String(array.as_string::<i32>().value(row).to_string()),
        A::Binary => Value::Binary(array.as_binary::<i32>().value(row).to_vec()),
        A::Date32 => Value::Date(array.as_primitive::<Date32Type>().value(row)),
        A::Timestamp(TimeUnit::Microsecond, zone) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            if zone.is_some() { Value::Timestamp(micros) } else { Value::TimestampNtz(micros) }
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(value: Value, data: DataType, text: &str) {
        assert_eq!(serialize(&value, &data), Ok(Some(text.to_string())));
        assert_eq!(parse(Some(text), &data), Ok(value.clone()));
        let column = constant(&value, &data, 3).expect("a column");
        assert_eq!(value_at(&column, 2), Some(value));
    }

    #[test]
    fn every_type_round_trips() {
        round_trip(Value::Boolean(true), DataType::Boolean, "true");
        round_trip(Value::Byte(-1), DataType::Byte, "-1");
        round_trip(Value::Long(i64::MIN), DataType::Long, "-9223372036854775808");
        round_trip(Value::Float(0.1), DataType::Float, "0.1");
        round_trip(Value::Double(f64::NAN), DataType::Double, "NaN");
        round_trip(Value::Double(f64::NEG_INFINITY), DataType::Double, "-Infinity");
        round_trip(Value::Double(1e300), DataType::Double, &1e300f64.to_string());
        round_trip(Value::Decimal(-5), DataType::Decimal { precision: 38, scale: 3 }, "-0.005");
        round_trip(Value::String("a/b=ü ".into()), DataType::String, "a/b=ü ");
        round_trip(Value::Binary("\u{1}ÿ".into()), DataType::Binary, "\u{1}ÿ");
        round_trip(Value::Date(-1), DataType::Date, "1969-12-31");
        round_trip(Value::Timestamp(-1), DataType::Timestamp, "1969-12-31T23:59:59.999999Z");
        round_trip(Value::TimestampNtz(1_500_000), DataType::TimestampNtz, "1970-01-01 00:00:01.500000");
    }

    #[test]
    fn nulls_and_the_empty_string() {
        for text in [None, Some(""), Some(NULL_FOLDER)] {
            assert_eq!(parse(text, &DataType::String), Ok(Value::Null));
        }
        assert_eq!(serialize(&Value::String(String::new()), &DataType::String), Ok(None));
        assert!(serialize(&Value::Binary(vec![0xff]), &DataType::Binary).expect_err("not UTF-8").contains("UTF-8"));
        assert!(serialize(&Value::Date(i32::MAX), &DataType::Date).is_err());
        assert!(parse(Some("x"), &DataType::Long).is_err());
    }

    #[test]
    fn decimals() {
        assert_eq!(parse_decimal("1.50", 5, 2), Some(150));
        assert_eq!(parse_decimal("1.5E+3", 6, 1), Some(15_000));
        assert_eq!(parse_decimal("0.000", 1, 1), Some(0));
        assert_eq!(parse_decimal("0.05", 1, 1), None);
        assert_eq!(parse_decimal("25e-1", 2, 1), Some(25));
        assert_eq!(parse_decimal("1.505", 5, 2), None);
        assert_eq!(parse_decimal("99999", 4, 0), None);
        assert_eq!(parse_decimal("-", 4, 0), None);
    }

    #[test]
    fn folders() {
        assert_eq!(folder("day", Some("a/b:c d%")), "day=a%2Fb%3Ac d%25");
        assert_eq!(folder("day", None), "day=__HIVE_DEFAULT_PARTITION__");
        assert!(folder("x", Some(&"ä".repeat(500))).len() <= 200);
    }
}
