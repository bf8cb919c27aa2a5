//! The syntax tree: what was written, nothing of what it means. Every node has its span. Names are not resolved, types not known.

mod expr;
mod shift;

pub use expr::*;
pub(crate) use shift::Shift;

use crate::span::Span;
use std::sync::Arc;

/// A name as written, without backticks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Name {
    /// The name.
    pub text: String,
    /// Where (with the backticks).
    pub span: Span,
}

/// A whole file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ast {
    /// The declarations, in the order of the text. Broken ones are left out; they have their diagnostics. Trees of a text before and after an edit share
    /// those that neither changed nor moved.
    pub items: Vec<Arc<Item>>,
    /// `##` lines before anything else, separated from the first item by a blank line: the program's description.
    pub description: Option<String>,
    /// The names of declarations that are missing here or lack a step, clause or value because of a mistake. What is said of them
    /// or of what depends on them may only follow from that mistake.
    pub broken: Vec<Name>,
}

impl Ast {
    /// The declarations.
    pub fn declarations(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().map(Arc::as_ref)
    }
}

/// A declaration.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// `use "path"`
    Use(Use),
    /// `param`
    Param(Param),
    /// `source`
    Source(Source),
    /// `table`
    Table(Table),
    /// `fn`
    Function(Function),
    /// `flow`
    Flow(Flow),
    /// `sink`
    Sink(Sink),
    /// `test`
    Test(Test),
}

impl Item {
    /// The name that it declares; none: it declares none.
    pub fn name(&self) -> Option<&Name> {
        match self {
            Item::Use(_) | Item::Test(_) => None,
            Item::Param(x) => Some(&x.name),
            Item::Source(x) => Some(&x.name),
            Item::Table(x) => Some(&x.name),
            Item::Function(x) => Some(&x.name),
            Item::Flow(x) => Some(&x.name),
            Item::Sink(x) => Some(&x.name),
        }
    }

    /// The whole declaration.
    pub fn span(&self) -> Span {
        match self {
            Item::Use(x) => x.span,
            Item::Param(x) => x.span,
            Item::Source(x) => x.span,
            Item::Table(x) => x.span,
            Item::Function(x) => x.span,
            Item::Flow(x) => x.span,
            Item::Sink(x) => x.span,
            Item::Test(x) => x.span,
        }
    }
}

/// `use "units.flow"`
#[derive(Debug, Clone, PartialEq)]
pub struct Use {
    /// The path, unescaped, relative to this file.
    pub path: String,
    /// Where the path stands.
    pub path_span: Span,
    /// The whole.
    pub span: Span,
}

/// `param name: type = default`
#[derive(Debug, Clone, PartialEq)]
pub struct Param {
    /// Its `##` lines.
    pub doc: Option<String>,
    /// Its name.
    pub name: Name,
    /// Its type.
    pub ty: TypeExpr,
    /// The value when none is given.
    pub default: Option<Expr>,
    /// The whole.
    pub span: Span,
}

/// `source name = connector(…) { … }`
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// Its `##` lines.
    pub doc: Option<String>,
    /// Its name.
    pub name: Name,
    /// Where the rows are.
    pub connector: Connector,
    /// What stands in the braces, in order.
    pub clauses: Vec<SourceClause>,
    /// The whole.
    pub span: Span,
}

/// A clause of a source or a table.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceClause {
    /// Which.
    pub kind: SourceClauseKind,
    /// The whole clause.
    pub span: Span,
}

/// The clauses a source or a table may have. Which of the two may have which is checked later.
#[derive(Debug, Clone, PartialEq)]
pub enum SourceClauseKind {
    /// `schema { … }`
    Schema(Vec<ColumnDef>),
    /// `event_time name = expr`, or `event_time name` for a column that is there
    EventTime {
        /// The column.
        column: Name,
        /// Its expression; none: the column exists.
        value: Option<Expr>,
    },
    /// `watermark 5s`
    Watermark(Expr),
    /// `idle 1m`
    Idle(Expr),
    /// `changes`, `changes by id`, or `changes from op, before, after by id`
    Changes {
        /// The columns of records of changes: the operation, the row before and after. Empty: what is read are the rows.
        from: Vec<Name>,
        /// The columns that identify a row. Empty: none are named.
        by: Vec<Name>,
    },
    /// `sequence by expr`
    SequenceBy(Expr),
    /// `ignore updates`
    IgnoreUpdates,
    /// `malformed quarantine` or `malformed fail`
    Malformed(Name),
    /// `start version N` or `start @…`
    Start(VersionSpec),
    /// `version N` or `as of @…`
    Version(VersionSpec),
}

/// A version of a table.
#[derive(Debug, Clone, PartialEq)]
pub enum VersionSpec {
    /// By number.
    Number(Expr),
    /// By time.
    Timestamp(Expr),
}

/// A column in a `schema` block or a struct type.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnDef {
    /// Its `##` comment: the line before, or on its own line.
    pub doc: Option<String>,
    /// Its name.
    pub name: Name,
    /// Its type.
    pub ty: TypeExpr,
    /// The whole.
    pub span: Span,
}

/// A type as written.
#[derive(Debug, Clone, PartialEq)]
pub struct TypeExpr {
    /// Which.
    pub kind: TypeExprKind,
    /// Whether `?` stands behind it.
    pub nullable: bool,
    /// The whole, with the `?`.
    pub span: Span,
}

/// The forms of types.
#[derive(Debug, Clone, PartialEq)]
pub enum TypeExprKind {
    /// `integer`, `string`, …: any single word; whether it names a type is checked later.
    Named(Name),
    /// `decimal(p, s)`: a word with numbers.
    Sized(Name, Vec<u32>),
    /// `array<T>`
    Array(Box<TypeExpr>),
    /// `map<K, V>`
    Map(Box<TypeExpr>, Box<TypeExpr>),
    /// `struct<a: T>`
    Struct(Vec<ColumnDef>),
}

/// `table name = connector(…) { … }`
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Its `##` lines.
    pub doc: Option<String>,
    /// Its name.
    pub name: Name,
    /// Where the rows are.
    pub connector: Connector,
    /// What stands in the braces, in order.
    pub clauses: Vec<SourceClause>,
    /// The whole.
    pub span: Span,
}

/// `delta("…", option: value)`
#[derive(Debug, Clone, PartialEq)]
pub struct Connector {
    /// `delta`, `csv`, …
    pub name: Name,
    /// What stands in the parentheses.
    pub args: Vec<Arg>,
    /// The whole.
    pub span: Span,
}

/// An argument, perhaps named.
#[derive(Debug, Clone, PartialEq)]
pub struct Arg {
    /// `name:` before it.
    pub name: Option<Name>,
    /// The value.
    pub value: Expr,
}

/// `fn name(a: T) -> T = expr`
#[derive(Debug, Clone, PartialEq)]
pub struct Function {
    /// Its `##` lines.
    pub doc: Option<String>,
    /// Its name.
    pub name: Name,
    /// Its parameters.
    pub params: Vec<(Name, TypeExpr)>,
    /// Its result type; none: inferred.
    pub result: Option<TypeExpr>,
    /// Its body.
    pub body: Expr,
    /// The whole.
    pub span: Span,
}

/// `flow name = input |> step |> …`
#[derive(Debug, Clone, PartialEq)]
pub struct Flow {
    /// Its `##` lines.
    pub doc: Option<String>,
    /// Its name.
    pub name: Name,
    /// What it starts from.
    pub input: FlowRef,
    /// Its steps.
    pub steps: Vec<Step>,
    /// The whole.
    pub span: Span,
}

/// A source, table or flow, or one side output of it: `clean`, `clean.rejected`, `clean.late`, `readings.malformed`.
#[derive(Debug, Clone, PartialEq)]
pub struct FlowRef {
    /// The name.
    pub name: Name,
    /// The side output.
    pub output: Option<Name>,
    /// The whole.
    pub span: Span,
}

/// A step with its place (without the `|>`).
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Which.
    pub kind: StepKind,
    /// The whole.
    pub span: Span,
    /// The first word or words: `left join`, `where`, …
    pub keyword: Span,
}

/// `name = expr`, or `expr` alone: a name, or a path like `device.site` that takes its last name.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    /// The column; none where only an expression stands.
    pub name: Option<Name>,
    /// The value.
    pub value: Expr,
    /// Its `##` comment.
    pub doc: Option<String>,
    /// The whole.
    pub span: Span,
}

/// The steps.
// A program has some dozen steps: that they are as large as the largest costs nothing.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Clone, PartialEq)]
pub enum StepKind {
    /// `where cond`
    Where(Expr),
    /// `extend a = …`
    Extend(Vec<Assignment>),
    /// `select a, b = …`
    Select(Vec<Assignment>),
    /// `drop a, b`
    Drop(Vec<Name>),
    /// `rename new = old`
    Rename(Vec<Rename>),
    /// `expect { … }`
    Expect(Vec<Rule>),
    /// `join X as y on cond within d`
    Join(Join),
    /// `aggregate … by …, window …`
    Aggregate(Aggregate),
    /// `dedup by k within d`
    Dedup {
        /// The key; empty: all columns.
        keys: Vec<Assignment>,
        /// The duration.
        within: Option<Expr>,
    },
    /// `top n by expr desc per k`
    Top {
        /// How many.
        count: Expr,
        /// The order.
        order: Vec<SortKey>,
        /// The key.
        per: Vec<Assignment>,
    },
    /// `sort expr desc`
    Sort(Vec<SortKey>),
    /// `limit n`
    Limit(Expr),
    /// `union x, y`
    Union(Vec<FlowRef>),
    /// `explode xs as x`
    Explode {
        /// The array.
        value: Expr,
        /// The new column; none: the last name of the path.
        column: Option<Name>,
    },
}

/// `new = old`
#[derive(Debug, Clone, PartialEq)]
pub struct Rename {
    /// The new name.
    pub new: Name,
    /// The column as it was called.
    pub old: Name,
}

/// `expr desc nulls last`
#[derive(Debug, Clone, PartialEq)]
pub struct SortKey {
    /// What is compared.
    pub value: Expr,
    /// Whether the greatest comes first.
    pub descending: bool,
    /// Whether nulls come first; none: as Spark, first when ascending, last when descending.
    pub nulls_first: Option<bool>,
}

/// A rule of an `expect`.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Its `##` comment.
    pub doc: Option<String>,
    /// Its name.
    pub name: Name,
    /// What must be true.
    pub condition: RuleCondition,
    /// What happens to a row that fails; none: `warn`.
    pub policy: Option<Policy>,
    /// The whole.
    pub span: Span,
}

/// What a rule tests.
#[derive(Debug, Clone, PartialEq)]
pub enum RuleCondition {
    /// A condition on the row.
    Row(Expr),
    /// `unique (a, b) within 1h`
    Unique {
        /// The columns.
        columns: Vec<Expr>,
        /// The duration.
        within: Option<Expr>,
        /// The whole.
        span: Span,
    },
}

/// What happens to a row that fails.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Which.
    pub kind: PolicyKind,
    /// The whole.
    pub span: Span,
}

/// The policies.
#[derive(Debug, Clone, PartialEq)]
pub enum PolicyKind {
    /// `warn`
    Warn,
    /// `drop`
    Drop,
    /// `quarantine`
    Quarantine,
    /// `repair c = expr, …`
    Repair(Vec<Assignment>),
    /// `fail`
    Fail,
}

/// The kinds of joins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinKind {
    /// `join`
    Inner,
    /// `left join`
    Left,
    /// `right join`
    Right,
    /// `full join`
    Full,
    /// `semi join`
    Semi,
    /// `anti join`
    Anti,
}

/// A join step.
#[derive(Debug, Clone, PartialEq)]
pub struct Join {
    /// Its kind.
    pub kind: JoinKind,
    /// The other side.
    pub right: FlowRef,
    /// `as y`
    pub alias: Option<Name>,
    /// The condition; none is a mistake except with a windowed join.
    pub on: Option<Expr>,
    /// `within d`
    pub within: Option<Expr>,
    /// `as of expr`: the version of the table at that time.
    pub as_of: Option<Expr>,
}

/// An aggregate step.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    /// The aggregates; the calls carry their `where`.
    pub aggregates: Vec<Assignment>,
    /// The keys behind `by`.
    pub keys: Vec<Assignment>,
    /// The window.
    pub window: Option<Window>,
    /// `late d`
    pub late: Option<Expr>,
}

/// `window tumble(1m)`
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// `tumble`, `hop`, `session`, `cumulate`
    pub name: Name,
    /// Its arguments.
    pub args: Vec<Arg>,
    /// The whole.
    pub span: Span,
}

/// `sink name = flow -> connector(…) { … }`
#[derive(Debug, Clone, PartialEq)]
pub struct Sink {
    /// Its `##` lines: the table's description.
    pub doc: Option<String>,
    /// Its name.
    pub name: Name,
    /// What it writes.
    pub input: FlowRef,
    /// Where to.
    pub connector: Connector,
    /// What stands in the braces, in order.
    pub clauses: Vec<SinkClause>,
    /// The whole.
    pub span: Span,
}

/// A clause of a sink.
#[derive(Debug, Clone, PartialEq)]
pub struct SinkClause {
    /// Which.
    pub kind: SinkClauseKind,
    /// The whole.
    pub span: Span,
}

/// The clauses of a sink.
#[derive(Debug, Clone, PartialEq)]
pub enum SinkClauseKind {
    /// `mode …`
    Mode(SinkMode),
    /// `partition by day = date(x), id`
    PartitionBy(Vec<Assignment>),
    /// `constraint name: cond`
    Constraint {
        /// Its name.
        name: Name,
        /// What must be true of every row.
        condition: Expr,
    },
    /// `properties { "k": "v" }`
    Properties(Vec<Property>),
    /// `evolve`
    Evolve,
}

/// The modes of a sink.
#[derive(Debug, Clone, PartialEq)]
pub enum SinkMode {
    /// `append`
    Append,
    /// `overwrite`
    Overwrite,
    /// `overwrite partition`
    OverwritePartition,
    /// `merge on k, …`
    Merge(Vec<Name>),
    /// `scd2 on k, …`
    Scd2(Vec<Name>),
}

/// One table property.
#[derive(Debug, Clone, PartialEq)]
pub struct Property {
    /// The key, unescaped.
    pub key: String,
    /// Where the key stands.
    pub key_span: Span,
    /// The value: a literal.
    pub value: Expr,
}

/// `test "name" { … }`
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    /// Its `##` lines.
    pub doc: Option<String>,
    /// Its name, unescaped.
    pub name: String,
    /// Where the name stands.
    pub name_span: Span,
    /// The clauses, in order.
    pub clauses: Vec<TestClause>,
    /// The whole.
    pub span: Span,
}

/// A clause of a test.
#[derive(Debug, Clone, PartialEq)]
pub struct TestClause {
    /// Which.
    pub kind: TestClauseKind,
    /// The whole.
    pub span: Span,
}

/// The clauses of a test.
#[derive(Debug, Clone, PartialEq)]
pub enum TestClauseKind {
    /// `given NAME [ {…}, … ]`
    Given(FlowRef, Expr),
    /// `then FLOW [ {…}, … ]`
    Then(FlowRef, Expr),
    /// `then error CODE`
    ThenError(Name),
    /// `at @…`
    At(Expr),
    /// `advance watermark to @…`
    AdvanceWatermark(Expr),
    /// `given param name = value`
    GivenParam(Name, Expr),
}
