//! What a sink writes into a Delta table: columns against the table's, partitions, generated columns, constraints.

use crate::check::history::{self, Since};
use crate::check::scope::{Column, Env, Rows};
use crate::check::sink::{Clauses, storable, written};
use crate::check::types::span_of;
use crate::check::{Checker, article, list, origin};
use crate::checked::{CheckedSink, ObligationKind, Tested};
use crate::codes;
use crate::sql;
use flowc_ir::catalog::{CatalogError, TableInfo};
use flowc_ir::plan::SinkMode;
use flowc_ir::types::quote_name;
use flowc_ir::{DataType, Expr, ExprKind, Field, Output, Program, ProgramStep, Schema, Type, Value};
use flowc_syntax::ast::{Assignment, ExprKind as Ast, Sink};
use flowc_syntax::diagnostic::Diagnostic;
use flowc_syntax::span::Span;
use smol_str::SmolStr;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

/// The program that writes, while it is made.
struct Writer {
    program: Program,
    /// The columns written, with the slots of their values.
    columns: Rows,
    fields: Vec<Field>,
    /// Which columns the names of the flow's own stand for.
    lineages: HashMap<SmolStr, usize>,
    /// Names of the columns that are computed here: they hold what the table would compute.
    computed: Vec<String>,
}

impl Writer {
    /// Adds a column with its value, computed into a slot if it is more than a column.
    fn add(&mut self, field: Field, value: Expr) {
        let slot = match value.kind {
            ExprKind::Column(slot) => slot,
            _ => {
                self.program.steps.push(ProgramStep::Let(value.clone()));
                self.program.input.len() + self.program.steps.len() - 1
            }
        };
        // What the table says and what is known to be written differ in nullability at most: the narrower is seen by constraints.
        let (ty, lineage) = (Some(value.ty.clone()), self.lineages.get(field.name.as_str()).copied());
        let column = Column { name: field.name.as_str().into(), table: None, ty, comment: None, slot, lineage };
        self.columns.columns.push(column);
        self.fields.push(field);
    }

    /// The same expression over the written columns by position instead of slots.
    fn by_position(&self, e: &Expr) -> Expr {
        let mut e = e.clone();
        e.walk_mut(&mut |e| {
            if let ExprKind::Column(slot) = &mut e.kind {
                *slot = self.columns.columns.iter().position(|c| c.slot == *slot).unwrap_or(*slot);
            }
        });
        e
    }

    fn schema(&self) -> Schema {
        Schema::new(self.fields.clone())
    }

    /// The program with its outputs: in the table's order, where there is one; new columns behind.
    fn finish(self, existing: Option<&TableInfo>, at: flowc_ir::Origin) -> Program {
        let mut program = self.program;
        for (field, column) in self.fields.into_iter().zip(&self.columns.columns) {
            let ty = column.ty.clone().unwrap_or_else(Type::null);
            let value = Expr::new(ExprKind::Column(column.slot), ty, at);
            program.outputs.push(Output { field, value });
        }
        if let Some(info) = existing {
            let places: HashMap<&str, usize> =
                info.schema.fields.iter().enumerate().map(|(place, field)| (field.name.as_str(), place)).collect();
            let place = |output: &Output| places.get(output.field.name.as_str()).copied();
            program.outputs.sort_by_key(|output| place(output).unwrap_or(usize::MAX));
        }
        program
    }
}

impl Checker<'_> {
    /// Completes a sink that writes a Delta table; none: something is wrong, and was reported.
    pub(super) fn delta_sink(
        &self,
        checked: &mut CheckedSink,
        sink: &Sink,
        clauses: &Clauses<'_>,
        rows: &Rows,
    ) -> Option<()> {
        self.declare("sink", &checked.name, &checked.connector, None, sink.connector.span);
        let existing = match self.catalog.table(&checked.connector, None) {
            Ok(info) => Some(info),
            Err(CatalogError::NotFound) => None,
            Err(error) => {
                let span = sink.connector.args.first().map_or(sink.connector.span, |a| a.value.span);
                self.not_opened_at(&checked.connector, span, error);
                return None;
            }
        };
        if let Some(info) = &existing {
            self.is_writable(info, sink, clauses)?;
        }
        let since = match (&clauses.mode, clauses.keys) {
            (SinkMode::Scd2 { .. }, Some((_, span))) => {
                Some(self.history(sink, span, (checked.input, rows), existing.as_ref())?)
            }
            _ => None,
        };
        // What is written are the versions; the sink sees to the rest.
        let table = existing.clone().map(|mut info| {
            if since.is_some() {
                info.schema.fields.retain(|field| !history::COLUMNS.contains(&field.name.as_str()));
            }
            info
        });
        let mut sound = self.has_columns(rows, sink) && self.names_fit(rows, sink);
        for column in written(rows) {
            if let Some(ty) = column.ty.as_ref().filter(|t| !storable(&t.data)) {
                self.type_not_written(&column.name, &ty.data, sink);
                sound = false;
            }
        }
        if !sound {
            return None;
        }
        let input = rows.schema();
        let mut writer = Writer {
            program: Program { input, ..Program::default() },
            columns: Rows::default(),
            fields: vec![],
            lineages: written(rows).filter_map(|c| Some((c.name.clone(), c.lineage?))).collect(),
            computed: vec![],
        };
        let done = match &table {
            Some(info) => self.write_existing(&mut writer, checked, sink, clauses, rows, info),
            None => self.write_new(&mut writer, checked, sink, clauses, rows),
        };
        // Over columns that do not fit the table its own expressions make no sense.
        writer.columns.open |= done.is_none();
        let enforced = done.is_none()
            || table.as_ref().is_none_or(|info| self.enforce(&mut writer, checked, sink, info).is_some());
        if let Some(Since::Event(time)) = &since {
            writer.add(history::valid_from(), time.clone());
        }
        checked.since_commit = matches!(since, Some(Since::Commit));
        let constraints = self.constraints(&mut writer, checked, clauses, table.as_ref());
        done?;
        (constraints && enforced).then_some(())?;
        self.partitions_leave_data(&writer, checked, sink, clauses)?;
        self.has_partitions(checked, sink, clauses)?;
        checked.program = writer.finish(existing.as_ref(), origin(sink.span));
        checked.existing = existing;
        Some(())
    }

    /// Partitions can only be overwritten where there are some.
    fn has_partitions(&self, checked: &CheckedSink, sink: &Sink, clauses: &Clauses<'_>) -> Option<()> {
        if clauses.mode != SinkMode::OverwritePartition || !checked.partition_by.is_empty() {
            return Some(());
        }
        let span = clauses.mode_span.unwrap_or(sink.connector.span);
        self.report(
            Diagnostic::error(codes::BAD_PARTITION, span, "this table has no partitions that could be overwritten")
                .label("which part of the table?")
                .also(sink.connector.span, "the table")
                .help(
                    "say how it is partitioned: `partition by day = date(at)`; or replace all of it: `mode overwrite`",
                ),
        );
        None
    }

    fn is_writable(&self, info: &TableInfo, sink: &Sink, clauses: &Clauses<'_>) -> Option<()> {
        let span = sink.connector.span;
        let features: Vec<&String> = info.unwritable.iter().chain(&info.unreadable).collect();
        if !features.is_empty() {
            self.report(
                Diagnostic::error(
                    codes::UNWRITABLE_TABLE,
                    span,
                    format!("this table needs {} to be written, which flowc does not have", list(&features)),
                )
                .label("it would be written wrongly")
                .help("write to another table"),
            );
            return None;
        }
        if info.append_only && clauses.mode != SinkMode::Append {
            self.report(
                Diagnostic::error(
                    codes::APPEND_ONLY,
                    clauses.mode_span.unwrap_or(span),
                    "this table only takes new rows: its property `delta.appendOnly` is set",
                )
                .label(match clauses.mode {
                    SinkMode::Merge { .. } | SinkMode::Scd2 { .. } => "replaces rows",
                    _ => "overwrites",
                })
                .help("use `mode append`, or write to another table"),
            );
            return None;
        }
        Some(())
    }

    /// Delta's names: different whatever their case, and without certain signs.
    fn names_fit(&self, rows: &Rows, sink: &Sink) -> bool {
        let mut sound = true;
        // The first column of each name, whatever its case.
        let mut seen: HashMap<Cow<'_, str>, &Column> = HashMap::with_capacity(rows.columns.len());
        for column in written(rows) {
            let before = *seen.entry(folded(&column.name)).or_insert(column);
            if before.name != column.name {
                sound = false;
                self.report(
                    Diagnostic::error(
                        codes::NAMES_DIFFER_BY_CASE,
                        sink.input.span,
                        format!("`{}` and `{}` differ only by case", before.name, column.name),
                    )
                    .label("Delta takes them for one column")
                    .help(format!("rename one: `|> rename other = {}`", quote_name(&column.name))),
                );
            }
            let forbidden = |c: char| " ,;{}()\n\t=".contains(c);
            if let Some(sign) = column.name.chars().find(|c| forbidden(*c)) {
                sound = false;
                self.report(
                    Diagnostic::error(
                        codes::BAD_COLUMN_NAME,
                        sink.input.span,
                        format!("a Delta table cannot have a column `{}`", column.name),
                    )
                    .label(format!("the sign `{}` is not allowed", sign.escape_debug()))
                    .help(format!("rename it: `|> rename other = {}`", quote_name(&column.name))),
                );
            }
        }
        sound
    }

    fn write_new(
        &self,
        writer: &mut Writer,
        checked: &mut CheckedSink,
        sink: &Sink,
        clauses: &Clauses<'_>,
        rows: &Rows,
    ) -> Option<()> {
        for column in written(rows) {
            let Some(ty) = rows.seen_type(column) else { continue };
            let field = column.field(ty.clone());
            writer.add(field, Expr::new(ExprKind::Column(column.slot), ty, origin(sink.span)));
        }
        let mut sound = true;
        let partitions = clauses.partition_by.map(|(p, _)| p).unwrap_or_default();
        let names: Vec<_> = partitions.iter().filter_map(|p| self.silently(|| self.assigned_name(p))).collect();
        self.unique_columns(names.iter().map(|(n, s)| (n.as_str(), *s)));
        for partition in clauses.partition_by.map(|(p, _)| p).unwrap_or_default() {
            match self.partition(writer, partition) {
                Some((name, None)) => checked.partition_by.push(name),
                Some((name, Some(value))) => {
                    let text = self.as_sql(writer, &value, partition.span, "generated column");
                    sound &= text.is_some();
                    checked.generated.extend(text.map(|t| (name.clone(), t)));
                    let field = Field { name: name.clone(), ty: value.ty.clone(), comment: partition.doc.clone() };
                    writer.add(field, value);
                    checked.partition_by.push(name);
                }
                None => sound = false,
            }
        }
        sound.then_some(())
    }

    /// A column to partition by: one that is written, or a new one with its value.
    fn partition(&self, writer: &Writer, partition: &Assignment) -> Option<(String, Option<Expr>)> {
        let (name, span) = self.assigned_name(partition)?;
        let mut env = Env::new(&writer.columns);
        let value = self.expr(&mut env, &partition.value)?;
        let plain = matches!(&partition.value.kind, Ast::Name(n) if n.text == name);
        if matches!(
            value.ty.data,
            DataType::Array(_)
                | DataType::Map(..)
                | DataType::Struct(_)
                | DataType::Binary
                | DataType::Duration
                | DataType::Null
        ) {
            self.report(
                Diagnostic::error(
                    codes::BAD_PARTITION,
                    span_of(&value),
                    format!("a table cannot be partitioned by {}", article(&value.ty.data)),
                )
                .label("not a value that a folder can be named after")
                .help("partition by a number, a string, a date or a timestamp"),
            );
            return None;
        }
        if plain {
            if writer.columns.own(&name).is_none() {
                self.not_constant(span, "a partition column that the flow does not have");
                return None;
            }
            return Some((name, None));
        }
        if writer.columns.own(&name).is_some() {
            self.report(
                Diagnostic::error(codes::DUPLICATE_COLUMN, span, format!("the flow has a column `{name}` already"))
                    .label("this name is taken")
                    .help(format!(
                        "write `partition by {}` to use that column, or choose another name",
                        quote_name(&name)
                    )),
            );
            return None;
        }
        Some((name, Some(value)))
    }

    fn write_existing(
        &self,
        writer: &mut Writer,
        checked: &mut CheckedSink,
        sink: &Sink,
        clauses: &Clauses<'_>,
        rows: &Rows,
        info: &TableInfo,
    ) -> Option<()> {
        let mut sound = true;
        let mut later: Vec<&Field> = vec![];
        let computed = clauses.partition_by.map(|(p, _)| p).unwrap_or_default();
        let own: HashMap<&str, &Column> = written(rows).map(|column| (column.name.as_str(), column)).collect();
        for field in &info.schema.fields {
            let generated = info.generated.iter().any(|(n, _)| *n == field.name);
            let partition = computed.iter().any(|p| p.name.as_ref().is_some_and(|n| n.text == field.name));
            match own.get(field.name.as_str()) {
                Some(column) => sound &= self.column_into(writer, sink, rows, column, field).is_some(),
                None if generated || partition => later.push(field),
                None if field.ty.nullable => {
                    let null = Expr::new(ExprKind::Literal(Value::Null), field.ty.clone(), origin(sink.span));
                    writer.add(field.clone(), null);
                }
                None => {
                    sound = false;
                    self.report(
                        Diagnostic::error(
                            codes::COLUMN_LACKING,
                            sink.input.span,
                            format!(
                                "the table's column `{}` must not be null, and `{}` does not have it",
                                field.name, sink.input.name.text
                            ),
                        )
                        .label(format!("no column `{}: {}`", field.name, field.ty))
                        .also(sink.connector.span, "the table")
                        .help(self.lacking_help(rows, field)),
                    );
                }
            }
        }
        sound &= self.extra_columns(writer, sink, clauses, rows, info);
        for field in later {
            let written = computed.iter().find(|p| p.name.as_ref().is_some_and(|n| n.text == field.name));
            sound &= self.computed_into(writer, sink, written, field, info).is_some();
        }
        sound &= self.same_partitions(clauses, info);
        checked.partition_by = info.partition_by.clone();
        sound.then_some(())
    }

    fn lacking_help(&self, rows: &Rows, field: &Field) -> String {
        let names: Vec<&str> = written(rows).map(|c| c.name.as_str()).collect();
        match flowc_syntax::did_you_mean(&field.name, names.iter().copied()) {
            Some(near) => {
                format!("is it `{near}`? Then `|> rename {} = {}`", quote_name(&field.name), quote_name(near))
            }
            None => format!("compute it: `|> extend {} = …`", quote_name(&field.name)),
        }
    }

    fn column_into(&self, writer: &mut Writer, sink: &Sink, rows: &Rows, column: &Column, field: &Field) -> Option<()> {
        let seen = rows.seen_type(column)?;
        let name = quote_name(&column.name);
        if !seen.data.widens_to(&field.ty.data) {
            self.report(
                Diagnostic::error(
                    codes::COLUMN_TYPE,
                    sink.input.span,
                    format!("the column `{}` does not fit the table's", column.name),
                )
                .label(format!("`{}` has {}", sink.input.name.text, article(&seen)))
                .also(sink.connector.span, format!("the table has {}", article(&field.ty)))
                .help(format!("convert it: `|> extend {name} = {name} as {}`", field.ty)),
            );
            return None;
        }
        if seen.nullable && !field.ty.nullable {
            self.report(
                Diagnostic::error(codes::NULL_INTO_NOT_NULL, sink.input.span, format!("the table's column `{}` must not be null", column.name))
                    .label(format!("`{}` has {}, which may be null", sink.input.name.text, article(&seen)))
                    .also(sink.connector.span, format!("the table has {}", article(&field.ty)))
                    .help(format!("keep such rows out, `|> where {name} is not null`, or give a default, `|> extend {name} = {name} ?? …`")),
            );
            return None;
        }
        let value = Expr::new(ExprKind::Column(column.slot), seen, origin(sink.span));
        writer.add(field.clone(), self.converted(value, &field.ty.data));
        Some(())
    }

    fn extra_columns(
        &self,
        writer: &mut Writer,
        sink: &Sink,
        clauses: &Clauses<'_>,
        rows: &Rows,
        info: &TableInfo,
    ) -> bool {
        let stored: HashSet<&str> = info.schema.fields.iter().map(|field| field.name.as_str()).collect();
        let extra: Vec<&Column> = written(rows).filter(|c| !stored.contains(c.name.as_str())).collect();
        if clauses.evolve.is_some() {
            for column in extra {
                let Some(seen) = rows.seen_type(column) else { continue };
                // Rows that were written before have no value there.
                let ty = seen.clone().with_nullable(true);
                let field = column.field(ty);
                writer.add(field, Expr::new(ExprKind::Column(column.slot), seen, origin(sink.span)));
            }
            return true;
        }
        for column in &extra {
            let names: Vec<&str> = info.schema.fields.iter().map(|f| f.name.as_str()).collect();
            let near =
                flowc_syntax::did_you_mean(&column.name, names.iter().copied()).filter(|n| rows.own(n).is_none());
            let drop = format!(
                "add it to the table with the clause `evolve`, or leave it out with `|> drop {}`",
                quote_name(&column.name)
            );
            let help = match near {
                Some(near) => format!(
                    "the table has `{near}`: `|> rename {} = {}`; or {drop}",
                    quote_name(near),
                    quote_name(&column.name)
                ),
                None => drop,
            };
            self.report(
                Diagnostic::error(
                    codes::COLUMN_NOT_IN_TABLE,
                    sink.input.span,
                    format!("the table has no column `{}`", column.name),
                )
                .label(format!("`{}` has it", sink.input.name.text))
                .also(sink.connector.span, "the table")
                .help(help),
            );
        }
        extra.is_empty()
    }

    /// A generated column of the table, or a partition column computed by the sink.
    fn computed_into(
        &self,
        writer: &mut Writer,
        sink: &Sink,
        written: Option<&Assignment>,
        field: &Field,
        info: &TableInfo,
    ) -> Option<()> {
        let own = match written {
            Some(assignment) => Some(self.expr(&mut Env::new(&writer.columns), &assignment.value)?),
            None => None,
        };
        let declared = info.generated.iter().find(|(n, _)| *n == field.name);
        let value = match declared {
            Some((_, text)) => {
                let value = self.table_expr(
                    writer,
                    text,
                    &info.schema,
                    sink,
                    &format!("the generated column `{}`", field.name),
                )?;
                if let (Some(own), Some(assignment)) = (&own, written)
                    && !same_meaning(writer, own, &value)
                {
                    self.report(
                        Diagnostic::error(
                            codes::PARTITIONS_DIFFER,
                            assignment.span,
                            format!("the table computes `{}` in another way", field.name),
                        )
                        .label(format!("the table has `{text}`"))
                        .help("write it as the table has it, or leave `partition by` out"),
                    );
                    return None;
                }
                value
            }
            None => own?,
        };
        let found = value.ty.clone();
        let Some(value) = self.widened(value, &field.ty.data).filter(|v| field.ty.nullable || !v.ty.nullable) else {
            self.report(
                Diagnostic::error(
                    codes::COLUMN_TYPE,
                    written.map_or(sink.connector.span, |w| w.span),
                    format!("what is computed for the column `{}` does not fit the table's", field.name),
                )
                .label(format!("this is {}", article(&found)))
                .also(sink.connector.span, format!("the table has {}", article(&field.ty)))
                .help(format!("convert it: `… as {}`", field.ty)),
            );
            return None;
        };
        writer.computed.push(field.name.clone());
        writer.add(field.clone(), value);
        Some(())
    }

    fn same_partitions(&self, clauses: &Clauses<'_>, info: &TableInfo) -> bool {
        let Some((partitions, span)) = clauses.partition_by else { return true };
        let names: Vec<String> =
            partitions.iter().filter_map(|p| self.silently(|| self.assigned_name(p)).map(|n| n.0)).collect();
        let same = names.len() == info.partition_by.len() && names.iter().all(|n| info.partition_by.contains(n));
        if !same {
            let there = if info.partition_by.is_empty() {
                "the table has no partitions".to_string()
            } else {
                format!("the table is partitioned by {}", list(&info.partition_by))
            };
            self.report(
                Diagnostic::error(codes::PARTITIONS_DIFFER, span, "the table is partitioned in another way")
                    .label(there)
                    .help(
                        "a table's partitions cannot be changed: leave `partition by` out, or write to another table",
                    ),
            );
        }
        same
    }

    fn partitions_leave_data(
        &self,
        writer: &Writer,
        checked: &CheckedSink,
        sink: &Sink,
        clauses: &Clauses<'_>,
    ) -> Option<()> {
        if writer.fields.iter().all(|f| checked.partition_by.contains(&f.name)) {
            let span = clauses.partition_by.map_or(sink.input.span, |(_, span)| span);
            self.report(
                Diagnostic::error(
                    codes::BAD_PARTITION,
                    span,
                    "every column is a partition column: the files would hold nothing",
                )
                .label("no column is left")
                .help("leave one out of `partition by`"),
            );
            return None;
        }
        Some(())
    }

    /// Constraints of the sink itself.
    fn constraints(
        &self,
        writer: &mut Writer,
        checked: &mut CheckedSink,
        clauses: &Clauses<'_>,
        existing: Option<&TableInfo>,
    ) -> bool {
        let mut sound = true;
        for (name, condition) in &clauses.constraints {
            let typed = self.condition(&mut Env::new(&writer.columns), condition, "a constraint");
            let text = typed.as_ref().and_then(|t| self.as_sql(writer, t, condition.span, "constraint"));
            let (Some(typed), Some(text)) = (typed, text) else {
                sound = false;
                continue;
            };
            let other = existing.and_then(|i| i.constraints.iter().find(|(n, _)| n.eq_ignore_ascii_case(&name.text)));
            if let (Some((_, there)), Some(info)) = (other, existing) {
                let same = self.parsed(writer, there, &info.schema, condition.span).ok();
                if same.is_none_or(|s| !same_meaning(writer, &s, &typed)) {
                    self.report(
                        Diagnostic::error(
                            codes::CONSTRAINTS_DIFFER,
                            name.span,
                            format!("the table has another constraint `{}`", name.text),
                        )
                        .label(format!("the table's is `{there}`"))
                        .help("give this one another name, or write it as the table has it"),
                    );
                    sound = false;
                }
                continue;
            }
            let what = format!("constraint `{}` of sink `{}`", name.text, checked.name);
            let at = origin(condition.span);
            self.test(writer, checked, (&name.text, ObligationKind::Constraint, at), typed, what);
            checked.constraints.push((name.text.clone(), text));
        }
        sound
    }

    /// The constraints and generated columns that the table has.
    fn enforce(&self, writer: &mut Writer, checked: &mut CheckedSink, sink: &Sink, info: &TableInfo) -> Option<()> {
        let mut sound = true;
        for (name, text) in &info.generated {
            checked.enforced.push((name.clone(), text.clone()));
            // A column of the flow itself must hold what the table would compute.
            let Some(column) =
                writer.columns.own(name).cloned().filter(|c| !writer.computed.iter().any(|name| c.name == *name))
            else {
                continue;
            };
            match self.table_expr(writer, text, &info.schema, sink, &format!("the generated column `{name}`")) {
                Some(value) => {
                    let condition = self.same_value(&column, value, origin(sink.span));
                    let what = format!("generated column `{name}` of the table of sink `{}`", checked.name);
                    sound &= condition.is_some();
                    let at = origin(sink.connector.span);
                    if let Some(condition) = condition {
                        self.test(writer, checked, (name, ObligationKind::GeneratedColumn, at), condition, what);
                    }
                }
                None => sound = false,
            }
        }
        for (name, text) in &info.constraints {
            checked.enforced.push((name.clone(), text.clone()));
            let what = format!("the constraint `{name}`");
            match self.table_expr(writer, text, &info.schema, sink, &what) {
                Some(condition) if condition.ty.data == DataType::Boolean => {
                    let what = format!("constraint `{name}` of the table of sink `{}`", checked.name);
                    let at = origin(sink.connector.span);
                    self.test(writer, checked, (name, ObligationKind::TableConstraint, at), condition, what);
                }
                Some(other) => {
                    sound = false;
                    let why = format!("it is {}, not a condition", article(&other.ty));
                    self.not_understood(&what, text, why, sink);
                }
                None => sound = false,
            }
        }
        sound.then_some(())
    }

    /// Adds a test to the program, to be decided later.
    fn test(
        &self,
        writer: &mut Writer,
        checked: &mut CheckedSink,
        (name, kind, origin): (&str, ObligationKind, flowc_ir::Origin),
        condition: Expr,
        what: String,
    ) {
        checked.tested.push(Tested { name: name.to_string(), kind, step: writer.program.steps.len(), origin });
        writer.program.steps.push(ProgramStep::Assert { condition, what });
    }

    /// `column == value`, or both null.
    pub(super) fn same_value(&self, column: &Column, value: Expr, at: flowc_ir::Origin) -> Option<Expr> {
        // A variable that no other expression binds.
        let local = flowc_ir::LocalId(u32::MAX);
        let written = Expr::new(ExprKind::Column(column.slot), column.ty.clone()?, at);
        let computed = Expr::new(ExprKind::Local(local), value.ty.clone(), at);
        let null = |e: &Expr| Expr::new(ExprKind::IsNull(Box::new(e.clone())), Type::boolean(), at);
        let both_null = Expr::new(ExprKind::And(vec![null(&written), null(&computed)]), Type::boolean(), at);
        let equal = self.built_in("equal", vec![written, computed], span_at(at))?;
        let body = Expr::new(ExprKind::Coalesce(vec![equal, both_null]), Type::boolean(), at);
        Some(Expr::new(ExprKind::Let { local, value: Box::new(value), body: Box::new(body) }, Type::boolean(), at))
    }

    /// An expression of the table, over the columns written.
    fn table_expr(&self, writer: &Writer, text: &str, schema: &Schema, sink: &Sink, what: &str) -> Option<Expr> {
        let span = sink.connector.span;
        match self.parsed(writer, text, schema, span) {
            Ok(e) => Some(e),
            Err(why) => {
                self.not_understood(what, text, why, sink);
                None
            }
        }
    }

    fn not_understood(&self, what: &str, text: &str, why: String, sink: &Sink) {
        let message = format!("flowc does not understand {what} of this table: `{text}`");
        self.report(
            Diagnostic::error(codes::TABLE_EXPRESSION, sink.connector.span, message)
                .label(why)
                .help("rows that might break it are never written; write to another table"),
        );
    }

    fn parsed(&self, writer: &Writer, text: &str, schema: &Schema, span: Span) -> Result<Expr, String> {
        let syntax = sql::to_ast_expr_for(text, span, schema).map_err(|e| e.to_string())?;
        let (typed, found) = self.overheard(|| self.expr(&mut Env::new(&writer.columns), &syntax));
        let why = found.into_iter().find(Diagnostic::is_error).map(|d| d.message);
        typed.ok_or_else(|| why.unwrap_or_else(|| "its types do not fit".to_string()))
    }

    fn as_sql(&self, writer: &Writer, e: &Expr, span: Span, what: &str) -> Option<String> {
        match sql::to_spark_sql(&writer.by_position(e), &writer.schema()) {
            Ok(text) => Some(text),
            Err(why) => {
                self.report(
                    Diagnostic::error(
                        codes::NOT_SQL,
                        span,
                        format!("a {what} is stored in the table as SQL, and this has no counterpart there"),
                    )
                    .label(why)
                    .help("compute it in the flow, with `|> extend …`, and use the column here"),
                );
                None
            }
        }
    }
}

/// A name as names are compared that differ only by case.
fn folded(name: &str) -> Cow<'_, str> {
    match name.chars().any(char::is_uppercase) || !name.is_ascii() {
        true => name.to_lowercase().into(),
        false => name.into(),
    }
}

fn span_at(at: flowc_ir::Origin) -> Span {
    Span::new(flowc_syntax::span::FileId(at.file), at.start as usize, at.end as usize)
}

/// Whether two expressions are the same, or are stored as the same SQL, or mean the same: `date(at)` and `at as date`, `x > 0` and `x > 0.0` do.
fn same_meaning(writer: &Writer, a: &Expr, b: &Expr) -> bool {
    let stored = |e: &Expr| sql::to_spark_sql(&writer.by_position(e), &writer.schema()).ok();
    without_places(a) == without_places(b)
        || stored(a).is_some_and(|text| Some(text) == stored(b))
        || crate::prove::same(a, b)
}

/// The expression without its places, to compare what it means.
fn without_places(e: &Expr) -> Expr {
    let mut e = e.clone();
    e.walk_mut(&mut |e| e.origin = flowc_ir::Origin::default());
    e
}
