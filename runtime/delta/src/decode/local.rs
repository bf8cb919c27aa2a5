//! A file of the local file system for readers of pages: read in windows, so that several columns share one open file and pages are slices of what was read.
//! Knows bytes; nothing of Parquet's form.

use bytes::{Buf, Bytes};
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes that are read at a time. Fewer, and system calls show; more, and what is read leaves the processor's cache before it is used.
const WINDOW: usize = 256 << 10;

/// A header of a page is mostly shorter than this.
const HEADER: usize = 256;

/// A file that several readers have places of their own in.
#[derive(Debug)]
pub struct Shared {
    file: Mutex<File>,
    length: u64,
}

impl Shared {
    /// An open file.
    pub fn new(file: File) -> std::io::Result<Arc<Shared>> {
        let length = file.metadata()?.len();
        Ok(Arc::new(Shared { file: Mutex::new(file), length }))
    }

    /// So many bytes, fewer at the end of the file. They are not written twice, as filling memory before it is read into would.
    fn read(&self, start: u64, length: usize) -> std::io::Result<Bytes> {
        let left = usize::try_from(self.length.saturating_sub(start)).unwrap_or(usize::MAX);
        let mut bytes = Vec::with_capacity(length.min(left));
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(start))?;
        (&mut *file).take(bytes.capacity() as u64).read_to_end(&mut bytes)?;
        Ok(bytes.into())
    }
}

/// A file of which one column chunk is read, from its beginning to its end.
#[derive(Debug)]
pub struct Window {
    file: Arc<Shared>,
    /// Where the chunk ends: nothing is read beyond it ahead of time.
    end: u64,
    /// Where the last window begins, and its bytes.
    last: Mutex<(u64, Bytes)>,
}

impl Window {
    /// Nothing is read yet. `end`: of the chunk.
    pub fn new(file: Arc<Shared>, end: u64) -> Window {
        Window { file, end, last: Mutex::default() }
    }

    /// At least so many bytes from a place on, fewer at the end of the file.
    fn from(&self, start: u64, least: usize) -> Result<Bytes> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let within = start.checked_sub(last.0).and_then(|at| usize::try_from(at).ok());
        if let Some(at) = within.filter(|at| last.1.len().checked_sub(*at).is_some_and(|left| left >= least)) {
            return Ok(last.1.slice(at..));
        }
        let ahead = usize::try_from(self.end.saturating_sub(start)).unwrap_or(usize::MAX).min(WINDOW);
        *last = (start, self.file.read(start, ahead.max(least))?);
        Ok(last.1.clone())
    }
}

impl Length for Window {
    fn len(&self) -> u64 {
        self.file.length
    }
}

impl ChunkReader for Window {
    type T = Ahead;

    fn get_read(&self, start: u64) -> Result<Ahead> {
        let bytes = self.from(start, HEADER)?;
        Ok(Ahead { file: Arc::clone(&self.file), next: start + bytes.len() as u64, bytes })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let bytes = self.from(start, length)?;
        if bytes.len() < length {
            return Err(ParquetError::EOF(format!("{length} bytes at {start} of a file of {}", self.file.length)));
        }
        Ok(bytes.slice(..length))
    }
}

/// What is in the window, and the file behind it: a page's header may be of any length.
#[derive(Debug)]
pub struct Ahead {
    file: Arc<Shared>,
    bytes: Bytes,
    next: u64,
}

impl Read for Ahead {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        if self.bytes.is_empty() {
            self.bytes = self.file.read(self.next, HEADER)?;
            self.next += self.bytes.len() as u64;
        }
        let count = out.len().min(self.bytes.len());
        self.bytes.split_to(count).copy_to_slice(&mut out[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn bytes_come_from_wherever_they_are_asked_for() {
        let mut file = tempfile::tempfile().expect("a file");
        let all: Vec<u8> = (0..700_000u32).map(|i| (i * 7 % 251) as u8).collect();
        file.write_all(&all).expect("writes");
        let window = Window::new(Shared::new(file).expect("its length"), 600_000);
        for (start, length) in [(0, 10), (5, 300_000), (0, 1), (299_990, 100), (599_000, 5_000), (699_999, 1)] {
            assert_eq!(window.get_bytes(start as u64, length).expect("reads"), all[start..start + length]);
            let mut read = vec![0; length];
            window.get_read(start as u64).expect("a reader").read_exact(&mut read).expect("reads");
            assert_eq!(read, all[start..start + length]);
        }
        assert!(window.get_bytes(699_999, 2).is_err());
        let mut rest = vec![];
        window.get_read(650_000).expect("a reader").read_to_end(&mut rest).expect("reads");
        assert_eq!(rest, all[650_000..]);
    }
}
