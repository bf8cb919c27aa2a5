//! The vectorized runtime: operators, epochs, the checkpoint protocol, and the connectors for files, generated rows and the console.
//!
//! Invariants: operators see batches and the ends of epochs only; the checkpoint protocol is a pure decision over observed facts; the same ranges give the
//! same rows whatever the number of workers or the size of batches. This crate must not know of the syntax, the compiler, code generation, or Delta.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod backfill;
pub mod batch;
pub mod cancel;
pub mod clock;
pub mod codes;
pub mod connector;
pub mod connectors;
mod deferred;
mod epoch;
pub mod error;
mod flow;
mod handover;
mod jobs;
mod key_pruning;
pub mod keys;
mod leaf;
mod marks;
mod meter;
pub mod operators;
mod partition;
mod pins;
pub mod protocol;
pub mod quality;
mod read_ahead;
pub mod report;
mod resequence;
mod run;
mod sink_station;
mod spill;
pub mod state;
mod tables;
#[cfg(test)]
mod testing;
pub mod text;
pub mod upgrade;
mod work;
mod zset;

pub use cancel::Cancel;
pub use clock::{Clock, SystemClock};
pub use connector::*;
#[cfg(feature = "files")]
pub use connectors::FileConnectors;
#[cfg(feature = "files")]
pub use connectors::catalog::FileCatalog;
pub use error::{Blame, RunError};
pub use operators::stateful::Remembered;
pub use report::{EpochReport, Observer, Progress, RunSummary, SinkReport, SourceReport, StepReport};
pub use run::{Follow, RunOptions, replay, run};
pub use spill::spill_error;
pub use work::NodeWork;
