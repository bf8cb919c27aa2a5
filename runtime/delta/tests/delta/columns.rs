//! Columns of a source that are read apart: some columns of all rows, and all columns of the rows that a filter keeps.

use crate::common::*;
use crate::features::delete_rows;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::Int64Type;
use flowc_delta::sink::Sizes;
use flowc_delta::{DeltaSink, DeltaSource, Storage};
use flowc_ir::DataType;
use flowc_ir::plan::{SourceSpec, Updates};
use flowc_runtime::{EpochLimits, RowFilter, RunError, Source, SourceRange};
use futures::TryStreamExt;
use std::sync::{Arc, Mutex};

/// Keeps rows with these ids; notes those that it sees.
#[derive(Debug)]
struct Ids {
    kept: Vec<i64>,
    seen: Mutex<Vec<i64>>,
}

impl RowFilter for Ids {
    fn columns(&self) -> &[usize] {
        &[0]
    }

    fn keep(&self, rows: &RecordBatch) -> Result<BooleanBuffer, RunError> {
        assert_eq!(rows.num_columns(), 1);
        let ids = rows.column(0).as_primitive::<Int64Type>().values();
        self.seen.lock().expect("no panic").extend(ids);
        Ok(BooleanBuffer::collect_bool(ids.len(), |row| self.kept.contains(&ids[row])))
    }
}

async fn all(source: &DeltaSource) -> SourceRange {
    source.next_range(None, EpochLimits::NONE).await.expect("reads").expect("rows")
}

/// The ids of all rows that come out for a filter, and of those that it saw.
async fn filtered(source: &DeltaSource, kept: &[i64], batch_rows: usize) -> (Vec<i64>, Vec<i64>) {
    let ids = Arc::new(Ids { kept: kept.to_vec(), seen: Mutex::default() });
    let filter: Arc<dyn RowFilter> = ids.clone();
    let mut found = vec![];
    for split in source.splits(&all(source).await).await.expect("splits") {
        let batches = source.read_filtered(&split, &filter, batch_rows).await.expect("opens");
        for batch in batches.try_collect::<Vec<_>>().await.expect("reads") {
            assert_eq!(batch.num_columns(), 2);
            assert_eq!(batch.column(1).null_count(), batch.num_rows());
            found.extend(batch.column(0).as_primitive::<Int64Type>().values());
        }
    }
    let seen = ids.seen.lock().expect("no panic").clone();
    (found, seen)
}

#[tokio::test]
async fn a_filter_sees_all_rows_and_those_that_it_keeps_come_in_order() {
    let storage = memory();
    let sizes = Sizes { row_group_bytes: 1, ..Sizes::default() };
    let sink = DeltaSink::with_sizes(&sink_spec(numbers_schema(), &[]), storage.clone(), sizes);
    let rows = (0..6).map(|i| numbers(i * 10..i * 10 + 10, None)).collect();
    run_epoch(&sink, 1, &[rows]).await.expect("commits");
    let mut left: Vec<i64> = (0..60).collect();
    for deleted in [vec![], vec![0, 9, 10, 11, 25, 42]] {
        if !deleted.is_empty() {
            delete_rows(&storage, &deleted).await;
            left.retain(|id| !deleted.contains(&(*id as u64)));
        }
        let source = DeltaSource::open(&source_spec(numbers_schema()), storage.clone()).await.expect("opens");
        let source = source.with_reader(|reader| reader.with_split_rows(20));
        for batch_rows in [1, 7, 100] {
            assert_eq!(filtered(&source, &[1, 9, 12, 13, 42, 59], batch_rows).await.1, left);
            let kept = [1, 9, 12, 13, 42, 59].into_iter().filter(|id| left.contains(id)).collect::<Vec<_>>();
            assert_eq!(filtered(&source, &kept, batch_rows).await.0, kept);
            assert_eq!(filtered(&source, &[], batch_rows).await, (vec![], left.clone()));
            // Here and there one, but too many to pass over the others.
            let third: Vec<i64> = left.iter().copied().filter(|id| id % 3 == 0).collect();
            assert_eq!(filtered(&source, &third, batch_rows).await.0, third);
            // Where most are kept all come.
            assert_eq!(filtered(&source, &left, batch_rows).await.0, left);
        }
    }
}

/// Of few local files, parts are read that end anywhere: together they are the file, whatever is asked for.
#[tokio::test]
async fn morsels_of_a_local_file_are_its_rows() {
    let folder = tempfile::tempdir().expect("a folder");
    let storage = Storage::open(&folder.path().to_string_lossy()).expect("a place");
    let sizes = Sizes { row_group_bytes: 1, ..Sizes::default() };
    let sink = DeltaSink::with_sizes(&sink_spec(numbers_schema(), &[]), storage.clone(), sizes);
    let rows = (0..6).map(|i| numbers(i * 10..i * 10 + 10, None)).collect();
    run_epoch(&sink, 1, &[rows]).await.expect("commits");
    let mut left: Vec<i64> = (0..60).collect();
    for deleted in [vec![], vec![0, 9, 10, 11, 25, 42, 59]] {
        if !deleted.is_empty() {
            delete_rows(&storage, &deleted).await;
            left.retain(|id| !deleted.contains(&(*id as u64)));
        }
        let source = DeltaSource::open(&source_spec(numbers_schema()), storage.clone()).await.expect("opens");
        let whole = range_rows(&source, &all(&source).await).await;
        for morsel in [1, 7, 10, 29, 30, 31, 60] {
            let source = source.clone().with_reader(|reader| reader.with_morsel_rows(morsel));
            let splits = source.splits(&all(&source).await).await.expect("splits");
            assert_eq!(splits.len() as u64, 60 / morsel.max(60 / 4));
            let told = splits.iter().map(|split| split.rows).sum::<Option<u64>>();
            assert!(told.is_none_or(|rows| rows == left.len() as u64), "{told:?}");
            let range = all(&source).await;
            assert_eq!(texts(&range_rows(&source, &range).await), texts(&whole));
            let mut columns = vec![];
            for split in &splits {
                let batches = source.read_columns(split, &[0], 3).await.expect("opens");
                columns.extend(batches.try_collect::<Vec<_>>().await.expect("reads"));
            }
            assert_eq!(texts(&columns).len(), left.len());
            for batch_rows in [1, 7, 100] {
                for kept in [vec![], left.iter().copied().filter(|id| id % 3 == 0).collect(), left.clone()] {
                    assert_eq!(filtered(&source, &kept, batch_rows).await, (kept, left.clone()));
                }
            }
        }
    }
}

#[tokio::test]
async fn what_lies_between_long_runs_of_kept_rows_is_passed_over() {
    let storage = memory();
    append(&storage, &numbers_schema(), "a", &[numbers(0..2_000, None)]).await;
    let source = DeltaSource::open(&source_spec(numbers_schema()), storage.clone()).await.expect("opens");
    for kept in [1_000..1_900, 100..1_800] {
        let kept: Vec<i64> = kept.collect();
        assert_eq!(filtered(&source, &kept, 512).await.0, kept);
    }
}

#[tokio::test]
async fn some_columns_of_all_rows() {
    let storage = memory();
    append(&storage, &numbers_schema(), "a", &[numbers(0..5, Some("x")), numbers(5..7, Some("y"))]).await;
    let source = DeltaSource::open(&source_spec(numbers_schema()), storage.clone()).await.expect("opens");
    let mut found = vec![];
    for split in source.splits(&all(&source).await).await.expect("splits") {
        let batches = source.read_columns(&split, &[1], 3).await.expect("opens");
        found.extend(batches.try_collect::<Vec<_>>().await.expect("reads"));
    }
    assert_eq!(texts(&found), ["x", "x", "x", "x", "x", "y", "y"]);
}

#[tokio::test]
async fn columns_are_read_apart_where_that_is_worth_while() {
    let storage = memory();
    append(&storage, &numbers_schema(), "a", &[numbers(0..5, None)]).await;
    let apart = async |spec: &SourceSpec, rows: u64| {
        let source = DeltaSource::open(spec, storage.clone()).await.expect("opens").with_read_apart(rows);
        source.reads_columns(&all(&source).await)
    };
    let plain = source_spec(numbers_schema());
    assert!(apart(&plain, 5).await);
    assert!(!apart(&plain, 6).await, "too few rows");
    let follows = SourceSpec { updates: Updates::Follow, ..plain.clone() };
    assert!(!apart(&follows, 1).await, "no file says how often a row is added");
    let mut told = plain.clone();
    told.schema.fields.push(column("committed", DataType::Timestamp));
    told.committed = Some("committed".into());
    assert!(!apart(&told, 1).await, "no file says when a row was committed");
}
