//! What tests of changing rows share: random numbers from a seed, rows with keys of every awkward kind, and the change data feed.

use crate::common::*;
use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Float64Type;
use deltalake::logstore::object_store::path::Path;
use flowc_delta::log::Commit;
use flowc_delta::log::commits::read_commit;
use flowc_delta::storage::percent_decode;
use flowc_delta::{DeltaSink, Storage};
use flowc_ir::graph::weight;
use flowc_ir::{DataType, Schema};
use flowc_runtime::{Committed, EpochId, RunError, Scratch, Sink};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Numbers that follow from a seed (splitmix64).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        for i in (1..all.len()).rev() {
            all.swap(i, self.below(i as u64 + 1) as usize);
        }
    }
}

/// A row: `id` and `f` are keys, and `part` where the table is partitioned by it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    pub id: Option<i64>,
    pub f: Option<f64>,
    pub part: Option<&'static str>,
    pub v: Option<i64>,
}

/// A key as flowc compares it: one NaN, one zero.
pub type Key = (Option<i64>, Option<u64>, Option<&'static str>);

impl Row {
    pub fn random(random: &mut Random) -> Row {
        let other_nan = f64::from_bits(f64::NAN.to_bits() | 5);
        let f = [None, Some(0.0), Some(-0.0), Some(f64::NAN), Some(other_nan), Some(1.5), Some(f64::NEG_INFINITY)];
        Row {
            id: (!random.one_in(12)).then(|| random.below(40) as i64 - 5),
            f: random.pick(&f),
            part: random.pick(&[None, Some("a"), Some("b/c é")]),
            v: (!random.one_in(8)).then(|| random.below(3) as i64),
        }
    }

    pub fn key(&self, with_part: bool) -> Key {
        let f = self.f.map(|f| if f.is_nan() { f64::NAN.to_bits() } else { (f + 0.0).to_bits() });
        (self.id, f, self.part.filter(|_| with_part))
    }
}

pub fn schema() -> Schema {
    Schema::new(vec![
        column("id", DataType::Long),
        column("f", DataType::Double),
        column("part", DataType::String),
        column("v", DataType::Long),
    ])
}

fn columns(rows: &[Row]) -> Vec<ArrayRef> {
    vec![
        Arc::new(Int64Array::from_iter(rows.iter().map(|r| r.id))),
        Arc::new(Float64Array::from_iter(rows.iter().map(|r| r.f))),
        Arc::new(StringArray::from_iter(rows.iter().map(|r| r.part))),
        Arc::new(Int64Array::from_iter(rows.iter().map(|r| r.v))),
    ]
}

pub fn batch(rows: &[Row]) -> RecordBatch {
    RecordBatch::try_new(flowc_ir::arrow_types::to_arrow_schema(&schema()), columns(rows)).expect("a batch")
}

/// Rows with weights.
pub fn weighted(rows: &[(Row, i64)]) -> RecordBatch {
    let mut fields = schema();
    fields.fields.push(weight());
    let mut all = columns(&rows.iter().map(|r| r.0).collect::<Vec<_>>());
    all.push(Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.1))));
    RecordBatch::try_new(flowc_ir::arrow_types::to_arrow_schema(&fields), all).expect("a batch")
}

/// Runs an epoch that may keep so many bytes in memory.
pub async fn run_with(
    sink: &DeltaSink,
    id: EpochId,
    memory: usize,
    workers: &[Vec<RecordBatch>],
) -> Result<Committed, RunError> {
    let scratch = Scratch { memory, ..Scratch::default() };
    let epoch = sink.begin(EpochId { scratch, ..id }).await?;
    let mut written = vec![];
    for batches in workers {
        let mut writer = epoch.writer().await?;
        for batch in batches {
            writer.write(batch).await?;
        }
        written.push(writer.finish().await?);
    }
    match epoch.commit(written.clone(), &[]).await {
        Ok(done) => Ok(done),
        Err(error) => {
            epoch.abort(written).await;
            Err(error)
        }
    }
}

/// Rows as texts, sorted; NaN is one value, and so is zero: rows that differ in them alone are equal.
pub fn row_texts(batches: &[RecordBatch]) -> Vec<String> {
    sorted(&batches.iter().map(comparable).collect::<Vec<_>>())
}

fn comparable(batch: &RecordBatch) -> RecordBatch {
    let normal = |column: &ArrayRef| match column.as_primitive_opt::<Float64Type>() {
        Some(floats) => {
            Arc::new(floats.unary::<_, Float64Type>(|f| if f.is_nan() { f64::NAN } else { f + 0.0 })) as ArrayRef
        }
        None => column.clone(),
    };
    let columns = batch.columns().iter().map(normal).collect();
    RecordBatch::try_new(batch.schema(), columns).expect("a batch")
}

/// What the change data feed says of a commit: kind and row, by the files of the feed alone.
pub async fn feed(storage: &Storage, commit: &Commit, schema: &Schema) -> Vec<(String, String)> {
    let mut found = vec![];
    for cdc in &commit.cdcs {
        assert!(!cdc.data_change && cdc.path.starts_with("_change_data/"), "{cdc:?}");
        let path = Path::parse(percent_decode(&cdc.path)).expect("a path");
        let bytes = storage.get(&path).await.expect("reads");
        assert_eq!(bytes.len() as i64, cdc.size);
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes));
        for part in reader.expect("a file").build().expect("a reader") {
            let part = part.expect("reads");
            let column = |name: &str| match cdc.partition_values.get(name) {
                Some(value) => Arc::new(StringArray::from(vec![value.as_deref(); part.num_rows()])) as ArrayRef,
                None => part.column_by_name(name).expect("a column").clone(),
            };
            let names: Vec<&str> = schema.fields.iter().map(|f| f.name.as_str()).collect();
            let rows = RecordBatch::try_from_iter_with_nullable(names.iter().map(|n| (*n, column(n), true)));
            let kinds = texts(&[RecordBatch::try_from_iter([("k", column("_change_type"))]).expect("a batch")]);
            found.extend(kinds.into_iter().zip(texts(&[comparable(&rows.expect("a batch"))])));
        }
    }
    found
}

/// The feed of a version, applied to the rows before it, gives the rows after it. Whether the version has files of the feed.
pub async fn feed_is_right(storage: &Storage, schema: &Schema, version: u64, what: &str) -> bool {
    let commit = read_commit(storage, version).await.expect("reads").expect("a commit");
    if commit.cdcs.is_empty() {
        let changes = commit.removes.iter().filter(|r| r.data_change).count();
        assert_eq!(changes, 0, "{what}: rows left without a word");
        return false;
    }
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    for row in row_texts(&table_rows(storage, schema, Some(version - 1)).await) {
        *counts.entry(row).or_default() += 1;
    }
    for (kind, row) in feed(storage, &commit, schema).await {
        let weight = match kind.as_str() {
            "insert" | "update_postimage" => 1,
            "delete" | "update_preimage" => -1,
            other => panic!("{what}: {other}"),
        };
        *counts.entry(row).or_default() += weight;
    }
    counts.retain(|_, count| *count != 0);
    let mut after: BTreeMap<String, i64> = BTreeMap::new();
    for row in row_texts(&table_rows(storage, schema, Some(version)).await) {
        *after.entry(row).or_default() += 1;
    }
    assert_eq!(counts, after, "{what}, version {version}");
    true
}

/// A number of the commit's metrics.
pub fn metric(commit: &Commit, name: &str) -> i64 {
    let metrics = &commit.info.as_ref().expect("an info")["operationMetrics"];
    metrics[name].as_str().unwrap_or_else(|| panic!("{name} in {metrics}")).parse().expect("a number")
}
