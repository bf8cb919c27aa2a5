//! When a table changed: the versions that carry other metadata or another protocol than before. Synchronous, as the catalog is. Knows the log; nothing of
//! what the changes mean to a program.

use crate::catalog::{block_on, table_info};
use crate::log::commits::{Listing, read_commit};
use crate::log::{Commit, Snapshot};
use crate::storage::{Storage, StorageError};
use flowc_ir::catalog::TableInfo;
use futures::{StreamExt, TryStreamExt};

/// Commits that are read at the same time.
const AT_ONCE: usize = 16;
/// Versions that are looked through; where there are more, it is only known that the change lies among them.
const LOOKED_THROUGH: u64 = 20_000;

/// A version that changed what the table is.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// The version; where those before it are gone, the first that is known.
    pub version: u64,
    /// The version known before, where those between are gone.
    pub after: Option<u64>,
    /// What it was: `ALTER TABLE at 2026-11-20 10:00:00 UTC`; empty where it is not known.
    pub what: String,
    /// The table from then on.
    pub info: TableInfo,
}

/// The versions behind `from`, up to the newest, that changed the metadata or the protocol of the table at a location.
pub fn turns(location: &str, from: u64) -> Result<Vec<Turn>, String> {
    let work = async {
        let storage = Storage::open(location).map_err(|e| e.to_string())?;
        since(&storage, from).await.map_err(|e| e.to_string())
    };
    block_on(work).and_then(|found| found)
}

/// As [`turns`], at a place.
pub async fn since(storage: &Storage, from: u64) -> Result<Vec<Turn>, StorageError> {
    let listing = Listing::read(storage, 0).await?;
    let newest = listing.newest().ok_or(StorageError::NoTable)?;
    let mut found = vec![];
    let known = (from..=newest).all(|v| v == from || listing.commits.contains_key(&v));
    let near = newest.saturating_sub(from) <= LOOKED_THROUGH;
    let (start, certain) = match Snapshot::load(storage, Some(from)).await {
        Ok(snapshot) if known && near => (snapshot, true),
        Ok(_) | Err(StorageError::NoSuchVersion { .. } | StorageError::Damaged(_)) => {
            let first = listing.oldest().unwrap_or(newest).max(newest.saturating_sub(LOOKED_THROUGH));
            (Snapshot::load(storage, Some(first.min(newest))).await?, false)
        }
        Err(other) => return Err(other),
    };
    if !certain && let Ok(info) = table_info(&start) {
        found.push(Turn { version: start.version, after: Some(from), what: String::new(), info });
    }
    let commits = futures::stream::iter(start.version + 1..=newest);
    let commits = commits.map(|version| read_commit(storage, version)).buffered(AT_ONCE);
    let commits: Vec<Commit> =
        commits.try_filter_map(|c| std::future::ready(Ok(c.filter(turns_it)))).try_collect().await?;
    let mut table = start;
    table.files.clear();
    for mut commit in commits {
        (commit.adds, commit.removes) = (vec![], vec![]);
        let (version, what) = (commit.version, commit.label());
        table.apply(commit);
        if let Ok(info) = table_info(&table) {
            found.push(Turn { version, after: None, what, info });
        }
    }
    Ok(found)
}

fn turns_it(commit: &Commit) -> bool {
    commit.metadata.is_some() || commit.protocol.is_some()
}
