//! Functions of JSON texts.

use super::operand::string;
use super::{Category, Function};
use crate::cast::format::text_of;
use crate::types::DataType;
use crate::value::Value;
use serde_json::Value as Json;

const JSON: Category = Category::Json;

/// The functions of this topic.
pub(super) const FUNCTIONS: &[Function] = &[
    Function::new(
        "get_json_object",
        JSON,
        &["get_json_object(json: string, path: string) -> string?"],
        "What stands at a path such as `$.a.b[0]` or `$.items[*].id`: strings as they are, other values as JSON. Null if the text is not JSON or there is \
         nothing, or null, at the path. `as T?` behind it gives other types.",
        &[
            (r#"get_json_object("{{\"a\": {{\"b\": [1, 2]}}}}", "$.a.b[1]")"#, "\"2\""),
            ("get_json_object(\"[1]\", \"$[5]\")", "null"),
        ],
        |_, args| {
            let found = parse(&args[0]).zip(path(string(&args[1]))).and_then(|(json, path)| get(&json, &path));
            Ok(found.map_or(Value::Null, Value::String))
        },
    ),
    Function::new(
        "json_array_length",
        JSON,
        &["json_array_length(json: string) -> integer?"],
        "The number of elements of the outermost array; null if the text is not a JSON array.",
        &[("json_array_length(\"[1, 2, [3]]\")", "3"), ("json_array_length(\"1\")", "null")],
        |_, args| {
            Ok(match parse(&args[0]) {
                Some(Json::Array(items)) => Value::Integer(items.len() as i32),
                _ => Value::Null,
            })
        },
    ),
    Function::new(
        "json_object_keys",
        JSON,
        &["json_object_keys(json: string) -> array<string>?"],
        "The keys of the outermost object, in their order; null if the text is not a JSON object.",
        &[("json_object_keys(\"[]\")", "null"), ("json_object_keys(\"{{}}\")", "[]")],
        |_, args| {
            Ok(match parse(&args[0]) {
                Some(Json::Object(map)) => Value::Array(map.keys().map(|k| Value::String(k.clone())).collect()),
                _ => Value::Null,
            })
        },
    ),
    Function::new(
        "json_valid",
        JSON,
        &["json_valid(json: string) -> boolean"],
        "Whether the text is JSON.",
        &[("json_valid(\"[1]\")", "true"), ("json_valid(\"[1\")", "false")],
        |_, args| Ok(Value::Boolean(parse(&args[0]).is_some())),
    ),
    Function::new(
        "json_typeof",
        JSON,
        &["json_typeof(json: string) -> string?"],
        "`object`, `array`, `string`, `number`, `boolean` or `null`; null if the text is not JSON.",
        &[("json_typeof(\"[1]\")", "\"array\""), ("json_typeof(\"x\")", "null")],
        |_, args| {
            let name = |json| match json {
                Json::Null => "null",
                Json::Bool(_) => "boolean",
                Json::Number(_) => "number",
                Json::String(_) => "string",
                Json::Array(_) => "array",
                Json::Object(_) => "object",
            };
            Ok(parse(&args[0]).map_or(Value::Null, |json| Value::String(name(json).to_string())))
        },
    ),
    Function::new(
        "to_json",
        JSON,
        &["to_json(x: T) -> string"],
        "The value as JSON. Fields that are null are left out; dates, times and durations become strings, floats without a value too (`\"NaN\"`).",
        &[
            ("to_json([1, null])", "\"[1,null]\""),
            (r#"to_json({ a: 1, b: "x", c: null })"#, r#""{{\"a\":1,\"b\":\"x\"}}""#),
        ],
        |call, args| Ok(Value::String(to_json(&args[0], &call.args[0].data).to_string())),
    ),
];

fn parse(text: &Value) -> Option<Json> {
    serde_json::from_str(string(text)).ok()
}

enum Step {
    Key(String),
    Index(usize),
    All,
}

/// Reads `$.a['b c'][0][*].*`; none if it is not a path.
fn path(text: &str) -> Option<Vec<Step>> {
    let mut rest = text.trim().strip_prefix('$')?;
    let mut steps = vec![];
    while !rest.is_empty() {
        if let Some(tail) = rest.strip_prefix('.') {
            let end = tail.find(['.', '[']).unwrap_or(tail.len());
            let (name, tail) = tail.split_at(end);
            steps.push(match name {
                "" => return None,
                "*" => Step::All,
                name => Step::Key(name.to_string()),
            });
            rest = tail;
        } else {
            let tail = rest.strip_prefix('[')?;
            if let Some(quoted) = tail.strip_prefix('\'') {
                let (name, tail) = quoted.split_once("']")?;
                steps.push(Step::Key(name.to_string()));
                rest = tail;
            } else {
                let (index, tail) = tail.split_once(']')?;
                steps.push(if index.trim() == "*" { Step::All } else { Step::Index(index.trim().parse().ok()?) });
                rest = tail;
            }
        }
    }
    Some(steps)
}

fn get(json: &Json, path: &[Step]) -> Option<String> {
    let mut found = vec![json];
    for step in path {
        found = match step {
            Step::Key(name) => found.into_iter().filter_map(|j| j.get(name)).collect(),
            Step::Index(index) => found.into_iter().filter_map(|j| j.get(index)).collect(),
            Step::All => found.into_iter().flat_map(children).collect(),
        };
    }
    match found.as_slice() {
        [] | [Json::Null] => None,
        [Json::String(s)] => Some(s.clone()),
        [one] => Some(one.to_string()),
        many => Some(Json::Array(many.iter().map(|j| (*j).clone()).collect()).to_string()),
    }
}

fn children(json: &Json) -> Vec<&Json> {
    match json {
        Json::Array(items) => items.iter().collect(),
        Json::Object(map) => map.values().collect(),
        _ => vec![],
    }
}

fn to_json(value: &Value, data: &DataType) -> Json {
    let shown = || text_of(value, data);
    match (value, data) {
        (Value::Null, _) => Json::Null,
        (Value::Boolean(b), _) => Json::Bool(*b),
        (Value::Byte(_) | Value::Short(_) | Value::Integer(_) | Value::Long(_) | Value::Decimal(_), _) => {
            number(shown())
        }
        (Value::Float(v), _) if v.is_finite() => number(shown()),
        (Value::Double(v), _) if v.is_finite() => number(shown()),
        (Value::Timestamp(_), _) => Json::String(format!("{}Z", shown().replacen(' ', "T", 1))),
        (Value::TimestampNtz(_), _) => Json::String(shown().replacen(' ', "T", 1)),
        (Value::Binary(bytes), _) => {
            use base64::Engine;
            Json::String(base64::engine::general_purpose::STANDARD.encode(bytes))
        }
        (Value::Array(items), DataType::Array(item)) => {
            Json::Array(items.iter().map(|v| to_json(v, &item.data)).collect())
        }
        (Value::Struct(values), DataType::Struct(fields)) => {
            let present = values.iter().zip(fields).filter(|(v, _)| !v.is_null());
            Json::Object(present.map(|(v, f)| (f.name.clone(), to_json(v, &f.ty.data))).collect())
        }
        (Value::Map(entries), DataType::Map(key, item)) => {
            Json::Object(entries.iter().map(|(k, v)| (text_of(k, key), to_json(v, &item.data))).collect())
        }
        _ => Json::String(shown()),
    }
}

fn number(text: String) -> Json {
    // Numbers keep their digits (serde_json's `arbitrary_precision`); what flowc prints is valid JSON.
    serde_json::from_str(&text).unwrap_or(Json::String(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(json: &str, p: &str) -> Option<String> {
        let json: Json = serde_json::from_str(json).expect("JSON");
        path(p).and_then(|p| get(&json, &p))
    }

    #[test]
    fn paths() {
        let json = r#"{"a": {"b c": [1, 2.50, "x"]}, "n": null, "o": [{"i": 1}, {"i": 2}]}"#;
        assert_eq!(at(json, "$.a['b c'][1]").as_deref(), Some("2.50"));
        assert_eq!(at(json, "$.a['b c'][2]").as_deref(), Some("x"));
        assert_eq!(at(json, "$.o[*].i").as_deref(), Some("[1,2]"));
        assert_eq!(at(json, "$.n"), None);
        assert_eq!(at(json, "$.o[1]").as_deref(), Some("{\"i\":2}"));
        assert_eq!(at(json, "a"), None);
        assert_eq!(at(json, "$.a[x]"), None);
        assert_eq!(at("[1]", "$").as_deref(), Some("[1]"));
    }
}
