//! A program, checked: its trees, what is wrong with it, and what is known where. Must not know how it came to be checked now.

use crate::TextRange;
use flowc_core::facts::Facts;
use flowc_core::pipeline::{self, CheckOutcome};
use flowc_syntax::Diagnostic;
use flowc_syntax::ast::{Ast, Flow, Item, Name};
use flowc_syntax::span::{FileId, Span};
use std::sync::{Arc, OnceLock};

/// A program as it was checked at some moment.
#[derive(Debug, Default)]
pub struct Analysis {
    /// What checking found.
    pub outcome: CheckOutcome,
    /// What is known where.
    pub facts: Facts,
    /// The syntax trees, by file.
    pub trees: Vec<Ast>,
    /// The diagnostics with those of the proofs.
    pub(crate) proved: OnceLock<Vec<Diagnostic>>,
}

impl Analysis {
    /// Proves what has to hold. This takes many times as long as the rest, so that it is left to whoever has the time: any thread.
    pub fn prove(&self) {
        self.proved.get_or_init(|| pipeline::proved(&self.outcome));
    }

    /// Counts as proved, with nothing more said: proving failed by a mistake that is not the program's.
    pub fn leave_unproved(&self) {
        self.proved.get_or_init(|| self.outcome.diagnostics.clone());
    }

    /// Whether there is nothing left to prove.
    pub fn is_proved(&self) -> bool {
        self.outcome.checked.is_none() || self.proved.get().is_some()
    }

    /// What is wrong, as far as it is known.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        self.proved.get().unwrap_or(&self.outcome.diagnostics)
    }

    /// The file of this path, if the program has it.
    pub fn file(&self, path: &str) -> Option<FileId> {
        self.outcome.sources.files().find(|(_, f)| f.name == path).map(|(id, _)| id)
    }

    /// The path of a file.
    pub fn path(&self, file: FileId) -> &str {
        &self.outcome.sources.file(file).name
    }

    /// The text of a file.
    pub fn text(&self, file: FileId) -> &Arc<str> {
        &self.outcome.sources.file(file).text
    }

    /// The tree of a file.
    pub fn tree(&self, file: FileId) -> &Ast {
        static NONE: Ast = Ast { items: vec![], description: None, broken: vec![] };
        self.trees.get(file.0 as usize).unwrap_or(&NONE)
    }

    /// The declarations of all files, each with its name.
    pub(crate) fn declarations(&self) -> impl Iterator<Item = (&Name, &Item)> {
        self.trees.iter().flat_map(Ast::declarations).filter_map(|item| Some((name_of(item)?, item)))
    }

    /// The flow of this name.
    pub(crate) fn flow(&self, name: &str) -> Option<&Flow> {
        self.trees.first()?.declarations().find_map(|item| match item {
            Item::Flow(flow) if flow.name.text == name => Some(flow),
            _ => None,
        })
    }
}

/// The name of a declaration that has one.
pub(crate) fn name_of(item: &Item) -> Option<&Name> {
    item.name()
}

/// The documentation of a declaration.
pub(crate) fn doc_of(item: &Item) -> Option<&str> {
    match item {
        Item::Use(_) => None,
        Item::Param(x) => x.doc.as_deref(),
        Item::Source(x) => x.doc.as_deref(),
        Item::Table(x) => x.doc.as_deref(),
        Item::Function(x) => x.doc.as_deref(),
        Item::Flow(x) => x.doc.as_deref(),
        Item::Sink(x) => x.doc.as_deref(),
        Item::Test(x) => x.doc.as_deref(),
    }
}

/// A place of the syntax as bytes.
pub(crate) fn range(span: Span) -> TextRange {
    span.start as usize..span.end as usize
}

/// Whether a byte lies in a place, or directly behind it.
pub(crate) fn touches(span: Span, file: FileId, offset: usize) -> bool {
    span.file == file && span.start as usize <= offset && offset <= span.end as usize
}
