//! What `flowc show` is made of.

use crate::common::*;
use flowc_delta::sink::Sizes;
use flowc_delta::{DeltaSink, show};
use flowc_ir::plan::{SinkMode, SinkSpec};

async fn table() -> flowc_delta::Storage {
    let storage = memory();
    let sink = DeltaSink::with_sizes(&sink_spec(numbers_schema(), &["part"]), storage.clone(), Sizes::default());
    run_epoch(&sink, 1, &[vec![numbers(0..3, Some("a")), numbers(3..5, None)]]).await.expect("commits");
    run_epoch(&sink, 2, &[vec![numbers(5..9, Some("a"))]]).await.expect("commits");
    storage
}

#[tokio::test]
async fn a_summary_and_a_history() {
    let storage = table().await;
    let summary = show::summary(&storage, None).await.expect("a summary");
    assert_eq!((summary.versions, summary.protocol, summary.info.rows), ((0, 1), (1, 2), Some(9)));
    let partitions: Vec<_> = summary.partitions.iter().map(|p| (p.values["part"].clone(), p.files, p.rows)).collect();
    assert_eq!(partitions, [(None, 1, Some(2)), (Some("a".to_string()), 2, Some(7))]);
    assert_eq!(summary.applications[APPLICATION], 2);
    let history = show::history(&storage, 10).await.expect("a history");
    let lines: Vec<_> = history.iter().map(|e| (e.version, e.operation.as_str(), e.rows_added)).collect();
    assert_eq!(lines, [(1, "WRITE", Some(4)), (0, "CREATE TABLE AS SELECT", Some(5))]);
    assert_eq!((history[0].metrics["numOutputRows"].as_str(), history[0].parameters["epoch"].as_str()), ("4", "2"));
    assert_eq!(show::history(&memory(), 1).await.expect_err("no table").code, "R0221");
}

#[tokio::test]
async fn rows_and_changes() {
    let storage = table().await;
    let (schema, rows) = show::rows(&storage, None, 4).await.expect("rows");
    assert_eq!((schema, texts(&rows).len()), (numbers_schema(), 4));
    let old = Some(flowc_ir::plan::VersionSpec::Number(0));
    assert_eq!(texts(&show::rows(&storage, old, 100).await.expect("rows").1).len(), 5);
    let (_, changes) = show::changes(&storage, 1..=1, 100).await.expect("changes");
    assert_eq!(texts(&changes[0].rows), ["5 | a | 1", "6 | a | 1", "7 | a | 1", "8 | a | 1"]);
    let spec = SinkSpec { mode: SinkMode::Overwrite, ..sink_spec(numbers_schema(), &["part"]) };
    let rows = vec![numbers(0..2, Some("a")), numbers(3..5, None)];
    run_epoch(&DeltaSink::new(&spec, storage.clone()), 3, &[rows]).await.expect("commits");
    let (_, changes) = show::changes(&storage, 1..=2, 3).await.expect("changes");
    assert_eq!(changes[0].count.zip(changes[1].count), Some((4, 5)));
    assert_eq!(texts(&changes[1].rows), ["2 | a | -1", "5 | a | -1", "6 | a | -1"]);
    assert_eq!(show::changes(&storage, 1..=7, 100).await.expect_err("no such version").code, "R0222");
}
