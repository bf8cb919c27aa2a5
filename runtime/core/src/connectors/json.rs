//! Files of JSON lines, read: an object a line, missing means null. Errors name file, line and field.

use super::cells::{REPAIR, cell_array, value_of_json};
use super::files::{Format, unreadable};
use crate::connector::{BatchStream, Split};
use crate::error::RunError;
use crate::operators::internal;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use flowc_ir::arrow_types::to_arrow_schema;
use flowc_ir::{Schema, Value};
use futures::StreamExt;
use serde_json::json;
use std::fs::File;
use std::io::{BufRead, BufReader};

/// The format.
#[derive(Debug)]
pub(crate) struct JsonFormat {
    pub(crate) schema: Schema,
}

impl Format for JsonFormat {
    fn splits(&self, path: &str) -> Result<Vec<Split>, RunError> {
        Ok(vec![Split { detail: json!(null), text: path.to_string(), rows: None }])
    }

    fn read(&self, path: &str, _split: &Split, batch_rows: usize) -> Result<BatchStream, RunError> {
        let file = File::open(path).map_err(|e| unreadable(path, e))?;
        let mut reader = Reader {
            lines: BufReader::with_capacity(1 << 18, file),
            line: 0,
            schema: self.schema.clone(),
            path: path.to_string(),
            failed: None,
            ended: false,
        };
        let batches = std::iter::from_fn(move || reader.batch(batch_rows.max(1)).transpose());
        Ok(futures::stream::iter(batches).boxed())
    }
}

struct Reader {
    lines: BufReader<File>,
    line: u64,
    schema: Schema,
    path: String,
    /// Reported after the rows before it.
    failed: Option<RunError>,
    ended: bool,
}

impl Reader {
    fn batch(&mut self, batch_rows: usize) -> Result<Option<RecordBatch>, RunError> {
        if let Some(error) = self.failed.take() {
            self.ended = true;
            return Err(error);
        }
        let mut columns: Vec<Vec<Value>> = vec![vec![]; self.schema.len()];
        let (mut rows, mut text) = (0, String::new());
        while rows < batch_rows && !self.ended {
            match self.row(&mut text) {
                Ok(Some(row)) => {
                    columns.iter_mut().zip(row).for_each(|(column, value)| column.push(value));
                    rows += 1;
                }
                Ok(None) => {}
                Err(error) if rows == 0 => {
                    self.ended = true;
                    return Err(error);
                }
                Err(error) => {
                    self.failed = Some(error);
                    break;
                }
            }
        }
        if rows == 0 {
            return Ok(None);
        }
        let arrays = self.schema.fields.iter().zip(&columns).map(|(f, values)| cell_array(&f.ty, values)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(to_arrow_schema(&self.schema), arrays, &options).map(Some).map_err(internal)
    }

    /// The values of the next line; none if it is empty, or at the end.
    fn row(&mut self, text: &mut String) -> Result<Option<Vec<Value>>, RunError> {
        text.clear();
        self.line += 1;
        let at = |what: String| RunError::data("R0204", format!("`{}`, line {}: {what}", self.path, self.line));
        match self.lines.read_line(text) {
            Ok(0) => self.ended = true,
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::InvalidData => return Err(at("it is not UTF-8".into())),
            Err(e) => return Err(unreadable(&self.path, e)),
        }
        if text.trim().is_empty() {
            return Ok(None);
        }
        let object: serde_json::Value = serde_json::from_str(text).map_err(|e| at(format!("it is not JSON: {e}")))?;
        let serde_json::Value::Object(object) = object else {
            return Err(at("it is not a JSON object".into()));
        };
        let value = |field: &flowc_ir::Field| {
            let bad = |what: String| {
                let place = format!("`{}`, line {}, field `{}`", self.path, self.line, field.name);
                RunError::data("R0205", format!("{place}: {what}")).help(REPAIR)
            };
            value_of_json(object.get(&field.name), &field.ty).map_err(bad)
        };
        self.schema.fields.iter().map(value).collect::<Result<_, _>>().map(Some)
    }
}
