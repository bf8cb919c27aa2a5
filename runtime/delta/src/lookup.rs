//! A Delta table to look rows up in, or to scan: its rows at a pinned version, or at those before it. Knows versions; reading files is [`crate::scan`]'s
//! matter, what versions of the past are is [`crate::past`]'s.

use crate::catalog;
use crate::codes;
use crate::log::Snapshot;
use crate::log::commits::read_commit;
use crate::past::{self, PastScan, Times};
use crate::scan::{Scan, promised};
use crate::schema::{self, DeltaField};
use crate::storage::{Storage, StorageError};
use arrow::array::RecordBatch;
use async_trait::async_trait;
use flowc_ir::plan::TableSpec;
use flowc_runtime::{BatchStream, History, LookupTable, Position, RunError, Split};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A version is made from one before it, where that is known and at most so many commits behind.
const NEAR: u64 = 32;

#[derive(Debug, Serialize, Deserialize)]
struct Pinned {
    version: u64,
    /// Whether it is a version of the history: it may have had other columns.
    #[serde(default)]
    past: bool,
}

/// A Delta table as a lookup table.
#[derive(Debug)]
pub struct DeltaTable {
    spec: TableSpec,
    storage: Storage,
    scan: Scan,
    /// The columns of the table as it was opened.
    columns: Vec<DeltaField>,
    snapshots: Mutex<BTreeMap<u64, Arc<Snapshot>>>,
    times: Times,
}

impl DeltaTable {
    /// Opens the table at its declared version, or the newest.
    pub async fn open(spec: &TableSpec, storage: Storage) -> Result<DeltaTable, RunError> {
        let what = format!("table `{}` ({})", spec.name, storage.location());
        let snapshot = catalog::load(&storage, spec.version).await.map_err(|e| e.reading(&what).at(spec.origin))?;
        let scan = scan(spec, &storage, &snapshot)?;
        let columns = schema::parse(&snapshot.metadata.schema_string).map_err(|e| e.reading(&what).at(spec.origin))?;
        let (spec, snapshots, times) = (spec.clone(), Mutex::default(), Times::default());
        Ok(DeltaTable { spec, storage, scan, columns, snapshots, times })
    }

    fn what(&self) -> String {
        format!("table `{}` ({})", self.spec.name, self.storage.location())
    }

    fn failed(&self, error: StorageError) -> RunError {
        error.reading(&self.what()).at(self.spec.origin)
    }

    fn pinned(&self, version: &Position) -> Result<Pinned, RunError> {
        serde_json::from_value(version.0.clone()).map_err(|e| {
            let message =
                format!("table `{}`: the recorded version {} is not understood: {e}", self.spec.name, version.0);
            RunError::data(codes::BAD_POSITION, message).at(self.spec.origin)
        })
    }

    async fn snapshot(&self, version: u64) -> Result<Arc<Snapshot>, RunError> {
        let near = {
            let snapshots = self.snapshots.lock().unwrap_or_else(PoisonError::into_inner);
            snapshots.range(version.saturating_sub(NEAR)..=version).next_back().map(|(_, found)| Arc::clone(found))
        };
        let snapshot = match near {
            Some(found) if found.version == version => return Ok(found),
            Some(near) => self.forward(&near, version).await.map_err(|e| self.failed(e))?,
            None => None,
        };
        let snapshot = match snapshot {
            Some(snapshot) => snapshot,
            None => Snapshot::load(&self.storage, Some(version)).await.map_err(|e| self.failed(e))?,
        };
        let snapshot = Arc::new(snapshot);
        let mut snapshots = self.snapshots.lock().unwrap_or_else(PoisonError::into_inner);
        while snapshots.len() >= 2 {
            snapshots.pop_first();
        }
        snapshots.insert(version, snapshot.clone());
        Ok(snapshot)
    }

    /// A version from one before it; none: a commit between them is not there.
    async fn forward(&self, from: &Snapshot, version: u64) -> Result<Option<Snapshot>, StorageError> {
        let mut snapshot = from.clone();
        for next in from.version + 1..=version {
            match read_commit(&self.storage, next).await? {
                Some(commit) => snapshot.apply(commit),
                None => return Ok(None),
            }
        }
        Ok(Some(snapshot))
    }

    /// How a version of the history is read.
    async fn past(&self, version: u64) -> Result<(Arc<Snapshot>, PastScan), RunError> {
        let snapshot = self.snapshot(version).await.map_err(|error| match error.code {
            codes::NO_SUCH_VERSION => past::gone(&error.message).at(self.spec.origin),
            _ => error,
        })?;
        let scan = PastScan::new(&self.storage, &self.what(), &snapshot, &self.spec, &self.columns);
        Ok((snapshot, scan.map_err(|e| e.at(self.spec.origin))?))
    }
}

fn scan(spec: &TableSpec, storage: &Storage, snapshot: &Snapshot) -> Result<Scan, RunError> {
    let what = format!("table `{}` ({})", spec.name, storage.location());
    promised(&what, snapshot, &spec.promises).map_err(|e| e.at(spec.origin))?;
    Scan::new(storage, &what, snapshot, &spec.schema, spec.predicate.as_ref()).map_err(|e| e.at(spec.origin))
}

#[async_trait]
impl LookupTable for DeltaTable {
    async fn pin(&self) -> Result<Position, RunError> {
        let snapshot = catalog::load(&self.storage, self.spec.version).await.map_err(|e| self.failed(e))?;
        // The columns must still be there before an epoch is recorded with this version.
        scan(&self.spec, &self.storage, &snapshot)?;
        let version = snapshot.version;
        self.snapshots.lock().unwrap_or_else(PoisonError::into_inner).insert(version, Arc::new(snapshot));
        Ok(Position(serde_json::json!({ "version": version })))
    }

    async fn history(&self, pin: &Position) -> Result<History, RunError> {
        let newest = self.pinned(pin)?.version;
        let snapshot = self.snapshot(newest).await?;
        let times = self.times.upto(&self.storage, newest, &snapshot.metadata).await;
        Ok(past::history(&times.map_err(|e| self.failed(e))?))
    }

    async fn splits(&self, version: &Position) -> Result<Vec<Split>, RunError> {
        let pinned = self.pinned(version)?;
        let at = |e: RunError| e.at(self.spec.origin);
        if pinned.past {
            let (snapshot, past) = self.past(pinned.version).await?;
            let splits = past.scan.splits(&snapshot.ordered_files()).await;
            let mut splits = splits.map_err(|e| at(past.failed(e)))?;
            // Which version it is of says how it is read.
            splits.iter_mut().for_each(|split| split.detail["version"] = pinned.version.into());
            return Ok(splits);
        }
        let snapshot = self.snapshot(pinned.version).await?;
        scan(&self.spec, &self.storage, &snapshot)?.splits(&snapshot.ordered_files()).await.map_err(at)
    }

    async fn read(&self, split: &Split, batch_rows: usize) -> Result<BatchStream, RunError> {
        let origin = self.spec.origin;
        let Some(version) = split.detail.get("version").and_then(serde_json::Value::as_u64) else {
            return self.scan.needed(split, batch_rows).await.map_err(|e| e.at(origin));
        };
        let (_, past) = self.past(version).await?;
        let stream = past.scan.read(split, batch_rows).await.map_err(|e| past.failed(e).at(origin))?;
        let complete = move |batch: Result<RecordBatch, RunError>| match batch {
            Ok(batch) => past.complete(&batch).map_err(|e| e.at(origin)),
            Err(error) => Err(past.failed(error).at(origin)),
        };
        Ok(stream.map(complete).boxed())
    }
}
