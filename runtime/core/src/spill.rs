//! Rows that memory does not hold: batches kept in memory up to a bound, then in a temporary file that the operating system removes with its last handle.
//! Knows nothing of whose rows they are.

use crate::error::RunError;
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;
use std::collections::BTreeSet;
use std::io::{BufReader, BufWriter, Seek};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A temporary file; where there are no files, memory after all.
#[cfg(feature = "files")]
pub(crate) type Spool = std::fs::File;
#[cfg(not(feature = "files"))]
pub(crate) type Spool = std::io::Cursor<Vec<u8>>;

/// Batches on their way into a temporary file.
pub(crate) type Writer = StreamWriter<BufWriter<Spool>>;

/// Batches of a temporary file.
pub(crate) type Reader = StreamReader<BufReader<Spool>>;

#[cfg(feature = "files")]
fn spool(directory: &Path) -> Result<Spool, RunError> {
    tempfile::tempfile_in(directory).map_err(spill_error)
}

#[cfg(not(feature = "files"))]
fn spool(_: &Path) -> Result<Spool, RunError> {
    Ok(Spool::default())
}

/// Where temporary files go unless somebody says otherwise.
pub(crate) fn temporary_directory() -> PathBuf {
    if cfg!(feature = "files") { std::env::temp_dir() } else { PathBuf::new() }
}

/// A bound on the bytes that several buffers keep in memory together.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    left: Arc<AtomicUsize>,
    /// What there was in the beginning.
    pub(crate) total: usize,
    /// Where temporary files go.
    pub(crate) directory: Arc<PathBuf>,
    /// The names of operators that did not fit.
    overflowed: Arc<Mutex<BTreeSet<String>>>,
}

impl Budget {
    pub(crate) fn new(bytes: usize, directory: &Path) -> Self {
        Budget {
            left: Arc::new(AtomicUsize::new(bytes)),
            total: bytes,
            directory: Arc::new(directory.to_path_buf()),
            overflowed: Arc::default(),
        }
    }

    /// Takes so many bytes, if there are so many.
    pub(crate) fn take(&self, bytes: usize) -> bool {
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }

    /// Takes so many bytes, if half of all is left then.
    pub(crate) fn take_of_half(&self, bytes: usize) -> bool {
        let keep = self.total / 2;
        let take = |left: usize| left.checked_sub(bytes).filter(|left| *left >= keep);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    /// Notes that what an operator remembers does not fit.
    pub(crate) fn overflow(&self, name: &str) {
        self.overflowed.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_string());
    }

    /// The operators of which that was noted since it was last asked for.
    pub(crate) fn take_overflowed(&self) -> BTreeSet<String> {
        std::mem::take(&mut *self.overflowed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Gives bytes back.
    pub(crate) fn give(&self, bytes: usize) {
        self.left.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Bytes taken from a budget, given back at the end.
#[derive(Debug)]
pub(crate) struct Held {
    budget: Budget,
    bytes: usize,
}

impl Held {
    pub(crate) fn new(budget: Budget) -> Held {
        Held { budget, bytes: 0 }
    }

    /// Answers for bytes that were taken.
    pub(crate) fn taken(budget: Budget, bytes: usize) -> Held {
        Held { budget, bytes }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes what is missing to so many bytes, if there is so much.
    pub(crate) fn grow_to(&mut self, bytes: usize) -> bool {
        let fits = bytes <= self.bytes || self.budget.take(bytes - self.bytes);
        if fits {
            self.bytes = self.bytes.max(bytes);
        }
        fits
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.give(self.bytes);
    }
}

/// The bytes that the rows of a batch take, without what slices share with others.
pub(crate) fn batch_bytes(batch: &RecordBatch) -> usize {
    let bytes =
        |c: &arrow::array::ArrayRef| c.to_data().get_slice_memory_size().unwrap_or_else(|_| c.get_array_memory_size());
    batch.columns().iter().map(bytes).sum()
}

/// A temporary file that cannot be written or read.
pub fn spill_error(error: impl std::fmt::Display) -> RunError {
    RunError::world("R0502", format!("cannot write or read a temporary file: {error}"))
        .help("rows that exceed --memory go to the state directory: see that it has space, or raise --memory")
}

/// Batches in the order in which they were pushed.
pub(crate) struct SpillBuffer {
    budget: Budget,
    memory: Vec<RecordBatch>,
    held: usize,
    /// Whether half of the budget is left to others.
    leaves_half: bool,
    file: Option<Writer>,
}

impl std::fmt::Debug for SpillBuffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let spilled = self.file.is_some();
        f.debug_struct("SpillBuffer").field("held", &self.held).field("spilled", &spilled).finish()
    }
}

impl SpillBuffer {
    pub(crate) fn new(budget: Budget) -> Self {
        SpillBuffer { budget, memory: vec![], held: 0, leaves_half: false, file: None }
    }

    /// As [`SpillBuffer::new`], for rows that wait for something which needs memory, too: half of the budget is left to it.
    pub(crate) fn leaving_half(budget: Budget) -> Self {
        let mut buffer = SpillBuffer::new(budget);
        buffer.leaves_half = true;
        buffer
    }

    pub(crate) fn push(&mut self, batch: RecordBatch) -> Result<(), RunError> {
        let bytes = batch_bytes(&batch);
        let fits = || if self.leaves_half { self.budget.take_of_half(bytes) } else { self.budget.take(bytes) };
        if self.file.is_none() && fits() {
            self.held += bytes;
            self.memory.push(batch);
            return Ok(());
        }
        if self.file.is_none() {
            self.file = Some(create(&self.budget.directory, batch.schema())?);
        }
        match &mut self.file {
            Some(file) => file.write(&batch).map_err(spill_error),
            None => Ok(()),
        }
    }

    /// The batches again. What is in memory counts against the budget until the iterator is at its end.
    pub(crate) fn drain(mut self) -> Result<Drain, RunError> {
        let file = self.file.take().map(reopen).transpose()?;
        let memory = std::mem::take(&mut self.memory).into_iter();
        let held = std::mem::take(&mut self.held);
        Ok(Drain { budget: self.budget.clone(), held, memory, file })
    }
}

impl Drop for SpillBuffer {
    fn drop(&mut self) {
        self.budget.give(self.held);
    }
}

/// A temporary file for batches.
pub(crate) fn create(directory: &Path, schema: SchemaRef) -> Result<Writer, RunError> {
    StreamWriter::try_new(BufWriter::new(spool(directory)?), &schema).map_err(spill_error)
}

/// Ends writing and begins to read.
pub(crate) fn reopen(writer: Writer) -> Result<Reader, RunError> {
    let buffered = writer.into_inner().map_err(spill_error)?;
    let mut file = buffered.into_inner().map_err(|e| spill_error(e.error()))?;
    file.rewind().map_err(spill_error)?;
    StreamReader::try_new(BufReader::new(file), None).map_err(spill_error)
}

/// See [`SpillBuffer::drain`].
#[derive(Debug)]
pub(crate) struct Drain {
    budget: Budget,
    held: usize,
    memory: std::vec::IntoIter<RecordBatch>,
    file: Option<Reader>,
}

impl Iterator for Drain {
    type Item = Result<RecordBatch, RunError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(batch) = self.memory.next() {
            return Some(Ok(batch));
        }
        self.file.as_mut()?.next().map(|batch| batch.map_err(spill_error))
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        self.budget.give(self.held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, RecordBatch};

    fn batch(from: i64) -> RecordBatch {
        let column = Int64Array::from_iter_values(from..from + 10);
        RecordBatch::try_from_iter([("n", Arc::new(column) as arrow::array::ArrayRef)]).unwrap()
    }

    #[test]
    fn what_exceeds_memory_comes_back_in_order_from_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let budget = Budget::new(200, dir.path());
        let mut buffer = SpillBuffer::new(budget.clone());
        for i in 0..5 {
            buffer.push(batch(i * 10)).unwrap();
        }
        assert!(buffer.file.is_some() && buffer.memory.len() == 2);
        let back: Vec<_> = buffer.drain().unwrap().collect::<Result<_, _>>().unwrap();
        assert_eq!(back, (0..5).map(|i| batch(i * 10)).collect::<Vec<_>>());
        assert!(budget.take(200), "all memory is given back");
    }
}
