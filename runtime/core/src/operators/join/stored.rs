//! What a join keeps as it is stored: the rows of both sides, numbered, and the numbers of those that have had a match. What was let go since needs no record:
//! it follows from the watermark, which is noted.

use super::super::kept::{KeptRows, damaged, kept_keys, part_of};
use super::super::spilled::StoredKeys;
use super::super::stateful::{Changes, Extent, Stored};
use super::{Kept, LEFT, RIGHT, Shape, waiting};
use crate::error::RunError;
use arrow::record_batch::RecordBatch;
use flowc_ir::graph;
use std::collections::BTreeMap;

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
        rows.pass(horizon, |_| {});
        rows.sweep()?;
        rows.begin();
    }
    // Left rows wait, see there.
    waiting::enter_all(shape, &mut memory, RIGHT, horizon, &(0..u64::MAX))?;
    memory.index.settle();
    Ok(memory)
}

/// Where a stored batch has its keys.
pub(in crate::operators) fn stored_keys(spec: &graph::StreamJoin, batch: &RecordBatch) -> StoredKeys {
    let right = part_of(batch).starts_with(PARTS[RIGHT]);
    kept_keys(batch, if right { &spec.right_keys } else { &spec.left_keys })
}
