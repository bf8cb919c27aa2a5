//! A program whose names are resolved and whose types are settled: what the checker makes and lowering reads. Still in the user's terms (flows and steps);
//! knows nothing of the graph or of how it will run.

mod changes;

pub use crate::prove::Reason;
pub use changes::Records;

use flowc_ir::aggregates::AggregateFunction;
use flowc_ir::catalog::TableInfo;
use flowc_ir::graph::{Expect, JoinKind, Kind, LookupKind, Window};
use flowc_ir::plan::{Connector, SinkMode, SourceSpec, TableSpec};
use flowc_ir::{Expr, ExprKind, Field, Origin, Program, ProgramStep, Schema};
use indexmap::IndexMap;

/// A whole program, without errors. Vectors are in the order of declaration (of files, then of text); indices refer to them.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// The pipeline's name: the program's file stem.
    pub pipeline: String,
    /// The program's `##` description.
    pub description: Option<String>,
    /// The sources.
    pub sources: Vec<CheckedSource>,
    /// The tables.
    pub tables: Vec<CheckedTable>,
    /// The flows, each after those that it reads.
    pub flows: Vec<CheckedFlow>,
    /// The sinks.
    pub sinks: Vec<CheckedSink>,
    /// What has to hold, and what became of it: in the order of the sinks.
    pub obligations: Vec<Obligation>,
    /// The tests that are without mistakes, in the order of the text.
    pub tests: Vec<CheckedTest>,
    /// The program before anything was proved, if it has tests: they may give rows that no table holds.
    pub unproved: Option<Box<Checked>>,
}

/// Something that has to hold of every row, and that not the types alone decide.
#[derive(Debug, Clone, PartialEq)]
pub struct Obligation {
    /// Its name: the constraint's, or the column's.
    pub name: String,
    /// Whose it is.
    pub owner: Owner,
    /// What it is.
    pub kind: ObligationKind,
    /// What has to be true, as it would be written at the end of the flow.
    pub condition: String,
    /// Where it stands, or the sink whose table has it.
    pub origin: Origin,
    /// What became of it.
    pub decision: Decision,
}

/// Where an obligation comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// A rule of this flow.
    Flow(String),
    /// A sink of this name, or its table.
    Sink(String),
}

/// The kinds of obligations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObligationKind {
    /// A rule of an `expect`.
    Rule,
    /// A constraint that the sink declares.
    Constraint,
    /// A constraint that the existing table has.
    TableConstraint,
    /// A column of the flow has to hold what the table computes.
    GeneratedColumn,
    /// A column of the existing table must not be null.
    NotNull,
}

/// What became of an obligation that is not refuted.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// It holds of every row, because of these facts. Nothing is tested.
    Proved(Vec<Reason>),
    /// It is tested for every row.
    Open,
}

/// A condition that every row of a table fulfils, whoever wrote it.
#[derive(Debug, Clone, PartialEq)]
pub struct TableFact {
    /// What says so: `constraint`, `generated column` or `file statistics`.
    pub what: &'static str,
    /// Its name, or that of the column.
    pub name: String,
    /// Over the columns of the source or table.
    pub condition: Expr,
}

/// A test in a sink's program.
#[derive(Debug, Clone, PartialEq)]
pub struct Tested {
    /// The constraint's name, or the generated column's.
    pub name: String,
    /// What it is.
    pub kind: ObligationKind,
    /// The position of its `Assert` among the program's steps.
    pub step: usize,
    /// Where it stands, or the sink's connector.
    pub origin: Origin,
}

/// A `test` block: its rows are values of the columns' types.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedTest {
    /// Its name; no other test of the program has it.
    pub name: String,
    /// Its documentation.
    pub doc: Option<String>,
    /// The program as this test's `given param` clauses make it; none: the program as it is. The clauses' indices refer to it.
    pub variant: Option<Box<Checked>>,
    /// The clauses but `given param`, in the order in which they happen.
    pub clauses: Vec<CheckedClause>,
    /// Where the name stands.
    pub origin: Origin,
}

/// A clause of a test.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedClause {
    /// What happens, or is expected.
    pub kind: ClauseKind,
    /// The clause.
    pub origin: Origin,
}

/// The clauses of a test.
#[derive(Debug, Clone, PartialEq)]
pub enum ClauseKind {
    /// Rows of a source or a table, each with all columns of its specification.
    Given(Input, Vec<Vec<flowc_ir::Value>>),
    /// What time it is: microseconds since 1970-01-01T00:00:00Z.
    At(i64),
    /// All sources have reached this event time, whatever their rows say.
    AdvanceWatermark(i64),
    /// The rows that have come out so far.
    Then(Observed, Expected),
    /// The run stops with this code.
    ThenError(String),
}

/// What a test looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Observed {
    /// The rows of a flow, or of a side output.
    Rows(Input),
    /// What the sink of this index would write.
    Sink(usize),
}

/// The rows that a test expects.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    /// All columns of what is looked at.
    pub schema: Schema,
    /// For each row its place, and for each column the value; none: the row does not name the column.
    pub rows: Vec<(Origin, Vec<Option<flowc_ir::Value>>)>,
}

/// A source.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedSource {
    /// How it is read; its schema has all columns of the table or of the declared schema.
    pub spec: SourceSpec,
    /// How its rows come of the records of changes that are read; none: what is read are the rows.
    pub records: Option<Records>,
    /// Whether its rows are updated and deleted, too; the columns that identify a row, if they are known.
    pub changes: Option<Vec<String>>,
    /// Adds the event time column, where one is declared with an expression: the output is all columns and this one.
    pub derive: Option<Program>,
    /// The columns that its readers see.
    pub schema: Schema,
    /// The event time column.
    pub event_time: Option<String>,
    /// The watermark's delay in microseconds.
    pub watermark: Option<i64>,
    /// After so many microseconds without rows it holds no other source back.
    pub idle: Option<i64>,
    /// Whether it ends: files, or `generate(rows: …)`.
    pub bounded: bool,
    /// What the catalog said.
    pub info: TableInfo,
    /// What its table promises of every row.
    pub facts: Vec<TableFact>,
}

impl CheckedSource {
    /// Whether it is a table whose rows are followed as they are updated and deleted.
    pub fn follows(&self) -> bool {
        self.changes.is_some() && self.records.is_none()
    }
}

/// A table.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedTable {
    /// How it is read; its schema has all columns.
    pub spec: TableSpec,
    /// What the catalog said.
    pub info: TableInfo,
    /// What the table promises of every row.
    pub facts: Vec<TableFact>,
}

/// What a flow, a union or a sink reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Input {
    /// The source of this index.
    Source(usize),
    /// The malformed rows of the source of this index.
    Malformed(usize),
    /// The table of this index, as a bounded stream.
    Table(usize),
    /// The flow of this index.
    Flow(usize),
    /// The rows that the expectations of the flow of this index have rejected.
    Rejected(usize),
    /// The rows that came too late for a step of the flow of this index.
    Late(usize),
}

/// A flow.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedFlow {
    /// Its name.
    pub name: String,
    /// Its documentation.
    pub doc: Option<String>,
    /// What it starts from.
    pub input: Input,
    /// Its steps.
    pub steps: Vec<CheckedStep>,
    /// The rows that come out: those of the last step, or of the input.
    pub rows: Rows,
    /// What its expectations reject, one for each `expect` that quarantines, in their order.
    pub rejected: Vec<CheckedRejects>,
    /// The one step that rows can come too late for; none: there is none, or several.
    pub late: Option<CheckedLate>,
    /// The declaration.
    pub origin: Origin,
}

/// The step of a flow that rows can come too late for.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedLate {
    /// Its index.
    pub step: usize,
    /// From the rows before it to the columns that late rows have: all but those of joined tables.
    pub program: Program,
}

/// The rows that an `expect` rejects.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedRejects {
    /// The index of the first step that the `expect` was made into: its input are the rows before any repair.
    pub first: usize,
    /// The index of the step that judges; its output is read.
    pub step: usize,
    /// Keeps the rejected rows, as they were before any repair, in the columns that all rejected rows of the flow have.
    pub program: Program,
}

/// The rows between two steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    /// All columns. Those of a joined table that were not selected yet are called `device.site`.
    pub schema: Schema,
    /// For each column, whether it is such a joined column: seen by later steps, but not part of what a sink or a union takes.
    pub joined: Vec<bool>,
    /// Whether rows are only added.
    pub kind: Kind,
    /// Whether they end by themselves (without regard to a sink that computes the whole).
    pub bounded: bool,
    /// Where their event time is.
    pub event_time: Option<EventTime>,
    /// The columns with the start and the end of the window that each of them is of.
    pub window: Option<(String, String)>,
}

/// Where the event time of rows is. It may be null: such a row is late for every step that asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventTime {
    /// In this column.
    Column(String),
    /// One microsecond before the time in this column: the last instant of a window.
    WindowEnd(String),
}

impl EventTime {
    /// The column that it follows from.
    pub fn column(&self) -> &str {
        match self {
            EventTime::Column(name) | EventTime::WindowEnd(name) => name,
        }
    }
}

/// A step.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedStep {
    /// What it does. Its expressions' columns are positions in the rows before it.
    pub operation: Operation,
    /// The rows after it.
    pub rows: Rows,
    /// The word or words of the step: `where`, `left join`.
    pub keyword: &'static str,
    /// The step.
    pub origin: Origin,
}

/// What steps do.
#[derive(Debug, Clone, PartialEq)]
pub enum Operation {
    /// where, extend, select, drop, rename
    Transform(Program),
    /// join to a table
    Lookup {
        /// The table of this index.
        table: usize,
        /// The name its columns have: the alias, or its own.
        alias: String,
        /// The kind.
        kind: LookupKind,
        /// The time, over the stream's columns, of the version that a row is looked up in; none: the one that the epoch pinned.
        as_of: Option<Expr>,
        /// Over the stream's columns followed by all of the table's.
        on: Expr,
    },
    /// `x in table.column`: adds a boolean column
    Mark {
        /// The table of this index.
        table: usize,
        /// The column of the table, by its place.
        column: usize,
        /// What is looked for, and the type in which both are compared.
        value: Expr,
    },
    /// `unique (…) within …`: adds a boolean column
    Unique {
        /// The flow.
        flow: String,
        /// The rule.
        rule: String,
        /// The key.
        keys: Vec<Expr>,
        /// The duration in microseconds.
        within: Option<i64>,
        /// The event time's position, where there is a duration.
        time: Option<usize>,
        /// The watermark's delay in microseconds.
        delay: Option<i64>,
    },
    /// expect: judges by boolean columns that steps before have computed; steps behind it remove rows
    Expect(Expect),
    /// aggregate
    Aggregate {
        /// The keys.
        keys: Vec<(Field, Expr)>,
        /// The aggregates.
        aggregates: Vec<CheckedAggregate>,
        /// The windows; none: one group for each key.
        window: Option<Windowing>,
    },
    /// dedup
    Dedup {
        /// The key.
        keys: Vec<Expr>,
        /// How far apart duplicates come; none: any.
        within: Option<Bound>,
        /// Whether the order of the rows depends on how the input is cut into epochs.
        by_time: bool,
        /// Whether it looks at all of its input.
        whole: bool,
    },
    /// top
    Top {
        /// How many.
        count: u64,
        /// The order.
        order: Vec<CheckedSortKey>,
        /// The key.
        keys: Vec<Expr>,
        /// The positions of the start and the end of the window, where there is one.
        window: Option<(usize, usize)>,
        /// Whether it looks at all of its input.
        whole: bool,
    },
    /// join of two streams
    Join(Box<CheckedJoin>),
    /// sort
    Sort(Vec<CheckedSortKey>),
    /// limit
    Limit(u64),
    /// union: the rows so far, then these inputs; each with the program that brings its rows into the columns of the result. The first program is for
    /// the rows so far.
    Union {
        /// Of the rows so far.
        align: Program,
        /// The others.
        others: Vec<(Input, Program)>,
    },
    /// explode: the element becomes the last column, unless a column of that name exists: then it takes its place
    Explode {
        /// The array.
        array: Expr,
        /// The new column.
        element: Field,
    },
}

/// The windows of an aggregate.
#[derive(Debug, Clone, PartialEq)]
pub struct Windowing {
    /// How time is cut.
    pub window: Window,
    /// The event time, a timestamp.
    pub time: Expr,
    /// Whether the order of the rows depends on how the input is cut into epochs, and matters.
    pub by_time: bool,
    /// Whether it looks at all of its input, because there is no watermark that could close a window.
    pub whole: bool,
    /// For how many microseconds behind its end rows correct a window that was given out.
    pub late: Option<i64>,
}

/// A bound in event time.
#[derive(Debug, Clone, PartialEq)]
pub struct Bound {
    /// The event time, a timestamp.
    pub time: Expr,
    /// Microseconds.
    pub duration: i64,
}

/// A join of two streams. What comes out: the left columns, then (but for semi and anti) the right ones under their joined names.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedJoin {
    /// What is joined.
    pub right: Input,
    /// From its rows to the columns that take part: all but those of tables joined there.
    pub columns: Program,
    /// The name its columns have.
    pub alias: String,
    /// The kind.
    pub kind: JoinKind,
    /// Over the left columns followed by those of `columns`; none: windows alone are matched.
    pub on: Option<Expr>,
    /// The positions of the windows' start and end on both sides, where equal windows are joined.
    pub windows: Option<[(usize, usize); 2]>,
    /// How far apart the event times of a match may be: the bound over the left columns, and the event time over those of `columns`; none: times do not
    /// matter.
    pub within: Option<(Bound, Expr)>,
    /// Whether it looks at all of its input.
    pub whole: bool,
}

/// An aggregate of an aggregate step.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedAggregate {
    /// The column.
    pub field: Field,
    /// The function.
    pub function: AggregateFunction,
    /// Its operands.
    pub args: Vec<Expr>,
    /// Its constants.
    pub constants: Vec<flowc_ir::Value>,
    /// Its `where`.
    pub filter: Option<Expr>,
    /// The call.
    pub origin: Origin,
}

/// A key of a sort step.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedSortKey {
    /// What is compared.
    pub value: Expr,
    /// Whether the greatest comes first.
    pub descending: bool,
    /// Whether nulls come first.
    pub nulls_first: bool,
}

/// A sink.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedSink {
    /// Its name.
    pub name: String,
    /// Where.
    pub connector: Connector,
    /// How rows meet those that are there.
    pub mode: SinkMode,
    /// What it reads.
    pub input: Input,
    /// From the input's rows to the columns written: leaves out joined columns, computes generated and partition columns, fills columns that the flow lacks
    /// with null, widens, asserts constraints.
    pub program: Program,
    /// The tests in the program that are to be decided; none once they are.
    pub tested: Vec<Tested>,
    /// Names of the partition columns.
    pub partition_by: Vec<String>,
    /// Generated columns to declare on creation: name and Spark SQL.
    pub generated: Vec<(String, String)>,
    /// CHECK constraints to declare: name and Spark SQL.
    pub constraints: Vec<(String, String)>,
    /// Constraints and generated columns of the existing table that `program` asserts or computes.
    pub enforced: Vec<(String, String)>,
    /// Table properties.
    pub properties: IndexMap<String, String>,
    /// The table's description.
    pub description: Option<String>,
    /// Whether columns may be added.
    pub evolve: bool,
    /// The existing table.
    pub existing: Option<TableInfo>,
    /// Whether rows of a sink that keeps history are valid since they were committed to the table that they come from.
    pub since_commit: bool,
    /// The declaration.
    pub origin: Origin,
}

impl Checked {
    /// The columns of what a test looks at: those that a sink would write, those of a flow without the columns of joined tables.
    pub fn observed_schema(&self, observed: Observed) -> Schema {
        match observed {
            Observed::Rows(Input::Source(index)) => self.sources[index].schema.clone(),
            Observed::Rows(Input::Malformed(_)) => flowc_ir::graph::malformed_schema(),
            Observed::Rows(Input::Table(index)) => self.tables[index].spec.schema.clone(),
            Observed::Rows(Input::Flow(index)) => self.flows[index].rows.own(),
            Observed::Rows(Input::Rejected(index)) => {
                let rejects = self.flows[index].rejected.first();
                rejects.map(|r| r.program.output_schema()).unwrap_or_default()
            }
            Observed::Rows(Input::Late(index)) => {
                let late = self.flows[index].late.as_ref();
                late.map(|late| late.program.output_schema()).unwrap_or_default()
            }
            Observed::Sink(index) => self.sinks[index].held(),
        }
    }
}

impl CheckedSink {
    /// The columns of what it holds: those that it writes, and of a history when each version was valid.
    fn held(&self) -> Schema {
        let mut schema = self.program.output_schema();
        if matches!(self.mode, SinkMode::Scd2 { .. }) {
            schema.fields.extend(self.since_commit.then(crate::check::history::valid_from));
            schema.fields.extend(crate::check::history::ends());
        }
        schema
    }
}

impl Checked {
    /// Calls `f` for every expression that these depend on, and every one inside them.
    pub fn walk(&self, observed: impl IntoIterator<Item = Observed>, f: &mut impl FnMut(&Expr)) {
        let mut open = vec![];
        for observed in observed {
            match observed {
                Observed::Rows(input) => open.push(input),
                Observed::Sink(index) => {
                    let sink = &self.sinks[index];
                    program_exprs(&sink.program, f);
                    open.push(sink.input);
                }
            }
        }
        let mut seen = std::collections::BTreeSet::new();
        while let Some(input) = open.pop() {
            if !seen.insert(input) {
                continue;
            }
            match input {
                Input::Source(index) => {
                    self.sources[index].derive.iter().for_each(|program| program_exprs(program, f));
                }
                Input::Malformed(_) | Input::Table(_) => {}
                Input::Flow(index) | Input::Rejected(index) | Input::Late(index) => {
                    let flow = &self.flows[index];
                    if let Input::Rejected(_) = input {
                        flow.rejected.iter().for_each(|rejects| program_exprs(&rejects.program, f));
                    }
                    open.push(flow.input);
                    flow.steps.iter().for_each(|step| step.operation.exprs(f));
                    open.extend(flow.steps.iter().flat_map(|step| step.operation.inputs()));
                }
            }
        }
    }

    /// Everything that a flow's rows come from, the flow included.
    pub fn sources_of(&self, input: Input) -> std::collections::BTreeSet<Input> {
        let mut seen = std::collections::BTreeSet::new();
        let mut open = vec![input];
        while let Some(input) = open.pop() {
            if seen.insert(input)
                && let Input::Flow(index) | Input::Rejected(index) | Input::Late(index) = input
            {
                open.push(self.flows[index].input);
                open.extend(self.flows[index].steps.iter().flat_map(|step| step.operation.inputs()));
            }
        }
        seen
    }
}

/// Whether an expression, apart from those inside, is the time of the epoch.
pub fn reads_clock(e: &Expr) -> bool {
    let clock = |name: &str| name == "now" || name.starts_with("current_") && name != "current_epoch";
    matches!(&e.kind, ExprKind::Call { function, .. } if clock(function.name))
}

impl Checked {
    /// Whether rows depend on which others are of their epoch: rules judge the share of an epoch's rows, or something reads the epoch's number (the rejected
    /// rows' `_epoch` aside).
    pub fn depends_on_epochs(&self, observed: &[Observed]) -> bool {
        let mut found = false;
        for operation in self.operations_of(observed) {
            found |= matches!(operation, Operation::Expect(e) if e.rules.iter().any(|r| r.share.is_some()));
            operation.exprs(&mut |e| {
                found |= matches!(&e.kind, ExprKind::Call { function, .. } if function.name == "current_epoch");
            });
        }
        found
    }

    /// Whether something is forgotten that lies behind the watermark, at the end of each epoch: what becomes of rows later than it depends on the epochs.
    pub fn forgets(&self, observed: &[Observed]) -> bool {
        self.operations_of(observed).any(|operation| {
            matches!(operation, Operation::Unique { delay: Some(_), .. }) || operation.waits_for_watermark()
        })
    }

    /// The steps of all flows that these depend on.
    fn operations_of(&self, observed: &[Observed]) -> impl Iterator<Item = &Operation> {
        let inputs = observed.iter().map(|observed| match observed {
            Observed::Rows(input) => *input,
            Observed::Sink(index) => self.sinks[*index].input,
        });
        let all: std::collections::BTreeSet<Input> = inputs.flat_map(|input| self.sources_of(input)).collect();
        let flows = all.into_iter().filter_map(|input| match input {
            Input::Flow(index) | Input::Rejected(index) | Input::Late(index) => Some(&self.flows[index]),
            _ => None,
        });
        flows.flat_map(|flow| flow.steps.iter().map(|step| &step.operation))
    }
}

fn program_exprs(program: &Program, f: &mut impl FnMut(&Expr)) {
    for step in &program.steps {
        match step {
            ProgramStep::Let(e) | ProgramStep::Filter(e) | ProgramStep::Assert { condition: e, .. } => e.walk(f),
        }
    }
    program.outputs.iter().for_each(|output| output.value.walk(f));
}

impl Operation {
    /// Calls `f` for every expression, and every one inside them.
    pub fn exprs(&self, f: &mut impl FnMut(&Expr)) {
        match self {
            Operation::Transform(program) => program_exprs(program, f),
            Operation::Lookup { as_of, on, .. } => as_of.iter().chain([on]).for_each(|e| e.walk(f)),
            Operation::Mark { value, .. } => value.walk(f),
            Operation::Unique { keys, .. } => keys.iter().for_each(|key| key.walk(f)),
            Operation::Aggregate { keys, aggregates, window } => {
                window.iter().for_each(|window| window.time.walk(f));
                keys.iter().for_each(|(_, key)| key.walk(f));
                aggregates.iter().flat_map(|a| a.args.iter().chain(&a.filter)).for_each(|e| e.walk(f));
            }
            Operation::Dedup { keys, within, .. } => {
                keys.iter().chain(within.iter().map(|within| &within.time)).for_each(|e| e.walk(f));
            }
            Operation::Top { order, keys, .. } => {
                order.iter().map(|key| &key.value).chain(keys).for_each(|e| e.walk(f));
            }
            Operation::Join(join) => {
                program_exprs(&join.columns, f);
                join.on.iter().for_each(|e| e.walk(f));
                join.within.iter().flat_map(|(bound, right)| [&bound.time, right]).for_each(|e| e.walk(f));
            }
            Operation::Sort(keys) => keys.iter().for_each(|key| key.value.walk(f)),
            Operation::Limit(_) => {}
            Operation::Expect(expect) => {
                expect.rules.iter().filter_map(|rule| rule.share.as_ref()).for_each(|s| program_exprs(&s.program, f));
            }
            Operation::Union { align, others } => {
                program_exprs(align, f);
                others.iter().for_each(|(_, program)| program_exprs(program, f));
            }
            Operation::Explode { array, .. } => array.walk(f),
        }
    }

    /// What the step reads besides the rows before it: the other sides of a union, the table or the stream of a join.
    pub fn inputs(&self) -> Vec<Input> {
        match self {
            Operation::Lookup { table, .. } | Operation::Mark { table, .. } => vec![Input::Table(*table)],
            _ => self.streams(),
        }
    }

    /// The streams that it reads besides the rows before it.
    pub fn streams(&self) -> Vec<Input> {
        match self {
            Operation::Union { others, .. } => others.iter().map(|(input, _)| *input).collect(),
            Operation::Join(join) => vec![join.right],
            _ => vec![],
        }
    }

    /// Whether it looks at all of its input, so that its rows do not follow from what is new alone.
    pub fn is_whole(&self) -> bool {
        match self {
            Operation::Aggregate { window, .. } => window.as_ref().is_none_or(|window| window.whole),
            Operation::Dedup { whole, .. } | Operation::Top { whole, .. } => *whole,
            Operation::Join(join) => join.whole,
            Operation::Sort(_) | Operation::Limit(_) => true,
            Operation::Transform(_)
            | Operation::Lookup { .. }
            | Operation::Mark { .. }
            | Operation::Unique { .. }
            | Operation::Expect(_)
            | Operation::Union { .. }
            | Operation::Explode { .. } => false,
        }
    }

    /// Whether it looks at windows, or at what lies near in event time, so that with a watermark it need not look at all of its input.
    pub fn is_bound_in_time(&self) -> bool {
        match self {
            Operation::Aggregate { window, .. } => window.is_some(),
            Operation::Dedup { within, .. } => within.is_some(),
            Operation::Top { window, .. } => window.is_some(),
            Operation::Join(join) => join.within.is_some(),
            _ => false,
        }
    }

    /// Whether what it gives out and forgets is a matter of the watermark, where what comes out is only added. Rows can be late for it.
    fn waits_for_watermark(&self) -> bool {
        let stateful = matches!(
            self,
            Operation::Aggregate { .. } | Operation::Dedup { .. } | Operation::Top { .. } | Operation::Join(_)
        );
        stateful && !self.is_whole()
    }
}

impl Rows {
    /// The columns without those of joined tables.
    pub fn own(&self) -> Schema {
        let own = self.schema.fields.iter().zip(&self.joined).filter(|(_, joined)| !**joined);
        Schema::new(own.map(|(field, _)| field.clone()).collect())
    }
}
