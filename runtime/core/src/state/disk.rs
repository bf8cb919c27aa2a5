//! How the state directory gets to its files, on disk or in memory: each access is a function here, so that tests can let it fail before it happened, after it,
//! or half way. Knows nothing of what the files mean.

use super::memory;
use std::io;
use std::path::{Path, PathBuf};

/// Writes a file whole or not at all: into a temporary file beside it, synced, renamed, and the directory synced. `durable`: whether it is to outlive the
/// machine's next failure.
pub(crate) fn write(path: &Path, bytes: &[u8], durable: bool) -> io::Result<()> {
    around(Access::Write(bytes), path, || match memory::write(path, bytes) {
        Some(()) => Ok(()),
        None => files::write(path, bytes, durable),
    })
}

/// What the names of files begin with that are not yet what they will be, and of directories that nobody needs after the run.
pub(crate) const TEMPORARY: &str = ".tmp-";

/// Whether a file is one that was not written to its end: while no run writes, nobody needs it.
pub(crate) fn is_torn(file: &Path) -> bool {
    file.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(TEMPORARY))
}

/// The bytes of a file.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    around(Access::Read, path, || match memory::read(path) {
        Some(found) => found.map(|bytes| bytes.to_vec()),
        None => files::read(path),
    })
}

/// So many bytes of a file from here on, or fewer if it ends before; without `length` all of them.
pub(crate) fn read_part(path: &Path, offset: u64, length: Option<u64>) -> io::Result<Vec<u8>> {
    around(Access::Read, path, || match memory::read(path) {
        Some(found) => found.map(|bytes| {
            let from = usize::try_from(offset).map_or(bytes.len(), |from| from.min(bytes.len()));
            let most = length.and_then(|length| usize::try_from(length).ok()).unwrap_or(usize::MAX);
            bytes[from..bytes.len().min(from.saturating_add(most))].to_vec()
        }),
        None => files::read_part(path, offset, length),
    })
}

/// Removes a file, or a directory with all that it holds.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    around(Access::Remove, path, || memory::remove(path).unwrap_or_else(|| files::remove(path)))
}

/// The files of a directory.
pub(crate) fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
    around(Access::Read, directory, || memory::list(directory).map_or_else(|| files::list(directory), Ok))
}

/// Creates a directory where it is missing, and those that it is in.
pub(crate) fn create(directory: &Path) -> io::Result<()> {
    if memory::is_here(directory) { Ok(()) } else { files::create(directory) }
}

/// Whether there is a file or a directory.
pub(crate) fn exists(path: &Path) -> io::Result<bool> {
    match memory::list(path) {
        Some(within) => Ok(!within.is_empty() || memory::read(path).is_some_and(|found| found.is_ok())),
        None => files::exists(path),
    }
}

/// Held while a run uses a directory.
#[derive(Debug)]
pub(crate) enum Lock {
    /// The lock of a file.
    #[cfg(feature = "files")]
    File(std::fs::File),
    /// That of a directory in memory.
    Memory(PathBuf),
}

/// Locks a directory; none: another run has. An error says what could not be done.
pub(crate) fn lock(root: &Path) -> Result<Option<Lock>, (&'static str, io::Error)> {
    match memory::lock(root) {
        Some(free) => Ok(free.then(|| Lock::Memory(root.to_path_buf()))),
        None => files::lock(&root.join("lock")),
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        match self {
            // A process that was started meanwhile, and has not yet become another program, holds the file as well: closing it is not enough. What cannot be
            // unlocked is so when the process ends.
            #[cfg(feature = "files")]
            Lock::File(file) => drop(file.unlock()),
            Lock::Memory(root) => memory::unlock(root),
        }
    }
}

/// What an operating system does.
#[cfg(feature = "files")]
mod files {
    use super::{Lock, TEMPORARY};
    use std::fs::{self, File, TryLockError};
    use std::io::{self, Read, Seek, SeekFrom, Write};
    use std::path::{Path, PathBuf};

    pub(super) fn write(path: &Path, bytes: &[u8], durable: bool) -> io::Result<()> {
        let parent = path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(parent)?;
        file.write_all(bytes)?;
        // Unit tests do not lose power, and they write thousands of such files.
        let durable = durable && !cfg!(test);
        if durable {
            file.as_file().sync_all()?;
        }
        file.persist(path).map_err(|e| e.error)?;
        if durable { File::open(parent)?.sync_all() } else { Ok(()) }
    }

    pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    pub(super) fn read_part(path: &Path, offset: u64, length: Option<u64>) -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        let there = file.metadata()?.len().saturating_sub(offset);
        let mut bytes = Vec::with_capacity(usize::try_from(length.unwrap_or(there).min(there)).unwrap_or(0));
        file.take(length.unwrap_or(u64::MAX)).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn remove(path: &Path) -> io::Result<()> {
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
    }

    pub(super) fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
        fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.path())).collect()
    }

    pub(super) fn create(directory: &Path) -> io::Result<()> {
        fs::create_dir_all(directory)
    }

    pub(super) fn exists(path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    pub(super) fn lock(path: &Path) -> Result<Option<Lock>, (&'static str, io::Error)> {
        let file = File::options().create(true).truncate(false).write(true).open(path).map_err(|e| ("open", e))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock::File(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(e)) => Err(("lock", e)),
        }
    }
}

/// Without files there is nothing but memory.
#[cfg(not(feature = "files"))]
mod files {
    use super::Lock;
    use std::io::{self, ErrorKind};
    use std::path::{Path, PathBuf};

    fn none<T>() -> io::Result<T> {
        Err(io::Error::new(ErrorKind::Unsupported, "there are no files here"))
    }

    pub(super) fn write(_: &Path, _: &[u8], _durable: bool) -> io::Result<()> {
        none()
    }

    pub(super) fn read(_: &Path) -> io::Result<Vec<u8>> {
        none()
    }

    pub(super) fn read_part(_: &Path, _: u64, _: Option<u64>) -> io::Result<Vec<u8>> {
        none()
    }

    pub(super) fn remove(_: &Path) -> io::Result<()> {
        none()
    }

    pub(super) fn list(_: &Path) -> io::Result<Vec<PathBuf>> {
        none()
    }

    pub(super) fn create(_: &Path) -> io::Result<()> {
        none()
    }

    pub(super) fn exists(_: &Path) -> io::Result<bool> {
        none()
    }

    pub(super) fn lock(_: &Path) -> Result<Option<Lock>, (&'static str, io::Error)> {
        none().map_err(|e| ("lock", e))
    }
}

/// An access.
#[cfg_attr(not(test), expect(dead_code, reason = "only tests look at it"))]
pub(crate) enum Access<'a> {
    /// Nothing changes.
    Read,
    /// A file is written, with these bytes.
    Write(&'a [u8]),
    /// A file is removed.
    Remove,
}

#[cfg(not(test))]
fn around<T>(_: Access<'_>, _: &Path, access: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    access()
}

#[cfg(test)]
use faults::around;

/// Faults, for tests.
#[cfg(test)]
pub(crate) mod faults {
    use super::*;
    use std::cell::RefCell;
    use std::io::Write;
    use std::rc::Rc;

    /// What becomes of an access.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) enum Fault {
        /// It does not happen.
        Before,
        /// It happens, and the caller is told that it did not.
        After,
        /// Of what is written, half gets into the temporary file, which stays.
        Torn,
    }

    /// Is asked about each access of this thread.
    pub(crate) type Hook = Rc<dyn Fn(&Access<'_>, &Path) -> Option<Fault>>;

    thread_local! {
        static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
    }

    /// Asks this hook about the accesses of this thread from now on; none: they all happen.
    pub(crate) fn ask(hook: Option<Hook>) {
        HOOK.set(hook);
    }

    pub(super) fn around<T>(access: Access<'_>, path: &Path, happen: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let hook = HOOK.with_borrow(Clone::clone);
        let Some(fault) = hook.and_then(|hook| hook(&access, path)) else { return happen() };
        match (fault, access) {
            (Fault::After, _) => drop(happen()?),
            (Fault::Torn, Access::Write(bytes)) => {
                let parent = path.parent().unwrap_or(Path::new("."));
                let file = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(parent)?;
                let (mut file, _) = file.keep().map_err(|e| e.error)?;
                file.write_all(&bytes[..bytes.len() / 2])?;
            }
            _ => {}
        }
        Err(io::Error::other("an injected fault"))
    }
}
