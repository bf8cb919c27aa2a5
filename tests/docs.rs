//! The pages are true: every sample parses and checks, generated pages are current, links lead somewhere, every diagnostic has its page.

use crate::support::root;
use flowc_core::load::FixedLoader;
use flowc_core::pipeline::{self, CheckOutcome, Input};
use flowc_ir::catalog::{Catalog, CatalogError, TableInfo, generated_table};
use flowc_ir::plan::{Connector, VersionSpec};
use flowc_ir::{DataType, Field, Schema, Type};
use indexmap::IndexMap;
use std::path::{Path, PathBuf};

/// The tables that the samples of the pages name, by the last part of their location.
#[derive(Debug)]
pub struct DocsCatalog;

impl Catalog for DocsCatalog {
    fn table(&self, connector: &Connector, _version: Option<VersionSpec>) -> Result<TableInfo, CatalogError> {
        let columns = match connector {
            Connector::Generate { .. } => return Ok(generated_table()),
            Connector::Delta { location } => columns(location.rsplit('/').next().unwrap_or_default()),
            Connector::Csv { .. } | Connector::Json { .. } => {
                let maybe = |name: &str, data: DataType| Field::new(name, Type::nullable(data));
                let seen = vec![maybe("id", DataType::Long), maybe("value", DataType::Double)];
                return Err(CatalogError::Inferred(Schema::new(seen)));
            }
            _ => None,
        };
        let schema = Schema::new(columns.ok_or(CatalogError::NotFound)?);
        Ok(TableInfo { schema, version: Some(3), ..TableInfo::default() })
    }
}

fn columns(table: &str) -> Option<Vec<Field>> {
    let field = |name: &str, data: DataType| Field::new(name, Type::new(data));
    let maybe = |name: &str, data: DataType| Field::new(name, Type::nullable(data));
    Some(match table {
        "sensor" | "sensor_old" => {
            vec![field("id", DataType::Integer), field("timestamp", DataType::Long), maybe("value", DataType::Double)]
        }
        "device" => vec![field("id", DataType::Integer), field("site", DataType::String)],
        "orders" => {
            let line = vec![field("product", DataType::String), field("quantity", DataType::Integer)];
            let lines = DataType::Array(Box::new(Type::new(DataType::Struct(line))));
            vec![field("order_id", DataType::Long), maybe("lines", lines)]
        }
        _ => return None,
    })
}

/// A sample of a page.
#[derive(Debug, Clone)]
pub struct Sample {
    /// `docs/language.md:12`
    pub place: String,
    /// What stands behind `flow,` at the fence.
    pub kind: String,
    /// The program; fragments are completed to one.
    pub text: String,
}

/// Every `flow` sample of the pages and the README.
pub fn samples() -> Vec<Sample> {
    let mut found = vec![];
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        let name = page.strip_prefix(root()).unwrap().display().to_string();
        let mut open: Option<(usize, String, String)> = None;
        for (i, line) in text.lines().enumerate() {
            match (&mut open, line.strip_prefix("```")) {
                (None, Some(info)) => open = Some((i + 1, info.to_string(), String::new())),
                (Some((at, info, sample)), Some(_)) => {
                    let kind = info.strip_prefix("flow").map(|k| k.trim_start_matches(',').to_string());
                    if let Some(kind) = kind.filter(|k| !k.starts_with("file=")) {
                        let text = completed(&kind, sample);
                        found.push(Sample { place: format!("{name}:{at}"), kind, text });
                    }
                    open = None;
                }
                (Some((_, _, sample)), None) => {
                    sample.push_str(line);
                    sample.push('\n');
                }
                (None, None) => {}
            }
        }
    }
    found
}

/// Steps and expressions as parts of a program.
fn completed(kind: &str, sample: &str) -> String {
    let head = "source sensor = delta(\"./warehouse/sensor\")\ntable device = delta(\"./warehouse/device\")\n";
    match kind {
        "steps" => {
            let bounded = "flow input = sensor\n";
            let mode = "sink out = result -> delta(\"./warehouse/out\") { mode overwrite }\n";
            format!(
                "{head}{bounded}flow result = input\n{sample}\nflow others = sensor |> semi join device on device.id == id\nsink rest = others -> console()\n{mode}"
            )
        }
        "expr" => {
            let columns: Vec<String> = sample
                .lines()
                .filter(|l| !l.trim().is_empty())
                .enumerate()
                .map(|(i, l)| format!("e{i} = {l}"))
                .collect();
            format!(
                "{head}flow result = sensor\n|> semi join device on device.id == id\n|> extend {}\nsink out = result -> console()\n",
                columns.join(",\n")
            )
        }
        _ => sample.to_string(),
    }
}

/// The pages of the book and the README; pages of errors have samples that are wrong on purpose.
fn pages() -> Vec<PathBuf> {
    let mut found = vec![root().join("README.md"), root().join("CONTRIBUTING.md")];
    for dir in ["docs", "docs/architecture", "docs/guide"] {
        let entries = std::fs::read_dir(root().join(dir)).unwrap().map(|e| e.unwrap().path());
        found.extend(entries.filter(|p| p.extension().is_some_and(|e| e == "md")));
    }
    found.sort();
    found
}

/// Every program below a directory.
pub fn programs(dir: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    let Ok(entries) = std::fs::read_dir(dir) else { return found };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(programs(&path));
        } else if path.extension().is_some_and(|e| e == "flow") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn check(sample: &Sample) -> CheckOutcome {
    let loader = FixedLoader { files: IndexMap::from([("sample.flow".to_string(), sample.text.clone())]) };
    let params = IndexMap::new();
    let input = Input { name: "sample", path: "sample.flow", base: "/docs", params: &params };
    pipeline::check(&input, &loader, &DocsCatalog)
}

#[test]
fn samples_are_what_they_say() {
    let samples = samples();
    assert!(samples.len() > 15, "the samples were not found");
    let mut complaints = vec![];
    for sample in &samples {
        let outcome = check(sample);
        let errors: Vec<_> = outcome.diagnostics.iter().filter(|d| d.is_error()).collect();
        let codes: Vec<&str> = errors.iter().map(|d| d.code).collect();
        let right = match sample.kind.as_str() {
            "" | "steps" | "expr" => errors.is_empty(),
            "later" => !errors.is_empty() && codes.iter().all(|c| c.starts_with("E07")),
            kind => kind.strip_prefix("error=").is_some_and(|code| codes == [code]),
        };
        if !right {
            let shown: Vec<String> = errors.iter().map(|d| format!("{} {}", d.code, d.message)).collect();
            complaints.push(format!("{} ({}): {}\n{}", sample.place, sample.kind, shown.join("; "), sample.text));
        }
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

/// Compares a generated page with what it should be; FLOWC_BLESS=1 writes it.
fn assert_current(page: &str, wanted: &str) {
    let path = root().join(page);
    if std::env::var_os("FLOWC_BLESS").is_some() {
        std::fs::write(&path, wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == wanted, "{page} is not current: FLOWC_BLESS=1 cargo test -p flowc --test main docs");
}

#[test]
fn the_index_of_errors_is_current() {
    let mut index = String::from("# Errors\n\nEach has a page, here and behind `flowc explain CODE`.\n");
    let mut area = "";
    for (code, text) in flowc::pages::PAGES {
        if area != &code[..3] {
            area = &code[..3];
            index.push_str(&format!("\n## {area}xx: {}\n\n", area_title(area)));
        }
        index.push_str(&format!("- [{code}]({code}.md): {}\n", flowc::pages::title(code, text)));
    }
    assert_current("docs/errors/index.md", &index);
}

fn area_title(area: &str) -> &'static str {
    match area {
        "E01" => "syntax",
        "E02" => "names",
        "E03" => "types",
        "E04" => "tables",
        "E05" | "W05" => "sinks and kinds",
        "E06" => "connectors and options",
        "E07" => "not supported yet",
        "E08" | "W08" => "quality",
        "R01" => "rows",
        "R02" => "sources",
        "R03" => "sinks",
        "R04" => "state",
        "R05" => "storage",
        "R06" => "tests and replays",
        _ => "warnings",
    }
}

/// Every code that stands in the sources, in quotes.
fn codes_in_sources() -> std::collections::BTreeSet<String> {
    let mut found = std::collections::BTreeSet::new();
    for dir in ["compiler", "runtime", "src/suite", "src/commands"] {
        codes_below(&root().join(dir), &mut found);
    }
    found
}

fn codes_below(dir: &Path, found: &mut std::collections::BTreeSet<String>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !["tests", "testing", "target"].contains(&name.as_str()) {
            codes_below(&path, found);
        } else if name.ends_with(".rs") && name != "tests.rs" {
            let text = std::fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]").next().unwrap_or_default();
            for quoted in text.split('"').skip(1).step_by(2) {
                let code = quoted.len() == 5
                    && quoted.starts_with(['E', 'W', 'R'])
                    && quoted[1..].bytes().all(|b| b.is_ascii_digit());
                if code {
                    found.insert(quoted.to_string());
                }
            }
        }
    }
}

#[test]
fn every_code_has_a_page_and_every_page_a_code() {
    let used = codes_in_sources();
    let pages: std::collections::BTreeSet<String> = flowc::pages::PAGES.iter().map(|(c, _)| c.to_string()).collect();
    assert!(used.len() >= 50, "only {} codes were found", used.len());
    let without: Vec<_> = used.difference(&pages).collect();
    assert!(without.is_empty(), "codes without a page under docs/errors: {without:?}");
    let unused: Vec<_> = pages.difference(&used).collect();
    assert!(unused.is_empty(), "pages of codes that nothing reports: {unused:?}");
}

#[test]
fn links_lead_somewhere() {
    let mut complaints = vec![];
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        for target in text.split("](").skip(1).filter_map(|t| t.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") || file.contains(' ') {
                continue;
            }
            if !page.parent().unwrap().join(file).exists() {
                complaints.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(complaints.is_empty(), "links that lead nowhere:\n{}", complaints.join("\n"));
}
