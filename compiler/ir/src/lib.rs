//! The typed middle of flowc: types, values, expressions, the dataflow graph and the plan, the table of built-in functions, the interface of kernels and
//! the compiler's door to the world.
//!
//! Invariants: everything here is pure data with a text form; the interpreter *is* the meaning of expressions. This crate must not know of the syntax,
//! of how code is generated, or of the runtime.

pub mod aggregates;
pub mod arrow_types;
pub mod arrow_values;
pub mod calendar;
pub mod cast;
pub mod catalog;
pub mod eval;
pub mod expr;
pub mod failing;
pub mod functions;
pub mod graph;
pub mod interpret;
pub mod join_side;
pub mod key_pruning;
pub mod plan;
pub mod shared;
#[cfg(any(test, feature = "testgen"))]
pub mod testgen;
pub mod text;
pub mod types;
pub mod value;
pub mod vector;
pub mod verify;
pub mod zone;

pub use expr::{CastFailure, Expr, ExprKind, LocalId, Origin, Output, Program, ProgramStep};
pub use types::{DataType, Field, Schema, Type};
pub use value::Value;
