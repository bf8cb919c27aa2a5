//! `flowc show`: a Delta table: what it is, its partitions and history, some of its rows, what versions did.

use crate::cli::{Format, Show};
use crate::console::Console;
use crate::exit::{Exit, Failure};
use crate::progress::group;
use crate::report;
use crate::world::describe;
use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type};
use arrow::record_batch::RecordBatch;
use flowc_delta::Storage;
use flowc_delta::show::{self, Change, Entry, Summary};
use flowc_ir::Schema;
use flowc_ir::plan::VersionSpec;
use flowc_runtime::RunError;
use serde_json::{Value, json};
use std::fmt::Write;
use std::sync::Arc;

/// Versions of the history that are shown, the newest first.
const HISTORY: usize = 20;
/// Partitions that are shown.
const PARTITIONS: usize = 20;
/// Changed rows of a version that `--changes` shows.
const CHANGED_ROWS: usize = 20;

/// Shows the table.
pub fn show(words: &Show, console: &Console) -> Result<Exit, Failure> {
    let location = location(&words.table)?;
    let threads = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let threads = threads.map_err(|e| Failure::world(format!("cannot start threads: {e}")))?;
    let shown = threads.block_on(async {
        let storage = Storage::open(&location).map_err(|e| e.reading(&words.table))?;
        match words.changes {
            Some((from, to)) => changes(words, &storage, from, to).await,
            None => table(words, &storage).await,
        }
    });
    match shown {
        Ok(text) => {
            console.out(&text);
            Ok(Exit::Fine)
        }
        Err(error) => {
            let unplaced = RunError { origin: None, ..error };
            let nowhere = flowc_syntax::SourceMap::default();
            console.err(&report::run_error_text(&unplaced, &nowhere, console.color_err));
            Ok(report::run_exit(&unplaced))
        }
    }
}

/// A URL as it is, a path made absolute.
pub(super) fn location(table: &str) -> Result<String, Failure> {
    if table.contains("://") {
        return Ok(table.to_string());
    }
    let path = std::path::absolute(table).map_err(|e| Failure::usage(format!("`{table}`: {}", describe(&e))))?;
    Ok(path.to_string_lossy().into_owned())
}

async fn table(words: &Show, storage: &Storage) -> Result<String, RunError> {
    let version = words.version.map(VersionSpec::Number);
    let summary = show::summary(storage, version).await?;
    let mut history = show::history(storage, HISTORY).await?;
    history.retain(|entry| words.version.is_none_or(|v| entry.version <= v));
    let rows = match words.rows {
        Some(limit) => Some(show::rows(storage, version, limit).await?),
        None => None,
    };
    Ok(match words.format {
        Format::Text => {
            let mut text = table_text(&words.table, &summary, &history);
            if let Some((_, batches)) = &rows {
                let _ = writeln!(text, "\n{}", pretty(batches));
            }
            text
        }
        Format::Json => {
            let mut document = table_json(&words.table, &summary, &history);
            if let Some((schema, batches)) = &rows {
                document["rows"] = json_rows(batches, schema);
            }
            format!("{document:#}\n")
        }
    })
}

async fn changes(words: &Show, storage: &Storage, from: u64, to: u64) -> Result<String, RunError> {
    let (schema, changes) = show::changes(storage, from..=to, CHANGED_ROWS).await?;
    Ok(match words.format {
        Format::Text => changes.iter().map(change_text).collect(),
        Format::Json => {
            let change = |change: &Change| {
                let mut value = serde_json::to_value(&change.entry).unwrap_or(Value::Null);
                value["rows"] = json_rows(&change.rows, &schema);
                value
            };
            let changes: Vec<Value> = changes.iter().map(change).collect();
            format!("{:#}\n", json!({ "table": words.table, "changes": changes }))
        }
    })
}

fn change_text(change: &Change) -> String {
    let mut text = format!("{}\n", entry_line(&change.entry));
    if !change.rows.is_empty() {
        let rows: Vec<RecordBatch> = change.rows.iter().filter_map(signed).collect();
        let _ = writeln!(text, "{}", pretty(&rows));
        let shown: usize = change.rows.iter().map(RecordBatch::num_rows).sum();
        match change.count {
            Some(all) if all > shown as u64 => {
                let _ = writeln!(text, "and {} more", count(all - shown as u64, "row"));
            }
            // How many rows a removed file had is not always known.
            None if shown == CHANGED_ROWS => text.push_str("and maybe more\n"),
            _ => {}
        }
    }
    text.push('\n');
    text
}

/// Rows with `+` or `-` before them in place of their weight behind them.
fn signed(batch: &RecordBatch) -> Option<RecordBatch> {
    let (weight, columns) = batch.columns().split_last()?;
    let weights = weight.as_primitive_opt::<Int64Type>()?;
    let signs = StringArray::from_iter_values(weights.values().iter().map(|w| if *w < 0 { "-" } else { "+" }));
    let schema = batch.schema();
    let sign = Arc::new(Field::new("", DataType::Utf8, false));
    let fields: Vec<_> = std::iter::once(sign).chain(schema.fields().iter().take(columns.len()).cloned()).collect();
    let columns = std::iter::once(Arc::new(signs) as ArrayRef).chain(columns.iter().cloned()).collect();
    RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(fields)), columns).ok()
}

fn table_text(name: &str, summary: &Summary, history: &[Entry]) -> String {
    let info = &summary.info;
    let mut text = name.to_string();
    if let Some(version) = info.version {
        let _ = write!(text, ", version {version}");
    }
    text.push('\n');
    if let Some(description) = &info.description {
        let _ = writeln!(text, "{description}");
    }
    let named = |pairs: &[(String, String)]| pairs.iter().map(|(n, e)| format!("{n}: {e}")).collect::<Vec<_>>();
    section(&mut text, "schema", &schema_lines(&info.schema));
    section(&mut text, "partitioned by", &info.partition_by);
    section(&mut text, "partitions", &partition_lines(summary));
    section(&mut text, "constraints", &named(&info.constraints));
    section(&mut text, "generated columns", &named(&info.generated));
    section(&mut text, "properties", &info.properties.iter().map(|(k, v)| format!("{k}: {v}")).collect::<Vec<_>>());
    section(&mut text, "features", &info.features);
    section(&mut text, "features that flowc cannot read", &info.unreadable);
    section(&mut text, "features that flowc cannot write", &info.unwritable);
    let epochs: Vec<String> = summary.applications.iter().map(|(app, n)| format!("{app}: {n}")).collect();
    section(&mut text, "last epoch of each writer", &epochs);
    let files = info.files.map(|(files, bytes)| format!("{}, {} bytes", count(files, "file"), group(bytes)));
    let rows = info.rows.map(|rows| count(rows, "row"));
    section(&mut text, "size", &files.into_iter().chain(rows).collect::<Vec<_>>());
    section(&mut text, "history", &history.iter().map(entry_line).collect::<Vec<_>>());
    text
}

fn schema_lines(schema: &Schema) -> Vec<String> {
    let width = schema.fields.iter().map(|f| f.name.chars().count()).max().unwrap_or(0);
    let kinds: Vec<String> = schema.fields.iter().map(|f| f.ty.to_string()).collect();
    let kind_width = kinds.iter().filter(|k| k.len() <= 30).map(String::len).max().unwrap_or(0);
    let line = |(field, kind): (&flowc_ir::Field, &String)| match &field.comment {
        Some(comment) => format!("{:width$}  {kind:kind_width$}  ## {comment}", field.name),
        None => format!("{:width$}  {kind}", field.name),
    };
    schema.fields.iter().zip(&kinds).map(line).collect()
}

/// `1 file`, `2 files`
fn count(n: u64, what: &str) -> String {
    format!("{} {what}{}", group(n), if n == 1 { "" } else { "s" })
}

fn partition_lines(summary: &Summary) -> Vec<String> {
    let value = |(name, value): (&String, &Option<String>)| match value {
        Some(value) => format!("{name}={value}"),
        None => format!("{name} is null"),
    };
    let mut lines: Vec<String> = vec![];
    for partition in summary.partitions.iter().take(PARTITIONS) {
        let values: Vec<String> = partition.values.iter().map(value).collect();
        let rows = partition.rows.map(|n| format!(", {}", count(n, "row"))).unwrap_or_default();
        lines.push(format!("{}: {}{rows}", values.join(", "), count(partition.files, "file")));
    }
    if summary.partitions.len() > PARTITIONS {
        lines.push(format!("and {} more", group((summary.partitions.len() - PARTITIONS) as u64)));
    }
    lines
}

fn section(text: &mut String, title: &str, lines: &[String]) {
    if !lines.is_empty() {
        let _ = writeln!(text, "\n{title}");
        for line in lines {
            let _ = writeln!(text, "  {line}");
        }
    }
}

/// A version in one line.
fn entry_line(entry: &Entry) -> String {
    let time = entry.timestamp.map(time).unwrap_or_default();
    let rows = entry.rows_added.map(|n| format!(", {}", count(n, "row"))).unwrap_or_default();
    let removed =
        if entry.files_removed > 0 { format!(", -{}", count(entry.files_removed, "file")) } else { String::new() };
    let epochs: Vec<String> = entry.applications.iter().map(|(app, n)| format!("  {app} epoch {n}")).collect();
    let (version, operation, added) = (entry.version, &entry.operation, count(entry.files_added, "file"));
    format!("version {version}  {time}  {operation}  +{added}{rows}{removed}{}", epochs.concat())
}

/// Milliseconds as people write times.
fn time(milliseconds: i64) -> String {
    jiff::Timestamp::from_millisecond(milliseconds).map_or_else(|_| milliseconds.to_string(), |t| t.to_string())
}

fn table_json(name: &str, summary: &Summary, history: &[Entry]) -> Value {
    let info = &summary.info;
    let columns = info.schema.fields.iter().map(
        |f| json!({ "name": f.name, "type": f.ty.data.to_string(), "nullable": f.ty.nullable, "comment": f.comment }),
    );
    let named = |pairs: &[(String, String)]| {
        pairs.iter().map(|(name, sql)| json!({ "name": name, "expression": sql })).collect::<Vec<_>>()
    };
    json!({
        "table": name,
        "id": summary.id,
        "version": info.version,
        "versions": { "oldest": summary.versions.0, "newest": summary.versions.1 },
        "created": summary.created,
        "description": info.description,
        "schema": columns.collect::<Vec<_>>(),
        "partition_by": info.partition_by,
        "partitions": summary.partitions,
        "constraints": named(&info.constraints),
        "generated": named(&info.generated),
        "properties": info.properties,
        "protocol": { "reader": summary.protocol.0, "writer": summary.protocol.1 },
        "features": info.features,
        "unreadable": info.unreadable,
        "unwritable": info.unwritable,
        "applications": summary.applications,
        "files": info.files.map(|f| f.0),
        "bytes": info.files.map(|f| f.1),
        "row_count": info.rows,
        "history": history,
    })
}

/// Rows as a table of text.
pub(crate) fn pretty(batches: &[RecordBatch]) -> String {
    match arrow::util::pretty::pretty_format_batches(batches) {
        Ok(table) => table.to_string(),
        Err(why) => format!("the rows cannot be shown: {why}"),
    }
}

fn json_rows(batches: &[RecordBatch], schema: &Schema) -> Value {
    let mut rows = vec![];
    for batch in batches {
        for row in 0..batch.num_rows() {
            let mut text = String::new();
            flowc_runtime::text::write_json_row(&mut text, batch, schema, row);
            rows.push(serde_json::from_str(&text).unwrap_or(Value::String(text)));
        }
    }
    Value::Array(rows)
}
