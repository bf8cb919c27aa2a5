//! One flat column on its way into a row group: rows become pages. As in Parquet's other writers a column begins with a dictionary and goes on without where it does not pay;
//! how much new each page brings tells it after two of them. Knows arrays, pages and compression; nothing of files.

use super::dictionary::Dictionary;
use crate::sink::hybrid;
use crate::sink::stats::Bounds;
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanBufferBuilder, PrimitiveArray, StringArray};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{
    DataType as A, Date32Type, Float32Type, Float64Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
    ToByteSlice,
};
use parquet::basic::Type as Physical;
use parquet::errors::ParquetError;
use parquet::schema::types::ColumnDescPtr;
use zstd::bulk::Compressor;

/// A page ends with so many rows,
const PAGE_ROWS: usize = 20_480;
/// or about so many bytes.
const PAGE_BYTES: usize = 1 << 20;
/// A dictionary may have so many bytes.
const DICTIONARY_BYTES: usize = 1 << 20;
/// The rows of a full row group, about: a dictionary that will not bear them is not worth its beginning.
const GROUP_ROWS: usize = 1 << 20;
/// What compression must save of the first page, one part of so many, to be worth the time of both sides.
const SAVED: usize = 6;

/// The encoder of a flat column.
pub struct Flat {
    pub(super) descr: ColumnDescPtr,
    optional: bool,
    dictionary: Dictionary,
    /// Whether the rows that come now go through the dictionary,
    coded: bool,
    /// and whether a row group begins so.
    codes: bool,
    /// The new values of the page before, of a thousand rows.
    fresh: Option<usize>,
    page: Open,
    pub(super) pages: Vec<Page>,
    /// Whether pages are compressed; the first one tells.
    pub(super) compressed: Option<bool>,
    /// Of the row group's values that are in whole pages.
    pub(super) bounds: Bounds,
    /// Bytes of whole pages.
    bytes: usize,
}

/// The page to which rows are added.
#[derive(Default)]
struct Open {
    rows: usize,
    /// Which rows have a value, from the first null on.
    valid: Option<BooleanBufferBuilder>,
    /// Values as numbers of the dictionary, or as they are.
    numbers: Vec<u32>,
    plain: Vec<u8>,
    /// How many values the dictionary had at the page's beginning.
    known: usize,
    /// Which texts of the dictionary are in the page, as far as it was small.
    used: Vec<bool>,
    bounds: Bounds,
}

/// A page that is done.
pub(super) struct Page {
    pub(super) body: Vec<u8>,
    /// Its bytes before compression.
    pub(super) size: usize,
    pub(super) rows: usize,
    pub(super) coded: bool,
    pub(super) bounds: Bounds,
}

/// Whether a column is one that [`Flat`] encodes.
pub fn fits(data: &A, descr: &ColumnDescPtr) -> bool {
    let physical = match data {
        A::Int8 | A::Int16 | A::Int32 | A::Date32 => Physical::INT32,
        A::Int64 | A::Timestamp(TimeUnit::Microsecond, _) => Physical::INT64,
        A::Float32 => Physical::FLOAT,
        A::Float64 => Physical::DOUBLE,
        A::Utf8 => Physical::BYTE_ARRAY,
        _ => return false,
    };
    descr.physical_type() == physical && descr.max_rep_level() == 0 && descr.max_def_level() <= 1
}

impl Flat {
    /// Of a column that [`fits`]; `codes` tells whether a dictionary is tried.
    pub fn new(descr: ColumnDescPtr, codes: bool) -> Flat {
        let width = match descr.physical_type() {
            Physical::INT32 | Physical::FLOAT => Some(4),
            Physical::BYTE_ARRAY => None,
            _ => Some(8),
        };
        Flat {
            optional: descr.max_def_level() == 1,
            descr,
            dictionary: Dictionary::new(width),
            coded: codes,
            codes,
            fresh: None,
            page: Open::default(),
            pages: vec![],
            compressed: None,
            bounds: Bounds::default(),
            bytes: 0,
        }
    }

    /// The bytes that the row group's rows take so far, about.
    pub fn size(&self) -> usize {
        let open = self.page.plain.len() + self.page.numbers.len() * self.width() as usize / 8;
        self.bytes + open + self.dictionary.bytes()
    }

    /// The memory that they take.
    pub fn memory(&self) -> usize {
        self.bytes + self.page.plain.capacity() + self.page.numbers.capacity() * 4 + self.dictionary.memory()
    }

    /// Of the values of the row group that are in whole pages.
    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Adds rows.
    pub fn add(&mut self, array: &ArrayRef, compressor: &mut Compressor) -> Result<(), ParquetError> {
        let widened;
        let array = match array.data_type() {
            A::Int8 | A::Int16 => {
                widened = (cast(array, &A::Int32)?, array);
                &widened.0
            }
            _ => array,
        };
        let mut at = 0;
        while at < array.len() {
            let mut rows = (array.len() - at).min(PAGE_ROWS - self.page.rows);
            if let Some(texts) = array.as_string_opt::<i32>() {
                rows = rows.min(within(texts, at, PAGE_BYTES.saturating_sub(self.page.plain.len())));
            }
            self.rows(&array.slice(at, rows));
            at += rows;
            if self.page.rows >= PAGE_ROWS
                || self.page.plain.len() >= PAGE_BYTES
                || self.coded && self.dictionary.bytes() > DICTIONARY_BYTES
            {
                self.end_page(compressor)?;
            }
        }
        Ok(())
    }

    /// Adds rows to the page.
    fn rows(&mut self, array: &ArrayRef) {
        let nulls = array.nulls().filter(|n| n.null_count() > 0);
        match (&mut self.page.valid, nulls) {
            (None, None) => {}
            (valid, nulls) => {
                let valid = valid.get_or_insert_with(|| {
                    let mut valid = BooleanBufferBuilder::new(PAGE_ROWS);
                    valid.append_n(self.page.rows, true);
                    valid
                });
                match nulls {
                    Some(nulls) => valid.append_buffer(nulls.inner()),
                    None => valid.append_n(array.len(), true),
                }
            }
        }
        self.page.rows += array.len();
        match array.data_type() {
            A::Int32 => self.fixed(array.as_primitive::<Int32Type>(), |v| u64::from(v as u32)),
            A::Date32 => self.fixed(array.as_primitive::<Date32Type>(), |v| u64::from(v as u32)),
            A::Float32 => self.fixed(array.as_primitive::<Float32Type>(), |v| u64::from(v.to_bits())),
            A::Int64 => self.fixed(array.as_primitive::<Int64Type>(), |v| v as u64),
            A::Float64 => self.fixed(array.as_primitive::<Float64Type>(), f64::to_bits),
            A::Timestamp(..) => self.fixed(array.as_primitive::<TimestampMicrosecondType>(), |v| v as u64),
            _ => self.texts(array.as_string::<i32>()),
        }
    }

    fn fixed<T: ArrowPrimitiveType>(&mut self, array: &PrimitiveArray<T>, bits: impl Fn(T::Native) -> u64 + Copy) {
        self.page.bounds.merge(&Bounds::of(array));
        let page = &mut self.page;
        for (from, to) in runs(array.nulls(), array.len()) {
            let values = &array.values()[from..to];
            match &mut self.dictionary {
                Dictionary::Fixed(d) if self.coded => d.number(values.iter().map(|v| bits(*v)), &mut page.numbers),
                _ => page.plain.extend_from_slice(values.to_byte_slice()),
            }
        }
    }

    fn texts(&mut self, array: &StringArray) {
        let page = &mut self.page;
        let before = page.numbers.len();
        let (offsets, bytes) = (array.value_offsets(), array.value_data());
        for (from, to) in runs(array.nulls(), array.len()) {
            let texts = offsets[from..=to].windows(2).map(|at| &bytes[at[0] as usize..at[1] as usize]);
            match &mut self.dictionary {
                Dictionary::Texts(d) if self.coded => d.number(texts, &mut page.numbers),
                _ => {
                    for text in texts {
                        page.plain.extend_from_slice(&(text.len() as u32).to_le_bytes());
                        page.plain.extend_from_slice(text);
                    }
                }
            }
        }
        // The bounds of a few texts that stand in many rows are those of the few.
        if self.coded && self.dictionary.len() <= PAGE_ROWS {
            page.used.resize(self.dictionary.len(), false);
            page.numbers[before..].iter().for_each(|number| page.used[*number as usize] = true);
            page.bounds.nulls += array.null_count() as u64;
        } else {
            page.bounds.merge(&Bounds::of(array));
        }
    }

    /// Bits of a number of the dictionary.
    fn width(&self) -> u32 {
        usize::BITS - self.dictionary.len().saturating_sub(1).leading_zeros()
    }

    /// Ends the page, if it has rows.
    pub fn end_page(&mut self, compressor: &mut Compressor) -> Result<(), ParquetError> {
        if self.page.rows == 0 {
            return Ok(());
        }
        let page = &mut self.page;
        if let Dictionary::Texts(d) = &self.dictionary {
            let used = page.used.iter().zip(0u32..).filter(|(used, _)| **used).map(|(_, number)| d.text(number));
            page.bounds.merge(&Bounds::of_texts(used.filter_map(|text| std::str::from_utf8(text).ok())));
        }
        let mut body = vec![];
        if self.optional {
            levels(page.valid.take(), page.rows, &mut body);
        }
        let width = self.width();
        // Without a value nothing refers to the dictionary.
        let coded = self.coded && self.dictionary.len() > 0;
        let page = &self.page;
        if coded {
            body.push(width as u8);
            hybrid::encode(&page.numbers, width, &mut body);
        } else {
            body.extend_from_slice(&page.plain);
        }
        let size = body.len();
        let packed = if self.compressed == Some(false) { None } else { Some(compress(compressor, &body)?) };
        let saves = |packed: &Vec<u8>| size.saturating_sub(packed.len()) > size / SAVED;
        let compressed = *self.compressed.get_or_insert_with(|| packed.as_ref().is_some_and(saves));
        let body = packed.filter(|_| compressed).unwrap_or(body);
        let done = Page { body, size, rows: page.rows, coded, bounds: page.bounds.clone() };
        self.finished(done, compressor)
    }

    /// Keeps a page, and draws conclusions for those that come.
    fn finished(&mut self, page: Page, compressor: &mut Compressor) -> Result<(), ParquetError> {
        self.bounds.merge(&page.bounds);
        self.bytes += page.body.len();
        let rows = page.rows;
        self.pages.push(page);
        let known = std::mem::take(&mut self.page.known);
        self.page.rows = 0;
        self.page.numbers.clear();
        self.page.plain.clear();
        self.page.used.clear();
        self.page.bounds = Bounds::default();
        if self.coded {
            let fresh = (self.dictionary.len() - known) * 1000 / rows;
            if self.dictionary.bytes() > DICTIONARY_BYTES || self.hopeless(fresh, rows) {
                (self.coded, self.codes) = (false, false);
                return self.compress_all(compressor);
            }
            self.fresh = (rows >= PAGE_ROWS).then_some(fresh);
            self.page.known = self.dictionary.len();
        }
        Ok(())
    }

    /// Whether each page brings as much new as the one before, and so much that the dictionary will not bear it: the values are no draw from some set.
    fn hopeless(&self, fresh: usize, rows: usize) -> bool {
        let each = self.dictionary.bytes() / self.dictionary.len().max(1);
        rows >= PAGE_ROWS
            && fresh > 250
            && self.fresh.is_some_and(|before| fresh * 100 >= before * 95)
            && GROUP_ROWS / 1000 * fresh * each > DICTIONARY_BYTES
    }

    /// Values may be compressible where their numbers are not.
    fn compress_all(&mut self, compressor: &mut Compressor) -> Result<(), ParquetError> {
        if self.compressed != Some(false) {
            return Ok(());
        }
        self.compressed = Some(true);
        self.bytes = 0;
        for page in &mut self.pages {
            page.body = compress(compressor, &page.body)?;
            self.bytes += page.body.len();
        }
        Ok(())
    }

    /// The dictionary's page, where a page refers to it, and its values. After that the column is ready for the next row group.
    pub(super) fn begin_again(&mut self) -> Option<(Vec<u8>, usize)> {
        let values = self.dictionary.len();
        let page = self.dictionary.take();
        (self.coded, self.fresh, self.compressed, self.bytes) = (self.codes, None, None, 0);
        self.page = Open { numbers: std::mem::take(&mut self.page.numbers), ..Open::default() };
        self.pages.iter().any(|p| p.coded).then_some((page, values))
    }
}

/// Compresses a page.
pub(super) fn compress(compressor: &mut Compressor, bytes: &[u8]) -> Result<Vec<u8>, ParquetError> {
    compressor.compress(bytes).map_err(|e| ParquetError::General(format!("a page cannot be compressed: {e}")))
}

/// Runs of rows that have a value.
fn runs(nulls: Option<&NullBuffer>, rows: usize) -> impl Iterator<Item = (usize, usize)> {
    let nulls = nulls.filter(|n| n.null_count() > 0);
    let all = (nulls.is_none() && rows > 0).then_some((0, rows));
    all.into_iter().chain(nulls.into_iter().flat_map(NullBuffer::valid_slices))
}

/// How many texts from one on take about so many bytes in a page; at least one.
fn within(texts: &StringArray, at: usize, bytes: usize) -> usize {
    let offsets = &texts.value_offsets()[at..];
    let size = |rows: usize| (offsets[rows] - offsets[0]) as usize + rows * 4;
    if size(offsets.len() - 1) <= bytes {
        return offsets.len() - 1;
    }
    let (mut low, mut high) = (1, offsets.len() - 1);
    while low < high {
        let middle = (low + high).div_ceil(2);
        if size(middle) <= bytes { low = middle } else { high = middle - 1 }
    }
    low
}

/// Which of the rows have a value, behind the length of that: a run, or bits as they are.
fn levels(valid: Option<BooleanBufferBuilder>, rows: usize, out: &mut Vec<u8>) {
    let begin = out.len();
    out.extend([0; 4]);
    match valid {
        None => {
            hybrid::push_varint(out, (rows as u64) << 1);
            out.push(1);
        }
        Some(mut valid) => {
            let groups = rows.div_ceil(8);
            hybrid::push_varint(out, (groups as u64) << 1 | 1);
            let valid = valid.finish();
            out.extend_from_slice(&valid.values()[..groups]);
            // What is behind the last row is not there.
            if !rows.is_multiple_of(8)
                && let Some(last) = out.last_mut()
            {
                *last &= (1 << (rows % 8)) - 1;
            }
        }
    }
    let length = (out.len() - begin - 4) as u32;
    out[begin..begin + 4].copy_from_slice(&length.to_le_bytes());
}
