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

/// Commits with times of their own, so that no test depends on when it runs: [`device_history`] has a version at each of these (milliseconds since 1970).
const COMMITTED: [i64; 3] = [10_000, 20_000, 30_000];

/// A table `device` with in-commit timestamps: version 0 has nothing, version 1 device 1 in the north, version 2 also device 2, version 3 neither of these rows but
/// device 1 in the south. Each row is a version of [`COMMITTED`]; version 0 is a second older than the first.
fn device_history(project: &Project) {
    let columns = "id: integer?, site: string";
    let rows = [r#"{"id": 1, "site": "north"}"#, r#"{"id": 2, "site": "east"}"#, r#"{"id": 1, "site": "south"}"#];
    // Made row by row, so that there is a file for each.
    for row in rows {
        project.table("made", columns, &[row]);
    }
    let add = |version: u64| {
        let actions = project.commit("made", version);
        let mut add = actions.into_iter().find(|a| a.get("add").is_some()).unwrap();
        let file = add["add"]["path"].as_str().unwrap().to_string();
        project.write(&format!("device/{file}"), "");
        std::fs::copy(project.path().join("made").join(&file), project.path().join("device").join(&file)).unwrap();
        add["add"]["dataChange"] = json!(true);
        add
    };
    let (north, east, south) = (add(0), add(1), add(2));
    let remove =
        |add: &Value| json!({ "remove": { "path": add["add"]["path"], "dataChange": true, "deletionTimestamp": 0 } });
    let mut metadata = project.metadata("made");
    metadata["configuration"] = json!({ "delta.enableInCommitTimestamps": "true" });
    let protocol = json!({ "protocol": {
        "minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": [], "writerFeatures": ["inCommitTimestamp"],
    } });
    let commit = |version: u64, at: i64, actions: &[Value]| {
        let info = json!({ "commitInfo": { "inCommitTimestamp": at, "timestamp": 0, "operation": "WRITE" } });
        let lines: Vec<String> = std::iter::once(&info).chain(actions).map(ToString::to_string).collect();
        project.write(&format!("device/_delta_log/{version:020}.json"), &(lines.join("\n") + "\n"));
    };
    commit(0, 9_000, &[protocol, json!({ "metaData": metadata })]);
    commit(1, COMMITTED[0], std::slice::from_ref(&north));
    commit(2, COMMITTED[1], std::slice::from_ref(&east));
    commit(3, COMMITTED[2], &[remove(&north), remove(&east), south]);
}

/// Readings of devices 1 and 2 at every moment that matters, in no order of time.
fn readings(project: &Project) {
    let rows = [
        r#"{"n": 1, "id": 1, "ms": 30000}"#,
        r#"{"n": 2, "id": 1, "ms": 8999}"#,
        r#"{"n": 3, "id": 1, "ms": 10000}"#,
        r#"{"n": 4, "id": 2, "ms": 29999}"#,
        r#"{"n": 5, "id": 2, "ms": 19999}"#,
        r#"{"n": 6, "id": 1, "ms": null}"#,
        r#"{"n": 7, "id": 2, "ms": 99000}"#,
        r#"{"n": 8, "id": 1, "ms": 29999}"#,
    ];
    project.table("readings", "n: long, id: integer?, ms: long?", &rows);
}

/// Whichever side of a join of bounded rows is kept, the same rows come out, by any number of workers.
#[test]
fn either_side_of_a_join_may_be_kept() {
    let project = Project::new();
    let many: Vec<String> = (0..4000).map(|n| json!({ "n": n, "id": n % 50 }).to_string()).collect();
    let few: Vec<String> = (0..30).map(|id| json!({ "id": 2 * id, "site": format!("s{id}") }).to_string()).collect();
    project.table("many", "n: long, id: long", &many.iter().map(String::as_str).collect::<Vec<_>>());
    project.table("few", "id: long, site: string", &few.iter().map(String::as_str).collect::<Vec<_>>());
    let joined = |name: &str, flow: &str, workers: &str| {
        let text = format!(
            "source many = delta(\"many\")\nsource few = delta(\"few\")\nflow pairs = {flow}\n\
             sink out = pairs -> delta(\"{name}\") {{ mode overwrite }}\n"
        );
        project.write(&format!("{name}.flow"), &text);
        let words = ["run", &format!("{name}.flow"), "--state", &format!("state_{name}"), "--workers", workers];
        project.flowc(&words).expect(0);
        project.rows(name)
    };
    let sorted = |mut rows: Vec<Value>| {
        rows.sort_by_key(Value::to_string);
        rows
    };
    let right = "many |> join few on few.id == id |> select n, site = few.site";
    let left = "few |> join many on many.id == id |> select n = many.n, site";
    let kept = joined("kept1", right, "1");
    assert_eq!(kept.len(), 25 * 80);
    let exchanged = joined("exchanged1", left, "1");
    assert_eq!(sorted(kept), sorted(exchanged.clone()));
    assert_eq!(sorted(exchanged), sorted(joined("exchanged2", left, "2")));
    let explained = project.flowc(&["explain", "exchanged1.flow"]).expect(0).stdout;
    let said = "left: 30 rows, right: 4,000 rows: right is matched against left; the rows that come decide";
    assert!(explained.contains(said), "{explained}");
}

/// A program that joins readings to devices as of their time.
fn as_of(join: &str) -> String {
    format!(
        "source readings = delta(\"readings\")\ntable device = delta(\"device\")\n\
         flow joined = readings |> {join} device as of timestamp_millis(ms) on device.id == id\n"
    )
}

#[test]
fn a_row_is_looked_up_in_the_version_of_its_time() {
    let project = Project::new();
    device_history(&project);
    readings(&project);
    let text =
        as_of("left join") + "flow sites = joined |> select n, site = device.site\nsink out = sites -> console()\n";
    project.write("l.flow", &text);
    let found = project.run("l.flow").json_lines();
    let found: Vec<_> = found.iter().map(|r| (r["n"].as_i64().unwrap(), r["site"].as_str())).collect();
    let expected = [
        (1, Some("south")),
        (2, None),
        (3, Some("north")),
        (4, Some("east")),
        (5, None),
        (6, None),
        (7, None),
        (8, Some("north")),
    ];
    assert_eq!(found, expected, "in the order of the input");
    for (join, expected) in [("semi join", vec![1, 3, 4, 8]), ("anti join", vec![2, 5, 6, 7])] {
        let text = as_of(join) + "flow numbers = joined |> select n\nsink out = numbers -> console()\n";
        project.write("s.flow", &text);
        let found = project.flowc(&["run", "s.flow", "--state", join]).expect(0).json_lines();
        assert_eq!(found.iter().map(|r| r["n"].as_i64().unwrap()).collect::<Vec<_>>(), expected, "{join}");
    }
}

#[test]
fn what_the_table_looked_like_matters_not_when_it_is_read() {
    let project = Project::new();
    device_history(&project);
    readings(&project);
    let text =
        as_of("join") + "flow sites = joined |> select n, site = device.site\nsink out = sites -> delta(\"out\")\n";
    project.write("j.flow", &text);
    project.run("j.flow");
    let first = project.rows("out");
    assert_eq!(first.len(), 4);
    // The table goes on, and everything is computed again.
    let version = project.version("device").unwrap() + 1;
    let lines = project.commit("device", 3);
    let remove = json!({ "remove": { "path": lines[3]["add"]["path"], "dataChange": true, "deletionTimestamp": 0 } });
    let info = json!({ "commitInfo": { "inCommitTimestamp": 40_000, "operation": "DELETE" } });
    project.write(&format!("device/_delta_log/{version:020}.json"), &format!("{info}\n{remove}\n"));
    project.flowc(&["run", "j.flow", "--full-refresh"]).expect(0);
    assert_eq!(project.rows("out"), first);
    project.table("readings", "n: long, id: integer?, ms: long?", &[r#"{"n": 9, "id": 1, "ms": 50000}"#]);
    project.run("j.flow");
    assert_eq!(project.rows("out"), first, "it is gone by then");
}

#[test]
fn a_version_that_is_gone_stops_the_run() {
    let project = Project::new();
    device_history(&project);
    readings(&project);
    let text =
        as_of("join") + "flow sites = joined |> select n, site = device.site\nsink out = sites -> delta(\"out\")\n";
    project.write("j.flow", &text);
    let north = project.commit("device", 1)[1]["add"]["path"].as_str().unwrap().to_string();
    std::fs::rename(project.path().join("device").join(&north), project.path().join("kept")).unwrap();
    let ran = project.flowc(&["run", "j.flow"]).expect(1);
    assert!(ran.stderr.contains("R0118") && ran.stderr.contains(&north), "{}", ran.stderr);
    assert_eq!(project.version("out"), None, "nothing is committed");
    // Rows that need it not go through.
    project.write("j.flow", &text.replace("readings |>", "readings |> where ms >= 30000 |>"));
    project.run("j.flow");
    assert_eq!(project.rows("out"), [json!({"n": 1, "site": "south"})]);
}

#[test]
fn a_test_gives_a_table_a_history() {
    let project = Project::new();
    device_history(&project);
    readings(&project);
    let test = r#"
        flow sites = joined |> select n, site = device.site
        sink out = sites -> console()
        test "then" {
            at @1970-01-01T00:00:10Z
            given device [{ id: 1, site: "a" }]
            given readings [{ n: 1, id: 1, ms: 9999 }, { n: 2, id: 1, ms: 20000 }]
            then sites [{ n: 1, site: null }, { n: 2, site: "a" }]
            at @1970-01-01T00:00:30Z
            given device [{ id: 1, site: "b" }]
            given readings [{ n: 3, id: 1, ms: 30000 }, { n: 4, id: 1, ms: 20000 }, { n: 5, id: 1, ms: 40000 }, { n: 6, id: 1 }]
            then sites [
                { n: 1, site: null }, { n: 2, site: "a" },
                { n: 3, site: "b" }, { n: 4, site: "a" }, { n: 5, site: "b" }, { n: 6, site: null },
            ]
        }
    "#;
    project.write("t.flow", &(as_of("left join") + test));
    project.flowc(&["test", "t.flow"]).expect(0);
    project.write("t.flow", &(as_of("left join") + &test.replace(r#"{ n: 4, site: "a" }"#, r#"{ n: 4, site: "b" }"#)));
    project.flowc(&["test", "t.flow"]).expect(1);
    let refused = project.flowc(&["test", "t.flow", "--record", "sites"]).expect(1);
    assert!(refused.stderr.contains("history"), "{}", refused.stderr);
}
