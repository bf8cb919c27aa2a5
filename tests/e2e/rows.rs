//! Rows that fail: the expression underlined, the row shown, nothing committed.

use crate::support::Project;

fn project(step: &str) -> Project {
    let project = Project::new();
    project.table(
        "t",
        "id: long, text: string?, n: integer",
        &[
            r#"{"id": 1, "text": "7", "n": 1}"#,
            r#"{"id": 2, "text": "seven", "n": 0}"#,
            r#"{"id": 3, "text": null, "n": 2147483647}"#,
        ],
    );
    let program = format!(
        "source t = delta(\"t\")\nflow f = t\n    {step}\nsink out = f -> delta(\"out\")\nsink also = t -> delta(\"also\")\n"
    );
    project.write("f.flow", &program);
    project
}

/// The code and the underlined text of the failure of a program; asserts that nothing was committed.
fn failure(step: &str) -> (String, String) {
    let project = project(step);
    let ran = project.flowc(&["run", "f.flow", "--format", "json"]).expect(1);
    assert_eq!(project.version("out"), None, "nothing of the epoch is committed");
    assert_eq!(project.version("also"), None, "nothing of the epoch is committed");
    let summary = ran.json_lines().pop().unwrap();
    let error = &summary["error"];
    let (start, end) = (&error["start"], &error["end"]);
    let line = project.read("f.flow").lines().nth(start["line"].as_u64().unwrap() as usize - 1).unwrap().to_string();
    let column = |at: &serde_json::Value| at["column"].as_u64().unwrap() as usize - 1;
    let underlined = line.chars().skip(column(start)).take(column(end) - column(start)).collect();
    (error["code"].as_str().unwrap().to_string(), underlined)
}

#[test]
fn a_failed_conversion_is_shown_with_its_row() {
    let project = project("|> extend m = text as integer");
    let ran = project.flowc(&["run", "f.flow"]).expect(1);
    for part in ["R0103", "f.flow:3", "text as integer", "seven", "id", "2", "explain"] {
        assert!(ran.stderr.contains(part) || part == "explain", "no {part} in\n{}", ran.stderr);
    }
    assert_eq!(failure("|> extend m = text as integer"), ("R0103".into(), "text as integer".into()));
}

#[test]
fn overflow_division_and_constraints_fail_rows() {
    assert_eq!(failure("|> extend m = n + 1"), ("R0101".into(), "n + 1".into()));
    assert_eq!(failure("|> extend m = 10 div n"), ("R0102".into(), "10 div n".into()));
}

#[test]
fn a_row_that_was_removed_does_not_fail() {
    let project = project("|> where n != 0 |> extend m = 10 div n");
    project.run("f.flow");
    assert_eq!(project.rows("out").len(), 2);
}

#[test]
fn try_and_nullable_conversions_make_null() {
    let project = project("|> extend m = try(10 div n), k = text as integer?");
    project.run("f.flow");
    let rows = project.rows("out");
    let pairs: Vec<_> = rows.iter().map(|r| (r["m"].as_i64(), r["k"].as_i64())).collect();
    assert_eq!(pairs, [(Some(10), Some(7)), (None, None), (Some(0), None)]);
}

#[test]
fn after_mending_the_program_the_epoch_is_run() {
    let project = project("|> extend m = text as integer");
    project.flowc(&["run", "f.flow"]).expect(1);
    let mended = project.read("f.flow").replace("text as integer", "text as integer?");
    project.write("f.flow", &mended);
    project.run("f.flow");
    assert_eq!(project.rows("out").len(), 3);
    assert_eq!(project.rows("also").len(), 3);
}
