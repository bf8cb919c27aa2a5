//! Values out of texts and JSON, as files of text have them. The inverse of [`crate::text`].

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use base64::Engine;
use flowc_ir::arrow_types::to_arrow_schema;
use flowc_ir::arrow_values::build_array;
use flowc_ir::cast::cast_value;
use flowc_ir::cast::parse::{parse_decimal, parse_double};
use flowc_ir::{DataType, Schema, Type, Value};
use serde_json::Value as Json;

/// A row that has not the columns of its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRow {
    /// Which one, from 0.
    pub row: usize,
    /// The column.
    pub column: String,
    /// What is wrong with it.
    pub message: String,
}

/// Rows out of JSON objects, as files of JSON have them. A text stands for any value that is written so in a file of CSV.
pub fn batch_of_json(schema: &Schema, rows: &[Json]) -> Result<RecordBatch, BadRow> {
    let cell = |row: usize, field: &flowc_ir::Field| {
        let json = rows[row].get(&field.name);
        let read = value_of_json(json, &field.ty);
        let written = |why: String| match json {
            Some(Json::String(text)) => value_of_text(text, &field.ty.data).map_err(|_| why),
            _ => Err(why),
        };
        read.or_else(written).map_err(|message| BadRow { row, column: field.name.clone(), message })
    };
    let column = |field: &flowc_ir::Field| {
        let values: Vec<Value> = (0..rows.len()).map(|row| cell(row, field)).collect::<Result<_, _>>()?;
        Ok(build_array(&field.ty.data, &values))
    };
    let columns: Vec<ArrayRef> = schema.fields.iter().map(column).collect::<Result<_, BadRow>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    let whole = RecordBatch::try_new_with_options(to_arrow_schema(schema), columns, &options);
    whole.map_err(|e| BadRow { row: 0, column: String::new(), message: e.to_string() })
}

/// How to go on when a file of a table is malformed.
#[cfg(feature = "files")]
pub(super) const REPAIR: &str = "nothing of the epoch was committed: correct the file; a column that is declared as a string takes every value, and `as T?` converts those that fit";

/// How to go on when a file of a source is malformed.
#[cfg(feature = "files")]
pub(super) const PUT_ASIDE: &str = "nothing of the epoch was committed: correct the file, or put such rows aside with `malformed quarantine` in the source";

/// A column of values.
#[cfg(feature = "files")]
pub(crate) fn cell_array(ty: &Type, values: &[Value]) -> ArrayRef {
    build_array(&ty.data, values)
}

fn shown(text: &str) -> String {
    let cut: String = text.chars().take(80).collect();
    format!("{cut:?}{}", if cut.len() < text.len() { "…" } else { "" })
}

/// A value written as text: as a cast reads it, binaries in base64, arrays, maps and structs in JSON.
pub(crate) fn value_of_text(text: &str, data: &DataType) -> Result<Value, String> {
    let refused = || format!("{} is not of type {data}", shown(text));
    match data {
        DataType::String => Ok(Value::String(text.to_string())),
        DataType::Binary => {
            base64::engine::general_purpose::STANDARD.decode(text).map(Value::Binary).map_err(|_| refused())
        }
        DataType::Array(_) | DataType::Map(..) | DataType::Struct(_) => {
            let json: Json = serde_json::from_str(text).map_err(|_| refused())?;
            value_of_json(Some(&json), &Type::new(data.clone()))
        }
        // The integer casts take what is written with a point, too, but cut it off.
        _ if data.is_integer() && text.contains(['.', 'e', 'E']) => Err(refused()),
        _ => cast_value(&Value::String(text.to_string()), &DataType::String, data).map_err(|_| refused()),
    }
}

/// A value written as JSON; missing is null.
pub(crate) fn value_of_json(json: Option<&Json>, ty: &Type) -> Result<Value, String> {
    let json = match json {
        None | Some(Json::Null) if ty.nullable || ty.data == DataType::Null => return Ok(Value::Null),
        None | Some(Json::Null) => return Err(format!("there is no value, and the type is {ty}")),
        Some(json) => json,
    };
    let refused = || format!("{} is not of type {}", shown_json(json), ty.data);
    match (json, &ty.data) {
        (Json::Bool(b), DataType::Boolean) => Ok(Value::Boolean(*b)),
        (Json::Number(n), DataType::Double) => n.to_string().parse().map(Value::Double).map_err(|_| refused()),
        (Json::Number(n), DataType::Float) => n.to_string().parse().map(Value::Float).map_err(|_| refused()),
        (Json::Number(n), DataType::Decimal { precision, scale }) => {
            parse_decimal(&n.to_string(), *precision, *scale).flatten().map(Value::Decimal).ok_or_else(refused)
        }
        (Json::Number(n), data) if data.is_integer() => value_of_text(&n.to_string(), data).map_err(|_| refused()),
        (Json::String(s), DataType::Double | DataType::Float) => {
            // Only what JSON has no number for.
            let special = parse_double(s).filter(|x| !x.is_finite()).ok_or_else(refused)?;
            Ok(if ty.data == DataType::Float { Value::Float(special as f32) } else { Value::Double(special) })
        }
        (Json::String(s), DataType::String) => Ok(Value::String(s.clone())),
        (Json::String(s), DataType::Decimal { .. } | DataType::Binary) => {
            value_of_text(s, &ty.data).map_err(|_| refused())
        }
        (
            Json::String(s),
            data @ (DataType::Date | DataType::Timestamp | DataType::TimestampNtz | DataType::Duration),
        ) => value_of_text(s, data).map_err(|_| refused()),
        (Json::Array(items), DataType::Array(item)) => {
            let value =
                |(i, json): (usize, &Json)| value_of_json(Some(json), item).map_err(|e| format!("element {i}: {e}"));
            items.iter().enumerate().map(value).collect::<Result<_, _>>().map(Value::Array)
        }
        (Json::Object(fields), DataType::Struct(types)) => {
            let value = |field: &flowc_ir::Field| {
                value_of_json(fields.get(&field.name), &field.ty).map_err(|e| format!("`{}`: {e}", field.name))
            };
            types.iter().map(value).collect::<Result<_, _>>().map(Value::Struct)
        }
        (Json::Object(entries), DataType::Map(key, value)) => {
            let entry = |(k, v): (&String, &Json)| {
                let key = value_of_text(k, key).map_err(|e| format!("key: {e}"))?;
                Ok((key, value_of_json(Some(v), value).map_err(|e| format!("{k:?}: {e}"))?))
            };
            entries.iter().map(entry).collect::<Result<_, String>>().map(Value::Map)
        }
        _ => Err(refused()),
    }
}

fn shown_json(json: &Json) -> String {
    let text = json.to_string();
    let cut: String = text.chars().take(80).collect();
    if cut.len() < text.len() { format!("{cut}…") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowc_ir::Field;
    use serde_json::json;

    #[test]
    fn rows_of_json_have_the_columns_of_the_schema() {
        let long = Type::nullable(DataType::Long);
        let schema = Schema::new(vec![Field::new("n", long), Field::new("at", Type::new(DataType::Timestamp))]);
        let rows = [json!({ "n": 1, "at": "2026-01-01T00:00:00Z" }), json!({ "n": "2", "at": "2026-01-01T00:00:01Z" })];
        let batch = batch_of_json(&schema, &rows).unwrap();
        assert_eq!((batch.num_rows(), batch.num_columns()), (2, 2));
        let bad = batch_of_json(&schema, &[rows[0].clone(), json!({ "n": 1 })]).unwrap_err();
        assert_eq!((bad.row, bad.column.as_str()), (1, "at"));
        assert!(batch_of_json(&schema, &[json!({ "n": "x", "at": "2026-01-01T00:00:00Z" })]).is_err());
    }
}
