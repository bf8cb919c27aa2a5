//! Spark's date and time patterns (`yyyy-MM-dd HH:mm:ss.SSS`), for printing and reading. English names, UTC unless the text says otherwise.

use super::operand::argument;
use crate::calendar::*;
use crate::eval::Failure;
use crate::zone::Zone;
use std::cell::RefCell;
use std::rc::Rc;

/// Names of the months.
pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// Names of the days of the week.
pub(super) const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

#[derive(Debug, Clone, PartialEq)]
enum Item {
    Text(String),
    Field(char, usize),
    /// `[`…`]`: printed always, read if it is there.
    Optional(Vec<Item>),
}

/// A pattern, taken apart.
#[derive(Debug)]
pub(super) struct Pattern(Vec<Item>);

/// What reading a text gave.
#[derive(Debug, Clone, Default)]
struct Parts {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    hour: Option<i64>,
    half_hour: Option<i64>,
    afternoon: Option<bool>,
    minute: i64,
    second: i64,
    micros: i64,
    zone: Option<Zone>,
    before_christ: bool,
}

/// The pattern of this text; the last one is kept.
pub(super) fn compiled(text: &str) -> Result<Rc<Pattern>, Failure> {
    thread_local! {
        static LAST: RefCell<Option<(String, Rc<Pattern>)>> = const { RefCell::new(None) };
    }
    if let Some(found) = LAST.with_borrow(|l| l.as_ref().filter(|l| l.0 == text).map(|l| l.1.clone())) {
        return Ok(found);
    }
    let mut chars = text.chars().peekable();
    let items = read(text, &mut chars, 0)?;
    let pattern = Rc::new(Pattern(items));
    LAST.set(Some((text.to_string(), pattern.clone())));
    Ok(pattern)
}

/// The longest run of one letter, and the deepest nesting of optional parts, that a pattern may have.
const LONGEST: usize = 19;

fn read(text: &str, chars: &mut std::iter::Peekable<std::str::Chars<'_>>, depth: usize) -> Result<Vec<Item>, Failure> {
    let wrong = |what: String| argument(format!("{text:?} is not a date pattern: {what}"));
    let mut items = vec![];
    let mut literal = String::new();
    while let Some(c) = chars.next() {
        match c {
            '\'' => {
                if chars.next_if_eq(&'\'').is_some() {
                    literal.push('\'');
                    continue;
                }
                loop {
                    match chars.next() {
                        Some('\'') if chars.next_if_eq(&'\'').is_some() => literal.push('\''),
                        Some('\'') => break,
                        Some(other) => literal.push(other),
                        None => return Err(wrong("a quote is not closed".to_string())),
                    }
                }
                continue;
            }
            '[' if depth < LONGEST => {
                flush(&mut items, &mut literal);
                items.push(Item::Optional(read(text, chars, depth + 1)?));
            }
            ']' if depth > 0 => {
                flush(&mut items, &mut literal);
                return Ok(items);
            }
            '[' | ']' | '{' | '}' | '#' => return Err(wrong(format!("`{c}` cannot stand there"))),
            letter if letter.is_ascii_alphabetic() => {
                let mut count = 1;
                while chars.next_if_eq(&letter).is_some() {
                    count += 1;
                }
                if !"GyuMLdDEaHhKkmsSQqVzOXxZ".contains(letter) || count > LONGEST {
                    return Err(wrong(format!("`{}` is not known", String::from(letter).repeat(count.min(LONGEST)))));
                }
                flush(&mut items, &mut literal);
                items.push(Item::Field(letter, count));
            }
            other => literal.push(other),
        }
    }
    if depth > 0 {
        return Err(wrong("`[` is not closed".to_string()));
    }
    flush(&mut items, &mut literal);
    Ok(items)
}

fn flush(items: &mut Vec<Item>, literal: &mut String) {
    if !literal.is_empty() {
        items.push(Item::Text(std::mem::take(literal)));
    }
}

impl Pattern {
    /// Prints a moment in UTC.
    pub(super) fn format(&self, micros: i64) -> String {
        let mut out = String::new();
        format_items(&self.0, micros, &mut out);
        out
    }

    /// Reads a text: microseconds, in UTC unless it names a zone. None if it does not fit the pattern or is no date.
    pub(super) fn parse(&self, text: &str) -> Option<i64> {
        let mut parts = Parts::default();
        let rest = parse_items(&self.0, text, &mut parts)?;
        if !rest.is_empty() {
            return None;
        }
        parts.finish()
    }
}

fn format_items(items: &[Item], micros: i64, out: &mut String) {
    for item in items {
        match item {
            Item::Text(text) => out.push_str(text),
            Item::Field(letter, count) => out.push_str(&field(*letter, *count, micros)),
            Item::Optional(inner) => format_items(inner, micros, out),
        }
    }
}

fn field(letter: char, count: usize, micros: i64) -> String {
    let (days, rest) = split_micros(micros);
    let (year, month, day) = civil_from_days(days);
    let seconds = rest / MICROS_PER_SECOND;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let padded = |v: i64| format!("{v:0count$}");
    let name = |names: &[&str], index: i64| {
        let name = names[index as usize];
        if count == 4 { name.to_string() } else { name[..if count == 5 { 1 } else { 3 }].to_string() }
    };
    match letter {
        'G' => if year > 0 { "AD" } else { "BC" }.to_string(),
        'y' | 'u' => {
            let shown = if letter == 'y' && year <= 0 { 1 - year } else { year };
            match count {
                2 => format!("{:02}", shown.rem_euclid(100)),
                _ if shown < 0 => format!("-{:0count$}", -shown),
                _ if shown > 9999 && count >= 4 => format!("+{shown:0count$}"),
                _ => padded(shown),
            }
        }
        'M' | 'L' if count > 2 => name(&MONTHS, month - 1),
        'M' | 'L' => padded(month),
        'Q' | 'q' if count > 2 => format!("Q{}", (month + 2) / 3),
        'Q' | 'q' => padded((month + 2) / 3),
        'd' => padded(day),
        'D' => padded(day_of_year(days)),
        'E' => name(&WEEKDAYS, weekday(days)),
        'a' => if hour < 12 { "AM" } else { "PM" }.to_string(),
        'H' => padded(hour),
        'h' => padded((hour + 11) % 12 + 1),
        'K' => padded(hour % 12),
        'k' => padded((hour + 23) % 24 + 1),
        'm' => padded(minute),
        's' => padded(second),
        'S' => {
            format!("{:06}000", rest % MICROS_PER_SECOND).chars().chain(std::iter::repeat('0')).take(count).collect()
        }
        'V' | 'z' => "UTC".to_string(),
        'O' => "GMT".to_string(),
        'X' => "Z".to_string(),
        'x' => ["+00", "+0000", "+00:00"][(count.clamp(1, 3)) - 1].to_string(),
        'Z' => ["+0000", "GMT", "Z"][if count < 4 { 0 } else { count.min(5) - 3 }].to_string(),
        _ => String::new(),
    }
}

fn parse_items<'a>(items: &[Item], mut text: &'a str, parts: &mut Parts) -> Option<&'a str> {
    for (i, item) in items.iter().enumerate() {
        text = match item {
            Item::Text(expected) => text.strip_prefix(expected.as_str())?,
            Item::Optional(inner) => {
                let mut tried = parts.clone();
                match parse_items(inner, text, &mut tried) {
                    Some(rest) => {
                        *parts = tried;
                        rest
                    }
                    None => text,
                }
            }
            Item::Field(letter, count) => {
                let adjacent = matches!(items.get(i + 1), Some(Item::Field(next, n)) if numeric(*next, *n));
                parts.field(*letter, *count, adjacent, text)?
            }
        };
    }
    Some(text)
}

fn numeric(letter: char, count: usize) -> bool {
    "yudDHhKkmsS".contains(letter) || "MLQq".contains(letter) && count <= 2
}

fn number(text: &str, least: usize, most: usize) -> Option<(i64, usize, &str)> {
    let digits = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    (digits >= least.max(1)).then(|| text[..digits].parse().ok().map(|v| (v, digits, &text[digits..])))?
}

impl Parts {
    fn field<'a>(&mut self, letter: char, count: usize, adjacent: bool, text: &'a str) -> Option<&'a str> {
        let exact = adjacent || count == 2;
        let small = |usual: usize| {
            let (value, _, rest) = number(text, count, if exact { count } else { usual.max(count) })?;
            Some((value, rest))
        };
        match letter {
            'y' | 'u' => return self.year(count, adjacent, text),
            'M' | 'L' if count > 2 => {
                let (index, rest) = named(&MONTHS, count, text)?;
                self.month = Some(index + 1);
                return Some(rest);
            }
            'E' => return named(&WEEKDAYS, count, text).map(|(_, rest)| rest),
            'G' => {
                self.before_christ = prefix(text, "BC").is_some();
                return prefix(text, "BC").or_else(|| prefix(text, "AD"));
            }
            'a' => {
                self.afternoon = Some(prefix(text, "PM").is_some());
                return prefix(text, "PM").or_else(|| prefix(text, "AM"));
            }
            'S' => {
                let (value, digits, rest) = number(text, 1, count)?;
                let places = digits as u32;
                self.micros = if places <= 6 { value * 10i64.pow(6 - places) } else { value / 10i64.pow(places - 6) };
                return Some(rest);
            }
            'V' | 'z' | 'O' | 'X' | 'x' | 'Z' => return self.zone(text),
            'Q' | 'q' => return Some(small(2)?.1),
            _ => {}
        }
        let (value, rest) = small(if letter == 'D' { 3 } else { 2 })?;
        match letter {
            'M' | 'L' => self.month = Some(value),
            'd' => self.day = Some(value),
            'D' => self.day_of_year = Some(value),
            'H' => self.hour = Some(value),
            'k' => self.hour = Some(value % 24),
            'h' | 'K' => self.half_hour = Some(value % 12),
            'm' => self.minute = value,
            's' => self.second = value,
            _ => return None,
        }
        Some(rest)
    }

    fn year<'a>(&mut self, count: usize, adjacent: bool, text: &'a str) -> Option<&'a str> {
        let (sign, digits) = match text.strip_prefix('-') {
            Some(rest) if count != 2 => (-1, rest),
            _ => (1, text.strip_prefix('+').filter(|_| count != 2).unwrap_or(text)),
        };
        let (value, _, rest) = match count {
            2 => number(digits, 2, 2)?,
            _ => number(digits, count, if adjacent { count } else { 7 })?,
        };
        self.year = Some(sign * if count == 2 { 2000 + value } else { value });
        Some(rest)
    }

    fn zone<'a>(&mut self, text: &'a str) -> Option<&'a str> {
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && !"+-:/_".contains(c)).unwrap_or(text.len());
        self.zone = Some(Zone::find(&text[..end])?);
        Some(&text[end..])
    }

    fn finish(self) -> Option<i64> {
        let year = self.year.unwrap_or(1970);
        let year = if self.before_christ { 1 - year } else { year };
        let days = match (self.day_of_year, self.month, self.day) {
            (Some(day), None, None) => {
                let valid = (1..=if is_leap(year) { 366 } else { 365 }).contains(&day);
                valid.then(|| days_from_civil(year, 1, 1) + day - 1)?
            }
            (_, month, day) => i64::from(checked_days(year, month.unwrap_or(1), day.unwrap_or(1))?),
        };
        let afternoon = i64::from(self.afternoon.unwrap_or(false)) * 12;
        let hour = self.hour.unwrap_or_else(|| self.half_hour.unwrap_or(0) + afternoon);
        if hour > 23 || self.minute > 59 || self.second > 59 {
            return None;
        }
        let seconds = hour * 3600 + self.minute * 60 + self.second;
        let local = days.checked_mul(MICROS_PER_DAY)?.checked_add(seconds * MICROS_PER_SECOND + self.micros)?;
        match self.zone {
            Some(zone) => zone.to_utc(local),
            None => Some(local),
        }
    }
}

fn prefix<'a>(text: &'a str, expected: &str) -> Option<&'a str> {
    let head = text.get(..expected.len())?;
    head.eq_ignore_ascii_case(expected).then(|| &text[expected.len()..])
}

fn named<'a>(names: &[&str], count: usize, text: &'a str) -> Option<(i64, &'a str)> {
    names.iter().enumerate().find_map(|(i, name)| {
        let shown = if count == 4 { name } else { &name[..3] };
        prefix(text, shown).map(|rest| (i as i64, rest))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cast::parse::parse_timestamp;

    fn at(text: &str) -> i64 {
        parse_timestamp(text).expect("a timestamp")
    }

    #[test]
    fn printing() {
        let moment = at("2026-11-22 15:04:05.678");
        for (pattern, expected) in [
            ("yyyy-MM-dd HH:mm:ss.SSS", "2026-11-22 15:04:05.678"),
            ("yy/M/d h:mm a", "26/11/22 3:04 PM"),
            ("EEEE, d MMMM yyyy", "Sunday, 22 November 2026"),
            ("EEE MMM D Q", "Sun Nov 326 4"),
            ("yyyy-MM-dd'T'HH:mm:ssXXX", "2026-11-22T15:04:05Z"),
            ("'it''s' k", "it's 15"),
            ("yyyyMMdd", "20261122"),
        ] {
            assert_eq!(compiled(pattern).expect("a pattern").format(moment), expected, "{pattern}");
        }
        let _ = compiled("yyyy").expect("a pattern").format(i64::MIN);
    }

    #[test]
    fn reading() {
        for (pattern, text, expected) in [
            ("yyyy-MM-dd HH:mm:ss", "2026-11-22 15:04:05", Some("2026-11-22 15:04:05")),
            ("yyyyMMdd", "20261122", Some("2026-11-22")),
            ("d/M/yy", "2/1/26", Some("2026-01-02")),
            ("dd MMM yyyy", "22 nov 2026", Some("2026-11-22")),
            ("yyyy-MM-dd[ HH:mm]", "2026-11-22", Some("2026-11-22")),
            ("yyyy-MM-dd[ HH:mm]", "2026-11-22 10:30", Some("2026-11-22 10:30:00")),
            ("hh:mm a", "12:30 AM", Some("1970-01-01 00:30:00")),
            ("yyyy-MM-dd HH:mm:ss XXX", "2026-11-22 15:04:05 +01:00", Some("2026-11-22 14:04:05")),
            ("yyyy-MM-dd", "2026-02-30", None),
            ("yyyy-MM-dd", "2026-1-3", None),
            ("yyyy-MM-dd", "2026-01-03x", None),
            ("HH", "24", None),
        ] {
            assert_eq!(compiled(pattern).expect("a pattern").parse(text), expected.map(at), "{pattern} of {text}");
        }
    }

    #[test]
    fn not_patterns() {
        for pattern in ["yyyy-MM-dd'T", "[yyyy", "YYYY", "yyyy}", "b"] {
            assert!(compiled(pattern).is_err(), "{pattern}");
        }
    }
}
