//! One column without nesting, from the pages of its chunks: so many rows are read or passed over, wherever pages and row groups end. Pages that hold no row that
//! is wanted are not decompressed. Knows pages, as the Parquet crate hands them out; values are decoders' matter.

use super::coded::{Coded, Codes};
use super::numbers::Numbers;
use super::texts::Texts;
use super::validity::{Levels, Validity};
use super::{Damaged, Decoder};
use arrow::array::ArrayRef;
use arrow::datatypes::{
    DataType as A, Date32Type, Float32Type, Float64Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType,
};
use bytes::Bytes;
use parquet::basic::{Encoding, Type as Physical};
use parquet::column::page::{Page, PageReader};
use parquet::errors::ParquetError;
use parquet::file::metadata::ColumnChunkMetaData;
use std::collections::VecDeque;

/// A column chunk.
pub struct Chunk {
    /// Its rows.
    pub rows: usize,
    /// Makes the reader of its pages, when its turn comes: readers hold buffers of their own.
    pub pages: Box<dyn FnOnce() -> Result<Box<dyn PageReader>, ParquetError> + Send>,
}

/// How a column's arrays are made of its values; none: not here.
pub fn decoder(physical: Physical, data: &A) -> Option<Box<dyn Decoder>> {
    use TimeUnit as U;
    macro_rules! numbers {
        ($ty:ty) => {
            Some(Box::new(Numbers::<$ty>::new(data.clone())))
        };
    }
    match (physical, data) {
        (Physical::INT32, A::Int32) => numbers!(Int32Type),
        (Physical::INT32, A::Date32) => numbers!(Date32Type),
        (Physical::INT64, A::Int64) => numbers!(Int64Type),
        (Physical::INT64, A::Timestamp(U::Millisecond, _)) => numbers!(TimestampMillisecondType),
        (Physical::INT64, A::Timestamp(U::Microsecond, _)) => numbers!(TimestampMicrosecondType),
        (Physical::INT64, A::Timestamp(U::Nanosecond, _)) => numbers!(TimestampNanosecondType),
        (Physical::FLOAT, A::Float32) => numbers!(Float32Type),
        (Physical::DOUBLE, A::Float64) => numbers!(Float64Type),
        (Physical::BYTE_ARRAY, A::Utf8) => Some(Box::new(Texts::new(true))),
        (Physical::BYTE_ARRAY, A::Binary) => Some(Box::new(Texts::new(false))),
        _ => None,
    }
}

/// Whether a chunk's pages are of a kind that is read here, as far as the footer says.
pub fn fits(chunk: &ColumnChunkMetaData) -> bool {
    let known = [Encoding::PLAIN, Encoding::RLE, Encoding::PLAIN_DICTIONARY, Encoding::RLE_DICTIONARY];
    let column = chunk.column_descr();
    column.max_rep_level() == 0
        && column.max_def_level() <= 1
        && chunk.file_path().is_none()
        && chunk.dictionary_page_offset().unwrap_or(0) >= 0
        && chunk.data_page_offset() >= 0
        && chunk.compressed_size() >= 0
        && chunk.encodings().all(|encoding| known.contains(&encoding))
}

/// See the module.
pub struct Column {
    /// The chunks behind the one that is read.
    chunks: VecDeque<Chunk>,
    /// Its pages.
    pages: Option<Box<dyn PageReader>>,
    decoder: Box<dyn Decoder>,
    /// Whether values may be null.
    optional: bool,
    /// Rows of the chunk, and of its page, that are left.
    chunk: usize,
    page: usize,
    /// Definition levels of the page; none: no value is null.
    levels: Option<Levels>,
    validity: Validity,
    codes: Codes,
    /// Whether the rows of this batch become codes.
    coded: bool,
}

impl Column {
    /// A column that begins with the first of its chunks.
    pub fn new(decoder: Box<dyn Decoder>, optional: bool, chunks: VecDeque<Chunk>) -> Column {
        let validity = Validity::default();
        let codes = Codes::default();
        Column {
            chunks,
            pages: None,
            decoder,
            optional,
            chunk: 0,
            page: 0,
            levels: None,
            validity,
            codes,
            coded: false,
        }
    }

    /// Room for so many rows.
    pub fn begin(&mut self, rows: usize) {
        self.decoder.begin(rows);
    }

    /// So many rows that are read next are for [`Column::finish_coded`].
    pub fn begin_coded(&mut self, rows: usize) {
        self.coded = true;
        self.codes.begin(rows);
    }

    /// Reads so many rows.
    pub fn read(&mut self, mut rows: usize) -> Result<(), ParquetError> {
        while rows > 0 {
            self.page_with_rows(0)?;
            let these = self.page.min(rows);
            let valid = match &mut self.levels {
                None => {
                    self.validity.push(these, true);
                    these
                }
                Some(levels) => levels.take(these, &mut self.validity)?,
            };
            let bits = if valid == these { None } else { self.validity.last(these) };
            match &bits {
                _ if self.coded => self.codes.read(&mut *self.decoder, valid, bits.as_ref())?,
                None => self.decoder.read(these)?,
                Some(bits) => self.decoder.read_spread(valid, bits)?,
            }
            self.passed(these);
            rows -= these;
        }
        Ok(())
    }

    /// Passes over so many rows.
    pub fn skip(&mut self, mut rows: usize) -> Result<(), ParquetError> {
        while rows > 0 {
            let whole = self.page_with_rows(rows)?;
            if whole > 0 {
                self.chunk -= whole;
                rows -= whole;
                continue;
            }
            let these = self.page.min(rows);
            // A page's end need not be decoded.
            if these < self.page {
                let valid = match &mut self.levels {
                    None => these,
                    Some(levels) => levels.skip(these)?,
                };
                self.decoder.skip(valid)?;
            }
            self.passed(these);
            rows -= these;
        }
        Ok(())
    }

    /// The rows that were read, as an array.
    pub fn finish(&mut self) -> Result<ArrayRef, ParquetError> {
        Ok(self.decoder.finish(self.validity.finish())?)
    }

    /// The rows that were read behind [`Column::begin_coded`].
    pub fn finish_coded(&mut self) -> Result<Coded, ParquetError> {
        self.coded = false;
        self.validity.finish();
        Ok(self.codes.finish(&mut *self.decoder)?)
    }

    fn passed(&mut self, rows: usize) {
        self.page -= rows;
        self.chunk -= rows;
    }

    /// Comes to a page with rows; or passes over a page of at most `most` rows, and says how many it had.
    fn page_with_rows(&mut self, most: usize) -> Result<usize, ParquetError> {
        while self.page == 0 {
            while self.chunk == 0 {
                let next = self.chunks.pop_front().ok_or(Damaged("fewer rows than the footer says"))?;
                (self.chunk, self.pages) = (next.rows, Some((next.pages)()?));
            }
            let none = Damaged("fewer pages than rows");
            let pages = self.pages.as_mut().ok_or(none)?;
            if most > 0
                && let Some(next) = pages.peek_next_page()?
                && let Some(rows) = next.num_rows.or(next.num_levels).filter(|rows| !next.is_dict && *rows > 0)
                && rows <= most.min(self.chunk)
            {
                pages.skip_next_page()?;
                return Ok(rows);
            }
            let page = pages.get_next_page()?.ok_or(none)?;
            self.enter(page)?;
        }
        Ok(0)
    }

    fn enter(&mut self, page: Page) -> Result<(), ParquetError> {
        let short = Damaged("levels that end early");
        let (rows, encoding, levels, values) = match page {
            Page::DictionaryPage { buf, num_values, encoding, .. } => {
                if !matches!(encoding, Encoding::PLAIN | Encoding::PLAIN_DICTIONARY | Encoding::RLE_DICTIONARY) {
                    return Err(Damaged("a dictionary of another encoding").into());
                }
                self.codes.forget();
                return Ok(self.decoder.dictionary(buf, num_values as usize)?);
            }
            Page::DataPage { buf, num_values, encoding, def_level_encoding, .. } => {
                let (levels, values) = match self.optional {
                    false => (None, buf),
                    true if def_level_encoding == Encoding::RLE => {
                        let length = u32::from_le_bytes(*buf.first_chunk::<4>().ok_or(short)?) as usize;
                        let end = length.checked_add(4).filter(|end| *end <= buf.len()).ok_or(short)?;
                        (Some(buf.slice(4..end)), buf.slice(end..))
                    }
                    true => return Err(Damaged("levels of another encoding").into()),
                };
                (num_values, encoding, levels, values)
            }
            Page::DataPageV2 { buf, num_values, encoding, def_levels_byte_len, rep_levels_byte_len, .. } => {
                let begin = rep_levels_byte_len as usize;
                let end = begin.checked_add(def_levels_byte_len as usize).filter(|end| *end <= buf.len());
                let end = end.ok_or(short)?;
                let levels: Option<Bytes> = self.optional.then(|| buf.slice(begin..end));
                (num_values, encoding, levels, buf.slice(end..))
            }
        };
        if rows as usize > self.chunk {
            return Err(Damaged("more rows than the footer says").into());
        }
        self.page = rows as usize;
        self.levels = levels.map(Levels::new);
        Ok(self.decoder.page(encoding, values)?)
    }
}
