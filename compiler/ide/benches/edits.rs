//! How long a keystroke takes: a program of 2,000 lines, edited at its begin, in its middle and at its end. Prints percentiles; asserts nothing. `--print` shows
//! the program.

#[path = "generate/mod.rs"]
mod program;

use flowc_ide::{LoadError, Loader, Workspace};
use flowc_ir::catalog::TableInfo;
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
        "{name:<28} p50 {:6.1} ms   p95 {:6.1} ms   p99 {:6.1} ms   max {:6.1} ms",
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
    let path = "/w/big.flow";
    let mut workspace = Workspace::new(Box::new(Nothing));
    workspace.set_text(path, text.as_str());
    workspace.program(path);
    for question in workspace.tables.take_open() {
        let info = TableInfo { schema: program::schema(), version: Some(1), ..TableInfo::default() };
        workspace.tables.answer(&question, Ok(info), vec![]);
    }
    let problems = workspace.problems(path);
    println!("{} lines, {} problems", text.lines().count(), problems.len());
    for problem in problems.iter().take(5) {
        println!("  {} {}", problem.code, problem.message.replace('\n', " / "));
    }
    let mut parse = vec![];
    for _ in 0..20 {
        let start = Instant::now();
        std::hint::black_box(flowc_syntax::parse(flowc_syntax::FileId(0), &text));
        parse.push(start.elapsed());
    }
    percentiles("parse, whole", parse);
    for (name, marker) in [("begin", "flow clean_0"), ("middle", "flow clean_25"), ("end", "flow clean_49")] {
        let at = text.find(marker).and_then(|at| text[at..].find("value * ").map(|v| at + v + "value".len()));
        let at = at.expect("the program has the place");
        let mut times = vec![];
        for n in 0..60 {
            let mut edited = text.clone();
            edited.insert_str(at, &" + 1".repeat(n % 5)[..n % 17]);
            let start = Instant::now();
            workspace.set_text(path, edited);
            std::hint::black_box(workspace.problems(path));
            times.push(start.elapsed());
        }
        percentiles(&format!("keystroke, {name}"), times);
    }
}
