//! A commit that updated or deleted rows: which rows of which files it is about. Knows the actions of a commit; reading files is [`crate::scan`]'s matter.

use super::{Mark, Piece};
use crate::codes;
use crate::log::{Add, Cdc, Commit, Remove, Snapshot};
use crate::scan::Scan;
use crate::storage::{Storage, percent_decode};
use flowc_runtime::RunError;
use indexmap::IndexMap;
use roaring::RoaringTreemap;
use std::sync::Arc;

/// What a commit that updated or deleted rows says of them. It is read as a whole: a row that changed is taken away and added in one epoch.
#[derive(Debug)]
pub struct Rewrite {
    /// For messages: version, operation, time.
    commit: Arc<str>,
    /// When it was made, in microseconds; zero where nobody asks.
    committed: i64,
    told: Told,
}

/// Where it says it.
#[derive(Debug)]
enum Told {
    /// In files of the change data feed.
    Feed(Vec<Add>),
    /// By what files there were and are, by path.
    Files(Vec<(Option<Add>, Option<Add>)>),
}

impl Rewrite {
    /// What a commit says. Of a removed file the log may say too little: then the version before must be there.
    pub(super) async fn of(
        storage: &Storage,
        what: &str,
        commit: Commit,
        committed: i64,
        partitioned: bool,
    ) -> Result<Rewrite, RunError> {
        let (version, name): (_, Arc<str>) = (commit.version, commit.describe().into());
        let told = if commit.cdcs.is_empty() {
            let removes: Vec<Remove> = commit.removes.into_iter().filter(|r| r.data_change).collect();
            let little = |r: &Remove| r.size.is_none() || (partitioned && r.partition_values.is_none());
            let before = if removes.iter().any(little) {
                let before = version.checked_sub(1);
                let unknown = |why: String| unknown(what, &name, &why);
                let before = before.ok_or_else(|| unknown("there is no version before it".into()))?;
                Some(Snapshot::load(storage, Some(before)).await.map_err(|e| unknown(e.to_string()))?)
            } else {
                None
            };
            let mut files: IndexMap<String, (Option<Add>, Option<Add>)> = IndexMap::new();
            for remove in removes {
                let file = match before.as_ref().and_then(|b| b.files.get(&remove.key())) {
                    Some(file) => Add { stats: None, ..file.as_ref().clone() },
                    None => held(&remove).ok_or_else(|| {
                        unknown(what, &name, &format!("the version before it has no file {}", remove.path))
                    })?,
                };
                files.entry(percent_decode(&remove.path)).or_default().0 = Some(file);
            }
            for add in commit.adds.into_iter().filter(|a| a.data_change) {
                let path = percent_decode(&add.path);
                files.entry(path).or_default().1 = Some(add);
            }
            Told::Files(files.into_values().collect())
        } else {
            Told::Feed(commit.cdcs.into_iter().map(feed_file).collect())
        };
        Ok(Rewrite { commit: name, committed, told })
    }

    /// How many files are read.
    pub(super) fn files(&self) -> u64 {
        match &self.told {
            Told::Feed(files) => files.len() as u64,
            Told::Files(files) => {
                let read =
                    |(old, new): &(Option<Add>, Option<Add>)| u64::from(old.is_some()) + u64::from(new.is_some());
                files.iter().map(read).sum()
            }
        }
    }

    /// How many bytes are read, about. Of a file that got another deletion vector it is those of the vector.
    pub(super) fn bytes(&self) -> u64 {
        let size = |add: &Add| add.size.max(0) as u64;
        let vector = |add: &Add| add.deletion_vector.as_ref().map_or(0, |v| v.size_in_bytes);
        match &self.told {
            Told::Feed(files) => files.iter().map(size).sum(),
            Told::Files(files) => {
                let read = |pair: &(Option<Add>, Option<Add>)| match pair {
                    (Some(old), Some(new)) => vector(old) + vector(new),
                    (old, new) => old.iter().chain(new).map(size).sum(),
                };
                files.iter().map(read).sum()
            }
        }
    }

    /// About how many rows come out, or more: those that are carried along are among them.
    pub(super) fn about_rows(&self) -> u64 {
        let deleted = |add: &Add| add.deletion_vector.as_ref().map_or(0, |v| v.cardinality);
        match &self.told {
            Told::Feed(files) => files.iter().map(super::about_rows).sum(),
            Told::Files(files) => {
                let rows = |pair: &(Option<Add>, Option<Add>)| match pair {
                    (Some(old), Some(new)) => deleted(old).abs_diff(deleted(new)),
                    (old, new) => old.iter().chain(new).map(super::about_rows).sum(),
                };
                files.iter().map(rows).sum()
            }
        }
    }

    /// What is to be said of the rows of a piece.
    pub(super) fn mark(&self, piece: &Piece) -> Mark {
        Mark {
            weight: piece.weight,
            times: 1,
            rows: None,
            committed: self.committed,
            commit: Some(Arc::clone(&self.commit)),
        }
    }

    /// The rows that it takes away and adds; some of them may be the same.
    pub(super) async fn pieces(&self, scan: &Scan) -> Result<Vec<Piece>, RunError> {
        let piece =
            |add: &Add, rows, weight| Piece { add: add.clone(), rows, weight, commit: Arc::clone(&self.commit) };
        let files = match &self.told {
            Told::Feed(files) => return Ok(files.iter().map(|file| piece(file, None, None)).collect()),
            Told::Files(files) => files,
        };
        let mut pieces = vec![];
        for pair in files {
            match pair {
                (Some(old), Some(new)) => {
                    if old.deletion_vector == new.deletion_vector || !scan.keeps(new) {
                        continue;
                    }
                    let (before, after) = (self.deleted(scan, old).await?, self.deleted(scan, new).await?);
                    for (rows, weight) in [(&after - &before, -1), (&before - &after, 1)] {
                        if !rows.is_empty() {
                            pieces.push(piece(new, Some(rows), Some(weight)));
                        }
                    }
                }
                (Some(old), None) => pieces.push(piece(old, None, Some(-1))),
                (None, Some(new)) => pieces.push(piece(new, None, Some(1))),
                (None, None) => {}
            }
        }
        Ok(pieces)
    }

    async fn deleted(&self, scan: &Scan, add: &Add) -> Result<RoaringTreemap, RunError> {
        match &add.deletion_vector {
            Some(vector) => scan.deleted(vector).await.map_err(|e| super::gone(e, scan, &self.commit)),
            None => Ok(RoaringTreemap::new()),
        }
    }
}

/// Pieces that may have rows in common: those of a partition, by the physical names of the partition columns.
pub(super) fn groups(pieces: impl Iterator<Item = Arc<Piece>>, partitions: &[String]) -> Vec<Vec<Arc<Piece>>> {
    let mut groups: IndexMap<Vec<Option<String>>, Vec<Arc<Piece>>> = IndexMap::new();
    for piece in pieces {
        let value = |name: &String| piece.add.partition_values.get(name).cloned().flatten().filter(|v| !v.is_empty());
        groups.entry(partitions.iter().map(value).collect()).or_default().push(piece);
    }
    groups.into_values().collect()
}

/// The file that a removal is about, where it says enough.
fn held(remove: &Remove) -> Option<Add> {
    Some(Add {
        path: remove.path.clone(),
        partition_values: remove.partition_values.clone().unwrap_or_default(),
        size: remove.size?,
        modification_time: 0,
        data_change: true,
        stats: None,
        stats_parsed: None,
        tags: None,
        deletion_vector: remove.deletion_vector.clone(),
        base_row_id: None,
        default_row_commit_version: None,
        clustering_provider: None,
    })
}

/// A file of the change data feed, to be read as a data file.
fn feed_file(cdc: Cdc) -> Add {
    Add {
        path: cdc.path,
        partition_values: cdc.partition_values,
        size: cdc.size,
        modification_time: 0,
        data_change: false,
        stats: None,
        stats_parsed: None,
        tags: None,
        deletion_vector: None,
        base_row_id: None,
        default_row_commit_version: None,
        clustering_provider: None,
    }
}

fn unknown(what: &str, commit: &str, why: &str) -> RunError {
    let message = format!("{what}: what {commit} removed is not known: its log does not say it, and {why}");
    RunError::data(codes::CHANGES_UNKNOWN, message).help(
        "the rows of removed files can only be told from the version before: run with --full-refresh to compute everything again from the table as it is now, \
         and more often than the log is cleaned (delta.logRetentionDuration)",
    )
}
