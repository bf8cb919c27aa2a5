//! A row that shows that a condition fails: found by choosing value after value within what is possible, and believed only after the interpreter has
//! evaluated every fact and the condition for it.

use crate::optimize::analysis::depends_on_epoch;
use crate::prove::decide::Question;
use crate::prove::knowledge::{Knowledge, Relevant};
use crate::prove::set::{Set, Values, at_ordinal, is_followed, ordinal};
use crate::prove::solve::State;
use crate::prove::terms::{Shape, TermId};
use flowc_ir::eval::EvalContext;
use flowc_ir::interpret::eval;
use flowc_ir::{DataType, Expr, Value};
use std::collections::BTreeMap;

/// So many choices are tried.
const MOST_CHOICES: usize = 200;

/// So many values are tried for one column.
const MOST_CANDIDATES: usize = 12;

/// Values of a row that fulfils all facts and for which the condition is false or null, computed ones too.
pub(crate) fn find(
    knowledge: &Knowledge,
    goal: &Expr,
    relevant: &Relevant,
    question: &Question,
) -> Option<BTreeMap<usize, Value>> {
    let of_epoch = relevant.facts.iter().any(|f| depends_on_epoch(&knowledge.facts[*f].condition));
    if of_epoch || depends_on_epoch(goal) {
        return None;
    }
    let free: Vec<(usize, TermId)> = relevant
        .values
        .iter()
        .filter(|v| knowledge.variables.get(**v).is_some_and(|v| v.definition.is_none()))
        .filter_map(|v| Some((*v, *question.values.get(v)?)))
        .collect();
    let mut state = question.state();
    if !state.propagate() {
        return None;
    }
    let mut left = MOST_CHOICES;
    let search = Search { knowledge, goal, relevant, question, free };
    search.choose(&state, &mut BTreeMap::new(), &mut left)
}

struct Search<'a> {
    knowledge: &'a Knowledge,
    goal: &'a Expr,
    relevant: &'a Relevant,
    question: &'a Question,
    /// The values that are not computed.
    free: Vec<(usize, TermId)>,
}

impl Search<'_> {
    fn choose(
        &self,
        state: &State<'_>,
        chosen: &mut BTreeMap<usize, Value>,
        left: &mut usize,
    ) -> Option<BTreeMap<usize, Value>> {
        let open = self.free.iter().filter(|(value, _)| !chosen.contains_key(value));
        // The value with the fewest possibilities first.
        let next = open.min_by_key(|(value, term)| (size(&state.sets[*term]), *value));
        let Some((value, term)) = next else { return self.verified(chosen) };
        for candidate in self.candidates(state, *term) {
            if *left == 0 {
                return None;
            }
            *left -= 1;
            let mut narrower = state.clone();
            let data = &self.question.terms[*term].data;
            let just = Set::just(&candidate, data);
            narrower.sets[*term] = narrower.sets[*term].meet(&just);
            if !narrower.propagate() {
                continue;
            }
            chosen.insert(*value, candidate);
            if let Some(found) = self.choose(&narrower, chosen, left) {
                return Some(found);
            }
            chosen.remove(value);
        }
        None
    }

    /// Values that are worth trying, plain ones first.
    fn candidates(&self, state: &State<'_>, term: TermId) -> Vec<Value> {
        let data = &self.question.terms[term].data;
        let set = &state.sets[term];
        let mut found: Vec<Value> = vec![];
        if let Values::OneOf(members) = &set.values {
            found.extend(members.iter().cloned());
        } else if !is_followed(data) {
            found.extend(plain(data));
        } else {
            found.extend(plain(data));
            for id in 0..self.question.terms.len() {
                if let Shape::Literal(value) = &self.question.terms[id].shape
                    && self.question.terms[id].data == *data
                {
                    found.extend(around(value, data));
                }
            }
            for end in [set.values.lo(), set.values.hi()].into_iter().flatten() {
                found.extend(around(end, data));
            }
            if let (Some(lo), Some(hi)) = (set.values.lo().and_then(ordinal), set.values.hi().and_then(ordinal)) {
                found.extend(at_ordinal(data, lo.midpoint(hi)));
            }
            found.retain(|v| set.values.contains(v));
        }
        if *data == DataType::Double || *data == DataType::Float {
            // NaN and infinities last: they surprise.
            found.sort_by_key(|v| !matches!(v, Value::Double(x) if x.is_finite()));
        }
        let mut once: Vec<Value> = vec![];
        for value in found {
            if !once.contains(&value) {
                once.push(value);
            }
        }
        once.truncate(MOST_CANDIDATES);
        if set.null {
            once.push(Value::Null);
        }
        once
    }

    /// The row, if the interpreter agrees that it fulfils the facts and that the condition fails.
    fn verified(&self, chosen: &BTreeMap<usize, Value>) -> Option<BTreeMap<usize, Value>> {
        let context = EvalContext::default();
        let count = self.knowledge.variables.len();
        let mut row = vec![Value::Null; count];
        let mut found = BTreeMap::new();
        for number in &self.relevant.values {
            let variable = self.knowledge.variables.get(*number)?;
            let value = match &variable.definition {
                Some(definition) => eval(&definition.value, &row, &context).ok()?,
                None => chosen.get(number)?.clone(),
            };
            row[*number] = value.clone();
            found.insert(*number, value);
        }
        for index in &self.relevant.facts {
            let condition = &self.knowledge.facts[*index].condition;
            if eval(condition, &row, &context).ok()? != Value::Boolean(true) {
                return None;
            }
        }
        let outcome = eval(self.goal, &row, &context).ok()?;
        (outcome != Value::Boolean(true)).then_some(found)
    }
}

fn size(set: &Set) -> i128 {
    let members = match &set.values {
        Values::None => 0,
        Values::OneOf(members) => members.len() as i128,
        Values::Range(_) => match (set.values.lo().and_then(ordinal), set.values.hi().and_then(ordinal)) {
            (Some(lo), Some(hi)) => hi.saturating_sub(lo).min(i128::MAX - 2),
            _ => i128::MAX - 1,
        },
        Values::All => i128::MAX - 1,
    };
    members.saturating_add(i128::from(set.null))
}

/// Values that a person would think of.
fn plain(data: &DataType) -> Vec<Value> {
    match data {
        DataType::String => ["a", "b", "", "x1"].iter().map(|s| Value::String((*s).into())).collect(),
        DataType::Binary => vec![Value::Binary(vec![1]), Value::Binary(vec![])],
        DataType::Double => [0.0, 1.0, -1.0, 100.0, -100.0].iter().map(|v| Value::Double(*v)).collect(),
        DataType::Float => [0.0, 1.0, -1.0, 100.0].iter().map(|v| Value::Float(*v)).collect(),
        DataType::Timestamp => vec![Value::Timestamp(1_767_225_600_000_000)],
        DataType::TimestampNtz => vec![Value::TimestampNtz(1_767_225_600_000_000)],
        DataType::Date => vec![Value::Date(20_454)],
        DataType::Array(_) => vec![Value::Array(vec![])],
        DataType::Map(..) => vec![Value::Map(vec![])],
        DataType::Struct(fields) => {
            let parts = fields.iter().map(|f| match f.ty.nullable {
                true => Some(Value::Null),
                false => plain(&f.ty.data).into_iter().next(),
            });
            parts.collect::<Option<Vec<_>>>().map(Value::Struct).into_iter().collect()
        }
        other => [0, 1, -1, 2, 10, 100].iter().filter_map(|at| at_ordinal(other, *at)).collect(),
    }
}

/// A value and those beside it.
fn around(value: &Value, data: &DataType) -> Vec<Value> {
    match value {
        Value::Double(v) => vec![
            value.clone(),
            Value::Double(v + 1.0),
            Value::Double(v - 1.0),
            Value::Double(v.next_up()),
            Value::Double(v.next_down()),
        ],
        Value::String(s) => vec![value.clone(), Value::String(format!("{s}a"))],
        Value::Null => vec![],
        other => {
            let mut found = vec![other.clone()];
            if let Some(at) = ordinal(other) {
                found.extend([at + 1, at - 1].iter().filter_map(|at| at_ordinal(data, *at)));
            }
            found
        }
    }
}
