//! Counts, sums, means, variances.

use super::accumulator::{Accumulator, Failed, Pair, Rows, damaged, grow, of, room, same, saved, saved_bytes};
use super::exact::{ExactSum, Moments};
use crate::error::RunError;
use crate::operators::internal;
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, Decimal128Array, Decimal256Array, DurationMicrosecondArray, Float64Array,
    Int64Array, UInt64Array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType as A, Decimal128Type, Decimal256Type, Float64Type, Int64Type, UInt64Type, i256};
use flowc_ir::eval::{Failure, FailureCode};
use flowc_ir::{DataType, Type};
use std::sync::Arc;

/// `count()`, `count(x)`
#[derive(Debug, Default)]
pub(super) struct Count(Vec<i64>);

impl Accumulator for Count {
    fn update(&mut self, rows: &Rows<'_>) -> Result<(), RunError> {
        grow(&mut self.0, rows.count);
        match rows.args.first() {
            Some(arg) => rows.valid(arg).for_each(|(row, group)| self.0[group] += rows.weight(row)),
            None => rows.admitted().for_each(|(row, group)| self.0[group] += rows.weight(row)),
        }
        Ok(())
    }

    fn merge(&mut self, other: &dyn Accumulator, pairs: &[Pair], count: usize) -> Result<(), RunError> {
        grow(&mut self.0, count);
        let other: &Count = same(other)?;
        pairs.iter().for_each(|(from, to)| self.0[*to as usize] += of(&other.0, *from));
        Ok(())
    }

    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>, RunError> {
        Ok(vec![Arc::new(Int64Array::from_iter_values(groups.iter().map(|group| of(&self.0, *group))))])
    }

    fn load(&mut self, columns: &[ArrayRef], groups: &[u32], count: usize) -> Result<(), RunError> {
        grow(&mut self.0, count);
        let counts = saved::<Int64Type>(columns, 0)?;
        groups.iter().zip(counts.values()).for_each(|(group, n)| self.0[*group as usize] += n);
        Ok(())
    }

    fn bytes(&self) -> usize {
        room(&self.0)
    }

    fn is_initial(&self, group: u32) -> bool {
        of(&self.0, group) == 0
    }

    fn finish(&self, order: &[u32]) -> Result<ArrayRef, Failed> {
        Ok(Arc::new(Int64Array::from_iter_values(order.iter().map(|group| of(&self.0, *group)))))
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
    groups: Vec<(i128, i64)>,
}

impl Integers {
    pub(super) fn new(ty: &Type) -> Self {
        Integers { ty: ty.clone(), groups: vec![] }
    }
}

impl Accumulator for Integers {
    fn update(&mut self, rows: &Rows<'_>) -> Result<(), RunError> {
        grow(&mut self.groups, rows.count);
        let values = cast(&rows.args[0], &A::Int64).map_err(internal)?;
        let numbers = values.as_primitive::<Int64Type>().values();
        for (row, group) in rows.valid(&values) {
            let ((sum, count), weight) = (&mut self.groups[group], rows.weight(row));
            *sum += i128::from(numbers[row]) * i128::from(weight);
            *count += weight;
        }
        Ok(())
    }

    fn merge(&mut self, other: &dyn Accumulator, pairs: &[Pair], count: usize) -> Result<(), RunError> {
        grow(&mut self.groups, count);
        let other: &Integers = same(other)?;
        for (from, to) in pairs {
            let ((sum, count), mine) = (of(&other.groups, *from), &mut self.groups[*to as usize]);
            *mine = (mine.0 + sum, mine.1 + count);
        }
        Ok(())
    }

    /// The sum and the count.
    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>, RunError> {
        let of = |group: &u32| of(&self.groups, *group);
        let sums = Decimal128Array::from_iter_values(groups.iter().map(|group| of(group).0));
        let counts = UInt64Array::from_iter_values(groups.iter().map(|group| of(group).1 as u64));
        Ok(vec![Arc::new(sums), Arc::new(counts)])
    }

    fn load(&mut self, columns: &[ArrayRef], groups: &[u32], count: usize) -> Result<(), RunError> {
        grow(&mut self.groups, count);
        let (sums, counts) = (saved::<Decimal128Type>(columns, 0)?, saved::<UInt64Type>(columns, 1)?);
        for (row, group) in groups.iter().enumerate() {
            let mine = &mut self.groups[*group as usize];
            *mine = (mine.0 + sums.value(row), mine.1 + counts.value(row) as i64);
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        room(&self.groups)
    }

    fn is_initial(&self, group: u32) -> bool {
        of(&self.groups, group) == (0, 0)
    }

    fn finish(&self, order: &[u32]) -> Result<ArrayRef, Failed> {
        let values = order.iter().map(|group| (*group, of(&self.groups, *group)));
        if self.ty.data == DataType::Double {
            let mean = |(_, (sum, count)): (u32, (i128, i64))| (count > 0).then(|| sum as f64 / count as f64);
            return Ok(Arc::new(values.map(mean).collect::<Float64Array>()));
        }
        let sum = |(group, (sum, count)): (u32, (i128, i64))| match (count, i64::try_from(sum)) {
            (..=0, _) => Ok(None),
            (_, Ok(sum)) => Ok(Some(sum)),
            _ => Err(overflow(group, sum, &self.ty.data)),
        };
        let sums = values.map(sum).collect::<Result<Int64Array, _>>()?;
        if self.ty.data == DataType::Duration {
            let durations = DurationMicrosecondArray::new(sums.values().clone(), sums.nulls().cloned());
            return Ok(Arc::new(durations));
        }
        Ok(Arc::new(sums))
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

fn save_sums<'a>(sums: impl Iterator<Item = Option<&'a ExactSum>>) -> ArrayRef {
    let (mut column, mut bytes, none) = (BinaryBuilder::new(), vec![], ExactSum::default());
    for sum in sums {
        bytes.clear();
        sum.unwrap_or(&none).write(&mut bytes);
        column.append_value(&bytes);
    }
    Arc::new(column.finish())
}

/// Sums and means of floats.
#[derive(Debug)]
pub(super) struct Doubles {
    mean: bool,
    groups: Vec<(ExactSum, i64)>,
}

impl Doubles {
    pub(super) fn new(mean: bool) -> Self {
        Doubles { mean, groups: vec![] }
    }
}

impl Accumulator for Doubles {
    fn update(&mut self, rows: &Rows<'_>) -> Result<(), RunError> {
        grow(&mut self.groups, rows.count);
        let values = cast(&rows.args[0], &A::Float64).map_err(internal)?;
        let numbers = values.as_primitive::<Float64Type>().values();
        for (row, group) in rows.valid(&values) {
            let ((sum, count), weight) = (&mut self.groups[group], rows.weight(row));
            if weight == 1 {
                sum.add(numbers[row])
            } else {
                sum.add_times(numbers[row], weight)
            }
            *count += weight;
        }
        Ok(())
    }

    fn merge(&mut self, other: &dyn Accumulator, pairs: &[Pair], count: usize) -> Result<(), RunError> {
        grow(&mut self.groups, count);
        let other: &Doubles = same(other)?;
        for (from, to) in pairs {
            if let Some((sum, count)) = other.groups.get(*from as usize) {
                let mine = &mut self.groups[*to as usize];
                mine.0.merge(sum);
                mine.1 += count;
            }
        }
        Ok(())
    }

    /// The sum, as [`ExactSum::write`] has it, and the count.
    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>, RunError> {
        let sums = save_sums(groups.iter().map(|group| self.groups.get(*group as usize).map(|(sum, _)| sum)));
        let count = |group: &u32| self.groups.get(*group as usize).map_or(0, |(_, count)| *count as u64);
        Ok(vec![sums, Arc::new(UInt64Array::from_iter_values(groups.iter().map(count)))])
    }

    fn load(&mut self, columns: &[ArrayRef], groups: &[u32], count: usize) -> Result<(), RunError> {
        grow(&mut self.groups, count);
        let (sums, counts) = (saved_bytes(columns, 0)?, saved::<UInt64Type>(columns, 1)?);
        for (row, group) in groups.iter().enumerate() {
            let mine = &mut self.groups[*group as usize];
            mine.0.merge(&ExactSum::read(sums.value(row)).ok_or_else(damaged)?);
            mine.1 += counts.value(row) as i64;
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        room(&self.groups)
    }

    fn is_initial(&self, group: u32) -> bool {
        self.groups.get(group as usize).is_none_or(|(sum, count)| *count == 0 && sum.is_zero())
    }

    fn finish(&self, order: &[u32]) -> Result<ArrayRef, Failed> {
        let value = |group: &u32| {
            let (sum, count) = self.groups.get(*group as usize).filter(|(_, count)| *count > 0)?;
            Some(if self.mean { sum.value() / *count as f64 } else { sum.value() })
        };
        Ok(Arc::new(order.iter().map(value).collect::<Float64Array>()))
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
        let sums = save_sums(moments().map(|m| m.map(|m| &m.sum)));
        Ok(vec![Arc::new(counts), sums, save_sums(moments().map(|m| m.map(|m| &m.squares)))])
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
