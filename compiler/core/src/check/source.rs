//! Sources and tables: their connectors, schemas checked against the catalog, event time, versions.

use crate::check::changes::{ChangeClauses, Changing};
use crate::check::connector::Role;
use crate::check::flow::Done;
use crate::check::scope::{Clock, Column, Env, Obstacle, Remedy, Rows};
use crate::check::{Checker, article, list, origin};
use crate::checked::{CheckedSource, CheckedTable, EventTime, Input, TableFact};
use crate::codes;
use flowc_ir::catalog::{CatalogError, TableInfo};
use flowc_ir::graph::Kind;
use flowc_ir::plan::{Connector, SourceSpec, TableSpec, Updates, VersionSpec};
use flowc_ir::types::quote_name;
use flowc_ir::{DataType, Field, Program, ProgramStep, Schema, Type, Value};
use flowc_syntax::ast::{self, ColumnDef, Name, Source, SourceClause, SourceClauseKind, Table};
use flowc_syntax::diagnostic::{Diagnostic, Fix, did_you_mean};
use flowc_syntax::span::Span;
use std::collections::BTreeSet;

/// What a source's clauses say.
#[derive(Default)]
struct Clauses<'a> {
    /// Where the first one stands.
    first: Option<Span>,
    schema: Option<(&'a [ColumnDef], Span)>,
    event_time: Option<(&'a Name, Option<&'a ast::Expr>, Span)>,
    watermark: Option<(i64, Span)>,
    /// After how long a silent source holds no other back.
    idle: Option<(i64, Span)>,
    version: Option<(VersionSpec, Span)>,
    /// `malformed`: whether rows are put aside.
    malformed: Option<(bool, Span)>,
    /// What becomes of changes.
    changes: ChangeClauses<'a>,
}

/// What was found at a connector.
struct Opened {
    connector: Connector,
    info: TableInfo,
    schema: Schema,
    lineage: Vec<Option<usize>>,
    /// Names of columns of the schema of which the types are not known: their declaration is wrong, and that was reported.
    wrong: BTreeSet<String>,
}

impl Checker<'_> {
    /// Checks a source.
    pub(super) fn source(&self, source: &Source) -> Done {
        let clauses = self.clauses(&source.clauses, Role::Source);
        let opened = self.open(&source.name, &source.connector, &clauses, Role::Source);
        let mut rows = self.opened_rows(opened.as_ref(), &clauses, &source.name, Role::Source);
        rows.bounded = opened.as_ref().is_none_or(|o| is_bounded(&o.connector));
        let endless = opened.as_ref().is_some_and(|o| matches!(o.connector, Connector::Generate { rows: None, .. }));
        rows.endless = endless.then_some(source.connector.span);
        let connector = opened.as_ref().map(|o| &o.connector);
        let changing = self.changing_source(source, &clauses.changes, connector, &mut rows);
        if let Some(Changing { key, span, .. }) = &changing {
            rows.bounded = false;
            rows.kind = Kind::Changing { key: key.clone() };
            rows.changing = Some(Obstacle { span: *span, step: "changes", remedy: Remedy::End });
        }
        let (derive, event_time) = self.event_time(&mut rows, &clauses);
        let kept = clauses.malformed.filter(|(_, span)| self.has_malformed(source, *span)).is_some_and(|m| m.0);
        // What the table promises is promised of records, not of the rows that they are about.
        let promising = opened.as_ref().filter(|_| changing.as_ref().is_none_or(|c| c.records.is_none()));
        let facts = self.promised(promising, source.connector.span);
        let updates = match (&changing, clauses.changes.ignore) {
            (Some(changing), _) => changing.updates,
            (None, Some(_)) => Updates::Ignore,
            (None, None) => Updates::Stop,
        };
        let mut checked = self.checked.borrow_mut();
        let input = Input::Source(checked.sources.len());
        if let Some(opened) = opened {
            checked.sources.push(CheckedSource {
                facts,
                spec: SourceSpec {
                    arrival: None,
                    updates,
                    committed: None,
                    promises: vec![],
                    name: source.name.text.clone(),
                    connector: opened.connector,
                    quarantine: kept.then(|| opened.schema.clone()),
                    schema: opened.schema,
                    predicate: None,
                    start: clauses.version.map(|v| v.0),
                    origin: origin(source.span),
                },
                changes: changing.as_ref().map(|c| c.key.clone()),
                records: changing.and_then(|c| c.records),
                derive,
                schema: rows.schema(),
                event_time: event_time.clone(),
                watermark: clauses.watermark.map(|w| w.0),
                idle: clauses.idle.map(|i| i.0),
                bounded: rows.bounded,
                info: opened.info,
            });
        }
        let all = Clock::without_time("source", &source.name.text);
        rows.time = match event_time {
            Some(column) => Clock {
                event: Some(EventTime::Column(column)),
                watermark: clauses.watermark.map(|w| w.0),
                unmarked: if clauses.watermark.is_some() { BTreeSet::new() } else { all.unmarked },
                ..Clock::default()
            },
            None => all,
        };
        Done::new(input, rows)
    }

    /// Checks a table.
    pub(super) fn table(&self, table: &Table) -> Done {
        let clauses = self.clauses(&table.clauses, Role::Table);
        let opened = self.open(&table.name, &table.connector, &clauses, Role::Table);
        let mut rows = self.opened_rows(opened.as_ref(), &clauses, &table.name, Role::Table);
        rows.time = Clock::without_time("table", &table.name.text);
        let facts = self.promised(opened.as_ref(), table.connector.span);
        let mut checked = self.checked.borrow_mut();
        let input = Input::Table(checked.tables.len());
        if let Some(opened) = opened {
            checked.tables.push(CheckedTable {
                facts,
                spec: TableSpec {
                    promises: vec![],
                    name: table.name.text.clone(),
                    connector: opened.connector,
                    schema: opened.schema,
                    predicate: None,
                    version: clauses.version.map(|v| v.0),
                    origin: origin(table.span),
                },
                info: opened.info,
            });
        }
        Done::new(input, rows)
    }

    fn promised(&self, opened: Option<&Opened>, span: Span) -> Vec<TableFact> {
        opened.map(|o| self.table_facts(&o.info, &o.schema, span)).unwrap_or_default()
    }

    fn opened_rows(&self, opened: Option<&Opened>, clauses: &Clauses<'_>, name: &Name, role: Role) -> Rows {
        let Some(opened) = opened else { return Rows::unknown() };
        let column = |(slot, (field, lineage)): (usize, (&Field, &Option<usize>))| Column {
            name: field.name.as_str().into(),
            table: None,
            ty: Some(field.ty.clone()).filter(|_| !opened.wrong.contains(&field.name)),
            comment: field.comment.as_deref().map(Into::into),
            slot,
            lineage: lineage.or_else(|| {
                let listed = clauses.schema.and_then(|(c, _)| c.iter().find(|c| c.name.text == field.name));
                Some(self.lineage.borrow_mut().stored(&field.name, listed.map_or(name.span, |c| c.name.span)))
            }),
        };
        let columns: Vec<Column> = opened.schema.fields.iter().zip(&opened.lineage).enumerate().map(column).collect();
        for column in columns.iter().filter(|_| role == Role::Source) {
            let listed = clauses.schema.and_then(|(c, _)| c.iter().find(|c| c.name.text == column.name));
            self.shadowing(&column.name, listed.map_or(name.span, |c| c.name.span));
        }
        Rows { columns: columns.into(), ..Rows::default() }
    }

    fn clauses<'a>(&self, written: &'a [SourceClause], role: Role) -> Clauses<'a> {
        let mut found = Clauses { first: written.first().map(|c| c.span), ..Clauses::default() };
        self.each_once(written.iter().map(|c| (clause_words(&c.kind), c.span)));
        for clause in written {
            let span = clause.span;
            match &clause.kind {
                SourceClauseKind::Schema(columns) => found.schema = Some((columns, span)),
                SourceClauseKind::EventTime { column, value } if role == Role::Source => {
                    found.event_time = Some((column, value.as_ref(), span));
                }
                SourceClauseKind::Watermark(delay) if role == Role::Source => {
                    found.watermark = self.delay(delay).map(|d| (d, span));
                }
                SourceClauseKind::Idle(after) if role == Role::Source => {
                    let after = self.positive_duration(after, "the time without rows", "idle 1m");
                    found.idle = after.map(|a| (a, span));
                }
                SourceClauseKind::Start(version) if role == Role::Source => {
                    found.version = self.version(version).map(|v| (v, span));
                }
                SourceClauseKind::Version(version) if role == Role::Table => {
                    found.version = self.version(version).map(|v| (v, span));
                }
                SourceClauseKind::Changes { from, by } if role == Role::Source => {
                    found.changes.changes = Some((from, by, span));
                }
                SourceClauseKind::Malformed(policy) if role == Role::Source => {
                    found.malformed = Some((policy.text == super::malformed::KEPT, span));
                }
                SourceClauseKind::SequenceBy(value) if role == Role::Source => {
                    found.changes.sequence = Some((value, span));
                }
                SourceClauseKind::IgnoreUpdates if role == Role::Source => found.changes.ignore = Some(span),
                other => self.misplaced_clause(other, span, role),
            }
        }
        if let (Some((_, span)), None) = (found.watermark, found.event_time) {
            self.report(
                Diagnostic::error(codes::BAD_WATERMARK, span, "a watermark needs an event time")
                    .label("late by which clock?")
                    .help("say which column is the time: `event_time at = timestamp_millis(timestamp)`"),
            );
        }
        let marked = written.iter().any(|c| matches!(c.kind, SourceClauseKind::Watermark(_)));
        if let (Some((_, span)), false) = (found.idle, marked) {
            self.report(
                Diagnostic::error(
                    codes::MISPLACED_CLAUSE,
                    span,
                    "`idle` is about the watermark, and this source has none",
                )
                .label("it holds no other source back")
                .help("say how late a row may come, `watermark 5s`, or leave `idle` out"),
            );
        }
        found
    }

    /// Reports clauses that stand twice.
    pub(super) fn each_once(&self, clauses: impl Iterator<Item = (&'static str, Span)>) {
        let mut seen: Vec<(&str, Span)> = vec![];
        for (word, span) in clauses {
            match seen.iter().find(|(w, _)| *w == word) {
                Some((_, before)) => self.report(
                    Diagnostic::error(codes::REPEATED_BLOCK_CLAUSE, span, format!("`{word}` stands twice"))
                        .label("again")
                        .also(*before, "the first time")
                        .help("leave one out"),
                ),
                None => seen.push((word, span)),
            }
        }
    }

    fn misplaced_clause(&self, clause: &SourceClauseKind, span: Span, role: Role) {
        let words = clause_words(clause);
        let help = match (clause, role) {
            (SourceClauseKind::Version(_), Role::Source) => "a source says where it begins: `start version 3`",
            (SourceClauseKind::Start(_), Role::Table) => "a table is pinned with `version 3` or `as of @…`",
            (SourceClauseKind::Malformed(_), Role::Table) => {
                "a malformed row of a table stops the run; read the files as a `source` to put such rows aside"
            }
            _ => "a table is a snapshot; only a source is a stream: declare a `source`, or leave the clause out",
        };
        let word = if role == Role::Source { "source" } else { "table" };
        self.report(
            Diagnostic::error(codes::MISPLACED_CLAUSE, span, format!("a {word} has no `{words}`"))
                .label("not here")
                .help(help),
        );
    }

    fn delay(&self, delay: &ast::Expr) -> Option<i64> {
        match self.constant(delay, &DataType::Duration, "the watermark's delay")? {
            Value::Duration(micros) if micros >= 0 => Some(micros),
            _ => {
                self.report(
                    Diagnostic::error(codes::BAD_WATERMARK, delay.span, "a watermark's delay must not be negative")
                        .label("less than 0")
                        .help("for example `watermark 5s`"),
                );
                None
            }
        }
    }

    fn version(&self, version: &ast::VersionSpec) -> Option<VersionSpec> {
        match version {
            ast::VersionSpec::Number(number) => match self.constant(number, &DataType::Long, "a version")? {
                Value::Long(n) if n >= 0 => Some(VersionSpec::Number(n as u64)),
                _ => {
                    self.report(
                        Diagnostic::error(codes::BAD_VALUE, number.span, "a version must not be negative")
                            .label("less than 0")
                            .help("versions are counted from 0"),
                    );
                    None
                }
            },
            ast::VersionSpec::Timestamp(at) => {
                match self.constant(at, &DataType::Timestamp, "the time of a version")? {
                    Value::Timestamp(micros) => Some(VersionSpec::Timestamp(micros)),
                    _ => None,
                }
            }
        }
    }

    fn open(&self, name: &Name, written: &ast::Connector, clauses: &Clauses<'_>, role: Role) -> Option<Opened> {
        let connector = self.connector(written, role);
        let declared = clauses.schema.map(|(columns, _)| self.each_field(columns));
        let connector = connector?;
        if let Some((version, span)) = clauses.version {
            self.check_version(&connector, version, span)?;
        }
        let at = clauses.version.map(|v| v.0).filter(|_| role == Role::Table);
        let word = if role == Role::Source { "source" } else { "table" };
        self.declare(word, &name.text, &connector, at, written.span);
        let columns = clauses.schema.map(|(columns, _)| columns).unwrap_or_default();
        let mut wrong = BTreeSet::new();
        for (field, column) in declared.iter().flatten().zip(columns) {
            if field.as_ref().is_some_and(|f| !self.can_be_read(&connector, f, column)) {
                wrong.insert(column.name.text.clone());
            }
        }
        let found = self.catalog.table(&connector, at);
        let info = match found {
            Ok(info) => info,
            // A CSV file's header says which columns there are; of JSON lines the first do not tell what comes later.
            Err(CatalogError::Inferred(inferred))
                if declared.is_some() && matches!(connector, Connector::Csv { header: true, .. }) =>
            {
                for column in columns.iter().filter(|c| inferred.field(&c.name.text).is_none()) {
                    wrong.extend(self.contract_missing(&inferred, column, columns));
                }
                TableInfo {
                    schema: Schema::new(declared.iter().flatten().flatten().cloned().collect()),
                    ..TableInfo::default()
                }
            }
            Err(CatalogError::Inferred(inferred)) => match &declared {
                Some(fields) => TableInfo {
                    schema: Schema::new(fields.iter().flatten().cloned().collect()),
                    ..TableInfo::default()
                },
                None => {
                    // A declaration with a clause that cannot be read may well have had its columns in it.
                    if !self.declarations.broken.contains(&name.text) {
                        self.undeclared(name, (written, clauses.first), &inferred);
                    }
                    return None;
                }
            },
            // Rows that are put aside are no reason not to run; a header that is wrong is.
            Err(CatalogError::Malformed(_))
                if clauses.malformed.is_some_and(|m| m.0)
                    && declared.is_some()
                    && !matches!(connector, Connector::Csv { header: true, .. }) =>
            {
                let schema = Schema::new(declared.iter().flatten().flatten().cloned().collect());
                TableInfo { schema, ..TableInfo::default() }
            }
            Err(error) => {
                self.not_opened(&connector, written, clauses, error);
                return None;
            }
        };
        if !info.unreadable.is_empty() {
            self.report(
                Diagnostic::error(
                    codes::UNREADABLE_TABLE,
                    written.span,
                    format!("this table needs {} to be read, which flowc does not have", list(&info.unreadable)),
                )
                .label("it would be read wrongly")
                .help("read a copy of the table without this feature"),
            );
            return None;
        }
        let (schema, lineage) = match (declared, clauses.schema) {
            (Some(fields), Some((columns, _))) => self.contract(&connector, &info, fields, columns, &mut wrong),
            _ => (info.schema.clone(), vec![None; info.schema.len()]),
        };
        Some(Opened { connector, info, schema, lineage, wrong })
    }

    fn check_version(&self, connector: &Connector, version: VersionSpec, span: Span) -> Option<()> {
        if !matches!(connector, Connector::Delta { .. }) {
            self.report(
                Diagnostic::error(codes::MISPLACED_CLAUSE, span, "only a Delta table has versions")
                    .label("files have none")
                    .help("leave the clause out"),
            );
            return None;
        }
        let (oldest, newest) = match self.catalog.table(connector, Some(version)) {
            Err(CatalogError::NoSuchVersion { oldest, newest }) => (oldest, newest),
            Err(error @ (CatalogError::NotLocked(_) | CatalogError::Pending)) => {
                self.not_opened_at(connector, span, error);
                return None;
            }
            _ => return Some(()),
        };
        self.report(
            Diagnostic::error(codes::NO_SUCH_VERSION, span, "the table has no such version")
                .label("not in its log")
                .help(format!("its versions are {oldest} to {newest}")),
        );
        None
    }

    fn undeclared(&self, name: &Name, (written, clause): (&ast::Connector, Option<Span>), inferred: &Schema) {
        let columns: Vec<String> = inferred.fields.iter().map(|f| format!("        {f},")).collect();
        let block = format!("schema {{\n{}\n    }}", columns.join("\n"));
        let title = "Declare the columns that the files seem to have";
        let fix = match clause {
            Some(clause) => Fix::insert(title, clause, format!("{block}\n    ")),
            None => Fix::append(title, written.span, format!(" {{\n    {block}\n}}")),
        };
        self.report(
            Diagnostic::error(
                codes::SCHEMA_NEEDED,
                written.span,
                format!("the columns of `{}` must be declared: files of this kind do not say their types", name.text),
            )
            .label("no `schema { … }`")
            .help(format!("from the first rows they seem to be these:\n    {block}"))
            .fix(fix),
        );
    }

    /// Reports why there is nothing to read.
    pub(super) fn not_opened_at(&self, connector: &Connector, span: Span, error: CatalogError) {
        let place = flowc_ir::catalog::location(connector).unwrap_or_default().to_string();
        let diagnostic = match error {
            CatalogError::NotFound => self.not_found(connector, span, None),
            CatalogError::NotATable(what) | CatalogError::Malformed(what) => Diagnostic::error(
                codes::NOT_A_TABLE,
                span,
                format!("what is at `{place}` is not what this connector reads"),
            )
            .label(what)
            .help("use the connector for what is there: `delta`, `parquet`, `csv` or `json`"),
            CatalogError::NoSuchVersion { oldest, newest } => {
                Diagnostic::error(codes::NO_SUCH_VERSION, span, "the table has no such version")
                    .label("not in its log")
                    .help(format!("its versions are {oldest} to {newest}"))
            }
            CatalogError::UnknownType(column, ty) => Diagnostic::error(
                codes::UNKNOWN_COLUMN_TYPE,
                span,
                format!("the table's column `{column}` has the type `{ty}`, which flowc does not know"),
            )
            .label("cannot be read")
            .help("read a copy of the table without this column"),
            CatalogError::Unreachable(why) => {
                self.world_failed.set(true);
                Diagnostic::error(codes::UNREACHABLE, span, format!("`{place}` cannot be reached"))
                    .label(why)
                    .help("try again, or look at the storage")
            }
            CatalogError::NotLocked(why) => {
                Diagnostic::error(codes::NOT_LOCKED, span, format!("`{place}` is not in flow.lock"))
                    .label(why)
                    .help("run `flowc check` where the table can be read: it writes flow.lock")
            }
            CatalogError::Pending => {
                self.pending.set(true);
                return;
            }
            CatalogError::Inferred(_) => return,
        };
        self.report(diagnostic);
    }

    /// There is nothing at the place; perhaps something beside it is meant, whose name then stands in the place's literal.
    fn not_found(&self, connector: &Connector, span: Span, written: Option<&ast::Expr>) -> Diagnostic {
        let place = flowc_ir::catalog::location(connector).unwrap_or_default();
        let what = if matches!(connector, Connector::Delta { .. }) { "Delta table" } else { "file" };
        let names = self.catalog.neighbours(connector);
        let near = did_you_mean(last_name(place), names.iter().map(|n| last_name(n)));
        let near = near.filter(|found| *found != last_name(place));
        let help = match near {
            Some(found) => format!("did you mean `{found}`?"),
            None => "relative paths are relative to the program's file".to_string(),
        };
        let fix = near.zip(written.and_then(last_name_span));
        Diagnostic::error(codes::TABLE_NOT_FOUND, span, format!("there is no {what} at `{place}`"))
            .label("nothing there")
            .help(help)
            .fixes(fix.map(|(name, at)| Fix::replace(format!("Write `{name}`"), at, name)))
    }

    fn not_opened(&self, connector: &Connector, written: &ast::Connector, clauses: &Clauses<'_>, error: CatalogError) {
        if let (CatalogError::NotFound, Some(place)) = (&error, written.args.first()) {
            self.report(self.not_found(connector, place.value.span, Some(&place.value)));
            return;
        }
        let span = match (&error, clauses.version) {
            (CatalogError::NoSuchVersion { .. }, Some((_, span))) => span,
            _ => written.args.first().map_or(written.span, |a| a.value.span),
        };
        self.not_opened_at(connector, span, error);
    }

    /// The columns of a `schema` block, checked against what there is. Those that do not agree with it are added to the wrong ones.
    fn contract(
        &self,
        connector: &Connector,
        info: &TableInfo,
        fields: Vec<Option<Field>>,
        written: &[ColumnDef],
        wrong: &mut BTreeSet<String>,
    ) -> (Schema, Vec<Option<usize>>) {
        let generated = matches!(connector, Connector::Generate { .. });
        let partial = matches!(connector, Connector::Delta { .. } | Connector::Parquet { .. });
        let mut lineage = vec![];
        let mut schema: Vec<Field> = vec![];
        for (field, column) in fields.into_iter().zip(written) {
            let name = &column.name.text;
            let Some(mut field) = field else {
                wrong.insert(name.clone());
                if !schema.iter().any(|f| f.name == *name) {
                    schema.push(Field::new(name.clone(), Type::null()));
                    lineage.push(None);
                }
                continue;
            };
            let sound = if generated {
                self.generated_column(&field, column)
            } else if wrong.contains(name) {
                false
            } else {
                match info.schema.field(name) {
                    Some(actual) => self.contract_column(actual, &mut field, column),
                    None => {
                        wrong.extend(self.contract_missing(&info.schema, column, written));
                        false
                    }
                }
            };
            if !sound {
                wrong.insert(name.clone());
            }
            let listed = partial.then(|| self.lineage.borrow_mut().listed(&field.name, column.name.span));
            lineage.push(listed);
            schema.push(field);
        }
        for name in wrong.iter().filter(|n| !written.iter().any(|c| c.name.text == **n)) {
            schema.push(Field::new(name.clone(), Type::null()));
            lineage.push(None);
        }
        (Schema::new(schema), lineage)
    }

    /// Reports a column that a `schema` lists and the table does not have. The names of which nothing can be said further on: its own, and the one that
    /// was probably meant.
    fn contract_missing(&self, actual: &Schema, column: &ColumnDef, listed: &[ColumnDef]) -> Vec<String> {
        let names: Vec<&str> = actual.fields.iter().map(|f| f.name.as_str()).collect();
        let name = &column.name.text;
        let near = did_you_mean(name, names.iter().copied()).filter(|n| !listed.iter().any(|c| c.name.text == *n));
        self.report(
            Diagnostic::error(codes::CONTRACT_MISSING, column.name.span, format!("the table has no column `{name}`"))
                .label("in the schema here, but not in the table")
                .help(super::names::suggestion(name, &names, "its columns are")),
        );
        near.into_iter().chain([name.as_str()]).map(str::to_string).collect()
    }

    fn contract_column(&self, actual: &Field, field: &mut Field, column: &ColumnDef) -> bool {
        field.comment = field.comment.take().or_else(|| actual.comment.clone());
        if same_shape(&actual.ty, &field.ty) {
            if self.catalog.hypothetical() {
                field.ty = actual.ty.clone();
            }
            return true;
        }
        if same_data(&actual.ty.data, &field.ty.data) {
            self.report(
                Diagnostic::error(
                    codes::CONTRACT_NULLABLE,
                    column.ty.span,
                    format!("the table's column `{}` may be null", field.name),
                )
                .label(format!("the table says `{}`", actual.ty))
                .help(format!("write `{}: {}`", quote_name(&field.name), actual.ty)),
            );
        } else {
            self.report(
                Diagnostic::error(
                    codes::CONTRACT_TYPE,
                    column.ty.span,
                    format!("the table's column `{}` has another type", field.name),
                )
                .label(format!("the table says `{}`", actual.ty))
                .help(format!(
                    "write `{}: {}`, and convert it in the flow",
                    quote_name(&field.name),
                    actual.ty
                )),
            );
        }
        false
    }

    /// Whether the connector has room for values of a declared type.
    fn can_be_read(&self, connector: &Connector, field: &Field, column: &ColumnDef) -> bool {
        let nested =
            matches!(field.ty.data, DataType::Array(_) | DataType::Map(..) | DataType::Struct(_) | DataType::Binary);
        if super::sink::storable(&field.ty.data) && !(nested && matches!(connector, Connector::Csv { .. })) {
            return true;
        }
        self.report(
            Diagnostic::error(
                codes::CONTRACT_TYPE,
                column.ty.span,
                format!("a column cannot be {} here", article(&field.ty.data)),
            )
            .label("not a type that is stored there")
            .help(if nested {
                "read it as a `string`, and take it apart in the flow"
            } else {
                "read it as a number"
            }),
        );
        false
    }

    fn generated_column(&self, field: &Field, column: &ColumnDef) -> bool {
        let id = field.name == "id";
        let fits = if id { field.ty == Type::new(DataType::Long) } else { true };
        if !fits {
            self.report(
                Diagnostic::error(codes::CONTRACT_TYPE, column.ty.span, "the `id` that `generate` makes is a `long`")
                    .label(format!("this is {}", article(&field.ty)))
                    .help("write `id: long`"),
            );
        }
        fits
    }

    /// The event time column, added if it has an expression.
    fn event_time(&self, rows: &mut Rows, clauses: &Clauses<'_>) -> (Option<Program>, Option<String>) {
        let Some((column, value, span)) = clauses.event_time else { return (None, None) };
        let Some(value) = value else {
            return (None, self.existing_time(rows, column));
        };
        let mut env = Env::new(rows);
        let typed = self.expr(&mut env, value);
        let reads: BTreeSet<usize> = std::mem::take(&mut env.reads);
        self.lineage.borrow_mut().root(&reads);
        if let Some(before) = rows.own(&column.text) {
            self.report(
                Diagnostic::error(
                    codes::DUPLICATE_COLUMN,
                    column.span,
                    format!("there is a column `{}` already", before.name),
                )
                .label("this name is taken")
                .help(format!("name the column alone, `event_time {}`, or choose another name", column.text)),
            );
            return (None, None);
        }
        let ty = typed.as_ref().map(|t| t.ty.clone());
        let sound = typed.as_ref().is_some_and(|t| self.is_time(&t.ty, value.span));
        let slot = rows.columns.len();
        let mut after = rows.clone();
        let new = Column {
            name: column.text.as_str().into(),
            table: None,
            ty: ty.filter(|_| sound),
            comment: None,
            slot,
            lineage: None,
        };
        after.columns.push(new);
        let mut program = Program { input: rows.schema(), ..Program::default() };
        program.steps.extend(typed.map(ProgramStep::Let));
        program.outputs = super::steps::passing(&after, origin(span));
        *rows = after;
        (sound.then_some(program), sound.then(|| column.text.clone()))
    }

    fn existing_time(&self, rows: &Rows, column: &Name) -> Option<String> {
        let mut env = Env::new(rows);
        let typed = self.name(&mut env, column)?;
        self.lineage.borrow_mut().root(&env.reads);
        self.is_time(&typed.ty, column.span).then(|| column.text.clone())
    }

    fn is_time(&self, ty: &Type, span: Span) -> bool {
        if ty.data == DataType::Timestamp {
            return true;
        }
        let help = match &ty.data {
            d if d.is_integer() => "say what the number counts: `event_time at = timestamp_millis(…)`",
            DataType::Date => "convert it: `event_time at = … as timestamp`",
            _ => "convert it: `… as timestamp`",
        };
        self.report(
            Diagnostic::error(codes::NOT_A_TIME, span, "an event time is a timestamp")
                .label(format!("this is {}", article(ty)))
                .help(help),
        );
        false
    }
}

fn is_bounded(connector: &Connector) -> bool {
    match connector {
        Connector::Parquet { .. } | Connector::Csv { .. } | Connector::Json { .. } => true,
        Connector::Generate { rows, .. } => rows.is_some(),
        Connector::Delta { .. } | Connector::Console | Connector::Kafka { .. } => false,
    }
}

/// Whether a contract may say `declared` of a column of type `actual`: the same type, nullable in no fewer places.
fn same_shape(actual: &Type, declared: &Type) -> bool {
    if actual.nullable && !declared.nullable {
        return false;
    }
    match (&actual.data, &declared.data) {
        (DataType::Array(a), DataType::Array(b)) => same_shape(a, b),
        (DataType::Map(k, v), DataType::Map(l, w)) => k == l && same_shape(v, w),
        (DataType::Struct(a), DataType::Struct(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x.name == y.name && same_shape(&x.ty, &y.ty))
        }
        (a, b) => a == b,
    }
}

/// Whether two types differ in nothing but what may be null.
fn same_data(a: &DataType, b: &DataType) -> bool {
    match (a, b) {
        (DataType::Array(a), DataType::Array(b)) => same_data(&a.data, &b.data),
        (DataType::Map(k, v), DataType::Map(l, w)) => same_data(k, l) && same_data(&v.data, &w.data),
        (DataType::Struct(a), DataType::Struct(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x.name == y.name && same_data(&x.ty.data, &y.ty.data))
        }
        (a, b) => a == b,
    }
}

fn clause_words(clause: &SourceClauseKind) -> &'static str {
    match clause {
        SourceClauseKind::Schema(_) => "schema",
        SourceClauseKind::EventTime { .. } => "event_time",
        SourceClauseKind::Watermark(_) => "watermark",
        SourceClauseKind::Idle(_) => "idle",
        SourceClauseKind::Changes { .. } => "changes",
        SourceClauseKind::SequenceBy(_) => "sequence by",
        SourceClauseKind::IgnoreUpdates => "ignore updates",
        SourceClauseKind::Malformed(_) => "malformed",
        SourceClauseKind::Start(_) => "start",
        SourceClauseKind::Version(_) => "version",
    }
}

/// The name behind a place's last `/`.
fn last_name(place: &str) -> &str {
    place.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
}

/// Where the last name of a place stands in the literal that says it; none: it is said otherwise.
fn last_name_span(written: &ast::Expr) -> Option<Span> {
    let ast::ExprKind::String(parts) = &written.kind else { return None };
    let Some(ast::StringPart::Text(text)) = parts.last() else { return None };
    let (slashes, name) = (text.len() - text.trim_end_matches('/').len(), last_name(text));
    // What begins before this piece, or is written with escapes, is not just this text; letters and signs of names are.
    let plain = name.len() < text.len() - slashes || parts.len() == 1;
    if name.is_empty() || !plain || !name.is_ascii() || text.contains(['\\', '"', '{', '}', '\n', '\t', '\r']) {
        return None;
    }
    let end = written.span.end.checked_sub(1 + slashes as u32)?;
    let start = end.checked_sub(name.len() as u32).filter(|start| *start > written.span.start)?;
    Some(Span { start, end, ..written.span })
}
