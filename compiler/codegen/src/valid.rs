//! Which columns are not null in rows for which a condition is true: what comes behind a filter need not ask again. Knows expressions; nothing of code.

use crate::fused::Fused;
use crate::select::{Operation, operands, operation_of};
use flowc_ir::{Expr, ExprKind, LocalId};
use std::collections::{BTreeMap, BTreeSet};

type Slots = BTreeSet<usize>;

/// The slots from outside that are not null where `condition` is true.
pub(crate) fn demanded(condition: &Expr, fused: &Fused) -> Slots {
    Finder { fused, locals: BTreeMap::new() }.where_true(condition)
}

struct Finder<'p> {
    fused: &'p Fused,
    locals: BTreeMap<LocalId, Slots>,
}

impl Finder<'_> {
    fn where_true(&mut self, e: &Expr) -> Slots {
        match &e.kind {
            ExprKind::And(operands) => operands.iter().flat_map(|operand| self.where_true(operand)).collect(),
            ExprKind::Or(operands) => {
                let mut each = operands.iter().map(|operand| self.where_true(operand)).collect::<Vec<_>>().into_iter();
                let first = each.next().unwrap_or_default();
                each.fold(first, |all, slots| all.intersection(&slots).copied().collect())
            }
            ExprKind::Not(x) => match &x.kind {
                ExprKind::IsNull(value) => self.where_valid(value),
                // Where it is false it is not null.
                _ => self.where_valid(x),
            },
            ExprKind::Let { local, value, body } => {
                let slots = self.where_valid(value);
                self.locals.insert(*local, slots);
                self.where_true(body)
            }
            _ => self.where_valid(e),
        }
    }

    /// The slots that are not null where this value is not null.
    fn where_valid(&mut self, e: &Expr) -> Slots {
        match &e.kind {
            ExprKind::Column(slot) => match self.fused.local_slot(*slot) {
                Some(value) => {
                    let outer = std::mem::take(&mut self.locals);
                    let slots = self.where_valid(value);
                    self.locals = outer;
                    slots
                }
                None => Slots::from([*slot]),
            },
            ExprKind::Local(local) => self.locals.get(local).cloned().unwrap_or_default(),
            ExprKind::Let { local, value, body } => {
                let slots = self.where_valid(value);
                self.locals.insert(*local, slots);
                self.where_valid(body)
            }
            ExprKind::Cast { value, .. } | ExprKind::InList { value, .. } | ExprKind::Not(value) => {
                self.where_valid(value)
            }
            ExprKind::Call { function, args } => match operation_of(function.name, args, &e.ty.data) {
                Some(operation) if is_strict(operation) => {
                    operands(e).into_iter().flat_map(|operand| self.where_valid(operand)).collect()
                }
                _ => Slots::new(),
            },
            _ => Slots::new(),
        }
    }
}

/// Whether the result is null where any operand is.
fn is_strict(operation: Operation) -> bool {
    use Operation::{
        Add, Compare, CompareDecimals, Convert, DatePart, Decimal, Divide, ExactProduct, FloorDivide, Multiply, Negate,
        OfDoubles, Quotient, Remainder, SameScale, Scale, Subtract, TimePart, Truncate,
    };
    matches!(
        operation,
        Add | Subtract
            | Multiply
            | Divide
            | Quotient
            | Remainder
            | Negate
            | SameScale { .. }
            | ExactProduct
            | Decimal(_)
            | OfDoubles(_)
            | Convert
            | Scale(_)
            | FloorDivide(_)
            | DatePart(_)
            | TimePart(..)
            | Truncate(_)
            | Compare(_)
            | CompareDecimals(_)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::build::{and, call, column, integer, is_null, not, or};
    use flowc_ir::{DataType, Type};

    #[test]
    fn comparisons_demand_values() {
        let ty = Type::nullable(DataType::Integer);
        let (x, y) = (column(0, &ty), column(1, &ty));
        let of = |e: &Expr| demanded(e, &Fused::default()).into_iter().collect::<Vec<_>>();
        let both = call("less", vec![call("add", vec![x.clone(), integer(1)]), y.clone()]);
        assert_eq!(of(&both), [0, 1]);
        let either = or(vec![both.clone(), call("equal", vec![x.clone(), integer(7)])]);
        assert_eq!(of(&either), [0]);
        assert_eq!(of(&and(vec![either, not(is_null(y.clone()))])), [0, 1]);
        assert_eq!(of(&is_null(y.clone())), [] as [usize; 0]);
        assert_eq!(of(&call("equal_null", vec![x.clone(), y.clone()])), [] as [usize; 0]);
        assert_eq!(of(&not(call("equal_null", vec![x, y]))), [] as [usize; 0]);
    }
}
