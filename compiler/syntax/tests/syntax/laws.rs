//! Laws of the parser and the formatter, over golden programs, generated ones, and ones broken by chance.

use crate::generate::laid_out;
use crate::{files, parse, parse_clean};
use flowc_syntax::{Diagnostic, RenderOptions, SourceMap, TokenKind, format, highlight, print, render, same, to_json};
use proptest::prelude::*;

/// The formatter keeps the tree, keeps the comments, and has nothing left to do.
pub fn formats_well(name: &str, text: &str) {
    let ast = parse_clean(name, text);
    let once = format(text).unwrap_or_else(|e| panic!("{name}: {e:?}"));
    let again = parse_clean(name, &once);
    assert!(
        same(&ast, &again),
        "{name}: the tree changed\n{text}\n---\n{once}\n--- {}\n--- {}",
        print(&ast),
        print(&again)
    );
    assert_eq!(comments(text), comments(&once), "{name}: comments changed\n{text}\n---\n{once}");
    let twice = format(&once).expect("no mistakes");
    assert_eq!(once, twice, "{name}: not canonical\n{text}");
    assert!(!once.contains("\n\n\n") && !once.contains(" \n"), "{name}: loose blanks\n{once}");
}

fn comments(text: &str) -> Vec<String> {
    let all = highlight(text).into_iter().filter(|(_, k)| matches!(k, TokenKind::Comment | TokenKind::DocComment));
    all.map(|(r, _)| text[r].trim_end().to_string()).collect()
}

/// Whatever the text: places lie in it, and all of it can be shown.
fn survives(text: &str) -> Vec<Diagnostic> {
    let (ast, diagnostics) = parse(text);
    let mut sources = SourceMap::default();
    sources.add("a.flow", text);
    for d in &diagnostics {
        for span in d.labels.iter().map(|l| l.span).chain([d.span]) {
            let (start, end) = (span.start as usize, span.end as usize);
            assert!(start <= end && end <= text.len(), "{d:?} outside of {text:?}");
            assert!(text.is_char_boundary(start) && text.is_char_boundary(end), "{d:?} within a character of {text:?}");
        }
        to_json(d, &sources);
        assert!(flowc_syntax::codes::ALL.iter().any(|(code, _)| *code == d.code));
    }
    let shown = render(&diagnostics, &sources, &RenderOptions::default());
    assert_eq!(shown.is_empty(), diagnostics.is_empty());
    assert!(ast.broken.is_empty() || !diagnostics.is_empty(), "something is lost without a word: {text:?}");
    match format(text) {
        Ok(formatted) => assert!(same(&ast, &parse(&formatted).0), "{text:?}"),
        Err(found) => assert_eq!(found, diagnostics),
    }
    let mut at = 0;
    for (range, _) in highlight(text) {
        assert_eq!(range.start, at, "{text:?}");
        assert!(range.end > at);
        at = range.end;
    }
    assert_eq!(at, text.len());
    diagnostics
}

fn goldens() -> Vec<(String, String)> {
    files("golden").into_iter().chain(files("diagnostics")).collect()
}

#[test]
fn golden_programs_format_well() {
    for (name, text) in files("golden") {
        formats_well(&name, &text);
    }
}

#[test]
fn golden_programs_cut_anywhere_survive() {
    for (_, text) in goldens() {
        for cut in (0..text.len()).filter(|c| text.is_char_boundary(*c)).step_by(41) {
            survives(&text[..cut]);
            survives(&text[cut..]);
        }
    }
}

#[test]
fn a_token_less_is_a_mistake_or_another_program() {
    for (name, text) in files("golden").into_iter().filter(|(name, _)| name == "every_form") {
        let whole = parse_clean(&name, &text);
        for (range, kind) in highlight(&text) {
            if matches!(kind, TokenKind::Space | TokenKind::Comment | TokenKind::DocComment) {
                continue;
            }
            let word = &text[range.clone()];
            let without = format!("{} {}", &text[..range.start], &text[range.end..]);
            let optional =
                matches!(word, "," | "asc" | "warn" | "append" | "}}" | "{{" | "(" | ")") || word.trim().is_empty();
            let (ast, diagnostics) = parse(&without);
            assert!(
                !diagnostics.is_empty() || optional || !same(&whole, &ast),
                "{name}: `{word}` at {range:?} means nothing"
            );
        }
    }
}

/// Columns called as the clause that follows them.
#[test]
fn a_column_called_per_stands_before_the_clause_and_in_it() {
    for text in [
        "flow a = s |> top 1 by x, per per y",
        "flow a = s |> top 1 by x, per per",
        "flow a = s |> top 1 by per per per",
    ] {
        formats_well("per", text);
    }
}

/// One change to a text, by byte positions that are moved to characters.
#[derive(Debug, Clone)]
enum Mutation {
    Delete(usize, usize),
    Insert(usize, String),
    Copy(usize, usize, usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let bits = prop::sample::select(vec![
        "(",
        ")",
        "{",
        "}",
        "[",
        "]",
        "\"",
        "'",
        "`",
        "|>",
        ",",
        ":",
        "=",
        "==",
        "#",
        "##",
        "@",
        "\\",
        "//",
        "--",
        "\n",
        "\n\n",
        "\r",
        "é",
        "😀",
        "\u{a0}",
        "\u{feff}",
        "0",
        "9e99",
        "1d",
        " as ",
        " if ",
        " not ",
        "flow ",
        "\nflow x = ",
        "\nsource s",
        "else",
        "{{",
        "}}",
        "{x",
        "\"{\"",
        "<",
        ">",
        "?",
        "??",
        "r\"",
        "* ",
        ";",
        "&&",
        "where ",
        "case when ",
    ]);
    prop_oneof![
        (any::<usize>(), 1..40usize).prop_map(|(at, len)| Mutation::Delete(at, len)),
        (any::<usize>(), bits).prop_map(|(at, bit)| Mutation::Insert(at, bit.to_string())),
        (any::<usize>(), any::<usize>(), 1..60usize).prop_map(|(from, to, len)| Mutation::Copy(from, to, len)),
    ]
}

fn boundary(text: &str, at: usize) -> usize {
    let mut at = if text.is_empty() { 0 } else { at % (text.len() + 1) };
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn mutate(text: &mut String, mutation: &Mutation) {
    match mutation {
        Mutation::Delete(at, len) => {
            let start = boundary(text, *at);
            let end = boundary(text, (start + len).min(text.len()));
            text.replace_range(start.min(end)..end.max(start), "");
        }
        Mutation::Insert(at, bit) => text.insert_str(boundary(text, *at), bit),
        Mutation::Copy(from, to, len) => {
            let start = boundary(text, *from);
            let end = boundary(text, (start + len).min(text.len())).max(start);
            let piece = text[start..end].to_string();
            text.insert_str(boundary(text, *to), &piece);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn generated_programs_format_well(text in laid_out()) {
        formats_well("generated", &text);
    }

    #[test]
    fn mutated_programs_survive(which in any::<usize>(), mutations in prop::collection::vec(mutation(), 1..6)) {
        let goldens = goldens();
        let mut text = goldens[which % goldens.len()].1.clone();
        for m in &mutations {
            mutate(&mut text, m);
        }
        survives(&text);
    }

    #[test]
    fn any_text_survives(text in "\\PC{0,80}|[a-z \\n\"{}()|>=,#@0-9]{0,120}") {
        survives(&text);
    }
}
