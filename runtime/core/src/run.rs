//! A run: looks at the state and the targets, finishes what an earlier run left, then takes epochs until nothing is new. The order of its steps is that of
//! [`crate::protocol`], which decides; here is the I/O.

use crate::backfill;
use crate::cancel::Cancel;
use crate::clock::Clock;
use crate::connector::{Committed, Connectors, EpochLimits, Partition};
use crate::epoch::{EpochRun, Halt, Outcome, Remembering, Through};
use crate::error::RunError;
use crate::flow::operator_name;
use crate::jobs::{Inputs, Planner, World, advance, check_locations, inputs, located};
use crate::operators::spilled::can_spill;
use crate::operators::stateful::{Before, Memory};
use crate::partition;
use crate::protocol::{Action, Facts, Planned, Replay, SinkFacts, Stop, decide, decide_replay};
use crate::quality::{self, Judgement};
use crate::read_ahead::ReadAheads;
use crate::report::{self, EpochReport, Observer, RunSummary, SinkReport, SourceReport};
use crate::spill::Budget;
use crate::state::{Checkpoint, EpochRecord, OperatorState, SinkState, StateDir};
use crate::upgrade;
use flowc_ir::graph::Operator;
use flowc_ir::plan::{Executable, Plan, SourceSpec, VersionSpec};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How to run.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// The state directory; created if missing.
    pub state_dir: PathBuf,
    /// How many workers read and compute at the same time.
    pub workers: usize,
    /// The most rows of a batch.
    pub batch_rows: usize,
    /// Bytes that rows waiting in memory (to be sorted, or brought into order) may take before they go to temporary files.
    pub memory: usize,
    /// Whether steps keep what they remember on disk from the beginning, where it falls apart by key; otherwise when it does not fit the memory.
    pub on_disk: bool,
    /// The most that one epoch takes of each source.
    pub limits: EpochLimits,
    /// Whether everything starts again: targets are replaced.
    pub full_refresh: bool,
    /// Sinks that are computed again from the beginning, and their targets replaced.
    pub refresh: Vec<String>,
    /// Partitions that are computed again, each with the name of its sink: from the beginning of the sources up to where they have been read.
    pub partitions: Vec<(String, Partition)>,
    /// The source that is read again from this version of its table on, for the sinks behind it, all of which keep rows by a key. What is computed whole is not
    /// concerned.
    pub since: Option<(String, VersionSpec)>,
    /// Steps whose sinks are computed again from the beginning, and their targets replaced.
    pub rebuild: Vec<String>,
    /// Whether what is written to the state directory is forced to the disk: it must be, unless the directory is thrown away with the process.
    pub durable: bool,
    /// The event time that every source is known to have reached before the run, whatever its rows say; [`i64::MAX`]: everything that is open closes.
    pub watermark: Option<i64>,
    /// Whether everything that is still open when nothing is new closes: what comes later begins anew.
    pub drain: bool,
    /// Whether the run goes on when nothing is new, and takes what comes; it ends when it is cancelled.
    pub follow: Option<Follow>,
    /// Stops the run.
    pub cancel: Cancel,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// The program's file, where there is one; targets that have a place for it keep it.
    pub program: Option<String>,
    /// What tells the program's meaning from that of others, for replays.
    pub fingerprint: Option<String>,
}

/// How a run follows its sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Follow {
    /// Microseconds from one look at the sources to the next, when nothing is new.
    pub poll: i64,
    /// Microseconds from the start of one epoch to that of the next, at least: what comes meanwhile is taken together.
    pub interval: i64,
}

impl RunOptions {
    /// As many workers as there are cores, batches of 32K rows (so that a batch's columns stay in a core's cache), 512 MiB, no limits.
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        RunOptions {
            state_dir: state_dir.into(),
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            batch_rows: 32_768,
            memory: 512 << 20,
            on_disk: false,
            limits: EpochLimits::NONE,
            full_refresh: false,
            refresh: vec![],
            partitions: vec![],
            since: None,
            rebuild: vec![],
            durable: true,
            watermark: None,
            drain: false,
            follow: None,
            cancel: Cancel::new(),
            clock: Arc::new(crate::clock::SystemClock),
            program: None,
            fingerprint: None,
        }
    }
}

/// The id of a sink's transactions: the same for all runs, and another one for the replays of what a sink keeps.
pub fn application(plan: &Plan, sink: &str, replayed: Option<&str>) -> String {
    match replayed {
        None => format!("{}/{sink}", plan.pipeline),
        Some(rejects) => format!("{}/{sink}/replay/{rejects}", plan.pipeline),
    }
}

/// Reads what the sources hold, commits it, and ends.
pub async fn run(
    executable: &Executable,
    connectors: Arc<dyn Connectors>,
    options: RunOptions,
    observer: Arc<dyn Observer>,
) -> Result<RunSummary, RunError> {
    let mut session = Session::open(executable, connectors, options, observer, None).await?;
    let ended = session.run().await;
    session.end(ended)
}

/// Puts all rows that a sink's target holds now, and that the plan's only source reads, through the plan, once; what they come to is written, and last of all
/// the rows leave that target, in the commit that adds what the plan writes to it. An earlier replay that was not finished is finished instead.
pub async fn replay(
    executable: &Executable,
    connectors: Arc<dyn Connectors>,
    options: RunOptions,
    observer: Arc<dyn Observer>,
    sink: &str,
) -> Result<RunSummary, RunError> {
    let mut session = Session::open(executable, connectors, options, observer, Some(sink.to_string())).await?;
    let ended = session.replay(sink).await;
    session.end(ended)
}

async fn open(plan: &Plan, connectors: &dyn Connectors, options: &RunOptions) -> Result<World, RunError> {
    let mut world = World { sources: vec![], tables: vec![], sinks: vec![], since: None };
    for (index, spec) in plan.sources.iter().enumerate() {
        world.sources.push(connectors.source(spec).await.map_err(|e| located(e, spec.origin))?);
        if let Some((_, start)) = options.since.as_ref().filter(|(source, _)| *source == spec.name) {
            let later = SourceSpec { start: Some(*start), ..spec.clone() };
            let later = connectors.source(&later).await.map_err(|e| located(e, spec.origin))?;
            world.since = Some((index, later));
        }
    }
    for spec in &plan.tables {
        world.tables.push(connectors.table(spec).await.map_err(|e| located(e, spec.origin))?);
    }
    for spec in &plan.sinks {
        world.sinks.push(connectors.sink(spec).await.map_err(|e| located(e, spec.origin))?);
    }
    Ok(world)
}

/// A step that remembers more than the memory holds has at least one part in so many of it.
const LEAST_SHARE: u32 = 1 << 10;

struct Session {
    executable: Arc<Executable>,
    state: StateDir,
    checkpoint: Checkpoint,
    world: Arc<World>,
    inputs: Vec<Inputs>,
    options: Arc<RunOptions>,
    observer: Arc<dyn Observer>,
    summary: RunSummary,
    /// The sink whose rows are replayed; none: this is an ordinary run.
    replayed: Option<String>,
    /// What operators keep in memory, by their names, with what is stored of it: an epoch that begins from there need not read it again.
    memories: Mutex<BTreeMap<String, (OperatorState, Memory)>>,
    /// What is read ahead for the next epoch.
    ahead: Arc<ReadAheads>,
    /// What all operators may keep in memory together.
    budget: Budget,
    /// The steps that remember more than the memory holds, by their names: each may have one part in so many of it.
    spilled: BTreeMap<String, u32>,
    /// When each source last had something new.
    lively: BTreeMap<String, i64>,
}

impl Session {
    async fn open(
        executable: &Executable,
        connectors: Arc<dyn Connectors>,
        options: RunOptions,
        observer: Arc<dyn Observer>,
        replayed: Option<String>,
    ) -> Result<Session, RunError> {
        let plan = &executable.plan;
        let state = StateDir::open(&options.state_dir)?.durable(options.durable);
        let budget = Budget::new(options.memory, &state.scratch());
        let now = options.clock.now();
        let world = Arc::new(open(plan, &*connectors, &options).await?);
        let mut session = Session {
            executable: Arc::new(executable.clone()),
            summary: RunSummary::new(
                plan.sources.iter().map(|s| s.name.as_str()),
                plan.sinks.iter().map(|s| s.name.as_str()),
            ),
            checkpoint: state.checkpoint(&plan.pipeline)?,
            state,
            world,
            inputs: inputs(plan),
            options: Arc::new(options),
            observer,
            replayed,
            memories: Mutex::default(),
            ahead: Arc::default(),
            budget,
            spilled: BTreeMap::new(),
            lively: plan.sources.iter().map(|s| (s.name.clone(), now)).collect(),
        };
        if session.options.on_disk {
            let steps = plan.graph.nodes.iter().filter_map(|node| operator_name(&node.operator));
            session.spilled = steps.filter(|step| session.can_spill(step)).map(|step| (step, 1)).collect();
        }
        Ok(session)
    }

    fn end(mut self, ended: Result<(), Halt>) -> Result<RunSummary, RunError> {
        match ended {
            Ok(()) => {}
            Err(Halt::Cancelled) => self.summary.cancelled = true,
            Err(Halt::Error(error)) => return Err(*error),
        }
        self.summary.last_epoch = self.checkpoint.done;
        Ok(self.summary)
    }

    async fn run(&mut self) -> Result<(), Halt> {
        let record = self.state.last_epoch()?;
        match decide(&self.facts(record.as_ref()).await?) {
            Action::Stop(stop) => return Err(stopped(&stop).into()),
            Action::Refresh { after } => self.refresh(after, record.as_ref())?,
            Action::Resume { write, skip, .. } => {
                check_locations(&self.checkpoint, &self.executable.plan)?;
                if let Some(record) = self.resumable(record, &skip)? {
                    self.epoch(record, &write, &skip, true).await?;
                }
            }
            Action::Next { .. } => check_locations(&self.checkpoint, &self.executable.plan)?,
        }
        self.rebuild()?;
        self.refresh_sinks()?;
        self.refuse_losses()?;
        let executable = Arc::clone(&self.executable);
        let world = Arc::clone(&self.world);
        let inputs = self.inputs.clone();
        let limits = self.options.limits;
        let mut planner =
            Planner { plan: &executable.plan, world: &world, inputs: &inputs, limits, settled: BTreeSet::new() };
        self.refresh_partitions(&planner).await?;
        if let Some((source, _)) = self.options.since.clone() {
            backfill::forget(&self.executable.plan, &self.inputs, &mut self.checkpoint, &source)?;
        }
        if let Some(to) = self.options.watermark {
            self.ticks(&planner, (Some(to), &[])).await?;
        }
        loop {
            let begun = self.options.clock.now();
            while let Some(record) = self.next(&mut planner).await? {
                self.begin(record).await?;
                if let Some(follow) = self.options.follow {
                    // However the clock is set meanwhile.
                    let left = begun.saturating_add(follow.interval).saturating_sub(self.options.clock.now());
                    self.pause(left.min(follow.interval)).await?;
                }
            }
            let Some(follow) = self.options.follow else { break };
            let idle = self.idle();
            if !idle.is_empty() {
                self.ticks(&planner, (None, &idle)).await?;
            }
            self.pause(follow.poll).await?;
            // What is computed whole is computed again when what it reads has changed.
            planner.settled.clear();
        }
        if self.options.drain {
            self.ticks(&planner, (Some(i64::MAX), &[])).await?;
        }
        Ok(())
    }

    /// The epoch that is to be finished. None where a step has lost its state, its sinks are computed again anyway, and no target has the epoch.
    fn resumable(&self, record: Option<EpochRecord>, skip: &[String]) -> Result<Option<EpochRecord>, RunError> {
        let (plan, segments) = (&self.executable.plan, self.state.segments());
        let Err(lost) = upgrade::refuse_losses(plan, &self.checkpoint, &segments, &[]) else { return Ok(record) };
        self.refuse_losses()?;
        let Some(record) = record else { return Ok(None) };
        if !skip.is_empty() {
            let (epoch, sinks) = (record.epoch, skip.join("`, `"));
            let text = format!(
                "epoch {epoch} is not finished, and the targets of `{sinks}` have it: the program as it was finishes it"
            );
            return Err(RunError { help: Some(text), ..lost });
        }
        self.state.forget(record.epoch)?;
        Ok(None)
    }

    /// Stops before what steps remember is lost, unless it is to be.
    fn refuse_losses(&self) -> Result<(), RunError> {
        let (plan, rebuilt) = (&self.executable.plan, &self.options.rebuild);
        upgrade::refuse_losses(plan, &self.checkpoint, &self.state.segments(), rebuilt)
    }

    /// The next epoch that reads something.
    async fn next(&self, planner: &mut Planner<'_>) -> Result<Option<EpochRecord>, Halt> {
        if self.options.cancel.is_cancelled() {
            return Err(Halt::Cancelled);
        }
        let next = planner.next(&self.checkpoint, self.options.clock.now());
        tokio::select! {
            biased;
            () = self.options.cancel.cancelled() => Err(Halt::Cancelled),
            record = next => Ok(record?),
        }
    }

    /// Runs an epoch that was just planned.
    async fn begin(&mut self, mut record: EpochRecord) -> Result<(), Halt> {
        self.lively.extend(record.sources.keys().map(|name| (name.clone(), record.started)));
        if record.idle.is_empty() {
            record.idle = self.idle();
        }
        self.state.save_epoch(&record)?;
        let write = record.sinks.clone();
        self.epoch(record, &write, &[], false).await
    }

    /// Epochs without rows, in which event time goes on.
    async fn ticks(&mut self, planner: &Planner<'_>, to: (Option<i64>, &[String])) -> Result<(), Halt> {
        while let Some(record) = planner.tick(&self.checkpoint, to, self.options.clock.now()).await? {
            if self.options.cancel.is_cancelled() {
                return Err(Halt::Cancelled);
            }
            self.begin(record).await?;
            if to.0.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// The sources that have had nothing new for longer than they may; only a run that follows them can tell.
    fn idle(&self) -> Vec<String> {
        if self.options.follow.is_none() {
            return vec![];
        }
        let now = self.options.clock.now();
        let nodes = self.executable.plan.graph.nodes.iter();
        let watermarks = nodes.filter_map(|node| match &node.operator {
            Operator::Watermark(spec) => Some(spec),
            _ => None,
        });
        let idle = watermarks.filter(|spec| {
            let since = self.lively.get(&spec.source).copied().unwrap_or(now);
            spec.idle.is_some_and(|idle| now - since >= idle)
        });
        let idle: BTreeSet<String> = idle.map(|spec| spec.source.clone()).collect();
        idle.into_iter().collect()
    }

    /// Waits so many microseconds, or until the run is cancelled.
    async fn pause(&self, micros: i64) -> Result<(), Halt> {
        tokio::select! {
            biased;
            () = self.options.cancel.cancelled() => Err(Halt::Cancelled),
            () = self.options.clock.pause(micros) => Ok(()),
        }
    }

    async fn replay(&mut self, sink: &str) -> Result<(), Halt> {
        let record = self.state.last_epoch()?;
        let epoch = match decide_replay(&self.facts(record.as_ref()).await?, sink) {
            Replay::Unknown { sink, committed } => return Err(unknown_replay(&sink, committed).into()),
            Replay::Finish { write, skip } => {
                let Some(record) = record else { return Ok(()) };
                if !write.is_empty() && record.program != self.options.fingerprint {
                    return Err(other_program(&record).into());
                }
                return self.epoch(record, &write, &skip, true).await;
            }
            Replay::Next { epoch } => epoch,
        };
        if let Some(record) = record.filter(|r| r.epoch >= epoch) {
            self.state.forget(record.epoch)?;
        }
        self.checkpoint.done = epoch - 1;
        let executable = Arc::clone(&self.executable);
        let (world, limits) = (Arc::clone(&self.world), EpochLimits::NONE);
        let (inputs, settled) = (self.inputs.clone(), BTreeSet::new());
        let planner = Planner { plan: &executable.plan, world: &world, inputs: &inputs, limits, settled };
        let Some(mut record) = planner.all(&self.checkpoint, self.options.clock.now()).await? else { return Ok(()) };
        record.program = self.options.fingerprint.clone();
        self.state.save_epoch(&record)?;
        let write = record.sinks.clone();
        self.epoch(record, &write, &[], false).await
    }

    async fn facts(&self, record: Option<&EpochRecord>) -> Result<Facts, RunError> {
        let plan = &self.executable.plan;
        let mut sinks = vec![];
        for (spec, sink) in plan.sinks.iter().zip(&self.world.sinks) {
            let committed = sink.committed(&application(plan, &spec.name, self.replayed.as_deref())).await;
            let known = self.checkpoint.sinks.get(&spec.name);
            sinks.push(SinkFacts {
                name: spec.name.clone(),
                accounts: sink.accounts(),
                recorded: known.and_then(|s| s.epoch),
                replacing: known.is_some_and(|s| s.replace),
                committed: committed.map_err(|e| located(e, spec.origin))?,
            });
        }
        let planned = record.map(|r| Planned { epoch: r.epoch, sinks: r.sinks.clone(), pending: r.pending });
        Ok(Facts { done: self.checkpoint.done, planned, sinks, full_refresh: self.options.full_refresh })
    }

    /// Forgets all positions. The checkpoint says that targets are to be replaced, so a crash after this changes nothing.
    fn refresh(&mut self, after: u64, record: Option<&EpochRecord>) -> Result<(), RunError> {
        self.checkpoint.done = after;
        self.checkpoint.locations.clear();
        for spec in &self.executable.plan.sinks {
            let blank = SinkState { replace: true, ..SinkState::default() };
            self.checkpoint.sinks.insert(spec.name.clone(), blank);
        }
        self.state.save_checkpoint(&self.checkpoint)?;
        match record {
            Some(record) if record.report.is_none() => self.state.forget(record.epoch),
            _ => Ok(()),
        }
    }

    /// Forgets the positions of the sinks behind steps that are to be rebuilt. The checkpoint says that their targets are to be replaced, so a crash after
    /// this changes nothing.
    fn rebuild(&mut self) -> Result<(), RunError> {
        for step in &self.options.rebuild {
            let sinks = upgrade::sinks_of(&self.executable.plan, &self.checkpoint, step);
            if sinks.is_empty() {
                let known = upgrade::compare(&self.executable.plan, &self.checkpoint, &self.state.segments())?;
                let known: Vec<String> = known.iter().map(|fate| format!("`{}`", fate.step)).collect();
                let help = match known.as_slice() {
                    [] => "no step of the program remembers anything".to_string(),
                    known => format!("the steps that remember something are {}", known.join(", ")),
                };
                let text = format!("there is no step `{step}` to rebuild");
                return Err(RunError::data("R0413", text).help(help));
            }
            for sink in sinks {
                let blank = SinkState { replace: true, ..SinkState::default() };
                self.checkpoint.sinks.insert(sink, blank);
            }
        }
        if self.options.rebuild.is_empty() { Ok(()) } else { self.state.save_checkpoint(&self.checkpoint) }
    }

    /// Forgets the positions of sinks that are to be computed again. The checkpoint says that their targets are to be replaced, so a crash after this changes nothing.
    fn refresh_sinks(&mut self) -> Result<(), RunError> {
        for sink in &self.options.refresh {
            partition::sink_of(&self.executable.plan, sink)?;
            let blank = SinkState { replace: true, ..SinkState::default() };
            self.checkpoint.sinks.insert(sink.clone(), blank);
        }
        if self.options.refresh.is_empty() { Ok(()) } else { self.state.save_checkpoint(&self.checkpoint) }
    }

    /// Computes partitions again, an epoch each, before anything new is read.
    async fn refresh_partitions(&mut self, planner: &Planner<'_>) -> Result<(), Halt> {
        let options = Arc::clone(&self.options);
        // Before the first of them is computed.
        for (sink, partition) in &options.partitions {
            partition::check(planner.plan, planner.inputs, (sink, partition))?;
        }
        for (sink, partition) in &options.partitions {
            if options.cancel.is_cancelled() {
                return Err(Halt::Cancelled);
            }
            let record = partition::record(planner, &self.checkpoint, (sink, partition), options.clock.now()).await?;
            self.begin(record).await?;
        }
        Ok(())
    }

    /// What the operators before an epoch's sinks remember. A computation of the whole begins with nothing, and so does that of a partition.
    fn remembered(&mut self, record: &EpochRecord) -> Result<(Remembering, BTreeMap<String, Before>), RunError> {
        let (mut found, mut befores, mut spilled) = (Remembering::new(), BTreeMap::new(), BTreeSet::new());
        if record.partition.is_some() {
            return Ok((found, befores));
        }
        for spec in self.executable.plan.sinks.iter().filter(|s| !s.whole && record.sinks.contains(&s.name)) {
            let Some(sink) = self.checkpoint.sinks.get(&spec.name) else { continue };
            for (name, stored) in &sink.operators {
                if found.contains_key(name) {
                    continue;
                }
                let kept = self.memories.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
                let kept = kept.filter(|(of, _)| of == stored);
                let spills = self.spilled.contains_key(name) || kept.is_none() && self.is_large(name, stored);
                spilled.extend(spills.then(|| name.clone()));
                let segments = self.state.segments();
                let before = match kept {
                    Some((_, memory)) => Before::Memory(memory),
                    None if stored.segments.is_empty() && stored.notes.is_empty() => Before::Nothing,
                    None => match upgrade::taken_over(&self.executable.plan, name, stored, &segments, spills)? {
                        Some(before) => before,
                        None => {
                            // Another form of the step left it, and nothing of it is open: only how far time has come still holds.
                            let (watermark, late) = (stored.watermark, stored.late);
                            found.insert(name.clone(), OperatorState { watermark, late, ..Default::default() });
                            continue;
                        }
                    },
                };
                found.insert(name.clone(), stored.clone());
                befores.insert(name.clone(), before);
            }
        }
        for name in spilled {
            self.spilled.entry(name).or_insert(1);
        }
        Ok((found, befores))
    }

    /// Whether what was stored of a step will not fit the memory, as far as that is known before it is read.
    fn is_large(&self, name: &str, stored: &OperatorState) -> bool {
        stored.bytes() > self.budget.total as u64 / 2 && self.can_spill(name)
    }

    fn can_spill(&self, name: &str) -> bool {
        let graph = &self.executable.plan.graph;
        let node = graph.nodes.iter().find(|node| operator_name(&node.operator).as_deref() == Some(name));
        node.is_some_and(|node| {
            let inputs: Vec<_> = node.inputs.iter().map(|input| &graph.node(*input).schema).collect();
            can_spill(&node.operator, &inputs, &node.schema)
        })
    }

    /// Lets the steps that did not fit the memory keep what they remember on disk from here on, or less of it in memory; whether there are such.
    fn spill_overflowed(&mut self) -> bool {
        let mut again = false;
        let mut overflowed = self.budget.take_overflowed();
        if overflowed.iter().any(|name| self.spilled.contains_key(name)) {
            // It is others that take the memory.
            let steps = self.executable.plan.graph.nodes.iter().filter_map(|node| operator_name(&node.operator));
            overflowed.extend(steps.filter(|step| !self.spilled.contains_key(step)));
        }
        for name in overflowed {
            let share = self.spilled.get(&name).map_or(1, |share| share * 4);
            if share <= LEAST_SHARE && self.can_spill(&name) {
                // What it has left in memory is of the other kind.
                self.memories.get_mut().unwrap_or_else(PoisonError::into_inner).remove(&name);
                self.spilled.insert(name, share);
                again = true;
            }
        }
        again
    }

    fn epoch_run(
        &mut self,
        record: &EpochRecord,
        resumed: bool,
        committing: &Arc<AtomicBool>,
    ) -> Result<EpochRun, RunError> {
        let (remembered, before) = self.remembered(record)?;
        Ok(EpochRun {
            executable: Arc::clone(&self.executable),
            world: Arc::clone(&self.world),
            options: Arc::clone(&self.options),
            observer: Arc::clone(&self.observer),
            resumed,
            replayed: self.replayed.clone(),
            ahead: Arc::clone(&self.ahead),
            committing: Arc::clone(committing),
            remembered,
            before: Mutex::new(before),
            budget: self.budget.clone(),
            spilled: self.spilled.clone(),
        })
    }

    /// Runs a recorded epoch, moves the checkpoint, and reports.
    async fn epoch(
        &mut self,
        mut record: EpochRecord,
        write: &[String],
        skip: &[String],
        resumed: bool,
    ) -> Result<(), Halt> {
        let committing = Arc::new(AtomicBool::new(false));
        let begun = self.options.clock.now();
        let mut earlier = std::mem::take(&mut record.quality);
        let mut read = std::mem::take(&mut record.read);
        let Outcome { read: sources, mut sinks, judged, memories, work } = if write.is_empty() {
            Outcome {
                read: std::mem::take(&mut read),
                sinks: vec![],
                judged: vec![],
                memories: Default::default(),
                work: vec![],
            }
        } else {
            let done = self.pass(&mut record, (write, &read), &mut earlier, resumed, &committing).await;
            // No sink has the epoch: the next run plans it anew, from what the sources hold then, be it a corrected file. One that computes a partition again is
            // not planned unless it is asked for: what cannot be computed must not stand in the way of what is new.
            if let Err(halt) = &done
                && (of_input(halt) || matches!(halt, Halt::Error(_)) && record.partition.is_some())
                && skip.is_empty()
                && !committing.load(Ordering::SeqCst)
            {
                self.state.forget(record.epoch)?;
            }
            done?
        };
        let kept = memories.0.into_iter().filter_map(|(name, memory)| {
            let stored = record.operators.get(&name)?.clone();
            Some((name, (stored, memory)))
        });
        self.memories.get_mut().unwrap_or_else(PoisonError::into_inner).extend(kept);
        sinks.extend(skip.iter().map(|name| SinkReport {
            name: name.clone(),
            committed: Committed { already: true, ..Committed::default() },
        }));
        let (expects, mut expectations) = Judgement::apart(&quality::latest(&earlier, &judged));
        quality::place(&mut expectations, &self.executable.plan);
        advance(&mut self.checkpoint, &self.executable.plan, &self.inputs, &record);
        if record.partition.is_none() {
            // Otherwise the rows were counted before.
            quality::add_rules(&mut self.checkpoint.expectations, &expectations);
        }
        self.checkpoint.expectations.iter_mut().for_each(|rule| rule.samples.clear());
        self.state.save_checkpoint(&self.checkpoint)?;
        self.state.remove_unnamed(&self.checkpoint)?;
        let report = EpochReport {
            epoch: record.epoch,
            started: record.started,
            duration: self.options.clock.now() - begun,
            resumed,
            sources: read_in_all(&read, &sources),
            sinks,
            tables: record.tables.clone(),
            steps: report::steps(&self.executable.plan, &record),
            expects,
            expectations,
        };
        record.report = Some(report.clone());
        record.work = work;
        self.state.save_epoch(&record)?;
        self.state.compact(record.epoch)?;
        self.summary.add(&report);
        self.observer.epoch(&report);
        Ok(())
    }

    /// Lets an epoch's rows through to the sinks that are to be written; again, where steps turn out to remember more than the memory holds. `earlier`: what
    /// its expectations came to, as far as it is known; `read`: what was read of its sources.
    async fn pass(
        &mut self,
        record: &mut EpochRecord,
        (write, read): (&[String], &[SourceReport]),
        earlier: &mut Vec<Judgement>,
        resumed: bool,
        committing: &Arc<AtomicBool>,
    ) -> Result<Outcome, Halt> {
        let aside = self.executable.plan.sources.iter().any(|s| s.quarantine.is_some());
        loop {
            let (mut operators, mut late) = (record.operators.clone(), record.late.clone());
            let run = self.epoch_run(record, resumed, committing)?;
            let keep = |through: Through| {
                let nothing = through.judged.is_empty() && through.saving.is_empty() && earlier.is_empty();
                if nothing && !aside {
                    return Ok(());
                }
                // Those of sinks that have the epoch stay as they were counted: their rows are not read again.
                *earlier = quality::latest(earlier, &through.judged);
                late.extend(through.saving.iter().map(|saving| (saving.name.clone(), saving.late)));
                operators.extend(self.state.save_operators(record.epoch, through.saving)?);
                let (quality, operators, late) = (earlier.clone(), operators.clone(), late.clone());
                let read = read_in_all(read, &through.read);
                self.state.save_epoch(&EpochRecord { read, quality, operators, late, pending: false, ..record.clone() })
            };
            let done = run.run(record, &self.inputs, write, keep).await;
            // Nothing was committed, and the epoch reads the same again.
            if done.is_err() && !committing.load(Ordering::SeqCst) && self.spill_overflowed() {
                continue;
            }
            (record.operators, record.late, record.pending) = (operators, late, false);
            return done;
        }
    }
}

/// What an epoch read: what this run did not read again, an earlier one has counted.
fn read_in_all(earlier: &[SourceReport], now: &[SourceReport]) -> Vec<SourceReport> {
    let more = |now: &SourceReport| {
        let known = earlier.iter().find(|known| known.name == now.name);
        known.filter(|known| (known.rows, known.malformed) > (now.rows, now.malformed)).unwrap_or(now).clone()
    };
    now.iter().map(more).collect()
}

/// Whether rows or sources are to blame.
fn of_input(halt: &Halt) -> bool {
    let input = |e: &RunError| e.code.starts_with("R01") || e.code.starts_with("R02");
    matches!(halt, Halt::Error(error) if input(error))
}

fn unknown_replay(sink: &str, committed: u64) -> RunError {
    let text = format!(
        "the target of sink `{sink}` has replay {committed}, but the rejected rows of that replay are still in their table, and this state directory does not know it"
    );
    RunError::data("R0410", text).help(
        "a replay is finished with the state directory that it was begun with: give it with --state, or restore it",
    )
}

fn other_program(record: &EpochRecord) -> RunError {
    let text = format!(
        "replay {} is not finished: some sinks have its rows, others do not, and the program is not the one that began it",
        record.epoch
    );
    RunError::data("R0409", text)
        .help("run `flowc replay` with the program as it was then, to finish that replay; then with the new one")
}

fn stopped(stop: &Stop) -> RunError {
    match stop {
        Stop::StateLost { sink, committed, recorded } => {
            let known = recorded.map_or("none of it".to_string(), |r| format!("epoch {r} as its last"));
            let text = format!(
                "the target of sink `{sink}` has epoch {committed} of this pipeline, but the state directory knows {known}: the state was lost, or is an old copy"
            );
            RunError::data("R0401", text).help(
                "restore the state directory, or compute everything again with --full-refresh, which replaces what the targets hold",
            )
        }
        Stop::TargetBehind { sink, committed, recorded } => {
            let has = committed.map_or("none of its epochs".to_string(), |c| format!("epoch {c} as its last"));
            let text = format!(
                "the state says that the target of sink `{sink}` has epoch {recorded} of this pipeline, but it has {has}: it was dropped, restored, or is another one"
            );
            RunError::data("R0402", text).help(
                "bring the target back, give the sink another name to fill it from the beginning, or compute everything again with --full-refresh",
            )
        }
    }
}
