//! The intermediate code of representative programs, as it is before the processor's own code is made: the same on every machine.

use super::build::*;
use flowc_ir::{CastFailure, DataType, Expr, ExprKind, Program, ProgramStep, Type, Value};

fn golden(name: &str, program: &Program) {
    let text = crate::clif(program).expect("the program compiles");
    insta::with_settings!({ snapshot_path => "snapshots", prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(name, text);
    });
}

fn nullable(data: DataType) -> Type {
    Type::nullable(data)
}

#[test]
fn compare_doubles_by_vectors() {
    let types = [nullable(DataType::Double)];
    let value = column(0, &types[0]);
    let fahrenheit = call("add", vec![call("multiply", vec![value.clone(), double(1.8)]), double(32.0)]);
    let filter = and(vec![
        call("greater", vec![fahrenheit, double(50.0)]),
        call("less_equal", vec![value.clone(), double(125.0)]),
    ]);
    golden("compare_doubles_by_vectors", &program(&types, vec![ProgramStep::Filter(filter)], vec![value]));
}

#[test]
fn words_of_three_valued_logic() {
    let types = [nullable(DataType::Boolean), nullable(DataType::Integer), Type::new(DataType::Double)];
    let filter = or(vec![
        column(0, &types[0]),
        not(call("equal", vec![column(1, &types[1]), integer(3)])),
        is_null(column(1, &types[1])),
        call("isnan", vec![column(2, &types[2])]),
    ]);
    golden("words_of_three_valued_logic", &program(&types, vec![ProgramStep::Filter(filter)], vec![]));
}

#[test]
fn checked_arithmetic() {
    let types = [nullable(DataType::Integer), Type::new(DataType::Long)];
    let sum = call("add", vec![column(0, &types[0]), integer(1)]);
    let quotient = call("div", vec![column(1, &types[1]), call("subtract", vec![column(1, &types[1]), long(7)])]);
    golden("checked_arithmetic", &program(&types, vec![], vec![sum, quotient]));
}

#[test]
fn branches_hide_failures() {
    let types = [Type::new(DataType::Long)];
    let x = column(0, &types[0]);
    let safe = choose(call("equal", vec![x.clone(), long(0)]), long(0), call("div", vec![long(100), x.clone()]));
    golden("branches_hide_failures", &program(&types, vec![], vec![safe, attempt(call("negate", vec![x]))]));
}

#[test]
fn decimals() {
    let types = [
        nullable(DataType::Decimal { precision: 10, scale: 2 }),
        Type::new(DataType::Decimal { precision: 38, scale: 10 }),
    ];
    let (a, b) = (column(0, &types[0]), column(1, &types[1]));
    let outputs = vec![
        call("add", vec![a.clone(), a.clone()]),
        call("multiply", vec![a.clone(), b]),
        cast(a, DataType::Decimal { precision: 5, scale: 1 }, CastFailure::Null),
    ];
    golden("decimals", &program(&types, vec![], outputs));
}

#[test]
fn steps_in_order() {
    let types = [Type::new(DataType::Integer), nullable(DataType::Timestamp)];
    let doubled = call("multiply", vec![column(0, &types[0]), integer(2)]);
    let slot = column(2, &doubled.ty);
    let steps = vec![
        ProgramStep::Filter(call("greater", vec![column(0, &types[0]), integer(0)])),
        ProgramStep::Let(doubled),
        ProgramStep::Assert {
            condition: call("less", vec![slot.clone(), integer(1000)]),
            what: "constraint `c`".into(),
        },
    ];
    let day = cast(column(1, &types[1]), DataType::Date, CastFailure::Never);
    golden("steps_in_order", &program(&types, steps, vec![slot, day]));
}

#[test]
fn lists_and_defaults() {
    let types = [nullable(DataType::Short)];
    let x = column(0, &types[0]);
    let list = vec![Value::Short(1), Value::Short(5), Value::Null];
    let member =
        Expr::new(ExprKind::InList { value: Box::new(x.clone()), list }, nullable(DataType::Boolean), x.origin);
    let fallback = literal(Value::Short(-1), DataType::Short);
    let filled = Expr::new(ExprKind::Coalesce(vec![x, fallback]), Type::new(DataType::Short), member.origin);
    golden("lists_and_defaults", &program(&types, vec![], vec![member, filled]));
}

#[test]
fn strings_go_through_columns() {
    let types = [nullable(DataType::String), nullable(DataType::Double)];
    let long_name = call("like", vec![column(0, &types[0]), literal(Value::String("a%".into()), DataType::String)]);
    let filter = and(vec![call("greater", vec![column(1, &types[1]), double(0.0)]), long_name]);
    let outputs = vec![column(0, &types[0]), call("negate", vec![column(1, &types[1])])];
    golden("strings_go_through_columns", &program(&types, vec![ProgramStep::Filter(filter)], outputs));
}

#[test]
fn project_by_vectors() {
    let types = [nullable(DataType::Double), Type::new(DataType::Float)];
    let celsius = call("divide", vec![call("subtract", vec![column(0, &types[0]), double(32.0)]), double(1.8)]);
    let sum = call("add", vec![column(1, &types[1]), celsius.clone()]);
    golden("project_by_vectors", &program(&types, vec![], vec![celsius, sum]));
}
