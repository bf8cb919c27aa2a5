//! Writes Parquet files. Most columns of tables are flat, of numbers, times and texts: these have encoders of their own, which number values with a table made for it, look at each
//! value once for bounds, and compress only what gets smaller by it; all others have those of the parquet crate, which also writes the file around them. Knows Arrow and
//! Parquet; nothing of tables.

mod chunk;
mod column;
mod dictionary;
#[cfg(test)]
mod tests;

use crate::sink::stats::Bounds;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType as A, Float64Type, Int64Type, SchemaRef, TimeUnit, TimestampMicrosecondType};
use column::Flat;
use deltalake::logstore::object_store::buffered::BufWriter;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::AsyncWriteExt;
use xxhash_rust::xxh3::xxh3_64;
use zstd::bulk::Compressor;

/// As fast as Parquet's writers are by default.
const LEVEL: i32 = 1;

/// Writes a file.
pub struct FileEncoder {
    file: SerializedFileWriter<Pending>,
    pending: Pending,
    upload: BufWriter,
    factory: ArrowRowGroupWriterFactory,
    compressor: Compressor<'static>,
    schema: SchemaRef,
    columns: Vec<Column>,
    /// Rows of the row group that is open, and of a full one.
    rows: usize,
    group_rows: usize,
    groups: usize,
}

/// A column of the schema.
enum Column {
    Flat(Box<Flat>, Bounds),
    /// Encoders of its so many leaves, when a row group is open.
    Other(usize, Vec<ArrowColumnWriter>),
}

/// Bytes that are on their way from the file to the upload.
#[derive(Clone, Default)]
struct Pending(Arc<Mutex<Vec<u8>>>);

impl Pending {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes room for so many bytes.
    fn reserve(&self, bytes: usize) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).reserve(bytes);
    }
}

impl Write for Pending {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl FileEncoder {
    /// Writes columns to an upload, in row groups of at most so many rows. The first rows, which are still to be written, tell for which columns a dictionary is not tried.
    pub fn new(
        upload: BufWriter,
        schema: &SchemaRef,
        group_rows: usize,
        first: &RecordBatch,
    ) -> Result<FileEncoder, ParquetError> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(LEVEL)?))
            .set_created_by(concat!("flowc version ", env!("CARGO_PKG_VERSION")).to_string());
        let pending = Pending::default();
        let writer = ArrowWriter::try_new(pending.clone(), schema.clone(), Some(properties.build()))?;
        let (file, factory) = writer.into_serialized_writer()?;
        let compressor = Compressor::new(LEVEL)?;
        let leaves = file.schema_descr();
        let roots: Vec<usize> = (0..leaves.num_columns()).map(|leaf| leaves.get_column_root_idx(leaf)).collect();
        let column = |(root, field): (usize, &Arc<arrow::datatypes::Field>)| {
            let leaf = roots.partition_point(|r| *r < root);
            let count = roots.partition_point(|r| *r <= root) - leaf;
            if count == 1 && column::fits(field.data_type(), &leaves.column(leaf)) {
                let codes = !first.columns().get(root).is_some_and(all_differ);
                return Column::Flat(Box::new(Flat::new(leaves.column(leaf), codes)), Bounds::default());
            }
            Column::Other(count, vec![])
        };
        let columns = schema.fields().iter().enumerate().map(column).collect();
        let (schema, group_rows) = (schema.clone(), group_rows.max(1));
        Ok(FileEncoder { file, pending, upload, factory, compressor, schema, columns, rows: 0, group_rows, groups: 0 })
    }

    /// Whether the bounds of a column are found here.
    pub fn knows(&self, column: usize) -> bool {
        matches!(self.columns.get(column), Some(Column::Flat(..)))
    }

    /// The columns whose bounds were found here, and their bounds in the row groups that are written.
    pub fn bounds(&self) -> impl Iterator<Item = (usize, &Bounds)> {
        self.columns.iter().enumerate().filter_map(|(index, column)| match column {
            Column::Flat(_, bounds) => Some((index, bounds)),
            Column::Other(..) => None,
        })
    }

    /// The bytes that the rows of the open row group will have, about.
    pub fn in_progress_size(&self) -> usize {
        let size = |column: &Column| match column {
            Column::Flat(flat, _) => flat.size(),
            Column::Other(_, leaves) => leaves.iter().map(ArrowColumnWriter::get_estimated_total_bytes).sum(),
        };
        self.columns.iter().map(size).sum()
    }

    /// The memory that they take.
    pub fn memory_size(&self) -> usize {
        let size = |column: &Column| match column {
            Column::Flat(flat, _) => flat.memory(),
            Column::Other(_, leaves) => leaves.iter().map(ArrowColumnWriter::memory_size).sum(),
        };
        self.columns.iter().map(size).sum()
    }

    /// Bytes of the file so far.
    pub fn bytes_written(&self) -> usize {
        self.file.bytes_written()
    }

    /// Writes rows; of the columns and in the order of the schema.
    pub async fn write(&mut self, batch: &RecordBatch) -> Result<(), ParquetError> {
        let mut at = 0;
        while at < batch.num_rows() {
            let rows = (batch.num_rows() - at).min(self.group_rows - self.rows);
            self.add(&batch.slice(at, rows))?;
            at += rows;
            if self.rows == self.group_rows {
                self.flush().await?;
            }
        }
        Ok(())
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<(), ParquetError> {
        if self.rows == 0 && self.columns.iter().any(|c| matches!(c, Column::Other(..))) {
            let mut leaves = self.factory.create_column_writers(self.groups)?.into_iter();
            for column in &mut self.columns {
                match column {
                    Column::Flat(..) => drop(leaves.next()),
                    Column::Other(count, writers) => *writers = leaves.by_ref().take(*count).collect(),
                }
            }
        }
        self.rows += batch.num_rows();
        for ((column, array), field) in self.columns.iter_mut().zip(batch.columns()).zip(self.schema.fields()) {
            match column {
                Column::Flat(flat, _) => flat.add(array, &mut self.compressor)?,
                Column::Other(_, writers) => {
                    for (leaf, writer) in compute_leaves(field, array)?.iter().zip(writers) {
                        writer.write(leaf)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Ends the row group, if it has rows.
    pub async fn flush(&mut self) -> Result<(), ParquetError> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut group = self.file.next_row_group()?;
        for column in &mut self.columns {
            match column {
                Column::Flat(flat, bounds) => {
                    flat.end_page(&mut self.compressor)?;
                    bounds.merge(flat.bounds());
                    let (bytes, close) = flat.close(&mut self.compressor)?;
                    self.pending.reserve(bytes.len());
                    group.append_column(&bytes, close)?;
                }
                Column::Other(_, writers) => {
                    for writer in writers.drain(..) {
                        writer.close()?.append_to_row_group(&mut group)?;
                    }
                }
            }
            upload(&mut self.upload, &self.pending).await?;
        }
        group.close()?;
        (self.rows, self.groups) = (0, self.groups + 1);
        Ok(())
    }

    /// Ends the file.
    pub async fn finish(&mut self) -> Result<(), ParquetError> {
        self.flush().await?;
        self.file.finish()?;
        upload(&mut self.upload, &self.pending).await?;
        self.upload.shutdown().await.map_err(|e| ParquetError::External(Box::new(e)))
    }
}

async fn upload(to: &mut BufWriter, pending: &Pending) -> Result<(), ParquetError> {
    let bytes = pending.take();
    if bytes.is_empty() {
        return Ok(());
    }
    to.put(bytes.into()).await.map_err(|e| ParquetError::External(Box::new(e)))
}

/// Rows by which it is judged whether a dictionary pays.
const JUDGED_ROWS: usize = 4096;

/// Whether a column's first values all differ, but for one in a hundred: a dictionary of so many would be given up after much work.
fn all_differ(column: &ArrayRef) -> bool {
    if column.len() < JUDGED_ROWS || column.null_count() > 0 {
        return false;
    }
    let first = column.slice(0, JUDGED_ROWS);
    let mut values: Vec<u64> = match first.data_type() {
        A::Int64 => first.as_primitive::<Int64Type>().values().iter().map(|v| *v as u64).collect(),
        A::Timestamp(TimeUnit::Microsecond, _) => {
            first.as_primitive::<TimestampMicrosecondType>().values().iter().map(|v| *v as u64).collect()
        }
        A::Float64 => first.as_primitive::<Float64Type>().values().iter().map(|v| v.to_bits()).collect(),
        A::Utf8 => first.as_string::<i32>().iter().flatten().map(|text| xxh3_64(text.as_bytes())).collect(),
        _ => return false,
    };
    values.sort_unstable();
    values.dedup();
    values.len() >= JUDGED_ROWS - JUDGED_ROWS / 100
}
