//! The state of a table at a version: the newest checkpoint before it and the commits since. It can be carried forward commit by commit.

use super::actions::{Add, Commit, FileKey, Line, Metadata, Protocol, Txn};
use super::checkpoint;
use super::commits::{Listing, read_commit};
use crate::storage::{Storage, StorageError};
use deltalake::logstore::object_store::path::Path;
use flowc_ir::plan::VersionSpec;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a table is and holds at a version.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The version.
    pub version: u64,
    /// What the table asks for.
    pub protocol: Protocol,
    /// What it is.
    pub metadata: Metadata,
    /// How far each application has written.
    pub txns: BTreeMap<String, Txn>,
    /// Its files.
    pub files: BTreeMap<FileKey, Arc<Add>>,
}

#[derive(Default)]
struct Replay {
    protocol: Option<Protocol>,
    metadata: Option<Metadata>,
    txns: BTreeMap<String, Txn>,
    files: BTreeMap<FileKey, Arc<Add>>,
}

impl Replay {
    fn line(&mut self, line: Line) {
        self.protocol = line.protocol.or(self.protocol.take());
        self.metadata = line.meta_data.or(self.metadata.take());
        self.txns.extend(line.txn.map(|t| (t.app_id.clone(), t)));
        self.files.extend(line.add.map(|a| (a.key(), Arc::new(a))));
    }

    fn commit(&mut self, commit: Commit) {
        self.protocol = commit.protocol.or(self.protocol.take());
        self.metadata = commit.metadata.or(self.metadata.take());
        self.txns.extend(commit.txns.into_iter().map(|t| (t.app_id.clone(), t)));
        for remove in &commit.removes {
            self.files.remove(&remove.key());
        }
        self.files.extend(commit.adds.into_iter().map(|a| (a.key(), Arc::new(a))));
    }
}

/// The version that the hint beside the log gives for its newest checkpoint.
async fn last_checkpoint(storage: &Storage) -> Result<Option<u64>, StorageError> {
    #[derive(Deserialize)]
    struct Hint {
        version: u64,
    }
    let bytes = storage.try_get(&Path::from("_delta_log/_last_checkpoint")).await?;
    // The hint may be stale or torn; the log is right without it.
    Ok(bytes.and_then(|b| serde_json::from_slice::<Hint>(&b).ok()).map(|h| h.version))
}

impl Snapshot {
    /// The table at a version, or as it is now.
    pub async fn load(storage: &Storage, version: Option<u64>) -> Result<Snapshot, StorageError> {
        let hint = last_checkpoint(storage).await?.filter(|h| version.is_none_or(|v| *h <= v));
        let mut listing = Listing::read(storage, hint.unwrap_or(0)).await?;
        if hint.is_some() && !listing.checkpoints.keys().any(|c| version.is_none_or(|v| *c <= v)) {
            listing = Listing::read(storage, 0).await?;
        }
        let newest = listing.newest().ok_or(StorageError::NoTable)?;
        let target = version.unwrap_or(newest);
        if target > newest {
            let all = Listing::read(storage, 0).await?;
            return Err(StorageError::NoSuchVersion { oldest: all.oldest().unwrap_or(newest), newest });
        }
        Snapshot::replay(storage, &listing, target).await
    }

    /// The version that was the newest at a time, or the number itself.
    pub async fn resolve(storage: &Storage, version: VersionSpec) -> Result<u64, StorageError> {
        let at = match version {
            VersionSpec::Number(version) => return Ok(version),
            VersionSpec::Timestamp(at) => at,
        };
        let listing = Listing::read(storage, 0).await?;
        let newest = listing.newest().ok_or(StorageError::NoTable)?;
        let oldest = listing.oldest().unwrap_or(newest);
        let times = version_times(storage, &listing, newest).await?;
        let found = times.iter().take_while(|(_, time)| *time <= at).last();
        found.map(|(v, _)| *v).filter(|v| *v >= oldest).ok_or(StorageError::NoSuchVersion { oldest, newest })
    }

    /// The first version that was committed at or after a time, or the number itself; one past the newest if all are older.
    pub async fn first_from(storage: &Storage, version: VersionSpec) -> Result<u64, StorageError> {
        let at = match version {
            VersionSpec::Number(version) => return Ok(version),
            VersionSpec::Timestamp(at) => at,
        };
        let listing = Listing::read(storage, 0).await?;
        let newest = listing.newest().ok_or(StorageError::NoTable)?;
        let times = version_times(storage, &listing, newest).await?;
        Ok(times.iter().find(|(_, time)| *time >= at).map_or(newest + 1, |(v, _)| *v))
    }

    async fn replay(storage: &Storage, listing: &Listing, target: u64) -> Result<Snapshot, StorageError> {
        let mut replay = Replay::default();
        let checkpoint = listing.checkpoints.range(..=target).next_back();
        let first = match checkpoint {
            Some((version, files)) => {
                for line in checkpoint::read(storage, files).await? {
                    replay.line(line);
                }
                version + 1
            }
            None => 0,
        };
        for version in first..=target {
            let commit =
                if listing.commits.contains_key(&version) { read_commit(storage, version).await? } else { None };
            match commit {
                Some(commit) => replay.commit(commit),
                None => return Err(missing(storage, listing, version, target).await),
            }
        }
        let gap = |what: &str| StorageError::Damaged(format!("the log has no {what} up to version {target}"));
        Ok(Snapshot {
            version: target,
            protocol: replay.protocol.ok_or_else(|| gap("protocol"))?,
            metadata: replay.metadata.ok_or_else(|| gap("metadata"))?,
            txns: replay.txns,
            files: replay.files,
        })
    }

    /// Carries the state one commit forward.
    pub fn apply(&mut self, commit: Commit) {
        let version = commit.version;
        let mut replay = Replay {
            protocol: Some(self.protocol.clone()),
            metadata: Some(self.metadata.clone()),
            txns: std::mem::take(&mut self.txns),
            files: std::mem::take(&mut self.files),
        };
        replay.commit(commit);
        let protocol = replay.protocol.unwrap_or_else(|| self.protocol.clone());
        let metadata = replay.metadata.unwrap_or_else(|| self.metadata.clone());
        *self = Snapshot { version, protocol, metadata, txns: replay.txns, files: replay.files };
    }

    /// How far an application has written.
    pub fn transaction(&self, application: &str) -> Option<i64> {
        self.txns.get(application).map(|t| t.version)
    }

    /// The files in the order in which they came, as far as that is known: by time, then by path.
    pub fn ordered_files(&self) -> Vec<Arc<Add>> {
        let mut files: Vec<Arc<Add>> = self.files.values().cloned().collect();
        files.sort_by(|a, b| (a.modification_time, &a.path).cmp(&(b.modification_time, &b.path)));
        files
    }
}

/// Why a commit that the state of `target` needs is not there: it was cleaned up, or the log has a hole.
async fn missing(storage: &Storage, listing: &Listing, version: u64, target: u64) -> StorageError {
    let newest = listing.newest().unwrap_or(target);
    match Listing::read(storage, 0).await.map(|all| all.oldest()) {
        Ok(Some(oldest)) if oldest > target => StorageError::NoSuchVersion { oldest, newest },
        Ok(_) => StorageError::Damaged(format!("the log has no version {version}, which version {target} needs")),
        Err(error) => error,
    }
}

/// When each version was committed, in microseconds: by the file's time, or by the commit's own where the table keeps that.
async fn version_times(storage: &Storage, listing: &Listing, newest: u64) -> Result<Vec<(u64, i64)>, StorageError> {
    let metadata = Snapshot::replay(storage, listing, newest).await?.metadata;
    commit_times(storage, listing.times(), &metadata).await
}

/// The times of versions, given those of their files: the commits' own where the table, as it is by the last of them, keeps them.
pub async fn commit_times(
    storage: &Storage,
    mut times: Vec<(u64, i64)>,
    metadata: &Metadata,
) -> Result<Vec<(u64, i64)>, StorageError> {
    if !metadata.enabled("delta.enableInCommitTimestamps") {
        return Ok(times);
    }
    let since = metadata.property("delta.inCommitTimestampEnablementVersion").and_then(|v| v.parse().ok()).unwrap_or(0);
    for (version, time) in times.iter_mut().filter(|(v, _)| *v >= since) {
        if let Some(at) = read_commit(storage, *version).await?.and_then(|c| c.timestamp()) {
            *time = at * 1_000;
        }
    }
    Ok(times)
}
