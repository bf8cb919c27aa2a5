//! From results to operands: what the operands of a term can be, given what it is. Only for terms that every row evaluates.

use crate::prove::arithmetic::{from_whole, is_monotone, is_whole, point, whole};
use crate::prove::forward::{cast_point, comparable};
use crate::prove::set::{Set, Values, at_ordinal, from, ordinal, up_to};
use crate::prove::solve::State;
use crate::prove::terms::{Shape, TermId};
use flowc_ir::functions::Nulls;
use flowc_ir::{CastFailure, DataType, Value};

impl State<'_> {
    fn narrow_values(&mut self, id: TermId, values: &Values) {
        self.sets[id].values = self.sets[id].values.meet(values);
    }

    fn narrow_present(&mut self, id: TermId) {
        self.sets[id].null = false;
    }

    /// Makes the sets of the operands smaller; whether it did.
    pub(crate) fn backward(&mut self, id: TermId) -> bool {
        let terms = self.terms;
        let before: Vec<Set> = terms[id].args.iter().map(|arg| self.sets[*arg].clone()).collect();
        self.inferred(id);
        terms[id].args.iter().zip(&before).any(|(arg, before)| self.sets[*arg] != *before)
    }

    fn inferred(&mut self, id: TermId) {
        let terms = self.terms;
        let term = &terms[id];
        let own = self.sets[id].clone();
        match &term.shape {
            Shape::And => self.settled(id, &own, false),
            Shape::Or => self.settled(id, &own, true),
            Shape::Not => {
                let inner = Set::booleans(own.can_be(false), own.can_be(true), own.null);
                self.narrow(term.args[0], &inner);
            }
            Shape::IsNull if own.is_only(true) => {
                self.narrow(term.args[0], &Set { null: true, values: Values::None });
            }
            Shape::IsNull if own.is_only(false) => self.narrow_present(term.args[0]),
            Shape::If => {
                let condition = self.sets[term.args[0]].clone();
                let possible = |state: &Self, i: usize| {
                    let both = state.sets[term.args[i]].meet(&own);
                    !both.is_none() || !state.is_sure(term.args[i])
                };
                if condition.is_only(true) {
                    self.narrow(term.args[1], &own);
                } else if !condition.can_be(true) {
                    self.narrow(term.args[2], &own);
                } else if !possible(self, 1) {
                    self.narrow(term.args[0], &Set::booleans(false, true, true));
                } else if !possible(self, 2) {
                    self.narrow(term.args[0], &Set::yes());
                }
            }
            Shape::Coalesce => self.coalesced(id, &own),
            Shape::InList(list) if !own.null && !own.can_be(false) => {
                let members = Values::of(list.iter().filter(|v| !v.is_null()).cloned().collect());
                self.narrow(term.args[0], &Set { null: false, values: members });
            }
            Shape::InList(list) if !own.can_be(true) => {
                let mut values = self.sets[term.args[0]].values.clone();
                for member in list.iter().filter(|v| !v.is_null()) {
                    values = values.without(member);
                }
                let null = own.null;
                self.narrow(term.args[0], &Set { null, values });
            }
            Shape::Cast(on_failure) => {
                if !own.null {
                    self.narrow_present(term.args[0]);
                }
                let (from, to) = (&terms[term.args[0]].data, &term.data);
                let ordered = |t: &DataType| t.is_numeric() || is_whole(t);
                if ordered(from) && ordered(to) && *on_failure == CastFailure::Never {
                    self.invert(term.args[0], &own.values, true, &|v| cast_point(v, from, to));
                }
            }
            Shape::Field(_) if !own.null => self.narrow_present(term.args[0]),
            Shape::Call(_) => self.call_backward(id, &own),
            _ => {}
        }
    }

    fn settled(&mut self, id: TermId, own: &Set, decisive: bool) {
        let args = self.terms[id].args.clone();
        if !own.can_be(decisive) {
            // Every operand was reached, and none settled it.
            let each = Set { null: own.null, ..Set::booleans(!decisive, decisive, own.null) };
            let each = Set { values: Values::OneOf(vec![Value::Boolean(!decisive)]), ..each };
            args.iter().for_each(|arg| {
                self.narrow(*arg, &each);
            });
        } else if own.is_only(decisive) {
            let able: Vec<TermId> = args.iter().copied().filter(|a| self.sets[*a].can_be(decisive)).collect();
            if let [one] = able.as_slice() {
                let all = if decisive { Set::booleans(true, false, false) } else { Set::booleans(false, true, false) };
                self.narrow(*one, &all);
            }
        }
    }

    fn all_null(&mut self, ids: &[TermId]) {
        for id in ids {
            self.narrow(*id, &Set { null: true, values: Values::None });
        }
    }

    /// The first that is not null: if only one operand can be what the result is, it is that one.
    fn coalesced(&mut self, id: TermId, own: &Set) {
        let args = self.terms[id].args.clone();
        if own.null && own.values == Values::None {
            self.all_null(&args);
            return;
        }
        if own.null {
            return;
        }
        let able: Vec<usize> =
            (0..args.len()).filter(|i| self.sets[args[*i]].values.meet(&own.values) != Values::None).collect();
        if let [one] = able.as_slice() {
            self.all_null(&args[..*one]);
            self.narrow(args[*one], &own.present());
        }
    }

    fn call_backward(&mut self, id: TermId, own: &Set) {
        let terms = self.terms;
        let term = &terms[id];
        let Shape::Call(function) = &term.shape else { return };
        if !own.null && function.nulls == Nulls::Propagate {
            term.args.iter().for_each(|arg| self.narrow_present(*arg));
        }
        if own.values == Values::None && function.nulls == Nulls::Propagate && !term.null_of_present {
            let able: Vec<TermId> = term.args.iter().copied().filter(|a| self.sets[*a].null).collect();
            if let [one] = able.as_slice() {
                self.narrow(*one, &Set { null: true, values: Values::None });
            }
        }
        let data: Vec<&DataType> = term.args.iter().map(|a| &terms[*a].data).collect();
        match (function.name, term.args.as_slice()) {
            ("less" | "less_equal" | "equal", [a, b]) => self.compared(function.name, (*a, *b), own),
            ("equal_null", [a, b]) if own.is_only(true) && data[0] == data[1] => {
                let both = self.sets[*a].meet(&self.sets[*b]);
                self.narrow(*a, &both);
                self.narrow(*b, &both);
            }
            ("isnan", [a]) if own.is_only(true) => {
                self.narrow(*a, &Set { null: false, values: Values::of(vec![Value::Double(f64::NAN)]) });
            }
            ("isnan", [a]) if own.is_only(false) => {
                let values = self.sets[*a].values.without(&Value::Double(f64::NAN));
                self.narrow_values(*a, &values);
            }
            // It did not fail.
            ("div" | "mod" | "pmod" | "divide", [_, b]) if !own.null && !data[1].is_floating() => {
                if let Some(zero) = at_ordinal(data[1], 0) {
                    let values = self.sets[*b].values.without(&zero);
                    self.narrow_values(*b, &values);
                }
            }
            ("add" | "subtract", [a, b]) if is_whole(data[0]) && is_whole(data[1]) && *data[0] != DataType::Date => {
                self.whole_backward(function.name, (*a, *b), own);
            }
            _ => {}
        }
        if own.null {
            return;
        }
        let types = &term.types;
        for (at, rising) in self.directions(id) {
            let others: Vec<Value> = (0..term.args.len())
                .filter(|i| *i != at)
                .filter_map(|i| self.sets[term.args[i]].values.single().cloned())
                .collect();
            let apply = |v: &Value| match (at, others.as_slice()) {
                (0, rest) => point(*function, v, rest, types, &term.data),
                (_, [first]) => point(*function, first, std::slice::from_ref(v), types, &term.data),
                _ => None,
            };
            self.invert(term.args[at], &own.values, rising, &apply);
        }
    }

    /// The operands in which a call only rises, or only falls, while the others are what they surely are.
    fn directions(&self, id: TermId) -> Vec<(usize, bool)> {
        let term = &self.terms[id];
        let Some(name) = term.function() else { return vec![] };
        let single = |i: usize| {
            let set = &self.sets[term.args[i]];
            set.values.single().filter(|_| !set.null).and_then(finite)
        };
        let mut found = vec![];
        match (name, term.args.len()) {
            ("add", 2) => {
                found.extend(single(1).map(|_| (0, true)));
                found.extend(single(0).map(|_| (1, true)));
            }
            ("subtract", 2) => {
                found.extend(single(1).map(|_| (0, true)));
                found.extend(single(0).map(|_| (1, false)));
            }
            ("multiply", 2) => {
                found.extend(single(1).filter(|s| *s != 0.0).map(|s| (0, s > 0.0)));
                found.extend(single(0).filter(|s| *s != 0.0).map(|s| (1, s > 0.0)));
            }
            ("divide", 2) => found.extend(single(1).filter(|s| *s != 0.0).map(|s| (0, s > 0.0))),
            ("negate", 1) => found.push((0, false)),
            ("clamp", 3) if single(1).is_some() && single(2).is_some() => found.push((0, true)),
            (_, n)
                if n > 0
                    && is_monotone(name, &self.terms[term.args[0]].data)
                    && (1..n).all(|i| single(i).is_some()) =>
            {
                found.push((0, true));
            }
            _ => {}
        }
        found
    }

    /// Makes an operand's range smaller where a function of it alone, that only rises or only falls, would leave the result's range.
    fn invert(&mut self, arg: TermId, target: &Values, rising: bool, apply: &dyn Fn(&Value) -> Option<Value>) {
        let data = self.terms[arg].data.clone();
        let values = self.sets[arg].values.clone();
        let (Values::Range(_), Some(least), Some(most)) = (&values, target.lo(), target.hi()) else { return };
        let nan = match data {
            DataType::Double => Some(Value::Double(f64::NAN)),
            DataType::Float => Some(Value::Float(f32::NAN)),
            _ => None,
        };
        // NaN is no number, wherever it stands in the order: it is kept unless its result is known, and not wanted.
        let keeps_nan = nan.clone().filter(|nan| {
            values.contains(nan) && apply(nan).is_none_or(|v| target.lo().is_none() || target.contains(&v))
        });
        let numbers = nan.as_ref().map_or_else(|| values.clone(), |nan| values.without(nan));
        let (Some(lo), Some(hi)) = (numbers.lo().and_then(ordinal), numbers.hi().and_then(ordinal)) else { return };
        let value = |at: i128| at_ordinal(&data, at).and_then(|v| apply(&v));
        // Where an end fails, it is not known on which side.
        if value(lo).is_none() || value(hi).is_none() {
            return;
        }
        let too_small = |at: i128| value(at).is_some_and(|v| v.compare(least).is_lt());
        let too_great = |at: i128| value(at).is_some_and(|v| v.compare(most).is_gt());
        let (below, above): (&dyn Fn(i128) -> bool, &dyn Fn(i128) -> bool) =
            if rising { (&too_small, &too_great) } else { (&too_great, &too_small) };
        let new_lo = if below(lo) { first_not(lo, hi, below) } else { Some(lo) };
        let new_hi = if above(hi) { first_not(-hi, -lo, &|at| above(-at)).map(|at| -at) } else { Some(hi) };
        let kept = match (new_lo, new_hi) {
            (Some(lo), Some(hi)) if lo <= hi => Values::between(at_ordinal(&data, lo), at_ordinal(&data, hi)),
            _ => Values::None,
        };
        self.narrow_values(arg, &kept.join(&Values::of(keeps_nan.into_iter().collect())));
    }

    fn whole_backward(&mut self, name: &str, (a, b): (TermId, TermId), own: &Set) {
        let ends = |state: &Self, id: TermId| whole(&state.sets[id].values);
        let (Some(result), Some(x), Some(y)) = (whole(&own.values), ends(self, a), ends(self, b)) else { return };
        let (left, right) = match name {
            "add" => ((result.0 - y.1, result.1 - y.0), (result.0 - x.1, result.1 - x.0)),
            _ => ((result.0 + y.0, result.1 + y.1), (x.0 - result.1, x.1 - result.0)),
        };
        if !own.null {
            self.narrow_values(a, &from_whole(left.0, left.1, &self.terms[a].data).0);
            self.narrow_values(b, &from_whole(right.0, right.1, &self.terms[b].data).0);
        }
    }

    /// A comparison that came out in one way.
    fn compared(&mut self, name: &str, (a, b): (TermId, TermId), own: &Set) {
        if own.null || own.can_be(true) && own.can_be(false) {
            return;
        }
        let yes = own.can_be(true);
        if !yes && !own.can_be(false) {
            return;
        }
        match (name, yes) {
            ("less", true) => self.ordered(a, b, true),
            ("less", false) => self.ordered(b, a, false),
            ("less_equal", true) => self.ordered(a, b, false),
            ("less_equal", false) => self.ordered(b, a, true),
            (_, true) => {
                if self.terms[a].data == self.terms[b].data {
                    let both = self.sets[a].values.meet(&self.sets[b].values);
                    self.narrow_values(a, &both);
                    self.narrow_values(b, &both);
                } else {
                    self.ordered(a, b, false);
                    self.ordered(b, a, false);
                }
            }
            (_, false) => {
                if self.terms[a].data != self.terms[b].data {
                    return;
                }
                for (one, other) in [(a, b), (b, a)] {
                    if let Some(value) = self.sets[other].values.single().cloned() {
                        let values = self.sets[one].values.without(&value);
                        self.narrow_values(one, &values);
                    }
                }
            }
        }
    }

    /// `a` is less than `b`, or at most as great.
    fn ordered(&mut self, a: TermId, b: TermId, strict: bool) {
        let (of_a, of_b) = (self.terms[a].data.clone(), self.terms[b].data.clone());
        let same = match (&of_a, &of_b) {
            (DataType::Decimal { scale: s, .. }, DataType::Decimal { scale: t, .. }) => s == t,
            _ => true,
        };
        if !self.terms[a].is_followed() || !self.terms[b].is_followed() {
            return;
        }
        if same {
            if let Some(hi) = self.sets[b].values.hi().cloned() {
                self.narrow_values(a, &up_to(&hi, strict, &of_a));
            }
            if let Some(lo) = self.sets[a].values.lo().cloned() {
                self.narrow_values(b, &from(&lo, strict, &of_b));
            }
            return;
        }
        // Decimals of two scales: the ends are looked for in the scale of each.
        let bound = |v: Option<&Value>, from: &DataType, to: &DataType| v.and_then(|v| comparable(v, from, to));
        let beyond = |v: Option<Value>, by: i128| match v {
            Some(Value::Decimal(v)) if strict => v.checked_add(by).map(Value::Decimal),
            other => other,
        };
        let (hi, lo) = (bound(self.sets[b].values.hi(), &of_b, &of_a), bound(self.sets[a].values.lo(), &of_a, &of_b));
        let (hi, lo) = (beyond(hi, -1), beyond(lo, 1));
        if let (Some(hi), Some(least)) = (hi, bound(Values::all(&of_a).lo(), &of_a, &of_b)) {
            let target = Values::between(Some(least), Some(hi));
            self.invert(a, &target, true, &|v| comparable(v, &of_a, &of_b));
        }
        if let (Some(lo), Some(most)) = (lo, bound(Values::all(&of_b).hi(), &of_b, &of_a)) {
            let target = Values::between(Some(lo), Some(most));
            self.invert(b, &target, true, &|v| comparable(v, &of_b, &of_a));
        }
    }
}

/// A constant as a number, if it is finite.
fn finite(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Float(v) => f64::from(*v),
        Value::Double(v) => *v,
        other => ordinal(other)? as f64,
    };
    number.is_finite().then_some(number)
}

/// The first position of a range at which a condition that holds at its beginning does no more; none if it holds up to the end.
fn first_not(lo: i128, hi: i128, holds: &dyn Fn(i128) -> bool) -> Option<i128> {
    if holds(hi) {
        return None;
    }
    let (mut yes, mut no) = (lo, hi);
    // Decimals of 38 digits are further apart than a number of 128 bits can say.
    while no.checked_sub(yes).is_none_or(|distance| distance > 1) {
        let middle = yes.midpoint(no);
        if holds(middle) { yes = middle } else { no = middle }
    }
    Some(no)
}
