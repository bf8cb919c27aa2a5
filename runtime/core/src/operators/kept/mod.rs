//! What joins of streams, `dedup` and `top` keep from epoch to epoch: rows in chunks, keys with what belongs to them, and what event time says of both.
//! Knows nothing of why rows are kept, nor of where they are stored.

#[cfg(test)]
pub(in crate::operators) mod harness;
mod index;
mod key_times;
mod rows;

pub(super) use index::{KeyIndex, NO_KEY, Posting};
pub(super) use key_times::{KeyTimes, TooMany};
pub(super) use rows::{Ids, KeptRows, Place, taken};

use super::spilled::StoredKeys;
use super::stateful::{Before, Emissions, Emitted, Stored};
use super::{Fault, internal};
use crate::error::RunError;
use crate::spill::{Budget, Held, SpillBuffer};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, TimestampMicrosecondArray};
use arrow::buffer::NullBuffer;
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Schema as ArrowSchema, SchemaRef, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// The name under which the schema of a stored batch says which part of the memory it is.
const PART: &str = "part";

/// What is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Horizon {
    /// What lies before this time.
    Before(i64),
    /// Everything.
    All,
}

impl Horizon {
    /// What the watermark has passed by more than so many microseconds; [`i64::MAX`] has passed everything, an unknown one nothing.
    pub(super) fn behind(watermark: Option<i64>, by: i128) -> Horizon {
        match watermark {
            None => Horizon::Before(i64::MIN),
            Some(i64::MAX) => Horizon::All,
            Some(watermark) => Horizon::Before(before(watermark, by)),
        }
    }

    /// Whether this time is over.
    pub(super) fn passed(self, time: i64) -> bool {
        match self {
            Horizon::Before(horizon) => time < horizon,
            Horizon::All => true,
        }
    }
}

/// A time so many microseconds before another, or the nearest that there is.
pub(super) fn before(time: i64, by: i128) -> i64 {
    (i128::from(time) - by).clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}

/// The event times of a batch.
pub(super) fn times(batch: &RecordBatch, column: usize) -> Result<&TimestampMicrosecondArray, RunError> {
    batch
        .column(column)
        .as_primitive_opt::<TimestampMicrosecondType>()
        .ok_or_else(|| internal("an event time is no timestamp"))
}

/// Separates rows that are on time from those that are not, if there are such: without an event time, or with one before `first` (none: no time is late).
pub(super) fn split_late(
    batch: RecordBatch,
    column: usize,
    first: Option<i64>,
) -> Result<(RecordBatch, Option<RecordBatch>), Fault> {
    let array = times(&batch, column)?;
    let first = first.unwrap_or(i64::MIN);
    if array.null_count() == 0 && array.values().iter().all(|time| *time >= first) {
        return Ok((batch, None));
    }
    let late: BooleanArray = array.iter().map(|time| Some(time.is_none_or(|time| time < first))).collect();
    let on_time = filter_record_batch(&batch, &arrow::compute::not(&late)?)?;
    let late = filter_record_batch(&batch, &late)?;
    Ok((on_time, Some(late)))
}

/// A batch in parts of at most so many rows.
pub(super) fn parts(batch: RecordBatch, most: usize) -> impl Iterator<Item = RecordBatch> {
    let most = most.max(1);
    (0..batch.num_rows()).step_by(most).map(move |start| batch.slice(start, most.min(batch.num_rows() - start)))
}

/// The end of an epoch, done step by step: what comes out is made a batch at a time.
pub(super) trait Stepwise {
    /// What was made and not yet given out.
    fn made(&mut self) -> &mut VecDeque<Emitted>;

    /// One step; whether it was the last.
    fn step(&mut self) -> Result<bool, Fault>;

    /// What comes out.
    fn emissions<'a>(mut self) -> Emissions<'a>
    where
        Self: Sized + Send + 'a,
    {
        Box::new(std::iter::from_fn(move || self.next_made()))
    }

    /// The next that comes out.
    fn next_made(&mut self) -> Option<Result<Emitted, Fault>> {
        loop {
            if let Some(emitted) = self.made().pop_front() {
                return Some(Ok(emitted));
            }
            match self.step() {
                Ok(false) => {}
                Ok(true) => return None,
                Err(fault) => return Some(Err(fault)),
            }
        }
    }
}

/// What an operator takes over from the last epoch, in the layout of its form. `restore` reads it from what was stored; `name` names the step.
pub(super) fn recalled<K: Any>(
    before: Before,
    name: &str,
    empty: impl FnOnce() -> Result<K, RunError>,
    restore: impl FnOnce(Stored) -> Result<K, RunError>,
) -> Result<K, RunError> {
    match before.read()? {
        Before::Nothing | Before::Unread(_) => empty(),
        Before::Stored(stored) => restore(in_order(stored)?),
        Before::Memory(memory) => {
            Ok(*memory.downcast().map_err(|_| internal(format!("`{name}` got another step's memory")))?)
        }
    }
}

/// The batches of buffers, one buffer after the other.
pub(super) fn drained(
    buffers: impl Iterator<Item = SpillBuffer> + Send + 'static,
) -> Box<dyn Iterator<Item = Result<RecordBatch, RunError>> + Send> {
    Box::new(buffers.flat_map(|buffer| {
        let (drained, failed) = match buffer.drain() {
            Ok(drained) => (Some(drained), None),
            Err(error) => (None, Some(Err(error))),
        };
        drained.into_iter().flatten().chain(failed)
    }))
}

/// Which rows have no null among these columns; none: all.
pub(super) fn no_nulls(columns: &[ArrayRef]) -> Option<NullBuffer> {
    columns.iter().fold(None, |nulls, column| NullBuffer::union(nulls.as_ref(), column.logical_nulls().as_ref()))
}

/// The batch with a schema that says which part of the memory it is.
pub(super) fn mark(schema: &ArrowSchema, part: &str) -> SchemaRef {
    let metadata = HashMap::from([(PART.to_string(), part.to_string())]);
    Arc::new(ArrowSchema::new_with_metadata(schema.fields().clone(), metadata))
}

/// Which part of the memory a stored batch is.
pub(crate) fn part_of(batch: &RecordBatch) -> String {
    batch.schema().metadata().get(PART).cloned().unwrap_or_default()
}

/// Where a stored batch of kept rows, or of the numbers of those that are flagged, has its keys, which are these columns of the rows.
pub(super) fn kept_keys(batch: &RecordBatch, keys: &[usize]) -> StoredKeys {
    match part_of(batch).ends_with(rows::FLAGGED) {
        true => StoredKeys::Numbers,
        // The rows stand behind their numbers.
        false => StoredKeys::Columns { columns: keys.iter().map(|column| column + 1).collect(), numbered: true },
    }
}

/// What was stored, so that rows come with ascending numbers, part by part, and what is said of them by number behind them. They may have been stored in parts by
/// key.
pub(super) fn in_order(stored: Stored) -> Result<Stored, RunError> {
    let Stored { notes, segments } = stored;
    let mut parts: Vec<(String, Vec<RecordBatch>)> = vec![];
    let mut others = vec![];
    for batch in segments {
        if !rows::is_numbered(&batch) {
            others.push(batch);
            continue;
        }
        let part = part_of(&batch);
        match parts.iter_mut().find(|(name, _)| *name == part) {
            Some((_, batches)) => batches.push(batch),
            None => parts.push((part, vec![batch])),
        }
    }
    let mut segments = vec![];
    for (_, batches) in parts {
        segments.extend(rows::by_number(batches)?);
    }
    segments.extend(others);
    Ok(Stored { notes, segments })
}

/// A stored batch is not what it should be.
pub(super) fn damaged(name: &str) -> RunError {
    internal(format!("what `{name}` remembers was stored with other columns"))
}

/// Sees to it that so many bytes are taken from the budget in all.
pub(super) fn account(held: &mut Held, budget: &Budget, bytes: usize, name: &str) -> Result<(), RunError> {
    if held.grow_to(bytes) {
        return Ok(());
    }
    budget.overflow(name);
    let text = format!("what `{name}` has to remember does not fit the {} MiB of --memory", budget.total >> 20);
    Err(RunError::data("R0117", text).help(
        "nothing was committed; on disk it could not be divided by key any further: raise --memory, shorten `within` or the windows, or let epochs take less at a time",
    ))
}
