//! The kept rows of each key: their times. Many millions of keys must fit, so a key takes its bytes and one time; only keys with several kept rows that still
//! matter have a list. Knows nothing of columns, nor of how what is kept is stored.

use super::Horizon;
use crate::keys::{Bytes, hash_bytes};
use hashbrown::{HashMap, HashTable};
use std::ops::Range;

/// A stored batch has at most so many rows; few batches, because each costs a read.
const SEGMENT_ROWS: usize = 1 << 20;

/// Its keys have about so many bytes at most: they are counted in 32 bits.
const SEGMENT_BYTES: usize = 1 << 28;

/// There are more keys than can be numbered.
#[derive(Debug, Clone, Copy)]
pub(in crate::operators) struct TooMany;

/// Keys with the times of their kept rows.
#[derive(Debug)]
pub(in crate::operators) struct KeyTimes {
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
    /// Times that lay before the horizon when they were kept: they are forgotten with the epoch.
    late: HashMap<u32, Vec<i64>>,
}

impl KeyTimes {
    pub(in crate::operators) fn new() -> KeyTimes {
        KeyTimes {
            bytes: Bytes::default(),
            table: HashTable::new(),
            newest: vec![],
            older: HashMap::new(),
            horizon: Horizon::Before(i64::MIN),
            searched: i64::MIN,
            fresh: vec![],
            late: HashMap::new(),
        }
    }

    /// Begins an epoch: what lies before the horizon is forgotten, what there is was stored.
    pub(in crate::operators) fn begin(&mut self, horizon: Horizon) {
        (self.fresh, self.late) = (vec![], HashMap::new());
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

    /// Keeps a row, unless a kept row of its key is within reach: before the row by no more than the first of `reach`, and behind it by no more than the
    /// second. Without a reach it is wherever it lies. Whether the row was kept.
    pub(in crate::operators) fn keep_first(
        &mut self,
        key: &[u8],
        time: i64,
        reach: Option<(i64, i64)>,
    ) -> Result<bool, TooMany> {
        let hash = hash_bytes(key);
        let is_late = self.horizon.passed(time);
        let key = match self.find(key, hash) {
            Some(known) => {
                let Some((before, behind)) = reach else { return Ok(false) };
                if self.holds(known, time.saturating_sub(before), time.saturating_add(behind)) {
                    return Ok(false);
                }
                if !is_late {
                    self.keep(known, time);
                }
                known
            }
            None => self.insert(key, hash, time)?,
        };
        match is_late {
            true => self.late.entry(key).or_default().push(time),
            false => self.fresh.push((key, time)),
        }
        Ok(true)
    }

    /// Takes a kept row that was stored.
    pub(in crate::operators) fn restore(&mut self, key: &[u8], time: i64) -> Result<(), TooMany> {
        let hash = hash_bytes(key);
        match self.find(key, hash) {
            Some(key) => self.keep(key, time),
            None => drop(self.insert(key, hash, time)?),
        }
        Ok(())
    }

    fn find(&self, key: &[u8], hash: u64) -> Option<u32> {
        let bytes = &self.bytes;
        self.table.find(hash, |other| bytes.get(*other as usize) == key).copied()
    }

    /// Whether a key has a kept row between these times that is not forgotten.
    fn holds(&self, key: u32, from: i64, to: i64) -> bool {
        let within = |time: i64| from <= time && time <= to;
        let lives = |time: i64| within(time) && !self.horizon.passed(time);
        let older = self.older.get(&key).map_or(&[][..], Vec::as_slice);
        let mut older = older[older.partition_point(|time| *time < from)..].iter().take_while(|time| **time <= to);
        let late = || self.late.get(&key).is_some_and(|times| times.iter().any(|time| within(*time)));
        lives(self.newest[key as usize]) || older.any(|time| lives(*time)) || late()
    }

    fn insert(&mut self, key: &[u8], hash: u64, time: i64) -> Result<u32, TooMany> {
        let number = u32::try_from(self.newest.len()).map_err(|_| TooMany)?;
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

    /// How many keys have kept rows that this horizon has not passed.
    pub(in crate::operators) fn live(&self, horizon: Horizon) -> usize {
        self.newest.iter().filter(|time| !horizon.passed(**time)).count()
    }

    /// How many keys there are, forgotten ones too.
    pub(in crate::operators) fn len(&self) -> usize {
        self.newest.len()
    }

    /// What is forgotten.
    pub(in crate::operators) fn horizon(&self) -> Horizon {
        self.horizon
    }

    /// The bytes that it takes, about.
    pub(in crate::operators) fn bytes(&self) -> usize {
        let lists = |map: &HashMap<u32, Vec<i64>>| map.capacity() * (size_of::<(u32, Vec<i64>)>() + 1) + map.len() * 64;
        self.bytes.room()
            + self.newest.capacity() * size_of::<i64>()
            + self.table.capacity() * (size_of::<u32>() + 2)
            + self.fresh.capacity() * size_of::<(u32, i64)>()
            + lists(&self.older)
            + lists(&self.late)
    }

    /// How many kept rows were not stored yet.
    pub(in crate::operators) fn fresh(&self) -> usize {
        self.fresh.len()
    }

    /// The bytes of a key.
    pub(in crate::operators) fn key(&self, key: u32) -> &[u8] {
        self.bytes.get(key as usize)
    }

    /// The kept rows that this horizon has not passed: all, or those that were not stored yet.
    pub(in crate::operators) fn kept(&self, whole: bool, horizon: Horizon) -> Vec<(u32, i64)> {
        let lives = |kept: &(u32, i64)| !horizon.passed(kept.1);
        if !whole {
            return self.fresh.iter().copied().filter(lives).collect();
        }
        let older = |key: u32| self.older.get(&key).into_iter().flatten().copied();
        let times = |(key, time): (u32, &i64)| older(key).chain([*time]).map(move |time| (key, time));
        (0..).zip(&self.newest).flat_map(times).filter(lives).collect()
    }

    /// Cuts kept rows into parts that a stored batch can hold.
    pub(in crate::operators) fn cut(&self, kept: &[(u32, i64)]) -> Vec<Range<usize>> {
        let (mut parts, mut start, mut bytes) = (vec![], 0, 0);
        for (end, (key, _)) in kept.iter().enumerate() {
            let more = self.key(*key).len();
            if end > start && (end - start >= SEGMENT_ROWS || bytes + more > SEGMENT_BYTES) {
                parts.push(start..end);
                (start, bytes) = (end, 0);
            }
            bytes += more;
        }
        parts.extend((start < kept.len()).then_some(start..kept.len()));
        parts
    }
}
