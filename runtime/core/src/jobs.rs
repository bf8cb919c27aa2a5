//! What the next epoch reads and writes. Each sink has positions of its own in the sources that it depends on, so that a sink may be added at any time;
//! sinks that stand at equal positions are written by one pass. Knows nothing of how an epoch runs.

use crate::connector::{EpochLimits, LookupTable, Position, Sink, Source, SourceRange};
use crate::error::RunError;
use crate::flow::operator_name;
use crate::marks::Marks;
use crate::pins;
use crate::state::{Checkpoint, EpochRecord, FORMAT, OperatorState, SinkState};
use flowc_ir::graph::{Node, NodeId, Operator};
use flowc_ir::plan::{Connector, Plan};
use indexmap::IndexMap;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The opened sources, tables and sinks of a plan, by their ids.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) sources: Vec<Arc<dyn Source>>,
    pub(crate) tables: Vec<Arc<dyn LookupTable>>,
    pub(crate) sinks: Vec<Arc<dyn Sink>>,
    /// A source that begins elsewhere than its declaration says, for sinks that go on from what they have read: by its id.
    pub(crate) since: Option<(usize, Arc<dyn Source>)>,
}

/// What a sink depends on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Inputs {
    /// Its nodes, itself included.
    pub(crate) nodes: BTreeSet<usize>,
    /// Sources.
    pub(crate) sources: BTreeSet<usize>,
    /// Tables whose rows are read as a stream.
    pub(crate) scans: BTreeSet<usize>,
    /// Tables that are looked up in.
    pub(crate) lookups: BTreeSet<usize>,
}

/// What each sink of the plan depends on.
pub(crate) fn inputs(plan: &Plan) -> Vec<Inputs> {
    let sink_node = |sink: usize| {
        let mut nodes = plan.graph.iter();
        nodes.find(|(_, n)| matches!(n.operator, Operator::Sink(id) if id.0 as usize == sink)).map(|(id, _)| id)
    };
    let reach = |sink: usize| {
        let mut found = Inputs::default();
        let mut open: Vec<NodeId> = sink_node(sink).into_iter().collect();
        while let Some(id) = open.pop() {
            if !found.nodes.insert(id.0 as usize) {
                continue;
            }
            let node = plan.graph.node(id);
            match &node.operator {
                Operator::Source(source) | Operator::Malformed(source) => {
                    found.sources.insert(source.0 as usize);
                }
                Operator::TableScan(table) => drop(found.scans.insert(table.0 as usize)),
                Operator::Lookup(lookup) => drop(found.lookups.insert(lookup.table.0 as usize)),
                _ => {}
            }
            open.extend(&node.inputs);
        }
        found
    };
    (0..plan.sinks.len()).map(reach).collect()
}

/// What identifies the place that a source reads.
pub(crate) fn location(connector: &Connector) -> serde_json::Value {
    let kind = serde_json::to_value(connector).ok().and_then(|v| v.get("connector").cloned());
    serde_json::json!({ "connector": kind, "location": flowc_ir::catalog::location(connector) })
}

/// Sinks that one pass can write.
#[derive(Debug, Default)]
pub(crate) struct Group {
    sinks: Vec<usize>,
    whole: bool,
    sources: BTreeMap<usize, Option<Position>>,
    scans: BTreeMap<usize, Option<Position>>,
}

impl Group {
    /// Where this sink stands.
    pub(crate) fn of(plan: &Plan, sink: usize, inputs: &Inputs, state: &SinkState) -> Group {
        let whole = plan.sinks[sink].whole;
        let at = |known: &IndexMap<String, Position>, name: &str| known.get(name).filter(|_| !whole).cloned();
        let sources = inputs.sources.iter().map(|&i| (i, at(&state.sources, &plan.sources[i].name)));
        let scans = inputs.scans.iter().map(|&i| (i, at(&state.tables, &plan.tables[i].name)));
        Group { sinks: vec![sink], whole, sources: sources.collect(), scans: scans.collect() }
    }

    /// `apart`: whether what is computed whole and what follows from what is new cannot share an epoch.
    fn admits(&self, other: &Group, apart: bool) -> bool {
        let agree = |a: &BTreeMap<usize, Option<Position>>, b: &BTreeMap<usize, Option<Position>>| {
            a.iter().all(|(key, at)| b.get(key).is_none_or(|other| at == other))
        };
        // A whole computation takes everything at once; only without limits does another one, too. Its windows close at its end.
        (self.whole == other.whole || !apart)
            && agree(&self.sources, &other.sources)
            && agree(&self.scans, &other.scans)
    }

    fn admit(&mut self, other: Group) {
        self.sinks.extend(other.sinks);
        self.whole |= other.whole;
        self.sources.extend(other.sources);
        self.scans.extend(other.scans);
    }
}

/// Plans epochs.
#[derive(Debug)]
pub(crate) struct Planner<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) world: &'a World,
    pub(crate) inputs: &'a [Inputs],
    pub(crate) limits: EpochLimits,
    /// Whole computations that this run has looked at: they are not repeated, however often their inputs change meanwhile.
    pub(crate) settled: BTreeSet<usize>,
}

impl Planner<'_> {
    /// The next epoch; none if nothing is new.
    pub(crate) async fn next(&mut self, state: &Checkpoint, now: i64) -> Result<Option<EpochRecord>, RunError> {
        let blank = SinkState::default();
        let known = |sink: usize| state.sinks.get(&self.plan.sinks[sink].name).unwrap_or(&blank);
        for group in self.groups(state, |sink| !self.settled.contains(&sink)) {
            let (ranges, pins) = self.look(&group).await?;
            let sinks = group.sinks.iter().copied();
            let sinks: Vec<usize> = sinks.filter(|&sink| self.has_work(sink, known(sink), &ranges, &pins)).collect();
            self.settled.extend(group.sinks.iter().filter(|s| self.plan.sinks[**s].whole));
            for sink in &sinks {
                pins::refuse_moved(self.plan, &self.plan.sinks[*sink], &self.inputs[*sink], known(*sink), &pins)?;
            }
            if !sinks.is_empty() {
                return Ok(Some(self.record(&group, &sinks, state, (ranges, pins), now)));
            }
        }
        Ok(None)
    }

    /// The sinks that one pass can write, together.
    fn groups(&self, state: &Checkpoint, wanted: impl Fn(usize) -> bool) -> Vec<Group> {
        let blank = SinkState::default();
        let apart = self.limits != EpochLimits::NONE || knows_time(self.plan) || self.world.since.is_some();
        let mut groups: Vec<Group> = vec![];
        for sink in (0..self.plan.sinks.len()).filter(|sink| wanted(*sink)) {
            let known = state.sinks.get(&self.plan.sinks[sink].name).unwrap_or(&blank);
            let group = Group::of(self.plan, sink, &self.inputs[sink], known);
            match groups.iter_mut().find(|g| g.admits(&group, apart)) {
                Some(found) => found.admit(group),
                None => groups.push(group),
            }
        }
        groups
    }

    /// An epoch without rows that lets event time go on, for the sinks to which that makes a difference: all sources have reached `to`, and these are idle.
    pub(crate) async fn tick(
        &self,
        state: &Checkpoint,
        (to, idle): (Option<i64>, &[String]),
        now: i64,
    ) -> Result<Option<EpochRecord>, RunError> {
        let waits = |sink: usize| {
            let (spec, blank) = (&self.plan.sinks[sink], SinkState::default());
            !spec.whole && self.waits(sink, state.sinks.get(&spec.name).unwrap_or(&blank), to, idle)
        };
        let Some(group) = self.groups(state, waits).into_iter().next() else { return Ok(None) };
        let mut pins = BTreeMap::new();
        for table in self.tables(&group) {
            let pin = self.world.tables[table].pin().await;
            pins.insert(table, pin.map_err(|e| located(e, self.plan.tables[table].origin))?);
        }
        let (sinks, blank) = (group.sinks.clone(), SinkState::default());
        for sink in &sinks {
            let spec = &self.plan.sinks[*sink];
            let known = state.sinks.get(&spec.name).unwrap_or(&blank);
            pins::refuse_moved(self.plan, spec, &self.inputs[*sink], known, &pins)?;
        }
        let record = self.record(&group, &sinks, state, (BTreeMap::new(), pins), now);
        Ok(Some(EpochRecord { watermark: to, idle: idle.to_vec(), scans: vec![], ..record }))
    }

    /// The tables that the sinks of a group read.
    fn tables(&self, group: &Group) -> BTreeSet<usize> {
        let used = group.sinks.iter().flat_map(|s| self.inputs[*s].scans.iter().chain(&self.inputs[*s].lookups));
        used.copied().collect()
    }

    /// Whether it makes a difference to a sink when event time goes on.
    fn waits(&self, sink: usize, known: &SinkState, to: Option<i64>, idle: &[String]) -> bool {
        let nodes = self.inputs[sink].nodes.iter().map(|node| (*node, &self.plan.graph.nodes[*node].operator));
        let named = nodes.filter_map(|(node, operator)| Some((node, operator, operator_name(operator)?)));
        let mut states = named.map(|(node, operator, name)| (node, operator, known.operators.get(&name)));
        let open = |node: usize, state: &OperatorState| match &self.plan.graph.nodes[node] {
            Node { operator: Operator::Unique(_) | Operator::Watermark(_) | Operator::Upsert(_), .. } => false,
            // Without event time nothing waits for it.
            Node { operator: Operator::Join(join), .. } if join.within.is_none() => false,
            // Results that have come out are kept to be corrected; windows that wait for their end come out.
            node if node.kind.is_changing() => state.remembered.first_end.is_some(),
            // Keys that it has seen come out no more; rows that wait for their turn do.
            Node { operator: Operator::Dedup(_), .. } => state.remembered.first_end.is_some(),
            _ => state.remembered.entries > 0,
        };
        match to {
            Some(i64::MAX) => states.any(|(node, _, state)| state.is_some_and(|state| open(node, state))),
            Some(to) => states.any(|(_, operator, state)| {
                matches!(operator, Operator::Watermark(_)) && state.is_none_or(|state| state.watermark < Some(to))
            }),
            // A source that is let go no longer holds back those that are further on: once.
            None => {
                let marks = Marks::without_rows(&self.plan.graph, idle, &known.operators);
                states.any(|(node, _, state)| {
                    state.is_some_and(|state| open(node, state) && state.watermark < marks.reached(node))
                })
            }
        }
    }

    /// An epoch of all sinks, with all that the sources hold now, whatever was read before; none if they hold nothing.
    pub(crate) async fn all(&self, state: &Checkpoint, now: i64) -> Result<Option<EpochRecord>, RunError> {
        let blank = SinkState::default();
        let mut group = Group::default();
        for sink in 0..self.plan.sinks.len() {
            group.admit(Group::of(self.plan, sink, &self.inputs[sink], &blank));
        }
        let (ranges, pins) = self.look(&group).await?;
        let sinks: Vec<usize> = (0..self.plan.sinks.len()).collect();
        Ok((!ranges.is_empty()).then(|| self.record(&group, &sinks, state, (ranges, pins), now)))
    }

    /// What is new for a group, and the versions of its tables.
    async fn look(&self, group: &Group) -> Result<(BTreeMap<usize, SourceRange>, BTreeMap<usize, Position>), RunError> {
        let limits = if group.whole { EpochLimits::NONE } else { self.limits };
        let mut ranges = BTreeMap::new();
        for (&source, from) in &group.sources {
            let reader = match &self.world.since {
                // What is computed whole reads all rows.
                Some((of, reader)) if *of == source && from.is_none() && !group.whole => reader,
                _ => &self.world.sources[source],
            };
            let range = reader.next_range(from.as_ref(), limits).await;
            let range = range.map_err(|e| located(e, self.plan.sources[source].origin))?;
            ranges.extend(range.map(|r| (source, r)));
        }
        let mut pins = BTreeMap::new();
        for table in self.tables(group) {
            let pin = self.world.tables[table].pin().await;
            pins.insert(table, pin.map_err(|e| located(e, self.plan.tables[table].origin))?);
        }
        Ok((ranges, pins))
    }

    fn has_work(
        &self,
        sink: usize,
        state: &SinkState,
        ranges: &BTreeMap<usize, SourceRange>,
        pins: &BTreeMap<usize, Position>,
    ) -> bool {
        let inputs = &self.inputs[sink];
        let moved = |table: &usize| state.tables.get(&self.plan.tables[*table].name) != pins.get(table);
        if state.replace || inputs.scans.iter().any(moved) {
            return true;
        }
        if !self.plan.sinks[sink].whole {
            return inputs.sources.iter().any(|source| ranges.contains_key(source));
        }
        let differs = |source: &usize| {
            state.sources.get(&self.plan.sources[*source].name) != ranges.get(source).map(|range| &range.to)
        };
        state.epoch.is_none() || inputs.lookups.iter().any(moved) || inputs.sources.iter().any(differs)
    }

    /// Whether something before a sink remembers something.
    fn remembers(&self, sink: usize) -> bool {
        let mut operators = self.inputs[sink].nodes.iter().map(|node| &self.plan.graph.nodes[*node].operator);
        operators.any(|operator| operator_name(operator).is_some())
    }

    /// The epoch of these sinks.
    pub(crate) fn record(
        &self,
        group: &Group,
        sinks: &[usize],
        state: &Checkpoint,
        (ranges, pins): (BTreeMap<usize, SourceRange>, BTreeMap<usize, Position>),
        now: i64,
    ) -> EpochRecord {
        let plan = self.plan;
        let used =
            |pick: fn(&Inputs) -> &BTreeSet<usize>, i: &usize| sinks.iter().any(|s| pick(&self.inputs[*s]).contains(i));
        let name = |sink: &usize| plan.sinks[*sink].name.clone();
        let replaced = |name: &String| state.sinks.get(name).is_some_and(|s| s.replace);
        let sources = ranges.into_iter().filter(|(i, _)| used(|n| &n.sources, i));
        let tables = pins.iter().filter(|(i, _)| used(|n| &n.scans, i) || used(|n| &n.lookups, i));
        let scanned = group.scans.iter().filter(|(i, at)| used(|n| &n.scans, i) && at.as_ref() != pins.get(i));
        EpochRecord {
            format: FORMAT,
            epoch: state.done + 1,
            started: now,
            sinks: sinks.iter().map(name).collect(),
            replace: sinks.iter().map(name).filter(replaced).collect(),
            sources: sources.map(|(i, range)| (plan.sources[i].name.clone(), range)).collect(),
            tables: tables.map(|(i, pin)| (plan.tables[*i].name.clone(), pin.clone())).collect(),
            scans: scanned.map(|(i, _)| plan.tables[*i].name.clone()).collect(),
            read: vec![],
            quality: vec![],
            watermark: None,
            idle: vec![],
            late: IndexMap::new(),
            operators: IndexMap::new(),
            partition: None,
            pending: sinks.iter().any(|sink| self.remembers(*sink)),
            program: None,
            report: None,
            work: vec![],
        }
    }
}

/// Whether something in the plan waits for event time.
pub(crate) fn knows_time(plan: &Plan) -> bool {
    let waits = |operator: &Operator| {
        use Operator::{Dedup, Join, Top, WindowAggregate};
        matches!(operator, WindowAggregate(_) | Dedup(_) | Top(_) | Join(_))
    };
    plan.graph.nodes.iter().any(|node| waits(&node.operator))
}

/// Says where in the program, unless that is known already.
pub(crate) fn located(error: RunError, origin: flowc_ir::Origin) -> RunError {
    if error.origin.is_some() { error } else { error.at(origin) }
}

/// The checkpoint after an epoch.
pub(crate) fn advance(state: &mut Checkpoint, plan: &Plan, inputs: &[Inputs], record: &EpochRecord) {
    state.done = record.epoch;
    for (spec, inputs) in plan.sinks.iter().zip(inputs).filter(|(spec, _)| record.sinks.contains(&spec.name)) {
        let sink = state.sinks.entry(spec.name.clone()).or_default();
        sink.epoch = Some(record.epoch);
        if record.partition.is_some() {
            // It has read nothing that was not read before.
            continue;
        }
        sink.replace = false;
        if spec.whole {
            sink.sources.clear();
        }
        sink.operators.clear();
        let names = inputs.nodes.iter().filter_map(|i| operator_name(&plan.graph.nodes[*i].operator));
        // A computation of the whole begins with an empty memory each time.
        for name in names.filter(|_| !spec.whole) {
            if let Some(stored) = record.operators.get(&name) {
                sink.operators.insert(name, stored.clone());
            }
        }
        for source in inputs.sources.iter().map(|i| &plan.sources[*i]) {
            if let Some(range) = record.sources.get(&source.name) {
                sink.sources.insert(source.name.clone(), range.to.clone());
                state.locations.insert(source.name.clone(), location(&source.connector));
            }
        }
        for table in inputs.scans.iter().chain(&inputs.lookups).map(|i| &plan.tables[*i]) {
            if let Some(pin) = record.tables.get(&table.name) {
                sink.tables.insert(table.name.clone(), pin.clone());
            }
        }
    }
}

/// Refuses positions that belong to another place than the program now reads.
pub(crate) fn check_locations(state: &Checkpoint, plan: &Plan) -> Result<(), RunError> {
    for source in &plan.sources {
        let used = state.sinks.values().any(|sink| sink.sources.contains_key(&source.name));
        match state.locations.get(&source.name) {
            Some(known) if used && *known != location(&source.connector) => {
                let place = |v: &serde_json::Value| v["location"].as_str().unwrap_or("elsewhere").to_string();
                let text = format!(
                    "source `{}` reads `{}`, but its position in the state is one of `{}`",
                    source.name,
                    place(&location(&source.connector)),
                    place(known)
                );
                let error = RunError::data("R0406", text).at(source.origin);
                return Err(error.help("give the source another name to read it from its beginning, or --full-refresh"));
            }
            _ => {}
        }
    }
    Ok(())
}
