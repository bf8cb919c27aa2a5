//! What the `commitInfo` of an epoch says: the operation, its parameters and metrics, and what the expectations came to. Pure; reads and writes nothing.

use super::merge::Planned;
use super::now_millis;
use super::taken;
use super::target::Target;
use crate::log::{Add, Snapshot};
use crate::storage::Storage;
use flowc_ir::plan::{SinkMode, SinkSpec};
use flowc_runtime::EpochId;
use flowc_runtime::quality::{ExpectationReport, Judgement};
use serde_json::{Value as Json, json};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use url::Url;

/// What a commit does.
pub(super) enum Operation<'a> {
    /// It makes the table.
    Create,
    /// It adds rows, or replaces them.
    Write,
    /// It takes out rows of this version that were replayed.
    Replay(&'a Snapshot),
    /// It matches rows by their key.
    Merge(&'a Planned),
}

/// Whose commit it is.
pub(super) struct Epoch<'a> {
    pub(super) id: &'a EpochId,
    pub(super) spec: &'a SinkSpec,
    pub(super) mode: SinkMode,
    pub(super) storage: &'a Storage,
}

impl Epoch<'_> {
    /// Who commits what, and why.
    pub(super) fn info(
        &self,
        operation: &Operation<'_>,
        target: &Target,
        (adds, leaving): (&[Add], &[Arc<Add>]),
        (attempt, quality): (&str, &[Judgement]),
    ) -> Json {
        let rows: u64 = adds.iter().filter_map(Add::physical_rows).sum();
        let bytes: i64 = adds.iter().map(|a| a.size).sum();
        let mut metrics = json!({ "numFiles": adds.len().to_string(), "numOutputRows": rows.to_string(), "numOutputBytes": bytes.to_string() });
        let replaces = matches!(self.mode, SinkMode::Overwrite | SinkMode::OverwritePartition);
        if !leaving.is_empty() || replaces || matches!(operation, Operation::Replay(_)) {
            metrics["numRemovedFiles"] = leaving.len().to_string().into();
        }
        let mut parameters = json!({});
        if let Operation::Merge(planned) = operation {
            (metrics, parameters) = self.merge(planned);
        } else {
            parameters["mode"] = if replaces { "Overwrite" } else { "Append" }.into();
            parameters["partitionBy"] = serde_json::to_string(&target.partition_by).unwrap_or_default().into();
        }
        if let Some(partition) = &self.id.partition {
            parameters["partition"] = partition.to_string().into();
        } else if self.mode == SinkMode::OverwritePartition {
            parameters["dynamicPartitionOverwrite"] = "true".into();
        }
        parameters["application"] = self.id.application.as_str().into();
        parameters["epoch"] = self.id.epoch.to_string().into();
        if let Some(program) = &self.id.program {
            parameters["program"] = program_from(self.storage.log_store().root_url(), program).into();
        }
        let name = match operation {
            Operation::Replay(read) => {
                parameters["version"] = read.version.to_string().into();
                replayed(&mut metrics, read, rows, quality);
                "REPLAY"
            }
            Operation::Create => "CREATE TABLE AS SELECT",
            Operation::Write => "WRITE",
            Operation::Merge(_) => "MERGE",
        };
        let blind = match operation {
            Operation::Create | Operation::Write => !replaces,
            Operation::Replay(_) | Operation::Merge(_) => false,
        };
        let mut info = json!({
            "timestamp": now_millis(),
            "operation": name,
            "operationParameters": parameters,
            "operationMetrics": metrics,
            "isBlindAppend": blind,
            "engineInfo": concat!("flowc/", env!("CARGO_PKG_VERSION")),
            "txnId": attempt,
        });
        if !quality.is_empty() {
            info["expectations"] = expectations(quality);
        }
        info
    }

    /// Metrics and parameters as other writers' MERGE has them.
    fn merge(&self, planned: &Planned) -> (Json, Json) {
        let (SinkMode::Merge { keys } | SinkMode::Scd2 { keys }) = &self.spec.mode else {
            return (json!({}), json!({}));
        };
        let history = matches!(self.spec.mode, SinkMode::Scd2 { .. });
        let quoted = |key: &String| format!("`{}`", key.replace('`', "``"));
        let equal = |key: &String| format!("(target.{0} <=> source.{0})", quoted(key));
        let actions = |actions: &[&str]| {
            let all: Vec<Json> = actions.iter().map(|action| json!({ "actionType": action })).collect();
            Json::Array(all).to_string()
        };
        let parameters = json!({
            "predicate": keys.iter().map(equal).collect::<Vec<_>>().join(" AND "),
            "matchedPredicates": actions(if history { &["update"] } else { &["update", "delete"] }),
            "notMatchedPredicates": actions(&["insert"]),
            "notMatchedBySourcePredicates": actions(&[]),
        });
        let (counts, new) = (planned.counts, planned.new_files());
        let added: i64 = planned.adds[..new].iter().map(|a| a.size).sum();
        let removed: i64 = planned.removes.iter().map(|a| a.size).sum();
        let numbers = [
            ("numSourceRows", counts.source),
            ("numTargetRowsInserted", counts.inserted),
            ("numTargetRowsUpdated", counts.updated),
            ("numTargetRowsDeleted", counts.deleted),
            ("numTargetRowsCopied", counts.copied),
            ("numOutputRows", planned.adds[..new].iter().filter_map(Add::physical_rows).sum()),
            ("numTargetFilesAdded", new as u64),
            ("numTargetFilesRemoved", planned.removes.len() as u64 - counts.vectors),
            ("numTargetBytesAdded", added.max(0) as u64),
            ("numTargetBytesRemoved", removed.max(0) as u64),
            ("numTargetDeletionVectorsAdded", counts.vectors),
            ("numTargetChangeFilesAdded", planned.cdcs.len() as u64),
        ];
        (numbers.into_iter().map(|(name, n)| (name.to_string(), Json::from(n.to_string()))).collect(), parameters)
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
