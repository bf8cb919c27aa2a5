//! Counts, sums, means, variances.

use super::accumulator::{Accumulator, Failed, Rows, grow, of, room, same};
use super::exact::{ExactSum, Moments};
use crate::error::RunError;
use crate::operators::internal;
use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, DurationMicrosecondArray, Float64Array, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType as A, Decimal128Type, Float64Type, Int64Type, i256};
use flowc_ir::eval::{Failure, FailureCode};
use flowc_ir::{DataType, Type};
use std::any::Any;
use std::sync::Arc;

/// `count()`, `count(x)`
#[derive(Debug, Default)]
pub(super) struct Count(Vec<i64>);

impl Accumulator for Count {
    fn update(&mut self, rows: &Rows<'_>) -> Result<(), RunError> {
        grow(&mut self.0, rows.count);
        match rows.args.first() {
            Some(arg) => rows.valid(arg).for_each(|(_, group)| self.0[group] += 1),
            None => rows.admitted().for_each(|(_, group)| self.0[group] += 1),
        }
        Ok(())
    }

    fn merge(&mut self, other: Box<dyn Accumulator>, groups: &[u32], count: usize) -> Result<(), RunError> {
        grow(&mut self.0, count);
        let other: Count = same(other)?;
        other.0.iter().zip(groups).for_each(|(n, group)| self.0[*group as usize] += n);
        Ok(())
    }

    fn bytes(&self) -> usize {
        room(&self.0)
    }

    fn finish(&mut self, order: &[u32]) -> Result<ArrayRef, Failed> {
        Ok(Arc::new(Int64Array::from_iter_values(order.iter().map(|group| of(&self.0, *group)))))
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
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
    groups: Vec<(i128, u64)>,
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
            let (sum, count) = &mut self.groups[group];
            *sum += i128::from(numbers[row]);
            *count += 1;
        }
        Ok(())
    }

    fn merge(&mut self, other: Box<dyn Accumulator>, groups: &[u32], count: usize) -> Result<(), RunError> {
        grow(&mut self.groups, count);
        let other: Integers = same(other)?;
        for ((sum, count), group) in other.groups.iter().zip(groups) {
            let mine = &mut self.groups[*group as usize];
            *mine = (mine.0 + sum, mine.1 + count);
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        room(&self.groups)
    }

    fn finish(&mut self, order: &[u32]) -> Result<ArrayRef, Failed> {
        let values = order.iter().map(|group| (*group, of(&self.groups, *group)));
        if self.ty.data == DataType::Double {
            let mean = |(_, (sum, count)): (u32, (i128, u64))| (count > 0).then(|| sum as f64 / count as f64);
            return Ok(Arc::new(values.map(mean).collect::<Float64Array>()));
        }
        let sum = |(group, (sum, count)): (u32, (i128, u64))| match (count, i64::try_from(sum)) {
            (0, _) => Ok(None),
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

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// Sums and means of decimals.
#[derive(Debug)]
pub(super) struct Decimals {
    ty: Type,
    mean: bool,
    scale: u8,
    groups: Vec<(i256, u64)>,
}

impl Decimals {
    /// `scale`: of the operand.
    pub(super) fn new(ty: &Type, mean: bool, scale: u8) -> Self {
        Decimals { ty: ty.clone(), mean, scale, groups: vec![] }
    }

    /// The mean with the scale of the result, half up.
    fn mean(&self, sum: i256, count: u64, scale: u8) -> Option<i256> {
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
            let (sum, count) = &mut self.groups[group];
            *sum = sum.wrapping_add(i256::from_i128(numbers[row]));
            *count += 1;
        }
        Ok(())
    }

    fn merge(&mut self, other: Box<dyn Accumulator>, groups: &[u32], count: usize) -> Result<(), RunError> {
        grow(&mut self.groups, count);
        let other: Decimals = same(other)?;
        for ((sum, count), group) in other.groups.iter().zip(groups) {
            let mine = &mut self.groups[*group as usize];
            *mine = (mine.0.wrapping_add(*sum), mine.1 + count);
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        room(&self.groups)
    }

    fn finish(&mut self, order: &[u32]) -> Result<ArrayRef, Failed> {
        let DataType::Decimal { precision, scale } = self.ty.data else {
            return Err(internal("a decimal aggregate has no decimal type").into());
        };
        let bound = 10_i128.pow(u32::from(precision));
        let value = |group: &u32| {
            let (sum, count) = of(&self.groups, *group);
            if count == 0 {
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

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// Sums and means of floats.
#[derive(Debug)]
pub(super) struct Doubles {
    mean: bool,
    groups: Vec<(ExactSum, u64)>,
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
            let (sum, count) = &mut self.groups[group];
            sum.add(numbers[row]);
            *count += 1;
        }
        Ok(())
    }

    fn merge(&mut self, other: Box<dyn Accumulator>, groups: &[u32], count: usize) -> Result<(), RunError> {
        grow(&mut self.groups, count);
        let other: Doubles = same(other)?;
        for ((sum, count), group) in other.groups.iter().zip(groups) {
            let mine = &mut self.groups[*group as usize];
            mine.0.merge(sum);
            mine.1 += count;
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        room(&self.groups)
    }

    fn finish(&mut self, order: &[u32]) -> Result<ArrayRef, Failed> {
        let value = |group: &u32| {
            let (sum, count) = self.groups.get(*group as usize).filter(|(_, count)| *count > 0)?;
            Some(if self.mean { sum.value() / *count as f64 } else { sum.value() })
        };
        Ok(Arc::new(order.iter().map(value).collect::<Float64Array>()))
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
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
        rows.valid(&values).for_each(|(row, group)| self.groups[group].add(numbers[row]));
        Ok(())
    }

    fn merge(&mut self, other: Box<dyn Accumulator>, groups: &[u32], count: usize) -> Result<(), RunError> {
        grow(&mut self.groups, count);
        let other: Variances = same(other)?;
        other.groups.iter().zip(groups).for_each(|(m, group)| self.groups[*group as usize].merge(m));
        Ok(())
    }

    fn bytes(&self) -> usize {
        room(&self.groups)
    }

    fn finish(&mut self, order: &[u32]) -> Result<ArrayRef, Failed> {
        let value = |group: &u32| {
            let variance = self.groups.get(*group as usize)?.variance()?;
            Some(if self.root { variance.sqrt() } else { variance })
        };
        Ok(Arc::new(order.iter().map(value).collect::<Float64Array>()))
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
