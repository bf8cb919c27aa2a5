//! Text to syntax tree, with places, diagnostics and the formatter.
//!
//! Invariants: parsing never fails and does no I/O, every byte belongs to a node or an error, `parse(format(parse(x))) == parse(x)`.
//! This crate must not know of types, tables or the runtime.

pub mod ast;
mod build;
pub mod codes;
mod comments;
pub mod diagnostic;
mod explain;
mod format;
mod grammar;
mod highlight;
mod lex;
mod parse;
pub mod print;
mod recover;
pub mod render;
pub mod span;
pub mod words;

pub use ast::Ast;
pub use diagnostic::{Diagnostic, Fix, Help, Label, Severity, did_you_mean};
pub use format::format;
pub use highlight::{TokenKind, highlight};
pub use parse::{Parses, parse};
pub use print::{print, same};
pub use render::{RenderOptions, render, to_json};
pub use span::{FileId, SourceFile, SourceMap, Span};
