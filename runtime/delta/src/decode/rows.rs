//! Rows of some row groups of a file, column by column: the same steps over each column, passing over rows and reading others. Knows which rows; nothing of why.

use super::coded::Coded;
use super::column::{Chunk, Column, decoder, fits};
use super::local::{Shared, Window};
use arrow::array::ArrayRef;
use arrow::datatypes::SchemaRef;
use parquet::basic::Type as Physical;
use parquet::column::page::PageReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::serialized_reader::SerializedPageReader;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

/// Rows that are passed over, and those behind them that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Passed over.
    pub skip: usize,
    /// Read.
    pub read: usize,
}

/// How many rows steps read.
pub fn read_rows(steps: &[Step]) -> usize {
    steps.iter().map(|step| step.read).sum()
}

/// See the module.
pub struct Rows {
    columns: Vec<Column>,
    /// Whether each is of texts, of which some stand in dictionaries.
    dictionaries: Vec<bool>,
    /// The rows that are wanted and were not stepped over yet, counted over the row groups.
    runs: VecDeque<Range<u64>>,
    at: u64,
}

impl Rows {
    /// Some columns, by the roots of a file's schema, all of which [`readable`] says yes of. `runs`: the wanted rows, counted over these row groups.
    pub fn open(
        file: &Arc<Shared>,
        metadata: &Arc<ParquetMetaData>,
        schema: &SchemaRef,
        groups: &[usize],
        roots: &[usize],
        runs: VecDeque<Range<u64>>,
    ) -> Result<Rows, ParquetError> {
        let (mut columns, mut dictionaries) = (vec![], vec![]);
        for root in roots {
            let Some(leaf) = leaf(metadata, *root) else { continue };
            let mut chunks = VecDeque::new();
            for group in groups {
                let rows = usize::try_from(metadata.row_group(*group).num_rows())?;
                let (file, metadata, group) = (Arc::clone(file), Arc::clone(metadata), *group);
                let pages = move || -> Result<Box<dyn PageReader>, ParquetError> {
                    let chunk = metadata.row_group(group).column(leaf);
                    let (start, length) = chunk.byte_range();
                    let window = Arc::new(Window::new(file, start.saturating_add(length)));
                    Ok(Box::new(SerializedPageReader::new(window, chunk, rows, None)?))
                };
                chunks.push_back(Chunk { rows, pages: Box::new(pages) });
            }
            let descriptor = metadata.file_metadata().schema_descr().column(leaf);
            let Some(decoder) = decoder(descriptor.physical_type(), schema.field(*root).data_type()) else { continue };
            let dictionary = |group: &usize| metadata.row_group(*group).column(leaf).dictionary_page_offset().is_some();
            let text = descriptor.physical_type() == Physical::BYTE_ARRAY;
            dictionaries.push(text && groups.iter().any(dictionary));
            columns.push(Column::new(decoder, descriptor.max_def_level() > 0, chunks));
        }
        Ok(Rows { columns, dictionaries, runs, at: 0 })
    }

    /// The next `most` rows that are wanted, or those that are left.
    pub fn steps(&mut self, most: usize) -> Vec<Step> {
        let (mut steps, mut left) = (vec![], most);
        while left > 0 {
            let Some(run) = self.runs.front_mut() else { break };
            let read = usize::try_from(run.end - run.start).unwrap_or(usize::MAX).min(left);
            steps.push(Step { skip: (run.start - self.at) as usize, read });
            run.start += read as u64;
            (self.at, left) = (run.start, left - read);
            if run.is_empty() {
                self.runs.pop_front();
            }
        }
        steps
    }

    /// Goes these steps in a column, and makes an array of what is read.
    pub fn read(&mut self, column: usize, steps: &[Step]) -> Result<ArrayRef, ParquetError> {
        let column = &mut self.columns[column];
        column.begin(read_rows(steps));
        for step in steps {
            column.skip(step.skip)?;
            column.read(step.read)?;
        }
        column.finish()
    }

    /// Whether a column's values are texts, or bytes, of which some stand in dictionaries.
    pub fn has_dictionaries(&self, column: usize) -> bool {
        self.dictionaries.get(column).copied().unwrap_or(false)
    }

    /// As [`Rows::read`], without looking values up.
    pub fn read_coded(&mut self, column: usize, steps: &[Step]) -> Result<Coded, ParquetError> {
        let column = &mut self.columns[column];
        column.begin_coded(read_rows(steps));
        for step in steps {
            column.skip(step.skip)?;
            column.read(step.read)?;
        }
        column.finish_coded()
    }
}

/// The leaf of a root column without nesting.
fn leaf(metadata: &ParquetMetaData, root: usize) -> Option<usize> {
    let schema = metadata.file_metadata().schema_descr();
    if !schema.root_schema().get_fields().get(root)?.is_primitive() {
        return None;
    }
    (0..schema.num_columns()).find(|leaf| schema.get_column_root_idx(*leaf) == root)
}

/// Whether a column, by its root, is read here.
pub fn readable(metadata: &ParquetMetaData, schema: &SchemaRef, groups: &[usize], root: usize) -> bool {
    let Some(leaf) = leaf(metadata, root) else { return false };
    let physical = metadata.file_metadata().schema_descr().column(leaf).physical_type();
    decoder(physical, schema.field(root).data_type()).is_some()
        && groups.iter().all(|group| fits(metadata.row_group(*group).column(leaf)))
}
