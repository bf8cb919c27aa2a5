//! Sources that follow updates and deletes: what they give out up to a version adds up to the table at that version, however it was written and however it is
//! read.

mod cases;
mod golden;
mod writer;

use crate::common::*;
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use flowc_delta::log::commits::read_commit;
use flowc_delta::{DeltaSource, Storage};
use flowc_ir::graph::weight;
use flowc_ir::plan::{SourceSpec, Updates};
use flowc_ir::{DataType, Schema};
use flowc_runtime::{EpochLimits, Position, Source, SourceRange};
use proptest::prelude::*;
use std::collections::BTreeMap;
use writer::{Bag, How, Mapping, Operation, Row, Writer};

/// Rows as text, with how often each is there.
type Weights = BTreeMap<String, i64>;

fn columns(names: &[&str]) -> Schema {
    let ty = |name: &str| if matches!(name, "id" | "value") { DataType::Long } else { DataType::String };
    Schema::new(names.iter().map(|name| column(name, ty(name))).collect())
}

fn following(names: &[&str]) -> SourceSpec {
    let mut schema = columns(names);
    schema.fields.push(weight());
    SourceSpec { updates: Updates::Follow, ..source_spec(schema) }
}

async fn open(storage: &Storage, spec: &SourceSpec) -> DeltaSource {
    DeltaSource::open(spec, storage.clone()).await.expect("opens")
}

/// Rows of batches with their weights: those added and those taken away.
fn weighed(batches: &[RecordBatch]) -> Vec<(String, i64)> {
    let mut rows = vec![];
    for batch in batches {
        let (weights, columns) = batch.columns().split_last().expect("a weight");
        let weights = weights.as_primitive::<Int64Type>().values();
        let indices: Vec<usize> = (0..columns.len()).collect();
        let batch = batch.project(&indices).expect("columns");
        rows.extend(texts(&[batch]).into_iter().zip(weights.iter().copied()));
    }
    rows
}

fn sum(into: &mut Weights, rows: &[(String, i64)]) {
    for (row, weight) in rows {
        assert_ne!(*weight, 0);
        *into.entry(row.clone()).or_default() += weight;
    }
    into.retain(|_, weight| *weight != 0);
}

/// The table at a version, with some of its columns.
fn expected(bag: &Bag, names: &[&str]) -> Weights {
    let mut all = Weights::new();
    let text = |value: Option<&str>| value.unwrap_or("null").to_string();
    for (row, count) in bag {
        let value = |name: &&str| match *name {
            "id" => text(row.id.map(|v| v.to_string()).as_deref()),
            "value" => text(row.value.map(|v| v.to_string()).as_deref()),
            "part" => text(row.part),
            _ => text(row.note),
        };
        *all.entry(names.iter().map(value).collect::<Vec<_>>().join(" | ")).or_default() += count;
    }
    all
}

fn row() -> impl Strategy<Value = Row> {
    let note = prop_oneof![Just(None), Just(Some("x"))];
    let part = prop_oneof![Just(None), Just(Some("a")), Just(Some("b"))];
    (0..4i64, prop::option::weighted(0.8, 0..3i64), part, note).prop_map(|(id, value, part, note)| Row {
        id: (id < 3).then_some(id),
        part,
        value,
        note,
    })
}

fn rows(most: usize) -> impl Strategy<Value = Vec<Row>> {
    prop::collection::vec(row(), 0..most)
}

fn operation() -> impl Strategy<Value = Operation> {
    let part = prop_oneof![3 => Just(None), 1 => Just(Some("b"))];
    prop_oneof![
        4 => rows(12).prop_map(Operation::Append),
        3 => (0..3i64).prop_map(Operation::Delete),
        4 => (0..3i64, prop::option::of(0..3i64), part).prop_map(|(id, value, part)| Operation::Update(id, value, part)),
        1 => rows(8).prop_map(Operation::Overwrite),
        1 => Just(Operation::Optimize),
        2 => Just(Operation::Undelete),
        1 => Just(Operation::AddColumn),
        1 => Just(Operation::Feed),
    ]
}

/// What happens to a table and its reader, one after the other.
#[derive(Debug, Clone)]
enum Step {
    Write(Operation, How),
    /// A range is read; by a source that was opened anew if so.
    Read(EpochLimits, bool),
}

fn step() -> impl Strategy<Value = Step> {
    let limits = prop_oneof![
        Just(EpochLimits::NONE),
        Just(EpochLimits { files: Some(1), ..EpochLimits::NONE }),
        Just(EpochLimits { files: Some(3), ..EpochLimits::NONE }),
        Just(EpochLimits { rows: Some(4), ..EpochLimits::NONE }),
        Just(EpochLimits { bytes: Some(1), ..EpochLimits::NONE }),
    ];
    let how = (any::<bool>(), any::<bool>()).prop_map(|(vectors, says_all)| How { vectors, says_all });
    prop_oneof![
        2 => (operation(), how).prop_map(|(operation, how)| Step::Write(operation, how)),
        1 => (limits, any::<bool>()).prop_map(|(limits, again)| Step::Read(limits, again)),
    ]
}

/// What has been read of a table, and where reading goes on.
struct Reading {
    spec: SourceSpec,
    names: Vec<&'static str>,
    source: DeltaSource,
    from: Option<Position>,
    sum: Weights,
    small: bool,
}

impl Reading {
    async fn open(storage: &Storage, names: &[&'static str], small: bool) -> Reading {
        let spec = following(names);
        let source = Reading::source(storage, &spec, small).await;
        Reading { spec, names: names.to_vec(), source, from: None, sum: Weights::new(), small }
    }

    async fn source(storage: &Storage, spec: &SourceSpec, small: bool) -> DeltaSource {
        let source = open(storage, spec).await;
        if small { source.with_reader(|r| r.with_rows_at_once(6).with_split_rows(2)) } else { source }
    }

    /// Reads a range; none: nothing is new.
    async fn next(&mut self, writer: &Writer, limits: EpochLimits) -> Option<SourceRange> {
        let range = self.source.next_range(self.from.as_ref(), limits).await.expect("reads")?;
        let rows = weighed(&range_rows(&self.source, &range).await);
        let again = Reading::source(&writer.storage, &self.spec, self.small).await;
        let again = weighed(&range_rows(&again, &range).await);
        if self.small {
            // Which of equal rows is given out depends on which came first.
            let sorted = |rows: &[(String, i64)]| rows.iter().cloned().collect::<std::collections::BTreeSet<_>>();
            assert_eq!(sorted(&again), sorted(&rows), "a range is the same whenever it is read");
        } else {
            assert_eq!(again, rows, "a range is the same whenever it is read");
        }
        sum(&mut self.sum, &rows);
        let version = range.to.0["version"].as_u64().expect("a version") as usize;
        self.narrow(writer, &range, version, &rows).await;
        if range.to.0.get("file").is_none() {
            assert_eq!(self.sum, expected(&writer.versions[version], &self.names), "version {version}");
        }
        self.from = Some(range.to.clone());
        Some(range)
    }

    /// A single commit that changes rows gives out no row that it does not change.
    async fn narrow(&self, writer: &Writer, range: &SourceRange, version: usize, rows: &[(String, i64)]) {
        let before = range.from.as_ref().and_then(|from| from.0["version"].as_u64());
        if before != Some(version as u64 - 1) || range.from.as_ref().is_some_and(|f| f.0.get("file").is_some()) {
            return;
        }
        let commit = read_commit(&writer.storage, version as u64).await.expect("reads").expect("a commit");
        if !commit.changes_rows() {
            return;
        }
        assert!(range.to.0.get("file").is_none(), "a change is not torn");
        let mut net = Weights::new();
        sum(&mut net, rows);
        let given: i64 = rows.iter().map(|(_, weight)| weight.abs()).sum();
        assert_eq!(given, net.values().map(|w| w.abs()).sum::<i64>(), "rows of version {version} cancel out: {rows:?}");
    }
}

async fn follow(mut writer: Writer, names: &[&'static str], small: bool, steps: &[Step]) {
    let how = How { vectors: false, says_all: true };
    writer.write(&Operation::AddColumn, how).await;
    let mut reading = Reading::open(&writer.storage, names, small).await;
    for step in steps {
        match step {
            Step::Write(operation, how) => writer.write(operation, *how).await,
            Step::Read(limits, again) => {
                if *again {
                    reading.source = Reading::source(&writer.storage, &reading.spec, small).await;
                }
                reading.next(&writer, *limits).await;
            }
        }
    }
    while reading.next(&writer, EpochLimits::NONE).await.is_some() {}
    assert_eq!(reading.sum, expected(writer.versions.last().expect("versions"), names));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn what_is_given_out_adds_up_to_the_table(
        (partitioned, feed, small) in (any::<bool>(), any::<bool>(), any::<bool>()),
        mapping in prop_oneof![Just(Mapping::None), Just(Mapping::Name), Just(Mapping::Id)],
        names in prop_oneof![
            2 => Just(&["id", "part", "value", "note"] as &[_]),
            1 => Just(&["value", "id"] as &[_]),
            1 => Just(&["part"] as &[_]),
            1 => Just(&[] as &[_]),
        ],
        steps in prop::collection::vec(step(), 1..24),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
        runtime.block_on(async {
            follow(Writer::new(partitioned, feed, mapping).await, names, small, &steps).await;
        });
    }
}
