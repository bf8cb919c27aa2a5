//! Comparisons, in the language's order: NaN equals NaN and is the greatest, -0.0 equals 0.0. Knows types; nothing of nulls.

use super::row::Row;
use cranelift::prelude::*;
use flowc_ir::DataType;

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

impl Order {
    /// Of the operator of this name.
    pub(crate) fn of(function: &str) -> Option<Order> {
        Some(match function {
            "equal" => Order::Equal,
            "not_equal" => Order::NotEqual,
            "less" => Order::Less,
            "less_equal" => Order::LessEqual,
            "greater" => Order::Greater,
            "greater_equal" => Order::GreaterEqual,
            _ => return None,
        })
    }

    /// The comparison that says the same of its operands the other way round.
    pub(crate) fn turned(self) -> Order {
        match self {
            Order::Equal | Order::NotEqual => self,
            Order::Less => Order::Greater,
            Order::LessEqual => Order::GreaterEqual,
            Order::Greater => Order::Less,
            Order::GreaterEqual => Order::LessEqual,
        }
    }

    /// For integers.
    pub(crate) fn signed(self) -> IntCC {
        match self {
            Order::Equal => IntCC::Equal,
            Order::NotEqual => IntCC::NotEqual,
            Order::Less => IntCC::SignedLessThan,
            Order::LessEqual => IntCC::SignedLessThanOrEqual,
            Order::Greater => IntCC::SignedGreaterThan,
            Order::GreaterEqual => IntCC::SignedGreaterThanOrEqual,
        }
    }
}

/// Compares floats, of scalars or vectors. With `opposite` for the complement of a truth value, and `or`/`and` of two: booleans for scalars, lane masks
/// for vectors.
pub(crate) trait FloatCompare {
    /// IEEE's comparison.
    fn fcmp(&mut self, cc: FloatCC, a: Value, b: Value) -> Value;
    /// Both.
    fn both(&mut self, a: Value, b: Value) -> Value;
    /// Either.
    fn any(&mut self, a: Value, b: Value) -> Value;
    /// The complement.
    fn opposite(&mut self, a: Value) -> Value;

    /// The language's comparison: `a_number`, `b_number` say which operands are known not to be NaN.
    fn float_order(&mut self, order: Order, a: Value, b: Value, a_number: bool, b_number: bool) -> Value {
        match order {
            Order::Equal => {
                let same = self.fcmp(FloatCC::Equal, a, b);
                if a_number || b_number {
                    return same;
                }
                let (x, y) = (self.fcmp(FloatCC::NotEqual, a, a), self.fcmp(FloatCC::NotEqual, b, b));
                let nan = self.both(x, y);
                self.any(same, nan)
            }
            Order::NotEqual => {
                let same = self.float_order(Order::Equal, a, b, a_number, b_number);
                self.opposite(same)
            }
            Order::Greater => self.float_order(Order::Less, b, a, b_number, a_number),
            Order::GreaterEqual => self.float_order(Order::LessEqual, b, a, b_number, a_number),
            // NaN is the greatest: a <= b wherever b is NaN, and otherwise by IEEE.
            Order::LessEqual => {
                if b_number {
                    return self.fcmp(FloatCC::LessThanOrEqual, a, b);
                }
                if a_number {
                    return self.fcmp(FloatCC::UnorderedOrLessThanOrEqual, a, b);
                }
                let less = self.fcmp(FloatCC::LessThanOrEqual, a, b);
                let nan = self.fcmp(FloatCC::NotEqual, b, b);
                self.any(less, nan)
            }
            // a < b where a is not NaN and not a >= b, which is false if b is NaN.
            Order::Less => {
                if b_number {
                    return self.fcmp(FloatCC::LessThan, a, b);
                }
                let less = self.fcmp(FloatCC::UnorderedOrLessThan, a, b);
                if a_number {
                    return less;
                }
                let number = self.fcmp(FloatCC::Equal, a, a);
                self.both(less, number)
            }
        }
    }
}

/// Booleans in registers.
impl FloatCompare for super::code::Code<'_> {
    fn fcmp(&mut self, cc: FloatCC, a: Value, b: Value) -> Value {
        self.ins().fcmp(cc, a, b)
    }
    fn both(&mut self, a: Value, b: Value) -> Value {
        self.and(a, b)
    }
    fn any(&mut self, a: Value, b: Value) -> Value {
        self.or(a, b)
    }
    fn opposite(&mut self, a: Value) -> Value {
        self.not(a)
    }
}

impl Row<'_, '_, '_> {
    /// Compares two values of one type; decimals of one scale.
    pub(crate) fn compare(&mut self, order: Order, a: Value, b: Value, data: &DataType) -> Value {
        if data.is_floating() {
            let (a_number, b_number) = (self.is_number(a), self.is_number(b));
            return self.code.float_order(order, a, b, a_number, b_number);
        }
        self.code.icmp(order.signed(), a, b)
    }

    /// Whether a float is known not to be NaN: a constant, or a converted integer.
    fn is_number(&self, v: Value) -> bool {
        use cranelift_codegen::ir::{InstructionData, Opcode, ValueDef};
        let dfg = &self.code.b.func.dfg;
        let ValueDef::Result(inst, _) = dfg.value_def(v) else { return false };
        match dfg.insts[inst] {
            InstructionData::UnaryIeee64 { imm, .. } => !f64::from_bits(imm.bits()).is_nan(),
            InstructionData::UnaryIeee32 { imm, .. } => !f32::from_bits(imm.bits()).is_nan(),
            InstructionData::Unary { opcode: Opcode::FcvtFromSint, .. } => true,
            _ => false,
        }
    }
}
