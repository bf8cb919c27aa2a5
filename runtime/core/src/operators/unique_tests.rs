//! First rows of keys beside a row-by-row definition, epoch by epoch, however rows are cut into batches and splits, and whether what is kept is stored or not.

use super::*;
use crate::operators::kept::harness::{Epoch, How, Row, Step, error, push, run, take};
use crate::operators::spilled::Make;
use flowc_ir::graph::Operator;
use flowc_ir::{DataType as D, Field as F, Type};
use proptest::prelude::*;

/// How far the watermark lies behind.
const DELAY: i64 = 5;

/// Key, number, time.
fn schema() -> Schema {
    Schema::new(vec![
        F::new("k", Type::nullable(D::Double)),
        F::new("n", Type::new(D::Long)),
        F::new("t", Type::nullable(D::Timestamp)),
    ])
}

fn output() -> Schema {
    Schema::new(schema().fields.into_iter().chain([F::new("#once", Type::boolean())]).collect())
}

fn spec(within: Option<i64>) -> graph::Unique {
    let (flow, rule, time) = ("f".into(), "once".into(), within.map(|_| 2));
    graph::Unique { flow, rule, keys: vec![0], time, within, delay: Some(DELAY) }
}

fn row(key: i64, number: i64, time: i64) -> Row {
    vec![Some(key), Some(number), Some(time)]
}

fn epoch(rows: &[Row], watermark: Option<i64>) -> Epoch {
    Epoch { inputs: vec![rows.to_vec()], watermark }
}

/// What comes out of each epoch. `advanced`: at the beginning of so many, all sources are known to have reached the watermark of the one before.
fn judged(spec: &graph::Unique, advanced: u64, how: How, epochs: &[Epoch]) -> Result<Vec<Vec<Row>>, Fault> {
    let (operator, inputs) = (Operator::Unique(spec.clone()), vec![schema()]);
    let spec = spec.clone();
    let make: Make = Arc::new(move |before, around| {
        let reached = around.watermark.filter(|_| around.epoch < advanced);
        Ok(Box::new(Unique::new(&spec, &output(), around, before)?.advanced(reached)))
    });
    let came = run(&Step { operator, inputs, output: output(), make }, how, epochs)?;
    assert!(came.iter().all(|came| came.late.is_empty() && came.others == 0));
    Ok(came.into_iter().map(|came| came.rows).collect())
}

/// The meaning: a row passes if no row that passed before it and is remembered has its key and lies within the duration.
fn expected(within: Option<i64>, advanced: u64, epochs: &[Epoch]) -> Vec<Vec<Row>> {
    let (mut kept, mut latest, mut watermark): (Vec<Row>, Option<i64>, Option<i64>) = (vec![], None, None);
    let key = |row: &Row| row[0].map(|k| if k == -1 { 0 } else { k });
    let mut came = vec![];
    for (number, epoch) in (0..).zip(epochs) {
        latest = latest.max(watermark.filter(|_| number < advanced && within.is_some()).map(|w| w + DELAY));
        if let (Some(within), Some(latest)) = (within, latest) {
            kept.retain(|row| row[2].unwrap() >= latest - DELAY - within);
        }
        let mut out = vec![];
        for row in &epoch.inputs[0] {
            let near = |other: &Row| within.is_none_or(|d| (row[2].unwrap() - other[2].unwrap()).abs() <= d);
            let judge = within.is_none() || row[2].is_some();
            let passes = judge && !kept.iter().any(|other| key(other) == key(row) && near(other));
            if passes {
                kept.push(row.clone());
            }
            latest = latest.max(row[2]);
            out.push(row.iter().copied().chain([Some(i64::from(passes))]).collect());
        }
        came.push(out);
        watermark = watermark.max(epoch.watermark.filter(|watermark| *watermark != i64::MAX));
    }
    came
}

fn passed(came: &[Row]) -> Vec<bool> {
    came.iter().map(|row| row[3] == Some(1)).collect()
}

fn at_work(spec: &graph::Unique, memory: usize, before: Before) -> Result<Unique, RunError> {
    let directory = tempfile::tempdir().unwrap();
    let budget = Budget::new(memory, directory.path());
    let around = Surroundings { epoch: 0, watermark: None, workers: 1, batch_rows: 100, budget, carried: 0 };
    Unique::new(spec, &output(), around, before)
}

/// An epoch of these rows; which of them pass.
fn pass(unique: &Unique, rows: &[Row]) -> Vec<bool> {
    push(unique, How::PLAIN, &[&schema()], &[rows.to_vec()]).unwrap();
    passed(&take(unique, None).unwrap().rows)
}

fn stored(notes: BTreeMap<String, String>, segments: Vec<RecordBatch>) -> Before {
    Before::Stored(Stored { notes, segments })
}

fn rows_in(changes: &Changes) -> usize {
    changes.segments.iter().map(RecordBatch::num_rows).sum()
}

#[test]
fn the_first_row_passes_and_what_is_far_enough_behind_it() {
    let row = |key: Option<i64>, time: Option<i64>| vec![key, Some(0), time];
    let rows = [
        row(Some(5), Some(0)),
        row(Some(5), Some(50)),
        row(Some(5), Some(101)),
        row(None, Some(0)),
        row(None, Some(9)),
        row(Some(2), None),
    ];
    let judged = |within| judged(&spec(within), 0, How::PLAIN, &[epoch(&rows, None)]).unwrap();
    assert_eq!(passed(&judged(Some(100))[0]), [true, false, true, true, false, false]);
    assert_eq!(passed(&judged(None)[0]), [true, false, false, true, false, true]);
}

#[test]
fn what_is_remembered_ends_with_the_watermark() {
    let rows = [row(5, 1, 0), row(5, 2, 3), row(2, 3, 90), row(3, 4, 100), row(5, 5, 1)];
    for stored in [None, Some(1), Some(9)] {
        // In the first epoch what is late counts, behind it nobody knows it: the watermark is at 95.
        let epochs = [epoch(&rows, None), epoch(&[row(5, 6, 2), row(5, 7, 2), row(2, 8, 80), row(2, 9, 79)], None)];
        let came = judged(&spec(Some(10)), 0, How { stored, ..How::PLAIN }, &epochs).unwrap();
        assert_eq!(passed(&came[0]), [true, false, true, true, false]);
        assert_eq!(passed(&came[1]), [true, false, false, true]);
    }
    let unique = at_work(&spec(Some(10)), 1 << 20, Before::Nothing).unwrap();
    pass(&unique, &rows);
    assert_eq!((rows_in(&unique.changes(Extent::Less).unwrap()), unique.remembered().entries), (2, 2));
}

#[test]
fn only_what_an_epoch_has_changed_is_stored() {
    for within in [None, Some(1_000_000)] {
        let unique = at_work(&spec(within), 1 << 24, Before::Nothing).unwrap();
        pass(&unique, &(0..10_000).map(|k| row(k + 2, 0, 0)).collect::<Vec<_>>());
        let first = unique.changes(Extent::Less).unwrap();
        assert_eq!((first.whole, rows_in(&first)), (true, 10_000));
        // Of as many rows again one in a hundred has a key that was not there.
        let key = |k: i64| if k % 100 == 0 { 20_000 + k } else { k };
        let rows: Vec<Row> = (0..10_000).map(|k| row(key(k) + 2, 0, 10)).collect();
        let from_memory = at_work(&spec(within), 1 << 24, Before::Memory(unique.take_memory())).unwrap();
        let from_stored = at_work(&spec(within), 1 << 24, stored(first.notes, first.segments)).unwrap();
        for unique in [from_memory, from_stored] {
            assert_eq!(pass(&unique, &rows).iter().filter(|passes| **passes).count(), 100);
            let second = unique.changes(Extent::Less).unwrap();
            assert_eq!((second.whole, rows_in(&second)), (false, 100));
            assert_eq!(rows_in(&unique.changes(Extent::Whole).unwrap()), 10_100);
        }
    }
}

#[test]
fn what_is_kept_is_forgotten_and_its_memory_freed() {
    let mut before = Before::Nothing;
    for e in 0..300 {
        let unique = at_work(&spec(Some(10)), 1 << 24, before).unwrap();
        let rows: Vec<Row> = (0..50).map(|i| row(1000 * e + i + 2, 0, e)).collect();
        assert!(pass(&unique, &rows).into_iter().all(|passes| passes));
        let remembered = unique.remembered();
        assert!(remembered.entries <= 50 * 16 && remembered.bytes < 200_000, "{remembered:?}");
        before = Before::Memory(unique.take_memory());
    }
}

/// As the first version of the format wrote it: all keys with their times, and in the schema what a note says today.
fn snapshot(entries: &[(Option<f64>, i64)], latest: Option<i64>) -> RecordBatch {
    let keys: ArrayRef = Arc::new(entries.iter().map(|entry| entry.0).collect::<arrow::array::Float64Array>());
    let encoded = Keys::new([&DataType::Float64].into_iter()).unwrap().encode(&[keys]).unwrap();
    let mut metadata = HashMap::from([("key".to_string(), "[Float64]".to_string())]);
    metadata.extend(latest.map(|latest| ("latest".to_string(), latest.to_string())));
    let fields = vec![Field::new("key", DataType::Binary, false), Field::new("time", DataType::Int64, false)];
    let keys = BinaryArray::from_iter_values(encoded.iter().map(|key| key.data().to_vec()));
    let times = Int64Array::from_iter_values(entries.iter().map(|entry| entry.1));
    let schema = Arc::new(ArrowSchema::new_with_metadata(fields, metadata));
    RecordBatch::try_new(schema, vec![Arc::new(keys), Arc::new(times)]).unwrap()
}

#[test]
fn a_state_of_the_first_version_of_the_format_is_gone_on_with() {
    let spilled = |within: Option<i64>, before: Before| {
        let make: Make =
            Arc::new(move |before, around| Ok(Box::new(Unique::new(&spec(within), &output(), around, before)?)));
        let operator = Operator::Unique(spec(within));
        let directory = tempfile::tempdir().unwrap();
        let budget = Budget::new(1 << 22, directory.path());
        let around = Surroundings { epoch: 0, watermark: None, workers: 1, batch_rows: 100, budget, carried: 0 };
        let step = Step { operator, inputs: vec![schema()], output: output(), make };
        (step.spilled(around, before).unwrap(), directory)
    };
    let judge = |unique: &dyn Stateful, rows: &[Row]| {
        push(unique, How::PLAIN, &[&schema()], &[rows.to_vec()]).unwrap();
        passed(&take(unique, None).unwrap().rows)
    };
    let changed = |unique: &dyn Stateful| {
        let Changes { whole, notes, mut segments, more } = unique.changes(Extent::Changed).unwrap();
        segments.extend(more.into_iter().flatten().map(Result::unwrap));
        assert!(!whole);
        (notes, segments)
    };
    // The watermark is at 95, so what lies before 85 is forgotten.
    let old = snapshot(&[(None, 90), (Some(5.0), 85), (Some(5.0), 99), (Some(6.0), 100)], Some(100));
    let first = [row(9, 1, 75), row(9, 2, 70)];
    let second = [row(5, 3, 75), row(5, 4, 74), row(6, 5, 110), row(6, 6, 90), row(9, 7, 70)];
    for on_disk in [false, true] {
        let before = || stored(BTreeMap::new(), vec![old.clone()]);
        let (unique, _directory) = match on_disk {
            true => spilled(Some(10), before()),
            false => {
                (Box::new(at_work(&spec(Some(10)), 1 << 20, before()).unwrap()) as _, tempfile::tempdir().unwrap())
            }
        };
        assert_eq!(judge(&*unique, &first), [true, false], "{on_disk}");
        let (notes, added) = changed(&*unique);
        assert_eq!(notes, BTreeMap::from([("latest".to_string(), "100".to_string())]), "{on_disk}");
        assert_eq!(added.len(), 0, "what passed is forgotten");
        // Both forms go on with what both have written.
        let before = || stored(notes.clone(), [vec![old.clone()], added.clone()].concat());
        let again = at_work(&spec(Some(10)), 1 << 20, before()).unwrap();
        assert_eq!(judge(&again, &second), [false, true, false, false, true], "{on_disk}");
        let (again, _directory) = spilled(Some(10), before());
        assert_eq!(judge(&*again, &second), [false, true, false, false, true], "{on_disk}");
    }
    // Without a duration there is no note at all.
    let old = snapshot(&[(None, 0), (Some(5.0), 0)], None);
    let rows = [row(5, 1, 0), vec![None, Some(2), None], row(6, 3, 0)];
    let (unique, _directory) = spilled(None, stored(BTreeMap::new(), vec![old.clone()]));
    assert_eq!(judge(&*unique, &rows), [false, false, true]);
    let (notes, added) = changed(&*unique);
    let again = at_work(&spec(None), 1 << 20, stored(notes, [vec![old], added].concat())).unwrap();
    assert_eq!(judge(&again, &rows), [false, false, false]);
}

#[test]
fn other_columns_and_too_little_memory_are_said() {
    let by_time = graph::Unique { keys: vec![2], ..spec(None) };
    let other = at_work(&by_time, 1 << 20, Before::Nothing).unwrap();
    pass(&other, &[row(5, 1, 1)]);
    let Changes { notes, segments, .. } = other.changes(Extent::Whole).unwrap();
    assert_eq!(at_work(&spec(None), 1 << 20, stored(notes, segments)).unwrap_err().code, "R0408");
    assert_eq!(at_work(&spec(None), 1 << 20, Before::Memory(other.take_memory())).unwrap_err().code, "R0408");
    let directory = tempfile::tempdir().unwrap();
    let budget = Budget::new(10_000, directory.path());
    let around =
        Surroundings { epoch: 0, watermark: None, workers: 1, batch_rows: 100, budget: budget.clone(), carried: 0 };
    let small = Unique::new(&spec(None), &output(), around, Before::Nothing).unwrap();
    push(&small, How::PLAIN, &[&schema()], &[(0..1000).map(|k| row(k, 0, 0)).collect()]).unwrap();
    assert_eq!(error(take(&small, None).unwrap_err()).code, "R0115");
    // By this name the run lets the step keep what it remembers on disk.
    let name = crate::flow::operator_name(&Operator::Unique(spec(None))).unwrap();
    assert_eq!((name.as_str(), budget.take_overflowed().into_iter().next()), ("f/once", Some(name.clone())));
}

#[test]
fn rows_that_wait_leave_memory_for_the_keys() {
    // Far more rows than fit, of few keys.
    let rows: Vec<Row> = (0..20_000).map(|i| row(i % 100 + 2, i, 0)).collect();
    let how = How { memory: 40_000, batch_rows: 100, ..How::PLAIN };
    let came = judged(&spec(None), 0, how, &[epoch(&rows, None)]).unwrap();
    assert_eq!(passed(&came[0]).into_iter().filter(|passes| *passes).count(), 100);
}

#[test]
fn how_far_time_has_come_is_remembered_of_epochs_without_rows() {
    let epochs = [epoch(&[row(5, 1, 0)], Some(100)), epoch(&[], Some(100)), epoch(&[row(5, 2, 3)], Some(100))];
    for (stored, spilled) in [(None, false), (Some(2), false), (None, true), (Some(2), true)] {
        let how = How { stored, spilled, ..How::PLAIN };
        // In the second epoch all sources have reached 100.
        let came = judged(&spec(Some(10)), 2, how, &epochs).unwrap();
        assert_eq!(passed(&came[2]), [true], "{how:?}");
        assert_eq!(came, expected(Some(10), 2, &epochs), "{how:?}");
    }
}

fn epochs() -> impl Strategy<Value = Vec<Epoch>> {
    let key = prop::option::weighted(0.85, -1i64..4);
    let rows = prop::collection::vec((key, prop::option::weighted(0.95, -10i64..30)), 0..16);
    let epoch = (rows, prop::option::weighted(0.8, 0i64..12), prop::bool::weighted(0.1));
    prop::collection::vec(epoch, 1..7).prop_map(|epochs| {
        let (mut watermark, mut number) = (None, 0);
        let epochs = epochs.into_iter().map(|(rows, step, over)| {
            watermark = step.map(|step| watermark.unwrap_or(-12) + step).max(watermark);
            let rows = rows.into_iter().map(|(key, time)| {
                number += 1;
                vec![key, Some(number), time]
            });
            Epoch { inputs: vec![rows.collect()], watermark: if over { Some(i64::MAX) } else { watermark } }
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
        advanced in prop_oneof![Just(0u64), 0u64..6],
        (workers, splits, batch_rows) in (1usize..3, 1usize..4, 1usize..9),
        (stored, spilled) in (prop::option::of(1usize..4), prop::bool::weighted(0.3)),
    ) {
        let how = How { workers, splits, batch_rows, stored, spilled, ..How::PLAIN };
        prop_assert_eq!(judged(&spec(within), advanced, how, &epochs).unwrap(), expected(within, advanced, &epochs), "{:?}", how);
    }
}
