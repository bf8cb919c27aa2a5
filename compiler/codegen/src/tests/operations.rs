//! Tests of single operations at their edges: each expression, over values chosen for it, against the interpreter and against what is known.

use super::build::*;
use super::{Outcome, compare, program_is_one_function};
use arrow::array::ArrayRef;
use arrow::record_batch::RecordBatch;
use flowc_ir::arrow_types::to_arrow_schema;
use flowc_ir::arrow_values::{build_array, value_at};
use flowc_ir::eval::{EvalContext, FailureCode};
use flowc_ir::{CastFailure, DataType, Expr, ExprKind, LocalId, Program, ProgramStep, Type, Value};

fn batch(types: &[Type], rows: &[Vec<Value>]) -> RecordBatch {
    let column = |i: usize| -> ArrayRef {
        let values: Vec<Value> = rows.iter().map(|r| r[i].clone()).collect();
        build_array(&types[i].data, &values)
    };
    let schema = to_arrow_schema(&schema(types));
    RecordBatch::try_new(schema, (0..types.len()).map(column).collect()).expect("values of these types")
}

fn run(program: &Program, rows: &[Vec<Value>]) -> Outcome {
    let types: Vec<Type> = program.input.fields.iter().map(|f| f.ty.clone()).collect();
    assert!(program_is_one_function(program), "machine code alone");
    compare(program, &batch(&types, rows), &EvalContext::default()).unwrap_or_else(|difference| panic!("{difference}"))
}

/// The values of one expression over rows; a failing row is reported as its code.
fn values(types: &[Type], e: Expr, rows: &[Vec<Value>]) -> Vec<Result<Value, FailureCode>> {
    let ty = e.ty.clone();
    let program = program(types, vec![], vec![e]);
    let one = |row: &Vec<Value>| match run(&program, std::slice::from_ref(row)) {
        Outcome::Rows(batch) => Ok(value_at(batch.column(0), 0, &ty)),
        Outcome::Failed(failure) => Err(failure.failure.code),
    };
    rows.iter().map(one).collect()
}

fn longs(values: &[i64]) -> Vec<Vec<Value>> {
    values.iter().map(|v| vec![Value::Long(*v)]).collect()
}

fn x(data: DataType) -> (Vec<Type>, Expr) {
    let types = vec![Type::nullable(data)];
    let e = column(0, &types[0]);
    (types, e)
}

#[test]
fn division_fails_by_zero_and_overflow() {
    let (types, x) = x(DataType::Long);
    let rows = longs(&[0, -1, 7]);
    let quotient = call("div", vec![long(i64::MIN), x.clone()]);
    let found = values(&types, quotient, &rows);
    let expected = [Err(FailureCode::DivisionByZero), Err(FailureCode::Overflow), Ok(Value::Long(i64::MIN / 7))];
    assert_eq!(found, expected);
    let rest = values(&types, call("mod", vec![long(i64::MIN), x]), &rows);
    assert_eq!(rest, [Err(FailureCode::DivisionByZero), Ok(Value::Long(0)), Ok(Value::Long(i64::MIN % 7))]);
}

#[test]
fn what_is_not_evaluated_does_not_fail() {
    let (types, x) = x(DataType::Long);
    let rows = [longs(&[0, 5, i64::MIN]), vec![vec![Value::Null]]].concat();
    let zero = call("equal", vec![x.clone(), long(0)]);
    let quotient = call("div", vec![long(100), x.clone()]);
    let large = call("greater", vec![quotient.clone(), long(10)]);
    let either = or(vec![zero.clone(), large.clone()]);
    let truth = |b| Ok(Value::Boolean(b));
    assert_eq!(values(&types, either, &rows), [truth(true), truth(true), truth(false), Ok(Value::Null)]);
    let both = and(vec![not(zero.clone()), large]);
    assert_eq!(values(&types, both, &rows), [truth(false), truth(true), truth(false), Ok(Value::Null)]);
    let chosen = choose(zero, long(-1), quotient.clone());
    assert_eq!(
        values(&types, chosen, &rows),
        [Ok(Value::Long(-1)), Ok(Value::Long(20)), Ok(Value::Long(0)), Ok(Value::Null)]
    );
    let unused = expr(
        ExprKind::Let { local: LocalId(0), value: Box::new(quotient), body: Box::new(long(1)) },
        Type::new(DataType::Long),
    );
    assert!(values(&types, unused, &rows).iter().all(|v| *v == Ok(Value::Long(1))));
}

#[test]
fn an_undecided_left_side_lets_the_right_side_fail() {
    let types = [Type::nullable(DataType::Boolean), Type::new(DataType::Long)];
    let right = call("greater", vec![call("div", vec![long(1), column(1, &types[1])]), long(0)]);
    let rows: Vec<Vec<Value>> = [Value::Boolean(true), Value::Boolean(false), Value::Null]
        .into_iter()
        .map(|b| vec![b, Value::Long(0)])
        .collect();
    let zero = Err(FailureCode::DivisionByZero);
    let both = and(vec![column(0, &types[0]), right.clone()]);
    assert_eq!(values(&types, both, &rows), [zero.clone(), Ok(Value::Boolean(false)), zero.clone()]);
    let either = or(vec![column(0, &types[0]), right]);
    assert_eq!(values(&types, either, &rows), [Ok(Value::Boolean(true)), zero.clone(), zero]);
}

#[test]
fn nan_is_the_greatest_and_equals_itself() {
    let types = [Type::new(DataType::Double), Type::new(DataType::Double)];
    let numbers = [f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1.5];
    let rows: Vec<Vec<Value>> =
        numbers.iter().flat_map(|a| numbers.iter().map(|b| vec![Value::Double(*a), Value::Double(*b)])).collect();
    let orders = ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"];
    let operands = |constant: Option<f64>| match constant {
        None => vec![column(0, &types[0]), column(1, &types[1])],
        Some(v) => vec![column(0, &types[0]), double(v)],
    };
    for constant in numbers.iter().map(|v| Some(*v)).chain([None]) {
        // As values, row by row, and as filters, by vectors.
        let outputs: Vec<Expr> = orders.iter().map(|o| call(o, operands(constant))).collect();
        run(&program(&types, vec![], outputs.clone()), &rows);
        for condition in outputs {
            run(&program(&types, vec![ProgramStep::Filter(condition)], vec![column(0, &types[0])]), &rows);
        }
    }
}

#[test]
fn filters_of_every_width() {
    let rows: Vec<i64> = (0..200).map(|i| i * 37 % 101 - 50).collect();
    let as_value = |data: &DataType, v: i64| match data {
        DataType::Byte => Value::Byte(v as i8),
        DataType::Short => Value::Short(v as i16),
        DataType::Integer => Value::Integer(v as i32),
        DataType::Float => Value::Float(v as f32),
        DataType::Double => Value::Double(v as f64),
        DataType::Date => Value::Date(v as i32),
        DataType::Timestamp => Value::Timestamp(v),
        _ => Value::Long(v),
    };
    use DataType::*;
    for data in [Byte, Short, Integer, Long, Float, Double, Date, Timestamp] {
        let (types, x) = x(data.clone());
        let rows: Vec<Vec<Value>> =
            rows.iter().map(|v| vec![if v % 11 == 0 { Value::Null } else { as_value(&data, *v) }]).collect();
        let bound = literal(as_value(&data, 7), data.clone());
        let mut conditions = vec![
            call("less", vec![x.clone(), bound.clone()]),
            and(vec![
                call("not_equal", vec![x.clone(), bound.clone()]),
                call("greater_equal", vec![x.clone(), literal(as_value(&data, -20), data.clone())]),
            ]),
            not(expr(
                ExprKind::InList { value: Box::new(x.clone()), list: vec![as_value(&data, 3), as_value(&data, -4)] },
                Type::nullable(Boolean),
            )),
        ];
        if data.is_integer() || data == Float {
            for wide in [Long, Double, Float].iter().filter(|w| data.widens_to(w)) {
                let wider = cast(x.clone(), wide.clone(), CastFailure::Never);
                conditions.push(call("greater", vec![wider, literal(as_value(wide, 12), wide.clone())]));
            }
        }
        for condition in conditions {
            let Outcome::Rows(batch) =
                run(&program(&types, vec![ProgramStep::Filter(condition)], vec![x.clone()]), &rows)
            else {
                panic!("no row fails");
            };
            assert!(batch.num_rows() > 10 && batch.num_rows() < 200);
        }
    }
}

#[test]
fn casts_fail_out_of_range() {
    let (types, x) = x(DataType::Double);
    let rows: Vec<Vec<Value>> =
        [f64::NAN, 127.9, 128.0, -128.9, -129.0, f64::INFINITY].iter().map(|v| vec![Value::Double(*v)]).collect();
    let misfit = Err(FailureCode::Cast);
    let strict = values(&types, cast(x.clone(), DataType::Byte, CastFailure::Error), &rows);
    let byte = |v| Ok(Value::Byte(v));
    assert_eq!(strict, [misfit.clone(), byte(127), misfit.clone(), byte(-128), misfit.clone(), misfit]);
    let lenient = values(&types, cast(x, DataType::Byte, CastFailure::Null), &rows);
    assert_eq!(lenient, [Ok(Value::Null), byte(127), Ok(Value::Null), byte(-128), Ok(Value::Null), Ok(Value::Null)]);
}

#[test]
fn the_first_failing_row_is_reported_across_steps_and_blocks() {
    let types = [Type::new(DataType::Long)];
    let quotient = call("div", vec![long(1), column(0, &types[0])]);
    let overflow = call("add", vec![column(0, &types[0]), long(i64::MAX)]);
    // The later step fails in an earlier row of the same block, and the filter hides a failure before both.
    let steps = vec![
        ProgramStep::Filter(call("less", vec![column(0, &types[0]), long(1000)])),
        ProgramStep::Let(quotient),
        ProgramStep::Filter(call("not_equal", vec![column(0, &types[0]), long(-5)])),
    ];
    let program = program(&types, steps, vec![overflow]);
    let mut rows = vec![-1i64; 200];
    rows[3] = 5000;
    rows[70] = 1;
    rows[75] = 0;
    rows[150] = 0;
    let Outcome::Failed(failure) = run(&program, &longs(&rows)) else { panic!("row 70 overflows") };
    assert_eq!((failure.row, failure.failure.code), (70, FailureCode::Overflow));
    rows[70] = -1;
    let Outcome::Failed(failure) = run(&program, &longs(&rows)) else { panic!("row 75 divides by zero") };
    assert_eq!((failure.row, failure.failure.code), (75, FailureCode::DivisionByZero));
}

#[test]
fn an_assertion_fails_its_row() {
    let types = [Type::nullable(DataType::Long)];
    let condition = call("greater", vec![column(0, &types[0]), long(0)]);
    let assert = ProgramStep::Assert { condition, what: "constraint `positive`".into() };
    let program = program(&types, vec![assert], vec![column(0, &types[0])]);
    let mut rows = longs(&[3; 100]);
    assert!(matches!(run(&program, &rows), Outcome::Rows(batch) if batch.num_rows() == 100));
    rows[80] = vec![Value::Null];
    let Outcome::Failed(failure) = run(&program, &rows) else { panic!("null is not true") };
    assert_eq!((failure.row, failure.failure.code), (80, FailureCode::Constraint));
}

#[test]
fn constant_texts_are_chosen_by_machine_code() {
    let types = [Type::nullable(DataType::Long)];
    let x = || column(0, &types[0]);
    let text = |t: &str| literal(Value::String(t.to_string()), DataType::String);
    let choose = |limit: i64, then: Expr, otherwise: Expr| {
        let ty = Type { data: DataType::String, nullable: then.ty.nullable || otherwise.ty.nullable };
        let condition = Box::new(call("greater", vec![x(), long(limit)]));
        expr(ExprKind::If { condition, then: Box::new(then), otherwise: Box::new(otherwise) }, ty)
    };
    let short = || choose(90, text("critical"), choose(50, text("high"), text("")));
    let long_one = choose(70, text("longer than one block is"), text("critical"));
    let none = choose(30, text("some"), literal(Value::Null, DataType::String));
    let some = ProgramStep::Filter(call("greater", vec![x(), long(10)]));
    let kept = ProgramStep::Filter(call("greater", vec![column(1, &short().ty), text("a")]));
    let rows: Vec<Vec<Value>> =
        (0..150).map(|i| vec![if i % 7 == 0 { Value::Null } else { Value::Long(i * 37 % 101) }]).collect();
    for steps in [vec![], vec![some.clone()], vec![some.clone(), ProgramStep::Let(short()), kept, some]] {
        let program = program(&types, steps, vec![short(), x(), long_one.clone(), none.clone()]);
        let outcome = compare(&program, &batch(&types, &rows), &EvalContext::default());
        assert!(matches!(outcome.expect("no difference"), Outcome::Rows(batch) if batch.num_rows() > 0));
        let plan = crate::plan::Plan::of(&program);
        assert!(plan.parts.iter().filter(|p| matches!(p, crate::plan::Part::Choice { .. })).count() >= 3);
    }
}

#[test]
fn decimals_of_38_digits() {
    let wide = DataType::Decimal { precision: 38, scale: 0 };
    let types = [Type::new(wide.clone()), Type::new(wide)];
    let largest = 10i128.pow(38) - 1;
    let rows: Vec<Vec<Value>> = [(largest, 1), (largest, -1), (-largest, -largest), (largest, largest), (7, 2)]
        .iter()
        .map(|(a, b)| vec![Value::Decimal(*a), Value::Decimal(*b)])
        .collect();
    let operands = || vec![column(0, &types[0]), column(1, &types[1])];
    let over = Err(FailureCode::Overflow);
    let decimal = |v| Ok(Value::Decimal(v));
    let sum = values(&types, call("add", operands()), &rows);
    assert_eq!(sum, [over.clone(), decimal(largest - 1), over.clone(), over.clone(), decimal(9)]);
    let difference = values(&types, call("subtract", operands()), &rows);
    assert_eq!(difference, [decimal(largest - 1), over.clone(), decimal(0), decimal(0), decimal(5)]);
    let product = values(&types, call("multiply", operands()), &rows);
    assert_eq!(product, [decimal(largest), decimal(-largest), over.clone(), over, decimal(14)]);
    assert!(values(&types, call("divide", operands()), &rows)[4].is_ok());
}

#[test]
fn choosing_between_128_bit_values_is_no_minimum() {
    let wide = DataType::Decimal { precision: 20, scale: 2 };
    let types = [Type::new(wide.clone()), Type::new(wide)];
    let (a, b) = (column(0, &types[0]), column(1, &types[1]));
    let rows = vec![vec![Value::Decimal(5), Value::Decimal(-5)], vec![Value::Decimal(-5), Value::Decimal(5)]];
    let least = choose(call("less", vec![a.clone(), b.clone()]), a, b);
    assert_eq!(values(&types, least, &rows), [Ok(Value::Decimal(-5)), Ok(Value::Decimal(-5))]);
}

#[test]
fn timestamps_are_rounded_down_to_a_unit() {
    let types = [Type::nullable(DataType::Timestamp)];
    let micros = [0, 1, -1, 59_999_999, -60_000_001, 86_400_000_000, i64::MIN, i64::MAX, 1_700_000_000_123_456];
    let rows: Vec<Vec<Value>> = micros.iter().map(|v| vec![Value::Timestamp(*v)]).collect();
    for unit in ["day", "hour", "minute", "second", "millisecond", "MICROSECOND"] {
        let unit = literal(Value::String(unit.into()), DataType::String);
        let found = values(&types, call("date_trunc", vec![unit, column(0, &types[0])]), &rows);
        assert!(found[2..6].iter().all(Result::is_ok));
    }
}

#[test]
fn the_epoch_has_one_time() {
    let program = program(&[], vec![], vec![call("now", vec![]), call("current_date", vec![])]);
    let context = EvalContext { now: 1_700_000_000_123_456, epoch: 1 };
    let options = arrow::record_batch::RecordBatchOptions::new().with_row_count(Some(3));
    let batch = RecordBatch::try_new_with_options(to_arrow_schema(&schema(&[])), vec![], &options).expect("no columns");
    let Ok(Outcome::Rows(rows)) = compare(&program, &batch, &context) else { panic!("nothing fails") };
    assert_eq!(value_at(rows.column(0), 2, &Type::new(DataType::Timestamp)), Value::Timestamp(context.now));
}
