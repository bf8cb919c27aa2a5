//! Makes tables with rows: for `flowc new`, examples and tests. It is the sink that writes them.

use crate::sink::DeltaSink;
use crate::storage::Storage;
use arrow::array::RecordBatch;
use flowc_ir::Schema;
use flowc_ir::graph::NodeId;
use flowc_ir::plan::{Connector, SinkMode, SinkSpec};
use flowc_runtime::{Committed, EpochId, RunError, Sink};

/// The application under which rows are added by hand.
const APPLICATION: &str = "flowc/rows";

/// A table to make.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NewTable {
    /// Its columns, with comments.
    pub schema: Schema,
    /// Its partition columns.
    pub partition_by: Vec<String>,
    /// Its description.
    pub description: Option<String>,
    /// Its properties.
    pub properties: indexmap::IndexMap<String, String>,
    /// Its CHECK constraints: name and Spark SQL text. The rows must keep them; that is not tested.
    pub constraints: Vec<(String, String)>,
    /// Its generated columns: name and Spark SQL text. The rows have their values.
    pub generated: Vec<(String, String)>,
}

/// Makes the table if there is none, and adds the batches (whose types are those of [`flowc_ir::arrow_types`]) as one version.
pub async fn write_rows(storage: &Storage, table: &NewTable, batches: &[RecordBatch]) -> Result<Committed, RunError> {
    let spec = SinkSpec {
        name: "rows".into(),
        connector: Connector::Delta { location: storage.location().into() },
        mode: SinkMode::Append,
        whole: false,
        schema: table.schema.clone(),
        changing: false,
        partition_by: table.partition_by.clone(),
        generated: table.generated.clone(),
        constraints: table.constraints.clone(),
        enforced: vec![],
        properties: table.properties.clone(),
        description: table.description.clone(),
        evolve: false,
        input: NodeId(0),
        origin: Default::default(),
    };
    let sink = DeltaSink::new(&spec, storage.clone());
    let number = sink.committed(APPLICATION).await?.unwrap_or(0) + 1;
    let epoch = sink.begin(EpochId::new(APPLICATION, number)).await?;
    let mut writer = epoch.writer().await?;
    for batch in batches {
        if let Err(error) = writer.write(batch).await {
            writer.abort().await;
            return Err(error);
        }
    }
    let written = vec![writer.finish().await?];
    match epoch.commit(written.clone(), &[]).await {
        Ok(committed) => Ok(committed),
        Err(error) => {
            epoch.abort(written).await;
            Err(error)
        }
    }
}

/// As [`write_rows`], at a path or URL; each list of batches becomes a version.
pub async fn create_table_with_rows(
    location: &str,
    table: &NewTable,
    versions: &[Vec<RecordBatch>],
) -> Result<Vec<Committed>, RunError> {
    let storage = Storage::open(location).map_err(|e| e.writing(location))?;
    let mut committed = vec![];
    for batches in versions {
        committed.push(write_rows(&storage, table, batches).await?);
    }
    Ok(committed)
}
