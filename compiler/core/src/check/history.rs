//! Sinks that keep history: since when a row is valid, and the columns that say so. Knows nothing of how versions are kept.

use crate::check::scope::Rows;
use crate::check::sink::written;
use crate::check::types::span_of;
use crate::check::{Checker, article, list};
use crate::checked::{Checked, Input, Operation};
use crate::codes;
use flowc_ir::catalog::TableInfo;
use flowc_ir::plan::Connector;
use flowc_ir::types::quote_name;
use flowc_ir::{DataType, Expr, ExprKind, Field, Type};
use flowc_syntax::ast::Sink;
use flowc_syntax::diagnostic::Diagnostic;
use flowc_syntax::span::Span;

/// The columns that the sink adds.
pub(super) const COLUMNS: [&str; 3] = [VALID_FROM, "valid_to", "is_current"];

/// Since when a version is valid.
pub(crate) const VALID_FROM: &str = "valid_from";

/// The field of [`VALID_FROM`].
pub(crate) fn valid_from() -> Field {
    let comment = Some("Since when the row is valid".to_string());
    Field { comment, ..Field::new(VALID_FROM, Type::new(DataType::Timestamp)) }
}

/// The columns that a table of a history has besides: when each version ended, and whether it did not.
pub(crate) fn ends() -> [Field; 2] {
    [
        Field::new("valid_to", Type::nullable(DataType::Timestamp)),
        Field::new("is_current", Type::new(DataType::Boolean)),
    ]
}

/// Since when the rows of a sink are valid.
pub(super) enum Since {
    /// Since this event time.
    Event(Expr),
    /// Since the change of the row was committed to the table of its source, or since the time of its record.
    Commit,
}

/// The source that says of every change of these rows when it was made: a Delta table has the times of its commits, and records of changes have theirs where they are
/// ordered by a time. No step between remembers rows.
pub(crate) fn committed_in(checked: &Checked, input: Input) -> Option<usize> {
    match input {
        Input::Source(index) => {
            let source = checked.sources.get(index)?;
            let dated = match &source.records {
                Some(records) => records.time().is_some(),
                None => matches!(source.spec.connector, Connector::Delta { .. }),
            };
            dated.then_some(index)
        }
        Input::Flow(index) | Input::Rejected(index) => {
            let flow = checked.flows.get(index)?;
            let pinned = |table: usize| {
                let spec = &checked.tables[table].spec;
                spec.version.is_some() || !matches!(spec.connector, Connector::Delta { .. })
            };
            let passes = |operation: &Operation| match operation {
                Operation::Transform(_) | Operation::Expect(_) | Operation::Explode { .. } => true,
                Operation::Lookup { table, as_of, .. } => {
                    as_of.is_some() || pinned(*table) || !flow.rows.kind.is_changing()
                }
                Operation::Mark { table, .. } => pinned(*table) || !flow.rows.kind.is_changing(),
                _ => false,
            };
            let stateless = flow.steps.iter().all(|step| passes(&step.operation));
            if stateless { committed_in(checked, flow.input) } else { None }
        }
        Input::Malformed(_) | Input::Table(_) | Input::Late(_) => None,
    }
}

/// The source that rows come of, through steps that look at one row at a time.
fn sole_source(checked: &Checked, input: Input) -> Option<usize> {
    match input {
        Input::Source(index) => Some(index),
        Input::Flow(index) | Input::Rejected(index) => {
            let flow = checked.flows.get(index)?;
            let passes = |operation: &Operation| {
                matches!(operation, Operation::Transform(_) | Operation::Expect(_) | Operation::Explode { .. })
            };
            let stateless = flow.steps.iter().all(|step| passes(&step.operation));
            if stateless { sole_source(checked, flow.input) } else { None }
        }
        Input::Malformed(_) | Input::Table(_) | Input::Late(_) => None,
    }
}

impl Checker<'_> {
    /// Since when the rows of a sink that keeps history are valid; none: that cannot be said, or there is no place for it, which was reported.
    pub(super) fn history(
        &self,
        sink: &Sink,
        span: Span,
        (input, rows): (Input, &Rows),
        existing: Option<&TableInfo>,
    ) -> Option<Since> {
        let taken: Vec<&str> = written(rows).map(|c| c.name.as_str()).filter(|n| COLUMNS.contains(n)).collect();
        if !taken.is_empty() {
            let message = format!("history needs the name {} for a column of its own", list(&taken));
            self.report(
                Diagnostic::error(codes::HISTORY, sink.input.span, message)
                    .label("the flow has a column of this name")
                    .also(span, "adds `valid_from`, `valid_to` and `is_current`")
                    .help(format!("give it another name: `|> rename since = {}`", taken[0])),
            );
            return None;
        }
        if let Some(info) = existing {
            self.table_keeps_history(sink, span, info)?;
        }
        let committed = committed_in(&self.checked.borrow(), input).is_some();
        if !committed && (rows.time.event.is_none() || rows.kind.is_changing()) {
            self.since_unknown(sink, span, (input, rows));
            return None;
        }
        if rows.time.event.is_none() {
            return Some(Since::Commit);
        }
        let time = self.event_time_of(rows, span, "history needs")?;
        if !time.ty.nullable {
            return Some(Since::Event(time));
        }
        let column = rows.time.event.as_ref().map(|event| quote_name(event.column())).unwrap_or_default();
        self.report(
            Diagnostic::error(codes::HISTORY, span, "a row without an event time is valid since when?")
                .label(format!("`{column}` may be null"))
                .help(format!(
                    "keep rows that have one: `|> expect {{ timed: {column} is not null else quarantine }}`"
                )),
        );
        None
    }

    fn since_unknown(&self, sink: &Sink, span: Span, (input, rows): (Input, &Rows)) {
        if let Some(found) = self.undated_records(span, input) {
            return self.report(found);
        }
        let input = &sink.input.name.text;
        let found = Diagnostic::error(
            codes::HISTORY,
            span,
            format!("since when is a row of `{input}` valid? That cannot be told of each of its changes"),
        );
        let found = match (&rows.changing, rows.time.event.is_some()) {
            (Some(step), _) => found
                .label("history needs the time of each change")
                .also(step.span, format!("`{}` makes the rows change", step.step))
                .help(
                    "keep the rows as they are now, `mode merge on …`, and keep the history of that table in a program that reads it with `changes`",
                ),
            (None, _) => found.label("no event time").help(
                "say in the source which column is the time: `event_time at = timestamp_millis(timestamp)`",
            ),
        };
        self.report(found);
    }

    /// What is said of rows whose records are not ordered by a time, if they are such rows, and nothing else is in the way.
    fn undated_records(&self, span: Span, input: Input) -> Option<Diagnostic> {
        let checked = self.checked.borrow();
        let source = &checked.sources[sole_source(&checked, input)?];
        let records = source.records.as_ref().filter(|records| records.time().is_none())?;
        let name = quote_name(&source.spec.name);
        let message = format!("since when is a row of `{name}` valid? Its records are not ordered by a time");
        let found = Diagnostic::error(codes::HISTORY, span, message);
        let Some(value) = records.sequence.first().map(|place| &records.program.outputs[*place].value) else {
            return Some(
                found
                    .label("history needs the time of each change")
                    .help("say in the source which time orders them: `sequence by timestamp_millis(ts_ms)`"),
            );
        };
        let column = match &value.kind {
            ExprKind::Column(slot) => quote_name(&records.program.input.fields[*slot].name),
            _ => "…".to_string(),
        };
        let help = match &value.ty.data {
            data if data.is_integer() => format!(
                "if it counts milliseconds, say so: `sequence by timestamp_millis({column})`; seconds and microseconds have `timestamp_seconds` and `timestamp_micros`"
            ),
            _ => "order them by a `timestamp`: `sequence by timestamp_millis(ts_ms)`".to_string(),
        };
        let label = format!("`sequence by` is {}, and no time", article(&value.ty.data));
        Some(found.label(label).also(span_of(value), "the order of the records").help(help))
    }

    /// Whether a table has the columns of a history.
    fn table_keeps_history(&self, sink: &Sink, span: Span, info: &TableInfo) -> Option<()> {
        let types = [DataType::Timestamp, DataType::Timestamp, DataType::Boolean];
        let fits = |(name, data): (&&str, &DataType)| {
            let nullable = *name == "valid_to";
            info.schema.field(name).is_some_and(|f| f.ty.data == *data && (f.ty.nullable || !nullable))
        };
        let lacking: Vec<&str> =
            COLUMNS.iter().zip(&types).filter(|(name, data)| !fits((name, data))).map(|(name, _)| *name).collect();
        if lacking.is_empty() {
            return Some(());
        }
        self.report(
            Diagnostic::error(codes::HISTORY, span, "this table does not keep history")
                .label(format!("the table lacks {}", list(&lacking)))
                .also(sink.connector.span, "the table")
                .help(
                    "write to a table that does not exist yet: it is made with `valid_from: timestamp`, `valid_to: timestamp?` and `is_current: boolean`",
                ),
        );
        None
    }
}
