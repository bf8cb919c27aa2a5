//! The pages of a flat column as a column chunk: its bytes, and what the footer says of it. Statistics are those of the Parquet format: bounds of doubles without NaN and with a
//! zero of the sign that bounds both, long texts cut. Knows the format; nothing of how values became pages.

use super::column::{Flat, Page, compress};
use crate::sink::stats::Bounds;
use bytes::Bytes;
use flowc_ir::Value;
use parquet::basic::{BoundaryOrder, Compression, Encoding, EncodingMask, PageType, Type as Physical, ZstdLevel};
use parquet::column::page::{CompressedPage, Page as Written, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder, PageEncodingStats};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::statistics::{Statistics, ValueStatistics};
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use zstd::bulk::Compressor;

/// Longer texts are cut in statistics.
const TEXT_BYTES: usize = 64;

impl Flat {
    /// Ends the column chunk. After that the column is ready for the next row group.
    pub fn close(&mut self, compressor: &mut Compressor) -> Result<(Bytes, ColumnCloseResult), ParquetError> {
        self.end_page(compressor)?;
        let compressed = self.compressed == Some(true);
        let dictionary = self.begin_again();
        let (pages, bounds) = (std::mem::take(&mut self.pages), std::mem::take(&mut self.bounds));
        let room =
            pages.iter().map(|p| p.body.len() + 64).sum::<usize>() + dictionary.as_ref().map_or(0, |d| d.0.len());
        let mut sink = TrackedWrite::new(Vec::with_capacity(room));
        let mut writer = SerializedPageWriter::new(&mut sink);
        let (mut size, mut first) = (0, None);
        let has_dictionary = dictionary.is_some();
        if let Some((bytes, values)) = dictionary {
            let whole = bytes.len();
            let buf = if compressed { compress(compressor, &bytes)? } else { bytes }.into();
            let page =
                Written::DictionaryPage { buf, num_values: values as u32, encoding: Encoding::PLAIN, is_sorted: false };
            size += writer.write_page(CompressedPage::new(page, whole))?.uncompressed_size;
        }
        let (mut index, mut places) = (Index::new(self.descr.physical_type()), OffsetIndexBuilder::new());
        let rows = pages.iter().map(|p| p.rows).sum::<usize>();
        let encodings = encodings(has_dictionary, &pages);
        for page in pages {
            index.page(&page);
            let (bytes, rows) = (page.size, page.rows);
            let spec = writer.write_page(CompressedPage::new(written(page), bytes))?;
            first.get_or_insert(spec.offset as i64);
            size += spec.uncompressed_size;
            places.append_row_count(rows as i64);
            places.append_offset_and_size(spec.offset as i64, spec.compressed_size as i32);
        }
        writer.close()?;
        let bytes: Bytes = sink.into_inner()?.into();
        let compression = if compressed { Compression::ZSTD(ZstdLevel::default()) } else { Compression::UNCOMPRESSED };
        let metadata = ColumnChunkMetaData::builder(self.descr.clone())
            .set_compression(compression)
            .set_encodings_mask(EncodingMask::new_from_encodings(encodings.0.iter()))
            .set_page_encoding_stats(encodings.1)
            .set_total_compressed_size(bytes.len() as i64)
            .set_total_uncompressed_size(size as i64)
            .set_num_values(rows as i64)
            .set_data_page_offset(first.unwrap_or(0))
            .set_dictionary_page_offset(has_dictionary.then_some(0))
            .set_statistics(statistics(self.descr.physical_type(), &bounds))
            .build()?;
        let close = ColumnCloseResult {
            bytes_written: bytes.len() as u64,
            rows_written: rows as u64,
            metadata,
            bloom_filter: None,
            column_index: index.build()?,
            offset_index: Some(places.build()),
        };
        Ok((bytes, close))
    }
}

fn encoding(page: &Page) -> Encoding {
    if page.coded { Encoding::RLE_DICTIONARY } else { Encoding::PLAIN }
}

fn written(page: Page) -> Written {
    Written::DataPage {
        encoding: encoding(&page),
        buf: page.body.into(),
        num_values: page.rows as u32,
        def_level_encoding: Encoding::RLE,
        rep_level_encoding: Encoding::RLE,
        statistics: None,
    }
}

/// The encodings of a chunk, and how many pages have each.
fn encodings(dictionary: bool, pages: &[Page]) -> (Vec<Encoding>, Vec<PageEncodingStats>) {
    let mut counts = vec![];
    if dictionary {
        counts.push(PageEncodingStats { page_type: PageType::DICTIONARY_PAGE, encoding: Encoding::PLAIN, count: 1 });
    }
    for kind in [Encoding::RLE_DICTIONARY, Encoding::PLAIN] {
        let count = pages.iter().filter(|p| encoding(p) == kind).count() as i32;
        if count > 0 {
            counts.push(PageEncodingStats { page_type: PageType::DATA_PAGE, encoding: kind, count });
        }
    }
    let used = counts.iter().map(|c| c.encoding).chain([Encoding::RLE]).collect();
    (used, counts)
}

/// The statistics of a column chunk.
fn statistics(physical: Physical, bounds: &Bounds) -> Statistics {
    fn of<T>(min: Option<T>, max: Option<T>, nulls: u64, signed: bool) -> ValueStatistics<T> {
        ValueStatistics::new(min, max, None, Some(nulls), false).with_backwards_compatible_min_max(signed)
    }
    let (min, max) = (bounds.min.as_ref(), bounds.max.as_ref());
    match physical {
        Physical::INT32 => Statistics::Int32(of(min.and_then(int), max.and_then(int), bounds.nulls, true)),
        Physical::INT64 => Statistics::Int64(of(min.and_then(long), max.and_then(long), bounds.nulls, true)),
        Physical::FLOAT => {
            let (min, max) = (min.and_then(double), max.and_then(double));
            Statistics::Float(of(min.map(|v| low(v) as f32), max.map(|v| high(v) as f32), bounds.nulls, true))
        }
        Physical::DOUBLE => {
            let (min, max) = (min.and_then(double), max.and_then(double));
            Statistics::Double(of(min.map(low), max.map(high), bounds.nulls, true))
        }
        _ => {
            let (min, max) = (min.and_then(text).map(begin), max.and_then(text).map(end));
            let exact = (min.as_ref().is_some_and(|m| m.1), max.as_ref().is_some_and(|m| m.1));
            let bytes = |bound: (Vec<u8>, bool)| ByteArray::from(bound.0);
            let all = of(min.map(bytes), max.map(bytes), bounds.nulls, false);
            Statistics::ByteArray(all.with_min_is_exact(exact.0).with_max_is_exact(exact.1))
        }
    }
}

fn int(value: &Value) -> Option<i32> {
    match value {
        Value::Byte(v) => Some(i32::from(*v)),
        Value::Short(v) => Some(i32::from(*v)),
        Value::Integer(v) | Value::Date(v) => Some(*v),
        _ => None,
    }
}

fn long(value: &Value) -> Option<i64> {
    match value {
        Value::Long(v) | Value::Timestamp(v) | Value::TimestampNtz(v) => Some(*v),
        _ => None,
    }
}

fn double(value: &Value) -> Option<f64> {
    match value {
        Value::Float(v) => Some(f64::from(*v)),
        Value::Double(v) => Some(*v),
        _ => None,
    }
}

fn text(value: &Value) -> Option<&str> {
    if let Value::String(text) = value { Some(text) } else { None }
}

/// The zero that bounds both from below.
fn low(value: f64) -> f64 {
    if value == 0.0 { -0.0 } else { value }
}

/// The zero that bounds both from above.
fn high(value: f64) -> f64 {
    if value == 0.0 { 0.0 } else { value }
}

/// The beginning of a text, and whether that is all.
fn begin(text: &str) -> (Vec<u8>, bool) {
    let cut = &text[..text.floor_char_boundary(TEXT_BYTES)];
    (cut.as_bytes().to_vec(), cut.len() == text.len())
}

/// A text that is not less, where it is long: its beginning with the last character that has a next one as that.
fn end(text: &str) -> (Vec<u8>, bool) {
    let cut = &text[..text.floor_char_boundary(TEXT_BYTES)];
    if cut.len() == text.len() {
        return (text.as_bytes().to_vec(), true);
    }
    let next = |c: char| char::from_u32(c as u32 + 1).filter(|n| n.len_utf8() == c.len_utf8());
    match cut.char_indices().rev().find_map(|(at, c)| Some((at, next(c)?))) {
        Some((at, next)) => (format!("{}{next}", &cut[..at]).into_bytes(), false),
        None => (text.as_bytes().to_vec(), true),
    }
}

/// What the page index says of each page.
struct Index {
    physical: Physical,
    builder: ColumnIndexBuilder,
    last: Option<(Value, Value)>,
    ascending: bool,
    descending: bool,
}

impl Index {
    fn new(physical: Physical) -> Index {
        let builder = ColumnIndexBuilder::new(physical);
        Index { physical, builder, last: None, ascending: true, descending: true }
    }

    fn page(&mut self, page: &Page) {
        if !self.builder.valid() {
            return;
        }
        let nulls = page.bounds.nulls;
        match (&page.bounds.min, &page.bounds.max) {
            _ if nulls == page.rows as u64 => self.builder.append(true, vec![], vec![], nulls as i64),
            (Some(min), Some(max)) => {
                if let Some((low, high)) = &self.last {
                    let (from, to) = (min.compare(low), max.compare(high));
                    self.ascending &= from.is_ge() && to.is_ge();
                    self.descending &= from.is_le() && to.is_le();
                }
                self.last = Some((min.clone(), max.clone()));
                let (min, max) = (self.bytes(min, low, begin), self.bytes(max, high, end));
                self.builder.append(false, min, max, nulls as i64);
            }
            // Nothing but NaN: of that the index has no way to speak.
            _ => self.builder.to_invalid(),
        }
    }

    fn bytes(&self, value: &Value, zero: fn(f64) -> f64, cut: fn(&str) -> (Vec<u8>, bool)) -> Vec<u8> {
        let number = match self.physical {
            Physical::INT32 => int(value).map(|v| v.to_le_bytes().to_vec()),
            Physical::INT64 => long(value).map(|v| v.to_le_bytes().to_vec()),
            Physical::FLOAT => double(value).map(|v| (zero(v) as f32).to_le_bytes().to_vec()),
            Physical::DOUBLE => double(value).map(|v| zero(v).to_le_bytes().to_vec()),
            _ => text(value).map(|text| cut(text).0),
        };
        number.unwrap_or_default()
    }

    fn build(mut self) -> Result<Option<ColumnIndexMetaData>, ParquetError> {
        self.builder.set_boundary_order(match (self.ascending, self.descending) {
            (true, _) => BoundaryOrder::ASCENDING,
            (false, true) => BoundaryOrder::DESCENDING,
            (false, false) => BoundaryOrder::UNORDERED,
        });
        if self.builder.valid() { self.builder.build().map(Some) } else { Ok(None) }
    }
}
