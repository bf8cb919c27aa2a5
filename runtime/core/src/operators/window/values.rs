//! What is computed for the groups of a windowed aggregate, whatever the groups are; and rows on their way into it. Knows nothing of windows.

use crate::batch::RowOrder;
use crate::error::RunError;
use crate::keys::Keys;
use crate::operators::aggregate::accumulator::{Accumulator, Failed, Pair, Places, Rows, damaged};
use crate::operators::aggregate::shared::shared;
use crate::operators::aggregate::{accumulator, depends_on_order};
use crate::operators::internal;
use crate::operators::stateful::other_shape;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType as A, Field, SchemaRef, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use flowc_ir::Schema;
use flowc_ir::arrow_types::to_arrow_schema;
use flowc_ir::graph::{self, AggregateCall};
use std::sync::Arc;
use xxhash_rust::xxh64::xxh64;

/// What is computed, over which columns.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) spec: graph::WindowAggregate,
    pub(super) schema: Schema,
    /// The keys, the window's bounds and the results.
    pub(super) output: SchemaRef,
    /// The types of the keys.
    pub(super) keys: Vec<A>,
    /// Whether any result depends on the order of the rows.
    ordered: bool,
    /// Of each call the one whose accumulator does for it.
    owners: Vec<usize>,
}

impl Shape {
    pub(super) fn new(spec: &graph::WindowAggregate, (input, output): (&Schema, &Schema)) -> Shape {
        let arrow = to_arrow_schema(input);
        let keys = spec.aggregate.keys.iter().map(|key| arrow.field(*key).data_type().clone()).collect();
        let ordered = spec.aggregate.aggregates.iter().any(|call| depends_on_order(call.function));
        let owners = shared(&spec.aggregate.aggregates, input);
        Shape { spec: spec.clone(), schema: input.clone(), output: to_arrow_schema(output), keys, ordered, owners }
    }

    /// The key columns of rows.
    pub(super) fn key_columns(&self, data: &RecordBatch) -> Vec<ArrayRef> {
        self.spec.aggregate.keys.iter().map(|key| Arc::clone(data.column(*key))).collect()
    }

    /// The event times of rows; a null one is any number.
    pub(super) fn times<'a>(&self, data: &'a RecordBatch) -> Result<&'a [i64], RunError> {
        times(data, self.spec.time)
    }

    /// The places of rows; `first`: of the first. Of a batch whose late rows were left out, the others move up, which does not change their order.
    pub(super) fn places(&self, data: &RecordBatch, first: RowOrder) -> Result<Places, RunError> {
        if !self.spec.by_time || !self.ordered {
            return Ok(Places::From(first));
        }
        places_by_time(data, self.spec.time)
    }

    /// What was stored by a program of another form cannot be used.
    pub(super) fn other(&self) -> RunError {
        other_shape(&self.spec.name)
    }
}

/// The event times of rows; a null one is any number.
fn times(data: &RecordBatch, time: usize) -> Result<&[i64], RunError> {
    let times = data.column(time).as_primitive_opt::<TimestampMicrosecondType>();
    Ok(times.ok_or_else(|| internal("the event time is no timestamp"))?.values())
}

/// The places of rows that are taken in the order of their times, and where these are equal, of a hash of the row.
pub(in crate::operators) fn places_by_time(data: &RecordBatch, time: usize) -> Result<Places, RunError> {
    let encoded = Keys::new(data.columns().iter().map(|c| c.data_type()))?.exact(data.columns())?;
    // The lowest time has to be the lowest number.
    let place = |(time, row): (&i64, arrow::row::Row<'_>)| {
        RowOrder::from(*time as u64 ^ 1 << 63) << 64 | RowOrder::from(xxh64(row.data(), 0))
    };
    Ok(Places::Each(times(data, time)?.iter().zip(&encoded).map(place).collect()))
}

/// Rows that are on time.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) data: RecordBatch,
    pub(super) places: Places,
}

/// Why a batch of results cannot be made: the first group that fails, by its position, if one does.
#[derive(Debug)]
pub(super) struct Unfinished {
    pub(super) position: Option<usize>,
    pub(super) error: Box<RunError>,
}

impl From<RunError> for Unfinished {
    fn from(error: RunError) -> Self {
        Unfinished { position: None, error: Box::new(error) }
    }
}

/// The accumulators. Calls that keep the same things share one; stored it is as often as there are calls, so that a program which has lost one of them finds what
/// the other needs.
#[derive(Debug)]
pub(super) struct Values {
    /// Each with the call that it was made for.
    accumulators: Vec<(usize, Box<dyn Accumulator>)>,
    /// Of each call its accumulator.
    of: Vec<usize>,
}

impl Values {
    pub(super) fn new(shape: &Shape) -> Result<Values, RunError> {
        let (calls, mut accumulators) = (&shape.spec.aggregate.aggregates, vec![]);
        for (call, _) in shape.owners.iter().enumerate().filter(|(call, owner)| call == *owner) {
            accumulators.push((call, accumulator(&calls[call], &shape.schema)?));
        }
        // Each owner owns itself.
        let position = |owner: &usize| accumulators.partition_point(|(call, _)| call < owner);
        let of = shape.owners.iter().map(position).collect();
        Ok(Values { accumulators, of })
    }

    /// The bytes that they take, about.
    pub(super) fn bytes(&self) -> usize {
        self.accumulators.iter().map(|(_, accumulator)| accumulator.bytes()).sum()
    }

    /// The calls, each with its accumulator.
    fn calls<'a>(&'a self, shape: &'a Shape) -> impl Iterator<Item = (&'a AggregateCall, &'a dyn Accumulator)> {
        shape.spec.aggregate.aggregates.iter().zip(self.of.iter().map(|of| &*self.accumulators[*of].1))
    }

    /// Takes rows, each into its group, of `count`.
    pub(super) fn update(
        &mut self,
        shape: &Shape,
        rows: &Arrived,
        groups: &[u32],
        count: usize,
    ) -> Result<(), RunError> {
        let (data, places) = (&rows.data, &rows.places);
        for (call, accumulator) in &mut self.accumulators {
            let call = &shape.spec.aggregate.aggregates[*call];
            let args: Vec<ArrayRef> = call.args.iter().map(|arg| Arc::clone(data.column(*arg))).collect();
            let filter = call.filter.map(|column| data.column(column).as_boolean());
            accumulator.update(&Rows { groups, filter, args: &args, places, count, weights: None })?;
        }
        Ok(())
    }

    /// See [`Accumulator::merge`].
    pub(super) fn merge(&mut self, other: &Values, pairs: &[Pair], count: usize) -> Result<(), RunError> {
        let both = self.accumulators.iter_mut().zip(&other.accumulators);
        both.into_iter().try_for_each(|((_, mine), (_, theirs))| mine.merge(&**theirs, pairs, count))
    }

    /// What they have of these groups, as columns: for the first call, for the second, and so on; with their names.
    pub(super) fn save(&self, shape: &Shape, groups: &[u32]) -> Result<Vec<(Field, ArrayRef)>, RunError> {
        let mut columns = vec![];
        for (number, (call, accumulator)) in self.calls(shape).enumerate() {
            for (part, column) in accumulator.save_for(call, groups)?.into_iter().enumerate() {
                columns.push((Field::new(format!("value_{number}_{part}"), column.data_type().clone(), true), column));
            }
        }
        Ok(columns)
    }

    /// Takes what was saved, each row into its group, of `count`.
    pub(super) fn load(
        &mut self,
        shape: &Shape,
        columns: &[ArrayRef],
        groups: &[u32],
        count: usize,
    ) -> Result<(), RunError> {
        let mut rest = columns;
        for (number, call) in shape.spec.aggregate.aggregates.iter().enumerate() {
            let (owner, accumulator) = &mut self.accumulators[self.of[number]];
            let width = accumulator.save_for(call, &[])?.len();
            let (columns, others) = rest.split_at_checked(width).ok_or_else(damaged)?;
            if *owner == number {
                accumulator.load(columns, groups, count)?;
            }
            rest = others;
        }
        if rest.is_empty() { Ok(()) } else { Err(damaged()) }
    }

    /// The results of these groups.
    pub(super) fn results(&self, shape: &Shape, groups: &[u32]) -> Result<Vec<ArrayRef>, Unfinished> {
        let (mut columns, mut failed) = (vec![], None::<(usize, RunError)>);
        for (call, accumulator) in self.calls(shape) {
            match accumulator.finish_for(call, groups) {
                Ok(column) => columns.push(column),
                Err(Failed::Run(error)) => return Err(error.into()),
                Err(Failed::Group(group, failure)) => {
                    let position = groups.iter().position(|g| *g == group).unwrap_or(0);
                    if failed.as_ref().is_none_or(|(before, _)| position < *before) {
                        let error = RunError::data(failure.code.code(), failure.message).at(call.origin);
                        failed = Some((position, error));
                    }
                }
            }
        }
        match failed {
            Some((position, error)) => Err(Unfinished { position: Some(position), error: Box::new(error) }),
            None => Ok(columns),
        }
    }
}
