//! The laws of the typed middle, checked. Every stage that makes or changes a program, a graph or a plan has to keep them; whoever reads one may rely on
//! them. A violation is a bug of the compiler, never of a user's program. It must not know of how programs are made.
//!
//! # Laws of expressions
//! - *Scope*: a column is an input or an earlier `Let` of its program; a variable has its `Let` around it, in whose body it stands.
//! - *UniqueLocals*: no variable is bound twice in an expression tree.
//! - *SlotType*: a column or a variable has the data type of what it refers to. Either may have lost its null (the checker narrows).
//! - *LiteralType*: a literal is a value of its type; null only of a nullable one.
//! - *CallType*: operands have the types that [`resolve`](crate::functions::resolve) asks for, the call has the type that it yields, or may besides be null.
//! - *Boolean*: conditions, and the operands of and, or, not, are boolean; so are and, or, not, is-null and membership themselves.
//! - *Branches*: both branches of an `if`, all operands of a coalesce, the body of a `Let` and the operand of a `try` have the data type of the whole.
//! - *Null*: an expression that may be null has a nullable type.
//! - *Operands*: and, or and coalesce have operands.
//! - *CastType*: a conversion exists; one that never fails is a widening; one that can fail and then
//!   yields null is nullable.
//! - *Nested*: a field exists in its struct and has its data type; structs and arrays are built of values of the fields' and elements' types.
//!
//! # Laws of programs
//! - *Boolean*: filters and assertions.
//! - *OutputType*: an output has the type of its expression, or may besides be null.
//! - *UniqueNames*: no two columns of a schema have one name.
//!
//! # Laws of graphs and plans
//! - *Order*: a node's inputs come before it, and there are as many as its operator takes.
//! - *Reference*: sources, tables and sinks that nodes speak of exist; malformed records are those of a source that keeps them; late rows are those of an
//!   operator that has some; every sink has exactly
//!   one node, and it is fed by the node that the sink names; a lookup as of a time is one in a table that is not pinned to a version.
//! - *Position*: columns that operators refer to exist.
//! - *SchemaAgreement*: what a node expects is what its inputs yield, and its schema is what its operator makes of them (comments aside); what is
//!   read of a source is among what its records are judged by.
//! - *KeyType*: keys of a lookup have equal types on both sides; keys of any kind can be compared; a mark lookup is not as of a time.
//! - *Window*: event times, and the times of versions, are timestamps, durations are not negative, and there is an event time where there is a duration; windows have a length.
//! - *Bounded*: aggregation, sort, limit, and what bounds its state by neither window nor duration have bounded input; a table's rows are bounded; a sink that replaces is computed whole.
//! - *Predicate*: a predicate or residual reads the columns it is for and yields one boolean; a source that keeps malformed records has none.
//! - *Weight*: rows that change, and no others, have a column of weights; a step over rows that change yields rows that change, unless it looks at the whole of rows that
//!   are there; a sink takes rows that change by a key, or as a whole.
//! - *AggregateType*: an aggregate's type is what its function yields for its operands.

mod expr;
mod graph;
#[cfg(test)]
pub(crate) mod tests;

use crate::expr::Program;
use crate::plan::Plan;
use std::fmt;

/// Which law.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the module says what each asks")]
pub enum Law {
    Scope,
    UniqueLocals,
    SlotType,
    LiteralType,
    CallType,
    Boolean,
    Branches,
    Null,
    Operands,
    CastType,
    Nested,
    OutputType,
    UniqueNames,
    Order,
    Reference,
    Position,
    SchemaAgreement,
    KeyType,
    Window,
    Bounded,
    Predicate,
    Weight,
    AggregateType,
}

/// A broken law.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub law: Law,
    /// Where: `node 3 (clean |> where): filter 0`.
    pub place: String,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {}: {}", self.law, self.place, self.message)
    }
}

impl std::error::Error for Violation {}

/// Violations as they are found, with the place where the check is.
#[derive(Default)]
struct Findings {
    place: String,
    found: Vec<Violation>,
}

impl Findings {
    fn report(&mut self, law: Law, message: impl Into<String>) {
        self.found.push(Violation { law, place: self.place.clone(), message: message.into() });
    }

    fn check(&mut self, law: Law, holds: bool, message: impl FnOnce() -> String) {
        if !holds {
            self.report(law, message());
        }
    }

    /// Runs the checks at a place inside the present one.
    fn at(&mut self, place: &str, checks: impl FnOnce(&mut Self)) {
        let length = self.place.len();
        if length > 0 {
            self.place.push_str(": ");
        }
        self.place.push_str(place);
        checks(self);
        self.place.truncate(length);
    }

    fn result(self) -> Result<(), Vec<Violation>> {
        if self.found.is_empty() { Ok(()) } else { Err(self.found) }
    }
}

/// Checks the laws of expressions and programs.
pub fn verify_program(program: &Program) -> Result<(), Vec<Violation>> {
    let mut findings = Findings::default();
    expr::program(&mut findings, program);
    findings.result()
}

/// Checks all laws.
pub fn verify(plan: &Plan) -> Result<(), Vec<Violation>> {
    let mut findings = Findings::default();
    graph::plan(&mut findings, plan);
    findings.result()
}

/// Checks all laws where `debug_assertions` are on, and panics with what is broken: for stages to call on what they made.
pub fn debug_verify(plan: &Plan, stage: &str) {
    if cfg!(debug_assertions)
        && let Err(violations) = verify(plan)
    {
        let list: Vec<String> = violations.iter().map(Violation::to_string).collect();
        panic!("{stage} broke the laws of the plan:\n{}", list.join("\n"));
    }
}
