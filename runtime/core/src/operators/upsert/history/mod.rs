//! Keeps all records of each key by the time since when they hold, and gives out what became of its row when: a record that comes late goes in between its neighbours,
//! and what follows it comes out again. Deletes are kept like others, also where there was nothing to delete: what comes late before them ends with them. Knows nothing
//! of where records come from, nor of how a table keeps versions.

mod run;

use super::super::Fault;
use super::super::aggregate::index::KeyIndex;
use super::super::kept::{KeptRows, Place, Stepwise, account, damaged, recalled};
use super::super::stateful::{Before, Changes, Emissions, Extent, Memory, Remembered, Stateful, Stored, Surroundings};
use super::{Shape, stored};
use crate::batch::Batch;
use crate::error::RunError;
use crate::operators::internal;
use crate::spill::{Held, SpillBuffer};
use arrow::array::{ArrayRef, AsArray, PrimitiveArray};
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use flowc_ir::{Schema, graph};
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The operator.
#[derive(Debug)]
pub(crate) struct History {
    shape: Shape,
    /// Where the time stands in what is kept.
    time: usize,
    surroundings: Surroundings,
    /// The records, by path and split; those of one come in order.
    records: Mutex<BTreeMap<(u32, u32), SpillBuffer>>,
    work: Mutex<Work>,
}

/// What is at work in an epoch.
#[derive(Debug)]
struct Work {
    memory: Kept,
    held: Held,
    /// Rows from this number on are of this epoch.
    first: u64,
    /// The times of keys at which others hold than before the epoch.
    touched: Vec<Moment>,
}

/// A time of a key at which something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Moment {
    key: u32,
    time: i64,
    /// The number of the record of this time that was known before the epoch, and is not the same any more.
    before: Option<u64>,
}

/// A record of a key, by its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    time: i64,
    record: u64,
}

/// The records of a key, ascending, each time once; most keys have few.
type Line = SmallVec<[Entry; 1]>;

/// What is kept from epoch to epoch.
#[derive(Debug)]
struct Kept {
    records: KeptRows,
    keys: KeyIndex,
    /// By key.
    lines: Vec<Line>,
    /// The records in all lines.
    entries: usize,
}

impl Kept {
    fn empty(shape: &Shape) -> Result<Kept, RunError> {
        let types: Vec<DataType> = shape.spec.keys.iter().map(|c| shape.input.field(*c).data_type().clone()).collect();
        let records = KeptRows::new(Arc::clone(&shape.kept), true);
        Ok(Kept { records, keys: KeyIndex::new(&types, false)?, lines: vec![], entries: 0 })
    }

    fn bytes(&self) -> usize {
        // Lines of several records have room of their own, of which a quarter is empty on the average.
        let lists = self.entries.saturating_sub(self.lines.len()) * size_of::<Entry>() * 4 / 3;
        self.records.bytes() + self.keys.bytes() + self.lines.capacity() * size_of::<Line>() + lists
    }

    /// The records of a key.
    fn line(&self, key: u32) -> &[Entry] {
        self.lines.get(key as usize).map_or(&[], |line| line.as_slice())
    }

    /// The record of a key that holds since this time.
    fn at(&self, key: u32, time: i64) -> Option<u64> {
        let line = self.line(key);
        line.binary_search_by_key(&time, |entry| entry.time).ok().map(|place| line[place].record)
    }

    /// Makes a record the one of its key and time; the number of the one before it.
    fn put(&mut self, key: u32, entry: Entry) -> Option<u64> {
        if self.lines.len() <= key as usize {
            if self.lines.capacity() <= key as usize {
                self.lines.reserve_exact((self.lines.len() / 4).max(64).max(key as usize + 1 - self.lines.len()));
            }
            self.lines.resize_with(key as usize + 1, Line::new);
        }
        let line = &mut self.lines[key as usize];
        match line.binary_search_by_key(&entry.time, |known| known.time) {
            Ok(place) => {
                let before = std::mem::replace(&mut line[place].record, entry.record);
                if let Some(place) = self.records.locate(before) {
                    self.records.flag(place);
                }
                Some(before)
            }
            Err(place) => {
                line.insert(place, entry);
                self.entries += 1;
                None
            }
        }
    }

    /// Where the row of this record is; none: the record deletes it.
    fn present(&self, record: u64) -> Option<Place> {
        let place = self.records.locate(record)?;
        let (batch, row) = self.records.row(place);
        let deleted = batch.columns().last().and_then(|column| column.as_boolean_opt());
        Some(place).filter(|_| deleted.is_none_or(|deleted| !deleted.value(row)))
    }
}

fn times(column: &ArrayRef) -> Result<&PrimitiveArray<TimestampMicrosecondType>, RunError> {
    column.as_primitive_opt().ok_or_else(|| internal("the time of a record is no timestamp"))
}

fn restore(shape: &Shape, time: usize, stored: &Stored) -> Result<Kept, RunError> {
    let name = &shape.spec.name;
    let mut memory = Kept::empty(shape)?;
    stored::restore_records(&mut memory.records, name, stored)?;
    let Kept { records, keys, lines, entries } = &mut memory;
    for (batch, _, numbers) in records.chunks() {
        let columns: Vec<ArrayRef> = shape.spec.keys.iter().map(|column| Arc::clone(batch.column(*column))).collect();
        let (encoded, times) = (keys.encode(&columns, batch.num_rows())?, times(batch.column(time))?);
        for row in (0..batch.num_rows()).filter(|row| records.holds(numbers.get(*row))) {
            let key = keys.insert(&encoded, row, 0)? as usize;
            if key == lines.len() {
                lines.push(Line::new());
            }
            lines[key].push(Entry { time: times.value(row), record: numbers.get(row) });
            *entries += 1;
        }
    }
    for line in lines.iter_mut() {
        line.sort_unstable();
        if line.windows(2).any(|pair| pair[0].time == pair[1].time) {
            return Err(damaged(name));
        }
    }
    Ok(memory)
}

impl History {
    /// For records and rows of these schemas. Fails if `before` is of another form of the program, or does not fit the memory.
    pub(crate) fn new(
        spec: &graph::Upsert,
        (input, output): (&Schema, &Schema),
        surroundings: Surroundings,
        before: Before,
    ) -> Result<History, RunError> {
        let shape = Shape::new(spec, input, output)?;
        let time = shape.time.ok_or_else(|| internal("a history without a time"))?;
        let mut memory = recalled(before, &spec.name, || Kept::empty(&shape), |stored| restore(&shape, time, &stored))?;
        memory.records.begin();
        let budget = &surroundings.budget;
        let mut held = Held::new(budget.clone());
        account(&mut held, budget, memory.bytes(), &spec.name)?;
        let work = Work { first: memory.records.next_id(), memory, held, touched: vec![] };
        Ok(History { shape, time, surroundings, records: Mutex::default(), work: Mutex::new(work) })
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stateful for History {
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
        let (entries, bytes) = (memory.entries as u64, memory.bytes() as u64);
        Remembered { unit: "records".into(), entries, bytes, ..Remembered::default() }
    }

    fn take_memory(&self) -> Memory {
        let mut work = self.work();
        match Kept::empty(&self.shape) {
            Ok(empty) => Box::new(std::mem::replace(&mut work.memory, empty)),
            // It was made before, so it can be made. What is no memory is refused by the next epoch.
            Err(_) => Box::new(()),
        }
    }
}

#[cfg(test)]
mod tests;
