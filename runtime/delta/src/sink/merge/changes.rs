//! The rows of an epoch that wait until all of them are there, because what becomes of one depends on the others: in memory up to a bound, beyond it in temporary
//! files, apart by key. Knows the layout of the rows; nothing of what is done with them.

use super::layout::Layout;
use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use flowc_runtime::keys::hash_bytes;
use flowc_runtime::{RunError, Scratch, spill_error};
use std::fs::File;
use std::io::{BufReader, BufWriter, Seek};
use std::sync::{Arc, Mutex, PoisonError};

/// What does not fit the memory falls apart into so many parts by the hash of the key: one of them at a time is merged.
const PARTS: usize = 64;

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
            let all = self.together(&state.memory)?;
            state.memory = vec![all];
            return Ok(1);
        }
        self.spill(&mut state)?;
        for part in &mut state.files {
            if let Part::Writing(writer) = std::mem::replace(part, Part::Empty) {
                let buffered = writer.into_inner().map_err(spill_error)?;
                *part = Part::Written(buffered.into_inner().map_err(|e| spill_error(e.error()))?);
            }
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
                self.together(&batches)
            }
            Some(_) => self.together(&[]),
            None => self.together(&state.memory),
        }
    }

    fn together(&self, batches: &[RecordBatch]) -> Result<RecordBatch, RunError> {
        match batches {
            [one] => Ok(one.clone()),
            _ => concat_batches(self.layout.staged(), batches).map_err(|e| self.layout.internal(e)),
        }
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
        for (pieces, part) in pieces.iter().zip(&mut state.files).filter(|(pieces, _)| !pieces.is_empty()) {
            if let Part::Empty = part {
                let file = tempfile::tempfile_in(&self.scratch.directory).map_err(spill_error)?;
                let writer = StreamWriter::try_new(BufWriter::new(file), self.layout.staged()).map_err(spill_error)?;
                *part = Part::Writing(Box::new(writer));
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
        for (row, key) in keys.iter().enumerate() {
            // The upper bits: the lower ones are those by which a part's keys are told apart in memory.
            parts[(hash_bytes(key.data()) >> 32) as usize % PARTS].push(row as u32);
        }
        Ok(parts)
    }
}
