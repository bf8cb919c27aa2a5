//! Declarations and their blocks.

use super::{Builder, nodes};
use crate::ast::{
    ColumnDef, Connector, Expr, ExprKind, Flow, FlowRef, Function, Name, Param, Property, Sink, SinkClause,
    SinkClauseKind, SinkMode, Source, SourceClause, SourceClauseKind, Table, Test, TestClause, TestClauseKind,
    TypeExpr, Use, VersionSpec,
};
use crate::grammar::Rule;
use pest::iterators::{Pair, Pairs};

/// The next node; the grammar says that there is one.
pub(super) fn expect<'i>(pairs: &mut impl Iterator<Item = Pair<'i, Rule>>, what: &str) -> Pair<'i, Rule> {
    pairs.next().unwrap_or_else(|| unreachable!("the grammar asks for {what}"))
}

/// What a source and a table have alike.
struct Declared {
    name: Name,
    connector: Connector,
    clauses: Vec<SourceClause>,
}

impl Builder<'_> {
    pub(super) fn use_item(&mut self, pair: Pair<'_, Rule>) -> Use {
        let span = self.span(&pair);
        let (path, path_span) = self.plain_string(expect(&mut nodes(pair.into_inner()), "a path"));
        Use { path, path_span, span }
    }

    pub(super) fn param(&mut self, pair: Pair<'_, Rule>) -> Param {
        let span = self.span(&pair);
        let mut inner = nodes(pair.into_inner());
        let name = self.name(expect(&mut inner, "a name"));
        let ty = self.type_expr(expect(&mut inner, "a type"));
        let default = inner.next().map(|p| self.expr(p));
        Param { doc: self.doc(span), name, ty, default, span }
    }

    pub(super) fn source(&mut self, pair: Pair<'_, Rule>) -> Source {
        let span = self.span(&pair);
        let Declared { name, connector, clauses } = self.declared(pair.into_inner());
        Source { doc: self.doc_above(span), name, connector, clauses, span }
    }

    pub(super) fn table(&mut self, pair: Pair<'_, Rule>) -> Table {
        let span = self.span(&pair);
        let Declared { name, connector, clauses } = self.declared(pair.into_inner());
        Table { doc: self.doc_above(span), name, connector, clauses, span }
    }

    fn declared(&mut self, pairs: Pairs<'_, Rule>) -> Declared {
        let mut inner = nodes(pairs);
        let name = self.name(expect(&mut inner, "a name"));
        let connector = self.connector(expect(&mut inner, "a connector"));
        let block = inner.next().map(|b| nodes(b.into_inner()).map(|c| self.source_clause(c)).collect());
        Declared { name, connector, clauses: block.unwrap_or_default() }
    }

    fn connector(&mut self, pair: Pair<'_, Rule>) -> Connector {
        let span = self.span(&pair);
        let mut inner = nodes(pair.into_inner());
        let name = self.name(expect(&mut inner, "a name"));
        let args = inner.next().map(|p| self.args(p)).unwrap_or_default();
        Connector { name, args, span }
    }

    /// A flow, source or table, perhaps a side output of it.
    pub(super) fn flow_ref(&mut self, pair: Pair<'_, Rule>) -> FlowRef {
        let span = self.span(&pair);
        let mut inner = nodes(pair.into_inner());
        let name = self.name(expect(&mut inner, "a name"));
        let output = inner.next().map(|p| self.name(p));
        FlowRef { name, output, span }
    }

    fn source_clause(&mut self, pair: Pair<'_, Rule>) -> SourceClause {
        let span = self.span(&pair);
        let clause = expect(&mut pair.into_inner(), "a clause");
        let rule = clause.as_rule();
        let mut inner = nodes(clause.into_inner());
        let kind = match rule {
            Rule::schema_clause => SourceClauseKind::Schema(inner.next().map(|p| self.columns(p)).unwrap_or_default()),
            Rule::event_time_clause => {
                let column = self.name(expect(&mut inner, "a column"));
                SourceClauseKind::EventTime { column, value: inner.next().map(|p| self.expr(p)) }
            }
            Rule::changes_clause => {
                let (mut from, mut by) = (vec![], vec![]);
                for part in inner {
                    let of = if part.as_rule() == Rule::change_by { &mut by } else { &mut from };
                    *of = self.names(expect(&mut nodes(part.into_inner()), "names"));
                }
                SourceClauseKind::Changes { from, by }
            }
            Rule::ignore_clause => SourceClauseKind::IgnoreUpdates,
            Rule::malformed_clause => SourceClauseKind::Malformed(self.name(expect(&mut inner, "a policy"))),
            Rule::watermark_clause => SourceClauseKind::Watermark(self.expr(expect(&mut inner, "a duration"))),
            Rule::idle_clause => SourceClauseKind::Idle(self.expr(expect(&mut inner, "a duration"))),
            Rule::sequence_clause => SourceClauseKind::SequenceBy(self.expr(expect(&mut inner, "a value"))),
            Rule::start_clause => SourceClauseKind::Start(self.version(expect(&mut inner, "a version"))),
            Rule::version_clause => {
                SourceClauseKind::Version(VersionSpec::Number(self.expr(expect(&mut inner, "a number"))))
            }
            _ => SourceClauseKind::Version(VersionSpec::Timestamp(self.expr(expect(&mut inner, "a timestamp")))),
        };
        SourceClause { kind, span }
    }

    fn version(&mut self, pair: Pair<'_, Rule>) -> VersionSpec {
        match pair.as_rule() {
            Rule::version_number => VersionSpec::Number(self.expr(expect(&mut nodes(pair.into_inner()), "a number"))),
            _ => VersionSpec::Timestamp(self.expr(pair)),
        }
    }

    /// `a, b`
    pub(super) fn names(&mut self, pair: Pair<'_, Rule>) -> Vec<Name> {
        nodes(pair.into_inner()).map(|p| self.name(p)).collect()
    }

    /// `a: T, b: U`
    pub(super) fn columns(&mut self, pair: Pair<'_, Rule>) -> Vec<ColumnDef> {
        nodes(pair.into_inner())
            .map(|column| {
                let span = self.span(&column);
                let mut inner = nodes(column.into_inner());
                let name = self.name(expect(&mut inner, "a name"));
                let ty = self.type_expr(expect(&mut inner, "a type"));
                ColumnDef { doc: self.doc(span), name, ty, span }
            })
            .collect()
    }

    pub(super) fn function(&mut self, pair: Pair<'_, Rule>) -> Function {
        let span = self.span(&pair);
        let mut inner = nodes(pair.into_inner()).peekable();
        let name = self.name(expect(&mut inner, "a name"));
        let params = match inner.next_if(|p| p.as_rule() == Rule::fn_params) {
            Some(params) => nodes(params.into_inner()).map(|p| self.fn_param(p)).collect(),
            None => Vec::new(),
        };
        let result = inner.next_if(|p| p.as_rule() == Rule::type_expr).map(|p| self.type_expr(p));
        let body = self.expr(expect(&mut inner, "a body"));
        Function { doc: self.doc_above(span), name, params, result, body, span }
    }

    fn fn_param(&mut self, pair: Pair<'_, Rule>) -> (Name, TypeExpr) {
        let mut inner = nodes(pair.into_inner());
        let name = self.name(expect(&mut inner, "a name"));
        (name, self.type_expr(expect(&mut inner, "a type")))
    }

    pub(super) fn flow(&mut self, pair: Pair<'_, Rule>) -> Flow {
        let span = self.span(&pair);
        let mut inner = nodes(pair.into_inner());
        let name = self.name(expect(&mut inner, "a name"));
        let input = self.flow_ref(expect(&mut inner, "an input"));
        let steps = inner.map(|p| self.step(p)).collect();
        Flow { doc: self.doc_above(span), name, input, steps, span }
    }

    pub(super) fn sink(&mut self, pair: Pair<'_, Rule>) -> Sink {
        let span = self.span(&pair);
        let mut inner = nodes(pair.into_inner());
        let name = self.name(expect(&mut inner, "a name"));
        let input = self.flow_ref(expect(&mut inner, "a flow"));
        let connector = self.connector(expect(&mut inner, "a connector"));
        let block = inner.next().map(|b| nodes(b.into_inner()).map(|c| self.sink_clause(c)).collect());
        Sink { doc: self.doc_above(span), name, input, connector, clauses: block.unwrap_or_default(), span }
    }

    fn sink_clause(&mut self, pair: Pair<'_, Rule>) -> SinkClause {
        let span = self.span(&pair);
        let clause = expect(&mut pair.into_inner(), "a clause");
        let rule = clause.as_rule();
        let mut inner = nodes(clause.into_inner()).filter(|p| p.as_rule() != Rule::kw_partition);
        let kind = match rule {
            Rule::mode_clause => SinkClauseKind::Mode(self.sink_mode(expect(&mut inner, "a mode"))),
            Rule::partition_clause => SinkClauseKind::PartitionBy(self.assignments(expect(&mut inner, "columns"))),
            Rule::constraint_clause => SinkClauseKind::Constraint {
                name: self.name(expect(&mut inner, "a name")),
                condition: self.expr(expect(&mut inner, "a condition")),
            },
            Rule::properties_clause => SinkClauseKind::Properties(inner.map(|p| self.property(p)).collect()),
            _ => SinkClauseKind::Evolve,
        };
        SinkClause { kind, span }
    }

    fn sink_mode(&mut self, pair: Pair<'_, Rule>) -> SinkMode {
        let mode = expect(&mut pair.into_inner(), "a mode");
        let rule = mode.as_rule();
        let mut inner = nodes(mode.into_inner());
        match rule {
            Rule::mode_append => SinkMode::Append,
            Rule::mode_overwrite if inner.next().is_some() => SinkMode::OverwritePartition,
            Rule::mode_overwrite => SinkMode::Overwrite,
            Rule::mode_merge => SinkMode::Merge(self.names(expect(&mut inner, "a key"))),
            _ => SinkMode::Scd2(self.names(expect(&mut inner, "a key"))),
        }
    }

    fn property(&mut self, pair: Pair<'_, Rule>) -> Property {
        let mut inner = nodes(pair.into_inner());
        let (key, key_span) = self.plain_string(expect(&mut inner, "a key"));
        Property { key, key_span, value: self.expr(expect(&mut inner, "a value")) }
    }

    pub(super) fn test(&mut self, pair: Pair<'_, Rule>) -> Test {
        let span = self.span(&pair);
        let mut inner = nodes(pair.into_inner());
        let (name, name_span) = self.plain_string(expect(&mut inner, "a name"));
        let block = expect(&mut inner, "a block");
        let clauses = nodes(block.into_inner()).map(|c| self.test_clause(c)).collect();
        Test { doc: self.doc_above(span), name, name_span, clauses, span }
    }

    fn test_clause(&mut self, pair: Pair<'_, Rule>) -> TestClause {
        let span = self.span(&pair);
        let clause = expect(&mut pair.into_inner(), "a clause");
        let rule = clause.as_rule();
        let mut inner = nodes(clause.into_inner());
        let first = expect(&mut inner, "what the clause is about");
        let kind = match rule {
            Rule::given_param => TestClauseKind::GivenParam(self.name(first), self.expr(expect(&mut inner, "a value"))),
            Rule::given_clause => TestClauseKind::Given(self.flow_ref(first), self.rows(expect(&mut inner, "rows"))),
            Rule::then_clause => TestClauseKind::Then(self.flow_ref(first), self.rows(expect(&mut inner, "rows"))),
            Rule::then_error => TestClauseKind::ThenError(self.name(first)),
            Rule::at_clause => TestClauseKind::At(self.expr(first)),
            _ => TestClauseKind::AdvanceWatermark(self.expr(first)),
        };
        TestClause { kind, span }
    }

    fn rows(&mut self, pair: Pair<'_, Rule>) -> Expr {
        let span = self.span(&pair);
        Expr { kind: ExprKind::Array(nodes(pair.into_inner()).map(|p| self.expr(p)).collect()), span }
    }
}
