//! What the checker knew at each place of a program, for editors: types of expressions, the columns before and behind each step, where columns come from.
//! Recorded by the checker while it checks, never computed a second time. Must not know what an editor makes of it.

use flowc_ir::Type;
use flowc_ir::graph::Kind;
use flowc_ir::shared::SharedVec;
use flowc_syntax::span::Span;
use smol_str::SmolStr;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What was recorded of a program. Of a program with mistakes it is what could be understood.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// The types of expressions, by their places. Bodies of functions are recorded where they are declared, not where they are called.
    pub types: BTreeMap<Span, Type>,
    /// All columns that rows have anywhere; an index is a column's identity: a column that passes a step unchanged keeps it.
    pub columns: Vec<ColumnOrigin>,
    /// The names that read a column, or take it out, by their places: which column.
    pub reads: BTreeMap<Span, usize>,
    /// The rows of sources, tables and flows, by name.
    pub relations: BTreeMap<String, Arc<Shape>>,
    /// The rows before and behind each step, by the step's place.
    pub steps: BTreeMap<Span, StepShape>,
}

/// Where a column comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnOrigin {
    /// Its name there.
    pub name: String,
    /// The name that makes it; of a column that a table has, the name of the source or table, or the column in its `schema`.
    pub span: Span,
    /// The columns that it is computed from.
    pub from: Vec<usize>,
    /// Whether a table or file has it, so that the program cannot call it otherwise.
    pub stored: bool,
}

/// Rows before and behind a step.
#[derive(Debug, Clone, PartialEq)]
pub struct StepShape {
    /// What the step sees.
    pub before: Arc<Shape>,
    /// What it gives.
    pub after: Arc<Shape>,
}

/// Rows as the checker knows them.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// The columns, in order.
    pub columns: SharedVec<ShapeColumn>,
    /// Whether there may be more columns, because something before is wrong or not known yet.
    pub open: bool,
    /// Whether rows are only added.
    pub kind: Kind,
    /// Whether they end.
    pub bounded: bool,
}

/// A column of rows.
#[derive(Debug, Clone, PartialEq)]
pub struct ShapeColumn {
    /// Its name, without the table's.
    pub name: SmolStr,
    /// The joined table, or its alias, that it belongs to.
    pub table: Option<SmolStr>,
    /// Its type as readers see it; none: it is wrong.
    pub ty: Option<Type>,
    /// Its documentation.
    pub comment: Option<SmolStr>,
    /// Which column it is: an index into [`Facts::columns`].
    pub id: Option<usize>,
}

impl ShapeColumn {
    /// As an expression reads it: `device.site`, `value`.
    pub fn written(&self) -> String {
        let quote = flowc_ir::types::quote_name;
        match &self.table {
            Some(table) => format!("{}.{}", quote(table), quote(&self.name)),
            None => quote(&self.name),
        }
    }
}
