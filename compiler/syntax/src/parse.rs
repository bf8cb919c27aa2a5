//! Text to tree, never failing: what cannot be parsed is left out and has its diagnostic.
//! Must not know how a mistake is explained (`explain`) or what of a broken declaration is kept (`recover`).

use crate::ast::{Ast, Item};
use crate::build::Builder;
use crate::codes;
use crate::comments::Comments;
use crate::diagnostic::Diagnostic;
use crate::grammar::{FlowParser, Rule};
use crate::lex::{Lex, Token, lex};
use crate::recover::Recovery;
use crate::span::{FileId, Span};
use pest::Parser;

/// How deep brackets, and `if`s within `if`s, may be nested: the parser calls itself for each.
pub(crate) const MAX_NESTING: usize = 128;

/// The tree of a program's text and what is wrong with it, in the order of the text.
///
/// Never fails and does no I/O. What is broken is missing in the tree and has at least one diagnostic; [`Ast::broken`] names the
/// declarations concerned, so that later stages do not complain of what only follows from it.
pub fn parse(file: FileId, text: &str) -> (Ast, Vec<Diagnostic>) {
    if text.len() >= u32::MAX as usize {
        let found = Diagnostic::error(codes::FILE_TOO_LARGE, Span::new(file, 0, 0), "this file is larger than 4 GB")
            .help("a program is text written by people; data belongs into a table");
        return (Ast::default(), vec![found]);
    }
    let tokens = lex(text);
    let comments = Comments::new(text, &tokens);
    let mut recovery = Recovery::new(file, text, &tokens, &comments);
    let mut ast = Ast { description: comments.description(), ..Ast::default() };
    let parsed = match too_deep(text, 0, &tokens) {
        Some(_) => None,
        None => FlowParser::parse(Rule::file, text).ok(),
    };
    match parsed.and_then(|mut pairs| pairs.next()) {
        Some(file_pair) => {
            let mut builder = Builder::new(file, &comments, 0);
            for pair in file_pair.into_inner() {
                match pair.as_rule() {
                    Rule::item => {
                        let Some(declaration) = pair.into_inner().next() else { continue };
                        let before = builder.diagnostics.len();
                        let item = builder.item(declaration);
                        if builder.diagnostics.len() > before {
                            ast.broken.extend(item_name(&item).cloned());
                        }
                        ast.items.push(item);
                    }
                    Rule::broken => {
                        let span = pair.as_span();
                        recovery.range(span.start(), span.end(), &mut ast);
                    }
                    _ => {}
                }
            }
            recovery.diagnostics.append(&mut builder.diagnostics);
        }
        None => recovery.range(0, text.len(), &mut ast),
    }
    let mut diagnostics = recovery.diagnostics;
    diagnostics.sort_by_key(|d| (d.span.start, d.span.end, d.code));
    diagnostics.dedup();
    (ast, diagnostics)
}

/// The name of a declaration that has one.
pub(crate) fn item_name(item: &Item) -> Option<&crate::ast::Name> {
    match item {
        Item::Use(_) | Item::Test(_) => None,
        Item::Param(x) => Some(&x.name),
        Item::Source(x) => Some(&x.name),
        Item::Table(x) => Some(&x.name),
        Item::Function(x) => Some(&x.name),
        Item::Flow(x) => Some(&x.name),
        Item::Sink(x) => Some(&x.name),
    }
}

/// The first token, in the text that begins at byte `base` of the file, that is nested deeper than the parser may go. What closes nothing is not counted, so that a program with a
/// bracket too many or too few is judged by its nesting all the same; `|>` and a declaration at the margin begin anew.
pub(crate) fn too_deep(text: &str, base: usize, tokens: &[Token]) -> Option<Token> {
    // For each open bracket: the count of `if`s, filters and `<` at its level that still go on.
    let mut open: Vec<usize> = vec![0];
    let mut depth = 0;
    let mut previous: Option<&str> = None;
    for (i, token) in tokens.iter().enumerate() {
        if token.is_trivia() {
            continue;
        }
        let (start, end) = (token.start - base, token.end - base);
        let word = &text[start..end];
        let margin = start == 0 || matches!(text.as_bytes()[start - 1], b'\n' | b'\r');
        let begins = token.kind == Lex::Word && margin && crate::words::DECLARATIONS.contains(&word);
        match token.kind {
            Lex::Operator if word == "|>" => (open, depth) = (vec![0], 0),
            _ if begins => (open, depth) = (vec![0], 0),
            Lex::Open | Lex::HoleOpen => {
                open.push(0);
                depth += 1;
            }
            Lex::Close | Lex::HoleClose => {
                depth -= open.pop().unwrap_or(0);
                depth = depth.saturating_sub(1);
                if open.is_empty() {
                    open.push(0);
                }
            }
            Lex::Operator if word == "," => depth -= open.last_mut().map(std::mem::take).unwrap_or(0),
            _ => {
                let chained = word == "if" && previous == Some("else");
                let generic = word == "<" && matches!(previous, Some("array" | "map" | "struct"));
                if generic || (matches!(word, "if" | "where" | "match") && token.kind == Lex::Word && !chained) {
                    if let Some(last) = open.last_mut() {
                        *last += 1;
                    }
                    depth += 1;
                }
            }
        }
        if depth > MAX_NESTING {
            return Some(tokens[i]);
        }
        previous = Some(word);
    }
    None
}
