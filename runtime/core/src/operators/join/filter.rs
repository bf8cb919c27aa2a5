//! Which left rows a join needs, once its right rows are there: a semi-join reduction (Bernstein and Chiu, "Using semi-joins to solve relational queries", JACM 1981),
//! so that columns of left rows that match nothing need not be read. Knows keys and times; nothing of where left rows come from.

use super::super::aggregate::index::{Encoded, KeyIndex};
use super::super::kept::{Horizon, no_nulls};
use super::{Kept, LEFT, RIGHT, Shape};
use crate::connector::RowFilter;
use crate::error::RunError;
use crate::operators::internal;
use crate::spill::{Budget, Held};
use arrow::array::{Array, ArrayRef, AsArray, BooleanBufferBuilder, UInt32Array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::{max, min, take};
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// A filter on the left rows of an epoch. It keeps rows that are late, which come out as such, those that may match a right row, and those that a later row may match.
#[derive(Debug)]
pub(super) struct LeftFilter {
    /// The positions of the columns that it looks at: keys, and the event time.
    columns: Vec<usize>,
    /// Where the keys stand among them.
    keys: Vec<usize>,
    /// Where the event time stands among them.
    time: Option<usize>,
    /// The keys of right rows.
    index: KeyIndex,
    /// Of a single key of a type of 64 bits, the least and the greatest of right rows; most keys lie elsewhere where the right side is small.
    span: Option<(i64, i64)>,
    horizon: Horizon,
    /// The least time that is not late; none: no time is known.
    on_time: Option<i64>,
    /// The greatest event time of rows that are on time.
    latest: Mutex<Option<i64>>,
    /// What the keys take.
    _held: Held,
}

impl LeftFilter {
    /// Of the right rows of the epoch and those that are kept. None: left rows that match nothing come out, or the keys do not fit the memory.
    pub(super) fn new<'a>(
        shape: &Shape,
        (arrived, memory): (impl Iterator<Item = &'a RecordBatch>, &'a Kept),
        (horizon, on_time): (Horizon, Option<i64>),
        budget: &Budget,
    ) -> Result<Option<LeftFilter>, RunError> {
        if shape.unmatched(LEFT) || shape.keys(LEFT).is_empty() {
            return Ok(None);
        }
        let types: Vec<DataType> =
            shape.keys(LEFT).iter().map(|column| shape.inputs[LEFT].field(*column).data_type().clone()).collect();
        let (mut index, mut held) = (KeyIndex::new(&types, false)?, Held::new(budget.clone()));
        let mut span = None;
        for batch in arrived.chain(memory.sides[RIGHT].batches()) {
            let keys: Vec<ArrayRef> = shape.keys(RIGHT).iter().map(|c| batch.column(*c).clone()).collect();
            index.assign(&index.encode(&keys, batch.num_rows())?, &[])?;
            if !held.grow_to(index.bytes()) {
                return Ok(None);
            }
            if let [key] = keys.as_slice() {
                span = widened(span, key);
            }
        }
        let whole = types.len() == 1 && is_whole(&types[0]);
        // Without right rows nothing lies between.
        let span = whole.then(|| span.unwrap_or((i64::MAX, i64::MIN)));
        let time = shape.spec.within.map(|within| within.left);
        let columns: BTreeSet<usize> = shape.keys(LEFT).iter().copied().chain(time).collect();
        let columns: Vec<usize> = columns.into_iter().collect();
        let place = |column: &usize| columns.binary_search(column).map_err(|_| internal("a key is no column"));
        let keys = shape.keys(LEFT).iter().map(place).collect::<Result<_, _>>()?;
        let time = time.as_ref().map(place).transpose()?;
        Ok(Some(LeftFilter {
            keys,
            time,
            index,
            span,
            horizon,
            on_time,
            latest: Mutex::default(),
            _held: held,
            columns,
        }))
    }

    /// The greatest event time of the rows that it has seen and that are on time.
    pub(super) fn latest(&self) -> Option<i64> {
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of each row what its time alone says: whether it is needed, whatever its key; and whether it is only if its key is found. Notes the greatest time.
    fn by_time(
        &self,
        rows: &RecordBatch,
        valid: Option<&NullBuffer>,
    ) -> Result<(BooleanBuffer, BooleanBuffer), RunError> {
        let count = rows.num_rows();
        let has_key = |row: usize| valid.is_none_or(|valid| valid.is_valid(row));
        let Some(time) = self.time else {
            // As the join itself takes rows without times.
            self.note((count > 0).then_some(0));
            return Ok((BooleanBuffer::new_unset(count), BooleanBuffer::collect_bool(count, has_key)));
        };
        let times = rows.column(time).as_primitive_opt::<TimestampMicrosecondType>();
        let times = times.ok_or_else(|| internal("an event time is no timestamp"))?;
        let (values, nulls) = (times.values(), times.nulls().filter(|nulls| nulls.null_count() > 0));
        let first = self.on_time.unwrap_or(i64::MIN);
        let on_time = |row: usize| values[row] >= first && nulls.is_none_or(|nulls| nulls.is_valid(row));
        self.note((0..count).filter(|row| on_time(*row)).map(|row| values[row]).max());
        let open = |row: usize| !self.horizon.passed(values[row]);
        let sure = BooleanBuffer::collect_bool(count, |row| !on_time(row) || open(row) && has_key(row));
        let asked = BooleanBuffer::collect_bool(count, |row| on_time(row) && !open(row) && has_key(row));
        Ok((sure, asked))
    }

    fn note(&self, time: Option<i64>) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        *latest = time.max(*latest);
    }

    /// Which of these rows can have a key between the least and the greatest one.
    fn between(&self, key: &ArrayRef, rows: BooleanBuffer) -> BooleanBuffer {
        let (Some((least, greatest)), Some(values)) = (self.span, whole(key)) else { return rows };
        let within =
            BooleanBuffer::collect_bool(values.len(), |row| (least <= values[row]) & (values[row] <= greatest));
        &rows & &within
    }
}

impl RowFilter for LeftFilter {
    fn columns(&self) -> &[usize] {
        &self.columns
    }

    fn keep(&self, rows: &RecordBatch) -> Result<BooleanBuffer, RunError> {
        let keys: Vec<ArrayRef> = self.keys.iter().map(|column| rows.column(*column).clone()).collect();
        let (sure, mut asked) = self.by_time(rows, no_nulls(&keys).as_ref())?;
        if let [key] = keys.as_slice() {
            asked = self.between(key, asked);
        }
        let asked: Vec<u32> = asked.set_indices().map(|row| row as u32).collect();
        if asked.is_empty() {
            return Ok(sure);
        }
        let found: Encoded = if asked.len() == rows.num_rows() {
            self.index.encode(&keys, asked.len())?
        } else {
            let places = UInt32Array::from(asked.clone());
            let keys = keys.iter().map(|key| take(key, &places, None)).collect::<Result<Vec<_>, _>>();
            self.index.encode(&keys.map_err(internal)?, asked.len())?
        };
        let mut keep = BooleanBufferBuilder::new(rows.num_rows());
        keep.append_buffer(&sure);
        for (place, row) in asked.iter().enumerate() {
            if self.index.find(&found, place, 0).is_some() {
                keep.set_bit(*row as usize, true);
            }
        }
        Ok(keep.finish())
    }
}

fn is_whole(data: &DataType) -> bool {
    matches!(data, DataType::Int64 | DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, _))
}

/// The values of a column of 64 bits that are compared as they stand.
fn whole(column: &ArrayRef) -> Option<&[i64]> {
    let longs = column.as_primitive_opt::<Int64Type>().map(|longs| &longs.values()[..]);
    longs.or_else(|| column.as_primitive_opt::<TimestampMicrosecondType>().map(|times| &times.values()[..]))
}

/// A span with the values of a column, where it is of 64 bits.
fn widened(span: Option<(i64, i64)>, column: &ArrayRef) -> Option<(i64, i64)> {
    let longs = column.as_primitive_opt::<Int64Type>().and_then(|longs| min(longs).zip(max(longs)));
    let times = || column.as_primitive_opt::<TimestampMicrosecondType>().and_then(|times| min(times).zip(max(times)));
    let more = longs.or_else(times);
    match (span, more) {
        (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
        (span, more) => span.or(more),
    }
}
