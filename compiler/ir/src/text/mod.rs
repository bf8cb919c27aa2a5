//! The text form of programs, graphs and plans: for tests and for people who look into the compiler. `parse(print(x)) == x`. It must not know of what the
//! things mean, beyond the types that it leaves out because they follow.
//!
//! ```text
//! program (id: long, value: double?) {
//!     let $2 = add(id, 1L)                          a further column slot
//!     filter greater(value, 0.0)
//!     assert "constraint `sane`" less(id, 10L)
//!     keep id                                       columns that go out as they came in
//!     out next = $2                                 the type, where it is not the value's: out next: long? = $2
//!     out value = (value : double)                  a type that does not follow: `value` has lost its null
//! }
//! ```
//!
//! Expressions: columns by name or `$slot`, variables `%1`, `(let %1 = x in y)`, calls `add(x, y)`, and the forms `and or not is_null if coalesce try
//! struct array`, `in(x, [1, 2])`, `cast(x as T)`, `cast?(x as T)` (null on failure), `widen(x as T)`, `x.field`. Literals: `1y 1s 1 1L 1.0f 1.0 1.50d`,
//! `"text"`, `x"00ff"`, `@date "2026-11-22"`, `@timestamp …`, `@timestamp_ntz …`, `@duration …`; arrays `[…]`, maps `{k: v}`, structs `<…>`. An origin is
//! `@file:start..end` behind an expression or a line, where origins are printed at all.

mod name;
mod parse_expr;
mod parse_plan;
mod print_expr;
mod print_plan;
mod reader;
mod value;

#[cfg(test)]
mod tests;

pub use reader::TextError;

use crate::expr::{Expr, ExprKind, LocalId, Program};
use crate::functions::resolve;
use crate::graph::Graph;
use crate::plan::Plan;
use crate::types::{DataType, Field, Schema, Type};
use crate::value::Value;

/// Whether places in the source are part of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Origins {
    /// They are left out; parsing gives the default origin.
    #[default]
    Omitted,
    /// They are there.
    Printed,
}

/// The text of a program.
pub fn print_program(program: &Program, origins: Origins) -> String {
    let mut printer = print_expr::Printer::new(origins);
    printer.program(program, Some(&program.input), 0);
    printer.finish()
}

/// The program of a text.
pub fn parse_program(text: &str) -> Result<Program, TextError> {
    let mut reader = reader::Reader::new(text);
    let program = parse_expr::program(&mut reader, None)?;
    reader.end()?;
    Ok(program)
}

/// The text of an expression over these columns.
pub fn print_expr(expr: &Expr, columns: &Schema, origins: Origins) -> String {
    let mut printer = print_expr::Printer::new(origins);
    printer.expr(expr, &mut Scope::new(columns));
    printer.finish()
}

/// The expression of a text over these columns.
pub fn parse_expr(text: &str, columns: &Schema) -> Result<Expr, TextError> {
    let mut reader = reader::Reader::new(text);
    let expr = parse_expr::expr(&mut reader, &mut Scope::new(columns))?;
    reader.end()?;
    Ok(expr)
}

/// The text of a graph.
pub fn print_graph(graph: &Graph, origins: Origins) -> String {
    let mut printer = print_expr::Printer::new(origins);
    print_plan::graph(&mut printer, graph);
    printer.finish()
}

/// The graph of a text.
pub fn parse_graph(text: &str) -> Result<Graph, TextError> {
    let mut reader = reader::Reader::new(text);
    let graph = parse_plan::graph(&mut reader)?;
    reader.end()?;
    Ok(graph)
}

/// The text of a plan.
pub fn print_plan(plan: &Plan, origins: Origins) -> String {
    let mut printer = print_expr::Printer::new(origins);
    print_plan::plan(&mut printer, plan);
    printer.finish()
}

/// The plan of a text.
pub fn parse_plan(text: &str) -> Result<Plan, TextError> {
    let mut reader = reader::Reader::new(text);
    let plan = parse_plan::plan(&mut reader)?;
    reader.end()?;
    Ok(plan)
}

/// The text of a type: `array<struct<a: long?>>?`. Comments of fields are kept.
pub fn print_type(ty: &Type) -> String {
    let mut printer = print_expr::Printer::new(Origins::Omitted);
    printer.ty(ty);
    printer.finish()
}

/// The type of a text.
pub fn parse_type(text: &str) -> Result<Type, TextError> {
    let mut reader = reader::Reader::new(text);
    let ty = reader.ty()?;
    reader.end()?;
    Ok(ty)
}

/// What an expression may refer to, with the types that follow from it.
struct Scope {
    columns: Schema,
    slots: Vec<Type>,
    locals: Vec<(LocalId, Type)>,
}

impl Scope {
    fn new(columns: &Schema) -> Self {
        let slots = columns.fields.iter().map(|f| f.ty.clone()).collect();
        Scope { columns: columns.clone(), slots, locals: vec![] }
    }

    /// The name of a column slot, if it has one that no other has.
    fn name(&self, slot: usize) -> Option<&str> {
        let name = self.columns.fields.get(slot)?.name.as_str();
        let unique = self.columns.fields.iter().filter(|f| f.name == name).count() == 1;
        unique.then_some(name)
    }

    fn local(&self, id: LocalId) -> Option<&Type> {
        self.locals.iter().rev().find(|(l, _)| *l == id).map(|(_, ty)| ty)
    }

    /// The type that follows from an expression's form and parts; the text leaves it out. None: it must be written.
    fn implied(&self, kind: &ExprKind) -> Option<Type> {
        let boolean = |xs: &[&Expr]| Some(Type::boolean().with_nullable(xs.iter().any(|x| x.ty.nullable)));
        match kind {
            ExprKind::Column(slot) => self.slots.get(*slot).cloned(),
            ExprKind::Literal(value) => value_type(value),
            ExprKind::Local(id) => self.local(*id).cloned(),
            ExprKind::Let { body, .. } => Some(body.ty.clone()),
            ExprKind::Call { function, args } => {
                let types: Vec<Type> = args.iter().map(|a| a.ty.clone()).collect();
                resolve(function.name, &types).ok().map(|r| r.result)
            }
            ExprKind::And(xs) | ExprKind::Or(xs) => boolean(&xs.iter().collect::<Vec<_>>()),
            ExprKind::Not(x) => boolean(&[x]),
            ExprKind::IsNull(_) => Some(Type::boolean()),
            ExprKind::If { then, otherwise, .. } => {
                Some(then.ty.clone().with_nullable(then.ty.nullable || otherwise.ty.nullable))
            }
            ExprKind::Coalesce(xs) => Some(xs.first()?.ty.clone().with_nullable(xs.iter().all(|x| x.ty.nullable))),
            ExprKind::InList { value, list } => {
                let nullable = value.ty.nullable || list.iter().any(Value::is_null);
                Some(Type::boolean().with_nullable(nullable))
            }
            ExprKind::Cast { .. } | ExprKind::Struct(_) => None,
            ExprKind::Try(x) => Some(x.ty.clone().with_nullable(true)),
            ExprKind::Field { value, index } => match &value.ty.data {
                DataType::Struct(fields) => {
                    let ty = &fields.get(*index)?.ty;
                    Some(ty.clone().with_nullable(ty.nullable || value.ty.nullable))
                }
                _ => None,
            },
            ExprKind::Array(xs) => {
                let item = xs.first()?.ty.clone().with_nullable(xs.iter().any(|x| x.ty.nullable));
                Some(Type::new(DataType::Array(Box::new(item))))
            }
        }
    }
}

/// The type of a struct of these fields.
fn struct_type(names: &[String], values: &[Expr]) -> Type {
    let fields = names.iter().zip(values).map(|(name, value)| Field::new(name, value.ty.clone()));
    Type::new(DataType::Struct(fields.collect()))
}

/// The type that a literal's form tells.
fn value_type(value: &Value) -> Option<Type> {
    Some(Type::new(match value {
        Value::Null => return Some(Type::null()),
        Value::Boolean(_) => DataType::Boolean,
        Value::Byte(_) => DataType::Byte,
        Value::Short(_) => DataType::Short,
        Value::Integer(_) => DataType::Integer,
        Value::Long(_) => DataType::Long,
        Value::Float(_) => DataType::Float,
        Value::Double(_) => DataType::Double,
        Value::String(_) => DataType::String,
        Value::Binary(_) => DataType::Binary,
        Value::Date(_) => DataType::Date,
        Value::Timestamp(_) => DataType::Timestamp,
        Value::TimestampNtz(_) => DataType::TimestampNtz,
        Value::Duration(_) => DataType::Duration,
        Value::Decimal(_) | Value::Array(_) | Value::Map(_) | Value::Struct(_) => return None,
    }))
}
