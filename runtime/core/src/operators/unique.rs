//! Tells of each row whether it is the first of its key, or the first within a duration: a boolean column behind the others. What is first is decided in the
//! order of the input, whoever pushes rows, so they wait until all of an epoch are there; what was kept is remembered for the next epoch. Knows nothing of
//! where that is stored.
//!
//! With a duration `D` and a watermark that lies a delay behind the greatest event time seen, a kept row at `k` matters to rows from `k - D` to `k + D`. Once
//! the watermark is past `k + D`, they are all late: at the end of that epoch it is forgotten. A late row is judged like any other, by what is remembered;
//! one that is kept is forgotten with its epoch. So what is remembered follows from the greatest event time, and a forgotten row needs no record.

use super::kept::{Horizon, KeyTimes, TooMany, drained};
use super::spilled::{StoredKeys, carrying};
use super::stateful::{
    Before, Changes, Emissions, Emitted, Extent, Memory, Remembered, Stateful, Stored, Surroundings,
};
use super::{Fault, internal};
use crate::batch::Batch;
use crate::error::RunError;
use crate::keys::Keys;
use crate::spill::{Budget, Held, SpillBuffer};
use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Int64Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema as ArrowSchema, SchemaRef, TimestampMicrosecondType};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use flowc_ir::Schema;
use flowc_ir::arrow_types::{to_arrow, to_arrow_schema};
use flowc_ir::graph;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The name under which the schema of a segment says which types its keys have.
const KEY_TYPES: &str = "key";
/// The name of the note that says the greatest event time seen. A segment of the first version of the format says it in its schema.
const LATEST: &str = "latest";

/// The operator.
#[derive(Debug)]
pub struct Unique {
    spec: graph::Unique,
    /// Of the rows that come out.
    schema: SchemaRef,
    budget: Budget,
    /// The rows, by path and split; those of one come in order.
    rows: Mutex<BTreeMap<(u32, u32), SpillBuffer>>,
    work: Mutex<Work>,
}

/// What is at work in an epoch.
#[derive(Debug)]
struct Work {
    kept: Kept,
    held: Held,
}

/// The rows that were the first of their keys: what is kept from epoch to epoch.
#[derive(Debug)]
struct Kept {
    keys: Keys,
    /// The types of the keys.
    types: String,
    times: KeyTimes,
    /// The greatest event time seen.
    latest: Option<i64>,
}

/// The name of what a rule remembers.
pub(crate) fn name(spec: &graph::Unique) -> String {
    format!("{}/{}", spec.flow, spec.rule)
}

/// Where a stored batch has its keys.
pub(super) fn stored_keys() -> StoredKeys {
    StoredKeys::Encoded
}

fn named(types: &[DataType]) -> String {
    format!("{types:?}")
}

impl Unique {
    /// `output`: of the rows that come out. Fails if `before` is of another form of the rule, or does not fit the memory.
    pub(crate) fn new(
        spec: &graph::Unique,
        output: &Schema,
        surroundings: Surroundings,
        before: Before,
    ) -> Result<Unique, RunError> {
        // The answer stands behind all columns of the input, those that are only carried along too.
        let output = carrying(output, output.fields.len().saturating_sub(1), surroundings.carried);
        let (schema, budget) = (to_arrow_schema(&output), surroundings.budget);
        let types: Vec<DataType> = spec.keys.iter().map(|c| schema.field(*c).data_type().clone()).collect();
        let mut kept = Kept::new(&types)?;
        match before.read()? {
            Before::Nothing | Before::Unread(_) => {}
            Before::Stored(stored) => kept.restore(spec, &stored)?,
            Before::Memory(memory) => match memory.downcast::<Kept>() {
                Ok(memory) if memory.types == kept.types => kept = *memory,
                Ok(_) => return Err(other_columns(spec)),
                Err(_) => return Err(internal("`unique` finds another operator's memory")),
            },
        }
        kept.times.begin(kept.forgotten(spec));
        let work = Mutex::new(Work { kept, held: Held::new(budget.clone()) });
        let unique = Unique { spec: spec.clone(), schema, budget, rows: Mutex::default(), work };
        unique.account(&mut unique.work())?;
        Ok(unique)
    }

    /// All sources have reached this event time, whatever their rows say: what matches no row that is on time is forgotten.
    pub(crate) fn advanced(self, watermark: Option<i64>) -> Unique {
        if let (Some(to), Some(_), Some(delay)) = (watermark, self.spec.within, self.spec.delay) {
            let kept = &mut self.work().kept;
            kept.latest = kept.latest.max(Some(to.saturating_add(delay)));
            kept.times.begin(kept.forgotten(&self.spec));
        }
        self
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers for the memory that is used.
    fn account(&self, work: &mut Work) -> Result<(), RunError> {
        match work.held.grow_to(work.kept.times.bytes()) {
            true => Ok(()),
            false => Err(self.overflow(&format!("the {} MiB of --memory", self.budget.total >> 20))),
        }
    }

    fn overflow(&self, what: &str) -> RunError {
        self.budget.overflow(&name(&self.spec));
        let text = format!("the keys that the rule `{}` has to remember do not fit {what}", self.spec.rule);
        RunError::data("R0115", text).help("nothing was committed; raise --memory, or shorten `within`")
    }

    /// The rows again, each with whether it is the first.
    fn judged(&self, batch: &RecordBatch) -> Result<RecordBatch, RunError> {
        let (spec, mut work) = (&self.spec, self.work());
        let kept = &mut work.kept;
        let columns: Vec<ArrayRef> = spec.keys.iter().map(|c| Arc::clone(batch.column(*c))).collect();
        let rows = kept.keys.encode(&columns)?;
        let time = spec.time.map(|c| batch.column(c).as_primitive::<TimestampMicrosecondType>());
        let reach = spec.within.filter(|_| time.is_some()).map(|within| (within, within));
        let mut first = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            let at = time.filter(|t| t.is_valid(row)).map(|t| t.value(row));
            // A row without a time is neither before nor after another: it does not pass.
            let passes = (time.is_none() || at.is_some())
                && (kept.times)
                    .keep_first(rows.row(row).data(), at.unwrap_or(0), reach)
                    .map_err(|TooMany| self.overflow("four billion"))?;
            first.push(passes);
            kept.latest = kept.latest.max(at);
        }
        self.account(&mut work)?;
        let mut columns = batch.columns().to_vec();
        columns.push(Arc::new(BooleanArray::from(first)));
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options).map_err(internal)
    }
}

/// The error for a state of other keys.
fn other_columns(spec: &graph::Unique) -> RunError {
    let text = format!("the rule `{}` compares other columns than those that its state remembers", spec.rule);
    RunError::data("R0408", text).help(
        "give the rule another name to begin with an empty memory, or compute everything again with --full-refresh",
    )
}

impl Kept {
    fn new(types: &[DataType]) -> Result<Kept, RunError> {
        Ok(Kept { keys: Keys::new(types.iter())?, types: named(types), times: KeyTimes::new(), latest: None })
    }

    /// What lies so far behind the watermark that it matches no row that is on time.
    fn forgotten(&self, spec: &graph::Unique) -> Horizon {
        Horizon::Before(match (self.latest, spec.within, spec.delay) {
            (Some(latest), Some(within), Some(delay)) => latest.saturating_sub(delay).saturating_sub(within),
            _ => i64::MIN,
        })
    }

    /// What is kept, or what was kept since it was stored.
    fn segments(&self, whole: bool, forgotten: Horizon) -> Result<Vec<RecordBatch>, RunError> {
        let kept = self.times.kept(whole, forgotten);
        let metadata = HashMap::from([(KEY_TYPES.to_string(), self.types.clone())]);
        let fields = vec![Field::new("key", DataType::Binary, false), Field::new("time", DataType::Int64, false)];
        let schema = Arc::new(ArrowSchema::new_with_metadata(fields, metadata));
        let segment = |kept: &[(u32, i64)]| {
            let keys = BinaryArray::from_iter_values(kept.iter().map(|(key, _)| self.times.key(*key)));
            let times = Int64Array::from_iter_values(kept.iter().map(|(_, time)| *time));
            RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(keys), Arc::new(times)]).map_err(internal)
        };
        self.times.cut(&kept).into_iter().map(|part| segment(&kept[part])).collect()
    }

    fn restore(&mut self, spec: &graph::Unique, stored: &Stored) -> Result<(), RunError> {
        let time = |text: &String| text.parse::<i64>().ok();
        let schemas = stored.segments.iter().map(|segment| segment.schema_ref().metadata());
        let latest = schemas.clone().filter_map(|facts| facts.get(LATEST)).filter_map(time);
        self.latest = latest.chain(stored.notes.get(LATEST).and_then(time)).max();
        if schemas.clone().any(|facts| facts.get(KEY_TYPES) != Some(&self.types)) {
            return Err(other_columns(spec));
        }
        let (forgotten, damaged) =
            (self.forgotten(spec), || internal("what `unique` remembers was stored with other columns"));
        self.times.begin(forgotten);
        for segment in &stored.segments {
            let column = |at: usize| segment.columns().get(at).ok_or_else(damaged);
            let keys = column(0)?.as_binary_opt::<i32>().ok_or_else(damaged)?;
            let times = column(1)?.as_primitive_opt::<Int64Type>().ok_or_else(damaged)?;
            for (key, time) in keys.iter().zip(times.values()).filter(|(_, time)| !forgotten.passed(**time)) {
                self.times.restore(key.ok_or_else(damaged)?, *time).map_err(|TooMany| damaged())?;
            }
        }
        Ok(())
    }
}

/// Whether what was stored is of keys of the types that the rule compares now.
pub(crate) fn fits(spec: &graph::Unique, input: &Schema, stored: &Stored) -> bool {
    let types: Vec<DataType> = spec.keys.iter().map(|c| to_arrow(&input.fields[*c].ty.data)).collect();
    let of = |segment: &RecordBatch| segment.schema().metadata().get(KEY_TYPES) == Some(&named(&types));
    stored.segments.last().is_none_or(of)
}

/// What was stored with keys of some types, with keys of others: `from` says for each new one the old one, which is the same or widens to it.
pub(crate) fn rekeyed(
    stored: &RecordBatch,
    old: &[DataType],
    new: &[DataType],
    from: &[usize],
) -> Result<RecordBatch, RunError> {
    let Some(keys) = stored.columns().first().and_then(|keys| keys.as_binary_opt::<i32>()) else {
        return Err(internal("what `unique` remembers was stored with other columns"));
    };
    let columns = Keys::new(old.iter())?.decode(keys.iter().flatten())?;
    let widened = |(from, to): (&usize, &DataType)| crate::upgrade::widened(&columns[*from], to);
    let columns = from.iter().zip(new).map(widened).collect::<Result<Vec<_>, _>>()?;
    let encoded = Keys::new(new.iter())?.encode(&columns)?;
    let keys = BinaryArray::from_iter_values(encoded.iter().map(|row| row.data().to_vec()));
    let schema = stored.schema();
    let mut metadata = schema.metadata().clone();
    metadata.insert(KEY_TYPES.to_string(), named(new));
    let schema = Arc::new(ArrowSchema::new_with_metadata(schema.fields().clone(), metadata));
    let mut columns: Vec<ArrayRef> = vec![Arc::new(keys)];
    columns.extend_from_slice(&stored.columns()[1..]);
    RecordBatch::try_new(schema, columns).map_err(internal)
}

impl Stateful for Unique {
    fn push(&self, _worker: usize, _input: usize, batch: Batch) -> Result<(), Fault> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (batch.order.path, batch.order.split);
        let buffer = rows.entry(place).or_insert_with(|| SpillBuffer::leaving_half(self.budget.clone()));
        Ok(buffer.push(batch.data)?)
    }

    fn finish(&self, _watermark: Option<i64>) -> Result<Emissions<'_>, Fault> {
        let rows = std::mem::take(&mut *self.rows.lock().unwrap_or_else(PoisonError::into_inner));
        let batches = drained(rows.into_values());
        Ok(Box::new(batches.map(move |batch| Ok(Emitted::Rows(self.judged(&batch?)?)))))
    }

    fn changes(&self, extent: Extent) -> Result<Changes, RunError> {
        let kept = &self.work().kept;
        let forgotten = kept.forgotten(&self.spec);
        let whole = extent.whole(kept.times.fresh(), kept.times.live(forgotten));
        let notes = kept.latest.map(|latest| (LATEST.to_string(), latest.to_string()));
        let segments = kept.segments(whole, forgotten)?;
        Ok(Changes { whole, notes: notes.into_iter().collect(), segments, more: None })
    }

    fn remembered(&self) -> Remembered {
        let kept = &self.work().kept;
        let (entries, bytes) = (kept.times.live(kept.forgotten(&self.spec)) as u64, kept.times.bytes() as u64);
        Remembered { unit: "keys".into(), entries, bytes, ..Remembered::default() }
    }

    fn take_memory(&self) -> Memory {
        let keys: Vec<DataType> = self.spec.keys.iter().map(|c| self.schema.field(*c).data_type().clone()).collect();
        match Kept::new(&keys) {
            Ok(empty) => Box::new(std::mem::replace(&mut self.work().kept, empty)),
            // It was made before, so it can be made. What is no memory is refused by the next epoch.
            Err(_) => Box::new(()),
        }
    }
}

#[cfg(test)]
#[path = "unique_tests.rs"]
mod tests;
