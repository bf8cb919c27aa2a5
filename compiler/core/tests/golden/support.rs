//! A world of fixed tables, the reader of golden cases, and the text form of diagnostics.

use flowc_core::load::FixedLoader;
use flowc_core::lock::drift::{Drift, Moment, When, changes};
use flowc_core::lock::place::{Harmless, place};
use flowc_core::pipeline::{CheckOutcome, Input, check};
use flowc_ir::catalog::{Answer, Catalog, CatalogError, TableInfo, generated_table, location};
use flowc_ir::plan::{Connector, VersionSpec};
use flowc_ir::{DataType, Field, Schema, Type};
use flowc_syntax::{Diagnostic, SourceMap};
use indexmap::IndexMap;
use std::fmt::Write;

/// The tables that the cases may name, all in `/w`.
pub struct World;

fn column(text: &str) -> Field {
    let (name, ty) = text.split_once(": ").expect("name: type");
    let (ty, nullable) = ty.strip_suffix('?').map_or((ty, false), |t| (t, true));
    let string = |nullable| Type { data: DataType::String, nullable };
    let data = match ty {
        "integer" => DataType::Integer,
        "long" => DataType::Long,
        "short" => DataType::Short,
        "double" => DataType::Double,
        "float" => DataType::Float,
        "string" => DataType::String,
        "boolean" => DataType::Boolean,
        "date" => DataType::Date,
        "timestamp" => DataType::Timestamp,
        "money" => DataType::Decimal { precision: 10, scale: 2 },
        "strings" => DataType::Array(Box::new(string(false))),
        "map" => DataType::Map(Box::new(DataType::String), Box::new(string(true))),
        "address" => DataType::Struct(vec![Field::new("city", string(true)), Field::new("zip", string(false))]),
        other => panic!("no such type in the test world: {other}"),
    };
    Field::new(name, Type { data, nullable })
}

fn table(columns: &[&str]) -> TableInfo {
    TableInfo {
        schema: Schema::new(columns.iter().map(|c| column(c)).collect()),
        version: Some(3),
        ..TableInfo::default()
    }
}

const ORDERS: &[&str] = &[
    "id: long",
    "customer: long?",
    "amount: money",
    "discount: money?",
    "note: string?",
    "tags: strings?",
    "address: address?",
    "attrs: map?",
    "at: timestamp",
    "day: date",
    "paid: boolean?",
    "weight: float?",
];

fn pairs(items: &[(&str, &str)]) -> Vec<(String, String)> {
    items.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect()
}

fn named(name: &str) -> Result<TableInfo, CatalogError> {
    let sensor: &[&str] = &["id: integer", "timestamp: long", "value: double?"];
    Ok(match name {
        "sensor" | "sensor_history" => table(sensor),
        "device" => table(&["id: integer", "site: string", "kind: string?", "installed: date?"]),
        "orders" => table(ORDERS),
        "results" => table(&["id: integer", "celsius: double", "level: short?"]),
        "strict" => table(&["id: long", "value: double", "label: string"]),
        "partitioned" => {
            TableInfo { partition_by: vec!["day".into()], ..table(&["id: long", "at: timestamp", "day: date?"]) }
        }
        "generated" => TableInfo {
            partition_by: vec!["day".into()],
            generated: pairs(&[("day", "CAST(at AS DATE)")]),
            ..table(&["id: long", "at: timestamp", "day: date?"])
        },
        "constrained" => TableInfo {
            constraints: pairs(&[("positive", "amount > 0"), ("known", "id IS NOT NULL")]),
            ..table(&["id: long", "amount: money?"])
        },
        "odd" => TableInfo { constraints: pairs(&[("odd", "my_udf(id) > 0")]), ..table(&["id: long"]) },
        "mapped" => TableInfo { unreadable: vec!["columnMapping".into()], ..table(sensor) },
        "tracked" => TableInfo { unwritable: vec!["rowTracking".into()], ..table(&["id: integer", "value: double?"]) },
        "log" => TableInfo { append_only: true, ..table(&["id: integer", "value: double?"]) },
        "new_sites" => return Err(CatalogError::NotLocked("no table is opened, and there is no entry for it".into())),
        "variant" => return Err(CatalogError::UnknownType("payload".into(), "variant".into())),
        "far" => return Err(CatalogError::Unreachable("connection refused".into())),
        "garbage" => return Err(CatalogError::Malformed("`/w/garbage`, line 1: it is not JSON".into())),
        "folder" => return Err(CatalogError::NotATable("a folder of CSV files".into())),
        "readings.csv" | "readings.jsonl" => {
            return Err(CatalogError::Inferred(table(&["id: long?", "taken at: timestamp?", "value: double?"]).schema));
        }
        "orders/*.csv" | "orders/1.csv" | "moments" => {
            let columns = ["id: long?", "customer: string?", "at: timestamp?"];
            return Err(CatalogError::Inferred(table(&columns).schema));
        }
        "readings.parquet" | "readings/*.parquet" => table(&["id: long?", "value: double?"]),
        _ => return Err(CatalogError::NotFound),
    })
}

impl Catalog for World {
    fn table(&self, connector: &Connector, version: Option<VersionSpec>) -> Result<TableInfo, CatalogError> {
        if matches!(connector, Connector::Generate { .. }) {
            return Ok(generated_table());
        }
        if matches!(version, Some(VersionSpec::Number(n)) if n > 3) {
            return Err(CatalogError::NoSuchVersion { oldest: 0, newest: 3 });
        }
        let place = location(connector).expect("a connector with a place");
        named(place.strip_prefix("/w/").unwrap_or("nowhere"))
    }

    fn neighbours(&self, _connector: &Connector) -> Vec<String> {
        ["sensor", "device", "orders"].map(|n| format!("/w/{n}")).to_vec()
    }
}

/// A case: its files, the first the program, and the parameters.
pub struct Case {
    pub files: IndexMap<String, String>,
    pub params: IndexMap<String, String>,
    /// What flow.lock has of tables that it has not as they are.
    pub locked: Vec<(String, String)>,
    /// Whether it is checked against a flow.lock that does not exist.
    pub unlocked: bool,
}

/// Takes a case apart.
pub fn case(text: &str) -> Case {
    let mut files = IndexMap::from([("/w/main.flow".to_string(), String::new())]);
    let mut params = IndexMap::new();
    let (mut locked, mut unlocked) = (vec![], false);
    let mut current = "/w/main.flow".to_string();
    for line in text.split_inclusive('\n') {
        if let Some(name) = line.strip_prefix("#@ file ") {
            current = format!("/w/{}", name.trim());
            files.insert(current.clone(), String::new());
            continue;
        }
        if let Some((name, value)) = line.strip_prefix("#@ param ").and_then(|p| p.split_once('=')) {
            params.insert(name.trim().to_string(), value.trim().to_string());
        }
        if let Some((name, what)) = line.strip_prefix("#@ flow.lock has ").and_then(|l| l.split_once(' ')) {
            locked.push((name.to_string(), what.trim().to_string()));
        }
        unlocked |= line.starts_with("#@ flow.lock is missing");
        files.get_mut(&current).expect("inserted before").push_str(line);
    }
    Case { files, params, locked, unlocked }
}

/// Checks a case.
pub fn run(case: &Case) -> CheckOutcome {
    let loader = FixedLoader { files: case.files.clone() };
    let input = Input { name: "main", path: "/w/main.flow", base: "/w", params: &case.params };
    let mut outcome = check(&input, &loader, &World);
    if case.unlocked {
        outcome = CheckOutcome { checked: None, diagnostics: vec![flowc_core::lock::missing("flow.lock")], ..outcome };
    }
    if !case.locked.is_empty() {
        let drifts: Vec<Drift> = outcome.answers.iter().filter_map(|answer| drift(case, answer)).collect();
        place(&mut outcome, &drifts, &|catalog| check(&input, &loader, catalog), Harmless::Warned);
    }
    outcome
}

/// How a table differs from what the case says that flow.lock has.
fn drift(case: &Case, answer: &Answer) -> Option<Drift> {
    let is = answer.found.as_ref().ok()?;
    let name = location(&answer.connector)?.strip_prefix("/w/")?;
    let mut was = is.clone();
    for (_, what) in case.locked.iter().filter(|(table, _)| table == name) {
        if let Some(columns) = what.strip_prefix("with ") {
            was.schema = flowc_ir::text::parse_program(&format!("program ({columns}) {{ }}")).ok()?.input;
        } else if let Some(column) = what.strip_prefix("partitioned by ") {
            was.partition_by = vec![column.to_string()];
        } else if let Some((name, text)) = what.strip_prefix("constraint ").and_then(|c| c.split_once(": ")) {
            was.constraints.retain(|(n, _)| n != name);
            was.constraints.push((name.to_string(), text.to_string()));
            was.constraints.sort();
        }
    }
    let changes = changes(&was, is).into_iter().map(|c| (c, None)).collect();
    let mut drift = Drift { answer: answer.clone(), was, changes };
    let when = When { version: 3, after: None, what: "ALTER TABLE".into() };
    drift.date(&[Moment { when, info: is.clone() }]);
    (!drift.changes.is_empty()).then_some(drift)
}

/// Checks a program.
pub fn check_text(text: &str) -> CheckOutcome {
    run(&case(text))
}

/// The codes written in the case, with file and line.
pub fn expected(case: &Case) -> Vec<(String, usize, String)> {
    let mut codes = vec![];
    for (file, text) in &case.files {
        for (number, line) in text.lines().enumerate() {
            let Some((_, marks)) = line.split_once("#~ ") else { continue };
            codes.extend(marks.split_whitespace().map(|code| (file.clone(), number + 1, code.to_string())));
        }
    }
    codes.sort();
    codes
}

/// The codes found, with file and line.
pub fn found(outcome: &CheckOutcome) -> Vec<(String, usize, String)> {
    let place = |d: &Diagnostic| {
        let (line, _) = outcome.sources.line_column(d.span.file, d.span.start);
        (outcome.sources.file(d.span.file).name.clone(), line, d.code.to_string())
    };
    let mut codes: Vec<_> = outcome.diagnostics.iter().map(place).collect();
    codes.sort();
    codes
}

fn quoted(sources: &SourceMap, span: flowc_syntax::Span) -> String {
    let (line, column) = sources.line_column(span.file, span.start);
    let text = sources.text(span);
    let first = text.lines().next().unwrap_or_default();
    let more = if text.lines().count() > 1 { " …" } else { "" };
    format!("{line}:{column} ‹{first}{more}›")
}

/// All diagnostics as text.
pub fn rendered(outcome: &CheckOutcome) -> String {
    let mut out = String::new();
    for d in &outcome.diagnostics {
        let word = if d.is_error() { "error" } else { "warning" };
        let at = quoted(&outcome.sources, d.span);
        writeln!(out, "{word}[{}]: {}\n  at {at} {}", d.code, d.message, d.label).expect("a string takes text");
        for label in &d.labels {
            writeln!(out, "  and {} {}", quoted(&outcome.sources, label.span), label.message)
                .expect("a string takes text");
        }
        if let Some(help) = &d.help {
            writeln!(out, "  help: {help}").expect("a string takes text");
        }
    }
    for bad in &outcome.bad_params {
        writeln!(out, "bad param: {}", bad.message).expect("a string takes text");
    }
    out
}

/// The `.flow` files of a folder of golden cases, by name.
pub fn cases(folder: &str) -> Vec<(String, String)> {
    let folder = format!("{}/tests/golden/{folder}", env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("the folder of cases")
        .map(|e| e.expect("an entry").path())
        .filter(|p| p.extension().is_some_and(|e| e == "flow"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no cases in {folder}");
    let read = |p: &std::path::PathBuf| {
        let name = p.file_stem().expect("a name").to_string_lossy().to_string();
        (name, std::fs::read_to_string(p).expect("the case"))
    };
    files.iter().map(read).collect()
}
