//! Programs that compute columns which only the next operator needs. Such a column is named by what it computes, `#v * 2`: wherever the optimizer puts it, the
//! name says what the state of a step depends on (see [`hidden`]).

use crate::explain::expression::{name, show};
use flowc_ir::{Expr, ExprKind, Field, LocalId, Output, Program, ProgramStep, Schema};
use std::collections::BTreeMap;

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

    /// As [`Self::column`]; a new column gets this name, if it is not taken.
    fn named(&mut self, value: Expr, name: Option<&Field>) -> usize {
        let same = |o: &Output| o.value.kind == value.kind && o.value.ty == value.ty && o.field.ty == value.ty;
        if let Some(position) = self.program.outputs.iter().position(same) {
            return position;
        }
        let taken = |n: &str| self.program.outputs.iter().any(|o| o.field.name == n);
        let field = match name {
            Some(field) if !taken(&field.name) => Field { ty: value.ty.clone(), ..field.clone() },
            _ => Field::new(hidden(&self.words(&value), taken), value.ty.clone()),
        };
        self.program.outputs.push(Output { field, value });
        self.program.outputs.len() - 1
    }

    /// What a value is, in words.
    fn words(&self, value: &Expr) -> String {
        let words = text(value, &self.slots());
        let whole = || words.strip_prefix('(')?.strip_suffix(')');
        // A computed slot stands in parentheses, which it needs only inside of something.
        match value.kind {
            ExprKind::Column(_) => whole().unwrap_or(&words).to_string(),
            _ => words,
        }
    }

    /// What each column slot is, in words.
    fn slots(&self) -> Vec<String> {
        let mut slots: Vec<String> = self.program.input.fields.iter().map(|field| name(&field.name)).collect();
        for step in &self.program.steps {
            if let ProgramStep::Let(value) = step {
                let whole = text(value, &slots);
                slots.push(if matches!(value.kind, ExprKind::Column(_)) { whole } else { format!("({whole})") });
            }
        }
        slots
    }

    /// Whether it does nothing.
    pub(super) fn is_identity(&self) -> bool {
        self.program.steps.is_empty() && self.program.outputs.len() == self.program.input.len()
    }

    pub(super) fn finish(self) -> Program {
        self.program
    }
}

/// Longer texts are cut: a name goes with every batch that is stored.
const LONGEST: usize = 160;

/// The name of a column that no user sees, by what it is; a number is behind it where that name is taken. Users' columns may have any name, but few begin
/// like this. What a step remembers depends on these names: others for the same things would make it useless.
pub(super) fn hidden(text: &str, taken: impl Fn(&str) -> bool) -> String {
    let mut base = format!("#{text}");
    if base.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|end| base.is_char_boundary(*end)).unwrap_or(0);
        // FNV-1a: what is cut off counts, too.
        let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let rest = base.bytes().fold(0xcbf2_9ce4_8422_2325, fold);
        base = format!("{}… {rest:016x}", &base[..end]);
    }
    if !taken(&base) {
        return base;
    }
    (2..).map(|n: u64| format!("{base}#{n}")).find(|name| !taken(name)).unwrap_or_default()
}

/// An expression in words: the same whatever number its variables have.
pub(super) fn text(value: &Expr, slots: &[String]) -> String {
    let mut value = value.clone();
    let mut numbers: BTreeMap<LocalId, LocalId> = BTreeMap::new();
    value.walk(&mut |e| {
        if let ExprKind::Let { local, .. } = &e.kind {
            let next = LocalId(numbers.len() as u32);
            numbers.entry(*local).or_insert(next);
        }
    });
    value.walk_mut(&mut |e| match &mut e.kind {
        ExprKind::Let { local, .. } | ExprKind::Local(local) => *local = numbers.get(local).copied().unwrap_or(*local),
        _ => {}
    });
    show(&value, slots)
}

/// The first columns as they are.
pub(super) fn pass(input: &Schema, count: usize) -> Vec<Output> {
    let columns = input.fields.iter().enumerate().take(count);
    columns.map(|(i, field)| Output { field: field.clone(), value: column(i, field) }).collect()
}

/// A program that lets all columns through.
pub(super) fn all(input: &Schema) -> Program {
    Program { input: input.clone(), steps: vec![], outputs: pass(input, input.len()) }
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

#[cfg(test)]
mod tests {
    use super::*;
    use flowc_ir::functions::find;
    use flowc_ir::{CastFailure, DataType, Origin, Type, Value};

    fn expr(kind: ExprKind) -> Expr {
        Expr::new(kind, Type::new(DataType::Long), Origin::default())
    }

    fn call(name: &str, args: Vec<Expr>) -> Expr {
        expr(ExprKind::Call { function: find(name).unwrap(), args })
    }

    fn doubled(slot: usize) -> Expr {
        call("multiply", vec![expr(ExprKind::Column(slot)), expr(ExprKind::Literal(Value::Long(2)))])
    }

    fn table() -> WithTemporaries {
        let fields = ["v", "device.site", "a column"].map(|name| Field::new(name, Type::new(DataType::Long)));
        WithTemporaries::new(&Schema::new(fields.to_vec()))
    }

    /// The state of steps is found by these names: one that changes makes what was remembered useless.
    #[test]
    fn a_hidden_column_is_named_by_what_it_computes() {
        let mut columns = table();
        let wide = |value| expr(ExprKind::Cast { value: Box::new(value), on_failure: CastFailure::Never });
        let values = [
            doubled(0),
            call("add", vec![doubled(1), expr(ExprKind::Column(2))]),
            call("greater", vec![call("subtract", vec![doubled(0), wide(expr(ExprKind::Column(1)))]), doubled(0)]),
            wide(expr(ExprKind::Column(0))),
            expr(ExprKind::IsNull(Box::new(expr(ExprKind::Column(0))))),
        ];
        let places: Vec<usize> = values.into_iter().map(|value| columns.column(value)).collect();
        let program = columns.finish();
        let names: Vec<&str> = places.into_iter().map(|place| program.outputs[place].field.name.as_str()).collect();
        let wanted = ["#v * 2", "#device.site * 2 + `a column`", "#v * 2 - device.site > v * 2", "#v", "#v is null"];
        assert_eq!(names, wanted);
    }

    #[test]
    fn what_was_computed_before_is_part_of_the_name() {
        let mut columns = table();
        columns.column_in_order(doubled(0));
        let again = columns.column_in_order(doubled(3));
        assert_eq!(columns.finish().outputs[again].field.name, "#(v * 2) * 2");
    }

    #[test]
    fn numbers_of_variables_are_no_part_of_the_name() {
        let bound = |number: u32| {
            let (local, value) = (LocalId(number), Box::new(expr(ExprKind::Column(0))));
            let of = || expr(ExprKind::Local(local));
            expr(ExprKind::Let { local, value, body: Box::new(call("add", vec![of(), of()])) })
        };
        let slots = vec!["v".to_string()];
        assert_eq!(text(&bound(7), &slots), "let %0 = v in %0 + %0");
        assert_eq!(text(&bound(3), &slots), text(&bound(7), &slots));
    }

    #[test]
    fn names_are_unique_and_not_too_long() {
        assert_eq!(hidden("v", |name| name == "#v"), "#v#2");
        let long = |end: &str| hidden(&format!("{}{end}", "ä + ".repeat(60)), |_| false);
        assert!(long("a").len() < LONGEST + 24, "{}", long("a"));
        assert_ne!(long("a"), long("b"));
        assert_eq!(long("a"), long("a"));
    }
}
