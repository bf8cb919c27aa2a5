//! A workspace of texts given beforehand, with a few tables, and texts with a cursor.

use flowc_ide::{Edit, LoadError, Loader, PathLister, Problem, Workspace};
use flowc_ir::catalog::{CatalogError, TableInfo, location};
use flowc_ir::{DataType, Field, Schema, Type};
use std::collections::BTreeMap;

/// The program that the tests edit.
pub const MAIN: &str = "/w/main.flow";

/// Files that are not open.
pub struct Files(pub BTreeMap<String, String>);

impl Loader for Files {
    fn load(&self, path: &str) -> Result<String, LoadError> {
        self.0.get(path).cloned().ok_or(LoadError::NotFound)
    }
}

/// Folders with a table and a file.
pub struct Folders;

impl PathLister for Folders {
    fn list(&self, folder: &str) -> Vec<String> {
        let names: &[&str] = match folder {
            "/w" => &["data/", "library.flow", "main.flow", "notes.txt"],
            "/w/data" => &["device/", "sensor/"],
            _ => &[],
        };
        names.iter().map(|n| n.to_string()).collect()
    }
}

fn column(name: &str, data: DataType, nullable: bool, comment: Option<&str>) -> Field {
    Field { comment: comment.map(str::to_string), ..Field::new(name, Type { data, nullable }) }
}

/// What is at a place.
pub fn table(place: &str) -> Result<TableInfo, CatalogError> {
    let columns = match place.rsplit('/').next().unwrap_or_default() {
        "sensor" => vec![
            column("id", DataType::Integer, false, Some("The sensor.")),
            column("timestamp", DataType::Long, false, None),
            column("value", DataType::Double, true, Some("Degrees Celsius.")),
        ],
        "device" => vec![
            column("id", DataType::Integer, false, None),
            column("site", DataType::String, false, None),
            column(
                "address",
                DataType::Struct(vec![
                    column("city", DataType::String, true, None),
                    column("zip", DataType::String, false, None),
                ]),
                true,
                None,
            ),
        ],
        "gauge" => {
            let columns = vec![
                column("id", DataType::Long, false, None),
                column("level", DataType::Double, true, None),
                column("most", DataType::Double, true, None),
                column("kind", DataType::String, true, None),
                column("at", DataType::Timestamp, false, None),
            ];
            let constraints = [
                ("level_fits", "level >= 0.0 AND level <= 100.0"),
                ("below", "level <= most"),
                ("kinds", "kind IN ('a', 'b')"),
            ];
            let constraints = constraints.map(|(name, condition)| (name.to_string(), condition.to_string())).to_vec();
            return Ok(TableInfo { schema: Schema::new(columns), constraints, ..TableInfo::default() });
        }
        "readings.csv" => {
            let schema = Schema::new(vec![
                column("id", DataType::Long, true, None),
                column("value", DataType::Double, true, None),
            ]);
            return Err(CatalogError::Inferred(schema));
        }
        _ => return Err(CatalogError::NotFound),
    };
    Ok(TableInfo { schema: Schema::new(columns), version: Some(3), rows: Some(1000), ..TableInfo::default() })
}

/// A workspace with this text open, its tables read.
pub fn open(text: &str) -> Workspace {
    open_with(text, &[])
}

/// The same with files that are not open.
pub fn open_with(text: &str, files: &[(&str, &str)]) -> Workspace {
    let files = files.iter().map(|(path, text)| (path.to_string(), text.to_string())).collect();
    let mut workspace = Workspace::new(Box::new(Files(files)));
    workspace.set_text(MAIN, text);
    read_tables(&mut workspace);
    workspace
}

/// Answers what is asked of tables until nothing is.
pub fn read_tables(workspace: &mut Workspace) {
    loop {
        for path in workspace.open_files() {
            workspace.program(&path);
        }
        let open = workspace.tables.take_open();
        if open.is_empty() {
            return;
        }
        for question in open {
            let found = location(&question.connector).map_or(Err(CatalogError::NotFound), table);
            let near = ["device", "sensor"].map(|name| format!("/w/data/{name}"));
            let near = if found.is_err() { near.to_vec() } else { vec![] };
            workspace.tables.answer(&question, found, near);
        }
    }
}

/// The text without `$0`, and where that stood.
pub fn cursor(text: &str) -> (String, usize) {
    let at = text.find("$0").expect("the text has a cursor");
    (text.replacen("$0", "", 1), at)
}

/// The text after edits of it.
pub fn apply(text: &str, edits: &[Edit]) -> String {
    let mut edits: Vec<&Edit> = edits.iter().filter(|e| e.path == MAIN).collect();
    edits.sort_by_key(|e| std::cmp::Reverse(e.range.start));
    let mut out = text.to_string();
    for edit in edits {
        out.replace_range(edit.range.clone(), &edit.text);
    }
    out
}

/// The mistakes as lines.
pub fn show(text: &str, problems: &[Problem]) -> String {
    let line = |p: &Problem| {
        let fixes: Vec<&str> = p.fixes.iter().map(|f| f.title.as_str()).collect();
        let unused = if p.unnecessary { " unnecessary" } else { "" };
        format!("{}{unused} `{}` {} {fixes:?}\n", p.code, &text[p.range.clone()], p.message.replace('\n', " / "))
    };
    problems.iter().map(line).collect()
}
