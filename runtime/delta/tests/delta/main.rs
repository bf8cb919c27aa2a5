//! Tests of Delta tables over real and injected storage: one binary, since each links everything.

mod acceptance;
mod common;
mod faults;
mod recovery;
mod roundtrip;
mod sinks;
mod sources;
