//! The steps that keep some rows of each key: `dedup` and `top`.

use crate::check::flow::FlowBuilder;
use crate::check::scope::{Env, Obstacle, Remedy, Rows};
use crate::check::time::watermark_needed;
use crate::check::types::span_of;
use crate::check::{Checker, article, origin};
use crate::checked::{Bound, Operation};
use crate::codes;
use flowc_ir::graph::Kind;
use flowc_ir::{DataType, Expr, ExprKind, Value};
use flowc_syntax::ast::{self, Assignment, SortKey, Step};
use flowc_syntax::diagnostic::Diagnostic;
use flowc_syntax::span::Span;

impl Checker<'_> {
    /// `dedup by key, … within 10m`
    pub(super) fn dedup(&self, flow: &mut FlowBuilder, step: &Step, keys: &[Assignment], within: Option<&ast::Expr>) {
        let mut before = flow.rows.clone();
        let named_keys = !keys.is_empty();
        let by: Vec<String> = keys.iter().filter_map(|key| named(key, &before)).collect();
        let keys = match keys {
            [] => self.all_columns(&before, step.keyword),
            keys => self.key_values(&before, keys),
        };
        let bound = within.map(|within| {
            let time = self.event_time_of(&before, within.span, "`within` needs");
            let duration = self.within(within, "the duration of `dedup`");
            if time.is_none() {
                before.time.assume();
            }
            let time = time.unwrap_or_else(|| super::steps::null_at(within.span));
            Bound { time, duration: duration.unwrap_or_default() }
        });
        let timed = bound.is_some();
        let changing = before.kind.is_changing();
        if changing && (timed || named_keys) {
            self.dedup_changing(step, &before, &by);
        }
        let whole = !timed || before.time.watermark.is_none() || changing;
        flow.can_be_late(step, whole);
        let mut rows = before.clone();
        if changing {
            let all = before.columns.iter().filter(|_| !named_keys).map(|c| c.full_name().into_owned());
            rows.kind = Kind::Changing { key: all.collect() };
        } else if whole && !before.bounded {
            let remedy = if timed { watermark_needed(&before.time.unmarked) } else { Remedy::Within };
            rows.blocked.get_or_insert(Obstacle { span: step.keyword, step: "dedup", remedy });
        }
        let by_time = timed && before.time.unordered;
        // In the order of their times rows come when the watermark has passed them.
        rows.time.punctual |= by_time && !whole;
        rows.time.unordered &= !by_time;
        flow.push(step, "dedup", Operation::Dedup { keys, within: bound, by_time, whole }, rows);
    }

    /// Of rows that change, which is the first of a key is no matter of what they are.
    fn dedup_changing(&self, step: &Step, rows: &Rows, by: &[String]) {
        let per = match by {
            [] => "key".to_string(),
            by => super::keys::written(by),
        };
        let found = Diagnostic::error(
            codes::DEDUP_CHANGING,
            step.keyword,
            "which row of a key came first cannot be said of rows that change",
        )
        .label("the first one may be updated or deleted");
        let found = match &rows.changing {
            Some(before) => found.also(before.span, format!("`{}` makes the rows change", before.step)),
            None => found,
        };
        self.report(found.help(format!(
            "say which row of a key you want: `top 1 by VALUE desc per {per}`; for the different rows write `dedup` alone"
        )));
    }

    /// The values of a key, of types that can be compared.
    fn key_values(&self, rows: &Rows, keys: &[Assignment]) -> Vec<Expr> {
        let mut env = Env::new(rows);
        let values: Vec<Option<Expr>> =
            keys.iter().map(|key| self.expr(&mut env, &key.value).and_then(|value| self.storable(value))).collect();
        self.lineage.borrow_mut().root(&env.reads);
        for value in values.iter().flatten() {
            self.has_equality(&value.ty.data, span_of(value), "name other columns: `by …`");
        }
        values.into_iter().flatten().collect()
    }

    /// All columns as the key.
    fn all_columns(&self, rows: &Rows, span: Span) -> Vec<Expr> {
        let mut values = vec![];
        for column in &rows.columns {
            self.lineage.borrow_mut().root(&column.lineage.into_iter().collect());
            let Some(ty) = rows.seen_type(column) else { continue };
            let help = format!("`{}` cannot be part of the key: name the others, `dedup by …`", column.full_name());
            self.has_equality(&ty.data, span, &help);
            values.push(Expr::new(ExprKind::Column(column.slot), ty, origin(span)));
        }
        values
    }

    fn has_equality(&self, data: &DataType, span: Span, help: &str) {
        if data.is_orderable() {
            return;
        }
        self.report(
            Diagnostic::error(codes::NOT_ORDERED, span, format!("{} has no equality", article(data)))
                .label("cannot be part of a key")
                .help(help),
        );
    }

    /// `top N by EXPR desc, … per key, …`
    pub(super) fn top(
        &self,
        flow: &mut FlowBuilder,
        step: &Step,
        count: &ast::Expr,
        order: &[SortKey],
        per: &[Assignment],
    ) {
        let before = flow.rows.clone();
        let count = match self.constant(count, &DataType::Long, "the number of rows") {
            Some(Value::Long(n)) if n > 0 => n as u64,
            Some(_) => {
                self.report(
                    Diagnostic::error(codes::BAD_VALUE, count.span, "the number of rows must be above 0")
                        .label("no row would come out")
                        .help("for example `top 3 by amount desc`"),
                );
                1
            }
            None => 1,
        };
        let order = self.sort_keys(&before, order);
        let keys = self.key_values(&before, per);
        // Any column may break a tie.
        let all = before.columns.iter().filter_map(|c| c.lineage).collect();
        self.lineage.borrow_mut().root(&all);
        let place = |name: &String| before.own(name).map(|column| column.slot);
        let window = before.time.window.as_ref().and_then(|(start, end)| place(start).zip(place(end)));
        let whole = window.is_none() || before.time.watermark.is_none() || before.kind != Kind::Append;
        flow.can_be_late(step, whole);
        let mut rows = before.clone();
        let per: Option<Vec<String>> = per.iter().map(|key| named(key, &before)).collect();
        if let Kind::Changing { key } = &mut rows.kind {
            // One row of each key is left, of each window where there are some.
            let windows = before.time.window.iter().flat_map(|(start, end)| [start.clone(), end.clone()]);
            if let (1, Some(per)) = (count, per) {
                *key = per.into_iter().chain(windows).collect();
            }
        } else if window.is_some() {
            rows.time.unordered = false;
            rows.time.punctual |= !whole;
            if whole && !before.bounded && before.kind == Kind::Append {
                let remedy = watermark_needed(&before.time.unmarked);
                rows.blocked.get_or_insert(Obstacle { span: step.keyword, step: "top", remedy });
            }
        } else if !before.bounded {
            rows.kind = Kind::Changing { key: per.filter(|_| count == 1).unwrap_or_default() };
            rows.changing.get_or_insert(Obstacle { span: step.keyword, step: "top", remedy: Remedy::End });
        }
        flow.push(step, "top", Operation::Top { count, order, keys, window, whole }, rows);
    }
}

/// The column that a key is, if it is one.
fn named(key: &Assignment, rows: &Rows) -> Option<String> {
    match &key.value.kind {
        ast::ExprKind::Name(name) => rows.own(&name.text).map(|column| column.name.to_string()),
        _ => None,
    }
}
