//! `SOURCE.malformed`: rows of text files that do not parse or do not fit their columns, where the source puts them aside.

use crate::check::Checker;
use crate::check::Used;
use crate::check::declarations::Relation;
use crate::check::flow::Done;
use crate::check::scope::{Clock, Column, Rows};
use crate::checked::Input;
use crate::codes;
use flowc_ir::graph::malformed_schema;
use flowc_ir::types::quote_name;
use flowc_syntax::ast::{Name, Source, SourceClauseKind};
use flowc_syntax::diagnostic::Diagnostic;
use flowc_syntax::span::Span;

/// What the side output is called.
pub(super) const OUTPUT: &str = "malformed";

/// The policy that puts rows aside.
pub(super) const KEPT: &str = "quarantine";

/// The connectors whose files are text: what is in them may be anything.
const TEXT: &[&str] = &["csv", "json"];

/// The `malformed` clause of a source: its policy and its place.
fn clause(source: &Source) -> Option<(&Name, Span)> {
    source.clauses.iter().find_map(|c| match &c.kind {
        SourceClauseKind::Malformed(policy) => Some((policy, c.span)),
        _ => None,
    })
}

/// Whether a source reads text; also if it is not known what it reads.
fn reads_text(source: &Source) -> bool {
    let name = source.connector.name.text.as_str();
    let others = ["delta", "parquet", "generate", "console", "kafka"];
    TEXT.contains(&name) || !others.contains(&name)
}

impl Checker<'_> {
    /// Whether a source can have malformed rows; reports a clause that stands at one that cannot.
    pub(super) fn has_malformed(&self, source: &Source, clause: Span) -> bool {
        if reads_text(source) {
            return true;
        }
        let connector = &source.connector.name.text;
        self.report(
            Diagnostic::error(codes::NO_MALFORMED, clause, format!("a source of `{connector}` has no malformed rows"))
                .label("only sources of `csv` and `json` have")
                .help(format!("leave the clause out: what `{connector}` yields has its types already")),
        );
        false
    }

    /// The rows of `SOURCE.malformed`.
    pub(super) fn malformed(&self, relation: &Relation<'_>, name: &Name, output: Span) -> Option<Done> {
        let written = format!("`{}`", name.text);
        let Relation::Source(source) = relation else {
            let word = relation.word();
            let help = match relation {
                Relation::Table(_) => "read the files as a `source` with `malformed quarantine`".to_string(),
                _ => format!("the source that {written} reads may have: `SOURCE.malformed`"),
            };
            self.report(
                Diagnostic::error(codes::NO_MALFORMED, output, format!("the {word} {written} has no malformed rows"))
                    .label("only sources of `csv` and `json` have")
                    .help(help),
            );
            return None;
        };
        let known = !self.declarations.broken.contains(&name.text);
        if known && !reads_text(source) {
            if clause(source).is_none() {
                let connector = &source.connector.name.text;
                self.report(
                    Diagnostic::error(
                        codes::NO_MALFORMED,
                        output,
                        format!("{written} reads `{connector}`, which has no malformed rows"),
                    )
                    .label("only sources of `csv` and `json` have")
                    .help(format!("read {written} itself")),
                );
            }
            return None;
        }
        let done = self.relation_named(&name.text, Some(name.span))?;
        match clause(source) {
            Some((policy, _)) if policy.text == KEPT => {}
            _ if !known => {}
            other => {
                self.not_kept(source, other, output);
                return None;
            }
        }
        let Input::Source(index) = done.input else { return None };
        Some(Done::new(Input::Malformed(index), rows(&done.rows, &name.text)))
    }

    fn not_kept(&self, source: &Source, clause: Option<(&Name, Span)>, output: Span) {
        let name = quote_name(&source.name.text);
        let message = format!("the malformed rows of `{name}` are not put aside: one of them stops the run");
        let mut found = Diagnostic::error(codes::MALFORMED_NOT_KEPT, output, message).label("there are none to read");
        found = match clause {
            Some((policy, span)) => found
                .also(span, format!("`malformed {}` says so", policy.text))
                .help("write `malformed quarantine` there"),
            None => found
                .also(source.name.span, "declared here")
                .help(format!("put `malformed quarantine` into the braces of the source `{name}`")),
        };
        self.report(found);
    }

    /// Warns of rows that are put aside where nobody sees them.
    pub(super) fn warn_malformed_unread(&self) {
        if self.has_errors() {
            return;
        }
        for (name, relation) in &self.declarations.relations {
            let Relation::Source(source) = relation else { continue };
            let Some((_, span)) = clause(source).filter(|(policy, _)| policy.text == KEPT) else { continue };
            let used = self.used.borrow().contains(&(Used::Relation, name.clone()));
            let read = (name.clone(), Some(OUTPUT.to_string()));
            if !used || self.declarations.reaching_sinks.contains(&read) {
                continue;
            }
            let name = quote_name(name);
            self.report(
                Diagnostic::warning(
                    codes::MALFORMED_UNREAD,
                    span,
                    format!("the malformed rows of `{name}` are put aside, but no sink takes them"),
                )
                .label("they are counted, and gone")
                .help(format!("write them somewhere: `sink malformed = {name}.malformed -> delta(\"malformed\")`")),
            );
        }
    }
}

/// The rows of the side output: as bounded as the source.
fn rows(source: &Rows, name: &str) -> Rows {
    let column = |(slot, field): (usize, flowc_ir::Field)| Column {
        name: field.name.into(),
        table: None,
        ty: Some(field.ty),
        comment: field.comment.map(Into::into),
        slot,
        lineage: None,
    };
    let columns = malformed_schema().fields.into_iter().enumerate().map(column).collect();
    Rows {
        columns,
        bounded: source.bounded,
        endless: source.endless,
        time: Clock::without_time("malformed records of", name),
        ..Rows::default()
    }
}
