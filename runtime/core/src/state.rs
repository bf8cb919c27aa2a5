//! The state directory: the checkpoint, the records of epochs, the lock. Files are JSON with a format version, written whole or not at all. Keys are names
//! of sinks, sources and tables, so that a program may be laid out anew. Knows nothing of what positions mean.
//!
//! - `lock`: held while a run uses the directory.
//! - `checkpoint.json`: the last finished epoch, and for each sink what it has seen of each input.
//! - `operators/N-M.segments`: what epoch N has changed of what operators remember, see [`operators`]; those that no checkpoint names are removed.
//! - `epochs/N.json`: what epoch N reads, written before it runs; its report is added after it. The last [`KEPT`] stay, for `flowc status`.

pub(crate) mod disk;
mod memory;
pub mod operators;

pub use memory::MemoryState;
pub use operators::{OperatorState, SegmentRef, Segments};

use crate::connector::{Partition, Position, SourceRange};
use crate::error::RunError;
use crate::quality::{ExpectationReport, Judgement};
use crate::report::{EpochReport, SourceReport};
use crate::work::NodeWork;
use indexmap::IndexMap;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The version of the files' format that this runtime writes; it reads this one and those from [`OLDEST`] on.
pub const FORMAT: u32 = 5;

/// The oldest version of the format that is read. It had one file for each operator that remembers something; version 2 has the segments of today, but says of
/// the form of a step only words (see [`crate::upgrade::LeftForm`]), and keeps it once more among the notes. Versions to 4 keep operands of rows that change a row each, and know
/// nothing of epochs of a partition or of the work of nodes.
pub const OLDEST: u32 = 1;

/// How many records of finished epochs are kept.
pub const KEPT: u64 = 32;

/// What is known of a sink.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SinkState {
    /// The last epoch that it has.
    pub epoch: Option<u64>,
    /// Whether its next epoch replaces all that the target holds.
    #[serde(default)]
    pub replace: bool,
    /// How far each source, by name, has been read for it.
    #[serde(default)]
    pub sources: IndexMap<String, Position>,
    /// The version of each table, by name, that its last epoch used.
    #[serde(default)]
    pub tables: IndexMap<String, Position>,
    /// What the operators before it remember, by their names.
    #[serde(default)]
    pub operators: IndexMap<String, OperatorState>,
}

/// Everything that finished epochs leave behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// [`FORMAT`].
    pub format: u32,
    /// The pipeline.
    pub pipeline: String,
    /// The last finished epoch; 0: none.
    pub done: u64,
    /// The sinks, by name; also those that the program no longer has.
    pub sinks: IndexMap<String, SinkState>,
    /// Where each source, by name, was read from.
    pub locations: IndexMap<String, serde_json::Value>,
    /// What the expectations came to over all finished epochs, those of earlier forms of the program too.
    #[serde(default)]
    pub expectations: Vec<ExpectationReport>,
}

/// What an epoch reads and writes: enough to run it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// [`FORMAT`].
    pub format: u32,
    /// Its number.
    pub epoch: u64,
    /// When it was planned: microseconds since 1970-01-01T00:00:00Z; `current_timestamp()` of its rows.
    pub started: i64,
    /// The sinks that it writes.
    pub sinks: Vec<String>,
    /// Those among them whose target is replaced.
    pub replace: Vec<String>,
    /// The ranges, by source.
    pub sources: IndexMap<String, SourceRange>,
    /// The pinned versions, by table.
    pub tables: IndexMap<String, Position>,
    /// The tables whose rows are read as a stream (as opposed to looked up in).
    pub scans: Vec<String>,
    /// What was read of its sources, written before the first sink commits where records may be malformed or rows rejected: a run that goes on with the epoch
    /// may have nothing to read any more.
    #[serde(default)]
    pub read: Vec<SourceReport>,
    /// What its expectations came to, written before the first sink commits: by node of the graph. A run that goes on with the epoch does not see the rows of
    /// sinks that have it.
    #[serde(default)]
    pub quality: Vec<Judgement>,
    /// The event time that every source is known to have reached, whatever its rows say; [`i64::MAX`]: everything that is open is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark: Option<i64>,
    /// The sources that hold no watermark back: they had no rows for longer than they may.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub idle: Vec<String>,
    /// Rows that came too late, by operator, written before the first sink commits.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub late: IndexMap<String, u64>,
    /// What its operators remember after it, written before the first sink commits.
    #[serde(default)]
    pub operators: IndexMap<String, OperatorState>,
    /// The partition of its one sink that it computes again, from the beginning of the sources to where they were read before: positions, and what operators
    /// remember, stay as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<Partition>,
    /// Whether what its operators remember after it is still to be recorded. Until it is, no target has the epoch.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pending: bool,
    /// What tells the program from others: of a replay, which can only be finished by the program that began it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// What became of it.
    pub report: Option<EpochReport>,
    /// What the nodes of the plan's graph did in it, in their order, once it is committed. What a run that was interrupted did before is not counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub work: Vec<NodeWork>,
}

/// A state directory in use by this run.
#[derive(Debug)]
pub struct StateDir {
    root: PathBuf,
    durable: bool,
    _lock: disk::Lock,
}

fn storage(what: &str, path: &Path, error: &std::io::Error) -> RunError {
    RunError::world("R0501", format!("the state directory: cannot {what} `{}`: {error}", path.display()))
}

impl StateDir {
    /// Creates the directory where it is missing, and locks it.
    pub fn open(root: &Path) -> Result<StateDir, RunError> {
        let epochs = root.join("epochs");
        disk::create(&epochs).map_err(|e| storage("create", &epochs, &e))?;
        match disk::lock(root).map_err(|(what, e)| storage(what, &root.join("lock"), &e))? {
            Some(lock) => {
                remove_torn(root)?;
                Ok(StateDir { root: root.to_path_buf(), durable: true, _lock: lock })
            }
            None => {
                let text = format!("another run uses the state directory `{}`", root.display());
                Err(RunError::data("R0404", text).help("wait until it ends, or give this one a directory with --state"))
            }
        }
    }

    /// Whether what is written is forced to the disk.
    pub(crate) fn durable(mut self, durable: bool) -> StateDir {
        self.durable = durable;
        self
    }

    /// The checkpoint; an empty one if nothing has finished yet.
    pub fn checkpoint(&self, pipeline: &str) -> Result<Checkpoint, RunError> {
        let nothing = || Checkpoint {
            format: FORMAT,
            pipeline: pipeline.to_string(),
            done: 0,
            sinks: IndexMap::new(),
            locations: IndexMap::new(),
            expectations: vec![],
        };
        let found = checkpoint_in(&self.root, pipeline)?;
        Ok(found.map_or_else(nothing, |checkpoint| Checkpoint { format: FORMAT, ..checkpoint }))
    }

    /// Moves the checkpoint.
    pub fn save_checkpoint(&self, checkpoint: &Checkpoint) -> Result<(), RunError> {
        write(&self.root.join("checkpoint.json"), checkpoint, self.durable)
    }

    /// The record with the greatest number.
    pub fn last_epoch(&self) -> Result<Option<EpochRecord>, RunError> {
        match epochs_in(&self.root)?.last() {
            Some(epoch) => {
                let record: Option<EpochRecord> = read(&self.epoch_path(*epoch))?;
                Ok(record.map(|record| EpochRecord { format: FORMAT, ..record }))
            }
            None => Ok(None),
        }
    }

    /// Writes an epoch's record.
    pub fn save_epoch(&self, record: &EpochRecord) -> Result<(), RunError> {
        write(&self.epoch_path(record.epoch), record, self.durable)
    }

    /// Removes the records that are no longer needed once `done` has finished.
    pub fn compact(&self, done: u64) -> Result<(), RunError> {
        for epoch in epochs_in(&self.root)?.into_iter().filter(|e| e + KEPT <= done) {
            let path = self.epoch_path(epoch);
            disk::remove(&path).map_err(|e| storage("remove", &path, &e))?;
        }
        Ok(())
    }

    /// Removes a record of an epoch that will never run.
    pub fn forget(&self, epoch: u64) -> Result<(), RunError> {
        let path = self.epoch_path(epoch);
        match disk::remove(&path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(storage("remove", &path, &e)),
            _ => Ok(()),
        }
    }

    /// The records of the last epochs, oldest first.
    pub fn history(&self) -> Result<Vec<EpochRecord>, RunError> {
        history_in(&self.root)
    }

    /// Where operators and ordered sinks may put what memory does not hold.
    pub fn scratch(&self) -> PathBuf {
        if memory::is_here(&self.root) { crate::spill::temporary_directory() } else { self.root.clone() }
    }

    fn epoch_path(&self, epoch: u64) -> PathBuf {
        epoch_path(&self.root, epoch)
    }
}

/// What a state directory holds, for those who only look: nothing is created or locked, so a run may use it meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The checkpoint; none if no epoch has finished yet.
    pub checkpoint: Option<Checkpoint>,
    /// The records of the last epochs, oldest first.
    pub epochs: Vec<EpochRecord>,
}

/// Looks at a state directory; none if nothing has run yet.
pub fn look(root: &Path, pipeline: &str) -> Result<Option<Seen>, RunError> {
    if !disk::exists(&root.join("epochs")).unwrap_or(false) {
        return Ok(None);
    }
    // The records first: what a run finishes in between is then in the checkpoint at least.
    let epochs = history_in(root)?;
    let checkpoint = checkpoint_in(root, pipeline)?;
    Ok(Some(Seen { checkpoint, epochs }))
}

/// Removes what runs left behind that were killed while they wrote. The directory must be locked.
fn remove_torn(root: &Path) -> Result<(), RunError> {
    for directory in [root.to_path_buf(), root.join("epochs"), root.join("operators")] {
        let files = match disk::list(&directory) {
            Ok(files) => files,
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            Err(e) => return Err(storage("list", &directory, &e)),
        };
        for file in files.iter().filter(|file| disk::is_torn(file)) {
            disk::remove(file).map_err(|e| storage("remove", file, &e))?;
        }
    }
    Ok(())
}

fn epoch_path(root: &Path, epoch: u64) -> PathBuf {
    root.join("epochs").join(format!("{epoch}.json"))
}

fn checkpoint_in(root: &Path, pipeline: &str) -> Result<Option<Checkpoint>, RunError> {
    let found: Option<Checkpoint> = read(&root.join("checkpoint.json"))?;
    match found {
        Some(checkpoint) if checkpoint.pipeline != pipeline => {
            let text = format!(
                "the state directory `{}` belongs to the pipeline `{}`, not to `{pipeline}`",
                root.display(),
                checkpoint.pipeline
            );
            Err(RunError::data("R0403", text).help("give this pipeline a directory of its own with --state"))
        }
        found => Ok(found),
    }
}

fn history_in(root: &Path) -> Result<Vec<EpochRecord>, RunError> {
    let records = epochs_in(root)?.into_iter().map(|epoch| read(&epoch_path(root, epoch)));
    Ok(records.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

fn epochs_in(root: &Path) -> Result<Vec<u64>, RunError> {
    let directory = root.join("epochs");
    let files = disk::list(&directory).map_err(|e| storage("list", &directory, &e))?;
    let names = files.iter().filter_map(|file| file.file_name()?.to_str());
    let mut numbers: Vec<u64> = names.filter_map(|name| name.strip_suffix(".json")?.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

fn damaged(path: &Path, why: String) -> RunError {
    RunError::world("R0405", format!("the state file `{}` cannot be used: {why}", path.display()))
        .help("restore it from a backup, or start again with --full-refresh and another --state directory")
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, RunError> {
    let text = match disk::read(path) {
        Ok(text) => text,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(storage("read", path, &e)),
    };
    let damaged = |why: String| damaged(path, why);
    let value: serde_json::Value = serde_json::from_slice(&text).map_err(|e| damaged(e.to_string()))?;
    match value.get("format").and_then(serde_json::Value::as_u64) {
        Some(format) if (u64::from(OLDEST)..=u64::from(FORMAT)).contains(&format) => {}
        Some(format) => {
            return Err(damaged(format!("its format is {format}, this flowc reads {OLDEST} to {FORMAT}")));
        }
        None => return Err(damaged("it has no format number".into())),
    }
    serde_json::from_value(value).map(Some).map_err(|e| damaged(e.to_string()))
}

/// Writes a file whole or not at all, and so that it outlives the machine's next failure.
#[cfg(feature = "files")]
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    disk::write(path, bytes, true)
}

fn write<T: Serialize>(path: &Path, value: &T, durable: bool) -> Result<(), RunError> {
    let text = serde_json::to_vec_pretty(value).map_err(|e| {
        RunError::world("R0501", format!("the state directory: cannot write `{}`: {e}", path.display()))
    })?;
    disk::write(path, &text, durable).map_err(|e| storage("write", path, &e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn record(epoch: u64) -> EpochRecord {
        EpochRecord {
            format: FORMAT,
            epoch,
            started: 1,
            sinks: vec!["s".into()],
            replace: vec![],
            sources: IndexMap::new(),
            tables: IndexMap::new(),
            scans: vec![],
            read: vec![],
            quality: vec![],
            watermark: None,
            idle: vec![],
            late: IndexMap::new(),
            operators: IndexMap::new(),
            partition: None,
            pending: false,
            program: None,
            report: None,
            work: vec![],
        }
    }

    #[test]
    fn one_run_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let first = StateDir::open(dir.path()).unwrap();
        assert_eq!(StateDir::open(dir.path()).unwrap_err().code, "R0404");
        drop(first);
        StateDir::open(dir.path()).unwrap();
    }

    #[test]
    fn what_a_killed_run_left_half_written_is_removed_by_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        state.save_epoch(&record(1)).unwrap();
        disk::faults::ask(Some(std::rc::Rc::new(|_, _| Some(disk::faults::Fault::Torn))));
        assert_eq!(state.save_epoch(&record(2)).unwrap_err().code, "R0501");
        disk::faults::ask(None);
        let files = || fs::read_dir(dir.path().join("epochs")).unwrap().count();
        assert_eq!((files(), state.last_epoch().unwrap()), (2, Some(record(1))));
        drop(state);
        StateDir::open(dir.path()).unwrap();
        assert_eq!(files(), 1);
    }

    #[test]
    fn records_come_back_and_old_ones_go() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        assert_eq!(state.last_epoch().unwrap(), None);
        for epoch in [1, 2, 9, 10, 40] {
            state.save_epoch(&record(epoch)).unwrap();
        }
        assert_eq!(state.last_epoch().unwrap(), Some(record(40)));
        state.compact(40).unwrap();
        let left: Vec<u64> = state.history().unwrap().iter().map(|r| r.epoch).collect();
        assert_eq!(left, [9, 10, 40]);
    }

    #[test]
    fn looking_needs_no_lock_and_creates_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(look(dir.path(), "p").unwrap(), None);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        let state = StateDir::open(dir.path()).unwrap();
        assert_eq!(look(dir.path(), "p").unwrap(), Some(Seen { checkpoint: None, epochs: vec![] }));
        state.save_epoch(&record(1)).unwrap();
        let checkpoint = state.checkpoint("p").unwrap();
        state.save_checkpoint(&checkpoint).unwrap();
        let seen = Seen { checkpoint: Some(checkpoint), epochs: vec![record(1)] };
        assert_eq!(look(dir.path(), "p").unwrap(), Some(seen));
        assert_eq!(look(dir.path(), "q").unwrap_err().code, "R0403");
    }

    #[test]
    fn damaged_or_foreign_state_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let checkpoint = state.checkpoint("p").unwrap();
        state.save_checkpoint(&checkpoint).unwrap();
        assert_eq!(state.checkpoint("p").unwrap(), checkpoint);
        assert_eq!(state.checkpoint("q").unwrap_err().code, "R0403");
        fs::write(dir.path().join("checkpoint.json"), r#"{"format": 4}"#).unwrap();
        assert_eq!(state.checkpoint("p").unwrap_err().code, "R0405");
        fs::write(dir.path().join("checkpoint.json"), "{").unwrap();
        assert_eq!(state.checkpoint("p").unwrap_err().code, "R0405");
    }
}
