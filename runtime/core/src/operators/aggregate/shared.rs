//! Which calls of an aggregate share an accumulator: a sum, a mean and a count of the same operand and filter keep the same things. Knows nothing of groups.

use flowc_ir::aggregates::AggregateFunction as F;
use flowc_ir::graph::AggregateCall;
use flowc_ir::{DataType, Schema};

/// For each call over rows of `input` the position of the call whose accumulator does for it; its own position, where that has to be made.
pub(in crate::operators) fn shared(calls: &[AggregateCall], input: &Schema) -> Vec<usize> {
    let serves = |owner: &AggregateCall, call: &AggregateCall| {
        let Some(operand) = owner.args.first().and_then(|arg| input.fields.get(*arg)) else { return false };
        // A decimal's mean has another scale than its sum, and a count beside one is cheap.
        let keeps = matches!(owner.function, F::Sum | F::Avg) && !matches!(operand.ty.data, DataType::Decimal { .. });
        keeps
            && owner.filter == call.filter
            && match call.function {
                F::Sum | F::Avg => owner.args == call.args,
                // Rows are as many as values where none is null.
                F::Count => owner.args == call.args || (call.args.is_empty() && !operand.ty.nullable),
                _ => false,
            }
    };
    let owner = |(position, call): (usize, &AggregateCall)| {
        calls.iter().position(|owner| serves(owner, call)).unwrap_or(position)
    };
    calls.iter().enumerate().map(owner).collect()
}

#[cfg(test)]
mod tests {
    use super::super::accumulator;
    use super::super::accumulator::{Places, Rows};
    use super::*;
    use arrow::array::{Array, ArrayRef, Float64Array, Int64Array};
    use flowc_ir::{Field, Type};
    use std::sync::Arc;

    fn schema() -> Schema {
        let field = |name: &str, ty| Field::new(name, ty);
        Schema::new(vec![
            field("x", Type::nullable(DataType::Double)),
            field("y", Type::new(DataType::Double)),
            field("n", Type::nullable(DataType::Long)),
        ])
    }

    fn calls(parts: &[(F, &[usize], Option<usize>)]) -> Vec<AggregateCall> {
        let typed = |(function, args, filter): &(F, &[usize], Option<usize>)| {
            let types: Vec<Type> = args.iter().map(|arg| schema().fields[*arg].ty.clone()).collect();
            let ty = function.result_type(&types, false).unwrap();
            let (args, constants, origin) = (args.to_vec(), vec![], Default::default());
            AggregateCall { function: *function, args, constants, filter: *filter, ty, origin }
        };
        parts.iter().map(typed).collect()
    }

    #[test]
    fn sums_means_and_counts_of_the_same_values_share() {
        let owners = |parts: &[(F, &[usize], Option<usize>)]| shared(&calls(parts), &schema());
        assert_eq!(owners(&[(F::Count, &[0], None), (F::Sum, &[0], None), (F::Avg, &[0], None)]), [1, 1, 1]);
        assert_eq!(owners(&[(F::Avg, &[0], Some(3)), (F::Sum, &[0], None), (F::Sum, &[1], None)]), [0, 1, 2]);
        assert_eq!(owners(&[(F::Count, &[], None), (F::Sum, &[0], None)]), [0, 1], "a null is no value, but a row");
        assert_eq!(owners(&[(F::Count, &[], None), (F::Sum, &[1], None), (F::Max, &[1], None)]), [1, 1, 2]);
        assert_eq!(owners(&[(F::Count, &[0], None), (F::Count, &[0], None)]), [0, 1]);
    }

    #[test]
    fn what_is_shared_comes_to_the_same_and_is_saved_in_the_same_form() {
        let (xs, ns): (ArrayRef, ArrayRef) = (
            Arc::new(Float64Array::from(vec![Some(0.1), None, Some(f64::INFINITY), Some(0.2)])),
            Arc::new(Int64Array::from(vec![Some(5), None, Some(i64::MAX), Some(6)])),
        );
        let groups = [0, 0, 1, 0];
        for (column, values) in [(0, &xs), (2, &ns)] {
            let calls = calls(&[(F::Sum, &[column], None), (F::Avg, &[column], None), (F::Count, &[column], None)]);
            let made = |call: &AggregateCall| {
                let mut accumulator = accumulator(call, &schema()).unwrap();
                let (args, places) = ([Arc::clone(values)], Places::From(0));
                let rows =
                    Rows { groups: &groups, filter: None, args: &args, places: &places, count: 3, weights: None };
                accumulator.update(&rows).unwrap();
                accumulator
            };
            for owner in &calls[..2] {
                let owner = made(owner);
                for call in &calls {
                    let own = made(call);
                    let order = [2, 1, 0];
                    let equal = |a: ArrayRef, b: ArrayRef| assert_eq!(a.to_data(), b.to_data(), "{call:?}");
                    equal(owner.finish_for(call, &order).unwrap(), own.finish(&order).unwrap());
                    let (shared, own) = (owner.save_for(call, &order).unwrap(), own.save(&order).unwrap());
                    assert_eq!(shared.len(), own.len());
                    shared.into_iter().zip(own).for_each(|(shared, own)| equal(shared, own));
                }
            }
        }
    }
}
