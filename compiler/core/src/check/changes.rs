//! Sources whose rows change: `changes`, `ignore updates` and `sequence by`, and the records of changes that a source is made of. Knows nothing of how changes
//! are found or kept.

use crate::check::columns::Columns;
use crate::check::scope::{Column, Env, Rows};
use crate::check::types::span_of;
use crate::check::{Checker, article, count, list, origin};
use crate::checked::Records;
use crate::codes;
use flowc_ir::plan::{Connector, Updates};
use flowc_ir::types::quote_name;
use flowc_ir::{DataType, Expr, ExprKind, Field, Output, Program, Type};
use flowc_syntax::ast::{self, Name, Source};
use flowc_syntax::diagnostic::Diagnostic;
use flowc_syntax::span::Span;
use smol_str::SmolStr;

/// What a source's clauses say of changes.
#[derive(Default)]
pub(super) struct ChangeClauses<'a> {
    /// `changes from … by …`
    pub changes: Option<(&'a [Name], &'a [Name], Span)>,
    /// `sequence by …`
    pub sequence: Option<(&'a ast::Expr, Span)>,
    /// `ignore updates`
    pub ignore: Option<Span>,
}

/// A source whose rows change.
pub(super) struct Changing {
    /// How its table is read.
    pub updates: Updates,
    /// How rows are made of records.
    pub records: Option<Records>,
    /// The columns that identify a row; empty: none are known.
    pub key: Vec<String>,
    /// The clause that says so.
    pub span: Span,
}

/// The columns of a record.
struct Record<'a> {
    operation: &'a Column,
    before: Option<&'a Column>,
    after: Option<&'a Column>,
}

impl Checker<'_> {
    /// What the clauses about changes come to; none: the source's rows are only added. For records of changes, `rows` become the rows that these are about.
    pub(super) fn changing_source(
        &self,
        source: &Source,
        clauses: &ChangeClauses<'_>,
        connector: Option<&Connector>,
        rows: &mut Rows,
    ) -> Option<Changing> {
        let delta = connector.is_none_or(|c| matches!(c, Connector::Delta { .. }));
        if let Some(span) = clauses.ignore {
            self.ignores(source, clauses, span, delta);
        }
        if let (Some((_, span)), true) = (clauses.sequence, clauses.changes.is_none_or(|(from, ..)| from.is_empty())) {
            self.bad_changes(
                span,
                "`sequence by` orders records of changes, and this source reads rows",
                "no records",
                "say which columns tell what happened: `changes from op, before, after`; or leave the clause out",
            );
        }
        let (from, by, span) = clauses.changes?;
        if !from.is_empty() {
            let records = self.records(source, (from, by, span), clauses.sequence, rows);
            let key = records.as_ref().map(|(_, key)| key.clone()).unwrap_or_default();
            return Some(Changing { updates: Updates::Stop, records: records.map(|(r, _)| r), key, span });
        }
        if !delta {
            let name = &source.connector.name.text;
            self.bad_changes(
                span,
                &format!("`{name}` only has rows that are added"),
                "which rows are updated or deleted?",
                "if its rows are records of changes, say which columns tell what happened: `changes from op, before, after`",
            );
            // Which they are is not known.
            *rows = Rows { columns: Columns::default(), ..Rows::unknown() };
            return None;
        }
        let known = by.iter().filter(|name| self.own_column(rows, name)).collect::<Vec<_>>();
        let key = if known.len() == by.len() { known.iter().map(|n| n.text.clone()).collect() } else { vec![] };
        self.keys_are_comparable(rows, by);
        Some(Changing { updates: Updates::Follow, records: None, key, span })
    }

    fn ignores(&self, source: &Source, clauses: &ChangeClauses<'_>, span: Span, delta: bool) {
        if let Some((.., changes)) = clauses.changes {
            let found = Diagnostic::error(
                codes::BAD_CHANGES,
                span,
                "a source either follows updates and deletes or passes them over",
            );
            self.report(
                found.label("passes them over").also(changes, "follows them").help("leave one of the clauses out"),
            );
        } else if !delta {
            let name = &source.connector.name.text;
            let message = format!("`{name}` has no updates that could be passed over");
            self.bad_changes(span, &message, "only of Delta tables", "leave the clause out");
        }
    }

    fn bad_changes(&self, span: Span, message: &str, label: &str, help: &str) {
        self.report(Diagnostic::error(codes::BAD_CHANGES, span, message).label(label).help(help));
    }

    pub(super) fn keys_are_comparable(&self, rows: &Rows, keys: &[Name]) {
        for key in keys {
            let Some(ty) = rows.own(&key.text).and_then(|c| c.ty.as_ref()) else { continue };
            if !ty.data.is_orderable() {
                self.report(
                    Diagnostic::error(codes::NOT_ORDERED, key.span, format!("{} has no equality", article(&ty.data)))
                        .label("cannot be part of a key")
                        .help("name other columns"),
                );
            }
        }
    }

    /// `changes from op, before, after by id`: the rows that the records are about, and how they come of them.
    fn records(
        &self,
        source: &Source,
        (from, by, span): (&[Name], &[Name], Span),
        sequence: Option<(&ast::Expr, Span)>,
        rows: &mut Rows,
    ) -> Option<(Records, Vec<String>)> {
        let raw = rows.clone();
        // What is wrong in the clause is reported once, and nothing is known of the columns.
        let give_up = |rows: &mut Rows| *rows = Rows { columns: Columns::default(), ..Rows::unknown() };
        let Some(record) = self.record(&raw, from, span) else {
            give_up(rows);
            return None;
        };
        let row = row_columns(&raw, &record);
        *rows = raw.with_columns(row.iter().map(|(column, _)| column.clone()).collect::<Columns>());
        let key = if by.is_empty() { self.key_of_sinks(source, rows) } else { Some(by.to_vec()) };
        let Some(key) = key else {
            self.key_needed(source, rows, span);
            return None;
        };
        self.keys_are_comparable(rows, &key);
        let keys: Vec<usize> = key
            .iter()
            .filter(|name| self.own_column(rows, name))
            .filter_map(|n| Some(rows.own(&n.text)?.slot))
            .collect();
        let sequenced = sequence.map(|(value, _)| self.sequence(&raw, value));
        if keys.len() < key.len() || sequenced.as_ref().is_some_and(Option::is_none) {
            return None;
        }
        let outputs = row.into_iter().map(|(column, value)| {
            let field = column.full_field(value.ty.clone());
            Output { field, value }
        });
        let mut outputs: Vec<Output> = outputs.collect();
        let width = outputs.len();
        let mut add = |name: &str, value: Expr| {
            let mut name = name.to_string();
            while outputs.iter().any(|o| o.field.name == name) {
                name.push('\'');
            }
            outputs.push(Output { field: Field::new(name, value.ty.clone()), value });
            outputs.len() - 1
        };
        let operation = add(&record.operation.name, read(record.operation, span));
        let sequence = sequenced.flatten().map(|value| add("#sequence", value)).into_iter().collect();
        let program = Program { input: raw.schema(), steps: vec![], outputs };
        let names = key.into_iter().map(|n| n.text).collect();
        Some((Records { program, width, keys, operation, sequence, schema: rows.schema() }, names))
    }

    /// The columns that a clause names, of the types that they must have.
    fn record<'r>(&self, raw: &'r Rows, from: &[Name], span: Span) -> Option<Record<'r>> {
        if from.len() > 3 {
            self.bad_changes(
                span,
                &format!("a record of a change has at most three columns, and here are {}", from.len()),
                "the operation, the row before it, and the row after it",
                "for example `changes from op, before, after`",
            );
            return None;
        }
        let columns = from.iter().map(|name| if self.own_column(raw, name) { raw.own(&name.text) } else { None });
        let columns: Vec<&Column> = columns.collect::<Option<_>>()?;
        let operation = *columns.first()?;
        let ty = operation.ty.as_ref()?;
        if ty.data != DataType::String {
            self.bad_changes(
                from[0].span,
                &format!("what happened is told by a word, and `{}` is {}", operation.name, article(ty)),
                "not a `string`",
                "name the column with `c`, `u`, `d`, or `insert`, `update`, `delete`",
            );
            return None;
        }
        for (name, column) in from.iter().zip(&columns).skip(1) {
            let data = &column.ty.as_ref()?.data;
            if !matches!(data, DataType::Struct(_)) {
                self.bad_changes(
                    name.span,
                    &format!("`{}` is to hold a whole row, and is {}", name.text, article(data)),
                    "not a struct",
                    "declare it: `after: struct<id: long, name: string>?`; if the row's columns stand beside the word, name that alone: `changes from op`",
                );
                return None;
            }
        }
        let (before, after) = match columns.as_slice() {
            [_, after] => (None, Some(*after)),
            [_, before, after] => (Some(*before), Some(*after)),
            _ => (None, None),
        };
        self.images_agree(before, after, from)?;
        Some(Record { operation, before, after })
    }

    /// Whether the rows before and after have the same columns.
    fn images_agree(&self, before: Option<&Column>, after: Option<&Column>, from: &[Name]) -> Option<()> {
        let (Some(before), Some(after)) = (before, after) else { return Some(()) };
        let (DataType::Struct(old), DataType::Struct(new)) = (&before.ty.as_ref()?.data, &after.ty.as_ref()?.data)
        else {
            return Some(());
        };
        let differs = new.iter().find(|field| !old.iter().any(|o| o.name == field.name && o.ty.data == field.ty.data));
        let Some(field) = differs else { return Some(()) };
        self.bad_changes(
            from[1].span,
            &format!("`{}` and `{}` hold rows of one table, and differ in `{}`", before.name, after.name, field.name),
            &format!("no field `{field}`"),
            "declare both with the same fields",
        );
        None
    }

    fn sequence(&self, raw: &Rows, value: &ast::Expr) -> Option<Expr> {
        let value = self.expr(&mut Env::new(raw), value)?;
        if value.ty.data.is_orderable() && value.ty.data != DataType::Null {
            return Some(value);
        }
        let message = format!("{} has no order", article(&value.ty.data));
        self.report(
            Diagnostic::error(codes::NOT_ORDERED, span_of(&value), message)
                .label("cannot say which record is newer")
                .help("name a number or a time that grows with each change: `sequence by ts_ms`"),
        );
        None
    }

    /// The key by which sinks keep the rows of a source, where all of them agree and it has these columns.
    fn key_of_sinks(&self, source: &Source, rows: &Rows) -> Option<Vec<Name>> {
        let mut found: Option<&Vec<Name>> = None;
        for sink in self.declarations.sinks.values().filter(|sink| self.begins_at(&sink.input.name.text, source)) {
            for clause in &sink.clauses {
                let ast::SinkClauseKind::Mode(ast::SinkMode::Merge(keys) | ast::SinkMode::Scd2(keys)) = &clause.kind
                else {
                    continue;
                };
                let same = |other: &Vec<Name>| {
                    other.len() == keys.len() && keys.iter().all(|k| other.iter().any(|o| o.text == k.text))
                };
                if found.is_some_and(|other| !same(other)) || keys.iter().any(|k| rows.own(&k.text).is_none()) {
                    return None;
                }
                found = Some(keys);
            }
        }
        found.cloned()
    }

    /// Whether a flow comes of a source, through its first inputs.
    fn begins_at(&self, name: &str, source: &Source) -> bool {
        let mut name = name;
        // A circle is no way to a source.
        for _ in 0..=self.declarations.relations.len() {
            if name == source.name.text {
                return true;
            }
            match self.declarations.relations.get(name) {
                Some(super::declarations::Relation::Flow(flow)) => name = &flow.input.name.text,
                _ => return false,
            }
        }
        false
    }

    fn key_needed(&self, source: &Source, rows: &Rows, span: Span) {
        let first = rows.columns.first().map_or("id".to_string(), |c| quote_name(&c.name));
        let words = source.clauses.iter().find_map(|clause| match &clause.kind {
            ast::SourceClauseKind::Changes { from, .. } => Some(from),
            _ => None,
        });
        let names: Vec<String> = words.into_iter().flatten().map(|n| quote_name(&n.text)).collect();
        let columns = list(rows.columns.iter().map(|c| &c.name));
        self.bad_changes(
            span,
            &format!("which records of `{}` are about the same row?", source.name.text),
            &format!("no key; the row has {}: {columns}", count(rows.columns.len(), "column")),
            &format!("say which columns identify a row: `changes from {} by {first}`", names.join(", ")),
        );
    }
}

/// The columns of the row that a record is about, each with its value over the record: those of the row after it, or of the row before it where there is none; then
/// what else the record has.
fn row_columns(raw: &Rows, record: &Record<'_>) -> Vec<(Column, Expr)> {
    let mut row: Vec<(Column, Expr)> = vec![];
    let images: Vec<&Column> = [record.before, record.after].into_iter().flatten().collect();
    let at = Span::default();
    if let Some(after) = record.after
        && let Some(DataType::Struct(fields)) = after.ty.as_ref().map(|ty| &ty.data)
    {
        for (index, field) in fields.iter().enumerate() {
            let value = field_of(after, index, at);
            let value = match record.before.and_then(|before| Some((before, place(before, &field.name)?))) {
                None => value,
                Some((before, index)) => {
                    let missing = ExprKind::IsNull(Box::new(read(after, at)));
                    let condition = Box::new(Expr::new(missing, Type::boolean(), origin(at)));
                    let ty = value.ty.clone();
                    let (then, otherwise) = (Box::new(field_of(before, index, at)), Box::new(value));
                    Expr::new(ExprKind::If { condition, then, otherwise }, ty, origin(at))
                }
            };
            let (name, ty) = (field.name.as_str().into(), Some(field.ty.clone()));
            let comment = field.comment.as_deref().map(SmolStr::new);
            row.push((Column { name, table: None, ty, comment, slot: 0, lineage: None }, value));
        }
    }
    for column in &raw.columns {
        let part = column.name == record.operation.name || images.iter().any(|image| image.name == column.name);
        if !part && !row.iter().any(|(known, _)| known.name == column.name) {
            row.push((column.clone(), read(column, at)));
        }
    }
    row
}

fn place(column: &Column, field: &str) -> Option<usize> {
    match &column.ty.as_ref()?.data {
        DataType::Struct(fields) => fields.iter().position(|f| f.name == field),
        _ => None,
    }
}

fn read(column: &Column, span: Span) -> Expr {
    let ty = column.ty.clone().unwrap_or_else(Type::null);
    Expr::new(ExprKind::Column(column.slot), ty, origin(span))
}

/// A field of a struct; null where that is.
fn field_of(column: &Column, index: usize, span: Span) -> Expr {
    let of = read(column, span);
    let ty = match &of.ty.data {
        DataType::Struct(fields) => fields[index].ty.clone().with_nullable(true),
        _ => Type::null(),
    };
    Expr::new(ExprKind::Field { value: Box::new(of), index }, ty, origin(span))
}
