//! What is proved, refuted and left open, from programs: each line one constraint.

mod law;
mod programs;

use crate::checked::{Decision, ObligationKind};
use crate::load::FixedLoader;
use crate::pipeline::{CheckOutcome, Input, check};
use flowc_ir::catalog::{FixedCatalog, TableInfo};
use flowc_ir::{DataType, Field, Schema, Type};
use indexmap::IndexMap;

pub(super) fn pairs(items: &[(&str, &str)]) -> Vec<(String, String)> {
    items.iter().map(|(a, b)| ((*a).to_string(), (*b).to_string())).collect()
}

/// The columns of the table `t`; `u` has them too, under names with a `2`.
pub(super) fn columns(suffix: &str) -> Vec<Field> {
    let field =
        |name: &str, data: DataType, nullable: bool| Field::new(format!("{name}{suffix}"), Type { data, nullable });
    vec![
        field("a", DataType::Integer, false),
        field("b", DataType::Integer, true),
        field("n", DataType::Long, true),
        field("x", DataType::Double, true),
        field("y", DataType::Double, true),
        field("s", DataType::String, true),
        field("at", DataType::Timestamp, false),
        field("day", DataType::Date, true),
        field("d", DataType::Decimal { precision: 10, scale: 2 }, true),
        field("flag", DataType::Boolean, true),
        field("xs", DataType::Array(Box::new(Type::new(DataType::Integer))), true),
    ]
}

fn table(suffix: &str, constraints: &[(&str, &str)], generated: &[(&str, &str)]) -> TableInfo {
    TableInfo {
        schema: Schema::new(columns(suffix)),
        constraints: pairs(constraints),
        generated: pairs(generated),
        ..TableInfo::default()
    }
}

pub(super) fn checked(text: &str, catalog: &FixedCatalog) -> CheckOutcome {
    let loader = FixedLoader { files: IndexMap::from([("p.flow".to_string(), text.to_string())]) };
    let input = Input { name: "p", path: "p.flow", base: "/w", params: &IndexMap::new() };
    check(&input, &loader, catalog)
}

fn catalog() -> FixedCatalog {
    let mut catalog = FixedCatalog::default();
    catalog.add("/w/t", table("", &[], &[]));
    let promises = [
        ("c1", "a >= 0 AND a < 100"),
        ("c2", "b > a"),
        ("c3", "s IN ('open', 'closed')"),
        ("c4", "s <> 'closed' OR day IS NOT NULL"),
        ("c5", "b + 1 > 5"),
        ("c6", "at > TIMESTAMP '2020-01-01 00:00:00'"),
        ("c7", "x <= y"),
        ("c8", "coalesce(x / y, 7D) > 1D"),
    ];
    catalog.add("/w/checked", table("", &promises, &[("day", "CAST(at AS DATE)"), ("n", "a * 2")]));
    catalog.add("/w/u", table("2", &[("pos", "a2 > 0"), ("range", "x2 BETWEEN 0 AND 1")], &[]));
    catalog
}

/// What became of the constraint of `text`: `proved`, `refuted`, `open`; or what else is wrong.
fn verdict(text: &str) -> String {
    let outcome = checked(text, &catalog());
    let code = |code: &str| outcome.diagnostics.iter().any(|d| d.code == code);
    if code(crate::codes::REFUTED_CONSTRAINT) {
        return "refuted".into();
    }
    let Some(program) = &outcome.checked else { return format!("{:#?}", outcome.diagnostics) };
    let mut of = program.obligations.iter().filter(|o| o.kind == ObligationKind::Constraint);
    match of.next().map(|o| &o.decision) {
        Some(Decision::Proved(_)) => "proved".into(),
        Some(Decision::Open) => "open".into(),
        None => "no constraint".into(),
    }
}

/// Each line: the steps behind a source, the constraint, and what becomes of it.
fn all_come_out(source: &str, cases: &[(&str, &str, &str)]) {
    let mut wrong = vec![];
    for (steps, condition, expected) in cases {
        let text = format!(
            "source t = delta(\"{source}\")\ntable u = delta(\"u\")\nflow f = t {steps}\n\
             flow other = u |> select a = a2, x = x2\nsink used = other -> console()\n\
             sink out = f -> delta(\"out\") {{ constraint c: {condition} }}"
        );
        let found = verdict(&text);
        if found != *expected {
            wrong.push(format!("{steps}  ⊢  {condition}: {found}, not {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn ranges_and_nulls() {
    all_come_out(
        "t",
        &[
            ("", "a is not null", "proved"),
            ("", "b is not null", "open"),
            ("", "a > 0", "open"),
            ("|> where a > 5", "a > 3", "proved"),
            ("|> where a > 5", "a >= 6", "proved"),
            ("|> where a > 5", "a > 6", "open"),
            ("|> where a > 5", "a < 5", "refuted"),
            ("|> where b > 5", "b > 5", "proved"),
            // A rule lets only what is true through.
            ("|> where b > 5 or b is null", "b > 5", "open"),
            ("|> where b > 5 or b is null", "b > 5 or b is null", "proved"),
            ("|> where b > 5 or b is null", "b > 3 or b is null", "proved"),
            ("|> where not (b > 5)", "b <= 5", "proved"),
            ("|> where (b > 5) is null", "b is null", "proved"),
            ("|> where b is null", "b > 5", "refuted"),
            ("|> where a in [1, 2, 3]", "a between 1 and 3", "proved"),
            ("|> where a in [1, 2, 3]", "a != 4", "proved"),
            ("|> where a between 1 and 3", "a in [1, 2, 3]", "open"),
            ("|> where a > 1 and a < 3", "a == 2", "proved"),
            ("|> where a != 7 and a between 7 and 9", "a >= 8", "proved"),
            ("|> where s in [\"a\", \"b\"]", "s != \"c\"", "proved"),
            ("|> where s in [\"a\", \"b\"]", "length(s) == 1", "proved"),
            ("|> where s in [\"a\", \"b\"]", "upper(s) in [\"A\", \"B\"]", "proved"),
            ("|> where s != \"a\"", "s not in [\"a\"]", "proved"),
            ("|> where s < \"b\"", "s < \"c\"", "proved"),
            ("|> where s < \"b\"", "s >= \"b\"", "refuted"),
            ("", "length(s) >= 0 or s is null", "proved"),
            ("|> where flag", "flag", "proved"),
            ("|> where not flag", "flag", "refuted"),
            ("|> where d >= 1.5d", "d > 1", "proved"),
            ("|> where d > 1", "d >= 1.01d", "proved"),
            ("|> where d > 1", "d >= 1.02d", "open"),
            ("|> where at >= @2026-01-01T00:00:00Z", "year(at) >= 2026", "proved"),
            ("", "month(at) between 1 and 12", "proved"),
        ],
    );
}

#[test]
fn doubles_have_nan() {
    all_come_out(
        "t",
        &[
            // NaN is the greatest.
            ("|> where x > 5", "x > 4", "proved"),
            ("|> where x > 5", "x < 1e308", "open"),
            ("|> where not (x > 5)", "not isnan(x)", "proved"),
            ("|> where x > 5", "not isnan(x)", "open"),
            ("|> where x between 0 and 1", "x * 2 <= 2", "proved"),
            ("|> where x > 0", "x - x == 0", "open"),
            ("|> where x between 1 and 2", "1 / x <= 1", "proved"),
            ("|> where x between 0 and 2", "1 / x > 0", "open"),
            ("|> where x == 0", "1 / x > 0", "open"),
            ("|> where x >= 0 and y >= 0", "x + y >= 0", "proved"),
            ("|> where x >= 0 and y >= 0", "x * y >= 0", "proved"),
            ("|> where x >= 0 and y >= 0", "x + y >= x", "proved"),
            ("|> where x >= 0 and y >= 0", "x - y <= x", "open"),
            ("|> where x > 0 and x < 10 |> extend z = (x - 32) * 5 / 9", "z > -17.78 and z < -12.22", "proved"),
            ("|> extend z = (x - 32) * 5 / 9 |> where z > 0", "x > 31", "proved"),
            ("|> extend z = x * -2 |> where z >= 10", "x <= -5 or isnan(x)", "proved"),
            ("|> extend z = x * -2 |> where z >= 10 and not isnan(z)", "x <= -5", "proved"),
            ("|> extend z = x * -2 |> where z >= 10", "x <= -5", "open"),
            ("|> where x is not null", "sqrt(x) >= 0", "proved"),
            ("|> where x is not null |> extend z = clamp(x, 0, 1)", "z between 0 and 1", "proved"),
            ("|> where x is not null", "abs(x) >= 0", "proved"),
        ],
    );
}

#[test]
fn computed_values_and_branches() {
    all_come_out(
        "t",
        &[
            ("|> extend c = a + 1 |> where a >= 0", "c > 0", "proved"),
            // What would fail is not proved: the test is what stops the run.
            ("|> where a > 0", "a + 1 > 0", "open"),
            ("|> where a between 0 and 9", "a + 1 > 0", "proved"),
            ("|> where a between 0 and 9", "10 div a >= 0", "open"),
            ("|> where a between 1 and 9", "10 div a >= 1", "proved"),
            ("|> where 10 div a > 1", "a != 0", "proved"),
            ("|> extend c = 10 div a", "a != 0", "proved"),
            ("|> where a between -9 and 9", "a % 4 between -3 and 3", "proved"),
            ("", "b ?? 0 is not null", "proved"),
            ("|> extend c = b ?? 0 |> where b > 0 or b is null", "c >= 0", "proved"),
            ("|> where (b > 3) ?? false", "b > 3", "proved"),
            ("|> extend level = if x > 200 then 2 else if x > 100 then 1 else 0", "level in [0, 1, 2]", "proved"),
            ("|> extend level = if x > 200 then 2 else if x > 100 then 1 else 0", "level == 0 or x > 100", "proved"),
            ("|> extend level = if x > 200 then 2 else 0 |> where level == 2", "x > 200", "proved"),
            ("|> extend level = if x > 200 then 2 else 0", "level < 2", "open"),
            ("|> extend c = if a != 0 then 10 div a else 0 |> select c", "c between -10 and 10", "proved"),
            ("|> extend c = n as integer? |> where c > 4", "n > 4", "open"),
            ("|> extend c = b as long |> where c > 4", "b > 4", "proved"),
            ("|> extend c = a as double |> where c > 4.5", "a >= 5", "proved"),
            ("|> extend c = try(10 div a)", "c is not null", "open"),
            ("|> extend r = greatest(a, 7)", "r >= 7 and r >= a", "proved"),
            ("|> extend r = least(b, 7)", "r <= 7", "proved"),
            ("|> extend t2 = at + 5m", "t2 > at", "open"),
            ("|> extend t2 = at + 5m", "t2 >= at", "proved"),
            ("|> rename c = a |> where c > 4 |> drop b", "c > 2", "proved"),
            ("|> where a > 4 |> select total = a * 1", "total > 4", "proved"),
            // The value under the old name is another one.
            ("|> where a > 4 |> extend a = a - 100", "a > 4", "open"),
            ("|> where a > 4 |> extend a = a - 100 |> where a < 0", "a > 4", "refuted"),
        ],
    );
}

#[test]
fn relations_between_columns() {
    all_come_out(
        "t",
        &[
            ("|> where x < y", "x < y", "proved"),
            ("|> where x < y", "y > x", "proved"),
            ("|> where x < y", "x <= y", "proved"),
            ("|> where x < y", "x != y", "proved"),
            ("|> where x < y", "not (x >= y)", "proved"),
            ("|> where x < y", "y < x", "refuted"),
            ("|> where x <= y", "x < y", "open"),
            ("|> where a < b and b < n", "a < n", "open"),
            ("|> where a < b |> extend c = b + 0 |> where b <= 10", "a < 10", "proved"),
            ("|> extend c = b |> where a <= b", "a <= c", "proved"),
            ("|> where x <= y and y <= x", "x == y", "proved"),
            ("|> where x == y and y > 5", "x > 5", "proved"),
            ("|> where equal_null(x, y) and y > 5", "x > 5", "proved"),
            ("|> extend total = a * 2 |> where total > b", "a * 2 > b", "proved"),
            ("|> extend total = x * 2 |> where total > y", "x * 2 > y", "proved"),
            ("|> where a >= 0 |> extend slot = a - a % 10", "slot <= a", "proved"),
        ],
    );
}

#[test]
fn what_tables_promise() {
    all_come_out(
        "checked",
        &[
            ("", "a >= 0", "proved"),
            ("", "a between 0 and 99", "proved"),
            ("", "b > a", "proved"),
            ("", "b > 0", "proved"),
            ("", "b is not null", "proved"),
            ("", "s in [\"open\", \"closed\", \"new\"]", "proved"),
            ("|> where s == \"closed\"", "day is not null", "proved"),
            ("|> where s == \"open\"", "day is not null", "open"),
            ("", "x <= y", "proved"),
            // flowc would fail where another writer wraps around: what it computes is known only where it does not fail.
            ("", "b > 4", "open"),
            // `day` was computed in the time zone of whoever wrote it, and so was the text of the time read.
            ("|> where day is not null", "day == date(at)", "open"),
            ("", "at > @2019-01-01T00:00:00Z", "open"),
            ("", "a == 100", "refuted"),
            // Divided by zero: null to whoever tested it.
            ("", "((x / y) ?? 7) > 1", "open"),
            ("", "n between 0 and 198", "proved"),
            // A contract with another type takes no facts along.
            ("|> extend z = a as long", "z >= 0", "proved"),
        ],
    );
}

#[test]
fn joins_unions_aggregates() {
    all_come_out(
        "t",
        &[
            ("|> join u on u.a2 == a |> select a, b2 = u.a2", "a > 0", "proved"),
            ("|> semi join u on u.a2 == a", "a > 0", "proved"),
            // What the table promises now, it need not have promised then.
            ("|> semi join u as of at on u.a2 == a", "a > 0", "open"),
            ("|> semi join u as of at on u.a2 == a and u.a2 > 0", "a > 0", "proved"),
            ("|> join u as of at on u.a2 == a |> select b2 = u.a2", "b2 is not null", "proved"),
            ("|> anti join u on u.a2 == a", "a > 0", "open"),
            ("|> left join u on u.a2 == a |> select a, other = u.a2", "other > 0", "open"),
            ("|> left join u on u.a2 == a |> select a, other = u.a2", "other is null or other > 0", "proved"),
            ("|> left join u on u.a2 == a |> select a, other = u.a2", "other is null or other == a", "proved"),
            ("|> left join u on u.a2 == a |> select a, other = u.a2", "a > 0", "open"),
            ("|> left join u on u.a2 == a |> where u.x2 is not null |> select a, other = u.a2", "other > 0", "proved"),
            ("|> where a > 5 |> select a, x = 0.5 |> union other", "a > 0", "proved"),
            ("|> where a > 5 |> select a, x = 0.5 |> union other", "a > 5", "open"),
            ("|> where a > 5 |> select a, x = 0.5 |> union other", "x between 0 and 1", "proved"),
            ("|> where a > 5 |> select a, x = 2.0 |> union other", "x > 1 or a > 0", "proved"),
            ("|> explode xs as e", "e is not null", "proved"),
        ],
    );
}

#[test]
fn aggregates_keep_what_they_can() {
    let cases = [
        ("n = count() by a", "n > 0", "proved"),
        ("n = count()", "n > 0", "open"),
        ("n = count()", "n >= 0", "proved"),
        ("n = count() where b > 0 by a", "n > 0", "open"),
        ("n = count(b) by a", "n > 0", "open"),
        ("m = max(a) by b", "m > 5", "proved"),
        ("m = min(a) by b", "m > 5", "proved"),
        ("m = min(a)", "m > 5", "open"),
        ("m = min(a)", "m is null or m > 5", "proved"),
        ("m = max(b) by a", "m is null or m > 0", "open"),
        ("m = max(b) where b > 7 by a", "m is null or m > 7", "proved"),
        ("t = sum(a) by b", "t > 5", "proved"),
        ("t = sum(a - 20) by b", "t > 5", "open"),
        ("m = avg(a) by b", "m >= 5.999999", "proved"),
        ("m = avg(x) where x >= 0 by b", "m is null or m >= 0", "open"),
        ("m = avg(x) where x between 0 and 9 by b", "m is null or m >= 0", "proved"),
        ("n = count() by a", "a > 5", "proved"),
        ("n = count(), k = first(a) by b", "k > 5 and n > 0", "proved"),
        ("ids = collect_set(a) by b", "ids is not null", "proved"),
    ];
    let mut wrong = vec![];
    for (aggregate, condition, expected) in cases {
        let text = format!(
            "table t = delta(\"t\")\nflow f = t |> where a > 5 |> aggregate {aggregate}\n\
             sink out = f -> delta(\"out\") {{ mode overwrite constraint c: {condition} }}"
        );
        let found = verdict(&text);
        if found != expected {
            wrong.push(format!("{aggregate}  ⊢  {condition}: {found}, not {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_proof_names_only_the_facts_that_it_needs() {
    let text = "source t = delta(\"t\")\nflow f = t\n    |> where a > 5 and b > 3 and n > 1\n    |> where x > 0\n    \
                |> extend c = a as long, e = x * 2\nsink out = f -> delta(\"out\") { constraint c: c > 3 }";
    let outcome = checked(text, &catalog());
    let guarantees = crate::explain::guarantees(outcome.checked.as_ref().expect("sound"), &outcome.sources);
    assert_eq!(guarantees.len(), 1);
    assert_eq!(guarantees[0].facts, ["a > 5 (`where` of `f`, p.flow:3)", "c = a as long (`extend` of `f`, p.flow:5)"]);
    let program = &outcome.checked.as_ref().expect("sound").sinks[0].program;
    assert!(program.steps.is_empty(), "the test is not compiled: {:?}", program.steps);
}

#[test]
fn a_refutation_shows_a_row() {
    let text = "source t = delta(\"t\")\nflow f = t |> where b between 3 and 4 and a > 0\n\
                sink out = f -> delta(\"out\") { constraint c: b > 10 }";
    let outcome = checked(text, &catalog());
    let found = outcome.diagnostics.iter().find(|d| d.code == crate::codes::REFUTED_CONSTRAINT).expect("refuted");
    assert_eq!(found.label, "not true, for example, of the row { b: 3 }");
    assert_eq!(found.labels.len(), 1, "{found:#?}");
    assert!(outcome.checked.is_none());
}

#[test]
fn what_an_open_constraint_offers_is_enough() {
    for (steps, condition) in [
        ("", "x < 1000"),
        ("", "b > a"),
        ("", "length(s) > 3 and s like \"a%\""),
        ("|> extend c = 10 / x", "c > 0"),
        ("|> select day, at, a", "day == date(at)"),
    ] {
        let text = |steps: &str| {
            format!(
                "source t = delta(\"t\")\nflow f = t {steps}\nsink out = f -> delta(\"out\") {{ constraint c: {condition} }}"
            )
        };
        let outcome = checked(&text(steps), &catalog());
        let warning = outcome.diagnostics.iter().find(|d| d.code == crate::codes::OPEN_CONSTRAINT);
        let help = warning.and_then(|w| w.help.clone()).unwrap_or_else(|| panic!("{:#?}", outcome.diagnostics));
        let offered = help.split("{ c: ").nth(1).and_then(|r| r.split(" else ").next()).expect("an offer").to_string();
        let again = checked(&text(&format!("{steps} |> where {offered}")), &catalog());
        assert!(again.diagnostics.iter().all(|d| !d.code.ends_with("21")), "{offered}: {:#?}", again.diagnostics);
        assert!(again.checked.is_some(), "{offered}: {:#?}", again.diagnostics);
    }
}

#[test]
fn a_constraint_is_the_tables_however_its_numbers_are_written() {
    for (declared, stored, same) in [
        ("x > 0", "x > 0.0", true),
        ("x > 0", "0 < x", true),
        ("x between 0 and 10", "x >= 0.0 AND x <= 1e1", true),
        ("not (x > 3)", "x <= 3", true),
        ("x > 0", "x >= 0", false),
        ("x > 0.5", "x > 0.25", false),
    ] {
        let mut catalog = catalog();
        let info = TableInfo {
            schema: Schema::new(columns("")),
            constraints: pairs(&[("c", stored)]),
            ..TableInfo::default()
        };
        catalog.add("/w/out", info);
        let text = format!("source t = delta(\"t\")\nsink out = t -> delta(\"out\") {{ constraint c: {declared} }}");
        let outcome = checked(&text, &catalog);
        assert_eq!(outcome.checked.is_some(), same, "{declared} and {stored}: {:#?}", outcome.diagnostics);
    }
}

/// The rules of a flow by name, with what became of them; refuted ones are missing.
fn rules(steps: &str) -> Vec<(String, bool, Vec<String>)> {
    let text =
        format!("source t = delta(\"t\")\ntable u = delta(\"u\")\nflow f = t\n    {steps}\nsink out = f -> console()");
    let outcome = checked(&text, &catalog());
    let errors: Vec<_> = outcome.diagnostics.iter().filter(|d| d.is_error()).collect();
    let program = outcome.checked.as_ref().unwrap_or_else(|| panic!("{text}: {errors:#?}"));
    let all = crate::explain::guarantees(program, &outcome.sources);
    all.into_iter().filter(|g| g.kind == "rule").map(|g| (g.name, g.proved, g.facts)).collect()
}

#[test]
fn rules_are_decided_each_for_itself() {
    let found = rules(
        "|> where a > 5
    |> expect {
        large: a > 3 else drop
        larger: a > 8 else drop
        huge: a > 7 else quarantine
        known: a in u.a2 else drop
        whole: x between 0 and 1 else repair x = clamp(x ?? 0, 0, 1)
    }
    |> expect { again: a > 8 and x <= 1 else fail, theirs: a > 0 else drop }
    |> expect { twice: a > 7 else warn }",
    );
    let proved: Vec<&str> = found.iter().filter(|r| r.1).map(|r| r.0.as_str()).collect();
    // A rule of the same step that removes rows is no fact for another: all rules are judged.
    assert_eq!(proved, ["large", "whole", "again", "theirs", "twice"], "{found:#?}");
    let facts = |name: &str| found.iter().find(|r| r.0 == name).map(|r| r.2.clone()).unwrap_or_default();
    assert_eq!(facts("large"), ["a > 5 (`where` of `f`, p.flow:4)"]);
    assert_eq!(facts("twice"), ["a > 8 and x <= 1 (rule `again` of `f`, p.flow:12)"]);
}

#[test]
fn a_repair_that_always_helps_is_proved() {
    let found = rules(
        "|> where x is not null
    |> expect { in_range: x between 0 and 1 else repair x = clamp(x, 0, 1) }",
    );
    assert!(found[0].1, "{found:#?}");
    let open = rules("|> expect { in_range: x between 0 and 1 else repair x = clamp(x, 0, 1) }");
    assert!(!open[0].1, "null is not repaired: {open:#?}");
}

#[test]
fn rules_make_constraints_certain() {
    all_come_out(
        "t",
        &[
            ("|> expect { r: x < 1000 else quarantine }", "x < 1000", "proved"),
            ("|> expect { r: x < 1000 else drop }", "x < 2000", "proved"),
            ("|> expect { r: x < 1000 else fail }", "x < 1000", "proved"),
            ("|> expect { r: x < 1000 else repair x = 5 }", "x < 1000", "proved"),
            ("|> expect { r: x < 1000 else warn }", "x < 1000", "open"),
            ("|> expect { r: x < 1000 }", "x < 1000", "open"),
            ("|> expect { r: a in u.a2 else drop }", "a > 0", "proved"),
            ("|> expect { r: a in u.a2 else warn }", "a > 0", "open"),
            ("|> expect { r: b in u.a2 else drop }", "b is not null", "proved"),
        ],
    );
}

#[test]
fn a_refuted_rule_shows_a_row() {
    let text = "source t = delta(\"t\")\nflow f = t |> where a between 1 and 2 |> expect { r: a > b and a > 7 else drop }\nsink out = f -> console()";
    let outcome = checked(text, &catalog());
    let found: Vec<_> = outcome.diagnostics.iter().filter(|d| d.code == crate::codes::REFUTED_RULE).collect();
    assert_eq!(found.len(), 1, "{:#?}", outcome.diagnostics);
    assert!(found[0].label.starts_with("not true, for example, of the row { a: 1, b: "), "{}", found[0].label);
}
