//! Commits an epoch: its files and its transaction in one version, put if absent, behind whatever others committed meanwhile. Knows the log;
//! [`super::conflict`] decides.

use super::conflict::{Decision, decide};
use super::taken::{self, Left, left};
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
use flowc_runtime::quality::{ExpectationReport, Judgement};
use flowc_runtime::{Committed, EpochId, RunError, SinkEpoch, SinkWriter, Written};
use serde_json::{Value as Json, json};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use url::Url;
use uuid::Uuid;

/// How often other writers may be faster before the epoch gives up.
const ATTEMPTS: usize = 50;

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
    pub(super) target: Arc<Target>,
    pub(super) head: Head,
    pub(super) workers: AtomicUsize,
    /// Whether a commit may have taken place without an answer: then its files stay where they are.
    pub(super) uncertain: AtomicBool,
}

/// What came of an attempt to write a version.
enum Attempt {
    Won,
    Lost,
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
        if self.id.replace { SinkMode::Overwrite } else { self.spec.mode.clone() }
    }

    /// The files whose rows leave the table with the commit; none: nothing is left to decide, and nothing is to be added either.
    async fn leaving(&self, base: Option<&Snapshot>) -> Result<Option<Vec<Arc<Add>>>, RunError> {
        let Some(base) = base else { return Ok(Some(vec![])) };
        if self.mode() == SinkMode::Overwrite {
            return Ok(Some(base.files.values().cloned().collect()));
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
    fn info(
        &self,
        base: Option<&Snapshot>,
        target: &Target,
        (adds, leaving): (&[Add], &[Arc<Add>]),
        (attempt, quality): (&str, &[Judgement]),
    ) -> Json {
        let rows: u64 = adds.iter().filter_map(Add::physical_rows).sum();
        let bytes: i64 = adds.iter().map(|a| a.size).sum();
        let mut metrics = json!({ "numFiles": adds.len().to_string(), "numOutputRows": rows.to_string(), "numOutputBytes": bytes.to_string() });
        let overwrite = self.mode() == SinkMode::Overwrite;
        if overwrite || self.takes.is_some() {
            metrics["numRemovedFiles"] = leaving.len().to_string().into();
        }
        let partition_by = serde_json::to_string(&target.partition_by).unwrap_or_default();
        let mut parameters = json!({
            "mode": if overwrite { "Overwrite" } else { "Append" },
            "partitionBy": partition_by,
            "application": self.id.application,
            "epoch": self.id.epoch.to_string(),
        });
        if let Some(program) = &self.id.program {
            parameters["program"] = program_from(self.storage.log_store().root_url(), program).into();
        }
        let operation = match (&self.takes, base) {
            (Some(read), _) => {
                parameters["version"] = read.version.to_string().into();
                replayed(&mut metrics, read, rows, quality);
                "REPLAY"
            }
            (None, None) => "CREATE TABLE AS SELECT",
            (None, Some(_)) => "WRITE",
        };
        let mut info = json!({
            "timestamp": now_millis(),
            "operation": operation,
            "operationParameters": parameters,
            "operationMetrics": metrics,
            "isBlindAppend": !overwrite && self.takes.is_none(),
            "engineInfo": concat!("flowc/", env!("CARGO_PKG_VERSION")),
            "txnId": attempt,
        });
        if !quality.is_empty() {
            info["expectations"] = expectations(quality);
        }
        info
    }

    /// The lines of the commit.
    fn body(&self, target: &Target, info: &Json, (adds, leaving): (&[Add], &[Arc<Add>])) -> Vec<u8> {
        let now = now_millis();
        let txn = Txn { app_id: self.id.application.clone(), version: self.epoch(), last_updated: Some(now) };
        let mut lines = vec![json!({ "commitInfo": info })];
        lines.extend(target.protocol.as_ref().map(|p| json!({ "protocol": p })));
        lines.extend(target.metadata.as_ref().map(|m| json!({ "metaData": m })));
        lines.push(json!({ "txn": txn }));
        lines.extend(leaving.iter().map(|f| json!({ "remove": f.removal(now, true) })));
        lines.extend(adds.iter().map(|a| json!({ "add": a })));
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
    async fn behind(&self, base: Option<Arc<Snapshot>>, target: Arc<Target>, attempt: &str) -> Result<Next, RunError> {
        let Some(base) = base else { return self.behind_creation(target, attempt).await };
        let mut snapshot = base.as_ref().clone();
        while let Some(commit) = read_commit(&self.storage, snapshot.version + 1).await.map_err(|e| self.failed(e))? {
            if commit.transaction_id() == Some(attempt) {
                return Ok(Next::Done(commit.version, true));
            }
            match decide(&self.mode(), &self.id.application, self.epoch(), &commit) {
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
        let holds_rows = self.mode() == SinkMode::Overwrite && !snapshot.files.is_empty();
        if !now.same_files(&target) || now.metadata.is_some() || holds_rows {
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
        }
    }
}

#[async_trait]
impl SinkEpoch for DeltaEpoch {
    async fn writer(&self) -> Result<Box<dyn SinkWriter>, RunError> {
        let worker = self.workers.fetch_add(1, Ordering::Relaxed);
        let (spec, storage, target) = (self.spec.clone(), self.storage.clone(), self.target.clone());
        Ok(Box::new(super::DeltaWriter::new(
            spec,
            storage,
            target,
            self.sizes,
            (worker, super::leftover::mark(&self.id)),
        )))
    }

    async fn commit(&self, written: Vec<Written>, quality: &[Judgement]) -> Result<Committed, RunError> {
        let adds = adds(&written).map_err(|e| self.failed(StorageError::Failed(e)))?;
        let (mut base, mut target) = (self.base.clone(), self.target.clone());
        if let Some(base) = &base
            && base.transaction(&self.id.application).is_some_and(|v| v >= self.epoch())
        {
            return Ok(self.committed(base.version, &adds, &target, false).await);
        }
        let attempt = Uuid::new_v4();
        let name = attempt.to_string();
        for _ in 0..ATTEMPTS {
            let version = base.as_ref().map_or(0, |b| b.version + 1);
            let leaving = self.leaving(base.as_deref()).await?;
            let (kept, leaving) = match &leaving {
                Some(leaving) => (adds.as_slice(), leaving.as_slice()),
                None => (&[][..], &[][..]),
            };
            let info = self.info(base.as_deref(), &target, (kept, leaving), (&name, quality));
            let body = self.body(&target, &info, (kept, leaving));
            if let Attempt::Won = self.attempt(version, body, attempt).await? {
                if kept.is_empty() {
                    remove(&self.storage, &adds).await;
                }
                return Ok(self.committed(version, kept, &target, true).await);
            }
            match self.behind(base, target.clone(), &name).await? {
                Next::Again(next_base, next_target) => (base, target) = (next_base, next_target),
                Next::Done(version, mine) => return Ok(self.committed(version, &adds, &target, mine).await),
            }
        }
        let message = format!(
            "{}, epoch {}: other writers committed first {ATTEMPTS} times",
            describe(&self.spec),
            self.id.epoch
        );
        Err(RunError::world(codes::TOO_MANY_CONFLICTS, message)
            .help("run again when fewer others write to the table")
            .at(self.spec.origin))
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

/// What the expectations came to, as the commit keeps it: a flow with its rules. Rows stay out: a log is read by more people than a table.
fn expectations(quality: &[Judgement]) -> Json {
    let judgement = |j: &Judgement| {
        let rules = j.rules.iter().map(|rule| ExpectationReport { samples: vec![], ..rule.clone() });
        let mut flow = json!(j.flow);
        flow["rules"] = json!(rules.collect::<Vec<_>>());
        flow
    };
    quality.iter().map(judgement).collect()
}

/// What became of the rows that a replay read.
fn replayed(metrics: &mut Json, read: &Snapshot, rejected: u64, quality: &[Judgement]) {
    let dropped: u64 = quality.iter().map(|j| j.flow.dropped).sum();
    metrics["numRejectedRows"] = rejected.to_string().into();
    metrics["numDroppedRows"] = dropped.to_string().into();
    if let Some(rows) = taken::rows(read) {
        metrics["numReplayedRows"] = rows.to_string().into();
        metrics["numPassedRows"] = rows.saturating_sub(rejected + dropped).to_string().into();
    }
}

/// The program's file, seen from a table of the local file system: both may move together.
fn program_from(table: &Url, program: &str) -> String {
    let (Ok(table), program) = (table.to_file_path(), Path::new(program)) else { return program.to_string() };
    let shared = table.components().zip(program.components()).take_while(|(a, b)| a == b).count();
    // Only the root: they do not belong together.
    if shared < 2 {
        return program.to_string_lossy().into_owned();
    }
    let up = table.components().skip(shared).map(|_| Component::ParentDir);
    let path: PathBuf = up.chain(program.components().skip(shared)).collect();
    path.to_string_lossy().into_owned()
}

fn adds(written: &[Written]) -> Result<Vec<Add>, String> {
    let all = written.iter().flat_map(|w| &w.detail);
    all.map(|json| serde_json::from_value(json.clone()).map_err(|e| e.to_string())).collect()
}
