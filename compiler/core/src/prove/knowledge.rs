//! What is known of the rows between two steps: the values that were ever made for them, how they were computed, and the conditions that they fulfil.
//! Values are only added, never changed, so nothing has to be forgotten when a column is dropped or replaced.

use crate::checked::Input;
use crate::optimize::analysis::{can_fail, columns_of, conjuncts, map_columns};
use flowc_ir::{DataType, Expr, ExprKind, Field, Origin, Type, Value};
use std::collections::BTreeSet;

/// Where a fact comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reason {
    /// The fact, as it would be written.
    pub text: String,
    /// Who says so: ``where``, ``constraint `positive` of `sensor` ``.
    pub source: String,
    /// Where that stands; none: in a table.
    pub origin: Option<Origin>,
    /// What a table promises: the source or table, and the name of the constraint or generated column.
    pub promise: Option<(Input, String)>,
}

/// A value of a row.
#[derive(Debug, Clone)]
pub(crate) struct Variable {
    /// Its type.
    pub data: DataType,
    /// How it was computed, from values before it.
    pub definition: Option<Definition>,
}

/// How a value was computed.
#[derive(Debug, Clone)]
pub(crate) struct Definition {
    /// Over values, by their numbers.
    pub value: Expr,
    /// The values that it reads, in order.
    reads: Vec<usize>,
    /// Whether computing it can fail.
    can_fail: bool,
    /// Who says so; none: it is not worth telling (a column that goes on under another name).
    pub reason: Option<Reason>,
    /// Whether it was computed for every row: what can fail is computed even where nobody reads it.
    pub evaluated: bool,
}

/// A condition that every row fulfils.
#[derive(Debug, Clone)]
pub(crate) struct Fact {
    /// Over values, by their numbers.
    pub condition: Expr,
    /// The values that it reads, in order.
    reads: Vec<usize>,
    /// Who says so; several where it follows from other facts.
    pub reasons: Vec<Reason>,
    /// Whether flowc evaluated it for every row. What a table promises was evaluated by whoever wrote it.
    pub evaluated: bool,
}

impl Fact {
    /// Whether the condition reads this value.
    pub fn reads_value(&self, value: usize) -> bool {
        self.reads.contains(&value)
    }
}

/// What is known of the rows at some place.
#[derive(Debug, Clone, Default)]
pub(crate) struct Knowledge {
    /// All values.
    pub variables: Vec<Variable>,
    /// All facts.
    pub facts: Vec<Fact>,
    /// The values of the columns here.
    pub columns: Vec<usize>,
}

impl Knowledge {
    /// A value of which nothing is known.
    pub fn unknown(&mut self, data: &DataType) -> usize {
        self.variables.push(Variable { data: data.clone(), definition: None });
        self.variables.len() - 1
    }

    /// A value that is computed, over values by their numbers.
    pub fn defined(&mut self, value: Expr, reason: Option<Reason>) -> usize {
        if let ExprKind::Column(same) = value.kind {
            return same;
        }
        let data = value.ty.data.clone();
        let (reads, can_fail) = (reads_of(&value), can_fail(&value));
        let definition = Definition { value, reads, can_fail, reason, evaluated: true };
        self.variables.push(Variable { data, definition: Some(definition) });
        self.variables.len() - 1
    }

    /// Learns a condition over values; each part of a conjunction for itself.
    pub fn learn(&mut self, condition: &Expr, evaluated: bool, reason: &dyn Fn(&Expr) -> Vec<Reason>) {
        for part in conjuncts(condition) {
            self.facts.push(Fact { condition: part.clone(), reads: reads_of(part), reasons: reason(part), evaluated });
        }
    }

    /// Columns that are read, not computed: nothing is known but that some are never null.
    pub fn read(&mut self, fields: &[Field], reason: &dyn Fn(&Field) -> Reason) {
        self.columns = fields.iter().map(|f| self.unknown(&f.ty.data)).collect();
        for (field, variable) in fields.iter().zip(self.columns.clone()) {
            if !field.ty.nullable {
                let condition = present(variable, &field.ty.data);
                self.facts.push(Fact {
                    condition,
                    reads: vec![variable],
                    reasons: vec![reason(field)],
                    evaluated: true,
                });
            }
        }
    }

    /// An expression over columns as one over values.
    pub fn over(&self, e: &Expr) -> Expr {
        map_columns(e, |slot| self.columns.get(slot).copied().unwrap_or(usize::MAX))
    }

    /// Takes over all values and facts of others; gives back where its values are now.
    pub fn include(&mut self, other: &Knowledge, only_if: Option<&Expr>) -> usize {
        let shift = self.variables.len();
        let moved = |e: &Expr| map_columns(e, |v| v.saturating_add(shift));
        for variable in &other.variables {
            let definition = variable.definition.as_ref();
            let definition = definition.map(|d| Definition {
                value: moved(&d.value),
                reads: d.reads.iter().map(|v| v.saturating_add(shift)).collect(),
                can_fail: d.can_fail,
                reason: d.reason.clone(),
                evaluated: d.evaluated && only_if.is_none(),
            });
            self.variables.push(Variable { data: variable.data.clone(), definition });
        }
        for fact in &other.facts {
            let condition = moved(&fact.condition);
            let (condition, evaluated) = match only_if {
                Some(guard) => (either(&[not(guard), condition]), false),
                None => (condition, fact.evaluated),
            };
            let reads = reads_of(&condition);
            self.facts.push(Fact { condition, reads, reasons: fact.reasons.clone(), evaluated });
        }
        shift
    }

    /// The facts and computed values that have to do with these values, directly or through others; and all values that do.
    pub fn relevant(&self, goal: &Expr) -> Relevant {
        let mut values: BTreeSet<usize> = columns_of(goal);
        let mut facts: BTreeSet<usize> = BTreeSet::new();
        loop {
            let before = (values.len(), facts.len());
            let mut queue: Vec<usize> = values.iter().copied().collect();
            while let Some(value) = queue.pop() {
                let definition = self.variables.get(value).and_then(|v| v.definition.as_ref());
                for used in definition.map(|d| d.reads.as_slice()).unwrap_or_default() {
                    if values.insert(*used) {
                        queue.push(*used);
                    }
                }
            }
            // What did not fail tells of what it was computed from.
            for (number, variable) in self.variables.iter().enumerate() {
                let definition = variable.definition.as_ref().filter(|d| d.evaluated && d.can_fail);
                let Some(definition) = definition.filter(|_| !values.contains(&number)) else { continue };
                if definition.reads.iter().any(|v| values.contains(v)) {
                    values.insert(number);
                }
            }
            let based = self.based_on(&values);
            for (index, fact) in self.facts.iter().enumerate() {
                let of_everything = fact.reads.is_empty();
                let concerns = |v: &usize| values.contains(v) || based.get(*v) == Some(&true);
                if !facts.contains(&index) && (of_everything || fact.reads.iter().any(concerns)) {
                    facts.insert(index);
                    values.extend(&fact.reads);
                }
            }
            if before == (values.len(), facts.len()) {
                break;
            }
        }
        Relevant { values, facts }
    }

    /// For each value, whether one of these is among what it is computed from in the end, or is itself that.
    fn based_on(&self, values: &BTreeSet<usize>) -> Vec<bool> {
        let mut based: Vec<bool> = Vec::with_capacity(self.variables.len());
        for (number, variable) in self.variables.iter().enumerate() {
            // A value is computed from values before it.
            let is = match &variable.definition {
                Some(definition) => definition.reads.iter().any(|v| based.get(*v) == Some(&true)),
                None => values.contains(&number),
            };
            based.push(is);
        }
        based
    }
}

/// The values that an expression reads, in order.
fn reads_of(e: &Expr) -> Vec<usize> {
    columns_of(e).into_iter().collect()
}

/// What has to do with a question.
#[derive(Debug, Clone, Default)]
pub(crate) struct Relevant {
    /// Values, by number.
    pub values: BTreeSet<usize>,
    /// Facts, by position.
    pub facts: BTreeSet<usize>,
}

/// A value, as an expression over values.
pub(crate) fn value(variable: usize, data: &DataType) -> Expr {
    Expr::new(ExprKind::Column(variable), Type::nullable(data.clone()), Origin::default())
}

/// The value is not null.
pub(crate) fn present(variable: usize, data: &DataType) -> Expr {
    let null = Expr::new(ExprKind::IsNull(Box::new(value(variable, data))), Type::boolean(), Origin::default());
    not(&null)
}

/// The opposite.
pub(crate) fn not(e: &Expr) -> Expr {
    Expr::new(ExprKind::Not(Box::new(e.clone())), e.ty.clone(), e.origin)
}

/// One of these.
pub(crate) fn either(parts: &[Expr]) -> Expr {
    Expr::new(ExprKind::Or(parts.to_vec()), Type::nullable(DataType::Boolean), Origin::default())
}

/// A constant.
pub(crate) fn constant(value: Value, data: &DataType) -> Expr {
    let ty = Type { data: data.clone(), nullable: value.is_null() };
    Expr::new(ExprKind::Literal(value), ty, Origin::default())
}

/// One value or another.
pub(crate) fn choice(condition: Expr, then: Expr, otherwise: Expr) -> Expr {
    let ty = Type::nullable(then.ty.data.clone());
    let parts = (Box::new(condition), Box::new(then), Box::new(otherwise));
    Expr::new(ExprKind::If { condition: parts.0, then: parts.1, otherwise: parts.2 }, ty, Origin::default())
}
