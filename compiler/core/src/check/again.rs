//! Warns of sinks that append the whole of their result again and again: what is computed from all rows is computed again when more of them have come, and rows of
//! earlier runs stay beside it. Knows nothing of how rows are read.

use crate::check::declarations::Relation;
use crate::check::scope::{Obstacle, Remedy};
use crate::check::time::watermark_help;
use crate::check::{Checker, list};
use crate::checked::{CheckedSink, Input};
use crate::codes;
use flowc_ir::plan::{Connector, SinkMode};
use flowc_ir::types::quote_name;
use flowc_syntax::ast::{self, Sink, SinkClauseKind};
use flowc_syntax::diagnostic::Diagnostic;
use flowc_syntax::span::Span;

/// Something whose rows become more.
struct Growing<'a> {
    name: &'a str,
    declared: Span,
    /// What comes to it, in words.
    comes: &'static str,
}

impl Checker<'_> {
    /// Warns of results that are there again with each run that finds more rows.
    pub(super) fn warn_appended_again(&self) {
        if self.has_errors() {
            return;
        }
        for sink in self.declarations.sinks.values() {
            let Some(input) = self.relation(&sink.input) else { continue };
            // Without errors everything that needs all rows is over rows that end.
            let Some(step) = input.rows.gathered else { continue };
            let growing =
                self.checked.borrow().sinks.iter().find(|s| s.name == sink.name.text).map(|s| self.growing(s));
            if let Some(growing) = growing.filter(|growing| !growing.is_empty()) {
                self.appended_again(sink, &step, &growing);
            }
        }
    }

    /// What a sink that appends depends on, and can become more. The console keeps nothing.
    fn growing(&self, sink: &CheckedSink) -> Vec<Growing<'_>> {
        let keeps = !matches!(sink.connector, Connector::Console);
        if sink.mode != SinkMode::Append || !keeps {
            return vec![];
        }
        let checked = self.checked.borrow();
        let mut found = vec![];
        for input in checked.sources_of(sink.input) {
            let (name, comes) = match input {
                Input::Source(i) => (&checked.sources[i].spec.name, comes(&checked.sources[i].spec.connector)),
                // A version does not change.
                Input::Table(i) if checked.tables[i].spec.version.is_none() => {
                    (&checked.tables[i].spec.name, comes(&checked.tables[i].spec.connector))
                }
                _ => continue,
            };
            let declared = self.declarations.relations.get_key_value(name);
            if let (Some(comes), Some((name, relation))) = (comes, declared) {
                let declared = match relation {
                    Relation::Source(source) => source.connector.span,
                    Relation::Table(table) => table.connector.span,
                    Relation::Flow(_) => continue,
                };
                found.push(Growing { name, declared, comes });
            }
        }
        found
    }

    fn appended_again(&self, sink: &Sink, step: &Obstacle, growing: &[Growing<'_>]) {
        let written = sink.clauses.iter().find(|c| matches!(c.kind, SinkClauseKind::Mode(ast::SinkMode::Append)));
        let help = match (&step.remedy, written) {
            (Remedy::Watermark(sources), _) => {
                format!(
                    "{}; each result then comes once; or use `mode overwrite`: the last result alone",
                    watermark_help(sources)
                )
            }
            // That each result is kept is said.
            (_, Some(_)) => return,
            (_, None) => {
                "use `mode overwrite`: the last result alone; or say that each result is to be kept: `mode append`"
                    .into()
            }
        };
        let names = list(growing.iter().map(|g| quote_name(g.name)));
        let (first, input) = (&growing[0], &sink.input.name.text);
        let comes = if growing.iter().all(|g| g.comes == first.comes) { first.comes } else { "something new" };
        self.report(
            Diagnostic::warning(
                codes::APPENDED_AGAIN,
                written.map_or(sink.input.span, |clause| clause.span),
                format!("the whole of `{input}` is appended again by each run that finds {comes} in {names}"),
            )
            .label(if written.is_some() {
                "earlier results stay"
            } else {
                "`mode` left out is `append`: earlier results stay"
            })
            .also(step.span, format!("`{}` is computed from all rows", step.step))
            .also(first.declared, format!("{} may come", first.comes))
            .help(help),
        );
    }
}

/// What may come to what a connector reads; none: it stays as it is.
fn comes(connector: &Connector) -> Option<&'static str> {
    match connector {
        Connector::Delta { .. } => Some("a new version"),
        Connector::Parquet { glob } | Connector::Csv { glob, .. } | Connector::Json { glob } => {
            takes_several(glob).then_some("new files")
        }
        // So many rows, always the same.
        Connector::Generate { .. } | Connector::Console | Connector::Kafka { .. } => None,
    }
}

/// Whether a location can be several files: a pattern, or by its name a directory.
fn takes_several(glob: &str) -> bool {
    let name = glob.rsplit('/').next().unwrap_or_default();
    glob.contains(['*', '?', '[']) || !name.trim_start_matches('.').contains('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_and_directories_take_several_files() {
        let several = |glob: &str| takes_several(glob);
        assert!(
            ["in/*.csv", "in/2026-??.json", "in/[ab].csv", "in/", "in", "..", "../in", "a.b/in"]
                .iter()
                .all(|g| several(g))
        );
        assert!(!["in.csv", "in/orders.json", "../in/orders.csv.gz", "a.b/in.parquet"].iter().any(|g| several(g)));
    }
}
