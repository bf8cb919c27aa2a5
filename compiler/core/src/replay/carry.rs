//! Carries a column that the program does not see through steps: it stands before all others, so that every position moves by one. Knows nothing of what is
//! carried.

use crate::checked::{CheckedStep, Operation, Rows};
use crate::optimize::analysis::map_columns;
use flowc_ir::{Expr, ExprKind, Field, Origin, Output, Program, ProgramStep, Schema};

/// These columns behind the carried one.
pub(super) fn schema(columns: &Schema, carried: &Field) -> Schema {
    Schema::new(std::iter::once(carried).chain(&columns.fields).cloned().collect())
}

/// The carried column, read.
pub(super) fn read(carried: &Field, origin: Origin) -> Expr {
    Expr::new(ExprKind::Column(0), carried.ty.clone(), origin)
}

/// These rows with the carried column.
pub(super) fn rows(rows: &Rows, carried: &Field) -> Rows {
    let joined = std::iter::once(false).chain(rows.joined.iter().copied()).collect();
    Rows { schema: schema(&rows.schema, carried), joined, ..rows.clone() }
}

/// The same expression.
fn moved(expr: &Expr) -> Expr {
    map_columns(expr, |slot| slot + 1)
}

/// The same program; it keeps the carried column, or drops it.
pub(super) fn program(program: &Program, carried: &Field, keep: bool, origin: Origin) -> Program {
    let step = |step: &ProgramStep| match step {
        ProgramStep::Let(value) => ProgramStep::Let(moved(value)),
        ProgramStep::Filter(condition) => ProgramStep::Filter(moved(condition)),
        ProgramStep::Assert { condition, what } => {
            ProgramStep::Assert { condition: moved(condition), what: what.clone() }
        }
    };
    let kept = keep.then(|| Output { field: carried.clone(), value: read(carried, origin) });
    let outputs = program.outputs.iter().map(|o| Output { field: o.field.clone(), value: moved(&o.value) });
    Program {
        input: schema(&program.input, carried),
        steps: program.steps.iter().map(step).collect(),
        outputs: kept.into_iter().chain(outputs).collect(),
    }
}

/// The same step with the carried column before all others; the last one drops it. What stands in a flow before its last `expect` needs no whole input.
pub(super) fn step(step: &CheckedStep, carried: &Field, keep: bool) -> CheckedStep {
    let operation = match &step.operation {
        Operation::Transform(inner) => Operation::Transform(program(inner, carried, keep, step.origin)),
        Operation::Lookup { table, alias, kind, on } => {
            Operation::Lookup { table: *table, alias: alias.clone(), kind: *kind, on: moved(on) }
        }
        Operation::Mark { table, column, value } => {
            Operation::Mark { table: *table, column: *column, value: moved(value) }
        }
        Operation::Expect(expect) => {
            let mut expect = expect.clone();
            for rule in &mut expect.rules {
                rule.passes = rule.passes.map(|slot| slot + 1);
                rule.repaired = rule.repaired.map(|slot| slot + 1);
                rule.shown.iter_mut().for_each(|slot| *slot += 1);
            }
            Operation::Expect(expect)
        }
        Operation::Explode { array, element } => Operation::Explode { array: moved(array), element: element.clone() },
        // The other rows of a union do not take part in a replay.
        Operation::Union { align, .. } => Operation::Transform(program(align, carried, keep, step.origin)),
        blocking @ (Operation::Aggregate { .. } | Operation::Sort(_) | Operation::Limit(_)) => blocking.clone(),
    };
    let rows = if keep { rows(&step.rows, carried) } else { step.rows.clone() };
    CheckedStep { operation, rows, ..step.clone() }
}
