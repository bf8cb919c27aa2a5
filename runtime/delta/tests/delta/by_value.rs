//! What a predicate says of texts in dictionaries is asked of the dictionaries: the rows that pass are those that the Parquet crate's reader gives, whatever the form of
//! the pages. Files elsewhere than on the local file system are read by that crate.

use crate::common::*;
use crate::features::delete_rows;
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::filter_record_batch;
use deltalake::logstore::object_store::ObjectStoreExt;
use deltalake::logstore::object_store::path::Path;
use flowc_delta::log::commits::commit_path;
use flowc_delta::{DeltaSource, Storage};
use flowc_ir::arrow_types::to_arrow_schema;
use flowc_ir::eval::EvalContext;
use flowc_ir::expr::{Expr, ExprKind, Origin, Output, Program};
use flowc_ir::plan::SourceSpec;
use flowc_ir::{DataType, Field, Schema, Type, Value};
use flowc_runtime::{EpochLimits, Source};
use parquet::arrow::ArrowWriter;
use parquet::basic::Encoding;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use proptest::prelude::*;
use serde_json::json;
use std::sync::Arc;

fn schema() -> Schema {
    let (text, long) = (DataType::String, DataType::Long);
    let columns = [("text", text.clone()), ("at", long.clone()), ("other", text), ("x", long)];
    Schema::new(columns.into_iter().map(|(name, ty)| column(name, ty)).collect())
}

fn boolean(kind: ExprKind) -> Expr {
    Expr::new(kind, Type::nullable(DataType::Boolean), Origin::default())
}

fn literal(value: Value, data: DataType) -> Expr {
    Expr::new(ExprKind::Literal(value), Type::new(data), Origin::default())
}

fn read(column: usize) -> Expr {
    Expr::new(ExprKind::Column(column), schema().fields[column].ty.clone(), Origin::default())
}

fn call(name: &str, args: Vec<Expr>) -> Expr {
    boolean(ExprKind::Call { function: flowc_ir::functions::find(name).expect("a function"), args })
}

fn condition() -> impl Strategy<Value = Expr> {
    let leaf = (prop::sample::select(vec![0usize, 2]), 0usize..6, 0u64..12).prop_map(|(column, kind, n)| {
        let value = |text: String| literal(Value::String(text.as_str().into()), DataType::String);
        match kind {
            0 => call("equal", vec![read(column), value(word(n))]),
            1 => call("like", vec![read(column), value(format!("%{n}"))]),
            2 => boolean(ExprKind::IsNull(Box::new(read(column)))),
            3 => {
                let list = [n, n + 1, n * 7].into_iter().map(|n| Value::String(word(n).as_str().into())).collect();
                boolean(ExprKind::InList { value: Box::new(read(column)), list })
            }
            4 => call("less", vec![read(0), read(2)]),
            _ => call("less", vec![read(3), literal(Value::Long(n as i64), DataType::Long)]),
        }
    });
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            3 => prop::collection::vec(inner.clone(), 1..4).prop_map(|of| boolean(ExprKind::And(of))),
            1 => prop::collection::vec(inner.clone(), 1..4).prop_map(|of| boolean(ExprKind::Or(of))),
            1 => inner.prop_map(|of| boolean(ExprKind::Not(Box::new(of)))),
        ]
    })
}

/// Texts, the empty one among them.
fn word(n: u64) -> String {
    if n.is_multiple_of(6) { String::new() } else { format!("{}{n}", "é".repeat(n as usize % 9)) }
}

/// Rows in runs: the texts by their numbers.
fn batch(runs: &[(Option<u64>, usize)], spread: u64) -> RecordBatch {
    let numbers: Vec<Option<u64>> = runs.iter().flat_map(|(n, times)| vec![*n; *times]).collect();
    let text: StringArray = numbers.iter().map(|n| n.map(|n| word(n % spread))).collect();
    let other = numbers.iter().enumerate().map(|(i, n)| n.map(|n| word((n + i as u64) % spread)));
    let at: Int64Array = (0..numbers.len() as i64).map(Some).collect();
    let x: Int64Array = numbers.iter().map(|n| n.map(|n| (n % 14) as i64)).collect();
    let columns: Vec<ArrayRef> =
        vec![Arc::new(text), Arc::new(at), Arc::new(other.collect::<StringArray>()), Arc::new(x)];
    RecordBatch::try_new(to_arrow_schema(&schema()), columns).expect("a batch")
}

/// A file without statistics, so that no row group is passed over.
fn file(rows: &RecordBatch, (version, dictionary, page, group): (bool, usize, usize, usize)) -> Vec<u8> {
    let version = if version { WriterVersion::PARQUET_2_0 } else { WriterVersion::PARQUET_1_0 };
    let properties = WriterProperties::builder()
        .set_writer_version(version)
        .set_encoding(Encoding::PLAIN)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_dictionary_page_size_limit(dictionary)
        .set_data_page_row_count_limit(page)
        .set_write_batch_size(page.min(64))
        .set_max_row_group_row_count(Some(group))
        .build();
    let mut bytes = vec![];
    let mut writer = ArrowWriter::try_new(&mut bytes, rows.schema(), Some(properties)).expect("a writer");
    writer.write(rows).expect("writes");
    writer.close().expect("closes");
    bytes
}

/// A table of this file.
async fn table(storage: &Storage, file: &[u8], deleted: &[u64]) {
    storage.store().put(&Path::from("a.parquet"), file.to_vec().into()).await.expect("writes");
    let ty = |data: &DataType| if *data == DataType::Long { "long" } else { "string" };
    let field = |f: &Field| json!({ "name": f.name, "type": ty(&f.ty.data), "nullable": true, "metadata": {} });
    let columns: Vec<_> = schema().fields.iter().map(field).collect();
    let columns = json!({ "type": "struct", "fields": columns }).to_string();
    let lines = [
        json!({ "protocol": { "minReaderVersion": 1, "minWriterVersion": 2 } }),
        json!({ "metaData": { "id": "t", "format": { "provider": "parquet", "options": {} }, "schemaString": columns,
            "partitionColumns": [], "configuration": {}, "createdTime": 0 } }),
        json!({ "add": { "path": "a.parquet", "partitionValues": {}, "size": file.len(), "modificationTime": 0,
            "dataChange": true } }),
    ];
    let lines: Vec<String> = lines.iter().map(|line| line.to_string()).collect();
    storage.store().put(&commit_path(0), lines.join("\n").into()).await.expect("writes");
    if !deleted.is_empty() {
        delete_rows(storage, deleted).await;
    }
}

/// What comes out of a table, and how many rows did not.
async fn scan(storage: &Storage, condition: &Expr, batch_rows: usize) -> (Vec<RecordBatch>, u64) {
    let output = Output { field: Field::new("keep", condition.ty.clone()), value: condition.clone() };
    let predicate = Program { input: schema(), steps: vec![], outputs: vec![output] };
    let spec = SourceSpec { predicate: Some(predicate), ..source_spec(schema()) };
    let source = DeltaSource::open(&spec, storage.clone()).await.expect("opens");
    let range = source.next_range(None, EpochLimits::NONE).await.expect("reads").expect("rows");
    let splits = source.splits(&range).await.expect("splits");
    super::late::read(&source, splits, batch_rows).await
}

/// The rows that pass, in their order.
fn passing(rows: &[RecordBatch], condition: &Expr) -> Vec<String> {
    let passing = |batch: &RecordBatch| {
        let (columns, count) = (batch.columns(), batch.num_rows());
        let truth = flowc_ir::vector::evaluate(condition, columns, count, &EvalContext::default());
        filter_record_batch(batch, truth.expect("it cannot fail").as_boolean()).expect("filters")
    };
    texts(&rows.iter().map(passing).collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn rows_that_pass_are_those_of_the_parquet_crate(
        runs in prop::collection::vec((prop::option::weighted(0.9, 0u64..500), prop_oneof![1usize..4, 1usize..200]), 1..60),
        spread in prop_oneof![1u64..14, 14u64..500],
        form in (any::<bool>(), prop_oneof![Just(1usize << 20), 20usize..900], 1usize..900, 1usize..4000),
        deleted in prop::collection::btree_set(0u64..4000, 0..40),
        batch_rows in prop_oneof![1usize..50, 50usize..2000, Just(32_768)],
        condition in condition(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let rows = batch(&runs, spread);
        let file = file(&rows, form);
        let deleted: Vec<u64> = deleted.into_iter().filter(|row| *row < rows.num_rows() as u64).collect();
        let folder = tempfile::tempdir().expect("a folder");
        let here = Storage::open(&folder.path().join("t").to_string_lossy()).expect("a place");
        let elsewhere = memory();
        let ((mine, skipped), (theirs, none)) = runtime.block_on(async {
            table(&here, &file, &deleted).await;
            table(&elsewhere, &file, &deleted).await;
            (scan(&here, &condition, batch_rows).await, scan(&elsewhere, &condition, batch_rows).await)
        });
        let count = |rows: &[RecordBatch]| rows.iter().map(RecordBatch::num_rows).sum::<usize>() as u64;
        prop_assert_eq!(none, 0);
        prop_assert_eq!(count(&mine) + skipped, count(&theirs));
        prop_assert_eq!(count(&theirs), (rows.num_rows() - deleted.len()) as u64);
        prop_assert_eq!(passing(&mine, &condition), passing(&theirs, &condition));
    }
}

/// Rows far between and next to one another: none comes that does not pass, be it that all columns are read by the predicate.
#[tokio::test]
async fn behind_a_dictionary_only_rows_that_pass_come() {
    let folder = tempfile::tempdir().expect("a folder");
    let storage = Storage::open(&folder.path().join("t").to_string_lossy()).expect("a place");
    let runs: Vec<_> = (0..50_000).map(|i| (Some(i % 10), 1)).collect();
    let rows = batch(&runs, 10);
    table(&storage, &file(&rows, (false, 1 << 20, 20_000, 1 << 20)), &[]).await;
    let value = |n| literal(Value::String(word(n).as_str().into()), DataType::String);
    let equal = call("equal", vec![read(0), value(3)]);
    let (found, skipped) = scan(&storage, &equal, 32_768).await;
    assert_eq!((passing(&found, &equal).len(), texts(&found).len(), skipped), (5_000, 5_000, 45_000));
    assert!(found.iter().all(|batch| batch.column(0).null_count() == 0));
    // Where most pass, all come.
    let (found, skipped) = scan(&storage, &boolean(ExprKind::Not(Box::new(equal))), 32_768).await;
    assert_eq!((texts(&found).len(), skipped), (50_000, 0));
}
