//! What the runtime gets: the graph with its sources, tables and sinks, and a kernel for every program in it. It can be written as JSON (`plan.json`).
//! Knows nothing of the language that it was compiled from.

use crate::eval::Kernel;
use crate::expr::{Origin, Program};
use crate::graph::{Graph, NodeId, Operator};
use crate::types::Schema;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A compiled program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The pipeline's name (the program's file stem): with a sink's name it is the application id of the sink's transactions, so it must outlive runs.
    pub pipeline: String,
    /// The sources, by [`crate::graph::SourceId`].
    pub sources: Vec<SourceSpec>,
    /// The tables, by [`crate::graph::TableId`].
    pub tables: Vec<TableSpec>,
    /// The sinks, by [`crate::graph::SinkId`].
    pub sinks: Vec<SinkSpec>,
    /// The operators.
    pub graph: Graph,
}

/// Where rows are, with the connector's options checked and locations absolute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "connector")]
pub enum Connector {
    /// A Delta table.
    Delta {
        /// A URL, or an absolute path.
        location: String,
    },
    /// Parquet files.
    Parquet {
        /// An absolute path with `*`, `**`, `?`, `[..]`; as a sink a directory.
        glob: String,
    },
    /// CSV files (RFC 4180).
    Csv {
        /// As for Parquet.
        glob: String,
        /// Whether the first line has the names.
        header: bool,
        /// Between fields.
        delimiter: char,
        /// Around fields.
        quote: char,
        /// What stands for null besides an empty unquoted field.
        null: String,
    },
    /// JSON lines.
    Json {
        /// As for Parquet.
        glob: String,
    },
    /// Made-up rows, the same in each run: `id: long` from 0; further columns of a declared schema from a hash of seed, column and row.
    Generate {
        /// How many; none: without end.
        rows: Option<u64>,
        /// Rows a second at most; none: as fast as they are taken.
        rate: Option<u64>,
        /// Changes all values but `id`.
        seed: u64,
    },
    /// Standard output. A single string column is printed as it is, others as a JSON object a line.
    Console,
    /// A Kafka topic.
    Kafka {
        /// The topic.
        topic: String,
        /// `host:port`, separated by commas.
        brokers: String,
        /// `json`, …
        format: String,
    },
}

/// Which version of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VersionSpec {
    /// This one.
    Number(u64),
    /// The newest that was committed at or before this time (microseconds since 1970-01-01T00:00:00Z).
    Timestamp(i64),
}

/// What is known of the order in time in which the rows of a source come, where something waits for its watermark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// The column that the event time follows from, and how many microseconds one of it is: `timestamp` and 1000 for `timestamp_millis(timestamp)`. None: not
    /// known.
    pub column: Option<(String, i64)>,
    /// The watermark's delay in microseconds.
    pub delay: i64,
}

/// What becomes of rows that are updated or deleted in a source's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Updates {
    /// The run stops, and names the commit.
    #[default]
    Stop,
    /// Commits that update or delete rows are passed over whole: neither what they remove nor what they add is read.
    Ignore,
    /// They come out: the source's rows have a column [`crate::graph::WEIGHT`].
    Follow,
}

impl Updates {
    /// Whether it is [`Updates::Stop`].
    pub fn stop(&self) -> bool {
        *self == Updates::Stop
    }
}

/// A stream of rows to read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceSpec {
    /// Its name.
    pub name: String,
    /// Where.
    pub connector: Connector,
    /// The columns to read, by name, with the types they must have. The optimizer leaves out what nobody reads.
    pub schema: Schema,
    /// Only rows for which this is true are needed (over `schema`; single boolean output). Used to skip files and row groups, never relied on.
    pub predicate: Option<Program>,
    /// What becomes of records of text files that do not parse or do not fit. None: they stop the run. Otherwise they come out of
    /// [`Operator::Malformed`] instead, and these are the columns that they are judged by: all declared ones, whichever of them are read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantine: Option<Schema>,
    /// What becomes of rows that are updated or deleted. Of Delta tables alone.
    #[serde(default, skip_serializing_if = "Updates::stop")]
    pub updates: Updates,
    /// The column of `schema`, a timestamp, that says when a row's change was committed: not one of the table's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed: Option<String>,
    /// Where to begin when nothing has been read yet: this version's changes are included. None: with the snapshot of now.
    pub start: Option<VersionSpec>,
    /// Where something waits for the source's watermark: an epoch does not end before files that hold rows which would then be late, if that can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrival: Option<Arrival>,
    /// Constraints and generated columns of the table, name and SQL, that proofs rest on: a version that lacks one of them is not read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub promises: Vec<(String, String)>,
    /// The declaration.
    pub origin: Origin,
}

/// A table to look rows up in, or to scan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableSpec {
    /// Its name.
    pub name: String,
    /// Where.
    pub connector: Connector,
    /// The columns to read.
    pub schema: Schema,
    /// As for a source.
    pub predicate: Option<Program>,
    /// Pinned to a version; none: the newest when an epoch starts.
    pub version: Option<VersionSpec>,
    /// Constraints and generated columns of the table, name and SQL, that proofs rest on: a version that lacks one of them is not read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub promises: Vec<(String, String)>,
    /// The declaration.
    pub origin: Origin,
}

/// How a sink's rows meet those that are there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SinkMode {
    /// They are added.
    Append,
    /// They replace all.
    Overwrite,
    /// They replace all rows of the partitions that they belong to.
    OverwritePartition,
    /// Each takes the place of the row with its key, or is added. Where they change, a row of whose key nothing is left is removed. Of several rows of a key in
    /// an epoch, of a stream that only adds, the last one in the stream's order counts; of a stream that changes, what is left of the key must be one row.
    Merge {
        /// The key's columns: null is a key like any other.
        keys: Vec<String>,
    },
    /// Each is a version of its key's row, from the time in its column `valid_from` on. The table has two columns more, behind it: `valid_to`, the next version's
    /// `valid_from` or the time of the delete, null while it is current; and `is_current`. Versions come in any order: a version goes in between those that are there.
    /// Of several rows of a key with one `valid_from` the last one in the stream's order counts. Where the sink's rows change they have one more column,
    /// [`COMMITTED`], before the weight: a key that in one commit has rows taken away and none added was deleted at that time.
    Scd2 {
        /// The key's columns: null is a key like any other.
        keys: Vec<String>,
    },
}

/// The column of a changing stream into a sink that keeps history that says when the change was committed: a timestamp, never null.
pub const COMMITTED: &str = "#committed";

/// Where rows go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SinkSpec {
    /// Its name.
    pub name: String,
    /// Where.
    pub connector: Connector,
    /// How rows meet those that are there.
    pub mode: SinkMode,
    /// Whether what it reads is computed whole from the whole of its inputs whenever one of them changed (always for overwrite, and for append behind a
    /// blocking operator over bounded input); otherwise only from what is new.
    pub whole: bool,
    /// The columns written, in order, with comments; generated ones are among them: the program before the sink has computed or checked them. Of a stream that
    /// changes, the rows have [`crate::graph::WEIGHT`] besides, as their last column.
    pub schema: Schema,
    /// Whether the rows change.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub changing: bool,
    /// Names of the partition columns.
    pub partition_by: Vec<String>,
    /// Generated columns: name and Spark SQL expression, for a table that is created.
    pub generated: Vec<(String, String)>,
    /// CHECK constraints to declare: name and Spark SQL text. They, and those that the table already has, are asserted by the program before the sink.
    pub constraints: Vec<(String, String)>,
    /// CHECK constraints and generated columns of the existing table that the program before the sink asserts or computes: the sink refuses to commit to
    /// a table that by then has others.
    pub enforced: Vec<(String, String)>,
    /// Table properties to set on creation.
    pub properties: IndexMap<String, String>,
    /// The table's description.
    pub description: Option<String>,
    /// Whether columns that the table lacks are added.
    pub evolve: bool,
    /// The node that feeds it.
    pub input: NodeId,
    /// The declaration.
    pub origin: Origin,
}

/// Which program of the plan a kernel is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KernelSlot {
    /// Of a `Transform`.
    Transform(NodeId),
    /// Of a `Lookup`: over the table's rows.
    Prepare(NodeId),
    /// Of a `Lookup` or a `Join`: over pairs.
    Residual(NodeId),
}

impl Plan {
    /// Every program of the graph that needs a kernel, in the order of the nodes.
    pub fn programs(&self) -> Vec<(KernelSlot, &Program)> {
        let mut programs = vec![];
        for (id, node) in self.graph.iter() {
            match &node.operator {
                Operator::Transform(program) => programs.push((KernelSlot::Transform(id), program)),
                Operator::Lookup(lookup) => {
                    programs.push((KernelSlot::Prepare(id), &lookup.prepare));
                    programs.extend(lookup.residual.as_ref().map(|p| (KernelSlot::Residual(id), p)));
                }
                Operator::Join(join) => {
                    programs.extend(join.residual.as_ref().map(|p| (KernelSlot::Residual(id), p)));
                }
                _ => {}
            }
        }
        programs
    }
}

/// A plan with its kernels.
#[derive(Debug, Clone)]
pub struct Executable {
    /// The plan.
    pub plan: Plan,
    /// A kernel for each of [`Plan::programs`].
    pub kernels: IndexMap<KernelSlot, Arc<dyn Kernel>>,
}

impl Executable {
    /// Compiles every program of the plan.
    pub fn compile(plan: Plan, backend: &dyn crate::eval::Backend) -> Result<Executable, String> {
        let kernels = plan.programs().into_iter().map(|(slot, program)| Ok((slot, backend.compile(program)?)));
        let kernels = kernels.collect::<Result<_, String>>()?;
        Ok(Executable { plan, kernels })
    }
}
