//! What each name of a program stands for: one walk over the trees, with what the checker resolved. Definitions, references, renaming, hover and colours all
//! read this list. Must not judge names: what is wrong was reported.

use crate::analysis::Analysis;
use flowc_syntax::ast::*;
use flowc_syntax::span::Span;
use std::collections::BTreeSet;

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// A column, by its index in the facts.
    Column(usize),
    /// A source, table or flow.
    Relation(String),
    /// A sink.
    Sink(String),
    /// One of the program's functions.
    Function(String),
    /// A built-in function.
    BuiltIn(String),
    /// A param.
    Param(String),
    /// A parameter of a function: the function, and the name.
    Local(String, String),
    /// A file that is used.
    File(String),
}

/// A name at its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Occurrence {
    /// Where.
    pub span: Span,
    /// What it stands for.
    pub target: Target,
    /// Whether it makes what it stands for.
    pub defines: bool,
}

/// All names of a program, in the order of files and text.
pub(crate) fn occurrences(analysis: &Analysis) -> Vec<Occurrence> {
    let mut walk = Walk::new(analysis);
    for tree in &analysis.trees {
        tree.items.iter().for_each(|item| walk.item(item));
    }
    let facts = &analysis.facts;
    for (span, id) in &facts.reads {
        walk.push(*span, Target::Column(*id), false);
    }
    for (id, column) in facts.columns.iter().enumerate() {
        let named = analysis.outcome.sources.text(column.span).trim_matches('`') == column.name;
        if named && !walk.declared.contains(&column.span) {
            walk.push(column.span, Target::Column(id), true);
        }
    }
    let mut found = walk.found;
    found.sort_by_key(|o| (o.span, o.defines));
    found
}

struct Walk<'a> {
    analysis: &'a Analysis,
    found: Vec<Occurrence>,
    /// The names of declarations: a column of a table is not made by the name of its source.
    declared: BTreeSet<Span>,
    params: BTreeSet<&'a str>,
    functions: BTreeSet<&'a str>,
    sinks: BTreeSet<&'a str>,
    relations: BTreeSet<&'a str>,
    /// The function whose body this is, and its parameters.
    within: Option<&'a Function>,
}

impl<'a> Walk<'a> {
    fn new(analysis: &'a Analysis) -> Self {
        let mut walk = Walk {
            analysis,
            found: vec![],
            declared: BTreeSet::new(),
            params: BTreeSet::new(),
            functions: BTreeSet::new(),
            sinks: BTreeSet::new(),
            relations: BTreeSet::new(),
            within: None,
        };
        for (name, item) in analysis.declarations() {
            walk.declared.insert(name.span);
            match item {
                Item::Param(_) => drop(walk.params.insert(&name.text)),
                Item::Function(_) => drop(walk.functions.insert(&name.text)),
                Item::Sink(_) => drop(walk.sinks.insert(&name.text)),
                Item::Source(_) | Item::Table(_) | Item::Flow(_) => drop(walk.relations.insert(&name.text)),
                Item::Use(_) | Item::Test(_) => {}
            }
        }
        walk
    }

    fn push(&mut self, span: Span, target: Target, defines: bool) {
        self.found.push(Occurrence { span, target, defines });
    }

    fn item(&mut self, item: &'a Item) {
        match item {
            Item::Use(x) => self.push(x.path_span, Target::File(x.path.clone()), false),
            Item::Param(x) => {
                self.push(x.name.span, Target::Param(x.name.text.clone()), true);
                x.default.iter().for_each(|e| self.expr(e));
            }
            Item::Source(x) => self.source(&x.name, &x.connector, &x.clauses),
            Item::Table(x) => self.source(&x.name, &x.connector, &x.clauses),
            Item::Function(x) => {
                self.push(x.name.span, Target::Function(x.name.text.clone()), true);
                for (name, _) in &x.params {
                    self.push(name.span, Target::Local(x.name.text.clone(), name.text.clone()), true);
                }
                self.within = Some(x);
                self.expr(&x.body);
                self.within = None;
            }
            Item::Flow(x) => {
                self.push(x.name.span, Target::Relation(x.name.text.clone()), true);
                self.reference(&x.input);
                x.steps.iter().for_each(|step| self.step(step));
            }
            Item::Sink(x) => {
                self.push(x.name.span, Target::Sink(x.name.text.clone()), true);
                self.reference(&x.input);
                x.connector.args.iter().for_each(|a| self.expr(&a.value));
                x.clauses.iter().for_each(|clause| self.sink_clause(clause));
            }
            Item::Test(x) => x.clauses.iter().for_each(|clause| self.test_clause(clause)),
        }
    }

    fn source(&mut self, name: &Name, connector: &'a Connector, clauses: &'a [SourceClause]) {
        self.push(name.span, Target::Relation(name.text.clone()), true);
        connector.args.iter().for_each(|a| self.expr(&a.value));
        for clause in clauses {
            match &clause.kind {
                SourceClauseKind::EventTime { value: Some(e), .. }
                | SourceClauseKind::Watermark(e)
                | SourceClauseKind::Idle(e)
                | SourceClauseKind::SequenceBy(e)
                | SourceClauseKind::Start(VersionSpec::Number(e) | VersionSpec::Timestamp(e))
                | SourceClauseKind::Version(VersionSpec::Number(e) | VersionSpec::Timestamp(e)) => self.expr(e),
                _ => {}
            }
        }
    }

    fn reference(&mut self, reference: &FlowRef) {
        self.push(reference.name.span, Target::Relation(reference.name.text.clone()), false);
    }

    fn assignments(&mut self, all: &'a [Assignment]) {
        all.iter().for_each(|a| self.expr(&a.value));
    }

    fn keys(&mut self, all: &'a [SortKey]) {
        all.iter().for_each(|key| self.expr(&key.value));
    }

    fn step(&mut self, step: &'a Step) {
        match &step.kind {
            StepKind::Where(e) | StepKind::Limit(e) | StepKind::Explode { value: e, .. } => self.expr(e),
            StepKind::Extend(all) | StepKind::Select(all) => self.assignments(all),
            StepKind::Drop(_) | StepKind::Rename(_) => {}
            StepKind::Expect(rules) => rules.iter().for_each(|rule| self.rule(rule)),
            StepKind::Join(join) => {
                self.reference(&join.right);
                [&join.on, &join.within, &join.as_of].into_iter().flatten().for_each(|e| self.expr(e));
            }
            StepKind::Aggregate(aggregate) => {
                self.assignments(&aggregate.aggregates);
                self.assignments(&aggregate.keys);
                aggregate.window.iter().flat_map(|w| &w.args).for_each(|a| self.expr(&a.value));
                aggregate.late.iter().for_each(|e| self.expr(e));
            }
            StepKind::Dedup { keys, within } => {
                self.assignments(keys);
                within.iter().for_each(|e| self.expr(e));
            }
            StepKind::Top { count, order, per } => {
                self.expr(count);
                self.keys(order);
                self.assignments(per);
            }
            StepKind::Sort(keys) => self.keys(keys),
            StepKind::Union(others) => others.iter().for_each(|other| self.reference(other)),
        }
    }

    fn rule(&mut self, rule: &'a Rule) {
        match &rule.condition {
            RuleCondition::Row(e) => self.expr(e),
            RuleCondition::Unique { columns, within, .. } => {
                columns.iter().chain(within).for_each(|e| self.expr(e));
            }
        }
        if let Some(Policy { kind: PolicyKind::Repair(all), .. }) = &rule.policy {
            self.assignments(all);
        }
    }

    fn sink_clause(&mut self, clause: &'a SinkClause) {
        match &clause.kind {
            SinkClauseKind::PartitionBy(all) => self.assignments(all),
            SinkClauseKind::Constraint { condition, .. } => self.expr(condition),
            SinkClauseKind::Properties(all) => all.iter().for_each(|p| self.expr(&p.value)),
            SinkClauseKind::Mode(_) | SinkClauseKind::Evolve => {}
        }
    }

    fn test_clause(&mut self, clause: &'a TestClause) {
        match &clause.kind {
            TestClauseKind::Given(reference, rows) => {
                self.reference(reference);
                self.expr(rows);
            }
            TestClauseKind::Then(reference, rows) => {
                if self.sinks.contains(reference.name.text.as_str()) {
                    self.push(reference.name.span, Target::Sink(reference.name.text.clone()), false);
                } else {
                    self.reference(reference);
                }
                self.expr(rows);
            }
            TestClauseKind::GivenParam(name, value) => {
                self.push(name.span, Target::Param(name.text.clone()), false);
                self.expr(value);
            }
            TestClauseKind::ThenError(_) => {}
            TestClauseKind::At(e) | TestClauseKind::AdvanceWatermark(e) => self.expr(e),
        }
    }

    fn expr(&mut self, e: &'a Expr) {
        match &e.kind {
            ExprKind::Name(name) => self.name(name),
            ExprKind::Call { function, .. } if self.functions.contains(function.text.as_str()) => {
                self.push(function.span, Target::Function(function.text.clone()), false);
            }
            ExprKind::Call { function, .. } => {
                self.push(function.span, Target::BuiltIn(function.text.clone()), false);
            }
            // `device.site`: the name of a joined table is that of a declaration, unless it is another one's. `id in device.id` names a table, too.
            ExprKind::Field(base, field) => {
                let reads = &self.analysis.facts.reads;
                if let ExprKind::Name(table) = &base.kind
                    && (reads.contains_key(&field.span) || !reads.contains_key(&table.span))
                    && self.relations.contains(table.text.as_str())
                {
                    self.push(table.span, Target::Relation(table.text.clone()), false);
                    return;
                }
            }
            _ => {}
        }
        e.children().into_iter().for_each(|inside| self.expr(inside));
    }

    fn name(&mut self, name: &Name) {
        if let Some(function) = self.within
            && function.params.iter().any(|(p, _)| p.text == name.text)
        {
            self.push(name.span, Target::Local(function.name.text.clone(), name.text.clone()), false);
        } else if !self.analysis.facts.reads.contains_key(&name.span) && self.params.contains(name.text.as_str()) {
            self.push(name.span, Target::Param(name.text.clone()), false);
        }
    }
}
