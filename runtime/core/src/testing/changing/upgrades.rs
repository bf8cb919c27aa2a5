//! Programs over rows that change, changed between two runs: what a step remembers is taken over, or the run stops before anything is lost.

use super::shapes::{Tables, choose, join, record_schema};
use super::*;
use crate::error::RunError;
use flowc_ir::graph::{JoinKind, NodeId, Operator, Upsert, weight};
use flowc_ir::{DataType, Field, Type};

/// Records with one more column, which a program may read.
fn records(planned: &mut Planned, further: bool) -> NodeId {
    let source = planned.source("records");
    let (mut input, mut output) = (record_schema(), crate::testing::row_schema());
    if further {
        let y = Field::new("y", Type::nullable(DataType::Long));
        input.fields.insert(1, y.clone());
        output.fields.insert(1, y);
    }
    output.fields.push(weight());
    if let Some(spec) = planned.plan.sources.last_mut() {
        spec.schema = input.clone();
    }
    planned.plan.graph.nodes[source.0 as usize].schema = input.clone();
    let more = usize::from(further);
    let (name, keys, sequence) = ("newest".into(), vec![0], vec![3 + more]);
    let spec =
        Upsert { name, source: "records".into(), width: 2 + more, keys, operation: 2 + more, sequence, history: None };
    planned.node(Operator::Upsert(spec), &[source], output)
}

/// A program of the newest records, or of `left` beside `right`: `form` says which of them, and in which form.
fn plan(form: &str) -> Planned {
    let mut planned = Planned::new();
    let end = match form {
        "records" => records(&mut planned, false),
        "records with y" => {
            let rows = records(&mut planned, true);
            choose(&mut planned, rows, &[0, 2, 3])
        }
        _ => {
            let (left, right) = (planned.changing("left"), planned.changing("right"));
            let left = if form == "join, turned" { choose(&mut planned, left, &[1, 2, 0]) } else { left };
            join(&mut planned, "j", (left, right), JoinKind::Anti, form == "join, further")
        }
    };
    planned.sink("sum", end, false);
    planned.merge("out", end, &["id"]);
    planned
}

async fn ran(plan: &Planned, memory: &MemoryConnectors, state: &std::path::Path) -> Result<(), RunError> {
    let options = RunOptions { durable: false, ..options(state, 2, 3, None) };
    run(&plan.executable(), Arc::new(memory.clone()), options, Arc::new(Unobserved)).await.map(drop)
}

fn record(rows: &[(i64, i64, &str, i64)]) -> RecordBatch {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0)))),
        ("x", Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.1 as f64)))),
        ("y", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1 + 100)))),
        ("op", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.2)))),
        ("seq", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.3)))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn held(memory: &MemoryConnectors, sink: &str) -> Vec<String> {
    let mut rows: Vec<String> = memory.written(sink).iter().flat_map(texts).collect();
    rows.sort();
    rows
}

#[tokio::test]
async fn newest_records_get_a_column_and_lose_it_again() {
    let (memory, state) = (MemoryConnectors::new(2), tempfile::tempdir().unwrap());
    let mut tables = Tables::default();
    let parts = [
        ("records", record(&[(1, 1, "c", 1), (2, 2, "c", 2), (3, 3, "c", 9)])),
        ("records with y", record(&[(1, 5, "u", 4), (3, 7, "u", 8), (4, 4, "c", 1)])),
        ("records", record(&[(1, 6, "u", 5), (2, 0, "d", 3), (4, 9, "u", 0)])),
    ];
    for (form, part) in parts {
        memory.add_rows("records", part).unwrap();
        ran(&plan(form), &memory, state.path()).await.unwrap();
        assert_eq!(held(&memory, "sum"), held(&memory, "out"), "{form}");
    }
    tables.records.extend([(1, Some(6.0)), (3, Some(3.0)), (4, Some(4.0))]);
    assert_eq!(held(&memory, "out"), Shape::Upsert.model(&tables));
}

#[tokio::test]
async fn a_join_finds_its_rows_in_another_order_of_columns() {
    let (memory, state) = (MemoryConnectors::new(2), tempfile::tempdir().unwrap());
    let changes = |rows: &[(Row, i64)]| {
        let plain = batch_of(&rows.iter().map(|(row, _)| *row).collect::<Vec<_>>());
        weighted(&plain, rows.iter().map(|(_, weight)| *weight).collect()).unwrap()
    };
    let row = |id: i64, x: f64| (id, Some(x));
    memory.add_rows("left", changes(&[(row(1, 1.0), 1), (row(2, 1.0), 1), (row(3, 2.0), 1)])).unwrap();
    memory.add_rows("right", changes(&[(row(7, 2.0), 1)])).unwrap();
    ran(&plan("join"), &memory, state.path()).await.unwrap();
    memory.add_rows("left", changes(&[(row(2, 1.0), -1), (row(2, 2.0), 1)])).unwrap();
    memory.add_rows("right", changes(&[(row(7, 2.0), -1), (row(8, 1.0), 1)])).unwrap();
    let refused = ran(&plan("join, further"), &memory, state.path()).await.unwrap_err();
    assert_eq!(refused.code, "R0412");
    ran(&plan("join, turned"), &memory, state.path()).await.unwrap();
    let mut tables = Tables::default();
    tables.left.extend([(1, Some(1.0)), (2, Some(2.0)), (3, Some(2.0))]);
    tables.right.insert(8, Some(1.0));
    let wanted = Shape::Join(JoinKind::Anti, false).model(&tables);
    assert_eq!((held(&memory, "sum"), held(&memory, "out")), (wanted.clone(), wanted));
}
