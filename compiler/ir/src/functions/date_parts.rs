//! Functions that take dates and timestamps apart, cut them off and move them. In UTC.

use super::datetime::of_time;
use super::operand::{argument, date, integer, micros, overflow, string};
use super::pattern::{MONTHS, WEEKDAYS};
use super::{Call, Function, kernels};
use crate::calendar::*;
use crate::cast::format::text_of;
use crate::eval::Failure;
use crate::types::DataType;
use crate::value::Value;

macro_rules! part_of_date {
    ($name:literal, $doc:literal, $examples:expr, $part:expr) => {
        of_time(
            $name,
            &[
                concat!($name, "(d: date) -> integer"),
                concat!($name, "(t: timestamp) -> integer"),
                concat!($name, "(t: timestamp_ntz) -> integer"),
            ],
            $doc,
            $examples,
            |_, args| {
                let part: fn(i64) -> i64 = $part;
                Ok(Value::Integer(part(day_of(&args[0])) as i32))
            },
        )
        .with_kernel(|call, args, rows| kernels::part_of_date(call, args, rows, $part))
    };
}

macro_rules! part_of_time {
    ($name:literal, $doc:literal, $examples:expr, $part:expr) => {
        of_time(
            $name,
            &[concat!($name, "(t: timestamp) -> integer"), concat!($name, "(t: timestamp_ntz) -> integer")],
            $doc,
            $examples,
            |_, args| {
                let part: fn(i64) -> i64 = $part;
                Ok(Value::Integer(part(split_micros(micros(&args[0])).1 / MICROS_PER_SECOND) as i32))
            },
        )
        .with_kernel(|call, args, rows| kernels::part_of_time(call, args, rows, $part))
    };
}

/// The functions of this topic.
pub(super) const FUNCTIONS: &[Function] = &[
    part_of_date!("year", "The year.", &[("year(@2026-11-22)", "2026")], |d| civil_from_days(d).0),
    part_of_date!("quarter", "The quarter, 1 to 4.", &[("quarter(@2026-11-22)", "4")], |d| (civil_from_days(d).1 + 2) / 3),
    part_of_date!("month", "The month, 1 to 12.", &[("month(@2026-11-22)", "11")], |d| civil_from_days(d).1),
    part_of_date!("day", "The day of the month.", &[("day(@2026-11-22)", "22")], |d| civil_from_days(d).2),
    part_of_date!("dayofmonth", "As `day`.", &[("dayofmonth(@2026-11-22)", "22")], |d| civil_from_days(d).2),
    part_of_date!(
        "dayofweek",
        "The day of the week, 1 for Sunday to 7 for Saturday.",
        &[("dayofweek(@2026-11-22)", "1")],
        |d| (weekday(d) + 1) % 7 + 1
    ),
    part_of_date!("weekday", "The day of the week, 0 for Monday to 6 for Sunday.", &[("weekday(@2026-11-22)", "6")], weekday),
    part_of_date!("dayofyear", "The day of the year.", &[("dayofyear(@2026-02-01)", "32")], day_of_year),
    part_of_date!(
        "weekofyear",
        "The week by ISO 8601: it begins on Monday, and week 1 has the year's first Thursday.",
        &[("weekofyear(@2021-01-03)", "53")],
        |d| iso_week(d).1
    ),
    part_of_date!("yearofweek", "The year that `weekofyear` counts in.", &[("yearofweek(@2021-01-03)", "2020")], |d| iso_week(d).0),
    part_of_time!("hour", "The hour, 0 to 23.", &[("hour(@2026-11-22T10:30:15Z)", "10")], |s| s / 3600),
    part_of_time!("minute", "The minute, 0 to 59.", &[("minute(@2026-11-22T10:30:15Z)", "30")], |s| s / 60 % 60),
    part_of_time!("second", "The second, 0 to 59.", &[("second(@2026-11-22T10:30:15Z)", "15")], |s| s % 60),
    of_time(
        "dayname",
        &["dayname(t: timestamp) -> string", "dayname(d: date) -> string"],
        "The weekday's name, in three letters.",
        &[("dayname(@2026-11-22)", "\"Sun\"")],
        |_, args| Ok(Value::String(WEEKDAYS[weekday(day_of(&args[0])) as usize][..3].to_string())),
    ),
    of_time(
        "monthname",
        &["monthname(t: timestamp) -> string", "monthname(d: date) -> string"],
        "The month's name, in three letters.",
        &[("monthname(@2026-11-22)", "\"Nov\"")],
        |_, args| Ok(Value::String(MONTHS[civil_from_days(day_of(&args[0])).1 as usize - 1][..3].to_string())),
    ),
    of_time(
        "date_add",
        &["date_add(d: date, days: integer) -> date"],
        "The date so many days later.",
        &[("date_add(@2026-11-22, 10)", "@2026-12-02")],
        |_, args| moved(&args[0], date(&args[0]).checked_add(integer(&args[1])).map(i64::from)),
    )
    .failing(),
    of_time(
        "date_sub",
        &["date_sub(d: date, days: integer) -> date"],
        "The date so many days earlier.",
        &[("date_sub(@2026-11-22, 22)", "@2026-10-31")],
        |_, args| moved(&args[0], date(&args[0]).checked_sub(integer(&args[1])).map(i64::from)),
    )
    .failing(),
    of_time(
        "datediff",
        &["datediff(end: date, start: date) -> integer"],
        "The days from `start` to `end`.",
        &[("datediff(@2026-11-22, @2026-11-20)", "2")],
        date_difference,
    )
    .failing(),
    of_time(
        "date_diff",
        &["date_diff(end: date, start: date) -> integer"],
        "As `datediff`.",
        &[("date_diff(@2026-11-20, @2026-11-22)", "-2")],
        date_difference,
    )
    .failing(),
    of_time(
        "add_months",
        &["add_months(d: date, months: integer) -> date"],
        "The date so many months later; a day beyond the end of the month becomes its last.",
        &[("add_months(@2024-01-31, 1)", "@2024-02-29")],
        |_, args| moved(&args[0], Some(add_months(i64::from(date(&args[0])), i64::from(integer(&args[1]))))),
    )
    .failing(),
    of_time(
        "months_between",
        &["months_between(end: timestamp, start: timestamp, round: boolean = true) -> double"],
        "The months from `start` to `end`, a month having 31 days where they are not on the same day or both on the last; rounded to 8 digits.",
        &[("months_between(@1997-02-28T10:30:00Z, @1996-10-30)", "3.94959677"), ("months_between(@2026-11-22, @2026-01-22)", "10.0")],
        |_, args| {
            let exact = months_between(micros(&args[0]), micros(&args[1]));
            let rounded = args.get(2) != Some(&Value::Boolean(false));
            Ok(Value::Double(if rounded { (exact * 1e8 + 0.5).floor() / 1e8 } else { exact }))
        },
    ),
    of_time(
        "last_day",
        &["last_day(d: date) -> date"],
        "The last day of the month.",
        &[("last_day(@2024-02-10)", "@2024-02-29")],
        |_, args| {
            let (year, month, _) = civil_from_days(i64::from(date(&args[0])));
            moved(&args[0], Some(days_from_civil(year, month, days_in_month(year, month))))
        },
    )
    .failing(),
    of_time(
        "next_day",
        &["next_day(d: date, weekday: string) -> date"],
        "The first day after `d` that is this weekday (`MO`, `Mon`, `Monday`, …). Fails for other texts.",
        &[("next_day(@2026-11-22, \"TU\")", "@2026-11-24")],
        |_, args| {
            let (days, name) = (i64::from(date(&args[0])), string(&args[1]).trim());
            let known = |w: &str| [2, 3, w.len()].iter().any(|n| w[..*n].eq_ignore_ascii_case(name));
            let Some(target) = WEEKDAYS.iter().position(|w| known(w)) else {
                return Err(argument(format!("there is no weekday {name:?}")));
            };
            moved(&args[0], Some(days + 1 + (target as i64 - weekday(days) - 1).rem_euclid(7)))
        },
    )
    .failing(),
    of_time(
        "trunc",
        &["trunc(d: date, unit: string) -> date?"],
        "The first day of the `year`, `quarter`, `month` or `week`; null for other units.",
        &[("trunc(@2026-11-22, \"quarter\")", "@2026-10-01"), ("trunc(@2026-11-22, \"week\")", "@2026-11-16")],
        |_, args| match truncated_day(i64::from(date(&args[0])), &string(&args[1]).to_ascii_uppercase()) {
            None => Ok(Value::Null),
            Some(days) => moved(&args[0], Some(days)),
        },
    )
    .failing(),
    of_time(
        "date_trunc",
        &[
            "date_trunc(unit: string, t: timestamp) -> timestamp?",
            "date_trunc(unit: string, t: timestamp_ntz) -> timestamp_ntz?",
        ],
        "The beginning of the `year`, `quarter`, `month`, `week`, `day`, `hour`, `minute`, `second`, `millisecond` or `microsecond`; null for other units.",
        &[("date_trunc(\"hour\", @2026-11-22T10:30:15Z)", "@2026-11-22T10:00:00Z"), ("date_trunc(\"month\", @2026-11-22)", "@2026-11-01T00:00:00Z")],
        date_trunc,
    )
    .failing(),
];

/// The day of a date or timestamp.
fn day_of(value: &Value) -> i64 {
    match value {
        Value::Date(days) => i64::from(*days),
        t => split_micros(micros(t)).0,
    }
}

fn moved(from: &Value, days: Option<i64>) -> Result<Value, Failure> {
    let fitting = days.and_then(|d| i32::try_from(d).ok()).map(Value::Date);
    fitting.ok_or_else(|| overflow(format!("{} leads to a date out of range", text_of(from, &DataType::Date))))
}

fn date_difference(_: &Call<'_>, args: &[Value]) -> Result<Value, Failure> {
    let difference = date(&args[0]).checked_sub(date(&args[1])).map(Value::Integer);
    difference.ok_or_else(|| overflow("the days between the dates do not fit integer"))
}

fn months_between(end: i64, start: i64) -> f64 {
    let parts = |t: i64| {
        let (days, rest) = split_micros(t);
        let (year, month, day) = civil_from_days(days);
        (year * 12 + month, day, day == days_in_month(year, month), rest / MICROS_PER_SECOND)
    };
    let ((months, day, last, seconds), (months_before, day_before, last_before, seconds_before)) =
        (parts(end), parts(start));
    let whole = (months - months_before) as f64;
    if day == day_before || last && last_before {
        return whole;
    }
    let rest = (day - day_before) * 86_400 + seconds - seconds_before;
    whole + rest as f64 / (31 * 86_400) as f64
}

fn truncated_day(days: i64, unit: &str) -> Option<i64> {
    let (year, month, _) = civil_from_days(days);
    Some(match unit {
        "YEAR" | "YYYY" | "YY" => days_from_civil(year, 1, 1),
        "QUARTER" => days_from_civil(year, (month - 1) / 3 * 3 + 1, 1),
        "MONTH" | "MON" | "MM" => days_from_civil(year, month, 1),
        "WEEK" => days - weekday(days),
        _ => return None,
    })
}

fn date_trunc(_: &Call<'_>, args: &[Value]) -> Result<Value, Failure> {
    let (unit, t) = (string(&args[0]).to_ascii_uppercase(), micros(&args[1]));
    let down_to = |size: i64| t.checked_sub(t.rem_euclid(size));
    let cut = match unit.as_str() {
        "DAY" | "DD" => down_to(MICROS_PER_DAY),
        "HOUR" => down_to(3600 * MICROS_PER_SECOND),
        "MINUTE" => down_to(60 * MICROS_PER_SECOND),
        "SECOND" => down_to(MICROS_PER_SECOND),
        "MILLISECOND" => down_to(1000),
        "MICROSECOND" => Some(t),
        other => match truncated_day(split_micros(t).0, other) {
            None => return Ok(Value::Null),
            Some(days) => days.checked_mul(MICROS_PER_DAY),
        },
    };
    let cut = cut.ok_or_else(|| {
        overflow(format!("the {} of {} is out of range", unit.to_lowercase(), text_of(&args[1], &DataType::Timestamp)))
    })?;
    Ok(if matches!(args[1], Value::TimestampNtz(_)) { Value::TimestampNtz(cut) } else { Value::Timestamp(cut) })
}
