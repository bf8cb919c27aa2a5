//! Conversions between types of fixed width, with the same results and the same misfits as the interpreter's `cast`. Knows types; nothing of what a
//! misfit does to the row.

use super::code::Lane;
use super::layout::{clif_type, range};
use super::row::Row;
use crate::helpers::{Helper, digits};
use cranelift::prelude::*;
use flowc_ir::{DataType, calendar};

const MICROS_PER_SECOND: i128 = calendar::MICROS_PER_SECOND as i128;
const MICROS_PER_DAY: i128 = calendar::MICROS_PER_DAY as i128;

/// How a value is converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conversion {
    /// The same bits.
    Same,
    /// From the type of null: there is no value.
    Nothing,
    /// Between integers (booleans are 0 and 1).
    Integer,
    /// Anything to a boolean: whether it is not zero.
    NotZero,
    /// Integer or timestamp to a float.
    ToFloat,
    /// Between floats.
    Float,
    /// Float to integer, towards zero.
    FromFloat,
    /// Integer, timestamp or decimal to a decimal.
    Rescale,
    /// Decimal to integer, towards zero.
    FromDecimal,
    /// Decimal to double.
    DecimalToDouble,
    /// Seconds to a timestamp.
    Seconds,
    /// Seconds with a fraction to a timestamp.
    FloatSeconds,
    /// Timestamp to seconds.
    ToSeconds,
    /// Date to a timestamp.
    Midnight,
    /// Timestamp to date.
    Day,
}

/// The conversion from one type to another; none if there is no machine code for it.
pub(crate) fn conversion(from: &DataType, to: &DataType) -> Option<Conversion> {
    use DataType::{Boolean, Date, Decimal, Double, Float, Null, Timestamp, TimestampNtz};
    if !to.is_fixed_width() {
        return None;
    }
    let integer = |t: &DataType| t.is_integer();
    Some(match (from, to) {
        (Null, _) => Conversion::Nothing,
        (a, b) if a == b => Conversion::Same,
        (Timestamp, TimestampNtz) | (TimestampNtz, Timestamp) => Conversion::Same,
        (Boolean, b) | (b, Boolean) if !b.is_numeric() => return None,
        (Boolean, b) if integer(b) => Conversion::Integer,
        (_, Boolean) => Conversion::NotZero,
        (a, b) if integer(a) && integer(b) => Conversion::Integer,
        (a, Float | Double) if integer(a) || matches!(a, Boolean | Timestamp) => Conversion::ToFloat,
        (Float | Double, Float | Double) => Conversion::Float,
        (Float | Double, b) if integer(b) => Conversion::FromFloat,
        (Float | Double, Timestamp) => Conversion::FloatSeconds,
        (Decimal { .. }, Double) => Conversion::DecimalToDouble,
        (Decimal { .. }, b) if integer(b) => Conversion::FromDecimal,
        (Decimal { .. } | Boolean | Timestamp, Decimal { .. }) => Conversion::Rescale,
        (a, Decimal { .. }) if integer(a) => Conversion::Rescale,
        (a, Timestamp) if integer(a) => Conversion::Seconds,
        (Timestamp, b) if integer(b) => Conversion::ToSeconds,
        (Date, Timestamp | TimestampNtz) => Conversion::Midnight,
        (Timestamp | TimestampNtz, Date) => Conversion::Day,
        _ => return None,
    })
}

impl Row<'_, '_, '_> {
    /// The converted value; its `fail` says where the value does not fit, the operand's own failures are left out.
    pub(crate) fn cast(&mut self, lane: Lane, from: &DataType, to: &DataType) -> Lane {
        let conversion = conversion(from, to).expect("`select::compiles` admitted the conversion");
        let ty = clif_type(to).expect("conversions lead to types of fixed width");
        let v = lane.value;
        let (value, misfit) = match conversion {
            Conversion::Same => (v, None),
            Conversion::Nothing => unreachable!("the null literal is converted without being computed"),
            Conversion::Integer => self.integer(v, ty),
            Conversion::NotZero => (self.not_zero(v), None),
            Conversion::ToFloat => (self.as_float(v, from, ty), None),
            Conversion::Float => (self.float(v, ty), None),
            Conversion::FromFloat => {
                let (long, misfit) = self.truncate(v);
                let (value, over) = self.integer(long, ty);
                (value, self.code.either(Some(misfit), over))
            }
            Conversion::Rescale => self.rescale(v, from, to),
            Conversion::FromDecimal => self.whole_of_decimal(v, from, ty),
            Conversion::DecimalToDouble => {
                let scale = from.as_decimal().map_or(0, |d| d.1);
                let scale = self.code.int(types::I64, i128::from(scale));
                (self.code.call(Helper::DecimalToDouble, &[v, scale]), None)
            }
            Conversion::Seconds => self.scaled_up(v, MICROS_PER_SECOND),
            Conversion::Midnight => self.scaled_up(v, MICROS_PER_DAY),
            Conversion::FloatSeconds => {
                let v = self.float(v, types::F64);
                let million = self.code.ins().f64const(1e6);
                let micros = self.code.ins().fmul(v, million);
                let (long, misfit) = self.truncate(micros);
                (long, Some(misfit))
            }
            Conversion::ToSeconds => {
                let seconds = self.floor_divide(v, MICROS_PER_SECOND);
                self.integer(seconds, ty)
            }
            Conversion::Day => {
                let day = self.floor_divide(v, MICROS_PER_DAY);
                (self.code.ins().ireduce(types::I32, day), None)
            }
        };
        Lane { value, null: lane.null, fail: misfit }
    }

    fn integer(&mut self, v: Value, to: Type) -> (Value, Option<Value>) {
        let from = self.code.b.func.dfg.value_type(v);
        match from.bits().cmp(&to.bits()) {
            std::cmp::Ordering::Equal => (v, None),
            std::cmp::Ordering::Less => (self.code.ins().sextend(to, v), None),
            std::cmp::Ordering::Greater => {
                let (value, over) = self.narrow(v, to);
                (value, Some(over))
            }
        }
    }

    pub(super) fn not_zero(&mut self, v: Value) -> Value {
        match self.code.b.func.dfg.value_type(v) {
            types::F64 => {
                let zero = self.code.ins().f64const(0.0);
                self.code.ins().fcmp(FloatCC::NotEqual, v, zero)
            }
            types::F32 => {
                let zero = self.code.ins().f32const(0.0);
                self.code.ins().fcmp(FloatCC::NotEqual, v, zero)
            }
            _ => self.code.icmp_const(IntCC::NotEqual, v, 0),
        }
    }

    fn as_float(&mut self, v: Value, from: &DataType, to: Type) -> Value {
        let wide = match self.code.b.func.dfg.value_type(v) {
            types::I64 => v,
            _ => self.code.ins().sextend(types::I64, v),
        };
        if *from != DataType::Timestamp {
            return self.code.ins().fcvt_from_sint(to, wide);
        }
        let micros = self.code.ins().fcvt_from_sint(types::F64, wide);
        let million = self.code.ins().f64const(1e6);
        let seconds = self.code.ins().fdiv(micros, million);
        self.float(seconds, to)
    }

    fn float(&mut self, v: Value, to: Type) -> Value {
        match (self.code.b.func.dfg.value_type(v), to) {
            (types::F32, types::F64) => self.code.ins().fpromote(to, v),
            (types::F64, types::F32) => self.code.ins().fdemote(to, v),
            _ => v,
        }
    }

    /// A float without its fraction as a long, and whether it does not fit one.
    pub(super) fn truncate(&mut self, v: Value) -> (Value, Value) {
        let v = self.float(v, types::F64);
        let long = self.code.ins().fcvt_to_sint_sat(types::I64, v);
        // Both bounds are exact; NaN is in no range.
        let (low, high) = range(types::I64);
        let low = self.code.ins().f64const(low as f64);
        let high = self.code.ins().f64const(high as f64);
        let from_low = self.code.ins().fcmp(FloatCC::GreaterThanOrEqual, v, low);
        let to_high = self.code.ins().fcmp(FloatCC::LessThan, v, high);
        let fits = self.code.and(from_low, to_high);
        (long, self.code.not(fits))
    }

    fn rescale(&mut self, v: Value, from: &DataType, to: &DataType) -> (Value, Option<Value>) {
        let scale = match from {
            DataType::Timestamp => 6,
            DataType::Decimal { scale, .. } => *scale,
            _ => 0,
        };
        let (precision, to_scale) = to.as_decimal().expect("rescaling leads to a decimal");
        let (wide, _) = self.integer(v, types::I128);
        if to_scale < scale {
            let shape = self.code.int(types::I64, i128::from(digits(scale, 0, (precision, to_scale))));
            let none = self.code.call(Helper::Rescale, &[wide, shape]);
            let none = self.code.ins().ireduce(types::I8, none);
            return (self.code.wide_result(), Some(none));
        }
        // What fits after multiplying fitted before: so the product never leaves 128 bits unseen.
        let factor = 10i128.pow(u32::from(to_scale - scale));
        let most = (10i128.pow(u32::from(precision)) - 1) / factor;
        let misfit = self.code.outside(wide, -most, most);
        if factor == 1 {
            return (wide, Some(misfit));
        }
        let factor = self.code.int(types::I128, factor);
        (self.code.ins().imul(wide, factor), Some(misfit))
    }

    fn whole_of_decimal(&mut self, v: Value, from: &DataType, to: Type) -> (Value, Option<Value>) {
        let scale = from.as_decimal().map_or(0, |d| d.1);
        if scale == 0 {
            return self.integer(v, to);
        }
        let one = self.code.int(types::I128, 1);
        let shape = self.code.int(types::I64, i128::from(digits(scale, 0, (38, 0))));
        let none = self.code.call(Helper::IntegralDivide, &[v, one, shape]);
        let none = self.code.ins().ireduce(types::I8, none);
        let whole = self.code.wide_result();
        let (value, over) = self.integer(whole, to);
        (value, self.code.either(Some(none), over))
    }

    pub(super) fn scaled_up(&mut self, v: Value, unit: i128) -> (Value, Option<Value>) {
        let (long, _) = self.integer(v, types::I64);
        let unit = self.code.int(types::I64, unit);
        let (value, over) = self.code.ins().smul_overflow(long, unit);
        (value, Some(over))
    }

    /// Division by a positive constant, rounded down.
    pub(crate) fn floor_divide(&mut self, v: Value, by: i128) -> Value {
        let divisor = self.code.int(types::I64, by);
        let quotient = self.code.ins().sdiv(v, divisor);
        let product = self.code.ins().imul(quotient, divisor);
        let below = self.code.icmp(IntCC::SignedGreaterThan, product, v);
        let below = self.code.ins().uextend(types::I64, below);
        self.code.ins().isub(quotient, below)
    }
}
