//! Tests of Delta tables over real and injected storage: one binary, since each links everything.

mod acceptance;
mod by_value;
mod catalog;
mod changes;
mod changing;
mod columns;
mod common;
mod faults;
mod features;
mod history;
mod key_pruning;
mod late;
mod merge;
mod overwrite_partition;
mod past;
mod pipelines;
mod pruning;
mod recovery;
mod replay;
mod roundtrip;
mod show;
mod sinks;
mod sources;
