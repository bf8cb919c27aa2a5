//! From pest's pairs to the tree. Reports what the grammar cannot say: literals out of range, escapes, repeated clauses, depth.
//! Must not decide what is a program: the grammar does.

mod expr;
mod item;
mod literal;
mod step;

pub(crate) use expr::too_deep;

use crate::ast::{Item, Name};
use crate::codes;
use crate::comments::Comments;
use crate::diagnostic::Diagnostic;
use crate::grammar::Rule;
use crate::span::{FileId, Span};
use pest::iterators::{Pair, Pairs};
use std::sync::LazyLock;

/// How deep an expression's tree may be: every later stage walks it with a function that calls itself.
pub(crate) const MAX_DEPTH: usize = 256;

/// Makes nodes of pairs.
pub(crate) struct Builder<'a> {
    /// The file of the spans.
    pub file: FileId,
    /// Where the `##` comments are.
    pub comments: &'a Comments<'a>,
    /// What was found wrong.
    pub diagnostics: Vec<Diagnostic>,
    /// What the pairs' places must be moved by.
    pub offset: usize,
    /// How deep the expression being built may be already.
    depth: usize,
    /// In an aggregate step, where calls may have `where` behind them.
    in_aggregate: bool,
}

impl<'a> Builder<'a> {
    /// A builder for pairs whose places are `offset` bytes too small.
    pub fn new(file: FileId, comments: &'a Comments<'a>, offset: usize) -> Self {
        Builder { file, comments, diagnostics: Vec::new(), offset, depth: 0, in_aggregate: false }
    }

    /// The node of a declaration.
    pub fn item(&mut self, pair: Pair<'_, Rule>) -> Item {
        match pair.as_rule() {
            Rule::use_item => Item::Use(self.use_item(pair)),
            Rule::param_item => Item::Param(self.param(pair)),
            Rule::source_item => Item::Source(self.source(pair)),
            Rule::table_item => Item::Table(self.table(pair)),
            Rule::fn_item => Item::Function(self.function(pair)),
            Rule::flow_item => Item::Flow(self.flow(pair)),
            Rule::sink_item => Item::Sink(self.sink(pair)),
            Rule::test_item => Item::Test(self.test(pair)),
            other => unreachable!("the grammar has no declaration {other:?}"),
        }
    }

    fn span(&self, pair: &Pair<'_, Rule>) -> Span {
        let span = pair.as_span();
        let (start, end) = (self.offset + span.start(), self.offset + span.end());
        // A rule ends in the blanks that were skipped before an optional tail that did not follow.
        Span::new(self.file, start, self.comments.without_trivia(end).max(start))
    }

    fn error(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    fn name(&self, pair: Pair<'_, Rule>) -> Name {
        let span = self.span(&pair);
        Name { text: pair.as_str().trim().trim_matches('`').to_string(), span }
    }

    fn doc_above(&self, span: Span) -> Option<String> {
        self.comments.above(span.start as usize)
    }

    /// The comment above, else the one behind.
    fn doc(&self, span: Span) -> Option<String> {
        self.doc_above(span).or_else(|| self.comments.behind(span.end as usize))
    }

    /// Takes the value of a clause, or reports that it stands twice.
    fn once<T>(&mut self, slot: &mut Option<T>, value: T, what: &str, span: Span) {
        if slot.is_some() {
            self.error(
                Diagnostic::error(codes::REPEATED_CLAUSE, span, format!("`{what}` stands twice in this step"))
                    .label("the second one")
                    .help(if what == "on" {
                        "two conditions are one with `and`".into()
                    } else {
                        format!("keep one `{what}`")
                    }),
            );
        } else {
            *slot = Some(value);
        }
    }
}

/// The pairs that are nodes: terminals that only hold the place are left out.
fn nodes<'i>(pairs: Pairs<'i, Rule>) -> impl Iterator<Item = Pair<'i, Rule>> {
    pairs.filter(|p| !is_terminal(p.as_rule()))
}

/// Keywords and punctuation, whose presence says all; by rule, since each pair is asked.
static TERMINALS: LazyLock<Vec<bool>> = LazyLock::new(|| {
    const SIGNS: &str = "lparen rparen lbracket rbracket lbrace rbrace comma colon dot pipe arrow fat_arrow assign less greater quote EOI";
    // Keywords that are the whole of what they say: literals, policies, kinds, orders.
    const NODES: &str =
        "null true false warn drop quarantine fail left right full semi anti asc desc first last partition";
    let terminal = |rule: &Rule| {
        let name = format!("{rule:?}");
        SIGNS.split(' ').any(|sign| sign == name)
            || name.strip_prefix("kw_").is_some_and(|word| !NODES.split(' ').any(|node| node == word))
    };
    let mut table = vec![false; Rule::all_rules().iter().map(|r| *r as usize + 1).max().unwrap_or(0)];
    for rule in Rule::all_rules() {
        table[*rule as usize] = terminal(rule);
    }
    table
});

fn is_terminal(rule: Rule) -> bool {
    TERMINALS.get(rule as usize).copied().unwrap_or(rule == Rule::EOI)
}
