//! What the tests share: tables in memory, specifications, and rows as text.

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use deltalake::logstore::object_store::ObjectStore;
use deltalake::logstore::object_store::memory::InMemory;
use deltalake::logstore::{StorageConfig, logstore_with};
use flowc_delta::{DeltaSink, DeltaSource, DeltaTable, Storage};
use flowc_ir::plan::{Connector, SinkMode, SinkSpec, SourceSpec, TableSpec, VersionSpec};
use flowc_ir::{DataType, Field, Schema, Type};
use flowc_runtime::{Committed, EpochId, LookupTable, RunError, Sink, Source, SourceRange};
use futures::TryStreamExt;
use std::sync::Arc;
use url::Url;

/// A table's place in a store.
pub fn place(store: Arc<dyn ObjectStore>) -> Storage {
    let url = Url::parse("memory:///table").expect("a URL");
    let log_store = logstore_with(store, &url, StorageConfig::default()).expect("a log store");
    Storage::with_log_store("memory:///table", log_store)
}

/// A table's place in memory.
pub fn memory() -> Storage {
    place(Arc::new(InMemory::new()))
}

pub fn column(name: &str, data: DataType) -> Field {
    Field::new(name, Type::nullable(data))
}

pub fn required(name: &str, data: DataType) -> Field {
    Field::new(name, Type::new(data))
}

fn connector() -> Connector {
    Connector::Delta { location: "memory:///table".into() }
}

pub fn sink_spec(schema: Schema, partition_by: &[&str]) -> SinkSpec {
    SinkSpec {
        name: "out".into(),
        connector: connector(),
        mode: SinkMode::Append,
        whole: false,
        schema,
        changing: false,
        partition_by: partition_by.iter().map(|p| p.to_string()).collect(),
        generated: vec![],
        constraints: vec![],
        enforced: vec![],
        properties: Default::default(),
        description: None,
        evolve: false,
        input: flowc_ir::graph::NodeId(0),
        origin: Default::default(),
    }
}

pub fn source_spec(schema: Schema) -> SourceSpec {
    SourceSpec {
        arrival: None,
        updates: Default::default(),
        committed: None,
        promises: vec![],
        quarantine: None,
        name: "in".into(),
        connector: connector(),
        schema,
        predicate: None,
        start: None,
        origin: Default::default(),
    }
}

pub const APPLICATION: &str = "pipeline/out";

pub fn epoch(number: u64) -> EpochId {
    EpochId::new(APPLICATION, number)
}

/// Runs an epoch of a sink: one writer for each list of batches.
pub async fn run_epoch(sink: &DeltaSink, number: u64, workers: &[Vec<RecordBatch>]) -> Result<Committed, RunError> {
    let epoch = sink.begin(epoch(number)).await?;
    let mut written = vec![];
    for batches in workers {
        let mut writer = epoch.writer().await?;
        for batch in batches {
            writer.write(batch).await?;
        }
        written.push(writer.finish().await?);
    }
    epoch.commit(written, &[]).await
}

/// Appends batches to a table in one epoch of another application.
pub async fn append(storage: &Storage, schema: &Schema, application: &str, batches: &[RecordBatch]) -> Committed {
    let sink = DeltaSink::new(&sink_spec(schema.clone(), &[]), storage.clone());
    let id = EpochId::new(application, 1);
    let epoch = sink.begin(id).await.expect("begins");
    let mut writer = epoch.writer().await.expect("a writer");
    for batch in batches {
        writer.write(batch).await.expect("writes");
    }
    epoch.commit(vec![writer.finish().await.expect("finishes")], &[]).await.expect("commits")
}

/// The rows of a table at a version, read as a lookup table reads them.
pub async fn table_rows(storage: &Storage, schema: &Schema, version: Option<u64>) -> Vec<RecordBatch> {
    let spec = TableSpec {
        promises: vec![],
        name: "t".into(),
        connector: connector(),
        schema: schema.clone(),
        predicate: None,
        version: version.map(VersionSpec::Number),
        origin: Default::default(),
    };
    let table = DeltaTable::open(&spec, storage.clone()).await.expect("opens");
    let pinned = table.pin().await.expect("pins");
    let mut batches = vec![];
    for split in table.splits(&pinned).await.expect("splits") {
        let stream = table.read(&split, 3).await.expect("opens the file");
        batches.extend(stream.try_collect::<Vec<_>>().await.expect("reads"));
    }
    batches
}

/// The rows of a range.
pub async fn range_rows(source: &DeltaSource, range: &SourceRange) -> Vec<RecordBatch> {
    let mut batches = vec![];
    for split in source.splits(range).await.expect("splits") {
        let stream = source.read(&split, 1024).await.expect("opens the file");
        batches.extend(stream.try_collect::<Vec<_>>().await.expect("reads"));
    }
    batches
}

/// Each row as text, sorted.
pub fn sorted(batches: &[RecordBatch]) -> Vec<String> {
    let mut rows = texts(batches);
    rows.sort();
    rows
}

/// Each row as text.
pub fn texts(batches: &[RecordBatch]) -> Vec<String> {
    let options = FormatOptions::new().with_null("null");
    let mut rows = vec![];
    for batch in batches {
        let columns: Vec<ArrayFormatter<'_>> =
            batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options).expect("a formatter")).collect();
        for row in 0..batch.num_rows() {
            rows.push(columns.iter().map(|c| c.value(row).to_string()).collect::<Vec<_>>().join(" | "));
        }
    }
    rows
}

/// `id` and `part`: the table that most tests use.
pub fn numbers_schema() -> Schema {
    Schema::new(vec![required("id", DataType::Long), column("part", DataType::String)])
}

pub fn numbers(ids: std::ops::Range<i64>, part: Option<&str>) -> RecordBatch {
    let schema = flowc_ir::arrow_types::to_arrow_schema(&numbers_schema());
    let parts = arrow::array::StringArray::from(vec![part; (ids.end - ids.start) as usize]);
    let ids = arrow::array::Int64Array::from_iter_values(ids);
    RecordBatch::try_new(schema, vec![Arc::new(ids), Arc::new(parts)]).expect("a batch")
}
