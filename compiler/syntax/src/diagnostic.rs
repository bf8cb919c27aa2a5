//! A mistake as data: code, place, cause, help. Rendering is in `render`; which mistakes exist is each stage's own matter.

use crate::span::Span;
use serde::Serialize;

/// How bad it is. Only an error keeps a program from running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The program runs, but this is probably not meant.
    Warning,
    /// The program does not run.
    Error,
}

/// A further place that explains the mistake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// What is to be seen there.
    pub message: String,
}

/// A change of the text that does what a diagnostic's help says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fix {
    /// What it does, in a few words: an editor shows it in a menu.
    pub title: String,
    /// What is written instead of what; an empty place is inserted at. They do not overlap.
    pub edits: Vec<(Span, String)>,
}

impl Fix {
    /// Text instead of what stands at a place.
    pub fn replace(title: impl Into<String>, span: Span, text: impl Into<String>) -> Self {
        Fix { title: title.into(), edits: vec![(span, text.into())] }
    }

    /// Text before a place.
    pub fn insert(title: impl Into<String>, before: Span, text: impl Into<String>) -> Self {
        Self::replace(title, Span { end: before.start, ..before }, text)
    }

    /// Text behind a place.
    pub fn append(title: impl Into<String>, behind: Span, text: impl Into<String>) -> Self {
        Self::replace(title, Span { start: behind.end, ..behind }, text)
    }
}

/// What to type instead: words for people and, where they name exactly what is meant, that text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Help {
    text: String,
    instead: Option<String>,
}

impl Help {
    /// Asks whether `near` was meant instead of what stands at the diagnostic's place.
    pub fn did_you_mean(near: impl Into<String>) -> Self {
        let near = near.into();
        Help { text: format!("did you mean `{near}`?"), instead: Some(near) }
    }

    /// Says what to write instead of what stands at the diagnostic's place.
    pub fn instead(text: impl Into<String>, instead: impl Into<String>) -> Self {
        Help { text: text.into(), instead: Some(instead.into()) }
    }
}

impl From<&str> for Help {
    fn from(text: &str) -> Self {
        Help { text: text.to_string(), instead: None }
    }
}

impl From<String> for Help {
    fn from(text: String) -> Self {
        Help { text, instead: None }
    }
}

/// One mistake in a program.
///
/// Codes are `E` or `W` and four digits; the first two tell the area: 01 syntax, 02 names, 03 types, 04 tables, 05 sinks and kinds,
/// 06 connectors and options, 07 not supported yet, 08 quality.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// The stable code, for example `E0204`.
    pub code: &'static str,
    /// Error or warning.
    pub severity: Severity,
    /// One sentence without a full stop: what is wrong.
    pub message: String,
    /// The place to change.
    pub span: Span,
    /// What is to be seen at `span`; empty repeats nothing.
    pub label: String,
    /// Further places.
    pub labels: Vec<Label>,
    /// What to type instead.
    pub help: Option<String>,
    /// The same as changes of the text, the likeliest first; none where the help does not say exactly what to write.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fixes: Vec<Fix>,
}

impl Diagnostic {
    /// An error.
    pub fn error(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: message.into(),
            span,
            label: String::new(),
            labels: vec![],
            help: None,
            fixes: vec![],
        }
    }

    /// A warning.
    pub fn warning(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, span, message) }
    }

    /// Says what is to be seen at the main place.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Adds a further place.
    pub fn also(mut self, span: Span, message: impl Into<String>) -> Self {
        self.labels.push(Label { span, message: message.into() });
        self
    }

    /// Says what to type instead; what the help names exactly becomes a fix.
    pub fn help(mut self, help: impl Into<Help>) -> Self {
        let help = help.into();
        if let Some(instead) = help.instead {
            self.fixes.push(Fix::replace(format!("Write `{instead}`"), self.span, instead));
        }
        self.help = Some(help.text);
        self
    }

    /// Adds a change that does away with the mistake.
    pub fn fix(mut self, fix: Fix) -> Self {
        self.fixes.push(fix);
        self
    }

    /// Adds a change, if there is one.
    pub fn fixes(mut self, fixes: impl IntoIterator<Item = Fix>) -> Self {
        self.fixes.extend(fixes);
        self
    }

    /// Whether it keeps the program from running.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// Of the `candidates`, the one the user most likely meant by `name`: the nearest by edit distance, at most a third of its length away.
pub fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    candidates
        .into_iter()
        .map(|c| (strsim::damerau_levenshtein(&lower, &c.to_lowercase()), c))
        .filter(|(d, c)| *d <= (c.chars().count().max(name.chars().count()) / 3).max(1))
        .min_by_key(|(d, c)| (*d, c.len(), *c))
        .map(|(_, c)| c)
}
