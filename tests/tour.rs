//! The tour of the README, of docs/getting-started.md, of docs/testing.md and of the guides is real: its files are written, its commands run, and what they say is what stands there.
//! A file that is there already is shown as it is, unless `,changed` stands behind its name.

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

/// The words of a command; what stands in quotation marks is one.
fn words(command: &str) -> Vec<&str> {
    let parts = command.split('"').enumerate();
    parts.flat_map(|(i, part)| if i % 2 == 1 { vec![part] } else { part.split_whitespace().collect() }).collect()
}

/// Runs the commands of a block; the block as it should be.
fn replayed(project: &Project, block: &str) -> String {
    let commands = block.lines().filter_map(|line| line.strip_prefix("$ flowc "));
    let shown = commands.map(|command| {
        let ran = Ran::of(flowc().args(words(command)).current_dir(project.path()));
        let place = std::fs::canonicalize(project.path()).unwrap();
        let said = format!("{}{}", ran.stdout, ran.stderr).replace(&place.display().to_string(), SHOWN_PLACE);
        let said = timeless(&said);
        format!("$ flowc {command}\n{said}")
    });
    shown.collect::<Vec<_>>().join("\n").trim_end().to_string() + "\n"
}

/// When an epoch ran, and how long, `flowc status` says differently each time.
fn timeless(said: &str) -> String {
    let line = |line: &str| {
        let parts: Vec<&str> = line.trim_start().splitn(4, "  ").collect();
        match parts[..] {
            [number, at, took, rest] if number.parse::<u64>().is_ok() && at.ends_with('Z') && took.ends_with(" s") => {
                format!("    {number}  2026-11-20T12:00:00Z  0.1 s  {rest}\n")
            }
            _ => format!("{line}\n"),
        }
    };
    said.lines().map(line).collect()
}

/// The page with its blocks of commands as they should be.
fn renewed(page: &str, blocks: &[(String, String)]) -> String {
    let text = std::fs::read_to_string(root().join(page)).unwrap();
    let (mut out, mut next, mut inside) = (String::new(), blocks.iter(), false);
    for line in text.lines() {
        if line.starts_with("```") {
            inside = !inside;
            out.push_str(&format!("{line}\n"));
            if inside {
                out.push_str(&next.next().map(|(_, text)| text.clone()).unwrap_or_default());
            }
        } else if !inside {
            out.push_str(&format!("{line}\n"));
        }
    }
    out
}

/// With `FLOWC_BLESS` in the environment the pages are written anew.
#[test]
fn the_tour_is_real() {
    let pages = [
        ("README.md", 5),
        ("docs/getting-started.md", 5),
        ("docs/testing.md", 2),
        ("docs/guide/from-raw-to-trusted.md", 7),
        ("docs/guide/streaming.md", 15),
        ("docs/guide/upserts.md", 8),
    ];
    for (page, least) in pages {
        let example = Project::example("sensor");
        let project = Project::new();
        for (path, content) in example.files() {
            let name = path.strip_prefix(example.path()).unwrap();
            let target = project.path().join("examples/sensor").join(name);
            std::fs::create_dir_all(target.parent().unwrap()).unwrap();
            std::fs::write(target, content).unwrap();
        }
        let mut ran = 0;
        let mut said = blocks(page);
        for (info, text) in &mut said {
            if let Some((_, name)) = info.split_once(",file=") {
                let (name, changed) = name.strip_suffix(",changed").map_or((name, false), |name| (name, true));
                let there = project.path().join(name);
                if changed {
                    assert!(there.exists(), "{page} changes {name}, which is not there");
                } else if there.exists() {
                    assert_eq!(*text, project.read(name), "{page} shows {name} as it is not");
                }
                project.write(name, text);
            } else if info == "console" && text.starts_with("$ ") {
                let now = replayed(&project, text);
                if std::env::var_os("FLOWC_BLESS").is_none() {
                    assert_eq!(now, *text, "{page}");
                }
                *text = now;
                ran += 1;
            }
        }
        assert!(ran >= least, "{page}: only {ran} blocks of commands were found");
        if std::env::var_os("FLOWC_BLESS").is_some() {
            std::fs::write(root().join(page), renewed(page, &said)).unwrap();
        }
    }
}
