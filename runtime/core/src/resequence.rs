//! Brings the rows of parallel workers back into the order of the input, for sinks that are ordered. What comes too early waits in memory or a temporary file.

use crate::batch::Batch;
use crate::connector::SinkWriter;
use crate::error::RunError;
use crate::spill::{Budget, SpillBuffer};
use std::collections::{BTreeMap, BTreeSet};

/// One way from a leaf of the graph to the sink.
#[derive(Debug)]
struct Path {
    /// The leaf's node.
    leaf: usize,
    /// All splits below this one are at their end.
    next: u32,
    /// Splits at their end beyond `next`.
    done: BTreeSet<u32>,
    /// Whether all splits of the leaf are at their end.
    finished: bool,
    /// What came too early, by split.
    early: BTreeMap<u32, SpillBuffer>,
}

/// The writer of an ordered sink, with what it may not write yet.
pub(crate) struct Resequencer {
    paths: Vec<Path>,
    current: usize,
    budget: Budget,
    writer: Box<dyn SinkWriter>,
}

impl std::fmt::Debug for Resequencer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resequencer").field("paths", &self.paths).field("current", &self.current).finish()
    }
}

impl Resequencer {
    /// `leaves`: for each path to the sink, in order, the leaf where it begins.
    pub(crate) fn new(leaves: &[usize], budget: Budget, writer: Box<dyn SinkWriter>) -> Self {
        let path = |&leaf| Path { leaf, next: 0, done: BTreeSet::new(), finished: false, early: BTreeMap::new() };
        Resequencer { paths: leaves.iter().map(path).collect(), current: 0, budget, writer }
    }

    /// Takes a batch; those of one path and split come in order.
    pub(crate) async fn push(&mut self, batch: Batch) -> Result<(), RunError> {
        let (path, split) = (batch.order.path as usize, batch.order.split);
        let place = &self.paths[path];
        debug_assert!(
            split >= place.next && !place.done.contains(&split) && !place.finished,
            "rows of split {split} after its end"
        );
        if path == self.current && split == self.paths[path].next {
            return self.writer.write(&batch.data).await;
        }
        let budget = &self.budget;
        let early = self.paths[path].early.entry(split).or_insert_with(|| SpillBuffer::new(budget.clone()));
        early.push(batch.data)
    }

    /// A split of a leaf is at its end.
    pub(crate) async fn split_done(&mut self, leaf: usize, split: u32) -> Result<(), RunError> {
        for path in self.paths.iter_mut().filter(|p| p.leaf == leaf) {
            path.done.insert(split);
        }
        self.advance().await
    }

    /// All splits of a leaf are at their end.
    pub(crate) async fn leaf_done(&mut self, leaf: usize) -> Result<(), RunError> {
        for path in self.paths.iter_mut().filter(|p| p.leaf == leaf) {
            path.finished = true;
        }
        self.advance().await
    }

    async fn advance(&mut self) -> Result<(), RunError> {
        while let Some(path) = self.paths.get_mut(self.current) {
            if let Some(early) = path.early.remove(&path.next) {
                for batch in early.drain()? {
                    self.writer.write(&batch?).await?;
                }
            }
            if path.done.remove(&path.next) {
                path.next += 1;
            } else if path.finished {
                self.current += 1;
            } else {
                break;
            }
        }
        Ok(())
    }

    pub(crate) fn into_writer(self) -> Box<dyn SinkWriter> {
        self.writer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Order;
    use crate::connector::Written;
    use arrow::array::{AsArray, Int64Array, RecordBatch};
    use arrow::datatypes::Int64Type;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Collect(Arc<Mutex<Vec<i64>>>);

    #[async_trait::async_trait]
    impl SinkWriter for Collect {
        async fn write(&mut self, batch: &RecordBatch) -> Result<(), RunError> {
            self.0.lock().unwrap().extend(batch.column(0).as_primitive::<Int64Type>().values());
            Ok(())
        }
        async fn finish(self: Box<Self>) -> Result<Written, RunError> {
            Ok(Written::default())
        }
        async fn abort(self: Box<Self>) {}
    }

    fn batch(path: u32, split: u32, value: i64) -> Batch {
        let column = Arc::new(Int64Array::from(vec![value])) as arrow::array::ArrayRef;
        let data = RecordBatch::try_from_iter([("n", column)]).unwrap();
        Batch { data, order: Order { path, split, sequence: 0 } }
    }

    #[tokio::test]
    async fn rows_come_out_by_path_and_split() {
        let directory = tempfile::tempdir().unwrap();
        let out = Collect::default();
        // The second path's leaf (3) runs before the first's (7); nothing fits in memory.
        let budget = Budget::new(0, directory.path());
        let mut r = Resequencer::new(&[7, 3], budget, Box::new(out.clone()));
        for (path, split, value) in [(1, 1, 111), (1, 0, 100), (1, 1, 112)] {
            r.push(batch(path, split, value)).await.unwrap();
        }
        r.split_done(3, 1).await.unwrap();
        r.split_done(3, 0).await.unwrap();
        r.leaf_done(3).await.unwrap();
        assert_eq!(*out.0.lock().unwrap(), Vec::<i64>::new());
        r.push(batch(0, 1, 11)).await.unwrap();
        r.push(batch(0, 0, 1)).await.unwrap();
        assert_eq!(*out.0.lock().unwrap(), [1]);
        r.push(batch(0, 0, 2)).await.unwrap();
        r.split_done(7, 0).await.unwrap();
        assert_eq!(*out.0.lock().unwrap(), [1, 2, 11]);
        r.push(batch(0, 1, 12)).await.unwrap();
        r.split_done(7, 1).await.unwrap();
        r.leaf_done(7).await.unwrap();
        assert_eq!(*out.0.lock().unwrap(), [1, 2, 11, 12, 100, 111, 112]);
    }
}
