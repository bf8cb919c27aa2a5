//! Decimal arithmetic on unscaled values: Spark's types of results (at most 38 digits; beyond, digits behind the point are given up down to six), rounding
//! half up. The compiled kernels call these functions too. Knows nothing of expressions.

use crate::types::DataType;
use arrow::datatypes::i256;
use std::cmp::Ordering;

/// The most digits of a decimal.
pub const MAX_PRECISION: u8 = 38;

/// `10^exponent`; exponents up to 38.
pub fn power_of_ten(exponent: u8) -> i128 {
    10i128.pow(u32::from(exponent.min(MAX_PRECISION)))
}

fn power(exponent: u32) -> Option<i256> {
    i256::from_i128(10).checked_pow(exponent)
}

/// Whether an unscaled value has at most so many digits.
pub fn fits(unscaled: i128, precision: u8) -> bool {
    unscaled.unsigned_abs() < power_of_ten(precision).unsigned_abs()
}

fn bounded(precision: i32, scale: i32) -> DataType {
    let max = i32::from(MAX_PRECISION);
    if precision <= max {
        return DataType::Decimal { precision: precision as u8, scale: scale as u8 };
    }
    let whole = precision - scale;
    let scale = (max - whole).max(scale.min(6));
    DataType::Decimal { precision: MAX_PRECISION, scale: scale as u8 }
}

fn parts(a: &DataType, b: &DataType) -> Option<(i32, i32, i32, i32)> {
    let ((p, s), (q, t)) = (a.as_decimal()?, b.as_decimal()?);
    Some((i32::from(p), i32::from(s), i32::from(q), i32::from(t)))
}

/// The type of a sum or difference.
pub fn sum_type(a: &DataType, b: &DataType) -> Option<DataType> {
    let (p, s, q, t) = parts(a, b)?;
    let scale = s.max(t);
    Some(bounded((p - s).max(q - t) + scale + 1, scale))
}

/// The type of a product.
pub fn product_type(a: &DataType, b: &DataType) -> Option<DataType> {
    let (p, s, q, t) = parts(a, b)?;
    Some(bounded(p + q + 1, s + t))
}

/// The type of a quotient.
pub fn quotient_type(a: &DataType, b: &DataType) -> Option<DataType> {
    let (p, s, q, t) = parts(a, b)?;
    let scale = (s + q + 1).max(6);
    Some(bounded(p - s + t + scale, scale))
}

/// The type of a remainder.
pub fn remainder_type(a: &DataType, b: &DataType) -> Option<DataType> {
    let (p, s, q, t) = parts(a, b)?;
    let scale = s.max(t);
    Some(bounded((p - s).min(q - t) + scale, scale))
}

/// An unscaled value and its scale.
pub type Scaled = (i128, u8);

/// Precision and scale of a result.
pub type Digits = (u8, u8);

fn divide_half_up(n: i256, d: i256) -> Option<i256> {
    let (quotient, remainder) = (n.checked_div(d)?, n.checked_rem(d)?);
    let twice = remainder.checked_abs()?.checked_mul(i256::from_i128(2))?;
    if twice < d.checked_abs()? {
        return Some(quotient);
    }
    let one = i256::ONE;
    if n.is_negative() == d.is_negative() { quotient.checked_add(one) } else { quotient.checked_sub(one) }
}

fn finish(value: i256, from: u32, to: Digits) -> Option<i128> {
    let scale = u32::from(to.1);
    let scaled = match from.cmp(&scale) {
        Ordering::Equal => value,
        Ordering::Less => value.checked_mul(power(scale - from)?)?,
        Ordering::Greater => divide_half_up(value, power(from - scale)?)?,
    };
    scaled.to_i128().filter(|v| fits(*v, to.0))
}

fn aligned(a: Scaled, b: Scaled) -> Option<(i256, i256, u32)> {
    let scale = a.1.max(b.1);
    let up = |x: Scaled| i256::from_i128(x.0).checked_mul(power(u32::from(scale - x.1))?);
    Some((up(a)?, up(b)?, u32::from(scale)))
}

/// `a + b`; none if it does not fit.
pub fn add(a: Scaled, b: Scaled, to: Digits) -> Option<i128> {
    let (x, y, scale) = aligned(a, b)?;
    finish(x.checked_add(y)?, scale, to)
}

/// `a - b`; none if it does not fit.
pub fn subtract(a: Scaled, b: Scaled, to: Digits) -> Option<i128> {
    let (x, y, scale) = aligned(a, b)?;
    finish(x.checked_sub(y)?, scale, to)
}

/// `a * b`, rounded half up; none if it does not fit.
pub fn multiply(a: Scaled, b: Scaled, to: Digits) -> Option<i128> {
    let product = i256::from_i128(a.0).checked_mul(i256::from_i128(b.0))?;
    finish(product, u32::from(a.1) + u32::from(b.1), to)
}

/// `a / b`, rounded half up; none if it does not fit. `b` is not zero.
pub fn divide(a: Scaled, b: Scaled, to: Digits) -> Option<i128> {
    // A numerator too large for 256 bits means a quotient of more than 38 digits, as the divisor has at most 38.
    let shift = i32::from(to.1) - i32::from(a.1) + i32::from(b.1);
    let (mut n, mut d) = (i256::from_i128(a.0), i256::from_i128(b.0));
    if n == i256::ZERO {
        return Some(0);
    }
    if shift >= 0 {
        n = n.checked_mul(power(shift as u32)?)?;
    } else {
        d = d.checked_mul(power(shift.unsigned_abs())?)?;
    }
    divide_half_up(n, d)?.to_i128().filter(|v| fits(*v, to.0))
}

/// `a div b`, truncated; none if it does not fit a long. `b` is not zero.
pub fn integral_divide(a: Scaled, b: Scaled) -> Option<i64> {
    let (x, y, _) = aligned(a, b)?;
    x.checked_div(y)?.to_i128()?.try_into().ok()
}

/// `a % b`, with the sign of `a`; none if it does not fit. `b` is not zero.
pub fn remainder(a: Scaled, b: Scaled, to: Digits) -> Option<i128> {
    let (x, y, scale) = aligned(a, b)?;
    finish(x.checked_rem(y)?, scale, to)
}

/// The order of two decimals of any scales.
pub fn compare(a: Scaled, b: Scaled) -> Ordering {
    // Up to 76 digits fit 256 bits, so aligning does not fail.
    aligned(a, b).map_or_else(|| a.0.cmp(&b.0), |(x, y, _)| x.cmp(&y))
}

/// The value at another scale, rounded half up; none if it does not fit.
pub fn rescale(value: i128, scale: u8, to: Digits) -> Option<i128> {
    if scale == to.1 {
        return Some(value).filter(|v| fits(*v, to.0));
    }
    finish(i256::from_i128(value), u32::from(scale), to)
}

/// Rounds an unscaled value to a multiple of `10^drop`, half up (away from zero) or half even; the scale stays. None if it leaves the range.
pub fn round_digits(value: i128, drop: u32, half_even: bool) -> Option<i128> {
    if drop == 0 {
        return Some(value);
    }
    if drop > 38 {
        return Some(0);
    }
    let unit = 10i128.pow(drop);
    let (quotient, remainder) = (value / unit, value % unit);
    let order = (remainder.unsigned_abs() * 2).cmp(&unit.unsigned_abs());
    let away = match order {
        Ordering::Less => false,
        Ordering::Greater => true,
        Ordering::Equal => !half_even || quotient % 2 != 0,
    };
    let quotient = if away { quotient + value.signum() } else { quotient };
    quotient.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(precision: u8, scale: u8) -> DataType {
        DataType::Decimal { precision, scale }
    }

    #[test]
    fn types_follow_spark() {
        let (a, b) = (decimal(10, 2), decimal(5, 4));
        assert_eq!(sum_type(&a, &b), Some(decimal(13, 4)));
        assert_eq!(product_type(&a, &b), Some(decimal(16, 6)));
        assert_eq!(quotient_type(&a, &b), Some(decimal(20, 8)));
        assert_eq!(remainder_type(&a, &b), Some(decimal(5, 4)));
        assert_eq!(product_type(&decimal(38, 10), &decimal(38, 10)), Some(decimal(38, 6)));
        assert_eq!(quotient_type(&decimal(38, 18), &decimal(38, 18)), Some(decimal(38, 6)));
        assert_eq!(sum_type(&decimal(38, 0), &decimal(38, 38)), Some(decimal(38, 6)));
    }

    #[test]
    fn rounds_half_up_away_from_zero() {
        assert_eq!(divide((10, 1), (3, 0), (10, 6)), Some(333_333));
        assert_eq!(divide((-5, 1), (1, 0), (3, 0)), Some(-1));
        assert_eq!(rescale(125, 2, (5, 1)), Some(13));
        assert_eq!(rescale(-125, 2, (5, 1)), Some(-13));
        assert_eq!(round_digits(25, 1, true), Some(20));
        assert_eq!(round_digits(35, 1, true), Some(40));
    }

    #[test]
    fn too_many_digits_do_not_fit() {
        let largest = power_of_ten(38) - 1;
        assert_eq!(add((largest, 0), (1, 0), (38, 0)), None);
        assert_eq!(multiply((largest, 0), (largest, 0), (38, 0)), None);
        assert_eq!(divide((largest, 0), (1, 38), (38, 6)), None);
        assert_eq!(compare((15, 1), (2, 0)), Ordering::Less);
        assert_eq!(compare((largest, 0), (largest, 38)), Ordering::Greater);
    }
}
