//! From the checked program to the dataflow graph: flows and steps become nodes, expressions the programs of `Transform`s. What no sink needs is left out.
//! It must not improve anything (that is `optimize`'s matter), nor know how the graph will run.
//!
//! A flow that several read is one node that several read, so it runs once for all whose inputs stand at the same position. That one reader computes the
//! whole of its input (a sink that replaces, or one behind a blocking step) and another what is new is the matter of epochs, not of the graph.

mod arrival;
mod changing;
mod lookup;
mod stateful;
mod step;
mod stream_join;
mod temporary;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use lookup::key as sides_of_equality;

use crate::check::history::committed_in;
use crate::checked::{Checked, CheckedFlow, CheckedSink, CheckedStep, Input, Observed, Rows};
use flowc_ir::graph::{
    Graph, Kind, Node, NodeId, Operator, SinkId, SourceId, TableId, WEIGHT, Watermark, malformed_schema,
};
use flowc_ir::plan::{Arrival, COMMITTED, Connector, Plan, SinkMode, SinkSpec, Updates};
use flowc_ir::verify::debug_verify;
use flowc_ir::{Origin, Output, Program, Schema};
use indexmap::IndexMap;
use std::collections::{BTreeMap, BTreeSet};
use temporary::WithTemporaries;

/// A program as a graph, not yet optimized.
#[derive(Debug, Clone, PartialEq)]
pub struct Lowered {
    plan: Plan,
}

impl Checked {
    /// The next stage: the dataflow graph.
    pub fn lower(&self) -> Lowered {
        let all: Vec<Observed> = (0..self.sinks.len()).map(Observed::Sink).collect();
        self.lower_for_test(&all)
    }

    /// The graph of nothing but what a test looks at. The plan's sinks are in the order of `observed`; a flow has one that takes its rows as they are,
    /// instead of those that the program may have for it.
    pub fn lower_for_test(&self, observed: &[Observed]) -> Lowered {
        let captures: Vec<CheckedSink> = observed.iter().map(|observed| self.capture(*observed)).collect();
        let plan = Lowering::new(self).run(&captures);
        debug_verify(&plan, "lowering");
        Lowered { plan }
    }

    /// The graph of nothing but the rows of an input as the next step would see them: those of a flow with the columns of the tables that are joined.
    pub fn lower_rows(&self, input: Input) -> Lowered {
        let mut capture = self.capture(Observed::Rows(input));
        if let Input::Flow(index) = input {
            let rows = &self.flows[index].rows.schema;
            let seen: Vec<usize> = (0..rows.len()).filter(|at| !rows.fields[*at].name.starts_with('#')).collect();
            let own = Schema::new(seen.iter().map(|at| rows.fields[*at].clone()).collect());
            capture.program = temporary::choose(rows, &seen, &own);
        }
        let plan = Lowering::new(self).run(&[capture]);
        debug_verify(&plan, "lowering");
        Lowered { plan }
    }

    fn capture(&self, observed: Observed) -> CheckedSink {
        let input = match observed {
            Observed::Sink(index) => return self.sinks[index].clone(),
            Observed::Rows(input) => input,
        };
        let (rows, name, origin) = match input {
            Input::Source(index) => {
                let source = &self.sources[index];
                (source.schema.clone(), &source.spec.name, source.spec.origin)
            }
            Input::Malformed(index) => {
                let source = &self.sources[index];
                (malformed_schema(), &source.spec.name, source.spec.origin)
            }
            Input::Table(index) => {
                let spec = &self.tables[index].spec;
                (spec.schema.clone(), &spec.name, spec.origin)
            }
            Input::Flow(index) => {
                let flow = &self.flows[index];
                (flow.rows.schema.clone(), &flow.name, flow.origin)
            }
            Input::Rejected(index) | Input::Late(index) => {
                let flow = &self.flows[index];
                (self.observed_schema(observed), &flow.name, flow.origin)
            }
        };
        let output = match input {
            Input::Malformed(_) => ".malformed",
            Input::Rejected(_) => ".rejected",
            Input::Late(_) => ".late",
            _ => "",
        };
        let own = self.observed_schema(observed);
        let kept: Vec<usize> = own.fields.iter().filter_map(|field| rows.index_of(&field.name)).collect();
        CheckedSink {
            // No sink has a name with a space that was not written in backticks.
            name: format!("the rows of {name}{output}"),
            connector: Connector::Console,
            mode: if needs_whole(self, input) { SinkMode::Overwrite } else { SinkMode::Append },
            input,
            program: temporary::choose(&rows, &kept, &own),
            tested: vec![],
            partition_by: vec![],
            generated: vec![],
            constraints: vec![],
            enforced: vec![],
            properties: IndexMap::new(),
            description: None,
            evolve: false,
            existing: None,
            since_commit: false,
            origin,
        }
    }
}

impl Lowered {
    /// The plan as it is before optimization.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The next stage: the same plan, better.
    pub fn optimize(self) -> Plan {
        crate::optimize::optimize(self.plan)
    }
}

/// Whether a sink's rows are computed whole whenever they are computed, and do not follow from what is new alone.
pub(crate) fn is_whole(checked: &Checked, sink: &CheckedSink) -> bool {
    Lowering::new(checked).is_whole(sink)
}

/// The state of lowering.
struct Lowering<'a> {
    checked: &'a Checked,
    plan: Plan,
    sources: BTreeMap<usize, SourceId>,
    tables: BTreeMap<usize, TableId>,
    /// The node that yields an input.
    nodes: BTreeMap<Input, NodeId>,
    /// For each flow that was lowered, the nodes of its steps.
    steps: BTreeMap<usize, Vec<NodeId>>,
    /// For each step that remembers rows, by its flow and its place, the node that does.
    stateful: BTreeMap<(usize, usize), NodeId>,
    /// What the plan reads.
    read: BTreeSet<Input>,
    /// What a computation of the whole reads.
    whole: BTreeSet<Input>,
    /// The sources whose watermark a step waits for.
    watermarked: BTreeSet<Input>,
    /// What is computed from what is new reads.
    incremental: BTreeSet<Input>,
    /// The sources whose rows say when they were committed.
    committed: BTreeSet<usize>,
    /// The nodes that yield the changes of tables.
    followed: BTreeMap<usize, NodeId>,
    /// The nodes that read the records of sources.
    raw: BTreeMap<usize, NodeId>,
    /// Whether what is lowered is the history of records: it begins with other nodes than their newest rows do.
    dated: bool,
    /// The nodes of what is not lowered now: of histories of records, or of all else.
    others: Others,
    /// The step that is lowered.
    at: At,
}

/// Nodes of inputs and steps.
#[derive(Default)]
struct Others {
    nodes: BTreeMap<Input, NodeId>,
    steps: BTreeMap<usize, Vec<NodeId>>,
    stateful: BTreeMap<(usize, usize), NodeId>,
}

/// How a step is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mode {
    /// Whether a computation of the whole reads it.
    whole: bool,
    /// Whether its rows change, and somebody follows their changes.
    changing: bool,
}

/// What a step that remembers rows has to know of its place.
#[derive(Debug, Clone, Default)]
struct At {
    /// Names what it remembers.
    name: String,
    /// Whether the rows that are late for it are read.
    late: bool,
    /// The node that remembers, once there is one.
    node: Option<NodeId>,
}

impl<'a> Lowering<'a> {
    fn new(checked: &'a Checked) -> Self {
        let plan = Plan {
            pipeline: checked.pipeline.clone(),
            sources: vec![],
            tables: vec![],
            sinks: vec![],
            graph: Graph::default(),
        };
        Lowering {
            checked,
            plan,
            sources: BTreeMap::new(),
            tables: BTreeMap::new(),
            nodes: BTreeMap::new(),
            steps: BTreeMap::new(),
            stateful: BTreeMap::new(),
            read: BTreeSet::new(),
            whole: BTreeSet::new(),
            watermarked: BTreeSet::new(),
            incremental: BTreeSet::new(),
            committed: BTreeSet::new(),
            followed: BTreeMap::new(),
            raw: BTreeMap::new(),
            dated: false,
            others: Others::default(),
            at: At::default(),
        }
    }

    fn run(mut self, sinks: &[CheckedSink]) -> Plan {
        let checked = self.checked;
        for sink in sinks {
            mark(checked, sink.input, &mut self.read);
            if self.is_whole(sink) {
                mark(checked, sink.input, &mut self.whole);
            } else {
                mark(checked, sink.input, &mut self.incremental);
            }
        }
        let history = sinks.iter().filter(|sink| self.needs_commits(sink) && !self.needs_dated(sink));
        let committed: BTreeSet<usize> = history.filter_map(|sink| committed_in(checked, sink.input)).collect();
        self.committed = committed;
        self.watermarked = watermarked(checked, &self.read);
        for sink in sinks {
            if self.needs_dated(sink) != self.dated {
                self.turn();
            }
            self.sink(sink);
        }
        self.plan
    }

    fn add(&mut self, node: Node) -> NodeId {
        self.plan.graph.add(node)
    }

    fn schema(&self, node: NodeId) -> &Schema {
        &self.plan.graph.node(node).schema
    }

    /// A `Transform` behind a node; kind and boundedness as before it.
    fn transform(&mut self, input: NodeId, program: Program, label: &str, origin: Origin) -> NodeId {
        let before = self.plan.graph.node(input);
        let node = Node {
            schema: program.output_schema(),
            operator: Operator::Transform(program),
            inputs: vec![input],
            kind: before.kind.clone(),
            bounded: before.bounded,
            label: label.to_string(),
            origin,
        };
        self.add(node)
    }

    /// The node that has these columns: the input itself when it lacks none of them.
    fn with_temporaries(&mut self, input: NodeId, columns: WithTemporaries, label: &str, origin: Origin) -> NodeId {
        if columns.is_identity() { input } else { self.transform(input, columns.finish(), label, origin) }
    }

    fn source_id(&mut self, index: usize) -> SourceId {
        let next = SourceId(self.plan.sources.len() as u32);
        let id = *self.sources.entry(index).or_insert(next);
        if id == next {
            self.plan.sources.push(self.checked.sources[index].spec.clone());
        }
        id
    }

    fn table_id(&mut self, index: usize) -> TableId {
        let next = TableId(self.plan.tables.len() as u32);
        let id = *self.tables.entry(index).or_insert(next);
        if id == next {
            self.plan.tables.push(self.checked.tables[index].spec.clone());
        }
        id
    }

    /// The node that yields the rows of an input.
    fn input(&mut self, input: Input) -> NodeId {
        if let Some(node) = self.nodes.get(&input) {
            return *node;
        }
        let whole = self.computed_whole(input);
        let node = match input {
            Input::Source(index) => self.source(index, whole),
            Input::Malformed(index) => self.malformed(index, whole),
            Input::Table(index) => self.scan(index),
            Input::Flow(index) => self.flow(index, self.checked.flows[index].steps.len()),
            Input::Rejected(index) => self.rejected(index),
            Input::Late(index) => self.late(index),
        };
        self.nodes.insert(input, node);
        node
    }

    /// Whether a computation of the whole reads it. Side outputs of a flow are from the same nodes as its rows.
    fn computed_whole(&self, input: Input) -> bool {
        match input {
            Input::Flow(index) | Input::Rejected(index) | Input::Late(index) => {
                [Input::Flow(index), Input::Rejected(index), Input::Late(index)].iter().any(|i| self.whole.contains(i))
            }
            other => self.whole.contains(&other),
        }
    }

    fn source(&mut self, index: usize, whole: bool) -> NodeId {
        let source = &self.checked.sources[index];
        let id = self.source_id(index);
        let followed = self.incremental.contains(&Input::Source(index));
        let spec = &mut self.plan.sources[id.0 as usize];
        if spec.updates == Updates::Follow && !followed {
            // All that its table holds is read anew.
            spec.updates = Updates::Stop;
        }
        if self.committed.contains(&index) {
            self.plan.sources[id.0 as usize].committed = Some(COMMITTED.to_string());
        }
        let kind = match (&source.changes, self.plan.sources[id.0 as usize].updates) {
            (Some(key), Updates::Follow) => Kind::Changing { key: key.clone() },
            _ => Kind::Append,
        };
        let node = match self.raw.get(&index) {
            Some(node) => *node,
            None => {
                let schema = self.follow(id);
                self.add(Node {
                    operator: Operator::Source(id),
                    inputs: vec![],
                    schema,
                    kind,
                    bounded: whole || source.bounded,
                    label: source.spec.name.clone(),
                    origin: source.spec.origin,
                })
            }
        };
        self.raw.insert(index, node);
        let node = self.upsert(node, index);
        let node = match &source.records {
            // Of a computation of the whole each row comes once.
            Some(records) if !followed => {
                let all = temporary::all(&records.schema);
                self.settled(node, &all, &source.spec.name, source.spec.origin)
            }
            _ => node,
        };
        let node = match &source.derive {
            Some(program) => self.transform_all(node, program, &source.spec.name, source.spec.origin),
            None => node,
        };
        // Nothing behind a history of records waits for a watermark.
        let marked = !self.dated && self.watermarked.contains(&Input::Source(index));
        if marked { self.watermark(node, index) } else { node }
    }

    /// Notes how far the event time of a source has come, right behind it: a filter before it would hide rows.
    fn watermark(&mut self, node: NodeId, index: usize) -> NodeId {
        let source = &self.checked.sources[index];
        let time = source.event_time.as_ref().and_then(|name| source.schema.index_of(name));
        let (Some(time), Some(delay)) = (time, source.watermark) else { return node };
        let id = self.source_id(index).0 as usize;
        self.plan.sources[id].arrival = Some(Arrival { column: arrival::column(source, time), delay });
        let before = self.plan.graph.node(node).clone();
        let name = source.spec.name.clone();
        self.add(Node {
            operator: Operator::Watermark(Watermark { source: name.clone(), time, delay, idle: source.idle }),
            inputs: vec![node],
            label: format!("{name} watermark"),
            ..before
        })
    }

    fn malformed(&mut self, index: usize, whole: bool) -> NodeId {
        let source = &self.checked.sources[index];
        let id = self.source_id(index);
        self.add(Node {
            operator: Operator::Malformed(id),
            inputs: vec![],
            schema: malformed_schema(),
            kind: Kind::Append,
            bounded: whole || source.bounded,
            label: format!("{}.malformed", source.spec.name),
            origin: source.spec.origin,
        })
    }

    fn scan(&mut self, index: usize) -> NodeId {
        let spec = &self.checked.tables[index].spec;
        let id = self.table_id(index);
        self.add(Node {
            operator: Operator::TableScan(id),
            inputs: vec![],
            schema: spec.schema.clone(),
            kind: Kind::Append,
            bounded: true,
            label: spec.name.clone(),
            origin: spec.origin,
        })
    }

    /// The node behind so many steps of a flow: those that no one has asked for yet are lowered.
    fn flow(&mut self, index: usize, count: usize) -> NodeId {
        let flow = &self.checked.flows[index];
        let whole = self.computed_whole(Input::Flow(index));
        let mut node = self.input(flow.input);
        for (place, step) in flow.steps[..count].iter().enumerate() {
            if let Some(done) = self.steps.get(&index).and_then(|steps| steps.get(place)) {
                node = *done;
                continue;
            }
            let late = flow.late.as_ref().is_some_and(|late| late.step == place);
            let late = late && self.read.contains(&Input::Late(index));
            self.at = At { name: stateful::name(flow, place), late, node: None };
            let label = format!("{} |> {}", flow.name, step.keyword);
            let changing = step.rows.kind.is_changing() && self.incremental.contains(&Input::Flow(index));
            node = step::lower(self, node, step, &label, Mode { whole, changing });
            if let Some(stateful) = self.at.node.take() {
                self.stateful.insert((index, place), stateful);
            }
            self.steps.entry(index).or_default().push(node);
        }
        node
    }

    /// The rows that were too late for a step of a flow.
    fn late(&mut self, index: usize) -> NodeId {
        let flow = &self.checked.flows[index];
        let Some(late) = &flow.late else { return self.flow(index, 0) };
        let behind = self.flow(index, late.step + 1);
        let of = self.stateful.get(&(index, late.step)).copied().unwrap_or(behind);
        let node = self.plan.graph.node(of);
        // In the columns of what the operator reads: those of the step, and the temporary ones behind them.
        let before = self.plan.graph.node(node.inputs[0]);
        let (schema, label, origin) = (before.schema.clone(), format!("{}.late", flow.name), node.origin);
        let mut columns = Program { input: schema.clone(), ..late.program.clone() };
        let weighs = schema.index_of(WEIGHT);
        let weight =
            weighs.map(|i| Output { field: schema.fields[i].clone(), value: temporary::column(i, &schema.fields[i]) });
        columns.outputs.extend(weight);
        let (bounded, kind) = (node.bounded, before.kind.clone());
        let inputs = vec![of];
        let operator = Operator::Late;
        let node = self.add(Node { operator, inputs, schema, kind, bounded, label: label.clone(), origin });
        self.transform(node, columns, &label, origin)
    }

    /// The rejected rows of a flow: those of each of its expectations, in their order.
    fn rejected(&mut self, index: usize) -> NodeId {
        let flow = &self.checked.flows[index];
        self.flow(index, steps_before(flow, Input::Rejected(index)).len());
        let label = format!("{}.rejected", flow.name);
        let mut parts = vec![];
        for rejects in &flow.rejected {
            let judged = self.steps[&index][rejects.step];
            parts.push(self.transform_all(judged, &rejects.program, &label, flow.origin));
        }
        if let [only] = parts.as_slice() {
            return *only;
        }
        let nodes = parts.iter().map(|part| self.plan.graph.node(*part));
        let bounded = nodes.clone().all(|node| node.bounded);
        let node = Node {
            operator: Operator::Union,
            schema: self.schema(parts[0]).clone(),
            inputs: parts.clone(),
            kind: self.plan.graph.node(parts[0]).kind.clone(),
            bounded,
            label,
            origin: flow.origin,
        };
        self.add(node)
    }

    fn sink(&mut self, sink: &CheckedSink) {
        let whole = self.is_whole(sink);
        let rows = self.input(sink.input);
        let history = self.needs_commits(sink);
        let fed = match whole {
            true => self.settled(rows, &sink.program, &sink.name, sink.origin),
            false => {
                let kept = |name: &str| name == WEIGHT || history;
                let program = changing::through(&sink.program, self.schema(rows), kept);
                let program = if history { self.since_commit(sink, program) } else { program };
                self.transform(rows, program, &sink.name, sink.origin)
            }
        };
        let id = SinkId(self.plan.sinks.len() as u32);
        let before = self.plan.graph.node(fed);
        let node = Node {
            operator: Operator::Sink(id),
            inputs: vec![fed],
            schema: before.schema.clone(),
            kind: before.kind.clone(),
            bounded: before.bounded,
            label: sink.name.clone(),
            origin: sink.origin,
        };
        self.plan.sinks.push(SinkSpec {
            name: sink.name.clone(),
            connector: sink.connector.clone(),
            mode: sink.mode.clone(),
            whole,
            schema: self.written(sink),
            changing: node.kind.is_changing(),
            partition_by: sink.partition_by.clone(),
            generated: sink.generated.clone(),
            constraints: sink.constraints.clone(),
            enforced: sink.enforced.clone(),
            properties: sink.properties.clone(),
            description: sink.description.clone(),
            evolve: sink.evolve,
            input: fed,
            origin: sink.origin,
        });
        self.add(node);
    }

    fn is_whole(&self, sink: &CheckedSink) -> bool {
        matches!(sink.mode, SinkMode::Overwrite | SinkMode::OverwritePartition) || needs_whole(self.checked, sink.input)
    }
}

/// Whether the rows do not follow from what is new alone: a blocking step looks at all of its input.
fn needs_whole(checked: &Checked, input: Input) -> bool {
    match input {
        Input::Source(_) | Input::Malformed(_) | Input::Table(_) => false,
        Input::Flow(index) | Input::Rejected(index) | Input::Late(index) => {
            let flow = &checked.flows[index];
            let step_needs = |step: &CheckedStep| {
                step.is_whole() || step.operation.streams().iter().any(|other| needs_whole(checked, *other))
            };
            let before = steps_before(flow, input);
            needs_whole(checked, flow.input) || before.iter().any(step_needs)
        }
    }
}

/// The steps that the rows of a flow, or the rejected or late ones among them, go through.
fn steps_before(flow: &CheckedFlow, input: Input) -> &[CheckedStep] {
    match (input, flow.rejected.last(), &flow.late) {
        (Input::Rejected(_), Some(last), _) => &flow.steps[..=last.step],
        (Input::Late(_), _, Some(late)) => &flow.steps[..=late.step],
        _ => &flow.steps,
    }
}

/// The sources whose watermark a step of what is read waits for.
fn watermarked(checked: &Checked, read: &BTreeSet<Input>) -> BTreeSet<Input> {
    let mut found = BTreeSet::new();
    for input in read {
        let (Input::Flow(index) | Input::Rejected(index) | Input::Late(index)) = *input else { continue };
        let flow = &checked.flows[index];
        let steps = steps_before(flow, *input);
        let Some(last) = steps.iter().rposition(|step| step.waits_for_watermark()) else { continue };
        let streams = steps[..=last].iter().flat_map(|step| step.operation.streams());
        for from in streams.chain([flow.input]) {
            found.extend(checked.sources_of(from).into_iter().filter(|input| matches!(input, Input::Source(_))));
        }
    }
    found
}

/// Adds an input and all that it reads.
fn mark(checked: &Checked, input: Input, marked: &mut BTreeSet<Input>) {
    if !marked.insert(input) {
        return;
    }
    if let Input::Flow(index) | Input::Rejected(index) | Input::Late(index) = input {
        let flow = &checked.flows[index];
        mark(checked, flow.input, marked);
        let streams = steps_before(flow, input).iter().flat_map(|step| step.operation.streams());
        streams.for_each(|other| mark(checked, other, marked));
    }
}

/// A node for a step with these rows behind it.
fn node(
    operator: Operator,
    inputs: Vec<NodeId>,
    schema: Schema,
    rows: &Rows,
    mode: Mode,
    label: &str,
    origin: Origin,
) -> Node {
    Node {
        operator,
        inputs,
        schema,
        kind: if mode.changing { rows.kind.clone() } else { Kind::Append },
        bounded: mode.whole || rows.bounded,
        label: label.to_string(),
        origin,
    }
}
