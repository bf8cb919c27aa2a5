//! The kept rows of each key: their times. Many millions of keys must fit, so a key takes its bytes and one time; only keys with several kept rows that still
//! matter have a list. Knows nothing of other columns.

use super::super::internal;
use super::super::kept::Horizon;
use crate::error::RunError;
use crate::keys::{Bytes, Keys, hash_bytes};
use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema as ArrowSchema};
use arrow::record_batch::RecordBatch;
use hashbrown::{HashMap, HashTable};
use std::sync::Arc;

/// A stored batch has at most so many rows; few batches, because each costs a read.
const SEGMENT_ROWS: usize = 1 << 20;

/// Its keys have about so many bytes at most: they are counted in 32 bits.
const SEGMENT_BYTES: usize = 1 << 28;

/// The keys with their kept rows.
#[derive(Debug)]
pub(super) struct Firsts {
    keys: Keys,
    types: Vec<DataType>,
    bytes: Bytes,
    table: HashTable<u32>,
    /// The greatest time of each key's kept rows.
    newest: Vec<i64>,
    /// The other times of keys that have several, ascending.
    older: HashMap<u32, Vec<i64>>,
    /// What is forgotten.
    horizon: Horizon,
    /// Where the horizon was when dead keys were last looked for.
    searched: i64,
    /// What was kept since what there was before was stored.
    fresh: Vec<(u32, i64)>,
}

impl Firsts {
    pub(super) fn new(types: Vec<DataType>) -> Result<Firsts, RunError> {
        Ok(Firsts {
            keys: Keys::new(types.iter())?,
            types,
            bytes: Bytes::default(),
            table: HashTable::new(),
            newest: vec![],
            older: HashMap::new(),
            horizon: Horizon::Before(i64::MIN),
            searched: i64::MIN,
            fresh: vec![],
        })
    }

    /// Begins an epoch: what lies before the horizon is forgotten, what there is was stored.
    pub(super) fn begin(&mut self, horizon: Horizon) {
        self.fresh = vec![];
        self.horizon = horizon;
        let Horizon::Before(at) = horizon else { return };
        if at <= self.searched {
            return;
        }
        self.searched = at;
        let dead = self.newest.iter().filter(|time| **time < at).count();
        if 2 * dead > self.newest.len() {
            self.compact(at);
        }
    }

    /// Leaves out what lies before a time.
    fn compact(&mut self, at: i64) {
        let bytes = std::mem::take(&mut self.bytes);
        let newest = std::mem::take(&mut self.newest);
        let mut older = std::mem::take(&mut self.older);
        for (key, time) in newest.into_iter().enumerate().filter(|(_, time)| *time >= at) {
            let mut times = older.remove(&(key as u32)).unwrap_or_default();
            times.retain(|time| *time >= at);
            if !times.is_empty() {
                self.older.insert(self.newest.len() as u32, times);
            }
            self.bytes.push(bytes.get(key));
            self.newest.push(time);
        }
        self.table = HashTable::with_capacity(self.newest.len());
        let bytes = &self.bytes;
        for key in 0..bytes.len() {
            let hash = hash_bytes(bytes.get(key));
            self.table.insert_unique(hash, key as u32, |other| hash_bytes(bytes.get(*other as usize)));
        }
    }

    /// Which rows are the first of their keys, in order; they are kept. `times`: of the rows; without a duration they do not matter.
    pub(super) fn judge(
        &mut self,
        columns: &[ArrayRef],
        rows: usize,
        bound: Option<(&[i64], i64)>,
    ) -> Result<Vec<bool>, RunError> {
        let encoded = if columns.is_empty() { None } else { Some(self.keys.encode(columns)?) };
        let key = |row: usize| encoded.as_ref().map_or(&[][..], |rows| rows.row(row).data());
        let first = |row: usize| match bound {
            Some((times, within)) => self.passes(key(row), times[row], Some(within)),
            None => self.passes(key(row), 0, None),
        };
        (0..rows).map(first).collect()
    }

    fn passes(&mut self, key: &[u8], time: i64, within: Option<i64>) -> Result<bool, RunError> {
        let hash = hash_bytes(key);
        let bytes = &self.bytes;
        let Some(key) = self.table.find(hash, |other| bytes.get(*other as usize) == key).copied() else {
            let key = self.insert(key, hash, time)?;
            self.fresh.push((key, time));
            return Ok(true);
        };
        let Some(within) = within else { return Ok(false) };
        // Of the kept rows that lie before it the last one.
        let newest = self.newest[key as usize];
        let last = if newest <= time {
            Some(newest)
        } else {
            let older = self.older.get(&key).map_or(&[][..], Vec::as_slice);
            older[..older.partition_point(|kept| *kept <= time)].last().copied()
        };
        if last.is_some_and(|last| last.abs_diff(time) <= within.unsigned_abs()) {
            return Ok(false);
        }
        self.keep(key, time);
        self.fresh.push((key, time));
        Ok(true)
    }

    fn insert(&mut self, key: &[u8], hash: u64, time: i64) -> Result<u32, RunError> {
        let number = u32::try_from(self.newest.len());
        let number =
            number.map_err(|_| RunError::data("R0117", "`dedup` has to remember more than four billion keys"))?;
        self.bytes.push(key);
        if self.newest.capacity() == self.newest.len() {
            self.newest.reserve_exact((self.newest.len() / 4).max(16));
        }
        self.newest.push(time);
        let bytes = &self.bytes;
        self.table.insert_unique(hash, number, |other| hash_bytes(bytes.get(*other as usize)));
        Ok(number)
    }

    /// Adds a kept row to a key that has some.
    fn keep(&mut self, key: u32, time: i64) {
        let newest = &mut self.newest[key as usize];
        let other = if *newest <= time { std::mem::replace(newest, time) } else { time };
        if self.horizon.passed(other) {
            return;
        }
        let older = self.older.entry(key).or_default();
        older.retain(|time| !self.horizon.passed(*time));
        older.insert(older.partition_point(|kept| *kept <= other), other);
    }

    /// How many keys have kept rows that are not forgotten.
    pub(super) fn live(&self) -> usize {
        self.newest.iter().filter(|time| !self.horizon.passed(**time)).count()
    }

    /// The bytes that it takes, about.
    pub(super) fn bytes(&self) -> usize {
        let older = self.older.capacity() * (size_of::<(u32, Vec<i64>)>() + 1) + self.older.len() * 64;
        self.bytes.room()
            + self.newest.capacity() * size_of::<i64>()
            + self.table.capacity() * (size_of::<u32>() + 2)
            + self.fresh.capacity() * size_of::<(u32, i64)>()
            + older
    }

    /// How many kept rows were not stored yet, and how many keys there are.
    pub(super) fn fresh(&self) -> (usize, usize) {
        (self.fresh.len(), self.newest.len())
    }

    /// What is kept, or what was kept since it was stored: the columns of the key, then the time.
    pub(super) fn segments(&self, whole: bool) -> Result<Vec<RecordBatch>, RunError> {
        let kept: Vec<(u32, i64)> = if whole {
            let older = |key: u32| self.older.get(&key).into_iter().flatten().copied();
            let times = |(key, time): (u32, &i64)| older(key).chain([*time]).map(move |time| (key, time));
            (0..).zip(&self.newest).flat_map(times).filter(|(_, time)| !self.horizon.passed(*time)).collect()
        } else {
            self.fresh.clone()
        };
        let key = |(i, data): (usize, &DataType)| Field::new(format!("key{i}"), data.clone(), true);
        let fields = self.types.iter().enumerate().map(key);
        let fields: Vec<Field> = fields.chain([Field::new("time", DataType::Int64, false)]).collect();
        let schema = Arc::new(ArrowSchema::new(fields));
        let segment = |kept: &[(u32, i64)]| {
            let mut columns = match self.types.is_empty() {
                true => vec![],
                false => self.keys.decode(kept.iter().map(|(key, _)| self.bytes.get(*key as usize)))?,
            };
            columns.push(Arc::new(Int64Array::from_iter_values(kept.iter().map(|(_, time)| *time))));
            RecordBatch::try_new(Arc::clone(&schema), columns).map_err(internal)
        };
        let (mut segments, mut start, mut bytes) = (vec![], 0, 0);
        for (end, (key, _)) in kept.iter().enumerate() {
            let more = self.bytes.get(*key as usize).len();
            if end > start && (end - start >= SEGMENT_ROWS || bytes + more > SEGMENT_BYTES) {
                segments.push(segment(&kept[start..end])?);
                (start, bytes) = (end, 0);
            }
            bytes += more;
        }
        if start < kept.len() {
            segments.push(segment(&kept[start..])?);
        }
        Ok(segments)
    }

    /// Takes a stored batch; what lies before the horizon is left out. None: it has other columns.
    pub(super) fn restore(&mut self, stored: &RecordBatch, horizon: Horizon) -> Result<Option<()>, RunError> {
        let types = stored.columns().iter().map(|column| column.data_type());
        let wanted = self.types.iter().chain([&DataType::Int64]);
        if !types.eq(wanted) {
            return Ok(None);
        }
        let columns = &stored.columns()[..self.types.len()];
        let times = stored.column(self.types.len()).as_primitive::<Int64Type>();
        let encoded = if columns.is_empty() { None } else { Some(self.keys.encode(columns)?) };
        for (row, time) in times.values().iter().enumerate().filter(|(_, time)| !horizon.passed(**time)) {
            let key = encoded.as_ref().map_or(&[][..], |rows| rows.row(row).data());
            let hash = hash_bytes(key);
            let bytes = &self.bytes;
            match self.table.find(hash, |other| bytes.get(*other as usize) == key).copied() {
                Some(key) => self.keep(key, *time),
                None => drop(self.insert(key, hash, *time)?),
            }
        }
        Ok(Some(()))
    }
}
