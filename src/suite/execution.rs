//! The ways in which a test runs: how rows are cut into epochs and batches, how many workers there are, what computes, and whether the run is stopped and
//! goes on from its state. All must give the same rows.

use super::compare::Row;
use super::scenario::{GivenKind, Phase, Scenario};
use crate::exit::Failure;
use flowc_ir::Schema;
use flowc_ir::arrow_values::value_at;
use flowc_ir::plan::Executable;
use flowc_runtime::clock::FixedClock;
use flowc_runtime::connectors::memory::MemoryConnectors;
use flowc_runtime::{Cancel, EpochLimits, EpochReport, Observer, Progress, RunError, RunOptions, RunSummary};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Rows of a split: so few that two workers have something to do even in a small test.
const SPLIT_ROWS: usize = 2;

/// The most epochs that the rows given at once are cut into: each has its records in the state.
const MOST_EPOCHS: usize = 16;

/// What computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Machine code, of the optimized program.
    Machine,
    /// The interpreter, of the optimized program.
    Interpreted,
    /// The interpreter, of the program as it is written.
    Literal,
}

/// Whether a run is stopped, and another one goes on from its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// No.
    Never,
    /// After each epoch.
    Between,
    /// In the middle of the first epoch, so that it has to be run again.
    Within,
}

/// One way to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Execution {
    /// What computes.
    pub code: Code,
    /// Rows of each source that an epoch takes; none: all that are there.
    pub epoch_rows: Option<u64>,
    /// Rows of a batch.
    pub batch_rows: usize,
    /// How many workers.
    pub workers: usize,
    /// Whether it is stopped and goes on.
    pub restart: Restart,
}

impl Execution {
    /// Whether it takes other rows at once than the first one.
    pub fn cuts_epochs(&self) -> bool {
        self.epoch_rows.is_some()
    }
}

impl fmt::Display for Execution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = match self.code {
            Code::Machine => "machine code",
            Code::Interpreted => "the interpreter",
            Code::Literal => "the interpreter, not optimized",
        };
        let epochs = match self.epoch_rows {
            Some(1) => "1 row an epoch".to_string(),
            Some(rows) => format!("{rows} rows an epoch"),
            None => "one epoch".to_string(),
        };
        let rows = if self.batch_rows == 1 { "1 row".to_string() } else { format!("{} rows", self.batch_rows) };
        let workers = if self.workers == 1 { "1 worker".to_string() } else { format!("{} workers", self.workers) };
        write!(f, "{code}, {epochs}, batches of {rows}, {workers}")?;
        match self.restart {
            Restart::Never => Ok(()),
            Restart::Between => write!(f, ", restarted after each epoch"),
            Restart::Within => write!(f, ", stopped within the first epoch and resumed"),
        }
    }
}

/// The executions. The first one is compared with what is expected; in the others, each two of rows an epoch (1, 2, all), rows a batch (1, 3, 1024), what computes,
/// and restarts meet once. `rows`: the most that are given of a source at once; where they are many, epochs take more than 1 and 2, so that there are not too many epochs.
pub fn all(rows: usize) -> Vec<Execution> {
    use Code::*;
    use Restart::*;
    let few = Some(1.max(rows.div_ceil(MOST_EPOCHS) as u64));
    let more = Some(2.max(rows.div_ceil(MOST_EPOCHS / 2) as u64));
    let way =
        |code, epoch_rows, batch_rows, workers, restart| Execution { code, epoch_rows, batch_rows, workers, restart };
    vec![
        way(Machine, None, 1024, 1, Never),
        way(Machine, few, 1, 2, Never),
        way(Interpreted, few, 3, 1, Between),
        way(Literal, few, 1024, 2, Within),
        way(Interpreted, more, 1, 1, Within),
        way(Literal, more, 3, 2, Never),
        way(Machine, more, 1024, 1, Between),
        way(Literal, None, 1, 2, Between),
        way(Machine, None, 3, 2, Within),
        way(Interpreted, None, 1024, 2, Never),
    ]
}

/// How an execution ended.
#[derive(Debug, Clone, Default)]
pub struct Ended {
    /// After each phase, the rows of everything looked at.
    rows: Vec<Vec<Vec<Row>>>,
    /// Why the run stopped, and in which phase.
    pub error: Option<(usize, RunError)>,
    /// What the runs tell.
    pub summaries: Vec<RunSummary>,
}

impl Ended {
    /// The rows that have come out of what is looked at, by the end of a phase.
    pub fn rows_after(&self, phase: usize, observed: usize) -> &[Row] {
        // Behind the phase in which the run stopped nothing changes any more.
        let at = phase.min(self.rows.len().saturating_sub(1));
        self.rows.get(at).and_then(|all| all.get(observed)).map(Vec::as_slice).unwrap_or_default()
    }

    /// How many phases there were.
    pub fn phases(&self) -> usize {
        self.rows.len()
    }
}

/// Stops a run at its first batch, or after its first epoch.
#[derive(Debug)]
struct Stopper {
    cancel: Cancel,
    at: Restart,
}

impl Observer for Stopper {
    fn progress(&self, _progress: &Progress) {
        if self.at == Restart::Within {
            self.cancel.cancel();
        }
    }

    fn epoch(&self, _report: &EpochReport) {
        if self.at == Restart::Between {
            self.cancel.cancel();
        }
    }
}

/// Runs a scenario in one way; `schemas`: of the plan's sinks.
pub fn run(
    executable: &Executable,
    scenario: &Scenario,
    schemas: &[Schema],
    execution: Execution,
    threads: &tokio::runtime::Runtime,
) -> Result<Ended, Failure> {
    let failed = |e: String| Failure::world(format!("cannot make a directory for the state of a test: {e}"));
    let state = tempfile::tempdir().map_err(|e| failed(e.to_string()))?;
    let memory = MemoryConnectors::new(SPLIT_ROWS);
    let mut ended = Ended::default();
    for (index, phase) in scenario.phases.iter().enumerate() {
        for given in &phase.given {
            let rows = given.rows.clone();
            let added = match given.kind {
                GivenKind::Source => memory.commit_rows(&given.name, rows, phase.now),
                GivenKind::Malformed => memory.add_malformed(&given.name, rows),
                GivenKind::Followed => memory.replace_rows(&given.name, &rows, phase.now),
                GivenKind::Table => {
                    memory.set_table(&given.name, rows.clone(), phase.now);
                    // What is joined to rows that change follows the table.
                    memory.replace_rows(&given.name, &rows, phase.now)
                }
            };
            added.map_err(|e| Failure::world(e.to_string()))?;
        }
        let result = threads.block_on(run_phase(executable, &memory, phase, execution, state.path()));
        match result {
            Ok(mut summaries) => ended.summaries.append(&mut summaries),
            Err(error) => ended.error = Some((index, error)),
        }
        let sinks = executable.plan.sinks.iter().zip(schemas);
        ended.rows.push(sinks.map(|(sink, schema)| rows(&memory, &sink.name, schema)).collect());
        if ended.error.is_some() {
            break;
        }
    }
    Ok(ended)
}

/// Runs until nothing is new, as often stopped as the execution says.
async fn run_phase(
    executable: &Executable,
    memory: &MemoryConnectors,
    phase: &Phase,
    execution: Execution,
    state: &Path,
) -> Result<Vec<RunSummary>, RunError> {
    let mut summaries = vec![];
    let mut restart = execution.restart;
    loop {
        let cancel = Cancel::new();
        let options = RunOptions {
            workers: execution.workers,
            batch_rows: execution.batch_rows,
            limits: EpochLimits { rows: execution.epoch_rows, ..EpochLimits::NONE },
            durable: false,
            watermark: phase.watermark,
            cancel: cancel.clone(),
            clock: Arc::new(FixedClock(phase.now)),
            ..RunOptions::new(state)
        };
        let observer = Arc::new(Stopper { cancel, at: restart });
        let summary = flowc_runtime::run(executable, Arc::new(memory.clone()), options, observer).await?;
        let again = summary.cancelled;
        summaries.push(summary);
        if !again {
            return Ok(summaries);
        }
        if restart == Restart::Within {
            restart = Restart::Never;
        }
    }
}

/// What a sink holds, row by row. Of a stream whose rows change, that is what they add up to.
fn rows(memory: &MemoryConnectors, sink: &str, schema: &Schema) -> Vec<Row> {
    let mut found = vec![];
    for batch in memory.written(sink) {
        for row in 0..batch.num_rows() {
            let columns = schema.fields.iter().zip(batch.columns());
            found.push(columns.map(|(field, column)| value_at(column, row, &field.ty)).collect());
        }
    }
    found
}
