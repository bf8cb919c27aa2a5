//! Headers of the pages of Parquet files, in Thrift's compact protocol: read, and written for pages that changed. Knows headers; nothing of what pages hold.

use super::Unfit;

/// A longer header is taken for damaged.
pub const MAX_BYTES: usize = 1 << 20;

/// Types of Thrift's compact protocol.
mod ty {
    pub const TRUE: u8 = 1;
    pub const FALSE: u8 = 2;
    pub const BYTE: u8 = 3;
    pub const I16: u8 = 4;
    pub const I32: u8 = 5;
    pub const I64: u8 = 6;
    pub const DOUBLE: u8 = 7;
    pub const BINARY: u8 = 8;
    pub const LIST: u8 = 9;
    pub const SET: u8 = 10;
    pub const STRUCT: u8 = 12;
}

/// A page of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Data {
    /// Values, nulls among them.
    pub values: usize,
    /// How the values are encoded.
    pub encoding: i32,
    /// How definition levels are encoded.
    pub levels: i32,
    /// What a page of the second version has besides.
    pub second: Option<Second>,
}

/// See [`Data`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Second {
    /// Bytes of definition levels, which are not compressed,
    pub definitions: usize,
    /// and of repetition levels.
    pub repetitions: usize,
    /// Whether the values are compressed.
    pub compressed: bool,
}

/// What a page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The values that others are numbers of: how many, and their encoding.
    Dictionary(usize, i32),
    /// Values.
    Data(Data),
}

/// A header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the header itself.
    pub length: usize,
    /// Bytes of the page behind it,
    pub compressed: usize,
    /// and when they are not compressed.
    pub uncompressed: usize,
    /// What the page is.
    pub kind: Kind,
}

impl Header {
    /// The header at the beginning of some bytes; none: they end within it.
    pub fn read(bytes: &[u8]) -> Result<Option<Header>, Unfit> {
        let mut reader = Reader { bytes, at: 0 };
        let Some(fields) = reader.fields(0) else { return Ok(None) };
        let size = |field: Option<i64>| field.and_then(|n| usize::try_from(n).ok()).ok_or(Unfit("a page header"));
        let (page, inner) = match int(&fields, 1) {
            Some(0) => (0, structure(&fields, 5)),
            Some(2) => (2, structure(&fields, 7)),
            Some(3) => (3, structure(&fields, 8)),
            _ => return Err(Unfit("a page of another kind")),
        };
        let inner = inner.ok_or(Unfit("a page header"))?;
        let values = size(int(inner, 1))?;
        let encoding = |number| int(inner, number).and_then(|n| i32::try_from(n).ok()).ok_or(Unfit("a page header"));
        let kind = match page {
            2 => Kind::Dictionary(values, encoding(2)?),
            0 => Kind::Data(Data { values, encoding: encoding(2)?, levels: encoding(3)?, second: None }),
            _ => {
                let compressed = !matches!(field(inner, 7), Some(Field::Bool(false)));
                let second =
                    Second { definitions: size(int(inner, 5))?, repetitions: size(int(inner, 6))?, compressed };
                Kind::Data(Data { values, encoding: encoding(4)?, levels: RLE, second: Some(second) })
            }
        };
        Ok(Some(Header {
            length: reader.at,
            compressed: size(int(&fields, 3))?,
            uncompressed: size(int(&fields, 2))?,
            kind,
        }))
    }
}

/// The header of a page of data of these sizes, of whose values so many are null.
pub fn write(data: &Data, (uncompressed, compressed): (usize, usize), nulls: usize) -> Vec<u8> {
    let mut out = vec![];
    let page = if data.second.is_some() { 3 } else { 0 };
    for (last, number) in [page, uncompressed as i64, compressed as i64].into_iter().enumerate() {
        push_int(&mut out, last as i16, last as i16 + 1, number);
    }
    match &data.second {
        None => {
            out.push(2 << 4 | ty::STRUCT);
            let fields = [data.values as i64, data.encoding.into(), data.levels.into(), RLE.into()];
            fields.into_iter().enumerate().for_each(|(n, x)| push_int(&mut out, n as i16, n as i16 + 1, x));
        }
        Some(second) => {
            out.push(5 << 4 | ty::STRUCT);
            let rows = data.values as i64;
            let levels = [second.definitions as i64, second.repetitions as i64];
            let fields = [rows, nulls as i64, rows, data.encoding.into(), levels[0], levels[1]];
            fields.into_iter().enumerate().for_each(|(n, x)| push_int(&mut out, n as i16, n as i16 + 1, x));
            out.push(1 << 4 | if second.compressed { ty::TRUE } else { ty::FALSE });
        }
    }
    out.extend([0, 0]);
    out
}

/// The number of the encoding of levels.
pub const RLE: i32 = 3;

fn push_int(out: &mut Vec<u8>, last: i16, id: i16, value: i64) {
    out.push(((id - last) as u8) << 4 | ty::I32);
    let mut left = ((value << 1) ^ (value >> 63)) as u64;
    while left >= 0x80 {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

/// What is kept of a field.
enum Field {
    Int(i64),
    Bool(bool),
    Struct(Vec<(i16, Field)>),
    Other,
}

fn field(fields: &[(i16, Field)], id: i16) -> Option<&Field> {
    fields.iter().find(|(found, _)| *found == id).map(|(_, field)| field)
}

fn int(fields: &[(i16, Field)], id: i16) -> Option<i64> {
    if let Some(Field::Int(value)) = field(fields, id) { Some(*value) } else { None }
}

fn structure(fields: &[(i16, Field)], id: i16) -> Option<&[(i16, Field)]> {
    if let Some(Field::Struct(inner)) = field(fields, id) { Some(inner) } else { None }
}

/// Structures in structures are not read deeper than this.
const MAX_DEPTH: usize = 8;

/// Reads until the bytes end. What is damaged is like bytes that end: whoever reads gives up at [`MAX_BYTES`].
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn int(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn fields(&mut self, depth: usize) -> Option<Vec<(i16, Field)>> {
        let (mut fields, mut last) = (vec![], 0i16);
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Some(fields);
            }
            let id = match head >> 4 {
                0 => self.int()? as i16,
                delta => last.checked_add(i16::from(delta))?,
            };
            last = id;
            let value = match head & 0x0f {
                ty::TRUE => Field::Bool(true),
                ty::FALSE => Field::Bool(false),
                other => self.value(other, depth)?,
            };
            fields.push((id, value));
        }
    }

    fn value(&mut self, of: u8, depth: usize) -> Option<Field> {
        match of {
            ty::BYTE | ty::TRUE | ty::FALSE => self.byte().map(|_| Field::Other),
            ty::I16 | ty::I32 | ty::I64 => self.int().map(Field::Int),
            ty::DOUBLE => self.pass(8),
            ty::BINARY => {
                let length = self.varint()?;
                self.pass(usize::try_from(length).ok()?)
            }
            ty::LIST | ty::SET => {
                let head = self.byte()?;
                let count = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
                for _ in 0..count {
                    self.value(head & 0x0f, depth + 1)?;
                }
                Some(Field::Other)
            }
            ty::STRUCT if depth < MAX_DEPTH => self.fields(depth + 1).map(Field::Struct),
            _ => None,
        }
    }

    fn pass(&mut self, bytes: usize) -> Option<Field> {
        self.at = self.at.checked_add(bytes).filter(|at| *at <= self.bytes.len())?;
        Some(Field::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both() -> [Data; 2] {
        let first = Data { values: 70_000, encoding: 8, levels: RLE, second: None };
        let second = Second { definitions: 300, repetitions: 0, compressed: false };
        [first, Data { second: Some(second), ..first }]
    }

    #[test]
    fn what_is_written_is_read() {
        for data in both() {
            let mut bytes = write(&data, (1 << 20, 77), 5);
            let length = bytes.len();
            bytes.extend([1, 2, 3]);
            let header = Header { length, compressed: 77, uncompressed: 1 << 20, kind: Kind::Data(data) };
            assert_eq!(Header::read(&bytes).expect("a header"), Some(header));
        }
    }

    #[test]
    fn bytes_that_end_within_a_header_are_none() {
        for data in both() {
            let bytes = write(&data, (9, 9), 0);
            for length in 0..bytes.len() {
                assert_eq!(Header::read(&bytes[..length]).expect("not damaged"), None);
            }
        }
    }

    #[test]
    fn damaged_bytes_do_no_harm() {
        let bytes = write(&both()[1], (9, 9), 0);
        for at in 0..bytes.len() {
            for byte in 0..=255 {
                let mut damaged = bytes.clone();
                damaged[at] = byte;
                let _ = Header::read(&damaged);
            }
        }
        assert!(Header::read(&[0]).is_err());
        assert_eq!(Header::read(&[0xff; 100]).expect("none"), None);
    }
}
