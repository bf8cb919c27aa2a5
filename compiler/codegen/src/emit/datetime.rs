//! Functions of dates and timestamps, over the values of one row. Knows operations; the calendar is the interpreter's.

use super::arithmetic::Checked;
use super::code::Lane;
use super::row::Row;
use crate::helpers::Helper;
use crate::select::{DatePart, Operation};
use cranelift::prelude::*;
use flowc_ir::calendar::{MICROS_PER_DAY, MICROS_PER_SECOND};

impl Row<'_, '_, '_> {
    /// The value of an operation on dates and times; none if it is none.
    pub(super) fn datetime(&mut self, operation: Operation, lanes: &[Lane]) -> Option<Checked> {
        let a = lanes[0].value;
        let b = lanes.get(1).map_or(a, |l| l.value);
        Some(match operation {
            Operation::Scale(by) => self.scaled_up(a, i128::from(by)),
            Operation::FloorDivide(by) => (self.floor_divide(a, i128::from(by)), None),
            Operation::DatePart(part) => self.date_part(part, a),
            Operation::TimePart(divisor, modulus) => (self.time_part(divisor, modulus, a), None),
            Operation::MoveDays { back } => {
                let operation = if back { Operation::Subtract } else { Operation::Add };
                self.checked(operation, a, b)
            }
            Operation::DaysBetween => self.checked(Operation::Subtract, a, b),
            Operation::MoveMonths => {
                let (days, months) = (self.code.ins().sextend(types::I64, a), self.code.ins().sextend(types::I64, b));
                let moved = self.code.call(Helper::AddMonths, &[days, months]);
                let (day, over) = self.narrow(moved, types::I32);
                (day, Some(over))
            }
            Operation::Truncate(unit) => self.truncate_to(unit, a),
            _ => return None,
        })
    }

    /// The day of a date or timestamp, as a long.
    fn day(&mut self, v: Value) -> Value {
        match self.code.b.func.dfg.value_type(v) {
            types::I32 => self.code.ins().sextend(types::I64, v),
            _ => self.floor_divide(v, i128::from(MICROS_PER_DAY)),
        }
    }

    fn date_part(&mut self, part: DatePart, v: Value) -> Checked {
        let day = self.day(v);
        let number = self.code.int(types::I64, part as i128);
        let value = self.code.call(Helper::DatePart, &[day, number]);
        if part == DatePart::LastDay {
            let (day, over) = self.narrow(value, types::I32);
            return (day, Some(over));
        }
        (self.code.ins().ireduce(types::I32, value), None)
    }

    fn time_part(&mut self, divisor: i64, modulus: i64, v: Value) -> Value {
        let second = self.floor_divide(v, i128::from(MICROS_PER_SECOND));
        let unit = self.floor_divide(second, i128::from(divisor));
        let cycles = self.floor_divide(unit, i128::from(modulus));
        let whole = self.code.ins().imul_imm_s(cycles, modulus);
        let part = self.code.ins().isub(unit, whole);
        self.code.ins().ireduce(types::I32, part)
    }

    fn truncate_to(&mut self, unit: i64, v: Value) -> Checked {
        if unit == 1 {
            return (v, None);
        }
        let divisor = self.code.int(types::I64, i128::from(unit));
        let rest = self.code.ins().srem(v, divisor);
        let negative = self.code.icmp_const(IntCC::SignedLessThan, rest, 0);
        let lifted = self.code.ins().iadd(rest, divisor);
        let rest = self.code.choose(negative, lifted, rest);
        let (value, over) = self.code.ins().ssub_overflow(v, rest);
        (value, Some(over))
    }
}
