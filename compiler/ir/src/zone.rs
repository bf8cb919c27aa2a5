//! Time zones: offsets by name. Regions come from the tz database that is built in, so that every machine computes the same. Knows nothing of types.

use crate::calendar::{MICROS_PER_SECOND, civil_from_days, split_micros};
use jiff::civil::DateTime;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use std::cell::RefCell;
use std::sync::OnceLock;

/// A time zone.
#[derive(Debug, Clone)]
pub enum Zone {
    /// So many seconds east of Greenwich.
    Fixed(i64),
    /// A region of the tz database.
    Region(TimeZone),
}

/// The database that is built in; the machine's may be another version.
fn database() -> &'static TimeZoneDatabase {
    static DATABASE: OnceLock<TimeZoneDatabase> = OnceLock::new();
    DATABASE.get_or_init(TimeZoneDatabase::bundled)
}

thread_local! {
    static LAST: RefCell<Option<(String, Zone)>> = const { RefCell::new(None) };
}

impl Zone {
    /// The zone of this name: `UTC`, `Z`, `+01:00`, `GMT+1`, `Europe/Berlin`.
    pub fn find(name: &str) -> Option<Zone> {
        let cached = LAST.with_borrow(|last| last.as_ref().filter(|l| l.0 == name).map(|l| l.1.clone()));
        if cached.is_some() {
            return cached;
        }
        let zone = Zone::parse(name)?;
        LAST.set(Some((name.to_string(), zone.clone())));
        Some(zone)
    }

    fn parse(name: &str) -> Option<Zone> {
        let rest = match name {
            "Z" | "z" | "UTC" | "GMT" | "UT" => return Some(Zone::Fixed(0)),
            _ => ["UTC", "GMT", "UT"].iter().find_map(|p| name.strip_prefix(p)).unwrap_or(name),
        };
        if rest.starts_with(['+', '-']) {
            return parse_offset(rest).map(Zone::Fixed);
        }
        let named = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_+-".contains(&b));
        named.then(|| database().get(name).ok().map(Zone::Region)).flatten()
    }

    /// Seconds east of Greenwich at a microsecond since 1970-01-01T00:00:00Z; none outside of the years -9999 to 9999.
    pub fn offset_at(&self, micros: i64) -> Option<i64> {
        match self {
            Zone::Fixed(seconds) => Some(*seconds),
            Zone::Region(zone) => {
                let at = jiff::Timestamp::from_microsecond(micros).ok()?;
                Some(i64::from(zone.to_offset(at).seconds()))
            }
        }
    }

    /// What clocks in this zone show at a moment, as microseconds.
    pub fn to_local(&self, micros: i64) -> Option<i64> {
        micros.checked_add(self.offset_at(micros)? * MICROS_PER_SECOND)
    }

    /// The moment at which clocks in this zone show a time. A time that is skipped is read with the offset before it; of a time that comes twice the first is
    /// taken.
    pub fn to_utc(&self, local: i64) -> Option<i64> {
        match self {
            Zone::Fixed(seconds) => local.checked_sub(seconds * MICROS_PER_SECOND),
            Zone::Region(zone) => {
                let at = zone.to_timestamp(civil(local)?).ok()?;
                Some(at.as_microsecond())
            }
        }
    }
}

fn civil(micros: i64) -> Option<DateTime> {
    let (days, rest) = split_micros(micros);
    let (year, month, day) = civil_from_days(days);
    let seconds = rest / MICROS_PER_SECOND;
    let nanos = i32::try_from(rest % MICROS_PER_SECOND * 1000).ok()?;
    let narrow = |v: i64| i8::try_from(v).ok();
    DateTime::new(
        i16::try_from(year).ok()?,
        narrow(month)?,
        narrow(day)?,
        narrow(seconds / 3600)?,
        narrow(seconds / 60 % 60)?,
        narrow(seconds % 60)?,
        nanos,
    )
    .ok()
}

/// `+h`, `+hh`, `+hh:mm`, `+hhmm`, `+hh:mm:ss`: seconds.
fn parse_offset(text: &str) -> Option<i64> {
    let (sign, rest) = (if text.starts_with('-') { -1 } else { 1 }, &text[1..]);
    let parts: Vec<&str> = match rest.split(':').collect::<Vec<_>>() {
        one if one.len() == 1 && rest.len() == 4 && rest.is_ascii() => vec![&rest[..2], &rest[2..]],
        parts => parts,
    };
    if parts.is_empty() || parts.len() > 3 {
        return None;
    }
    let mut seconds = 0;
    for (i, part) in parts.iter().enumerate() {
        let fits = !part.is_empty() && part.len() <= 2 && part.bytes().all(|b| b.is_ascii_digit());
        let value: i64 = part.parse().ok().filter(|_| fits)?;
        if value > [18, 59, 59][i] {
            return None;
        }
        seconds += value * [3600, 60, 1][i];
    }
    (seconds <= 18 * 3600).then_some(sign * seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert!(matches!(Zone::find("+05:30"), Some(Zone::Fixed(19_800))));
        assert!(matches!(Zone::find("UTC-3"), Some(Zone::Fixed(-10_800))));
        assert!(Zone::find("Nowhere/City").is_none());
        assert!(Zone::find("+99:00").is_none());
        assert!(Zone::find("").is_none());
        assert!(Zone::find("+").is_none() && Zone::find("+é").is_none() && Zone::find("../etc").is_none());
        assert!(matches!(Zone::find("Japan"), Some(Zone::Region(_))));
    }

    #[test]
    fn summer_time() {
        let berlin = Zone::find("Europe/Berlin").expect("a zone");
        // 2024-03-31 01:00 UTC is when the clocks go forward; 2024-03-31 02:30 is skipped.
        let skipped = 1_711_852_200 * MICROS_PER_SECOND;
        assert_eq!(berlin.to_utc(skipped), Some(skipped - 3600 * MICROS_PER_SECOND));
        let july = 1_720_000_000 * MICROS_PER_SECOND;
        assert_eq!(berlin.to_local(july), Some(july + 7200 * MICROS_PER_SECOND));
        assert_eq!(berlin.to_local(i64::MAX), None);
    }
}
