//! The dataflow graph: operators over streams of rows. Nodes are in topological order: inputs come before their readers. Expressions live only in
//! [`Program`]s; every other operator refers to columns by position.

use crate::expr::{Origin, Program};
use crate::types::{DataType, Field, Schema, Type};
use serde::{Deserialize, Serialize};

/// Index of a node in its graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeId(pub u32);

/// Index of a source in its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SourceId(pub u32);

/// Index of a table in its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TableId(pub u32);

/// Index of a sink in its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SinkId(pub u32);

/// Whether a stream only adds rows.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Rows are only added.
    Append,
    /// Rows are replaced or removed; these columns identify them.
    Changing {
        /// The key, by column name.
        key: Vec<String>,
    },
}

/// The graph.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Graph {
    /// The nodes; [`NodeId`] is the index.
    pub nodes: Vec<Node>,
}

/// An operator with its inputs and what comes out of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// What it does.
    pub operator: Operator,
    /// Where its rows come from, all before this node.
    pub inputs: Vec<NodeId>,
    /// The columns that come out. A sink has those that it writes.
    pub schema: Schema,
    /// Whether what comes out only adds rows.
    pub kind: Kind,
    /// Whether what comes out ends (a table, files, or anything in a whole computation).
    pub bounded: bool,
    /// What the user calls it: `clean`, `clean |> where`; several joined with ` + ` where steps were fused.
    pub label: String,
    /// The steps.
    pub origin: Origin,
}

/// The operators.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operator {
    /// The rows of a source.
    Source(SourceId),
    /// The records of a source of text files that do not parse or do not fit its columns; what comes out is [`malformed_schema`].
    Malformed(SourceId),
    /// The rows of a table's snapshot, as a bounded stream.
    TableScan(TableId),
    /// Filters, computes and chooses columns.
    Transform(Program),
    /// Looks each row up in a table's snapshot.
    Lookup(Lookup),
    /// Groups and aggregates bounded input. Without keys: one row, also for no input.
    Aggregate(Aggregate),
    /// Orders bounded input; ties stay in the order of the input.
    Sort(Vec<SortColumn>),
    /// The first rows of bounded input.
    Limit(u64),
    /// All rows of all inputs, in the order of the inputs; their schemas are equal (a `Transform` before each sees to that).
    Union,
    /// A row for each element of the array in this column, in order; none for null or empty. The element becomes the last column; the array stays.
    Explode {
        /// The array's position.
        column: usize,
        /// The new column.
        element: Field,
    },
    /// Tells of each row whether it is the first of its key.
    Unique(Unique),
    /// Judges rows by the rules of an `expect`; rows go through unchanged.
    Expect(Expect),
    /// Writes the rows.
    Sink(SinkId),
}

/// The columns of an [`Operator::Malformed`]: the record's text, its file and the line where it begins, what is wrong with it, and the epoch.
pub fn malformed_schema() -> Schema {
    let column =
        |name: &str, data, comment: &str| Field { comment: Some(comment.into()), ..Field::new(name, Type::new(data)) };
    Schema::new(vec![
        column("_raw", DataType::String, "The record as it stands in the file, without the line end"),
        column("_file", DataType::String, "The file"),
        column("_line", DataType::Long, "The line where the record begins, from 1"),
        column("_error", DataType::String, "What is wrong with it"),
        column("_epoch", DataType::Long, "The epoch that read it"),
    ])
}

/// How rows are matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LookupKind {
    /// A row for each match.
    Inner,
    /// As inner; a row without a match once, with nulls.
    Left,
    /// The row, once, if there is a match.
    Semi,
    /// The row if there is no match.
    Anti,
    /// The row, once, with a further boolean: whether there is a match. Three-valued as `in [..]`: null where the row's key is, or where there is no match
    /// and the table has a null key.
    Mark,
}

/// What happens to a row that fails a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// It goes on, counted.
    Warn,
    /// It is removed, counted.
    Drop,
    /// It goes to the rejected rows.
    Quarantine,
    /// It is changed and judged again; if it still fails, it goes to the rejected rows.
    Repair,
    /// It stops the run.
    Fail,
}

impl Policy {
    /// All of them.
    pub const ALL: [Policy; 5] = [Policy::Warn, Policy::Drop, Policy::Quarantine, Policy::Repair, Policy::Fail];

    /// As it is written in a program.
    pub fn word(self) -> &'static str {
        match self {
            Policy::Warn => "warn",
            Policy::Drop => "drop",
            Policy::Quarantine => "quarantine",
            Policy::Repair => "repair",
            Policy::Fail => "fail",
        }
    }

    /// Whether a row that still fails goes to the rejected rows.
    pub fn quarantines(self) -> bool {
        matches!(self, Policy::Quarantine | Policy::Repair)
    }
}

/// The condition `unique (…) within …`. What comes out: the input's columns, then a boolean, never null: whether no row that passed before it, in the order of
/// the input, has the same key (null is a key like any other) and lies within the duration, before or behind. It remembers the rows that passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unique {
    /// The flow, which with the rule names what is remembered.
    pub flow: String,
    /// The rule.
    pub rule: String,
    /// The positions of the key.
    pub keys: Vec<usize>,
    /// The position of the event time, where there is a duration. A row without a time does not pass.
    pub time: Option<usize>,
    /// The duration in microseconds; none: as long as there are rows.
    pub within: Option<i64>,
    /// The watermark's delay in microseconds: rows that lie further back than delay and duration are forgotten; none: no row is.
    pub delay: Option<i64>,
}

/// The rules of an `expect`. They were evaluated into boolean columns before; here they are counted, a few failing rows are kept to be shown, and rows that
/// break a `fail` rule stop the run. `Transform`s behind it remove rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Expect {
    /// The flow that it is a step of.
    pub flow: String,
    /// The rules, in declared order.
    pub rules: Vec<ExpectRule>,
}

/// A rule of an `expect`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExpectRule {
    /// Its name.
    pub name: String,
    /// What happens to a row that fails.
    pub policy: Policy,
    /// The position of the boolean, never null, that says whether the (repaired) row passes. None: every row does, which is proved; or the rule judges the
    /// epoch.
    pub passes: Option<usize>,
    /// The position of the boolean, never null, that says whether the row failed at first and was changed.
    pub repaired: Option<usize>,
    /// A rule that judges the whole epoch.
    pub share: Option<ShareCondition>,
    /// The columns that the rule reads, to be shown of failing rows.
    pub shown: Vec<usize>,
    /// The condition.
    pub origin: Origin,
}

/// A condition on the shares of an epoch's rows that fail rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShareCondition {
    /// The rules, by their place in [`Expect::rules`].
    pub of: Vec<usize>,
    /// From these rules' shares (doubles from 0 to 1; 0 if there are no rows) to a boolean.
    pub program: Program,
}

/// A lookup in a table. What comes out: the stream's columns, then (inner, left) the table's, or (mark) whether there is a match.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lookup {
    /// The table.
    pub table: TableId,
    /// How rows are matched.
    pub kind: LookupKind,
    /// Run over the table's rows when the snapshot is loaded: filters it and computes key columns. Its output columns are "the table's" here.
    pub prepare: Program,
    /// The stream's key columns; empty: every row of the table is a candidate. Null keys match nothing.
    pub stream_keys: Vec<usize>,
    /// The table's key columns (of `prepare`'s output), of the same types.
    pub table_keys: Vec<usize>,
    /// A further condition over the stream's columns followed by the table's: a program with a single boolean output.
    pub residual: Option<Program>,
    /// The table's columns that come out (of `prepare`'s output); empty for semi and anti.
    pub output: Vec<usize>,
}

/// An aggregation. What comes out: the keys, then the aggregates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Aggregate {
    /// The positions of the keys. Null is a key like any other; floats are grouped by flowc's equality.
    pub keys: Vec<usize>,
    /// The aggregates.
    pub aggregates: Vec<AggregateCall>,
}

/// An aggregate function over columns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AggregateCall {
    /// Which.
    pub function: crate::aggregates::AggregateFunction,
    /// The positions of its operands (none for `count()`).
    pub args: Vec<usize>,
    /// Constant operands, such as percentile's fraction.
    pub constants: Vec<crate::value::Value>,
    /// The position of the boolean that lets rows in.
    pub filter: Option<usize>,
    /// The type of the result.
    pub ty: Type,
    /// The expression, for messages.
    pub origin: Origin,
}

/// A column to order by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SortColumn {
    /// Its position.
    pub column: usize,
    /// Whether the greatest comes first.
    pub descending: bool,
    /// Whether nulls come first.
    pub nulls_first: bool,
}

impl Graph {
    /// The node of this id.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    /// Adds a node and returns its id.
    pub fn add(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        NodeId(self.nodes.len() as u32 - 1)
    }

    /// All nodes with their ids, inputs first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (NodeId, &Node)> {
        self.nodes.iter().enumerate().map(|(i, n)| (NodeId(i as u32), n))
    }
}
