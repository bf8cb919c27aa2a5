//! Values as text, as Spark prints them: what `as string` and string interpolation give.

use crate::calendar::{MICROS_PER_SECOND, civil_from_days, split_micros};
use crate::types::DataType;
use crate::value::Value;
use std::fmt::{Display, Write};

/// The text of a value of this type; `null` for null.
pub fn text_of(value: &Value, data: &DataType) -> String {
    let mut out = String::new();
    write_text(&mut out, value, data);
    out
}

/// Appends the text of a value.
pub fn write_text(out: &mut String, value: &Value, data: &DataType) {
    match (value, data) {
        (Value::Null, _) => out.push_str("null"),
        (Value::Boolean(v), _) => out.push_str(if *v { "true" } else { "false" }),
        (Value::Byte(v), _) => write(out, v),
        (Value::Short(v), _) => write(out, v),
        (Value::Integer(v), _) => write(out, v),
        (Value::Long(v), _) => write(out, v),
        (Value::Float(v), _) => write_float(out, *v),
        (Value::Double(v), _) => write_double(out, *v),
        (Value::Decimal(v), DataType::Decimal { scale, .. }) => write_decimal(out, *v, *scale),
        (Value::Decimal(v), _) => write(out, v),
        (Value::String(v), _) => out.push_str(v),
        // Binaries print as the text they hold, as in Spark.
        (Value::Binary(v), _) => out.push_str(&String::from_utf8_lossy(v)),
        (Value::Date(v), _) => write_date(out, i64::from(*v)),
        (Value::Timestamp(v) | Value::TimestampNtz(v), _) => write_timestamp(out, *v),
        (Value::Duration(v), _) => write_duration(out, *v),
        (Value::Array(items), DataType::Array(item)) => {
            list(out, '[', items.iter().map(|v| (v, &item.data)), ']');
        }
        (Value::Struct(values), DataType::Struct(fields)) => {
            list(out, '{', values.iter().zip(fields).map(|(v, f)| (v, &f.ty.data)), '}');
        }
        (Value::Map(entries), DataType::Map(key, item)) => {
            out.push('{');
            for (i, (k, v)) in entries.iter().enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                write_text(out, k, key);
                out.push_str(" -> ");
                write_text(out, v, &item.data);
            }
            out.push('}');
        }
        (other, data) => unreachable!("{other:?} is not of type {data}"),
    }
}

fn write(out: &mut String, value: impl Display) {
    // Writing to a String does not fail.
    let _ = write!(out, "{value}");
}

fn list<'a>(out: &mut String, open: char, items: impl Iterator<Item = (&'a Value, &'a DataType)>, close: char) {
    out.push(open);
    for (i, (value, data)) in items.enumerate() {
        out.push_str(if i > 0 { ", " } else { "" });
        write_text(out, value, data);
    }
    out.push(close);
}

/// A double as Java prints it: the fewest digits that give it back, at least one behind the point, with an exponent below 0.001 and from ten million.
pub fn write_double(out: &mut String, v: f64) {
    let scientific = format!("{v:e}");
    write_java(out, &scientific, v.is_nan(), v.is_infinite(), v.is_sign_negative());
}

/// A float as Java prints it.
pub fn write_float(out: &mut String, v: f32) {
    let scientific = format!("{v:e}");
    write_java(out, &scientific, v.is_nan(), v.is_infinite(), v.is_sign_negative());
}

fn write_java(out: &mut String, scientific: &str, nan: bool, infinite: bool, negative: bool) {
    if nan {
        return out.push_str("NaN");
    }
    if negative {
        out.push('-');
    }
    if infinite {
        return out.push_str("Infinity");
    }
    let text = scientific.trim_start_matches('-');
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    if !(-3..7).contains(&exponent) {
        let rest = if digits.len() > 1 { &digits[1..] } else { "0" };
        return write(out, format_args!("{}.{rest}E{exponent}", &digits[..1]));
    }
    if exponent < 0 {
        out.push_str("0.");
        out.extend(std::iter::repeat_n('0', (-exponent - 1) as usize));
        return out.push_str(&digits);
    }
    let whole = exponent as usize + 1;
    if digits.len() <= whole {
        out.push_str(&digits);
        out.extend(std::iter::repeat_n('0', whole - digits.len()));
        out.push_str(".0");
    } else {
        write(out, format_args!("{}.{}", &digits[..whole], &digits[whole..]));
    }
}

/// A decimal with all digits of its scale.
pub fn write_decimal(out: &mut String, unscaled: i128, scale: u8) {
    if scale == 0 {
        return write(out, unscaled);
    }
    let unit = 10u128.pow(u32::from(scale.min(38)));
    let (whole, rest) = (unscaled.unsigned_abs() / unit, unscaled.unsigned_abs() % unit);
    let sign = if unscaled < 0 { "-" } else { "" };
    write(out, format_args!("{sign}{whole}.{rest:0width$}", width = usize::from(scale)));
}

/// `2026-11-22`
pub fn write_date(out: &mut String, days: i64) {
    let (year, month, day) = civil_from_days(days);
    let sign = match year {
        y if y < 0 => "-",
        y if y > 9999 => "+",
        _ => "",
    };
    write(out, format_args!("{sign}{:04}-{month:02}-{day:02}", year.abs()));
}

/// `2026-11-22 10:00:00.123`, in UTC, without zeros at the end.
pub fn write_timestamp(out: &mut String, micros: i64) {
    let (days, rest) = split_micros(micros);
    write_date(out, days);
    let (seconds, fraction) = (rest / MICROS_PER_SECOND, rest % MICROS_PER_SECOND);
    write(out, format_args!(" {:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60));
    if fraction > 0 {
        let digits = format!("{fraction:06}");
        write(out, format_args!(".{}", digits.trim_end_matches('0')));
    }
}

/// `1d 2h 3m 4s 5ms 6us`, without the parts that are zero; `0s` for zero.
pub fn write_duration(out: &mut String, micros: i64) {
    let mut rest = micros.unsigned_abs();
    if rest == 0 {
        return out.push_str("0s");
    }
    if micros < 0 {
        out.push('-');
    }
    let units =
        [(86_400_000_000, "d"), (3_600_000_000, "h"), (60_000_000, "m"), (1_000_000, "s"), (1000, "ms"), (1, "us")];
    let mut first = true;
    for (size, name) in units {
        if rest >= size {
            write(out, format_args!("{}{}{name}", if first { "" } else { " " }, rest / size));
            rest %= size;
            first = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn double(v: f64) -> String {
        text_of(&Value::Double(v), &DataType::Double)
    }

    #[test]
    fn doubles_as_java() {
        for (value, expected) in [
            (100.0, "100.0"),
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1e10, "1.0E10"),
            (1.5e7, "1.5E7"),
            (9_999_999.0, "9999999.0"),
            (0.001, "0.001"),
            (0.000_12, "1.2E-4"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
            (123.456, "123.456"),
            (f64::MAX, "1.7976931348623157E308"),
            (f64::from_bits(1), "5.0E-324"),
        ] {
            assert_eq!(double(value), expected);
        }
        assert_eq!(text_of(&Value::Float(0.1), &DataType::Float), "0.1");
    }

    #[test]
    fn times() {
        assert_eq!(text_of(&Value::Date(-719_529), &DataType::Date), "-0001-12-31");
        assert_eq!(text_of(&Value::Timestamp(-1), &DataType::Timestamp), "1969-12-31 23:59:59.999999");
        assert_eq!(text_of(&Value::Timestamp(1_500_000), &DataType::Timestamp), "1970-01-01 00:00:01.5");
        assert_eq!(text_of(&Value::Duration(-90_000_001), &DataType::Duration), "-1m 30s 1us");
        let _ = text_of(&Value::Timestamp(i64::MIN), &DataType::Timestamp);
    }

    #[test]
    fn decimals() {
        let scale = |scale| DataType::Decimal { precision: 38, scale };
        assert_eq!(text_of(&Value::Decimal(-5), &scale(2)), "-0.05");
        assert_eq!(text_of(&Value::Decimal(150), &scale(2)), "1.50");
        assert_eq!(text_of(&Value::Decimal(7), &scale(0)), "7");
        assert_eq!(text_of(&Value::Decimal(1), &scale(38)), format!("0.{}1", "0".repeat(37)));
    }
}
