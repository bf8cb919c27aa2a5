//! The text of a `flow.lock`: JSON, sorted, one column or constraint a line, so that a change of a table is a change of few lines. Reading what was written
//! gives the same lock; writing it gives the same text.

use super::{Entry, Found, Lock};
use crate::codes;
use flowc_ir::catalog::TableInfo;
use flowc_ir::plan::VersionSpec;
use flowc_ir::text::{parse_type, print_type};
use flowc_ir::{Field, Schema};
use flowc_syntax::diagnostic::Diagnostic;
use flowc_syntax::span::{FileId, Span};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The version of the format that is read and written.
const FORMAT: u64 = 1;

/// Why a text is no lock.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// It was written by a newer flowc.
    #[error("its format is {0}, this flowc reads {FORMAT}")]
    Newer(u64),
    /// It cannot be understood.
    #[error("{0}")]
    Damaged(String),
}

#[derive(Debug, Serialize, Deserialize)]
struct Row {
    location: String,
    connector: String,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    options: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    programs: Vec<String>,
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    exists: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    columns: Vec<Column>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    names: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    partition_by: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    constraints: Vec<Named>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    generated: Vec<Named>,
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    properties: IndexMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    features: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unreadable: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unwritable: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    files: Option<(u64, u64)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rows: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Column {
    name: String,
    r#type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<i64>,
    /// `char(n)`: blanks at the end do not count.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    padded: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Named {
    name: String,
    sql: String,
}

fn yes() -> bool {
    true
}

fn is_yes(value: &bool) -> bool {
    *value
}

/// A pinned version in words: `version 3`, `2026-11-22T10:00:00Z`.
pub(super) fn at(version: VersionSpec) -> String {
    match version {
        VersionSpec::Number(number) => format!("version {number}"),
        VersionSpec::Timestamp(micros) => jiff::Timestamp::from_microsecond(micros)
            .map_or_else(|_| format!("microsecond {micros}"), |t| t.to_string()),
    }
}

fn parse_at(text: &str) -> Option<VersionSpec> {
    if let Some(number) = text.strip_prefix("version ") {
        return number.parse().ok().map(VersionSpec::Number);
    }
    if let Some(micros) = text.strip_prefix("microsecond ") {
        return micros.parse().ok().map(VersionSpec::Timestamp);
    }
    text.parse::<jiff::Timestamp>().ok().map(|t| VersionSpec::Timestamp(t.as_microsecond()))
}

impl Lock {
    /// The lock of a text.
    pub fn parse(text: &str) -> Result<Lock, LockError> {
        let damaged = |why: String| LockError::Damaged(why);
        if let Some(line) = text.lines().position(|l| l.starts_with("<<<<<<< ") || l.starts_with(">>>>>>> ")) {
            return Err(damaged(format!("line {} is left over from a merge", line + 1)));
        }
        let value: Value = serde_json::from_str(text).map_err(|e| damaged(format!("it is not JSON: {e}")))?;
        match value.get("format").and_then(Value::as_u64) {
            Some(FORMAT) => {}
            Some(other) => return Err(LockError::Newer(other)),
            None => return Err(damaged("it has no format number".into())),
        }
        let rows = value.get("tables").cloned().unwrap_or(Value::Array(vec![]));
        let rows: Vec<Row> = serde_json::from_value(rows).map_err(|e| damaged(e.to_string()))?;
        let entries = rows.into_iter().map(entry).collect::<Result<_, String>>().map_err(damaged)?;
        let mut lock = Lock { entries };
        lock.sort();
        Ok(lock)
    }

    /// Its text.
    pub fn to_text(&self) -> String {
        let tables = self.entries.iter().map(|e| serde_json::to_value(row(e)).unwrap_or_default()).collect();
        let mut all = Map::new();
        all.insert("written_by".into(), "flowc check; keep it in version control, see docs/lock.md".into());
        all.insert("format".into(), FORMAT.into());
        all.insert("tables".into(), Value::Array(tables));
        let mut text = String::new();
        pretty(&Value::Object(all), 0, &mut text);
        text.push('\n');
        text
    }
}

fn row(entry: &Entry) -> Row {
    let mut options = entry.connector.clone();
    let connector = options.shift_remove("connector").and_then(|c| c.as_str().map(str::to_string)).unwrap_or_default();
    let none = TableInfo::default();
    let (info, names) = match &entry.found {
        Found::Table(info) => (info.as_ref(), None),
        Found::Files(names) => (&none, Some(names.clone())),
        Found::Absent => (&none, None),
    };
    let column = |f: &Field| Column {
        name: f.name.clone(),
        r#type: print_type(&f.ty),
        comment: f.comment.clone(),
        id: info.column_ids.get(&f.name).copied(),
        padded: info.padded.contains(&f.name),
    };
    let named = |(name, sql): &(String, String)| Named { name: name.clone(), sql: sql.clone() };
    Row {
        location: entry.location.clone(),
        connector,
        options,
        at: entry.at.map(at),
        programs: entry.programs.clone(),
        exists: entry.found != Found::Absent,
        version: info.version,
        description: info.description.clone(),
        columns: info.schema.fields.iter().map(column).collect(),
        names,
        partition_by: info.partition_by.clone(),
        constraints: info.constraints.iter().map(named).collect(),
        generated: info.generated.iter().map(named).collect(),
        properties: info.properties.clone(),
        features: info.features.clone(),
        unreadable: info.unreadable.clone(),
        unwritable: info.unwritable.clone(),
        files: info.files,
        rows: info.rows,
    }
}

fn entry(row: Row) -> Result<Entry, String> {
    let mut connector = Map::new();
    connector.insert("connector".into(), row.connector.into());
    connector.extend(row.options);
    let bad = |what: String| format!("`{}`: {what}", row.location);
    let at = match &row.at {
        Some(text) => Some(parse_at(text).ok_or_else(|| bad(format!("`{text}` is no version")))?),
        None => None,
    };
    let (mut fields, mut ids, mut padded) = (vec![], IndexMap::new(), vec![]);
    for column in row.columns {
        padded.extend(column.padded.then(|| column.name.clone()));
        let ty = parse_type(&column.r#type).map_err(|e| bad(format!("the type of `{}`: {e}", column.name)))?;
        ids.extend(column.id.map(|id| (column.name.clone(), id)));
        fields.push(Field { name: column.name, ty, comment: column.comment });
    }
    ids.sort_keys();
    let pairs = |named: Vec<Named>| named.into_iter().map(|n| (n.name, n.sql)).collect();
    let found = match (row.exists, row.names) {
        (false, _) => Found::Absent,
        (true, Some(names)) => Found::Files(names),
        (true, None) => Found::Table(Box::new(TableInfo {
            append_only: row.properties.get("delta.appendOnly").is_some_and(|v| v.eq_ignore_ascii_case("true")),
            schema: Schema::new(fields),
            partition_by: row.partition_by,
            constraints: pairs(row.constraints),
            generated: pairs(row.generated),
            properties: row.properties,
            version: row.version,
            features: row.features,
            unreadable: row.unreadable,
            unwritable: row.unwritable,
            column_ids: ids,
            padded,
            description: row.description,
            files: row.files,
            rows: row.rows,
            // Statistics are not recorded.
            bounds: vec![],
        })),
    };
    Ok(Entry { location: row.location, connector, at, programs: row.programs, found })
}

/// JSON with what is small on one line.
fn pretty(value: &Value, indent: usize, out: &mut String) {
    let simple = |v: &Value| !v.is_array() && !v.is_object();
    let flat = match value {
        Value::Array(items) => items.iter().all(simple),
        Value::Object(fields) => indent > 0 && fields.values().all(simple),
        _ => true,
    };
    if flat {
        let line = spaced(value);
        if line.len() + indent <= 120 || simple(value) || value.is_object() {
            out.push_str(&line);
            return;
        }
    }
    let (open, close, parts): (_, _, Vec<(Option<&String>, &Value)>) = match value {
        Value::Object(fields) => ("{", "}", fields.iter().map(|(k, v)| (Some(k), v)).collect()),
        Value::Array(items) => ("[", "]", items.iter().map(|v| (None, v)).collect()),
        _ => return,
    };
    out.push_str(open);
    for (i, (name, part)) in parts.iter().enumerate() {
        out.push_str(if i > 0 { ",\n" } else { "\n" });
        out.push_str(&" ".repeat(indent + 2));
        if let Some(name) = name {
            out.push_str(&format!("{}: ", Value::String(name.to_string())));
        }
        pretty(part, indent + 2, out);
    }
    out.push('\n');
    out.push_str(&" ".repeat(indent));
    out.push_str(close);
}

/// A value on one line.
fn spaced(value: &Value) -> String {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            let parts: Vec<String> = fields.iter().map(|(k, v)| format!("{}: {v}", Value::String(k.clone()))).collect();
            format!("{{ {} }}", parts.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

/// What to say when a program is checked against a lock that does not exist.
pub fn missing(path: &str) -> Diagnostic {
    Diagnostic::error(codes::NO_LOCK, Span::new(FileId(0), 0, 0), "there is no flow.lock to check against")
        .label(format!("`{path}` does not exist"))
        .help("run `flowc check` where the tables can be read: it writes flow.lock")
}

/// What to say when a program is checked against a lock that cannot be used.
pub fn damaged(path: &str, why: &str) -> Diagnostic {
    Diagnostic::error(codes::NO_LOCK, Span::new(FileId(0), 0, 0), format!("`{path}` cannot be used"))
        .label(why)
        .help("restore it from version control, or run `flowc check` where the tables can be read: it writes it anew")
}
