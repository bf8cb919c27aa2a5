//! Cases of their own: what is gone, what is passed over, times of commits, beginnings, predicates.

use super::writer::time;
use super::*;
use arrow::datatypes::TimestampMicrosecondType;
use deltalake::logstore::object_store::ObjectStoreExt;
use deltalake::logstore::object_store::path::Path;
use flowc_delta::DeltaSink;
use flowc_delta::log::commits::commit_path;
use flowc_ir::expr::{Expr, ExprKind, Origin, Output, Program};
use flowc_ir::plan::{SinkMode, SinkSpec, VersionSpec};
use flowc_ir::{Field, Type, Value};
use serde_json::json;

const FILES: How = How { vectors: false, says_all: true };
const VECTORS: How = How { vectors: true, says_all: true };
const ALL: [&str; 3] = ["id", "part", "value"];

fn row(id: i64, part: &'static str, value: i64) -> Row {
    Row { id: Some(id), part: Some(part), value: Some(value), note: None }
}

/// Version 1 has rows 0, 1 and 2 in partitions a and b.
async fn three_rows() -> Writer {
    let mut writer = Writer::new(true, false, Mapping::None).await;
    writer.write(&Operation::Append(vec![row(0, "a", 0), row(1, "a", 1), row(2, "b", 2)]), FILES).await;
    writer
}

async fn next(source: &DeltaSource, from: Option<&Position>) -> Option<SourceRange> {
    source.next_range(from, EpochLimits::NONE).await.expect("reads")
}

/// The rows of what is new, sorted.
async fn new_rows(source: &DeltaSource, from: Option<&Position>) -> Vec<(String, i64)> {
    let Some(range) = next(source, from).await else { return vec![] };
    let mut rows = weighed(&range_rows(source, &range).await);
    rows.sort();
    rows
}

fn weights(rows: &[(&str, i64)]) -> Vec<(String, i64)> {
    rows.iter().map(|(row, weight)| (row.to_string(), *weight)).collect()
}

#[tokio::test]
async fn a_whole_computation_reads_the_table_as_it_is() {
    let mut writer = three_rows().await;
    writer.write(&Operation::Update(1, Some(7), None), FILES).await;
    writer.write(&Operation::Delete(2), VECTORS).await;
    let source = open(&writer.storage, &following(&ALL)).await;
    assert_eq!(new_rows(&source, None).await, weights(&[("0 | a | 0", 1), ("1 | a | 7", 1)]));
    let range = next(&source, None).await.expect("rows");
    assert_eq!(next(&source, Some(&range.to)).await, None);
}

#[tokio::test]
async fn a_start_version_is_followed_without_what_was_before() {
    let mut writer = three_rows().await;
    writer.write(&Operation::Update(1, Some(7), None), VECTORS).await;
    writer.write(&Operation::Delete(0), FILES).await;
    let update = [("1 | a | 1", -1), ("1 | a | 7", 1)];
    let both = [&[("0 | a | 0", -1)], &update[..]].concat();
    for (start, expected) in [(2, &both[..]), (3, &both[..1]), (4, &[])] {
        let spec = SourceSpec { start: Some(VersionSpec::Number(start)), ..following(&ALL) };
        let source = open(&writer.storage, &spec).await;
        assert_eq!(new_rows(&source, None).await, weights(expected), "from version {start}");
    }
}

#[tokio::test]
async fn small_changes_go_into_one_epoch() {
    let mut writer = three_rows().await;
    let source = open(&writer.storage, &following(&ALL)).await;
    let first = next(&source, None).await.expect("rows");
    for id in [0, 1, 2] {
        writer.write(&Operation::Update(id, Some(7), None), FILES).await;
    }
    let limits = |rows| EpochLimits { rows: Some(rows), ..EpochLimits::NONE };
    let all = source.next_range(Some(&first.to), limits(1_000)).await.expect("reads").expect("rows");
    assert_eq!((all.text.as_str(), all.rows), ("version 2..4, 7 files", None));
    let one = source.next_range(Some(&first.to), limits(2)).await.expect("reads").expect("rows");
    assert_eq!(one.text, "version 2, 3 files");
}

#[tokio::test]
async fn of_another_vector_only_the_difference_is_read() {
    let mut writer = Writer::new(false, false, Mapping::None).await;
    writer.write(&Operation::Append((0..8).map(|id| row(id, "a", id)).collect()), FILES).await;
    let source = open(&writer.storage, &following(&["id"])).await;
    let mut from = next(&source, None).await.expect("rows").to;
    let steps = [(Operation::Delete(2), -1), (Operation::Delete(6), -1), (Operation::Undelete, 1)];
    for ((operation, weight), id) in steps.iter().zip(["2", "6", "2"]) {
        writer.write(operation, VECTORS).await;
        let range = next(&source, Some(&from)).await.expect("rows");
        let splits = source.splits(&range).await.expect("splits");
        assert_eq!(splits.iter().map(|split| split.rows).collect::<Vec<_>>(), [Some(1)]);
        assert_eq!(weighed(&range_rows(&source, &range).await), weights(&[(id, *weight)]));
        from = range.to;
    }
}

#[tokio::test]
async fn equal_rows_come_once_with_a_weight() {
    let mut writer = Writer::new(false, false, Mapping::None).await;
    let many = |count: usize, id| std::iter::repeat_n(row(id, "a", 0), count);
    let rows: Vec<Row> = many(300, 0).chain(many(20, 1)).chain(many(30, 2)).collect();
    writer.write(&Operation::Append(rows), FILES).await;
    let source = open(&writer.storage, &following(&["id"])).await.with_reader(|r| r.with_rows_at_once(8));
    let first = next(&source, None).await.expect("rows");
    let rows: Vec<Row> = many(295, 0).chain(many(20, 1)).chain(many(100, 3)).chain(many(31, 2)).collect();
    writer.write(&Operation::Overwrite(rows), FILES).await;
    let rows = new_rows(&source, Some(&first.to)).await;
    assert!(rows.len() <= 6, "{rows:?}");
    let mut net = Weights::new();
    sum(&mut net, &rows);
    assert_eq!(net.into_iter().collect::<Vec<_>>(), weights(&[("0", -5), ("2", 1), ("3", 100)]));
}

#[tokio::test]
async fn rows_that_are_moved_are_not_read() {
    let mut writer = three_rows().await;
    let source = open(&writer.storage, &following(&ALL)).await;
    let first = next(&source, None).await.expect("rows");
    let before = writer.paths();
    writer.write(&Operation::Optimize, FILES).await;
    for path in before.iter().chain(&writer.paths()) {
        writer.storage.store().delete(&Path::from(path.as_str())).await.expect("deletes");
    }
    assert_eq!(next(&source, Some(&first.to)).await, None);
}

#[tokio::test]
async fn commits_that_change_rows_are_passed_over_where_they_are_ignored() {
    let mut writer = three_rows().await;
    let spec = SourceSpec { updates: Updates::Ignore, ..source_spec(columns(&ALL)) };
    let source = open(&writer.storage, &spec).await;
    let first = next(&source, None).await.expect("rows");
    writer.write(&Operation::Update(1, Some(7), None), FILES).await;
    writer.write(&Operation::Overwrite(vec![row(8, "a", 8)]), FILES).await;
    assert_eq!(next(&source, Some(&first.to)).await, None);
    writer.write(&Operation::Append(vec![row(9, "b", 9)]), FILES).await;
    writer.write(&Operation::Delete(8), VECTORS).await;
    let second = next(&source, Some(&first.to)).await.expect("rows");
    assert_eq!(texts(&range_rows(&source, &second).await), ["9 | b | 9"]);
    assert_eq!(second.to.0["version"], 5);
    // Where they are not, the run stops.
    let source = open(&writer.storage, &source_spec(columns(&ALL))).await;
    let error = source.next_range(Some(&first.to), EpochLimits::NONE).await.expect_err("rows were updated");
    assert!(error.message.contains("version 2 (UPDATE at"), "{}", error.message);
    let help = error.help.expect("help");
    assert!(help.contains("`changes`") && help.contains("`ignore updates`"), "{help}");
}

/// The error of reading what is new.
async fn failure(source: &DeltaSource, from: &Position) -> flowc_runtime::RunError {
    let range = match source.next_range(Some(from), EpochLimits::NONE).await {
        Ok(range) => range.expect("something is new"),
        Err(error) => return error,
    };
    let splits = match source.splits(&range).await {
        Ok(splits) => splits,
        Err(error) => return error,
    };
    for split in splits {
        match source.read(&split, 10).await {
            Ok(stream) => {
                use futures::TryStreamExt;
                if let Err(error) = stream.try_collect::<Vec<_>>().await {
                    return error;
                }
            }
            Err(error) => return error,
        }
    }
    panic!("everything is there");
}

#[tokio::test]
async fn what_was_vacuumed_is_named_with_its_version() {
    // A file that is compared with another, one that is only taken away, a vector.
    let cases = [
        (Operation::Update(1, Some(7), None), FILES, "file-1", "version 2 (UPDATE at 1970-01-01 00:16:42 UTC)"),
        (Operation::Overwrite(vec![]), FILES, "file-2", "version 2 (WRITE at"),
        (Operation::Delete(1), VECTORS, "deletion_vector", "version 2 (DELETE at"),
    ];
    for (operation, how, gone, version) in cases {
        let mut writer = three_rows().await;
        let source = open(&writer.storage, &following(&ALL)).await;
        let first = next(&source, None).await.expect("rows");
        writer.write(&operation, how).await;
        use futures::TryStreamExt;
        let store = writer.storage.store();
        let files: Vec<_> = store.list(None).try_collect().await.expect("lists");
        for file in files.iter().filter(|f| f.location.as_ref().starts_with(gone)) {
            store.delete(&file.location).await.expect("deletes");
        }
        let error = failure(&source, &first.to).await;
        assert_eq!(error.code, "R0361", "{}", error.message);
        assert!(error.message.contains(version) && error.message.contains(gone), "{}", error.message);
        let help = error.help.expect("help");
        assert!(help.contains("--full-refresh") && help.contains("delta.deletedFileRetentionDuration"), "{help}");
    }
}

#[tokio::test]
async fn a_removal_that_says_too_little_needs_the_version_before() {
    let mut writer = three_rows().await;
    let source = open(&writer.storage, &following(&ALL)).await;
    let first = next(&source, None).await.expect("rows");
    writer.write(&Operation::Overwrite(vec![]), How { says_all: false, ..FILES }).await;
    assert_eq!(new_rows(&source, Some(&first.to)).await.len(), 3);
    let source = open(&writer.storage, &following(&ALL)).await;
    writer.storage.store().delete(&commit_path(0)).await.expect("deletes");
    let error = failure(&source, &first.to).await;
    assert_eq!(error.code, "R0362", "{}", error.message);
    assert!(error.message.contains("version 2 (WRITE at"), "{}", error.message);
}

#[tokio::test]
async fn a_feed_of_unknown_changes_is_refused() {
    let mut writer = Writer::new(false, true, Mapping::None).await;
    writer.write(&Operation::Append(vec![row(0, "a", 0)]), FILES).await;
    let source = open(&writer.storage, &following(&ALL)).await;
    let first = next(&source, None).await.expect("rows");
    // A data file in the place of one of the feed.
    let path = &writer.paths()[0];
    let size = writer.storage.get(&Path::from(path.as_str())).await.expect("a file").len();
    let cdc = json!({ "cdc": { "path": path, "partitionValues": {}, "size": size, "dataChange": false } });
    writer.storage.store().put(&commit_path(2), cdc.to_string().into()).await.expect("writes");
    let error = failure(&source, &first.to).await;
    assert_eq!(error.code, "R0227", "{}", error.message);
    assert!(error.message.contains(path) && error.message.contains("_change_type"), "{}", error.message);
}

/// `id`, the time of the commit in seconds, `part`; and the weight where rows are followed.
fn timed(updates: Updates) -> SourceSpec {
    let mut schema = columns(&["id", "part"]);
    schema.fields.insert(1, Field::new("at", Type::new(DataType::Timestamp)));
    schema.fields.extend((updates == Updates::Follow).then(weight));
    SourceSpec { updates, committed: Some("at".into()), ..source_spec(schema) }
}

/// Ids with the versions that committed them and their weights, sorted.
fn times(batches: &[RecordBatch]) -> Vec<(i64, i64, i64)> {
    let mut all = vec![];
    for batch in batches {
        let ids = batch.column(0).as_primitive::<Int64Type>();
        let at = batch.column(1).as_primitive::<TimestampMicrosecondType>();
        for i in 0..batch.num_rows() {
            let weight = batch.columns().get(3).map_or(1, |c| c.as_primitive::<Int64Type>().value(i));
            all.push((ids.value(i), (at.value(i) / 1_000 - time(0)) / 1_000, weight));
        }
    }
    all.sort();
    all
}

#[tokio::test]
async fn rows_say_when_they_were_committed() {
    let mut writer = three_rows().await;
    writer.write(&Operation::Append(vec![row(3, "b", 3), row(4, "b", 4)]), FILES).await;
    // A vector does not bring the other rows of its file anew; a file that is rewritten does.
    writer.write(&Operation::Delete(3), VECTORS).await;
    writer.write(&Operation::Delete(0), FILES).await;
    let snapshot = [(1, 4, 1), (2, 1, 1), (4, 2, 1)];
    let source = open(&writer.storage, &timed(Updates::Follow)).await;
    let first = next(&source, None).await.expect("rows");
    assert_eq!(times(&range_rows(&source, &first).await), snapshot);
    writer.write(&Operation::Update(4, Some(9), Some("a")), VECTORS).await;
    writer.write(&Operation::Append(vec![row(5, "a", 5)]), FILES).await;
    let second = next(&source, Some(&first.to)).await.expect("rows");
    assert_eq!(times(&range_rows(&source, &second).await), [(4, 5, -1), (4, 5, 1), (5, 6, 1)]);
    for updates in [Updates::Stop, Updates::Ignore] {
        let source = open(&writer.storage, &timed(updates)).await;
        let first = next(&source, None).await.expect("rows");
        assert_eq!(times(&range_rows(&source, &first).await), [(1, 4, 1), (2, 1, 1), (4, 5, 1), (5, 6, 1)]);
        writer.write(&Operation::Append(vec![row(6, "a", 5)]), FILES).await;
        let second = next(&source, Some(&first.to)).await.expect("rows");
        assert_eq!(times(&range_rows(&source, &second).await), [(6, writer.versions.len() as i64 - 1, 1)]);
        writer.write(&Operation::Delete(6), FILES).await;
    }
}

#[tokio::test]
async fn a_commit_without_a_time_has_that_of_its_file() {
    let writer = three_rows().await;
    let text = writer.storage.get(&commit_path(1)).await.expect("a commit");
    let lines = text.split(|b| *b == b'\n').skip(1).collect::<Vec<_>>().join(&b'\n');
    writer.storage.store().put(&commit_path(1), lines.into()).await.expect("writes");
    let modified = writer.storage.store().head(&commit_path(1)).await.expect("is there").last_modified;
    let source = open(&writer.storage, &timed(Updates::Follow)).await;
    let first = next(&source, None).await.expect("rows");
    let rows = range_rows(&source, &first).await;
    let at = rows[0].column(1).as_primitive::<TimestampMicrosecondType>().value(0);
    assert_eq!(at, modified.timestamp_micros());
}

/// Two rows with values of every kind, of which the second has this float, and one of nulls.
fn every_type(float: &str) -> (Schema, RecordBatch) {
    let nullable = Type::nullable;
    let item = DataType::Struct(vec![column("a", DataType::Double), column("b", DataType::Binary)]);
    let types = [
        ("boolean", DataType::Boolean),
        ("decimal", DataType::Decimal { precision: 20, scale: 3 }),
        ("date", DataType::Date),
        ("timestamp", DataType::Timestamp),
        ("items", DataType::Array(Box::new(nullable(item)))),
        ("map", DataType::Map(Box::new(DataType::String), Box::new(nullable(DataType::Float)))),
    ];
    let schema = Schema::new(types.into_iter().map(|(name, ty)| column(name, ty)).collect());
    let row = |float: &str| {
        format!(
            r#"{{"boolean":true,"decimal":"1.500","date":"2026-01-01","timestamp":"2026-01-01T00:00:00Z",
                "items":[{{"a":{float},"b":"00ff"}},null],"map":{{"x":0.5,"y":null}}}}
            "#
        )
    };
    let text = [row("0.25"), row(float), "{}".to_string()].concat();
    let arrow = flowc_ir::arrow_types::to_arrow_schema(&schema);
    let reader = arrow::json::ReaderBuilder::new(arrow).build(text.as_bytes()).expect("a reader");
    let batches: Vec<RecordBatch> = reader.map(|batch| batch.expect("JSON")).collect();
    (schema, arrow::compute::concat_batches(&batches[0].schema(), &batches).expect("one batch"))
}

#[tokio::test]
async fn rows_of_every_type_cancel_out() {
    let storage = memory();
    let (mut schema, batch) = every_type("1.5");
    append(&storage, &schema, "a", &[batch]).await;
    let columns = schema.clone();
    schema.fields.push(weight());
    let spec = SourceSpec { updates: Updates::Follow, ..source_spec(schema) };
    let source = open(&storage, &spec).await;
    let first = next(&source, None).await.expect("rows");
    let spec = SinkSpec { mode: SinkMode::Overwrite, ..sink_spec(columns, &[]) };
    run_epoch(&DeltaSink::new(&spec, storage.clone()), 1, &[vec![every_type("-0.0").1]]).await.expect("commits");
    let rows = new_rows(&source, Some(&first.to)).await;
    let mut floats: Vec<(bool, i64)> = rows.iter().map(|(row, weight)| (row.contains("a: 1.5"), *weight)).collect();
    floats.sort();
    assert_eq!(floats, [(false, 1), (true, -1)], "{rows:?}");
}

/// `column >= bound`, of the column at `index`.
fn at_least(schema: &Schema, index: usize, bound: i64) -> Program {
    let ty = schema.fields[index].ty.clone();
    let boolean = Type::nullable(DataType::Boolean);
    let column = Expr::new(ExprKind::Column(index), ty.clone(), Origin::default());
    let literal = Expr::new(ExprKind::Literal(Value::Long(bound)), ty.with_nullable(false), Origin::default());
    let function = flowc_ir::functions::find("greater_equal").expect("a function");
    let value = Expr::new(ExprKind::Call { function, args: vec![column, literal] }, boolean.clone(), Origin::default());
    let outputs = vec![Output { field: Field::new("keep", boolean), value }];
    Program { input: schema.clone(), steps: vec![], outputs }
}

#[tokio::test]
async fn files_are_skipped_on_both_sides() {
    let mut writer = Writer::new(false, false, Mapping::None).await;
    let rows: Vec<Row> = (0..3).chain([7, 8, 9]).map(|id| row(id, "a", id)).collect();
    writer.write(&Operation::Append(rows), FILES).await;
    // The time of the commit stands before the column that the predicate reads.
    let mut schema = columns(&["id"]);
    schema.fields.insert(0, Field::new("at", Type::new(DataType::Timestamp)));
    schema.fields.push(weight());
    let predicate = Some(at_least(&schema, 1, 5));
    let spec = SourceSpec { updates: Updates::Follow, committed: Some("at".into()), predicate, ..source_spec(schema) };
    let source = open(&writer.storage, &spec).await;
    let first = next(&source, None).await.expect("rows");
    let ids = |batches: &[RecordBatch]| {
        let mut ids: Vec<(i64, i64)> = vec![];
        for batch in batches {
            let column = |i: usize| batch.column(i).as_primitive::<Int64Type>().values().to_vec();
            ids.extend(column(1).into_iter().zip(column(2)));
        }
        ids.sort();
        ids
    };
    // Row groups have three rows.
    assert_eq!(ids(&range_rows(&source, &first).await), [(7, 1), (8, 1), (9, 1)]);
    writer.write(&Operation::Delete(8), FILES).await;
    writer.write(&Operation::Delete(1), VECTORS).await;
    let second = next(&source, Some(&first.to)).await.expect("rows");
    let rows = ids(&range_rows(&source, &second).await);
    assert_eq!(rows.iter().filter(|(id, _)| *id >= 5).collect::<Vec<_>>(), [&(8, -1)]);
    assert!(!rows.iter().any(|(id, _)| *id == 1), "a row group without a row that passes is not read: {rows:?}");
}
