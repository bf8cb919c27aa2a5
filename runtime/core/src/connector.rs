//! What the runtime asks of sources and sinks. Knows batches, ranges and epochs; nothing of any storage format.

use crate::error::RunError;
use crate::quality::Judgement;
use arrow::array::BooleanArray;
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter_record_batch;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use flowc_ir::key_pruning::EventTimes;
use flowc_ir::{Program, Schema};
use futures::StreamExt;
use futures::stream::BoxStream;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

/// How far a source has been read: the connector's own matter, kept as JSON. For Delta `{"version": 12}`; for files the list of those read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub serde_json::Value);

/// A recorded, finite part of a source: the same range gives the same rows in the same order whenever it is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRange {
    /// What was read before; none: nothing.
    pub from: Option<Position>,
    /// What has been read after it.
    pub to: Position,
    /// For people: `version 3..5`, `4 files`.
    pub text: String,
    /// Rows in it, where known.
    pub rows: Option<u64>,
    /// Bytes in it, where known.
    pub bytes: Option<u64>,
}

/// Partitions of a target: those in which each of these columns has this value, as Delta writes it in a path (`2026-11-22`), decoded; none: null.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Partition(pub IndexMap<String, Option<String>>);

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (column, value)) in self.0.iter().enumerate() {
            let between = if i == 0 { "" } else { "," };
            write!(f, "{between}{column}={}", value.as_deref().unwrap_or("null"))?;
        }
        Ok(())
    }
}

/// The most that one epoch takes of a source. A connector may exceed a bound by one indivisible unit, and always takes at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochLimits {
    /// Files.
    pub files: Option<u64>,
    /// Bytes.
    pub bytes: Option<u64>,
    /// Rows.
    pub rows: Option<u64>,
}

impl EpochLimits {
    /// Everything there is.
    pub const NONE: EpochLimits = EpochLimits { files: None, bytes: None, rows: None };
}

/// A part of a range that one worker reads from its beginning to its end. Splits are ordered: the rows of a range are those of its splits, one after
/// the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// What to read: the connector's own matter.
    pub detail: serde_json::Value,
    /// For people and error messages: the file, or rows `0..1000`.
    pub text: String,
    /// Rows in it, where known.
    pub rows: Option<u64>,
}

/// The batches of a split, in order. Each has the source's (projected) schema; how rows are cut into batches means nothing.
pub type BatchStream = BoxStream<'static, Result<RecordBatch, RunError>>;

/// A part of what a split holds.
#[derive(Debug, Clone)]
pub enum Part {
    /// Rows, with the source's (projected) schema.
    Rows(RecordBatch),
    /// Records that do not parse or do not fit, with the columns of [`flowc_ir::graph::malformed_schema`] but `_epoch`, which the run adds.
    Malformed(RecordBatch),
    /// So many rows more were read that [`flowc_ir::plan::SourceSpec::predicate`] rejects: they count, and need not come.
    Skipped(u64),
}

/// The parts of a split: the rows are in order, and so are the malformed records; how one stands to the other, and how both are cut, means nothing.
pub type PartStream = BoxStream<'static, Result<Part, RunError>>;

/// Tells from a few columns which rows somebody needs: for columns that are decoded later, and for those rows only (Abadi et al., "Materialization strategies in a
/// column-oriented DBMS", ICDE 2007).
pub trait RowFilter: Send + Sync + fmt::Debug {
    /// The positions of the columns that it looks at, ascending.
    fn columns(&self) -> &[usize];

    /// Which of these rows are needed; the batch has those columns only. Called once for each row.
    fn keep(&self, rows: &RecordBatch) -> Result<BooleanBuffer, RunError>;
}

/// Which rows of a source an epoch needs, as a lookup tells by the keys of its table.
#[derive(Debug, Clone)]
pub struct Needed {
    /// True for the rows that somebody needs; over the source's columns, with a single boolean output. It cannot fail.
    pub predicate: Program,
    /// Event times that must be observed all the same: of all rows, or of some of them the greatest.
    pub times: Option<EventTimes>,
}

/// A stream of rows.
#[async_trait]
pub trait Source: Send + Sync + fmt::Debug {
    /// What is new since `from`, at most `limits` of it; none if nothing is. Without `from` and limits: all rows that exist now, from the beginning (or from
    /// `start`); so asks a computation of the whole.
    async fn next_range(&self, from: Option<&Position>, limits: EpochLimits) -> Result<Option<SourceRange>, RunError>;

    /// All rows that were read to come to a position, from the beginning (or from `start`); none if there are none. What can no longer be read is an error here,
    /// as far as that can be told without reading it.
    async fn range_to(&self, to: &Position) -> Result<Option<SourceRange>, RunError> {
        let text = "all that was read before".to_string();
        Ok(Some(SourceRange { from: None, to: to.clone(), text, rows: None, bytes: None }))
    }

    /// The parts of a range. A split should hold between a hundred thousand and a few million rows, so that workers share the load.
    async fn splits(&self, range: &SourceRange) -> Result<Vec<Split>, RunError>;

    /// Reads a split in batches of at most `batch_rows` rows.
    async fn read(&self, split: &Split, batch_rows: usize) -> Result<BatchStream, RunError>;

    /// Reads a split once, with what is malformed in it. A source yields such records only if [`flowc_ir::plan::SourceSpec::quarantine`] asks for it;
    /// otherwise they are errors.
    async fn read_parts(&self, split: &Split, batch_rows: usize) -> Result<PartStream, RunError> {
        Ok(self.read(split, batch_rows).await?.map(|batch| batch.map(Part::Rows)).boxed())
    }

    /// The same source for an epoch that needs no more rows than these: others may be left out as [`flowc_ir::plan::SourceSpec::predicate`] lets them be. Where event
    /// times must be observed, those rows of any split that are left out have no greater time than one that comes, and none for which computing it fails. None: all
    /// rows come.
    fn needing(&self, _needed: &Needed) -> Option<std::sync::Arc<dyn Source>> {
        None
    }

    /// Whether it is worth while to read some columns of a range first, and others later and of fewer rows: [`Source::read_columns`], [`Source::read_filtered`].
    fn reads_columns(&self, _range: &SourceRange) -> bool {
        false
    }

    /// Reads a split as [`Source::read`] does, but only the columns at these positions, ascending.
    async fn read_columns(&self, split: &Split, columns: &[usize], batch_rows: usize) -> Result<BatchStream, RunError> {
        let columns = columns.to_vec();
        let project = move |batch: RecordBatch| batch.project(&columns).map_err(crate::operators::internal);
        Ok(self.read(split, batch_rows).await?.map(move |batch| batch.and_then(&project)).boxed())
    }

    /// Reads a split as [`Source::read`] does, but at least the rows that a filter keeps, in order; what others there are means nothing. The filter sees each row once.
    async fn read_filtered(
        &self,
        split: &Split,
        filter: &std::sync::Arc<dyn RowFilter>,
        batch_rows: usize,
    ) -> Result<BatchStream, RunError> {
        let filter = std::sync::Arc::clone(filter);
        let kept = move |batch: RecordBatch| {
            let seen = batch.project(filter.columns()).map_err(crate::operators::internal)?;
            let keep = BooleanArray::new(filter.keep(&seen)?, None);
            filter_record_batch(&batch, &keep).map_err(crate::operators::internal)
        };
        Ok(self.read(split, batch_rows).await?.map(move |batch| batch.and_then(&kept)).boxed())
    }
}

/// A version of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableVersion {
    /// What to read; also where columns of the table were others then, see [`LookupTable::history`].
    pub position: Position,
    /// When it was committed: microseconds since 1970-01-01T00:00:00Z.
    pub committed: i64,
    /// For people: `version 3`.
    pub text: String,
}

/// The versions of a table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct History {
    /// Those that can be read, oldest first; their times do not fall.
    pub versions: Vec<TableVersion>,
    /// Why there is nothing to read of the time before the first of them, and what to do. None: the table was not there yet.
    pub gone: Option<String>,
}

/// A table that rows are looked up in, or that is scanned.
#[async_trait]
pub trait LookupTable: Send + Sync + fmt::Debug {
    /// The version to pin for an epoch that starts now (the declared one, or the newest); recorded with the epoch.
    async fn pin(&self) -> Result<Position, RunError>;

    /// The versions up to a pinned one, for rows that are looked up as of their time. The same pin gives the same versions and times, as long as they can be
    /// read. Columns that a version lacks are null in it. Fails where the connector keeps no versions.
    async fn history(&self, _pin: &Position) -> Result<History, RunError> {
        Err(crate::operators::internal("this table has no history"))
    }

    /// The splits of a version: the pinned one, or one of [`LookupTable::history`].
    async fn splits(&self, version: &Position) -> Result<Vec<Split>, RunError>;

    /// Reads a split in batches of at most `batch_rows` rows.
    async fn read(&self, split: &Split, batch_rows: usize) -> Result<BatchStream, RunError>;
}

/// What a sink may use for rows of an epoch that it cannot write before it has all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scratch {
    /// The bytes of rows that it may keep in memory.
    pub memory: usize,
    /// Where temporary files go when there are more.
    pub directory: PathBuf,
}

impl Default for Scratch {
    /// 256 MiB, and the system's folder for temporary files.
    fn default() -> Self {
        Scratch { memory: 256 << 20, directory: crate::spill::temporary_directory() }
    }
}

/// What identifies the writer of an epoch, and what the epoch may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochId {
    /// Pipeline and sink: `sensor/sensor_result`. The same for all runs.
    pub application: String,
    /// The epoch, from 1.
    pub epoch: u64,
    /// When it started: microseconds since 1970-01-01T00:00:00Z.
    pub started: i64,
    /// Whether this epoch's rows replace all that the target holds, whatever the sink's mode: the first epoch after a full refresh.
    #[serde(default)]
    pub replace: bool,
    /// Whether an earlier run began this epoch and did not finish it: what that run left behind may be removed.
    #[serde(default)]
    pub resumed: bool,
    /// The version of the target whose rows this epoch takes out of it, in the same commit that adds its own: those that a replay has read from it.
    #[serde(default)]
    pub takes: Option<Position>,
    /// The partitions whose rows this epoch replaces, whatever the sink's mode; rows of others, which come as well, are left out. [`Sink::has_partition`] has
    /// allowed it.
    #[serde(default)]
    pub partition: Option<Partition>,
    /// The program's file, where there is one: for a target that has a place for it.
    #[serde(default)]
    pub program: Option<String>,
    /// For rows that wait.
    #[serde(skip)]
    pub scratch: Scratch,
}

impl EpochId {
    /// An epoch that adds its rows to the target.
    pub fn new(application: impl Into<String>, epoch: u64) -> Self {
        let application = application.into();
        let scratch = Scratch::default();
        EpochId {
            application,
            epoch,
            started: 0,
            replace: false,
            resumed: false,
            takes: None,
            partition: None,
            program: None,
            scratch,
        }
    }
}

/// Where rows go. What an epoch's rows do to those that are there is the specification's mode ([`flowc_ir::plan::SinkMode`]):
///
/// | mode | rows that are only added | rows that change: [`flowc_ir::graph::WEIGHT`] is the last column |
/// |---|---|---|
/// | append | are added, in any order | only where what they add up to is shown or kept: the console, and sinks in memory |
/// | overwrite | are all there is | what they add up to is |
/// | overwrite partition | are all there is in the partitions that they belong to | what they add up to is |
/// | merge | come in the order of the stream, to one writer: the last one of a key counts | come in any order: they are to be added up by key |
/// | scd2 | come in the order of the stream, to one writer: the last one of a key and `valid_from` counts | come in any order, with [`flowc_ir::plan::COMMITTED`] before the weight: they are to be added up by key and commit |
///
/// Whatever the mode, [`EpochId::replace`] takes away everything that was there before the epoch.
#[async_trait]
pub trait Sink: Send + Sync + fmt::Debug {
    /// The greatest epoch that the target says this application has committed; none if none, or if the target keeps no account (console).
    async fn committed(&self, application: &str) -> Result<Option<u64>, RunError>;

    /// Prepares an epoch: opens or creates what is needed, checks that the target still is what the program was compiled against. Nothing is visible yet.
    async fn begin(&self, id: EpochId) -> Result<Box<dyn SinkEpoch>, RunError>;

    /// Checks that the target is kept in partitions by these columns, and that they can have these values, so that an epoch may replace them:
    /// [`EpochId::partition`].
    async fn has_partition(&self, partition: &Partition) -> Result<(), RunError> {
        let text = format!(
            "there is no partition `{partition}` to compute again: the sink's target has no partitions that can be replaced"
        );
        Err(RunError::data(crate::codes::NO_SUCH_PARTITION, text)
            .help("only partitions of Delta tables can be replaced"))
    }

    /// Whether the target keeps account of epochs, so that [`Sink::committed`] can be relied on. If not (console), an epoch that is run again is written
    /// again.
    fn accounts(&self) -> bool {
        true
    }

    /// Whether rows must reach it in the order of the input (console, files), whatever its mode; then there is one writer. Where the mode asks for that order, the
    /// run sees to it: a connector need not.
    fn ordered(&self) -> bool {
        false
    }
}

/// A sink's part of one epoch.
#[async_trait]
pub trait SinkEpoch: Send + Sync {
    /// A writer of its own for a worker.
    async fn writer(&self) -> Result<Box<dyn SinkWriter>, RunError>;

    /// Makes all that the finished writers wrote visible, at once, together with the epoch's number. When this fails, nothing is visible, or (after a crash)
    /// [`Sink::committed`] tells. `quality` is what the expectations that the rows went through came to; a target that has a place for such things keeps it.
    async fn commit(&self, written: Vec<Written>, quality: &[Judgement]) -> Result<Committed, RunError>;

    /// Removes what was written, as far as that is possible; called when the epoch failed.
    async fn abort(&self, written: Vec<Written>);
}

/// Writes the rows of one worker.
#[async_trait]
pub trait SinkWriter: Send {
    /// Writes a batch of the sink's schema; of rows that change with the columns that the mode adds, see [`Sink`].
    async fn write(&mut self, batch: &RecordBatch) -> Result<(), RunError>;

    /// Ends the files. They are not visible yet.
    async fn finish(self: Box<Self>) -> Result<Written, RunError>;

    /// Gives the work up and removes it as far as possible.
    async fn abort(self: Box<Self>);
}

/// What a writer has written: the connector's own matter (for Delta: the `add` actions).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Written {
    /// What to commit.
    pub detail: Vec<serde_json::Value>,
    /// Rows.
    pub rows: u64,
    /// Files.
    pub files: u64,
    /// Bytes.
    pub bytes: u64,
}

/// What an epoch's commit did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Committed {
    /// The table's version after it, for Delta.
    pub version: Option<u64>,
    /// Rows.
    pub rows: u64,
    /// Files.
    pub files: u64,
    /// Bytes.
    pub bytes: u64,
    /// Whether it was there already: an epoch run again after a crash.
    pub already: bool,
    /// What became of the target's rows, where some took the place of others. None: rows were only added, or all were replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged: Option<Merged>,
}

/// What a merge did to the rows of its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Merged {
    /// Rows with a key that was not there.
    pub inserted: u64,
    /// Rows whose place others took.
    pub updated: u64,
    /// Rows that left, and no others came.
    pub deleted: u64,
}

impl Merged {
    /// What several merges did together.
    pub fn and(self, other: Merged) -> Merged {
        Merged {
            inserted: self.inserted + other.inserted,
            updated: self.updated + other.updated,
            deleted: self.deleted + other.deleted,
        }
    }
}

/// Makes sources, tables and sinks from their specifications; given to the runtime by whoever composes it. [`crate::connectors`] has the file, generator
/// and console ones; others come from outside.
#[async_trait]
pub trait Connectors: Send + Sync {
    /// A source that yields `spec.schema`.
    async fn source(&self, spec: &flowc_ir::plan::SourceSpec) -> Result<std::sync::Arc<dyn Source>, RunError>;

    /// A table that yields `spec.schema`.
    async fn table(&self, spec: &flowc_ir::plan::TableSpec) -> Result<std::sync::Arc<dyn LookupTable>, RunError>;

    /// A sink that takes `spec.schema`.
    async fn sink(&self, spec: &flowc_ir::plan::SinkSpec) -> Result<std::sync::Arc<dyn Sink>, RunError>;
}

/// Whether a sink's mode asks for rows in the order of the stream: where of several rows of a key the last one counts.
pub fn takes_order(spec: &flowc_ir::plan::SinkSpec) -> bool {
    use flowc_ir::plan::SinkMode;
    !spec.changing && matches!(spec.mode, SinkMode::Merge { .. } | SinkMode::Scd2 { .. })
}

/// Checks that a batch has the columns that were promised; for debug builds and tests.
pub fn has_schema(batch: &RecordBatch, schema: &Schema) -> bool {
    let wanted = flowc_ir::arrow_types::to_arrow_schema(schema);
    batch.num_columns() == wanted.fields().len()
        && batch.columns().iter().zip(wanted.fields()).all(|(c, f)| c.data_type() == f.data_type())
}
