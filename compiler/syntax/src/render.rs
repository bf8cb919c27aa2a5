//! Diagnostics for people (text with the source) and for programs (JSON). Must not know what the mistakes are.

use crate::diagnostic::{Diagnostic, Label, Severity};
use crate::span::{FileId, SourceMap, Span};
use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode, ThemeCharacters, ThemeStyles,
};
use serde::Serialize;
use std::fmt;

/// How diagnostics are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RenderOptions {
    /// With ANSI colours.
    pub color: bool,
    /// Columns of the terminal.
    pub width: usize,
    /// With box-drawing characters, not only ASCII.
    pub unicode: bool,
    /// With how to read more below each.
    pub footer: bool,
}

impl Default for RenderOptions {
    fn default() -> Self {
        RenderOptions { color: false, width: 100, unicode: true, footer: true }
    }
}

/// The diagnostics as text: each with its code, the lines of the source, help, and how to read more.
pub fn render(diagnostics: &[Diagnostic], sources: &SourceMap, options: &RenderOptions) -> String {
    let theme = GraphicalTheme {
        characters: if options.unicode { ThemeCharacters::unicode() } else { ThemeCharacters::ascii() },
        styles: if options.color { ThemeStyles::ansi() } else { ThemeStyles::none() },
    };
    let mut out = String::new();
    for diagnostic in diagnostics {
        let mut handler =
            GraphicalReportHandler::new_themed(theme.clone()).with_width(options.width.max(40)).with_links(false);
        if options.footer {
            handler = handler.with_footer(format!("more: flowc explain {}", diagnostic.code));
        }
        let report = Report::new(diagnostic, sources);
        if handler.render_report(&mut out, &report).is_err() {
            // The source could not be shown; what is wrong still can.
            out.push_str(&plain(diagnostic, sources));
        }
        out.push('\n');
    }
    out
}

/// The diagnostic on one line.
fn plain(diagnostic: &Diagnostic, sources: &SourceMap) -> String {
    let (line, column) = sources.line_column(diagnostic.span.file, diagnostic.span.start);
    let file = &sources.file(diagnostic.span.file).name;
    format!("{file}:{line}:{column}: {}: {}\n", diagnostic.code, diagnostic.message)
}

/// A diagnostic with its source, as miette wants it. Labels in other files become reports of their own below it.
struct Report {
    code: &'static str,
    severity: miette::Severity,
    message: String,
    help: Option<String>,
    labels: Vec<LabeledSpan>,
    source: NamedSource<String>,
    related: Vec<Report>,
}

impl Report {
    fn new(diagnostic: &Diagnostic, sources: &SourceMap) -> Self {
        let file = diagnostic.span.file;
        let mut labels = vec![labeled(sources, diagnostic.span, &diagnostic.label, true)];
        let here = diagnostic.labels.iter().filter(|l| l.span.file == file);
        labels.extend(here.map(|l| labeled(sources, l.span, &l.message, false)));
        let elsewhere = diagnostic.labels.iter().filter(|l| l.span.file != file);
        Report {
            code: diagnostic.code,
            severity: match diagnostic.severity {
                Severity::Error => miette::Severity::Error,
                Severity::Warning => miette::Severity::Warning,
            },
            message: diagnostic.message.clone(),
            help: diagnostic.help.clone(),
            labels,
            source: text(sources, file),
            related: elsewhere.map(|l| Report::aside(diagnostic.code, l, sources)).collect(),
        }
    }

    fn aside(code: &'static str, label: &Label, sources: &SourceMap) -> Self {
        Report {
            code,
            severity: miette::Severity::Advice,
            message: label.message.clone(),
            help: None,
            labels: vec![labeled(sources, label.span, "", true)],
            source: text(sources, label.span.file),
            related: Vec::new(),
        }
    }
}

fn text(sources: &SourceMap, file: FileId) -> NamedSource<String> {
    let file = sources.file(file);
    NamedSource::new(file.name.clone(), file.text.to_string())
}

/// The span as offset and length, moved to lie in the text and not within a character.
fn labeled(sources: &SourceMap, span: Span, message: &str, primary: bool) -> LabeledSpan {
    let text = &sources.file(span.file).text;
    let inside = |byte: u32| {
        let mut at = (byte as usize).min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let (start, end) = (inside(span.start), inside(span.end));
    let message = (!message.is_empty()).then(|| message.to_string());
    let span = (start, end.saturating_sub(start));
    if primary { LabeledSpan::new_primary_with_span(message, span) } else { LabeledSpan::new_with_span(message, span) }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Report {}

impl miette::Diagnostic for Report {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.code))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(self.severity)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|h| Box::new(h) as Box<dyn fmt::Display + 'a>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn miette::Diagnostic> + 'a>> {
        if self.related.is_empty() {
            return None;
        }
        Some(Box::new(self.related.iter().map(|r| r as &dyn miette::Diagnostic)))
    }
}

/// A line and a column, both from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// A further place, for programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JsonLabel {
    /// What is to be seen there.
    pub message: String,
    /// The file's name as the user gave it.
    pub file: String,
    /// The first character.
    pub start: Position,
    /// One past the last.
    pub end: Position,
}

/// What is written instead of what, for programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JsonEdit {
    /// The file's name as the user gave it.
    pub file: String,
    /// The first character that is replaced.
    pub start: Position,
    /// One past the last; `start` where text is inserted.
    pub end: Position,
    /// The new text.
    pub text: String,
}

/// A change of the text that does what the help says, for programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JsonFix {
    /// What it does.
    pub title: String,
    /// Its edits; they do not overlap.
    pub edits: Vec<JsonEdit>,
}

/// A diagnostic for programs: the shape of the command line's contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JsonDiagnostic {
    /// The stable code.
    pub code: &'static str,
    /// `error` or `warning`.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// The file's name as the user gave it.
    pub file: String,
    /// The first character.
    pub start: Position,
    /// One past the last.
    pub end: Position,
    /// What to type instead.
    pub help: Option<String>,
    /// Further places.
    pub labels: Vec<JsonLabel>,
    /// Changes that do what the help says; left out where there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fixes: Vec<JsonFix>,
}

/// The diagnostic with its places as lines and columns.
pub fn to_json(diagnostic: &Diagnostic, sources: &SourceMap) -> JsonDiagnostic {
    let place = |span: Span| {
        let at = |byte| {
            let (line, column) = sources.line_column(span.file, byte);
            Position { line, column }
        };
        (sources.file(span.file).name.clone(), at(span.start), at(span.end))
    };
    let (file, start, end) = place(diagnostic.span);
    let labels = diagnostic.labels.iter().map(|l| {
        let (file, start, end) = place(l.span);
        JsonLabel { message: l.message.clone(), file, start, end }
    });
    let edit = |(span, text): &(Span, String)| {
        let (file, start, end) = place(*span);
        JsonEdit { file, start, end, text: text.clone() }
    };
    let fixes = diagnostic.fixes.iter();
    let fixes = fixes.map(|f| JsonFix { title: f.title.clone(), edits: f.edits.iter().map(edit).collect() });
    JsonDiagnostic {
        code: diagnostic.code,
        severity: diagnostic.severity,
        message: diagnostic.message.clone(),
        file,
        start,
        end,
        help: diagnostic.help.clone(),
        labels: labels.collect(),
        fixes: fixes.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str, start: usize, end: usize) -> String {
        let mut sources = SourceMap::default();
        let file = sources.add("a.flow", text);
        let found = Diagnostic::error("E0101", Span::new(file, start, end), "what").label("here").help("do");
        to_json(&found, &sources);
        render(&[found], &sources, &RenderOptions::default())
    }

    #[test]
    fn every_span_of_every_text_can_be_shown() {
        for text in ["", "a", "a\n", "ä€😀\r\nb", "\n\n\n", "\tx\u{feff}", "one\ntwo\nthree\nfour\nfive\n"] {
            for start in 0..text.len() + 3 {
                for end in 0..text.len() + 3 {
                    let shown = show(text, start, end);
                    assert!(
                        shown.contains("E0101") && shown.contains("what") && shown.contains("flowc explain E0101"),
                        "{shown}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_place_in_another_file_is_shown_below() {
        let mut sources = SourceMap::default();
        let (a, b) = (sources.add("a.flow", "flow a = b"), sources.add("b.flow", "fn f() = 1"));
        let found = Diagnostic::error("E0201", Span::new(a, 9, 10), "no `b`").also(Span::new(b, 3, 4), "not this");
        let shown = render(
            std::slice::from_ref(&found),
            &sources,
            &RenderOptions { color: false, width: 80, unicode: false, footer: true },
        );
        assert!(shown.contains("a.flow:1:10") && shown.contains("b.flow:1:4") && shown.is_ascii(), "{shown}");
        let json = to_json(&found, &sources);
        assert_eq!((json.labels[0].file.as_str(), json.labels[0].start), ("b.flow", Position { line: 1, column: 4 }));
    }
}
