//! Text cut into tokens, whatever the text: every byte is in exactly one token, in order.
//!
//! The grammar decides what a program is; tokens serve what must work on any text: comments, recovery, explaining a mistake,
//! highlighting. Must not know of rules or of the tree.

use std::ops::Range;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Lex {
    /// Blanks and line ends.
    Space,
    /// `# …` without the line end.
    Comment,
    /// `## …`
    Doc,
    /// A word: a name or a keyword.
    Word,
    /// A name in backticks.
    Backticks,
    /// A number with whatever letters follow: `1_000`, `5s`, `1.50d`, `1%`, also `5parsecs`.
    Number,
    /// `@…`
    Temporal,
    /// `r"…"`
    Raw,
    /// `"` that begins a string.
    StringOpen,
    /// `"` that begins a string without an end on its line.
    StringUnclosed,
    /// Text in a string.
    StringText,
    /// `\n`, `{{`, `}}` in a string.
    StringEscape,
    /// `{` in a string.
    HoleOpen,
    /// The `}` that ends it.
    HoleClose,
    /// `"` that ends a string.
    StringClose,
    /// An operator or separator, also one of another language.
    Operator,
    /// `(`, `[` or `{`
    Open,
    /// `)`, `]` or `}`
    Close,
    /// `'…'`
    SingleQuoted,
    /// `// …`, `-- …`, `/* … */`
    ForeignComment,
    /// A backtick or `r"` without an end on its line, to the end of the line.
    Unclosed,
    /// Anything else: one character.
    Stray,
}

/// A token and its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    /// What it is.
    pub kind: Lex,
    /// First byte.
    pub start: usize,
    /// One past the last.
    pub end: usize,
}

impl Token {
    /// Its text.
    pub fn text<'a>(&self, text: &'a str) -> &'a str {
        &text[self.start..self.end]
    }

    /// Its bytes.
    pub fn range(&self) -> Range<usize> {
        self.start..self.end
    }

    /// Blank or comment.
    pub fn is_trivia(&self) -> bool {
        matches!(self.kind, Lex::Space | Lex::Comment | Lex::Doc)
    }
}

/// Longest first among those that begin alike.
const OPERATORS: &[&str] = &[
    "===", "!==", "<=>", "|>", "->", "=>", "==", "!=", "<=", ">=", "??", "&&", "||", "<>", ":=", "::", "**", "=~",
    "!~", "+=", "-=", "..", "+", "-", "*", "/", "%", "<", ">", "=", "?", ",", ":", ".", "|", "!", "&", ";", "^", "~",
];

/// What the text being read is in.
enum Mode {
    /// In a string; the index of its opening token.
    String(usize),
    /// In the hole of a string; how many braces are open in it.
    Hole(usize),
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    out: Vec<Token>,
    modes: Vec<Mode>,
}

/// Cuts the text into tokens.
pub(crate) fn lex(text: &str) -> Vec<Token> {
    let mut lexer = Lexer { text, at: 0, out: Vec::with_capacity(text.len() / 3), modes: Vec::new() };
    while lexer.at < text.len() {
        let before = lexer.at;
        match lexer.modes.last() {
            Some(Mode::String(_)) => lexer.in_string(),
            _ => lexer.in_code(),
        }
        debug_assert!(lexer.at > before || lexer.modes.is_empty() || lexer.at == before);
    }
    lexer.abandon_strings();
    lexer.out
}

fn is_word_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn push(&mut self, kind: Lex, len: usize) {
        self.out.push(Token { kind, start: self.at, end: self.at + len });
        self.at += len;
    }

    /// Length of the longest prefix of such characters, from the `from`th byte on.
    fn run(&self, from: usize, test: impl Fn(char) -> bool) -> usize {
        let rest = &self.rest()[from..];
        from + rest.find(|c| !test(c)).unwrap_or(rest.len())
    }

    /// The line is at its end and strings are still open: they all are unclosed.
    fn abandon_strings(&mut self) {
        for mode in std::mem::take(&mut self.modes) {
            if let Mode::String(open) = mode {
                self.out[open].kind = Lex::StringUnclosed;
            }
        }
    }

    fn in_string(&mut self) {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return };
        match first {
            '\n' | '\r' => self.abandon_strings(),
            '"' => {
                self.modes.pop();
                self.push(Lex::StringClose, 1);
            }
            '\\' => {
                let len = if rest.starts_with("\\u{") {
                    let digits = self.run(3, |c| c.is_ascii_hexdigit());
                    if rest[digits..].starts_with('}') { digits + 1 } else { 2 }
                } else {
                    match rest[1..].chars().next() {
                        Some(c) if c != '\n' && c != '\r' => 1 + c.len_utf8(),
                        _ => 1,
                    }
                };
                self.push(Lex::StringEscape, len);
            }
            '{' if rest.starts_with("{{") => self.push(Lex::StringEscape, 2),
            '}' => self.push(Lex::StringEscape, if rest.starts_with("}}") { 2 } else { 1 }),
            '{' => {
                self.modes.push(Mode::Hole(0));
                self.push(Lex::HoleOpen, 1);
            }
            _ => {
                let len = self.run(0, |c| !matches!(c, '"' | '\\' | '{' | '}' | '\n' | '\r'));
                self.push(Lex::StringText, len);
            }
        }
    }

    fn in_code(&mut self) {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return };
        match first {
            '\n' | '\r' if !self.modes.is_empty() => self.abandon_strings(),
            c if is_space(c) => {
                let in_string = !self.modes.is_empty();
                let len = self.run(0, |c| is_space(c) && !(in_string && matches!(c, '\n' | '\r')));
                self.push(Lex::Space, len);
            }
            '#' => {
                let kind = if rest.starts_with("##") { Lex::Doc } else { Lex::Comment };
                let len = self.run(0, |c| c != '\n' && c != '\r');
                self.push(kind, len);
            }
            '"' => {
                self.modes.push(Mode::String(self.out.len()));
                self.push(Lex::StringOpen, 1);
            }
            'r' if rest.starts_with("r\"") => self.enclosed(2, '"', Lex::Raw, Lex::Unclosed),
            '`' => self.enclosed(1, '`', Lex::Backticks, Lex::Unclosed),
            '\'' => self.enclosed(1, '\'', Lex::SingleQuoted, Lex::Stray),
            c if is_word_start(c) => {
                let len = self.run(0, is_word);
                self.push(Lex::Word, len);
            }
            c if c.is_ascii_digit() => self.number(),
            '@' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                let len = self.run(1, |c| c.is_ascii_alphanumeric() || matches!(c, '-' | ':' | '+' | '.'));
                let len = rest[..len].trim_end_matches('.').len();
                self.push(Lex::Temporal, len);
            }
            _ => self.punctuation(first),
        }
    }

    /// A token from an opening of `open` bytes to the closing character on the same line; else `otherwise`, to the end of the line
    /// or, for a stray character, that alone.
    fn enclosed(&mut self, open: usize, close: char, kind: Lex, otherwise: Lex) {
        let inside = self.run(open, |c| c != close && c != '\n' && c != '\r');
        if self.rest()[inside..].starts_with(close) {
            self.push(kind, inside + close.len_utf8());
        } else {
            self.push(otherwise, if otherwise == Lex::Stray { open } else { inside });
        }
    }

    fn number(&mut self) {
        let rest = self.rest();
        let mut len = self.run(0, is_word);
        let fraction =
            |len: usize| rest[len..].starts_with('.') && rest[len + 1..].starts_with(|c: char| c.is_ascii_digit());
        if fraction(len) && rest[..len].chars().all(|c| c.is_ascii_digit() || c == '_') {
            len = self.run(len + 1, is_word);
        }
        let exponent = rest[..len].ends_with(['e', 'E'])
            && rest[..len - 1].chars().all(|c| c.is_ascii_digit() || "._".contains(c));
        if exponent && rest[len..].starts_with(['+', '-']) && rest[len + 1..].starts_with(|c: char| c.is_ascii_digit())
        {
            len = self.run(len + 1, is_word);
        }
        let behind =
            |len: usize| rest[len..].starts_with(|c: char| is_word(c) || matches!(c, '"' | '(' | '@' | '[' | '`'));
        if rest[len..].starts_with('%') && !behind(len + 1) {
            len += 1;
        }
        self.push(Lex::Number, len);
    }

    fn punctuation(&mut self, first: char) {
        let rest = self.rest();
        match first {
            '(' | '[' => self.push(Lex::Open, 1),
            ')' | ']' => self.push(Lex::Close, 1),
            '{' => {
                if let Some(Mode::Hole(depth)) = self.modes.last_mut() {
                    *depth += 1;
                }
                self.push(Lex::Open, 1);
            }
            '}' => match self.modes.last_mut() {
                Some(Mode::Hole(0)) => {
                    self.modes.pop();
                    self.push(Lex::HoleClose, 1);
                }
                Some(Mode::Hole(depth)) => {
                    *depth -= 1;
                    self.push(Lex::Close, 1);
                }
                _ => self.push(Lex::Close, 1),
            },
            _ if rest.starts_with("//") || rest.starts_with("--") => {
                let len = self.run(0, |c| c != '\n' && c != '\r');
                self.push(Lex::ForeignComment, len);
            }
            _ if rest.starts_with("/*") => {
                let len = rest.find("*/").map_or_else(|| self.run(0, |c| c != '\n' && c != '\r'), |i| i + 2);
                self.push(Lex::ForeignComment, len);
            }
            _ => match OPERATORS.iter().find(|op| rest.starts_with(**op)) {
                Some(op) => self.push(Lex::Operator, op.len()),
                None => self.push(Lex::Stray, first.len_utf8()),
            },
        }
    }
}

/// What the grammar skips between tokens.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n' | '\u{FEFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<(Lex, &str)> {
        lex(text).iter().filter(|t| t.kind != Lex::Space).map(|t| (t.kind, t.text(text))).collect()
    }

    #[test]
    fn nested_interpolation() {
        use Lex::*;
        assert_eq!(
            kinds(r#""a {f("x{y}")} {{b" z"#),
            [
                (StringOpen, "\""),
                (StringText, "a "),
                (HoleOpen, "{"),
                (Word, "f"),
                (Open, "("),
                (StringOpen, "\""),
                (StringText, "x"),
                (HoleOpen, "{"),
                (Word, "y"),
                (HoleClose, "}"),
                (StringClose, "\""),
                (Close, ")"),
                (HoleClose, "}"),
                (StringText, " "),
                (StringEscape, "{{"),
                (StringText, "b"),
                (StringClose, "\""),
                (Word, "z"),
            ]
        );
    }

    #[test]
    fn an_unclosed_string_ends_with_its_line() {
        assert_eq!(kinds("\"ab\nc")[0].0, Lex::StringUnclosed);
        assert_eq!(kinds("\"a {b\nc\"").iter().map(|t| t.0).collect::<Vec<_>>()[0], Lex::StringUnclosed);
        assert_eq!(kinds("\"ab\nc")[2], (Lex::Word, "c"));
    }

    #[test]
    fn numbers_keep_their_suffix() {
        for n in ["1_000", "1.5", "6e-3", "1.50d", "1%", "250ms", "5parsecs", "1.5e+10"] {
            assert_eq!(kinds(n), [(Lex::Number, n)]);
        }
        assert_eq!(kinds("10%3").len(), 3);
        assert_eq!(kinds("a[0].b").len(), 6);
    }
}
