//! The event time that steps ask for, and what to say where rows have none.

use crate::check::scope::{Remedy, Rows, Spring};
use crate::check::{Checker, origin};
use crate::checked::EventTime;
use crate::codes;
use flowc_ir::types::quote_name;
use flowc_ir::{DataType, Expr, ExprKind, Type, Value};
use flowc_syntax::ast;
use flowc_syntax::diagnostic::Diagnostic;
use flowc_syntax::span::Span;
use std::collections::BTreeSet;

impl Checker<'_> {
    /// The event time of rows, as a timestamp over their columns; none: they have none, and that was reported.
    pub(super) fn event_time_of(&self, rows: &Rows, span: Span, what: &str) -> Option<Expr> {
        let Some(event) = &rows.time.event else {
            if !rows.open {
                self.without_time(rows, span, what);
            }
            return None;
        };
        let column = rows.own(event.column())?;
        self.lineage.borrow_mut().root(&column.lineage.into_iter().collect());
        let at = origin(span);
        let time = Expr::new(ExprKind::Column(column.slot), rows.seen_type(column)?, at);
        match event {
            EventTime::Column(_) => Some(time),
            EventTime::WindowEnd(_) => {
                let one = Expr::new(ExprKind::Literal(Value::Duration(1)), Type::new(DataType::Duration), at);
                self.built_in("subtract", vec![time, one], span)
            }
        }
    }

    /// Reports rows without event time: where they lost it, or the source that could give it to them.
    fn without_time(&self, rows: &Rows, span: Span, what: &str) {
        let found = Diagnostic::error(
            codes::EVENT_TIME_NEEDED,
            span,
            format!("{what} an event time, and these rows have none"),
        );
        let source = rows.time.timeless.iter().find(|(word, _)| *word == "source");
        let found = match (rows.time.lost, source, rows.time.timeless.first()) {
            (Some((lost, keyword)), ..) => found
                .label("by which clock?")
                .also(lost, format!("the column with the event time is lost in this `{keyword}`"))
                .help("keep the column, or put this step before that one"),
            (_, Some((_, name)), _) => found.label("by which clock?").help(format!(
                "say in the source `{name}` which column is the time, and how late a row may come:\n    event_time at = timestamp_millis(timestamp)\n    watermark 5s"
            )),
            (_, None, Some((word, name))) => found
                .label(format!("the {word} `{name}` have none").replace("the table", "rows of the table"))
                .help("only rows of a `source` with an `event_time` have one"),
            (_, None, None) => found.label("by which clock?").help("give the source an `event_time`"),
        };
        self.report(found);
    }

    /// A constant duration above zero, in microseconds.
    pub(super) fn positive_duration(&self, e: &ast::Expr, what: &str, example: &str) -> Option<i64> {
        match self.constant(e, &DataType::Duration, what)? {
            Value::Duration(micros) if micros > 0 => Some(micros),
            _ => {
                self.report(
                    Diagnostic::error(codes::BAD_VALUE, e.span, format!("{what} must be longer than nothing"))
                        .label("not above 0")
                        .help(format!("for example `{example}`")),
                );
                None
            }
        }
    }

    /// A constant duration that is not negative, in microseconds.
    pub(super) fn within(&self, e: &ast::Expr, what: &str) -> Option<i64> {
        match self.constant(e, &DataType::Duration, what)? {
            Value::Duration(micros) if micros >= 0 => Some(micros),
            _ => {
                self.report(
                    Diagnostic::error(codes::BAD_VALUE, e.span, "a duration must not be negative")
                        .label("less than 0")
                        .help("for example `within 10m`"),
                );
                None
            }
        }
    }
}

/// What gives a step over rows without watermark one.
pub(crate) fn watermark_needed(unmarked: &BTreeSet<Spring>) -> Remedy {
    Remedy::Watermark(unmarked.clone())
}

/// Which sources are to get a watermark: ``say in the source `a` …``
pub(crate) fn watermark_help(unmarked: &BTreeSet<Spring>) -> String {
    let sources: Vec<String> =
        unmarked.iter().filter(|(word, _)| *word == "source").map(|(_, name)| quote_name(name)).collect();
    match sources.as_slice() {
        [] => "start from sources with a `watermark`".to_string(),
        [one] => format!("say in the source `{one}` how late a row may come: `watermark 5s`"),
        several => {
            format!("say in the sources {} how late a row may come: `watermark 5s`", super::list(several))
        }
    }
}
