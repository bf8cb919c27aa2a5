//! What terms can be under conditions that are known to be true: operands tell of results, results of operands, round by round, and where that does not
//! settle a question the cases of a condition are looked at one by one.
//!
//! The law: for every row that fulfils the conditions, and every term that can be evaluated for it, the value is in the term's set. A term that some row
//! cannot be evaluated for (it would fail there) says nothing of that row, so only a term that every row evaluates may tell of its operands: one that
//! cannot fail, or that is *live* because a condition that was tested, or a column that was computed, evaluates it.

use crate::prove::order::Edge;
use crate::prove::set::{Set, Values};
use crate::prove::terms::{Shape, TermId, Terms};
use std::cell::Cell;
use std::rc::Rc;

/// Rounds of propagation; each only makes sets smaller, so that stopping early is sound.
const MOST_ROUNDS: usize = 10;

/// Conditions that are taken apart into cases within each other.
const MOST_DEPTH: usize = 5;

/// Cases in all, for one question.
const MOST_CASES: usize = 48;

/// Terms that are looked at for one question, again in each round of each case.
pub(crate) const MOST_WORK: usize = 40_000;

/// A condition that is known to be true of every row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asserted {
    pub term: TermId,
    /// Whether it was evaluated, by these very rules, for every row: then it did not fail.
    pub evaluated: bool,
}

/// What is known.
#[derive(Debug, Clone)]
pub(crate) struct State<'a> {
    pub terms: &'a Terms,
    pub sets: Vec<Set>,
    /// Whether evaluating can fail.
    pub fails: Vec<bool>,
    /// Whether every row evaluates it.
    live: Vec<bool>,
    /// The order of terms.
    pub edges: Vec<Edge>,
    /// How many terms may still be looked at, in all cases together.
    work: Rc<Cell<usize>>,
}

/// What a question came to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    /// What the term can be.
    pub set: Set,
    /// Whether it can fail.
    pub fails: bool,
    /// Whether the conditions contradict each other: there are no rows.
    pub impossible: bool,
}

impl<'a> State<'a> {
    /// The state in which these conditions are true; these terms were evaluated for every row.
    pub fn new(terms: &'a Terms, asserted: &[Asserted], evaluated: &[TermId]) -> State<'a> {
        let count = terms.len();
        let mut state = State {
            terms,
            sets: (0..count).map(|id| Set::any(&terms[id].data)).collect(),
            fails: (0..count).map(|id| !terms[id].total).collect(),
            live: vec![false; count],
            edges: vec![],
            work: Rc::new(Cell::new(MOST_WORK)),
        };
        for condition in asserted {
            state.assert(condition.term, &Set::yes(), condition.evaluated);
        }
        for term in evaluated {
            state.live[*term] = true;
        }
        state
    }

    fn assert(&mut self, term: TermId, set: &Set, evaluated: bool) {
        self.sets[term] = self.sets[term].meet(set);
        self.live[term] |= evaluated;
    }

    /// Whether every row has a value for this term.
    pub fn is_sure(&self, id: TermId) -> bool {
        self.terms[id].total || self.live[id] || !self.fails[id]
    }

    /// How many terms may still be looked at.
    pub fn work(&self) -> Rc<Cell<usize>> {
        self.work.clone()
    }

    /// Follows everything as far as it goes; false: there can be no row.
    pub fn propagate(&mut self) -> bool {
        for _ in 0..MOST_ROUNDS {
            let Some(left) = self.work.get().checked_sub(self.terms.len()) else { break };
            self.work.set(left);
            let before = self.live.clone();
            let mut changed = false;
            for id in 0..self.terms.len() {
                let outcome = self.forward(id);
                changed |= self.narrow(id, &outcome.set);
                self.fails[id] = !self.is_sure(id) && (outcome.fails || self.operands_fail(id));
            }
            for id in (0..self.terms.len()).rev() {
                if self.live[id] {
                    self.spread(id);
                }
            }
            for id in (0..self.terms.len()).rev() {
                if self.is_sure(id) {
                    changed |= self.backward(id);
                }
            }
            let edges = self.known_order();
            changed |= edges != self.edges || before != self.live;
            self.edges = edges;
            if (0..self.terms.len()).any(|id| self.sets[id].is_none() && self.is_sure(id)) {
                return false;
            }
            if !changed {
                break;
            }
        }
        true
    }

    /// Makes a set smaller; whether it did.
    pub fn narrow(&mut self, id: TermId, set: &Set) -> bool {
        let smaller = self.sets[id].meet(set);
        let changed = smaller != self.sets[id];
        self.sets[id] = smaller;
        changed
    }

    /// Whether an operand that is reached can fail.
    fn operands_fail(&self, id: TermId) -> bool {
        let term = &self.terms[id];
        let fails = |arg: &TermId| self.fails[*arg];
        // Operands up to the first that settles the result.
        let until = |settled: &dyn Fn(&Set) -> bool| {
            for arg in &term.args {
                if self.fails[*arg] {
                    return true;
                }
                if settled(&self.sets[*arg]) {
                    return false;
                }
            }
            false
        };
        match term.shape {
            Shape::Try => false,
            Shape::And => until(&|s| s.is_only(false)),
            Shape::Or => until(&|s| s.is_only(true)),
            Shape::Coalesce => until(&|s| !s.null),
            Shape::If => {
                let condition = &self.sets[term.args[0]];
                fails(&term.args[0])
                    || condition.can_be(true) && fails(&term.args[1])
                    || (condition.null || condition.can_be(false)) && fails(&term.args[2])
            }
            _ => term.args.iter().any(fails),
        }
    }

    /// What a term that is evaluated evaluates.
    fn spread(&mut self, id: TermId) {
        let terms = self.terms;
        let term = &terms[id];
        let set = |state: &Self, i: usize| state.sets[term.args[i]].clone();
        let mut reached = term.args.len();
        match term.shape {
            Shape::Try => reached = 0,
            Shape::And | Shape::Or | Shape::Coalesce => {
                let passes = |s: &Set| match term.shape {
                    Shape::And => !s.can_be(false),
                    Shape::Or => !s.can_be(true),
                    _ => s.values == Values::None,
                };
                reached = 1;
                while reached < term.args.len() && passes(&self.sets[term.args[reached - 1]]) {
                    reached += 1;
                }
            }
            Shape::If => {
                reached = 1;
                let condition = set(self, 0);
                if condition.is_only(true) {
                    self.live[term.args[1]] = true;
                } else if !condition.can_be(true) {
                    self.live[term.args[2]] = true;
                }
            }
            _ => {}
        }
        for arg in &term.args[..reached] {
            self.live[*arg] = true;
        }
    }

    /// Asks what a term can be, by cases where need be.
    pub fn ask(mut self, goal: TermId) -> Answer {
        let mut cases = MOST_CASES;
        if !self.propagate() {
            return Answer { set: Set::none(), fails: false, impossible: true };
        }
        self.cases(goal, MOST_DEPTH, &mut cases)
    }

    fn cases(&self, goal: TermId, depth: usize, left: &mut usize) -> Answer {
        let plain = Answer { set: self.sets[goal].clone(), fails: self.fails[goal], impossible: false };
        let settled = !plain.fails && (plain.set.is_only(true) || plain.set.is_only(false)) || !plain.set.can_be(true);
        if settled || depth == 0 || *left == 0 {
            return plain;
        }
        let Some(split) = self.split(goal) else { return plain };
        let mut all = Answer { set: Set::none(), fails: false, impossible: true };
        for case in [Set::booleans(true, false, false), Set::booleans(false, true, true)] {
            *left = left.saturating_sub(1);
            let mut state = self.clone();
            state.assert(split, &case, false);
            if !state.propagate() {
                continue;
            }
            let answer = state.cases(goal, depth - 1, left);
            all.set = all.set.join(&answer.set);
            all.fails |= answer.fails;
            all.impossible &= answer.impossible;
        }
        all
    }

    /// A condition whose outcome is open, and every row has one: those of branches first, then parts of disjunctions.
    fn split(&self, goal: TermId) -> Option<TermId> {
        let open = |id: TermId| {
            let set = &self.sets[id];
            self.is_sure(id) && set.can_be(true) && (set.can_be(false) || set.null)
        };
        let mut of_branches = vec![];
        let mut of_parts = vec![];
        for id in 0..self.terms.len() {
            let term = &self.terms[id];
            match term.shape {
                Shape::If => of_branches.push(term.args[0]),
                Shape::Or | Shape::And if id != goal || term.args.len() > 1 => of_parts.extend(&term.args),
                _ => {}
            }
        }
        let atomic = |id: &TermId| !matches!(self.terms[*id].shape, Shape::And | Shape::Or | Shape::If);
        let all: Vec<TermId> = of_branches.into_iter().chain(of_parts).filter(|id| open(*id) && *id != goal).collect();
        all.iter().copied().find(|id| atomic(id)).or_else(|| all.first().copied())
    }
}
