//! Groups as the rows that come out: their order, their columns, and what is told of one that has no result. Knows nothing of what stays.

use super::values::{Shape, Values};
use super::windows::Bounds;
use crate::error::RunError;
use crate::keys::Keys;
use crate::operators::{Fault, internal};
use crate::text::row_text;
use arrow::array::{ArrayRef, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::Schema as ArrowSchema;
use arrow::record_batch::RecordBatch;
use std::sync::Arc;

/// The order of groups that come out: by end and start of the window, then by key. `keys`: their key columns.
pub(super) fn in_order(shape: &Shape, keys: &[ArrayRef], bounds: &[Bounds]) -> Result<Vec<u32>, RunError> {
    let mut order: Vec<u32> = (0..bounds.len() as u32).collect();
    if keys.is_empty() {
        order.sort_by_key(|i| bounds[*i as usize]);
        return Ok(order);
    }
    let rows = Keys::new(shape.keys.iter())?.encode(keys)?;
    order.sort_unstable_by_key(|i| (bounds[*i as usize], rows.row(*i as usize)));
    Ok(order)
}

/// The rows of groups, with their key columns and windows.
pub(super) fn batch(
    shape: &Shape,
    values: &Values,
    groups: &[u32],
    mut columns: Vec<ArrayRef>,
    bounds: &[Bounds],
) -> Result<RecordBatch, Fault> {
    let keys = columns.len();
    for moments in [bounds.iter().map(|b| b.start).collect::<Vec<_>>(), bounds.iter().map(|b| b.end).collect()] {
        let moments: ArrayRef = Arc::new(Int64Array::from(moments));
        columns.push(cast(&moments, shape.output.field(columns.len()).data_type()).map_err(internal)?);
    }
    match values.results(shape, groups) {
        Ok(results) => {
            columns.extend(results);
            Ok(RecordBatch::try_new(Arc::clone(&shape.output), columns)?)
        }
        Err(unfinished) => {
            let mut error = *unfinished.error;
            if let Some(position) = unfinished.position {
                let schema = Arc::new(ArrowSchema::new(shape.output.fields()[..keys + 2].to_vec()));
                error.row = row_text(&RecordBatch::try_new(schema, columns)?, position);
            }
            Err(error.into())
        }
    }
}
