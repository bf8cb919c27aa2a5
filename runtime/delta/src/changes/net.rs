//! Which rows of the files of a commit really changed: rows that are taken away in one file and added in another cancel out, so that a file that was rewritten
//! for the sake of one row gives out that row only. Knows files and rows; nothing of positions.
//!
//! A first pass over the files keeps a hash of 128 bits (XXH3) of each row with its place, 24 bytes a row, at most [`ROWS_AT_ONCE`] of them; where there are
//! more, one pass for each part of the hashes. What comes out are places: a second pass reads those rows alone. Two different rows of 10^9 have the same hash
//! with a probability of about 10^-21.

use super::{Piece, layout};
use crate::codes;
use crate::scan::Scan;
use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::row::{RowConverter, Rows, SortField};
use flowc_runtime::RunError;
use futures::TryStreamExt;
use roaring::RoaringTreemap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Rows whose hashes are in memory at a time: 24 bytes each, so 384 MiB.
pub const ROWS_AT_ONCE: usize = 16 << 20;
/// Rows that are hashed at a time.
const BATCH_ROWS: usize = 8192;
/// The hashes are sorted in so many heaps, by their first bits.
const HEAPS: usize = 16;
/// More parts than this do not help: the rows are then so often the same.
const MOST_BITS: u32 = 12;
/// Bits of a place for the row in its file.
const ROW_BITS: u32 = 40;
/// Bits of a place for the file.
const FILE_BITS: u32 = 23;
/// The bit of a place that says that the row is taken away.
const AWAY: u64 = 1 << 63;

/// A row: its hash, and where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Hashed {
    high: u64,
    low: u64,
    place: u64,
}

/// Reads the files of one commit.
pub(super) struct Files<'a> {
    /// Of the table.
    pub(super) scan: &'a Scan,
    /// Of the change data feed: the last column is the type of the change.
    pub(super) feed: &'a Scan,
    /// Rows whose hashes are in memory at a time.
    pub(super) rows_at_once: usize,
}

/// A part of the hashes: those that end with these bits.
#[derive(Clone)]
struct Portion {
    /// How many bits; more while too many rows come.
    bits: Arc<AtomicU32>,
    ending: u64,
}

impl Portion {
    fn has(&self, row: &Hashed) -> bool {
        row.low & ((1 << self.bits.load(Ordering::Relaxed)) - 1) == self.ending
    }
}

impl Files<'_> {
    /// Of each piece, the rows that nothing cancels out: their numbers in its file. Of the same rows more are added than taken away, or the other way round; the
    /// first of them, so many as are too many, are left.
    pub(super) async fn net(&self, pieces: &[Arc<Piece>]) -> Result<Vec<RoaringTreemap>, RunError> {
        if pieces.len() >> FILE_BITS > 0 {
            let message =
                format!("a commit of {} files cannot be followed: there may be {}", pieces.len(), 1 << FILE_BITS);
            return Err(RunError::data(codes::CHANGES_UNKNOWN, message).help("run with --full-refresh"));
        }
        let mut left = vec![vec![]; pieces.len()];
        let bits = Arc::new(AtomicU32::new(0));
        let mut ending = 0;
        loop {
            let portion = Portion { bits: Arc::clone(&bits), ending };
            let heaps = self.pass(pieces, &portion).await?;
            cancel(heaps, &mut left).await?;
            ending += 1;
            if ending >> bits.load(Ordering::Relaxed) > 0 {
                break;
            }
        }
        let rows = |mut rows: Vec<u64>| {
            rows.sort_unstable();
            rows.into_iter().collect::<RoaringTreemap>()
        };
        Ok(left.into_iter().map(rows).collect())
    }

    /// The hashes of a portion, by several tasks.
    async fn pass(&self, pieces: &[Arc<Piece>], portion: &Portion) -> Result<Vec<Vec<Hashed>>, RunError> {
        let workers = std::thread::available_parallelism().map_or(1, usize::from).min(pieces.len());
        let (sender, mut receiver) = mpsc::channel(2 * workers.max(1));
        let (pieces, next): (Arc<[Arc<Piece>]>, _) = (pieces.into(), Arc::new(AtomicUsize::new(0)));
        let mut tasks = JoinSet::new();
        for _ in 0..workers {
            let (scan, feed, portion) = (self.scan.clone(), self.feed.clone(), portion.clone());
            let (pieces, next, sender) = (Arc::clone(&pieces), Arc::clone(&next), sender.clone());
            tasks.spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(piece) = pieces.get(number) else { break };
                    let scan = if piece.weight.is_none() { &feed } else { &scan };
                    if let Err(error) = hash(scan, piece, number as u64, &portion, &sender).await {
                        let _ = sender.send(Err(error)).await;
                    }
                }
            });
        }
        drop(sender);
        let mut heaps = vec![vec![]; HEAPS];
        let mut count = 0;
        while let Some(rows) = receiver.recv().await {
            for row in rows?.into_iter().filter(|row| portion.has(row)) {
                count += 1;
                heaps[(row.high >> (64 - HEAPS.ilog2())) as usize].push(row);
            }
            while count > self.rows_at_once && portion.ending == 0 {
                if portion.bits.fetch_add(1, Ordering::Relaxed) >= MOST_BITS {
                    portion.bits.store(MOST_BITS, Ordering::Relaxed);
                    break;
                }
                heaps.iter_mut().for_each(|heap: &mut Vec<Hashed>| heap.retain(|row| portion.has(row)));
                count = heaps.iter().map(Vec::len).sum();
            }
        }
        while let Some(ended) = tasks.join_next().await {
            ended.map_err(|e| RunError::world(codes::CANNOT_READ, format!("hashing rows failed unexpectedly: {e}")))?;
        }
        Ok(heaps)
    }
}

/// Sends the hashes of the rows of a piece.
async fn hash(
    scan: &Scan,
    piece: &Piece,
    number: u64,
    portion: &Portion,
    sender: &mpsc::Sender<Result<Vec<Hashed>, RunError>>,
) -> Result<(), RunError> {
    let read = scan.read_rows(&piece.add, None, piece.rows.as_ref(), BATCH_ROWS).await;
    let mut read = read.map_err(|e| piece.failed(e, scan))?;
    let columns = scan.schema().fields().len() - usize::from(piece.weight.is_none());
    let types = scan.schema().fields().iter().take(columns).map(|f| SortField::new(f.data_type().clone()));
    let unhashable = |e: arrow::error::ArrowError| scan.bad(&piece.add.path, &e.to_string());
    let mut hasher = Hasher::new(types.collect()).map_err(unhashable)?;
    let mut places = read.rows.into_iter().flatten();
    while let Some(batch) = read.batches.try_next().await.map_err(|e| piece.failed(e, scan))? {
        let hashes = hasher.hash(&batch.columns()[..columns], batch.num_rows()).map_err(unhashable)?;
        let weights = piece.weights(scan, &batch)?;
        let away = |row: usize| weights.as_ref().map_or(piece.weight, |w: &Int64Array| Some(w.value(row))) < Some(0);
        let hashed = hashes.into_iter().enumerate().zip(&mut places).map(|((row, hash), place)| Hashed {
            high: (hash >> 64) as u64,
            low: hash as u64,
            place: number << ROW_BITS | place & ((1 << ROW_BITS) - 1) | if away(row) { AWAY } else { 0 },
        });
        let rows: Vec<Hashed> = hashed.filter(|row| portion.has(row)).collect();
        if sender.send(Ok(rows)).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// Hashes rows.
struct Hasher {
    converter: RowConverter,
    rows: Rows,
    columns: usize,
}

impl Hasher {
    fn new(types: Vec<SortField>) -> Result<Hasher, arrow::error::ArrowError> {
        let columns = types.len();
        let converter = RowConverter::new(types)?;
        let rows = converter.empty_rows(BATCH_ROWS, 0);
        Ok(Hasher { converter, rows, columns })
    }

    fn hash(&mut self, columns: &[ArrayRef], rows: usize) -> Result<Vec<u128>, arrow::error::ArrowError> {
        if self.columns == 0 {
            return Ok(vec![0; rows]);
        }
        self.rows.clear();
        self.converter.append(&mut self.rows, columns)?;
        Ok(self.rows.iter().map(|row| xxhash_rust::xxh3::xxh3_128(row.data())).collect())
    }
}

/// Lets the rows of equal hashes cancel out, and adds what is left to the rows of each file.
async fn cancel(heaps: Vec<Vec<Hashed>>, left: &mut [Vec<u64>]) -> Result<(), RunError> {
    let mut sorting = JoinSet::new();
    for heap in heaps {
        sorting.spawn_blocking(move || rest(heap));
    }
    while let Some(places) = sorting.join_next().await {
        let places = places
            .map_err(|e| RunError::world(codes::CANNOT_READ, format!("sorting hashes failed unexpectedly: {e}")))?;
        for place in places {
            let file = (place & !AWAY) >> ROW_BITS;
            left[file as usize].push(place & ((1 << ROW_BITS) - 1));
        }
    }
    Ok(())
}

/// The places that nothing cancels out.
fn rest(mut heap: Vec<Hashed>) -> Vec<u64> {
    heap.sort_unstable();
    let mut places = vec![];
    for same in heap.chunk_by(|a, b| (a.high, a.low) == (b.high, b.low)) {
        // What is added comes first, as its places have the lesser numbers.
        let added = same.partition_point(|row| row.place & AWAY == 0);
        let away = same.len() - added;
        let kept = if added > away { &same[..added - away] } else { &same[added..away] };
        places.extend(kept.iter().map(|row| row.place));
    }
    places
}

/// The weights of a batch of the change data feed, whose last column says them.
pub(super) fn feed_weights(types: &ArrayRef) -> Result<Int64Array, String> {
    let types = types.as_string_opt::<i32>().ok_or_else(|| format!("`{}` is no text", layout::CHANGE_TYPE))?;
    layout::weights(types)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(hash: u64, place: u64) -> Hashed {
        Hashed { high: hash, low: hash, place }
    }

    #[test]
    fn equal_rows_cancel_out_one_for_one() {
        let heap = vec![
            row(1, AWAY | 5),
            row(1, 9),
            row(2, 3),
            row(2, 4),
            row(2, AWAY | 1),
            row(3, AWAY | 2),
            row(3, AWAY | 7),
            row(3, 8),
        ];
        assert_eq!(rest(heap), [3, AWAY | 2]);
    }
}
