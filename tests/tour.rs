//! The tour of the README, of docs/getting-started.md and of docs/testing.md is real: its files are written, its commands run, and what they say is what stands there.

use crate::support::{Project, Ran, flowc, root};

/// Where the tour pretends to be.
const SHOWN_PLACE: &str = "/home/you/flowc";

/// A fenced block: what stands behind the fence, and its lines.
fn blocks(page: &str) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(root().join(page)).unwrap();
    let mut found = vec![];
    let mut open: Option<(String, String)> = None;
    for line in text.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(info)) => open = Some((info.to_string(), String::new())),
            (Some(_), Some(_)) => found.extend(open.take()),
            (Some((_, text)), None) => text.push_str(&format!("{line}\n")),
            (None, None) => {}
        }
    }
    found
}

/// Runs the commands of a block; the block as it should be.
fn replayed(project: &Project, block: &str) -> String {
    let commands = block.lines().filter_map(|line| line.strip_prefix("$ flowc "));
    let shown = commands.map(|command| {
        let ran = Ran::of(flowc().args(command.split_whitespace()).current_dir(project.path()));
        let place = std::fs::canonicalize(project.path()).unwrap();
        let said = format!("{}{}", ran.stdout, ran.stderr).replace(&place.display().to_string(), SHOWN_PLACE);
        format!("$ flowc {command}\n{said}")
    });
    shown.collect::<Vec<_>>().join("\n").trim_end().to_string() + "\n"
}

#[test]
fn the_tour_is_real() {
    for (page, least) in [("README.md", 5), ("docs/getting-started.md", 5), ("docs/testing.md", 2)] {
        let example = Project::example("sensor");
        let project = Project::new();
        for (path, content) in example.files() {
            let name = path.strip_prefix(example.path()).unwrap();
            let target = project.path().join("examples/sensor").join(name);
            std::fs::create_dir_all(target.parent().unwrap()).unwrap();
            std::fs::write(target, content).unwrap();
        }
        let mut ran = 0;
        for (info, text) in blocks(page) {
            if let Some(name) = info.strip_prefix("flow,file=") {
                let there = project.path().join(name);
                if there.exists() {
                    assert_eq!(text, project.read(name), "{page} shows {name} as it is not");
                }
                project.write(name, &text);
            } else if info == "console" && text.starts_with("$ ") {
                assert_eq!(replayed(&project, &text), text, "{page}");
                ran += 1;
            }
        }
        assert!(ran >= least, "{page}: only {ran} blocks of commands were found");
    }
}
