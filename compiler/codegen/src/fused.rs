//! What one compiled function does: the part of a program between two points where machine code cannot go on. Knows expressions; nothing of how
//! code is made or run.

use crate::range::Range;
use flowc_ir::{Expr, ExprKind, Type};
use std::collections::{BTreeMap, BTreeSet};

/// A step of a compiled function.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum FusedStep {
    /// Computes a slot that later steps and targets may read.
    Let {
        /// The slot's number in the program.
        slot: usize,
        /// Its value.
        value: Expr,
    },
    /// Lets a row through only where it is true.
    Filter(Expr),
    /// Fails a row where it is not true.
    Assert(Expr),
}

/// Steps over one row, then values to write for each row that survives them. Every expression in it satisfies [`crate::select::compiles`].
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Fused {
    /// In order.
    pub(crate) steps: Vec<FusedStep>,
    /// What is written.
    pub(crate) targets: Vec<Expr>,
    /// The slots that are read from outside, with their types: the columns of the function's arguments, in this order.
    pub(crate) columns: BTreeMap<usize, Type>,
    /// Between which bounds outside slots lie in all rows.
    pub(crate) bounds: BTreeMap<usize, Range>,
    /// Slots computed here that fail in no row: an earlier function has computed them, too.
    pub(crate) checked: BTreeSet<usize>,
}

impl Fused {
    /// Whether rows can be removed.
    pub(crate) fn filters(&self) -> bool {
        self.steps.iter().any(|s| matches!(s, FusedStep::Filter(_)))
    }

    /// The position of an outside slot among the columns.
    pub(crate) fn column(&self, slot: usize) -> Option<usize> {
        self.columns.keys().position(|s| *s == slot)
    }

    /// The value of a slot computed here.
    pub(crate) fn local_slot(&self, slot: usize) -> Option<&Expr> {
        self.steps.iter().find_map(|s| match s {
            FusedStep::Let { slot: s, value } if *s == slot => Some(value),
            _ => None,
        })
    }

    /// The slots that its expressions read, whether or not they are computed here.
    pub(crate) fn reads(&self) -> BTreeSet<usize> {
        let mut reads = BTreeSet::new();
        for step in &self.steps {
            match step {
                FusedStep::Let { value, .. } | FusedStep::Filter(value) | FusedStep::Assert(value) => {
                    columns(value, &mut reads);
                }
            }
        }
        self.targets.iter().for_each(|e| columns(e, &mut reads));
        reads
    }

    /// The slots that it reads and does not compute itself, with their types among these.
    pub(crate) fn outside(&self, types: &BTreeMap<usize, Type>) -> BTreeMap<usize, Type> {
        let outside = self.reads().into_iter().filter(|slot| self.local_slot(*slot).is_none());
        outside.map(|slot| (slot, types[&slot].clone())).collect()
    }
}

/// The slots that an expression reads.
pub(crate) fn columns(e: &Expr, into: &mut BTreeSet<usize>) {
    e.walk(&mut |e| {
        if let ExprKind::Column(slot) = e.kind {
            into.insert(slot);
        }
    });
}
