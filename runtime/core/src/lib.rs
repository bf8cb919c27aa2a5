//! The vectorized runtime: operators, epochs, the checkpoint protocol, and the connectors for files, generated rows and the console.
//!
//! Invariants: operators see batches and the ends of epochs only; the checkpoint protocol is a pure decision over observed facts; the same ranges give the
//! same rows whatever the number of workers or the size of batches. This crate must not know of the syntax, the compiler, code generation, or Delta.

pub mod connector;
pub mod error;

pub use connector::*;
pub use error::{Blame, RunError};
