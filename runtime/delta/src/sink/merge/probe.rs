//! Looks for keys in data files: by what is known of files and row groups, then in the key's columns alone. Knows files and keys; nothing of what becomes of rows.

use super::key_index::KeyIndex;
use super::layout::Layout;
use super::threads::Threads;
use crate::facts::FileFacts;
use crate::log::Add;
use crate::scan::Scan;
use arrow::array::RecordBatch;
use flowc_runtime::RunError;
use futures::TryStreamExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Rows that are looked at together.
const BATCH_ROWS: usize = 8192;

/// Rows of a file that have one of the keys.
#[derive(Debug, Default)]
pub struct Hits {
    /// Their numbers in the file, ascending.
    pub rows: Vec<u64>,
    /// The key of each.
    pub keys: Vec<u32>,
    /// Of a history: when the version began, and when it ended.
    pub times: Vec<(i64, Option<i64>)>,
}

impl Hits {
    fn take(&mut self, layout: &Layout, index: &KeyIndex, first: u64, batch: &RecordBatch) -> Result<(), RunError> {
        let width = layout.key_columns().len();
        let times = layout.validity.map(|_| Layout::times(batch, width, width + 1));
        index.matches(layout, &batch.columns()[..width], |row, key| {
            self.rows.push(first + row as u64);
            self.keys.push(key);
            self.times.extend(times.as_ref().map(|times| times(row)));
        })
    }
}

/// The rows that have one of the keys, of files that have some. `scan` reads the key's columns, and behind them those of the versions' times.
pub async fn probe(
    scan: &Scan,
    layout: &Arc<Layout>,
    index: &Arc<KeyIndex>,
    files: &[Arc<Add>],
    at_once: usize,
) -> Result<Vec<(Arc<Add>, Hits)>, RunError> {
    let columns = layout.key_columns();
    let mut candidates = vec![];
    for add in files {
        if index.may_be_in(layout, &FileFacts::new(columns, add))? {
            candidates.push(Arc::clone(add));
        }
    }
    let (candidates, next) = (Arc::new(candidates), Arc::new(AtomicUsize::new(0)));
    let mut tasks = Threads::new();
    for _ in 0..at_once.min(candidates.len()) {
        let (scan, layout, index) = (scan.clone(), Arc::clone(layout), Arc::clone(index));
        let (candidates, next) = (Arc::clone(&candidates), Arc::clone(&next));
        tasks.spawn(async move {
            let mut found = vec![];
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(add) = candidates.get(number) else { return Ok::<_, RunError>(found) };
                let hits = file(&scan, &layout, &index, add).await?;
                if !hits.rows.is_empty() {
                    found.push((number, hits));
                }
            }
        });
    }
    let mut found = vec![];
    while let Some(done) = tasks.next(layout).await {
        found.extend(done?);
    }
    // In the order of the files, whichever task was faster.
    found.sort_by_key(|(number, _)| *number);
    Ok(found.into_iter().map(|(number, hits)| (Arc::clone(&candidates[number]), hits)).collect())
}

async fn file(scan: &Scan, layout: &Layout, index: &KeyIndex, add: &Add) -> Result<Hits, RunError> {
    let mut batches = scan.numbered(add, |facts| index.may_be_in(layout, facts), BATCH_ROWS).await?;
    let mut hits = Hits::default();
    while let Some((first, batch)) = batches.try_next().await? {
        hits.take(layout, index, first, &batch)?;
    }
    if add.deletion_vector.is_some() && !hits.rows.is_empty() {
        let deleted = scan.deleted_rows(add).await?;
        let live: Vec<bool> = hits.rows.iter().map(|row| !deleted.contains(*row)).collect();
        let (mut rows, mut keys, mut times) = (live.iter(), live.iter(), live.iter());
        hits.rows.retain(|_| *rows.next().unwrap_or(&true));
        hits.keys.retain(|_| *keys.next().unwrap_or(&true));
        hits.times.retain(|_| *times.next().unwrap_or(&true));
    }
    Ok(hits)
}
