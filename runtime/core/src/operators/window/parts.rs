//! Parts of sessions, as a worker finds them in the rows that it sees. Knows nothing of what is remembered.

use super::values::{Arrived, Shape, Values};
use crate::error::RunError;
use crate::operators::aggregate::accumulator::room;
use crate::operators::aggregate::index::KeyIndex;
use std::collections::BTreeMap;

/// About the bytes of an entry of a tree from key and time to a number.
pub(super) const ENTRY: usize = size_of::<(u32, i64, u32)>() * 3 / 2;

/// Rows of a key of which none is further than the gap from all others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) key: u32,
    pub(super) first: i64,
    pub(super) last: i64,
}

impl Part {
    /// Whether a row at this time, or rows from one time to another, belong to the same session.
    fn touches(&self, first: i64, last: i64, gap: i64) -> bool {
        first <= self.last.saturating_add(gap) && self.first <= last.saturating_add(gap)
    }
}

/// Parts by key and first time.
pub(super) type Times = BTreeMap<(u32, i64), u32>;

/// The part of a key that a row belongs to, if there is one.
pub(super) fn near(times: &Times, parts: &[Part], gap: i64, key: u32, at: i64) -> Option<u32> {
    let touches = |part: &u32| parts[*part as usize].touches(at, at, gap);
    let before = times.range((key, i64::MIN)..=(key, at)).next_back().map(|(_, part)| *part);
    let after = || times.range((key, at)..=(key, i64::MAX)).next().map(|(_, part)| *part);
    before.filter(touches).or_else(|| after().filter(touches))
}

/// What a worker has.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) index: KeyIndex,
    /// Parts that belong to one session may be apart: what lies between them may come later, or from another worker.
    pub(super) parts: Vec<Part>,
    times: Times,
    /// Of each key the part that its last row went to.
    recent: Vec<u32>,
    pub(super) values: Values,
}

impl Parts {
    pub(super) fn new(shape: &Shape) -> Result<Parts, RunError> {
        let index = KeyIndex::new(&shape.keys, false)?;
        Ok(Parts { index, parts: vec![], times: Times::new(), recent: vec![], values: Values::new(shape)? })
    }

    /// The bytes that it takes, about.
    pub(super) fn bytes(&self) -> usize {
        let parts = room(&self.parts) + room(&self.recent) + self.times.len() * ENTRY;
        self.index.bytes() + parts + self.values.bytes()
    }

    /// Takes rows.
    pub(super) fn absorb(&mut self, shape: &Shape, gap: i64, rows: &Arrived) -> Result<(), RunError> {
        let times = shape.times(&rows.data)?;
        let encoded = self.index.encode(&shape.key_columns(&rows.data), times.len())?;
        let mut groups = self.index.assign(&encoded, &[])?;
        groups.iter_mut().zip(times).try_for_each(|(key, at)| {
            *key = self.part(*key, *at, gap)?;
            Ok::<(), RunError>(())
        })?;
        self.values.update(shape, rows, &groups, self.parts.len())
    }

    fn part(&mut self, key: u32, at: i64, gap: i64) -> Result<u32, RunError> {
        let recent = self.recent.get(key as usize).copied();
        let found = recent.filter(|part| self.parts[*part as usize].touches(at, at, gap));
        let part = match found.or_else(|| near(&self.times, &self.parts, gap, key, at)) {
            Some(part) => {
                let of = &mut self.parts[part as usize];
                of.last = of.last.max(at);
                if at < of.first {
                    self.times.remove(&(key, of.first));
                    self.times.insert((key, at), part);
                    of.first = at;
                }
                part
            }
            None => {
                let part = number(self.parts.len())?;
                self.parts.push(Part { key, first: at, last: at });
                self.times.insert((key, at), part);
                part
            }
        };
        match self.recent.get_mut(key as usize) {
            Some(recent) => *recent = part,
            // Keys get their numbers in the order of their first rows.
            None => self.recent.push(part),
        }
        Ok(part)
    }
}

pub(super) fn number(count: usize) -> Result<u32, RunError> {
    u32::try_from(count).map_err(|_| RunError::data("R0108", "an aggregate has more than four billion sessions"))
}
