//! Diagnostics in places of files, for editors: by path, with what is unused and with the changes that mend them. Must not know what the mistakes are.

use crate::TextRange;
use crate::analysis::{Analysis, range};
use flowc_syntax::span::Span;
use flowc_syntax::{Diagnostic, Severity};

/// A mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its code; a page of the documentation has the same name.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, and behind it what to type instead.
    pub message: String,
    /// Where.
    pub range: TextRange,
    /// Further places.
    pub related: Vec<Related>,
    /// Whether it is about something that could be left out.
    pub unnecessary: bool,
    /// Changes that mend it.
    pub fixes: Vec<QuickFix>,
}

/// A further place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Related {
    /// The file.
    pub path: String,
    /// Where.
    pub range: TextRange,
    /// What is to be seen there.
    pub message: String,
}

/// A change that mends a mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuickFix {
    /// What it does.
    pub title: String,
    /// Its edits.
    pub edits: Vec<Edit>,
}

/// Text instead of what stands at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The file.
    pub path: String,
    /// What is replaced.
    pub range: TextRange,
    /// The new text.
    pub text: String,
}

/// What is declared or computed and never used.
const UNUSED: &[&str] = &[
    flowc_core::codes::UNUSED_PARAM,
    flowc_core::codes::UNUSED_FUNCTION,
    flowc_core::codes::UNUSED_FLOW,
    flowc_core::codes::UNUSED_SOURCE,
    flowc_core::codes::UNREAD_COLUMN,
];

/// The mistakes of a program, with the paths of their files.
pub(crate) fn problems(analysis: &Analysis) -> impl Iterator<Item = (&str, Problem)> {
    analysis.diagnostics().iter().map(|d| (analysis.path(d.span.file), problem(analysis, d)))
}

/// Whether a program's warning says that something is never used, which is no mistake in a file that other programs use.
pub(crate) fn is_unused(code: &str) -> bool {
    UNUSED.contains(&code)
}

fn problem(analysis: &Analysis, diagnostic: &Diagnostic) -> Problem {
    let path = |span: Span| analysis.path(span.file).to_string();
    let mut message = diagnostic.message.clone();
    for more in [Some(&diagnostic.label).filter(|l| !l.is_empty()), diagnostic.help.as_ref()].into_iter().flatten() {
        message.push('\n');
        message.push_str(more);
    }
    let related = diagnostic.labels.iter();
    let related = related.map(|l| Related { path: path(l.span), range: range(l.span), message: l.message.clone() });
    let edit = |(span, text): &(Span, String)| Edit { path: path(*span), range: range(*span), text: text.clone() };
    let fixes = diagnostic.fixes.iter();
    let fixes = fixes.map(|f| QuickFix { title: f.title.clone(), edits: f.edits.iter().map(edit).collect() });
    Problem {
        code: diagnostic.code,
        severity: diagnostic.severity,
        message,
        range: range(diagnostic.span),
        related: related.collect(),
        unnecessary: is_unused(diagnostic.code),
        fixes: fixes.collect(),
    }
}
