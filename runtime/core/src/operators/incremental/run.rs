//! The end of an epoch of an aggregate: the results of the groups that it touched, as they were; what it brought is added; then, group by group, what became another
//! result comes out.

use super::aggregate::{Aggregate, Kept, Shape};
use super::clock::Clock;
use super::evaluate::Unfinished;
use crate::error::RunError;
use crate::keys::Keys;
use crate::operators::kept::{Stepwise, drained, parts};
use crate::operators::stateful::{Emissions, Emitted};
use crate::operators::{Fault, internal};
use crate::spill::Held;
use crate::text::row_text;
use arrow::array::{Array, ArrayRef, Int64Array};
use arrow::compute::interleave;
use arrow::datatypes::Schema as ArrowSchema;
use arrow::record_batch::RecordBatch;
use std::collections::VecDeque;
use std::sync::Arc;

/// Results of groups before the epoch.
struct Old {
    /// The groups that may have another result now.
    groups: Vec<u32>,
    /// Those of them that had a result, in the same order.
    out: Vec<u32>,
    results: Vec<ArrayRef>,
}

/// See the module.
pub(super) struct Run<'a> {
    aggregate: &'a Aggregate,
    clock: Clock,
    late: Box<dyn Iterator<Item = Result<RecordBatch, RunError>> + Send>,
    waiting: VecDeque<Old>,
    over: bool,
    made: VecDeque<Emitted>,
    /// For the results as they were.
    _held: Held,
}

impl<'a> Run<'a> {
    /// Adds what the epoch brought to what is kept.
    pub(super) fn begin(aggregate: &'a Aggregate, watermark: Option<i64>) -> Result<Emissions<'a>, Fault> {
        let (delta, late, held) = aggregate.gather()?;
        let shape = &aggregate.shape;
        let clock = aggregate.clock.at(watermark);
        let mut work = aggregate.work();
        let kept = &mut work.kept;
        let numbers = match &delta {
            Some(delta) => kept.groups.adopt(delta, 0..delta.len() as u32)?,
            None => vec![],
        };
        kept.enter(shape)?;
        let touched = touched(shape, kept, &numbers, (&aggregate.clock, &clock))?;
        let waiting = as_they_were(aggregate, kept, &touched)?;
        let bytes: usize =
            waiting.iter().flat_map(|old| &old.results).map(|column| column.get_array_memory_size()).sum();
        let mut held = held;
        super::account(&mut held, &aggregate.surroundings.budget, bytes, &shape.name)?;
        if let Some(delta) = delta {
            let pairs: Vec<(u32, u32)> = (0..).zip(numbers.iter().copied()).collect();
            kept.groups.take_sums(&delta, &pairs)?;
            let number = |group: u32| numbers[group as usize];
            kept.fresh = delta.sets.into_iter().map(|set| set.into_run(number)).collect();
            for (set, fresh) in kept.groups.sets.iter_mut().zip(&kept.fresh) {
                fresh.iter().for_each(|run| set.push(Arc::clone(run)));
            }
        }
        kept.changed = numbers;
        aggregate.fits(&mut work, 0)?;
        drop(work);
        let late = drained(late.into_values());
        Ok(Run { aggregate, clock, late, waiting, over: false, made: VecDeque::new(), _held: held }.emissions())
    }

    /// What comes out of groups.
    fn differences(&self, kept: &Kept, old: Old) -> Result<Option<RecordBatch>, Fault> {
        let shape = &self.aggregate.shape;
        let is = |group: &u32| kept.is_out(shape, &self.clock, *group, true);
        let new: Vec<u32> = old.groups.iter().copied().filter(is).collect();
        let results = kept.groups.results(&shape.calls, &new).map_err(|e| failed(shape, kept, &new, e))?;
        let bits = |results: &[ArrayRef]| match results {
            [] => Ok(None),
            results => Keys::new(results.iter().map(|column| column.data_type()))?.exact(results).map(Some),
        };
        let (was, is) = (bits(&old.results)?, bits(&results)?);
        let same = |a: usize, b: usize| match (&was, &is) {
            (Some(was), Some(is)) => was.row(a).data() == is.row(b).data(),
            _ => true,
        };
        let (mut groups, mut picks, mut weights) = (vec![], vec![], vec![]);
        let (mut before, mut now) = (old.out.iter().enumerate().peekable(), new.iter().enumerate().peekable());
        for group in &old.groups {
            let a = before.next_if(|(_, g)| *g == group).map(|(i, _)| i);
            let b = now.next_if(|(_, g)| *g == group).map(|(i, _)| i);
            if a.zip(b).is_some_and(|(a, b)| same(a, b)) {
                continue;
            }
            for (pick, weight) in [(a.map(|a| (0, a)), -1), (b.map(|b| (1, b)), 1)] {
                groups.extend(pick.map(|_| *group));
                weights.extend(pick.map(|_| weight));
                picks.extend(pick);
            }
        }
        if groups.is_empty() {
            return Ok(None);
        }
        let mut columns = kept.groups.index.columns(&groups)?;
        for (was, is) in old.results.iter().zip(&results) {
            columns.push(interleave(&[&**was, &**is], &picks)?);
        }
        columns.push(Arc::new(Int64Array::from(weights)));
        let column = |place: &usize| columns.get(*place).cloned().ok_or_else(|| internal("a column is missing"));
        let columns = shape.placed.iter().map(column).collect::<Result<_, _>>()?;
        Ok(Some(RecordBatch::try_new(Arc::clone(&shape.output), columns)?))
    }
}

/// The groups that may have another result when the epoch is over: in the order of their keys.
fn touched(shape: &Shape, kept: &Kept, numbers: &[u32], (before, now): (&Clock, &Clock)) -> Result<Vec<u32>, RunError> {
    if shape.always() {
        return Ok(vec![0]);
    }
    let fired = |group: u32| kept.end(group).is_none_or(|end| now.fired(end));
    let mut touched: Vec<u32> = numbers.iter().copied().filter(|group| fired(*group)).collect();
    if now.waits && (now.over || now.latest != before.latest) {
        let due = |group: &u32| kept.end(*group).is_some_and(|end| !before.fired(end) && now.fired(end));
        touched.extend(kept.live().filter(due));
        touched.sort_unstable();
        touched.dedup();
    }
    if touched.is_empty() {
        return Ok(touched);
    }
    let keys = Keys::new(shape.calls.keys.iter())?.encode(&kept.groups.index.columns(&touched)?)?;
    let mut order: Vec<u32> = (0..touched.len() as u32).collect();
    order.sort_unstable_by_key(|i| keys.row(*i as usize));
    Ok(order.into_iter().map(|i| touched[i as usize]).collect())
}

/// The results of groups before anything is added.
fn as_they_were(aggregate: &Aggregate, kept: &Kept, touched: &[u32]) -> Result<VecDeque<Old>, Fault> {
    let shape = &aggregate.shape;
    let old = |groups: &[u32]| {
        let is_out = |group: &u32| kept.is_out(shape, &aggregate.clock, *group, kept.begun);
        let out: Vec<u32> = groups.iter().copied().filter(is_out).collect();
        let results = kept.groups.results(&shape.calls, &out).map_err(|e| failed(shape, kept, &out, e))?;
        Ok(Old { groups: groups.to_vec(), out, results })
    };
    // Each may come out twice.
    touched.chunks((aggregate.surroundings.batch_rows / 2).max(1)).map(old).collect()
}

/// Tells of which group there is no result.
fn failed(shape: &Shape, kept: &Kept, groups: &[u32], unfinished: Unfinished) -> Fault {
    let Unfinished { group, mut error } = unfinished;
    let group = group.and_then(|position| groups.get(position as usize));
    if let Some(columns) = group.and_then(|group| kept.groups.index.columns(&[*group]).ok()) {
        let schema = Arc::new(ArrowSchema::new(shape.output.fields()[..columns.len()].to_vec()));
        error.row = RecordBatch::try_new(schema, columns).map_or(vec![], |row| row_text(&row, 0));
    }
    Fault::Run(error)
}

impl Stepwise for Run<'_> {
    fn made(&mut self) -> &mut VecDeque<Emitted> {
        &mut self.made
    }

    fn step(&mut self) -> Result<bool, Fault> {
        let batch_rows = self.aggregate.surroundings.batch_rows;
        if let Some(late) = self.late.next().transpose()? {
            self.made.extend(parts(late, batch_rows).map(Emitted::Late));
            return Ok(false);
        }
        let mut work = self.aggregate.work();
        match self.waiting.pop_front() {
            Some(old) => {
                let rows = self.differences(&work.kept, old)?;
                drop(work);
                self.made.extend(rows.into_iter().flat_map(|rows| parts(rows, batch_rows)).map(Emitted::Rows));
                Ok(false)
            }
            None if !self.over => {
                work.kept.settle(&self.aggregate.shape, self.clock);
                self.over = true;
                Ok(false)
            }
            None => Ok(true),
        }
    }
}
