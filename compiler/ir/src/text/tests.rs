//! `parse(print(x)) == x`, for what is generated and for what generators do not make; and that wrong texts are refused, not followed.

use super::*;
use crate::expr::{CastFailure, LocalId, Origin, Output, ProgramStep};
use crate::testgen::{Generator, Options};
use crate::verify::tests::plan as every_operator;
use proptest::prelude::*;

fn literal(value: Value, ty: Type) -> Expr {
    Expr::new(ExprKind::Literal(value), ty, Origin::default())
}

/// Equality of values does not see -0.0 or the bits of a double; the text keeps them.
fn same_bits(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Double(a), Value::Double(b)) => a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan(),
        (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan(),
        _ => a == b,
    }
}

#[test]
fn every_literal_survives() {
    let new = Type::new;
    let decimal = |precision, scale| DataType::Decimal { precision, scale };
    let list = DataType::Array(Box::new(Type::nullable(decimal(5, 2))));
    let map = DataType::Map(Box::new(DataType::String), Box::new(Type::nullable(DataType::Double)));
    let point = DataType::Struct(vec![
        Field::new("x y", new(DataType::Long)),
        Field { comment: Some("a \"comment\"".into()), ..Field::new("d", Type::nullable(DataType::Date)) },
    ]);
    let literals = vec![
        (Value::Null, Type::null()),
        (Value::Null, Type::nullable(list.clone())),
        (Value::Null, new(DataType::Null)),
        (Value::Boolean(true), Type::nullable(DataType::Boolean)),
        (Value::Byte(i8::MIN), new(DataType::Byte)),
        (Value::Short(-1), new(DataType::Short)),
        (Value::Integer(i32::MIN), new(DataType::Integer)),
        (Value::Long(i64::MIN), new(DataType::Long)),
        (Value::Float(-0.0), new(DataType::Float)),
        (Value::Float(f32::NEG_INFINITY), new(DataType::Float)),
        (Value::Float(1e-40), new(DataType::Float)),
        (Value::Double(f64::NAN), new(DataType::Double)),
        (Value::Double(f64::NEG_INFINITY), new(DataType::Double)),
        (Value::Double(5e-324), new(DataType::Double)),
        (Value::Double(-0.0), new(DataType::Double)),
        (Value::Double(1e300), new(DataType::Double)),
        (Value::Decimal(0), new(decimal(1, 0))),
        (Value::Decimal(-5), new(decimal(2, 2))),
        (Value::Decimal(-150), new(decimal(10, 2))),
        (Value::Decimal(10i128.pow(38) - 1), new(decimal(38, 38))),
        (Value::String("a \"quoted\" \\ line\n\u{1}é{}".into()), new(DataType::String)),
        (Value::Binary(vec![0, 255]), new(DataType::Binary)),
        (Value::Date(i32::MIN), new(DataType::Date)),
        (Value::Date(-1), new(DataType::Date)),
        (Value::Timestamp(i64::MAX), new(DataType::Timestamp)),
        (Value::Timestamp(1_700_000_000_123_456), new(DataType::Timestamp)),
        (Value::TimestampNtz(-1), new(DataType::TimestampNtz)),
        (Value::Duration(i64::MIN), new(DataType::Duration)),
        (Value::Duration(90_000_000), new(DataType::Duration)),
        (Value::Array(vec![Value::Decimal(150), Value::Null]), new(list)),
        (Value::Map(vec![(Value::String("k".into()), Value::Double(0.5))]), new(map)),
        (Value::Struct(vec![Value::Long(1), Value::Date(3)]), new(point)),
        // Not one of its type: the verifier's matter, not the text's.
        (Value::Integer(1), new(DataType::Long)),
    ];
    for (value, ty) in literals {
        let expr = literal(value.clone(), ty);
        let text = print_expr(&expr, &Schema::default(), Origins::Omitted);
        let back = parse_expr(&text, &Schema::default()).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(back, expr, "{text}");
        let ExprKind::Literal(found) = &back.kind else { panic!("{back:?}") };
        assert!(same_bits(&value, found), "{text}: {found:?}");
    }
}

#[test]
fn what_is_unusual_survives() {
    let (long, origin) = (Type::new(DataType::Long), Origin { file: 2, start: 3, end: 9 });
    let inner = Field::new("in", Type::nullable(DataType::Long));
    let columns = Schema::new(vec![
        Field::new("true", long.clone()),
        Field::new("a b`c", long.clone()),
        Field::new("twice", long.clone()),
        Field::new("twice", long.clone()),
        Field::new("s", Type::new(DataType::Struct(vec![inner.clone(), inner]))),
    ]);
    let expr = |kind, ty: &Type| Expr::new(kind, ty.clone(), origin);
    let column = |slot, ty: &Type| expr(ExprKind::Column(slot), ty);
    let nullable = Type::nullable(DataType::Long);
    let boxed = Box::new;
    let field = expr(ExprKind::Field { value: boxed(column(4, &columns.fields[4].ty)), index: 1 }, &long);
    let local = |ty: &Type| expr(ExprKind::Local(LocalId(7)), ty);
    let bound = ExprKind::Let { local: LocalId(7), value: boxed(column(0, &long)), body: boxed(local(&long)) };
    let exprs = [
        column(0, &nullable),
        column(1, &long),
        column(3, &long),
        column(9, &long),
        field.clone(),
        expr(ExprKind::Field { value: boxed(field), index: 3 }, &long),
        expr(bound.clone(), &long),
        expr(bound, &nullable),
        local(&long),
        expr(ExprKind::And(vec![]), &long),
        expr(ExprKind::Array(vec![]), &nullable),
        expr(ExprKind::Struct(vec![column(0, &long)]), &long),
        expr(ExprKind::Cast { value: boxed(column(0, &long)), on_failure: CastFailure::Null }, &nullable),
        expr(ExprKind::Try(boxed(column(0, &nullable))), &long),
    ];
    for expr in exprs {
        let text = print_expr(&expr, &columns, Origins::Printed);
        assert_eq!(parse_expr(&text, &columns).unwrap_or_else(|e| panic!("{text}: {e}")), expr, "{text}");
    }
}

#[test]
fn a_program_as_it_looks() {
    let columns = Schema::new(vec![
        Field::new("id", Type::new(DataType::Long)),
        Field { comment: Some("in degrees".into()), ..Field::new("value", Type::nullable(DataType::Double)) },
    ]);
    let text = r#"program (id: long, value: double? "in degrees") {
    let $2 = add(id, 1L)
    filter greater(value, 0.0)
    assert "constraint `sane`" less(id, 10L)
    out id = $2
    out value: double? "again" = (value : double)
    out small = cast?(id as byte?)
}"#;
    let program = parse_program(text).expect("it is a program");
    assert_eq!(program.input, columns);
    assert_eq!(program.steps.len(), 3);
    assert!(matches!(&program.steps[0], ProgramStep::Let(e) if e.ty == Type::new(DataType::Long)));
    assert_eq!(print_program(&program, Origins::Omitted), text);
    assert_eq!(crate::verify::verify_program(&program), Ok(()));
}

#[test]
fn every_operator_survives() {
    let mut plan = every_operator();
    let (origin, key) = (Origin { file: 1, start: 2, end: 3 }, vec!["a b".to_string()]);
    plan.graph.nodes[1].kind = crate::graph::Kind::Changing { key };
    plan.graph.nodes[1].origin = origin;
    plan.graph.nodes[6].schema.fields.pop();
    plan.sources[0].start = Some(crate::plan::VersionSpec::Timestamp(3));
    plan.tables[0].version = Some(crate::plan::VersionSpec::Number(7));
    plan.tables[0].origin = origin;
    plan.sinks[0].properties.insert("k".into(), "v".into());
    plan.sinks[0].description = Some("text".into());
    plan.sinks[0].constraints = vec![("sane".into(), "a > 'x'".into())];
    let crate::graph::Operator::Aggregate(aggregate) = &mut plan.graph.nodes[7].operator else {
        panic!("an aggregate")
    };
    aggregate.aggregates[0].constants = vec![Value::Double(0.5), Value::Long(3)];
    aggregate.aggregates[0].filter = Some(2);
    let text = print_plan(&plan, Origins::Printed);
    assert_eq!(parse_plan(&text).unwrap_or_else(|e| panic!("{e}\n{}", &text[e.at..])), plan, "{text}");
    assert_eq!(parse_graph(&print_graph(&plan.graph, Origins::Printed)).as_ref(), Ok(&plan.graph));
    insta::assert_snapshot!(print_plan(&every_operator(), Origins::Omitted));
}

#[test]
fn no_function_is_called_like_a_form() {
    let forms = ["and", "or", "not", "is_null", "if", "coalesce", "try", "array", "struct", "in", "cast", "widen"];
    assert!(forms.iter().all(|form| crate::functions::find(form).is_none()));
}

#[test]
fn wrong_texts_are_refused() {
    let columns = Schema::new(vec![Field::new("a", Type::new(DataType::Long))]);
    let deep = format!("{}a{}", "not(".repeat(10_000), ")".repeat(10_000));
    for text in [
        "",
        "b",
        "add(a",
        "nosuch(a)",
        "if(a, a)",
        "1x",
        "(a : nothing)",
        "\"open",
        "a a",
        "a.b",
        &deep,
        "@date \"x\"",
        "-",
    ] {
        assert!(parse_expr(text, &columns).is_err(), "{text}");
    }
    for text in
        ["program", "program (a: long) { out }", "program (a: long) { let $5 = a }", "program (a: long) { go a }"]
    {
        assert!(parse_program(text).is_err(), "{text}");
    }
    for text in ["graph {", "graph { 1: union \"u\" }", "graph { 0: source 0 \"s\" }", "graph { 0: nothing \"s\" }"] {
        assert!(parse_graph(text).is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn generated_programs_survive(seed: u64, origins: bool) {
        let mut generator = Generator::new(seed, Options::default());
        let mut program = generator.program();
        let mut next = 0;
        let mut place = |e: &mut Expr| {
            next += 1;
            e.origin = if origins { Origin { file: 1, start: next, end: next + 1 } } else { Origin::default() };
        };
        for step in &mut program.steps {
            match step {
                ProgramStep::Let(e) | ProgramStep::Filter(e) => e.walk_mut(&mut place),
                ProgramStep::Assert { condition, .. } => condition.walk_mut(&mut place),
            }
        }
        program.outputs.iter_mut().for_each(|o: &mut Output| o.value.walk_mut(&mut place));
        let text = print_program(&program, if origins { Origins::Printed } else { Origins::Omitted });
        let back = parse_program(&text);
        prop_assert_eq!(back.as_ref(), Ok(&program), "{}", text);
    }

    #[test]
    fn generated_programs_keep_the_laws(seed: u64) {
        let program = Generator::new(seed, Options::default()).program();
        let text = print_program(&program, Origins::Omitted);
        prop_assert_eq!(crate::verify::verify_program(&program), Ok(()), "{}", text);
    }

    #[test]
    fn damaged_texts_never_panic(seed: u64, at: usize, sign in "[(){}<>@.:$%\"0-9a-z,]{0,3}") {
        let program = Generator::new(seed, Options::default()).program();
        let mut text = print_program(&program, Origins::Omitted);
        let mut position = at % text.len();
        while !text.is_char_boundary(position) {
            position -= 1;
        }
        text.replace_range(position..position, &sign);
        if let Ok(program) = parse_program(&text) {
            print_program(&program, Origins::Printed);
        }
    }
}
