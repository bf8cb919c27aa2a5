//! The pages behind `flowc explain CODE`, kept in the binary, and how Markdown looks on a terminal. Knows nothing of diagnostics but their codes.

use crate::console::paint;
use flowc_syntax::{TokenKind, did_you_mean};

/// The pages: code and Markdown text, in the order of the codes.
pub const PAGES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/pages.rs"));

/// The page of a code; upper or lower case.
pub fn page(code: &str) -> Option<(&'static str, &'static str)> {
    PAGES.iter().find(|(c, _)| c.eq_ignore_ascii_case(code)).copied()
}

/// The code nearest to one that has no page.
pub fn nearest(code: &str) -> Option<&'static str> {
    did_you_mean(&code.to_uppercase(), PAGES.iter().map(|(c, _)| *c))
}

/// Whether a word looks like a code: a letter of a code's kind and digits.
pub fn looks_like_code(word: &str) -> bool {
    let mut chars = word.chars();
    let letter = chars.next().is_some_and(|c| matches!(c.to_ascii_uppercase(), 'E' | 'W' | 'R'));
    letter && word.len() > 1 && chars.all(|c| c.is_ascii_digit())
}

/// The title of a page: its first heading without the code.
pub fn title(code: &str, text: &str) -> String {
    let heading = text.lines().find_map(|l| l.strip_prefix("# ")).unwrap_or_default();
    heading.trim_start_matches(code).trim_start_matches([':', ' ', '.', '-', '—']).to_string()
}

/// A page for the terminal: headings and code stand out, `flow` samples are highlighted, the signs of Markdown are gone.
pub fn render(markdown: &str, color: bool) -> String {
    let mut out = String::new();
    let mut fence: Option<(String, String)> = None;
    for line in markdown.lines() {
        if let Some(info) = line.trim_start().strip_prefix("```") {
            match fence.take() {
                None => fence = Some((info.trim().to_string(), String::new())),
                Some((language, code)) => out.push_str(&sample(&language, &code, color)),
            }
        } else if let Some((_, code)) = &mut fence {
            code.push_str(line);
            code.push('\n');
        } else if let Some(heading) = line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#')) {
            out.push_str(&paint(color, "1", &plain(heading, false)));
            out.push('\n');
        } else {
            out.push_str(&plain(line, color));
            out.push('\n');
        }
    }
    out
}

/// A code sample, indented.
fn sample(language: &str, code: &str, color: bool) -> String {
    let code = if color && language.starts_with("flow") { highlighted(code) } else { code.to_string() };
    code.lines().map(|line| if line.is_empty() { "\n".to_string() } else { format!("    {line}\n") }).collect()
}

/// A program in colours.
pub fn highlighted(text: &str) -> String {
    let colored = |(range, kind): (std::ops::Range<usize>, TokenKind)| {
        let part = &text[range];
        match kind {
            TokenKind::Comment | TokenKind::DocComment => paint(true, "2", part),
            TokenKind::Keyword => paint(true, "35", part),
            TokenKind::Type => paint(true, "33", part),
            TokenKind::Function => paint(true, "34", part),
            TokenKind::Number | TokenKind::Constant | TokenKind::Escape => paint(true, "36", part),
            TokenKind::String => paint(true, "32", part),
            TokenKind::Error => paint(true, "31", part),
            _ => part.to_string(),
        }
    };
    flowc_syntax::highlight(text).into_iter().map(colored).collect()
}

/// A line of prose: `code` coloured where colours are wanted, else in its backticks; **bold** and links without their signs.
fn plain(line: &str, color: bool) -> String {
    let mut out = String::new();
    for (i, part) in line.split('`').enumerate() {
        if i % 2 == 1 {
            out.push_str(&if color { paint(true, "36", part) } else { format!("`{part}`") });
        } else {
            out.push_str(&without_links(&part.replace("**", "")));
        }
    }
    out
}

/// `[text](target)` as `text`.
fn without_links(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('[') {
        out.push_str(before);
        match after.split_once("](").and_then(|(label, tail)| Some((label, tail.split_once(')')?.1))) {
            Some((label, tail)) => {
                out.push_str(label);
                rest = tail;
            }
            None => {
                out.push('[');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_becomes_plain_text() {
        let page =
            "# E0001: a *thing*\n\nUse `x` or **y**, see [the page](a.md).\n\n```text\ncode\n\nmore\n```\nend [open\n";
        let shown = render(page, false);
        assert_eq!(shown, "E0001: a *thing*\n\nUse `x` or y, see the page.\n\n    code\n\n    more\nend [open\n");
    }

    #[test]
    fn codes_are_told_from_files() {
        assert!(looks_like_code("E0204"));
        assert!(looks_like_code("r0101"));
        assert!(!looks_like_code("sensor.flow"));
        assert!(!looks_like_code("E"));
    }

    #[test]
    fn titles_lose_their_code() {
        assert_eq!(title("E0204", "# E0204: unknown column\n"), "unknown column");
    }
}
