//! Whether an epoch can still be committed behind the commits of others: a pure decision over what they did.

use super::partitions::{PartitionValues, Partitions};
use crate::codes;
use crate::log::Commit;

/// What to do about a commit that came first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It is no obstacle: commit behind it.
    Retry,
    /// It is this epoch's, by an earlier attempt.
    Already,
    /// It is one: code and reason.
    Conflict(&'static str, String),
}

/// What an epoch replaces, whatever is there.
#[derive(Debug, Clone, Copy)]
pub enum Replaces<'a> {
    /// Nothing.
    Nothing,
    /// All rows.
    All,
    /// The rows of these partitions.
    Partitions(&'a Partitions),
}

impl Replaces<'_> {
    /// Whether a file with these values is among what is replaced; where they are not known, it may be.
    fn concerns(&self, values: Option<&PartitionValues>) -> bool {
        match self {
            Replaces::Nothing => false,
            Replaces::All => true,
            Replaces::Partitions(partitions) => values.is_none_or(|values| partitions.hold(values)),
        }
    }
}

/// What a commit of another writer means for an epoch of `application` that replaces so much.
pub fn decide(replaces: Replaces<'_>, application: &str, epoch: i64, commit: &Commit) -> Decision {
    if commit.txns.iter().any(|t| t.app_id == application && t.version >= epoch) {
        return Decision::Already;
    }
    let conflict = |code, what: &str| Decision::Conflict(code, format!("{} {what}", commit.describe()));
    if commit.protocol.is_some() {
        return conflict(codes::METADATA_CONFLICT, "changed the table's protocol");
    }
    if commit.metadata.is_some() {
        return conflict(codes::METADATA_CONFLICT, "changed the table's columns, constraints or properties");
    }
    if commit.adds.iter().any(|a| a.data_change && replaces.concerns(Some(&a.partition_values))) {
        return conflict(codes::OVERWRITE_CONFLICT, "added rows that would be overwritten unseen");
    }
    if commit.removes.iter().any(|r| r.data_change && replaces.concerns(r.partition_values.as_ref())) {
        return conflict(codes::OVERWRITE_CONFLICT, "removed rows that would be overwritten");
    }
    Decision::Retry
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(lines: &str) -> Commit {
        Commit::parse(7, lines.as_bytes()).expect("a commit")
    }

    const ADD: &str = r#"{"add":{"path":"x","partitionValues":{},"size":1,"modificationTime":0,"dataChange":true}}"#;
    const COMPACTED: &str = r#"{"add":{"path":"x","partitionValues":{},"size":1,"modificationTime":0,"dataChange":false}}
{"remove":{"path":"y","dataChange":false}}"#;
    const DELETED: &str = r#"{"remove":{"path":"y","dataChange":true}}"#;
    const METADATA: &str = r#"{"metaData":{"id":"1","format":{"provider":"parquet","options":{}},"schemaString":"","partitionColumns":[]}}"#;
    const PROTOCOL: &str = r#"{"protocol":{"minReaderVersion":1,"minWriterVersion":2}}"#;
    const OTHER: &str = r#"{"txn":{"appId":"other","version":9}}"#;

    #[test]
    fn every_pair() {
        let cases = [
            (ADD, "retry", "R0326"),
            (COMPACTED, "retry", "retry"),
            (DELETED, "retry", "R0326"),
            (METADATA, "R0325", "R0325"),
            (PROTOCOL, "R0325", "R0325"),
            (OTHER, "retry", "retry"),
            (r#"{"txn":{"appId":"me","version":2}}"#, "retry", "retry"),
            (r#"{"txn":{"appId":"me","version":3}}"#, "already", "already"),
            (r#"{"txn":{"appId":"me","version":4}}"#, "already", "already"),
        ];
        for (lines, append, overwrite) in cases {
            let (unpartitioned, none) = (Partitions::all(), Partitions::default());
            let modes = [
                (Replaces::Nothing, append),
                (Replaces::All, overwrite),
                (Replaces::Partitions(&unpartitioned), overwrite),
                (Replaces::Partitions(&none), if lines == DELETED { overwrite } else { append }),
            ];
            for (number, (replaces, expected)) in modes.into_iter().enumerate() {
                let got = match decide(replaces, "me", 3, &commit(lines)) {
                    Decision::Retry => "retry",
                    Decision::Already => "already",
                    Decision::Conflict(code, _) => code,
                };
                assert_eq!(got, expected, "mode {number} behind {lines}");
            }
        }
    }
}
