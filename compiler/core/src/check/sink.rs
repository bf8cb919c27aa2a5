//! Sinks: their clauses, modes against kinds, and what files and the console take. Delta tables are the matter of `sink_table`.

use crate::check::connector::Role;
use crate::check::declarations::Relation;
use crate::check::flow::Done;
use crate::check::scope::{Column, Obstacle, Remedy, Rows};
use crate::check::time::watermark_help;
use crate::check::{Checker, article, origin};
use crate::checked::CheckedSink;
use crate::codes;
use flowc_ir::graph::Kind;
use flowc_ir::plan::{Connector, SinkMode};
use flowc_ir::types::quote_name;
use flowc_ir::{DataType, Program, Value};
use flowc_syntax::ast::{self, Assignment, Name, Property, Sink, SinkClauseKind};
use flowc_syntax::diagnostic::{Diagnostic, Fix, Help, did_you_mean};
use flowc_syntax::span::Span;
use indexmap::IndexMap;
use std::collections::BTreeSet;

/// What a sink's clauses say.
pub(crate) struct Clauses<'a> {
    pub mode: SinkMode,
    pub mode_span: Option<Span>,
    pub partition_by: Option<(&'a [Assignment], Span)>,
    pub constraints: Vec<(&'a Name, &'a ast::Expr)>,
    pub properties: Option<(&'a [Property], Span)>,
    pub evolve: Option<Span>,
    /// The key by which rows are kept, with its mode.
    pub keys: Option<(&'a [Name], Span)>,
}

/// Delta's table properties that may be set when a table is made.
const PROPERTIES: &[&str] = &[
    "delta.appendOnly",
    "delta.autoOptimize.autoCompact",
    "delta.autoOptimize.optimizeWrite",
    "delta.checkpoint.writeStatsAsJson",
    "delta.checkpoint.writeStatsAsStruct",
    "delta.checkpointInterval",
    "delta.dataSkippingNumIndexedCols",
    "delta.dataSkippingStatsColumns",
    "delta.deletedFileRetentionDuration",
    "delta.enableChangeDataFeed",
    "delta.enableExpiredLogCleanup",
    "delta.isolationLevel",
    "delta.logRetentionDuration",
    "delta.randomizeFilePrefixes",
    "delta.randomPrefixLength",
    "delta.setTransactionRetentionDuration",
    "delta.targetFileSize",
    "delta.tuneFileSizesForRewrites",
];

/// Properties that would change the table's protocol in ways that flowc does not write.
const UNSUPPORTED_PROPERTIES: &[&str] = &[
    "delta.checkpointPolicy",
    "delta.columnMapping.mode",
    "delta.enableDeletionVectors",
    "delta.enableInCommitTimestamps",
    "delta.enableRowTracking",
    "delta.enableTypeWidening",
    "delta.minReaderVersion",
    "delta.minWriterVersion",
];

impl Checker<'_> {
    /// Checks all sinks.
    pub(super) fn check_sinks(&self) {
        let mut places: Vec<(String, Span, String)> = vec![];
        for sink in self.declarations.sinks.values() {
            if let Some(connector) = self.sink(sink) {
                self.place_is_free(sink, &connector, &mut places);
            }
        }
    }

    fn sink(&self, sink: &Sink) -> Option<Connector> {
        let input = self.relation(&sink.input);
        let connector = self.connector(&sink.connector, Role::Sink);
        let clauses = self.sink_clauses(sink);
        if let Some(input) = &input {
            let roots: BTreeSet<usize> = written(&input.rows).filter_map(|c| c.lineage).collect();
            self.lineage.borrow_mut().root(&roots);
            self.note_partitions(&clauses, &input.rows);
            match clauses.mode {
                SinkMode::Append => self.kind_fits(sink, &clauses, &input.rows, connector.as_ref()),
                SinkMode::Overwrite | SinkMode::OverwritePartition => self.has_an_end(&clauses, &input.rows, sink),
                SinkMode::Merge { .. } | SinkMode::Scd2 { .. } => self.keeps_by_key(sink, &clauses, &input.rows),
            }
        }
        let connector = connector?;
        let delta = matches!(connector, Connector::Delta { .. });
        if !delta {
            self.clauses_of_delta(&connector, sink, &clauses);
        }
        let properties = clauses.properties.map(|(p, _)| self.properties(p)).unwrap_or_default();
        let input = input?;
        let mut checked = CheckedSink {
            name: sink.name.text.clone(),
            connector: connector.clone(),
            mode: clauses.mode.clone(),
            input: input.input,
            program: Program::default(),
            tested: vec![],
            partition_by: vec![],
            generated: vec![],
            constraints: vec![],
            enforced: vec![],
            properties,
            description: sink.doc.clone(),
            evolve: clauses.evolve.is_some(),
            existing: None,
            since_commit: false,
            origin: origin(sink.span),
        };
        if input.rows.is_sound() {
            let sound = if delta {
                self.delta_sink(&mut checked, sink, &clauses, &input.rows)
            } else {
                self.file_sink(&mut checked, sink, &input)
            };
            if sound.is_some() {
                self.checked.borrow_mut().sinks.push(checked);
            }
        }
        Some(connector)
    }

    fn sink_clauses<'a>(&self, sink: &'a Sink) -> Clauses<'a> {
        let mut found = Clauses {
            mode: SinkMode::Append,
            mode_span: None,
            partition_by: None,
            constraints: vec![],
            properties: None,
            evolve: None,
            keys: None,
        };
        let word = |c: &ast::SinkClause| match &c.kind {
            SinkClauseKind::Mode(_) => Some(("mode", c.span)),
            SinkClauseKind::PartitionBy(_) => Some(("partition by", c.span)),
            SinkClauseKind::Properties(_) => Some(("properties", c.span)),
            SinkClauseKind::Evolve => Some(("evolve", c.span)),
            SinkClauseKind::Constraint { .. } => None,
        };
        self.each_once(sink.clauses.iter().filter_map(word));
        for clause in &sink.clauses {
            match &clause.kind {
                SinkClauseKind::Mode(mode) => {
                    found.mode_span = Some(clause.span);
                    match mode {
                        ast::SinkMode::Append => {}
                        ast::SinkMode::Overwrite => found.mode = SinkMode::Overwrite,
                        ast::SinkMode::OverwritePartition => found.mode = SinkMode::OverwritePartition,
                        ast::SinkMode::Merge(names) => {
                            found.mode = SinkMode::Merge { keys: texts(names) };
                            found.keys = Some((names, clause.span));
                        }
                        ast::SinkMode::Scd2(names) => {
                            found.mode = SinkMode::Scd2 { keys: texts(names) };
                            found.keys = Some((names, clause.span));
                        }
                    }
                    if let Some((names, _)) = found.keys {
                        self.unique_columns(names.iter().map(|name| (name.text.as_str(), name.span)));
                    }
                }
                SinkClauseKind::PartitionBy(columns) => found.partition_by = Some((columns, clause.span)),
                SinkClauseKind::Constraint { name, condition } => {
                    if let Some((before, _)) =
                        found.constraints.iter().find(|(n, _)| n.text.eq_ignore_ascii_case(&name.text))
                    {
                        self.report(
                            Diagnostic::error(
                                codes::DUPLICATE_DECLARATION,
                                name.span,
                                format!("the constraint `{}` is declared twice", name.text),
                            )
                            .label("declared again here")
                            .also(before.span, "declared here")
                            .help("give one of them another name"),
                        );
                    } else {
                        found.constraints.push((name, condition));
                    }
                }
                SinkClauseKind::Properties(properties) => found.properties = Some((properties, clause.span)),
                SinkClauseKind::Evolve => found.evolve = Some(clause.span),
            }
        }
        found
    }

    /// Rows that are kept by a key.
    /// Records the columns that a list of partitions names as they are.
    fn note_partitions(&self, clauses: &Clauses<'_>, rows: &Rows) {
        for partition in clauses.partition_by.map(|(p, _)| p).unwrap_or_default() {
            if let ast::ExprKind::Name(name) = &partition.value.kind
                && let Some(column) = rows.own(&name.text)
            {
                self.note_read(name.span, column);
            }
        }
    }

    fn keeps_by_key(&self, sink: &Sink, clauses: &Clauses<'_>, rows: &Rows) {
        let Some((keys, span)) = clauses.keys else { return };
        if !self.key_fits(sink, keys, span, rows) {
            return;
        }
        self.not_blocked(sink, clauses, rows);
        if matches!(clauses.mode, SinkMode::Merge { .. }) && !rows.kind.is_changing() && !rows.bounded {
            self.last_by_epochs(sink, keys, span, rows);
        }
    }

    /// Warns of streams whose order depends on the epochs, where the last row of a key is the one that counts.
    fn last_by_epochs(&self, sink: &Sink, keys: &[Name], span: Span, rows: &Rows) {
        if !rows.time.unordered {
            return;
        }
        let by = rows.time.event.as_ref().map_or("VALUE".to_string(), |event| quote_name(event.column()));
        let per = super::keys::written(&texts(keys));
        self.report(
            Diagnostic::warning(
                codes::LAST_BY_EPOCHS,
                span,
                format!(
                    "which of two rows of a key is the last depends on how `{}` is cut into epochs",
                    sink.input.name.text
                ),
            )
            .label("the last row of a key counts")
            .help(format!("say which one is wanted: `|> top 1 by {by} desc per {per}`")),
        );
    }

    /// Rows that are replaced, or that need all rows before the first comes out, cannot be appended.
    fn kind_fits(&self, sink: &Sink, clauses: &Clauses<'_>, rows: &Rows, connector: Option<&Connector>) {
        let span = clauses.mode_span.unwrap_or(sink.input.span);
        let name = &sink.input.name.text;
        if let (Kind::Changing { key }, Some(obstacle)) = (&rows.kind, &rows.changing) {
            let own = key.iter().all(|name| rows.own(name).is_some());
            let single = obstacle.remedy == Remedy::Whole;
            let whole = "`mode overwrite`: the whole result at each run";
            let delta = connector.is_none_or(|c| matches!(c, Connector::Delta { .. } | Connector::Console));
            let merge =
                (delta && own && !key.is_empty()).then(|| format!("mode merge on {}", super::keys::written(key)));
            let write = match (key.as_slice(), delta) {
                (_, false) => format!("write to a Delta table with `mode merge`, or use {whole}"),
                ([], true) if single => format!("use {whole}"),
                ([], true) => format!("write `mode merge on` and the columns that identify a row; or use {whole}"),
                (key, true) if own => format!("write `mode merge on {}`; or use {whole}", super::keys::written(key)),
                (key, true) => format!(
                    "its key is {}: select these columns, and write `mode merge on` them; or use {whole}",
                    super::list(key)
                ),
            };
            let why = match obstacle.step {
                "changes" => "its table's rows are updated and deleted, and so are these".to_string(),
                step => format!("`{step}` over rows that go on coming gives new values for the same key"),
            };
            self.report(
                Diagnostic::error(
                    codes::CHANGING_APPENDED,
                    span,
                    format!("`{name}` changes rows that were written before, and `mode append` only adds rows"),
                )
                .label(if clauses.mode_span.is_some() { "appends" } else { "`mode` left out is `append`" })
                .also(obstacle.span, why)
                .help(match &obstacle.remedy {
                    Remedy::Watermark(sources) if !sources.is_empty() => {
                        format!("{}; each window then comes once, when it is over; or {write}", watermark_help(sources))
                    }
                    _ => write,
                })
                .fixes(merge.map(|mode| match clauses.mode_span {
                    Some(span) => Fix::replace(format!("Write `{mode}`"), span, mode),
                    None => match sink.clauses.first() {
                        Some(first) => Fix::insert(format!("Write `{mode}`"), first.span, format!("{mode}\n    ")),
                        None => Fix::append(format!("Write `{mode}`"), sink.connector.span, format!(" {{ {mode} }}")),
                    },
                })),
            );
        } else {
            self.not_blocked(sink, clauses, rows);
        }
    }

    /// Whether no step before needs all rows, where they do not end.
    fn not_blocked(&self, sink: &Sink, clauses: &Clauses<'_>, rows: &Rows) {
        let span = clauses.mode_span.unwrap_or(sink.input.span);
        let name = &sink.input.name.text;
        if let Some(obstacle) = rows.blocked.as_ref().filter(|o| o.remedy != Remedy::End) {
            self.would_grow(sink, clauses, obstacle);
        } else if let Some(obstacle) = &rows.blocked {
            self.report(
                Diagnostic::error(
                    codes::UNBOUNDED_APPENDED,
                    span,
                    format!("`{name}` needs all rows before it has a result, and its source has no end"),
                )
                .label(if clauses.mode_span.is_some() {
                    "appends what is new"
                } else {
                    "`mode` left out is `append`: what is new"
                })
                .also(obstacle.span, format!("`{}` needs bounded input", obstacle.step))
                .help("use `mode overwrite`: the whole result at each run; or start the flow from a `table`"),
            );
        }
    }

    /// Reports a step that would have to remember every row.
    fn would_grow(&self, sink: &Sink, clauses: &Clauses<'_>, obstacle: &Obstacle) {
        let word = obstacle.step;
        let (why, help) = match &obstacle.remedy {
            Remedy::Watermark(sources) => (
                format!("without a watermark `{word}` never knows that a row is no longer needed"),
                watermark_help(sources),
            ),
            _ => (
                format!("any two rows can belong together in this `{word}`, however far apart"),
                "say how far apart they may be: `within 10m`".to_string(),
            ),
        };
        self.report(
            Diagnostic::error(
                codes::UNBOUNDED_STATE,
                clauses.mode_span.unwrap_or(sink.input.span),
                format!("`{}` would remember every row for ever: its source has no end", sink.input.name.text),
            )
            .label(if clauses.mode_span.is_some() {
                "appends what is new"
            } else {
                "`mode` left out is `append`: what is new"
            })
            .also(obstacle.span, why)
            .help(format!("{help}; or use `mode overwrite`: the whole result at each run")),
        );
    }

    /// What is computed as a whole must end.
    fn has_an_end(&self, clauses: &Clauses<'_>, rows: &Rows, sink: &Sink) {
        let Some(source) = rows.endless else { return };
        let span = clauses.mode_span.unwrap_or(sink.input.span);
        self.report(
            Diagnostic::error(
                codes::ENDLESS_OVERWRITE,
                span,
                format!("the whole of `{}` never ends", sink.input.name.text),
            )
            .label("computes the whole result at each run")
            .also(source, "makes rows forever")
            .help("say how many rows: `generate(rows: 1000)`; or use `mode append`"),
        );
    }

    fn clauses_of_delta(&self, connector: &Connector, sink: &Sink, clauses: &Clauses<'_>) {
        let mut wrong: Vec<(Span, &str)> = vec![];
        wrong.extend(clauses.partition_by.map(|(_, span)| (span, "partition by")));
        wrong.extend(clauses.constraints.iter().map(|(name, _)| (name.span, "constraint")));
        wrong.extend(clauses.properties.map(|(_, span)| (span, "properties")));
        wrong.extend(clauses.evolve.map(|span| (span, "evolve")));
        // The console shows changes as they come.
        let shown = matches!((connector, &clauses.mode), (Connector::Console, SinkMode::Merge { .. }));
        let keyed = clauses.keys.is_some() && !shown || clauses.mode == SinkMode::OverwritePartition;
        wrong.extend(clauses.mode_span.filter(|_| keyed).map(|span| (span, mode_words(&clauses.mode))));
        for (span, what) in wrong {
            self.report(
                Diagnostic::error(
                    codes::MISPLACED_CLAUSE,
                    span,
                    format!("`{}` has no `{what}`", sink.connector.name.text),
                )
                .label("only a Delta table has this")
                .help("leave the clause out, or write to `delta(\"…\")`"),
            );
        }
    }

    fn file_sink(&self, checked: &mut CheckedSink, sink: &Sink, input: &Done) -> Option<()> {
        let rows = Rows { columns: input.rows.columns.clone(), ..input.rows.clone() };
        let mut sound = self.has_columns(&rows, sink);
        let nested = matches!(checked.connector, Connector::Csv { .. });
        for column in written(&rows) {
            let Some(ty) = &column.ty else { continue };
            let is_nested =
                matches!(ty.data, DataType::Array(_) | DataType::Map(..) | DataType::Struct(_) | DataType::Binary);
            let console = matches!(checked.connector, Connector::Console);
            if nested && is_nested || !console && !storable(&ty.data) {
                self.type_not_written(&column.name, &ty.data, sink);
                sound = false;
            }
        }
        let outputs = Rows { columns: written(&rows).cloned().collect(), ..rows.clone() };
        checked.program = Program {
            input: input.rows.schema(),
            steps: vec![],
            outputs: super::steps::passing(&outputs, origin(sink.span)),
        };
        sound.then_some(())
    }

    /// Reports a column whose type the sink does not take.
    pub(super) fn type_not_written(&self, column: &str, data: &DataType, sink: &Sink) {
        let help = match data {
            DataType::Duration => format!("write a number: `|> extend {0} = {0} div 1s`", quote_name(column)),
            DataType::Null => "give it a type: `null as string?`".to_string(),
            DataType::Array(item) if item.data == DataType::String => {
                format!("write it as text: `|> extend {0} = array_join({0}, \",\")`", quote_name(column))
            }
            _ => "write it as text: `x as string`, or take its parts".to_string(),
        };
        self.report(
            Diagnostic::error(
                codes::TYPE_NOT_WRITTEN,
                sink.input.span,
                format!("`{}` cannot hold {}", sink.connector.name.text, article(data)),
            )
            .label(format!("its column `{column}` is one"))
            .also(sink.connector.span, "written here")
            .help(help),
        );
    }

    /// Whether there is something to write.
    pub(super) fn has_columns(&self, rows: &Rows, sink: &Sink) -> bool {
        if written(rows).next().is_some() {
            return true;
        }
        self.report(
            Diagnostic::error(
                codes::NOTHING_WRITTEN,
                sink.input.span,
                format!("`{}` has no columns to write", sink.input.name.text),
            )
            .label("no columns")
            .help("select some: `|> select …`"),
        );
        false
    }

    fn properties(&self, written: &[Property]) -> IndexMap<String, String> {
        let mut found = IndexMap::new();
        for property in written {
            let text = match &property.value.kind {
                ast::ExprKind::Boolean(b) => Some(b.to_string()),
                ast::ExprKind::Integer(n) => Some(n.to_string()),
                _ => match self.constant(&property.value, &DataType::String, "the value of a property") {
                    Some(Value::String(s)) => Some(s),
                    _ => None,
                },
            };
            self.property_is_known(property);
            if let Some(text) = text {
                found.insert(property.key.clone(), text);
            }
        }
        found
    }

    fn property_is_known(&self, property: &Property) {
        let key = property.key.as_str();
        if !key.to_lowercase().starts_with("delta.") || PROPERTIES.contains(&key) {
            return;
        }
        if UNSUPPORTED_PROPERTIES.contains(&key) {
            self.unsupported(
                codes::UNSUPPORTED_PROPERTY,
                property.key_span,
                &format!("the property `{key}`"),
                "leave it out: tables are made with the plain protocol",
            );
            return;
        }
        let help = if key.starts_with("delta.constraints.") {
            "a constraint is a clause of its own: `constraint name: condition`".into()
        } else {
            match did_you_mean(key, PROPERTIES.iter().copied()) {
                Some(near) => Help::instead(format!("did you mean `{near}`?"), format!("\"{near}\"")),
                None => "properties of your own must not begin with `delta.`".into(),
            }
        };
        self.report(
            Diagnostic::error(
                codes::UNKNOWN_PROPERTY,
                property.key_span,
                format!("Delta has no table property `{key}`"),
            )
            .label("unknown property")
            .help(help),
        );
    }

    /// Two sinks must not write one place, and a stream must not be fed by its own result.
    fn place_is_free(&self, sink: &Sink, connector: &Connector, places: &mut Vec<(String, Span, String)>) {
        let Some(place) = flowc_ir::catalog::location(connector) else { return };
        let place = place.trim_start_matches("file://").trim_end_matches('/').to_string();
        let span = sink.connector.span;
        if let Some((_, before, name)) = places.iter().find(|(p, ..)| *p == place) {
            self.report(
                Diagnostic::error(
                    codes::SHARED_TABLE,
                    span,
                    format!("two sinks write the same place: `{name}` and `{}`", sink.name.text),
                )
                .label("again here")
                .also(*before, format!("`{name}` writes it"))
                .help("write both flows with one sink: `|> union …`"),
            );
            return;
        }
        for relation in self.declarations.relations.values() {
            let Relation::Source(source) = relation else { continue };
            let same = self.silently(|| self.connector(&source.connector, Role::Source));
            let same = same.as_ref().and_then(flowc_ir::catalog::location);
            if same.is_some_and(|s| s.trim_start_matches("file://").trim_end_matches('/') == place) {
                self.report(
                    Diagnostic::error(
                        codes::WRITES_ITS_SOURCE,
                        span,
                        format!("this sink writes what the source `{}` reads", source.name.text),
                    )
                    .label("the program would feed itself")
                    .also(source.connector.span, "read here")
                    .help("write to another place; a `table` may be read and written: it is a snapshot"),
                );
            }
        }
        places.push((place, span, sink.name.text.clone()));
    }
}

fn texts(names: &[Name]) -> Vec<String> {
    names.iter().map(|name| name.text.clone()).collect()
}

fn mode_words(mode: &SinkMode) -> &'static str {
    match mode {
        SinkMode::Append => "mode append",
        SinkMode::Overwrite => "mode overwrite",
        SinkMode::OverwritePartition => "mode overwrite partition",
        SinkMode::Merge { .. } => "mode merge",
        SinkMode::Scd2 { .. } => "mode scd2",
    }
}

/// The columns that a sink takes: all but those of joined tables.
pub(crate) fn written(rows: &Rows) -> impl Iterator<Item = &Column> {
    rows.columns.iter().filter(|c| c.table.is_none())
}

/// Whether files and tables can hold values of this type.
pub(crate) fn storable(data: &DataType) -> bool {
    match data {
        DataType::Null | DataType::Duration => false,
        DataType::Array(item) => storable(&item.data),
        DataType::Map(key, value) => storable(key) && storable(&value.data),
        DataType::Struct(fields) => !fields.is_empty() && fields.iter().all(|f| storable(&f.ty.data)),
        _ => true,
    }
}
