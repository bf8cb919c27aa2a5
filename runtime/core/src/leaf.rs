//! A leaf of the flow on its way through the workers, who take its splits one after the other. Knows nothing of what becomes of the rows.

use crate::clock::Instant;
use crate::connector::{LookupTable, Part, RowFilter, Source, Split};
use crate::deferred::Narrow;
use crate::epoch::{EpochRun, Halt, dated};
use crate::error::Blame;
use crate::flow::{Cursor, Flow};
use crate::jobs::located;
use crate::meter::Meter;
use crate::operators::internal;
use crate::read_ahead::Ahead;
use crate::report::Progress;
use flowc_ir::eval::EvalContext;
use futures::StreamExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::JoinSet;

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
    /// What is there of them already.
    pub(crate) ahead: Option<Ahead>,
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
        Leaf { rows, malformed, reader, reading, splits, ahead: None, origin, next, last, failed: Mutex::new(None) }
    }

    /// The same, of which something else is read.
    pub(crate) fn reading(self, reading: Reading) -> Self {
        Leaf { reading, ..self }
    }

    /// The same, of which this was read ahead.
    pub(crate) fn ahead(self, ahead: Option<Ahead>) -> Self {
        Leaf { ahead, ..self }
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

impl EpochRun {
    /// Reads the splits of a leaf with all workers. Of several failures, that of the lowest split is reported: lower splits are read to their end first.
    pub(crate) async fn leaf(
        self: &Arc<Self>,
        leaf: Leaf,
        flow: &Arc<Flow>,
        meter: &Arc<Meter>,
        context: EvalContext,
    ) -> Result<(), Halt> {
        let leaf = Arc::new(leaf);
        let mut tasks = JoinSet::new();
        for worker in 0..self.options.workers.max(1).min(leaf.splits.len()) {
            let (this, leaf) = (Arc::clone(self), Arc::clone(&leaf));
            let (flow, meter) = (Arc::clone(flow), Arc::clone(meter));
            tasks.spawn(async move {
                loop {
                    let split = leaf.next.fetch_add(1, Ordering::SeqCst);
                    if split >= leaf.splits.len() || split > leaf.last.load(Ordering::SeqCst) {
                        break;
                    }
                    if let Err(halt) = this.split(&leaf, split, worker, &flow, &meter, context).await {
                        leaf.fail(split, halt);
                    }
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            if let Err(panic) = done {
                return Err(internal(panic).into());
            }
        }
        let failed = leaf.failed.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((_, halt)) = failed {
            return Err(halt);
        }
        for node in leaf.nodes() {
            flow.leaf_done(node).await?;
        }
        Ok(())
    }

    async fn split(
        &self,
        leaf: &Leaf,
        index: usize,
        worker: usize,
        flow: &Flow,
        meter: &Meter,
        context: EvalContext,
    ) -> Result<(), Halt> {
        let split = &leaf.splits[index];
        let at = |e| located(e, leaf.origin);
        let cursor = Cursor::new(worker, index as u32);
        let batch_rows = self.options.batch_rows.max(1);
        let ahead = match &leaf.ahead {
            Some(ahead) => ahead.take(index).await,
            None => None,
        };
        let mut stream = match ahead {
            Some((parts, spent)) => {
                flow.work.add(leaf.timed(), spent);
                parts
            }
            None => crate::deferred::parts(leaf, split, batch_rows).await.map_err(at)?,
        };
        // How rows and malformed records are cut means nothing: the split's first row that fails comes before its first such record.
        let mut held: Option<Halt> = None;
        let reading = leaf.timed();
        let mut begun = Instant::now();
        while let Some(part) = self.interruptible(stream.next()).await? {
            flow.work.spent(reading, begun);
            if index > leaf.last.load(Ordering::SeqCst) {
                return Ok(());
            }
            let (rows, malformed) = match part.map_err(at)? {
                Part::Rows(batch) => {
                    let rows = batch.num_rows() as u64;
                    self.send((flow, leaf), &cursor, batch, &split.text, context).await?;
                    (rows, 0)
                }
                Part::Skipped(rows) => {
                    leaf.rows.iter().for_each(|node| flow.skipped(*node, rows));
                    (rows, 0)
                }
                Part::Malformed(batch) => {
                    let dated = dated(&batch, context.epoch)?;
                    if held.is_none() {
                        match self.pass_all(flow, &cursor, &leaf.malformed, &dated, &split.text, context).await {
                            Err(Halt::Error(error)) if error.blame == Blame::Data => held = Some(Halt::Error(error)),
                            passed => passed?,
                        }
                    }
                    (0, batch.num_rows() as u64)
                }
            };
            // Nothing above has to wait where files are local; signals must be heard all the same.
            tokio::task::yield_now().await;
            if let Some(source) = leaf.counted()
                && rows + malformed > 0
            {
                meter.sources[source].rows.fetch_add(rows, Ordering::Relaxed);
                meter.sources[source].malformed.fetch_add(malformed, Ordering::Relaxed);
                let violations = flow.violations();
                self.observer.progress(&Progress { violations, ..meter.progress(self.options.clock.now()) });
            }
            begun = Instant::now();
        }
        if let Some(halt) = held {
            return Err(halt);
        }
        for node in leaf.nodes() {
            flow.split_done(node, index as u32).await?;
        }
        Ok(())
    }
}
