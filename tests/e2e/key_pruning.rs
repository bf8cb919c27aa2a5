//! What a lookup tells its source by the keys of its table: files and row groups are left out, and the rows that come out are those that come out without it.

use crate::support::Project;
use serde_json::{Value, json};

/// What a program over `readings` and `device` reads and what it writes, sorted.
fn run(project: &Project, steps: &str) -> (u64, Vec<Value>) {
    project.write("p.flow", &program(steps));
    let ran = project.flowc(&["run", "p.flow", "--drain", "--format", "json"]).expect(0);
    let documents = ran.json_lines();
    let summary = documents.iter().find(|document| document["type"] == "summary").expect("a summary");
    let read = summary["sources"].as_array().into_iter().flatten();
    (read.filter_map(|source| source["rows"].as_u64()).sum(), project.rows("out"))
}

fn program(steps: &str) -> String {
    format!(
        "source readings = delta(\"readings\") {{ event_time at = timestamp_millis(ms)\n watermark 1s }}\n\
         source plain = delta(\"readings\")\n\
         table device = delta(\"device\")\n\
         flow f = {steps}\n\
         sink out = f -> delta(\"out\") {{ mode overwrite }}\n"
    )
}

/// Three files with keys of their own: 0 to 9, 10 to 19, 20 to 29; the last has the earliest times.
fn project(keys: &[i64]) -> Project {
    let project = Project::new();
    for (file, base) in [(0, 2000), (1, 3000), (2, 1000)] {
        let row = |i: i64| json!({ "id": file * 10 + i % 10, "ms": (base + i) * 1000, "text": format!("{file}-{i}") });
        let rows: Vec<String> = (0..100).map(|i| row(i).to_string()).collect();
        project.table(
            "readings",
            "id: integer, ms: long, text: string?",
            &rows.iter().map(String::as_str).collect::<Vec<_>>(),
        );
    }
    let rows: Vec<String> = keys.iter().map(|id| json!({ "id": id, "site": format!("s{id}") }).to_string()).collect();
    project.table("device", "id: long, site: string?", &rows.iter().map(String::as_str).collect::<Vec<_>>());
    project
}

/// The same without pruning: nothing is known of keys that are computed.
fn unpruned(steps: &str) -> String {
    steps.replace("|> join", "|> extend same = id + 0 |> join").replace("== id", "== same") + " |> drop same"
}

#[test]
fn files_without_a_key_of_the_table_are_not_read() {
    let steps = "plain |> join device on device.id == id |> select id, ms, text, site = device.site";
    let pruned = project(&[12, 15]);
    let (read, rows) = run(&pruned, steps);
    assert_eq!((read, rows.len()), (100, 20));
    let explained = pruned.flowc(&["explain", "p.flow"]).expect(0).stdout;
    assert!(explained.contains("what has no match in `device`, by id"), "{explained}");
    let all =
        "plain |> extend same = id + 0 |> join device on device.id == same |> select id, ms, text, site = device.site";
    let (read, expected) = run(&project(&[12, 15]), all);
    assert_eq!((read, &rows), (300, &expected));
}

#[test]
fn what_keeps_rows_without_a_match_reads_all() {
    for kind in ["left", "anti"] {
        let columns = if kind == "left" { "id, text, site = device.site" } else { "id, text" };
        let steps = format!("plain |> {kind} join device on device.id == id |> select {columns}");
        let (read, rows) = run(&project(&[12]), &steps);
        assert_eq!((read, rows.len()), (300, if kind == "left" { 300 } else { 290 }), "{kind}");
    }
}

#[test]
fn keys_that_no_file_has_leave_nothing_to_read() {
    let semi = "plain |> semi join device on device.id == id |> select id";
    assert_eq!(run(&project(&[77]), semi), (0, vec![]));
    let (read, rows) = run(&project(&[77, 9, 10]), semi);
    assert_eq!((read, rows.len()), (200, 20));
}

#[test]
fn event_times_of_rows_without_a_match_move_the_watermark() {
    let steps = "readings |> join device on device.id == id\n\
                 |> aggregate n = count() by site = device.site, window tumble(10s)";
    let pruned = project(&[2, 25]);
    let explained = |project: &Project| project.flowc(&["explain", "p.flow"]).expect(0).stdout;
    pruned.write("p.flow", &program(steps));
    assert!(explained(&pruned).contains("event times are read all the same"), "{}", explained(&pruned));
    let all = project(&[2, 25]);
    all.write("p.flow", &program(&unpruned(steps).replace(" |> drop same", "")));
    assert!(!explained(&all).contains("left out"), "{}", explained(&all));
    for project in [&pruned, &all] {
        // Not drained: which windows are closed follows from the times of all rows.
        let text = project.read("p.flow").replace(" { mode overwrite }", "");
        project.write("p.flow", &text);
        for options in [&["run", "p.flow", "--epoch-files", "1"][..], &["run", "p.flow"]] {
            project.flowc(options).expect(0);
        }
    }
    assert_eq!(pruned.rows("out"), all.rows("out"));
    assert!(!pruned.rows("out").is_empty());
}

#[test]
fn each_epoch_goes_by_the_keys_of_its_version_of_the_table() {
    let project = project(&[12]);
    let steps = "plain |> join device on device.id == id |> select id, text";
    project.write("p.flow", &program(steps).replace(" { mode overwrite }", ""));
    project.run("p.flow");
    assert_eq!(project.rows("out").len(), 10);
    project.table("device", "id: long, site: string?", &[r#"{"id": 31, "site": "new"}"#]);
    project.table(
        "readings",
        "id: integer, ms: long, text: string?",
        &[r#"{"id": 31, "ms": 1, "text": "a"}"#, r#"{"id": 30, "ms": 2, "text": "b"}"#],
    );
    project.run("p.flow");
    let rows = project.rows("out");
    assert_eq!(rows.len(), 11);
    assert!(rows.contains(&json!({ "id": 31, "text": "a" })));
}
