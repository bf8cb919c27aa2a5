//! Sources and sinks in memory whose every operation can be the last one of a process.

use crate::connector::*;
use crate::connectors::memory::MemoryConnectors;
use crate::error::RunError;
use crate::quality::Judgement;
use crate::testing::Faults;
use arrow::array::RecordBatch;
use async_trait::async_trait;
use flowc_ir::plan::{SinkSpec, SourceSpec, TableSpec};
use futures::StreamExt;
use std::sync::Arc;

/// Connects to rows in memory until it is killed.
#[derive(Debug, Clone)]
pub(super) struct Mortal {
    pub(super) memory: MemoryConnectors,
    pub(super) faults: Arc<Faults>,
}

#[derive(Debug)]
struct Reads(Arc<dyn Source>, Arc<Faults>);

#[derive(Debug)]
struct Writes(Arc<dyn Sink>, Arc<Faults>);

struct Epoch(Box<dyn SinkEpoch>, Arc<Faults>);

struct Writer(Box<dyn SinkWriter>, Arc<Faults>);

#[async_trait]
impl Connectors for Mortal {
    async fn source(&self, spec: &SourceSpec) -> Result<Arc<dyn Source>, RunError> {
        Ok(Arc::new(Reads(self.memory.source(spec).await?, Arc::clone(&self.faults))))
    }

    async fn table(&self, spec: &TableSpec) -> Result<Arc<dyn LookupTable>, RunError> {
        self.memory.table(spec).await
    }

    async fn sink(&self, spec: &SinkSpec) -> Result<Arc<dyn Sink>, RunError> {
        Ok(Arc::new(Writes(self.memory.sink(spec).await?, Arc::clone(&self.faults))))
    }
}

#[async_trait]
impl Source for Reads {
    async fn next_range(&self, from: Option<&Position>, limits: EpochLimits) -> Result<Option<SourceRange>, RunError> {
        self.1.step()?;
        self.0.next_range(from, limits).await
    }

    async fn splits(&self, range: &SourceRange) -> Result<Vec<Split>, RunError> {
        self.1.step()?;
        self.0.splits(range).await
    }

    async fn read(&self, split: &Split, batch_rows: usize) -> Result<BatchStream, RunError> {
        let faults = Arc::clone(&self.1);
        Ok(self.0.read(split, batch_rows).await?.map(move |batch| faults.step().and(batch)).boxed())
    }
}

#[async_trait]
impl Sink for Writes {
    async fn committed(&self, application: &str) -> Result<Option<u64>, RunError> {
        self.1.step()?;
        self.0.committed(application).await
    }

    async fn begin(&self, id: EpochId) -> Result<Box<dyn SinkEpoch>, RunError> {
        self.1.step()?;
        Ok(Box::new(Epoch(self.0.begin(id).await?, Arc::clone(&self.1))))
    }
}

#[async_trait]
impl SinkEpoch for Epoch {
    async fn writer(&self) -> Result<Box<dyn SinkWriter>, RunError> {
        Ok(Box::new(Writer(self.0.writer().await?, Arc::clone(&self.1))))
    }

    async fn commit(&self, written: Vec<Written>, quality: &[Judgement]) -> Result<Committed, RunError> {
        self.1.step()?;
        let committed = self.0.commit(written, quality).await?;
        // It is there, and nobody is told.
        self.1.step()?;
        Ok(committed)
    }

    async fn abort(&self, written: Vec<Written>) {
        self.0.abort(written).await;
    }
}

#[async_trait]
impl SinkWriter for Writer {
    async fn write(&mut self, batch: &RecordBatch) -> Result<(), RunError> {
        self.1.step()?;
        self.0.write(batch).await
    }

    async fn finish(self: Box<Self>) -> Result<Written, RunError> {
        self.1.step()?;
        self.0.finish().await
    }

    async fn abort(self: Box<Self>) {
        self.0.abort().await;
    }
}
