//! Which filters may run before an operator that groups, joins or remembers rows instead of behind it: those that keep or remove all that the operator puts
//! together (a selection on the keys of a group commutes with grouping; Selinger et al., "Access path selection in a relational database management system",
//! SIGMOD 1979, and Ullman, "Principles of Database and Knowledge-Base Systems", for joins). Knows operators; nothing of how programs are taken apart.
//!
//! Laws: a filter goes ahead only where the operator cannot fail for what it removes, where nothing that is removed would have been late (late rows are counted),
//! and only in a computation of the whole, if the operator remembers rows: what is remembered from epoch to epoch is all groups, whatever is read of them, so that
//! a program that asks for more tomorrow finds them.

use super::analysis::can_fail;
use super::edit::expressions;
use super::prune::call_fails;
use flowc_ir::Schema;
use flowc_ir::graph::{Aggregate, Graph, JoinKind, NodeId, Operator};
use flowc_ir::plan::Plan;
use std::collections::BTreeMap;

/// Filters over these columns of what comes out of an operator may run on one of its inputs instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Crossing {
    /// Which input.
    pub(super) input: usize,
    /// The columns of what comes out, with their places in the input.
    pub(super) columns: BTreeMap<usize, usize>,
}

/// For every node, whether only computations of the whole read it.
pub(super) fn whole(plan: &Plan) -> Vec<bool> {
    let mut whole = vec![true; plan.graph.nodes.len()];
    // Nodes that are added while filters move stand behind their readers until they are numbered anew: this is asked before.
    for (id, node) in plan.graph.iter().rev() {
        if let Operator::Sink(sink) = node.operator {
            whole[id.0 as usize] = plan.sinks[sink.0 as usize].whole;
        }
        for input in &node.inputs {
            whole[input.0 as usize] &= whole[id.0 as usize];
        }
    }
    whole
}

/// Where filters behind a node may run instead. `whole`: only computations of the whole read it.
pub(super) fn crossings(graph: &Graph, node: NodeId, whole: bool) -> Vec<Crossing> {
    let of = graph.node(node);
    if of.kind.is_changing() {
        return vec![];
    }
    let input = |i: usize| &graph.node(of.inputs[i]).schema;
    let on_time = |time: Option<usize>| time.is_none_or(|time| !input(0).fields[time].ty.nullable);
    match &of.operator {
        Operator::Aggregate(aggregate) if !fails(aggregate, input(0)) => by_keys(&aggregate.keys),
        Operator::WindowAggregate(windowed)
            if whole && on_time(Some(windowed.time)) && !fails(&windowed.aggregate, input(0)) =>
        {
            by_keys(&windowed.aggregate.keys)
        }
        Operator::Dedup(dedup) if whole && on_time(dedup.time) => as_they_are(&dedup.keys),
        Operator::Top(top) if whole && top.window.is_none() => as_they_are(&top.keys),
        Operator::Join(join) if join.within.is_none() && !join.residual.iter().flat_map(expressions).any(can_fail) => {
            let (left, right) = (input(0).len(), input(1).len());
            let ours = Crossing { input: 0, columns: (0..left).map(|c| (c, c)).collect() };
            let theirs = Crossing { input: 1, columns: (0..right).map(|c| (left + c, c)).collect() };
            match join.kind {
                JoinKind::Inner => vec![ours, theirs],
                // A row of the other side comes out whatever this one has.
                JoinKind::Left | JoinKind::Semi | JoinKind::Anti => vec![ours],
                JoinKind::Right => vec![theirs],
                JoinKind::Full | JoinKind::Mark => vec![],
            }
        }
        _ => vec![],
    }
}

fn fails(aggregate: &Aggregate, input: &Schema) -> bool {
    (0..aggregate.aggregates.len()).any(|call| call_fails(aggregate, call, input))
}

/// Keys that come out first.
fn by_keys(keys: &[usize]) -> Vec<Crossing> {
    crossing(keys.iter().copied().enumerate().collect())
}

/// Keys that come out where they went in.
fn as_they_are(keys: &[usize]) -> Vec<Crossing> {
    crossing(keys.iter().map(|column| (*column, *column)).collect())
}

fn crossing(columns: BTreeMap<usize, usize>) -> Vec<Crossing> {
    // What reads no column at all removes everything or nothing, and one row comes out for no rows where there are no keys.
    if columns.is_empty() { vec![] } else { vec![Crossing { input: 0, columns }] }
}
