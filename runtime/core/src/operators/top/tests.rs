//! The first rows of each key beside a row-by-row definition, epoch by epoch, however rows are cut into batches and splits, and whether what is kept is stored
//! or not.

use super::*;
use crate::operators::kept::harness::{Came, Epoch, How, Row, Step, error, late_in_any_order, push, run, take};
use crate::operators::spilled::Make;
use flowc_ir::graph::{Operator, SortColumn};
use flowc_ir::{DataType as D, Field, Type};
use proptest::prelude::*;

/// Key, number, what is ordered by, window.
fn schema() -> Schema {
    Schema::new(vec![
        Field::new("k", Type::nullable(D::Double)),
        Field::new("n", Type::new(D::Long)),
        Field::new("x", Type::nullable(D::Double)),
        Field::new("window_start", Type::nullable(D::Timestamp)),
        Field::new("window_end", Type::nullable(D::Timestamp)),
    ])
}

fn spec(count: u64, descending: bool, keyed: bool, windowed: bool) -> graph::Top {
    graph::Top {
        name: "best".into(),
        count,
        order: vec![SortColumn { column: 2, descending, nulls_first: !descending }],
        keys: if keyed { vec![0] } else { vec![] },
        window: windowed.then_some((3, 4)),
    }
}

fn topped(spec: &graph::Top, how: How, epochs: &[Epoch]) -> Result<Vec<Came>, Fault> {
    let schema = schema();
    let (operator, inputs, output) = (Operator::Top(spec.clone()), vec![schema.clone()], schema.clone());
    let spec = spec.clone();
    let make: Make = Arc::new(move |before, around| Ok(Box::new(Top::new(&spec, &schema, around, before)?)));
    run(&Step { operator, inputs, output, make }, how, epochs)
}

fn row(key: i64, number: i64, x: i64, end: i64) -> Row {
    vec![Some(key), Some(number), Some(x), Some(end - 10), Some(end)]
}

fn epoch(rows: &[Row], watermark: Option<i64>) -> Epoch {
    Epoch { inputs: vec![rows.to_vec()], watermark }
}

/// The place of a double's number among doubles, nulls first: NaN is the greatest. Zeros are equal unless it is to be exact.
fn rank(number: Option<i64>, exact: bool) -> (bool, i64) {
    match number {
        None => (false, 0),
        Some(1) => (true, i64::MAX),
        Some(-1) if !exact => (true, 0),
        Some(n) => (true, n),
    }
}

fn group(spec: &graph::Top, row: &Row) -> (Vec<Option<i64>>, Vec<(bool, i64)>) {
    let window = if spec.window.is_some() { vec![row[4], row[3]] } else { vec![] };
    (window, spec.keys.iter().map(|_| rank(row[0], false)).collect())
}

fn order(spec: &graph::Top, row: &Row) -> Vec<(bool, i64)> {
    let (known, x) = rank(row[2], false);
    let wanted = if spec.order[0].descending { (!known, !x) } else { (known, x) };
    let all = |exact: bool| {
        (0..5)
            .map(move |c| if c == 0 || c == 2 { rank(row[c], exact) } else { (row[c].is_some(), row[c].unwrap_or(0)) })
    };
    [wanted].into_iter().chain(all(false)).chain(all(true)).collect()
}

/// What must come out of each epoch, in order.
fn expected(spec: &graph::Top, epochs: &[Epoch]) -> Vec<Came> {
    let (mut open, mut bound, mut latest): (Vec<Row>, _, _) = (vec![], None, None);
    let mut came = vec![];
    for epoch in epochs {
        let mut out = Came::default();
        for row in &epoch.inputs[0] {
            if spec.window.is_some() && row[4].is_none_or(|end| bound.is_some_and(|w| end <= w)) {
                out.late.push(row.clone());
            } else {
                latest = latest.max(row[4]);
                open.push(row.clone());
            }
        }
        let over = |row: &Row| spec.window.is_none() || epoch.watermark.is_some_and(|w| row[4].unwrap() <= w);
        let mut closed: Vec<Row> = open.iter().filter(|row| over(row)).cloned().collect();
        open.retain(|row| !over(row));
        closed.sort_by_key(|row| (group(spec, row), order(spec, row)));
        let mut counted = std::collections::BTreeMap::new();
        closed.retain(|row| {
            let count = counted.entry(group(spec, row)).or_insert(0);
            *count += 1;
            *count <= spec.count
        });
        out.rows = closed;
        bound = bound.max(if epoch.watermark == Some(i64::MAX) { latest } else { epoch.watermark });
        came.push(out);
    }
    came
}

#[test]
fn the_best_of_a_window_come_out_when_the_watermark_reaches_its_end() {
    let epochs = [
        epoch(&[row(5, 1, 30, 100), row(5, 2, 20, 100), row(6, 3, 7, 100), row(5, 4, 9, 200)], Some(99)),
        epoch(&[row(5, 5, 40, 100), row(5, 6, 10, 100)], Some(100)),
        epoch(&[row(5, 7, 50, 100), row(5, 8, 8, 200)], Some(i64::MAX)),
        epoch(&[row(5, 9, 50, 200), row(5, 10, 8, 201)], Some(i64::MAX)),
    ];
    for stored in [None, Some(1), Some(9)] {
        let came = topped(&spec(2, true, true, true), How { stored, ..How::PLAIN }, &epochs).unwrap();
        assert_eq!(came[0].rows, Vec::<Row>::new());
        assert_eq!(came[1].rows, [row(5, 5, 40, 100), row(5, 1, 30, 100), row(6, 3, 7, 100)]);
        assert_eq!((came[2].rows.len(), came[2].late.as_slice()), (2, [row(5, 7, 50, 100)].as_slice()));
        assert_eq!(came[3].rows, [row(5, 10, 8, 201)]);
        assert_eq!(came[3].late, [row(5, 9, 50, 200)]);
    }
}

fn at_work(spec: &graph::Top, memory: usize, watermark: Option<i64>, before: Before) -> Result<Top, RunError> {
    let directory = tempfile::tempdir().unwrap();
    let budget = crate::spill::Budget::new(memory, directory.path());
    let surroundings = Surroundings { epoch: 0, watermark, workers: 1, batch_rows: 100, budget, carried: 0 };
    Top::new(spec, &schema(), surroundings, before)
}

#[test]
fn only_rows_that_can_be_among_the_first_are_kept_and_only_changes_are_stored() {
    let spec = spec(3, true, true, true);
    let mut before = Before::Nothing;
    let mut sizes = vec![];
    for e in 0..40 {
        let top = at_work(&spec, 1 << 24, None, before).unwrap();
        // In every epoch better rows for 2 of 100 keys.
        let keys = if e == 0 { 0..100 } else { 7..9 };
        let rows = keys.flat_map(|k| (0..50).map(move |i| row(k, e * 100 + i, e * 100 + i + 2, 100))).collect();
        push(&top, How::PLAIN, &[&schema()], &[rows]).unwrap();
        take(&top, Some(50)).unwrap();
        let changes = top.changes(Extent::Less).unwrap();
        sizes.push((changes.whole, changes.segments.iter().map(RecordBatch::num_rows).sum::<usize>()));
        let remembered = top.remembered();
        assert_eq!((remembered.entries, remembered.windows), (300, 1));
        assert_eq!((remembered.first_end, remembered.last_end), (Some(100), Some(100)));
        assert!(remembered.bytes < 200_000, "{remembered:?}");
        before = Before::Memory(top.take_memory());
    }
    assert_eq!(sizes[0], (true, 300));
    // Three new rows of two keys, and three that they displace.
    assert!(sizes[1..].iter().all(|size| *size == (false, 12)), "{sizes:?}");
    let top = at_work(&spec, 1 << 24, Some(50), before).unwrap();
    assert_eq!(take(&top, Some(100)).unwrap().rows.len(), 300);
    assert_eq!(top.remembered().entries, 0);
    assert!(top.remembered().bytes < 20_000, "{:?}", top.remembered());
}

#[test]
fn workers_leave_out_what_is_not_among_the_first() {
    let spec = spec(2, false, true, false);
    let rows: Vec<Row> = (0..100_000).map(|i| row(i % 10, i, (i * 7919) % 100_000 + 2, 0)).collect();
    let epochs = [epoch(&rows, Some(i64::MAX))];
    let how = How { workers: 2, splits: 4, batch_rows: 4096, memory: 6 << 20, ..How::PLAIN };
    assert_eq!(topped(&spec, how, &epochs).unwrap(), expected(&spec, &epochs));
}

#[test]
fn too_little_memory_is_said() {
    let plain = spec(2000, true, true, true);
    let many: Vec<Row> = (0..2000).map(|i| row(5, i, i, 100)).collect();
    let how = How { memory: 20_000, ..How::PLAIN };
    assert_eq!(error(topped(&plain, how, &[epoch(&many, None)]).unwrap_err()).code, "R0117");
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let key = prop::option::weighted(0.85, -1i64..3);
    let x = prop::option::weighted(0.9, -1i64..6);
    let end = prop::option::weighted(0.95, 0i64..6);
    prop::collection::vec((key, 0i64..3, x, end), 0..25).prop_map(|rows| {
        let row = |(key, n, x, end): (Option<i64>, i64, Option<i64>, Option<i64>)| {
            let end = end.map(|end| end * 5);
            vec![key, Some(n), x, end.map(|end| end - 10), end]
        };
        rows.into_iter().map(row).collect()
    })
}

/// Epochs with growing watermarks, some of which end everything.
fn epochs() -> impl Strategy<Value = Vec<Epoch>> {
    let epoch = (rows(), prop::option::weighted(0.8, 0i64..12), prop::bool::weighted(0.1));
    prop::collection::vec(epoch, 1..7).prop_map(|epochs| {
        let mut watermark = None;
        let epochs = epochs.into_iter().map(|(rows, step, over)| {
            watermark = step.map(|step| watermark.unwrap_or(-3) + step).max(watermark);
            Epoch { inputs: vec![rows], watermark: if over { Some(i64::MAX) } else { watermark } }
        });
        epochs.collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn however_rows_are_cut(
        epochs in epochs(),
        count in 1u64..4,
        (descending, keyed, windowed) in (prop::bool::ANY, prop::bool::weighted(0.7), prop::bool::weighted(0.8)),
        (workers, splits, batch_rows) in (1usize..3, 1usize..4, 1usize..9),
        (stored, spilled) in (prop::option::of(1usize..4), prop::bool::weighted(0.15)),
    ) {
        let spec = spec(count, descending, keyed, windowed);
        let how = How { workers, splits, batch_rows, stored, spilled, ..How::PLAIN };
        let epochs = if windowed { epochs } else { vec![Epoch { watermark: Some(i64::MAX), ..epochs[0].clone() }] };
        let mut expected = expected(&spec, &epochs);
        if spilled {
            late_in_any_order(&mut expected);
        }
        prop_assert_eq!(topped(&spec, how, &epochs).unwrap(), expected);
    }
}
