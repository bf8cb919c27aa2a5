//! What flowc answers beyond the protocol: the picture of a program, and of a column. Must not know how it is drawn.

use crate::lsp::answers::Lines;
use crate::lsp::convert;
use crate::lsp::server::Server;
use flowc_ide::LineageColumn;
use lsp_types as l;
use lsp_types::request::Request;
use serde::{Deserialize, Serialize};

/// `flowc/graph`
#[derive(Debug)]
pub enum GraphRequest {}

impl Request for GraphRequest {
    type Params = GraphParams;
    type Result = Option<Graph>;
    const METHOD: &'static str = "flowc/graph";
}

/// Of which file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GraphParams {
    text_document: l::TextDocumentIdentifier,
}

/// What rows go where.
#[derive(Debug, Serialize, Deserialize)]
pub struct Graph {
    nodes: Vec<Node>,
    edges: Vec<Edge>,
}

/// A source, table, flow or sink.
#[derive(Debug, Serialize, Deserialize)]
pub struct Node {
    name: String,
    kind: String,
    location: l::Location,
    columns: Vec<Column>,
}

/// A column with its type.
#[derive(Debug, Serialize, Deserialize)]
pub struct Column {
    name: String,
    #[serde(rename = "type")]
    ty: String,
}

/// Rows that go from one node to another; both are indices.
#[derive(Debug, Serialize, Deserialize)]
pub struct Edge {
    from: usize,
    to: usize,
    output: Option<String>,
}

/// `flowc/lineage`
#[derive(Debug)]
pub enum LineageRequest {}

impl Request for LineageRequest {
    type Params = l::TextDocumentPositionParams;
    type Result = Option<Lineage>;
    const METHOD: &'static str = "flowc/lineage";
}

/// Where a column comes from, and where it goes, nearest first.
#[derive(Debug, Serialize, Deserialize)]
pub struct Lineage {
    column: Origin,
    from: Vec<Origin>,
    to: Vec<Origin>,
}

/// A column somewhere.
#[derive(Debug, Serialize, Deserialize)]
pub struct Origin {
    name: String,
    of: String,
    stored: bool,
    location: l::Location,
}

impl Server {
    /// The picture of a program.
    pub(super) fn graph(&mut self, params: GraphParams) -> Result<Option<Graph>, String> {
        let Some(path) = convert::path(&params.text_document.uri) else { return Ok(None) };
        let graph = self.workspace.graph(&path);
        let mut lines = Lines::default();
        let column = |(name, ty)| Column { name, ty };
        let nodes = graph.nodes.into_iter().map(|node| {
            let location = lines.location(self, &node.place.path, &node.place.range())?;
            let columns = node.columns.into_iter().map(column).collect();
            Some(Node { name: node.name, kind: node.kind.to_string(), location, columns })
        });
        let nodes: Option<Vec<Node>> = nodes.collect();
        let edges = graph.edges.into_iter().map(|e| Edge { from: e.from, to: e.to, output: e.output });
        Ok(nodes.map(|nodes| Graph { nodes, edges: edges.collect() }))
    }

    /// Where a column comes from and goes to.
    pub(super) fn lineage(&mut self, params: l::TextDocumentPositionParams) -> Result<Option<Lineage>, String> {
        let Some((path, _, offset)) = self.place(&params) else { return Ok(None) };
        let Some(found) = self.workspace.lineage(&path, offset) else { return Ok(None) };
        let mut lines = Lines::default();
        let mut origin = |c: LineageColumn| {
            let location = lines.location(self, &c.place.path, &c.place.range())?;
            Some(Origin { name: c.name, of: c.of, stored: c.stored, location })
        };
        let Some(column) = origin(found.column) else { return Ok(None) };
        let from = found.from.into_iter().filter_map(&mut origin).collect();
        let to = found.to.into_iter().filter_map(&mut origin).collect();
        Ok(Some(Lineage { column, from, to }))
    }
}
