//! What is kept right beside what is computed from nothing, by the operators of bounded input and by definitions row by row: over rows that are added and taken away in
//! any order, cut in any way into epochs, splits and batches, by any number of workers, in memory, stored and read, or on disk.

mod model;

use super::*;
use crate::operators::Fault;
use crate::operators::kept::harness::{How, Row, Step, batch, error, push};
use crate::operators::stateful::{Before, Emitted, Extent, Remembered, Stored, Surroundings};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::util::display::array_value_to_string;
use flowc_ir::aggregates::AggregateFunction as F;
use flowc_ir::graph::{
    self, AggregateCall, Alignment, Dedup, KeyedAggregate, SortColumn, Top, Window, WindowAggregate, weight,
};
use flowc_ir::{DataType, Field, Origin, Type, Value};
use model::{Expected, expected};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// The columns: see [`input`].
const K: usize = 0;
const AT: usize = 1;
const N: usize = 2;
const X: usize = 3;
const S: usize = 4;
const D: usize = 5;
const F: usize = 6;

/// A row, and how often it is added.
type Weighted = (Row, i64);

/// An epoch: rows, and the watermark behind it.
type Epoch = (Vec<Weighted>, Option<i64>);

fn input(changing: bool) -> Schema {
    let nullable = |name: &str, data: DataType| Field::new(name, Type::nullable(data));
    let mut fields = vec![
        nullable("k", DataType::Long),
        nullable("at", DataType::Timestamp),
        Field::new("n", Type::new(DataType::Long)),
        nullable("x", DataType::Double),
        nullable("s", DataType::String),
        Field::new("d", Type::new(DataType::Decimal { precision: 10, scale: 2 })),
        nullable("f", DataType::Boolean),
    ];
    fields.extend(changing.then(weight));
    Schema::new(fields)
}

fn call(function: F, args: &[usize], filter: Option<usize>) -> AggregateCall {
    let types: Vec<Type> = args.iter().map(|a| input(false).fields[*a].ty.clone()).collect();
    let ty = function.result_type(&types, false).unwrap();
    let constants = if function == F::Percentile { vec![Value::Double(0.3)] } else { vec![] };
    AggregateCall { function, args: args.to_vec(), constants, filter, ty, origin: Origin::default() }
}

/// Every function; those that depend on the order of the input only where rows are only added.
fn calls(changing: bool) -> Vec<AggregateCall> {
    let mut calls = vec![
        call(F::Count, &[], None),
        call(F::Count, &[X], None),
        call(F::Sum, &[N], Some(F)),
        call(F::Sum, &[X], None),
        call(F::Avg, &[X], Some(F)),
        call(F::Stddev, &[X], None),
        call(F::Variance, &[N], None),
        call(F::Sum, &[D], None),
        call(F::Avg, &[D], None),
        call(F::Avg, &[N], None),
        call(F::Min, &[X], None),
        call(F::Max, &[X], None),
        call(F::Min, &[S], None),
        call(F::Max, &[N], Some(F)),
        call(F::CountDistinct, &[X], None),
        call(F::ApproxCountDistinct, &[S], None),
        call(F::CollectList, &[X], None),
        call(F::CollectSet, &[S], Some(F)),
        call(F::Percentile, &[N], None),
        call(F::MinBy, &[S, X], None),
        call(F::MaxBy, &[X, N], None),
    ];
    if !changing {
        calls.extend([call(F::First, &[X], None), call(F::Last, &[S], Some(F))]);
    }
    calls
}

fn results(calls: &[AggregateCall]) -> impl Iterator<Item = Field> {
    calls.iter().enumerate().map(|(i, call)| Field::new(format!("a{i}"), call.ty.clone()))
}

fn step(operator: Operator, changing: bool) -> Step {
    let input = input(changing);
    let key = |keys: &[usize]| keys.iter().map(|key| input.fields[*key].clone()).collect::<Vec<Field>>();
    let mut output = match &operator {
        Operator::KeyedAggregate(spec) => {
            key(&spec.aggregate.keys).into_iter().chain(results(&spec.aggregate.aggregates)).collect()
        }
        Operator::WindowAggregate(spec) => {
            let bounds = ["window_start", "window_end"].map(|name| Field::new(name, Type::new(DataType::Timestamp)));
            let fields = key(&spec.aggregate.keys).into_iter().chain(bounds);
            fields.chain(results(&spec.aggregate.aggregates)).collect()
        }
        _ => input.fields.to_vec(),
    };
    if output.iter().all(|field: &Field| field.name != WEIGHT) {
        output.push(weight());
    }
    let output = Schema::new(output);
    let make = make(&operator, &input, &output).unwrap();
    Step { operator, inputs: vec![input], output, make }
}

fn cell(column: &ArrayRef, row: usize) -> String {
    if column.is_null(row) {
        return "-".into();
    }
    match column.data_type() {
        arrow::datatypes::DataType::Timestamp(..) => {
            let column = arrow::compute::cast(column, &arrow::datatypes::DataType::Int64).unwrap();
            array_value_to_string(&column, row).unwrap()
        }
        _ => array_value_to_string(column, row).unwrap(),
    }
}

/// The rows of a batch as lines, without their weights, which stand beside.
fn lines(rows: &RecordBatch) -> Vec<(String, i64)> {
    let weights = weights(rows).unwrap();
    let place = rows.schema_ref().index_of(WEIGHT).ok();
    let columns: Vec<&ArrayRef> =
        rows.columns().iter().enumerate().filter(|(i, _)| Some(*i) != place).map(|(_, c)| c).collect();
    let line = |row| columns.iter().map(|column| cell(column, row)).collect::<Vec<_>>().join(" ");
    (0..rows.num_rows()).map(|row| (line(row), weights.map_or(1, |weights| weights[row]))).collect()
}

/// What came out of epochs: after each, the sum of all rows so far; the late rows; what there was to tell.
#[derive(Debug, Default)]
struct Came {
    sums: Vec<BTreeMap<String, i64>>,
    late: Vec<Vec<(String, i64)>>,
    told: Vec<Remembered>,
}

/// The rows with their weights as a column.
fn rows(epoch: &[Weighted], changing: bool) -> Vec<Row> {
    let row = |(row, weight): &Weighted| row.iter().copied().chain(changing.then_some(Some(*weight))).collect();
    epoch.iter().map(row).collect()
}

fn run(step: &Step, how: How, epochs: &[Epoch]) -> Result<Came, Fault> {
    let directory = tempfile::tempdir().unwrap();
    let changing = position(&step.inputs[0]).is_some();
    let (mut before, mut watermark, mut store) = (Before::Nothing, None, Stored::default());
    let (mut came, mut sum) = (Came::default(), BTreeMap::<String, i64>::new());
    for (number, (epoch, behind)) in epochs.iter().enumerate() {
        let budget = Budget::new(how.memory, directory.path());
        let (epoch_number, workers, batch_rows) = (number as u64, how.workers, how.batch_rows);
        let around =
            Surroundings { epoch: epoch_number, watermark, workers, batch_rows, budget: budget.clone(), carried: 0 };
        let spilled = how.spilled && (how.stored.is_none() || number % 2 == 0);
        let operator = if spilled { step.spilled(around, before)? } else { (step.make)(before, around)? };
        push(&*operator, how, &[&step.inputs[0]], &[rows(epoch, changing)])?;
        let mut late = vec![];
        for emitted in operator.finish(*behind)? {
            match emitted? {
                Emitted::Rows(rows) => {
                    assert!(rows.num_rows() <= batch_rows);
                    lines(&rows).into_iter().for_each(|(line, weight)| *sum.entry(line).or_default() += weight);
                }
                Emitted::Late(rows) => late.extend(lines(&rows)),
                other => panic!("{other:?}"),
            }
        }
        sum.retain(|_, weight| *weight != 0);
        late.sort();
        came.sums.push(sum.clone());
        came.late.push(late);
        let extent = |every: usize| if number % every == every - 1 { Extent::Whole } else { Extent::Less };
        let changes = operator.changes(how.stored.map_or(Extent::Less, |every| extent(every.max(1))))?;
        came.told.push(operator.remembered());
        before = match how.stored {
            None => Before::Memory(operator.take_memory()),
            Some(_) => {
                store.notes = changes.notes;
                if changes.whole {
                    store.segments.clear();
                }
                store.segments.extend(changes.segments);
                for batch in changes.more.into_iter().flatten() {
                    store.segments.push(batch?);
                }
                let nothing = store.notes.is_empty() && store.segments.is_empty();
                if nothing { Before::Nothing } else { Before::Stored(store.clone()) }
            }
        };
        drop(operator);
        // What is kept on disk keeps its part of the memory.
        assert!(matches!(before, Before::Memory(_)) && spilled || budget.take(how.memory), "memory was not given back");
        watermark = watermark.max(behind.filter(|watermark| *watermark != i64::MAX));
    }
    Ok(came)
}

fn how() -> impl Strategy<Value = How> {
    let stored = prop_oneof![Just(None), (1usize..4).prop_map(Some)];
    (1usize..4, 1usize..4, 1usize..7, stored, any::<bool>()).prop_map(
        |(workers, splits, batch_rows, stored, spilled)| How {
            workers,
            splits,
            batch_rows,
            memory: 1 << 24,
            stored,
            spilled,
            deferred: false,
        },
    )
}

fn any_row() -> impl Strategy<Value = Row> {
    let double = prop_oneof![6 => -3i64..4, 1 => Just(i64::MAX), 1 => Just(i64::MIN)];
    (
        prop::option::weighted(0.9, 0i64..3),
        prop::option::weighted(0.95, 0i64..40),
        -2i64..3,
        prop::option::weighted(0.8, double),
        prop::option::weighted(0.8, 0i64..3),
        -200i64..200,
        prop::option::weighted(0.8, 0i64..2),
    )
        .prop_map(|(k, at, n, x, s, d, f)| vec![k, at, Some(n), x, s, Some(d), f])
}

/// Epochs of rows that are only added.
fn appended() -> impl Strategy<Value = Vec<Epoch>> {
    let epoch = (prop::collection::vec(any_row(), 0..12), prop::option::weighted(0.8, 0i64..12));
    prop::collection::vec(epoch, 1..6).prop_map(|epochs| {
        let mut watermark = None;
        let epoch = |(rows, step): (Vec<Row>, Option<i64>)| {
            watermark = watermark.map_or(step, |at: i64| Some(at + step.unwrap_or(0)));
            (rows.into_iter().map(|row| (row, 1)).collect(), watermark)
        };
        epochs.into_iter().map(epoch).collect()
    })
}

/// Epochs of rows that change. What is taken away is chosen of what is there, or is added later: `early`: in a later epoch, too.
fn changed(early: bool) -> impl Strategy<Value = Vec<Epoch>> {
    let op = (any_row(), 1i64..4, any::<prop::sample::Index>(), 0..10);
    let epoch = (prop::collection::vec(op, 0..12), prop::option::weighted(0.8, 0i64..12), any::<u64>());
    prop::collection::vec(epoch, 1..6).prop_map(move |epochs| {
        let (mut there, mut owed, mut watermark): (Vec<Weighted>, Vec<Weighted>, Option<i64>) = (vec![], vec![], None);
        let (mut all, count) = (vec![], epochs.len());
        for (number, (ops, step, seed)) in epochs.into_iter().enumerate() {
            watermark = watermark.map_or(step, |at: i64| Some(at + step.unwrap_or(0)));
            let mut rows: Vec<Weighted> = vec![];
            if number % 2 == 1 || number + 1 == count {
                rows.append(&mut owed);
            }
            for (row, weight, index, kind) in ops {
                match kind {
                    // Taken away, all of it or a part.
                    0..=3 if !there.is_empty() => {
                        let at = index.index(there.len());
                        let (row, known) = there.swap_remove(at);
                        let taken = weight.min(known);
                        rows.push((row.clone(), -taken));
                        there.extend((known > taken).then(|| (row, known - taken)));
                    }
                    // Taken away before it is added.
                    4 => {
                        rows.push((row.clone(), -weight));
                        if early && number + 1 < count { &mut owed } else { &mut rows }.push((row, weight));
                    }
                    _ => {
                        rows.push((row.clone(), weight));
                        there.push((row, weight));
                    }
                }
            }
            // Within an epoch the order means nothing.
            rows.sort_by_key(|(row, weight)| {
                crate::keys::hash_words(
                    &row.iter().map(|n| n.unwrap_or(-7) as u64 ^ seed).chain([*weight as u64]).collect::<Vec<_>>(),
                )
            });
            all.push((rows, watermark));
        }
        all
    })
}

fn keyed(keys: &[usize], changing: bool) -> Operator {
    let aggregate = graph::Aggregate { keys: keys.to_vec(), aggregates: calls(changing) };
    Operator::KeyedAggregate(KeyedAggregate { name: "k".into(), aggregate })
}

/// Of these the first and the last say everything.
fn extremes(keys: &[usize]) -> Operator {
    let calls = [(F::Min, X), (F::Max, X), (F::Min, S), (F::Max, S), (F::Max, N), (F::Min, D), (F::Max, AT)];
    let aggregates = calls.iter().map(|(function, column)| call(*function, &[*column], None)).collect();
    let aggregate = graph::Aggregate { keys: keys.to_vec(), aggregates };
    Operator::KeyedAggregate(KeyedAggregate { name: "k".into(), aggregate })
}

fn windowed(window: Window, keys: &[usize], late: Option<i64>, changing: bool) -> Operator {
    let aggregate = graph::Aggregate { keys: keys.to_vec(), aggregates: calls(changing) };
    Operator::WindowAggregate(WindowAggregate { name: "w".into(), window, time: AT, aggregate, by_time: false, late })
}

fn distinct() -> Operator {
    let keys = (0..input(false).fields.len()).collect();
    Operator::Dedup(Dedup { name: "d".into(), keys, time: None, within: None, by_time: false })
}

fn top(count: u64, keys: &[usize]) -> Operator {
    let order = vec![
        SortColumn { column: X, descending: true, nulls_first: false },
        SortColumn { column: S, descending: false, nulls_first: true },
    ];
    Operator::Top(Top { name: "t".into(), count, order, keys: keys.to_vec(), window: None })
}

fn any_window() -> impl Strategy<Value = Window> {
    let align = Alignment::default;
    prop_oneof![
        (1i64..12).prop_map(move |size| Window::Tumble { size, align: align() }),
        (1i64..12, 1i64..7).prop_map(move |(size, slide)| Window::Hop { size, slide, align: align() }),
        (1i64..5, 1i64..4).prop_map(move |(step, n)| Window::Cumulate { size: step * n, step, align: align() }),
        (1i64..6).prop_map(|gap| Window::Session { gap }),
        (1i64..6).prop_map(|gap| Window::Session { gap }),
    ]
}

fn any_keys() -> impl Strategy<Value = Vec<usize>> {
    prop::sample::select(vec![vec![], vec![K], vec![K, S]])
}

/// Compares every epoch behind which all rows are there at least as often as they were taken away.
fn check(operator: Operator, changing: bool, how: How, epochs: &[Epoch]) -> Result<(), TestCaseError> {
    let step = step(operator.clone(), changing);
    let came = run(&step, how, epochs).map_err(|fault| TestCaseError::fail(error(fault).to_string()))?;
    let wanted = expected(&operator, changing, epochs);
    for (number, Expected { out, late, settled }) in wanted.into_iter().enumerate() {
        if settled {
            prop_assert_eq!(&came.sums[number], &out, "after epoch {}", number);
        }
        prop_assert_eq!(&came.late[number], &late, "late in epoch {}", number);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn groups_of_rows_that_change(keys in any_keys(), how in how(), epochs in changed(true)) {
        check(keyed(&keys, true), true, how, &epochs)?;
    }

    #[test]
    fn extremes_of_rows_that_change(keys in any_keys(), how in how(), epochs in changed(true)) {
        check(extremes(&keys), true, how, &epochs)?;
    }

    #[test]
    fn groups_of_rows_that_are_added(keys in any_keys(), how in how(), epochs in appended()) {
        check(keyed(&keys, false), false, how, &epochs)?;
    }

    #[test]
    fn different_rows(how in how(), epochs in changed(true)) {
        // Few, so that they come again.
        let few = |(row, weight): Weighted| (vec![row[K], None, Some(0), row[X], None, Some(0), row[F]], weight);
        let epochs: Vec<Epoch> = epochs.into_iter().map(|(rows, at)| (rows.into_iter().map(few).collect(), at)).collect();
        check(distinct(), true, how, &epochs)?;
    }

    #[test]
    fn first_rows(count in 0u64..5, keys in any_keys(), how in how(), epochs in changed(true)) {
        check(top(count, &keys), true, how, &epochs)?;
    }

    #[test]
    fn first_rows_of_those_that_are_added(count in 0u64..5, keys in any_keys(), how in how(), epochs in appended()) {
        check(top(count, &keys), false, how, &epochs)?;
    }

    #[test]
    fn windows_of_rows_that_change(
        window in any_window(),
        keys in any_keys(),
        late in prop::option::of(0i64..15),
        how in how(),
        epochs in changed(false),
    ) {
        check(windowed(window, &keys, late, true), true, how, &epochs)?;
    }

    #[test]
    fn windows_that_late_rows_correct(
        window in any_window(),
        keys in any_keys(),
        late in prop::option::weighted(0.8, 0i64..15),
        how in how(),
        epochs in appended(),
        drained in any::<bool>(),
    ) {
        let mut epochs = epochs;
        if drained {
            let middle = epochs.len() / 2;
            epochs[middle].1 = Some(i64::MAX);
        }
        check(windowed(window, &keys, late, false), false, how, &epochs)?;
    }
}

fn row(k: i64, at: i64, n: i64) -> Row {
    vec![Some(k), Some(at), Some(n), Some(n), Some(n), Some(n), Some(1)]
}

#[test]
fn what_does_not_change_does_not_come_out_and_what_is_gone_is_forgotten() {
    let step = step(keyed(&[K], true), true);
    let one = |n| (row(1, 0, n), 1);
    let epochs: Vec<Epoch> = vec![
        (vec![one(5), (row(2, 0, 1), 1)], None),
        // The same comes and goes.
        (vec![one(7), (row(1, 0, 7), -1)], None),
        (vec![(row(1, 0, 5), -1)], None),
    ];
    for stored in [None, Some(1), Some(9)] {
        let how = How { stored, ..How::PLAIN };
        let came = run(&step, how, &epochs).unwrap();
        assert_eq!(came.told.iter().map(|told| told.entries).collect::<Vec<_>>(), [2, 2, 1]);
        assert_eq!(came.sums.iter().map(BTreeMap::len).collect::<Vec<_>>(), [2, 2, 1]);
    }
    // Not even as a pair of rows that cancel each other.
    let directory = tempfile::tempdir().unwrap();
    let around = |epoch| Surroundings {
        epoch,
        watermark: None,
        workers: 1,
        batch_rows: 10,
        budget: Budget::new(1 << 20, directory.path()),
        carried: 0,
    };
    let first = (step.make)(Before::Nothing, around(0)).unwrap();
    push(&*first, How::PLAIN, &[&step.inputs[0]], &[rows(&epochs[0].0, true)]).unwrap();
    assert_eq!(first.finish(None).unwrap().count(), 1);
    let second = (step.make)(Before::Memory(first.take_memory()), around(1)).unwrap();
    push(&*second, How::PLAIN, &[&step.inputs[0]], &[rows(&epochs[1].0, true)]).unwrap();
    assert_eq!(second.finish(None).unwrap().count(), 0);
}

#[test]
fn without_keys_one_row_comes_out_in_the_first_epoch_and_stays() {
    let step = step(keyed(&[], true), true);
    let epochs = vec![(vec![], None), (vec![(row(1, 0, 2), 2)], None), (vec![(row(1, 0, 2), -2)], None)];
    for stored in [None, Some(2)] {
        let came = run(&step, How { stored, ..How::PLAIN }, &epochs).unwrap();
        let counts: Vec<String> =
            came.sums.iter().map(|sum| sum.keys().next().unwrap().split(' ').next().unwrap().to_string()).collect();
        assert_eq!(counts, ["0", "2", "0"]);
        assert!(came.sums.iter().all(|sum| sum.values().eq(&[1])));
        assert_eq!(came.sums[0], came.sums[2]);
    }
}

#[test]
fn windows_that_can_no_longer_be_corrected_are_forgotten() {
    for window in [Window::Tumble { size: 10, align: Alignment::default() }, Window::Session { gap: 10 }] {
        for changing in [false, true] {
            let step = step(windowed(window.clone(), &[K], Some(5), changing), changing);
            let mut epochs: Vec<Epoch> = (0..20).map(|i| (vec![(row(i, 20 * i, 1), 1)], Some(20 * i))).collect();
            epochs.push((vec![], Some(i64::MAX)));
            let came = run(&step, How::PLAIN, &epochs).unwrap();
            assert!(came.told[..20].iter().all(|told| (1..=2).contains(&told.entries)), "{window} {:?}", came.told);
            assert_eq!(
                came.told[20],
                Remembered { bytes: came.told[20].bytes, unit: came.told[0].unit.clone(), ..Remembered::default() }
            );
            assert_eq!(came.sums[20].len(), 20);
        }
    }
}

#[test]
fn of_rows_that_are_only_added_few_are_kept() {
    let step = step(top(2, &[K]), false);
    let epochs: Vec<Epoch> =
        (0..30).map(|i| ((0..50).map(|j| (row(j % 3, i, 3 + (i * j) % 7), 1)).collect(), None)).collect();
    let came = run(&step, How::PLAIN, &epochs).unwrap();
    assert!(came.told.iter().all(|told| told.entries <= 6));
    assert_eq!(came.sums[29].values().sum::<i64>(), 6);
}

#[test]
fn what_does_not_fit_the_memory_is_an_error_that_names_the_step() {
    let many: Vec<Weighted> = (0..1000).map(|i| (row(i, i, i), 1)).collect();
    for (operator, name) in [(keyed(&[K], true), "k"), (distinct(), "d"), (top(1 << 40, &[K]), "t")] {
        let step = step(operator, true);
        let small = How { memory: 1 << 15, batch_rows: 100, ..How::PLAIN };
        let failed = error(run(&step, small, &[(many.clone(), None)]).unwrap_err());
        assert_eq!(failed.code, "R0131");
        assert!(failed.message.contains(&format!("`{name}`")), "{failed}");
        // On disk it fits, but for the rows that wait.
        let on_disk = How { memory: 1 << 21, batch_rows: 100, spilled: true, ..How::PLAIN };
        let came = run(&step, on_disk, &[(many.clone(), None), (vec![(row(5, 5, 5), -1)], None)]).unwrap();
        assert_eq!((came.sums[0].len(), came.sums[1].len()), (1000, 999));
    }
}

#[test]
fn a_sum_that_does_not_fit_names_the_group() {
    let calls = vec![call(F::Sum, &[N], None)];
    let aggregate = graph::Aggregate { keys: vec![K], aggregates: calls };
    let keyed = step(Operator::KeyedAggregate(KeyedAggregate { name: "k".into(), aggregate }), true);
    let epochs = |sign: i64| vec![(vec![(row(1, 0, 1), 1), (row(7, 0, i64::MAX), 1), (row(7, 0, 1), 2 * sign)], None)];
    let failed = error(run(&keyed, How::PLAIN, &epochs(1)).unwrap_err());
    assert_eq!((failed.code, failed.row), ("R0101", vec![("k".to_string(), "7".to_string())]));
    assert!(run(&keyed, How::PLAIN, &epochs(-1)).is_ok());
}

/// What was stored with a row for each operand, as it was once written, is read.
#[test]
fn operands_that_were_stored_one_by_one_are_read() {
    let step = step(keyed(&[K], true), true);
    let directory = tempfile::tempdir().unwrap();
    let made = |before: Before| {
        let budget = Budget::new(1 << 24, directory.path());
        let around = Surroundings { epoch: 0, watermark: None, workers: 1, batch_rows: 100, budget, carried: 0 };
        (step.make)(before, around).unwrap()
    };
    let operator = made(Before::Nothing);
    let given: Vec<Weighted> = (0..50).map(|i| (row(i % 3, i, i % 7), 1 + i % 2)).collect();
    push(&*operator, How::PLAIN, &[&step.inputs[0]], &[rows(&given, true)]).unwrap();
    operator.finish(None).unwrap().for_each(|emitted| drop(emitted.unwrap()));
    let stored = operator.changes(Extent::Whole).unwrap();
    let flat = |batch: &RecordBatch| {
        let part = crate::operators::kept::part_of(batch);
        let Some(number) = part.strip_prefix("runs ") else { return batch.clone() };
        let lists = |column: &ArrayRef| column.as_list_opt::<i32>().cloned();
        let lengths = lists(batch.column(1)).unwrap();
        let row = |row: usize| (0..lengths.value_length(row)).map(move |_| row as u32);
        let rows: Vec<u32> = (0..batch.num_rows()).flat_map(row).collect();
        let keys = arrow::compute::take(batch.column(0), &arrow::array::UInt32Array::from(rows.clone()), None).unwrap();
        let last = batch.num_columns() - 1;
        let operands = batch.columns()[1..last].iter().map(|column| lists(column).unwrap().values().clone()).collect();
        let weights = lists(batch.column(last)).unwrap();
        let weights: ArrayRef = match weights.null_count() {
            0 => weights.values().clone(),
            _ => std::sync::Arc::new(arrow::array::Int64Array::from(vec![1; rows.len()])),
        };
        let name = format!("operands {number}");
        stored::part(&name, vec![("key", vec![keys]), ("operand", operands), ("weight", vec![weights])]).unwrap()
    };
    let segments: Vec<RecordBatch> = stored.segments.iter().map(flat).collect();
    assert_ne!(segments, stored.segments);
    let again = made(Before::Stored(Stored { notes: stored.notes.clone(), segments }));
    assert_eq!(again.changes(Extent::Whole).unwrap().segments, stored.segments);
}
