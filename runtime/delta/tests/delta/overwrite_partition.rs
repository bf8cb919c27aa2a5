//! Sinks that replace the partitions that they write to, and no others.

use crate::common::*;
use flowc_delta::log::commits::read_commit;
use flowc_delta::{DeltaSink, Storage};
use flowc_ir::plan::{SinkMode, SinkSpec};
use flowc_runtime::{Blame, Sink};

fn sink(storage: &Storage, partition_by: &[&str]) -> DeltaSink {
    let spec =
        SinkSpec { mode: SinkMode::OverwritePartition, whole: true, ..sink_spec(numbers_schema(), partition_by) };
    DeltaSink::new(&spec, storage.clone())
}

async fn rows(storage: &Storage) -> Vec<String> {
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
    assert_eq!(rows(&storage).await, expected);
    // The empty string lies in the partition of null.
    run_epoch(&sink, 3, &[vec![numbers(20..21, Some(""))]]).await.expect("commits");
    assert_eq!(rows(&storage).await, ["10 | a", "11 | a", "12 | c", "2 | b", "20 | null", "3 | b"]);
    let commit = read_commit(&storage, 2).await.expect("reads").expect("a commit");
    assert_eq!((commit.operation(), commit.removes.len()), ("WRITE", 1));
    assert_eq!(commit.info.as_ref().expect("an info")["isBlindAppend"], false);
    run_epoch(&sink, 4, &[vec![]]).await.expect("commits");
    assert_eq!(rows(&storage).await.len(), 6, "without rows nothing is replaced");
}

#[tokio::test]
async fn a_table_without_partitions_is_one() {
    let storage = memory();
    let sink = sink(&storage, &[]);
    run_epoch(&sink, 1, &[vec![numbers(0..2, None)]]).await.expect("commits");
    run_epoch(&sink, 2, &[vec![numbers(5..6, None)]]).await.expect("commits");
    assert_eq!(rows(&storage).await, ["5 | null"]);
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
            (Ok(_), None) => assert_eq!(rows(&storage).await, ["10 | a", "2 | b", "3 | b", "7 | b"]),
            (Err(error), Some(code)) => assert_eq!((error.code, error.blame), (code, Blame::World)),
            (other, _) => panic!("{part:?}: {other:?}"),
        }
    }
}
