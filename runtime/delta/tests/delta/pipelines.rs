//! Whole runs from table to table: source, filter and sink under the runtime, killed at every operation of either table's store and run again.

use crate::common::*;
use crate::faults::Dying;
use async_trait::async_trait;
use deltalake::logstore::object_store::ObjectStore;
use deltalake::logstore::object_store::memory::InMemory;
use flowc_delta::{DeltaSink, DeltaSource, Storage};
use flowc_ir::expr::{Expr, ExprKind, Origin, Output, Program, ProgramStep};
use flowc_ir::graph::{Graph, Kind, Node, NodeId, Operator, SinkId, SourceId};
use flowc_ir::interpret::Interpreter;
use flowc_ir::plan::{Executable, Plan, SinkSpec, SourceSpec, TableSpec};
use flowc_ir::{DataType, Type, Value};
use flowc_runtime::report::Unobserved;
use flowc_runtime::{Connectors, EpochLimits, LookupTable, RunError, RunOptions, RunSummary, Sink, Source};
use std::path::Path;
use std::sync::Arc;

/// A source's and a sink's table, wherever the plan says they are.
struct Between {
    from: Storage,
    to: Storage,
}

#[async_trait]
impl Connectors for Between {
    async fn source(&self, spec: &SourceSpec) -> Result<Arc<dyn Source>, RunError> {
        Ok(Arc::new(DeltaSource::open(spec, self.from.clone()).await?))
    }

    async fn table(&self, spec: &TableSpec) -> Result<Arc<dyn LookupTable>, RunError> {
        Ok(Arc::new(flowc_delta::DeltaTable::open(spec, self.from.clone()).await?))
    }

    async fn sink(&self, spec: &SinkSpec) -> Result<Arc<dyn Sink>, RunError> {
        Ok(Arc::new(DeltaSink::new(spec, self.to.clone())))
    }
}

/// `id != 3`, everything else as it is.
fn program() -> Program {
    let schema = numbers_schema();
    let expr = |kind, ty| Expr::new(kind, ty, Origin::default());
    let column = |i: usize| expr(ExprKind::Column(i), schema.fields[i].ty.clone());
    let three = expr(ExprKind::Literal(Value::Long(3)), Type::new(DataType::Long));
    let function = flowc_ir::functions::find("not_equal").expect("a function");
    let condition = expr(ExprKind::Call { function, args: vec![column(0), three] }, Type::boolean());
    let outputs = schema.fields.iter().enumerate().map(|(i, f)| Output { field: f.clone(), value: column(i) });
    Program { outputs: outputs.collect(), input: schema.clone(), steps: vec![ProgramStep::Filter(condition)] }
}

fn executable() -> Executable {
    let node = |operator, inputs: Vec<NodeId>| Node {
        operator,
        inputs,
        schema: numbers_schema(),
        kind: Kind::Append,
        bounded: false,
        label: "step".into(),
        origin: Origin::default(),
    };
    let mut graph = Graph::default();
    let source = graph.add(node(Operator::Source(SourceId(0)), vec![]));
    let clean = graph.add(node(Operator::Transform(program()), vec![source]));
    graph.add(node(Operator::Sink(SinkId(0)), vec![clean]));
    let sink = SinkSpec { input: clean, ..sink_spec(numbers_schema(), &["part"]) };
    let plan = Plan {
        pipeline: "pipeline".into(),
        sources: vec![source_spec(numbers_schema())],
        tables: vec![],
        sinks: vec![sink],
        graph,
    };
    Executable::compile(plan, &Interpreter).expect("compiles")
}

async fn run(from: Storage, to: Storage, state: &Path) -> Result<RunSummary, RunError> {
    let mut options = RunOptions::new(state);
    options.workers = 2;
    options.batch_rows = 2;
    options.limits = EpochLimits { files: Some(2), ..EpochLimits::NONE };
    flowc_runtime::run(&executable(), Arc::new(Between { from, to }), options, Arc::new(Unobserved)).await
}

/// A table of three versions and five files.
async fn input() -> Storage {
    let storage = memory();
    for (i, name) in ["a", "b", "c"].into_iter().enumerate() {
        let start = i as i64 * 4;
        append(&storage, &numbers_schema(), name, &[numbers(start..start + 4, Some(name))]).await;
    }
    storage
}

async fn result(to: &Storage) -> Vec<String> {
    sorted(&table_rows(to, &numbers_schema(), None).await)
}

fn expected(ids: std::ops::Range<i64>) -> Vec<String> {
    let part = |id: i64| ["a", "b", "c", "d"][id as usize / 4];
    let mut rows: Vec<String> = ids.filter(|id| *id != 3).map(|id| format!("{id} | {}", part(id))).collect();
    rows.sort();
    rows
}

#[tokio::test]
async fn a_second_run_takes_what_is_new() {
    let (from, to, state) = (input().await, memory(), tempfile::tempdir().expect("a folder"));
    let summary = run(from.clone(), to.clone(), state.path()).await.expect("runs");
    assert_eq!(summary.epochs, 2);
    assert_eq!(result(&to).await, expected(0..12));
    let again = run(from.clone(), to.clone(), state.path()).await.expect("runs");
    assert_eq!(again.epochs, 0);
    append(&from, &numbers_schema(), "d", &[numbers(12..16, Some("d"))]).await;
    let third = run(from, to.clone(), state.path()).await.expect("runs");
    assert_eq!((third.epochs, third.last_epoch), (1, 3));
    assert_eq!(result(&to).await, expected(0..16));
}

#[tokio::test]
async fn killed_anywhere_it_goes_on_and_loses_and_doubles_nothing() {
    let from = input().await;
    let mut points = 0;
    for (effect, once) in [(false, false), (true, false), (true, true)] {
        for kill_at in 0.. {
            let (store, state): (Arc<dyn ObjectStore>, _) =
                (Arc::new(InMemory::new()), tempfile::tempdir().expect("a folder"));
            let dying = if once { Dying::once } else { Dying::new }(store.clone(), kill_at, effect);
            let what = format!("operation {kill_at} fails (takes effect: {effect}, others do not fail: {once})");
            let first = run(from.clone(), place(Arc::new(dying.clone())), state.path()).await;
            let to = place(store);
            run(from.clone(), to.clone(), state.path()).await.unwrap_or_else(|e| panic!("{what}: {e}"));
            assert_eq!(result(&to).await, expected(0..12), "{what}");
            points += 1;
            if first.is_ok() && !dying.died() {
                break;
            }
        }
    }
    println!("{points} points");
    assert!(points > 25, "only {points} points");
}
