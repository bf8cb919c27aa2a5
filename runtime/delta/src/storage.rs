//! Where a table lies: its object store, and the log store that decides who wins a version. Knows nothing of what the files mean.

use crate::codes;
use deltalake::logstore::object_store::path::Path;
use deltalake::logstore::object_store::{self, ObjectStore, ObjectStoreExt};
use deltalake::logstore::{LogStoreRef, StorageConfig, logstore_for};
use flowc_runtime::RunError;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use url::Url;

/// Why storage could not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// The location is no path or URL, or of a kind that this build cannot reach.
    #[error("{0}")]
    Location(String),
    /// There is no such object.
    #[error("{0} does not exist")]
    Missing(String),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
    /// The log cannot be understood: what is wrong with it.
    #[error("{0}")]
    Damaged(String),
    /// The table has no such version; the oldest and the newest that can be read.
    #[error("there is no such version: the log has versions {oldest} to {newest}")]
    NoSuchVersion {
        /// The oldest that can be read.
        oldest: u64,
        /// The newest.
        newest: u64,
    },
    /// There is no log at all.
    #[error("there is no Delta table")]
    NoTable,
}

impl From<object_store::Error> for StorageError {
    fn from(error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { path, .. } => StorageError::Missing(path),
            other => StorageError::Failed(one_line(&other)),
        }
    }
}

/// An error with its causes, in one line.
pub fn one_line(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text.replace('\n', " ")
}

impl StorageError {
    /// As the failure of reading the table `what`.
    pub fn reading(self, what: &str) -> RunError {
        let message = format!("{what}: {self}");
        match self {
            StorageError::NoTable => RunError::data(codes::NOT_A_TABLE, message),
            StorageError::NoSuchVersion { oldest, newest } => RunError::data(codes::NO_SUCH_VERSION, message)
                .help(format!("versions {oldest} to {newest} can be read")),
            StorageError::Damaged(_) => RunError::world(codes::DAMAGED_LOG, message)
                .help("the table's files must be restored, or the table written anew, before it can be used"),
            _ => RunError::world(codes::CANNOT_READ, message)
                .help("nothing was committed; run again when storage can be reached"),
        }
    }

    /// As the failure of writing the table `what`.
    pub fn writing(self, what: &str) -> RunError {
        match self {
            StorageError::Location(_) | StorageError::Missing(_) | StorageError::Failed(_) => {
                RunError::world(codes::CANNOT_WRITE, format!("{what}: {self}"))
                    .help("nothing of the epoch was committed; run again when storage can be written")
            }
            other => other.reading(what),
        }
    }
}

/// A table's place.
#[derive(Clone)]
pub struct Storage {
    location: String,
    log_store: LogStoreRef,
    /// The table's directory, where it lies in the local file system.
    directory: Option<PathBuf>,
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Storage({})", self.location)
    }
}

/// The URL of a location: a URL, or a path of the local file system.
pub fn location_url(location: &str) -> Result<Url, StorageError> {
    let bad = |why: String| StorageError::Location(format!("`{location}` is not a location: {why}"));
    if location.contains("://") {
        return Url::parse(location).map_err(|e| bad(e.to_string()));
    }
    let path = std::path::absolute(location).map_err(|e| bad(e.to_string()))?;
    Url::from_directory_path(without_parents(&path)).map_err(|()| bad("it cannot be made absolute".into()))
}

/// The path without `..`, which object stores refuse: as the file system has it where it exists, by its text where it does not yet.
fn without_parents(path: &std::path::Path) -> std::path::PathBuf {
    use std::path::Component;
    if !path.components().any(|c| c == Component::ParentDir) {
        return path.to_path_buf();
    }
    std::fs::canonicalize(path).unwrap_or_else(|_| {
        path.components().fold(std::path::PathBuf::new(), |mut done, component| {
            match component {
                Component::ParentDir => drop(done.pop()),
                other => done.push(other),
            }
            done
        })
    })
}

impl Storage {
    /// The place that a path or URL names. Nothing is read.
    pub fn open(location: &str) -> Result<Storage, StorageError> {
        let url = location_url(location)?;
        let log_store = logstore_for(&url, StorageConfig::default()).map_err(|e| match e {
            deltalake::DeltaTableError::InvalidTableLocation(_) => StorageError::Location(format!(
                "`{location}`: this flowc cannot reach `{}://` (it has: file)",
                url.scheme()
            )),
            other => StorageError::Location(format!("`{location}`: {}", one_line(&other))),
        })?;
        let directory = if url.scheme() == "file" { url.to_file_path().ok() } else { None };
        Ok(Storage { location: location.to_string(), log_store, directory })
    }

    /// A place given as a log store, for stores that no URL names.
    pub fn with_log_store(location: impl Into<String>, log_store: LogStoreRef) -> Storage {
        Storage { location: location.into(), log_store, directory: None }
    }

    /// As it was written.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// The log store.
    pub fn log_store(&self) -> &LogStoreRef {
        &self.log_store
    }

    /// The store whose root is the table.
    pub fn store(&self) -> Arc<dyn ObjectStore> {
        self.log_store.object_store(None)
    }

    /// The bytes of an object.
    pub async fn get(&self, path: &Path) -> Result<Vec<u8>, StorageError> {
        Ok(self.store().get(path).await?.bytes().await?.to_vec())
    }

    /// The bytes of an object, none if it is not there.
    pub async fn try_get(&self, path: &Path) -> Result<Option<Vec<u8>>, StorageError> {
        match self.get(path).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(StorageError::Missing(_)) => Ok(None),
            Err(other) => Err(other),
        }
    }

    /// A data file in the local file system, from the path that the log has for it; none where it lies elsewhere, or cannot be told to lie there.
    pub fn local(&self, log_path: &str) -> Option<PathBuf> {
        let directory = self.directory.as_ref().filter(|_| Url::parse(log_path).is_err())?;
        // As the store sees it: what it refuses is not looked for elsewhere.
        Path::parse(percent_decode(log_path)).ok().map(|path| directory.join(path.as_ref()))
    }

    /// The store and path of a data file, from the path that the log has for it: relative to the table, or absolute.
    pub fn resolve(&self, log_path: &str) -> Result<(Arc<dyn ObjectStore>, Path), StorageError> {
        let bad = |why: String| StorageError::Damaged(format!("the log names the file `{log_path}`: {why}"));
        let Ok(url) = Url::parse(log_path) else {
            let decoded = percent_decode(log_path);
            return Ok((self.store(), Path::parse(&decoded).map_err(|e| bad(e.to_string()))?));
        };
        let root = self.log_store.root_url();
        if url.scheme() != root.scheme() || url.host_str() != root.host_str() {
            return Err(bad("it lies in another store than the table".into()));
        }
        let path = Path::from_url_path(url.path()).map_err(|e| bad(e.to_string()))?;
        Ok((self.log_store.root_object_store(None), path))
    }
}

/// Decodes `%XX`; bytes that are not UTF-8 afterwards are left as they were.
pub fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let hex = bytes.get(i + 1..i + 3).and_then(|h| std::str::from_utf8(h).ok());
        match hex.and_then(|h| u8::from_str_radix(h, 16).ok()) {
            Some(byte) if bytes[i] == b'%' => {
                out.push(byte);
                i += 3;
            }
            _ => {
                out.push(bytes[i]);
                i += 1;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_string())
}

/// Encodes everything but what a URI's path may have, as the log wants its paths.
pub fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~/=!$&'()*+,;@".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_are_resolved_whether_the_place_exists_or_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().canonicalize().expect("it exists");
        std::fs::create_dir_all(root.join("a/b")).expect("folders");
        let url = |path: &str| location_url(&root.join(path).to_string_lossy()).expect("a location");
        let expected = |path: &str| Url::from_directory_path(root.join(path)).expect("absolute");
        assert_eq!(url("a/b/../../a"), expected("a"));
        assert_eq!(url("a/none/../../new"), expected("new"));
    }

    #[test]
    fn paths_survive_encoding() {
        for text in ["a=b c/é%20.parquet", "x=%2F", "plain", "ü", "100%"] {
            assert_eq!(percent_decode(&percent_encode(text)), text);
        }
        assert_eq!(percent_encode("p=a%20b"), "p=a%2520b");
    }

    #[test]
    fn unknown_schemes_are_refused_by_name() {
        let error = Storage::open("gopher://somewhere/x").expect_err("no such store");
        assert!(error.to_string().contains("gopher://"), "{error}");
    }
}
