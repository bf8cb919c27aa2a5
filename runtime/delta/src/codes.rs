//! The codes of the errors that this crate reports at run time. Each has a page in `docs/errors`; a test compares the two lists. Knows no storage.

/// There is no Delta table at the location.
pub const NOT_A_TABLE: &str = "R0221";
/// The version (or time) asked for does not exist.
pub const NO_SUCH_VERSION: &str = "R0222";
/// Rows of the source were updated or deleted.
pub const ROWS_CHANGED: &str = "R0223";
/// Versions that have not been read are no longer in the log.
pub const LOG_CLEANED: &str = "R0224";
/// The table's columns or protocol are no longer those that the program was compiled against.
pub const SOURCE_CHANGED: &str = "R0225";
/// The table uses protocol features that flowc cannot read.
pub const UNREADABLE: &str = "R0226";
/// A data file does not hold what the table's schema says.
pub const BAD_FILE: &str = "R0227";
/// The table was replaced by another one.
pub const TABLE_REPLACED: &str = "R0228";
/// A recorded position or range is not one of this source.
pub const BAD_POSITION: &str = "R0229";
/// A data file that the log names is gone.
pub const FILE_GONE: &str = "R0230";

/// The target has constraints or generated columns that the program does not know.
pub const TARGET_CHANGED: &str = "R0321";
/// The target's columns are not those that the program writes.
pub const TARGET_SCHEMA: &str = "R0322";
/// The target uses protocol features that flowc cannot write.
pub const UNWRITABLE: &str = "R0323";
/// The target only takes further rows.
pub const APPEND_ONLY: &str = "R0324";
/// Another writer changed the target's metadata or protocol meanwhile.
pub const METADATA_CONFLICT: &str = "R0325";
/// Another writer added or removed rows that an overwrite would have replaced.
pub const OVERWRITE_CONFLICT: &str = "R0326";
/// Other writers were faster, again and again.
pub const TOO_MANY_CONFLICTS: &str = "R0327";
/// The table cannot be created with these properties.
pub const BAD_PROPERTY: &str = "R0328";
/// A value cannot stand in the log as a partition's.
pub const BAD_PARTITION_VALUE: &str = "R0329";
/// Another writer changed rows that were being replayed.
pub const REPLAY_CONFLICT: &str = "R0330";

/// What a version changed cannot be read any more: its files were vacuumed.
pub const CHANGES_GONE: &str = "R0361";
/// The log does not say what a version changed.
pub const CHANGES_UNKNOWN: &str = "R0362";

/// Storage cannot be read.
pub const CANNOT_READ: &str = "R0521";
/// Storage cannot be written.
pub const CANNOT_WRITE: &str = "R0522";
/// The table's log is damaged.
pub const DAMAGED_LOG: &str = "R0523";
/// It is not known whether a commit took place.
pub const UNKNOWN_OUTCOME: &str = "R0524";

/// All of them, with their titles.
pub const ALL: &[(&str, &str)] = &[
    (NOT_A_TABLE, "no Delta table at the location"),
    (NO_SUCH_VERSION, "this version does not exist"),
    (ROWS_CHANGED, "rows of a source were updated or deleted"),
    (LOG_CLEANED, "versions that were not read yet are gone"),
    (SOURCE_CHANGED, "a source is no longer what the program was compiled against"),
    (UNREADABLE, "the table uses features that flowc cannot read"),
    (BAD_FILE, "a data file does not hold what its table says"),
    (TABLE_REPLACED, "a source was replaced by another table"),
    (BAD_POSITION, "a recorded position does not belong to this source"),
    (FILE_GONE, "a data file is gone"),
    (TARGET_CHANGED, "the target has constraints that the program does not know"),
    (TARGET_SCHEMA, "the target's columns are not those that are written"),
    (UNWRITABLE, "the target uses features that flowc cannot write"),
    (APPEND_ONLY, "the target only takes further rows"),
    (METADATA_CONFLICT, "another writer changed the target's metadata"),
    (OVERWRITE_CONFLICT, "another writer changed rows that were to be replaced"),
    (TOO_MANY_CONFLICTS, "other writers were faster, again and again"),
    (BAD_PROPERTY, "a table cannot be created with this property"),
    (BAD_PARTITION_VALUE, "a value cannot be a partition's"),
    (REPLAY_CONFLICT, "another writer changed rows that were being replayed"),
    (CHANGES_GONE, "what a version changed is gone"),
    (CHANGES_UNKNOWN, "what a version changed is not known"),
    (CANNOT_READ, "storage cannot be read"),
    (CANNOT_WRITE, "storage cannot be written"),
    (DAMAGED_LOG, "the table's log is damaged"),
    (UNKNOWN_OUTCOME, "it is not known whether a commit took place"),
];

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn every_code_has_its_page() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors");
        for (code, title) in ALL {
            let page = std::fs::read_to_string(format!("{folder}/{code}.md")).expect("a page");
            assert_eq!(page.lines().next(), Some(format!("# {code}: {title}").as_str()));
            assert!(page.contains("\n## How to go on\n"), "{code}");
        }
    }

    #[test]
    fn codes_are_listed_once() {
        let mut codes: Vec<_> = ALL.iter().map(|(code, _)| code).collect();
        codes.sort();
        codes.dedup();
        assert_eq!(codes.len(), ALL.len());
    }
}
