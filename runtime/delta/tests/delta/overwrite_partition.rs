//! Sinks that replace the partitions that they write to, and no others.

use crate::common::*;
use arrow::array::RecordBatch;
use flowc_delta::log::commits::read_commit;
use flowc_delta::{DeltaSink, Storage};
use flowc_ir::plan::{SinkMode, SinkSpec};
use flowc_runtime::{Blame, Committed, EpochId, Partition, RunError, Sink};

fn sink(storage: &Storage, partition_by: &[&str]) -> DeltaSink {
    let spec =
        SinkSpec { mode: SinkMode::OverwritePartition, whole: true, ..sink_spec(numbers_schema(), partition_by) };
    DeltaSink::new(&spec, storage.clone())
}

async fn rows_of(storage: &Storage) -> Vec<String> {
    sorted(&table_rows(storage, &numbers_schema(), None).await)
}

#[tokio::test]
async fn only_partitions_with_rows_of_the_epoch_are_replaced() {
    let storage = memory();
    let sink = sink(&storage, &["part"]);
    let first = vec![numbers(0..2, Some("a")), numbers(2..4, Some("b")), numbers(4..6, None)];
    run_epoch(&sink, 1, &[first]).await.expect("commits");
    let second = [vec![numbers(10..11, Some("a"))], vec![numbers(11..12, Some("a")), numbers(12..13, Some("c"))]];
    run_epoch(&sink, 2, &second).await.expect("commits");
    let expected = ["10 | a", "11 | a", "12 | c", "2 | b", "3 | b", "4 | null", "5 | null"];
    assert_eq!(rows_of(&storage).await, expected);
    // The empty string lies in the partition of null.
    run_epoch(&sink, 3, &[vec![numbers(20..21, Some(""))]]).await.expect("commits");
    assert_eq!(rows_of(&storage).await, ["10 | a", "11 | a", "12 | c", "2 | b", "20 | null", "3 | b"]);
    let commit = read_commit(&storage, 2).await.expect("reads").expect("a commit");
    assert_eq!((commit.operation(), commit.removes.len()), ("WRITE", 1));
    assert_eq!(commit.info.as_ref().expect("an info")["isBlindAppend"], false);
    run_epoch(&sink, 4, &[vec![]]).await.expect("commits");
    assert_eq!(rows_of(&storage).await.len(), 6, "without rows nothing is replaced");
}

#[tokio::test]
async fn a_table_without_partitions_is_one() {
    let storage = memory();
    let sink = sink(&storage, &[]);
    run_epoch(&sink, 1, &[vec![numbers(0..2, None)]]).await.expect("commits");
    run_epoch(&sink, 2, &[vec![numbers(5..6, None)]]).await.expect("commits");
    assert_eq!(rows_of(&storage).await, ["5 | null"]);
}

#[tokio::test]
async fn rows_that_others_add_to_other_partitions_are_no_conflict() {
    for (part, code) in [(Some("b"), None), (Some("a"), Some("R0326"))] {
        let storage = memory();
        let sink = sink(&storage, &["part"]);
        run_epoch(&sink, 1, &[vec![numbers(0..2, Some("a")), numbers(2..4, Some("b"))]]).await.expect("commits");
        let epoch = sink.begin(epoch(2)).await.expect("begins");
        let mut writer = epoch.writer().await.expect("a writer");
        writer.write(&numbers(10..11, Some("a"))).await.expect("writes");
        let written = writer.finish().await.expect("finishes");
        append(&storage, &numbers_schema(), "other", &[numbers(7..8, part)]).await;
        match (epoch.commit(vec![written], &[]).await, code) {
            (Ok(_), None) => assert_eq!(rows_of(&storage).await, ["10 | a", "2 | b", "3 | b", "7 | b"]),
            (Err(error), Some(code)) => assert_eq!((error.code, error.blame), (code, Blame::World)),
            (other, _) => panic!("{part:?}: {other:?}"),
        }
    }
}

/// An epoch that computes one partition of a sink again.
fn again(number: u64, part: Option<&str>) -> EpochId {
    let partition = Partition([("part".to_string(), part.map(String::from))].into_iter().collect());
    EpochId { partition: Some(partition), ..epoch(number) }
}

async fn commit_again(sink: &DeltaSink, id: EpochId, batches: &[RecordBatch]) -> Result<Committed, RunError> {
    let epoch = sink.begin(id).await?;
    let mut writer = epoch.writer().await?;
    for batch in batches {
        writer.write(batch).await?;
    }
    epoch.commit(vec![writer.finish().await?], &[]).await
}

#[tokio::test]
async fn a_named_partition_is_replaced_whatever_the_mode() {
    let merge = SinkMode::Merge { keys: vec!["part".into(), "id".into()] };
    for mode in [SinkMode::Append, merge] {
        let storage = memory();
        let spec = SinkSpec { mode: mode.clone(), ..sink_spec(numbers_schema(), &["part"]) };
        let sink = DeltaSink::new(&spec, storage.clone());
        let first = vec![numbers(0..2, Some("a")), numbers(2..4, Some("b")), numbers(4..6, None)];
        run_epoch(&sink, 1, &[first]).await.expect("commits");
        // Rows of other partitions come too, and are left out.
        let rows = [numbers(10..12, Some("a")), numbers(12..13, Some("b")), numbers(13..14, Some(""))];
        let done = commit_again(&sink, again(2, Some("a")), &rows).await.expect("commits");
        assert_eq!((done.version, done.already), (Some(1), false));
        assert_eq!(rows_of(&storage).await, ["10 | a", "11 | a", "2 | b", "3 | b", "4 | null", "5 | null"], "{mode:?}");
        commit_again(&sink, again(3, None), &rows).await.expect("commits");
        assert_eq!(rows_of(&storage).await, ["10 | a", "11 | a", "13 | null", "2 | b", "3 | b"], "{mode:?}");
        commit_again(&sink, again(4, Some("b")), &[]).await.expect("commits");
        assert_eq!(rows_of(&storage).await, ["10 | a", "11 | a", "13 | null"], "{mode:?}");
        // Run again after a crash, it is there already.
        let already = commit_again(&sink, again(4, Some("b")), &rows).await.expect("commits");
        assert_eq!((already.version, already.already), (Some(3), true));
        let commit = read_commit(&storage, 1).await.expect("reads").expect("a commit");
        assert_eq!(commit.info.expect("an info")["operationParameters"]["partition"], "part=a");
        assert_eq!(sink.committed("pipeline/out").await.expect("is there"), Some(4));
        run_epoch(&sink, 5, &[vec![numbers(20..21, Some("b"))]]).await.expect("goes on");
        assert_eq!(rows_of(&storage).await, ["10 | a", "11 | a", "13 | null", "20 | b"], "{mode:?}");
    }
}

#[tokio::test]
async fn what_others_add_to_a_named_partition_is_not_replaced_unseen() {
    let merge = SinkMode::Merge { keys: vec!["part".into(), "id".into()] };
    for (mode, part, code) in [
        (SinkMode::Append, Some("b"), None),
        (SinkMode::Append, Some("a"), Some("R0326")),
        (merge.clone(), Some("b"), None),
        (merge, Some("a"), Some("R0326")),
    ] {
        let storage = memory();
        let spec = SinkSpec { mode, ..sink_spec(numbers_schema(), &["part"]) };
        let sink = DeltaSink::new(&spec, storage.clone());
        run_epoch(&sink, 1, &[vec![numbers(0..2, Some("a"))]]).await.expect("commits");
        let epoch = sink.begin(again(2, Some("a"))).await.expect("begins");
        let mut writer = epoch.writer().await.expect("a writer");
        writer.write(&numbers(10..11, Some("a"))).await.expect("writes");
        let written = writer.finish().await.expect("finishes");
        append(&storage, &numbers_schema(), "other", &[numbers(7..8, part)]).await;
        match (epoch.commit(vec![written], &[]).await, code) {
            (Ok(_), None) => assert_eq!(rows_of(&storage).await, ["10 | a", "7 | b"]),
            (Err(error), Some(code)) => assert_eq!((error.code, error.blame), (code, Blame::World)),
            (other, _) => panic!("{part:?}: {other:?}"),
        }
        // The epoch that is run again has seen them.
        let again = EpochId { resumed: true, ..again(2, Some("a")) };
        commit_again(&sink, again, &[numbers(10..11, Some("a"))]).await.expect("commits");
        let left = rows_of(&storage).await;
        assert!(left.contains(&"10 | a".to_string()) && !left.contains(&"7 | a".to_string()), "{left:?}");
    }
}

#[tokio::test]
async fn only_partition_columns_name_partitions() {
    let storage = memory();
    let sink = DeltaSink::new(&sink_spec(numbers_schema(), &["part"]), storage.clone());
    let named = |column: &str| Partition([(column.to_string(), Some("1".to_string()))].into_iter().collect());
    let error = sink.has_partition(&named("part")).await.expect_err("there is no table yet");
    assert_eq!((error.code, error.blame), ("R0416", Blame::Data));
    run_epoch(&sink, 1, &[vec![numbers(0..2, Some("a"))]]).await.expect("commits");
    sink.has_partition(&named("part")).await.expect("any value will do");
    assert_eq!(sink.has_partition(&named("id")).await.expect_err("no partition column").code, "R0416");
}
