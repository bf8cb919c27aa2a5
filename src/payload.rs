//! A program inside an executable. `flowc build` copies its own executable and appends a payload; at start flowc looks for one at its own end. The layout:
//! the executable's bytes, the payload as JSON, its length (8 bytes, little endian), the magic. Knows nothing of what a program says.

use crate::exit::Failure;
use crate::lock::Place;
use crate::world::{Program, parse_params};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The last bytes of an executable with a program inside.
const MAGIC: &[u8; 16] = b"flowc program 1\n";
/// Payload length and magic.
const FOOTER: u64 = 8 + 16;

/// A program with all that it needs to run elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// The version of flowc that made it.
    pub flowc: String,
    /// The pipeline's name.
    pub name: String,
    /// The main program's file, one of `files`.
    pub main: String,
    /// Where relative locations start: an absolute directory.
    pub base: String,
    /// The texts of all files, by the path that the loader asks for; the main program first.
    pub files: IndexMap<String, String>,
    /// Values of params given when it was built.
    pub params: IndexMap<String, String>,
    /// The lock: what the tables were when it was built.
    #[serde(default)]
    pub lock: String,
}

impl Payload {
    /// The program inside, with further values for params.
    pub fn program(&self, params: &[String]) -> Result<Program, Failure> {
        let mut all = self.params.clone();
        all.extend(parse_params(params)?);
        Ok(Program {
            name: self.name.clone(),
            path: self.main.clone(),
            base: PathBuf::from(&self.base),
            params: all,
            files: Some(self.files.clone()),
            lock: Place::Inside(self.lock.clone()),
        })
    }

    /// The payload at the end of this file, if there is one.
    pub fn read(path: &Path) -> io::Result<Option<Payload>> {
        let mut file = File::open(path)?;
        let Some((start, length)) = Self::locate(&mut file)? else { return Ok(None) };
        file.seek(SeekFrom::Start(start))?;
        let mut json = vec![];
        file.take(length).read_to_end(&mut json)?;
        serde_json::from_slice(&json).map(Some).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
    }

    /// Where the payload begins and how long it is.
    fn locate(file: &mut File) -> io::Result<Option<(u64, u64)>> {
        let size = file.seek(SeekFrom::End(0))?;
        if size < FOOTER {
            return Ok(None);
        }
        file.seek(SeekFrom::Start(size - FOOTER))?;
        let mut footer = [0; FOOTER as usize];
        file.read_exact(&mut footer)?;
        let (length, magic) = footer.split_at(8);
        if magic != MAGIC {
            return Ok(None);
        }
        let length = u64::from_le_bytes(length.try_into().expect("the first part of the split has 8 bytes"));
        let start = size.checked_sub(FOOTER + length);
        start
            .map(|start| Some((start, length)))
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the program inside this executable is damaged"))
    }

    /// Writes `target`: the executable `runtime` (without a payload that it may have) and this payload, executable for all who may read it. It appears
    /// whole or not at all.
    pub fn write(&self, runtime: &Path, target: &Path) -> io::Result<()> {
        let mut from = File::open(runtime)?;
        let length = match Self::locate(&mut from)? {
            Some((start, _)) => start,
            None => from.seek(SeekFrom::End(0))?,
        };
        from.seek(SeekFrom::Start(0))?;
        let json = serde_json::to_vec(self)?;
        write_atomically(target, |to| {
            io::copy(&mut from.take(length), to)?;
            to.write_all(&json)?;
            to.write_all(&(json.len() as u64).to_le_bytes())?;
            to.write_all(MAGIC)?;
            make_executable(to)
        })
    }
}

/// Writes a file beside `target` and puts it in its place.
pub fn write_atomically(target: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let partial = target.with_file_name(format!(".{name}.{}.partial", std::process::id()));
    let written = File::create(&partial).and_then(|mut file| {
        fill(&mut file)?;
        file.sync_all()
    });
    let placed = written.and_then(|()| std::fs::rename(&partial, target));
    if placed.is_err() {
        let _ = std::fs::remove_file(&partial);
    }
    placed
}

#[cfg(unix)]
fn make_executable(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn make_executable(_file: &File) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload() -> Payload {
        let files = IndexMap::from([("a.flow".to_string(), "sink".to_string())]);
        let params = IndexMap::from([("n".to_string(), "1".to_string())]);
        Payload {
            flowc: "0.1.0".into(),
            name: "a".into(),
            main: "a.flow".into(),
            base: "/x".into(),
            files,
            params,
            lock: String::new(),
        }
    }

    #[test]
    fn a_payload_comes_back_and_is_replaced() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (runtime, first, second) = (dir.path().join("flowc"), dir.path().join("a"), dir.path().join("b"));
        std::fs::write(&runtime, b"machine code").expect("written");
        assert_eq!(Payload::read(&runtime).expect("read"), None);
        payload().write(&runtime, &first).expect("written");
        assert_eq!(Payload::read(&first).expect("read"), Some(payload()));
        let other = Payload { base: "/y".into(), ..payload() };
        other.write(&first, &second).expect("written");
        assert_eq!(Payload::read(&second).expect("read"), Some(other));
        assert_eq!(
            std::fs::metadata(&first).expect("there").len(),
            std::fs::metadata(&second).expect("there").len(),
            "the old payload was kept"
        );
    }

    #[test]
    fn a_damaged_payload_is_told() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("a");
        let mut bytes = b"code".to_vec();
        bytes.extend(1000u64.to_le_bytes());
        bytes.extend(MAGIC);
        std::fs::write(&path, bytes).expect("written");
        assert!(Payload::read(&path).is_err());
    }
}
