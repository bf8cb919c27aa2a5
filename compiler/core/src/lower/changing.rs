//! Streams whose rows change: the columns that no step of a program knows of, such as the weight, go with them from node to node, always behind the others; and what such
//! a stream is joined to changes, too. Knows nothing of how results are kept right.

use super::temporary::{choose, column, pass};
use super::{Lowering, Mode, Others};
use crate::check::history::{VALID_FROM, committed_in, valid_from};
use crate::checked::CheckedSink;
use crate::optimize::analysis::map_columns;
use flowc_ir::functions::find;
use flowc_ir::graph::{Kind, Node, NodeId, Operator, SourceId, Upsert, WEIGHT, weight};
use flowc_ir::plan::{COMMITTED, Connector, SinkMode, SourceSpec, Updates};
use flowc_ir::{DataType, Expr, ExprKind, Field, Origin, Output, Program, ProgramStep, Schema, Type, Value};

/// The columns at the end of a schema that no step of a program knows of.
pub(super) fn carried(schema: &Schema) -> &[Field] {
    let known = |field: &Field| field.name != WEIGHT && field.name != COMMITTED;
    let behind = schema.fields.iter().rposition(known).map_or(0, |last| last + 1);
    &schema.fields[behind..]
}

/// The columns of a step's rows with those that are carried behind them.
pub(super) fn with_carried(columns: &Schema, before: &Schema) -> Schema {
    Schema::new(columns.fields.iter().chain(carried(before)).cloned().collect())
}

/// A program over rows with carried columns: those that are `kept` go through it. Rows that are taken away were asserted when they were added.
pub(super) fn through(program: &Program, before: &Schema, kept: impl Fn(&str) -> bool) -> Program {
    let behind = carried(before);
    if behind.is_empty() {
        return program.clone();
    }
    let width = program.input.len();
    let shifted = |e: &Expr| map_columns(e, |c| if c < width { c } else { c + behind.len() });
    let weighs = behind.iter().position(|field| field.name == WEIGHT).map(|place| width + place);
    let steps = program.steps.iter().map(|step| match step {
        ProgramStep::Let(e) => ProgramStep::Let(shifted(e)),
        ProgramStep::Filter(e) => ProgramStep::Filter(shifted(e)),
        ProgramStep::Assert { condition, what } => {
            let condition = shifted(condition);
            let condition = match weighs {
                Some(place) => unless_taken_away(condition, place),
                None => condition,
            };
            ProgramStep::Assert { condition, what: what.clone() }
        }
    });
    let steps = steps.collect();
    let outputs = program.outputs.iter().map(|o| Output { field: o.field.clone(), value: shifted(&o.value) });
    let through = behind.iter().enumerate().filter(|(_, field)| kept(&field.name));
    let through = through.map(|(i, field)| Output { field: field.clone(), value: column(width + i, field) });
    let outputs = outputs.chain(through).collect();
    Program { input: with_carried(&program.input, before), steps, outputs }
}

fn unless_taken_away(condition: Expr, place: usize) -> Expr {
    let Some(taken) = taken_away(place, condition.origin) else { return condition };
    let (ty, origin) = (condition.ty.clone(), condition.origin);
    Expr::new(ExprKind::Or(vec![taken, condition]), ty, origin)
}

/// Whether the weight at this place takes its row away.
fn taken_away(place: usize, origin: Origin) -> Option<Expr> {
    let zero = Expr::new(ExprKind::Literal(Value::Long(0)), Type::new(DataType::Long), origin);
    let args = vec![column(place, &weight()), zero];
    Some(Expr::new(ExprKind::Call { function: find("less")?, args }, Type::boolean(), origin))
}

/// When a row began that is taken away from a history of records: long ago. It has to differ from the beginning of the row that is added: each record is a version, also
/// one that says the same as the one before it, and what is equal would add up to nothing.
const LONG_AGO: Value = Value::Timestamp(-62_135_596_800_000_000);

fn unless_taken_away_long_ago(since: Expr, place: usize) -> Expr {
    let (ty, origin) = (since.ty.clone(), since.origin);
    let Some(taken) = taken_away(place, origin) else { return since };
    let long_ago = Expr::new(ExprKind::Literal(LONG_AGO), Type::new(DataType::Timestamp), origin);
    let (condition, then, otherwise) = (Box::new(taken), Box::new(long_ago), Box::new(since));
    Expr::new(ExprKind::If { condition, then, otherwise }, ty, origin)
}

impl Lowering<'_> {
    /// Whether the rows of a node change.
    pub(super) fn changes(&self, node: NodeId) -> bool {
        self.plan.graph.node(node).kind.is_changing()
    }

    /// A `Transform` by a program that knows nothing of what is carried; all of that goes through it.
    pub(super) fn transform_all(
        &mut self,
        input: NodeId,
        program: &Program,
        label: &str,
        origin: flowc_ir::Origin,
    ) -> NodeId {
        let program = through(program, self.schema(input), |_| true);
        self.transform(input, program, label, origin)
    }

    /// The node with a weight: of rows that are only added it is one.
    pub(super) fn with_weight(&mut self, input: NodeId, label: &str) -> NodeId {
        let before = self.plan.graph.node(input).clone();
        if before.kind.is_changing() {
            return input;
        }
        let mut program = Program { input: before.schema.clone(), ..Program::default() };
        program.outputs = pass(&before.schema, before.schema.len());
        let one = Expr::new(ExprKind::Literal(Value::Long(1)), Type::new(DataType::Long), before.origin);
        program.outputs.push(Output { field: weight(), value: one });
        let schema = program.output_schema();
        let (operator, kind) = (Operator::Transform(program), Kind::Changing { key: vec![] });
        self.add(Node { operator, inputs: vec![input], schema, kind, label: label.to_string(), ..before })
    }

    /// The node without the carried columns but its weight.
    pub(super) fn without_times(&mut self, input: NodeId, label: &str) -> NodeId {
        let schema = self.schema(input).clone();
        if schema.field(COMMITTED).is_none() {
            return input;
        }
        let kept: Vec<usize> = (0..schema.len()).filter(|i| schema.fields[*i].name != COMMITTED).collect();
        let to = Schema::new(kept.iter().map(|i| schema.fields[*i].clone()).collect());
        let origin = self.plan.graph.node(input).origin;
        self.transform(input, choose(&schema, &kept, &to), label, origin)
    }

    /// The node without a weight: of a computation of the whole, where every row is added once.
    pub(super) fn settled(
        &mut self,
        input: NodeId,
        program: &Program,
        label: &str,
        origin: flowc_ir::Origin,
    ) -> NodeId {
        let program = through(program, self.schema(input), |_| false);
        let node = self.transform(input, program, label, origin);
        self.plan.graph.nodes[node.0 as usize].kind = Kind::Append;
        node
    }

    /// Whether a sink that keeps history has to know when each change was committed.
    pub(super) fn needs_commits(&self, sink: &CheckedSink) -> bool {
        let history = matches!(sink.mode, SinkMode::Scd2 { .. });
        history && (sink.since_commit || self.checked.kind_of(sink.input).is_changing())
    }

    /// The columns that a sink writes.
    pub(super) fn written(&self, sink: &CheckedSink) -> Schema {
        let mut schema = sink.program.output_schema();
        schema.fields.extend(sink.since_commit.then(valid_from));
        schema
    }

    /// What goes into a sink that keeps history: where rows are valid since they were committed, with that time; the time of the commit alone only where rows are
    /// taken away.
    pub(super) fn since_commit(&self, sink: &CheckedSink, mut program: Program) -> Program {
        let Some(place) = program.input.index_of(COMMITTED) else { return program };
        let committed = column(place, &program.input.fields[place]);
        let own = sink.program.outputs.len();
        if sink.since_commit {
            program.outputs.insert(own, Output { field: valid_from(), value: committed });
        }
        let Some(weight) = program.input.index_of(WEIGHT) else {
            program.outputs.retain(|output| output.field.name != COMMITTED);
            return program;
        };
        if self.dated {
            let began = program.outputs.iter_mut().filter(|output| output.field.name == VALID_FROM);
            began.for_each(|output| output.value = unless_taken_away_long_ago(output.value.clone(), weight));
        }
        program
    }

    /// Whether what a sink needs is the history of records.
    pub(super) fn needs_dated(&self, sink: &CheckedSink) -> bool {
        let source = committed_in(self.checked, sink.input).filter(|_| self.needs_commits(sink));
        source.is_some_and(|index| self.checked.sources[index].records.is_some())
    }

    /// Goes over to the nodes of histories of records, or back: these have their own from the records on.
    pub(super) fn turn(&mut self) {
        self.dated = !self.dated;
        let Others { nodes, steps, stateful } = &mut self.others;
        std::mem::swap(&mut self.nodes, nodes);
        std::mem::swap(&mut self.steps, steps);
        std::mem::swap(&mut self.stateful, stateful);
    }

    /// How a source is read: with its changes, where somebody follows them.
    pub(super) fn follow(&mut self, id: SourceId) -> Schema {
        let spec = &mut self.plan.sources[id.0 as usize];
        let committed = spec.committed.clone().filter(|name| spec.schema.field(name).is_none());
        spec.schema.fields.extend(committed.map(|name| Field::new(name, Type::new(DataType::Timestamp))));
        if spec.updates == Updates::Follow && spec.schema.field(WEIGHT).is_none() {
            spec.schema.fields.push(weight());
        }
        spec.schema.clone()
    }

    /// The rows that the records of a source are about, as they are now, or as they have been.
    pub(super) fn upsert(&mut self, records: NodeId, index: usize) -> NodeId {
        let source = &self.checked.sources[index];
        let Some(made) = &source.records else { return records };
        let (name, origin) = (source.spec.name.clone(), source.spec.origin);
        let read = self.transform(records, made.program.clone(), &name, origin);
        let before = self.plan.graph.node(read).clone();
        let history = made.time().filter(|_| self.dated);
        let label = format!("{name} |> {}", if history.is_some() { "history" } else { "upsert" });
        let upsert = Upsert {
            name: label.clone(),
            source: name,
            width: made.width,
            keys: made.keys.clone(),
            operation: made.operation,
            sequence: made.sequence.clone(),
            history,
        };
        let mut schema = made.schema.clone();
        schema.fields.extend(history.map(|_| Field::new(COMMITTED, Type::new(DataType::Timestamp))));
        schema.fields.push(weight());
        let kind = Kind::Changing { key: source.changes.clone().unwrap_or_default() };
        let operator = Operator::Upsert(upsert);
        self.add(Node { operator, inputs: vec![read], schema, kind, label, ..before })
    }

    /// Whether a table that is joined to rows that change is followed: what they match must be what is there, also when the table changes. A version does not
    /// change, and files do not say what has changed of them.
    pub(super) fn is_followed(&self, table: usize, mode: Mode) -> bool {
        let spec = &self.checked.tables[table].spec;
        mode.changing && spec.version.is_none() && matches!(spec.connector, Connector::Delta { .. })
    }

    /// The rows of a table as they change.
    pub(super) fn followed(&mut self, table: usize) -> NodeId {
        if let Some(node) = self.followed.get(&table) {
            return *node;
        }
        let spec = self.checked.tables[table].spec.clone();
        let id = SourceId(self.plan.sources.len() as u32);
        self.plan.sources.push(SourceSpec {
            name: spec.name.clone(),
            connector: spec.connector,
            schema: spec.schema,
            predicate: None,
            quarantine: None,
            updates: Updates::Follow,
            committed: None,
            start: None,
            arrival: None,
            promises: vec![],
            origin: spec.origin,
        });
        let schema = self.follow(id);
        let node = self.add(Node {
            operator: Operator::Source(id),
            inputs: vec![],
            schema,
            kind: Kind::Changing { key: vec![] },
            bounded: false,
            label: spec.name,
            origin: spec.origin,
        });
        self.followed.insert(table, node);
        node
    }
}
