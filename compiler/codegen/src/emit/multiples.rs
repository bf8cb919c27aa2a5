//! Whole numbers of 64 bits divided by a constant, several at once, where processors have no vector instruction for it: among doubles, in which numbers
//! below 2^53 are exact. What is rounded is `x / m - 1/2 + 1/(2 m)`, which lies at least `1 / (2 m)` away from where the nearest whole number changes,
//! while three roundings err by less than that as long as `x < 2^50`: so it is `x / m` rounded down, always. (That adding and taking away 1.5 * 2^52
//! rounds, and that bits beside the exponent's are the number: Knuth, "The Art of Computer Programming", 4.2.2; Warren, "Hacker's Delight", 17.)
//! A factor 2^k of the divisor is taken out by shifts first, so that minutes in microseconds reach 2^58 (nine thousand years), milliseconds 2^53. What
//! lies beyond is guarded. Knows lanes; nothing of where they come from.

use super::vector::Lanes;
use crate::range::{OnlyTypes, range};
use crate::select::Operation;
use cranelift::prelude::*;
use flowc_ir::{DataType, Expr};

/// Numbers divided without their factors of two are below this power of two.
const BITS: u32 = 50;
/// Odd parts of divisors are below this power of two: `1 / (2 m)` must outweigh the error of the constant that is added.
const ODD_BITS: u32 = 32;
/// 2^52: beside its bits stand those of a whole number below.
const WHOLE: u64 = 0x4330_0000_0000_0000;
/// 1.5 * 2^52: what is added to it is rounded to a whole number, also below zero.
const ROUND: u64 = 0x4338_0000_0000_0000;

/// What is computed of a number and the constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// The greatest multiple that is not above it.
    Multiple,
    /// What is above that.
    Rest,
    /// How many times, rounded down.
    Times,
}

/// A division by a constant.
#[derive(Debug, Clone, Copy)]
pub(super) struct Multiples<'e> {
    pub(super) value: &'e Expr,
    divisor: u64,
    wanted: Wanted,
    /// Whether numbers below zero are rounded down, too; otherwise they are guarded.
    below_zero: bool,
}

impl<'e> Multiples<'e> {
    /// The operation, if it is one.
    pub(super) fn of(operation: Operation, args: &'e [Expr], result: &DataType) -> Option<Multiples<'e>> {
        let [first, rest @ ..] = args else { return None };
        let (value, by, wanted, below_zero) = match operation {
            Operation::Truncate(unit) => (rest.first()?, unit, Wanted::Multiple, true),
            Operation::FloorDivide(by) => (first, by, Wanted::Times, true),
            Operation::Remainder => (first, constant(rest.first()?)?, Wanted::Rest, false),
            Operation::PositiveRemainder => (first, constant(rest.first()?)?, Wanted::Rest, true),
            Operation::Quotient => (first, constant(rest.first()?)?, Wanted::Times, false),
            _ => return None,
        };
        let eight_bytes = |data: &DataType| super::clif_type(data) == Some(types::I64);
        let divisor = u64::try_from(by).ok().filter(|by| *by > 1)?;
        let twos = divisor.trailing_zeros();
        let fits = eight_bytes(result) && eight_bytes(&value.ty.data) && divisor >> twos < 1 << ODD_BITS;
        (fits && twos + BITS <= 63).then_some(Multiples { value, divisor, wanted, below_zero })
    }

    /// What is wanted of two numbers.
    pub(super) fn emit(&self, lanes: &mut Lanes<'_, '_, '_>, v: Value) -> Value {
        let twos = self.divisor.trailing_zeros();
        let odd = self.divisor >> twos;
        // Numbers below zero are moved by a multiple first.
        let moved = if self.below_zero { (1 << (BITS - 1 + twos)) / self.divisor * self.divisor } else { 0 };
        let offset = whole(lanes, moved);
        let x = if moved == 0 { v } else { lanes.code.ins().iadd(v, offset) };
        let outside = lanes.code.ins().ushr_imm_u(x, i64::from(BITS + twos));
        lanes.guard(outside);
        let low = lanes.code.ins().ushr_imm_u(x, i64::from(twos));
        let bits = whole(lanes, WHOLE);
        let number = lanes.code.ins().bor(low, bits);
        let number = lanes.bits(types::F64X2, number);
        let two_52 = double(lanes, f64::from_bits(WHOLE));
        let number = lanes.code.ins().fsub(number, two_52);
        let times = {
            let (inverse, down) = (double(lanes, 1.0 / odd as f64), double(lanes, 0.5 / odd as f64 - 0.5));
            let quotient = lanes.code.ins().fmul(number, inverse);
            let below = lanes.code.ins().fadd(quotient, down);
            let round = double(lanes, f64::from_bits(ROUND));
            lanes.code.ins().fadd(below, round)
        };
        if self.wanted == Wanted::Times {
            let times = lanes.bits(types::I64X2, times);
            let offset = whole(lanes, ROUND.wrapping_add(moved / self.divisor));
            return lanes.code.ins().isub(times, offset);
        }
        let round = double(lanes, f64::from_bits(ROUND));
        let times = lanes.code.ins().fsub(times, round);
        let factor = double(lanes, odd as f64);
        let multiple = lanes.code.ins().fmul(times, factor);
        let multiple = lanes.code.ins().fadd(multiple, two_52);
        let multiple = lanes.bits(types::I64X2, multiple);
        let multiple = lanes.code.ins().ishl_imm_u(multiple, i64::from(twos));
        let offset = whole(lanes, (WHOLE << twos).wrapping_add(moved));
        let multiple = lanes.code.ins().isub(multiple, offset);
        match self.wanted {
            Wanted::Rest => lanes.code.ins().isub(v, multiple),
            _ => multiple,
        }
    }
}

/// A constant that is a positive number.
fn constant(e: &Expr) -> Option<i64> {
    let bounds = range(e, &OnlyTypes).filter(|r| r.low == r.high)?;
    i64::try_from(bounds.low).ok().filter(|v| *v > 0)
}

fn whole(lanes: &mut Lanes<'_, '_, '_>, v: u64) -> Value {
    let v = lanes.code.ins().iconst(types::I64, v as i64);
    lanes.code.ins().splat(types::I64X2, v)
}

fn double(lanes: &mut Lanes<'_, '_, '_>, v: f64) -> Value {
    let v = lanes.code.ins().f64const(Ieee64::with_bits(v.to_bits()));
    lanes.code.ins().splat(types::F64X2, v)
}
