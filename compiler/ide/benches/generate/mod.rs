//! A program of many lines as people write them, for measuring.

use flowc_ir::{DataType, Field, Schema, Type};
use std::fmt::Write;

/// The columns of every table that the program reads.
pub fn schema() -> Schema {
    let column = |name: &str, data, nullable| Field::new(name, Type { data, nullable });
    Schema::new(vec![
        column("id", DataType::Long, false),
        column("timestamp", DataType::Long, false),
        column("value", DataType::Double, true),
        column("unit", DataType::String, true),
        column("site", DataType::String, true),
        column("kind", DataType::Integer, true),
    ])
}

/// The same with more columns, up to so many.
pub fn wide(columns: usize) -> Schema {
    let mut fields = schema().fields.into_vec();
    for n in fields.len()..columns {
        fields.push(Field::new(format!("more_{n}"), Type { data: DataType::Double, nullable: true }));
    }
    Schema::new(fields)
}

/// A program of about so many lines: sources, tables, cleaning, joins, aggregates, tests.
pub fn text(lines: usize) -> String {
    let mut out = String::from("## A large program.\n\nparam limit: double = 100.0\n\n");
    out += "## Degrees Celsius.\nfn celsius(value: double, unit: string?) -> double =\n    if unit == \"F\" then (value - 32.0) / 1.8 else value\n\n";
    let mut n = 0;
    while out.lines().count() < lines {
        write!(
            out,
            r#"## Readings of line {n}.
source readings_{n} = delta("sensor_{n}")

table device_{n} = delta("device_{n}")

flow clean_{n} = readings_{n}
    |> where value is not null
    |> extend
        celsius = celsius(value, unit),
        scaled = value * 2.0 + {n}.0,
        label = "{{id}}-{{unit ?? "none"}}",
        level = match kind {{
            0 => "low",
            1 => "middle",
            in [2, 3] => "high",
            _ => "unknown",
        }}
    |> expect {{
        known: id > 0 else quarantine
        plausible: celsius between -90.0 and 1000.0 else drop
        bounded: scaled < limit * 1000.0 else warn
    }}

flow joined_{n} = clean_{n}
    |> left join device_{n} on device_{n}.id == id
    |> extend place = device_{n}.site ?? "nowhere", of_kind = device_{n}.kind ?? -1
    |> select id, timestamp, celsius, scaled, label, level, place, of_kind

table rows_{n} = delta("history_{n}")

flow daily_{n} = rows_{n}
    |> where value is not null and kind in [1, 2, 3]
    |> aggregate n = count(), highest = max(value), mean = avg(value) by site, kind

sink out_{n} = joined_{n} -> delta("out_{n}") {{
    constraint positive: id > 0
}}

sink rejected_{n} = clean_{n}.rejected -> delta("rejected_{n}")

sink days_{n} = daily_{n} -> delta("days_{n}") {{ mode overwrite }}

"#
        )
        .expect("writing to a string does not fail");
        n += 1;
    }
    out
}
