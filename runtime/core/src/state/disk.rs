//! How the state directory gets to its files: each access is a function here, so that tests can let it fail before it happened, after it, or half way. Knows
//! nothing of what the files mean.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Writes a file whole or not at all: into a temporary file beside it, synced, renamed, and the directory synced. `durable`: whether it is to outlive the
/// machine's next failure.
pub(crate) fn write(path: &Path, bytes: &[u8], durable: bool) -> io::Result<()> {
    around(Access::Write(bytes), path, || {
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
    around(Access::Read, path, || fs::read(path))
}

/// So many bytes of a file from here on, or fewer if it ends before; without `length` all of them.
pub(crate) fn read_part(path: &Path, offset: u64, length: Option<u64>) -> io::Result<Vec<u8>> {
    around(Access::Read, path, || {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        let there = file.metadata()?.len().saturating_sub(offset);
        let mut bytes = Vec::with_capacity(usize::try_from(length.unwrap_or(there).min(there)).unwrap_or(0));
        file.take(length.unwrap_or(u64::MAX)).read_to_end(&mut bytes)?;
        Ok(bytes)
    })
}

/// Removes a file, or a directory with all that it holds.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    around(Access::Remove, path, || if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) })
}

/// The files of a directory.
pub(crate) fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
    around(Access::Read, directory, || fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.path())).collect())
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
