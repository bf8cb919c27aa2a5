//! Expressions that are the same for every row become literals; expressions that say something in a roundabout way become plain.
//!
//! Law: the value of every row stays, and an expression that can fail is never left out, nor evaluated where it was not. What is constant but fails stays
//! as it is: it must fail when it is evaluated, not before.

use super::analysis::{can_fail, depends_on_epoch};
use super::edit::{expressions_mut, programs_mut};
use flowc_ir::eval::EvalContext;
use flowc_ir::functions::find;
use flowc_ir::interpret::eval;
use flowc_ir::plan::Plan;
use flowc_ir::{Expr, ExprKind, LocalId, Program, ProgramStep, Value};

/// Longer texts and collections are left to be computed.
const MAX_CONSTANT: usize = 1000;

/// Simplifies all programs.
pub(super) fn run(plan: &mut Plan) {
    programs_mut(&mut plan.graph).into_iter().for_each(program);
}

/// Simplifies a program.
pub(super) fn program(program: &mut Program) {
    expressions_mut(program).for_each(expression);
    program.steps.retain(|step| match step {
        ProgramStep::Filter(e) | ProgramStep::Assert { condition: e, .. } => literal(e) != Some(&Value::Boolean(true)),
        ProgramStep::Let(_) => true,
    });
}

/// Simplifies an expression.
pub(crate) fn expression(expr: &mut Expr) {
    expr.walk_mut(&mut |e| {
        while let Some(simpler) = step(e) {
            if !replace(e, simpler) {
                break;
            }
        }
    });
}

/// Puts an expression in another's place, with the other's type; a variable cannot have another type than it is bound to.
fn replace(e: &mut Expr, mut simpler: Expr) -> bool {
    if simpler.ty != e.ty {
        let wider = simpler.ty.data == e.ty.data && (e.ty.nullable || !simpler.ty.nullable);
        if !wider || matches!(simpler.kind, ExprKind::Local(_)) {
            return false;
        }
        simpler.ty = e.ty.clone();
    }
    let changed = simpler != *e;
    *e = simpler;
    changed
}

fn literal(expr: &Expr) -> Option<&Value> {
    match &expr.kind {
        ExprKind::Literal(value) => Some(value),
        _ => None,
    }
}

fn constant(e: &Expr, value: Value) -> Expr {
    Expr::new(ExprKind::Literal(value), e.ty.clone(), e.origin)
}

fn boolean(e: &Expr, value: bool) -> Option<Expr> {
    Some(constant(e, Value::Boolean(value)))
}

/// A simpler expression of the same value, if there is one.
fn step(e: &Expr) -> Option<Expr> {
    if let Some(folded) = fold(e) {
        return Some(folded);
    }
    match &e.kind {
        ExprKind::And(xs) => connected(e, xs, false),
        ExprKind::Or(xs) => connected(e, xs, true),
        ExprKind::Not(x) => negated(e, x),
        ExprKind::IsNull(x) if !x.ty.nullable && !can_fail(x) => boolean(e, false),
        ExprKind::If { condition, then, otherwise } => match literal(condition)? {
            Value::Boolean(true) => Some((**then).clone()),
            _ => Some((**otherwise).clone()),
        },
        ExprKind::Coalesce(xs) => coalesced(e, xs),
        ExprKind::Cast { value, .. } if value.ty.data == e.ty.data => Some((**value).clone()),
        ExprKind::Try(x) if !can_fail(x) => Some((**x).clone()),
        ExprKind::Field { value, index } => match &value.kind {
            ExprKind::Struct(xs) if xs.iter().enumerate().all(|(i, x)| i == *index || !can_fail(x)) => {
                xs.get(*index).cloned()
            }
            _ => None,
        },
        ExprKind::Let { local, value, body } => bound(*local, value, body),
        _ => None,
    }
}

/// The value of an expression of literals, if it has one.
fn fold(e: &Expr) -> Option<Expr> {
    let computes =
        !matches!(e.kind, ExprKind::Literal(_) | ExprKind::Column(_) | ExprKind::Local(_) | ExprKind::Let { .. });
    let known = e.children().iter().all(|c| literal(c).is_some());
    if !computes || !known || depends_on_epoch(e) {
        return None;
    }
    let value = eval(e, &[], &EvalContext::default()).ok()?;
    (size(&value) <= MAX_CONSTANT).then(|| constant(e, value))
}

fn size(value: &Value) -> usize {
    match value {
        Value::String(s) => s.len(),
        Value::Binary(b) => b.len(),
        Value::Array(xs) | Value::Struct(xs) => xs.len() + xs.iter().map(size).sum::<usize>(),
        Value::Map(xs) => xs.iter().map(|(k, v)| 2 + size(k) + size(v)).sum(),
        _ => 1,
    }
}

/// and (`decisive` is false) and or (true): nested ones are one, neutral operands go, nothing stands behind a decisive one.
fn connected(e: &Expr, xs: &[Expr], decisive: bool) -> Option<Expr> {
    let mut operands = vec![];
    for x in xs {
        match &x.kind {
            ExprKind::And(inner) if !decisive => operands.extend(inner.iter().cloned()),
            ExprKind::Or(inner) if decisive => operands.extend(inner.iter().cloned()),
            _ => operands.push(x.clone()),
        }
    }
    operands.retain(|x| literal(x) != Some(&Value::Boolean(!decisive)));
    if let Some(at) = operands.iter().position(|x| literal(x) == Some(&Value::Boolean(decisive))) {
        operands.truncate(at + 1);
        if !operands.iter().any(can_fail) {
            return boolean(e, decisive);
        }
    }
    match operands.len() {
        0 => boolean(e, !decisive),
        1 => operands.pop(),
        n if n == xs.len() => None,
        _ => {
            let kind = if decisive { ExprKind::Or(operands) } else { ExprKind::And(operands) };
            Some(Expr::new(kind, e.ty.clone(), e.origin))
        }
    }
}

/// `not not x` is `x`, `not (a < b)` is `a >= b`: comparison is total, and null stays null.
fn negated(e: &Expr, x: &Expr) -> Option<Expr> {
    match &x.kind {
        ExprKind::Not(inner) => Some((**inner).clone()),
        ExprKind::Call { function, args } => {
            let opposite = match function.name {
                "equal" => "not_equal",
                "not_equal" => "equal",
                "less" => "greater_equal",
                "less_equal" => "greater",
                "greater" => "less_equal",
                "greater_equal" => "less",
                _ => return None,
            };
            let kind = ExprKind::Call { function: find(opposite)?, args: args.clone() };
            Some(Expr::new(kind, x.ty.clone(), e.origin))
        }
        _ => None,
    }
}

fn coalesced(e: &Expr, xs: &[Expr]) -> Option<Expr> {
    let mut operands: Vec<Expr> = xs.iter().filter(|x| literal(x) != Some(&Value::Null)).cloned().collect();
    if let Some(at) = operands.iter().position(|x| !x.ty.nullable) {
        operands.truncate(at + 1);
    }
    match operands.len() {
        0 => Some(constant(e, Value::Null)),
        1 => operands.pop(),
        n if n == xs.len() => None,
        _ => Some(Expr::new(ExprKind::Coalesce(operands), e.ty.clone(), e.origin)),
    }
}

/// A variable is evaluated at its first use: unused it goes, used once its value stands there instead.
fn bound(local: LocalId, value: &Expr, body: &Expr) -> Option<Expr> {
    let (mut uses, mut narrowed) = (0, false);
    body.walk(&mut |e| {
        if e.kind == ExprKind::Local(local) {
            uses += 1;
            narrowed |= e.ty != value.ty;
        }
    });
    let path = matches!(value.kind, ExprKind::Column(_));
    let trivial = path || matches!(value.kind, ExprKind::Literal(_) | ExprKind::Local(_));
    // A use that knows that the variable is not null says so of a column, but of nothing that is computed.
    if uses > 1 && !trivial || narrowed && !path {
        return None;
    }
    let mut body = body.clone();
    body.walk_mut(&mut |e| {
        if e.kind == ExprKind::Local(local) {
            *e = Expr { ty: e.ty.clone(), ..value.clone() };
        }
    });
    // What was constant but for the variable is now: the walk has passed it already.
    expression(&mut body);
    Some(body)
}
