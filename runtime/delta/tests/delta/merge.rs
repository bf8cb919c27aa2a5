//! Merges against a map by key: random epochs with nulls and NaN in keys, partitions, deletion vectors, the change data feed, in memory and beyond it; beside other
//! writers, and killed at every storage operation.

use crate::changing::*;
use crate::common::*;
use crate::faults::Dying;
use deltalake::logstore::object_store::ObjectStore;
use deltalake::logstore::object_store::memory::InMemory;
use flowc_delta::log::Snapshot;
use flowc_delta::log::commits::read_commit;
use flowc_delta::sink::Sizes;
use flowc_delta::{DeltaSink, Storage};
use flowc_ir::plan::{SinkMode, SinkSpec};
use flowc_ir::{DataType, Schema};
use flowc_runtime::{Blame, EpochId, Position, Sink};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a run of random epochs is made of.
#[derive(Debug, Clone, Copy)]
struct Shape {
    changing: bool,
    partitioned: bool,
    /// Whether the partition column is part of the key.
    part_is_key: bool,
    /// Whether `id` alone is the key: a number.
    number: bool,
    vectors: bool,
    feed: bool,
    /// So many bytes of rows in memory.
    memory: usize,
    /// So many bytes a file.
    file_bytes: usize,
    /// Whether files are copied page by page, however small.
    pages: bool,
}

impl Shape {
    fn random(random: &mut Random) -> Shape {
        let partitioned = random.one_in(2);
        let number = random.one_in(3);
        Shape {
            changing: random.one_in(2),
            partitioned,
            part_is_key: partitioned && !number && random.one_in(2),
            number,
            vectors: random.one_in(2),
            feed: random.one_in(2),
            memory: random.pick(&[1, 3_000, 64 << 20]),
            file_bytes: random.pick(&[1, 4_000, 128 << 20]),
            pages: random.one_in(2),
        }
    }

    fn spec(&self) -> SinkSpec {
        let keys: &[&str] = match (self.number, self.part_is_key) {
            (true, _) => &["id"],
            (false, true) => &["id", "part", "f"],
            (false, false) => &["id", "f"],
        };
        let keys = keys.iter().map(|k| k.to_string()).collect();
        let wanted = [("delta.enableDeletionVectors", self.vectors), ("delta.enableChangeDataFeed", self.feed)];
        let properties = wanted.iter().filter(|(_, on)| *on).map(|(k, _)| (k.to_string(), "true".to_string()));
        // Going on behind checkpoints, with deletion vectors in them, is part of it.
        let checkpoints = [("delta.checkpointInterval".to_string(), "2".to_string())];
        SinkSpec {
            mode: SinkMode::Merge { keys },
            changing: self.changing,
            properties: properties.chain(checkpoints).collect(),
            ..sink_spec(schema(), if self.partitioned { &["part"] } else { &[] })
        }
    }

    fn key(&self, row: &Row) -> Key {
        if self.number { (row.id, None, None) } else { row.key(self.part_is_key) }
    }

    fn sizes(&self) -> Sizes {
        let copied_bytes = if self.pages { 0 } else { usize::MAX };
        Sizes { file_bytes: self.file_bytes, open_files: 2, copied_bytes, ..Sizes::default() }
    }

    fn sink(&self, storage: &Storage) -> DeltaSink {
        DeltaSink::with_sizes(&self.spec(), storage.clone(), self.sizes())
    }
}

type Table = BTreeMap<Key, Row>;

/// The rows of an epoch, and the table after it.
fn epoch_rows(random: &mut Random, shape: &Shape, table: &mut Table) -> Vec<Vec<arrow::array::RecordBatch>> {
    let count = random.pick(&[0, 1, 5, 40]);
    if !shape.changing {
        let rows: Vec<Row> = (0..count).map(|_| Row::random(random)).collect();
        table.extend(rows.iter().map(|row| (shape.key(row), *row)));
        return vec![rows.chunks(7).map(batch).collect()];
    }
    let mut changes: Vec<(Row, i64)> = vec![];
    for _ in 0..count {
        let row = Row::random(random);
        let key = shape.key(&row);
        let leaves = random.one_in(3);
        let old = if leaves { table.remove(&key) } else { table.insert(key, row) };
        changes.extend(old.map(|old| (old, -1)));
        if !leaves {
            changes.push((row, 1));
        } else if random.one_in(3) {
            // It was here and gone within the epoch, in pieces.
            changes.extend([(row, 2), (row, -1), (row, -1)]);
        }
    }
    random.shuffle(&mut changes);
    let (one, two) = changes.split_at(changes.len() / 2);
    [one, two].iter().map(|part| part.chunks(6).map(weighted).collect()).collect()
}

/// Whether the files of a commit have the rows, nulls and bounds that the log says.
async fn statistics_are_right(storage: &Storage, commit: &flowc_delta::log::Commit, what: &str) {
    use arrow::array::{Array, AsArray, Int64Array};
    use arrow::datatypes::Int64Type;
    for add in commit.adds.iter().filter(|add| add.deletion_vector.is_none()) {
        let path = object_store::path::Path::parse(flowc_delta::storage::percent_decode(&add.path)).expect("a path");
        let bytes = bytes::Bytes::from(storage.get(&path).await.expect("is there"));
        assert_eq!(bytes.len() as i64, add.size, "{what}");
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(bytes).expect("opens");
        let batches: Vec<_> = reader.build().expect("a reader").map(|b| b.expect("reads")).collect();
        let stats: serde_json::Value = serde_json::from_str(add.stats.as_deref().expect("statistics")).expect("json");
        assert_eq!(stats["numRecords"], batches.iter().map(|b| b.num_rows()).sum::<usize>(), "{what}");
        for name in ["id", "v"] {
            let columns = batches.iter().map(|b| b.column_by_name(name).expect("a column").as_primitive::<Int64Type>());
            let all: Int64Array = columns.flat_map(|c| c.iter()).collect();
            let bound = |value: Option<i64>| value.map(serde_json::Value::from);
            assert_eq!(stats["minValues"].get(name).cloned(), bound(arrow::compute::min(&all)), "{what}: {stats}");
            assert_eq!(stats["maxValues"].get(name).cloned(), bound(arrow::compute::max(&all)), "{what}: {stats}");
            assert_eq!(stats["nullCount"][name], all.null_count(), "{what}: {stats}");
        }
    }
}

async fn random_epochs(seed: u64, spilled: &mut usize, fed: &mut usize, vectors: &mut usize) {
    let mut random = Random(seed);
    let shape = Shape::random(&mut random);
    // Files of the local file system are read in another way than those of other stores.
    let folder = tempfile::tempdir().expect("a folder");
    let local = || Storage::open(&folder.path().to_string_lossy()).expect("a location");
    let storage = if random.one_in(2) { memory() } else { local() };
    let sink = shape.sink(&storage);
    let mut table = Table::new();
    for number in 1..=5 {
        let what = format!("seed {seed}, {shape:?}, epoch {number}");
        let before = table.len() as i64;
        let workers = epoch_rows(&mut random, &shape, &mut table);
        let done = run_with(&sink, epoch(number), shape.memory, &workers).await;
        let done = done.unwrap_or_else(|e| panic!("{what}: {e}"));
        let rows: Vec<Row> = table.values().copied().collect();
        let found = table_rows(&storage, &schema(), None).await;
        assert_eq!(row_texts(&found), row_texts(&[batch(&rows)]), "{what}");
        let version = done.version.expect("a version");
        let commit = read_commit(&storage, version).await.expect("reads").expect("a commit");
        assert_eq!(commit.txns[0].version, number as i64, "{what}");
        statistics_are_right(&storage, &commit, &what).await;
        *spilled += usize::from(shape.memory < 64 << 20);
        *vectors += commit.adds.iter().filter(|a| a.deletion_vector.is_some()).count();
        if number == 1 {
            assert_eq!(commit.operation(), "CREATE TABLE AS SELECT");
            continue;
        }
        assert_eq!(commit.operation(), "MERGE");
        let grown = metric(&commit, "numTargetRowsInserted") - metric(&commit, "numTargetRowsDeleted");
        assert_eq!(grown, table.len() as i64 - before, "{what}");
        if shape.feed {
            *fed += usize::from(feed_is_right(&storage, &schema(), version, &what).await);
        } else {
            assert!(commit.cdcs.is_empty());
        }
    }
    let again = run_with(&sink, epoch(5), shape.memory, &[]).await.expect("commits");
    assert!(again.already, "seed {seed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_is_a_map_by_key() {
    let (mut spilled, mut fed, mut vectors) = (0, 0, 0);
    for seed in 0..48 {
        random_epochs(seed, &mut spilled, &mut fed, &mut vectors).await;
    }
    assert!(spilled > 20 && fed > 15 && vectors > 8, "{spilled} {fed} {vectors}");
}

fn row(id: i64, v: i64) -> Row {
    Row { id: Some(id), f: None, part: None, v: Some(v) }
}

fn plain(changing: bool) -> Shape {
    let (memory, file_bytes) = (64 << 20, 128 << 20);
    Shape {
        changing,
        partitioned: false,
        part_is_key: false,
        number: false,
        vectors: false,
        feed: false,
        memory,
        file_bytes,
        pages: false,
    }
}

async fn data_files(storage: &Storage) -> usize {
    use futures::TryStreamExt;
    let all: Vec<_> = storage.store().list(None).try_collect().await.expect("lists");
    all.iter().filter(|o| !o.location.as_ref().starts_with("_delta_log")).count()
}

async fn merge(storage: &Storage, shape: &Shape, number: u64, rows: &[Row]) -> flowc_runtime::Committed {
    run_with(&shape.sink(storage), epoch(number), shape.memory, &[vec![batch(rows)]]).await.expect("commits")
}

async fn rows_of(storage: &Storage) -> Vec<String> {
    row_texts(&table_rows(storage, &schema(), None).await)
}

fn expected(rows: &[Row]) -> Vec<String> {
    row_texts(&[batch(rows)])
}

#[tokio::test]
async fn a_key_that_is_left_twice_stops_the_epoch() {
    let storage = memory();
    let sink = plain(true).sink(&storage);
    run_with(&sink, epoch(1), 1 << 20, &[vec![weighted(&[(row(1, 1), 1)])]]).await.expect("commits");
    let twice = [
        (vec![(row(7, 1), 1), (row(7, 2), 1), (row(2, 0), 1)], "two rows are left"),
        (vec![(row(7, 1), 1), (row(7, 1), 1)], "is left 2 times"),
        (vec![(row(7, 1), 2)], "is left 2 times"),
    ];
    for (rows, why) in twice {
        let error = run_with(&sink, epoch(2), 1 << 20, &[vec![weighted(&rows)]]).await.expect_err("ambiguous");
        assert_eq!((error.code, error.blame), ("R0341", Blame::Data));
        for part in ["sink `out`", "epoch 2", "{id: 7, f: null}", "{id: 7, f: null, part: null, v: 1}", why] {
            assert!(error.message.contains(part), "{part} in {}", error.message);
        }
        assert_eq!(Snapshot::load(&storage, None).await.expect("loads").version, 0);
        assert_eq!(data_files(&storage).await, 1);
    }
    // Taken away before it is added: one row is left.
    let rows = [(row(7, 1), 1), (row(7, 2), 1), (row(7, 1), -1)];
    run_with(&sink, epoch(2), 1 << 20, &[vec![weighted(&rows)]]).await.expect("commits");
    assert_eq!(rows_of(&storage).await, expected(&[row(1, 1), row(7, 2)]));
}

#[tokio::test]
async fn files_without_the_keys_are_not_touched() {
    let (storage, shape) = (memory(), Shape { file_bytes: 1, ..plain(false) });
    for number in 0..4 {
        let rows: Vec<Row> = (0..100).map(|i| row(number as i64 * 100 + i, 0)).collect();
        merge(&storage, &shape, number + 1, &rows).await;
    }
    // The overall range of the keys covers all files; between its ends there are none of the middle ones' keys.
    let done = merge(&storage, &shape, 5, &[row(3, 1), row(399, 1), row(1000, 1)]).await;
    let commit = read_commit(&storage, 4).await.expect("reads").expect("a commit");
    assert_eq!((commit.removes.len(), done.rows, done.files), (2, 3, 3));
    assert_eq!(metric(&commit, "numTargetRowsUpdated"), 2);
    assert_eq!(metric(&commit, "numTargetRowsInserted"), 1);
    assert_eq!(metric(&commit, "numTargetRowsCopied"), 198);
    assert_eq!(metric(&commit, "numTargetFilesRemoved"), 2);
    assert_eq!(commit.info.as_ref().expect("an info")["isBlindAppend"], false);
    assert_eq!(
        commit.info.as_ref().expect("an info")["operationParameters"]["predicate"],
        "(target.`id` <=> source.`id`) AND (target.`f` <=> source.`f`)"
    );
}

#[tokio::test]
async fn few_rows_get_a_deletion_vector_and_many_a_new_file() {
    let (storage, shape) = (memory(), Shape { vectors: true, ..plain(false) });
    let all: Vec<Row> = (0..100).map(|i| row(i, 0)).collect();
    merge(&storage, &shape, 1, &all).await;
    merge(&storage, &shape, 2, &all[..10].iter().map(|r| Row { v: Some(1), ..*r }).collect::<Vec<_>>()).await;
    merge(&storage, &shape, 3, &all[5..20].iter().map(|r| Row { v: Some(2), ..*r }).collect::<Vec<_>>()).await;
    let vectors = |commit: &flowc_delta::log::Commit| -> Vec<u64> {
        commit.adds.iter().filter_map(|a| Some(a.deletion_vector.as_ref()?.cardinality)).collect()
    };
    let second = read_commit(&storage, 1).await.expect("reads").expect("a commit");
    let third = read_commit(&storage, 2).await.expect("reads").expect("a commit");
    assert_eq!(vectors(&second), [10]);
    assert_eq!(vectors(&third), [20], "those that were gone before are gone still");
    assert_eq!(metric(&second, "numTargetFilesRemoved"), 0);
    assert!(second.adds.iter().any(|a| a.stats.as_ref().is_some_and(|s| s.contains("\"tightBounds\":false"))));
    merge(&storage, &shape, 4, &all[20..80].iter().map(|r| Row { v: Some(3), ..*r }).collect::<Vec<_>>()).await;
    let fourth = read_commit(&storage, 3).await.expect("reads").expect("a commit");
    assert_eq!((vectors(&fourth), metric(&fourth, "numTargetRowsCopied")), (vec![], 20));
    let v = |i: i64| {
        if i < 5 {
            1
        } else if i < 20 {
            2
        } else if i < 80 {
            3
        } else {
            0
        }
    };
    let rows: Vec<Row> = (0..100).map(|i| row(i, v(i))).collect();
    assert_eq!(rows_of(&storage).await, expected(&rows));
}

/// Begins an epoch and writes its rows, without committing.
async fn begun(
    storage: &Storage,
    shape: &Shape,
    number: u64,
    rows: &[Row],
) -> (Box<dyn flowc_runtime::SinkEpoch>, flowc_runtime::Written) {
    let scratch = flowc_runtime::Scratch { memory: shape.memory, ..flowc_runtime::Scratch::default() };
    let id = EpochId { scratch, ..epoch(number) };
    let epoch = shape.sink(storage).begin(id).await.expect("begins");
    let mut writer = epoch.writer().await.expect("a writer");
    writer.write(&batch(rows)).await.expect("writes");
    (epoch, writer.finish().await.expect("finishes"))
}

/// A store in which others commit while a merge is under way: just before its first attempt to write a version.
async fn beside(shape: Shape, other: impl AsyncFnOnce(&Storage)) -> (Storage, u64) {
    use crate::faults::Meeting;
    let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let storage = place(inner.clone());
    merge(&storage, &shape, 1, &[row(1, 0), row(2, 0), row(3, 0)]).await;
    let (meeting, met, go) = Meeting::new(inner, "_delta_log/00000000000000000001.json");
    let slow = place(Arc::new(meeting));
    let (epoch, written) = begun(&slow, &shape, 2, &[row(2, 1), row(50, 1)]).await;
    let mut committing = tokio::spawn(async move { epoch.commit(vec![written], &[]).await });
    tokio::select! {
        met = met => met.expect("it gets there"),
        done = &mut committing => panic!("it did not wait: {done:?}"),
    }
    other(&storage).await;
    go.send(()).expect("it waits");
    let done = committing.await.expect("no panic").expect("commits");
    (storage, done.version.expect("a version"))
}

#[tokio::test]
async fn a_merge_sees_what_others_add_meanwhile() {
    for vectors in [false, true] {
        let shape = Shape { vectors, feed: true, ..plain(false) };
        // Another writer adds a row with a key of the epoch.
        let (storage, version) = beside(shape, async |storage| {
            append(storage, &schema(), "other", &[batch(&[row(50, 7), row(60, 7)])]).await;
        })
        .await;
        assert_eq!(version, 2);
        assert_eq!(rows_of(&storage).await, expected(&[row(1, 0), row(2, 1), row(3, 0), row(50, 1), row(60, 7)]));
        assert!(feed_is_right(&storage, &schema(), 2, "planned again").await);
        // Another adds such a row, and moves it.
        let (storage, version) = beside(shape, async |storage| {
            append(storage, &schema(), "other", &[batch(&[row(50, 7)])]).await;
            move_file(storage, 1, false).await;
        })
        .await;
        assert_eq!(version, 3);
        assert_eq!(rows_of(&storage).await, expected(&[row(1, 0), row(2, 1), row(3, 0), row(50, 1)]));
        // One with keys that it has not: what was planned is right still.
        let (storage, _) = beside(shape, async |storage| {
            append(storage, &schema(), "other", &[batch(&[row(70, 7)])]).await;
        })
        .await;
        assert_eq!(rows_of(&storage).await, expected(&[row(1, 0), row(2, 1), row(3, 0), row(50, 1), row(70, 7)]));
    }
}

/// Another writer moves the rows of a file to another one.
async fn move_file(storage: &Storage, number: usize, data_change: bool) {
    use deltalake::logstore::object_store::{ObjectStoreExt, path::Path};
    let now = Snapshot::load(storage, None).await.expect("loads");
    let add = now.ordered_files()[number].clone();
    let from = Path::parse(&add.path).expect("a path");
    storage.store().copy(&from, &Path::from("moved.parquet")).await.expect("copies");
    let new = flowc_delta::log::Add { path: "moved.parquet".into(), data_change, ..add.as_ref().clone() };
    let lines = [serde_json::json!({ "remove": add.removal(0, data_change) }), serde_json::json!({ "add": new })];
    let text: Vec<String> = lines.iter().map(|l| l.to_string()).collect();
    let body = deltalake::logstore::CommitOrBytes::LogBytes(text.join("\n").into());
    storage.log_store().write_commit_entry(now.version + 1, body, uuid::Uuid::nil()).await.expect("writes");
}

#[tokio::test]
async fn a_merge_follows_files_that_others_rewrite_meanwhile() {
    // The epoch's rows are read again: from memory, from one file of them, from those that they fall apart into.
    for (data_change, memory) in [(false, 64 << 20), (true, 64 << 20), (true, 3_000), (true, 1)] {
        let shape = Shape { memory, number: true, ..plain(false) };
        let (storage, version) = beside(shape, async |storage| {
            // Another writer moves the rows to another file, or changes them.
            move_file(storage, 0, data_change).await;
        })
        .await;
        assert_eq!(version, 2);
        assert_eq!(rows_of(&storage).await, expected(&[row(1, 0), row(2, 1), row(3, 0), row(50, 1)]));
        let commit = read_commit(&storage, 2).await.expect("reads").expect("a commit");
        assert_eq!(commit.removes.iter().map(|r| r.path.as_str()).collect::<Vec<_>>(), ["moved.parquet"]);
        let live = Snapshot::load(&storage, None).await.expect("loads").files.len();
        assert_eq!(data_files(&storage).await, live + 2, "what was planned first is removed");
    }
}

#[tokio::test]
async fn a_merge_is_exactly_once_wherever_it_is_killed() {
    let shape = Shape { partitioned: true, vectors: true, feed: true, memory: 1, file_bytes: 1, ..plain(false) };
    const EPOCHS: u64 = 2;
    let rows = |number: i64| -> Vec<Row> { (0..6).map(|i| row((number * 3 + i) % 8, number)).collect() };
    let run = async |storage: &Storage| {
        let sink = shape.sink(storage);
        let committed = sink.committed(APPLICATION).await?.unwrap_or(0);
        for number in committed + 1..=EPOCHS {
            run_with(&sink, epoch(number), shape.memory, &[vec![batch(&rows(number as i64))]]).await?;
        }
        Ok::<_, flowc_runtime::RunError>(())
    };
    let table: Table = (1..=EPOCHS as i64).flat_map(rows).map(|row| (row.key(false), row)).collect();
    let all = expected(&table.values().copied().collect::<Vec<_>>());
    let mut points = 0;
    for (effect, once) in [(false, false), (true, false), (true, true)] {
        for kill_at in 0.. {
            let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
            let dying = if once { Dying::once } else { Dying::new }(store.clone(), kill_at, effect);
            let first = run(&place(Arc::new(dying.clone()))).await;
            let storage = place(store);
            let what = format!("operation {kill_at} fails (takes effect: {effect}, others do not fail: {once})");
            run(&storage).await.unwrap_or_else(|e| panic!("{what}: {e}"));
            assert_eq!(rows_of(&storage).await, all, "{what}");
            assert_eq!(shape.sink(&storage).committed(APPLICATION).await.expect("reads"), Some(EPOCHS), "{what}");
            points += 1;
            if first.is_ok() && !dying.died() {
                break;
            }
        }
    }
    assert!(points > 100, "only {points} points");
}

#[tokio::test]
async fn a_full_refresh_leaves_the_epochs_rows_alone() {
    let (storage, shape) = (memory(), Shape { feed: true, vectors: true, ..plain(false) });
    merge(&storage, &shape, 1, &[row(1, 0), row(2, 0)]).await;
    let id = EpochId { replace: true, ..epoch(2) };
    let rows = [row(2, 5), row(3, 5), row(2, 6)];
    run_with(&shape.sink(&storage), id, 1 << 20, &[vec![batch(&rows)]]).await.expect("commits");
    assert_eq!(rows_of(&storage).await, expected(&[row(2, 6), row(3, 5)]));
    let commit = read_commit(&storage, 1).await.expect("reads").expect("a commit");
    assert_eq!((commit.operation(), commit.removes.len(), commit.cdcs.len()), ("WRITE", 1, 0));
    assert_eq!(data_files(&storage).await, 2);
}

#[tokio::test]
async fn replayed_rows_leave_in_the_same_commit() {
    let (storage, shape) = (memory(), Shape { feed: true, ..plain(false) });
    merge(&storage, &shape, 1, &[row(1, 0), row(2, 0)]).await;
    let id = Snapshot::load(&storage, None).await.expect("loads").metadata.id;
    merge(&storage, &shape, 2, &[row(8, 0)]).await;
    let read = Position(serde_json::json!({ "version": 0, "table": id }));
    let id = EpochId { takes: Some(read), ..EpochId::new("pipeline/out/replay/out", 1) };
    let rows = [row(2, 9), row(8, 9)];
    run_with(&shape.sink(&storage), id, 1 << 20, &[vec![batch(&rows)]]).await.expect("commits");
    assert_eq!(rows_of(&storage).await, expected(&[row(2, 9), row(8, 9)]));
    assert!(feed_is_right(&storage, &schema(), 2, "replay").await);
    let commit = read_commit(&storage, 2).await.expect("reads").expect("a commit");
    assert_eq!(commit.operation(), "REPLAY");
}

#[tokio::test]
async fn a_table_that_only_takes_rows_is_refused() {
    let properties: indexmap::IndexMap<String, String> =
        [("delta.appendOnly".to_string(), "true".to_string())].into_iter().collect();
    for mode in [plain(false).spec().mode, SinkMode::OverwritePartition] {
        let storage = memory();
        let spec = SinkSpec { mode, properties: properties.clone(), ..plain(false).spec() };
        let error = DeltaSink::new(&spec, storage.clone()).begin(epoch(1)).await.err().expect("refused");
        assert_eq!((error.code, error.blame), ("R0324", Blame::Data));
        let append = SinkSpec { mode: SinkMode::Append, ..spec.clone() };
        run_epoch(&DeltaSink::new(&append, storage.clone()), 1, &[vec![batch(&[row(1, 1)])]]).await.expect("commits");
        let error = DeltaSink::new(&spec, storage).begin(epoch(2)).await.err().expect("refused");
        assert_eq!(error.code, "R0324");
    }
}

async fn a_column_is_added(pages: bool) {
    let (storage, shape) = (memory(), Shape { pages, ..plain(false) });
    merge(&storage, &shape, 1, &[row(1, 0), row(2, 0), row(3, 0)]).await;
    let mut wide = schema();
    wide.fields.push(column("new", DataType::Date));
    let spec = SinkSpec { schema: wide.clone(), evolve: true, ..shape.spec() };
    let sink = DeltaSink::with_sizes(&spec, storage.clone(), shape.sizes());
    let old = batch(&[row(2, 5)]);
    let mut columns = old.columns().to_vec();
    columns.push(Arc::new(arrow::array::Date32Array::from(vec![1])));
    let new = arrow::array::RecordBatch::try_new(flowc_ir::arrow_types::to_arrow_schema(&wide), columns);
    run_epoch(&sink, 2, &[vec![new.expect("a batch")]]).await.expect("commits");
    let found = row_texts(&table_rows(&storage, &wide, None).await);
    assert_eq!(found, ["1 | null | null | 0 | null", "2 | null | null | 5 | 1970-01-02", "3 | null | null | 0 | null"]);
    // A program without the column: a row that takes another's place has nothing in it.
    merge(&storage, &shape, 3, &[row(2, 6)]).await;
    let found = row_texts(&table_rows(&storage, &wide, None).await);
    assert_eq!(found[1], "2 | null | null | 6 | null");
}

#[tokio::test]
async fn columns_that_are_added_are_null_in_rows_that_are_copied() {
    for pages in [false, true] {
        a_column_is_added(pages).await;
    }
}

#[tokio::test]
async fn files_that_are_copied_page_by_page_stay_apart() {
    for (pages, files) in [(true, 3), (false, 2)] {
        let (storage, shape) = (memory(), Shape { pages, ..plain(false) });
        for number in 0..2 {
            let rows: Vec<Row> = (0..100).map(|i| row(number as i64 * 100 + i, 0)).collect();
            merge(&storage, &shape, number + 1, &rows).await;
        }
        let done = merge(&storage, &shape, 3, &[row(3, 1), row(150, 1)]).await;
        let commit = read_commit(&storage, 2).await.expect("reads").expect("a commit");
        assert_eq!((commit.removes.len(), done.files), (2, files));
        assert_eq!(metric(&commit, "numTargetRowsCopied"), 198);
        statistics_are_right(&storage, &commit, "copied").await;
        // More than half of a file leaves: what is left is gathered with others.
        let most: Vec<Row> = (0..80).map(|i| row(i, 2)).collect();
        merge(&storage, &shape, 4, &most).await;
        let updated = |i: i64| row(i, if i < 80 { 2 } else { i64::from(i == 150) });
        assert_eq!(rows_of(&storage).await, expected(&(0..200).map(updated).collect::<Vec<_>>()));
    }
}

#[tokio::test]
async fn narrower_keys_are_matched_by_value() {
    let storage = memory();
    let shape = plain(false);
    merge(&storage, &shape, 1, &[row(1, 0), row(2, 0)]).await;
    let narrow = Schema::new(vec![column("v", DataType::Short), column("id", DataType::Integer)]);
    let spec = SinkSpec { mode: SinkMode::Merge { keys: vec!["id".into()] }, ..sink_spec(narrow.clone(), &[]) };
    let columns: Vec<arrow::array::ArrayRef> =
        vec![Arc::new(arrow::array::Int16Array::from(vec![4])), Arc::new(arrow::array::Int32Array::from(vec![2]))];
    let rows = arrow::array::RecordBatch::try_new(flowc_ir::arrow_types::to_arrow_schema(&narrow), columns);
    run_epoch(&DeltaSink::new(&spec, storage.clone()), 2, &[vec![rows.expect("a batch")]]).await.expect("commits");
    assert_eq!(rows_of(&storage).await, expected(&[row(1, 0), row(2, 4)]));
}
