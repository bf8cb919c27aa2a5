//! Between which bounds a whole number lies, so that checks which cannot fail need no code: interval arithmetic over expressions (Moore, "Interval
//! Analysis", 1966), from types, constants and what filters have let through. Knows expressions; nothing of code.

use crate::emit::bits;
use crate::fused::Fused;
use crate::select::{DatePart, Operation, operation_of};
use flowc_ir::{DataType, Expr, ExprKind, LocalId};
use std::collections::BTreeMap;

/// How deep expressions are looked into: what lies deeper has the bounds of its type. Slots that are computed are looked into as well, so without a limit
/// a chain of them could take exponential time.
const DEPTH: usize = 8;

/// The least and the greatest value, both included; of decimals without their scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) low: i128,
    pub(crate) high: i128,
}

impl Range {
    /// What a type holds; none for types that are not whole numbers.
    pub(crate) fn of_type(data: &DataType) -> Option<Range> {
        let signed = |bits: u32| Range { low: -(1i128 << (bits - 1)), high: (1i128 << (bits - 1)) - 1 };
        Some(match data {
            DataType::Byte => signed(8),
            DataType::Short => signed(16),
            DataType::Integer | DataType::Date => signed(32),
            DataType::Long | DataType::Timestamp | DataType::TimestampNtz | DataType::Duration => signed(64),
            DataType::Decimal { precision, .. } => {
                let most = 10i128.checked_pow(u32::from(*precision))? - 1;
                Range { low: -most, high: most }
            }
            _ => return None,
        })
    }

    /// Whether 64 bits hold it.
    pub(crate) fn fits_long(self) -> bool {
        self.is_within(Range { low: i64::MIN.into(), high: i64::MAX.into() })
    }

    pub(crate) fn is_within(self, other: Range) -> bool {
        other.low <= self.low && self.high <= other.high
    }

    fn point(value: i128) -> Range {
        Range { low: value, high: value }
    }

    fn has(self, value: i128) -> bool {
        self.low <= value && value <= self.high
    }

    /// What both hold; the first where nothing is in both, as no row gets there.
    pub(crate) fn and(self, other: Range) -> Range {
        let both = Range { low: self.low.max(other.low), high: self.high.min(other.high) };
        if both.low <= both.high { both } else { self }
    }

    fn or(self, other: Range) -> Range {
        Range { low: self.low.min(other.low), high: self.high.max(other.high) }
    }

    /// The results of an operation that is monotonic in each operand.
    fn corners(self, other: Range, f: impl Fn(i128, i128) -> Option<i128>) -> Option<Range> {
        let mut whole: Option<Range> = None;
        for a in [self.low, self.high] {
            for b in [other.low, other.high] {
                let point = Range::point(f(a, b)?);
                whole = Some(whole.map_or(point, |whole| whole.or(point)));
            }
        }
        whole
    }

    /// The bounds of `self * by`; none if 128 bits do not hold them.
    pub(crate) fn times(self, by: i128) -> Option<Range> {
        self.corners(Range::point(by), i128::checked_mul)
    }

    pub(crate) fn plus(self, other: Range, subtract: bool) -> Option<Range> {
        self.corners(other, if subtract { i128::checked_sub } else { i128::checked_add })
    }
}

/// What is known of the slots and locals that an expression reads.
pub(crate) trait Known {
    /// The bounds of a slot that is read from outside.
    fn slot(&self, slot: usize) -> Option<Range>;
    /// The value of a slot that is computed.
    fn value(&self, slot: usize) -> Option<&Expr>;
    /// The bounds of a local that is bound outside of the expression.
    fn local(&self, local: LocalId) -> Option<Range>;
}

/// Nothing but types.
pub(crate) struct OnlyTypes;

impl Known for OnlyTypes {
    fn slot(&self, _: usize) -> Option<Range> {
        None
    }
    fn value(&self, _: usize) -> Option<&Expr> {
        None
    }
    fn local(&self, _: LocalId) -> Option<Range> {
        None
    }
}

/// The bounds of a value, where it is neither null nor fails; none if it is no whole number.
pub(crate) fn range(e: &Expr, known: &dyn Known) -> Option<Range> {
    Finder { known, locals: BTreeMap::new() }.range(e, DEPTH)
}

/// The bounds of what an operation yields for operands in their bounds, whatever its type holds; none if they are not known.
pub(crate) fn exact(function: &str, args: &[Expr], result: &DataType, known: &dyn Known) -> Option<Range> {
    Finder { known, locals: BTreeMap::new() }.exact(function, args, result, DEPTH)
}

/// Whether the operation itself yields a value for all operands in their bounds.
pub(crate) fn never_fails(function: &str, args: &[Expr], result: &DataType, known: &dyn Known) -> bool {
    // These fail for no other reason than that their type does not hold the result, or that they divide by zero, of which nothing exact is known.
    use Operation::{
        Abs, Add, DateDifference, ExactProduct, MoveDays, Multiply, Negate, PositiveRemainder, Quotient, Remainder,
        SameScale, Scale, Subtract, Truncate,
    };
    let fits = || {
        match operation_of(function, args, result)? {
            Add | Subtract | Multiply | Negate | Abs | SameScale { .. } | ExactProduct | Scale(_) => {}
            DateDifference | MoveDays { .. } | Truncate(_) | Quotient | Remainder | PositiveRemainder => {}
            _ => return None,
        }
        let all = Range::of_type(result)?;
        Some(exact(function, args, result, known)?.is_within(all))
    };
    fits() == Some(true)
}

struct Finder<'k> {
    known: &'k dyn Known,
    locals: BTreeMap<LocalId, Range>,
}

impl Finder<'_> {
    fn range(&mut self, e: &Expr, depth: usize) -> Option<Range> {
        let all = Range::of_type(&e.ty.data)?;
        let found = if depth == 0 { None } else { self.found(e, depth - 1) };
        Some(found.map_or(all, |range| all.and(range)))
    }

    fn found(&mut self, e: &Expr, depth: usize) -> Option<Range> {
        match &e.kind {
            ExprKind::Literal(value) => bits(value).map(Range::point),
            ExprKind::Column(slot) => match self.known.value(*slot) {
                Some(value) => {
                    let outer = std::mem::take(&mut self.locals);
                    let range = self.range(value, depth);
                    self.locals = outer;
                    range
                }
                None => self.known.slot(*slot),
            },
            ExprKind::Local(local) => self.locals.get(local).copied().or_else(|| self.known.local(*local)),
            ExprKind::Let { local, value, body } => {
                if let Some(range) = self.range(value, depth) {
                    self.locals.insert(*local, range);
                }
                self.range(body, depth)
            }
            ExprKind::If { then, otherwise, .. } => Some(self.range(then, depth)?.or(self.range(otherwise, depth)?)),
            ExprKind::Coalesce(operands) => self.any(operands, depth),
            ExprKind::Cast { value, .. } if value.ty.data.is_integer() && e.ty.data.is_integer() => {
                self.range(value, depth)
            }
            ExprKind::Try(x) => self.range(x, depth),
            ExprKind::Call { function, args } => self.exact(function.name, args, &e.ty.data, depth),
            _ => None,
        }
    }

    fn any(&mut self, operands: &[Expr], depth: usize) -> Option<Range> {
        let mut whole: Option<Range> = None;
        for operand in operands {
            let range = self.range(operand, depth)?;
            whole = Some(whole.map_or(range, |whole| whole.or(range)));
        }
        whole
    }

    fn exact(&mut self, function: &str, args: &[Expr], result: &DataType, depth: usize) -> Option<Range> {
        let operation = operation_of(function, args, result)?;
        let constant = |low, high| Some(Range { low, high });
        match operation {
            Operation::TimePart(_, modulus) => return constant(0, i128::from(modulus) - 1),
            Operation::DatePart(part) => return of_part(part),
            Operation::BitCount => return constant(0, 64),
            Operation::BitGet => return constant(0, 1),
            Operation::Extreme(_) | Operation::Clamp | Operation::Nvl => return self.any(args, depth),
            _ => {}
        }
        let value = match operation {
            // The unit is no operand.
            Operation::Truncate(_) => args.get(1)?,
            _ => args.first()?,
        };
        let a = self.range(value, depth)?;
        match operation {
            Operation::Negate => return Some(Range { low: a.high.checked_neg()?, high: a.low.checked_neg()? }),
            Operation::Abs => {
                let (x, y) = (a.low.checked_abs()?, a.high.checked_abs()?);
                return constant(if a.has(0) { 0 } else { x.min(y) }, x.max(y));
            }
            Operation::Same | Operation::NullIf | Operation::NullIfZero => return Some(a),
            Operation::Scale(by) => return a.times(by.into()),
            Operation::FloorDivide(by) => return constant(a.low.div_euclid(by.into()), a.high.div_euclid(by.into())),
            Operation::Truncate(unit) => return constant(a.low - i128::from(unit) + 1, a.high),
            _ => {}
        }
        let b = self.range(args.get(1)?, depth)?;
        match operation {
            Operation::Add => a.plus(b, false),
            Operation::Subtract => a.plus(b, true),
            Operation::SameScale { subtract } | Operation::MoveDays { back: subtract } => a.plus(b, subtract),
            Operation::Multiply | Operation::ExactProduct => a.corners(b, i128::checked_mul),
            Operation::DateDifference => a.plus(b, true)?.times(flowc_ir::calendar::MICROS_PER_DAY.into()),
            Operation::Quotient if !b.has(0) => a.corners(b, i128::checked_div),
            Operation::Remainder if !b.has(0) => {
                let most = b.low.checked_abs()?.max(b.high.checked_abs()?) - 1;
                constant(if a.low < 0 { -most } else { 0 }, if a.high > 0 { most } else { 0 })
            }
            Operation::PositiveRemainder if b.low > 0 => constant(0, b.high - 1),
            _ => None,
        }
    }
}

fn of_part(part: DatePart) -> Option<Range> {
    let (low, high) = match part {
        DatePart::Quarter => (1, 4),
        DatePart::Month => (1, 12),
        DatePart::Day => (1, 31),
        DatePart::DayOfWeek => (1, 7),
        DatePart::Weekday => (0, 6),
        DatePart::DayOfYear => (1, 366),
        DatePart::Week => (1, 53),
        DatePart::Year | DatePart::WeekYear | DatePart::LastDay => return None,
    };
    Some(Range { low, high })
}

/// The bounds of columns in rows for which a condition is true, by the comparisons with constants that it demands.
pub(crate) fn demanded(condition: &Expr, fused: &Fused) -> BTreeMap<usize, Range> {
    let mut bounds = BTreeMap::new();
    demand(condition, fused, &mut bounds);
    bounds
}

fn demand(condition: &Expr, fused: &Fused, bounds: &mut BTreeMap<usize, Range>) {
    use crate::emit::Order;
    match &condition.kind {
        ExprKind::And(operands) => operands.iter().for_each(|operand| demand(operand, fused, bounds)),
        ExprKind::InList { value, list } => {
            let numbers: Option<Vec<i128>> = list.iter().filter(|c| !c.is_null()).map(bits).collect();
            let (Some(slot), Some(numbers)) = (outside(value, fused), numbers) else { return };
            if let (Some(low), Some(high)) = (numbers.iter().min(), numbers.iter().max()) {
                narrow(bounds, slot, &value.ty.data, Range { low: *low, high: *high });
            }
        }
        ExprKind::Call { function, args } => {
            let (Some(order), [left, right]) = (Order::of(function.name), args.as_slice()) else { return };
            // Decimals of different scales are not compared by their digits.
            if left.ty.data != right.ty.data {
                return;
            }
            let sides = [(left, right, order), (right, left, order.turned())];
            for (column, constant, order) in sides {
                let Some(slot) = outside(column, fused) else { continue };
                let Some(Range { low, high }) = range(constant, &OnlyTypes) else { continue };
                let (least, most) = (i128::MIN, i128::MAX);
                let allowed = match order {
                    Order::Equal => Range { low, high },
                    Order::NotEqual => continue,
                    Order::Less => Range { low: least, high: high.saturating_sub(1) },
                    Order::LessEqual => Range { low: least, high },
                    Order::Greater => Range { low: low.saturating_add(1), high: most },
                    Order::GreaterEqual => Range { low, high: most },
                };
                narrow(bounds, slot, &column.ty.data, allowed);
            }
        }
        _ => {}
    }
}

fn narrow(bounds: &mut BTreeMap<usize, Range>, slot: usize, data: &DataType, allowed: Range) {
    let Some(all) = Range::of_type(data) else { return };
    let before = bounds.get(&slot).copied().unwrap_or(all);
    bounds.insert(slot, before.and(allowed));
}

/// The slot that an expression reads from outside, converted at most to a wider integer.
fn outside(e: &Expr, fused: &Fused) -> Option<usize> {
    match &e.kind {
        ExprKind::Column(slot) if fused.local_slot(*slot).is_none() => Some(*slot),
        ExprKind::Cast { value, .. } if value.ty.data.is_integer() && e.ty.data.is_integer() => outside(value, fused),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::build::{call, column, integer, long};
    use flowc_ir::Type;

    fn bounds(e: &Expr) -> (i128, i128) {
        range(e, &OnlyTypes).map(|r| (r.low, r.high)).expect("a whole number")
    }

    #[test]
    fn operations_bound_their_results() {
        let small = column(0, &Type::new(DataType::Integer));
        let rest = call("mod", vec![small.clone(), integer(10)]);
        assert_eq!(bounds(&rest), (-9, 9));
        assert_eq!(bounds(&call("pmod", vec![small.clone(), integer(10)])), (0, 9));
        assert_eq!(bounds(&call("multiply", vec![rest.clone(), integer(-3)])), (-27, 27));
        assert_eq!(bounds(&call("div", vec![long(100), long(-7)])), (-14, -14));
        // What may be divided by zero has the bounds of its type.
        assert_eq!(bounds(&call("div", vec![integer(100), small.clone()])), (i32::MIN.into(), i32::MAX.into()));
        assert!(never_fails("add", &[rest.clone(), rest], &DataType::Integer, &OnlyTypes));
        assert!(!never_fails("add", &[small.clone(), integer(1)], &DataType::Integer, &OnlyTypes));
        assert!(!never_fails("abs", &[small], &DataType::Integer, &OnlyTypes));
    }

    #[test]
    fn a_condition_bounds_columns() {
        let ty = Type::new(DataType::Integer);
        let x = column(0, &ty);
        let condition = crate::tests::build::and(vec![
            call("less", vec![x.clone(), integer(100)]),
            call("less_equal", vec![integer(-5), x.clone()]),
            call("not_equal", vec![x, integer(3)]),
        ]);
        let found = demanded(&condition, &Fused::default());
        assert_eq!(found.get(&0), Some(&Range { low: -5, high: 99 }));
    }
}
