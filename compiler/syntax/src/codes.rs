//! The codes of this crate's diagnostics: one for each kind of mistake. Codes are never reused and never change their meaning.

/// A token that cannot stand where it stands.
pub const UNEXPECTED: &str = "E0101";
/// A line begins like a declaration, but not with one of the eight words.
pub const UNKNOWN_DECLARATION: &str = "E0102";
/// Behind `|>` stands a word that is no step.
pub const UNKNOWN_STEP: &str = "E0103";
/// A step without `|>` before it.
pub const MISSING_PIPE: &str = "E0104";
/// `=` where a comparison is meant.
pub const ASSIGN_FOR_EQUAL: &str = "E0105";
/// An operator of another language.
pub const FOREIGN_OPERATOR: &str = "E0106";
/// An opening bracket without its closing one.
pub const UNCLOSED_BRACKET: &str = "E0107";
/// A closing bracket that closes nothing, or the wrong thing.
pub const STRAY_BRACKET: &str = "E0108";
/// A string, raw string or name in backticks without its end.
pub const UNCLOSED_STRING: &str = "E0109";
/// A string in single quotes.
pub const SINGLE_QUOTES: &str = "E0110";
/// A comment of another language.
pub const FOREIGN_COMMENT: &str = "E0111";
/// A character that means nothing here.
pub const STRAY_CHARACTER: &str = "E0112";
/// `case when … end`
pub const CASE_WHEN: &str = "E0113";
/// `select *`, `count(*)`
pub const STAR: &str = "E0114";
/// `if` without `then` or `else`.
pub const INCOMPLETE_IF: &str = "E0115";
/// A word that is no clause of this block.
pub const UNKNOWN_CLAUSE: &str = "E0116";
/// A number that no type holds.
pub const NUMBER_TOO_LARGE: &str = "E0117";
/// A decimal with more than 38 digits.
pub const DECIMAL_TOO_LONG: &str = "E0118";
/// A date or timestamp that does not exist or is not written as one.
pub const BAD_TEMPORAL: &str = "E0119";
/// An escape that strings do not have.
pub const BAD_ESCAPE: &str = "E0120";
/// A number with letters behind it that are no unit of time.
pub const BAD_UNIT: &str = "E0121";
/// Brackets or operators nested too deep.
pub const TOO_DEEP: &str = "E0122";
/// A reserved word where a name must stand.
pub const RESERVED_NAME: &str = "E0123";
/// A comma is missing between two elements.
pub const MISSING_COMMA: &str = "E0124";
/// A `}` alone in a string.
pub const LONE_BRACE: &str = "E0125";
/// A word that is no policy, mode or unit of its clause.
pub const UNKNOWN_WORD: &str = "E0126";
/// Comparisons in a chain: `a < b < c`.
pub const CHAINED_COMPARISON: &str = "E0127";
/// `{…}` in a string that must be plain.
pub const PLAIN_STRING: &str = "E0128";
/// A clause that stands twice.
pub const REPEATED_CLAUSE: &str = "E0129";
/// A semicolon.
pub const SEMICOLON: &str = "E0130";
/// `cast(x as T)`, `x::T`
pub const FOREIGN_CAST: &str = "E0131";
/// A call behind a dot: `x.f()`.
pub const METHOD_CALL: &str = "E0132";
/// A declaration, step or clause that ends too early.
pub const INCOMPLETE: &str = "E0133";
/// The text is too large to have places in it.
pub const FILE_TOO_LARGE: &str = "E0134";
/// `x as y` to name a column.
pub const ALIAS: &str = "E0135";
/// A form of SQL, or of Spark, that is written in another way here.
pub const SQL_FORM: &str = "E0136";

/// All codes of this crate, each with one line that says what the mistake is.
pub const ALL: &[(&str, &str)] = &[
    (UNEXPECTED, "something stands where it cannot stand"),
    (UNKNOWN_DECLARATION, "a line begins like a declaration, but with no declaration's word"),
    (UNKNOWN_STEP, "behind `|>` stands no step"),
    (MISSING_PIPE, "a step without `|>` before it"),
    (ASSIGN_FOR_EQUAL, "`=` where `==` is meant"),
    (FOREIGN_OPERATOR, "an operator of another language"),
    (UNCLOSED_BRACKET, "a bracket is opened and never closed"),
    (STRAY_BRACKET, "a closing bracket that closes nothing"),
    (UNCLOSED_STRING, "a string or a name in backticks has no end on its line"),
    (SINGLE_QUOTES, "a string in single quotes"),
    (FOREIGN_COMMENT, "a comment of another language"),
    (STRAY_CHARACTER, "a character that means nothing here"),
    (CASE_WHEN, "SQL's `case when`"),
    (STAR, "SQL's `*` for all columns"),
    (INCOMPLETE_IF, "an `if` without its `then` or `else`"),
    (UNKNOWN_CLAUSE, "a block holds a word that is none of its clauses"),
    (NUMBER_TOO_LARGE, "a number that no type can hold"),
    (DECIMAL_TOO_LONG, "a decimal with more than 38 digits"),
    (BAD_TEMPORAL, "a date or a time that does not exist"),
    (BAD_ESCAPE, "an escape that strings do not have"),
    (BAD_UNIT, "a number with an unknown unit behind it"),
    (TOO_DEEP, "an expression nested too deep"),
    (RESERVED_NAME, "a reserved word used as a name"),
    (MISSING_COMMA, "a comma is missing"),
    (LONE_BRACE, "a single `}` in a string"),
    (UNKNOWN_WORD, "an unknown policy, mode or kind"),
    (CHAINED_COMPARISON, "comparisons in a chain"),
    (PLAIN_STRING, "a value put into a string that must be plain"),
    (REPEATED_CLAUSE, "a clause stands twice"),
    (SEMICOLON, "a semicolon"),
    (FOREIGN_CAST, "a conversion as SQL writes it"),
    (METHOD_CALL, "a function called behind a dot"),
    (INCOMPLETE, "a declaration, step or clause ends too early"),
    (FILE_TOO_LARGE, "a file too large to be a program"),
    (ALIAS, "SQL's `as` to name a column"),
    (SQL_FORM, "a form of SQL that is written in another way here"),
];

/// The pages of all codes, in Markdown.
const PAGES: &str = include_str!("codes.md");

/// The page behind a code of this crate, in Markdown: its title, what is wrong, a program before and after.
pub fn page(code: &str) -> Option<&'static str> {
    let mut pages = PAGES.split("\n## ").skip(1);
    pages.find(|page| page.split_once(':').is_some_and(|(name, _)| name == code)).map(str::trim_end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FileId, parse};

    /// The blocks of a page that open with this line.
    fn blocks<'a>(page: &'a str, open: &str) -> Vec<&'a str> {
        let open = format!("\n```{open}\n");
        let starts = page.split(open.as_str()).skip(1);
        starts.map(|rest| rest.split("\n```").next().unwrap_or_default()).collect()
    }

    #[test]
    fn every_code_has_a_page_with_a_program_that_shows_it() {
        for (code, title) in ALL {
            let page = page(code).unwrap_or_else(|| panic!("{code} has no page"));
            assert!(page.starts_with(&format!("{code}: {title}\n")), "{page}");
            let (wrong, right) = (blocks(page, "flow wrong"), blocks(page, "flow"));
            assert_eq!(wrong.len(), right.len());
            assert!(!wrong.is_empty() || *code == FILE_TOO_LARGE, "{page}");
            for text in wrong {
                let found: Vec<_> = parse(FileId::default(), text).1.iter().map(|d| d.code).collect();
                assert_eq!(found, [*code], "{text}");
            }
            for text in right {
                assert_eq!(parse(FileId::default(), text).1, [], "{text}");
            }
        }
        assert_eq!(PAGES.matches("\n## ").count(), ALL.len());
        assert_eq!(page("E9999"), None);
    }
}
