//! A program as a picture: what rows go where, and where a column comes from and goes to. Each node knows its place, so that an editor can jump there. Must not
//! know how it is drawn.

use crate::analysis::Analysis;
use crate::navigate::{self, Place};
use crate::occurrences::Target;
use crate::workspace::Workspace;
use flowc_syntax::ast::{Ast, FlowRef, Item, StepKind};
use std::collections::BTreeSet;

/// The declarations that rows go through.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Graph {
    /// The sources, tables, flows and sinks, in the order of the text.
    pub nodes: Vec<GraphNode>,
    /// What reads what.
    pub edges: Vec<GraphEdge>,
}

/// A source, table, flow or sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphNode {
    /// Its name.
    pub name: String,
    /// `source`, `table`, `flow` or `sink`.
    pub kind: &'static str,
    /// Where its name stands.
    pub place: Place,
    /// Its columns with their types, as far as they are known.
    pub columns: Vec<(String, String)>,
}

/// Rows that go from one node to another; both are indices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphEdge {
    /// Where they come from.
    pub from: usize,
    /// Where they go.
    pub to: usize,
    /// The side output that they come from.
    pub output: Option<String>,
}

/// A column somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineageColumn {
    /// Its name there.
    pub name: String,
    /// The declaration that it is of.
    pub of: String,
    /// The name that makes it.
    pub place: Place,
    /// Whether a table or file has it.
    pub stored: bool,
}

/// What a column is computed from, and what is computed from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lineage {
    /// The column.
    pub column: LineageColumn,
    /// What it comes from, nearest first.
    pub from: Vec<LineageColumn>,
    /// What comes from it, nearest first; behind that, what sinks write of it.
    pub to: Vec<LineageColumn>,
}

impl Workspace {
    /// The picture of the program of a file.
    pub fn graph(&mut self, path: &str) -> Graph {
        let (now, _) = self.at(path);
        let mut graph = Graph::default();
        let items: Vec<&Item> = now.trees.iter().take(1).flat_map(Ast::declarations).collect();
        for item in &items {
            let (name, kind) = match item {
                Item::Source(x) => (&x.name, "source"),
                Item::Table(x) => (&x.name, "table"),
                Item::Flow(x) => (&x.name, "flow"),
                Item::Sink(x) => (&x.name, "sink"),
                _ => continue,
            };
            let rows = if let Item::Sink(sink) = item { &sink.input.name.text } else { &name.text };
            let shape = now.facts.relations.get(rows);
            let columns = shape.iter().flat_map(|s| &s.columns);
            let typed = columns.map(|c| (c.written(), c.ty.as_ref().map_or("?".to_string(), |t| t.to_string())));
            let (place, columns) = (Place::new(&now, name.span), typed.collect());
            graph.nodes.push(GraphNode { name: name.text.clone(), kind, place, columns });
        }
        let mut to = 0;
        for item in &items {
            let read: Vec<&FlowRef> = match item {
                Item::Source(_) | Item::Table(_) => vec![],
                Item::Sink(sink) => vec![&sink.input],
                Item::Flow(flow) => {
                    let steps = flow.steps.iter().flat_map(|step| match &step.kind {
                        StepKind::Join(join) => vec![&join.right],
                        StepKind::Union(others) => others.iter().collect(),
                        _ => vec![],
                    });
                    std::iter::once(&flow.input).chain(steps).collect()
                }
                _ => continue,
            };
            for reference in read {
                let found = graph.nodes.iter().position(|n| n.kind != "sink" && n.name == reference.name.text);
                let output = reference.output.as_ref().map(|o| o.text.clone());
                graph.edges.extend(found.map(|from| GraphEdge { from, to, output }));
            }
            to += 1;
        }
        graph
    }

    /// Where the column at a byte comes from, and where it goes.
    pub fn lineage(&mut self, path: &str, offset: usize) -> Option<Lineage> {
        let (now, file) = self.at(path);
        let Target::Column(id) = navigate::at(&now, file?, offset)?.target else { return None };
        let all = &now.facts.columns;
        let from = reach(id, |at| all.get(at).map(|c| c.from.clone()).unwrap_or_default());
        let to = reach(id, |at| (0..all.len()).filter(|other| all[*other].from.contains(&at)).collect());
        let written = written(&now, |column| column == id || to.contains(&column));
        let shown = |ids: Vec<usize>| ids.into_iter().filter_map(|id| column(&now, id)).collect::<Vec<_>>();
        let (from, mut to) = (shown(from), shown(to));
        to.extend(written);
        Some(Lineage { column: column(&now, id)?, from, to })
    }
}

/// Everything that is reached from `start`, in the order in which it is.
fn reach(start: usize, next: impl Fn(usize) -> Vec<usize>) -> Vec<usize> {
    let mut seen = BTreeSet::from([start]);
    let mut found = vec![start];
    let mut at = 0;
    while at < found.len() {
        found.extend(next(found[at]).into_iter().filter(|n| seen.insert(*n)).collect::<Vec<_>>());
        at += 1;
    }
    found.split_off(1)
}

/// The columns that sinks write of these.
fn written(now: &Analysis, of: impl Fn(usize) -> bool) -> Vec<LineageColumn> {
    let mut found = vec![];
    for item in now.trees.iter().take(1).flat_map(Ast::declarations) {
        let Item::Sink(sink) = item else { continue };
        // What is known of a side output's rows is not recorded.
        let rows = now.facts.relations.get(&sink.input.name.text).filter(|_| sink.input.output.is_none());
        let columns = rows.iter().flat_map(|rows| &rows.columns).filter(|c| c.id.is_some_and(&of));
        found.extend(columns.map(|c| LineageColumn {
            name: c.name.to_string(),
            of: sink.name.text.clone(),
            place: Place::new(now, sink.name.span),
            stored: true,
        }));
    }
    found
}

fn column(now: &Analysis, id: usize) -> Option<LineageColumn> {
    let origin = now.facts.columns.get(id)?;
    let within = now.declarations().find(|(_, item)| {
        let whole = item.span();
        whole.file == origin.span.file && whole.start <= origin.span.start && origin.span.end <= whole.end
    });
    let of = within.map_or(String::new(), |(name, _)| name.text.clone());
    Some(LineageColumn { name: origin.name.clone(), of, place: Place::new(now, origin.span), stored: origin.stored })
}
