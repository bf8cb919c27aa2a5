//! What can be done with a declaration: run a test, show the plan, look at rows. Must not know how it is done.

use crate::TextRange;
use crate::analysis::range;
use crate::cut::RowsOf;
use crate::workspace::Workspace;
use flowc_syntax::ast::Item;

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
        let lens = |item: &Item| {
            let (span, title, action) = match item {
                Item::Test(x) => (x.name_span, "Run test", LensAction::RunTest(x.name.clone())),
                Item::Sink(x) => (x.name.span, "Show plan", LensAction::ShowPlan),
                Item::Source(x) => (x.name.span, "Preview rows", rows(x.name.text.clone())),
                Item::Table(x) => (x.name.span, "Preview rows", rows(x.name.text.clone())),
                Item::Flow(x) => (x.name.span, "Preview rows", rows(x.name.text.clone())),
                Item::Use(_) | Item::Param(_) | Item::Function(_) => return None,
            };
            Some(Lens { range: range(span), title, action })
        };
        now.tree(file).declarations().filter_map(lens).collect()
    }
}
