//! The Delta log: its actions, the commits that hold them, checkpoints, and the state of a table at a version. Knows the Delta protocol and
//! storage; nothing of pipelines.

pub mod actions;
pub mod checkpoint;
pub mod commits;
pub mod deletion;
pub mod features;
pub mod snapshot;

pub use actions::{Add, Cdc, Commit, Metadata, Protocol, Remove, Txn};
pub use snapshot::Snapshot;
