//! Files written and read again, malformed files, new and changed files, what the catalog says.

use super::catalog::FileCatalog;
use super::*;
use crate::connector::{Connectors, EpochId, EpochLimits, Position};
use crate::error::RunError;
use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;
use flowc_ir::arrow_types::to_arrow_schema;
use flowc_ir::arrow_values::build_array;
use flowc_ir::catalog::{Catalog, CatalogError};
use flowc_ir::plan::{Connector, SinkMode, SinkSpec, SourceSpec};
use flowc_ir::{DataType, Field, Origin, Schema, Type, Value};
use futures::TryStreamExt;
use indexmap::IndexMap;
use std::path::Path;

fn csv_of(glob: &str) -> Connector {
    Connector::Csv { glob: glob.into(), header: true, delimiter: ',', quote: '"', null: "NULL".into() }
}

fn connectors(glob: &str) -> [Connector; 3] {
    [Connector::Parquet { glob: glob.into() }, csv_of(glob), Connector::Json { glob: glob.into() }]
}

fn source_spec(connector: Connector, schema: Schema) -> SourceSpec {
    SourceSpec {
        arrival: None,
        updates: Default::default(),
        committed: None,
        promises: vec![],
        name: "s".into(),
        connector,
        schema,
        predicate: None,
        quarantine: None,
        start: None,
        origin: Origin::default(),
    }
}

fn sink_spec(connector: Connector, schema: Schema) -> SinkSpec {
    SinkSpec {
        name: "s".into(),
        connector,
        mode: SinkMode::Append,
        whole: false,
        schema,
        changing: false,
        partition_by: vec![],
        generated: vec![],
        constraints: vec![],
        enforced: vec![],
        properties: IndexMap::new(),
        description: None,
        evolve: false,
        input: flowc_ir::graph::NodeId(0),
        origin: Origin::default(),
    }
}

fn everything() -> (Schema, RecordBatch) {
    let point = DataType::Struct(vec![
        Field::new("x", Type::nullable(DataType::Double)),
        Field::new("tags", Type::new(DataType::Array(Box::new(Type::nullable(DataType::String))))),
    ]);
    let map = DataType::Map(Box::new(DataType::Integer), Box::new(Type::nullable(DataType::String)));
    let string = |s: &str| Value::String(s.into());
    let columns: Vec<(DataType, [Value; 3])> = vec![
        (DataType::Boolean, [Value::Boolean(true), Value::Null, Value::Boolean(false)]),
        (DataType::Byte, [Value::Byte(-128), Value::Null, Value::Byte(127)]),
        (DataType::Short, [Value::Short(-1), Value::Null, Value::Short(i16::MAX)]),
        (DataType::Integer, [Value::Integer(i32::MIN), Value::Null, Value::Integer(5)]),
        (DataType::Long, [Value::Long(i64::MAX), Value::Null, Value::Long(i64::MIN)]),
        (DataType::Float, [Value::Float(0.1), Value::Null, Value::Float(f32::MAX)]),
        (DataType::Double, [Value::Double(-1e-300), Value::Null, Value::Double(f64::INFINITY)]),
        (
            DataType::Decimal { precision: 38, scale: 10 },
            [Value::Decimal(10_i128.pow(38) - 1), Value::Null, Value::Decimal(-5)],
        ),
        (DataType::String, [string("a \"quoted\", text\nof two lines"), Value::Null, string("")]),
        (DataType::String, [string("NULL"), string(" spaces "), string("é,;\t\\")]),
        (DataType::Binary, [Value::Binary(vec![0, 255]), Value::Null, Value::Binary(vec![])]),
        (DataType::Date, [Value::Date(-1), Value::Null, Value::Date(20_000)]),
        (DataType::Timestamp, [Value::Timestamp(1_600_000_000_123_456), Value::Null, Value::Timestamp(-1)]),
        (DataType::TimestampNtz, [Value::TimestampNtz(0), Value::Null, Value::TimestampNtz(1_000_000)]),
        (
            point,
            [
                Value::Struct(vec![Value::Double(1.5), Value::Array(vec![string("t"), Value::Null])]),
                Value::Null,
                Value::Struct(vec![Value::Null, Value::Array(vec![])]),
            ],
        ),
        (
            map,
            [
                Value::Map(vec![(Value::Integer(1), string("one")), (Value::Integer(2), Value::Null)]),
                Value::Null,
                Value::Map(vec![]),
            ],
        ),
    ];
    let fields =
        columns.iter().enumerate().map(|(i, (data, _))| Field::new(format!("c{i}"), Type::nullable(data.clone())));
    let schema = Schema::new(fields.collect());
    let arrays = columns.iter().map(|(data, values)| build_array(data, values)).collect();
    let batch = RecordBatch::try_new(to_arrow_schema(&schema), arrays).unwrap();
    (schema, batch)
}

async fn write(connector: &Connector, schema: &Schema, epoch: u64, batch: &RecordBatch) {
    let sink = FileConnectors::default().sink(&sink_spec(connector.clone(), schema.clone())).await.unwrap();
    let id = EpochId::new("p/s", epoch);
    let epoch = sink.begin(id).await.unwrap();
    let mut writer = epoch.writer().await.unwrap();
    writer.write(batch).await.unwrap();
    let written = writer.finish().await.unwrap();
    assert_eq!(epoch.commit(vec![written], &[]).await.unwrap().rows, batch.num_rows() as u64);
}

async fn read(
    connector: &Connector,
    schema: &Schema,
    from: Option<&Position>,
) -> Result<(RecordBatch, Option<Position>), RunError> {
    let source = FileConnectors::default().source(&source_spec(connector.clone(), schema.clone())).await?;
    let (mut batches, mut to) = (vec![], None);
    if let Some(range) = source.next_range(from, EpochLimits::NONE).await? {
        for split in source.splits(&range).await? {
            batches.extend(source.read(&split, 2).await?.try_collect::<Vec<_>>().await?);
        }
        to = Some(range.to);
    }
    Ok((concat_batches(&to_arrow_schema(schema), &batches).unwrap(), to))
}

#[tokio::test]
async fn all_types_come_back_from_every_format() {
    let (schema, batch) = everything();
    for i in 0..3 {
        let dir = tempfile::tempdir().unwrap();
        let connector = &connectors(dir.path().join("out").to_str().unwrap())[i];
        write(connector, &schema, 1, &batch).await;
        let (back, position) = read(connector, &schema, None).await.unwrap();
        assert_eq!(back, batch, "{connector:?}");
        assert!(read(connector, &schema, position.as_ref()).await.unwrap().1.is_none());
        // Columns may be left out, and come in another order.
        let few = Schema::new(vec![schema.fields[8].clone(), schema.fields[2].clone()]);
        let (back, _) = read(connector, &few, None).await.unwrap();
        assert_eq!(back, batch.project(&[8, 2]).unwrap());
        // The next epoch's file is the only new one.
        write(connector, &schema, 2, &batch.slice(0, 1)).await;
        let (back, _) = read(connector, &schema, position.as_ref()).await.unwrap();
        assert_eq!(back, batch.slice(0, 1));
    }
}

fn put(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn schema(fields: &[(&str, Type)]) -> Schema {
    Schema::new(fields.iter().map(|(name, ty)| Field::new(*name, ty.clone())).collect())
}

#[tokio::test]
async fn malformed_files_are_named_with_line_and_column() {
    let dir = tempfile::tempdir().unwrap();
    let both = schema(&[("id", Type::new(DataType::Integer)), ("x", Type::nullable(DataType::Double))]);
    let table = [
        ("a.csv", "id,x\n1,2.5\n2,two\n", "R0205", "line 3, column `x`: \"two\" is not of type double"),
        (
            "b.csv",
            "id,x\n\"1\n\",2\n3000000000,1\n",
            "R0205",
            "line 4, column `id`: \"3000000000\" is not of type integer",
        ),
        ("c.csv", "id,x\n1,2,3\n", "R0204", "line 2: 3 fields instead of 2"),
        ("d.csv", "id,x\n1,\"2", "R0204", "line 2: a quoted field has no end"),
        ("e.csv", "id,x\n1,\"2\"x\n", "R0204", "line 2: there is text behind the closing quote of a field"),
        ("f.csv", "id,x\n,2\n", "R0205", "line 2, column `id`: there is no value, and the type is integer"),
        ("g.csv", "ID,x\n1,2\n", "R0207", "has no column `id` in its header"),
        ("a.json", "{\"id\":1,\"x\":1}\n\n{\"id\":1.5}\n", "R0205", "line 3, field `id`: 1.5 is not of type integer"),
        ("b.json", "{\"id\":1,}\n", "R0204", "line 1: it is not JSON"),
        ("c.json", "[1]\n", "R0204", "line 1: it is not a JSON object"),
        ("d.json", "{\"x\":1}\n", "R0205", "line 1, field `id`: there is no value, and the type is integer"),
        ("e.json", "{\"id\":1,\"x\":\"1\"}\n", "R0205", "line 1, field `x`: \"1\" is not of type double"),
    ];
    for (name, text, code, expected) in table {
        let path = put(dir.path(), name, text);
        let connector = if name.ends_with("csv") { csv_of(&path) } else { Connector::Json { glob: path } };
        let error = read(&connector, &both, None).await.unwrap_err();
        assert_eq!(error.code, code, "{name}");
        assert!(error.message.contains(expected) && error.message.contains(name), "{}", error.message);
    }
    let path = put(dir.path(), "x.parquet", "not parquet");
    assert_eq!(read(&Connector::Parquet { glob: path }, &both, None).await.unwrap_err().code, "R0206");
}

#[tokio::test]
async fn csv_of_all_shapes() {
    let dir = tempfile::tempdir().unwrap();
    let two = schema(&[("b", Type::nullable(DataType::String)), ("a", Type::nullable(DataType::Long))]);
    let cases = [
        "\u{feff}a,b\r\n1,x\r\n\r\n,\"\"\r\n3,NULL",
        "b,a,more\nx,1,\n\"\",,9\n,3,\"\"\n",
        "b,a\n\"x\",\"1\"\n\"\",NULL\n,3\n",
    ];
    for (i, text) in cases.iter().enumerate() {
        let path = put(dir.path(), &format!("{i}.csv"), text);
        let (batch, _) = read(&csv_of(&path), &two, None).await.unwrap();
        let values = [
            [Value::String("x".into()), Value::String(String::new()), Value::Null],
            [Value::Long(1), Value::Null, Value::Long(3)],
        ];
        assert_eq!(batch.column(0), &build_array(&DataType::String, &values[0]), "{text:?}");
        assert_eq!(batch.column(1), &build_array(&DataType::Long, &values[1]), "{text:?}");
    }
}

#[tokio::test]
async fn files_that_change_or_vanish_stop_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let one = schema(&[("id", Type::new(DataType::Long))]);
    let path = put(dir.path(), "a.json", "{\"id\":1}\n");
    put(dir.path(), "_hidden.json", "no");
    let connector = Connector::Json { glob: dir.path().join("*.json").display().to_string() };
    let source = FileConnectors::default().source(&source_spec(connector, one)).await.unwrap();
    let range = source.next_range(None, EpochLimits::NONE).await.unwrap().unwrap();
    assert_eq!((range.text.as_str(), range.bytes), ("1 file", Some(9)));
    put(dir.path(), "b.json", "{\"id\":2}\n");
    put(dir.path(), "c.json", "{\"id\":3}\n");
    let limits = EpochLimits { files: Some(1), ..EpochLimits::NONE };
    let next = source.next_range(Some(&range.to), limits).await.unwrap().unwrap();
    let splits = source.splits(&next).await.unwrap();
    assert_eq!(splits.iter().map(|s| s.text.ends_with("b.json")).collect::<Vec<_>>(), [true]);
    put(dir.path(), "a.json", "{\"id\":1}\n{\"id\":9}\n");
    assert_eq!(source.next_range(Some(&next.to), limits).await.unwrap_err().code, "R0202");
    assert_eq!(source.splits(&range).await.unwrap_err().code, "R0202");
    std::fs::remove_file(path).unwrap();
    assert_eq!(source.splits(&range).await.unwrap_err().code, "R0202");
    // A file that was read and is gone is no concern of later epochs.
    assert!(source.next_range(Some(&next.to), limits).await.unwrap().is_some());
}

#[tokio::test]
async fn what_the_catalog_says() {
    let (all, batch) = everything();
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out").display().to_string();
    let connector = Connector::Parquet { glob: out.clone() };
    assert_eq!(FileCatalog.table(&connector, None), Err(CatalogError::NotFound));
    write(&connector, &all, 1, &batch).await;
    let info = FileCatalog.table(&connector, None).unwrap();
    assert_eq!((&info.schema, info.rows, info.files.map(|f| f.0)), (&all, Some(3), Some(1)));
    let other = schema(&[("c0", Type::new(DataType::Long))]);
    let long = RecordBatch::try_new(to_arrow_schema(&other), vec![build_array(&DataType::Long, &[Value::Long(1)])]);
    write(&connector, &other, 2, &long.unwrap()).await;
    assert!(
        matches!(FileCatalog.table(&connector, None), Err(CatalogError::NotATable(text)) if text.contains("disagree"))
    );

    let inferred = |connector: &Connector| match FileCatalog.table(connector, None) {
        Err(CatalogError::Inferred(schema)) => schema.to_string(),
        other => panic!("{other:?}"),
    };
    let path = put(
        dir.path(),
        "a.csv",
        "id,x,day,at,ok,name\n1,2,2026-01-02,2026-01-02T03:04:05Z,true,a\n2,2.5,,2026-01-02 03:04,false,1\n",
    );
    let expected = "id: long, x: double, day: date?, at: timestamp, ok: boolean, name: string";
    assert_eq!(inferred(&csv_of(&path)), expected);
    let path = put(
        dir.path(),
        "a.json",
        "{\"id\":1,\"p\":{\"a\":1},\"xs\":[1]}\n{\"id\":2.5,\"p\":{\"b\":\"t\"},\"xs\":[null]}\n{\"id\":3,\"n\":null}\n",
    );
    let expected = "id: double, p: struct<a: long?, b: string?>?, xs: array<long?>?, n: string?";
    assert_eq!(inferred(&Connector::Json { glob: path }), expected);
}

#[test]
fn the_catalog_passes_over_malformed_rows() {
    let dir = tempfile::tempdir().unwrap();
    let told = |name: &str, text: &str, header: bool| {
        let glob = put(dir.path(), name, text);
        let connector = match name.ends_with("csv") {
            true => Connector::Csv { glob, header, delimiter: ',', quote: '"', null: String::new() },
            false => Connector::Json { glob },
        };
        match FileCatalog.table(&connector, None) {
            Err(CatalogError::Inferred(schema)) => schema.to_string(),
            Err(CatalogError::Malformed(text)) => text.rsplit('/').next().unwrap().to_string(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(told("a.csv", "id\n\"1\"x\n2\n", true), "id: long");
    assert_eq!(
        told("b.csv", "\"id\"x\n2\n", true),
        "b.csv`, line 1: there is text behind the closing quote of a field"
    );
    assert_eq!(told("c.csv", "\"1\"x\n2,b\n", false), "c1: long, c2: string");
    assert_eq!(told("d.csv", "\"1\n\"2\n", false), "d.csv`, line 1: there is text behind the closing quote of a field");
    assert_eq!(told("a.json", "[]\n{\"id\": 1}\nno\n", true), "id: long");
    assert_eq!(told("b.json", "[]\nno\n", true), "b.json`, line 1: it is not a JSON object");
}

#[tokio::test]
async fn parquet_row_groups_are_skipped() {
    use ::parquet::arrow::ArrowWriter;
    use ::parquet::file::properties::WriterProperties;
    use flowc_ir::{Expr, ExprKind, Output, functions::find};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    let one = schema(&[("id", Type::new(DataType::Long))]);
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(10)).build();
    let file = std::fs::File::create(&path).unwrap();
    let mut writer = ArrowWriter::try_new(file, to_arrow_schema(&one), Some(properties)).unwrap();
    let values: Vec<Value> = (0..35).map(Value::Long).collect();
    writer
        .write(&RecordBatch::try_new(to_arrow_schema(&one), vec![build_array(&DataType::Long, &values)]).unwrap())
        .unwrap();
    writer.close().unwrap();
    let expr = |kind, ty| Expr::new(kind, ty, Origin::default());
    let long = Type::new(DataType::Long);
    let args = vec![expr(ExprKind::Column(0), long.clone()), expr(ExprKind::Literal(Value::Long(25)), long)];
    let value = expr(ExprKind::Call { function: find("greater_equal").unwrap(), args }, Type::boolean());
    let outputs = vec![Output { field: Field::new("ok", Type::boolean()), value }];
    let predicate = Some(flowc_ir::Program { input: one.clone(), steps: vec![], outputs });
    let connector = Connector::Parquet { glob: path.display().to_string() };
    let spec = SourceSpec { predicate, ..source_spec(connector, one) };
    let source = FileConnectors::default().source(&spec).await.unwrap();
    let range = source.next_range(None, EpochLimits::NONE).await.unwrap().unwrap();
    let splits = source.splits(&range).await.unwrap();
    assert_eq!(splits.iter().map(|s| s.rows).collect::<Vec<_>>(), [Some(15)]);
    let rows: Vec<RecordBatch> = source.read(&splits[0], 100).await.unwrap().try_collect().await.unwrap();
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 15);
}

mod generated {
    use super::*;
    use arrow::array::{Float64Array, StringArray};
    use proptest::prelude::*;
    use std::sync::Arc;

    fn text() -> impl Strategy<Value = Option<String>> {
        prop_oneof![
            Just(None),
            Just(Some(String::new())),
            Just(Some("NULL".to_string())),
            prop::collection::vec(
                prop::sample::select(vec!['a', ',', '"', '\n', '\r', ';', ' ', 'é', '\\', '\t']),
                0..6
            )
            .prop_map(|chars| Some(chars.into_iter().collect())),
            any::<String>().prop_map(Some),
        ]
    }

    fn wait<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_text_survives(rows in prop::collection::vec((text(), any::<Option<f64>>()), 1..8), single in any::<bool>()) {
            let both = schema(&[("a b,\"c", Type::nullable(DataType::String)), ("x", Type::nullable(DataType::Double))]);
            let texts: StringArray = rows.iter().map(|r| r.0.clone()).collect();
            // NaN has many forms, and files keep one.
            let xs: Float64Array = rows.iter().map(|r| r.1.map(|x| if x.is_nan() { f64::NAN } else { x })).collect();
            let batch = RecordBatch::try_new(to_arrow_schema(&both), vec![Arc::new(texts), Arc::new(xs)]).unwrap();
            let (both, batch) = match single {
                true => (Schema::new(both.fields[..1].to_vec()), batch.project(&[0]).unwrap()),
                false => (both, batch),
            };
            for i in 0..3 {
                let dir = tempfile::tempdir().unwrap();
                let connector = &connectors(dir.path().to_str().unwrap())[i];
                let back = wait(async {
                    write(connector, &both, 1, &batch).await;
                    read(connector, &both, None).await.unwrap().0
                });
                prop_assert_eq!(&back, &batch);
            }
        }

        #[test]
        fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(prop_oneof![
            any::<u8>(), prop::sample::select(b"id,x\n\"{}:1\r".to_vec())
        ], 0..60)) {
            let both = schema(&[("id", Type::nullable(DataType::Long)), ("x", Type::nullable(DataType::String))]);
            for i in 0..3 {
                let dir = tempfile::tempdir().unwrap();
                let path = dir.path().join("a");
                std::fs::write(&path, &bytes).unwrap();
                let connector = &connectors(path.to_str().unwrap())[i];
                if let Err(error) = wait(read(connector, &both, None)) {
                    prop_assert!(error.message.contains("/a`"), "{}", error.message);
                }
                let _ = FileCatalog.table(connector, None);
            }
        }
    }
}

#[tokio::test]
async fn files_take_no_rows_that_change() {
    let directory = tempfile::tempdir().unwrap();
    let schema = Schema::new(vec![Field::new("k", Type::new(DataType::Long))]);
    let merge = SinkMode::Merge { keys: vec!["k".into()] };
    let glob = directory.path().to_str().unwrap();
    for connector in connectors(glob) {
        for (mode, changing) in
            [(merge.clone(), false), (SinkMode::Append, true), (SinkMode::OverwritePartition, false)]
        {
            let spec = SinkSpec { mode, changing, ..sink_spec(connector.clone(), schema.clone()) };
            assert_eq!(FileConnectors::default().sink(&spec).await.unwrap_err().code, "R0201");
        }
    }
}
