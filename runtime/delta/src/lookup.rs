//! A Delta table to look rows up in, or to scan: its rows at a pinned version. Knows versions; reading files is [`crate::scan`]'s matter.

use crate::catalog;
use crate::codes;
use crate::log::Snapshot;
use crate::scan::{Scan, promised};
use crate::storage::{Storage, StorageError};
use async_trait::async_trait;
use flowc_ir::plan::TableSpec;
use flowc_runtime::{BatchStream, LookupTable, Position, RunError, Split};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Debug, Serialize, Deserialize)]
struct Pinned {
    version: u64,
}

/// A Delta table as a lookup table.
#[derive(Debug)]
pub struct DeltaTable {
    spec: TableSpec,
    storage: Storage,
    scan: Scan,
    snapshots: Mutex<BTreeMap<u64, Arc<Snapshot>>>,
}

impl DeltaTable {
    /// Opens the table at its declared version, or the newest.
    pub async fn open(spec: &TableSpec, storage: Storage) -> Result<DeltaTable, RunError> {
        let what = format!("table `{}` ({})", spec.name, storage.location());
        let snapshot = catalog::load(&storage, spec.version).await.map_err(|e| e.reading(&what).at(spec.origin))?;
        let scan = scan(spec, &storage, &snapshot)?;
        Ok(DeltaTable { spec: spec.clone(), storage, scan, snapshots: Mutex::default() })
    }

    fn failed(&self, error: StorageError) -> RunError {
        error.reading(&format!("table `{}` ({})", self.spec.name, self.storage.location())).at(self.spec.origin)
    }

    async fn snapshot(&self, version: u64) -> Result<Arc<Snapshot>, RunError> {
        if let Some(snapshot) = self.snapshots.lock().unwrap_or_else(PoisonError::into_inner).get(&version) {
            return Ok(snapshot.clone());
        }
        let snapshot = Snapshot::load(&self.storage, Some(version)).await.map_err(|e| self.failed(e))?;
        let snapshot = Arc::new(snapshot);
        let mut snapshots = self.snapshots.lock().unwrap_or_else(PoisonError::into_inner);
        while snapshots.len() >= 2 {
            snapshots.pop_first();
        }
        snapshots.insert(version, snapshot.clone());
        Ok(snapshot)
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

    async fn splits(&self, version: &Position) -> Result<Vec<Split>, RunError> {
        let pinned: Pinned = serde_json::from_value(version.0.clone()).map_err(|e| {
            let message =
                format!("table `{}`: the recorded version {} is not understood: {e}", self.spec.name, version.0);
            RunError::data(codes::BAD_POSITION, message).at(self.spec.origin)
        })?;
        let snapshot = self.snapshot(pinned.version).await?;
        scan(&self.spec, &self.storage, &snapshot)?
            .splits(&snapshot.ordered_files())
            .await
            .map_err(|e| e.at(self.spec.origin))
    }

    async fn read(&self, split: &Split, batch_rows: usize) -> Result<BatchStream, RunError> {
        self.scan.read(split, batch_rows).await.map_err(|e| e.at(self.spec.origin))
    }
}
