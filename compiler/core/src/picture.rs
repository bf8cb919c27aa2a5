//! The graph as a picture: DOT for tools, SVG for people. What a step does in detail is `explain`'s matter.
//!
//! The layout is the crate `layout-rs`: layered placement with few crossings is a trade of its own, and it brings no dependencies.

use flowc_ir::graph::{Lookup, LookupKind, Node, Operator};
use flowc_ir::plan::Plan;
use layout::backends::svg::SVGWriter;
use layout::core::base::Orientation;
use layout::core::color::Color;
use layout::core::style::{LineStyleKind, StyleAttr};
use layout::std_shapes::render::get_shape_size;
use layout::std_shapes::shapes::{Arrow, Element, LineEndKind, ShapeKind};
use layout::topo::layout::VisualGraph;

/// One size for all texts: the layout measures with it.
const FONT_SIZE: usize = 14;

/// A box of the picture.
struct Shape {
    name: String,
    what: &'static str,
    color: &'static str,
}

/// The boxes (nodes, then the tables that are looked up in), and the arrows between them; true for a table's.
fn drawing(plan: &Plan) -> (Vec<Shape>, Vec<(usize, usize, bool)>) {
    let mut shapes: Vec<Shape> = plan.graph.nodes.iter().map(|node| shape(plan, node)).collect();
    let mut arrows = vec![];
    let mut tables = vec![None; plan.tables.len()];
    for (id, node) in plan.graph.iter() {
        let own = id.0 as usize;
        arrows.extend(node.inputs.iter().map(|input| (input.0 as usize, own, false)));
        if let Operator::Lookup(lookup) = &node.operator {
            let index = lookup.table.0 as usize;
            let table = *tables[index].get_or_insert_with(|| {
                shapes.push(Shape { name: plain(&plan.tables[index].name), what: "table", color: "lightyellow" });
                shapes.len() - 1
            });
            arrows.push((table, own, true));
        }
    }
    (shapes, arrows)
}

fn shape(plan: &Plan, node: &Node) -> Shape {
    let (what, color) = match &node.operator {
        Operator::Source(_) => ("source", "lightblue"),
        Operator::Malformed(_) => ("malformed rows", "lightblue"),
        Operator::TableScan(_) => ("table", "lightyellow"),
        Operator::Transform(_) => ("transform", "white"),
        Operator::Lookup(lookup) => (looks_up(lookup), "white"),
        Operator::Aggregate(_) | Operator::KeyedAggregate(_) => ("aggregate", "white"),
        Operator::Upsert(upsert) if upsert.history.is_some() => ("history", "white"),
        Operator::Upsert(_) => ("upsert", "white"),
        Operator::Sort(_) => ("sort", "white"),
        Operator::Limit(_) => ("limit", "white"),
        Operator::Union => ("union", "white"),
        Operator::Explode { .. } => ("explode", "white"),
        Operator::Unique(_) => ("unique", "white"),
        Operator::Expect(_) => ("expect", "white"),
        Operator::Watermark(_) => ("watermark", "white"),
        Operator::WindowAggregate(_) => ("window", "white"),
        Operator::Dedup(_) => ("dedup", "white"),
        Operator::Top(_) => ("top", "white"),
        Operator::Join(join) => (if join.within.is_some() { "join within" } else { "join" }, "white"),
        Operator::Late => ("late rows", "white"),
        Operator::Sink(_) => ("sink", "lightgreen"),
    };
    let name = match &node.operator {
        Operator::Sink(id) => &plan.sinks[id.0 as usize].name,
        _ => &node.label,
    };
    Shape { name: plain(name), what, color }
}

fn looks_up(lookup: &Lookup) -> &'static str {
    match (lookup.kind, lookup.as_of) {
        (LookupKind::Inner, None) => "join",
        (LookupKind::Inner, Some(_)) => "join as of",
        (LookupKind::Left, None) => "left join",
        (LookupKind::Left, Some(_)) => "left join as of",
        (LookupKind::Semi, None) => "semi join",
        (LookupKind::Semi, Some(_)) => "semi join as of",
        (LookupKind::Anti, None) => "anti join",
        (LookupKind::Anti, Some(_)) => "anti join as of",
        (LookupKind::Mark, _) => "in",
    }
}

/// Names may hold anything; a picture holds no control characters.
fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The graph in Graphviz' language.
pub fn dot(plan: &Plan) -> String {
    let quote = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let (shapes, arrows) = drawing(plan);
    let mut out = format!("digraph \"{}\" {{\n    node [shape=box, style=filled]\n", quote(&plain(&plan.pipeline)));
    for (i, shape) in shapes.iter().enumerate() {
        let lines = shape.name.split(" + ").map(quote).collect::<Vec<_>>().join("\\n");
        out += &format!("    n{i} [label=\"{lines}\\n({})\", fillcolor={}]\n", shape.what, shape.color);
    }
    for (from, to, table) in arrows {
        out += &format!("    n{from} -> n{to}{}\n", if table { " [style=dashed]" } else { "" });
    }
    out + "}\n"
}

/// The graph as an SVG document.
pub fn svg(plan: &Plan) -> String {
    let (shapes, arrows) = drawing(plan);
    let orientation = Orientation::TopToBottom;
    let mut graph = VisualGraph::new(orientation);
    let mut handles = vec![];
    for shape in &shapes {
        let text = format!("{}\n({})", shape.name.replace(" + ", "\n"), shape.what);
        let kind = ShapeKind::new_box(&text);
        let color = Color::from_name(shape.color).unwrap_or_else(Color::transparent);
        let look = StyleAttr::new(Color::fast("black"), 1, Some(color), 4, FONT_SIZE);
        let size = get_shape_size(orientation, &kind, FONT_SIZE, false);
        handles.push(graph.add_node(Element::create(kind, look, orientation, size)));
    }
    for (from, to, table) in arrows {
        let look = StyleAttr::new(Color::fast("black"), 1, None, 0, FONT_SIZE);
        let line = if table { LineStyleKind::Dashed } else { LineStyleKind::Normal };
        let arrow = Arrow::new(LineEndKind::None, LineEndKind::Arrow, line, "", &look, &None, &None);
        graph.add_edge(arrow, handles[from], handles[to]);
    }
    let mut writer = SVGWriter::new();
    if !handles.is_empty() {
        graph.do_it(false, false, false, &mut writer);
    }
    writer.finalize().replace("Times, serif", "Helvetica, Arial, sans-serif")
}
