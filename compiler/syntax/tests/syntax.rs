//! Golden programs, golden mistakes, and laws over both. One binary: each links the whole crate.

#[path = "syntax/diagnostics.rs"]
mod diagnostics;
#[path = "syntax/generate.rs"]
mod generate;
#[path = "syntax/golden.rs"]
mod golden;
#[path = "syntax/laws.rs"]
mod laws;
#[path = "syntax/limits.rs"]
mod limits;
#[path = "syntax/style.rs"]
mod style;
#[path = "syntax/textmate.rs"]
mod textmate;

use flowc_syntax::{Ast, Diagnostic, FileId};

/// The files of a directory beside this one, by name.
fn files(directory: &str) -> Vec<(String, String)> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(directory);
    let mut found: Vec<_> = std::fs::read_dir(&root)
        .expect("the directory is part of the crate")
        .map(|entry| entry.expect("can be listed").path())
        .filter(|path| path.extension().is_some_and(|e| e == "flow"))
        .map(|path| {
            let name = path.file_stem().expect("has a name").to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&path).expect("is text"))
        })
        .collect();
    found.sort();
    assert!(!found.is_empty(), "no programs in {directory}");
    found
}

fn parse(text: &str) -> (Ast, Vec<Diagnostic>) {
    flowc_syntax::parse(FileId::default(), text)
}

/// The tree of a program that must be without mistakes.
fn parse_clean(name: &str, text: &str) -> Ast {
    let (ast, diagnostics) = parse(text);
    assert!(diagnostics.is_empty(), "{name}: {diagnostics:#?}\n{text}");
    ast
}
