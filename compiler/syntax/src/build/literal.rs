//! Literals: numbers, strings, dates and times, durations. Knows their ranges; knows nothing of the types they will have.

use super::Builder;
use crate::ast::{Expr, ExprKind, StringPart};
use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::grammar::Rule;
use crate::span::Span;
use pest::iterators::Pair;

const MICROS: i64 = 1_000_000;

impl Builder<'_> {
    /// A literal that is no string with holes.
    pub(super) fn number(&mut self, pair: Pair<'_, Rule>) -> Expr {
        let span = self.span(&pair);
        let text: String = pair.as_str().chars().filter(|c| *c != '_').collect();
        let kind = match pair.as_rule() {
            Rule::integer => self.integer(&text, span),
            Rule::double => self.double(&text, span).map(ExprKind::Double),
            // Through the decimal exponent, so that `1%` is the double nearest to 0.01.
            Rule::percent => self.double(&format!("{}e-2", text.trim_end_matches('%')), span).map(ExprKind::Percent),
            Rule::decimal => self.decimal(text.trim_end_matches('d'), span),
            Rule::duration => self.duration(&text, span),
            other => unreachable!("no number: {other:?}"),
        };
        Expr { kind: kind.unwrap_or(ExprKind::Error), span }
    }

    fn integer(&mut self, text: &str, span: Span) -> Option<ExprKind> {
        let digits = text.trim_start_matches('0');
        if digits.len() > 38 {
            self.error(
                Diagnostic::error(
                    codes::NUMBER_TOO_LARGE,
                    span,
                    format!("an integer of {} digits is more than any type holds", digits.len()),
                )
                .label("at most 38 digits")
                .help("write a double, for example `1e40`, or a string"),
            );
            return None;
        }
        Some(ExprKind::Integer(if digits.is_empty() { 0 } else { digits.parse().ok()? }))
    }

    fn double(&mut self, text: &str, span: Span) -> Option<f64> {
        let value: f64 = text.parse().ok()?;
        if value.is_finite() {
            return Some(value);
        }
        self.error(
            Diagnostic::error(codes::NUMBER_TOO_LARGE, span, "this number is greater than any double")
                .label("the greatest double is about 1.8e308")
                .help("for infinity write `\"Infinity\" as double`"),
        );
        None
    }

    fn decimal(&mut self, text: &str, span: Span) -> Option<ExprKind> {
        let (whole, fraction) = text.split_once('.')?;
        let digits = format!("{whole}{fraction}");
        let significant = digits.trim_start_matches('0');
        let precision = significant.len().max(fraction.len()).max(1);
        if precision > 38 {
            self.error(
                Diagnostic::error(
                    codes::DECIMAL_TOO_LONG,
                    span,
                    format!("a decimal of {precision} digits is more than `decimal(38, s)` holds"),
                )
                .label("at most 38 digits, before and behind the point together")
                .help("leave out digits, or write a double without the `d`"),
            );
            return None;
        }
        let unscaled = if significant.is_empty() { 0 } else { significant.parse().ok()? };
        Some(ExprKind::Decimal { unscaled, precision: precision as u8, scale: fraction.len() as u8 })
    }

    fn duration(&mut self, text: &str, span: Span) -> Option<ExprKind> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match &text[digits.len()..] {
            "us" => 1,
            "ms" => 1_000,
            "s" => MICROS,
            "m" => 60 * MICROS,
            "h" => 3_600 * MICROS,
            _ => 86_400 * MICROS,
        };
        let micros = digits.parse::<i64>().ok().and_then(|n| n.checked_mul(unit));
        if micros.is_none() {
            self.error(
                Diagnostic::error(codes::NUMBER_TOO_LARGE, span, "this duration is longer than any duration can be")
                    .label("at most some 292,000 years")
                    .help("write a shorter one, for example `36500d`; a decimal has a point before the `d`: `1.0d`"),
            );
        }
        micros.map(ExprKind::Duration)
    }

    /// `@…`
    pub(super) fn temporal(&mut self, pair: Pair<'_, Rule>) -> Expr {
        let span = self.span(&pair);
        let kind = match parse_temporal(&pair.as_str()[1..]) {
            Ok(kind) => kind,
            Err(reason) => {
                self.error(
                    Diagnostic::error(codes::BAD_TEMPORAL, span, format!("`{}` is no date or time", pair.as_str()))
                        .label(reason)
                        .help("write a date as `@2026-11-22`, a timestamp as `@2026-11-22T10:00:00Z` (or with `+02:00`, or without a zone)"),
                );
                ExprKind::Error
            }
        };
        Expr { kind, span }
    }

    /// A string with its holes.
    pub(super) fn string(&mut self, pair: Pair<'_, Rule>) -> Expr {
        let span = self.span(&pair);
        let mut parts = Vec::new();
        let mut text = String::new();
        for part in pair.into_inner() {
            let at = self.span(&part);
            match part.as_rule() {
                Rule::string_text => text.push_str(part.as_str()),
                Rule::open_brace => text.push('{'),
                Rule::close_brace => {
                    if part.as_str() == "}" {
                        self.error(
                            Diagnostic::error(codes::LONE_BRACE, at, "a single `}` in a string")
                                .label("no `{` opens before it")
                                .help("write `}}` for a brace in the text"),
                        );
                    }
                    text.push('}');
                }
                Rule::escape => text.push(self.escape(part.as_str(), at)),
                Rule::interpolation => {
                    if part.as_str().contains(['\n', '\r']) {
                        self.error(
                            Diagnostic::error(codes::UNCLOSED_STRING, at, "a string ends on the line where it begins")
                                .label("this goes on over a line's end")
                                .help("compute the value in a column of its own (`extend`), or write `{{` for a brace in the text"),
                        );
                    }
                    if !text.is_empty() {
                        parts.push(StringPart::Text(std::mem::take(&mut text)));
                    }
                    let inner = part.into_inner().find(|p| p.as_rule() == Rule::expr);
                    parts.extend(inner.map(|p| StringPart::Expr(self.expr(p))));
                }
                _ => {}
            }
        }
        if !text.is_empty() {
            parts.push(StringPart::Text(text));
        }
        Expr { kind: ExprKind::String(parts), span }
    }

    fn escape(&mut self, escape: &str, span: Span) -> char {
        let c = match &escape[1..] {
            "n" => Some('\n'),
            "t" => Some('\t'),
            "r" => Some('\r'),
            "0" => Some('\0'),
            "\\" => Some('\\'),
            "\"" => Some('"'),
            "'" => Some('\''),
            "{" => Some('{'),
            "}" => Some('}'),
            code => code
                .strip_prefix("u{")
                .and_then(|c| c.strip_suffix('}'))
                .filter(|hex| hex.len() <= 6)
                .and_then(|hex| u32::from_str_radix(hex, 16).ok())
                .and_then(char::from_u32),
        };
        c.unwrap_or_else(|| {
            self.error(
                Diagnostic::error(codes::BAD_ESCAPE, span, format!("strings have no escape `{escape}`"))
                    .label("not one of \\n \\t \\r \\0 \\\\ \\\" \\{ \\} \\u{1F600}")
                    .help("write `\\\\` for a backslash, or a raw string, r\"…\", for a regular expression"),
            );
            char::REPLACEMENT_CHARACTER
        })
    }

    /// A string that has no holes: a path, a name, a key.
    pub(super) fn plain_string(&mut self, pair: Pair<'_, Rule>) -> (String, Span) {
        let span = self.span(&pair);
        let Some(inner) = pair.into_inner().next() else { return (String::new(), span) };
        let expr = self.string(inner);
        let ExprKind::String(parts) = expr.kind else { return (String::new(), span) };
        let mut text = String::new();
        for part in parts {
            match part {
                StringPart::Text(t) => text.push_str(&t),
                StringPart::Expr(e) => self.error(
                    Diagnostic::error(codes::PLAIN_STRING, e.span, "no value can be put into this string")
                        .label("known only when the program runs")
                        .help("write the text itself; `{{` and `}}` are braces"),
                ),
            }
        }
        (text, span)
    }
}

/// `2026-11-22`, `2026-11-22T10:00[:00[.123456]][Z|+02:00]`; the error says what is wrong with it.
fn parse_temporal(text: &str) -> Result<ExprKind, &'static str> {
    let (date, time) = match text.split_once(['T', 't']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let days = parse_date(date)?;
    let Some(time) = time else { return Ok(ExprKind::Date(days)) };
    let (clock, zone) = match time.find(['Z', 'z', '+', '-']) {
        Some(i) => (&time[..i], Some(&time[i..])),
        None => (time, None),
    };
    let local = i64::from(days) * 86_400 * MICROS + parse_clock(clock)?;
    match zone {
        None => Ok(ExprKind::TimestampNtz(local)),
        Some("Z" | "z") => Ok(ExprKind::Timestamp(local)),
        Some(offset) => {
            let (hours, minutes) = offset[1..].split_once(':').ok_or("a zone is `Z` or an offset like `+02:00`")?;
            let (hours, minutes) = (
                two(hours, 18, "an offset has at most 18 hours")?,
                two(minutes, 59, "an offset has two digits of minutes")?,
            );
            let shift = (hours * 3_600 + minutes * 60) * MICROS;
            Ok(ExprKind::Timestamp(if offset.starts_with('+') { local - shift } else { local + shift }))
        }
    }
}

fn two(text: &str, most: i64, reason: &'static str) -> Result<i64, &'static str> {
    let value = (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten();
    value.filter(|v| *v <= most).ok_or(reason)
}

fn parse_clock(clock: &str) -> Result<i64, &'static str> {
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut parts = clock.split(':');
    let mut next = |most, reason| parts.next().map_or(Ok(0), |p| two(p, most, reason));
    let hours = next(23, "hours go from 00 to 23")?;
    let minutes = next(59, "minutes go from 00 to 59")?;
    let seconds = next(59, "seconds go from 00 to 59")?;
    if parts.next().is_some() || !clock.contains(':') {
        return Err("a time of day is written 10:00 or 10:00:00");
    }
    if fraction.is_empty() || fraction.len() > 6 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return Err("a second has at most six digits behind the point");
    }
    let micros: i64 =
        format!("{fraction:0<6}").parse().map_err(|_| "a second has at most six digits behind the point")?;
    Ok((hours * 3_600 + minutes * 60 + seconds) * MICROS + micros)
}

fn parse_date(date: &str) -> Result<i32, &'static str> {
    let parts: Vec<&str> = date.split('-').collect();
    let &[year, month, day] = parts.as_slice() else { return Err("a date is a year, a month and a day: 2026-11-22") };
    if year.len() != 4 || !year.bytes().all(|b| b.is_ascii_digit()) {
        return Err("a year has four digits");
    }
    let year: i64 = year.parse().map_err(|_| "a year has four digits")?;
    let month = two(month, 12, "months go from 01 to 12")?;
    let day = two(day, 31, "no month has so many days")?;
    if year == 0 || month == 0 || day == 0 {
        return Err("years, months and days begin with one");
    }
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if day > length {
        return Err("that month has fewer days");
    }
    Ok(days_from_civil(year, month, day) as i32)
}

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar; years begin in March so that leap days come last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let year_of_era = y.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times() {
        assert_eq!(parse_temporal("1970-01-01"), Ok(ExprKind::Date(0)));
        assert_eq!(parse_temporal("2000-02-29"), Ok(ExprKind::Date(11_016)));
        assert_eq!(parse_temporal("0001-01-01"), Ok(ExprKind::Date(-719_162)));
        assert_eq!(parse_temporal("9999-12-31"), Ok(ExprKind::Date(2_932_896)));
        assert_eq!(parse_temporal("1970-01-01T00:00:01.5Z"), Ok(ExprKind::Timestamp(1_500_000)));
        assert_eq!(parse_temporal("1970-01-01T02:00:00+02:00"), Ok(ExprKind::Timestamp(0)));
        assert_eq!(parse_temporal("1970-01-01T00:01"), Ok(ExprKind::TimestampNtz(60_000_000)));
        for bad in [
            "2026-02-29",
            "2026-13-01",
            "26-01-01",
            "2026-01-01T24:00:00",
            "2026-01-01T10",
            "2026-01-01T10:00:00.1234567",
            "2026-01-00",
        ] {
            assert!(parse_temporal(bad).is_err(), "{bad}");
        }
    }
}
