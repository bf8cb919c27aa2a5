//! The codes of the errors of this crate's runs: each with a title, and a page in `docs/errors`. Codes are never reused and never change their meaning.
//! Rows have `R01..`, sources `R02..`, sinks `R03..`, the state `R04..`, storage `R05..`. Connectors of other crates have lists of their own.

/// A source or table is not what the program was last checked against. Reported by whoever compiles the program, before a run begins.
pub const CHANGED_SINCE_CHECKED: &str = "R0231";

/// A row is looked up in a version of a table that can no longer be read. Connectors report it, too, where they find out when they read it.
pub const VERSION_GONE: &str = "R0118";

/// Several rows are left for one key of a merge. Reported by every sink that merges.
pub const AMBIGUOUS_KEY: &str = "R0341";

/// A commit added two versions of a key's row that begin at the same time. Reported by every sink that keeps history.
pub const AMBIGUOUS_VERSION: &str = "R0342";
/// A table that rows of a changing stream are looked up in has changed.
pub const LOOKUP_MOVED: &str = "R0132";

/// A target has no such partition to compute again. Connectors report it where the target has no such column, or the column no such value.
pub const NO_SUCH_PARTITION: &str = "R0416";

/// A partition depends on what a step remembers.
pub const PARTITION_REMEMBERED: &str = "R0417";

/// The rows of a partition cannot be told from the others.
pub const NOT_APART: &str = "R0418";

/// All codes with their titles.
pub const ALL: &[(&str, &str)] = &[
    ("R0101", "a result does not fit its type"),
    ("R0102", "division by zero"),
    ("R0103", "a value cannot be converted"),
    ("R0104", "a function cannot take this value"),
    ("R0105", "a row breaks a constraint"),
    ("R0106", "a value that must not be null is null"),
    ("R0107", "a table is too large to look rows up in"),
    ("R0108", "an aggregate has too many groups"),
    ("R0109", "collected arrays are too long"),
    ("R0110", "what an aggregate collects does not fit in memory"),
    ("R0111", "a table that rows are looked up in does not fit in memory"),
    ("R0112", "a row fails a rule that stops the run"),
    ("R0113", "an epoch fails a rule that stops the run"),
    ("R0114", "rows failed a rule"),
    ("R0115", "what a rule with `unique` remembers does not fit in memory"),
    ("R0116", "what a windowed aggregate remembers does not fit in memory"),
    ("R0117", "what a join of streams, `dedup` or `top` remembers does not fit in memory"),
    (VERSION_GONE, "a row needs a version of a table that is gone"),
    ("R0141", "a record of a change does not say what happened"),
    ("R0142", "a row is taken away that is not there"),
    ("R0131", "what a step over rows that change remembers does not fit in memory"),
    (LOOKUP_MOVED, "a table that rows that change are looked up in has changed"),
    ("R0201", "the connector cannot be used in this way"),
    ("R0202", "a file changed after it was read"),
    ("R0203", "a column of a file does not have the type that was promised"),
    ("R0204", "a file is malformed"),
    ("R0205", "a value in a file does not have its column's type"),
    ("R0206", "a file is no Parquet file"),
    ("R0207", "a file lacks a column"),
    ("R0208", "a pattern of file names is wrong"),
    ("R0209", "a CSV option is not an ASCII character"),
    (CHANGED_SINCE_CHECKED, "a table is not what the program was last checked against"),
    ("R0301", "files have no partition columns"),
    ("R0302", "a sink needs a directory"),
    (AMBIGUOUS_KEY, "several rows are left for one key"),
    (AMBIGUOUS_VERSION, "two versions of a row begin at the same time"),
    ("R0401", "a target has epochs that the state does not know"),
    ("R0402", "a target lacks epochs that the state knows"),
    ("R0403", "the state belongs to another pipeline"),
    ("R0404", "another run uses the state"),
    ("R0405", "the state cannot be read"),
    ("R0406", "a source reads from another place than before"),
    ("R0407", "the program changed while an epoch was unfinished"),
    ("R0408", "what a step remembers was left by another form of it"),
    ("R0409", "the program changed while a replay was unfinished"),
    ("R0410", "a replay is not finished, and its state is not known"),
    ("R0411", "two replays of one table ran at the same time"),
    ("R0412", "the program has changed, and a run would lose what a step remembers"),
    ("R0413", "there is no such step to rebuild"),
    ("R0414", "there is no such sink to compute again"),
    ("R0415", "rows that are read again would be there twice"),
    (NO_SUCH_PARTITION, "there is no such partition to compute again"),
    (PARTITION_REMEMBERED, "a partition depends on what a step remembers"),
    (NOT_APART, "the rows of a partition cannot be told from the others"),
    ("R0501", "the state directory cannot be written"),
    ("R0502", "temporary files cannot be written"),
    ("R0503", "the console cannot be written"),
    ("R0504", "a file cannot be read"),
    ("R0505", "a file cannot be written"),
    ("R0901", "a mistake in flowc itself"),
];

#[cfg(test)]
mod tests {
    use super::ALL;
    use std::collections::BTreeSet;
    use std::path::Path;

    /// The codes between quotes in the source texts of a directory.
    fn used(directory: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                used(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let codes = text.split('"').filter(|t| t.len() == 5 && t.starts_with("R0"));
                found.extend(codes.filter(|c| c[1..].bytes().all(|b| b.is_ascii_digit())).map(str::to_string));
            }
        }
    }

    #[test]
    fn every_code_is_listed_and_has_a_page() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut found = BTreeSet::new();
        used(&root.join("src"), &mut found);
        let listed: BTreeSet<String> = ALL.iter().map(|(code, _)| code.to_string()).collect();
        assert_eq!(listed.len(), ALL.len(), "a code is listed twice");
        assert_eq!(found.difference(&listed).collect::<Vec<_>>(), Vec::<&String>::new(), "used, but not listed");
        for (code, title) in ALL {
            let page = root.join(format!("../../docs/errors/{code}.md"));
            let text = std::fs::read_to_string(&page).unwrap_or_default();
            assert_eq!(text.lines().next(), Some(format!("# {code}: {title}").as_str()), "{}", page.display());
            assert!(text.contains("How to go on"), "{code}");
        }
    }
}
