//! Least and greatest values of types that have a number with the same order. Knows nothing of other types.

use super::accumulator::{Accumulator, Failed, Pair, Rows, damaged, same};
use super::column::Column;
use crate::error::RunError;
use crate::keys::normalize;
use crate::operators::internal;
use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType as A, Float64Type, Int64Type};
use std::sync::Arc;

/// Least or greatest values of types that have a 64-bit number with the same order.
#[derive(Debug)]
pub(super) struct Numbers {
    data: A,
    /// What turns the number of a value into its merit, and back: the greatest merit wins, be it of the greatest or of the least value.
    mask: u64,
    /// The best merit of each group; 0: it has no value, or none that has a greater one.
    groups: Column<u64>,
    /// Groups that have a value without merit: a bit each. Hardly any has.
    worst: Column<u64>,
}

/// Whether [`Numbers`] does for the type.
pub(super) fn is_number(data: &A) -> bool {
    data.is_integer() || data.is_floating() || data.is_temporal() || *data == A::Boolean
}

/// A double as a number of the same order; its own inverse.
fn flip(bits: i64) -> i64 {
    bits ^ ((bits >> 63) as u64 >> 1) as i64
}

/// A number of the same order for each value of a type that [`is_number`].
pub(super) fn to_numbers(values: &ArrayRef) -> Result<Int64Array, RunError> {
    if values.data_type().is_floating() {
        let doubles = normalize(&cast(values, &A::Float64).map_err(internal)?);
        return Ok(doubles.as_primitive::<Float64Type>().unary(|x| flip(x.to_bits() as i64)));
    }
    Ok(cast(values, &A::Int64).map_err(internal)?.as_primitive::<Int64Type>().clone())
}

/// The reverse of [`to_numbers`], for values of this type.
pub(super) fn from_numbers(data: &A, numbers: impl Iterator<Item = Option<i64>>) -> Result<ArrayRef, RunError> {
    let array: ArrayRef = if data.is_floating() {
        Arc::new(numbers.map(|v| v.map(|v| f64::from_bits(flip(v) as u64))).collect::<Float64Array>())
    } else {
        Arc::new(numbers.collect::<Int64Array>())
    };
    // Dates are 32-bit numbers.
    let array = if *data == A::Date32 { cast(&array, &A::Int32).map_err(internal)? } else { array };
    cast(&array, data).map_err(internal)
}

impl Numbers {
    pub(super) fn new(data: &A, greatest: bool) -> Self {
        // The least number has no merit, or the greatest.
        let mask = if greatest { 1 << 63 } else { u64::MAX >> 1 };
        Numbers { data: data.clone(), mask, groups: Column::default(), worst: Column::default() }
    }

    fn offer(&mut self, group: usize, value: i64) {
        let merit = value as u64 ^ self.mask;
        if merit == 0 {
            self.worst.grow(group / 64 + 1);
            *self.worst.at(group / 64) |= 1 << (group % 64);
        } else {
            let best = self.groups.at(group);
            *best = merit.max(*best);
        }
    }

    fn best(&self, group: usize) -> Option<i64> {
        let merit = self.groups.get(group).copied().unwrap_or(0);
        let some = merit != 0 || self.worst.get(group / 64).is_some_and(|bits| bits >> (group % 64) & 1 == 1);
        some.then_some((merit ^ self.mask) as i64)
    }

    fn grow(&mut self, count: usize) {
        self.groups.grow(count);
    }

    fn values(&self, groups: &[u32]) -> Result<ArrayRef, RunError> {
        from_numbers(&self.data, groups.iter().map(|group| self.best(*group as usize)))
    }
}

impl Accumulator for Numbers {
    fn update(&mut self, rows: &Rows<'_>) -> Result<(), RunError> {
        self.grow(rows.count);
        let values = to_numbers(&rows.args[0])?;
        let numbers = values.values();
        rows.each(&values, |row, group| self.offer(group, numbers[row]));
        Ok(())
    }

    fn merge(&mut self, other: &dyn Accumulator, pairs: &[Pair], count: usize) -> Result<(), RunError> {
        self.grow(count);
        let other: &Numbers = same(other)?;
        for (from, to) in pairs {
            if let Some(value) = other.best(*from as usize) {
                self.offer(*to as usize, value);
            }
        }
        Ok(())
    }

    /// The values.
    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>, RunError> {
        Ok(vec![self.values(groups)?])
    }

    fn load(&mut self, columns: &[ArrayRef], groups: &[u32], count: usize) -> Result<(), RunError> {
        self.grow(count);
        let values = to_numbers(columns.first().filter(|c| *c.data_type() == self.data).ok_or_else(damaged)?)?;
        let some = groups.iter().enumerate().filter(|(row, _)| values.is_valid(*row));
        some.for_each(|(row, group)| self.offer(*group as usize, values.value(row)));
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.groups.bytes() + self.worst.bytes()
    }

    fn finish(&self, order: &[u32]) -> Result<ArrayRef, Failed> {
        Ok(self.values(order)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_best_of_each_group_is_kept_at_the_ends_of_numbers_too(
            rows in prop::collection::vec((0usize..150, prop_oneof![Just(i64::MIN), Just(i64::MAX), -2i64..2, any::<i64>()]), 0..60),
            greatest in any::<bool>(),
        ) {
            let mut numbers = Numbers::new(&A::Int64, greatest);
            numbers.grow(150);
            rows.iter().for_each(|(group, value)| numbers.offer(*group, *value));
            for group in 0..160 {
                let of = rows.iter().filter(|row| row.0 == group).map(|row| row.1);
                prop_assert_eq!(numbers.best(group), if greatest { of.max() } else { of.min() });
            }
        }
    }
}
