//! Names, types, nullability, kinds: syntax trees → [`Checked`]. One file a topic; this one has what they share and the order of the work.
//!
//! A mistake is reported once, where it is made. What depends on it becomes *unknown* (`None`, or [`scope::Rows::open`]) and is silent.
//! Must not know of the graph, of files or of Delta: tables come in through the catalog.

mod again;
mod aggregate;
mod as_of;
mod call;
mod changes;
mod columns;
mod conditional;
pub(crate) mod connector;
mod constant;
mod declarations;
mod distinct;
mod expect;
mod expr;
mod flow;
mod function;
pub(crate) mod history;
mod join;
mod keys;
mod late;
mod malformed;
mod membership;
mod names;
mod narrow;
mod operators;
mod params;
mod record;
mod scope;
mod sink;
mod sink_table;
mod source;
mod steps;
mod stream_join;
mod table_facts;
mod test;
mod test_rows;
mod time;
mod types;
mod unused;
mod window;

use crate::checked::Checked;
use crate::facts::Facts;
use crate::pipeline::{BadParam, Declared, Input as Program};
use declarations::Declarations;
use flowc_ir::Origin;
use flowc_ir::catalog::Catalog;
use flowc_ir::plan::{Connector, VersionSpec};
use flowc_syntax::ast::{Ast, Item, Test};
use flowc_syntax::diagnostic::Diagnostic;
use flowc_syntax::span::Span;
use indexmap::IndexMap;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

/// What checking found, before it is put together with the parser's findings.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// The program, as far as it could be understood.
    pub checked: Option<Checked>,
    /// The mistakes.
    pub diagnostics: Vec<Diagnostic>,
    /// Whether a table could not be reached.
    pub world_failed: bool,
    /// Parameters of the command line that do not fit.
    pub bad_params: Vec<BadParam>,
    /// Locations that are written relative to the program's directory: the absolute one, and as it is written.
    pub relative: BTreeMap<String, String>,
    /// What was asked of the catalog, and for whom.
    pub declared: Vec<Declared>,
    /// Whether a table is not read yet: what it has is not known.
    pub pending: bool,
    /// What was known where, if that was asked for.
    pub facts: Option<Facts>,
}

/// The kinds of declarations that can be left unused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Used {
    Param,
    Function,
    Relation,
}

/// What the checker's parts share.
pub(crate) struct Checker<'a> {
    program: &'a Program<'a>,
    catalog: &'a dyn Catalog,
    declarations: Declarations<'a>,
    /// The test whose params are in force.
    scenario: Option<&'a Test>,
    /// Whether there are syntax errors, so that parts of the program may be missing.
    broken: bool,
    diagnostics: RefCell<Vec<Diagnostic>>,
    /// While above 0 nothing is reported: what is checked was checked before.
    muted: Cell<u32>,
    world_failed: Cell<bool>,
    /// Whether a table is not read yet.
    pending: Cell<bool>,
    /// What is known where; none: nobody asks.
    facts: RefCell<Option<Facts>>,
    bad_params: RefCell<Vec<BadParam>>,
    relative: RefCell<BTreeMap<String, String>>,
    declared: RefCell<Vec<Declared>>,
    params: RefCell<BTreeMap<String, params::State>>,
    functions: RefCell<BTreeMap<String, function::State>>,
    /// Function bodies put in place of calls so far.
    inlined: Cell<usize>,
    /// Whether an expression grew beyond what can be compiled; reported at the outermost call.
    too_large: Cell<bool>,
    used: RefCell<BTreeSet<(Used, String)>>,
    lineage: RefCell<unused::Lineage>,
    relations: RefCell<BTreeMap<String, flow::State>>,
    checked: RefCell<Checked>,
}

impl std::fmt::Debug for Checker<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checker").field("program", &self.program.name).finish_non_exhaustive()
    }
}

/// Checks the trees of a program: the main file first. `broken`: they have syntax errors, so that parts may be missing. `facts`: whether to record what is
/// known where.
pub(crate) fn check(
    program: &Program<'_>,
    trees: &[Ast],
    broken: bool,
    catalog: &dyn Catalog,
    facts: bool,
) -> Findings {
    let mut findings = check_as(program, trees, broken, catalog, None, facts);
    let tests = trees.iter().take(1).flat_map(Ast::declarations);
    let tests = tests.filter_map(|item| if let Item::Test(test) = item { Some(test) } else { None });
    for test in tests.filter(|test| test::gives_params(test)) {
        test::add_variant(&mut findings, check_as(program, trees, broken, catalog, Some(test), false), test);
    }
    findings
}

/// Checks a program: all of it, or as the params of one of its tests make it, and this test alone.
fn check_as(
    program: &Program<'_>,
    trees: &[Ast],
    broken: bool,
    catalog: &dyn Catalog,
    scenario: Option<&Test>,
    facts: bool,
) -> Findings {
    let mut found = vec![];
    let declarations = Declarations::collect(trees, &mut found);
    let checker = Checker {
        program,
        catalog,
        declarations,
        scenario,
        broken,
        diagnostics: RefCell::new(found),
        muted: Cell::new(0),
        world_failed: Cell::new(false),
        pending: Cell::new(false),
        facts: RefCell::new(facts.then(Facts::default)),
        bad_params: RefCell::default(),
        relative: RefCell::default(),
        declared: RefCell::default(),
        params: RefCell::default(),
        functions: RefCell::default(),
        inlined: Cell::new(0),
        too_large: Cell::new(false),
        used: RefCell::default(),
        lineage: RefCell::default(),
        relations: RefCell::default(),
        checked: RefCell::new(Checked {
            pipeline: program.name.to_string(),
            description: trees.first().and_then(|t| t.description.clone()),
            sources: vec![],
            tables: vec![],
            flows: vec![],
            sinks: vec![],
            obligations: vec![],
            tests: vec![],
            unproved: None,
        }),
    };
    checker.check_params();
    checker.check_functions();
    checker.check_relations();
    checker.check_sinks();
    checker.check_tests();
    if !broken && !checker.pending.get() {
        checker.warn_quarantine();
        checker.warn_unused();
        checker.warn_malformed_unread();
        checker.warn_appended_again();
    }
    let complete = checker.checked.borrow().sinks.len() == checker.declarations.sinks.len();
    debug_assert!(
        complete || broken || checker.pending.get() || checker.has_errors() || !checker.bad_params.borrow().is_empty(),
        "a sink is wrong, and nothing was reported"
    );
    let mut facts = checker.facts.into_inner();
    if let Some(facts) = &mut facts {
        facts.columns = checker.lineage.into_inner().into_origins();
    }
    Findings {
        pending: checker.pending.get(),
        facts,
        checked: Some(checker.checked.into_inner()),
        diagnostics: checker.diagnostics.into_inner(),
        world_failed: checker.world_failed.get(),
        bad_params: checker.bad_params.into_inner(),
        relative: checker.relative.into_inner(),
        declared: checker.declared.into_inner(),
    }
}

impl Checker<'_> {
    /// Records a mistake.
    fn report(&self, diagnostic: Diagnostic) {
        if self.muted.get() == 0 {
            self.diagnostics.borrow_mut().push(diagnostic);
        }
    }

    /// Remembers what is asked of the catalog.
    fn declare(&self, role: &'static str, name: &str, connector: &Connector, version: Option<VersionSpec>, span: Span) {
        let declared = Declared { role, name: name.to_string(), connector: connector.clone(), version, span };
        self.declared.borrow_mut().push(declared);
    }

    /// Does something again that was checked before: nothing is reported.
    fn silently<T>(&self, f: impl FnOnce() -> T) -> T {
        self.muted.set(self.muted.get() + 1);
        let result = f();
        self.muted.set(self.muted.get() - 1);
        result
    }

    /// Does something whose mistakes are someone else's; gives them back instead of reporting them.
    fn overheard<T>(&self, f: impl FnOnce() -> T) -> (T, Vec<Diagnostic>) {
        let before = self.diagnostics.take();
        let muted = self.muted.replace(0);
        let result = f();
        self.muted.set(muted);
        (result, self.diagnostics.replace(before))
    }

    /// Whether an error was reported so far.
    fn has_errors(&self) -> bool {
        self.diagnostics.borrow().iter().any(Diagnostic::is_error)
    }

    /// Remembers that a declaration is of use.
    fn mark(&self, used: Used, name: &str) {
        self.used.borrow_mut().insert((used, name.to_string()));
    }
}

/// A place of the syntax as a place of the typed program.
pub(crate) fn origin(span: Span) -> Origin {
    Origin { file: span.file.0, start: span.start, end: span.end }
}

/// `a`, `b` and `c`
pub(crate) fn list(items: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let items: Vec<String> = items.into_iter().map(|i| format!("`{}`", i.as_ref())).collect();
    match items.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    }
}

/// `1 column`, `2 columns`
pub(crate) fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// An article for a type's name: `a long`, `an integer`.
pub(crate) fn article(what: &impl std::fmt::Display) -> String {
    let text = what.to_string();
    let vowel = text.starts_with(['a', 'e', 'i', 'o']);
    format!("{} `{text}`", if vowel { "an" } else { "a" })
}

/// Ordered names with what they stand for.
pub(crate) type Names<T> = IndexMap<String, T>;
