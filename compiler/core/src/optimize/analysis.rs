//! What can be told from an expression alone: which columns it reads, whether it can fail, what its conjuncts are.

pub(crate) use flowc_ir::failing::can_fail;
use flowc_ir::{Expr, ExprKind};
use std::collections::BTreeSet;

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
