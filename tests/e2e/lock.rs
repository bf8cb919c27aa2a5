//! `flow.lock`: what it keeps, checking without tables, and what is said of tables that changed since.

use crate::support::{Project, Ran};
use serde_json::{Value, json};
use std::process::Command;

const PROGRAM: &str = "\
source s = delta(\"t\")
flow f = s
    |> where value > 1
    |> select id, value
sink out = f -> console()
";

/// A table `t` with a column that is never null, and a program that reads it.
fn project() -> Project {
    let project = Project::new();
    project.table("t", "id: long, value: double", &[r#"{"id": 1, "value": 2.5}"#]);
    project.write("p.flow", PROGRAM);
    project
}

/// As `ALTER TABLE … ALTER COLUMN … DROP NOT NULL`.
fn make_nullable(project: &Project, table: &str, column: &str) {
    project.alter_columns(table, "CHANGE COLUMN", |fields| {
        for field in fields.iter_mut().filter(|f| f["name"] == column) {
            field["nullable"] = true.into();
        }
    });
}

fn codes(ran: &Ran) -> Vec<String> {
    let document = ran.json();
    let found = document["diagnostics"].as_array().unwrap().iter();
    found.map(|d| d["code"].as_str().unwrap().to_string()).collect()
}

fn check(project: &Project, words: &[&str], status: i32) -> Ran {
    let words: Vec<&str> = ["check", "--format", "json"].iter().chain(words).copied().collect();
    project.flowc(&words).expect(status)
}

#[test]
fn it_is_written_once_and_rows_do_not_touch_it() {
    let project = project();
    project.flowc(&["check", "p.flow"]).expect(0);
    let text = project.read("flow.lock");
    let lock: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(lock["format"], 1);
    assert_eq!(lock["tables"].as_array().map(Vec::len), Some(1), "{text}");
    let table = &lock["tables"][0];
    assert_eq!(
        (&table["location"], &table["version"], &table["programs"]),
        (&json!("t"), &json!(0), &json!(["p.flow"]))
    );
    assert_eq!(table["columns"][1], json!({ "name": "value", "type": "double" }));
    project.table("t", "id: long, value: double", &[r#"{"id": 2, "value": 3.5}"#]);
    let ran = project.flowc(&["check", "p.flow"]).expect(0);
    assert_eq!((ran.stdout.as_str(), project.read("flow.lock")), ("", text), "commits of rows are no change");
    assert_eq!(project.files().keys().filter(|p| p.to_string_lossy().contains("partial")).count(), 0);
}

#[test]
fn a_locked_check_opens_no_table() {
    let project = project();
    project.write("more.flow", "fn half(x: double) -> double = x / 2\n");
    project.write(
        "all.flow",
        "use \"more.flow\"\nparam place: string = \"t\"\nsource s = delta(\"{place}\")\ntable first = delta(\"t\") { version 0 }\n\
         source rows = csv(\"in/*.csv\") { schema { id: long, size: double? } }\n\
         flow f = s |> join first on first.id == id |> extend h = half(first.value) |> select id, h\n\
         flow g = rows |> select id, h = size\nflow both = f |> union g\n\
         sink out = both -> delta(\"out\")\n",
    );
    project.write("in/a.csv", "id,size\n1,2.5\n");
    check(&project, &["all.flow"], 0);
    for gone in ["t", "in", "seed"] {
        std::fs::remove_dir_all(project.path().join(gone)).unwrap();
    }
    assert_eq!(codes(&check(&project, &["--locked", "all.flow"], 0)), Vec::<String>::new());
    // A clone elsewhere has the same lock.
    let clone = Project::new();
    for file in ["all.flow", "more.flow", "flow.lock"] {
        clone.write(file, &project.read(file));
    }
    assert_eq!(codes(&check(&clone, &["--locked", "all.flow"], 0)), Vec::<String>::new());
    // What the tables say is still held against the program.
    clone.write("all.flow", &clone.read("all.flow").replace("select id, h\nflow g", "select id, h, x = valeu\nflow g"));
    assert_eq!(codes(&check(&clone, &["--locked", "all.flow"], 1)), ["E0202"]);
    assert_eq!(clone.read("flow.lock"), project.read("flow.lock"));
}

#[test]
fn what_is_not_locked_is_said_at_its_declaration() {
    let project = project();
    project.flowc(&["check", "p.flow"]).expect(0);
    let more = "table d = delta(\"d\")\nflow g = s |> semi join d on d.id == id\nsink more = g -> console()\n";
    project.write("p.flow", &format!("{PROGRAM}{more}"));
    let ran = check(&project, &["--locked", "p.flow"], 1);
    let found = &ran.json()["diagnostics"];
    assert_eq!(found.as_array().map(Vec::len), Some(1), "{found:#}");
    assert_eq!((&found[0]["code"], &found[0]["start"]["line"]), (&json!("E0831"), &json!(6)));
    assert!(found[0]["help"].as_str().unwrap().contains("flowc check"), "{found:#}");
    project.write("p.flow", &PROGRAM.replace("delta(\"t\")", "delta(\"t\") { start version 7 }"));
    let ran = project.flowc(&["check", "--locked", "p.flow"]).expect(1);
    assert!(ran.stdout.contains("not at version 7"), "{}", ran.stdout);
}

#[test]
fn a_lock_that_is_missing_or_damaged_is_said_to_be() {
    let project = project();
    assert_eq!(codes(&check(&project, &["--locked", "p.flow"], 1)), ["E0832"]);
    for (text, why) in
        [("{", "not JSON"), ("<<<<<<< ours\n", "left over from a merge"), ("{\"format\": 99}", "format is 99")]
    {
        project.write("flow.lock", text);
        let ran = project.flowc(&["check", "--locked", "p.flow"]).expect(1);
        assert!(ran.stdout.contains(why) && ran.stdout.contains("E0832"), "{}", ran.stdout);
    }
    // One of a newer flowc is left alone; others are written anew.
    let ran = project.flowc(&["check", "p.flow"]).expect(0);
    assert!(ran.stderr.contains("left alone"), "{}", ran.stderr);
    assert_eq!(project.read("flow.lock"), "{\"format\": 99}");
    project.write("flow.lock", "<<<<<<< ours\n");
    let ran = project.flowc(&["check", "p.flow"]).expect(0);
    assert!(ran.stderr.contains("written anew"), "{}", ran.stderr);
    check(&project, &["--locked", "p.flow"], 0);
    // A program that is wrong writes nothing.
    std::fs::remove_file(project.path().join("flow.lock")).unwrap();
    project.write("p.flow", &PROGRAM.replace("value > 1", "valeu > 1"));
    project.flowc(&["check", "p.flow"]).expect(1);
    assert!(!project.path().join("flow.lock").exists());
}

#[test]
fn a_change_that_does_no_harm_is_said_once() {
    let project = project();
    project.flowc(&["check", "p.flow"]).expect(0);
    project.alter_columns("t", "ADD COLUMNS", |fields| {
        fields.push(json!({ "name": "note", "type": "string", "nullable": true, "metadata": {} }));
    });
    make_nullable(&project, "t", "value");
    project.alter("t", "ADD CONSTRAINT", |m| m["configuration"]["delta.constraints.sane"] = "value > 0".into());
    let found = check(&project, &["p.flow"], 0).json()["diagnostics"].clone();
    let messages: Vec<&str> = found.as_array().unwrap().iter().map(|d| d["message"].as_str().unwrap()).collect();
    let at = "2026-01-01 00:00:00 UTC";
    assert_eq!(
        messages,
        [
            format!("source `s` changed: `value` became nullable at version 2 (CHANGE COLUMN at {at})"),
            format!("source `s` changed: the column `note` was added at version 1 (ADD COLUMNS at {at})"),
            format!("source `s` changed: the constraint `sane` was added at version 3 (ADD CONSTRAINT at {at})"),
        ]
    );
    assert_eq!(found[0]["severity"], "warning");
    assert_eq!(found[0]["start"]["line"], 1);
    assert_eq!(
        (&found[0]["labels"][0]["start"]["line"], &found[0]["labels"][0]["message"]),
        (&json!(3), &json!("`value` is read here"))
    );
    assert!(found[0]["help"].as_str().unwrap().ends_with("\n    - value: double\n    + value: double?"), "{found:#}");
    assert_eq!(codes(&check(&project, &["p.flow"], 0)), Vec::<String>::new(), "once");
    let lock: Value = serde_json::from_str(&project.read("flow.lock")).unwrap();
    assert_eq!(lock["tables"][0]["version"], 3);
}

#[test]
fn a_change_that_makes_the_program_wrong_is_part_of_the_mistake() {
    let project = project();
    project.write("p.flow", &PROGRAM.replace("console()", "delta(\"out\")").replace("where value > 1", "where id > 0"));
    project.run("p.flow");
    project.flowc(&["check", "p.flow"]).expect(0);
    let before = project.read("flow.lock");
    make_nullable(&project, "t", "value");
    project.alter_columns("t", "ADD COLUMNS", |fields| {
        fields.push(json!({ "name": "note", "type": "string", "nullable": true, "metadata": {} }));
    });
    let found = check(&project, &["p.flow"], 1).json()["diagnostics"].clone();
    let of = |code: &str| found.as_array().unwrap().iter().find(|d| d["code"] == code).cloned().unwrap_or_default();
    let mistake = of("E0506");
    assert_eq!(mistake["start"]["line"], 5, "{found:#}");
    let labels = mistake["labels"].as_array().unwrap();
    let told = labels.iter().find(|l| l["start"]["line"] == 1).expect("a label at the source");
    assert!(
        told["message"].as_str().unwrap().starts_with("`value` became nullable at version 1 (CHANGE COLUMN"),
        "{told:#}"
    );
    assert!(of("W0831")["message"].as_str().unwrap().contains("`note` was added at version 2"), "{found:#}");
    assert_eq!(found.as_array().map(Vec::len), Some(2), "{found:#}");
    assert_eq!(project.read("flow.lock"), before, "a program that is wrong does not accept the change");
    let ran = project.flowc(&["run", "p.flow"]).expect(1);
    assert!(ran.stderr.contains("`value` became nullable at version 1"), "a run says it too: {}", ran.stderr);
    assert_eq!(project.version("out"), Some(0));
}

#[test]
fn programs_that_share_a_lock_all_see_a_change() {
    let project = project();
    project.write("q.flow", &PROGRAM.replace("console()", "delta(\"out\")").replace("where value > 1", "where id > 0"));
    project.run("q.flow");
    project.flowc(&["check", "p.flow", "q.flow"]).expect(0);
    make_nullable(&project, "t", "value");
    let found = codes(&check(&project, &["p.flow", "q.flow"], 1));
    assert_eq!(found, ["W0831", "E0506"]);
    let found = codes(&check(&project, &["p.flow", "q.flow"], 1));
    assert_eq!(found, ["W0831", "E0506"], "what one of them is wrong with is held for all");
    project.write("q.flow", &project.read("q.flow").replace("id > 0", "value is not null"));
    assert_eq!(codes(&check(&project, &["p.flow", "q.flow"], 0)), ["W0831", "W0831"]);
    assert_eq!(codes(&check(&project, &["p.flow", "q.flow"], 0)), Vec::<String>::new());
}

#[test]
fn where_the_log_is_cleaned_the_change_lies_between_versions() {
    let project = project();
    project.flowc(&["check", "p.flow"]).expect(0);
    make_nullable(&project, "t", "value");
    for id in 2..11 {
        project.table("t", "id: long, value: double?", &[&format!(r#"{{"id": {id}, "value": 1.5}}"#)]);
    }
    assert_eq!(project.version("t"), Some(10), "version 10 has a checkpoint");
    for version in 0..10 {
        std::fs::remove_file(project.path().join(format!("t/_delta_log/{version:020}.json"))).unwrap();
    }
    let ran = project.flowc(&["check", "p.flow"]).expect(0);
    assert!(ran.stdout.contains("became nullable between version 0 and version 10"), "{}", ran.stdout);
}

#[test]
fn an_executable_takes_its_lock_along() {
    let project = project();
    project.flowc(&["build", "p.flow", "-o", "dist"]).expect(0);
    let built = |words: &[&str]| {
        Ran::of(Command::new(project.path().join("dist/p")).args(words).env("NO_COLOR", "1").current_dir("/"))
    };
    built(&["check", "--locked"]).expect(0);
    built(&[]).expect(0);
    make_nullable(&project, "t", "value");
    built(&["check", "--locked"]).expect(0);
    let ran = built(&["check"]).expect(0);
    assert!(ran.stdout.contains("W0831") && ran.stdout.contains("at version 1"), "{}", ran.stdout);
    let ran = built(&[]).expect(1);
    assert!(ran.stderr.contains("R0231") && ran.stderr.contains("build the program again"), "{}", ran.stderr);
    assert!(!project.path().join("flow.lock").exists());
    std::fs::remove_dir_all(project.path().join("t")).unwrap();
    built(&["check", "--locked"]).expect(0);
}

#[test]
fn a_run_stops_where_a_table_changed_since_it_was_checked() {
    let project = project();
    project.write("p.flow", &PROGRAM.replace("console()", "json(\"out\")"));
    project.flowc(&["check", "p.flow"]).expect(0);
    project.run("p.flow");
    project.table("t", "id: long, value: double", &[r#"{"id": 2, "value": 3.5}"#]);
    make_nullable(&project, "t", "value");
    let before = project.files();
    let ran = project.flowc(&["run", "p.flow", "--format", "json"]).expect(1);
    let error = &ran.json_lines()[0]["error"];
    assert_eq!((&error["code"], &error["start"]["line"]), (&json!("R0231"), &json!(1)), "{error:#}");
    let text = error["message"].as_str().unwrap();
    assert!(
        text.contains("source `s`") && text.contains("`value` became nullable at version 2 (CHANGE COLUMN"),
        "{text}"
    );
    assert!(error["help"].as_str().unwrap().contains("flowc check p.flow"), "{error:#}");
    assert_eq!(project.files(), before, "nothing is written");
    project.flowc(&["check", "p.flow"]).expect(0);
    project.run("p.flow");
    let mut written = project.files().into_iter().filter(|(path, _)| path.starts_with(project.path().join("out")));
    assert!(
        written.any(|(_, text)| String::from_utf8_lossy(&text).contains("\"id\":2")),
        "it goes on where it stopped"
    );
}

#[test]
fn without_a_lock_the_last_run_is_what_a_run_is_held_against() {
    let project = project();
    project.run("p.flow");
    make_nullable(&project, "t", "value");
    let ran = project.flowc(&["run", "p.flow", "--format", "json"]).expect(1);
    let error = &ran.json_lines()[0]["error"];
    assert_eq!(error["code"], "R0231", "{error:#}");
    assert!(error["message"].as_str().unwrap().contains("became nullable at version 1"), "{error:#}");
    // Checking accepts the change; so does computing everything again.
    project.flowc(&["run", "p.flow", "--full-refresh"]).expect(0);
    project.run("p.flow");
    project.alter_columns("t", "CHANGE COLUMN", |fields| fields[0]["nullable"] = true.into());
    project.flowc(&["run", "p.flow"]).expect(1);
    project.flowc(&["check", "p.flow"]).expect(0);
    project.run("p.flow");
}

#[test]
fn a_schema_that_fits_before_and_after_lets_a_run_go_on() {
    let project = project();
    let declared = "delta(\"t\") { schema { id: long, value: double? } }";
    project.write("p.flow", &PROGRAM.replace("delta(\"t\")", declared));
    project.flowc(&["check", "p.flow"]).expect(0);
    project.run("p.flow");
    make_nullable(&project, "t", "value");
    project.run("p.flow");
    assert_eq!(codes(&check(&project, &["p.flow"], 0)), ["W0831"]);
}

#[test]
fn a_place_that_only_a_parameter_leads_to_is_held_against_its_last_run() {
    let project = project();
    project.write("p.flow", &format!("param at: string = \"t\"\n{}", PROGRAM.replace("\"t\"", "\"{at}\"")));
    project.flowc(&["check", "p.flow"]).expect(0);
    project.table("other one", "id: long, value: double", &[r#"{"id": 1, "value": 2.5}"#]);
    let run = ["run", "p.flow", "--param", "at=other one", "--format", "json", "--state", "state"];
    project.flowc(&run).expect(0);
    make_nullable(&project, "other one", "value");
    let ran = project.flowc(&run).expect(1);
    let help = ran.json_lines()[0]["error"]["help"].as_str().unwrap().to_string();
    assert!(help.contains("run `flowc check p.flow --param 'at=other one'`"), "{help}");
    project.flowc(&["check", "p.flow", "--param", "at=other one"]).expect(0);
    project.flowc(&run).expect(0);
    project.flowc(&["check", "--locked", "p.flow", "--param", "at=other one"]).expect(0);
    project.flowc(&["check", "--locked", "p.flow"]).expect(0);
}

#[test]
fn what_is_no_longer_proved_says_what_made_it_so() {
    let project = project();
    project.alter("t", "ADD CONSTRAINT", |m| m["configuration"]["delta.constraints.low"] = "value < 100".into());
    let sink = "delta(\"out\") { constraint fair: value < 100 }";
    project.write("p.flow", &PROGRAM.replace("console()", sink));
    assert_eq!(codes(&check(&project, &["p.flow"], 0)), Vec::<String>::new(), "proved");
    project.alter("t", "DROP CONSTRAINT", |m| {
        drop(m["configuration"].as_object_mut().unwrap().remove("delta.constraints.low"))
    });
    let found = check(&project, &["p.flow"], 0).json()["diagnostics"].clone();
    let open = found.as_array().unwrap().iter().find(|d| d["code"] == "W0821").unwrap_or_else(|| panic!("{found:#}"));
    let labels = open["labels"].as_array().unwrap();
    let dropped =
        |l: &Value| l["message"].as_str().unwrap().starts_with("the constraint `low` was dropped at version 2");
    assert!(labels.iter().any(dropped), "{open:#}");
    assert!(found.as_array().unwrap().iter().any(|d| d["code"] == "W0832"), "{found:#}");
}

#[test]
fn tests_of_a_program_need_no_table_either() {
    let project = project();
    let test = "test \"small values are left out\" {\n    given s [{ id: 1, value: 0.5 }, { id: 2, value: 2.0 }]\n    then f [{ id: 2, value: 2.0 }]\n}\n";
    project.write("p.flow", &format!("{PROGRAM}\n{test}"));
    project.flowc(&["check", "p.flow"]).expect(0);
    std::fs::remove_dir_all(project.path().join("t")).unwrap();
    project.flowc(&["test", "p.flow"]).expect(1);
    project.flowc(&["test", "--locked", "p.flow"]).expect(0);
}

#[test]
fn what_a_program_does_not_read_does_not_stop_it() {
    let project = Project::new();
    project.table(
        "t",
        "id: long, value: double?, other: string",
        &[r#"{"id": 1, "value": 2.5, "other": "x"}"#, r#"{"id": 2, "value": null, "other": "y"}"#],
    );
    project.write("p.flow", PROGRAM);
    project.flowc(&["check", "p.flow"]).expect(0);
    project.run("p.flow");
    // A column comes, one that is not read may be null, a constraint, a property, a feature that flowc honours.
    project.alter_columns("t", "ADD COLUMNS", |fields| {
        fields.push(json!({ "name": "note", "type": "string", "nullable": true, "metadata": {} }));
    });
    make_nullable(&project, "t", "other");
    project.alter("t", "ADD CONSTRAINT", |m| m["configuration"]["delta.constraints.sane"] = "id > 0".into());
    project.commit_by_hand(
        "t",
        "UPGRADE PROTOCOL",
        &[json!({ "protocol": { "minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": ["deletionVectors"],
            "writerFeatures": ["deletionVectors", "appendOnly", "invariants", "checkConstraints"] } })],
    );
    project.run("p.flow");
    let found = check(&project, &["p.flow"], 0);
    assert_eq!(codes(&found), ["W0831", "W0831", "W0832", "W0833"], "{}", found.stdout);
}

#[test]
fn every_change_of_what_is_read_stops_a_run_before_it_writes() {
    let columns = |project: &Project, change: fn(&mut Vec<Value>)| project.alter_columns("t", "ALTER TABLE", change);
    type Cut = (&'static str, fn(&mut Vec<Value>), &'static str);
    let cases: [Cut; 4] = [
        ("dropped", |fields| drop(fields.remove(1)), "E0202"),
        ("retyped", |fields| fields[0]["type"] = "integer".into(), "R0231"),
        ("renamed", |fields| fields[1]["name"] = "reading".into(), "E0202"),
        ("unknown", |fields| fields[1]["type"] = "variant".into(), "E0408"),
    ];
    for (name, change, code) in cases {
        let project = project();
        project.write("p.flow", &PROGRAM.replace("console()", "delta(\"out\")"));
        project.flowc(&["check", "p.flow"]).expect(0);
        project.run("p.flow");
        project.table("t", "id: long, value: double", &[r#"{"id": 2, "value": 3.5}"#]);
        columns(&project, change);
        let before = project.files();
        let ran = project.flowc(&["run", "p.flow"]).expect(1);
        assert!(ran.stderr.contains(code), "{name}: {}", ran.stderr);
        if name != "unknown" {
            assert!(ran.stderr.contains("at version 2 (ALTER TABLE"), "{name}: {}", ran.stderr);
        }
        assert_eq!(project.files(), before, "{name}");
    }
}
