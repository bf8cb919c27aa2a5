//! When versions were committed, and since when the rows of a file are in the table. Knows the log; nothing of rows.

use crate::log::commits::{Listing, commit_path, read_commit};
use crate::log::{Commit, Snapshot};
use crate::storage::{Storage, StorageError, percent_decode};
use deltalake::logstore::object_store::ObjectStoreExt;
use deltalake::logstore::object_store::path::Path;
use futures::{StreamExt, TryStreamExt};
use std::collections::{BTreeMap, BTreeSet};

/// Commits that are read at the same time.
const AT_ONCE: usize = 16;

/// When a version was committed, in microseconds since 1970-01-01T00:00:00Z: the commit's own time (`inCommitTimestamp`, or else `timestamp`), or else that of its
/// file.
pub async fn of_commit(storage: &Storage, commit: &Commit) -> Result<i64, StorageError> {
    match commit.timestamp() {
        Some(milliseconds) => Ok(milliseconds.saturating_mul(1_000)),
        None => of_object(storage, &commit_path(commit.version)).await,
    }
}

async fn of_object(storage: &Storage, path: &Path) -> Result<i64, StorageError> {
    Ok(storage.store().head(path).await?.last_modified.timestamp_micros())
}

/// When the version of a snapshot was committed.
async fn of_version(storage: &Storage, listing: &Listing, version: u64) -> Result<i64, StorageError> {
    if let Some(commit) = read_commit(storage, version).await? {
        return of_commit(storage, &commit).await;
    }
    match listing.checkpoints.get(&version).and_then(|files| files.first()) {
        Some(checkpoint) => of_object(storage, checkpoint).await,
        None => Err(StorageError::Missing(commit_path(version).to_string())),
    }
}

/// For each file of a snapshot, by its path (decoded), when the commit that added it was made; deleting some of its rows by a vector does not add it again. Where
/// the log no longer has that commit: when the snapshot's version was committed.
pub async fn of_files(storage: &Storage, snapshot: &Snapshot) -> Result<BTreeMap<String, i64>, StorageError> {
    let listing = Listing::read(storage, 0).await?;
    let latest = of_version(storage, &listing, snapshot.version).await?;
    let mut missing: BTreeSet<String> = snapshot.files.values().map(|add| percent_decode(&add.path)).collect();
    let mut times: BTreeMap<String, i64> = missing.iter().map(|path| (path.clone(), latest)).collect();
    let versions: Vec<u64> = listing.commits.range(..=snapshot.version).rev().map(|(version, _)| *version).collect();
    let mut commits = futures::stream::iter(versions).map(|v| read_commit(storage, v)).buffered(AT_ONCE);
    while !missing.is_empty()
        && let Some(commit) = commits.try_next().await?
    {
        let Some(commit) = commit else { continue };
        let added: Vec<(String, bool)> =
            commit.adds.iter().map(|add| (percent_decode(&add.path), add.deletion_vector.is_some())).collect();
        if !added.iter().any(|(path, _)| missing.contains(path)) {
            continue;
        }
        let time = of_commit(storage, &commit).await?;
        for (path, deleted) in added {
            if missing.contains(&path) {
                // A file with a vector may have been added without one before.
                if !deleted {
                    missing.remove(&path);
                }
                times.insert(path, time);
            }
        }
    }
    Ok(times)
}
