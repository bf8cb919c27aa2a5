//! `flowc status`: how far a program has come, from its state alone.

use crate::support::Project;
use serde_json::{Value, json};

const PROGRAM: &str = "\
source s = delta(\"t\")
flow clean = s |> expect { known: value is not null else drop, small: value < 100 }
sink out = clean -> delta(\"out\")
sink shown = clean -> console()
";

fn project() -> Project {
    let project = Project::new();
    project.table("t", "id: long, value: double?", &[r#"{"id": 1, "value": 2.5}"#, r#"{"id": 2, "value": null}"#]);
    project.write("p.flow", PROGRAM);
    project
}

fn status(project: &Project) -> Value {
    project.flowc(&["status", "p.flow", "--format", "json"]).expect(0).json()
}

#[test]
fn a_program_that_has_not_run_has_no_state() {
    let project = project();
    let before = project.files();
    let ran = project.flowc(&["status", "p.flow"]).expect(0);
    assert!(ran.stdout.starts_with("p: has not run yet; its state will be in "), "{}", ran.stdout);
    let document = status(&project);
    assert_eq!(
        (&document["ran"], &document["last_epoch"], &document["epochs"]),
        (&json!(false), &json!(0), &json!([]))
    );
    assert_eq!(project.files(), before, "looking creates nothing");
    project.flowc(&["status", "no.flow"]).expect(2);
}

#[test]
fn positions_epochs_and_counts_are_shown() {
    let project = project();
    project.run("p.flow");
    project.table("t", "id: long, value: double?", &[r#"{"id": 3, "value": 500.0}"#]);
    project.run("p.flow");
    // Neither the tables nor a program without mistakes are needed.
    std::fs::remove_dir_all(project.path().join("t")).unwrap();
    project.write("p.flow", "this is no program");
    let before = project.files();
    let document = status(&project);
    assert_eq!((&document["pipeline"], &document["last_epoch"]), (&json!("p"), &json!(2)));
    let source = &document["sources"][0];
    assert_eq!((&source["name"], &source["positions"][0]["at"]), (&json!("s"), &json!("version 1")));
    assert_eq!(source["positions"][0]["sinks"], json!(["out", "shown"]));
    assert!(source["location"].as_str().unwrap().ends_with("/t"), "{source}");
    let out = &document["sinks"][0];
    assert_eq!((&out["name"], &out["epoch"], &out["version"]), (&json!("out"), &json!(2), &json!(1)));
    let epochs = document["epochs"].as_array().unwrap();
    assert_eq!(epochs.iter().map(|e| e["epoch"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2]);
    assert_eq!((&epochs[1]["sources"][0]["rows"], &epochs[1]["sinks"][0]["rows"]), (&json!(1), &json!(1)));
    let rules = document["expectations"].as_array().unwrap();
    let counts: Vec<_> = rules.iter().map(|r| (r["name"].clone(), r["passed"].clone(), r["failed"].clone())).collect();
    assert_eq!(counts, [(json!("known"), json!(2), json!(1)), (json!("small"), json!(1), json!(2))]);
    assert_eq!((&rules[0]["policy"], &rules[0]["dropped"]), (&json!("drop"), &json!(1)));
    assert_eq!(document["unfinished"], Value::Null);
    let text = project.flowc(&["status", "p.flow"]).expect(0).stdout;
    for part in [
        "p: epoch 2 is committed\n",
        "  source  s  read to version 1",
        "  sink    out    epoch 2, version 1\n",
        "  expect  clean  over all epochs\n",
        "    known  drop        2 passed, 1 failed, 1 dropped\n",
        "  s 1 row (version 1, 1 file) -> out 1 row, 1 file, version 1; shown 1 row\n",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    assert_eq!(project.files(), before);
}

#[test]
fn a_run_may_be_going_on() {
    let project = project();
    project.run("p.flow");
    let state = project.path().join(".flow/p");
    let lock = std::fs::File::open(state.join("lock")).unwrap();
    lock.lock().unwrap();
    project.flowc(&["run", "p.flow"]).expect(1);
    let mut record: Value = serde_json::from_str(&project.read(".flow/p/epochs/1.json")).unwrap();
    (record["epoch"], record["report"]) = (2.into(), Value::Null);
    project.write(".flow/p/epochs/2.json", &record.to_string());
    let document = status(&project);
    assert_eq!((&document["last_epoch"], &document["unfinished"]["epoch"]), (&json!(1), &json!(2)));
    let text = project.flowc(&["status", "p.flow"]).expect(0).stdout;
    assert!(text.contains("epoch 2 was begun ") && text.contains("the next one will finish it"), "{text}");
}

#[test]
fn a_state_that_is_damaged_or_another_programs_is_said_to_be() {
    let project = project();
    project.run("p.flow");
    project.write("q.flow", PROGRAM);
    let ran = project.flowc(&["status", "q.flow", "--state", ".flow/p"]).expect(1);
    assert!(ran.stderr.contains("R0403"), "{}", ran.stderr);
    project.write(".flow/p/checkpoint.json", "{");
    let ran = project.flowc(&["status", "p.flow"]).expect(3);
    assert!(ran.stderr.contains("R0405"), "{}", ran.stderr);
}
