//! Functions of maps and structs. Keys are compared as `==` compares them.

use super::array::bounded;
use super::operand::{argument, array, map, string};
use super::{Call, Category, Function};
use crate::cast::format::text_of;
use crate::eval::Failure;
use crate::types::{DataType, Field, Type};
use crate::value::Value;

const MAP: Category = Category::Map;

/// The functions of this topic.
pub(super) const FUNCTIONS: &[Function] = &[
    Function::new(
        "map_keys",
        MAP,
        &["map_keys(m: map<K, V>) -> array<K>"],
        "The keys, in their order.",
        &[("map_keys(map_from_arrays([\"a\", \"b\"], [1, 2]))", "[\"a\", \"b\"]")],
        |_, args| Ok(Value::Array(map(&args[0]).iter().map(|(k, _)| k.clone()).collect())),
    ),
    Function::new(
        "map_values",
        MAP,
        &["map_values(m: map<K, V>) -> array<V>"],
        "The values, in their order.",
        &[("map_values(map_from_arrays([\"a\", \"b\"], [1, 2]))", "[1, 2]")],
        |_, args| Ok(Value::Array(map(&args[0]).iter().map(|(_, v)| v.clone()).collect())),
    ),
    Function::new(
        "map_contains_key",
        MAP,
        &["map_contains_key(m: map<K, V>, key: K) -> boolean"],
        "Whether the map has this key.",
        &[("map_contains_key(map_from_arrays([\"a\"], [1]), \"b\")", "false")],
        |_, args| Ok(Value::Boolean(map(&args[0]).iter().any(|(k, _)| *k == args[1]))),
    ),
    Function::new(
        "map_entries",
        MAP,
        &["map_entries(m: map<K, V>) -> array<struct>"],
        "The entries as structs with fields `key` and `value`, in their order.",
        &[("size(map_entries(map_from_arrays([\"a\"], [1])))", "1")],
        |_, args| {
            let entries = map(&args[0]).iter().map(|(k, v)| Value::Struct(vec![k.clone(), v.clone()]));
            Ok(Value::Array(entries.collect()))
        },
    )
    .typed(|types| {
        let DataType::Map(key, value) = &types[0].data else { return None };
        let fields = vec![Field::new("key", Type::new((**key).clone())), Field::new("value", (**value).clone())];
        Some(DataType::Array(Box::new(Type::new(DataType::Struct(fields)))))
    }),
    Function::new(
        "map_from_arrays",
        MAP,
        &["map_from_arrays(keys: array<K>, values: array<V>) -> map<K, V>"],
        "A map of these keys and values. Fails where there are not as many of both, and for a key that is null or comes twice.",
        &[("map_from_arrays([\"a\"], [1])[\"a\"]", "1")],
        |call, args| {
            let (keys, values) = (array(&args[0]), array(&args[1]));
            if keys.len() != values.len() {
                return Err(argument(format!("there are {} keys, but {} values", keys.len(), values.len())));
            }
            unique(call, keys.iter().cloned().zip(values.iter().cloned()).collect())
        },
    )
    .failing(),
    Function::new(
        "map_from_entries",
        MAP,
        &["map_from_entries(entries: array<struct>) -> map<K, V>"],
        "A map of these entries: structs of a key and a value. Fails for an entry or key that is null and for a key that comes twice.",
        &[("map_from_entries([{ k: \"a\", v: 1 }])[\"a\"]", "1")],
        map_from_entries,
    )
    .typed(|types| {
        let DataType::Array(entry) = &types[0].data else { return None };
        let DataType::Struct(fields) = &entry.data else { return None };
        let [key, value] = fields.as_slice() else { return None };
        Some(DataType::Map(Box::new(key.ty.data.clone()), Box::new(value.ty.clone())))
    })
    .failing(),
    Function::new(
        "map_concat",
        MAP,
        &["map_concat(maps: map<K, V>...) -> map<K, V>"],
        "The entries of all maps. Fails for a key that comes twice.",
        &[("size(map_concat(map_from_arrays([1], [2]), map_from_arrays([3], [4])))", "2")],
        |call, args| unique(call, args.iter().flat_map(map).cloned().collect()),
    )
    .failing(),
    Function::new(
        "str_to_map",
        MAP,
        &["str_to_map(text: string, pairs: string = \",\", key_value: string = \":\") -> map<string, string?>"],
        "The map that a text such as `a:1,b:2` writes out; a key without a value has null. Fails for a key that comes twice.",
        &[("str_to_map(\"a:1,b:2\")[\"b\"]", "\"2\""), ("str_to_map(\"a=1\", \";\", \"=\")[\"a\"]", "\"1\"")],
        |call, args| {
            let (pairs, between) = (args.get(1).map_or(",", string), args.get(2).map_or(":", string));
            let own = |s: &str| Value::String(s.to_string());
            let entry = |pair: &str| match pair.split_once(between).filter(|_| !between.is_empty()) {
                Some((key, value)) => (own(key), own(value)),
                None => (own(pair), Value::Null),
            };
            let text = string(&args[0]);
            let parts: Vec<&str> = if pairs.is_empty() { vec![text] } else { text.split(pairs).collect() };
            unique(call, parts.into_iter().map(entry).collect())
        },
    )
    .failing(),
    Function::new(
        "struct_values",
        Category::Struct,
        &["struct_values(x: struct) -> array<string?>"],
        "The fields' values as text, in their order.",
        &[("struct_values({ a: 1, b: null })", "[\"1\", null]")],
        |call, args| {
            let (Value::Struct(values), DataType::Struct(fields)) = (&args[0], &call.args[0].data) else {
                return Ok(Value::Null);
            };
            let shown = |(v, f): (&Value, &Field)| match v {
                Value::Null => Value::Null,
                v => Value::String(text_of(v, &f.ty.data)),
            };
            Ok(Value::Array(values.iter().zip(fields).map(shown).collect()))
        },
    ),
    Function::new(
        "struct_keys",
        Category::Struct,
        &["struct_keys(x: struct) -> array<string>"],
        "The fields' names, in their order.",
        &[("struct_keys({ a: 1, b: 2 })", "[\"a\", \"b\"]")],
        |call, _| {
            let DataType::Struct(fields) = &call.args[0].data else { return Ok(Value::Null) };
            Ok(Value::Array(fields.iter().map(|f| Value::String(f.name.clone())).collect()))
        },
    ),
];

/// A map of these entries, unless a key is null or comes twice.
fn unique(call: &Call<'_>, entries: Vec<(Value, Value)>) -> Result<Value, Failure> {
    bounded(entries.len())?;
    let mut keys: Vec<&Value> = entries.iter().map(|(k, _)| k).collect();
    keys.sort_by(|a, b| a.compare(b));
    if keys.first().is_some_and(|k| k.is_null()) {
        return Err(argument("a map has no null key"));
    }
    if let Some(pair) = keys.windows(2).find(|w| w[0] == w[1]) {
        let shown = match &call.result.data {
            DataType::Map(key, _) => text_of(pair[0], key),
            _ => String::new(),
        };
        return Err(argument(format!("the key {shown} comes twice")));
    }
    Ok(Value::Map(entries))
}

fn map_from_entries(call: &Call<'_>, args: &[Value]) -> Result<Value, Failure> {
    let entry = |v: &Value| match v {
        Value::Struct(fields) if fields.len() == 2 => Ok((fields[0].clone(), fields[1].clone())),
        _ => Err(argument("an entry of the map is null")),
    };
    let entries = array(&args[0]).iter().map(entry).collect::<Result<_, Failure>>()?;
    unique(call, entries)
}
