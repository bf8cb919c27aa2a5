//! Programs that compute columns which only the next operator needs.

use flowc_ir::{Expr, ExprKind, Field, Output, Program, ProgramStep, Schema};

/// A program that passes all columns on and adds temporary ones, each expression once.
pub(super) struct WithTemporaries {
    program: Program,
}

impl WithTemporaries {
    /// All columns of `input`, so far.
    pub(super) fn new(input: &Schema) -> Self {
        WithTemporaries { program: Program { input: input.clone(), steps: vec![], outputs: pass(input, input.len()) } }
    }

    /// No columns, so far.
    pub(super) fn empty(input: &Schema) -> Self {
        WithTemporaries { program: Program { input: input.clone(), steps: vec![], outputs: vec![] } }
    }

    /// Keeps only rows for which this is true; expressions added later are not evaluated for others.
    pub(super) fn filter(&mut self, condition: Expr) {
        self.program.steps.push(ProgramStep::Filter(condition));
    }

    /// The position of a column with this value: an existing one, or a new one.
    pub(super) fn column(&mut self, value: Expr) -> usize {
        let name = match value.kind {
            ExprKind::Column(index) => self.program.input.fields.get(index).cloned(),
            _ => None,
        };
        self.named(value, name.as_ref())
    }

    /// As [`Self::column`], computed where it stands among the filters.
    pub(super) fn column_in_order(&mut self, value: Expr) -> usize {
        if matches!(value.kind, ExprKind::Column(_)) {
            return self.column(value);
        }
        let lets = self.program.steps.iter().filter(|s| matches!(s, ProgramStep::Let(_))).count();
        let slot = self.program.input.len() + lets;
        let column = Expr::new(ExprKind::Column(slot), value.ty.clone(), value.origin);
        self.program.steps.push(ProgramStep::Let(value));
        self.column(column)
    }

    /// As [`Self::column`]; a new column gets this name.
    pub(super) fn named(&mut self, value: Expr, name: Option<&Field>) -> usize {
        let same = |o: &Output| o.value.kind == value.kind && o.value.ty == value.ty && o.field.ty == value.ty;
        if let Some(position) = self.program.outputs.iter().position(same) {
            return position;
        }
        let field = match name {
            Some(field) if self.program.outputs.iter().all(|o| o.field.name != field.name) => {
                Field { ty: value.ty.clone(), ..field.clone() }
            }
            _ => Field::new(fresh(|n| self.program.outputs.iter().any(|o| o.field.name == n)), value.ty.clone()),
        };
        self.program.outputs.push(Output { field, value });
        self.program.outputs.len() - 1
    }

    /// Whether it does nothing.
    pub(super) fn is_identity(&self) -> bool {
        self.program.steps.is_empty() && self.program.outputs.len() == self.program.input.len()
    }

    pub(super) fn finish(self) -> Program {
        self.program
    }
}

/// A name that is not taken; users' columns may have any name.
pub(super) fn fresh(taken: impl Fn(&str) -> bool) -> String {
    (0..).map(|n| format!("#{n}")).find(|name| !taken(name)).unwrap_or_default()
}

/// The first columns as they are.
pub(super) fn pass(input: &Schema, count: usize) -> Vec<Output> {
    let columns = input.fields.iter().enumerate().take(count);
    columns.map(|(i, field)| Output { field: field.clone(), value: column(i, field) }).collect()
}

/// The column at a position.
pub(super) fn column(index: usize, field: &Field) -> Expr {
    Expr::new(ExprKind::Column(index), field.ty.clone(), flowc_ir::Origin::default())
}

/// A program that gives the columns at these positions, called as in `to`.
pub(super) fn choose(input: &Schema, positions: &[usize], to: &Schema) -> Program {
    let outputs = positions.iter().zip(&to.fields);
    let outputs = outputs.map(|(p, field)| Output { field: field.clone(), value: column(*p, &input.fields[*p]) });
    Program { input: input.clone(), steps: vec![], outputs: outputs.collect() }
}
