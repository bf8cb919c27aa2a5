//! Whether an epoch can still be committed behind the commits of others: a pure decision over what they did.

use crate::codes;
use crate::log::Commit;
use flowc_ir::plan::SinkMode;

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

/// What a commit of another writer means for an epoch of `application` in this mode.
pub fn decide(mode: &SinkMode, application: &str, epoch: i64, commit: &Commit) -> Decision {
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
    if *mode == SinkMode::Overwrite {
        if commit.adds.iter().any(|a| a.data_change) {
            return conflict(codes::OVERWRITE_CONFLICT, "added rows that would be overwritten unseen");
        }
        if commit.removes.iter().any(|r| r.data_change) {
            return conflict(codes::OVERWRITE_CONFLICT, "removed rows that would be overwritten");
        }
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
            for (mode, expected) in [(SinkMode::Append, append), (SinkMode::Overwrite, overwrite)] {
                let got = match decide(&mode, "me", 3, &commit(lines)) {
                    Decision::Retry => "retry",
                    Decision::Already => "already",
                    Decision::Conflict(code, _) => code,
                };
                assert_eq!(got, expected, "{mode:?} behind {lines}");
            }
        }
    }
}
