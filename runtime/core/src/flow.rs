//! The running form of a graph for one epoch: stations connected by pushes. Rows enter at a leaf, go through stateless operators at once, and end at blocking
//! operators and sinks. Knows nothing of sources, splits' scheduling, or state.

use crate::batch::{Batch, Order};
use crate::clock::Instant;
use crate::connector::{Committed, SinkEpoch, SinkWriter, Written, has_schema};
use crate::deferred::Deferral;
use crate::error::RunError;
use crate::operators::expect::Expect;
use crate::operators::lookup::as_of::AsOf;
use crate::operators::stateful::Stateful;
use crate::operators::watermark::Watermark;
use crate::operators::{Blocking, Fault, Stateless};
use crate::quality::Judgement;
use crate::resequence::Resequencer;
use crate::work::Work;
use arrow::record_batch::RecordBatch;
use flowc_ir::eval::EvalContext;
use flowc_ir::graph::{Graph, Operator};
use futures::FutureExt;
use futures::future::BoxFuture;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use tokio::sync::Mutex;

/// What stands at a node.
#[derive(Debug)]
pub(crate) enum Station {
    /// Not needed by any sink that is written.
    Idle,
    /// Rows enter here: a source, what is malformed in it, a table's scan, or the late rows of a stateful operator.
    Leaf,
    /// All rows of all inputs.
    Union,
    /// See [`Stateless`].
    Stateless(Box<dyn Stateless>),
    /// Rows are looked up in versions of a table that are loaded meanwhile.
    AsOf(Box<AsOf>),
    /// Rows go through it unchanged.
    Expect(Expect, EvalContext),
    /// Rows go through it unchanged.
    Watermark(Watermark),
    /// See [`Stateful`]; what comes out enters the next stations as from a leaf.
    Stateful(Box<dyn Stateful>),
    /// See [`Blocking`]; what comes out enters the next stations as from a leaf.
    Blocking(Box<dyn Blocking>),
    /// Rows leave here.
    Sink(SinkStation),
}

/// A sink of the epoch.
pub(crate) struct SinkStation {
    pub(crate) epoch: Box<dyn SinkEpoch>,
    pub(crate) lanes: Lanes,
}

/// How rows get to a sink.
pub(crate) enum Lanes {
    /// Each worker has a writer, opened with its first rows.
    Parallel(Vec<Mutex<Option<Box<dyn SinkWriter>>>>),
    /// One writer, in the order of the input.
    Ordered(Mutex<Option<Resequencer>>),
}

impl std::fmt::Debug for SinkStation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self.lanes, Lanes::Ordered(_)) { "ordered sink" } else { "sink" })
    }
}

/// The place of a worker in the input.
#[derive(Debug)]
pub(crate) struct Cursor {
    pub(crate) worker: usize,
    pub(crate) split: u32,
    sequence: AtomicU32,
}

impl Cursor {
    pub(crate) fn new(worker: usize, split: u32) -> Self {
        Cursor { worker, split, sequence: AtomicU32::new(0) }
    }

    fn stamp(&self, path: u32, data: RecordBatch) -> Batch {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
        Batch { data, order: Order { path, split: self.split, sequence } }
    }
}

/// The stations and how they are connected.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) graph: Graph,
    pub(crate) stations: Vec<Station>,
    /// For each node, who reads it: the reader, and the number of its paths before this input.
    readers: Vec<Vec<(usize, u32)>>,
    /// For each node, the first path of its second input.
    right_paths: Vec<u32>,
    /// For each node, the rows that came too late for it.
    late: Vec<AtomicU64>,
    /// What the nodes do.
    pub(crate) work: Work,
    /// What is read later.
    pub(crate) deferral: Deferral,
}

/// The name of what an operator remembers across epochs; none: nothing.
pub(crate) fn operator_name(operator: &Operator) -> Option<String> {
    match operator {
        Operator::Unique(unique) => Some(crate::operators::unique::name(unique)),
        Operator::Watermark(watermark) => Some(format!("{} watermark", watermark.source)),
        Operator::WindowAggregate(windowed) => Some(windowed.name.clone()),
        Operator::KeyedAggregate(keyed) => Some(keyed.name.clone()),
        Operator::Upsert(upsert) => Some(upsert.name.clone()),
        Operator::Dedup(dedup) => Some(dedup.name.clone()),
        Operator::Top(top) => Some(top.name.clone()),
        Operator::Join(join) => Some(join.name.clone()),
        _ => None,
    }
}

/// Whether paths of rows begin behind an operator: in what order rows went in is then no longer known.
fn begins_paths(operator: &Operator) -> bool {
    use flowc_ir::graph::Operator::*;
    match operator {
        Source(_) | Malformed(_) | TableScan(_) | Aggregate(_) | Sort(_) | Limit(_) | Unique(_) => true,
        WindowAggregate(_) | KeyedAggregate(_) | Upsert(_) | Dedup(_) | Top(_) | Join(_) | Late => true,
        Transform(_) | Lookup(_) | Union | Explode { .. } | Expect(_) | Watermark(_) | Sink(_) => false,
    }
}

/// For each node, the leaves (or blocking operators) where the paths to its input begin, in the order of rows.
pub(crate) fn paths(graph: &Graph) -> Vec<Vec<usize>> {
    let mut arriving: Vec<Vec<usize>> = vec![];
    for (id, node) in graph.iter() {
        let mut leaves = vec![];
        for input in &node.inputs {
            match begins_paths(&graph.node(*input).operator) {
                true => leaves.push(input.0 as usize),
                false => leaves.extend_from_slice(&arriving[input.0 as usize]),
            }
        }
        debug_assert_eq!(arriving.len(), id.0 as usize);
        arriving.push(leaves);
    }
    arriving
}

impl Flow {
    pub(crate) fn new(graph: Graph, stations: Vec<Station>) -> Self {
        let arriving = paths(&graph);
        let mut readers: Vec<Vec<(usize, u32)>> = vec![vec![]; graph.nodes.len()];
        let mut right_paths = vec![u32::MAX; graph.nodes.len()];
        for (id, node) in graph.iter() {
            let reader = id.0 as usize;
            if matches!(stations[reader], Station::Idle) {
                continue;
            }
            let mut before = 0;
            for (place, input) in node.inputs.iter().enumerate() {
                if place == 1 {
                    right_paths[reader] = before;
                }
                readers[input.0 as usize].push((reader, before));
                before += match begins_paths(&graph.node(*input).operator) {
                    true => 1,
                    false => arriving[input.0 as usize].len() as u32,
                };
            }
        }
        let late = graph.nodes.iter().map(|_| AtomicU64::new(0)).collect();
        let work = Work::new(graph.nodes.len());
        Flow { graph, stations, readers, right_paths, late, work, deferral: Deferral::default() }
    }

    /// The same, in which the left sides of some joins do not come as their sources are read, but through [`Flow::deliver`].
    pub(crate) fn deferring(mut self, deferral: Deferral) -> Self {
        for (node, readers) in self.readers.iter_mut().enumerate() {
            // The left input is that of the first paths.
            readers.retain(|(reader, before)| *before != 0 || !deferral.cuts(node, *reader, 0));
        }
        self.deferral = deferral;
        self
    }

    /// Gives rows of the source of its left side to a join.
    pub(crate) fn deliver(&self, cursor: &Cursor, join: usize, data: RecordBatch) -> Result<(), Fault> {
        let Station::Stateful(operator) = &self.stations[join] else { return Ok(()) };
        if data.num_rows() == 0 {
            return Ok(());
        }
        self.work.took(join, data.num_rows());
        self.work.timed(join, || operator.push(cursor.worker, 0, cursor.stamp(0, data)))
    }

    /// Counts rows of a leaf that its readers, which are filters all, would have left out.
    pub(crate) fn skipped(&self, node: usize, rows: u64) {
        let rows = usize::try_from(rows).unwrap_or(usize::MAX);
        self.work.gave(node, rows);
        self.readers[node].iter().for_each(|(reader, _)| self.work.took(*reader, rows));
    }

    /// Sends rows that came out of a node to its readers.
    pub(crate) fn push<'a>(
        &'a self,
        cursor: &'a Cursor,
        node: usize,
        path: u32,
        data: RecordBatch,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        async move {
            self.check(node, &data);
            self.work.gave(node, data.num_rows());
            for &(reader, before) in &self.readers[node] {
                let (path, data) = (path + before, data.clone());
                self.work.took(reader, data.num_rows());
                let begun = Instant::now();
                match &self.stations[reader] {
                    Station::Idle | Station::Leaf => {}
                    Station::Union => self.push(cursor, reader, path, data).await?,
                    Station::Stateless(operator) => {
                        let made = self.work.timed(reader, || operator.process(data));
                        for out in self.work.each(reader, made) {
                            let out = out?;
                            if out.num_rows() > 0 {
                                self.push(cursor, reader, path, out).await?;
                            }
                        }
                    }
                    Station::AsOf(lookup) => {
                        let mut rows = lookup.date(data)?;
                        while let Some(part) = lookup.next(&mut rows).await? {
                            for out in self.work.each(reader, part.outputs) {
                                let out = out?;
                                if out.num_rows() > 0 {
                                    self.push(cursor, reader, path, out).await?;
                                }
                            }
                        }
                    }
                    Station::Expect(expect, context) => {
                        expect.check(&data, context)?;
                        let batch = cursor.stamp(path, data);
                        expect.observe(batch.order, &batch.data)?;
                        self.work.spent(reader, begun);
                        self.push(cursor, reader, path, batch.data).await?;
                    }
                    Station::Watermark(watermark) => {
                        watermark.observe(&data)?;
                        self.work.spent(reader, begun);
                        self.push(cursor, reader, path, data).await?;
                    }
                    Station::Blocking(operator) => {
                        operator.push(cursor.worker, cursor.stamp(path, data))?;
                        self.work.spent(reader, begun);
                    }
                    Station::Stateful(operator) => {
                        let input = usize::from(path >= self.right_paths[reader]);
                        operator.push(cursor.worker, input, cursor.stamp(path, data))?;
                        self.work.spent(reader, begun);
                    }
                    Station::Sink(sink) => {
                        sink.push(cursor.worker, cursor.stamp(path, data)).await?;
                        self.work.spent(reader, begun);
                    }
                }
            }
            Ok(())
        }
        .boxed()
    }

    /// The first failure of these rows on their way through stateless operators; nothing reaches blocking operators or sinks.
    pub(crate) fn probe<'a>(&'a self, node: usize, data: &'a RecordBatch) -> BoxFuture<'a, Option<Fault>> {
        async move { self.pass(node, data).await.err() }.boxed()
    }

    async fn pass(&self, node: usize, data: &RecordBatch) -> Result<(), Fault> {
        let on = |reader: usize, out: Result<RecordBatch, Fault>| async move {
            let out = out?;
            match out.num_rows() {
                0 => Ok(()),
                _ => self.probe(reader, &out).await.map_or(Ok(()), Err),
            }
        };
        for &(reader, _) in &self.readers[node] {
            match &self.stations[reader] {
                Station::Union | Station::Watermark(_) => on(reader, Ok(data.clone())).await?,
                Station::Expect(expect, context) => {
                    expect.check(data, context)?;
                    on(reader, Ok(data.clone())).await?;
                }
                Station::Stateless(operator) => {
                    for out in operator.process(data.clone()) {
                        on(reader, out).await?;
                    }
                }
                Station::AsOf(lookup) => {
                    let mut rows = lookup.date(data.clone())?;
                    while let Some(part) = lookup.next(&mut rows).await? {
                        for out in part.outputs {
                            on(reader, out).await?;
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Of a batch that failed somewhere behind `node`, the failure of its first failing row, so that it does not depend on how rows are cut into batches nor
    /// on the order of branches.
    pub(crate) async fn first_failure(&self, node: usize, mut data: RecordBatch, fault: Fault) -> Fault {
        if matches!(fault, Fault::Run(_) | Fault::Cancelled) {
            return fault;
        }
        while data.num_rows() > 1 {
            let half = data.num_rows() / 2;
            let first = data.slice(0, half);
            let fails = self.probe(node, &first).await.is_some();
            data = if fails { first } else { data.slice(half, data.num_rows() - half) };
        }
        self.probe(node, &data).await.unwrap_or(fault)
    }

    /// Debug builds check what every operator yields.
    fn check(&self, node: usize, data: &RecordBatch) {
        let node = self.graph.nodes.get(node);
        debug_assert!(
            node.is_none_or(|n| has_schema(data, &n.schema)),
            "`{}` yields {:?} instead of {}",
            node.map_or("", |n| &n.label),
            data.schema(),
            node.map_or(String::new(), |n| n.schema.to_string()),
        );
    }

    /// How often rows have failed rules so far.
    pub(crate) fn violations(&self) -> u64 {
        let failed = self.stations.iter().map(|station| match station {
            Station::Expect(expect, _) => expect.failed(),
            _ => 0,
        });
        failed.sum()
    }

    /// What the expectations came to, by node.
    pub(crate) fn judgements(&self, context: &EvalContext) -> Result<Vec<(usize, Judgement)>, RunError> {
        let judged = self.stations.iter().enumerate().filter_map(|(node, station)| match station {
            Station::Expect(expect, _) => Some(expect.finish(context).map(|judgement| (node, judgement))),
            _ => None,
        });
        judged.collect()
    }

    /// Counts rows that came too late for a node.
    pub(crate) fn count_late(&self, node: usize, rows: u64) {
        self.late[node].fetch_add(rows, Ordering::Relaxed);
    }

    /// The rows that came too late for a node.
    pub(crate) fn late(&self, node: usize) -> u64 {
        self.late[node].load(Ordering::Relaxed)
    }

    /// The nodes that the late rows of a node come out of.
    pub(crate) fn late_nodes(&self, of: usize) -> Vec<usize> {
        let nodes = self.graph.iter().zip(&self.stations);
        let late = nodes.filter(|((_, node), station)| {
            node.operator == Operator::Late
                && matches!(station, Station::Leaf)
                && node.inputs.iter().any(|input| input.0 as usize == of)
        });
        late.map(|((id, _), _)| id.0 as usize).collect()
    }

    pub(crate) fn sinks(&self) -> impl Iterator<Item = (usize, &SinkStation)> {
        self.stations.iter().enumerate().filter_map(|(node, station)| match station {
            Station::Sink(sink) => Some((node, sink)),
            _ => None,
        })
    }

    pub(crate) async fn split_done(&self, leaf: usize, split: u32) -> Result<(), RunError> {
        for (_, sink) in self.sinks() {
            if let Lanes::Ordered(lane) = &sink.lanes
                && let Some(lane) = &mut *lane.lock().await
            {
                lane.split_done(leaf, split).await?;
            }
        }
        Ok(())
    }

    pub(crate) async fn leaf_done(&self, leaf: usize) -> Result<(), RunError> {
        for (_, sink) in self.sinks() {
            if let Lanes::Ordered(lane) = &sink.lanes
                && let Some(lane) = &mut *lane.lock().await
            {
                lane.leaf_done(leaf).await?;
            }
        }
        Ok(())
    }
}

impl SinkStation {
    async fn push(&self, worker: usize, batch: Batch) -> Result<(), RunError> {
        match &self.lanes {
            Lanes::Parallel(lanes) => {
                let mut lane = lanes[worker].lock().await;
                let writer = match &mut *lane {
                    Some(writer) => writer,
                    empty => empty.insert(self.epoch.writer().await?),
                };
                writer.write(&batch.data).await
            }
            Lanes::Ordered(lane) => match &mut *lane.lock().await {
                Some(lane) => lane.push(batch).await,
                None => Ok(()),
            },
        }
    }

    async fn writers(&self) -> Vec<Box<dyn SinkWriter>> {
        match &self.lanes {
            Lanes::Parallel(lanes) => {
                let mut writers = vec![];
                for lane in lanes {
                    writers.extend(lane.lock().await.take());
                }
                writers
            }
            Lanes::Ordered(lane) => lane.lock().await.take().map(Resequencer::into_writer).into_iter().collect(),
        }
    }

    /// Ends all writers. If one fails, what was written is removed.
    pub(crate) async fn finish(&self) -> Result<Vec<Written>, RunError> {
        let mut written = vec![];
        let mut writers = self.writers().await.into_iter();
        while let Some(writer) = writers.next() {
            match writer.finish().await {
                Ok(done) => written.push(done),
                Err(error) => {
                    for writer in writers {
                        writer.abort().await;
                    }
                    self.epoch.abort(written).await;
                    return Err(error);
                }
            }
        }
        Ok(written)
    }

    pub(crate) async fn commit(&self, written: Vec<Written>, quality: &[Judgement]) -> Result<Committed, RunError> {
        self.epoch.commit(written, quality).await
    }

    /// Gives up.
    pub(crate) async fn abort(&self) {
        for writer in self.writers().await {
            writer.abort().await;
        }
        self.epoch.abort(vec![]).await;
    }
}
