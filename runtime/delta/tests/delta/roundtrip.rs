//! What is written is read again, for every type, in columns and in partitions.

use crate::common::*;
use arrow::array::*;
use arrow::datatypes::DataType as A;
use flowc_delta::log::Snapshot;
use flowc_delta::{DeltaSink, Storage};
use flowc_ir::arrow_types::{to_arrow, to_arrow_schema};
use flowc_ir::{DataType, Field, Schema, Type};
use std::sync::Arc;

fn decimal(precision: u8, scale: u8) -> DataType {
    DataType::Decimal { precision, scale }
}

/// Columns of every primitive type with extremes, nulls and oddities.
fn primitives() -> Vec<(DataType, ArrayRef)> {
    let micros = |values: Vec<Option<i64>>| TimestampMicrosecondArray::from(values);
    let long_text = "x".repeat(500);
    vec![
        (DataType::Boolean, Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])) as ArrayRef),
        (DataType::Byte, Arc::new(Int8Array::from(vec![Some(i8::MIN), None, Some(i8::MAX)]))),
        (DataType::Short, Arc::new(Int16Array::from(vec![Some(i16::MIN), None, Some(i16::MAX)]))),
        (DataType::Integer, Arc::new(Int32Array::from(vec![Some(i32::MIN), None, Some(i32::MAX)]))),
        (DataType::Long, Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(i64::MAX)]))),
        (DataType::Float, Arc::new(Float32Array::from(vec![Some(f32::NAN), Some(-0.0), Some(f32::INFINITY)]))),
        (DataType::Double, Arc::new(Float64Array::from(vec![Some(f64::NAN), Some(f64::MIN_POSITIVE), None]))),
        (decimal(38, 0), decimals(vec![Some(10i128.pow(38) - 1), Some(1 - 10i128.pow(38)), None], 38, 0)),
        (decimal(9, 4), decimals(vec![Some(-1), Some(0), Some(999_999_999)], 9, 4)),
        (decimal(18, 18), decimals(vec![Some(1), None, Some(10i128.pow(18) - 1)], 18, 18)),
        (DataType::String, Arc::new(StringArray::from(vec![Some("a/b=c d%é\u{1F600}"), Some(&long_text), None]))),
        (DataType::String, Arc::new(StringArray::from(vec![Some("#?*:\\\"'{}[]^\n\t"), Some("."), Some("..")]))),
        (DataType::Binary, Arc::new(BinaryArray::from(vec![Some(&[0u8, 255, 10][..]), None, Some(b"a")]))),
        (DataType::Date, Arc::new(Date32Array::from(vec![Some(-719_162), Some(0), Some(2_932_896)]))),
        (
            DataType::Timestamp,
            Arc::new(
                micros(vec![Some(-62_135_596_800_000_000), Some(-1), Some(1_700_000_000_123_456)]).with_timezone("UTC"),
            ),
        ),
        (DataType::TimestampNtz, Arc::new(micros(vec![Some(-1_234_567), None, Some(253_402_300_799_999_999)]))),
    ]
}

fn decimals(values: Vec<Option<i128>>, precision: u8, scale: i8) -> ArrayRef {
    Arc::new(Decimal128Array::from(values).with_precision_and_scale(precision, scale).expect("a decimal"))
}

fn batch(columns: &[(DataType, ArrayRef)]) -> (Schema, RecordBatch) {
    let fields = columns.iter().enumerate().map(|(i, (data, _))| column(&format!("c {i}"), data.clone()));
    let schema = Schema::new(fields.collect());
    let arrays = columns.iter().map(|(_, a)| a.clone()).collect();
    let batch = RecordBatch::try_new(to_arrow_schema(&schema), arrays).expect("a batch");
    (schema, batch)
}

async fn written(storage: &Storage, schema: &Schema, partition_by: &[&str], batch: &RecordBatch) {
    let sink = DeltaSink::new(&sink_spec(schema.clone(), partition_by), storage.clone());
    let done = run_epoch(&sink, 1, &[vec![batch.clone()]]).await.expect("commits");
    assert_eq!((done.version, done.rows), (Some(0), batch.num_rows() as u64));
}

#[tokio::test]
async fn every_primitive_type() {
    let (schema, batch) = batch(&primitives());
    let storage = memory();
    written(&storage, &schema, &[], &batch).await;
    assert_eq!(table_rows(&storage, &schema, None).await, vec![batch]);
}

#[tokio::test]
async fn every_type_as_a_partition() {
    for (data, values) in primitives() {
        // The log holds partition values as text.
        let text: ArrayRef = Arc::new(BinaryArray::from(vec![Some("\u{0}ÿ".as_bytes()), None, Some(b"a")]));
        let values = if data == DataType::Binary { text } else { values };
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let (schema, batch) = batch(&[(DataType::Long, ids), (data.clone(), values)]);
        let folder = tempfile::tempdir().expect("a folder");
        let storage = Storage::open(folder.path().to_str().expect("UTF-8")).expect("a place");
        written(&storage, &schema, &["c 1"], &batch).await;
        let read = table_rows(&storage, &schema, None).await;
        assert_eq!(sorted(&read), sorted(&[batch]), "{data}");
        assert_eq!(Snapshot::load(&storage, None).await.expect("loads").files.len(), 3, "{data}");
    }
}

#[tokio::test]
async fn the_empty_string_is_null_in_a_partition_and_itself_in_a_column() {
    let text: ArrayRef = Arc::new(StringArray::from(vec![Some(""), None, Some("x")]));
    let (schema, batch) = batch(&[(DataType::String, text.clone()), (DataType::String, text)]);
    let storage = memory();
    written(&storage, &schema, &["c 1"], &batch).await;
    assert_eq!(sorted(&table_rows(&storage, &schema, None).await), [" | null", "null | null", "x | x"]);
    assert_eq!(Snapshot::load(&storage, None).await.expect("loads").files.len(), 2);
}

/// Structs in arrays in maps in structs, with nulls at every level.
fn nested() -> (Schema, RecordBatch) {
    let point = DataType::Struct(vec![column("x", DataType::Double), column("label", DataType::String)]);
    let points = DataType::Array(Box::new(Type::nullable(point)));
    let by_name = DataType::Map(Box::new(DataType::String), Box::new(Type::nullable(points)));
    let schema = Schema::new(vec![
        required("id", DataType::Integer),
        column("deep", DataType::Struct(vec![column("by_name", by_name), required("n", DataType::Long)])),
        Field::new("list", Type::nullable(DataType::Array(Box::new(Type::new(DataType::Date))))),
        column("empty", DataType::Array(Box::new(Type::nullable(DataType::String)))),
    ]);
    let json = r#"{"id":1,"deep":{"by_name":{"a":[{"x":1.5,"label":"p"},null,{"x":null,"label":null}],"b":null},"n":7},"list":["2020-01-01"],"empty":[]}
{"id":2,"deep":null,"list":null,"empty":[null,""]}
{"id":3,"deep":{"by_name":null,"n":-1},"list":[],"empty":null}
{"id":4,"deep":{"by_name":{},"n":0},"list":["1969-12-31","0001-01-01"],"empty":["x"]}"#;
    let mut reader =
        arrow::json::ReaderBuilder::new(to_arrow_schema(&schema)).build(json.as_bytes()).expect("a reader");
    let batch = reader.next().expect("rows").expect("rows that parse");
    (schema, batch)
}

#[tokio::test]
async fn nested_types() {
    let (schema, batch) = nested();
    let storage = memory();
    written(&storage, &schema, &[], &batch).await;
    let read = table_rows(&storage, &schema, None).await;
    assert_eq!(texts(&read), texts(&[batch]));
    assert_eq!(read[0].schema(), to_arrow_schema(&schema));
    let snapshot = Snapshot::load(&storage, None).await.expect("loads");
    let stats = snapshot.files.values().next().and_then(|f| f.stats.clone()).expect("statistics");
    let stats: serde_json::Value = serde_json::from_str(&stats).expect("JSON");
    assert_eq!(stats["minValues"]["deep"]["n"], -1);
    assert_eq!(stats["nullCount"]["deep"]["n"], 1);
}

#[tokio::test]
async fn the_schema_survives_with_its_comments() {
    let mut commented = required("id", DataType::Long);
    commented.comment = Some("who".into());
    let schema = Schema::new(vec![commented, column("s", DataType::Struct(vec![column("a b", decimal(5, 2))]))]);
    let empty = RecordBatch::new_empty(to_arrow_schema(&schema));
    let storage = memory();
    let spec = flowc_ir::plan::SinkSpec { description: Some("what".into()), ..sink_spec(schema.clone(), &[]) };
    run_epoch(&DeltaSink::new(&spec, storage.clone()), 1, &[vec![empty]]).await.expect("commits");
    let info =
        flowc_delta::catalog::table_info(&Snapshot::load(&storage, None).await.expect("loads")).expect("known types");
    assert_eq!(info.schema, schema);
    assert_eq!((info.description.as_deref(), info.rows), (Some("what"), Some(0)));
}

#[tokio::test]
async fn columns_are_projected_and_a_scan_of_none_counts() {
    let storage = memory();
    written(&storage, &numbers_schema(), &["part"], &numbers(0..10, Some("a"))).await;
    let only = Schema::new(vec![column("part", DataType::String)]);
    let rows = table_rows(&storage, &only, None).await;
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 10);
    assert_eq!(rows[0].column(0).data_type(), &to_arrow(&DataType::String));
    let none = table_rows(&storage, &Schema::default(), None).await;
    assert_eq!(none.iter().map(RecordBatch::num_rows).sum::<usize>(), 10);
    assert!(matches!(rows[0].schema().field(0).data_type(), A::Utf8));
}
