//! Functions of numbers, over the values of one row. Knows operations; nothing of how operands were computed.

use super::arithmetic::Checked;
use super::code::Lane;
use super::compare::Order;
use super::row::Row;
use crate::helpers::Helper;
use crate::select::{Bits, FloatInstruction, Operation, Shift};
use cranelift::prelude::*;
use flowc_ir::DataType;
use flowc_ir::calendar::MICROS_PER_DAY;

impl Row<'_, '_, '_> {
    /// The value of an operation that sees nulls or makes them, or has no operands; none if it is none of these.
    pub(super) fn function_with_nulls(
        &mut self,
        operation: Operation,
        lanes: &[Lane],
        data: &DataType,
        result: &DataType,
    ) -> Option<Lane> {
        match operation {
            Operation::Constant(v) => Some(Lane::new(self.code.ins().f64const(v))),
            Operation::Now => Some(Lane::new(self.now)),
            Operation::Today => {
                let day = self.floor_divide(self.now, i128::from(MICROS_PER_DAY));
                Some(Lane::new(self.code.ins().ireduce(types::I32, day)))
            }
            Operation::NullIf | Operation::NullIfZero | Operation::Nvl | Operation::EqualNull => {
                Some(self.about_null(operation, lanes, data))
            }
            Operation::Extreme(order) => Some(self.extreme(order, lanes, result)),
            Operation::IsNan => {
                let x = lanes[0];
                let nan = self.code.ins().fcmp(FloatCC::NotEqual, x.value, x.value);
                Some(Lane { value: self.code.unless(x.null, nan), null: None, fail: x.fail })
            }
            Operation::Logarithm(helper, bound) => {
                let bound = self.code.ins().f64const(bound);
                let low = self.code.ins().fcmp(FloatCC::LessThanOrEqual, lanes[0].value, bound);
                let value = self.code.call(helper, &[lanes[0].value]);
                Some(self.null_where(low, lanes, value))
            }
            Operation::LogarithmToBase => {
                let zero = self.code.ins().f64const(0.0);
                let (base, x) = (lanes[0].value, lanes[1].value);
                let base_low = self.code.ins().fcmp(FloatCC::LessThanOrEqual, base, zero);
                let x_low = self.code.ins().fcmp(FloatCC::LessThanOrEqual, x, zero);
                let low = self.code.or(base_low, x_low);
                let x = self.code.call(Helper::Ln, &[x]);
                let base = self.code.call(Helper::Ln, &[base]);
                let value = self.code.ins().fdiv(x, base);
                Some(self.null_where(low, lanes, value))
            }
            _ => None,
        }
    }

    /// Functions that are about nulls; all operands are evaluated. `data` is the first operand's type.
    fn about_null(&mut self, operation: Operation, lanes: &[Lane], data: &DataType) -> Lane {
        let a = lanes[0];
        let b = lanes.get(1).copied().unwrap_or(a);
        let fail = self.code.either(a.fail, lanes.get(1).and_then(|b| b.fail));
        match operation {
            Operation::Nvl => {
                let Some(null) = a.null else { return Lane { fail, ..a } };
                let value = self.code.choose(null, b.value, a.value);
                Lane { value, null: self.code.only(null, b.null), fail }
            }
            Operation::NullIf => {
                let same = self.compare(Order::Equal, a.value, b.value, data);
                let same = self.code.unless(b.null, same);
                Lane { value: a.value, null: self.code.either(a.null, Some(same)), fail }
            }
            Operation::NullIfZero => {
                let some = self.not_zero(a.value);
                let zero = self.code.not(some);
                Lane { value: a.value, null: self.code.either(a.null, Some(zero)), fail }
            }
            _ => {
                let same = self.compare(Order::Equal, a.value, b.value, data);
                let value = match self.code.either(a.null, b.null) {
                    None => same,
                    Some(some_null) => {
                        let both = a.null.zip(b.null).map(|(a, b)| self.code.and(a, b));
                        let same = self.code.and_not(same, some_null);
                        self.code.either(Some(same), both).expect("one of them is there")
                    }
                };
                Lane { value, null: None, fail }
            }
        }
    }

    fn null_where(&mut self, null: Value, lanes: &[Lane], value: Value) -> Lane {
        let lane = self.propagate(lanes, value, None);
        Lane { null: self.code.either(lane.null, Some(null)), ..lane }
    }

    /// Nulls are passed over; of equal values the first stays.
    fn extreme(&mut self, order: Order, lanes: &[Lane], data: &DataType) -> Lane {
        let mut best = lanes[0];
        for lane in &lanes[1..] {
            let better = self.compare(order, lane.value, best.value, data);
            let better = match best.null {
                Some(null) => self.code.or(better, null),
                None => better,
            };
            let better = self.code.unless(lane.null, better);
            best = Lane {
                value: self.code.choose(better, lane.value, best.value),
                null: best.null.zip(lane.null).map(|(a, b)| self.code.and(a, b)),
                fail: self.code.either(best.fail, lane.fail),
            };
        }
        best
    }

    /// The value of an operation that is null where an operand is.
    pub(super) fn function(&mut self, operation: Operation, lanes: &[Lane], data: &DataType) -> Checked {
        let a = lanes[0].value;
        let b = lanes.get(1).map_or(a, |l| l.value);
        match operation {
            Operation::Same => (a, None),
            Operation::Abs => self.abs(a, data),
            Operation::Instruction(instruction) => (self.float_instruction(instruction, a), None),
            Operation::RoundToLong(instruction) => {
                let rounded = self.float_instruction(instruction, a);
                let (long, misfit) = self.truncate(rounded);
                (long, Some(misfit))
            }
            Operation::OfDoubles(helper) => {
                let operands: Vec<Value> = lanes.iter().map(|l| l.value).collect();
                (self.code.call(helper, &operands), None)
            }
            Operation::Sign => (self.sign(a), None),
            Operation::Clamp => {
                let below = self.compare(Order::Less, a, b, data);
                let raised = self.code.choose(below, b, a);
                let above = self.compare(Order::Greater, raised, lanes[2].value, data);
                (self.code.choose(above, lanes[2].value, raised), None)
            }
            Operation::PositiveRemainder if data.is_floating() => (self.positive_float_remainder(a, b), None),
            Operation::PositiveRemainder => self.positive_remainder(a, b),
            Operation::NanOr => {
                let nan = self.code.ins().fcmp(FloatCC::NotEqual, a, a);
                (self.code.choose(nan, b, a), None)
            }
            Operation::Shift(shift) => (self.shift(shift, a, b), None),
            Operation::Bits(Bits::And) => (self.code.ins().band(a, b), None),
            Operation::Bits(Bits::Or) => (self.code.ins().bor(a, b), None),
            Operation::Bits(Bits::Xor) => (self.code.ins().bxor(a, b), None),
            Operation::BitNot => (self.code.ins().bnot(a), None),
            Operation::BitCount => {
                let count = self.code.ins().popcnt(a);
                (self.code.ins().ireduce(types::I32, count), None)
            }
            Operation::BitGet => {
                let outside = self.code.outside(b, 0, 63);
                let moved = self.code.ins().sshr(a, b);
                let low = self.code.ins().band_imm_u(moved, 1);
                (self.code.ins().ireduce(types::I32, low), Some(outside))
            }
            other => unreachable!("{other:?} is an operator"),
        }
    }

    fn float_instruction(&mut self, instruction: FloatInstruction, a: Value) -> Value {
        match instruction {
            FloatInstruction::Sqrt => self.code.ins().sqrt(a),
            FloatInstruction::Nearest => self.code.ins().nearest(a),
            FloatInstruction::Ceil => self.code.ins().ceil(a),
            FloatInstruction::Floor => self.code.ins().floor(a),
        }
    }

    fn abs(&mut self, a: Value, data: &DataType) -> Checked {
        if data.is_floating() {
            return (self.code.ins().fabs(a), None);
        }
        let (opposite, misfit) = self.negate(a, data);
        let negative = self.code.icmp_const(IntCC::SignedLessThan, a, 0);
        (self.code.choose(negative, opposite, a), misfit)
    }

    fn sign(&mut self, a: Value) -> Value {
        let zero = self.code.ins().f64const(0.0);
        let one = self.code.ins().f64const(1.0);
        // Zeros and what is no number stay as they are: those alone are not less and not greater than zero.
        let less = self.code.ins().fcmp(FloatCC::LessThan, a, zero);
        let greater = self.code.ins().fcmp(FloatCC::GreaterThan, a, zero);
        let signed = self.code.or(less, greater);
        let unit = self.code.ins().fcopysign(one, a);
        self.code.choose(signed, unit, a)
    }

    fn positive_remainder(&mut self, a: Value, b: Value) -> Checked {
        let (rest, misfit) = self.integer_division(Operation::Remainder, a, b);
        let negative = self.code.icmp_const(IntCC::SignedLessThan, rest, 0);
        let positive = self.code.icmp_const(IntCC::SignedGreaterThan, b, 0);
        let lift = self.code.and(negative, positive);
        let lifted = self.code.ins().iadd(rest, b);
        (self.code.choose(lift, lifted, rest), misfit)
    }

    fn positive_float_remainder(&mut self, a: Value, b: Value) -> Value {
        let rest = self.float_remainder(a, b);
        let sum = self.code.ins().fadd(rest, b);
        let lifted = self.float_remainder(sum, b);
        let zero = match self.code.b.func.dfg.value_type(a) {
            types::F32 => self.code.ins().f32const(0.0),
            _ => self.code.ins().f64const(0.0),
        };
        let negative = self.code.ins().fcmp(FloatCC::LessThan, rest, zero);
        self.code.choose(negative, lifted, rest)
    }

    /// Only as many low bits of `by` count as a position in the word has, here as in Java.
    fn shift(&mut self, shift: Shift, a: Value, by: Value) -> Value {
        match shift {
            Shift::Left => self.code.ins().ishl(a, by),
            Shift::Right => self.code.ins().sshr(a, by),
            Shift::RightUnsigned => self.code.ins().ushr(a, by),
        }
    }
}
