//! Changes that are offered where the cursor is: those that mend a mistake with what other files have, and those that say what is not said yet.
//! Must not know how they are shown.

use crate::analysis::{Analysis, range, touches};
use crate::diagnostics::{Edit, QuickFix};
use crate::workspace::Workspace;
use flowc_core::codes::UNKNOWN_FUNCTION;
use flowc_core::load::parent;
use flowc_syntax::ast::{Ast, Item, RuleCondition, StepKind};
use flowc_syntax::span::{FileId, Span};

/// What may become of a row that breaks a rule.
const POLICIES: &[(&str, &str)] = &[
    ("quarantine", "Quarantine rows that break the rule"),
    ("drop", "Drop rows that break the rule"),
    ("fail", "Fail at rows that break the rule"),
];

impl Workspace {
    /// What can be done at a place that no mistake asks for, or that other files are needed for.
    pub fn assists(&mut self, path: &str, offset: usize) -> Vec<QuickFix> {
        let (now, file) = self.at(path);
        let Some(file) = file else { return vec![] };
        let mut found = policies(&now, file, offset);
        let unknown = now.diagnostics().iter().find(|d| d.code == UNKNOWN_FUNCTION && touches(d.span, file, offset));
        if let Some(name) = unknown.map(|d| d.span) {
            found.extend(self.uses(&now, file, name));
        }
        found
    }

    /// `use` of the files beside this one that declare a function.
    fn uses(&mut self, now: &Analysis, file: FileId, name: Span) -> Vec<QuickFix> {
        let name = now.outcome.sources.text(name);
        let path = now.path(file).to_string();
        let (at, before, behind) = use_place(now.tree(file), now.text(file));
        let mut found = vec![];
        for other in self.all_programs() {
            if now.file(&other).is_some() {
                continue;
            }
            let program = self.program(&other);
            // Files that use each other would be a circle.
            if program.file(&path).is_some() {
                continue;
            }
            let tree = program.tree(FileId(0));
            let declares = tree.declarations().any(|item| matches!(item, Item::Function(f) if f.name.text == name));
            if let Some(written) = relative(&path, &other).filter(|_| declares) {
                let text = format!("{before}use \"{written}\"\n{behind}");
                found.push(QuickFix {
                    title: format!("Use `{written}`, which declares `{name}`"),
                    edits: vec![Edit { path: path.clone(), range: at..at, text }],
                });
            }
        }
        found
    }
}

/// Policies for the rule at a place, if it has none.
fn policies(now: &Analysis, file: FileId, offset: usize) -> Vec<QuickFix> {
    let flows = now.tree(file).declarations().filter_map(|item| if let Item::Flow(f) = item { Some(f) } else { None });
    let rules = flows.flat_map(|flow| &flow.steps).filter_map(|step| match &step.kind {
        StepKind::Expect(rules) => Some(rules),
        _ => None,
    });
    let Some(rule) = rules.flatten().find(|rule| rule.policy.is_none() && touches(rule.span, file, offset)) else {
        return vec![];
    };
    // Where the condition ends; parentheses around it are the rule's.
    let end = match &rule.condition {
        RuleCondition::Row(e) => range(e.span).end.max(range(rule.span).end),
        RuleCondition::Unique { span, .. } => range(*span).end.max(range(rule.span).end),
    };
    let fix = |(policy, title): &(&str, &str)| QuickFix {
        title: title.to_string(),
        edits: vec![Edit { path: now.path(file).to_string(), range: end..end, text: format!(" else {policy}") }],
    };
    POLICIES.iter().map(fix).collect()
}

/// Where a `use` is written, and what has to stand before and behind it: behind those that are there, else before the first declaration and its comments.
fn use_place(tree: &Ast, text: &str) -> (usize, &'static str, &'static str) {
    let uses = tree.declarations().filter(|item| matches!(item, Item::Use(_)));
    if let Some(last) = uses.last() {
        let end = range(last.span()).end;
        return match text[end..].find('\n') {
            Some(line) => (end + line + 1, "", ""),
            None => (text.len(), "\n", ""),
        };
    }
    let Some(first) = tree.declarations().next() else { return (text.len(), "\n", "") };
    let mut at = text[..range(first.span()).start].rfind('\n').map_or(0, |line| line + 1);
    while let Some(line) = text[..at].strip_suffix('\n').map(|before| before.rfind('\n').map_or(0, |l| l + 1))
        && text[line..at].trim_start().starts_with('#')
        && (line > 0 || tree.description.is_none())
    {
        at = line;
    }
    (at, "", "\n")
}

/// How a file is called in one of the same folder or a folder above it; none: they have nothing in common.
fn relative(from: &str, to: &str) -> Option<String> {
    let folder = parent(from);
    if let Some(inside) = to.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/')) {
        return Some(inside.to_string());
    }
    let above = parent(folder);
    let inside = to.strip_prefix(above).and_then(|rest| rest.strip_prefix('/')).filter(|_| !above.is_empty())?;
    Some(format!("../{inside}"))
}
