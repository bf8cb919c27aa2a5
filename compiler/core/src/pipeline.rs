//! The table of contents of the compiler: every stage is a type, made from the one before.
//!
//! ```text
//! text ── load ──▶ Loaded (syntax trees) ── check ──▶ Checked ── prove ──▶ Checked ── lower ──▶ Graph ── optimize ──▶ Graph ── plan ──▶ Plan
//! ```
//!
//! Nothing here reads files, tables or clocks: files come in through [`Loader`], tables through [`Catalog`], parameters as text.

use crate::check;
use crate::checked::Checked;
use crate::facts::Facts;
use crate::load::{self, Loaded, Loader};
use crate::prove;
pub use crate::prove::{Known, RowsAt};
use flowc_ir::Origin;
use flowc_ir::catalog::{Answer, Catalog, Recorder};
use flowc_ir::plan::{Connector, VersionSpec};
use flowc_syntax::ast::{Ast, Item};
use flowc_syntax::diagnostic::{Diagnostic, Severity};
use flowc_syntax::span::{FileId, SourceMap, Span};
use indexmap::IndexMap;
use std::collections::BTreeMap;

/// What is compiled.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The pipeline's name: the program's file stem.
    pub name: &'a str,
    /// The program's file, as the loader knows it and as messages show it.
    pub path: &'a str,
    /// The absolute directory that relative locations are joined to.
    pub base: &'a str,
    /// The values of `--param name=value`, as text.
    pub params: &'a IndexMap<String, String>,
}

/// A parameter on the command line that the program cannot take (exit status 2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadParam {
    /// Its name.
    pub name: String,
    /// What is wrong.
    pub message: String,
}

/// A source, table or sink, and what was asked of the catalog for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Declared {
    /// `source`, `table` or `sink`.
    pub role: &'static str,
    /// Its name.
    pub name: String,
    /// What was asked for.
    pub connector: Connector,
    /// At which version; none: as it is now.
    pub version: Option<VersionSpec>,
    /// Where the connector is written.
    pub span: Span,
}

/// What checking found.
#[derive(Debug, Clone, Default)]
pub struct CheckOutcome {
    /// The texts that the diagnostics refer to.
    pub sources: SourceMap,
    /// The program; none if there is an error outside of its tests.
    pub checked: Option<Checked>,
    /// The same before anything was proved of it: every test is still in it.
    pub undecided: Option<Checked>,
    /// By file and place; warnings too.
    pub diagnostics: Vec<Diagnostic>,
    /// Whether a table could not be reached (exit status 3).
    pub world_failed: bool,
    /// Parameters of the command line that do not fit (exit status 2).
    pub bad_params: Vec<BadParam>,
    /// Locations that are written relative to the program's directory: the absolute one, and as it is written.
    pub relative: BTreeMap<String, String>,
    /// What was asked of the catalog, and for whom.
    pub declared: Vec<Declared>,
    /// What the catalog answered.
    pub answers: Vec<Answer>,
    /// Whether a table is not read yet, so that nothing was judged that depends on it. Then there is no checked program.
    pub pending: bool,
    /// The places of the `test` blocks: what is wrong there keeps tests from running, and nothing else.
    pub tests: Vec<Span>,
}

impl CheckOutcome {
    /// Whether a diagnostic is about a test only.
    pub fn is_of_test(&self, diagnostic: &Diagnostic) -> bool {
        is_within(diagnostic.span, &self.tests)
    }
}

/// Text → checked program: reads the files, resolves names, settles types against the catalog's tables.
pub fn check(input: &Input<'_>, loader: &dyn Loader, catalog: &dyn Catalog) -> CheckOutcome {
    let (mut outcome, _) = judge(input, load::load(input.path, loader), catalog, false);
    prove(&mut outcome);
    outcome
}

/// As [`check`], of files that were read already, and with what is known where: for editors. Nothing is proved yet: that is [`prove()`].
pub fn analyze(input: &Input<'_>, loaded: Loaded, catalog: &dyn Catalog) -> (CheckOutcome, Facts) {
    let (outcome, facts) = judge(input, loaded, catalog, true);
    (outcome, facts.unwrap_or_default())
}

fn judge(input: &Input<'_>, loaded: Loaded, catalog: &dyn Catalog, facts: bool) -> (CheckOutcome, Option<Facts>) {
    let broken = loaded.diagnostics.iter().any(Diagnostic::is_error);
    let recorder = Recorder::new(catalog);
    let mut result = check::check(input, &loaded.trees, broken, &recorder, facts);
    let mut diagnostics = loaded.diagnostics;
    // What is said of the very place of a syntax error only follows from it.
    let follows = |d: &Diagnostic| diagnostics.iter().any(|syntax| syntax.is_error() && overlap(d.span, syntax.span));
    // A file that is missing may hold any function.
    let unread = diagnostics.iter().any(|d| d.code == crate::codes::USE_NOT_FOUND);
    let unheard = |d: &Diagnostic| unread && d.code == crate::codes::UNKNOWN_FUNCTION;
    result.diagnostics.retain(|d| !follows(d) && !unheard(d));
    diagnostics.append(&mut result.diagnostics);
    diagnostics.sort_by(|a, b| (a.span, a.code, &a.message).cmp(&(b.span, b.code, &b.message)));
    diagnostics.dedup();
    let items = loaded.trees.iter().take(1).flat_map(Ast::declarations);
    let tests = items.filter_map(|item| if let Item::Test(test) = item { Some(test.span) } else { None });
    let tests: Vec<Span> = tests.collect();
    // Tests are no part of what runs. A syntax error is one anywhere: where a broken test ends is not known.
    let is_sound = |found: &[Diagnostic]| {
        found.iter().all(|d| d.severity == Severity::Warning || !broken && is_within(d.span, &tests))
    };
    let checked = result.checked.filter(|_| is_sound(&diagnostics) && result.bad_params.is_empty() && !result.pending);
    let outcome = CheckOutcome {
        sources: loaded.sources,
        checked,
        undecided: None,
        diagnostics,
        world_failed: result.world_failed,
        bad_params: result.bad_params,
        relative: result.relative,
        declared: result.declared,
        answers: recorder.answers(),
        pending: result.pending,
        tests,
    };
    (outcome, result.facts)
}

/// Decides what has to hold of a program that [`analyze`] found without mistakes: the last part of [`check`], and the longest.
pub fn prove(outcome: &mut CheckOutcome) {
    let Some(mut checked) = outcome.checked.take() else { return };
    let undecided = checked.clone();
    let before = (!checked.tests.is_empty()).then(|| Box::new(checked.clone()));
    decide(&mut checked, &outcome.sources, &mut outcome.diagnostics);
    checked.unproved = before;
    let tests = &outcome.tests;
    if outcome.diagnostics.iter().all(|d| d.severity == Severity::Warning || is_within(d.span, tests)) {
        (outcome.checked, outcome.undecided) = (Some(checked), Some(undecided));
    }
}

/// All that is said of a program once it is proved, as [`prove()`] would; for whoever needs no program afterwards.
pub fn proved(outcome: &CheckOutcome) -> Vec<Diagnostic> {
    let mut diagnostics = outcome.diagnostics.clone();
    if let Some(mut checked) = outcome.checked.clone() {
        decide(&mut checked, &outcome.sources, &mut diagnostics);
    }
    diagnostics
}

/// Decides a program, and says what came of it among what was said.
fn decide(checked: &mut Checked, sources: &SourceMap, diagnostics: &mut Vec<Diagnostic>) {
    let mut decided = prove::decide(checked, &|at| written(sources, at));
    // A condition that something else was said of already needs no second remark.
    let said =
        |d: &Diagnostic| d.code == crate::codes::DEAD_FILTER && diagnostics.iter().any(|s| overlap(s.span, d.span));
    decided.retain(|d| !said(d));
    diagnostics.append(&mut decided);
    diagnostics.sort_by(|a, b| (a.span, a.code, &a.message).cmp(&(b.span, b.code, &b.message)));
}

/// What is known of a column of some rows of a program that [`analyze`] found without mistakes.
pub fn known(outcome: &CheckOutcome, rows: RowsAt<'_>, column: &str) -> Option<Known> {
    let checked = outcome.undecided.as_ref().or(outcome.checked.as_ref())?;
    prove::known(checked, &|at| written(&outcome.sources, at), rows, column)
}

/// Whether a place lies in one of these.
fn is_within(place: Span, blocks: &[Span]) -> bool {
    blocks.iter().any(|block| block.file == place.file && block.start <= place.start && place.end <= block.end)
}

/// The text at a place, if it is short and on one line.
fn written(sources: &SourceMap, at: Origin) -> Option<String> {
    let text = sources.text(Span::new(FileId(at.file), at.start as usize, at.end as usize));
    // The place of an operator leaves out parentheses that stand at its ends.
    let mut depth = 0;
    let mut whole = true;
    for sign in text.chars() {
        match sign {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        whole &= depth >= 0;
    }
    (whole && depth == 0 && text.len() <= 100 && !text.contains('\n')).then(|| text.to_string())
}

/// Whether two places share a character, or one is an empty place inside of the other.
fn overlap(a: Span, b: Span) -> bool {
    a.file == b.file && a.start < b.end.max(b.start + 1) && b.start < a.end.max(a.start + 1)
}
