//! Sources: ranges, limits, and what stops them.

use crate::common::*;
use deltalake::logstore::object_store::ObjectStoreExt;
use flowc_delta::log::{Snapshot, commits::commit_path};
use flowc_delta::{DeltaSink, DeltaSource, DeltaTable, Storage};
use flowc_ir::plan::{SinkMode, SinkSpec, SourceSpec, TableSpec, VersionSpec};
use flowc_ir::{DataType, Schema};
use flowc_runtime::{EpochLimits, LookupTable, Position, RunError, Source};

async fn open(storage: &Storage) -> DeltaSource {
    DeltaSource::open(&source_spec(numbers_schema()), storage.clone()).await.expect("opens")
}

async fn next(source: &DeltaSource, from: Option<&Position>) -> Result<Option<flowc_runtime::SourceRange>, RunError> {
    source.next_range(from, EpochLimits::NONE).await
}

/// Appends ids as a further version.
async fn add(storage: &Storage, ids: std::ops::Range<i64>, application: &str) {
    append(storage, &numbers_schema(), application, &[numbers(ids, Some("a"))]).await;
}

async fn put(storage: &Storage, version: u64, lines: &str) {
    storage.store().put(&commit_path(version), lines.to_string().into()).await.expect("writes");
}

fn ids(rows: &[arrow::array::RecordBatch]) -> Vec<String> {
    texts(rows).iter().map(|r| r.split(' ').next().unwrap_or_default().to_string()).collect()
}

#[tokio::test]
async fn a_snapshot_first_and_then_what_is_added() {
    let storage = memory();
    add(&storage, 0..3, "a").await;
    add(&storage, 3..5, "b").await;
    let source = open(&storage).await;
    let first = next(&source, None).await.expect("reads").expect("rows");
    assert_eq!((first.text.as_str(), first.rows), ("version 1 (snapshot), 2 files", Some(5)));
    assert_eq!(ids(&range_rows(&source, &first).await), ["0", "1", "2", "3", "4"]);
    assert_eq!(next(&source, Some(&first.to)).await.expect("reads"), None);
    add(&storage, 5..6, "c").await;
    add(&storage, 6..8, "d").await;
    let second = next(&source, Some(&first.to)).await.expect("reads").expect("rows");
    assert_eq!(second.text, "version 2..3, 2 files");
    // Another process reads the recorded range again and finds the same.
    let again = open(&storage).await;
    assert_eq!(ids(&range_rows(&again, &second).await), ["5", "6", "7"]);
    assert_eq!(ids(&range_rows(&again, &first).await).len(), 5);
}

#[tokio::test]
async fn limits_cut_snapshots_and_versions_between_files() {
    let storage = memory();
    for (i, name) in ["a", "b", "c"].into_iter().enumerate() {
        add(&storage, i as i64 * 2..i as i64 * 2 + 2, name).await;
    }
    let source = open(&storage).await;
    for limits in [
        EpochLimits { files: Some(1), ..EpochLimits::NONE },
        EpochLimits { rows: Some(3), ..EpochLimits::NONE },
        EpochLimits { bytes: Some(1), ..EpochLimits::NONE },
    ] {
        let (mut from, mut seen, mut ranges) = (None, vec![], 0);
        while let Some(range) = source.next_range(from.as_ref(), limits).await.expect("reads") {
            seen.extend(ids(&range_rows(&open(&storage).await, &range).await));
            (from, ranges) = (Some(range.to), ranges + 1);
        }
        assert_eq!((ranges, seen.len()), (3, 6));
    }
}

#[tokio::test]
async fn what_was_read_to_come_to_a_position_is_read_again() {
    let rows = |from: i64| vec![numbers(from..from + 2, Some("a")), numbers(from + 2..from + 3, Some("b"))];
    let limits = EpochLimits { files: Some(1), ..EpochLimits::NONE };
    for (start, read) in [(None, 12), (Some(VersionSpec::Number(0)), 12), (Some(VersionSpec::Number(1)), 9)] {
        let storage = memory();
        let sink = DeltaSink::new(&sink_spec(numbers_schema(), &["part"]), storage.clone());
        run_epoch(&sink, 1, &[rows(0)]).await.expect("commits");
        run_epoch(&sink, 2, &[rows(3)]).await.expect("commits");
        let spec = SourceSpec { start, ..source_spec(numbers_schema()) };
        let source = DeltaSource::open(&spec, storage.clone()).await.expect("opens");
        let (mut from, mut seen): (Option<Position>, Vec<String>) = (None, vec![]);
        for version in 2..5 {
            while let Some(range) = source.next_range(from.as_ref(), limits).await.expect("reads") {
                seen.extend(ids(&range_rows(&source, &range).await));
                // Another process, and the whole way at once: in the middle of the snapshot, of a version, and at its end.
                let again = DeltaSource::open(&spec, storage.clone()).await.expect("opens");
                let all = again.range_to(&range.to).await.expect("is there").expect("rows");
                let (mut found, mut wanted) = (ids(&range_rows(&again, &all).await), seen.clone());
                found.sort();
                wanted.sort();
                assert_eq!(found, wanted, "{start:?}, {}", range.text);
                from = Some(range.to);
            }
            run_epoch(&sink, version + 1, &[rows(version as i64 * 3)]).await.expect("commits");
        }
        assert_eq!(seen.len(), read, "{start:?}");
    }
}

#[tokio::test]
async fn a_start_version_is_included() {
    let storage = memory();
    add(&storage, 0..2, "a").await;
    add(&storage, 2..4, "b").await;
    add(&storage, 4..6, "c").await;
    let with = |start| SourceSpec { start: Some(start), ..source_spec(numbers_schema()) };
    let source = DeltaSource::open(&with(VersionSpec::Number(1)), storage.clone()).await.expect("opens");
    let range = next(&source, None).await.expect("reads").expect("rows");
    assert_eq!(ids(&range_rows(&source, &range).await), ["2", "3", "4", "5"]);
    let limited = EpochLimits { files: Some(1), ..EpochLimits::NONE };
    let range = source.next_range(None, limited).await.expect("reads").expect("rows");
    assert_eq!(ids(&range_rows(&source, &range).await), ["2", "3"]);
    let waiting = DeltaSource::open(&with(VersionSpec::Number(3)), storage.clone()).await.expect("opens");
    assert_eq!(next(&waiting, None).await.expect("reads"), None);
    add(&storage, 6..7, "d").await;
    let range = next(&waiting, None).await.expect("reads").expect("rows");
    assert_eq!(ids(&range_rows(&waiting, &range).await), ["6"]);
    let never = DeltaSource::open(&with(VersionSpec::Number(9)), storage.clone()).await.expect("opens");
    assert_eq!(next(&never, None).await.expect_err("no such version").code, "R0222");
    let old = DeltaSource::open(&with(VersionSpec::Timestamp(0)), storage).await.expect("opens");
    let range = next(&old, None).await.expect("reads").expect("rows");
    assert_eq!(ids(&range_rows(&old, &range).await).len(), 7);
}

#[tokio::test]
async fn updates_and_deletes_stop_it_and_compaction_does_not() {
    let storage = memory();
    add(&storage, 0..3, "a").await;
    let source = open(&storage).await;
    let first = next(&source, None).await.expect("reads").expect("rows");
    put(
        &storage,
        1,
        r#"{"commitInfo":{"operation":"OPTIMIZE","timestamp":0}}
{"remove":{"path":"x","dataChange":false}}
{"add":{"path":"y","partitionValues":{},"size":1,"modificationTime":0,"dataChange":false}}"#,
    )
    .await;
    assert_eq!(next(&source, Some(&first.to)).await.expect("reads"), None);
    add(&storage, 3..4, "b").await;
    let second = next(&source, Some(&first.to)).await.expect("reads").expect("rows");
    assert_eq!(ids(&range_rows(&source, &second).await), ["3"]);
    put(
        &storage,
        3,
        r#"{"commitInfo":{"operation":"DELETE","timestamp":1767225600000}}
{"remove":{"path":"x","dataChange":true}}"#,
    )
    .await;
    let error = next(&source, Some(&second.to)).await.expect_err("rows were deleted");
    assert_eq!(error.code, "R0223");
    assert!(error.message.contains("version 3 (DELETE at 2026-01-01 00:00:00 UTC)"), "{}", error.message);
    assert!(error.help.expect("help").contains("`changes`"));
}

#[tokio::test]
async fn added_columns_are_fine_and_changed_ones_are_not() {
    let storage = memory();
    add(&storage, 0..3, "a").await;
    let source = open(&storage).await;
    let first = next(&source, None).await.expect("reads").expect("rows");
    let wide = Schema::new([numbers_schema().fields.into_vec(), vec![column("more", DataType::Date)]].concat());
    let spec = SinkSpec { evolve: true, ..sink_spec(wide.clone(), &[]) };
    let empty = arrow::array::RecordBatch::new_empty(flowc_ir::arrow_types::to_arrow_schema(&wide));
    run_epoch(&DeltaSink::new(&spec, storage.clone()), 1, &[vec![empty]]).await.expect("commits");
    add(&storage, 3..4, "b").await;
    let second = next(&source, Some(&first.to)).await.expect("reads").expect("rows");
    assert_eq!(ids(&range_rows(&source, &second).await), ["3"]);

    let mut metadata = Snapshot::load(&storage, None).await.expect("loads").metadata;
    metadata.schema_string = metadata.schema_string.replace("\"long\"", "\"string\"");
    put(&storage, 3, &serde_json::json!({ "metaData": metadata }).to_string()).await;
    let error = next(&source, Some(&second.to)).await.expect_err("id is a string now");
    assert_eq!(error.code, "R0225");
    assert!(error.message.contains("`id` is string there, long in the program"), "{}", error.message);
}

/// The newest metadata with another schema text.
async fn with_schema(storage: &Storage, change: impl Fn(&mut serde_json::Value)) -> String {
    let mut metadata = Snapshot::load(storage, None).await.expect("loads").metadata;
    let mut schema = serde_json::from_str(&metadata.schema_string).expect("JSON");
    change(&mut schema);
    metadata.schema_string = schema.to_string();
    let info = r#"{"commitInfo":{"operation":"ALTER TABLE","timestamp":1767225600000}}"#;
    format!("{info}\n{}", serde_json::json!({ "metaData": metadata }))
}

#[tokio::test]
async fn what_changes_under_a_run_is_told_column_by_column() {
    type Change = fn(&mut serde_json::Value);
    let cases: [(Change, &str); 4] = [
        (|s| drop(s["fields"].as_array_mut().expect("fields").remove(1)), "it has no column `part`"),
        (
            |s| {
                s["fields"][0]["type"] = "integer".into();
                s["fields"][1]["type"] = "binary".into();
            },
            "`part` is binary? there, string? in the program",
        ),
        (|s| s["fields"][0]["nullable"] = true.into(), "`id` is long? there, long in the program"),
        (|s| s["fields"][1]["type"] = "variant".into(), "`part` has the type variant"),
    ];
    for (change, why) in cases {
        let storage = memory();
        let schema = numbers_schema();
        append(&storage, &schema, "a", &[numbers(0..3, Some("a"))]).await;
        let source = DeltaSource::open(&source_spec(schema.clone()), storage.clone()).await.expect("opens");
        let first = next(&source, None).await.expect("reads").expect("rows");
        put(&storage, 1, &with_schema(&storage, change).await).await;
        let error = next(&source, Some(&first.to)).await.expect_err(why);
        assert_eq!(error.code, "R0225");
        let told = error.message.contains(why) && error.message.contains("since version 1 (ALTER TABLE at 2026-01-01");
        assert!(told && error.message.contains("source `in`"), "{}", error.message);
        assert!(error.help.expect("help").contains("flowc check"));
    }
}

#[tokio::test]
async fn a_renamed_column_is_told_by_its_new_name() {
    let storage = memory();
    add(&storage, 0..3, "a").await;
    let id = |s: &mut serde_json::Value| s["fields"][1]["metadata"]["delta.columnMapping.id"] = 2.into();
    put(&storage, 1, &with_schema(&storage, id).await).await;
    let source = open(&storage).await;
    let first = next(&source, None).await.expect("reads").expect("rows");
    put(&storage, 2, &with_schema(&storage, |s| s["fields"][1]["name"] = "section".into()).await).await;
    let error = next(&source, Some(&first.to)).await.expect_err("it has another name");
    assert!(error.message.contains("no column `part`: it was renamed to `section`"), "{}", error.message);
}

#[tokio::test]
async fn a_feature_that_cannot_be_read_stops_it_and_others_do_not() {
    let storage = memory();
    add(&storage, 0..3, "a").await;
    let source = open(&storage).await;
    let first = next(&source, None).await.expect("reads").expect("rows");
    let protocol = |feature: &str| {
        let features = [feature];
        serde_json::json!({ "protocol": { "minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": features, "writerFeatures": features } })
    };
    put(&storage, 1, &protocol("deletionVectors").to_string()).await;
    assert_eq!(next(&source, Some(&first.to)).await.expect("reads"), None);
    put(&storage, 2, &protocol("catalogManaged").to_string()).await;
    let error = next(&source, Some(&first.to)).await.expect_err("cannot be read");
    assert_eq!(error.code, "R0226");
    assert!(error.message.contains("since version 2") && error.message.contains("catalogManaged"), "{}", error.message);
}

#[tokio::test]
async fn a_commit_in_between_that_does_not_fit_says_how_to_go_on() {
    let storage = memory();
    let schema = numbers_schema();
    append(&storage, &schema, "a", &[numbers(0..3, Some("a"))]).await;
    let first =
        next(&DeltaSource::open(&source_spec(schema.clone()), storage.clone()).await.expect("opens"), None).await;
    let first = first.expect("reads").expect("rows");
    put(&storage, 1, &with_schema(&storage, |s| s["fields"][0]["nullable"] = true.into()).await).await;
    put(&storage, 2, &with_schema(&storage, |s| s["fields"][0]["nullable"] = false.into()).await).await;
    let source = DeltaSource::open(&source_spec(schema.clone()), storage.clone()).await.expect("opens");
    let error = next(&source, Some(&first.to)).await.expect_err("it may have been null");
    assert!(error.help.expect("help").contains("`schema`"));
    let nullable = Schema::new(vec![column("id", DataType::Long), column("part", DataType::String)]);
    let source = DeltaSource::open(&source_spec(nullable), storage.clone()).await.expect("opens");
    assert_eq!(next(&source, Some(&first.to)).await.expect("reads"), None);
}

#[tokio::test]
async fn the_versions_that_changed_a_table_are_found_in_its_log() {
    let storage = memory();
    add(&storage, 0..3, "a").await;
    put(&storage, 1, &with_schema(&storage, |s| s["fields"][1]["nullable"] = false.into()).await).await;
    let strict = Schema::new(vec![required("id", DataType::Long), required("part", DataType::String)]);
    let rows = numbers(3..4, Some("b")).columns().to_vec();
    let rows = arrow::array::RecordBatch::try_new(flowc_ir::arrow_types::to_arrow_schema(&strict), rows);
    append(&storage, &strict, "b", &[rows.expect("a batch")]).await;
    put(&storage, 3, &with_schema(&storage, |s| s["fields"][1]["nullable"] = true.into()).await).await;
    let turns = flowc_delta::history::since(&storage, 0).await.expect("reads");
    let found: Vec<_> =
        turns.iter().map(|t| (t.version, t.after, t.what.as_str(), t.info.schema.fields[1].ty.nullable)).collect();
    let what = "ALTER TABLE at 2026-01-01 00:00:00 UTC";
    assert_eq!(found, [(1, None, what, false), (3, None, what, true)]);
    assert_eq!(flowc_delta::history::since(&storage, 3).await.expect("reads"), []);
}

#[tokio::test]
async fn versions_that_are_gone_and_tables_that_were_replaced() {
    let storage = memory();
    for (i, name) in ["a", "b", "c"].into_iter().enumerate() {
        add(&storage, i as i64..i as i64 + 1, name).await;
    }
    let source = open(&storage).await;
    let mut first = next(&source, None).await.expect("reads").expect("rows");
    first.to.0["version"] = 0.into();
    let snapshot = Snapshot::load(&storage, None).await.expect("loads");
    for version in 0..2 {
        storage.store().delete(&commit_path(version)).await.expect("deletes");
    }
    let error = next(&source, Some(&first.to)).await.expect_err("version 1 is gone");
    assert_eq!(error.code, "R0224");
    assert!(error.message.contains("versions 1 to 2"), "{}", error.message);
    assert_eq!(snapshot.version, 2);

    first.to.0["table"] = "another".into();
    assert_eq!(next(&source, Some(&first.to)).await.expect_err("another table").code, "R0228");
    let nonsense = Position(serde_json::json!({ "files": [] }));
    assert_eq!(next(&source, Some(&nonsense)).await.expect_err("not a position").code, "R0229");
}

#[tokio::test]
async fn a_vacuumed_file_is_named() {
    let storage = memory();
    add(&storage, 0..3, "a").await;
    let source = open(&storage).await;
    let range = next(&source, None).await.expect("reads").expect("rows");
    let file = Snapshot::load(&storage, None).await.expect("loads").ordered_files()[0].path.clone();
    storage.store().delete(&file.as_str().into()).await.expect("deletes");
    let split = source.splits(&range).await.expect("splits").remove(0);
    let error = source.read(&split, 10).await.err().expect("it is gone");
    assert_eq!(error.code, "R0230");
    assert!(error.message.contains(&file), "{}", error.message);
}

#[tokio::test]
async fn an_overwritten_source_names_the_commit() {
    let storage = memory();
    add(&storage, 0..3, "a").await;
    let source = open(&storage).await;
    let first = next(&source, None).await.expect("reads").expect("rows");
    let spec = SinkSpec { mode: SinkMode::Overwrite, ..sink_spec(numbers_schema(), &[]) };
    run_epoch(&DeltaSink::new(&spec, storage.clone()), 1, &[vec![numbers(5..6, None)]]).await.expect("commits");
    let error = next(&source, Some(&first.to)).await.expect_err("rows were removed");
    assert!(error.message.contains("version 1 (WRITE"), "{}", error.message);
}

#[tokio::test]
async fn what_proofs_rest_on_must_stay() {
    let storage = memory();
    add(&storage, 0..3, "a").await;
    let before = Snapshot::load(&storage, None).await.expect("a table").metadata;
    let with = |constraints: &[(&str, &str)]| {
        let mut metadata = before.clone();
        let property = |(name, sql): &(&str, &str)| (format!("delta.constraints.{name}"), Some(sql.to_string()));
        metadata.configuration = Some(constraints.iter().map(property).collect());
        serde_json::json!({ "metaData": metadata }).to_string()
    };
    let (sane, other) = (("sane", "id >= 0"), ("other", "id < 100"));
    put(&storage, 1, &with(&[sane, other])).await;
    let promises = vec![("sane".to_string(), "id >= 0".to_string())];
    let spec = SourceSpec { promises: promises.clone(), ..source_spec(numbers_schema()) };
    let lookup = TableSpec {
        promises,
        name: "t".into(),
        connector: spec.connector.clone(),
        schema: numbers_schema(),
        predicate: None,
        version: None,
        origin: Default::default(),
    };
    let source = DeltaSource::open(&spec, storage.clone()).await.expect("it is promised");
    let table = DeltaTable::open(&lookup, storage.clone()).await.expect("it is promised");
    let first = next(&source, None).await.expect("reads").expect("rows");
    put(&storage, 2, &with(&[sane])).await;
    assert_eq!(next(&source, Some(&first.to)).await.expect("another constraint may go"), None);
    table.pin().await.expect("another constraint may go");
    put(&storage, 3, &with(&[("sane", "id >= -5")])).await;
    let error = next(&source, Some(&first.to)).await.expect_err("it says something else now");
    assert_eq!(error.code, "R0225");
    assert!(error.message.contains("no longer has `sane`, on which a proof rests: `id >= 0`"), "{}", error.message);
    assert_eq!(table.pin().await.expect_err("it says something else now").code, "R0225");
    assert_eq!(DeltaSource::open(&spec, storage.clone()).await.expect_err("not any more").code, "R0225");
}
