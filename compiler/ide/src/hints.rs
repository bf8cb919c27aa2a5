//! What an editor shows between the lines: the columns behind each step, and how a flow's rows come. Must not know how it is shown.

use crate::TextRange;
use crate::analysis::range;
use crate::workspace::Workspace;
use flowc_core::facts::Shape;
use flowc_ir::Type;
use flowc_ir::graph::Kind;
use flowc_syntax::ast::{Assignment, Item, StepKind};

/// Text behind a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// Behind which byte.
    pub offset: usize,
    /// The text.
    pub text: String,
    /// More of it.
    pub tooltip: String,
}

/// So many columns are shown; the tooltip has all.
const SHOWN: usize = 6;

impl Workspace {
    /// The hints of a stretch of a file.
    pub fn hints(&mut self, path: &str, within: TextRange) -> Vec<Hint> {
        let (now, file) = self.at(path);
        let Some(file) = file else { return vec![] };
        let mut found = vec![];
        for item in now.tree(file).declarations() {
            let whole = range(item.span());
            let Item::Flow(flow) = item else { continue };
            if whole.end < within.start || within.end < whole.start {
                continue;
            }
            if let Some(shape) = now.facts.relations.get(&flow.name.text)
                && let Kind::Changing { .. } = &shape.kind
            {
                found.push(Hint {
                    offset: flow.name.span.end as usize,
                    text: kind(shape),
                    tooltip: crate::hover::kind(shape),
                });
            }
            for step in &flow.steps {
                if let StepKind::Extend(all) | StepKind::Select(all) = &step.kind {
                    found.extend(all.iter().filter_map(|a| typed(a, &now.facts.types)));
                }
                let Some(facts) = now.facts.steps.get(&step.span).filter(|s| s.before.columns != s.after.columns)
                else {
                    continue;
                };
                if facts.after.open && facts.after.columns.is_empty() {
                    continue;
                }
                found.push(Hint {
                    offset: step.span.end as usize,
                    text: columns(&facts.after),
                    tooltip: all_columns(&facts.after),
                });
            }
        }
        found.retain(|hint| within.start <= hint.offset && hint.offset <= within.end);
        found.sort_by_key(|hint| hint.offset);
        found
    }
}

/// The type of a column that is computed.
fn typed(assignment: &Assignment, types: &std::collections::BTreeMap<flowc_syntax::Span, Type>) -> Option<Hint> {
    let name = assignment.name.as_ref()?;
    let ty = types.get(&assignment.value.span)?;
    Some(Hint { offset: name.span.end as usize, text: format!(": {ty}"), tooltip: String::new() })
}

fn kind(shape: &Shape) -> String {
    match &shape.kind {
        Kind::Changing { key } if !key.is_empty() => format!(" changes by {}", key.join(", ")),
        Kind::Changing { .. } => " changes".to_string(),
        Kind::Append => String::new(),
    }
}

fn columns(shape: &Shape) -> String {
    let names: Vec<String> = shape.columns.iter().take(SHOWN).map(|c| c.written()).collect();
    let more = shape.columns.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("  ⟶ {}{more}", names.join(", "))
}

fn all_columns(shape: &Shape) -> String {
    let line = |c: &flowc_core::facts::ShapeColumn| {
        format!("{}: {}", c.written(), c.ty.as_ref().map_or("?".to_string(), |t| t.to_string()))
    };
    shape.columns.iter().map(line).collect::<Vec<_>>().join("\n")
}
