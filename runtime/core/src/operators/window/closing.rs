//! Windows that end, on their way out. The groups of their slices are sorted by key, be they kept or a worker's, and those of the same key, which then stand side
//! by side, are merged into a row: what is sorted anyway need not be merged by a hash table before (sort-merge aggregation). Windows, and the batches of one, are
//! made by as many threads as there are workers. Knows nothing of how groups came about, nor what becomes of the rows.

use super::open::Open;
use super::order::{numbers, ranks_of_bytes};
use super::out::batch;
use super::values::{Shape, Values};
use super::windows::Bounds;
use crate::error::RunError;
use crate::operators::aggregate::accumulator::Pair;
use crate::operators::threads::at_once;
use crate::operators::{Fault, internal};
use arrow::array::ArrayRef;
use arrow::compute::interleave;
use arrow::record_batch::RecordBatch;
use std::collections::{BTreeMap, VecDeque};

/// A group: the number of its source, and its own there.
type Place = (u32, u32);

/// The groups of a slice with the numbers of their keys, by these.
type Run = Vec<(u64, Place)>;

/// Windows whose slices are sorted together: so many times the rows of a batch, so that slices which windows share are not sorted for each of them.
const BATCHES: usize = 4;

/// Windows that are given out together, as rows in their order.
#[derive(Debug, Default)]
struct Chunk {
    /// The groups of all rows, one row after the other.
    groups: Vec<Place>,
    /// Where the groups of each row begin.
    rows: Vec<u32>,
    /// The windows, each with how many rows there are up to its end.
    windows: Vec<(Bounds, usize)>,
    /// The first row that has not been given out.
    next: usize,
}

/// Windows that are being given out.
#[derive(Debug)]
pub(super) struct Closing {
    /// What workers have found.
    found: Vec<Open>,
    windows: VecDeque<Bounds>,
    chunks: VecDeque<Chunk>,
    ready: VecDeque<Result<RecordBatch, Fault>>,
}

/// How much is made at a time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// The most rows of a batch.
    pub(super) rows: usize,
    /// By so many threads.
    pub(super) threads: usize,
}

impl Closing {
    /// `windows`: in their order, of what is kept and what workers have found.
    pub(super) fn new(windows: Vec<Bounds>, found: Vec<Open>) -> Closing {
        Closing { found, windows: windows.into(), chunks: VecDeque::new(), ready: VecDeque::new() }
    }

    /// What workers have found, for what is kept.
    pub(super) fn take_found(&mut self) -> Vec<Open> {
        std::mem::take(&mut self.found)
    }

    /// The next rows, at most so many; none: that was all.
    pub(super) fn next(&mut self, shape: &Shape, kept: &Open, pace: Pace) -> Result<Option<RecordBatch>, Fault> {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return ready.map(Some);
            }
            let sources: Vec<&Open> = std::iter::once(kept).chain(&self.found).collect();
            let tasks = tasks(&mut self.chunks, pace);
            if !tasks.is_empty() {
                let chunks = &self.chunks;
                let make = |(chunk, from, to): (usize, usize, usize)| chunks[chunk].batch(shape, &sources, from, to);
                self.ready.extend(at_once(tasks, make));
                continue;
            }
            let mut shares = vec![];
            while shares.len() < pace.threads.max(1) && !self.windows.is_empty() {
                shares.push(share(&mut self.windows, &sources, pace.rows));
            }
            if shares.is_empty() {
                return Ok(None);
            }
            let chunks = at_once(shares, |windows| Chunk::new(shape, &sources, windows));
            self.chunks = chunks.into_iter().collect::<Result<_, RunError>>()?;
        }
    }
}

/// The next batches of chunks: which chunk, from which row to which.
fn tasks(chunks: &mut VecDeque<Chunk>, pace: Pace) -> Vec<(usize, usize, usize)> {
    while chunks.front().is_some_and(|chunk| chunk.next == chunk.rows.len()) {
        chunks.pop_front();
    }
    let mut tasks = vec![];
    for (number, chunk) in chunks.iter_mut().enumerate() {
        while chunk.next < chunk.rows.len() && tasks.len() < pace.threads.max(1) {
            let to = chunk.rows.len().min(chunk.next.saturating_add(pace.rows.max(1)));
            tasks.push((number, chunk.next, to));
            chunk.next = to;
        }
    }
    tasks
}

/// The next windows, with about so many batches of groups.
fn share(windows: &mut VecDeque<Bounds>, sources: &[&Open], rows: usize) -> Vec<Bounds> {
    let (mut share, mut groups) = (vec![], 0);
    while groups < rows.max(1).saturating_mul(BATCHES) {
        let Some(window) = windows.pop_front() else { break };
        let slices = sources.iter().flat_map(|source| source.slices(window.start, window.end));
        groups += slices.map(|(_, count)| count).sum::<usize>();
        share.push(window);
    }
    share
}

/// The slices of windows, each sorted.
fn runs(shape: &Shape, sources: &[&Open], windows: &[Bounds]) -> Result<BTreeMap<i64, Run>, RunError> {
    let mut runs: BTreeMap<i64, Run> = BTreeMap::new();
    let mut groups = vec![];
    for source in sources {
        let (mut slices, mut until, mut of) = (vec![], i64::MIN, vec![]);
        for window in windows {
            // Windows share slices; the later one begins, the later it ends, or at the same time.
            for (slice, _) in source.slices(window.start.max(until), window.end) {
                of.extend(source.groups(slice, slice + 1));
                slices.push((slice, of.len()));
            }
            until = until.max(window.end);
        }
        groups.push((slices, of));
    }
    let indexes = || sources.iter().map(|source| &source.table.index).zip(&groups);
    let numbers = match indexes().map(|(index, (_, groups))| index.numbers(groups)).collect::<Option<Vec<_>>>() {
        Some(numbers) => numbers,
        None if indexes().all(|(index, (_, groups))| groups.first().is_none_or(|g| index.key_bytes(*g).is_some())) => {
            let counts: Vec<usize> = groups.iter().map(|(_, groups)| groups.len()).collect();
            let key = |part: usize, row: usize| sources[part].table.index.key_bytes(groups[part].1[row]);
            ranks_of_bytes(&counts, |part, row| key(part, row).unwrap_or_default())
        }
        None => {
            let keys = indexes().map(|(index, (_, groups))| index.columns(groups)).collect::<Result<Vec<_>, _>>()?;
            let counts: Vec<usize> = groups.iter().map(|(_, groups)| groups.len()).collect();
            numbers(&shape.keys, &keys, &counts)?
        }
    };
    for (source, ((slices, groups), numbers)) in groups.into_iter().zip(numbers).enumerate() {
        let mut from = 0;
        for (slice, to) in slices {
            let places = groups[from..to].iter().map(|group| (source as u32, *group));
            runs.entry(slice).or_default().extend(numbers[from..to].iter().copied().zip(places));
            from = to;
        }
    }
    runs.values_mut().for_each(|run| run.sort_unstable());
    Ok(runs)
}

impl Chunk {
    fn new(shape: &Shape, sources: &[&Open], windows: Vec<Bounds>) -> Result<Chunk, RunError> {
        let (runs, mut chunk, mut together) = (runs(shape, sources, &windows)?, Chunk::default(), vec![]);
        for window in windows {
            let mut of = runs.range(window.start..window.end).map(|(_, run)| run);
            let first = of.next().map_or(&[][..], |run| run);
            let run = match of.next() {
                None => first,
                Some(second) => {
                    together.clear();
                    together.extend_from_slice(first);
                    together.extend_from_slice(second);
                    of.for_each(|run| together.extend_from_slice(run));
                    // This sort merges what is sorted.
                    together.sort();
                    &together
                }
            };
            let mut last = None;
            for (number, place) in run {
                if last.replace(*number) != Some(*number) {
                    chunk.rows.push(u32::try_from(chunk.groups.len()).map_err(internal)?);
                }
                chunk.groups.push(*place);
            }
            chunk.windows.push((window, chunk.rows.len()));
        }
        Ok(chunk)
    }

    /// The groups of a row.
    fn groups(&self, row: usize) -> &[Place] {
        let end = self.rows.get(row + 1).map_or(self.groups.len(), |end| *end as usize);
        &self.groups[self.rows[row] as usize..end]
    }

    /// These rows.
    fn batch(&self, shape: &Shape, sources: &[&Open], from: usize, to: usize) -> Result<RecordBatch, Fault> {
        let mut bounds = Vec::with_capacity(to - from);
        let first = self.windows.partition_point(|(_, end)| *end <= from);
        for (window, end) in &self.windows[first..] {
            bounds.resize((*end).min(to) - from, *window);
        }
        let places: Vec<Place> = (from..to).map(|row| self.groups(row)[0]).collect();
        let keys = columns(sources, &places)?;
        let all = &self.groups[self.rows[from] as usize..self.rows.get(to).map_or(self.groups.len(), |r| *r as usize)];
        // Groups of one source that are rows by themselves need not be merged.
        let source = all.first().map_or(0, |place| place.0);
        if all.len() == to - from && all.iter().all(|place| place.0 == source) {
            let groups: Vec<u32> = all.iter().map(|place| place.1).collect();
            return batch(shape, &sources[source as usize].table.values, &groups, keys, &bounds);
        }
        let mut pairs: Vec<Vec<Pair>> = vec![vec![]; sources.len()];
        for row in from..to {
            self.groups(row).iter().for_each(|place| pairs[place.0 as usize].push((place.1, (row - from) as u32)));
        }
        let mut values = Values::new(shape)?;
        for (source, pairs) in sources.iter().zip(&pairs).filter(|(_, pairs)| !pairs.is_empty()) {
            values.merge(&source.table.values, pairs, to - from)?;
        }
        let groups: Vec<u32> = (0..(to - from) as u32).collect();
        batch(shape, &values, &groups, keys, &bounds)
    }
}

/// The key columns of groups.
fn columns(sources: &[&Open], places: &[Place]) -> Result<Vec<ArrayRef>, RunError> {
    let mut of: Vec<Vec<u32>> = vec![vec![]; sources.len()];
    let mut at = Vec::with_capacity(places.len());
    for (source, group) in places {
        at.push((*source as usize, of[*source as usize].len()));
        of[*source as usize].push(*group);
    }
    if let Some(only) = of.iter().position(|groups| groups.len() == places.len()) {
        return sources[only].table.index.columns(&of[only]);
    }
    let parts = sources.iter().zip(&of).map(|(source, groups)| source.table.index.columns(groups));
    let parts = parts.collect::<Result<Vec<_>, _>>()?;
    let column = |column: usize| {
        let of: Vec<&dyn arrow::array::Array> = parts.iter().map(|part| &*part[column]).collect();
        interleave(&of, &at).map_err(internal)
    };
    (0..parts.first().map_or(0, Vec::len)).map(column).collect()
}
