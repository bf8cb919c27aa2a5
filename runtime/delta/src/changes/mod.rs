//! What the versions of a table add to its rows and take away from them, and how that is read. Knows commits and files; nothing of positions.
//!
//! The rows that a commit updated or deleted come from its change data feed, where it has one ("Add CDC File" in the protocol); otherwise they follow from its
//! `add` and `remove` actions: the rows of removed files are taken away, those of added files added, of a file that only got another deletion vector those in which
//! the vectors differ. Rows that are in both are not given out ([`net`]). Actions that change no data (`dataChange` is false) are passed over.

mod columns;
pub mod layout;
pub mod net;
mod rewrite;
pub mod times;

pub use layout::Layout;
pub use rewrite::Rewrite;

use crate::codes;
use crate::local_rows::Skipped;
use crate::log::{Add, Commit, Snapshot};
use crate::scan::Scan;
use crate::schema;
use crate::storage::{Storage, StorageError, percent_decode};
use crate::within::{FEW_FILES, Within};
use arrow::array::{Int64Array, RecordBatch};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use flowc_ir::Program;
use flowc_runtime::{BatchStream, Needed, RunError, Split};
use futures::StreamExt;
use layout::Weights;
use net::Files;
use roaring::RoaringTreemap;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What is read of a version, in order; an epoch may end between any two.
#[derive(Debug, Clone)]
pub enum Unit {
    /// The rows of a file are added.
    Added {
        /// The file.
        add: Arc<Add>,
        /// When they were committed, in microseconds; zero where nobody asks.
        committed: i64,
        /// For messages: the commit, if the rows are those of a commit and not of a snapshot.
        commit: Option<Arc<str>>,
    },
    /// Rows are updated or deleted.
    Rewritten(Arc<Rewrite>),
}

impl Unit {
    /// How many files are read.
    pub fn files(&self) -> u64 {
        match self {
            Unit::Added { .. } => 1,
            Unit::Rewritten(rewrite) => rewrite.files(),
        }
    }

    /// How many bytes are read, about.
    pub fn bytes(&self) -> u64 {
        match self {
            Unit::Added { add, .. } => add.size.max(0) as u64,
            Unit::Rewritten(rewrite) => rewrite.bytes(),
        }
    }

    /// How many rows come out, where that is known.
    pub fn rows(&self) -> Option<u64> {
        match self {
            Unit::Added { add, .. } => add.rows(),
            Unit::Rewritten(_) => None,
        }
    }

    /// About how many rows come out, or a few more: where it is not known, as many as so many bytes hold.
    pub fn about_rows(&self) -> u64 {
        match self {
            Unit::Added { add, .. } => about_rows(add),
            Unit::Rewritten(rewrite) => rewrite.about_rows(),
        }
    }
}

/// A row of a file of which nothing is known is thought to have so many bytes.
const BYTES_A_ROW: u64 = 32;

/// How many rows a file has, or may have.
fn about_rows(add: &Add) -> u64 {
    add.rows().unwrap_or(add.size.max(0) as u64 / BYTES_A_ROW)
}

/// Rows of a file that come out, or may do so if others do not cancel them out.
#[derive(Debug)]
pub(crate) struct Piece {
    /// The file.
    pub(crate) add: Add,
    /// Its rows; none: those that are in the table.
    pub(crate) rows: Option<RoaringTreemap>,
    /// Whether they are added (1) or taken away (-1); none: as a file of the change data feed says of each.
    pub(crate) weight: Option<i64>,
    /// The commit, for messages.
    pub(crate) commit: Arc<str>,
}

impl Piece {
    /// The weights of a batch of the file, where the change data feed has them.
    fn weights(&self, scan: &Scan, batch: &RecordBatch) -> Result<Option<Int64Array>, RunError> {
        if self.weight.is_some() {
            return Ok(None);
        }
        let types = batch.columns().last().map(net::feed_weights);
        types.transpose().map_err(|why| scan.bad(&self.add.path, &why))
    }

    fn failed(&self, error: RunError, scan: &Scan) -> RunError {
        gone(error, scan, &self.commit)
    }
}

/// Says of a file that is gone that a commit that was not read yet needs it.
fn gone(error: RunError, scan: &Scan, commit: &str) -> RunError {
    if error.code != codes::FILE_GONE {
        return error;
    }
    let what = scan.what();
    let file = error.message.strip_prefix(&format!("{what}: ")).unwrap_or(&error.message);
    RunError::data(codes::CHANGES_GONE, format!("{what}: what {commit} changed cannot be read any more: {file}")).help(
        "VACUUM removed it before the source had read that version; nothing of the epoch was committed\nrun with --full-refresh to compute everything again from \
         the table as it is now; so that it does not happen again, run more often, or raise the table property `delta.deletedFileRetentionDuration` above the \
         time between two runs",
    )
}

/// What a split says besides the file and its row groups.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Mark {
    /// How often each row is added; none: as the change data feed says.
    #[serde(default = "once")]
    weight: Option<i64>,
    /// And that so many times.
    #[serde(default = "one")]
    times: i64,
    /// Only these rows: a bitmap in Base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rows: Option<String>,
    /// When they were committed, in microseconds.
    #[serde(default)]
    committed: i64,
    /// The commit, for messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    commit: Option<Arc<str>>,
}

impl Mark {
    fn failed(&self, error: RunError, scan: &Scan) -> RunError {
        match &self.commit {
            Some(commit) => gone(error, scan, commit),
            None => error,
        }
    }
}

/// Rows are added once where nothing else is said.
fn once() -> Option<i64> {
    Some(1)
}

fn one() -> i64 {
    1
}

/// What a split says of the file.
#[derive(Debug, Deserialize)]
struct Part {
    add: Add,
    #[serde(flatten)]
    within: Within,
}

/// Reads what versions of a table add and take away.
#[derive(Debug, Clone)]
pub struct Reader {
    storage: Storage,
    what: String,
    scan: Scan,
    feed: Scan,
    layout: Layout,
    /// The partition columns, if all of them are read: then rows of different partitions are different. They are as files name them.
    partitions: Vec<String>,
    /// Whether the table has partition columns.
    partitioned: bool,
    rows_at_once: usize,
}

impl Reader {
    /// Reads rows of a layout from a table with the columns that it has at `snapshot`. The predicate is over the columns of the layout. `what` names the table in
    /// messages.
    pub fn new(
        storage: &Storage,
        what: &str,
        snapshot: &Snapshot,
        layout: Layout,
        predicate: Option<&Program>,
    ) -> Result<Reader, RunError> {
        let scan = Scan::new(storage, what, snapshot, layout.columns(), None)?;
        let scan = scan.with_predicate(predicate, layout.places());
        let fields = schema::parse(&snapshot.metadata.schema_string).map_err(|e| e.reading(what))?;
        let by = &snapshot.metadata.partition_columns;
        let physical = |name: &String| fields.iter().find(|f| f.name == *name).map(|f| f.physical().to_string());
        let read = by.iter().all(|name| layout.columns().field(name).is_some());
        Ok(Reader {
            storage: storage.clone(),
            what: what.to_string(),
            feed: scan.clone().with_column(layout::CHANGE_TYPE, layout::change_type()),
            scan,
            layout,
            partitions: if read { by.iter().filter_map(physical).collect() } else { vec![] },
            partitioned: !by.is_empty(),
            rows_at_once: net::ROWS_AT_ONCE,
        })
    }

    /// Without rows that an epoch does not need. Its predicate is over the columns of the layout, too.
    pub(crate) fn needing(self, needed: &Needed) -> Reader {
        Reader { scan: self.scan.needing(needed), ..self }
    }

    /// With another bound for the rows whose hashes are in memory at a time.
    pub fn with_rows_at_once(self, rows_at_once: usize) -> Reader {
        Reader { rows_at_once, ..self }
    }

    /// With splits of another size.
    pub fn with_split_rows(self, split_rows: u64) -> Reader {
        Reader { scan: self.scan.with_split_rows(split_rows), feed: self.feed.with_split_rows(split_rows), ..self }
    }

    /// With other parts of few local files.
    pub fn with_morsel_rows(self, rows: u64) -> Reader {
        Reader { scan: self.scan.with_morsel_rows(rows), ..self }
    }

    /// How the table's columns are read.
    pub fn scan(&self) -> &Scan {
        &self.scan
    }

    /// All rows of a version, file by file in the order in which they came. `timed`: with the times at which they were committed.
    pub async fn snapshot(&self, snapshot: &Snapshot, timed: bool) -> Result<Vec<Unit>, StorageError> {
        let times = if timed { times::of_files(&self.storage, snapshot).await? } else { Default::default() };
        let unit = |add: Arc<Add>| {
            let committed = if timed { times.get(&percent_decode(&add.path)).copied() } else { None };
            Unit::Added { add, committed: committed.unwrap_or_default(), commit: None }
        };
        Ok(snapshot.ordered_files().into_iter().map(unit).collect())
    }

    /// The rows that a commit adds, whatever it takes away.
    pub async fn added(&self, commit: Commit, timed: bool) -> Result<Vec<Unit>, StorageError> {
        let committed = if timed { times::of_commit(&self.storage, &commit).await? } else { 0 };
        let name: Arc<str> = commit.describe().into();
        let unit = |add: Add| Unit::Added { add: Arc::new(add), committed, commit: Some(Arc::clone(&name)) };
        Ok(commit.adds.into_iter().filter(|add| add.data_change).map(unit).collect())
    }

    /// What a commit adds and takes away.
    pub async fn changed(&self, commit: Commit, timed: bool) -> Result<Vec<Unit>, RunError> {
        if commit.cdcs.is_empty() && !commit.changes_rows() {
            return self.added(commit, timed).await.map_err(|e| e.reading(&self.what));
        }
        let committed = if timed { times::of_commit(&self.storage, &commit).await } else { Ok(0) };
        let committed = committed.map_err(|e| e.reading(&self.what))?;
        let rewrite = Rewrite::of(&self.storage, &self.what, commit, committed, self.partitioned).await?;
        Ok(vec![Unit::Rewritten(Arc::new(rewrite))])
    }

    /// The splits of units, in order. Reads what cancels out.
    pub async fn splits(&self, units: &[Unit]) -> Result<Vec<Split>, RunError> {
        let mut splits = vec![];
        let added = if units.len() < FEW_FILES { self.scan.clone().in_morsels() } else { self.scan.clone() };
        for unit in units {
            match unit {
                Unit::Added { add, committed, commit } => {
                    let mark =
                        Mark { weight: Some(1), times: 1, rows: None, committed: *committed, commit: commit.clone() };
                    self.live(&added, add, &mark, &mut splits).await?;
                }
                Unit::Rewritten(rewrite) => self.rewritten(rewrite, &mut splits).await?,
            }
        }
        Ok(splits)
    }

    /// The splits of the rows of a file that are in the table.
    async fn live(&self, scan: &Scan, add: &Add, mark: &Mark, splits: &mut Vec<Split>) -> Result<(), RunError> {
        let found = scan.splits(&[Arc::new(add.clone())]).await.map_err(|e| mark.failed(e, scan))?;
        splits.extend(found.into_iter().map(|split| marked(split, mark)));
        Ok(())
    }

    /// The splits of a commit that updated or deleted rows.
    async fn rewritten(&self, rewrite: &Rewrite, splits: &mut Vec<Split>) -> Result<(), RunError> {
        let pieces = rewrite.pieces(&self.scan).await?;
        let pieces = pieces.into_iter().filter(|piece| self.scan.keeps(&piece.add)).map(Arc::new);
        for group in rewrite::groups(pieces, &self.partitions) {
            let one_sided = group.iter().all(|piece| piece.weight.is_some() && piece.weight == group[0].weight);
            if one_sided {
                for piece in &group {
                    let mark = rewrite.mark(piece);
                    match &piece.rows {
                        Some(rows) => self.selected(piece, rows, &mark, splits),
                        None => self.live(&self.scan, &piece.add, &mark, splits).await?,
                    }
                }
                continue;
            }
            let files = Files { scan: &self.scan, feed: &self.feed, rows_at_once: self.rows_at_once };
            let left = files.net(&group).await?;
            for (piece, powers) in group.iter().zip(left) {
                for (power, rows) in powers.iter().enumerate() {
                    self.selected(piece, rows, &Mark { times: 1 << power, ..rewrite.mark(piece) }, splits);
                }
            }
        }
        Ok(())
    }

    /// The splits of some rows of a file.
    fn selected(&self, piece: &Piece, rows: &RoaringTreemap, mark: &Mark, splits: &mut Vec<Split>) {
        let (mut iterator, size) = (rows.iter(), usize::try_from(self.scan.split_rows()).unwrap_or(usize::MAX));
        loop {
            let mut part: RoaringTreemap = iterator.by_ref().take(size).collect();
            let count = part.len();
            if count == 0 {
                break;
            }
            part.optimize();
            let mut bytes = Vec::with_capacity(part.serialized_size());
            // Writing to memory does not fail.
            let _ = part.serialize_into(&mut bytes);
            let detail = serde_json::json!({ "add": crate::scan::slim(&piece.add) });
            let text = format!("{} ({count} rows)", piece.add.path);
            let mark = Mark { rows: Some(BASE64.encode(bytes)), ..mark.clone() };
            splits.push(marked(Split { detail, text, rows: Some(count) }, &mark));
        }
    }

    /// What a split stands for: rows of a file, what is said of them, and the part of it that they are in.
    fn piece(&self, split: &Split) -> Result<(Piece, Mark, Within), RunError> {
        let bad =
            |why: String| RunError::world(codes::BAD_POSITION, format!("{}: split {}: {why}", self.what, split.text));
        let part: Part = serde_json::from_value(split.detail.clone()).map_err(|e| bad(e.to_string()))?;
        let mark: Mark = serde_json::from_value(split.detail.clone()).map_err(|e| bad(e.to_string()))?;
        let rows = mark.rows.as_ref().map(|text| {
            let bytes = BASE64.decode(text).map_err(|e| e.to_string())?;
            RoaringTreemap::deserialize_from(bytes.as_slice()).map_err(|e| e.to_string())
        });
        let rows = rows.transpose().map_err(bad)?;
        let commit = mark.commit.clone().unwrap_or_else(|| "".into());
        Ok((Piece { add: part.add, rows, weight: mark.weight, commit }, mark, part.within))
    }

    /// Reads a split in batches of at most `batch_rows` rows.
    pub async fn read(&self, split: &Split, batch_rows: usize) -> Result<BatchStream, RunError> {
        self.rows(split, batch_rows, None).await
    }

    /// The same without some of the rows that the predicate rejects; they are counted.
    pub async fn read_needed(
        &self,
        split: &Split,
        batch_rows: usize,
        skipped: &Skipped,
    ) -> Result<BatchStream, RunError> {
        self.rows(split, batch_rows, Some(skipped)).await
    }

    async fn rows(&self, split: &Split, batch_rows: usize, skipped: Option<&Skipped>) -> Result<BatchStream, RunError> {
        let (piece, mark, within) = self.piece(split)?;
        let scan = if piece.weight.is_none() { &self.feed } else { &self.scan };
        let rows = piece.rows.as_ref();
        let read = match skipped {
            Some(skipped) => scan.read_needed(&piece.add, &within, rows, (batch_rows, skipped)).await,
            None => scan.read_rows(&piece.add, &within, rows, batch_rows).await.map(|read| read.batches),
        };
        let read = read.map_err(|e| mark.failed(e, scan))?;
        let (layout, scan) = (self.layout.clone(), scan.clone());
        let batches = read.map(move |batch| {
            let batch = batch.map_err(|e| mark.failed(e, &scan))?;
            let each = piece.weights(&scan, &batch)?;
            let each = each.map(|weights| weights.unary(|weight| weight * mark.times));
            let all = Weights::All(piece.weight.unwrap_or(1) * mark.times);
            let weights = each.as_ref().map_or(all, Weights::Each);
            layout.complete(&batch, weights, mark.committed).map_err(|e| scan.bad(&piece.add.path, &e.to_string()))
        });
        Ok(batches.boxed())
    }
}

/// Adds to what a split says.
fn marked(mut split: Split, mark: &Mark) -> Split {
    if let (Some(detail), Ok(serde_json::Value::Object(more))) =
        (split.detail.as_object_mut(), serde_json::to_value(mark))
    {
        detail.extend(more);
    }
    split
}
