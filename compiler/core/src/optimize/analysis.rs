//! What can be told from an expression alone: which columns it reads, whether it can fail, what its conjuncts are.

use flowc_ir::cast::cast_can_fail;
use flowc_ir::{CastFailure, Expr, ExprKind, LocalId, Type};
use std::collections::BTreeSet;

/// Whether a row can fail in this expression. False is a proof; true only means that it is not one: a variable that is bound outside may stand for anything.
pub(crate) fn can_fail(expr: &Expr) -> bool {
    fails(expr, &mut vec![])
}

fn fails(expr: &Expr, locals: &mut Vec<(LocalId, bool)>) -> bool {
    let here = match &expr.kind {
        ExprKind::Call { function, args } => {
            let types: Vec<Type> = args.iter().map(|a| a.ty.clone()).collect();
            function.can_fail(&types)
        }
        ExprKind::Cast { value, on_failure } => {
            *on_failure != CastFailure::Null && cast_can_fail(&value.ty.data, &expr.ty.data)
        }
        ExprKind::Try(_) => return false,
        ExprKind::Local(local) => {
            return locals.iter().rev().find(|(id, _)| id == local).is_none_or(|(_, fails)| *fails);
        }
        // A variable fails where it is used.
        ExprKind::Let { local, value, body } => {
            let value = fails(value, locals);
            locals.push((*local, value));
            let body = fails(body, locals);
            locals.pop();
            return body;
        }
        _ => false,
    };
    here || expr.children().into_iter().any(|child| fails(child, locals))
}

/// Whether two evaluations for the same row can differ: they cannot, but constants of the epoch are no constants of the program.
pub(crate) fn depends_on_epoch(expr: &Expr) -> bool {
    let mut found = false;
    expr.walk(&mut |e| {
        if let ExprKind::Call { function, .. } = &e.kind {
            found |= function.name.starts_with("current_") || function.name == "now";
        }
    });
    found
}

/// The column slots that it reads.
pub(crate) fn columns_of(expr: &Expr) -> BTreeSet<usize> {
    let mut columns = BTreeSet::new();
    expr.walk(&mut |e| {
        if let ExprKind::Column(index) = e.kind {
            columns.insert(index);
        }
    });
    columns
}

/// The same expression over other positions.
pub(crate) fn map_columns(expr: &Expr, position: impl Fn(usize) -> usize) -> Expr {
    let mut expr = expr.clone();
    expr.walk_mut(&mut |e| {
        if let ExprKind::Column(index) = &mut e.kind {
            *index = position(*index);
        }
    });
    expr
}

/// The parts of a conjunction, nested ones too, in their order; an expression that is none is its only part.
pub(crate) fn conjuncts(expr: &Expr) -> Vec<&Expr> {
    match &expr.kind {
        ExprKind::And(xs) => xs.iter().flat_map(conjuncts).collect(),
        _ => vec![expr],
    }
}
