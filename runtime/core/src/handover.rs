//! What comes out of an operator on its way to the next stations: a few batches are on their way while the operator makes the next ones, so that neither waits for
//! the other as long as both have something to do (pipeline parallelism: Graefe, "Volcano", 1994). They get there one after the other, in order. Knows nothing of
//! what the stations do.

use crate::epoch::{EpochRun, Halt};
use crate::flow::{Cursor, Flow};
use crate::operators::internal;
use arrow::record_batch::RecordBatch;
use flowc_ir::eval::EvalContext;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// So many batches wait at most, besides the one that is on its way: an operator makes several at a time, and the stations take one after the other.
const AHEAD: usize = 4;

/// See the module.
pub(crate) struct Handover {
    /// None: one has failed.
    to: Option<mpsc::Sender<RecordBatch>>,
    way: JoinHandle<Result<(), Halt>>,
}

impl Handover {
    /// From this node; `what`: how it is called.
    pub(crate) fn new(
        run: &Arc<EpochRun>,
        flow: &Arc<Flow>,
        (node, what): (usize, &str),
        context: EvalContext,
    ) -> Handover {
        let (run, flow, what) = (Arc::clone(run), Arc::clone(flow), what.to_string());
        let (to, mut from) = mpsc::channel(AHEAD);
        let way = tokio::spawn(async move {
            let cursor = Cursor::new(0, 0);
            while let Some(batch) = from.recv().await {
                run.pass_all(&flow, &cursor, &[node], &batch, &what, context).await?;
            }
            Ok(())
        });
        Handover { to: Some(to), way }
    }

    /// Sends a batch on its way, once there is room; whether it makes sense to go on: none has failed.
    pub(crate) async fn push(&mut self, batch: RecordBatch) -> bool {
        let Some(to) = &self.to else { return false };
        if to.send(batch).await.is_err() {
            self.to = None;
        }
        self.to.is_some()
    }

    /// Waits until nothing is on its way any more; the failure, if a batch has failed.
    pub(crate) async fn finish(self) -> Result<(), Halt> {
        drop(self.to);
        self.way.await.unwrap_or_else(|panic| Err(internal(panic).into()))
    }
}
