//! A world that is looked at and left as it is: of each source some rows are read, what is written stays in memory. Knows nothing of what the rows are wanted for.

use crate::connector::*;
use crate::connectors::generate::GenerateSource;
use crate::connectors::memory::MemoryConnectors;
use crate::error::RunError;
use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use flowc_ir::Schema;
use flowc_ir::arrow_types::to_arrow_schema;
use flowc_ir::plan::{Connector, SinkSpec, SourceSpec, TableSpec};
use futures::TryStreamExt;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Rows of a split of what is in memory.
const SPLIT_ROWS: usize = 8192;

/// What was read of a source, or of a table that is read like one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sampled {
    /// Its name.
    pub name: String,
    /// How many rows.
    pub rows: usize,
    /// Whether there are more.
    pub more: bool,
}

/// Sources of which the first rows are there, tables as they are, and sinks in memory.
pub struct SampleConnectors {
    inner: Arc<dyn Connectors>,
    memory: MemoryConnectors,
    whole: BTreeSet<String>,
    limit: usize,
    sampled: Mutex<Vec<Sampled>>,
}

impl fmt::Debug for SampleConnectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SampleConnectors")
            .field("limit", &self.limit)
            .field("whole", &self.whole)
            .finish_non_exhaustive()
    }
}

impl SampleConnectors {
    /// At most `limit` rows of each source and table that `inner` has; all of those whose names are in `whole`.
    pub fn new(inner: Arc<dyn Connectors>, limit: usize, whole: BTreeSet<String>) -> Self {
        let memory = MemoryConnectors::new(SPLIT_ROWS);
        SampleConnectors { inner, memory, whole, limit: limit.max(1), sampled: Mutex::default() }
    }

    /// The rows that a sink holds.
    pub fn written(&self, sink: &str) -> Vec<RecordBatch> {
        self.memory.written(sink)
    }

    /// What was read.
    pub fn sampled(&self) -> Vec<Sampled> {
        self.sampled.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, name: &str, rows: usize, more: bool) {
        let sampled = Sampled { name: name.to_string(), rows, more };
        self.sampled.lock().unwrap_or_else(PoisonError::into_inner).push(sampled);
    }

    /// Takes the first rows of a source into memory.
    async fn take(&self, spec: &SourceSpec, source: &dyn Source) -> Result<(), RunError> {
        let (mut rows, mut malformed) = (Taken::new(self.limit), Taken::new(self.limit));
        let limits = EpochLimits { rows: Some(self.limit as u64), ..EpochLimits::NONE };
        let mut from = None;
        'ranges: while let Some(range) = source.next_range(from.as_ref(), limits).await? {
            for split in source.splits(&range).await? {
                let mut parts = source.read_parts(&split, self.limit.min(SPLIT_ROWS)).await?;
                while let Some(part) = parts.try_next().await? {
                    match part {
                        Part::Rows(batch) => rows.add(&batch),
                        Part::Malformed(batch) => malformed.add(&batch),
                        Part::Skipped(_) => {}
                    }
                    if rows.more {
                        break 'ranges;
                    }
                }
            }
            from = Some(range.to);
        }
        self.note(&spec.name, rows.count, rows.more);
        if let Some(found) = malformed.whole()? {
            self.memory.add_malformed(&spec.name, found)?;
        }
        match rows.whole()? {
            Some(found) => self.memory.commit_rows(&spec.name, without_commits(found, spec)?, 0),
            None => Ok(()),
        }
    }
}

/// The rows without the time of their commits: rows in memory have one of their own.
fn without_commits(mut rows: RecordBatch, spec: &SourceSpec) -> Result<RecordBatch, RunError> {
    let at = spec.committed.as_ref().and_then(|name| rows.schema().index_of(name).ok());
    if let Some(at) = at {
        rows.remove_column(at);
    }
    Ok(rows)
}

/// Rows up to a limit.
struct Taken {
    batches: Vec<RecordBatch>,
    count: usize,
    limit: usize,
    /// Whether there were more.
    more: bool,
}

impl Taken {
    fn new(limit: usize) -> Self {
        Taken { batches: vec![], count: 0, limit, more: false }
    }

    fn add(&mut self, batch: &RecordBatch) {
        let rows = batch.num_rows().min(self.limit - self.count);
        self.more |= rows < batch.num_rows();
        self.count += rows;
        if rows > 0 {
            self.batches.push(batch.slice(0, rows));
        }
    }

    /// As one batch; none: there is no row.
    fn whole(self) -> Result<Option<RecordBatch>, RunError> {
        let Some(first) = self.batches.first() else { return Ok(None) };
        let all = concat_batches(&first.schema(), &self.batches);
        all.map(Some).map_err(|e| crate::operators::internal(format!("rows of a sample: {e}")))
    }
}

fn no_rows(schema: &Schema) -> RecordBatch {
    RecordBatch::new_empty(to_arrow_schema(schema))
}

#[async_trait]
impl Connectors for SampleConnectors {
    async fn source(&self, spec: &SourceSpec) -> Result<Arc<dyn Source>, RunError> {
        if let Connector::Generate { rows, seed, .. } = spec.connector {
            // Nobody waits for rows that have not come yet.
            let limit = self.limit as u64;
            let taken = rows.map_or(limit, |rows| rows.min(limit));
            self.note(&spec.name, taken as usize, rows.is_none_or(|rows| rows > limit));
            return Ok(Arc::new(GenerateSource::new(spec.schema.clone(), Some(taken), None, seed)));
        }
        let source = self.inner.source(spec).await?;
        if self.whole.contains(&spec.name) {
            return Ok(source);
        }
        self.take(spec, source.as_ref()).await?;
        self.memory.source(spec).await
    }

    async fn table(&self, spec: &TableSpec) -> Result<Arc<dyn LookupTable>, RunError> {
        let table = self.inner.table(spec).await?;
        if self.whole.contains(&spec.name) {
            return Ok(table);
        }
        let mut taken = Taken::new(self.limit);
        'splits: for split in table.splits(&table.pin().await?).await? {
            let mut batches = table.read(&split, self.limit.min(SPLIT_ROWS)).await?;
            while let Some(batch) = batches.try_next().await? {
                taken.add(&batch);
                if taken.more {
                    break 'splits;
                }
            }
        }
        self.note(&spec.name, taken.count, taken.more);
        let rows = taken.whole()?.unwrap_or_else(|| no_rows(&spec.schema));
        self.memory.set_table(&spec.name, rows, 0);
        self.memory.table(spec).await
    }

    async fn sink(&self, spec: &SinkSpec) -> Result<Arc<dyn Sink>, RunError> {
        self.memory.sink(spec).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Unobserved;
    use crate::testing::{Planned, Row, batch_of, options, texts};

    #[tokio::test]
    async fn so_many_rows_are_read_and_the_world_stays_as_it_is() {
        let given: Vec<Row> = (0..7).map(|i| (i, Some(i as f64))).collect();
        for (limit, whole, wanted, more) in
            [(3, false, 3, true), (7, false, 7, false), (9, false, 7, false), (3, true, 7, false)]
        {
            let world = MemoryConnectors::new(2);
            given.chunks(4).for_each(|part| world.add_rows("in", batch_of(part)).unwrap());
            let mut planned = Planned::new();
            let source = planned.source("in");
            planned.sink("out", source, false);
            let whole: BTreeSet<String> = whole.then(|| "in".to_string()).into_iter().collect();
            let sample = Arc::new(SampleConnectors::new(Arc::new(world.clone()), limit, whole.clone()));
            let state = tempfile::tempdir().unwrap();
            let options = options(state.path(), 1, 3, None);
            crate::run(&planned.executable(), sample.clone(), options, Arc::new(Unobserved)).await.unwrap();
            let rows: Vec<String> = sample.written("out").iter().flat_map(texts).collect();
            assert_eq!(rows, texts(&batch_of(&given[..wanted])), "the first rows, in order");
            let told = Sampled { name: "in".into(), rows: wanted, more };
            assert_eq!(sample.sampled(), if whole.is_empty() { vec![told] } else { vec![] });
            assert!(world.written("out").is_empty());
        }
    }

    #[tokio::test]
    async fn a_source_without_rows_is_empty() {
        let world = MemoryConnectors::new(2);
        let mut planned = Planned::new();
        let source = planned.source("in");
        planned.sink("out", source, false);
        let sample = Arc::new(SampleConnectors::new(Arc::new(world), 5, BTreeSet::new()));
        let state = tempfile::tempdir().unwrap();
        crate::run(&planned.executable(), sample.clone(), options(state.path(), 1, 3, None), Arc::new(Unobserved))
            .await
            .unwrap();
        assert!(sample.written("out").is_empty());
        assert_eq!(sample.sampled(), [Sampled { name: "in".into(), rows: 0, more: false }]);
    }
}
