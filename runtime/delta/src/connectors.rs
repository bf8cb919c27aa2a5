//! Makes Delta sources, tables and sinks for the runtime; leaves other connectors to the next one.

use crate::changes::Layout;
use crate::lookup::DeltaTable;
use crate::sink::DeltaSink;
use crate::source::{self, DeltaSource, Pruned};
use crate::storage::Storage;
use async_trait::async_trait;
use flowc_ir::plan::{Connector, SinkSpec, SourceSpec, TableSpec};
use flowc_runtime::{Connectors, LookupTable, RunError, Sink, Source};
use std::fmt;
use std::sync::Arc;

/// The connectors of Delta, in front of others.
pub struct DeltaConnectors {
    inner: Arc<dyn Connectors>,
}

impl fmt::Debug for DeltaConnectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeltaConnectors")
    }
}

impl DeltaConnectors {
    /// Asks `inner` for everything that is not a Delta table.
    pub fn new(inner: Arc<dyn Connectors>) -> Self {
        DeltaConnectors { inner }
    }
}

fn storage(location: &str, origin: flowc_ir::Origin) -> Result<Storage, RunError> {
    Storage::open(location).map_err(|e| e.reading(location).at(origin))
}

#[async_trait]
impl Connectors for DeltaConnectors {
    async fn source(&self, spec: &SourceSpec) -> Result<Arc<dyn Source>, RunError> {
        match &spec.connector {
            Connector::Delta { location } => {
                Ok(Arc::new(DeltaSource::open(spec, storage(location, spec.origin)?).await?))
            }
            _ => self.inner.source(spec).await,
        }
    }

    async fn table(&self, spec: &TableSpec) -> Result<Arc<dyn LookupTable>, RunError> {
        match &spec.connector {
            Connector::Delta { location } => {
                Ok(Arc::new(DeltaTable::open(spec, storage(location, spec.origin)?).await?))
            }
            _ => self.inner.table(spec).await,
        }
    }

    async fn sink(&self, spec: &SinkSpec) -> Result<Arc<dyn Sink>, RunError> {
        match &spec.connector {
            Connector::Delta { location } => Ok(Arc::new(DeltaSink::new(spec, storage(location, spec.origin)?))),
            _ => self.inner.sink(spec).await,
        }
    }
}

/// How many files a source's table has now, and how many of them its predicate leaves; none for other connectors.
pub async fn prune_report(spec: &SourceSpec) -> Result<Option<Pruned>, RunError> {
    match &spec.connector {
        Connector::Delta { location } => {
            let storage = storage(location, spec.origin)?;
            let layout = Layout::new(&spec.schema, spec.committed.as_deref());
            source::prune_report(&storage, None, layout, spec.predicate.as_ref()).await.map(Some)
        }
        _ => Ok(None),
    }
}

/// As [`prune_report`], for a table.
pub async fn table_prune_report(spec: &TableSpec) -> Result<Option<Pruned>, RunError> {
    match &spec.connector {
        Connector::Delta { location } => {
            let storage = storage(location, spec.origin)?;
            let layout = Layout::new(&spec.schema, None);
            source::prune_report(&storage, spec.version, layout, spec.predicate.as_ref()).await.map(Some)
        }
        _ => Ok(None),
    }
}
