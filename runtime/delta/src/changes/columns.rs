//! Reads some columns of a split, or the rows that a filter keeps: the filter's columns first, then all columns of the rows that it keeps, so that pages without any
//! are not decoded. Only for rows that have no columns besides the table's. Knows files and rows; nothing of what a filter asks.

use super::{Mark, Reader};
use crate::codes::CANNOT_READ;
use crate::scan::{FileRows, Scan};
use arrow::array::{BooleanArray, BooleanBufferBuilder, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter_record_batch;
use flowc_runtime::{BatchStream, RowFilter, RunError, Split};
use futures::StreamExt;
use roaring::RoaringTreemap;
use std::ops::Range;

/// Where more than one row of so many is kept, in short runs, all are read: what lies between is then too short to save anything.
const SELECTIVE: u64 = 4;

/// Runs of so many rows on the average are long: what lies between them need not be decoded, be it much or little.
const LONG_RUN: u64 = 256;

impl Reader {
    /// Reads the columns at these positions.
    pub async fn read_columns(
        &self,
        split: &Split,
        columns: &[usize],
        batch_rows: usize,
    ) -> Result<BatchStream, RunError> {
        let (piece, mark, within) = self.piece(split)?;
        let scan = self.scan.narrowed(columns);
        let read = scan.read_rows(&piece.add, &within, piece.rows.as_ref(), batch_rows).await;
        Ok(said(read.map_err(|e| mark.failed(e, &scan))?, mark, scan))
    }

    /// Reads at least the rows that a filter keeps.
    pub async fn read_filtered(
        &self,
        split: &Split,
        filter: &dyn RowFilter,
        batch_rows: usize,
    ) -> Result<BatchStream, RunError> {
        let (piece, mark, within) = self.piece(split)?;
        let scan = self.scan.narrowed(filter.columns());
        let read = scan.read_rows(&piece.add, &within, piece.rows.as_ref(), batch_rows).await;
        let kept = kept(read.map_err(|e| mark.failed(e, &scan))?, filter).await?;
        if kept.rows.is_empty() {
            return Ok(futures::stream::empty().boxed());
        }
        let only = if kept.is_worth_skipping() { Some(&kept.rows) } else { piece.rows.as_ref() };
        let read = self.scan.read_rows(&piece.add, &within, only, batch_rows).await;
        let read = said(read.map_err(|e| mark.failed(e, &self.scan))?, mark, self.scan.clone());
        if kept.is_worth_skipping() || kept.is_most() {
            return Ok(read);
        }
        // What is not needed would take the memory of those who wait for the rows, and their time.
        let (keep, mut at) = (kept.keep, 0);
        let mut filtered = move |batch: RecordBatch| {
            let rows = batch.num_rows();
            // A file does not change between two readings.
            if at + rows > keep.len() {
                return Err(RunError::world(CANNOT_READ, "a file has changed while it was read"));
            }
            let of = BooleanArray::new(keep.slice(at, rows), None);
            at += rows;
            filter_record_batch(&batch, &of).map_err(|e| RunError::world(CANNOT_READ, e.to_string()))
        };
        Ok(read.map(move |batch| batch.and_then(&mut filtered)).boxed())
    }
}

/// Says of failures which commit needs the file.
fn said(rows: FileRows, mark: Mark, scan: Scan) -> BatchStream {
    rows.batches.map(move |batch| batch.map_err(|e| mark.failed(e, &scan))).boxed()
}

/// The rows of a file that a filter keeps.
struct Kept {
    /// By their numbers in the file.
    rows: RoaringTreemap,
    /// Which of those that the filter has seen, in order.
    keep: BooleanBuffer,
    /// In how many runs they lie, at most.
    runs: u64,
}

impl Kept {
    /// Whether the rows between them are better passed over than decoded.
    fn is_worth_skipping(&self) -> bool {
        let kept = self.rows.len();
        kept <= self.keep.len() as u64 / SELECTIVE || kept / LONG_RUN >= self.runs
    }

    /// Whether leaving out the others saves less than it takes.
    fn is_most(&self) -> bool {
        let all = self.keep.len() as u64;
        all - self.rows.len() <= all / SELECTIVE
    }
}

async fn kept(rows: FileRows, filter: &dyn RowFilter) -> Result<Kept, RunError> {
    let FileRows { rows, mut batches } = rows;
    let (mut of, mut run) = (rows.into_iter(), Range::default());
    let (mut kept, mut all, mut runs) = (RoaringTreemap::new(), BooleanBufferBuilder::new(0), 0);
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        let keep = filter.keep(&batch)?;
        let mut taken = 0;
        while taken < keep.len() {
            if run.is_empty() {
                let Some(next) = of.next() else { break };
                run = next;
                continue;
            }
            let rows = (keep.len() - taken).min(usize::try_from(run.end - run.start).unwrap_or(usize::MAX));
            for (start, end) in keep.slice(taken, rows).set_slices() {
                kept.insert_range(run.start + start as u64..run.start + end as u64);
                runs += 1;
            }
            run.start += rows as u64;
            taken += rows;
        }
        all.append_buffer(&keep);
    }
    Ok(Kept { rows: kept, keep: all.finish(), runs })
}
