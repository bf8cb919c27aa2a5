//! What every function promises, tried with generated operands: it does not panic, fails only if it says so, gives a value of its type and null only where
//! that may be, and its kernel gives what its scalar gives.

use super::{Call, Function, all, instantiations, resolve};
use crate::arrow_values::{build_array, value_at};
use crate::cast::from_string;
use crate::eval::EvalContext;
use crate::testgen::expressions::palette;
use crate::testgen::{Generator, Options};
use crate::types::{DataType, Type};
use crate::value::Value;
use proptest::prelude::*;

const ROWS: usize = 24;

/// Whether a value is one of a type.
fn belongs(value: &Value, ty: &Type) -> bool {
    match (value, &ty.data) {
        (Value::Null, _) => ty.nullable,
        (Value::Boolean(_), DataType::Boolean)
        | (Value::Byte(_), DataType::Byte)
        | (Value::Short(_), DataType::Short)
        | (Value::Integer(_), DataType::Integer)
        | (Value::Long(_), DataType::Long)
        | (Value::Float(_), DataType::Float)
        | (Value::Double(_), DataType::Double)
        | (Value::String(_), DataType::String)
        | (Value::Binary(_), DataType::Binary)
        | (Value::Date(_), DataType::Date)
        | (Value::Timestamp(_), DataType::Timestamp)
        | (Value::TimestampNtz(_), DataType::TimestampNtz)
        | (Value::Duration(_), DataType::Duration) => true,
        (Value::Decimal(v), DataType::Decimal { precision, .. }) => super::decimal::fits(*v, *precision),
        (Value::Array(items), DataType::Array(item)) => items.iter().all(|v| belongs(v, item)),
        (Value::Map(entries), DataType::Map(key, item)) => {
            entries.iter().all(|(k, v)| belongs(k, &Type::new((**key).clone())) && belongs(v, item))
        }
        (Value::Struct(values), DataType::Struct(fields)) => {
            values.len() == fields.len() && values.iter().zip(fields).all(|(v, f)| belongs(v, &f.ty))
        }
        _ => false,
    }
}

fn keeps_its_word(function: &'static Function, args: &[Type], seed: u64) -> usize {
    let Ok(resolution) = resolve(function.name, args) else { return 0 };
    let (parameters, result) = (resolution.parameters, resolution.result);
    let mut g = Generator::new(seed, Options::default());
    let context = EvalContext { now: 1_700_000_000_123_456, epoch: 1 };
    let call = Call { args: &parameters, result: &result, context: &context };
    let columns: Vec<Vec<Value>> = parameters.iter().map(|t| (0..ROWS).map(|_| g.value(t)).collect()).collect();
    let row = |i: usize| -> Vec<Value> { columns.iter().map(|c| c[i].clone()).collect() };
    let outcomes: Vec<_> = (0..ROWS).map(|i| function.call(&call, &row(i))).collect();
    for (i, outcome) in outcomes.iter().enumerate() {
        let shown = || format!("{}({:?}) of {parameters:?} -> {result}", function.name, row(i));
        match outcome {
            Ok(value) => assert!(belongs(value, &result), "{} gives {value:?}", shown()),
            Err(failure) => {
                assert!(function.can_fail(&parameters), "{} fails: {}", shown(), failure.message);
                assert!(!failure.message.is_empty() && failure.message.len() < 1000, "{}", shown());
            }
        }
    }
    let Some(kernel) = function.vectorized else { return ROWS };
    let arrays: Vec<_> = columns.iter().zip(&parameters).map(|(c, t)| build_array(&t.data, c)).collect();
    match (kernel(&call, &arrays, ROWS), outcomes.iter().position(Result::is_err)) {
        (Ok(array), None) => {
            for (i, outcome) in outcomes.iter().enumerate() {
                let expected = outcome.as_ref().expect("no row fails");
                let actual = value_at(&array, i, &result);
                assert_eq!(format!("{actual:?}"), format!("{expected:?}"), "{}{:?}", function.name, row(i));
            }
        }
        (Err((row, failure)), Some(first)) => {
            assert_eq!(row, first, "{}", function.name);
            assert_eq!(Err(failure), outcomes[first], "{}", function.name);
        }
        (kernel, rows) => panic!("{}: {kernel:?} by columns, {rows:?} by rows", function.name),
    }
    ROWS
}

#[test]
fn every_function_keeps_its_word() {
    let (mut calls, mut seed) = (0, 0);
    for function in all() {
        let before = calls;
        for operands in instantiations(function, palette(false)) {
            for nullable in [true, false] {
                seed += 1;
                let args: Vec<Type> = operands.iter().map(|d| Type { data: d.clone(), nullable }).collect();
                calls += keeps_its_word(function, &args, seed);
            }
        }
        assert!(calls > before || function.signatures[0].contains("()"), "{} was never called", function.name);
    }
    println!("{calls} calls");
}

/// Texts made of what dates, patterns, paths and expressions are made of, and of what breaks careless slicing.
fn any_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[0-9]{1,5}",
        "[-+:. TZ/'\\[\\]{}()*$%_\\\\]",
        "[yMdHhmsSEaXVQuDk]{1,4}",
        "\\PC{0,3}",
        Just("$.a[0]['b']".to_string()),
        Just("2024-02-29".to_string()),
        Just("é😀".to_string()),
        Just("1e9".to_string()),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    /// Whatever the texts, no function of texts panics, and kernels equal scalars.
    #[test]
    fn any_texts_do(texts in prop::collection::vec(any_text(), 3), number in -3i32..400) {
        let context = EvalContext::default();
        let types = [Type::new(DataType::String), Type::new(DataType::Integer)];
        for function in all() {
            for shape in [&[0][..], &[0, 0], &[0, 1], &[0, 0, 0], &[0, 0, 1], &[0, 1, 1], &[0, 1, 0]] {
                let args: Vec<Type> = shape.iter().map(|i| types[*i].clone()).collect();
                let Ok(resolution) = resolve(function.name, &args) else { continue };
                if resolution.parameters != args {
                    continue;
                }
                let operand = |(at, kind): (usize, &usize)| match kind {
                    0 => Value::String(texts[at].clone()),
                    _ => Value::Integer(number),
                };
                let operands: Vec<Value> = shape.iter().enumerate().map(operand).collect();
                let call = Call { args: &args, result: &resolution.result, context: &context };
                let outcome = function.call(&call, &operands);
                if let Ok(value) = &outcome {
                    prop_assert!(belongs(value, &resolution.result), "{}{:?} gives {:?}", function.name, operands, value);
                }
                let Some(kernel) = function.vectorized else { continue };
                let columns: Vec<_> =
                    operands.iter().zip(&args).map(|(v, t)| build_array(&t.data, std::slice::from_ref(v))).collect();
                let column = kernel(&call, &columns, 1).map(|a| value_at(&a, 0, &resolution.result));
                prop_assert_eq!(column.map_err(|(_, f)| f), outcome, "{}{:?}", function.name, operands);
            }
        }
        for data in palette(false) {
            if let Some(value) = from_string(&texts[0], data) {
                prop_assert!(belongs(&value, &Type::new(data.clone())));
            }
        }
    }
}
