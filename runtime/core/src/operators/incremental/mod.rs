//! Operators that keep results right as rows come and change: aggregates by key and by window, the first rows of each key, the different rows. What goes in has rows
//! that are added, or a column of weights ([`WEIGHT`]); what comes out at the end of an epoch is, for each result that the epoch changed, the result as it was, taken
//! away, and the result as it is, added. It depends on the rows that are there alone, whatever way they came. Knows nothing of where rows come from, nor of where
//! what is remembered is stored.

mod aggregate;
mod clock;
mod coder;
mod evaluate;
mod groups;
mod keyed_rows;
mod run;
mod sessions;
mod spine;
mod stored;
mod top;
mod windows;
mod zset;

pub(super) use stored::stored_keys;

use super::spilled::Make;
use crate::error::RunError;
use crate::spill::{Budget, Held};
use aggregate::Aggregate;
use arrow::record_batch::RecordBatch;
use flowc_ir::Schema;
use flowc_ir::graph::{Operator, WEIGHT, Window};
use keyed_rows::KeyedRows;
use std::sync::Arc;

/// Whether an operator with these columns of what comes out is one of these.
pub(crate) fn is_incremental(operator: &Operator, output: &Schema) -> bool {
    let kinds = matches!(
        operator,
        Operator::KeyedAggregate(_) | Operator::WindowAggregate(_) | Operator::Dedup(_) | Operator::Top(_)
    );
    kinds && position(output).is_some()
}

/// What makes an operator; none: it is not one of these.
pub(crate) fn make(operator: &Operator, input: &Schema, output: &Schema) -> Option<Make> {
    let (input, output) = (input.clone(), output.clone());
    Some(match operator.clone() {
        _ if !is_incremental(operator, &output) => return None,
        Operator::KeyedAggregate(spec) => {
            Arc::new(move |before, around| Ok(Box::new(Aggregate::keyed(&spec, (&input, &output), around, before)?)))
        }
        Operator::WindowAggregate(spec) if matches!(spec.window, Window::Session { .. }) => {
            Arc::new(move |before, around| Ok(Box::new(KeyedRows::sessions(&spec, (&input, &output), around, before)?)))
        }
        Operator::WindowAggregate(spec) => {
            Arc::new(move |before, around| Ok(Box::new(Aggregate::windowed(&spec, (&input, &output), around, before)?)))
        }
        Operator::Dedup(spec) => {
            Arc::new(move |before, around| Ok(Box::new(Aggregate::distinct(&spec, (&input, &output), around, before)?)))
        }
        Operator::Top(spec) => {
            Arc::new(move |before, around| Ok(Box::new(KeyedRows::top(&spec, (&input, &output), around, before)?)))
        }
        _ => return None,
    })
}

/// Where the weight is; none: rows are only added.
fn position(schema: &Schema) -> Option<usize> {
    schema.fields.iter().position(|field| field.name == WEIGHT)
}

/// The weights of rows; none: there is no such column, each row is added once.
pub(crate) fn weights(rows: &RecordBatch) -> Result<Option<&[i64]>, RunError> {
    match rows.schema_ref().index_of(WEIGHT) {
        Ok(_) => crate::zset::weights(rows).map(|weights| Some(&**weights)),
        Err(_) => Ok(None),
    }
}

/// Sees to it that so many bytes are taken from the budget in all.
fn account(held: &mut Held, budget: &Budget, bytes: usize, name: &str) -> Result<(), RunError> {
    if held.grow_to(bytes) {
        return Ok(());
    }
    budget.overflow(name);
    let text =
        format!("what `{name}` remembers of rows that change does not fit the {} MiB of --memory", budget.total >> 20);
    Err(RunError::data("R0131", text).help(
        "nothing was committed; on disk it could not be divided by key any further: raise --memory, let an epoch take less, or add keys to `by`",
    ))
}

#[cfg(test)]
mod tests;
