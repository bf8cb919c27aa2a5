//! The program's declarations by name: those of the main file, and the functions and parameters of the files that it uses.

use crate::check::Names;
use crate::codes;
use flowc_ir::aggregates::AggregateFunction;
use flowc_syntax::ast::{Ast, Flow, Function, Item, Name, Param, Sink, Source, Table, Test};
use flowc_syntax::diagnostic::Diagnostic;
use flowc_syntax::span::Span;
use std::collections::BTreeSet;

/// What rows can come from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Relation<'a> {
    Source(&'a Source),
    Table(&'a Table),
    Flow(&'a Flow),
}

impl Relation<'_> {
    /// Its name.
    pub fn name(&self) -> &Name {
        match self {
            Relation::Source(x) => &x.name,
            Relation::Table(x) => &x.name,
            Relation::Flow(x) => &x.name,
        }
    }

    /// What it is, in a word.
    pub fn word(&self) -> &'static str {
        match self {
            Relation::Source(_) => "source",
            Relation::Table(_) => "table",
            Relation::Flow(_) => "flow",
        }
    }
}

/// The declarations, in their order.
#[derive(Debug, Default)]
pub(crate) struct Declarations<'a> {
    pub params: Names<&'a Param>,
    pub functions: Names<&'a Function>,
    pub relations: Names<Relation<'a>>,
    pub sinks: Names<&'a Sink>,
    pub tests: Vec<&'a Test>,
    /// Names of declarations with syntax errors: what is said of them may only follow from those.
    pub broken: BTreeSet<String>,
    /// Names of the sources, tables and flows whose rows reach a sink, with the side output where it is that of one.
    pub reaching_sinks: BTreeSet<(String, Option<String>)>,
}

impl<'a> Declarations<'a> {
    /// Collects the declarations of all files; duplicates are reported.
    pub fn collect(trees: &'a [Ast], found: &mut Vec<Diagnostic>) -> Self {
        let mut all = Declarations::default();
        for (file, tree) in trees.iter().enumerate() {
            for item in tree.declarations() {
                all.add(item, file == 0, found);
            }
            all.broken.extend(tree.broken.iter().map(|n| n.text.clone()));
        }
        all.reaching_sinks = crate::check::unused::reaching_sinks(&all);
        all
    }

    fn add(&mut self, item: &'a Item, main: bool, found: &mut Vec<Diagnostic>) {
        match item {
            Item::Use(_) => {}
            Item::Param(param) => {
                let before = self.params.get(&param.name.text).map(|p| p.name.span);
                if unique("param", &param.name, before, found) {
                    self.params.insert(param.name.text.clone(), param);
                }
            }
            Item::Function(function) => self.add_function(function, found),
            _ if !main => {
                let (word, span) = heading(item);
                found.push(
                    Diagnostic::warning(
                        codes::IGNORED_DECLARATION,
                        span,
                        format!("this {word} is not taken by the files that use this one"),
                    )
                    .label("ignored")
                    .help("`use` takes functions and parameters; put the rest into the program's own file"),
                );
            }
            Item::Source(source) => self.add_relation(Relation::Source(source), found),
            Item::Table(table) => self.add_relation(Relation::Table(table), found),
            Item::Flow(flow) => self.add_relation(Relation::Flow(flow), found),
            Item::Sink(sink) => {
                let before = self.sinks.get(&sink.name.text).map(|s| s.name.span);
                if unique("sink", &sink.name, before, found) {
                    self.sinks.insert(sink.name.text.clone(), sink);
                }
            }
            Item::Test(test) => self.tests.push(test),
        }
    }

    fn add_function(&mut self, function: &'a Function, found: &mut Vec<Diagnostic>) {
        let name = &function.name;
        let before = self.functions.get(&name.text).map(|f| f.name.span);
        if is_built_in(&name.text) {
            found.push(
                Diagnostic::error(
                    codes::BUILT_IN_REDEFINED,
                    name.span,
                    format!("`{}` is a built-in function", name.text),
                )
                .label("this name is taken")
                .help(format!("choose another name, for example `my_{}`", name.text)),
            );
        } else if unique("function", name, before, found) {
            self.functions.insert(name.text.clone(), function);
        }
    }

    fn add_relation(&mut self, relation: Relation<'a>, found: &mut Vec<Diagnostic>) {
        let name = relation.name();
        let before = self.relations.get(&name.text).map(|r| (r.word(), r.name().span));
        match before {
            Some((word, span)) => {
                unique(word, name, Some(span), found);
            }
            None => {
                self.relations.insert(name.text.clone(), relation);
            }
        }
    }
}

/// Whether a function of this name comes with the language.
pub(crate) fn is_built_in(name: &str) -> bool {
    let operator = |f: &flowc_ir::functions::Function| f.category == flowc_ir::functions::Category::Operator;
    matches!(name, "try" | "coalesce")
        || AggregateFunction::find(name).is_some()
        || flowc_ir::functions::find(name).is_some_and(|f| !operator(&f))
}

fn heading(item: &Item) -> (&'static str, Span) {
    match item {
        Item::Source(x) => ("source", x.name.span),
        Item::Table(x) => ("table", x.name.span),
        Item::Flow(x) => ("flow", x.name.span),
        Item::Sink(x) => ("sink", x.name.span),
        Item::Test(x) => ("test", x.name_span),
        other => ("declaration", other.span()),
    }
}

fn unique(word: &str, name: &Name, before: Option<Span>, found: &mut Vec<Diagnostic>) -> bool {
    let Some(before) = before else { return true };
    found.push(
        Diagnostic::error(codes::DUPLICATE_DECLARATION, name.span, format!("`{}` is declared twice", name.text))
            .label("declared again here")
            .also(before, format!("a {word} of this name is declared here"))
            .help("give one of them another name"),
    );
    false
}
