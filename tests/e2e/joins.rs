//! Joins to tables, every kind, with keys that are null, missing and there more than once.

use crate::support::Project;
use serde_json::{Value, json};

fn project() -> Project {
    let project = Project::new();
    project.table(
        "readings",
        "n: long, id: integer?",
        &[
            r#"{"n": 1, "id": 1}"#,
            r#"{"n": 2, "id": 2}"#,
            r#"{"n": 3, "id": null}"#,
            r#"{"n": 4, "id": 9}"#,
            r#"{"n": 5, "id": 1}"#,
        ],
    );
    project.table(
        "device",
        "id: integer?, site: string, floor: integer?",
        &[
            r#"{"id": 1, "site": "north", "floor": 0}"#,
            r#"{"id": 1, "site": "roof", "floor": 7}"#,
            r#"{"id": 2, "site": "south", "floor": null}"#,
            r#"{"id": null, "site": "nowhere", "floor": 1}"#,
        ],
    );
    project
}

/// The lines that a join gives.
fn joined(join: &str) -> Vec<Value> {
    let project = project();
    project.write(
        "j.flow",
        &format!(
            "source readings = delta(\"readings\")\ntable device = delta(\"device\")\n\
             flow joined = readings {join}\nsink out = joined -> console()\n"
        ),
    );
    project.run("j.flow").json_lines()
}

#[test]
fn an_inner_join_gives_a_row_for_each_match() {
    let found = joined("|> join device on device.id == id |> select n, site = device.site");
    let mut pairs: Vec<_> = found.iter().map(|r| (r["n"].as_i64().unwrap(), r["site"].as_str().unwrap())).collect();
    pairs.sort();
    assert_eq!(pairs, [(1, "north"), (1, "roof"), (2, "south"), (5, "north"), (5, "roof")]);
}

#[test]
fn a_left_join_keeps_what_has_no_match() {
    let found = joined("|> left join device as d on d.id == id |> select n, site = d.site");
    let mut pairs: Vec<_> = found.iter().map(|r| (r["n"].as_i64().unwrap(), r["site"].clone())).collect();
    pairs.sort_by_key(|(n, site)| (*n, site.to_string()));
    let expected = [
        (1, json!("north")),
        (1, json!("roof")),
        (2, json!("south")),
        (3, Value::Null),
        (4, Value::Null),
        (5, json!("north")),
        (5, json!("roof")),
    ];
    assert_eq!(pairs, expected);
}

#[test]
fn a_semi_join_keeps_each_matched_row_once() {
    let found = joined("|> semi join device on device.id == id");
    assert_eq!(found, [json!({"n": 1, "id": 1}), json!({"n": 2, "id": 2}), json!({"n": 5, "id": 1})]);
}

#[test]
fn an_anti_join_keeps_what_has_no_match_nulls_included() {
    let found = joined("|> anti join device on device.id == id |> select n");
    assert_eq!(found, [json!({"n": 3}), json!({"n": 4})]);
}

#[test]
fn further_conditions_are_part_of_the_match() {
    let found = joined("|> left join device on device.id == id and device.floor > 1 |> select n, floor = device.floor");
    let pairs: Vec<_> = found.iter().map(|r| (r["n"].as_i64().unwrap(), r["floor"].clone())).collect();
    assert_eq!(pairs, [(1, json!(7)), (2, Value::Null), (3, Value::Null), (4, Value::Null), (5, json!(7))]);
}

#[test]
fn a_table_is_looked_up_as_it_is_when_the_epoch_starts() {
    let project = project();
    let program = "source readings = delta(\"readings\")\ntable device = delta(\"device\")\n\
                   flow f = readings |> semi join device on device.id == id\nsink out = f -> delta(\"out\")\n";
    project.write("j.flow", program);
    project.run("j.flow");
    assert_eq!(project.rows("out").len(), 3);
    project.table(
        "device",
        "id: integer?, site: string, floor: integer?",
        &[r#"{"id": 9, "site": "west", "floor": 1}"#],
    );
    project.run("j.flow");
    assert_eq!(project.rows("out").len(), 3, "a new device makes no old reading new");
    project.table("readings", "n: long, id: integer?", &[r#"{"n": 6, "id": 9}"#]);
    project.run("j.flow");
    assert_eq!(project.rows("out").len(), 4);
}

#[test]
fn a_table_can_be_pinned_to_a_version() {
    let project = project();
    project.table(
        "device",
        "id: integer?, site: string, floor: integer?",
        &[r#"{"id": 9, "site": "west", "floor": 1}"#],
    );
    let program = "source readings = delta(\"readings\")\ntable device = delta(\"device\") { version 0 }\n\
                   flow f = readings |> anti join device on device.id == id |> select n\nsink out = f -> console()\n";
    project.write("j.flow", program);
    assert_eq!(project.run("j.flow").json_lines(), [json!({"n": 3}), json!({"n": 4})]);
}
