//! Differences between locked and live tables, shown where they matter in the program. Which change made which mistake is not guessed: the program is checked
//! again with the change taken back, and a mistake that is gone then came with it. Knows nothing of files.

use super::drift::{Change, Drift, When};
use crate::checked::{Checked, Input, Operation};
use crate::pipeline::{CheckOutcome, Declared};
use flowc_ir::catalog::{Catalog, CatalogError, Replay, TableInfo};
use flowc_ir::plan::{Connector, VersionSpec};
use flowc_ir::{Expr, ExprKind, Origin, Program, ProgramStep, Schema};
use flowc_syntax::diagnostic::{Diagnostic, Label};
use flowc_syntax::span::{FileId, Span};

/// How a program is checked again, with other answers.
pub type Recheck<'a> = &'a dyn Fn(&dyn Catalog) -> CheckOutcome;

/// What becomes of changes that made no mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harmless {
    /// They are not told.
    Silent,
    /// They are warnings; where the program is right, the lock takes them over.
    Warned,
    /// They are warnings; the lock belongs to an executable, and stays as it is.
    Built,
}

/// Puts each change to the mistakes that it made. What made none is told at the table's declaration, if it is told.
pub fn place(outcome: &mut CheckOutcome, drifts: &[Drift], recheck: Recheck<'_>, harmless: Harmless) {
    let world = Replay { answers: outcome.answers.clone(), rest: &Unknown, hypothetical: true };
    let mut warnings = vec![];
    for drift in drifts {
        let told = blame(outcome, drift, &world, recheck);
        let rest: Vec<_> = drift.changes.iter().zip(&told).filter(|(_, told)| !**told).map(|(c, _)| c).collect();
        if harmless != Harmless::Silent {
            warnings.extend(warnings_of(outcome, drift, &rest, harmless));
        }
    }
    outcome.diagnostics.extend(warnings);
    outcome.diagnostics.sort_by(|a, b| (a.span, a.code, &a.message).cmp(&(b.span, b.code, &b.message)));
}

/// A world in which nothing more is known: everything that a program asks was asked before.
#[derive(Debug)]
struct Unknown;

impl Catalog for Unknown {
    fn table(&self, _: &Connector, _: Option<VersionSpec>) -> Result<TableInfo, CatalogError> {
        Err(CatalogError::NotFound)
    }
}

/// Changes that a warning names; its diff has all.
const NAMED: usize = 3;

/// Changes that are taken back one by one; where there are more, all of a table's together.
const ONE_BY_ONE: usize = 32;

/// Labels what comes with changes of a table; for each change, whether it made a mistake.
fn blame(outcome: &mut CheckOutcome, drift: &Drift, world: &Replay<'_>, recheck: Recheck<'_>) -> Vec<bool> {
    let mut told = vec![false; drift.changes.len()];
    let Some(declared) = declaration(outcome, drift).filter(|_| !outcome.diagnostics.is_empty()).cloned() else {
        return told;
    };
    let mut blamed = vec![];
    let alone = drift.changes.len() <= ONE_BY_ONE;
    for (i, (change, when)) in drift.changes.iter().enumerate().filter(|_| alone) {
        for found in gone(outcome, drift, std::slice::from_ref(change), world, recheck) {
            let text = format!("{}; right with the table as it was", sentence(change, when.as_ref()));
            told[i] |= outcome.diagnostics[found].is_error();
            outcome.diagnostics[found].labels.push(Label { span: declared.span, message: text });
            blamed.push(found);
        }
    }
    // What several changes make together.
    let all: Vec<Change> = drift.changes.iter().map(|(c, _)| c.clone()).collect();
    for found in gone(outcome, drift, &all, world, recheck).into_iter().filter(|m| !blamed.contains(m)) {
        if outcome.diagnostics[found].is_error() {
            told = vec![true; drift.changes.len()];
        }
        for (change, when) in drift.changes.iter().take(ONE_BY_ONE) {
            let label = Label { span: declared.span, message: sentence(change, when.as_ref()) };
            outcome.diagnostics[found].labels.push(label);
        }
    }
    told
}

/// What is wrong or doubtful, by its position, that is not there when these changes are taken back.
fn gone(
    outcome: &CheckOutcome,
    drift: &Drift,
    changes: &[Change],
    world: &Replay<'_>,
    recheck: Recheck<'_>,
) -> Vec<usize> {
    let mut info = drift.answer.found.clone().unwrap_or_else(|_| drift.was.clone());
    for change in changes {
        info = change.without(&drift.was, &info);
    }
    let mut answers = world.answers.clone();
    for answer in
        answers.iter_mut().filter(|a| a.connector == drift.answer.connector && a.version == drift.answer.version)
    {
        answer.found = Ok(info.clone());
    }
    let before = recheck(&Replay { answers, rest: &Unknown, hypothetical: true });
    let same = |a: &Diagnostic, b: &Diagnostic| a.code == b.code && a.span == b.span;
    let all = outcome.diagnostics.iter().enumerate();
    all.filter(|(_, d)| !before.diagnostics.iter().any(|b| same(b, d))).map(|(i, _)| i).collect()
}

fn declaration<'a>(outcome: &'a CheckOutcome, drift: &Drift) -> Option<&'a Declared> {
    let same = |d: &&Declared| d.connector == drift.answer.connector && d.version == drift.answer.version;
    outcome.declared.iter().find(same)
}

/// What changed, and when.
pub fn sentence(change: &Change, when: Option<&When>) -> String {
    match when {
        Some(when) => format!("{} {when}", change.sentence()),
        None => change.sentence(),
    }
}

/// What did no harm.
fn warnings_of(
    outcome: &CheckOutcome,
    drift: &Drift,
    changes: &[&(Change, Option<When>)],
    harmless: Harmless,
) -> Vec<Diagnostic> {
    let Some(declared) = declaration(outcome, drift) else { return vec![] };
    let wrong = outcome.diagnostics.iter().any(Diagnostic::is_error);
    let kept = match harmless {
        _ if wrong => "it is said again until the program is right",
        Harmless::Built => "the program is right with it; it is said until the program is built again",
        _ => "the program is right with it, and flow.lock is brought up to date: this is said once",
    };
    // What one version changed is told at once.
    let mut groups: Vec<(&'static str, Option<&When>, Vec<&Change>)> = vec![];
    for (change, when) in changes {
        if declared.role == "sink" && written_by_itself(outcome, declared, change) {
            continue;
        }
        let (code, when) = (change.code(), when.as_ref());
        match groups.iter_mut().find(|(c, w, _)| *c == code && *w == when) {
            Some((.., group)) => group.push(change),
            None => groups.push((code, when, vec![change])),
        }
    }
    let warning = |(code, when, changes): (&'static str, Option<&When>, Vec<&Change>)| {
        let mut sentences: Vec<String> = changes.iter().take(NAMED).map(|c| c.sentence()).collect();
        if changes.len() > NAMED {
            sentences.push(format!("{} more changes", changes.len() - NAMED));
        }
        let when = when.map(|w| format!(" {w}")).unwrap_or_default();
        let text = format!("{} `{}` changed: {}{when}", declared.role, declared.name, sentences.join(", "));
        let mut warning =
            Diagnostic::warning(code, declared.span, text).label("not as it was when the program was last right");
        for column in changes.iter().filter(|c| !matches!(c, Change::Added(_))).filter_map(|c| c.column()) {
            let read = outcome.checked.as_ref().and_then(|checked| first_read(checked, declared, column));
            if let Some(origin) = read {
                let span = Span { file: FileId(origin.file), start: origin.start, end: origin.end };
                warning = warning.also(span, format!("`{column}` is read here"));
            }
        }
        let lines: String = changes.iter().flat_map(|c| c.diff()).map(|line| format!("\n    {line}")).collect();
        warning.help(format!("{kept}{lines}"))
    };
    groups.into_iter().map(warning).collect()
}

/// Whether a column of a sink's table came because this very program writes it.
fn written_by_itself(outcome: &CheckOutcome, declared: &Declared, change: &Change) -> bool {
    let Change::Added(field) = change else { return false };
    let sinks = outcome.checked.iter().flat_map(|c| &c.sinks).filter(|s| s.name == declared.name);
    sinks.flat_map(|s| &s.program.outputs).any(|o| o.field.name == field.name)
}

/// The first expression that reads a column of a source or table.
fn first_read(checked: &Checked, declared: &Declared, column: &str) -> Option<Origin> {
    let source = checked.sources.iter().position(|s| s.spec.name == declared.name).map(Input::Source);
    let input =
        source.or_else(|| checked.tables.iter().position(|t| t.spec.name == declared.name).map(Input::Table))?;
    let derived = match input {
        Input::Source(i) => checked.sources[i].derive.as_ref().and_then(|p| in_program(p, &[column.to_string()])),
        _ => None,
    };
    derived.or_else(|| checked.flows.iter().find_map(|flow| in_flow(checked, flow, input, column)))
}

fn in_flow(checked: &Checked, flow: &crate::checked::CheckedFlow, input: Input, column: &str) -> Option<Origin> {
    let mut names: Vec<String> = if flow.input == input { vec![column.to_string()] } else { vec![] };
    for step in &flow.steps {
        match &step.operation {
            Operation::Lookup { table, alias, on, .. } if input == Input::Table(*table) => {
                let width = on_width(checked, *table, &step.rows.schema);
                let at = checked.tables[*table].spec.schema.index_of(column);
                let found = at.zip(width).and_then(|(at, width)| in_expr(on, &|slot| slot == width + at));
                if found.is_some() {
                    return found;
                }
                names.push(format!("{alias}.{column}"));
            }
            Operation::Transform(program) => {
                if let Some(found) = in_program(program, &names) {
                    return Some(found);
                }
            }
            _ => {}
        }
    }
    None
}

/// How many columns stand before those of a looked up table in the condition of its join.
fn on_width(checked: &Checked, table: usize, after: &Schema) -> Option<usize> {
    after.len().checked_sub(checked.tables[table].spec.schema.len())
}

fn in_program(program: &Program, names: &[String]) -> Option<Origin> {
    let wanted = |slot: usize| program.input.fields.get(slot).is_some_and(|f| names.contains(&f.name));
    let steps = program.steps.iter().map(|step| match step {
        ProgramStep::Let(e) | ProgramStep::Filter(e) | ProgramStep::Assert { condition: e, .. } => e,
    });
    steps.chain(program.outputs.iter().map(|o| &o.value)).find_map(|e| in_expr(e, &wanted))
}

fn in_expr(expr: &Expr, wanted: &dyn Fn(usize) -> bool) -> Option<Origin> {
    let mut found = None;
    expr.walk(&mut |e| {
        if let ExprKind::Column(slot) = e.kind
            && wanted(slot)
        {
            found.get_or_insert(e.origin);
        }
    });
    found
}
