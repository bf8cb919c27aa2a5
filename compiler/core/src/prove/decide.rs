//! Deciding a condition: proved, refuted with a witness, or open; and the few facts that a proof needs.

use crate::prove::knowledge::{Knowledge, Reason, Relevant, not, value};
use crate::prove::set::Set;
use crate::prove::solve::{Answer, Asserted, MOST_WORK, State};
use crate::prove::terms::{TermId, Terms};
use crate::prove::witness;
use flowc_ir::{Expr, Value};
use std::collections::{BTreeMap, BTreeSet};

/// So many questions are asked to make a proof's chain of facts short.
const MOST_TRIALS: usize = 60;

/// And so many terms are looked at for it.
const MOST_WORK_FOR_CHAINS: usize = 6 * MOST_WORK;

/// What became of a condition.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Verdict {
    /// It is true of every row, and never fails.
    Proved(Vec<Reason>),
    /// It is true of no row.
    Refuted {
        /// Values of a row that fulfils all facts, by their numbers; computed ones too.
        witness: BTreeMap<usize, Value>,
        /// The facts that say so.
        facts: Vec<Reason>,
    },
    /// Some rows may break it.
    Open,
    /// There are no rows: the facts contradict each other.
    Unreachable(Vec<Reason>),
}

/// A question, with what is known as terms.
pub(crate) struct Question {
    pub terms: Terms,
    pub goal: TermId,
    pub asserted: Vec<Asserted>,
    /// Terms that were evaluated for every row.
    evaluated: Vec<TermId>,
    /// The terms of values.
    pub values: BTreeMap<usize, TermId>,
}

impl Question {
    /// Puts a condition (over values) to what is known; facts and definitions that are left out are not used.
    pub fn new(knowledge: &Knowledge, goal: &Expr, relevant: &Relevant, left_out: &BTreeSet<Item>) -> Question {
        let mut terms = Terms::default();
        let mut values: BTreeMap<usize, TermId> = BTreeMap::new();
        let mut evaluated = vec![];
        for number in &relevant.values {
            let Some(variable) = knowledge.variables.get(*number) else { continue };
            let definition = variable.definition.as_ref().filter(|_| !left_out.contains(&Item::Definition(*number)));
            let term = match definition {
                Some(definition) => terms.expression(&definition.value, &values),
                None => terms.variable(*number, &variable.data),
            };
            values.insert(*number, term);
            evaluated.extend(definition.filter(|d| d.evaluated).map(|_| term));
        }
        let goal = terms.expression(goal, &values);
        let mut asserted = vec![];
        for index in &relevant.facts {
            if !left_out.contains(&Item::Fact(*index)) {
                let fact = &knowledge.facts[*index];
                let term = terms.expression(&fact.condition, &values);
                asserted.push(Asserted { term, evaluated: fact.evaluated });
            }
        }
        Question { terms, goal, asserted, evaluated, values }
    }

    /// What is known before anything is asked.
    pub fn state(&self) -> State<'_> {
        State::new(&self.terms, &self.asserted, &self.evaluated)
    }

    fn answer(&self) -> Answer {
        self.answer_with_work().0
    }

    /// The answer, and how many terms were looked at for it.
    fn answer_with_work(&self) -> (Answer, usize) {
        let state = self.state();
        let work = state.work();
        let answer = state.ask(self.goal);
        (answer, MOST_WORK.saturating_sub(work.get()))
    }
}

/// Something that a proof can do without, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Item {
    /// How a value was computed.
    Definition(usize),
    /// A fact.
    Fact(usize),
}

fn proves(answer: &Answer) -> bool {
    !answer.impossible && !answer.fails && answer.set.is_only(true)
}

fn refutes(answer: &Answer) -> bool {
    !answer.impossible && !answer.set.can_be(true)
}

impl Knowledge {
    /// Decides a condition over the columns.
    pub fn decide(&self, condition: &Expr) -> Verdict {
        self.decide_over(&self.over(condition))
    }

    /// Decides a condition over values.
    pub fn decide_over(&self, goal: &Expr) -> Verdict {
        let relevant = self.relevant(goal);
        let question = Question::new(self, goal, &relevant, &BTreeSet::new());
        if question.terms.is_full() {
            return Verdict::Open;
        }
        let answer = question.answer();
        if answer.impossible {
            let facts = self.chain(goal, &relevant, &|a| a.impossible);
            return Verdict::Unreachable(facts);
        }
        if proves(&answer) {
            return Verdict::Proved(self.chain(goal, &relevant, &proves));
        }
        if !refutes(&answer) {
            return Verdict::Open;
        }
        match witness::find(self, goal, &relevant, &question) {
            Some(witness) => Verdict::Refuted { witness, facts: self.chain(goal, &relevant, &refutes) },
            None => Verdict::Open,
        }
    }

    /// What the values of an expression (over values) can be, and the facts that say so.
    pub fn range(&self, e: &Expr) -> (Set, Vec<Reason>) {
        let relevant = self.relevant(e);
        let question = Question::new(self, e, &relevant, &BTreeSet::new());
        let answer = question.answer();
        if question.terms.is_full() || answer.impossible {
            return (Set::any(&e.ty.data), vec![]);
        }
        let set = answer.set.clone();
        (set, self.chain(e, &relevant, &|a| !a.impossible && a.set == answer.set))
    }

    /// The reasons without which it would not be so: one after the other is left out, as long as the answer stays.
    fn chain(&self, goal: &Expr, relevant: &Relevant, holds: &dyn Fn(&Answer) -> bool) -> Vec<Reason> {
        let definitions =
            relevant.values.iter().filter(|v| self.variables.get(**v).is_some_and(|v| v.definition.is_some()));
        let items: Vec<Item> =
            relevant.facts.iter().map(|f| Item::Fact(*f)).chain(definitions.map(|d| Item::Definition(*d))).collect();
        let mut left_out = BTreeSet::new();
        let (mut trials, mut work) = (MOST_TRIALS, MOST_WORK_FOR_CHAINS);
        // Many at once first: most facts have nothing to do with it.
        let mut size = items.len().div_ceil(2).max(1);
        while trials > 0 && work > 0 {
            for group in items.chunks(size) {
                let mut fewer: BTreeSet<Item> = left_out.clone();
                fewer.extend(group);
                if fewer.len() == left_out.len() || trials == 0 || work == 0 {
                    continue;
                }
                trials -= 1;
                let (answer, spent) = Question::new(self, goal, relevant, &fewer).answer_with_work();
                work = work.saturating_sub(spent);
                if holds(&answer) {
                    left_out = fewer;
                }
            }
            if size == 1 {
                break;
            }
            size = size.div_ceil(2);
        }
        let mut reasons: Vec<Reason> = vec![];
        for number in relevant.values.iter().filter(|v| !left_out.contains(&Item::Definition(**v))) {
            let definition = self.variables.get(*number).and_then(|v| v.definition.as_ref());
            reasons.extend(definition.and_then(|d| d.reason.clone()));
        }
        for index in relevant.facts.iter().filter(|f| !left_out.contains(&Item::Fact(**f))) {
            reasons.extend(self.facts[*index].reasons.iter().cloned());
        }
        let mut seen: Vec<Reason> = vec![];
        for reason in reasons {
            if !seen.contains(&reason) {
                seen.push(reason);
            }
        }
        // In the order of the program, what tables say first.
        seen.sort_by_key(|r| r.origin);
        seen
    }

    /// A condition that a value is in a set, as far as it can be said; none: it says nothing.
    pub fn membership(&self, variable: usize, set: &Set) -> Vec<Expr> {
        use crate::prove::set::{Values, bounds};
        let data = &self.variables[variable].data;
        let of = |name: &str, other: &Value| {
            let boolean = flowc_ir::Type::nullable(flowc_ir::DataType::Boolean);
            let function = flowc_ir::functions::find(name)?;
            let args = vec![value(variable, data), super::knowledge::constant(other.clone(), data)];
            let kind = flowc_ir::ExprKind::Call { function, args };
            Some(Expr::new(kind, boolean, flowc_ir::Origin::default()))
        };
        let mut conditions = vec![];
        match &set.values {
            Values::OneOf(members) if *data != flowc_ir::DataType::Boolean || members.len() == 1 => {
                let kind = flowc_ir::ExprKind::InList { value: Box::new(value(variable, data)), list: members.clone() };
                let boolean = flowc_ir::Type::nullable(flowc_ir::DataType::Boolean);
                conditions.push(Expr::new(kind, boolean, flowc_ir::Origin::default()));
            }
            Values::Range(range) => {
                let (least, greatest) = bounds(data);
                conditions.extend(
                    range.lo.as_ref().filter(|lo| least.as_ref() != Some(lo)).and_then(|v| of("greater_equal", v)),
                );
                conditions.extend(
                    range.hi.as_ref().filter(|hi| greatest.as_ref() != Some(hi)).and_then(|v| of("less_equal", v)),
                );
                conditions.extend(range.except.iter().filter_map(|v| of("not_equal", v)));
            }
            _ => {}
        }
        let present = super::knowledge::present(variable, data);
        if set.null {
            conditions = conditions.into_iter().map(|c| super::knowledge::either(&[not(&present), c])).collect();
        } else {
            conditions.insert(0, present);
        }
        conditions
    }
}
