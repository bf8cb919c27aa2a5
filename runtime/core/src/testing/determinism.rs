//! The same rows, in the same order where there is one, whatever the number of workers, the size of batches and splits, and the cut into epochs.

use super::*;
use flowc_ir::graph::SortColumn;

fn rows() -> Vec<Row> {
    let value = |i: i64| match i % 7 {
        0 => None,
        1 => Some(-0.0),
        2 => Some(f64::NAN),
        n => Some((n * i) as f64 * 0.1),
    };
    (0..50).map(|i| (i * 37 % 50, value(i))).collect()
}

async fn target(plan: &Planned, split_rows: usize, options: RunOptions) -> Vec<String> {
    let mut outside = Outside::new(rows());
    Arc::get_mut(&mut outside).unwrap().split_rows = split_rows;
    let memory = Memory { outside: Arc::clone(&outside), faults: Faults::none() };
    plan.run(&memory, options).await.unwrap();
    outside.target(&plan.plan.sinks[0].name).rows
}

/// Runs a plan in many ways; its first sink must get the same.
async fn same(plan: &Planned, limits: &[Option<u64>]) -> Vec<String> {
    let mut first: Option<Vec<String>> = None;
    for workers in [1, 2, 4] {
        for batch in [1, 3, 1024] {
            for split_rows in [1, 8, 100] {
                for limit in limits {
                    let state = tempfile::tempdir().unwrap();
                    let mut rows = target(plan, split_rows, options(state.path(), workers, batch, *limit)).await;
                    if !plan.plan.sinks[0].name.starts_with("ordered") {
                        rows.sort();
                    }
                    match &first {
                        Some(first) => assert_eq!(&rows, first, "{workers} workers, {batch} {split_rows} {limit:?}"),
                        None => first = Some(rows),
                    }
                }
            }
        }
    }
    first.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ordered_and_unordered_sinks_behind_unions() {
    for name in ["ordered", "any"] {
        let mut p = Planned::new();
        let source = p.source("in");
        let (even, third) = (p.divisible(source, 2), p.divisible(source, 3));
        let both = p.node(Operator::Union, &[third, even, source], row_schema());
        p.sink(name, both, false);
        // With several epochs the order is that of epochs first, so only the unordered sink is compared across cuts.
        let limits: &[Option<u64>] = if name == "any" { &[None, Some(1), Some(7)] } else { &[None] };
        let all = same(&p, limits).await;
        assert_eq!(all.len(), 25 + 17 + 50);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sort_and_limit() {
    let mut p = Planned::new();
    let source = p.source("in");
    let by = SortColumn { column: 1, descending: true, nulls_first: false };
    let sorted = p.node(Operator::Sort(vec![by]), &[source], row_schema());
    let limited = p.node(Operator::Limit(20), &[sorted], row_schema());
    p.sink("ordered", limited, true);
    let rows = same(&p, &[None]).await;
    assert_eq!(rows.len(), 20);
    assert!(rows[0].contains("NaN"));
    let mut p = Planned::new();
    let source = p.source("in");
    let limited = p.node(Operator::Limit(20), &[source], row_schema());
    p.sink("any", limited, true);
    assert_eq!(same(&p, &[None]).await.len(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aggregates_behind_a_union_bit_for_bit() {
    use flowc_ir::aggregates::AggregateFunction as F;
    use flowc_ir::graph::{Aggregate, AggregateCall};
    let mut p = Planned::new();
    let source = p.source("in");
    let (even, third) = (p.divisible(source, 2), p.divisible(source, 3));
    let both = p.node(Operator::Union, &[third, even, source], row_schema());
    let double = Type::nullable(DataType::Double);
    let call = |function, ty: &Type| AggregateCall {
        function,
        args: vec![1],
        constants: vec![],
        filter: None,
        ty: ty.clone(),
        origin: Origin::default(),
    };
    let aggregates =
        vec![call(F::Sum, &double), call(F::Avg, &double), call(F::First, &double), call(F::Last, &double)];
    let mut fields = vec![Field::new("x", double.clone())];
    fields.extend((0..4).map(|i| Field::new(format!("a{i}"), double.clone())));
    let operator = Operator::Aggregate(Aggregate { keys: vec![1], aggregates });
    let grouped = p.node(operator, &[both], Schema::new(fields));
    p.sink("ordered", grouped, true);
    let rows = same(&p, &[None]).await;
    assert_eq!(rows[0], "null null null null null");
    let zero = "0#0 0#0 0#0 -0#8000000000000000 -0#8000000000000000";
    assert!(rows.iter().any(|row| row == zero), "{rows:?}");
}
