//! First rows of keys beside a row-by-row definition, however rows are cut into batches, splits and epochs.

use super::*;
use crate::batch::Order;
use crate::operators::stateful::Stored;
use arrow::array::TimestampMicrosecondArray;
use proptest::prelude::*;

/// Key, time.
type Row = (Option<i64>, Option<i64>);

fn schema() -> SchemaRef {
    let fields = vec![
        Field::new("k", DataType::Int64, true),
        Field::new("t", DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into())), true),
        Field::new("#once", DataType::Boolean, false),
    ];
    Arc::new(ArrowSchema::new(fields))
}

fn batch(rows: &[Row]) -> RecordBatch {
    let keys: Int64Array = rows.iter().map(|r| r.0).collect();
    let times: TimestampMicrosecondArray = rows.iter().map(|r| r.1).collect();
    let fields = schema().fields().iter().take(2).cloned().collect::<Vec<_>>();
    let columns: Vec<ArrayRef> = vec![Arc::new(keys), Arc::new(times.with_timezone("UTC"))];
    RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), columns).unwrap()
}

fn spec(within: Option<i64>) -> graph::Unique {
    graph::Unique {
        flow: "f".into(),
        rule: "once".into(),
        keys: vec![0],
        time: within.map(|_| 1),
        within,
        delay: Some(5),
    }
}

fn rows_of(emitted: Emitted) -> RecordBatch {
    match emitted {
        Emitted::Rows(rows) => rows,
        other => panic!("{other:?}"),
    }
}

/// Runs epochs, each of splits of rows; the splits are pushed from the last to the first.
fn run(within: Option<i64>, epochs: &[Vec<Vec<Row>>], batch_rows: usize) -> Vec<bool> {
    let directory = tempfile::tempdir().unwrap();
    let (mut before, mut found) = (Before::Nothing, vec![]);
    for splits in epochs {
        let budget = Budget::new(1 << 20, directory.path());
        let unique =
            Unique::new(&spec(within), schema(), budget, std::mem::replace(&mut before, Before::Nothing)).unwrap();
        for (split, rows) in splits.iter().enumerate().rev() {
            for (sequence, part) in rows.chunks(batch_rows).enumerate() {
                let order = Order { path: 0, split: split as u32, sequence: sequence as u32 };
                unique.push(0, 0, Batch { data: batch(part), order }).unwrap();
            }
        }
        for out in unique.finish(None).unwrap() {
            found.extend(rows_of(out.unwrap()).column(2).as_boolean().values().iter());
        }
        before = match found.len() % 2 {
            0 => Before::Memory(unique.take_memory()),
            _ => {
                let segments = unique.changes(Extent::Less).unwrap().segments;
                Before::Stored(Stored { notes: BTreeMap::new(), segments })
            }
        };
    }
    found
}

/// The meaning: a row passes if no row that passed before it has its key and lies within the duration.
fn expected(within: Option<i64>, rows: &[Row]) -> Vec<bool> {
    let mut kept: Vec<Row> = vec![];
    let mut found = vec![];
    for row in rows {
        let near = |other: &Row| match (within, row.1, other.1) {
            (Some(d), Some(a), Some(b)) => (a - b).abs() <= d,
            _ => true,
        };
        let passes = (within.is_none() || row.1.is_some()) && !kept.iter().any(|k| k.0 == row.0 && near(k));
        if passes {
            kept.push(*row);
        }
        found.push(passes);
    }
    found
}

#[test]
fn the_first_row_passes_and_what_is_far_enough_behind_it() {
    let rows = vec![
        (Some(1), Some(0)),
        (Some(1), Some(50)),
        (Some(1), Some(101)),
        (None, Some(0)),
        (None, Some(9)),
        (Some(2), None),
    ];
    assert_eq!(run(Some(100), &[vec![rows.clone()]], 10), [true, false, true, true, false, false]);
    assert_eq!(run(None, &[vec![rows]], 10), [true, false, false, true, false, true]);
}

#[test]
fn what_is_remembered_ends_with_the_watermark() {
    let directory = tempfile::tempdir().unwrap();
    let unique =
        Unique::new(&spec(Some(10)), schema(), Budget::new(1 << 20, directory.path()), Before::Nothing).unwrap();
    let rows = [(Some(1), Some(0)), (Some(2), Some(90)), (Some(3), Some(100))];
    unique.push(0, 0, Batch { data: batch(&rows), order: Order::default() }).unwrap();
    unique.finish(None).unwrap().for_each(|out| drop(out.unwrap()));
    // The watermark is at 95: a row of key 1 at 0 can match nothing that is on time.
    assert_eq!(unique.snapshot().unwrap().num_rows(), 2);
}

#[test]
fn other_columns_and_too_little_memory_are_said() {
    let directory = tempfile::tempdir().unwrap();
    let budget = || Budget::new(1 << 20, directory.path());
    let by_time = graph::Unique { keys: vec![1], ..spec(None) };
    let other = Unique::new(&by_time, schema(), budget(), Before::Nothing).unwrap().snapshot().unwrap();
    let other = Before::Stored(Stored { notes: BTreeMap::new(), segments: vec![other] });
    assert_eq!(Unique::new(&spec(None), schema(), budget(), other).unwrap_err().code, "R0408");
    let small = Unique::new(&spec(None), schema(), Budget::new(100, directory.path()), Before::Nothing).unwrap();
    let rows: Vec<Row> = (0..1000).map(|k| (Some(k), None)).collect();
    small.push(0, 0, Batch { data: batch(&rows), order: Order::default() }).unwrap();
    let Some(Err(Fault::Run(error))) = small.finish(None).unwrap().next() else { panic!("it fits") };
    assert_eq!(error.code, "R0115");
}

#[test]
fn rows_that_wait_leave_memory_for_the_keys() {
    let directory = tempfile::tempdir().unwrap();
    let unique = Unique::new(&spec(None), schema(), Budget::new(40_000, directory.path()), Before::Nothing).unwrap();
    // Far more rows than fit, of few keys.
    for sequence in 0..200 {
        let rows: Vec<Row> = (0..100).map(|k| (Some(k), None)).collect();
        unique.push(0, 0, Batch { data: batch(&rows), order: Order { sequence, ..Order::default() } }).unwrap();
    }
    let first: usize =
        unique.finish(None).unwrap().map(|out| rows_of(out.unwrap()).column(2).as_boolean().true_count()).sum();
    assert_eq!(first, 100);
}

proptest! {
    #[test]
    fn however_rows_are_cut(
        rows in prop::collection::vec((prop::option::of(0i64..4), prop::option::weighted(0.9, 0i64..12)), 0..40),
        within in prop::option::of(0i64..6),
        epochs in 1usize..4,
        splits in 1usize..4,
        batch_rows in 1usize..5,
    ) {
        // In order of time the watermark never overtakes a row.
        let mut rows: Vec<Row> = rows;
        rows.sort_by_key(|r| r.1);
        let wanted = expected(within, &rows);
        let cut = |rows: &[Row], n: usize| rows.chunks(rows.len().div_ceil(n).max(1)).map(<[Row]>::to_vec).collect::<Vec<_>>();
        let parts: Vec<Vec<Vec<Row>>> = cut(&rows, epochs).iter().map(|epoch| cut(epoch, splits)).collect();
        prop_assert_eq!(run(within, &parts, batch_rows), wanted);
    }
}

/// What is stored and what the next epoch takes over are one and the same, until more rows come.
#[test]
fn what_is_remembered_is_computed_once_an_epoch() {
    let directory = tempfile::tempdir().unwrap();
    let unique =
        Unique::new(&spec(Some(7)), schema(), Budget::new(1 << 20, directory.path()), Before::Nothing).unwrap();
    let push = |row: Row| {
        unique.push(0, 0, Batch { data: batch(&[row]), order: Order { path: 0, split: 0, sequence: 0 } }).unwrap();
        unique.finish(None).unwrap().for_each(|out| drop(out.unwrap()));
        unique.changes(Extent::Less).unwrap().segments.remove(0)
    };
    let (first, second) = (push((Some(1), Some(10))), push((Some(2), Some(11))));
    assert_eq!((first.num_rows(), second.num_rows()), (1, 2));
    let taken = unique.take_memory().downcast::<RecordBatch>().unwrap();
    assert!(Arc::ptr_eq(second.column(0), taken.column(0)), "the keys were written out a second time");
}
