//! Thirty faults planted in a program or its data, and who finds each: `check` before anything runs, `run` while rows come, `test`, or nobody. That more is
//! found, or less, is a change worth seeing.

use crate::support::Project;
use serde_json::Value;

const PROGRAM: &str = r#"
source readings = delta("readings") {
    schema {
        id: integer,
        ms: long,
        value: double?,
        unit: string,
    }
    event_time at = timestamp_millis(ms)
    watermark 1m
}

table device = delta("device")

fn celsius(value: double, unit: string) -> double = if unit == "F" then (value - 32) * 5 / 9 else value

flow clean = readings
    |> expect {
        has_value: value is not null else drop,
        unit: unit in ["C", "F"] else quarantine,
        in_range: value between -100 and 500 else quarantine,
        known: id in device.id else quarantine,
        once: unique (id, ms) within 10m else drop,
    }
    |> extend temperature = celsius(value, unit)
    |> join device on device.id == id
    |> select id, site = device.site, at, temperature

sink out = clean -> delta("out") {
    partition by day = date(at)
    constraint cold: temperature >= -273.15
    constraint hot: temperature < 1000
}

sink rejects = clean.rejected -> delta("rejects")

test "degrees" {
    given device [{ id: 1, site: "north" }]
    given readings [
        { id: 1, ms: 1000, value: 212.0, unit: "F" },
        { id: 1, ms: 2000, value: 20.0, unit: "C" },
        { id: 1, ms: 3000, value: null, unit: "C" },
    ]
    then clean [{ temperature: 100.0, site: "north" }, { temperature: 20.0, site: "north" }]
}
"#;

const READINGS: &str = "id: integer, ms: long, value: double?, unit: string";

/// Who finds a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finder {
    Check,
    Run,
    Test,
    Nobody,
}

/// Where a fault is planted.
enum Fault {
    /// In the program: this text becomes that.
    Text(&'static str, &'static str),
    /// In the data: rows that come after a first run.
    Row(&'static str),
    /// In the tables: the table is another one.
    Table(&'static str, &'static str, &'static str),
}

use Fault::{Row, Table, Text};
use Finder::{Check, Nobody, Run, Test};

const GOOD: &str = r#"{"id":1,"ms":5000,"value":20.0,"unit":"C"}"#;

fn faults() -> Vec<(&'static str, Fault, Finder)> {
    vec![
        (
            "a column was renamed upstream",
            Table(
                "readings",
                "id: integer, ms: long, val: double?, unit: string",
                r#"{"id":1,"ms":1,"val":1.0,"unit":"C"}"#,
            ),
            Check,
        ),
        (
            "a column was dropped upstream",
            Table("readings", "id: integer, ms: long, value: double?", r#"{"id":1,"ms":1,"value":1.0}"#),
            Check,
        ),
        (
            "a column got another type upstream",
            Table(
                "readings",
                "id: string, ms: long, value: double?, unit: string",
                r#"{"id":"1","ms":1,"value":1.0,"unit":"C"}"#,
            ),
            Check,
        ),
        (
            "a column became nullable upstream",
            Table("readings", "id: integer, ms: long, value: double?, unit: string?", GOOD),
            Check,
        ),
        (
            "the joined table lost its column",
            Table("device", "id: integer, place: string", r#"{"id":1,"place":"n"}"#),
            Check,
        ),
        ("a typo in a column", Text("value between", "valeu between"), Check),
        ("a function that does not exist", Text("celsius(value, unit)\n", "celcius(value, unit)\n"), Check),
        ("a number joined to a text", Text("select id,", "select id = id + \"x\","), Check),
        ("the rule against nulls is gone", Text("has_value: value is not null else drop,", ""), Nobody),
        ("the rule against nulls only warns", Text("value is not null else drop", "value is not null"), Nobody),
        ("a set of the wrong type", Text("[\"C\", \"F\"]", "[1, 2]"), Check),
        ("a join on columns of different types", Text("device.id == id", "device.site == id"), Check),
        ("a constraint that no row fulfils", Text("temperature < 1000", "temperature > 1000"), Check),
        ("the range is too wide for the constraint", Text("between -100 and 500", "between -1000 and 5000"), Check),
        ("the range is gone", Text("in_range: value between -100 and 500 else quarantine,", ""), Check),
        ("nobody reads what is quarantined", Text("sink rejects = clean.rejected -> delta(\"rejects\")", ""), Check),
        (
            "a column that the sink's table lacks",
            Text("at, temperature\n", "at, temperature, twice = temperature * 2\n"),
            Check,
        ),
        (
            "a stream that changes is appended",
            Text(
                "    |> select id, site = device.site, at, temperature",
                "    |> aggregate temperature = avg(temperature), at = max(at) by id, site = device.site",
            ),
            Check,
        ),
        ("the table is partitioned in another way", Text("partition by day = date(at)", "partition by site"), Check),
        ("an integer division by zero", Text("select id,", "select id = id div 0,"), Run),
        ("a value that is null", Row(r#"{"id":1,"ms":6000,"value":null,"unit":"C"}"#), Run),
        ("a value out of range", Row(r#"{"id":1,"ms":6000,"value":900.0,"unit":"C"}"#), Run),
        ("a value that is no number", Row(r#"{"id":1,"ms":6000,"value":"NaN","unit":"C"}"#), Run),
        ("a device that nobody knows", Row(r#"{"id":7,"ms":6000,"value":1.0,"unit":"C"}"#), Run),
        ("a unit that does not exist", Row(r#"{"id":1,"ms":6000,"value":1.0,"unit":"K"}"#), Run),
        ("a row that came before", Row(GOOD), Run),
        ("a wrong formula", Text("* 5 / 9", "* 9 / 5"), Test),
        ("branches the wrong way round", Text("unit == \"F\"", "unit == \"C\""), Test),
        ("the range is too narrow", Text("between -100 and 500", "between -100 and 100"), Test),
        // Only because a run of the program as it was came before: what it remembers is of ten minutes.
        ("duplicates are looked for in too short a time", Text("within 10m", "within 10s"), Run),
    ]
}

fn base() -> Project {
    let project = Project::new();
    project.table("readings", READINGS, &[GOOD, r#"{"id":2,"ms":5000,"value":70.0,"unit":"F"}"#]);
    project.table("device", "id: integer, site: string", &[r#"{"id":1,"site":"n"}"#, r#"{"id":2,"site":"s"}"#]);
    project.write("p.flow", PROGRAM);
    project.flowc(&["check", "p.flow"]).expect(0);
    project.run("p.flow");
    project
}

/// Who finds something wrong; none: nobody.
fn found(project: &Project) -> Option<(Finder, String)> {
    let check = project.flowc(&["check", "p.flow", "--format", "json"]);
    if let Some(first) = check.json()["diagnostics"].as_array().and_then(|all| all.first()) {
        return Some((Check, first["code"].as_str().unwrap_or_default().to_string()));
    }
    let run = project.flowc(&["run", "p.flow", "--format", "json"]);
    let summary = run.json_lines().pop().unwrap_or_default();
    let failed = |rule: &&Value| ["failed", "repaired"].iter().any(|count| rule[count].as_u64() > Some(0));
    let rule = summary["expectations"].as_array().and_then(|all| all.iter().find(failed));
    match (run.status, rule) {
        (0, None) => {}
        (0, Some(rule)) => return Some((Run, format!("rule {}", rule["name"].as_str().unwrap_or_default()))),
        _ => return Some((Run, summary["error"]["code"].as_str().unwrap_or_default().to_string())),
    }
    let test = project.flowc(&["test", "p.flow"]);
    (test.status != 0).then(|| (Test, "flowc test".to_string()))
}

/// Adds a row to the readings.
fn append(project: &Project, row: &str) {
    project.write("more/row.json", &format!("{row}\n"));
    let program = format!(
        "source more = json(\"more/*.json\") {{ schema {{ {READINGS} }} }}\nflow all = more\nsink out = all -> delta(\"readings\")\n"
    );
    project.write("more.flow", &program);
    project.run("more.flow");
}

#[test]
fn thirty_planted_faults() {
    assert_eq!(found(&base()), None, "the program is right before anything is planted");
    let (mut score, mut wrong) = (vec![], vec![]);
    for (name, fault, expected) in faults() {
        let project = base();
        match fault {
            Text(from, to) => {
                assert!(PROGRAM.contains(from), "{name}");
                project.write("p.flow", &PROGRAM.replacen(from, to, 1));
                append(&project, r#"{"id":2,"ms":9000,"value":71.0,"unit":"F"}"#);
            }
            Row(row) => append(&project, row),
            Table(table, schema, row) => {
                for made in [table.to_string(), format!("seed/{table}"), format!(".flow/seed_{table}")] {
                    std::fs::remove_dir_all(project.path().join(made)).unwrap();
                }
                project.table(table, schema, &[row]);
            }
        }
        let found = found(&project);
        let finder = found.as_ref().map_or(Nobody, |(finder, _)| *finder);
        let by = found.map_or(String::new(), |(_, by)| format!(" ({by})"));
        println!("{finder:?}{by}: {name}");
        if finder != expected {
            wrong.push(format!("{name}: {finder:?}{by}, expected {expected:?}"));
        }
        score.push(finder);
    }
    let count = |finder| score.iter().filter(|f| **f == finder).count();
    println!(
        "of {}: check {}, run {}, test {}, nobody {}",
        score.len(),
        count(Check),
        count(Run),
        count(Test),
        count(Nobody)
    );
    assert_eq!(score.len(), 30);
    assert!(wrong.is_empty(), "{wrong:#?}");
}
