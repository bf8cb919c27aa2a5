//! Mutated programs: whatever is given to the parser, the formatter and the checker, they do not panic, and what they say lies within the text. The number
//! of cases is FLOWC_FUZZ_CASES.

use crate::docs::{DocsCatalog, programs};
use crate::support::root;
use flowc_core::load::FixedLoader;
use flowc_core::pipeline::{self, Input};
use indexmap::IndexMap;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::cell::Cell;

/// A change to a text.
#[derive(Debug, Clone)]
enum Mutation {
    Delete(usize, usize),
    Duplicate(usize, usize),
    Insert(usize, &'static str),
    Swap(usize, usize, usize),
}

/// Pieces that break things.
const PIECES: &[&str] = &[
    "|>",
    "{",
    "}",
    "(",
    ")",
    "\"",
    "\"{",
    "`",
    "##",
    "\n",
    "flow ",
    "where ",
    "null",
    "-9223372036854775808",
    "1e999",
    "as ",
    "?",
    "@2026-13-45",
    "é",
    "\u{202e}",
    "=>",
    "match x {",
    ",",
    "::",
    "9999999999999999999999999999999999999999",
    "1.5d",
    "5s",
    "[",
    "join ",
    "in ",
    "..",
    "%",
    "r\"",
];

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<usize>();
    prop_oneof![
        (at, 1..40usize).prop_map(|(a, n)| Mutation::Delete(a, n)),
        (at, 1..60usize).prop_map(|(a, n)| Mutation::Duplicate(a, n)),
        (at, prop::sample::select(PIECES)).prop_map(|(a, p)| Mutation::Insert(a, p)),
        (at, at, 1..30usize).prop_map(|(a, b, n)| Mutation::Swap(a, b, n)),
    ]
}

fn apply(text: &mut Vec<char>, mutation: &Mutation) {
    let length = text.len().max(1);
    let range = |at: usize, n: usize| (at % length).min(text.len())..(at % length).saturating_add(n).min(text.len());
    match mutation {
        Mutation::Delete(at, n) => drop(text.drain(range(*at, *n))),
        Mutation::Duplicate(at, n) => {
            let range = range(*at, *n);
            let copy: Vec<char> = text[range.clone()].to_vec();
            text.splice(range.end..range.end, copy);
        }
        Mutation::Insert(at, piece) => drop(text.splice(range(*at, 0), piece.chars())),
        Mutation::Swap(a, b, n) => {
            let copy: Vec<char> = text[range(*b, *n)].to_vec();
            let target = range(*a, *n);
            text.splice(target, copy);
        }
    }
}

#[test]
fn mutated_programs_are_answered() {
    let mut seeds: Vec<String> = vec![];
    for dir in ["examples", "src/template", "tests/golden", "compiler/core/tests", "compiler/syntax/tests"] {
        seeds.extend(programs(&root().join(dir)).iter().map(|p| std::fs::read_to_string(p).unwrap()));
    }
    seeds.extend(crate::docs::samples().into_iter().map(|s| s.text));
    assert!(seeds.len() > 10, "the programs to mutate were not found");
    let cases = std::env::var("FLOWC_FUZZ_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(300);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    // One small change leaves much of the program whole; many changes make rubbish. Both are of interest.
    let changes = prop_oneof![prop::collection::vec(mutation(), 1..2), prop::collection::vec(mutation(), 2..6)];
    let strategy = (prop::sample::select(seeds), changes);
    let (mutated, sound, diagnostics) = (Cell::new(0u64), Cell::new(0u64), Cell::new(0u64));
    let result = runner.run(&strategy, |(seed, mutations)| {
        let mut text: Vec<char> = seed.chars().collect();
        mutations.iter().for_each(|m| apply(&mut text, m));
        let found = answered(&text.into_iter().collect::<String>());
        mutated.set(mutated.get() + 1);
        sound.set(sound.get() + u64::from(found == 0));
        diagnostics.set(diagnostics.get() + found);
        Ok(())
    });
    println!(
        "{} mutated programs: {} without diagnostics, {} diagnostics",
        mutated.get(),
        sound.get(),
        diagnostics.get()
    );
    result.unwrap();
}

/// Parses, formats and checks; the number of diagnostics.
fn answered(text: &str) -> u64 {
    let loader = FixedLoader { files: IndexMap::from([("m.flow".to_string(), text.to_string())]) };
    let params = IndexMap::new();
    let input = Input { name: "m", path: "m.flow", base: "/docs", params: &params };
    let outcome = pipeline::check(&input, &loader, &DocsCatalog);
    for diagnostic in &outcome.diagnostics {
        let file = outcome.sources.file(diagnostic.span.file);
        assert!(diagnostic.span.start <= diagnostic.span.end && diagnostic.span.end as usize <= file.text.len());
    }
    flowc_syntax::render(&outcome.diagnostics, &outcome.sources, &flowc_syntax::RenderOptions::default());
    if let Ok(formatted) = flowc_syntax::format(text) {
        assert_eq!(
            flowc_syntax::format(&formatted).as_deref().ok(),
            Some(formatted.as_str()),
            "formatting is not stable"
        );
    }
    outcome.diagnostics.len() as u64
}
