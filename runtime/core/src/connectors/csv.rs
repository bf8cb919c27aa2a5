//! CSV files (RFC 4180), read: quotes, line ends in fields, columns by name. Errors name file, line, column and value.

use super::cells::{REPAIR, cell_array, value_of_text};
use super::files::{Format, unreadable};
use crate::connector::{BatchStream, Split};
use crate::error::RunError;
use crate::operators::internal;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use flowc_ir::arrow_types::to_arrow_schema;
use flowc_ir::{DataType, Schema, Value};
use futures::StreamExt;
use serde_json::json;
use std::fs::File;
use std::io::Read;

/// How a file is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dialect {
    pub(crate) header: bool,
    pub(crate) delimiter: u8,
    pub(crate) quote: u8,
    pub(crate) null: String,
}

impl Dialect {
    /// From the connector's options.
    pub(crate) fn new(header: bool, delimiter: char, quote: char, null: &str) -> Result<Self, RunError> {
        let byte = |c: char, what: &str| {
            let text = format!("the {what} of a CSV file must be an ASCII character, not `{c}`");
            u8::try_from(c).ok().filter(u8::is_ascii).ok_or_else(|| RunError::data("R0209", text))
        };
        let (delimiter, quote) = (byte(delimiter, "delimiter")?, byte(quote, "quote")?);
        Ok(Dialect { header, delimiter, quote, null: null.to_string() })
    }

    /// Whether a field is null: empty without quotes, or the text that stands for null.
    pub(crate) fn is_null(&self, text: &str, quoted: bool) -> bool {
        !quoted && (text.is_empty() || (!self.null.is_empty() && text == self.null))
    }
}

/// The format.
#[derive(Debug)]
pub(crate) struct CsvFormat {
    pub(crate) schema: Schema,
    pub(crate) dialect: Dialect,
}

/// What is wrong with a file's form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Malformed {
    pub(crate) line: u64,
    pub(crate) what: String,
}

/// A record: its fields' texts one after the other, where each ends, whether it was quoted, and the line where the record begins.
#[derive(Debug, Default, Clone)]
pub(crate) struct Record {
    text: Vec<u8>,
    fields: Vec<(usize, bool)>,
    pub(crate) line: u64,
}

impl Record {
    pub(crate) fn len(&self) -> usize {
        self.fields.len()
    }

    /// A field and whether it was quoted. Not UTF-8: none.
    pub(crate) fn field(&self, i: usize) -> Option<(&str, bool)> {
        let start = if i == 0 { 0 } else { self.fields[i - 1].0 };
        let (end, quoted) = self.fields[i];
        Some((std::str::from_utf8(&self.text[start..end]).ok()?, quoted))
    }
}

/// Reads records.
#[derive(Debug)]
pub(crate) struct Records<R> {
    input: R,
    buffer: Vec<u8>,
    start: usize,
    end: bool,
    line: u64,
    delimiter: u8,
    quote: u8,
}

impl<R: Read> Records<R> {
    pub(crate) fn new(input: R, dialect: &Dialect) -> Self {
        let (delimiter, quote) = (dialect.delimiter, dialect.quote);
        Records { input, buffer: vec![], start: 0, end: false, line: 1, delimiter, quote }
    }

    /// Reads more input behind what is not used yet.
    fn fill(&mut self) -> std::io::Result<()> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let used = self.buffer.len();
        self.buffer.resize(used + used.max(1 << 18), 0);
        let read = self.input.read(&mut self.buffer[used..])?;
        self.buffer.truncate(used + read);
        self.end = read == 0;
        Ok(())
    }

    /// The next record; false at the end of the file.
    pub(crate) fn next(&mut self, record: &mut Record) -> std::io::Result<Result<bool, Malformed>> {
        loop {
            record.text.clear();
            record.fields.clear();
            record.line = self.line;
            if self.line == 1 && self.buffer[self.start..].starts_with(b"\xEF\xBB\xBF") {
                self.start += 3;
            }
            if self.start == self.buffer.len() && self.end {
                return Ok(Ok(false));
            }
            match self.scan(record) {
                Ok(Some((used, lines))) => {
                    self.start += used;
                    self.line += lines;
                    return Ok(Ok(true));
                }
                Ok(None) => self.fill()?,
                Err(what) => return Ok(Err(Malformed { line: self.line, what: what.to_string() })),
            }
        }
    }

    /// Takes a record from the buffer: how many bytes and lines it has; none if the buffer ends before it does.
    fn scan(&self, record: &mut Record) -> Result<Option<(usize, u64)>, &'static str> {
        let input = &self.buffer[self.start..];
        let (mut at, mut lines) = (0, 0);
        loop {
            let mut quoted = false;
            if input.get(at) == Some(&self.quote) {
                quoted = true;
                at += 1;
                loop {
                    let Some(length) = input[at..].iter().position(|b| *b == self.quote) else {
                        return if self.end { Err("a quoted field has no end") } else { Ok(None) };
                    };
                    record.text.extend_from_slice(&input[at..at + length]);
                    lines += input[at..at + length].iter().filter(|b| **b == b'\n').count() as u64;
                    at += length + 1;
                    if input.get(at) != Some(&self.quote) {
                        break;
                    }
                    record.text.push(self.quote);
                    at += 1;
                }
                if at == input.len() && !self.end {
                    return Ok(None);
                }
            } else {
                let stop = |b: &u8| *b == self.delimiter || *b == b'\n' || *b == b'\r';
                let length = match input[at..].iter().position(stop) {
                    Some(length) => length,
                    None if self.end => input.len() - at,
                    None => return Ok(None),
                };
                record.text.extend_from_slice(&input[at..at + length]);
                at += length;
            }
            record.fields.push((record.text.len(), quoted));
            match (input.get(at), input.get(at + 1)) {
                (None, _) => return Ok(Some((at, lines))),
                (Some(b'\n'), _) => return Ok(Some((at + 1, lines + 1))),
                (Some(b'\r'), Some(b'\n')) => return Ok(Some((at + 2, lines + 1))),
                (Some(b'\r'), None) if !self.end => return Ok(None),
                (Some(b'\r'), _) => return Ok(Some((at + 1, lines + 1))),
                (Some(b), _) if *b == self.delimiter => at += 1,
                _ => return Err("there is text behind the closing quote of a field"),
            }
        }
    }
}

impl Format for CsvFormat {
    fn splits(&self, path: &str) -> Result<Vec<Split>, RunError> {
        Ok(vec![Split { detail: json!(null), text: path.to_string(), rows: None }])
    }

    fn read(&self, path: &str, _split: &Split, batch_rows: usize) -> Result<BatchStream, RunError> {
        let file = File::open(path).map_err(|e| unreadable(path, e))?;
        let mut reader = Reader {
            records: Records::new(file, &self.dialect),
            places: vec![],
            width: 0,
            schema: self.schema.clone(),
            dialect: self.dialect.clone(),
            path: path.to_string(),
            failed: None,
            ended: false,
        };
        reader.start()?;
        let batches = std::iter::from_fn(move || reader.batch(batch_rows.max(1)).transpose());
        Ok(futures::stream::iter(batches).boxed())
    }
}

/// Reads a file in batches.
struct Reader {
    records: Records<File>,
    /// For each column of the schema its place in a record; none: the file lacks it.
    places: Vec<Option<usize>>,
    /// Fields of a record.
    width: usize,
    schema: Schema,
    dialect: Dialect,
    path: String,
    /// Reported after the rows before it.
    failed: Option<RunError>,
    ended: bool,
}

impl Reader {
    fn malformed(&self, line: u64, what: &str) -> RunError {
        RunError::data("R0204", format!("`{}`, line {line}: {what}", self.path))
    }

    fn next(&mut self, record: &mut Record) -> Result<bool, RunError> {
        match self.records.next(record) {
            Ok(Ok(more)) => Ok(more),
            Ok(Err(bad)) => Err(self.malformed(bad.line, &bad.what)),
            Err(e) => Err(unreadable(&self.path, e)),
        }
    }

    fn start(&mut self) -> Result<(), RunError> {
        if !self.dialect.header {
            self.width = self.schema.len();
            self.places = (0..self.width).map(Some).collect();
            return Ok(());
        }
        let mut header = Record::default();
        if !self.next(&mut header)? {
            self.ended = true;
            return Ok(());
        }
        self.width = header.len();
        for field in &self.schema.fields {
            let place = (0..header.len()).find(|i| header.field(*i).is_some_and(|(name, _)| name == field.name));
            if place.is_none() && !field.ty.nullable {
                let text = format!("`{}` has no column `{}` in its header", self.path, field.name);
                return Err(RunError::data("R0207", text));
            }
            self.places.push(place);
        }
        Ok(())
    }

    /// Up to so many rows; none at the end. An error comes after the rows before it.
    fn batch(&mut self, batch_rows: usize) -> Result<Option<RecordBatch>, RunError> {
        if let Some(error) = self.failed.take() {
            self.ended = true;
            return Err(error);
        }
        let mut columns: Vec<Vec<Value>> = vec![vec![]; self.schema.len()];
        let (mut rows, mut record) = (0, Record::default());
        while rows < batch_rows && !self.ended {
            let taken = self.next(&mut record).and_then(|more| {
                self.ended = !more;
                if more { self.row(&record) } else { Ok(None) }
            });
            match taken {
                Ok(Some(row)) => {
                    columns.iter_mut().zip(row).for_each(|(column, value)| column.push(value));
                    rows += 1;
                }
                Ok(None) => {}
                Err(error) => {
                    self.failed = Some(error);
                    break;
                }
            }
        }
        if rows == 0 {
            return self.failed.take().map_or(Ok(None), |error| {
                self.ended = true;
                Err(error)
            });
        }
        let arrays = self.schema.fields.iter().zip(&columns).map(|(f, values)| cell_array(&f.ty, values)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(to_arrow_schema(&self.schema), arrays, &options).map(Some).map_err(internal)
    }

    /// The values of a record; none for an empty line.
    fn row(&self, record: &Record) -> Result<Option<Vec<Value>>, RunError> {
        if record.len() == 1 && self.width > 1 && record.field(0) == Some(("", false)) {
            return Ok(None);
        }
        if record.len() != self.width {
            let what = format!("{} fields instead of {}", record.len(), self.width);
            return Err(self.malformed(record.line, &what));
        }
        let value = |(field, place): (&flowc_ir::Field, &Option<usize>)| {
            let Some(place) = place else { return Ok(Value::Null) };
            let Some((text, quoted)) = record.field(*place) else {
                return Err(self.malformed(record.line, &format!("column `{}` is not UTF-8", field.name)));
            };
            let bad = |what: String| {
                let place = format!("`{}`, line {}, column `{}`", self.path, record.line, field.name);
                RunError::data("R0205", format!("{place}: {what}")).help(REPAIR)
            };
            if self.dialect.is_null(text, quoted) {
                return match (&field.ty.data, field.ty.nullable) {
                    (_, true) => Ok(Value::Null),
                    // Without quotes, nothing tells an empty text from null.
                    (DataType::String, false) if text.is_empty() => Ok(Value::String(String::new())),
                    _ => Err(bad(format!("there is no value, and the type is {}", field.ty))),
                };
            }
            value_of_text(text, &field.ty.data).map_err(bad)
        };
        self.schema.fields.iter().zip(&self.places).map(value).collect::<Result<_, _>>().map(Some)
    }
}
