//! What flowc declares as a constraint in a table's log, it reads back from there as the same condition.

use super::table;
use flowc_core::checked::Checked;
use flowc_core::load::FixedLoader;
use flowc_core::pipeline::{Input, check};
use flowc_ir::catalog::FixedCatalog;
use flowc_ir::eval::{Backend, EvalContext};
use flowc_ir::interpret::Interpreter;
use flowc_ir::testgen::{Generator, Options};
use indexmap::IndexMap;

const COLUMNS: &str = "a: integer?, b: long?, y: byte?, d: double?, f: float?, m: decimal(10, 2)?, s: string?, day: date?, \
    at: timestamp?, ntz: timestamp_ntz?, xs: array<integer?>?, `order`: boolean?, \
    st: struct<x: long, `select`: string?>?, tags: map<string, integer?>?";

const CONDITIONS: &[&str] = &[
    "a > 0 and b <= 9_000_000_000",
    "not (a == 1 or y < 3)",
    "a + b * 2 - 1 != 7",
    "a % 7 == 3 or a div 2 > 5",
    "d / 3 > 0.1 and d * 1.8 + 32 < 1e300",
    "f > 1.5 or f == d",
    "-d <= -0.5",
    "m between 0.01d and 999.99d",
    "m * 2 > 10.50d",
    "m >= 0 and m != -3 and 1_000 > m and m <= 3_000_000_000",
    "s in [\"north\", \"it's\", \"a\\\\b\\n\", \"\"]",
    "a in [1, 2, 3] or b not in [4, 5]",
    "s like \"a%\" or s matches r\"^\\d+[a-z]{2}$\"",
    "s not like \"%\\\\_x\"",
    "s is not null and `order` is null",
    "`order` or not `order`",
    "(a ?? 0) > 3",
    "if a > 1 then `order` else a is null",
    "match a { 1 => true, > 10 => false, _ => `order` }",
    "day >= @2020-02-29 or year(day) == 1999",
    "at < @2026-11-22T10:00:00.5Z",
    "ntz > @2026-11-22T10:00:00",
    "at + 1d > @2000-01-01T00:00:00Z and at - 1500ms != @2000-01-01T00:00:00Z",
    "day < at",
    "(s as integer?) > 3",
    "(a as string) == \"7\"",
    "(b as double) > 0.5",
    "(d as decimal(12, 3)?) is not null",
    "(at as date) == day",
    "xs[0] > 3 or size(xs) == 2",
    "tags[\"a\"] == 1",
    "st.x > 3 and st.`select` != \"q\"",
    "length(s) < 20 and upper(s) != \"X\"",
    "concat(s, \"-\", s) != \"a-a\"",
    "substring(s, 1, 2) == \"ab\"",
    "abs(d) < 10 and floor(d) != 3",
    "coalesce(s, \"none\") != \"x\"",
    "a == null or a > 0",
];

fn compile(text: &str, catalog: &FixedCatalog) -> Checked {
    let loader = FixedLoader { files: IndexMap::from([("t.flow".to_string(), text.to_string())]) };
    let input = Input { name: "t", path: "t.flow", base: "/data", params: &IndexMap::new() };
    let outcome = check(&input, &loader, catalog);
    let errors: Vec<_> = outcome.diagnostics.iter().filter(|d| d.is_error()).collect();
    outcome.checked.unwrap_or_else(|| panic!("{text}: {errors:#?}"))
}

#[test]
fn constraints_survive_the_table() {
    let mut catalog = FixedCatalog::default();
    catalog.add("/data/t", table(COLUMNS));
    let mut checks = 0;
    for condition in CONDITIONS {
        let declared =
            format!("source t = delta(\"t\")\nsink out = t -> delta(\"out\") {{ constraint c: {condition} }}");
        let first = compile(&declared, &catalog);
        let constraints = first.sinks[0].constraints.clone();
        assert_eq!(constraints.len(), 1, "{condition}: {constraints:?}");
        let mut second = catalog.clone();
        second.add("/data/out", flowc_ir::catalog::TableInfo { constraints: constraints.clone(), ..table(COLUMNS) });
        let again = compile("source t = delta(\"t\")\nsink out = t -> delta(\"out\")", &second);
        let kernels = [&first, &again].map(|c| Interpreter.compile(&c.sinks[0].program).expect("it compiles"));
        for seed in 0..6 {
            let mut generator = Generator::new(seed, Options::default());
            let batch = generator.batch(&first.sinks[0].program.input);
            for row in 0..batch.num_rows() {
                let one = batch.slice(row, 1);
                let [before, after] = [&kernels[0], &kernels[1]].map(|k| k.run(&EvalContext::default(), &one).is_ok());
                assert_eq!(before, after, "{condition}: {} for {one:?}", constraints[0].1);
                checks += usize::from(before);
            }
        }
    }
    assert!(checks > 500, "only {checks} rows passed");
}
