//! Colours of a text by what its names stand for: those of the tokens, and what the checker resolved. Must not know what they look like.

use crate::TextRange;
use crate::analysis::range;
use crate::occurrences::{Target, occurrences};
use crate::workspace::Workspace;
use flowc_syntax::{TokenKind, highlight};
use std::collections::BTreeMap;

/// What a stretch of text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SemanticKind {
    /// A comment.
    Comment,
    /// A word of the language.
    Keyword,
    /// A type.
    Type,
    /// A function.
    Function,
    /// A column.
    Column,
    /// A source, table, flow or sink.
    Relation,
    /// A param, or a parameter of a function.
    Parameter,
    /// Any other name.
    Name,
    /// A number, date or duration.
    Number,
    /// A string.
    String,
    /// An operator.
    Operator,
}

impl SemanticKind {
    /// All, in the order of their discriminants.
    pub const ALL: [SemanticKind; 11] = [
        SemanticKind::Comment,
        SemanticKind::Keyword,
        SemanticKind::Type,
        SemanticKind::Function,
        SemanticKind::Column,
        SemanticKind::Relation,
        SemanticKind::Parameter,
        SemanticKind::Name,
        SemanticKind::Number,
        SemanticKind::String,
        SemanticKind::Operator,
    ];
}

/// A stretch of text with what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SemanticToken {
    /// The bytes.
    pub range: TextRange,
    /// What they are.
    pub kind: SemanticKind,
    /// Whether what is named is made here.
    pub declaration: bool,
    /// Whether it belongs to the language, not to the program.
    pub built_in: bool,
}

impl Workspace {
    /// The stretches of a file that have a colour, in order.
    pub fn semantic_tokens(&mut self, path: &str) -> Vec<SemanticToken> {
        let (now, file) = self.at(path);
        let Some(file) = file else { return vec![] };
        let mut names: BTreeMap<usize, (SemanticKind, bool, bool)> = BTreeMap::new();
        for found in occurrences(&now).into_iter().filter(|o| o.span.file == file) {
            let (kind, built_in) = match found.target {
                Target::Column(_) => (SemanticKind::Column, false),
                Target::Relation(_) | Target::Sink(_) => (SemanticKind::Relation, false),
                Target::Function(_) => (SemanticKind::Function, false),
                Target::BuiltIn(_) => (SemanticKind::Function, true),
                Target::Param(_) | Target::Local(..) => (SemanticKind::Parameter, false),
                Target::File(_) => continue,
            };
            names.entry(range(found.span).start).or_insert((kind, found.defines, built_in));
        }
        let token = |(range, kind): (TextRange, TokenKind)| {
            let plain = |kind| Some((kind, false, false));
            let (kind, declaration, built_in) = match kind {
                TokenKind::Space | TokenKind::Punctuation | TokenKind::Error => None,
                TokenKind::Comment | TokenKind::DocComment => plain(SemanticKind::Comment),
                TokenKind::Keyword | TokenKind::Constant => plain(SemanticKind::Keyword),
                TokenKind::Type => plain(SemanticKind::Type),
                TokenKind::Function => names.get(&range.start).copied().or(plain(SemanticKind::Function)),
                TokenKind::Name => names.get(&range.start).copied().or(plain(SemanticKind::Name)),
                TokenKind::Number => plain(SemanticKind::Number),
                TokenKind::String | TokenKind::Escape => plain(SemanticKind::String),
                TokenKind::Interpolation | TokenKind::Operator => plain(SemanticKind::Operator),
            }?;
            Some(SemanticToken { range, kind, declaration, built_in })
        };
        highlight(now.text(file)).into_iter().filter_map(token).collect()
    }
}
