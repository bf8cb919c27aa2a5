//! The rows of tests: literals against the columns' types. A value may be any constant expression; what the types leave open in an expression is
//! settled by the column: a struct's missing fields are null, `1.5` may be a decimal.

use crate::check::scope::{Column, Env, Rows};
use crate::check::{Checker, article, constant, origin};
use crate::codes;
use flowc_ir::types::quote_name;
use flowc_ir::{DataType, Field, Origin, Type, Value};
use flowc_syntax::ast::{self, Expr, ExprKind as Ast, Name, UnaryOp};
use flowc_syntax::diagnostic::Diagnostic;
use std::collections::BTreeSet;

/// A column that a row cannot name, and why.
pub(super) type Other = (String, String);

/// An expected row: its place, and a value for each column that it names.
type ExpectedRow = (Origin, Vec<Option<Value>>);

impl Checker<'_> {
    /// Rows of a source or table. `open`: there may be columns that are not known.
    pub(super) fn given_rows(
        &self,
        rows: &Expr,
        columns: &[Column],
        open: bool,
        others: &[Other],
    ) -> Option<Vec<Vec<Value>>> {
        let mut sound = true;
        let mut found = vec![];
        for row in elements(rows) {
            let Some(named) = self.named_values(row, columns, open, others) else {
                sound = false;
                continue;
            };
            let value = |(column, value): (&Column, Option<Value>)| match (value, &column.ty) {
                (Some(value), _) => Some(value),
                (None, Some(ty)) if !ty.nullable => None,
                (None, _) => Some(Value::Null),
            };
            let lacking: Vec<&str> = (columns.iter().zip(&named))
                .filter(|(c, v)| v.is_none() && c.ty.as_ref().is_some_and(|t| !t.nullable))
                .map(|(c, _)| c.name.as_str())
                .collect();
            if !lacking.is_empty() {
                self.lacking(row, columns, &lacking);
                sound = false;
                continue;
            }
            let values: Option<Vec<Value>> = columns.iter().zip(named).map(value).collect();
            found.extend(values);
        }
        sound.then_some(found)
    }

    /// Rows that are expected; those columns that a row names are read.
    pub(super) fn expected_rows(
        &self,
        rows: &Expr,
        columns: &[Column],
        open: bool,
        others: &[Other],
    ) -> Option<Vec<ExpectedRow>> {
        let mut sound = true;
        let mut found = vec![];
        for row in elements(rows) {
            match self.named_values(row, columns, open, others) {
                Some(values) => {
                    let read: BTreeSet<usize> = columns
                        .iter()
                        .zip(&values)
                        .filter(|(_, v)| v.is_some())
                        .filter_map(|(c, _)| c.lineage)
                        .collect();
                    self.lineage.borrow_mut().root(&read);
                    found.push((origin(row.span), values));
                }
                None => sound = false,
            }
        }
        sound.then_some(found)
    }

    fn lacking(&self, row: &Expr, columns: &[Column], lacking: &[&str]) {
        let column = columns.iter().find(|c| c.name == lacking[0]);
        let ty = column.and_then(|c| c.ty.clone()).unwrap_or_else(Type::null);
        let written: Vec<String> = lacking.iter().map(|name| format!("{}: …", quote_name(name))).collect();
        self.report(
            Diagnostic::error(
                codes::TEST_COLUMN_LACKING,
                row.span,
                format!("the row lacks {}, which must not be null", super::list(lacking)),
            )
            .label(format!("`{}` is {}", lacking[0], article(&ty)))
            .help(format!("add `{}`; columns that may be null can be left out", written.join(", "))),
        );
    }

    /// For each column its value in a row; none where the row does not name it.
    fn named_values(&self, row: &Expr, columns: &[Column], open: bool, others: &[Other]) -> Option<Vec<Option<Value>>> {
        let Ast::Struct(fields) = &row.kind else {
            self.report(
                Diagnostic::error(codes::TEST_ROW, row.span, "a row of a test names its columns")
                    .label("not a row")
                    .help("write it in braces: `{ id: 1, value: 2.5 }`"),
            );
            return None;
        };
        let mut sound = true;
        let mut values = vec![None; columns.len()];
        for (i, (name, value)) in fields.iter().enumerate() {
            if let Some((before, _)) = fields[..i].iter().find(|(n, _)| n.text == name.text) {
                self.duplicate("columns", &name.text, name.span, before.span);
                sound = false;
                continue;
            }
            let Some(at) = columns.iter().position(|c| c.name == name.text) else {
                if !open {
                    self.no_such_column(name, columns, others);
                    sound = false;
                }
                continue;
            };
            self.note_read(name.span, &columns[at]);
            let Some(ty) = &columns[at].ty else {
                sound = false;
                continue;
            };
            match self.test_value(value, ty, &format!("the column `{}` is {}", name.text, article(ty))) {
                Some(value) => values[at] = Some(value),
                None => sound = false,
            }
        }
        sound.then_some(values)
    }

    fn no_such_column(&self, name: &Name, columns: &[Column], others: &[Other]) {
        let text = &name.text;
        let names: Vec<&str> = columns.iter().map(|c| c.name.as_str()).collect();
        let help = match others.iter().find(|(other, _)| other == text) {
            Some((_, why)) => why.clone().into(),
            None => super::names::suggestion(text, &names, "the columns here are"),
        };
        self.report(
            Diagnostic::error(codes::UNKNOWN_COLUMN, name.span, format!("there is no column `{text}`"))
                .label("unknown column")
                .help(help),
        );
    }

    /// The value that a literal or constant expression has in a column of this type; `what` says which column, for the message.
    pub(super) fn test_value(&self, e: &Expr, ty: &Type, what: &str) -> Option<Value> {
        let value = match (&e.kind, &ty.data) {
            (Ast::Null, _) => Value::Null,
            (Ast::Struct(fields), DataType::Struct(types)) => self.test_struct(e, fields, types, what)?,
            (Ast::Array(items), DataType::Array(item)) => {
                let what = format!("an element is {}", article(item));
                let items: Vec<Option<Value>> = items.iter().map(|i| self.test_value(i, item, &what)).collect();
                Value::Array(items.into_iter().collect::<Option<_>>()?)
            }
            _ => self.written_number(e, &ty.data).map_or_else(|| self.test_constant(e, ty, what), Some)?,
        };
        if value.is_null() && !ty.nullable {
            self.report(
                Diagnostic::error(codes::TEST_VALUE, e.span, format!("{what}, which must not be null"))
                    .label("null")
                    .help("give a value"),
            );
            return None;
        }
        Some(value)
    }

    /// A number with a point, where the column holds it although the literal's own type, a double, does not widen to the column's.
    fn written_number(&self, e: &Expr, data: &DataType) -> Option<Value> {
        let number = match &e.kind {
            Ast::Double(x) => *x,
            Ast::Unary(UnaryOp::Negate, inner) => match &inner.kind {
                Ast::Double(x) => -x,
                _ => return None,
            },
            _ => return None,
        };
        match data {
            DataType::Float => Some(Value::Float(number as f32)),
            DataType::Decimal { .. } => constant::parse(&number.to_string(), data).ok(),
            _ => None,
        }
    }

    fn test_constant(&self, e: &Expr, ty: &Type, what: &str) -> Option<Value> {
        let rows = Rows::default();
        let typed = self.expr(&mut Env::new(&rows), e)?;
        let found = typed.ty.clone();
        let Some(typed) = self.widened(typed, &ty.data) else {
            self.report(
                Diagnostic::error(codes::TEST_VALUE, e.span, format!("the value does not fit: {what}"))
                    .label(format!("this is {}", article(&found)))
                    .help(help_for(&ty.data)),
            );
            return None;
        };
        let value = constant::evaluate(&typed);
        if value.is_none() {
            self.not_constant(e.span, "a value of a test");
        }
        value
    }

    /// A struct by the names of its fields; those that may be null can be left out.
    fn test_struct(&self, e: &Expr, written: &[(Name, ast::Expr)], fields: &[Field], what: &str) -> Option<Value> {
        let mut sound = true;
        let mut values = vec![None; fields.len()];
        for (i, (name, value)) in written.iter().enumerate() {
            if let Some((before, _)) = written[..i].iter().find(|(n, _)| n.text == name.text) {
                self.duplicate("fields", &name.text, name.span, before.span);
                sound = false;
                continue;
            }
            let Some(at) = fields.iter().position(|f| f.name == name.text) else {
                let names: Vec<&str> = fields.iter().map(|f| f.name.as_str()).collect();
                self.report(
                    Diagnostic::error(
                        codes::UNKNOWN_FIELD,
                        name.span,
                        format!("the struct has no field `{}`", name.text),
                    )
                    .label("unknown field")
                    .help(super::names::suggestion(&name.text, &names, "its fields are")),
                );
                sound = false;
                continue;
            };
            let ty = &fields[at].ty;
            values[at] = self.test_value(value, ty, &format!("the field `{}` is {}", name.text, article(ty)));
            sound &= values[at].is_some();
        }
        if !sound {
            return None;
        }
        for (field, value) in fields.iter().zip(&mut values).filter(|(_, value)| value.is_none()) {
            if !field.ty.nullable {
                self.report(
                    Diagnostic::error(
                        codes::TEST_VALUE,
                        e.span,
                        format!("the struct lacks `{}`, which must not be null", field.name),
                    )
                    .label(what.to_string())
                    .help(format!("add `{}: …`; fields that may be null can be left out", quote_name(&field.name))),
                );
                return None;
            }
            *value = Some(Value::Null);
        }
        Some(Value::Struct(values.into_iter().flatten().collect()))
    }
}

/// The rows of a list.
fn elements(rows: &Expr) -> &[Expr] {
    match &rows.kind {
        Ast::Array(rows) => rows,
        _ => std::slice::from_ref(rows),
    }
}

fn help_for(data: &DataType) -> String {
    match data {
        DataType::String => "write it in quotes".to_string(),
        DataType::Date => "for example `@2026-11-22`".to_string(),
        DataType::Timestamp => "for example `@2026-11-22T10:00:00Z`".to_string(),
        DataType::TimestampNtz => "for example `@2026-11-22T10:00:00`".to_string(),
        DataType::Boolean => "write `true` or `false`".to_string(),
        DataType::Decimal { precision, scale } => {
            format!("a decimal of at most {precision} digits, {scale} of them behind the point")
        }
        DataType::Binary => "for example `unhex(\"0aff\")`".to_string(),
        DataType::Map(..) => "for example `map_from_arrays([\"a\"], [1])`".to_string(),
        DataType::Array(_) => "write it in brackets: `[1, 2]`".to_string(),
        DataType::Struct(_) => "write it in braces: `{ a: 1 }`".to_string(),
        other => format!("write {}", article(other)),
    }
}
