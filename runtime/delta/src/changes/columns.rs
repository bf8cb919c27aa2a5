//! Reads some columns of a split, or the rows that a filter keeps: the filter's columns first, then all columns of the rows that it keeps, so that pages without any
//! are not decoded. Only for rows that have no columns besides the table's. Knows files and rows; nothing of what a filter asks.

use super::{Mark, Reader};
use crate::scan::{FileRows, Scan};
use flowc_runtime::{BatchStream, RowFilter, RunError, Split};
use futures::StreamExt;
use roaring::RoaringTreemap;
use std::ops::Range;

/// Where more than one row of so many is kept, all are read: runs between those that are not are then too short to save anything.
const SELECTIVE: u64 = 4;

impl Reader {
    /// Reads the columns at these positions.
    pub async fn read_columns(
        &self,
        split: &Split,
        columns: &[usize],
        batch_rows: usize,
    ) -> Result<BatchStream, RunError> {
        let (piece, mark, row_groups) = self.piece(split)?;
        let scan = self.scan.narrowed(columns);
        let read = scan.read_rows(&piece.add, row_groups, piece.rows.as_ref(), batch_rows).await;
        Ok(said(read.map_err(|e| mark.failed(e, &scan))?, mark, scan))
    }

    /// Reads at least the rows that a filter keeps.
    pub async fn read_filtered(
        &self,
        split: &Split,
        filter: &dyn RowFilter,
        batch_rows: usize,
    ) -> Result<BatchStream, RunError> {
        let (piece, mark, row_groups) = self.piece(split)?;
        let scan = self.scan.narrowed(filter.columns());
        let read = scan.read_rows(&piece.add, row_groups.clone(), piece.rows.as_ref(), batch_rows).await;
        let (kept, all) = kept(read.map_err(|e| mark.failed(e, &scan))?, filter).await?;
        if kept.is_empty() {
            return Ok(futures::stream::empty().boxed());
        }
        let only = if kept.len() > all / SELECTIVE { piece.rows.as_ref() } else { Some(&kept) };
        let read = self.scan.read_rows(&piece.add, row_groups, only, batch_rows).await;
        Ok(said(read.map_err(|e| mark.failed(e, &self.scan))?, mark, self.scan.clone()))
    }
}

/// Says of failures which commit needs the file.
fn said(rows: FileRows, mark: Mark, scan: Scan) -> BatchStream {
    rows.batches.map(move |batch| batch.map_err(|e| mark.failed(e, &scan))).boxed()
}

/// The rows of a file that a filter keeps, and how many it has seen.
async fn kept(rows: FileRows, filter: &dyn RowFilter) -> Result<(RoaringTreemap, u64), RunError> {
    let FileRows { rows, mut batches } = rows;
    let (mut runs, mut run) = (rows.into_iter(), Range::default());
    let (mut kept, mut all) = (RoaringTreemap::new(), 0);
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        let keep = filter.keep(&batch)?;
        let mut taken = 0;
        while taken < keep.len() {
            if run.is_empty() {
                let Some(next) = runs.next() else { break };
                run = next;
                continue;
            }
            let rows = (keep.len() - taken).min(usize::try_from(run.end - run.start).unwrap_or(usize::MAX));
            for (start, end) in keep.slice(taken, rows).set_slices() {
                kept.insert_range(run.start + start as u64..run.start + end as u64);
            }
            run.start += rows as u64;
            taken += rows;
        }
        all += keep.len() as u64;
    }
    Ok((kept, all))
}
