//! Completion.

use super::support::{Folders, MAIN, cursor, open, open_with, read_tables};
use flowc_ide::{Completion, CompletionKind};

const HEAD: &str = "source readings = delta(\"data/sensor\")\n\ntable device = delta(\"data/device\")\n\n";

fn complete(text: &str) -> Vec<Completion> {
    let (text, at) = cursor(&format!("{HEAD}{text}"));
    open(&text).complete(MAIN, at, &Folders)
}

fn labels(text: &str, kind: CompletionKind) -> Vec<String> {
    complete(text).into_iter().filter(|c| c.kind == kind).map(|c| c.label).collect()
}

fn columns(text: &str) -> Vec<String> {
    labels(text, CompletionKind::Column)
}

#[test]
fn steps_stand_behind_a_pipe() {
    let found = labels("flow a = readings\n    |> $0\n", CompletionKind::Keyword);
    assert!(found.contains(&"where".to_string()) && found.contains(&"left join".to_string()), "{found:?}");
    assert!(columns("flow a = readings\n    |> $0\n").is_empty());
}

#[test]
fn columns_are_those_of_the_step() {
    assert_eq!(columns("flow a = readings\n    |> where $0\n"), ["id", "timestamp", "value"]);
    assert_eq!(columns("flow a = readings\n    |> where id > 1 and va$0\n"), ["id", "timestamp", "value"]);
    assert_eq!(columns("flow a = readings |> select id, x = 1 |> where $0"), ["id", "x"]);
    assert_eq!(columns("flow a = readings |> extend x = 1, y = x$0"), ["x", "id", "timestamp", "value"]);
    assert_eq!(columns("flow a = readings |> drop $0"), ["id", "timestamp", "value"]);
    assert_eq!(columns("flow a = readings |> select id\n\nsink out = a -> delta(\"x\") { partition by $0 }"), ["id"]);
}

#[test]
fn joined_columns_have_the_name_of_the_table() {
    let found = columns("flow a = readings |> left join device on device.id == id |> where $0");
    assert_eq!(found, ["id", "timestamp", "value", "device.id", "device.site", "device.address"]);
    assert_eq!(columns("flow a = readings |> left join device on device.$0"), Vec::<String>::new());
    let found = columns("flow a = readings |> left join device on device.id == id |> where device.$0");
    assert_eq!(found, ["id", "site", "address"]);
}

#[test]
fn columns_are_known_while_the_program_is_broken() {
    let (good, at) = cursor(&format!("{HEAD}flow a = readings |> select id, x = value\n    |> where x > 1.0 $0\n"));
    let mut workspace = open(&good);
    let broken = format!("{} and (\n\nflow ) = =\n", good.trim_end());
    workspace.set_text(MAIN, broken.as_str());
    read_tables(&mut workspace);
    let found = workspace.complete(MAIN, at + 5, &Folders);
    let found: Vec<&str> =
        found.iter().filter(|c| c.kind == CompletionKind::Column).map(|c| c.label.as_str()).collect();
    assert_eq!(found, ["id", "x"]);
}

#[test]
fn functions_are_snippets() {
    let found = complete("fn own(a: long) -> long = a\n\nflow a = readings |> extend x = $0");
    let insert = |label: &str| found.iter().find(|c| c.label == label).map(|c| c.insert.clone());
    assert_eq!(insert("upper").as_deref(), Some("upper(${1:text})"));
    assert_eq!(insert("own").as_deref(), Some("own(${1:a})"));
    assert_eq!(insert("sum"), None);
    let found = complete("flow a = readings |> aggregate x = $0");
    assert!(found.iter().any(|c| c.label == "sum" && c.insert == "sum(${1:x})"));
}

#[test]
fn names_and_words_have_their_places() {
    let relations = |text: &str| labels(text, CompletionKind::Relation);
    assert_eq!(relations("flow a = $0"), ["readings", "device"]);
    assert_eq!(relations("flow a = readings |> left join $0"), ["readings", "device"]);
    assert_eq!(
        labels("sink out = readings -> $0", CompletionKind::Connector),
        ["delta", "parquet", "csv", "json", "console"]
    );
    assert_eq!(labels("source x = csv(\"a\", $0)", CompletionKind::Field), ["header", "delimiter", "quote", "null"]);
    let modes = labels("sink out = readings -> delta(\"x\") { mode $0 }", CompletionKind::Keyword);
    assert_eq!(modes, ["append", "overwrite", "overwrite partition", "merge on", "scd2 on"]);
    let clauses = labels("sink out = readings -> delta(\"x\") {\n    $0\n}", CompletionKind::Keyword);
    assert!(clauses.contains(&"constraint".to_string()), "{clauses:?}");
    let policies = labels("flow a = readings |> expect { x: id > 1 else $0 }", CompletionKind::Keyword);
    assert_eq!(policies, ["warn", "drop", "quarantine", "repair", "fail"]);
    assert!(labels("param x: $0", CompletionKind::Type).contains(&"timestamp".to_string()));
    assert!(labels("$0", CompletionKind::Keyword).contains(&"flow".to_string()));
    assert!(complete("# $0").is_empty());
}

#[test]
fn fields_of_structs() {
    let found = labels(
        "flow a = readings |> left join device on device.id == id |> select id, address = device.address |> where address.$0",
        CompletionKind::Field,
    );
    assert_eq!(found, ["city", "zip"]);
}

#[test]
fn paths_come_from_the_file_system() {
    assert_eq!(labels("source x = delta(\"$0\")", CompletionKind::Folder), ["data/"]);
    assert_eq!(labels("source x = delta(\"data/se$0\")", CompletionKind::Folder), ["device/", "sensor/"]);
    assert_eq!(
        labels("param w: string = \"data\"\nsource x = delta(\"{w}/$0\")", CompletionKind::Folder),
        ["device/", "sensor/"]
    );
    assert_eq!(labels("use \"$0\"", CompletionKind::File), ["library.flow", "main.flow"]);
}

#[test]
fn test_rows_have_the_columns() {
    let found =
        columns("flow a = readings |> select id\n\ntest \"x\" {\n    given readings [\n        { $0 }\n    ]\n}\n");
    assert_eq!(found, ["id", "timestamp", "value"]);
}

#[test]
fn completing_never_panics() {
    let text = format!(
        "{HEAD}flow a = readings |> extend x = \"ä{{id}}\" |> select x, `y z` = [1, {{ a: 2 }}]\n\nsink out = a -> delta(\"x\") {{ mode merge on id }}\n"
    );
    let mut workspace = open_with(&text, &[]);
    for at in 0..=text.len() {
        workspace.complete(MAIN, at, &Folders);
        workspace.hover(MAIN, at);
        workspace.signature_help(MAIN, at);
        workspace.definition(MAIN, at);
    }
    for end in (0..text.len()).filter(|at| text.is_char_boundary(*at)).step_by(3) {
        workspace.set_text(MAIN, &text[..end]);
        workspace.complete(MAIN, end, &Folders);
        workspace.semantic_tokens(MAIN);
        workspace.hints(MAIN, 0..end);
        workspace.folds(MAIN);
        workspace.symbols(MAIN);
    }
}
