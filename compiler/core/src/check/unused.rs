//! Warnings about what is declared and never used, and columns that are computed and never read. Only of programs without errors: in others "unused" may
//! only mean "not reached".

use crate::check::declarations::{Declarations, Relation};
use crate::check::{Checker, Used};
use crate::codes;
use crate::facts::ColumnOrigin;
use flowc_syntax::ast::{FlowRef, JoinKind, StepKind};
use flowc_syntax::diagnostic::Diagnostic;
use flowc_syntax::span::Span;
use std::collections::BTreeSet;

/// Which columns are computed from which, and which of them matter.
#[derive(Debug, Default)]
pub(crate) struct Lineage {
    columns: Vec<Origin>,
    roots: BTreeSet<usize>,
}

#[derive(Debug)]
struct Origin {
    name: String,
    span: Span,
    from: Vec<usize>,
    /// What it is called in the warning; none: no warning.
    what: Option<&'static str>,
    /// Whether a table or file has it.
    stored: bool,
}

impl Lineage {
    /// A column that is computed from others.
    pub fn computed(&mut self, name: &str, span: Span, from: &BTreeSet<usize>, warn: bool) -> usize {
        let what = warn.then_some("computed");
        self.columns.push(Origin {
            name: name.to_string(),
            span,
            from: from.iter().copied().collect(),
            what,
            stored: false,
        });
        self.columns.len() - 1
    }

    /// A column that a `schema` block lists.
    pub fn listed(&mut self, name: &str, span: Span) -> usize {
        self.columns.push(Origin { name: name.to_string(), span, from: vec![], what: Some("listed"), stored: true });
        self.columns.len() - 1
    }

    /// A column that a table has, whether anyone reads it or not.
    pub fn stored(&mut self, name: &str, span: Span) -> usize {
        self.columns.push(Origin { name: name.to_string(), span, from: vec![], what: None, stored: true });
        self.columns.len() - 1
    }

    /// Whether no warning is ever given for the column, because it is a table's.
    pub fn is_unwatched(&self, column: usize) -> bool {
        self.columns.get(column).is_some_and(|c| c.stored && c.what.is_none())
    }

    /// Where all columns come from.
    pub fn into_origins(self) -> Vec<ColumnOrigin> {
        let origin = |c: Origin| ColumnOrigin { name: c.name, span: c.span, from: c.from, stored: c.stored };
        self.columns.into_iter().map(origin).collect()
    }

    /// These columns matter: a condition reads them, or a sink writes them.
    pub fn root(&mut self, columns: &BTreeSet<usize>) {
        self.roots.extend(columns);
    }

    fn unread(&self) -> impl Iterator<Item = (&Origin, &'static str)> {
        let mut live = vec![false; self.columns.len()];
        let mut open: Vec<usize> = self.roots.iter().copied().collect();
        while let Some(at) = open.pop() {
            if !std::mem::replace(&mut live[at], true) {
                open.extend(&self.columns[at].from);
            }
        }
        self.columns.iter().zip(live).filter(|(_, live)| !live).filter_map(|(o, _)| Some((o, o.what?)))
    }
}

impl Checker<'_> {
    /// Whether the rows of this flow reach a sink.
    pub(super) fn has_sinks(&self, name: &str) -> bool {
        self.declarations.reaching_sinks.iter().any(|(reached, _)| reached == name)
    }

    /// The warnings.
    pub(super) fn warn_unused(&self) {
        if self.has_errors() {
            return;
        }
        let used = self.used.borrow();
        let unused = |kind: Used, name: &str| !used.contains(&(kind, name.to_string())) && !name.starts_with('_');
        let warn = |code, span, word: &str, name: &str, help: &str| {
            self.report(
                Diagnostic::warning(code, span, format!("the {word} `{name}` is never used"))
                    .label("unused")
                    .help(help.to_string()),
            );
        };
        for param in
            self.declarations.params.values().filter(|p| p.span.file.0 == 0 && unused(Used::Param, &p.name.text))
        {
            warn(
                codes::UNUSED_PARAM,
                param.name.span,
                "param",
                &param.name.text,
                "remove it, or begin its name with `_`",
            );
        }
        for function in self.declarations.functions.values() {
            // A file of functions is used by several programs; not each needs all.
            if function.span.file.0 == 0 && unused(Used::Function, &function.name.text) {
                warn(
                    codes::UNUSED_FUNCTION,
                    function.name.span,
                    "function",
                    &function.name.text,
                    "remove it, or begin its name with `_`",
                );
            }
        }
        for (name, relation) in &self.declarations.relations {
            if !unused(Used::Relation, name) {
                continue;
            }
            let (code, help) = match relation {
                Relation::Flow(_) => {
                    (codes::UNUSED_FLOW, format!("write it somewhere: `sink out = {name} -> console()`"))
                }
                _ => (codes::UNUSED_SOURCE, "remove it, or begin its name with `_`".to_string()),
            };
            warn(code, relation.name().span, relation.word(), name, &help);
        }
        for (column, what) in self.lineage.borrow().unread() {
            let help = match what {
                "listed" => "leave it out of the schema: a `schema` may list some of a table's columns",
                _ => "leave it out, or write it to a sink",
            };
            self.report(
                Diagnostic::warning(
                    codes::UNREAD_COLUMN,
                    column.span,
                    format!("nobody reads the column `{}`", column.name),
                )
                .label(format!("{what}, but never used"))
                .help(help),
            );
        }
    }
}

/// The names of the sources, tables and flows whose rows, or those of a side output, reach a sink.
pub(crate) fn reaching_sinks(declarations: &Declarations<'_>) -> BTreeSet<(String, Option<String>)> {
    let mut found = BTreeSet::new();
    let mut open: Vec<&FlowRef> = declarations.sinks.values().map(|s| &s.input).collect();
    while let Some(reference) = open.pop() {
        let name = &reference.name.text;
        if !found.insert((name.clone(), reference.output.as_ref().map(|o| o.text.clone()))) {
            continue;
        }
        if let Some(Relation::Flow(flow)) = declarations.relations.get(name) {
            open.push(&flow.input);
            for step in &flow.steps {
                match &step.kind {
                    StepKind::Union(others) => open.extend(others),
                    StepKind::Join(join) if !matches!(join.kind, JoinKind::Semi | JoinKind::Anti) => {
                        open.push(&join.right)
                    }
                    _ => {}
                }
            }
        }
    }
    found
}
