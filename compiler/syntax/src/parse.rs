//! Text to tree, never failing: what cannot be parsed is left out and has its diagnostic. A text is cut into stretches where declarations surely begin, and
//! each is parsed by itself, so that after an edit only the stretch with it is parsed again.
//! Must not know how a mistake is explained (`explain`) or what of a broken declaration is kept (`recover`).

use crate::ast::{Ast, Item, Name, Shift};
use crate::build::Builder;
use crate::codes;
use crate::comments::Comments;
use crate::diagnostic::Diagnostic;
use crate::grammar::{FlowParser, Rule};
use crate::lex::{Lex, Token, lex};
use crate::recover::Recovery;
use crate::span::{FileId, Span};
use crate::words;
use pest::Parser;
use std::sync::Arc;

/// How deep brackets, and `if`s within `if`s, may be nested: the parser calls itself for each.
pub(crate) const MAX_NESTING: usize = 128;

/// The tree of a program's text and what is wrong with it, in the order of the text.
///
/// Never fails and does no I/O. What is broken is missing in the tree and has at least one diagnostic; [`Ast::broken`] names the
/// declarations concerned, so that later stages do not complain of what only follows from it.
pub fn parse(file: FileId, text: &str) -> (Ast, Vec<Diagnostic>) {
    Parses::default().parse(file, text)
}

/// What was parsed last, so that the same text with an edit takes the time of the edit. Remembers one text.
#[derive(Debug, Default)]
pub struct Parses {
    file: FileId,
    text: String,
    stretches: Vec<Stretch>,
}

/// A part of the text whose meaning does not depend on the others.
#[derive(Debug)]
struct Stretch {
    start: usize,
    end: usize,
    /// What was found: its declarations, and the names of broken ones.
    ast: Ast,
    diagnostics: Vec<Diagnostic>,
}

impl Parses {
    /// As [`parse`], and the result is the same.
    pub fn parse(&mut self, file: FileId, text: &str) -> (Ast, Vec<Diagnostic>) {
        if text.len() >= u32::MAX as usize {
            let place = Span::new(file, 0, 0);
            let found = Diagnostic::error(codes::FILE_TOO_LARGE, place, "this file is larger than 4 GB")
                .help("a program is text written by people; data belongs into a table");
            return (Ast::default(), vec![found]);
        }
        let tokens = lex(text);
        let starts = starts(text, &tokens);
        let ends = starts.iter().skip(1).copied().chain([text.len()]);
        let places: Vec<(usize, usize)> = starts.iter().copied().zip(ends).collect();
        let mut before = std::mem::take(self);
        if before.file != file {
            before.stretches.clear();
        }
        let same = |old: &Stretch, new: &(usize, usize)| before.text[old.start..old.end] == text[new.0..new.1];
        let first = before.stretches.iter().zip(&places).take_while(|(old, new)| same(old, new)).count();
        let last = before.stretches[first..].iter().rev().zip(places[first..].iter().rev());
        let last = last.take_while(|(old, new)| same(old, new)).count();
        let behind = before.stretches.split_off(before.stretches.len() - last);
        let mut stretches = before.stretches;
        stretches.truncate(first);
        for &(start, end) in &places[first..places.len() - last] {
            let from = tokens.partition_point(|t| t.start < start);
            let to = tokens.partition_point(|t| t.start < end);
            stretches.push(stretch(file, text, (start, end), &tokens[from..to]));
        }
        for (mut old, &(start, end)) in behind.into_iter().zip(&places[places.len() - last..]) {
            old.move_to(start, end);
            stretches.push(old);
        }
        let mut ast = Ast { description: Comments::new(text, &tokens).description(), ..Ast::default() };
        let mut diagnostics = vec![];
        for part in &stretches {
            ast.items.extend(part.ast.items.iter().cloned());
            ast.broken.extend(part.ast.broken.iter().cloned());
            diagnostics.extend(part.diagnostics.iter().cloned());
        }
        *self = Parses { file, text: text.to_string(), stretches };
        (ast, diagnostics)
    }
}

impl Stretch {
    /// The same text elsewhere.
    fn move_to(&mut self, start: usize, end: usize) {
        let by = (start as u32).wrapping_sub(self.start as u32);
        (self.start, self.end) = (start, end);
        if by != 0 {
            self.ast.items.iter_mut().for_each(|item| Arc::make_mut(item).shift(by));
            self.ast.broken.shift(by);
            self.diagnostics.shift(by);
        }
    }
}

/// Where a text is cut: at the begin, and behind the line of what precedes a declaration at the margin that no other declaration can go on with, whatever
/// it lacks: its word, a name, and what has to follow. A comma before it may want a comment that stands between.
fn starts(text: &str, tokens: &[Token]) -> Vec<usize> {
    let code: Vec<&Token> = tokens.iter().filter(|t| !t.is_trivia()).collect();
    let mut found = vec![0];
    for pair in code.windows(4) {
        let [before, head, name, sign] = pair else { continue };
        let gap = &text[before.end..head.start];
        if head.kind != Lex::Word || !gap.ends_with(['\n', '\r']) || before.text(text) == "," {
            continue;
        }
        let between = &text[head.end..name.start];
        let blank = between.chars().all(|c| matches!(c, ' ' | '\t'));
        let named = match name.kind {
            Lex::Backticks => true,
            Lex::Word => !words::INFIX.contains(&name.text(text)),
            _ => false,
        };
        let sign = sign.text(text);
        let begins = match head.text(text) {
            "use" | "test" => matches!(name.kind, Lex::StringOpen | Lex::StringUnclosed),
            "param" => named && !between.is_empty() && sign == ":",
            "fn" => named && !between.is_empty() && sign == "(",
            "source" | "table" | "flow" | "sink" => named && !between.is_empty() && sign == "=",
            _ => false,
        };
        if begins && blank {
            let line = gap.find(['\n', '\r']).unwrap_or(0);
            let length = if gap[line..].starts_with("\r\n") { 2 } else { 1 };
            found.push(before.end + line + length);
        }
    }
    found
}

/// Parses a stretch of the text, which has these tokens.
fn stretch(file: FileId, text: &str, (start, end): (usize, usize), tokens: &[Token]) -> Stretch {
    let comments = Comments::new(text, tokens);
    let mut recovery = Recovery::new(file, text, tokens, &comments);
    let mut ast = Ast::default();
    let own = &text[start..end];
    let parsed = match too_deep(own, start, tokens) {
        Some(_) => None,
        None => FlowParser::parse(Rule::file, own).ok(),
    };
    match parsed.and_then(|mut pairs| pairs.next()) {
        Some(file_pair) => {
            let mut builder = Builder::new(file, &comments, start);
            for pair in file_pair.into_inner() {
                match pair.as_rule() {
                    Rule::item => {
                        let Some(declaration) = pair.into_inner().next() else { continue };
                        let before = builder.diagnostics.len();
                        let item = builder.item(declaration);
                        if builder.diagnostics.len() > before {
                            ast.broken.extend(item_name(&item).cloned());
                        }
                        ast.items.push(Arc::new(item));
                    }
                    Rule::broken => {
                        let span = pair.as_span();
                        recovery.range(start + span.start(), start + span.end(), &mut ast);
                    }
                    _ => {}
                }
            }
            recovery.diagnostics.append(&mut builder.diagnostics);
        }
        None => recovery.range(start, end, &mut ast),
    }
    let mut diagnostics = recovery.diagnostics;
    diagnostics.sort_by_key(|d| (d.span.start, d.span.end, d.code));
    diagnostics.dedup();
    Stretch { start, end, ast, diagnostics }
}

/// The name of a declaration that has one.
pub(crate) fn item_name(item: &Item) -> Option<&Name> {
    item.name()
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

#[cfg(test)]
mod tests;
