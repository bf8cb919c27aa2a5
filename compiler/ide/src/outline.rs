//! The declarations of a file, what can be folded, and the declarations of all files by name. Must not know what they mean.

use crate::TextRange;
use crate::analysis::{Analysis, doc_of, name_of, range};
use crate::navigate::Place;
use crate::workspace::Workspace;
use flowc_syntax::ast::*;
use flowc_syntax::span::Span;
use flowc_syntax::{TokenKind, highlight};

/// What a symbol is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SymbolKind {
    /// A used file.
    Use,
    /// A param.
    Param,
    /// A source.
    Source,
    /// A table.
    Table,
    /// A function.
    Function,
    /// A flow.
    Flow,
    /// A step of a flow.
    Step,
    /// A sink.
    Sink,
    /// A test.
    Test,
}

/// Something with a name in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symbol {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: SymbolKind,
    /// More of it, in a few words.
    pub detail: String,
    /// All of it.
    pub range: TextRange,
    /// Where its name stands.
    pub name_range: TextRange,
    /// What it consists of.
    pub children: Vec<Symbol>,
}

impl Workspace {
    /// The symbols of a file, in its order.
    pub fn symbols(&mut self, path: &str) -> Vec<Symbol> {
        let (now, file) = self.at(path);
        let Some(file) = file else { return vec![] };
        now.tree(file).declarations().map(|item| symbol(&now, item)).collect()
    }

    /// The declarations of all known programs whose names have the letters of `query`, in their order.
    pub fn workspace_symbols(&mut self, query: &str) -> Vec<(Symbol, Place)> {
        let mut found: Vec<(Symbol, Place)> = vec![];
        for program in self.all_programs() {
            let now = self.program(&program);
            for item in now.trees.iter().flat_map(Ast::declarations) {
                let Some(name) = name_of(item).filter(|name| has_letters(&name.text, query)) else { continue };
                let place = Place::new(&now, name.span);
                if !found.iter().any(|(_, p)| *p == place) {
                    found.push((symbol(&now, item), place));
                }
            }
        }
        found
    }

    /// The stretches of a file that can be folded: declarations, clauses with braces, comments of several lines.
    pub fn folds(&mut self, path: &str) -> Vec<(TextRange, bool)> {
        let (now, file) = self.at(path);
        let Some(file) = file else { return vec![] };
        let text = now.text(file);
        let mut found: Vec<(TextRange, bool)> =
            now.tree(file).declarations().map(|item| (range(item.span()), false)).collect();
        let mut open = vec![];
        let mut comment: Option<TextRange> = None;
        for (stretch, kind) in highlight(text) {
            match (kind, &text[stretch.clone()]) {
                (TokenKind::Comment | TokenKind::DocComment, _) => match &mut comment {
                    Some(range) => range.end = stretch.end,
                    None => comment = Some(stretch),
                },
                (TokenKind::Space, blank) if blank.matches('\n').count() <= 1 => {}
                (kind, word) => {
                    found.extend(comment.take().map(|range| (range, true)));
                    match (kind, word) {
                        (TokenKind::Punctuation, "{" | "[" | "(") => open.push(stretch.start),
                        (TokenKind::Punctuation, "}" | "]" | ")") => {
                            found.extend(open.pop().map(|start| (start..stretch.end, false)));
                        }
                        _ => {}
                    }
                }
            }
        }
        found.extend(comment.map(|range| (range, true)));
        found.retain(|(range, _)| text[range.clone()].contains('\n'));
        found.sort_by_key(|(range, _)| (range.start, range.end));
        found.dedup();
        found
    }
}

/// Whether a name has these letters, in this order.
fn has_letters(name: &str, query: &str) -> bool {
    let mut letters = name.chars().flat_map(char::to_lowercase);
    query.chars().flat_map(char::to_lowercase).all(|wanted| letters.any(|c| c == wanted))
}

fn symbol(now: &Analysis, item: &Item) -> Symbol {
    let text = |span: Span| now.outcome.sources.text(span).to_string();
    let (kind, name, name_span, detail) = match item {
        Item::Use(x) => (SymbolKind::Use, x.path.clone(), x.path_span, String::new()),
        Item::Param(x) => (SymbolKind::Param, x.name.text.clone(), x.name.span, text(x.ty.span)),
        Item::Source(x) => (SymbolKind::Source, x.name.text.clone(), x.name.span, text(x.connector.span)),
        Item::Table(x) => (SymbolKind::Table, x.name.text.clone(), x.name.span, text(x.connector.span)),
        Item::Function(x) => {
            (SymbolKind::Function, x.name.text.clone(), x.name.span, crate::hover::own_signature(now, x))
        }
        Item::Flow(x) => (SymbolKind::Flow, x.name.text.clone(), x.name.span, text(x.input.span)),
        Item::Sink(x) => (SymbolKind::Sink, x.name.text.clone(), x.name.span, text(x.connector.span)),
        Item::Test(x) => (SymbolKind::Test, x.name.clone(), x.name_span, String::new()),
    };
    let step = |step: &Step| Symbol {
        name: text(step.keyword),
        kind: SymbolKind::Step,
        detail: text(step.span).lines().next().unwrap_or_default().chars().take(80).collect(),
        range: range(step.span),
        name_range: range(step.keyword),
        children: vec![],
    };
    let children = match item {
        Item::Flow(flow) => flow.steps.iter().map(step).collect(),
        _ => vec![],
    };
    // An editor refuses a symbol without a name.
    let name = if name.is_empty() { "…".to_string() } else { name };
    let detail = if detail.is_empty() {
        doc_of(item).unwrap_or_default().lines().next().unwrap_or_default().to_string()
    } else {
        detail
    };
    Symbol { name, kind, detail, range: range(item.span()), name_range: range(name_span), children }
}
