//! A leaf of the flow on its way through the workers, who take its splits one after the other. Knows nothing of what becomes of the rows.

use crate::connector::{LookupTable, Source, Split};
use crate::epoch::Halt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Where a leaf's rows come from.
#[derive(Debug, Clone)]
pub(crate) enum Reader {
    Source(usize, Arc<dyn Source>),
    Table(Arc<dyn LookupTable>),
}

/// A leaf on its way through the workers.
#[derive(Debug)]
pub(crate) struct Leaf {
    /// The nodes that its rows enter.
    pub(crate) rows: Vec<usize>,
    /// Those that its malformed records enter.
    pub(crate) malformed: Vec<usize>,
    pub(crate) reader: Reader,
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
        Leaf { rows, malformed, reader, splits, origin, next, last, failed: Mutex::new(None) }
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
