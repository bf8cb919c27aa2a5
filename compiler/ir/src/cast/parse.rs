//! Texts as values, as Spark reads them in a cast. Space around is ignored.

use crate::calendar::{MICROS_PER_SECOND, checked_days};
use crate::functions::decimal::{fits, power_of_ten};
use crate::zone::Zone;

/// An integer: a sign and digits.
pub fn parse_integer(text: &str) -> Option<i64> {
    let text = text.trim();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

/// A double: digits with point and exponent, `NaN`, `Infinity`, `inf`, in any case.
pub fn parse_double(text: &str) -> Option<f64> {
    float_text(text).and_then(|t| t.parse().ok())
}

/// A float.
pub fn parse_float(text: &str) -> Option<f32> {
    float_text(text).and_then(|t| t.parse().ok())
}

fn float_text(text: &str) -> Option<&str> {
    // Rust reads what Spark reads, except for Java's suffixes.
    let text = text.trim();
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Some(text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text));
    }
    ["nan", "inf", "infinity"].iter().any(|w| unsigned.eq_ignore_ascii_case(w)).then_some(text)
}

/// A decimal of these digits, rounded half up; the outer none: not a number; the inner: too many digits.
pub fn parse_decimal(text: &str, precision: u8, scale: u8) -> Option<Option<i128>> {
    let text = text.trim();
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((m, e)) => (m, i64::from(e.parse::<i32>().ok()?)),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() && fraction.is_empty() || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).skip_while(|b| *b == b'0').map(|b| b - b'0').collect();
    // The value is `digits * 10^(exponent - fraction.len())`; keep that many of the digits at this scale.
    let keep = digits.len() as i64 + exponent - fraction.len() as i64 + i64::from(scale);
    Some(round_to(&digits, keep).filter(|v| fits(*v, precision)).map(|v| if negative { -v } else { v }))
}

fn round_to(digits: &[u8], keep: i64) -> Option<i128> {
    if keep < 0 || digits.is_empty() {
        return Some(0);
    }
    if keep > 38 {
        return None;
    }
    let keep = keep as usize;
    let mut value: i128 = 0;
    for digit in digits.iter().take(keep) {
        value = value * 10 + i128::from(*digit);
    }
    if keep > digits.len() {
        return value.checked_mul(power_of_ten((keep - digits.len()) as u8));
    }
    Some(value + i128::from(digits.get(keep).is_some_and(|d| *d >= 5)))
}

/// A boolean: `t true y yes 1`, `f false n no 0`, in any case.
pub fn parse_boolean(text: &str) -> Option<bool> {
    let text = text.trim().to_ascii_lowercase();
    match text.as_str() {
        "t" | "true" | "y" | "yes" | "1" => Some(true),
        "f" | "false" | "n" | "no" | "0" => Some(false),
        _ => None,
    }
}

struct Cursor<'a> {
    rest: &'a str,
}

impl Cursor<'_> {
    fn eat(&mut self, c: char) -> Option<()> {
        self.rest = self.rest.strip_prefix(c)?;
        Some(())
    }

    fn number(&mut self, least: usize, most: usize) -> Option<i64> {
        let count = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        if count < least || count > most {
            return None;
        }
        let (digits, rest) = self.rest.split_at(count);
        self.rest = rest;
        digits.parse().ok()
    }

    /// `yyyy`, `yyyy-m`, `yyyy-m-d`: days.
    fn date(&mut self) -> Option<i32> {
        let sign = if self.eat('-').is_some() { -1 } else { 1 };
        if sign == 1 {
            let _ = self.eat('+');
        }
        let year = sign * self.number(4, 7)?;
        let (mut month, mut day) = (1, 1);
        if self.eat('-').is_some() {
            month = self.number(1, 2)?;
            if self.eat('-').is_some() {
                day = self.number(1, 2)?;
            }
        }
        checked_days(year, month, day)
    }

    /// `h:m`, `h:m:s`, `h:m:s.ffffff`: microseconds.
    fn time(&mut self) -> Option<i64> {
        let hour = self.number(1, 2)?;
        self.eat(':')?;
        let minute = self.number(1, 2)?;
        let (mut second, mut micros) = (0, 0);
        if self.eat(':').is_some() {
            second = self.number(1, 2)?;
            if self.eat('.').is_some() {
                let count = self.rest.bytes().take_while(u8::is_ascii_digit).count();
                let kept = format!("{:0<6.6}", &self.rest[..count]);
                self.rest = &self.rest[count..];
                micros = kept.parse().ok()?;
            }
        }
        let valid = hour < 24 && minute < 60 && second < 60;
        valid.then_some((hour * 3600 + minute * 60 + second) * MICROS_PER_SECOND + micros)
    }
}

/// A date: `yyyy`, `yyyy-mm`, `yyyy-mm-dd`, with anything behind a space or `T`.
pub fn parse_date(text: &str) -> Option<i32> {
    let mut cursor = Cursor { rest: text.trim() };
    let days = cursor.date()?;
    (cursor.rest.is_empty() || cursor.rest.starts_with([' ', 'T'])).then_some(days)
}

/// A timestamp, in UTC where it names no zone: `2026-11-22T10:00:00.5Z`, `2026-11-22 10:00 Europe/Berlin`, `2026-11-22`.
pub fn parse_timestamp(text: &str) -> Option<i64> {
    let (local, zone) = parse_local(text)?;
    match zone {
        None => Some(local),
        Some(zone) => zone.to_utc(local),
    }
}

/// A timestamp without a zone; one that the text names is passed over.
pub fn parse_timestamp_ntz(text: &str) -> Option<i64> {
    parse_local(text).map(|(local, _)| local)
}

fn parse_local(text: &str) -> Option<(i64, Option<Zone>)> {
    let mut cursor = Cursor { rest: text.trim() };
    let midnight = i64::from(cursor.date()?).checked_mul(crate::calendar::MICROS_PER_DAY)?;
    if cursor.rest.is_empty() {
        return Some((midnight, None));
    }
    cursor.rest = cursor.rest.strip_prefix([' ', 'T'])?;
    let local = midnight.checked_add(cursor.time()?)?;
    let zone = cursor.rest.trim();
    if zone.is_empty() {
        return Some((local, None));
    }
    Some((local, Some(Zone::find(zone)?)))
}

/// A duration: numbers with units `d h m s ms us`, spaces between or not: `1d 2h`, `-250ms`, `1.5s`.
pub fn parse_duration(text: &str) -> Option<i64> {
    let text = text.trim();
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let mut total: i128 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(end);
        let end = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let size: i128 = match unit {
            "d" => 86_400_000_000,
            "h" => 3_600_000_000,
            "m" => 60_000_000,
            "s" => 1_000_000,
            "ms" => 1000,
            "us" => 1,
            _ => return None,
        };
        let millionths = parse_decimal(number, 24, 6)??;
        total = total.checked_add(millionths.checked_mul(size)? / 1_000_000)?;
        rest = tail.trim_start();
    }
    i64::try_from(total * sign).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(parse_integer(" +12 "), Some(12));
        assert_eq!(parse_integer("1.0"), None);
        assert_eq!(parse_integer(""), None);
        assert_eq!(parse_double("-1e3"), Some(-1000.0));
        assert_eq!(parse_double("1.5d"), Some(1.5));
        assert_eq!(parse_double("Inf"), Some(f64::INFINITY));
        assert_eq!(parse_double("one"), None);
        assert_eq!(parse_decimal("12.345", 10, 2), Some(Some(1235)));
        assert_eq!(parse_decimal("-0.005", 10, 2), Some(Some(-1)));
        assert_eq!(parse_decimal("1e3", 10, 2), Some(Some(100_000)));
        assert_eq!(parse_decimal("1e-3", 10, 2), Some(Some(0)));
        assert_eq!(parse_decimal("999", 2, 0), Some(None));
        assert_eq!(parse_decimal("1e2000000000", 38, 0), Some(None));
        assert_eq!(parse_decimal("0e2000000000", 38, 0), Some(Some(0)));
        assert_eq!(parse_decimal(".", 38, 0), None);
    }

    #[test]
    fn times() {
        assert_eq!(parse_date("1970-1-2"), Some(1));
        assert_eq!(parse_date("1970-01-02T10:00"), Some(1));
        assert_eq!(parse_date("1970"), Some(0));
        assert_eq!(parse_date("1970-02-30"), None);
        assert_eq!(parse_date("1970-01-02x"), None);
        assert_eq!(parse_timestamp("1970-01-01 00:00:01.5"), Some(1_500_000));
        assert_eq!(parse_timestamp("1970-01-01T01:00:00+01:00"), Some(0));
        assert_eq!(parse_timestamp("1970-01-01 01:00 Europe/Berlin"), Some(0));
        assert_eq!(parse_timestamp("1970-01-01 25:00"), None);
        assert_eq!(parse_timestamp_ntz("1970-01-01T01:00:00+01:00"), Some(3_600_000_000));
        assert_eq!(parse_duration("1d 2h"), Some(93_600_000_000));
        assert_eq!(parse_duration("-1.5s"), Some(-1_500_000));
        assert_eq!(parse_duration("5 parsecs"), None);
    }
}
