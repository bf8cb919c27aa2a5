//! The actions of the log, as its JSON has them. Unknown actions and fields are passed over, as the protocol asks.

use crate::storage::{StorageError, percent_decode};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// What versions of the protocol, or which features, a table asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Protocol {
    /// 1, 2, or 3 with `reader_features`.
    pub min_reader_version: u32,
    /// 1 to 6, or 7 with `writer_features`.
    pub min_writer_version: u32,
    /// Features that readers need.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reader_features: Option<Vec<String>>,
    /// Features that writers need.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writer_features: Option<Vec<String>>,
}

/// The file format of a table: always Parquet.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Format {
    /// `parquet`
    #[serde(default)]
    pub provider: String,
    /// None that matter.
    #[serde(default)]
    pub options: Option<IndexMap<String, Option<String>>>,
}

/// What a table is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// The table's identity.
    pub id: String,
    /// A name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The file format.
    #[serde(default)]
    pub format: Format,
    /// The schema, as JSON text.
    pub schema_string: String,
    /// Names of the partition columns, in order.
    #[serde(default)]
    pub partition_columns: Vec<String>,
    /// Table properties.
    #[serde(default)]
    pub configuration: Option<IndexMap<String, Option<String>>>,
    /// When it was made, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_time: Option<i64>,
}

impl Metadata {
    /// A table property.
    pub fn property(&self, key: &str) -> Option<&str> {
        self.configuration.as_ref()?.get(key)?.as_deref()
    }

    /// Whether a boolean table property is set.
    pub fn enabled(&self, key: &str) -> bool {
        self.property(key).is_some_and(|v| v.eq_ignore_ascii_case("true"))
    }

    /// All properties that have a value.
    pub fn properties(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.configuration.iter().flatten();
        all.filter_map(|(k, v)| Some((k.as_str(), v.as_deref()?)))
    }
}

/// Which rows of a file are deleted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeletionVector {
    /// `u`: a file relative to the table, named by a UUID; `p`: an absolute path; `i`: inline.
    pub storage_type: String,
    /// Where it is, or the bitmap itself.
    pub path_or_inline_dv: String,
    /// Where in the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// Its length.
    pub size_in_bytes: u64,
    /// How many rows are deleted.
    pub cardinality: u64,
}

/// A file becomes part of the table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Add {
    /// Relative to the table, URL-encoded; or absolute.
    pub path: String,
    /// The values of the partition columns.
    #[serde(default)]
    pub partition_values: IndexMap<String, Option<String>>,
    /// In bytes.
    pub size: i64,
    /// In milliseconds.
    #[serde(default)]
    pub modification_time: i64,
    /// Whether rows come in that were not in the table before.
    #[serde(default)]
    pub data_change: bool,
    /// Statistics, as JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stats: Option<String>,
    /// The same as a struct: only in checkpoints.
    #[serde(default, rename = "stats_parsed", skip_serializing)]
    pub stats_parsed: Option<Json>,
    /// Whatever its writer said of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<IndexMap<String, Option<String>>>,
    /// Its deleted rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_vector: Option<DeletionVector>,
    /// Row tracking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_row_id: Option<i64>,
    /// Row tracking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_row_commit_version: Option<i64>,
    /// Clustering.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clustering_provider: Option<String>,
}

/// A file is no longer part of the table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Remove {
    /// As in [`Add`].
    pub path: String,
    /// In milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_timestamp: Option<i64>,
    /// Whether rows leave the table.
    #[serde(default)]
    pub data_change: bool,
    /// Whether the fields below are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extended_file_metadata: Option<bool>,
    /// As in [`Add`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition_values: Option<IndexMap<String, Option<String>>>,
    /// In bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<i64>,
    /// As in [`Add`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_vector: Option<DeletionVector>,
    /// As in [`Add`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_row_id: Option<i64>,
    /// As in [`Add`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_row_commit_version: Option<i64>,
}

/// A file of the change data feed: the rows that a version changed, with `_change_type` (the protocol's section "Add CDC File"). A version that has such files
/// is read from them alone by who follows changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cdc {
    /// As in [`Add`].
    pub path: String,
    /// As in [`Add`].
    #[serde(default)]
    pub partition_values: IndexMap<String, Option<String>>,
    /// In bytes.
    pub size: i64,
    /// Always false: the rows of the table change by its other files.
    #[serde(default)]
    pub data_change: bool,
}

/// How far an application has written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Txn {
    /// Which.
    pub app_id: String,
    /// How far.
    pub version: i64,
    /// In milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_updated: Option<i64>,
}

/// A file with actions of a version 2 checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sidecar {
    /// Its name in `_delta_log/_sidecars`.
    pub path: String,
}

/// What identifies a file in the state of a table: its path (decoded) and its deletion vector.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileKey(String, Option<DeletionVector>);

impl Add {
    /// What identifies it.
    pub fn key(&self) -> FileKey {
        FileKey(percent_decode(&self.path), self.deletion_vector.clone())
    }

    /// The action that takes it out of the table.
    pub fn removal(&self, now: i64, data_change: bool) -> Remove {
        Remove {
            path: self.path.clone(),
            deletion_timestamp: Some(now),
            data_change,
            extended_file_metadata: Some(true),
            partition_values: Some(self.partition_values.clone()),
            size: Some(self.size),
            deletion_vector: self.deletion_vector.clone(),
            base_row_id: self.base_row_id,
            default_row_commit_version: self.default_row_commit_version,
        }
    }

    /// The number of its rows that are in the table, where the statistics say it.
    pub fn rows(&self) -> Option<u64> {
        let physical = self.physical_rows()?;
        Some(physical.saturating_sub(self.deletion_vector.as_ref().map_or(0, |d| d.cardinality)))
    }

    /// The number of rows in the file, where the statistics say it.
    pub fn physical_rows(&self) -> Option<u64> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Rows {
            num_records: Option<u64>,
        }
        serde_json::from_str::<Rows>(self.stats.as_deref()?).ok()?.num_records
    }
}

impl Remove {
    /// What identifies the file.
    pub fn key(&self) -> FileKey {
        FileKey(percent_decode(&self.path), self.deletion_vector.clone())
    }
}

/// One line of the log, or one row of a checkpoint.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// A file comes.
    pub add: Option<Add>,
    /// A file goes.
    pub remove: Option<Remove>,
    /// A file tells what changed.
    pub cdc: Option<Cdc>,
    /// What the table is.
    pub meta_data: Option<Metadata>,
    /// What it asks for.
    pub protocol: Option<Protocol>,
    /// How far an application is.
    pub txn: Option<Txn>,
    /// Who did it, and why.
    pub commit_info: Option<Json>,
    /// Further actions of a checkpoint.
    pub sidecar: Option<Sidecar>,
}

/// The actions of one version.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Commit {
    /// The version.
    pub version: u64,
    /// Files that come.
    pub adds: Vec<Add>,
    /// Files that go.
    pub removes: Vec<Remove>,
    /// Files that tell what changed. Where there are any, they tell all of it; none: that follows from those that come and go.
    pub cdcs: Vec<Cdc>,
    /// What the table is from here on.
    pub metadata: Option<Metadata>,
    /// What it asks for from here on.
    pub protocol: Option<Protocol>,
    /// Applications that wrote.
    pub txns: Vec<Txn>,
    /// Who did it, and why.
    pub info: Option<Json>,
}

impl Commit {
    /// Reads the lines of a commit.
    pub fn parse(version: u64, bytes: &[u8]) -> Result<Commit, StorageError> {
        let mut commit = Commit { version, ..Commit::default() };
        for (number, line) in bytes.split(|b| *b == b'\n').enumerate() {
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let line: Line = serde_json::from_slice(line).map_err(|e| {
                StorageError::Damaged(format!("version {version} of the log, line {}: {e}", number + 1))
            })?;
            commit.take(line);
        }
        Ok(commit)
    }

    fn take(&mut self, line: Line) {
        self.adds.extend(line.add);
        self.removes.extend(line.remove);
        self.cdcs.extend(line.cdc);
        self.txns.extend(line.txn);
        self.metadata = line.meta_data.or(self.metadata.take());
        self.protocol = line.protocol.or(self.protocol.take());
        self.info = line.commit_info.or(self.info.take());
    }

    /// Whether it updates or deletes rows.
    pub fn changes_rows(&self) -> bool {
        self.removes.iter().any(|remove| remove.data_change)
    }

    fn info_text(&self, key: &str) -> Option<&str> {
        self.info.as_ref()?.get(key)?.as_str()
    }

    /// What it was: `WRITE`, `DELETE`, `OPTIMIZE`, …
    pub fn operation(&self) -> &str {
        self.info_text("operation").unwrap_or("unknown operation")
    }

    /// Milliseconds, by the writer's clock.
    pub fn timestamp(&self) -> Option<i64> {
        let info = self.info.as_ref()?;
        info.get("inCommitTimestamp").or_else(|| info.get("timestamp"))?.as_i64()
    }

    /// The identity of the attempt that made it.
    pub fn transaction_id(&self) -> Option<&str> {
        self.info_text("txnId")
    }

    /// For messages: `version 4 (DELETE at 2026-01-01 10:00:00 UTC)`.
    pub fn describe(&self) -> String {
        format!("version {} ({})", self.version, self.label())
    }

    /// What it was, and when: `DELETE at 2026-01-01 10:00:00 UTC`.
    pub fn label(&self) -> String {
        let time = self.timestamp().and_then(chrono::DateTime::from_timestamp_millis);
        let time = time.map(|t| format!(" at {}", t.format("%Y-%m-%d %H:%M:%S UTC"))).unwrap_or_default();
        format!("{}{time}", self.operation())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_actions_are_passed_over() {
        let text = br#"{"commitInfo":{"operation":"WRITE","timestamp":0}}
{"somethingNew":{"a":1}}

{"add":{"path":"a%20b","partitionValues":{"p":null},"size":1,"modificationTime":2,"dataChange":true,"stats":"{\"numRecords\":7}","x":1}}
{"txn":{"appId":"a","version":3}}
{"cdc":{"path":"_change_data/c","size":9,"partitionValues":{"p":"1"},"dataChange":false}}
"#;
        let commit = Commit::parse(4, text).expect("parses");
        assert_eq!(commit.adds[0].rows(), Some(7));
        assert_eq!(commit.adds[0].partition_values["p"], None);
        assert_eq!(commit.txns[0].version, 3);
        assert_eq!((commit.cdcs[0].path.as_str(), commit.cdcs[0].size), ("_change_data/c", 9));
        assert_eq!(commit.describe(), "version 4 (WRITE at 1970-01-01 00:00:00 UTC)");
    }

    #[test]
    fn a_broken_line_is_named() {
        let error = Commit::parse(4, b"{}\n{\"add\":").expect_err("broken");
        assert!(error.to_string().contains("version 4 of the log, line 2"), "{error}");
    }
}
