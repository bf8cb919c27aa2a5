//! Rows and malformed records of one reading: each arrives once, in order, whichever sinks want which of them, and whenever the run is killed.

use super::*;
use arrow::array::{BooleanArray, StringArray};
use arrow::compute::filter_record_batch;
use flowc_ir::graph::malformed_schema;

/// What is malformed among these rows, and what is not: by turns the one first or the other.
pub(super) fn parts(batch: &RecordBatch) -> Vec<Result<Part, RunError>> {
    let ids = batch.column(0).as_primitive::<Int64Type>();
    let even: BooleanArray = ids.values().iter().map(|id| Some(id % 2 == 0)).collect();
    let rows = Part::Rows(filter_record_batch(batch, &even).unwrap());
    let odd: Vec<i64> = ids.values().iter().copied().filter(|id| id % 2 != 0).collect();
    let text = |of: &dyn Fn(i64) -> String| Arc::new(StringArray::from_iter_values(odd.iter().map(|id| of(*id))));
    let columns: Vec<arrow::array::ArrayRef> = vec![
        text(&|id| format!("#{id}")),
        text(&|_| "file".into()),
        Arc::new(Int64Array::from(odd.clone())),
        text(&|_| "odd".into()),
    ];
    let schema = to_arrow_schema(&Schema::new(malformed_schema().fields[..4].to_vec()));
    let malformed = Part::Malformed(RecordBatch::try_new(schema, columns).unwrap());
    if ids.value(0) % 3 == 0 { vec![Ok(malformed), Ok(rows)] } else { vec![Ok(rows), Ok(malformed)] }
}

fn malformed(p: &mut Planned) -> NodeId {
    p.plan.sources[0].quarantine = Some(row_schema());
    p.node(Operator::Malformed(SourceId(0)), &[], malformed_schema())
}

/// Sinks of rows, of malformed records, and an ordered one of both; the malformed ones stand first in the graph.
fn both() -> Planned {
    let mut p = Planned::new();
    let source = p.source("in");
    let aside = malformed(&mut p);
    p.plan.graph.nodes.swap(0, 1);
    let (aside, source) = (source, aside);
    p.sink("rows", source, false);
    p.sink("aside", aside, false);
    let numbers = |p: &mut Planned, input: NodeId, column: usize| {
        let schema = p.plan.graph.node(input).schema.clone();
        let field = Field::new("n", Type::new(DataType::Long));
        let value = Expr::new(ExprKind::Column(column), field.ty.clone(), Origin::default());
        let program = Program { input: schema, steps: vec![], outputs: vec![Output { field, value }] };
        let out = program.output_schema();
        p.node(Operator::Transform(program), &[input], out)
    };
    let inputs = [numbers(&mut p, source, 0), numbers(&mut p, aside, 2)];
    let schema = p.plan.graph.node(inputs[0]).schema.clone();
    let together = p.node(Operator::Union, &inputs, schema);
    p.sink("ordered", together, false);
    p
}

fn rows(n: i64) -> Vec<Row> {
    (0..n).map(|i| (i, None)).collect()
}

fn sorted(mut rows: Vec<String>) -> Vec<String> {
    rows.sort();
    rows
}

/// Epochs begin at 0 and end where these numbers say; in each come the rows, then what was malformed.
fn check(outside: &Outside, ends: &[i64]) {
    let epochs = || ends.iter().scan(0, |from, to| Some(std::mem::replace(from, *to)..*to));
    let all = || epochs().enumerate().flat_map(|(e, range)| range.map(move |id| (e + 1, id)));
    let of = |rest: i64, text: &dyn Fn(usize, i64) -> String| {
        sorted(all().filter(|(_, id)| id % 2 == rest).map(|(e, id)| text(e, id)).collect())
    };
    assert_eq!(sorted(outside.target("rows").rows), of(0, &|_, id| format!("{id} null")));
    assert_eq!(sorted(outside.target("aside").rows), of(1, &|e, id| format!("#{id} file {id} odd {e}")));
    let parity = |range: std::ops::Range<i64>, rest| range.filter(move |id| id % 2 == rest);
    let ordered = epochs().flat_map(|range| parity(range.clone(), 0).chain(parity(range, 1)));
    assert_eq!(outside.target("ordered").rows, ordered.map(|id| id.to_string()).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_and_malformed_records_come_from_one_reading() {
    let plan = both();
    for workers in [1, 2, 4] {
        for batch in [1, 2, 3, 1024] {
            for (limit, ends) in [(None, &[50][..]), (Some(7), &[7, 14, 21, 28, 35, 42, 49, 50])] {
                let outside = Outside::new(rows(50));
                let memory = Memory { outside: Arc::clone(&outside), faults: Faults::none() };
                let state = tempfile::tempdir().unwrap();
                let summary = plan.run(&memory, options(state.path(), workers, batch, limit)).await.unwrap();
                assert_eq!((summary.sources[0].rows, summary.sources[0].malformed), (25, 25));
                check(&outside, ends);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_operation_each_arrives_once() {
    let plan = both();
    let mut completed = false;
    for kill in 0..1000 {
        let outside = Outside::new(rows(10));
        let state = tempfile::tempdir().unwrap();
        let memory = Memory { outside: Arc::clone(&outside), faults: Faults::after(kill) };
        completed = plan.run(&memory, options(state.path(), 2, 2, Some(6))).await.is_ok();
        let again = Memory { faults: Faults::after(kill % 17 + 5), ..memory.clone() };
        let _ = plan.run(&again, options(state.path(), 1, 4, Some(6))).await;
        let last = Memory { faults: Faults::none(), ..memory };
        plan.run(&last, options(state.path(), 2, 1, Some(6))).await.unwrap();
        check(&outside, &[6, 10]);
        // The counts are those of the whole epoch, however much of it the last run had to read.
        let history = crate::state::StateDir::open(state.path()).unwrap().history().unwrap();
        let read = history.iter().flat_map(|record| &record.report.as_ref().unwrap().sources);
        assert_eq!(read.map(|s| (s.rows, s.malformed)).collect::<Vec<_>>(), [(3, 3), (2, 2)], "kill after {kill}");
        if completed {
            break;
        }
    }
    assert!(completed, "the run was killed at each of its operations");
}

#[tokio::test]
async fn a_sink_of_malformed_records_alone_reads_the_source() {
    let mut p = Planned::new();
    p.source("in");
    let aside = malformed(&mut p);
    p.sink("aside", aside, false);
    let outside = Outside::new(rows(10));
    let memory = Memory { outside: Arc::clone(&outside), faults: Faults::none() };
    let state = tempfile::tempdir().unwrap();
    let summary = p.run(&memory, options(state.path(), 2, 2, None)).await.unwrap();
    assert_eq!((summary.sources[0].rows, summary.sources[0].malformed), (5, 5));
    assert_eq!(outside.target("aside").rows.len(), 5);
    assert_eq!(p.run(&memory, options(state.path(), 2, 2, None)).await.unwrap().epochs, 0);
}

/// Keeps malformed records whose line is not this one, and fails there.
fn assert_line_not(p: &mut Planned, aside: NodeId, bad: i64) -> NodeId {
    let (long, at) = (Type::new(DataType::Long), Origin::default());
    let value = |kind| Expr::new(kind, long.clone(), at);
    let args = vec![value(ExprKind::Column(2)), value(ExprKind::Literal(Value::Long(bad)))];
    let condition = Expr::new(ExprKind::Call { function: find("not_equal").unwrap(), args }, Type::boolean(), at);
    p.transform(aside, vec![ProgramStep::Assert { condition, what: format!("line {bad}") }])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_failure_is_reported_however_both_are_cut() {
    // In the same split a row fails behind a malformed record that fails; in an earlier one only such a record.
    for (row, line, expected) in [(28, 25, "not 28"), (28, 19, "line 19"), (16, 19, "not 16"), (100, 1, "line 1")] {
        let mut p = Planned::new();
        let source = p.source("in");
        let aside = malformed(&mut p);
        let (good, bad) = (p.assert_not(source, row), assert_line_not(&mut p, aside, line));
        p.sink("rows", good, false);
        p.sink("aside", bad, false);
        for workers in [1, 2, 4] {
            for batch in [1, 3, 1024] {
                let mut outside = Outside::new(rows(30));
                Arc::get_mut(&mut outside).unwrap().split_rows = 10;
                let memory = Memory { outside, faults: Faults::none() };
                let state = tempfile::tempdir().unwrap();
                let error = p.run(&memory, options(state.path(), workers, batch, None)).await.unwrap_err();
                assert_eq!(error.message, format!("{expected} does not hold"), "{workers} workers, {batch} rows");
            }
        }
    }
}
