//! Carries columns that the program does not see through steps: they stand before all others, so that every position moves by their number. Knows nothing of
//! what is carried.

use crate::checked::{CheckedStep, Operation, Rows};
use crate::optimize::analysis::map_columns;
use flowc_ir::{Expr, ExprKind, Field, Origin, Output, Program, ProgramStep, Schema};

/// These columns behind the carried ones.
pub(super) fn schema(columns: &Schema, carried: &[Field]) -> Schema {
    Schema::new(carried.iter().chain(&columns.fields).cloned().collect())
}

/// A carried column, read.
pub(super) fn read(carried: &[Field], place: usize, origin: Origin) -> Expr {
    Expr::new(ExprKind::Column(place), carried[place].ty.clone(), origin)
}

/// These rows with the carried columns.
pub(super) fn rows(rows: &Rows, carried: &[Field]) -> Rows {
    let joined = carried.iter().map(|_| false).chain(rows.joined.iter().copied()).collect();
    Rows { schema: schema(&rows.schema, carried), joined, ..rows.clone() }
}

/// All of these columns as they are.
pub(super) fn same(columns: &Schema, origin: Origin) -> Program {
    let output = |(slot, field): (usize, &Field)| Output {
        field: field.clone(),
        value: Expr::new(ExprKind::Column(slot), field.ty.clone(), origin),
    };
    let outputs = columns.fields.iter().enumerate().map(output).collect();
    Program { input: columns.clone(), steps: vec![], outputs }
}

/// The same program; it keeps the carried columns, or drops them.
pub(super) fn program(program: &Program, carried: &[Field], keep: bool, origin: Origin) -> Program {
    let moved = |expr: &Expr| map_columns(expr, |slot| slot + carried.len());
    let step = |step: &ProgramStep| match step {
        ProgramStep::Let(value) => ProgramStep::Let(moved(value)),
        ProgramStep::Filter(condition) => ProgramStep::Filter(moved(condition)),
        ProgramStep::Assert { condition, what } => {
            ProgramStep::Assert { condition: moved(condition), what: what.clone() }
        }
    };
    let kept = (0..if keep { carried.len() } else { 0 })
        .map(|place| Output { field: carried[place].clone(), value: read(carried, place, origin) });
    let outputs = program.outputs.iter().map(|o| Output { field: o.field.clone(), value: moved(&o.value) });
    Program {
        input: schema(&program.input, carried),
        steps: program.steps.iter().map(step).collect(),
        outputs: kept.chain(outputs).collect(),
    }
}

/// The same step with the carried columns before all others; the last one drops them. What stands in a flow before its last `expect` needs no whole input.
pub(super) fn step(step: &CheckedStep, carried: &[Field], keep: bool) -> CheckedStep {
    let by = carried.len();
    let moved = |expr: &Expr| map_columns(expr, |slot| slot + by);
    let operation = match &step.operation {
        Operation::Transform(inner) => Operation::Transform(program(inner, carried, keep, step.origin)),
        Operation::Lookup { table, alias, kind, as_of, on } => {
            let (alias, as_of) = (alias.clone(), as_of.as_ref().map(moved));
            Operation::Lookup { table: *table, alias, kind: *kind, as_of, on: moved(on) }
        }
        Operation::Mark { table, column, value } => {
            Operation::Mark { table: *table, column: *column, value: moved(value) }
        }
        Operation::Unique { flow, rule, keys, within, time, delay } => Operation::Unique {
            flow: flow.clone(),
            rule: rule.clone(),
            keys: keys.iter().map(moved).collect(),
            within: *within,
            time: time.map(|slot| slot + by),
            delay: *delay,
        },
        Operation::Expect(expect) => {
            let mut expect = expect.clone();
            for rule in &mut expect.rules {
                rule.passes = rule.passes.map(|slot| slot + by);
                rule.repaired = rule.repaired.map(|slot| slot + by);
                rule.shown.iter_mut().for_each(|slot| *slot += by);
            }
            Operation::Expect(expect)
        }
        Operation::Explode { array, element } => Operation::Explode { array: moved(array), element: element.clone() },
        // The other rows of a union do not take part in a replay.
        Operation::Union { align, .. } => Operation::Transform(program(align, carried, keep, step.origin)),
        // A replay with such a step is refused: what is carried does not matter.
        stateful @ (Operation::Dedup { .. } | Operation::Top { .. } | Operation::Join(_)) => stateful.clone(),
        blocking @ (Operation::Aggregate { .. } | Operation::Sort(_) | Operation::Limit(_)) => blocking.clone(),
    };
    let rows = if keep { rows(&step.rows, carried) } else { step.rows.clone() };
    CheckedStep { operation, rows, ..step.clone() }
}
