//! Rows that take the place of others with their key (merge), or go in between them (history): which files hold those keys, what becomes of their rows, and the files
//! to commit. Knows one version of the table; who commits first is [`super::commit`]'s matter.

mod by_pages;
pub mod changes;
pub mod history;
pub mod key_index;
pub mod layout;
pub mod net;
pub mod numbers;
mod pages;
mod probe;
pub mod rewrite;
mod threads;

pub use changes::Changes;
pub use layout::Layout;

use super::partitions::Partitions;
use super::target::{Target, describe};
use super::writer::Sizes;
use crate::log::actions::FileKey;
use crate::log::deletion::VectorFile;
use crate::log::features::Features;
use crate::log::{Add, Cdc, Snapshot};
use crate::scan::Scan;
use crate::storage::{Storage, percent_decode};
use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{filter_record_batch, take_record_batch};
use async_trait::async_trait;
use deltalake::logstore::object_store::ObjectStoreExt;
use deltalake::logstore::object_store::path::Path;
use flowc_ir::Schema;
use flowc_ir::plan::SinkSpec;
use flowc_runtime::{EpochId, RunError, SinkWriter, Written};
use history::{Chain, Events, Place, Version};
use key_index::KeyIndex;
use net::{Change, net};
use probe::Hits;
use rewrite::{ChangeType, FileChange, Rewriter, Rewritten, Writers};
use roaring::RoaringTreemap;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use threads::Threads;

/// Rows that are written at a time.
const BATCH_ROWS: usize = 8192;
/// A row group of a file that a merge writes ends with so many bytes or rows: much smaller than those of streams, whose rows are many. A row group is held until it ends, for each
/// file that is written at the same time; and a later merge passes over those that hold none of its keys.
const ROW_GROUP_BYTES: usize = 8 << 20;
const ROW_GROUP_ROWS: usize = 1 << 18;
/// The memory that rewriting a file takes, about: so many are rewritten at the same time as the epoch's memory has it.
const REWRITE_BYTES: usize = 64 << 20;

/// What a merge did, as `operationMetrics` has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows of the epoch.
    pub source: u64,
    /// Rows that were added.
    pub inserted: u64,
    /// Rows of the table whose place others took.
    pub updated: u64,
    /// Rows of the table that left.
    pub deleted: u64,
    /// Rows that were written anew as they were.
    pub copied: u64,
    /// Files that got a deletion vector.
    pub vectors: u64,
}

/// What is to be committed behind one version of the table.
#[derive(Debug, Default)]
pub struct Planned {
    /// Files that come: new ones, and those that stay with a deletion vector.
    pub adds: Vec<Add>,
    /// Files that go.
    pub removes: Vec<Arc<Add>>,
    /// Files of the change data feed.
    pub cdcs: Vec<Cdc>,
    /// What it did.
    pub counts: Counts,
    /// The objects that were written for it.
    written: Vec<Path>,
    /// The keys, where they are all in memory.
    index: Option<Arc<KeyIndex>>,
}

impl Planned {
    /// How many of the files that come are new.
    pub fn new_files(&self) -> usize {
        self.adds.len() - self.counts.vectors as usize
    }

    /// Removes what was written for it, as far as possible.
    pub async fn discard(&self, storage: &Storage) {
        let store = storage.store();
        for path in &self.written {
            let _ = store.delete(path).await;
        }
    }

    fn wrote(&mut self, adds: &[Add], cdcs: &[Cdc]) {
        let paths = adds.iter().map(|a| &a.path).chain(cdcs.iter().map(|c| &c.path));
        self.written.extend(paths.filter_map(|path| Path::parse(percent_decode(path)).ok()));
    }
}

/// Merges the rows of one epoch.
#[derive(Debug)]
pub struct Merger {
    spec: Arc<SinkSpec>,
    storage: Storage,
    sizes: Sizes,
    id: EpochId,
    /// What names the epoch's files.
    mark: u64,
    layout: Arc<Layout>,
    changes: Arc<Changes>,
    workers: Arc<AtomicUsize>,
    /// The partitions whose rows are merged; none: all.
    only: Option<Arc<Partitions>>,
}

/// One version of the table, for the parts of an epoch's rows.
struct Work {
    rewriter: Arc<Rewriter>,
    /// Reads the key's columns, and those of the versions' times.
    keys: Scan,
    /// The files that may hold the keys.
    files: Vec<Arc<Add>>,
    /// What becomes of files' rows.
    changed: BTreeMap<FileKey, FileChange>,
    counts: Counts,
}

impl Work {
    /// Others take the place of a row.
    fn update(&mut self, add: &Arc<Add>, row: u64) -> &mut FileChange {
        let change = self.changed.entry(add.key()).or_insert_with(|| FileChange::new(Arc::clone(add)));
        self.counts.updated += u64::from(change.updated.insert(row));
        change
    }

    /// A row leaves.
    fn delete(&mut self, add: &Arc<Add>, row: u64) {
        let change = self.changed.entry(add.key()).or_insert_with(|| FileChange::new(Arc::clone(add)));
        self.counts.deleted += u64::from(change.deleted.insert(row));
    }
}

impl Merger {
    /// Merges into a target. Fails where its columns cannot be matched.
    pub fn new(
        spec: &Arc<SinkSpec>,
        storage: &Storage,
        sizes: Sizes,
        id: &EpochId,
        (keys, target): (&[String], &Target),
    ) -> Result<Merger, RunError> {
        let layout = Arc::new(Layout::new(spec, keys, target)?);
        let sizes = Sizes {
            row_group_bytes: sizes.row_group_bytes.min(ROW_GROUP_BYTES),
            row_group_rows: sizes.row_group_rows.min(ROW_GROUP_ROWS),
            ..sizes
        };
        Ok(Merger {
            spec: Arc::clone(spec),
            storage: storage.clone(),
            sizes,
            id: id.clone(),
            mark: super::leftover::mark(id),
            changes: Arc::new(Changes::new(Arc::clone(&layout), id.scratch.clone())),
            layout,
            workers: Arc::default(),
            only: None,
        })
    }

    /// Leaves out the rows of other partitions than these, whose columns are part of the key.
    pub fn only(self, partitions: Option<Arc<Partitions>>) -> Merger {
        Merger { only: partitions, ..self }
    }

    /// Takes the rows of a worker.
    pub fn writer(&self) -> Box<dyn SinkWriter> {
        let (layout, changes) = (Arc::clone(&self.layout), Arc::clone(&self.changes));
        Box::new(MergeWriter { layout, changes, only: self.only.clone(), rows: 0 })
    }

    /// How many files are read or written at the same time.
    fn at_once(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        (self.id.scratch.memory / REWRITE_BYTES).clamp(1, cores)
    }

    /// Writes the files that the epoch's rows come to. `leaving`: files of the table whose rows leave it, whatever their keys; with `replace` all of them, and the
    /// epoch's rows alone are left. When this fails, what was written is removed as far as possible.
    pub async fn plan(
        &self,
        base: Option<&Snapshot>,
        target: &Target,
        (leaving, replace): (Vec<Arc<Add>>, bool),
    ) -> Result<Planned, RunError> {
        let changes = Arc::clone(&self.changes);
        let parts = blocking(move || changes.seal()).await?;
        let mut work = self.work(base, target, replace)?;
        if !replace {
            let removed: BTreeSet<FileKey> = leaving.iter().map(|add| add.key()).collect();
            work.files.retain(|add| !removed.contains(&add.key()));
            for add in &leaving {
                let mut change = FileChange::new(Arc::clone(add));
                change.deleted.insert_range(0..work.keys.length(add).await?);
                work.counts.deleted += add.rows().unwrap_or_default();
                work.changed.insert(add.key(), change);
            }
        }
        let mut planned = Planned::default();
        let mut writers = work.rewriter.writers();
        for part in 0..parts {
            match self.part(part, &mut work, &mut writers).await {
                Ok(index) => planned.index = (parts == 1).then_some(index).flatten(),
                Err(error) => {
                    writers.discard().await;
                    return Err(error.at(self.spec.origin));
                }
            }
        }
        let (adds, cdcs) = writers.close().await?;
        planned.wrote(&adds, &cdcs);
        (planned.adds, planned.cdcs) = (adds, cdcs);
        if let Err(error) = self.rewrite(work, &mut planned).await {
            planned.discard(&self.storage).await;
            return Err(error.at(self.spec.origin));
        }
        if replace {
            planned.removes = leaving;
        }
        // Rows that only come follow from the files that come.
        if planned.removes.is_empty() || replace {
            let mut unneeded = Planned::default();
            unneeded.wrote(&[], &std::mem::take(&mut planned.cdcs));
            unneeded.discard(&self.storage).await;
        }
        Ok(planned)
    }

    /// Whether what was planned behind `before` is right behind `now`, too: its files are still there, and no file has come that may hold one of its keys.
    pub fn still_right(&self, planned: &Planned, before: &Snapshot, now: &Snapshot) -> Result<bool, RunError> {
        if planned.removes.iter().any(|add| !now.files.contains_key(&add.key())) {
            return Ok(false);
        }
        let columns = self.layout.key_columns();
        // Files that were only moved count too: they may hold rows of a file that came and went between the two.
        for (_, add) in now.files.iter().filter(|(key, _)| !before.files.contains_key(key)) {
            let Some(index) = &planned.index else { return Ok(false) };
            if index.may_be_in(&self.layout, &crate::facts::FileFacts::new(columns, add))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn work(&self, base: Option<&Snapshot>, target: &Target, replace: bool) -> Result<Work, RunError> {
        let what = describe(&self.spec);
        let metadata = target.metadata.as_ref().or(base.map(|b| &b.metadata)).cloned().unwrap_or_default();
        let protocol = target.protocol.as_ref().or(base.map(|b| &b.protocol)).cloned();
        let protocol = protocol.ok_or_else(|| self.layout.internal("the target has no protocol"))?;
        let has_vectors = Features::of(&protocol, &metadata, &target.fields).all.iter().any(|f| f == "deletionVectors");
        let enabled = |property: &str| metadata.enabled(property);
        let (feeds, vectors) = (enabled("delta.enableChangeDataFeed"), enabled("delta.enableDeletionVectors"));
        let files = base.filter(|_| !replace).map_or(vec![], Snapshot::ordered_files);
        // The columns are those that the table has after the commit; files lack those that are new.
        let (txns, none) = (BTreeMap::new(), BTreeMap::new());
        let version = base.map_or(0, |b| b.version);
        let snapshot = Snapshot { version, protocol, metadata, txns, files: none };
        let scan = |schema: &Schema| {
            Scan::new(&self.storage, &what, &snapshot, schema, None).map_err(|e| e.at(self.spec.origin))
        };
        let mut keys: Vec<_> = self.layout.key_columns().iter().map(|c| c.field.clone()).collect();
        if let Some(validity) = self.layout.validity {
            keys.extend([validity.from, validity.to].map(|i| self.layout.schema.fields[i].clone()));
        }
        let whole = target.whole(&self.spec)?;
        let rewriter = Rewriter {
            spec: Arc::clone(&self.spec),
            layout: Arc::clone(&self.layout),
            scan: scan(&self.layout.schema)?,
            storage: self.storage.clone(),
            // Where there is nothing to change, what comes follows from the files that come.
            feed: (feeds && !files.is_empty()).then(|| Arc::new(rewrite::feed(&whole))),
            target: Arc::new(whole),
            vectors: vectors && has_vectors,
            sizes: self.sizes,
            mark: self.mark,
            workers: Arc::clone(&self.workers),
        };
        let counts = Counts { source: self.changes.rows(), ..Counts::default() };
        let keys = scan(&Schema::new(keys))?;
        Ok(Work { rewriter: Arc::new(rewriter), keys, files, changed: BTreeMap::new(), counts })
    }

    /// Looks for the keys of a part of the rows, and writes what comes.
    async fn part(
        &self,
        part: usize,
        work: &mut Work,
        writers: &mut Writers,
    ) -> Result<Option<Arc<KeyIndex>>, RunError> {
        let changes = Arc::clone(&self.changes);
        let rows = blocking(move || changes.part(part)).await?;
        if rows.num_rows() == 0 {
            return Ok(None);
        }
        let (layout, staged, changing) = (Arc::clone(&self.layout), rows.clone(), self.spec.changing);
        let place = format!("{}, epoch {}", describe(&self.spec), self.id.epoch);
        if self.layout.validity.is_some() {
            let events = blocking(move || Events::new(&layout, &staged, changing, &place)).await?;
            return Ok(Some(self.history(events, &rows, work, writers).await?));
        }
        let net = blocking(move || net(&layout, &staged, changing, &place)).await?;
        let index = Arc::new(net.index);
        let mut found = vec![false; index.len()];
        for (add, hits) in self.probe(work, &index).await? {
            for (row, key) in hits.rows.iter().zip(&hits.keys) {
                found[*key as usize] = true;
                match net.changes[*key as usize] {
                    Change::Upsert(_) => drop(work.update(&add, *row)),
                    Change::Delete => work.delete(&add, *row),
                }
            }
        }
        let upsert = |(change, found): (&Change, &bool)| match change {
            Change::Upsert(row) => Some((*row, *found)),
            Change::Delete => None,
        };
        let upserts: Vec<(u32, bool)> = net.changes.iter().zip(&found).filter_map(upsert).collect();
        work.counts.inserted += upserts.iter().filter(|(_, found)| !found).count() as u64;
        for chunk in upserts.chunks(BATCH_ROWS) {
            let rows = self.rows(&rows, chunk.iter().map(|(row, _)| *row))?;
            writers.write(&rows).await?;
            self.say(writers, &rows, chunk.iter().map(|(_, found)| *found)).await?;
        }
        Ok(Some(index))
    }

    /// Puts versions in between those that are there.
    async fn history(
        &self,
        events: Events,
        rows: &RecordBatch,
        work: &mut Work,
        writers: &mut Writers,
    ) -> Result<Arc<KeyIndex>, RunError> {
        let hits = self.probe(work, &events.index).await?;
        let mut found: Vec<Found> = vec![];
        for (file, (_, hits)) in hits.iter().enumerate() {
            let all = hits.rows.iter().zip(&hits.keys).zip(&hits.times);
            found.extend(all.map(|((row, key), (from, to))| Found {
                key: *key,
                file,
                row: *row,
                from: *from,
                to: *to,
            }));
        }
        found.sort_by_key(|f| f.key);
        let mut out: Vec<(u32, Option<i64>, bool)> = vec![];
        let mut left = found.as_slice();
        for key in 0..events.index.len() {
            let (mine, others) = left.split_at(left.partition_point(|f| f.key as usize <= key));
            left = others;
            let version = |(number, f): (u32, &Found)| Version { from: f.from, to: f.to, place: Place::Table(number) };
            let mut chain = Chain::new((0..).zip(mine).map(version).collect());
            events.of(key).iter().for_each(|event| chain.step(*event));
            for number in &chain.removed {
                let found = &mine[*number as usize];
                work.delete(&hits[found.file].0, found.row);
            }
            for version in &chain.versions {
                match version.place {
                    Place::Table(number) if mine[number as usize].to == version.to => {}
                    Place::Table(number) => {
                        let found = &mine[number as usize];
                        work.update(&hits[found.file].0, found.row).ends.insert(found.row, version.to);
                    }
                    Place::Epoch { row, replaces } => {
                        if let Some(found) = replaces.map(|number| &mine[number as usize]) {
                            work.update(&hits[found.file].0, found.row);
                        }
                        out.push((row, version.to, replaces.is_some()));
                    }
                }
            }
        }
        work.counts.inserted += out.iter().filter(|(.., replaces)| !replaces).count() as u64;
        for chunk in out.chunks(BATCH_ROWS) {
            let rows = self.rows(rows, chunk.iter().map(|(row, ..)| *row))?;
            let rows = self.layout.ending(&rows, chunk.iter().map(|(_, end, _)| *end).collect())?;
            writers.write(&rows).await?;
            self.say(writers, &rows, chunk.iter().map(|(.., replaces)| *replaces)).await?;
        }
        Ok(events.index)
    }

    /// Rows of the epoch as rows of the table.
    fn rows(&self, staged: &RecordBatch, rows: impl Iterator<Item = u32>) -> Result<RecordBatch, RunError> {
        let columns = staged.columns()[..self.layout.width()].to_vec();
        let fields = staged.schema().fields().iter().take(columns.len()).cloned().collect::<Vec<_>>();
        let all = RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(fields)), columns);
        let rows = UInt32Array::from_iter_values(rows);
        let taken = all.and_then(|all| take_record_batch(&all, &rows)).map_err(|e| self.layout.internal(e))?;
        if self.layout.validity.is_some() {
            return Ok(taken);
        }
        RecordBatch::try_new(Arc::clone(self.layout.arrow()), taken.columns().to_vec())
            .map_err(|e| self.layout.internal(e))
    }

    /// Says of rows that come whether they take the place of others.
    async fn say(
        &self,
        writers: &mut Writers,
        rows: &RecordBatch,
        replace: impl Iterator<Item = bool>,
    ) -> Result<(), RunError> {
        if !writers.feeds() {
            return Ok(());
        }
        let (replacing, new): (Vec<_>, Vec<_>) = replace.zip(0u32..).partition(|(replaces, _)| *replaces);
        for (places, what) in [(replacing, ChangeType::Postimage), (new, ChangeType::Insert)] {
            let places = UInt32Array::from_iter_values(places.into_iter().map(|(_, place)| place));
            let part = take_record_batch(rows, &places).map_err(|e| self.layout.internal(e))?;
            writers.say(&part, what).await?;
        }
        Ok(())
    }

    /// Rewrites the files that change.
    async fn rewrite(&self, work: Work, planned: &mut Planned) -> Result<(), RunError> {
        let mut lots: Vec<Vec<FileChange>> = (0..self.at_once()).map(|_| vec![]).collect();
        let lots_count = lots.len();
        for (i, change) in work.changed.into_values().enumerate() {
            lots[i % lots_count].push(change);
        }
        let mut tasks = Threads::new();
        for lot in lots.into_iter().filter(|lot| !lot.is_empty()) {
            let rewriter = Arc::clone(&work.rewriter);
            tasks.spawn(async move { rewriter.run(lot).await });
        }
        // All of them end before anything is removed.
        let (mut all, mut failed) = (Rewritten::default(), None);
        while let Some(done) = tasks.next(&self.layout).await {
            match done {
                Ok(done) => {
                    planned.wrote(&done.adds, &done.cdcs);
                    all.adds.extend(done.adds);
                    all.cdcs.extend(done.cdcs);
                    all.removes.extend(done.removes);
                    all.vectors.extend(done.vectors);
                    all.copied += done.copied;
                }
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        planned.counts = Counts { copied: all.copied, vectors: all.vectors.len() as u64, ..work.counts };
        planned.adds.extend(all.adds);
        planned.cdcs.extend(all.cdcs);
        all.removes.sort_by(|a, b| a.path.cmp(&b.path));
        planned.removes = all.removes;
        self.vectors(all.vectors, planned).await
    }

    /// Writes deletion vectors, and adds their files again.
    async fn vectors(
        &self,
        mut vectors: Vec<(Arc<Add>, RoaringTreemap)>,
        planned: &mut Planned,
    ) -> Result<(), RunError> {
        let (_, unique) = uuid::Uuid::new_v4().as_u64_pair();
        let mut file = VectorFile::new(uuid::Uuid::from_u64_pair(self.mark, unique));
        vectors.sort_by(|a, b| a.0.path.cmp(&b.0.path));
        for (add, rows) in vectors {
            let vector = Some(file.push(&rows));
            let stats = add.stats.as_deref().map(loose_bounds);
            planned.adds.push(Add { deletion_vector: vector, data_change: true, stats, ..add.as_ref().clone() });
        }
        if file.is_empty() {
            return Ok(());
        }
        planned.written.push(file.path());
        file.write(&self.storage).await.map_err(|e| e.writing(&describe(&self.spec)))
    }

    async fn probe(&self, work: &Work, index: &Arc<KeyIndex>) -> Result<Vec<(Arc<Add>, Hits)>, RunError> {
        probe::probe(&work.keys, &self.layout, index, &work.files, self.at_once()).await
    }
}

/// A version of the table that has one of the keys.
struct Found {
    key: u32,
    file: usize,
    row: u64,
    from: i64,
    to: Option<i64>,
}

/// Statistics of a file some of whose rows are gone: its bounds hold, but may be of rows that are not there.
fn loose_bounds(stats: &str) -> String {
    match serde_json::from_str::<serde_json::Value>(stats) {
        Ok(mut json) if json.is_object() => {
            json["tightBounds"] = false.into();
            json.to_string()
        }
        _ => stats.to_string(),
    }
}

/// Lets work that takes the processor run beside the tasks that wait.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RunError> + Send + 'static,
) -> Result<T, RunError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(flowc_runtime::spill_error(error)),
        },
    }
}

/// Takes the rows of one worker.
struct MergeWriter {
    layout: Arc<Layout>,
    changes: Arc<Changes>,
    only: Option<Arc<Partitions>>,
    rows: u64,
}

impl MergeWriter {
    /// The rows of the partitions that are merged.
    fn wanted(&self, staged: RecordBatch) -> Result<RecordBatch, RunError> {
        let Some(only) = &self.only else { return Ok(staged) };
        let columns = only.columns().map(|name| staged.column_by_name(name).cloned());
        let columns: Option<Vec<_>> = columns.collect();
        let columns = columns.ok_or_else(|| self.layout.internal("a partition column is missing"))?;
        let wanted = only.rows(&columns, staged.num_rows());
        filter_record_batch(&staged, &wanted).map_err(|e| self.layout.internal(e))
    }
}

#[async_trait]
impl SinkWriter for MergeWriter {
    async fn write(&mut self, batch: &RecordBatch) -> Result<(), RunError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let staged = self.wanted(self.layout.stage(batch)?)?;
        if staged.num_rows() == 0 {
            return Ok(());
        }
        self.rows += staged.num_rows() as u64;
        self.changes.push(staged)
    }

    async fn finish(self: Box<Self>) -> Result<Written, RunError> {
        Ok(Written { rows: self.rows, ..Written::default() })
    }

    async fn abort(self: Box<Self>) {}
}
