//! What can be done with a declaration: run a test, show the plan, look at rows. Must not know how it is done.

use crate::TextRange;
use crate::analysis::{Analysis, range};
use crate::cut::RowsOf;
use crate::workspace::Workspace;
use flowc_syntax::ast::{Item, PolicyKind, Rule, SourceClause, SourceClauseKind, Step, StepKind};

/// What a lens does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LensAction {
    /// Runs the test of this name.
    RunTest(String),
    /// Shows how the program runs.
    ShowPlan,
    /// Shows some rows of a source, table or flow.
    Preview(RowsOf),
}

/// A line above a declaration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lens {
    /// The declaration's name.
    pub range: TextRange,
    /// What it says.
    pub title: &'static str,
    /// What it does.
    pub action: LensAction,
}

impl Workspace {
    /// The lenses of a file.
    pub fn lenses(&mut self, path: &str) -> Vec<Lens> {
        let (now, file) = self.at(path);
        let Some(file) = file else { return vec![] };
        let rows = |name: String| LensAction::Preview(RowsOf { name, steps: None });
        let lenses = |item: &Item| {
            let (span, title, action) = match item {
                Item::Test(x) => (x.name_span, "Run test", LensAction::RunTest(x.name.clone())),
                Item::Sink(x) => (x.name.span, "Show plan", LensAction::ShowPlan),
                Item::Source(x) => (x.name.span, "Preview rows", rows(x.name.text.clone())),
                Item::Table(x) => (x.name.span, "Preview rows", rows(x.name.text.clone())),
                Item::Flow(x) => (x.name.span, "Preview rows", rows(x.name.text.clone())),
                Item::Use(_) | Item::Param(_) | Item::Function(_) => return vec![],
            };
            let aside = put_aside(&now, item).into_iter().map(|(title, name)| (title, rows(name)));
            let lens = |(title, action)| Lens { range: range(span), title, action };
            std::iter::once((title, action)).chain(aside).map(lens).collect()
        };
        now.tree(file).declarations().flat_map(lenses).collect()
    }
}

/// The side outputs of a declaration, by their titles. Which rows can be late is known of a program without mistakes.
fn put_aside(now: &Analysis, item: &Item) -> Vec<(&'static str, String)> {
    let (name, outputs) = match item {
        Item::Source(source) => {
            let kept = |c: &SourceClause| matches!(&c.kind, SourceClauseKind::Malformed(policy) if policy.text == "quarantine");
            (&source.name.text, vec![("malformed", "Preview malformed rows", source.clauses.iter().any(kept))])
        }
        Item::Flow(flow) => {
            let quarantines = |rule: &Rule| rule.policy.as_ref().is_some_and(|p| p.kind == PolicyKind::Quarantine);
            let rejects = |step: &Step| matches!(&step.kind, StepKind::Expect(rules) if rules.iter().any(quarantines));
            let mut flows = now.outcome.checked.iter().flat_map(|checked| &checked.flows);
            let late = flows.any(|checked| checked.name == flow.name.text && checked.late.is_some());
            let rejected = ("rejected", "Preview rejected rows", flow.steps.iter().any(rejects));
            (&flow.name.text, vec![rejected, ("late", "Preview late rows", late)])
        }
        _ => return vec![],
    };
    let there = outputs.into_iter().filter(|(.., there)| *there);
    there.map(|(output, title, _)| (title, format!("{name}.{output}"))).collect()
}
