//! How mistakes and failures are shown: for people through miette, for programs as JSON. Knows diagnostics and run errors; not where they come from.

use crate::exit::Exit;
use crate::progress::group;
use flowc_core::pipeline::CheckOutcome;
use flowc_runtime::quality::ExpectationReport;
use flowc_runtime::{Blame, RunError};
use flowc_syntax::{Diagnostic, FileId, RenderOptions, SourceMap, Span};
use serde_json::{Value, json};

/// The exit status that checking gives.
pub fn check_exit(outcome: &CheckOutcome) -> Exit {
    if !outcome.bad_params.is_empty() {
        Exit::Usage
    } else if outcome.world_failed {
        Exit::World
    } else if outcome.checked.is_none() || outcome.diagnostics.iter().any(Diagnostic::is_error) {
        Exit::Wrong
    } else {
        Exit::Fine
    }
}

/// Diagnostics for people, one after the other.
pub fn diagnostics_text(diagnostics: &[Diagnostic], sources: &SourceMap, color: bool) -> String {
    flowc_syntax::render(diagnostics, sources, &RenderOptions { color, ..RenderOptions::default() })
}

/// How many errors and warnings there are, in words; none if there are none.
pub fn tally(diagnostics: &[Diagnostic]) -> Option<String> {
    let errors = diagnostics.iter().filter(|d| d.is_error()).count();
    let of = |n: usize, what: &str| (n > 0).then(|| format!("{n} {what}{}", if n == 1 { "" } else { "s" }));
    let parts: Vec<String> =
        [of(errors, "error"), of(diagnostics.len() - errors, "warning")].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// A diagnostic for programs.
pub fn diagnostic_json(diagnostic: &Diagnostic, sources: &SourceMap) -> Value {
    serde_json::to_value(flowc_syntax::to_json(diagnostic, sources)).unwrap_or(Value::Null)
}

/// Diagnostics for programs.
pub fn diagnostics_json(diagnostics: &[Diagnostic], sources: &SourceMap) -> Vec<Value> {
    diagnostics.iter().map(|d| diagnostic_json(d, sources)).collect()
}

/// Something that is proved, for programs.
pub fn proved_json(guarantee: &flowc_core::explain::Guarantee) -> Value {
    let mut value = serde_json::to_value(guarantee).unwrap_or(Value::Null);
    if let Some(fields) = value.as_object_mut() {
        fields.remove("proved");
    }
    value
}

/// The exit status that a failed run gives.
pub fn run_exit(error: &RunError) -> Exit {
    match error.blame {
        Blame::Data => Exit::Wrong,
        Blame::World => Exit::World,
    }
}

/// A run's error as a diagnostic, where it has a place in the program.
fn as_diagnostic(error: &RunError, sources: &SourceMap) -> Option<Diagnostic> {
    let origin = error.origin?;
    let known = (origin.file as usize) < sources.files().count();
    known.then(|| {
        let span = Span { file: FileId(origin.file), start: origin.start, end: origin.end };
        let mut diagnostic = Diagnostic::error(error.code, span, error.message.clone());
        diagnostic.help = error.help.clone();
        diagnostic
    })
}

/// A run's error for people: the expression underlined, the row, how to go on.
pub fn run_error_text(error: &RunError, sources: &SourceMap, color: bool) -> String {
    let mut text = match as_diagnostic(error, sources) {
        Some(diagnostic) => diagnostics_text(&[diagnostic], sources, color),
        None => {
            let head = crate::console::paint(color, "1;31", &format!("error[{}]:", error.code));
            let help = error.help.iter().map(|h| format!("  {} {h}\n", crate::console::paint(color, "36", "help:")));
            format!("{head} {}\n{}", error.message, help.collect::<String>())
        }
    };
    if !error.row.is_empty() {
        let width = error.row.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        text.push_str("  the row:\n");
        for (name, value) in &error.row {
            text.push_str(&format!("    {name:width$} = {value}\n"));
        }
    }
    text
}

/// The rules that rows failed, each underlined, with a few of those rows.
pub fn failures_text(rules: &[ExpectationReport], sources: &SourceMap, color: bool) -> String {
    let failed: Vec<&ExpectationReport> = rules.iter().filter(|r| r.counts.failed + r.counts.repaired > 0).collect();
    if failed.is_empty() {
        return String::new();
    }
    let mut text = String::new();
    for rule in failed {
        let (message, help) = (failure_message(rule), sample_rows(&rule.samples));
        let origin = rule.origin;
        if origin.end > 0 && (origin.file as usize) < sources.files().count() {
            let span = Span { file: FileId(origin.file), start: origin.start, end: origin.end };
            let diagnostic = Diagnostic { help, ..Diagnostic::warning(RULE_FAILED, span, message) };
            let options = RenderOptions { color, footer: false, ..RenderOptions::default() };
            text.push_str(&flowc_syntax::render(&[diagnostic], sources, &options));
        } else {
            // The rule is no longer in the program: an epoch of an earlier form of it was finished.
            text.push_str(&format!("{message}\n{}\n", help.unwrap_or_default()));
        }
    }
    text.push_str(&format!("  more: flowc explain {RULE_FAILED}\n\n"));
    text
}

/// The code under which a run tells of rows that failed a rule.
const RULE_FAILED: &str = "R0114";

fn failure_message(rule: &ExpectationReport) -> String {
    let counts = &rule.counts;
    let what = if rule.judges_epoch { "epochs" } else { "rows" };
    let became = [(counts.dropped, "dropped"), (counts.quarantined, "quarantined"), (counts.repaired, "repaired")];
    let became: Vec<String> =
        became.into_iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{} {word}", group(n))).collect();
    let became = if became.is_empty() { String::new() } else { format!(": {}", became.join(", ")) };
    let (failed, all) = (group(counts.failed + counts.repaired), group(counts.passed + counts.failed));
    format!("rule `{}` of `{}`: {failed} of {all} {what} failed{became}", rule.name, rule.flow)
}

fn sample_rows(samples: &[Vec<(String, String)>]) -> Option<String> {
    let row = |row: &Vec<(String, String)>| {
        let cells: Vec<String> = row.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        format!("{{ {} }}", cells.join(", "))
    };
    let rows: Vec<String> = samples.iter().map(row).collect();
    (!rows.is_empty()).then(|| format!("for example\n{}", rows.join("\n")))
}

/// A run's error for programs.
pub fn run_error_json(error: &RunError, sources: &SourceMap) -> Value {
    let mut value = match as_diagnostic(error, sources) {
        Some(diagnostic) => diagnostic_json(&diagnostic, sources),
        None => json!({
            "code": error.code,
            "severity": "error",
            "message": error.message,
            "file": null,
            "start": null,
            "end": null,
            "help": error.help,
            "labels": [],
        }),
    };
    let row: serde_json::Map<String, Value> =
        error.row.iter().map(|(name, value)| (name.clone(), Value::String(value.clone()))).collect();
    value["row"] = Value::Object(row);
    value
}
