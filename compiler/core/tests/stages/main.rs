//! Programs through the later stages: the graph as it is lowered, optimized and explained. Each `golden/*.flow` has its texts beside it.

mod sql;

use flowc_core::explain::{Read, Span, explain, guarantees};
use flowc_core::load::FixedLoader;
use flowc_core::picture::{dot, svg};
use flowc_core::pipeline::{Input, check};
use flowc_ir::catalog::{FixedCatalog, TableInfo};
use flowc_ir::text::{Origins, parse_plan, parse_program, print_plan};
use indexmap::IndexMap;

/// A table with the columns of a text: `id: long, value: double?`.
pub(crate) fn table(columns: &str) -> TableInfo {
    let program = parse_program(&format!("program ({columns}) {{ }}")).expect("columns");
    TableInfo { schema: program.input, version: Some(3), files: Some((9, 90_000)), ..TableInfo::default() }
}

fn catalog() -> FixedCatalog {
    let mut catalog = FixedCatalog::default();
    for name in ["sensor", "sensor_old", "sensor_raw"] {
        catalog.add(format!("/data/{name}"), table("id: integer, timestamp: long, value: double?, note: string?"));
    }
    catalog
        .add("/data/device", table("id: integer, site: string, floor: integer?, tags: array<string>, unused: binary?"));
    let orders = "id: long, customer: string?, total: decimal(10, 2), day: date, \
                  lines: array<struct<sku: string, count: integer>>, address: struct<city: string?, zip: string>?";
    catalog.add("/data/orders/*.parquet", table(orders));
    catalog.add("/data/readings.csv", table("id: long?, value: double?"));
    catalog.add("/data/lines.json", table("id: long?, value: double?"));
    let image = "struct<k: long, v: double?>?";
    catalog.add("/data/records.json", table(&format!("op: string?, ts: long, before: {image}, after: {image}")));
    catalog
}

#[test]
fn golden_stages() {
    insta::glob!("..", "golden/*.flow", |path| {
        let text = std::fs::read_to_string(path).expect("the program is there");
        let name = path.file_stem().and_then(|s| s.to_str()).expect("a name");
        let file = format!("{name}.flow");
        let loader = FixedLoader { files: IndexMap::from([(file.clone(), text)]) };
        let input = Input { name, path: &file, base: "/data", params: &IndexMap::new() };
        let outcome = check(&input, &loader, &catalog());
        let errors: Vec<_> = outcome.diagnostics.iter().filter(|d| d.is_error()).collect();
        let checked = outcome.checked.unwrap_or_else(|| panic!("{name} has errors: {errors:#?}"));
        let guarantees = guarantees(&checked, &outcome.sources);
        let lowered = checked.lower();
        let graph = print_plan(lowered.plan(), Origins::Omitted);
        assert_eq!(parse_plan(&print_plan(lowered.plan(), Origins::Printed)).as_ref(), Ok(lowered.plan()));
        let plan = lowered.optimize();
        let optimized = print_plan(&plan, Origins::Omitted);
        assert_eq!(parse_plan(&print_plan(&plan, Origins::Printed)).as_ref(), Ok(&plan));
        let json = serde_json::to_string(&plan).expect("a plan is JSON");
        assert_eq!(serde_json::from_str::<flowc_ir::plan::Plan>(&json).expect("its own JSON"), plan);
        let read = Read { files: Some(9), files_after_pruning: Some(2), columns: Some(7), ..Read::default() };
        let read = plan.sources.iter().map(|s| (s.name.clone(), read.clone())).collect();
        let executable = flowc_ir::plan::Executable::compile(plan.clone(), &flowc_ir::interpret::Interpreter);
        let kernels = executable.expect("the interpreter takes every program").kernels;
        let reports = kernels.iter().map(|(slot, kernel)| (*slot, kernel.report())).collect();
        let explanation = explain(&plan, guarantees, &reports, &read);
        let picture = svg(&plan);
        assert_eq!(picture, svg(&plan), "the same graph is the same picture");
        assert!(plan.sinks.iter().all(|sink| picture.contains(&sink.name)), "{picture}");
        insta::with_settings!({ snapshot_path => "../golden", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!("graph", graph);
            insta::assert_snapshot!("optimized", optimized);
            insta::assert_snapshot!("dot", dot(&plan));
            insta::assert_snapshot!("explain", explanation.to_string());
        });
    });
}

/// The steps of an explanation that have these words in them, of tables with these rows and ids between 1 and 1000.
fn explained(text: &str, rows: &[(&str, u64)], words: &[&str]) -> Vec<String> {
    let file = "sides.flow".to_string();
    let loader = FixedLoader { files: IndexMap::from([(file.clone(), text.to_string())]) };
    let input = Input { name: "sides", path: &file, base: "/data", params: &IndexMap::new() };
    let outcome = check(&input, &loader, &catalog());
    let plan = outcome.checked.unwrap_or_else(|| panic!("{:#?}", outcome.diagnostics)).lower().optimize();
    let span = Span { column: "id".into(), least: 1, greatest: 1000 };
    let read = |rows| Read { rows: Some(rows), spans: vec![span.clone()], ..Read::default() };
    let read = rows.iter().map(|(name, rows)| (name.to_string(), read(*rows))).collect();
    let mut explanation = explain(&plan, vec![], &IndexMap::new(), &read);
    explanation.analyze(&plan, None);
    let lines = explanation.to_string();
    let lines = lines.lines().map(str::trim).filter(|line| words.iter().any(|word| line.starts_with(word)));
    lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn which_side_of_a_join_is_kept_is_said_and_why() {
    let sources = "source big = delta(\"sensor\")\nsource small = delta(\"device\")\n";
    let rows = [("big", 9_200_000), ("small", 120)];
    let side = |flow: &str| {
        let sink = "sink out = f -> delta(\"out\") { mode overwrite }\n";
        explained(&format!("{sources}flow f = {flow}\n{sink}"), &rows, &["side"])
    };
    assert_eq!(
        side("big |> join small on small.id == id |> select n = timestamp, site = small.site"),
        ["side left: 9,200,000 rows, right: 120 rows: left is matched against right; the rows that come decide"]
    );
    assert_eq!(
        side("small |> join big on big.id == id |> select n = big.timestamp, site"),
        ["side left: 120 rows, right: 9,200,000 rows: right is matched against left; the rows that come decide"]
    );
    assert_eq!(
        side("small |> left join big on big.id == id |> select n = big.timestamp, site"),
        ["side left is matched against right: it goes by the left rows, or by those without a match"]
    );
    assert_eq!(
        side("small |> join big on big.id == id |> aggregate n = last(big.timestamp) by site"),
        ["side left is matched against right: the order of rows counts behind it, or its condition can fail"]
    );
}

/// What is known of a column says how many rows a condition leaves, and that says which side is the smaller one.
#[test]
fn estimates_follow_from_what_is_known_of_columns() {
    let text = "source big = delta(\"sensor\")\nsource small = delta(\"device\")\n\
                flow some = big |> where id == 7\n\
                flow f = small |> join some on some.id == id |> select n = some.timestamp, site\n\
                sink out = f -> delta(\"out\") { mode overwrite }\n";
    let found = explained(text, &[("big", 9_200_000), ("small", 120_000)], &["estimate", "side"]);
    insta::assert_snapshot!(found.join("\n"));
}
