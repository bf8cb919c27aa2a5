//! What sinks write: modes, partitions, constraints, generated columns, evolving, descriptions, statistics.

use crate::support::Project;
use serde_json::{Value, json};

fn numbers(sink: &str) -> Project {
    let project = Project::new();
    project.table(
        "t",
        "id: long, name: string?",
        &[r#"{"id": 1, "name": "a"}"#, r#"{"id": 2, "name": null}"#, r#"{"id": 3, "name": "c/d e"}"#],
    );
    project.write("s.flow", &format!("source t = delta(\"t\")\nflow f = t\n{sink}\n"));
    project
}

fn metadata(project: &Project, table: &str) -> Value {
    let found = project.commit(table, 0).into_iter().find_map(|a| a.get("metaData").cloned());
    found.expect("the first commit has the metadata")
}

#[test]
fn a_commit_holds_files_and_the_epoch_together() {
    let project = numbers("sink out = f -> delta(\"out\")");
    project.run("s.flow");
    let actions = project.commit("out", 0);
    let transaction = actions.iter().find_map(|a| a.get("txn")).expect("the epoch is in the commit");
    assert_eq!(transaction["version"], 1);
    assert!(transaction["appId"].as_str().unwrap().contains("out"), "{transaction}");
    let add = actions.iter().find_map(|a| a.get("add")).unwrap();
    let statistics: Value = serde_json::from_str(add["stats"].as_str().unwrap()).unwrap();
    assert_eq!(statistics["numRecords"], 3);
    assert_eq!(statistics["minValues"]["id"], 1);
    assert_eq!(statistics["maxValues"]["id"], 3);
    assert_eq!(statistics["nullCount"]["name"], 1);
}

#[test]
fn columns_that_cannot_be_null_are_not_null_in_the_table() {
    let project = numbers("## All of t.\nsink out = f -> delta(\"out\")");
    project.run("s.flow");
    let metadata = metadata(&project, "out");
    assert_eq!(metadata["description"], "All of t.");
    let schema: Value = serde_json::from_str(metadata["schemaString"].as_str().unwrap()).unwrap();
    assert_eq!(schema["fields"][0]["nullable"], false);
    assert_eq!(schema["fields"][1]["nullable"], true);
}

#[test]
fn appending_adds_and_overwriting_replaces() {
    let project = numbers("sink out = f -> delta(\"out\")\nsink whole = f -> delta(\"whole\") { mode overwrite }");
    project.run("s.flow");
    project.table("t", "id: long, name: string?", &[r#"{"id": 4, "name": "e"}"#]);
    project.run("s.flow");
    assert_eq!(project.rows("out").len(), 4);
    assert_eq!(project.rows("whole").len(), 4);
    assert!(project.commit("out", 1).iter().all(|a| a.get("remove").is_none()));
    assert!(project.commit("whole", 1).iter().any(|a| a.get("remove").is_some()));
}

#[test]
fn partitions_hold_what_their_names_say() {
    let project = numbers("sink out = f -> delta(\"out\") { partition by name, odd = id % 2 == 1 }");
    project.run("s.flow");
    let rows = project.rows("out");
    let found: Vec<_> = rows.iter().map(|r| (r["id"].as_i64().unwrap(), r["name"].clone(), r["odd"].clone())).collect();
    assert_eq!(
        found,
        [(1, json!("a"), json!("true")), (2, Value::Null, json!("false")), (3, json!("c/d e"), json!("true"))]
    );
    assert_eq!(metadata(&project, "out")["partitionColumns"], json!(["name", "odd"]));
}

#[test]
fn a_constraint_is_declared_and_kept() {
    let project = numbers("sink out = f -> delta(\"out\") { constraint small: id < 4 }");
    project.run("s.flow");
    let configuration = &metadata(&project, "out")["configuration"];
    assert!(configuration["delta.constraints.small"].as_str().unwrap().contains("id"), "{configuration}");
    project.table("t", "id: long, name: string?", &[r#"{"id": 4, "name": "e"}"#]);
    let ran = project.flowc(&["run", "s.flow"]).expect(1);
    assert!(ran.stderr.contains("R0105") && ran.stderr.contains("small"), "{}", ran.stderr);
    assert_eq!(project.version("out"), Some(0));
}

#[test]
fn an_existing_constraint_is_kept_by_a_program_that_does_not_name_it() {
    let project = numbers("sink out = f -> delta(\"out\") { constraint small: id < 4 }");
    project.run("s.flow");
    project.write(
        "more.flow",
        "source s = generate(rows: 9)\nflow f = s |> select id, name = \"x\"\nsink more = f -> delta(\"out\")\n",
    );
    let ran = project.flowc(&["run", "more.flow"]).expect(1);
    assert!(ran.stderr.contains("small"), "{}", ran.stderr);
    assert_eq!(project.rows("out").len(), 3);
}

#[test]
fn a_new_column_needs_evolve() {
    let project = numbers("sink out = f -> delta(\"out\")");
    project.run("s.flow");
    let program = "source s = generate(rows: 1)\nflow f = s |> select id, size = 1.5\nsink wide = f -> delta(\"out\")";
    project.write("wide.flow", program);
    let ran = project.flowc(&["run", "wide.flow"]).expect(1);
    assert!(ran.stderr.contains("evolve"), "{}", ran.stderr);
    project.write("wide.flow", &format!("{program} {{ evolve }}\n"));
    project.run("wide.flow");
    let rows = project.rows("out");
    assert_eq!(rows.len(), 4);
    assert_eq!(rows[0], json!({"id": 0, "name": null, "size": 1.5}));
}

#[test]
fn properties_reach_the_table() {
    let project = numbers(
        "sink out = f -> delta(\"out\") { properties { \"delta.logRetentionDuration\": \"interval 60 days\" } }",
    );
    project.run("s.flow");
    assert_eq!(metadata(&project, "out")["configuration"]["delta.logRetentionDuration"], "interval 60 days");
}

#[test]
fn a_full_refresh_replaces_what_is_there() {
    let project = numbers("sink out = f -> delta(\"out\")");
    project.run("s.flow");
    let changed = project.read("s.flow").replace("flow f = t", "flow f = t |> where id > 1");
    project.write("s.flow", &changed);
    project.run("s.flow");
    assert_eq!(project.rows("out").len(), 3, "without it, what is committed stays");
    project.flowc(&["run", "s.flow", "--full-refresh"]).expect(0);
    assert_eq!(project.rows("out").len(), 2);
    project.run("s.flow");
    assert_eq!(project.rows("out").len(), 2);
}

#[test]
fn aggregates_over_a_whole_are_right() {
    let project = Project::new();
    project.table(
        "sales",
        "shop: string?, price: decimal(6, 2), n: integer?",
        &[
            r#"{"shop": "a", "price": "1.50", "n": 2}"#,
            r#"{"shop": "a", "price": "2.25", "n": null}"#,
            r#"{"shop": "b", "price": "10.00", "n": 1}"#,
            r#"{"shop": null, "price": "0.05", "n": 5}"#,
        ],
    );
    let program = "source sales = delta(\"sales\")\n\
        flow totals = sales |> aggregate rows = count(), known = count(n), total = sum(price), mean = avg(n), most = max(price) where n > 1 by shop\n\
        sink out = totals -> delta(\"out\") { mode overwrite }\n";
    project.write("a.flow", program);
    project.run("a.flow");
    let mut rows = project.rows("out");
    rows.sort_by_key(|r| r["shop"].to_string());
    let shown: Vec<String> = rows.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            r#"{"shop":"a","rows":2,"known":1,"total":3.75,"mean":2.0,"most":1.50}"#,
            r#"{"shop":"b","rows":1,"known":1,"total":10.00,"mean":1.0,"most":null}"#,
            r#"{"shop":null,"rows":1,"known":1,"total":0.05,"mean":5.0,"most":0.05}"#,
        ]
    );
}

#[test]
fn a_constraint_is_the_same_in_the_next_run() {
    let project = Project::new();
    project.table("in", "x: double, n: integer", &[r#"{"x":1.0,"n":1}"#]);
    project.write(
        "c.flow",
        "source s = delta(\"in\")\nflow f = s |> where x between 0 and 10 and n between 0 and 10\nsink o = f -> delta(\"out\") {\n\
         constraint a: x < 1000\n    constraint b: x > -1.50d\n    constraint c: n < 1000.5\n    constraint d: x + n <= 2e3\n}\n",
    );
    project.run("c.flow");
    project.flowc(&["check", "c.flow"]).expect(0);
    project.run("c.flow");
}
