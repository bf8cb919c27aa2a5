//! From operands to results: what a term can be, given what its operands can be.

use crate::prove::arithmetic;
use crate::prove::set::{Range, Set, Values, other_zero};
use crate::prove::solve::State;
use crate::prove::terms::{Shape, Term, TermId};
use flowc_ir::cast::cast_value;
use flowc_ir::eval::EvalContext;
use flowc_ir::functions::{Call, FunctionRef, Nulls, decimal};
use flowc_ir::{CastFailure, DataType, Type, Value};
use std::cmp::Ordering;

/// So many combinations of values are tried one by one.
const MOST_POINTS: usize = 64;

/// What a term can be, and whether evaluating it can fail, operands aside.
pub(crate) struct Outcome {
    pub set: Set,
    pub fails: bool,
}

impl Outcome {
    fn of(set: Set) -> Outcome {
        Outcome { set, fails: false }
    }
}

impl State<'_> {
    /// What this term can be by its operands.
    pub(crate) fn forward(&self, id: TermId) -> Outcome {
        let term = &self.terms[id];
        let set = |i: usize| &self.sets[term.args[i]];
        match &term.shape {
            Shape::Variable(_) | Shape::Opaque => Outcome { set: Set::any(&term.data), fails: !term.total },
            Shape::Literal(value) => Outcome::of(Set::just(value, &term.data)),
            Shape::And => Outcome::of(self.connected(&term.args, false)),
            Shape::Or => Outcome::of(self.connected(&term.args, true)),
            Shape::Not => Outcome::of(Set::booleans(set(0).can_be(false), set(0).can_be(true), set(0).null)),
            Shape::IsNull => Outcome::of(Set::booleans(set(0).null, set(0).values != Values::None, false)),
            Shape::If => {
                let condition = set(0);
                let mut result = Set::none();
                if condition.can_be(true) {
                    result = result.join(set(1));
                }
                if condition.null || condition.can_be(false) {
                    result = result.join(set(2));
                }
                Outcome::of(result)
            }
            Shape::Coalesce => {
                let mut result = Set::none();
                let mut reached = true;
                for arg in &term.args {
                    if reached {
                        result.values = result.values.join(&self.sets[*arg].values);
                    }
                    reached &= self.sets[*arg].null;
                }
                result.null = reached;
                Outcome::of(result)
            }
            Shape::InList(list) => Outcome::of(in_list(set(0), list)),
            Shape::Cast(on_failure) => self.cast(term, *on_failure),
            Shape::Try => Outcome::of(Set { null: true, values: set(0).values.clone() })
                .only_null_if(set(0).null || self.fails[term.args[0]]),
            Shape::Field(index) => {
                let nullable = match &self.terms[term.args[0]].data {
                    DataType::Struct(fields) => fields.get(*index).is_none_or(|f| f.ty.nullable),
                    _ => true,
                };
                Outcome::of(Set { null: nullable || set(0).null, values: Values::all(&term.data) })
            }
            Shape::Struct | Shape::Array => Outcome::of(Set { null: false, values: Values::All }),
            Shape::Call(function) => self.call(term, *function),
        }
    }

    /// `and` (`decisive` is false), `or` (true). An operand that is not reached need not have a value, so a decisive one is enough.
    fn connected(&self, args: &[TermId], decisive: bool) -> Set {
        let sets = || args.iter().map(|a| &self.sets[*a]);
        let decided = sets().any(|s| s.can_be(decisive));
        let neutral = sets().all(|s| s.can_be(!decisive));
        let null = sets().any(|s| s.null) && sets().all(|s| s.null || s.can_be(!decisive));
        if decisive { Set::booleans(decided, neutral, null) } else { Set::booleans(neutral, decided, null) }
    }

    fn call(&self, term: &Term, function: FunctionRef) -> Outcome {
        let args: Vec<&Set> = term.args.iter().map(|a| &self.sets[*a]).collect();
        if let Some(outcome) = self.points(term, function, &args) {
            return outcome;
        }
        let types = &term.types;
        let null = match function.nulls {
            Nulls::Propagate => args.iter().any(|a| a.null) || term.null_of_present,
            Nulls::Custom if args.iter().all(|a| !a.null) => term.null_of_present,
            // `greatest` and `least` pass over nulls.
            Nulls::Custom if matches!(function.name, "greatest" | "least") => args.iter().all(|a| a.null),
            Nulls::Custom => term.null_of_null,
        };
        let absent = |a: &&Set| a.values == Values::None;
        if function.nulls == Nulls::Propagate && args.iter().any(absent) {
            return Outcome::of(Set { null: args.iter().any(|a| a.null), values: Values::None });
        }
        let compared = |less: &str| self.compare(term, less);
        let (values, fails) = match function.name {
            "equal" | "less" | "less_equal" => (compared(function.name).values, false),
            "equal_null" if term.args[0] == term.args[1] => (Set::yes().values, false),
            "equal_null" => {
                let present = compared("equal");
                let (a, b) = (args[0], args[1]);
                let some = a.values != Values::None && b.values != Values::None;
                let yes = a.null && b.null || some && present.can_be(true);
                let no = some && present.can_be(false)
                    || a.null && b.values != Values::None
                    || b.null && a.values != Values::None;
                (Set::booleans(yes, no, false).values, false)
            }
            _ => arithmetic::apply(term, function, &args, types),
        };
        Outcome { set: Set { null, values }, fails: fails && function.can_fail(types) }
    }

    /// The results for each combination of the operands' values, where these are few. Nulls are tried as well.
    fn points(&self, term: &Term, function: FunctionRef, args: &[&Set]) -> Option<Outcome> {
        if args.is_empty() || term.of_epoch {
            return None;
        }
        let mut choices: Vec<Vec<Value>> = vec![];
        let mut combinations = 1usize;
        for set in args {
            let mut values = match &set.values {
                Values::OneOf(members) => members.clone(),
                Values::None => vec![],
                _ => return None,
            };
            let zeros: Vec<Value> = values.iter().filter_map(other_zero).collect();
            values.extend(zeros);
            if set.null {
                values.push(Value::Null);
            }
            combinations = combinations.checked_mul(values.len())?;
            choices.push(values);
        }
        if combinations > MOST_POINTS || !term.is_followed() {
            return None;
        }
        let result = Type::nullable(term.data.clone());
        let call = Call { args: &term.types, result: &result, context: &EvalContext::default() };
        let mut found = vec![];
        let mut fails = false;
        for number in 0..combinations {
            let mut rest = number;
            let mut point = vec![];
            for values in &choices {
                point.push(values[rest % values.len()].clone());
                rest /= values.len();
            }
            match function.call(&call, &point) {
                Ok(value) => found.push(value),
                Err(_) => fails = true,
            }
        }
        let null = found.iter().any(Value::is_null);
        Some(Outcome { set: Set { null, values: Values::of(found) }, fails })
    }

    fn cast(&self, term: &Term, on_failure: CastFailure) -> Outcome {
        let arg = &self.sets[term.args[0]];
        let (from, to) = (&self.terms[term.args[0]].data, &term.data);
        let (values, fails) = arithmetic::converted(&arg.values, from, to);
        let null = arg.null || fails && on_failure == CastFailure::Null;
        Outcome { set: Set { null, values }, fails: fails && on_failure != CastFailure::Null }
    }

    /// A comparison: by what the operands can be, and by the order that is known of terms.
    fn compare(&self, term: &Term, name: &str) -> Set {
        let (a, b) = (term.args[0], term.args[1]);
        let (yes, no) = match (self.order(a, b), name) {
            (Some(Ordering::Equal), _) if a == b => (name != "less", name == "less"),
            _ => compare_sets(name, self, a, b),
        };
        if !yes || !no {
            return Set::booleans(yes, no, false);
        }
        // What is known of the order of the two terms, whatever their values.
        let (below, above) = (self.path(a, b), self.path(b, a));
        let (yes, no) = match name {
            "less" if below == Some(true) => (true, false),
            "less" if above.is_some() => (false, true),
            "less_equal" if below.is_some() => (true, false),
            "less_equal" if above == Some(true) => (false, true),
            "equal" if below == Some(true) || above == Some(true) => (false, true),
            "equal" if below.is_some() && above.is_some() => (true, false),
            _ => (true, true),
        };
        Set::booleans(yes, no, false)
    }

    fn order(&self, a: TermId, b: TermId) -> Option<Ordering> {
        (a == b).then_some(Ordering::Equal)
    }
}

impl Outcome {
    fn only_null_if(mut self, null: bool) -> Outcome {
        self.set.null = null;
        self
    }
}

/// The values of two terms as values that can be compared: decimals of different scales are brought to one.
pub(crate) fn comparable(value: &Value, from: &DataType, other: &DataType) -> Option<Value> {
    match (value, from, other) {
        (Value::Decimal(v), DataType::Decimal { scale, .. }, DataType::Decimal { scale: there, .. }) => {
            let scale_of_both = (*scale).max(*there);
            decimal::rescale(*v, *scale, (38, scale_of_both)).map(Value::Decimal)
        }
        _ => Some(value.clone()),
    }
}

fn compare_sets(name: &str, state: &State<'_>, a: TermId, b: TermId) -> (bool, bool) {
    let (types, sets) = ((&state.terms[a].data, &state.terms[b].data), (&state.sets[a].values, &state.sets[b].values));
    let scale = |data: &DataType| match data {
        DataType::Decimal { scale, .. } => Some(*scale),
        _ => None,
    };
    let scales_differ = scale(types.0) != scale(types.1);
    let bound = |v: Option<&Value>, from: &DataType, to: &DataType| v.and_then(|v| comparable(v, from, to));
    let (a_lo, a_hi) = (bound(sets.0.lo(), types.0, types.1), bound(sets.0.hi(), types.0, types.1));
    let (b_lo, b_hi) = (bound(sets.1.lo(), types.1, types.0), bound(sets.1.hi(), types.1, types.0));
    // Whether some x of one set and y of the other have x < y, or x <= y; where a bound is not known, they may.
    let below = |lo: &Option<Value>, hi: &Option<Value>, or_equal: bool, both: bool| match (lo, hi) {
        (Some(x), Some(y)) => match x.compare(y) {
            Ordering::Less => true,
            Ordering::Equal => or_equal && both,
            Ordering::Greater => false,
        },
        _ => true,
    };
    let shared =
        |v: &Option<Value>| scales_differ || v.as_ref().is_none_or(|v| sets.0.contains(v) && sets.1.contains(v));
    let (a_below, b_below) = (shared(&a_lo), shared(&b_lo));
    match name {
        "less" => (below(&a_lo, &b_hi, false, true), below(&b_lo, &a_hi, true, b_below)),
        "less_equal" => (below(&a_lo, &b_hi, true, a_below), below(&b_lo, &a_hi, false, true)),
        _ => {
            let overlap = below(&a_lo, &b_hi, true, true) && below(&b_lo, &a_hi, true, true);
            let yes = overlap && (scales_differ || sets.0.meet(sets.1) != Values::None);
            let same = !scales_differ && matches!((sets.0.single(), sets.1.single()), (Some(x), Some(y)) if x == y);
            (yes, !same)
        }
    }
}

fn in_list(set: &Set, list: &[Value]) -> Set {
    let members: Vec<Value> = list.iter().filter(|v| !v.is_null()).cloned().collect();
    let has_null = members.len() < list.len();
    let found = set.values != Values::None && members.iter().any(|v| set.values.contains(v));
    let missed = match &set.values {
        Values::None => false,
        Values::OneOf(values) => values.iter().any(|v| !members.contains(v)),
        _ => true,
    };
    Set::booleans(found, missed && !has_null, set.null || missed && has_null)
}

/// The values that a conversion or a function of one operand has for a range, where greater operands give no smaller results.
pub(crate) fn monotone(
    values: &Values,
    data: &DataType,
    result: &DataType,
    apply: &dyn Fn(&Value) -> Option<Value>,
) -> (Values, bool) {
    let nan = match data {
        DataType::Double => Some(Value::Double(f64::NAN)),
        DataType::Float => Some(Value::Float(f32::NAN)),
        _ => None,
    };
    let of_nan = nan.filter(|nan| values.contains(nan));
    let numbers = match &of_nan {
        Some(nan) => values.without(nan),
        None => values.clone(),
    };
    let (mut image, mut fails) = match (numbers.lo(), numbers.hi()) {
        _ if numbers == Values::None => (Values::None, false),
        (Some(lo), Some(hi)) => {
            let (lo, hi) = (apply(lo), apply(hi));
            let fails = lo.is_none() || hi.is_none();
            let all = Values::all(result);
            let range = Range {
                lo: lo.filter(|v| !v.is_null()).or_else(|| all.lo().cloned()),
                hi: hi.filter(|v| !v.is_null()).or_else(|| all.hi().cloned()),
                except: vec![],
            };
            (Values::between(range.lo, range.hi), fails)
        }
        _ => (Values::all(result), true),
    };
    if let Some(nan) = of_nan {
        match apply(&nan) {
            Some(value) => image = image.join(&Values::of(vec![value])),
            None => fails = true,
        }
    }
    (image, fails)
}

/// A conversion of one value.
pub(crate) fn cast_point(value: &Value, from: &DataType, to: &DataType) -> Option<Value> {
    cast_value(value, from, to).ok()
}
