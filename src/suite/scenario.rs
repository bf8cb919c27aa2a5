//! A test as phases: rows that are given, then a run with a clock and a watermark, then looks at what has come out.

use flowc_core::checked::{Checked, CheckedTest, ClauseKind, Input, Observed};
use flowc_ir::arrow_types::to_arrow_schema;
use flowc_ir::arrow_values::build_array;
use flowc_ir::{Schema, Value};

use arrow::record_batch::{RecordBatch, RecordBatchOptions};

/// Rows of a source or table.
#[derive(Debug, Clone)]
pub struct Given {
    /// Which.
    pub name: String,
    /// Whether it is a table, of which these then are all rows.
    pub table: bool,
    /// The rows.
    pub rows: RecordBatch,
}

/// A part of a test that runs at once.
#[derive(Debug, Clone, Default)]
pub struct Phase {
    /// What is there before it runs, besides what was there.
    pub given: Vec<Given>,
    /// What time it is.
    pub now: i64,
    /// The event time that all sources have reached.
    pub watermark: Option<i64>,
    /// The clauses that look at what has come out after it.
    pub looks: Vec<usize>,
}

/// The phases of a test.
#[derive(Debug, Clone, Default)]
pub struct Scenario {
    /// In the order in which they happen.
    pub phases: Vec<Phase>,
}

impl Scenario {
    /// The phases of a test: a clause that looks, moves the clock or the watermark lets the rows run that were given before it. The first `at` holds from the
    /// beginning.
    pub fn new(program: &Checked, test: &CheckedTest) -> Self {
        let first = test.clauses.iter().find_map(|c| if let ClauseKind::At(at) = c.kind { Some(at) } else { None });
        let mut phases = vec![];
        let mut open = Phase { now: first.unwrap_or(0), ..Phase::default() };
        let mut told = false;
        let mut advanced = false;
        let mut close = |open: &mut Phase| {
            let next = Phase { now: open.now, watermark: open.watermark, ..Phase::default() };
            phases.push(std::mem::replace(open, next));
        };
        for (index, clause) in test.clauses.iter().enumerate() {
            match &clause.kind {
                ClauseKind::Given(input, rows) => {
                    if !open.looks.is_empty() {
                        close(&mut open);
                    }
                    open.given.push(given(program, *input, rows));
                }
                ClauseKind::At(at) => {
                    if told && !(open.given.is_empty() && open.looks.is_empty()) {
                        close(&mut open);
                    }
                    told = true;
                    open.now = *at;
                }
                ClauseKind::AdvanceWatermark(to) => {
                    if !(open.given.is_empty() && open.looks.is_empty()) {
                        close(&mut open);
                    }
                    advanced = true;
                    open.watermark = Some(*to);
                }
                ClauseKind::Then(..) | ClauseKind::ThenError(_) => open.looks.push(index),
            }
        }
        let looks = std::mem::take(&mut open.looks);
        close(&mut open);
        // Everything is over at the end of a test, unless it tells itself how far time has come.
        if !advanced && program.sources.iter().any(|s| s.watermark.is_some()) {
            open.watermark = Some(i64::MAX);
            close(&mut open);
        }
        if let Some(last) = phases.last_mut() {
            last.looks = looks;
        }
        Scenario { phases }
    }

    /// The clauses that look, each with the phase that it stands behind.
    pub fn looks(&self) -> impl Iterator<Item = (usize, usize)> {
        self.phases.iter().enumerate().flat_map(|(phase, p)| p.looks.iter().map(move |look| (phase, *look)))
    }
}

fn given(program: &Checked, input: Input, rows: &[Vec<Value>]) -> Given {
    let (name, schema, table) = match input {
        Input::Table(index) => {
            let spec = &program.tables[index].spec;
            (&spec.name, &spec.schema, true)
        }
        Input::Source(index) => {
            let spec = &program.sources[index].spec;
            (&spec.name, &spec.schema, false)
        }
        _ => unreachable!("only sources and tables are given: the checker saw to it"),
    };
    Given { name: name.clone(), table, rows: batch(schema, rows) }
}

/// Rows as a batch of this schema.
pub fn batch(schema: &Schema, rows: &[Vec<Value>]) -> RecordBatch {
    let column = |(i, field): (usize, &flowc_ir::Field)| {
        let values: Vec<Value> = rows.iter().map(|row| row[i].clone()).collect();
        build_array(&field.ty.data, &values)
    };
    let columns = schema.fields.iter().enumerate().map(column).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(to_arrow_schema(schema), columns, &options)
        .expect("the values of a checked test have the types of its columns")
}

/// What a test looks at, each once; all sinks too where it expects an error, which may be theirs, or nothing at all.
pub fn observed(program: &Checked, test: &CheckedTest) -> Vec<Observed> {
    let mut found: Vec<Observed> = vec![];
    let mut add = |observed: Observed| {
        if !found.contains(&observed) {
            found.push(observed);
        }
    };
    for clause in &test.clauses {
        if let ClauseKind::Then(observed, _) = &clause.kind {
            add(*observed);
        }
    }
    let expects_rows = test.clauses.iter().any(|c| matches!(c.kind, ClauseKind::Then(..)));
    let expects_error = test.clauses.iter().any(|c| matches!(c.kind, ClauseKind::ThenError(_)));
    if expects_error || !expects_rows {
        (0..program.sinks.len()).map(Observed::Sink).for_each(add);
    }
    found
}

/// What a test calls what it looks at.
pub fn name_of(program: &Checked, observed: Observed) -> String {
    match observed {
        Observed::Rows(Input::Source(index)) => program.sources[index].spec.name.clone(),
        Observed::Rows(Input::Malformed(index)) => format!("{}.malformed", program.sources[index].spec.name),
        Observed::Rows(Input::Table(index)) => program.tables[index].spec.name.clone(),
        Observed::Rows(Input::Flow(index)) => program.flows[index].name.clone(),
        Observed::Rows(Input::Rejected(index)) => format!("{}.rejected", program.flows[index].name),
        Observed::Sink(index) => program.sinks[index].name.clone(),
    }
}
