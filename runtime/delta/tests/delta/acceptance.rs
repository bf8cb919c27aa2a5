//! The tables of the Delta acceptance tests, at every version they give, against their expected rows.

use crate::common::sorted;
use arrow::array::{ArrayRef, RecordBatch};
use flowc_delta::{DeltaCatalog, DeltaTable, Storage};
use flowc_ir::Schema;
use flowc_ir::arrow_types::to_arrow_schema;
use flowc_ir::catalog::{Catalog, FixedCatalog};
use flowc_ir::plan::{Connector, TableSpec, VersionSpec};
use flowc_runtime::LookupTable;
use futures::TryStreamExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn tables() -> Option<PathBuf> {
    let shared = std::env::var_os("FLOWC_SHARED").map(PathBuf::from);
    let shared = shared.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"));
    let tables = shared.join("acceptance/dat/tests/reader_tests/generated");
    tables.is_dir().then_some(tables)
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> =
        std::fs::read_dir(path).expect("a folder").map(|e| e.expect("an entry").path()).collect();
    all.retain(|p| p.is_dir());
    all.sort();
    all
}

/// The expected rows, read by the Parquet reader alone, as the types that flowc has for the table.
fn expected(folder: &Path, schema: &Schema) -> Vec<RecordBatch> {
    let target = to_arrow_schema(schema);
    let mut batches = vec![];
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("content").map(|e| e.expect("an entry").path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "parquet"));
    for file in files {
        let file = std::fs::File::open(file).expect("a file");
        let builder = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet");
        for batch in builder.build().expect("a reader") {
            let batch = batch.expect("a batch");
            let columns: Vec<ArrayRef> = target
                .fields()
                .iter()
                .map(|f| {
                    let column = batch.column_by_name(f.name()).expect("the column");
                    arrow::compute::cast(column, f.data_type()).expect("casts")
                })
                .collect();
            batches.push(RecordBatch::try_new(target.clone(), columns).expect("fits"));
        }
    }
    batches
}

async fn check(location: &str, folder: &Path, version: Option<u64>) -> usize {
    let catalog = DeltaCatalog::new(Arc::new(FixedCatalog::default()));
    let connector = Connector::Delta { location: location.into() };
    let version = version.map(VersionSpec::Number);
    let info = catalog.table(&connector, version).expect("a table");
    let about = std::fs::read_to_string(folder.join("table_version_metadata.json")).expect("metadata");
    let about: serde_json::Value = serde_json::from_str(&about).expect("JSON");
    assert_eq!(about["version"].as_u64(), info.version, "{location}");
    assert_eq!(info.unreadable, Vec::<String>::new());

    let spec = TableSpec {
        promises: vec![],
        name: "t".into(),
        connector,
        schema: info.schema.clone(),
        predicate: None,
        version,
        origin: Default::default(),
    };
    let table = DeltaTable::open(&spec, Storage::open(location).expect("a place")).await.expect("opens");
    let pinned = table.pin().await.expect("pins");
    let mut batches = vec![];
    for split in table.splits(&pinned).await.expect("splits") {
        batches.extend(table.read(&split, 2).await.expect("opens").try_collect::<Vec<_>>().await.expect("reads"));
    }
    let wanted = expected(&folder.join("table_content"), &info.schema);
    assert_eq!(sorted(&batches), sorted(&wanted), "{location} at {version:?}");
    if let Some(rows) = info.rows {
        assert_eq!(rows as usize, batches.iter().map(RecordBatch::num_rows).sum::<usize>());
    }
    batches.iter().map(RecordBatch::num_rows).sum()
}

#[tokio::test]
async fn every_table_at_every_version() {
    let Some(tables) = tables() else {
        println!("skipped: the acceptance tables are not at ../shared/acceptance/dat");
        return;
    };
    let (mut versions, mut rows) = (0, 0);
    for table in folders(&tables) {
        let location = table.join("delta");
        for case in folders(&table.join("expected")) {
            let name = case.file_name().expect("a name").to_string_lossy().into_owned();
            let version = name.strip_prefix('v').map(|v| v.parse().expect("a version"));
            rows += check(&location.to_string_lossy(), &case, version).await;
            versions += 1;
        }
    }
    println!("{versions} versions of tables, {rows} rows");
    assert!(versions >= 11 && rows > 0);
}
