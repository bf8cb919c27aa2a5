//! Tells of each row whether it is the first of its key, or the first within a duration: a boolean column behind the others. What is first is decided in the
//! order of the input, whoever pushes rows, so they wait until all of an epoch are there; what was kept is remembered for the next epoch. Knows nothing of
//! where that is stored.

use super::stateful::{Before, Changes, Emissions, Emitted, Extent, Memory, Remembered, Stateful, Stored};
use super::{Fault, internal};
use crate::batch::Batch;
use crate::error::RunError;
use crate::keys::{Bytes, Keys, hash_bytes};
use crate::spill::{Budget, Held, SpillBuffer};
use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Int64Array};
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef, TimestampMicrosecondType};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use flowc_ir::graph;
use hashbrown::HashTable;
use smallvec::SmallVec;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

/// The name under which a snapshot keeps the types of the key.
const KEY_TYPES: &str = "key";
/// The name under which a snapshot keeps the greatest event time seen.
const LATEST: &str = "latest";

/// The operator.
#[derive(Debug)]
pub struct Unique {
    spec: graph::Unique,
    schema: SchemaRef,
    budget: Budget,
    /// The rows, by path and split; those of one come in order.
    rows: Mutex<BTreeMap<(u32, u32), SpillBuffer>>,
    kept: Arc<Mutex<Kept>>,
}

/// The rows that were the first of their keys.
#[derive(Debug)]
struct Kept {
    keys: Keys,
    types: String,
    index: HashTable<u32>,
    bytes: Bytes,
    /// The event times of each key's kept rows; without a duration one entry that means nothing.
    times: Vec<SmallVec<[i64; 1]>>,
    /// The greatest event time seen.
    latest: Option<i64>,
    held: Held,
    /// The memory for `--memory`'s message.
    total: usize,
    /// What was stored of it as it is now: the next epoch takes this over.
    snapshot: Option<RecordBatch>,
}

impl Unique {
    /// `schema`: of the rows that come out.
    pub(crate) fn new(
        spec: &graph::Unique,
        schema: SchemaRef,
        budget: Budget,
        before: Before,
    ) -> Result<Unique, RunError> {
        let types: Vec<DataType> = spec.keys.iter().map(|c| schema.field(*c).data_type().clone()).collect();
        let mut kept = Kept {
            keys: Keys::new(types.iter())?,
            types: named(&types),
            index: HashTable::new(),
            bytes: Bytes::default(),
            times: vec![],
            latest: None,
            held: Held::new(budget.clone()),
            total: budget.total,
            snapshot: None,
        };
        let snapshot = match before.read()? {
            Before::Nothing | Before::Unread(_) => None,
            Before::Stored(stored) => stored.segments.into_iter().next_back(),
            Before::Memory(memory) => match memory.downcast::<RecordBatch>() {
                Ok(snapshot) => Some(*snapshot),
                Err(_) => return Err(internal("`unique` finds another operator's memory")),
            },
        };
        if let Some(snapshot) = snapshot {
            kept.restore(spec, &snapshot)?;
        }
        Ok(Unique { spec: spec.clone(), schema, budget, rows: Mutex::default(), kept: Arc::new(Mutex::new(kept)) })
    }

    /// All sources have reached this event time, whatever their rows say: what matches no row that is on time is forgotten.
    pub(crate) fn advanced(self, watermark: Option<i64>) -> Unique {
        if let (Some(to), Some(within), Some(delay)) = (watermark, self.spec.within, self.spec.delay) {
            self.kept.lock().unwrap_or_else(PoisonError::into_inner).advance(to, within, delay);
        }
        self
    }

    /// What the next epoch has to know; computed once, be it stored or taken over or both.
    pub(crate) fn snapshot(&self) -> Result<RecordBatch, RunError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        match &kept.snapshot {
            Some(snapshot) => Ok(snapshot.clone()),
            None => {
                let snapshot = kept.snapshot(&self.spec)?;
                Ok(kept.snapshot.insert(snapshot).clone())
            }
        }
    }
}

impl Kept {
    /// Whether the row is the first; remembers it if so.
    fn judge(&mut self, key: &[u8], time: Option<i64>, within: Option<i64>) -> Result<bool, RunError> {
        let hash = hash_bytes(key);
        let bytes = &self.bytes;
        let found = self.index.find(hash, |entry| bytes.get(*entry as usize) == key).copied();
        let Some(entry) = found else {
            self.insert(key, hash, SmallVec::from_elem(time.unwrap_or(0), 1))?;
            return Ok(true);
        };
        let (Some(within), Some(time)) = (within, time) else { return Ok(false) };
        let times = &mut self.times[entry as usize];
        let near = |kept: &i64| kept.abs_diff(time) <= within.unsigned_abs();
        if times.iter().any(near) {
            return Ok(false);
        }
        times.push(time);
        Ok(true)
    }

    fn advance(&mut self, to: i64, within: i64, delay: i64) {
        self.snapshot = None;
        self.latest = self.latest.max(Some(to.saturating_add(delay)));
        let past = to.saturating_sub(within);
        self.times.iter_mut().for_each(|times| times.retain(|time| *time >= past));
    }

    fn insert(&mut self, key: &[u8], hash: u64, times: SmallVec<[i64; 1]>) -> Result<(), RunError> {
        let entry = u32::try_from(self.times.len())
            .map_err(|_| RunError::data("R0115", "a rule with `unique` has to remember more than four billion keys"))?;
        self.bytes.push(key);
        self.times.push(times);
        let bytes = &self.bytes;
        self.index.insert_unique(hash, entry, |entry| hash_bytes(bytes.get(*entry as usize)));
        Ok(())
    }

    /// Answers for the memory that is used.
    fn account(&mut self, rule: &str) -> Result<(), RunError> {
        let bytes = self.bytes.room()
            + self.times.capacity() * size_of::<SmallVec<[i64; 1]>>()
            + self.index.capacity() * (size_of::<u32>() + 1);
        if self.held.grow_to(bytes) {
            return Ok(());
        }
        let text = format!(
            "the keys that the rule `{rule}` has to remember do not fit the {} MiB of --memory",
            self.total >> 20
        );
        Err(RunError::data("R0115", text).help("nothing was committed; raise --memory, or shorten `within`"))
    }

    fn snapshot(&self, spec: &graph::Unique) -> Result<RecordBatch, RunError> {
        // What lies so far behind the watermark matches no row that is on time.
        let past = match (self.latest, spec.within, spec.delay) {
            (Some(latest), Some(within), Some(delay)) => latest.saturating_sub(delay).saturating_sub(within),
            _ => i64::MIN,
        };
        let entries = self.times.iter().enumerate().flat_map(|(entry, times)| times.iter().map(move |t| (entry, *t)));
        let mut entries: Vec<(usize, i64)> =
            entries.filter(|(_, time)| spec.within.is_none() || *time >= past).collect();
        entries.sort_by(|a, b| (self.bytes.get(a.0), a.1).cmp(&(self.bytes.get(b.0), b.1)));
        let keys = BinaryArray::from_iter_values(entries.iter().map(|(entry, _)| self.bytes.get(*entry)));
        let times = Int64Array::from_iter_values(entries.iter().map(|(_, time)| *time));
        let mut metadata = HashMap::from([(KEY_TYPES.to_string(), self.types.clone())]);
        metadata.extend(self.latest.map(|latest| (LATEST.to_string(), latest.to_string())));
        let fields = vec![Field::new("key", DataType::Binary, false), Field::new("time", DataType::Int64, false)];
        let schema = Arc::new(ArrowSchema::new_with_metadata(fields, metadata));
        RecordBatch::try_new(schema, vec![Arc::new(keys), Arc::new(times)]).map_err(internal)
    }

    fn restore(&mut self, spec: &graph::Unique, before: &RecordBatch) -> Result<(), RunError> {
        let schema = before.schema();
        if schema.metadata().get(KEY_TYPES) != Some(&self.types) {
            let text = format!("the rule `{}` compares other columns than those that its state remembers", spec.rule);
            return Err(RunError::data("R0408", text)
                .help("give the rule another name to begin with an empty memory, or compute everything again with --full-refresh"));
        }
        self.latest = schema.metadata().get(LATEST).and_then(|latest| latest.parse().ok());
        let damaged = || internal("a snapshot of `unique` has other columns");
        let keys = before.column(0).as_binary_opt::<i32>().ok_or_else(damaged)?;
        let times = before.column(1).as_primitive_opt::<arrow::datatypes::Int64Type>().ok_or_else(damaged)?;
        for row in 0..before.num_rows() {
            let (key, time) = (keys.value(row), times.value(row));
            // Entries of one key stand together.
            match self.times.len().checked_sub(1).filter(|last| self.bytes.get(*last) == key) {
                Some(last) => self.times[last].push(time),
                None => self.insert(key, hash_bytes(key), SmallVec::from_elem(time, 1))?,
            }
        }
        self.account(&spec.rule)
    }
}

fn named(types: &[DataType]) -> String {
    format!("{types:?}")
}

/// Whether what was stored is of keys of the types that the rule compares now.
pub(crate) fn fits(spec: &graph::Unique, input: &flowc_ir::Schema, stored: &Stored) -> bool {
    let types: Vec<DataType> =
        spec.keys.iter().map(|c| flowc_ir::arrow_types::to_arrow(&input.fields[*c].ty.data)).collect();
    let of = |segment: &RecordBatch| segment.schema().metadata().get(KEY_TYPES) == Some(&named(&types));
    stored.segments.last().is_none_or(of)
}

/// What was stored with keys of some types, with keys of others: `from` says for each new one the old one, which is the same or widens to it.
pub(crate) fn rekeyed(
    stored: &RecordBatch,
    old: &[DataType],
    new: &[DataType],
    from: &[usize],
) -> Result<RecordBatch, RunError> {
    let Some(keys) = stored.columns().first().and_then(|keys| keys.as_binary_opt::<i32>()) else {
        return Err(internal("a snapshot of `unique` has other columns"));
    };
    let columns = Keys::new(old.iter())?.decode(keys.iter().flatten())?;
    let widened = |(from, to): (&usize, &DataType)| crate::upgrade::widened(&columns[*from], to);
    let columns = from.iter().zip(new).map(widened).collect::<Result<Vec<_>, _>>()?;
    let encoded = Keys::new(new.iter())?.encode(&columns)?;
    let keys = BinaryArray::from_iter_values(encoded.iter().map(|row| row.data().to_vec()));
    let schema = stored.schema();
    let mut metadata = schema.metadata().clone();
    metadata.insert(KEY_TYPES.to_string(), named(new));
    let schema = Arc::new(ArrowSchema::new_with_metadata(schema.fields().clone(), metadata));
    let mut columns: Vec<ArrayRef> = vec![Arc::new(keys)];
    columns.extend_from_slice(&stored.columns()[1..]);
    RecordBatch::try_new(schema, columns).map_err(internal)
}

/// The rows again, each with whether it is the first.
fn judged(
    kept: &Mutex<Kept>,
    spec: &graph::Unique,
    schema: &SchemaRef,
    batch: &RecordBatch,
) -> Result<RecordBatch, RunError> {
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    kept.snapshot = None;
    let columns: Vec<ArrayRef> = spec.keys.iter().map(|c| Arc::clone(batch.column(*c))).collect();
    let rows = kept.keys.encode(&columns)?;
    let time = spec.time.map(|c| batch.column(c).as_primitive::<TimestampMicrosecondType>());
    let mut first = vec![];
    for row in 0..batch.num_rows() {
        let at = time.filter(|t| t.is_valid(row)).map(|t| t.value(row));
        // A row without a time is neither before nor after another: it does not pass.
        let passes = (time.is_none() || at.is_some()) && kept.judge(rows.row(row).data(), at, spec.within)?;
        first.push(passes);
        kept.latest = kept.latest.max(at);
    }
    kept.account(&spec.rule)?;
    let mut columns = batch.columns().to_vec();
    columns.push(Arc::new(BooleanArray::from(first)));
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).map_err(internal)
}

impl Stateful for Unique {
    fn push(&self, _worker: usize, _input: usize, batch: Batch) -> Result<(), Fault> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (batch.order.path, batch.order.split);
        let buffer = rows.entry(place).or_insert_with(|| SpillBuffer::leaving_half(self.budget.clone()));
        Ok(buffer.push(batch.data)?)
    }

    fn finish(&self, _watermark: Option<i64>) -> Result<Emissions<'_>, Fault> {
        let rows = std::mem::take(&mut *self.rows.lock().unwrap_or_else(PoisonError::into_inner));
        let batches = rows.into_values().flat_map(|buffer| {
            let (drained, failed) = match buffer.drain() {
                Ok(drained) => (Some(drained), None),
                Err(error) => (None, Some(Err(error))),
            };
            drained.into_iter().flatten().chain(failed)
        });
        let judged = |batch: RecordBatch| judged(&self.kept, &self.spec, &self.schema, &batch);
        Ok(Box::new(batches.map(move |batch| Ok(Emitted::Rows(judged(batch?)?)))))
    }

    fn changes(&self, _extent: Extent) -> Result<Changes, RunError> {
        Ok(Changes { whole: true, segments: vec![self.snapshot()?], ..Changes::default() })
    }

    fn remembered(&self) -> Remembered {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (entries, bytes) = (kept.times.len() as u64, kept.held.bytes() as u64);
        Remembered { unit: "keys".into(), entries, bytes, ..Remembered::default() }
    }

    fn take_memory(&self) -> Memory {
        // What is behind the watermark is left out of it.
        match self.snapshot() {
            Ok(snapshot) => Box::new(snapshot),
            Err(_) => Box::new(()),
        }
    }
}

#[cfg(test)]
#[path = "unique_tests.rs"]
mod tests;
