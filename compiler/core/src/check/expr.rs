//! Expressions: literals, strings, structs and arrays, conversion, and the way to the other topics.

use crate::check::scope::Env;
use crate::check::types::{constant_of, span_of};
use crate::check::{Checker, article, constant, origin};
use crate::codes;
use flowc_ir::{CastFailure, DataType, Expr, ExprKind, Field, Type, Value, functions};
use flowc_syntax::ast::{self, ExprKind as Ast, Name, StringPart, TypeExpr, UnaryOp};
use flowc_syntax::diagnostic::Diagnostic;
use flowc_syntax::span::Span;

/// How deep an expression may be with its functions inlined: everything behind the checker recurses over it.
const MAX_LEVEL: usize = 400;

impl Checker<'_> {
    /// Types an expression; `None`: it is wrong, or depends on something wrong, and that was reported.
    pub(super) fn expr(&self, env: &mut Env<'_>, e: &ast::Expr) -> Option<Expr> {
        if env.level >= MAX_LEVEL {
            // Only functions within functions come here: the parser refuses what is written so deep.
            self.too_large.set(true);
            return None;
        }
        env.level += 1;
        let typed = self.form(env, e);
        env.level -= 1;
        if let (Some(typed), 0) = (&typed, env.depth) {
            self.note_type(e.span, &typed.ty);
        }
        typed
    }

    fn form(&self, env: &mut Env<'_>, e: &ast::Expr) -> Option<Expr> {
        match &e.kind {
            Ast::Null
            | Ast::Boolean(_)
            | Ast::Integer(_)
            | Ast::Double(_)
            | Ast::Decimal { .. }
            | Ast::Percent(_)
            | Ast::RawString(_)
            | Ast::Date(_)
            | Ast::Timestamp(_)
            | Ast::TimestampNtz(_)
            | Ast::Duration(_) => Some(literal(&e.kind, e.span)),
            Ast::String(parts) => self.string(env, parts, e.span),
            Ast::Array(items) => self.array(env, items, e.span),
            Ast::Struct(fields) => self.struct_literal(env, fields, e.span),
            Ast::Name(name) => self.name(env, name),
            Ast::Field(base, field) => self.field(env, base, field, e.span),
            Ast::Index(base, index) => self.index(env, base, index, e.span),
            Ast::Call { function, args, filter } => self.call(env, function, args, filter.as_deref(), e.span),
            Ast::Unary(op, value) => self.unary(env, *op, value, e.span),
            Ast::Binary { op, op_span, left, right } => self.binary(env, *op, *op_span, (left, right), e.span),
            Ast::IsNull { value, negated } => self.is_null(env, value, *negated, e.span),
            Ast::Between { value, low, high, negated } => self.between(env, value, low, high, *negated, e.span),
            Ast::In { value, list, negated } => self.membership(env, value, list, *negated, e.span),
            Ast::Like { value, pattern, negated } => {
                let value = self.expr(env, value);
                let matched = self.like(env, value, pattern, e.span);
                matched.map(|m| negate_if(m, *negated))
            }
            Ast::Matches { value, pattern, negated } => {
                let value = self.expr(env, value);
                let matched = self.matches(env, value, pattern, e.span);
                matched.map(|m| negate_if(m, *negated))
            }
            Ast::If { condition, then, otherwise } => self.conditional(env, condition, then, otherwise, e.span),
            Ast::Match { value, arms } => self.match_expr(env, value, arms, e.span),
            Ast::Cast { value, ty } => self.cast(env, value, ty, e.span),
            Ast::Error => None,
        }
    }

    /// An expression that must be a boolean; `what` says where it stands.
    pub(super) fn condition(&self, env: &mut Env<'_>, e: &ast::Expr, what: &str) -> Option<Expr> {
        let condition = self.expr(env, e)?;
        self.boolean(condition, what)
    }

    /// Requires a boolean.
    pub(super) fn boolean(&self, e: Expr, what: &str) -> Option<Expr> {
        if let Some(e) = self.widened(e.clone(), &DataType::Boolean) {
            return Some(e);
        }
        let help = match &e.ty.data {
            d if d.is_numeric() => "compare it: `… != 0`",
            DataType::String => "compare it: `… == \"text\"`, or convert it: `… as boolean`",
            _ => "compare it with something",
        };
        self.report(
            Diagnostic::error(codes::NOT_A_CONDITION, span_of(&e), format!("{what} must be a boolean"))
                .label(format!("this is {}", article(&e.ty)))
                .help(help),
        );
        None
    }

    fn string(&self, env: &mut Env<'_>, parts: &[StringPart], span: Span) -> Option<Expr> {
        let at = origin(span);
        let text = |s: String| Expr::new(ExprKind::Literal(Value::String(s)), Type::new(DataType::String), at);
        let mut pieces: Vec<Expr> = vec![];
        let mut sound = true;
        for part in parts {
            match part {
                StringPart::Text(s) => pieces.push(text(s.clone())),
                StringPart::Expr(e) => match self.expr(env, e).and_then(|v| self.as_text(v)) {
                    Some(piece) => pieces.push(piece),
                    None => sound = false,
                },
            }
        }
        if !sound {
            return None;
        }
        let mut joined: Vec<Expr> = vec![];
        for piece in pieces {
            match (joined.last_mut().map(|p| &mut p.kind), &piece.kind) {
                (Some(ExprKind::Literal(Value::String(before))), ExprKind::Literal(Value::String(s))) => {
                    before.push_str(s)
                }
                _ => joined.push(piece),
            }
        }
        match joined.len() {
            0 => Some(text(String::new())),
            1 => joined.pop().map(|e| Expr { origin: at, ..e }),
            _ => self.built_in("concat", joined, span),
        }
    }

    /// A value as it is shown in a string: null is `null`.
    fn as_text(&self, value: Expr) -> Option<Expr> {
        if value.ty == Type::new(DataType::String) {
            return Some(value);
        }
        let span = span_of(&value);
        let shown = self.built_in("to_text", vec![value], span)?;
        let constant = shown.children().iter().all(|a| constant_of(a).is_some());
        match constant.then(|| constant::evaluate(&shown)).flatten() {
            Some(value) => Some(Expr { kind: ExprKind::Literal(value), ..shown }),
            None => Some(shown),
        }
    }

    fn array(&self, env: &mut Env<'_>, items: &[ast::Expr], span: Span) -> Option<Expr> {
        let items = self.all(env, items)?;
        let (items, item) = self.unified(items, codes::NO_COMMON_TYPE, "the elements of an array")?;
        let item = if items.is_empty() { Type::new(DataType::Null) } else { item };
        Some(Expr::new(ExprKind::Array(items), Type::new(DataType::Array(Box::new(item))), origin(span)))
    }

    /// Types several expressions; all are checked even if one is wrong.
    pub(super) fn all(&self, env: &mut Env<'_>, es: &[ast::Expr]) -> Option<Vec<Expr>> {
        let typed: Vec<Option<Expr>> = es.iter().map(|e| self.expr(env, e)).collect();
        typed.into_iter().collect()
    }

    fn struct_literal(&self, env: &mut Env<'_>, fields: &[(Name, ast::Expr)], span: Span) -> Option<Expr> {
        let mut values = vec![];
        let mut types: Vec<Field> = vec![];
        let mut sound = true;
        for (i, (name, value)) in fields.iter().enumerate() {
            if let Some((before, _)) = fields[..i].iter().find(|(n, _)| n.text == name.text) {
                self.duplicate("fields", &name.text, name.span, before.span);
                sound = false;
            }
            match self.expr(env, value) {
                Some(value) => {
                    types.push(Field::new(name.text.clone(), value.ty.clone()));
                    values.push(value);
                }
                None => sound = false,
            }
        }
        sound.then(|| Expr::new(ExprKind::Struct(values), Type::new(DataType::Struct(types)), origin(span)))
    }

    fn index(&self, env: &mut Env<'_>, base: &ast::Expr, index: &ast::Expr, span: Span) -> Option<Expr> {
        let (base, index) = (self.expr(env, base), self.expr(env, index));
        let (base, index) = (base?, index?);
        let expected = match &base.ty.data {
            DataType::Array(_) if index.ty.data.is_integer() => None,
            DataType::Array(_) => Some("a whole number".to_string()),
            DataType::Map(key, _) if index.ty.data.widens_to(key) => None,
            DataType::Map(key, _) => Some(article(key)),
            _ => {
                let help = match &base.ty.data {
                    DataType::Struct(_) => "a struct's fields are read with a point: `a.b`",
                    DataType::String => "a part of a string is `substring(text, start, length)`",
                    _ => "only arrays and maps have elements",
                };
                self.report(
                    Diagnostic::error(
                        codes::NOT_INDEXABLE,
                        span_of(&base),
                        format!("{} has no elements", article(&base.ty)),
                    )
                    .label("not an array or a map")
                    .help(help),
                );
                return None;
            }
        };
        if let Some(expected) = expected {
            self.report(
                Diagnostic::error(
                    codes::BAD_INDEX,
                    span_of(&index),
                    format!("an element of {} is chosen by {expected}", article(&base.ty.data)),
                )
                .label(format!("this is {}", article(&index.ty)))
                .help("convert it with `as`"),
            );
            return None;
        }
        self.built_in("index", vec![base, index], span)
    }

    fn unary(&self, env: &mut Env<'_>, op: UnaryOp, value: &ast::Expr, span: Span) -> Option<Expr> {
        match (op, &value.kind) {
            (UnaryOp::Negate, Ast::Integer(n)) => Some(constant::integer_literal(n.checked_neg()?, origin(span))),
            (UnaryOp::Negate, Ast::Double(x)) => Some(literal(&Ast::Double(-x), span)),
            (UnaryOp::Negate, Ast::Percent(x)) => Some(literal(&Ast::Percent(-x), span)),
            (UnaryOp::Negate, Ast::Duration(x)) => Some(literal(&Ast::Duration(x.checked_neg()?), span)),
            (UnaryOp::Negate, Ast::Decimal { unscaled, precision, scale }) => {
                let negative = Ast::Decimal { unscaled: -unscaled, precision: *precision, scale: *scale };
                Some(literal(&negative, span))
            }
            (UnaryOp::Negate, _) => {
                let value = self.expr(env, value)?;
                self.operator("negate", "-", span, vec![value], span)
            }
            (UnaryOp::Not, _) => {
                let value = self.condition(env, value, "the operand of `not`")?;
                Some(negate_if(value, true))
            }
        }
    }

    fn is_null(&self, env: &mut Env<'_>, value: &ast::Expr, negated: bool, span: Span) -> Option<Expr> {
        let value = self.expr(env, value)?;
        if !value.ty.nullable {
            let words = if negated { ("is not null", "true") } else { ("is null", "false") };
            self.report(
                Diagnostic::warning(
                    codes::CONSTANT_NULL_TEST,
                    span,
                    format!("`{}` is always {} here", words.0, words.1),
                )
                .also(span_of(&value), format!("this is {}, which is never null", article(&value.ty)))
                .help("leave the test out"),
            );
        }
        let test = Expr::new(ExprKind::IsNull(Box::new(value)), Type::boolean(), origin(span));
        Some(negate_if(test, negated))
    }

    fn cast(&self, env: &mut Env<'_>, value: &ast::Expr, ty: &TypeExpr, span: Span) -> Option<Expr> {
        let (value, ty) = (self.expr(env, value), self.type_of(ty));
        let (value, ty) = (value?, ty?);
        let at = origin(span);
        if value.ty.data.widens_to(&ty.data) {
            return self.widened(value, &ty.data).map(|e| Expr { origin: at, ..e });
        }
        if !castable(&value.ty.data, &ty.data) {
            self.report(
                Diagnostic::error(
                    codes::NO_CONVERSION,
                    span,
                    format!("{} cannot be converted to {}", article(&value.ty.data), article(&ty.data)),
                )
                .also(span_of(&value), format!("this is {}", article(&value.ty)))
                .help(conversion_help(&value.ty.data, &ty.data)),
            );
            return None;
        }
        let on_failure = if ty.nullable { CastFailure::Null } else { CastFailure::Error };
        let result = Type { data: ty.data, nullable: ty.nullable || value.ty.nullable };
        Some(Expr::new(ExprKind::Cast { value: Box::new(value), on_failure }, result, at))
    }

    /// A call of a function that the language itself uses; its operands are known to be of kinds that it takes, otherwise a mistake is reported.
    pub(super) fn built_in(&self, name: &str, args: Vec<Expr>, span: Span) -> Option<Expr> {
        let types: Vec<Type> = args.iter().map(|a| a.ty.clone()).collect();
        match functions::resolve(name, &types) {
            Ok(resolution) => self.apply(resolution, args, span),
            Err(error) => {
                let name = Name { text: name.to_string(), span };
                self.unresolved(&name, &args, error);
                None
            }
        }
    }

    /// The call that was resolved, its operands widened.
    pub(super) fn apply(&self, resolution: functions::Resolution, args: Vec<Expr>, span: Span) -> Option<Expr> {
        let widen = |(arg, ty): (Expr, &Type)| self.converted(arg, &ty.data);
        let args = args.into_iter().zip(&resolution.parameters).map(widen).collect();
        let kind = ExprKind::Call { function: resolution.function, args };
        Some(Expr::new(kind, resolution.result, origin(span)))
    }
}

/// `not e`, if it says so.
pub(crate) fn negate_if(e: Expr, negated: bool) -> Expr {
    if !negated {
        return e;
    }
    let (ty, at) = (e.ty.clone(), e.origin);
    Expr::new(ExprKind::Not(Box::new(e)), ty, at)
}

/// A boolean literal.
pub(crate) fn truth(value: bool, at: flowc_ir::Origin) -> Expr {
    Expr::new(ExprKind::Literal(Value::Boolean(value)), Type::boolean(), at)
}

fn literal(kind: &Ast, span: Span) -> Expr {
    let (value, data) = match kind {
        Ast::Boolean(b) => (Value::Boolean(*b), DataType::Boolean),
        Ast::Integer(n) => return constant::integer_literal(*n, origin(span)),
        Ast::Double(x) => (Value::Double(*x), DataType::Double),
        Ast::Percent(x) => (Value::Double(*x), DataType::Double),
        Ast::Decimal { unscaled, precision, scale } => {
            (Value::Decimal(*unscaled), DataType::Decimal { precision: (*precision).clamp(1, 38), scale: *scale })
        }
        Ast::RawString(s) => (Value::String(s.clone()), DataType::String),
        Ast::Date(days) => (Value::Date(*days), DataType::Date),
        Ast::Timestamp(t) => (Value::Timestamp(*t), DataType::Timestamp),
        Ast::TimestampNtz(t) => (Value::TimestampNtz(*t), DataType::TimestampNtz),
        Ast::Duration(d) => (Value::Duration(*d), DataType::Duration),
        _ => return Expr::new(ExprKind::Literal(Value::Null), Type::null(), origin(span)),
    };
    Expr::new(ExprKind::Literal(value), Type::new(data), origin(span))
}

/// Whether `as` can convert from one type to the other at all.
fn castable(from: &DataType, to: &DataType) -> bool {
    flowc_ir::cast::castable(from, to)
}

fn conversion_help(from: &DataType, to: &DataType) -> String {
    match (from, to) {
        (f, DataType::Date | DataType::Timestamp) if f.is_numeric() => {
            "say what the number counts: `timestamp_millis(x)`, `timestamp_seconds(x)`".to_string()
        }
        (DataType::Date | DataType::Timestamp, t) if t.is_numeric() => {
            "say what to count: `unix_millis(x)`, `unix_seconds(x)`".to_string()
        }
        (DataType::Struct(_), _) => "convert its fields one by one".to_string(),
        (_, DataType::Array(_)) => "write an array: `[x]`, or take a text apart with `split(x, \",\")`".to_string(),
        _ => "there is no such conversion".to_string(),
    }
}
