//! Colours for text: what each byte is, judged by tokens alone, so that a broken program has colours too.
//! Must not need a program that parses.

use crate::lex::{Lex, Token, lex};
use crate::words;
use std::ops::Range;

/// What a stretch of text is, for colouring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// Blanks and line ends.
    Space,
    /// `# …`
    Comment,
    /// `## …`
    DocComment,
    /// A word of the language where it is one.
    Keyword,
    /// A type's name.
    Type,
    /// A function's name before its parentheses.
    Function,
    /// Any other name.
    Name,
    /// A number, duration, date or time.
    Number,
    /// `true`, `false`, `null`
    Constant,
    /// Text of a string, with its quotes.
    String,
    /// An escape in a string.
    Escape,
    /// The braces round a value in a string.
    Interpolation,
    /// An operator.
    Operator,
    /// Brackets and separators.
    Punctuation,
    /// What no program has.
    Error,
}

/// The text in stretches: every byte is in exactly one, in order.
pub fn highlight(text: &str) -> Vec<(Range<usize>, TokenKind)> {
    let tokens = lex(text);
    let words: Vec<usize> = (0..tokens.len()).filter(|&i| !tokens[i].is_trivia()).collect();
    let mut at = 0;
    let mut out = Vec::with_capacity(tokens.len());
    for (i, token) in tokens.iter().enumerate() {
        if words.get(at) == Some(&i) {
            at += 1;
        }
        let kind = match token.kind {
            Lex::Space => TokenKind::Space,
            Lex::Comment => TokenKind::Comment,
            Lex::Doc => TokenKind::DocComment,
            Lex::Word => Neighbours { text, tokens: &tokens, words: &words, at: at - 1 }.word(),
            Lex::Backticks => TokenKind::Name,
            Lex::Number | Lex::Temporal => TokenKind::Number,
            Lex::Raw | Lex::StringOpen | Lex::StringText | Lex::StringClose => TokenKind::String,
            Lex::StringEscape => TokenKind::Escape,
            Lex::HoleOpen | Lex::HoleClose => TokenKind::Interpolation,
            Lex::Operator if matches!(token.text(text), "," | ":" | ".") => TokenKind::Punctuation,
            Lex::Operator if matches!(token.text(text), ";" | "&&" | "||" | "!" | "<>" | "===" | "!==" | "::") => {
                TokenKind::Error
            }
            Lex::Operator => TokenKind::Operator,
            Lex::Open | Lex::Close => TokenKind::Punctuation,
            Lex::StringUnclosed | Lex::SingleQuoted | Lex::ForeignComment | Lex::Unclosed | Lex::Stray => {
                TokenKind::Error
            }
        };
        out.push((token.range(), kind));
    }
    out
}

/// A word and what stands next to it.
struct Neighbours<'a> {
    text: &'a str,
    tokens: &'a [Token],
    /// The tokens that are no blanks or comments.
    words: &'a [usize],
    at: usize,
}

impl Neighbours<'_> {
    /// A type's name behind what types stand behind.
    fn is_type(&self) -> bool {
        let (before, word, after) = (self.near(-1), self.near(0), self.near(1));
        let behind = match before {
            // `{ at: date }` may give a column's value; an operator behind the word says so.
            ":" => {
                !matches!(after, "%" | "+" | "-" | "*" | "/" | "==" | "!=" | "<=" | ">=" | "." | "[" | "(")
                    || (after == "(" && word == "decimal")
            }
            "," => matches!(after, ">" | "<" | "?") || (after == "(" && word == "decimal"),
            _ => matches!(before, "as" | "->" | "<"),
        };
        behind && words::TYPES.contains(&word)
    }

    /// What begins a declaration or a clause even behind a comma or an operator, by what is behind it.
    fn begins(&self) -> bool {
        let (before, word, after, further) = (self.near(-1), self.near(0), self.near(1), self.near(2));
        let starts = |text: &str, also: &[char]| {
            text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '`' || also.contains(&c))
        };
        match word {
            "use" | "test" => after == "\"",
            "source" | "table" | "flow" | "sink" => starts(after, &[]) && further == "=",
            "param" => starts(after, &[]) && further == ":",
            "where" => before == ")" && starts(after, &['(', '"', '@', '-', '[']),
            "at" => after.starts_with('@'),
            "by" | "late" | "per" | "within" => {
                before == "," && starts(after, &['"', '@', '(']) && !words::INFIX.contains(&after)
            }
            _ => false,
        }
    }

    /// The text of the `by`th token from the word on.
    fn near(&self, by: isize) -> &str {
        let token = self.at.checked_add_signed(by).and_then(|i| self.words.get(i));
        token.map_or("", |&i| self.tokens[i].text(self.text))
    }

    fn word(&self) -> TokenKind {
        let (before, word, after) = (self.near(-1), self.near(0), self.near(1));
        if before == "." {
            return TokenKind::Name;
        }
        if matches!(word, "true" | "false" | "null") {
            return TokenKind::Constant;
        }
        if self.is_type() {
            return TokenKind::Type;
        }
        // `name:` and `name =` give names, whatever the word.
        if matches!(after, ":" | "=") && before != "mode" {
            return TokenKind::Name;
        }
        if words::RESERVED.contains(&word) || self.begins() {
            return TokenKind::Keyword;
        }
        if before == "|>" || (word == "join" && words::STEPS.contains(&before)) {
            return if words::STEPS.contains(&word) { TokenKind::Keyword } else { TokenKind::Error };
        }
        if after == "(" && !matches!(word, "by" | "on" | "within" | "per" | "unique" | "where") {
            return TokenKind::Function;
        }
        let goes_on = matches!(
            after,
            "" | "." | "," | ")" | "]" | "==" | "!=" | "<" | "<=" | ">" | ">=" | "+" | "-" | "*" | "/" | "%" | "??"
        );
        let known =
            [words::DECLARATIONS, words::SOURCE_CLAUSES, words::SINK_CLAUSES, words::TEST_CLAUSES, words::CLAUSE_WORDS];
        let clause = word != "at" && known.iter().any(|list| list.contains(&word)) && !goes_on;
        let second = matches!(
            (before, word),
            ("mode", "append" | "overwrite" | "merge" | "scd2")
                | ("else", "warn" | "drop" | "quarantine" | "repair" | "fail")
                | ("malformed", "quarantine" | "fail")
                | ("ignore", "updates")
                | ("nulls", "first" | "last")
                | ("overwrite", "partition")
        );
        let alone = matches!(word, "evolve" | "changes" | "desc" | "asc");
        let operand_before = matches!(
            before,
            "(" | "[" | "," | "==" | "!=" | "<" | "<=" | ">" | ">=" | "+" | "-" | "*" | "/" | "=" | "??"
        );
        if second || (clause && (!operand_before || matches!(word, "window" | "match"))) || (alone && !operand_before) {
            return TokenKind::Keyword;
        }
        TokenKind::Name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<(&str, TokenKind)> {
        let stretches = highlight(text).into_iter().filter(|(_, k)| *k != TokenKind::Space);
        stretches.map(|(r, k)| (&text[r], k)).collect()
    }

    #[test]
    fn soft_words_are_names_where_they_name() {
        use TokenKind::*;
        let found = kinds("flow a = b |> where window > 1 |> select from, by = limit");
        let of = |word: &str| found.iter().find(|(w, _)| *w == word).map(|f| f.1);
        assert_eq!(of("flow"), Some(Keyword));
        assert_eq!(of("where"), Some(Keyword));
        for name in ["window", "from", "by", "limit"] {
            assert_eq!(of(name), Some(Name), "{name}");
        }
    }

    #[test]
    fn what_is_behind_a_word_tells() {
        use TokenKind::*;
        let text = "param p: date = @2026-01-01 flow f = s |> aggregate n = count() where x, by k |> select id, at, sink s = f -> console()";
        let found = kinds(text);
        let of = |word: &str| found.iter().find(|(w, _)| *w == word).map(|f| f.1);
        assert_eq!(of("date"), Some(Type));
        assert_eq!(of("at"), Some(Name));
        for keyword in ["where", "by", "sink"] {
            assert_eq!(of(keyword), Some(Keyword), "{keyword}");
        }
    }

    #[test]
    fn functions_types_and_strings() {
        use TokenKind::*;
        let found = kinds("fn f(x: int) -> string? = \"a{g(x)}\\n\"");
        let want = [
            ("fn", Keyword),
            ("f", Function),
            ("(", Punctuation),
            ("x", Name),
            (":", Punctuation),
            ("int", Type),
            (")", Punctuation),
        ];
        assert_eq!(found[..7], want);
        assert!(
            found.contains(&("{", Interpolation))
                && found.contains(&("\\n", Escape))
                && found.contains(&("g", Function))
        );
    }
}
