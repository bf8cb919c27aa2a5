//! What is a program for pest is one for tree-sitter, and what is none is none.

use super::{files, is_clean, programs, tree};
use tree_sitter::Node;

/// Where the tree says that something is wrong or missing.
fn first_error(text: &str) -> Option<String> {
    fn find(node: Node<'_>) -> Option<Node<'_>> {
        if node.is_error() || node.is_missing() {
            return Some(node);
        }
        let mut cursor = node.walk();
        let children: Vec<_> = node.children(&mut cursor).filter(|c| c.has_error() || c.is_missing()).collect();
        children.into_iter().find_map(find)
    }
    let tree = tree(text);
    find(tree.root_node()).map(|n| {
        let (row, what) = (n.start_position().row + 1, n.utf8_text(text.as_bytes()).unwrap_or_default());
        format!("line {row}: {} `{}`", n.kind(), what.chars().take(60).collect::<String>())
    })
}

#[test]
fn what_pest_reads_tree_sitter_reads() {
    let clean = programs().into_iter().filter(|(_, text)| is_clean(text));
    let wrong: Vec<_> = clean.filter_map(|(name, text)| first_error(&text).map(|e| format!("{name}: {e}"))).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn what_pest_refuses_tree_sitter_refuses() {
    let broken = programs().into_iter().filter(|(_, text)| refused(text));
    let wrong: Vec<_> = broken.filter(|(_, text)| first_error(text).is_none()).map(|(name, _)| name).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Whether the grammar itself has something against the text, and not only who builds the tree from it: numbers too large, bad escapes and
/// the like.
fn refused(text: &str) -> bool {
    let later = ["E0117", "E0118", "E0119", "E0120", "E0122", "E0125", "E0127", "E0128", "E0129", "E0131", "E0135"];
    flowc_syntax::parse(flowc_syntax::FileId(0), text).1.iter().any(|d| !later.contains(&d.code))
}

/// The text without every fourth of its tokens, each in turn.
fn cut(text: &str) -> Vec<String> {
    let stretches = flowc_syntax::highlight(text);
    let tokens = stretches.iter().filter(|(_, kind)| *kind != flowc_syntax::TokenKind::Space);
    tokens.step_by(4).map(|(range, _)| format!("{} {}", &text[..range.start], &text[range.end..])).collect()
}

#[test]
fn a_missing_token_is_missed_by_both() {
    let mut cases = 0;
    let mut wrong = vec![];
    for (name, text) in files(&["compiler/syntax/tests/golden", "examples/sensor"], "flow") {
        if !is_clean(&text) {
            continue;
        }
        for mutant in cut(&text) {
            cases += 1;
            let (pest, error) = (refused(&mutant), first_error(&mutant));
            let same = text.bytes().zip(mutant.bytes()).take_while(|(a, b)| a == b).count();
            match (pest, error) {
                (false, Some(error)) => wrong.push(format!("{name}: {error}: …{}…", around(&mutant, same))),
                (true, None) => wrong.push(format!("{name}: read by tree-sitter alone: …{}…", around(&mutant, same))),
                _ => {}
            }
        }
    }
    assert!(cases > 400, "{cases}");
    assert!(wrong.is_empty(), "{} of {cases}\n{}", wrong.len(), wrong.join("\n"));
}

fn around(text: &str, at: usize) -> String {
    let from = text[..at].char_indices().rev().nth(30).map_or(0, |(i, _)| i);
    let until = text[at..].char_indices().nth(30).map_or(text.len(), |(i, _)| at + i);
    text[from..until].replace('\n', "⏎")
}

#[test]
fn any_text_has_a_tree() {
    for text in [
        "",
        "flow",
        "flow a",
        "\"",
        "`",
        "@",
        "source s = delta(\"{",
        "fn f() = \u{FEFF}é",
        "flow a = b |> select by",
        "1%?",
    ] {
        assert_eq!(tree(text).root_node().end_byte(), text.len(), "{text:?}");
    }
}
