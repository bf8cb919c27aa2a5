//! Literals of Spark SQL: numbers with suffixes, escaped strings, dates, timestamps and intervals.

use super::SqlError;
use flowc_syntax::ast::{ExprKind, StringPart, UnaryOp};
use flowc_syntax::{Span, ast};
use sqlparser::ast::{DateTimeField, Expr, Interval, UnaryOperator, Value};

/// The flowc literal of a string.
pub(super) fn text(text: String) -> ExprKind {
    ExprKind::String(if text.is_empty() { vec![] } else { vec![StringPart::Text(text)] })
}

/// A number as Spark reads it: whole numbers are integers, with an exponent doubles, with a point decimals, or what the suffix says.
pub(super) fn number(digits: &str) -> Result<ExprKind, SqlError> {
    let bad = || SqlError::unsupported(format!("the number `{digits}`"));
    let upper = digits.to_ascii_uppercase();
    let double = |s: &str| s.parse::<f64>().ok().filter(|v| v.is_finite()).map(ExprKind::Double).ok_or_else(bad);
    if let Some(body) = upper.strip_suffix("BD") {
        return decimal(body).ok_or_else(bad);
    }
    if let Some(body) = upper.strip_suffix(['D', 'F']) {
        return double(body);
    }
    let body = upper.strip_suffix(['L', 'S', 'Y']).unwrap_or(&upper);
    if body.contains('E') {
        return double(body);
    }
    if body.contains('.') { decimal(body).ok_or_else(bad) } else { whole(body).ok_or_else(bad) }
}

fn whole(digits: &str) -> Option<ExprKind> {
    let significant = digits.trim_start_matches('0');
    (significant.len() <= 38).then(|| digits.parse().ok().map(ExprKind::Integer))?
}

fn decimal(digits: &str) -> Option<ExprKind> {
    let (integral, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let integral = integral.trim_start_matches('0');
    let precision = (integral.len() + fraction.len()).max(1);
    if precision > 38 {
        return None;
    }
    let unscaled = format!("0{integral}{fraction}").parse().ok()?;
    Some(ExprKind::Decimal { unscaled, precision: precision as u8, scale: fraction.len() as u8 })
}

/// The text of a string literal, escapes resolved by Spark's rules (`\%` and `\_` stay, for LIKE).
pub(super) fn unescape(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut chars = raw.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\'' && chars.peek() == Some(&'\'') {
            chars.next();
            out.push('\'');
            continue;
        }
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            None => out.push('\\'),
            Some('0') if !chars.peek().is_some_and(char::is_ascii_digit) => out.push('\0'),
            Some('b') => out.push('\u{8}'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('Z') => out.push('\u{1a}'),
            Some(c @ ('%' | '_')) => out.extend(['\\', c]),
            Some('u') => out.push_str(&numbered(&mut chars, "u", 4, 16)),
            Some('U') => out.push_str(&numbered(&mut chars, "U", 8, 16)),
            Some(c @ '0'..='3') => {
                let rest: String = chars.clone().take(2).collect();
                match u32::from_str_radix(&format!("{c}{rest}"), 8).ok().filter(|_| rest.len() == 2) {
                    Some(code) => {
                        chars.nth(1);
                        out.extend(char::from_u32(code));
                    }
                    None => out.push(c),
                }
            }
            Some(other) => out.push(other),
        }
    }
    out
}

/// The character of `digits` digits of this radix, or the letter that introduced them where they are none.
fn numbered(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, letter: &str, digits: usize, radix: u32) -> String {
    let code: String = chars.clone().take(digits).collect();
    let valid = code.len() == digits && code.chars().all(|c| c.is_digit(radix));
    match u32::from_str_radix(&code, radix).ok().filter(|_| valid).and_then(char::from_u32) {
        Some(c) => {
            chars.nth(digits - 1);
            c.to_string()
        }
        None => letter.to_string(),
    }
}

/// The string of a literal, if it is one.
pub(super) fn string_value(value: &Value) -> Option<String> {
    match value {
        Value::SingleQuotedString(s) => Some(unescape(s)),
        Value::DoubleQuotedString(s) => Some(unescape(&s.replace("\"\"", "\""))),
        _ => None,
    }
}

/// `DATE '2020-01-31'`
pub(super) fn date(text: &str) -> Option<i32> {
    let date: jiff::civil::Date = text.trim().parse().ok()?;
    let epoch = jiff::civil::date(1970, 1, 1);
    epoch.until(date).ok().map(|span| span.get_days())
}

/// `TIMESTAMP '2020-01-31 10:00:00[.5][Z|+01:00]'`; a zone left out is UTC, as flowc knows no session.
pub(super) fn timestamp(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        return Some(instant.as_microsecond());
    }
    timestamp_ntz(text)
}

/// `TIMESTAMP_NTZ '2020-01-31 10:00:00[.5]'`
pub(super) fn timestamp_ntz(text: &str) -> Option<i64> {
    let time: jiff::civil::DateTime = text.trim().parse().ok()?;
    let zoned = time.to_zoned_datetime(jiff::tz::TimeZone::UTC).ok()?;
    Some(zoned.timestamp().as_microsecond())
}

/// `INTERVAL '1' DAY` and the like: a duration. Months and years have no fixed length.
pub(super) fn interval(interval: &Interval, span: Span) -> Result<ast::Expr, SqlError> {
    let unsupported = || SqlError::unsupported(format!("`{interval}`"));
    if interval.last_field.is_some() || interval.leading_precision.is_some() {
        return Err(unsupported());
    }
    use DateTimeField::*;
    let unit: i64 = match interval.leading_field {
        Some(Week(None) | Weeks) => 7 * 86_400_000_000,
        Some(Day | Days) => 86_400_000_000,
        Some(Hour | Hours) => 3_600_000_000,
        Some(Minute | Minutes) => 60_000_000,
        Some(Second | Seconds) => 1_000_000,
        Some(Millisecond | Milliseconds) => 1000,
        Some(Microsecond | Microseconds) => 1,
        _ => return Err(unsupported()),
    };
    let micros = amount(&interval.value, unit).ok_or_else(unsupported)?;
    let positive = ast::Expr { kind: ExprKind::Duration(micros.saturating_abs()), span };
    Ok(if micros < 0 {
        ast::Expr { kind: ExprKind::Unary(UnaryOp::Negate, Box::new(positive)), span }
    } else {
        positive
    })
}

/// A number of units, perhaps with a fraction and a sign, as microseconds.
fn amount(value: &Expr, unit: i64) -> Option<i64> {
    let (sign, text) = match value {
        Expr::Value(v) => match &v.value {
            Value::Number(digits, _) => (1, digits.clone()),
            other => (1, string_value(other)?),
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => return amount(expr, unit)?.checked_neg(),
        Expr::Nested(inner) => return amount(inner, unit),
        _ => return None,
    };
    let text = text.trim();
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => (-sign, rest),
        None => (sign, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 6 || !fraction.chars().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let part = format!("{fraction:0<6}").parse::<i64>().ok()?.checked_mul(unit)?;
    let micros = whole.parse::<i64>().ok()?.checked_mul(unit)?.checked_add(part / 1_000_000)?;
    (part % 1_000_000 == 0).then_some(sign * micros)
}
