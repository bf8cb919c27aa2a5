//! Generated values: ordinary ones, and those where mistakes hide.

use super::Generator;
use crate::functions::decimal::power_of_ten;
use crate::types::DataType;
use crate::value::Value;

const TEXTS: &[&str] = &[
    "",
    "a",
    "abc",
    "Sensor",
    " padded ",
    "äöü€",
    "😀x",
    "12",
    "-7.5",
    "1e3",
    "true",
    "null",
    "NaN",
    "a,b,c",
    "a%b_c",
    "[a-c]+",
    "(\\d+)-(\\d+)",
    "10-20",
    "(",
    "2024-02-29",
    "2024-02-29 12:34:56.789",
    "yyyy-MM-dd",
    "UTC",
    "Europe/Berlin",
    "+05:30",
    "month",
    "WEEK",
    "Monday",
    "MM",
    "{\"a\": {\"b\": [1, 2.5, \"x\"]}}",
    "$.a.b[1]",
    "[1, 2, 3]",
    "YWJj",
    "616263",
    "é",
    "ab\u{0301}",
    "A\nB",
    "\\",
    "$1",
];

const DOUBLES: &[f64] = &[
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    2.5,
    -2.5,
    100.0,
    1e-7,
    1234.5678,
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::MAX,
    f64::MIN,
    f64::MIN_POSITIVE,
    5e-324,
    9.3e18,
    -9.3e18,
    2_147_483_648.0,
    1e300,
];

/// A value of this type, not null.
pub(super) fn value(g: &mut Generator, data: &DataType) -> Value {
    match data {
        DataType::Null => Value::Null,
        DataType::Boolean => Value::Boolean(g.once_in(2)),
        DataType::Byte => Value::Byte(whole(g, i64::from(i8::MIN), i64::from(i8::MAX)) as i8),
        DataType::Short => Value::Short(whole(g, i64::from(i16::MIN), i64::from(i16::MAX)) as i16),
        DataType::Integer => Value::Integer(whole(g, i64::from(i32::MIN), i64::from(i32::MAX)) as i32),
        DataType::Long => Value::Long(whole(g, i64::MIN, i64::MAX)),
        DataType::Float => Value::Float(floating(g) as f32),
        DataType::Double => Value::Double(floating(g)),
        DataType::Decimal { precision, .. } => Value::Decimal(decimal(g, *precision)),
        DataType::String => Value::String(text(g)),
        DataType::Binary => Value::Binary((0..g.below(6)).map(|_| g.below(256) as u8).collect()),
        DataType::Date => Value::Date(match g.below(6) {
            0 => *g.pick(&[0, -1, 11_016, 19_723, -719_528]),
            1 if !g.tame => *g.pick(&[i32::MIN, i32::MAX, 2_932_896, 2_932_897, 106_751_992]),
            _ => g.below(30_000) as i32 - 5000,
        }),
        DataType::Timestamp => Value::Timestamp(micros(g)),
        DataType::TimestampNtz => Value::TimestampNtz(micros(g)),
        DataType::Duration => Value::Duration(match g.below(6) {
            0 => *g.pick(&[0, 1, -1, 1_000_000, 86_400_000_000]),
            1 if !g.tame => *g.pick(&[i64::MIN, i64::MAX]),
            _ => (g.below(1_000_000) as i64 - 300_000) * 1_000_003,
        }),
        DataType::Array(item) => Value::Array((0..g.below(4)).map(|_| g.value(item)).collect()),
        DataType::Map(key, item) => {
            let mut entries: Vec<(Value, Value)> = vec![];
            for _ in 0..g.below(4) {
                let key = value(g, key);
                if entries.iter().all(|(k, _)| *k != key) {
                    let item = g.value(item);
                    entries.push((key, item));
                }
            }
            Value::Map(entries)
        }
        DataType::Struct(fields) => Value::Struct(fields.iter().map(|f| g.value(&f.ty)).collect()),
    }
}

fn whole(g: &mut Generator, least: i64, most: i64) -> i64 {
    match g.below(8) {
        0 | 1 => *g.pick(&[0, 1, -1, 2]),
        2 if !g.tame => *g.pick(&[least, most, least + 1, most - 1]),
        3 if !g.tame => (g.random() as i64).clamp(least, most),
        4 => g.below(120) as i64,
        _ => g.below(20) as i64 - 5,
    }
}

fn floating(g: &mut Generator) -> f64 {
    match g.below(6) {
        0 | 1 if g.tame => DOUBLES[g.below(10)],
        0 | 1 => *g.pick(DOUBLES),
        2 => g.below(1000) as f64,
        _ => (g.below(2_000_000) as f64 - 1_000_000.0) / 997.0,
    }
}

fn decimal(g: &mut Generator, precision: u8) -> i128 {
    let largest = power_of_ten(precision) - 1;
    match g.below(6) {
        0 => *g.pick(&[0, 1, -1, 5]),
        1 if !g.tame => *g.pick(&[largest, -largest]),
        2 if !g.tame => i128::from(g.random() as i64) * i128::from(g.random() as i64) % (largest + 1),
        _ => (g.below(2_000_000) as i128 - 1_000_000) % (largest + 1),
    }
}

fn text(g: &mut Generator) -> String {
    match g.below(8) {
        0..6 => g.pick(TEXTS).to_string(),
        6 => format!("{}{}", g.pick(TEXTS).to_owned(), g.below(1000)),
        _ => g.pick(TEXTS).repeat(3),
    }
}

fn micros(g: &mut Generator) -> i64 {
    match g.below(6) {
        0 => *g.pick(&[0, -1, 951_782_400_000_000, 1_711_846_800_000_000, 1_729_990_800_000_000]),
        1 if !g.tame => *g.pick(&[i64::MIN, i64::MAX, 253_402_300_800_000_000, -377_705_116_800_000_000]),
        _ => (g.random() % 4_000_000_000_000_000) as i64 - 1_000_000_000_000_000,
    }
}
