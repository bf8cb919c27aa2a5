//! The table of contents of the compiler: every stage is a type, made from the one before.
//!
//! ```text
//! text ── load ──▶ Loaded (syntax trees) ── check ──▶ Checked ── lower ──▶ Graph ── optimize ──▶ Graph ── plan ──▶ Plan
//! ```
//!
//! Nothing here reads files, tables or clocks: files come in through [`Loader`], tables through [`Catalog`], parameters as text.

use crate::check;
use crate::checked::Checked;
use crate::load::{self, Loader};
use flowc_ir::catalog::Catalog;
use flowc_syntax::diagnostic::{Diagnostic, Severity};
use flowc_syntax::span::{SourceMap, Span};
use indexmap::IndexMap;

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

/// What checking found.
#[derive(Debug, Clone, Default)]
pub struct CheckOutcome {
    /// The texts that the diagnostics refer to.
    pub sources: SourceMap,
    /// The program; none if there is an error.
    pub checked: Option<Checked>,
    /// By file and place; warnings too.
    pub diagnostics: Vec<Diagnostic>,
    /// Whether a table could not be reached (exit status 3).
    pub world_failed: bool,
    /// Parameters of the command line that do not fit (exit status 2).
    pub bad_params: Vec<BadParam>,
}

/// Text → checked program: reads the files, resolves names, settles types against the catalog's tables.
pub fn check(input: &Input<'_>, loader: &dyn Loader, catalog: &dyn Catalog) -> CheckOutcome {
    let loaded = load::load(input.path, loader);
    let broken = loaded.diagnostics.iter().any(Diagnostic::is_error);
    let mut result = check::check(input, &loaded.trees, broken, catalog);
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
    let sound = diagnostics.iter().all(|d| d.severity == Severity::Warning) && result.bad_params.is_empty();
    CheckOutcome {
        sources: loaded.sources,
        checked: result.checked.filter(|_| sound),
        diagnostics,
        world_failed: result.world_failed,
        bad_params: result.bad_params,
    }
}

/// Whether two places share a character, or one is an empty place inside of the other.
fn overlap(a: Span, b: Span) -> bool {
    a.file == b.file && a.start < b.end.max(b.start + 1) && b.start < a.end.max(a.start + 1)
}
