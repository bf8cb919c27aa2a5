//! The editors' grammar knows what the parser knows.

use serde_json::Value;
use std::collections::BTreeSet;

const PEST: &str = include_str!("../../../../grammar/flow.pest");
const TEXTMATE: &str = include_str!("../../../../grammar/flow.tmLanguage.json");

fn patterns(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value.as_str() {
                    Some(pattern) if matches!(key.as_str(), "match" | "begin" | "end") => out.push(pattern.to_string()),
                    _ => patterns(value, out),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|v| patterns(v, out)),
        _ => {}
    }
}

fn textmate() -> (Value, Vec<String>) {
    let json: Value = serde_json::from_str(TEXTMATE).expect("is JSON");
    let mut found = Vec::new();
    patterns(&json, &mut found);
    (json, found)
}

#[test]
fn its_patterns_compile() {
    let (_, patterns) = textmate();
    assert!(patterns.len() > 20);
    for pattern in patterns {
        regex::Regex::new(&pattern).unwrap_or_else(|e| panic!("{pattern}: {e}"));
    }
}

#[test]
fn it_knows_every_keyword() {
    let (_, patterns) = textmate();
    let known: BTreeSet<&str> =
        patterns.iter().flat_map(|p| p.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')).collect();
    let keywords: BTreeSet<&str> =
        PEST.lines().filter_map(|l| l.strip_prefix("kw_")).filter_map(|l| l.split_whitespace().next()).collect();
    assert!(keywords.len() > 80);
    let operators = ["and", "or", "not", "div"];
    let missing: Vec<_> = keywords.iter().chain(&operators).filter(|k| !known.contains(*k)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_include_is_there() {
    let (json, _) = textmate();
    let includes: Vec<&str> = TEXTMATE.split("\"include\": \"#").skip(1).filter_map(|s| s.split('"').next()).collect();
    assert!(!includes.is_empty());
    for name in includes {
        assert!(json["repository"].get(name).is_some(), "{name}");
    }
}
