//! Computing again: one sink of several, a source from an earlier version on, one partition of a table. What was damaged is right afterwards, nothing else is
//! touched, and a run that is killed meanwhile is finished by the next one.

use crate::support::{Project, flowc};
use serde_json::{Value, json};
use std::io::Read;
use std::process::{Command, Stdio};

const COLUMNS: &str = "id: long, site: string, v: double";

/// A project with a table `t` of two commits, and this program.
fn project(program: &str) -> Project {
    let project = Project::new();
    let first = [r#"{"id":1,"site":"a","v":1.0}"#, r#"{"id":2,"site":"b","v":2.0}"#, r#"{"id":3,"site":"a","v":-3.0}"#];
    project.table("t", COLUMNS, &first);
    project.table("t", COLUMNS, &[r#"{"id":4,"site":"a","v":4.0}"#, r#"{"id":5,"site":"c","v":5.0}"#]);
    project.write("p.flow", program);
    project
}

/// Merges rows into the table `t` by their id: rows are updated.
fn update(project: &Project, rows: &[&str]) {
    let count = std::fs::read_dir(project.path().join("seed/updates")).map_or(0, Iterator::count);
    project.write(&format!("seed/updates/{count:04}.json"), &(rows.join("\n") + "\n"));
    let program = format!(
        "source rows = json(\"seed/updates/*.json\") {{ schema {{ {COLUMNS} }} }}\n\
         sink updated = rows -> delta(\"t\") {{ mode merge on id }}\n"
    );
    project.write("update.flow", &program);
    project.run("update.flow");
}

/// Writes rows into a table as another program would, one that has not written to it before.
fn damage(project: &Project, table: &str, columns: &str, mode: &str, rows: &[&str]) {
    let name = format!("damage_{}", project.version(table).unwrap());
    project.write(&format!("{name}/rows.json"), &(rows.join("\n") + "\n"));
    let program = format!(
        "source wrong = json(\"{name}/*.json\") {{ schema {{ {columns} }} }}\n\
         sink wrong = wrong -> delta(\"{table}\") {{ mode {mode} }}\n"
    );
    project.write(&format!("{name}.flow"), &program);
    project.run(&format!("{name}.flow"));
}

/// What the sinks of the program hold, each in a fresh project over the same source.
fn fresh(project: &Project, table: &str) -> Vec<Value> {
    let alone = Project::new();
    let copied = Command::new("cp").arg("-r").arg(project.path().join("t")).arg(alone.path()).status().unwrap();
    assert!(copied.success());
    alone.write("p.flow", &project.read("p.flow"));
    alone.run("p.flow");
    alone.rows(table)
}

fn refused(project: &Project, words: &[&str], code: &str, says: &[&str]) {
    let before = project.files();
    let ran = project.flowc(&[&["run", "p.flow"], words].concat()).expect(1);
    // Help is wrapped.
    let without_spaces = |text: &str| text.split_whitespace().collect::<String>();
    for text in [&[code], says].concat() {
        assert!(without_spaces(&ran.stderr).contains(&without_spaces(text)), "{words:?}: `{text}` in\n{}", ran.stderr);
    }
    let (mut after, mut kept) = (project.files(), before);
    for files in [&mut after, &mut kept] {
        files.retain(|path, _| !path.to_string_lossy().contains(".flow/") && !path.ends_with("flow.lock"));
    }
    assert_eq!(after, kept, "nothing was written: {words:?}");
}

/// The epochs that a table says it has, in the order of its commits.
fn epochs(project: &Project, table: &str, application: &str) -> Vec<u64> {
    let actions = (0..=project.version(table).unwrap()).flat_map(|version| project.commit(table, version));
    let mine = actions.filter(|a| a["txn"]["appId"] == application);
    mine.filter_map(|a| a["txn"]["version"].as_u64()).collect()
}

const TWO: &str = "source t = delta(\"t\")\nflow f = t |> where v > 0\n\
    sink a = f -> delta(\"a\")\nsink b = f -> delta(\"b\")\n";

#[test]
fn a_refresh_of_one_sink_leaves_the_other_alone() {
    let project = project(TWO);
    project.run("p.flow");
    let (before, wanted) = (project.version("b"), project.rows("a"));
    assert_eq!(wanted.len(), 4);
    damage(&project, "a", COLUMNS, "append", &[r#"{"id":9,"site":"z","v":9.0}"#]);
    assert_ne!(project.rows("a"), wanted);
    project.flowc(&["run", "p.flow", "--full-refresh=a"]).expect(0);
    assert_eq!((project.rows("a"), project.version("b")), (wanted, before));
    // Both go on together.
    project.table("t", COLUMNS, &[r#"{"id":6,"site":"a","v":6.0}"#]);
    project.run("p.flow");
    assert_eq!((project.rows("a").len(), project.rows("b").len()), (5, 5));
    refused(&project, &["--full-refresh=c"], "R0414", &["`c`", "`a`, `b`"]);
}

#[test]
fn a_refresh_that_is_killed_before_its_commit_comes_once() {
    let project = Project::new();
    project.write(
        "k.flow",
        "source s = generate(rows: 50000)\nsink a = s -> delta(\"a\")\nsink shown = s -> console()\nsink b = s -> delta(\"b\")\n",
    );
    project.run("k.flow");
    let words = ["run", "k.flow", "--full-refresh=a", "--full-refresh=shown"];
    let mut command = flowc();
    command.args(words).current_dir(project.path()).stdout(Stdio::piped()).stderr(Stdio::null());
    // The console's lines fill the pipe: the run stands still where it prints them, before the epoch is recorded as done.
    let mut child = command.spawn().unwrap();
    child.stdout.take().unwrap().read_exact(&mut [0; 1]).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let finished = project.run("k.flow");
    assert!(finished.stderr.contains("resumed"), "{}", finished.stderr);
    assert_eq!((project.rows("a").len(), project.version("a")), (50_000, Some(1)));
    assert_eq!((project.rows("b").len(), project.version("b")), (50_000, Some(0)));
    assert_eq!(epochs(&project, "a", "k/a"), [1, 2]);
    assert_eq!(project.run("k.flow").stdout, "");
}

const LATEST: &str = "source t = delta(\"t\") { changes by id }\nflow f = t |> extend w = v * 2\n\
    sink latest = f -> delta(\"latest\") { mode merge on id }\n";

#[test]
fn what_is_read_again_repairs_rows_by_their_keys() {
    let project = project(LATEST);
    project.run("p.flow");
    update(&project, &[r#"{"id":1,"site":"a","v":10.0}"#, r#"{"id":7,"site":"b","v":7.0}"#]);
    update(&project, &[r#"{"id":2,"site":"c","v":20.0}"#]);
    project.run("p.flow");
    let wanted = project.rows("latest");
    assert_eq!(wanted, fresh(&project, "latest"));
    let columns = "id: long, site: string, v: double, w: double";
    let wrong = [r#"{"id":1,"site":"x","v":0.0,"w":0.0}"#, r#"{"id":2,"site":"x","v":0.0,"w":0.0}"#];
    damage(&project, "latest", columns, "merge on id", &wrong);
    assert_ne!(project.rows("latest"), wanted);
    // Version 3 changed the row 2 alone.
    project.flowc(&["run", "p.flow", "--since", "version", "3"]).expect(0);
    let still: Vec<Value> = project.rows("latest").into_iter().filter(|row| row["site"] == "x").collect();
    assert_eq!(still.iter().map(|row| &row["id"]).collect::<Vec<_>>(), [1]);
    project.flowc(&["run", "p.flow", "--since", "version", "2"]).expect(0);
    assert_eq!(project.rows("latest"), wanted);
    // Where nothing is wrong it comes to the same, and the next run goes on.
    project.flowc(&["run", "p.flow", "--since", "t=version", "1"]).expect(0);
    assert_eq!(project.rows("latest"), wanted);
    let version = project.version("latest");
    project.run("p.flow");
    assert_eq!(project.version("latest"), version);
}

#[test]
fn what_only_adds_or_remembers_rows_is_not_read_again() {
    let adds = project(TWO);
    adds.run("p.flow");
    refused(&adds, &["--since", "version", "0"], "R0415", &["`a`", "--full-refresh=a"]);
    let sums = project(
        "source t = delta(\"t\") { changes by id }\nflow f = t |> aggregate total = sum(v) by site\n\
         sink sums = f -> delta(\"sums\") { mode merge on site }\n",
    );
    sums.run("p.flow");
    refused(&sums, &["--since", "version", "0"], "R0415", &["f |> aggregate", "--full-refresh=sums"]);
}

#[test]
fn a_first_run_begins_with_the_version_that_is_given() {
    let project = project(TWO);
    project.flowc(&["run", "p.flow", "--since", "version", "1"]).expect(0);
    let ids: Vec<_> = project.rows("a").iter().map(|row| row["id"].as_i64().unwrap()).collect();
    assert_eq!(ids, [4, 5]);
    project.table("t", COLUMNS, &[r#"{"id":6,"site":"a","v":6.0}"#]);
    project.run("p.flow");
    assert_eq!(project.rows("a").len(), 3);
}

#[test]
fn what_is_computed_whole_is_whole_whatever_is_read_again() {
    let whole = "source t = delta(\"t\") { changes by id }\nsink latest = t -> delta(\"latest\") { mode merge on id }\n\
        sink all = t -> delta(\"all\") { mode overwrite }\n";
    for first in [true, false] {
        let project = project(whole);
        if !first {
            project.run("p.flow");
        }
        project.flowc(&["run", "p.flow", "--since", "version", "1"]).expect(0);
        assert_eq!(project.rows("all").len(), 5, "{first}");
        assert_eq!(project.rows("latest").len(), if first { 2 } else { 5 }, "{first}");
    }
}

#[test]
fn a_version_that_is_not_there_cannot_be_read_again() {
    let project = project(LATEST);
    project.run("p.flow");
    let before = project.rows("latest");
    let ran = project.flowc(&["run", "p.flow", "--since", "version", "9"]);
    assert!(ran.status == 1 && ran.stderr.contains("R0222"), "{} {}", ran.status, ran.stderr);
    project.run("p.flow");
    assert_eq!(project.rows("latest"), before);
}

#[test]
fn of_several_sources_one_is_named() {
    let project = project(
        "source t = delta(\"t\") { changes by id }\nsource u = delta(\"u\") { changes by id }\n\
         sink t = t -> delta(\"of_t\") { mode merge on id }\nsink u = u -> delta(\"of_u\") { mode merge on id }\n",
    );
    project.table("u", COLUMNS, &[r#"{"id":1,"site":"u","v":1.0}"#]);
    project.run("p.flow");
    for words in [
        &["--since", "version", "1"][..],
        &["--since", "v=version", "1"],
        &["--since", "t=version", "one"],
        &["--since", "t=vers", "1"],
        &["--since", "t=version"],
        &["--refresh-partition", "t"],
        &["--refresh-partition", "t:site"],
        &["--refresh-partition", "t:site=%zz"],
    ] {
        let ran = project.flowc(&[&["run", "p.flow"], words].concat()).expect(2);
        assert!(ran.stderr.contains("`t`, `u`") || ran.stderr.contains("--"), "{}", ran.stderr);
    }
    let columns = "id: long, site: string, v: double";
    damage(&project, "of_t", columns, "merge on id", &[r#"{"id":4,"site":"x","v":0.0}"#]);
    let (of_t, of_u) = (project.version("of_t"), project.version("of_u"));
    project.flowc(&["run", "p.flow", "--since", "t=version", "1"]).expect(0);
    assert!(project.rows("of_t").iter().all(|row| row["site"] != "x"));
    assert_eq!((project.version("of_t"), project.version("of_u")), (of_t.map(|v| v + 1), of_u));
}

/// Makes of a run's last epoch, the second, what a run leaves that is killed before, or after, the commit of its table: the epoch is recorded, and not known to be done.
fn as_if_killed(project: &Project, (table, version): (&str, u64), checkpoint: &str, committed: bool) {
    let mut record: Value = serde_json::from_str(&project.read(".flow/p/epochs/2.json")).unwrap();
    record["report"] = Value::Null;
    project.write(".flow/p/epochs/2.json", &record.to_string());
    project.write(".flow/p/checkpoint.json", checkpoint);
    assert_eq!(project.version(table), Some(version));
    if !committed {
        std::fs::remove_file(project.path().join(format!("{table}/_delta_log/{version:020}.json"))).unwrap();
    }
}

#[test]
fn what_is_read_again_comes_once_when_it_is_killed() {
    for committed in [false, true] {
        let project = project(LATEST);
        project.run("p.flow");
        let (wanted, checkpoint) = (project.rows("latest"), project.read(".flow/p/checkpoint.json"));
        let columns = "id: long, site: string, v: double, w: double";
        damage(&project, "latest", columns, "merge on id", &[r#"{"id":4,"site":"x","v":0.0,"w":0.0}"#]);
        project.flowc(&["run", "p.flow", "--since", "version", "1"]).expect(0);
        as_if_killed(&project, ("latest", 2), &checkpoint, committed);
        assert_eq!(project.rows("latest") == wanted, committed);
        // The next run need not be told.
        let finished = project.run("p.flow");
        assert!(finished.stderr.contains("resumed"), "{}", finished.stderr);
        assert_eq!((project.rows("latest"), project.version("latest")), (wanted, Some(2)));
        assert_eq!(epochs(&project, "latest", "p/latest"), [1, 2]);
    }
}

const PARTED: &str = "source t = delta(\"t\")\nflow f = t |> where v > 0 |> extend w = v * 2\n\
    sink out = f -> delta(\"out\") { partition by site }\nsink other = f -> delta(\"other\")\n";
const PARTED_COLUMNS: &str = "id: long, site: string, v: double, w: double";

/// A project whose sink `out` has wrong rows in its partition `a`, and what it held before.
fn damaged(program: &str) -> (Project, Vec<Value>) {
    let project = project(program);
    project.run("p.flow");
    let wanted = project.rows("out");
    let wrong = [r#"{"id":1,"site":"a","v":0.0,"w":0.0}"#, r#"{"id":8,"site":"a","v":8.0,"w":8.0}"#];
    damage(&project, "out", PARTED_COLUMNS, "overwrite partition", &wrong);
    assert_ne!(project.rows("out"), wanted);
    (project, wanted)
}

#[test]
fn a_partition_is_computed_again_and_nothing_else() {
    let (project, wanted) = damaged(PARTED);
    // What is new by then is not part of it: it comes as ever, in the epoch after.
    project.table("t", COLUMNS, &[r#"{"id":6,"site":"a","v":6.0}"#, r#"{"id":7,"site":"b","v":7.0}"#]);
    let ran = project.flowc(&["run", "p.flow", "--refresh-partition", "out:site=a", "--format", "json"]).expect(0);
    let lines = ran.json_lines();
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert_eq!(lines[0]["sinks"].as_array().unwrap().len(), 1);
    assert_eq!((&lines[0]["sinks"][0]["name"], &lines[0]["sinks"][0]["rows"]), (&json!("out"), &json!(2)));
    assert_eq!(lines[1]["sources"][0]["rows"], 2);
    let repaired = project.commit("out", 2);
    let paths = |what: &str| -> Vec<String> {
        let files = repaired.iter().filter_map(|action| action.get(what));
        files.map(|file| file["path"].as_str().unwrap().to_string()).collect()
    };
    assert!(!paths("add").is_empty() && paths("add").iter().all(|path| path.starts_with("site=a/")), "{repaired:#?}");
    assert!(!paths("remove").is_empty() && paths("remove").iter().all(|path| path.starts_with("site=a/")));
    assert_eq!(epochs(&project, "out", "p/out"), [1, 2, 3]);
    let (new, old): (Vec<_>, Vec<_>) = project.rows("out").into_iter().partition(|r| r["id"].as_i64() > Some(5));
    assert_eq!((old, new.len()), (wanted, 2));
    assert_eq!(epochs(&project, "other", "p/other"), [1, 3]);
    assert_eq!(project.rows("other").len(), 6);
    // Positions are where they were.
    assert_eq!(project.flowc(&["run", "p.flow", "--format", "json"]).expect(0).json()["epochs"], 0);
}

#[test]
fn a_partition_that_is_to_be_empty_is_emptied() {
    let (project, wanted) = damaged(PARTED);
    damage(&project, "out", PARTED_COLUMNS, "overwrite partition", &[r#"{"id":1,"site":"z","v":0.0,"w":0.0}"#]);
    project
        .flowc(&["run", "p.flow", "--refresh-partition", "out:site=z", "--refresh-partition", "out:site=a"])
        .expect(0);
    assert_eq!(project.rows("out"), wanted);
}

#[test]
fn a_partition_epoch_that_is_killed_is_finished() {
    for committed in [false, true] {
        let (project, wanted) = damaged(PARTED);
        let checkpoint = project.read(".flow/p/checkpoint.json");
        project.flowc(&["run", "p.flow", "--refresh-partition", "out:site=a"]).expect(0);
        as_if_killed(&project, ("out", 2), &checkpoint, committed);
        assert_eq!(project.rows("out") == wanted, committed);
        project.table("t", COLUMNS, &[r#"{"id":6,"site":"a","v":6.0}"#]);
        let finished = project.run("p.flow");
        assert!(finished.stderr.contains("resumed"), "{}", finished.stderr);
        let rows = project.rows("out");
        assert_eq!(rows.iter().filter(|row| row["id"] != 6).cloned().collect::<Vec<_>>(), wanted, "{committed}");
        assert_eq!((rows.len(), epochs(&project, "out", "p/out")), (wanted.len() + 1, vec![1, 2, 3]), "{committed}");
    }
}

#[test]
fn partitions_of_generated_columns_and_by_some_of_the_columns() {
    let program = "source t = delta(\"t\")\nflow f = t |> extend w = v * 2\n\
        sink out = f -> delta(\"out\") { partition by site, odd = id % 2 == 1 }\n";
    for (named, left) in [("site=a,odd=true", 1), ("site=a", 0), ("odd=false", 1)] {
        let (project, wanted) = damaged(program);
        project.flowc(&["run", "p.flow", "--refresh-partition", &format!("out:{named}")]).expect(0);
        let wrong = project.rows("out").into_iter().filter(|row| !wanted.contains(row)).count();
        assert_eq!(wrong, left, "{named}");
    }
}

#[test]
fn a_partition_of_a_merge_is_computed_again_where_it_is_part_of_the_key() {
    let program = "source t = delta(\"t\") { changes by id }\nflow f = t |> extend w = v * 2\n\
        sink out = f -> delta(\"out\") { mode merge on site, id partition by site }\n\
        sink by_id = f -> delta(\"by_id\") { mode merge on id partition by site }\n";
    let (project, _) = damaged(program);
    update(&project, &[r#"{"id":4,"site":"b","v":40.0}"#, r#"{"id":3,"site":"a","v":30.0}"#]);
    project.flowc(&["run", "p.flow", "--refresh-partition", "out:site=a"]).expect(0);
    assert_eq!(project.rows("out"), fresh(&project, "out"));
    update(&project, &[r#"{"id":1,"site":"c","v":1.5}"#]);
    project.run("p.flow");
    assert_eq!(project.rows("out"), fresh(&project, "out"));
    refused(&project, &["--refresh-partition", "by_id:site=a"], "R0418", &["`site`", "(id)", "--full-refresh=by_id"]);
}

#[test]
fn a_partition_of_rows_that_are_merged_in_their_order_or_told_by_records() {
    let ordered = "source t = delta(\"t\")\nflow f = t |> extend w = v * 2\n\
        sink out = f -> delta(\"out\") { mode merge on site, id partition by site }\n";
    let (project, wanted) = damaged(ordered);
    project.flowc(&["run", "p.flow", "--refresh-partition", "out:site=a"]).expect(0);
    assert_eq!(project.rows("out"), wanted);
    let records = "source r = json(\"records/*.json\") {\n    schema { op: string, id: long, site: string, v: double, w: double }\n\
        changes from op by id\n}\nsink out = r -> delta(\"out\") { mode merge on site, id partition by site }\n";
    let project = Project::new();
    let record =
        |op: &str, id: i64, v: f64| format!("{{\"op\":\"{op}\",\"id\":{id},\"site\":\"a\",\"v\":{v:?},\"w\":0.0}}\n");
    project.write("records/0.json", &[record("c", 1, 1.0), record("c", 2, 2.0), record("c", 3, 3.0)].concat());
    project.write("p.flow", records);
    project.run("p.flow");
    project.write("records/1.json", &[record("u", 1, 10.0), record("d", 2, 2.0)].concat());
    project.run("p.flow");
    let wanted = project.rows("out");
    assert_eq!(wanted.len(), 2);
    damage(&project, "out", PARTED_COLUMNS, "overwrite partition", &[r#"{"id":2,"site":"a","v":0.0,"w":0.0}"#]);
    project.flowc(&["run", "p.flow", "--refresh-partition", "out:site=a"]).expect(0);
    assert_eq!(project.rows("out"), wanted);
    // What the source remembers is what it was: the row that it takes away is the one that it knows.
    project.write("records/2.json", &[record("u", 3, 30.0), record("u", 1, 11.0)].concat());
    project.run("p.flow");
    let values: Vec<Value> = project.rows("out").iter().map(|row| json!([row["id"], row["v"]])).collect();
    assert_eq!(values, [json!([1, 11.0]), json!([3, 30.0])]);
}

#[test]
fn a_partition_of_a_history_needs_the_changes_from_a_version_on() {
    let program = |start: &str| {
        format!(
            "source t = delta(\"t\") {{ changes by id {start} }}\n\
             sink out = t -> delta(\"out\") {{ mode scd2 on site, id partition by site }}\n"
        )
    };
    let project = project(&program("start version 0"));
    project.run("p.flow");
    update(&project, &[r#"{"id":1,"site":"a","v":10.0}"#]);
    project.run("p.flow");
    let wanted = project.rows("out");
    assert_eq!(wanted.len(), 6);
    let columns = "id: long, site: string, v: double, valid_from: timestamp, valid_to: timestamp?, is_current: boolean";
    let wrong = r#"{"id":1,"site":"a","v":0.0,"valid_from":"2020-01-01T00:00:00Z","valid_to":null,"is_current":true}"#;
    damage(&project, "out", columns, "overwrite partition", &[wrong]);
    project.flowc(&["run", "p.flow", "--refresh-partition", "out:site=a"]).expect(0);
    assert_eq!(project.rows("out"), wanted);
    let now = self::project(&program(""));
    now.run("p.flow");
    refused(&now, &["--refresh-partition", "out:site=a"], "R0418", &["`t`", "start version"]);
}

#[test]
fn what_cannot_be_computed_apart_says_what_to_do_instead() {
    let project = project(
        "source t = delta(\"t\")\nsource u = delta(\"t\") { changes by id }\nflow plain = t |> where v > 0\n\
         flow sums = u |> aggregate total = sum(v) by site\n\
         sink out = plain -> delta(\"out\") { partition by site }\n\
         sink files = plain -> parquet(\"files\")\n\
         sink whole = plain -> delta(\"whole\") { partition by site mode overwrite }\n\
         sink sums = sums -> delta(\"sums\") { mode merge on site partition by site }\n",
    );
    refused(&project, &["--refresh-partition", "out:site=a"], "R0416", &["nothing yet"]);
    project.run("p.flow");
    let cases: [(&str, &str, &[&str]); 7] = [
        ("none:site=a", "R0414", &["`none`", "`out`"]),
        ("out:id=1", "R0416", &["(site), not by `id`"]),
        ("other:id=1", "R0414", &["`other`"]),
        ("files:site=a", "R0416", &["Delta"]),
        ("whole:site=a", "R0418", &["computed whole", "--full-refresh=whole"]),
        ("sums:site=a", "R0417", &["sums |> aggregate", "--full-refresh=sums"]),
        ("out:site=a,id=2", "R0416", &["`id`"]),
    ];
    for (words, code, says) in cases {
        refused(&project, &["--refresh-partition", words], code, says);
    }
    // Of several, none is computed where one cannot be.
    refused(&project, &["--refresh-partition", "out:site=a", "--refresh-partition", "sums:site=a"], "R0417", &[]);
}

#[test]
fn a_partition_whose_source_is_gone_does_not_stand_in_the_way() {
    let (project, _) = damaged(
        "source t = json(\"seed/t/*.json\") { schema { id: long, site: string, v: double } }\nflow f = t |> extend w = v * 2\n\
        sink out = f -> delta(\"out\") { partition by site }\n",
    );
    std::fs::remove_file(project.path().join("seed/t/0000.json")).unwrap();
    let rows = project.rows("out");
    let ran = project.flowc(&["run", "p.flow", "--refresh-partition", "out:site=a"]);
    assert!(ran.status != 0 && ran.stderr.contains("0000.json"), "{} {}", ran.status, ran.stderr);
    assert_eq!(project.rows("out"), rows);
    project.write("seed/t/0009.json", "{\"id\":9,\"site\":\"b\",\"v\":9.0}\n");
    project.run("p.flow");
    assert_eq!(project.rows("out").len(), rows.len() + 1);
}

#[test]
fn files_that_changing_rows_are_looked_up_in_must_stay_as_they_were() {
    let join = "source t = delta(\"t\") { changes by id }\ntable names = csv(\"names.csv\") { schema { site: string, name: string } }\n\
        flow f = t |> join names on names.site == site |> select id, v, name = names.name\n\
        sink latest = f -> delta(\"latest\") { mode merge on id }\n";
    let within = "source t = delta(\"t\") { changes by id }\ntable names = csv(\"names.csv\") { schema { site: string, name: string } }\n\
        flow f = t |> where site in names.site\nsink latest = f -> delta(\"latest\") { mode merge on id }\n";
    for program in [join, within] {
        let project = project(program);
        project.write("names.csv", "site,name\na,north\nb,south\n");
        project.run("p.flow");
        assert_eq!(project.rows("latest").len(), 4);
        update(&project, &[r#"{"id":1,"site":"b","v":10.0}"#]);
        project.run("p.flow");
        // Rows of `c` have a match from now on, and those of `b` none: what was added because of it could no longer be taken away.
        project.write("names.csv", "site,name\na,north\nc,eastern\n");
        project.run("p.flow");
        update(&project, &[r#"{"id":2,"site":"a","v":20.0}"#]);
        refused(&project, &[], "R0132", &["`names`", "`latest`", "--full-refresh=latest", "Delta table"]);
        project.flowc(&["run", "p.flow", "--full-refresh=latest"]).expect(0);
        let ids: Vec<_> = project.rows("latest").iter().map(|row| row["id"].as_i64().unwrap()).collect();
        assert_eq!(ids, [2, 3, 4, 5]);
        update(&project, &[r#"{"id":5,"site":"b","v":50.0}"#]);
        project.run("p.flow");
        assert_eq!(project.rows("latest").len(), 3);
    }
}

#[test]
fn rows_that_are_only_added_are_looked_up_in_files_as_they_are() {
    let project = project(
        "source t = delta(\"t\")\ntable names = csv(\"names.csv\") { schema { site: string, name: string } }\n\
         flow f = t |> join names on names.site == site |> select id, name = names.name\nsink out = f -> delta(\"out\")\n",
    );
    project.write("names.csv", "site,name\na,north\n");
    project.run("p.flow");
    project.write("names.csv", "site,name\na,northern\n");
    project.table("t", COLUMNS, &[r#"{"id":6,"site":"a","v":6.0}"#]);
    project.run("p.flow");
    let names: Vec<Value> = project.rows("out").iter().map(|row| row["name"].clone()).collect();
    assert_eq!(names, ["north", "north", "north", "northern"]);
}
