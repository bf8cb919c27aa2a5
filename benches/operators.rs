//! What a row costs in each kind of step: small programs, compiled, over rows in memory, and over Delta tables in a temporary directory. Prints nanoseconds per
//! row of the input with all cores, the least of several runs. Knows programs and connectors, not operators: those are measured as a program has them.
//!
//! `cargo bench --bench operators -- join window` measures the cases whose names contain one of the words; `rows=100000` among them takes other than two million rows.

use arrow::array::{ArrayRef, Float64Array, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use flowc::world;
use flowc_core::load::FixedLoader;
use flowc_core::pipeline::{self, Input};
use flowc_delta::DeltaConnectors;
use flowc_ir::plan::Executable;
use flowc_runtime::connectors::memory::MemoryConnectors;
use flowc_runtime::report::Unobserved;
use flowc_runtime::{RunOptions, run};
use indexmap::IndexMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// As in the executable.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rows of the input, unless another number is given.
const ROWS: usize = 2_000_000;
const ROUNDS: usize = 3;
const SPLIT_ROWS: usize = 1 << 17;
/// How many names and devices there are.
const NAMES: usize = 10_000;

/// What a case is read from.
const SOURCE: &str = "source sensor = json(\"sensor.jsonl\") {
    schema { few: integer, many: integer, name: string, value: double, at: timestamp }
}\n";
const STREAM: &str = "source sensor = json(\"sensor.jsonl\") {
    schema { few: integer, many: integer, name: string, value: double, at: timestamp }
    event_time at
    watermark 5s
}\n";
const DEVICE: &str = "table device = json(\"device.jsonl\") { schema { device: string, most: double } }\n";
const TABLE: &str = "source sensor = delta(\"./table\")\n";

/// Where its rows go.
const MEMORY: &str = "sink out = result -> console()\n";
const WHOLE: &str = "sink out = result -> delta(\"./out\") { mode overwrite }\n";
const DELTA: &str = "sink out = result -> delta(\"./out\")\n";
const MERGE: &str = "sink out = result -> delta(\"./out\") { mode merge on many }\n";

/// One thing that is measured.
struct Case {
    name: &'static str,
    source: &'static str,
    steps: &'static str,
    sink: &'static str,
    /// It takes one row of so many.
    share: usize,
}

/// A case over all rows in memory.
const fn case(name: &'static str, source: &'static str, steps: &'static str) -> Case {
    Case { name, source, steps, sink: MEMORY, share: 1 }
}

const CASES: &[Case] = &[
    case("filter and project", SOURCE, "|> where value > 50 |> select many, scaled = value * 1.8 + 32"),
    case("aggregate, 16 groups", SOURCE, "|> aggregate n = count(), mean = avg(value), most = max(value) by few"),
    case("aggregate, many groups", SOURCE, "|> aggregate n = count(), mean = avg(value), most = max(value) by many"),
    case("aggregate, two keys", SOURCE, "|> aggregate n = count(), mean = avg(value), most = max(value) by few, name"),
    case("aggregate, strings", SOURCE, "|> aggregate n = count(), mean = avg(value), most = max(value) by name"),
    case(
        "window, by device and minute",
        STREAM,
        "|> aggregate n = count(), mean = avg(value) by name, window tumble(1m)",
    ),
    case("window, hopping", STREAM, "|> aggregate n = count() by few, window hop(10s, 2s)"),
    case(
        "join, 10,000 devices",
        SOURCE,
        "|> join device on device.device == name |> select many, over = value - device.most",
    ),
    case("semi join, 10,000 devices", SOURCE, "|> semi join device on device.device == name |> select many"),
    case("top 10", SOURCE, "|> top 10 by value desc, many"),
    case("top 1 per device", SOURCE, "|> top 1 by value desc, many per name"),
    Case { sink: WHOLE, ..case("sort", SOURCE, "|> select many, value |> sort value, many") },
    Case { sink: DELTA, ..case("delta write", SOURCE, "|> where value >= 0") },
    // No statistics tell that no row passes.
    case("delta scan", TABLE, "|> where length(name) + value < 0"),
    Case { sink: MERGE, share: 10, ..case("delta merge, a tenth of the rows", SOURCE, "|> where value >= 0") },
];

/// Numbers that look like chance and are the same each time.
fn random() -> impl FnMut(usize) -> usize {
    let mut state = 1u64;
    move |below| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    }
}

fn name(n: usize) -> String {
    format!("device-{n:05}")
}

/// Readings of ten minutes.
fn readings(rows: usize) -> RecordBatch {
    let mut random = random();
    let few: Int32Array = (0..rows).map(|_| random(16) as i32).collect();
    let many: Int32Array = (0..rows).map(|_| random(rows.div_ceil(2)) as i32).collect();
    let names: StringArray = (0..rows).map(|_| Some(name(random(NAMES)))).collect();
    let value: Float64Array = (0..rows).map(|_| random(10_000) as f64 / 100.0).collect();
    let start = 1_767_225_600_000_000_i64;
    let at = (0..rows).map(|row| start + row as i64 * 600_000_000 / rows as i64);
    let at = TimestampMicrosecondArray::from_iter_values(at);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("few", Arc::new(few)),
        ("many", Arc::new(many)),
        ("name", Arc::new(names)),
        ("value", Arc::new(value)),
        ("at", Arc::new(at.with_timezone("UTC"))),
    ];
    RecordBatch::try_from_iter(columns).expect("columns of one length")
}

fn devices() -> RecordBatch {
    let names: StringArray = (0..NAMES).map(|n| Some(name(n))).collect();
    let most: Float64Array = (0..NAMES).map(|n| (n % 100) as f64).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![("device", Arc::new(names)), ("most", Arc::new(most))];
    RecordBatch::try_from_iter(columns).expect("columns of one length")
}

/// Machine code for a program whose tables are in `base`.
fn compiled(text: String, base: &Path) -> Executable {
    let loader = FixedLoader { files: IndexMap::from([("bench.flow".to_string(), text)]) };
    let (base, params) = (base.to_string_lossy(), IndexMap::new());
    let input = Input { name: "bench", path: "bench.flow", base: &base, params: &params };
    let outcome = pipeline::check(&input, &loader, &world::catalog());
    let errors: Vec<String> = outcome.diagnostics.iter().map(|d| format!("{} {}", d.code, d.message)).collect();
    let plan = world::plan(&outcome).unwrap_or_else(|_| panic!("{}", errors.join("; ")));
    world::executable(plan).expect("a checked program compiles")
}

/// Runs it once from the beginning: seconds, and rows that were written.
fn once(executable: &Executable, rows: &RecordBatch, threads: &tokio::runtime::Runtime) -> (f64, u64) {
    let state = tempfile::tempdir().expect("a directory for the state");
    let memory = MemoryConnectors::new(SPLIT_ROWS);
    memory.add_rows("sensor", rows.clone()).expect("rows of a source");
    memory.set_table("device", devices(), 0);
    let connectors = Arc::new(DeltaConnectors::new(Arc::new(memory)));
    let options = RunOptions { durable: false, drain: true, ..RunOptions::new(state.path()) };
    let begun = Instant::now();
    let summary =
        threads.block_on(run(executable, connectors, options, Arc::new(Unobserved))).expect("the run ends well");
    (begun.elapsed().as_secs_f64(), summary.sinks.iter().map(|sink| sink.committed.rows).sum())
}

/// A copy of a table by links: data files do not change.
fn link(from: &Path, to: &Path) {
    std::fs::create_dir(to).expect("a new directory");
    for entry in std::fs::read_dir(from).expect("a table").map(|entry| entry.expect("an entry")) {
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() { link(&path, &copy) } else { std::fs::hard_link(&path, &copy).expect("a link") }
    }
}

fn measure(case: &Case, all: &RecordBatch, base: &Path, threads: &tokio::runtime::Runtime) {
    let out = base.join("out");
    let clean = || {
        let _ = std::fs::remove_dir_all(&out);
        if case.sink == MERGE {
            link(&base.join("table"), &out);
        }
    };
    clean();
    let executable = compiled(program(case), base);
    let rows = all.slice(0, all.num_rows() / case.share);
    let (mut best, mut written) = (f64::INFINITY, None);
    for _ in 0..ROUNDS {
        clean();
        let (seconds, out) = once(&executable, &rows, threads);
        best = best.min(seconds);
        assert_eq!(*written.get_or_insert(out), out, "{}: other rows than before", case.name);
    }
    let (each, written) = (best * 1e9 / rows.num_rows() as f64, written.unwrap_or_default());
    println!("{:34} {:>10} {each:>9.1} ns {:>12.1} {written:>12}", case.name, rows.num_rows(), 1e3 / each);
}

fn program(case: &Case) -> String {
    let device = if case.steps.contains("device.") { DEVICE } else { "" };
    format!("{}{device}flow result = sensor\n{}\n{}", case.source, case.steps, case.sink)
}

fn main() {
    // Cargo says --bench.
    let (counts, words): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).filter(|word| !word.starts_with("--")).partition(|word| word.starts_with("rows="));
    let count = counts.last().map_or(ROWS, |word| word["rows=".len()..].parse().expect("rows=N"));
    let base = tempfile::tempdir().expect("a directory for tables");
    // The compiler looks whether files are there; their rows are in memory.
    for file in ["sensor.jsonl", "device.jsonl"] {
        std::fs::write(base.path().join(file), "").expect("a file");
    }
    let threads = tokio::runtime::Runtime::new().expect("threads");
    let all = readings(count);
    // The table that is scanned and merged into; by a sink of another name, whose epochs are not those of the sink that is measured.
    let table = Case { sink: "sink table = result -> delta(\"./table\")\n", ..case("", SOURCE, "|> where value >= 0") };
    once(&compiled(program(&table), base.path()), &all, &threads);
    println!("{:34} {:>10} {:>12} {:>12} {:>12}", "", "rows", "per row", "million/s", "rows out");
    for case in
        CASES.iter().filter(|case| words.is_empty() || words.iter().any(|word| case.name.contains(word.as_str())))
    {
        measure(case, &all, base.path(), &threads);
    }
}
