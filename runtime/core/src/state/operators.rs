//! What operators remember, in the state directory: one file an epoch, with what the epoch has changed of all of them. An operator's state is a chain of
//! segments, in the order in which they were written; when what was added to the first of them has become more than that, all is written anew. Knows nothing
//! of what the segments mean.
//!
//! A file begins with [`HEADER`], then the segments, each an Arrow stream. The checkpoint says where each begins, how long it is, and its checksum.

use super::{Checkpoint, StateDir, damaged, disk, storage};
use crate::error::RunError;
use crate::operators::internal;
use crate::operators::stateful::{self, Changes, Remembered, Stored, Unread};
use crate::spill::batch_bytes;
use crate::upgrade::LeftForm;
use arrow::buffer::Buffer;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

/// What a file of segments begins with; the number is the version of the format.
pub const HEADER: &[u8] = b"flowc operators 2\n";

/// Below so many bytes of additions a state is not written anew.
const LEAST_REWRITE: u64 = 64 << 10;

/// What a segment has besides its rows, about.
const HEAD_BYTES: usize = 16 << 10;

/// A file of segments does not grow further from so many bytes on.
const FILE_BYTES: usize = 32 << 20;

/// A chain longer than this is written anew, however short its segments are: each costs a read when a run starts.
const MOST_SEGMENTS: usize = 64;

/// Where a segment is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SegmentRef {
    /// Its file in `operators/`.
    pub file: String,
    /// Where it begins there.
    #[serde(default)]
    pub offset: u64,
    /// Its bytes; none: all to the end of the file (as the first version of the format wrote them).
    #[serde(default)]
    pub length: Option<u64>,
    /// The checksum of its bytes.
    pub crc32: u32,
}

/// What an operator remembers after an epoch.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Written")]
pub struct OperatorState {
    /// The watermark up to which it has given out what was final; of a source, its watermark. Microseconds since 1970-01-01T00:00:00Z.
    pub watermark: Option<i64>,
    /// Its short facts.
    pub notes: BTreeMap<String, String>,
    /// Its segments, first written first.
    pub segments: Vec<SegmentRef>,
    /// The bytes of the segments that held everything when they were written.
    pub base: u64,
    /// How many segments those are.
    pub base_segments: usize,
    /// Rows that came too late for it, over all epochs.
    pub late: u64,
    /// What there is to tell of it.
    pub remembered: Remembered,
    /// The form of the step that left it, see [`crate::upgrade::form`].
    pub form: Option<LeftForm>,
}

/// As it was written: the first version of the format had one file that held everything.
#[derive(Deserialize)]
struct Written {
    file: Option<String>,
    crc32: Option<u32>,
    watermark: Option<i64>,
    #[serde(default)]
    notes: BTreeMap<String, String>,
    #[serde(default)]
    segments: Vec<SegmentRef>,
    #[serde(default)]
    base: u64,
    #[serde(default)]
    base_segments: usize,
    #[serde(default)]
    late: u64,
    #[serde(default)]
    remembered: Remembered,
    form: Option<LeftForm>,
}

impl From<Written> for OperatorState {
    fn from(written: Written) -> Self {
        let Written { file, crc32, watermark, notes, mut segments, base, base_segments, late, remembered, form } =
            written;
        if let (Some(file), Some(crc32)) = (file, crc32) {
            segments.insert(0, SegmentRef { file, offset: 0, length: None, crc32 });
        }
        OperatorState { watermark, notes, segments, base, base_segments, late, remembered, form }
    }
}

impl OperatorState {
    /// The bytes of its segments.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().filter_map(|segment| segment.length).sum()
    }

    /// Whether it is time to write everything anew.
    pub(crate) fn wants_rewrite(&self) -> bool {
        let added = self.bytes().saturating_sub(self.base);
        added > self.base.max(LEAST_REWRITE) || self.segments.len() > self.base_segments + MOST_SEGMENTS
    }
}

/// What is to be stored of an operator.
#[derive(Debug)]
pub(crate) struct Saving {
    /// Its name.
    pub(crate) name: String,
    /// What was stored before.
    pub(crate) before: OperatorState,
    /// What has changed.
    pub(crate) changes: Changes,
    /// See [`OperatorState::watermark`].
    pub(crate) watermark: Option<i64>,
    /// Rows of this epoch that came too late for it.
    pub(crate) late: u64,
    /// See [`OperatorState::remembered`].
    pub(crate) remembered: Remembered,
    /// See [`OperatorState::form`].
    pub(crate) form: Option<LeftForm>,
}

/// The files of segments of an epoch, as they are put together: one, unless they are large.
struct Writing<'a> {
    state: &'a StateDir,
    epoch: u64,
    file: String,
    bytes: Vec<u8>,
}

impl Writing<'_> {
    /// Writes what there is, if there is something; what follows goes into another file.
    fn flush(&mut self) -> Result<(), RunError> {
        let bytes = std::mem::replace(&mut self.bytes, HEADER.to_vec());
        if bytes.len() == HEADER.len() {
            return Ok(());
        }
        let directory = self.state.root.join("operators");
        disk::create(&directory).map_err(|e| storage("create", &directory, &e))?;
        let path = directory.join(&self.file);
        disk::write(&path, &bytes, self.state.durable).map_err(|e| storage("write", &path, &e))?;
        self.file = self.state.unused_file(self.epoch)?;
        Ok(())
    }

    fn segment(&mut self, batch: &RecordBatch) -> Result<SegmentRef, RunError> {
        let offset = self.bytes.len();
        // Growing by doubling would copy a large segment several times.
        self.bytes.reserve(batch_bytes(batch) + HEAD_BYTES);
        let mut writer = StreamWriter::try_new(std::mem::take(&mut self.bytes), &batch.schema()).map_err(internal)?;
        writer.write(batch).map_err(internal)?;
        self.bytes = writer.into_inner().map_err(internal)?;
        let (length, crc32) = (self.bytes.len() - offset, crc32fast::hash(&self.bytes[offset..]));
        let segment = SegmentRef { file: self.file.clone(), offset: offset as u64, length: Some(length as u64), crc32 };
        if self.bytes.len() >= FILE_BYTES {
            self.flush()?;
        }
        Ok(segment)
    }
}

impl StateDir {
    /// Stores what an epoch has changed; nothing that was stored before is touched, so a run that dies before the checkpoint moves has changed nothing.
    pub(crate) fn save_operators(
        &self,
        epoch: u64,
        saving: Vec<Saving>,
    ) -> Result<IndexMap<String, OperatorState>, RunError> {
        let mut writing = Writing { state: self, epoch, file: self.unused_file(epoch)?, bytes: HEADER.to_vec() };
        let mut states = IndexMap::new();
        for Saving { name, before, changes, watermark, late, remembered, form } in saving {
            let mut state =
                OperatorState { watermark, notes: changes.notes, remembered, late: before.late + late, form, ..before };
            if changes.whole {
                (state.segments, state.base, state.base_segments) = (vec![], 0, 0);
            }
            let more = changes.more.into_iter().flatten();
            for batch in changes.segments.into_iter().map(Ok).chain(more) {
                let batch = batch?;
                if batch.num_rows() == 0 {
                    continue;
                }
                let segment = writing.segment(&batch)?;
                if changes.whole {
                    (state.base, state.base_segments) =
                        (state.base + segment.length.unwrap_or(0), state.base_segments + 1);
                }
                state.segments.push(segment);
            }
            states.insert(name, state);
        }
        writing.flush()?;
        Ok(states)
    }

    /// A name that no earlier attempt at the epoch has taken: what it wrote may be in use.
    fn unused_file(&self, epoch: u64) -> Result<String, RunError> {
        let directory = self.root.join("operators");
        for attempt in 0..u64::MAX {
            let file = format!("{epoch}-{attempt}.segments");
            let path = directory.join(&file);
            match disk::exists(&path) {
                Ok(true) => {}
                Ok(false) => return Ok(file),
                Err(e) => return Err(storage("look for", &path, &e)),
            }
        }
        Err(internal("an epoch was attempted too often"))
    }

    /// What operators remember.
    pub(crate) fn segments(&self) -> Segments<'_> {
        Segments { root: &self.root }
    }

    /// Removes files that the checkpoint does not name.
    pub(crate) fn remove_unnamed(&self, checkpoint: &Checkpoint) -> Result<(), RunError> {
        let directory = self.root.join("operators");
        let files = match disk::list(&directory) {
            Ok(files) => files,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(storage("list", &directory, &e)),
        };
        let states = checkpoint.sinks.values().flat_map(|s| s.operators.values());
        let live: std::collections::BTreeSet<&str> =
            states.flat_map(|state| &state.segments).map(|segment| segment.file.as_str()).collect();
        for file in files {
            if !file.file_name().and_then(|name| name.to_str()).is_some_and(|name| live.contains(name)) {
                disk::remove(&file).map_err(|e| storage("remove", &file, &e))?;
            }
        }
        Ok(())
    }
}

/// What operators remember, in a state directory, to be read.
#[derive(Debug, Clone, Copy)]
pub struct Segments<'a> {
    root: &'a Path,
}

impl<'a> Segments<'a> {
    /// Of this state directory.
    pub fn of(root: &'a Path) -> Segments<'a> {
        Segments { root }
    }

    /// Reads what an operator remembers.
    pub(crate) fn stored(&self, state: &OperatorState) -> Result<Stored, RunError> {
        let segments = state.segments.iter().map(|segment| read(self.root, segment));
        Ok(Stored { notes: state.notes.clone(), segments: segments.collect::<Result<_, _>>()? })
    }

    /// The same, to be read a segment at a time.
    pub(crate) fn unread(&self, state: &OperatorState) -> Unread {
        let (root, segments) = (self.root.to_path_buf(), state.segments.clone());
        let segments: stateful::Segments = Box::new(segments.into_iter().map(move |segment| read(&root, &segment)));
        Unread { notes: state.notes.clone(), segments, remembered: state.remembered.clone() }
    }
}

/// Reads a segment.
fn read(root: &Path, segment: &SegmentRef) -> Result<RecordBatch, RunError> {
    let path = root.join("operators").join(&segment.file);
    let bytes = disk::read_part(&path, segment.offset, segment.length).map_err(|e| storage("read", &path, &e))?;
    if segment.length.is_some_and(|length| (bytes.len() as u64) < length) {
        return Err(damaged(&path, "it is shorter than it was written".into()));
    }
    if crc32fast::hash(&bytes) != segment.crc32 {
        return Err(damaged(&path, "its checksum is another one".into()));
    }
    let unusable = |e: arrow::error::ArrowError| damaged(&path, e.to_string());
    // The columns are these bytes: nothing is copied.
    let batch = StreamDecoder::new().decode(&mut Buffer::from_vec(bytes)).map_err(unusable)?;
    batch.ok_or_else(|| damaged(&path, "it is empty".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int64Array};
    use std::fs;
    use std::sync::Arc;

    fn batch(values: &[i64]) -> RecordBatch {
        let column = Arc::new(Int64Array::from(values.to_vec())) as ArrayRef;
        RecordBatch::try_from_iter([("n", column)]).unwrap()
    }

    fn saving(before: &OperatorState, whole: bool, values: &[i64]) -> Saving {
        let changes = Changes { whole, notes: BTreeMap::new(), segments: vec![batch(values)], more: None };
        let (before, remembered) = (before.clone(), Remembered::default());
        Saving { name: "a".into(), before, changes, watermark: Some(5), late: 2, remembered, form: None }
    }

    #[test]
    fn what_was_added_comes_back_in_order_until_all_is_written_anew() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let first = state.save_operators(1, vec![saving(&OperatorState::default(), true, &[1, 2])]).unwrap();
        let second = state.save_operators(2, vec![saving(&first["a"], false, &[3])]).unwrap();
        assert_eq!(state.segments().stored(&second["a"]).unwrap().segments, [batch(&[1, 2]), batch(&[3])]);
        assert_eq!((second["a"].late, second["a"].watermark), (4, Some(5)));
        // Another attempt at the epoch leaves what the first one wrote as it was.
        let again = state.save_operators(2, vec![saving(&first["a"], false, &[4])]).unwrap();
        assert_eq!(state.segments().stored(&second["a"]).unwrap().segments[1], batch(&[3]));
        assert_eq!(state.segments().stored(&again["a"]).unwrap().segments[1], batch(&[4]));
        let third = state.save_operators(3, vec![saving(&second["a"], true, &[1, 2, 3])]).unwrap();
        let mut checkpoint = state.checkpoint("p").unwrap();
        checkpoint.sinks.entry("s".into()).or_default().operators = third.clone();
        state.remove_unnamed(&checkpoint).unwrap();
        assert_eq!(fs::read_dir(dir.path().join("operators")).unwrap().count(), 1);
        assert_eq!(state.segments().stored(&third["a"]).unwrap().segments, [batch(&[1, 2, 3])]);
    }

    #[test]
    fn additions_are_rewritten_when_they_outgrow_what_they_add_to() {
        let segment = |length| SegmentRef { file: String::new(), offset: 0, length: Some(length), crc32: 0 };
        let state = |base, added: &[u64]| OperatorState {
            segments: [base].iter().chain(added).map(|n| segment(*n)).collect(),
            base,
            base_segments: 1,
            ..OperatorState::default()
        };
        assert!(!state(10, &[1000]).wants_rewrite(), "too little to matter");
        assert!(!state(1 << 20, &[1 << 19, 1 << 19]).wants_rewrite());
        assert!(state(1 << 20, &[1 << 19, 1 << 19, 1]).wants_rewrite());
        assert!(state(1 << 20, &[1; 65]).wants_rewrite());
    }

    #[test]
    fn damage_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let states = state.save_operators(1, vec![saving(&OperatorState::default(), true, &[1, 2])]).unwrap();
        let path = dir.path().join("operators").join(&states["a"].segments[0].file);
        let bytes = fs::read(&path).unwrap();
        for damage in 0..2 {
            let mut damaged = bytes.clone();
            match damage {
                0 => *damaged.last_mut().unwrap() ^= 1,
                _ => damaged.truncate(bytes.len() - 1),
            }
            fs::write(&path, damaged).unwrap();
            assert_eq!(state.segments().stored(&states["a"]).unwrap_err().code, "R0405");
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(state.segments().stored(&states["a"]).unwrap_err().code, "R0501");
    }
}
