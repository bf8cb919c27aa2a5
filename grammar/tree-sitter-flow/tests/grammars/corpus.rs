//! The corpus of the grammar, in the form that `tree-sitter test` reads, without that tool. `FLOWC_BLESS=1` writes what comes out.

use super::tree;
use std::path::Path;

struct Case {
    name: String,
    text: String,
    wanted: String,
}

/// Three equals signs or more round a name, the text, three dashes or more, the tree.
fn cases(file: &str) -> Vec<Case> {
    let rule = |line: &str, sign: char| line.len() >= 3 && line.chars().all(|c| c == sign);
    let lines: Vec<&str> = file.lines().collect();
    let heads: Vec<usize> =
        (0..lines.len().saturating_sub(2)).filter(|&i| rule(lines[i], '=') && rule(lines[i + 2], '=')).collect();
    let mut found = vec![];
    for (n, &head) in heads.iter().enumerate() {
        let body = &lines[head + 3..heads.get(n + 1).copied().unwrap_or(lines.len())];
        let cut = body.iter().position(|l| rule(l, '-')).unwrap_or_else(|| panic!("{} has no tree", lines[head + 1]));
        found.push(Case {
            name: lines[head + 1].to_string(),
            text: body[..cut].join("\n").trim_matches('\n').to_string(),
            wanted: body[cut + 1..].join("\n"),
        });
    }
    found
}

/// A tree with a node a line, as the corpus has it.
fn laid_out(sexp: &str) -> String {
    let mut out = String::new();
    let mut depth = 0;
    for word in sexp.replace('(', " (").split_whitespace() {
        let name = word.ends_with(':');
        let after_name = out.ends_with(": ");
        if (word.starts_with('(') || name) && !after_name && !out.is_empty() {
            out.push('\n');
            out.push_str(&"  ".repeat(depth));
        } else if !out.is_empty() && !after_name {
            out.push(' ');
        }
        out.push_str(word);
        if name {
            out.push(' ');
        }
        depth += word.matches('(').count();
        depth -= word.matches(')').count();
    }
    out
}

#[test]
fn every_form_has_its_tree() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("test/corpus");
    let mut paths: Vec<_> = std::fs::read_dir(&directory).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    let bless = std::env::var_os("FLOWC_BLESS").is_some();
    let (mut count, mut wrong) = (0, vec![]);
    for path in paths {
        let mut blessed = String::new();
        for case in cases(&std::fs::read_to_string(&path).unwrap()) {
            count += 1;
            let found = laid_out(&tree(&case.text).root_node().to_sexp());
            let rule = "=".repeat(80);
            blessed += &format!("{rule}\n{}\n{rule}\n\n{}\n\n{}\n\n{found}\n\n", case.name, case.text, "-".repeat(80));
            let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
            if words(&found) != words(&case.wanted) {
                wrong.push(format!("{}: {found}", case.name));
            }
        }
        if bless {
            std::fs::write(&path, blessed.trim_end().to_string() + "\n").unwrap();
        }
    }
    assert!(count > 30, "{count}");
    assert!(bless || wrong.is_empty(), "\n{}", wrong.join("\n\n"));
}
