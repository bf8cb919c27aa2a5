//! The end of an epoch: the first of the new rows are put among those that are kept; windows that the watermark has reached come out, in batches.

use super::super::Fault;
use super::super::kept::{Horizon, KeptRows, NO_KEY, Place, Posting, Stepwise, account, drained, parts};
use super::super::stateful::Emitted;
use super::rank::{At, pick};
use super::{Kept, Shape, Top, Work};
use crate::error::RunError;
use crate::spill::{SpillBuffer, batch_bytes};
use arrow::record_batch::RecordBatch;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

enum Phase {
    /// The new rows are to be taken.
    Take(Vec<RecordBatch>),
    /// Rows of closed windows come out: from this one on.
    Out(Vec<RecordBatch>, Vec<At>, usize),
    Over,
}

/// See the module.
pub(super) struct Run<'a> {
    top: &'a Top,
    watermark: Option<i64>,
    horizon: Horizon,
    late: Box<dyn Iterator<Item = Result<RecordBatch, RunError>> + Send>,
    phase: Phase,
    out: VecDeque<Emitted>,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        top: &'a Top,
        watermark: Option<i64>,
        late: BTreeMap<(u32, u32), SpillBuffer>,
        batches: Vec<RecordBatch>,
    ) -> Run<'a> {
        let (late, horizon) = (drained(late.into_values()), top.shape.horizon(watermark));
        Run { top, watermark, horizon, late, phase: Phase::Take(batches), out: VecDeque::new() }
    }

    /// The rows of windows that are closed now, and their order.
    fn closing(&self, work: &mut Work) -> Result<(Vec<RecordBatch>, Vec<At>), Fault> {
        let (shape, surroundings) = (&self.top.shape, &self.top.surroundings);
        let rows = &mut work.memory.rows;
        let places: Vec<Place> = rows.due(self.horizon).into_iter().map(|due| due.place).collect();
        let gather = |places: &[Place]| batch(shape, rows, places);
        let batches = places.chunks(surroundings.batch_rows.max(1)).map(gather).collect::<Result<Vec<_>, _>>()?;
        let bytes = work.memory.bytes() + batches.iter().map(batch_bytes).sum::<usize>();
        account(&mut work.held, &surroundings.budget, bytes, &shape.spec.name)?;
        let order = shape.ranking.first(&batches)?;
        Ok((batches, order))
    }

    /// Frees what came out; notes how far time has come.
    fn close(&self, work: &mut Work) -> Result<(), Fault> {
        let memory = &mut work.memory;
        memory.closed = memory.closed.max(self.top.closed).max(match self.watermark {
            Some(i64::MAX) => memory.latest,
            watermark => watermark,
        });
        memory.rows.sweep()?;
        let Kept { rows, index, .. } = memory;
        if index.entries() > 2 * rows.live() + 1024 || self.horizon == Horizon::All {
            index.retain(self.horizon, |_, id| rows.holds(id))?;
        }
        Ok(())
    }
}

/// These kept rows as a batch.
fn batch(shape: &Shape, rows: &KeptRows, places: &[Place]) -> Result<RecordBatch, Fault> {
    Ok(RecordBatch::try_new(Arc::clone(&shape.schema), rows.gather(places)?)?)
}

/// Puts the new rows among those that are kept.
fn take(top: &Top, work: &mut Work, arrived: Vec<RecordBatch>) -> Result<(), Fault> {
    let (shape, memory) = (&top.shape, &mut work.memory);
    let batch_rows = top.surroundings.batch_rows.max(1);
    // The first of the new rows; then the first of those together with the kept rows of the same groups, which come before them where they are the same.
    let order = shape.ranking.first(&arrived)?;
    let new = order.chunks(batch_rows).map(|part| pick(&arrived, part)).collect::<Result<Vec<_>, _>>()?;
    drop(arrived);
    let places = rivals(shape, memory, &new)?;
    let mut batches =
        places.chunks(batch_rows).map(|places| batch(shape, &memory.rows, places)).collect::<Result<Vec<_>, _>>()?;
    let old = batches.len();
    batches.extend(new);
    let order = if old == 0 { None } else { Some(shape.ranking.first(&batches)?) };
    let mut stays = vec![false; places.len()];
    let mut added: Vec<At> = vec![];
    match order {
        None => {
            added = batches.iter().enumerate().flat_map(|(b, rows)| (0..rows.num_rows()).map(move |r| (b, r))).collect()
        }
        Some(order) => {
            for (b, row) in order {
                if b < old { stays[b * batch_rows + row] = true } else { added.push((b, row)) }
            }
        }
    }
    for (place, _) in places.iter().zip(&stays).filter(|(_, stays)| !**stays) {
        memory.rows.flag(*place);
    }
    for part in added.chunks(batch_rows) {
        add(shape, memory, pick(&batches, part)?)?;
        account(&mut work.held, &top.surroundings.budget, memory.bytes(), &shape.spec.name)?;
    }
    memory.index.settle();
    Ok(())
}

/// Where the kept rows are that belong to the groups of these rows, which come group by group.
fn rivals(shape: &Shape, memory: &Kept, new: &[RecordBatch]) -> Result<Vec<Place>, Fault> {
    let mut places = vec![];
    let mut last = NO_KEY;
    for batch in new {
        let keys = memory.index.encode(&shape.group_columns(batch), batch.num_rows())?;
        for row in 0..batch.num_rows() {
            let Some(key) = memory.index.find(&keys, row).filter(|key| *key != last) else { continue };
            last = key;
            let rows = memory.index.candidates(0, key, i64::MIN, i64::MAX).iter();
            let kept = rows.filter_map(|posting| memory.rows.locate(posting.id));
            places.extend(kept.filter(|place| !memory.rows.is_flagged(*place)));
        }
    }
    Ok(places)
}

/// Keeps rows.
pub(super) fn add(shape: &Shape, memory: &mut Kept, batch: RecordBatch) -> Result<(), Fault> {
    let ends = shape.ends(&batch)?;
    memory.latest = memory.latest.max(ends.iter().max().copied());
    let keys = memory.index.encode(&shape.group_columns(&batch), batch.num_rows())?;
    let rows = batch.num_rows();
    let ids = memory.rows.add(batch, ends.clone(), vec![false; rows])?;
    for (row, id) in ids.enumerate() {
        let key = memory.index.number(&keys, row)?;
        memory.index.add(0, key, Posting { time: ends[row], id });
    }
    Ok(())
}

impl Stepwise for Run<'_> {
    fn made(&mut self) -> &mut VecDeque<Emitted> {
        &mut self.out
    }

    fn step(&mut self) -> Result<bool, Fault> {
        let batch_rows = self.top.surroundings.batch_rows.max(1);
        if let Some(late) = self.late.next().transpose()? {
            self.out.extend(parts(late, batch_rows).map(Emitted::Late));
            return Ok(false);
        }
        let mut work = self.top.work();
        let work = &mut *work;
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Take(batches) => {
                take(self.top, work, batches)?;
                let (batches, order) = self.closing(work)?;
                self.phase = Phase::Out(batches, order, 0);
            }
            Phase::Out(batches, order, next) if next < order.len() => {
                let end = order.len().min(next + batch_rows);
                self.out.push_back(Emitted::Rows(pick(&batches, &order[next..end])?));
                self.phase = Phase::Out(batches, order, end);
            }
            Phase::Out(..) => self.close(work)?,
            Phase::Over => return Ok(true),
        }
        Ok(false)
    }
}
