//! Where a cursor stands: in which declaration and step, behind which words, and which columns can be read there. Works on tokens and on what is left of a
//! broken tree, so that it knows its way in a line that is being typed. Must not know what is done with it.

use crate::analysis::{Analysis, touches};
use flowc_core::facts::Shape;
use flowc_ir::Type;
use flowc_syntax::ast::{Assignment, Item, Step, StepKind};
use flowc_syntax::span::FileId;
use flowc_syntax::{TokenKind, words};
use std::ops::Range;
use std::sync::Arc;

/// A token that is no blank and no comment.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub range: Range<usize>,
    pub kind: TokenKind,
}

/// A place in a text.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    pub text: &'a str,
    pub offset: usize,
    /// The tokens of the declaration before the word that is being typed.
    pub before: Vec<Token>,
    /// The word that is being typed: from its begin to the cursor.
    pub word: Range<usize>,
    /// The word of the declaration, and its name.
    pub declaration: (&'a str, &'a str),
    /// What the cursor is inside of, where that is one piece: a string, a comment.
    pub inside: Option<Token>,
}

impl<'a> Cursor<'a> {
    /// The place at a byte.
    pub fn new(text: &'a str, offset: usize) -> Self {
        let mut offset = offset.min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        let start = declaration_start(text, offset);
        // Enough behind the cursor to see where a string or a name ends.
        let end = text[offset..].find('\n').map_or(text.len(), |n| offset + n);
        let place =
            |(range, kind): (Range<usize>, TokenKind)| Token { range: range.start + start..range.end + start, kind };
        let tokens: Vec<Token> = flowc_syntax::highlight(&text[start..end]).into_iter().map(place).collect();
        let comment = |t: &Token| matches!(t.kind, TokenKind::Comment | TokenKind::DocComment);
        let literal = |t: &Token| matches!(t.kind, TokenKind::String | TokenKind::Error);
        // Of two quotes that stand alone, the first opens a string and the second closes it.
        let quotes =
            |before: usize| tokens.iter().filter(|t| t.range.start < before && &text[t.range.clone()] == "\"").count();
        let closes = |t: &Token| &text[t.range.clone()] == "\"" && quotes(t.range.start) % 2 == 1;
        let inside = tokens.iter().find(|t| {
            comment(t) && t.range.start < offset && offset <= t.range.end
                || literal(t)
                    && !closes(t)
                    && t.range.start < offset
                    && offset <= t.range.end
                    && in_string(&text[t.range.clone()], offset - t.range.start)
        });
        let inside = inside.cloned();
        let word_start = text[..offset]
            .rfind(|c: char| !c.is_alphanumeric() && c != '_')
            .map_or(0, |at| at + text[at..].chars().next().map_or(1, char::len_utf8));
        let word = word_start.max(start)..offset;
        let solid = |t: &Token| !matches!(t.kind, TokenKind::Space) && !comment(t);
        let before: Vec<Token> = tokens.into_iter().filter(|t| solid(t) && t.range.end <= word.start).collect();
        let at = |i: usize| before.get(i).map_or("", |t| &text[t.range.clone()]);
        let declaration = (at(0), at(1));
        Cursor { text, offset, before, word, declaration, inside }
    }

    /// The text of the `n`th token before the word, from 1.
    pub fn back(&self, n: usize) -> &'a str {
        let token = self.before.len().checked_sub(n).and_then(|i| self.before.get(i));
        token.map_or("", |t| &self.text[t.range.clone()])
    }

    fn word_of(&self, token: &Token) -> &'a str {
        &self.text[token.range.clone()]
    }

    /// How many `|>` of the flow stand before the cursor.
    pub fn pipes(&self) -> usize {
        self.before.iter().filter(|t| self.word_of(t) == "|>").count()
    }

    /// The words of the step that the cursor is in, its keyword first.
    pub fn step(&self) -> Vec<&'a str> {
        match self.before.iter().rposition(|t| self.word_of(t) == "|>") {
            Some(pipe) if self.declaration.0 == "flow" => {
                self.before[pipe + 1..].iter().map(|t| self.word_of(t)).collect()
            }
            _ => vec![],
        }
    }

    /// The brackets that are open at the cursor, with what stands before each: a call's name, a clause's word.
    pub fn open(&self) -> Vec<(&'a str, &'a str, usize)> {
        let mut open: Vec<(&str, &str, usize)> = vec![];
        for (i, token) in self.before.iter().enumerate() {
            let word = self.word_of(token);
            match word {
                "(" | "[" | "{" => open.push((word, i.checked_sub(1).map_or("", |b| self.word_of(&self.before[b])), i)),
                ")" | "]" | "}" => drop(open.pop()),
                "|>" => open.clear(),
                _ => {}
            }
        }
        open
    }

    /// Whether nothing but blanks stands before the word on its line.
    pub fn first_on_line(&self) -> bool {
        let line = self.text[..self.word.start].rfind('\n').map_or(0, |n| n + 1);
        self.text[line..self.word.start].trim().is_empty()
    }
}

/// Whether a byte of a token lies in the text of a string: behind its opening quote and before its closing one.
fn in_string(token: &str, at: usize) -> bool {
    let opened = token.starts_with(['"', '\'']) || token.starts_with("r\"");
    let closed = token.len() > 1 && token.ends_with(['"', '\'']);
    !opened || at > 0 && !(closed && at == token.len())
}

/// Where the declaration begins in which a byte is: the last line at the margin that begins with a declaration's word.
fn declaration_start(text: &str, offset: usize) -> usize {
    let mut end = offset;
    loop {
        let start = text[..end].rfind('\n').map_or(0, |n| n + 1);
        let line = &text[start..];
        let word = line.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
        let whole = start + word.len() < offset;
        if whole && words::DECLARATIONS.contains(&word) {
            return start;
        }
        if start == 0 {
            return 0;
        }
        end = start - 1;
    }
}

/// What can be read at a place.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    /// The rows.
    pub shape: Arc<Shape>,
    /// Columns that the step made before the place.
    pub made: Vec<(String, Option<Type>)>,
}

/// The columns that can be read at a cursor: of the program as it is, else as it was before it was broken.
pub(crate) fn scope(cursor: &Cursor<'_>, now: &Analysis, good: Option<&Analysis>, file: FileId) -> Option<Scope> {
    let (word, name) = cursor.declaration;
    let name = name.trim_matches('`');
    let relation = |name: &str| {
        let known = now.facts.relations.get(name).filter(|s| !s.columns.is_empty());
        known.or_else(|| good?.facts.relations.get(name)).cloned()
    };
    let plain = |shape: Arc<Shape>| Scope { shape, made: vec![] };
    match word {
        "flow" => flow_scope(cursor, now, name, file)
            .filter(|scope| !scope.shape.columns.is_empty())
            .or_else(|| old_flow_scope(cursor, good?, name))
            .or_else(|| {
                relation(cursor.before.get(3).map_or("", |t| &cursor.text[t.range.clone()]))
                    .filter(|_| cursor.pipes() <= 1)
                    .map(plain)
            }),
        "source" | "table" => relation(name).map(plain),
        "sink" => relation(cursor.before.get(3).map_or("", |t| &cursor.text[t.range.clone()])).map(plain),
        "test" => {
            let given = cursor.before.iter().rposition(|t| matches!(cursor.word_of(t), "given" | "then"))?;
            let name = cursor.before.get(given + 1).map_or("", |t| cursor.word_of(t));
            let sink = now.trees.first()?.declarations().find_map(|item| match item {
                Item::Sink(sink) if sink.name.text == name => Some(sink.input.name.text.as_str()),
                _ => None,
            });
            relation(sink.unwrap_or(name)).map(plain)
        }
        _ => None,
    }
}

fn flow_scope(cursor: &Cursor<'_>, now: &Analysis, name: &str, file: FileId) -> Option<Scope> {
    let flow = now.flow(name).filter(|flow| flow.span.file == file)?;
    // A step that holds the cursor; one that ends there is done with, unless its last word is being typed.
    let within = flow.steps.iter().enumerate().find(|(_, step)| {
        touches(step.span, file, cursor.offset) && !(cursor.offset == step.span.end as usize && cursor.back(1) == "|>")
    });
    // Where steps were lost, it is not known what they make.
    if let Some((index, step)) = within {
        if index + 1 != cursor.pipes() {
            return None;
        }
        let shape = now.facts.steps.get(&step.span)?.before.clone();
        return Some(Scope { shape, made: made(now, step, cursor.offset) });
    }
    let done = flow.steps.iter().filter(|step| (step.span.end as usize) < cursor.offset).count();
    if done + 1 < cursor.pipes() {
        return None;
    }
    let before = flow.steps[..done].last();
    let shape = match before {
        Some(step) => now.facts.steps.get(&step.span)?.after.clone(),
        None => now.facts.relations.get(&flow.input.name.text)?.clone(),
    };
    Some(Scope { shape, made: vec![] })
}

fn old_flow_scope(cursor: &Cursor<'_>, good: &Analysis, name: &str) -> Option<Scope> {
    let flow = good.flow(name)?;
    let shape = match cursor.pipes().checked_sub(2) {
        Some(n) => good.facts.steps.get(&flow.steps.get(n)?.span)?.after.clone(),
        None => good.facts.relations.get(&flow.input.name.text)?.clone(),
    };
    Some(Scope { shape, made: vec![] })
}

/// The columns that an `extend` made before a byte of it.
fn made(now: &Analysis, step: &Step, offset: usize) -> Vec<(String, Option<Type>)> {
    let StepKind::Extend(assignments) = &step.kind else { return vec![] };
    let done = assignments.iter().filter(|a| (a.span.end as usize) < offset);
    let column = |a: &Assignment| Some((a.name.as_ref()?.text.clone(), now.facts.types.get(&a.value.span).cloned()));
    done.filter_map(column).collect()
}
