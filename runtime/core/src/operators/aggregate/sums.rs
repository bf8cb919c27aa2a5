//! Counts, sums, means, variances.

use super::accumulator::{Accumulator, Failed, Pair, Rows, damaged, grow, of, room, same, saved, saved_bytes};
use super::column::Column;
use super::exact::{ExactSum, Moments};
use super::fixed::FixedSums;
use crate::error::RunError;
use crate::operators::internal;
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, Decimal128Array, Decimal256Array, DurationMicrosecondArray, Float64Array,
    Int64Array, UInt64Array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType as A, Decimal128Type, Decimal256Type, Float64Type, Int64Type, UInt64Type, i256};
use flowc_ir::aggregates::AggregateFunction as F;
use flowc_ir::eval::{Failure, FailureCode};
use flowc_ir::graph::AggregateCall;
use flowc_ir::{DataType, Type};
use std::borrow::Borrow;
use std::sync::Arc;

/// `count()`, `count(x)`
#[derive(Debug, Default)]
pub(super) struct Count(Column<i64>);

impl Accumulator for Count {
    fn update(&mut self, rows: &Rows<'_>) -> Result<(), RunError> {
        self.0.grow(rows.count);
        match rows.args.first() {
            Some(arg) => rows.each(arg, |row, group| *self.0.at(group) += rows.weight(row)),
            None => rows.admitted().for_each(|(row, group)| *self.0.at(group) += rows.weight(row)),
        }
        Ok(())
    }

    fn merge(&mut self, other: &dyn Accumulator, pairs: &[Pair], count: usize) -> Result<(), RunError> {
        self.0.grow(count);
        let other: &Count = same(other)?;
        pairs.iter().for_each(|(from, to)| *self.0.at(*to as usize) += other.0.of(*from));
        Ok(())
    }

    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>, RunError> {
        Ok(vec![Arc::new(Int64Array::from_iter_values(groups.iter().map(|group| self.0.of(*group))))])
    }

    fn load(&mut self, columns: &[ArrayRef], groups: &[u32], count: usize) -> Result<(), RunError> {
        self.0.grow(count);
        let counts = saved::<Int64Type>(columns, 0)?;
        groups.iter().zip(counts.values()).for_each(|(group, n)| *self.0.at(*group as usize) += n);
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.0.bytes()
    }

    fn is_initial(&self, group: u32) -> bool {
        self.0.of(group) == 0
    }

    fn finish(&self, order: &[u32]) -> Result<ArrayRef, Failed> {
        Ok(Arc::new(Int64Array::from_iter_values(order.iter().map(|group| self.0.of(*group)))))
    }
}

fn overflow(group: u32, sum: impl std::fmt::Display, ty: &DataType) -> Failed {
    Failed::Group(group, Failure::new(FailureCode::Overflow, format!("the sum {sum} does not fit {ty}")))
}

/// Sums and means of integers, and sums of durations.
#[derive(Debug)]
pub(super) struct Integers {
    ty: Type,
    /// Sum and count.
    groups: Column<(i128, i64)>,
}

impl Integers {
    pub(super) fn new(ty: &Type) -> Self {
        Integers { ty: ty.clone(), groups: Column::default() }
    }

    fn counts(&self, groups: &[u32]) -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(groups.iter().map(|group| self.groups.of(*group).1)))
    }

    /// Sums, or where the type is double, means.
    fn results(&self, ty: &Type, order: &[u32]) -> Result<ArrayRef, Failed> {
        let values = order.iter().map(|group| (*group, self.groups.of(*group)));
        if ty.data == DataType::Double {
            let mean = |(_, (sum, count)): (u32, (i128, i64))| (count > 0).then(|| sum as f64 / count as f64);
            return Ok(Arc::new(values.map(mean).collect::<Float64Array>()));
        }
        let sum = |(group, (sum, count)): (u32, (i128, i64))| match (count, i64::try_from(sum)) {
            (..=0, _) => Ok(None),
            (_, Ok(sum)) => Ok(Some(sum)),
            _ => Err(overflow(group, sum, &ty.data)),
        };
        let sums = values.map(sum).collect::<Result<Int64Array, _>>()?;
        if ty.data == DataType::Duration {
            let durations = DurationMicrosecondArray::new(sums.values().clone(), sums.nulls().cloned());
            return Ok(Arc::new(durations));
        }
        Ok(Arc::new(sums))
    }
}

impl Accumulator for Integers {
    fn update(&mut self, rows: &Rows<'_>) -> Result<(), RunError> {
        self.groups.grow(rows.count);
        let values = cast(&rows.args[0], &A::Int64).map_err(internal)?;
        let numbers = values.as_primitive::<Int64Type>().values();
        for (row, group) in rows.valid(&values) {
            let ((sum, count), weight) = (self.groups.at(group), rows.weight(row));
            *sum += i128::from(numbers[row]) * i128::from(weight);
            *count += weight;
        }
        Ok(())
    }

    fn merge(&mut self, other: &dyn Accumulator, pairs: &[Pair], count: usize) -> Result<(), RunError> {
        self.groups.grow(count);
        let other: &Integers = same(other)?;
        for (from, to) in pairs {
            let ((sum, count), mine) = (other.groups.of(*from), self.groups.at(*to as usize));
            *mine = (mine.0 + sum, mine.1 + count);
        }
        Ok(())
    }

    /// The sum and the count.
    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>, RunError> {
        let of = |group: &u32| self.groups.of(*group);
        let sums = Decimal128Array::from_iter_values(groups.iter().map(|group| of(group).0));
        let counts = UInt64Array::from_iter_values(groups.iter().map(|group| of(group).1 as u64));
        Ok(vec![Arc::new(sums), Arc::new(counts)])
    }

    fn load(&mut self, columns: &[ArrayRef], groups: &[u32], count: usize) -> Result<(), RunError> {
        self.groups.grow(count);
        let (sums, counts) = (saved::<Decimal128Type>(columns, 0)?, saved::<UInt64Type>(columns, 1)?);
        for (row, group) in groups.iter().enumerate() {
            let mine = self.groups.at(*group as usize);
            *mine = (mine.0 + sums.value(row), mine.1 + counts.value(row) as i64);
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.groups.bytes()
    }

    fn is_initial(&self, group: u32) -> bool {
        self.groups.of(group) == (0, 0)
    }

    fn finish(&self, order: &[u32]) -> Result<ArrayRef, Failed> {
        self.results(&self.ty, order)
    }

    fn save_for(&self, call: &AggregateCall, groups: &[u32]) -> Result<Vec<ArrayRef>, RunError> {
        match call.function {
            F::Count => Ok(vec![self.counts(groups)]),
            _ => self.save(groups),
        }
    }

    fn finish_for(&self, call: &AggregateCall, order: &[u32]) -> Result<ArrayRef, Failed> {
        match call.function {
            F::Count => Ok(self.counts(order)),
            _ => self.results(&call.ty, order),
        }
    }
}

/// Sums and means of decimals.
#[derive(Debug)]
pub(super) struct Decimals {
    ty: Type,
    mean: bool,
    scale: u8,
    groups: Vec<(i256, i64)>,
}

impl Decimals {
    /// `scale`: of the operand.
    pub(super) fn new(ty: &Type, mean: bool, scale: u8) -> Self {
        Decimals { ty: ty.clone(), mean, scale, groups: vec![] }
    }

    /// The mean with the scale of the result, half up.
    fn mean(&self, sum: i256, count: i64, scale: u8) -> Option<i256> {
        let ten = |n: u8| i256::from_i128(10).checked_pow(u32::from(n));
        let numerator = sum.checked_mul(ten(scale.saturating_sub(self.scale))?)?;
        let divisor = i256::from_i128(i128::from(count)).checked_mul(ten(self.scale.saturating_sub(scale))?)?;
        let (quotient, rest) = (numerator.checked_div(divisor)?, numerator.checked_rem(divisor)?);
        let magnitude = |x: i256| if x < i256::ZERO { x.wrapping_neg() } else { x };
        if magnitude(rest).checked_mul(i256::from_i128(2))? < divisor {
            return Some(quotient);
        }
        Some(if sum < i256::ZERO { quotient - i256::ONE } else { quotient + i256::ONE })
    }
}

impl Accumulator for Decimals {
    fn update(&mut self, rows: &Rows<'_>) -> Result<(), RunError> {
        grow(&mut self.groups, rows.count);
        let numbers = rows.args[0].as_primitive::<Decimal128Type>().values();
        for (row, group) in rows.valid(&rows.args[0]) {
            let ((sum, count), weight) = (&mut self.groups[group], rows.weight(row));
            let number = i256::from_i128(numbers[row]);
            *sum = sum.wrapping_add(number.wrapping_mul(i256::from_i128(i128::from(weight))));
            *count += weight;
        }
        Ok(())
    }

    fn merge(&mut self, other: &dyn Accumulator, pairs: &[Pair], count: usize) -> Result<(), RunError> {
        grow(&mut self.groups, count);
        let other: &Decimals = same(other)?;
        for (from, to) in pairs {
            let ((sum, count), mine) = (of(&other.groups, *from), &mut self.groups[*to as usize]);
            *mine = (mine.0.wrapping_add(sum), mine.1 + count);
        }
        Ok(())
    }

    /// The sum (without its scale) and the count.
    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>, RunError> {
        let of = |group: &u32| of(&self.groups, *group);
        let sums = Decimal256Array::from_iter_values(groups.iter().map(|group| of(group).0));
        let counts = UInt64Array::from_iter_values(groups.iter().map(|group| of(group).1 as u64));
        Ok(vec![Arc::new(sums), Arc::new(counts)])
    }

    fn load(&mut self, columns: &[ArrayRef], groups: &[u32], count: usize) -> Result<(), RunError> {
        grow(&mut self.groups, count);
        let (sums, counts) = (saved::<Decimal256Type>(columns, 0)?, saved::<UInt64Type>(columns, 1)?);
        for (row, group) in groups.iter().enumerate() {
            let mine = &mut self.groups[*group as usize];
            *mine = (mine.0.wrapping_add(sums.value(row)), mine.1 + counts.value(row) as i64);
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        room(&self.groups)
    }

    fn is_initial(&self, group: u32) -> bool {
        of(&self.groups, group) == (i256::ZERO, 0)
    }

    fn finish(&self, order: &[u32]) -> Result<ArrayRef, Failed> {
        let DataType::Decimal { precision, scale } = self.ty.data else {
            return Err(internal("a decimal aggregate has no decimal type").into());
        };
        let bound = 10_i128.pow(u32::from(precision));
        let value = |group: &u32| {
            let (sum, count) = of(&self.groups, *group);
            if count <= 0 {
                return Ok(None);
            }
            let value = if self.mean { self.mean(sum, count, scale) } else { Some(sum) };
            let fits = value.and_then(i256::to_i128).filter(|v| v.abs() < bound);
            fits.map(Some).ok_or_else(|| overflow(*group, sum, &self.ty.data))
        };
        let values = order.iter().map(value).collect::<Result<Decimal128Array, _>>()?;
        let typed = values.with_precision_and_scale(precision, scale as i8).map_err(internal)?;
        Ok(Arc::new(typed))
    }
}

fn save_sums(sums: impl Iterator<Item = impl Borrow<ExactSum>>) -> ArrayRef {
    let (mut column, mut bytes) = (BinaryBuilder::new(), vec![]);
    for sum in sums {
        bytes.clear();
        sum.borrow().write(&mut bytes);
        column.append_value(&bytes);
    }
    Arc::new(column.finish())
}

/// Sums and means of floats.
#[derive(Debug)]
pub(super) struct Doubles {
    function: F,
    groups: FixedSums,
}

impl Doubles {
    /// For `sum` or `avg`.
    pub(super) fn new(function: F) -> Self {
        Doubles { function, groups: FixedSums::default() }
    }

    fn counts(&self, groups: &[u32]) -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(groups.iter().map(|group| self.groups.count(*group))))
    }

    fn results(&self, function: F, order: &[u32]) -> ArrayRef {
        if function == F::Count {
            return self.counts(order);
        }
        let value = |group: &u32| {
            let count = Some(self.groups.count(*group)).filter(|count| *count > 0)?;
            let sum = self.groups.value(*group);
            Some(if function == F::Avg { sum / count as f64 } else { sum })
        };
        Arc::new(order.iter().map(value).collect::<Float64Array>())
    }
}

impl Accumulator for Doubles {
    fn update(&mut self, rows: &Rows<'_>) -> Result<(), RunError> {
        self.groups.grow(rows.count);
        let values = cast(&rows.args[0], &A::Float64).map_err(internal)?;
        let numbers = values.as_primitive::<Float64Type>().values();
        match rows.weights {
            None => rows.each(&values, |row, group| self.groups.add(group, numbers[row])),
            Some(weights) => {
                rows.each(&values, |row, group| self.groups.add_times(group, numbers[row], weights[row]));
            }
        }
        Ok(())
    }

    fn merge(&mut self, other: &dyn Accumulator, pairs: &[Pair], count: usize) -> Result<(), RunError> {
        self.groups.grow(count);
        let other: &Doubles = same(other)?;
        pairs.iter().for_each(|(from, to)| self.groups.merge(&other.groups, *from, *to as usize));
        Ok(())
    }

    /// The sum, as [`ExactSum::write`] has it, and the count.
    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>, RunError> {
        let sums = save_sums(groups.iter().map(|group| self.groups.exact(*group)));
        let count = |group: &u32| self.groups.count(*group) as u64;
        Ok(vec![sums, Arc::new(UInt64Array::from_iter_values(groups.iter().map(count)))])
    }

    fn load(&mut self, columns: &[ArrayRef], groups: &[u32], count: usize) -> Result<(), RunError> {
        self.groups.grow(count);
        let (sums, counts) = (saved_bytes(columns, 0)?, saved::<UInt64Type>(columns, 1)?);
        for (row, group) in groups.iter().enumerate() {
            let sum = ExactSum::read(sums.value(row)).ok_or_else(damaged)?;
            self.groups.load(*group as usize, &sum, counts.value(row) as i64);
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.groups.bytes()
    }

    fn is_initial(&self, group: u32) -> bool {
        self.groups.is_initial(group)
    }

    fn finish(&self, order: &[u32]) -> Result<ArrayRef, Failed> {
        Ok(self.results(self.function, order))
    }

    fn save_for(&self, call: &AggregateCall, groups: &[u32]) -> Result<Vec<ArrayRef>, RunError> {
        match call.function {
            F::Count => Ok(vec![self.counts(groups)]),
            _ => self.save(groups),
        }
    }

    fn finish_for(&self, call: &AggregateCall, order: &[u32]) -> Result<ArrayRef, Failed> {
        Ok(self.results(call.function, order))
    }
}

/// Variances and standard deviations.
#[derive(Debug)]
pub(super) struct Variances {
    root: bool,
    groups: Vec<Moments>,
}

impl Variances {
    /// `root`: standard deviations.
    pub(super) fn new(root: bool) -> Self {
        Variances { root, groups: vec![] }
    }
}

impl Accumulator for Variances {
    fn update(&mut self, rows: &Rows<'_>) -> Result<(), RunError> {
        grow(&mut self.groups, rows.count);
        let values = cast(&rows.args[0], &A::Float64).map_err(internal)?;
        let numbers = values.as_primitive::<Float64Type>().values();
        rows.valid(&values).for_each(|(row, group)| self.groups[group].add_times(numbers[row], rows.weight(row)));
        Ok(())
    }

    fn merge(&mut self, other: &dyn Accumulator, pairs: &[Pair], count: usize) -> Result<(), RunError> {
        grow(&mut self.groups, count);
        let other: &Variances = same(other)?;
        for (from, to) in pairs {
            if let Some(theirs) = other.groups.get(*from as usize) {
                self.groups[*to as usize].merge(theirs);
            }
        }
        Ok(())
    }

    /// The count, the sum and the sum of the squares; the sums as [`ExactSum::write`] has them.
    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>, RunError> {
        let moments = || groups.iter().map(|group| self.groups.get(*group as usize));
        let counts = UInt64Array::from_iter_values(moments().map(|m| m.map_or(0, |m| m.count as u64)));
        let none = ExactSum::default();
        let sums = save_sums(moments().map(|m| m.map_or(&none, |m| &m.sum)));
        Ok(vec![Arc::new(counts), sums, save_sums(moments().map(|m| m.map_or(&none, |m| &m.squares)))])
    }

    fn load(&mut self, columns: &[ArrayRef], groups: &[u32], count: usize) -> Result<(), RunError> {
        grow(&mut self.groups, count);
        let counts = saved::<UInt64Type>(columns, 0)?;
        let (sums, squares) = (saved_bytes(columns, 1)?, saved_bytes(columns, 2)?);
        let sum = |bytes: &[u8]| ExactSum::read(bytes).ok_or_else(damaged);
        for (row, group) in groups.iter().enumerate() {
            let (sum, squares) = (sum(sums.value(row))?, sum(squares.value(row))?);
            self.groups[*group as usize].merge(&Moments { count: counts.value(row) as i64, sum, squares });
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        room(&self.groups)
    }

    fn is_initial(&self, group: u32) -> bool {
        self.groups.get(group as usize).is_none_or(Moments::is_zero)
    }

    fn finish(&self, order: &[u32]) -> Result<ArrayRef, Failed> {
        let value = |group: &u32| {
            let variance = self.groups.get(*group as usize)?.variance()?;
            Some(if self.root { variance.sqrt() } else { variance })
        };
        Ok(Arc::new(order.iter().map(value).collect::<Float64Array>()))
    }
}
