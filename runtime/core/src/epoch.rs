//! Runs one recorded epoch: builds the flow, lets workers pull splits through it, commits the sinks. Knows nothing of how the epoch was chosen.

use crate::clock::Instant;
use crate::connector::{EpochLimits, Position, Written};
use crate::deferred::Deferral;
use crate::error::RunError;
use crate::flow::{Cursor, Flow, SinkStation, Station, operator_name, paths};
use crate::handover::Handover;
use crate::jobs::{Inputs, World, located};
use crate::leaf::{Leaf, Reader, Reading};
use crate::marks::Marks;
use crate::meter::{Count, Meter};
use crate::operators::aggregate::Aggregate;
use crate::operators::changing_join::{ChangingJoin, is_changing};
use crate::operators::dedup::Dedup;
use crate::operators::expect::Expect;
use crate::operators::explode::Explode;
use crate::operators::incremental;
use crate::operators::join::Join;
use crate::operators::limit::Limit;
use crate::operators::sort::Sort;
use crate::operators::spilled::{Make, Spilled};
use crate::operators::stateful::{Before, Changes, Emitted, Extent, Memory, Stateful, Surroundings};
use crate::operators::top::Top;
use crate::operators::transform::Transform;
use crate::operators::unique::Unique;
use crate::operators::upsert::{History, Upsert};
use crate::operators::watermark::Watermark;
use crate::operators::window::WindowAggregate;
use crate::operators::{Blocking, Fault, RowFault, internal};
use crate::quality::Judgement;
use crate::read_ahead::{How, ReadAhead, ReadAheads};
use crate::report::{Observer, SinkReport, SourceReport};
use crate::run::RunOptions;
use crate::spill::Budget;
use crate::state::operators::Saving;
use crate::state::{EpochRecord, OperatorState};
use crate::upgrade::LeftForm;
use crate::work::NodeWork;
use arrow::array::Int64Array;
use arrow::record_batch::RecordBatch;
use flowc_ir::arrow_types::to_arrow_schema;
use flowc_ir::eval::EvalContext;
use flowc_ir::graph::{Operator, malformed_schema};
use flowc_ir::plan::{Executable, KernelSlot};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Why a run does not go on.
#[derive(Debug)]
pub(crate) enum Halt {
    /// Stopped from outside.
    Cancelled,
    /// An error.
    Error(Box<RunError>),
}

impl From<RunError> for Halt {
    fn from(error: RunError) -> Self {
        Halt::Error(Box::new(error))
    }
}

/// What an epoch needs besides its record.
#[derive(Debug)]
pub(crate) struct EpochRun {
    pub(crate) executable: Arc<Executable>,
    pub(crate) world: Arc<World>,
    pub(crate) options: Arc<RunOptions>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) resumed: bool,
    /// The sink whose rows are replayed; none: it is an ordinary epoch.
    pub(crate) replayed: Option<String>,
    /// What was read ahead for it, and then what is for the next.
    pub(crate) ahead: Arc<ReadAheads>,
    /// Set before the first sink commits.
    pub(crate) committing: Arc<AtomicBool>,
    /// What operators remember of earlier epochs, by their names: as the checkpoint has it.
    pub(crate) remembered: Remembering,
    /// The same, for operators to take.
    pub(crate) before: Mutex<BTreeMap<String, Before>>,
    /// The memory of the run.
    pub(crate) budget: Budget,
    /// The operators that remember more than the memory holds, by their names: each may have one part in so many of it.
    pub(crate) spilled: BTreeMap<String, u32>,
}

/// What operators remember of earlier epochs, by their names.
pub(crate) type Remembering = BTreeMap<String, OperatorState>;

/// What is known of an epoch when all of its rows are through, and before the first sink commits.
#[derive(Debug)]
pub(crate) struct Through {
    /// What was read.
    pub(crate) read: Vec<SourceReport>,
    /// What the expectations came to.
    pub(crate) judged: Vec<Judgement>,
    /// What operators remember for the next epoch.
    pub(crate) saving: Vec<Saving>,
}

/// What an epoch came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// What was read.
    pub(crate) read: Vec<SourceReport>,
    /// What was written.
    pub(crate) sinks: Vec<SinkReport>,
    /// What the expectations came to.
    pub(crate) judged: Vec<Judgement>,
    /// What operators keep in memory for the next epoch, by their names.
    pub(crate) memories: Memories,
    /// What the nodes of the graph did.
    pub(crate) work: Vec<NodeWork>,
}

/// What operators keep in memory, by their names.
#[derive(Default)]
pub(crate) struct Memories(pub(crate) Vec<(String, Memory)>);

impl std::fmt::Debug for Memories {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl EpochRun {
    /// Runs the epoch for the sinks named in `write`; reports what was read and written, and what the expectations came to. `keep` records what is
    /// known before the first sink commits.
    pub(crate) async fn run(
        self,
        record: &EpochRecord,
        inputs: &[Inputs],
        write: &[String],
        keep: impl FnOnce(Through) -> Result<(), RunError>,
    ) -> Result<Outcome, Halt> {
        let executable = Arc::clone(&self.executable);
        let plan = &executable.plan;
        let needed: BTreeSet<usize> = (plan.sinks.iter().zip(inputs))
            .filter(|(spec, _)| write.contains(&spec.name))
            .flat_map(|(_, inputs)| inputs.nodes.iter().copied())
            .collect();
        let context = EvalContext { now: record.started, epoch: record.epoch };
        let flow = Arc::new(self.build(record, &needed, context).await?);
        let sources = plan.sources.iter().map(|spec| {
            let total = record.sources.get(&spec.name).and_then(|r| r.rows);
            let (rows, malformed) = (AtomicU64::new(0), AtomicU64::new(0));
            Count { name: spec.name.clone(), rows, malformed, total }
        });
        let begun = self.options.clock.now();
        let meter = Arc::new(Meter { epoch: record.epoch, begun, sources: sources.collect() });
        let this = Arc::new(self);
        let driven = this.drive(record, &flow, &meter, context).await;
        let kept = driven.and_then(|()| {
            let judged = flow.judgements(&context)?;
            let all = judged.iter().map(|(_, judgement)| judgement.clone()).collect();
            let (read, saving) = (meter.read(record), this.saving(&flow, record)?);
            keep(Through { read: read.clone(), judged: Vec::clone(&all), saving })?;
            Ok((read, judged, all))
        });
        let (read, judged, all): (_, _, Vec<Judgement>) = match kept {
            Ok(kept) => kept,
            Err(halt) => {
                for (_, sink) in flow.sinks() {
                    sink.abort().await;
                }
                return Err(halt);
            }
        };
        let sinks = this.commit(&flow, inputs, &judged).await?;
        let memories = if this.forgets(record) { Memories::default() } else { memories(&flow) };
        let work = flow.work.done(&flow.graph);
        Ok(Outcome { read, sinks, judged: all, memories, work })
    }

    /// What the operators remember after the epoch.
    fn saving(&self, flow: &Flow, record: &EpochRecord) -> Result<Vec<Saving>, RunError> {
        let mut saving = vec![];
        if record.partition.is_some() {
            return Ok(saving);
        }
        let marks = Marks::new(flow, record, &self.remembered);
        for (index, (node, station)) in flow.graph.nodes.iter().zip(&flow.stations).enumerate() {
            let Some(name) = operator_name(&node.operator) else { continue };
            let before = self.remembered.get(&name).cloned().unwrap_or_default();
            let (watermark, late) = (marks.reached(index), flow.late(index));
            let form = crate::upgrade::form(&flow.graph, node).map(LeftForm::Parts);
            // What another form has left is written anew at once: until then it stays as it was.
            let whole = before.wants_rewrite() || before.form != form;
            saving.push(match station {
                Station::Stateful(operator) => {
                    let extent = if whole { Extent::Whole } else { Extent::Less };
                    let changes = if self.forgets(record) { Changes::nothing() } else { operator.changes(extent)? };
                    Saving { name, before, changes, watermark, late, remembered: operator.remembered(), form }
                }
                Station::Watermark(seen) => {
                    let (changes, remembered) = (seen.changes(), Default::default());
                    Saving { name, before, changes, watermark, late, remembered, form }
                }
                _ => continue,
            });
        }
        Ok(saving)
    }

    /// The stations of the needed nodes. Sinks are begun last: until then nothing has to be undone.
    async fn build(&self, record: &EpochRecord, needed: &BTreeSet<usize>, context: EvalContext) -> Result<Flow, Halt> {
        let graph = self.executable.plan.graph.clone();
        let budget = self.budget.clone();
        let mut stations = vec![];
        for (id, node) in graph.iter() {
            let wanted = needed.contains(&(id.0 as usize)) && !matches!(node.operator, Operator::Sink(_));
            stations.push(if wanted {
                self.station(&graph, id, record, context, &budget).await?
            } else {
                Station::Idle
            });
        }
        let arriving = paths(&graph);
        for (id, node) in graph.iter().filter(|(id, _)| needed.contains(&(id.0 as usize))) {
            let Operator::Sink(sink) = node.operator else { continue };
            match self.sink(sink.0 as usize, &arriving[id.0 as usize], record, &budget).await {
                Ok(station) => stations[id.0 as usize] = Station::Sink(station),
                Err(error) => {
                    let begun = Flow::new(graph.clone(), stations);
                    for (_, sink) in begun.sinks() {
                        sink.abort().await;
                    }
                    return Err(error.into());
                }
            }
        }
        let spilled = |name: &str| self.spilled.contains_key(name);
        let deferral = Deferral::of(&graph, &stations, spilled, |leaf| self.reads_columns(&graph, leaf, record));
        Ok(Flow::new(graph, stations).deferring(deferral))
    }

    /// Whether the source of a node is worth reading column by column in this epoch.
    fn reads_columns(&self, graph: &flowc_ir::graph::Graph, leaf: usize, record: &EpochRecord) -> bool {
        let Operator::Source(source) = graph.nodes[leaf].operator else { return false };
        let range = record.sources.get(&self.executable.plan.sources[source.0 as usize].name);
        range.is_some_and(|range| self.world.sources[source.0 as usize].reads_columns(range))
    }

    async fn station(
        &self,
        graph: &flowc_ir::graph::Graph,
        id: flowc_ir::graph::NodeId,
        record: &EpochRecord,
        context: EvalContext,
        budget: &Budget,
    ) -> Result<Station, Halt> {
        let node = graph.node(id);
        let (workers, batch_rows) = (self.options.workers.max(1), self.options.batch_rows.max(1));
        let input = node.inputs.first().map(|i| &graph.node(*i).schema).unwrap_or(&node.schema);
        Ok(match &node.operator {
            Operator::Source(_) | Operator::Malformed(_) | Operator::TableScan(_) | Operator::Late => Station::Leaf,
            Operator::Union => Station::Union,
            Operator::Transform(_) => {
                let slot = KernelSlot::Transform(id);
                Station::Stateless(Box::new(Transform { slot, kernel: self.kernel(slot)?, context }))
            }
            Operator::Lookup(spec) => self.lookup(node, id, spec, record, context).await?,
            Operator::Watermark(spec) => {
                let name = operator_name(&node.operator).unwrap_or_default();
                let before = self.remembered.get(&name);
                Station::Watermark(Watermark::new(spec, before.and_then(crate::operators::watermark::latest)))
            }
            Operator::Unique(_)
            | Operator::KeyedAggregate(_)
            | Operator::Upsert(_)
            | Operator::WindowAggregate(_)
            | Operator::Dedup(_)
            | Operator::Top(_)
            | Operator::Join(_) => Station::Stateful(self.stateful(graph, id, record, context, budget)?),
            Operator::Expect(spec) => Station::Expect(Expect::new(spec), context),
            Operator::Aggregate(spec) => Station::Blocking(Box::new(Aggregate::new(
                spec,
                (input, &node.schema),
                workers,
                batch_rows,
                budget.clone(),
            ))),
            Operator::Sort(columns) => {
                Station::Blocking(Box::new(Sort::new(columns, input, workers, batch_rows, budget.clone())?))
            }
            Operator::Limit(count) => Station::Blocking(Box::new(Limit::new(*count))),
            Operator::Explode { column, .. } => Station::Stateless(Box::new(Explode {
                column: *column,
                schema: to_arrow_schema(&node.schema),
                batch_rows,
            })),
            Operator::Sink(_) => Station::Idle,
        })
    }

    /// An operator that remembers something, with what it remembers.
    fn stateful(
        &self,
        graph: &flowc_ir::graph::Graph,
        id: flowc_ir::graph::NodeId,
        record: &EpochRecord,
        context: EvalContext,
        budget: &Budget,
    ) -> Result<Box<dyn Stateful>, RunError> {
        let node = graph.node(id);
        let name = operator_name(&node.operator).unwrap_or_default();
        let watermark = self.remembered.get(&name).and_then(|state| state.watermark);
        let before = self.before.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
        let before = before.unwrap_or(Before::Nothing);
        let (workers, batch_rows) = (self.options.workers.max(1), self.options.batch_rows.max(1));
        let budget = budget.clone();
        let surroundings = Surroundings { epoch: record.epoch, watermark, workers, batch_rows, budget, carried: 0 };
        let make = self.make(graph, id, context)?;
        match self.spilled.get(&name) {
            None => make(before, surroundings),
            Some(share) => {
                let inputs: Vec<&flowc_ir::Schema> = node.inputs.iter().map(|i| &graph.node(*i).schema).collect();
                let schemas = (&inputs[..], &node.schema);
                Ok(Box::new(Spilled::new(&name, &node.operator, schemas, make, surroundings, before, *share)?))
            }
        }
    }

    /// What makes an operator that remembers something.
    fn make(
        &self,
        graph: &flowc_ir::graph::Graph,
        id: flowc_ir::graph::NodeId,
        context: EvalContext,
    ) -> Result<Make, RunError> {
        let node = graph.node(id);
        let output = node.schema.clone();
        let inputs: Vec<flowc_ir::Schema> = node.inputs.iter().map(|i| graph.node(*i).schema.clone()).collect();
        if let Some(make) = inputs.first().and_then(|input| incremental::make(&node.operator, input, &output)) {
            return Ok(make);
        }
        Ok(match node.operator.clone() {
            Operator::Unique(spec) => {
                let watermark = self.options.watermark;
                Arc::new(move |before, around| {
                    Ok(Box::new(Unique::new(&spec, &output, around, before)?.advanced(watermark)))
                })
            }
            Operator::WindowAggregate(spec) => Arc::new(move |before, around| {
                Ok(Box::new(WindowAggregate::new(&spec, (&inputs[0], &output), around, before)?))
            }),
            Operator::Dedup(spec) => {
                Arc::new(move |before, around| Ok(Box::new(Dedup::new(&spec, &inputs[0], around, before)?)))
            }
            Operator::Top(spec) => {
                Arc::new(move |before, around| Ok(Box::new(Top::new(&spec, &inputs[0], around, before)?)))
            }
            Operator::Upsert(spec) if spec.history.is_some() => Arc::new(move |before, around| {
                Ok(Box::new(History::new(&spec, (&inputs[0], &output), around, before)?))
            }),
            Operator::Upsert(spec) => {
                Arc::new(move |before, around| Ok(Box::new(Upsert::new(&spec, (&inputs[0], &output), around, before)?)))
            }
            Operator::Join(spec) => {
                let residual = spec.residual.is_some().then(|| self.kernel(KernelSlot::Residual(id))).transpose()?;
                let open = flowc_ir::join_side::is_open(&self.executable.plan, id);
                Arc::new(move |before, around| {
                    let (schemas, residual) = ((&inputs[0], &inputs[1], &output), residual.clone());
                    if is_changing(&output) {
                        return Ok(Box::new(ChangingJoin::new(id, &spec, schemas, residual, context, around, before)?));
                    }
                    Ok(Box::new(Join::new(id, &spec, schemas, residual, context, around, before)?.open(open)))
                })
            }
            other => return Err(internal(format!("{other:?} remembers nothing"))),
        })
    }

    /// The kernel of a program of the plan.
    pub(crate) fn kernel(&self, slot: KernelSlot) -> Result<Arc<dyn flowc_ir::eval::Kernel>, RunError> {
        let found = self.executable.kernels.get(&slot).cloned();
        found.ok_or_else(|| internal(format!("no kernel for {slot:?}")))
    }

    pub(crate) async fn interruptible<T>(&self, work: impl Future<Output = T>) -> Result<T, Halt> {
        tokio::select! {
            biased;
            () = self.options.cancel.cancelled() => Err(Halt::Cancelled),
            done = work => Ok(done),
        }
    }

    /// Lets every leaf's rows through, in the order of the nodes: by the time that a blocking operator's turn comes, all of its input is there.
    async fn drive(
        self: &Arc<Self>,
        record: &EpochRecord,
        flow: &Arc<Flow>,
        meter: &Arc<Meter>,
        context: EvalContext,
    ) -> Result<(), Halt> {
        let plan = &self.executable.plan;
        let (mut driven, mut all_of) = (BTreeSet::new(), BTreeSet::new());
        let nodes = || flow.stations.iter().zip(&plan.graph.nodes);
        let reads =
            |station: &Station, operator: &Operator| matches!(station, Station::Leaf) && *operator != Operator::Late;
        let last_leaf = nodes().rposition(|(station, node)| reads(station, &node.operator));
        for (id, node) in plan.graph.iter() {
            let index = id.0 as usize;
            if last_leaf.is_some_and(|last| index == last + 1) {
                self.read_ahead(record, &all_of);
            }
            match (&flow.stations[index], &node.operator) {
                // Rows and malformed records come from one reading, whichever of them is wanted first.
                (Station::Leaf, Operator::Source(source) | Operator::Malformed(source)) => {
                    if !driven.insert(*source) {
                        continue;
                    }
                    let (spec, reader) = (&plan.sources[source.0 as usize], &self.world.sources[source.0 as usize]);
                    let pruned = crate::key_pruning::needed(plan, flow, *source).and_then(|n| reader.needing(&n));
                    let (whole, reader) = (pruned.is_none(), pruned.as_ref().unwrap_or(reader));
                    let splits = match record.sources.get(&spec.name) {
                        Some(range) => reader.splits(range).await.map_err(|e| located(e, spec.origin))?,
                        None => vec![],
                    };
                    let wanted = |operator: Operator| {
                        let nodes = plan.graph.nodes.iter().zip(&flow.stations).enumerate();
                        let nodes = nodes.filter(|(_, (n, s))| n.operator == operator && matches!(s, Station::Leaf));
                        nodes.map(|(node, _)| node).collect::<Vec<_>>()
                    };
                    let nodes = (wanted(Operator::Source(*source)), wanted(Operator::Malformed(*source)));
                    let reader = Reader::Source(source.0 as usize, Arc::clone(reader));
                    let reading = flow.deferral.first(index).map_or(Reading::Whole, Reading::Columns);
                    let whole = whole && matches!(reading, Reading::Whole);
                    let ahead = self.ahead.take(source.0 as usize).filter(|_| whole).map(|ahead| ahead.of(&splits));
                    all_of.extend(whole.then_some(source.0 as usize));
                    let leaf = Leaf::new(nodes, reader, splits, spec.origin).reading(reading).ahead(ahead);
                    self.leaf(leaf, flow, meter, context).await?;
                }
                (Station::Leaf, Operator::TableScan(table)) => {
                    let (spec, reader) = (&plan.tables[table.0 as usize], &self.world.tables[table.0 as usize]);
                    let splits = match record.tables.get(&spec.name) {
                        Some(pin) if record.scans.contains(&spec.name) => {
                            reader.splits(pin).await.map_err(|e| located(e, spec.origin))?
                        }
                        _ => vec![],
                    };
                    let (reader, nodes) = (Reader::Table(Arc::clone(reader)), (vec![index], vec![]));
                    self.leaf(Leaf::new(nodes, reader, splits, spec.origin), flow, meter, context).await?;
                }
                (Station::Blocking(operator), _) => self.drain(flow, index, &**operator, context).await?,
                (Station::Stateful(operator), _) => {
                    let marks = Marks::new(flow, record, &self.remembered);
                    let watermark = if self.closes(record) { Some(i64::MAX) } else { marks.reached(index) };
                    let needs = || operator.needs(watermark);
                    self.left_side(record, (flow, index), needs, meter, context).await?;
                    self.emit(flow, index, &**operator, watermark, context).await?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Begins to read, of these sources, what the next epoch will most likely read.
    fn read_ahead(&self, record: &EpochRecord, sources: &BTreeSet<usize>) {
        // Otherwise this epoch has read all that there is, or the next does not go on from here.
        let more = self.options.limits != EpochLimits::NONE || self.options.follow.is_some();
        if !more || self.replayed.is_some() || record.partition.is_some() || self.whole_sinks(record) > 0 {
            return;
        }
        let plan = &self.executable.plan;
        let read = sources
            .iter()
            .filter_map(|source| Some((*source, record.sources.get(&plan.sources[*source].name)?.to.clone())));
        let read: BTreeMap<usize, Position> = read.collect();
        let how = How {
            // The others end the epoch.
            tasks: (self.options.workers / 2).max(1),
            batch_rows: self.options.batch_rows.max(1),
            limits: self.options.limits,
            sources: read.len(),
            budget: self.budget.clone(),
        };
        let begin = |(source, from): (usize, Position)| {
            (source, ReadAhead::begin(Arc::clone(&self.world.sources[source]), from, how.clone()))
        };
        if !read.is_empty() {
            self.ahead.begin(read.into_iter().map(begin).collect());
        }
    }

    /// Whether everything that is open closes at the end of the epoch: it is a computation of the whole, or the run is drained.
    fn closes(&self, record: &EpochRecord) -> bool {
        self.whole_sinks(record) > 0 || record.watermark == Some(i64::MAX)
    }

    /// How many of the epoch's sinks are computed whole.
    fn whole_sinks(&self, record: &EpochRecord) -> usize {
        let sinks = self.executable.plan.sinks.iter();
        sinks.filter(|spec| spec.whole && record.sinks.contains(&spec.name)).count()
    }

    /// Whether nobody needs what operators remember: that of a partition that is computed again; and the next computation of the whole begins with nothing. Where nothing was read before, other sinks may share the epoch.
    fn forgets(&self, record: &EpochRecord) -> bool {
        record.partition.is_some() || self.whole_sinks(record) == record.sinks.len()
    }

    /// Sends on what comes out of a blocking operator.
    async fn drain(
        self: &Arc<Self>,
        flow: &Arc<Flow>,
        index: usize,
        operator: &dyn Blocking,
        context: EvalContext,
    ) -> Result<(), Halt> {
        let what = format!("`{}`", flow.graph.nodes[index].label);
        let mut handover = Handover::new(self, flow, (index, &what), context);
        let sent = async {
            let made = flow.work.timed(index, || operator.finish()).map_err(|f| self.halt(f, &what, context))?;
            for batch in flow.work.each(index, made) {
                if !handover.push(batch.map_err(|f| self.halt(f, &what, context))?).await {
                    break;
                }
                self.interruptible(tokio::task::yield_now()).await?;
            }
            Ok(())
        };
        let sent = sent.await;
        handover.finish().await.and(sent)?;
        flow.split_done(index, 0).await?;
        flow.leaf_done(index).await?;
        Ok(())
    }

    /// Sends on what comes out of a stateful operator, and what came too late for it.
    async fn emit(
        self: &Arc<Self>,
        flow: &Arc<Flow>,
        index: usize,
        operator: &dyn Stateful,
        watermark: Option<i64>,
        context: EvalContext,
    ) -> Result<(), Halt> {
        let what = format!("`{}`", flow.graph.nodes[index].label);
        let mut handover = Handover::new(self, flow, (index, &what), context);
        let late_cursor = Cursor::new(0, 0);
        let late = flow.late_nodes(index);
        let sent = async {
            let made = flow.work.timed(index, || operator.finish(watermark));
            for emitted in flow.work.each(index, made.map_err(|f| self.halt(f, &what, context))?) {
                match emitted.map_err(|f| self.halt(f, &what, context))? {
                    Emitted::Rows(batch) => {
                        if !handover.push(batch).await {
                            break;
                        }
                    }
                    Emitted::Late(batch) => {
                        flow.count_late(index, batch.num_rows() as u64);
                        self.pass_all(flow, &late_cursor, &late, &batch, &what, context).await?;
                    }
                    Emitted::LateOther(rows) => flow.count_late(index, rows),
                }
                self.interruptible(tokio::task::yield_now()).await?;
            }
            Ok(())
        };
        let sent = sent.await;
        // What was sent before the operator failed comes before its failure.
        handover.finish().await.and(sent)?;
        for node in late.into_iter().chain([index]) {
            flow.split_done(node, 0).await?;
            flow.leaf_done(node).await?;
        }
        Ok(())
    }

    /// Sends rows on from these nodes.
    pub(crate) async fn pass_all(
        &self,
        flow: &Flow,
        cursor: &Cursor,
        nodes: &[usize],
        batch: &RecordBatch,
        what: &str,
        context: EvalContext,
    ) -> Result<(), Halt> {
        for node in nodes.iter().filter(|_| batch.num_rows() > 0) {
            self.pass(flow, cursor, *node, batch.clone(), what, context).await?;
        }
        Ok(())
    }

    async fn pass(
        &self,
        flow: &Flow,
        cursor: &Cursor,
        node: usize,
        batch: RecordBatch,
        what: &str,
        context: EvalContext,
    ) -> Result<(), Halt> {
        match flow.push(cursor, node, 0, batch.clone()).await {
            Ok(()) => Ok(()),
            Err(fault) => Err(self.halt(flow.first_failure(node, batch, fault).await, what, context)),
        }
    }

    /// The error of a fault. Compiled kernels do not explain failures: the interpreter evaluates the row again.
    pub(crate) fn halt(&self, fault: Fault, what: &str, context: EvalContext) -> Halt {
        match fault {
            Fault::Run(error) => Halt::Error(error),
            Fault::Cancelled => Halt::Cancelled,
            Fault::Rule(error) => {
                let help = error.help.clone().unwrap_or_default();
                Halt::Error(Box::new(error.help(format!("the row comes from {what}\n{help}"))))
            }
            Fault::Row(fault) => {
                let what = if matches!(fault.slot, KernelSlot::Prepare(_)) { "the table" } else { what };
                Halt::Error(Box::new(self.describe(*fault, what, context)))
            }
        }
    }

    fn describe(&self, fault: RowFault, what: &str, context: EvalContext) -> RunError {
        let mut failure = fault.failure;
        let programs = self.executable.plan.programs();
        let program = programs.iter().find(|(slot, _)| *slot == fault.slot).map(|(_, program)| *program);
        let program = program.filter(|_| failure.failure.message.is_empty());
        if let Some(explained) = program.and_then(|p| crate::operators::transform::explain(p, &context, &fault.row)) {
            failure = explained;
        }
        let mut error = RunError::from(failure);
        let instead = match error.code {
            "R0101" | "R0102" | "R0103" | "R0104" => "`try(…)` gives null instead, a `where` leaves such rows out",
            _ => "a `where` before it leaves such rows out",
        };
        let epoch = context.epoch;
        error = error.help(format!("the row comes from {what}\nepoch {epoch} was not committed; {instead}"));
        error.row = crate::text::row_text(&fault.row, 0);
        error
    }

    /// Ends all writers, then commits sink by sink; those that keep no account of epochs last, because they write again what is run again.
    async fn commit(
        &self,
        flow: &Flow,
        inputs: &[Inputs],
        judged: &[(usize, Judgement)],
    ) -> Result<Vec<SinkReport>, Halt> {
        let plan = &self.executable.plan;
        let mut ready: Vec<(usize, &SinkStation, Vec<Written>)> = vec![];
        for (node, station) in flow.sinks() {
            let Operator::Sink(sink) = plan.graph.nodes[node].operator else { continue };
            let begun = Instant::now();
            let finished = station.finish().await;
            flow.work.spent(node, begun);
            match finished {
                Ok(written) => ready.push((sink.0 as usize, station, written)),
                Err(error) => {
                    for (_, other) in flow.sinks().filter(|(n, _)| *n > node) {
                        other.abort().await;
                    }
                    abort(ready).await;
                    return Err(located(error, plan.sinks[sink.0 as usize].origin).into());
                }
            }
        }
        // Replayed rows leave their table last: until then nothing is lost.
        let last = |sink: usize| self.replayed.as_ref() == Some(&plan.sinks[sink].name);
        ready.sort_by_key(|(sink, ..)| (last(*sink), !self.world.sinks[*sink].accounts()));
        let mut reports = vec![];
        let mut ready = ready.into_iter();
        while let Some((sink, station, written)) = ready.next() {
            let spec = &plan.sinks[sink];
            if self.options.cancel.is_cancelled() {
                station.epoch.abort(written).await;
                abort(ready.collect()).await;
                return Err(Halt::Cancelled);
            }
            self.committing.store(true, Ordering::SeqCst);
            let passed = judged.iter().filter(|(node, _)| inputs[sink].nodes.contains(node));
            let passed: Vec<Judgement> = passed.map(|(_, judgement)| judgement.clone()).collect();
            let begun = Instant::now();
            let committed = station.commit(written, &passed).await;
            let same = |(_, other): &(usize, &SinkStation)| std::ptr::eq(*other, station);
            flow.sinks().filter(same).for_each(|(node, _)| flow.work.spent(node, begun));
            match committed {
                // A replay writes only sinks that lacked it: somebody else replays the same rows, perhaps more of them.
                Ok(committed) if committed.already && self.replayed.is_some() => {
                    abort(ready.collect()).await;
                    return Err(another_replay(&spec.name).at(spec.origin).into());
                }
                Ok(committed) => reports.push(SinkReport { name: spec.name.clone(), committed }),
                Err(error) => {
                    abort(ready.collect()).await;
                    return Err(located(error, spec.origin).into());
                }
            }
        }
        Ok(reports)
    }
}

/// What the operators of a flow keep in memory.
fn memories(flow: &Flow) -> Memories {
    let stations = flow.graph.nodes.iter().zip(&flow.stations);
    let kept = stations.filter_map(|(node, station)| match station {
        Station::Stateful(operator) => Some((operator_name(&node.operator)?, operator.take_memory())),
        _ => None,
    });
    Memories(kept.collect())
}

fn another_replay(sink: &str) -> RunError {
    let text = format!("sink `{sink}` got the rows of this replay from another `flowc replay` meanwhile");
    RunError::world("R0411", text).help(
        "two replays of one table ran at the same time, with different state directories: let the other one finish; this one has not taken rows out of the table",
    )
}

/// Malformed records with the epoch that read them.
pub(crate) fn dated(batch: &RecordBatch, epoch: u64) -> Result<RecordBatch, RunError> {
    let epoch = i64::try_from(epoch).unwrap_or(i64::MAX);
    let mut columns = batch.columns().to_vec();
    columns.push(Arc::new(Int64Array::from(vec![epoch; batch.num_rows()])));
    RecordBatch::try_new(to_arrow_schema(&malformed_schema()), columns).map_err(internal)
}

async fn abort(ready: Vec<(usize, &SinkStation, Vec<Written>)>) {
    for (_, station, written) in ready {
        station.epoch.abort(written).await;
    }
}
