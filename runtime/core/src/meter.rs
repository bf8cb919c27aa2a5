//! Counts what an epoch reads of each source, for its reports. Knows nothing of where rows go.

use crate::connector::SourceRange;
use crate::report::{Progress, SourceProgress, SourceReport};
use crate::state::EpochRecord;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts what is read.
#[derive(Debug)]
pub(crate) struct Meter {
    pub(crate) epoch: u64,
    pub(crate) begun: i64,
    pub(crate) sources: Vec<Count>,
}

/// What is read of a source.
#[derive(Debug)]
pub(crate) struct Count {
    pub(crate) name: String,
    pub(crate) rows: AtomicU64,
    pub(crate) malformed: AtomicU64,
    /// Rows in the range.
    pub(crate) total: Option<u64>,
}

impl Meter {
    /// What was read of the sources that have something new.
    pub(crate) fn read(&self, record: &EpochRecord) -> Vec<SourceReport> {
        let report = |(name, range): (&String, &SourceRange)| {
            let count = self.sources.iter().find(|s| s.name == *name);
            let read = |pick: fn(&Count) -> &AtomicU64| count.map_or(0, |c| pick(c).load(Ordering::Relaxed));
            let (rows, malformed) = (read(|c| &c.rows), read(|c| &c.malformed));
            SourceReport { name: name.clone(), range: range.text.clone(), rows, malformed }
        };
        record.sources.iter().map(report).collect()
    }

    pub(crate) fn progress(&self, now: i64) -> Progress {
        let sources = self.sources.iter().map(|count| SourceProgress {
            name: count.name.clone(),
            rows: count.rows.load(Ordering::Relaxed),
            total: count.total,
        });
        Progress { epoch: self.epoch, sources: sources.collect(), elapsed: now - self.begun, violations: 0 }
    }
}
