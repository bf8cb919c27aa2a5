//! Looks each row up in the version of the table that was the newest at the row's time. Versions are loaded when a row first needs them, kept for the epoch,
//! and dropped where memory is short, the least recently used first. Rows keep their order, whatever versions they need. Knows nothing of where versions come
//! from, nor of what makes them.

use super::{Matching, NONE, Seen, Snapshot};
use crate::connector::{History, TableVersion};
use crate::epoch::Halt;
use crate::error::RunError;
use crate::operators::{Fault, Outputs, internal};
use crate::spill::{Budget, Held};
use crate::tables::TableReader;
use arrow::array::{Array, AsArray};
use arrow::datatypes::TimestampMicrosecondType;
use arrow::record_batch::RecordBatch;
use flowc_ir::cast::format::write_timestamp;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The part of all memory that is kept free for versions: what waits behind the lookup may take all the rest. One in so many.
const RESERVE: usize = 8;

/// The operator.
#[derive(Debug)]
pub(crate) struct AsOf {
    matching: Matching,
    /// The position of the rows' time.
    time: usize,
    history: History,
    reader: TableReader,
    /// Memory that is for versions alone.
    reserve: Budget,
    /// That memory, taken from all.
    _reserved: Held,
    /// The memory of the run.
    budget: Budget,
    kept: Mutex<Kept>,
    /// Read: uses what is kept, beside other workers. Write: nobody else uses any, so that all memory can be got back for one version. A worker that waits
    /// holds none of this operator's versions, only those of operators before it: so nobody waits in a circle.
    turn: RwLock<()>,
    /// One version is loaded at a time, and none twice at once.
    loading: tokio::sync::Mutex<()>,
}

/// The versions in memory.
#[derive(Debug, Default)]
struct Kept {
    /// By place in the history: the snapshot, and when it was last asked for.
    snapshots: BTreeMap<u32, (Arc<Snapshot>, u64)>,
    /// Counts what is asked for.
    asked: u64,
}

impl Kept {
    fn get(&mut self, version: u32) -> Option<Arc<Snapshot>> {
        self.asked += 1;
        let (snapshot, last) = self.snapshots.get_mut(&version)?;
        *last = self.asked;
        Some(Arc::clone(snapshot))
    }

    fn insert(&mut self, version: u32, snapshot: &Arc<Snapshot>) {
        self.asked += 1;
        self.snapshots.insert(version, (Arc::clone(snapshot), self.asked));
    }

    /// Drops the least recently used one that is not among these; whether there was one.
    fn drop_one(&mut self, used: &HashMap<u32, u32>) -> bool {
        let idle = self.snapshots.iter().filter(|(version, _)| !used.contains_key(version));
        let oldest = idle.min_by_key(|(_, (_, last))| *last).map(|(version, _)| *version);
        oldest.is_some_and(|version| self.snapshots.remove(&version).is_some())
    }
}

/// The rows of a batch with the versions that they need.
#[derive(Debug)]
pub(crate) struct Dated {
    input: RecordBatch,
    /// For each row, the place of its version in the history; [`NONE`]: there was no table yet, or no time is known.
    versions: Vec<u32>,
    /// The row to go on with.
    at: usize,
}

/// What a worker holds while it uses versions.
#[derive(Debug)]
#[allow(dead_code, reason = "guards are only held")]
enum Turn<'a> {
    Shared(RwLockReadGuard<'a, ()>),
    Alone(RwLockWriteGuard<'a, ()>),
}

/// Consecutive rows whose versions are in memory together.
pub(crate) struct Part<'a> {
    /// What comes out for them.
    pub(crate) outputs: Outputs<'a>,
    _turn: Turn<'a>,
}

/// Memory for one version.
#[derive(Debug)]
struct Room {
    reserve: Held,
    rest: Held,
}

impl Room {
    /// Takes what is missing to so many bytes, if there is so much: of the memory for versions first.
    fn grow_to(&mut self, bytes: usize) -> bool {
        self.reserve.grow_to(bytes.saturating_sub(self.rest.bytes()))
            || self.rest.grow_to(bytes.saturating_sub(self.reserve.bytes()))
    }
}

impl AsOf {
    /// Over the versions that the epoch may use. `time`: the position of the rows' time.
    pub(crate) fn new(matching: Matching, time: usize, history: History, reader: TableReader, budget: &Budget) -> AsOf {
        let mut reserved = Held::new(budget.clone());
        let bytes = budget.total / RESERVE;
        let bytes = if reserved.grow_to(bytes) { bytes } else { 0 };
        AsOf {
            matching,
            time,
            history,
            reader,
            reserve: Budget::new(bytes, &budget.directory),
            _reserved: reserved,
            budget: budget.clone(),
            kept: Mutex::default(),
            turn: RwLock::default(),
            loading: tokio::sync::Mutex::default(),
        }
    }

    /// Finds the versions that rows need. Fails at a row whose version is gone.
    pub(crate) fn date(&self, input: RecordBatch) -> Result<Dated, Fault> {
        let times = input.column(self.time).as_primitive_opt::<TimestampMicrosecondType>();
        let times = times.ok_or_else(|| internal("the time of a version is no timestamp"))?;
        let mut versions = Vec::with_capacity(input.num_rows());
        for row in 0..input.num_rows() {
            let after = match times.is_valid(row) {
                true => self.history.versions.partition_point(|v| v.committed <= times.value(row)),
                false => 0,
            };
            if after == 0
                && times.is_valid(row)
                && let (Some(why), Some(oldest)) = (&self.history.gone, self.history.versions.first())
            {
                let error = self.gone(times.value(row), oldest, why);
                let row = crate::text::row_text(&input, row);
                return Err(Fault::Rule(Box::new(RunError { row, ..error })));
            }
            versions.push((after as u32).wrapping_sub(1));
        }
        Ok(Dated { input, versions, at: 0 })
    }

    /// The next rows whose versions memory holds together; none: all rows are through. One part has to be let go before the next is asked for.
    pub(crate) async fn next<'a>(&'a self, rows: &mut Dated) -> Result<Option<Part<'a>>, Fault> {
        if rows.at >= rows.input.num_rows() {
            return Ok(None);
        }
        let mut turn = Turn::Shared(self.turn.read().await);
        let (mut snapshots, mut of) = (vec![], vec![]);
        let mut places: HashMap<u32, u32> = HashMap::new();
        for version in &rows.versions[rows.at..] {
            if *version != NONE && !places.contains_key(version) {
                let found = match self.get(*version, &places).await? {
                    None if of.is_empty() => {
                        drop(turn);
                        turn = Turn::Alone(self.turn.write().await);
                        let found = self.get(*version, &places).await?;
                        found.ok_or_else(|| self.reader.too_large())?
                    }
                    None => break,
                    Some(found) => found,
                };
                places.insert(*version, snapshots.len() as u32);
                snapshots.push(found);
            }
            of.push(places.get(version).copied().unwrap_or(NONE));
        }
        let input = rows.input.slice(rows.at, of.len());
        rows.at += of.len();
        let outputs = self.matching.outputs(input, Seen { snapshots, of: Some(of) });
        Ok(Some(Part { outputs, _turn: turn }))
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The snapshot of a version, which is loaded if it is not there. None: memory does not hold it beside those that are used.
    async fn get(&self, version: u32, used: &HashMap<u32, u32>) -> Result<Option<Arc<Snapshot>>, Fault> {
        if let Some(found) = self.kept().get(version) {
            return Ok(Some(found));
        }
        let _one = self.loading.lock().await;
        if let Some(found) = self.kept().get(version) {
            return Ok(Some(found));
        }
        let mut room = Room { reserve: Held::new(self.reserve.clone()), rest: Held::new(self.budget.clone()) };
        let mut fits = |bytes: usize| {
            while !room.grow_to(bytes) {
                if !self.kept().drop_one(used) {
                    return false;
                }
            }
            true
        };
        let position = &self.history.versions[version as usize].position;
        let rows = match self.reader.rows(position, &mut fits).await {
            Ok(Some(rows)) => rows,
            Ok(None) => return Ok(None),
            Err(Halt::Cancelled) => return Err(Fault::Cancelled),
            Err(Halt::Error(error)) => return Err(Fault::Run(error)),
        };
        let mut snapshot = self.matching.snapshot(&rows)?;
        if !fits(snapshot.bytes()) {
            return Ok(None);
        }
        snapshot.hold([room.reserve, room.rest]);
        let snapshot = Arc::new(snapshot);
        self.kept().insert(version, &snapshot);
        Ok(Some(snapshot))
    }

    #[cfg(test)]
    pub(super) fn matching(&self) -> &Matching {
        &self.matching
    }

    /// The places in the history of the versions in memory.
    #[cfg(test)]
    pub(super) fn in_memory(&self) -> Vec<u32> {
        self.kept().snapshots.keys().copied().collect()
    }

    /// A row needs a version that is not there any more.
    fn gone(&self, time: i64, oldest: &TableVersion, why: &str) -> RunError {
        let text = |micros: i64| {
            let mut text = String::new();
            write_timestamp(&mut text, micros);
            format!("@{}Z", text.replace(' ', "T"))
        };
        let (name, from) = (&self.reader.name, text(oldest.committed));
        let left = match self.history.versions.last() {
            Some(newest) if newest != oldest => format!("{} to {} are left", oldest.text, newest.text),
            _ => format!("only {} is left", oldest.text),
        };
        let message = format!(
            "a row of {} needs the table `{name}` as it was then, and that version is gone: {left}, the oldest of {from}",
            text(time)
        );
        let help = format!(
            "{why}\nnothing of the epoch was committed; leave such rows out before the join, with `where … >= {from}`"
        );
        RunError::data(crate::codes::VERSION_GONE, message).help(help)
    }
}
