//! A program whose names are resolved and whose types are settled: what the checker makes and lowering reads. Still in the user's terms (flows and steps);
//! knows nothing of the graph or of how it will run.

pub use crate::prove::Reason;
use flowc_ir::aggregates::AggregateFunction;
use flowc_ir::catalog::TableInfo;
use flowc_ir::graph::{Expect, Kind, LookupKind};
use flowc_ir::plan::{Connector, SinkMode, SourceSpec, TableSpec};
use flowc_ir::{Expr, Field, Origin, Program, Schema};
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
    /// What says so: ``constraint `positive` ``.
    pub what: String,
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

/// A source.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedSource {
    /// How it is read; its schema has all columns of the table or of the declared schema.
    pub spec: SourceSpec,
    /// Adds the event time column, where one is declared with an expression: the output is all columns and this one.
    pub derive: Option<Program>,
    /// The columns that its readers see.
    pub schema: Schema,
    /// The event time column.
    pub event_time: Option<String>,
    /// The watermark's delay in microseconds.
    pub watermark: Option<i64>,
    /// Whether it ends: files, or `generate(rows: …)`.
    pub bounded: bool,
    /// What the catalog said.
    pub info: TableInfo,
    /// What its table promises of every row.
    pub facts: Vec<TableFact>,
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
    /// The declaration.
    pub origin: Origin,
}

/// The rows that an `expect` rejects.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedRejects {
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
    /// The event time column, where there is one.
    pub event_time: Option<String>,
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
    /// expect: judges by boolean columns that steps before have computed; steps behind it remove rows
    Expect(Expect),
    /// aggregate
    Aggregate {
        /// The keys.
        keys: Vec<(Field, Expr)>,
        /// The aggregates.
        aggregates: Vec<CheckedAggregate>,
    },
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
    /// The declaration.
    pub origin: Origin,
}
