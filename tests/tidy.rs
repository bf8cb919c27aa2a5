//! Habits that a reader relies on, checked over the text of the sources: short files and functions, a word on what each module is for, an argument at
//! each `unsafe`, nothing left unfinished.

use super::support::root;
use std::path::{Path, PathBuf};

/// Lines of a file.
const FILE_LINES: usize = 800;
/// Lines of a function, its signature and braces included; alternatives of patterns are not counted.
const FUNCTION_LINES: usize = 80;

/// Lines of a test, or of what tests share: mostly lists of cases.
const TEST_LINES: usize = 100;

/// Rust sources of the workspace.
fn sources() -> Vec<(PathBuf, String)> {
    let mut found = vec![];
    for top in ["src", "compiler", "runtime", "tests", "fuzz", "grammar", "playground"] {
        collect(&root().join(top), &mut found);
    }
    found.sort();
    assert!(found.len() > 50, "the sources were not found");
    found.into_iter().map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect()
}

fn collect(dir: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().is_some_and(|n| n != "target" && n != "node_modules") {
            collect(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// Fails with all complaints at once.
fn assert_none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

#[test]
fn files_are_short() {
    let long = sources().into_iter().map(|(p, text)| (p, text.lines().count())).filter(|(_, n)| *n > FILE_LINES);
    assert_none(long.map(|(p, n)| format!("{}: {n} lines, at most {FILE_LINES}", shown(&p))).collect());
}

#[test]
fn functions_are_short() {
    let mut complaints = vec![];
    for (path, text) in sources() {
        let tests = path.components().any(|c| c.as_os_str().to_string_lossy().starts_with("test"));
        for (line, length, name) in functions(&text) {
            let test = tests || text.lines().nth(line.saturating_sub(2)).is_some_and(|l| l.trim() == "#[test]");
            let most = if test { TEST_LINES } else { FUNCTION_LINES };
            if length > most {
                complaints.push(format!("{}:{line}: `{name}` has {length} lines, at most {most}", shown(&path)));
            }
        }
    }
    assert_none(complaints);
}

/// Line, length and name of each function; relies on rustfmt: a function ends at the first line that is its closing brace at its own indentation.
fn functions(text: &str) -> Vec<(usize, usize, String)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = vec![];
    for (i, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let indent = &line[..line.len() - code.len()];
        let Some(name) = function_name(code) else { continue };
        let end = lines[i..].iter().position(|l| {
            l.strip_prefix(indent).is_some_and(|l| l == "}" || (l.ends_with(';') && !l.starts_with(' ')))
        });
        if let Some(length) = end {
            // The alternatives of a pattern, one a line, are a list, not code.
            let listed = lines[i..=i + length].iter().filter(|l| l.trim_start().starts_with("| ")).count();
            found.push((i + 1, length + 1 - listed, name));
        }
    }
    found
}

/// The name, if the line begins a function with a body below it.
fn function_name(code: &str) -> Option<String> {
    let mut rest = code;
    for word in ["pub", "(crate)", "(super)", "const", "async", "unsafe", "extern \"C\""] {
        rest = rest.strip_prefix(word).unwrap_or(rest).trim_start();
    }
    let rest = rest.strip_prefix("fn ")?;
    if code.ends_with('}') || code.ends_with(';') {
        return None;
    }
    Some(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect())
}

#[test]
fn modules_say_what_they_are_for() {
    let silent = sources().into_iter().filter(|(_, text)| !text.trim_start_matches("#!").starts_with("//!"));
    assert_none(silent.map(|(p, _)| format!("{}: the first line is no `//!`", shown(&p))).collect());
}

#[test]
fn each_unsafe_is_argued_for() {
    let mut complaints = vec![];
    for (path, text) in sources() {
        let lines: Vec<&str> = text.lines().collect();
        for (i, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or("");
            let opens = code.contains("unsafe {") || code.trim_start().starts_with("unsafe impl");
            let argued = lines[i.saturating_sub(8)..=i].iter().any(|l| l.contains("SAFETY:"));
            if opens && !argued && !line.contains('"') {
                complaints.push(format!("{}:{}: unsafe without a SAFETY argument", shown(&path), i + 1));
            }
        }
    }
    assert_none(complaints);
}

#[test]
fn nothing_is_left_unfinished() {
    // Put together here, so that this file does not have them.
    let words = [
        ["to", "do!("].concat(),
        ["unimple", "mented!("].concat(),
        ["db", "g!("].concat(),
        ["FIX", "ME"].concat(),
        ["TO", "DO:"].concat(),
        ["panic!(\"not ", "yet"].concat(),
        ["#[ig", "nore"].concat(),
    ];
    let mut complaints = vec![];
    for (path, text) in sources() {
        for (i, line) in text.lines().enumerate() {
            complaints.extend(
                words
                    .iter()
                    .filter(|w| line.contains(w.as_str()))
                    .map(|w| format!("{}:{}: `{w}`", shown(&path), i + 1)),
            );
        }
    }
    assert_none(complaints);
}

#[test]
fn unsafe_code_is_in_the_code_generator_only() {
    // The executable sets options of its memory, for which there is no other way.
    let allowed = |path: &Path| {
        path.starts_with(root().join("compiler/codegen"))
            || path == root().join("src/main.rs")
            // A C function that gives a constant: the form in which tree-sitter's grammars are crates.
            || path == root().join("grammar/tree-sitter-flow/bindings/rust/lib.rs")
            || path.ends_with("tidy.rs")
    };
    let outside = sources().into_iter().filter(|(path, text)| !allowed(path) && text.contains("unsafe {"));
    assert_none(outside.map(|(p, _)| format!("{}: unsafe code outside compiler/codegen", shown(&p))).collect());
}

#[test]
fn function_lengths_are_measured() {
    let text = "impl X {\n    pub fn a(\n        b: u8,\n    ) -> u8 {\n        b\n    }\n\n    fn one() {}\n}\n";
    assert_eq!(functions(text), vec![(2, 5, "a".to_string())]);
}
