//! Every function of the table that becomes machine code, every conversion, and every form of logic, over all combinations of the values at the edges of
//! their types: as values, as filters, with columns and with constants, against the interpreter.

use super::build::*;
use super::{Outcome, compare};
use crate::select::compiles;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use flowc_ir::arrow_types::to_arrow_schema;
use flowc_ir::arrow_values::build_array;
use flowc_ir::cast::castable;
use flowc_ir::eval::EvalContext;
use flowc_ir::functions::{all, resolve};
use flowc_ir::{CastFailure, DataType, Expr, ExprKind, LocalId, ProgramStep, Type, Value};

fn types() -> Vec<DataType> {
    let decimal = |precision, scale| DataType::Decimal { precision, scale };
    use DataType::*;
    vec![
        Boolean,
        Byte,
        Short,
        Integer,
        Long,
        Float,
        Double,
        decimal(10, 2),
        decimal(38, 0),
        decimal(38, 18),
        Date,
        Timestamp,
        TimestampNtz,
        Duration,
    ]
}

/// Values at the edges of a type, null first.
fn edges(data: &DataType) -> Vec<Value> {
    let doubles = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1.0, -1.5, 2.5, 1e6, 1e300, 9.3e18, 1e-320];
    let longs = [i64::MIN, i64::MIN + 1, i64::MAX, 0, 1, -1, 2, -7, 64, 86_400_000_000, -1_000_001];
    let values: Vec<Value> = match data {
        DataType::Boolean => vec![Value::Boolean(true), Value::Boolean(false)],
        DataType::Byte => [i8::MIN, i8::MAX, 0, 1, -1, 3, -8].map(Value::Byte).to_vec(),
        DataType::Short => [i16::MIN, i16::MAX, 0, 1, -1, 3, 300].map(Value::Short).to_vec(),
        DataType::Integer => [i32::MIN, i32::MAX, 0, 1, -1, 3, 33, 70_000].map(Value::Integer).to_vec(),
        DataType::Date => [i32::MIN, i32::MAX, 0, 1, -1, 19_000].map(Value::Date).to_vec(),
        DataType::Float => doubles.map(|v| Value::Float(v as f32)).to_vec(),
        DataType::Double => doubles.map(Value::Double).to_vec(),
        DataType::Decimal { precision, .. } => {
            let most = 10i128.pow(u32::from(*precision)) - 1;
            [most, -most, 0, 1, -1, 50, -149, 123_456_789].map(Value::Decimal).to_vec()
        }
        DataType::Timestamp => longs.map(Value::Timestamp).to_vec(),
        DataType::TimestampNtz => longs.map(Value::TimestampNtz).to_vec(),
        DataType::Duration => longs.map(Value::Duration).to_vec(),
        _ => longs.map(Value::Long).to_vec(),
    };
    std::iter::once(Value::Null).chain(values).collect()
}

/// All combinations of the edges of these types, as the rows of a batch.
fn combinations(types: &[Type]) -> RecordBatch {
    let mut rows: Vec<Vec<Value>> = vec![vec![]];
    for ty in types {
        let edges = edges(&ty.data);
        let edges = &edges[usize::from(!ty.nullable)..];
        rows = rows
            .iter()
            .flat_map(|row| edges.iter().map(|v| [row.as_slice(), std::slice::from_ref(v)].concat()))
            .collect();
    }
    let column = |i: usize| {
        let values: Vec<Value> = rows.iter().map(|r| r[i].clone()).collect();
        build_array(&types[i].data, &values)
    };
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    let columns = (0..types.len()).map(column).collect();
    RecordBatch::try_new_with_options(to_arrow_schema(&schema(types)), columns, &options).expect("values fit")
}

/// Compares an expression as a value that may fail, as one that is null where it fails, and as a filter.
fn check(types: &[Type], batch: &RecordBatch, e: &Expr) {
    assert!(compiles(e), "{e:?}");
    let mut programs = vec![
        program(types, vec![], vec![e.clone()]),
        program(types, vec![], vec![attempt(e.clone()), is_null(attempt(e.clone()))]),
    ];
    if e.ty.data == DataType::Boolean {
        programs.push(program(types, vec![ProgramStep::Filter(attempt(e.clone()))], vec![]));
        programs.push(program(types, vec![ProgramStep::Filter(e.clone())], vec![column(0, &types[0])]));
        programs.push(program(types, vec![ProgramStep::Filter(not(e.clone()))], vec![column(0, &types[0])]));
    }
    for program in programs {
        let mut batch = batch.clone();
        // Behind a failing row the next ones are tried, a few times.
        for _ in 0..3 {
            match compare(&program, &batch, &EvalContext::default()) {
                Ok(Outcome::Rows(_)) => break,
                Ok(Outcome::Failed(f)) => batch = batch.slice(f.row + 1, batch.num_rows() - f.row - 1),
                Err(difference) => panic!("{e:?}\n{types:?}\n{difference}"),
            }
        }
    }
}

/// The operand types of the calls of a function that become machine code as they are, without conversions.
fn signatures(name: &str) -> Vec<Vec<DataType>> {
    let types = types();
    let mut found = vec![];
    let mut lists: Vec<Vec<DataType>> = vec![vec![]];
    for _ in 0..3 {
        lists = lists
            .iter()
            .flat_map(|list| types.iter().map(|t| [list.as_slice(), std::slice::from_ref(t)].concat()))
            // Three operands of a compiled function are of one type.
            .filter(|list| list.len() < 3 || list.iter().all(|t| *t == list[0]))
            .collect();
        for list in &lists {
            let operands: Vec<Type> = list.iter().cloned().map(Type::nullable).collect();
            let exact = |r: flowc_ir::functions::Resolution| {
                r.parameters.len() == list.len() && r.parameters.iter().zip(list).all(|(p, t)| p.data == *t)
            };
            if resolve(name, &operands).is_ok_and(exact) {
                found.push(list.clone());
            }
        }
    }
    found
}

#[test]
fn every_function_at_its_edges() {
    let mut checked = 0;
    for function in all() {
        for signature in signatures(function.name) {
            for nullable in [true, false] {
                let types: Vec<Type> = signature.iter().map(|data| Type { data: data.clone(), nullable }).collect();
                let operands: Vec<Expr> = types.iter().enumerate().map(|(i, t)| column(i, t)).collect();
                let whole = call(function.name, operands.clone());
                if !compiles(&whole) {
                    continue;
                }
                let batch = combinations(&types);
                check(&types, &batch, &whole);
                checked += 1;
                if !nullable || signature.len() != 2 {
                    continue;
                }
                for constant in edges(&types[1].data).into_iter().step_by(3) {
                    let constant = literal(constant, types[1].data.clone());
                    check(&types, &batch, &call(function.name, vec![operands[0].clone(), constant]));
                }
            }
        }
    }
    println!("{checked} calls");
    assert!(checked > 300, "{checked} calls");
}

#[test]
fn every_conversion_at_its_edges() {
    let mut checked = 0;
    for from in types() {
        let columns = [Type::nullable(from.clone())];
        let batch = combinations(&columns);
        for to in types().into_iter().chain([DataType::Decimal { precision: 4, scale: 1 }]) {
            if !castable(&from, &to) {
                continue;
            }
            for on_failure in [CastFailure::Error, CastFailure::Null] {
                let whole = cast(column(0, &columns[0]), to.clone(), on_failure);
                if compiles(&whole) {
                    check(&columns, &batch, &whole);
                    checked += 1;
                }
            }
        }
    }
    println!("{checked} conversions");
    assert!(checked > 200, "{checked} conversions");
}

/// Forms of logic over operands that are true, false, null or fail, two levels deep.
#[test]
fn every_form_of_logic() {
    let types = [
        Type::nullable(DataType::Boolean),
        Type::nullable(DataType::Integer),
        Type::new(DataType::Boolean),
        Type::nullable(DataType::Double),
    ];
    let fails = call("greater", vec![call("div", vec![integer(6), column(1, &types[1])]), integer(1)]);
    let leaves = [
        column(0, &types[0]),
        column(2, &types[2]),
        fails,
        call("less", vec![column(3, &types[3]), double(1.0)]),
        literal(Value::Null, DataType::Boolean),
    ];
    let forms = |a: &Expr, b: &Expr| {
        let coalesce = ExprKind::Coalesce(vec![a.clone(), b.clone()]);
        let local = expr(ExprKind::Local(LocalId(7)), a.ty.clone());
        let bound = ExprKind::Let {
            local: LocalId(7),
            value: Box::new(a.clone()),
            body: Box::new(and(vec![b.clone(), local.clone(), local])),
        };
        let nullable = Type::nullable(DataType::Boolean);
        vec![
            and(vec![a.clone(), b.clone()]),
            or(vec![a.clone(), b.clone()]),
            not(and(vec![b.clone(), a.clone()])),
            choose(a.clone(), b.clone(), not(b.clone())),
            expr(coalesce, nullable.clone()),
            or(vec![is_null(a.clone()), attempt(b.clone())]),
            expr(bound, nullable),
        ]
    };
    let mut batch = combinations(&types[..3]);
    let doubles: Vec<Value> = (0..batch.num_rows())
        .map(|i| [Value::Double(f64::NAN), Value::Null, Value::Double(0.5)][i * 7 / 3 % 3].clone())
        .collect();
    let columns = [batch.columns(), &[build_array(&DataType::Double, &doubles)]].concat();
    batch = RecordBatch::try_new(to_arrow_schema(&schema(&types)), columns).expect("values fit");
    let mut inner = vec![];
    for (i, a) in leaves.iter().enumerate() {
        for b in &leaves[i..] {
            inner.extend(forms(a, b));
        }
    }
    for (i, a) in inner.iter().enumerate() {
        check(&types, &batch, a);
        let other = &inner[(i * 31 + 7) % inner.len()];
        let form = i % 6;
        check(&types, &batch, &forms(a, &leaves[i % leaves.len()])[form]);
        check(&types, &batch, &forms(a, &leaves[(i + 2) % leaves.len()])[(form + 2) % 6]);
        check(&types, &batch, &forms(a, other)[(form + 1) % 6]);
    }
}
