//! Keeps the results of groups right: by key, by key and window of the clock, or without results, so that what comes out are the different rows. Each worker sums up
//! what it gets; at an epoch's end that is added to what is kept, and the results of the groups that it touched are compared with what they were.

use super::clock::Clock;
use super::groups::{Arrived, Calls, Groups};
use super::run::Run;
use super::spine::Run as Sorted;
use super::windows::{Cut, cut};
use super::{account, position, stored, weights};
use crate::batch::Batch;
use crate::error::RunError;
use crate::operators::aggregate::accumulator::Places;
use crate::operators::kept::recalled;
use crate::operators::stateful::{Before, Changes, Emissions, Extent, Memory, Remembered, Stateful, Surroundings};
use crate::operators::window::values::places_by_time;
use crate::operators::window::windows::Windows;
use crate::operators::{Fault, internal};
use crate::spill::{Held, SpillBuffer};
use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, SchemaRef, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use flowc_ir::Schema;
use flowc_ir::arrow_types::to_arrow_schema;
use flowc_ir::graph::{self, Dedup, KeyedAggregate, WindowAggregate};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Groups that are no longer needed are cleared away when they are so many, and more than the others.
const DEAD: usize = 1024;

/// Windows of the clock, and the column of the event time.
#[derive(Debug)]
pub(super) struct Cutting {
    pub(super) windows: Windows,
    pub(super) time: usize,
    /// Whether rows are taken in the order of their times.
    pub(super) by_time: bool,
}

/// What does not change.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) name: String,
    /// The positions of the keys, a window's bounds apart.
    pub(super) keys: Vec<usize>,
    pub(super) calls: Calls,
    pub(super) cutting: Option<Cutting>,
    pub(super) output: SchemaRef,
    /// Which of the keys, the results and the weight, one behind the other, stands at each position of what comes out.
    pub(super) placed: Vec<usize>,
    /// What is counted in what there is to tell.
    unit: &'static str,
}

impl Shape {
    /// Whether there is one group, which always has a result.
    pub(super) fn always(&self) -> bool {
        self.calls.keys.is_empty()
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Aggregate {
    pub(super) shape: Shape,
    pub(super) surroundings: Surroundings,
    /// As it was before the epoch.
    pub(super) clock: Clock,
    workers: Vec<Mutex<Worker>>,
    work: Mutex<Work>,
}

/// What a worker has.
#[derive(Debug)]
struct Worker {
    groups: Option<Groups>,
    held: Held,
    /// Late rows, by path and split; those of one come in order.
    late: Late,
}

type Late = BTreeMap<(u32, u32), SpillBuffer>;

/// What is remembered, with the memory for it.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) kept: Kept,
    held: Held,
}

/// What is kept from epoch to epoch.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) groups: Groups,
    /// Where the window of each group begins and ends, if there are windows.
    pub(super) bounds: Vec<(i64, i64)>,
    /// Which groups are not needed.
    pub(super) dead: Vec<bool>,
    /// The groups that the epoch has changed, and what it has changed of their operands.
    pub(super) changed: Vec<u32>,
    pub(super) fresh: Vec<Option<Arc<Sorted>>>,
    /// Whether the group that always has a result has given it.
    pub(super) begun: bool,
    pub(super) clock: Clock,
}

impl Kept {
    pub(super) fn new(shape: &Shape, clock: Clock) -> Result<Kept, RunError> {
        let groups = Groups::new(&shape.calls)?;
        let fresh = groups.sets.iter().map(|_| None).collect();
        let (bounds, dead, changed) = (vec![], vec![], vec![]);
        let mut kept = Kept { groups, bounds, dead, changed, fresh, begun: false, clock };
        if shape.always() {
            let one = kept.groups.index.encode(&[], 1)?;
            kept.groups.index.insert(&one, 0, 0)?;
            kept.groups.rows.push(0);
        }
        kept.enter(shape)?;
        Ok(kept)
    }

    /// Enters the groups that were added.
    pub(super) fn enter(&mut self, shape: &Shape) -> Result<(), RunError> {
        let new: Vec<u32> = (self.dead.len() as u32..self.groups.len() as u32).collect();
        self.dead.resize(self.groups.len(), false);
        if shape.cutting.is_some() && !new.is_empty() {
            self.bounds.extend(bounds(&self.groups.index.columns(&new)?)?);
        }
        Ok(())
    }

    /// Where the window of a group ends.
    pub(super) fn end(&self, group: u32) -> Option<i64> {
        self.bounds.get(group as usize).map(|(_, end)| *end)
    }

    /// Whether a group has a result that has come out, at this time.
    pub(super) fn is_out(&self, shape: &Shape, clock: &Clock, group: u32, begun: bool) -> bool {
        if shape.always() {
            return begun;
        }
        self.groups.rows[group as usize] > 0 && self.end(group).is_none_or(|end| clock.fired(end))
    }

    /// The groups that are needed.
    pub(super) fn live(&self) -> impl Iterator<Item = u32> + '_ {
        (0..).zip(&self.dead).filter(|(_, dead)| !**dead).map(|(group, _)| group)
    }

    pub(super) fn bytes(&self) -> usize {
        // What is one of the runs that are kept is counted twice, for as long as the epoch lasts.
        let fresh: usize = self.fresh.iter().flatten().map(|run| run.bytes()).sum();
        let lists = self.bounds.capacity() * 16 + self.dead.capacity() + self.changed.capacity() * 4;
        self.groups.bytes() + fresh + lists
    }

    /// The next epoch begins: what there is was stored.
    fn begin(&mut self, shape: &Shape) -> Result<(), RunError> {
        self.changed.clear();
        self.fresh.iter_mut().for_each(|fresh| *fresh = None);
        let dead = self.dead.iter().filter(|dead| **dead).count();
        if dead < DEAD || dead * 2 < self.dead.len() {
            return Ok(());
        }
        let mut compact = Groups::new(&shape.calls)?;
        let live: Vec<u32> = self.live().collect();
        let numbers = compact.adopt(&self.groups, live.iter().copied())?;
        let pairs: Vec<(u32, u32)> = live.into_iter().zip(numbers).collect();
        compact.take(&self.groups, &pairs)?;
        self.groups = compact;
        self.dead.clear();
        self.bounds.clear();
        self.enter(shape)
    }

    /// The epoch is over: notes which groups are not needed any more. `clock`: as it is now.
    pub(super) fn settle(&mut self, shape: &Shape, clock: Clock) {
        for group in &self.changed {
            self.dead[*group as usize] = !shape.always() && self.groups.is_empty(*group);
        }
        let last = self.live().filter(|_| clock.over).filter_map(|group| self.end(group)).max();
        if clock.late.is_some() {
            for (dead, (_, end)) in self.dead.iter_mut().zip(&self.bounds) {
                *dead |= clock.released(*end);
            }
        }
        self.begun = true;
        self.clock = clock.behind(last);
    }
}

/// The bounds of windows, which are the last two of these columns.
pub(super) fn bounds(keys: &[ArrayRef]) -> Result<Vec<(i64, i64)>, RunError> {
    let moments = |at: usize| {
        let column = keys.len().checked_sub(at).and_then(|at| keys[at].as_primitive_opt::<TimestampMicrosecondType>());
        column.map(|column| column.values()).ok_or_else(|| internal("windows have no bounds"))
    };
    Ok(moments(2)?.iter().copied().zip(moments(1)?.iter().copied()).collect())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Aggregate {
    /// By key, over rows of the first schema.
    pub(crate) fn keyed(
        spec: &KeyedAggregate,
        (input, output): (&Schema, &Schema),
        surroundings: Surroundings,
        before: Before,
    ) -> Result<Aggregate, RunError> {
        let calls =
            Calls::new(&spec.aggregate, input, key_types(input, &spec.aggregate.keys), position(input).is_some())?;
        let placed = (0..output.fields.len()).collect();
        let (name, keys, output) = (spec.name.clone(), spec.aggregate.keys.clone(), to_arrow_schema(output));
        let shape = Shape { name, keys, calls, cutting: None, output, placed, unit: "groups" };
        Aggregate::new(shape, Clock::default(), surroundings, before)
    }

    /// By key and window, which are no sessions.
    pub(crate) fn windowed(
        spec: &WindowAggregate,
        (input, output): (&Schema, &Schema),
        surroundings: Surroundings,
        before: Before,
    ) -> Result<Aggregate, RunError> {
        let changing = position(input).is_some();
        let cutting = Some(Cutting { windows: Windows::new(&spec.window)?, time: spec.time, by_time: spec.by_time });
        let mut types = key_types(input, &spec.aggregate.keys);
        types.extend([0, 0].map(|_| to_arrow_schema(input).field(spec.time).data_type().clone()));
        let calls = Calls::new(&spec.aggregate, input, types, changing)?;
        let placed = (0..output.fields.len()).collect();
        let (name, keys, output) = (spec.name.clone(), spec.aggregate.keys.clone(), to_arrow_schema(output));
        let shape = Shape { name, keys, calls, cutting, output, placed, unit: "groups" };
        let clock = Clock { late: spec.late, waits: !changing, latest: surroundings.watermark, ..Clock::default() };
        Aggregate::new(shape, clock, surroundings, before)
    }

    /// The different rows: all columns are the key.
    pub(crate) fn distinct(
        spec: &Dedup,
        (input, output): (&Schema, &Schema),
        surroundings: Surroundings,
        before: Before,
    ) -> Result<Aggregate, RunError> {
        let keys = spec.keys.clone();
        let nothing = graph::Aggregate { keys: keys.clone(), aggregates: vec![] };
        let calls = Calls::new(&nothing, input, key_types(input, &keys), true)?;
        // What is no key is the weight.
        let place = |column: usize| keys.iter().position(|key| *key == column).unwrap_or(keys.len());
        let placed = (0..output.fields.len()).map(place).collect();
        let (name, output) = (spec.name.clone(), to_arrow_schema(output));
        let shape = Shape { name, keys, calls, cutting: None, output, placed, unit: "rows" };
        Aggregate::new(shape, Clock::default(), surroundings, before)
    }

    fn new(shape: Shape, clock: Clock, surroundings: Surroundings, before: Before) -> Result<Aggregate, RunError> {
        let mut kept =
            recalled(before, &shape.name, || Kept::new(&shape, clock), |found| stored::restore(&shape, clock, found))?;
        kept.begin(&shape)?;
        kept.clock = Clock { latest: kept.clock.latest.max(clock.latest), closed: kept.clock.closed, ..clock };
        let budget = &surroundings.budget;
        let mut held = Held::new(budget.clone());
        account(&mut held, budget, kept.bytes(), &shape.name)?;
        let worker = || Worker { groups: None, held: Held::new(budget.clone()), late: Late::new() };
        let workers = (0..surroundings.workers.max(1)).map(|_| Mutex::new(worker())).collect();
        Ok(Aggregate { clock: kept.clock, shape, surroundings, workers, work: Mutex::new(Work { kept, held }) })
    }

    pub(super) fn work(&self) -> MutexGuard<'_, Work> {
        lock(&self.work)
    }

    pub(super) fn fits(&self, work: &mut Work, more: usize) -> Result<(), RunError> {
        let bytes = work.kept.bytes() + more;
        account(&mut work.held, &self.surroundings.budget, bytes, &self.shape.name)
    }

    /// The places of rows, if results depend on them.
    fn places(&self, batch: &Batch) -> Result<Places, RunError> {
        if !self.shape.calls.ordered {
            return Ok(Places::From(0));
        }
        if let Some(cutting) = self.shape.cutting.as_ref().filter(|cutting| cutting.by_time) {
            return places_by_time(&batch.data, cutting.time);
        }
        let first = batch.order.first_row_of(self.surroundings.epoch, batch.data.num_rows());
        first.map(Places::From).ok_or_else(|| internal("an epoch has more splits, batches or rows than places"))
    }

    fn key_columns(&self, rows: &RecordBatch) -> Vec<ArrayRef> {
        self.shape.keys.iter().map(|key| Arc::clone(rows.column(*key))).collect()
    }

    /// What the workers have, in one; and the late rows.
    pub(super) fn gather(&self) -> Result<(Option<Groups>, Late, Held), RunError> {
        let (mut all, mut late): (Option<Groups>, Late) = (None, Late::new());
        let mut held = Held::new(self.surroundings.budget.clone());
        for worker in &self.workers {
            let mut worker = lock(worker);
            late.append(&mut worker.late);
            let theirs = worker.groups.take();
            // From here on the bytes are counted with the others.
            worker.held = Held::new(self.surroundings.budget.clone());
            match (&mut all, theirs) {
                (_, None) => {}
                (Some(all), Some(theirs)) => drop(all.merge(&theirs)?),
                (none, theirs) => *none = theirs,
            }
            let bytes = all.as_ref().map_or(0, Groups::bytes);
            account(&mut held, &self.surroundings.budget, bytes, &self.shape.name)?;
        }
        Ok((all, late, held))
    }
}

fn key_types(input: &Schema, keys: &[usize]) -> Vec<DataType> {
    let arrow = to_arrow_schema(input);
    keys.iter().map(|key| arrow.field(*key).data_type().clone()).collect()
}

impl Stateful for Aggregate {
    fn push(&self, worker: usize, _input: usize, batch: Batch) -> Result<(), Fault> {
        let mut worker = lock(&self.workers[worker % self.workers.len()]);
        let Worker { groups, held, late } = &mut *worker;
        let mut places = self.places(&batch)?;
        let place = (batch.order.path, batch.order.split);
        let (data, mut keys) = match &self.shape.cutting {
            None => (batch.data, vec![]),
            Some(cutting) => {
                let Cut { rows, numbers, bounds, late: too_late } =
                    cut(&cutting.windows, &self.clock, cutting.time, &batch.data)?;
                if let Some(rows) = too_late {
                    let buffer = || SpillBuffer::leaving_half(self.surroundings.budget.clone());
                    late.entry(place).or_insert_with(buffer).push(rows)?;
                }
                if self.shape.calls.ordered {
                    places = Places::Each(numbers.iter().map(|row| places.of(*row as usize)).collect());
                }
                (rows, bounds.to_vec())
            }
        };
        if data.num_rows() == 0 {
            return Ok(());
        }
        keys.splice(0..0, self.key_columns(&data));
        let groups = match groups {
            Some(groups) => groups,
            none => none.insert(Groups::new(&self.shape.calls)?),
        };
        let rows = Arrived { data: &data, keys: &keys, weights: weights(&data)?, places: &places };
        groups.absorb(&self.shape.calls, &rows)?;
        Ok(account(held, &self.surroundings.budget, groups.bytes(), &self.shape.name)?)
    }

    fn finish(&self, watermark: Option<i64>) -> Result<Emissions<'_>, Fault> {
        Run::begin(self, watermark)
    }

    fn changes(&self, extent: Extent) -> Result<Changes, RunError> {
        stored::changes(&self.shape, &mut self.work().kept, extent)
    }

    fn remembered(&self) -> Remembered {
        let kept = &self.work().kept;
        let ends = || kept.live().filter_map(|group| kept.end(group));
        let windows: BTreeSet<(i64, i64)> = kept.live().filter_map(|g| kept.bounds.get(g as usize)).copied().collect();
        Remembered {
            unit: self.shape.unit.into(),
            entries: kept.live().count() as u64,
            bytes: kept.bytes() as u64,
            on_disk: 0,
            windows: windows.len() as u64,
            first_end: ends().filter_map(|end| kept.clock.due(end)).min(),
            last_end: ends().max(),
        }
    }

    fn take_memory(&self) -> Memory {
        match Kept::new(&self.shape, self.clock) {
            Ok(empty) => Box::new(std::mem::replace(&mut self.work().kept, empty)),
            // It was made before, so it can be made. What is no memory is refused by the next epoch.
            Err(_) => Box::new(()),
        }
    }
}
