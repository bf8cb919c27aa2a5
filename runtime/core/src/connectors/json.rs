//! Files of JSON lines, read: an object a line, missing means null. Errors name file, line and field.

use super::cells::value_of_json;
use super::files::{Format, RowPolicy, unreadable};
use super::records::{Mistake, RECORD_BYTES, RecordReader, TOO_LONG, Taken, parts};
use crate::connector::{PartStream, Split};
use crate::error::RunError;
use flowc_ir::{Schema, Value};
use serde_json::json;
use std::fs::File;
use std::io::{BufRead, BufReader};

/// The format.
#[derive(Debug)]
pub(crate) struct JsonFormat {
    pub(crate) schema: Schema,
    pub(crate) policy: RowPolicy,
}

impl Format for JsonFormat {
    fn splits(&self, path: &str) -> Result<Vec<Split>, RunError> {
        Ok(vec![Split { detail: json!(null), text: path.to_string(), rows: None }])
    }

    fn read(&self, path: &str, _split: &Split, batch_rows: usize) -> Result<PartStream, RunError> {
        let file = File::open(path).map_err(|e| unreadable(path, e))?;
        let lines = Lines::new(BufReader::with_capacity(1 << 18, file), RECORD_BYTES);
        let schema = self.policy.judged(&self.schema).clone();
        let reader = Reader { lines, schema, path: path.to_string() };
        Ok(parts(reader, path, &self.schema, &self.policy, batch_rows))
    }
}

/// Lines of bytes.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    input: R,
    /// The last line, without its end and, in the first one, without the mark of byte order.
    text: Vec<u8>,
    /// Its number.
    line: u64,
    limit: usize,
}

/// What became of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// It is there.
    Whole,
    /// It is longer than it may be: its beginning is there.
    Cut,
    /// There is none.
    End,
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn new(input: R, limit: usize) -> Self {
        Lines { input, text: vec![], line: 0, limit }
    }

    /// The last line.
    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Reads the next line.
    pub(crate) fn next(&mut self) -> std::io::Result<Line> {
        self.text.clear();
        self.line += 1;
        let (mut any, mut cut) = (false, false);
        loop {
            let input = match self.input.fill_buf() {
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            any |= !input.is_empty();
            let end = input.iter().position(|b| *b == b'\n');
            let length = end.unwrap_or(input.len());
            // One more than may be: it could be the carriage return before the line feed.
            let taken = length.min(self.limit + 1 - self.text.len());
            self.text.extend_from_slice(&input[..taken]);
            cut |= taken < length;
            let last = input.is_empty() || end.is_some();
            self.input.consume(length + usize::from(end.is_some()));
            if last {
                break;
            }
        }
        if !cut && self.text.ends_with(b"\r") {
            self.text.pop();
        }
        cut |= self.text.len() > self.limit;
        self.text.truncate(self.limit);
        if self.line == 1 && self.text.starts_with(b"\xEF\xBB\xBF") {
            self.text.drain(..3);
        }
        Ok(match (any, cut) {
            (false, _) => Line::End,
            (true, false) => Line::Whole,
            (true, true) => Line::Cut,
        })
    }
}

struct Reader {
    lines: Lines<BufReader<File>>,
    schema: Schema,
    path: String,
}

/// The object of a line; none if it is empty.
pub(crate) fn object(line: &[u8]) -> Result<Option<serde_json::Map<String, serde_json::Value>>, String> {
    let text = std::str::from_utf8(line).map_err(|_| "it is not UTF-8".to_string())?;
    if text.trim().is_empty() {
        return Ok(None);
    }
    match serde_json::from_str(text) {
        Ok(serde_json::Value::Object(object)) => Ok(Some(object)),
        Ok(_) => Err("it is not a JSON object".into()),
        Err(e) => {
            // A text of one line: only the place in it is of use.
            let all = e.to_string();
            let what = all.strip_suffix(&format!(" at line {} column {}", e.line(), e.column())).unwrap_or(&all);
            Err(format!("it is not JSON: {what} at byte {}", e.column()))
        }
    }
}

impl Reader {
    fn row(&self) -> Result<Option<Vec<Value>>, Mistake> {
        let Some(object) = object(self.lines.text()).map_err(Mistake::form)? else { return Ok(None) };
        let value = |field: &flowc_ir::Field| {
            value_of_json(object.get(&field.name), &field.ty)
                .map_err(|what| Mistake::value(format!("field `{}`", field.name), what))
        };
        self.schema.fields.iter().map(value).collect::<Result<_, _>>().map(Some)
    }
}

impl RecordReader for Reader {
    fn take(&mut self) -> Result<Taken, RunError> {
        Ok(match self.lines.next().map_err(|e| unreadable(&self.path, e))? {
            Line::Whole => match self.row() {
                Ok(Some(row)) => Taken::Row(row),
                Ok(None) => Taken::Nothing,
                Err(mistake) => Taken::Malformed(mistake),
            },
            Line::Cut => Taken::Malformed(Mistake::form(TOO_LONG)),
            Line::End => Taken::End,
        })
    }

    fn taken(&self) -> (u64, &[u8]) {
        (self.lines.line, self.lines.text())
    }
}

#[cfg(test)]
mod tests;
