//! The names in `_delta_log`, and reading commits by version. Knows which files there are, not what the table is.

use super::actions::Commit;
use crate::storage::{Storage, StorageError};
use deltalake::logstore::object_store::ObjectMeta;
use deltalake::logstore::object_store::path::Path;
use futures::TryStreamExt;
use std::collections::BTreeMap;

/// A file of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogFile {
    /// The commit of a version.
    Commit(u64),
    /// A whole checkpoint in one file (a version 2 one if it has a UUID).
    Checkpoint(u64),
    /// Part `1` of so many.
    CheckpointPart(u64, u32, u32),
}

/// What a name in `_delta_log` stands for; none for anything that readers pass over.
pub fn parse_name(name: &str) -> Option<LogFile> {
    let (digits, rest) = name.split_at_checked(20)?;
    let version: u64 = digits.parse().ok()?;
    let parts: Vec<&str> = rest.strip_prefix('.')?.split('.').collect();
    match parts.as_slice() {
        ["json"] => Some(LogFile::Commit(version)),
        ["checkpoint", "parquet"] => Some(LogFile::Checkpoint(version)),
        ["checkpoint", part, of, "parquet"] if part.len() == 10 && of.len() == 10 => {
            Some(LogFile::CheckpointPart(version, part.parse().ok()?, of.parse().ok()?))
        }
        ["checkpoint", uuid, "parquet" | "json"] if uuid.len() == 36 => Some(LogFile::Checkpoint(version)),
        _ => None,
    }
}

/// The commit file of a version.
pub fn commit_path(version: u64) -> Path {
    Path::from(format!("_delta_log/{version:020}.json"))
}

/// The commits and complete checkpoints that a listing shows.
#[derive(Debug, Default)]
pub struct Listing {
    /// The commits, with what storage knows of the files.
    pub commits: BTreeMap<u64, ObjectMeta>,
    /// Complete checkpoints: their files.
    pub checkpoints: BTreeMap<u64, Vec<Path>>,
}

impl Listing {
    /// Lists the log from a version on.
    pub async fn read(storage: &Storage, from: u64) -> Result<Listing, StorageError> {
        let folder = Path::from("_delta_log");
        // `-` sorts before `.`: everything of version `from` comes after it.
        let offset = Path::from(format!("_delta_log/{from:020}-"));
        let store = storage.store();
        let found: Result<Vec<ObjectMeta>, _> = store.list_with_offset(Some(&folder), &offset).try_collect().await;
        let mut files = match found.map_err(StorageError::from) {
            Ok(files) => files,
            Err(StorageError::Missing(_)) => vec![],
            Err(other) => return Err(other),
        };
        files.sort_by(|a, b| a.location.cmp(&b.location));
        Ok(Listing::of(files))
    }

    fn of(files: Vec<ObjectMeta>) -> Listing {
        let mut listing = Listing::default();
        let mut parts: BTreeMap<(u64, u32), Vec<Path>> = BTreeMap::new();
        for file in files {
            if file.location.parts().count() != 2 {
                continue;
            }
            match file.location.filename().and_then(parse_name) {
                Some(LogFile::Commit(version)) => {
                    listing.commits.insert(version, file);
                }
                Some(LogFile::Checkpoint(version)) => {
                    listing.checkpoints.insert(version, vec![file.location]);
                }
                Some(LogFile::CheckpointPart(version, _, of)) => {
                    parts.entry((version, of)).or_default().push(file.location);
                }
                None => {}
            }
        }
        for ((version, of), files) in parts {
            if files.len() == of as usize {
                listing.checkpoints.entry(version).or_insert(files);
            }
        }
        listing
    }

    /// The newest version.
    pub fn newest(&self) -> Option<u64> {
        let commit = self.commits.keys().next_back().copied();
        commit.max(self.checkpoints.keys().next_back().copied())
    }

    /// The oldest version that can be read: a checkpoint or version 0, with all commits after it.
    pub fn oldest(&self) -> Option<u64> {
        let newest = self.newest()?;
        let candidates = self.checkpoints.keys().copied().chain(self.commits.contains_key(&0).then_some(0));
        candidates.filter(|v| (v + 1..=newest).all(|n| self.commits.contains_key(&n))).min()
    }

    /// Times of the versions in microseconds, by the modification times of the commit files, made strictly increasing as the protocol's readers do.
    pub fn times(&self) -> Vec<(u64, i64)> {
        let mut times: Vec<(u64, i64)> = vec![];
        for (version, meta) in &self.commits {
            let time = meta.last_modified.timestamp_micros();
            let least = times.last().map_or(i64::MIN, |(_, t)| t + 1_000);
            times.push((*version, time.max(least)));
        }
        times
    }
}

/// Reads the commit of a version; none if there is none.
pub async fn read_commit(storage: &Storage, version: u64) -> Result<Option<Commit>, StorageError> {
    let bytes = storage.try_get(&commit_path(version)).await?;
    bytes.map(|bytes| Commit::parse(version, &bytes)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let v = "00000000000000000012";
        let uuid = "80a083e8-7026-4e79-81be-64bd76c43a11";
        assert_eq!(parse_name(&format!("{v}.json")), Some(LogFile::Commit(12)));
        assert_eq!(parse_name(&format!("{v}.checkpoint.parquet")), Some(LogFile::Checkpoint(12)));
        assert_eq!(parse_name(&format!("{v}.checkpoint.{uuid}.json")), Some(LogFile::Checkpoint(12)));
        assert_eq!(
            parse_name(&format!("{v}.checkpoint.0000000001.0000000003.parquet")),
            Some(LogFile::CheckpointPart(12, 1, 3))
        );
        for other in
            ["_last_checkpoint", "00000000000000000012.crc", "x.json", "00000000000000000012.13.compacted.json"]
        {
            assert_eq!(parse_name(other), None, "{other}");
        }
    }

    fn file(name: &str) -> ObjectMeta {
        let location = Path::from(format!("_delta_log/{name}"));
        ObjectMeta { location, last_modified: Default::default(), size: 1, e_tag: None, version: None }
    }

    #[test]
    fn incomplete_checkpoints_do_not_count() {
        let commits = (2..=4).map(|v| file(&format!("{v:020}.json")));
        let parts = ["00000000000000000002.checkpoint.0000000001.0000000002.parquet"].map(file);
        let listing = Listing::of(commits.clone().chain(parts.clone()).collect());
        assert_eq!((listing.oldest(), listing.newest()), (None, Some(4)));
        let second = file("00000000000000000002.checkpoint.0000000002.0000000002.parquet");
        let listing = Listing::of(commits.chain(parts).chain([second]).collect());
        assert_eq!((listing.oldest(), listing.newest()), (Some(2), Some(4)));
        assert_eq!(listing.times().iter().map(|t| t.1).collect::<Vec<_>>(), [0, 1000, 2000]);
    }
}
