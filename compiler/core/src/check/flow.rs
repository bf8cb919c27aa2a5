//! Sources, tables and flows by name: each checked once, flows after what they read.

use crate::check::columns::Columns;
use crate::check::declarations::Relation;
use crate::check::scope::{Column, Obstacle, Remedy, Rows};
use crate::check::time::watermark_needed;
use crate::check::{Checker, Used, article, list, origin};
use crate::checked::{CheckedFlow, CheckedRejects, CheckedStep, Input, Operation};
use crate::codes;
use flowc_ir::{Expr, ExprKind, Output, Program, Type, Value};
use flowc_syntax::ast::{Flow, FlowRef, Name, Step};
use flowc_syntax::diagnostic::{Diagnostic, Help, did_you_mean};
use flowc_syntax::span::Span;

/// What is known of a source, table or flow that was checked.
#[derive(Debug, Clone)]
pub(crate) struct Done {
    /// Where it is in the checked program.
    pub input: Input,
    /// Its rows.
    pub rows: Rows,
    /// The rows that its expectations reject; none: it has no expectation that quarantines.
    pub rejected: Option<Rows>,
    /// The steps of it that rows can come too late for.
    pub late: Vec<LateStep>,
}

impl Done {
    /// Something that no rows are taken from but these.
    pub fn new(input: Input, rows: Rows) -> Self {
        Done { input, rows, rejected: None, late: vec![] }
    }
}

/// A step that rows can come too late for.
#[derive(Debug, Clone)]
pub(crate) struct LateStep {
    /// Its index.
    pub step: usize,
    /// Its keyword.
    pub keyword: Span,
    /// The rows before it.
    pub rows: Rows,
}

/// How far a source, table or flow has come.
#[derive(Debug, Clone)]
pub(crate) enum State {
    /// Its steps are being checked.
    Open,
    /// Checked; none: it stands in a circle.
    Done(Option<Box<Done>>),
}

/// A flow while its steps are checked.
#[derive(Debug)]
pub(crate) struct FlowBuilder {
    /// Its name.
    pub name: String,
    /// The rows so far.
    pub rows: Rows,
    /// The rules of its expectations so far.
    pub rules: Vec<(String, Span)>,
    /// What its expectations reject so far.
    pub rejects: Vec<Rejects>,
    /// The steps so far that rows can come too late for.
    pub late: Vec<LateStep>,
    /// What it starts from, as it is written.
    pub start: String,
    steps: Vec<CheckedStep>,
}

/// The rows that an `expect` rejects.
#[derive(Debug)]
pub(crate) struct Rejects {
    /// The first step of the `expect`.
    pub first: usize,
    /// The step that judges.
    pub step: usize,
    /// Keeps the rejected rows, in their columns.
    pub program: Program,
    /// Those columns.
    pub rows: Rows,
}

impl FlowBuilder {
    /// Adds what a step does.
    pub fn push(&mut self, step: &Step, keyword: &'static str, operation: Operation, rows: Rows) {
        let mut rows = rows;
        if self.rows.time.event.is_some() && rows.time.event.is_none() && rows.time.lost.is_none() {
            rows.time.lost = Some((step.keyword, keyword));
        }
        let checked = CheckedStep { operation, rows: rows.checked(), keyword, origin: origin(step.span) };
        let operation = &checked.operation;
        if checked.is_whole() {
            let remedy = match operation.is_bound_in_time() {
                true => watermark_needed(&rows.time.unmarked),
                false => Remedy::End,
            };
            rows.gathered.get_or_insert(Obstacle { span: step.keyword, step: keyword, remedy });
        }
        self.steps.push(checked);
        self.rows = rows;
    }

    /// The index of the step that was added last.
    pub fn last_step(&self) -> usize {
        self.steps.len().saturating_sub(1)
    }

    /// The index of the step that is added next.
    pub fn next_step(&self) -> usize {
        self.steps.len()
    }

    /// After a step that is wrong nothing is known of the columns.
    pub fn give_up(&mut self) {
        self.rows = Rows { columns: Columns::default(), open: true, ..self.rows.clone() };
        (self.rows.time.event, self.rows.time.window) = (None, None);
        self.rows.facts = Default::default();
    }
}

impl Checker<'_> {
    /// Checks all sources, tables and flows.
    pub(super) fn check_relations(&self) {
        // Sources and tables first, so that they are kept in the order of their declaration.
        let flows = |relation: &Relation<'_>| matches!(relation, Relation::Flow(_));
        let (first, then): (Vec<_>, Vec<_>) = self.declarations.relations.iter().partition(|(_, r)| !flows(r));
        for (name, _) in first.into_iter().chain(then) {
            self.relation_named(name, None);
        }
    }

    /// What a reference stands for.
    pub(super) fn relation(&self, reference: &FlowRef) -> Option<Done> {
        let name = &reference.name;
        let Some(relation) = self.declarations.relations.get(&name.text) else {
            if !self.declarations.broken.contains(&name.text) {
                self.unknown_relation(reference);
            }
            return None;
        };
        self.mark(Used::Relation, &name.text);
        if let Some(output) = reference.output.as_ref().filter(|o| o.text == super::malformed::OUTPUT) {
            return self.malformed(relation, name, output.span);
        }
        let done = self.relation_named(&name.text, Some(name.span));
        match &reference.output {
            None => done,
            Some(output) if output.text == "rejected" => self.rejected(done?, name, output.span),
            Some(output) if output.text == super::late::OUTPUT => self.late(done?, relation, name, output.span),
            Some(output) => {
                self.side_output(relation.word(), &name.text, &output.text, output.span);
                None
            }
        }
    }

    /// `flow.rejected`
    fn rejected(&self, flow: Done, name: &Name, span: Span) -> Option<Done> {
        if let (Input::Flow(index), Some(rows)) = (flow.input, flow.rejected) {
            return Some(Done::new(Input::Rejected(index), rows));
        }
        if !self.declarations.broken.contains(&name.text) {
            self.report(
                Diagnostic::error(codes::NOTHING_REJECTED, span, format!("`{}` rejects no rows", name.text))
                    .label("no rule of it quarantines")
                    .help("add a rule: `|> expect { known: id is not null else quarantine }`"),
            );
        }
        None
    }

    fn side_output(&self, word: &str, name: &str, output: &str, span: Span) {
        let outputs = ["rejected", "late", "malformed"];
        self.report(
            Diagnostic::error(codes::UNKNOWN_RELATION, span, format!("the {word} `{name}` has no output `{output}`"))
                .label("unknown output")
                .help(match did_you_mean(output, outputs) {
                    Some(near) => Help::instead(format!("did you mean `{name}.{near}`?"), near),
                    None => format!("its outputs are {}", list(outputs.map(|o| format!("{name}.{o}")))).into(),
                }),
        );
    }

    fn unknown_relation(&self, reference: &FlowRef) {
        let name = &reference.name;
        let names: Vec<&str> = self.declarations.relations.keys().map(String::as_str).collect();
        let help = match did_you_mean(&name.text, names.iter().copied()) {
            Some(near) => Help::did_you_mean(near),
            None if self.declarations.sinks.contains_key(&name.text) => {
                format!("`{}` is a sink: read the flow that it writes, or declare its table as a source", name.text)
                    .into()
            }
            None if names.is_empty() => format!("declare it: `source {} = delta(\"…\")`", name.text).into(),
            None => super::names::suggestion(&name.text, &names, "there are"),
        };
        self.report(
            Diagnostic::error(
                codes::UNKNOWN_RELATION,
                name.span,
                format!("there is no source, table or flow `{}`", name.text),
            )
            .label("unknown name")
            .help(help),
        );
    }

    pub(super) fn relation_named(&self, name: &str, reference: Option<Span>) -> Option<Done> {
        let relation = *self.declarations.relations.get(name)?;
        let state = self.relations.borrow().get(name).cloned();
        match state {
            Some(State::Done(done)) => return done.map(|done| *done),
            Some(State::Open) => {
                let declared = relation.name().span;
                self.report(
                    Diagnostic::error(
                        codes::FLOW_CYCLE,
                        reference.unwrap_or(declared),
                        format!("the flow `{name}` reads itself"),
                    )
                    .label(format!("this leads back to `{name}`"))
                    .also(declared, "declared here")
                    .help("start it from a source, a table or another flow"),
                );
                return None;
            }
            None => {}
        }
        self.relations.borrow_mut().insert(name.to_string(), State::Open);
        let mut done = match relation {
            Relation::Source(source) => Some(self.source(source)),
            Relation::Table(table) => Some(self.table(table)),
            Relation::Flow(flow) => Some(self.flow(flow)),
        };
        if let Some(done) = done.as_mut().filter(|_| self.declarations.broken.contains(name)) {
            done.rows = Rows { columns: Columns::default(), ..Rows::unknown() };
        }
        if let Some(done) = &done {
            self.note_relation(name, &done.rows);
        }
        self.relations.borrow_mut().insert(name.to_string(), State::Done(done.clone().map(Box::new)));
        done
    }

    fn flow(&self, flow: &Flow) -> Done {
        let input = self.relation(&flow.input);
        let mut rows = input.as_ref().map_or_else(Rows::unknown, |i| i.rows.clone());
        rows.open |= self.declarations.broken.contains(&flow.name.text);
        let mut builder = FlowBuilder {
            name: flow.name.text.clone(),
            rows,
            rules: vec![],
            rejects: vec![],
            late: vec![],
            start: flow.input.name.text.clone(),
            steps: vec![],
        };
        for step in &flow.steps {
            self.step(&mut builder, step);
        }
        let rejected = self.rejected_rows(&mut builder, flow);
        let rejects =
            builder.rejects.into_iter().map(|r| CheckedRejects { first: r.first, step: r.step, program: r.program });
        let mut checked = self.checked.borrow_mut();
        checked.flows.push(CheckedFlow {
            name: flow.name.text.clone(),
            doc: flow.doc.clone(),
            input: input.map_or(Input::Source(0), |i| i.input),
            steps: builder.steps,
            rows: builder.rows.checked(),
            rejected: rejects.collect(),
            late: super::late::checked(&builder.late),
            origin: origin(flow.span),
        });
        Done { input: Input::Flow(checked.flows.len() - 1), rows: builder.rows, rejected, late: builder.late }
    }

    /// The rows that all expectations of a flow reject, brought into the columns of all of them: what one of them lacks is null.
    fn rejected_rows(&self, builder: &mut FlowBuilder, flow: &Flow) -> Option<Rows> {
        let (first, rest) = builder.rejects.split_first()?;
        let mut rows = first.rows.clone();
        for other in rest {
            rows.open |= other.rows.open;
            rows.bounded &= other.rows.bounded;
            rows.time.or(&other.rows.time);
            for column in rows.columns.iter_mut().filter(|c| other.rows.own(&c.name).is_none()) {
                column.ty = column.ty.clone().map(|t| t.with_nullable(true));
            }
            for column in &other.rows.columns {
                let Some(known) = rows.columns.iter_mut().find(|c| c.name == column.name) else {
                    let ty = column.ty.clone().map(|t| t.with_nullable(true));
                    rows.columns.push(Column { ty, ..column.clone() });
                    continue;
                };
                let (Some(a), Some(b)) = (&known.ty, &column.ty) else { continue };
                match a.common(b) {
                    Some(ty) => known.ty = Some(ty),
                    None => {
                        self.rejects_differ(flow, &column.name, (a, b));
                        return Some(Rows::unknown());
                    }
                }
            }
        }
        let columns = rows.columns.clone();
        let mut rows = rows.with_columns(columns);
        // The columns that every rejected row has stand behind the others.
        let behind = |c: &Column| ["_failed", "_epoch"].iter().position(|n| *n == c.name);
        rows.columns.sort_by_key(|c| behind(c).map_or(0, |place| place + 1));
        let columns = rows.columns.clone();
        let rows = rows.with_columns(columns);
        for rejects in &mut builder.rejects {
            let made = std::mem::take(&mut rejects.program.outputs);
            let output = |column: &Column| {
                let ty = column.ty.clone().unwrap_or_else(Type::null);
                let field = column.field(ty.clone());
                let value = match made.iter().find(|o| o.field.name == column.name) {
                    Some(made) => self.converted(made.value.clone(), &ty.data),
                    None => Expr::new(ExprKind::Literal(Value::Null), ty, origin(flow.span)),
                };
                Output { field, value }
            };
            rejects.program.outputs = rows.columns.iter().map(output).collect();
        }
        Some(rows)
    }

    fn rejects_differ(&self, flow: &Flow, column: &str, (a, b): (&Type, &Type)) {
        self.report(
            Diagnostic::error(
                codes::REJECTS_DIFFER,
                flow.name.span,
                format!("the rejected rows of `{}` have two kinds of `{column}`", flow.name.text),
            )
            .label(format!("{} for one `expect`, {} for another", article(a), article(b)))
            .help("split the flow: each part has rejected rows of its own"),
        );
    }

    /// Reports something of the language that does not run yet.
    pub(super) fn unsupported(&self, code: &'static str, span: Span, what: &str, instead: &str) {
        let verb = if what.ends_with('s') && !what.ends_with('`') || what.contains(" and ") || what.ends_with(')') {
            "are"
        } else {
            "is"
        };
        self.report(
            Diagnostic::error(code, span, format!("{what} {verb} not supported yet"))
                .label("checked as far as its grammar, but it cannot run")
                .help(instead),
        );
    }
}
