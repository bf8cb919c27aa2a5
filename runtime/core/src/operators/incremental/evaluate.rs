//! The results of aggregates over rows that are there so many times, group by group, from nothing. Knows nothing of where rows are kept, or of what groups are.

use crate::error::RunError;
use crate::keys::Keys;
use crate::operators::aggregate::accumulator::{Failed, Places, Rows};
use crate::operators::aggregate::{accumulator, depends_on_order};
use crate::operators::internal;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, UInt32Array};
use arrow::compute::take;
use flowc_ir::Schema;
use flowc_ir::aggregates::AggregateFunction as F;
use flowc_ir::graph::AggregateCall;
use std::borrow::Cow;

/// Whether the accumulators of a function take rows away as well as they add them, without a trace.
pub(super) fn retracts(function: F) -> bool {
    matches!(function, F::Count | F::Sum | F::Avg | F::Stddev | F::Variance)
}

/// Whether the result depends on how often a row is there.
fn counts_times(function: F) -> bool {
    matches!(function, F::CollectList | F::Percentile)
}

/// Rows, each of a group and there so many times.
#[derive(Debug)]
pub(super) struct Present<'a> {
    pub(super) groups: &'a [u32],
    /// More than 0.
    pub(super) weights: &'a [i64],
    /// How many groups there are.
    pub(super) count: usize,
    /// In what order rows are taken; none: in that of the operands.
    pub(super) places: Option<&'a Places>,
}

/// Why there is no result: of which group, if of one.
#[derive(Debug)]
pub(super) struct Unfinished {
    pub(super) group: Option<u32>,
    pub(super) error: Box<RunError>,
}

impl From<RunError> for Unfinished {
    fn from(error: RunError) -> Self {
        Unfinished { group: None, error: Box::new(error) }
    }
}

impl Unfinished {
    /// Of a call that failed.
    pub(super) fn of(call: &AggregateCall, failed: Failed) -> Unfinished {
        match failed {
            Failed::Run(error) => error.into(),
            Failed::Group(group, failure) => {
                let error = RunError::data(failure.code.code(), failure.message).at(call.origin);
                Unfinished { group: Some(group), error: Box::new(error) }
            }
        }
    }
}

/// The result of a call for each group. `args`: its operands; `filter`: which rows are let in.
pub(super) fn result(
    call: &AggregateCall,
    input: &Schema,
    rows: &Present<'_>,
    args: &[ArrayRef],
    filter: Option<&BooleanArray>,
) -> Result<ArrayRef, Unfinished> {
    let mut accumulator = accumulator(call, input)?;
    let places = match rows.places {
        Some(places) => Cow::Borrowed(places),
        None if depends_on_order(call.function) => Cow::Owned(by_value(args)?),
        None => Cow::Owned(Places::From(0)),
    };
    let Present { groups, weights, count, .. } = *rows;
    if retracts(call.function) {
        accumulator.update(&Rows { groups, filter, args, places: &places, count, weights: Some(weights) })?;
    } else if counts_times(call.function) && weights.iter().any(|weight| *weight != 1) {
        let again: Vec<u32> = (0..).zip(weights).flat_map(|(row, weight)| (0..*weight).map(move |_| row)).collect();
        let groups: Vec<u32> = again.iter().map(|row| groups[*row as usize]).collect();
        let places = Places::Each(again.iter().map(|row| places.of(*row as usize)).collect());
        let again = UInt32Array::from(again);
        let taken = |array: &dyn Array| take(array, &again, None).map_err(internal);
        let args = args.iter().map(|arg| taken(arg)).collect::<Result<Vec<_>, _>>()?;
        let filter = filter.map(|filter| taken(filter)).transpose()?;
        let filter = filter.as_ref().map(|filter| filter.as_boolean());
        accumulator.update(&Rows { groups: &groups, filter, args: &args, places: &places, count, weights: None })?;
    } else {
        accumulator.update(&Rows { groups, filter, args, places: &places, count, weights: None })?;
    }
    let all: Vec<u32> = (0..count as u32).collect();
    accumulator.finish(&all).map_err(|failed| Unfinished::of(call, failed))
}

/// Places in the order of values, and where they are equal, of their bits.
fn by_value(args: &[ArrayRef]) -> Result<Places, RunError> {
    let keys = Keys::new(args.iter().map(|arg| arg.data_type()))?;
    let (values, bits) = (keys.encode(args)?, keys.exact(args)?);
    let mut order: Vec<u32> = (0..values.num_rows() as u32).collect();
    let key = |row: u32| (values.row(row as usize), bits.row(row as usize));
    order.sort_unstable_by(|a, b| key(*a).cmp(&key(*b)));
    let mut places = vec![0; order.len()];
    order.iter().enumerate().for_each(|(place, row)| places[*row as usize] = place as u128);
    Ok(Places::Each(places))
}
