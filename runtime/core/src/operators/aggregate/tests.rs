//! Every aggregate function over rows with nulls, NaN and zeros of both signs, cut and distributed in many ways.

use super::*;
use crate::batch::Order;
use arrow::array::{Array, ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, StringArray};
use arrow::record_batch::RecordBatch;
use arrow::util::display::array_value_to_string;
use flowc_ir::{Field, Origin, Type};

/// Key, x, n, text, passes the filter.
type Row = (Option<&'static str>, Option<f64>, i64, Option<&'static str>, Option<bool>);

fn rows() -> Vec<Row> {
    let nan = f64::from_bits(f64::NAN.to_bits() | 7);
    vec![
        (Some("b"), Some(0.1), 10, Some("p"), Some(true)),
        (Some("a"), Some(1e100), 20, None, Some(false)),
        (None, Some(-0.0), 30, Some("q"), None),
        (Some("b"), Some(0.2), -5, Some("p"), Some(true)),
        (Some("a"), Some(1.0), 20, Some("z"), Some(true)),
        (None, Some(0.0), 30, None, Some(true)),
        (Some("a"), None, 7, Some("y"), Some(true)),
        (Some("c"), Some(nan), 1, Some("n"), Some(true)),
        (Some("a"), Some(-1e100), 20, Some("y"), Some(false)),
        (Some("c"), Some(5.0), 2, Some("m"), Some(true)),
        (Some("d"), None, 3, None, Some(false)),
        (Some("b"), Some(0.3), 4, Some("o"), Some(false)),
    ]
}

pub(super) fn input() -> Schema {
    let field = |name: &str, data: DataType| Field::new(name, Type::nullable(data));
    Schema::new(vec![
        field("k", DataType::String),
        field("x", DataType::Double),
        Field::new("n", Type::new(DataType::Long)),
        field("t", DataType::String),
        field("f", DataType::Boolean),
        Field::new("d", Type::new(DataType::Decimal { precision: 10, scale: 2 })),
    ])
}

fn batch(rows: &[Row]) -> RecordBatch {
    let decimals = Decimal128Array::from_iter_values(rows.iter().map(|r| i128::from(r.2)));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|r| r.0).collect::<StringArray>()),
        Arc::new(rows.iter().map(|r| r.1).collect::<Float64Array>()),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.2))),
        Arc::new(rows.iter().map(|r| r.3).collect::<StringArray>()),
        Arc::new(rows.iter().map(|r| r.4).collect::<BooleanArray>()),
        Arc::new(decimals.with_precision_and_scale(10, 2).unwrap()),
    ];
    RecordBatch::try_new(to_arrow_schema(&input()), columns).unwrap()
}

pub(super) fn call(function: F, args: &[usize], filter: Option<usize>) -> AggregateCall {
    let types: Vec<Type> = args.iter().map(|a| input().fields[*a].ty.clone()).collect();
    let ty = function.result_type(&types, false).unwrap();
    let constants = if function == F::Percentile { vec![Value::Double(0.5)] } else { vec![] };
    AggregateCall { function, args: args.to_vec(), constants, filter, ty, origin: Origin::default() }
}

fn aggregate(keys: &[usize], aggregates: Vec<AggregateCall>, workers: usize, budget: Budget) -> Aggregate {
    let mut output: Vec<Field> = keys.iter().map(|k| input().fields[*k].clone()).collect();
    output.extend(aggregates.iter().enumerate().map(|(i, a)| Field::new(format!("a{i}"), a.ty.clone())));
    let spec = graph::Aggregate { keys: keys.to_vec(), aggregates };
    Aggregate::new(&spec, (&input(), &Schema::new(output)), workers, 2, budget)
}

/// The groups' lines, the same in every way of running.
fn run(keys: &[usize], aggregates: &[AggregateCall], rows: &[Row]) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let mut first: Option<Vec<String>> = None;
    for workers in [1, 2, 3] {
        for size in [1, 2, 5, 100] {
            for backwards in [false, true] {
                let budget = Budget::new(if size == 2 || size == 5 { 0 } else { 1 << 20 }, directory.path());
                let operator = aggregate(keys, aggregates.to_vec(), workers, budget);
                let mut splits: Vec<_> = rows.chunks(size).enumerate().collect();
                if backwards {
                    splits.reverse();
                }
                for (split, part) in splits {
                    let order = Order { split: split as u32, ..Order::default() };
                    operator.push(split % workers, Batch { data: batch(part), order }).unwrap();
                }
                let mut lines = vec![];
                for out in operator.finish().unwrap() {
                    let out = out.unwrap();
                    let cell = |c: &ArrayRef, row| match c.is_null(row) {
                        true => "-".to_string(),
                        false => array_value_to_string(c, row).unwrap(),
                    };
                    let line = |row| out.columns().iter().map(|c| cell(c, row)).collect::<Vec<_>>().join(" ");
                    lines.extend((0..out.num_rows()).map(line));
                }
                match &first {
                    Some(first) => assert_eq!(&lines, first, "{workers} workers, splits of {size}, {backwards}"),
                    None => first = Some(lines),
                }
            }
        }
    }
    first.unwrap()
}

#[test]
fn counts_sums_and_means() {
    let calls = [
        call(F::Count, &[], None),
        call(F::Count, &[1], None),
        call(F::Count, &[], Some(4)),
        call(F::Sum, &[1], None),
        call(F::Avg, &[1], None),
        call(F::Sum, &[2], None),
        call(F::Avg, &[2], Some(4)),
        call(F::Sum, &[5], None),
        call(F::Avg, &[5], None),
    ];
    // Groups in the order of their first rows; 1e100 + 1 - 1e100 is 1.
    assert_eq!(
        run(&[0], &calls, &rows()),
        [
            "b 3 3 2 0.6 0.19999999999999998 9 2.5 0.09 0.030000",
            "a 4 3 2 1.0 0.3333333333333333 67 13.5 0.67 0.167500",
            "- 2 2 1 0.0 0.0 60 30.0 0.60 0.300000",
            "c 2 2 2 NaN NaN 3 1.5 0.03 0.015000",
            "d 1 0 0 - - 3 - 0.03 0.030000",
        ]
    );
}

#[test]
fn choices_and_collections() {
    let calls = [
        call(F::Min, &[1], None),
        call(F::Max, &[1], None),
        call(F::Min, &[3], None),
        call(F::Max, &[5], Some(4)),
        call(F::First, &[3], None),
        call(F::Last, &[3], None),
        call(F::MinBy, &[3, 1], None),
        call(F::MaxBy, &[3, 2], None),
    ];
    assert_eq!(
        run(&[0], &calls, &rows()),
        [
            "b 0.1 0.3 o 0.10 p o p p",
            "a -1e100 1e100 y 0.20 - y y -",
            "- 0.0 0.0 q 0.30 q - q q",
            "c 5.0 NaN m 0.02 n m m m",
            "d - - - - - - - -",
        ]
    );
    let calls = [
        call(F::CollectList, &[3], None),
        call(F::CollectSet, &[3], None),
        call(F::CountDistinct, &[3], None),
        call(F::CollectSet, &[1], None),
        call(F::ApproxCountDistinct, &[1], None),
        call(F::CollectList, &[2], Some(4)),
        call(F::Percentile, &[2], None),
    ];
    assert_eq!(
        run(&[0], &calls, &rows()),
        [
            "b [p, p, o] [p, o] 2 [0.1, 0.2, 0.3] 3 [10, -5] 4.0",
            "a [z, y, y] [z, y] 2 [1e100, 1.0, -1e100] 3 [20, 7] 20.0",
            "- [q] [q] 1 [0.0] 1 [30] 30.0",
            "c [n, m] [n, m] 2 [NaN, 5.0] 2 [1, 2] 1.5",
            "d [] [] 0 [] 0 [] 3.0",
        ]
    );
}

#[test]
fn spread() {
    let calls = [call(F::Variance, &[2], None), call(F::Stddev, &[2], None), call(F::Variance, &[1], None)];
    // 0.3 - 0.1 is a little less than 0.2, and 1e100 a little more than its name.
    assert_eq!(
        run(&[0], &calls, &rows()),
        [
            "b 57.0 7.54983443527075 0.009999999999999998",
            "a 42.25 6.5 1.0000000000000001e200",
            "- 0.0 0.0 0.0",
            "c 0.5 0.7071067811865476 NaN",
            "d - - -",
        ]
    );
}

#[test]
fn without_keys_there_is_one_row_even_for_no_input() {
    let calls = [call(F::Count, &[], None), call(F::Sum, &[2], None), call(F::CollectList, &[3], None)];
    assert_eq!(run(&[], &calls, &[]), ["0 - []"]);
    assert_eq!(run(&[], &calls, &rows()[..2]), ["2 30 [p]"]);
    assert_eq!(run(&[0], &calls, &[]), Vec::<String>::new());
}

#[test]
fn floats_group_by_equality() {
    let calls = [call(F::Count, &[], None)];
    let zeros: Vec<Row> = rows().into_iter().filter(|r| r.1.is_some_and(|x| x == 0.0 || x.is_nan())).collect();
    assert_eq!(run(&[1], &calls, &zeros), ["0.0 2", "NaN 1"]);
}

#[test]
fn a_sum_that_does_not_fit_names_the_group() {
    let directory = tempfile::tempdir().unwrap();
    let operator = aggregate(&[0], vec![call(F::Sum, &[2], None)], 1, Budget::new(1 << 20, directory.path()));
    let big = |k, n| (Some(k), None, n, None, None);
    let rows = [big("a", 1), big("b", i64::MAX), big("b", 1), big("a", i64::MAX), big("a", -5)];
    operator.push(0, Batch { data: batch(&rows), order: Order::default() }).unwrap();
    let Err(Fault::Run(error)) = operator.finish().and_then(|mut out| out.try_for_each(|batch| batch.map(drop))) else {
        panic!("the sum fits")
    };
    assert_eq!((error.code, error.message.as_str()), ("R0101", "the sum 9223372036854775808 does not fit long"));
    assert_eq!(error.row, [("k".to_string(), "\"b\"".to_string())]);
}

/// Rows with so many different keys that they have to be divided again and again.
fn many(rows: i64) -> Vec<(&'static str, i64)> {
    let names: Vec<&str> = (0..1013).map(|i| &*format!("key {i}").leak()).collect();
    (0..rows).map(|i| (names[(i * 7919 % 1013) as usize], i)).collect()
}

fn many_groups(
    calls: &[AggregateCall],
    values: &[(&'static str, i64)],
    workers: usize,
    memory: usize,
) -> Result<Vec<String>, RunError> {
    let directory = tempfile::tempdir().unwrap();
    let budget = Budget::new(memory, directory.path());
    let operator = aggregate(&[0], calls.to_vec(), workers, budget.clone());
    let failed = |fault: Fault| match fault {
        Fault::Run(error) | Fault::Rule(error) => *error,
        Fault::Row(row) => panic!("{row:?}"),
    };
    for (split, part) in values.chunks(100).enumerate() {
        let part: Vec<Row> = part.iter().map(|(k, n)| (Some(*k), Some(*n as f64), *n, None, None)).collect();
        let order = Order { split: split as u32, ..Order::default() };
        operator.push(split % workers, Batch { data: batch(&part), order }).map_err(failed)?;
    }
    let mut lines = vec![];
    for out in operator.finish().map_err(failed)? {
        let out = out.map_err(failed)?;
        let cell = |c: &ArrayRef, row| array_value_to_string(c, row).unwrap();
        lines.extend(
            (0..out.num_rows()).map(|row| out.columns().iter().map(|c| cell(c, row)).collect::<Vec<_>>().join(" ")),
        );
    }
    drop(operator);
    Ok(lines)
}

#[test]
fn groups_that_memory_does_not_hold_go_to_files_and_come_out_the_same() {
    let functions = [F::Count, F::Sum, F::First, F::CollectList, F::CountDistinct, F::Max];
    let calls: Vec<AggregateCall> = functions.iter().map(|f| call(*f, &[2], None)).collect();
    let rows = many(5000);
    let all = many_groups(&calls, &rows, 1, 1 << 30).unwrap();
    assert_eq!(all.len(), 1013);
    assert_eq!(all[1], "key 828 5 10135 1 [1, 1014, 2027, 3040, 4053] 5 4053");
    for workers in [1, 3] {
        for memory in [0, 10_000, 100_000, 400_000] {
            assert_eq!(many_groups(&calls, &rows, workers, memory).unwrap(), all, "{workers} workers, {memory} bytes");
        }
    }
}

#[test]
fn of_several_groups_that_overflow_the_first_is_named_wherever_it_waited() {
    let calls = [call(F::Sum, &[2], None)];
    let mut rows = many(3000);
    for bad in [1500, 1700, 2600] {
        rows[bad].1 = i64::MAX;
        rows[bad + 100].0 = rows[bad].0;
    }
    let whole = many_groups(&calls, &rows, 1, 1 << 30).unwrap_err();
    assert_eq!(whole.code, "R0101");
    for memory in [0, 5_000, 50_000] {
        let error = many_groups(&calls, &rows, 2, memory).unwrap_err();
        assert_eq!((error.code, error.row), (whole.code, whole.row.clone()), "{memory}");
    }
}

#[test]
fn a_collection_that_does_not_fit_memory_is_an_error_that_says_what_to_raise() {
    let rows: Vec<(&str, i64)> = (0..600_000).map(|n| ("k", n)).collect();
    let error = many_groups(&[call(F::CollectList, &[2], None)], &rows, 2, 1 << 20).unwrap_err();
    assert_eq!(error.code, "R0110");
    assert!(error.message.contains("1 MiB of --memory"), "{error}");
}
