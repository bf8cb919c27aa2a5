//! Writes one worker's rows into Parquet files, one open file a partition. The files have unique names and are part of nothing until they are
//! committed. Knows Parquet and partitions; nothing of the log.

use super::encode::FileEncoder;
use super::partitions::Partitions;
use super::stats::{FileStats, plain};
use super::target::{Target, describe};
use crate::codes;
use crate::convert::convert;
use crate::log::Add;
use crate::partition;
use crate::storage::{Storage, StorageError, one_line, percent_decode, percent_encode};
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};
use async_trait::async_trait;
use deltalake::logstore::object_store::buffered::BufWriter;
use deltalake::logstore::object_store::path::Path;
use deltalake::logstore::object_store::{self, ObjectStoreExt};
use flowc_ir::arrow_types::to_arrow_field;
use flowc_ir::plan::SinkSpec;
use flowc_runtime::{RunError, SinkWriter, Written};
use indexmap::IndexMap;
use parquet::errors::ParquetError;
use std::sync::Arc;
use uuid::Uuid;

/// Sizes that bound memory and files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// A file ends when it has about so many bytes.
    pub file_bytes: usize,
    /// A row group ends when it has about so many bytes,
    pub row_group_bytes: usize,
    /// or so many rows.
    pub row_group_rows: usize,
    /// Open files of one worker.
    pub open_files: usize,
    /// Bytes of one worker in files that are open.
    pub open_bytes: usize,
    /// A merge that takes rows out of a file of so many bytes copies its pages; rows of smaller ones are gathered in new files.
    pub copied_bytes: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Sizes {
            file_bytes: 128 << 20,
            row_group_bytes: 32 << 20,
            row_group_rows: 1 << 20,
            open_files: 512,
            open_bytes: 128 << 20,
            copied_bytes: 1 << 20,
        }
    }
}

/// An upload starts in parts when a file has more bytes than this.
const UPLOAD_BYTES: usize = 5 << 20;
/// The same for the local file system, which takes parts of any size.
const LOCAL_UPLOAD_BYTES: usize = 256 << 10;
/// Parts that are uploaded at the same time: the file waits for them rather than to collect in memory what the store does not take yet.
const UPLOADS: usize = 2;

/// What a writer's files hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// Rows of the table.
    Rows,
    /// Rows that changed, for the change data feed.
    Changes,
}

impl Holds {
    /// The folder of the files in the table's, and the beginning of their names.
    fn place(self) -> (&'static str, &'static str) {
        match self {
            Holds::Rows => ("", "part"),
            Holds::Changes => ("_change_data/", "cdc"),
        }
    }
}

/// A name for a data file that no other has.
fn data_file(kind: &str, worker: usize, number: usize, mark: u64) -> String {
    let (_, unique) = Uuid::new_v4().as_u64_pair();
    format!("{kind}-{worker:05}-{number:05}-{}{DATA_FILE_END}", Uuid::from_u64_pair(mark, unique))
}

const DATA_FILE_END: &str = ".zstd.parquet";

/// Whether a file was named by [`data_file`].
pub(crate) fn is_data_file(name: &str) -> bool {
    let Some(parts) = name.strip_prefix("part-").and_then(|rest| rest.strip_suffix(DATA_FILE_END)) else {
        return false;
    };
    let mut parts = parts.splitn(3, '-');
    let mut number = || parts.next().is_some_and(|n| n.len() >= 5 && n.bytes().all(|b| b.is_ascii_digit()));
    number() && number() && parts.next().is_some_and(|id| Uuid::try_parse(id).is_ok())
}

/// The partition values of a file, as the log has them.
pub type PartitionKey = Vec<Option<String>>;

struct OpenFile {
    writer: FileEncoder,
    path: String,
    stats: FileStats,
    used: u64,
}

/// The rows of one worker.
pub struct DeltaWriter {
    spec: Arc<SinkSpec>,
    storage: Storage,
    target: Arc<Target>,
    sizes: Sizes,
    holds: Holds,
    /// The partitions whose rows are written; none: all.
    only: Option<Arc<Partitions>>,
    worker: usize,
    /// The first half of the files' unique names: the same for all files of an epoch.
    mark: u64,
    schema: SchemaRef,
    open: IndexMap<PartitionKey, OpenFile>,
    /// Paths of files that were begun, to remove them if the work is given up.
    begun: Vec<String>,
    adds: Vec<Add>,
    clock: u64,
}

impl DeltaWriter {
    /// Writes for a target. `worker` tells the files of several writers apart, for people; `mark` those of several epochs.
    pub fn new(
        spec: Arc<SinkSpec>,
        storage: Storage,
        target: Arc<Target>,
        sizes: Sizes,
        (worker, mark): (usize, u64),
    ) -> Self {
        let data = target.columns.iter().filter(|(f, ..)| !target.partition_by.contains(&f.name));
        let schema = plain(data.map(|(f, ..)| to_arrow_field(f)));
        let (open, begun, adds) = (IndexMap::new(), vec![], vec![]);
        DeltaWriter {
            spec,
            storage,
            target,
            sizes,
            holds: Holds::Rows,
            only: None,
            worker,
            mark,
            schema,
            open,
            begun,
            adds,
            clock: 0,
        }
    }

    /// Writes files of another kind.
    pub fn holding(self, holds: Holds) -> Self {
        DeltaWriter { holds, ..self }
    }

    /// Leaves out the rows of other partitions than these.
    pub fn only(self, partitions: Option<Arc<Partitions>>) -> Self {
        DeltaWriter { only: partitions, ..self }
    }

    /// Whether the rows of a partition are written.
    fn wanted(&self, key: &PartitionKey) -> bool {
        self.only
            .as_ref()
            .is_none_or(|only| only.hold(&self.target.partition_by.iter().cloned().zip(key.iter().cloned()).collect()))
    }

    /// Ends the files: their `add` actions. When this fails, they are removed as far as possible.
    pub async fn close(mut self) -> Result<Vec<Add>, RunError> {
        let keys: Vec<PartitionKey> = self.open.keys().cloned().collect();
        for key in keys {
            if let Err(error) = self.end(&key).await {
                self.discard().await;
                return Err(error);
            }
        }
        Ok(std::mem::take(&mut self.adds))
    }

    /// Removes what was written, as far as possible.
    pub async fn discard(&mut self) {
        // Unfinished uploads are dropped with their writers.
        self.open.clear();
        let store = self.storage.store();
        for path in self.begun.drain(..) {
            if let Ok(path) = Path::parse(&path) {
                // What cannot be removed is part of no table, and goes with the next vacuum.
                let _ = store.delete(&path).await;
            }
        }
    }

    /// What to say where a file cannot be written.
    pub(crate) fn failed(&self, error: ParquetError) -> RunError {
        let what = describe(&self.spec);
        if let ParquetError::External(inner) = &error
            && let Some(store) = inner.downcast_ref::<object_store::Error>()
        {
            return StorageError::Failed(one_line(store)).writing(&what).at(self.spec.origin);
        }
        StorageError::Failed(one_line(&error)).writing(&what).at(self.spec.origin)
    }

    /// The batch's columns with the table's types: those of partitions, and those that go into the file.
    fn columns(&self, batch: &RecordBatch) -> Result<(Vec<ArrayRef>, RecordBatch), RunError> {
        let mut data = vec![];
        let mut partitions: IndexMap<&str, ArrayRef> = IndexMap::new();
        for (field, table, position) in &self.target.columns {
            let column = convert(batch.column(*position), &field.ty.data, table, false).map_err(|e| {
                let message = format!("{}: column `{}`: {e}", describe(&self.spec), field.name);
                RunError::data(codes::TARGET_SCHEMA, message).at(self.spec.origin)
            })?;
            if self.target.partition_by.contains(&field.name) {
                partitions.insert(&field.name, column);
            } else {
                data.push(column);
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let data = RecordBatch::try_new_with_options(self.schema.clone(), data, &options).map_err(|e| {
            RunError::data(codes::TARGET_SCHEMA, format!("{}: {e}", describe(&self.spec))).at(self.spec.origin)
        })?;
        // A partition column that the program does not have is null in its rows.
        let null = || arrow::array::new_null_array(&arrow::datatypes::DataType::Null, batch.num_rows());
        let by =
            self.target.partition_by.iter().map(|name| partitions.get(name.as_str()).cloned().unwrap_or_else(null));
        Ok((by.collect(), data))
    }

    /// The rows of each partition, partitions in the order of their first rows.
    fn groups(&self, by: &[ArrayRef], rows: usize) -> Result<Vec<(PartitionKey, Vec<u32>)>, RunError> {
        let failed = |e: arrow::error::ArrowError| self.failed(ParquetError::from(e));
        let fields = by.iter().map(|c| SortField::new(c.data_type().clone())).collect();
        let encoded = RowConverter::new(fields).and_then(|c| c.convert_columns(by)).map_err(failed)?;
        let mut groups: IndexMap<&[u8], Vec<u32>> = IndexMap::new();
        for row in 0..rows {
            groups.entry(encoded.row(row).data()).or_default().push(row as u32);
        }
        // Values that the log writes alike (the empty string and null) are one partition.
        let mut merged: IndexMap<PartitionKey, Vec<u32>> = IndexMap::new();
        for rows in groups.into_values() {
            merged.entry(self.key(by, rows[0] as usize)?).or_default().extend(rows);
        }
        Ok(merged.into_iter().collect())
    }

    fn key(&self, by: &[ArrayRef], row: usize) -> Result<PartitionKey, RunError> {
        let value = |(name, column): (&String, &ArrayRef)| {
            let Some((field, ..)) = self.target.columns.iter().find(|(f, ..)| f.name == *name) else { return Ok(None) };
            let value = partition::value_at(column, row).ok_or_else(|| format!("{} cannot be a partition", field.ty));
            value.and_then(|v| partition::serialize(&v, &field.ty.data)).map_err(|why| {
                let message = format!("{}: partition column `{name}`: {why}", describe(&self.spec));
                RunError::data(codes::BAD_PARTITION_VALUE, message)
                    .help("partition by another column, or by an expression of this one")
                    .at(self.spec.origin)
            })
        };
        self.target.partition_by.iter().zip(by).map(value).collect()
    }

    async fn write_partition(&mut self, key: PartitionKey, batch: &RecordBatch) -> Result<(), RunError> {
        self.clock += 1;
        if !self.open.contains_key(&key) {
            let file = self.begin(&key, batch)?;
            self.open.insert(key.clone(), file);
        }
        let (clock, sizes) = (self.clock, self.sizes);
        let Some(file) = self.open.get_mut(&key) else { return Ok(()) };
        file.used = clock;
        file.stats.update_without(batch, |column| file.writer.knows(column));
        let mut result = file.writer.write(batch).await;
        if result.is_ok() && file.writer.in_progress_size() >= sizes.row_group_bytes {
            result = file.writer.flush().await;
        }
        let full = file.writer.bytes_written() + file.writer.in_progress_size() >= sizes.file_bytes;
        result.map_err(|e| self.failed(e))?;
        if full { self.end(&key).await } else { Ok(()) }
    }

    /// Ends files until what is open fits: the largest where bytes are too many, the one that was longest unused where files are.
    async fn bound_memory(&mut self) -> Result<(), RunError> {
        loop {
            let bytes: usize = self.open.values().map(|f| f.writer.memory_size()).sum();
            let victim = if bytes > self.sizes.open_bytes {
                self.open.iter().max_by_key(|(_, f)| f.writer.memory_size())
            } else if self.open.len() > self.sizes.open_files {
                self.open.iter().min_by_key(|(_, f)| f.used)
            } else {
                None
            };
            let victim = victim.map(|(key, _)| key.clone());
            match victim {
                Some(key) => self.end(&key).await?,
                None => return Ok(()),
            }
        }
    }

    /// Begins a file of a partition that somebody else writes: its path, and where its bytes go.
    pub fn upload(&mut self, key: &PartitionKey) -> Result<(String, BufWriter), RunError> {
        let (folder, kind) = self.holds.place();
        let mut path = folder.to_string();
        // Folders mean nothing to readers; some of them do not decode the paths of the change data feed, which therefore have nothing to decode.
        if self.holds == Holds::Rows {
            for (column, value) in self.target.partition_by.iter().zip(key) {
                path.push_str(&partition::folder(column, value.as_deref()));
                path.push('/');
            }
        }
        // In the order in which they were begun, for whoever reads them by name.
        path.push_str(&data_file(kind, self.worker, self.begun.len(), self.mark));
        let object = Path::parse(&path).map_err(|e| self.failed(ParquetError::External(Box::new(e))))?;
        self.begun.push(path.clone());
        let local = self.storage.local(&percent_encode(&path)).is_some();
        let part = if local { LOCAL_UPLOAD_BYTES } else { UPLOAD_BYTES };
        let upload = BufWriter::with_capacity(self.storage.store(), object, part).with_max_concurrency(UPLOADS);
        Ok((path, upload))
    }

    /// Takes a file that was written to an [`upload`](DeltaWriter::upload) among those of this writer.
    pub fn uploaded(&mut self, key: &PartitionKey, path: &str, bytes: u64, stats: String) {
        self.adds.push(Add {
            path: percent_encode(path),
            partition_values: self.target.partition_by.iter().cloned().zip(key.iter().cloned()).collect(),
            size: bytes as i64,
            modification_time: super::now_millis(),
            data_change: true,
            stats: Some(stats),
            stats_parsed: None,
            tags: None,
            deletion_vector: None,
            base_row_id: None,
            default_row_commit_version: None,
            clustering_provider: None,
        });
    }

    /// Begins a file whose first rows are these.
    fn begin(&mut self, key: &PartitionKey, first: &RecordBatch) -> Result<OpenFile, RunError> {
        let (path, upload) = self.upload(key)?;
        let rows = self.sizes.row_group_rows;
        let writer = FileEncoder::new(upload, &self.schema, rows, first).map_err(|e| self.failed(e))?;
        Ok(OpenFile { writer, path, stats: FileStats::new(&self.schema, self.target.indexed), used: self.clock })
    }

    async fn end(&mut self, key: &PartitionKey) -> Result<(), RunError> {
        let Some(mut file) = self.open.shift_remove(key) else { return Ok(()) };
        file.writer.finish().await.map_err(|e| self.failed(e))?;
        for (column, bounds) in file.writer.bounds() {
            file.stats.column(column, bounds);
        }
        let (bytes, stats) = (file.writer.bytes_written() as u64, file.stats.to_json());
        self.uploaded(key, &file.path, bytes, stats);
        Ok(())
    }
}

#[async_trait]
impl SinkWriter for DeltaWriter {
    async fn write(&mut self, batch: &RecordBatch) -> Result<(), RunError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let (by, data) = self.columns(batch)?;
        if by.is_empty() {
            self.write_partition(vec![], &data).await?;
            return self.bound_memory().await;
        }
        let mut groups = self.groups(&by, batch.num_rows())?;
        if let [(key, _)] = groups.as_slice()
            && self.wanted(key)
        {
            self.write_partition(key.clone(), &data).await?;
            return self.bound_memory().await;
        }
        groups.retain(|(key, _)| self.wanted(key));
        for (key, rows) in groups {
            let (count, indices) = (rows.len(), UInt32Array::from(rows));
            let columns = data.columns().iter().map(|c| take(c, &indices, None)).collect::<Result<Vec<_>, _>>();
            let options = RecordBatchOptions::new().with_row_count(Some(count));
            let part = columns.and_then(|c| RecordBatch::try_new_with_options(self.schema.clone(), c, &options));
            let part = part.map_err(|e| self.failed(ParquetError::from(e)))?;
            self.write_partition(key, &part).await?;
        }
        self.bound_memory().await
    }

    async fn finish(self: Box<Self>) -> Result<Written, RunError> {
        let adds = self.close().await?;
        let rows = adds.iter().filter_map(Add::physical_rows).sum();
        let bytes = adds.iter().map(|a| a.size.max(0) as u64).sum();
        let files = adds.len() as u64;
        let detail = adds.iter().map(|a| serde_json::to_value(a).unwrap_or_default()).collect();
        Ok(Written { detail, rows, files, bytes })
    }

    async fn abort(mut self: Box<Self>) {
        self.discard().await;
    }
}

/// Removes files that were written and will not be committed, as far as possible.
pub async fn remove(storage: &Storage, adds: &[Add]) {
    let store = storage.store();
    for add in adds {
        if let Ok(path) = Path::parse(percent_decode(&add.path)) {
            let _ = store.delete(&path).await;
        }
    }
}
