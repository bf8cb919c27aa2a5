//! What `upsert` keeps as it is stored: the newest records, or all of them, numbered, and the numbers of those that others took the place of.

use super::super::kept::{KeptRows, damaged, kept_keys, part_of};
use super::super::spilled::StoredKeys;
use super::super::stateful::{Changes, Extent, Stored};
use super::{Kept, Shape};
use crate::error::RunError;
use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field as ArrowField};
use arrow::record_batch::RecordBatch;
use flowc_ir::{Field, Schema, graph};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The name of the note that says what number the next record gets.
const NEXT: &str = "next";

/// Names of parts.
const ROWS: &str = "rows";
const FLAGGED: &str = "rows flagged";

/// The column that says whether a row is deleted: the last.
pub(super) fn deleted() -> ArrowField {
    ArrowField::new("#deleted", DataType::Boolean, false)
}

/// The columns that are kept of records, by position and as they are: the row's, then those that order or date records and are none of the row's.
pub(crate) fn kept_fields(spec: &graph::Upsert, input: &Schema) -> (Vec<usize>, Vec<Field>) {
    let mut columns: Vec<usize> = (0..spec.width).collect();
    for column in spec.sequence.iter().chain(&spec.history) {
        if !columns.contains(column) {
            columns.push(*column);
        }
    }
    let fields = columns.iter().map(|column| input.fields[*column].clone()).collect();
    (columns, fields)
}

pub(super) fn changes(records: &KeptRows, extent: Extent) -> Result<Changes, RunError> {
    let notes = BTreeMap::from([(NEXT.to_string(), records.next_id().to_string())]);
    let whole = extent.whole(records.unstored(), records.live());
    Ok(Changes { whole, notes, segments: records.segments(whole, ROWS)?, more: None })
}

/// Takes the records that were stored.
pub(super) fn restore_records(records: &mut KeptRows, name: &str, stored: &Stored) -> Result<(), RunError> {
    for segment in &stored.segments {
        match part_of(segment).as_str() {
            ROWS => records.restore(segment, name, |batch| Ok(vec![0; batch.num_rows()].into()))?,
            FLAGGED => records.restore_flagged(segment, name)?,
            _ => return Err(damaged(name)),
        }
    }
    let next = stored.notes.get(NEXT).and_then(|next| next.parse().ok());
    records.skip_to(next.unwrap_or(0));
    records.sweep()
}

pub(super) fn restore(shape: &Shape, stored: &Stored) -> Result<Kept, RunError> {
    let name = &shape.spec.name;
    let mut memory = shape.empty()?;
    restore_records(&mut memory.records, name, stored)?;
    let Kept { records, keys, current } = &mut memory;
    for (batch, _, numbers) in records.chunks() {
        let columns: Vec<ArrayRef> = shape.spec.keys.iter().map(|column| Arc::clone(batch.column(*column))).collect();
        let encoded = keys.encode(&columns, batch.num_rows())?;
        for row in (0..batch.num_rows()).filter(|row| records.holds(numbers.get(*row))) {
            match keys.insert(&encoded, row, 0)? as usize {
                key if key == current.len() => current.push(numbers.get(row)),
                _ => return Err(damaged(name)),
            }
        }
    }
    Ok(memory)
}

/// Where a stored batch has its keys.
pub(in crate::operators) fn stored_keys(spec: &graph::Upsert, batch: &RecordBatch) -> StoredKeys {
    kept_keys(batch, &spec.keys)
}
