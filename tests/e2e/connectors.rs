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
