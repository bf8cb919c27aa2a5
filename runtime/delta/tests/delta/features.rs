//! Features of the protocol that flowc reads: deletion vectors, column mapping, widened types, checkpoints of both kinds; and that another
//! implementation of Delta sees the same table.

use crate::common::*;
use arrow::array::{Int32Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType as A, Field as AField, Schema as ASchema};
use deltalake::logstore::object_store::ObjectStoreExt;
use deltalake::logstore::object_store::path::Path;
use flowc_delta::log::Snapshot;
use flowc_delta::log::commits::commit_path;
use flowc_delta::sink::Sizes;
use flowc_delta::{DeltaSink, Storage};
use flowc_ir::plan::SinkSpec;
use flowc_ir::{DataType, Schema};
use roaring::RoaringTreemap;
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;

async fn put(storage: &Storage, version: u64, lines: &[serde_json::Value]) {
    let text: Vec<String> = lines.iter().map(|l| l.to_string()).collect();
    storage.store().put(&commit_path(version), text.join("\n").into()).await.expect("writes");
}

/// A deletion vector's bytes: magic number and bitmap.
fn bitmap(rows: &[u64]) -> Vec<u8> {
    let mut bytes = 1_681_511_377u32.to_le_bytes().to_vec();
    rows.iter().copied().collect::<RoaringTreemap>().serialize_into(&mut bytes).expect("writes");
    bytes
}

/// Deletes rows of the table's only file by a vector in a file beside it.
pub async fn delete_rows(storage: &Storage, rows: &[u64]) {
    let snapshot = Snapshot::load(storage, None).await.expect("loads");
    let add = snapshot.ordered_files()[0].as_ref().clone();
    let data = bitmap(rows);
    let mut file = vec![1u8];
    file.extend((data.len() as u32).to_be_bytes());
    file.extend(&data);
    file.extend(crc32fast::hash(&data).to_be_bytes());
    let name = Path::from("deletion_vector_61d16c75-6994-46b7-a15b-8b538852e50e.bin");
    storage.store().put(&name, file.into()).await.expect("writes");
    let vector = json!({ "storageType": "u", "pathOrInlineDv": "vBn[lx{q8@P<9BNH/isA", "offset": 1,
        "sizeInBytes": data.len(), "cardinality": rows.len() });
    let mut with = serde_json::to_value(&add).expect("JSON");
    with["deletionVector"] = vector;
    let features = ["deletionVectors"];
    let protocol =
        json!({ "minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": features, "writerFeatures": features });
    let lines = [
        json!({ "protocol": protocol }),
        json!({ "remove": { "path": add.path, "dataChange": true } }),
        json!({ "add": with }),
    ];
    put(storage, snapshot.version + 1, &lines).await;
}

#[tokio::test]
async fn deletion_vectors_are_applied_across_row_groups() {
    let storage = memory();
    let sizes = Sizes { row_group_bytes: 1, ..Sizes::default() };
    let sink = DeltaSink::with_sizes(&sink_spec(numbers_schema(), &[]), storage.clone(), sizes);
    let rows = [numbers(0..5, None), numbers(5..10, None), numbers(10..15, None)];
    run_epoch(&sink, 1, &[rows.to_vec()]).await.expect("commits");
    delete_rows(&storage, &[0, 4, 5, 6, 7, 8, 9, 14]).await;
    let left = texts(&table_rows(&storage, &numbers_schema(), None).await);
    assert_eq!(left, ["1 | null", "2 | null", "3 | null", "10 | null", "11 | null", "12 | null", "13 | null"]);
    let info =
        flowc_delta::catalog::table_info(&Snapshot::load(&storage, None).await.expect("loads")).expect("known types");
    assert_eq!((info.rows, info.unwritable.len()), (Some(7), 0));
    // An overwrite removes the file with its vector.
    let spec = SinkSpec { mode: flowc_ir::plan::SinkMode::Overwrite, ..sink_spec(numbers_schema(), &[]) };
    run_epoch(&DeltaSink::new(&spec, storage.clone()), 2, &[vec![numbers(7..8, None)]]).await.expect("commits");
    assert_eq!(texts(&table_rows(&storage, &numbers_schema(), None).await), ["7 | null"]);
}

#[tokio::test]
async fn large_files_are_cut_at_row_groups() {
    use flowc_delta::scan::Scan;
    use futures::TryStreamExt;
    let storage = memory();
    let sizes = Sizes { row_group_bytes: 1, ..Sizes::default() };
    let sink = DeltaSink::with_sizes(&sink_spec(numbers_schema(), &[]), storage.clone(), sizes);
    let rows = [numbers(0..5, None), numbers(5..10, None), numbers(10..15, None), numbers(15..16, None)];
    run_epoch(&sink, 1, &[rows.to_vec()]).await.expect("commits");
    for deleted in [false, true] {
        if deleted {
            delete_rows(&storage, &[0, 9, 10]).await;
        }
        let snapshot = Snapshot::load(&storage, None).await.expect("loads");
        let scan = Scan::new(&storage, "t", &snapshot, &numbers_schema(), None).expect("a scan").with_split_rows(6);
        let splits = scan.splits(&snapshot.ordered_files()).await.expect("splits");
        let counts: Vec<_> = splits.iter().map(|s| s.rows).collect();
        assert_eq!(counts, if deleted { [None, None] } else { [Some(10), Some(6)] });
        let mut found = vec![];
        for split in &splits {
            found.extend(scan.read(split, 4).await.expect("opens").try_collect::<Vec<_>>().await.expect("reads"));
        }
        let whole = Scan::new(&storage, "t", &snapshot, &numbers_schema(), None).expect("a scan");
        let split = whole.splits(&snapshot.ordered_files()).await.expect("splits");
        let at_once: Vec<RecordBatch> =
            whole.read(&split[0], 100).await.expect("opens").try_collect().await.expect("reads");
        assert_eq!((texts(&found), texts(&found).len()), (texts(&at_once), if deleted { 13 } else { 16 }));
    }
}

#[tokio::test]
async fn a_damaged_deletion_vector_is_an_error() {
    let storage = memory();
    run_epoch(&DeltaSink::new(&sink_spec(numbers_schema(), &[]), storage.clone()), 1, &[vec![numbers(0..5, None)]])
        .await
        .expect("commits");
    delete_rows(&storage, &[1]).await;
    let name = Path::from("deletion_vector_61d16c75-6994-46b7-a15b-8b538852e50e.bin");
    let mut bytes = storage.get(&name).await.expect("reads");
    let last = bytes.len() - 6;
    bytes[last] ^= 1;
    storage.store().put(&name, bytes.into()).await.expect("writes");
    let error = flowc_delta::show::rows(&storage, None, 10).await.expect_err("the checksum is wrong");
    assert_eq!(error.code, "R0523");
}

/// The table's metadata with another schema and properties.
async fn remap(storage: &Storage, schema: serde_json::Value, mode: &str) {
    let snapshot = Snapshot::load(storage, None).await.expect("loads");
    let mut metadata = snapshot.metadata.clone();
    metadata.schema_string = schema.to_string();
    metadata.configuration =
        Some([("delta.columnMapping.mode".to_string(), Some(mode.to_string()))].into_iter().collect());
    let protocol = json!({ "minReaderVersion": 2, "minWriterVersion": 5 });
    put(storage, snapshot.version + 1, &[json!({ "protocol": protocol }), json!({ "metaData": metadata })]).await;
}

fn mapped(name: &str, ty: &str, physical: &str, id: i64) -> serde_json::Value {
    let metadata = json!({ "delta.columnMapping.physicalName": physical, "delta.columnMapping.id": id });
    json!({ "name": name, "type": ty, "nullable": true, "metadata": metadata })
}

#[tokio::test]
async fn columns_are_mapped_by_name() {
    let storage = memory();
    run_epoch(
        &DeltaSink::new(&sink_spec(numbers_schema(), &[]), storage.clone()),
        1,
        &[vec![numbers(0..2, Some("a"))]],
    )
    .await
    .expect("commits");
    let fields =
        [mapped("part", "long", "id", 1), mapped("renamed", "string", "part", 2), mapped("added", "date", "col-9", 3)];
    remap(&storage, json!({ "type": "struct", "fields": fields }), "name").await;
    let schema = Schema::new(vec![
        column("renamed", DataType::String),
        column("added", DataType::Date),
        column("part", DataType::Long),
    ]);
    assert_eq!(texts(&table_rows(&storage, &schema, None).await), ["a | null | 0", "a | null | 1"]);
    let error = DeltaSink::new(&sink_spec(schema, &[]), storage.clone());
    let error = flowc_runtime::Sink::begin(&error, epoch(2)).await.err().expect("refused");
    assert_eq!(error.code, "R0323");
    assert!(error.message.contains("columnMapping"));
}

/// A data file with the field id 7 in a column of any name, and its `add`.
async fn file_with_ids(storage: &Storage, batch_of: RecordBatch) -> serde_json::Value {
    let mut bytes = vec![];
    let mut writer = parquet::arrow::ArrowWriter::try_new(&mut bytes, batch_of.schema(), None).expect("a writer");
    writer.write(&batch_of).expect("writes");
    writer.close().expect("closes");
    let size = bytes.len();
    storage.store().put(&Path::from("by-id.parquet"), bytes.into()).await.expect("writes");
    json!({ "add": { "path": "by-id.parquet", "partitionValues": {}, "size": size, "modificationTime": 0, "dataChange": true } })
}

#[tokio::test]
async fn columns_are_mapped_by_id_and_widened() {
    let storage = memory();
    let schema = Schema::new(vec![column("n", DataType::Long)]);
    run_epoch(&DeltaSink::new(&sink_spec(schema.clone(), &[]), storage.clone()), 1, &[vec![]]).await.expect("commits");
    remap(&storage, json!({ "type": "struct", "fields": [mapped("n", "long", "col-7", 7)] }), "id").await;
    let id = |id: &str| HashMap::from([("PARQUET:field_id".to_string(), id.to_string())]);
    let fields = vec![
        AField::new("n", A::Int64, true).with_metadata(id("6")),
        AField::new("anything", A::Int32, true).with_metadata(id("7")),
    ];
    let columns: Vec<arrow::array::ArrayRef> =
        vec![Arc::new(Int64Array::from(vec![-1])), Arc::new(Int32Array::from(vec![42]))];
    let batch = RecordBatch::try_new(Arc::new(ASchema::new(fields)), columns).expect("a batch");
    let add = file_with_ids(&storage, batch).await;
    put(&storage, 2, &[add]).await;
    assert_eq!(texts(&table_rows(&storage, &schema, None).await), ["42"]);
}

#[tokio::test]
async fn a_file_that_breaks_not_null_is_named() {
    let storage = memory();
    let schema = Schema::new(vec![required("n", DataType::Long)]);
    run_epoch(&DeltaSink::new(&sink_spec(schema, &[]), storage.clone()), 1, &[vec![]]).await.expect("commits");
    let fields = vec![AField::new("n", A::Int64, true)];
    let columns: Vec<arrow::array::ArrayRef> = vec![Arc::new(Int64Array::from(vec![Some(1), None]))];
    let add =
        file_with_ids(&storage, RecordBatch::try_new(Arc::new(ASchema::new(fields)), columns).expect("a batch")).await;
    put(&storage, 1, &[add]).await;
    let error = flowc_delta::show::rows(&storage, None, 10).await.expect_err("a null");
    assert_eq!(error.code, "R0227");
    assert!(error.message.contains("by-id.parquet"), "{}", error.message);
}

/// Writes `epochs` epochs into a folder with checkpoints at every second version.
async fn with_checkpoints(folder: &std::path::Path, properties: &[(&str, &str)], epochs: u64) -> Storage {
    let storage = Storage::open(&folder.to_string_lossy()).expect("a place");
    let properties = properties.iter().chain(&[("delta.checkpointInterval", "2")]);
    let properties = properties.map(|(k, v)| (k.to_string(), v.to_string())).collect();
    let spec = SinkSpec { properties, ..sink_spec(numbers_schema(), &["part"]) };
    let sink = DeltaSink::new(&spec, storage.clone());
    for number in 1..=epochs {
        let start = number as i64 * 10;
        let rows = vec![numbers(start..start + 2, Some("a b/c%20é")), numbers(start + 2..start + 3, None)];
        run_epoch(&sink, number, &[rows]).await.expect("commits");
    }
    storage
}

#[tokio::test]
async fn version_2_checkpoints_are_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let storage = with_checkpoints(folder.path(), &[("delta.checkpointPolicy", "v2")], 4).await;
    // The same checkpoint as a JSON file that names its adds in a sidecar.
    let log = folder.path().join("_delta_log");
    let snapshot = Snapshot::load(&storage, Some(2)).await.expect("loads");
    std::fs::create_dir(log.join("_sidecars")).expect("a folder");
    std::fs::rename(log.join("00000000000000000002.checkpoint.parquet"), log.join("_sidecars/one.parquet"))
        .expect("moves");
    let lines = [
        json!({ "checkpointMetadata": { "version": 2 } }),
        json!({ "protocol": snapshot.protocol }),
        json!({ "metaData": snapshot.metadata }),
        json!({ "sidecar": { "path": "one.parquet", "sizeInBytes": 1, "modificationTime": 0 } }),
    ];
    let text: Vec<String> = lines.iter().map(|l| l.to_string()).collect();
    let name = "00000000000000000002.checkpoint.80a083e8-7026-4e79-81be-64bd76c43a11.json";
    std::fs::write(log.join(name), text.join("\n")).expect("writes");
    for version in 0..2 {
        std::fs::remove_file(folder.path().join(format!("_delta_log/{version:020}.json"))).expect("removes");
    }
    assert_eq!(table_rows(&storage, &numbers_schema(), None).await.iter().map(|b| b.num_rows()).sum::<usize>(), 12);
    assert_eq!(Snapshot::load(&storage, None).await.expect("loads").txns[APPLICATION].version, 4);
}

#[tokio::test]
async fn deltalake_sees_the_same_table() {
    use futures::TryStreamExt;
    let folder = tempfile::tempdir().expect("a folder");
    let storage = with_checkpoints(folder.path(), &[], 6).await;
    let url = url::Url::from_directory_path(folder.path()).expect("a URL");
    let table = deltalake::open_table(url).await.expect("opens");
    let ours = Snapshot::load(&storage, None).await.expect("loads");
    assert_eq!(table.version(), Some(ours.version));
    let state = table.snapshot().expect("a state").snapshot();
    let log_store = table.log_store();
    let views: Vec<_> = state.file_views(log_store.as_ref(), None).try_collect().await.expect("files");
    let mut theirs: Vec<String> = views.iter().map(|v| v.path().into_owned()).collect();
    theirs.sort();
    let decoded = |a: &Arc<flowc_delta::log::Add>| flowc_delta::storage::percent_decode(&a.path);
    let mut files: Vec<String> = ours.files.values().map(decoded).collect();
    files.sort();
    assert_eq!(theirs, files);
    assert_eq!(views.iter().filter_map(|v| v.num_records()).sum::<usize>(), 18);
    assert_eq!(state.transaction_version(log_store.as_ref(), APPLICATION).await.expect("reads"), Some(6));
    for view in &views {
        let path = folder.path().join(view.path().as_ref());
        assert!(path.is_file(), "{}", path.display());
    }
}
