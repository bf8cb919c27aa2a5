//! Standard output as a sink: a line for each row, in the order of the input, shown when the epoch is committed. Of rows that change, a line for each change that
//! the epoch comes to: first what is taken away, then what is added, each by its columns. It keeps no account: an epoch that is run again after a crash is
//! shown again.

use crate::connector::{Committed, EpochId, Sink, SinkEpoch, SinkWriter, Written};
use crate::error::RunError;
use crate::quality::Judgement;
use crate::text::{console_changes, console_lines};
use crate::zset::{ZSet, encoded};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use flowc_ir::Schema;
use flowc_ir::arrow_types::to_arrow_schema;
use flowc_ir::graph::weight;
use std::fmt;
use std::io::{Read, Seek, Write};
use std::sync::{Arc, Mutex, PoisonError};
use tempfile::SpooledTempFile;

/// Lines up to this many bytes wait in memory, more in a temporary file.
const IN_MEMORY: usize = 8 << 20;

/// Where lines go: standard output, or a test's buffer.
pub type Out = Arc<Mutex<dyn Write + Send>>;

/// The sink.
pub struct ConsoleSink {
    schema: Schema,
    changing: bool,
    out: Out,
}

impl fmt::Debug for ConsoleSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("console")
    }
}

impl ConsoleSink {
    /// Writes rows of this schema to `out`. `changing`: they have a weight behind these columns.
    pub fn new(schema: Schema, changing: bool, out: Out) -> Self {
        ConsoleSink { schema, changing, out }
    }
}

fn failed(error: &std::io::Error) -> RunError {
    RunError::world("R0503", format!("cannot write to the console: {error}"))
}

#[async_trait]
impl Sink for ConsoleSink {
    async fn committed(&self, _application: &str) -> Result<Option<u64>, RunError> {
        Ok(None)
    }

    async fn begin(&self, _id: EpochId) -> Result<Box<dyn SinkEpoch>, RunError> {
        let lines = Arc::new(Mutex::new(SpooledTempFile::new(IN_MEMORY)));
        let (schema, out) = (self.schema.clone(), Arc::clone(&self.out));
        Ok(Box::new(ConsoleEpoch { schema, changing: self.changing, out, lines }))
    }

    fn accounts(&self) -> bool {
        false
    }

    fn ordered(&self) -> bool {
        true
    }
}

struct ConsoleEpoch {
    schema: Schema,
    changing: bool,
    out: Out,
    lines: Arc<Mutex<SpooledTempFile>>,
}

#[async_trait]
impl SinkEpoch for ConsoleEpoch {
    async fn writer(&self) -> Result<Box<dyn SinkWriter>, RunError> {
        let (schema, lines) = (self.schema.clone(), Arc::clone(&self.lines));
        let changes = self.changing.then(Vec::new);
        Ok(Box::new(ConsoleWriter { schema, changes, lines, rows: 0, text: String::new() }))
    }

    async fn commit(&self, written: Vec<Written>, _quality: &[Judgement]) -> Result<Committed, RunError> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        copy(&mut lines, &mut *out).map_err(|e| failed(&e))?;
        let (rows, bytes) = written.iter().fold((0, 0), |(r, b), w| (r + w.rows, b + w.bytes));
        Ok(Committed { rows, bytes, ..Committed::default() })
    }

    async fn abort(&self, _written: Vec<Written>) {}
}

fn copy(from: &mut SpooledTempFile, to: &mut dyn Write) -> std::io::Result<()> {
    from.rewind()?;
    let mut chunk = vec![0; 1 << 16];
    loop {
        match from.read(&mut chunk)? {
            0 => return to.flush(),
            read => to.write_all(&chunk[..read])?,
        }
    }
}

struct ConsoleWriter {
    schema: Schema,
    /// Rows that change, until all of them are there; none: rows are only added.
    changes: Option<Vec<RecordBatch>>,
    lines: Arc<Mutex<SpooledTempFile>>,
    rows: u64,
    text: String,
}

impl ConsoleWriter {
    fn put(&mut self) -> Result<(), RunError> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.write_all(self.text.as_bytes()).map_err(|e| failed(&e))?;
        self.text.clear();
        Ok(())
    }

    /// Writes what the changes come to.
    fn settle(&mut self, changes: &[RecordBatch]) -> Result<(), RunError> {
        let mut schema = self.schema.clone();
        schema.fields.push(weight());
        let ZSet { rows, weights } = ZSet::sum(&to_arrow_schema(&schema), changes)?;
        let keys = encoded(rows.columns())?;
        let mut order: Vec<usize> = (0..weights.len()).collect();
        order.sort_by(|a, b| {
            let key = |row: usize| keys.as_ref().map(|keys| keys.row(row));
            (weights[*a] > 0).cmp(&(weights[*b] > 0)).then_with(|| key(*a).cmp(&key(*b)))
        });
        for row in order {
            self.rows += weights[row].unsigned_abs();
            console_changes(&mut self.text, &rows, &self.schema, (row, weights[row]));
            if self.text.len() > 1 << 16 {
                self.put()?;
            }
        }
        self.put()
    }
}

#[async_trait]
impl SinkWriter for ConsoleWriter {
    async fn write(&mut self, batch: &RecordBatch) -> Result<(), RunError> {
        if let Some(changes) = &mut self.changes {
            changes.push(batch.clone());
            return Ok(());
        }
        console_lines(&mut self.text, batch, &self.schema);
        self.rows += batch.num_rows() as u64;
        self.put()
    }

    async fn finish(mut self: Box<Self>) -> Result<Written, RunError> {
        if let Some(changes) = self.changes.take() {
            self.settle(&changes)?;
        }
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = lines.stream_position().map_err(|e| failed(&e))?;
        Ok(Written { rows: self.rows, bytes, ..Written::default() })
    }

    async fn abort(self: Box<Self>) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zset::weighted;
    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use flowc_ir::{DataType, Field, Type};

    async fn shown(schema: &Schema, batches: &[RecordBatch]) -> (String, u64) {
        let lines: Arc<Mutex<Vec<u8>>> = Arc::default();
        let sink = ConsoleSink::new(schema.clone(), true, Arc::clone(&lines) as Out);
        let epoch = sink.begin(EpochId::new("p/out", 1)).await.unwrap();
        let mut writer = epoch.writer().await.unwrap();
        for batch in batches {
            writer.write(batch).await.unwrap();
        }
        let written = writer.finish().await.unwrap();
        let committed = epoch.commit(vec![written], &[]).await.unwrap();
        let text = String::from_utf8(lines.lock().unwrap().clone()).unwrap();
        (text, committed.rows)
    }

    fn batch(columns: Vec<(&str, ArrayRef)>, weights: &[i64]) -> RecordBatch {
        weighted(&RecordBatch::try_from_iter(columns).unwrap(), weights.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn changes_are_shown_as_what_they_come_to() {
        let schema =
            Schema::new(vec![Field::new("k", Type::new(DataType::String)), Field::new("n", Type::new(DataType::Long))]);
        let part = |rows: &[(&str, i64, i64)]| {
            let keys: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0)));
            let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1)));
            batch(vec![("k", keys), ("n", numbers)], &rows.iter().map(|row| row.2).collect::<Vec<_>>())
        };
        let changes =
            [part(&[("b", 2, 1), ("a", 1, 2), ("c", 3, 1)]), part(&[("b", 5, -1), ("c", 3, -1), ("a", 9, -2)])];
        let wanted = "- {\"k\":\"a\",\"n\":9}\n- {\"k\":\"a\",\"n\":9}\n- {\"k\":\"b\",\"n\":5}\n\
                      + {\"k\":\"a\",\"n\":1}\n+ {\"k\":\"a\",\"n\":1}\n+ {\"k\":\"b\",\"n\":2}\n";
        assert_eq!(shown(&schema, &changes).await, (wanted.to_string(), 6));
        let backwards: Vec<RecordBatch> = changes.into_iter().rev().collect();
        assert_eq!(shown(&schema, &backwards).await.0, wanted, "whatever the order in which they came");
        assert_eq!(shown(&schema, &[]).await, (String::new(), 0));
    }

    #[tokio::test]
    async fn a_single_text_is_shown_behind_its_sign() {
        let schema = Schema::new(vec![Field::new("t", Type::nullable(DataType::String))]);
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("new"), None, Some("old")]));
        let changes = batch(vec![("t", texts)], &[1, 1, -1]);
        assert_eq!(shown(&schema, &[changes]).await.0, "- old\n+ null\n+ new\n");
    }
}
