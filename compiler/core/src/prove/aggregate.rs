//! What an aggregate can be, given what its operand can be.

use crate::checked::CheckedAggregate;
use crate::prove::knowledge::{Knowledge, Reason};
use crate::prove::set::{Range, Set, Values, bounds};
use flowc_ir::aggregates::AggregateFunction;
use flowc_ir::{DataType, Value};

/// Sums of doubles up to this size do not overflow, however many rows there are: fewer than 2^63.
const NO_OVERFLOW: f64 = 1e280;

/// What the result can be, and why. `nonempty`: every group has a row that counts.
pub(crate) fn range(before: &Knowledge, call: &CheckedAggregate, nonempty: bool) -> (Set, Vec<Reason>) {
    use AggregateFunction::*;
    let ty = &call.field.ty;
    let operand = call.args.first().map(|arg| before.range(&before.over(arg)));
    let at_least =
        |n: i64| Set { null: false, values: Values::between(Some(Value::Long(n)), bounds(&DataType::Long).1) };
    let (set, reasons) = match (call.function, operand) {
        (Count, None) => (at_least(i64::from(nonempty)), vec![]),
        (Count | CountDistinct, Some((of, reasons))) => (at_least(i64::from(nonempty && !of.null)), reasons),
        (Min | Max | First | Last | MinBy | MaxBy, Some((of, reasons))) => {
            let null = of.null || !nonempty || matches!(call.function, MinBy | MaxBy);
            (Set { null, values: of.values }, reasons)
        }
        (Sum, Some((of, reasons))) => {
            let null = of.null || !nonempty;
            (Set { null, values: sum(&of.values, &ty.data) }, reasons)
        }
        (Avg | Percentile, Some((of, reasons))) => {
            let from = call.args.first().map_or(&ty.data, |a| &a.ty.data);
            let null = of.null || !nonempty;
            (Set { null, values: mean(&of.values, from, &ty.data) }, reasons)
        }
        (CollectList | CollectSet, _) => (Set { null: false, values: Values::All }, vec![]),
        (ApproxCountDistinct, _) => (at_least(0), vec![]),
        _ => (Set::any(&ty.data), vec![]),
    };
    (set, reasons)
}

/// Values of one sign add up to no less than one of them.
fn sum(of: &Values, data: &DataType) -> Values {
    let all = Values::all(data);
    let (Some(lo), Some(hi)) = (of.lo().and_then(|v| widened(v, data)), of.hi().and_then(|v| widened(v, data))) else {
        return all;
    };
    let Some(zero) = zero(data) else { return all };
    let mut range = Range { lo: all.lo().cloned(), hi: all.hi().cloned(), except: vec![] };
    if lo.compare(&zero).is_ge() {
        range.lo = Some(lo);
    } else if hi.compare(&zero).is_le() {
        range.hi = Some(hi);
    }
    Values::between(range.lo, range.hi)
}

fn zero(data: &DataType) -> Option<Value> {
    crate::prove::set::at_ordinal(data, 0)
}

/// The same number in the type of a sum.
fn widened(value: &Value, data: &DataType) -> Option<Value> {
    match (value, data) {
        (Value::Byte(v), DataType::Long) => Some(Value::Long(i64::from(*v))),
        (Value::Short(v), DataType::Long) => Some(Value::Long(i64::from(*v))),
        (Value::Integer(v), DataType::Long) => Some(Value::Long(i64::from(*v))),
        (Value::Float(v), DataType::Double) => Some(Value::Double(f64::from(*v))),
        (Value::Long(_), DataType::Long)
        | (Value::Double(_), DataType::Double)
        | (Value::Duration(_), DataType::Duration)
        | (Value::Decimal(_), DataType::Decimal { .. }) => Some(value.clone()),
        _ => None,
    }
}

/// A mean lies between the least and the greatest, but for rounding.
fn mean(of: &Values, from: &DataType, data: &DataType) -> Values {
    let all = Values::all(data);
    let (Some(lo), Some(hi)) = (of.lo(), of.hi()) else { return all };
    match data {
        DataType::Double => {
            let number = |v: &Value| match v {
                Value::Double(v) => Some(*v),
                Value::Float(v) => Some(f64::from(*v)),
                Value::Decimal(v) => match from {
                    DataType::Decimal { scale, .. } => Some(flowc_ir::cast::decimal_to_double(*v, *scale)),
                    _ => None,
                },
                other => crate::prove::set::ordinal(other).map(|v| v as f64),
            };
            let (Some(lo), Some(hi)) = (number(lo), number(hi)) else { return all };
            if lo.is_nan() || hi.is_nan() || lo.abs() > NO_OVERFLOW || hi.abs() > NO_OVERFLOW {
                return all;
            }
            // Three roundings at most: of the sum, of the quotient, of the bound. Near zero a step is the least there is.
            let slack = |v: f64| v.abs() * 8.0 * f64::EPSILON + f64::MIN_POSITIVE;
            // No rounding changes a sign.
            let least = if lo >= 0.0 { (lo - slack(lo)).max(0.0) } else { lo - slack(lo) };
            let most = if hi <= 0.0 { (hi + slack(hi)).min(0.0) } else { hi + slack(hi) };
            Values::between(Some(Value::Double(least)), Some(Value::Double(most)))
        }
        DataType::Decimal { scale, .. } => {
            let (Value::Decimal(lo), Value::Decimal(hi), DataType::Decimal { scale: before, .. }) = (lo, hi, from)
            else {
                return all;
            };
            let Some(more) = scale.checked_sub(*before) else { return all };
            let factor = flowc_ir::functions::decimal::power_of_ten(more);
            match (lo.checked_mul(factor), hi.checked_mul(factor)) {
                (Some(lo), Some(hi)) => Values::between(Some(Value::Decimal(lo)), Some(Value::Decimal(hi))).meet(&all),
                _ => all,
            }
        }
        _ => all,
    }
}
