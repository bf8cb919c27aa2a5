//! Rows that change, with real tables: one program merges records of changes into a table, another one follows that table. Whatever has been updated and deleted,
//! and however runs ended, the second one's tables are those of a run that begins anew.

use crate::support::{Project, flowc};
use serde_json::{Value, json};
use std::io::Read;
use std::process::Stdio;

/// Merges records of changes into `orders`.
const MERGING: &str = r#"
source records = json("in/*.json") {
    schema {
        op: string?,
        ts: long?,
        before: struct<id: long, customer: string?, total: long?>?,
        after: struct<id: long, customer: string?, total: long?>?,
    }
    changes from op, before, after by id
    sequence by ts
}
flow orders = records |> drop ts
sink orders = orders -> delta("orders") { mode merge on id }
"#;

/// Follows `orders` into tables of every mode that takes rows that change.
const FOLLOWING: &str = r#"
source orders = delta("orders") { changes by id }
source history = delta("orders") { changes by id start version 0 }
table client = delta("client")

flow placed = orders
    |> left join client on client.name == customer
    |> select id, total, region = client.region
flow per_region = placed
    |> aggregate n = count(), total = sum(total), most = max(total), all = collect_list(id) by region
flow greatest = orders |> top 1 by total desc per customer
flow customers = orders |> where total is not null |> select customer |> dedup

sink latest = orders -> delta("out/latest") { mode merge on id }
sink placed = placed -> delta("out/placed") { mode merge on id }
sink per_region = per_region -> delta("out/per_region") { mode merge on region }
sink greatest = greatest -> delta("out/greatest") { mode merge on customer }
sink customers = customers -> delta("out/customers") { mode merge on customer }
sink whole = per_region -> delta("out/whole") { mode overwrite }
sink parts = orders -> delta("out/parts") {
    mode overwrite partition
    partition by customer
}
sink versions = history -> delta("out/versions") { mode scd2 on id }
"#;

const TABLES: [&str; 8] = ["latest", "placed", "per_region", "greatest", "customers", "whole", "parts", "versions"];

fn row(id: i64, customer: &str, total: impl Into<Value>) -> Value {
    json!({ "id": id, "customer": customer, "total": total.into() })
}

fn insert(ts: i64, after: Value) -> Value {
    json!({ "op": "c", "ts": ts, "before": null, "after": after })
}

fn update(ts: i64, after: Value) -> Value {
    json!({ "op": "u", "ts": ts, "before": null, "after": after })
}

fn delete(ts: i64, id: i64) -> Value {
    json!({ "op": "d", "ts": ts, "before": { "id": id, "customer": null, "total": null }, "after": null })
}

/// What happens between two runs. Each customer keeps a row: a partition of which nothing is left would stay.
fn rounds() -> Vec<Vec<Value>> {
    vec![
        vec![
            insert(1, row(1, "ada", 10)),
            insert(2, row(2, "ada", 20)),
            insert(3, row(3, "bob", 5)),
            insert(4, row(4, "eve", Value::Null)),
        ],
        // A total that was the greatest is taken away, an order changes its customer, a record comes too late.
        vec![
            delete(10, 2),
            update(11, row(3, "ada", 7)),
            insert(12, row(5, "bob", 5)),
            update(0, row(1, "ada", 99)),
            insert(13, row(6, "eve", 1)),
        ],
        // Nothing new is said.
        vec![update(14, row(6, "eve", 1))],
        // What was deleted is there again; what is new goes again, in one epoch.
        vec![insert(20, row(2, "eve", 8)), insert(21, row(7, "bob", 50)), delete(22, 7), delete(23, 6)],
    ]
}

fn records(project: &Project, file: &str, records: &[Value]) {
    let lines: String = records.iter().map(|record| format!("{record}\n")).collect();
    project.write(&format!("in/{file}.json"), &lines);
}

/// The tables of the program that follows are those of a run that begins anew.
fn same_as_anew(project: &Project, program: &str, name: &str) {
    project.write(&format!("{name}.flow"), &program.replace("\"out/", &format!("\"{name}/")));
    project.run(&format!("{name}.flow"));
    for table in TABLES {
        let (held, anew) = (project.rows(&format!("out/{table}")), project.rows(&format!("{name}/{table}")));
        assert_eq!(held, anew, "{name}: {table}");
    }
}

fn customers(project: &Project, rows: &[(&str, &str)]) {
    let lines: Vec<String> =
        rows.iter().map(|(name, region)| json!({ "name": name, "region": region }).to_string()).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    project.table("client", "name: string, region: string", &lines);
}

/// Follows `orders` through all rounds; `change`: makes it another table after the first of them.
fn followed_round_by_round(change: impl Fn(&Project)) -> Project {
    let project = Project::new();
    project.write("a.flow", MERGING);
    project.write("b.flow", FOLLOWING);
    customers(&project, &[("ada", "north"), ("bob", "south")]);
    // So many that a change concerns few of a file's rows.
    let others: Vec<Value> = (1000..1200).map(|id| insert(1, row(id, "ada", 0))).collect();
    records(&project, "others", &others);
    for (round, changes) in rounds().iter().enumerate() {
        records(&project, &round.to_string(), changes);
        if round == 3 {
            customers(&project, &[("eve", "north")]);
        }
        project.run("a.flow");
        project.run("b.flow");
        if round == 0 {
            change(&project);
        }
        same_as_anew(&project, FOLLOWING, &format!("anew{round}"));
        assert_eq!(project.run("b.flow").stdout, "", "nothing is new");
    }
    let named = |table: &str| {
        let rows = project.rows(table).into_iter();
        rows.filter(|row| row["id"].as_i64().unwrap() < 1000).collect::<Vec<_>>()
    };
    let latest = named("out/latest");
    let ids: Vec<(i64, Option<i64>)> =
        latest.iter().map(|row| (row["id"].as_i64().unwrap(), row["total"].as_i64())).collect();
    let mut sorted = ids.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, [(1, Some(10)), (2, Some(8)), (3, Some(7)), (4, None), (5, Some(5))]);
    let versions = named("out/versions");
    let of = |id: i64| versions.iter().filter(|row| row["id"] == id).count();
    assert_eq!((of(1), of(2), of(3), of(6)), (1, 2, 2, 1), "{versions:#?}");
    assert_eq!(versions.iter().filter(|row| row["is_current"] == true).count(), 5, "{versions:#?}");
    project
}

/// Whether a commit to `orders` has a file with this.
fn some_commit(project: &Project, found: impl Fn(&Value) -> bool) -> bool {
    (0..=project.version("orders").unwrap()).any(|version| project.commit("orders", version).iter().any(&found))
}

#[test]
fn a_table_is_followed_round_by_round() {
    followed_round_by_round(|_| {});
}

#[test]
fn a_table_with_a_change_data_feed_is_followed_round_by_round() {
    let project = followed_round_by_round(|project| {
        let feature = |metadata: &mut Value| metadata["configuration"]["delta.enableChangeDataFeed"] = json!("true");
        project.alter("orders", "SET TBLPROPERTIES", feature);
        let protocol = json!({ "minReaderVersion": 1, "minWriterVersion": 4 });
        project.commit_by_hand("orders", "UPGRADE PROTOCOL", &[json!({ "protocol": protocol })]);
    });
    assert!(some_commit(&project, |action| action.get("cdc").is_some()));
}

#[test]
fn a_table_with_deletion_vectors_is_followed_round_by_round() {
    let project = followed_round_by_round(|project| {
        let features = json!(["deletionVectors"]);
        let protocol = json!({
            "minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": features, "writerFeatures": features,
        });
        project.commit_by_hand("orders", "UPGRADE PROTOCOL", &[json!({ "protocol": protocol })]);
        let feature = |metadata: &mut Value| metadata["configuration"]["delta.enableDeletionVectors"] = json!("true");
        project.alter("orders", "SET TBLPROPERTIES", feature);
    });
    assert!(some_commit(&project, |action| !action["add"]["deletionVector"].is_null()));
}

/// A program over `orders`, written as `name`, that must fail with this code; its message and its help.
fn fails(project: &Project, name: &str, program: &str, code: &str) -> (String, String) {
    project.write(&format!("{name}.flow"), program);
    let ran = project.flowc(&["run", &format!("{name}.flow"), "--format", "json"]).expect(1);
    let summary = ran.json_lines().pop().unwrap();
    let error = &summary["error"];
    assert_eq!(error["code"], code, "{summary:#}");
    let text = |field: &str| error[field].as_str().unwrap_or_default().to_string();
    (text("message"), text("help"))
}

/// `orders` after two rounds, the second of which updates and deletes.
fn merged_twice() -> Project {
    let project = Project::new();
    project.write("a.flow", MERGING);
    for (round, changes) in rounds().iter().take(2).enumerate() {
        records(&project, &round.to_string(), changes);
        project.run("a.flow");
    }
    project
}

#[test]
fn a_record_with_a_word_that_nobody_knows_stops_the_run() {
    let project = merged_twice();
    let (before, version) = (project.rows("orders"), project.version("orders"));
    records(
        &project,
        "9",
        &[insert(30, row(9, "ada", 1)), json!({ "op": "upsrt", "ts": 31, "after": row(1, "x", 1) })],
    );
    let (message, _) = fails(&project, "a", MERGING, "R0141");
    assert!(message.contains("`records`") && message.contains("upsrt"), "{message}");
    assert_eq!((project.rows("orders"), project.version("orders")), (before, version));
}

#[test]
fn a_record_without_the_key_stops_the_run() {
    let project = merged_twice();
    let version = project.version("orders");
    project.write("in/9.json", "{\"op\": \"u\", \"ts\": 31, \"after\": {\"id\": null, \"customer\": \"x\"}}\n");
    let (message, _) = fails(&project, "a", MERGING, "R0205");
    assert!(message.contains("in/9.json") && message.contains("id"), "{message}");
    project.write("in/9.json", "{\"op\": \"u\", \"ts\": 31, \"before\": null, \"after\": null}\n");
    let (message, _) = fails(&project, "a", MERGING, "R0106");
    assert!(message.contains("id"), "{message}");
    assert_eq!(project.version("orders"), version);
}

#[test]
fn two_rows_of_a_key_stop_the_run_and_nothing_is_written() {
    let project = merged_twice();
    let program = "source orders = delta(\"orders\") { changes }\n\
                   sink per = orders -> delta(\"per\") { mode merge on customer }\n";
    let (message, help) = fails(&project, "t", program, "R0341");
    assert!(message.contains("`per`") && message.contains("ada"), "{message}");
    assert!(help.contains("top 1 by"), "{help}");
    assert_eq!(project.version("per"), None);
    let mended = program.replace("= orders ->", "= one ->") + "flow one = orders |> top 1 by total desc per customer\n";
    project.write("t.flow", &mended);
    project.run("t.flow");
    assert_eq!(project.rows("per").len(), 3);
}

#[test]
fn a_plain_source_says_what_can_be_done_about_updates() {
    let project = Project::new();
    let program = "source orders = delta(\"orders\")\nsink seen = orders -> delta(\"seen\")\n";
    project.write("a.flow", MERGING);
    records(&project, "0", &rounds()[0]);
    project.run("a.flow");
    project.write("p.flow", program);
    project.run("p.flow");
    records(&project, "1", &rounds()[1]);
    project.run("a.flow");
    let (message, help) = fails(&project, "p", program, "R0223");
    assert!(message.contains("version 1"), "{message}");
    assert!(help.contains("`changes`") && help.contains("`ignore updates`"), "{help}");
    assert_eq!(project.rows("seen").len(), 4);
    // Passed over whole: also the rows that such a commit adds.
    project.write("p.flow", &program.replace("(\"orders\")", "(\"orders\") { ignore updates }"));
    project.run("p.flow");
    assert_eq!(project.rows("seen").len(), 4);
    records(&project, "2", &[insert(40, row(40, "ada", 1))]);
    project.run("a.flow");
    project.run("p.flow");
    let seen = project.rows("seen");
    assert_eq!((seen.len(), seen.iter().filter(|row| row["id"] == 40).count()), (5, 1), "{seen:#?}");
}

/// Starts a run and kills it when it prints to a console whose many lines nobody reads.
fn kill_while_it_prints(project: &Project, program: &str) {
    let mut command = flowc();
    command.args(["run", program]).current_dir(project.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdout.take().unwrap().read_exact(&mut [0; 1]).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_run_killed_among_its_commits_takes_nothing_away_twice() {
    let project = Project::new();
    project.write("a.flow", MERGING);
    customers(&project, &[("c0", "north"), ("c1", "south")]);
    // Between the others, so that some of the tables are committed when the run is killed and some are not.
    let program = FOLLOWING
        .replace("sink per_region =", "sink shown = orders -> console() { mode merge on id }\nsink per_region =");
    project.write("b.flow", &program);
    for round in 0..3i64 {
        let changed = |id: i64| match (round, id % 5) {
            (0, _) => insert(id, row(id, &format!("c{}", id % 3), id)),
            (_, 0) if id > 20 => delete(round * 100_000 + id, id),
            _ => update(round * 100_000 + id, row(id, &format!("c{}", (id + round) % 3), id * round)),
        };
        records(&project, &round.to_string(), &(0..4000).map(changed).collect::<Vec<_>>());
        project.run("a.flow");
        kill_while_it_prints(&project, "b.flow");
        let finished = project.run("b.flow");
        assert!(finished.stderr.contains("resumed"), "{}", finished.stderr);
        same_as_anew(&project, FOLLOWING, &format!("anew{round}"));
    }
}

/// Tests of a program whose tables are changed: what a table holds is given anew, records arrive.
const TESTED: &str = r#"
source orders = delta("orders") { changes by id }
table client = delta("client")
source records = json("total/*.json") {
    schema { op: string?, ts: long?, after: struct<id: long, total: long?>? }
    changes from op, after by id
    sequence by ts
}
flow placed = orders
    |> left join client on client.name == customer
    |> select id, total, region = client.region
flow per_region = placed |> aggregate n = count(), most = max(total) by region
sink per = per_region -> delta("per") { mode merge on region }
sink whole = per_region -> delta("whole") { mode overwrite }
sink versions = orders -> delta("versions") { mode scd2 on id }
sink newest = records -> delta("newest") { mode merge on id }
sink regions = placed -> delta("regions") { mode merge on id, region }

test "a table that is updated, and one that it is joined to" {
    at @2026-01-01T10:00:00Z
    given client [{ name: "ada", region: "north" }]
    given orders [
        { id: 1, customer: "ada", total: 5 },
        { id: 2, customer: "ada", total: 9 },
        { id: 3, customer: "bob", total: 1 },
    ]
    then per_region [{ region: "north", n: 2, most: 9 }, { region: null, n: 1, most: 1 }]
    then whole [{ region: "north", n: 2 }, { region: null, n: 1 }]
    at @2026-01-01T11:00:00Z
    given orders [{ id: 1, customer: "ada", total: 7 }, { id: 3, customer: "bob", total: 1 }]
    then placed [{ id: 1, total: 7, region: "north" }, { id: 3, total: 1, region: null }]
    then per [{ region: "north", n: 1, most: 7 }, { region: null, n: 1, most: 1 }]
    given client [{ name: "bob", region: "north" }]
    then whole [{ region: "north", n: 1, most: 1 }, { region: null, n: 1, most: 7 }]
    then per [{ region: "north", n: 1, most: 1 }, { region: null, n: 1, most: 7 }]
    then versions [
        { id: 1, total: 5, is_current: false, valid_from: @2026-01-01T10:00:00Z, valid_to: @2026-01-01T11:00:00Z },
        { id: 1, total: 7, is_current: true, valid_from: @2026-01-01T11:00:00Z, valid_to: null },
        { id: 2, total: 9, is_current: false, valid_to: @2026-01-01T11:00:00Z },
        { id: 3, total: 1, is_current: true },
    ]
}

test "records" {
    given records [
        { op: "c", ts: 1, after: { id: 1, total: 5 } },
        { op: "c", ts: 2, after: { id: 2, total: 6 } },
        { op: "u", ts: 4, after: { id: 1, total: 7 } },
    ]
    then newest [{ id: 1, total: 7, ts: 4 }, { id: 2, total: 6 }]
    given records [{ op: "d", ts: 5, after: { id: 2 } }, { op: "u", ts: 3, after: { id: 1, total: 8 } }]
    then newest [{ id: 1, total: 7 }]
}

test "a word that nobody knows" {
    given records [{ op: "upsrt", ts: 1, after: { id: 1, total: 5 } }]
    then error R0141
}
"#;

fn tested() -> Project {
    let project = merged_twice();
    customers(&project, &[("ada", "north"), ("bob", "south")]);
    project.write("total/0.json", "{\"op\": \"c\", \"ts\": 1, \"after\": {\"id\": 1, \"total\": 5}}\n");
    project.write("p.flow", TESTED);
    project
}

#[test]
fn programs_over_rows_that_change_are_tested() {
    let project = tested();
    let ran = project.flowc(&["test", "p.flow"]).expect(0);
    assert!(ran.stdout.ends_with("\n3 passed, 0 failed\n"), "{}", ran.stdout);
    // What the same table holds is said once between two looks.
    project
        .write("twice.flow", &format!("{TESTED}test \"twice\" {{ given orders [] given orders [] then placed [] }}\n"));
    let twice = project.flowc(&["check", "twice.flow"]).expect(1);
    assert!(twice.stdout.contains("`orders` is given twice"), "{}", twice.stdout);
}

#[test]
fn two_rows_of_a_key_stop_a_test_as_they_stop_a_run() {
    let project = merged_twice();
    let program = "source orders = delta(\"orders\") { changes }\n\
        sink per = orders -> delta(\"per\") { mode merge on customer }\n\
        test \"two rows of a key\" {\n    given orders [{ id: 1, customer: \"a\" }, { id: 2, customer: \"a\" }]\n    \
        then error R0341\n}\n";
    fails(&project, "t", program, "R0341");
    project.flowc(&["test", "t.flow"]).expect(0);
}

#[test]
fn a_test_is_recorded_from_tables_that_change() {
    let project = tested();
    for (subject, wanted) in
        [("per_region", "region: \"north\""), ("versions", "is_current: true"), ("placed", "id: 1")]
    {
        let shown = project.flowc(&["test", "p.flow", "--record", subject]).expect(0).stdout;
        assert!(shown.contains(wanted) && shown.contains(&format!("then {subject} [")), "{shown}");
        assert!(!shown.contains('#'), "{shown}");
    }
}

#[test]
fn status_calls_steps_by_their_words() {
    let project = tested();
    project.run("p.flow");
    let text = project.flowc(&["status", "p.flow"]).expect(0).stdout;
    for line in ["  aggregate  per_region |> aggregate", "  join       placed |> ", "  upsert     records |> upsert"] {
        assert!(text.contains(line), "no {line:?} in\n{text}");
    }
    assert!(!text.contains("no time is known") && !text.contains("unique"), "{text}");
    let ran = project.flowc(&["status", "p.flow", "--format", "json"]).expect(0).json();
    let steps = ran["steps"].as_array().unwrap();
    assert!(steps.iter().all(|step| step["watermark"].is_null() && step.get("held_by").is_none()), "{steps:#?}");
}
