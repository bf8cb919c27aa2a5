//! What a join keeps as it is stored: the rows of both sides, numbered, and the numbers of those that have had a match. What was let go since needs no record:
//! it follows from the watermark, which is noted.

use super::super::kept::{Horizon, KeptRows, damaged, kept_keys, no_nulls, part_of};
use super::super::spilled::StoredKeys;
use super::super::stateful::{Changes, Extent, Stored};
use super::{Kept, LEFT, Posting, RIGHT, Shape};
use crate::error::RunError;
use arrow::array::ArrayRef;
use arrow::record_batch::RecordBatch;
use flowc_ir::graph;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Names of notes.
const CLOSED: &str = "closed";
const LATEST: &str = "latest";
const NEXT: [&str; 2] = ["next left", "next right"];

/// Names of parts.
const PARTS: [&str; 2] = ["left", "right"];
const FLAGGED: [&str; 2] = ["left flagged", "right flagged"];

pub(super) fn changes(shape: &Shape, memory: &Kept, extent: Extent) -> Result<Changes, RunError> {
    let mut notes = BTreeMap::new();
    notes.extend(memory.closed.map(|closed| (CLOSED.to_string(), closed.to_string())));
    notes.extend(memory.latest.map(|latest| (LATEST.to_string(), latest.to_string())));
    for (side, name) in memory.sides.iter().zip(NEXT) {
        notes.insert(name.to_string(), side.next_id().to_string());
    }
    // Without a duration nothing outlives the computation.
    if shape.spec.within.is_none() {
        return Ok(Changes { whole: true, notes, ..Changes::default() });
    }
    let unstored: usize = memory.sides.iter().map(KeptRows::unstored).sum();
    let whole = extent.whole(unstored, memory.live());
    let mut segments = vec![];
    for (side, part) in memory.sides.iter().zip(PARTS) {
        segments.extend(side.segments(whole, part)?);
    }
    Ok(Changes { whole, notes, segments, more: None })
}

pub(super) fn restore(shape: &Shape, stored: &Stored) -> Result<Kept, RunError> {
    let name = &shape.spec.name;
    let number = |note: &str| stored.notes.get(note).and_then(|text| text.parse::<i64>().ok());
    let mut memory = shape.empty()?;
    (memory.closed, memory.latest) = (number(CLOSED), number(LATEST));
    for segment in &stored.segments {
        let part = part_of(segment);
        if let Some(side) = PARTS.iter().position(|name| *name == part) {
            memory.sides[side].restore(segment, name, |batch| shape.times(side, batch))?;
        } else if let Some(side) = FLAGGED.iter().position(|name| *name == part) {
            memory.sides[side].restore_flagged(segment, name)?;
        } else {
            return Err(damaged(name));
        }
    }
    let horizon = shape.horizon(memory.closed);
    for side in [LEFT, RIGHT] {
        let next = number(NEXT[side]).and_then(|next| u64::try_from(next).ok());
        let rows = &mut memory.sides[side];
        rows.skip_to(next.unwrap_or(0));
        rows.due(horizon);
        rows.sweep()?;
        rows.begin();
        index(shape, &mut memory, side, horizon)?;
    }
    memory.index.settle();
    Ok(memory)
}

/// Adds the rows of a side to the index.
fn index(shape: &Shape, memory: &mut Kept, side: usize, horizon: Horizon) -> Result<(), RunError> {
    let Kept { sides, index, .. } = memory;
    for (batch, times, ids) in sides[side].chunks() {
        let columns: Vec<ArrayRef> = shape.keys(side).iter().map(|c| Arc::clone(batch.column(*c))).collect();
        let valid = no_nulls(&columns);
        let keys = index.encode(&columns, batch.num_rows())?;
        for row in 0..batch.num_rows() {
            if horizon.passed(times[row]) || valid.as_ref().is_some_and(|valid| valid.is_null(row)) {
                continue;
            }
            let key = index.number(&keys, row)?;
            index.add(side, key, Posting { time: times[row], id: ids.get(row) });
        }
    }
    Ok(())
}

/// Where a stored batch has its keys.
pub(in crate::operators) fn stored_keys(spec: &graph::StreamJoin, batch: &RecordBatch) -> StoredKeys {
    let right = part_of(batch).starts_with(PARTS[RIGHT]);
    kept_keys(batch, if right { &spec.right_keys } else { &spec.left_keys })
}
