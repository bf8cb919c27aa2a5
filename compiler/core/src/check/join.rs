//! Joins to tables: each row is looked up in a snapshot.

use crate::check::flow::FlowBuilder;
use crate::check::narrow::{Outcome, facts};
use crate::check::scope::{Column, Env, Rows};
use crate::check::{Checker, Used};
use crate::checked::{Input, Operation};
use crate::codes;
use flowc_ir::graph::LookupKind;
use flowc_syntax::ast::{Join, JoinKind, Name, Step};
use flowc_syntax::diagnostic::Diagnostic;

impl Checker<'_> {
    /// `join X as y on condition`
    pub(super) fn join(&self, flow: &mut FlowBuilder, step: &Step, join: &Join) {
        let Some(kind) = self.lookup_kind(step, join) else {
            self.mark(Used::Relation, &join.right.name.text);
            flow.give_up();
            return;
        };
        let Some(table) = self.relation(&join.right) else {
            flow.give_up();
            return;
        };
        let Input::Table(index) = table.input else {
            self.unsupported(
                codes::UNSUPPORTED_STREAM_JOIN,
                join.right.span,
                "joins of two streams",
                "join a `table`: its rows are looked up in a snapshot",
            );
            flow.give_up();
            return;
        };
        let alias = join.alias.as_ref().unwrap_or(&join.right.name);
        if !self.alias_is_free(&flow.rows, alias) {
            flow.give_up();
            return;
        }
        let mut both = flow.rows.clone();
        both.open |= table.rows.open;
        for column in &table.rows.columns {
            let slot = both.columns.len();
            both.columns.push(Column { table: Some(alias.text.clone()), slot, ..column.clone() });
        }
        if !self.full_names_differ(&both, alias.span) {
            flow.give_up();
            return;
        }
        let Some(condition) = &join.on else {
            self.report(
                Diagnostic::error(
                    codes::JOIN_CONDITION,
                    step.keyword,
                    format!("this join does not say which rows of `{}` belong to a row", join.right.name.text),
                )
                .label("no condition")
                .help(format!("add `on {}.key == key`", alias.text)),
            );
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
        let operation = Operation::Lookup { table: index, alias: alias.text.clone(), kind, on };
        flow.push(step, keyword(join.kind), operation, rows);
    }

    /// The kind of lookup; none: this join is not one, and that was reported.
    fn lookup_kind(&self, step: &Step, join: &Join) -> Option<LookupKind> {
        if let Some(within) = &join.within {
            self.unsupported(
                codes::UNSUPPORTED_STREAM_JOIN,
                within.span,
                "joins of two streams",
                "join a `table`, without `within`",
            );
            return None;
        }
        if let Some(as_of) = &join.as_of {
            self.unsupported(
                codes::UNSUPPORTED_AS_OF,
                as_of.span,
                "`as of` in a join",
                "the table is looked up as it is when an epoch starts: leave `as of` out",
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

fn keyword(kind: JoinKind) -> &'static str {
    match kind {
        JoinKind::Inner => "join",
        JoinKind::Left => "left join",
        JoinKind::Right => "right join",
        JoinKind::Full => "full join",
        JoinKind::Semi => "semi join",
        JoinKind::Anti => "anti join",
    }
}
