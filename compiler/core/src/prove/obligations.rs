//! What has to hold, and what became of it: the constraints of sinks, and with the rules of flows everything together.

use crate::checked::{Checked, CheckedSink, Decision, Input, Obligation, ObligationKind, Owner};
use crate::codes;
use crate::explain::expression::{self, show};
use crate::optimize::analysis::columns_of;
use crate::prove::decide::Verdict;
use crate::prove::follow::{Follower, Written, slot_names};
use crate::prove::knowledge::{Knowledge, Reason, present};
use crate::prove::rules;
use flowc_ir::cast::format::text_of;
use flowc_ir::types::quote_name;
use flowc_ir::{Expr, ExprKind, Origin, Program, ProgramStep, Value};
use flowc_syntax::diagnostic::Diagnostic;
use flowc_syntax::span::{FileId, Span};
use std::collections::{BTreeMap, BTreeSet};

/// Decides everything that has to hold: the tests of what is proved are taken out of the program, what is refuted or open is reported.
pub(crate) fn decide(checked: &mut Checked, written: Written<'_>) -> Vec<Diagnostic> {
    let mut found = vec![];
    let mut decided = vec![];
    let mut programs = vec![];
    let mut follower = Follower::new(checked, written);
    for sink in &checked.sinks {
        let mut known = follower.input(sink.input);
        let mut part = SinkPart { checked, sink, found: vec![], decided: vec![], proved: BTreeSet::new() };
        part.decide(&mut follower, &mut known);
        found.append(&mut part.found);
        decided.append(&mut part.decided);
        let steps = sink.program.steps.iter().enumerate().filter(|(at, _)| !part.proved.contains(at));
        programs.push(steps.map(|(_, step)| step.clone()).collect::<Vec<_>>());
    }
    // Flows that no sink reads are of interest as well.
    for index in 0..checked.flows.len() {
        follower.input(Input::Flow(index));
    }
    let rules = std::mem::take(&mut follower.rules);
    let mut dead = std::mem::take(&mut follower.dead);
    dead.sort();
    dead.dedup();
    found.extend(dead.iter().map(|(origin, facts)| dead_filter(*origin, facts)));
    for (sink, steps) in checked.sinks.iter_mut().zip(programs) {
        sink.program.steps = steps;
        sink.tested.clear();
    }
    checked.obligations = rules::decide(checked, rules, written, &mut found);
    checked.obligations.append(&mut decided);
    rest_on(checked);
    found
}

/// Notes in sources and tables what the proofs need of them: a run does not read a version that no longer promises it.
fn rest_on(checked: &mut Checked) {
    let mut needed: BTreeSet<(Input, String)> = BTreeSet::new();
    for obligation in &checked.obligations {
        if let Decision::Proved(facts) = &obligation.decision {
            needed.extend(facts.iter().filter_map(|f| f.promise.clone()));
        }
    }
    let of = |info: &flowc_ir::catalog::TableInfo, name: &String| {
        let all = info.constraints.iter().chain(&info.generated);
        all.filter(|(n, _)| n == name).cloned().collect::<Vec<_>>()
    };
    for (input, name) in needed {
        match input {
            Input::Source(index) => {
                let source = &mut checked.sources[index];
                source.spec.promises.extend(of(&source.info, &name));
            }
            Input::Table(index) => {
                let table = &mut checked.tables[index];
                table.spec.promises.extend(of(&table.info, &name));
            }
            _ => {}
        }
    }
}

/// The obligations of a sink.
struct SinkPart<'a> {
    checked: &'a Checked,
    sink: &'a CheckedSink,
    found: Vec<Diagnostic>,
    decided: Vec<Obligation>,
    /// Steps of the sink's program that are not needed.
    proved: BTreeSet<usize>,
}

impl SinkPart<'_> {
    fn decide(&mut self, follower: &mut Follower<'_>, known: &mut Knowledge) {
        let program = &self.sink.program;
        let names = slot_names(program);
        let source = format!("sink `{}`", self.sink.name);
        for (at, step) in program.steps.iter().enumerate() {
            match step {
                ProgramStep::Let(e) => {
                    let text = format!("{} = {}", names[known.columns.len()], show(e, &names));
                    let reason = Reason { text, source: source.clone(), origin: Some(self.sink.origin), promise: None };
                    let variable = known.defined(known.over(e), Some(reason));
                    known.columns.push(variable);
                }
                ProgramStep::Assert { condition, .. } => {
                    self.tested(follower, known, at, condition, &names);
                    // A table's own constraint is written nowhere in the program.
                    let text = show(&inlined(condition, program), &names[..program.input.len()]);
                    let reason = Reason { text, source: source.clone(), origin: Some(self.sink.origin), promise: None };
                    let over = known.over(condition);
                    known.learn(&over, true, &|_| vec![reason.clone()]);
                }
                ProgramStep::Filter(_) => {}
            }
        }
        self.not_nulls(known);
    }

    fn tested(&mut self, follower: &Follower<'_>, known: &Knowledge, at: usize, condition: &Expr, names: &[String]) {
        let Some(tested) = self.sink.tested.iter().find(|t| t.step == at) else { return };
        let program = &self.sink.program;
        let inlined = inlined(condition, program);
        let inputs = &names[..program.input.len()];
        let as_written = follower.written(tested.origin).filter(|_| tested.kind == ObligationKind::Constraint);
        let text = match as_written.filter(|_| columns_of(condition).iter().all(|c| *c < inputs.len())) {
            Some(text) => text,
            None => show(&inlined, inputs),
        };
        let decision = match known.decide(condition) {
            Verdict::Proved(facts) => {
                self.proved.insert(at);
                Decision::Proved(facts)
            }
            Verdict::Refuted { witness, facts } => {
                let row = row(known, &witness, inputs);
                self.found.push(self.refuted(&tested.name, tested.kind, tested.origin, &row, &facts));
                return;
            }
            Verdict::Unreachable(_) => Decision::Open,
            Verdict::Open => {
                self.found.push(self.open(&tested.name, tested.kind, tested.origin, &text));
                Decision::Open
            }
        };
        self.push(&tested.name, tested.kind, tested.origin, text, decision);
    }

    /// Columns of the table that must not be null: the types have shown it already, the facts say why.
    fn not_nulls(&mut self, known: &Knowledge) {
        let Some(table) = &self.sink.existing else { return };
        for field in table.schema.fields.iter().filter(|f| !f.ty.nullable) {
            let output = self.sink.program.outputs.iter().find(|o| o.field.name == field.name);
            let Some(ExprKind::Column(slot)) = output.map(|o| &o.value.kind) else { continue };
            let Some(variable) = known.columns.get(*slot) else { continue };
            let goal = present(*variable, &known.variables[*variable].data);
            let facts = match known.decide_over(&goal) {
                Verdict::Proved(facts) => facts,
                _ => vec![],
            };
            let text = format!("{} is not null", expression::name(&field.name));
            self.push(&field.name, ObligationKind::NotNull, self.sink.origin, text, Decision::Proved(facts));
        }
    }

    fn push(&mut self, name: &str, kind: ObligationKind, origin: Origin, condition: String, decision: Decision) {
        let owner = Owner::Sink(self.sink.name.clone());
        self.decided.push(Obligation { name: name.into(), owner, kind, condition, origin, decision });
    }

    fn flow_name(&self) -> &str {
        match self.sink.input {
            Input::Flow(index) | Input::Rejected(index) | Input::Late(index) => &self.checked.flows[index].name,
            Input::Source(index) | Input::Malformed(index) => &self.checked.sources[index].spec.name,
            Input::Table(index) => &self.checked.tables[index].spec.name,
        }
    }

    fn open(&self, name: &str, kind: ObligationKind, origin: Origin, text: &str) -> Diagnostic {
        let flow = self.flow_name();
        let what = described(name, kind);
        let rule = format!("|> expect {{ {}: {text} else quarantine }}", quote_name(name));
        let place = match self.sink.input {
            Input::Flow(_) => format!("at the end of `{flow}`:\n    {rule}"),
            _ => format!("in a flow that the sink reads:\n    flow checked = {}\n        {rule}", quote_name(flow)),
        };
        Diagnostic::warning(
            codes::OPEN_CONSTRAINT,
            span(origin),
            format!("nothing guarantees {what}: a row of `{flow}` that breaks it stops the run"),
        )
        .label("tested for every row that is written")
        .help(format!("say what becomes of such rows, {place}"))
    }

    fn refuted(&self, name: &str, kind: ObligationKind, origin: Origin, row: &str, facts: &[Reason]) -> Diagnostic {
        let flow = self.flow_name();
        let mut diagnostic = Diagnostic::error(
            codes::REFUTED_CONSTRAINT,
            span(origin),
            format!("no row of `{flow}` can fulfil {}", described(name, kind)),
        )
        .label(not_true(row));
        for fact in facts {
            let at = span(fact.origin.unwrap_or(self.sink.origin));
            diagnostic = diagnostic.also(at, format!("{}: {}", fact.source, fact.text));
        }
        diagnostic.help("change the condition, or what the flow computes")
    }
}

/// Conditions that the facts rule out.
fn dead_filter(origin: Origin, facts: &[Reason]) -> Diagnostic {
    let mut diagnostic =
        Diagnostic::warning(codes::DEAD_FILTER, span(origin), "no row can pass this `where`").label("true of no row");
    let mut tables = vec![];
    for fact in facts {
        match fact.origin {
            Some(at) => diagnostic = diagnostic.also(span(at), format!("{}: {}", fact.source, fact.text)),
            None => tables.push(format!("{} ({})", fact.text, fact.source)),
        }
    }
    let known = if tables.is_empty() { String::new() } else { format!("; it is known that {}", tables.join(", ")) };
    diagnostic.help(format!("leave the step out, or change its condition{known}"))
}

/// ``the constraint `sane` of the table``
fn described(name: &str, kind: ObligationKind) -> String {
    match kind {
        ObligationKind::Constraint => format!("the constraint `{name}`"),
        ObligationKind::TableConstraint => format!("the table's constraint `{name}`"),
        ObligationKind::GeneratedColumn => format!("what the table computes for its column `{name}`"),
        ObligationKind::NotNull => format!("that `{name}` is not null"),
        ObligationKind::Rule => format!("the rule `{name}`"),
    }
}

/// The condition over the columns of the flow: what the sink computes stands in its place.
fn inlined(condition: &Expr, program: &Program) -> Expr {
    let first = program.input.len();
    let lets: Vec<&Expr> = program
        .steps
        .iter()
        .filter_map(|s| match s {
            ProgramStep::Let(e) => Some(e),
            _ => None,
        })
        .collect();
    let mut e = same_or_null(condition).unwrap_or_else(|| condition.clone());
    // What is computed later may use what is computed before it.
    for (at, value) in lets.iter().enumerate().rev() {
        e.walk_mut(&mut |e| {
            if e.kind == ExprKind::Column(first + at) {
                e.kind = value.kind.clone();
            }
        });
    }
    e
}

/// The test of a generated column, `let x = … in (column == x) ?? (both are null)`, as it would be written.
fn same_or_null(condition: &Expr) -> Option<Expr> {
    let ExprKind::Let { value, body, .. } = &condition.kind else { return None };
    let ExprKind::Coalesce(parts) = &body.kind else { return None };
    let column = parts.first().and_then(|equal| equal.children().first().map(|c| (*c).clone()))?;
    let function = flowc_ir::functions::find("equal_null")?;
    let args = vec![column, (**value).clone()];
    Some(Expr::new(ExprKind::Call { function, args }, condition.ty.clone(), condition.origin))
}

/// The columns of a witness that matter, as a row is written.
pub(super) fn row(known: &Knowledge, witness: &BTreeMap<usize, Value>, names: &[String]) -> String {
    let mut parts = vec![];
    for (variable, name) in known.columns.iter().zip(names) {
        if let Some(value) = witness.get(variable).filter(|_| !name.starts_with('#')) {
            let data = &known.variables[*variable].data;
            parts.push(format!("{name}: {}", shown(value, data)));
        }
    }
    if parts.is_empty() { String::new() } else { format!("{{ {} }}", parts.join(", ")) }
}

/// What to say of a condition that no row fulfils.
pub(super) fn not_true(row: &str) -> String {
    if row.is_empty() { "true of no row".into() } else { format!("not true, for example, of the row {row}") }
}

fn shown(value: &Value, data: &flowc_ir::DataType) -> String {
    match data.is_numeric() {
        true => text_of(value, data),
        false => expression::value(value, data),
    }
}

pub(super) fn span(origin: Origin) -> Span {
    Span::new(FileId(origin.file), origin.start as usize, origin.end as usize)
}
