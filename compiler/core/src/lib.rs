//! From syntax trees to a plan: resolve, types, lower, optimize. `pipeline` is the table of contents.
//!
//! Invariants: pure: the output depends on the sources, the catalog, the parameters and nothing else; a mistake gives one diagnostic; every stage is a type,
//! made only by the one before. This crate must not know of Delta, files, code generation or the runtime.

mod check;
pub mod checked;
pub mod codes;
pub mod explain;
pub mod facts;
pub mod load;
pub mod lock;
pub mod lower;
pub mod optimize;
pub mod picture;
pub mod pipeline;
mod prove;
pub mod replay;
pub mod sql;

pub use check::connector::{ConnectorInfo, connectors};
