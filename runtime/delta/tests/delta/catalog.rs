//! What the compiler is told of places with and without tables.

use crate::common::*;
use flowc_delta::{DeltaCatalog, NewTable, create_table_with_rows};
use flowc_ir::catalog::{Catalog, CatalogError, FixedCatalog, TableInfo};
use flowc_ir::plan::{Connector, VersionSpec};
use flowc_ir::{DataType, Schema};
use std::path::Path;
use std::sync::Arc;

fn ask(path: &Path, version: Option<VersionSpec>) -> Result<TableInfo, CatalogError> {
    DeltaCatalog::new(Arc::new(FixedCatalog::default())).table(&at(path), version)
}

fn at(path: &Path) -> Connector {
    Connector::Delta { location: path.to_string_lossy().into_owned() }
}

fn make(path: &Path, table: &NewTable) {
    let rows = vec![vec![numbers(0..3, Some("a"))], vec![numbers(3..5, None)]];
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(create_table_with_rows(&path.to_string_lossy(), table, &rows)).expect("creates");
}

fn plain() -> NewTable {
    NewTable { schema: numbers_schema(), ..NewTable::default() }
}

#[test]
fn places_without_a_table() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    assert_eq!(ask(&path.join("none"), None), Err(CatalogError::NotFound));
    assert_eq!(ask(path, None), Err(CatalogError::NotFound), "an empty folder will become the table");
    std::fs::write(path.join("x.csv"), "a").expect("writes");
    let not = |text: &str| Err(CatalogError::NotATable(text.to_string()));
    assert_eq!(ask(path, None), not("a folder of CSV files without a `_delta_log`"));
    assert_eq!(ask(&path.join("x.csv"), None), not("a file; a Delta table is a folder with a `_delta_log`"));
    make(&path.join("one"), &plain());
    make(&path.join("two %20 words#é?"), &plain());
    assert_eq!(ask(path, None), not("a folder of Delta tables: one, two %20 words#é?"));
    let catalog = DeltaCatalog::new(Arc::new(FixedCatalog::default()));
    let beside = catalog.neighbours(&at(&path.join("onne")));
    let expected = ["one", "two %20 words#é?"].map(|n| path.join(n).to_string_lossy().into_owned());
    assert_eq!(beside, expected);
    std::fs::create_dir_all(path.join("empty/_delta_log")).expect("a folder");
    std::fs::write(path.join("empty/_delta_log/_last_checkpoint"), "").expect("writes");
    assert_eq!(ask(&path.join("empty"), None), not("a folder whose `_delta_log` has no commit"));
    let gopher = Connector::Delta { location: "gopher://x/y".into() };
    assert!(matches!(catalog.table(&gopher, None), Err(CatalogError::Unreachable(why)) if why.contains("gopher")));
}

#[test]
fn what_a_killed_run_left_is_no_table_yet() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    let left = "part-00001-00000-8f14e45f-ceea-467f-a8f0-3c1b9f6d2e11.zstd.parquet";
    std::fs::create_dir_all(path.join("_delta_log")).expect("a folder");
    std::fs::create_dir_all(path.join("day=2026-01-01")).expect("a folder");
    std::fs::write(path.join("day=2026-01-01").join(left), "half").expect("writes");
    std::fs::write(path.join(left), "half").expect("writes");
    assert_eq!(ask(path, None), Err(CatalogError::NotFound));
    std::fs::write(path.join("part-00000.parquet"), "somebody's").expect("writes");
    assert!(matches!(ask(path, None), Err(CatalogError::NotATable(_))));
}

#[test]
fn what_a_table_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let table = NewTable {
        partition_by: vec!["part".into()],
        description: Some("numbers".into()),
        properties: [("delta.appendOnly".to_string(), "true".to_string()), ("owner".into(), "me".into())]
            .into_iter()
            .collect(),
        constraints: vec![("small".into(), "id < 100".into())],
        ..plain()
    };
    make(folder.path(), &table);
    let info = ask(folder.path(), None).expect("a table");
    assert_eq!((info.version, info.rows, info.files.map(|f| f.0)), (Some(1), Some(5), Some(2)));
    assert_eq!((info.schema, info.partition_by), (numbers_schema(), vec!["part".to_string()]));
    assert_eq!(info.constraints, [("small".to_string(), "id < 100".to_string())]);
    assert!(info.append_only && info.properties["owner"] == "me");
    assert_eq!(info.features, ["appendOnly", "checkConstraints", "invariants"]);
    assert_eq!(info.unwritable, Vec::<String>::new());

    assert_eq!(ask(folder.path(), Some(VersionSpec::Number(0))).expect("a version").rows, Some(3));
    let missing = Err(CatalogError::NoSuchVersion { oldest: 0, newest: 1 });
    assert_eq!(ask(folder.path(), Some(VersionSpec::Number(2))), missing);
    assert_eq!(ask(folder.path(), Some(VersionSpec::Timestamp(0))), missing);
    assert_eq!(ask(folder.path(), Some(VersionSpec::Timestamp(i64::MAX))).expect("the newest").version, Some(1));
}

#[test]
fn types_that_flowc_does_not_know_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let schema = Schema::new(vec![column("v", DataType::String)]);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let table = NewTable { schema, ..NewTable::default() };
    let path = folder.path().to_string_lossy().into_owned();
    runtime.block_on(create_table_with_rows(&path, &table, &[vec![]])).expect("creates");
    let commit = folder.path().join("_delta_log/00000000000000000000.json");
    let text = std::fs::read_to_string(&commit).expect("reads");
    std::fs::write(&commit, text.replace(r#"\"string\""#, r#"\"variant\""#)).expect("writes");
    assert_eq!(ask(folder.path(), None), Err(CatalogError::UnknownType("v".into(), "variant".into())));
    std::fs::write(&commit, "{\"metaData\": ").expect("writes");
    assert!(
        matches!(ask(folder.path(), None), Err(CatalogError::Unreachable(why)) if why.contains("version 0 of the log, line 1"))
    );
}

#[test]
fn it_may_be_asked_inside_a_runtime_and_answers_alike() {
    let folder = tempfile::tempdir().expect("a folder");
    make(folder.path(), &plain());
    let catalog = DeltaCatalog::new(Arc::new(FixedCatalog::default()));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let first = runtime.block_on(async { catalog.table(&at(folder.path()), None) });
    make(folder.path(), &plain());
    assert_eq!(catalog.table(&at(folder.path()), None), first);
    assert_eq!(ask(folder.path(), None).expect("a table").version, Some(3));
}
