//! `test` blocks: what they name, in which order their clauses may stand, and the params that they give. Their rows are the matter of `test_rows`.
//!
//! A test that gives params is checked against the program as these make it: a second check of the whole, of which only what is new is reported.

use crate::check::declarations::Relation;
use crate::check::flow::Done;
use crate::check::scope::{Column, Env, Rows};
use crate::check::test_rows::Other;
use crate::check::{Checker, Findings, Used, article, list, origin};
use crate::checked::{CheckedClause, CheckedTest, ClauseKind, Expected, Input, Observed, reads_clock};
use crate::codes;
use flowc_ir::graph::malformed_schema;
use flowc_ir::types::quote_name;
use flowc_ir::{DataType, Schema, Type, Value};
use flowc_syntax::ast::{self, FlowRef, Name, Param, SourceClauseKind, Test, TestClause, TestClauseKind};
use flowc_syntax::diagnostic::{Diagnostic, Help, did_you_mean};
use flowc_syntax::span::Span;
use std::collections::BTreeSet;

/// What has been said so far while the clauses of a test are read.
#[derive(Debug, Default)]
struct Said {
    /// The tables given since the last clause that lets rows run.
    tables: Vec<(String, Span)>,
    /// `then error`.
    error: Option<Span>,
    /// The last watermark.
    watermark: Option<(i64, Span)>,
    /// Whether there is an `at`.
    clock: bool,
    /// Whether anything is expected.
    expects: bool,
}

/// What a `then` looks at.
struct Looked {
    observed: Observed,
    /// Its columns.
    columns: Vec<Column>,
    /// Whether there may be others.
    open: bool,
    /// Those that it does not see.
    others: Vec<Other>,
}

impl Checker<'_> {
    /// Checks the tests; those that give params only for what they use, as they are checked with these params.
    pub(super) fn check_tests(&self) {
        if let Some(test) = self.scenario {
            self.test_block(test);
            return;
        }
        let mut names: Vec<(&str, Span)> = vec![];
        for test in &self.declarations.tests {
            match names.iter().find(|(name, _)| *name == test.name) {
                Some((_, before)) => self.report(
                    Diagnostic::error(
                        codes::DUPLICATE_DECLARATION,
                        test.name_span,
                        format!("there are two tests called \"{}\"", test.name),
                    )
                    .label("declared again here")
                    .also(*before, "a test of this name is declared here")
                    .help("give one of them another name"),
                ),
                None => names.push((&test.name, test.name_span)),
            }
            if gives_params(test) { self.silently(|| self.test_block(test)) } else { self.test_block(test) }
        }
    }

    fn test_block(&self, test: &Test) {
        let before = self.errors();
        let mut said = Said::default();
        let mut clauses = vec![];
        for clause in &test.clauses {
            let kind = self.test_clause(clause, &mut said);
            clauses.extend(kind.map(|kind| CheckedClause { kind, origin: origin(clause.span) }));
        }
        if !said.expects {
            self.report(
                Diagnostic::warning(codes::TEST_EXPECTS_NOTHING, test.name_span, "this test expects nothing")
                    .label("only a run that stops makes it fail")
                    .help("say what comes out: `then FLOW [{ … }]`; `then FLOW []` is no row"),
            );
        }
        let sound = self.errors() == before && self.muted.get() == 0;
        let tested = CheckedTest {
            name: test.name.clone(),
            doc: test.doc.clone(),
            variant: None,
            clauses,
            origin: origin(test.name_span),
        };
        if sound {
            self.clock_is_told(test, &tested, said.clock);
            self.checked.borrow_mut().tests.push(tested);
        }
    }

    fn errors(&self) -> usize {
        self.diagnostics.borrow().iter().filter(|d| d.is_error()).count()
    }

    fn test_clause(&self, clause: &TestClause, said: &mut Said) -> Option<ClauseKind> {
        if !matches!(clause.kind, TestClauseKind::Given(..) | TestClauseKind::GivenParam(..)) {
            said.tables.clear();
        }
        match &clause.kind {
            TestClauseKind::Given(reference, rows) => {
                self.goes_on(clause, said);
                self.given(reference, rows, said)
            }
            TestClauseKind::Then(reference, rows) => {
                said.expects = true;
                let Looked { observed, columns, open, others } = self.observed(reference)?;
                let rows = self.expected_rows(rows, &columns, open, &others)?;
                let fields = Rows { columns: columns.into(), ..Rows::default() }.schema();
                Some(ClauseKind::Then(observed, Expected { schema: fields, rows }))
            }
            TestClauseKind::ThenError(code) => {
                said.expects = true;
                self.then_error(clause, code, said)
            }
            TestClauseKind::At(at) => {
                self.goes_on(clause, said);
                said.clock = true;
                match self.constant(at, &DataType::Timestamp, "the time of a test")? {
                    Value::Timestamp(at) => Some(ClauseKind::At(at)),
                    _ => None,
                }
            }
            TestClauseKind::AdvanceWatermark(to) => {
                self.goes_on(clause, said);
                self.advance(clause, to, said)
            }
            TestClauseKind::GivenParam(name, value) => {
                self.given_param(name, value);
                None
            }
        }
    }

    /// Nothing happens after the run has stopped.
    fn goes_on(&self, clause: &TestClause, said: &Said) {
        let Some(error) = said.error else { return };
        self.report(
            Diagnostic::error(codes::TEST_CLAUSE, clause.span, "nothing runs after the run has stopped")
                .label("behind `then error`")
                .also(error, "the run stops here")
                .help("put it before `then error`, or write a second test"),
        );
    }

    fn given(&self, reference: &FlowRef, rows: &ast::Expr, said: &mut Said) -> Option<ClauseKind> {
        let name = &reference.name;
        let Some(relation) = self.declarations.relations.get(&name.text) else {
            self.unknown_subject(reference, &["source", "table"]);
            return None;
        };
        if let (Relation::Source(_), Some(output)) = (relation, &reference.output)
            && output.text == super::malformed::OUTPUT
        {
            return self.given_malformed(reference, rows);
        }
        let derived = match relation {
            Relation::Source(source) if reference.output.is_none() => {
                source.clauses.iter().find_map(|c| match &c.kind {
                    SourceClauseKind::EventTime { column, value: Some(_) } => Some(column.text.as_str()),
                    _ => None,
                })
            }
            Relation::Table(_) if reference.output.is_none() => None,
            _ => {
                self.cannot_be_given(reference, relation);
                return None;
            }
        };
        let Done { input, rows: all, .. } = self.relation(reference)?;
        let (records, follows) = match input {
            Input::Source(index) => {
                let checked = self.checked.borrow();
                // Of a source with a mistake nothing is known.
                let source = checked.sources.get(index);
                let records = source.filter(|source| source.records.is_some());
                (records.map(|source| columns_of(&source.spec.schema)), source.is_some_and(|s| s.follows()))
            }
            _ => (None, matches!(relation, Relation::Table(_))),
        };
        if follows {
            if let Some((_, before)) = said.tables.iter().find(|(table, _)| *table == name.text) {
                self.report(
                    Diagnostic::error(codes::TEST_CLAUSE, name.span, format!("`{}` is given twice", name.text))
                        .label("again, before anything ran")
                        .also(*before, "the first time")
                        .help("write its rows into one list: a later `given` of a table says all that it holds from then on"),
                );
                return None;
            }
            said.tables.push((name.text.clone(), name.span));
        }
        // Of a source of records, the records are given.
        let stored = records.unwrap_or_else(|| all.columns.to_vec());
        let columns: Vec<Column> = stored.into_iter().filter(|c| Some(c.name.as_str()) != derived).collect();
        let computed = |time: &str| {
            (time.to_string(), format!("`{time}` is the source's event time: it is computed from the other columns"))
        };
        let others: Vec<Other> = derived.into_iter().map(computed).collect();
        let rows = self.given_rows(rows, &columns, all.open, &others)?;
        Some(ClauseKind::Given(input, rows))
    }

    /// Malformed records: what they are is their text; the rest can be left out.
    fn given_malformed(&self, reference: &FlowRef, rows: &ast::Expr) -> Option<ClauseKind> {
        let Done { input, .. } = self.relation(reference)?;
        let mut schema = malformed_schema();
        schema.fields.retain(|field| field.name != "_epoch");
        for field in schema.fields.iter_mut().filter(|field| field.name != "_raw") {
            field.ty.nullable = true;
        }
        let mut records = self.given_rows(rows, &columns_of(&schema), false, &[])?;
        for (index, record) in records.iter_mut().enumerate() {
            for (field, value) in schema.fields.iter().zip(record).filter(|(_, value)| value.is_null()) {
                *value = match field.ty.data {
                    DataType::Long => Value::Long(index as i64 + 1),
                    _ => Value::String("given by a test".to_string()),
                };
            }
        }
        Some(ClauseKind::Given(input, records))
    }

    fn cannot_be_given(&self, reference: &FlowRef, relation: &Relation<'_>) {
        let name = &reference.name.text;
        let (message, help) = match (relation, &reference.output) {
            (_, Some(output)) => (
                format!("`{name}.{}` cannot be given: it is what comes out of `{name}`", output.text),
                format!("expect it: `then {name}.{} […]`", output.text),
            ),
            (Relation::Flow(flow), None) => (
                format!("`{name}` is a flow: its rows follow from those of its sources"),
                format!("give the rows of what it reads: `given {} […]`", flow.input.name.text),
            ),
            _ => return,
        };
        self.report(
            Diagnostic::error(codes::TEST_SUBJECT, reference.span, message)
                .label("only sources, tables and params are given")
                .help(help),
        );
    }

    /// What stands behind `then`: a flow, one of its side outputs, or a sink.
    fn observed(&self, reference: &FlowRef) -> Option<Looked> {
        let name = &reference.name;
        match (self.declarations.relations.get(&name.text), self.declarations.sinks.get(&name.text)) {
            (Some(Relation::Flow(_)), _) => self.observed_rows(reference),
            (Some(_), _) if reference.output.is_some() => self.observed_rows(reference),
            (_, Some(_)) if reference.output.is_none() => {
                let checked = self.checked.borrow();
                let index = checked.sinks.iter().position(|s| s.name == name.text)?;
                let observed = Observed::Sink(index);
                let mut columns = columns_of(&checked.observed_schema(observed));
                drop(checked);
                self.name_columns_of_sink(&name.text, &mut columns);
                Some(Looked { observed, columns, open: false, others: vec![] })
            }
            (Some(relation), None) => {
                self.mark(Used::Relation, &name.text);
                let word = relation.word();
                self.report(
                    Diagnostic::error(
                        codes::TEST_SUBJECT,
                        reference.span,
                        format!("`{}` is a {word}: its rows are given, not expected", name.text),
                    )
                    .label("only flows and sinks are expected to have rows")
                    .help(format!("write `given {} […]`, and expect the rows of a flow that reads it", name.text)),
                );
                None
            }
            _ => {
                self.unknown_subject(reference, &["flow", "sink"]);
                None
            }
        }
    }

    /// Tells which columns of the flow those of a sink are.
    fn name_columns_of_sink(&self, sink: &str, columns: &mut [Column]) {
        let input = self.declarations.sinks.get(sink).and_then(|sink| self.relation(&sink.input));
        for column in columns {
            column.lineage = input.as_ref().and_then(|done| done.rows.own(&column.name)?.lineage);
        }
    }

    fn observed_rows(&self, reference: &FlowRef) -> Option<Looked> {
        let done = self.relation(reference)?;
        let joined = done.rows.columns.iter().filter(|c| c.table.is_some());
        let joined = joined.map(|c| {
            let (name, own) = (c.full_name().into_owned(), quote_name(&c.name));
            let help = format!(
                "it is a column of a joined table, which `then` sees once it is selected: `|> extend {own} = {name}`"
            );
            (name, help)
        });
        let own = done.rows.columns.iter().filter(|c| c.table.is_none());
        // What a step has found out not to be null is not null for its readers either.
        let own = own.map(|c| Column { ty: done.rows.seen_type(c), ..c.clone() });
        Some(Looked {
            observed: Observed::Rows(done.input),
            columns: own.collect(),
            open: done.rows.open,
            others: joined.collect(),
        })
    }

    /// Reports a name that is none of these.
    fn unknown_subject(&self, reference: &FlowRef, words: &[&str]) {
        let name = &reference.name;
        if self.declarations.broken.contains(&name.text) {
            return;
        }
        let relations = self.declarations.relations.iter();
        let fitting = relations.filter(|(_, r)| words.contains(&r.word())).map(|(n, _)| n.as_str());
        let sinks = self.declarations.sinks.keys().map(String::as_str).filter(|_| words.contains(&"sink"));
        let mut names: Vec<&str> = fitting.collect();
        names.extend(sinks.filter(|s| !names.contains(s)).collect::<Vec<_>>());
        let what = words.join(" or ");
        let diagnostic = if self.declarations.sinks.contains_key(&name.text) {
            Diagnostic::error(
                codes::TEST_SUBJECT,
                name.span,
                format!("`{}` is a sink: its rows come out, they are not given", name.text),
            )
            .label("only sources, tables and params are given")
            .help(format!("expect them: `then {} […]`", name.text))
        } else {
            Diagnostic::error(codes::UNKNOWN_RELATION, name.span, format!("there is no {what} `{}`", name.text))
                .label("unknown name")
                .help(super::names::suggestion(&name.text, &names, "there are"))
        };
        self.report(diagnostic);
    }

    fn then_error(&self, clause: &TestClause, code: &Name, said: &mut Said) -> Option<ClauseKind> {
        if let Some(before) = said.error {
            self.report(
                Diagnostic::error(codes::TEST_CLAUSE, clause.span, "a run stops once")
                    .label("a second `then error`")
                    .also(before, "the first")
                    .help("leave one out"),
            );
            return None;
        }
        said.error = Some(clause.span);
        let text = &code.text;
        let runs = text.len() == 5 && text.starts_with('R') && text[1..].bytes().all(|b| b.is_ascii_digit());
        if runs {
            return Some(ClauseKind::ThenError(text.clone()));
        }
        let help = match text.starts_with(['E', 'W']) {
            true => "a test cannot expect what `check` says: there is nothing to run then",
            false => {
                "the codes of runs are R0101 (overflow), R0102 (division by zero), R0103 (conversion), R0105 (constraint) and others: docs/errors/index.md"
            }
        };
        self.report(
            Diagnostic::error(codes::TEST_ERROR_CODE, code.span, format!("no run stops with `{text}`"))
                .label("not the code of a run's error")
                .help(help),
        );
        None
    }

    fn advance(&self, clause: &TestClause, to: &ast::Expr, said: &mut Said) -> Option<ClauseKind> {
        let Value::Timestamp(to) = self.constant(to, &DataType::Timestamp, "the watermark of a test")? else {
            return None;
        };
        let watermark = |r: &Relation<'_>| match r {
            Relation::Source(s) => s.clauses.iter().any(|c| matches!(c.kind, SourceClauseKind::Watermark(_))),
            _ => false,
        };
        if !self.declarations.relations.values().any(watermark) {
            self.report(
                Diagnostic::error(codes::TEST_CLAUSE, clause.span, "no source has a watermark")
                    .label("there is nothing to advance")
                    .help("declare one in the source: `event_time at = …` and `watermark 5s`"),
            );
            return None;
        }
        if let Some((_, before)) = said.watermark.filter(|(before, _)| *before > to) {
            self.report(
                Diagnostic::error(codes::TEST_CLAUSE, clause.span, "a watermark never goes back")
                    .label("before the one above")
                    .also(before, "advanced to here")
                    .help("put the earlier one first"),
            );
            return None;
        }
        said.watermark = Some((to, clause.span));
        Some(ClauseKind::AdvanceWatermark(to))
    }

    /// What a test gives must be a param; its value is settled where the params are.
    fn given_param(&self, name: &Name, value: &ast::Expr) {
        if self.declarations.params.contains_key(&name.text) {
            self.mark(Used::Param, &name.text);
            return;
        }
        self.silently(|| self.expr(&mut Env::new(&Rows::default()), value));
        let names: Vec<&str> = self.declarations.params.keys().map(String::as_str).collect();
        self.report(
            Diagnostic::error(codes::UNKNOWN_RELATION, name.span, format!("there is no param `{}`", name.text))
                .label("unknown name")
                .help(match did_you_mean(&name.text, names.iter().copied()) {
                    Some(near) => Help::did_you_mean(near),
                    None if names.is_empty() => format!("declare it: `param {}: long = 10`", name.text).into(),
                    None => format!("the params are {}", list(&names)).into(),
                }),
        );
    }

    /// The value that the test at hand gives to a param; none: it gives none.
    pub(super) fn value_given(&self, param: &Param, ty: &Type) -> Option<Option<(Value, Type)>> {
        let clauses = self.scenario?.clauses.iter().rev();
        let value = clauses.filter_map(|c| match &c.kind {
            TestClauseKind::GivenParam(name, value) if name.text == param.name.text => Some(value),
            _ => None,
        });
        let what = format!("the param `{}` is {}", param.name.text, article(ty));
        let given = self.test_value(value.into_iter().next()?, ty, &what);
        Some(given.map(|value| (value.clone(), ty.clone().with_nullable(value.is_null()))))
    }

    /// Warns of a test of what reads the clock, without a clock.
    fn clock_is_told(&self, test: &Test, tested: &CheckedTest, told: bool) {
        // Of a program with mistakes, or with tables that were not read yet, parts may be missing.
        let incomplete = self.broken || self.pending.get() || self.has_errors();
        if told || incomplete || !self.bad_params.borrow().is_empty() {
            return;
        }
        let checked = self.checked.borrow();
        let mut reads = false;
        let observed = tested.clauses.iter().filter_map(|c| match &c.kind {
            ClauseKind::Then(observed, _) => Some(*observed),
            _ => None,
        });
        checked.walk(observed, &mut |e| reads |= reads_clock(e));
        drop(checked);
        if reads {
            self.report(
                Diagnostic::warning(codes::TEST_CLOCK, test.name_span, "what is tested reads the clock")
                    .label("and the test does not say what time it is: 1970-01-01T00:00:00Z")
                    .help("set it before the first `given`: `at @2026-11-22T10:00:00Z`"),
            );
        }
    }
}

/// Columns of a schema, as they stand in it.
fn columns_of(schema: &Schema) -> Vec<Column> {
    let column = |(slot, field): (usize, &flowc_ir::Field)| Column {
        name: field.name.as_str().into(),
        table: None,
        ty: Some(field.ty.clone()),
        comment: None,
        slot,
        lineage: None,
    };
    schema.fields.iter().enumerate().map(column).collect()
}

/// Whether a test changes the program by giving params.
pub(super) fn gives_params(test: &Test) -> bool {
    test.clauses.iter().any(|c| matches!(c.kind, TestClauseKind::GivenParam(..)))
}

/// Adds to the findings of the program those of the program as a test's params make it: what is wrong in the test, and whether the program still is right.
pub(super) fn add_variant(findings: &mut Findings, variant: Findings, test: &Test) {
    findings.world_failed |= variant.world_failed;
    let within = |d: &Diagnostic| {
        d.span.file == test.span.file && d.span.start >= test.span.start && d.span.end <= test.span.end
    };
    let (inside, outside): (Vec<_>, Vec<_>) = variant.diagnostics.into_iter().partition(within);
    let sound = !inside.iter().chain(&outside).any(Diagnostic::is_error);
    let before: BTreeSet<(Span, &str)> = findings.diagnostics.iter().map(|d| (d.span, d.code)).collect();
    let new = outside.into_iter().find(|d| d.is_error() && !before.contains(&(d.span, d.code)));
    findings.diagnostics.extend(inside);
    if let Some(found) = new {
        let given = test.clauses.iter().find(|c| matches!(c.kind, TestClauseKind::GivenParam(..)));
        findings.diagnostics.push(
            Diagnostic::error(
                codes::TEST_PARAMS,
                given.map_or(test.name_span, |c| c.span),
                "with the params of this test the program is wrong",
            )
            .label(format!("{}: {}", found.code, found.message))
            .also(found.span, found.label)
            .help("give other values"),
        );
    }
    let (true, Some(mut program), Some(checked)) = (sound, variant.checked, findings.checked.as_mut()) else { return };
    if let Some(mut tested) = program.tests.pop() {
        program.tests.clear();
        tested.variant = Some(Box::new(program));
        let at = checked.tests.iter().position(|t| t.origin > tested.origin).unwrap_or(checked.tests.len());
        checked.tests.insert(at, tested);
    }
}
