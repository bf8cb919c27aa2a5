//! Work of a merge that mostly takes the processor, each piece in a thread of its own: it may wait for storage, and read files itself, without holding up others. Knows nothing of the work.

use super::layout::Layout;
use flowc_runtime::RunError;
use futures::future::{Either, select};
use std::pin::pin;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// Pieces of work under way. When it is dropped, they end where they next wait.
pub struct Threads<T> {
    tasks: JoinSet<Result<T, RunError>>,
    wanted: Vec<oneshot::Sender<()>>,
}

impl<T: Send + 'static> Threads<T> {
    /// None yet.
    pub fn new() -> Threads<T> {
        Threads { tasks: JoinSet::new(), wanted: vec![] }
    }

    /// Begins a piece.
    pub fn spawn(&mut self, work: impl Future<Output = Result<T, RunError>> + Send + 'static) {
        let (wanted, unwanted) = oneshot::channel();
        self.wanted.push(wanted);
        let runtime = Handle::current();
        self.tasks.spawn_blocking(move || {
            runtime.block_on(async {
                match select(pin!(work), unwanted).await {
                    Either::Left((done, _)) => done,
                    // Nobody hears it.
                    Either::Right(_) => Err(flowc_runtime::spill_error("given up")),
                }
            })
        });
    }

    /// What the next piece that ends comes to, in no order; none when all have ended.
    pub async fn next(&mut self, layout: &Layout) -> Option<Result<T, RunError>> {
        let done = self.tasks.join_next().await?;
        Some(done.map_err(|e| layout.internal(e)).flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test]
    async fn work_ends_when_nobody_wants_it_any_more() {
        let held = Arc::new(());
        let kept = Arc::clone(&held);
        let mut threads: Threads<()> = Threads::new();
        let (begun, begins) = oneshot::channel();
        threads.spawn(async move {
            let _ = begun.send(());
            std::future::pending::<()>().await;
            drop(kept);
            Ok(())
        });
        begins.await.expect("it begins");
        assert_eq!(Arc::strong_count(&held), 2);
        drop(threads);
        while Arc::strong_count(&held) > 1 {
            tokio::task::yield_now().await;
        }
    }
}
