//! Delta tables as sinks: exactly one commit an epoch, with the epoch's transaction in it. A table that does not exist is created by the first
//! epoch's commit. Invariant: an epoch is visible if and only if its commit exists.

pub mod commit;
pub mod conflict;
mod encode;
pub(crate) mod hybrid;
mod info;
mod leftover;
pub mod merge;
pub mod partitions;
pub mod stats;
pub mod taken;
pub mod target;
pub mod writer;

pub use commit::DeltaEpoch;
use merge::Merger;
use partitions::Partitions;
pub use target::Target;
pub(crate) use writer::is_data_file;
pub use writer::{DeltaWriter, Sizes};

use crate::codes;
use crate::log::Snapshot;
use crate::log::commits::{commit_path, read_commit};
use crate::storage::{Storage, StorageError};
use async_trait::async_trait;
use deltalake::logstore::object_store::ObjectStoreExt;
use flowc_ir::plan::{SinkMode, SinkSpec};
use flowc_runtime::codes::NO_SUCH_PARTITION;
use flowc_runtime::{EpochId, Partition, Position, RunError, Sink, SinkEpoch};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// The log's clock, in milliseconds. Decides nothing.
pub(crate) fn now_millis() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}

/// The newest state of the table that this sink has seen; carried forward instead of read again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Head(Arc<Mutex<Option<Arc<Snapshot>>>>);

/// The table; none if there is none.
async fn load(storage: &Storage) -> Result<Option<Snapshot>, StorageError> {
    match Snapshot::load(storage, None).await {
        Ok(snapshot) => Ok(Some(snapshot)),
        Err(StorageError::NoTable) => Ok(None),
        Err(other) => Err(other),
    }
}

impl Head {
    /// The table as it is now; none if there is none. An append needs no account of its files.
    async fn now(&self, storage: &Storage, files: bool) -> Result<Option<Arc<Snapshot>>, StorageError> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let fresh = match seen {
            Some(seen) => self.forward(storage, seen).await?,
            None => None,
        };
        let fresh = match fresh {
            Some(fresh) => Some(fresh),
            None => load(storage).await?.map(|mut snapshot| {
                if !files {
                    snapshot.files.clear();
                }
                Arc::new(snapshot)
            }),
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = fresh.clone();
        Ok(fresh)
    }

    /// The state, with the commits since; none if the log no longer has the version that it rests on: then a missing next version proves nothing.
    async fn forward(&self, storage: &Storage, seen: Arc<Snapshot>) -> Result<Option<Arc<Snapshot>>, StorageError> {
        match storage.store().head(&commit_path(seen.version)).await.map_err(StorageError::from) {
            Ok(_) => {}
            Err(StorageError::Missing(_)) => return Ok(None),
            Err(other) => return Err(other),
        }
        let mut snapshot: Option<Snapshot> = None;
        loop {
            let version = snapshot.as_ref().map_or(seen.version, |s| s.version);
            match read_commit(storage, version + 1).await? {
                Some(commit) => snapshot.get_or_insert_with(|| seen.as_ref().clone()).apply(commit),
                None => break,
            }
        }
        Ok(Some(snapshot.map_or(seen, Arc::new)))
    }

    /// Writes a checkpoint if the version is one that gets one. The table is right without it, so that it may fail.
    async fn checkpoint(&self, storage: &Storage, version: u64, target: &Target) {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let metadata = target.metadata.as_ref().or(seen.as_ref().map(|s| &s.metadata));
        let interval = metadata.and_then(|m| m.property("delta.checkpointInterval")?.parse().ok()).unwrap_or(10u64);
        if version == 0 || interval == 0 || !version.is_multiple_of(interval) {
            return;
        }
        let mut table = deltalake::DeltaTable::new(storage.log_store().clone());
        if table.load_version(version).await.is_ok() {
            let _ = deltalake::checkpoints::create_checkpoint(&table, None).await;
        }
    }
}

/// A Delta table as a sink.
#[derive(Debug)]
pub struct DeltaSink {
    spec: Arc<SinkSpec>,
    storage: Storage,
    sizes: Sizes,
    head: Head,
}

impl DeltaSink {
    /// Nothing is read yet.
    pub fn new(spec: &SinkSpec, storage: Storage) -> Self {
        DeltaSink::with_sizes(spec, storage, Sizes::default())
    }

    /// With other sizes of files than the usual ones.
    pub fn with_sizes(spec: &SinkSpec, storage: Storage, sizes: Sizes) -> Self {
        DeltaSink { spec: Arc::new(spec.clone()), storage, sizes, head: Head::default() }
    }

    async fn now(&self) -> Result<Option<Arc<Snapshot>>, RunError> {
        let files = self.spec.mode != SinkMode::Append;
        self.head.now(&self.storage, files).await.map_err(|e| self.failed(e))
    }

    fn failed(&self, error: StorageError) -> RunError {
        error.writing(&target::describe(&self.spec)).at(self.spec.origin)
    }

    /// The partitions that an epoch replaces.
    fn named(&self, target: &Target, partition: &Partition) -> Result<Partitions, RunError> {
        let named = Partitions::named(&target.partition_by, &target.fields, partition);
        named.map_err(|why| self.no_partition(partition, &why))
    }

    fn no_partition(&self, partition: &Partition, why: &str) -> RunError {
        let what = target::describe(&self.spec);
        let message = format!("{what} has no partition `{partition}` to compute again: {why}");
        RunError::data(NO_SUCH_PARTITION, message)
            .help("name columns behind `partition by`, with values as they stand in the paths of the table's files")
            .at(self.spec.origin)
    }

    /// The version whose rows a replay takes out of the table.
    async fn read(&self, position: &Position) -> Result<Snapshot, RunError> {
        let what = target::describe(&self.spec);
        let read: taken::Read = serde_json::from_value(position.0.clone()).map_err(|e| {
            let message = format!("{what}: the recorded position {} is not understood: {e}", position.0);
            RunError::data(codes::BAD_POSITION, message).at(self.spec.origin)
        })?;
        let snapshot = Snapshot::load(&self.storage, Some(read.version)).await.map_err(|e| self.failed(e))?;
        if snapshot.metadata.id != read.table {
            let message = format!("{what} is another table than the one whose rows were replayed (id {})", read.table);
            return Err(RunError::data(codes::TABLE_REPLACED, message)
                .help("bring that table back, then run `flowc replay` again: it finishes what it began")
                .at(self.spec.origin));
        }
        if snapshot.metadata.enabled("delta.appendOnly") {
            let message = format!("{what} has the property delta.appendOnly: replayed rows cannot leave it");
            return Err(RunError::data(codes::APPEND_ONLY, message)
                .help("unset the property (ALTER TABLE … UNSET TBLPROPERTIES), then replay; nothing was done")
                .at(self.spec.origin));
        }
        Ok(snapshot)
    }
}

#[async_trait]
impl Sink for DeltaSink {
    async fn committed(&self, application: &str) -> Result<Option<u64>, RunError> {
        let version = self.now().await?.and_then(|s| s.transaction(application));
        Ok(version.and_then(|v| u64::try_from(v).ok()))
    }

    /// Where the last row of a key counts, in the stream's order.
    fn ordered(&self) -> bool {
        matches!(self.spec.mode, SinkMode::Merge { .. } | SinkMode::Scd2 { .. }) && !self.spec.changing
    }

    async fn has_partition(&self, partition: &Partition) -> Result<(), RunError> {
        let Some(snapshot) = self.now().await? else {
            return Err(self.no_partition(partition, "there is no table yet"));
        };
        let target = Target::existing(&self.spec, &SinkMode::OverwritePartition, &snapshot)?;
        self.named(&target, partition).map(drop)
    }

    async fn begin(&self, id: EpochId) -> Result<Box<dyn SinkEpoch>, RunError> {
        let takes = match &id.takes {
            Some(position) => Some(Arc::new(self.read(position).await?)),
            None => None,
        };
        let (base, mode) = if id.replace || takes.is_some() || id.partition.is_some() {
            // What is replaced must be known file by file.
            let mode = match id.partition {
                _ if id.replace => SinkMode::Overwrite,
                Some(_) => SinkMode::OverwritePartition,
                None => self.spec.mode.clone(),
            };
            (load(&self.storage).await.map_err(|e| self.failed(e))?.map(Arc::new), mode)
        } else {
            (self.now().await?, self.spec.mode.clone())
        };
        if id.resumed {
            leftover::remove(&self.storage, leftover::mark(&id)).await;
        }
        let target = match &base {
            Some(snapshot) => Target::existing(&self.spec, &mode, snapshot)?,
            None => Target::new(&self.spec, uuid::Uuid::new_v4().to_string(), now_millis())?,
        };
        let partition = id.partition.as_ref().map(|partition| self.named(&target, partition)).transpose()?;
        let partition = partition.map(Arc::new);
        let merger = match &self.spec.mode {
            SinkMode::Merge { keys } | SinkMode::Scd2 { keys } => {
                Some(Merger::new(&self.spec, &self.storage, self.sizes, &id, (keys, &target))?.only(partition.clone()))
            }
            SinkMode::Append | SinkMode::Overwrite | SinkMode::OverwritePartition => None,
        };
        Ok(Box::new(DeltaEpoch {
            merger,
            spec: self.spec.clone(),
            storage: self.storage.clone(),
            sizes: self.sizes,
            id,
            base,
            takes,
            partition,
            target: Arc::new(target),
            head: self.head.clone(),
            workers: AtomicUsize::new(0),
            uncertain: AtomicBool::new(false),
        }))
    }
}
