//! What is remembered as batches to be stored, and back. A batch has columns that say of which group a row is, then the keys, then what each accumulator has, in
//! the forms that the accumulators' `save` tells; nothing is in a form of its own. What a later batch says of a group holds. Knows nothing of files.

use super::values::{Shape, Values};
use super::{open, sessions};
use crate::error::RunError;
use crate::operators::aggregate::accumulator::damaged;
use crate::operators::internal;
use crate::operators::spilled::StoredKeys;
use crate::operators::stateful::Stored;
use arrow::array::{Array, ArrayRef, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType as A, Field, Schema as ArrowSchema, TimeUnit};
use arrow::record_batch::RecordBatch;
use flowc_ir::graph;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The name of the note that tells by when the windows end that have been given out.
const CLOSED: &str = "closed";

/// The most rows of a batch.
const ROWS: usize = 1 << 18;

/// A column with its name.
pub(super) type Named = (Field, ArrayRef);

/// A column of moments that is never null.
pub(super) fn moments(name: &str, moments: impl Iterator<Item = i64>) -> Named {
    let data = A::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let column = TimestampMicrosecondArray::from_iter_values(moments).with_timezone("UTC");
    (Field::new(name, data, false), Arc::new(column))
}

/// The notes.
pub(super) fn notes(closed: Option<i64>) -> BTreeMap<String, String> {
    closed.map(|closed| (CLOSED.to_string(), closed.to_string())).into_iter().collect()
}

/// By when the windows end that have been given out.
pub(super) fn read_notes(stored: &Stored) -> Result<Option<i64>, RunError> {
    stored.notes.get(CLOSED).map(|closed| closed.parse().map_err(|_| damaged())).transpose()
}

/// Batches of these groups. `of`: the columns that say which group a row is of, and its key columns.
pub(super) fn segments(
    shape: &Shape,
    values: &Values,
    groups: &[u32],
    of: impl Fn(&[u32]) -> Result<(Vec<Named>, Vec<ArrayRef>), RunError>,
) -> Result<Vec<RecordBatch>, RunError> {
    let segment = |groups: &[u32]| {
        let (mut columns, keys) = of(groups)?;
        let key = |(i, key): (usize, ArrayRef)| (Field::new(format!("key_{i}"), key.data_type().clone(), true), key);
        columns.extend(keys.into_iter().enumerate().map(key));
        columns.extend(values.save(shape, groups)?);
        named(columns)
    };
    groups.chunks(ROWS).map(segment).collect()
}

/// A batch of these columns.
pub(super) fn named(columns: Vec<Named>) -> Result<RecordBatch, RunError> {
    let (fields, columns): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
    RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), columns).map_err(internal)
}

/// A batch that was stored: the columns that say which group a row is of, its keys, and what accumulators have.
#[derive(Debug)]
pub(super) struct Segment<'a> {
    pub(super) of: &'a [ArrayRef],
    pub(super) keys: &'a [ArrayRef],
    values: &'a [ArrayRef],
}

impl<'a> Segment<'a> {
    /// `of`: how many columns say which group a row is of.
    pub(super) fn new(shape: &Shape, batch: &'a RecordBatch, of: usize) -> Result<Segment<'a>, RunError> {
        let (of, rest) = batch.columns().split_at_checked(of).ok_or_else(damaged)?;
        let (keys, values) = rest.split_at_checked(shape.keys.len()).ok_or_else(damaged)?;
        if keys.iter().zip(&shape.keys).any(|(key, data)| key.data_type() != data) {
            return Err(damaged());
        }
        // A program may have come to know that a key is never null; what is remembered does not fit it then.
        let nullable = |key: &usize| shape.schema.fields.get(*key).is_some_and(|field| field.ty.nullable);
        if keys.iter().zip(&shape.spec.aggregate.keys).any(|(key, column)| key.null_count() > 0 && !nullable(column)) {
            return Err(shape.other());
        }
        Ok(Segment { of, keys, values })
    }

    /// Takes what accumulators had of these rows, each into its group, of `count`.
    pub(super) fn load(
        &self,
        shape: &Shape,
        values: &mut Values,
        rows: &[u32],
        groups: &[u32],
        count: usize,
    ) -> Result<(), RunError> {
        if rows.is_empty() {
            return Ok(());
        }
        let rows = UInt32Array::from(rows.to_vec());
        let columns = self.values.iter().map(|column| take(column, &rows, None).map_err(internal));
        values.load(shape, &columns.collect::<Result<Vec<_>, _>>()?, groups, count)
    }
}

/// Where a stored batch has its keys.
pub(in crate::operators) fn stored_keys(spec: &graph::WindowAggregate, batch: &RecordBatch) -> StoredKeys {
    let width = spec.aggregate.keys.len();
    let keys =
        |first: usize, numbered: bool| StoredKeys::Columns { columns: (first..first + width).collect(), numbered };
    match (&spec.window, batch.schema_ref().fields().first()) {
        (graph::Window::Session { .. }, Some(first)) if first.name() == sessions::GONE => StoredKeys::Numbers,
        (graph::Window::Session { .. }, _) => keys(sessions::OF, true),
        _ => keys(open::OF, false),
    }
}
