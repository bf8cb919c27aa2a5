//! CSV files, read: columns by name, values by the types of their columns. Errors name file, line, column and value.

use super::cells::value_of_text;
use super::files::{Format, RowPolicy, unreadable};
use super::records::{Mistake, RecordReader, Taken, parts};
use super::scan::{Dialect, Next, Record, Records};
use crate::connector::{PartStream, Split};
use crate::error::RunError;
use flowc_ir::{DataType, Schema, Value};
use serde_json::json;
use std::fs::File;

/// The format.
#[derive(Debug)]
pub(crate) struct CsvFormat {
    pub(crate) schema: Schema,
    pub(crate) dialect: Dialect,
    pub(crate) policy: RowPolicy,
}

impl Format for CsvFormat {
    fn splits(&self, path: &str) -> Result<Vec<Split>, RunError> {
        Ok(vec![Split { detail: json!(null), text: path.to_string(), rows: None }])
    }

    fn read(&self, path: &str, _split: &Split, batch_rows: usize) -> Result<PartStream, RunError> {
        let file = File::open(path).map_err(|e| unreadable(path, e))?;
        let mut reader = Reader {
            records: Records::new(file, &self.dialect),
            record: Record::default(),
            places: vec![],
            width: 0,
            schema: self.policy.judged(&self.schema).clone(),
            dialect: self.dialect.clone(),
            path: path.to_string(),
        };
        reader.start()?;
        Ok(parts(reader, path, &self.schema, &self.policy, batch_rows))
    }
}

/// Reads a file.
struct Reader {
    records: Records<File>,
    record: Record,
    /// For each column of the schema its place in a record; none: the file lacks it.
    places: Vec<Option<usize>>,
    /// Fields of a record.
    width: usize,
    schema: Schema,
    dialect: Dialect,
    path: String,
}

impl Reader {
    /// Reads the header. A header that is wrong is a wrong file, not a wrong row: it stops the run, whatever becomes of malformed rows.
    fn start(&mut self) -> Result<(), RunError> {
        if !self.dialect.header {
            self.width = self.schema.len();
            self.places = (0..self.width).map(Some).collect();
            return Ok(());
        }
        let header = &mut self.record;
        match self.records.next(header).map_err(|e| unreadable(&self.path, e))? {
            Next::Record => {}
            Next::Malformed(what) => {
                let help =
                    "this is the header: nothing is known of the rows below it; correct the file, or move it away";
                return Err(Mistake::form(what).stops(&self.path, header.line, help));
            }
            Next::End => return Ok(()),
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

    /// The values of the record; none for an empty line.
    fn row(&self) -> Result<Option<Vec<Value>>, Mistake> {
        let record = &self.record;
        if record.len() == 1 && self.width > 1 && record.field(0) == Some(("", false)) {
            return Ok(None);
        }
        if record.len() != self.width {
            return Err(Mistake::form(format!("{} instead of {}", fields(record.len()), self.width)));
        }
        let value = |(field, place): (&flowc_ir::Field, &Option<usize>)| {
            let Some(place) = place else { return Ok(Value::Null) };
            let Some((text, quoted)) = record.field(*place) else {
                return Err(Mistake::form(format!("column `{}` is not UTF-8", field.name)));
            };
            let bad = |what: String| Mistake::value(format!("column `{}`", field.name), what);
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

fn fields(count: usize) -> String {
    if count == 1 { "1 field".into() } else { format!("{count} fields") }
}

impl RecordReader for Reader {
    fn take(&mut self) -> Result<Taken, RunError> {
        Ok(match self.records.next(&mut self.record).map_err(|e| unreadable(&self.path, e))? {
            Next::Record => match self.row() {
                Ok(Some(row)) => Taken::Row(row),
                Ok(None) => Taken::Nothing,
                Err(mistake) => Taken::Malformed(mistake),
            },
            Next::Malformed(what) => Taken::Malformed(Mistake::form(what)),
            Next::End => Taken::End,
        })
    }

    fn taken(&self) -> (u64, &[u8]) {
        (self.record.line, self.records.text())
    }
}
