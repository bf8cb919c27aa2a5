//! Which values cannot be null, given that a condition came out in some way. Works on typed expressions; knows nothing of syntax.

use flowc_ir::functions::Nulls;
use flowc_ir::{Expr, ExprKind, LocalId, Value};
use std::collections::BTreeSet;

/// Where a value is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Root {
    /// A column of the row.
    Slot(usize),
    /// A variable.
    Local(LocalId),
}

/// A value, or a field of it: the positions of the fields from the outside in.
pub(crate) type Path = (Root, Vec<usize>);

/// The values that are known not to be null.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Facts(BTreeSet<Path>);

/// How a condition came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is true.
    True,
    /// It is false.
    False,
    /// It is false or null.
    NotTrue,
    /// It is true or null.
    NotFalse,
}

impl Outcome {
    fn negated(self) -> Outcome {
        match self {
            Outcome::True => Outcome::False,
            Outcome::False => Outcome::True,
            Outcome::NotTrue => Outcome::NotFalse,
            Outcome::NotFalse => Outcome::NotTrue,
        }
    }
}

impl Facts {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this is known.
    pub fn has(&self, path: &Path) -> bool {
        self.0.contains(path)
    }

    /// Whether the column in this slot is known not to be null.
    pub fn slot(&self, slot: usize) -> bool {
        self.0.contains(&(Root::Slot(slot), vec![]))
    }

    /// Learns more.
    pub fn add(&mut self, other: Facts) {
        self.0.extend(other.0);
    }

    /// What is known of columns only.
    pub fn of_slots(&self) -> Facts {
        Facts(self.0.iter().filter(|(root, _)| matches!(root, Root::Slot(_))).cloned().collect())
    }

    /// What is known once columns have moved; those that `to` has no place for are forgotten.
    pub fn moved(&self, to: impl Fn(usize) -> Option<usize>) -> Facts {
        let moved = self.0.iter().filter_map(|(root, path)| match root {
            Root::Slot(slot) => Some((Root::Slot(to(*slot)?), path.clone())),
            Root::Local(_) => None,
        });
        Facts(moved.collect())
    }

    /// Adds what follows for the values that variables are bound to.
    pub fn through(mut self, bound: &[(LocalId, Expr)]) -> Facts {
        for (local, value) in bound.iter().rev() {
            if self.0.contains(&(Root::Local(*local), vec![])) {
                self.add(present(value));
            }
        }
        self
    }

    fn both(self, other: Facts) -> Facts {
        Facts(self.0.intersection(&other.0).cloned().collect())
    }

    fn without(mut self, local: LocalId, value: &Expr) -> Facts {
        self = self.through(&[(local, value.clone())]);
        self.0.retain(|(root, _)| *root != Root::Local(local));
        self
    }
}

fn union(facts: impl Iterator<Item = Facts>) -> Facts {
    facts.fold(Facts::default(), |mut all, f| {
        all.add(f);
        all
    })
}

fn intersection(facts: impl Iterator<Item = Facts>) -> Facts {
    facts.reduce(Facts::both).unwrap_or_default()
}

/// The path of an expression that only reads a column, a variable, or fields of one.
pub(crate) fn path(e: &Expr) -> Option<Path> {
    match &e.kind {
        ExprKind::Column(slot) => Some((Root::Slot(*slot), vec![])),
        ExprKind::Local(local) => Some((Root::Local(*local), vec![])),
        ExprKind::Field { value, index } => {
            let (root, mut fields) = path(value)?;
            fields.push(*index);
            Some((root, fields))
        }
        _ => None,
    }
}

/// What cannot be null if this value is not.
pub(crate) fn present(e: &Expr) -> Facts {
    match &e.kind {
        ExprKind::Column(_) | ExprKind::Local(_) => Facts(path(e).into_iter().collect()),
        ExprKind::Field { value, .. } => {
            let mut facts = present(value);
            facts.0.extend(path(e));
            facts
        }
        ExprKind::Call { function, args } if function.nulls == Nulls::Propagate => union(args.iter().map(present)),
        ExprKind::Cast { value, .. } | ExprKind::Try(value) | ExprKind::Not(value) => present(value),
        ExprKind::InList { value, .. } => present(value),
        ExprKind::Coalesce(values) => intersection(values.iter().map(present)),
        ExprKind::Let { local, value, body } => present(body).without(*local, value),
        ExprKind::If { condition, then, otherwise } => {
            let mut yes = facts(condition, Outcome::True);
            yes.add(present(then));
            let mut no = facts(condition, Outcome::NotTrue);
            no.add(present(otherwise));
            yes.both(no)
        }
        _ => Facts::default(),
    }
}

/// What cannot be null if this condition came out so.
pub(crate) fn facts(e: &Expr, outcome: Outcome) -> Facts {
    use Outcome::*;
    match (&e.kind, outcome) {
        (ExprKind::And(xs), True | NotFalse) | (ExprKind::Or(xs), False | NotTrue) => {
            union(xs.iter().map(|x| facts(x, outcome)))
        }
        (ExprKind::And(xs), False | NotTrue) | (ExprKind::Or(xs), True | NotFalse) => {
            intersection(xs.iter().map(|x| facts(x, outcome)))
        }
        (ExprKind::Not(x), _) => facts(x, outcome.negated()),
        (ExprKind::IsNull(x), False | NotTrue) => present(x),
        (ExprKind::IsNull(_), True | NotFalse) => Facts::default(),
        (ExprKind::Let { local, value, body }, _) => facts(body, outcome).without(*local, value),
        (_, NotTrue) if !e.ty.nullable => facts(e, False),
        (_, NotFalse) if !e.ty.nullable => facts(e, True),
        (_, NotTrue | NotFalse) => Facts::default(),
        (ExprKind::Coalesce(xs), _) => coalesced(xs, outcome),
        (ExprKind::If { condition, then, otherwise }, _) => chosen(condition, then, otherwise, outcome),
        _ => present(e),
    }
}

/// `x ?? false` is true only where x is.
fn coalesced(xs: &[Expr], outcome: Outcome) -> Facts {
    let other = Value::Boolean(outcome == Outcome::False);
    match xs.split_first() {
        Some((first, rest)) if rest.iter().all(|x| matches!(&x.kind, ExprKind::Literal(v) if *v == other)) => {
            facts(first, outcome)
        }
        _ => intersection(xs.iter().map(|x| facts(x, outcome))),
    }
}

fn chosen(condition: &Expr, then: &Expr, otherwise: &Expr, outcome: Outcome) -> Facts {
    let never = |x: &Expr| match (&x.kind, outcome) {
        (ExprKind::Literal(Value::Boolean(b)), Outcome::True) => !*b,
        (ExprKind::Literal(Value::Boolean(b)), Outcome::False) => *b,
        (ExprKind::Literal(Value::Null), _) => true,
        _ => false,
    };
    let branch = |x: &Expr, taken: Outcome| {
        let mut known = facts(condition, taken);
        known.add(facts(x, outcome));
        known
    };
    match (never(then), never(otherwise)) {
        (false, true) => branch(then, Outcome::True),
        (true, false) => branch(otherwise, Outcome::NotTrue),
        _ => branch(then, Outcome::True).both(branch(otherwise, Outcome::NotTrue)),
    }
}
