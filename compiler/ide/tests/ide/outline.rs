//! Symbols, colours, hints, folds, lenses.

use super::support::{MAIN, open};

const TEXT: &str = "# A program\n# of two lines of comment\nsource readings = delta(\"data/sensor\")\n\n## Cleaned.\nflow clean = readings\n    |> where value is not null\n    |> extend x = value * 2.0\n\nsink out = clean -> delta(\"out\") {\n    mode append\n}\n\ntest \"nothing\" {\n    given readings [\n    ]\n}\n";

#[test]
fn symbols_have_their_steps() {
    let show = |s: &flowc_ide::Symbol| {
        format!("{:?} {} — {} {:?}", s.kind, s.name, s.detail, s.children.iter().map(|c| &c.name).collect::<Vec<_>>())
    };
    let all: Vec<String> = open(TEXT).symbols(MAIN).iter().map(show).collect();
    insta::assert_snapshot!(all.join("\n"));
    let found = open(TEXT).workspace_symbols("CLN");
    assert_eq!(found.iter().map(|(s, _)| s.name.as_str()).collect::<Vec<_>>(), ["clean"]);
}

#[test]
fn hints_show_the_columns_behind_a_step() {
    let hints = open(TEXT).hints(MAIN, 0..TEXT.len());
    let all: Vec<String> =
        hints.iter().map(|h| format!("{}{}", TEXT[..h.offset].lines().last().unwrap_or_default(), h.text)).collect();
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn colours_follow_what_names_stand_for() {
    let tokens = open(TEXT).semantic_tokens(MAIN);
    let of = |word: &str| {
        tokens.iter().filter(|t| &TEXT[t.range.clone()] == word).map(|t| format!("{:?}", t.kind)).collect::<Vec<_>>()
    };
    assert_eq!(of("readings"), ["Relation", "Relation", "Relation"]);
    assert_eq!(of("value"), ["Column", "Column"]);
    assert_eq!(of("x"), ["Column"]);
    assert_eq!(of("where"), ["Keyword"]);
}

#[test]
fn folds_and_lenses() {
    let mut workspace = open(TEXT);
    let folds = workspace.folds(MAIN);
    let lines = |at: usize| TEXT[..at].matches('\n').count() + 1;
    let folds: Vec<String> = folds
        .iter()
        .map(|(r, comment)| format!("{}-{}{}", lines(r.start), lines(r.end), if *comment { " comment" } else { "" }))
        .collect();
    assert_eq!(folds, ["1-2 comment", "6-8", "10-12", "10-12", "14-17", "14-17", "15-16"]);
    let lenses = workspace.lenses(MAIN);
    let titles: Vec<&str> = lenses.iter().map(|l| l.title).collect();
    assert_eq!(titles, ["Preview rows", "Preview rows", "Show plan", "Run test"]);
}
