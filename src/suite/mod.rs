//! Running `test` blocks: each as a scenario of phases, over rows in memory, in many executions that must agree. Knows the compiler and the runtime; nothing
//! of how results are shown.

pub mod compare;
pub mod coverage;
pub mod execution;
pub mod filter;
pub mod junit;
pub mod literal;
pub mod record;
pub mod scenario;
pub mod show;

use crate::exit::Failure;
use crate::world;
use compare::{Difference, Row};
use coverage::Coverage;
use execution::{Code, Ended, Execution};
use flowc_core::checked::{Checked, CheckedTest, ClauseKind, Observed};
use flowc_ir::graph::WEIGHT;
use flowc_ir::interpret::{Interpreter, Recording};
use flowc_ir::plan::{COMMITTED, Executable};
use flowc_ir::{Origin, Schema};
use flowc_runtime::RunError;
use flowc_syntax::{Diagnostic, FileId, Span};
use scenario::Scenario;
use std::time::{Duration, Instant};

/// The rows are not those that the test expects.
pub const ROWS_DIFFER: &str = "R0601";
/// Another execution gives other rows.
pub const EXECUTIONS_DIFFER: &str = "R0602";
/// The run stopped, and the test does not expect it.
pub const STOPPED: &str = "R0603";
/// The run did not stop as the test expects.
pub const NOT_STOPPED: &str = "R0604";

/// What became of a test.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Its name.
    pub name: String,
    /// Where its name stands.
    pub place: Span,
    /// Why it failed; empty: it passed.
    pub failures: Vec<Mismatch>,
    /// How many executions there were.
    pub executions: usize,
    /// How long it took.
    pub took: Duration,
}

impl Outcome {
    /// Whether everything was as expected.
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}

/// One thing that is not as expected.
#[derive(Debug, Clone)]
pub struct Mismatch {
    /// What, and where in the program.
    pub diagnostic: Diagnostic,
    /// The rows.
    pub rows: Option<Difference>,
    /// Why the run stopped.
    pub stopped: Option<Box<RunError>>,
}

/// A place of the typed program as a place of the text.
pub fn span(origin: Origin) -> Span {
    Span { file: FileId(origin.file), start: origin.start, end: origin.end }
}

/// A test with its program compiled in each way in which it runs.
struct Trial<'a> {
    program: &'a Checked,
    test: &'a CheckedTest,
    scenario: Scenario,
    observed: Vec<Observed>,
    schemas: Vec<Schema>,
    compiled: Vec<(Code, Executable)>,
}

/// Runs one test in all executions; in one more if it is to be told what the test reaches.
pub fn run(
    program: &Checked,
    test: &CheckedTest,
    threads: &tokio::runtime::Runtime,
    coverage: Option<&mut Coverage>,
) -> Result<Outcome, Failure> {
    let begun = Instant::now();
    let program = test.variant.as_deref().or(program.unproved.as_deref()).unwrap_or(program);
    let mut trial = Trial::new(program, test);
    if let Some(coverage) = coverage {
        coverage.add(program, test, &trial.observed);
        let plan = program.lower_for_test(&trial.observed).plan().clone();
        let executable = world::compile(plan, &Recording(coverage.recorder()))?;
        let ended = execution::run(&executable, &trial.scenario, &trial.schemas, execution::all(0)[0], threads)?;
        coverage.judged(&ended);
    }
    let executions = execution::all(trial.scenario.most_rows());
    let mut failures = vec![];
    let first = trial.execute(executions[0], threads)?;
    trial.judge(&first, &mut failures);
    let mut ran = 1;
    let late = program.forgets(&trial.observed) && scenario::has_late_rows(program, test);
    let bound = late || program.depends_on_epochs(&trial.observed);
    for execution in executions[1..].iter().filter(|e| !(bound && e.cuts_epochs())) {
        let other = trial.execute(*execution, threads)?;
        ran += 1;
        if let Some(mismatch) = trial.agree(&first, &other, *execution) {
            failures.push(mismatch);
            break;
        }
    }
    Ok(Outcome { name: test.name.clone(), place: span(test.origin), failures, executions: ran, took: begun.elapsed() })
}

impl<'a> Trial<'a> {
    fn new(program: &'a Checked, test: &'a CheckedTest) -> Self {
        let observed = scenario::observed(program, test);
        let schemas = observed.iter().map(|o| kept(program.observed_schema(*o))).collect();
        let scenario = Scenario::new(program, test);
        Trial { program, test, scenario, observed, schemas, compiled: vec![] }
    }

    /// The program compiled in this way.
    fn executable(&mut self, code: Code) -> Result<Executable, Failure> {
        if let Some((_, found)) = self.compiled.iter().find(|(c, _)| *c == code) {
            return Ok(found.clone());
        }
        let lowered = self.program.lower_for_test(&self.observed);
        let executable = match code {
            Code::Machine => world::executable(lowered.optimize())?,
            Code::Interpreted => world::compile(lowered.optimize(), &Interpreter)?,
            Code::Literal => world::compile(lowered.plan().clone(), &Interpreter)?,
        };
        self.compiled.push((code, executable.clone()));
        Ok(executable)
    }

    fn execute(&mut self, execution: Execution, threads: &tokio::runtime::Runtime) -> Result<Ended, Failure> {
        let executable = self.executable(execution.code)?;
        execution::run(&executable, &self.scenario, &self.schemas, execution, threads)
    }

    /// Compares what came out with what the test expects.
    fn judge(&self, ended: &Ended, failures: &mut Vec<Mismatch>) {
        let mut expected_error = None;
        for (phase, look) in self.scenario.looks() {
            let clause = &self.test.clauses[look];
            match &clause.kind {
                ClauseKind::Then(observed, expected) => {
                    let index = self.observed.iter().position(|o| o == observed).unwrap_or(0);
                    let found = ended.rows_after(phase, index);
                    // Of a run that stopped unexpectedly, that is what there is to say.
                    let stopped = ended.error.as_ref().is_some_and(|(at, _)| *at <= phase) && !self.expects_error();
                    if let (Some(difference), false) = (compare::compare(expected, found), stopped) {
                        failures.push(self.rows_differ(*observed, clause.origin, difference));
                    }
                }
                ClauseKind::ThenError(code) => expected_error = Some((code, clause.origin, phase)),
                _ => {}
            }
        }
        match (&ended.error, expected_error) {
            (Some((_, error)), None) => failures.push(self.stopped(error)),
            (error, Some((code, origin, _))) => {
                if error.as_ref().is_none_or(|(_, error)| error.code != code) {
                    failures.push(not_stopped(code, origin, error.as_ref().map(|(_, error)| error)));
                }
            }
            (None, None) => {}
        }
    }

    fn expects_error(&self) -> bool {
        self.test.clauses.iter().any(|c| matches!(c.kind, ClauseKind::ThenError(_)))
    }

    fn rows_differ(&self, observed: Observed, origin: Origin, difference: Difference) -> Mismatch {
        let name = scenario::name_of(self.program, observed);
        let message = format!("{} other rows than expected", comes_out(&name));
        let label = difference.summary();
        let diagnostic = Diagnostic::error(ROWS_DIFFER, span(origin), message).label(label);
        Mismatch { diagnostic, rows: Some(difference), stopped: None }
    }

    fn stopped(&self, error: &RunError) -> Mismatch {
        let message = format!("the run stopped with {}", error.code);
        let diagnostic = Diagnostic::error(STOPPED, span(self.test.origin), message)
            .label("expected to run to its end")
            .help(format!("if it should stop, say so: `then error {}`", error.code));
        Mismatch { diagnostic, rows: None, stopped: Some(Box::new(error.clone())) }
    }

    /// What differs between two executions.
    fn agree(&self, first: &Ended, other: &Ended, execution: Execution) -> Option<Mismatch> {
        let says = |error: &Option<(usize, RunError)>| match error {
            Some((_, error)) => format!("stops with {}: {}", error.code, error.message),
            None => "runs to its end".to_string(),
        };
        let diagnostic = |message: String| {
            Diagnostic::error(EXECUTIONS_DIFFER, span(self.test.origin), message)
                .label(format!("executed with {execution}"))
                .help("how rows are cut into epochs and batches, and who computes them, must not change the result: does it depend on the order of rows?")
        };
        match (&first.error, &other.error) {
            (None, None) => {}
            // Where other rows meet in an epoch, another one may be the first to fail.
            (Some((_, a)), Some((_, b))) if a.code == b.code || execution.cuts_epochs() => return None,
            (a, b) => {
                let message = format!("the run {}, but in another execution it {}", says(a), says(b));
                let stopped = b.as_ref().or(a.as_ref()).map(|(_, error)| Box::new(error.clone()));
                return Some(Mismatch { diagnostic: diagnostic(message), rows: None, stopped });
            }
        }
        for phase in 0..first.phases() {
            for (index, observed) in self.observed.iter().enumerate() {
                let (a, b) = (first.rows_after(phase, index), other.rows_after(phase, index));
                let schema = &self.schemas[index];
                let kept: Vec<usize> = (0..schema.len()).filter(|i| !depends_on_epochs(schema, *i)).collect();
                let pick = |rows: &[Row]| -> Vec<Row> {
                    rows.iter().map(|row| kept.iter().map(|i| row[*i].clone()).collect()).collect()
                };
                let schema = Schema::new(kept.iter().map(|i| schema.fields[*i].clone()).collect());
                let found = compare::compare(&compare::exactly(&schema, &pick(a)), &pick(b));
                if let Some(difference) = found {
                    let name = scenario::name_of(self.program, *observed);
                    let message = format!("{} other rows in another execution", comes_out(&name));
                    return Some(Mismatch { diagnostic: diagnostic(message), rows: Some(difference), stopped: None });
                }
            }
        }
        None
    }
}

/// The columns that are kept of rows: how rows change is no part of what they add up to.
fn kept(mut schema: Schema) -> Schema {
    schema.fields.retain(|field| field.name != WEIGHT && field.name != COMMITTED);
    schema
}

fn comes_out(name: &str) -> String {
    format!("`{name}` gives")
}

/// Whether a column says in which epoch a row was seen.
fn depends_on_epochs(schema: &Schema, column: usize) -> bool {
    schema.fields[column].name == "_epoch"
}

fn not_stopped(code: &str, origin: Origin, error: Option<&RunError>) -> Mismatch {
    let message = match error {
        Some(error) => format!("the run stopped with {}, not with {code}", error.code),
        None => format!("the run did not stop with {code}"),
    };
    let label = if error.is_some() { "another code was expected" } else { "it ran to its end" };
    let mut diagnostic = Diagnostic::error(NOT_STOPPED, span(origin), message).label(label);
    if !crate::pages::PAGES.iter().any(|(known, _)| *known == code) {
        diagnostic.help = Some(format!("no run stops with {code}: docs/errors/index.md lists the codes"));
    }
    Mismatch { diagnostic, rows: None, stopped: error.map(|e| Box::new(e.clone())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowc_core::load::FixedLoader;
    use flowc_core::pipeline::{self, Input};
    use flowc_ir::catalog::{FixedCatalog, TableInfo};
    use flowc_ir::{DataType, Field, Type, Value};
    use indexmap::IndexMap;

    fn checked(text: &str) -> Checked {
        let loader = FixedLoader { files: IndexMap::from([("p.flow".to_string(), text.to_string())]) };
        let input = Input { name: "p", path: "p.flow", base: "/", params: &IndexMap::new() };
        pipeline::check(&input, &loader, &FixedCatalog::default()).checked.unwrap()
    }

    #[test]
    fn executions_that_differ_are_told_apart() {
        let program = checked(
            "source s = generate(rows: 3)\nflow f = s |> extend r = 10 div id\nsink out = f -> console()\n\
             test \"a\" { given s [{ id: 1 }, { id: 2 }] then f [{ id: 1 }, { id: 2 }] }\n\
             test \"b\" { given s [{ id: 1 }, { id: 3 }] then f [{ id: 1 }, { id: 3 }] }\n\
             test \"c\" { given s [{ id: 1 }, { id: 0 }] then f [] }\n",
        );
        let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let execution = execution::all(2)[2];
        let mut ended = vec![];
        for test in &program.tests {
            ended.push(Trial::new(&program, test).execute(execution, &threads).unwrap());
        }
        let trial = Trial::new(&program, &program.tests[0]);
        assert!(trial.agree(&ended[0], &ended[0], execution).is_none());
        let rows = trial.agree(&ended[0], &ended[1], execution).unwrap();
        assert_eq!(rows.diagnostic.code, EXECUTIONS_DIFFER);
        assert_eq!(rows.diagnostic.message, "`f` gives other rows in another execution");
        assert_eq!(
            rows.diagnostic.label,
            "executed with the interpreter, 1 row an epoch, batches of 3 rows, 1 worker, restarted after each epoch"
        );
        assert_eq!(rows.rows.unwrap().summary(), "1 row missing, 1 row unexpected");
        let stops = trial.agree(&ended[0], &ended[2], execution).unwrap();
        assert!(stops.diagnostic.message.contains("in another execution it stops with R0102"), "{stops:?}");
        assert!(trial.agree(&ended[2], &ended[2], execution).is_none());
    }

    /// Values that are easily written or read wrongly.
    fn odd_values() -> Vec<(Value, DataType)> {
        let decimal = |precision, scale| DataType::Decimal { precision, scale };
        let strings = DataType::Array(Box::new(Type::nullable(DataType::String)));
        let mut all = vec![
            (Value::Byte(i8::MIN), DataType::Byte),
            (Value::Short(i16::MIN), DataType::Short),
            (Value::Integer(i32::MIN), DataType::Integer),
            (Value::Decimal(10i128.pow(38) - 1), decimal(38, 0)),
            (Value::Decimal(1 - 10i128.pow(38)), decimal(38, 38)),
            (Value::Decimal(-1), decimal(9, 2)),
            (Value::Binary(vec![]), DataType::Binary),
            (Value::Array(vec![]), strings.clone()),
            (Value::Array(vec![Value::Null, Value::String("{\"}\\\u{7f}\u{2028}é😀\t".into())]), strings),
            (Value::String("}}{{ \r\n\u{0}".into()), DataType::String),
        ];
        for x in [0.0, -0.0, 1e-300, -1.5e300, f64::MAX, 5e-324, 0.1, 1e21, f64::NAN, f64::NEG_INFINITY] {
            all.push((Value::Double(x), DataType::Double));
        }
        for x in [f32::MIN_POSITIVE, f32::MAX, -0.1, 16_777_217.0, f32::NAN, f32::INFINITY] {
            all.push((Value::Float(x), DataType::Float));
        }
        for n in [i64::MIN, i64::MAX, 0, -1] {
            all.push((Value::Long(n), DataType::Long));
        }
        for micros in [0, -1, 1, 253_402_300_799_999_999, -62_135_596_800_000_000, 253_402_300_800_000_000] {
            all.push((Value::Timestamp(micros), DataType::Timestamp));
            all.push((Value::TimestampNtz(micros), DataType::TimestampNtz));
            all.push((Value::Date((micros / 86_400_000_000) as i32), DataType::Date));
        }
        all
    }

    #[test]
    fn what_is_written_is_read_back() {
        for (value, data) in odd_values() {
            let text = literal::literal(&value, &data);
            let column = Field::new("x", Type::nullable(data.clone()));
            let mut catalog = FixedCatalog::default();
            catalog.add("/t", TableInfo { schema: Schema::new(vec![column]), ..TableInfo::default() });
            let program = format!(
                "source s = delta(\"t\")\nflow f = s |> where x is null\ntest \"a\" {{ given s [{{ x: {text} }}] then f [{{ x: {text} }}] }}\n"
            );
            let loader = FixedLoader { files: IndexMap::from([("p.flow".to_string(), program)]) };
            let input = Input { name: "p", path: "p.flow", base: "/", params: &IndexMap::new() };
            let outcome = pipeline::check(&input, &loader, &catalog);
            let errors: Vec<_> = outcome.diagnostics.iter().filter(|d| d.is_error()).collect();
            assert!(errors.is_empty(), "{text}: {errors:?}");
            let checked = outcome.checked.unwrap();
            let ClauseKind::Given(_, rows) = &checked.tests[0].clauses[0].kind else { panic!("no rows") };
            assert_eq!(format!("{:?}", rows[0][0]), format!("{value:?}"), "{text}");
        }
    }

    #[test]
    fn a_program_without_sinks_stops_in_its_flows() {
        let program = checked(
            "source s = generate(rows: 3)\nflow f = s |> extend r = 10 div id\n\
             test \"stops\" { given s [{ id: 0 }] then error R0102 }\n\
             test \"does not\" { given s [{ id: 1 }] then error R0102 }\n",
        );
        let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let passed = program.tests.iter().map(|test| run(&program, test, &threads, None).unwrap().passed());
        assert_eq!(passed.collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn each_two_ways_meet_in_an_execution() {
        let all = execution::all(0);
        let ways = |of: fn(&Execution) -> String| all.iter().map(of).collect::<Vec<_>>();
        let kinds = [
            ways(|e| format!("{:?}", e.epoch_rows)),
            ways(|e| e.batch_rows.to_string()),
            ways(|e| format!("{:?}", e.code)),
            ways(|e| format!("{:?}", e.restart)),
        ];
        for (i, a) in kinds.iter().enumerate() {
            for b in &kinds[i + 1..] {
                let met: std::collections::BTreeSet<(&String, &String)> = a.iter().zip(b).collect();
                assert_eq!(met.len(), 9, "{met:?}");
            }
        }
        assert!(all.iter().any(|e| e.workers == 1) && all.iter().any(|e| e.workers == 2));
    }
}
