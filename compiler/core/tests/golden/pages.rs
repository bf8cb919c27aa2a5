//! The pages behind `flowc explain CODE`: there is one for each code, and its examples show what it says.

use crate::diagnostics::judge;
use crate::support::{check_text, rendered};
use std::collections::BTreeSet;

fn pages() -> Vec<(String, String)> {
    let folder = format!("{}/../../docs/errors", env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<_> =
        std::fs::read_dir(folder).expect("docs/errors").map(|e| e.expect("an entry").path()).collect();
    files.sort();
    let name = |p: &std::path::Path| p.file_stem().expect("a name").to_string_lossy().to_string();
    files
        .iter()
        .filter(|p| p.extension().is_some_and(|e| e == "md"))
        .map(|p| (name(p), std::fs::read_to_string(p).expect("a page")))
        .collect()
}

/// The fenced blocks of a page whose info string is this.
fn blocks(page: &str, info: &str) -> Vec<String> {
    let mut found = vec![];
    let mut open: Option<String> = None;
    for line in page.lines() {
        match &mut open {
            None if line.trim() == format!("```{info}") => open = Some(String::new()),
            None => {}
            Some(_) if line.trim() == "```" => found.extend(open.take()),
            Some(block) => {
                block.push_str(line);
                block.push('\n');
            }
        }
    }
    found
}

/// All codes with their titles: the syntax's and the checker's.
fn codes() -> Vec<(&'static str, &'static str)> {
    flowc_syntax::codes::ALL.iter().chain(flowc_core::codes::ALL).copied().collect()
}

#[test]
fn every_code_has_a_page_and_a_golden_case() {
    let pages = pages();
    let codes = codes();
    let unique: BTreeSet<&str> = codes.iter().map(|(c, _)| *c).collect();
    assert_eq!(unique.len(), codes.len(), "two mistakes share a code");
    let mut failures = vec![];
    for (code, title) in &codes {
        match pages.iter().find(|(name, _)| name == code) {
            None => failures.push(format!("no page docs/errors/{code}.md")),
            Some((_, page)) => {
                let heading = format!("# {code}: {title}");
                if page.lines().next() != Some(heading.as_str()) {
                    failures.push(format!("{code}: the page must begin with `{heading}`"));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn pages_show_what_they_say() {
    let mut failures = vec![];
    let checked: BTreeSet<&str> = codes().iter().map(|(c, _)| *c).collect();
    let mut shown = String::new();
    for (code, page) in pages().iter().filter(|(name, _)| checked.contains(name.as_str())) {
        let wrong = blocks(page, "flow");
        // A file of gigabytes is no example.
        if wrong.is_empty() && code != flowc_syntax::codes::FILE_TOO_LARGE {
            failures.push(format!("{code}: no example"));
        }
        for (i, text) in wrong.iter().enumerate() {
            let messages = judge(&format!("{code} example {}", i + 1), text, &mut failures);
            // How syntax errors are worded is kept by their own crate.
            if flowc_core::codes::ALL.iter().any(|(c, _)| c == code) {
                shown.push_str(&messages);
                shown.push('\n');
            }
            if !text.contains(&format!("#~ {code}")) {
                failures.push(format!("{code}: the example does not show the code"));
            }
        }
        for text in blocks(page, "flow fixed") {
            let outcome = check_text(&text);
            if !outcome.diagnostics.is_empty() {
                failures.push(format!("{code}: the corrected example has mistakes:\n{}", rendered(&outcome)));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    insta::with_settings!({ snapshot_path => "diag", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("pages", shown);
    });
}
