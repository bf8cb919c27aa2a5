//! The versions of a table that rows are looked up in as of their time: when each was committed, and how its rows are read by a program that was compiled
//! against the table as it is now. Knows the log; reading files is [`crate::scan`]'s matter.

use crate::codes;
use crate::log::commits::Listing;
use crate::log::snapshot::commit_times;
use crate::log::{Metadata, Snapshot};
use crate::scan::{Scan, changed};
use crate::schema::{self, DeltaField};
use crate::storage::{Storage, StorageError};
use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::SchemaRef;
use flowc_ir::arrow_types::to_arrow_schema;
use flowc_ir::plan::TableSpec;
use flowc_ir::{Field, Schema};
use flowc_runtime::codes::VERSION_GONE;
use flowc_runtime::{History, Position, RunError, TableVersion};
use std::sync::{Arc, Mutex, PoisonError};

/// The versions that are known so far with their times: those that can be read, without a gap. Only what is new has to be listed.
#[derive(Debug, Default)]
pub struct Times(Mutex<Vec<(u64, i64)>>);

impl Times {
    /// The versions up to one that has this metadata. What was cleaned up since it was first seen is still among them.
    pub async fn upto(
        &self,
        storage: &Storage,
        newest: u64,
        metadata: &Metadata,
    ) -> Result<Vec<(u64, i64)>, StorageError> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let next = known.last().map_or(0, |(version, _)| version + 1);
        if next <= newest {
            let listing = Listing::read(storage, next).await?;
            let mut fresh: Vec<(u64, i64)> = listing.times();
            if known.is_empty() {
                let oldest = listing.oldest().ok_or(StorageError::NoTable)?;
                fresh.retain(|(version, _)| *version >= oldest);
            }
            fresh.retain(|(version, _)| *version <= newest);
            let mut least = known.last().map_or(i64::MIN, |(_, time)| time + 1_000);
            for (_, time) in &mut fresh {
                *time = least.max(*time);
                least = *time + 1_000;
            }
            known.extend(commit_times(storage, fresh, metadata).await?);
            self.0.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&known);
        }
        known.retain(|(version, _)| *version <= newest);
        Ok(known)
    }
}

/// The position of a version of the past.
pub fn position(version: u64) -> Position {
    Position(serde_json::json!({ "version": version, "past": true }))
}

/// The history that versions and their times make.
pub fn history(times: &[(u64, i64)]) -> History {
    let mut history = History::default();
    for (version, time) in times {
        // A writer's clock that is set back makes no version older than the one before it.
        let committed = history.versions.last().map_or(*time, |before: &TableVersion| before.committed.max(*time));
        let text = format!("version {version}");
        history.versions.push(TableVersion { position: position(*version), committed, text });
    }
    let first = times.first().map(|(version, _)| *version).filter(|first| *first > 0);
    history.gone = first.map(|first| {
        format!("the log before version {first} was cleaned up: the table property `delta.logRetentionDuration` says how long it is kept")
    });
    history
}

/// How rows of one version become rows of the program.
#[derive(Debug, Clone)]
pub struct PastScan {
    /// Reads what of the program's columns the version has; any of them may be null there.
    pub scan: Scan,
    version: u64,
    what: String,
    schema: SchemaRef,
    /// Of each of the program's columns, its place among those that are read.
    places: Vec<Option<usize>>,
}

impl PastScan {
    /// `now`: the columns of the table that the program was compiled against. A column is the same one if it has the same physical name, whatever it was
    /// called. One that the version lacks is null.
    pub fn new(
        storage: &Storage,
        what: &str,
        snapshot: &Snapshot,
        spec: &TableSpec,
        now: &[DeltaField],
    ) -> Result<PastScan, RunError> {
        let then = schema::parse(&snapshot.metadata.schema_string).map_err(|e| e.reading(what))?;
        let (mut wanted, mut places) = (vec![], vec![]);
        for field in &spec.schema.fields {
            let physical = now.iter().find(|f| f.name == field.name).map_or(field.name.as_str(), DeltaField::physical);
            let found = then.iter().find(|f| f.physical() == physical);
            if found.is_none() && !field.ty.nullable {
                return Err(unfit(what, snapshot.version, &format!("it has no column `{}`", field.name)));
            }
            places.push(found.map(|_| wanted.len()));
            wanted.extend(found.map(|f| Field::new(f.name.clone(), field.ty.clone().with_nullable(true))));
        }
        // A predicate finds its columns by their places.
        let predicate = spec.predicate.as_ref().filter(|_| wanted.len() == spec.schema.len());
        let scan = Scan::new(storage, what, snapshot, &Schema::new(wanted), predicate);
        let scan = scan.map_err(|e| if e.code == codes::SOURCE_CHANGED { explained(e) } else { e })?;
        let (version, what, schema) = (snapshot.version, what.to_string(), to_arrow_schema(&spec.schema));
        Ok(PastScan { scan, version, what, schema, places })
    }

    /// Rows that were read, with the program's columns.
    pub fn complete(&self, batch: &RecordBatch) -> Result<RecordBatch, RunError> {
        let rows = batch.num_rows();
        let mut columns: Vec<ArrayRef> = vec![];
        for (field, place) in self.schema.fields().iter().zip(&self.places) {
            let column = match place {
                Some(place) => Arc::clone(batch.column(*place)),
                None => new_null_array(field.data_type(), rows),
            };
            if !field.is_nullable() && column.logical_null_count() > 0 {
                return Err(unfit(&self.what, self.version, &format!("`{}` is null in a row of it", field.name())));
            }
            columns.push(column);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .map_err(|e| unfit(&self.what, self.version, &e.to_string()))
    }

    /// An error of reading, where files of the past may be gone for good.
    pub fn failed(&self, error: RunError) -> RunError {
        if error.code != codes::FILE_GONE {
            return error;
        }
        let (what, version) = (&self.what, self.version);
        let why = error.message.strip_prefix(&format!("{what}: ")).unwrap_or(&error.message);
        gone(&format!("{what}: version {version}, which a row needs as of its time, is gone: {why}"))
    }
}

/// A version that cannot be read as the program wants it.
fn unfit(what: &str, version: u64, why: &str) -> RunError {
    explained(changed(what, version, why))
}

fn explained(error: RunError) -> RunError {
    error.help(
        "rows are looked up in this version as of their time: give the table a `schema` whose columns fit all of its versions (`name: type?`), or leave rows of \
         that time out before the join",
    )
}

/// A version is not there any more.
pub fn gone(message: &str) -> RunError {
    RunError::data(VERSION_GONE, message).help(
        "it was vacuumed, or the log of that time was cleaned up (the table properties `delta.deletedFileRetentionDuration` and `delta.logRetentionDuration` say how \
         long both are kept)\nnothing of the epoch was committed; leave rows of that time out before the join",
    )
}
