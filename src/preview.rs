//! Rows of a program on a sample of what it reads: run as `flowc run` runs it, and written nowhere. Must not know who asks, nor how rows are shown.

use crate::exit::Failure;
use crate::world;
use arrow::record_batch::RecordBatch;
use flowc_ide::Cut;
use flowc_ir::Schema;
use flowc_ir::graph::Operator;
use flowc_ir::plan::{Executable, Plan};
use flowc_runtime::connectors::sample::{SampleConnectors, Sampled};
use flowc_runtime::report::Unobserved;
use flowc_runtime::state::MemoryState;
use flowc_runtime::{Cancel, RunError, RunOptions, RunSummary};
use std::collections::BTreeSet;
use std::future::Future;
use std::sync::{Arc, Mutex};

/// Bytes that waiting rows may take: a sample is small, and an editor is beside it.
const MEMORY: usize = 256 << 20;

/// What came out.
#[derive(Debug)]
pub struct Preview {
    /// The columns.
    pub schema: Schema,
    /// The rows.
    pub rows: Vec<RecordBatch>,
    /// What was read.
    pub sampled: Vec<Sampled>,
    /// Why there are no rows, or not all that the sample gives.
    pub stopped: Option<Stopped>,
}

/// Why a preview ended early.
#[derive(Debug)]
pub enum Stopped {
    /// The run would stop, too.
    Failed(Box<RunError>),
    /// Whoever asked does not want to know any more.
    Cancelled,
    /// It took too long.
    TooLong,
}

impl Preview {
    /// How many rows there are.
    pub fn count(&self) -> usize {
        self.rows.iter().map(RecordBatch::num_rows).sum()
    }

    /// Whether a source has more rows than were read.
    pub fn is_of_sample(&self) -> bool {
        self.sampled.iter().any(|source| source.more)
    }

    /// In a sentence: how many of the rows are shown, and what they were made of.
    pub fn summary(&self, title: &str, shown: usize) -> String {
        let rows = |n: usize| if n == 1 { "1 row".to_string() } else { format!("{} rows", grouped(n)) };
        let count = self.count();
        let some = if shown < count { format!("the first {} of ", grouped(shown)) } else { String::new() };
        let read = self.sampled.iter().filter(|source| source.more);
        let read: Vec<String> = read.map(|s| format!("the first {} of `{}`", rows(s.rows), s.name)).collect();
        let sample = if read.is_empty() { String::new() } else { format!(", on a sample: {}", read.join(", ")) };
        format!("{some}{} of `{title}`{sample}", rows(count))
    }
}

/// 12,345
fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Runs a program over at most `sample` rows of each source, until `deadline`. Windows that are open at the end close: nothing more comes.
pub fn run(cut: &Cut, sample: usize, cancel: &Cancel, deadline: impl Future<Output = ()>) -> Result<Preview, Failure> {
    let plan = cut.checked.lower_rows(cut.input).optimize();
    let schema = plan.sinks.first().map(|sink| sink.schema.clone()).unwrap_or_default();
    let name = plan.sinks.first().map(|sink| sink.name.clone()).unwrap_or_default();
    // Nothing of the program writes to the console: its one sink is in memory.
    let inner = world::connectors(Arc::new(Mutex::new(std::io::sink())));
    let connectors = Arc::new(SampleConnectors::new(inner, sample, read_whole(&plan, cut)));
    let executable = world::executable(plan)?;
    let failed = |e: &dyn std::fmt::Display| Failure::world(format!("cannot start threads: {e}"));
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let threads = threads.map_err(|e| failed(&e))?;
    let work = threads.spawn(execute(executable, connectors.clone(), cancel.clone()));
    let stopped = threads.block_on(async {
        tokio::select! {
            biased;
            () = cancel.cancelled() => Ok(Some(Stopped::Cancelled)),
            () = deadline => Ok(Some(Stopped::TooLong)),
            ended = work => match ended {
                Ok(Ok(summary)) => Ok(summary.cancelled.then_some(Stopped::Cancelled)),
                Ok(Err(error)) => Ok(Some(Stopped::Failed(Box::new(error)))),
                Err(e) => Err(failed(&e)),
            },
        }
    });
    // What still computes ends with its batch, and nobody waits for that.
    cancel.cancel();
    threads.shutdown_background();
    Ok(Preview { schema, rows: connectors.written(&name), sampled: connectors.sampled(), stopped: stopped? })
}

async fn execute(
    executable: Executable,
    connectors: Arc<SampleConnectors>,
    cancel: Cancel,
) -> Result<RunSummary, RunError> {
    let state = MemoryState::new();
    let options =
        RunOptions { workers: 1, memory: MEMORY, durable: false, drain: true, cancel, ..RunOptions::new(state.path()) };
    flowc_runtime::run(&executable, connectors, options, Arc::new(Unobserved)).await
}

/// What is read whole all the same: tables that rows are looked up in. Of a part of them the result would be another one, not a smaller one.
fn read_whole(plan: &Plan, cut: &Cut) -> BTreeSet<String> {
    let looked_up = plan.graph.nodes.iter().filter_map(|node| match &node.operator {
        Operator::Lookup(lookup) => plan.tables.get(lookup.table.0 as usize).map(|table| table.name.clone()),
        _ => None,
    });
    // A table whose changes are followed is read like a source.
    let followed = cut.checked.tables.iter().map(|table| table.spec.name.clone());
    let followed = followed.filter(|name| plan.sources.iter().any(|source| source.name == *name));
    looked_up.chain(followed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowc_ide::{LoadError, Loader, RowsOf, Workspace};
    use std::future::{pending, ready};

    struct Alone;

    impl Loader for Alone {
        fn load(&self, _path: &str) -> Result<String, LoadError> {
            Err(LoadError::NotFound)
        }
    }

    fn cut(text: &str, steps: Option<usize>) -> Cut {
        let mut workspace = Workspace::new(Box::new(Alone));
        workspace.set_text("/w/p.flow", text);
        workspace.cut("/w/p.flow", &RowsOf { name: "f".into(), steps }).unwrap()
    }

    const PROGRAM: &str = "source s = generate()\nflow f = s\n    |> extend half = id / 2\n    |> where id % 2 == 0\n    |> extend r = 10 div (id - 4)\n";

    #[test]
    fn a_step_has_its_rows_on_a_sample() {
        let preview = run(&cut(PROGRAM, Some(2)), 1_500, &Cancel::new(), pending()).unwrap();
        assert_eq!((preview.count(), preview.stopped.is_none(), preview.is_of_sample()), (750, true, true));
        let columns: Vec<&str> = preview.schema.fields.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(columns, ["id", "half"]);
        let wanted = "the first 50 of 750 rows of `f |> where`, on a sample: the first 1,500 rows of `s`";
        assert_eq!(preview.summary("f |> where", 50), wanted);
        let ends =
            run(&cut(&PROGRAM.replace("generate()", "generate(rows: 3)"), Some(2)), 1_500, &Cancel::new(), pending());
        assert_eq!(ends.unwrap().summary("f |> where", 50), "2 rows of `f |> where`");
    }

    #[test]
    fn a_row_that_fails_is_told() {
        let preview = run(&cut(PROGRAM, None), 100, &Cancel::new(), pending()).unwrap();
        let Some(Stopped::Failed(error)) = preview.stopped else { panic!("it runs: {preview:?}") };
        assert_eq!(error.code, "R0102");
        assert_eq!(error.origin.map(|o| &PROGRAM[o.start as usize..o.end as usize]), Some("10 div (id - 4"));
    }

    #[test]
    fn what_takes_too_long_or_is_not_wanted_any_more_ends() {
        let cut = cut(PROGRAM, None);
        let preview = run(&cut, 10, &Cancel::new(), ready(())).unwrap();
        assert!(matches!(preview.stopped, Some(Stopped::TooLong)), "{preview:?}");
        let cancel = Cancel::new();
        cancel.cancel();
        let preview = run(&cut, 10, &cancel, ready(())).unwrap();
        assert!(matches!(preview.stopped, Some(Stopped::Cancelled)), "{preview:?}");
    }
}
