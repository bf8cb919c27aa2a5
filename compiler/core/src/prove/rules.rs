//! What became of the rules of expectations: one that is proved is not evaluated any more, one that no row passes is a mistake.

use crate::checked::{Checked, CheckedFlow, Decision, Obligation, ObligationKind, Operation, Owner};
use crate::codes;
use crate::prove::decide::Verdict;
use crate::prove::follow::{Judged, Written};
use crate::prove::knowledge::{Reason, constant};
use crate::prove::obligations::{not_true, span};
use flowc_ir::graph::ExpectRule;
use flowc_ir::{DataType, Expr, ExprKind, ProgramStep, Type, Value};
use flowc_syntax::diagnostic::Diagnostic;
use std::collections::BTreeMap;

/// Takes the tests of proved rules out of the program, and reports those that are refuted.
pub(crate) fn decide(
    checked: &mut Checked,
    judged: BTreeMap<(usize, usize, usize), Judged>,
    written: Written<'_>,
    found: &mut Vec<Diagnostic>,
) -> Vec<Obligation> {
    let mut decided = vec![];
    for ((flow, at, place), judged) in judged {
        let flow = &mut checked.flows[flow];
        let Operation::Expect(expect) = &flow.steps[at].operation else { continue };
        let rule = expect.rules[place].clone();
        let decision = match judged.verdict {
            Verdict::Proved(facts) => {
                leave_out(flow, at, place);
                Decision::Proved(facts.into_iter().filter(|f| !is_own(f, &rule)).collect())
            }
            Verdict::Refuted { facts, .. } => {
                found.push(refuted(&flow.name, &rule, &judged.row, &facts));
                continue;
            }
            Verdict::Open | Verdict::Unreachable(_) => Decision::Open,
        };
        decided.push(Obligation {
            name: rule.name.clone(),
            owner: Owner::Flow(flow.name.clone()),
            kind: ObligationKind::Rule,
            condition: written(rule.origin).unwrap_or_default(),
            origin: rule.origin,
            decision,
        });
    }
    decided
}

/// Whether a fact only says what the rule itself is.
fn is_own(fact: &Reason, rule: &ExpectRule) -> bool {
    fact.origin == Some(rule.origin)
}

/// The rule's boolean column is true of every row: nothing is evaluated for it, and every row passes.
fn leave_out(flow: &mut CheckedFlow, at: usize, place: usize) {
    let Operation::Expect(expect) = &mut flow.steps[at].operation else { return };
    let Some(column) = expect.rules[place].passes.take() else { return };
    // The step before computes it.
    let Some(before) = at.checked_sub(1).and_then(|at| flow.steps.get_mut(at)) else { return };
    let Operation::Transform(program) = &mut before.operation else { return };
    let Some(ExprKind::Column(slot)) = program.outputs.get(column).map(|o| o.value.kind.clone()) else { return };
    let lets = program.steps.iter_mut().filter_map(|step| match step {
        ProgramStep::Let(e) => Some(e),
        _ => None,
    });
    let Some(at) = slot.checked_sub(program.input.len()) else { return };
    if let Some(e) = lets.into_iter().nth(at) {
        *e = Expr { origin: e.origin, ..constant(Value::Boolean(true), &DataType::Boolean) };
        e.ty = Type::boolean();
    }
}

fn refuted(flow: &str, rule: &ExpectRule, row: &str, facts: &[Reason]) -> Diagnostic {
    let message = format!("no row can pass the rule `{}` of `{flow}`", rule.name);
    let mut diagnostic = Diagnostic::error(codes::REFUTED_RULE, span(rule.origin), message).label(not_true(row));
    let mut tables = vec![];
    for fact in facts.iter().filter(|f| !is_own(f, rule)) {
        match fact.origin {
            Some(at) => diagnostic = diagnostic.also(span(at), format!("{}: {}", fact.source, fact.text)),
            None => tables.push(format!("{} ({})", fact.text, fact.source)),
        }
    }
    let known = if tables.is_empty() { String::new() } else { format!("; it is known that {}", tables.join(", ")) };
    diagnostic.help(format!("change the condition, or what is computed before it{known}"))
}
