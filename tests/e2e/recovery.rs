//! Killed and interrupted runs: whatever the moment, the next run leaves each row exactly once. The moments are found by watching what the process did, not
//! by waiting.

use crate::support::{Project, flowc};
use std::io::Read;
use std::process::{Child, Command, Stdio};

/// Starts a run here, its output in pipes.
fn start(project: &Project, program: &str) -> Child {
    let mut command = flowc();
    command.args(["run", program]).current_dir(project.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([format!("-{name}"), child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Waits until the run has recorded what its first epoch reads, or has ended.
fn until_recorded(project: &Project, child: &mut Child, program: &str) {
    let state = project.path().join(".flow").join(program.trim_end_matches(".flow"));
    let recorded = || {
        let entries =
            std::fs::read_dir(&state).map(|d| d.flatten().map(|e| e.path()).collect::<Vec<_>>()).unwrap_or_default();
        let below = entries.iter().filter_map(|p| std::fs::read_dir(p).ok()).flatten().flatten().map(|e| e.path());
        let files: Vec<_> = below.chain(entries.iter().cloned()).filter(|p| p.is_file()).collect();
        files.iter().any(|f| f.extension().is_some_and(|e| e == "json") && f.to_string_lossy().contains("epoch"))
    };
    while !recorded() && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
}

#[test]
fn a_run_killed_before_it_recorded_its_commits_is_finished_by_the_next() {
    let project = Project::new();
    // The console's many lines fill the pipe: the run stands still where it prints them, its tables committed or not.
    project.write(
        "k.flow",
        "source s = generate(rows: 50000)\nflow f = s |> extend half = id / 2\n\
         sink a = f -> delta(\"a\")\nsink b = f -> console()\nsink c = f -> delta(\"c\")\n",
    );
    let mut child = start(&project, "k.flow");
    child.stdout.take().unwrap().read_exact(&mut [0; 1]).unwrap();
    signal(&child, "KILL");
    child.wait().unwrap();
    let finished = project.run("k.flow");
    assert!(finished.stderr.contains("resumed"), "{}", finished.stderr);
    for table in ["a", "c"] {
        assert_eq!(project.rows(table).len(), 50_000, "{table}");
        assert_eq!(project.version(table), Some(0), "{table} has one commit");
    }
    assert_eq!(project.run("k.flow").stdout, "");
}

#[test]
fn malformed_rows_of_a_killed_run_arrive_once() {
    let project = Project::new();
    let lines = (0..50_000).map(|i| if i % 10 == 3 { format!("{i},\"x\n") } else { format!("{i},text {i}\n") });
    project.write("in/a.csv", &format!("id,name\n{}", lines.collect::<String>()));
    project.write(
        "k.flow",
        "source s = csv(\"in/*.csv\") {\n    schema { id: long, name: string }\n    malformed quarantine\n}\n\
         sink bad = s.malformed -> delta(\"bad\")\nsink shown = s -> console()\nsink good = s -> delta(\"good\")\n",
    );
    let mut child = start(&project, "k.flow");
    child.stdout.take().unwrap().read_exact(&mut [0; 1]).unwrap();
    signal(&child, "KILL");
    child.wait().unwrap();
    let finished = project.run("k.flow");
    assert!(finished.stderr.contains("resumed"), "{}", finished.stderr);
    assert_eq!((project.rows("good").len(), project.version("good")), (45_000, Some(0)));
    let mut lines: Vec<i64> = project.rows("bad").iter().map(|r| r["_line"].as_i64().unwrap()).collect();
    lines.sort_unstable();
    assert_eq!(lines, (0..5000).map(|i| i * 10 + 5).collect::<Vec<_>>());
    assert_eq!(project.version("bad"), Some(0));
}

#[test]
fn a_run_killed_while_it_computes_is_run_again() {
    let project = Project::new();
    project.write(
        "k.flow",
        "source s = generate(rows: 2000000)\nflow f = s |> where id % 1000 == 0\nsink a = f -> delta(\"a\")\n",
    );
    let mut child = start(&project, "k.flow");
    until_recorded(&project, &mut child, "k.flow");
    signal(&child, "KILL");
    child.wait().unwrap();
    project.run("k.flow");
    assert_eq!(project.rows("a").len(), 2000);
}

#[test]
fn signals_end_the_work_uncommitted() {
    for (name, status) in [("INT", 130), ("TERM", 143)] {
        let project = Project::new();
        project.write(
            "k.flow",
            "source s = generate(rows: 20000000000)\nflow f = s |> where id % 1000 == 0\nsink a = f -> delta(\"a\")\n",
        );
        let mut child = start(&project, "k.flow");
        until_recorded(&project, &mut child, "k.flow");
        signal(&child, name);
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{name}: {told}");
        assert!(told.contains("not committed"), "{told}");
        assert_eq!(project.version("a"), None);
        let left: Vec<_> =
            project.files().into_keys().filter(|p| p.extension().is_some_and(|e| e == "parquet")).collect();
        assert!(left.is_empty(), "half-written files stay behind: {left:?}");
    }
}

#[test]
fn a_lost_state_directory_stops_the_run() {
    let project = Project::example("sensor");
    project.run("sensor.flow");
    std::fs::remove_dir_all(project.path().join(".flow")).unwrap();
    let ran = project.flowc(&["run", "sensor.flow"]).expect(1);
    assert!(ran.stderr.contains("R0401") && ran.stderr.contains("--full-refresh"), "{}", ran.stderr);
    assert_eq!(project.version("warehouse/sensor_result"), Some(0));
    project.flowc(&["run", "sensor.flow", "--full-refresh"]).expect(0);
    assert_eq!(project.rows("warehouse/sensor_result").len(), 5);
}

#[test]
fn a_source_whose_rows_were_removed_stops_the_run() {
    let project = Project::new();
    project.write("w.flow", "source s = generate(rows: 3)\nsink t = s -> delta(\"t\") { mode overwrite }\n");
    project.run("w.flow");
    project.write("r.flow", "source t = delta(\"t\")\nsink u = t -> delta(\"u\")\n");
    project.run("r.flow");
    project.flowc(&["run", "w.flow", "--full-refresh"]).expect(0);
    let ran = project.flowc(&["run", "r.flow"]).expect(1);
    assert!(ran.stderr.contains("version 1"), "{}", ran.stderr);
    assert_eq!(project.rows("u").len(), 3);
}

#[test]
fn the_state_can_be_elsewhere() {
    let project = Project::example("sensor");
    project.flowc(&["run", "sensor.flow", "--state", "elsewhere"]).expect(0);
    assert!(!project.path().join(".flow").exists());
    let again = project.flowc(&["run", "sensor.flow", "--state", "elsewhere"]).expect(0);
    assert_eq!(again.stdout, "");
}

#[test]
fn json_has_a_line_an_epoch_and_the_summary() {
    let project = Project::new();
    project.table("t", "id: long", &[r#"{"id": 1}"#, r#"{"id": 2}"#]);
    project.write("j.flow", "source t = delta(\"t\")\nflow f = t |> where id > 1\nsink out = f -> delta(\"out\")\n");
    let lines = project.flowc(&["run", "j.flow", "--format", "json"]).expect(0).json_lines();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["epoch"], 1);
    let summary = &lines[1];
    assert_eq!(summary["epochs"], 1);
    assert_eq!((&summary["sources"][0]["name"], &summary["sources"][0]["rows"]), (&"t".into(), &2.into()));
    let sink = &summary["sinks"][0];
    assert_eq!(
        (&sink["name"], &sink["rows"], &sink["files"], &sink["version"]),
        (&"out".into(), &1.into(), &1.into(), &0.into())
    );
    assert_eq!(summary["expectations"], serde_json::json!([]));
    let again = project.flowc(&["run", "j.flow", "--format", "json"]).expect(0).json_lines();
    assert_eq!(again.len(), 1);
    assert_eq!(again[0]["epochs"], 0);
}
