//! Lookups of an epoch: reads versions of tables into memory, for rows to be looked up in. Knows what the epoch has pinned; nothing of how rows are matched.

use crate::cancel::Cancel;
use crate::connector::{LookupTable, Position};
use crate::epoch::{EpochRun, Halt};
use crate::error::RunError;
use crate::flow::Station;
use crate::jobs::located;
use crate::operators::lookup::as_of::AsOf;
use crate::operators::lookup::{Lookup, Matching};
use crate::spill::{Held, batch_bytes};
use crate::state::EpochRecord;
use arrow::record_batch::RecordBatch;
use flowc_ir::arrow_types::to_arrow_schema;
use flowc_ir::eval::EvalContext;
use flowc_ir::graph::{self, Node, NodeId};
use flowc_ir::plan::{KernelSlot, TableSpec};
use futures::StreamExt;
use std::sync::Arc;

/// Reads versions of a table.
#[derive(Debug)]
pub(crate) struct TableReader {
    pub(crate) table: Arc<dyn LookupTable>,
    /// Names it in messages.
    pub(crate) name: String,
    pub(crate) origin: flowc_ir::Origin,
    pub(crate) batch_rows: usize,
    /// Bytes of `--memory`, for messages.
    pub(crate) memory: usize,
    pub(crate) cancel: Cancel,
}

impl TableReader {
    /// Of a declared table.
    pub(crate) fn new(
        spec: &TableSpec,
        table: &Arc<dyn LookupTable>,
        (batch_rows, memory): (usize, usize),
        cancel: &Cancel,
    ) -> TableReader {
        let (name, table, cancel) = (spec.name.clone(), Arc::clone(table), cancel.clone());
        TableReader { table, name, origin: spec.origin, batch_rows, memory, cancel }
    }

    /// All rows of a version. `room` is asked for so many bytes in all before more is kept; none: it said no.
    pub(crate) async fn rows(
        &self,
        version: &Position,
        mut room: impl FnMut(usize) -> bool,
    ) -> Result<Option<Vec<RecordBatch>>, Halt> {
        let at = |error| located(error, self.origin);
        let (mut rows, mut bytes) = (vec![], 0);
        for split in self.table.splits(version).await.map_err(at)? {
            let mut stream = self.table.read(&split, self.batch_rows).await.map_err(at)?;
            while let Some(batch) = self.interruptible(stream.next()).await? {
                let batch = batch.map_err(at)?;
                bytes += batch_bytes(&batch);
                if !room(bytes) {
                    return Ok(None);
                }
                rows.push(batch);
            }
        }
        Ok(Some(rows))
    }

    async fn interruptible<T>(&self, work: impl Future<Output = T>) -> Result<T, Halt> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(Halt::Cancelled),
            done = work => Ok(done),
        }
    }

    /// A version of it exceeds the memory.
    pub(crate) fn too_large(&self) -> RunError {
        let (name, mib) = (&self.name, self.memory >> 20);
        RunError::data(
            "R0111",
            format!("the table `{name}` that rows are looked up in does not fit the {mib} MiB of --memory"),
        )
        .help("nothing was committed; raise --memory, or look up in a smaller table")
        .at(self.origin)
    }
}

impl EpochRun {
    /// A lookup in the table's pinned version, or in those before it.
    pub(crate) async fn lookup(
        &self,
        node: &Node,
        id: NodeId,
        spec: &graph::Lookup,
        record: &EpochRecord,
        context: EvalContext,
    ) -> Result<Station, Halt> {
        let residual = spec.residual.is_some().then(|| self.kernel(KernelSlot::Residual(id))).transpose()?;
        let kernels = (self.kernel(KernelSlot::Prepare(id))?, residual);
        let (options, budget) = (&self.options, &self.budget);
        let shape = (to_arrow_schema(&node.schema), options.batch_rows.max(1));
        let matching = Matching::new(id, spec, kernels, context, shape)?;
        let table = &self.executable.plan.tables[spec.table.0 as usize];
        let Some(pin) = record.tables.get(&table.name) else {
            let text = format!("epoch {} was planned without the table `{}`", record.epoch, table.name);
            let help =
                "the program changed while an epoch was unfinished: run the old one once more, or --full-refresh";
            return Err(RunError::data("R0407", text).help(help).at(table.origin).into());
        };
        let source = &self.world.tables[spec.table.0 as usize];
        let reader = TableReader::new(table, source, (options.batch_rows.max(1), options.memory), &options.cancel);
        if let Some(time) = spec.as_of {
            let history = source.history(pin).await.map_err(|e| located(e, table.origin))?;
            return Ok(Station::AsOf(Box::new(AsOf::new(matching, time, history, reader, budget))));
        }
        let mut held = Held::new(budget.clone());
        let rows = reader.rows(pin, |bytes| held.grow_to(bytes)).await?.ok_or_else(|| reader.too_large())?;
        let mut snapshot = matching.snapshot(&rows).map_err(|fault| self.halt(fault, "the table", context))?;
        if !held.grow_to(snapshot.bytes()) {
            return Err(reader.too_large().into());
        }
        snapshot.hold([held]);
        Ok(Station::Stateless(Box::new(Lookup { matching, snapshot: Arc::new(snapshot) })))
    }
}
