//! Column slots of a program are computed where they are needed, and not at all where they are not.
//!
//! Law: only expressions that cannot fail are moved, copied or left out; one that can fail stays a step in its place. What is used once goes where it is
//! used; what is used several times goes in front of the first use, behind filters.

use super::analysis::{can_fail, columns_of};
use super::edit::{depth, expressions_mut, is_narrowed, move_columns, programs_mut, step_expression, substitute};
use flowc_ir::plan::Plan;
use flowc_ir::{Expr, ExprKind, Program, ProgramStep};
use std::collections::BTreeMap;

/// Deeper expressions are not made: what reads them recurses.
const MAX_DEPTH: usize = 24;

/// Tidies all programs.
pub(super) fn run(plan: &mut Plan) {
    programs_mut(&mut plan.graph).into_iter().for_each(program);
}

/// Steps with the slots that their `Let`s have in expressions, while they are moved about.
struct Loose {
    steps: Vec<(Option<usize>, ProgramStep)>,
}

/// Tidies a program.
pub(super) fn program(program: &mut Program) {
    let mut next = program.input.len();
    let number = |step: ProgramStep| {
        let slot = matches!(step, ProgramStep::Let(_)).then(|| {
            next += 1;
            next - 1
        });
        (slot, step)
    };
    let mut loose = Loose { steps: std::mem::take(&mut program.steps).into_iter().map(number).collect() };
    let mut at = loose.steps.len();
    // From the end, so that what is put into a later expression is in its place already.
    while at > 0 {
        at -= 1;
        let (Some(slot), ProgramStep::Let(value)) = loose.steps[at].clone() else { continue };
        if can_fail(&value) {
            continue;
        }
        place(&mut loose, program, at, slot, &value);
    }
    let mut slots = BTreeMap::new();
    let mut next = program.input.len();
    for (slot, step) in loose.steps {
        program.steps.push(step);
        if let Some(slot) = slot {
            slots.insert(slot, next);
            next += 1;
        }
    }
    expressions_mut(program).for_each(|e| move_columns(e, &slots));
}

fn uses(expr: &Expr, slot: usize) -> usize {
    let mut count = 0;
    expr.walk(&mut |e| count += usize::from(e.kind == ExprKind::Column(slot)));
    count
}

/// Finds the place of a `Let` that cannot fail.
fn place(loose: &mut Loose, program: &mut Program, at: usize, slot: usize, value: &Expr) {
    let in_steps: Vec<usize> = loose.steps.iter().map(|(_, step)| uses(step_expression(step), slot)).collect();
    let in_outputs: usize = program.outputs.iter().map(|o| uses(&o.value, slot)).sum();
    let total = in_steps.iter().sum::<usize>() + in_outputs;
    let trivial = matches!(value.kind, ExprKind::Column(_) | ExprKind::Literal(_));
    let users = loose.steps.iter().map(|(_, s)| step_expression(s)).chain(program.outputs.iter().map(|o| &o.value));
    let users: Vec<&Expr> = users.filter(|e| columns_of(e).contains(&slot)).collect();
    let deepest = users.iter().map(|e| depth(e)).max().unwrap_or(0);
    let replaceable = !users.iter().any(|e| is_narrowed(e, slot, value));
    if total == 0 || replaceable && (trivial || total == 1 && depth(value) + deepest <= MAX_DEPTH) {
        loose.steps.remove(at);
        for (_, step) in &mut loose.steps {
            match step {
                ProgramStep::Let(e) | ProgramStep::Filter(e) | ProgramStep::Assert { condition: e, .. } => {
                    substitute(e, slot, value);
                }
            }
        }
        program.outputs.iter_mut().for_each(|o| substitute(&mut o.value, slot, value));
        return;
    }
    // In front of its first use, if a filter stands between.
    let first = in_steps.iter().position(|n| *n > 0).unwrap_or(loose.steps.len());
    let filtered = loose.steps[at + 1..first.max(at + 1)].iter().any(|(_, s)| matches!(s, ProgramStep::Filter(_)));
    if filtered {
        let step = loose.steps.remove(at);
        loose.steps.insert(first - 1, step);
    }
}
