//! What is known of one column at one place, for people: what it can be, and who says so. Asks what proofs ask; nothing is decided here.

use crate::checked::{Checked, CheckedStep, EventTime, Input, Rows};
use crate::explain::expression;
use crate::prove::follow::{Follower, Written};
use crate::prove::knowledge::{Knowledge, Reason, value};
use crate::prove::set::{Range, Set, Values, at_ordinal, bounds, is_followed, ordinal};
use flowc_ir::{DataType, Value};

/// Conditions that say more than bounds do are told up to so many.
const MOST_CONDITIONS: usize = 4;

/// So many values are named.
const MOST_NAMED: usize = 8;

/// Rows somewhere in a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowsAt<'a> {
    /// Those of a source, table or flow.
    Of(&'a str),
    /// Those of a flow, before the step that stands from this byte of the program's file on.
    Before(&'a str, u32),
    /// Those of a flow, behind the step that ends at this byte.
    Behind(&'a str, u32),
}

/// What is known of a column.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Known {
    /// What its values are, as people say it: `not null`, `0.0 to 100.0`, `one of "a", "b"`.
    pub values: Vec<String>,
    /// Who says so, and further conditions that every row fulfils.
    pub reasons: Vec<Reason>,
}

/// What is known of a column of these rows; none: there is no such column, or nothing is known.
pub fn known(checked: &Checked, written: Written<'_>, rows: RowsAt<'_>, column: &str) -> Option<Known> {
    let place = Place::find(checked, rows)?;
    let schema = &place.rows().schema;
    let at = schema.index_of(column)?;
    let data = &schema.fields[at].ty.data;
    let mut follower = Follower::new(checked, written);
    let knowledge = place.knowledge(&mut follower);
    let variable = *knowledge.columns.get(at)?;
    let (set, mut reasons) = knowledge.range(&value(variable, data));
    let mut values = said(&set, data);
    if values.is_empty() {
        reasons.clear();
    }
    values.extend(place.event_time(column));
    reasons.extend(conditions(&knowledge, variable, &reasons));
    reasons.retain(|reason| !reason.text.is_empty());
    let known = Known { values, reasons };
    (known != Known::default()).then_some(known)
}

/// Rows of a program, found.
struct Place<'a> {
    checked: &'a Checked,
    input: Input,
    /// The flow's steps that the rows went through; none: the rows are those of the input.
    steps: Option<usize>,
    /// Of a source or table.
    plain: Option<Rows>,
}

impl<'a> Place<'a> {
    fn find(checked: &'a Checked, rows: RowsAt<'_>) -> Option<Place<'a>> {
        let (RowsAt::Of(name) | RowsAt::Before(name, _) | RowsAt::Behind(name, _)) = rows;
        if let Some(index) = checked.flows.iter().position(|flow| flow.name == name) {
            let flow = &checked.flows[index];
            // What a step was made into lies within it.
            let count = |passed: &dyn Fn(&CheckedStep) -> bool| flow.steps.iter().take_while(|s| passed(s)).count();
            let steps = match rows {
                RowsAt::Of(_) => flow.steps.len(),
                RowsAt::Before(_, start) => count(&|step| step.origin.start < start),
                RowsAt::Behind(_, end) => count(&|step| step.origin.start < end),
            };
            return match steps {
                0 => Place::plain(checked, flow.input),
                steps => Some(Place { checked, input: Input::Flow(index), steps: Some(steps), plain: None }),
            };
        }
        let source = checked.sources.iter().position(|source| source.spec.name == name).map(Input::Source);
        let table = || checked.tables.iter().position(|table| table.spec.name == name).map(Input::Table);
        Place::plain(checked, source.or_else(table)?)
    }

    /// The rows of an input as they are.
    fn plain(checked: &'a Checked, input: Input) -> Option<Place<'a>> {
        let (schema, event_time) = match input {
            Input::Source(index) => {
                let source = &checked.sources[index];
                (source.schema.clone(), source.event_time.clone().map(EventTime::Column))
            }
            Input::Table(index) => (checked.tables[index].spec.schema.clone(), None),
            Input::Flow(index) => {
                let steps = checked.flows[index].steps.len();
                return match steps {
                    0 => Place::plain(checked, checked.flows[index].input),
                    steps => Some(Place { checked, input, steps: Some(steps), plain: None }),
                };
            }
            Input::Malformed(_) | Input::Rejected(_) | Input::Late(_) => return None,
        };
        let joined = vec![false; schema.len()];
        let kind = flowc_ir::graph::Kind::Append;
        let rows = Rows { schema, joined, kind, bounded: false, event_time, window: None };
        Some(Place { checked, input, steps: None, plain: Some(rows) })
    }

    fn rows(&self) -> &Rows {
        match (self.input, self.steps, &self.plain) {
            (_, _, Some(rows)) => rows,
            (Input::Flow(index), Some(steps), None) => &self.checked.flows[index].steps[steps - 1].rows,
            _ => unreachable!("rows that are not plain are behind a step of a flow"),
        }
    }

    fn knowledge(&self, follower: &mut Follower<'_>) -> Knowledge {
        match (self.input, self.steps) {
            (Input::Flow(index), Some(steps)) => follower.behind(index, steps),
            (input, _) => follower.input(input),
        }
    }

    /// That rows come in the order of this column, as far as watermarks say so.
    fn event_time(&self, column: &str) -> Option<String> {
        match self.rows().event_time.as_ref().filter(|time| time.column() == column)? {
            EventTime::Column(_) => Some("the rows' event time".to_string()),
            EventTime::WindowEnd(_) => Some("the end of the rows' window".to_string()),
        }
    }
}

/// Conditions that were not told yet and read the value itself.
fn conditions(knowledge: &Knowledge, variable: usize, told: &[Reason]) -> Vec<Reason> {
    let mut found: Vec<Reason> = vec![];
    for fact in knowledge.facts.iter().rev().filter(|fact| fact.reads_value(variable)) {
        let new = fact.reasons.iter().filter(|reason| !told.contains(reason)).cloned();
        for reason in new {
            if found.len() < MOST_CONDITIONS && !found.contains(&reason) {
                found.push(reason);
            }
        }
    }
    found.reverse();
    found
}

/// What a value can be, in words; nothing where it can be anything.
fn said(set: &Set, data: &DataType) -> Vec<String> {
    let mut said = vec![];
    if set.values == Values::None {
        return if set.null { vec!["always null".into()] } else { vec![] };
    }
    if !set.null {
        said.push("not null".to_string());
    }
    let shown = |value: &Value| expression::value(value, data);
    match &set.values {
        Values::OneOf(_) if *data == DataType::Boolean && set.values == Values::all(data) => {}
        Values::OneOf(members) => match members.as_slice() {
            [only] => said.push(format!("always {}", shown(only))),
            some if some.len() <= MOST_NAMED => {
                said.push(format!("one of {}", some.iter().map(shown).collect::<Vec<_>>().join(", ")));
            }
            [first, .., last] => {
                said.push(format!("one of {} values, {} to {}", members.len(), shown(first), shown(last)))
            }
            [] => {}
        },
        Values::Range(range) if is_followed(data) => said.extend(between(range, data)),
        _ => {}
    }
    said
}

/// A range without the ends of its type.
fn between(range: &Range, data: &DataType) -> Vec<String> {
    let (least, greatest) = bounds(data);
    let told = |end: &Option<Value>, of_type: &Option<Value>| {
        end.clone().filter(|value| Some(value) != of_type.as_ref() && !is_nan(value))
    };
    let shown = |value: &Value| expression::value(value, data);
    let (lo, hi) = (told(&range.lo, &least), told(&range.hi, &greatest));
    let strict = |end: &Value, by: i128| beside(end, data, by);
    let mut said = match (&lo, &hi) {
        (Some(lo), Some(hi)) => match (strict(lo, -1), strict(hi, 1)) {
            (None, None) => vec![format!("{} to {}", shown(lo), shown(hi))],
            (low, high) => vec![at_least(lo, low.as_ref(), &shown), at_most(hi, high.as_ref(), &shown)],
        },
        (Some(lo), None) => vec![at_least(lo, strict(lo, -1).as_ref(), &shown)],
        (None, Some(hi)) => vec![at_most(hi, strict(hi, 1).as_ref(), &shown)],
        (None, None) => vec![],
    };
    if !range.except.is_empty() && range.except.len() <= MOST_NAMED {
        said.push(format!("not {}", range.except.iter().map(shown).collect::<Vec<_>>().join(", ")));
    }
    said
}

fn at_least(lo: &Value, above: Option<&Value>, shown: &dyn Fn(&Value) -> String) -> String {
    above.map_or_else(|| format!("at least {}", shown(lo)), |above| format!("greater than {}", shown(above)))
}

fn at_most(hi: &Value, below: Option<&Value>, shown: &dyn Fn(&Value) -> String) -> String {
    below.map_or_else(|| format!("at most {}", shown(hi)), |below| format!("less than {}", shown(below)))
}

/// The value beside the end of a range of numbers with a point, where that is the one that was written: `x > 0.0` begins with the least number above 0.0.
fn beside(end: &Value, data: &DataType, by: i128) -> Option<Value> {
    if !matches!(data, DataType::Float | DataType::Double) {
        return None;
    }
    let next = at_ordinal(data, ordinal(end)? + by)?;
    let length = |value: &Value| expression::value(value, data).len();
    (length(&next) < length(end)).then_some(next)
}

fn is_nan(value: &Value) -> bool {
    matches!(value, Value::Double(x) if x.is_nan()) || matches!(value, Value::Float(x) if x.is_nan())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prove::set::{from, up_to};

    fn words(values: Values, null: bool, data: &DataType) -> String {
        said(&Set { null, values }, data).join("; ")
    }

    #[test]
    fn sets_are_said_in_words() {
        let double = DataType::Double;
        let below = up_to(&Value::Double(100.0), false, &double);
        assert_eq!(words(below.clone(), false, &double), "not null; at most 100.0");
        assert_eq!(words(below.meet(&from(&Value::Double(0.0), false, &double)), true, &double), "0.0 to 100.0");
        assert_eq!(words(from(&Value::Double(0.0), true, &double), true, &double), "greater than 0.0");
        let both = from(&Value::Double(0.0), true, &double).meet(&below);
        assert_eq!(words(both, true, &double), "greater than 0.0; at most 100.0");
        assert_eq!(words(up_to(&Value::Double(0.1), true, &double), true, &double), "less than 0.1");
        let long = DataType::Long;
        assert_eq!(words(from(&Value::Long(0), true, &long), false, &long), "not null; at least 1");
        assert_eq!(words(Values::all(&long), true, &long), "");
        assert_eq!(words(Values::all(&long).without(&Value::Long(7)), true, &long), "not 7");
        let text = |s: &str| Value::String(s.into());
        assert_eq!(words(Values::of(vec![text("b"), text("a")]), true, &DataType::String), "one of \"a\", \"b\"");
        assert_eq!(words(Values::of((0..9).map(Value::Long).collect()), true, &long), "one of 9 values, 0 to 8");
        assert_eq!(words(Values::of(vec![Value::Long(3)]), false, &long), "not null; always 3");
        assert_eq!(words(Values::all(&DataType::String), true, &DataType::String), "");
        assert_eq!(words(Values::all(&DataType::Boolean), true, &DataType::Boolean), "");
        assert_eq!(words(Values::None, true, &long), "always null");
        assert_eq!(words(Values::All, true, &DataType::Array(Box::new(flowc_ir::Type::nullable(long.clone())))), "");
    }
}
