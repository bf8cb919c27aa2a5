//! Why a declaration does not parse, in the words of the language. Pest says where it gave up and which rules it tried; the tokens
//! there say what was meant. Must not change the text nor know what is kept of it.

mod expected;
mod sql;

use crate::build::too_deep;
use crate::codes;
use crate::diagnostic::{Diagnostic, Fix, Help, did_you_mean};
use crate::grammar::Rule;
use crate::lex::{Lex, Token};
use crate::recover::Parts;
use crate::span::{FileId, Span};
use crate::words;

/// Why a declaration was not parsed.
pub(crate) enum Failure {
    /// It was not tried: this token is nested too deep.
    TooDeep(Token),
    /// The parser got as far as `at` and would have taken one of `expected`.
    Unexpected {
        /// The byte.
        at: usize,
        /// The rules.
        expected: Vec<Rule>,
    },
}

/// What is known at the place of a mistake.
struct Site<'p> {
    file: FileId,
    parts: &'p Parts<'p>,
    /// The token at the place.
    at: usize,
    /// The part with it: its first token and the one behind its last.
    from: usize,
    to: usize,
    expected: &'p [Rule],
}

/// The one diagnostic for a failure.
pub(crate) fn explain(file: FileId, parts: &Parts<'_>, failure: &Failure) -> Diagnostic {
    match failure {
        Failure::TooDeep(token) => too_deep(Span::new(file, token.start, token.end)),
        Failure::Unexpected { at, expected } => {
            let at = parts.index(*at);
            let (from, to) = parts.around(at);
            let site = Site { file, parts, at, from, to, expected };
            site.lexical()
                .or_else(|| site.foreign_operator())
                .or_else(|| site.declaration())
                .or_else(|| site.sql())
                .or_else(|| site.step())
                .or_else(|| site.clause())
                .or_else(|| site.bracket())
                .or_else(|| site.equals())
                .or_else(|| site.pipe())
                .or_else(|| site.conditional())
                .or_else(|| site.number())
                .or_else(|| site.word_of_clause())
                .or_else(|| site.reserved())
                .or_else(|| site.method())
                .or_else(|| site.comma())
                .unwrap_or_else(|| site.unexpected())
        }
    }
}

impl<'p> Site<'p> {
    fn word(&self, i: usize) -> &'p str {
        self.parts.word(i)
    }

    fn before(&self) -> &'p str {
        self.at.checked_sub(1).map_or("", |i| self.word(i))
    }

    fn span(&self, i: usize) -> Span {
        match (self.parts.tokens.get(i), self.parts.tokens.last()) {
            (Some(t), _) => Span::new(self.file, t.start, t.end),
            (None, Some(last)) => Span::new(self.file, last.end, last.end),
            (None, None) => Span::new(self.file, 0, 0),
        }
    }

    fn expects(&self, rule: Rule) -> bool {
        self.expected.contains(&rule)
    }

    /// Tokens that no program has.
    fn lexical(&self) -> Option<Diagnostic> {
        let bad = (0..self.parts.tokens.len().min(self.at + 1)).find(|&i| {
            matches!(
                self.parts.tokens[i].kind,
                Lex::StringUnclosed | Lex::SingleQuoted | Lex::ForeignComment | Lex::Unclosed | Lex::Stray
            )
        })?;
        let (span, word) = (self.span(bad), self.word(bad));
        Some(match self.parts.tokens[bad].kind {
            Lex::StringUnclosed => {
                let hole = (bad + 1..self.parts.tokens.len())
                    .take_while(|&i| !self.parts.gap_before(i).contains(['\n', '\r']))
                    .any(|i| {
                        let goes_on =
                            i + 1 < self.parts.tokens.len() && !self.parts.gap_before(i + 1).contains(['\n', '\r']);
                        self.parts.kind(i) == Some(Lex::HoleOpen) && goes_on
                    });
                Diagnostic::error(codes::UNCLOSED_STRING, span, "this string has no end on its line")
                    .label("begins here")
                    .help(if hole {
                        "write `}` where the value ends and `\"` where the string ends; `{{` is a brace in the text"
                    } else {
                        "write `\"` where it ends; `\\n` is a line end in the text"
                    })
            }
            Lex::Unclosed => {
                let end = if word.starts_with('`') { "`" } else { "\"" };
                Diagnostic::error(codes::UNCLOSED_STRING, span, format!("no `{end}` ends this on its line"))
                    .label("begins here")
                    .help(format!("write `{end}` where it ends"))
            }
            Lex::SingleQuoted => {
                let text = word.trim_matches('\'').replace('"', "\\\"");
                Diagnostic::error(codes::SINGLE_QUOTES, span, "strings are in double quotes")
                    .label("single quotes")
                    .help(Help::instead(
                        format!("write `\"{text}\"`; a name that is no word stands in backticks"),
                        format!("\"{text}\""),
                    ))
            }
            Lex::ForeignComment => {
                let text = word.trim_start_matches(['/', '-', '*']).trim_end_matches(['*', '/']).trim();
                let span = Span { end: span.start + 2, ..span };
                Diagnostic::error(
                    codes::FOREIGN_COMMENT,
                    span,
                    format!("a comment begins with `#`, not with `{}`", &word[..2]),
                )
                .label("no comment here")
                .help(Help::instead(format!("write `# {text}`"), "#"))
            }
            _ => {
                let c = word.chars().next().unwrap_or(' ');
                let help = match c {
                    '\u{a0}' | '\u{2007}' | '\u{202f}' | '\u{200b}' => {
                        "this blank is no plain space; type a space instead"
                    }
                    '“' | '”' | '„' | '‘' | '’' | '«' | '»' => "type plain double quotes, `\"…\"`",
                    '–' | '—' | '−' => "type a plain minus, `-`",
                    '\'' => "strings are in double quotes, `\"…\"`",
                    '@' => "a date is written `@2026-11-22`, a timestamp `@2026-11-22T10:00:00Z`",
                    '$' => "parameters and columns stand by their plain names",
                    c if c.is_alphanumeric() => "put a name with this letter in backticks",
                    _ => "take it out",
                };
                Diagnostic::error(
                    codes::STRAY_CHARACTER,
                    span,
                    format!("the character `{}` means nothing here", c.escape_debug()),
                )
                .label("cannot stand here")
                .help(help)
            }
        })
    }

    /// Operators that other languages have.
    fn foreign_operator(&self) -> Option<Diagnostic> {
        let (span, word) = (self.span(self.at), self.word(self.at));
        let lower = word.to_ascii_lowercase();
        if self.parts.kind(self.at) == Some(Lex::Word) && lower != word && words::RESERVED.contains(&lower.as_str()) {
            return Some(
                Diagnostic::error(codes::FOREIGN_OPERATOR, span, "the words of the language are in lower case")
                    .label("in capitals")
                    .help(Help::instead(format!("write `{lower}`"), lower)),
            );
        }
        if self.parts.kind(self.at) != Some(Lex::Operator) {
            return None;
        }
        let instead = match word {
            "&&" | "&" => "and",
            "||" => "or",
            "!" => "not",
            "<>" | "!==" => "!=",
            "===" | "<=>" => "==",
            ":=" => "=",
            "=~" => "matches",
            "!~" => "not matches",
            "|" if self.word(self.at + 1) != ">" && !self.expects(Rule::pipe) => "or",
            "|" => "|>",
            "**" | "^" => "power(a, b)",
            "::" => return Some(self.foreign_cast(span)),
            ";" => {
                return Some(
                    Diagnostic::error(codes::SEMICOLON, span, "nothing ends with a semicolon")
                        .label("not needed")
                        .help("take it out; elements of lists are separated by commas")
                        .fix(Fix::replace("Take the semicolon out", span, "")),
                );
            }
            _ => return None,
        };
        Some(
            Diagnostic::error(codes::FOREIGN_OPERATOR, span, format!("there is no operator `{word}`"))
                .label(format!("`{instead}` is meant"))
                .help(Help::instead(format!("write `{instead}`"), instead)),
        )
    }

    /// A declaration that begins with no declaration's word.
    fn declaration(&self) -> Option<Diagnostic> {
        let first = self.word(0);
        if self.at != 0 || words::DECLARATIONS.contains(&first) {
            return None;
        }
        let span = self.span(0);
        let error = Diagnostic::error(codes::UNKNOWN_DECLARATION, span, format!("`{first}` begins no declaration"));
        let help = match first.to_lowercase().as_str() {
            "import" | "include" => "write `use \"file.flow\"` for the functions of another file".into(),
            "let" | "const" | "var" | "set" | "declare" => {
                "write `param name: type = value` for a value, `flow name = …` for rows".into()
            }
            "def" | "function" | "func" => "write `fn name(a: type) -> type = value`".into(),
            "stream" | "input" => "write `source name = delta(\"…\")`".into(),
            "output" | "insert" | "write" | "target" => "write `sink name = flow -> delta(\"…\")`".into(),
            "select" | "with" | "from" | "create" => "write `flow name = source |> where … |> select …`".into(),
            _ => match did_you_mean(first, words::DECLARATIONS.iter().copied()) {
                Some(near) => Help::did_you_mean(near),
                None => format!("a declaration begins with {}", list(words::DECLARATIONS)).into(),
            },
        };
        Some(error.label("no declaration's word").help(help))
    }

    /// A word behind `|>` that is no step.
    fn step(&self) -> Option<Diagnostic> {
        if self.before() != "|>" || !self.expects(Rule::step) {
            return None;
        }
        let (span, word) = (self.span(self.at), self.word(self.at));
        if self.at >= self.parts.tokens.len() || self.parts.kind(self.at) != Some(Lex::Word) {
            return None;
        }
        let help = match word.to_lowercase().as_str() {
            "filter" | "having" => "write `where CONDITION`".into(),
            "map" | "with" | "let" | "mutate" | "derive" | "set" | "withcolumn" | "assign" => {
                "write `extend column = value`".into()
            }
            "group" | "groupby" | "summarize" | "summarise" | "agg" => "write `aggregate n = count() by key`".into(),
            "order" | "orderby" => "write `sort column desc`".into(),
            "distinct" => "write `aggregate by a, b`, with the columns of which each combination is kept".into(),
            "deduplicate" | "unique" => "write `dedup by key within 10m`".into(),
            "left_join" | "leftjoin" => "write `left join X on CONDITION`".into(),
            "inner_join" | "innerjoin" => "write `join X on CONDITION`".into(),
            "take" | "head" => "write `limit N`".into(),
            "inner" | "cross" | "outer" | "lookup" => {
                "write `join X on CONDITION` or `left join X on CONDITION`".into()
            }
            "unnest" | "flatten" | "lateral" => "write `explode array as element`".into(),
            "check" | "validate" | "assert" | "ensure" => "write `expect { name: CONDITION else quarantine }`".into(),
            "project" | "keep" => "write `select a, b`".into(),
            "window" => "write `aggregate … by key, window tumble(1m)`".into(),
            _ => match did_you_mean(word, words::STEPS.iter().copied()) {
                Some(near) => Help::did_you_mean(near),
                None => format!("a step begins with {}", list(words::STEPS)).into(),
            },
        };
        Some(
            Diagnostic::error(codes::UNKNOWN_STEP, span, format!("there is no step `{word}`"))
                .label("no step")
                .help(help),
        )
    }

    /// A word in a block that is none of its clauses.
    fn clause(&self) -> Option<Diagnostic> {
        let (rule, known, what) = if self.expects(Rule::source_clause) {
            (Rule::source_clause, words::SOURCE_CLAUSES, if self.word(0) == "table" { "table" } else { "source" })
        } else if self.expects(Rule::sink_clause) {
            (Rule::sink_clause, words::SINK_CLAUSES, "sink")
        } else if self.expects(Rule::test_clause) {
            (Rule::test_clause, words::TEST_CLAUSES, "test")
        } else {
            return None;
        };
        let word = self.word(self.at);
        if self.parts.kind(self.at) != Some(Lex::Word)
            || known.contains(&word)
            || !self.expects(rule)
            || self.word(0) == word
        {
            return None;
        }
        let near = did_you_mean(word, known.iter().copied());
        let help = match (word, what) {
            ("expect", "sink") => {
                "an `expect` is a step of the flow; the sink's own check is `constraint name: CONDITION`".into()
            }
            (_, "sink") if word.to_lowercase().starts_with("partition") => "write `partition by column`".into(),
            ("from" | "since", "source") => "write `start version N` or `start @2026-11-22`".into(),
            _ => match near {
                Some(near) => Help::did_you_mean(near),
                None => format!("a {what} has the clauses {}", list(known)).into(),
            },
        };
        let error =
            Diagnostic::error(codes::UNKNOWN_CLAUSE, self.span(self.at), format!("a {what} has no clause `{word}`"));
        Some(error.label("no clause").help(help))
    }

    /// Brackets that do not match within the part.
    fn bracket(&self) -> Option<Diagnostic> {
        let mut open: Vec<usize> = Vec::new();
        // A bracket that is closed further left than it was opened: the closing one was meant for another.
        let mut suspect = None;
        for i in self.from..self.to {
            match self.parts.kind(i) {
                Some(Lex::Open) => open.push(i),
                Some(Lex::Close) => {
                    let close = self.word(i);
                    match open.pop() {
                        Some(o) if closing(self.word(o)) == close => {
                            let shifted = self.parts.first_on_line(i) && self.parts.indent(i) < self.parts.indent(o);
                            suspect = suspect.or(shifted.then_some((o, i)));
                        }
                        // The bracket may close what is open further out; then the inner one lacks its end.
                        Some(o) if open.iter().any(|&outer| closing(self.word(outer)) == close) => {
                            return Some(self.unclosed(o, i));
                        }
                        Some(o) => {
                            return Some(self.stray(i).also(
                                self.span(o),
                                format!("`{}` asks for `{}`", self.word(o), closing(self.word(o))),
                            ));
                        }
                        None if i <= self.at => return Some(self.stray(i)),
                        None => return None,
                    }
                }
                _ => {}
            }
        }
        let &last = open.last()?;
        Some(suspect.map_or_else(|| self.unclosed(last, self.to), |(open, end)| self.unclosed(open, end)))
    }

    fn unclosed(&self, open: usize, end: usize) -> Diagnostic {
        let bracket = self.word(open);
        let last = self.span(end.saturating_sub(1).max(open));
        let error =
            Diagnostic::error(codes::UNCLOSED_BRACKET, self.span(open), format!("this `{bracket}` is never closed"))
                .label("opened here")
                .help(format!("write `{}` where it ends", closing(bracket)));
        if end > open + 1 {
            error
                .also(Span { start: last.end, ..last }, format!("`{}` is missing at the latest here", closing(bracket)))
        } else {
            error
        }
    }

    fn stray(&self, i: usize) -> Diagnostic {
        let close = self.word(i);
        Diagnostic::error(codes::STRAY_BRACKET, self.span(i), format!("this `{close}` closes nothing"))
            .label("no bracket of this kind is open here")
            .help("take it out, or write the bracket that it closes")
    }

    /// `=` for `==`.
    fn equals(&self) -> Option<Diagnostic> {
        if self.word(self.at) != "=" {
            return None;
        }
        let span = self.span(self.at);
        let step = self.word(self.from + 1);
        let dotted = self.at >= 2 && self.word(self.at - 2) == ".";
        if dotted
            && matches!(step, "extend" | "select" | "aggregate")
            && self.at >= 4
            && matches!(self.word(self.at - 4), "," | "extend" | "select" | "aggregate")
        {
            return Some(
                Diagnostic::error(codes::UNEXPECTED, span, "a new column has a plain name, without a dot")
                    .label("assigns to a field")
                    .help("give the column a name of its own; to change a struct, write it anew: `a = { b: 1 }`"),
            );
        }
        if self.parts.kind(self.at.checked_sub(1)?) == Some(Lex::StringClose)
            && matches!(step, "extend" | "select" | "aggregate" | "rename")
        {
            return Some(
                Diagnostic::error(codes::UNEXPECTED, span, "a column's name is not in quotes")
                    .label("gives a name to a value")
                    .help("write the name as it is; one that is no plain word stands in backticks"),
            );
        }
        let operand = matches!(
            self.parts.kind(self.at.checked_sub(1)?),
            Some(Lex::Word | Lex::Backticks | Lex::Number | Lex::Temporal | Lex::Raw | Lex::StringClose | Lex::Close)
        );
        if !operand || !self.expects_operator() {
            return None;
        }
        Some(
            Diagnostic::error(codes::ASSIGN_FOR_EQUAL, span, "`=` gives a name to a value; it does not compare")
                .label("compares with `==`")
                .help(Help::instead("write `==`", "==")),
        )
    }

    fn expects_operator(&self) -> bool {
        self.expected.iter().any(|r| matches!(r, Rule::compare_op | Rule::compare_tail | Rule::op_add | Rule::op_equal))
    }

    /// A step's word where its `|>` is missing.
    fn pipe(&self) -> Option<Diagnostic> {
        let word = self.word(self.at);
        let own_line = self.parts.gap_before(self.at).contains(['\n', '\r']);
        let expected = self.expects(Rule::pipe) || (own_line && self.before() != "|>" && self.before() != ",");
        if self.word(0) != "flow" || self.at < 4 || !expected || !words::STEPS.contains(&word) || self.inside_brackets()
        {
            return None;
        }
        Some(
            Diagnostic::error(
                codes::MISSING_PIPE,
                self.span(self.at),
                format!("the step `{word}` needs `|>` before it"),
            )
            .label("a step begins here")
            .help(format!("write `|> {word} …`"))
            .fix(Fix::insert("Write `|>` before it", self.span(self.at), "|> ")),
        )
    }

    /// Whether a bracket opened in this part is open at the place.
    fn inside_brackets(&self) -> bool {
        let count = |kind| (self.from..self.at.min(self.to)).filter(|&i| self.parts.kind(i) == Some(kind)).count();
        count(Lex::Open) > count(Lex::Close)
    }

    /// `if` without `then` or `else`.
    fn conditional(&self) -> Option<Diagnostic> {
        let missing = if self.expects(Rule::kw_else) && self.nearest_if().is_some() && !self.only_rule_else() {
            "else"
        } else if self.expects(Rule::kw_then) {
            "then"
        } else {
            return None;
        };
        let start = self.nearest_if()?;
        let error = Diagnostic::error(codes::INCOMPLETE_IF, self.span(start), format!("this `if` has no `{missing}`"))
            .also(self.span(self.at), format!("`{missing}` is missing here"))
            .help("write `if CONDITION then VALUE else VALUE`; where there is nothing else to give, `else null`");
        Some(error.label("every `if` has a value for both cases"))
    }

    /// The last `if` before the place that has not got its `else`.
    fn nearest_if(&self) -> Option<usize> {
        let mut elses = 0usize;
        for i in (self.from..self.at.min(self.to)).rev() {
            match self.word(i) {
                "else" if self.word(i + 1) != "if" => elses += 1,
                "if" if self.parts.kind(i) == Some(Lex::Word) => {
                    if elses == 0 {
                        return Some(i);
                    }
                    elses = elses.saturating_sub(usize::from(i == 0 || self.word(i - 1) != "else"));
                }
                _ => {}
            }
        }
        None
    }

    /// Whether the `else` that could follow is that of a rule's policy.
    fn only_rule_else(&self) -> bool {
        self.expects(Rule::kw_else) && self.nearest_if().is_none()
    }

    /// Letters behind a number.
    fn number(&self) -> Option<Diagnostic> {
        if self.parts.kind(self.at) != Some(Lex::Number) {
            return None;
        }
        let word = self.word(self.at);
        let digits = word.find(|c: char| !c.is_ascii_digit() && c != '_' && c != '.')?;
        let (number, unit) = word.split_at(digits);
        let help = match unit.to_lowercase().as_str() {
            "" | "%" => return None,
            _ if number.contains('.') && matches!(unit, "us" | "ms" | "s" | "m" | "h") => "a duration is whole: write a smaller unit, `1500ms` for 1.5 s".to_string(),
            "min" | "mins" | "minute" | "minutes" => format!("write `{number}m`"),
            "sec" | "secs" | "second" | "seconds" => format!("write `{number}s`"),
            "hr" | "hrs" | "hour" | "hours" => format!("write `{number}h`"),
            "day" | "days" => format!("write `{number}d`"),
            "w" | "week" | "weeks" => "write the days: a week is `7d`".to_string(),
            "l" | "f" | "u" => format!("write `{number}`; the type follows from its use, or from `as`"),
            "k" | "mb" | "kb" | "gb" => "write the number out".to_string(),
            unit if unit.starts_with('x') || unit.starts_with('b') => "write the number in decimal".to_string(),
            _ => "units are `us`, `ms`, `s`, `m`, `h`, `d`; a decimal is `1.50d`; a name that begins with a digit stands in backticks".to_string(),
        };
        Some(
            Diagnostic::error(
                codes::BAD_UNIT,
                self.span(self.at),
                format!("`{unit}` is no unit that a number can have"),
            )
            .label("a number with letters behind it")
            .help(help),
        )
    }

    /// The second word of a clause: modes, policies.
    fn word_of_clause(&self) -> Option<Diagnostic> {
        let word = self.word(self.at);
        let (what, known) = match self.before() {
            "mode" if self.expects(Rule::sink_mode) => ("mode", words::MODES),
            "else" if self.expects(Rule::policy) => ("policy", words::POLICIES),
            "malformed" if self.expects(Rule::malformed_policy) || self.expects(Rule::kw_quarantine) => {
                ("policy for malformed rows", &["quarantine", "fail"][..])
            }
            "nulls" => ("place for nulls", &["first", "last"][..]),
            _ => return None,
        };
        if self.parts.kind(self.at) != Some(Lex::Word) {
            return None;
        }
        let help = match (word, did_you_mean(word, known.iter().copied())) {
            ("upsert" | "update", _) if what == "mode" => "write `mode merge on key`".into(),
            ("ignore" | "skip" | "remove" | "delete", _) if what == "policy" => "write `else drop`".into(),
            ("reject" | "rejected", _) if what == "policy" => "write `else quarantine`".into(),
            ("error" | "stop" | "abort", _) if what == "policy" => "write `else fail`".into(),
            (_, Some(near)) => Help::did_you_mean(near),
            _ => format!("there are {}", list(known)).into(),
        };
        Some(
            Diagnostic::error(codes::UNKNOWN_WORD, self.span(self.at), format!("there is no {what} `{word}`"))
                .label("unknown")
                .help(help),
        )
    }

    /// A reserved word as a name.
    fn reserved(&self) -> Option<Diagnostic> {
        let word = self.word(self.at);
        let (asks, end) = (self.expects_value(), self.parts.kind(self.at) != Some(Lex::Word));
        if end || !asks || !words::RESERVED.contains(&word) {
            return None;
        }
        // `a and and b`: a word too many, not a name.
        if words::INFIX.contains(&self.before()) && words::INFIX.contains(&word) {
            return None;
        }
        Some(
            Diagnostic::error(
                codes::RESERVED_NAME,
                self.span(self.at),
                format!("`{word}` is a word of the language, not a name"),
            )
            .label("a value is expected here")
            .help(format!("a column of this name stands in backticks: `` `{word}` ``")),
        )
    }

    fn expects_value(&self) -> bool {
        use Rule::*;
        self.expected.iter().any(|r| {
            matches!(
                r,
                expr | operand
                    | comparison
                    | assignment
                    | assignments
                    | reference
                    | plain_name
                    | sort_key
                    | sort_keys
                    | arg
            )
        })
    }

    /// `x.f(y)`
    fn method(&self) -> Option<Diagnostic> {
        let (name, dot) = (self.at.checked_sub(1)?, self.at.checked_sub(2)?);
        if self.word(self.at) != "(" || self.word(dot) != "." || self.parts.kind(name) != Some(Lex::Word) {
            return None;
        }
        let (function, value) = (self.word(name), dot.checked_sub(1).map_or("x", |i| self.word(i)));
        Some(
            Diagnostic::error(codes::METHOD_CALL, self.span(name), "functions are not called behind a dot")
                .label("a function")
                .help(format!("write `{function}({value}, …)`")),
        )
    }

    /// Two elements without a comma between.
    fn comma(&self) -> Option<Diagnostic> {
        let begins = matches!(
            self.parts.kind(self.at)?,
            Lex::Word | Lex::Backticks | Lex::Number | Lex::Temporal | Lex::Raw | Lex::StringOpen
        ) || matches!(self.word(self.at), "{" | "[");
        let element = matches!(self.word(self.at + 1), "=" | ":" | "," | "}" | "]" | ")" | "|>" | "")
            || self.word(self.at) == "{";
        // Directly behind the step's word, or behind a comma, no other comma is missing.
        let first = self.at == self.from + 2 && self.word(self.from) == "|>";
        if first
            || self.before() == ","
            || !self.expects(Rule::comma)
            || !begins
            || !element
            || words::RESERVED.contains(&self.word(self.at))
        {
            return None;
        }
        let before = self.span(self.at - 1);
        Some(
            Diagnostic::error(
                codes::MISSING_COMMA,
                Span { start: before.end, ..before },
                "a comma is missing between two elements",
            )
            .label("write `,` here")
            .also(self.span(self.at), "the next element")
            .help("elements of a list are separated by commas; one behind the last is welcome")
            .fix(Fix::append("Write a comma", before, ",")),
        )
    }
}

fn closing(open: &str) -> &'static str {
    match open {
        "(" => ")",
        "[" => "]",
        _ => "}",
    }
}

/// `a`, `b` and `c`
fn list(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|w| format!("`{w}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => String::new(),
    }
}
