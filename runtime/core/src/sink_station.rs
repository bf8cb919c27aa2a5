//! Begins a sink's part of an epoch: what identifies the epoch there, and how rows get to its writers. Knows nothing of what the rows go through before.

use crate::connector::{EpochId, Scratch, takes_order};
use crate::epoch::EpochRun;
use crate::error::RunError;
use crate::flow::{Lanes, SinkStation};
use crate::jobs::located;
use crate::resequence::Resequencer;
use crate::run::application;
use crate::spill::Budget;
use crate::state::EpochRecord;

/// A sink that must wait for all rows of an epoch may keep one part in so many of the memory.
const SINK_PART: usize = 4;

impl EpochRun {
    /// Begins a sink's part. Until then nothing of it has to be undone.
    pub(crate) async fn sink(
        &self,
        sink: usize,
        leaves: &[usize],
        record: &EpochRecord,
        budget: &Budget,
    ) -> Result<SinkStation, RunError> {
        let plan = &self.executable.plan;
        let (spec, target) = (&plan.sinks[sink], &self.world.sinks[sink]);
        let replayed = self.replayed.as_deref();
        let read = record.sources.get(&spec.name).map(|range| range.to.clone());
        let id = EpochId {
            started: record.started,
            replace: record.replace.contains(&spec.name),
            resumed: self.resumed,
            takes: read.filter(|_| replayed == Some(&spec.name)),
            partition: record.partition.clone(),
            program: self.options.program.clone(),
            scratch: Scratch { memory: budget.total / SINK_PART, directory: budget.directory.to_path_buf() },
            ..EpochId::new(application(plan, &spec.name, replayed), record.epoch)
        };
        let epoch = target.begin(id).await.map_err(|e| located(e, spec.origin))?;
        let lanes = if target.ordered() || takes_order(spec) {
            match epoch.writer().await {
                Ok(writer) => {
                    let lane = Resequencer::new(leaves, budget.clone(), writer);
                    Lanes::Ordered(tokio::sync::Mutex::new(Some(lane)))
                }
                Err(error) => {
                    epoch.abort(vec![]).await;
                    return Err(located(error, spec.origin));
                }
            }
        } else {
            Lanes::Parallel((0..self.options.workers.max(1)).map(|_| tokio::sync::Mutex::new(None)).collect())
        };
        Ok(SinkStation { epoch, lanes })
    }
}
