//! Windowed aggregates beside a definition row by row, however rows are cut into batches, splits and epochs, and whoever gets them.

use super::super::stateful::{Extent, Stored};
use super::model::expected;
use super::*;
use crate::batch::Order;
use crate::operators::kept::harness::Step;
use crate::operators::spilled::Make;
use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::util::display::array_value_to_string;
use flowc_ir::aggregates::AggregateFunction as F;
use flowc_ir::arrow_types::to_arrow_schema;
use flowc_ir::graph::{AggregateCall, Alignment, Operator, Window};
use flowc_ir::{DataType, Field, Origin, Type, Value};
use proptest::prelude::*;

/// Key, time, number, text, passes the filter.
pub(super) type Row = (Option<String>, Option<i64>, i64, Option<f64>, bool);

pub(super) fn row(key: &str, time: i64, n: i64) -> Row {
    (Some(key.into()), Some(time), n, Some(n as f64), true)
}

fn input() -> Schema {
    let field = |name: &str, data: DataType| Field::new(name, Type::nullable(data));
    Schema::new(vec![
        field("k", DataType::String),
        field("at", DataType::Timestamp),
        Field::new("n", Type::new(DataType::Long)),
        field("x", DataType::Double),
        Field::new("f", Type::new(DataType::Boolean)),
    ])
}

fn data(rows: &[Row]) -> RecordBatch {
    let times: TimestampMicrosecondArray = rows.iter().map(|r| r.1).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|r| r.0.as_deref()).collect::<StringArray>()),
        Arc::new(times.with_timezone("UTC")),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.2))),
        Arc::new(rows.iter().map(|r| r.3).collect::<Float64Array>()),
        Arc::new(rows.iter().map(|r| Some(r.4)).collect::<BooleanArray>()),
    ];
    RecordBatch::try_new(to_arrow_schema(&input()), columns).unwrap()
}

pub(super) fn call(function: F, args: &[usize], filter: Option<usize>) -> AggregateCall {
    let types: Vec<Type> = args.iter().map(|a| input().fields[*a].ty.clone()).collect();
    let ty = function.result_type(&types, false).unwrap();
    let constants = if function == F::Percentile { vec![Value::Double(0.5)] } else { vec![] };
    AggregateCall { function, args: args.to_vec(), constants, filter, ty, origin: Origin::default() }
}

pub(super) fn calls() -> Vec<AggregateCall> {
    vec![
        call(F::Count, &[], None),
        call(F::Sum, &[2], Some(4)),
        call(F::Sum, &[3], None),
        call(F::Max, &[3], None),
        call(F::First, &[2], None),
        call(F::Last, &[3], Some(4)),
        call(F::CollectList, &[2], None),
        call(F::CountDistinct, &[3], None),
        call(F::MinBy, &[2, 3], None),
        call(F::Percentile, &[2], None),
        call(F::Min, &[0], None),
        // These share accumulators with those above.
        call(F::Avg, &[3], None),
        call(F::Count, &[3], None),
        call(F::Count, &[], Some(4)),
    ]
}

pub(super) fn spec(window: Window, keys: &[usize], aggregates: Vec<AggregateCall>) -> graph::WindowAggregate {
    let aggregate = graph::Aggregate { keys: keys.to_vec(), aggregates };
    graph::WindowAggregate { name: "w".into(), window, time: 1, aggregate, by_time: false, late: None }
}

fn output(spec: &graph::WindowAggregate) -> Schema {
    let mut fields: Vec<Field> = spec.aggregate.keys.iter().map(|k| input().fields[*k].clone()).collect();
    fields.extend(["window_start", "window_end"].map(|name| Field::new(name, Type::new(DataType::Timestamp))));
    let results = spec.aggregate.aggregates.iter().enumerate();
    fields.extend(results.map(|(i, a)| Field::new(format!("a{i}"), a.ty.clone())));
    Schema::new(fields)
}

pub(super) fn tumble(size: i64) -> Window {
    Window::Tumble { size, align: Alignment::default() }
}

pub(super) fn hop(size: i64, slide: i64, offset: i64) -> Window {
    Window::Hop { size, slide, align: Alignment { offset, zone: None } }
}

/// How a run goes on in the next epoch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Between {
    Memory,
    Stored,
    Whole,
}

/// A run of several epochs.
pub(super) struct Run {
    pub(super) spec: graph::WindowAggregate,
    directory: tempfile::TempDir,
    pub(super) memory: usize,
    pub(super) workers: usize,
    pub(super) batch_rows: usize,
    epoch: u64,
    /// Of the watermark, behind the latest row, in [`cut`].
    pub(super) delay: i64,
    watermark: Option<i64>,
    pub(super) before: Before,
    pub(super) stored: Stored,
    pub(super) rows: Vec<String>,
    pub(super) late: Vec<String>,
    pub(super) remembered: Remembered,
    /// Whether it is kept on disk, by key.
    pub(super) spilled: bool,
}

impl Run {
    pub(super) fn new(spec: graph::WindowAggregate) -> Run {
        Run {
            spec,
            directory: tempfile::tempdir().unwrap(),
            memory: 1 << 30,
            workers: 1,
            batch_rows: 1000,
            epoch: 0,
            delay: 5,
            watermark: None,
            before: Before::Nothing,
            stored: Stored::default(),
            rows: vec![],
            late: vec![],
            remembered: Remembered::default(),
            spilled: false,
        }
    }

    fn operator(&mut self) -> Result<Box<dyn Stateful>, RunError> {
        let surroundings = Surroundings {
            epoch: self.epoch,
            watermark: self.watermark,
            workers: self.workers,
            batch_rows: self.batch_rows,
            budget: Budget::new(self.memory, self.directory.path()),
            carried: 0,
        };
        let before = std::mem::replace(&mut self.before, Before::Nothing);
        let (spec, result) = (self.spec.clone(), output(&self.spec));
        let (operator, inputs, output) = (Operator::WindowAggregate(spec.clone()), vec![input()], result.clone());
        let make: Make = Arc::new(move |before, around| {
            Ok(Box::new(WindowAggregate::new(&spec, (&input(), &result), around, before)?))
        });
        if self.spilled {
            return Step { operator, inputs, output, make }.spilled(surroundings, before);
        }
        make(before, surroundings)
    }

    /// An epoch of splits of rows, after which the watermark is here; none: as it was.
    pub(super) fn epoch(
        &mut self,
        splits: &[&[Row]],
        watermark: Option<i64>,
        between: Between,
    ) -> Result<(), RunError> {
        let failed = |fault: Fault| match fault {
            Fault::Run(error) | Fault::Rule(error) => *error,
            other => panic!("{other:?}"),
        };
        self.epoch += 1;
        let operator = self.operator()?;
        let open = |r: &Remembered| (r.entries, r.windows, r.first_end, r.last_end);
        if !self.spilled {
            assert_eq!(open(&operator.remembered()), open(&self.remembered), "what the last epoch left");
        }
        for (split, rows) in splits.iter().enumerate().rev() {
            for (sequence, part) in rows.chunks(self.batch_rows).enumerate() {
                let order = Order { path: 0, split: split as u32, sequence: sequence as u32 };
                operator.push(split % self.workers, 0, Batch { data: data(part), order }).map_err(failed)?;
            }
        }
        for out in operator.finish(watermark.or(self.watermark)).map_err(failed)? {
            let (lines, batch) = match out.map_err(failed)? {
                Emitted::Rows(batch) => (&mut self.rows, batch),
                Emitted::Late(batch) => (&mut self.late, batch),
                other => panic!("{other:?}"),
            };
            assert!(batch.num_rows() <= self.batch_rows && batch.num_rows() > 0);
            let cell = |c: &ArrayRef, row| match c.is_null(row) {
                true => "-".to_string(),
                false => match c.data_type() {
                    arrow::datatypes::DataType::Timestamp(..) => {
                        let c = arrow::compute::cast(c, &arrow::datatypes::DataType::Int64).unwrap();
                        array_value_to_string(&c, row).unwrap()
                    }
                    _ => array_value_to_string(c, row).unwrap(),
                },
            };
            let line = |row| batch.columns().iter().map(|c| cell(c, row)).collect::<Vec<_>>().join(" ");
            lines.extend((0..batch.num_rows()).map(line));
        }
        if watermark != Some(i64::MAX) {
            self.watermark = watermark.or(self.watermark);
        }
        let changes = match between {
            Between::Memory => None,
            _ => Some(operator.changes(if between == Between::Whole { Extent::Whole } else { Extent::Less })?),
        };
        self.remembered = operator.remembered();
        if between == Between::Memory && self.spilled {
            // What is kept on disk tells of each epoch once.
            self.store(operator.changes(Extent::Less)?)?;
        }
        self.before = match changes {
            None => Before::Memory(operator.take_memory()),
            Some(changes) => {
                self.store(changes)?;
                if self.stored.notes.is_empty() && self.stored.segments.is_empty() {
                    Before::Nothing
                } else {
                    Before::Stored(self.stored.clone())
                }
            }
        };
        Ok(())
    }

    fn store(&mut self, changes: Changes) -> Result<(), RunError> {
        if changes.whole {
            self.stored.segments.clear();
        }
        self.stored.notes = changes.notes;
        self.stored.segments.extend(changes.segments);
        for batch in changes.more.into_iter().flatten() {
            self.stored.segments.push(batch?);
        }
        Ok(())
    }
}

pub(super) fn random_window() -> impl Strategy<Value = Window> {
    let align = || (-7i64..20).prop_map(|offset| Alignment { offset, zone: None });
    prop_oneof![
        (1i64..12, align()).prop_map(|(size, align)| Window::Tumble { size, align }),
        (1i64..15, 1i64..9, align()).prop_map(|(size, slide, align)| Window::Hop { size, slide, align }),
        (1i64..5, 1i64..5, align()).prop_map(|(step, n, align)| Window::Cumulate { size: step * n, step, align }),
        (1i64..5).prop_map(|gap| Window::Session { gap }),
    ]
}

/// Rows whose times are disordered by at most 5: some lie at the watermark.
pub(super) fn random_rows() -> impl Strategy<Value = Vec<Row>> {
    let key = prop_oneof![Just(None), "[ab]{1,2}".prop_map(Some)];
    let row = (key, prop::option::weighted(0.95, 0i64..6), -3i64..4, prop::option::of(-4i32..5), any::<bool>());
    (prop::collection::vec((row, 0i64..4), 0..60), -50i64..50).prop_map(|(rows, mut base)| {
        let mut all = vec![];
        for ((key, late, n, x, passes), step) in rows {
            base += step;
            all.push((key, late.map(|late| base - late), n, x.map(f64::from), passes));
        }
        all
    })
}

/// Runs the rows cut into epochs and splits, and closes all at the end.
pub(super) fn cut(run: &mut Run, rows: &[Row], epochs: usize, splits: usize, between: &[Between]) {
    let parts: Vec<&[Row]> = rows.chunks(rows.len().div_ceil(epochs).max(1)).collect();
    let mut latest = None;
    for (i, part) in parts.iter().enumerate() {
        latest = latest.max(part.iter().filter_map(|r| r.1).max());
        let watermark = latest.map(|latest: i64| latest - run.delay);
        let splits: Vec<&[Row]> = part.chunks(part.len().div_ceil(splits).max(1)).collect();
        run.epoch(&splits, watermark, between[i % between.len()]).unwrap();
    }
    run.epoch(&[], Some(i64::MAX), between[0]).unwrap();
}

pub(super) fn between() -> impl Strategy<Value = Vec<Between>> {
    prop::collection::vec(prop_oneof![Just(Between::Memory), Just(Between::Stored), Just(Between::Whole)], 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn however_rows_are_cut(
        window in random_window(),
        keyed in any::<bool>(),
        rows in random_rows(),
        epochs in 1usize..6,
        splits in 1usize..4,
        workers in 1usize..3,
        batch_rows in 1usize..8,
        (between, spilled) in (between(), prop::bool::weighted(0.2)),
    ) {
        let mut run = Run::new(spec(window.clone(), if keyed { &[0] } else { &[] }, calls()));
        (run.workers, run.batch_rows, run.spilled) = (workers, batch_rows, spilled);
        cut(&mut run, &rows, epochs, splits, &between);
        prop_assert_eq!(&run.rows, &expected(&window, keyed, &rows));
        prop_assert_eq!(run.late.len(), rows.iter().filter(|r| r.1.is_none()).count());
        prop_assert_eq!(run.remembered.entries, 0);
    }
}

/// Keys of a fixed width, which are compared and sorted as numbers, beside texts of the same order, which are not.
fn keys_of_numbers_and_texts(window: Window, rows: Vec<Row>, workers: usize, batch_rows: usize, epochs: usize) {
    let by = |key: usize| {
        let mut calls = calls();
        // The least text is of the text's type.
        calls.retain(|call| call.args != [0]);
        let mut run = Run::new(spec(window.clone(), &[key], calls));
        (run.workers, run.batch_rows) = (workers, batch_rows);
        cut(&mut run, &rows, epochs, 3, &[Between::Memory, Between::Stored]);
        run.rows
    };
    let unkeyed = |lines: Vec<String>| -> Vec<String> {
        lines.into_iter().map(|line| line.split_once(' ').unwrap().1.to_string()).collect()
    };
    let (texts, numbers) = (by(0), by(2));
    assert_eq!(unkeyed(texts), unkeyed(numbers));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn keys_that_are_numbers_are_as_keys_that_are_texts(
        window in random_window(),
        rows in random_rows(),
        workers in 1usize..4,
        batch_rows in 1usize..8,
        epochs in 1usize..4,
    ) {
        let timed = rows.into_iter().filter(|row| row.1.is_some());
        let texts = timed.map(|row| (Some(((b'm' as i64 + row.2) as u8 as char).to_string()), row.1, row.2, row.3, row.4));
        keys_of_numbers_and_texts(window, texts.collect(), workers, batch_rows, epochs);
    }
}

/// Many groups of many windows, of which some are a worker's, some are kept, and some are of both.
#[test]
fn many_groups_come_out_in_order_whoever_found_them() {
    for window in [tumble(50), hop(60, 20, 7)] {
        let rows = (0..30_000_i64).map(|i| {
            let n = (i * 7919) % 1200 - 600;
            (Some(format!("{:04}", n + 600)), Some(i / 100), n, Some(n as f64 / 8.0), i % 3 == 0)
        });
        let rows: Vec<Row> = rows.collect();
        let one = |key: usize, workers: usize, batch_rows: usize, epochs: usize| {
            let calls = vec![call(F::Count, &[], None), call(F::Sum, &[3], None), call(F::Avg, &[3], None)];
            let mut run = Run::new(spec(window.clone(), &[key], calls));
            (run.workers, run.batch_rows) = (workers, batch_rows);
            cut(&mut run, &rows, epochs, 4, &[Between::Memory, Between::Stored]);
            let unkeyed = |line: &String| line.split_once(' ').map(|(_, rest)| rest.to_string());
            run.rows.iter().map(unkeyed).collect::<Vec<_>>()
        };
        let wanted = one(0, 1, 100_000, 1);
        assert!(wanted.len() > 5000);
        for (workers, batch_rows, epochs) in [(2, 1000, 3), (3, 64, 2), (1, 500, 4)] {
            assert_eq!(one(2, workers, batch_rows, epochs), wanted);
        }
    }
}

pub(super) fn counting(window: Window) -> Run {
    Run::new(spec(window, &[0], vec![call(F::Count, &[], None), call(F::First, &[2], None)]))
}

#[test]
fn late_rows_come_out_with_all_columns_in_their_order() {
    let mut run = counting(tumble(10));
    run.batch_rows = 2;
    run.epoch(&[&[row("a", 3, 1), row("b", 12, 2)]], Some(9), Between::Memory).unwrap();
    assert_eq!((run.rows.as_slice(), run.late.as_slice()), (&[][..], &[][..]));
    // The watermark is before the end of the first window: a row of it behind the watermark counts.
    let first: Vec<Row> = vec![row("a", 1, 3), (None, None, 4, None, true), row("c", 19, 5)];
    let second = [row("a", -1, 6), row("a", 0, 7), row("a", -10, 8)];
    run.epoch(&[&first, &second], Some(10), Between::Memory).unwrap();
    assert_eq!(run.rows, ["a 0 10 3 1"]);
    assert_eq!(run.late, ["- - 4 - true", "a -1 6 6.0 true", "a -10 8 8.0 true"]);
    run.epoch(&[&[row("b", 9, 9), row("b", 10, 1)]], Some(30), Between::Memory).unwrap();
    assert_eq!(run.rows[1..], ["b 10 20 2 2", "c 10 20 1 5"]);
    assert_eq!(run.late[3..], ["b 9 9 9.0 true"]);
    assert_eq!(
        run.remembered,
        Remembered { unit: "groups".into(), bytes: run.remembered.bytes, ..Remembered::default() }
    );
}

#[test]
fn a_row_of_windows_of_which_some_have_closed_counts_for_the_others() {
    let mut run = counting(hop(10, 5, 0));
    run.epoch(&[&[row("a", 7, 1)]], Some(10), Between::Memory).unwrap();
    assert_eq!(run.rows, ["a 0 10 1 1"]);
    run.epoch(&[&[row("a", 6, 2), row("a", 4, 3)]], Some(15), Between::Memory).unwrap();
    assert_eq!(run.rows[1..], ["a 5 15 2 1"]);
    assert_eq!(run.late, ["a 4 3 3.0 true"]);
}

#[test]
fn what_was_drained_does_not_open_again_and_what_comes_later_does() {
    let mut run = counting(hop(10, 5, 0));
    run.epoch(&[&[row("a", 7, 1)]], Some(2), Between::Memory).unwrap();
    run.epoch(&[], Some(i64::MAX), Between::Memory).unwrap();
    assert_eq!(run.rows, ["a 0 10 1 1", "a 5 15 1 1"]);
    run.epoch(&[&[row("a", 9, 2), row("a", 10, 3)]], Some(14), Between::Memory).unwrap();
    assert_eq!(run.late, ["a 9 2 2.0 true"]);
    run.epoch(&[], Some(i64::MAX), Between::Memory).unwrap();
    assert_eq!(run.rows[2..], ["a 10 20 1 3"]);
}

#[test]
fn at_the_ends_of_all_time_nothing_overflows() {
    for window in [
        tumble(10),
        hop(10, 3, 4),
        hop(3, 10, 4),
        hop(i64::MAX, i64::MAX / 2, i64::MAX),
        tumble(i64::MAX),
        Window::Cumulate { size: 12, step: 4, align: Alignment { offset: i64::MIN, zone: None } },
        Window::Tumble { size: 86_400_000_000, align: Alignment { offset: 0, zone: Some("Europe/Berlin".into()) } },
        Window::Hop {
            size: 7_200_000_000,
            slide: 3_600_000_000,
            align: Alignment { offset: i64::MIN, zone: Some("Asia/Tokyo".into()) },
        },
    ] {
        let mut run = counting(window.clone());
        let times = [i64::MIN, i64::MIN + 1, -1, 0, i64::MAX - 1, i64::MAX];
        let rows: Vec<Row> = times.iter().map(|t| row("a", *t, 1)).collect();
        run.epoch(&[&rows], None, Between::Memory).unwrap();
        assert_eq!(run.remembered.windows > 0, run.remembered.entries > 0);
        run.epoch(&[], Some(i64::MAX), Between::Memory).unwrap();
        assert!(window == hop(3, 10, 4) || run.rows.len() >= 2, "{window:?} {:?}", run.rows);
        assert!(run.late.is_empty(), "{window:?}: {:?}", run.late);
    }
}

#[test]
fn a_sum_that_does_not_fit_names_key_and_window() {
    let mut run = Run::new(spec(tumble(60_000_000), &[0], vec![call(F::Sum, &[2], None)]));
    run.batch_rows = 1;
    let rows = [row("b", 0, i64::MAX), row("a", 0, 1), row("b", 1, 1), row("a", 0, i64::MAX)];
    let error = run.epoch(&[&rows], Some(i64::MAX), Between::Memory).unwrap_err();
    assert_eq!(error.code, "R0101");
    let row: Vec<String> = error.row.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(row, ["k=\"a\"", "window_start=1970-01-01 00:00:00", "window_end=1970-01-01 00:01:00"]);
}

#[test]
fn too_little_memory_is_told() {
    let mut run = counting(tumble(1));
    run.memory = 10_000;
    let rows: Vec<Row> = (0..1000).map(|t| row("a", t, t)).collect();
    let error = run.epoch(&[&rows], None, Between::Memory).unwrap_err();
    assert_eq!(error.code, "R0116");
    assert!(error.help.is_some_and(|help| help.contains("nothing was committed")));
}
