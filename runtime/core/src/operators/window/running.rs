//! Windows that accumulate, on their way out: each has what the one before it had, and more. Knows nothing of where the groups come from, nor what becomes of the rows.

use super::open::{Open, Table};
use super::out::{batch, in_order};
use super::values::Shape;
use super::windows::Bounds;
use crate::error::RunError;
use crate::operators::Fault;
use arrow::record_batch::RecordBatch;

/// Windows that are given out together.
#[derive(Debug)]
struct Chunk {
    /// Where their groups are; no two windows there have the same tag.
    table: Table,
    /// The groups in their order, and the window of each.
    groups: Vec<u32>,
    bounds: Vec<Bounds>,
    next: usize,
}

/// Windows that are being given out.
#[derive(Debug)]
pub(super) struct Running {
    windows: std::vec::IntoIter<Bounds>,
    chunk: Option<Chunk>,
    /// What the last window had, and its bounds.
    running: Option<(Bounds, Table)>,
}

impl Running {
    /// `windows`: in their order.
    pub(super) fn new(windows: Vec<Bounds>) -> Running {
        Running { windows: windows.into_iter(), chunk: None, running: None }
    }

    /// The next rows, at most so many; none: that was all.
    pub(super) fn next(&mut self, shape: &Shape, open: &Open, rows: usize) -> Result<Option<RecordBatch>, Fault> {
        let Some(chunk) = self.chunk.take().filter(|chunk| chunk.next < chunk.groups.len()) else {
            self.chunk = self.gather(shape, open, rows)?;
            return if self.chunk.is_none() { Ok(None) } else { self.next(shape, open, rows) };
        };
        let chunk = self.chunk.insert(chunk);
        let (from, to) = (chunk.next, chunk.groups.len().min(chunk.next.saturating_add(rows.max(1))));
        chunk.next = to;
        let table = &chunk.table;
        let (groups, bounds) = (&chunk.groups[from..to], &chunk.bounds[from..to]);
        let keys = table.index.columns(groups)?;
        batch(shape, &table.values, groups, keys, bounds).map(Some)
    }

    /// Windows with so many groups, or a few more.
    fn gather(&mut self, shape: &Shape, open: &Open, rows: usize) -> Result<Option<Chunk>, RunError> {
        let mut table = Table::new(shape)?;
        let mut bounds = vec![];
        while bounds.len() < rows.max(1) {
            let Some(window) = self.windows.next() else { break };
            self.window(shape, open, window, &mut table)?;
            bounds.resize(table.index.len(), window);
        }
        if bounds.is_empty() {
            return Ok(None);
        }
        let groups: Vec<u32> = (0..bounds.len() as u32).collect();
        let groups = in_order(shape, &table.index.columns(&groups)?, &bounds)?;
        let bounds = groups.iter().map(|group| bounds[*group as usize]).collect();
        Ok(Some(Chunk { table, groups, bounds, next: 0 }))
    }

    /// Adds a window's groups to a table.
    fn window(&mut self, shape: &Shape, open: &Open, window: Bounds, table: &mut Table) -> Result<(), RunError> {
        let (before, mut running) = match self.running.take() {
            Some((before, running)) if before.start == window.start => (before.end, running),
            _ => (window.start, Table::new(shape)?),
        };
        running.take(&open.table, open.groups(before, window.end), |_| 0)?;
        let tag = table.index.len() as i64;
        table.take(&running, 0..running.index.len() as u32, |_| tag)?;
        self.running = Some((window, running));
        Ok(())
    }
}
