//! Filters and what is computed of the rows that stay, over all shares of rows, sizes of batches and offsets of arrays at which blocks, turns and what
//! waits between the stages begin and end: against the interpreter.

use super::build::*;
use super::{Outcome, compare};
use crate::fused::Fused;
use crate::plan::{Part, Plan};
use crate::stages::Stages;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use flowc_ir::arrow_types::to_arrow_schema;
use flowc_ir::arrow_values::build_array;
use flowc_ir::eval::EvalContext;
use flowc_ir::{CastFailure, DataType, Expr, Program, ProgramStep, Type, Value};

const SIZES: [usize; 13] = [0, 1, 63, 64, 65, 127, 1023, 1024, 1025, 2047, 2112, 3000, 8192];

fn random(state: &mut u64) -> i64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as i64
}

/// A value of a type, of any size.
fn value(data: &DataType, state: &mut u64) -> Value {
    let (small, large) = (random(state), (random(state) << 33) ^ (random(state) << 11) ^ random(state));
    let float = [f64::NAN, -0.0, f64::INFINITY, small as f64 / 7.0, -(large as f64), 50.0][small as usize % 6];
    match data {
        DataType::Boolean => Value::Boolean(small % 3 == 0),
        DataType::Byte => Value::Byte(small as i8),
        DataType::Short => Value::Short(small as i16),
        DataType::Integer => Value::Integer(large as i32),
        DataType::Date => Value::Date(small as i32 % 50_000),
        DataType::Float => Value::Float(float as f32),
        DataType::Double => Value::Double(float),
        DataType::Decimal { .. } => Value::Decimal(i128::from(small) - (1 << 29)),
        // Half of them of our time, the others anywhere but at the very beginning, where there is no day to round down to.
        DataType::Timestamp => Value::Timestamp(if small % 2 == 0 { small << 20 } else { large.max(i64::MIN >> 1) }),
        _ => Value::Long(large),
    }
}

/// Rows of which the first column, from 0 to 999, is compared with what shall stay; then a column of each type.
fn batch(types: &[Type], rows: usize, seed: u64) -> RecordBatch {
    let mut state = seed;
    let columns = types.iter().enumerate().map(|(i, ty)| {
        let values = (0..rows).map(|_| match i {
            0 => Value::Integer(random(&mut state) as i32 % 1000),
            _ if ty.nullable && random(&mut state) % 9 == 0 => Value::Null,
            _ => value(&ty.data, &mut state),
        });
        build_array(&ty.data, &values.collect::<Vec<_>>())
    });
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(to_arrow_schema(&schema(types)), columns.collect(), &options).expect("they fit")
}

fn types(nullable: bool) -> Vec<Type> {
    use DataType::*;
    let decimal = Decimal { precision: 12, scale: 2 };
    let all = [Integer, Boolean, Byte, Short, Integer, Long, Float, Double, decimal, Date, Timestamp, Double];
    all.into_iter().enumerate().map(|(i, data)| Type { data, nullable: nullable && i > 0 }).collect()
}

/// Filters that let through so many of a thousand rows; the last looks at a double, too, which then is not null.
fn filters(types: &[Type], stay: i32) -> Vec<Expr> {
    let some = call("less", vec![column(0, &types[0]), integer(stay)]);
    let warm = call("greater", vec![column(7, &types[7]), double(-1e18)]);
    vec![some.clone(), and(vec![some, warm])]
}

fn celsius(x: Expr) -> Expr {
    call("divide", vec![call("multiply", vec![call("subtract", vec![x, double(32.0)]), double(5.0)]), double(9.0)])
}

fn minute(x: Expr) -> Expr {
    call("date_trunc", vec![literal(Value::String("minute".into()), DataType::String), x])
}

fn level(x: Expr) -> Expr {
    let hot = call("greater", vec![x.clone(), double(100.0)]);
    let warm = call("greater", vec![x, double(50.0)]);
    choose(hot, integer(2), choose(warm, integer(1), integer(0)))
}

/// Values that vectors compute, values that are computed row by row, columns that are handed on.
fn outputs(types: &[Type]) -> Vec<Expr> {
    let x = |i: usize| column(i, &types[i]);
    let computed = [
        celsius(x(7)),
        call("add", vec![x(11), x(6)]),
        call("multiply", vec![cast(x(3), DataType::Integer, CastFailure::Never), integer(3)]),
        minute(x(10)),
        level(x(7)),
        level(x(11)),
        call("hour", vec![x(10)]),
        is_null(x(8)),
    ];
    computed.into_iter().chain((0..types.len()).map(x)).collect()
}

fn check(program: &Program, rows: &RecordBatch, sizes: &[usize], what: &str) {
    for size in sizes {
        for offset in [0, 3, 64] {
            if offset + size > rows.num_rows() {
                continue;
            }
            let part = rows.slice(offset, *size);
            let outcome = compare(program, &part, &EvalContext::default());
            assert!(outcome.is_ok(), "{what}, {size} rows from {offset}: {:?}", outcome.err());
        }
    }
}

#[test]
fn all_shares_of_rows_in_batches_of_all_sizes() {
    for nullable in [true, false] {
        let types = types(nullable);
        let rows = batch(&types, 8192 + 64, 5);
        for stay in [0, 3, 100, 430, 715, 990, 1000] {
            // Every third size with every share; all with the middle one.
            let sizes: Vec<usize> = match stay {
                430 => SIZES.to_vec(),
                _ => SIZES.iter().copied().skip(stay as usize % 3).step_by(3).collect(),
            };
            for (i, filter) in filters(&types, stay).into_iter().enumerate() {
                let program = program(&types, vec![ProgramStep::Filter(filter)], outputs(&types));
                let what = format!("filter {i}, {stay} of 1000, nullable: {nullable}");
                check(&program, &rows, &sizes, &what);
            }
        }
    }
}

#[test]
fn steps_behind_the_filter_go_to_the_second_stage() {
    let types = types(true);
    let rows = batch(&types, 8192 + 64, 11);
    let x = |i: usize| column(i, &types[i]);
    let before = call("add", vec![x(3), x(3)]);
    let converted = celsius(x(11));
    let slot = |i: usize, e: &Expr| column(types.len() + i, &e.ty);
    let steps = vec![
        ProgramStep::Let(call("add", vec![x(7), x(11)])),
        ProgramStep::Let(converted.clone()),
        ProgramStep::Filter(call("less", vec![slot(1, &converted), double(1e15)])),
        ProgramStep::Let(before.clone()),
        ProgramStep::Filter(filters(&types, 700).remove(0)),
        ProgramStep::Let(level(slot(1, &converted))),
        ProgramStep::Assert { condition: is_null(not(is_null(x(4)))), what: "constraint `never`".into() },
    ];
    let outputs = vec![slot(1, &converted), call("add", vec![slot(1, &converted), x(11)]), slot(3, &integer(1)), x(5)];
    let passes = program(&types, steps[..6].to_vec(), outputs.clone());
    check(&passes, &rows, &SIZES, "lets");
    let fails = program(&types, steps, outputs);
    check(&fails, &rows, &[0, 1, 65, 2047], "an assertion that no row satisfies");
}

#[test]
fn rows_that_do_not_stay_do_not_fail() {
    let types = [Type::new(DataType::Integer), Type::nullable(DataType::Double), Type::nullable(DataType::Long)];
    let rows = batch(&types, 4000, 2);
    let filter = call("less", vec![column(0, &types[0]), integer(800)]);
    let quotient = call(
        "div",
        vec![long(1000), cast(choose(filter.clone(), integer(1), integer(0)), DataType::Long, CastFailure::Never)],
    );
    let outputs = vec![quotient, celsius(column(1, &types[1]))];
    let program = program(&types, vec![ProgramStep::Filter(filter)], outputs);
    assert!(matches!(compare(&program, &rows, &EvalContext::default()), Ok(Outcome::Rows(_))));
}

#[test]
fn the_first_row_that_fails_is_found() {
    let types = [Type::new(DataType::Integer), Type::nullable(DataType::Double), Type::nullable(DataType::Long)];
    let rows = batch(&types, 4000, 9);
    let filter = |most| call("less", vec![column(0, &types[0]), integer(most)]);
    // About one row of a thousand divides by zero in the filter, or behind it.
    let zero = |i| call("subtract", vec![column(0, &types[0]), integer(i)]);
    let in_filter = call("greater_equal", vec![call("div", vec![integer(1), zero(7)]), integer(-1)]);
    let behind = call("div", vec![integer(1), zero(5)]);
    for most in [1000, 300] {
        let steps = vec![ProgramStep::Filter(and(vec![filter(most), in_filter.clone()]))];
        let program = program(&types, steps, vec![celsius(column(1, &types[1])), behind.clone(), column(2, &types[2])]);
        let mut at = 0;
        let mut failures = 0;
        while at < rows.num_rows() {
            match compare(&program, &rows.slice(at, rows.num_rows() - at), &EvalContext::default()) {
                Ok(Outcome::Failed(failure)) => {
                    failures += 1;
                    at += failure.row + 1;
                }
                Ok(Outcome::Rows(_)) => break,
                Err(difference) => panic!("from {at}: {difference}"),
            }
        }
        assert!(failures > 3, "too little was tried: {failures}");
    }
}

/// Longs around multiples of a divisor, all of them in the bounds of what vectors divide, or, `beyond`, one in eighty not.
fn around_multiples(divisor: i64, beyond: bool) -> Vec<Vec<Value>> {
    let mut state = divisor as u64;
    let most = (1i64 << (49 + divisor.trailing_zeros())) - divisor;
    let mut rows = vec![];
    for i in 0..1280 {
        let below = random(&mut state) % 62;
        let times = ((random(&mut state) << 31 ^ random(&mut state)) >> below) % (most / divisor);
        let v = times * divisor + [0, -1, 1, divisor / 2, divisor / 2 + 1, random(&mut state) % divisor][i % 6];
        let v = if beyond && i % 80 == 7 {
            [i64::MAX, i64::MIN, most.wrapping_mul(2), most.wrapping_mul(-2)][i / 80 % 4]
        } else {
            v
        };
        // Each other block has numbers below zero, which some operations leave to rows.
        let v = if i / 64 % 2 == 0 { v.max(0) } else { v.wrapping_neg() };
        rows.push(vec![if i % 50 == 3 { Value::Null } else { Value::Long(v) }]);
    }
    rows
}

#[test]
fn divisions_by_constants() {
    let types = [Type::nullable(DataType::Long)];
    let x = column(0, &types[0]);
    let divisors = [2, 3, 7, 1000, 60_000, 1 << 12, 1_000_000, 60_000_000, 86_400_000_000, (1 << 31) - 1, 0xffff_ffff];
    for divisor in divisors {
        for beyond in [false, true] {
            let rows = around_multiples(divisor, beyond);
            let values: Vec<Value> = rows.into_iter().flatten().collect();
            let batch =
                RecordBatch::try_new(to_arrow_schema(&schema(&types)), vec![build_array(&DataType::Long, &values)])
                    .expect("one column");
            let by = |name| call(name, vec![x.clone(), long(divisor)]);
            let multiple = call("subtract", vec![x.clone(), by("mod")]);
            for value in [by("mod"), by("pmod"), by("div"), multiple] {
                assert!(crate::emit::by_vectors(&value, &plain(&types)), "{divisor}");
                let program = program(&types, vec![], vec![value]);
                let outcome = compare(&program, &batch, &EvalContext::default());
                assert!(matches!(outcome, Ok(Outcome::Rows(_))), "{divisor}, beyond: {beyond}");
            }
        }
    }
}

#[test]
fn times_rounded_down_to_units() {
    let types = [Type::nullable(DataType::Timestamp)];
    let x = column(0, &types[0]);
    for (unit, micros) in [
        ("day", 86_400_000_000),
        ("hour", 3_600_000_000),
        ("minute", 60_000_000),
        ("second", 1_000_000),
        ("millisecond", 1000),
    ] {
        for beyond in [false, true] {
            let values = around_multiples(micros, beyond).into_iter().flatten().map(|v| match v {
                Value::Long(v) => Value::Timestamp(v),
                null => null,
            });
            let values = build_array(&types[0].data, &values.collect::<Vec<_>>());
            let batch = RecordBatch::try_new(to_arrow_schema(&schema(&types)), vec![values]).expect("one column");
            let down = call("date_trunc", vec![literal(Value::String(unit.into()), DataType::String), x.clone()]);
            let seconds = call("unix_seconds", vec![x.clone()]);
            for value in [down, seconds] {
                assert!(crate::emit::by_vectors(&value, &plain(&types)), "{unit}");
                let program = program(&types, vec![], vec![value]);
                let outcome = compare(&program, &batch, &EvalContext::default());
                // What cannot be rounded down fails where it does for the interpreter.
                assert!(
                    outcome.is_ok() && (beyond || matches!(outcome, Ok(Outcome::Rows(_)))),
                    "{unit}, beyond: {beyond}"
                );
            }
        }
    }
}

#[test]
fn sums_that_overflow_fail_and_others_do_not() {
    for data in [DataType::Short, DataType::Integer, DataType::Long] {
        let types = [Type::nullable(data.clone()), Type::new(data.clone())];
        let rows =
            batch(&[&[Type::new(DataType::Integer)], &types[..]].concat(), 1500, 3).project(&[1, 2]).expect("two");
        let schema = to_arrow_schema(&schema(&types));
        let rows = RecordBatch::try_new(schema, rows.columns().to_vec()).expect("two columns");
        for name in ["add", "subtract"] {
            let sum = call(name, vec![column(0, &types[0]), column(1, &types[1])]);
            let program = program(&types, vec![], vec![sum]);
            let (mut at, mut failures) = (0, 0);
            while at < 1500 {
                match compare(&program, &rows.slice(at, 1500 - at), &EvalContext::default()) {
                    Ok(Outcome::Failed(failure)) => {
                        failures += 1;
                        at += failure.row + 1;
                    }
                    Ok(Outcome::Rows(_)) => break,
                    Err(difference) => panic!("{data:?} {name} from {at}: {difference}"),
                }
                if failures > 40 {
                    break;
                }
            }
            assert!(failures > 20, "{data:?} {name}: too few sums overflow");
        }
    }
}

/// A function that only reads columns of these types.
fn plain(types: &[Type]) -> Fused {
    Fused { columns: types.iter().cloned().enumerate().collect(), ..Fused::default() }
}

#[test]
fn a_choice_where_the_condition_is_null() {
    let types = types(true);
    let rows = batch(&types, 700, 21);
    let x = |i: usize| column(i, &types[i]);
    // Conditions of narrower and of wider lanes than what is chosen.
    let narrow = choose(call("greater", vec![x(3), literal(Value::Short(0), DataType::Short)]), x(7), double(1.0));
    let wide = choose(call("less", vec![x(5), long(0)]), literal(Value::Short(1), DataType::Short), integer_16());
    let same = choose(call("greater", vec![x(7), x(11)]), x(7), call("add", vec![x(7), double(1.0)]));
    for value in [narrow, wide.clone(), same] {
        let program = program(&types, vec![], vec![value]);
        assert!(matches!(compare(&program, &rows, &EvalContext::default()), Ok(Outcome::Rows(_))));
    }
    let filter = call("equal", vec![wide, literal(Value::Short(1), DataType::Short)]);
    let program = program(&types, vec![ProgramStep::Filter(filter)], outputs(&types));
    check(&program, &rows, &[1, 64, 600], "a filter by a choice");
}

fn integer_16() -> Expr {
    literal(Value::Short(-7), DataType::Short)
}

#[test]
fn what_is_staged() {
    let types = types(true);
    let staged = |filter: Expr, outputs: Vec<Expr>| {
        let plan = Plan::of(&program(&types, vec![ProgramStep::Filter(filter)], outputs));
        let [Part::Machine { fused, .. }] = plan.parts.as_slice() else { panic!("one part: {plan:?}") };
        Stages::of(fused)
    };
    let [some, warm] = filters(&types, 500).try_into().expect("two filters");
    let (x, y) = (column(7, &types[7]), column(11, &types[11]));
    // What the filter demands is not null behind it.
    let two = staged(warm, vec![celsius(x.clone()), celsius(y.clone()), x.clone()]).expect("vectors compute values");
    let project = two.project.expect("vectors compute values");
    assert!(!project.columns[&7].nullable && project.columns[&11].nullable);
    assert!(two.filter.targets.is_empty());
    // Nothing is gained where no vector computes anything; columns are handed on.
    let root = call("cbrt", vec![x.clone()]);
    assert_eq!(staged(some.clone(), vec![root.clone()]), None);
    let one = staged(some, vec![x, root]).expect("a column is handed on");
    assert!(one.project.is_none() && one.filter.targets.len() == 1);
}
