//! Constants: literals, what can be computed from them alone, and parameter values given as text. Knows types and values; nothing of declarations.

use flowc_ir::eval::EvalContext;
use flowc_ir::{DataType, Expr, ExprKind, Origin, Type, Value};

/// The value of an expression without columns, where it can be had at compile time.
pub(crate) fn evaluate(e: &Expr) -> Option<Value> {
    let mut constant = true;
    e.walk(&mut |e| match &e.kind {
        ExprKind::Column(_) => constant = false,
        // What depends on the epoch is no constant.
        ExprKind::Call { function, .. } if function.name.starts_with("current_") || function.name == "now" => {
            constant = false
        }
        _ => {}
    });
    if !constant {
        return None;
    }
    flowc_ir::interpret::eval(e, &[], &EvalContext::default()).ok()
}

/// A literal of the least of integer, long and decimal that holds the number.
pub(crate) fn integer_literal(number: i128, origin: Origin) -> Expr {
    let (value, data) = if let Ok(n) = i32::try_from(number) {
        (Value::Integer(n), DataType::Integer)
    } else if let Ok(n) = i64::try_from(number) {
        (Value::Long(n), DataType::Long)
    } else {
        let digits = number.unsigned_abs().to_string().len().min(38) as u8;
        (Value::Decimal(number), DataType::Decimal { precision: digits, scale: 0 })
    };
    Expr::new(ExprKind::Literal(value), Type::new(data), origin)
}

fn whole_number(value: &Value) -> Option<i128> {
    Some(match value {
        Value::Byte(n) => i128::from(*n),
        Value::Short(n) => i128::from(*n),
        Value::Integer(n) => i128::from(*n),
        Value::Long(n) => i128::from(*n),
        _ => return None,
    })
}

/// The same value in another type, where that loses nothing: numbers that fit, days as timestamps.
pub(crate) fn convert(value: &Value, from: &DataType, to: &DataType) -> Option<Value> {
    if from == to || value.is_null() {
        return Some(value.clone());
    }
    if let Some(number) = whole_number(value) {
        return match to {
            DataType::Byte => i8::try_from(number).ok().map(Value::Byte),
            DataType::Short => i16::try_from(number).ok().map(Value::Short),
            DataType::Integer => i32::try_from(number).ok().map(Value::Integer),
            DataType::Long => i64::try_from(number).ok().map(Value::Long),
            DataType::Float if number.unsigned_abs() <= 1 << 24 => Some(Value::Float(number as f32)),
            DataType::Double if number.unsigned_abs() <= 1 << 53 => Some(Value::Double(number as f64)),
            DataType::Decimal { precision, scale } => {
                let unscaled = number.checked_mul(10i128.checked_pow(u32::from(*scale))?)?;
                (unscaled.unsigned_abs() < 10u128.pow(u32::from(*precision))).then_some(Value::Decimal(unscaled))
            }
            _ => None,
        };
    }
    match (value, from, to) {
        (Value::Float(x), _, DataType::Double) => Some(Value::Double(f64::from(*x))),
        (Value::Date(days), _, DataType::Timestamp) => {
            Some(Value::Timestamp(i64::from(*days).checked_mul(86_400_000_000)?))
        }
        (Value::Decimal(n), DataType::Decimal { scale, .. }, DataType::Decimal { precision, scale: wider }) => {
            let unscaled = n.checked_mul(10i128.checked_pow(u32::from(wider.checked_sub(*scale)?))?)?;
            (unscaled.unsigned_abs() < 10u128.pow(u32::from(*precision))).then_some(Value::Decimal(unscaled))
        }
        // As it would be for each row.
        (Value::Decimal(_), DataType::Decimal { .. }, DataType::Double) => {
            flowc_ir::cast::cast_value(value, from, to).ok()
        }
        (Value::Array(items), DataType::Array(a), DataType::Array(b)) => {
            Some(Value::Array(items.iter().map(|v| convert(v, &a.data, &b.data)).collect::<Option<_>>()?))
        }
        _ => None,
    }
}

/// The value of a parameter given as text; the error says what was expected.
pub(crate) fn parse(text: &str, data: &DataType) -> Result<Value, String> {
    let trimmed = text.trim();
    let number = |what: &str| format!("`{text}` is not {what}");
    let plain: String = trimmed.chars().filter(|c| *c != '_').collect();
    match data {
        DataType::String => Ok(Value::String(text.to_string())),
        DataType::Boolean => match trimmed {
            "true" => Ok(Value::Boolean(true)),
            "false" => Ok(Value::Boolean(false)),
            _ => Err(format!("`{text}` is not a boolean: give `true` or `false`")),
        },
        DataType::Byte => plain.parse().map(Value::Byte).map_err(|_| number("a whole number from -128 to 127")),
        DataType::Short => plain.parse().map(Value::Short).map_err(|_| number("a whole number from -32768 to 32767")),
        DataType::Integer => plain.parse().map(Value::Integer).map_err(|_| number("a whole number of 32 bits")),
        DataType::Long => plain.parse().map(Value::Long).map_err(|_| number("a whole number of 64 bits")),
        DataType::Float => plain.parse().map(Value::Float).map_err(|_| number("a number")),
        DataType::Double => plain.parse().map(Value::Double).map_err(|_| number("a number")),
        DataType::Decimal { precision, scale } => {
            parse_decimal(&plain, *precision, *scale).map(Value::Decimal).ok_or_else(|| number(&format!("a {data}")))
        }
        DataType::Date => {
            let date: jiff::civil::Date = trimmed.parse().map_err(|_| number("a date such as 2026-11-22"))?;
            let days = days_since_epoch(date).ok_or_else(|| number("a date in range"))?;
            Ok(Value::Date(days))
        }
        DataType::Timestamp => trimmed
            .parse::<jiff::Timestamp>()
            .map(|t| Value::Timestamp(t.as_microsecond()))
            .map_err(|_| number("a timestamp such as 2026-11-22T10:00:00Z")),
        DataType::TimestampNtz => {
            let at: jiff::civil::DateTime =
                trimmed.parse().map_err(|_| number("a time such as 2026-11-22T10:00:00"))?;
            let zoned = jiff::tz::TimeZone::UTC.to_timestamp(at).map_err(|_| number("a time in range"))?;
            Ok(Value::TimestampNtz(zoned.as_microsecond()))
        }
        DataType::Duration => {
            parse_duration(&plain).map(Value::Duration).ok_or_else(|| number("a duration such as 5m"))
        }
        other => Err(format!("a parameter cannot be a {other}")),
    }
}

fn days_since_epoch(date: jiff::civil::Date) -> Option<i32> {
    let epoch = jiff::civil::date(1970, 1, 1);
    epoch.until(date).ok().map(|span| span.get_days())
}

fn parse_decimal(text: &str, precision: u8, scale: u8) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() && fraction.is_empty() || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > usize::from(scale) {
        return None;
    }
    let digits = format!("{whole}{fraction:0<width$}", width = usize::from(scale));
    let unscaled: i128 = digits.parse().ok()?;
    let fits = unscaled.unsigned_abs() < 10u128.pow(u32::from(precision));
    fits.then_some(if negative { -unscaled } else { unscaled })
}

fn parse_duration(text: &str) -> Option<i64> {
    let at = text.find(|c: char| !c.is_ascii_digit())?;
    let count: i64 = text[..at].parse().ok()?;
    let unit = match &text[at..] {
        "us" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        "h" => 3_600_000_000,
        "d" => 86_400_000_000,
        _ => return None,
    };
    count.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_by_their_type() {
        assert_eq!(parse("1_000", &DataType::Integer), Ok(Value::Integer(1000)));
        assert!(parse("1e3", &DataType::Integer).is_err());
        assert_eq!(parse("2026-11-22", &DataType::Date), Ok(Value::Date(20779)));
        assert_eq!(parse("-1.5", &DataType::Decimal { precision: 4, scale: 2 }), Ok(Value::Decimal(-150)));
        assert!(parse("1.555", &DataType::Decimal { precision: 4, scale: 2 }).is_err());
        assert!(parse("100", &DataType::Decimal { precision: 4, scale: 2 }).is_err());
        assert_eq!(parse("5m", &DataType::Duration), Ok(Value::Duration(300_000_000)));
        assert!(parse("5", &DataType::Duration).is_err());
        assert_eq!(parse(" x ", &DataType::String), Ok(Value::String(" x ".into())));
    }
}
