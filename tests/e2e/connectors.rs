//! CSV, JSON and Parquet, in and out.

use crate::support::{Project, parquet_rows};
use serde_json::json;

/// Every file that a sink made, in the order of the names.
fn made(project: &Project, dir: &str) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(project.path().join(dir)).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|f| f.is_file() && !f.file_name().unwrap().to_string_lossy().starts_with(['.', '_']));
    files.sort();
    files
}

fn text(project: &Project, dir: &str) -> String {
    made(project, dir).iter().map(|f| std::fs::read_to_string(f).unwrap()).collect()
}

#[test]
fn files_are_read_and_written() {
    let project = Project::new();
    project.write("in/a.csv", "id;name;price\n1;\"a;\"\"b\"\"\";1.50\n2;;2.25\n");
    let schema = "schema { id: integer?, name: string?, price: decimal(6, 2)? }";
    project.write(
        "csv.flow",
        &format!(
            "source s = csv(\"in/*.csv\", header: true, delimiter: \";\") {{ {schema} }}\nflow f = s\n\
             sink c = f -> csv(\"out_csv\")\nsink j = f -> json(\"out_json\")\nsink p = f -> parquet(\"out_parquet\")\n"
        ),
    );
    project.run("csv.flow");
    assert_eq!(text(&project, "out_csv"), "id,name,price\n1,\"a;\"\"b\"\"\",1.50\n2,,2.25\n");
    let lines: Vec<serde_json::Value> =
        text(&project, "out_json").lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["name"], "a;\"b\"");
    assert_eq!(lines[1].get("name").cloned().unwrap_or_default(), json!(null));
    let files = made(&project, "out_parquet");
    let rows: Vec<_> = files.iter().flat_map(|f| parquet_rows(f)).collect();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0]["id"], 1);
    assert_eq!(rows[1]["price"].to_string(), "2.25");
}

#[test]
fn what_was_written_is_read_again() {
    let project = Project::new();
    project.write(
        "one.flow",
        "source s = generate(rows: 100)\n\
         flow f = s |> select id, odd = id % 2 == 1, half = id / 2, tags = [\"a{id}\", \"b\"], where_ = { x: id, y: null as string? }\n\
         sink p = f -> parquet(\"p\")\nsink j = f -> json(\"j\")\n",
    );
    project.run("one.flow");
    project.write(
        "two.flow",
        "source p = parquet(\"p/*.parquet\")\n\
         source j = json(\"j/*\") { schema { id: long?, odd: boolean?, half: double?, tags: array<string?>?, where_: struct<x: long?, y: string?>? } }\n\
         flow a = p |> where id == 7\nflow b = j |> where id == 7\nsink out_a = a -> console()\nsink out_b = b -> console()\n",
    );
    let lines = project.run("two.flow").json_lines();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0], lines[1]);
    assert_eq!(lines[0]["half"], 3.5);
    assert_eq!(lines[0]["tags"], json!(["a7", "b"]));
    assert_eq!(lines[0]["where_"]["x"], 7);
}

#[test]
fn a_malformed_field_stops_the_run_with_its_place() {
    let project = Project::new();
    project.write("in/a.csv", "id\n1\ntwo\n");
    project.write(
        "c.flow",
        "source s = csv(\"in/*.csv\") { schema { id: integer? } }\nflow f = s\nsink out = f -> delta(\"out\")\n",
    );
    let ran = project.flowc(&["run", "c.flow"]).expect(1);
    for part in ["a.csv", "two", "3"] {
        assert!(ran.stderr.contains(part), "no {part} in\n{}", ran.stderr);
    }
    assert_eq!(project.version("out"), None);
}

#[test]
fn csv_without_a_schema_is_told_what_the_files_look_like() {
    let project = Project::new();
    project.write("in/a.csv", "id,name\n1,a\n");
    project.write("c.flow", "source s = csv(\"in/*.csv\")\nsink out = s -> console()\n");
    let ran = project.flowc(&["check", "c.flow"]).expect(1);
    assert!(ran.stdout.contains("schema") && ran.stdout.contains("name: string"), "{}", ran.stdout);
}

#[test]
fn generated_rows_are_the_same_in_each_run() {
    let program = "source s = generate(rows: 5, seed: 3) { schema { id: long, x: double?, name: string, day: date } }\nsink out = s -> console()\n";
    let run = || {
        let project = Project::new();
        project.write("g.flow", program);
        project.run("g.flow").stdout
    };
    let first = run();
    assert_eq!(first.lines().count(), 5);
    assert_eq!(run(), first);
}

/// A source of CSV that puts malformed rows aside, and a sink for each of its outputs.
fn quarantine(project: &Project) {
    project.write("in/a.csv", "id,name,note\n1,a,\ntwo,b,\n3,\"c,\n4,d,\n5,e\n");
    project.write("in/b.csv", "id,name,note\n6,f,x\n,g,\n");
    project.write(
        "q.flow",
        "source s = csv(\"in/*.csv\") {\n    schema { id: long, name: string?, note: string? }\n    malformed quarantine\n}\n\
         sink good = s -> delta(\"good\")\nsink bad = s.malformed -> delta(\"bad\")\n",
    );
}

fn malformed(project: &Project) -> Vec<String> {
    let mut rows: Vec<_> = project.rows("bad");
    rows.sort_by_key(|r| (r["_file"].to_string(), r["_line"].as_i64()));
    let shown = |r: &serde_json::Value| {
        let file = r["_file"].as_str().unwrap().rsplit('/').next().unwrap().to_string();
        format!(
            "{file}:{} {} | {} | {}",
            r["_line"],
            r["_raw"].as_str().unwrap(),
            r["_error"].as_str().unwrap(),
            r["_epoch"]
        )
    };
    rows.iter().map(shown).collect()
}

#[test]
fn malformed_rows_are_put_aside_and_counted() {
    let project = Project::new();
    quarantine(&project);
    let check = project.flowc(&["check", "q.flow"]).expect(0);
    assert!(!check.stdout.contains("warning"), "{}", check.stdout);
    let ran = project.run("q.flow");
    assert!(ran.stderr.contains("epoch 1: s 3 rows, 4 malformed -> "), "{}", ran.stderr);
    assert!(ran.stderr.contains("source s     3 rows, 4 malformed (2 files)"), "{}", ran.stderr);
    let first = [
        "a.csv:3 two,b, | column `id`: \"two\" is not of type long | 1",
        "a.csv:4 3,\"c, | a quoted field has no end | 1",
        "a.csv:6 5,e | 2 fields instead of 3 | 1",
        "b.csv:3 ,g, | column `id`: there is no value, and the type is long | 1",
    ];
    assert_eq!(malformed(&project), first);
    // The next run takes the new file alone; its epoch is another.
    project.write("in/c.csv", "note,id,name,more\n,x,y,z\n");
    let lines = project.flowc(&["run", "q.flow", "--format", "json"]).expect(0).json_lines();
    for document in &lines {
        assert_eq!((&document["sources"][0]["rows"], &document["sources"][0]["malformed"]), (&json!(0), &json!(1)));
    }
    let last = "c.csv:2 ,x,y,z | column `id`: \"x\" is not of type long | 2";
    assert_eq!(malformed(&project), [&first[..], &[last]].concat());
    assert_eq!(project.rows("good").len(), 3);
    let record: serde_json::Value = serde_json::from_str(&project.read(".flow/q/epochs/1.json")).unwrap();
    assert_eq!(record["report"]["sources"][0]["malformed"], 4);
    let comments = project.flowc(&["show", "bad"]).expect(0).stdout;
    assert!(comments.contains("_error"), "{comments}");
}

#[test]
fn malformed_rows_arrive_once_whatever_was_committed_before_a_crash() {
    // What a crash between the commits of two sinks leaves behind: the state is that before the run, and one table or both have the epoch.
    for committed in [&["bad"][..], &["good"], &["good", "bad"]] {
        let project = Project::new();
        quarantine(&project);
        project.run("q.flow");
        let (expected, good) = (malformed(&project), project.rows("good").len());
        let path = ".flow/q/epochs/1.json";
        let mut record: serde_json::Value = serde_json::from_str(&project.read(path)).unwrap();
        record["read"] = record["report"]["sources"].take();
        record["report"] = json!(null);
        project.write(path, &record.to_string());
        std::fs::remove_file(project.path().join(".flow/q/checkpoint.json")).unwrap();
        for table in ["good", "bad"].iter().filter(|t| !committed.contains(t)) {
            std::fs::remove_dir_all(project.path().join(table)).unwrap();
        }
        let ran = project.run("q.flow");
        assert!(ran.stderr.contains("(resumed)"), "{}", ran.stderr);
        // What was read is known, even if nothing had to be read again.
        assert!(ran.stderr.contains("source s     3 rows, 4 malformed"), "{committed:?}: {}", ran.stderr);
        assert_eq!(malformed(&project), expected, "{committed:?}");
        assert_eq!(project.rows("good").len(), good, "{committed:?}");
        assert_eq!((project.version("good"), project.version("bad")), (Some(0), Some(0)), "{committed:?}");
    }
}

#[test]
fn without_the_clause_a_malformed_row_stops_the_run_and_offers_it() {
    let project = Project::new();
    quarantine(&project);
    let program = project
        .read("q.flow")
        .replace("    malformed quarantine\n", "")
        .replace("sink bad = s.malformed", "sink bad = s");
    project.write("q.flow", &program);
    let ran = project.flowc(&["run", "q.flow"]).expect(1);
    assert!(ran.stderr.contains("R0205") && ran.stderr.contains("malformed quarantine"), "{}", ran.stderr);
    assert_eq!(project.version("good"), None);
    // A header that lacks a column stops it with the clause, too.
    quarantine(&project);
    project.write("in/0.csv", "name,note\na,b\n");
    let ran = project.flowc(&["run", "q.flow"]).expect(1);
    assert!(ran.stderr.contains("R0207") || ran.stderr.contains("id"), "{}", ran.stderr);
    assert_eq!(project.version("bad"), None);
}
