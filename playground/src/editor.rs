//! What an editor shows, as JSON: mistakes with what mends them, colours, hints, hover, completion. Must not know how it is found out: that is `flowc-ide`'s matter.

use crate::offsets::Offsets;
use crate::session::{PATH, Session};
use flowc_ide::{Completion, CompletionKind, Edit, PathLister, Problem, SemanticKind, Severity, TextRange};
use serde_json::{Value as Json, json};

fn place(offsets: &Offsets, range: &TextRange) -> Json {
    json!({ "from": offsets.units(range.start), "to": offsets.units(range.end) })
}

/// Everything that is shown of a program while it is written.
pub(crate) fn overview(session: &mut Session) -> Json {
    let (text, offsets) = session.text();
    // An analysis leaves proofs to whoever wants them.
    session.workspace.program(PATH).prove();
    let problems: Vec<Json> = session.workspace.problems(PATH).iter().map(|p| problem(p, &offsets)).collect();
    let tokens = session.workspace.semantic_tokens(PATH);
    let tokens = tokens.iter().map(|token| {
        let (from, to) = (offsets.units(token.range.start), offsets.units(token.range.end));
        json!([from, to, class(token.kind)])
    });
    let tokens: Vec<Json> = tokens.collect();
    let hints = session.workspace.hints(PATH, 0..text.len());
    let hints = hints.iter().map(
        |hint| json!({ "at": offsets.units(hint.offset), "text": hint.text.trim_start(), "more": hint.tooltip, "type": hint.text.starts_with(':') }),
    );
    let hints: Vec<Json> = hints.collect();
    let runs = session.workspace.program(PATH).outcome.checked.is_some();
    json!({ "problems": problems, "tokens": tokens, "hints": hints, "runs": runs })
}

fn problem(problem: &Problem, offsets: &Offsets) -> Json {
    let edit = |edit: &Edit| json!({ "from": offsets.units(edit.range.start), "to": offsets.units(edit.range.end), "text": edit.text });
    let fixes = problem.fixes.iter().filter(|fix| fix.edits.iter().all(|edit| edit.path == PATH));
    let fixes = fixes.map(|fix| json!({ "title": fix.title, "edits": fix.edits.iter().map(edit).collect::<Vec<_>>() }));
    let related = problem.related.iter().filter(|r| r.path == PATH).map(|r| {
        let mut shown = place(offsets, &r.range);
        shown["message"] = json!(r.message);
        shown
    });
    let mut shown = place(offsets, &problem.range);
    shown["code"] = json!(problem.code);
    shown["severity"] = json!(if problem.severity == Severity::Error { "error" } else { "warning" });
    shown["message"] = json!(problem.message);
    shown["unnecessary"] = json!(problem.unnecessary);
    shown["related"] = related.collect();
    shown["fixes"] = fixes.collect();
    shown
}

fn class(kind: SemanticKind) -> &'static str {
    match kind {
        SemanticKind::Comment => "comment",
        SemanticKind::Keyword => "keyword",
        SemanticKind::Type => "type",
        SemanticKind::Function => "function",
        SemanticKind::Column => "column",
        SemanticKind::Relation => "relation",
        SemanticKind::Parameter => "parameter",
        SemanticKind::Name => "name",
        SemanticKind::Number => "number",
        SemanticKind::String => "string",
        SemanticKind::Operator => "operator",
    }
}

/// Markdown, and what it is about.
pub(crate) fn hover(session: &mut Session, at: usize) -> Json {
    let (text, offsets) = session.text();
    let Some(hover) = session.workspace.hover(PATH, offsets.bytes(&text, at)) else { return json!({}) };
    let mut shown = place(&offsets, &hover.range);
    shown["text"] = json!(hover.text);
    shown
}

/// The sample tables are the files that there are.
struct Locations(Vec<String>);

impl PathLister for Locations {
    fn list(&self, folder: &str) -> Vec<String> {
        let folder = folder.trim_matches('/');
        let below = |location: &String| {
            let location = location.trim_start_matches("./").trim_start_matches('/');
            let rest = if folder.is_empty() { location } else { location.strip_prefix(folder)?.strip_prefix('/')? };
            Some(match rest.split_once('/') {
                Some((folder, _)) => format!("{folder}/"),
                None => rest.to_string(),
            })
        };
        let all: std::collections::BTreeSet<String> = self.0.iter().filter_map(below).collect();
        all.into_iter().collect()
    }
}

/// What could be written: inserted text is a snippet.
pub(crate) fn complete(session: &mut Session, at: usize) -> Json {
    let (text, offsets) = session.text();
    let locations = Locations(session.samples.locations());
    let found = session.workspace.complete(PATH, offsets.bytes(&text, at), &locations);
    // What is not known of a table now would come later elsewhere; here it is asked for at once.
    session.settle();
    let shown = |completion: &Completion| {
        json!({
            "label": completion.label,
            "kind": kind(completion.kind),
            "detail": completion.detail,
            "doc": completion.doc,
            "insert": completion.insert,
            "from": offsets.units(completion.range.start),
            "to": offsets.units(completion.range.end),
        })
    };
    json!({ "options": found.iter().map(shown).collect::<Vec<_>>() })
}

fn kind(kind: CompletionKind) -> &'static str {
    match kind {
        CompletionKind::Column => "column",
        CompletionKind::Field => "field",
        CompletionKind::Relation => "relation",
        CompletionKind::Sink => "sink",
        CompletionKind::Param => "parameter",
        CompletionKind::Function => "function",
        CompletionKind::Type => "type",
        CompletionKind::Keyword => "keyword",
        CompletionKind::Connector => "connector",
        CompletionKind::File => "file",
        CompletionKind::Folder => "folder",
    }
}

/// The signatures of the call around a place.
pub(crate) fn signature(session: &mut Session, at: usize) -> Json {
    let (text, offsets) = session.text();
    match session.workspace.signature_help(PATH, offsets.bytes(&text, at)) {
        Some(help) => json!({ "signatures": help.signatures, "doc": help.doc, "active": help.active }),
        None => json!({}),
    }
}

/// Where something is declared.
pub(crate) fn definition(session: &mut Session, at: usize) -> Json {
    let (text, offsets) = session.text();
    let found = session.workspace.definition(PATH, offsets.bytes(&text, at));
    found.filter(|found| found.path == PATH).map_or(json!({}), |found| place(&offsets, &found.range()))
}

/// The edit that brings the program into canonical form.
pub(crate) fn format(session: &Session) -> Json {
    let (text, offsets) = session.text();
    let Some((range, new)) = flowc_ide::format(&text) else { return json!({}) };
    let mut edit = place(&offsets, &range);
    edit["text"] = json!(new);
    edit
}
