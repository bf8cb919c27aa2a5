//! Functions that make, convert, print and read dates and timestamps. Where no zone is named, it is UTC.

use super::operand::{argument, date, double, integer, long, micros, overflow, string, unscaled};
use super::pattern::compiled;
use super::{Call, Category, Function, decimal};
use crate::calendar::{MICROS_PER_DAY, MICROS_PER_SECOND, checked_days};
use crate::cast::format::text_of;
use crate::cast::{cast_value, double_to_long};
use crate::eval::{Failure, FailureCode};
use crate::types::DataType;
use crate::value::Value;
use crate::zone::Zone;

pub(super) const fn of_time(
    name: &'static str,
    signatures: &'static [&'static str],
    doc: &'static str,
    examples: &'static [(&'static str, &'static str)],
    scalar: super::Scalar,
) -> Function {
    Function::new(name, Category::DateTime, signatures, doc, examples, scalar)
}

/// The functions of this topic.
pub(super) const FUNCTIONS: &[Function] = &[
    of_time(
        "date",
        &["date(x: date) -> date", "date(x: timestamp) -> date", "date(x: timestamp_ntz) -> date", "date(text: string) -> date"],
        "The date of a timestamp, or that a text is; as `x as date`.",
        &[("date(@2026-11-22T10:00:00Z)", "@2026-11-22"), ("date(\"2026-11-22\")", "@2026-11-22")],
        convert,
    )
    .failing(),
    of_time(
        "timestamp",
        &["timestamp(x: timestamp) -> timestamp", "timestamp(x: timestamp_ntz) -> timestamp", "timestamp(text: string) -> timestamp"],
        "The timestamp that a date begins with or a text is; as `x as timestamp`.",
        &[("timestamp(\"2026-11-22 10:00:00\")", "@2026-11-22T10:00:00Z"), ("timestamp(@2026-11-22)", "@2026-11-22T00:00:00Z")],
        convert,
    )
    .failing(),
    of_time(
        "timestamp_millis",
        &["timestamp_millis(millis: long) -> timestamp"],
        "The timestamp so many milliseconds after 1970-01-01T00:00:00Z.",
        &[("timestamp_millis(1000)", "@1970-01-01T00:00:01Z")],
        |call, args| scaled(call, &args[0], long(&args[0]).checked_mul(1000)),
    )
    .failing(),
    of_time(
        "timestamp_micros",
        &["timestamp_micros(micros: long) -> timestamp"],
        "The timestamp so many microseconds after 1970-01-01T00:00:00Z.",
        &[("timestamp_micros(1000000)", "@1970-01-01T00:00:01Z")],
        |_, args| Ok(Value::Timestamp(long(&args[0]))),
    ),
    of_time(
        "timestamp_seconds",
        &[
            "timestamp_seconds(seconds: long) -> timestamp",
            "timestamp_seconds(seconds: decimal) -> timestamp",
            "timestamp_seconds(seconds: double) -> timestamp",
        ],
        "The timestamp so many seconds after 1970-01-01T00:00:00Z.",
        &[("timestamp_seconds(1)", "@1970-01-01T00:00:01Z"), ("unix_millis(timestamp_seconds(1.5))", "1500")],
        |call, args| {
            let micros = match &args[0] {
                Value::Double(seconds) => double_to_long(seconds * 1e6),
                Value::Decimal(_) => {
                    let scale = call.args[0].data.as_decimal().map_or(0, |d| d.1);
                    decimal::multiply((unscaled(&args[0]), scale), (1_000_000, 0), (38, 0)).and_then(|v| v.try_into().ok())
                }
                seconds => long(seconds).checked_mul(MICROS_PER_SECOND),
            };
            scaled(call, &args[0], micros)
        },
    )
    .failing(),
    of_time(
        "unix_millis",
        &["unix_millis(t: timestamp) -> long"],
        "Milliseconds since 1970-01-01T00:00:00Z, rounded down.",
        &[("unix_millis(@1970-01-01T00:00:01Z)", "1000")],
        |_, args| Ok(Value::Long(micros(&args[0]).div_euclid(1000))),
    ),
    of_time(
        "unix_micros",
        &["unix_micros(t: timestamp) -> long"],
        "Microseconds since 1970-01-01T00:00:00Z.",
        &[("unix_micros(@1970-01-01T00:00:01Z)", "1000000")],
        |_, args| Ok(Value::Long(micros(&args[0]))),
    ),
    of_time(
        "unix_seconds",
        &["unix_seconds(t: timestamp) -> long"],
        "Seconds since 1970-01-01T00:00:00Z, rounded down.",
        &[("unix_seconds(@1970-01-01T00:00:01Z)", "1")],
        |_, args| Ok(Value::Long(micros(&args[0]).div_euclid(MICROS_PER_SECOND))),
    ),
    of_time(
        "unix_timestamp",
        &["unix_timestamp(t: timestamp) -> long", "unix_timestamp(text: string, pattern: string = \"yyyy-MM-dd HH:mm:ss\") -> long"],
        "Seconds since 1970-01-01T00:00:00Z of a timestamp, or of a text of this pattern.",
        &[("unix_timestamp(\"1970-01-02\", \"yyyy-MM-dd\")", "86400")],
        |_, args| {
            let micros = match &args[0] {
                Value::String(text) => read(text, args.get(1).map_or("yyyy-MM-dd HH:mm:ss", string))?,
                t => micros(t),
            };
            Ok(Value::Long(micros.div_euclid(MICROS_PER_SECOND)))
        },
    )
    .failing(),
    of_time(
        "from_unixtime",
        &["from_unixtime(seconds: long, pattern: string = \"yyyy-MM-dd HH:mm:ss\") -> string"],
        "The timestamp so many seconds after 1970-01-01T00:00:00Z, as text.",
        &[("from_unixtime(0)", "\"1970-01-01 00:00:00\""), ("from_unixtime(0, \"yyyy\")", "\"1970\"")],
        |call, args| {
            let pattern = compiled(args.get(1).map_or("yyyy-MM-dd HH:mm:ss", string))?;
            let micros = long(&args[0]).checked_mul(MICROS_PER_SECOND).ok_or_else(|| too_far(call, &args[0]))?;
            Ok(Value::String(pattern.format(micros)))
        },
    )
    .failing(),
    of_time(
        "unix_date",
        &["unix_date(d: date) -> integer"],
        "Days since 1970-01-01.",
        &[("unix_date(@1970-01-02)", "1")],
        |_, args| Ok(Value::Integer(date(&args[0]))),
    ),
    of_time(
        "date_from_unix_date",
        &["date_from_unix_date(days: integer) -> date"],
        "The date so many days after 1970-01-01.",
        &[("date_from_unix_date(1)", "@1970-01-02")],
        |_, args| Ok(Value::Date(integer(&args[0]))),
    ),
    of_time(
        "make_date",
        &["make_date(year: integer, month: integer, day: integer) -> date"],
        "The date of a year, month and day. Fails where there is no such day.",
        &[("make_date(2026, 11, 22)", "@2026-11-22")],
        |_, args| {
            let [y, m, d] = [0, 1, 2].map(|i| i64::from(integer(&args[i])));
            checked_days(y, m, d).map(Value::Date).ok_or_else(|| argument(format!("there is no date {y}-{m}-{d}")))
        },
    )
    .failing(),
    of_time(
        "make_timestamp",
        &["make_timestamp(year: integer, month: integer, day: integer, hour: integer, minute: integer, second: double, zone: string = \"UTC\") -> timestamp"],
        "The timestamp of these parts. Fails where there is none.",
        &[("make_timestamp(2026, 11, 22, 10, 30, 1.5)", "@2026-11-22T10:30:01.5Z")],
        make_timestamp,
    )
    .failing(),
    of_time(
        "make_dt_interval",
        &["make_dt_interval(days: integer, hours: integer = 0, minutes: integer = 0, seconds: double = 0) -> duration"],
        "The duration of these parts.",
        &[("make_dt_interval(1, 2)", "26h")],
        |_, args| {
            let part = |i: usize| args.get(i).map_or(0, |v| i128::from(integer(v)));
            let seconds = args.get(3).map_or(0.0, double);
            let micros = double_to_long((seconds * 1e6).round()).map(i128::from);
            let total = micros.map(|m| m + (part(0) * 86_400 + part(1) * 3600 + part(2) * 60) * 1_000_000);
            let fitting = total.and_then(|t| i64::try_from(t).ok()).map(Value::Duration);
            fitting.ok_or_else(|| overflow("the parts do not fit duration"))
        },
    )
    .failing(),
    of_time(
        "current_timestamp",
        &["current_timestamp() -> timestamp"],
        "The time at which the epoch began: the same for all its rows, and when it is run again.",
        &[("current_timestamp() == now()", "true")],
        |call, _| Ok(Value::Timestamp(call.context.now)),
    ),
    of_time(
        "now",
        &["now() -> timestamp"],
        "As `current_timestamp`.",
        &[("now() >= timestamp(current_date())", "true")],
        |call, _| Ok(Value::Timestamp(call.context.now)),
    ),
    of_time(
        "current_date",
        &["current_date() -> date"],
        "The date at which the epoch began.",
        &[("current_date() == date(now())", "true")],
        |call, _| Ok(Value::Date(i32::try_from(call.context.now.div_euclid(MICROS_PER_DAY)).unwrap_or(i32::MAX))),
    ),
    of_time(
        "current_epoch",
        &["current_epoch() -> long"],
        "The number of the epoch that computes the row, from 1. How the input is cut into epochs is no property of the data: use it to trace rows, not to compute.",
        &[("current_epoch() >= 0", "true")],
        |call, _| Ok(Value::Long(i64::try_from(call.context.epoch).unwrap_or(i64::MAX))),
    ),
    of_time(
        "date_format",
        &["date_format(t: timestamp, pattern: string) -> string", "date_format(t: timestamp_ntz, pattern: string) -> string"],
        "A date or timestamp as text, by a pattern of Spark's letters: `yyyy` year, `MM` month, `dd` day, `HH` hour, `mm` minute, `ss` second, `SSS` \
         milliseconds, `EEEE` weekday, `MMMM` month's name, `a` AM or PM, text in single quotes.",
        &[("date_format(@2026-11-22T15:04:05Z, \"dd.MM.yyyy HH:mm\")", "\"22.11.2026 15:04\""), ("date_format(@2026-11-22, \"EEEE\")", "\"Sunday\"")],
        |_, args| Ok(Value::String(compiled(string(&args[1]))?.format(micros(&args[0])))),
    )
    .failing(),
    of_time(
        "to_date",
        &["to_date(text: string) -> date", "to_date(text: string, pattern: string) -> date", "to_date(t: timestamp) -> date"],
        "The date that a text is, by a pattern if given. Fails where it is none.",
        &[("to_date(\"22.11.2026\", \"dd.MM.yyyy\")", "@2026-11-22"), ("to_date(\"2026-11-22\")", "@2026-11-22")],
        |call, args| match args.get(1) {
            None => convert(call, args),
            Some(pattern) => {
                let days = read(string(&args[0]), string(pattern))?.div_euclid(MICROS_PER_DAY);
                Ok(Value::Date(i32::try_from(days).unwrap_or(i32::MAX)))
            }
        },
    )
    .failing(),
    of_time(
        "to_timestamp",
        &["to_timestamp(text: string) -> timestamp", "to_timestamp(text: string, pattern: string) -> timestamp", "to_timestamp(t: timestamp) -> timestamp"],
        "The timestamp that a text is, by a pattern if given. Fails where it is none.",
        &[("to_timestamp(\"22.11.2026 10:30\", \"dd.MM.yyyy HH:mm\")", "@2026-11-22T10:30:00Z")],
        |call, args| match args.get(1) {
            None => convert(call, args),
            Some(pattern) => read(string(&args[0]), string(pattern)).map(Value::Timestamp),
        },
    )
    .failing(),
    of_time(
        "to_timestamp_ntz",
        &["to_timestamp_ntz(text: string) -> timestamp_ntz", "to_timestamp_ntz(text: string, pattern: string) -> timestamp_ntz"],
        "The timestamp without a zone that a text is, by a pattern if given. Fails where it is none.",
        &[("to_timestamp_ntz(\"2026-11-22 10:30:00\") as string", "\"2026-11-22 10:30:00\"")],
        |call, args| match args.get(1) {
            None => convert(call, args),
            Some(pattern) => read(string(&args[0]), string(pattern)).map(Value::TimestampNtz),
        },
    )
    .failing(),
    of_time(
        "from_utc_timestamp",
        &["from_utc_timestamp(t: timestamp, zone: string) -> timestamp"],
        "What clocks in the zone show, as a timestamp. Fails for unknown zones.",
        &[("from_utc_timestamp(@2026-07-01T00:00:00Z, \"Asia/Seoul\")", "@2026-07-01T09:00:00Z")],
        |call, args| {
            let zone = zone(&args[1])?;
            zone.to_local(micros(&args[0])).map(Value::Timestamp).ok_or_else(|| too_far(call, &args[0]))
        },
    )
    .failing(),
    of_time(
        "to_utc_timestamp",
        &["to_utc_timestamp(t: timestamp, zone: string) -> timestamp"],
        "The timestamp at which clocks in the zone show this. Fails for unknown zones.",
        &[("to_utc_timestamp(@2026-07-01T09:00:00Z, \"Asia/Seoul\")", "@2026-07-01T00:00:00Z")],
        |call, args| {
            let zone = zone(&args[1])?;
            zone.to_utc(micros(&args[0])).map(Value::Timestamp).ok_or_else(|| too_far(call, &args[0]))
        },
    )
    .failing(),
    of_time(
        "convert_timezone",
        &[
            "convert_timezone(from: string, to: string, t: timestamp_ntz) -> timestamp_ntz",
            "convert_timezone(to: string, t: timestamp_ntz) -> timestamp_ntz",
        ],
        "What clocks in one zone show when those in another (UTC if not given) show this. Fails for unknown zones.",
        &[("convert_timezone(\"Europe/Berlin\", \"UTC\", to_timestamp_ntz(\"2026-07-01 12:00\")) as string", "\"2026-07-01 10:00:00\"")],
        |call, args| {
            let (from, to, t) = match args {
                [from, to, t] => (zone(from)?, zone(to)?, t),
                [to, t] => (Zone::Fixed(0), zone(to)?, t),
                _ => return Ok(Value::Null),
            };
            let local = from.to_utc(micros(t)).and_then(|utc| to.to_local(utc));
            local.map(Value::TimestampNtz).ok_or_else(|| too_far(call, t))
        },
    )
    .failing(),
];

/// As `as`, with the code of functions.
fn convert(call: &Call<'_>, args: &[Value]) -> Result<Value, Failure> {
    cast_value(&args[0], &call.args[0].data, &call.result.data)
        .map_err(|f| Failure::new(FailureCode::Argument, f.message))
}

fn too_far(call: &Call<'_>, value: &Value) -> Failure {
    let data = if matches!(value, Value::TimestampNtz(_)) { &DataType::TimestampNtz } else { &call.args[0].data };
    overflow(format!("{} leads to a time out of range", text_of(value, data)))
}

fn scaled(call: &Call<'_>, value: &Value, micros: Option<i64>) -> Result<Value, Failure> {
    micros.map(Value::Timestamp).ok_or_else(|| too_far(call, value))
}

fn read(text: &str, pattern: &str) -> Result<i64, Failure> {
    compiled(pattern)?.parse(text).ok_or_else(|| {
        let shown: String = text.chars().take(80).collect();
        argument(format!("{shown:?} is no date of the pattern {pattern:?}"))
    })
}

fn zone(name: &Value) -> Result<Zone, Failure> {
    let name = string(name);
    Zone::find(name).ok_or_else(|| argument(format!("there is no time zone {name:?}")))
}

fn make_timestamp(_: &Call<'_>, args: &[Value]) -> Result<Value, Failure> {
    let [y, mo, d, h, mi] = [0, 1, 2, 3, 4].map(|i| i64::from(integer(&args[i])));
    let seconds = double(&args[5]);
    let zone = args.get(6).map_or(Ok(Zone::Fixed(0)), zone)?;
    let none = || argument(format!("there is no time {y}-{mo}-{d} {h}:{mi}:{seconds}"));
    // A minute's 60th second is the next minute's first, as in Spark.
    let valid = (0..24).contains(&h) && (0..60).contains(&mi) && ((0.0..60.0).contains(&seconds) || seconds == 60.0);
    let days = checked_days(y, mo, d).filter(|_| valid).ok_or_else(none)?;
    let time = (h * 3600 + mi * 60) * MICROS_PER_SECOND + (seconds * 1e6).round() as i64;
    let local = i64::from(days).checked_mul(MICROS_PER_DAY).and_then(|m| m.checked_add(time));
    local.and_then(|local| zone.to_utc(local)).map(Value::Timestamp).ok_or_else(none)
}
