//! The connectors that need nothing but this machine: files (parquet, csv, json lines), made-up rows, the console; and rows in memory, which need not even that.

#[cfg(feature = "files")]
pub mod catalog;
mod cells;
#[cfg(feature = "files")]
mod conform;
#[cfg(feature = "files")]
pub mod console;
#[cfg(feature = "files")]
mod csv;
#[cfg(feature = "files")]
mod directory;
#[cfg(feature = "files")]
pub mod files;
pub mod generate;
#[cfg(feature = "files")]
mod json;
#[cfg(feature = "files")]
mod local;
pub mod memory;
#[cfg(feature = "files")]
mod parquet;
#[cfg(feature = "files")]
mod prune;
#[cfg(feature = "files")]
mod records;
pub mod sample;
#[cfg(feature = "files")]
mod scan;
#[cfg(test)]
mod tests;
#[cfg(feature = "files")]
mod write;

pub use cells::{BadRow, batch_of_json};
#[cfg(feature = "files")]
pub use local::FileConnectors;
