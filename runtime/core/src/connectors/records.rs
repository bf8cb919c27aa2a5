//! Records of text files in batches: the rows, and beside them those that are none, where they are put aside instead of stopping the run. How a record is
//! written is the matter of a [`RecordReader`].

use super::cells::cell_array;
use super::files::RowPolicy;
use crate::connector::{Part, PartStream};
use crate::error::RunError;
use crate::operators::internal;
use arrow::array::{Int64Array, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{Schema as ArrowSchema, SchemaRef};
use flowc_ir::arrow_types::to_arrow_schema;
use flowc_ir::graph::malformed_schema;
use flowc_ir::{Schema, Value};
use futures::StreamExt;
use std::collections::VecDeque;
use std::sync::Arc;

/// The longest record that is read: memory must not depend on what is in a file.
pub(crate) const RECORD_BYTES: usize = 64 << 20;

/// Text of records that makes a batch, however few there are.
const BATCH_BYTES: usize = 16 << 20;

/// What is said of a record that is longer than [`RECORD_BYTES`].
pub(crate) const TOO_LONG: &str = "it is longer than 64 MiB";

/// Why a record is not a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// `R0204` or `R0205`.
    pub(crate) code: &'static str,
    /// The column or field, where the mistake is in one: ``column `x` ``.
    pub(crate) place: Option<String>,
    /// What is wrong.
    pub(crate) what: String,
}

impl Mistake {
    /// A record that does not have the form of one.
    pub(crate) fn form(what: impl Into<String>) -> Self {
        Mistake { code: "R0204", place: None, what: what.into() }
    }

    /// A value that does not fit.
    pub(crate) fn value(place: String, what: String) -> Self {
        Mistake { code: "R0205", place: Some(place), what }
    }

    /// The error of a run that it stops.
    pub(crate) fn stops(&self, path: &str, line: u64, help: &str) -> RunError {
        let place = self.place.as_ref().map(|p| format!(", {p}")).unwrap_or_default();
        RunError::data(self.code, format!("`{path}`, line {line}{place}: {}", self.what)).help(help)
    }

    /// What `_error` says: file and line have columns of their own.
    fn reason(&self) -> String {
        self.place.as_ref().map(|p| format!("{p}: ")).unwrap_or_default() + &self.what
    }
}

/// What is read next.
#[derive(Debug)]
pub(crate) enum Taken {
    /// A value for each column.
    Row(Vec<Value>),
    /// No row, and none is missing: an empty line.
    Nothing,
    /// A record that is no row.
    Malformed(Mistake),
    /// The end of the file.
    End,
}

/// Takes a file's text apart.
pub(crate) trait RecordReader: Send + 'static {
    /// The next record.
    fn take(&mut self) -> Result<Taken, RunError>;

    /// The line where the record that was taken begins, and its text without the line end.
    fn taken(&self) -> (u64, &[u8]);
}

/// The columns of a batch of malformed records; the epoch is added by the run.
pub(crate) fn malformed_columns() -> SchemaRef {
    let all = to_arrow_schema(&malformed_schema());
    Arc::new(ArrowSchema::new(all.fields().iter().take(4).cloned().collect::<Vec<_>>()))
}

/// Malformed records on their way into a batch.
#[derive(Debug, Default)]
struct Aside {
    raw: Vec<String>,
    lines: Vec<i64>,
    reasons: Vec<String>,
}

impl Aside {
    fn batch(self, path: &str) -> Result<RecordBatch, RunError> {
        let files = StringArray::from(vec![path; self.raw.len()]);
        let (raw, lines, reasons) =
            (StringArray::from(self.raw), Int64Array::from(self.lines), StringArray::from(self.reasons));
        let arrays: Vec<arrow::array::ArrayRef> =
            vec![Arc::new(raw), Arc::new(files), Arc::new(lines), Arc::new(reasons)];
        RecordBatch::try_new(malformed_columns(), arrays).map_err(internal)
    }
}

/// The records of one file, in batches.
struct Batches<R> {
    reader: R,
    path: String,
    /// The columns that come out.
    schema: Schema,
    /// For each column that the reader yields, its place among those.
    places: Vec<Option<usize>>,
    policy: RowPolicy,
    batch_rows: usize,
    ready: VecDeque<Part>,
    /// Reported after what was read before it.
    failed: Option<RunError>,
    ended: bool,
}

/// The parts of a file. `reader` yields the columns of [`RowPolicy::judged`].
pub(crate) fn parts(
    reader: impl RecordReader,
    path: &str,
    schema: &Schema,
    policy: &RowPolicy,
    batch_rows: usize,
) -> PartStream {
    let judged = policy.judged(schema).fields.iter();
    let mut batches = Batches {
        places: judged.map(|f| schema.index_of(&f.name)).collect(),
        reader,
        path: path.to_string(),
        schema: schema.clone(),
        policy: policy.clone(),
        batch_rows: batch_rows.max(1),
        ready: VecDeque::new(),
        failed: None,
        ended: false,
    };
    futures::stream::iter(std::iter::from_fn(move || batches.next().transpose())).boxed()
}

impl<R: RecordReader> Batches<R> {
    fn next(&mut self) -> Result<Option<Part>, RunError> {
        loop {
            if let Some(part) = self.ready.pop_front() {
                return Ok(Some(part));
            }
            if let Some(error) = self.failed.take() {
                self.ended = true;
                return Err(error);
            }
            if self.ended {
                return Ok(None);
            }
            self.fill()?;
        }
    }

    /// Takes records for one batch of rows and one of others.
    fn fill(&mut self) -> Result<(), RunError> {
        let mut columns: Vec<Vec<Value>> = vec![vec![]; self.schema.len()];
        let (mut rows, mut bytes, mut aside) = (0, 0, Aside::default());
        while rows < self.batch_rows && aside.raw.len() < self.batch_rows && bytes < BATCH_BYTES {
            let taken = self.reader.take();
            let (line, text) = self.reader.taken();
            match taken {
                Ok(Taken::Row(row)) => {
                    for (value, place) in row.into_iter().zip(&self.places) {
                        if let Some(place) = place {
                            columns[*place].push(value);
                        }
                    }
                    rows += 1;
                    bytes += text.len();
                }
                Ok(Taken::Nothing) => {}
                Ok(Taken::Malformed(mistake)) => match &self.policy {
                    RowPolicy::Aside(_) => {
                        aside.raw.push(String::from_utf8_lossy(text).into_owned());
                        aside.lines.push(i64::try_from(line).unwrap_or(i64::MAX));
                        aside.reasons.push(mistake.reason());
                        bytes += text.len();
                    }
                    RowPolicy::Stop { help } => {
                        self.failed = Some(mistake.stops(&self.path, line, help));
                        break;
                    }
                },
                Ok(Taken::End) => {
                    self.ended = true;
                    break;
                }
                Err(error) => {
                    self.failed = Some(error);
                    break;
                }
            }
        }
        if rows > 0 {
            let arrays = self.schema.fields.iter().zip(&columns).map(|(f, v)| cell_array(&f.ty, v)).collect();
            let options = RecordBatchOptions::new().with_row_count(Some(rows));
            let batch = RecordBatch::try_new_with_options(to_arrow_schema(&self.schema), arrays, &options);
            self.ready.push_back(Part::Rows(batch.map_err(internal)?));
        }
        if !aside.raw.is_empty() {
            self.ready.push_back(Part::Malformed(aside.batch(&self.path)?));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
