//! Commits an epoch: its files and its transaction in one version, put if absent, behind whatever others committed meanwhile. Knows the log;
//! [`super::conflict`] decides; what a merge commits, [`super::merge`] plans.

use super::conflict::{Decision, Replaces, decide};
use super::info::{self, Operation};
use super::merge::{Counts, Merger, Planned};
use super::partitions::Partitions;
use super::taken::{Left, left};
use super::target::{Target, describe};
use super::writer::remove;
use super::{Head, now_millis};
use crate::codes;
use crate::log::commits::read_commit;
use crate::log::{Add, Commit, Snapshot, Txn};
use crate::storage::{Storage, StorageError, one_line};
use async_trait::async_trait;
use deltalake::kernel::transaction::TransactionError;
use deltalake::logstore::CommitOrBytes;
use flowc_ir::plan::{SinkMode, SinkSpec};
use flowc_runtime::quality::Judgement;
use flowc_runtime::{Committed, EpochId, Merged, RunError, SinkEpoch, SinkWriter, Written};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use uuid::Uuid;

/// How often other writers may be faster before the epoch gives up.
const ATTEMPTS: usize = 50;
/// How often a merge is planned before the epoch gives up: each time it has read and written files.
const PLANS: usize = 8;

/// An epoch of a Delta sink.
pub struct DeltaEpoch {
    pub(super) spec: Arc<SinkSpec>,
    pub(super) storage: Storage,
    pub(super) sizes: super::Sizes,
    pub(super) id: EpochId,
    /// The table that the epoch's checks were made against; none: it is created.
    pub(super) base: Option<Arc<Snapshot>>,
    /// The version whose rows leave the table with this commit: those that a replay has read.
    pub(super) takes: Option<Arc<Snapshot>>,
    /// The partitions whose rows this epoch replaces, whatever the mode.
    pub(super) partition: Option<Arc<Partitions>>,
    pub(super) target: Arc<Target>,
    pub(super) head: Head,
    pub(super) workers: AtomicUsize,
    /// Where rows are matched by key.
    pub(super) merger: Option<Merger>,
    /// Whether a commit may have taken place without an answer: then its files stay where they are.
    pub(super) uncertain: AtomicBool,
}

/// What came of an attempt to write a version.
enum Attempt {
    Won,
    Lost,
}

/// What a commit does to the files of the table.
struct Actions<'a> {
    adds: &'a [Add],
    leaving: &'a [Arc<Add>],
    /// Of a merge: what else it does.
    planned: Option<&'a Planned>,
}

/// What the commits of others leave to do.
enum Next {
    /// Commit on top of this table.
    Again(Option<Arc<Snapshot>>, Arc<Target>),
    /// The epoch is in the table as this version; written by this attempt or not.
    Done(u64, bool),
}

impl DeltaEpoch {
    fn epoch(&self) -> i64 {
        i64::try_from(self.id.epoch).unwrap_or(i64::MAX)
    }

    /// How this epoch's rows meet those that are there.
    fn mode(&self) -> SinkMode {
        match (&self.partition, &self.merger) {
            _ if self.id.replace => SinkMode::Overwrite,
            (Some(_), None) => SinkMode::OverwritePartition,
            _ => self.spec.mode.clone(),
        }
    }

    /// The files whose rows leave the table with the commit; none: nothing is left to decide, and nothing is to be added either.
    async fn leaving(&self, base: Option<&Snapshot>, adds: &[Add]) -> Result<Option<Vec<Arc<Add>>>, RunError> {
        let Some(base) = base else { return Ok(Some(vec![])) };
        if let Some(partition) = &self.partition {
            let files = base.files.values().filter(|add| partition.hold(&add.partition_values));
            return Ok(Some(files.cloned().collect()));
        }
        match self.mode() {
            SinkMode::Overwrite => return Ok(Some(base.files.values().cloned().collect())),
            SinkMode::OverwritePartition => {
                let partitions = Partitions::of(&self.target, adds);
                let files = base.files.values().filter(|add| partitions.hold(&add.partition_values));
                return Ok(Some(files.cloned().collect()));
            }
            SinkMode::Append | SinkMode::Merge { .. } | SinkMode::Scd2 { .. } => {}
        }
        let Some(read) = &self.takes else { return Ok(Some(vec![])) };
        let mut commits = vec![];
        for version in read.version + 1..=base.version {
            commits.extend(read_commit(&self.storage, version).await.map_err(|e| self.failed(e))?);
        }
        let (by, what) = match left(read, base, &commits) {
            Left::Files(files) => return Ok(Some(files)),
            // Whoever took them all out has taken the decision over those that failed again, too.
            Left::Gone(_) if self.id.resumed => return Ok(None),
            Left::Gone(by) => (by, "removed the rows that were being replayed"),
            Left::Changed(by) => {
                (by, "changed some of the rows that were being replayed, or moved them together with others")
            }
        };
        let message = format!("{}, replay {}: {by} {what}", describe(&self.spec), self.id.epoch);
        let help = format!(
            "the rows that passed are in their sinks, and none was taken out here; bring version {} of the table back (RESTORE TABLE … TO VERSION AS OF {}), then \
             run `flowc replay` again: it finishes what it began and duplicates nothing",
            read.version, read.version
        );
        Err(RunError::world(codes::REPLAY_CONFLICT, message).help(help).at(self.spec.origin))
    }

    /// Who commits what, and why.
    fn info(&self, base: Option<&Snapshot>, target: &Target, actions: &Actions<'_>, by: (&str, &[Judgement])) -> Json {
        let operation = match (&self.takes, actions.planned, base) {
            (Some(read), ..) => Operation::Replay(read),
            (None, Some(planned), Some(_)) if !self.id.replace => Operation::Merge(planned),
            (None, _, None) => Operation::Create,
            (None, _, Some(_)) => Operation::Write,
        };
        let epoch = info::Epoch { id: &self.id, spec: &self.spec, mode: self.mode(), storage: &self.storage };
        epoch.info(&operation, target, (actions.adds, actions.leaving), by)
    }

    /// The lines of the commit.
    fn body(&self, target: &Target, info: &Json, actions: &Actions<'_>) -> Vec<u8> {
        let now = now_millis();
        let txn = Txn { app_id: self.id.application.clone(), version: self.epoch(), last_updated: Some(now) };
        let mut lines = vec![json!({ "commitInfo": info })];
        lines.extend(target.protocol.as_ref().map(|p| json!({ "protocol": p })));
        lines.extend(target.metadata.as_ref().map(|m| json!({ "metaData": m })));
        lines.push(json!({ "txn": txn }));
        lines.extend(actions.leaving.iter().map(|f| json!({ "remove": f.removal(now, true) })));
        lines.extend(actions.adds.iter().map(|a| json!({ "add": a })));
        let feed = actions.planned.iter().flat_map(|planned| &planned.cdcs);
        lines.extend(feed.map(|c| json!({ "cdc": c })));
        let text: Vec<String> = lines.iter().map(Json::to_string).collect();
        text.join("\n").into_bytes()
    }

    /// Writes a version if it is absent.
    async fn attempt(&self, version: u64, body: Vec<u8>, attempt: Uuid) -> Result<Attempt, RunError> {
        let written =
            self.storage.log_store().write_commit_entry(version, CommitOrBytes::LogBytes(body.into()), attempt).await;
        let error = match written {
            Ok(()) => return Ok(Attempt::Won),
            Err(TransactionError::VersionAlreadyExists(_)) => return Ok(Attempt::Lost),
            Err(error) => one_line(&error),
        };
        // The answer may have been lost after the file was written: the log tells.
        self.uncertain.store(true, Ordering::SeqCst);
        match read_commit(&self.storage, version).await {
            Ok(Some(_)) => Ok(Attempt::Lost),
            Ok(None) => Err(self.failed(StorageError::Failed(error))),
            Err(second) => {
                let message = format!(
                    "{}, epoch {}, version {version}: {error}; then the log could not be read: {second}",
                    describe(&self.spec),
                    self.id.epoch
                );
                Err(RunError::world(codes::UNKNOWN_OUTCOME, message)
                    .help("run again: the epoch is looked for in the table and not written twice")
                    .at(self.spec.origin))
            }
        }
    }

    fn failed(&self, error: StorageError) -> RunError {
        error.writing(&describe(&self.spec)).at(self.spec.origin)
    }

    /// Reads the commits that came first and decides what they mean.
    async fn behind(
        &self,
        base: Option<Arc<Snapshot>>,
        target: Arc<Target>,
        (attempt, adds): (&str, &[Add]),
    ) -> Result<Next, RunError> {
        let Some(base) = base else { return self.behind_creation(target, attempt).await };
        let mut snapshot = base.as_ref().clone();
        let named = self.partition.as_deref().cloned();
        let partitions = named.unwrap_or_else(|| Partitions::of(&target, adds));
        let replaces = match self.mode() {
            SinkMode::Overwrite => Replaces::All,
            SinkMode::Merge { .. } | SinkMode::Scd2 { .. } if self.partition.is_some() => {
                Replaces::Partitions(&partitions)
            }
            SinkMode::OverwritePartition => Replaces::Partitions(&partitions),
            SinkMode::Append | SinkMode::Merge { .. } | SinkMode::Scd2 { .. } => Replaces::Nothing,
        };
        while let Some(commit) = read_commit(&self.storage, snapshot.version + 1).await.map_err(|e| self.failed(e))? {
            if commit.transaction_id() == Some(attempt) {
                return Ok(Next::Done(commit.version, true));
            }
            match decide(replaces, &self.id.application, self.epoch(), &commit) {
                Decision::Retry => snapshot.apply(commit),
                Decision::Already => return Ok(Next::Done(commit.version, false)),
                Decision::Conflict(code, reason) => return Err(self.conflict(code, &commit, &reason)),
            }
        }
        Ok(Next::Again(Some(Arc::new(snapshot)), target))
    }

    /// The table was to be created, and another writer did it first: this one's rows may still fit.
    async fn behind_creation(&self, target: Arc<Target>, attempt: &str) -> Result<Next, RunError> {
        let first = read_commit(&self.storage, 0).await.map_err(|e| self.failed(e))?;
        if first.as_ref().and_then(Commit::transaction_id) == Some(attempt) {
            return Ok(Next::Done(0, true));
        }
        let snapshot = Snapshot::load(&self.storage, None).await.map_err(|e| self.failed(e))?;
        if snapshot.transaction(&self.id.application).is_some_and(|v| v >= self.epoch()) {
            return Ok(Next::Done(snapshot.version, false));
        }
        let now = Target::existing(&self.spec, &self.mode(), &snapshot)?;
        let replaces = matches!(self.mode(), SinkMode::Overwrite | SinkMode::OverwritePartition);
        let holds_rows = replaces && !snapshot.files.is_empty();
        let same = now.same_files(&target) && (self.merger.is_none() || now.same_columns(&target));
        if !same || now.metadata.is_some() || holds_rows {
            let commit = first.unwrap_or_default();
            return Err(self.conflict(
                codes::METADATA_CONFLICT,
                &commit,
                "another writer created the table meanwhile, not as this program does",
            ));
        }
        Ok(Next::Again(Some(Arc::new(snapshot)), Arc::new(now)))
    }

    fn conflict(&self, code: &'static str, commit: &Commit, reason: &str) -> RunError {
        let message = format!("{}, epoch {}: {reason}", describe(&self.spec), self.id.epoch);
        RunError::world(code, message)
            .help(format!(
                "nothing of the epoch was committed; look at version {} of the table, then run again",
                commit.version
            ))
            .at(self.spec.origin)
    }

    async fn committed(&self, version: u64, adds: &[Add], target: &Target, mine: bool) -> Committed {
        if !mine {
            remove(&self.storage, adds).await;
            return Committed { version: Some(version), already: true, ..Committed::default() };
        }
        self.head.checkpoint(&self.storage, version, target).await;
        Committed {
            version: Some(version),
            rows: adds.iter().filter_map(Add::physical_rows).sum(),
            files: adds.len() as u64,
            bytes: adds.iter().map(|a| a.size.max(0) as u64).sum(),
            already: false,
            merged: None,
        }
    }
}

impl DeltaEpoch {
    /// Commits files that were written for the table whatever is in it.
    async fn commit_files(&self, adds: &[Add], quality: &[Judgement]) -> Result<Committed, RunError> {
        let (mut base, mut target) = (self.base.clone(), self.target.clone());
        let attempt = Uuid::new_v4();
        let name = attempt.to_string();
        for _ in 0..ATTEMPTS {
            let leaving = self.leaving(base.as_deref(), adds).await?;
            let (kept, leaving) = match &leaving {
                Some(leaving) => (adds, leaving.as_slice()),
                None => (&[][..], &[][..]),
            };
            let actions = Actions { adds: kept, leaving, planned: None };
            if let Attempt::Won = self.write(base.as_deref(), &target, &actions, (attempt, quality)).await? {
                if kept.is_empty() {
                    remove(&self.storage, adds).await;
                }
                return Ok(self.committed(next(base.as_deref()), kept, &target, true).await);
            }
            match self.behind(base, target.clone(), (&name, adds)).await? {
                Next::Again(next_base, next_target) => (base, target) = (next_base, next_target),
                Next::Done(version, mine) => return Ok(self.committed(version, adds, &target, mine).await),
            }
        }
        Err(self.too_many())
    }

    /// Plans a merge behind the newest version and commits it; plans it again where others changed what it rests on.
    async fn commit_merge(&self, merger: &Merger, quality: &[Judgement]) -> Result<Committed, RunError> {
        let (mut base, mut target) = (self.base.clone(), self.target.clone());
        let attempt = Uuid::new_v4();
        let name = attempt.to_string();
        if base.is_some() {
            match self.behind(base, target.clone(), (&name, &[])).await? {
                Next::Again(next_base, next_target) => (base, target) = (next_base, next_target),
                Next::Done(version, mine) => return Ok(self.committed(version, &[], &target, mine).await),
            }
        }
        for _ in 0..PLANS {
            let Some(leaving) = self.leaving(base.as_deref(), &[]).await? else {
                return self.commit_files(&[], quality).await;
            };
            let planned = merger.plan(base.as_deref(), &target, (leaving, self.id.replace)).await?;
            let done = self.commit_planned(merger, &planned, (&mut base, &mut target), (attempt, quality)).await;
            match done {
                Ok(Some(committed)) if !committed.already => return Ok(committed),
                Ok(Some(committed)) => {
                    planned.discard(&self.storage).await;
                    return Ok(committed);
                }
                Ok(None) => planned.discard(&self.storage).await,
                Err(error) => {
                    if !self.uncertain.load(Ordering::SeqCst) {
                        planned.discard(&self.storage).await;
                    }
                    return Err(error);
                }
            }
        }
        Err(self.too_many())
    }

    /// Commits what was planned, behind commits that it need not know of. None: it is to be planned again, behind what `base` has become.
    async fn commit_planned(
        &self,
        merger: &Merger,
        planned: &Planned,
        (base, target): (&mut Option<Arc<Snapshot>>, &mut Arc<Target>),
        (attempt, quality): (Uuid, &[Judgement]),
    ) -> Result<Option<Committed>, RunError> {
        let actions = Actions { adds: &planned.adds, leaving: &planned.removes, planned: Some(planned) };
        let name = attempt.to_string();
        for _ in 0..ATTEMPTS {
            if let Attempt::Won = self.write(base.as_deref(), target, &actions, (attempt, quality)).await? {
                return Ok(Some(self.merged(next(base.as_deref()), planned, target).await));
            }
            let before = base.clone();
            match self.behind(base.take(), target.clone(), (&name, &[])).await? {
                Next::Again(next_base, next_target) => (*base, *target) = (next_base, next_target),
                Next::Done(version, true) => return Ok(Some(self.merged(version, planned, target).await)),
                Next::Done(version, false) => return Ok(Some(self.committed(version, &[], target, false).await)),
            }
            let (Some(before), Some(now)) = (&before, &*base) else { return Ok(None) };
            // Rows that a replay takes, or that a partition had, may have moved.
            if self.takes.is_some() || self.partition.is_some() || !merger.still_right(planned, before, now)? {
                return Ok(None);
            }
        }
        Err(self.too_many())
    }

    async fn merged(&self, version: u64, planned: &Planned, target: &Target) -> Committed {
        let counts = planned.counts;
        let rows = counts.inserted + counts.updated + counts.deleted;
        let committed = self.committed(version, &planned.adds, target, true).await;
        let bytes = planned.adds[..planned.new_files()].iter().map(|a| a.size.max(0) as u64).sum();
        let Counts { inserted, updated, deleted, .. } = counts;
        let merged = Some(Merged { inserted, updated, deleted });
        Committed { rows, files: planned.new_files() as u64, bytes, merged, ..committed }
    }

    /// Writes the next version, if it is absent.
    async fn write(
        &self,
        base: Option<&Snapshot>,
        target: &Target,
        actions: &Actions<'_>,
        (attempt, quality): (Uuid, &[Judgement]),
    ) -> Result<Attempt, RunError> {
        let info = self.info(base, target, actions, (&attempt.to_string(), quality));
        self.attempt(next(base), self.body(target, &info, actions), attempt).await
    }

    fn too_many(&self) -> RunError {
        let message = format!(
            "{}, epoch {}: other writers committed first, again and again",
            describe(&self.spec),
            self.id.epoch
        );
        RunError::world(codes::TOO_MANY_CONFLICTS, message)
            .help("run again when fewer others write to the table")
            .at(self.spec.origin)
    }
}

/// The version behind a table; that of a table that is created.
fn next(base: Option<&Snapshot>) -> u64 {
    base.map_or(0, |b| b.version + 1)
}

#[async_trait]
impl SinkEpoch for DeltaEpoch {
    async fn writer(&self) -> Result<Box<dyn SinkWriter>, RunError> {
        if let Some(merger) = &self.merger {
            return Ok(merger.writer());
        }
        let worker = self.workers.fetch_add(1, Ordering::Relaxed);
        let (spec, storage, target) = (self.spec.clone(), self.storage.clone(), self.target.clone());
        let names = (worker, super::leftover::mark(&self.id));
        let writer = super::DeltaWriter::new(spec, storage, target, self.sizes, names);
        Ok(Box::new(writer.only(self.partition.clone())))
    }

    async fn commit(&self, written: Vec<Written>, quality: &[Judgement]) -> Result<Committed, RunError> {
        let adds = adds(&written).map_err(|e| self.failed(StorageError::Failed(e)))?;
        if let Some(base) = &self.base
            && base.transaction(&self.id.application).is_some_and(|v| v >= self.epoch())
        {
            return Ok(self.committed(base.version, &adds, &self.target, false).await);
        }
        match &self.merger {
            Some(merger) => self.commit_merge(merger, quality).await,
            None => self.commit_files(&adds, quality).await,
        }
    }

    async fn abort(&self, written: Vec<Written>) {
        // Files that are part of no version go with the next vacuum; files of a version must not.
        if self.uncertain.load(Ordering::SeqCst) {
            return;
        }
        if let Ok(adds) = adds(&written) {
            remove(&self.storage, &adds).await;
        }
    }
}

fn adds(written: &[Written]) -> Result<Vec<Add>, String> {
    let all = written.iter().flat_map(|w| &w.detail);
    all.map(|json| serde_json::from_value(json.clone()).map_err(|e| e.to_string())).collect()
}
