//! What functions can yield for ranges of operands. A function that stands nowhere here can yield anything of its type.
//!
//! Bounds are computed by the interpreter itself, at the ends of the ranges: rounding never turns the order of two results around, so they hold for
//! everything in between, without any slack.

use crate::prove::forward::{cast_point, monotone};
use crate::prove::set::{Set, Values, at_ordinal, bounds, ordinal};
use crate::prove::terms::Term;
use flowc_ir::cast::castable;
use flowc_ir::eval::EvalContext;
use flowc_ir::functions::{Call, FunctionRef};
use flowc_ir::{DataType, Type, Value};

/// The results, and whether a row can fail.
type Image = (Values, bool);

/// Types whose values are whole numbers, exactly: computed with as such.
pub(crate) fn is_whole(data: &DataType) -> bool {
    data.is_integer() || is_time(data)
}

fn is_time(data: &DataType) -> bool {
    matches!(data, DataType::Date | DataType::Timestamp | DataType::TimestampNtz | DataType::Duration)
}

/// The ends of a set of whole numbers.
pub(crate) fn whole(values: &Values) -> Option<(i128, i128)> {
    Some((ordinal(values.lo()?)?, ordinal(values.hi()?)?))
}

/// The whole numbers from one to another, as far as the type has them; and whether it lacks some.
pub(crate) fn from_whole(lo: i128, hi: i128, data: &DataType) -> Image {
    let (Some(least), Some(greatest)) = bounds(data) else { return (Values::all(data), true) };
    let (Some(least), Some(greatest)) = (ordinal(&least), ordinal(&greatest)) else {
        return (Values::all(data), true);
    };
    let fails = lo < least || hi > greatest;
    (Values::between(at_ordinal(data, lo.max(least)), at_ordinal(data, hi.min(greatest))).or_none(lo, hi), fails)
}

impl Values {
    fn or_none(self, lo: i128, hi: i128) -> Values {
        if lo > hi { Values::None } else { self }
    }
}

/// What a call can yield for operands that are not null.
pub(crate) fn apply(term: &Term, function: FunctionRef, args: &[&Set], types: &[Type]) -> Image {
    let all = || (Values::all(&term.data), true);
    let values: Vec<&Values> = args.iter().map(|a| &a.values).collect();
    let data: Vec<&DataType> = types.iter().map(|t| &t.data).collect();
    match (function.name, values.as_slice()) {
        ("add" | "subtract" | "multiply" | "divide" | "div" | "mod" | "pmod", [a, b]) => {
            let of_whole = is_whole(data[0]) && is_whole(data[1]) && is_whole(&term.data);
            let image = match data[0] {
                _ if of_whole => whole_operation(function.name, term, (a, b)),
                DataType::Float | DataType::Double => real_operation(function.name, &term.data, (a, b)),
                DataType::Decimal { .. } => decimal_operation(function, &term.data, (a, b), types),
                _ => None,
            };
            image.unwrap_or_else(all)
        }
        ("negate", [a]) if is_whole(data[0]) => match whole(a) {
            Some((lo, hi)) => from_whole(-hi, -lo, &term.data),
            None => all(),
        },
        ("negate", [a]) => {
            let zero = real_point(&term.data, 0.0);
            match (reals(a), zero) {
                (Some(x), Some(_)) => (real_range(&term.data, -x.hi, -x.lo, x.nan, x.none), false),
                _ => all(),
            }
        }
        ("abs", [a]) => absolute(a, data[0]).unwrap_or_else(all),
        ("clamp", [x, low, high]) => clamped(x, low, high).unwrap_or_else(all),
        ("greatest" | "least", _) => (extreme(function.name == "greatest", args).unwrap_or_else(|| all().0), false),
        ("isnan", [a]) => {
            let nan = Value::Double(f64::NAN);
            let can = a.contains(&nan);
            let must = a.single() == Some(&nan);
            (Set::booleans(can, !must || args[0].null, false).values, false)
        }
        ("sqrt", [a]) => match reals(a) {
            Some(x) => {
                let (lo, hi) = (x.lo.max(0.0).sqrt(), x.hi.sqrt());
                (real_range(&term.data, lo, hi, x.nan || x.lo < 0.0, x.none || x.hi < 0.0), false)
            }
            None => all(),
        },
        (name, [a, ..]) if is_monotone(name, data[0]) && values[1..].iter().all(|v| v.single().is_some()) => {
            let rest: Vec<Value> = values[1..].iter().filter_map(|v| v.single()).cloned().collect();
            monotone(a, data[0], &term.data, &|x| point(function, x, &rest, types, &term.data))
        }
        (name, _) => match part(name) {
            Some((lo, hi)) => (from_whole(lo, hi, &term.data).0, true),
            None => all(),
        },
    }
}

/// The result for these operands; none if it fails.
pub(crate) fn point(
    function: FunctionRef,
    first: &Value,
    rest: &[Value],
    types: &[Type],
    result: &DataType,
) -> Option<Value> {
    let mut args = vec![first.clone()];
    args.extend(rest.iter().cloned());
    let result = Type::nullable(result.clone());
    let call = Call { args: types, result: &result, context: &EvalContext::default() };
    function.call(&call, &args).ok()
}

/// Functions that have no smaller result for a greater first operand.
pub(crate) fn is_monotone(name: &str, data: &DataType) -> bool {
    match name {
        "floor" | "ceil" | "ceiling" | "rint" => true,
        "round" | "bround" => !data.is_floating(),
        "timestamp_millis" | "timestamp_micros" | "timestamp_seconds" => data.is_integer(),
        "unix_millis" | "unix_micros" | "unix_seconds" | "unix_date" | "date_from_unix_date" | "year" => true,
        "date" | "timestamp" => is_time(data),
        "date_add" | "date_sub" => *data == DataType::Date,
        _ => false,
    }
}

/// Functions whose results lie in a range, whatever the operands.
fn part(name: &str) -> Option<(i128, i128)> {
    Some(match name {
        "month" => (1, 12),
        "quarter" => (1, 4),
        "day" | "dayofmonth" => (1, 31),
        "dayofweek" => (1, 7),
        "weekday" => (0, 6),
        "dayofyear" => (1, 366),
        "weekofyear" => (1, 53),
        "hour" => (0, 23),
        "minute" | "second" => (0, 59),
        "length" | "char_length" | "octet_length" | "bit_length" | "size" => (0, i128::from(i32::MAX)),
        _ => return None,
    })
}

fn corners(a: (i128, i128), b: (i128, i128), f: impl Fn(i128, i128) -> i128) -> (i128, i128) {
    let all = [f(a.0, b.0), f(a.0, b.1), f(a.1, b.0), f(a.1, b.1)];
    (all.iter().copied().min().unwrap_or(0), all.iter().copied().max().unwrap_or(0))
}

fn whole_operation(name: &str, term: &Term, (a, b): (&Values, &Values)) -> Option<Image> {
    let (x, y) = (whole(a)?, whole(b)?);
    // The difference of two dates is in days, and a duration counts microseconds.
    if name == "subtract" && term.data == DataType::Duration && matches!(a.lo(), Some(Value::Date(_))) {
        const DAY: i128 = 86_400_000_000;
        return Some(from_whole((x.0 - y.1) * DAY, (x.1 - y.0) * DAY, &term.data));
    }
    let zero = b.contains(b.lo().and_then(|v| at_ordinal(&data_of(v), 0)).as_ref().unwrap_or(&Value::Null));
    Some(match name {
        "add" => from_whole(x.0 + y.0, x.1 + y.1, &term.data),
        "subtract" => from_whole(x.0 - y.1, x.1 - y.0, &term.data),
        "multiply" => {
            let (lo, hi) = corners(x, y, |p, q| p * q);
            from_whole(lo, hi, &term.data)
        }
        "div" => {
            // Around zero the quotient is largest for 1 and -1.
            let mut ends = vec![];
            for q in [y.0, y.1, -1, 1] {
                if q != 0 && (y.0..=y.1).contains(&q) {
                    ends.extend([x.0 / q, x.1 / q]);
                }
            }
            if x.0 <= 0 && x.1 >= 0 {
                ends.push(0);
            }
            let (Some(lo), Some(hi)) = (ends.iter().copied().min(), ends.iter().copied().max()) else {
                return Some((Values::None, true));
            };
            let (values, fails) = from_whole(lo, hi, &term.data);
            (values, fails || zero)
        }
        "mod" | "pmod" => {
            let most = y.0.abs().max(y.1.abs()) - 1;
            if most < 0 {
                return Some((Values::None, true));
            }
            if name == "pmod" && (y.0 < 0 || x.0 < 0) {
                if y.0 < 0 {
                    return None;
                }
                return Some((from_whole(0, most, &term.data).0, zero));
            }
            let lo = if x.0 < 0 { (-most).max(x.0) } else { 0 };
            let hi = if x.1 > 0 { most.min(x.1) } else { 0 };
            (from_whole(lo, hi, &term.data).0, zero)
        }
        _ => return None,
    })
}

fn data_of(value: &Value) -> DataType {
    match value {
        Value::Byte(_) => DataType::Byte,
        Value::Short(_) => DataType::Short,
        Value::Integer(_) => DataType::Integer,
        Value::Long(_) => DataType::Long,
        Value::Date(_) => DataType::Date,
        Value::Timestamp(_) => DataType::Timestamp,
        Value::TimestampNtz(_) => DataType::TimestampNtz,
        _ => DataType::Duration,
    }
}

/// A range of doubles: its numbers, and whether NaN is among them.
#[derive(Debug, Clone, Copy)]
struct Reals {
    lo: f64,
    hi: f64,
    nan: bool,
    /// Whether there is no number.
    none: bool,
}

fn real(value: &Value) -> Option<f64> {
    match value {
        Value::Float(v) => Some(f64::from(*v)),
        Value::Double(v) => Some(*v),
        _ => None,
    }
}

fn reals(values: &Values) -> Option<Reals> {
    let (lo, hi) = (real(values.lo()?)?, real(values.hi()?)?);
    let nan = hi.is_nan();
    if lo.is_nan() {
        return Some(Reals { lo: 0.0, hi: 0.0, nan, none: true });
    }
    let hi = match values {
        // Below NaN there is the next member, or infinity.
        Values::OneOf(members) if nan => members.iter().rev().filter_map(real).find(|v| !v.is_nan()).unwrap_or(lo),
        _ if nan => f64::INFINITY,
        _ => hi,
    };
    Some(Reals { lo, hi, nan, none: false })
}

fn real_point(data: &DataType, value: f64) -> Option<Value> {
    match data {
        // Two roundings, to double and to float, are as one for +, -, * and /.
        DataType::Float => Some(Value::Float(value as f32)),
        DataType::Double => Some(Value::Double(value)),
        _ => None,
    }
}

fn real_range(data: &DataType, lo: f64, hi: f64, nan: bool, none: bool) -> Values {
    let numbers = if none { Values::None } else { Values::between(real_point(data, lo), real_point(data, hi)) };
    let not = real_point(data, f64::NAN).filter(|_| nan);
    numbers.join(&Values::of(not.into_iter().collect()))
}

fn real_operation(name: &str, data: &DataType, (a, b): (&Values, &Values)) -> Option<Image> {
    let (x, y) = (reals(a)?, reals(b)?);
    let nan = x.nan || y.nan;
    if x.none || y.none {
        return Some((real_range(data, 0.0, 0.0, true, true), false));
    }
    let has_zero = |r: Reals| r.lo <= 0.0 && r.hi >= 0.0;
    let infinite = |r: Reals| r.lo == f64::NEG_INFINITY || r.hi == f64::INFINITY;
    let ends = |f: fn(f64, f64) -> f64| {
        let all = [f(x.lo, y.lo), f(x.lo, y.hi), f(x.hi, y.lo), f(x.hi, y.hi)];
        let strange = all.iter().any(|v| v.is_nan());
        let numbers: Vec<f64> = all.into_iter().filter(|v| !v.is_nan()).collect();
        (numbers, strange)
    };
    let (mut numbers, strange) = match name {
        "add" => {
            let opposite = x.hi == f64::INFINITY && y.lo == f64::NEG_INFINITY
                || x.lo == f64::NEG_INFINITY && y.hi == f64::INFINITY;
            let (numbers, _) = ends(|p, q| p + q);
            (numbers, opposite)
        }
        "subtract" => {
            let same = x.hi == f64::INFINITY && y.hi == f64::INFINITY
                || x.lo == f64::NEG_INFINITY && y.lo == f64::NEG_INFINITY;
            let (numbers, _) = ends(|p, q| p - q);
            (numbers, same)
        }
        "multiply" => {
            let undefined = has_zero(x) && infinite(y) || has_zero(y) && infinite(x);
            let (mut numbers, _) = ends(|p, q| p * q);
            if undefined {
                numbers.push(0.0);
            }
            (numbers, undefined)
        }
        "divide" if !has_zero(y) => {
            let (mut numbers, undefined) = ends(|p, q| p / q);
            if infinite(y) {
                numbers.push(0.0);
            }
            (numbers, undefined)
        }
        _ => return None,
    };
    if strange && matches!(name, "add" | "subtract") {
        // An end that is no number hides how far the others reach.
        numbers.extend([f64::NEG_INFINITY, f64::INFINITY]);
    }
    let lo = numbers.iter().copied().reduce(f64::min);
    let hi = numbers.iter().copied().reduce(f64::max);
    Some(match (lo, hi) {
        (Some(lo), Some(hi)) => (real_range(data, lo, hi, nan || strange, false), false),
        _ => (real_range(data, 0.0, 0.0, true, true), false),
    })
}

fn decimal_operation(
    function: FunctionRef,
    data: &DataType,
    (a, b): (&Values, &Values),
    types: &[Type],
) -> Option<Image> {
    let (a_ends, b_ends) = ([a.lo()?, a.hi()?], [b.lo()?, b.hi()?]);
    match function.name {
        "add" | "subtract" | "multiply" => {}
        "divide" if !b.contains(&Value::Decimal(0)) && same_sign(b_ends) => {}
        _ => return None,
    }
    let mut results = vec![];
    for x in a_ends {
        for y in b_ends {
            results.push(point(function, x, std::slice::from_ref(y), types, data)?);
        }
    }
    results.sort_by(Value::compare);
    Some((Values::between(results.first().cloned(), results.last().cloned()), false))
}

fn same_sign([lo, hi]: [&Value; 2]) -> bool {
    matches!((lo, hi), (Value::Decimal(x), Value::Decimal(y)) if *x > 0 || *y < 0)
}

fn absolute(a: &Values, data: &DataType) -> Option<Image> {
    if is_whole(data) {
        let (lo, hi) = whole(a)?;
        let least = if lo > 0 { lo } else { (-hi).max(0) };
        return Some(from_whole(least, lo.abs().max(hi.abs()), data));
    }
    let x = reals(a)?;
    let least = if x.lo > 0.0 { x.lo } else { (-x.hi).max(0.0) };
    Some((real_range(data, least, x.lo.abs().max(x.hi.abs()), x.nan, x.none), false))
}

/// Raised to `low`, then lowered to `high`: greater operands never give less.
fn clamped(x: &Values, low: &Values, high: &Values) -> Option<Image> {
    let one = |x: &Value, low: &Value, high: &Value| {
        let raised = if x.compare(low).is_lt() { low } else { x };
        if raised.compare(high).is_gt() { high.clone() } else { raised.clone() }
    };
    let lo = one(x.lo()?, low.lo()?, high.lo()?);
    let hi = one(x.hi()?, low.hi()?, high.hi()?);
    Some((Values::between(Some(lo), Some(hi)), false))
}

fn extreme(greatest: bool, args: &[&Set]) -> Option<Values> {
    let some: Vec<&&Set> = args.iter().filter(|a| a.values != Values::None).collect();
    let pick = |values: Vec<&Value>, greatest: bool| {
        values.into_iter().reduce(|a, b| if a.compare(b).is_lt() == greatest { b } else { a }).cloned()
    };
    let los = some.iter().map(|a| a.values.lo()).collect::<Option<Vec<_>>>();
    let his = some.iter().map(|a| a.values.hi()).collect::<Option<Vec<_>>>();
    // An operand that may be null may be passed over, so it bounds the result on one side only.
    let sure: Vec<&&&Set> = some.iter().filter(|a| !a.null).collect();
    let sure_ends = |f: fn(&Values) -> Option<&Value>| sure.iter().filter_map(|a| f(&a.values)).collect::<Vec<_>>();
    let (lo, hi) = if greatest {
        (pick(sure_ends(Values::lo), true).or_else(|| pick(los?, false)), pick(his?, true))
    } else {
        (pick(los?, false), pick(sure_ends(Values::hi), false).or_else(|| pick(his?, true)))
    };
    Some(Values::between(lo, hi))
}

/// What a conversion can yield, and whether it can fail (or give null, where failures do).
pub(crate) fn converted(values: &Values, from: &DataType, to: &DataType) -> Image {
    use DataType::*;
    if *values == Values::None {
        return (Values::None, false);
    }
    if let Values::OneOf(members) = values {
        let zeros = members.iter().filter_map(crate::prove::set::other_zero);
        let all: Vec<Value> = members.iter().cloned().chain(zeros).collect();
        let cast: Vec<Option<Value>> = all.iter().map(|v| cast_point(v, from, to)).collect();
        let fails = cast.iter().any(Option::is_none);
        return (Values::of(cast.into_iter().flatten().collect()), fails);
    }
    let ordered = |t: &DataType| t.is_numeric() || is_time(t);
    if castable(from, to) && ordered(from) && ordered(to) && *to != Boolean {
        let (image, fails) = monotone(values, from, to, &|v| cast_point(v, from, to));
        return (image, fails);
    }
    let fails = flowc_ir::cast::cast_can_fail(from, to);
    (Values::all(to), fails)
}
