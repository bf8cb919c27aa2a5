//! Keeps the newest record of each key, and gives out how the rows change that records are about. What is kept of a key is its newest record, also of one that was
//! deleted: an older record that comes later must not bring it back. Where the history of each key is wanted ([`history`]), all records are kept instead. Knows nothing of
//! where records come from, nor of where what is kept is stored.

mod history;
mod record;
mod run;
mod stored;

pub(crate) use history::History;
pub(crate) use stored::kept_fields;
pub(super) use stored::stored_keys;

use super::Fault;
use super::aggregate::index::KeyIndex;
use super::kept::{KeptRows, Place, Stepwise, account, recalled};
use super::stateful::{Before, Changes, Emissions, Extent, Memory, Remembered, Stateful, Surroundings};
use crate::batch::Batch;
use crate::error::RunError;
use crate::keys::Keys;
use crate::spill::{Held, SpillBuffer};
use arrow::array::AsArray;
use arrow::datatypes::{DataType, Field as ArrowField, Schema as ArrowSchema, SchemaRef};
use flowc_ir::Schema;
use flowc_ir::arrow_types::to_arrow_schema;
use flowc_ir::graph;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The operator.
#[derive(Debug)]
pub(crate) struct Upsert {
    shape: Shape,
    surroundings: Surroundings,
    /// The records, by path and split; those of one come in order.
    records: Mutex<BTreeMap<(u32, u32), SpillBuffer>>,
    work: Mutex<Work>,
}

/// What does not change.
#[derive(Debug)]
struct Shape {
    spec: graph::Upsert,
    /// Of the records.
    input: SchemaRef,
    output: SchemaRef,
    /// Of what is kept: the row, the columns that order records or date them and are none of the row's, and whether it is deleted.
    kept: SchemaRef,
    /// Where they stand in a record, but for the last.
    columns: Vec<usize>,
    /// Where the columns that order records stand in what is kept.
    sequence: Vec<usize>,
    /// Where the time of a record stands in what is kept, where the history of each key is wanted.
    time: Option<usize>,
    /// The columns of the row that may be null in a record, and not in a row.
    required: Vec<usize>,
    /// Compares sequences; none: records come in order.
    order: Option<Keys>,
    /// Compares rows.
    rows: Keys,
}

/// What is at work in an epoch.
#[derive(Debug)]
struct Work {
    memory: Kept,
    held: Held,
    /// Rows from this number on are of this epoch.
    first: u64,
    /// The keys whose records are others than before the epoch.
    touched: Vec<Touched>,
}

/// A key with a new record.
#[derive(Debug, Clone, Copy)]
struct Touched {
    key: u32,
    /// The number of its record before the epoch.
    before: Option<u64>,
}

/// What is kept from epoch to epoch.
#[derive(Debug)]
struct Kept {
    records: KeptRows,
    keys: KeyIndex,
    /// The number of the record of each key.
    current: Vec<u64>,
}

impl Shape {
    fn new(spec: &graph::Upsert, input: &Schema, output: &Schema) -> Result<Shape, RunError> {
        let (columns, fields) = kept_fields(spec, input);
        let mut kept: Vec<ArrowField> =
            to_arrow_schema(&Schema::new(fields)).fields().iter().map(|field| ArrowField::clone(field)).collect();
        kept.push(stored::deleted());
        let place = |column: &usize| columns.iter().position(|other| other == column).unwrap_or(*column);
        let sequence: Vec<usize> = spec.sequence.iter().map(place).collect();
        let time = spec.history.as_ref().map(place);
        let types = |columns: &[usize]| columns.iter().map(|c| kept[*c].data_type().clone()).collect::<Vec<_>>();
        let order = (!sequence.is_empty()).then(|| Keys::new(types(&sequence).iter())).transpose()?;
        let rows = Keys::new(types(&(0..spec.width).collect::<Vec<_>>()).iter())?;
        let required = (0..spec.width).filter(|c| input.fields[*c].ty.nullable && !output.fields[*c].ty.nullable);
        Ok(Shape {
            spec: spec.clone(),
            input: to_arrow_schema(input),
            output: to_arrow_schema(output),
            required: required.collect(),
            kept: Arc::new(ArrowSchema::new(kept)),
            columns,
            sequence,
            time,
            order,
            rows,
        })
    }

    fn empty(&self) -> Result<Kept, RunError> {
        let types: Vec<DataType> = self.spec.keys.iter().map(|c| self.input.field(*c).data_type().clone()).collect();
        let records = KeptRows::new(Arc::clone(&self.kept), true);
        Ok(Kept { records, keys: KeyIndex::new(&types, false)?, current: vec![] })
    }
}

impl Kept {
    fn bytes(&self) -> usize {
        self.records.bytes() + self.keys.bytes() + self.current.capacity() * size_of::<u64>()
    }

    /// Where the record of this number is, if it is there and not deleted.
    fn present(&self, record: u64) -> Option<Place> {
        let place = self.records.locate(record)?;
        let (batch, row) = self.records.row(place);
        let deleted = batch.columns().last().and_then(|column| column.as_boolean_opt());
        Some(place).filter(|_| deleted.is_none_or(|deleted| !deleted.value(row)))
    }

    /// Makes a record the newest of its key; the number of the one before it.
    fn put(&mut self, key: u32, record: u64) -> Option<u64> {
        if key as usize == self.current.len() {
            if self.current.len() == self.current.capacity() {
                self.current.reserve_exact((self.current.len() / 4).max(64));
            }
            self.current.push(record);
            return None;
        }
        let before = std::mem::replace(&mut self.current[key as usize], record);
        if let Some(place) = self.records.locate(before) {
            self.records.flag(place);
        }
        Some(before)
    }
}

impl Upsert {
    /// For records and rows of these schemas. Fails if `before` is of another form of the program, or does not fit the memory.
    pub(crate) fn new(
        spec: &graph::Upsert,
        (input, output): (&Schema, &Schema),
        surroundings: Surroundings,
        before: Before,
    ) -> Result<Upsert, RunError> {
        let shape = Shape::new(spec, input, output)?;
        let mut memory = recalled(before, &spec.name, || shape.empty(), |stored| stored::restore(&shape, &stored))?;
        memory.records.begin();
        let budget = &surroundings.budget;
        let mut held = Held::new(budget.clone());
        account(&mut held, budget, memory.bytes(), &spec.name)?;
        let work = Work { first: memory.records.next_id(), memory, held, touched: vec![] };
        Ok(Upsert { shape, surroundings, records: Mutex::default(), work: Mutex::new(work) })
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stateful for Upsert {
    fn push(&self, _worker: usize, _input: usize, batch: Batch) -> Result<(), Fault> {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let budget = || self.surroundings.budget.clone();
        let place = (batch.order.path, batch.order.split);
        let buffer = records.entry(place).or_insert_with(|| SpillBuffer::leaving_half(budget()));
        Ok(buffer.push(batch.data)?)
    }

    fn finish(&self, _watermark: Option<i64>) -> Result<Emissions<'_>, Fault> {
        let records = std::mem::take(&mut *self.records.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(run::Run::new(self, records).emissions())
    }

    fn changes(&self, extent: Extent) -> Result<Changes, RunError> {
        stored::changes(&self.work().memory.records, extent)
    }

    fn remembered(&self) -> Remembered {
        let memory = &self.work().memory;
        let (entries, bytes) = (memory.current.len() as u64, memory.bytes() as u64);
        Remembered { unit: "keys".into(), entries, bytes, ..Remembered::default() }
    }

    fn take_memory(&self) -> Memory {
        let mut work = self.work();
        match self.shape.empty() {
            Ok(empty) => Box::new(std::mem::replace(&mut work.memory, empty)),
            // It was made before, so it can be made. What is no memory is refused by the next epoch.
            Err(_) => Box::new(()),
        }
    }
}

#[cfg(test)]
mod tests;
