//! Takes rows out of a data file by copying its pages, where the file is of a kind whose pages are known, and says what the table's log is to know of the new file. Knows files,
//! row numbers and statistics; nothing of keys, nor of what pages look like.

use super::pages::{self, Removed, Source, Stop};
use super::rewrite::{Rewriter, Writers};
use crate::convert::convert;
use crate::log::Add;
use crate::schema::DeltaType;
use crate::sink::stats::{FileStats, plain};
use crate::sink::writer::PartitionKey;
use arrow::array::{BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::filter_record_batch;
use flowc_ir::Field;
use flowc_ir::arrow_types::to_arrow_field;
use flowc_runtime::RunError;
use futures::TryStreamExt;
use parquet::file::metadata::ParquetMetaData;
use roaring::RoaringTreemap;
use serde_json::Value as Json;

/// Rows that are read at a time.
const BATCH_ROWS: usize = 8192;
/// Statistics of columns.
const BOUNDS: [&str; 2] = ["minValues", "maxValues"];
const NULLS: &str = "nullCount";

impl Rewriter {
    /// Writes a file of `length` rows without those that are `dead` by copying its pages. Says whether it did; otherwise the file is to be decoded.
    pub(super) async fn by_pages(
        &self,
        add: &Add,
        (dead, length): (&RoaringTreemap, u64),
        writers: &mut Writers,
    ) -> Result<bool, RunError> {
        // Files that get small are gathered in larger ones.
        let small = (add.size.max(0) as usize) < self.sizes.copied_bytes || dead.len() > length / 2;
        if small || dead.max().is_some_and(|row| row >= length) {
            return Ok(false);
        }
        let Some((reader, metadata)) = self.scan.exact(add).await?.filter(|(_, metadata)| pages::fits(metadata)) else {
            return Ok(false);
        };
        let local = self.storage.local(&add.path).and_then(|path| std::fs::File::open(path).ok());
        if metadata.file_metadata().num_rows() != length as i64 {
            return Ok(false);
        }
        let value = |name: &String| add.partition_values.get(name).cloned().flatten();
        let key: PartitionKey = self.target.partition_by.iter().map(value).collect();
        let (path, mut upload) = writers.rows().upload(&key)?;
        match pages::copy(Source { reader, local }, &metadata, dead, &mut upload).await {
            Ok(copied) => {
                let stats = self.stats(add, (dead, length), &metadata, &copied.removed).await?;
                writers.rows().uploaded(&key, &path, copied.bytes, stats);
                Ok(true)
            }
            Err(Stop::Unfit) => {
                // Nobody knows of what was written so far.
                let _ = upload.abort().await;
                Ok(false)
            }
            Err(Stop::Reading(error)) => Err(self.scan.parquet_error(&add.path, error).at(self.spec.origin)),
            Err(Stop::Writing(error)) => Err(writers.rows().failed(error)),
        }
    }

    /// Statistics of the file without its dead rows: those that it had, but for columns whose bounds may have left with them.
    async fn stats(
        &self,
        add: &Add,
        (dead, length): (&RoaringTreemap, u64),
        metadata: &ParquetMetaData,
        removed: &[Removed],
    ) -> Result<String, RunError> {
        let data: Vec<usize> = (0..self.target.columns.len())
            .filter(|i| !self.target.partition_by.contains(&self.target.columns[*i].0.name))
            .collect();
        let Some(mut stats) = tight(add) else {
            return Ok(self.counted(add, dead, &data, self.target.indexed).await?.to_json());
        };
        let mut stale = vec![];
        for position in data {
            let name = &self.target.columns[position].0.name;
            if BOUNDS.iter().chain([&NULLS]).all(|what| stats[*what].get(name).is_none()) {
                continue;
            }
            match leaf(metadata, name).and_then(|leaf| removed.get(leaf)) {
                Some(Removed { bound: false, nulls }) => {
                    if let Some(count) = stats[NULLS].get(name).and_then(Json::as_u64) {
                        stats[NULLS][name] = count.saturating_sub(*nulls).into();
                    }
                }
                _ => stale.push(position),
            }
        }
        if !stale.is_empty() {
            let counted = self.counted(add, dead, &stale, usize::MAX).await?.to_json();
            let fresh: Json = serde_json::from_str(&counted).map_err(|e| self.layout.internal(e))?;
            for name in stale.iter().map(|position| &self.target.columns[*position].0.name) {
                for what in BOUNDS.iter().chain([&NULLS]) {
                    replace(&mut stats, what, name, fresh[*what].get(name));
                }
            }
        }
        stats["numRecords"] = (length - dead.len()).into();
        stats["tightBounds"] = true.into();
        Ok(stats.to_string())
    }

    /// Statistics of some columns of a file without its dead rows.
    async fn counted(
        &self,
        add: &Add,
        dead: &RoaringTreemap,
        positions: &[usize],
        limit: usize,
    ) -> Result<FileStats, RunError> {
        let columns: Vec<&(Field, DeltaType, usize)> = positions.iter().map(|p| &self.target.columns[*p]).collect();
        let schema = plain(columns.iter().map(|(field, ..)| to_arrow_field(field)));
        let mut stats = FileStats::new(&schema, limit);
        let places: Vec<usize> = columns.iter().map(|(.., position)| *position).collect();
        let scan = self.scan.narrowed(&places);
        let mut batches = scan.numbered(add, |_| Ok(true), BATCH_ROWS).await?;
        while let Some((first, batch)) = batches.try_next().await? {
            let arrays = batch.columns().iter().zip(&columns);
            let arrays = arrays.map(|(array, (field, table, _))| convert(array, &field.ty.data, table, false));
            let arrays = arrays.collect::<Result<Vec<_>, _>>().map_err(|e| self.layout.internal(e))?;
            let rows = batch.num_rows() as u64;
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            let batch = RecordBatch::try_new_with_options(schema.clone(), arrays, &options);
            let batch = batch.map_err(|e| self.layout.internal(e))?;
            if dead.range_cardinality(first..first + rows) == 0 {
                stats.update(&batch);
                continue;
            }
            let kept: BooleanArray = (first..first + rows).map(|row| Some(!dead.contains(row))).collect();
            stats.update(&filter_record_batch(&batch, &kept).map_err(|e| self.layout.internal(e))?);
        }
        Ok(stats)
    }
}

/// The statistics of a file, where they are of exactly its rows.
fn tight(add: &Add) -> Option<Json> {
    let stats: Json = serde_json::from_str(add.stats.as_deref()?).ok()?;
    let exact = add.deletion_vector.is_none() && stats["tightBounds"] != Json::Bool(false);
    (exact && stats["numRecords"].is_u64()).then_some(stats)
}

/// The leaf that is a column of the file, where it is no struct.
fn leaf(metadata: &ParquetMetaData, name: &str) -> Option<usize> {
    let columns = metadata.file_metadata().schema_descr().columns();
    columns.iter().position(|c| matches!(c.path().parts(), [only] if only == name))
}

fn replace(stats: &mut Json, what: &str, name: &str, value: Option<&Json>) {
    if !stats[what].is_object() {
        stats[what] = Json::Object(Default::default());
    }
    let Some(columns) = stats[what].as_object_mut() else { return };
    match value {
        Some(value) => drop(columns.insert(name.to_string(), value.clone())),
        None => drop(columns.shift_remove(name)),
    }
}
