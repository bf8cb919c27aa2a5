//! `x in table.column`: a test against a table's snapshot. While an expression is typed, each such test stands as a column that does not exist yet; a step
//! before the expression's own computes it.

use crate::check::flow::FlowBuilder;
use crate::check::scope::{Column, Env, Rows};
use crate::check::types::span_of;
use crate::check::{Checker, Used, article, origin};
use crate::checked::{Input, Operation};
use crate::codes;
use crate::optimize::analysis::can_fail;
use flowc_ir::{DataType, Expr, ExprKind, Type};
use flowc_syntax::ast::{self, Name, Step};
use flowc_syntax::diagnostic::Diagnostic;
use flowc_syntax::span::Span;

/// Slots from here on are tests that have no column yet.
const FIRST: usize = usize::MAX / 2;

/// A test against a table's column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Mark {
    /// The table of this index.
    pub table: usize,
    /// The place of the column in the table.
    pub column: usize,
    /// What is looked for, in the type in which both are compared.
    pub value: Expr,
    /// The type of the answer.
    pub ty: Type,
    /// What it is called in plans: `id in device.id`.
    pub name: String,
}

impl Checker<'_> {
    /// The table's column that the right side of an `in` names; none: it is another expression.
    pub(super) fn table_column<'e>(&self, env: &Env<'_>, list: &'e ast::Expr) -> Option<(&'e Name, &'e Name)> {
        let ast::ExprKind::Field(base, column) = &list.kind else { return None };
        let ast::ExprKind::Name(table) = &base.kind else { return None };
        let shadowed = env.rows.own(&table.text).is_some()
            || env.rows.has_table(&table.text)
            || env.locals.iter().any(|l| l.name == table.text)
            || self.declarations.params.contains_key(&table.text);
        (!shadowed && self.declarations.relations.contains_key(&table.text)).then_some((table, column))
    }

    /// `value in table.column`
    pub(super) fn in_table(
        &self,
        env: &mut Env<'_>,
        value: Option<Expr>,
        (table, column): (&Name, &Name),
        span: Span,
    ) -> Option<Expr> {
        let reference = ast::FlowRef { name: table.clone(), output: None, span: table.span };
        self.mark(Used::Relation, &table.text);
        let done = self.relation(&reference)?;
        let Input::Table(index) = done.input else {
            let word = self.declarations.relations.get(&table.text).map_or("flow", |r| r.word());
            self.refuse(
                table.span,
                format!("`in` looks into a table, and `{}` is a {word}", table.text),
                "rows of a stream come and go",
                "declare what is looked up as a `table`: a snapshot of it is taken when an epoch starts",
            );
            return None;
        };
        let Some(found) = done.rows.own(&column.text) else {
            if !done.rows.open {
                let names: Vec<&str> = done.rows.columns.iter().map(|c| c.name.as_str()).collect();
                self.report(
                    Diagnostic::error(
                        codes::UNKNOWN_COLUMN,
                        column.span,
                        format!("`{}` has no column `{}`", table.text, column.text),
                    )
                    .label("unknown column")
                    .help(super::names::suggestion(&column.text, &names, "its columns are")),
                );
            }
            return None;
        };
        let (value, theirs) = (value?, found.ty.clone()?);
        let common = value.ty.data.common(&theirs.data).filter(DataType::is_orderable);
        let comparable = common.filter(|c| value.ty.data.widens_to(c) && theirs.data.widens_to(c));
        let Some(common) = comparable else {
            self.report(
                Diagnostic::error(
                    codes::NOT_COMPARABLE,
                    column.span,
                    format!("{} is not looked for among {}", article(&value.ty.data), article(&theirs.data)),
                )
                .label(format!("this is {}", article(&theirs)))
                .also(span_of(&value), format!("this is {}", article(&value.ty)))
                .help(format!("convert the value: `(…) as {}`", theirs.data)),
            );
            return None;
        };
        self.mark_can_stand(env, &value, span)?;
        let nullable = value.ty.nullable || theirs.nullable;
        let ty = Type::boolean().with_nullable(nullable);
        let value = self.converted(value, &common);
        let name = format!("#in {}.{}", table.text, column.text);
        let mark = Mark { table: index, column: found.slot, value, ty: ty.clone(), name };
        let marks = env.marks.as_mut()?;
        let place = marks.iter().position(|m| *m == mark).unwrap_or_else(|| {
            marks.push(mark);
            marks.len() - 1
        });
        Some(Expr::new(ExprKind::Column(FIRST + place), ty, origin(span)))
    }

    /// Whether the test can be made in a step before: there, and for every row.
    fn mark_can_stand(&self, env: &Env<'_>, value: &Expr, span: Span) -> Option<()> {
        let mut variables = false;
        value.walk(&mut |e| variables |= matches!(e.kind, ExprKind::Local(_)));
        if env.marks.is_none() || env.closed || variables {
            self.refuse(
                span,
                "`in` a table's column stands in conditions of `where` and `expect` only".to_string(),
                "not here",
                "keep or drop rows with `|> where … in …`, or look up with `|> left join table on …`",
            );
            return None;
        }
        if can_fail(value) {
            self.refuse(
                span_of(value),
                "what is looked for in a table must not fail".to_string(),
                "fails for some rows",
                "compute it in a step before: `|> extend key = …`; or `try(…)`, which gives null",
            );
            return None;
        }
        Some(())
    }

    fn refuse(&self, span: Span, message: String, label: &str, help: &str) {
        self.report(Diagnostic::error(codes::MEMBERSHIP, span, message).label(label).help(help));
    }

    /// Adds steps that compute the tests, each a column behind the others; their slots.
    pub(super) fn push_marks(
        &self,
        flow: &mut FlowBuilder,
        step: &Step,
        keyword: &'static str,
        marks: Vec<Mark>,
    ) -> Vec<usize> {
        let mut slots = vec![];
        for mark in marks {
            let mut rows: Rows = flow.rows.clone();
            let slot = rows.columns.len();
            let taken = |name: &str| rows.columns.iter().any(|c| c.full_name() == name);
            let name = (1..).map(|n| if n == 1 { mark.name.clone() } else { format!("{} {n}", mark.name) });
            let name = name.into_iter().find(|name| !taken(name)).unwrap_or_default();
            let ty = Some(mark.ty);
            rows.columns.push(Column { name: name.into(), table: None, ty, comment: None, slot, lineage: None });
            let operation = Operation::Mark { table: mark.table, column: mark.column, value: mark.value };
            flow.push(step, keyword, operation, rows);
            slots.push(slot);
        }
        slots
    }
}

/// The expression with the slots of its tests.
pub(crate) fn with_slots(mut e: Expr, slots: &[usize]) -> Expr {
    e.walk_mut(&mut |e| {
        if let ExprKind::Column(slot) = &mut e.kind
            && *slot >= FIRST
        {
            *slot = slots[*slot - FIRST];
        }
    });
    e
}

/// The expression with its tests as tests of the values: for what follows from them.
pub(crate) fn without_marks(e: &Expr, marks: &[Mark]) -> Expr {
    let mut e = e.clone();
    e.walk_mut(&mut |e| {
        if let ExprKind::Column(slot) = e.kind
            && slot >= FIRST
        {
            e.kind = ExprKind::InList { value: Box::new(marks[slot - FIRST].value.clone()), list: vec![] };
        }
    });
    e
}

/// Calls `f` for an expression of the syntax and all inside of it.
pub(crate) fn walk(e: &ast::Expr, f: &mut impl FnMut(&ast::Expr)) {
    f(e);
    e.children().into_iter().for_each(|child| walk(child, f));
}
