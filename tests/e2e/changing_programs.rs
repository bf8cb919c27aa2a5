//! Programs over rows that change, through every command: checked, locked, planned, run, built, looked at, and changed while they remember something.

use crate::support::{Project, Ran};
use serde_json::Value;
use std::process::Command;

const COLUMNS: &str = "id: long, site: string, v: double";

const PROGRAM: &str = "source t = delta(\"t\") { changes by id }\ntable place = delta(\"place\")\n\
    flow placed = t |> join place on place.name == site |> select id, v, label = place.label\n\
    flow sums = t |> aggregate n = count(), total = sum(v) by site\n\
    sink placed = placed -> delta(\"placed\") { mode merge on id }\n\
    sink sums = sums -> delta(\"sums\") { mode merge on site }\n\
    sink versions = t -> delta(\"versions\") { mode scd2 on id }\n";

fn project() -> Project {
    let project = Project::new();
    project.table("t", COLUMNS, &[r#"{"id":1,"site":"a","v":1.0}"#, r#"{"id":2,"site":"b","v":2.0}"#]);
    let places = [r#"{"name":"a","label":"north"}"#, r#"{"name":"b","label":"south"}"#];
    project.table("place", "name: string, label: string", &places);
    project.write("p.flow", PROGRAM);
    project
}

/// Updates rows of `t` by their id.
fn update(project: &Project, row: &str) {
    let count = std::fs::read_dir(project.path().join("seed/updates")).map_or(0, Iterator::count);
    project.write(&format!("seed/updates/{count:04}.json"), &format!("{row}\n"));
    let program = format!(
        "source rows = json(\"seed/updates/*.json\") {{ schema {{ {COLUMNS} }} }}\n\
         sink updated = rows -> delta(\"t\") {{ mode merge on id }}\n"
    );
    project.write("update.flow", &program);
    project.run("update.flow");
}

fn labels(project: &Project) -> Vec<String> {
    project.rows("placed").iter().map(|row| format!("{} {}", row["id"], row["label"].as_str().unwrap())).collect()
}

#[test]
fn every_command_knows_it() {
    let project = project();
    project.flowc(&["check", "p.flow"]).expect(0);
    project.flowc(&["check", "--locked", "p.flow"]).expect(0);
    assert!(project.flowc(&["plan", "p.flow"]).expect(0).stdout.contains("has not run yet"));
    project.run("p.flow");
    assert_eq!(labels(&project), ["1 north", "2 south"]);
    let plan = project.flowc(&["plan", "p.flow", "--format", "json"]).expect(0).json();
    let fates: Vec<_> = plan["steps"].as_array().unwrap().iter().map(|step| step["fate"].as_str().unwrap()).collect();
    assert_eq!(fates, ["kept", "kept"], "{plan:#}");
    // The targets are there now, and the lock of before their time still fits.
    project.flowc(&["check", "--locked", "p.flow"]).expect(0);
    update(&project, r#"{"id":1,"site":"b","v":10.0}"#);
    project.run("p.flow");
    assert_eq!(labels(&project), ["1 south", "2 south"]);
    let status = project.flowc(&["status", "p.flow"]).expect(0).stdout;
    assert!(status.contains("aggregate  sums |> aggregate") && !status.contains("unique"), "{status}");
    assert!(!status.contains("no time is known"), "nothing waits for time: {status}");
}

#[test]
fn a_built_executable_goes_on_with_it() {
    let project = project();
    project.run("p.flow");
    project.flowc(&["build", "p.flow", "-o", "built"]).expect(0);
    let built = |words: &[&str]| Ran::of(Command::new(project.path().join("built/p")).args(words).env("NO_COLOR", "1"));
    built(&["check", "--locked"]).expect(0);
    update(&project, r#"{"id":2,"site":"a","v":20.0}"#);
    built(&[]).expect(0);
    assert_eq!(labels(&project), ["1 north", "2 north"]);
    assert_eq!(project.rows("versions").len(), 3);
    built(&["--since", "t=version", "1"]).expect(1);
    built(&["--full-refresh=placed"]).expect(0);
    assert_eq!(labels(&project), ["1 north", "2 north"]);
    assert!(built(&["status"]).expect(0).stdout.contains("epoch 3 is committed"));
}

#[test]
fn a_step_that_changes_is_computed_again_and_cannot_be_drained() {
    let project = project();
    project.run("p.flow");
    let cases =
        [("sum(v)", "max(v)", "sums |> aggregate"), ("|> join place", "|> left join place", "placed |> join table")];
    for (old, new, step) in cases {
        let text =
            project.read("p.flow").replace(old, new).replace("label = place.label", "label = place.label ?? \"\"");
        project.write("p.flow", &text);
        let plan = project.flowc(&["plan", "p.flow"]).expect(1).stdout;
        assert!(plan.contains(&format!("--rebuild \"{step}\"")) && !plan.contains("--drain"), "{plan}");
        let refused = project.flowc(&["run", "p.flow"]).expect(1).stderr;
        assert!(refused.contains("R0412") && !refused.contains("--drain"), "{refused}");
        project.flowc(&["run", "p.flow", "--rebuild", step]).expect(0);
    }
    let totals: Vec<Value> = project.rows("sums").iter().map(|row| row["total"].clone()).collect();
    assert_eq!(totals, [1.0, 2.0]);
    update(&project, r#"{"id":1,"site":"z","v":10.0}"#);
    project.run("p.flow");
    assert_eq!(labels(&project), ["1 ", "2 south"]);
}
