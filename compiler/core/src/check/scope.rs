//! What an expression sees: columns, locals and the facts known of them. Pure data; knows nothing of declarations or diagnostics.

use crate::check::columns::Columns;
use crate::check::membership::Mark;
use crate::check::narrow::Facts;
use crate::checked::EventTime;
use flowc_ir::graph::Kind;
use flowc_ir::{Expr, Field, LocalId, Schema, Type};
use flowc_syntax::span::Span;
use smol_str::SmolStr;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// A column of the rows between two steps, or inside one.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    /// Its name, without the table's.
    pub name: SmolStr,
    /// The joined table (or its alias) that it belongs to; none for the flow's own columns.
    pub table: Option<SmolStr>,
    /// Its type as stored in the slot; none: the expression that computes it is wrong (and was reported).
    pub ty: Option<Type>,
    /// Its documentation.
    pub comment: Option<SmolStr>,
    /// Its position in the program of the step.
    pub slot: usize,
    /// Where it comes from, for the warning about columns that nobody reads.
    pub lineage: Option<usize>,
}

impl Column {
    /// The name that the column has in a schema.
    pub fn full_name(&self) -> Cow<'_, str> {
        match &self.table {
            Some(table) => format!("{table}.{}", self.name).into(),
            None => self.name.as_str().into(),
        }
    }

    /// Its field in a schema.
    pub fn full_field(&self, ty: Type) -> Field {
        let comment = self.comment.as_ref().map(SmolStr::to_string);
        Field { name: self.full_name().into_owned(), ty, comment }
    }

    /// The field that has its own name and comment.
    pub fn field(&self, ty: Type) -> Field {
        Field { name: self.name.to_string(), ty, comment: self.comment.as_ref().map(SmolStr::to_string) }
    }
}

/// The step that keeps rows from being appended, for the message at the sink.
#[derive(Debug, Clone)]
pub(crate) struct Obstacle {
    /// The step's keyword.
    pub span: Span,
    /// What it is called: `aggregate`, `sort`.
    pub step: &'static str,
    /// What would let it go on.
    pub remedy: Remedy,
}

/// What a step over rows without end lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// An end: nothing else helps.
    End,
    /// The whole result: there is one row, and no key of it.
    Whole,
    /// A bound in event time.
    Within,
    /// A watermark of these sources.
    Watermark(BTreeSet<Spring>),
}

/// What rows come from, in words: `source` and its name.
pub(crate) type Spring = (&'static str, String);

/// What is known of the time of rows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clock {
    /// Where the event time is: in an own column.
    pub event: Option<EventTime>,
    /// The own columns with the start and the end of each row's window.
    pub window: Option<(String, String)>,
    /// The watermark's delay in microseconds, the longest of several; none: there is no watermark.
    pub watermark: Option<i64>,
    /// What of the rows comes from has no event time.
    pub timeless: BTreeSet<Spring>,
    /// What of the rows comes from has no watermark.
    pub unmarked: BTreeSet<Spring>,
    /// The step that lost the event time.
    pub lost: Option<(Span, &'static str)>,
    /// Whether the order of the rows depends on how the input is cut into epochs.
    pub unordered: bool,
    /// Whether no row is late: each comes when the watermark passes it.
    pub punctual: bool,
}

impl Clock {
    /// That of rows from somewhere without event time.
    pub fn without_time(word: &'static str, name: &str) -> Self {
        let from = BTreeSet::from([(word, name.to_string())]);
        Clock { timeless: from.clone(), unmarked: from, ..Clock::default() }
    }

    /// That of rows whose event time is missed, which was reported: nothing else about their time is said.
    pub fn assume(&mut self) {
        self.watermark.get_or_insert(0);
        self.unmarked.clear();
        self.timeless.clear();
    }

    /// The column gets other values.
    pub fn overwrite(&mut self, column: &str) {
        self.event.take_if(|event| event.column() == column);
        self.window.take_if(|(start, end)| start == column || end == column);
    }

    /// Columns get other names.
    pub fn rename(&mut self, renamed: impl Fn(&str) -> Option<String>) {
        let renamed = |name: &mut String| *name = renamed(name).unwrap_or_else(|| std::mem::take(name));
        match &mut self.event {
            Some(EventTime::Column(name) | EventTime::WindowEnd(name)) => renamed(name),
            None => {}
        }
        if let Some((start, end)) = &mut self.window {
            renamed(start);
            renamed(end);
        }
    }

    /// That of rows which are these or those.
    pub fn or(&mut self, other: &Clock) {
        self.event.take_if(|event| other.event.as_ref() != Some(event));
        self.window.take_if(|window| other.window.as_ref() != Some(window));
        self.unordered = true;
        self.with(other);
    }

    /// What two streams have in common: the watermark is the earlier one.
    pub fn with(&mut self, other: &Clock) {
        self.watermark = self.watermark.zip(other.watermark).map(|(a, b)| a.max(b));
        self.timeless.extend(other.timeless.iter().cloned());
        self.unmarked.extend(other.unmarked.iter().cloned());
        self.lost = self.lost.or(other.lost);
        self.punctual &= other.punctual;
    }
}

/// The rows between two steps, as the checker knows them.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    /// The columns, in order.
    pub columns: Columns,
    /// Whether there may be columns that are not known, because a table or step before is wrong: an unknown name is then no mistake.
    pub open: bool,
    /// What is known of the columns' values.
    pub facts: Facts,
    /// Whether rows are only added.
    pub kind: Kind,
    /// Whether they end.
    pub bounded: bool,
    /// What is known of their time.
    pub time: Clock,
    /// The step that made the rows changing.
    pub changing: Option<Obstacle>,
    /// The first step that needs all rows, over rows that do not end.
    pub blocked: Option<Obstacle>,
    /// The first step that needs all rows, whether they end or not.
    pub gathered: Option<Obstacle>,
    /// The source that has no end at all, not even that of what it holds now.
    pub endless: Option<Span>,
}

impl Default for Rows {
    fn default() -> Self {
        Rows {
            columns: Columns::default(),
            open: false,
            facts: Facts::default(),
            kind: Kind::Append,
            bounded: true,
            time: Clock::default(),
            changing: None,
            blocked: None,
            gathered: None,
            endless: None,
        }
    }
}

impl Rows {
    /// Rows of which nothing is known because what they come from is wrong.
    pub fn unknown() -> Self {
        Rows { open: true, ..Rows::default() }
    }

    /// The same stream with other columns; facts are not kept.
    pub fn with_columns(&self, columns: impl Into<Columns>) -> Self {
        let mut rows = Rows { columns: columns.into(), facts: Facts::default(), ..self.clone() };
        // Columns that stand where they are stay shared.
        if rows.columns.iter().enumerate().any(|(slot, column)| column.slot != slot) {
            for (slot, column) in rows.columns.iter_mut().enumerate() {
                column.slot = slot;
            }
        }
        let own = |name: &str| rows.columns.iter().any(|c| c.table.is_none() && c.name == name);
        rows.time.event.take_if(|event| !own(event.column()));
        rows.time.window.take_if(|(start, end)| !(own(start) && own(end)));
        rows
    }

    /// These rows meet others: what needed all rows before must not go on without end.
    pub fn meet(&mut self, other: &Rows) {
        self.bounded &= other.bounded;
        self.changing = self.changing.take().or_else(|| other.changing.clone());
        self.blocked = self.blocked.take().or_else(|| other.blocked.clone());
        self.gathered = self.gathered.take().or_else(|| other.gathered.clone());
        self.endless = self.endless.or(other.endless);
        if self.kind == Kind::Append {
            self.kind = other.kind.clone();
        }
        if !self.bounded && self.blocked.is_none() {
            self.blocked = self.gathered.clone().map(|gathered| Obstacle { remedy: Remedy::End, ..gathered });
        }
    }

    /// The flow's own column of this name.
    pub fn own(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|c| c.table.is_none() && c.name == name)
    }

    /// The joined column of this name.
    pub fn joined(&self, table: &str, name: &str) -> Option<&Column> {
        self.columns.iter().find(|c| c.table.as_deref() == Some(table) && c.name == name)
    }

    /// Whether a table is joined under this name.
    pub fn has_table(&self, table: &str) -> bool {
        self.columns.iter().any(|c| c.table.as_deref() == Some(table))
    }

    /// The type of a column as its readers see it: narrowed by the facts.
    pub fn seen_type(&self, column: &Column) -> Option<Type> {
        let ty = column.ty.clone()?;
        let nullable = ty.nullable && !self.facts.slot(column.slot);
        Some(ty.with_nullable(nullable))
    }

    /// The columns with their types as readers see them.
    pub fn seen(&self) -> Columns {
        let narrows = |c: &Column| c.ty.as_ref().is_some_and(|ty| ty.nullable) && self.facts.slot(c.slot);
        if self.facts.is_empty() || !self.columns.iter().any(narrows) {
            return self.columns.clone();
        }
        self.columns.iter().map(|c| Column { ty: self.seen_type(c), ..c.clone() }).collect()
    }

    /// The columns as a schema; a wrong column has the type of `null`.
    pub fn schema(&self) -> Schema {
        self.columns.schema()
    }

    /// Whether everything about the columns is known.
    pub fn is_sound(&self) -> bool {
        !self.open && self.columns.iter().all(|c| c.ty.is_some())
    }

    /// As part of the checked program.
    pub fn checked(&self) -> crate::checked::Rows {
        crate::checked::Rows {
            schema: self.schema(),
            joined: self.columns.iter().map(|c| c.table.is_some()).collect(),
            kind: self.kind.clone(),
            bounded: self.bounded,
            event_time: self.time.event.clone(),
            window: self.time.window.clone(),
        }
    }
}

/// A function's parameter while its body is checked.
#[derive(Debug, Clone)]
pub(crate) struct Local {
    /// Its name.
    pub name: String,
    /// What the name stands for: a [`flowc_ir::ExprKind::Local`], or a simple expression put in its place; none if the operand is wrong.
    pub value: Option<Expr>,
}

/// Where an expression stands, which decides what an aggregate function means there.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// Anywhere but in an aggregate step: aggregates are a mistake.
    Row,
    /// Behind `aggregate`: calls are collected, and stand for columns behind the keys.
    Aggregates(Box<AggregateContext>),
    /// In the operand of an aggregate.
    Operand,
}

/// What is collected from the expressions behind `aggregate`.
#[derive(Debug, Clone)]
pub(crate) struct AggregateContext {
    /// The rows that are aggregated.
    pub input: Rows,
    /// The aggregates found so far.
    pub calls: Vec<crate::checked::CheckedAggregate>,
    /// Whether every group has rows.
    pub keyed: bool,
}

/// What the condition of a rule that judges the epoch sees.
#[derive(Debug, Clone)]
pub(crate) struct Shares {
    /// The rules that judge rows.
    pub rules: Vec<String>,
    /// Those whose shares the condition asks for; each stands for the column of its place.
    pub used: Vec<String>,
}

/// The surroundings of an expression.
#[derive(Debug)]
pub(crate) struct Env<'a> {
    /// The columns.
    pub rows: &'a Rows,
    /// The parameters of the function whose body this is, innermost last.
    pub locals: Vec<Local>,
    /// Whether only locals and parameters are seen: in a function's body.
    pub closed: bool,
    /// What is known here.
    pub facts: Facts,
    /// Values of the `Let`s around, for narrowing through them.
    pub bound: Vec<(LocalId, Expr)>,
    /// The next free variable.
    pub next_local: u32,
    /// The lineages of the columns that were read.
    pub reads: BTreeSet<usize>,
    /// What aggregates mean here.
    pub place: Place,
    /// The columns that the step makes besides, which it does not see.
    pub siblings: Vec<String>,
    /// Tests against tables found so far; none: there can be none here.
    pub marks: Option<Vec<Mark>>,
    /// The rules whose shares may be asked for; none: no shares here.
    pub shares: Option<Shares>,
    /// How many functions are being inlined around this.
    pub depth: usize,
    /// How many expressions are around this, those of inlined functions too.
    pub level: usize,
}

impl<'a> Env<'a> {
    /// The surroundings of an expression over rows.
    pub fn new(rows: &'a Rows) -> Self {
        Env {
            rows,
            locals: vec![],
            closed: false,
            facts: rows.facts.clone(),
            bound: vec![],
            next_local: 0,
            reads: BTreeSet::new(),
            place: Place::Row,
            siblings: vec![],
            marks: None,
            shares: None,
            depth: 0,
            level: 0,
        }
    }

    /// A variable that is used nowhere else in the expression.
    pub fn fresh(&mut self) -> LocalId {
        self.next_local += 1;
        LocalId(self.next_local - 1)
    }

    /// Does something with more facts, and forgets them again.
    pub fn assuming<T>(&mut self, facts: Facts, f: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.facts.clone();
        let facts = facts.through(&self.bound);
        self.facts.add(facts);
        let result = f(self);
        self.facts = before;
        result
    }
}
