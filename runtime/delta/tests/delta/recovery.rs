//! The process is killed at every storage operation in turn, or that operation fails alone, and it is run again: each row is in the table exactly once.

use crate::common::*;
use crate::faults::Dying;
use deltalake::logstore::object_store::ObjectStore;
use deltalake::logstore::object_store::memory::InMemory;
use flowc_delta::sink::Sizes;
use flowc_delta::{DeltaSink, Storage};
use flowc_ir::plan::SinkMode;
use flowc_runtime::{RunError, Sink};
use std::sync::Arc;

const EPOCHS: u64 = 4;

fn sink(storage: &Storage, mode: &SinkMode) -> DeltaSink {
    let spec = flowc_ir::plan::SinkSpec { mode: mode.clone(), ..sink_spec(numbers_schema(), &["part"]) };
    // A checkpoint at every second version, so that dying in one, and going on behind one, is among the points.
    let properties = [("delta.checkpointInterval".to_string(), "2".to_string())].into_iter().collect();
    let spec = flowc_ir::plan::SinkSpec { properties, ..spec };
    // Small sizes, so that an epoch has several files.
    DeltaSink::with_sizes(&spec, storage.clone(), Sizes { open_files: 1, ..Sizes::default() })
}

fn rows(epoch: u64) -> Vec<Vec<arrow::array::RecordBatch>> {
    let start = epoch as i64 * 10;
    vec![
        vec![numbers(start..start + 3, Some("a")), numbers(start + 3..start + 5, None)],
        vec![numbers(start + 5..start + 10, Some("a"))],
    ]
}

/// What the runtime does: goes on behind what the table says was committed.
async fn run(storage: &Storage, mode: &SinkMode) -> Result<(), RunError> {
    let sink = sink(storage, mode);
    let committed = sink.committed(APPLICATION).await?.unwrap_or(0);
    for number in committed + 1..=EPOCHS {
        let epoch = sink.begin(epoch(number)).await?;
        let mut written = vec![];
        for batches in rows(number) {
            let mut writer = epoch.writer().await?;
            for batch in &batches {
                writer.write(batch).await?;
            }
            written.push(writer.finish().await?);
        }
        if let Err(error) = epoch.commit(written.clone(), &[]).await {
            epoch.abort(written).await;
            return Err(error);
        }
    }
    Ok(())
}

async fn check(store: Arc<dyn ObjectStore>, mode: &SinkMode, what: &str) {
    let storage = place(store);
    let found = sorted(&table_rows(&storage, &numbers_schema(), None).await);
    let epochs = if *mode == SinkMode::Append { 1..=EPOCHS } else { EPOCHS..=EPOCHS };
    let expected: Vec<_> = epochs.flat_map(rows).flatten().collect();
    assert_eq!(found, sorted(&expected), "{what}");
    let last = sink(&storage, mode).committed(APPLICATION).await.expect("reads");
    assert_eq!(last, Some(EPOCHS), "{what}");
}

async fn every_point(mode: SinkMode) {
    let mut points = 0;
    for (effect, once) in [(false, false), (true, false), (false, true), (true, true)] {
        for kill_at in 0.. {
            let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
            let dying = if once { Dying::once } else { Dying::new }(store.clone(), kill_at, effect);
            let first = run(&place(Arc::new(dying.clone())), &mode).await;
            let what =
                format!("{mode:?}, operation {kill_at} fails (takes effect: {effect}, others do not fail: {once})");
            run(&place(store.clone()), &mode).await.unwrap_or_else(|e| panic!("{what}: {e}"));
            check(store, &mode, &what).await;
            points += 1;
            if first.is_ok() && !dying.died() {
                break;
            }
        }
    }
    println!("{mode:?}: {points} points");
    assert!(points > 120, "only {points} points");
}

#[tokio::test]
async fn append_is_exactly_once_wherever_it_is_killed() {
    every_point(SinkMode::Append).await;
}

#[tokio::test]
async fn overwrite_is_exactly_once_wherever_it_is_killed() {
    every_point(SinkMode::Overwrite).await;
}
