//! The rows that a replay takes out of its table: the files of the version that it read. Others may have written to the table since: files that came later
//! stay, files that were only moved (OPTIMIZE) are followed, and what someone else changed is a conflict. Decides only; reads nothing.

use crate::log::actions::FileKey;
use crate::log::{Add, Commit, Snapshot};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where a replay has read its rows.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Read {
    /// The version.
    pub version: u64,
    /// The table's identity.
    pub table: String,
}

/// What is left of the rows of an earlier version.
#[derive(Debug, Clone, PartialEq)]
pub enum Left {
    /// These files hold them, and nothing else.
    Files(Vec<Arc<Add>>),
    /// None of them is in the table any more.
    Gone(String),
    /// Some were changed or mixed with others: by this commit.
    Changed(String),
}

/// How many rows the files of a version hold, where the statistics say it.
pub fn rows(read: &Snapshot) -> Option<u64> {
    read.files.values().map(|f| f.rows()).sum()
}

/// What is left of the rows of `read` in `now`; `commits` are those between.
pub fn left(read: &Snapshot, now: &Snapshot, commits: &[Commit]) -> Left {
    let mut files: BTreeMap<FileKey, Arc<Add>> = read.files.clone();
    let mut changed: Option<String> = None;
    for commit in commits {
        let removed: Vec<FileKey> = commit.removes.iter().map(|r| r.key()).collect();
        if !removed.iter().any(|key| files.contains_key(key)) {
            continue;
        }
        let only_moved = commit.removes.iter().all(|r| !r.data_change) && commit.adds.iter().all(|a| !a.data_change);
        if only_moved && removed.iter().all(|key| files.contains_key(key)) {
            removed.iter().for_each(|key| drop(files.remove(key)));
            files.extend(commit.adds.iter().map(|a| (a.key(), Arc::new(a.clone()))));
        } else {
            // It may be undone by a later commit: what counts is what the table holds now.
            changed.get_or_insert_with(|| commit.describe());
        }
    }
    let missing = files.keys().filter(|key| !now.files.contains_key(key)).count();
    match (missing, changed) {
        (0, _) => Left::Files(files.into_values().collect()),
        (_, changed) => {
            let by = changed.unwrap_or_else(|| format!("a commit before version {}", now.version));
            if missing == files.len() { Left::Gone(by) } else { Left::Changed(by) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(path: &str, change: bool) -> String {
        format!(
            r#"{{"add":{{"path":"{path}","partitionValues":{{}},"size":1,"modificationTime":0,"dataChange":{change}}}}}"#
        )
    }

    fn remove(path: &str, change: bool) -> String {
        format!(r#"{{"remove":{{"path":"{path}","dataChange":{change}}}}}"#)
    }

    /// The table after commits, each a list of lines; the first two files are those that were read.
    fn after(commits: &[&[String]]) -> Left {
        let parse =
            |version: u64, lines: &[String]| Commit::parse(version, lines.join("\n").as_bytes()).expect("a commit");
        let mut read = Snapshot {
            version: 1,
            protocol: serde_json::from_str(r#"{"minReaderVersion":1,"minWriterVersion":2}"#).expect("a protocol"),
            metadata: Default::default(),
            txns: Default::default(),
            files: Default::default(),
        };
        read.apply(parse(1, &[add("a", true), add("b", true)]));
        let commits: Vec<Commit> = commits.iter().zip(2..).map(|(lines, version)| parse(version, lines)).collect();
        let mut now = read.clone();
        commits.iter().for_each(|c| now.apply(c.clone()));
        left(&read, &now, &commits)
    }

    fn names(left: Left) -> Vec<String> {
        match left {
            Left::Files(files) => files.iter().map(|f| f.path.clone()).collect(),
            other => vec![format!("{other:?}").split('(').next().unwrap_or_default().to_string()],
        }
    }

    #[test]
    fn what_others_did_meanwhile() {
        assert_eq!(names(after(&[])), ["a", "b"]);
        assert_eq!(names(after(&[&[add("c", true)]])), ["a", "b"], "rows that came later stay");
        let compacted = [remove("a", false), remove("b", false), add("ab", false)];
        assert_eq!(names(after(&[&compacted, &[add("c", true)]])), ["ab"], "moved rows are followed");
        let mixed = [remove("a", false), remove("c", false), add("ac", false)];
        assert_eq!(names(after(&[&[add("c", true)], &mixed])), ["Changed"], "mixed with later rows");
        let partly = [remove("a", true), add("a2", true)];
        assert_eq!(names(after(&[&partly])), ["Changed"]);
        let restored = [remove("a2", true), add("a", true)];
        assert_eq!(names(after(&[&partly, &restored])), ["a", "b"], "a change that was taken back");
        assert_eq!(names(after(&[&[remove("a", true), remove("b", true)]])), ["Gone"]);
    }
}
