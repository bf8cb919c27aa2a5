//! Text to expressions and programs.

use super::reader::{Parsed, Reader};
use super::{Scope, struct_type, value};
use crate::expr::{CastFailure, Expr, ExprKind, LocalId, Origin, Output, Program, ProgramStep};
use crate::functions::find;
use crate::types::{DataType, Field, Schema, Type};

/// A program; its input is written unless it is given.
pub(super) fn program(r: &mut Reader<'_>, input: Option<&Schema>) -> Parsed<Program> {
    r.expect_word("program")?;
    let input = match input {
        Some(input) if r.peek() == Some('{') => input.clone(),
        _ => r.schema()?,
    };
    let mut scope = Scope::new(&input);
    let mut program = Program { input, steps: vec![], outputs: vec![] };
    r.expect("{")?;
    while !r.eat("}") {
        match r.word()? {
            "let" => {
                r.expect("$")?;
                if r.number::<usize>()? != scope.slots.len() {
                    return r.fail(format!("the next slot is ${}", scope.slots.len()));
                }
                r.expect("=")?;
                let value = expr(r, &mut scope)?;
                scope.slots.push(value.ty.clone());
                program.steps.push(ProgramStep::Let(value));
            }
            "filter" => program.steps.push(ProgramStep::Filter(expr(r, &mut scope)?)),
            "assert" => {
                let what = r.string()?;
                program.steps.push(ProgramStep::Assert { condition: expr(r, &mut scope)?, what });
            }
            "keep" => loop {
                let name = r.name()?;
                let Some(slot) = scope.columns.index_of(&name) else {
                    return r.fail(format!("there is no column `{name}`"));
                };
                let field = scope.columns.fields[slot].clone();
                let value = Expr::new(ExprKind::Column(slot), field.ty.clone(), Origin::default());
                program.outputs.push(Output { field, value });
                if !r.eat(",") {
                    break;
                }
            },
            "out" => program.outputs.push(output(r, &mut scope)?),
            other => return r.fail(format!("`{other}` is no step")),
        }
    }
    Ok(program)
}

fn output(r: &mut Reader<'_>, scope: &mut Scope) -> Parsed<Output> {
    let name = r.name()?;
    let (mut ty, mut comment) = (None, None);
    if r.eat(":") {
        ty = Some(r.ty()?);
        if r.peek() == Some('"') {
            comment = Some(r.string()?);
        }
    }
    r.expect("=")?;
    let value = expr(r, scope)?;
    let ty = ty.unwrap_or_else(|| value.ty.clone());
    Ok(Output { field: Field { name, ty, comment }, value })
}

/// An expression with its type and origin.
pub(super) fn expr(r: &mut Reader<'_>, scope: &mut Scope) -> Parsed<Expr> {
    r.nested(|r| {
        let mut found = primary(r, scope)?;
        loop {
            let origin = r.origin()?;
            if origin != Origin::default() {
                found.origin = origin;
            }
            if !r.eat(".") {
                return Ok(found);
            }
            let kind = field(r, found)?;
            found = typed(r, scope, kind, None)?;
        }
    })
}

fn typed(r: &Reader<'_>, scope: &Scope, kind: ExprKind, written: Option<Type>) -> Parsed<Expr> {
    match written.or_else(|| scope.implied(&kind)) {
        Some(ty) => Ok(Expr::new(kind, ty, Origin::default())),
        None => r.fail("the type does not follow: write `(… : type)`"),
    }
}

fn field(r: &mut Reader<'_>, value: Expr) -> Parsed<ExprKind> {
    let value = Box::new(value);
    if r.peek().is_some_and(|c| c.is_ascii_digit()) {
        return Ok(ExprKind::Field { value, index: r.number()? });
    }
    let name = r.name()?;
    let position = match &value.ty.data {
        DataType::Struct(fields) => fields.iter().position(|f| f.name == name),
        _ => None,
    };
    match position {
        Some(index) => Ok(ExprKind::Field { value, index }),
        None => r.fail(format!("there is no field `{name}` in {}", value.ty)),
    }
}

fn primary(r: &mut Reader<'_>, scope: &mut Scope) -> Parsed<Expr> {
    if !r.eat("(") {
        let (kind, ty) = form(r, scope)?;
        return typed(r, scope, kind, ty);
    }
    if r.eat_word("let") {
        let bound = binding(r, scope)?;
        return typed(r, scope, bound, None);
    }
    // With its type. The form may end with an origin and fields of its own: then it is a whole expression.
    let inner = if r.peek() == Some('(') || is_path(r) { whole(r, scope)? } else { form(r, scope)? };
    r.expect(":")?;
    let ty = r.ty()?;
    r.expect(")")?;
    typed(r, scope, inner.0, Some(ty))
}

/// Whether what comes next may have `.field` behind it.
fn is_path(r: &mut Reader<'_>) -> bool {
    !value::begins(r)
}

/// The form of an expression whose own type is still to come: fields behind it are taken, the last of them is the form.
fn whole(r: &mut Reader<'_>, scope: &mut Scope) -> Parsed<(ExprKind, Option<Type>)> {
    let (mut kind, mut ty) = if r.peek() == Some('(') {
        let inner = primary(r, scope)?;
        (inner.kind, Some(inner.ty))
    } else {
        form(r, scope)?
    };
    loop {
        let origin = r.origin()?;
        if !r.eat(".") {
            return Ok((kind, ty));
        }
        let mut value = typed(r, scope, kind, ty)?;
        value.origin = origin;
        (kind, ty) = (field(r, value)?, None);
    }
}

fn binding(r: &mut Reader<'_>, scope: &mut Scope) -> Parsed<ExprKind> {
    r.expect("%")?;
    let local = LocalId(r.number()?);
    r.expect("=")?;
    let value = Box::new(expr(r, scope)?);
    r.expect_word("in")?;
    scope.locals.push((local, value.ty.clone()));
    let body = expr(r, scope);
    scope.locals.pop();
    let body = Box::new(body?);
    r.expect(")")?;
    Ok(ExprKind::Let { local, value, body })
}

/// A form of expression, with its type where the form has it.
fn form(r: &mut Reader<'_>, scope: &mut Scope) -> Parsed<(ExprKind, Option<Type>)> {
    if r.eat("$") {
        return Ok((ExprKind::Column(r.number()?), None));
    }
    if r.eat("%") {
        return Ok((ExprKind::Local(LocalId(r.number()?)), None));
    }
    if value::begins(r) {
        let (literal, digits) = value::parse(r)?;
        let ty = digits.map(|(precision, scale)| Type::new(DataType::Decimal { precision, scale }));
        return Ok((ExprKind::Literal(literal), ty));
    }
    let quoted = r.peek() == Some('`');
    let name = r.name()?;
    if !quoted && r.eat("?(") {
        return cast(r, scope, &format!("{name}?"));
    }
    if quoted || !r.eat("(") {
        return match scope.columns.index_of(&name) {
            Some(slot) => Ok((ExprKind::Column(slot), None)),
            None => r.fail(format!("there is no column `{name}`")),
        };
    }
    call(r, scope, &name)
}

fn cast(r: &mut Reader<'_>, scope: &mut Scope, word: &str) -> Parsed<(ExprKind, Option<Type>)> {
    let on_failure = match word {
        "widen" => CastFailure::Never,
        "cast" => CastFailure::Error,
        "cast?" => CastFailure::Null,
        _ => return r.fail(format!("`{word}` is no conversion")),
    };
    let value = Box::new(expr(r, scope)?);
    r.expect_word("as")?;
    let ty = r.ty()?;
    r.expect(")")?;
    Ok((ExprKind::Cast { value, on_failure }, Some(ty)))
}

/// What stands behind a word and a parenthesis.
fn call(r: &mut Reader<'_>, scope: &mut Scope, word: &str) -> Parsed<(ExprKind, Option<Type>)> {
    match word {
        "cast" | "widen" => return cast(r, scope, word),
        "in" => {
            let value = Box::new(expr(r, scope)?);
            r.expect(",")?;
            r.expect("[")?;
            let list = r.list("]", |r| value::parse(r).map(|(v, _)| v))?;
            r.expect(")")?;
            return Ok((ExprKind::InList { value, list }, None));
        }
        "struct" => {
            let fields = r.list(")", |r| {
                let name = r.name()?;
                r.expect(":")?;
                Ok((name, expr(r, scope)?))
            })?;
            let (names, values): (Vec<String>, Vec<Expr>) = fields.into_iter().unzip();
            let ty = struct_type(&names, &values);
            return Ok((ExprKind::Struct(values), Some(ty)));
        }
        _ => {}
    }
    let mut args = r.list(")", |r| expr(r, scope))?;
    let one = |args: &mut Vec<Expr>| if args.len() == 1 { args.pop().map(Box::new) } else { None };
    let kind = match word {
        "and" => Some(ExprKind::And(args)),
        "or" => Some(ExprKind::Or(args)),
        "coalesce" => Some(ExprKind::Coalesce(args)),
        "array" => Some(ExprKind::Array(args)),
        "not" => one(&mut args).map(ExprKind::Not),
        "is_null" => one(&mut args).map(ExprKind::IsNull),
        "try" => one(&mut args).map(ExprKind::Try),
        "if" => match <[Expr; 3]>::try_from(args) {
            Ok([condition, then, otherwise]) => {
                let (condition, then, otherwise) = (Box::new(condition), Box::new(then), Box::new(otherwise));
                Some(ExprKind::If { condition, then, otherwise })
            }
            Err(_) => None,
        },
        name => match find(name) {
            Some(function) => Some(ExprKind::Call { function, args }),
            None => return r.fail(format!("there is no function `{name}`")),
        },
    };
    match kind {
        Some(kind) => Ok((kind, None)),
        None => r.fail(format!("`{word}` takes another number of operands")),
    }
}
