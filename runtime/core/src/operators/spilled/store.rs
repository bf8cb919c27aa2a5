//! The key-value store of [`super::buckets`]: an LSM tree in a temporary directory that lives as long as the run; where there are no files, a sorted map. Knows
//! nothing of buckets.

use crate::error::RunError;
use crate::spill::Budget;
use std::collections::BTreeMap;

/// Of a bucket, and of a level.
pub(super) type Key = [u8; 10];

#[cfg(feature = "files")]
pub(super) use on_disk::Store;

#[cfg(not(feature = "files"))]
pub(super) use in_memory::Store;

#[cfg(feature = "files")]
mod on_disk {
    use super::*;
    use crate::spill::spill_error;
    use crate::state::disk::TEMPORARY;
    use fjall::{Database, Keyspace, KeyspaceCreateOptions, UserValue};
    use tempfile::TempDir;

    pub(in super::super) struct Store {
        // Dropped in this order: the store, then its directory.
        keyspace: Keyspace,
        _database: Database,
        _directory: TempDir,
    }

    impl Store {
        /// An empty one, which keeps so many bytes of what was read in memory.
        pub(in super::super) fn new(budget: &Budget, cache: u64) -> Result<Store, RunError> {
            let directory =
                tempfile::Builder::new().prefix(TEMPORARY).tempdir_in(&*budget.directory).map_err(spill_error)?;
            let database =
                Database::builder(directory.path()).cache_size(cache).worker_threads(1).open().map_err(spill_error)?;
            let keyspace = database.keyspace("state", KeyspaceCreateOptions::default).map_err(spill_error)?;
            Ok(Store { keyspace, _database: database, _directory: directory })
        }

        /// Values that are there from now on; without a value the key is gone.
        pub(in super::super) fn change(&mut self, entries: BTreeMap<Key, Option<Vec<u8>>>) -> Result<(), RunError> {
            // Sorted as they are they become a file at once: nothing is kept in memory, and no journal is written for what does not outlive the run.
            let mut ingestion = self.keyspace.start_ingestion().map_err(spill_error)?;
            for (key, value) in entries {
                match value {
                    Some(value) => ingestion.write(key, value),
                    None => ingestion.write_tombstone(key),
                }
                .map_err(spill_error)?;
            }
            ingestion.finish().map_err(spill_error)
        }

        pub(in super::super) fn get(&self, key: &Key) -> Result<Option<UserValue>, RunError> {
            self.keyspace.get(key).map_err(spill_error)
        }
    }
}

#[cfg(not(feature = "files"))]
mod in_memory {
    use super::*;

    pub(in super::super) struct Store(BTreeMap<Key, Vec<u8>>);

    impl Store {
        pub(in super::super) fn new(_: &Budget, _cache: u64) -> Result<Store, RunError> {
            Ok(Store(BTreeMap::new()))
        }

        pub(in super::super) fn change(&mut self, entries: BTreeMap<Key, Option<Vec<u8>>>) -> Result<(), RunError> {
            for (key, value) in entries {
                match value {
                    Some(value) => drop(self.0.insert(key, value)),
                    None => drop(self.0.remove(&key)),
                }
            }
            Ok(())
        }

        pub(in super::super) fn get(&self, key: &Key) -> Result<Option<&[u8]>, RunError> {
            Ok(self.0.get(key).map(Vec::as_slice))
        }
    }
}
