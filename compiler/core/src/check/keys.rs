//! The columns that identify the rows of a stream that changes: what becomes of them from step to step, and whether a sink's key fits them. Knows nothing of how
//! rows are kept.

use crate::check::Checker;
use crate::check::scope::Rows;
use crate::codes;
use crate::lower::sides_of_equality;
use crate::optimize::analysis::conjuncts;
use flowc_ir::graph::{JoinKind, Kind};
use flowc_ir::types::quote_name;
use flowc_ir::{CastFailure, Expr, ExprKind};
use flowc_syntax::ast::{Name, Sink};
use flowc_syntax::diagnostic::Diagnostic;
use flowc_syntax::span::Span;

impl Rows {
    /// The key as it is called behind a step, by the slots of the columns before it; none of it is known where one of its columns is gone.
    pub fn carry_key(&mut self, before: &Rows, renamed: impl Fn(usize) -> Option<String>) {
        let (Kind::Changing { key }, Kind::Changing { key: old }) = (&mut self.kind, &before.kind) else { return };
        let slot = |name: &String| before.columns.iter().find(|c| c.full_name() == *name).map(|c| c.slot);
        let carried: Option<Vec<String>> = old.iter().map(|name| renamed(slot(name)?)).collect();
        *key = carried.unwrap_or_default();
    }

    /// What identifies rows is not known any more.
    pub fn lose_key(&mut self) {
        if let Kind::Changing { key } = &mut self.kind {
            key.clear();
        }
    }
}

/// A key as it is written: `id, "site"`.
pub(super) fn written(key: &[String]) -> String {
    key.iter().map(|name| quote_name(name)).collect::<Vec<_>>().join(", ")
}

/// What pairs of a join have in common.
pub(super) struct Matched<'a> {
    /// The condition, over the left columns followed by the right ones.
    pub on: Option<&'a Expr>,
    /// The positions of the bounds of windows that are equal.
    pub windows: Option<[(usize, usize); 2]>,
}

/// The key of what comes out of a join of streams that change: that of one side, where each of its rows matches at most one of the other; else that of both.
pub(super) fn joined(left: &Rows, right: &Rows, kind: JoinKind, on: Matched<'_>, alias: &str) -> Vec<String> {
    let Matched { on, windows } = on;
    let width = left.columns.len();
    let slots = |rows: &Rows| -> Option<Vec<usize>> {
        let Kind::Changing { key } = &rows.kind else { return None };
        let slot = |name: &String| rows.columns.iter().find(|c| c.full_name() == *name).map(|c| c.slot);
        key.iter().map(slot).collect::<Option<Vec<_>>>().filter(|key| !key.is_empty())
    };
    let names = |rows: &Rows| match &rows.kind {
        Kind::Changing { key } => key.clone(),
        Kind::Append => vec![],
    };
    let of_right = || names(right).into_iter().map(|name| format!("{alias}.{name}"));
    if !kind.yields_right() {
        return names(left);
    }
    let (mut ours, mut theirs) = (vec![], vec![]);
    if let Some([left, right]) = windows {
        ours.extend([left.0, left.1]);
        theirs.extend([right.0, right.1]);
    }
    for conjunct in on.into_iter().flat_map(conjuncts) {
        let Some((our, their)) = sides_of_equality(conjunct, width) else { continue };
        // A column that is a value of the other side is given by it.
        ours.extend(plain(&our));
        theirs.extend(plain(&their).map(|slot| slot - width));
    }
    let (Some(left_key), Some(right_key)) = (slots(left), slots(right)) else { return vec![] };
    let one_of_right = right_key.iter().all(|slot| theirs.contains(slot));
    let one_of_left = left_key.iter().all(|slot| ours.contains(slot));
    match kind {
        JoinKind::Inner | JoinKind::Left if one_of_right => names(left),
        JoinKind::Inner | JoinKind::Right if one_of_left => of_right().collect(),
        _ => names(left).into_iter().chain(of_right()).collect(),
    }
}

/// The column that an expression is, widened or not.
fn plain(e: &Expr) -> Option<usize> {
    match &e.kind {
        ExprKind::Column(slot) => Some(*slot),
        ExprKind::Cast { value, on_failure: CastFailure::Never } => plain(value),
        _ => None,
    }
}

impl Checker<'_> {
    /// Whether a sink's key is made of the flow's columns, and is one for a stream that changes: no two rows of it may have one key.
    pub(super) fn key_fits(&self, sink: &Sink, keys: &[Name], span: Span, rows: &Rows) -> bool {
        let known = keys.iter().filter(|key| self.own_column(rows, key)).count() == keys.len();
        self.keys_are_comparable(rows, keys);
        let Kind::Changing { key } = &rows.kind else { return known };
        let has = |name: &String| keys.iter().any(|k| k.text == *name);
        if !known || key.is_empty() || key.iter().all(has) || rows.open {
            return known;
        }
        let lacking: Vec<&String> = key.iter().filter(|name| !has(name)).collect();
        let own = key.iter().all(|name| rows.own(name).is_some());
        let input = &sink.input.name.text;
        let given: Vec<String> = keys.iter().map(|k| k.text.clone()).collect();
        let found = Diagnostic::error(
            codes::KEY_NOT_UNIQUE,
            span,
            format!("several rows of `{input}` can have the same {}", super::list(&given)),
        )
        .label(format!("`{input}` has a row for each {}", super::list(key)));
        let found = match &rows.changing {
            Some(step) => found.also(step.span, format!("its rows are identified by the key of this `{}`", step.step)),
            None => found,
        };
        self.report(found.help(match own {
            true => format!("merge on all of its key: `mode merge on {}`", written(key)),
            false => format!("select {} into a column of its own, and merge on it, too", super::list(&lacking)),
        }));
        false
    }
}
