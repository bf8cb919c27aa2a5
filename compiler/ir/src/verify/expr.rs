//! The laws of expressions and programs.

use super::{Findings, Law};
use crate::cast::{cast_can_fail, castable};
use crate::expr::{CastFailure, Expr, ExprKind, LocalId, Program, ProgramStep};
use crate::functions::resolve;
use crate::types::{DataType, Schema, Type};
use crate::value::Value;
use std::collections::BTreeSet;

/// What an expression may refer to.
struct Scope<'a> {
    /// The types of the column slots.
    slots: &'a [Type],
    /// The variables around, innermost last.
    locals: Vec<(LocalId, Type)>,
    /// All variables bound in this tree so far.
    bound: BTreeSet<LocalId>,
}

pub(super) fn program(f: &mut Findings, program: &Program) {
    schema(f, "input", &program.input);
    let mut slots: Vec<Type> = program.input.fields.iter().map(|field| field.ty.clone()).collect();
    for (i, step) in program.steps.iter().enumerate() {
        match step {
            ProgramStep::Let(expr) => {
                f.at(&format!("step {i} (let)"), |f| tree(f, expr, &slots));
                slots.push(expr.ty.clone());
            }
            ProgramStep::Filter(condition) => {
                f.at(&format!("step {i} (filter)"), |f| self::condition(f, condition, &slots));
            }
            ProgramStep::Assert { condition, .. } => {
                f.at(&format!("step {i} (assert)"), |f| self::condition(f, condition, &slots));
            }
        }
    }
    for output in &program.outputs {
        f.at(&format!("output `{}`", output.field.name), |f| {
            tree(f, &output.value, &slots);
            let (outer, inner) = (&output.field.ty, &output.value.ty);
            let fits = outer.data == inner.data && (outer.nullable || !inner.nullable);
            f.check(Law::OutputType, fits, || format!("the column is {outer}, its value {inner}"));
        });
    }
    schema(f, "outputs", &program.output_schema());
}

/// No two columns have one name.
pub(super) fn schema(f: &mut Findings, what: &str, schema: &Schema) {
    let mut names = BTreeSet::new();
    for field in &schema.fields {
        f.check(Law::UniqueNames, names.insert(&field.name), || format!("{what}: two columns `{}`", field.name));
    }
}

fn condition(f: &mut Findings, condition: &Expr, slots: &[Type]) {
    tree(f, condition, slots);
    boolean(f, condition);
}

fn boolean(f: &mut Findings, expr: &Expr) {
    f.check(Law::Boolean, expr.ty.data == DataType::Boolean, || format!("a condition is {}", expr.ty));
}

fn tree(f: &mut Findings, expr: &Expr, slots: &[Type]) {
    self::expr(f, expr, &mut Scope { slots, locals: vec![], bound: BTreeSet::new() });
}

fn expr(f: &mut Findings, e: &Expr, scope: &mut Scope<'_>) {
    match &e.kind {
        ExprKind::Let { local, value, body } => {
            expr(f, value, scope);
            f.check(Law::UniqueLocals, scope.bound.insert(*local), || format!("`%{}` is bound twice", local.0));
            scope.locals.push((*local, value.ty.clone()));
            expr(f, body, scope);
            scope.locals.pop();
        }
        _ => e.children().into_iter().for_each(|child| expr(f, child, scope)),
    }
    node(f, e, scope);
}

/// The law that an expression may be null only if its type says so.
fn null(f: &mut Findings, e: &Expr, may_be_null: bool) {
    f.check(Law::Null, e.ty.nullable || !may_be_null, || format!("{} can be null", e.ty));
}

fn same(f: &mut Findings, law: Law, e: &Expr, part: &Expr) {
    f.check(law, e.ty.data == part.ty.data, || format!("{} inside of {}", part.ty, e.ty));
}

fn node(f: &mut Findings, e: &Expr, scope: &Scope<'_>) {
    let any_null = e.children().iter().any(|c| c.ty.nullable);
    match &e.kind {
        ExprKind::Column(index) => match scope.slots.get(*index) {
            Some(slot) => {
                f.check(Law::SlotType, slot.data == e.ty.data, || format!("column {index} is {slot}, not {}", e.ty));
            }
            None => f.report(Law::Scope, format!("there is no column {index}")),
        },
        ExprKind::Local(local) => match scope.locals.iter().rev().find(|(id, _)| id == local) {
            Some((_, ty)) => {
                let fits = ty.data == e.ty.data && (ty.nullable || !e.ty.nullable);
                f.check(Law::SlotType, fits, || format!("`%{}` is {ty}, not {}", local.0, e.ty));
            }
            None => f.report(Law::Scope, format!("there is no variable `%{}`", local.0)),
        },
        ExprKind::Literal(value) => {
            f.check(Law::LiteralType, is_of(value, &e.ty), || format!("{value:?} is not a {}", e.ty));
        }
        ExprKind::Let { body, .. } => {
            same(f, Law::Branches, e, body);
            null(f, e, body.ty.nullable);
        }
        ExprKind::Call { function, args } => call(f, e, function.name, args),
        ExprKind::And(xs) | ExprKind::Or(xs) => {
            f.check(Law::Operands, !xs.is_empty(), || "no operands".into());
            xs.iter().for_each(|x| boolean(f, x));
            boolean(f, e);
            null(f, e, any_null);
        }
        ExprKind::Not(x) => {
            boolean(f, x);
            boolean(f, e);
            null(f, e, any_null);
        }
        ExprKind::IsNull(_) => boolean(f, e),
        ExprKind::If { condition, then, otherwise } => {
            boolean(f, condition);
            same(f, Law::Branches, e, then);
            same(f, Law::Branches, e, otherwise);
            null(f, e, then.ty.nullable || otherwise.ty.nullable);
        }
        ExprKind::Coalesce(xs) => {
            f.check(Law::Operands, !xs.is_empty(), || "no operands".into());
            xs.iter().for_each(|x| same(f, Law::Branches, e, x));
            null(f, e, xs.iter().all(|x| x.ty.nullable));
        }
        ExprKind::InList { value, list } => {
            boolean(f, e);
            let item = value.ty.clone().with_nullable(true);
            for v in list {
                f.check(Law::LiteralType, is_of(v, &item), || format!("{v:?} is not a {item}"));
            }
            null(f, e, any_null || list.iter().any(Value::is_null));
        }
        ExprKind::Cast { value, on_failure } => cast(f, e, value, *on_failure),
        ExprKind::Try(x) => {
            same(f, Law::Branches, e, x);
            null(f, e, true);
        }
        ExprKind::Field { .. } | ExprKind::Struct(_) | ExprKind::Array(_) => nested(f, e),
    }
}

/// A call of a function of the table.
fn call(f: &mut Findings, e: &Expr, name: &str, args: &[Expr]) {
    let types: Vec<Type> = args.iter().map(|a| a.ty.clone()).collect();
    match resolve(name, &types) {
        Ok(found) => {
            for (parameter, given) in found.parameters.iter().zip(&types) {
                let fits = parameter.data == given.data || given.data == DataType::Null;
                f.check(Law::CallType, fits, || format!("`{}` takes {parameter}, not {given}", name));
            }
            let same = found.result.data == e.ty.data;
            f.check(Law::CallType, same, || format!("`{}` yields {}, not {}", name, found.result, e.ty));
            null(f, e, found.result.nullable);
        }
        Err(error) => f.report(Law::CallType, format!("`{}` does not take {types:?}: {error:?}", name)),
    }
}

/// What takes structs and arrays apart and puts them together.
fn nested(f: &mut Findings, e: &Expr) {
    match &e.kind {
        ExprKind::Field { value, index } => match &value.ty.data {
            DataType::Struct(fields) => match fields.get(*index) {
                Some(field) => {
                    f.check(Law::Nested, field.ty.data == e.ty.data, || format!("field {field} read as {}", e.ty));
                }
                None => f.report(Law::Nested, format!("there is no field {index} in {}", value.ty)),
            },
            other => f.report(Law::Nested, format!("a field of {other}")),
        },
        ExprKind::Struct(xs) => match &e.ty.data {
            DataType::Struct(fields) if fields.len() == xs.len() => {
                for (field, x) in fields.iter().zip(xs) {
                    element(f, &field.ty, x);
                }
            }
            other => f.report(Law::Nested, format!("{} values for {other}", xs.len())),
        },
        ExprKind::Array(xs) => match &e.ty.data {
            DataType::Array(item) => xs.iter().for_each(|x| element(f, item, x)),
            other => f.report(Law::Nested, format!("elements for {other}")),
        },
        _ => {}
    }
}

fn element(f: &mut Findings, ty: &Type, x: &Expr) {
    let fits = ty.data == x.ty.data && (ty.nullable || !x.ty.nullable);
    f.check(Law::Nested, fits, || format!("{} where {ty} stands", x.ty));
}

fn cast(f: &mut Findings, e: &Expr, value: &Expr, on_failure: CastFailure) {
    let (from, to) = (&value.ty.data, &e.ty.data);
    f.check(Law::CastType, castable(from, to), || format!("{from} cannot become {to}"));
    if on_failure == CastFailure::Never {
        f.check(Law::CastType, from.widens_to(to), || format!("{from} does not widen to {to}"));
    }
    null(f, e, value.ty.nullable || on_failure == CastFailure::Null && cast_can_fail(from, to));
}

/// Whether the value is one of the type.
pub(crate) fn is_of(value: &Value, ty: &Type) -> bool {
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
        (Value::Decimal(v), DataType::Decimal { precision, .. }) => {
            10u128.checked_pow(u32::from(*precision)).is_some_and(|limit| v.unsigned_abs() < limit)
        }
        (Value::Array(items), DataType::Array(item)) => items.iter().all(|v| is_of(v, item)),
        (Value::Map(entries), DataType::Map(key, item)) => {
            let key = Type::new((**key).clone());
            entries.iter().all(|(k, v)| is_of(k, &key) && is_of(v, item))
        }
        (Value::Struct(values), DataType::Struct(fields)) => {
            values.len() == fields.len() && values.iter().zip(fields).all(|(v, field)| is_of(v, &field.ty))
        }
        _ => false,
    }
}
