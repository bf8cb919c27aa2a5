//! Values as they are written in a program.

use flowc_ir::cast::format::{write_date, write_decimal, write_timestamp};
use flowc_ir::types::quote_name;
use flowc_ir::{DataType, Value};

/// Units of durations, greatest first.
const UNITS: &[(i64, &str)] =
    &[(86_400_000_000, "d"), (3_600_000_000, "h"), (60_000_000, "m"), (1_000_000, "s"), (1000, "ms"), (1, "us")];

/// The text that stands for a value where a column of this type is expected.
pub fn literal(value: &Value, data: &DataType) -> String {
    match (value, data) {
        (Value::Null, _) => "null".to_string(),
        (Value::Boolean(v), _) => v.to_string(),
        (Value::Byte(v), _) => v.to_string(),
        (Value::Short(v), _) => v.to_string(),
        (Value::Integer(v), _) => v.to_string(),
        (Value::Long(v), _) => v.to_string(),
        (Value::Float(v), _) => float(&format!("{v:?}"), f64::from(*v), "float"),
        (Value::Double(v), _) => float(&format!("{v:?}"), *v, "double"),
        (Value::Decimal(v), _) => decimal(*v, data),
        (Value::String(v), _) => string(v),
        (Value::Binary(v), _) => {
            format!("unhex(\"{}\")", v.iter().map(|b| format!("{b:02x}")).collect::<String>())
        }
        (Value::Date(v), _) => dated(|out| write_date(out, i64::from(*v)), "date"),
        (Value::Timestamp(v), _) => dated(|out| write_timestamp(out, *v), "timestamp"),
        (Value::TimestampNtz(v), _) => dated(|out| write_timestamp(out, *v), "timestamp_ntz"),
        (Value::Duration(v), _) => {
            let (size, unit) = UNITS.iter().find(|(size, _)| v % size == 0).unwrap_or(&(1, "us"));
            if *v == 0 { "0s".to_string() } else { format!("{}{unit}", v / size) }
        }
        (Value::Array(items), DataType::Array(item)) => {
            format!("[{}]", joined(items.iter().map(|v| literal(v, &item.data))))
        }
        (Value::Map(entries), DataType::Map(key, item)) => {
            let keys = joined(entries.iter().map(|(k, _)| literal(k, key)));
            let values = joined(entries.iter().map(|(_, v)| literal(v, &item.data)));
            format!("map_from_arrays([{keys}], [{values}])")
        }
        (Value::Struct(values), DataType::Struct(fields)) if values.is_empty() || fields.is_empty() => "{}".to_string(),
        (Value::Struct(values), DataType::Struct(fields)) => {
            let field =
                |(v, f): (&Value, &flowc_ir::Field)| format!("{}: {}", quote_name(&f.name), literal(v, &f.ty.data));
            format!("{{ {} }}", joined(values.iter().zip(fields).map(field)))
        }
        (Value::Array(_) | Value::Map(_) | Value::Struct(_), _) => "null".to_string(),
    }
}

fn joined(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

/// What has no literal is converted from a text.
fn float(text: &str, value: f64, ty: &str) -> String {
    match value {
        v if v.is_nan() => format!("\"NaN\" as {ty}"),
        v if v.is_infinite() => format!("\"{}Infinity\" as {ty}", if v < 0.0 { "-" } else { "" }),
        _ => text.to_string(),
    }
}

fn decimal(unscaled: i128, data: &DataType) -> String {
    let scale = if let DataType::Decimal { scale, .. } = data { *scale } else { 0 };
    let mut out = String::new();
    write_decimal(&mut out, unscaled, scale);
    // `5d` is five days; a whole number fits a decimal as it is.
    if scale > 0 { out + "d" } else { out }
}

fn string(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '{' => out.push_str("{{"),
            '}' => out.push_str("}}"),
            c if c.is_control() => out.push_str(&format!("\\u{{{:X}}}", c as u32)),
            c => out.push(c),
        }
    }
    out + "\""
}

/// A date or time; one outside of the years that literals have is converted from a text.
fn dated(write: impl Fn(&mut String), ty: &str) -> String {
    let mut text = String::new();
    write(&mut text);
    if text.len() < 10 || !text.as_bytes()[..4].iter().all(u8::is_ascii_digit) || text.as_bytes()[4] != b'-' {
        return format!("\"{text}\" as {ty}");
    }
    let zone = if ty == "timestamp" { "Z" } else { "" };
    format!("@{}{zone}", text.replacen(' ', "T", 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowc_ir::{Field, Type};

    #[test]
    fn values_are_written_as_the_language_has_them() {
        let money = DataType::Decimal { precision: 9, scale: 2 };
        let whole = DataType::Decimal { precision: 9, scale: 0 };
        let point = DataType::Struct(vec![
            Field::new("x", Type::new(DataType::Double)),
            Field::new("the y", Type::nullable(DataType::String)),
        ]);
        let map = DataType::Map(Box::new(DataType::String), Box::new(Type::new(DataType::Integer)));
        for (value, data, text) in [
            (Value::Double(100.0), DataType::Double, "100.0"),
            (Value::Double(1e20), DataType::Double, "1e20"),
            (Value::Double(f64::NAN), DataType::Double, "\"NaN\" as double"),
            (Value::Float(0.1), DataType::Float, "0.1"),
            (Value::Decimal(-150), money, "-1.50d"),
            (Value::Decimal(5), whole, "5"),
            (Value::String("a \"{x}\"\n\u{1}".into()), DataType::String, "\"a \\\"{{x}}\\\"\\n\\u{1}\""),
            (Value::Binary(vec![0, 255]), DataType::Binary, "unhex(\"00ff\")"),
            (Value::Date(20779), DataType::Date, "@2026-11-22"),
            (Value::Timestamp(1_500_000), DataType::Timestamp, "@1970-01-01T00:00:01.5Z"),
            (Value::TimestampNtz(0), DataType::TimestampNtz, "@1970-01-01T00:00:00"),
            (Value::Duration(90_000_000), DataType::Duration, "90s"),
            (Value::Struct(vec![Value::Double(1.5), Value::Null]), point, "{ x: 1.5, `the y`: null }"),
            (Value::Map(vec![(Value::String("a".into()), Value::Integer(1))]), map, "map_from_arrays([\"a\"], [1])"),
        ] {
            assert_eq!(literal(&value, &data), text);
        }
    }
}
