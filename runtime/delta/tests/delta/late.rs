//! Rows of local files that a predicate rejects need not come out; they are counted, those that it lets through stay in their order, whatever is skipped.

use crate::common::*;
use arrow::array::{AsArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::max;
use arrow::datatypes::Int64Type;
use flowc_delta::{DeltaSink, DeltaSource, Storage};
use flowc_ir::arrow_types::to_arrow_schema;
use flowc_ir::expr::{Expr, ExprKind, Origin, Output, Program};
use flowc_ir::key_pruning::EventTimes;
use flowc_ir::plan::SourceSpec;
use flowc_ir::{DataType, Field, Schema, Type, Value};
use flowc_runtime::{EpochLimits, Needed, Part, Source, Split};
use futures::TryStreamExt;
use proptest::prelude::*;
use std::sync::Arc;

fn schema() -> Schema {
    Schema::new(vec![column("at", DataType::Long), column("text", DataType::String), column("x", DataType::Long)])
}

/// `x < limit`.
fn below(limit: i64) -> Program {
    let boolean = Type::nullable(DataType::Boolean);
    let column = Expr::new(ExprKind::Column(2), Type::nullable(DataType::Long), Origin::default());
    let literal = Expr::new(ExprKind::Literal(Value::Long(limit)), Type::new(DataType::Long), Origin::default());
    let function = flowc_ir::functions::find("less").expect("a function");
    let value = Expr::new(ExprKind::Call { function, args: vec![column, literal] }, boolean.clone(), Origin::default());
    Program { input: schema(), steps: vec![], outputs: vec![Output { field: Field::new("keep", boolean), value }] }
}

/// Rows in order, with runs of equal `x`.
fn batch(runs: &[(Option<i64>, usize)]) -> RecordBatch {
    let x: Int64Array = runs.iter().flat_map(|(x, times)| vec![*x; *times]).collect();
    let at: Int64Array = (0..x.len() as i64).map(Some).collect();
    let text: StringArray = (0..x.len()).map(|i| (i % 7 != 3).then(|| format!("row {}", i % 500))).collect();
    let columns = vec![Arc::new(at) as _, Arc::new(text) as _, Arc::new(x) as _];
    RecordBatch::try_new(to_arrow_schema(&schema()), columns).expect("a batch")
}

async fn split(storage: &Storage, predicate: Option<Program>) -> (DeltaSource, Vec<Split>) {
    let spec = SourceSpec { predicate, ..source_spec(schema()) };
    let source = DeltaSource::open(&spec, storage.clone()).await.expect("opens");
    let range = source.next_range(None, EpochLimits::NONE).await.expect("reads").expect("rows");
    let splits = source.splits(&range).await.expect("splits");
    (source, splits)
}

/// What comes out of a table in parts: its rows, and how many did not come.
async fn parts(storage: &Storage, limit: i64, batch_rows: usize) -> (Vec<String>, u64) {
    let (source, splits) = split(storage, Some(below(limit))).await;
    let (rows, skipped) = read(&source, splits, batch_rows).await;
    (texts(&rows), skipped)
}

/// The rows of splits, and how many were passed over.
pub(super) async fn read(source: &dyn Source, splits: Vec<Split>, batch_rows: usize) -> (Vec<RecordBatch>, u64) {
    let (mut rows, mut skipped) = (vec![], 0);
    for split in splits {
        let stream = source.read_parts(&split, batch_rows).await.expect("opens");
        for part in stream.try_collect::<Vec<_>>().await.expect("reads") {
            match part {
                Part::Rows(batch) => rows.push(batch),
                Part::Skipped(count) => skipped += count,
                Part::Malformed(_) => panic!("there are none in Delta tables"),
            }
        }
    }
    (rows, skipped)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_passes_comes_and_the_rest_is_counted(
        runs in prop::collection::vec((prop::option::weighted(0.9, 0i64..100), 1usize..200), 1..60),
        limit in 0i64..100,
        batch_rows in prop_oneof![1usize..50, 50usize..2000, Just(32_768)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let folder = tempfile::tempdir().expect("a folder");
        let storage = Storage::open(&folder.path().join("t").to_string_lossy()).expect("a place");
        let (all, (some, skipped)) = runtime.block_on(async {
            let sink = DeltaSink::new(&sink_spec(schema(), &[]), storage.clone());
            run_epoch(&sink, 1, &[vec![batch(&runs)]]).await.expect("commits");
            let (source, splits) = split(&storage, None).await;
            let mut all = vec![];
            for split in splits {
                let stream = source.read(&split, batch_rows).await.expect("opens");
                all.extend(stream.try_collect::<Vec<_>>().await.expect("reads"));
            }
            (texts(&all), parts(&storage, limit, batch_rows).await)
        });
        let passes = |row: &&String| passes(row, limit);
        prop_assert_eq!(some.iter().filter(passes).collect::<Vec<_>>(), all.iter().filter(passes).collect::<Vec<_>>());
        // Nothing where statistics say that nothing passes.
        prop_assert!(some.len() as u64 + skipped == all.len() as u64 || (some.is_empty() && skipped == 0));
        prop_assert!(some.iter().filter(|row| !passes(row)).count() <= all.len());
    }
}

/// The texts of a batch's rows with `x < limit`, and the greatest `at` of all.
fn known(batch: &RecordBatch, limit: i64) -> (Vec<String>, Option<i64>) {
    let all = texts(std::slice::from_ref(batch));
    let at = batch.column(0).as_primitive::<Int64Type>();
    (all.into_iter().filter(|row| passes(row, limit)).collect(), max(at))
}

fn passes(row: &str, limit: i64) -> bool {
    row.rsplit(" | ").next().and_then(|x| x.parse::<i64>().ok()).is_some_and(|x| x < limit)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// What an epoch does not need is left out, but for rows that stand for the event times of others; and nothing of a batch with a time that fails.
    #[test]
    fn the_latest_event_time_comes_all_the_same(
        runs in prop::collection::vec((prop::option::weighted(0.9, 0i64..100), 1usize..200), 1..60),
        limit in 0i64..100,
        step in 1i64..5000,
        fails in any::<bool>(),
        batch_rows in prop_oneof![1usize..50, 50usize..2000, Just(32_768)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let folder = tempfile::tempdir().expect("a folder");
        let storage = Storage::open(&folder.path().join("t").to_string_lossy()).expect("a place");
        let written = batch(&runs);
        let count = written.num_rows() as i64;
        let at: Int64Array = (0..count).map(|i| (i % 13 != 5).then_some(i * step % count)).collect();
        let written = RecordBatch::try_new(written.schema(), vec![Arc::new(at), written.column(1).clone(), written.column(2).clone()]);
        let written = written.expect("a batch");
        let (wanted, latest) = known(&written, limit);
        let greatest = if fails { latest.map_or(0, |latest| latest - 1) } else { count };
        let needed = Needed { predicate: below(limit), times: Some(EventTimes { column: 0, least: 0, greatest }) };
        let (rows, skipped) = runtime.block_on(async {
            let sink = DeltaSink::new(&sink_spec(schema(), &[]), storage.clone());
            run_epoch(&sink, 1, &[vec![written]]).await.expect("commits");
            let (source, splits) = split(&storage, None).await;
            let source = source.needing(&needed).expect("it makes use of it");
            read(&*source, splits, batch_rows).await
        });
        let came = rows.iter().map(RecordBatch::num_rows).sum::<usize>() as u64;
        prop_assert_eq!(came + skipped, count as u64);
        let seen = rows.iter().filter_map(|rows| max(rows.column(0).as_primitive::<Int64Type>())).max();
        prop_assert_eq!(seen, latest);
        prop_assert_eq!(texts(&rows).into_iter().filter(|row| passes(row, limit)).collect::<Vec<_>>(), wanted);
    }
}

#[tokio::test]
async fn where_few_rows_pass_the_others_do_not_come() {
    let folder = tempfile::tempdir().expect("a folder");
    let storage = Storage::open(&folder.path().join("t").to_string_lossy()).expect("a place");
    let sink = DeltaSink::new(&sink_spec(schema(), &[]), storage.clone());
    let runs = [(Some(50), 40_000), (Some(1), 10), (None, 30_000), (Some(2), 5), (Some(70), 20_000)];
    run_epoch(&sink, 1, &[vec![batch(&runs)]]).await.expect("commits");
    let (rows, skipped) = parts(&storage, 10, 32_768).await;
    assert_eq!((rows.len(), skipped), (15, 90_000));
    assert_eq!(rows[0], "40000 | row 0 | 1");
    // Where most pass, all come.
    assert_eq!(parts(&storage, 100, 32_768).await.1, 0);
}
