//! `flowc check` and `flowc explain`: text and JSON, exit statuses.

use crate::support::Project;

const WRONG: &str = r#"
source sensor = delta("warehouse/sensor")
flow clean = sensor |> where valeu > 1 |> extend x = id + "a"
sink out = clean -> console()
"#;

#[test]
fn a_right_program_is_fine() {
    let project = Project::example("sensor");
    let before = project.files();
    let ran = project.flowc(&["check", "sensor.flow", "append.flow"]).expect(0);
    assert_eq!(ran.stdout, "");
    assert_eq!(project.files(), before, "checking changes nothing");
    let json = project.flowc(&["check", "--format", "json", "sensor.flow"]).expect(0).json();
    let proved = serde_json::json!([{
        "name": "plausible",
        "sink": "sensor_result",
        "kind": "constraint",
        "condition": "celsius > -273.15",
        "facts": [
            "value between -40 and 999 (`where` of `clean`, sensor.flow:22)",
            "celsius = (value - 32.0) * 5.0 / 9.0 (`extend` of `clean`, sensor.flow:23)"
        ],
        "file": "sensor.flow",
        "start": { "line": 35, "column": 27 },
    }]);
    assert_eq!(json, serde_json::json!({ "diagnostics": [], "proved": proved }));
    let explained = project.flowc(&["explain", "sensor.flow"]).expect(0);
    let guarantees = explained.stdout.split("\nguarantees\n").nth(1).expect("a section");
    assert!(guarantees.contains("proved      constraint `plausible` of sink `sensor_result`"), "{guarantees}");
    assert!(!explained.stdout.contains("stops at a row that breaks"), "no test is compiled: {}", explained.stdout);
}

/// The facts are true of the rows: what is written keeps the table's constraints, though no row was tested.
#[test]
fn what_is_proved_refuted_and_open_of_a_table_that_exists() {
    let project = Project::example("sensor");
    project.run("sensor.flow");
    let flow = |steps: &str| {
        format!(
            "source sensor = delta(\"warehouse/sensor\")\nflow f = sensor |> where value is not null {steps}\n    \
             |> extend at = timestamp_millis(timestamp), celsius = value - 300, level = 1, slot = 0 as long\n\
             sink out = f -> delta(\"warehouse/sensor_result\")"
        )
    };
    let check = |steps: &str, status: i32| {
        project.write("more.flow", &flow(steps));
        project.flowc(&["check", "more.flow"]).expect(status)
    };
    let open = check("", 0);
    assert!(open.stdout.contains("W0821") && open.stdout.contains("expect { plausible: celsius > "), "{}", open.stdout);
    assert!(open.stderr.ends_with("proved, 1 open\n"), "{}", open.stderr);
    let refuted = check("|> where value < 0", 1);
    assert!(refuted.stdout.contains("E0821") && refuted.stdout.contains("celsius: -3"), "{}", refuted.stdout);
    let proved = check("|> where value between 100 and 200", 0);
    assert!(proved.stderr.ends_with("proved\n") && proved.stdout.is_empty(), "{}{}", proved.stdout, proved.stderr);
}

#[test]
fn mistakes_are_shown_at_their_places() {
    let project = Project::example("sensor");
    project.write("wrong.flow", WRONG);
    let ran = project.flowc(&["check", "wrong.flow"]).expect(1);
    assert!(ran.stdout.contains("valeu") && ran.stdout.contains("wrong.flow:3"), "{}", ran.stdout);
    assert!(ran.stdout.contains("value"), "did you mean: {}", ran.stdout);
    let json = project.flowc(&["check", "--format", "json", "wrong.flow"]).expect(1).json();
    let found = json["diagnostics"].as_array().unwrap();
    assert_eq!(found.len(), 2, "two independent mistakes, two diagnostics: {json:#}");
    let first = &found[0];
    assert_eq!(first["severity"], "error");
    assert_eq!(first["file"], "wrong.flow");
    assert_eq!(first["start"], serde_json::json!({ "line": 3, "column": 30 }));
    assert_eq!(first["end"], serde_json::json!({ "line": 3, "column": 35 }));
    for key in ["code", "message", "help", "labels"] {
        assert!(first.get(key).is_some(), "no {key} in {first}");
    }
}

#[test]
fn every_code_that_is_reported_has_a_page() {
    let project = Project::example("sensor");
    project.write("wrong.flow", WRONG);
    let json = project.flowc(&["check", "--format", "json", "wrong.flow"]).expect(1).json();
    for diagnostic in json["diagnostics"].as_array().unwrap() {
        let page = project.flowc(&["explain", diagnostic["code"].as_str().unwrap()]).expect(0);
        assert!(page.stdout.lines().count() > 3, "{}", page.stdout);
    }
}

#[test]
fn a_wrong_program_does_not_run() {
    let project = Project::example("sensor");
    project.write("wrong.flow", WRONG);
    let before = project.files();
    let ran = project.flowc(&["run", "wrong.flow"]).expect(1);
    assert_eq!(ran.stdout, "");
    assert!(ran.stderr.contains("valeu"), "{}", ran.stderr);
    assert_eq!(project.files(), before);
    let json = project.flowc(&["run", "wrong.flow", "--format", "json"]).expect(1).json();
    assert_eq!(json["diagnostics"].as_array().map(Vec::len), Some(2), "{json:#}");
}

#[test]
fn an_aggregate_by_nothing_is_a_mistake() {
    let project = Project::example("sensor");
    project.write(
        "by.flow",
        "table t = delta(\"warehouse/sensor\")\nflow f = t |> aggregate n = count() by\nsink out = f -> console()\n",
    );
    let json = project.flowc(&["check", "--format", "json", "by.flow"]).expect(1).json();
    assert_eq!(json["diagnostics"][0]["code"], "E0101", "{json:#}");
    assert_eq!(json["diagnostics"][0]["start"], serde_json::json!({ "line": 2, "column": 37 }));
}

#[test]
fn explanations_are_documents_too() {
    let project = Project::example("sensor");
    let plan = project.flowc(&["explain", "sensor.flow", "--format", "json"]).expect(0).json();
    assert_eq!(plan["pipeline"], "sensor", "{plan:#}");
    let page = project.flowc(&["explain", "e0204", "--format", "json"]).expect(0).json();
    assert_eq!(page["code"], "E0204");
    assert!(page["page"].as_str().is_some_and(|p| p.contains("```")), "{page:#}");
}

#[test]
fn what_does_not_exist_has_its_status() {
    let project = Project::example("sensor");
    project.write("table.flow", "source s = delta(\"warehouse/sensr\")\nsink out = s -> console()\n");
    let ran = project.flowc(&["check", "table.flow"]).expect(1);
    assert!(ran.stdout.contains("sensor"), "the nearest table is offered: {}", ran.stdout);
    project
        .write("used.flow", "use \"unit.flow\"\nsource s = delta(\"warehouse/sensor\")\nsink out = s -> console()\n");
    project.flowc(&["check", "used.flow"]).expect(1);
    let ran = project.flowc(&["check", "nothing.flow"]).expect(2);
    assert!(ran.stderr.contains("nothing.flow"), "{}", ran.stderr);
    std::fs::write(project.path().join("binary.flow"), b"\xff\xfe").unwrap();
    let ran = project.flowc(&["check", "binary.flow"]).expect(1);
    assert!(ran.stderr.contains("UTF-8"), "{}", ran.stderr);
}

#[test]
fn what_comes_later_says_so() {
    let project = Project::example("sensor");
    let program = "source s = delta(\"warehouse/sensor\")\ntable d = delta(\"warehouse/sensor\")\n\
                   flow f = s |> full join d on d.id == id\nsink out = f -> delta(\"warehouse/new\")\n";
    project.write("later.flow", program);
    let json = project.flowc(&["check", "--format", "json", "later.flow"]).expect(1).json();
    let codes: Vec<&str> =
        json["diagnostics"].as_array().unwrap().iter().map(|d| d["code"].as_str().unwrap()).collect();
    assert_eq!(codes.len(), 1, "{json:#}");
    assert!(codes[0].starts_with("E07"), "{json:#}");
}

#[test]
fn every_stage_can_be_seen() {
    let project = Project::example("sensor");
    let plan = project.flowc(&["explain", "sensor.flow"]).expect(0);
    for word in ["sensor_result", "celsius", "double"] {
        assert!(plan.stdout.contains(word), "no {word} in\n{}", plan.stdout);
    }
    for stage in ["ast", "types", "graph", "plan", "clif", "asm"] {
        let ran = project.flowc(&["explain", "sensor.flow", "--stage", stage]).expect(0);
        assert!(ran.stdout.lines().count() > 5, "{stage}:\n{}", ran.stdout);
    }
}

#[test]
fn what_an_epoch_did_stands_beside_the_plan() {
    let project = Project::example("sensor");
    project.write(
        "hot.flow",
        "source s = delta(\"warehouse/sensor\")\nflow hot = s |> where value > 250.0 |> extend twice = value * 2.0\n\
         flow mean = hot |> aggregate mean = avg(twice)\nsink out = mean -> delta(\"warehouse/hot\") { mode overwrite }\n",
    );
    let explain = ["explain", "hot.flow", "--analyze"];
    let before = project.flowc(&explain).expect(0);
    assert!(before.stderr.contains("no epoch has run yet"), "{}", before.stderr);
    assert!(before.stdout.contains("estimate    at most 5 rows"), "{}", before.stdout);
    assert!(!before.stdout.contains("actual"), "{}", before.stdout);
    project.flowc(&["run", "hot.flow"]).expect(0);
    let after = project.flowc(&explain).expect(0);
    assert_eq!(after.stderr, "");
    let lines: Vec<&str> = after.stdout.lines().filter(|line| line.contains("actual")).map(str::trim_start).collect();
    let json = project.flowc(&["explain", "hot.flow", "--analyze", "--format", "json"]).expect(0).json();
    let kept = json["steps"][0]["actual"]["rows_out"].as_u64().unwrap();
    assert_eq!(kept, 3, "{json:#}");
    let read = json["inputs"][0]["actual"]["rows_out"].as_u64().unwrap();
    assert_eq!(json["steps"][0]["actual"]["rows_in"].as_u64(), Some(read));
    assert_eq!(json["analysis"]["epoch"], 1);
    let starts = [
        format!("actual      {read} rows, read in "),
        format!("actual      {read} rows in, {kept} out ({:.1}%), ", kept as f64 * 100.0 / read as f64),
        format!("actual      {kept} rows in, 1 out "),
        "actual      1 row, written in ".to_string(),
    ];
    assert_eq!(lines.len(), starts.len(), "{}", after.stdout);
    for (line, start) in lines.iter().zip(&starts) {
        assert!(line.starts_with(start), "`{line}` should begin with `{start}`");
    }
    let program = std::fs::read_to_string(project.path().join("hot.flow")).unwrap();
    project
        .write("hot.flow", &program.replace("flow mean = hot", "flow means = hot").replace("= mean ->", "= means ->"));
    let renamed = project.flowc(&explain).expect(0);
    assert!(renamed.stderr.contains("another form of the program"), "{}", renamed.stderr);
    project.flowc(&["explain", "hot.flow", "--analyze", "--stage", "graph"]).expect(2);
}

#[test]
fn an_unknown_code_offers_the_nearest() {
    let project = Project::new();
    let ran = project.flowc(&["explain", "E0299"]).expect(2);
    assert!(ran.stderr.contains("E02"), "{}", ran.stderr);
}

#[test]
fn a_proof_does_not_outlive_what_it_rests_on() {
    let project = Project::new();
    project.table("t", "id: long, value: double", &[r#"{"id": 1, "value": 2.5}"#]);
    project.alter("t", "ADD CONSTRAINT", |m| m["configuration"]["delta.constraints.sane"] = "value > 0".into());
    project.alter("t", "ADD CONSTRAINT", |m| m["configuration"]["delta.constraints.other"] = "id > 0".into());
    project.write(
        "p.flow",
        "source s = delta(\"t\")\nflow f = s |> extend twice = value * 2\n\
         sink out = f -> delta(\"out\") { constraint positive: twice > 0 }\n",
    );
    let json = project.flowc(&["check", "--format", "json", "p.flow"]).expect(0).json();
    let facts =
        serde_json::json!(["value > 0.0 (constraint `sane` of `s`)", "twice = value * 2 (`extend` of `f`, p.flow:2)"]);
    assert_eq!(json["proved"][0]["facts"], facts, "{json:#}");
    project.flowc(&["build", "p.flow", "-o", "dist"]).expect(0);
    let built = || {
        let mut command = std::process::Command::new(project.path().join("dist/p"));
        crate::support::Ran::of(command.env("NO_COLOR", "1"))
    };
    built().expect(0);
    // Another constraint may go.
    let without = |m: &mut serde_json::Value, name: &str| {
        m["configuration"].as_object_mut().unwrap().remove(&format!("delta.constraints.{name}"));
    };
    project.alter("t", "DROP CONSTRAINT", |m| without(m, "other"));
    project.table("t", "id: long, value: double", &[r#"{"id": 2, "value": 3.5}"#]);
    built().expect(0);
    project.alter("t", "DROP CONSTRAINT", |m| without(m, "sane"));
    project.table("t", "id: long, value: double", &[r#"{"id": 3, "value": -3.5}"#]);
    // Checked against the table as it is now, the constraint is open, and tested.
    let ran = built().expect(1);
    assert!(ran.stderr.contains("W0821") && ran.stderr.contains("R0105"), "{}", ran.stderr);
    let ran = project.flowc(&["run", "p.flow"]).expect(1);
    assert!(ran.stderr.contains("R0105"), "{}", ran.stderr);
    assert_eq!(project.rows("out").len(), 2);
}

/// What the warning says, and that both of its remedies help.
#[test]
fn a_whole_result_that_is_appended_again_is_a_warning() {
    let program = |watermark: &str, mode: &str| {
        format!(
            "source s = json(\"in/*.json\") {{\n    schema {{ id: long, at: timestamp }}\n    event_time at {watermark}\n}}\n\
             flow days = s |> aggregate n = count() by window tumble(1d)\n\
             sink out = days -> delta(\"out\") {{ {mode} }}\n"
        )
    };
    let mut days = vec![];
    for (watermark, mode, warned) in [("", "", true), ("", "mode overwrite", false), ("watermark 1h", "", false)] {
        let project = Project::new();
        project.write("p.flow", &program(watermark, mode));
        project.write("in/1.json", "{\"id\": 1, \"at\": \"2026-01-01T10:00:00Z\"}\n");
        let ran = project.flowc(&["check", "p.flow"]).expect(0);
        assert_eq!(ran.stdout.contains("W0501"), warned, "{}", ran.stdout);
        project.run("p.flow");
        project.write("in/2.json", "{\"id\": 2, \"at\": \"2026-01-02T10:00:00Z\"}\n");
        project.run("p.flow");
        project.flowc(&["run", "p.flow", "--drain"]).expect(0);
        days.push(project.rows("out").len());
    }
    assert_eq!(days, [3, 2, 2], "the first day is there twice");
}
