//! Sinks beside other writers, and what they refuse.

use crate::common::*;
use flowc_delta::log::Snapshot;
use flowc_delta::log::commits::read_commit;
use flowc_delta::sink::Sizes;
use flowc_delta::{DeltaSink, Storage};
use flowc_ir::plan::{SinkMode, SinkSpec};
use flowc_ir::{DataType, Schema};
use flowc_runtime::{Blame, Committed, RunError, Sink, SinkEpoch, Written};

async fn snapshot(storage: &Storage) -> Snapshot {
    Snapshot::load(storage, None).await.expect("loads")
}

/// Begins an epoch and writes its rows, without committing.
async fn written(
    sink: &DeltaSink,
    number: u64,
    rows: std::ops::Range<i64>,
) -> Result<(Box<dyn SinkEpoch>, Written), RunError> {
    let epoch = sink.begin(epoch(number)).await?;
    let mut writer = epoch.writer().await?;
    writer.write(&numbers(rows, Some("a"))).await?;
    let written = writer.finish().await?;
    Ok((epoch, written))
}

/// Puts lines as the next version, as another writer would.
async fn other_commit(storage: &Storage, lines: &[serde_json::Value]) -> u64 {
    let version = snapshot(storage).await.version + 1;
    let text: Vec<String> = lines.iter().map(|l| l.to_string()).collect();
    let body = deltalake::logstore::CommitOrBytes::LogBytes(text.join("\n").into());
    storage.log_store().write_commit_entry(version, body, uuid::Uuid::nil()).await.expect("writes");
    version
}

async fn data_files(storage: &Storage) -> usize {
    use futures::TryStreamExt;
    let all: Vec<_> = storage.store().list(None).try_collect().await.expect("lists");
    all.iter().filter(|o| !o.location.as_ref().starts_with("_delta_log")).count()
}

fn plain() -> SinkSpec {
    sink_spec(numbers_schema(), &[])
}

async fn with_rows(spec: &SinkSpec) -> (Storage, DeltaSink) {
    let storage = memory();
    let sink = DeltaSink::new(spec, storage.clone());
    run_epoch(&sink, 1, &[vec![numbers(0..5, Some("a"))]]).await.expect("commits");
    (storage, sink)
}

#[tokio::test]
async fn an_append_commits_behind_the_appends_of_others() {
    let (storage, sink) = with_rows(&plain()).await;
    let (epoch, rows) = written(&sink, 2, 5..8).await.expect("writes");
    append(&storage, &numbers_schema(), "other", &[numbers(100..101, None)]).await;
    append(&storage, &numbers_schema(), "third", &[numbers(101..102, None)]).await;
    let done = epoch.commit(vec![rows], &[]).await.expect("commits");
    assert_eq!(
        done,
        Committed { version: Some(3), rows: 3, files: 1, bytes: done.bytes, already: false, merged: None }
    );
    let found: usize = table_rows(&storage, &numbers_schema(), None).await.iter().map(|b| b.num_rows()).sum();
    assert_eq!(found, 10);
}

#[tokio::test]
async fn an_epoch_that_is_there_already_is_not_written_twice() {
    let (storage, sink) = with_rows(&plain()).await;
    let (first, first_rows) = written(&sink, 2, 5..8).await.expect("writes");
    let (second, second_rows) = written(&sink, 2, 5..8).await.expect("writes");
    assert!(!first.commit(vec![first_rows], &[]).await.expect("commits").already);
    let again = second.commit(vec![second_rows], &[]).await.expect("commits");
    assert_eq!((again.already, again.version), (true, Some(1)));
    let (third, third_rows) = written(&sink, 1, 5..8).await.expect("writes");
    assert!(third.commit(vec![third_rows], &[]).await.expect("commits").already);
    assert_eq!(snapshot(&storage).await.version, 1);
    assert_eq!(data_files(&storage).await, 2, "files that were not committed are removed");
}

#[tokio::test]
async fn an_aborted_epoch_leaves_no_files() {
    let (storage, sink) = with_rows(&plain()).await;
    let (epoch, rows) = written(&sink, 2, 5..8).await.expect("writes");
    epoch.abort(vec![rows]).await;
    let mut writer = epoch.writer().await.expect("a writer");
    writer.write(&numbers(0..3, None)).await.expect("writes");
    writer.abort().await;
    assert_eq!(data_files(&storage).await, 1);
}

#[tokio::test]
async fn a_change_of_metadata_meanwhile_is_reported() {
    let (storage, sink) = with_rows(&plain()).await;
    let (epoch, rows) = written(&sink, 2, 5..8).await.expect("writes");
    let mut metadata = snapshot(&storage).await.metadata;
    metadata.configuration =
        Some([("delta.constraints.small".to_string(), Some("id < 6".to_string()))].into_iter().collect());
    let info = serde_json::json!({ "commitInfo": { "operation": "ADD CONSTRAINT", "timestamp": 0 } });
    other_commit(&storage, &[info, serde_json::json!({ "metaData": metadata })]).await;
    let error = epoch.commit(vec![rows], &[]).await.expect_err("a conflict");
    assert_eq!((error.code, error.blame), ("R0325", Blame::World));
    assert!(error.message.contains("version 1 (ADD CONSTRAINT at 1970-01-01 00:00:00 UTC)"), "{}", error.message);
    // Run again, the program was not compiled against the constraint.
    let error = sink.begin(crate::common::epoch(2)).await.err().expect("refused");
    assert_eq!(error.code, "R0321");
    assert!(error.message.contains("`id < 6`"), "{}", error.message);
    let knows = SinkSpec { enforced: vec![("small".into(), "id < 6".into())], ..plain() };
    assert!(DeltaSink::new(&knows, storage).begin(crate::common::epoch(2)).await.is_ok());
}

#[tokio::test]
async fn an_overwrite_replaces_all_and_conflicts_with_rows_it_has_not_seen() {
    let (storage, _) = with_rows(&plain()).await;
    let spec = SinkSpec { mode: SinkMode::Overwrite, ..plain() };
    let sink = DeltaSink::new(&spec, storage.clone());
    run_epoch(&sink, 2, &[vec![numbers(7..9, None)]]).await.expect("commits");
    assert_eq!(sorted(&table_rows(&storage, &numbers_schema(), None).await), ["7 | null", "8 | null"]);
    assert_eq!(table_rows(&storage, &numbers_schema(), Some(0)).await.len(), 2, "the old version is still there");
    let commit = read_commit(&storage, 1).await.expect("reads").expect("exists");
    assert!(commit.removes.iter().all(|r| r.data_change) && commit.removes.len() == 1);

    let (epoch, rows) = written(&sink, 3, 20..21).await.expect("writes");
    append(&storage, &numbers_schema(), "other", &[numbers(100..101, None)]).await;
    let error = epoch.commit(vec![rows], &[]).await.expect_err("a conflict");
    assert_eq!((error.code, error.blame), ("R0326", Blame::World));
    assert_eq!(table_rows(&storage, &numbers_schema(), None).await.iter().map(|b| b.num_rows()).sum::<usize>(), 3);
}

#[tokio::test]
async fn two_writers_that_create_the_table_both_succeed() {
    let storage = memory();
    let (one, two) = (DeltaSink::new(&plain(), storage.clone()), DeltaSink::new(&plain(), storage.clone()));
    let (epoch, rows) = written(&one, 1, 0..3).await.expect("writes");
    let id = flowc_runtime::EpochId { application: "other".into(), ..crate::common::epoch(1) };
    let other = two.begin(id).await.expect("begins");
    other.commit(vec![], &[]).await.expect("commits");
    assert_eq!(epoch.commit(vec![rows], &[]).await.expect("commits").version, Some(1));
    assert_eq!(table_rows(&storage, &numbers_schema(), None).await.len(), 1);
}

#[tokio::test]
async fn what_does_not_fit_the_table_is_refused() {
    let (storage, _) = with_rows(&plain()).await;
    let text = Schema::new(vec![required("id", DataType::String), column("part", DataType::String)]);
    let null = Schema::new(vec![column("id", DataType::Long), column("part", DataType::String)]);
    let more = Schema::new(vec![required("id", DataType::Long), column("new", DataType::Long)]);
    let less = Schema::new(vec![column("part", DataType::String)]);
    for (schema, part) in
        [(text, "`id` is long in the table"), (null, "NOT NULL"), (more, "no column `new`"), (less, "no such column")]
    {
        let error =
            DeltaSink::new(&sink_spec(schema, &[]), storage.clone()).begin(epoch(2)).await.err().expect("refused");
        assert_eq!((error.code, error.blame), ("R0322", Blame::Data));
        assert!(error.message.contains(part), "{}", error.message);
    }
    let error =
        DeltaSink::new(&sink_spec(numbers_schema(), &["part"]), storage).begin(epoch(2)).await.err().expect("refused");
    assert!(error.message.contains("partitioned"), "{}", error.message);
}

#[tokio::test]
async fn evolution_adds_columns_that_old_rows_lack() {
    let (storage, _) = with_rows(&plain()).await;
    let wide = Schema::new(vec![required("extra", DataType::Date), required("id", DataType::Integer)]);
    let spec = SinkSpec { evolve: true, ..sink_spec(wide.clone(), &[]) };
    let sink = DeltaSink::new(&spec, storage.clone());
    let arrow = flowc_ir::arrow_types::to_arrow_schema(&wide);
    let columns: Vec<arrow::array::ArrayRef> = vec![
        std::sync::Arc::new(arrow::array::Date32Array::from(vec![1])),
        std::sync::Arc::new(arrow::array::Int32Array::from(vec![9])),
    ];
    let batch = arrow::array::RecordBatch::try_new(arrow, columns).expect("a batch");
    run_epoch(&sink, 2, &[vec![batch.clone()]]).await.expect("commits");
    run_epoch(&sink, 3, &[vec![batch]]).await.expect("commits");
    let all = Schema::new(vec![
        required("id", DataType::Long),
        column("part", DataType::String),
        column("extra", DataType::Date),
    ]);
    let rows = sorted(&table_rows(&storage, &all, None).await);
    assert_eq!(rows.len(), 7);
    assert_eq!((rows[0].as_str(), rows[6].as_str()), ("0 | a | null", "9 | null | 1970-01-02"));
    let commit = read_commit(&storage, 2).await.expect("reads").expect("exists");
    assert!(commit.metadata.is_none(), "columns are added once");
}

#[tokio::test]
async fn protocols_are_the_least_that_is_needed() {
    let created = async |spec: SinkSpec| {
        let storage = memory();
        let sink = DeltaSink::new(&spec, storage.clone());
        sink.begin(epoch(1)).await?.commit(vec![], &[]).await?;
        Ok::<_, RunError>(snapshot(&storage).await)
    };
    let with = |key: &str, value: &str| SinkSpec {
        properties: [(key.to_string(), value.to_string())].into_iter().collect(),
        ..plain()
    };
    let versions = |s: &Snapshot| (s.protocol.min_reader_version, s.protocol.min_writer_version);

    assert_eq!(versions(&created(plain()).await.expect("creates")), (1, 2));
    let checked = SinkSpec { constraints: vec![("Sane".into(), "id > 0".into())], ..plain() };
    let checked = created(checked).await.expect("creates");
    assert_eq!(versions(&checked), (1, 3));
    assert_eq!(checked.metadata.property("delta.constraints.sane"), Some("id > 0"));
    let generated = SinkSpec { generated: vec![("part".into(), "CAST(id AS STRING)".into())], ..plain() };
    assert_eq!(versions(&created(generated).await.expect("creates")), (1, 4));
    assert_eq!(versions(&created(with("delta.enableChangeDataFeed", "true")).await.expect("creates")), (1, 4));
    let vectors = created(with("delta.enableDeletionVectors", "true")).await.expect("creates");
    assert_eq!(versions(&vectors), (3, 7));
    assert_eq!(vectors.protocol.reader_features, Some(vec!["deletionVectors".to_string()]));
    let ntz = Schema::new(vec![column("t", DataType::TimestampNtz)]);
    let ntz = created(sink_spec(ntz, &[])).await.expect("creates");
    assert_eq!(ntz.protocol.writer_features.expect("features"), ["appendOnly", "invariants", "timestampNtz"]);
    for (key, value) in [
        ("delta.enableRowTracking", "true"),
        ("delta.columnMapping.mode", "name"),
        ("delta.feature.magic", "supported"),
        ("delta.constraints.x", "id > 0"),
    ] {
        assert_eq!(created(with(key, value)).await.expect_err("refused").code, "R0328", "{key}");
    }
}

#[tokio::test]
async fn tables_with_unknown_features_and_append_only_tables_are_refused() {
    let (storage, sink) = with_rows(&SinkSpec {
        properties: [("delta.appendOnly".to_string(), "true".to_string())].into_iter().collect(),
        ..plain()
    })
    .await;
    run_epoch(&sink, 2, &[vec![numbers(5..6, None)]]).await.expect("appends");
    let overwrite = SinkSpec { mode: SinkMode::Overwrite, ..plain() };
    assert_eq!(DeltaSink::new(&overwrite, storage.clone()).begin(epoch(3)).await.err().expect("refused").code, "R0324");
    let protocol = serde_json::json!({ "protocol": { "minReaderVersion": 1, "minWriterVersion": 7, "writerFeatures": ["rowTracking"] } });
    other_commit(&storage, &[protocol]).await;
    let error = sink.begin(epoch(3)).await.err().expect("refused");
    assert_eq!(error.code, "R0323");
    assert!(error.message.contains("rowTracking"), "{}", error.message);
}

#[tokio::test]
async fn files_roll_by_size_and_open_files_are_few() {
    let storage = memory();
    let sizes =
        Sizes { file_bytes: 4_000, row_group_bytes: 1_000, open_files: 3, open_bytes: 1 << 20, ..Sizes::default() };
    let sink = DeltaSink::with_sizes(&sink_spec(numbers_schema(), &["part"]), storage.clone(), sizes);
    let mut batches = vec![];
    for i in 0..40 {
        batches.push(numbers(i * 100..(i + 1) * 100, Some(&format!("p{}", i % 5))));
    }
    let done = run_epoch(&sink, 1, &[batches.clone()]).await.expect("commits");
    assert_eq!(done.rows, 4_000);
    assert!(done.files > 5 && done.files <= 40, "{} files", done.files);
    assert_eq!(sorted(&table_rows(&storage, &numbers_schema(), None).await), sorted(&batches));
}

#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_come_every_ten_versions_and_keep_transactions() {
    let (storage, sink) = with_rows(&plain()).await;
    for number in 2..=12 {
        run_epoch(&sink, number, &[vec![numbers(number as i64 * 10..number as i64 * 10 + 2, Some("a"))]])
            .await
            .expect("commits");
    }
    let path =
        deltalake::logstore::object_store::path::Path::from("_delta_log/00000000000000000010.checkpoint.parquet");
    assert!(storage.try_get(&path).await.expect("reads").is_some(), "a checkpoint at version 10");
    let before: Vec<_> = snapshot(&storage).await.files.into_keys().collect();
    // Without the first commits the checkpoint is all there is.
    use deltalake::logstore::object_store::ObjectStoreExt;
    for version in 0..10 {
        storage.store().delete(&flowc_delta::log::commits::commit_path(version)).await.expect("deletes");
    }
    let after = snapshot(&storage).await;
    assert_eq!(after.files.into_keys().collect::<Vec<_>>(), before);
    assert_eq!(after.txns[APPLICATION].version, 12);
    let fresh = DeltaSink::new(&plain(), storage);
    assert_eq!(fresh.committed(APPLICATION).await.expect("reads"), Some(12));
}

#[tokio::test]
async fn a_full_refresh_replaces_what_an_append_wrote() {
    let (storage, sink) = with_rows(&plain()).await;
    run_epoch(&sink, 2, &[vec![numbers(5..7, None)]]).await.expect("commits");
    let id = flowc_runtime::EpochId { replace: true, ..epoch(3) };
    let again = sink.begin(id).await.expect("begins");
    let mut writer = again.writer().await.expect("a writer");
    writer.write(&numbers(1..2, None)).await.expect("writes");
    again.commit(vec![writer.finish().await.expect("finishes")], &[]).await.expect("commits");
    assert_eq!(sorted(&table_rows(&storage, &numbers_schema(), None).await), ["1 | null"]);
    run_epoch(&sink, 4, &[vec![numbers(2..3, None)]]).await.expect("commits");
    assert_eq!(sorted(&table_rows(&storage, &numbers_schema(), None).await), ["1 | null", "2 | null"]);
    assert_eq!(sink.committed(APPLICATION).await.expect("reads"), Some(4));
}
