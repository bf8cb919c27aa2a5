//! Expectations over real Delta tables: what is kept, what is rejected, what is counted, and what a run says of it.

use crate::support::Project;
use serde_json::{Value, json};

const PROGRAM: &str = "\
source readings = delta(\"readings\")
table device = delta(\"device\")
flow clean = readings
    |> expect {
        has_value: value is not null else drop
        in_range: value between 0 and 100 else repair value = clamp(value, 0, 100)
        known: id in device.id else quarantine
        even: id % 2 == 0
    }
    |> expect { late: id < 10 else quarantine }
sink out = clean -> delta(\"out\")
sink rejects = clean.rejected -> delta(\"rejects\")
";

fn project() -> Project {
    let project = Project::new();
    let rows = [
        r#"{"id":1,"value":10.0}"#,
        r#"{"id":2,"value":null}"#,
        r#"{"id":3,"value":500.0}"#,
        r#"{"id":4,"value":7.0}"#,
        r#"{"id":12,"value":8.0}"#,
    ];
    project.table("readings", "id: integer, value: double?", &rows);
    project.table("device", "id: integer", &[r#"{"id":1}"#, r#"{"id":3}"#, r#"{"id":12}"#]);
    project.write("p.flow", PROGRAM);
    project
}

/// The rules of a document, each in a line.
fn rules(document: &Value) -> Vec<String> {
    let rule = |r: &Value| {
        let counts = ["passed", "failed", "dropped", "quarantined", "repaired"].map(|c| r[c].to_string());
        format!(
            "{}.{} {} {}",
            r["flow"].as_str().unwrap(),
            r["name"].as_str().unwrap(),
            r["policy"].as_str().unwrap(),
            counts.join(" ")
        )
    };
    document["expectations"].as_array().unwrap().iter().map(rule).collect()
}

const COUNTS: [&str; 5] = [
    "clean.has_value drop 4 1 1 0 0",
    "clean.in_range repair 4 1 0 0 1",
    "clean.known quarantine 3 2 0 1 0",
    "clean.even warn 3 2 0 0 0",
    "clean.late quarantine 2 1 0 1 0",
];

#[test]
fn rows_go_where_the_rules_say_and_counts_reconcile() {
    let project = project();
    let ran = project.flowc(&["run", "p.flow", "--format", "json"]).expect(0);
    let documents = ran.json_lines();
    let summary = documents.last().unwrap();
    assert_eq!(rules(summary), COUNTS);
    assert_eq!(rules(&documents[0]), COUNTS);
    let expects = json!([
        { "flow": "clean", "rows": 5, "passed": 3, "dropped": 1, "quarantined": 1 },
        { "flow": "clean", "rows": 3, "passed": 2, "dropped": 0, "quarantined": 1 },
    ]);
    assert_eq!(summary["expects"], expects);
    assert_eq!(
        summary["expectations"][2]["samples"],
        json!([{ "id": "2", "value": "null" }, { "id": "4", "value": "7.0" }])
    );
    assert_eq!(project.rows("out"), [json!({ "id": 1, "value": 10.0 }), json!({ "id": 3, "value": 100.0 })]);
    let rejected = [
        json!({ "id": 12, "value": 8.0, "_failed": ["late"], "_epoch": 1 }),
        json!({ "id": 4, "value": 7.0, "_failed": ["known"], "_epoch": 1 }),
    ];
    assert_eq!(project.rows("rejects"), rejected);
}

#[test]
fn commits_keep_the_counts_and_no_rows() {
    let project = project();
    project.run("p.flow");
    for table in ["out", "rejects"] {
        let commit = project.commit(table, 0);
        let info = commit.iter().find_map(|a| a.get("commitInfo")).unwrap();
        let expects = info["expectations"].as_array().unwrap();
        assert_eq!(expects.len(), 2, "{info}");
        assert_eq!((&expects[0]["rows"], &expects[0]["passed"]), (&json!(5), &json!(3)));
        let known = &expects[0]["rules"][2];
        assert_eq!(
            (&known["name"], &known["quarantined"], &known["samples"]),
            (&json!("known"), &json!(1), &Value::Null)
        );
    }
}

#[test]
fn the_summary_says_what_failed_and_shows_rows() {
    let project = project();
    let ran = project.run("p.flow");
    for part in [
        "expect clean     5 rows = 3 passed + 1 dropped + 1 quarantined",
        "has_value  drop        4 passed, 1 failed, 1 dropped",
        "in_range   repair      4 passed, 1 failed, 1 repaired",
        "rule `known` of `clean`: 2 of 5 rows failed: 1 quarantined",
        "known: id in device.id else quarantine",
        "id = 4, value = 7.0",
    ] {
        assert!(ran.stderr.contains(part), "`{part}` in\n{}", ran.stderr);
    }
    let again = project.run("p.flow");
    assert!(!again.stderr.contains("R0114"), "nothing new, nothing failed:\n{}", again.stderr);
}

#[test]
fn a_share_that_is_too_great_stops_before_anything_is_written() {
    let project = project();
    project.write(
        "s.flow",
        "source readings = delta(\"readings\")\nflow f = readings\n    |> expect {\n        here: value is not null else drop\n        \
         few: share(here) < 10% else fail\n    }\nsink out = f -> delta(\"out\")\n",
    );
    let ran = project.flowc(&["run", "s.flow"]).expect(1);
    assert!(ran.stderr.contains("R0113") && ran.stderr.contains("1 of 5 rows (20.00%)"), "{}", ran.stderr);
    assert_eq!(project.version("out"), None);
    // More rows that pass, and the same program goes on from where it was: at nothing.
    let rows: Vec<String> = (20..40).map(|id| format!("{{\"id\":{id},\"value\":1.0}}")).collect();
    project.table("readings", "id: integer, value: double?", &rows.iter().map(String::as_str).collect::<Vec<_>>());
    project.run("s.flow");
    assert_eq!(project.rows("out").len(), 24);
}

#[test]
fn a_unique_row_is_remembered_across_runs() {
    let project = Project::new();
    let schema = "id: integer, ms: long";
    project.table("readings", schema, &[r#"{"id":1,"ms":0}"#, r#"{"id":2,"ms":1000}"#, r#"{"id":1,"ms":2000}"#]);
    project.write(
        "u.flow",
        "source readings = delta(\"readings\") {\n    event_time at = timestamp_millis(ms)\n    watermark 1s\n}\n\
         flow once = readings |> expect { once: unique (id) within 10s else quarantine } |> drop at\n\
         sink out = once -> delta(\"out\")\nsink again = once.rejected -> delta(\"again\")\n",
    );
    project.run("u.flow");
    assert_eq!(project.rows("out"), [json!({ "id": 1, "ms": 0 }), json!({ "id": 2, "ms": 1000 })]);
    project.table("readings", schema, &[r#"{"id":2,"ms":11000}"#, r#"{"id":1,"ms":10001}"#]);
    project.run("u.flow");
    let kept: Vec<_> = project.rows("out").iter().map(|r| (r["id"].clone(), r["ms"].clone())).collect();
    assert_eq!(kept, [(json!(1), json!(0)), (json!(1), json!(10001)), (json!(2), json!(1000))]);
    assert_eq!(project.rows("again").len(), 2);
    // A damaged memory stops the run before it writes.
    let operators = project.path().join(".flow/u/operators");
    let file = std::fs::read_dir(&operators).unwrap().next().unwrap().unwrap().path();
    std::fs::write(&file, b"damaged").unwrap();
    project.table("readings", schema, &[r#"{"id":3,"ms":12000}"#]);
    let ran = project.flowc(&["run", "u.flow"]).expect(3);
    assert!(ran.stderr.contains("R0405"), "{}", ran.stderr);
    assert_eq!(project.rows("out").len(), 3);
}

#[test]
fn the_statistics_of_a_pinned_version_are_facts() {
    let project = Project::new();
    let schema = "n: integer, day: date?, x: double, text: string?";
    project.table(
        "t",
        schema,
        &[r#"{"n":3,"day":"2026-01-02","x":1.0,"text":"a"}"#, r#"{"n":9,"day":"2026-03-01","x":2.0,"text":"b"}"#],
    );
    project.table("t", schema, &[r#"{"n":-4,"day":null,"x":3.0,"text":"c"}"#]);
    let program = |pin: &str| {
        format!(
            "table t = delta(\"t\"){pin}\nflow f = t\n    |> expect {{\n        low: n >= -4 else drop,\n        high: n <= 9 else drop,\n        higher: n < 9 else drop,\n        \
             early: day is null or day >= @2026-01-02 else drop,\n        text: text is not null else drop,\n        x: x < 10 else drop,\n    }}\nsink out = f -> console()\n"
        )
    };
    let proved = |pin: &str| {
        project.write("p.flow", &program(pin));
        let document = project.flowc(&["check", "p.flow", "--format", "json"]).expect(0).json();
        let rules = document["proved"].as_array().unwrap().iter().filter(|p| p["flow"] == "f");
        rules.map(|p| p["name"].as_str().unwrap().to_string()).collect::<Vec<_>>()
    };
    // Of a double statistics say nothing above: NaN is the greatest, and writers leave it out.
    assert_eq!(proved(" { version 1 }"), ["low", "high", "early", "text"]);
    assert_eq!(proved(" { version 0 }"), ["low", "high", "early", "text"]);
    assert_eq!(proved(" { as of @2100-01-01T00:00:00Z }"), [""; 0], "the version of a time to come is not settled");
    assert_eq!(proved(""), [""; 0], "the newest version does not stay the newest");
    project.write("p.flow", &program(" { version 1 }"));
    let ran = project.flowc(&["run", "p.flow"]).expect(0);
    assert_eq!(ran.stdout.lines().count(), 2, "{}", ran.stdout);
    let explained = project.flowc(&["explain", "p.flow"]).expect(0);
    assert!(explained.stdout.contains("file statistics `n` of `t`"), "{}", explained.stdout);
}
