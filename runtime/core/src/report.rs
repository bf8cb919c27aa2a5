//! What a run tells of itself: while it goes on, after each epoch, and at its end. Plain data, written as JSON by whoever shows it.

use crate::connector::{Committed, Merged, Position};
use crate::flow::operator_name;
use crate::operators::stateful::Remembered;
use crate::quality::{self, ExpectationReport, FlowReport};
use crate::state::EpochRecord;
use flowc_ir::graph::Operator;
use flowc_ir::plan::Plan;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// What was read of a source.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SourceReport {
    /// The source.
    pub name: String,
    /// The range, for people: `version 3..5`.
    pub range: String,
    /// Rows read.
    pub rows: u64,
    /// Records that are no rows, put aside: with the rows all that there were.
    #[serde(default)]
    pub malformed: u64,
}

/// What was written to a sink.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SinkReport {
    /// The sink.
    pub name: String,
    /// What its commit did.
    #[serde(flatten)]
    pub committed: Committed,
}

/// A finished epoch.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EpochReport {
    /// Its number.
    pub epoch: u64,
    /// When it started: microseconds since 1970-01-01T00:00:00Z.
    pub started: i64,
    /// How long it took, in microseconds.
    pub duration: i64,
    /// Whether it was planned by a run that did not finish it.
    pub resumed: bool,
    /// The sources that had something new.
    pub sources: Vec<SourceReport>,
    /// The sinks.
    pub sinks: Vec<SinkReport>,
    /// The versions of the tables.
    pub tables: IndexMap<String, Position>,
    /// What waits for event time: the watermarks of sources, and what steps remember.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepReport>,
    /// How the rows of each `expect` reconcile.
    #[serde(default)]
    pub expects: Vec<FlowReport>,
    /// Every rule of every `expect` that rows went through.
    #[serde(default)]
    pub expectations: Vec<ExpectationReport>,
}

/// How far event time has come at a step, and what the step remembers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StepReport {
    /// What the user calls it: `per_minute |> aggregate`; of a source, its name.
    pub name: String,
    /// `watermark` (of a source), `window`, `aggregate`, `upsert`, `history`, `dedup`, `top`, `join`, `unique`.
    pub kind: String,
    /// The watermark: microseconds since 1970-01-01T00:00:00Z. None: no time is known, or the step waits for none ([`StepReport::waits`]).
    pub watermark: Option<i64>,
    /// Whether the source holds no other one back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub idle: bool,
    /// The source whose watermark is the least of those before the step: what is open waits for it. None: of a source itself, and of a step that waits for no
    /// time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_by: Option<String>,
    /// Rows that came too late, in this epoch (in a summary: in the run).
    pub late: u64,
    /// Rows that came too late, over all epochs.
    #[serde(default)]
    pub late_in_all: u64,
    /// What it remembers.
    pub remembered: Remembered,
    /// The bytes of it that are stored.
    pub stored: u64,
}

impl StepReport {
    /// Whether something here waits for event time. A step that does not only says what it remembers.
    pub fn waits(&self) -> bool {
        self.kind == "watermark" || self.held_by.is_some()
    }
}

/// What the user calls an operator that remembers something, and whether what it remembers depends on event time, where there is any.
fn kind(operator: &Operator) -> (&'static str, bool) {
    match operator {
        Operator::Watermark(_) => ("watermark", true),
        Operator::WindowAggregate(_) => ("window", true),
        Operator::KeyedAggregate(_) => ("aggregate", false),
        Operator::Upsert(upsert) if upsert.history.is_some() => ("history", false),
        Operator::Upsert(_) => ("upsert", false),
        Operator::Dedup(dedup) => ("dedup", dedup.within.is_some() || dedup.by_time),
        Operator::Top(top) => ("top", top.window.is_some()),
        Operator::Join(join) => ("join", join.within.is_some()),
        Operator::Unique(unique) => ("unique", unique.within.is_some()),
        _ => ("", false),
    }
}

/// What there is to tell of the steps of an epoch's sinks that remember something.
pub(crate) fn steps(plan: &Plan, record: &EpochRecord) -> Vec<StepReport> {
    let mut steps = vec![];
    for (index, node) in plan.graph.nodes.iter().enumerate() {
        let Some(state) = operator_name(&node.operator).and_then(|name| record.operators.get(&name)) else { continue };
        let name = operator_name(&node.operator).unwrap_or_default();
        let (kind, waits) = kind(&node.operator);
        let (shown, held_by) = match &node.operator {
            Operator::Watermark(spec) => (spec.source.clone(), None),
            _ if waits => (name.clone(), held_by(plan, index, record)),
            _ => (name.clone(), None),
        };
        steps.push(StepReport {
            kind: kind.to_string(),
            watermark: state.watermark.filter(|_| waits),
            idle: matches!(&node.operator, Operator::Watermark(spec) if record.idle.contains(&spec.source)),
            late: record.late.get(&name).copied().unwrap_or(0),
            late_in_all: state.late,
            held_by,
            remembered: state.remembered.clone(),
            stored: state.bytes(),
            name: shown,
        });
    }
    steps
}

/// The source that holds back the watermark at a node.
fn held_by(plan: &Plan, node: usize, record: &EpochRecord) -> Option<String> {
    let (mut open, mut seen, mut sources) = (vec![node], BTreeSet::new(), vec![]);
    while let Some(node) = open.pop() {
        if !seen.insert(node) {
            continue;
        }
        let node = &plan.graph.nodes[node];
        if let Operator::Watermark(spec) = &node.operator {
            let state = operator_name(&node.operator).and_then(|name| record.operators.get(&name));
            let idle = record.idle.contains(&spec.source);
            sources.push((idle, state.and_then(|state| state.watermark), spec.source.clone()));
        }
        open.extend(node.inputs.iter().map(|input| input.0 as usize));
    }
    sources.into_iter().min().map(|(_, _, source)| source)
}

/// How far an epoch is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Progress {
    /// The epoch.
    pub epoch: u64,
    /// Its sources.
    pub sources: Vec<SourceProgress>,
    /// Microseconds since it started.
    pub elapsed: i64,
    /// How often rows have failed rules so far: a row that fails two counts twice.
    pub violations: u64,
}

/// How far a source is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct SourceProgress {
    /// The source.
    pub name: String,
    /// Rows read.
    pub rows: u64,
    /// Rows in the range, where known.
    pub total: Option<u64>,
}

impl Progress {
    /// Rows a second, over all sources.
    pub fn rows_per_second(&self) -> u64 {
        let rows: u64 = self.sources.iter().map(|s| s.rows).sum();
        rows.saturating_mul(1_000_000) / (self.elapsed.max(1) as u64)
    }
}

/// Watches a run. Calls come from several threads and must not block.
pub trait Observer: Send + Sync + fmt::Debug {
    /// A batch was read.
    fn progress(&self, progress: &Progress) {
        let _ = progress;
    }

    /// An epoch is committed.
    fn epoch(&self, report: &EpochReport) {
        let _ = report;
    }
}

/// Watches nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl Observer for Unobserved {}

/// What a run did, over all its epochs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct RunSummary {
    /// Epochs that this run committed.
    pub epochs: u64,
    /// The last epoch that is committed, of this run or an earlier one.
    pub last_epoch: u64,
    /// Every source of the program, with the rows read in this run. A source that is read by several passes counts each.
    pub sources: Vec<SourceReport>,
    /// Every sink of the program, with what was written in this run.
    pub sinks: Vec<SinkReport>,
    /// The versions of the tables that the last epoch used.
    pub lookups: IndexMap<String, Position>,
    /// Whether it was stopped from outside.
    pub cancelled: bool,
    /// What waits for event time after the last epoch.
    pub steps: Vec<StepReport>,
    /// How the rows of each `expect` reconcile, over the epochs of this run.
    pub expects: Vec<FlowReport>,
    /// Every rule, over the epochs of this run.
    pub expectations: Vec<ExpectationReport>,
}

impl RunSummary {
    pub(crate) fn new<'a>(sources: impl Iterator<Item = &'a str>, sinks: impl Iterator<Item = &'a str>) -> Self {
        let sources = sources.map(|name| SourceReport { name: name.to_string(), ..SourceReport::default() });
        let sinks = sinks.map(|name| SinkReport { name: name.to_string(), ..SinkReport::default() });
        RunSummary { sources: sources.collect(), sinks: sinks.collect(), ..RunSummary::default() }
    }

    pub(crate) fn add(&mut self, report: &EpochReport) {
        self.epochs += 1;
        self.last_epoch = report.epoch;
        for read in &report.sources {
            if let Some(total) = self.sources.iter_mut().find(|s| s.name == read.name) {
                total.rows += read.rows;
                total.malformed += read.malformed;
                let separator = if total.range.is_empty() { "" } else { ", " };
                total.range = format!("{}{separator}{}", total.range, read.range);
            }
        }
        for wrote in &report.sinks {
            if let Some(total) = self.sinks.iter_mut().find(|s| s.name == wrote.name) {
                total.committed.rows += wrote.committed.rows;
                total.committed.files += wrote.committed.files;
                total.committed.bytes += wrote.committed.bytes;
                total.committed.version = wrote.committed.version.or(total.committed.version);
                total.committed.already |= wrote.committed.already;
                let merged = [total.committed.merged, wrote.committed.merged].into_iter().flatten();
                total.committed.merged = merged.reduce(Merged::and);
            }
        }
        for step in &report.steps {
            match self.steps.iter_mut().find(|known| (&known.name, &known.kind) == (&step.name, &step.kind)) {
                Some(known) => *known = StepReport { late: known.late + step.late, ..step.clone() },
                None => self.steps.push(step.clone()),
            }
        }
        quality::add_flows(&mut self.expects, &report.expects);
        quality::add_rules(&mut self.expectations, &report.expectations);
        self.lookups.extend(report.tables.iter().map(|(name, version)| (name.clone(), version.clone())));
    }
}
