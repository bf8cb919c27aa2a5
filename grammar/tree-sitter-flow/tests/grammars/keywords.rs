//! Every word of the language is coloured as one, by both grammars of editors.

use super::PEST;
use std::collections::BTreeSet;

/// The words of the grammar, also those that it calls operators.
fn keywords() -> BTreeSet<&'static str> {
    let words = PEST.lines().filter_map(|l| l.strip_prefix("kw_")).filter_map(|l| l.split_whitespace().next());
    let found: BTreeSet<_> = words.chain(["and", "or", "not", "div"]).collect();
    assert!(found.len() > 80);
    found
}

#[test]
fn tree_sitter_colours_every_keyword() {
    // `evolve` is a whole clause, `true` and `false` are nodes of their own.
    let nodes =
        [("evolve", "(evolve_clause) @keyword"), ("true", "(boolean) @boolean"), ("false", "(boolean) @boolean")];
    let coloured: BTreeSet<String> = tree_sitter_flow::HIGHLIGHTS
        .lines()
        .filter(|l| l.contains("@keyword") || l.contains("@type.builtin") || l.contains("@constant.builtin"))
        .flat_map(|l| l.split('"').skip(1).step_by(2).map(String::from).collect::<Vec<_>>())
        .collect();
    let as_node = |word: &str| nodes.iter().any(|(w, line)| *w == word && tree_sitter_flow::HIGHLIGHTS.contains(line));
    let missing: Vec<_> = keywords().into_iter().filter(|k| !coloured.contains(*k) && !as_node(k)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_grammar_has_every_keyword() {
    let language: tree_sitter::Language = tree_sitter_flow::LANGUAGE.into();
    let missing: Vec<_> =
        keywords().into_iter().filter(|k| language.id_for_node_kind(k, false) == 0 && *k != "evolve").collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn textmate_colours_every_keyword() {
    let grammar = super::textmate::TextMate::new();
    // As a step, behind `:` as a type is, before a time, or anywhere.
    let seen = |word: &str, text: String| {
        let at = text.find(word).expect("the text has the word");
        let scope = grammar.scopes(&text)[at].clone();
        ["keyword", "support.type", "constant.language"].iter().any(|s| scope.starts_with(s))
    };
    let coloured = |word: &str| {
        let texts = [format!("{word} x"), format!("|> {word} x"), format!("x: {word}"), format!("{word} @2026-11-22")];
        texts.into_iter().any(|text| seen(word, text))
    };
    let missing: Vec<_> = keywords().into_iter().filter(|k| !coloured(k)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// The queries of editors name nodes and fields: one that the grammar no longer has is an error.
#[test]
fn queries_compile() {
    let language = tree_sitter_flow::LANGUAGE.into();
    let queries = [
        ("highlights", tree_sitter_flow::HIGHLIGHTS),
        ("folds", tree_sitter_flow::FOLDS),
        ("indents", tree_sitter_flow::INDENTS),
        ("locals", tree_sitter_flow::LOCALS),
        ("injections", tree_sitter_flow::INJECTIONS),
        ("textobjects", tree_sitter_flow::TEXTOBJECTS),
    ];
    for (name, query) in queries {
        let query = tree_sitter::Query::new(&language, query).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(!query.capture_names().is_empty(), "{name}");
    }
    for (name, query) in super::files(&["grammar/editors"], "scm") {
        tree_sitter::Query::new(&language, &query).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}

/// Helix takes the grammar's queries, and its own over them. It refuses all queries of a language over one directive that it does not know: found in the editor.
#[test]
fn helix_gets_no_directive_that_it_does_not_know() {
    let mut queries: std::collections::BTreeMap<String, String> = Default::default();
    for (path, text) in super::files(&["grammar/tree-sitter-flow/queries", "grammar/editors/helix/queries"], "scm") {
        let name = path.rsplit('/').next().unwrap_or_default().to_string();
        // The grammar's own do not replace those of the editor.
        if path.contains("/helix/") || !queries.contains_key(&name) {
            queries.insert(name, text);
        }
    }
    let directive = regex::Regex::new(r"#set! ([\w.-]+)|#(\w+)!").expect("is a pattern");
    for (name, text) in &queries {
        let code: String = text.lines().filter(|l| !l.starts_with(';')).collect();
        for found in directive.captures_iter(&code) {
            let said = found.get(1).map_or_else(|| found[0].to_string(), |m| m.as_str().to_string());
            let known = said == "injection.language" || said.starts_with("indent.");
            assert!(known, "{name}: {said}");
        }
    }
    assert!(queries.len() > 5);
}

/// Emacs has no queries in files: its mode lists the words.
#[test]
fn emacs_colours_every_keyword() {
    let mode = std::fs::read_to_string(super::root().join("grammar/editors/emacs/flow-ts-mode.el")).expect("is there");
    let from = mode.find("'([\"use\"").expect("lists words");
    let list = &mode[from..from + mode[from..].find(']').expect("ends")];
    let listed: BTreeSet<&str> = list.split('"').skip(1).step_by(2).collect();
    let language: tree_sitter::Language = tree_sitter_flow::LANGUAGE.into();
    let unknown: Vec<_> = listed.iter().filter(|w| language.id_for_node_kind(w, false) == 0).collect();
    assert!(unknown.is_empty(), "Emacs refuses all rules over {unknown:?}");
    let coloured = tree_sitter_flow::HIGHLIGHTS.lines().filter(|l| l.contains("@keyword"));
    let wanted: BTreeSet<&str> = coloured.flat_map(|l| l.split('"').skip(1).step_by(2)).collect();
    let missing: Vec<_> =
        wanted.into_iter().filter(|w| !listed.contains(w) && w.starts_with(char::is_alphabetic)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
