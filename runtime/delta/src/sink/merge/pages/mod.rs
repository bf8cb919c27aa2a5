//! Copies a Parquet file without some of its rows, page by page: pages that lose no row as the bytes they are, of others the values that are left in the encoding and
//! compression they had. Nothing is decoded into columns, and a few pages are in memory. Knows Parquet; nothing of tables.

mod codec;
mod header;
mod page;
#[cfg(test)]
mod tests;

use crate::file_reader::FileReader;
use bytes::Bytes;
use codec::Codec;
use deltalake::logstore::object_store::buffered::BufWriter;
use header::{Data, Header, Kind, Second};
use page::Column;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::basic::Encoding;
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    ColumnChunkMetaData, ColumnChunkMetaDataBuilder, FileMetaData, ParquetMetaData, ParquetMetaDataBuilder,
    ParquetMetaDataWriter, RowGroupMetaData,
};
use parquet::file::statistics::{Statistics, ValueStatistics};
use roaring::RoaringTreemap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use tokio::io::AsyncWriteExt;

/// Bytes that are read at a time from the local file system,
const LOCAL_WINDOW: usize = 256 << 10;
/// and from elsewhere, where each request takes its time.
const WINDOW: usize = 4 << 20;

/// A larger page is taken for damaged.
const MAX_PAGE: usize = 1 << 30;

/// A file to copy.
pub struct Source {
    /// Reads it where it is,
    pub reader: FileReader,
    /// unless it lies in the local file system, where the task reads itself.
    pub local: Option<File>,
}

/// What the copy does not know, or took for damaged: the file is to be rewritten by decoding it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unfit(pub &'static str);

/// Why a file was not copied.
#[derive(Debug)]
pub enum Stop {
    /// See [`Unfit`].
    Unfit,
    /// It could not be read,
    Reading(ParquetError),
    /// or written.
    Writing(ParquetError),
}

impl From<Unfit> for Stop {
    fn from(_: Unfit) -> Stop {
        Stop::Unfit
    }
}

/// What left a column of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// Whether the least or the greatest value may have been among it.
    pub bound: bool,
    /// Nulls.
    pub nulls: u64,
}

/// A file that was written.
#[derive(Debug, PartialEq, Eq)]
pub struct Copied {
    /// Its bytes.
    pub bytes: u64,
    /// What left each leaf column.
    pub removed: Vec<Removed>,
}

/// Whether the pages of a file are of a kind that can be copied, as far as its footer says.
pub fn fits(metadata: &ParquetMetaData) -> bool {
    let known = |encoding| {
        let known = [Encoding::PLAIN, Encoding::RLE, Encoding::PLAIN_DICTIONARY, Encoding::RLE_DICTIONARY];
        // Old writers name this one of levels that are not there.
        known.contains(&encoding) || encoding == BIT_PACKED
    };
    let chunk = |c: &ColumnChunkMetaData| {
        c.encodings().all(known)
            && c.file_path().is_none()
            && Column::new(c).is_ok()
            && Codec::new(c.compression()).is_ok()
    };
    // Without an order of its values the bounds of a column mean something else.
    let ordered = metadata.file_metadata().column_orders().is_some();
    let numbered = i16::try_from(metadata.num_row_groups()).is_ok();
    ordered && numbered && metadata.row_groups().iter().all(|group| group.columns().iter().all(chunk))
}

#[expect(deprecated, reason = "files have it")]
const BIT_PACKED: Encoding = Encoding::BIT_PACKED;

/// Writes a file without the rows `gone`, not all of which it has. Unless it returns `Ok`, what was written is nothing, and is to be removed.
pub async fn copy(
    source: Source,
    metadata: &ParquetMetaData,
    gone: &RoaringTreemap,
    writer: &mut BufWriter,
) -> Result<Copied, Stop> {
    let mut removed = vec![Removed::default(); metadata.file_metadata().schema_descr().num_columns()];
    let mut copy = Copy { source, out: Output { writer, at: 0 } };
    copy.out.put(Bytes::from_static(b"PAR1")).await?;
    let (mut groups, mut first) = (vec![], 0u64);
    let mut all = gone.iter();
    for group in metadata.row_groups() {
        let rows = u64::try_from(group.num_rows()).map_err(|_| Unfit("a negative number of rows"))?;
        let count = usize::try_from(gone.range_cardinality(first..first + rows)).map_err(|_| Unfit("rows"))?;
        let within: Vec<u64> = all.by_ref().take(count).map(|row| row - first).collect();
        first += rows;
        if (count as u64) < rows {
            groups.push(copy.group(group, &within, &mut removed).await?);
        } else {
            removed = vec![Removed { bound: true, nulls: 0 }; removed.len()];
        }
    }
    copy.footer(metadata, groups).await?;
    let bytes = copy.out.at;
    copy.out.writer.shutdown().await.map_err(|e| Stop::Writing(ParquetError::External(Box::new(e))))?;
    Ok(Copied { bytes, removed })
}

struct Copy<'a> {
    source: Source,
    out: Output<'a>,
}

/// What is written, and how far it is.
struct Output<'a> {
    writer: &'a mut BufWriter,
    at: u64,
}

impl Output<'_> {
    async fn put(&mut self, bytes: impl Into<Bytes>) -> Result<(), Stop> {
        let bytes = bytes.into();
        if bytes.is_empty() {
            return Ok(());
        }
        self.at += bytes.len() as u64;
        self.writer.put(bytes).await.map_err(|e| Stop::Writing(ParquetError::External(Box::new(e))))
    }
}

impl Copy<'_> {
    async fn group(
        &mut self,
        group: &RowGroupMetaData,
        gone: &[u64],
        removed: &mut [Removed],
    ) -> Result<RowGroupMetaData, Stop> {
        let (mut columns, mut size, begin) = (vec![], 0, self.out.at);
        for (chunk, removed) in group.columns().iter().zip(removed) {
            let mut column = Column::new(chunk)?;
            let chunk = self.chunk(chunk, &mut column, gone, group.num_rows()).await?;
            removed.bound |= column.touched;
            removed.nulls += column.nulls;
            size += chunk.uncompressed_size();
            columns.push(chunk);
        }
        let builder = group.clone().into_builder().set_column_metadata(columns).set_total_byte_size(size);
        let builder = builder.set_num_rows(group.num_rows() - gone.len() as i64).set_file_offset(begin as i64);
        builder.build().map_err(Stop::Writing)
    }

    async fn chunk(
        &mut self,
        chunk: &ColumnChunkMetaData,
        column: &mut Column,
        gone: &[u64],
        rows: i64,
    ) -> Result<ColumnChunkMetaData, Stop> {
        if chunk.num_values() != rows {
            return Err(Unfit("other values than rows").into());
        }
        let mut window = Window::new(&self.source, chunk)?;
        let mut codec = Codec::new(chunk.compression())?;
        let (begin, mut data, mut dictionary, mut size) = (self.out.at, None, None, 0);
        let (mut row, mut gone, left) = (0u64, gone, gone.len() as i64);
        while row < rows as u64 {
            let head = window.header().await?;
            if head.compressed.max(head.uncompressed) > MAX_PAGE {
                return Err(Unfit("a page of that size").into());
            }
            let length = head.length + head.compressed;
            window.have(length).await?;
            let page = window.take(length);
            match head.kind {
                Kind::Dictionary(values, _) => {
                    dictionary = Some(self.out.at as i64);
                    if !gone.is_empty() {
                        let bytes = codec.decompress(&page[head.length..], head.uncompressed)?;
                        column.dictionary(&bytes, values)?;
                    }
                    size += length;
                    self.out.put(page).await?;
                }
                Kind::Data(of) => {
                    if of.values as u64 > rows as u64 - row {
                        return Err(Unfit("pages of other rows").into());
                    }
                    let count = gone.partition_point(|g| *g < row + of.values as u64);
                    let (mine, others) = gone.split_at(count);
                    let at: Vec<u32> = mine.iter().map(|g| (g - row) as u32).collect();
                    (row, gone) = (row + of.values as u64, others);
                    let page = match at.len() {
                        0 => (page, length),
                        _ => thinned(column, &mut codec, &head, &of, &page, &at)?,
                    };
                    if !page.0.is_empty() {
                        data.get_or_insert(self.out.at as i64);
                    }
                    size += page.1;
                    self.out.put(page.0).await?;
                }
            }
        }
        if row != rows as u64 {
            return Err(Unfit("pages of other rows").into());
        }
        let places = (dictionary, data.ok_or(Unfit("no page"))?);
        described(chunk, column, rows - left, places, ((self.out.at - begin) as i64, size as i64))
            .map_err(Stop::Writing)
    }

    async fn footer(&mut self, metadata: &ParquetMetaData, groups: Vec<RowGroupMetaData>) -> Result<(), Stop> {
        let file = metadata.file_metadata();
        let rows = groups.iter().map(|g| g.num_rows()).sum();
        // The pages are still those of their writer: readers that know its peculiarities go by its name.
        let (by, texts) = (file.created_by().map(str::to_string), file.key_value_metadata().cloned());
        let (schema, orders) = (file.schema_descr_ptr(), file.column_orders().cloned());
        let file = FileMetaData::new(file.version(), rows, by, texts, schema, orders);
        let groups = groups.into_iter().zip(0i16..).map(|(g, n)| g.into_builder().set_ordinal(n).build());
        let groups = groups.collect::<Result<Vec<_>, _>>().map_err(Stop::Writing)?;
        let metadata = ParquetMetaDataBuilder::new(file).set_row_groups(groups).build();
        let mut bytes = vec![];
        ParquetMetaDataWriter::new(&mut bytes, &metadata).finish().map_err(Stop::Writing)?;
        self.out.put(bytes).await
    }
}

/// A page without the rows at these places, with its header, and its bytes when they are not compressed; nothing where all leave.
fn thinned(
    column: &mut Column,
    codec: &mut Codec,
    head: &Header,
    of: &Data,
    page: &[u8],
    gone: &[u32],
) -> Result<(Bytes, usize), Unfit> {
    let body = &page[head.length..];
    let early = Unfit("a page that ends early");
    let levels = of.second.map_or(0, |s| s.definitions + s.repetitions);
    let packed = body.get(levels..).ok_or(early)?;
    let unpacked = match of.second {
        Some(Second { compressed: false, .. }) => packed.to_vec(),
        _ => codec.decompress(packed, head.uncompressed.checked_sub(levels).ok_or(early)?)?,
    };
    // In pages of the first version the levels stand before the values, with their length.
    let (definitions, values) = match of.second {
        Some(second) => (&body[second.repetitions..levels], &unpacked[..]),
        None if column.optional() => {
            let length = unpacked.first_chunk::<4>().map(|b| u32::from_le_bytes(*b) as usize).ok_or(early)?;
            (unpacked.get(4..4 + length).ok_or(early)?, &unpacked[4 + length..])
        }
        None => (&[][..], &unpacked[..]),
    };
    let left = column.without(of, definitions, values, gone)?;
    let rows = of.values - gone.len();
    if rows == 0 {
        return Ok((Bytes::new(), 0));
    }
    let mut new = Data { values: rows, ..*of };
    let (plain, uncompressed, packed) = match &mut new.second {
        Some(second) => {
            (second.definitions, second.repetitions) = (left.levels.len(), 0);
            let uncompressed = left.levels.len() + left.values.len();
            // Of no values not even an empty frame is written: readers differ in whether they look for one.
            second.compressed &= !left.values.is_empty();
            let packed = if second.compressed { codec.compress(left.values)? } else { left.values };
            (left.levels, uncompressed, packed)
        }
        None => {
            let mut bytes = vec![];
            if column.optional() {
                bytes.extend((left.levels.len() as u32).to_le_bytes());
            }
            bytes.extend([left.levels, left.values].concat());
            (vec![], bytes.len(), codec.compress(bytes)?)
        }
    };
    let mut out = header::write(&new, (uncompressed, plain.len() + packed.len()), left.nulls);
    let size = out.len() + uncompressed;
    out.extend([plain, packed].concat());
    Ok((out.into(), size))
}

/// What is said of the copy of a column chunk: so many rows, its dictionary and its first page of data at these places, its compressed and other bytes.
fn described(
    chunk: &ColumnChunkMetaData,
    column: &Column,
    rows: i64,
    (dictionary, data): (Option<i64>, i64),
    (compressed, uncompressed): (i64, i64),
) -> Result<ColumnChunkMetaData, ParquetError> {
    let builder = chunk.clone().into_builder().set_num_values(rows);
    let builder = builder.set_data_page_offset(data).set_dictionary_page_offset(dictionary);
    let builder = builder.set_total_compressed_size(compressed).set_total_uncompressed_size(uncompressed);
    let builder = without_extras(builder);
    match chunk.statistics().filter(|_| rows < chunk.num_values()) {
        Some(statistics) => builder.set_statistics(less(statistics, column)).build(),
        None => builder.build(),
    }
}

/// What is said of a column chunk besides, and is not copied: it is of other places in the file, or of rows that are gone.
fn without_extras(builder: ColumnChunkMetaDataBuilder) -> ColumnChunkMetaDataBuilder {
    let builder = builder.set_index_page_offset(None).set_bloom_filter_offset(None).set_bloom_filter_length(None);
    let builder = builder.set_offset_index_offset(None).set_offset_index_length(None);
    let builder = builder.set_column_index_offset(None).set_column_index_length(None).clear_page_encoding_stats();
    let builder = builder.set_unencoded_byte_array_data_bytes(None).set_repetition_level_histogram(None);
    builder.set_definition_level_histogram(None)
}

/// Statistics of a column some of whose rows left. Readers take bounds of numbers for values that are there: where those may have left, there are none. Of texts they
/// know that bounds may be wider.
fn less(statistics: &Statistics, column: &Column) -> Statistics {
    fn of<T: Clone>(old: &ValueStatistics<T>, all: &Statistics, column: &Column, wide: bool) -> ValueStatistics<T> {
        let nulls = all.null_count_opt().map(|nulls| nulls.saturating_sub(column.nulls));
        let keeps = |bound: Option<&T>| bound.filter(|_| wide || !column.touched).cloned();
        let (min, max) = (keeps(old.min_opt()), keeps(old.max_opt()));
        let exact = |was: bool| was && !column.touched;
        ValueStatistics::new(min, max, None, nulls, all.is_min_max_deprecated())
            .with_min_is_exact(exact(all.min_is_exact()))
            .with_max_is_exact(exact(all.max_is_exact()))
            .with_backwards_compatible_min_max(old.is_min_max_backwards_compatible())
    }
    match statistics {
        Statistics::Boolean(s) => Statistics::Boolean(of(s, statistics, column, false)),
        Statistics::Int32(s) => Statistics::Int32(of(s, statistics, column, false)),
        Statistics::Int64(s) => Statistics::Int64(of(s, statistics, column, false)),
        Statistics::Int96(s) => Statistics::Int96(of(s, statistics, column, false)),
        Statistics::Float(s) => Statistics::Float(of(s, statistics, column, false)),
        Statistics::Double(s) => Statistics::Double(of(s, statistics, column, false)),
        Statistics::ByteArray(s) => Statistics::ByteArray(of(s, statistics, column, true)),
        Statistics::FixedLenByteArray(s) => Statistics::FixedLenByteArray(of(s, statistics, column, true)),
    }
}

/// Bytes of a file, behind others.
fn read(mut file: &File, range: std::ops::Range<u64>, before: &[u8]) -> std::io::Result<Bytes> {
    let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
    let mut bytes = Vec::with_capacity(before.len().saturating_add(length));
    bytes.extend_from_slice(before);
    bytes.resize(before.len() + length, 0);
    file.seek(SeekFrom::Start(range.start))?;
    file.read_exact(&mut bytes[before.len()..])?;
    Ok(bytes.into())
}

/// The bytes of a column chunk that are looked at.
struct Window<'a> {
    source: &'a Source,
    bytes: Bytes,
    /// The bytes of the file behind them that are still the chunk's.
    rest: std::ops::Range<u64>,
}

impl<'a> Window<'a> {
    fn new(source: &'a Source, chunk: &ColumnChunkMetaData) -> Result<Window<'a>, Unfit> {
        let begin = chunk.dictionary_page_offset().filter(|at| *at > 0).unwrap_or(chunk.data_page_offset());
        let begin = begin.min(chunk.data_page_offset());
        match (u64::try_from(begin), u64::try_from(chunk.compressed_size())) {
            (Ok(begin), Ok(size)) => {
                Ok(Window { source, bytes: Bytes::new(), rest: begin..begin.saturating_add(size) })
            }
            _ => Err(Unfit("a negative place")),
        }
    }

    /// Sees to it that there are so many bytes.
    async fn have(&mut self, length: usize) -> Result<(), Stop> {
        let missing = length.saturating_sub(self.bytes.len()) as u64;
        if missing == 0 {
            return Ok(());
        }
        let rest = self.rest.end.saturating_sub(self.rest.start);
        if missing > rest {
            return Err(Unfit("a chunk that ends early").into());
        }
        let window = if self.source.local.is_some() { LOCAL_WINDOW } else { WINDOW };
        let range = self.rest.start..self.rest.start + rest.min(missing.max(window as u64));
        let end = range.end;
        // The rest of a page goes on in one piece.
        let begun = std::mem::take(&mut self.bytes);
        let more = match &self.source.local {
            Some(file) => read(file, range, &begun).map_err(|e| Stop::Reading(e.into()))?,
            None => {
                let more = self.source.reader.clone().get_bytes(range).await.map_err(Stop::Reading)?;
                if begun.is_empty() { more } else { [&begun[..], &more[..]].concat().into() }
            }
        };
        self.rest.start = end;
        self.bytes = more;
        Ok(())
    }

    fn take(&mut self, length: usize) -> Bytes {
        self.bytes.split_to(length)
    }

    /// The header that comes next.
    async fn header(&mut self) -> Result<Header, Stop> {
        loop {
            if let Some(header) = Header::read(&self.bytes)? {
                return Ok(header);
            }
            if self.bytes.len() > header::MAX_BYTES {
                return Err(Unfit("a page header").into());
            }
            self.have(self.bytes.len() + 1).await?;
        }
    }
}
