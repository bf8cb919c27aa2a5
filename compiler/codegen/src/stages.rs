//! A function with filters as two: one finds the rows that stay, the other computes values of these, close together, so that it can use vectors and asks
//! no row whether it is there. In between columns lose the rows that do not stay; what is only handed on is then done. As no other row comes to the
//! second function, what the filters demand holds there for all: no null, no overflow that they exclude (in "Everything You Always Wanted to Know About
//! Compiled and Vectorized Queries But Were Afraid to Ask", Kersten and others, VLDB 2018, the relaxed operator fusion of Menon, Mowry and Pavlo, VLDB
//! 2017: fused but for points where rows are gathered for vectors). Knows expressions; nothing of arrays and code.

use crate::emit::by_vectors;
use crate::fused::{Fused, FusedStep};
use crate::{range, valid};
use flowc_ir::{Expr, ExprKind};
use std::collections::BTreeSet;

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stages {
    /// What is left of the function: the filters and what comes before them; and the values that it still writes, if there is no second function.
    pub(crate) filter: Fused,
    /// Values of the rows that stay; none if all are handed on.
    pub(crate) project: Option<Fused>,
    /// For each value of the whole function where it comes from.
    pub(crate) sources: Vec<Source>,
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The slot of a column that is read.
    Column(usize),
    /// A number among the values of the first function.
    Filter(usize),
    /// A number among the values of the second one.
    Project(usize),
}

impl Stages {
    /// The function as two; none where one is as good: without filters, or where nothing is handed on and no vector is used behind them.
    pub(crate) fn of(fused: &Fused) -> Option<Stages> {
        let last = fused.steps.iter().rposition(|s| matches!(s, FusedStep::Filter(_)))?;
        let (before, after) = fused.steps.split_at(last + 1);
        let handed_on = |e: &Expr| match e.kind {
            ExprKind::Column(slot) if fused.column(slot).is_some() => Some(slot),
            _ => None,
        };
        let computed: Vec<&Expr> = fused.targets.iter().filter(|e| handed_on(e).is_none()).collect();
        let project = project(fused, before, after, &computed);
        let two = computed.iter().any(|e| by_vectors(e, &project));
        if !two && computed.len() == fused.targets.len() {
            return None;
        }
        let mut number = 0;
        let sources = fused.targets.iter().map(|e| match handed_on(e) {
            Some(slot) => Source::Column(slot),
            None => {
                number += 1;
                if two { Source::Project(number - 1) } else { Source::Filter(number - 1) }
            }
        });
        let sources = sources.collect();
        let mut filter = Fused { steps: before.to_vec(), ..Fused::default() };
        if !two {
            filter.steps = fused.steps.clone();
            filter.targets = computed.into_iter().cloned().collect();
        }
        filter.columns = filter.outside(&fused.columns);
        Some(Stages { filter, project: two.then_some(project), sources })
    }
}

/// The second function.
fn project(fused: &Fused, before: &[FusedStep], after: &[FusedStep], targets: &[&Expr]) -> Fused {
    let mut project = Fused { targets: targets.iter().map(|e| (*e).clone()).collect(), ..Fused::default() };
    project.steps = after.to_vec();
    // Of what the first function computes, only what is read; its failures are counted there.
    for step in before.iter().rev() {
        if let FusedStep::Let { slot, .. } = step
            && project.reads().contains(slot)
        {
            project.steps.insert(0, step.clone());
            project.checked.insert(*slot);
        }
    }
    project.columns = project.outside(&fused.columns);
    for step in before {
        let FusedStep::Filter(condition) = step else { continue };
        let valid: BTreeSet<usize> = valid::demanded(condition, fused);
        for (slot, ty) in project.columns.iter_mut().filter(|(slot, _)| valid.contains(slot)) {
            debug_assert!(fused.columns.contains_key(slot));
            ty.nullable = false;
        }
        for (slot, bounds) in range::demanded(condition, fused) {
            let known = project.bounds.get(&slot).map_or(bounds, |before| before.and(bounds));
            project.bounds.insert(slot, known);
        }
    }
    project
}
