//! What `top` keeps as it is stored: the rows of open windows, numbered, and the numbers of those that are not among the first any more. Windows that were
//! closed since need no record: they follow from the watermark, which is noted.

use super::super::kept::{Posting, damaged, kept_keys, part_of};
use super::super::spilled::StoredKeys;
use super::super::stateful::{Changes, Extent, Stored};
use super::{Kept, Shape};
use crate::error::RunError;
use arrow::record_batch::RecordBatch;
use flowc_ir::graph;
use std::collections::BTreeMap;

/// Names of notes.
const CLOSED: &str = "closed";
const LATEST: &str = "latest";
const NEXT: &str = "next";

/// Names of parts.
const ROWS: &str = "rows";
const FLAGGED: &str = "rows flagged";

pub(super) fn changes(shape: &Shape, memory: &Kept, extent: Extent) -> Result<Changes, RunError> {
    let mut notes = BTreeMap::new();
    notes.extend(memory.closed.map(|closed| (CLOSED.to_string(), closed.to_string())));
    notes.extend(memory.latest.map(|latest| (LATEST.to_string(), latest.to_string())));
    notes.insert(NEXT.to_string(), memory.rows.next_id().to_string());
    // Without windows nothing outlives the computation.
    if shape.spec.window.is_none() {
        return Ok(Changes { whole: true, notes, ..Changes::default() });
    }
    let whole = extent.whole(memory.rows.unstored(), memory.rows.live());
    Ok(Changes { whole, notes, segments: memory.rows.segments(whole, ROWS)?, more: None })
}

pub(super) fn restore(shape: &Shape, stored: &Stored) -> Result<Kept, RunError> {
    let name = &shape.spec.name;
    let number = |note: &str| stored.notes.get(note).and_then(|text| text.parse::<i64>().ok());
    let mut memory = shape.empty()?;
    (memory.closed, memory.latest) = (number(CLOSED), number(LATEST));
    for segment in &stored.segments {
        match part_of(segment).as_str() {
            ROWS => memory.rows.restore(segment, name, |batch| shape.ends(batch))?,
            FLAGGED => memory.rows.restore_flagged(segment, name)?,
            _ => return Err(damaged(name)),
        }
    }
    let horizon = shape.horizon(memory.closed);
    let Kept { rows, index, .. } = &mut memory;
    rows.skip_to(number(NEXT).and_then(|next| u64::try_from(next).ok()).unwrap_or(0));
    rows.due(horizon);
    rows.sweep()?;
    for (batch, ends, ids) in rows.chunks() {
        let keys = index.encode(&shape.group_columns(batch), batch.num_rows())?;
        for row in (0..batch.num_rows()).filter(|row| !horizon.passed(ends[*row]) && rows.holds(ids.get(*row))) {
            let key = index.number(&keys, row)?;
            index.add(0, key, Posting { time: ends[row], id: ids.get(row) });
        }
    }
    index.settle();
    Ok(memory)
}

/// Where a stored batch has its keys.
pub(in crate::operators) fn stored_keys(spec: &graph::Top, batch: &RecordBatch) -> StoredKeys {
    kept_keys(batch, &spec.keys)
}
