//! What `dedup` keeps as it is stored: keys with the times of their kept rows, and the rows that wait. What was forgotten or taken since needs no record: it
//! follows from the watermark, which is noted.

use super::super::kept::{Horizon, damaged, kept_keys, mark, part_of, times};
use super::super::spilled::StoredKeys;
use super::super::stateful::{Changes, Extent, Stored};
use super::{Kept, Shape};
use crate::error::RunError;
use crate::operators::internal;
use arrow::record_batch::RecordBatch;
use flowc_ir::graph;
use std::collections::BTreeMap;

/// Names of notes.
const CLOSED: &str = "closed";
const LATEST: &str = "latest";
const NEXT: &str = "next";

/// Names of parts.
const KEPT: &str = "kept";
const WAITING: &str = "waiting";

pub(super) fn changes(memory: &Kept, extent: Extent) -> Result<Changes, RunError> {
    let mut notes = BTreeMap::new();
    notes.extend(memory.closed.map(|closed| (CLOSED.to_string(), closed.to_string())));
    notes.extend(memory.latest.map(|latest| (LATEST.to_string(), latest.to_string())));
    notes.insert(NEXT.to_string(), memory.waiting.next_id().to_string());
    let (kept, all) = memory.firsts.fresh();
    let whole = extent.whole(kept, all) && extent.whole(memory.waiting.unstored(), memory.waiting.live());
    let mut segments = vec![];
    for segment in memory.firsts.segments(whole)? {
        let schema = mark(&segment.schema(), KEPT);
        segments.push(RecordBatch::try_new(schema, segment.columns().to_vec()).map_err(internal)?);
    }
    segments.extend(memory.waiting.segments(whole, WAITING)?);
    Ok(Changes { whole, notes, segments, more: None })
}

pub(super) fn restore(shape: &Shape, stored: &Stored) -> Result<Kept, RunError> {
    let name = &shape.spec.name;
    let number = |note: &str| stored.notes.get(note).and_then(|text| text.parse::<i64>().ok());
    let mut memory = shape.empty()?;
    (memory.closed, memory.latest) = (number(CLOSED), number(LATEST));
    let forgotten = shape.forgotten(memory.closed);
    for segment in &stored.segments {
        match (part_of(segment).as_str(), shape.bound) {
            (KEPT, _) => memory.firsts.restore(segment, forgotten)?.ok_or_else(|| damaged(name))?,
            (WAITING, Some((time, _))) => {
                memory.waiting.restore(segment, name, |batch| Ok(times(batch, time)?.values().clone()))?;
            }
            _ => return Err(damaged(name)),
        }
    }
    memory.waiting.skip_to(number(NEXT).and_then(|next| u64::try_from(next).ok()).unwrap_or(0));
    memory.waiting.due(Horizon::behind(memory.closed, 0));
    memory.waiting.sweep()?;
    Ok(memory)
}

/// Where a stored batch has its keys.
pub(in crate::operators) fn stored_keys(spec: &graph::Dedup, batch: &RecordBatch) -> StoredKeys {
    match part_of(batch).as_str() {
        KEPT => StoredKeys::Columns { columns: (0..spec.keys.len()).collect(), numbered: false },
        _ => kept_keys(batch, &spec.keys),
    }
}
