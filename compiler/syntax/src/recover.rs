//! What is kept of a broken declaration. A declaration that does not parse loses its smallest broken part (a step, a rule, a clause, a
//! column), which gets one diagnostic, and is parsed again, until it parses or the mistake is in no such part.
//! Must not know how mistakes are worded.

use crate::ast::{Ast, Name};
use crate::build::Builder;
use crate::codes;
use crate::comments::Comments;
use crate::diagnostic::Diagnostic;
use crate::explain::{self, Failure};
use crate::grammar::{FlowParser, Rule};
use crate::lex::{Lex, Token};
use crate::parse::{item_name, too_deep};
use crate::span::{FileId, Span};
use crate::words;
use pest::Parser;
use pest::error::{ErrorVariant, InputLocation};
use std::ops::Range;
use std::sync::Arc;

/// Mistakes reported in one declaration; a file that is no program at all should not fill the screen.
const MAX_MISTAKES: usize = 20;

/// Recovers from broken stretches of one file.
pub(crate) struct Recovery<'a> {
    file: FileId,
    text: &'a str,
    /// All but blanks and comments.
    tokens: Vec<Token>,
    comments: &'a Comments<'a>,
    /// What was found.
    pub diagnostics: Vec<Diagnostic>,
}

/// What the loss of a part does to the text.
enum Repair {
    /// Blanks instead of these bytes.
    Blank(Range<usize>),
    /// A token of this kind instead of these bytes; its text is as long.
    Replace(Range<usize>, Lex, String),
    /// The whole declaration is lost.
    Lost,
}

impl<'a> Recovery<'a> {
    /// Ready for stretches of this text.
    pub fn new(file: FileId, text: &'a str, tokens: &[Token], comments: &'a Comments<'a>) -> Self {
        let tokens = tokens.iter().filter(|t| !t.is_trivia()).copied().collect();
        Recovery { file, text, tokens, comments, diagnostics: Vec::new() }
    }

    /// Takes what can be taken of the bytes `start..end`, declaration by declaration.
    pub fn range(&mut self, start: usize, end: usize, ast: &mut Ast) {
        let first = self.tokens.partition_point(|t| t.start < start);
        let last = self.tokens.partition_point(|t| t.start < end);
        let starts: Vec<usize> = (first..last).filter(|&i| i == first || self.begins_declaration(i)).collect();
        for (n, &from) in starts.iter().enumerate() {
            let to = starts.get(n + 1).copied().unwrap_or(last);
            self.declaration(from, to, ast);
        }
    }

    fn word(&self, i: usize) -> &'a str {
        self.tokens.get(i).map_or("", |t| t.text(self.text))
    }

    fn kind(&self, i: usize) -> Option<Lex> {
        self.tokens.get(i).map(|t| t.kind)
    }

    /// Whether a declaration, or what was meant as one, begins with this token: it is the first of its line, a word, and what
    /// follows fits. At the margin a name behind the word is enough; an indented line has to look more like one.
    fn begins_declaration(&self, i: usize) -> bool {
        let token = self.tokens[i];
        let gap = &self.text[i.checked_sub(1).map_or(0, |before| self.tokens[before].end)..token.start];
        let Some(line) = gap.rfind(['\n', '\r']).map(|at| at + 1).or((i == 0).then_some(0)) else { return false };
        let indent = &gap[line..];
        if token.kind != Lex::Word || !indent.chars().all(|c| matches!(c, ' ' | '\t' | '\u{FEFF}')) {
            return false;
        }
        let word = self.word(i);
        let quoted = matches!(self.kind(i + 1), Some(Lex::StringOpen | Lex::StringUnclosed));
        if matches!(word, "use" | "test") && quoted {
            return true;
        }
        let name = match self.kind(i + 1) {
            Some(Lex::Backticks) => true,
            Some(Lex::Word) => !words::INFIX.contains(&self.word(i + 1)),
            _ => false,
        };
        let same_line =
            self.tokens.get(i + 1).is_some_and(|next| !self.text[token.end..next.start].contains(['\n', '\r']));
        let sign = self.word(i + 2);
        let known = words::DECLARATIONS.contains(&word);
        let at_margin = indent.chars().all(|c| c == '\u{FEFF}');
        let foreign = matches!(word, "import" | "include");
        let nameless = self.kind(i + 1) == Some(Lex::Number) || self.word(i + 1) == "=";
        if at_margin && nameless && words::DECLARATIONS.contains(&word) {
            return true;
        }
        if at_margin && quoted && foreign {
            return true;
        }
        if !name || !same_line {
            return false;
        }
        match (known, at_margin) {
            (true, true) => true,
            (true, false) => match word {
                "param" => sign == ":",
                "fn" => sign == "(",
                _ => sign == "=",
            },
            (false, true) => {
                matches!(sign, "=" | ":" | "(")
                    && !words::STEPS.contains(&word)
                    && !["constraint", "event_time", "by", "per", "on"].contains(&word)
            }
            (false, false) => false,
        }
    }

    /// One declaration: the tokens `from..to`.
    fn declaration(&mut self, from: usize, to: usize, ast: &mut Ast) {
        let (start, end) = match (self.tokens.get(from), to.checked_sub(1).and_then(|i| self.tokens.get(i))) {
            (Some(first), Some(last)) if to > from => (first.start, last.end),
            _ => return,
        };
        let mut work = self.text[start..end].to_string();
        let mut tokens: Vec<Token> = self.tokens[from..to].to_vec();
        let reported = self.diagnostics.len();
        while !tokens.is_empty() {
            let failure = if let Some(token) = too_deep(&work, start, &tokens) {
                Err(Failure::TooDeep(token))
            } else {
                match FlowParser::parse(Rule::item_only, &work) {
                    Ok(pairs) => Ok(pairs),
                    Err(error) => Err(failure(error, start, end, &tokens)),
                }
            };
            match failure {
                Ok(mut pairs) => {
                    let mut builder = Builder::new(self.file, self.comments, start);
                    let declaration = pairs.next().and_then(|p| p.into_inner().next());
                    let Some(declaration) = declaration else { return };
                    let item = builder.item(declaration);
                    self.diagnostics.append(&mut builder.diagnostics);
                    if self.diagnostics.len() > reported {
                        ast.broken.extend(item_name(&item).cloned());
                    }
                    ast.items.push(Arc::new(item));
                    return;
                }
                Err(failure) => {
                    let parts = Parts { work: &work, base: start, tokens: &tokens };
                    let failure = parts.settle(failure);
                    let (diagnostic, repair) = self.judge(&parts, &failure);
                    self.diagnostics.push(diagnostic);
                    let full = self.diagnostics.len() - reported >= MAX_MISTAKES;
                    match repair {
                        Repair::Blank(range) if !full && !range.is_empty() => {
                            work.replace_range(range.start - start..range.end - start, &" ".repeat(range.len()));
                            tokens.retain(|t| t.start < range.start || t.start >= range.end);
                        }
                        Repair::Replace(range, kind, with) if !full => {
                            work.replace_range(range.start - start..range.end - start, &with);
                            let at = tokens.partition_point(|t| t.start < range.start);
                            let new = Token { kind, start: range.start, end: range.end };
                            if tokens.get(at).is_some_and(|t| t.start == range.start) {
                                tokens[at] = new;
                            } else {
                                tokens.insert(at, new);
                            }
                        }
                        _ => {
                            ast.broken.extend(self.lost_name(from, to));
                            return;
                        }
                    }
                }
            }
        }
    }

    /// The name of a declaration that is lost: the second token, if it is a name.
    fn lost_name(&self, from: usize, to: usize) -> Option<Name> {
        let token = self.tokens[from..to].get(1)?;
        if !matches!(token.kind, Lex::Word | Lex::Backticks) {
            return None;
        }
        let text = token.text(self.text).trim_matches('`').to_string();
        Some(Name { text, span: Span::new(self.file, token.start, token.end) })
    }

    /// What is wrong, and what to do without.
    fn judge(&self, parts: &Parts<'_>, failure: &Failure) -> (Diagnostic, Repair) {
        let diagnostic = explain::explain(self.file, parts, failure);
        let at = match failure {
            Failure::TooDeep(token) => parts.index(token.start),
            Failure::Unexpected { at, .. } => parts.index(*at),
        };
        let repair = match diagnostic.code {
            codes::MISSING_COMMA => parts.insert_comma(at),
            codes::ASSIGN_FOR_EQUAL => parts.double_equal(at),
            codes::MISSING_PIPE => parts.to_next_pipe(at),
            _ => parts.in_place(diagnostic.code, diagnostic.span.start as usize),
        };
        let repair = match repair {
            Some(repair) => Some(repair),
            None => parts.smallest(at).map(Repair::Blank),
        };
        (diagnostic, repair.unwrap_or(Repair::Lost))
    }
}

/// Where pest gave up and what it would have taken, in places of the file.
fn failure(error: pest::error::Error<Rule>, start: usize, end: usize, tokens: &[Token]) -> Failure {
    let (variant, location) = (error.variant, error.location);
    let at = match location {
        InputLocation::Pos(at) => start + at,
        InputLocation::Span((at, _)) => start + at,
    };
    let expected = match variant {
        ErrorVariant::ParsingError { positives, .. } => positives,
        // Pest found no room on the stack: a small one, since the nesting is within the limit.
        ErrorVariant::CustomError { .. } => {
            let token = tokens.get(tokens.partition_point(|t| t.end <= at)).or(tokens.last());
            return token.map_or(Failure::Unexpected { at, expected: Vec::new() }, |t| Failure::TooDeep(*t));
        }
    };
    Failure::Unexpected { at: at.min(end), expected }
}

/// A declaration in the state to which recovery has brought it, and the parts that it has.
pub(crate) struct Parts<'t> {
    /// Its text, with what was lost blanked.
    work: &'t str,
    /// Where that begins in the file.
    base: usize,
    /// The tokens that are left, placed in the file.
    pub tokens: &'t [Token],
}

impl<'t> Parts<'t> {
    /// The text of a token; empty behind the last one.
    pub fn word(&self, i: usize) -> &'t str {
        self.tokens.get(i).map_or("", |t| &self.work[t.start - self.base..t.end - self.base])
    }

    /// What the token is.
    pub fn kind(&self, i: usize) -> Option<Lex> {
        self.tokens.get(i).map(|t| t.kind)
    }

    /// The token at or behind this byte.
    pub fn index(&self, at: usize) -> usize {
        self.tokens.partition_point(|t| t.end <= at)
    }

    /// What stands between a token and the one before it.
    pub fn gap_before(&self, i: usize) -> &'t str {
        match (i.checked_sub(1).and_then(|b| self.tokens.get(b)), self.tokens.get(i)) {
            (Some(before), Some(token)) => &self.work[before.end - self.base..token.start - self.base],
            _ => "",
        }
    }

    /// The blanks before the first token on this token's line.
    pub fn indent(&self, i: usize) -> usize {
        let at = self.tokens.get(i).map_or(0, |t| t.start - self.base);
        let line = self.work[..at].rfind(['\n', '\r']).map_or(0, |n| n + 1);
        self.work[line..].len() - self.work[line..].trim_start_matches([' ', '\t']).len()
    }

    /// The step, rule or clause with the token, else the whole declaration, as token indices.
    pub fn around(&self, at: usize) -> (usize, usize) {
        let range = self.smallest(at).unwrap_or(0..0);
        if range.is_empty() {
            return (0, self.tokens.len());
        }
        (self.tokens.partition_point(|t| t.start < range.start), self.tokens.partition_point(|t| t.start < range.end))
    }

    /// The bytes from one token up to, not including, another.
    fn bytes(&self, from: usize, to: usize) -> Range<usize> {
        match (self.tokens.get(from), to.checked_sub(1).and_then(|i| self.tokens.get(i))) {
            (Some(first), Some(last)) if to > from => first.start..last.end,
            _ => 0..0,
        }
    }

    /// A rule or clause that lacks its value takes the first word of the next one for it, and parsing fails only behind that word.
    /// The mistake is at the word.
    fn settle(&self, failure: Failure) -> Failure {
        let Failure::Unexpected { at, expected } = failure else { return failure };
        let index = self.index(at);
        let eaten = index.checked_sub(1).filter(|&i| i > 0 && self.first_on_line(i) && self.kind(i) == Some(Lex::Word));
        let begins = |i: usize| match self.word(0) {
            "flow" => self.word(index) == ":",
            "source" | "table" => words::SOURCE_CLAUSES.contains(&self.word(i)) && self.word(i) != "as",
            "sink" => words::SINK_CLAUSES.contains(&self.word(i)),
            "test" => words::TEST_CLAUSES.contains(&self.word(i)),
            _ => false,
        };
        match eaten {
            // A clause of one word may stand there, and what follows it be wrong.
            Some(i) if begins(i) && !expected.iter().any(|r| self.asked_behind(i, *r)) => {
                Failure::Unexpected { at: self.tokens[i].start, expected: vec![Rule::expr] }
            }
            _ => Failure::Unexpected { at, expected },
        }
    }

    /// Whether this rule is asked for as the second word of the clause that the token begins, so that the clause was understood.
    fn asked_behind(&self, i: usize, rule: Rule) -> bool {
        let own: &[Rule] = match self.word(i) {
            "mode" => &[Rule::sink_mode],
            "partition" | "sequence" => &[Rule::kw_by],
            "constraint" | "event_time" => &[Rule::name, Rule::colon],
            "properties" | "schema" => &[Rule::lbrace],
            "ignore" => &[Rule::kw_updates],
            "malformed" => &[Rule::malformed_policy, Rule::kw_quarantine, Rule::kw_fail],
            "given" | "then" => &[Rule::flow_ref, Rule::name, Rule::kw_param],
            "advance" => &[Rule::kw_watermark],
            "evolve" => &[Rule::sink_clause],
            "changes" => &[Rule::source_clause],
            _ => &[Rule::expr, Rule::version_number],
        };
        own.contains(&rule)
    }

    /// What is meant by a token of another language, where it takes as many bytes.
    fn in_place(&self, code: &str, start: usize) -> Option<Repair> {
        let i = self.tokens.partition_point(|t| t.start < start);
        let (token, word) = (self.tokens.get(i)?, self.word(i));
        let replace = |with: &str| Some(Repair::Replace(token.start..token.end, token.kind, with.into()));
        match code {
            codes::SQL_FORM => match word.to_ascii_lowercase().as_str() {
                "group" | "by" | "outer" | "all" | "from" | "distinct" => Some(Repair::Blank(token.start..token.end)),
                "descending" => replace("desc      "),
                "ascending" => replace("asc      "),
                // The steps of the flow in the parentheses are no steps of this one.
                "(" if i >= 2 && self.word(i - 1) == "union" => {
                    self.closing(i).map(|close| Repair::Blank(self.bytes(i - 2, close + 1)))
                }
                _ => None,
            },
            codes::FOREIGN_COMMENT | codes::SEMICOLON => Some(Repair::Blank(token.start..token.end)),
            codes::STRAY_CHARACTER if word.chars().all(|c| c.is_whitespace() || c == '\u{200b}') => {
                Some(Repair::Blank(token.start..token.end))
            }
            codes::SINGLE_QUOTES if !word.contains(['"', '\\', '{', '}']) => {
                let text = format!("\"{}\"", word.trim_matches('\''));
                (text.len() == word.len()).then_some(Repair::Replace(token.start..token.end, Lex::StringOpen, text))
            }
            codes::FOREIGN_OPERATOR => match word {
                "||" => replace("or"),
                "<>" => replace("!="),
                "===" => replace("== "),
                "!==" => replace("!= "),
                _ => None,
            },
            _ => None,
        }
    }

    /// The bracket that closes this one.
    fn closing(&self, open: usize) -> Option<usize> {
        let mut depth = 0usize;
        (open..self.tokens.len()).find(|&i| {
            match self.tokens[i].kind {
                Lex::Open | Lex::HoleOpen => depth += 1,
                Lex::Close | Lex::HoleClose => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0
        })
    }

    fn insert_comma(&self, at: usize) -> Option<Repair> {
        let before = self.tokens.get(at.checked_sub(1)?)?.end;
        self.work[before - self.base..]
            .starts_with([' ', '\t', '\n', '\r'])
            .then(|| Repair::Replace(before..before + 1, Lex::Operator, ",".into()))
    }

    fn double_equal(&self, at: usize) -> Option<Repair> {
        let token = self.tokens.get(at)?;
        let room = self.work[token.end - self.base..].starts_with([' ', '\t', '\n', '\r']);
        (room && self.word(at) == "=").then(|| Repair::Replace(token.start..token.end + 1, Lex::Operator, "==".into()))
    }

    fn to_next_pipe(&self, at: usize) -> Option<Repair> {
        let pipe = (at..self.tokens.len()).find(|&i| self.word(i) == "|>").unwrap_or(self.tokens.len());
        (pipe > at).then(|| Repair::Blank(self.bytes(at, pipe)))
    }

    /// The smallest part that holds the mistake and that the declaration can do without.
    fn smallest(&self, at: usize) -> Option<Range<usize>> {
        match self.word(0) {
            "flow" => self.step(at),
            "source" | "table" => self.clause(at, words::SOURCE_CLAUSES),
            "sink" => self.clause(at, words::SINK_CLAUSES),
            "test" => self.clause(at, words::TEST_CLAUSES),
            _ => None,
        }
    }

    /// The step in which the token is, or the rule of its `expect`. A `|>` belongs to what is before it: only that can be wrong.
    fn step(&self, at: usize) -> Option<Range<usize>> {
        let pipes: Vec<usize> = (0..self.tokens.len()).filter(|&i| self.word(i) == "|>").collect();
        let next = pipes.iter().copied().find(|&p| p >= at).unwrap_or(self.tokens.len());
        match pipes.iter().rev().copied().find(|&p| p < at) {
            Some(from) => {
                let rule = if self.word(from + 1) == "expect" { self.rule(from + 1, next, at) } else { None };
                Some(rule.unwrap_or_else(|| self.bytes(from, next)))
            }
            // `flow a = b` is whole; what follows is not.
            None if at >= 4 && next > at => Some(self.bytes(at, next)),
            None => None,
        }
    }

    /// The rule of an `expect` in which the token is; its rules are at depth one and begin `name:`.
    fn rule(&self, from: usize, to: usize, at: usize) -> Option<Range<usize>> {
        let mut depth = 0usize;
        let mut starts = Vec::new();
        let mut close = to;
        for i in from..to {
            match self.tokens[i].kind {
                Lex::Open | Lex::HoleOpen => depth += 1,
                Lex::Close | Lex::HoleClose => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 && self.word(i) == "}" {
                        close = i;
                        break;
                    }
                }
                Lex::Word | Lex::Backticks if depth == 1 && self.word(i + 1) == ":" => starts.push(i),
                _ => {}
            }
        }
        if close == to || at > close {
            return None;
        }
        self.section(&starts, close, at)
    }

    /// Of the sections that begin at `starts` and end at `close`, the one with the token; a token that begins one belongs to the
    /// one before it, if there is one.
    fn section(&self, starts: &[usize], close: usize, at: usize) -> Option<Range<usize>> {
        let n = match starts.iter().rposition(|&s| s < at) {
            Some(n) => n,
            None => starts.iter().position(|&s| s == at)?,
        };
        Some(self.bytes(starts[n], starts.get(n + 1).copied().unwrap_or(close)))
    }

    /// Whether the token is the first of its line.
    pub fn first_on_line(&self, i: usize) -> bool {
        i == 0 || self.gap_before(i).contains(['\n', '\r'])
    }

    /// The clause in which the token is, or the column of its schema. Clauses are at depth one and begin a line.
    fn clause(&self, at: usize, known: &[&str]) -> Option<Range<usize>> {
        let open = (0..self.tokens.len()).find(|&i| self.word(i) == "{" && self.tokens[i].kind == Lex::Open)?;
        if at <= open {
            return None;
        }
        let mut depth = 0usize;
        let (mut starts, mut close) = (vec![open + 1], None);
        for i in open..self.tokens.len() {
            match self.tokens[i].kind {
                Lex::Open | Lex::HoleOpen => depth += 1,
                Lex::Close | Lex::HoleClose => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        close = Some(i);
                        break;
                    }
                }
                Lex::Word if depth == 1 && i > open + 1 && self.first_on_line(i) => starts.push(i),
                _ => {}
            }
        }
        let close = close?;
        if at > close {
            return Some(self.bytes(at, self.tokens.len()));
        }
        // A clause's word out of place means that the clause before it is not whole; any other word is itself the mistake.
        let own = starts.contains(&at) && !known.contains(&self.word(at));
        let n = starts.iter().rposition(|&s| if own { s <= at } else { s < at }).unwrap_or(0);
        let (from, to) = (starts[n], starts.get(n + 1).copied().unwrap_or(close));
        if self.word(from) == "schema"
            && let Some(column) = self.column(from + 1, to, at)
        {
            return Some(column);
        }
        Some(self.bytes(from, to)).filter(|r| !r.is_empty())
    }

    /// The column of a schema in which the token is, with its comma.
    fn column(&self, open: usize, to: usize, at: usize) -> Option<Range<usize>> {
        if at <= open {
            return None;
        }
        let mut depth = 0usize;
        let mut start = open + 1;
        for i in open..to {
            match self.word(i) {
                "{" | "(" | "<" => depth += 1,
                ")" | ">" => depth = depth.saturating_sub(1),
                "}" if depth == 1 => return (at <= i && i > start).then(|| self.bytes(start, i)),
                "}" => depth = depth.saturating_sub(1),
                "," if depth == 1 => {
                    if at <= i {
                        return Some(self.bytes(start, i + 1));
                    }
                    start = i + 1;
                }
                _ => {}
            }
        }
        None
    }
}
