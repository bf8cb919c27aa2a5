//! Standard output as a sink: a line for each row, in the order of the input, shown when the epoch is committed. It keeps no account: an epoch that is run
//! again after a crash is shown again.

use crate::connector::{Committed, EpochId, Sink, SinkEpoch, SinkWriter, Written};
use crate::error::RunError;
use crate::quality::Judgement;
use crate::text::console_lines;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use flowc_ir::Schema;
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
    out: Out,
}

impl fmt::Debug for ConsoleSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("console")
    }
}

impl ConsoleSink {
    /// Writes rows of this schema to `out`.
    pub fn new(schema: Schema, out: Out) -> Self {
        ConsoleSink { schema, out }
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
        Ok(Box::new(ConsoleEpoch { schema: self.schema.clone(), out: Arc::clone(&self.out), lines }))
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
    out: Out,
    lines: Arc<Mutex<SpooledTempFile>>,
}

#[async_trait]
impl SinkEpoch for ConsoleEpoch {
    async fn writer(&self) -> Result<Box<dyn SinkWriter>, RunError> {
        let lines = Arc::clone(&self.lines);
        Ok(Box::new(ConsoleWriter { schema: self.schema.clone(), lines, rows: 0, text: String::new() }))
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
    lines: Arc<Mutex<SpooledTempFile>>,
    rows: u64,
    text: String,
}

#[async_trait]
impl SinkWriter for ConsoleWriter {
    async fn write(&mut self, batch: &RecordBatch) -> Result<(), RunError> {
        self.text.clear();
        console_lines(&mut self.text, batch, &self.schema);
        self.rows += batch.num_rows() as u64;
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.write_all(self.text.as_bytes()).map_err(|e| failed(&e))
    }

    async fn finish(self: Box<Self>) -> Result<Written, RunError> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = lines.stream_position().map_err(|e| failed(&e))?;
        Ok(Written { rows: self.rows, bytes, ..Written::default() })
    }

    async fn abort(self: Box<Self>) {}
}
