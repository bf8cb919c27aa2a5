//! First rows beside a row-by-row definition, epoch by epoch, however rows are cut into batches and splits, and whether what is kept is stored or not.

use super::*;
use crate::operators::kept::harness::{Came, Epoch, How, Row, Step, error, late_in_any_order, push, run, take};
use crate::operators::spilled::Make;
use flowc_ir::graph::Operator;
use flowc_ir::{DataType as D, Field, Type};
use proptest::prelude::*;

/// Key, number, time.
fn schema() -> Schema {
    Schema::new(vec![
        Field::new("k", Type::nullable(D::Double)),
        Field::new("n", Type::new(D::Long)),
        Field::new("t", Type::nullable(D::Timestamp)),
    ])
}

fn spec(within: Option<i64>, by_time: bool) -> graph::Dedup {
    graph::Dedup { name: "once".into(), keys: vec![0], time: within.map(|_| 2), within, by_time }
}

fn deduped(spec: &graph::Dedup, how: How, epochs: &[Epoch]) -> Result<Vec<Came>, Fault> {
    let schema = schema();
    let (operator, inputs, output) = (Operator::Dedup(spec.clone()), vec![schema.clone()], schema.clone());
    let spec = spec.clone();
    let make: Make = Arc::new(move |before, around| Ok(Box::new(Dedup::new(&spec, &schema, around, before)?)));
    run(&Step { operator, inputs, output, make }, how, epochs)
}

fn row(key: i64, number: i64, time: i64) -> Row {
    vec![Some(key), Some(number), Some(time)]
}

fn epoch(rows: &[Row], watermark: Option<i64>) -> Epoch {
    Epoch { inputs: vec![rows.to_vec()], watermark }
}

/// Whether a row is the first of its key; it is kept then.
fn first(kept: &mut Vec<Row>, row: &Row, within: Option<i64>) -> bool {
    let key = |row: &Row| row[0].map(|k| if k == -1 { 0 } else { k });
    let near = |other: &&Row| match within {
        None => true,
        Some(within) => (0..=within).contains(&(row[2].unwrap() - other[2].unwrap())),
    };
    let passes = !kept.iter().filter(|other| key(other) == key(row)).any(|other| near(&other));
    if passes {
        kept.push(row.clone());
    }
    passes
}

/// What must come out of each epoch, in order; of rows by time, equal times are in the order of their numbers.
fn expected(spec: &graph::Dedup, epochs: &[Epoch]) -> Vec<Came> {
    let (mut kept, mut waiting, mut bound, mut latest) = (vec![], vec![], None, None);
    let mut came = vec![];
    for epoch in epochs {
        let mut out = Came::default();
        for row in &epoch.inputs[0] {
            let reach = if spec.by_time { 0 } else { spec.within.unwrap_or(0) };
            if spec.within.is_some() && row[2].is_none_or(|t| bound.is_some_and(|w| t + reach < w)) {
                out.late.push(row.clone());
                continue;
            }
            latest = latest.max(row[2]);
            if spec.by_time {
                waiting.push(row.clone());
            } else if first(&mut kept, row, spec.within) {
                out.rows.push(row.clone());
            }
        }
        let over = |row: &Row| epoch.watermark.is_some_and(|w| w == i64::MAX || row[2].unwrap() < w);
        let mut ready: Vec<Row> = waiting.iter().filter(|row| over(row)).cloned().collect();
        waiting.retain(|row| !over(row));
        ready.sort_by_key(|row| (row[2], row[1]));
        out.rows.extend(ready.into_iter().filter(|row| first(&mut kept, row, spec.within)));
        bound = bound.max(match epoch.watermark {
            Some(i64::MAX) => latest.filter(|_| spec.by_time).map(|latest: i64| latest + 1),
            watermark => watermark,
        });
        came.push(out);
    }
    came
}

/// Without numbers: of rows of one key and time it is not said which one passes.
fn anonymous(mut came: Vec<Came>) -> Vec<Came> {
    for row in came.iter_mut().flat_map(|came| &mut came.rows) {
        row[1] = None;
        row[0] = row[0].map(|key| key.max(0));
    }
    came.iter_mut().for_each(|came| came.rows.sort_by_key(|row| (row[2], row[0])));
    came
}

#[test]
fn a_row_is_a_duplicate_of_one_before_it_and_not_of_one_behind_it() {
    let epochs = [
        epoch(&[row(5, 1, 100), row(5, 2, 110), row(5, 3, 95), row(5, 4, 111)], Some(100)),
        epoch(&[row(5, 5, 121), row(5, 6, 122), row(5, 7, 89), row(5, 8, 90), vec![None, Some(9), None]], Some(200)),
    ];
    for stored in [None, Some(2)] {
        let came = deduped(&spec(Some(10), false), How { stored, ..How::PLAIN }, &epochs).unwrap();
        assert_eq!(came[0].rows, [row(5, 1, 100), row(5, 3, 95), row(5, 4, 111)]);
        assert_eq!(came[1].rows, [row(5, 6, 122), row(5, 8, 90)]);
        assert_eq!(came[1].late, [row(5, 7, 89), vec![None, Some(9), None]]);
    }
}

#[test]
fn by_time_rows_wait_for_the_watermark() {
    let epochs = [
        epoch(&[row(5, 1, 100), row(5, 2, 90), row(5, 3, 101)], Some(100)),
        epoch(&[row(5, 4, 99), row(5, 5, 100)], Some(i64::MAX)),
        epoch(&[row(5, 6, 101), row(5, 7, 102), row(5, 8, 112)], Some(i64::MAX)),
    ];
    for stored in [None, Some(1), Some(9)] {
        let came = deduped(&spec(Some(10), true), How { stored, ..How::PLAIN }, &epochs).unwrap();
        assert_eq!(came[0].rows, [row(5, 2, 90)]);
        assert_eq!(
            (came[1].rows.as_slice(), came[1].late.as_slice()),
            ([row(5, 3, 101)].as_slice(), [row(5, 4, 99)].as_slice())
        );
        assert_eq!(
            (came[2].rows.as_slice(), came[2].late.as_slice()),
            ([row(5, 8, 112)].as_slice(), [row(5, 6, 101)].as_slice())
        );
    }
}

fn at_work(spec: &graph::Dedup, memory: usize, watermark: Option<i64>, before: Before) -> Result<Dedup, RunError> {
    let directory = tempfile::tempdir().unwrap();
    let budget = crate::spill::Budget::new(memory, directory.path());
    let surroundings = Surroundings { epoch: 0, watermark, workers: 1, batch_rows: 100, budget, carried: 0 };
    Dedup::new(spec, &schema(), surroundings, before)
}

#[test]
fn what_is_kept_is_forgotten_and_its_memory_freed() {
    for by_time in [false, true] {
        let (mut before, mut watermark) = (Before::Nothing, None);
        for e in 0..300 {
            let dedup = at_work(&spec(Some(10), by_time), 1 << 24, watermark, before).unwrap();
            let rows = (0..50).map(|i| row(1000 * e + i, 0, e)).collect::<Vec<_>>();
            push(&dedup, How::PLAIN, &[&schema()], &[rows]).unwrap();
            watermark = Some(e);
            take(&dedup, watermark).unwrap();
            let remembered = dedup.remembered();
            assert!(remembered.entries <= 50 * 22 && remembered.bytes < 200_000, "{remembered:?}");
            before = Before::Memory(dedup.take_memory());
        }
    }
}

#[test]
fn only_what_an_epoch_changed_is_stored() {
    let dedup = at_work(&spec(None, false), 1 << 24, None, Before::Nothing).unwrap();
    push(&dedup, How::PLAIN, &[&schema()], &[(0..500).map(|k| row(k, 0, 0)).collect()]).unwrap();
    take(&dedup, None).unwrap();
    let changes = dedup.changes(Extent::Less).unwrap();
    assert_eq!((changes.whole, changes.segments[0].num_rows()), (true, 500));
    let dedup = at_work(&spec(None, false), 1 << 24, None, Before::Memory(dedup.take_memory())).unwrap();
    push(&dedup, How::PLAIN, &[&schema()], &[vec![row(-1, 0, 0), row(7, 0, 0), row(500, 0, 0)]]).unwrap();
    assert_eq!(take(&dedup, None).unwrap().rows, [row(500, 0, 0)]);
    let changes = dedup.changes(Extent::Less).unwrap();
    assert_eq!((changes.whole, changes.segments.len(), changes.segments[0].num_rows()), (false, 1, 1));
    let types: Vec<&DataType> = changes.segments[0].columns().iter().map(|column| column.data_type()).collect();
    assert_eq!(types, [&DataType::Float64, &DataType::Int64]);
}

#[test]
fn too_little_memory_is_said() {
    let many: Vec<Row> = (0..2000).map(|i| row(i, i, 100)).collect();
    for by_time in [false, true] {
        let spec = spec(Some(10), by_time);
        let how = How { memory: 20_000, ..How::PLAIN };
        assert_eq!(error(deduped(&spec, how, &[epoch(&many, Some(0))]).unwrap_err()).code, "R0117");
    }
}

#[test]
fn rows_that_exceed_memory_are_sorted_in_files() {
    let rows: Vec<Row> = (0..5000).map(|i| row(i % 7, i, (i * 7919) % 5000)).collect();
    let how = How { memory: 60_000, batch_rows: 100, ..How::PLAIN };
    let epochs = [epoch(&rows, Some(i64::MAX))];
    let came = deduped(&spec(Some(100), true), how, &epochs).unwrap();
    assert_eq!(anonymous(came), anonymous(expected(&spec(Some(100), true), &epochs)));
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let key = prop::option::weighted(0.85, -1i64..4);
    prop::collection::vec((key, prop::option::weighted(0.95, -10i64..30)), 0..16)
        .prop_map(|rows| rows.into_iter().map(|(key, time)| vec![key, None, time]).collect())
}

/// Epochs with growing watermarks, some of which end everything.
fn epochs() -> impl Strategy<Value = Vec<Epoch>> {
    let epoch = (rows(), prop::option::weighted(0.8, 0i64..12), prop::bool::weighted(0.1));
    prop::collection::vec(epoch, 1..7).prop_map(|epochs| {
        let (mut watermark, mut number) = (None, 0);
        let epochs = epochs.into_iter().map(|(mut rows, step, over)| {
            watermark = step.map(|step| watermark.unwrap_or(-12) + step).max(watermark);
            for row in &mut rows {
                number += 1;
                row[1] = Some(number);
            }
            Epoch { inputs: vec![rows], watermark: if over { Some(i64::MAX) } else { watermark } }
        });
        epochs.collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn however_rows_are_cut(
        epochs in epochs(),
        within in prop::option::weighted(0.9, 0i64..8),
        by_time in prop::bool::ANY,
        (workers, splits, batch_rows) in (1usize..3, 1usize..4, 1usize..9),
        (stored, spilled) in (prop::option::of(1usize..4), prop::bool::weighted(0.15)),
    ) {
        let spec = spec(within, by_time && within.is_some());
        let how = How { workers, splits, batch_rows, stored, spilled, ..How::PLAIN };
        let came = deduped(&spec, how, &epochs).unwrap();
        let (mut plain, mut expected) = (deduped(&spec, How::PLAIN, &epochs).unwrap(), expected(&spec, &epochs));
        if spilled {
            late_in_any_order(&mut plain);
            late_in_any_order(&mut expected);
        }
        prop_assert_eq!(&came, &plain, "the order depends on {:?}", how);
        if spec.by_time {
            prop_assert!(came.iter().all(|came| came.rows.is_sorted_by_key(|row| row[2])));
            prop_assert_eq!(anonymous(came), anonymous(expected));
        } else {
            prop_assert_eq!(came, expected);
        }
    }

    /// Where no row is late, neither the cut into epochs nor, by time, the order of the input matters.
    #[test]
    fn whatever_the_cut(
        rows in prop::collection::vec((0i64..3, 0i64..40), 0..30),
        cuts in prop::collection::btree_set(0i64..41, 0..6),
        within in 0i64..8,
        stored in prop::option::of(1usize..4),
    ) {
        let spec = spec(Some(within), true);
        let rows: Vec<Row> = (0..).zip(rows).map(|(n, (key, time))| row(key, n, time)).collect();
        let once = deduped(&spec, How::PLAIN, &[epoch(&rows, Some(i64::MAX))]).unwrap();
        let (mut start, mut epochs) = (i64::MIN, vec![]);
        for end in cuts.into_iter().chain([100]) {
            // In the order of the input from behind.
            let part: Vec<Row> = rows.iter().rev().filter(|row| (start..end).contains(&row[2].unwrap())).cloned().collect();
            epochs.push(epoch(&part, Some(if end == 100 { i64::MAX } else { end })));
            start = end;
        }
        let cut = deduped(&spec, How { stored, ..How::PLAIN }, &epochs).unwrap();
        let all: Vec<Row> = cut.iter().flat_map(|came| came.rows.clone()).collect();
        prop_assert!(cut.iter().all(|came| came.late.is_empty()));
        prop_assert_eq!(&all, &once[0].rows);
    }
}
