//! The answer after any edits is that of a program that is checked for the first time.

use super::support::{MAIN, open, read_tables};
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// All programs of the tests and the examples.
fn programs() -> &'static [String] {
    fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("the folder is part of the sources").flatten() {
            let path = entry.path();
            if path.is_dir() {
                collect(&path, found);
            } else if path.extension().is_some_and(|e| e == "flow") {
                found.push(path);
            }
        }
    }
    static ALL: LazyLock<Vec<String>> = LazyLock::new(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut found = vec![];
        for folder in ["compiler/core/tests/golden", "tests", "examples"] {
            collect(&root.join(folder), &mut found);
        }
        found.sort();
        found.iter().filter_map(|path| std::fs::read_to_string(path).ok()).collect()
    });
    &ALL
}

const PIECES: &[&str] =
    &["", " ", "\n", "|> ", "value", "(", ")", "{", "}", "\"", "= 1", " and id > 3", "flow x = y\n", "# ", ",", "."];

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn edits_change_nothing_but_the_text(
        program in 0..programs().len(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0usize..12, 0..PIECES.len()), 1..6),
    ) {
        let mut text = programs()[program].clone();
        let mut workspace = open(&text);
        for (at, length, piece) in edits {
            let boundary = |mut at: usize| {
                while !text.is_char_boundary(at) {
                    at -= 1;
                }
                at
            };
            let start = boundary(at.index(text.len() + 1));
            let end = boundary((start + length).min(text.len())).max(start);
            text.replace_range(start..end, PIECES[piece]);
            workspace.set_text(MAIN, text.as_str());
            read_tables(&mut workspace);
            let mut fresh = open(&text);
            prop_assert_eq!(workspace.problems(MAIN), fresh.problems(MAIN));
            prop_assert!(workspace.program(MAIN).facts == fresh.program(MAIN).facts, "{text}");
        }
    }
}
