//! Values out of texts and JSON, as files of text have them. The inverse of [`crate::text`].

use arrow::array::ArrayRef;
use base64::Engine;
use flowc_ir::arrow_values::build_array;
use flowc_ir::cast::cast_value;
use flowc_ir::cast::parse::{parse_decimal, parse_double};
use flowc_ir::{DataType, Type, Value};
use serde_json::Value as Json;

/// How to go on when a file of a table is malformed.
pub(super) const REPAIR: &str = "nothing of the epoch was committed: correct the file; a column that is declared as a string takes every value, and `as T?` converts those that fit";

/// How to go on when a file of a source is malformed.
pub(super) const PUT_ASIDE: &str = "nothing of the epoch was committed: correct the file, or put such rows aside with `malformed quarantine` in the source";

/// A column of values.
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
