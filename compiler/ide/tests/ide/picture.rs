//! The picture of a program, and of a column.

use super::support::{MAIN, cursor, open};

const TEXT: &str = "source readings = delta(\"data/sensor\")\n\ntable device = delta(\"data/device\")\n\nflow warm = readings\n    |> expect { known: id > 0 else quarantine }\n    |> left join device on device.id == id\n    |> select id, kelvin = va$0lue + 273.15\n    |> extend twice = kelvin * 2.0\n\nsink out = warm -> delta(\"out\")\n\nsink bad = warm.rejected -> delta(\"bad\")\n";

#[test]
fn a_graph_has_what_reads_what() {
    let (text, _) = cursor(TEXT);
    let graph = open(&text).graph(MAIN);
    let edge = |e: &flowc_ide::GraphEdge| {
        let output = e.output.as_ref().map_or(String::new(), |o| format!(".{o}"));
        format!("{}{output} -> {}", graph.nodes[e.from].name, graph.nodes[e.to].name)
    };
    let edges: Vec<String> = graph.edges.iter().map(edge).collect();
    assert_eq!(edges, ["readings -> warm", "device -> warm", "warm -> out", "warm.rejected -> bad"]);
    assert_eq!(graph.nodes[2].columns[1], ("kelvin".to_string(), "double?".to_string()));
}

#[test]
fn a_column_comes_from_and_goes_somewhere() {
    let (text, at) = cursor(TEXT);
    let mut workspace = open(&text);
    let names =
        |all: &[flowc_ide::LineageColumn]| all.iter().map(|c| format!("{}.{}", c.of, c.name)).collect::<Vec<_>>();
    let stored = workspace.lineage(MAIN, at).expect("a column");
    assert!(stored.column.stored && stored.from.is_empty());
    assert_eq!(names(&stored.to), ["warm.kelvin", "warm.twice", "out.kelvin", "out.twice"]);
    let made = workspace.lineage(MAIN, text.find("twice").unwrap()).expect("a column");
    assert_eq!(names(&made.from), ["warm.kelvin", "readings.value"]);
    assert_eq!(names(&made.to), ["out.twice"]);
    assert_eq!(workspace.lineage(MAIN, 0), None);
}
