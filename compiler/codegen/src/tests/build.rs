//! Short names for making expressions and programs by hand.

use flowc_ir::functions::resolve;
use flowc_ir::{
    CastFailure, DataType, Expr, ExprKind, Field, Origin, Output, Program, ProgramStep, Schema, Type, Value,
};

pub(crate) fn expr(kind: ExprKind, ty: Type) -> Expr {
    Expr::new(kind, ty, Origin::default())
}

/// A column; its type is found when it is put into a program made by [`program`].
pub(crate) fn column(slot: usize, ty: &Type) -> Expr {
    expr(ExprKind::Column(slot), ty.clone())
}

pub(crate) fn literal(value: Value, data: DataType) -> Expr {
    let nullable = value.is_null();
    expr(ExprKind::Literal(value), Type { data, nullable })
}

pub(crate) fn double(v: f64) -> Expr {
    literal(Value::Double(v), DataType::Double)
}

pub(crate) fn long(v: i64) -> Expr {
    literal(Value::Long(v), DataType::Long)
}

pub(crate) fn integer(v: i32) -> Expr {
    literal(Value::Integer(v), DataType::Integer)
}

/// A call, its operands widened as the type checker does.
pub(crate) fn call(name: &str, args: Vec<Expr>) -> Expr {
    let types: Vec<Type> = args.iter().map(|a| a.ty.clone()).collect();
    let resolution = resolve(name, &types).unwrap_or_else(|e| panic!("{name}({types:?}): {e:?}"));
    let args =
        args.into_iter().zip(&resolution.parameters).map(|(arg, parameter)| match arg.ty.data == parameter.data {
            true => arg,
            false => cast(arg, parameter.data.clone(), CastFailure::Never),
        });
    expr(ExprKind::Call { function: resolution.function, args: args.collect() }, resolution.result)
}

pub(crate) fn cast(value: Expr, to: DataType, on_failure: CastFailure) -> Expr {
    let nullable = value.ty.nullable || on_failure == CastFailure::Null;
    expr(ExprKind::Cast { value: Box::new(value), on_failure }, Type { data: to, nullable })
}

pub(crate) fn and(xs: Vec<Expr>) -> Expr {
    let nullable = xs.iter().any(|x| x.ty.nullable);
    expr(ExprKind::And(xs), Type { data: DataType::Boolean, nullable })
}

pub(crate) fn or(xs: Vec<Expr>) -> Expr {
    let nullable = xs.iter().any(|x| x.ty.nullable);
    expr(ExprKind::Or(xs), Type { data: DataType::Boolean, nullable })
}

pub(crate) fn not(x: Expr) -> Expr {
    let ty = x.ty.clone();
    expr(ExprKind::Not(Box::new(x)), ty)
}

pub(crate) fn is_null(x: Expr) -> Expr {
    expr(ExprKind::IsNull(Box::new(x)), Type::boolean())
}

pub(crate) fn choose(condition: Expr, then: Expr, otherwise: Expr) -> Expr {
    let ty = then.ty.clone().with_nullable(then.ty.nullable || otherwise.ty.nullable);
    let kind = ExprKind::If { condition: Box::new(condition), then: Box::new(then), otherwise: Box::new(otherwise) };
    expr(kind, ty)
}

pub(crate) fn attempt(x: Expr) -> Expr {
    let ty = x.ty.clone().with_nullable(true);
    expr(ExprKind::Try(Box::new(x)), ty)
}

pub(crate) fn schema(types: &[Type]) -> Schema {
    Schema::new(types.iter().enumerate().map(|(i, ty)| Field::new(format!("c{i}"), ty.clone())).collect())
}

pub(crate) fn program(types: &[Type], steps: Vec<ProgramStep>, outputs: Vec<Expr>) -> Program {
    let output = |(i, value): (usize, Expr)| Output { field: Field::new(format!("o{i}"), value.ty.clone()), value };
    Program { input: schema(types), steps, outputs: outputs.into_iter().enumerate().map(output).collect() }
}
