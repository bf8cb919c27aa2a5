//! Which form each rule of the grammar has, and where comments go. Documents are built in the order of the text: each token takes
//! with it the comments before it and the one behind it on its line.

use super::doc::{Doc, blank, broken, comment, concat, fresh, group, hard, if_broken, line, nest, nil, soft, text};
use crate::grammar::Rule;
use crate::lex::{Lex, Token};
use pest::iterators::Pair;

/// Builds the document of one file.
pub(super) struct Layout<'a> {
    source: &'a str,
    comments: Vec<Token>,
    /// The first comment that has not been placed.
    next: usize,
    /// The end of the last token or comment placed.
    last: usize,
}

type Pairs<'i> = std::iter::Peekable<std::vec::IntoIter<Pair<'i, Rule>>>;

fn children(pair: Pair<'_, Rule>) -> Pairs<'_> {
    pair.into_inner().collect::<Vec<_>>().into_iter().peekable()
}

/// An element list as it was written.
struct Elements {
    docs: Vec<Doc>,
    /// A comma stood behind the last: the list stays broken.
    trailing: bool,
}

impl<'a> Layout<'a> {
    pub fn new(source: &'a str, tokens: &[Token]) -> Self {
        let comments = tokens.iter().filter(|t| matches!(t.kind, Lex::Comment | Lex::Doc)).copied().collect();
        Layout { source, comments, next: 0, last: 0 }
    }

    /// The whole file; comments behind the last item are its end.
    pub fn file(&mut self, items: Vec<Pair<'_, Rule>>) -> Doc {
        let mut docs = Vec::new();
        for (i, item) in items.into_iter().enumerate() {
            if i > 0 {
                docs.push(self.separator(&item));
            }
            let Some(declaration) = item.into_inner().next() else { continue };
            docs.push(self.pair(declaration));
        }
        docs.extend(self.leading(self.source.len()));
        concat(docs)
    }

    // ------------------------------------------------------------------------------------------------------- comments

    fn newlines(&self, from: usize, to: usize) -> usize {
        let gap = &self.source[from..to.max(from)];
        gap.matches('\n').count().max(gap.matches('\r').count())
    }

    /// The line end before an element of a block: with an empty line if there was one.
    fn separator(&mut self, before: &Pair<'_, Rule>) -> Doc {
        let start = before.as_span().start();
        let first = self.comments.get(self.next).filter(|c| c.start < start).map_or(start, |c| c.start);
        if self.newlines(self.last, first) > 1 { blank() } else { hard() }
    }

    /// The comments before this byte, each on its own line, with the empty lines that stood between.
    fn leading(&mut self, start: usize) -> Vec<Doc> {
        let mut docs = Vec::new();
        while let Some(c) = self.comments.get(self.next).filter(|c| c.start < start).copied() {
            self.next += 1;
            // Between a comment and what precedes it, an empty line is kept only where elements are separated by lines.
            docs.push(
                if self.last > 0
                    && docs.is_empty()
                    && start == self.source.len()
                    && self.newlines(self.last, c.start) > 1
                {
                    blank()
                } else {
                    fresh()
                },
            );
            docs.push(text(c.text(self.source).trim_end()));
            self.last = c.end;
            let following = self.comments.get(self.next).map_or(start, |n| n.start.min(start));
            docs.push(if self.newlines(c.end, following) > 1 { blank() } else { hard() });
        }
        docs
    }

    /// A token with its comments.
    fn token(&mut self, pair: &Pair<'_, Rule>) -> Doc {
        let span = pair.as_span();
        let mut docs = self.leading(span.start());
        docs.push(text(span.as_str()));
        // A comment behind a comma is that of the element before it, or stands above the next one.
        if pair.as_rule() == Rule::comma {
            self.last = span.end();
        } else {
            docs.extend(self.trailing(span.end()));
        }
        concat(docs)
    }

    /// The comment behind a token on its line; a comma may stand between.
    fn trailing(&mut self, end: usize) -> Option<Doc> {
        self.last = end;
        let c = *self.comments.get(self.next)?;
        if !crate::comments::trails(&self.source[end..c.start]) {
            return None;
        }
        self.next += 1;
        self.last = c.end;
        Some(comment(c.text(self.source).trim_end()))
    }

    /// What stands before a closing bracket but belongs inside: its comments.
    fn before_close(&mut self, close: &Pair<'_, Rule>) -> Vec<Doc> {
        let mut docs = self.leading(close.as_span().start());
        // The last line end is the closing bracket's own.
        docs.pop();
        docs
    }

    // ---------------------------------------------------------------------------------------------------------- rules

    /// The document of any rule.
    fn pair(&mut self, pair: Pair<'_, Rule>) -> Doc {
        match pair.as_rule() {
            Rule::string | Rule::plain_string => self.token(&pair),
            Rule::source_block | Rule::sink_block | Rule::test_block | Rule::expect_step => self.block(pair),
            Rule::flow_item => self.flow(pair),
            Rule::extend_step
            | Rule::select_step
            | Rule::drop_step
            | Rule::rename_step
            | Rule::union_step
            | Rule::sort_step
            | Rule::partition_clause
            | Rule::mode_merge
            | Rule::mode_scd2
            | Rule::change_from
            | Rule::change_by
            | Rule::per_clause => self.listed(pair),
            Rule::assignments
            | Rule::drop_names
            | Rule::renames
            | Rule::union_flows
            | Rule::sort_keys
            | Rule::aggregates
            | Rule::dedup_keys
            | Rule::partition_keys
            | Rule::key_names
            | Rule::change_names
            | Rule::change_keys => self.list(pair),
            Rule::join_step | Rule::top_step | Rule::dedup_step | Rule::changes_clause => self.clauses(pair),
            Rule::aggregate_step => self.aggregate(pair),
            Rule::fn_item
            | Rule::connector
            | Rule::call_args
            | Rule::array
            | Rule::struct_literal
            | Rule::schema_clause
            | Rule::properties_clause
            | Rule::match_expr
            | Rule::window_clause
            | Rule::unique_condition
            | Rule::paren => self.delimited(pair),
            Rule::quality_rule => self.rule(pair),
            Rule::repair => self.repair(pair),
            Rule::expr => self.logic(pair),
            Rule::operand => self.arithmetic(pair),
            Rule::if_expr => self.conditional(pair),
            Rule::named_type | Rule::sized_type => self.type_name(pair),
            _ => self.spaced(pair),
        }
    }

    /// Parts one after the other, with blanks where they are usual.
    fn spaced(&mut self, pair: Pair<'_, Rule>) -> Doc {
        let inner = children(pair.clone());
        if inner.len() == 0 {
            return self.token(&pair);
        }
        let mut docs = Vec::new();
        let mut before = None;
        for part in inner {
            let rule = part.as_rule();
            if before.is_some_and(|b| !tight(b, rule)) {
                docs.push(text(" "));
            }
            docs.push(self.pair(part));
            before = Some(rule);
        }
        concat(docs)
    }

    /// `flow name = input` and its steps, each on its line.
    fn flow(&mut self, pair: Pair<'_, Rule>) -> Doc {
        let mut head = Vec::new();
        let mut steps = Vec::new();
        for part in children(pair) {
            match part.as_rule() {
                Rule::pipe => {
                    steps.push(hard());
                    steps.push(self.token(&part));
                    steps.push(text(" "));
                }
                Rule::step => steps.push(self.pair(part)),
                _ => {
                    if !head.is_empty() {
                        head.push(text(" "));
                    }
                    head.push(self.pair(part));
                }
            }
        }
        let keyword = head.remove(0);
        concat(vec![keyword, nest(head), nest(steps)])
    }

    /// `{ … }`, perhaps with a keyword before it, with each element on its line.
    fn block(&mut self, pair: Pair<'_, Rule>) -> Doc {
        let mut docs = Vec::new();
        let mut inside = Vec::new();
        let mut close = nil();
        for part in children(pair) {
            match part.as_rule() {
                Rule::kw_expect => docs.extend([self.token(&part), text(" ")]),
                Rule::lbrace => docs.push(self.token(&part)),
                Rule::rbrace => {
                    let comments = self.before_close(&part);
                    if !comments.is_empty() {
                        inside.push(hard());
                        inside.extend(comments);
                    }
                    close = self.token(&part);
                }
                Rule::comma => {}
                _ => {
                    inside.push(if inside.is_empty() { hard() } else { self.separator(&part) });
                    inside.push(self.pair(part));
                }
            }
        }
        if inside.is_empty() {
            docs.push(close);
            return concat(docs);
        }
        docs.extend([nest(inside), hard(), close]);
        concat(docs)
    }

    fn elements<'i>(&mut self, inner: impl Iterator<Item = Pair<'i, Rule>>) -> Elements {
        let mut elements = Elements { docs: Vec::new(), trailing: false };
        for part in inner {
            elements.trailing = part.as_rule() == Rule::comma;
            if !elements.trailing {
                elements.docs.push(self.pair(part));
            }
        }
        elements
    }

    /// Elements with commas: on one line, or each on its own with a comma behind the last.
    fn list(&mut self, pair: Pair<'_, Rule>) -> Doc {
        let elements = self.elements(children(pair));
        joined(elements)
    }

    /// Words and then a list.
    fn listed(&mut self, pair: Pair<'_, Rule>) -> Doc {
        let mut docs: Vec<Doc> = Vec::new();
        for part in children(pair) {
            if is_list(part.as_rule()) {
                docs.push(self.pair(part));
            } else {
                if !docs.is_empty() {
                    docs.push(text(" "));
                }
                docs.push(self.pair(part));
            }
        }
        group(docs)
    }

    /// A step of clauses: on one line, or each clause on a line of its own.
    fn clauses(&mut self, pair: Pair<'_, Rule>) -> Doc {
        let mut docs = Vec::new();
        let mut rest = Vec::new();
        for part in children(pair) {
            let rule = part.as_rule();
            if rule == Rule::comma {
                continue;
            }
            let clause = matches!(
                rule,
                Rule::join_clause | Rule::within_clause | Rule::per_clause | Rule::kw_by | Rule::change_by
            );
            if clause {
                rest.push(line());
            } else if !docs.is_empty() && !is_list(rule) {
                docs.push(text(" "));
            }
            let doc = self.pair(part);
            if rest.is_empty() { docs.push(doc) } else { rest.push(doc) }
        }
        docs.push(nest(rest));
        group(docs)
    }

    /// `aggregate … by …, window …`
    fn aggregate(&mut self, pair: Pair<'_, Rule>) -> Doc {
        let mut docs = Vec::new();
        let mut rest = Vec::new();
        let mut keys: Option<(Doc, Elements)> = None;
        for part in children(pair) {
            match part.as_rule() {
                Rule::comma => {}
                Rule::by_clause => {
                    rest.push(line());
                    let mut inner = children(part);
                    let by = match inner.next() {
                        Some(word) => self.token(&word),
                        None => nil(),
                    };
                    let elements = match inner.next() {
                        Some(list) => self.elements(children(list)),
                        None => Elements { docs: Vec::new(), trailing: false },
                    };
                    keys = Some((by, elements));
                }
                Rule::window_clause => {
                    let window = self.pair(part);
                    match &mut keys {
                        Some((_, elements)) => elements.docs.push(window),
                        None => rest.extend([line(), window]),
                    }
                }
                Rule::late_clause => {
                    if let Some((by, elements)) = keys.take() {
                        rest.push(group(vec![by, joined(elements)]));
                    }
                    rest.push(line());
                    rest.push(self.pair(part));
                }
                _ => docs.push(self.pair(part)),
            }
        }
        if let Some((by, elements)) = keys {
            rest.push(group(vec![by, joined(elements)]));
        }
        docs.push(nest(rest));
        group(docs)
    }

    /// Anything that ends in brackets with a list in them: on one line, or each element on its own.
    fn delimited(&mut self, pair: Pair<'_, Rule>) -> Doc {
        let mut docs = Vec::new();
        let mut inner = children(pair);
        let mut before = None;
        while let Some(part) = inner.next() {
            let rule = part.as_rule();
            if before.is_some_and(|b| !tight(b, rule)) {
                docs.push(text(" "));
            }
            before = Some(rule);
            let (close, gap): (Rule, fn() -> Doc) = match rule {
                Rule::lparen => (Rule::rparen, soft),
                Rule::lbracket => (Rule::rbracket, soft),
                Rule::lbrace => (Rule::rbrace, line),
                _ => {
                    docs.push(self.pair(part));
                    continue;
                }
            };
            let open = self.token(&part);
            let mut inside = Vec::new();
            let mut end = None;
            for part in inner.by_ref() {
                if part.as_rule() == close {
                    end = Some(part);
                    break;
                }
                // `args`, `columns` and the like hold the elements one level deeper.
                if is_wrapper(part.as_rule()) { inside.extend(children(part)) } else { inside.push(part) }
            }
            let value = inside.len() == 1 && matches!(inside[0].as_rule(), Rule::expr) && rule == Rule::lparen;
            let elements = self.elements(inside.into_iter());
            let Some(end) = end else { continue };
            let comments = self.before_close(&end);
            let closing = self.token(&end);
            docs.push(enclosed(open, elements, comments, closing, gap, value));
            before = Some(close);
        }
        concat(docs)
    }

    /// `name: condition else policy`
    fn rule(&mut self, pair: Pair<'_, Rule>) -> Doc {
        let mut docs = Vec::new();
        let mut rest = Vec::new();
        for part in children(pair) {
            match part.as_rule() {
                Rule::name | Rule::colon => docs.push(self.pair(part)),
                Rule::kw_else => {
                    rest.push(line());
                    rest.push(self.token(&part));
                }
                Rule::policy => {
                    rest.push(text(" "));
                    rest.push(self.pair(part));
                }
                _ => {
                    docs.push(text(" "));
                    docs.push(self.pair(part));
                }
            }
        }
        docs.push(nest(rest));
        group(docs)
    }

    /// `repair a = x, b = y`: no comma at the end, a rule may follow.
    fn repair(&mut self, pair: Pair<'_, Rule>) -> Doc {
        let mut inner = children(pair);
        let keyword = match inner.next() {
            Some(word) => self.token(&word),
            None => nil(),
        };
        let mut docs = Vec::new();
        for (i, part) in inner.filter(|p| p.as_rule() != Rule::comma).enumerate() {
            if i > 0 {
                docs.extend([text(","), line()]);
            }
            docs.push(self.pair(part));
        }
        group(vec![keyword, text(" "), nest(docs)])
    }

    // ---------------------------------------------------------------------------------------------------- expressions

    /// A chain of `or` and `and`: broken before each `or` first, then before each `and`.
    fn logic(&mut self, pair: Pair<'_, Rule>) -> Doc {
        let mut alternatives: Vec<Vec<Doc>> = vec![Vec::new()];
        let mut words: Vec<Doc> = Vec::new();
        for part in children(pair) {
            let current = alternatives.len() - 1;
            match part.as_rule() {
                Rule::op_or => {
                    words.push(self.token(&part));
                    alternatives.push(Vec::new());
                }
                Rule::op_and => alternatives[current].extend([line(), self.token(&part), text(" ")]),
                Rule::op_not => alternatives[current].extend([self.token(&part), text(" ")]),
                _ => {
                    let doc = self.pair(part);
                    alternatives[current].push(doc);
                }
            }
        }
        let mut groups = alternatives.into_iter().map(|mut docs| match docs.len() {
            1 => docs.remove(0),
            _ => group(vec![nest(docs)]),
        });
        let Some(first) = groups.next() else { return nil() };
        if words.is_empty() {
            return first;
        }
        let rest = words.into_iter().zip(groups).flat_map(|(word, doc)| [line(), word, text(" "), doc]);
        group(vec![first, nest(rest.collect())])
    }

    /// A chain of arithmetic: broken before each operator.
    fn arithmetic(&mut self, pair: Pair<'_, Rule>) -> Doc {
        let mut docs: Vec<Doc> = Vec::new();
        for part in children(pair) {
            match part.as_rule() {
                Rule::op_negate => docs.push(self.token(&part)),
                Rule::field | Rule::index => docs.push(self.pair(part)),
                Rule::cast => docs.extend([text(" "), self.pair(part)]),
                Rule::op_coalesce
                | Rule::op_add
                | Rule::op_subtract
                | Rule::op_multiply
                | Rule::op_divide
                | Rule::op_div
                | Rule::op_remainder => docs.extend([line(), self.token(&part), text(" ")]),
                _ => docs.push(self.pair(part)),
            }
        }
        if docs.len() == 1 {
            return docs.remove(0);
        }
        group(vec![nest(docs)])
    }

    /// `if … then … else if … then … else …`
    fn conditional(&mut self, pair: Pair<'_, Rule>) -> Doc {
        let mut docs: Vec<Doc> = Vec::new();
        for part in children(pair) {
            let rule = part.as_rule();
            if rule == Rule::kw_else {
                docs.push(line());
            } else if !docs.is_empty() {
                docs.push(text(" "));
            }
            docs.push(self.pair(part));
        }
        group(vec![nest(docs)])
    }

    /// A type's name in its canonical spelling.
    fn type_name(&mut self, pair: Pair<'_, Rule>) -> Doc {
        let mut docs = Vec::new();
        let mut before = None;
        for part in children(pair) {
            let rule = part.as_rule();
            if before.is_some_and(|b| !tight(b, rule)) {
                docs.push(text(" "));
            }
            before = Some(rule);
            if rule == Rule::word {
                let span = part.as_span();
                docs.extend(self.leading(span.start()));
                docs.push(text(crate::words::canonical_type(span.as_str())));
                docs.extend(self.trailing(span.end()));
            } else {
                docs.push(self.pair(part));
            }
        }
        concat(docs)
    }
}

/// Rules that are lists behind a keyword.
fn is_list(rule: Rule) -> bool {
    matches!(
        rule,
        Rule::assignments
            | Rule::drop_names
            | Rule::renames
            | Rule::union_flows
            | Rule::sort_keys
            | Rule::aggregates
            | Rule::dedup_keys
            | Rule::partition_keys
            | Rule::key_names
            | Rule::change_names
            | Rule::change_keys
    )
}

/// Rules that are the inside of brackets.
fn is_wrapper(rule: Rule) -> bool {
    matches!(rule, Rule::args | Rule::columns | Rule::fn_params | Rule::unique_columns)
}

/// A list behind a keyword, with the blank before it. A single element stays on the keyword's line.
fn joined(elements: Elements) -> Doc {
    let Elements { docs, trailing } = elements;
    let count = docs.len();
    if count <= 1 {
        return concat(docs.into_iter().flat_map(|d| [text(" "), d]).collect());
    }
    let mut inside = Vec::new();
    for (i, doc) in docs.into_iter().enumerate() {
        inside.push(line());
        inside.push(doc);
        inside.push(if i + 1 < count { text(",") } else { if_broken(",") });
    }
    let list = group(vec![nest(inside)]);
    if trailing { broken(list) } else { list }
}

/// A list in brackets; a single value in parentheses hugs them.
fn enclosed(open: Doc, elements: Elements, comments: Vec<Doc>, close: Doc, gap: fn() -> Doc, value: bool) -> Doc {
    let Elements { docs, trailing } = elements;
    let count = docs.len();
    if count == 0 && comments.is_empty() {
        return concat(vec![open, close]);
    }
    let mut inside = Vec::new();
    for (i, doc) in docs.into_iter().enumerate() {
        inside.push(if i == 0 { gap() } else { line() });
        inside.push(doc);
        let last = i + 1 == count;
        inside.push(match (last, value) {
            (false, _) => text(","),
            (true, true) => nil(),
            (true, false) => if_broken(","),
        });
    }
    if !comments.is_empty() {
        inside.push(hard());
        inside.extend(comments);
    }
    let list = group(vec![open, nest(inside), gap(), close]);
    if trailing && count > 0 { broken(list) } else { list }
}

/// Whether two neighbours stand without a blank between.
fn tight(before: Rule, after: Rule) -> bool {
    use Rule::*;
    matches!(
        after,
        comma | colon | rparen | rbracket | dot | call_args | index | field | nullable | greater | less | lparen
    ) && !matches!((before, after), (kw_in | kw_by | kw_where | op_not | kw_then | kw_else, lparen))
        || matches!(before, lparen | lbracket | dot | less | op_negate)
}
