//! Rejected rows that are put through the mended program again: each ends up in the sinks once, or stays where it is.

use crate::support::{Project, Ran};
use serde_json::{Value, json};

const PROGRAM: &str = "\
source readings = delta(\"readings\")
table device = delta(\"device\")
flow clean = readings
    |> where value is not null
    |> expect {
        in_range: value between 0 and 100 else quarantine
        known: id in device.id else quarantine
        odd: id % 2 == 1
    }
    |> extend twice = value * 2
flow report = clean |> select message = \"{id}: {value}\"
sink out = clean -> delta(\"out\")
sink report = report -> console()
sink rejects = clean.rejected -> delta(\"rejects\")
";

fn project() -> Project {
    let project = Project::new();
    let rows = [
        r#"{"id":1,"value":10.0}"#,
        r#"{"id":2,"value":20.0}"#,
        r#"{"id":3,"value":500.0}"#,
        r#"{"id":4,"value":40.0}"#,
        r#"{"id":5,"value":null}"#,
    ];
    project.table("readings", "id: integer, value: double?", &rows);
    project.table("device", "id: integer", &[r#"{"id":1}"#, r#"{"id":3}"#]);
    project.write("p.flow", PROGRAM);
    project.run("p.flow");
    project
}

fn ids(project: &Project, table: &str) -> Vec<i64> {
    let mut ids: Vec<i64> = project.rows(table).iter().map(|r| r["id"].as_i64().unwrap()).collect();
    ids.sort_unstable();
    ids
}

/// Replays a table that must be replayed; the document's object.
fn replay(project: &Project, words: &[&str]) -> (Value, Ran) {
    let ran = project.flowc(&[&["replay", "rejects", "--format", "json"], words].concat()).expect(0);
    let document = ran.json_lines().pop().unwrap();
    (document["replay"].clone(), ran)
}

#[test]
fn rows_that_pass_the_mended_program_end_up_in_the_sinks_once() {
    let project = project();
    assert_eq!((ids(&project, "out"), ids(&project, "rejects")), (vec![1], vec![2, 3, 4]));
    // Device 2 is known by now; the range is another one. Row 4 still fails.
    project.table("device", "id: integer", &[r#"{"id":2}"#]);
    project.write("p.flow", &PROGRAM.replace("between 0 and 100", "between 0 and 1000"));
    let ran = project.flowc(&["replay", "rejects"]).expect(0);
    assert!(ran.stderr.contains("replay 1 of rejects: 3 rows = 2 passed + 1 rejected again\n"), "{}", ran.stderr);
    assert_eq!(ran.stdout, "2: 20.0\n3: 500.0\n");
    assert_eq!((ids(&project, "out"), ids(&project, "rejects")), (vec![1, 2, 3], vec![4]));
    assert!(project.rows("out").contains(&json!({ "id": 3, "value": 500.0, "twice": 1000.0 })));
    // The table says what happened, and an ordinary run goes on from where it was.
    let commit = project.commit("rejects", 1);
    let info = commit.iter().find_map(|a| a.get("commitInfo")).unwrap();
    assert_eq!((&info["operation"], &info["operationParameters"]["version"]), (&json!("REPLAY"), &json!("0")));
    let count = |name: &str| info["operationMetrics"][name].as_str().unwrap_or_default().to_string();
    let counts = ["numReplayedRows", "numPassedRows", "numRejectedRows", "numDroppedRows"].map(count);
    assert_eq!(counts, ["3", "2", "1", "0"]);
    project.table("readings", "id: integer, value: double?", &[r#"{"id":7,"value":7.0}"#, r#"{"id":3,"value":1.0}"#]);
    project.run("p.flow");
    assert_eq!((ids(&project, "out"), ids(&project, "rejects")), (vec![1, 2, 3, 3], vec![4, 7]));
}

#[test]
fn a_second_replay_takes_what_is_left_and_rows_keep_their_epoch() {
    let project = project();
    project.table("readings", "id: integer, value: double?", &[r#"{"id":9,"value":9.0}"#]);
    project.run("p.flow");
    let (first, _) = replay(&project, &[]);
    assert_eq!(
        first,
        json!({ "table": "rejects", "sink": "rejects", "flow": "clean", "left_out": [], "number": 1,
            "replayed": 4, "passed": 0, "rejected": 4, "dropped": 0 })
    );
    let epochs = |project: &Project| {
        let row = |r: &Value| (r["id"].as_i64().unwrap(), r["_epoch"].as_i64().unwrap(), r["_failed"].to_string());
        let mut rows: Vec<_> = project.rows("rejects").iter().map(row).collect();
        rows.sort();
        rows
    };
    let expected = [
        (2, 1, r#"["known","odd"]"#.to_string()),
        (3, 1, r#"["in_range"]"#.to_string()),
        (4, 1, r#"["known","odd"]"#.to_string()),
        (9, 2, r#"["known"]"#.to_string()),
    ];
    assert_eq!(epochs(&project), expected);
    project.table("device", "id: integer", &[r#"{"id":2}"#, r#"{"id":4}"#, r#"{"id":9}"#]);
    let (second, _) = replay(&project, &[]);
    assert_eq!((&second["number"], &second["passed"], &second["rejected"]), (&json!(2), &json!(3), &json!(1)));
    let (third, _) = replay(&project, &[]);
    assert_eq!((&third["passed"], &third["rejected"]), (&json!(0), &json!(1)));
    assert_eq!((ids(&project, "out"), ids(&project, "rejects")), (vec![1, 2, 4, 9], vec![3]));
}

#[test]
fn nothing_is_left_to_replay() {
    let project = project();
    project.write(
        "p.flow",
        &PROGRAM
            .replace("known: id in device.id else quarantine", "known: id > 0 else quarantine")
            .replace("100", "1000"),
    );
    replay(&project, &[]);
    assert_eq!((ids(&project, "out"), ids(&project, "rejects")), (vec![1, 2, 3, 4], vec![]));
    let before = project.version("out");
    let ran = project.flowc(&["replay", "rejects"]).expect(0);
    assert!(ran.stderr.contains("rejects: no rows to replay"), "{}", ran.stderr);
    assert_eq!(project.version("out"), before);
}
