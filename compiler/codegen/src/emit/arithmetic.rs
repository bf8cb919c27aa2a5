//! Operators and functions over the values of one row. Knows operations; nothing of how operands were computed.

use super::code::Lane;
use super::layout::{clif_type, range};
use super::row::Row;
use crate::helpers::{Helper, digits};
use crate::range::never_fails;
use crate::select::{Operation, operation_of};
use cranelift::prelude::*;
use flowc_ir::{DataType, Expr};

const MICROS_PER_DAY: i128 = 86_400_000_000;

/// A value, and whether it is out of range.
pub(super) type Checked = (Value, Option<Value>);

impl Row<'_, '_, '_> {
    /// The value of a call.
    pub(crate) fn call(&mut self, function: &str, args: &[Expr], lanes: &[Lane], result: &DataType) -> Lane {
        let operation = operation_of(function, args, result).expect("`select::compiles` admitted the call");
        let data = args.first().map_or(result, |a| &a.ty.data);
        if let Some(lane) = self.function_with_nulls(operation, lanes, data, result) {
            return lane;
        }
        if operation == Operation::Convert {
            let converted = self.cast(lanes[0], &args[0].ty.data, result);
            return self.propagate(lanes, converted.value, converted.fail);
        }
        let a = lanes[0].value;
        let b = lanes.get(1).map_or(a, |l| l.value);
        let fits = never_fails(function, args, result, self);
        if let Some((value, misfit)) = self.in_64_bits(operation, a, b, args, result) {
            return self.propagate(lanes, value, misfit.filter(|_| !fits));
        }
        let (value, misfit) = match operation {
            Operation::Compare(order) => (self.compare(order, a, b, data), None),
            Operation::CompareDecimals(order) => (self.compare_decimals(order, a, b, args), None),
            Operation::Add | Operation::Subtract | Operation::Multiply if fits => (self.plain(operation, a, b), None),
            Operation::Add | Operation::Subtract | Operation::Multiply => self.checked(operation, a, b),
            Operation::Divide => (self.code.ins().fdiv(a, b), None),
            Operation::Quotient | Operation::Remainder => self.integer_division(operation, a, b),
            Operation::FloatRemainder => (self.float_remainder(a, b), None),
            Operation::Negate => self.negate(a, data),
            Operation::DateDifference => self.date_difference(a, b),
            Operation::DurationQuotient => self.duration_quotient(a, b),
            Operation::SameScale { subtract } => self.same_scale(subtract, a, b, result),
            Operation::ExactProduct => {
                let product = self.code.ins().imul(a, b);
                (product, self.too_many_digits(product, result))
            }
            Operation::Decimal(helper) => self.decimal(helper, a, b, args, result),
            other => match self.datetime(other, lanes) {
                Some(checked) => checked,
                None => self.function(other, lanes, data),
            },
        };
        self.propagate(lanes, value, misfit.filter(|_| !fits))
    }

    /// Integers whose result fits.
    fn plain(&mut self, operation: Operation, a: Value, b: Value) -> Value {
        let ins = self.code.ins();
        match operation {
            Operation::Add => ins.iadd(a, b),
            Operation::Subtract => ins.isub(a, b),
            _ => ins.imul(a, b),
        }
    }

    pub(super) fn checked(&mut self, operation: Operation, a: Value, b: Value) -> Checked {
        let ty = self.code.b.func.dfg.value_type(a);
        if ty.is_float() {
            let ins = self.code.ins();
            let value = match operation {
                Operation::Add => ins.fadd(a, b),
                Operation::Subtract => ins.fsub(a, b),
                _ => ins.fmul(a, b),
            };
            return (value, None);
        }
        if ty == types::I64 {
            let ins = self.code.ins();
            let (value, over) = match operation {
                Operation::Add => ins.sadd_overflow(a, b),
                Operation::Subtract => ins.ssub_overflow(a, b),
                _ => ins.smul_overflow(a, b),
            };
            return (value, Some(over));
        }
        let (a, b) = (self.code.ins().sextend(types::I64, a), self.code.ins().sextend(types::I64, b));
        let ins = self.code.ins();
        let whole = match operation {
            Operation::Add => ins.iadd(a, b),
            Operation::Subtract => ins.isub(a, b),
            _ => ins.imul(a, b),
        };
        let (value, over) = self.narrow(whole, ty);
        (value, Some(over))
    }

    /// The low bits of an integer, and whether they are not all of it.
    pub(crate) fn narrow(&mut self, whole: Value, to: Type) -> (Value, Value) {
        let from = self.code.b.func.dfg.value_type(whole);
        let value = self.code.ins().ireduce(to, whole);
        let back = self.code.ins().sextend(from, value);
        let over = self.code.icmp(IntCC::NotEqual, back, whole);
        (value, over)
    }

    /// Division that never traps: where it would, by one.
    pub(super) fn integer_division(&mut self, operation: Operation, a: Value, b: Value) -> Checked {
        let ty = self.code.b.func.dfg.value_type(a);
        let zero = self.code.icmp_const(IntCC::Equal, b, 0);
        let minus_one = self.code.icmp_const(IntCC::Equal, b, -1);
        let least = self.code.icmp_const(IntCC::Equal, a, range(ty).0);
        let over = self.code.and(minus_one, least);
        let trap = self.code.or(zero, over);
        let one = self.code.int(ty, 1);
        let divisor = self.code.ins().select(trap, one, b);
        match operation {
            Operation::Quotient => (self.code.ins().sdiv(a, divisor), Some(trap)),
            // The remainder of anything by one is zero, as is the least integer's by minus one.
            _ => (self.code.ins().srem(a, divisor), Some(zero)),
        }
    }

    pub(super) fn float_remainder(&mut self, a: Value, b: Value) -> Value {
        if self.code.b.func.dfg.value_type(a) == types::F64 {
            return self.code.call(Helper::FloatRemainder, &[a, b]);
        }
        // The remainder of floats is a float: computed among doubles it is the same.
        let (a, b) = (self.code.ins().fpromote(types::F64, a), self.code.ins().fpromote(types::F64, b));
        let rest = self.code.call(Helper::FloatRemainder, &[a, b]);
        self.code.ins().fdemote(types::F32, rest)
    }

    pub(super) fn negate(&mut self, a: Value, data: &DataType) -> Checked {
        if data.is_floating() {
            return (self.code.ins().fneg(a), None);
        }
        let ty = self.code.b.func.dfg.value_type(a);
        let zero = self.code.int(ty, 0);
        let value = self.code.ins().isub(zero, a);
        (value, Some(self.code.icmp_const(IntCC::Equal, a, range(ty).0)))
    }

    fn date_difference(&mut self, a: Value, b: Value) -> Checked {
        let (a, b) = (self.code.ins().sextend(types::I64, a), self.code.ins().sextend(types::I64, b));
        let days = self.code.ins().isub(a, b);
        let day = self.code.int(types::I64, MICROS_PER_DAY);
        let (value, over) = self.code.ins().smul_overflow(days, day);
        (value, Some(over))
    }

    fn duration_quotient(&mut self, a: Value, b: Value) -> Checked {
        let (wide_a, wide_b) = (self.code.ins().sextend(types::I128, a), self.code.ins().sextend(types::I128, b));
        let shape = self.code.int(types::I64, i128::from(digits(0, 0, (38, 0))));
        let none = self.code.call(Helper::Divide, &[wide_a, wide_b, shape]);
        let quotient = self.code.wide_result();
        let (value, over) = self.narrow(quotient, types::I64);
        let none = self.code.ins().ireduce(types::I8, none);
        (value, Some(self.code.or(none, over)))
    }

    fn same_scale(&mut self, subtract: bool, a: Value, b: Value, result: &DataType) -> Checked {
        let value = if subtract { self.code.ins().isub(a, b) } else { self.code.ins().iadd(a, b) };
        let many = self.too_many_digits(value, result);
        let (Some(many), Some((38, _))) = (many, result.as_decimal()) else {
            return (value, many);
        };
        // Two numbers of 38 digits may leave 128 bits: then the sum's sign is wrong.
        let b = if subtract { self.code.ins().bnot(b) } else { b };
        let (x, y) = (self.code.ins().bxor(a, value), self.code.ins().bxor(b, value));
        let wrong = self.code.and(x, y);
        let over = self.code.icmp_const(IntCC::SignedLessThan, wrong, 0);
        (value, Some(self.code.or(many, over)))
    }

    /// Whether an unscaled value has more digits than the decimal type holds.
    pub(crate) fn too_many_digits(&mut self, value: Value, data: &DataType) -> Option<Value> {
        let (precision, _) = data.as_decimal()?;
        let most = 10i128.pow(u32::from(precision)) - 1;
        Some(self.code.outside(value, -most, most))
    }

    fn decimal(&mut self, helper: Helper, a: Value, b: Value, args: &[Expr], result: &DataType) -> Checked {
        let scale = |e: &Expr| e.ty.data.as_decimal().map_or(0, |d| d.1);
        let to = result.as_decimal().unwrap_or((38, 0));
        let shape = digits(scale(&args[0]), scale(&args[1]), to);
        let shape = self.code.int(types::I64, i128::from(shape));
        let none = self.code.call(helper, &[a, b, shape]);
        let none = self.code.ins().ireduce(types::I8, none);
        let value = self.code.wide_result();
        match clif_type(result) {
            Some(types::I128) => (value, Some(none)),
            Some(ty) => (self.code.ins().ireduce(ty, value), Some(none)),
            None => unreachable!("`select::operation` admits results of fixed width only"),
        }
    }

    fn compare_decimals(&mut self, order: super::compare::Order, a: Value, b: Value, args: &[Expr]) -> Value {
        let scale = |e: &Expr| e.ty.data.as_decimal().map_or(0, |d| d.1);
        let shape = digits(scale(&args[0]), scale(&args[1]), (38, 0));
        let shape = self.code.int(types::I64, i128::from(shape));
        let sign = self.code.call(Helper::Compare, &[a, b, shape]);
        self.code.icmp_const(order.signed(), sign, 0)
    }
}
