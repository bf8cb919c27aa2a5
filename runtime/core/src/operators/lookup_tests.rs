//! Lookups against a table with duplicate and null keys, in batches and chunks of several sizes, beside a row-by-row definition.

use super::*;
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

/// The stream's number differs from the table's by an even number: `(n - t.n) in [0, 2, -2, …]`.
fn residual(both: &Schema) -> Program {
    let subtract = flowc_ir::functions::find("subtract").unwrap();
    let difference = ExprKind::Call { function: subtract, args: vec![column(both, 1), column(both, 3)] };
    let difference = Expr::new(difference, Type::new(DataType::Long), Origin::default());
    let list = (-10..=10).map(|i| Value::Long(i * 2)).collect();
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
        prepare: identity(&schema("t.")),
        stream_keys: keys.clone(),
        table_keys: keys,
        residual: with_residual.then(|| residual(&both)),
        output: if joins { vec![1] } else { vec![] },
    };
    let mut out = schema("").fields;
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
    let lookup = Lookup::build(NodeId(0), &spec, &tables, kernels, EvalContext::default(), (out, batch_rows)).unwrap();
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
