//! Joins: to tables, where each row is looked up in a snapshot, and what they share with joins of streams.

use crate::check::Checker;
use crate::check::flow::FlowBuilder;
use crate::check::narrow::{Outcome, facts};
use crate::check::scope::{Column, Env, Rows};
use crate::checked::{Input, Operation};
use crate::codes;
use flowc_ir::graph::LookupKind;
use flowc_syntax::ast::{Join, JoinKind, Name, Step};
use flowc_syntax::diagnostic::Diagnostic;
use smol_str::SmolStr;

impl Checker<'_> {
    /// `join X as y on condition`
    pub(super) fn join(&self, flow: &mut FlowBuilder, step: &Step, join: &Join) {
        let Some(right) = self.relation(&join.right) else {
            flow.give_up();
            return;
        };
        match right.input {
            Input::Table(index) => self.lookup_join(flow, step, join, (index, &right.rows)),
            _ if join.as_of.is_some() => {
                self.as_of_stream(join);
                flow.give_up();
            }
            _ => self.stream_join(flow, step, join, &right),
        }
    }

    fn lookup_join(&self, flow: &mut FlowBuilder, step: &Step, join: &Join, (index, table): (usize, &Rows)) {
        let both = self.lookup_kind(step, join).zip(self.both(flow, join, table));
        let Some((kind, both)) = both else {
            flow.give_up();
            return;
        };
        let alias = join.alias.as_ref().unwrap_or(&join.right.name);
        let as_of = join.as_of.as_ref().map(|time| self.as_of(flow, join, index, time));
        let Some(condition) = &join.on else {
            self.no_condition(step, join);
            flow.give_up();
            return;
        };
        let mut env = Env::new(&both);
        let on = self.condition(&mut env, condition, "the condition of a join");
        self.lineage.borrow_mut().root(&env.reads);
        let stream = flow.rows.columns.len();
        let mut known = flow.rows.facts.clone();
        if let (Some(on), LookupKind::Inner | LookupKind::Semi) = (&on, kind) {
            known.add(facts(on, Outcome::True).of_slots());
        }
        let mut columns = both.columns.clone();
        match kind {
            LookupKind::Inner => {}
            LookupKind::Left => {
                for column in &mut columns[stream..] {
                    column.ty = column.ty.clone().map(|t| t.with_nullable(true));
                }
            }
            LookupKind::Semi | LookupKind::Anti | LookupKind::Mark => columns.truncate(stream),
        }
        let kept = columns.len();
        let mut rows = flow.rows.with_columns(columns);
        rows.open = both.open;
        rows.facts = known.moved(|slot| Some(slot).filter(|s| *s < kept));
        let on = on.unwrap_or_else(|| super::steps::null_at(condition.span));
        let as_of = as_of.map(|time| time.unwrap_or_else(|| super::steps::null_at(condition.span)));
        let operation = Operation::Lookup { table: index, alias: alias.text.clone(), kind, as_of, on };
        flow.push(step, keyword(join.kind), operation, rows);
    }

    /// The columns of the rows with those of the other side behind them; none: the names are taken, which was reported.
    pub(super) fn both(&self, flow: &FlowBuilder, join: &Join, right: &Rows) -> Option<Rows> {
        let alias = join.alias.as_ref().unwrap_or(&join.right.name);
        if !self.alias_is_free(&flow.rows, alias) {
            return None;
        }
        let mut both = flow.rows.clone();
        both.open |= right.open;
        let table = Some(SmolStr::new(&alias.text));
        for column in &right.columns {
            let slot = both.columns.len();
            both.columns.push(Column { table: table.clone(), slot, ..column.clone() });
        }
        self.full_names_differ(&both, alias.span).then_some(both)
    }

    /// Reports a join without `on`.
    pub(super) fn no_condition(&self, step: &Step, join: &Join) {
        let alias = join.alias.as_ref().unwrap_or(&join.right.name);
        self.report(
            Diagnostic::error(
                codes::JOIN_CONDITION,
                step.keyword,
                format!("this join does not say which rows of `{}` belong to a row", join.right.name.text),
            )
            .label("no condition")
            .help(format!("add `on {}.key == key`", alias.text)),
        );
    }

    /// The kind of lookup; none: this join is not one, and that was reported.
    fn lookup_kind(&self, step: &Step, join: &Join) -> Option<LookupKind> {
        if let Some(within) = &join.within {
            self.report(
                Diagnostic::error(
                    codes::MISPLACED_CLAUSE,
                    within.span,
                    format!("`{}` is a table: its rows have no time that `within` could look at", join.right.name.text),
                )
                .label("only for joins of two streams")
                .help("leave `within` out: a row is looked up in the snapshot; or declare a `source`"),
            );
            return None;
        }
        match join.kind {
            JoinKind::Inner => Some(LookupKind::Inner),
            JoinKind::Left => Some(LookupKind::Left),
            JoinKind::Semi => Some(LookupKind::Semi),
            JoinKind::Anti => Some(LookupKind::Anti),
            JoinKind::Right | JoinKind::Full => {
                let what = format!("`{}` to a table", keyword(join.kind));
                self.unsupported(
                    codes::UNSUPPORTED_OUTER_JOIN,
                    step.keyword,
                    &what,
                    "start the flow from the table, or use `left join`",
                );
                None
            }
        }
    }

    fn alias_is_free(&self, rows: &Rows, alias: &Name) -> bool {
        let taken = rows.has_table(&alias.text);
        if taken {
            self.report(
                Diagnostic::error(codes::DUPLICATE_ALIAS, alias.span, format!("`{}` is joined already", alias.text))
                    .label("joined twice under one name")
                    .help(format!("give it another name: `join {0} as {0}2 on …`", alias.text)),
            );
        }
        !taken
    }
}

/// The words of a kind of join.
pub(super) fn keyword(kind: JoinKind) -> &'static str {
    match kind {
        JoinKind::Inner => "join",
        JoinKind::Left => "left join",
        JoinKind::Right => "right join",
        JoinKind::Full => "full join",
        JoinKind::Semi => "semi join",
        JoinKind::Anti => "anti join",
    }
}
