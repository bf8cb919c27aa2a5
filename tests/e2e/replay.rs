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

#[test]
fn rows_enter_where_they_left_and_go_on_into_all_that_reads_the_flow() {
    let project = Project::new();
    let readings = "id: integer, value: double";
    project.table(
        "readings",
        readings,
        &[r#"{"id":1,"value":1.0}"#, r#"{"id":2,"value":-5.0}"#, r#"{"id":3,"value":200.0}"#],
    );
    project.table("more", readings, &[r#"{"id":10,"value":1.0}"#]);
    let program = |least: &str, most: &str| {
        format!(
            "source readings = delta(\"readings\")\nsource more = delta(\"more\")\n\
             flow clean = readings\n    |> expect {{ low: value > {least} else quarantine, few: share(low) < 1% else warn }}\n    \
             |> extend value = value + 1000\n    |> expect {{ high: value < {most} else quarantine }}\n    |> extend value = value / 2\n\
             flow all = more |> union clean\nflow strict = all |> expect {{ odd: id % 2 == 1 else quarantine }}\n\
             flow sum = clean |> aggregate n = count()\n\
             sink out = strict -> delta(\"out\")\nsink even = strict.rejected -> delta(\"even\")\n\
             sink sum = sum -> delta(\"sum\") {{ mode overwrite }}\nsink rejects = clean.rejected -> delta(\"rejects\")\n"
        )
    };
    project.write("p.flow", &program("0", "1100"));
    project.run("p.flow");
    let held = [
        json!({ "id": 2, "value": -5.0, "_failed": ["low"], "_epoch": 1 }),
        json!({ "id": 3, "value": 1200.0, "_failed": ["high"], "_epoch": 1 }),
    ];
    assert_eq!(project.rows("rejects"), held);
    project.write("p.flow", &program("-10", "1300"));
    let (replayed, ran) = replay(&project, &[]);
    assert_eq!((&replayed["passed"], &replayed["rejected"]), (&json!(2), &json!(0)));
    assert_eq!(replayed["left_out"][0]["sink"], "sum");
    assert!(
        ran.stderr.contains("sink sum gets nothing of the replay: it is computed from the whole"),
        "{}",
        ran.stderr
    );
    // Row 2 went through both expectations, row 3 was not raised again; the other source's row is there once.
    let out = [json!({ "id": 1, "value": 500.5 }), json!({ "id": 3, "value": 600.0 })];
    assert_eq!(project.rows("out"), out);
    let value = |id: i64| {
        let rows = project.rows("even");
        rows.iter().filter(|r| r["id"] == id).map(|r| r["value"].as_f64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!((value(2), value(10)), (vec![497.5], vec![1.0]));
    assert_eq!(project.rows("sum"), [json!({ "n": 1 })]);
}

#[test]
fn which_row_was_the_first_is_not_asked_again() {
    let project = Project::new();
    let rows = [
        r#"{"id":1,"at":"2026-01-01T00:00:00Z","v":1}"#,
        r#"{"id":1,"at":"2026-01-01T00:00:01Z","v":2}"#,
        r#"{"id":2,"at":"2026-01-01T00:00:02Z","v":3}"#,
        r#"{"id":2,"at":"2026-01-01T00:00:03Z","v":4}"#,
    ];
    project.table("in", "id: integer, at: timestamp, v: integer", &rows);
    project.table("device", "id: integer", &[r#"{"id":1}"#]);
    let program = "source in_ = delta(\"in\") { event_time at\n watermark 1h }\ntable device = delta(\"device\")\n\
        flow clean = in_ |> expect {\n    one: unique (id) within 1h else quarantine\n    known: id in device.id else quarantine\n}\n\
        sink out = clean -> delta(\"out\")\nsink rejects = clean.rejected -> delta(\"rejects\")\n";
    project.write("p.flow", program);
    project.run("p.flow");
    project.table("device", "id: integer", &[r#"{"id":2}"#]);
    let (replayed, _) = replay(&project, &[]);
    assert_eq!((&replayed["passed"], &replayed["rejected"]), (&json!(1), &json!(2)));
    let values = |table: &str| project.rows(table).iter().map(|r| r["v"].as_i64().unwrap()).collect::<Vec<_>>();
    let mut out = values("out");
    out.sort_unstable();
    assert_eq!(out, [1, 3], "the first of device 2 passes, its duplicate stays one");
    assert!(project.rows("rejects").iter().all(|r| r["_failed"] == json!(["one"])));
}

#[test]
fn a_row_that_stops_the_replay_leaves_everything_as_it_was() {
    let project = project();
    let stricter = PROGRAM.replace("odd: id % 2 == 1", "odd: id % 2 == 1 else fail");
    project.write("p.flow", &stricter);
    let before = ["out", "rejects"].map(|t| (project.version(t), project.rows(t)));
    let ran = project.flowc(&["replay", "rejects"]).expect(1);
    assert!(ran.stderr.contains("R0112"), "{}", ran.stderr);
    assert_eq!(["out", "rejects"].map(|t| (project.version(t), project.rows(t))), before);
    project
        .write("p.flow", &PROGRAM.replace("known: id in device.id else quarantine", "known: id > 0 else quarantine"));
    let (replayed, _) = replay(&project, &[]);
    assert_eq!((&replayed["number"], &replayed["passed"]), (&json!(1), &json!(2)));
}

#[test]
fn what_cannot_be_replayed_says_why() {
    let project = project();
    let code = |words: &[&str], status: i32, code: &str| {
        let ran = project.flowc(&[&["replay"], words].concat()).expect(status);
        assert!(ran.stderr.contains(code), "{words:?}: {code} in\n{}", ran.stderr);
        ran.stderr
    };
    code(&["nowhere"], 1, "R0221");
    code(&["out"], 1, "R0622");
    let elsewhere = code(&["device"], 1, "R0622");
    assert!(
        elsewhere.contains("no sink of `seed_device` writes")
            || elsewhere.contains("not the rows that a flow rejected")
    );
    code(&["rejects", "--program", "missing.flow"], 2, "cannot read `missing.flow`");
    code(&["rejects", "--param", "x=1"], 2, "--param x");
    project.write("broken.flow", "flow x = nothing |> \n");
    code(&["rejects", "--program", "broken.flow"], 1, "E0");
    // What later steps need and rejected rows lack.
    project.write(
        "q.flow",
        &PROGRAM
            .replace(
                "    |> where value is not null\n",
                "    |> where value is not null\n    |> extend half = value / 2\n",
            )
            .replace("twice = value * 2", "twice = half * 4 |> drop half")
            .replace("delta(\"rejects\")", "delta(\"rejects\") { evolve }"),
    );
    let lacks = code(&["rejects", "--program", "q.flow"], 1, "R0624");
    assert!(lacks.contains("`half` is no column of the"), "{lacks}");
    // The program is found relative to the table, and missed when it is gone.
    std::fs::rename(project.path().join("p.flow"), project.path().join("p2.flow")).unwrap();
    let gone = code(&["rejects"], 1, "R0621");
    assert!(gone.contains("p.flow`, and is not there") && gone.contains("--program FILE"), "{gone}");
    let document = project.flowc(&["replay", "rejects", "--format", "json"]).expect(1).json();
    assert_eq!(document["error"]["code"], "R0621");
}

#[test]
fn the_program_is_found_after_both_have_moved() {
    let project = project();
    let moved = project.path().join("elsewhere");
    std::fs::create_dir(&moved).unwrap();
    for name in ["p.flow", "out", "rejects", "readings", "device", ".flow"] {
        std::fs::rename(project.path().join(name), moved.join(name)).unwrap();
    }
    let table = moved.join("rejects").to_string_lossy().into_owned();
    let ran = project.flowc(&["replay", &table, "--workers", "1", "--memory", "64MiB"]).expect(0);
    assert!(ran.stderr.contains("3 rows = 0 passed + 3 rejected again"), "{}", ran.stderr);
    assert!(moved.join(".flow/p/replay/rejects/checkpoint.json").exists());
}

#[test]
fn a_table_that_only_takes_rows_is_refused_before_anything_is_written() {
    let project = Project::new();
    project.table("readings", "id: integer", &[r#"{"id":1}"#, r#"{"id":20}"#]);
    let program = |most: i64| {
        format!(
            "source readings = delta(\"readings\")\nflow clean = readings |> expect {{ small: id < {most} else quarantine }}\nsink out = clean -> delta(\"out\")\n\
             sink rejects = clean.rejected -> delta(\"rejects\") {{ properties {{ \"delta.appendOnly\": \"true\" }} }}\n"
        )
    };
    project.write("p.flow", &program(10));
    project.run("p.flow");
    project.write("p.flow", &program(30));
    let ran = project.flowc(&["replay", "rejects"]).expect(1);
    assert!(ran.stderr.contains("R0324") && ran.stderr.contains("delta.appendOnly"), "{}", ran.stderr);
    assert_eq!(project.version("out"), Some(0));
}

#[test]
fn what_earlier_steps_guarantee_is_tested_all_the_same() {
    let project = Project::new();
    project.table(
        "readings",
        "id: integer, value: double?",
        &[r#"{"id":1,"value":1.0}"#, r#"{"id":-2,"value":200.0}"#, r#"{"id":-3,"value":null}"#],
    );
    let program = |before: &str, rule: &str| {
        format!(
            "source readings = delta(\"readings\")\nflow clean = readings {before}|> expect {{ known: {rule} else quarantine, small: value is null or value < 500 else drop }}\n\
             sink out = clean -> delta(\"out\") {{ constraint small: value is null or value < 100 }}\n\
             sink rejects = clean.rejected -> delta(\"rejects\")\n"
        )
    };
    project.write("p.flow", &program("", "id > 0"));
    project.run("p.flow");
    // For rows that come through this `where` the constraint is proved; the rejected one did not.
    let mended = program("|> where value is null or value < 100 ", "id > -5");
    project.write("p.flow", &mended);
    let checked = project.flowc(&["check", "p.flow", "--format", "json"]).expect(0).json();
    let proved: Vec<String> =
        checked["proved"].as_array().unwrap().iter().map(|p| format!("{} {}", p["kind"], p["name"])).collect();
    let of_rows = [r#""rule" "small""#, r#""table constraint" "small""#];
    assert!(of_rows.iter().all(|wanted| proved.iter().any(|p| p == wanted)), "{proved:?}");
    let ran = project.flowc(&["replay", "rejects"]).expect(1);
    assert!(ran.stderr.contains("R0105") && ran.stderr.contains("200"), "{}", ran.stderr);
    assert_eq!((ids(&project, "out"), ids(&project, "rejects")), (vec![1], vec![-3, -2]));
    // A repair mends it.
    project.write(
        "p.flow",
        &mended.replace(
            "small: value is null or value < 500 else drop",
            "small: value is null or value < 100 else repair value = 99.0",
        ),
    );
    let (replayed, _) = replay(&project, &[]);
    assert_eq!((&replayed["passed"], &replayed["rejected"]), (&json!(2), &json!(0)));
    assert!(project.rows("out").contains(&json!({ "id": -2, "value": 99.0 })));
}

#[test]
fn a_replay_that_was_stopped_between_two_commits_is_finished_by_the_next() {
    let project = project();
    project.table("device", "id: integer", &[r#"{"id":2}"#]);
    // The version that the table of rejected rows would get cannot be written.
    let blocked = project.path().join("rejects/_delta_log/00000000000000000001.json");
    std::fs::create_dir(&blocked).unwrap();
    let ran = project.flowc(&["replay", "rejects"]).expect(3);
    assert!(ran.stderr.contains("rejects"), "{}", ran.stderr);
    std::fs::remove_dir(&blocked).unwrap();
    assert_eq!((ids(&project, "out"), ids(&project, "rejects")), (vec![1, 2], vec![2, 3, 4]));
    // Another program would let other rows pass; another state knows nothing of it; an ordinary run is not concerned.
    project.write("p.flow", &PROGRAM.replace("100", "1000"));
    let ran = project.flowc(&["replay", "rejects"]).expect(1);
    assert!(ran.stderr.contains("R0409"), "{}", ran.stderr);
    let ran = project.flowc(&["replay", "rejects", "--state", "lost"]).expect(1);
    assert!(ran.stderr.contains("R0410"), "{}", ran.stderr);
    project.write("p.flow", &format!("# The same program.\n\n{PROGRAM}"));
    project.table("readings", "id: integer, value: double?", &[r#"{"id":6,"value":6.0}"#]);
    project.run("p.flow");
    let (finished, ran) = replay(&project, &[]);
    assert_eq!((&finished["number"], &finished["passed"], &finished["rejected"]), (&json!(1), &json!(1), &json!(2)));
    let epoch = &ran.json_lines()[0];
    assert_eq!((&epoch["resumed"], &epoch["epoch"]), (&json!(true), &json!(1)));
    assert_eq!((ids(&project, "out"), ids(&project, "rejects")), (vec![1, 2], vec![3, 4, 6]));
}

#[test]
fn a_row_that_cannot_enter_stops_the_replay() {
    let project = Project::new();
    project.table("readings", "id: integer?", &[r#"{"id":1}"#, r#"{"id":20}"#, r#"{"id":null}"#]);
    let program = |before: &str, first: &str, second: &str| {
        format!(
            "source readings = delta(\"readings\")\nflow clean = readings {before}|> expect {{ {first}: id < 100 else quarantine }}\n    \
             |> expect {{ {second}: id < 10 else quarantine }}\n\
             sink out = clean -> delta(\"out\")\nsink rejects = clean.rejected -> delta(\"rejects\")\n"
        )
    };
    project.write("p.flow", &program("", "a", "b"));
    project.run("p.flow");
    let stops = |says: &str| {
        let ran = project.flowc(&["replay", "rejects"]).expect(1);
        assert!(ran.stderr.contains("R0626") && ran.stderr.contains(says), "{}", ran.stderr);
        assert_eq!((project.version("out"), project.version("rejects")), (Some(0), Some(0)));
    };
    project.write("p.flow", &program("", "a", "c"));
    stops("`_failed` names no rule of `clean`");
    project.write("p.flow", &program("|> where id is not null ", "a", "b"));
    stops("`id` is null");
}
