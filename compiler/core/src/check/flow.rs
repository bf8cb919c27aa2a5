//! Sources, tables and flows by name: each checked once, flows after what they read.

use crate::check::declarations::Relation;
use crate::check::scope::Rows;
use crate::check::{Checker, Used, list, origin};
use crate::checked::{CheckedFlow, CheckedStep, Input, Operation};
use crate::codes;
use flowc_syntax::ast::{Flow, FlowRef, Step};
use flowc_syntax::diagnostic::{Diagnostic, did_you_mean};
use flowc_syntax::span::Span;

/// What is known of a source, table or flow that was checked.
#[derive(Debug, Clone)]
pub(crate) struct Done {
    /// Where it is in the checked program.
    pub input: Input,
    /// Its rows.
    pub rows: Rows,
}

/// How far a source, table or flow has come.
#[derive(Debug, Clone)]
pub(crate) enum State {
    /// Its steps are being checked.
    Open,
    /// Checked; none: it stands in a circle.
    Done(Option<Done>),
}

/// A flow while its steps are checked.
#[derive(Debug)]
pub(crate) struct FlowBuilder {
    /// Its name.
    pub name: String,
    /// The rows so far.
    pub rows: Rows,
    steps: Vec<CheckedStep>,
}

impl FlowBuilder {
    /// Adds what a step does.
    pub fn push(&mut self, step: &Step, keyword: &'static str, operation: Operation, rows: Rows) {
        let checked = CheckedStep { operation, rows: rows.checked(), keyword, origin: origin(step.span) };
        self.steps.push(checked);
        self.rows = rows;
    }

    /// After a step that is wrong nothing is known of the columns.
    pub fn give_up(&mut self) {
        self.rows = Rows { columns: vec![], open: true, event_time: None, ..self.rows.clone() };
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
        if let Some(output) = &reference.output {
            self.side_output(relation.word(), &name.text, &output.text, output.span);
            return None;
        }
        self.relation_named(&name.text, Some(name.span))
    }

    fn side_output(&self, word: &str, name: &str, output: &str, span: Span) {
        let outputs = ["rejected", "late", "malformed"];
        if outputs.contains(&output) {
            let what = format!("`{name}.{output}`");
            self.unsupported(codes::UNSUPPORTED_SIDE_OUTPUT, span, &what, &format!("read `{name}` itself"));
            return;
        }
        self.report(
            Diagnostic::error(codes::UNKNOWN_RELATION, span, format!("the {word} `{name}` has no output `{output}`"))
                .label("unknown output")
                .help(match did_you_mean(output, outputs) {
                    Some(near) => format!("did you mean `{name}.{near}`?"),
                    None => format!("its outputs are {}", list(outputs.map(|o| format!("{name}.{o}")))),
                }),
        );
    }

    fn unknown_relation(&self, reference: &FlowRef) {
        let name = &reference.name;
        let names: Vec<&str> = self.declarations.relations.keys().map(String::as_str).collect();
        let help = match did_you_mean(&name.text, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if self.declarations.sinks.contains_key(&name.text) => {
                format!("`{}` is a sink: read the flow that it writes, or declare its table as a source", name.text)
            }
            None if names.is_empty() => format!("declare it: `source {} = delta(\"…\")`", name.text),
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
            Some(State::Done(done)) => return done,
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
            done.rows = Rows { columns: vec![], ..Rows::unknown() };
        }
        self.relations.borrow_mut().insert(name.to_string(), State::Done(done.clone()));
        done
    }

    fn flow(&self, flow: &Flow) -> Done {
        let input = self.relation(&flow.input);
        let mut rows = input.as_ref().map_or_else(Rows::unknown, |i| i.rows.clone());
        rows.open |= self.declarations.broken.contains(&flow.name.text);
        let mut builder = FlowBuilder { name: flow.name.text.clone(), rows, steps: vec![] };
        for step in &flow.steps {
            self.step(&mut builder, step);
        }
        let mut checked = self.checked.borrow_mut();
        checked.flows.push(CheckedFlow {
            name: flow.name.text.clone(),
            doc: flow.doc.clone(),
            input: input.map_or(Input::Source(0), |i| i.input),
            steps: builder.steps,
            rows: builder.rows.checked(),
            origin: origin(flow.span),
        });
        Done { input: Input::Flow(checked.flows.len() - 1), rows: builder.rows }
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
