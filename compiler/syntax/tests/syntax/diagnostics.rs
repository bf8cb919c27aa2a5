//! Programs with mistakes. `#~ E0103` on a line says by hand that this diagnostic begins there, `#~^ E0103` that it begins on the
//! line above; there must be these and no others. Only the rendering is a snapshot.

use crate::{files, parse};
use flowc_syntax::{Diagnostic, FileId, RenderOptions, SourceMap, render};
use std::collections::BTreeSet;

/// What the text says is wrong: lines from 1, and codes.
fn expected(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let Some((_, marks)) = line.split_once("#~") else { continue };
        let (above, marks) = match marks.strip_prefix('^') {
            Some(rest) => (1, rest),
            None => (0, marks),
        };
        found.extend(marks.split_whitespace().map(|code| (i + 1 - above, code.to_string())));
    }
    found.sort();
    found
}

fn found(sources: &SourceMap, diagnostics: &[Diagnostic]) -> Vec<(usize, String)> {
    let mut found: Vec<_> = diagnostics
        .iter()
        .map(|d| (sources.line_column(FileId::default(), d.span.start).0, d.code.to_string()))
        .collect();
    found.sort();
    found
}

#[test]
fn each_mistake_is_found_once_and_where_it_is() {
    let mut wrong = Vec::new();
    for (name, text) in files("diagnostics") {
        let mut sources = SourceMap::default();
        sources.add(format!("{name}.flow"), text.as_str());
        let (_, diagnostics) = parse(&text);
        let (want, got) = (expected(&text), found(&sources, &diagnostics));
        let shown = render(&diagnostics, &sources, &RenderOptions::default());
        assert!(!want.is_empty(), "{name} expects nothing");
        if want != got {
            let missing: Vec<_> = want.iter().filter(|w| !got.contains(w)).collect();
            let added: Vec<_> = got.iter().filter(|g| !want.contains(g)).collect();
            wrong.push(format!("{name}: missing {missing:?}, not expected {added:?}"));
            continue;
        }
        for d in &diagnostics {
            assert!(d.help.is_some() && !d.label.is_empty(), "{name}: {} lacks help or a label", d.code);
            assert!(!d.message.ends_with('.'), "{name}: {}", d.message);
        }
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path("../diagnostics");
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!(format!("{name}.diag"), shown));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_code_has_a_case() {
    let cases: BTreeSet<String> =
        files("diagnostics").iter().flat_map(|(_, text)| expected(text)).map(|(_, code)| code).collect();
    let codes: BTreeSet<String> = flowc_syntax::codes::ALL.iter().map(|(code, _)| code.to_string()).collect();
    assert_eq!(codes.len(), flowc_syntax::codes::ALL.len(), "a code stands twice");
    let untested: Vec<_> = codes.difference(&cases).collect();
    // Nobody keeps a file of 4 GB in a repository.
    assert_eq!(untested, [flowc_syntax::codes::FILE_TOO_LARGE]);
    assert!(cases.is_subset(&codes));
}

#[test]
fn what_is_not_broken_stays() {
    let text = "flow a = s |> where x = 1 |> limit |> where y > 2\nflow b = a |> bogus 1\nsink c = b -> console() { mod append }\n";
    let (ast, diagnostics) = parse(text);
    assert_eq!(diagnostics.len(), 4);
    assert_eq!(
        flowc_syntax::print(&ast),
        "(flow a s (where (== x 1)) (where (> y 2)))\n(flow b a)\n(sink c b (connector console))\n(broken a b c)\n"
    );
}
