//! What a page asks and is told, as JSON: the examples of the page, mistakes and what mends them, rows at the cursor, requests that are none.

#![allow(clippy::unwrap_used, missing_docs)]

use flowc_playground::Session;
use serde_json::{Value as Json, json};
use std::path::{Path, PathBuf};

fn ask(session: &mut Session, request: Json) -> Json {
    serde_json::from_str(&session.answer(&request.to_string())).unwrap()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/playground/examples")
}

/// The rows of a sample, as the page reads them: a record a line.
fn rows(table: &Json) -> Vec<Json> {
    let text = table["rows"].as_str().unwrap();
    if table["format"] == "json" {
        return text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    }
    let (names, lines) = text.split_once('\n').unwrap();
    let row = |line: &str| {
        let cells = names.split(',').zip(line.split(',')).filter(|(_, cell)| !cell.is_empty());
        cells.map(|(name, cell)| (name.to_string(), json!(cell))).collect()
    };
    lines.lines().map(row).map(Json::Object).collect()
}

/// An example of the page: its request to be opened, and to be run.
fn example(name: &str) -> (Json, Json) {
    let text = std::fs::read_to_string(folder().join(format!("{name}.flow"))).unwrap();
    let about = std::fs::read_to_string(folder().join(format!("{name}.json"))).unwrap();
    let about: Json = serde_json::from_str(&about).unwrap();
    let tables = about["tables"].as_array().unwrap().iter();
    let tables: Vec<Json> = tables
        .map(|table| json!({ "location": table["location"], "schema": table["schema"], "rows": rows(table) }))
        .collect();
    let run = json!({ "do": "run", "epoch_rows": about["epoch_rows"], "now": 1767268800000000i64, "close": true });
    (json!({ "do": "open", "text": text, "tables": tables }), run)
}

/// The rows of each sink, as text.
fn shown(answer: &Json) -> String {
    let mut out = String::new();
    for sink in answer["sinks"].as_array().unwrap() {
        let columns = sink["columns"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap());
        out += &format!("{}: {}\n", sink["name"].as_str().unwrap(), columns.collect::<Vec<_>>().join(", "));
        for row in sink["rows"].as_array().unwrap() {
            let cells = row.as_array().unwrap().iter().map(|cell| cell.as_str().unwrap());
            out += &format!("    {}\n", cells.collect::<Vec<_>>().join(", "));
        }
    }
    out
}

#[test]
fn the_examples_have_no_mistakes_and_give_rows() {
    let mut all = String::new();
    for name in ["sensor", "windows", "join", "quality", "history"] {
        let (open, run) = example(name);
        assert_eq!(flowc_syntax::format(open["text"].as_str().unwrap()).unwrap(), open["text"], "{name} is formatted");
        let mut session = Session::default();
        let overview = ask(&mut session, open);
        assert_eq!((&overview["problems"], &overview["mistakes"]), (&json!([]), &json!([])), "{name}");
        let show = ask(&mut session, json!({ "do": "show" }));
        assert!(show["graph"].as_str().unwrap().contains("<svg"), "{name}");
        assert!(!show["plan"].as_str().unwrap().is_empty(), "{name}");
        let answer = ask(&mut session, run);
        assert_eq!(answer["error"], Json::Null, "{name}");
        all += &format!("## {name}\n{}\n", shown(&answer));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn a_mistake_has_a_place_and_a_fix() {
    let (mut open, _) = example("sensor");
    let text = open["text"].as_str().unwrap().replace("value is not null", "valeu is not null");
    open["text"] = json!(text);
    let mut session = Session::default();
    let overview = ask(&mut session, open.clone());
    let problem = &overview["problems"][0];
    let units: Vec<u16> = text.encode_utf16().collect();
    let at = |place: &Json| {
        let [from, to] = ["from", "to"].map(|end| place[end].as_u64().unwrap() as usize);
        String::from_utf16(&units[from..to]).unwrap()
    };
    assert_eq!((problem["code"].as_str(), at(problem).as_str()), (Some("E0202"), "valeu"));
    let edit = &problem["fixes"][0]["edits"][0];
    assert_eq!((at(edit).as_str(), edit["text"].as_str()), ("valeu", Some("value")));
    assert_eq!(overview["runs"], false);
    assert_eq!(ask(&mut session, json!({ "do": "run" }))["sinks"], json!([]));
    open["text"] = json!(text.replace("valeu", "value"));
    assert_eq!(ask(&mut session, open)["problems"], json!([]));
}

#[test]
fn rows_at_the_cursor_are_those_behind_its_step() {
    let (mut open, mut run) = example("sensor");
    let text = open["text"].as_str().unwrap().to_string();
    let mut session = Session::default();
    ask(&mut session, open.clone());
    let mut here = |session: &mut Session, place: &str| {
        run["at"] = json!(text[..text.find(place).unwrap()].encode_utf16().count() + 1);
        ask(session, run.clone())["here"].clone()
    };
    let found = here(&mut session, "where value");
    assert_eq!((found["title"].as_str(), found["total"].as_u64()), (Some("clean |> where"), Some(4)));
    let found = here(&mut session, "source sensor");
    assert_eq!((found["title"].as_str(), found["total"].as_u64()), (Some("sensor"), Some(6)));
    let found = here(&mut session, "|> select");
    assert_eq!(found["columns"][0]["name"], "message");
    // A mistake behind it, or elsewhere, does not matter.
    open["text"] =
        json!(text.replace("severity(celsius)", "severity(nothing)").replace("where level > 0", "where level > oops"));
    ask(&mut session, open);
    assert_eq!(here(&mut session, "where value")["total"], 4);
    assert_eq!(here(&mut session, "sink result"), Json::Null);
}

#[test]
fn hover_and_completion_know_the_tables() {
    let (open, _) = example("sensor");
    let text = open["text"].as_str().unwrap().to_string();
    let mut session = Session::default();
    ask(&mut session, open);
    let at = text.find("value is not null").unwrap();
    let hover = ask(&mut session, json!({ "do": "hover", "at": at }));
    assert!(hover["text"].as_str().unwrap().contains("degrees Fahrenheit"), "{hover}");
    let options = ask(&mut session, json!({ "do": "complete", "at": at }));
    let labels: Vec<&str> = options["options"].as_array().unwrap().iter().filter_map(|o| o["label"].as_str()).collect();
    assert!(labels.contains(&"timestamp") && labels.contains(&"value"), "{labels:?}");
    let definition = ask(&mut session, json!({ "do": "definition", "at": text.find("clean ->").unwrap() }));
    assert_eq!(definition["from"], text.find("clean = sensor").unwrap());
    assert_eq!(ask(&mut session, json!({ "do": "format" })), json!({}));
}

#[test]
fn what_fails_in_a_row_says_where() {
    let program = "source s = delta(\"t\")\nflow f = s |> extend half = 10 div n\nsink out = f -> console()\n";
    let table = json!({ "location": "t", "schema": "n: long", "rows": [{ "n": 2 }, { "n": 0 }] });
    let mut session = Session::default();
    ask(&mut session, json!({ "do": "open", "text": program, "tables": [table] }));
    let answer = ask(&mut session, json!({ "do": "run" }));
    let error = &answer["error"];
    assert!(error["code"].as_str().unwrap().starts_with("R01"), "{answer}");
    assert_eq!(error["from"], program.find("10 div").unwrap());
}

#[test]
fn what_does_not_end_is_cut() {
    let program = "source s = generate()\nflow f = s |> where id % 2 == 0\nsink out = f -> console()\n";
    let mut session = Session::default();
    let overview = ask(&mut session, json!({ "do": "open", "text": program, "tables": [] }));
    assert_eq!(overview["problems"], json!([]));
    let answer = ask(&mut session, json!({ "do": "run", "epoch_rows": 100 }));
    assert_eq!((answer["sinks"][0]["total"].as_u64(), answer["summary"]["epochs"].as_u64()), (Some(500), Some(10)));
}

#[test]
fn what_is_no_request_is_refused() {
    let mut session = Session::default();
    for request in ["", "{}", "[1]", r#"{"do":"fly"}"#, r#"{"do":"hover"}"#] {
        let answer: Json = serde_json::from_str(&session.answer(request)).unwrap();
        assert!(answer["refused"].is_string(), "{request}");
    }
    for at in [0, 7, 1u64 << 40] {
        for what in ["hover", "complete", "signature", "definition", "run"] {
            ask(&mut session, json!({ "do": what, "at": at }));
        }
    }
}
