//! Stopping a run from outside. Knows nothing of runs.

use std::sync::Arc;
use tokio::sync::watch;

/// Tells a run to stop: the work of the epoch ends uncommitted. Clones are the same switch.
#[derive(Debug, Clone)]
pub struct Cancel(Arc<watch::Sender<bool>>);

impl Default for Cancel {
    fn default() -> Self {
        Cancel(Arc::new(watch::Sender::new(false)))
    }
}

impl Cancel {
    /// A switch that is off.
    pub fn new() -> Self {
        Self::default()
    }

    /// Switches on; for good.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }

    /// Whether it is on.
    pub fn is_cancelled(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is on.
    pub async fn cancelled(&self) {
        // The sender is kept alive by `self`, so waiting cannot fail.
        let _ = self.0.subscribe().wait_for(|on| *on).await;
    }
}
