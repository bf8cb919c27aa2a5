//! How long a keystroke takes: a program of 2,000 lines, edited at its begin, in its middle and at its end. Prints percentiles; asserts nothing. `--print` shows
//! the program.

#[path = "generate/mod.rs"]
mod program;

use flowc_ide::{LoadError, Loader, Workspace};
use flowc_ir::Schema;
use flowc_ir::catalog::{CatalogError, TableInfo, location};
use std::time::{Duration, Instant};

struct Nothing;

impl Loader for Nothing {
    fn load(&self, _: &str) -> Result<String, LoadError> {
        Err(LoadError::NotFound)
    }
}

fn percentiles(name: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |p: usize| times[(times.len() * p / 100).min(times.len() - 1)].as_secs_f64() * 1e3;
    println!(
        "{name:<28} least {:6.1} ms   p50 {:6.1} ms   p95 {:6.1} ms   p99 {:6.1} ms   max {:6.1} ms",
        at(0),
        at(50),
        at(95),
        at(99),
        at(100)
    );
}

fn main() {
    let text = program::text(2000);
    if std::env::args().any(|word| word == "--print") {
        print!("{text}");
        return;
    }
    let times = (0..20).map(|_| {
        timed(|| {
            flowc_syntax::parse(flowc_syntax::FileId(0), &text);
        })
    });
    percentiles("parse, whole", times.collect());
    for lines in [1000, 2000] {
        whole(&program::text(lines), lines);
    }
    for columns in [6, 200] {
        keystrokes(&text, &program::wide(columns), columns);
    }
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

const PATH: &str = "/w/big.flow";

/// The program open, its tables read.
fn open(text: &str, schema: &Schema) -> Workspace {
    let mut workspace = Workspace::new(Box::new(Nothing));
    workspace.set_text(PATH, text);
    loop {
        workspace.program(PATH);
        let open = workspace.tables.take_open();
        if open.is_empty() {
            return workspace;
        }
        for question in open {
            let name = location(&question.connector).and_then(|place| place.rsplit('/').next()).unwrap_or_default();
            let is_written = ["out_", "rejected_", "days_"].iter().any(|prefix| name.starts_with(prefix));
            let info = TableInfo { schema: schema.clone(), version: Some(1), ..TableInfo::default() };
            let found = if is_written { Err(CatalogError::NotFound) } else { Ok(info) };
            workspace.tables.answer(&question, found, vec![]);
        }
    }
}

/// Edits with the tables so wide.
fn keystrokes(text: &str, schema: &Schema, columns: usize) {
    let mut workspace = open(text, schema);
    println!(
        "{} lines, tables of {columns} columns, {} problems",
        text.lines().count(),
        workspace.problems(PATH).len()
    );
    let places: Vec<usize> = text.match_indices("value * ").map(|(at, _)| at + "value".len()).collect();
    for (name, at) in [("begin", places[0]), ("middle", places[places.len() / 2]), ("end", places[places.len() - 1])] {
        let mut times = vec![];
        for n in 0..60 {
            let mut edited = text.to_string();
            edited.insert_str(at, &" + 1".repeat(5)[..n % 17]);
            times.push(timed(|| {
                workspace.set_text(PATH, edited);
                std::hint::black_box(workspace.problems(PATH));
            }));
        }
        percentiles(&format!("keystroke, {name}"), times);
    }
}

/// A program checked for the first time, and proved.
fn whole(text: &str, lines: usize) {
    let (mut check, mut prove) = (vec![], vec![]);
    for _ in 0..5 {
        let mut workspace = open(text, &program::schema());
        // The same text with a blank behind it is read and checked from the begin.
        workspace.disk_changed();
        workspace.set_text(PATH, format!("{text} "));
        check.push(timed(|| {
            workspace.program(PATH);
        }));
        let program = workspace.program(PATH);
        if program.outcome.checked.is_none() {
            println!(
                "{lines} lines have a mistake and are not proved: pending {}, {:?}",
                program.outcome.pending,
                program.outcome.diagnostics.iter().find(|d| d.is_error())
            );
            return;
        }
        prove.push(timed(|| program.prove()));
    }
    percentiles(&format!("{lines} lines, check"), check);
    percentiles(&format!("{lines} lines, prove"), prove);
}
