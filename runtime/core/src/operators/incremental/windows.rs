//! Puts rows into the windows of the clock that they belong to: a row into each. Knows nothing of groups.

use super::clock::Clock;
use crate::error::RunError;
use crate::operators::internal;
use crate::operators::window::open::Slicer;
use crate::operators::window::windows::{Bounds, Slice, Windows};
use arrow::array::{ArrayRef, AsArray, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::TimestampMicrosecondType;
use arrow::record_batch::RecordBatch;
use std::collections::HashMap;
use std::sync::Arc;

/// Rows by their windows.
#[derive(Debug)]
pub(super) struct Cut {
    /// The rows, each as often as it has windows that are not forgotten; and of each the number that it had.
    pub(super) rows: RecordBatch,
    pub(super) numbers: Vec<u32>,
    /// Where its window begins and ends.
    pub(super) bounds: [ArrayRef; 2],
    /// Those of which all windows are forgotten, and those without a time.
    pub(super) late: Option<RecordBatch>,
}

/// A column of moments.
pub(super) fn moments(moments: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter_values(moments).with_timezone("UTC"))
}

/// The event times of rows.
pub(super) fn times(rows: &RecordBatch, time: usize) -> Result<&TimestampMicrosecondArray, RunError> {
    let times = rows.column(time).as_primitive_opt::<TimestampMicrosecondType>();
    times.ok_or_else(|| internal("the event time is no timestamp"))
}

/// The windows that contain a slice.
fn containing(windows: &Windows, slice: Slice) -> Vec<Bounds> {
    windows.ending(|from| (slice.start >= from).then_some(slice.start), None, i64::MAX)
}

/// Cuts rows, whose time is in this column.
pub(super) fn cut(windows: &Windows, clock: &Clock, time: usize, rows: &RecordBatch) -> Result<Cut, RunError> {
    let times = times(rows, time)?;
    let mut slicer = Slicer::new(windows);
    let mut known: HashMap<i64, Vec<Bounds>> = HashMap::new();
    let (mut numbers, mut starts, mut ends, mut late) = (vec![], vec![], vec![], vec![]);
    for (row, at) in times.iter().enumerate() {
        let Some(at) = at else {
            late.push(row as u32);
            continue;
        };
        let slice = slicer.slice(at);
        // Between windows.
        let Some(last) = slice.last_end else { continue };
        if clock.released(last) {
            late.push(row as u32);
            continue;
        }
        let windows = known.entry(slice.start).or_insert_with(|| containing(windows, slice));
        for window in windows.iter().filter(|window| !clock.released(window.end)) {
            numbers.push(row as u32);
            starts.push(window.start);
            ends.push(window.end);
        }
    }
    let pick = |rows: &RecordBatch, numbers: &[u32]| {
        take_record_batch(rows, &UInt32Array::from(numbers.to_vec())).map_err(internal)
    };
    let same = numbers.len() == rows.num_rows() && (0..).zip(&numbers).all(|(row, number)| row == *number);
    Ok(Cut {
        rows: if same { rows.clone() } else { pick(rows, &numbers)? },
        numbers,
        bounds: [moments(starts.into_iter()), moments(ends.into_iter())],
        late: if late.is_empty() { None } else { Some(pick(rows, &late)?) },
    })
}
