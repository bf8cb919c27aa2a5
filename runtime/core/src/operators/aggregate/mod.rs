//! Groups and aggregates bounded input. Each worker aggregates what it gets; at the end their groups are merged. No result depends on who got what, on how
//! rows were cut into batches, on how much memory there is, or on their order beyond their places in the input. Knows nothing of where rows come from.

pub(super) mod accumulator;
mod cells;
mod chosen;
mod collections;
pub(super) mod column;
pub(crate) mod exact;
mod extremes;
mod fixed;
mod groups;
pub(super) mod index;
mod part;
mod partitions;
mod replay;
pub(super) mod shared;
mod sketch;
mod slots;
mod sums;
mod table;
mod words;

use super::{Blocking, Fault, Outputs, internal};
use crate::batch::Batch;
use crate::error::RunError;
use crate::spill::{Budget, Held};
use accumulator::{Accumulator, Places};
use arrow::array::ArrayRef;
use arrow::datatypes::{DataType as A, SchemaRef};
use flowc_ir::aggregates::AggregateFunction as F;
use flowc_ir::arrow_types::{to_arrow, to_arrow_schema};
use flowc_ir::graph::{self, AggregateCall};
use flowc_ir::{DataType, Schema, Value};
use replay::Replay;
use std::sync::{Arc, Mutex, PoisonError};
use table::{Ended, Part, Table};

/// What is computed, over which columns.
#[derive(Debug)]
struct Shape {
    spec: graph::Aggregate,
    schema: Schema,
    input: SchemaRef,
    /// The keys and the results.
    output: SchemaRef,
}

/// The operator.
#[derive(Debug)]
pub struct Aggregate {
    shape: Arc<Shape>,
    batch_rows: usize,
    budget: Budget,
    workers: Vec<Mutex<Option<Table>>>,
}

impl Aggregate {
    /// For rows of `input`; `output` has the keys and the results.
    pub(crate) fn new(
        spec: &graph::Aggregate,
        (input, output): (&Schema, &Schema),
        workers: usize,
        batch_rows: usize,
        budget: Budget,
    ) -> Aggregate {
        let workers = (0..workers).map(|_| Mutex::new(None)).collect();
        let (spec, schema) = (spec.clone(), input.clone());
        let shape = Shape { spec, schema, input: to_arrow_schema(input), output: to_arrow_schema(output) };
        Aggregate { shape: Arc::new(shape), batch_rows, budget, workers }
    }
}

/// Whether the result of a function depends on the order of the rows.
pub(crate) fn depends_on_order(function: F) -> bool {
    matches!(function, F::First | F::Last | F::MinBy | F::MaxBy | F::CollectList | F::CollectSet)
}

/// The types of the columns in which what a call has is stored.
pub(crate) fn saved_types(call: &AggregateCall, input: &Schema) -> Result<Vec<A>, RunError> {
    Ok(accumulator(call, input)?.save(&[])?.iter().map(|column| column.data_type().clone()).collect())
}

/// Whether a result is null of what a call has stored, a group a row, or cannot be told.
pub(crate) fn yields_null(
    call: &AggregateCall,
    input: &Schema,
    stored: &[ArrayRef],
    rows: usize,
) -> Result<bool, RunError> {
    let groups: Vec<u32> = (0..rows as u32).collect();
    let mut accumulator = accumulator(call, input)?;
    accumulator.load(stored, &groups, rows)?;
    Ok(accumulator.finish(&groups).map_or(true, |results| results.null_count() > 0))
}

/// The accumulator for a call over rows of `input`.
pub(super) fn accumulator(call: &AggregateCall, input: &Schema) -> Result<Box<dyn Accumulator>, RunError> {
    use chosen::{Choice, Chosen};
    use collections::{Distinct, Lists, Percentiles};
    use extremes::{Numbers, is_number};
    use sums::{Count, Decimals, Doubles, Integers, Variances};
    let types: Vec<&DataType> = call.args.iter().map(|arg| &input.fields[*arg].ty.data).collect();
    let arg = |i: usize| types.get(i).copied().ok_or_else(|| internal("an aggregate lacks an operand"));
    let arrow = |i: usize| arg(i).map(to_arrow);
    let element = || match to_arrow(&call.ty.data) {
        A::List(field) => Ok(field),
        other => Err(internal(format!("a collection has the type {other}"))),
    };
    Ok(match call.function {
        F::Count => Box::<Count>::default(),
        F::CountDistinct => Box::new(Distinct::new(&arrow(0)?, None)?),
        F::ApproxCountDistinct => Box::new(sketch::Sketches::new(&arrow(0)?)?),
        F::Sum | F::Avg => match arg(0)? {
            DataType::Decimal { scale, .. } => Box::new(Decimals::new(&call.ty, call.function == F::Avg, *scale)),
            data if data.is_floating() => Box::new(Doubles::new(call.function)),
            _ => Box::new(Integers::new(&call.ty)),
        },
        F::Min | F::Max if is_number(&arrow(0)?) => Box::new(Numbers::new(&arrow(0)?, call.function == F::Max)),
        F::Min => Box::new(Chosen::extreme(Choice::Least, &arrow(0)?)?),
        F::Max => Box::new(Chosen::extreme(Choice::Greatest, &arrow(0)?)?),
        F::First => Box::new(Chosen::new(Choice::First, &arrow(0)?, None)?),
        F::Last => Box::new(Chosen::new(Choice::Last, &arrow(0)?, None)?),
        F::MinBy => Box::new(Chosen::new(Choice::Least, &arrow(0)?, Some(&arrow(1)?))?),
        F::MaxBy => Box::new(Chosen::new(Choice::Greatest, &arrow(0)?, Some(&arrow(1)?))?),
        F::Stddev => Box::new(Variances::new(true)),
        F::Variance => Box::new(Variances::new(false)),
        F::CollectList => Box::new(Lists::new(element()?)),
        F::CollectSet => Box::new(Distinct::new(&arrow(0)?, Some(element()?))?),
        F::Percentile => match call.constants.first() {
            Some(Value::Double(fraction)) if (0.0..=1.0).contains(fraction) => Box::new(Percentiles::new(*fraction)),
            other => return Err(internal(format!("percentile has the fraction {other:?}"))),
        },
    })
}

impl Blocking for Aggregate {
    fn push(&self, worker: usize, batch: Batch) -> Result<(), Fault> {
        let mut table = self.workers[worker].lock().unwrap_or_else(PoisonError::into_inner);
        let table = match &mut *table {
            Some(table) => table,
            none => none.insert(Table::new(&self.shape, 0, self.budget.clone())?),
        };
        let part = Part { data: batch.data, places: Places::From(batch.order.first_row()) };
        Ok(table.push(&self.shape, part)?)
    }

    fn finish(&self) -> Result<Outputs<'static>, Fault> {
        let mut all: Option<Ended> = None;
        for worker in &self.workers {
            let table = worker.lock().unwrap_or_else(PoisonError::into_inner).take();
            match (&mut all, table.map(Table::end).transpose()?) {
                (_, None) => {}
                (Some(all), Some(table)) => all.merge(table)?,
                (none, table) => *none = table,
            }
        }
        let all = match all {
            Some(all) => all,
            None => Table::new(&self.shape, 0, self.budget.clone())?.end()?,
        };
        let (shape, budget) = (Arc::clone(&self.shape), self.budget.clone());
        if all.rest.iter().any(|files| !files.is_empty()) {
            return Ok(Box::new(Replay::new(shape, budget, self.batch_rows, all)));
        }
        let held = Held::taken(budget, all.held);
        let batches = all.state.into_batches(shape, self.batch_rows);
        Ok(Box::new(batches.map(move |batch| {
            let _until_the_end = &held;
            batch.map(|(batch, _)| batch).map_err(|failed| failed.1.into())
        })))
    }
}

#[cfg(test)]
mod saving;
#[cfg(test)]
mod tests;
