//! Delta tables for flowc: the source, the lookup table, the sink and the catalog, on a log layer of its own. The only user of deltalake, of
//! which it takes the log stores (put-if-absent of a version) and the writing of checkpoints.
//!
//! Invariants: an epoch is visible if and only if its commit exists, and the commit carries the epoch's transaction; a range of a source gives
//! the same rows whenever it is read; a table with a protocol feature that is not honoured is refused by the feature's name. This crate must
//! not know of the language, the compiler, or the operators.

mod by_value;
pub mod catalog;
pub mod changes;
pub mod codes;
pub mod connectors;
pub mod convert;
pub mod create;
pub mod decode;
pub mod facts;
pub mod file_reader;
pub mod history;
pub mod local_rows;
pub mod log;
pub mod lookup;
pub mod partition;
pub mod past;
pub mod prune;
pub mod scan;
pub mod schema;
pub mod show;
pub mod sink;
pub mod source;
pub mod storage;
pub mod within;

pub use catalog::DeltaCatalog;
pub use connectors::{DeltaConnectors, prune_report, table_prune_report};
pub use create::{NewTable, create_table_with_rows, write_rows};
pub use lookup::DeltaTable;
pub use sink::DeltaSink;
pub use source::DeltaSource;
pub use storage::{Storage, StorageError};
