//! The end of an epoch, step by step: records are read in their order, a batch at a time, and the newest of each key is kept; then the rows come out that have
//! become others.

use super::super::Fault;
use super::super::kept::{Place, Stepwise, account, drained, taken};
use super::super::stateful::Emitted;
use super::record::said;
use super::{Kept, Touched, Upsert, Work};
use crate::error::RunError;
use crate::spill::SpillBuffer;
use arrow::array::{ArrayRef, Int64Array};
use arrow::record_batch::RecordBatch;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

#[derive(Debug, Clone, Copy)]
enum Phase {
    /// Records are read.
    Read,
    /// Rows come out: of the touched keys from this one on.
    Give(usize),
    Over,
}

/// See the module.
pub(super) struct Run<'a> {
    upsert: &'a Upsert,
    input: Box<dyn Iterator<Item = Result<RecordBatch, RunError>> + Send>,
    phase: Phase,
    out: VecDeque<Emitted>,
}

/// A record on its way: its key and its row in the batch.
type Candidate = (u32, u32);

impl<'a> Run<'a> {
    pub(super) fn new(upsert: &'a Upsert, records: BTreeMap<(u32, u32), SpillBuffer>) -> Run<'a> {
        Run { upsert, input: drained(records.into_values()), phase: Phase::Read, out: VecDeque::new() }
    }

    /// Keeps the newest records.
    fn read(&self, work: &mut Work, records: RecordBatch) -> Result<(), Fault> {
        let (shape, surroundings) = (&self.upsert.shape, &self.upsert.surroundings);
        let Some((records, deleted)) = said(shape, records, surroundings.epoch)? else { return Ok(()) };
        let columns = shape.columns.iter().map(|column| Arc::clone(records.column(*column))).collect::<Vec<_>>();
        let newest = self.newest(&mut work.memory, &columns, records.num_rows())?;
        let rows: Vec<u32> = newest.iter().map(|(_, row)| *row).collect();
        let columns = columns.into_iter().chain([Arc::new(deleted) as ArrayRef]).collect();
        let kept = taken(&RecordBatch::try_new(Arc::clone(&shape.kept), columns)?, rows)?;
        let count = kept.num_rows();
        let numbers = work.memory.records.add(kept, vec![0; count].into(), vec![false; count])?;
        for ((key, _), number) in newest.into_iter().zip(numbers) {
            let before = work.memory.put(key, number);
            // A key that has been touched already has a record of this epoch.
            if before.is_none_or(|before| before < work.first) {
                work.touched.push(Touched { key, before });
            }
        }
        Ok(account(&mut work.held, &surroundings.budget, work.memory.bytes(), &shape.spec.name)?)
    }

    /// The newest record of each key, by place, if none that is known is newer. `columns`: of what is kept.
    fn newest(&self, memory: &mut Kept, columns: &[ArrayRef], rows: usize) -> Result<Vec<Candidate>, Fault> {
        let shape = &self.upsert.shape;
        let keys: Vec<ArrayRef> = shape.spec.keys.iter().map(|column| Arc::clone(&columns[*column])).collect();
        let keys = memory.keys.assign(&memory.keys.encode(&keys, rows)?, &[])?;
        let mut order: Vec<Candidate> = keys.into_iter().zip(0..).collect();
        order.sort_unstable();
        let sequences = match &shape.order {
            None => None,
            Some(order) => {
                let columns: Vec<ArrayRef> = shape.sequence.iter().map(|c| Arc::clone(&columns[*c])).collect();
                Some((order, order.encode(&columns)?))
            }
        };
        let mut newest: Vec<Candidate> = vec![];
        for (key, row) in order {
            match newest.last_mut() {
                Some((last, newer)) if *last == key => {
                    let older = sequences.as_ref().is_some_and(|(_, s)| s.row(row as usize) < s.row(*newer as usize));
                    if !older {
                        *newer = row;
                    }
                }
                _ => newest.push((key, row)),
            }
        }
        if let Some((order, sequences)) = &sequences {
            let known =
                |(key, _): &Candidate| memory.current.get(*key as usize).and_then(|n| memory.records.locate(*n));
            let places: Vec<Place> = newest.iter().map(|key| known(key).unwrap_or(Place::NONE)).collect();
            let before = order.encode(&memory.records.gather_columns(&places, &shape.sequence)?)?;
            let is_newer = |place: usize, row: u32| {
                places[place] == Place::NONE || sequences.row(row as usize) >= before.row(place)
            };
            let mut place = 0;
            newest.retain(|(_, row)| {
                place += 1;
                is_newer(place - 1, *row)
            });
        }
        // Keys get their numbers as their first records come: those that are new have the next ones, in order.
        newest.sort_unstable();
        Ok(newest)
    }

    /// How the rows of these keys have changed.
    fn give(&self, memory: &Kept, touched: &[Touched]) -> Result<Option<Emitted>, Fault> {
        let shape = &self.upsert.shape;
        let row: Vec<usize> = (0..shape.spec.width).collect();
        let before = |touched: &Touched| touched.before.and_then(|record| memory.present(record));
        let now = |touched: &Touched| memory.present(memory.current[touched.key as usize]);
        let pairs: Vec<(Option<Place>, Option<Place>)> = touched.iter().map(|t| (before(t), now(t))).collect();
        let (old, new): (Vec<Place>, Vec<Place>) = pairs.iter().filter_map(|(old, new)| old.zip(*new)).unzip();
        let (old, new) = (memory.records.gather_columns(&old, &row)?, memory.records.gather_columns(&new, &row)?);
        let (old, new) = (shape.rows.encode(&old)?, shape.rows.encode(&new)?);
        let mut same = old.iter().zip(new.iter()).map(|(old, new)| old == new);
        let (mut places, mut weights) = (vec![], vec![]);
        for (old, new) in pairs {
            if old.is_some() && new.is_some() && same.next() == Some(true) {
                continue;
            }
            for (place, weight) in old.map(|place| (place, -1)).into_iter().chain(new.map(|place| (place, 1))) {
                places.push(place);
                weights.push(weight);
            }
        }
        if places.is_empty() {
            return Ok(None);
        }
        let mut columns = memory.records.gather_columns(&places, &row)?;
        columns.push(Arc::new(Int64Array::from(weights)));
        Ok(Some(Emitted::Rows(RecordBatch::try_new(Arc::clone(&shape.output), columns)?)))
    }
}

impl Stepwise for Run<'_> {
    fn made(&mut self) -> &mut VecDeque<Emitted> {
        &mut self.out
    }

    fn step(&mut self) -> Result<bool, Fault> {
        let mut work = self.upsert.work();
        let work = &mut *work;
        match self.phase {
            Phase::Read => match self.input.next().transpose()? {
                Some(records) => self.read(work, records)?,
                None => self.phase = Phase::Give(0),
            },
            Phase::Give(next) if next < work.touched.len() => {
                // Each key gives up to two rows.
                let end = work.touched.len().min(next + (self.upsert.surroundings.batch_rows / 2).max(1));
                let made = self.give(&work.memory, &work.touched[next..end])?;
                self.out.extend(made);
                self.phase = Phase::Give(end);
            }
            Phase::Give(_) => {
                work.touched = vec![];
                work.memory.records.sweep()?;
                self.phase = Phase::Over;
            }
            Phase::Over => return Ok(true),
        }
        Ok(false)
    }
}
