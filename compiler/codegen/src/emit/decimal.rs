//! Decimals whose digits fit 64 bits, or whose scales can be made equal within 128: computed without helpers. Values stay 128 bits wide in registers; the
//! upper half is the sign of the lower one. Knows operations; nothing of how operands were computed.
//!
//! A column of at most 18 digits is trusted to hold no more, as its type says.

use super::arithmetic::Checked;
use super::row::Row;
use crate::range::{Range, exact, range};
use crate::select::Operation;
use cranelift::prelude::*;
use flowc_ir::{DataType, Expr};

impl Row<'_, '_, '_> {
    /// Decimals added, subtracted, multiplied or compared in 64 bits, or in 128 where scales differ; none if their bounds are too wide, or the operation is
    /// another one. The second part: whether the result has too many digits.
    pub(super) fn in_64_bits(
        &mut self,
        operation: Operation,
        a: Value,
        b: Value,
        args: &[Expr],
        result: &DataType,
    ) -> Option<Checked> {
        let [left, right] = args else { return None };
        let (DataType::Decimal { scale: s, .. }, DataType::Decimal { scale: t, .. }) = (&left.ty.data, &right.ty.data)
        else {
            return None;
        };
        let (x, y) = (range(left, self)?, range(right, self)?);
        match operation {
            Operation::Compare(order) | Operation::CompareDecimals(order) => {
                let scale = (*s).max(*t);
                let (x, a) = self.rescaled(a, x, scale - s)?;
                let (y, b) = self.rescaled(b, y, scale - t)?;
                let (a, b) = if x.fits_long() && y.fits_long() { (self.low(a), self.low(b)) } else { (a, b) };
                Some((self.code.icmp(order.signed(), a, b), None))
            }
            Operation::SameScale { subtract } => {
                let whole = x.plus(y, subtract)?;
                if !(x.fits_long() && y.fits_long() && whole.fits_long()) {
                    return None;
                }
                let (a, b) = (self.low(a), self.low(b));
                let value = if subtract { self.code.ins().isub(a, b) } else { self.code.ins().iadd(a, b) };
                Some(self.wide(value, result))
            }
            Operation::ExactProduct => {
                let whole = exact("multiply", args, result, self)?;
                if !(x.fits_long() && y.fits_long() && whole.fits_long()) {
                    return None;
                }
                let (a, b) = (self.low(a), self.low(b));
                let value = self.code.ins().imul(a, b);
                Some(self.wide(value, result))
            }
            _ => None,
        }
    }

    /// With so many more decimal places; none if 128 bits may not hold that.
    fn rescaled(&mut self, value: Value, bounds: Range, places: u8) -> Option<(Range, Value)> {
        if places == 0 {
            return Some((bounds, value));
        }
        let by = 10i128.checked_pow(u32::from(places))?;
        let scaled = bounds.times(by)?;
        if scaled.fits_long() {
            let low = self.low(value);
            let by = self.code.int(types::I64, by);
            let product = self.code.ins().imul(low, by);
            return Some((scaled, self.code.ins().sextend(types::I128, product)));
        }
        let by = self.code.int(types::I128, by);
        Some((scaled, self.code.ins().imul(value, by)))
    }

    fn low(&mut self, value: Value) -> Value {
        self.code.ins().ireduce(types::I64, value)
    }

    /// A value of 64 bits as a decimal, and whether it has too many digits for the type.
    fn wide(&mut self, value: Value, result: &DataType) -> Checked {
        let most = Range::of_type(result).filter(|all| all.fits_long());
        let many = most.map(|all| self.code.outside(value, all.low, all.high));
        (self.code.ins().sextend(types::I128, value), many)
    }
}
