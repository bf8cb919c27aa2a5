//! The order of terms, whatever their values: from comparisons that are known to be true, and from what functions do.

use crate::prove::set::{Set, Values};
use crate::prove::solve::State;
use crate::prove::terms::{Shape, TermId};
use flowc_ir::{DataType, Value};
use std::collections::BTreeMap;

/// So many relations are followed.
const MOST_EDGES: usize = 64;

/// One term is at most another, or less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Edge {
    from: TermId,
    to: TermId,
    strict: bool,
}

impl State<'_> {
    /// What is known of the order of terms that have a value.
    pub(crate) fn known_order(&self) -> Vec<Edge> {
        let mut edges = vec![];
        let yes = Set::yes();
        for id in 0..self.terms.len() {
            if edges.len() >= MOST_EDGES {
                break;
            }
            let term = &self.terms[id];
            if !self.is_sure(id) {
                continue;
            }
            let edge = |from, to, strict| Edge { from, to, strict };
            let same = self.chosen(id);
            edges.extend(same.into_iter().flat_map(|one| [edge(id, one, false), edge(one, id, false)]));
            let Some(name) = term.function() else { continue };
            match (name, term.args.as_slice()) {
                ("less" | "less_equal", [a, b]) if self.sets[id] == yes => edges.push(edge(*a, *b, name == "less")),
                ("equal", [a, b]) if self.sets[id] == yes => {
                    edges.extend([edge(*a, *b, false), edge(*b, *a, false)]);
                }
                ("equal_null", [a, b]) if self.sets[id] == yes && !self.sets[*a].null => {
                    edges.extend([edge(*a, *b, false), edge(*b, *a, false)]);
                }
                ("greatest", args) => edges.extend(args.iter().map(|a| edge(*a, id, false))),
                ("least", args) => edges.extend(args.iter().map(|a| edge(id, *a, false))),
                ("clamp", [_, low, high]) => {
                    edges.push(edge(id, *high, false));
                    if self.path(*low, *high).is_some() || self.surely_at_most(*low, *high) {
                        edges.push(edge(*low, id, false));
                    }
                }
                ("add", [a, b]) => {
                    for (one, other) in [(*a, *b), (*b, *a)] {
                        if self.terms[one].data == term.data {
                            edges.extend(self.sign(other).map(|s| match s {
                                Sign::AtLeastZero => edge(one, id, false),
                                Sign::AtMostZero => edge(id, one, false),
                            }));
                        }
                    }
                }
                // Infinity less infinity is NaN, which is greater: for floats nothing follows.
                ("subtract", [a, b]) if self.terms[*a].data == term.data && !term.data.is_floating() => {
                    edges.extend(self.sign(*b).map(|s| match s {
                        Sign::AtLeastZero => edge(id, *a, false),
                        Sign::AtMostZero => edge(*a, id, false),
                    }));
                }
                _ => {}
            }
        }
        edges
    }

    /// The operand that a term is, where it is known which it is.
    fn chosen(&self, id: TermId) -> Option<TermId> {
        let term = &self.terms[id];
        match term.shape {
            Shape::If if self.sets[term.args[0]].is_only(true) => Some(term.args[1]),
            Shape::If if !self.sets[term.args[0]].can_be(true) => Some(term.args[2]),
            Shape::Coalesce if !self.sets[term.args[0]].null => Some(term.args[0]),
            _ => None,
        }
    }

    /// Whether all values of one are at most all of the other.
    fn surely_at_most(&self, a: TermId, b: TermId) -> bool {
        self.terms[a].data == self.terms[b].data
            && matches!((self.sets[a].values.hi(), self.sets[b].values.lo()), (Some(x), Some(y)) if x.compare(y).is_le())
    }

    /// The sign of what is added. A sum of doubles that is NaN is greater than everything, so only an addend of at least zero tells something of them;
    /// decimals may be rounded.
    fn sign(&self, id: TermId) -> Option<Sign> {
        let data = &self.terms[id].data;
        let zero = match data {
            DataType::Double => Value::Double(0.0),
            DataType::Float => Value::Float(0.0),
            data if crate::prove::arithmetic::is_whole(data) => crate::prove::set::at_ordinal(data, 0)?,
            _ => return None,
        };
        let values: &Values = &self.sets[id].values;
        if values.lo().is_some_and(|lo| lo.compare(&zero).is_ge()) {
            return Some(Sign::AtLeastZero);
        }
        (!data.is_floating() && values.hi().is_some_and(|hi| hi.compare(&zero).is_le())).then_some(Sign::AtMostZero)
    }

    /// Whether one term is at most the other (`Some(false)`), or less (`Some(true)`), as far as the relations lead.
    pub(crate) fn path(&self, from: TermId, to: TermId) -> Option<bool> {
        if self.edges.is_empty() {
            return None;
        }
        let mut reached: BTreeMap<TermId, bool> = BTreeMap::from([(from, false)]);
        let mut queue = vec![from];
        while let Some(at) = queue.pop() {
            let strict = reached[&at];
            // A term in between that may be null need not stand between the others.
            if at != from && self.sets[at].null {
                continue;
            }
            for edge in self.edges.iter().filter(|e| e.from == at) {
                let now = strict || edge.strict;
                if reached.get(&edge.to).is_none_or(|before| now && !before) {
                    reached.insert(edge.to, now);
                    queue.push(edge.to);
                }
            }
        }
        // The term itself is reached without a step.
        if from == to { None } else { reached.get(&to).copied() }
    }
}

enum Sign {
    AtLeastZero,
    AtMostZero,
}
