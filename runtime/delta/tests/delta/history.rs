//! Sinks that keep the versions of rows: against a reference that takes every event by itself, whatever the cuts between epochs and the order within them.

use crate::changing::*;
use crate::common::*;
use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use flowc_delta::log::commits::read_commit;
use flowc_delta::sink::Sizes;
use flowc_delta::{DeltaSink, Storage};
use flowc_ir::graph::weight;
use flowc_ir::plan::{COMMITTED, SinkMode, SinkSpec};
use flowc_ir::{DataType, Schema};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Debug, Clone, Copy, PartialEq)]
struct State {
    id: Option<i64>,
    part: &'static str,
    v: i64,
    from: i64,
}

fn states() -> Schema {
    Schema::new(vec![
        column("id", DataType::Long),
        required("part", DataType::String),
        required("v", DataType::Long),
        required("valid_from", DataType::Timestamp),
    ])
}

/// The table's columns.
fn versions() -> Schema {
    let mut schema = states();
    schema.fields.extend([column("valid_to", DataType::Timestamp), required("is_current", DataType::Boolean)]);
    schema
}

fn times(times: impl IntoIterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter(times).with_timezone("UTC"))
}

fn columns(rows: &[State]) -> Vec<ArrayRef> {
    vec![
        Arc::new(Int64Array::from_iter(rows.iter().map(|r| r.id))),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|r| r.part))),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.v))),
        times(rows.iter().map(|r| Some(r.from))),
    ]
}

fn batch_of(schema: &Schema, columns: Vec<ArrayRef>) -> RecordBatch {
    RecordBatch::try_new(flowc_ir::arrow_types::to_arrow_schema(schema), columns).expect("a batch")
}

/// What a stream gives: at a commit a row is added or taken away.
#[derive(Debug, Clone, Copy)]
struct Weighted {
    at: i64,
    row: State,
    weight: i64,
}

fn batch(rows: &[Weighted], changing: bool) -> RecordBatch {
    let mut all = columns(&rows.iter().map(|w| w.row).collect::<Vec<_>>());
    let mut schema = states();
    if changing {
        schema.fields.extend([required(COMMITTED, DataType::Timestamp), weight()]);
        all.push(times(rows.iter().map(|w| Some(w.at))));
        all.push(Arc::new(Int64Array::from_iter_values(rows.iter().map(|w| w.weight))));
    }
    batch_of(&schema, all)
}

/// A key's versions: beginning to row and end.
type Chain = BTreeMap<i64, (State, Option<i64>)>;

fn put(chain: &mut Chain, row: State) {
    if let Some((held, _)) = chain.get_mut(&row.from) {
        *held = row;
        return;
    }
    let next = chain.range(row.from..).next().map(|(from, _)| *from);
    let before = chain.range_mut(..row.from).next_back().map(|(_, (_, to))| to);
    let end = match before {
        Some(to) if to.is_none_or(|to| to > row.from) => to.replace(row.from),
        _ => next,
    };
    chain.insert(row.from, (row, end));
}

fn delete(chain: &mut Chain, at: i64) {
    if chain.remove(&at).is_some() {
        return;
    }
    if let Some((_, (_, to))) = chain.range_mut(..=at).next_back() {
        *to = Some(to.map_or(at, |to| to.min(at)));
    }
}

fn expected(table: &BTreeMap<Option<i64>, Chain>) -> Vec<String> {
    let all: Vec<(State, Option<i64>)> = table.values().flat_map(Chain::values).copied().collect();
    let mut columns = columns(&all.iter().map(|v| v.0).collect::<Vec<_>>());
    columns.push(times(all.iter().map(|v| v.1)));
    columns.push(Arc::new(BooleanArray::from_iter(all.iter().map(|v| Some(v.1.is_none())))));
    sorted(&[batch_of(&versions(), columns)])
}

async fn found(storage: &Storage) -> Vec<String> {
    sorted(&table_rows(storage, &versions(), None).await)
}

fn spec(changing: bool, partitioned: bool, vectors: bool, feed: bool) -> SinkSpec {
    let wanted = [("delta.enableDeletionVectors", vectors), ("delta.enableChangeDataFeed", feed)];
    let properties = wanted.iter().filter(|(_, on)| *on).map(|(k, _)| (k.to_string(), "true".to_string()));
    SinkSpec {
        mode: SinkMode::Scd2 { keys: vec!["id".into()] },
        changing,
        properties: properties.collect(),
        ..sink_spec(states(), if partitioned { &["part"] } else { &[] })
    }
}

/// Random commits to a table of one row a key, and their events in order.
fn commits(random: &mut Random, changing: bool, table: &mut BTreeMap<Option<i64>, Chain>) -> Vec<Vec<Weighted>> {
    let mut live: BTreeMap<Option<i64>, State> = BTreeMap::new();
    let mut all = vec![];
    for number in 1..=30 {
        let at = number * 10;
        let mut commit = vec![];
        let mut keys: Vec<Option<i64>> = (0..6).map(Some).chain([None]).collect();
        random.shuffle(&mut keys);
        for id in keys.into_iter().take(random.below(4) as usize) {
            let chain = table.entry(id).or_default();
            let old = live.remove(&id);
            if changing && old.is_some() && random.one_in(3) {
                commit.extend(old.map(|row| Weighted { at, row, weight: -1 }));
                delete(chain, at);
                continue;
            }
            // Now, at some other time, or at a time at which others begin.
            let (any, like_others) = (random.below(320) as i64, random.below(30) as i64 * 10);
            let from = random.pick(&[at, at, any, like_others]);
            let row = State { id, part: random.pick(&["a", "b"]), v: random.below(1000) as i64, from };
            commit.extend(old.filter(|_| changing).map(|row| Weighted { at, row, weight: -1 }));
            commit.push(Weighted { at, row, weight: 1 });
            if changing && random.one_in(4) {
                let gone = State { v: -1, ..row };
                commit.extend([2, -2].map(|weight| Weighted { at, row: gone, weight }));
            }
            // The very same row, taken away and added: nothing happened.
            if old != Some(row) || !changing {
                put(chain, row);
            }
            live.insert(id, row);
        }
        all.push(commit);
    }
    all
}

async fn random_history(seed: u64, fed: &mut usize) {
    let mut random = Random(seed);
    let changing = random.one_in(2);
    let (partitioned, vectors, feed) = (random.one_in(2), random.one_in(2), random.one_in(2));
    let memory = random.pick(&[1, 64 << 20]);
    let what = format!(
        "seed {seed}, changing {changing}, partitioned {partitioned}, vectors {vectors}, feed {feed}, memory {memory}"
    );
    let mut table = BTreeMap::new();
    let commits = commits(&mut random, changing, &mut table);
    let storage = crate::common::memory();
    let sizes = Sizes {
        file_bytes: random.pick(&[1, 1 << 20]),
        copied_bytes: random.pick(&[0, usize::MAX]),
        ..Sizes::default()
    };
    let sink = DeltaSink::with_sizes(&spec(changing, partitioned, vectors, feed), storage.clone(), sizes);
    let (mut left, mut number) = (commits.as_slice(), 0);
    while !left.is_empty() {
        let (epoch_commits, rest) = left.split_at(random.pick(&[1, 3, 10, 30]).min(left.len()));
        (left, number) = (rest, number + 1);
        let mut rows: Vec<Weighted> = epoch_commits.concat();
        if changing {
            random.shuffle(&mut rows);
        }
        let (one, two) = rows.split_at(if changing { rows.len() / 2 } else { rows.len() });
        let workers = [one, two].map(|rows| rows.chunks(5).map(|rows| batch(rows, changing)).collect());
        let done = run_with(&sink, epoch(number), memory, &workers).await.unwrap_or_else(|e| panic!("{what}: {e}"));
        if feed && number > 1 {
            *fed += usize::from(feed_is_right(&storage, &versions(), done.version.expect("one"), &what).await);
        }
    }
    assert_eq!(found(&storage).await, expected(&table), "{what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_does_not_depend_on_cuts_or_order() {
    let mut fed = 0;
    for seed in 0..60 {
        random_history(seed, &mut fed).await;
    }
    assert!(fed > 20, "{fed}");
}

fn state(v: i64, from: i64) -> State {
    State { id: Some(1), part: "a", v, from }
}

/// Versions without deletes are a set: any order of rows gives the same table.
#[tokio::test]
async fn versions_come_in_any_order() {
    let rows: Vec<State> = [50, 10, 40, 20, 30].map(|from| state(from * 2, from)).to_vec();
    let mut sorted_rows = rows.clone();
    sorted_rows.sort_by_key(|r| r.from);
    let ends = [Some(20), Some(30), Some(40), Some(50), None];
    let chain: Chain = sorted_rows.iter().zip(ends).map(|(row, end)| (row.from, (*row, end))).collect();
    let table = BTreeMap::from([(Some(1), chain)]);
    for seed in 0..10 {
        let mut random = Random(seed);
        let mut rows = rows.clone();
        random.shuffle(&mut rows);
        let storage = memory();
        let sink = DeltaSink::new(&spec(false, false, false, false), storage.clone());
        let cut = random.below(5) as usize;
        for (number, part) in [&rows[..cut], &rows[cut..]].iter().enumerate() {
            let weighted: Vec<Weighted> = part.iter().map(|row| Weighted { at: 0, row: *row, weight: 1 }).collect();
            let batches = vec![batch(&weighted, false)];
            run_epoch(&sink, number as u64 + 1, &[batches]).await.expect("commits");
        }
        assert_eq!(found(&storage).await, expected(&table), "seed {seed}");
    }
}

#[tokio::test]
async fn two_versions_of_one_commit_with_one_beginning_stop_the_epoch() {
    let storage = memory();
    let sink = DeltaSink::new(&spec(true, false, false, false), storage.clone());
    let rows = |a: i64, b: i64| {
        vec![Weighted { at: a, row: state(1, 5), weight: 1 }, Weighted { at: b, row: state(2, 5), weight: 1 }]
    };
    let error = run_with(&sink, epoch(1), 1 << 20, &[vec![batch(&rows(7, 7), true)]]).await.expect_err("ambiguous");
    assert_eq!(error.code, "R0342");
    assert!(error.message.contains("{id: 1}") && error.message.contains("v: 2"), "{}", error.message);
    // Of two commits the later one counts.
    run_with(&sink, epoch(1), 1 << 20, &[vec![batch(&rows(8, 7), true)]]).await.expect("commits");
    let chain = Chain::from([(5, (state(1, 5), None))]);
    assert_eq!(found(&storage).await, expected(&BTreeMap::from([(Some(1), chain)])));
}

#[tokio::test]
async fn only_versions_that_change_are_written() {
    let storage = memory();
    let sink = DeltaSink::new(&spec(false, false, true, true), storage.clone());
    let rows: Vec<Weighted> =
        (0..50).map(|i| Weighted { at: 0, row: State { id: Some(i % 5), ..state(i, i) }, weight: 1 }).collect();
    run_epoch(&sink, 1, &[vec![batch(&rows, false)]]).await.expect("commits");
    let more = [Weighted { at: 0, row: State { id: Some(3), ..state(9, 100) }, weight: 1 }];
    run_epoch(&sink, 2, &[vec![batch(&more, false)]]).await.expect("commits");
    let commit = read_commit(&storage, 1).await.expect("reads").expect("a commit");
    assert_eq!((metric(&commit, "numTargetRowsUpdated"), metric(&commit, "numTargetRowsInserted")), (1, 1));
    let vector = commit.adds.iter().find_map(|a| a.deletion_vector.clone()).expect("a vector");
    assert_eq!(vector.cardinality, 1);
    let kinds: Vec<String> = feed(&storage, &commit, &states()).await.into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds.len(), 3, "{kinds:?}");
}
