//! Whatever is written, checking ends with diagnostics, never with a panic; and it gives the same answer each time.

use crate::support::{case, cases, check_text, rendered, run};
use proptest::prelude::*;

/// Words that are put into programs at random places.
const WORDS: &[&str] = &[
    "where",
    "select",
    "aggregate",
    "join",
    "left join",
    "union",
    "explode",
    "sort",
    "limit",
    "rename",
    "drop",
    "extend",
    "|>",
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    ",",
    "=",
    "==",
    "null",
    "x",
    "id",
    "value",
    "sum(",
    "count()",
    "if true then",
    "else",
    "match",
    "=>",
    "_",
    "as",
    "long",
    "?",
    "??",
    "and",
    "not",
    "in",
    "between",
    "is not null",
    "\"",
    "\"{",
    "@2026-11-22",
    "5s",
    "1.5d",
    "99999999999999999999",
    "-1",
    "fn f(a: long) = ",
    "flow g = f",
    "sink",
    "->",
    "delta(\"sensor\")",
    "by",
    "on",
    ".",
    "device",
    "orders.id",
    "mode append",
    "|> expect {",
    "a: id > 0 else quarantine",
    "else repair id = 1",
    "share(a) < 1%",
    "unique (id) within 1h",
    ".rejected",
    "id in device.id",
    "given sensor [{ id: 1 }]",
    "then f []",
    "test \"t\" {",
    "#",
    "`",
];

#[test]
fn a_test_of_what_is_broken_is_answered() {
    let program = |source: &str| {
        format!(
            "{source}\ntable device = delta(\"device\")\nflow f = sensor |> where value is not null |> expect {{ a: id in device.id else quarantine }}\n\
             sink out = f -> console()\nsink bad = f.rejected -> console()\n\
             test \"t\" {{\n    given sensor [{{ id: 1, timestamp: 1, value: 1.0 }}]\n    then f []\n    then f.rejected []\n    then out []\n}}\n"
        )
    };
    for source in [
        "source sensor = delta(\"sensor\"",
        "source sensor = delta(",
        "source sensor delta(\"sensor\")",
        "source sensor = delta(\"sensor\") { watermark }",
        "",
    ] {
        assert!(check_text(&program(source)).diagnostics.iter().any(|d| d.is_error()), "{source}");
    }
}

fn programs() -> Vec<String> {
    cases("diag").into_iter().chain(cases("types")).map(|(_, text)| text).collect()
}

/// Cuts, doubles, swaps and inserts by a seed.
fn mutated(text: &str, edits: &[(u32, u32, u8)]) -> String {
    let mut text: Vec<char> = text.chars().collect();
    for (at, length, what) in edits {
        let at = *at as usize % (text.len() + 1);
        let end = (at + *length as usize % 40).min(text.len());
        let piece: Vec<char> = text[at..end].to_vec();
        match what % 4 {
            0 => drop(text.drain(at..end)),
            1 => drop(text.splice(at..at, piece)),
            2 => {
                let word = WORDS[*length as usize % WORDS.len()];
                text.splice(at..at, format!(" {word} ").chars());
            }
            _ => {
                let word = WORDS[*length as usize % WORDS.len()];
                text.splice(at..end, word.chars());
            }
        }
    }
    text.into_iter().collect()
}

/// 300, or as many as `PROPTEST_CASES` says, for a longer search.
fn cases_to_try() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(300)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases_to_try(), ..ProptestConfig::default() })]
    #[test]
    fn mutated_programs_never_panic(
        which in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<u32>(), any::<u32>(), any::<u8>()), 1..8),
    ) {
        let programs = programs();
        let text = mutated(&programs[which.index(programs.len())], &edits);
        let outcome = run(&case(&text));
        if let Some(checked) = &outcome.checked {
            crate::typed::verify(&text, checked);
        }
    }
}

#[test]
fn checking_twice_gives_the_same() {
    for (name, text) in cases("diag").into_iter().chain(cases("types")) {
        let (first, second) = (run(&case(&text)), run(&case(&text)));
        assert_eq!(rendered(&first), rendered(&second), "{name}");
        assert_eq!(first.checked, second.checked, "{name}");
    }
}

#[test]
fn functions_do_not_grow_without_bound() {
    let mut text = String::from("fn f0(a: long) -> long = a + 1\n");
    for i in 1..30 {
        text.push_str(&format!("fn f{i}(a: long) -> long = f{0}(a) + f{0}(a)\n", i - 1));
    }
    text.push_str("source s = delta(\"orders\")\nflow f = s |> select x = f29(id)\nsink out = f -> console()\n");
    let outcome = check_text(&text);
    assert!(outcome.diagnostics.iter().any(|d| d.code == flowc_core::codes::TOO_LARGE), "{}", rendered(&outcome));
}

#[test]
fn the_world_and_the_command_line_have_their_own_marks() {
    let far = check_text("source s = delta(\"far\")\nsink out = s -> console()");
    assert!(far.world_failed && far.checked.is_none());
    let near = check_text("source s = delta(\"sensor\")\nsink out = s -> console()");
    assert!(!near.world_failed && near.checked.is_some(), "{}", rendered(&near));
    let program =
        "param low: integer = 1\nsource s = delta(\"sensor\")\nflow f = s |> where id > low\nsink out = f -> console()";
    let given = |param: &str| check_text(&format!("#@ param {param}\n{program}"));
    assert!(given("low=7").checked.is_some());
    let ill_typed = given("low=seven");
    assert_eq!(ill_typed.bad_params[0].message, "param `low`: `seven` is not a whole number of 32 bits");
    assert!(ill_typed.checked.is_none() && ill_typed.diagnostics.is_empty());
    let unknown = given("lo=7");
    assert_eq!(unknown.bad_params[0].message, "the program has no param `lo`: did you mean `low`?");
}

/// The deepest that the parser lets through, in each form, on a thread's default stack; and functions that make it deeper still.
#[test]
fn deep_programs_end() {
    let nested = |open: &str, inner: &str, close: &str| format!("{}{inner}{}", open.repeat(240), close.repeat(240));
    let forms = [
        nested("(", "id", ")"),
        nested("not ", "paid", ""),
        nested("-", "id", ""),
        nested("abs(", "id", ")"),
        nested("[", "id", "]"),
        nested("{ a: ", "id", " }"),
        nested("if paid then ", "id", " else 0"),
        nested("match id { 1 => ", "2", ", _ => 3 }"),
        nested("\"{upper(", "note", ")}\""),
        format!("id{}", " + id".repeat(240)),
        format!("note{}", " ?? note".repeat(240)),
        format!("paid{}", " and paid or paid".repeat(120)),
        nested("try(", "id", ")"),
        nested("(", "id", " as long)"),
        nested("(", "id", " between 1 and 2) == paid and (id"),
    ];
    for form in &forms {
        let text = format!("table o = delta(\"orders\")\nflow f = o |> select x = {form}\nsink out = f -> console()");
        let outcome = check_text(&text);
        if let Some(checked) = &outcome.checked {
            crate::typed::verify(form, checked);
        }
    }
    let mut text = String::from("fn f0(a: long) -> long = a\n");
    for i in 1..31 {
        text.push_str(&format!("fn f{i}(a: long) -> long = {}f{}(a){}\n", "(1 + ".repeat(100), i - 1, ")".repeat(100)));
    }
    text.push_str("source s = delta(\"orders\")\nflow f = s |> select x = f30(id)\nsink out = f -> console()\n");
    let outcome = check_text(&text);
    assert!(outcome.diagnostics.iter().any(|d| d.code == flowc_core::codes::TOO_LARGE), "{}", rendered(&outcome));
}
