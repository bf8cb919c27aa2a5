//! What people who know SQL type first.

use super::Site;
use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::grammar::Rule;
use crate::lex::Lex;
use crate::span::Span;
use crate::words;

impl Site<'_> {
    /// `case when`, `select *`.
    pub(super) fn sql(&self) -> Option<Diagnostic> {
        let (word, before) = (self.word(self.at).to_lowercase(), self.before().to_lowercase());
        if word == "when" && before == "case" || (word == "case" && self.word(self.at + 1).eq_ignore_ascii_case("when"))
        {
            let span = self.span(if word == "when" { self.at - 1 } else { self.at });
            return Some(
                Diagnostic::error(codes::CASE_WHEN, span, "there is no `case when`")
                    .label("SQL's form")
                    .help("write `if CONDITION then VALUE else VALUE`, or `match x { 1 => \"one\", _ => \"other\" }`"),
            );
        }
        if word == "*" && matches!(before.as_str(), "select" | "(" | ",") {
            let help = match before.as_str() {
                "(" => "write `count()`",
                _ => "leave the step out: all columns go on; `extend a = …` adds one, `drop a` takes one away",
            };
            return Some(
                Diagnostic::error(codes::STAR, self.span(self.at), "there is no `*` for all columns")
                    .label("SQL's form")
                    .help(help),
            );
        }
        self.list_in_parentheses().or_else(|| self.other_form(&word, &before))
    }

    /// `x in (1, 2)`, and `if(a, b, c)`
    fn list_in_parentheses(&self) -> Option<Diagnostic> {
        let mut depth = 0usize;
        let open = (self.from..self.at.min(self.to)).rev().find(|&i| match self.word(i) {
            ")" | "]" | "}" => {
                depth += 1;
                false
            }
            "(" | "[" | "{" if depth > 0 => {
                depth -= 1;
                false
            }
            word => word == "(",
        })?;
        if self.word(self.at) != "," || open == 0 {
            return None;
        }
        if self.word(open - 1) == "if" {
            let help = "write `if CONDITION then VALUE else VALUE`";
            return Some(self.form(open - 1, "`if` is no function", "Spark's form", help));
        }
        if self.word(open - 1) != "in" {
            return None;
        }
        let close = (self.at..self.to).find(|&i| self.word(i) == ")");
        let items = close.map(|close| {
            (open + 1..close)
                .fold(String::new(), |text, i| text + if i > open + 1 { self.blank(i) } else { "" } + self.word(i))
        });
        let help =
            items.filter(|text| text.len() <= 60).map_or("write `in [1, 2]`".into(), |t| format!("write `in [{t}]`"));
        Some(self.form(open, "a list is in square brackets", "SQL's form", help))
    }

    /// A space where there is anything between a token and the one before.
    fn blank(&self, i: usize) -> &'static str {
        if self.parts.gap_before(i).is_empty() { "" } else { " " }
    }

    /// Words of SQL that are superfluous here, or are written otherwise.
    fn other_form(&self, word: &str, before: &str) -> Option<Diagnostic> {
        let step = self.word(self.from + 1);
        let next = self.word(self.at + 1);
        let name = self.word(self.at);
        let spark = matches!(self.parts.kind(self.at), Some(Lex::StringOpen));
        Some(match (step, before, word) {
            ("aggregate", _, "group") if next.eq_ignore_ascii_case("by") => self.form(
                self.at,
                "`by` alone names the keys",
                "not needed",
                format!("write `by {}`", self.word(self.at + 2)),
            ),
            ("aggregate", _, "having") => self.form(
                self.at,
                "there is no `having`: the groups are kept by a step of their own",
                "SQL's form",
                "write `|> where CONDITION` behind the `aggregate`, with the names of its columns",
            ),
            (_, _, "order") if next.eq_ignore_ascii_case("by") && self.expects(Rule::pipe) => {
                self.form(self.at, "rows are sorted by a step of its own", "SQL's form", "write `|> sort column desc`")
            }
            ("sort", "by", _) if self.word(self.at.checked_sub(2)?) == "sort" && self.begins_value() => {
                self.form(self.at - 1, "`sort` needs no `by`", "not needed", format!("write `sort {name}`"))
            }
            ("sort" | "top", _, "descending") => self.form(self.at, "the word is `desc`", "not known", "write `desc`"),
            ("sort" | "top", _, "ascending") => {
                self.form(self.at, "the word is `asc`", "not known", "write `asc`, or nothing")
            }
            (_, "left" | "right" | "full", "outer") => {
                self.form(self.at, "an outer join has no `outer`", "not needed", format!("write `{before} join`"))
            }
            ("union", "all", _) if self.begins_value() => {
                self.form(self.at - 1, "`union` keeps all rows", "not needed", format!("write `union {name}`"))
            }
            ("union", _, "(") => self.form(
                self.at,
                "a `union` names flows",
                "steps cannot stand here",
                "give it a name, `flow other = …`, and write `union other`",
            ),
            (_, "distinct", _) if self.begins_value() && self.word(self.at.checked_sub(2)?) == "(" => {
                let help = format!("write `count_distinct({name})`");
                self.form(self.at - 1, "different values have an aggregate of their own", "SQL's form", help)
            }
            (_, "interval", _) if spark || self.parts.kind(self.at) == Some(Lex::Number) => self.form(
                self.at - 1,
                "a duration is a number with its unit",
                "SQL's form",
                "write `5m`; the units are `ms`, `s`, `m`, `h` and `d`",
            ),
            (_, "date" | "timestamp", _) if spark => self.form(
                self.at - 1,
                "a date is written with `@`",
                "SQL's form",
                "write `@2026-11-22`, and a timestamp `@2026-11-22T10:00:00Z`",
            ),
            (_, "from", _) if self.word(0) == "flow" && self.at == 4 && self.begins_value() => self.form(
                self.at - 1,
                "a flow begins with the name of what it reads",
                "not needed",
                format!("write `= {name}`"),
            ),
            _ => return None,
        })
    }

    fn begins_value(&self) -> bool {
        matches!(self.parts.kind(self.at), Some(Lex::Word | Lex::Backticks))
            && !words::RESERVED.contains(&self.word(self.at))
    }

    fn form(&self, at: usize, message: &str, label: &str, help: impl Into<crate::diagnostic::Help>) -> Diagnostic {
        Diagnostic::error(codes::SQL_FORM, self.span(at), message).label(label).help(help)
    }

    /// A conversion as other languages write it.
    pub(super) fn foreign_cast(&self, span: Span) -> Diagnostic {
        Diagnostic::error(codes::FOREIGN_CAST, span, "a value is converted with `as`")
            .label("SQL's form")
            .help("write `x as integer`, or `x as integer?` for null where it fails")
    }
}
