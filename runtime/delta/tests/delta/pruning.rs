//! Files and row groups that a predicate rules out are not read, and never a row that it lets through.

use crate::common::*;
use flowc_delta::changes::Layout;
use flowc_delta::sink::Sizes;
use flowc_delta::{DeltaSink, DeltaSource};
use flowc_ir::expr::{Expr, ExprKind, Origin, Output, Program};
use flowc_ir::plan::SourceSpec;
use flowc_ir::{DataType, Field, Schema, Type, Value};
use flowc_runtime::{EpochLimits, Source};
use proptest::prelude::*;

/// `name(column, value)` over [`numbers_schema`].
fn compare(name: &str, index: usize, value: Value) -> Program {
    let input = numbers_schema();
    let ty = input.fields[index].ty.clone();
    let boolean = Type::nullable(DataType::Boolean);
    let column = Expr::new(ExprKind::Column(index), ty.clone(), Origin::default());
    let literal = Expr::new(ExprKind::Literal(value), ty.with_nullable(false), Origin::default());
    let function = flowc_ir::functions::find(name).expect("a function");
    let value = Expr::new(ExprKind::Call { function, args: vec![column, literal] }, boolean.clone(), Origin::default());
    Program { input, steps: vec![], outputs: vec![Output { field: Field::new("keep", boolean), value }] }
}

async fn read(storage: &flowc_delta::Storage, predicate: Program) -> (usize, Vec<String>) {
    let spec = SourceSpec { predicate: Some(predicate), ..source_spec(numbers_schema()) };
    let source = DeltaSource::open(&spec, storage.clone()).await.expect("opens");
    let range = source.next_range(None, EpochLimits::NONE).await.expect("reads").expect("rows");
    let splits = source.splits(&range).await.expect("splits").len();
    let pruned =
        flowc_delta::source::prune_report(storage, None, Layout::new(&spec.schema, None), spec.predicate.as_ref())
            .await
            .expect("a report");
    assert!(pruned.left == splits && pruned.left <= pruned.files);
    (splits, texts(&range_rows(&source, &range).await))
}

#[tokio::test]
async fn partitions_files_and_row_groups() {
    let storage = memory();
    let sizes = Sizes { row_group_bytes: 1, ..Sizes::default() };
    let sink = DeltaSink::with_sizes(&sink_spec(numbers_schema(), &["part"]), storage.clone(), sizes);
    let mut rows = vec![];
    for i in 0..4 {
        rows.push(numbers(i * 10..i * 10 + 10, Some("a")));
    }
    run_epoch(&sink, 1, &[rows, vec![numbers(100..110, Some("b"))], vec![numbers(200..210, None)]])
        .await
        .expect("commits");
    let id = |v| Value::Long(v);
    let part = |v: &str| Value::String(v.into());
    assert_eq!(read(&storage, compare("equal", 1, part("b"))).await.0, 1);
    assert_eq!(read(&storage, compare("not_equal", 1, part("b"))).await.0, 1, "null is not unequal");
    assert_eq!(read(&storage, compare("greater", 0, id(209))).await, (0, vec![]));
    let (files, rows) = read(&storage, compare("less", 0, id(15))).await;
    assert_eq!((files, rows.len()), (1, 20), "of the first file, the row groups with ids below 20");
}

fn operator() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["less", "less_equal", "greater", "greater_equal", "equal", "not_equal"])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is written in whatever files: what the predicate lets through is read.
    #[test]
    fn nothing_is_lost(
        files in prop::collection::vec(prop::collection::vec(any::<Option<f64>>(), 1..6), 1..4),
        name in operator(),
        limit in any::<f64>(),
        of_data in any::<Option<prop::sample::Index>>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let all: Vec<Option<f64>> = files.iter().flatten().copied().collect();
        let limit = of_data.and_then(|i| all[i.index(all.len())]).unwrap_or(limit);
        let schema = Schema::new(vec![column("x", DataType::Double)]);
        let mut predicate = compare(name, 0, Value::Double(limit));
        predicate.input = schema.clone();
        if let ExprKind::Call { args, .. } = &mut predicate.outputs[0].value.kind {
            args.iter_mut().for_each(|a| a.ty.data = DataType::Double);
        }
        let spec = SourceSpec { predicate: Some(predicate), ..source_spec(schema.clone()) };
        let read = runtime.block_on(async {
            let storage = memory();
            let sink = DeltaSink::new(&sink_spec(schema.clone(), &[]), storage.clone());
            for (i, values) in files.iter().enumerate() {
                let column = std::sync::Arc::new(arrow::array::Float64Array::from(values.clone()));
                let batch = arrow::array::RecordBatch::try_new(flowc_ir::arrow_types::to_arrow_schema(&schema), vec![column]).expect("a batch");
                run_epoch(&sink, i as u64 + 1, &[vec![batch]]).await.expect("commits");
            }
            let source = DeltaSource::open(&spec, storage).await.expect("opens");
            let range = source.next_range(None, EpochLimits::NONE).await.expect("reads").expect("rows");
            range_rows(&source, &range).await
        });
        let let_through = |v: &f64| {
            let order = flowc_ir::value::compare_double(*v, limit);
            match name {
                "less" => order.is_lt(),
                "less_equal" => order.is_le(),
                "greater" => order.is_gt(),
                "greater_equal" => order.is_ge(),
                "equal" => order.is_eq(),
                _ => order.is_ne(),
            }
        };
        let bits = |values: Vec<f64>| {
            let mut bits: Vec<u64> = values.into_iter().filter(|v| let_through(v)).map(f64::to_bits).collect();
            bits.sort_unstable();
            bits
        };
        let mut found = vec![];
        for batch in &read {
            use arrow::array::AsArray;
            found.extend(batch.column(0).as_primitive::<arrow::datatypes::Float64Type>().iter().flatten());
        }
        prop_assert_eq!(bits(found), bits(all.into_iter().flatten().collect()));
    }
}
