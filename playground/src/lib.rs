//! The compiler for a page: a program and sample tables come in as JSON, what is to be seen of them goes out as JSON: mistakes, colours, hover, completion, the
//! graph, the plan, and the rows that the interpreter makes of the samples.
//!
//! Invariants: nothing is opened, and no clock is read; the same request gives the same answer; a request that is none gets an answer that says so. Rows are those
//! of the runtime, which runs as it does elsewhere, with everything in memory. This crate must not know of pages: how answers are shown is theirs.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod editor;
#[cfg(target_family = "wasm")]
mod exports;
mod offsets;
mod rows;
mod samples;
mod session;
mod show;

pub use session::Session;
