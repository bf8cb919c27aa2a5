//! Token by token: what flowc says a word is, the TextMate grammar and tree-sitter say, too.
//!
//! TextMate sees one line and no structure, so a word of the language that is a column's name has a keyword's colour there unless a rule
//! of that grammar tells it by its neighbours. What it may get wrong is listed by kind, not by place.

use super::textmate::TextMate;
use super::{is_clean, programs};
use flowc_syntax::{TokenKind, highlight};
use tree_sitter_highlight::{HighlightConfiguration, HighlightEvent, Highlighter};

/// What the three can be compared by.
fn group(kind: TokenKind) -> &'static str {
    match kind {
        TokenKind::Space => "",
        TokenKind::Comment => "comment",
        TokenKind::DocComment => "doc",
        TokenKind::Keyword => "keyword",
        TokenKind::Type => "type",
        TokenKind::Function => "function",
        TokenKind::Name => "name",
        TokenKind::Number => "number",
        TokenKind::Constant => "constant",
        TokenKind::String => "string",
        TokenKind::Escape => "escape",
        TokenKind::Interpolation => "interpolation",
        TokenKind::Operator => "operator",
        TokenKind::Punctuation => "punctuation",
        TokenKind::Error => "error",
    }
}

/// The captures of `highlights.scm`, the longer before the shorter, and their groups.
const CAPTURES: &[(&str, &str)] = &[
    ("comment.documentation", "doc"),
    ("comment", "comment"),
    ("keyword", "keyword"),
    ("type", "type"),
    ("function", "function"),
    ("variable", "name"),
    ("label", "name"),
    ("constant.builtin", "constant"),
    ("boolean", "constant"),
    ("constant", "name"),
    ("number", "number"),
    ("string.special.temporal", "number"),
    ("string.escape", "escape"),
    ("string", "string"),
    ("operator", "operator"),
    ("punctuation.special", "interpolation"),
    ("punctuation", "punctuation"),
];

/// The scopes of the TextMate grammar, the longer before the shorter, and their groups.
const SCOPES: &[(&str, &str)] = &[
    ("comment.line.documentation", "doc"),
    ("comment", "comment"),
    ("keyword.operator.expression", "keyword"),
    ("keyword.operator", "operator"),
    ("keyword", "keyword"),
    ("support.type", "type"),
    ("entity.name.function", "function"),
    ("entity.name.type", "name"),
    ("variable", "name"),
    ("constant.language", "constant"),
    ("constant.numeric", "number"),
    ("constant.character.escape", "escape"),
    ("string", "string"),
    ("punctuation.section.embedded", "interpolation"),
    ("punctuation", "punctuation"),
];

fn of(name: &str, groups: &[(&str, &'static str)]) -> &'static str {
    groups.iter().find(|(prefix, _)| name.starts_with(prefix)).map_or("name", |(_, group)| group)
}

/// The group of each byte, by tree-sitter.
struct TreeSitter {
    highlighter: Highlighter,
    configuration: HighlightConfiguration,
}

impl TreeSitter {
    fn new() -> TreeSitter {
        let language = tree_sitter_flow::LANGUAGE.into();
        let query = tree_sitter_flow::HIGHLIGHTS;
        let mut configuration =
            HighlightConfiguration::new(language, "flow", query, "", "").expect("the query compiles");
        let names: Vec<&str> = CAPTURES.iter().map(|(name, _)| *name).collect();
        configuration.configure(&names);
        TreeSitter { highlighter: Highlighter::new(), configuration }
    }

    fn groups(&mut self, text: &str) -> Vec<&'static str> {
        let mut groups = vec!["name"; text.len()];
        let mut stack = vec![];
        let events = self.highlighter.highlight(&self.configuration, text.as_bytes(), None, None, |_| None);
        for event in events.expect("the language is known") {
            match event.expect("nothing cancels it") {
                HighlightEvent::HighlightStart(highlight) => stack.push(CAPTURES[highlight.0].1),
                HighlightEvent::HighlightEnd => drop(stack.pop()),
                HighlightEvent::Source { start, end } => groups[start..end].fill(stack.last().unwrap_or(&"name")),
            }
        }
        groups
    }
}

/// Words of clauses that are the names of columns in programs of the tests.
const CLAUSES: &[&str] = &["within", "late", "given", "first", "last", "version", "at", "from"];

/// The program that has every word of the language as a column.
fn is_hard(name: &str) -> bool {
    name.ends_with("every_form.flow")
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// Tokens on which two disagree.
fn differences(
    name: &str,
    text: &str,
    other: &[&'static str],
    forgiven: impl Fn(&str, &str, &str) -> bool,
) -> Vec<String> {
    let mut found = vec![];
    for (range, kind) in highlight(text) {
        let (wanted, token) = (group(kind), &text[range.clone()]);
        let got = other[range.start];
        if wanted != got && kind != TokenKind::Space && !forgiven(token, wanted, got) {
            let line = text[..range.start].matches('\n').count() + 1;
            found.push(format!("{name}:{line}: `{token}` is {wanted}, not {got}"));
        }
    }
    found
}

#[test]
fn tree_sitter_colours_as_flowc_does() {
    let mut highlighter = TreeSitter::new();
    let (mut count, mut wrong) = (0, vec![]);
    for (name, text) in programs().into_iter().filter(|(_, text)| is_clean(text)) {
        count += highlight(&text).len();
        wrong.extend(differences(&name, &text, &highlighter.groups(&text), |token, wanted, got| {
            // flowc's own colours go by neighbours: a type that is none is a name for them. What they miss is seldom.
            let seldom = ["version", "at", "within", "first", "timestamp"].contains(&token);
            (wanted, got) == ("name", "type") || seldom || (is_hard(&name) && is_word(token))
        }));
    }
    assert!(count > 20_000, "{count}");
    assert!(wrong.is_empty(), "{} of {count}\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn textmate_colours_as_flowc_does() {
    let grammar = TextMate::new();
    let forgiven = std::cell::Cell::new(0);
    let (mut count, mut wrong) = (0, vec![]);
    for (name, text) in programs().into_iter().filter(|(_, text)| is_clean(text)) {
        count += highlight(&text).len();
        let groups: Vec<&str> = grammar.scopes(&text).iter().map(|scope| of(scope, SCOPES)).collect();
        wrong.extend(differences(&name, &text, &groups, |token, wanted, got| {
            // A column that has a clause's name looks like the clause: the line alone does not tell.
            let as_clause = (wanted, got) == ("name", "keyword") && CLAUSES.contains(&token);
            forgiven.set(forgiven.get() + usize::from(as_clause));
            as_clause || is_hard(&name)
        }));
    }
    assert!(forgiven.get() < 20, "{}", forgiven.get());
    assert!(count > 20_000, "{count}");
    assert!(wrong.is_empty(), "{} of {count}\n{}", wrong.len(), wrong.join("\n"));
}
