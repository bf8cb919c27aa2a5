//! What is known of what stands at a place, as Markdown. Must not know how it was found out.

use crate::TextRange;
use crate::analysis::{Analysis, doc_of, range, touches};
use crate::cursor::Cursor;
use crate::navigate;
use crate::occurrences::{Occurrence, Target};
use crate::words::{self, Word};
use crate::workspace::Workspace;
use flowc_core::facts::{Shape, ShapeColumn};
use flowc_core::pipeline::{self, RowsAt};
use flowc_ir::graph::Kind;
use flowc_syntax::ast::{ExprKind, Function, Item, StringPart};
use flowc_syntax::span::{FileId, Span};
use flowc_syntax::{TokenKind, highlight};
use std::fmt::Write;

/// What an editor shows of a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hover {
    /// What it is about.
    pub range: TextRange,
    /// Markdown.
    pub text: String,
}

impl Workspace {
    /// What is known of what stands at a byte.
    pub fn hover(&mut self, path: &str, offset: usize) -> Option<Hover> {
        let (now, file) = self.at(path);
        let file = file?;
        if let Some(found) = navigate::at(&now, file, offset)
            && let Some(text) = of_name(&now, &found)
        {
            return Some(Hover { range: range(found.span), text });
        }
        of_word(now.text(file), offset).or_else(|| of_expression(&now, file, offset))
    }
}

fn code(text: &str) -> String {
    format!("```flow\n{text}\n```\n")
}

fn of_name(now: &Analysis, found: &Occurrence) -> Option<String> {
    Some(match &found.target {
        Target::Column(id) => column(now, *id, found),
        Target::BuiltIn(name) => return built_in(name),
        Target::File(path) => code(&format!("use \"{path}\"")),
        Target::Local(function, name) => {
            let (_, item) = now.declarations().find(|(n, _)| n.text == *function)?;
            let Item::Function(function) = item else { return None };
            let (_, ty) = function.params.iter().find(|(p, _)| p.text == *name)?;
            code(&format!("{name}: {}", now.outcome.sources.text(ty.span)))
        }
        Target::Relation(name) | Target::Sink(name) | Target::Function(name) | Target::Param(name) => {
            let fits = |item: &Item| match item {
                Item::Param(_) => matches!(found.target, Target::Param(_)),
                Item::Function(_) => matches!(found.target, Target::Function(_)),
                Item::Sink(_) => matches!(found.target, Target::Sink(_)),
                _ => matches!(found.target, Target::Relation(_)),
            };
            let (_, item) = now.declarations().find(|(n, item)| n.text == *name && fits(item))?;
            declaration(now, name, item)
        }
    })
}

fn declaration(now: &Analysis, name: &str, item: &Item) -> String {
    let text = |span| now.outcome.sources.text(span);
    let mut out = match item {
        Item::Param(x) => {
            let default = x.default.as_ref().map_or(String::new(), |e| format!(" = {}", text(e.span)));
            code(&format!("param {name}: {}{default}", text(x.ty.span)))
        }
        Item::Function(x) => code(&format!("fn {}", own_signature(now, x))),
        Item::Source(x) => code(&format!("source {name} = {}", text(x.connector.span))),
        Item::Table(x) => code(&format!("table {name} = {}", text(x.connector.span))),
        Item::Flow(x) => code(&format!("flow {name} = {}", text(x.input.span))),
        Item::Sink(x) => code(&format!("sink {name} = {} -> {}", text(x.input.span), text(x.connector.span))),
        Item::Use(_) | Item::Test(_) => String::new(),
    };
    if let Some(doc) = doc_of(item) {
        let _ = writeln!(out, "\n{doc}");
    }
    let relation = if let Item::Sink(sink) = item { sink.input.name.text.as_str() } else { name };
    let shown = !matches!(item, Item::Param(_) | Item::Function(_));
    if let Some(shape) = now.facts.relations.get(relation).filter(|_| shown) {
        let _ = write!(out, "\n{}\n\n{}", kind(shape), columns(shape));
    }
    if let Item::Source(_) | Item::Table(_) = item {
        out += &promises(now, name);
    }
    out
}

/// What the table promises of every row.
fn promises(now: &Analysis, name: &str) -> String {
    let Some(checked) = now.outcome.checked.as_ref().or(now.outcome.undecided.as_ref()) else { return String::new() };
    let source = checked.sources.iter().find(|s| s.spec.name == name).map(|s| &s.info);
    let table = checked.tables.iter().find(|t| t.spec.name == name).map(|t| &t.info);
    let Some(info) = source.or(table) else { return String::new() };
    let mut out = String::new();
    for (name, condition) in &info.constraints {
        let _ = write!(out, "\n- `{name}`: `{condition}` holds of every row");
    }
    if let Some(description) = &info.description {
        let _ = write!(out, "\n\n{description}");
    }
    if let Some(version) = info.version {
        let _ = write!(out, "\n\nversion {version}");
        if let Some(rows) = info.rows {
            let _ = write!(out, ", {rows} rows");
        }
    }
    out
}

/// In a sentence, how rows come.
pub(crate) fn kind(shape: &Shape) -> String {
    let end = if shape.bounded { "bounded" } else { "unbounded" };
    match &shape.kind {
        Kind::Append => format!("*{end}, rows are only added*"),
        Kind::Changing { key } if key.is_empty() => format!("*{end}, rows change*"),
        Kind::Changing { key } => format!("*{end}, rows change; key: {}*", key.join(", ")),
    }
}

/// A table of columns.
fn columns(shape: &Shape) -> String {
    let mut out = String::from("| column | type | |\n|---|---|---|\n");
    for column in &shape.columns {
        let ty = column.ty.as_ref().map_or("?".to_string(), |t| t.to_string());
        let comment = column.comment.as_deref().unwrap_or_default().replace('|', "\\|").replace('\n', " ");
        let _ = writeln!(out, "| `{}` | `{}` | {comment} |", column.written(), ty.replace('|', "\\|"));
    }
    if shape.open {
        out += "| … | | what else there is, is not known |\n";
    }
    out
}

fn column(now: &Analysis, id: usize, found: &Occurrence) -> String {
    let Some(origin) = now.facts.columns.get(id) else { return String::new() };
    let shapes = || now.facts.relations.values().chain(now.facts.steps.values().map(|s| &s.after));
    let known = shapes().flat_map(|s| &s.columns).find(|c| c.id == Some(id));
    // A path is recorded with the table's name before it.
    let ends =
        now.facts.types.iter().find(|(span, _)| {
            span.file == found.span.file && span.end == found.span.end && span.start <= found.span.start
        });
    let ty = ends.map(|(_, ty)| ty).filter(|_| !found.defines).or(known.and_then(|c| c.ty.as_ref()));
    let shown = ty.map_or("?".to_string(), |t| t.to_string());
    let mut out = code(&format!("{}: {shown}", flowc_ir::types::quote_name(&origin.name)));
    if let Some(comment) = known.and_then(|c| c.comment.as_deref()) {
        let _ = writeln!(out, "\n{comment}");
    }
    let line = |span: flowc_syntax::Span| now.outcome.sources.line_column(span.file, span.start).0;
    let of_table = |span: flowc_syntax::Span| {
        let (name, _) = now.declarations().find(|(_, item)| {
            let whole = item.span();
            whole.file == span.file && whole.start <= span.start && span.end <= whole.end
        })?;
        Some(name.text.as_str())
    };
    match (origin.stored, of_table(origin.span)) {
        (true, Some(name)) => drop(writeln!(out, "\na column of `{name}`")),
        (_, Some(name)) => drop(writeln!(out, "\nmade by `{name}`, line {}", line(origin.span))),
        _ => {}
    }
    let from: Vec<String> = origin
        .from
        .iter()
        .filter_map(|f| now.facts.columns.get(*f))
        .map(|c| {
            let of = of_table(c.span).map_or(String::new(), |name| format!(" of `{name}`"));
            format!("`{}`{of}", c.name)
        })
        .collect();
    if !from.is_empty() {
        let _ = writeln!(out, "\ncomputed from {}", from.join(", "));
    }
    out + &what_is_known(now, id, found).unwrap_or_default()
}

/// What is known of a column where its name stands: what its values are, and who says so.
fn what_is_known(now: &Analysis, id: usize, found: &Occurrence) -> Option<String> {
    let main = now.trees.first()?;
    let within =
        |span: Span| span.file == found.span.file && span.start <= found.span.start && found.span.end <= span.end;
    let item = main.declarations().find(|item| within(item.span()))?;
    let name = item.name()?.text.as_str();
    let in_rows = |shape: &Shape| Some(shape.columns.iter().find(|c| c.id == Some(id))?.clone());
    let step = match item {
        Item::Flow(flow) => flow.steps.iter().find(|step| within(step.span)),
        // What a side output holds is not what the flow does.
        Item::Sink(sink) if sink.input.output.is_some() => return None,
        Item::Sink(sink) => {
            let input = &sink.input.name.text;
            return known_of(now, RowsAt::Of(input), &in_rows(now.facts.relations.get(input)?)?);
        }
        _ => None,
    };
    let Some(step) = step else {
        return known_of(now, RowsAt::Of(name), &in_rows(now.facts.relations.get(name)?)?);
    };
    let shapes = now.facts.steps.get(&step.span)?;
    // What the step itself makes is there behind it alone.
    match in_rows(&shapes.before).filter(|_| !found.defines) {
        Some(column) => known_of(now, RowsAt::Before(name, step.span.start), &column),
        None => known_of(now, RowsAt::Behind(name, step.span.end), &in_rows(&shapes.after)?),
    }
}

fn known_of(now: &Analysis, rows: RowsAt<'_>, column: &ShapeColumn) -> Option<String> {
    let name = column.table.as_ref().map_or(column.name.to_string(), |table| format!("{table}.{}", column.name));
    let known = pipeline::known(&now.outcome, rows, &name)?;
    let mut out =
        format!("\nknown: {}\n", if known.values.is_empty() { "of every row".into() } else { known.values.join("; ") });
    for reason in &known.reasons {
        let line = reason.origin.map(|at| now.outcome.sources.line_column(FileId(at.file), at.start).0);
        let line = line.map_or(String::new(), |line| format!(", line {line}"));
        let _ = write!(out, "\n- `{}`: {}{line}", reason.text, reason.source);
    }
    Some(out + "\n")
}

/// The documentation of a function of the language.
pub(crate) fn built_in(name: &str) -> Option<String> {
    if let Some(aggregate) = flowc_ir::aggregates::ALL.iter().find(|a| a.name == name) {
        return Some(format!(
            "{}\n{}\n",
            code(&aggregate.signature.replace(", ", "\n").replace("\nfraction", ", fraction")),
            aggregate.doc
        ));
    }
    let function = flowc_ir::functions::completions().into_iter().find(|f| f.name == name)?;
    let mut out = format!("{}\n{}\n", code(&function.signatures.join("\n")), function.doc);
    if function.fails {
        out += "\nA row can fail here; `try(…)` makes that null.\n";
    }
    if !function.examples.is_empty() {
        let lines: Vec<String> = function.examples.iter().map(|(call, result)| format!("{call}  # {result}")).collect();
        let _ = write!(out, "\n{}", code(&lines.join("\n")));
    }
    Some(out)
}

/// `name(a: T) -> T`
pub(crate) fn own_signature(now: &Analysis, function: &Function) -> String {
    let text = |span| now.outcome.sources.text(span);
    let params: Vec<String> = function.params.iter().map(|(n, ty)| format!("{}: {}", n.text, text(ty.span))).collect();
    let result = function.result.as_ref().map(|r| text(r.span).to_string());
    let result = result.or_else(|| now.facts.types.get(&function.body.span).map(|t| t.to_string()));
    format!("{}({}) -> {}", function.name.text, params.join(", "), result.unwrap_or_else(|| "?".into()))
}

/// The path with the defaults of params in place of them.
pub(crate) fn with_defaults(now: &Analysis, path: &str) -> String {
    let mut out = path.to_string();
    for (name, item) in now.declarations() {
        if let Item::Param(param) = item
            && let Some(ExprKind::String(parts)) = param.default.as_ref().map(|e| &e.kind)
            && let [StringPart::Text(text)] = parts.as_slice()
        {
            out = out.replace(&format!("{{{}}}", name.text), text);
        }
    }
    out
}

fn of_word(text: &str, offset: usize) -> Option<Hover> {
    let (stretch, kind) = highlight(text).into_iter().find(|(r, k)| r.contains(&offset) && *k != TokenKind::Space)?;
    if kind != TokenKind::Keyword && kind != TokenKind::Constant {
        return None;
    }
    let word = &text[stretch.clone()];
    let cursor = Cursor::new(text, stretch.start);
    let lists: &[&'static [Word]] = match (cursor.back(1), cursor.declaration.0) {
        _ if cursor.before.is_empty() => &[words::DECLARATIONS],
        ("|>", _) => &[words::STEPS],
        ("mode", "sink") => &[words::MODES],
        ("else", "flow") => &[words::POLICIES, words::EXPRESSIONS],
        (_, "flow") => &[words::EXPRESSIONS, words::STEPS],
        (_, "source" | "table") => &[words::SOURCE_CLAUSES, words::EXPRESSIONS],
        (_, "sink") => &[words::SINK_CLAUSES, words::EXPRESSIONS],
        (_, "test") => &[words::TEST_CLAUSES, words::EXPRESSIONS],
        _ => &[words::EXPRESSIONS, words::DECLARATIONS],
    };
    let found = words::find(lists, word)?;
    Some(Hover { range: stretch, text: format!("**{}**\n\n{}", found.name, found.doc) })
}

/// The type of the smallest expression at a place.
fn of_expression(now: &Analysis, file: FileId, offset: usize) -> Option<Hover> {
    let here = now.facts.types.iter().filter(|(span, _)| touches(**span, file, offset) && (span.end as usize) > offset);
    let (span, ty) = here.min_by_key(|(span, _)| span.end - span.start)?;
    Some(Hover { range: range(*span), text: code(&ty.to_string()) })
}
