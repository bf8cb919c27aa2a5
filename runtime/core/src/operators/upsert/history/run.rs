//! The end of an epoch, step by step: records are read in their order, a batch at a time, and put among those of their key; then what happened at the times that they
//! touch comes out.

use super::super::super::Fault;
use super::super::super::kept::{Place, Stepwise, account, drained, taken};
use super::super::super::stateful::Emitted;
use super::super::record::{dated, said};
use super::{Entry, History, Kept, Moment, Work, times};
use crate::error::RunError;
use crate::spill::SpillBuffer;
use arrow::array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::row::Rows;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

#[derive(Debug, Clone, Copy)]
enum Phase {
    /// Records are read.
    Read,
    /// Rows come out: of the moments from this one on.
    Give(usize),
    Over,
}

/// See the module.
pub(super) struct Run<'a> {
    history: &'a History,
    input: Box<dyn Iterator<Item = Result<RecordBatch, RunError>> + Send>,
    phase: Phase,
    out: VecDeque<Emitted>,
}

/// A record on its way: its key, its time, and its row in the batch.
type Candidate = (u32, i64, u32);

impl<'a> Run<'a> {
    pub(super) fn new(history: &'a History, records: BTreeMap<(u32, u32), SpillBuffer>) -> Run<'a> {
        Run { history, input: drained(records.into_values()), phase: Phase::Read, out: VecDeque::new() }
    }

    /// Puts records among those that are known.
    fn read(&self, work: &mut Work, records: RecordBatch) -> Result<(), Fault> {
        let (shape, surroundings) = (&self.history.shape, &self.history.surroundings);
        let Some((records, deleted)) = said(shape, records, surroundings.epoch)? else { return Ok(()) };
        dated(shape, &records, shape.columns[self.history.time], surroundings.epoch)?;
        let columns = shape.columns.iter().map(|column| Arc::clone(records.column(*column)));
        let columns: Vec<ArrayRef> = columns.chain([Arc::new(deleted) as ArrayRef]).collect();
        let new = self.new_ones(&mut work.memory, &columns, records.num_rows())?;
        let rows: Vec<u32> = new.iter().map(|(_, _, row)| *row).collect();
        let kept = taken(&RecordBatch::try_new(Arc::clone(&shape.kept), columns)?, rows)?;
        let count = kept.num_rows();
        let numbers = work.memory.records.add(kept, vec![0; count].into(), vec![false; count])?;
        for ((key, time, _), record) in new.into_iter().zip(numbers) {
            let before = work.memory.put(key, Entry { time, record });
            // A time that has been touched already has a record of this epoch.
            if before.is_none_or(|before| before < work.first) {
                work.touched.push(Moment { key, time, before });
            }
        }
        Ok(account(&mut work.held, &surroundings.budget, work.memory.bytes(), &shape.spec.name)?)
    }

    /// The newest record of each key and time, in order, but for those that say nothing new: an older one, or the very same again. `columns`: of what is kept.
    fn new_ones(&self, memory: &mut Kept, columns: &[ArrayRef], rows: usize) -> Result<Vec<Candidate>, Fault> {
        let shape = &self.history.shape;
        let keys: Vec<ArrayRef> = shape.spec.keys.iter().map(|column| Arc::clone(&columns[*column])).collect();
        let keys = memory.keys.assign(&memory.keys.encode(&keys, rows)?, &[])?;
        let times = times(&columns[self.history.time])?.values();
        let mut order: Vec<Candidate> =
            keys.iter().zip(times).zip(0..).map(|((key, at), row)| (*key, *at, row)).collect();
        order.sort_unstable();
        let sequences = self.sequences(|places| Ok(places.iter().map(|c| Arc::clone(&columns[*c])).collect()))?;
        let mut newest: Vec<Candidate> = vec![];
        for (key, time, row) in order {
            match newest.last_mut() {
                Some((last, at, newer)) if (*last, *at) == (key, time) => {
                    let older = |s: &Rows| s.row(row as usize) < s.row(*newer as usize);
                    if !sequences.as_ref().is_some_and(older) {
                        *newer = row;
                    }
                }
                _ => newest.push((key, time, row)),
            }
        }
        let known: Vec<Place> = newest
            .iter()
            .map(|(key, time, _)| memory.at(*key, *time).and_then(|record| memory.records.locate(record)))
            .map(|place| place.unwrap_or(Place::NONE))
            .collect();
        if known.iter().all(|place| *place == Place::NONE) {
            return Ok(newest);
        }
        let before = self.sequences(|places| Ok(memory.records.gather_columns(&known, places)?))?;
        let all: Vec<usize> = (0..shape.spec.width).collect();
        let rows_before = shape.rows.encode(&memory.records.gather_columns(&known, &all)?)?;
        let rows_now = shape.rows.encode(&columns[..shape.spec.width])?;
        let deleted = |row: u32| columns.last().is_some_and(|c| boolean(c, row as usize));
        let is_new = |place: usize, row: u32| {
            if known[place] == Place::NONE {
                return true;
            }
            let compared = sequences
                .as_ref()
                .zip(before.as_ref())
                .map(|(now, before)| now.row(row as usize).cmp(&before.row(place)));
            let (batch, at) = memory.records.row(known[place]);
            let was_deleted = batch.columns().last().is_some_and(|column| boolean(column, at));
            match compared.unwrap_or(std::cmp::Ordering::Equal) {
                std::cmp::Ordering::Less => false,
                std::cmp::Ordering::Greater => true,
                std::cmp::Ordering::Equal => {
                    was_deleted != deleted(row) || !was_deleted && rows_now.row(row as usize) != rows_before.row(place)
                }
            }
        };
        let new = newest.iter().enumerate().filter(|(place, (_, _, row))| is_new(*place, *row));
        Ok(new.map(|(_, candidate)| *candidate).collect())
    }

    /// What orders records of one time, comparable; none: the order in which they come. `columns` finds the columns at these places of what is kept.
    fn sequences(&self, columns: impl FnOnce(&[usize]) -> Result<Vec<ArrayRef>, Fault>) -> Result<Option<Rows>, Fault> {
        let shape = &self.history.shape;
        let Some(order) = &shape.order else { return Ok(None) };
        Ok(Some(order.encode(&columns(&shape.sequence)?)?))
    }

    /// The moments that come out, each once: those that were touched, and the next of their key behind them.
    fn moments(&self, work: &mut Work) {
        let touched = std::mem::take(&mut work.touched);
        let mut all = Vec::with_capacity(touched.len());
        for moment in touched {
            let line = work.memory.line(moment.key);
            let behind = line.partition_point(|entry| entry.time <= moment.time);
            all.push(moment);
            all.extend(line.get(behind).map(|next| Moment { time: next.time, before: None, ..moment }));
        }
        // Of two of one time the one that knows what was before comes last.
        all.sort_unstable();
        all.dedup_by(|later, earlier| {
            let same = (later.key, later.time) == (earlier.key, earlier.time);
            if same {
                *earlier = *later;
            }
            same
        });
        work.touched = all;
    }

    /// What happened at these moments.
    fn give(&self, memory: &Kept, moments: &[Moment]) -> Result<Option<Emitted>, Fault> {
        let shape = &self.history.shape;
        let (mut places, mut at, mut weights) = (vec![], vec![], vec![]);
        for moment in moments {
            let line = memory.line(moment.key);
            let place = line.partition_point(|entry| entry.time < moment.time);
            let until = place.checked_sub(1).map(|before| line[before].record);
            let since = line.get(place).filter(|entry| entry.time == moment.time).map(|entry| entry.record);
            for (record, weight) in [(until, -1), (moment.before, -1), (since, 1)] {
                if let Some(row) = record.and_then(|record| memory.present(record)) {
                    places.push(row);
                    at.push(moment.time);
                    weights.push(weight);
                }
            }
        }
        if places.is_empty() {
            return Ok(None);
        }
        let row: Vec<usize> = (0..shape.spec.width).collect();
        let mut columns = memory.records.gather_columns(&places, &row)?;
        let committed = shape.output.field(shape.spec.width).data_type();
        columns.push(cast(&TimestampMicrosecondArray::from(at).with_timezone("UTC"), committed)?);
        columns.push(Arc::new(Int64Array::from(weights)));
        Ok(Some(Emitted::Rows(RecordBatch::try_new(Arc::clone(&shape.output), columns)?)))
    }
}

fn boolean(column: &ArrayRef, row: usize) -> bool {
    column.as_any().downcast_ref::<BooleanArray>().is_some_and(|values| values.is_valid(row) && values.value(row))
}

impl Stepwise for Run<'_> {
    fn made(&mut self) -> &mut VecDeque<Emitted> {
        &mut self.out
    }

    fn step(&mut self) -> Result<bool, Fault> {
        let mut work = self.history.work();
        let work = &mut *work;
        match self.phase {
            Phase::Read => match self.input.next().transpose()? {
                Some(records) => self.read(work, records)?,
                None => {
                    self.moments(work);
                    self.phase = Phase::Give(0);
                }
            },
            Phase::Give(next) if next < work.touched.len() => {
                // Each moment gives up to three rows.
                let end = work.touched.len().min(next + (self.history.surroundings.batch_rows / 3).max(1));
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
