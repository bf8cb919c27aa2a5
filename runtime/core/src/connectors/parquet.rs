//! Parquet files, read: splits are row groups, only the columns that are needed are read, row groups that cannot have a needed row are skipped.

use super::conform::conform;
use super::files::{Format, unreadable};
use super::prune::may_match;
use crate::connector::{Part, PartStream, Split};
use crate::error::RunError;
use crate::operators::internal;
use arrow::array::{ArrayRef, new_null_array};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use flowc_ir::arrow_types::{to_arrow, to_arrow_schema};
use flowc_ir::{Program, Schema};
use futures::StreamExt;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use serde_json::json;
use std::fs::File;
use std::sync::Arc;

/// Row groups with fewer rows together make one split.
const SPLIT_ROWS: i64 = 100_000;

/// The format.
#[derive(Debug)]
pub(crate) struct ParquetFormat {
    pub(crate) schema: Schema,
    pub(crate) predicate: Option<Program>,
}

/// A file's footer.
pub(crate) fn footer(path: &str) -> Result<(File, ArrowReaderMetadata), RunError> {
    let file = File::open(path).map_err(|e| unreadable(path, e))?;
    let broken = |e| RunError::data("R0206", format!("`{path}` is not a Parquet file that can be read: {e}"));
    let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).map_err(broken)?;
    Ok((file, metadata))
}

impl Format for ParquetFormat {
    fn splits(&self, path: &str) -> Result<Vec<Split>, RunError> {
        let (_, metadata) = footer(path)?;
        let groups = metadata.metadata().row_groups();
        let mut splits: Vec<Split> = vec![];
        let (mut part, mut rows) = (vec![], 0);
        for (i, group) in groups.iter().enumerate() {
            if self.predicate.as_ref().is_none_or(|p| may_match(p, &metadata, i)) {
                part.push(i);
                rows += group.num_rows();
            }
            if !part.is_empty() && (rows >= SPLIT_ROWS || i + 1 == groups.len()) {
                let text = if splits.is_empty() && i + 1 == groups.len() {
                    path.to_string()
                } else {
                    format!("{path}, row groups {}..={}", part[0], part[part.len() - 1])
                };
                let detail = json!(std::mem::take(&mut part));
                splits.push(Split { detail, text, rows: u64::try_from(std::mem::take(&mut rows)).ok() });
            }
        }
        Ok(splits)
    }

    fn read(&self, path: &str, split: &Split, batch_rows: usize) -> Result<PartStream, RunError> {
        let groups: Vec<usize> = serde_json::from_value(split.detail.clone()).map_err(internal)?;
        let (file, metadata) = footer(path)?;
        let names = metadata.schema().fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>();
        let wanted = self.schema.fields.iter().filter_map(|f| names.iter().position(|n| *n == f.name));
        let mask = ProjectionMask::roots(metadata.parquet_schema(), wanted);
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata)
            .with_row_groups(groups)
            .with_projection(mask)
            .with_batch_size(batch_rows)
            .build()
            .map_err(|e| unreadable(path, e))?;
        let (schema, path) = (self.schema.clone(), path.to_string());
        let batches = reader.map(move |batch| {
            let batch = batch.map_err(|e| unreadable(&path, e))?;
            conform_batch(&batch, &schema, &path).map(Part::Rows)
        });
        Ok(futures::stream::iter(batches).boxed())
    }
}

/// The declared columns, in their order; a column that the file lacks is null where it may be.
fn conform_batch(batch: &RecordBatch, schema: &Schema, path: &str) -> Result<RecordBatch, RunError> {
    let column = |field: &flowc_ir::Field| -> Result<ArrayRef, RunError> {
        match batch.column_by_name(&field.name) {
            Some(column) => conform(column, &field.ty)
                .map_err(|e| RunError::data("R0203", format!("column `{}` of `{path}`: {e}", field.name))),
            None if field.ty.nullable => Ok(new_null_array(&to_arrow(&field.ty.data), batch.num_rows())),
            None => Err(RunError::data("R0207", format!("`{path}` has no column `{}`", field.name))),
        }
    };
    let columns = schema.fields.iter().map(column).collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(&to_arrow_schema(schema)), columns, &options).map_err(internal)
}
