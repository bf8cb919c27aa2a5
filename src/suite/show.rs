//! What tests came to, for people and for programs: a line a test, differing rows as a table, one JSON document.

use super::compare::{Difference, Line};
use super::literal::literal;
use super::{Mismatch, Outcome};
use crate::console::paint;
use crate::report;
use flowc_ir::types::quote_name;
use flowc_ir::{DataType, Value};
use flowc_syntax::SourceMap;
use serde_json::{Map, Value as Json, json};

/// How many differing rows are shown.
const MOST_LINES: usize = 20;

/// How many characters of a cell are shown.
const MOST_CELL: usize = 60;

/// A failure: what is wrong and where, then the rows or why the run stopped.
pub fn mismatch(mismatch: &Mismatch, sources: &SourceMap, color: bool) -> String {
    let mut text = report::diagnostics_text(std::slice::from_ref(&mismatch.diagnostic), sources, color);
    if let Some(rows) = &mismatch.rows {
        text.push_str(&table(rows, color));
        text.push('\n');
    }
    if let Some(error) = &mismatch.stopped {
        text.push_str(&report::run_error_text(error, sources, color));
        text.push('\n');
    }
    text
}

/// A line of the table: the sign, the cells, which of them differ, and a word.
struct Shown {
    sign: &'static str,
    cells: Vec<String>,
    word: &'static str,
    differs: Vec<bool>,
}

fn cell(value: &Value, data: &DataType) -> String {
    let text = literal(value, data);
    if text.chars().count() <= MOST_CELL {
        return text;
    }
    let cut: String = text.chars().take(MOST_CELL - 1).collect();
    cut + "…"
}

fn shown(difference: &Difference) -> Vec<Shown> {
    let types: Vec<&DataType> = difference.schema.fields.iter().map(|f| &f.ty.data).collect();
    let found = |row: &[Value]| row.iter().zip(&types).map(|(v, t)| cell(v, t)).collect();
    let named = |row: &[Option<Value>]| {
        row.iter().zip(&types).map(|(v, t)| v.as_ref().map_or(String::new(), |v| cell(v, t))).collect()
    };
    let none = vec![false; types.len()];
    let mut lines = vec![];
    for line in difference.lines.iter().take(MOST_LINES) {
        match line {
            Line::Changed { expected, found: row } => {
                let differs: Vec<bool> = expected.iter().zip(row).map(|(e, f)| Line::differs(e, f)).collect();
                lines.push(Shown { sign: "-", cells: named(expected), word: "expected", differs: none.clone() });
                lines.push(Shown { sign: "+", cells: found(row), word: "", differs });
            }
            Line::Missing(row) => {
                lines.push(Shown { sign: "-", cells: named(row), word: "missing", differs: none.clone() });
            }
            Line::Unexpected(row) => {
                lines.push(Shown { sign: "+", cells: found(row), word: "unexpected", differs: none.clone() });
            }
        }
    }
    lines
}

/// The differing rows as a table: `-` is expected, `+` came out, `^` marks the cells that differ.
pub fn table(difference: &Difference, color: bool) -> String {
    let fields = &difference.schema.fields;
    let names: Vec<String> = fields.iter().map(|f| quote_name(&f.name)).collect();
    let lines = shown(difference);
    let width = |i: usize| {
        let cells = lines.iter().map(|line| line.cells[i].chars().count());
        cells.chain([names[i].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..fields.len()).map(width).collect();
    let aligned = |i: usize, text: &str| {
        let space = " ".repeat(widths[i].saturating_sub(text.chars().count()));
        if fields[i].ty.data.is_numeric() { space + text } else { text.to_string() + &space }
    };
    let row = |cells: &[String]| (0..cells.len()).map(|i| aligned(i, &cells[i])).collect::<Vec<_>>().join("  ");
    let mut text = format!("      {}\n", row(&names).trim_end());
    for line in &lines {
        let whole = format!("    {} {}", line.sign, row(&line.cells));
        let word = if line.word.is_empty() { String::new() } else { format!("    {}", line.word) };
        let sgr = if line.sign == "-" { "31" } else { "32" };
        text.push_str(&paint(color, sgr, if word.is_empty() { whole.trim_end() } else { &whole }));
        text.push_str(&paint(color, "2", &word));
        text.push('\n');
        if line.differs.iter().any(|d| *d) {
            let mark = |i: usize| {
                let sign = if line.differs[i] { '^' } else { ' ' };
                let length = line.cells[i].chars().count().max(1);
                aligned(i, &sign.to_string().repeat(length))
            };
            let marks = (0..fields.len()).map(mark).collect::<Vec<_>>().join("  ");
            text.push_str(&paint(color, "1", format!("      {marks}").trim_end()));
            text.push('\n');
        }
    }
    let more = difference.lines.len().saturating_sub(MOST_LINES);
    if more > 0 {
        text.push_str(&format!("      and {more} more\n"));
    }
    if difference.same > 0 {
        let rows = if difference.same == 1 { "1 row is".to_string() } else { format!("{} rows are", difference.same) };
        text.push_str(&format!("      {rows} as expected\n"));
    }
    text
}

/// A test for programs.
pub fn outcome_json(outcome: &Outcome, sources: &SourceMap) -> Json {
    let (line, _) = sources.line_column(outcome.place.file, outcome.place.start);
    json!({
        "name": outcome.name,
        "file": sources.file(outcome.place.file).name,
        "line": line,
        "status": if outcome.passed() { "passed" } else { "failed" },
        "executions": outcome.executions,
        "milliseconds": outcome.took.as_millis() as u64,
        "failures": outcome.failures.iter().map(|f| mismatch_json(f, sources)).collect::<Vec<_>>(),
    })
}

fn mismatch_json(mismatch: &Mismatch, sources: &SourceMap) -> Json {
    let mut document = report::diagnostic_json(&mismatch.diagnostic, sources);
    document["label"] = json!(mismatch.diagnostic.label);
    document["rows"] = mismatch.rows.as_ref().map_or(Json::Null, rows_json);
    document["error"] = mismatch.stopped.as_ref().map_or(Json::Null, |e| report::run_error_json(e, sources));
    document
}

/// Rows that differ: values as they are written in a program, so that every type has a text.
fn rows_json(difference: &Difference) -> Json {
    let fields = &difference.schema.fields;
    let object = |row: &mut dyn Iterator<Item = Option<Value>>| -> Json {
        let cells = fields.iter().zip(row);
        let cells = cells.filter_map(|(f, v)| v.map(|v| (f.name.clone(), json!(literal(&v, &f.ty.data)))));
        Json::Object(cells.collect::<Map<_, _>>())
    };
    let mut lines = vec![];
    for line in &difference.lines {
        lines.push(match line {
            Line::Changed { expected, found } => {
                let pairs = fields.iter().zip(expected.iter().zip(found));
                let columns: Vec<&str> =
                    pairs.filter(|(_, (e, f))| Line::differs(e, f)).map(|(field, _)| field.name.as_str()).collect();
                json!({
                    "kind": "changed",
                    "expected": object(&mut expected.iter().cloned()),
                    "found": object(&mut found.iter().cloned().map(Some)),
                    "columns": columns,
                })
            }
            Line::Missing(row) => json!({ "kind": "missing", "expected": object(&mut row.iter().cloned()) }),
            Line::Unexpected(row) => {
                json!({ "kind": "unexpected", "found": object(&mut row.iter().cloned().map(Some)) })
            }
        });
    }
    json!({ "same": difference.same, "different": lines })
}
