//! Deletion vectors: which rows of a file are no longer in the table. Knows their three ways of storage and their format.

use super::actions::DeletionVector;
use crate::storage::{Storage, StorageError};
use deltalake::logstore::object_store::ObjectStoreExt;
use deltalake::logstore::object_store::path::Path;
use roaring::RoaringTreemap;
use std::ops::Range;

/// The version of the format of files of vectors.
const FILE_FORMAT: u8 = 1;
const MAGIC: u32 = 1_681_511_377;
const ALPHABET: &[u8; 85] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

/// The rows that are deleted.
pub async fn read(storage: &Storage, vector: &DeletionVector) -> Result<RoaringTreemap, StorageError> {
    let damaged = |why: &str| StorageError::Damaged(format!("deletion vector `{}`: {why}", vector.path_or_inline_dv));
    let bitmap = match vector.storage_type.as_str() {
        "i" => {
            let mut bytes = z85(&vector.path_or_inline_dv).ok_or_else(|| damaged("not Base85"))?;
            bytes.truncate(vector.size_in_bytes as usize);
            parse(&bytes).ok_or_else(|| damaged("not a bitmap"))?
        }
        "u" => {
            let path = relative_path(&vector.path_or_inline_dv).ok_or_else(|| damaged("not a file name"))?;
            from_file(storage.store().as_ref(), &path, vector).await?
        }
        "p" => {
            let (store, path) = storage.resolve(&vector.path_or_inline_dv)?;
            from_file(store.as_ref(), &path, vector).await?
        }
        other => return Err(damaged(&format!("unknown storage type `{other}`"))),
    };
    if bitmap.len() != vector.cardinality {
        return Err(damaged("it has another number of rows than the log says"));
    }
    Ok(bitmap)
}

/// A file of new vectors (the protocol's section "Deletion Vector Format"), to lie beside the table.
#[derive(Debug)]
pub struct VectorFile {
    id: uuid::Uuid,
    bytes: Vec<u8>,
}

impl VectorFile {
    /// An empty file whose name has this identity.
    pub fn new(id: uuid::Uuid) -> VectorFile {
        VectorFile { id, bytes: vec![FILE_FORMAT] }
    }

    /// Adds a vector.
    pub fn push(&mut self, rows: &RoaringTreemap) -> DeletionVector {
        let start = self.bytes.len();
        self.bytes.extend([0; 4]);
        self.bytes.extend(MAGIC.to_le_bytes());
        // Writing into a vector of bytes does not fail.
        let _ = rows.serialize_into(&mut self.bytes);
        let size = self.bytes.len() - start - 4;
        self.bytes[start..start + 4].copy_from_slice(&(size as u32).to_be_bytes());
        let checksum = crc32fast::hash(&self.bytes[start + 4..]);
        self.bytes.extend(checksum.to_be_bytes());
        DeletionVector {
            storage_type: "u".into(),
            path_or_inline_dv: to_z85(self.id.as_bytes()),
            offset: Some(start as u64),
            size_in_bytes: size as u64,
            cardinality: rows.len(),
        }
    }

    /// Whether no vector was added.
    pub fn is_empty(&self) -> bool {
        self.bytes.len() == 1
    }

    /// Where it lies, relative to the table.
    pub fn path(&self) -> Path {
        Path::from(format!("deletion_vector_{}.bin", self.id))
    }

    /// Writes it.
    pub async fn write(self, storage: &Storage) -> Result<(), StorageError> {
        storage.store().put(&self.path(), self.bytes.into()).await?;
        Ok(())
    }
}

/// Prefix and UUID (20 characters of Base85) to the file's name.
fn relative_path(text: &str) -> Option<Path> {
    let (prefix, encoded) = text.split_at_checked(text.len().checked_sub(20)?)?;
    let bytes: [u8; 16] = z85(encoded)?.try_into().ok()?;
    let name = format!("deletion_vector_{}.bin", uuid::Uuid::from_bytes(bytes));
    Some(if prefix.is_empty() { Path::from(name) } else { Path::from(prefix).join(name.as_str()) })
}

async fn from_file(
    store: &dyn deltalake::logstore::object_store::ObjectStore,
    path: &Path,
    vector: &DeletionVector,
) -> Result<RoaringTreemap, StorageError> {
    let damaged = |why: &str| StorageError::Damaged(format!("deletion vector file {path}: {why}"));
    // The first byte of the file is its format's version; each vector lies between its length and its checksum.
    let start = vector.offset.unwrap_or(1);
    let bytes = store.get_range(path, start..start + 4 + vector.size_in_bytes + 4).await?;
    let (length, rest) = bytes.split_at_checked(4).ok_or_else(|| damaged("too short"))?;
    let (data, checksum) = rest.split_at_checked(vector.size_in_bytes as usize).ok_or_else(|| damaged("too short"))?;
    let number = |bytes: &[u8]| bytes.try_into().map(u32::from_be_bytes).ok();
    if number(length).map(u64::from) != Some(vector.size_in_bytes) {
        return Err(damaged("its length is not the one the log has"));
    }
    if number(checksum) != Some(crc32fast::hash(data)) {
        return Err(damaged("its checksum is wrong"));
    }
    parse(data).ok_or_else(|| damaged("not a bitmap"))
}

fn parse(bytes: &[u8]) -> Option<RoaringTreemap> {
    let (magic, rest) = bytes.split_at_checked(4)?;
    if u32::from_le_bytes(magic.try_into().ok()?) != MAGIC {
        return None;
    }
    RoaringTreemap::deserialize_from(rest).ok()
}

/// Base85 as ZeroMQ's RFC 32 has it: five characters are four bytes.
fn z85(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u64> =
        text.bytes().map(|b| ALPHABET.iter().position(|a| *a == b).map(|p| p as u64)).collect::<Option<_>>()?;
    let groups = digits.chunks_exact(5);
    if !groups.remainder().is_empty() {
        return None;
    }
    let mut out = Vec::with_capacity(digits.len() / 5 * 4);
    for group in groups {
        let value = group.iter().fold(0u64, |acc, d| acc * 85 + d);
        out.extend(u32::try_from(value).ok()?.to_be_bytes());
    }
    Some(out)
}

/// The other way; the bytes are a multiple of four.
fn to_z85(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() / 4 * 5);
    for group in bytes.chunks(4) {
        let value = group.iter().fold(0u32, |value, byte| value << 8 | u32::from(*byte));
        for power in [85u32.pow(4), 85u32.pow(3), 85u32.pow(2), 85, 1] {
            text.push(char::from(ALPHABET[(value / power % 85) as usize]));
        }
    }
    text
}

/// The ranges of `rows` that are not deleted, counted from the beginning of `rows`.
pub fn kept(deleted: &RoaringTreemap, rows: Range<u64>) -> Vec<Range<usize>> {
    let mut kept = vec![];
    let mut next = rows.start;
    let mut iterator = deleted.iter();
    iterator.advance_to(rows.start);
    for row in iterator.take_while(|r| *r < rows.end) {
        if row > next {
            kept.push((next - rows.start) as usize..(row - rows.start) as usize);
        }
        next = row + 1;
    }
    if next < rows.end {
        kept.push((next - rows.start) as usize..(rows.end - rows.start) as usize);
    }
    kept
}

/// The ranges of consecutive rows among those of `rows` that lie within `within`.
pub fn runs(rows: &RoaringTreemap, within: Range<u64>) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = vec![];
    let mut iterator = rows.iter();
    iterator.advance_to(within.start);
    for row in iterator.take_while(|r| *r < within.end) {
        match runs.last_mut() {
            Some(last) if last.end == row => last.end = row + 1,
            _ => runs.push(row..row + 1),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_inline_bitmaps() {
        let path = relative_path("ab^-aqEH.-t@S}K{vb[*k^").expect("a name");
        assert_eq!(path.as_ref(), "ab/deletion_vector_d2c639aa-8816-431a-aaf6-d3fe2512ff61.bin");
        let bytes = z85("^Bg9^0rr910000000000iXQKl0rr91000f55c8Xg0@@D72lkbi5=-{L").expect("Base85");
        let rows: Vec<u64> = parse(&bytes).expect("a bitmap").iter().collect();
        assert_eq!(rows, [3, 4, 7, 11, 18, 29]);
    }

    #[tokio::test]
    async fn vectors_are_read_as_they_were_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let storage = Storage::open(&folder.path().to_string_lossy()).expect("a place");
        let id = uuid::Uuid::parse_str("d2c639aa-8816-431a-aaf6-d3fe2512ff61").expect("a UUID");
        let mut file = VectorFile::new(id);
        assert!(file.is_empty());
        let sets = [vec![3u64, 4, 7], vec![], (0..100_000).chain([1 << 40]).collect()];
        let sets = sets.map(|rows| rows.into_iter().collect::<RoaringTreemap>());
        let vectors = sets.each_ref().map(|rows| file.push(rows));
        assert_eq!(vectors[0].path_or_inline_dv, "^-aqEH.-t@S}K{vb[*k^");
        file.write(&storage).await.expect("writes");
        for (rows, vector) in sets.iter().zip(&vectors) {
            assert_eq!(read(&storage, vector).await.as_ref(), Ok(rows));
        }
    }

    #[test]
    fn what_is_kept() {
        let deleted: RoaringTreemap = [0, 3, 4, 9, 12].into_iter().collect();
        assert_eq!(kept(&deleted, 0..10), vec![1..3, 5..9]);
        assert_eq!(kept(&deleted, 4..12), vec![1..5, 6..8]);
        assert_eq!(kept(&deleted, 3..5), Vec::<Range<usize>>::new());
        assert_eq!(runs(&deleted, 3..13), [3..5, 9..10, 12..13]);
        assert_eq!(runs(&deleted, 1..3), Vec::<Range<u64>>::new());
    }
}
