//! Which `##` comment documents what: the lines directly above a node, or the comment behind it on its line.
//! Must not know of the tree.

use crate::lex::{Lex, Token};

/// The comments of a text, by place.
pub(crate) struct Comments<'a> {
    text: &'a str,
    /// Comments of either kind, in order.
    list: Vec<Token>,
    /// All tokens, in order.
    tokens: &'a [Token],
}

impl<'a> Comments<'a> {
    /// Picks the comments out of the tokens.
    pub fn new(text: &'a str, tokens: &'a [Token]) -> Self {
        let list = tokens.iter().filter(|t| matches!(t.kind, Lex::Comment | Lex::Doc)).copied().collect();
        Comments { text, list, tokens }
    }

    /// The end of what precedes `end`, leaving out blanks and comments.
    pub fn without_trivia(&self, end: usize) -> usize {
        let mut before = self.tokens.partition_point(|t| t.start < end);
        let mut at = end;
        while before > 0 && self.tokens[before - 1].is_trivia() {
            before -= 1;
            at = self.tokens[before].start;
        }
        at
    }

    /// Whether nothing but blanks stands before this byte on its line.
    fn first_on_line(&self, at: usize) -> bool {
        let line = self.text[..at].rfind(['\n', '\r']).map_or(0, |i| i + 1);
        self.text[line..at].chars().all(|c| matches!(c, ' ' | '\t' | '\u{FEFF}'))
    }

    /// Whether a comma and nothing else stands before this comment on its line, with another comment between the comma and the
    /// element before: then it is not that element's.
    fn behind_late_comma(&self, at: usize) -> bool {
        let before = self.tokens.partition_point(|t| t.start < at);
        let mut earlier = self.tokens[..before].iter().rev().filter(|t| t.kind != Lex::Space);
        let comma = earlier.next().is_some_and(|t| t.text(self.text) == "," && self.first_on_line(t.start));
        comma && earlier.next().is_some_and(|t| t.is_trivia())
    }

    /// The line ends in a gap between comments or before a node: one is the next line, two leave an empty one.
    fn newlines(&self, from: usize, to: usize) -> usize {
        self.text[from..to].matches('\n').count().max(self.text[from..to].matches('\r').count())
    }

    /// The `##` lines that end directly above `at`.
    pub fn above(&self, at: usize) -> Option<String> {
        if !self.first_on_line(at) {
            return None;
        }
        let mut end = self.list.partition_point(|c| c.start < at);
        let mut below = at;
        let mut lines = Vec::new();
        while end > 0 {
            let comment = self.list[end - 1];
            let touches = comment.end <= below
                && self.text[comment.end..below].trim_matches([' ', '\t', '\r', '\n']).is_empty()
                && self.newlines(comment.end, below) == 1
                && (self.first_on_line(comment.start) || self.behind_late_comma(comment.start));
            if !touches {
                break;
            }
            if comment.kind == Lex::Doc {
                lines.push(content(comment.text(self.text)));
            }
            below = comment.start;
            end -= 1;
        }
        lines.reverse();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }

    /// The `##` comment on the line where a node ends; a comma may stand between.
    pub fn behind(&self, end: usize) -> Option<String> {
        let comment = self.list.get(self.list.partition_point(|c| c.start < end))?;
        let behind = comment.kind == Lex::Doc && trails(&self.text[end..comment.start]);
        behind.then(|| content(comment.text(self.text)).to_string())
    }

    /// The `##` lines at the very beginning, when an empty line (or nothing) follows them.
    pub fn description(&self) -> Option<String> {
        let mut at = 0;
        let mut lines = Vec::new();
        for (i, comment) in self.list.iter().enumerate() {
            let gap = &self.text[at..comment.start];
            if !gap.trim_matches([' ', '\t', '\r', '\n', '\u{FEFF}']).is_empty()
                || (i > 0 && self.newlines(at, comment.start) > 1)
            {
                break;
            }
            if comment.kind == Lex::Doc {
                lines.push(content(comment.text(self.text)));
            }
            at = comment.end;
        }
        let rest = &self.text[at..];
        let gap = rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
        let alone = gap == rest.len() || self.newlines(at, at + gap) > 1;
        (alone && !lines.is_empty()).then(|| lines.join("\n"))
    }
}

/// Whether a comment behind this gap stands on the line of the token before it, or of the comma behind that.
pub(crate) fn trails(gap: &str) -> bool {
    let (before, behind) = gap.rsplit_once(',').unwrap_or(("", gap));
    behind.chars().all(|c| matches!(c, ' ' | '\t')) && before.chars().all(char::is_whitespace)
}

/// The text of a `##` comment without the marks.
fn content(comment: &str) -> &str {
    comment.trim_start_matches('#').trim()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lex::lex;

    #[test]
    fn above_behind_and_description() {
        let text = "## whole\n\n## one\n# not\n## two\nflow a, ## after\n";
        let tokens = lex(text);
        let comments = Comments::new(text, &tokens);
        let flow = text.find("flow").expect("is there");
        assert_eq!(comments.description().as_deref(), Some("whole"));
        assert_eq!(comments.above(flow).as_deref(), Some("one\ntwo"));
        assert_eq!(comments.behind(flow + 6).as_deref(), Some("after"));
        assert_eq!(comments.behind(flow + 3), None);
    }

    #[test]
    fn a_block_that_touches_the_first_item_is_its_own() {
        let text = "## mine\r\nflow a = b";
        let tokens = lex(text);
        let comments = Comments::new(text, &tokens);
        assert_eq!(comments.description(), None);
        assert_eq!(comments.above(9).as_deref(), Some("mine"));
    }
}
