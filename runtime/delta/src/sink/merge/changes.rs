//! The rows of an epoch that wait until all of them are there, because what becomes of one depends on the others: in memory up to a bound, beyond it in temporary
//! files, apart by key. Knows the layout of the rows; nothing of what is done with them.

use super::layout::Layout;
use arrow::array::{Array, RecordBatch, UInt32Array, new_empty_array};
use arrow::compute::{concat, take_record_batch};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use flowc_runtime::{RunError, Scratch, spill_error};
use std::fs::File;
use std::io::{BufReader, BufWriter, Seek};
use std::sync::{Arc, Mutex, PoisonError};

/// What does not fit the memory falls apart into so many parts by the hash of the key: one of them at a time is merged.
const PARTS: usize = 64;
/// Rows that are not read again but behind a conflict go to a temporary file, where they have more bytes than this or take more than this part of the
/// memory, which is better used for the files that are written.
const KEPT_BYTES: usize = 8 << 20;
const KEPT_PART: usize = 8;

/// Takes rows from several writers.
#[derive(Debug)]
pub struct Changes {
    layout: Arc<Layout>,
    scratch: Scratch,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    memory: Vec<RecordBatch>,
    bytes: usize,
    rows: u64,
    files: Vec<Part>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("bytes", &self.bytes).field("rows", &self.rows).finish()
    }
}

enum Part {
    Empty,
    Writing(Box<StreamWriter<BufWriter<File>>>),
    Written(File),
}

impl Changes {
    /// Takes rows of this layout.
    pub fn new(layout: Arc<Layout>, scratch: Scratch) -> Changes {
        Changes { layout, scratch, state: Mutex::default() }
    }

    /// Takes a batch of [`Layout::staged`] rows. Batches of one writer keep their order.
    pub fn push(&self, batch: RecordBatch) -> Result<(), RunError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.rows += batch.num_rows() as u64;
        state.bytes += batch.get_array_memory_size();
        state.memory.push(batch);
        if state.bytes > self.scratch.memory { self.spill(&mut state) } else { Ok(()) }
    }

    /// The rows taken.
    pub fn rows(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).rows
    }

    /// Ends taking: in how many parts the rows are. All rows of a key are in one part.
    pub fn seal(&self) -> Result<usize, RunError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.files.is_empty() {
            return Ok(1);
        }
        // Those of an earlier call are in the files already.
        if !state.memory.is_empty() {
            self.spill(&mut state)?;
        }
        for part in &mut state.files {
            *part = match std::mem::replace(part, Part::Empty) {
                Part::Writing(writer) => Part::Written(written(*writer)?),
                other => other,
            };
        }
        Ok(state.files.len())
    }

    /// The rows of a part, in the order in which they came. It can be read again.
    pub fn part(&self, index: usize) -> Result<RecordBatch, RunError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.files.get_mut(index) {
            Some(Part::Written(file)) => {
                file.rewind().map_err(spill_error)?;
                let file = file.try_clone().map_err(spill_error)?;
                let reader = StreamReader::try_new(BufReader::new(file), None).map_err(spill_error)?;
                let batches = reader.collect::<Result<Vec<_>, _>>().map_err(spill_error)?;
                self.together(batches)
            }
            Some(_) => self.together(vec![]),
            None => {
                let all = self.together(std::mem::take(&mut state.memory))?;
                if state.bytes > KEPT_BYTES.min(self.scratch.memory / KEPT_PART) {
                    let mut writer = self.file()?;
                    writer.write(&all).map_err(spill_error)?;
                    state.files = vec![Part::Written(written(writer)?)];
                } else {
                    state.memory = vec![all.clone()];
                }
                Ok(all)
            }
        }
    }

    /// A temporary file for staged rows.
    fn file(&self) -> Result<StreamWriter<BufWriter<File>>, RunError> {
        let file = tempfile::tempfile_in(&self.scratch.directory).map_err(spill_error)?;
        StreamWriter::try_new(BufWriter::new(file), self.layout.staged()).map_err(spill_error)
    }

    /// All rows in one batch, column by column, so that one column at a time is in memory twice.
    fn together(&self, mut batches: Vec<RecordBatch>) -> Result<RecordBatch, RunError> {
        if batches.len() == 1
            && let Some(one) = batches.pop()
        {
            return Ok(one);
        }
        let schema = self.layout.staged();
        let mut columns = vec![];
        for field in schema.fields().iter().rev() {
            let mut pieces = Vec::with_capacity(batches.len());
            for batch in &mut batches {
                pieces.extend((batch.num_columns() > 0).then(|| batch.remove_column(batch.num_columns() - 1)));
            }
            let pieces: Vec<&dyn Array> = pieces.iter().map(AsRef::as_ref).collect();
            columns.push(match pieces.as_slice() {
                [] => new_empty_array(field.data_type()),
                pieces => concat(pieces).map_err(|e| self.layout.internal(e))?,
            });
        }
        columns.reverse();
        RecordBatch::try_new(Arc::clone(schema), columns).map_err(|e| self.layout.internal(e))
    }

    fn spill(&self, state: &mut State) -> Result<(), RunError> {
        if state.files.is_empty() {
            state.files.extend((0..PARTS).map(|_| Part::Empty));
        }
        let mut pieces: Vec<Vec<RecordBatch>> = vec![vec![]; PARTS];
        state.bytes = 0;
        for batch in std::mem::take(&mut state.memory) {
            for (part, rows) in self.apart(&batch)?.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty()) {
                let piece = take_record_batch(&batch, &UInt32Array::from(rows)).map_err(|e| self.layout.internal(e))?;
                pieces[part].push(piece);
            }
        }
        for (pieces, part) in pieces.into_iter().zip(&mut state.files).filter(|(pieces, _)| !pieces.is_empty()) {
            if let Part::Empty = part {
                *part = Part::Writing(Box::new(self.file()?));
            }
            if let Part::Writing(writer) = part {
                writer.write(&self.together(pieces)?).map_err(spill_error)?;
            }
        }
        Ok(())
    }

    /// The rows of a batch that go into each part.
    fn apart(&self, batch: &RecordBatch) -> Result<Vec<Vec<u32>>, RunError> {
        let keys = self.layout.encode_keys(batch)?;
        let mut parts = vec![vec![]; PARTS];
        for row in 0..keys.len() {
            // Bits in the middle: by the others a part's keys are told apart in memory.
            parts[(keys.hash(row) >> 32) as usize % PARTS].push(row as u32);
        }
        Ok(parts)
    }
}

/// The file of a writer that has all of its rows.
fn written(mut writer: StreamWriter<BufWriter<File>>) -> Result<File, RunError> {
    writer.finish().map_err(spill_error)?;
    let buffered = writer.into_inner().map_err(spill_error)?;
    buffered.into_inner().map_err(|e| spill_error(e.error()))
}
