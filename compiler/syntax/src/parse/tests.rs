//! Cutting a text changes nothing of what it means, and neither does remembering what was parsed before.

use super::*;
use proptest::prelude::*;
use std::path::Path;

/// All programs of the tests and the examples.
fn programs() -> &'static [String] {
    fn collect(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("the folder is part of the sources").flatten() {
            let path = entry.path();
            if path.is_dir() {
                collect(&path, found);
            } else if path.extension().is_some_and(|e| e == "flow") {
                found.push(path);
            }
        }
    }
    static ALL: std::sync::LazyLock<Vec<String>> = std::sync::LazyLock::new(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut found = vec![];
        for folder in ["compiler/syntax/tests", "compiler/core/tests", "tests", "examples"] {
            collect(&root.join(folder), &mut found);
        }
        found.sort();
        found.iter().filter_map(|path| std::fs::read_to_string(path).ok()).collect()
    });
    &ALL
}

/// The text parsed without being cut.
fn whole(text: &str) -> (Ast, Vec<Diagnostic>) {
    let tokens = lex(text);
    let mut all = stretch(FileId::default(), text, (0, text.len()), &tokens);
    all.ast.description = Comments::new(text, &tokens).description();
    (all.ast, all.diagnostics)
}

const PIECES: &[&str] = &[
    "",
    "",
    " ",
    "\n",
    "|> ",
    "value",
    "(",
    ")",
    "{",
    "}",
    "\"",
    "= 1",
    ",",
    ".",
    "# ",
    "## ",
    "/*",
    "*/",
    "\nflow x = y\n",
    "flow",
    "\nsort\nflow desc\n",
    "use \"a\"",
    "\r\n",
    "`",
    "fn",
    "\n\n",
];

fn edited(text: &mut String, at: &prop::sample::Index, length: usize, piece: &str) {
    let boundary = |mut at: usize| {
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = boundary(at.index(text.len() + 1));
    let end = boundary((start + length).min(text.len())).max(start);
    text.replace_range(start..end, piece);
}

#[test]
fn programs_mean_the_same_cut_or_whole() {
    for text in programs() {
        assert_eq!(parse(FileId::default(), text), whole(text), "{text}");
        let moved = format!("\n# moved\n\n{text}");
        let mut parses = Parses::default();
        parses.parse(FileId::default(), text);
        assert_eq!(parses.parse(FileId::default(), &moved), whole(&moved), "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn edits_change_nothing_but_the_text(
        program in 0..programs().len(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0usize..12, 0..PIECES.len()), 1..6),
    ) {
        let mut text = programs()[program].clone();
        let mut parses = Parses::default();
        parses.parse(FileId::default(), &text);
        for (at, length, piece) in edits {
            edited(&mut text, &at, length, PIECES[piece]);
            let again = parses.parse(FileId::default(), &text);
            prop_assert!(again == parse(FileId::default(), &text), "{text}");
            // A mistake may be seen with the declaration before it or without.
            let whole = whole(&text);
            let is_sound = |(_, found): &(Ast, Vec<Diagnostic>)| !found.iter().any(Diagnostic::is_error);
            prop_assert_eq!(is_sound(&again), is_sound(&whole), "{}", text);
            prop_assert!(!is_sound(&whole) || again == whole, "{text}");
        }
    }
}
