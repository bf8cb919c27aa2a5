//! What a join of rows that change keeps as it is stored: the rows of both sides with their weights, and with the weights of their matches where those are counted.
//! A row that is stored again has another weight from then on; one of no weight is gone.

use super::super::kept::{damaged, mark, part_of};
use super::super::spilled::StoredKeys;
use super::super::stateful::{Changes, Extent, Stored};
use super::side::Side;
use super::{Kept, LEFT, RIGHT, Shape};
use crate::error::RunError;
use crate::operators::internal;
use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema as ArrowSchema};
use arrow::record_batch::RecordBatch;
use flowc_ir::graph;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The name of the note that says the weight of the right rows with a null key, where there are such.
const NULL_KEYS: &str = "null keys";

/// Names of parts.
const PARTS: [&str; 2] = ["left", "right"];

/// A stored batch has at most so many rows, and about so many bytes.
const SEGMENT_ROWS: usize = 1 << 18;
const SEGMENT_BYTES: usize = 1 << 26;

pub(super) fn changes(shape: &Shape, memory: &Kept, extent: Extent) -> Result<Changes, RunError> {
    let mut notes = BTreeMap::new();
    if memory.null_keys != 0 {
        notes.insert(NULL_KEYS.to_string(), memory.null_keys.to_string());
    }
    let changed: usize = memory.sides.iter().map(|side| side.changed().len()).sum();
    let whole = extent.whole(changed, memory.live());
    let mut segments = vec![];
    for side in [LEFT, RIGHT] {
        let rows = &memory.sides[side];
        let stored: Vec<u32> = match whole {
            true => (0..rows.len() as u32).filter(|row| rows.weight(*row) != 0).collect(),
            false => rows.changed().iter().map(|changed| changed.row).collect(),
        };
        for part in cut(rows, &stored) {
            segments.push(segment(shape, side, rows, part)?);
        }
    }
    Ok(Changes { whole, notes, segments, more: None })
}

/// Rows in parts that are stored together.
fn cut<'a>(rows: &Side, mut numbers: &'a [u32]) -> Vec<&'a [u32]> {
    let mut parts = vec![];
    while !numbers.is_empty() {
        let (mut count, mut bytes) = (0, 0);
        while count < numbers.len().min(SEGMENT_ROWS) && bytes < SEGMENT_BYTES {
            bytes += rows.width(numbers[count]);
            count += 1;
        }
        let (part, rest) = numbers.split_at(count);
        parts.push(part);
        numbers = rest;
    }
    parts
}

fn segment(shape: &Shape, side: usize, rows: &Side, numbers: &[u32]) -> Result<RecordBatch, RunError> {
    let long = |name: &str| Arc::new(Field::new(name, DataType::Int64, false));
    let column = |column: &usize| Arc::clone(&shape.inputs[side].fields()[*column]);
    let mut fields: Vec<_> = shape.kept[side].iter().map(column).collect();
    let mut columns = rows.columns(numbers)?;
    fields.push(long("#weight"));
    columns.push(Arc::new(Int64Array::from_iter_values(numbers.iter().map(|row| rows.weight(*row)))));
    if rows.counts() {
        fields.push(long("#matches"));
        columns.push(Arc::new(Int64Array::from_iter_values(numbers.iter().map(|row| rows.matches(*row)))));
    }
    RecordBatch::try_new(mark(&ArrowSchema::new(fields), PARTS[side]), columns).map_err(internal)
}

pub(super) fn restore(shape: &Shape, stored: &Stored) -> Result<Kept, RunError> {
    let mut memory = shape.empty()?;
    memory.null_keys = stored.notes.get(NULL_KEYS).and_then(|weight| weight.parse().ok()).unwrap_or(0);
    for segment in &stored.segments {
        take(shape, &mut memory, segment)?;
    }
    memory.sides.iter_mut().for_each(Side::begin);
    Ok(memory)
}

/// The same without the rows that are gone.
pub(super) fn compacted(shape: &Shape, memory: &Kept) -> Result<Kept, RunError> {
    let Changes { segments, notes, .. } = changes(shape, memory, Extent::Whole)?;
    restore(shape, &Stored { notes, segments })
}

/// Takes a stored batch.
fn take(shape: &Shape, memory: &mut Kept, segment: &RecordBatch) -> Result<(), RunError> {
    let name = &shape.spec.name;
    let part = part_of(segment);
    let side = PARTS.iter().position(|name| *name == part).ok_or_else(|| damaged(name))?;
    let width = shape.kept[side].len();
    let counts = memory.sides[side].counts();
    let mut wanted = shape.types(side);
    wanted.extend(std::iter::repeat_n(DataType::Int64, 1 + usize::from(counts)));
    if !segment.columns().iter().map(|column| column.data_type()).eq(&wanted) {
        return Err(damaged(name));
    }
    let keys: Vec<ArrayRef> = shape.kept_keys(side).iter().map(|key| Arc::clone(segment.column(*key))).collect();
    let keys = memory.keys.assign(&memory.keys.encode(&keys, segment.num_rows())?, &[])?;
    let weights = segment.column(width).as_primitive::<Int64Type>().values();
    let matches = counts.then(|| segment.column(width + 1).as_primitive::<Int64Type>().values());
    let mut changes: Vec<(u32, u32, i64)> = Vec::with_capacity(keys.len());
    memory.sides[side].find(&segment.columns()[..width], &keys, |rows, place, row| {
        changes.push((keys[place], row, weights[place].wrapping_sub(rows.weight(row))));
        rows.restore(row, weights[place], matches.map_or(0, |matches| matches[place]));
    })?;
    for (key, _, weight) in &changes {
        memory.add_total(side, *key, *weight);
    }
    // Those that are gone must not be found again.
    let mut gone: Vec<u32> = changes.into_iter().map(|(_, row, _)| row).collect();
    gone.retain(|row| memory.sides[side].weight(*row) == 0);
    gone.sort_unstable();
    gone.dedup();
    gone.into_iter().try_for_each(|row| memory.sides[side].remove(row))
}

/// Where a stored batch has its keys.
pub(in crate::operators) fn stored_keys(keys: &[Vec<usize>; 2], batch: &RecordBatch) -> StoredKeys {
    let side = usize::from(part_of(batch) == PARTS[RIGHT]);
    StoredKeys::Columns { columns: keys[side].clone(), numbered: false }
}

/// The key columns of both sides, by their positions in what is stored.
pub(in crate::operators) fn key_places(
    spec: &graph::StreamJoin,
    inputs: &[&flowc_ir::Schema],
) -> Result<[Vec<usize>; 2], RunError> {
    let places = |side: usize, keys: &[usize]| {
        let weight = inputs[side].index_of(graph::WEIGHT);
        let weight = weight.ok_or_else(|| internal("rows that change have no weight"))?;
        Ok::<_, RunError>(keys.iter().map(|key| key - usize::from(weight < *key)).collect())
    };
    Ok([places(LEFT, &spec.left_keys)?, places(RIGHT, &spec.right_keys)?])
}
