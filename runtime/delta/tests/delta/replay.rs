//! Rows that a replay takes out of their table: in one commit with those that come back, wherever it is killed, and beside other writers.

use crate::common::*;
use crate::faults::Dying;
use deltalake::logstore::object_store::ObjectStore;
use deltalake::logstore::object_store::memory::InMemory;
use flowc_delta::log::Snapshot;
use flowc_delta::log::commits::read_commit;
use flowc_delta::sink::Sizes;
use flowc_delta::{DeltaSink, Storage};
use flowc_ir::plan::SinkSpec;
use flowc_runtime::{Blame, Committed, EpochId, Position, RunError, Sink, SinkEpoch, Written};
use serde_json::json;
use std::sync::Arc;

const REPLAYS: &str = "pipeline/out/replay/out";

fn sink(storage: &Storage) -> DeltaSink {
    let properties = [("delta.checkpointInterval".to_string(), "2".to_string())].into_iter().collect();
    let spec = SinkSpec { properties, ..sink_spec(numbers_schema(), &["part"]) };
    DeltaSink::with_sizes(&spec, storage.clone(), Sizes { open_files: 1, ..Sizes::default() })
}

async fn snapshot(storage: &Storage) -> Snapshot {
    Snapshot::load(storage, None).await.expect("loads")
}

/// A table with the rows 0 to 9 in several files, and where a replay has read it.
async fn rejected(storage: &Storage) -> Position {
    let sink = sink(storage);
    run_epoch(&sink, 1, &[vec![numbers(0..5, Some("a"))]]).await.expect("commits");
    run_epoch(&sink, 2, &[vec![numbers(5..8, Some("b"))], vec![numbers(8..10, None)]]).await.expect("commits");
    let now = snapshot(storage).await;
    Position(json!({ "version": now.version, "snapshot": true, "table": now.metadata.id }))
}

/// Begins the replay and writes the rows that fail again: 3 and 4.
async fn begun(storage: &Storage, read: &Position, resumed: bool) -> Result<(Box<dyn SinkEpoch>, Written), RunError> {
    let program = Some("/w/p.flow".to_string());
    let id = EpochId { takes: Some(read.clone()), resumed, program, ..EpochId::new(REPLAYS, 1) };
    let epoch = sink(storage).begin(id).await?;
    let mut writer = epoch.writer().await?;
    writer.write(&numbers(3..5, Some("a"))).await?;
    Ok((epoch, writer.finish().await?))
}

/// What the runtime does.
async fn replayed(storage: &Storage, read: &Position, resumed: bool) -> Result<Option<Committed>, RunError> {
    if sink(storage).committed(REPLAYS).await? == Some(1) {
        return Ok(None);
    }
    let (epoch, written) = begun(storage, read, resumed).await?;
    match epoch.commit(vec![written.clone()], &[]).await {
        Ok(done) => Ok(Some(done)),
        Err(error) => {
            epoch.abort(vec![written]).await;
            Err(error)
        }
    }
}

async fn rows(storage: &Storage) -> Vec<String> {
    sorted(&table_rows(storage, &numbers_schema(), None).await)
}

/// Puts lines as the next version, as another writer would.
async fn other_commit(storage: &Storage, lines: &[serde_json::Value]) {
    let version = snapshot(storage).await.version + 1;
    let text: Vec<String> = lines.iter().map(|l| l.to_string()).collect();
    let body = deltalake::logstore::CommitOrBytes::LogBytes(text.join("\n").into());
    storage.log_store().write_commit_entry(version, body, uuid::Uuid::nil()).await.expect("writes");
}

/// Takes files out of the table, or moves what they hold.
async fn remove(storage: &Storage, wanted: impl Fn(usize) -> bool, change: bool) {
    let files = snapshot(storage).await.ordered_files();
    let gone = files.iter().enumerate().filter(|(i, _)| wanted(*i)).map(|(_, f)| f);
    let lines: Vec<_> = gone
        .flat_map(|f| {
            let remove = json!({ "remove": f.removal(0, change) });
            // As OPTIMIZE does it, file by file: the same rows, elsewhere.
            let add = (!change).then(|| {
                let path = f.path.replace("part-0", "part-9");
                json!({ "add": { "path": path, "partitionValues": f.partition_values, "size": f.size, "modificationTime": 0, "dataChange": false, "stats": f.stats } })
            });
            [Some(remove), add].into_iter().flatten().collect::<Vec<_>>()
        })
        .collect();
    other_commit(storage, &lines).await;
}

#[tokio::test]
async fn rows_leave_once_wherever_it_is_killed() {
    let expected = sorted(&[numbers(3..5, Some("a")), numbers(100..103, None)]);
    let mut points = 0;
    for (effect, once) in [(false, false), (true, false), (false, true), (true, true)] {
        for kill_at in 0.. {
            let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
            let read = rejected(&place(store.clone())).await;
            let dying = if once { Dying::once } else { Dying::new }(store.clone(), kill_at, effect);
            let first = replayed(&place(Arc::new(dying.clone())), &read, false).await;
            let storage = place(store);
            // An ordinary run rejects further rows meanwhile.
            append(&storage, &numbers_schema(), "pipeline/other", &[numbers(100..103, None)]).await;
            let what = format!("operation {kill_at} fails (takes effect: {effect}, others do not fail: {once})");
            replayed(&storage, &read, true).await.unwrap_or_else(|e| panic!("{what}: {e}"));
            assert_eq!(rows(&storage).await, expected, "{what}");
            points += 1;
            if first.is_ok() && !dying.died() {
                break;
            }
        }
    }
    assert!(points > 40, "only {points} points");
}

#[tokio::test]
async fn the_commit_says_what_it_did() {
    let storage = memory();
    let read = rejected(&storage).await;
    let done = replayed(&storage, &read, false).await.expect("commits").expect("is new");
    let commit = read_commit(&storage, done.version.expect("a version")).await.expect("reads").expect("is there");
    assert_eq!((commit.operation(), commit.removes.len(), commit.adds.len()), ("REPLAY", 3, 1));
    let info = commit.info.expect("who did it");
    assert_eq!(info["operationParameters"]["version"], "1");
    assert_eq!(info["operationParameters"]["program"], "/w/p.flow");
    assert_eq!(info["operationMetrics"]["numReplayedRows"], "10");
    assert_eq!(info["operationMetrics"]["numPassedRows"], "8");
    assert_eq!(info["isBlindAppend"], false);
    assert_eq!(
        sink(&storage).committed(APPLICATION).await.expect("reads"),
        Some(2),
        "epochs have an account of their own"
    );
}

#[tokio::test]
async fn rows_that_came_later_stay_and_moved_files_are_followed() {
    let storage = memory();
    let read = rejected(&storage).await;
    let (epoch, written) = begun(&storage, &read, false).await.expect("begins");
    append(&storage, &numbers_schema(), "pipeline/other", &[numbers(50..52, Some("a"))]).await;
    remove(&storage, |file| file < 2, false).await;
    epoch.commit(vec![written], &[]).await.expect("commits");
    let expected = sorted(&[numbers(3..5, Some("a")), numbers(50..52, Some("a"))]);
    let left = snapshot(&storage).await;
    let count: u64 = left.files.values().filter_map(|f| f.rows()).sum();
    assert_eq!((left.files.len(), count), (2, 4));
    assert_eq!(rows(&storage).await, expected);
}

#[tokio::test]
async fn rows_that_someone_else_took_out_are_a_conflict() {
    let storage = memory();
    let read = rejected(&storage).await;
    let (epoch, written) = begun(&storage, &read, false).await.expect("begins");
    let before = snapshot(&storage).await;
    remove(&storage, |file| file == 0, true).await;
    let error = epoch.commit(vec![written.clone()], &[]).await.expect_err("a conflict");
    epoch.abort(vec![written]).await;
    assert_eq!((error.code, error.blame), ("R0330", Blame::World));
    assert_eq!(sink(&storage).committed(REPLAYS).await.expect("reads"), None);
    // The table is restored, and the replay is finished.
    let now = snapshot(&storage).await;
    let back = before.files.iter().filter(|(key, _)| !now.files.contains_key(key)).map(|(_, f)| json!({ "add": **f }));
    other_commit(&storage, &back.collect::<Vec<_>>()).await;
    replayed(&storage, &read, true).await.expect("commits");
    assert_eq!(rows(&storage).await, sorted(&[numbers(3..5, Some("a"))]));
}

#[tokio::test]
async fn a_table_that_was_emptied_meanwhile_ends_an_unfinished_replay() {
    let storage = memory();
    let read = rejected(&storage).await;
    remove(&storage, |_| true, true).await;
    let error = replayed(&storage, &read, false).await.expect_err("a conflict");
    assert_eq!(error.code, "R0330");
    append(&storage, &numbers_schema(), "pipeline/other", &[numbers(50..52, Some("a"))]).await;
    replayed(&storage, &read, true).await.expect("commits");
    assert_eq!(sink(&storage).committed(REPLAYS).await.expect("reads"), Some(1));
    let left = sorted(&[numbers(50..52, Some("a"))]);
    assert_eq!(rows(&storage).await, left, "who took the rows out has decided over those that fail again, too");
}

#[tokio::test]
async fn tables_that_rows_cannot_leave_are_refused_before_anything_is_written() {
    let storage = memory();
    let properties = [("delta.appendOnly".to_string(), "true".to_string())].into_iter().collect();
    let spec = SinkSpec { properties, ..sink_spec(numbers_schema(), &[]) };
    run_epoch(&DeltaSink::new(&spec, storage.clone()), 1, &[vec![numbers(0..5, None)]]).await.expect("commits");
    let id = snapshot(&storage).await.metadata.id;
    let read = Position(json!({ "version": 0, "table": id }));
    let error = replayed(&storage, &read, false).await.expect_err("refused");
    assert_eq!((error.code, error.blame), ("R0324", Blame::Data));
    let another = Position(json!({ "version": 0, "table": "another" }));
    assert_eq!(replayed(&storage, &another, false).await.expect_err("refused").code, "R0228");
    let foreign = Position(json!([1, 2]));
    assert_eq!(replayed(&storage, &foreign, false).await.expect_err("refused").code, "R0229");
}
