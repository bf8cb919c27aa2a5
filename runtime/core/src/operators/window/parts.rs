//! Parts of sessions, as a worker finds them in the rows that it sees. Knows nothing of what is remembered.

use super::values::{Arrived, Shape, Values};
use crate::error::RunError;
use crate::operators::aggregate::accumulator::room;
use crate::operators::aggregate::index::KeyIndex;
use std::collections::BTreeMap;

/// About the bytes of an entry of [`Times`].
const ENTRY: usize = size_of::<(u32, i64, u32)>() * 3 / 2;

/// Rows of a key of which none is further than the gap from all others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) key: u32,
    pub(super) first: i64,
    pub(super) last: i64,
}

impl Part {
    /// Whether a row at this time belongs to the same session.
    pub(super) fn touches(&self, at: i64, gap: i64) -> bool {
        at <= self.last.saturating_add(gap) && self.first <= at.saturating_add(gap)
    }
}

/// Parts by key and first time.
type Times = BTreeMap<(u32, i64), u32>;

/// What a worker has.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) index: KeyIndex,
    /// Parts that belong to one session may be apart: what lies between them may come later, or from another worker.
    pub(super) parts: Vec<Part>,
    /// All of them, from when on rows come that are not among the latest of their keys.
    times: Option<Times>,
    /// Of each key the part that ends last.
    latest: Vec<u32>,
    pub(super) values: Values,
}

impl Parts {
    pub(super) fn new(shape: &Shape) -> Result<Parts, RunError> {
        let index = KeyIndex::new(&shape.keys, false)?;
        Ok(Parts { index, parts: vec![], times: None, latest: vec![], values: Values::new(shape)? })
    }

    /// The bytes that it takes, about.
    pub(super) fn bytes(&self) -> usize {
        let parts = room(&self.parts) + room(&self.latest) + self.times.as_ref().map_or(0, Times::len) * ENTRY;
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
        let found = match self.latest.get(key as usize).map(|part| (*part, self.parts[*part as usize])) {
            Some((part, latest)) if latest.touches(at, gap) => Some(part),
            // What ends last is too far before it, and so is everything else.
            Some((_, latest)) if at > latest.last => None,
            Some(_) => self.near(key, at, gap),
            None => None,
        };
        let part = match found {
            Some(part) => {
                let of = &mut self.parts[part as usize];
                of.last = of.last.max(at);
                let first = of.first;
                of.first = first.min(at);
                if let Some(times) = self.times.as_mut().filter(|_| at < first) {
                    times.remove(&(key, first));
                    times.insert((key, at), part);
                }
                part
            }
            None => {
                let part = number(self.parts.len())?;
                self.parts.push(Part { key, first: at, last: at });
                if let Some(times) = &mut self.times {
                    times.insert((key, at), part);
                }
                part
            }
        };
        match self.latest.get_mut(key as usize) {
            Some(latest) if self.parts[*latest as usize].last < at => *latest = part,
            Some(_) => {}
            // Keys get their numbers in the order of their first rows.
            None => self.latest.push(part),
        }
        Ok(part)
    }

    /// A part of a key that a row belongs to, if there is one that begins last before it or first after it.
    fn near(&mut self, key: u32, at: i64, gap: i64) -> Option<u32> {
        let parts = &self.parts;
        let number = |(number, part): (usize, &Part)| ((part.key, part.first), number as u32);
        let times = self.times.get_or_insert_with(|| parts.iter().enumerate().map(number).collect());
        let touches = |part: &u32| parts[*part as usize].touches(at, gap);
        let before = times.range((key, i64::MIN)..=(key, at)).next_back().map(|(_, part)| *part);
        let after = || times.range((key, at)..=(key, i64::MAX)).next().map(|(_, part)| *part);
        before.filter(touches).or_else(|| after().filter(touches))
    }
}

pub(super) fn number(count: usize) -> Result<u32, RunError> {
    u32::try_from(count).map_err(|_| RunError::data("R0108", "an aggregate has more than four billion sessions"))
}
