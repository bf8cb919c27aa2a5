//! The dataflow graph: operators over streams of rows. Nodes are in topological order: inputs come before their readers. Expressions live only in
//! [`Program`]s; every other operator refers to columns by position.

use crate::expr::{Origin, Program};
use crate::types::{DataType, Field, Schema, Type};
use serde::{Deserialize, Serialize};
use std::fmt;

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

/// The column of every stream whose rows change that says how often a row is added, or, where it is negative, taken away: such a stream is a Z-set, a sequence of
/// weighted rows whose sum is the table as it is now (Budiu et al., "DBSP", arXiv 2203.16684). A row that is updated comes twice: taken away as it was, added as
/// it is. Within an epoch the order of weighted rows means nothing. No user's column has this name.
pub const WEIGHT: &str = "#weight";

/// The column [`WEIGHT`]: a long, never null, never zero.
pub fn weight() -> Field {
    Field::new(WEIGHT, Type::new(DataType::Long))
}

/// Whether a stream only adds rows.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Rows are only added.
    Append,
    /// Rows are replaced or removed; they have a column [`WEIGHT`].
    Changing {
        /// The columns that identify a row, by name. Empty: none are known.
        key: Vec<String>,
    },
}

impl Kind {
    /// Whether rows are replaced or removed.
    pub fn is_changing(&self) -> bool {
        matches!(self, Kind::Changing { .. })
    }
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
    /// Groups and aggregates all rows so far, and keeps the result right as rows come and change.
    KeyedAggregate(KeyedAggregate),
    /// Turns records of changes into the changes of the rows that they are about.
    Upsert(Upsert),
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
    /// Notes how far the event time of a source has come; rows go through unchanged.
    Watermark(Watermark),
    /// Groups and aggregates by windows of event time.
    WindowAggregate(WindowAggregate),
    /// The first row of each key.
    Dedup(Dedup),
    /// The first rows of each key by an order.
    Top(Top),
    /// Matches the rows of two streams.
    Join(StreamJoin),
    /// The rows that came too late for its input, which is one of [`Operator::WindowAggregate`], [`Operator::Dedup`], [`Operator::Top`] and
    /// [`Operator::Join`]: in the columns of that operator's (first) input.
    Late,
    /// Writes the rows.
    Sink(SinkId),
}

/// Notes how far the event time of a source has come. Its watermark is the greatest event time of the rows that went through in this and earlier epochs, less
/// the delay, and moves at the ends of epochs; the watermark of every other node is the least of those of its inputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watermark {
    /// The source, which names what is remembered.
    pub source: String,
    /// The position of the event time, a timestamp. Rows where it is null do not move the watermark.
    pub time: usize,
    /// The delay in microseconds.
    pub delay: i64,
    /// After so many microseconds without rows the source holds no other one back; none: it always does.
    pub idle: Option<i64>,
}

/// How event time is cut into windows, which contain their start and not their end. Durations are in microseconds.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// One after the other.
    Tumble {
        /// Their length.
        size: i64,
        /// Where they begin.
        align: Alignment,
    },
    /// Of one length, a new one at each slide; they overlap where the slide is shorter.
    Hop {
        /// Their length.
        size: i64,
        /// From the start of one to the start of the next.
        slide: i64,
        /// Where they begin.
        align: Alignment,
    },
    /// Rows of a key at most so far apart; it ends so long after its last row.
    Session {
        /// The gap.
        gap: i64,
    },
    /// Of one start for each size, ending at each step up to it. The size is a multiple of the step.
    Cumulate {
        /// The length of the longest.
        size: i64,
        /// From the end of one to the end of the next.
        step: i64,
        /// Where they begin.
        align: Alignment,
    },
}

/// As it is written in a program.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let duration = |micros: i64| {
            let mut text = String::new();
            crate::cast::format::write_duration(&mut text, micros);
            text
        };
        let align = |align: &Alignment| {
            let offset =
                if align.offset == 0 { String::new() } else { format!(", offset: {}", duration(align.offset)) };
            let zone = align.zone.as_ref().map_or(String::new(), |zone| format!(", zone: \"{zone}\""));
            offset + &zone
        };
        match self {
            Window::Tumble { size, align: a } => write!(f, "tumble({}{})", duration(*size), align(a)),
            Window::Hop { size, slide, align: a } => {
                write!(f, "hop({}, {}{})", duration(*size), duration(*slide), align(a))
            }
            Window::Session { gap } => write!(f, "session({})", duration(*gap)),
            Window::Cumulate { size, step, align: a } => {
                write!(f, "cumulate({}, {}{})", duration(*size), duration(*step), align(a))
            }
        }
    }
}

/// Where windows begin.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Alignment {
    /// Microseconds after 1970-01-01T00:00:00Z, or after midnight in the time zone.
    pub offset: i64,
    /// An IANA time zone. Windows of whole days are then days of its calendar; shorter ones divide a day, and begin at its midnight.
    pub zone: Option<String>,
}

/// An aggregation of rows without end, or of rows that change. What comes out: the keys, the aggregates, [`WEIGHT`]. At the end of an epoch, for each group that the
/// epoch's rows belong to and whose result they changed: the result as it was, taken away, and the result as it is, added; a group of which no row is left is only
/// taken away. Without keys: one row, also for no input. Of rows that change nothing depends on the order: `collect_list` is by value, and there is no first or last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyedAggregate {
    /// Names what is remembered: unique in the program, whatever its layout.
    pub name: String,
    /// Keys and aggregates.
    pub aggregate: Aggregate,
}

/// Keeps the newest record of each key. A record has the columns of the row that it is about, and says what happened to the row. What comes out: those columns and
/// [`WEIGHT`]; at the end of an epoch, for each key whose row became another: the row as it was, taken away, and the row as it is, added. A record is older than
/// what is known of its key when its sequence is less; it then changes nothing. What was deleted is remembered with its sequence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upsert {
    /// Names what is remembered: unique in the program, whatever its layout.
    pub name: String,
    /// The source, for messages.
    pub source: String,
    /// How many columns, the first of the input, are those of the row. Those that are never null in what comes out may be in the input: a null there is an error.
    pub width: usize,
    /// The positions of the key, among the row's columns.
    pub keys: Vec<usize>,
    /// The position of the word that says what happened, a string: an insert (`c`, `r`, `i`, `insert`, `create`, `read`, `snapshot`), an update (`u`, `update`,
    /// `upsert`, `update_postimage`, `update_after`) or a delete (`d`, `delete`), in any case of letters; `update_preimage` and `update_before` are passed over. A
    /// record whose word and key are both null is a tombstone, and is passed over. Any other word is an error.
    pub operation: usize,
    /// The positions of the columns that order the records of a key, the first counts most; null is the least. Empty: they come in order. Of two that are equal
    /// the later one counts.
    pub sequence: Vec<usize>,
    /// The position of the time, a timestamp, since when what a record says holds: what comes out is then the history of each key and not its newest record. All
    /// records are remembered, and of those of a key with one time the newest counts. What comes out has the time of each change as
    /// [`COMMITTED`](crate::plan::COMMITTED) before the weight; at the end of an epoch, for each time of a key at which something else holds than was known, and for
    /// the next time behind it: the row that held until then taken away, and so the row that was known of this time, and the row of this time added. So a record that
    /// comes late is put between its neighbours. This is no Z-set: what happens at a time may come out again. A null is an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<usize>,
}

/// A windowed aggregation. What comes out: the keys, `window_start`, `window_end`, then the aggregates; each window once, when the watermark reaches its end (a session
/// when the watermark is past its end, as a row there belongs to it), by end, start and key. The event time of what comes out is the window's last instant, one
/// microsecond before its end. A row is late when every window that it belongs to has closed; so is one without an event time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WindowAggregate {
    /// Names what is remembered: unique in the program, whatever its layout.
    pub name: String,
    /// The windows.
    pub window: Window,
    /// The position of the event time.
    pub time: usize,
    /// Keys and aggregates. First and last are by the order of the input.
    pub aggregate: Aggregate,
    /// Whether the order of the input depends on how it is cut into epochs, as behind a join of streams: first and last are then by event time, and by a hash of
    /// the row where times are equal.
    pub by_time: bool,
    /// Where what comes out changes ([`WEIGHT`] is then its last column): for so many microseconds behind a window's end rows still correct it: its result as it was
    /// is taken away, the new one added. A row is late when every window that it belongs to has been closed for longer. None: rows of any age do. If the
    /// input only adds rows, a window comes out first when the watermark reaches its end; if the input changes, at the end of each epoch as far as it is then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late: Option<i64>,
}

/// The first row of each key, in the order of the input; null is a key like any other. Where rows change, all columns are the key: what comes out are the different
/// rows, each once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dedup {
    /// Names what is remembered: unique in the program, whatever its layout.
    pub name: String,
    /// The positions of the key.
    pub keys: Vec<usize>,
    /// The position of the event time, where there is a duration.
    pub time: Option<usize>,
    /// A row is a duplicate when a kept row of its key lies at most so many microseconds before it. A row is late when it lies further behind the watermark;
    /// so is one without an event time. None: when there is a kept row at all.
    pub within: Option<i64>,
    /// Whether the order of the input depends on how it is cut into epochs, as behind a join or a union of streams: rows are then taken in the order of their
    /// event times (of equal ones by a hash of the row), each when the watermark has passed it; a row behind the watermark is late.
    pub by_time: bool,
}

/// The first rows of each key by an order; ties are broken by the other columns, so that the order of the input does not matter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Top {
    /// Names what is remembered: unique in the program, whatever its layout.
    pub name: String,
    /// How many rows.
    pub count: u64,
    /// The order.
    pub order: Vec<SortColumn>,
    /// The positions of the key; empty: one for all.
    pub keys: Vec<usize>,
    /// The positions of `window_start` and `window_end`: each window has its own first rows, which come out when the watermark reaches its end. None: the input
    /// is bounded; or what comes out changes, and has [`WEIGHT`] (as its last column, if the input only adds rows).
    pub window: Option<(usize, usize)>,
}

/// Which rows of two streams come out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinKind {
    /// A row for each match.
    Inner,
    /// As inner; a left row without a match once, with nulls.
    Left,
    /// As inner; a right row without a match once, with nulls.
    Right,
    /// Both.
    Full,
    /// The left row, once, if there is a match.
    Semi,
    /// The left row if there is no match.
    Anti,
    /// The left row, once, with a further boolean, the last column: whether there is a match. As [`LookupKind::Mark`]; only where rows change.
    Mark,
}

impl JoinKind {
    /// All of them, with their words.
    pub const ALL: [(JoinKind, &'static str); 7] = [
        (JoinKind::Inner, "inner"),
        (JoinKind::Left, "left"),
        (JoinKind::Right, "right"),
        (JoinKind::Full, "full"),
        (JoinKind::Semi, "semi"),
        (JoinKind::Anti, "anti"),
        (JoinKind::Mark, "mark"),
    ];

    /// Whether the right side's columns come out.
    pub fn yields_right(self) -> bool {
        !matches!(self, JoinKind::Semi | JoinKind::Anti | JoinKind::Mark)
    }

    /// Whether left columns are null where there is no match.
    pub fn widens_left(self) -> bool {
        matches!(self, JoinKind::Right | JoinKind::Full)
    }

    /// Whether right columns are null where there is no match.
    pub fn widens_right(self) -> bool {
        matches!(self, JoinKind::Left | JoinKind::Full)
    }

    /// Whether something comes out only when it is known that there will be no match.
    pub fn waits(self) -> bool {
        !matches!(self, JoinKind::Inner | JoinKind::Semi)
    }
}

/// A join of two streams. What comes out: the left columns, then (but for semi and anti) the right ones. The event time of what comes out is the left row's, or
/// the right one's where there is none. A row is late when it lies further behind the watermark than `within`, so that everything that it could match is
/// forgotten; so is one without an event time. Matches come out in the epoch of their later row; rows without a match when the watermark has passed their
/// event time by more than `within`. Where no such rows come out, rows are kept for twice as long, so that a row that is not late finds all that it matches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamJoin {
    /// Names what is remembered: unique in the program, whatever its layout.
    pub name: String,
    /// Which rows come out.
    pub kind: JoinKind,
    /// The left key columns; null keys match nothing.
    pub left_keys: Vec<usize>,
    /// The right key columns, of the same types.
    pub right_keys: Vec<usize>,
    /// How far apart the two event times of a match may be; none: both sides are bounded, or the rows of both change, and times do not matter. Where rows change,
    /// what comes out is all pairs of what the two sides are now, kept right at the end of each epoch; the right side's [`WEIGHT`] comes out under another name, and
    /// means nothing there (null where there is no right row).
    pub within: Option<Within>,
    /// A further condition over the left columns followed by the right ones: a program with a single boolean output.
    pub residual: Option<Program>,
}

/// A bound in event time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Within {
    /// The position of the left event time.
    pub left: usize,
    /// The position of the right event time (in the right input).
    pub right: usize,
    /// Microseconds, either way.
    pub duration: i64,
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
    /// The position, in the stream, of a timestamp: a row is looked up in the newest version of the table that was committed at or before it. Where it is null,
    /// or before the first version, the table has no rows. None: every row is looked up in the version that the epoch pinned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<usize>,
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

impl Operator {
    /// How far behind the watermark of what goes in, at most, what comes out may lie: in microseconds. The watermark of what comes out is held back by so much.
    pub fn holds_back(&self) -> i64 {
        match self {
            // A row in order may match one that lies `within` behind it, and a row without a match waits until none can come: what comes out lies at most so far
            // behind. (Matches of rows that are themselves behind the watermark may lie further: the next step judges whether they are late.)
            Operator::Join(join) => join.within.map_or(0, |within| within.duration),
            // A session is open until the watermark is past its end, and its row has the time of its last instant, one microsecond before that.
            // A window that is corrected comes out again until the watermark is further behind its end than that.
            Operator::WindowAggregate(spec) => match (spec.late, &spec.window) {
                (Some(late), _) => late.saturating_add(1),
                (None, Window::Session { .. }) => 1,
                (None, _) => 0,
            },
            _ => 0,
        }
    }
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
