//! Steps.

use super::item::expect;
use super::{Builder, nodes};
use crate::ast::{
    Aggregate, Assignment, Expr, ExprKind, Join, JoinKind, Policy, PolicyKind, Rename, Rule as QualityRule,
    RuleCondition, SortKey, Step, StepKind, TypeExprKind, Window,
};
use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::grammar::Rule;
use crate::span::Span;
use pest::iterators::Pair;

impl Builder<'_> {
    /// A step of any kind.
    pub(crate) fn step(&mut self, pair: Pair<'_, Rule>) -> Step {
        let span = self.span(&pair);
        let form = expect(&mut pair.into_inner(), "a step");
        let rule = form.as_rule();
        let keyword = self.step_keyword(&form);
        let mut inner = nodes(form.into_inner()).filter(|p| p.as_rule() != Rule::kw_drop);
        let kind = match rule {
            Rule::where_step => StepKind::Where(self.expr(expect(&mut inner, "a condition"))),
            Rule::extend_step => StepKind::Extend(self.assignments(expect(&mut inner, "columns"))),
            Rule::select_step => StepKind::Select(self.assignments(expect(&mut inner, "columns"))),
            Rule::drop_step => StepKind::Drop(self.names(expect(&mut inner, "columns"))),
            Rule::rename_step => {
                let list = expect(&mut inner, "columns");
                StepKind::Rename(nodes(list.into_inner()).map(|p| self.rename(p)).collect())
            }
            Rule::expect_step => StepKind::Expect(inner.map(|p| self.rule(p)).collect()),
            Rule::join_step => StepKind::Join(self.join(inner)),
            Rule::aggregate_step => {
                self.in_aggregate = true;
                let aggregate = self.aggregate(inner);
                self.in_aggregate = false;
                StepKind::Aggregate(aggregate)
            }
            Rule::dedup_step => {
                let (mut keys, mut within) = (Vec::new(), None);
                for part in inner {
                    match part.as_rule() {
                        Rule::dedup_keys => keys = self.assignments(part),
                        _ => within = Some(self.only_expr(part)),
                    }
                }
                StepKind::Dedup { keys, within }
            }
            Rule::top_step => StepKind::Top {
                count: self.expr(expect(&mut inner, "a number")),
                order: self.sort_keys(expect(&mut inner, "an order")),
                per: inner
                    .next()
                    .map(|p| self.assignments(expect(&mut nodes(p.into_inner()), "keys")))
                    .unwrap_or_default(),
            },
            Rule::sort_step => StepKind::Sort(self.sort_keys(expect(&mut inner, "an order"))),
            Rule::limit_step => StepKind::Limit(self.expr(expect(&mut inner, "a number"))),
            Rule::union_step => {
                let list = expect(&mut inner, "flows");
                StepKind::Union(nodes(list.into_inner()).map(|p| self.flow_ref(p)).collect())
            }
            _ => {
                let value = self.operand(expect(&mut inner, "an array"));
                StepKind::Explode { value, column: inner.next().map(|p| self.name(p)) }
            }
        };
        Step { kind, span, keyword }
    }

    /// The word or words that a step begins with.
    fn step_keyword(&self, form: &Pair<'_, Rule>) -> Span {
        let mut words = form.clone().into_inner();
        let first = expect(&mut words, "the step's word");
        let span = self.span(&first);
        match (first.as_rule(), words.next()) {
            (Rule::join_kind, Some(join)) => span.to(self.span(&join)),
            _ => span,
        }
    }

    /// The one expression in a clause.
    fn only_expr(&mut self, pair: Pair<'_, Rule>) -> Expr {
        self.expr(expect(&mut nodes(pair.into_inner()), "a value"))
    }

    /// `a = x, b`
    pub(super) fn assignments(&mut self, pair: Pair<'_, Rule>) -> Vec<Assignment> {
        nodes(pair.into_inner()).map(|p| self.assignment(p)).collect()
    }

    fn assignment(&mut self, pair: Pair<'_, Rule>) -> Assignment {
        let span = self.span(&pair);
        let mut name = None;
        let mut value = None;
        for part in nodes(pair.into_inner()) {
            match part.as_rule() {
                Rule::name => name = Some(self.name(part)),
                _ => value = Some(self.expr(part)),
            }
        }
        let value = value.unwrap_or_else(|| unreachable!("an assignment has a value"));
        if name.is_none() {
            self.alias(&value);
        }
        Assignment { name, value, doc: self.doc(span), span }
    }

    /// `x as y` is SQL for `y = x`: nobody converts to a type that there is not without giving the column a name.
    fn alias(&mut self, value: &Expr) {
        let ExprKind::Cast { ty, .. } = &value.kind else { return };
        let TypeExprKind::Named(name) = &ty.kind else { return };
        if !crate::words::TYPES.contains(&name.text.as_str()) {
            self.error(
                Diagnostic::error(
                    codes::ALIAS,
                    ty.span,
                    format!("`as` converts to a type, and `{}` is none", name.text),
                )
                .label("meant as the column's name")
                .help(format!("write the name first: `{} = …`", name.text)),
            );
        }
    }

    fn rename(&mut self, pair: Pair<'_, Rule>) -> Rename {
        let mut inner = nodes(pair.into_inner());
        Rename {
            new: self.name(expect(&mut inner, "the new name")),
            old: self.name(expect(&mut inner, "the old name")),
        }
    }

    fn rule(&mut self, pair: Pair<'_, Rule>) -> QualityRule {
        let span = self.span(&pair);
        let mut inner = nodes(pair.into_inner());
        let name = self.name(expect(&mut inner, "a name"));
        let condition = expect(&mut inner, "a condition");
        let condition = match condition.as_rule() {
            Rule::unique_condition => self.unique(condition),
            _ => RuleCondition::Row(self.expr(condition)),
        };
        let policy = inner.next().map(|p| self.policy(p));
        QualityRule { doc: self.doc(span), name, condition, policy, span }
    }

    fn unique(&mut self, pair: Pair<'_, Rule>) -> RuleCondition {
        let span = self.span(&pair);
        let mut inner = nodes(pair.into_inner());
        let columns = expect(&mut inner, "columns");
        let columns = nodes(columns.into_inner()).map(|p| self.expr(p)).collect();
        RuleCondition::Unique { columns, within: inner.next().map(|p| self.expr(p)), span }
    }

    fn policy(&mut self, pair: Pair<'_, Rule>) -> Policy {
        let span = self.span(&pair);
        let form = expect(&mut pair.into_inner(), "a policy");
        let kind = match form.as_rule() {
            Rule::kw_warn => PolicyKind::Warn,
            Rule::kw_drop => PolicyKind::Drop,
            Rule::kw_quarantine => PolicyKind::Quarantine,
            Rule::kw_fail => PolicyKind::Fail,
            _ => PolicyKind::Repair(self.assignments(form)),
        };
        Policy { kind, span }
    }

    fn join<'i>(&mut self, inner: impl Iterator<Item = Pair<'i, Rule>>) -> Join {
        let mut kind = JoinKind::Inner;
        let mut right = None;
        let (mut alias, mut on, mut within, mut as_of) = (None, None, None, None);
        for part in inner {
            match part.as_rule() {
                Rule::join_kind => {
                    kind = match expect(&mut part.into_inner(), "a kind").as_rule() {
                        Rule::kw_left => JoinKind::Left,
                        Rule::kw_right => JoinKind::Right,
                        Rule::kw_full => JoinKind::Full,
                        Rule::kw_semi => JoinKind::Semi,
                        _ => JoinKind::Anti,
                    }
                }
                Rule::flow_ref => right = Some(self.flow_ref(part)),
                Rule::join_alias => alias = nodes(part.into_inner()).next().map(|p| self.name(p)),
                _ => {
                    let clause = expect(&mut part.into_inner(), "a clause");
                    let span = self.span(&clause);
                    let rule = clause.as_rule();
                    let value = self.only_expr(clause);
                    match rule {
                        Rule::on_clause => self.once(&mut on, value, "on", span),
                        Rule::within_clause => self.once(&mut within, value, "within", span),
                        _ => self.once(&mut as_of, value, "as of", span),
                    }
                }
            }
        }
        Join { kind, right: right.unwrap_or_else(|| unreachable!("a join has a right side")), alias, on, within, as_of }
    }

    fn aggregate<'i>(&mut self, inner: impl Iterator<Item = Pair<'i, Rule>>) -> Aggregate {
        let mut aggregate = Aggregate { aggregates: Vec::new(), keys: Vec::new(), window: None, late: None };
        for part in inner {
            match part.as_rule() {
                Rule::aggregates => aggregate.aggregates = self.assignments(part),
                Rule::by_clause => {
                    let span = self.span(&part);
                    let keys = nodes(part.into_inner()).next();
                    if keys.is_none() {
                        self.error(
                            Diagnostic::error(codes::UNEXPECTED, span, "expected a key behind `by`")
                                .label("by what?")
                                .help("name the columns to group by; without `by` there is one row for all"),
                        );
                    }
                    for key in keys.into_iter().flat_map(|list| nodes(list.into_inner())) {
                        match key.as_rule() {
                            Rule::window_clause => self.window_once(&mut aggregate, key),
                            _ => {
                                let key = self.assignment(key);
                                aggregate.keys.push(key);
                            }
                        }
                    }
                }
                Rule::window_clause => self.window_once(&mut aggregate, part),
                _ => aggregate.late = Some(self.only_expr(part)),
            }
        }
        aggregate
    }

    fn window_once(&mut self, aggregate: &mut Aggregate, pair: Pair<'_, Rule>) {
        let window = self.window(pair);
        let span = window.span;
        self.once(&mut aggregate.window, window, "window", span);
    }

    fn window(&mut self, pair: Pair<'_, Rule>) -> Window {
        let span = self.span(&pair);
        let mut inner = nodes(pair.into_inner());
        let name = self.name(expect(&mut inner, "a kind of window"));
        Window { name, args: inner.next().map(|p| self.args(p)).unwrap_or_default(), span }
    }

    fn sort_keys(&mut self, pair: Pair<'_, Rule>) -> Vec<SortKey> {
        nodes(pair.into_inner()).map(|p| self.sort_key(p)).collect()
    }

    fn sort_key(&mut self, pair: Pair<'_, Rule>) -> SortKey {
        let mut inner = nodes(pair.into_inner());
        let value = self.expr(expect(&mut inner, "a value"));
        let (mut descending, mut nulls_first) = (false, None);
        for part in inner {
            let rule = part.as_rule();
            let word = nodes(part.into_inner()).next().map(|p| p.as_rule());
            match rule {
                Rule::sort_direction => descending = word == Some(Rule::kw_desc),
                _ => nulls_first = Some(word == Some(Rule::kw_first)),
            }
        }
        SortKey { value, descending, nulls_first }
    }
}
