//! Records what the checker finds out for [`Facts`], where someone asked for them. Changes nothing of what is checked.

use crate::check::Checker;
use crate::check::scope::{Column, Rows};
use crate::facts::{Facts, Shape, StepShape};
use flowc_ir::Type;
use flowc_syntax::span::Span;
use std::sync::Arc;

impl Checker<'_> {
    /// Records something, if facts are asked for and this is no repetition.
    fn note(&self, record: impl FnOnce(&mut Facts)) {
        if self.muted.get() == 0
            && let Some(facts) = self.facts.borrow_mut().as_mut()
        {
            record(facts);
        }
    }

    /// Whether anything is recorded at all: what is costly to prepare need not be.
    pub(super) fn is_recording(&self) -> bool {
        self.muted.get() == 0 && self.facts.borrow().is_some()
    }

    /// The type of an expression.
    pub(super) fn note_type(&self, span: Span, ty: &Type) {
        self.note(|facts| {
            facts.types.insert(span, ty.clone());
        });
    }

    /// A name that stands for a column.
    pub(super) fn note_read(&self, span: Span, column: &Column) {
        if let Some(id) = column.lineage {
            self.note(|facts| {
                facts.reads.insert(span, id);
            });
        }
    }

    /// The rows of a source, table or flow.
    pub(super) fn note_relation(&self, name: &str, rows: &Rows) {
        if self.is_recording() {
            let shape = Arc::new(shape(rows));
            self.note(|facts| {
                facts.relations.insert(name.to_string(), shape);
            });
        }
    }

    /// The rows before and behind a step.
    pub(super) fn note_step(&self, span: Span, before: Option<Arc<Shape>>, after: &Rows) {
        if let Some(before) = before {
            let after = Arc::new(shape(after));
            self.note(|facts| {
                facts.steps.insert(span, StepShape { before, after });
            });
        }
    }
}

/// Rows as an editor sees them.
pub(super) fn shape(rows: &Rows) -> Shape {
    Shape { columns: rows.seen().shape(), open: rows.open, kind: rows.kind.clone(), bounded: rows.bounded }
}
