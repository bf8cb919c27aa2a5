//! Which rows of the files of a commit really changed: rows that are taken away in one file and added in another cancel out, so that a file that was rewritten
//! for the sake of one row gives out that row only. Knows files and rows; nothing of positions.
//!
//! A first pass over the files keeps a hash of 128 bits (XXH3) of each row with its place, 24 bytes a row and 32 once sorted, at most [`ROWS_AT_ONCE`] of them: beyond that, equal
//! rows become one with a count; where too many different ones are left, there is one pass for each part of the hashes. What comes out are places: a second pass
//! reads those rows alone. Among 10^9 different rows two have the same hash with a probability of about 10^-21.

use super::{Piece, layout};
use crate::codes;
use crate::scan::Scan;
use crate::within::Within;
use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::row::{RowConverter, Rows, SortField};
use flowc_runtime::RunError;
use futures::{StreamExt, TryStreamExt};
use roaring::RoaringTreemap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Rows whose hashes are in memory at a time: 32 bytes each at most, so 384 MiB.
pub const ROWS_AT_ONCE: usize = 12 << 20;
/// Rows that are hashed at a time.
const BATCH_ROWS: usize = 8192;
/// The hashes are sorted in so many heaps, by their first bits.
const HEAPS: usize = 16;
/// There are at most 2^24 parts.
const MOST_BITS: u32 = 24;
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

/// Equal rows: so many more are added than taken away (or the other way round, as the place says), and where the first of them is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counted {
    row: Hashed,
    count: i64,
}

impl Hashed {
    fn hash(&self) -> (u64, u64) {
        (self.high, self.low)
    }

    /// Whether it is added or taken away.
    fn sign(&self) -> i64 {
        if self.place & AWAY == 0 { 1 } else { -1 }
    }
}

/// Rows with the same first bits of their hashes.
#[derive(Debug, Default)]
struct Heap {
    /// By hash, each once.
    counted: Vec<Counted>,
    /// What came since, in any order.
    fresh: Vec<Hashed>,
}

impl Heap {
    fn len(&self) -> usize {
        self.counted.len() + self.fresh.len()
    }

    /// Lets equal rows cancel out; what is left of them becomes one.
    fn settle(mut self) -> Heap {
        self.fresh.sort_unstable();
        let (mut before, mut counted) = (self.counted.into_iter().peekable(), vec![]);
        for same in self.fresh.chunk_by(|a, b| a.hash() == b.hash()) {
            let hash = same[0].hash();
            counted.extend(std::iter::from_fn(|| before.next_if(|counted| counted.row.hash() < hash)));
            let known = before.next_if(|counted| counted.row.hash() == hash);
            let net: i64 = same.iter().map(Hashed::sign).sum();
            let net = net + known.map_or(0, |known| known.row.sign() * known.count);
            let rows = known.iter().map(|known| &known.row).chain(same);
            let first = rows.copied().filter(|row| row.sign() == net.signum()).min();
            counted.extend(first.map(|row| Counted { row, count: net.abs() }));
        }
        counted.extend(before);
        Heap { counted, fresh: vec![] }
    }
}

/// Rows of a file that are left, by how often each comes: those of the power of two at this position.
pub(super) type Powers = Vec<RoaringTreemap>;

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

    /// Half of it; false: it is small enough.
    fn narrow(&self) -> bool {
        let bits = self.bits.load(Ordering::Relaxed);
        self.bits.store((bits + 1).min(MOST_BITS), Ordering::Relaxed);
        bits < MOST_BITS
    }
}

impl Files<'_> {
    /// Of each piece, the rows that nothing cancels out: their numbers in its file. Of equal rows it is one, so often as more of them are added than taken away, or
    /// the other way round: the first one, as long as all hashes fit into memory.
    pub(super) async fn net(&self, pieces: &[Arc<Piece>]) -> Result<Vec<Powers>, RunError> {
        if pieces.len() >> FILE_BITS > 0 {
            let most = 1 << FILE_BITS;
            let message = format!("a commit of {} files cannot be followed: there may be {most}", pieces.len());
            return Err(RunError::data(codes::CHANGES_UNKNOWN, message).help("run with --full-refresh"));
        }
        let mut left: Vec<Vec<(u64, i64)>> = vec![vec![]; pieces.len()];
        let bits = Arc::new(AtomicU32::new(0));
        let mut ending = 0;
        loop {
            let portion = Portion { bits: Arc::clone(&bits), ending };
            let heaps = self.pass(pieces, &portion).await?;
            for counted in settle(heaps).await?.into_iter().flat_map(|heap| heap.counted) {
                let place = counted.row.place & !AWAY;
                left[(place >> ROW_BITS) as usize].push((place & ((1 << ROW_BITS) - 1), counted.count));
            }
            ending += 1;
            if ending >> bits.load(Ordering::Relaxed) > 0 {
                break;
            }
        }
        Ok(left.into_iter().map(powers).collect())
    }

    /// The hashes of a portion, by several tasks.
    async fn pass(&self, pieces: &[Arc<Piece>], portion: &Portion) -> Result<Vec<Heap>, RunError> {
        let workers = cores().min(pieces.len());
        let (sender, mut receiver) = mpsc::channel(2 * workers.max(1));
        let order: Arc<[usize]> = interleaved(pieces).into();
        let (pieces, next): (Arc<[Arc<Piece>]>, _) = (pieces.into(), Arc::new(AtomicUsize::new(0)));
        let mut tasks = JoinSet::new();
        for _ in 0..workers {
            let (scan, feed, portion) = (self.scan.clone(), self.feed.clone(), portion.clone());
            let (pieces, order) = (Arc::clone(&pieces), Arc::clone(&order));
            let (next, sender) = (Arc::clone(&next), sender.clone());
            tasks.spawn(async move {
                while let Some(number) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let piece = &pieces[*number];
                    let scan = if piece.weight.is_none() { &feed } else { &scan };
                    if let Err(error) = hash(scan, piece, *number as u64, &portion, &sender).await {
                        let _ = sender.send(Err(error)).await;
                    }
                }
            });
        }
        drop(sender);
        let mut heaps: Vec<Heap> = (0..HEAPS).map(|_| Heap::default()).collect();
        let (mut count, mut room) = (0, self.rows_at_once);
        while let Some(rows) = receiver.recv().await {
            for row in rows?.into_iter().filter(|row| portion.has(row)) {
                count += 1;
                heaps[(row.high >> (64 - HEAPS.ilog2())) as usize].fresh.push(row);
            }
            if count <= room {
                continue;
            }
            heaps = settle(heaps).await?;
            count = heaps.iter().map(Heap::len).sum();
            // The first pass finds out how many portions there have to be. Half of the room is left free, or settling would never end.
            while count > self.rows_at_once / 2 && portion.ending == 0 && portion.narrow() {
                heaps.iter_mut().for_each(|heap| heap.counted.retain(|counted| portion.has(&counted.row)));
                count = heaps.iter().map(Heap::len).sum();
            }
            room = self.rows_at_once.max(2 * count);
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
    let read = scan.read_rows(&piece.add, &Within::default(), piece.rows.as_ref(), BATCH_ROWS).await;
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

/// Settles heaps, several at a time.
async fn settle(heaps: Vec<Heap>) -> Result<Vec<Heap>, RunError> {
    let tasks = heaps.into_iter().map(|heap| async { tokio::task::spawn_blocking(|| heap.settle()).await });
    let settled: Result<Vec<Heap>, _> = futures::stream::iter(tasks).buffered(cores()).try_collect().await;
    settled.map_err(|e| RunError::world(codes::CANNOT_READ, format!("sorting rows failed unexpectedly: {e}")))
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The order in which pieces are read: those that add rows among those that take rows away, so that they cancel out early.
fn interleaved(pieces: &[Arc<Piece>]) -> Vec<usize> {
    let (away, added): (Vec<usize>, Vec<usize>) = (0..pieces.len()).partition(|i| pieces[*i].weight == Some(-1));
    let share = |list: Vec<usize>| {
        let count = list.len();
        list.into_iter().enumerate().map(move |(i, piece)| (i as f64 / count as f64, piece))
    };
    let mut order: Vec<(f64, usize)> = share(away).chain(share(added)).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    order.into_iter().map(|(_, piece)| piece).collect()
}

/// Rows and how often each comes, by powers of two.
fn powers(mut rows: Vec<(u64, i64)>) -> Powers {
    rows.sort_unstable();
    let most = rows.iter().map(|(_, count)| *count).max().unwrap_or(0);
    let power = |power: u32| rows.iter().filter(move |(_, count)| count >> power & 1 == 1).map(|(row, _)| *row);
    (0..i64::BITS - most.leading_zeros()).map(|p| power(p).collect()).collect()
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
        let fresh = vec![
            row(1, AWAY | 5),
            row(1, 9),
            row(2, 3),
            row(2, 4),
            row(2, AWAY | 1),
            row(3, AWAY | 2),
            row(3, AWAY | 7),
            row(3, AWAY | 6),
            row(3, 8),
        ];
        let heap = Heap { counted: vec![], fresh }.settle();
        let counted = |hash, place, count| Counted { row: row(hash, place), count };
        assert_eq!(heap.counted, [counted(2, 3, 1), counted(3, AWAY | 2, 2)]);
        // What comes later is set against what was left.
        let fresh = vec![row(3, 1), row(2, 1), row(3, 4), row(3, 5), row(4, AWAY)];
        let heap = Heap { fresh, ..heap }.settle();
        assert_eq!(heap.counted, [counted(2, 1, 2), counted(3, 1, 1), counted(4, AWAY, 1)]);
    }

    #[test]
    fn counts_are_sums_of_powers() {
        let found: Vec<Vec<u64>> =
            powers(vec![(7, 1), (3, 5), (9, 2), (1, 1)]).iter().map(|rows| rows.iter().collect()).collect();
        assert_eq!(found, [vec![1, 3, 7], vec![9], vec![3]]);
        assert_eq!(powers(vec![]).len(), 0);
    }
}
