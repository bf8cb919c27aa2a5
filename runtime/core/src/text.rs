//! Values as text for people and for JSON: rows in messages, lines of the console and of JSON files. Knows types and values; nothing of who reads it.

use arrow::array::{ArrayRef, AsArray};
use arrow::record_batch::RecordBatch;
use base64::Engine;
use flowc_ir::arrow_types::from_arrow_field;
use flowc_ir::arrow_values::value_at;
use flowc_ir::cast::format::{text_of, write_text};
use flowc_ir::{DataType, Schema, Type, Value};
use std::fmt::Write;

/// The longest text of a value in a message.
const SHOWN: usize = 200;

/// The columns of a row with their values, for messages; long ones are cut.
pub fn row_text(batch: &RecordBatch, row: usize) -> Vec<(String, String)> {
    let schema = batch.schema();
    let columns = schema.fields().iter().zip(batch.columns()).filter(|_| row < batch.num_rows());
    let text = |(field, column): (&arrow::datatypes::FieldRef, &ArrayRef)| {
        let text = from_arrow_field(field).map_or("?".to_string(), |f| shown(&value_at(column, row, &f.ty), &f.ty));
        (field.name().clone(), text)
    };
    columns.map(text).collect()
}

fn shown(value: &Value, ty: &Type) -> String {
    let text = match value {
        Value::Null => "null".to_string(),
        Value::String(s) => format!("{s:?}"),
        other => text_of(other, &ty.data),
    };
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Appends a row as a JSON object: decimals as numbers, dates and timestamps as ISO texts, binaries in base64, floats that JSON lacks as texts.
pub fn write_json_row(out: &mut String, batch: &RecordBatch, schema: &Schema, row: usize) {
    out.push('{');
    for (i, (field, column)) in schema.fields.iter().zip(batch.columns()).enumerate() {
        if i > 0 {
            out.push(',');
        }
        write_json_string(out, &field.name);
        out.push(':');
        write_json(out, &value_at(column, row, &field.ty), &field.ty.data);
    }
    out.push('}');
}

/// Appends a value as JSON.
pub fn write_json(out: &mut String, value: &Value, data: &DataType) {
    match (value, data) {
        (Value::Null, _) => out.push_str("null"),
        (Value::String(s), _) => write_json_string(out, s),
        (Value::Binary(bytes), _) => {
            out.push('"');
            base64::engine::general_purpose::STANDARD.encode_string(bytes, out);
            out.push('"');
        }
        (Value::Double(x), _) if !x.is_finite() => quoted(out, value, data),
        (Value::Float(x), _) if !x.is_finite() => quoted(out, value, data),
        (Value::Date(_) | Value::Timestamp(_) | Value::TimestampNtz(_) | Value::Duration(_), _) => {
            quoted(out, value, data);
        }
        (Value::Array(items), DataType::Array(item)) => {
            list(out, ('[', ']'), items, |out, value| write_json(out, value, &item.data));
        }
        (Value::Map(entries), DataType::Map(key, value_type)) => list(out, ('{', '}'), entries, |out, (k, v)| {
            let text = if let Value::String(s) = k { s.clone() } else { text_of(k, key) };
            write_json_string(out, &text);
            out.push(':');
            write_json(out, v, &value_type.data);
        }),
        (Value::Struct(values), DataType::Struct(fields)) => {
            let pairs: Vec<_> = fields.iter().zip(values).collect();
            list(out, ('{', '}'), &pairs, |out, (field, value)| {
                write_json_string(out, &field.name);
                out.push(':');
                write_json(out, value, &field.ty.data);
            });
        }
        _ => write_text(out, value, data),
    }
}

fn list<T>(out: &mut String, (open, close): (char, char), items: &[T], mut write: impl FnMut(&mut String, &T)) {
    out.push(open);
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        write(out, item);
    }
    out.push(close);
}

fn quoted(out: &mut String, value: &Value, data: &DataType) {
    out.push('"');
    write_text(out, value, data);
    out.push('"');
}

/// Appends a text as a JSON string.
pub fn write_json_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 => {
                // Writing to a string does not fail.
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Whether the console shows rows of this schema as they are: they are a single text.
fn is_text(schema: &Schema) -> bool {
    matches!(schema.fields.as_slice(), [field] if field.ty.data == DataType::String)
}

/// The lines of a batch as the console shows them: a single string column as it is (null as `null`), other rows as JSON objects.
pub fn console_lines(out: &mut String, batch: &RecordBatch, schema: &Schema) {
    if is_text(schema) {
        for text in batch.column(0).as_string::<i32>() {
            out.push_str(text.unwrap_or("null"));
            out.push('\n');
        }
        return;
    }
    for row in 0..batch.num_rows() {
        write_json_row(out, batch, schema, row);
        out.push('\n');
    }
}

/// The lines of a row that changes, as the console shows them: behind `+` as often as it is added, or behind `-` as often as it is taken away.
pub fn console_changes(out: &mut String, batch: &RecordBatch, schema: &Schema, (row, weight): (usize, i64)) {
    let mut line = String::from(if weight > 0 { "+ " } else { "- " });
    if is_text(schema) {
        console_lines(&mut line, &batch.slice(row, 1), schema);
    } else {
        write_json_row(&mut line, batch, schema, row);
        line.push('\n');
    }
    (0..weight.unsigned_abs()).for_each(|_| out.push_str(&line));
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowc_ir::Field;

    #[test]
    fn json_of_every_kind() {
        let double = |x| (Value::Double(x), DataType::Double);
        let point = DataType::Struct(vec![
            Field::new("x", Type::nullable(DataType::Integer)),
            Field::new("t", Type::new(DataType::Date)),
        ]);
        let map = DataType::Map(Box::new(DataType::Integer), Box::new(Type::nullable(DataType::Boolean)));
        let table = [
            (Value::Null, DataType::Long, "null"),
            (Value::Long(-5), DataType::Long, "-5"),
            (double(1.5).0, double(1.5).1, "1.5"),
            (Value::Double(f64::NAN), DataType::Double, "\"NaN\""),
            (Value::Decimal(-1050), DataType::Decimal { precision: 10, scale: 2 }, "-10.50"),
            (Value::String("a\"\\\n\u{1}é".into()), DataType::String, r#""a\"\\\n\u0001é""#),
            (Value::Binary(vec![1, 2, 255]), DataType::Binary, "\"AQL/\""),
            (Value::Struct(vec![Value::Null, Value::Date(0)]), point, r#"{"x":null,"t":"1970-01-01"}"#),
            (Value::Map(vec![(Value::Integer(1), Value::Boolean(true))]), map, r#"{"1":true}"#),
            (
                Value::Array(vec![Value::Long(1), Value::Null]),
                DataType::Array(Box::new(Type::nullable(DataType::Long))),
                "[1,null]",
            ),
        ];
        for (value, data, expected) in table {
            let mut out = String::new();
            write_json(&mut out, &value, &data);
            assert_eq!(out, expected);
            if expected != "\"NaN\"" {
                serde_json::from_str::<serde_json::Value>(&out).unwrap();
            }
        }
    }
}
