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

/// Keywords and punctuation, whose presence says all.
fn is_terminal(rule: Rule) -> bool {
    use Rule::*;
    matches!(
        rule,
        lparen
            | rparen
            | lbracket
            | rbracket
            | lbrace
            | rbrace
            | comma
            | colon
            | dot
            | pipe
            | arrow
            | fat_arrow
            | assign
            | less
            | greater
            | quote
            | EOI
            | kw_use
            | kw_param
            | kw_source
            | kw_table
            | kw_fn
            | kw_flow
            | kw_sink
            | kw_test
            | kw_schema
            | kw_event_time
            | kw_watermark
            | kw_idle
            | kw_changes
            | kw_from
            | kw_sequence
            | kw_by
            | kw_ignore
            | kw_updates
            | kw_malformed
            | kw_start
            | kw_version
            | kw_as
            | kw_of
            | kw_mode
            | kw_append
            | kw_overwrite
            | kw_merge
            | kw_scd2
            | kw_on
            | kw_constraint
            | kw_properties
            | kw_evolve
            | kw_given
            | kw_then
            | kw_error
            | kw_at
            | kw_advance
            | kw_to
            | kw_where
            | kw_extend
            | kw_select
            | kw_rename
            | kw_sort
            | kw_limit
            | kw_union
            | kw_explode
            | kw_expect
            | kw_else
            | kw_unique
            | kw_within
            | kw_repair
            | kw_join
            | kw_aggregate
            | kw_window
            | kw_late
            | kw_dedup
            | kw_top
            | kw_per
            | kw_array
            | kw_map
            | kw_struct
            | kw_in
            | kw_like
            | kw_matches
            | kw_between
            | kw_is
            | kw_if
            | kw_match
            | kw_nulls
    )
}
