//! What a program computes twice it computes once.
//!
//! Laws: an expression that a step before has computed as a column is that column (it did not fail there). Another that is there twice becomes a column if
//! it cannot fail, and one of the two is evaluated for every row that gets there: nothing is computed that was not before.

use super::analysis::can_fail;
use super::edit::{expressions, expressions_mut, move_columns, programs_mut};
use flowc_ir::plan::Plan;
use flowc_ir::{Expr, ExprKind, Program, ProgramStep};
use std::collections::{BTreeMap, BTreeSet};

/// Larger programs are left as they are.
const MOST_PARTS: usize = 2000;

/// Shares in all programs.
pub(super) fn run(plan: &mut Plan) {
    for program in programs_mut(&mut plan.graph) {
        reuse(program);
        // Each round makes one more column; the bound only stops what cannot happen.
        for _ in 0..100 {
            if !share(program) {
                break;
            }
        }
    }
}

/// Whether two expressions compute the same; where they were written does not matter.
fn same(a: &Expr, b: &Expr) -> bool {
    let (x, y) = (a.children(), b.children());
    a.ty == b.ty && x.len() == y.len() && shallow(a, b) && x.into_iter().zip(y).all(|(x, y)| same(x, y))
}

/// As [`same`], without the parts inside.
fn shallow(a: &Expr, b: &Expr) -> bool {
    use ExprKind::*;
    match (&a.kind, &b.kind) {
        (Column(x), Column(y)) => x == y,
        (Literal(x), Literal(y)) => same_value(x, y),
        (Call { function: f, .. }, Call { function: g, .. }) => f == g,
        (And(_), And(_)) | (Or(_), Or(_)) | (Not(_), Not(_)) | (IsNull(_), IsNull(_)) | (If { .. }, If { .. }) => true,
        (Coalesce(_), Coalesce(_)) | (Try(_), Try(_)) | (Struct(_), Struct(_)) | (Array(_), Array(_)) => true,
        (InList { list: x, .. }, InList { list: y, .. }) => {
            x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same_value(x, y))
        }
        (Cast { on_failure: x, .. }, Cast { on_failure: y, .. }) => x == y,
        (Field { index: x, .. }, Field { index: y, .. }) => x == y,
        // Variables stand for what is bound around them.
        _ => false,
    }
}

/// Equality to the bit: 0.0 and -0.0 are not the same.
fn same_value(a: &flowc_ir::Value, b: &flowc_ir::Value) -> bool {
    format!("{a:?}") == format!("{b:?}")
}

/// Worth a column: it computes something.
fn computes(expr: &Expr) -> bool {
    let mut variables = false;
    expr.walk(&mut |e| variables |= matches!(e.kind, ExprKind::Local(_) | ExprKind::Let { .. }));
    matches!(expr.kind, ExprKind::Call { .. } | ExprKind::Cast { .. } | ExprKind::InList { .. }) && !variables
}

/// Expressions that an earlier step has computed become its column.
fn reuse(program: &mut Program) {
    let mut known: Vec<(usize, Expr)> = vec![];
    let mut next = program.input.len();
    let replace = |expr: &mut Expr, known: &[(usize, Expr)]| {
        expr.walk_mut(&mut |e| {
            if let Some((slot, _)) = known.iter().find(|(_, value)| same(value, e)) {
                *e = Expr::new(ExprKind::Column(*slot), e.ty.clone(), e.origin);
            }
        });
    };
    for step in &mut program.steps {
        match step {
            ProgramStep::Let(value) => {
                replace(value, &known);
                if computes(value) {
                    known.push((next, value.clone()));
                }
                next += 1;
            }
            ProgramStep::Filter(e) | ProgramStep::Assert { condition: e, .. } => replace(e, &known),
        }
    }
    program.outputs.iter_mut().for_each(|o| replace(&mut o.value, &known));
}

/// The parts of an expression, each with whether it is evaluated whenever the whole is.
fn parts<'a>(expr: &'a Expr, always: bool, found: &mut Vec<(&'a Expr, bool)>) {
    found.push((expr, always));
    for (i, child) in expr.children().into_iter().enumerate() {
        let first_only =
            matches!(expr.kind, ExprKind::And(_) | ExprKind::Or(_) | ExprKind::Coalesce(_) | ExprKind::If { .. });
        let lazy = matches!(expr.kind, ExprKind::Let { .. }) || first_only && i > 0;
        parts(child, always && !lazy, found);
    }
}

/// Makes a column of the largest expression that is there twice; whether there was one.
fn share(program: &mut Program) -> bool {
    let mut found: Vec<(usize, &Expr, bool)> = vec![];
    for (place, expr) in expressions(program).enumerate() {
        let mut inside = vec![];
        parts(expr, true, &mut inside);
        found.extend(inside.into_iter().map(|(e, always)| (place, e, always)));
    }
    found.retain(|(_, e, _)| computes(e) && !can_fail(e));
    // Every pair is looked at.
    if found.len() > MOST_PARTS {
        return false;
    }
    let mut best: Option<(usize, usize, Expr)> = None;
    for (i, (place, expr, always)) in found.iter().enumerate() {
        let again: Vec<_> = found[i + 1..].iter().filter(|(_, other, _)| same(expr, other)).collect();
        // Where the first step that has it always evaluates it, it is evaluated no more often than before.
        let always = *always || again.iter().any(|(p, _, always)| p == place && *always);
        let size = nodes(expr);
        if !again.is_empty() && always && best.as_ref().is_none_or(|(_, largest, _)| size > *largest) {
            best = Some((*place, size, (*expr).clone()));
        }
    }
    let Some((place, _, expr)) = best else { return false };
    introduce(program, place, expr);
    true
}

fn nodes(expr: &Expr) -> usize {
    1 + expr.children().into_iter().map(nodes).sum::<usize>()
}

/// Computes an expression before this place, and reads the column from there on.
fn introduce(program: &mut Program, place: usize, value: Expr) {
    let at = place.min(program.steps.len());
    let lets = program.steps[..at].iter().filter(|s| matches!(s, ProgramStep::Let(_))).count();
    let slot = program.input.len() + lets;
    let total = program.input.len() + program.steps.iter().filter(|s| matches!(s, ProgramStep::Let(_))).count();
    let moved: BTreeMap<usize, usize> = (slot..total).map(|s| (s, s + 1)).collect();
    debug_assert!(
        moved.keys().collect::<BTreeSet<_>>().is_disjoint(&super::analysis::columns_of(&value).iter().collect())
    );
    for (i, expr) in expressions_mut(program).enumerate() {
        // Slots behind the new one move; what is in its place reads it.
        move_columns(expr, &moved);
        if i >= at {
            expr.walk_mut(&mut |e| {
                if same(e, &value) {
                    *e = Expr::new(ExprKind::Column(slot), e.ty.clone(), e.origin);
                }
            });
        }
    }
    program.steps.insert(at, ProgramStep::Let(value));
}
