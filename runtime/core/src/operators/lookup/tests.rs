//! Lookups against a table with duplicate and null keys, in batches and chunks of several sizes, beside a row-by-row definition.

use super::*;
use arrow::array::AsArray;
use flowc_ir::eval::Backend;
use flowc_ir::graph::TableId;
use flowc_ir::interpret::Interpreter;
use flowc_ir::{DataType, Expr, ExprKind, Field, Origin, Output, Program, Schema, Type, Value};

type Row = (Option<f64>, i64);

fn schema(prefix: &str) -> Schema {
    Schema::new(vec![
        Field::new(format!("{prefix}k"), Type::nullable(DataType::Double)),
        Field::new(format!("{prefix}n"), Type::new(DataType::Long)),
    ])
}

fn batch(prefix: &str, rows: &[Row]) -> RecordBatch {
    let keys: arrow::array::Float64Array = rows.iter().map(|r| r.0).collect();
    let numbers = arrow::array::Int64Array::from_iter_values(rows.iter().map(|r| r.1));
    RecordBatch::try_new(to_arrow_schema(&schema(prefix)), vec![Arc::new(keys), Arc::new(numbers)]).unwrap()
}

fn column(schema: &Schema, i: usize) -> Expr {
    Expr::new(ExprKind::Column(i), schema.fields[i].ty.clone(), Origin::default())
}

fn identity(schema: &Schema) -> Program {
    let output = |(i, f): (usize, &Field)| Output { field: f.clone(), value: column(schema, i) };
    Program { input: schema.clone(), steps: vec![], outputs: schema.fields.iter().enumerate().map(output).collect() }
}

/// The stream's number differs from the table's, which is the last column, by an even number: `(n - t.n) in [0, 2, -2, …]`.
fn residual(both: &Schema) -> Program {
    let subtract = flowc_ir::functions::find("subtract").unwrap();
    let difference = ExprKind::Call { function: subtract, args: vec![column(both, 1), column(both, both.len() - 1)] };
    let difference = Expr::new(difference, Type::new(DataType::Long), Origin::default());
    let list = (-30..=30).map(|i| Value::Long(i * 2)).collect();
    let even = ExprKind::InList { value: Box::new(difference), list };
    let value = Expr::new(even, Type::new(DataType::Boolean), Origin::default());
    Program {
        input: both.clone(),
        steps: vec![],
        outputs: vec![Output { field: Field::new("ok", Type::new(DataType::Boolean)), value }],
    }
}

/// What the lookup must yield: stream rows with the table row's number.
fn expected(kind: LookupKind, stream: &[Row], table: &[Row], equi: bool, residual: bool) -> Vec<(i64, Option<i64>)> {
    let mut rows = vec![];
    for s in stream {
        let equal = |t: &&Row| match (s.0, t.0) {
            _ if !equi => true,
            (Some(a), Some(b)) => a == b || (a.is_nan() && b.is_nan()),
            _ => false,
        };
        let even = |t: &&Row| !residual || (s.1 - t.1) % 2 == 0;
        let matches: Vec<i64> = table.iter().filter(equal).filter(even).map(|t| t.1).collect();
        match kind {
            LookupKind::Inner => rows.extend(matches.iter().map(|n| (s.1, Some(*n)))),
            LookupKind::Left if matches.is_empty() => rows.push((s.1, None)),
            LookupKind::Left => rows.extend(matches.iter().map(|n| (s.1, Some(*n)))),
            LookupKind::Semi => rows.extend((!matches.is_empty()).then_some((s.1, None))),
            LookupKind::Anti => rows.extend(matches.is_empty().then_some((s.1, None))),
            LookupKind::Mark => {
                let unknown = s.0.is_none() || matches.is_empty() && table.iter().any(|t| t.0.is_none());
                rows.push((s.1, (!unknown).then_some(i64::from(!matches.is_empty()))));
            }
        }
    }
    rows
}

fn actual(
    kind: LookupKind,
    stream: &[Row],
    table: &[Row],
    (equi, with_residual): (bool, bool),
    batch_rows: usize,
) -> Vec<(i64, Option<i64>)> {
    let joins = matches!(kind, LookupKind::Inner | LookupKind::Left);
    let both = Schema::new([schema("").fields, schema("t.").fields].concat());
    let keys = if equi { vec![0] } else { vec![] };
    let spec = graph::Lookup {
        table: TableId(0),
        kind,
        as_of: None,
        prepare: identity(&schema("t.")),
        stream_keys: keys.clone(),
        table_keys: keys,
        residual: with_residual.then(|| residual(&both)),
        output: if joins { vec![1] } else { vec![] },
    };
    let mut out = schema("").fields.into_vec();
    if joins {
        out.push(Field::new("t.n", Type::nullable(DataType::Long)));
    }
    let marks = kind == LookupKind::Mark;
    if marks {
        out.push(Field::new("mark", Type::nullable(DataType::Boolean)));
    }
    let kernels =
        (Interpreter.compile(&spec.prepare).unwrap(), spec.residual.as_ref().map(|p| Interpreter.compile(p).unwrap()));
    let tables: Vec<RecordBatch> = table.chunks(batch_rows).map(|rows| batch("t.", rows)).collect();
    let out = to_arrow_schema(&Schema::new(out));
    let matching = Matching::new(NodeId(0), &spec, kernels, EvalContext::default(), (out, batch_rows)).unwrap();
    let snapshot = Arc::new(matching.snapshot(&tables).unwrap());
    let lookup = Lookup { matching, snapshot };
    let mut rows = vec![];
    for part in stream.chunks(batch_rows) {
        for out in lookup.process(batch("", part)) {
            let out = out.unwrap();
            let n = out.column(1).as_primitive::<arrow::datatypes::Int64Type>();
            for row in 0..out.num_rows() {
                if marks {
                    let mark = out.column(2).as_boolean();
                    rows.push((n.value(row), mark.is_valid(row).then(|| i64::from(mark.value(row)))));
                    continue;
                }
                let t = joins.then(|| out.column(2).as_primitive::<arrow::datatypes::Int64Type>());
                rows.push((n.value(row), t.filter(|t| t.is_valid(row)).map(|t| t.value(row))));
            }
        }
    }
    rows
}

#[test]
fn every_kind_of_lookup() {
    let stream: Vec<Row> =
        [Some(1.0), None, Some(-0.0), Some(f64::NAN), Some(9.0), Some(2.0), Some(1.0)].into_iter().zip(0..).collect();
    let table: Vec<Row> =
        [Some(1.0), Some(1.0), Some(0.0), None, Some(f64::NAN), Some(2.0), Some(1.0)].into_iter().zip(0..).collect();
    let kinds = [LookupKind::Inner, LookupKind::Left, LookupKind::Semi, LookupKind::Anti, LookupKind::Mark];
    for kind in kinds {
        for shape in [(true, false), (true, true), (false, false), (false, true)] {
            if kind == LookupKind::Mark && shape != (true, false) {
                continue;
            }
            for batch_rows in [1, 2, 3, 1024] {
                for table in [&table[..], &table[..3], &[]] {
                    let expected = expected(kind, &stream, table, shape.0, shape.1);
                    let actual = actual(kind, &stream, table, shape, batch_rows);
                    assert_eq!(actual, expected, "{kind:?} {shape:?} {batch_rows} {}", table.len());
                }
            }
        }
    }
}

/// A row of the stream with its time.
type Timed = (Row, Option<i64>);

fn timed_schema() -> Schema {
    let at = Field::new("at", Type::nullable(DataType::Timestamp));
    Schema::new([schema("").fields.into_vec(), vec![at]].concat())
}

fn timed_batch(rows: &[Timed]) -> RecordBatch {
    let plain = batch("", &rows.iter().map(|r| r.0).collect::<Vec<_>>());
    let times: arrow::array::TimestampMicrosecondArray = rows.iter().map(|r| r.1).collect();
    let columns = plain.columns().iter().cloned().chain([Arc::new(times.with_timezone("UTC")) as ArrayRef]);
    RecordBatch::try_new(to_arrow_schema(&timed_schema()), columns.collect()).unwrap()
}

/// The versions of the table, with their times.
const VERSIONS: [(i64, &[Row]); 4] = [
    (10, &[(Some(1.0), 0), (Some(2.0), 1), (None, 2), (Some(1.0), 3)]),
    (20, &[]),
    (20, &[(Some(1.0), 4), (Some(3.0), 5), (Some(3.0), 6), (Some(9.0), 7)]),
    (30, &[(Some(2.0), 8), (Some(1.0), 9), (Some(1.0), 10), (Some(4.0), 11)]),
];

/// A lookup in [`VERSIONS`], the first `gone` of which cannot be read any more, with so much memory.
async fn as_of(kind: LookupKind, (equi, with_residual): (bool, bool), gone: usize, memory: usize) -> as_of::AsOf {
    use crate::connector::Connectors;
    let connectors = crate::connectors::memory::MemoryConnectors::new(2);
    for (at, rows) in VERSIONS {
        connectors.set_table("t", batch("t.", rows), at);
    }
    let connector = flowc_ir::plan::Connector::Console;
    let origin = Origin::default();
    let (promises, schema_of) = (vec![], schema("t."));
    let table = flowc_ir::plan::TableSpec {
        promises,
        name: "t".into(),
        connector,
        schema: schema_of,
        predicate: None,
        version: None,
        origin,
    };
    let opened = connectors.table(&table).await.unwrap();
    let mut history = opened.history(&opened.pin().await.unwrap()).await.unwrap();
    history.versions.drain(..gone);
    history.gone = (gone > 0).then(|| "the log was cleaned up".to_string());
    let joins = matches!(kind, LookupKind::Inner | LookupKind::Left);
    let both = Schema::new([timed_schema().fields, schema("t.").fields].concat());
    let keys = if equi { vec![0] } else { vec![] };
    let spec = graph::Lookup {
        table: TableId(0),
        kind,
        as_of: Some(2),
        prepare: identity(&schema("t.")),
        stream_keys: keys.clone(),
        table_keys: keys,
        residual: with_residual.then(|| residual(&both)),
        output: if joins { vec![1] } else { vec![] },
    };
    let mut out = timed_schema().fields.into_vec();
    if joins {
        out.push(Field::new("t.n", Type::nullable(DataType::Long)));
    }
    let kernels =
        (Interpreter.compile(&spec.prepare).unwrap(), spec.residual.as_ref().map(|p| Interpreter.compile(p).unwrap()));
    let shape = (to_arrow_schema(&Schema::new(out)), 3);
    let matching = Matching::new(NodeId(0), &spec, kernels, EvalContext::default(), shape).unwrap();
    let reader = crate::tables::TableReader::new(&table, &opened, (2, memory), &crate::cancel::Cancel::new());
    as_of::AsOf::new(matching, 2, history, reader, &crate::spill::Budget::new(memory, std::path::Path::new("/tmp")))
}

/// What comes out: stream rows with the table row's number.
async fn dated(lookup: &as_of::AsOf, stream: &[Timed], batch_rows: usize) -> Result<Vec<(i64, Option<i64>)>, Fault> {
    let mut rows = vec![];
    for part in stream.chunks(batch_rows) {
        let mut dated = lookup.date(timed_batch(part))?;
        while let Some(part) = lookup.next(&mut dated).await? {
            for out in part.outputs {
                let out = out?;
                let column = |i: usize| out.column(i).as_primitive::<arrow::datatypes::Int64Type>();
                for row in 0..out.num_rows() {
                    let found = (out.num_columns() == 4).then(|| column(3)).filter(|t| t.is_valid(row));
                    rows.push((column(1).value(row), found.map(|t| t.value(row))));
                }
            }
        }
    }
    Ok(rows)
}

/// Rows of all keys at all times, in no order of time.
fn stream() -> Vec<Timed> {
    let keys = [Some(1.0), None, Some(2.0), Some(3.0), Some(7.0)];
    let times = [Some(25), Some(9), Some(10), None, Some(20), Some(1000), Some(30), Some(19), Some(i64::MIN)];
    let row = |i: usize| ((keys[i % keys.len()], i as i64), times[i * 7 % times.len()]);
    (0..keys.len() * times.len()).map(row).collect()
}

fn expected_as_of(kind: LookupKind, stream: &[Timed], shape: (bool, bool)) -> Vec<(i64, Option<i64>)> {
    let found = |(row, at): &Timed| {
        let version = VERSIONS.iter().rev().find(|(committed, _)| at.is_some_and(|at| *committed <= at));
        expected(kind, &[*row], version.map_or(&[], |(_, rows)| rows), shape.0, shape.1)
    };
    stream.iter().flat_map(found).collect()
}

/// More than all versions take.
const PLENTY: usize = 1 << 20;

/// The bytes that the largest version takes.
async fn largest(shape: (bool, bool)) -> usize {
    let lookup = as_of(LookupKind::Inner, shape, 0, PLENTY).await;
    let bytes = VERSIONS.iter().map(|(_, rows)| lookup.matching().snapshot(&[batch("t.", rows)]).unwrap().bytes());
    bytes.max().unwrap()
}

#[tokio::test]
async fn each_row_is_looked_up_in_the_version_of_its_time() {
    for kind in [LookupKind::Inner, LookupKind::Left, LookupKind::Semi, LookupKind::Anti] {
        for shape in [(true, false), (true, true), (false, false), (false, true)] {
            let little = largest(shape).await * 3 / 2;
            for (batch_rows, memory) in [(1, PLENTY), (4, PLENTY), (1024, PLENTY), (1, little), (1024, little)] {
                let lookup = as_of(kind, shape, 0, memory).await;
                let found = dated(&lookup, &stream(), batch_rows).await.unwrap();
                assert_eq!(found, expected_as_of(kind, &stream(), shape), "{kind:?} {shape:?} {batch_rows} {memory}");
                // The second of the two versions of one time is the one that counts.
                let versions = if memory == PLENTY { vec![0, 2, 3] } else { vec![0] };
                assert_eq!(lookup.in_memory(), versions, "what was used last stays");
            }
        }
    }
}

#[tokio::test]
async fn a_version_that_memory_does_not_hold_stops_the_run() {
    let memory = largest((true, false)).await / 2;
    let Err(Fault::Run(error)) = dated(&as_of(LookupKind::Inner, (true, false), 0, memory).await, &stream(), 4).await
    else {
        panic!("it goes on")
    };
    assert_eq!(error.code, "R0111");
}

#[tokio::test]
async fn a_row_whose_version_is_gone_stops_the_run() {
    let lookup = as_of(LookupKind::Left, (true, false), 1, PLENTY).await;
    let late: Vec<Timed> = stream().into_iter().filter(|(_, at)| at.is_none_or(|at| at >= 20)).collect();
    let found = dated(&lookup, &late, 1024).await.unwrap();
    assert_eq!(found, expected_as_of(LookupKind::Left, &late, (true, false)), "a null needs no version");
    let Err(Fault::Rule(error)) = dated(&lookup, &stream(), 1024).await else { panic!("it goes on") };
    assert_eq!(error.code, "R0118");
    assert!(error.message.contains("a row of @1970-01-01T00:00:00.000019Z needs the table `t`"), "{}", error.message);
    assert!(error.message.contains("version 2 to version 4 are left"), "{}", error.message);
    assert!(error.help.unwrap().starts_with("the log was cleaned up\n"));
    assert_eq!(error.row[1], ("n".to_string(), "1".to_string()), "{:?}", error.row);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn workers_share_what_memory_holds() {
    let memory = largest((true, false)).await * 3 / 2;
    let lookup = Arc::new(as_of(LookupKind::Inner, (true, false), 0, memory).await);
    let expected = expected_as_of(LookupKind::Inner, &stream(), (true, false));
    let worker = |batch_rows: usize| {
        let (lookup, expected) = (Arc::clone(&lookup), expected.clone());
        tokio::spawn(async move {
            for _ in 0..20 {
                assert_eq!(dated(&lookup, &stream(), batch_rows).await.unwrap(), expected);
            }
        })
    };
    for done in [worker(1), worker(5), worker(1024)] {
        done.await.unwrap();
    }
}

#[test]
fn a_pair_that_fails_in_the_condition_is_shown_with_all_its_columns() {
    let both = Schema::new([schema("").fields, schema("t.").fields].concat());
    let spec = graph::Lookup {
        table: TableId(0),
        kind: LookupKind::Inner,
        as_of: None,
        prepare: identity(&schema("t.")),
        stream_keys: vec![0],
        table_keys: vec![0],
        residual: Some(residual(&both)),
        output: vec![],
    };
    let kernels = (Interpreter.compile(&spec.prepare).unwrap(), Some(Interpreter.compile(&residual(&both)).unwrap()));
    let shape = (to_arrow_schema(&schema("")), 8);
    let matching = Matching::new(NodeId(0), &spec, kernels, EvalContext::default(), shape).unwrap();
    let snapshot = Arc::new(matching.snapshot(&[batch("t.", &[(Some(1.0), 2), (Some(2.0), 1)])]).unwrap());
    let lookup = Lookup { matching, snapshot };
    let found = lookup.process(batch("", &[(Some(1.0), 4), (Some(2.0), i64::MIN)])).next();
    let Some(Err(Fault::Row(fault))) = found else { panic!("it goes on: {found:?}") };
    let row = crate::text::row_text(&fault.row, 0);
    let row: Vec<(&str, &str)> = row.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(row, [("k", "2.0"), ("n", "-9223372036854775808"), ("t.k", "2.0"), ("t.n", "1")]);
}
