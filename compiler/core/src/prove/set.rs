//! Sets of values, as far as they are followed: ranges, small finite sets, and whether null is among them. A set never leaves out a value that is possible.
//!
//! The order is the language's ([`Value::compare`]): NaN is the greatest number, so a range of doubles that ends below NaN has none; 0.0 and -0.0 are one
//! value here, so whoever computes with a zero must try both.

use flowc_ir::functions::decimal::power_of_ten;
use flowc_ir::{DataType, Value};
use std::cmp::Ordering;

/// Finite sets grow no larger than this; then they become ranges.
const MOST_MEMBERS: usize = 24;

/// Values that are known to be left out of a range, at most.
const MOST_EXCEPTIONS: usize = 16;

/// What a value can be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Set {
    /// Whether it can be null.
    pub null: bool,
    /// What else it can be.
    pub values: Values,
}

/// What a value that is not null can be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Values {
    /// Nothing.
    None,
    /// Anything of its type; for types whose values are not followed.
    All,
    /// One of these: in order, each once.
    OneOf(Vec<Value>),
    /// Anything from `lo` to `hi`.
    Range(Range),
}

/// The values from one to another.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Range {
    /// The least; none where the type has no least one that is worth naming.
    pub lo: Option<Value>,
    /// The greatest; none where the type has none.
    pub hi: Option<Value>,
    /// Values in between that are left out.
    pub except: Vec<Value>,
}

/// The least and the greatest value of a type.
pub(crate) fn bounds(data: &DataType) -> (Option<Value>, Option<Value>) {
    use Value::*;
    let (lo, hi) = match data {
        DataType::Byte => (Byte(i8::MIN), Byte(i8::MAX)),
        DataType::Short => (Short(i16::MIN), Short(i16::MAX)),
        DataType::Integer => (Integer(i32::MIN), Integer(i32::MAX)),
        DataType::Long => (Long(i64::MIN), Long(i64::MAX)),
        DataType::Date => (Date(i32::MIN), Date(i32::MAX)),
        DataType::Timestamp => (Timestamp(i64::MIN), Timestamp(i64::MAX)),
        DataType::TimestampNtz => (TimestampNtz(i64::MIN), TimestampNtz(i64::MAX)),
        DataType::Duration => (Duration(i64::MIN), Duration(i64::MAX)),
        DataType::Float => (Float(f32::NEG_INFINITY), Float(f32::NAN)),
        DataType::Double => (Double(f64::NEG_INFINITY), Double(f64::NAN)),
        DataType::Decimal { precision, .. } => {
            let largest = power_of_ten(*precision) - 1;
            (Decimal(-largest), Decimal(largest))
        }
        DataType::String => return (Some(String(std::string::String::new())), None),
        DataType::Binary => return (Some(Binary(vec![])), None),
        _ => return (None, None),
    };
    (Some(lo), Some(hi))
}

/// The position of a value in the order of its type, for types whose values can be counted.
pub(crate) fn ordinal(value: &Value) -> Option<i128> {
    Some(match value {
        Value::Boolean(b) => i128::from(*b),
        Value::Byte(v) => i128::from(*v),
        Value::Short(v) => i128::from(*v),
        Value::Integer(v) | Value::Date(v) => i128::from(*v),
        Value::Long(v) | Value::Timestamp(v) | Value::TimestampNtz(v) | Value::Duration(v) => i128::from(*v),
        Value::Decimal(v) => *v,
        Value::Float(v) if v.is_nan() => i128::from(f32::INFINITY.to_bits()) + 1,
        Value::Float(v) => {
            let size = i128::from(v.abs().to_bits());
            if v.is_sign_negative() { -size } else { size }
        }
        Value::Double(v) if v.is_nan() => i128::from(f64::INFINITY.to_bits()) + 1,
        Value::Double(v) => {
            let size = i128::from(v.abs().to_bits());
            if v.is_sign_negative() { -size } else { size }
        }
        _ => return None,
    })
}

/// The value at this position; none if the type has none there.
pub(crate) fn at_ordinal(data: &DataType, at: i128) -> Option<Value> {
    Some(match data {
        DataType::Boolean => Value::Boolean(match at {
            0 => false,
            1 => true,
            _ => return None,
        }),
        DataType::Byte => Value::Byte(i8::try_from(at).ok()?),
        DataType::Short => Value::Short(i16::try_from(at).ok()?),
        DataType::Integer => Value::Integer(i32::try_from(at).ok()?),
        DataType::Long => Value::Long(i64::try_from(at).ok()?),
        DataType::Date => Value::Date(i32::try_from(at).ok()?),
        DataType::Timestamp => Value::Timestamp(i64::try_from(at).ok()?),
        DataType::TimestampNtz => Value::TimestampNtz(i64::try_from(at).ok()?),
        DataType::Duration => Value::Duration(i64::try_from(at).ok()?),
        DataType::Decimal { precision, .. } => {
            let fits = at.unsigned_abs() < power_of_ten(*precision).unsigned_abs();
            return fits.then_some(Value::Decimal(at));
        }
        DataType::Float => {
            let size = u32::try_from(at.unsigned_abs()).ok()?;
            match size.cmp(&f32::INFINITY.to_bits()) {
                Ordering::Greater if at == i128::from(f32::INFINITY.to_bits()) + 1 => Value::Float(f32::NAN),
                Ordering::Greater => return None,
                _ => Value::Float(if at < 0 { -f32::from_bits(size) } else { f32::from_bits(size) }),
            }
        }
        DataType::Double => {
            let size = u64::try_from(at.unsigned_abs()).ok()?;
            match size.cmp(&f64::INFINITY.to_bits()) {
                Ordering::Greater if at == i128::from(f64::INFINITY.to_bits()) + 1 => Value::Double(f64::NAN),
                Ordering::Greater => return None,
                _ => Value::Double(if at < 0 { -f64::from_bits(size) } else { f64::from_bits(size) }),
            }
        }
        _ => return None,
    })
}

/// Whether a value is a zero that has another zero beside it.
pub(crate) fn other_zero(value: &Value) -> Option<Value> {
    match value {
        Value::Float(v) if *v == 0.0 => Some(Value::Float(-*v)),
        Value::Double(v) if *v == 0.0 => Some(Value::Double(-*v)),
        _ => None,
    }
}

/// Whether the values of a type are followed.
pub(crate) fn is_followed(data: &DataType) -> bool {
    !matches!(data, DataType::Array(_) | DataType::Map(..) | DataType::Struct(_) | DataType::Null)
}

impl Set {
    /// Anything of this type, null too.
    pub fn any(data: &DataType) -> Set {
        Set { null: true, values: Values::all(data) }
    }

    /// Nothing.
    pub fn none() -> Set {
        Set { null: false, values: Values::None }
    }

    /// Just this value.
    pub fn just(value: &Value, data: &DataType) -> Set {
        match value {
            Value::Null => Set { null: true, values: Values::None },
            other if is_followed(data) => Set { null: false, values: Values::OneOf(vec![other.clone()]) },
            _ => Set { null: false, values: Values::All },
        }
    }

    /// `true`
    pub fn yes() -> Set {
        Set::booleans(true, false, false)
    }

    /// These outcomes of a condition.
    pub fn booleans(yes: bool, no: bool, null: bool) -> Set {
        let members: Vec<Value> =
            [(no, false), (yes, true)].iter().filter(|(can, _)| *can).map(|(_, b)| Value::Boolean(*b)).collect();
        Set { null, values: if members.is_empty() { Values::None } else { Values::OneOf(members) } }
    }

    /// Whether nothing is possible.
    pub fn is_none(&self) -> bool {
        !self.null && self.values == Values::None
    }

    /// Whether a condition can be true.
    pub fn can_be(&self, outcome: bool) -> bool {
        match &self.values {
            Values::None => false,
            Values::OneOf(members) => members.contains(&Value::Boolean(outcome)),
            _ => true,
        }
    }

    /// Whether a condition is surely this.
    pub fn is_only(&self, outcome: bool) -> bool {
        !self.null && self.can_be(outcome) && !self.can_be(!outcome)
    }

    /// What is in both.
    pub fn meet(&self, other: &Set) -> Set {
        Set { null: self.null && other.null, values: self.values.meet(&other.values) }
    }

    /// What is in either.
    pub fn join(&self, other: &Set) -> Set {
        Set { null: self.null || other.null, values: self.values.join(&other.values) }
    }

    /// Without null.
    pub fn present(&self) -> Set {
        Set { null: false, values: self.values.clone() }
    }
}

impl Values {
    /// Anything of this type.
    pub fn all(data: &DataType) -> Values {
        match data {
            DataType::Null => Values::None,
            DataType::Boolean => Values::OneOf(vec![Value::Boolean(false), Value::Boolean(true)]),
            _ if !is_followed(data) => Values::All,
            _ => {
                let (lo, hi) = bounds(data);
                Values::Range(Range { lo, hi, except: vec![] })
            }
        }
    }

    /// These values.
    pub fn of(mut members: Vec<Value>) -> Values {
        members.retain(|v| !v.is_null());
        members.sort_by(Value::compare);
        members.dedup();
        match members.as_slice() {
            [] => Values::None,
            [first, .., last] if members.len() > MOST_MEMBERS => {
                Values::Range(Range { lo: Some(first.clone()), hi: Some(last.clone()), except: vec![] })
            }
            _ => Values::OneOf(members),
        }
    }

    /// The values from one to another.
    pub fn between(lo: Option<Value>, hi: Option<Value>) -> Values {
        Range { lo, hi, except: vec![] }.simplified()
    }

    /// The least value.
    pub fn lo(&self) -> Option<&Value> {
        match self {
            Values::OneOf(members) => members.first(),
            Values::Range(range) => range.lo.as_ref(),
            _ => None,
        }
    }

    /// The greatest value.
    pub fn hi(&self) -> Option<&Value> {
        match self {
            Values::OneOf(members) => members.last(),
            Values::Range(range) => range.hi.as_ref(),
            _ => None,
        }
    }

    /// The only value.
    pub fn single(&self) -> Option<&Value> {
        match self {
            Values::OneOf(members) if members.len() == 1 => members.first(),
            _ => None,
        }
    }

    /// Whether this value is possible.
    pub fn contains(&self, value: &Value) -> bool {
        match self {
            Values::None => false,
            Values::All => true,
            Values::OneOf(members) => members.contains(value),
            Values::Range(range) => range.contains(value),
        }
    }

    /// What is in both.
    pub fn meet(&self, other: &Values) -> Values {
        match (self, other) {
            (Values::None, _) | (_, Values::None) => Values::None,
            (Values::All, x) | (x, Values::All) => x.clone(),
            (Values::OneOf(members), x) | (x, Values::OneOf(members)) => {
                Values::of(members.iter().filter(|v| x.contains(v)).cloned().collect())
            }
            (Values::Range(a), Values::Range(b)) => {
                let greater = |x: &Option<Value>, y: &Option<Value>| match (x, y) {
                    (Some(x), Some(y)) => Some(if x.compare(y).is_lt() { y.clone() } else { x.clone() }),
                    (x, y) => x.clone().or_else(|| y.clone()),
                };
                let less = |x: &Option<Value>, y: &Option<Value>| match (x, y) {
                    (Some(x), Some(y)) => Some(if x.compare(y).is_gt() { y.clone() } else { x.clone() }),
                    (x, y) => x.clone().or_else(|| y.clone()),
                };
                let except = a.except.iter().chain(&b.except).cloned().collect();
                Range { lo: greater(&a.lo, &b.lo), hi: less(&a.hi, &b.hi), except }.simplified()
            }
        }
    }

    /// What is in either.
    pub fn join(&self, other: &Values) -> Values {
        match (self, other) {
            (Values::None, x) | (x, Values::None) => x.clone(),
            (Values::All, _) | (_, Values::All) => Values::All,
            (Values::OneOf(a), Values::OneOf(b)) => Values::of(a.iter().chain(b).cloned().collect()),
            (a, b) => {
                let lo = match (a.lo(), b.lo()) {
                    (Some(x), Some(y)) => Some(if x.compare(y).is_gt() { y } else { x }),
                    _ => None,
                };
                let hi = match (a.hi(), b.hi()) {
                    (Some(x), Some(y)) => Some(if x.compare(y).is_lt() { y } else { x }),
                    _ => None,
                };
                let except = [a, b].into_iter().flat_map(|v| match v {
                    Values::Range(range) => range.except.as_slice(),
                    _ => &[],
                });
                let except = except.filter(|v| !a.contains(v) && !b.contains(v)).cloned().collect();
                Range { lo: lo.cloned(), hi: hi.cloned(), except }.simplified()
            }
        }
    }

    /// Without this value.
    pub fn without(&self, value: &Value) -> Values {
        match self {
            Values::OneOf(members) => Values::of(members.iter().filter(|v| *v != value).cloned().collect()),
            Values::Range(range) => {
                let mut range = range.clone();
                range.except.push(value.clone());
                range.simplified()
            }
            other => other.clone(),
        }
    }
}

impl Range {
    fn contains(&self, value: &Value) -> bool {
        self.lo.as_ref().is_none_or(|lo| value.compare(lo).is_ge())
            && self.hi.as_ref().is_none_or(|hi| value.compare(hi).is_le())
            && !self.except.contains(value)
    }

    /// The same with bounds that are values of it, as far as they can be counted.
    fn simplified(mut self) -> Values {
        let inside = Range { lo: self.lo.clone(), hi: self.hi.clone(), except: vec![] };
        self.except.retain(|v| inside.contains(v));
        self.except.sort_by(Value::compare);
        self.except.dedup();
        while let Some(lo) = self.lo.as_ref().filter(|lo| self.except.contains(lo)) {
            let Some(next) = step(lo, 1) else { break };
            self.except.remove(0);
            self.lo = Some(next);
        }
        while let Some(hi) = self.hi.as_ref().filter(|hi| self.except.contains(hi)) {
            let Some(next) = step(hi, -1) else { break };
            self.except.pop();
            self.hi = Some(next);
        }
        // An exception that is forgotten makes the set larger, never smaller. Those at the ends say the most.
        while self.except.len() > MOST_EXCEPTIONS {
            self.except.remove(MOST_EXCEPTIONS / 2);
        }
        match (&self.lo, &self.hi) {
            (Some(lo), Some(hi)) => match lo.compare(hi) {
                Ordering::Greater => Values::None,
                Ordering::Equal if self.except.contains(lo) => Values::None,
                Ordering::Equal => Values::OneOf(vec![lo.clone()]),
                Ordering::Less => Values::Range(self),
            },
            _ => Values::Range(self),
        }
    }
}

/// The next value up or down, in types whose values can be counted; beyond the last one there is a value of no row, which makes the range empty.
fn step(value: &Value, by: i128) -> Option<Value> {
    let data = match value {
        Value::Byte(_) => DataType::Byte,
        Value::Short(_) => DataType::Short,
        Value::Integer(_) => DataType::Integer,
        Value::Long(_) => DataType::Long,
        Value::Date(_) => DataType::Date,
        Value::Timestamp(_) => DataType::Timestamp,
        Value::TimestampNtz(_) => DataType::TimestampNtz,
        Value::Duration(_) => DataType::Duration,
        Value::Float(_) => DataType::Float,
        Value::Double(_) => DataType::Double,
        Value::Decimal(_) => DataType::Decimal { precision: 38, scale: 0 },
        _ => return None,
    };
    at_ordinal(&data, ordinal(value)? + by)
}

/// Everything below a value, or up to it.
pub(crate) fn up_to(hi: &Value, strict: bool, data: &DataType) -> Values {
    let all = Values::between(bounds(data).0, Some(hi.clone()));
    if strict { all.without(hi) } else { all }
}

/// Everything above a value, or from it on.
pub(crate) fn from(lo: &Value, strict: bool, data: &DataType) -> Values {
    let all = Values::between(Some(lo.clone()), bounds(data).1);
    if strict { all.without(lo) } else { all }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinals_count_in_the_order_of_values() {
        let doubles = [f64::NEG_INFINITY, -1.0, -5e-324, 0.0, 5e-324, 1.0, f64::MAX, f64::INFINITY, f64::NAN];
        let at: Vec<i128> = doubles.iter().map(|d| ordinal(&Value::Double(*d)).expect("a double")).collect();
        assert!(at.is_sorted_by(|a, b| a < b), "{at:?}");
        for (double, at) in doubles.iter().zip(at) {
            assert_eq!(at_ordinal(&DataType::Double, at), Some(Value::Double(*double)));
        }
        assert_eq!(ordinal(&Value::Double(-0.0)), Some(0));
        assert_eq!(at_ordinal(&DataType::Byte, 128), None);
    }

    #[test]
    fn strict_bounds_of_doubles_leave_out_what_they_name() {
        let below = up_to(&Value::Double(999.0), true, &DataType::Double);
        assert!(!below.contains(&Value::Double(999.0)) && !below.contains(&Value::Double(f64::NAN)));
        assert!(below.contains(&Value::Double(999.0f64.next_down())));
        assert!(from(&Value::Double(999.0), true, &DataType::Double).contains(&Value::Double(f64::NAN)));
        let positive = from(&Value::Double(0.0), true, &DataType::Double);
        assert!(!positive.contains(&Value::Double(-0.0)) && positive.contains(&Value::Double(5e-324)));
        assert_eq!(from(&Value::Integer(i32::MAX), true, &DataType::Integer), Values::None);
        assert_eq!(from(&Value::Double(f64::NAN), true, &DataType::Double), Values::None);
    }

    #[test]
    fn strings_keep_what_is_left_out() {
        let text = |s: &str| Value::String(s.into());
        let named = Values::all(&DataType::String).without(&text(""));
        assert!(!named.contains(&text("")) && named.contains(&text("a")));
        let below = up_to(&text("b"), true, &DataType::String);
        assert!(below.contains(&text("a")) && !below.contains(&text("b")));
        let other = Values::OneOf(vec![text("b")]);
        assert_eq!(below.meet(&other), Values::None);
        assert!(below.join(&other).contains(&text("b")));
    }
}
