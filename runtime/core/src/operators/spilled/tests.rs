//! Buckets on disk: what was added comes back level by level, and what was cleared does not; and which bucket rows are in that others name by number.

use super::*;
use crate::operators::kept::{Place, harness};
use arrow::array::{ArrayRef, AsArray, Int64Array, StringArray};
use arrow::datatypes::Int64Type;
use flowc_ir::graph::{self, Dedup};
use flowc_ir::{DataType, Field, Type};

fn batch(numbers: &[i64], texts: &[&str]) -> RecordBatch {
    let numbers: ArrayRef = Arc::new(Int64Array::from(numbers.to_vec()));
    RecordBatch::try_from_iter([("n", numbers), ("t", Arc::new(StringArray::from(texts.to_vec())) as ArrayRef)])
        .unwrap()
}

fn numbers(loaded: &buckets::Loaded) -> Vec<(Vec<i64>, Vec<u16>)> {
    let values = |batch: &RecordBatch| batch.column(0).as_primitive::<Int64Type>().values().to_vec();
    loaded.iter().map(|(batch, buckets)| (values(batch), buckets.clone())).collect()
}

#[test]
fn levels_come_back_oldest_first_and_cleared_ones_do_not() {
    let directory = tempfile::tempdir().unwrap();
    let mut buckets = Buckets::new(&Budget::new(1 << 20, directory.path())).unwrap();
    assert_eq!(buckets.count(), 256);
    buckets.add(&vec![(batch(&[1, 2, 3], &["a", "", "c"]), vec![7, 200, 7])]).unwrap();
    buckets.add(&vec![(batch(&[4], &["d"]), vec![7]), (batch(&[5], &["e"]), vec![3])]).unwrap();
    let loaded = buckets.load(&[3, 7, 200]).unwrap();
    // A bucket's first level is a first level, whenever it was written.
    assert_eq!(numbers(&loaded), [(vec![5, 1, 3, 2], vec![3, 7, 7, 200]), (vec![4], vec![7])]);
    assert_eq!(loaded[0].0, batch(&[5, 1, 3, 2], &["e", "a", "c", ""]));
    assert_eq!(buckets.depth(&[3, 7]), 1);
    buckets.clear(&[7]).unwrap();
    assert_eq!(numbers(&buckets.load(&[7, 200]).unwrap()), [(vec![2], vec![200])]);
    assert_eq!(buckets.known()[7].bytes, 0);
    buckets.add(&vec![(batch(&[6], &["f"]), vec![7])]).unwrap();
    assert_eq!(numbers(&buckets.load(&[7]).unwrap()), [(vec![6], vec![7])]);
}

#[test]
fn of_empty_buckets_there_is_nothing_to_tell() {
    let directory = tempfile::tempdir().unwrap();
    let mut work = Work::new(&Budget::new(1 << 20, directory.path())).unwrap();
    work.buckets.add(&vec![(batch(&[1, 2], &["a", "b"]), vec![7, 8])]).unwrap();
    work.buckets.tell(&[6, 7, 8], Remembered { entries: 10, ..Remembered::default() });
    let entries = |work: &Work| work.told().map(|(told, share)| told.entries as f64 * share).sum::<f64>();
    assert_eq!((entries(&work), work.told().count()), (10.0, 2));
    work.buckets.clear(&[7]).unwrap();
    work.buckets.tell(&[7], Remembered { entries: 10, ..Remembered::default() });
    assert_eq!(entries(&work), 5.0);
}

#[test]
fn rows_that_are_named_by_number_are_in_the_buckets_of_their_keys() {
    let schema = Schema::new(vec![Field::new("k", Type::new(DataType::Long))]);
    let top = graph::Top { name: "t".into(), count: 1, order: vec![], keys: vec![0], window: None };
    let layout = Layout::of(&Operator::Top(top), &[&schema], &schema).unwrap().unwrap();
    let mut rows = crate::operators::kept::KeptRows::new(flowc_ir::arrow_types::to_arrow_schema(&schema), true);
    let keys: Vec<harness::Row> = (0..50).map(|key| vec![Some(key)]).collect();
    let data = harness::batch(&schema, &keys);
    rows.add(data.clone(), vec![0; 50].into(), vec![false; 50]).unwrap();
    let first = rows.segments(true, "rows").unwrap();
    rows.begin();
    for number in [3, 41] {
        let place: Place = rows.locate(number).unwrap();
        rows.flag(place);
    }
    let second = rows.segments(false, "rows").unwrap();
    let mut numbered = Numbered::default();
    let buckets = layout.of_stored(&first[0], 256, &mut numbered).unwrap();
    assert_eq!(buckets, layout.of_input(0, &data, 256).unwrap());
    assert_eq!(layout.of_stored(&second[0], 256, &mut numbered).unwrap(), [buckets[3], buckets[41]]);
}

#[test]
fn a_step_without_a_key_does_not_fall_apart() {
    let schema = Schema::new(vec![Field::new("k", Type::new(DataType::Long))]);
    let dedup = |keys: Vec<usize>| Dedup { name: "d".into(), keys, time: None, within: None, by_time: false };
    assert!(can_spill(&Operator::Dedup(dedup(vec![0])), &[&schema], &schema));
    assert!(!can_spill(&Operator::Dedup(dedup(vec![])), &[&schema], &schema));
    assert!(!can_spill(&Operator::Union, &[&schema], &schema));
}
