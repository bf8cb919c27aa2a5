//! Reads the sources' next rows while an epoch ends: asynchronous read-ahead, as operating systems do it for files (McKusick et al., "A fast file system for UNIX", 1984).
//! An epoch is ended by fewer threads than read one; the others decode meanwhile what the next one will most likely read, into a bounded buffer. It is speculation, and
//! nothing rests on it: what the next epoch reads is planned and recorded as ever, and of what was read ahead those splits are used that it has; others are thrown away,
//! and so is what could not be read, to be read in its turn. Knows sources and splits; nothing of epochs.

use crate::clock::Instant;
use crate::connector::{EpochLimits, Part, PartStream, Position, Source, Split};
use crate::spill::{Budget, Held, batch_bytes};
use futures::StreamExt;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;

/// One part in so many of the memory may be taken by rows that were read ahead.
const PART: usize = 16;

/// What is being read ahead, by the sources' positions in the plan.
#[derive(Debug, Default)]
pub(crate) struct ReadAheads(Mutex<BTreeMap<usize, ReadAhead>>);

impl ReadAheads {
    /// Begins to read these, instead of what was read ahead before.
    pub(crate) fn begin(&self, sources: BTreeMap<usize, ReadAhead>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = sources;
    }

    /// What was read ahead of a source. It is not read any further.
    pub(crate) fn take(&self, source: usize) -> Option<ReadAhead> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&source)
    }
}

/// How a source is read ahead.
#[derive(Debug, Clone)]
pub(crate) struct How {
    /// By so many tasks.
    pub(crate) tasks: usize,
    /// Rows of a batch.
    pub(crate) batch_rows: usize,
    /// The most that an epoch takes.
    pub(crate) limits: EpochLimits,
    /// Sources that are read ahead.
    pub(crate) sources: usize,
    pub(crate) budget: Budget,
}

/// A source that is being read ahead. Dropped, it is not read any more.
#[derive(Debug)]
pub(crate) struct ReadAhead {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

struct Shared {
    source: Arc<dyn Source>,
    how: How,
    /// Whether nothing more is to be read.
    stop: AtomicBool,
    /// The splits, once they are known, and the next that nobody reads yet.
    slots: OnceLock<Vec<Slot>>,
    next: AtomicUsize,
    /// Bytes that were taken.
    bytes: AtomicUsize,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("source", &self.source).field("next", &self.next).finish_non_exhaustive()
    }
}

struct Slot {
    split: Split,
    /// Locked while it is read.
    begun: tokio::sync::Mutex<Option<Begun>>,
}

/// A split, as far as it was read.
struct Begun {
    parts: VecDeque<(Part, Held)>,
    rest: PartStream,
    spent: Duration,
}

impl ReadAhead {
    /// Reads what a source has behind a position.
    pub(crate) fn begin(source: Arc<dyn Source>, from: Position, how: How) -> ReadAhead {
        let shared = Arc::new(Shared {
            source,
            how,
            stop: AtomicBool::new(false),
            slots: OnceLock::new(),
            next: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
        });
        let mut tasks = JoinSet::new();
        let first = Arc::clone(&shared);
        tasks.spawn(async move {
            let Some(splits) = first.plan(&from).await else { return };
            let slot = |split| Slot { split, begun: tokio::sync::Mutex::new(None) };
            let slots: Vec<Slot> = splits.into_iter().map(slot).collect();
            let others = slots.len().min(first.how.tasks).saturating_sub(1);
            let _ = first.slots.set(slots);
            // They end with the task that waits for them.
            let mut beside = JoinSet::new();
            for _ in 0..others {
                let other = Arc::clone(&first);
                beside.spawn(async move { other.read().await });
            }
            first.read().await;
            while beside.join_next().await.is_some() {}
        });
        ReadAhead { shared, tasks }
    }

    /// Stops, and finds what there is of these splits.
    pub(crate) fn of(self, splits: &[Split]) -> Ahead {
        let ReadAhead { shared, tasks } = self;
        shared.stop.store(true, Ordering::SeqCst);
        let slots = shared.slots.get().map_or(&[][..], |slots| slots);
        let by_text: HashMap<&str, usize> = slots.iter().enumerate().map(|(n, s)| (s.split.text.as_str(), n)).collect();
        let found = |split: &Split| by_text.get(split.text.as_str()).copied().filter(|n| slots[*n].split == *split);
        let found = splits.iter().map(found).collect();
        Ahead { shared, found, _tasks: tasks }
    }
}

impl Shared {
    /// The splits of what comes next; none: nothing does, or it cannot be told.
    async fn plan(&self, from: &Position) -> Option<Vec<Split>> {
        let range = self.source.next_range(Some(from), self.how.limits).await.ok()??;
        if self.stop.load(Ordering::SeqCst) {
            return None;
        }
        self.source.splits(&range).await.ok()
    }

    /// Reads splits that nobody reads, as long as there is room.
    async fn read(&self) {
        let slots = self.slots.get().map_or(&[][..], |slots| slots);
        while let Some(slot) = slots.get(self.next.fetch_add(1, Ordering::SeqCst)) {
            let mut begun = slot.begun.lock().await;
            // Whoever stops it may have come first.
            if self.stop.load(Ordering::SeqCst) || !self.split(&slot.split, &mut begun).await {
                break;
            }
        }
    }

    /// Reads a split; whether to go on. What fails is forgotten: it fails again for the one who needs it, or it does not.
    async fn split(&self, split: &Split, slot: &mut Option<Begun>) -> bool {
        let mut since = Instant::now();
        let Ok(rest) = self.source.read_parts(split, self.how.batch_rows).await else { return false };
        let begun = slot.insert(Begun { parts: VecDeque::new(), rest, spent: Duration::ZERO });
        while !self.stop.load(Ordering::SeqCst) {
            let part = begun.rest.next().await;
            begun.spent += since.elapsed();
            let part = match part {
                None => {
                    begun.rest = futures::stream::empty().boxed();
                    return true;
                }
                Some(Ok(part)) => part,
                Some(Err(_)) => {
                    *slot = None;
                    return false;
                }
            };
            let held = self.hold(&part);
            let full = held.is_none();
            begun.parts.push_back((part, held.unwrap_or_else(|| Held::new(self.how.budget.clone()))));
            if full {
                return false;
            }
            tokio::task::yield_now().await;
            since = Instant::now();
        }
        false
    }

    /// The memory of a part; none: there is no more.
    fn hold(&self, part: &Part) -> Option<Held> {
        let bytes = match part {
            Part::Rows(batch) | Part::Malformed(batch) => batch_bytes(batch),
            Part::Skipped(_) => 0,
        };
        let room = self.how.budget.total / PART / self.how.sources.max(1);
        let taken = self.bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let fits = taken <= room && self.how.budget.take_of_half(bytes);
        fits.then(|| Held::taken(self.how.budget.clone(), bytes))
    }
}

/// What was read ahead of an epoch's splits.
#[derive(Debug)]
pub(crate) struct Ahead {
    shared: Arc<Shared>,
    /// Where each of them is.
    found: Vec<Option<usize>>,
    /// Those who are on their way to a place where they can stop.
    _tasks: JoinSet<()>,
}

impl Ahead {
    /// The parts of a split, and the time that was spent on those that are there; none: nothing of it was read.
    pub(crate) async fn take(&self, split: usize) -> Option<(PartStream, Duration)> {
        let slot = self.shared.slots.get()?.get((*self.found.get(split)?)?)?;
        let Begun { parts, rest, spent } = slot.begun.lock().await.take()?;
        // Its memory counts until a part is given out.
        let parts = futures::stream::iter(parts).map(|(part, held)| {
            drop(held);
            Ok(part)
        });
        Some((parts.chain(rest).boxed(), spent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::{BatchStream, SourceRange};
    use crate::error::RunError;
    use async_trait::async_trait;
    use serde_json::json;

    /// Splits of ten rows with the numbers from a position on; one of them may fail behind its first rows, or not be opened at all.
    #[derive(Debug)]
    struct Numbers {
        splits: u64,
        fails: Option<(u64, bool)>,
        opened: AtomicUsize,
    }

    fn rows(from: u64, count: u64) -> arrow::record_batch::RecordBatch {
        let numbers = arrow::array::UInt64Array::from_iter_values(from..from + count);
        arrow::record_batch::RecordBatch::try_from_iter([("n", Arc::new(numbers) as _)]).unwrap()
    }

    fn split(at: u64) -> Split {
        Split { detail: json!(at), text: format!("split {at}"), rows: Some(10) }
    }

    #[async_trait]
    impl Source for Numbers {
        async fn next_range(&self, from: Option<&Position>, _: EpochLimits) -> Result<Option<SourceRange>, RunError> {
            let to = Position(json!(self.splits));
            Ok((self.splits > 0).then(|| SourceRange {
                from: from.cloned(),
                to,
                text: String::new(),
                rows: None,
                bytes: None,
            }))
        }

        async fn splits(&self, range: &SourceRange) -> Result<Vec<Split>, RunError> {
            let bound = |p: Option<&Position>| p.and_then(|p| p.0.as_u64()).unwrap_or(0);
            Ok((bound(range.from.as_ref())..bound(Some(&range.to))).map(split).collect())
        }

        async fn read(&self, split: &Split, batch_rows: usize) -> Result<BatchStream, RunError> {
            self.opened.fetch_add(1, Ordering::SeqCst);
            let at = split.detail.as_u64().unwrap();
            let failed = |at: u64, opened: bool| self.fails == Some((at, opened));
            if failed(at, false) {
                return Err(RunError::world("R9999", "not now"));
            }
            let batches =
                (0..10).step_by(batch_rows).map(|row| Ok(rows(at * 10 + row, (batch_rows as u64).min(10 - row))));
            let mut batches: Vec<_> = batches.collect();
            if failed(at, true) {
                batches.insert(1, Err(RunError::world("R9999", "not now")));
            }
            Ok(futures::stream::iter(batches).boxed())
        }
    }

    fn numbers(splits: u64, fails: Option<(u64, bool)>) -> Arc<Numbers> {
        Arc::new(Numbers { splits, fails, opened: AtomicUsize::new(0) })
    }

    fn how(bytes: usize) -> How {
        let budget = Budget::new(bytes, std::path::Path::new(""));
        How { tasks: 2, batch_rows: 3, limits: EpochLimits::NONE, sources: 1, budget }
    }

    /// The rows of a split, as those who need them get them: what was read ahead of it, or else it is read now.
    async fn read(ahead: &Ahead, source: &dyn Source, splits: &[Split], n: usize) -> Result<Vec<u64>, RunError> {
        use arrow::array::AsArray;
        let mut parts = match ahead.take(n).await {
            Some((parts, _)) => parts,
            None => source.read_parts(&splits[n], 3).await?,
        };
        let mut found = vec![];
        while let Some(part) = parts.next().await {
            if let Part::Rows(batch) = part? {
                found.extend(batch.column(0).as_primitive::<arrow::datatypes::UInt64Type>().values());
            }
        }
        Ok(found)
    }

    #[tokio::test]
    async fn whenever_it_is_stopped_each_split_is_there_once_and_whole() {
        for (bytes, patience) in [(1 << 20, 0), (1 << 20, 1), (1 << 20, 7), (1 << 20, 1000), (8 * 100, 1000), (8, 1000)]
        {
            let (source, how) = (numbers(6, None), how(bytes));
            let left = how.budget.clone();
            let begun = ReadAhead::begin(source.clone(), Position(json!(1)), how);
            for _ in 0..patience {
                tokio::task::yield_now().await;
            }
            // What is planned goes from one split before to one behind what was read ahead, and has one of another kind.
            let mut splits: Vec<Split> = (0..7).map(split).collect();
            splits[3].rows = None;
            let ahead = begun.of(&splits);
            let before = source.opened.load(Ordering::SeqCst);
            for n in [2, 0, 1, 3, 4, 5, 6] {
                let expected: Vec<u64> = (n as u64 * 10..n as u64 * 10 + 10).collect();
                assert_eq!(read(&ahead, &*source, &splits, n).await.unwrap(), expected);
            }
            if patience == 1000 && bytes > 800 {
                assert_eq!((before, source.opened.load(Ordering::SeqCst)), (5, 5 + 3), "four of five were needed");
            }
            drop(ahead);
            tokio::task::yield_now().await;
            assert!(left.take(bytes), "all memory has come back");
        }
    }

    #[tokio::test]
    async fn what_fails_ahead_is_read_in_its_turn() {
        for fails in [(1, false), (1, true)] {
            let (source, how) = (numbers(3, Some(fails)), how(1 << 20));
            let left = how.budget.clone();
            let begun = ReadAhead::begin(source, Position(json!(0)), how);
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            let splits: Vec<Split> = (0..3).map(split).collect();
            let ahead = begun.of(&splits);
            // By then it works, or it fails for the one who needs it.
            let works = numbers(3, None);
            assert!(read(&ahead, &*numbers(3, Some(fails)), &splits, 1).await.is_err());
            for n in 0..3 {
                let expected: Vec<u64> = (n as u64 * 10..n as u64 * 10 + 10).collect();
                assert_eq!(read(&ahead, &*works, &splits, n).await.unwrap(), expected);
            }
            drop(ahead);
            tokio::task::yield_now().await;
            assert!(left.take(1 << 20));
        }
    }

    #[tokio::test]
    async fn what_nobody_takes_leaves_nothing() {
        let (source, how) = (numbers(100, None), how(1 << 20));
        let (left, aheads) = (how.budget.clone(), ReadAheads::default());
        let begin = || BTreeMap::from([(0, ReadAhead::begin(source.clone(), Position(json!(0)), how.clone()))]);
        aheads.begin(begin());
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        assert!(!left.take(1 << 20), "something was read");
        // Another plan, and then none.
        aheads.begin(begin());
        aheads.begin(BTreeMap::new());
        assert!(aheads.take(0).is_none());
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        assert!(left.take(1 << 20), "all memory has come back");
    }
}
