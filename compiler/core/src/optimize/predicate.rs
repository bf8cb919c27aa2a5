//! What of the filters can be decided from files' statistics is told to the sources.
//!
//! Law: a row that the predicate rejects would have been filtered out before anything could have failed for it, by every reader. The filters stay: a
//! predicate only saves reading.

use super::analysis::{can_fail, columns_of, conjuncts, depends_on_epoch};
use super::edit::{depth, is_narrowed, substitute};
use flowc_ir::graph::{Operator, SourceId, TableId};
use flowc_ir::plan::Plan;
use flowc_ir::{Expr, ExprKind, Field, Output, Program, ProgramStep, Schema, Type};

/// Deeper predicates are not made: what reads them recurses.
const MAX_DEPTH: usize = 40;

/// Gives every source and table its predicate.
pub(super) fn run(plan: &mut Plan) {
    for index in 0..plan.sources.len() {
        // Whoever skips rows does not see which of them are malformed.
        if plan.sources[index].quarantine.is_some() {
            continue;
        }
        let id = SourceId(index as u32);
        let readers = programs_behind(plan, |operator| *operator == Operator::Source(id));
        plan.sources[index].predicate = predicate(&plan.sources[index].schema, &readers);
    }
    for index in 0..plan.tables.len() {
        let id = TableId(index as u32);
        let mut readers = programs_behind(plan, |operator| *operator == Operator::TableScan(id));
        for node in &plan.graph.nodes {
            if let Operator::Lookup(lookup) = &node.operator
                && lookup.table == id
            {
                readers.push(Some(lookup.prepare.clone()));
            }
        }
        plan.tables[index].predicate = predicate(&plan.tables[index].schema, &readers);
    }
}

/// The programs that read such nodes; none for another operator, which needs all rows.
fn programs_behind(plan: &Plan, is: impl Fn(&Operator) -> bool) -> Vec<Option<Program>> {
    let mut found = vec![];
    for node in &plan.graph.nodes {
        for _ in node.inputs.iter().filter(|input| is(&plan.graph.node(**input).operator)) {
            found.push(match &node.operator {
                Operator::Transform(program) => Some(program.clone()),
                _ => None,
            });
        }
    }
    found
}

/// The rows that some reader needs.
fn predicate(columns: &Schema, readers: &[Option<Program>]) -> Option<Program> {
    let needed = readers.iter().map(|program| needed(program.as_ref()?));
    let mut needed: Vec<Expr> = needed.collect::<Option<_>>()?;
    needed.dedup();
    let first = needed.first()?.clone();
    let nullable = needed.iter().any(|e| e.ty.nullable);
    let ty = Type::boolean().with_nullable(nullable);
    let value = match needed.len() {
        1 => first,
        _ => Expr::new(ExprKind::Or(needed), ty.clone(), first.origin),
    };
    let outputs = vec![Output { field: Field::new("needed", ty), value }];
    Some(Program { input: columns.clone(), steps: vec![], outputs })
}

/// The conjunction of what every row must fulfil that gets past the filters before anything can fail.
fn needed(program: &Program) -> Option<Expr> {
    let mut found: Vec<Expr> = vec![];
    let mut lets: Vec<Expr> = vec![];
    'steps: for step in &program.steps {
        match step {
            ProgramStep::Let(value) if !can_fail(value) => lets.push(value.clone()),
            ProgramStep::Filter(condition) => {
                // Where a conjunct is null, those behind it are evaluated still, and may fail for a row that will not pass.
                let fails = can_fail(condition);
                for conjunct in conjuncts(condition) {
                    if can_fail(conjunct) || (fails && conjunct.ty.nullable) {
                        break 'steps;
                    }
                    let conjunct = over_inputs(conjunct, &lets, program.input.len());
                    // A source is asked when the epoch has not begun yet, and a constant decides about no file.
                    found.extend(conjunct.filter(|c| !depends_on_epoch(c) && !columns_of(c).is_empty()));
                }
            }
            _ => break,
        }
    }
    let first = found.first()?.clone();
    if found.len() == 1 {
        return Some(first);
    }
    // Variables of different conditions may be of one name.
    let mut next = 0;
    for condition in &mut found {
        let base = next;
        condition.walk_mut(&mut |e| {
            if let ExprKind::Let { local, .. } | ExprKind::Local(local) = &mut e.kind {
                local.0 += base;
            }
        });
        next = next.max(super::edit::next_local(condition));
    }
    let ty = Type::boolean().with_nullable(found.iter().any(|e| e.ty.nullable));
    Some(Expr::new(ExprKind::And(found), ty, first.origin))
}

/// The expression with the slots that were computed replaced by their expressions, if they can be.
fn over_inputs(expr: &Expr, lets: &[Expr], inputs: usize) -> Option<Expr> {
    let mut expr = expr.clone();
    for (i, value) in lets.iter().enumerate().rev() {
        if is_narrowed(&expr, inputs + i, value) || depth(&expr) + depth(value) > MAX_DEPTH {
            return None;
        }
        substitute(&mut expr, inputs + i, value);
    }
    Some(expr)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowc_ir::{CastFailure, DataType, Origin};

    fn expr(kind: ExprKind, ty: Type) -> Expr {
        Expr::new(kind, ty, Origin::default())
    }

    /// The predicate of `flag and (text as boolean)`.
    fn of_flag_and_cast(flag: Type) -> Option<Program> {
        let text = Type::new(DataType::String);
        let columns = Schema::new(vec![Field::new("flag", flag.clone()), Field::new("text", text.clone())]);
        let value = Box::new(expr(ExprKind::Column(1), text));
        let cast = expr(ExprKind::Cast { value, on_failure: CastFailure::Error }, Type::boolean());
        let both = vec![expr(ExprKind::Column(0), flag.clone()), cast];
        let filter = ProgramStep::Filter(expr(ExprKind::And(both), flag));
        let program = Program { input: columns.clone(), steps: vec![filter], outputs: vec![] };
        predicate(&columns, &[Some(program)])
    }

    #[test]
    fn a_row_that_fails_behind_a_null_is_read() {
        assert_eq!(of_flag_and_cast(Type::nullable(DataType::Boolean)), None);
        let needed = of_flag_and_cast(Type::boolean()).expect("false is not evaluated further");
        assert_eq!(needed.outputs[0].value.kind, ExprKind::Column(0));
    }
}
