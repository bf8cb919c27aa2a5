//! What an operator remembers, on disk: in buckets of keys, each a sequence of levels, of which a later one holds against an earlier. A key-value store keeps
//! them, in a directory that lives as long as the run: what is to outlive it is in the state directory. Knows nothing of what rows mean.
//!
//! A level is a value of the store, under the numbers of its bucket and its level: for each part of the memory its number, how many rows follow, and the rows,
//! each with its length, in the row format of Arrow. So a bucket costs no more than its bytes, and rows of many buckets become columns together.

use super::store::{Key, Store};
use crate::error::RunError;
use crate::keys::Keys;
use crate::operators::internal;
use crate::operators::stateful::Remembered;
use crate::spill::{Budget, Held, spill_error};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The most rows of a batch that is put together, so that bytes can be counted in 32 bits.
const BATCH_ROWS: usize = 1 << 18;

/// A part of the memory: batches of one schema.
#[derive(Debug)]
struct Part {
    schema: SchemaRef,
    rows: Keys,
}

/// What is known of a bucket.
#[derive(Debug, Clone, Default)]
pub(super) struct Bucket {
    levels: SmallVec<[u64; 2]>,
    /// The bytes of its levels.
    pub(super) bytes: u64,
    /// What there was to tell when it was last looked at.
    pub(super) told: Option<Arc<Told>>,
}

/// What there is to tell of several buckets together.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) remembered: Remembered,
    /// How many buckets those are.
    pub(super) buckets: usize,
}

/// Batches of levels, oldest first, each with the bucket of each row.
pub(super) type Loaded = Vec<(RecordBatch, Vec<u16>)>;

/// So many rows are brought into their form on disk at a time.
const ADDED_ROWS: usize = 1 << 18;

/// Rows as they are on disk, each with its bucket.
type Rows<'a> = Vec<(&'a [u8], u16)>;

/// See the module.
pub(super) struct Buckets {
    store: Store,
    parts: Vec<Part>,
    known: Vec<Bucket>,
    next_level: u64,
    _held: Held,
}

impl std::fmt::Debug for Buckets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Buckets").field("count", &self.known.len()).finish_non_exhaustive()
    }
}

impl Buckets {
    /// Empty ones, in a temporary directory. As many as keep them small where the state is many times the memory.
    pub(super) fn new(budget: &Budget) -> Result<Buckets, RunError> {
        let count = (budget.total >> 12).next_power_of_two().clamp(64, 1 << 14);
        // The store's own memory: blocks that were read.
        let part = (budget.total / 32).min(64 << 20);
        let mut held = Held::new(budget.clone());
        held.grow_to(part);
        let store = Store::new(budget, part.max(64 << 10) as u64)?;
        let known = vec![Bucket::default(); count];
        Ok(Buckets { store, parts: vec![], known, next_level: 0, _held: held })
    }

    pub(super) fn count(&self) -> usize {
        self.known.len()
    }

    pub(super) fn known(&self) -> &[Bucket] {
        &self.known
    }

    /// Notes what there is to tell of these buckets together. Of empty ones there is nothing to tell.
    pub(super) fn tell(&mut self, buckets: &[u16], remembered: Remembered) {
        let full = buckets.iter().filter(|bucket| self.known[usize::from(**bucket)].bytes > 0).count();
        let told = Arc::new(Told { remembered, buckets: full });
        for bucket in buckets {
            let known = &mut self.known[usize::from(*bucket)];
            known.told = (known.bytes > 0).then(|| Arc::clone(&told));
        }
    }

    /// How many levels these buckets have, on the average.
    pub(super) fn depth(&self, buckets: &[u16]) -> usize {
        let levels: usize = buckets.iter().map(|bucket| self.known[usize::from(*bucket)].levels.len()).sum();
        levels / buckets.len().max(1)
    }

    fn part(&mut self, schema: &SchemaRef) -> Result<usize, RunError> {
        if let Some(part) = self.parts.iter().position(|part| part.schema == *schema) {
            return Ok(part);
        }
        let types: Vec<&DataType> = schema.fields().iter().map(|field| field.data_type()).collect();
        self.parts.push(Part { schema: schema.clone(), rows: Keys::new(types.into_iter())? });
        Ok(self.parts.len() - 1)
    }

    /// Adds a level to the buckets that have rows among these.
    pub(super) fn add(&mut self, batches: &Loaded) -> Result<(), RunError> {
        self.replace(&[], batches)
    }

    /// Removes all levels of these buckets.
    pub(super) fn clear(&mut self, buckets: &[u16]) -> Result<(), RunError> {
        self.replace(buckets, &vec![])
    }

    /// Removes all levels of the buckets, then adds one to those that have rows among these.
    pub(super) fn replace(&mut self, cleared: &[u16], batches: &Loaded) -> Result<(), RunError> {
        let values = self.values(batches)?;
        let mut entries: BTreeMap<Key, Option<Vec<u8>>> = BTreeMap::new();
        for bucket in cleared {
            let known = &mut self.known[usize::from(*bucket)];
            known.bytes = 0;
            entries.extend(std::mem::take(&mut known.levels).iter().map(|level| (key(*bucket, *level), None)));
        }
        let level = self.next_level;
        self.next_level += 1;
        for (bucket, value) in values {
            let known = &mut self.known[usize::from(bucket)];
            known.levels.push(level);
            known.bytes += value.len() as u64;
            entries.insert(key(bucket, level), Some(value));
        }
        if entries.is_empty() {
            return Ok(());
        }
        self.store.change(entries)
    }

    /// What is added to each bucket, as it is on disk.
    fn values(&mut self, batches: &Loaded) -> Result<BTreeMap<u16, Vec<u8>>, RunError> {
        let mut values: BTreeMap<u16, Vec<u8>> = BTreeMap::new();
        for (batch, buckets) in batches {
            let part = self.part(batch.schema_ref())?;
            for (start, buckets) in (0..).step_by(ADDED_ROWS).zip(buckets.chunks(ADDED_ROWS)) {
                let rows = batch.slice(start, buckets.len());
                let rows = self.parts[part].rows.exact(rows.columns())?;
                let mut order: Vec<u32> = (0..buckets.len() as u32).collect();
                order.sort_by_key(|row| buckets[*row as usize]);
                for same in order.chunk_by(|a, b| buckets[*a as usize] == buckets[*b as usize]) {
                    let value = values.entry(buckets[same[0] as usize]).or_default();
                    value.extend((part as u32).to_le_bytes());
                    value.extend((same.len() as u32).to_le_bytes());
                    for row in same {
                        let row = rows.row(*row as usize);
                        value.extend((row.data().len() as u32).to_le_bytes());
                        value.extend(row.data());
                    }
                }
            }
        }
        Ok(values)
    }

    /// All rows of these buckets.
    pub(super) fn load(&self, buckets: &[u16]) -> Result<Loaded, RunError> {
        let mut values = vec![];
        for bucket in buckets {
            for (depth, level) in self.known[usize::from(*bucket)].levels.iter().enumerate() {
                let value = self.store.get(&key(*bucket, *level))?;
                values.push((depth, *bucket, value.ok_or_else(|| spill_error("what was written is not there"))?));
            }
        }
        let mut rows: BTreeMap<(usize, usize), Rows<'_>> = BTreeMap::new();
        for (depth, bucket, value) in &values {
            let mut rest: &[u8] = value;
            while !rest.is_empty() {
                let (part, count) = (number(&mut rest)?, number(&mut rest)?);
                let rows = rows.entry((*depth, part)).or_default();
                for _ in 0..count {
                    let length = number(&mut rest)?;
                    let (row, others) = rest.split_at_checked(length).ok_or_else(cut_off)?;
                    rows.push((row, *bucket));
                    rest = others;
                }
            }
        }
        let mut loaded = vec![];
        for ((_, part), rows) in rows {
            let part = self.parts.get(part).ok_or_else(cut_off)?;
            for rows in rows.chunks(BATCH_ROWS) {
                let columns = part.rows.decode(rows.iter().map(|(row, _)| *row))?;
                let batch = RecordBatch::try_new(part.schema.clone(), columns).map_err(internal)?;
                loaded.push((batch, rows.iter().map(|(_, bucket)| *bucket).collect()));
            }
        }
        Ok(loaded)
    }
}

fn key(bucket: u16, level: u64) -> Key {
    let mut key = [0; 10];
    key[..2].copy_from_slice(&bucket.to_be_bytes());
    key[2..].copy_from_slice(&level.to_be_bytes());
    key
}

fn cut_off() -> RunError {
    spill_error("what was written was cut off")
}

fn number(bytes: &mut &[u8]) -> Result<usize, RunError> {
    let (number, rest) = bytes.split_first_chunk::<4>().ok_or_else(cut_off)?;
    *bytes = rest;
    Ok(u32::from_le_bytes(*number) as usize)
}
