//! Versions of a table for rows that are looked up as of their time: when they were committed, which are left, and how they are read by a program that knows
//! the table as it is now.

use crate::common::*;
use arrow::array::RecordBatch;
use deltalake::logstore::object_store::ObjectStoreExt;
use deltalake::logstore::object_store::path::Path;
use flowc_delta::log::Snapshot;
use flowc_delta::log::commits::commit_path;
use flowc_delta::{DeltaSink, DeltaTable, Storage};
use flowc_ir::plan::{Connector, SinkSpec, TableSpec};
use flowc_ir::{DataType, Schema};
use flowc_runtime::{History, LookupTable, RunError};
use futures::TryStreamExt;
use serde_json::{Value, json};

async fn put(storage: &Storage, version: u64, lines: &[Value]) {
    let text: Vec<String> = lines.iter().map(|l| l.to_string()).collect();
    storage.store().put(&commit_path(version), text.join("\n").into()).await.expect("writes");
}

/// A commit with a time of its own, in milliseconds.
fn at(time: i64) -> Value {
    json!({ "commitInfo": { "inCommitTimestamp": time, "timestamp": 1, "operation": "WRITE" } })
}

/// The columns of [`numbers_schema`]; none is required.
fn plain() -> Value {
    json!({ "type": "struct", "fields": [
        { "name": "id", "type": "long", "nullable": true, "metadata": {} },
        { "name": "part", "type": "string", "nullable": true, "metadata": {} },
    ] })
}

fn metadata(schema: &Value) -> Value {
    json!({ "metaData": {
        "id": "5fba94ed-9794-4965-ba6e-6ee3c0d22af9", "format": { "provider": "parquet", "options": {} },
        "schemaString": schema.to_string(), "partitionColumns": [],
        "configuration": { "delta.enableInCommitTimestamps": "true" },
    } })
}

/// Nothing at 10 s, then ids 0 and 1 (without a part), then 2 (of `a`) by a clock that went back; so many versions of them.
async fn table(versions: usize) -> Storage {
    let files = memory();
    append(&files, &numbers_schema(), "a/b", &[numbers(0..2, None)]).await;
    append(&files, &numbers_schema(), "a/c", &[numbers(2..3, Some("a"))]).await;
    let adds = Snapshot::load(&files, None).await.expect("loads").ordered_files();
    let storage = memory();
    for add in &adds {
        let path = Path::from(add.path.as_str());
        storage.store().put(&path, files.get(&path).await.expect("is there").into()).await.expect("writes");
    }
    let protocol = json!({ "protocol": { "minReaderVersion": 1, "minWriterVersion": 7, "writerFeatures": ["inCommitTimestamp"] } });
    let add = |i: usize| json!({ "add": adds[i].as_ref() });
    let commits = [vec![at(10_000), protocol, metadata(&plain())], vec![at(20_000), add(0)], vec![at(15_000), add(1)]];
    for (version, lines) in commits.iter().enumerate().take(versions) {
        put(&storage, version as u64, lines).await;
    }
    storage
}

async fn open(storage: &Storage, schema: &Schema) -> DeltaTable {
    let connector = Connector::Delta { location: "memory:///table".into() };
    let spec = TableSpec {
        promises: vec![],
        name: "t".into(),
        connector,
        schema: schema.clone(),
        predicate: None,
        version: None,
        origin: Default::default(),
    };
    DeltaTable::open(&spec, storage.clone()).await.expect("opens")
}

async fn history(table: &DeltaTable) -> History {
    table.history(&table.pin().await.expect("pins")).await.expect("has a history")
}

/// The rows of each version that is left.
async fn rows(table: &DeltaTable) -> Result<Vec<Vec<String>>, RunError> {
    let mut found = vec![];
    for version in history(table).await.versions {
        let mut batches: Vec<RecordBatch> = vec![];
        for split in table.splits(&version.position).await? {
            batches.extend(table.read(&split, 3).await?.try_collect::<Vec<_>>().await?);
        }
        found.push(sorted(&batches));
    }
    Ok(found)
}

#[tokio::test]
async fn versions_have_the_times_of_their_commits() {
    let storage = table(2).await;
    let reader = open(&storage, &numbers_columns()).await;
    let old = reader.pin().await.expect("pins");
    let times = |history: History| {
        let time = |v: &flowc_runtime::TableVersion| (v.text.clone(), v.committed / 1_000_000);
        (history.versions.iter().map(time).collect::<Vec<_>>(), history.gone)
    };
    let first = vec![("version 0".to_string(), 10), ("version 1".to_string(), 20)];
    assert_eq!(times(history(&reader).await), (first.clone(), None));
    // What comes later is seen; a version is never older than the one before it.
    put(&storage, 2, &[at(15_000)]).await;
    put(&storage, 3, &[at(30_000)]).await;
    let all = [first.clone(), vec![("version 2".to_string(), 20), ("version 3".to_string(), 30)]].concat();
    assert_eq!(times(history(&reader).await), (all.clone(), None));
    assert_eq!(
        times(history(&open(&storage, &numbers_columns()).await).await),
        (all, None),
        "listed at once it is the same"
    );
    assert_eq!(
        times(reader.history(&old).await.expect("has a history")),
        (first, None),
        "a pin sees nothing behind it"
    );
}

fn numbers_columns() -> Schema {
    Schema::new(vec![column("id", DataType::Long), column("part", DataType::String)])
}

#[tokio::test]
async fn each_version_has_its_rows() {
    let reader = open(&table(3).await, &numbers_columns()).await;
    let expected = [vec![], vec!["0 | null", "1 | null"], vec!["0 | null", "1 | null", "2 | a"]];
    assert_eq!(rows(&reader).await.expect("reads"), expected);
}

#[tokio::test]
async fn columns_are_those_of_now() {
    let storage = table(3).await;
    let mapped = |name: &str, physical: &str| {
        let metadata = json!({ "delta.columnMapping.physicalName": physical, "delta.columnMapping.id": 1 });
        json!({ "name": name, "type": if physical == "id" { "long" } else { "string" }, "nullable": true, "metadata": metadata })
    };
    // `part` is another column now; the old one has another name.
    let fields = [mapped("id", "id"), mapped("place", "part"), mapped("part", "col-1")];
    let mut now = metadata(&json!({ "type": "struct", "fields": fields }));
    now["metaData"]["configuration"]["delta.columnMapping.mode"] = json!("name");
    put(&storage, 3, &[at(40_000), json!({ "protocol": { "minReaderVersion": 2, "minWriterVersion": 5 } }), now]).await;
    let schema = Schema::new(vec![
        column("part", DataType::String),
        column("place", DataType::String),
        column("id", DataType::Long),
    ]);
    let all = vec!["null | a | 2", "null | null | 0", "null | null | 1"];
    let expected = [vec![], vec!["null | null | 0", "null | null | 1"], all.clone(), all];
    assert_eq!(rows(&open(&storage, &schema).await).await.expect("reads"), expected);
}

#[tokio::test]
async fn what_must_not_be_null_was_not_null_then() {
    let mut now = plain();
    now["fields"][0]["nullable"] = json!(false);
    now["fields"][1]["nullable"] = json!(false);
    let with_nulls = table(3).await;
    put(&with_nulls, 3, &[at(40_000), metadata(&now)]).await;
    let wanted = Schema::new(vec![required("id", DataType::Long)]);
    assert_eq!(rows(&open(&with_nulls, &wanted).await).await.expect("no id is null")[1], ["0", "1"]);
    let wanted = Schema::new(vec![required("id", DataType::Long), required("part", DataType::String)]);
    let error = rows(&open(&with_nulls, &wanted).await).await.expect_err("a part is");
    assert_eq!(error.code, "R0225");
    assert!(error.message.contains("version 1") && error.message.contains("`part` is null"), "{}", error.message);
    assert!(error.help.expect("help").contains("name: type?"));
    let storage = table(1).await;
    now["fields"][1]["name"] = json!("later");
    put(&storage, 1, &[at(40_000), metadata(&now)]).await;
    let wanted = Schema::new(vec![required("later", DataType::String)]);
    let error = rows(&open(&storage, &wanted).await).await.expect_err("it was not there");
    assert!(error.code == "R0225" && error.message.contains("no column `later`"), "{}", error.message);
}

#[tokio::test]
async fn a_vacuumed_version_says_so() {
    let storage = table(3).await;
    let reader = open(&storage, &numbers_columns()).await;
    let first = Snapshot::load(&storage, Some(1)).await.expect("loads").ordered_files();
    storage.store().delete(&Path::from(first[0].path.as_str())).await.expect("removes");
    let error = rows(&reader).await.expect_err("it is gone");
    assert_eq!(error.code, "R0118");
    assert!(error.message.contains("version 1") && error.message.contains(&first[0].path), "{}", error.message);
}

#[tokio::test]
async fn what_was_cleaned_up_is_no_history() {
    let storage = memory();
    let properties = [("delta.checkpointInterval".to_string(), "2".to_string())].into_iter().collect();
    let spec = SinkSpec { properties, ..sink_spec(numbers_schema(), &[]) };
    let sink = DeltaSink::new(&spec, storage.clone());
    for number in 1..=6 {
        run_epoch(&sink, number, &[vec![numbers(number as i64..number as i64 + 1, None)]]).await.expect("commits");
    }
    let before = open(&storage, &numbers_columns()).await;
    assert_eq!(history(&before).await.versions.len(), 6);
    for version in 0..3 {
        storage.store().delete(&commit_path(version)).await.expect("removes");
    }
    let reader = open(&storage, &numbers_columns()).await;
    // Version 2 is there as a checkpoint, but nobody knows any more from when it is.
    let left = history(&reader).await;
    assert_eq!(
        left.versions.iter().map(|v| v.text.as_str()).collect::<Vec<_>>(),
        ["version 3", "version 4", "version 5"]
    );
    assert!(left.gone.expect("it says so").contains("before version 3 was cleaned up"));
    assert_eq!(rows(&reader).await.expect("reads").last().expect("there are some").len(), 6);
    // Who has seen the old versions finds out when one is read.
    let error = rows(&before).await.expect_err("it is gone");
    assert_eq!(error.code, "R0118", "{}", error.message);
}
