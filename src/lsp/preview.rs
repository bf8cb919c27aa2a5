//! `flowc/preview`: rows of a source, of a flow, or of a flow as far as a step, on a sample. Each is computed on a thread of its own that can be stopped. Must not know
//! how rows are made.

use crate::lsp::convert;
use crate::lsp::server::Server;
use crate::preview::{Preview, Stopped};
use crate::report;
use arrow::array::{ArrayRef, RecordBatch};
use flowc_ide::{Cut, CutError, LineIndex, RowsOf};
use flowc_ir::{DataType, Field};
use flowc_runtime::text::write_json;
use flowc_runtime::{Cancel, RunError};
use flowc_syntax::span::FileId;
use lsp_server::{ErrorCode, Request, Response};
use lsp_types as l;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

/// The request.
pub const METHOD: &str = "flowc/preview";

/// Rows of each source that are read unless the editor says otherwise.
pub const SAMPLE: usize = 1_000;

/// Rows that are shown unless the editor says otherwise, and at most.
const SHOWN: usize = 50;
const MOST_SHOWN: usize = 10_000;

/// Rows that the command shows as text.
const LINES: usize = 20;

/// Who waits for rows does not wait longer.
const DEADLINE: Duration = Duration::from_secs(10);

/// Significant digits that every number of JSON's readers keeps.
const DIGITS: usize = 15;

/// What rows, and how many.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Params {
    text_document: l::TextDocumentIdentifier,
    /// The source, table or flow; none: what is at the position.
    name: Option<String>,
    /// How many of the flow's steps the rows have gone through.
    steps: Option<usize>,
    /// Where the cursor is: in the flow of the name, it says which step.
    position: Option<l::Position>,
    /// How many rows are shown.
    limit: Option<usize>,
}

/// What is to be computed, and how it is answered.
struct Wanted {
    cut: Cut,
    shown: usize,
    answer: fn(&Cut, &Preview, usize) -> Value,
}

impl Server {
    /// Rows as data; the answer comes from the background.
    pub(super) fn preview(&mut self, request: Request) -> Option<Response> {
        let params: Params = match serde_json::from_value(request.params.clone()) {
            Ok(params) => params,
            Err(e) => return Some(Response::new_err(request.id, ErrorCode::InvalidParams as i32, e.to_string())),
        };
        let of = self.rows_of(&params).map_err(CutError::Wrong);
        let cut = of.and_then(|(path, of)| self.workspace.cut(&path, &of));
        let shown = params.limit.unwrap_or(SHOWN).clamp(1, MOST_SHOWN);
        self.compute(request, cut.map(|cut| Wanted { cut, shown, answer: as_data }))
    }

    /// Rows as text, for the command; the answer comes from the background.
    pub(super) fn preview_text(&mut self, request: Request, path: &str, of: &RowsOf) -> Option<Response> {
        let cut = self.workspace.cut(path, of);
        self.compute(request, cut.map(|cut| Wanted { cut, shown: LINES, answer: as_text }))
    }

    fn rows_of(&mut self, params: &Params) -> Result<(String, RowsOf), String> {
        let (path, document) = self.document(&params.text_document.uri).ok_or("the file is not open")?;
        let offset = params.position.map(|at| convert::offset(&document.text, &document.lines, at));
        let here = offset.and_then(|at| self.workspace.rows_at(&path, at));
        let of = match (&params.name, here) {
            (Some(name), _) if params.steps.is_some() => RowsOf { name: name.clone(), steps: params.steps },
            (Some(name), Some(here)) if here.name == *name => here,
            (Some(name), _) => RowsOf { name: name.clone(), steps: None },
            (None, Some(here)) => here,
            (None, None) => return Err("there is no flow, source or table here".into()),
        };
        Ok((path, of))
    }

    fn compute(&mut self, request: Request, wanted: Result<Wanted, CutError>) -> Option<Response> {
        let wanted = match wanted {
            Ok(wanted) => wanted,
            Err(why @ CutError::Pending) => return self.hold(request, why.to_string()),
            Err(why) => return Some(Response::new_err(request.id, ErrorCode::RequestFailed as i32, why.to_string())),
        };
        let id = request.id;
        let (cancel, sample) = (Cancel::new(), self.sample);
        self.running.insert(id.clone(), cancel.clone());
        self.in_background(id.clone(), move || {
            let deadline = async { tokio::time::sleep(DEADLINE).await };
            let error = |code: ErrorCode, why: String| Response::new_err(id.clone(), code as i32, why);
            match crate::preview::run(&wanted.cut, sample, &cancel, deadline) {
                Ok(Preview { stopped: Some(Stopped::Cancelled), .. }) => {
                    error(ErrorCode::RequestCanceled, "cancelled by the editor".into())
                }
                Ok(preview) => Response::new_ok(id, (wanted.answer)(&wanted.cut, &preview, wanted.shown)),
                Err(failure) => error(ErrorCode::RequestFailed, failure.message),
            }
        });
        None
    }
}

fn as_data(cut: &Cut, preview: &Preview, limit: usize) -> Value {
    let column = |field: &Field| json!({ "name": field.name, "type": field.ty.to_string() });
    let rows = cells(preview, limit);
    let sample = preview.sampled.iter().map(|s| json!({ "name": s.name, "rows": s.rows, "more": s.more }));
    json!({
        "title": cut.title,
        "columns": preview.schema.fields.iter().map(column).collect::<Vec<_>>(),
        "truncated": rows.len() < preview.count(),
        "message": message(cut, preview, rows.len()),
        "sample": sample.collect::<Vec<_>>(),
        "error": failure(preview).map(|error| failure_json(cut, error)),
        "rows": rows,
    })
}

/// As the commands answer: `{output, exit}`.
fn as_text(cut: &Cut, preview: &Preview, limit: usize) -> Value {
    let mut left = limit;
    let first = |batch: &RecordBatch| {
        let rows = batch.slice(0, batch.num_rows().min(left));
        left -= rows.num_rows();
        rows
    };
    let shown: Vec<RecordBatch> = preview.rows.iter().map(first).collect();
    let table = crate::commands::show::pretty(&shown);
    let said = match failure(preview) {
        Some(error) => report::run_error_text(error, &cut.sources, false),
        None => format!("{table}\n{}\n", message(cut, preview, limit.min(preview.count()))),
    };
    json!({ "output": said, "exit": i32::from(preview.stopped.is_some()) })
}

fn failure(preview: &Preview) -> Option<&RunError> {
    match &preview.stopped {
        Some(Stopped::Failed(error)) => Some(error),
        _ => None,
    }
}

/// What the rows are, or why there are none.
fn message(cut: &Cut, preview: &Preview, shown: usize) -> String {
    let mut said = match &preview.stopped {
        None => preview.summary(&cut.title, shown),
        Some(Stopped::Failed(error)) => format!("{}: {}", error.code, error.message),
        Some(Stopped::Cancelled) => "cancelled".to_string(),
        Some(Stopped::TooLong) => {
            format!("`{}` has no rows after {} seconds, even on a sample", cut.title, DEADLINE.as_secs())
        }
    };
    if cut.outdated {
        said += "; the program is that from before its syntax error";
    }
    said
}

fn failure_json(cut: &Cut, error: &RunError) -> Value {
    let location = error.origin.filter(|o| (o.file as usize) < cut.sources.files().count()).and_then(|origin| {
        let file = cut.sources.file(FileId(origin.file));
        let lines = LineIndex::new(&file.text);
        let range = convert::range(&file.text, &lines, &(origin.start as usize..origin.end as usize));
        Some(l::Location { uri: convert::uri(&file.name)?, range })
    });
    let row: Vec<Value> = error.row.iter().map(|(name, value)| json!([name, value])).collect();
    json!({ "code": error.code, "message": error.message, "help": error.help, "location": location, "row": row })
}

/// The first rows, each a list of values.
fn cells(preview: &Preview, limit: usize) -> Vec<Vec<Value>> {
    let mut rows = vec![];
    for batch in &preview.rows {
        for row in 0..batch.num_rows().min(limit - rows.len()) {
            let columns = preview.schema.fields.iter().zip(batch.columns());
            let cell = |(field, column): (&Field, &ArrayRef)| {
                let mut text = String::new();
                let value = flowc_ir::arrow_values::value_at(column, row, &field.ty);
                write_json(&mut text, &value, &field.ty.data);
                of_text(&text, &field.ty.data)
            };
            rows.push(columns.map(cell).collect());
        }
    }
    rows
}

/// A value from its JSON. An exact number with more digits than readers keep is a text.
fn of_text(text: &str, data: &DataType) -> Value {
    let exact = !matches!(data, DataType::Double | DataType::Float);
    let digits = text.chars().filter(char::is_ascii_digit).count();
    match serde_json::from_str(text) {
        Ok(Value::Number(_)) if exact && digits > DIGITS => Value::String(text.to_string()),
        Ok(value) => value,
        Err(_) => Value::String(text.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_digit_is_lost() {
        assert_eq!(of_text("12", &DataType::Long), json!(12));
        assert_eq!(of_text("9007199254740993", &DataType::Long), json!("9007199254740993"));
        assert_eq!(of_text("0.1", &DataType::Decimal { precision: 3, scale: 1 }).to_string(), "0.1");
        assert_eq!(of_text("0.30000000000000004", &DataType::Double).to_string(), "0.30000000000000004");
        assert_eq!(of_text("null", &DataType::Long), Value::Null);
        assert_eq!(of_text("\"a\"", &DataType::String), json!("a"));
    }
}
