//! Holds the grammars together: what pest reads, tree-sitter reads, and what one colours as a keyword the others do. One binary.

#[path = "grammars/colours.rs"]
mod colours;
#[path = "grammars/corpus.rs"]
mod corpus;
#[path = "grammars/generated.rs"]
mod generated;
#[path = "grammars/keywords.rs"]
mod keywords;
#[path = "grammars/programs.rs"]
mod programs;
#[path = "grammars/textmate.rs"]
mod textmate;

use flowc_syntax::FileId;
use std::path::{Path, PathBuf};
use tree_sitter::{Parser, Tree};

/// The grammar that the others follow.
const PEST: &str = include_str!("../../flow.pest");

/// The repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The tree that an editor has of a text.
fn tree(text: &str) -> Tree {
    let mut parser = Parser::new();
    parser.set_language(&tree_sitter_flow::LANGUAGE.into()).expect("the parser is of a version that the library knows");
    parser.parse(text, None).expect("nothing cancels it")
}

/// Whether the language's own parser has no complaint.
fn is_clean(text: &str) -> bool {
    flowc_syntax::parse(FileId(0), text).1.is_empty()
}

/// The files below these directories of the repository that end so, with their texts.
fn files(directories: &[&str], extension: &str) -> Vec<(String, String)> {
    let mut found = vec![];
    directories.iter().for_each(|d| collect(&root().join(d), extension, &mut found));
    found.sort();
    let shown = |path: &Path| path.strip_prefix(root()).unwrap_or(path).display().to_string();
    found.iter().map(|p| (shown(p), std::fs::read_to_string(p).expect("is text"))).collect()
}

fn collect(directory: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    let skipped = ["node_modules", "target", "dist", ".git"];
    for entry in std::fs::read_dir(directory).expect("is a directory") {
        let path = entry.expect("can be listed").path();
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if path.is_dir() && !skipped.contains(&name.as_str()) {
            collect(&path, extension, found);
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
}

/// All programs of the repository: golden ones, examples, broken ones, and the samples of the documentation that are whole programs.
fn programs() -> Vec<(String, String)> {
    let mut all = files(&["tests", "examples", "compiler", "benches", "src"], "flow");
    for (page, text) in files(&["docs"], "md") {
        for (i, sample) in samples(&text).into_iter().enumerate() {
            all.push((format!("{page} sample {}", i + 1), sample));
        }
    }
    assert!(all.len() > 150, "the programs were not found: {}", all.len());
    all
}

/// The texts between fences that say `flow`; steps and expressions are completed to programs.
fn samples(page: &str) -> Vec<String> {
    let mut found = vec![];
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(kind) = line.trim().strip_prefix("```flow") else { continue };
        let body: Vec<&str> = lines.by_ref().take_while(|l| l.trim() != "```").collect();
        if kind.contains("expr") {
            let cases = body.iter().filter(|l| !l.trim().is_empty());
            found.extend(cases.map(|l| format!("fn f() = {l}\n")));
        } else if kind.contains("steps") {
            found.push(format!("flow f = s\n{}\n", body.join("\n")));
        } else {
            found.push(body.join("\n") + "\n");
        }
    }
    found
}
