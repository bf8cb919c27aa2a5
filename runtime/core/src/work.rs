//! What each node of a graph did in an epoch: rows that went in and came out, and the time it took. Knows nothing of what nodes do with rows.

use crate::clock::Instant;
use flowc_ir::graph::Graph;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counted while an epoch runs, by all workers.
#[derive(Debug, Default)]
struct Counters {
    rows_in: AtomicU64,
    rows_out: AtomicU64,
    nanoseconds: AtomicU64,
}

/// Of each node of a graph, by its position.
#[derive(Debug)]
pub(crate) struct Work(Vec<Counters>);

/// What a node did in an epoch.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NodeWork {
    /// What the user calls the node: with the others' labels it tells whether a plan is the one that ran.
    pub label: String,
    /// Rows that went in; 0 where rows begin.
    pub rows_in: u64,
    /// Rows that came out; 0 where rows end.
    pub rows_out: u64,
    /// The time that all workers together spent in it, in microseconds; for a source, waiting for its rows to be read and decoded.
    pub microseconds: u64,
}

impl Work {
    pub(crate) fn new(nodes: usize) -> Work {
        Work((0..nodes).map(|_| Counters::default()).collect())
    }

    /// Rows go into a node.
    pub(crate) fn took(&self, node: usize, rows: usize) {
        self.0[node].rows_in.fetch_add(rows as u64, Ordering::Relaxed);
    }

    /// Rows come out of a node.
    pub(crate) fn gave(&self, node: usize, rows: usize) {
        self.0[node].rows_out.fetch_add(rows as u64, Ordering::Relaxed);
    }

    /// A node was at work since then.
    pub(crate) fn spent(&self, node: usize, since: Instant) {
        self.add(node, since.elapsed());
    }

    /// A node was at work so long.
    pub(crate) fn add(&self, node: usize, spent: Duration) {
        let nanoseconds = u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX);
        self.0[node].nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// Does a node's work.
    pub(crate) fn timed<T>(&self, node: usize, work: impl FnOnce() -> T) -> T {
        let since = Instant::now();
        let done = work();
        self.spent(node, since);
        done
    }

    /// Gives what an iterator makes, which is a node's work.
    pub(crate) fn each<T>(&self, node: usize, mut made: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
        std::iter::from_fn(move || self.timed(node, || made.next()))
    }

    /// What was counted.
    pub(crate) fn done(&self, graph: &Graph) -> Vec<NodeWork> {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let of = |(node, counters): (&flowc_ir::graph::Node, &Counters)| NodeWork {
            label: node.label.clone(),
            rows_in: read(&counters.rows_in),
            rows_out: read(&counters.rows_out),
            microseconds: read(&counters.nanoseconds) / 1000,
        };
        graph.nodes.iter().zip(&self.0).map(of).collect()
    }
}
