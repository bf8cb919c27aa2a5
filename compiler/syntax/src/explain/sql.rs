//! What people who know SQL type first.

use super::Site;
use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::span::Span;

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
        None
    }

    /// A conversion as other languages write it.
    pub(super) fn foreign_cast(&self, span: Span) -> Diagnostic {
        Diagnostic::error(codes::FOREIGN_CAST, span, "a value is converted with `as`")
            .label("SQL's form")
            .help("write `x as integer`, or `x as integer?` for null where it fails")
    }
}
