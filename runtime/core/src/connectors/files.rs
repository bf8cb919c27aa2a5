//! Files as a stream and as a table: which there are, which are new, how they are cut into splits. Knows nothing of what is in a file: that is a [`Format`]'s
//! matter.
//!
//! A position is the list of the files read, each with size and time of change: a file is read once, whole. One that changes after it was read stops the
//! run, because its rows cannot be told apart any more.

use crate::connector::{BatchStream, EpochLimits, LookupTable, Part, PartStream, Position, Source, SourceRange, Split};
use crate::error::RunError;
use async_trait::async_trait;
use flowc_ir::Schema;
use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Component, Path};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// A file as it was when it was looked at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its path.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was last changed: microseconds since 1970-01-01T00:00:00Z.
    pub modified: i64,
}

/// What becomes of records that are no rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RowPolicy {
    /// They stop the run.
    Stop {
        /// How to go on.
        help: &'static str,
    },
    /// They are put aside; all records are judged by these columns.
    Aside(Schema),
}

impl RowPolicy {
    /// The columns that a record is judged by: those that are read, if nothing else is said.
    pub(crate) fn judged<'a>(&'a self, read: &'a Schema) -> &'a Schema {
        match self {
            RowPolicy::Stop { .. } => read,
            RowPolicy::Aside(judged) => judged,
        }
    }
}

/// What is in a file.
pub trait Format: Send + Sync + fmt::Debug {
    /// The splits of a file; the details are this format's matter, but an object, to which the file is added.
    fn splits(&self, path: &str) -> Result<Vec<Split>, RunError>;

    /// Reads a split of a file.
    fn read(&self, path: &str, split: &Split, batch_rows: usize) -> Result<PartStream, RunError>;
}

/// Files whose names match a glob.
#[derive(Debug)]
pub struct FileSource {
    glob: String,
    format: Arc<dyn Format>,
}

impl FileSource {
    /// The files that match; if it names a directory, those in it.
    pub fn new(glob: impl Into<String>, format: Arc<dyn Format>) -> Self {
        FileSource { glob: glob.into(), format }
    }

    fn splits_of(&self, files: &[FileEntry]) -> Result<Vec<Split>, RunError> {
        let mut splits = vec![];
        for file in files {
            unchanged(file)?;
            for mut split in self.format.splits(&file.path)? {
                split.detail = json!({ "path": file.path, "part": split.detail });
                splits.push(split);
            }
        }
        Ok(splits)
    }

    fn read_split(&self, split: &Split, batch_rows: usize) -> Result<PartStream, RunError> {
        let part = Split { detail: split.detail["part"].clone(), ..split.clone() };
        self.format.read(split.detail["path"].as_str().unwrap_or_default(), &part, batch_rows)
    }
}

/// The rows alone.
fn rows(parts: PartStream) -> BatchStream {
    let rows = |part| async move {
        match part {
            Part::Rows(batch) => Ok(Some(batch)),
            Part::Malformed(_) | Part::Skipped(_) => Ok(None),
        }
    };
    parts.try_filter_map(rows).boxed()
}

/// An error of reading a file.
pub(crate) fn unreadable(path: &str, error: impl fmt::Display) -> RunError {
    RunError::world("R0504", format!("`{path}` cannot be read: {error}"))
}

fn stat(path: &Path) -> Result<Option<FileEntry>, RunError> {
    let shown = path.display().to_string();
    let meta = match std::fs::metadata(path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(unreadable(&shown, e)),
    };
    let modified = meta.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
    let modified = modified.map_or(0, |d| d.as_micros() as i64);
    Ok(meta.is_file().then_some(FileEntry { path: shown, size: meta.len(), modified }))
}

/// Files that match, by name. Those whose name, or the name of a directory that the glob does not spell out, begins with `_` or `.` are none.
pub(crate) fn list(glob: &str) -> Result<Vec<FileEntry>, RunError> {
    let pattern = match Path::new(glob).is_dir() {
        true => format!("{}/*", glob::Pattern::escape(glob.trim_end_matches('/'))),
        false => glob.to_string(),
    };
    let bad = |e: &dyn fmt::Display| RunError::data("R0208", format!("`{glob}` is not a pattern of file names: {e}"));
    let spelled = Path::new(&pattern).components().take_while(|c| !is_pattern(c)).count();
    let mut files = vec![];
    for path in glob::glob(&pattern).map_err(|e| bad(&e))? {
        let path = path.map_err(|e| unreadable(&e.path().display().to_string(), e.error()))?;
        let hidden = |c: Component<'_>| c.as_os_str().to_string_lossy().starts_with(['_', '.']);
        if !path.components().skip(spelled).any(hidden) {
            files.extend(stat(&path)?);
        }
    }
    files.sort();
    Ok(files)
}

fn is_pattern(component: &Component<'_>) -> bool {
    component.as_os_str().to_string_lossy().contains(['*', '?', '['])
}

fn changed(path: &str) -> RunError {
    RunError::data(
        "R0202",
        format!("`{path}` changed after it was read: its rows cannot be told from those already taken"),
    )
    .help("write new rows to new files; to take the files as they are now, run with --full-refresh")
}

fn unchanged(file: &FileEntry) -> Result<(), RunError> {
    match stat(Path::new(&file.path))? {
        Some(now) if now == *file => Ok(()),
        Some(_) => Err(changed(&file.path)),
        None => Err(RunError::data("R0202", format!("`{}` is gone, but its rows are part of an epoch", file.path))
            .help("bring the file back, or run with --full-refresh")),
    }
}

fn files_of(position: Option<&Position>) -> Result<Vec<FileEntry>, RunError> {
    let Some(position) = position else { return Ok(vec![]) };
    serde_json::from_value(position.0["files"].clone())
        .map_err(|e| RunError::world("R0405", format!("the position of a source of files is damaged: {e}")))
}

fn position_of(files: &[FileEntry]) -> Position {
    Position(json!({ "files": files }))
}

fn count(files: usize) -> String {
    if files == 1 { "1 file".into() } else { format!("{files} files") }
}

#[async_trait]
impl Source for FileSource {
    async fn next_range(&self, from: Option<&Position>, limits: EpochLimits) -> Result<Option<SourceRange>, RunError> {
        let mut done = files_of(from)?;
        let known: BTreeMap<&str, &FileEntry> = done.iter().map(|f| (f.path.as_str(), f)).collect();
        let mut new = vec![];
        for file in list(&self.glob)? {
            match known.get(file.path.as_str()) {
                None => new.push(file),
                Some(known) if **known == file => {}
                Some(_) => return Err(changed(&file.path)),
            }
        }
        let (mut taken, mut bytes) = (0, 0);
        for file in &new {
            let over = |limit: Option<u64>, value: u64| limit.is_some_and(|l| value > l);
            if taken > 0 && (over(limits.files, taken + 1) || over(limits.bytes, bytes + file.size)) {
                break;
            }
            taken += 1;
            bytes += file.size;
        }
        new.truncate(taken as usize);
        if new.is_empty() {
            return Ok(None);
        }
        done.extend(new);
        done.sort();
        Ok(Some(SourceRange {
            from: from.cloned(),
            to: position_of(&done),
            text: count(taken as usize),
            rows: None,
            bytes: Some(bytes),
        }))
    }

    async fn splits(&self, range: &SourceRange) -> Result<Vec<Split>, RunError> {
        let before = files_of(range.from.as_ref())?;
        let new: Vec<FileEntry> = files_of(Some(&range.to))?.into_iter().filter(|f| !before.contains(f)).collect();
        self.splits_of(&new)
    }

    async fn read(&self, split: &Split, batch_rows: usize) -> Result<BatchStream, RunError> {
        Ok(rows(self.read_split(split, batch_rows)?))
    }

    async fn read_parts(&self, split: &Split, batch_rows: usize) -> Result<PartStream, RunError> {
        self.read_split(split, batch_rows)
    }
}

#[async_trait]
impl LookupTable for FileSource {
    async fn pin(&self) -> Result<Position, RunError> {
        Ok(position_of(&list(&self.glob)?))
    }

    async fn splits(&self, version: &Position) -> Result<Vec<Split>, RunError> {
        self.splits_of(&files_of(Some(version))?)
    }

    async fn read(&self, split: &Split, batch_rows: usize) -> Result<BatchStream, RunError> {
        Ok(rows(self.read_split(split, batch_rows)?))
    }
}
