//! The style page and the programs of the repository: what the page says is what the formatter does, and it keeps every program that there is.

use crate::laws::formats_well;
use flowc_syntax::{format, parse};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The programs below a directory of the repository.
fn programs(directory: &Path, found: &mut Vec<PathBuf>) {
    let hidden = |path: &Path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.') || n == "target");
    for entry in std::fs::read_dir(directory).expect("the directory is part of the repository") {
        let path = entry.expect("can be listed").path();
        if path.is_dir() && !hidden(&path) && !path.ends_with("node_modules") {
            programs(&path, found);
        } else if path.extension().is_some_and(|e| e == "flow") {
            found.push(path);
        }
    }
}

#[test]
fn the_style_page_shows_what_the_formatter_does() {
    let page = std::fs::read_to_string(root().join("docs/style.md")).expect("the page is there");
    let samples: Vec<&str> = page.split("```text\n").skip(1).filter_map(|s| s.split("```").next()).collect();
    assert!(samples.len() >= 10 && samples.len().is_multiple_of(2), "pairs of what was written and its form");
    for pair in samples.chunks(2) {
        let formatted = format(pair[0]).unwrap_or_else(|e| panic!("{}: {e:?}", pair[0]));
        assert_eq!(formatted, pair[1]);
        assert_ne!(pair[0], pair[1], "an example changes something");
        formats_well("docs/style.md", pair[0]);
    }
}

#[test]
fn every_program_of_the_repository_formats_well() {
    let mut found = vec![];
    for directory in ["examples", "tests", "benches", "compiler", "src"] {
        programs(&root().join(directory), &mut found);
    }
    let mut sound = 0;
    for path in found {
        let text = std::fs::read_to_string(&path).expect("a program is text");
        // Programs with mistakes on purpose are left as they are.
        if parse(flowc_syntax::FileId::default(), &text).1.is_empty() {
            formats_well(&path.display().to_string(), &text);
            sound += 1;
        }
    }
    assert!(sound > 100, "{sound} programs were found");
}
