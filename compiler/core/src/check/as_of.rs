//! `as of TIME` in a join: each row is looked up in the version of the table that was the newest at that time. Here is what is asked of the time and of the
//! table; the join itself is `join`'s matter.

use crate::check::flow::FlowBuilder;
use crate::check::scope::Env;
use crate::check::types::span_of;
use crate::check::{Checker, article};
use crate::codes;
use flowc_ir::plan::Connector;
use flowc_ir::types::quote_name;
use flowc_ir::{DataType, Expr};
use flowc_syntax::ast::{self, Join};
use flowc_syntax::diagnostic::Diagnostic;

impl Checker<'_> {
    /// The time of `as of`, over the rows before the join; none: something is wrong with it or the table, which was reported.
    pub(super) fn as_of(&self, flow: &FlowBuilder, join: &Join, table: usize, time: &ast::Expr) -> Option<Expr> {
        let mut env = Env::new(&flow.rows);
        let typed = self.expr(&mut env, time);
        self.lineage.borrow_mut().root(&env.reads);
        let kept = self.has_history(join, table, time);
        let typed = typed?;
        if let Some(time) = self.widened(typed.clone(), &DataType::Timestamp) {
            return Some(time).filter(|_| kept);
        }
        let help = match &typed.ty.data {
            data if data.is_integer() => "say what the number counts: `as of timestamp_millis(…)`",
            _ => "convert it: `as of (… as timestamp)`",
        };
        self.report(
            Diagnostic::error(codes::NOT_A_TIME, span_of(&typed), "versions of a table are found by a timestamp")
                .label(format!("this is {}", article(&typed.ty)))
                .help(help),
        );
        None
    }

    /// Whether there are versions to choose from.
    fn has_history(&self, join: &Join, table: usize, time: &ast::Expr) -> bool {
        let checked = self.checked.borrow();
        // A table that could not be opened was reported.
        let Some(spec) = checked.tables.get(table).map(|table| &table.spec) else { return true };
        let name = quote_name(&spec.name);
        let pinned = spec.version.is_some();
        let (message, help) = match (&spec.connector, pinned) {
            (Connector::Delta { .. }, false) => return true,
            (Connector::Delta { .. }, true) => (
                format!("the table `{name}` is pinned to one version: there is no other to look rows up in"),
                format!("leave the version of `{name}` out; or leave `as of` out, to look all rows up in that version"),
            ),
            _ => (
                format!("the table `{name}` is read from files, which have no versions"),
                "only a `delta` table has a history; leave `as of` out, to look rows up in the files as they are"
                    .to_string(),
            ),
        };
        self.report(
            Diagnostic::error(codes::NO_HISTORY, time.span, message)
                .label("no versions to choose from")
                .also(join.right.span, "this table")
                .help(help),
        );
        false
    }

    /// `as of` in a join to a stream.
    pub(super) fn as_of_stream(&self, join: &Join) {
        let Some(time) = &join.as_of else { return };
        let name = quote_name(&join.right.name.text);
        self.unsupported(
            codes::UNSUPPORTED_AS_OF,
            time.span,
            "`as of` in a join to a stream",
            &format!(
                "declare `{name}` as a table, `table {name} = delta(…)`, whose history has the versions; or join the streams, `within` a duration"
            ),
        );
    }
}
