//! State directories in memory, for runs that nobody goes on with once the process has ended: a page, a test. Each is the files of a root that no disk has.
//! Knows nothing of what the files mean.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The files of a directory, and whether a run uses it.
#[derive(Debug, Default)]
struct Files {
    files: BTreeMap<PathBuf, Arc<[u8]>>,
    locked: bool,
}

/// The directories that there are, by their roots.
static DIRECTORIES: Mutex<BTreeMap<PathBuf, Files>> = Mutex::new(BTreeMap::new());

static NEXT: AtomicU64 = AtomicU64::new(1);

/// A state directory that is gone with this value.
#[derive(Debug)]
pub struct MemoryState {
    root: PathBuf,
}

impl MemoryState {
    /// An empty one.
    #[expect(clippy::new_without_default, reason = "each is another one")]
    pub fn new() -> MemoryState {
        let root = PathBuf::from(format!("memory:{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        directories().insert(root.clone(), Files::default());
        MemoryState { root }
    }

    /// What [`crate::RunOptions::state_dir`] is to be.
    pub fn path(&self) -> &Path {
        &self.root
    }
}

impl Drop for MemoryState {
    fn drop(&mut self) {
        directories().remove(&self.root);
    }
}

fn directories() -> MutexGuard<'static, BTreeMap<PathBuf, Files>> {
    DIRECTORIES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does something with the files of the directory that a path is in; none: it is on disk.
fn within<T>(path: &Path, access: impl FnOnce(&mut Files) -> T) -> Option<T> {
    let mut directories = directories();
    let root = PathBuf::from(path.components().next()?.as_os_str());
    directories.get_mut(&root).map(access)
}

pub(super) fn is_here(path: &Path) -> bool {
    within(path, |_| ()).is_some()
}

pub(super) fn write(path: &Path, bytes: &[u8]) -> Option<()> {
    within(path, |found| drop(found.files.insert(path.to_path_buf(), bytes.into())))
}

pub(super) fn read(path: &Path) -> Option<io::Result<Arc<[u8]>>> {
    within(path, |found| found.files.get(path).cloned().ok_or(ErrorKind::NotFound.into()))
}

/// Removes a file, or all of a directory.
pub(super) fn remove(path: &Path) -> Option<io::Result<()>> {
    within(path, |found| {
        let before = found.files.len();
        found.files.retain(|file, _| !file.starts_with(path));
        if found.files.len() < before { Ok(()) } else { Err(ErrorKind::NotFound.into()) }
    })
}

/// The files and directories in a directory.
pub(super) fn list(directory: &Path) -> Option<Vec<PathBuf>> {
    within(directory, |found| {
        let inner = |file: &PathBuf| Some(directory.join(file.strip_prefix(directory).ok()?.components().next()?));
        let all: BTreeSet<PathBuf> = found.files.keys().filter_map(inner).collect();
        all.into_iter().collect()
    })
}

/// Says whether nobody else has locked the directory.
pub(super) fn lock(root: &Path) -> Option<bool> {
    within(root, |found| !std::mem::replace(&mut found.locked, true))
}

pub(super) fn unlock(root: &Path) {
    within(root, |found| found.locked = false);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::StateDir;

    #[test]
    fn it_is_a_state_directory_like_any_other() {
        let (memory, other) = (MemoryState::new(), MemoryState::new());
        let state = StateDir::open(memory.path()).unwrap();
        let mut checkpoint = state.checkpoint("p").unwrap();
        checkpoint.done = 3;
        state.save_checkpoint(&checkpoint).unwrap();
        assert_eq!(StateDir::open(memory.path()).unwrap_err().code, "R0404", "one run at a time");
        drop(state);
        assert_eq!(StateDir::open(memory.path()).unwrap().checkpoint("p").unwrap(), checkpoint);
        assert_eq!(StateDir::open(other.path()).unwrap().checkpoint("p").unwrap().done, 0);
        let root = memory.path().to_path_buf();
        assert!(is_here(&root.join("epochs/1.json")));
        drop(memory);
        assert!(!is_here(&root), "it is gone with its value");
    }

    #[test]
    fn files_are_listed_read_and_removed() {
        let memory = MemoryState::new();
        let at = |name: &str| memory.path().join(name);
        for name in ["b", "a/1", "a/2"] {
            write(&at(name), name.as_bytes()).unwrap();
        }
        assert_eq!(list(memory.path()).unwrap(), [at("a"), at("b")]);
        assert_eq!(list(&at("a")).unwrap(), [at("a/1"), at("a/2")]);
        assert_eq!(&*read(&at("b")).unwrap().unwrap(), b"b");
        remove(&at("a")).unwrap().unwrap();
        assert_eq!(read(&at("a/1")).unwrap().unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(remove(&at("a")).unwrap().unwrap_err().kind(), ErrorKind::NotFound);
    }
}
