//! A Delta table as a stream of rows: the snapshot at the first run, then what each commit adds, or changes. Knows positions; what a commit changes is
//! [`crate::changes`]'s matter, reading files [`crate::scan`]'s.

use crate::catalog;
use crate::changes::{Layout, Reader, Unit};
use crate::codes;
use crate::facts::table_bounds;
use crate::local_rows::Skipped;
use crate::log::commits::{Listing, commit_path, read_commit};
use crate::log::features::Features;
use crate::log::{Commit, Snapshot};
use crate::scan::{broken_promises, changed, differences, promised, unreadable};
use crate::schema::{self, DeltaField};
use crate::storage::{Storage, StorageError};
use async_trait::async_trait;
use deltalake::logstore::object_store::ObjectStoreExt;
use flowc_ir::catalog::ColumnBounds;
use flowc_ir::plan::{SourceSpec, Updates, VersionSpec};
use flowc_ir::{Program, Schema};
use flowc_runtime::{
    BatchStream, EpochLimits, Needed, Part, PartStream, Position, RowFilter, RunError, Source, SourceRange, Split,
};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// How far a table has been read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct At {
    /// The version that has been read, or is being read.
    version: u64,
    /// So much of it has been read: so many of its files, as long as it only adds some; none: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<usize>,
    /// Whether the version is read whole, as the first one is, and not only what it added.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    snapshot: bool,
    /// Where the first range began: the range that ends here can be read again without looking for its beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    begun: Option<u64>,
    /// Which table it is.
    table: String,
}

/// What is read of a version, in order.
type Units = Arc<Vec<Unit>>;

/// A Delta table as a source.
#[derive(Debug, Clone)]
pub struct DeltaSource {
    spec: SourceSpec,
    /// The columns of the table that are read.
    columns: Schema,
    storage: Storage,
    reader: Reader,
    table: String,
    opened: Snapshot,
    /// What is read of versions that were looked at lately, so that `splits` need not read the log again.
    seen: Arc<Mutex<BTreeMap<(u64, bool), Units>>>,
    /// A position, and one behind it with no rows between them: commits that add none are read once.
    passed: Arc<Mutex<Option<(At, At)>>>,
    /// Columns of fewer rows are read all at once.
    read_apart: u64,
}

/// Opening a file twice costs about as much as decoding a column of so many rows.
const READ_APART: u64 = 1 << 17;

impl DeltaSource {
    /// Opens the table; its newest version must have the columns that the program reads.
    pub async fn open(spec: &SourceSpec, storage: Storage) -> Result<DeltaSource, RunError> {
        let what = format!("source `{}` ({})", spec.name, storage.location());
        let opened = Snapshot::load(&storage, None).await.map_err(|e| e.reading(&what).at(spec.origin))?;
        let layout = Layout::new(&spec.schema, spec.committed.as_deref());
        let columns = layout.columns().clone();
        let reader = Reader::new(&storage, &what, &opened, layout, spec.predicate.as_ref());
        let reader = reader.map_err(|e| e.at(spec.origin))?;
        promised(&what, &opened, &spec.promises).map_err(|e| e.at(spec.origin))?;
        let (table, mut opened) = (opened.metadata.id.clone(), opened);
        let mut seen = BTreeMap::new();
        if spec.committed.is_none() {
            // The times of its files are many commits to read, and needed only if nothing has been read yet.
            let units = reader.snapshot(&opened, false).await.map_err(|e| e.reading(&what).at(spec.origin))?;
            seen.insert((opened.version, true), Arc::new(units));
        }
        opened.files.clear();
        let (spec, seen, passed) = (spec.clone(), Arc::new(Mutex::new(seen)), Arc::default());
        Ok(DeltaSource { spec, columns, storage, reader, table, opened, seen, passed, read_apart: READ_APART })
    }

    /// With a reader that is set up otherwise.
    pub fn with_reader(self, set_up: impl FnOnce(Reader) -> Reader) -> DeltaSource {
        DeltaSource { reader: set_up(self.reader.clone()), ..self }
    }

    /// Reading columns apart from so many rows on.
    pub fn with_read_apart(self, rows: u64) -> DeltaSource {
        DeltaSource { read_apart: rows, ..self }
    }

    fn what(&self) -> String {
        format!("source `{}` ({})", self.spec.name, self.storage.location())
    }

    fn failed(&self, error: StorageError) -> RunError {
        error.reading(&self.what()).at(self.spec.origin)
    }

    fn position(&self, position: &Position) -> Result<At, RunError> {
        let at: At = serde_json::from_value(position.0.clone()).map_err(|e| {
            RunError::data(
                codes::BAD_POSITION,
                format!("{}: the recorded position {} is not understood: {e}", self.what(), position.0),
            )
            .help("the state belongs to another source of this name; run with --full-refresh, or rename the source")
            .at(self.spec.origin)
        })?;
        if at.table != self.table {
            let message = format!(
                "{} is another table than the one that was read before (id {}, was {})",
                self.what(),
                self.table,
                at.table
            );
            return Err(RunError::data(codes::TABLE_REPLACED, message)
                .help("it was replaced; run with --full-refresh to process the new table from its beginning")
                .at(self.spec.origin));
        }
        Ok(at)
    }

    /// What to read first, when nothing has been read.
    async fn beginning(&self) -> Result<At, RunError> {
        let Some(start) = self.spec.start else {
            let opened = self.opened.version;
            let still = self.seen.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&(opened, true));
            if still && read_commit(&self.storage, opened + 1).await.map_err(|e| self.failed(e))?.is_none() {
                return Ok(self.at(opened, Some(0), true));
            }
            let version = Snapshot::load(&self.storage, None).await.map_err(|e| self.failed(e))?;
            return Ok(self.at(self.remember(version).await?, Some(0), true));
        };
        let version = Snapshot::first_from(&self.storage, start).await.map_err(|e| self.failed(e))?;
        let listing = Listing::read(&self.storage, 0).await.map_err(|e| self.failed(e))?;
        let (oldest, newest) = (listing.commits.keys().next().copied(), listing.newest().unwrap_or(0));
        let exists = listing.commits.contains_key(&version);
        // A time, or a version, that has not come yet is waited for; one that is gone cannot be.
        if !exists && (version <= newest || matches!(start, VersionSpec::Number(v) if v > newest + 1)) {
            let error = StorageError::NoSuchVersion { oldest: oldest.unwrap_or(newest), newest };
            return Err(self.failed(error));
        }
        Ok(self.at(version, Some(0), false))
    }

    /// Where to begin, and to end, so that all comes that was read to come to a position: where `start` says; otherwise the table as it was there, and of a version
    /// that was read in part the one before it, and that part.
    async fn first_to(&self, to: &At) -> Result<(At, At), RunError> {
        if let Some(start) = self.spec.start {
            let version = Snapshot::first_from(&self.storage, start).await.map_err(|e| self.failed(e))?;
            return Ok((self.at(version, Some(0), false), At { begun: None, ..to.clone() }));
        }
        let part = to.file.filter(|_| !to.snapshot);
        Ok(match (part, to.version.checked_sub(1)) {
            (None, _) => (self.at(to.version, Some(0), true), self.at(to.version, to.file, true)),
            (Some(file), Some(before)) => (self.at(before, Some(0), true), self.at(to.version, Some(file), false)),
            (Some(file), None) => (self.at(to.version, Some(0), false), self.at(to.version, Some(file), false)),
        })
    }

    /// What is read from behind a position to another one.
    async fn between(&self, from: &At, to: &At) -> Result<Vec<Unit>, RunError> {
        let (mut version, mut done, mut whole) = after(from);
        let mut files = vec![];
        while version <= to.version {
            let gone = || {
                self.failed(StorageError::Damaged(format!(
                    "version {version}, part of the recorded range, is no longer there"
                )))
            };
            let all = self.units(version, whole).await?.ok_or_else(gone)?;
            let end = if version == to.version { to.file.unwrap_or(all.len()) } else { all.len() };
            files.extend(all.get(done..end).unwrap_or_default().iter().cloned());
            (version, done, whole) = (version + 1, 0, false);
        }
        Ok(files)
    }

    fn at(&self, version: u64, file: Option<usize>, snapshot: bool) -> At {
        At { version, file, snapshot, begun: None, table: self.table.clone() }
    }

    async fn remember(&self, snapshot: Snapshot) -> Result<u64, RunError> {
        let units = self.reader.snapshot(&snapshot, self.timed()).await.map_err(|e| self.failed(e))?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert((snapshot.version, true), Arc::new(units));
        Ok(snapshot.version)
    }

    /// Whether the rows say when they were committed.
    fn timed(&self) -> bool {
        self.spec.committed.is_some()
    }

    /// What is read of a version: all that it has, or what it changed.
    async fn units(&self, version: u64, whole: bool) -> Result<Option<Units>, RunError> {
        if let Some(files) = self.seen.lock().unwrap_or_else(PoisonError::into_inner).get(&(version, whole)) {
            return Ok(Some(files.clone()));
        }
        let files = if whole {
            let snapshot = Snapshot::load(&self.storage, Some(version)).await.map_err(|e| self.failed(e))?;
            self.reader.snapshot(&snapshot, self.timed()).await.map_err(|e| self.failed(e))?
        } else {
            match read_commit(&self.storage, version).await.map_err(|e| self.failed(e))? {
                Some(commit) => self.commit(commit).await?,
                None => return Ok(None),
            }
        };
        let files = Arc::new(files);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        while seen.len() >= 64 {
            seen.pop_first();
        }
        seen.insert((version, whole), files.clone());
        Ok(Some(files))
    }

    /// What is read of a commit, or why nothing is.
    async fn commit(&self, commit: Commit) -> Result<Vec<Unit>, RunError> {
        if commit.version > 0 {
            self.same_table(&commit)?;
        }
        match self.spec.updates {
            Updates::Follow => self.reader.changed(commit, self.timed()).await.map_err(|e| e.at(self.spec.origin)),
            Updates::Ignore if commit.changes_rows() => Ok(vec![]),
            Updates::Stop if commit.changes_rows() => {
                let message = format!("{}: {} updated or deleted rows", self.what(), commit.describe());
                let help = format!(
                    "declare the source with `changes` to follow updates and deletes, or with `ignore updates` to pass over such commits; or compute \
                     everything again from the table as it is now: --full-refresh; or pass over this commit alone: give the source another name, and \
                     `start version {}`",
                    commit.version + 1
                );
                Err(RunError::data(codes::ROWS_CHANGED, message).help(help).at(self.spec.origin))
            }
            Updates::Ignore | Updates::Stop => {
                self.reader.added(commit, self.timed()).await.map_err(|e| self.failed(e))
            }
        }
    }

    /// A commit may add columns and set properties; what the program reads must stay what it is.
    fn same_table(&self, commit: &Commit) -> Result<(), RunError> {
        let metadata = commit.metadata.as_ref().unwrap_or(&self.opened.metadata);
        let protocol = commit.protocol.as_ref().unwrap_or(&self.opened.protocol);
        if commit.metadata.is_none() && commit.protocol.is_none() {
            return Ok(());
        }
        let why = |text: &str| self.changed_by(commit, text);
        if metadata.id != self.table {
            return Err(why("it is another table"));
        }
        let fields = schema::parse(&metadata.schema_string).map_err(|e| self.failed(e))?;
        let features = Features::of(protocol, metadata, &fields);
        if !features.unreadable.is_empty() {
            let what = format!("{}, since {}", self.what(), commit.describe());
            return Err(unreadable(&what, &features.unreadable).at(self.spec.origin));
        }
        let mut wanted = self.columns.clone();
        if commit.version <= self.opened.version {
            // Columns that came later than this commit are null in its files.
            wanted.fields.retain(|f| fields.iter().any(|t| t.name == f.name) || !f.ty.nullable);
        }
        let mut wrong = differences(&fields, &wanted);
        if commit.version > self.opened.version {
            wrong.extend(broken_promises(metadata, &fields, &self.spec.promises));
        }
        if self.opened.metadata.partition_columns != metadata.partition_columns {
            wrong.push("it is partitioned by other columns".into());
        }
        if wrong.is_empty() { Ok(()) } else { Err(why(&self.renamed(&fields, wrong).join("; "))) }
    }

    /// Says of columns that are gone what they are called now, where the table maps its columns.
    fn renamed(&self, fields: &[DeltaField], wrong: Vec<String>) -> Vec<String> {
        let before = schema::parse(&self.opened.metadata.schema_string).unwrap_or_default();
        let now = |gone: &DeltaField| fields.iter().find(|f| f.id().is_some() && f.id() == gone.id()).map(|f| &f.name);
        let say = |text: String| {
            let gone = before.iter().find(|f| text == format!("it has no column `{}`", f.name));
            match gone.and_then(now) {
                Some(name) => format!("{text}: it was renamed to `{name}`"),
                None => text,
            }
        };
        wrong.into_iter().map(say).collect()
    }

    /// Why a run stops at a commit that changed what the program reads.
    fn changed_by(&self, commit: &Commit, text: &str) -> RunError {
        let error = changed(&self.what(), commit.version, &format!("{text}; since {}", commit.describe()));
        let help = if commit.version > self.opened.version {
            "nothing of this commit, and of those after it, was read or written: check the program against the table as it is now (`flowc check`), \
             correct it, and run it again; it goes on where it stopped"
        } else {
            "the table is right again by now, but what was added in between may not be what the program reads: declare the columns in the source's `schema` \
             as they were (`value: double?` where they may have been null); or compute everything again from the table as it is now: --full-refresh"
        };
        error.help(help).at(self.spec.origin)
    }

    /// What to say when the version after the last one read is not there: nothing is new, or the log was cleaned.
    async fn nothing_after(&self, version: u64) -> Result<(), RunError> {
        match self.storage.store().head(&commit_path(version)).await.map_err(StorageError::from) {
            Ok(_) => return Ok(()),
            Err(StorageError::Missing(_)) => {}
            Err(other) => return Err(self.failed(other)),
        }
        let listing = Listing::read(&self.storage, 0).await.map_err(|e| self.failed(e))?;
        let newest = listing.newest().ok_or_else(|| self.failed(StorageError::NoTable))?;
        if newest == version || newest + 1 == version {
            return Ok(());
        }
        if newest < version {
            let message = format!(
                "{}: version {version} was read before, but the newest is {newest}: the table was replaced or restored",
                self.what()
            );
            return Err(RunError::data(codes::TABLE_REPLACED, message)
                .help("run with --full-refresh to process it from its beginning")
                .at(self.spec.origin));
        }
        let message = format!(
            "{}: versions {} to {newest} have not been read, but the log no longer has version {}",
            self.what(),
            version + 1,
            version + 1
        );
        Err(RunError::data(codes::LOG_CLEANED, message)
            .help(
                "run with --full-refresh to compute everything again; or give the source another name, and `start version N` with a version that is \
                 there. Run more often than the log is cleaned (delta.logRetentionDuration)",
            )
            .at(self.spec.origin))
    }

    /// Where an epoch may end among the files of a version: before which of them. Where something waits for the watermark, not where a row further on would be
    /// late for it: files may lie in any order, be it that the table was compacted.
    fn ends(&self, files: &[Unit]) -> Vec<bool> {
        let Some(arrival) = &self.spec.arrival else { return vec![true; files.len()] };
        // Before the first file what was read are earlier versions.
        let none = || (0..files.len()).map(|i| i == 0).collect();
        let Some((column, unit)) = &arrival.column else { return none() };
        let span = |unit: &Unit| match unit {
            Unit::Added { add, .. } => self.reader.scan().span(add, column),
            Unit::Rewritten(_) => None,
        };
        let Some(times) = files.iter().map(span).collect::<Option<Vec<_>>>() else {
            return none();
        };
        let micros = |value: i64| i128::from(value) * i128::from(*unit);
        let mut least: Vec<i128> = times.iter().map(|(min, _)| micros(*min)).collect();
        for i in (1..least.len()).rev() {
            least[i - 1] = least[i - 1].min(least[i]);
        }
        let mut greatest = i128::MIN;
        let mut ends = vec![];
        for (i, (_, max)) in times.iter().enumerate() {
            ends.push(i == 0 || least[i] >= greatest - i128::from(arrival.delay));
            greatest = greatest.max(micros(*max));
        }
        ends
    }

    fn range(&self, from: Option<&Position>, first: &At, to: &At, taken: &Taken) -> SourceRange {
        let versions = if first.version == to.version {
            format!("version {}", to.version)
        } else {
            format!("version {}..{}", first.version, to.version)
        };
        let of = if to.snapshot { " (snapshot)" } else { "" };
        let files = if taken.files == 1 { "1 file".to_string() } else { format!("{} files", taken.files) };
        SourceRange {
            from: from.cloned(),
            to: Position(serde_json::to_value(to).unwrap_or_default()),
            text: format!("{versions}{of}, {files}"),
            rows: taken.rows,
            bytes: Some(taken.bytes),
        }
    }
}

/// What a range has taken so far.
struct Taken {
    files: u64,
    bytes: u64,
    rows: Option<u64>,
    /// Rows, also where some are not known.
    about_rows: u64,
}

impl Taken {
    fn add(&mut self, unit: &Unit) {
        self.files += unit.files();
        self.bytes += unit.bytes();
        self.rows = self.rows.zip(unit.rows()).map(|(a, b)| a + b);
        self.about_rows += unit.about_rows();
    }

    /// Whether one more unit would be too much. At least one is always taken.
    fn full(&self, next: &Unit, limits: &EpochLimits) -> bool {
        let over = |limit: Option<u64>, value: u64| limit.is_some_and(|l| value > l);
        self.files > 0
            && (over(limits.files, self.files + next.files())
                || over(limits.bytes, self.bytes + next.bytes())
                || over(limits.rows, self.about_rows + next.about_rows()))
    }
}

/// Where reading goes on behind a position: a version, how many of its files are done, and whether it is read whole.
fn after(at: &At) -> (u64, usize, bool) {
    match at.file {
        Some(file) => (at.version, file, at.snapshot),
        None => (at.version + 1, 0, false),
    }
}

#[async_trait]
impl Source for DeltaSource {
    async fn next_range(&self, from: Option<&Position>, limits: EpochLimits) -> Result<Option<SourceRange>, RunError> {
        let start = match from {
            Some(position) => self.position(position)?,
            None => self.beginning().await?,
        };
        let passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let begin = passed.filter(|(from, _)| *from == start).map_or_else(|| start.clone(), |(_, to)| to);
        let (mut version, mut done, mut whole) = after(&begin);
        let first = self.at(version, Some(done), whole);
        let mut taken = Taken { files: 0, bytes: 0, rows: Some(0), about_rows: 0 };
        let mut last: Option<At> = None;
        'versions: while let Some(files) = self.units(version, whole).await? {
            let ends = if limits == EpochLimits::NONE { vec![] } else { self.ends(&files) };
            for (i, file) in files.iter().enumerate().skip(done) {
                if taken.full(file, &limits) && ends.get(i) != Some(&false) {
                    if i > 0 {
                        last = Some(self.at(version, Some(i), whole));
                    }
                    break 'versions;
                }
                taken.add(file);
            }
            last = Some(self.at(version, None, whole));
            if whole {
                break;
            }
            (version, done, whole) = (version + 1, 0, false);
        }
        match last {
            // An empty snapshot, or commits that add no rows, are not work.
            Some(mut to) if taken.files > 0 => {
                to.begun = from.is_none().then_some(first.version);
                Ok(Some(self.range(from, &first, &to, &taken)))
            }
            Some(to) => {
                if from.is_some() {
                    *self.passed.lock().unwrap_or_else(PoisonError::into_inner) = Some((start, to));
                }
                Ok(None)
            }
            None => {
                let read = begin.file.map_or(Some(begin.version), |_| begin.version.checked_sub(1));
                if let Some(read) = read {
                    self.nothing_after(read).await?;
                }
                Ok(None)
            }
        }
    }

    async fn range_to(&self, to: &Position) -> Result<Option<SourceRange>, RunError> {
        let to = self.position(to)?;
        let (first, to) = self.first_to(&to).await?;
        let mut taken = Taken { files: 0, bytes: 0, rows: Some(0), about_rows: 0 };
        for unit in self.between(&first, &to).await? {
            taken.add(&unit);
        }
        let from = Position(serde_json::to_value(&first).unwrap_or_default());
        Ok((taken.files > 0).then(|| self.range(Some(&from), &first, &to, &taken)))
    }

    async fn splits(&self, range: &SourceRange) -> Result<Vec<Split>, RunError> {
        let to = self.position(&range.to)?;
        let from = match &range.from {
            Some(position) => self.position(position)?,
            None => {
                let message = || format!("{}: the recorded range has no beginning", self.what());
                let begun =
                    to.begun.ok_or_else(|| RunError::data(codes::BAD_POSITION, message()).at(self.spec.origin))?;
                self.at(begun, Some(0), to.snapshot)
            }
        };
        let files = self.between(&from, &to).await?;
        self.reader.splits(&files).await.map_err(|e| e.at(self.spec.origin))
    }

    async fn read(&self, split: &Split, batch_rows: usize) -> Result<BatchStream, RunError> {
        self.reader.read(split, batch_rows).await.map_err(|e| e.at(self.spec.origin))
    }

    async fn read_parts(&self, split: &Split, batch_rows: usize) -> Result<PartStream, RunError> {
        let skipped = Skipped::default();
        let read = self.reader.read_needed(split, batch_rows, &skipped).await;
        let batches = read.map_err(|e| e.at(self.spec.origin))?.map(|batch| batch.map(Part::Rows));
        // Behind the rows of a batch, those of it that did not come out; at the end, those of batches of which none did.
        let parts = batches.map(Some).chain(futures::stream::once(std::future::ready(None)));
        let parts = parts.flat_map(move |part| {
            let skipped = Some(skipped.take()).filter(|rows| *rows > 0).map(|rows| Ok(Part::Skipped(rows)));
            futures::stream::iter(part.into_iter().chain(skipped))
        });
        Ok(parts.boxed())
    }

    /// What follows changes reads files whole to tell what cancels out.
    fn needing(&self, needed: &Needed) -> Option<Arc<dyn Source>> {
        let follows = self.spec.updates == Updates::Follow;
        (!follows).then(|| Arc::new(self.clone().with_reader(|reader| reader.needing(needed))) as Arc<dyn Source>)
    }

    /// Rows that say how they came have columns that no file has. A predicate leaves out row groups by columns that a narrower reading may lack.
    fn reads_columns(&self, range: &SourceRange) -> bool {
        let plain = !self.timed() && self.spec.updates != Updates::Follow && self.spec.predicate.is_none();
        plain && range.rows.is_none_or(|rows| rows >= self.read_apart)
    }

    async fn read_columns(&self, split: &Split, columns: &[usize], batch_rows: usize) -> Result<BatchStream, RunError> {
        self.reader.read_columns(split, columns, batch_rows).await.map_err(|e| e.at(self.spec.origin))
    }

    async fn read_filtered(
        &self,
        split: &Split,
        filter: &Arc<dyn RowFilter>,
        batch_rows: usize,
    ) -> Result<BatchStream, RunError> {
        self.reader.read_filtered(split, &**filter, batch_rows).await.map_err(|e| e.at(self.spec.origin))
    }
}

/// What a predicate leaves of a table's files.
#[derive(Debug, Clone, PartialEq)]
pub struct Pruned {
    /// The table's data files.
    pub files: usize,
    /// Those of them that would be read.
    pub left: usize,
    /// The rows of those, where the statistics of every one say it.
    pub rows: Option<u64>,
    /// What their statistics say of columns.
    pub bounds: Vec<ColumnBounds>,
}

/// How many files the table has (now, or at a version), and how many of them the predicate over the columns of a layout leaves: for `explain`.
pub async fn prune_report(
    storage: &Storage,
    version: Option<VersionSpec>,
    layout: Layout,
    predicate: Option<&Program>,
) -> Result<Pruned, RunError> {
    let what = storage.location();
    let snapshot = catalog::load(storage, version).await.map_err(|e| e.reading(what))?;
    let (files, columns) = (snapshot.files.len(), layout.columns().clone());
    let reader = Reader::new(storage, what, &snapshot, layout, predicate)?;
    let scan = reader.scan();
    let mut snapshot = Snapshot::clone(&snapshot);
    snapshot.files.retain(|_, file| scan.keeps(file));
    let rows = snapshot.files.values().map(|file| file.rows()).sum();
    Ok(Pruned { files, left: snapshot.files.len(), rows, bounds: table_bounds(&snapshot, &columns) })
}
