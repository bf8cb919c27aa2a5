//! What `flowc show` shows of a table: what it is, its partitions, its history, some rows, and what versions changed. Knows tables; nothing of
//! terminals.

use crate::catalog::{self, table_info};
use crate::changes::{Layout, Reader};
use crate::codes;
use crate::log::commits::{Listing, read_commit};
use crate::log::{Commit, Snapshot};
use crate::scan::Scan;
use crate::storage::{Storage, StorageError};
use arrow::array::RecordBatch;
use flowc_ir::Schema;
use flowc_ir::catalog::{CatalogError, TableInfo};
use flowc_ir::graph::weight;
use flowc_ir::plan::VersionSpec;
use flowc_runtime::{BatchStream, RunError, Split};
use futures::TryStreamExt;
use indexmap::IndexMap;
use serde::Serialize;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// What a table is at a version.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Where.
    pub location: String,
    /// The table's identity.
    pub id: String,
    /// Schema, properties, constraints, features, size.
    pub info: TableInfo,
    /// Versions that can be read.
    pub versions: (u64, u64),
    /// Of the protocol: for readers, for writers.
    pub protocol: (u32, u32),
    /// When it was made, in milliseconds.
    pub created: Option<i64>,
    /// Its partitions, by their values.
    pub partitions: Vec<Partition>,
    /// Applications that keep account of their epochs in it, with the last one.
    pub applications: BTreeMap<String, i64>,
}

/// The files of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Partition {
    /// The values of the partition columns.
    pub values: IndexMap<String, Option<String>>,
    /// Number of files.
    pub files: u64,
    /// Bytes.
    pub bytes: u64,
    /// Rows, where the statistics of every file say it.
    pub rows: Option<u64>,
}

/// A version and what made it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// The version.
    pub version: u64,
    /// Milliseconds, by its writer's clock.
    pub timestamp: Option<i64>,
    /// `WRITE`, `DELETE`, …
    pub operation: String,
    /// Its parameters.
    pub parameters: IndexMap<String, String>,
    /// What it counted.
    pub metrics: IndexMap<String, String>,
    /// What wrote it.
    pub engine: Option<String>,
    /// Files that came.
    pub files_added: u64,
    /// Files that went.
    pub files_removed: u64,
    /// Rows that came, where known.
    pub rows_added: Option<u64>,
    /// The epochs of applications that it holds.
    pub applications: BTreeMap<String, i64>,
}

/// What a version changed.
#[derive(Debug, Clone)]
pub struct Change {
    /// The version.
    pub entry: Entry,
    /// Rows that it added and took away: the last column, [`flowc_ir::graph::WEIGHT`], says how often.
    pub rows: Vec<RecordBatch>,
    /// How many such rows there are, where that is known.
    pub count: Option<u64>,
}

fn failed(storage: &Storage, error: StorageError) -> RunError {
    error.reading(storage.location())
}

fn info(storage: &Storage, snapshot: &Snapshot) -> Result<TableInfo, RunError> {
    table_info(snapshot).map_err(|e| match e {
        CatalogError::UnknownType(column, ty) => RunError::data(
            codes::UNREADABLE,
            format!("{}: column `{column}` has the type {ty}, which flowc does not know", storage.location()),
        ),
        CatalogError::Unreachable(why) => RunError::world(codes::DAMAGED_LOG, format!("{}: {why}", storage.location())),
        other => RunError::world(codes::CANNOT_READ, format!("{}: {other:?}", storage.location())),
    })
}

/// What the table is at a version, or now.
pub async fn summary(storage: &Storage, version: Option<VersionSpec>) -> Result<Summary, RunError> {
    let snapshot = catalog::load(storage, version).await.map_err(|e| failed(storage, e))?;
    let listing = Listing::read(storage, 0).await.map_err(|e| failed(storage, e))?;
    let newest = listing.newest().unwrap_or(snapshot.version);
    Ok(Summary {
        location: storage.location().to_string(),
        id: snapshot.metadata.id.clone(),
        info: info(storage, &snapshot)?,
        versions: (listing.oldest().unwrap_or(newest), newest),
        protocol: (snapshot.protocol.min_reader_version, snapshot.protocol.min_writer_version),
        created: snapshot.metadata.created_time,
        partitions: partitions(&snapshot),
        applications: snapshot.txns.iter().map(|(app, txn)| (app.clone(), txn.version)).collect(),
    })
}

fn partitions(snapshot: &Snapshot) -> Vec<Partition> {
    let by = &snapshot.metadata.partition_columns;
    if by.is_empty() {
        return vec![];
    }
    let fields = crate::schema::parse(&snapshot.metadata.schema_string).unwrap_or_default();
    let physical =
        |name: &String| fields.iter().find(|f| f.name == *name).map_or(name.clone(), |f| f.physical().to_string());
    let mut all: BTreeMap<Vec<Option<String>>, Partition> = BTreeMap::new();
    for file in snapshot.files.values() {
        let values: IndexMap<String, Option<String>> = by
            .iter()
            .map(|name| (name.clone(), file.partition_values.get(&physical(name)).cloned().flatten()))
            .collect();
        let key = values.values().cloned().collect();
        let partition = all.entry(key).or_insert(Partition { values, files: 0, bytes: 0, rows: Some(0) });
        partition.files += 1;
        partition.bytes += file.size.max(0) as u64;
        partition.rows = partition.rows.zip(file.rows()).map(|(a, b)| a + b);
    }
    all.into_values().collect()
}

/// The newest versions, the newest first.
pub async fn history(storage: &Storage, limit: usize) -> Result<Vec<Entry>, RunError> {
    let listing = Listing::read(storage, 0).await.map_err(|e| failed(storage, e))?;
    if listing.newest().is_none() {
        return Err(failed(storage, StorageError::NoTable));
    }
    let mut entries = vec![];
    for version in listing.commits.keys().rev().take(limit) {
        if let Some(commit) = read_commit(storage, *version).await.map_err(|e| failed(storage, e))? {
            entries.push(entry(&commit));
        }
    }
    Ok(entries)
}

fn entry(commit: &Commit) -> Entry {
    let info = commit.info.as_ref();
    let texts = |key: &str| {
        let object = info.and_then(|i| i.get(key)?.as_object());
        let text = |v: &Json| v.as_str().map_or_else(|| v.to_string(), str::to_string);
        object.into_iter().flatten().map(|(k, v)| (k.clone(), text(v))).collect()
    };
    Entry {
        version: commit.version,
        timestamp: commit.timestamp(),
        operation: commit.operation().to_string(),
        parameters: texts("operationParameters"),
        metrics: texts("operationMetrics"),
        engine: info.and_then(|i| i.get("engineInfo")?.as_str()).map(str::to_string),
        files_added: commit.adds.len() as u64,
        files_removed: commit.removes.len() as u64,
        rows_added: commit.adds.iter().map(|a| a.rows()).sum(),
        applications: commit.txns.iter().map(|t| (t.app_id.clone(), t.version)).collect(),
    }
}

/// All columns of the table as it is at a snapshot.
fn scan(storage: &Storage, snapshot: &Snapshot) -> Result<(Schema, Scan), RunError> {
    let schema = info(storage, snapshot)?.schema;
    let scan = Scan::new(storage, storage.location(), snapshot, &schema, None)?;
    Ok((schema, scan))
}

/// The first rows of splits.
async fn first_rows(
    splits: &[Split],
    limit: usize,
    read: impl AsyncFn(&Split, usize) -> Result<BatchStream, RunError>,
) -> Result<Vec<RecordBatch>, RunError> {
    let (mut batches, mut left) = (vec![], limit);
    for split in splits {
        let mut stream = read(split, left.clamp(1, 8192)).await?;
        while left > 0
            && let Some(batch) = stream.try_next().await?
        {
            let batch = batch.slice(0, batch.num_rows().min(left));
            left -= batch.num_rows();
            batches.push(batch);
        }
        if left == 0 {
            break;
        }
    }
    Ok(batches)
}

/// The first rows of the table at a version, or now, with its columns.
pub async fn rows(
    storage: &Storage,
    version: Option<VersionSpec>,
    limit: usize,
) -> Result<(Schema, Vec<RecordBatch>), RunError> {
    let snapshot = catalog::load(storage, version).await.map_err(|e| failed(storage, e))?;
    let (schema, scan) = scan(storage, &snapshot)?;
    let splits = scan.splits(&snapshot.ordered_files()).await?;
    let read = async |split: &Split, rows: usize| scan.read(split, rows).await;
    let batches = first_rows(&splits, limit, read).await?;
    Ok((schema, batches))
}

/// What each of these versions changed, at most `limit` rows of each; columns as the last of them has them, and [`flowc_ir::graph::WEIGHT`].
pub async fn changes(
    storage: &Storage,
    versions: RangeInclusive<u64>,
    limit: usize,
) -> Result<(Schema, Vec<Change>), RunError> {
    let last = Snapshot::load(storage, Some(*versions.end())).await.map_err(|e| failed(storage, e))?;
    let mut schema = info(storage, &last)?.schema;
    schema.fields.push(weight());
    let reader = Reader::new(storage, storage.location(), &last, Layout::new(&schema, None), None)?;
    let mut changes = vec![];
    for version in versions {
        let commit = read_commit(storage, version).await.map_err(|e| failed(storage, e))?;
        let commit = match commit {
            Some(commit) => commit,
            None => {
                let listing = Listing::read(storage, 0).await.map_err(|e| failed(storage, e))?;
                let oldest = listing.commits.keys().next().copied().unwrap_or(last.version);
                return Err(failed(storage, StorageError::NoSuchVersion { oldest, newest: last.version }));
            }
        };
        let entry = entry(&commit);
        let splits = reader.splits(&reader.changed(commit, false).await?).await?;
        let count = splits.iter().map(|split| split.rows).sum();
        let read = async |split: &Split, rows: usize| reader.read(split, rows).await;
        changes.push(Change { entry, rows: first_rows(&splits, limit, read).await?, count });
    }
    Ok((schema, changes))
}
