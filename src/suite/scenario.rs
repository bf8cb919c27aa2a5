//! A test as phases: rows that are given, then a run with a clock and a watermark, then looks at what has come out.

use flowc_core::checked::{Checked, CheckedSource, CheckedTest, ClauseKind, Input, Observed};
use flowc_ir::arrow_types::to_arrow_schema;
use flowc_ir::arrow_values::{build_array, value_at};
use flowc_ir::eval::{Backend, EvalContext};
use flowc_ir::graph::malformed_schema;
use flowc_ir::interpret::Interpreter;
use flowc_ir::{Schema, Value};

use arrow::record_batch::{RecordBatch, RecordBatchOptions};

/// What rows are given of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivenKind {
    /// A source.
    Source,
    /// A source whose changes are followed: these then are all rows of its table.
    Followed,
    /// The malformed records of a source.
    Malformed,
    /// A table, of which these then are all rows.
    Table,
}

/// Rows of a source or table.
#[derive(Debug, Clone)]
pub struct Given {
    /// Which.
    pub name: String,
    /// What of it.
    pub kind: GivenKind,
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

    /// The most rows that are given of a source at once.
    pub fn most_rows(&self) -> usize {
        let given = self.phases.iter().flat_map(|p| &p.given).filter(|g| g.kind != GivenKind::Table);
        given.map(|g| g.rows.num_rows()).max().unwrap_or(0)
    }

    /// The clauses that look, each with the phase that it stands behind.
    pub fn looks(&self) -> impl Iterator<Item = (usize, usize)> {
        self.phases.iter().enumerate().flat_map(|(phase, p)| p.looks.iter().map(move |look| (phase, *look)))
    }
}

fn given(program: &Checked, input: Input, rows: &[Vec<Value>]) -> Given {
    let (name, schema, kind) = match input {
        Input::Table(index) => {
            let spec = &program.tables[index].spec;
            (&spec.name, spec.schema.clone(), GivenKind::Table)
        }
        Input::Source(index) => {
            let source = &program.sources[index];
            let kind = if source.follows() { GivenKind::Followed } else { GivenKind::Source };
            (&source.spec.name, source.spec.schema.clone(), kind)
        }
        Input::Malformed(index) => {
            let mut schema = malformed_schema();
            schema.fields.retain(|field| field.name != "_epoch");
            (&program.sources[index].spec.name, schema, GivenKind::Malformed)
        }
        Input::Flow(_) | Input::Rejected(_) | Input::Late(_) => {
            unreachable!("only sources and tables are given: the checker saw to it")
        }
    };
    Given { name: name.clone(), kind, rows: batch(&schema, rows) }
}

/// Whether a test gives a row that is later than its source's watermark.
pub fn has_late_rows(program: &Checked, test: &CheckedTest) -> bool {
    let mut latest: Vec<Option<i64>> = vec![None; program.sources.len()];
    for clause in &test.clauses {
        match &clause.kind {
            ClauseKind::AdvanceWatermark(to) => {
                for (latest, source) in latest.iter_mut().zip(&program.sources) {
                    *latest = (*latest).max(source.watermark.map(|delay| to.saturating_add(delay)));
                }
            }
            ClauseKind::Given(Input::Source(index), rows) => {
                let source = &program.sources[*index];
                let Some(delay) = source.watermark else { continue };
                for time in event_times(source, rows) {
                    if latest[*index].is_some_and(|latest| time < latest.saturating_sub(delay)) {
                        return true;
                    }
                    latest[*index] = latest[*index].max(Some(time));
                }
            }
            _ => {}
        }
    }
    false
}

/// The event times of rows that have one.
fn event_times(source: &CheckedSource, rows: &[Vec<Value>]) -> Vec<i64> {
    // What comes of records is no matter of one record.
    if source.records.is_some() {
        return vec![];
    }
    let Some(column) = source.event_time.as_ref().and_then(|name| source.schema.index_of(name)) else { return vec![] };
    let given = batch(&source.spec.schema, rows);
    let computed = match &source.derive {
        Some(program) => {
            let kernel = Interpreter.compile(program);
            // A row that fails here fails the run, too.
            kernel.ok().and_then(|kernel| kernel.run(&EvalContext::default(), &given).ok())
        }
        None => Some(given),
    };
    let Some(computed) = computed else { return vec![] };
    let times =
        (0..computed.num_rows()).map(|row| value_at(computed.column(column), row, &source.schema.fields[column].ty));
    times.filter_map(|time| if let Value::Timestamp(time) = time { Some(time) } else { None }).collect()
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

/// What a test looks at, each once; where it expects an error, or nothing at all, all sinks too (in a program without any, all flows): the error may be theirs.
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
        (0..program.sinks.len()).map(Observed::Sink).for_each(&mut add);
        if program.sinks.is_empty() {
            (0..program.flows.len()).map(|index| Observed::Rows(Input::Flow(index))).for_each(add);
        }
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
        Observed::Rows(Input::Late(index)) => format!("{}.late", program.flows[index].name),
        Observed::Sink(index) => program.sinks[index].name.clone(),
    }
}
