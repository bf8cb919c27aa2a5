//! Takes rows out of data files: by a deletion vector, or by a new file without them; and says what left for the change data feed. Knows files and row numbers;
//! nothing of keys.

use super::layout::Layout;
use crate::codes;
use crate::log::{Add, Cdc};
use crate::scan::Scan;
use crate::sink::target::{Target, describe};
use crate::sink::writer::{DeltaWriter, Holds, Sizes};
use crate::storage::Storage;
use crate::within::Within;
use arrow::array::{
    ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder, RecordBatch, StringArray, TimestampMicrosecondArray,
    UInt32Array,
};
use arrow::compute::{filter_record_batch, take_record_batch};
use arrow::datatypes::{Field as AField, Schema as ASchema, TimestampMicrosecondType};
use flowc_ir::plan::SinkSpec;
use flowc_ir::{DataType, Field, Type};
use flowc_runtime::{RunError, SinkWriter};
use futures::TryStreamExt;
use roaring::RoaringTreemap;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A file is left as it is, and gets a deletion vector, where at most one in so many of its rows is gone; otherwise it is written anew.
const VECTOR_PART: u64 = 4;
/// Rows that are read at a time.
const BATCH_ROWS: usize = 8192;

/// The column of the change data feed that says what happened to a row.
pub const CHANGE_TYPE: &str = "_change_type";

/// What happened to a row of the change data feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeType {
    /// It came.
    Insert,
    /// It was changed: as it was.
    Preimage,
    /// It was changed: as it is.
    Postimage,
    /// It left.
    Delete,
}

impl ChangeType {
    fn text(self) -> &'static str {
        match self {
            ChangeType::Insert => "insert",
            ChangeType::Preimage => "update_preimage",
            ChangeType::Postimage => "update_postimage",
            ChangeType::Delete => "delete",
        }
    }
}

/// What is to become of a file's rows, by their numbers.
#[derive(Debug)]
pub struct FileChange {
    /// The file.
    pub add: Arc<Add>,
    /// They leave.
    pub deleted: RoaringTreemap,
    /// Others take their place.
    pub updated: RoaringTreemap,
    /// Of those: versions that stay with another end.
    pub ends: BTreeMap<u64, Option<i64>>,
}

impl FileChange {
    /// Nothing yet.
    pub fn new(add: Arc<Add>) -> FileChange {
        FileChange { add, deleted: RoaringTreemap::new(), updated: RoaringTreemap::new(), ends: BTreeMap::new() }
    }
}

/// How rows are written: those of the table, and those of its change data feed.
pub struct Writers {
    layout: Arc<Layout>,
    rows: DeltaWriter,
    feed: Option<DeltaWriter>,
    feed_schema: Arc<ASchema>,
}

impl Writers {
    /// Writes rows of the table.
    pub async fn write(&mut self, batch: &RecordBatch) -> Result<(), RunError> {
        self.rows.write(batch).await
    }

    /// What writes the rows of the table.
    pub(super) fn rows(&mut self) -> &mut DeltaWriter {
        &mut self.rows
    }

    /// Whether there is a change data feed.
    pub fn feeds(&self) -> bool {
        self.feed.is_some()
    }

    /// Says what happened to rows, where there is a change data feed.
    pub async fn say(&mut self, batch: &RecordBatch, what: ChangeType) -> Result<(), RunError> {
        let Some(feed) = &mut self.feed else { return Ok(()) };
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let column: ArrayRef = Arc::new(StringArray::from(vec![what.text(); batch.num_rows()]));
        let columns = batch.columns().iter().cloned().chain([column]).collect();
        let batch =
            RecordBatch::try_new(Arc::clone(&self.feed_schema), columns).map_err(|e| self.layout.internal(e))?;
        feed.write(&batch).await
    }

    /// Ends the files. When this fails, they are removed as far as possible.
    pub async fn close(self) -> Result<(Vec<Add>, Vec<Cdc>), RunError> {
        let mut feed = self.feed;
        let rows = match self.rows.close().await {
            Ok(rows) => rows,
            Err(error) => {
                if let Some(feed) = &mut feed {
                    feed.discard().await;
                }
                return Err(error);
            }
        };
        let changes = match feed {
            Some(feed) => feed.close().await?,
            None => vec![],
        };
        let cdc = |a: Add| Cdc { path: a.path, partition_values: a.partition_values, size: a.size, data_change: false };
        Ok((rows, changes.into_iter().map(cdc).collect()))
    }

    /// Removes what was written, as far as possible.
    pub async fn discard(&mut self) {
        self.rows.discard().await;
        if let Some(feed) = &mut self.feed {
            feed.discard().await;
        }
    }
}

/// What became of files.
#[derive(Debug, Default)]
pub struct Rewritten {
    /// New files.
    pub adds: Vec<Add>,
    /// What left and what was changed.
    pub cdcs: Vec<Cdc>,
    /// Files that are no longer part of the table as they were.
    pub removes: Vec<Arc<Add>>,
    /// Those of them that stay, with all their rows that are gone.
    pub vectors: Vec<(Arc<Add>, RoaringTreemap)>,
    /// Rows that were written anew as they were.
    pub copied: u64,
}

/// How the files of one version are rewritten.
pub struct Rewriter {
    /// The sink.
    pub spec: Arc<SinkSpec>,
    /// The rows.
    pub layout: Arc<Layout>,
    /// Reads all columns.
    pub scan: Scan,
    /// The table's place.
    pub storage: Storage,
    /// The table, for batches with all of its columns.
    pub target: Arc<Target>,
    /// The same for batches of its change data feed, where it has one.
    pub feed: Option<Arc<Target>>,
    /// Whether files may get deletion vectors.
    pub vectors: bool,
    /// Sizes of files.
    pub sizes: Sizes,
    /// What names the epoch's files.
    pub mark: u64,
    /// The writers so far.
    pub workers: Arc<AtomicUsize>,
}

/// The table of the change data feed: the columns of the rows, and what happened to each.
pub fn feed(target: &Target) -> Target {
    let mut feed = target.clone();
    let field = Field::new(CHANGE_TYPE, Type::new(DataType::String));
    if let Some(column) = crate::schema::DeltaField::from_flowc(&field) {
        feed.columns.push((field, column.ty.clone(), target.columns.len()));
        feed.fields.push(column);
    }
    // Nobody skips its files by statistics.
    feed.indexed = 0;
    feed
}

/// The numbers of a batch's rows in its file.
enum Numbers {
    /// From this one on.
    From(u64),
    /// These.
    These(Vec<u64>),
}

impl Numbers {
    /// The places in the batch of rows that are in a set.
    fn places(&self, set: &RoaringTreemap, rows: usize) -> Vec<u32> {
        match self {
            Numbers::From(first) => {
                let mut found = set.iter();
                found.advance_to(*first);
                found
                    .map(|row| row - first)
                    .take_while(|place| *place < rows as u64)
                    .map(|place| place as u32)
                    .collect()
            }
            Numbers::These(numbers) => {
                numbers.iter().zip(0u32..).filter(|(row, _)| set.contains(**row)).map(|(_, place)| place).collect()
            }
        }
    }

    fn at(&self, place: u32) -> u64 {
        match self {
            Numbers::From(first) => first + u64::from(place),
            Numbers::These(numbers) => numbers[place as usize],
        }
    }
}

impl Rewriter {
    /// Writers of files of this epoch.
    pub fn writers(&self) -> Writers {
        let writer = |target: &Arc<Target>| {
            let worker = self.workers.fetch_add(1, Ordering::Relaxed);
            let place = (self.storage.clone(), Arc::clone(target));
            DeltaWriter::new(self.spec.clone(), place.0, place.1, self.sizes, (worker, self.mark))
        };
        let mut fields: Vec<Arc<AField>> = self.layout.arrow().fields().iter().cloned().collect();
        fields.push(Arc::new(AField::new(CHANGE_TYPE, arrow::datatypes::DataType::Utf8, false)));
        Writers {
            layout: Arc::clone(&self.layout),
            rows: writer(&self.target),
            feed: self.feed.as_ref().map(|target| writer(target).holding(Holds::Changes)),
            feed_schema: Arc::new(ASchema::new(fields)),
        }
    }

    /// Rewrites files, one after the other. When this fails, what was written is removed as far as possible.
    pub async fn run(&self, changes: Vec<FileChange>) -> Result<Rewritten, RunError> {
        let (mut writers, mut done) = (self.writers(), Rewritten::default());
        for change in changes {
            if let Err(error) = self.file(change, &mut writers, &mut done).await {
                writers.discard().await;
                return Err(error);
            }
        }
        (done.adds, done.cdcs) = writers.close().await?;
        Ok(done)
    }

    async fn file(&self, change: FileChange, writers: &mut Writers, done: &mut Rewritten) -> Result<(), RunError> {
        let length = self.scan.length(&change.add).await?;
        let before = self.scan.deleted_rows(&change.add).await?;
        let gone = &change.deleted | &change.updated;
        let dead = &before | &gone;
        let vector = self.vectors && change.add.physical_rows().is_some() && dead.len() <= length / VECTOR_PART;
        done.removes.push(Arc::clone(&change.add));
        let whole = vector || dead.len() >= length;
        if whole || self.by_pages(&change.add, (&dead, length), writers).await? {
            let wanted = if writers.feeds() { gone } else { change.ends.keys().copied().collect() };
            self.selected(&change, &wanted, writers).await?;
            if vector {
                done.vectors.push((change.add, dead));
            } else {
                done.copied += length.saturating_sub(dead.len());
            }
            return Ok(());
        }
        let mut batches = self.scan.numbered(&change.add, |_| Ok(true), BATCH_ROWS).await?;
        while let Some((first, batch)) = batches.try_next().await? {
            let numbers = Numbers::From(first);
            let kept = self.without(&batch, &numbers.places(&dead, batch.num_rows()))?;
            done.copied += kept.num_rows() as u64;
            writers.write(&kept).await?;
            self.changed(&change, &batch, &numbers, writers).await?;
        }
        Ok(())
    }

    /// Rows that are gone, of a file of which no other row is read.
    async fn selected(
        &self,
        change: &FileChange,
        wanted: &RoaringTreemap,
        writers: &mut Writers,
    ) -> Result<(), RunError> {
        if wanted.is_empty() {
            return Ok(());
        }
        let mut numbers = wanted.iter();
        let mut batches = self.scan.read_rows(&change.add, &Within::default(), Some(wanted), BATCH_ROWS).await?.batches;
        while let Some(batch) = batches.try_next().await? {
            let numbers: Vec<u64> = numbers.by_ref().take(batch.num_rows()).collect();
            if numbers.len() < batch.num_rows() {
                let what = describe(&self.spec);
                let message = format!("{what}: data file {} has other rows than before", change.add.path);
                return Err(RunError::world(codes::BAD_FILE, message).at(self.spec.origin));
            }
            self.changed(change, &batch, &Numbers::These(numbers), writers).await?;
        }
        Ok(())
    }

    /// The rows of a batch that are gone or end otherwise.
    async fn changed(
        &self,
        change: &FileChange,
        batch: &RecordBatch,
        numbers: &Numbers,
        writers: &mut Writers,
    ) -> Result<(), RunError> {
        let rows = batch.num_rows();
        let updated = numbers.places(&change.updated, rows);
        if writers.feeds() {
            writers.say(&self.take(batch, numbers.places(&change.deleted, rows))?, ChangeType::Delete).await?;
            writers.say(&self.take(batch, updated.clone())?, ChangeType::Preimage).await?;
        }
        if change.ends.is_empty() {
            return Ok(());
        }
        let end = |place: &u32| change.ends.get(&numbers.at(*place)).copied();
        let (places, ends): (Vec<u32>, Vec<Option<i64>>) =
            updated.iter().filter_map(|place| Some((*place, end(place)?))).unzip();
        if places.is_empty() {
            return Ok(());
        }
        let ended = self.layout.ending(&self.take(batch, places)?, ends)?;
        writers.write(&ended).await?;
        writers.say(&ended, ChangeType::Postimage).await
    }

    fn take(&self, batch: &RecordBatch, places: Vec<u32>) -> Result<RecordBatch, RunError> {
        take_record_batch(batch, &UInt32Array::from(places)).map_err(|e| self.layout.internal(e))
    }

    /// A batch without some of its rows.
    fn without(&self, batch: &RecordBatch, places: &[u32]) -> Result<RecordBatch, RunError> {
        if places.is_empty() {
            return Ok(batch.clone());
        }
        let mut kept = BooleanBufferBuilder::new(batch.num_rows());
        kept.append_n(batch.num_rows(), true);
        places.iter().for_each(|place| kept.set_bit(*place as usize, false));
        let kept = BooleanArray::new(kept.finish(), None);
        filter_record_batch(batch, &kept).map_err(|e| self.layout.internal(e))
    }
}

impl Layout {
    /// Versions with these ends: `valid_to`, and `is_current` where there is none.
    pub fn ending(&self, batch: &RecordBatch, ends: Vec<Option<i64>>) -> Result<RecordBatch, RunError> {
        let Some(validity) = self.validity else { return Ok(batch.clone()) };
        let mut columns = batch.columns()[..self.width()].to_vec();
        let current: BooleanArray = ends.iter().map(|end| Some(end.is_none())).collect();
        let ends: TimestampMicrosecondArray = ends.into();
        let ty = self.arrow().field(validity.to).data_type().clone();
        columns[validity.to] = Arc::new(ends.with_data_type(ty));
        columns[validity.current] = Arc::new(current);
        RecordBatch::try_new(Arc::clone(self.arrow()), columns).map_err(|e| self.internal(e))
    }

    /// The beginnings and ends of versions in a batch that has them at these columns.
    pub fn times(batch: &RecordBatch, from: usize, to: usize) -> impl Fn(usize) -> (i64, Option<i64>) {
        let from = batch.column(from).as_primitive::<TimestampMicrosecondType>().clone();
        let to = batch.column(to).as_primitive::<TimestampMicrosecondType>().clone();
        move |row| {
            let end = arrow::array::Array::is_valid(&to, row).then(|| to.value(row));
            (from.value(row), end)
        }
    }
}
