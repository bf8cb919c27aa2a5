//! What an editor asks of programs: mistakes, hover, completion, definitions, symbols and the rest, for files whose texts change while they are written.
//!
//! Invariants: pure: no I/O, no clock, no threads; files come in through [`Loader`], tables as [`Tables`]. Places are byte offsets and paths, never lines of a
//! protocol. Nothing panics on a text that is broken, and a table that is not read yet makes no mistakes. This crate must not know of protocols or editors.

mod analysis;
mod assists;
mod complete;
mod cursor;
mod cut;
mod diagnostics;
mod format;
mod hints;
mod hover;
mod lenses;
mod lines;
mod navigate;
mod occurrences;
mod outline;
mod picture;
mod rename;
mod signature;
mod tables;
mod tokens;
mod words;
mod workspace;

pub use analysis::Analysis;
pub use complete::{Completion, CompletionKind};
pub use cut::{Cut, CutError, RowsOf};
pub use diagnostics::{Edit, Problem, QuickFix, Related};
pub use flowc_core::load::{LoadError, Loader};
pub use flowc_syntax::Severity;
pub use format::{format, format_within};
pub use hints::Hint;
pub use hover::Hover;
pub use lenses::{Lens, LensAction};
pub use lines::{LineIndex, Position};
pub use navigate::Place;
pub use outline::{Symbol, SymbolKind};
pub use picture::{Graph, GraphEdge, GraphNode, Lineage, LineageColumn};
pub use rename::RenameError;
pub use signature::SignatureHelp;
pub use tables::{Question, Tables};
pub use tokens::{SemanticKind, SemanticToken};
pub use workspace::{PathLister, Workspace};

/// Bytes of a text.
pub type TextRange = std::ops::Range<usize>;
