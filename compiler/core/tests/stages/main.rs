//! Programs through the later stages: the graph as it is lowered, optimized and explained. Each `golden/*.flow` has its texts beside it.

mod sql;

use flowc_core::explain::{Read, explain, guarantees};
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
        let read = Read { files: Some(9), files_after_pruning: Some(2), columns: Some(7), rows: None };
        let read = plan.sources.iter().map(|s| (s.name.clone(), read)).collect();
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
