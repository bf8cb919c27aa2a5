//! What comes out of an operator on its way to the next stations: a batch is on its way while the operator makes the next one, and they get there one after the
//! other. Knows nothing of what the stations do.

use crate::epoch::{EpochRun, Halt};
use crate::flow::{Cursor, Flow};
use crate::operators::internal;
use arrow::record_batch::RecordBatch;
use flowc_ir::eval::EvalContext;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// See the module.
pub(crate) struct Handover {
    run: Arc<EpochRun>,
    flow: Arc<Flow>,
    /// Where the rows come from, and how that is called.
    node: usize,
    what: String,
    context: EvalContext,
    cursor: Arc<Cursor>,
    on_its_way: Option<JoinHandle<Result<(), Halt>>>,
    failed: Option<Halt>,
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
        let cursor = Arc::new(Cursor::new(0, 0));
        Handover { run, flow, node, what, context, cursor, on_its_way: None, failed: None }
    }

    /// Sends a batch on its way, once the one before it has arrived; whether it makes sense to go on: none has failed.
    pub(crate) async fn push(&mut self, batch: RecordBatch) -> bool {
        self.arrive().await;
        if self.failed.is_some() {
            return false;
        }
        let (run, flow, cursor) = (Arc::clone(&self.run), Arc::clone(&self.flow), Arc::clone(&self.cursor));
        let (node, what, context) = (self.node, self.what.clone(), self.context);
        let way = async move { run.pass_all(&flow, &cursor, &[node], &batch, &what, context).await };
        self.on_its_way = Some(tokio::spawn(way));
        true
    }

    async fn arrive(&mut self) {
        let Some(batch) = self.on_its_way.take() else { return };
        match batch.await {
            Ok(Ok(())) => {}
            Ok(Err(halt)) => self.failed = Some(halt),
            Err(panic) => self.failed = Some(internal(panic).into()),
        }
    }

    /// Waits until nothing is on its way any more; the failure, if a batch has failed.
    pub(crate) async fn finish(mut self) -> Result<(), Halt> {
        self.arrive().await;
        self.failed.map_or(Ok(()), Err)
    }
}
