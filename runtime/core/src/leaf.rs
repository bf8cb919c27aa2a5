//! A leaf of the flow on its way through the workers, who take its splits one after the other. Knows nothing of what becomes of the rows.

use crate::connector::{LookupTable, RowFilter, Source, Split};
use crate::deferred::Narrow;
use crate::epoch::Halt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Where a leaf's rows come from.
#[derive(Debug, Clone)]
pub(crate) enum Reader {
    Source(usize, Arc<dyn Source>),
    Table(Arc<dyn LookupTable>),
}

/// What is read of a leaf.
#[derive(Debug)]
pub(crate) enum Reading {
    /// Everything.
    Whole,
    /// Some columns; others are read later.
    Columns(Arc<Narrow>),
    /// Rows of a source that was read before, for the left side of a join.
    Again {
        /// The node of the source.
        node: usize,
        /// The join.
        join: usize,
        /// Which rows it needs; none: all.
        filter: Option<Arc<dyn RowFilter>>,
    },
}

/// A leaf on its way through the workers.
#[derive(Debug)]
pub(crate) struct Leaf {
    /// The nodes that its rows enter.
    pub(crate) rows: Vec<usize>,
    /// Those that its malformed records enter.
    pub(crate) malformed: Vec<usize>,
    pub(crate) reader: Reader,
    pub(crate) reading: Reading,
    pub(crate) splits: Vec<Split>,
    pub(crate) origin: flowc_ir::Origin,
    pub(crate) next: AtomicUsize,
    /// No split beyond this one matters any more.
    pub(crate) last: AtomicUsize,
    /// The failure of the lowest split.
    pub(crate) failed: Mutex<Option<(usize, Halt)>>,
}

impl Leaf {
    pub(crate) fn new(
        (rows, malformed): (Vec<usize>, Vec<usize>),
        reader: Reader,
        splits: Vec<Split>,
        origin: flowc_ir::Origin,
    ) -> Self {
        let (next, last) = (AtomicUsize::new(0), AtomicUsize::new(usize::MAX));
        let reading = Reading::Whole;
        Leaf { rows, malformed, reader, reading, splits, origin, next, last, failed: Mutex::new(None) }
    }

    /// The same, of which something else is read.
    pub(crate) fn reading(self, reading: Reading) -> Self {
        Leaf { reading, ..self }
    }

    /// The node whose time reading it takes.
    pub(crate) fn timed(&self) -> usize {
        match self.reading {
            Reading::Again { node, .. } => node,
            _ => self.nodes().next().unwrap_or_default(),
        }
    }

    /// The source whose rows it counts, by its position in the plan.
    pub(crate) fn counted(&self) -> Option<usize> {
        match (&self.reader, &self.reading) {
            (Reader::Source(source, _), Reading::Whole | Reading::Columns(_)) => Some(*source),
            _ => None,
        }
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = usize> {
        self.rows.iter().chain(&self.malformed).copied()
    }

    pub(crate) fn fail(&self, split: usize, halt: Halt) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.as_ref().is_none_or(|(lowest, _)| split < *lowest) {
            self.last.fetch_min(split, Ordering::SeqCst);
            *failed = Some((split, halt));
        }
    }
}
