//! Groups and aggregates by windows of event time: each worker aggregates what it gets; at an epoch's end the windows that the watermark has reached, and the
//! sessions that it has passed, come out, and what stays open of what workers have is merged into what is remembered. No result depends on who got what, or on how rows were cut into batches and epochs. Knows nothing of
//! sources, of how watermarks come about, or of where anything is stored.

mod cells;
mod closing;
mod ends;
mod kept;
pub(super) mod open;
mod order;
mod out;
mod parts;
mod running;
mod sessions;
mod stored;
pub(super) mod values;
pub(super) mod windows;

pub(super) use stored::stored_keys;

use super::stateful::{Before, Changes, Emissions, Emitted, Extent, Memory, Remembered, Stateful, Surroundings};
use super::{Fault, internal};
use crate::batch::Batch;
use crate::error::RunError;
use crate::spill::{Budget, Held, SpillBuffer};
use arrow::array::{Array, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::record_batch::RecordBatch;
use closing::Pace;
use flowc_ir::Schema;
use flowc_ir::graph;
use kept::{Gathered, Kept, Kind};
use open::Slicer;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use values::{Arrived, Shape};

/// The operator.
#[derive(Debug)]
pub(crate) struct WindowAggregate {
    shape: Arc<Shape>,
    kind: Kind,
    surroundings: Surroundings,
    /// A row is late when the last window that it belongs to ends by then.
    bound: Option<i64>,
    workers: Vec<Mutex<Worker>>,
    kept: Mutex<Holding>,
}

/// What a worker has.
#[derive(Debug)]
struct Worker {
    gathered: Option<Gathered>,
    held: Held,
    /// Late rows, by path and split; those of one come in order.
    late: Late,
}

type Late = BTreeMap<(u32, u32), SpillBuffer>;

/// What is remembered, with the memory for it.
#[derive(Debug)]
struct Holding {
    kept: Kept,
    held: Held,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn too_large(name: &str, budget: &Budget) -> RunError {
    budget.overflow(name);
    let mib = budget.total >> 20;
    RunError::data("R0116", format!("what `{name}` remembers of open windows does not fit the {mib} MiB of --memory"))
        .help("nothing was committed; on disk it could not be divided by key any further: raise --memory, let an epoch take less, or make windows shorter")
}

/// The rows of a buffer.
fn drained(buffer: SpillBuffer) -> impl Iterator<Item = Result<RecordBatch, RunError>> {
    let (rows, failed) = match buffer.drain() {
        Ok(rows) => (Some(rows), None),
        Err(error) => (None, Some(Err(error))),
    };
    rows.into_iter().flatten().chain(failed)
}

/// Which rows of a batch are taken, and which are late.
struct Sorted {
    taken: Vec<u32>,
    late: Vec<u32>,
}

impl WindowAggregate {
    /// For rows of `input`; `output` has the keys, the window's bounds and the results.
    pub(crate) fn new(
        spec: &graph::WindowAggregate,
        schemas: (&Schema, &Schema),
        surroundings: Surroundings,
        before: Before,
    ) -> Result<WindowAggregate, RunError> {
        let shape = Arc::new(Shape::new(spec, schemas));
        let kind = Kind::new(&spec.window)?;
        let kept = Kept::restore(&shape, &kind, before)?;
        let bound = surroundings.watermark.map(|watermark| kind.over(watermark)).max(kept.closed());
        let worker = || Worker { gathered: None, held: Held::new(surroundings.budget.clone()), late: Late::new() };
        let workers = (0..surroundings.workers.max(1)).map(|_| Mutex::new(worker())).collect();
        let mut held = Held::new(surroundings.budget.clone());
        if !held.grow_to(kept.bytes()) {
            return Err(too_large(&spec.name, &surroundings.budget));
        }
        Ok(WindowAggregate { shape, kind, surroundings, bound, workers, kept: Mutex::new(Holding { kept, held }) })
    }

    fn fits(&self, held: &mut Held, bytes: usize) -> Result<(), RunError> {
        if held.grow_to(bytes) { Ok(()) } else { Err(too_large(&self.shape.spec.name, &self.surroundings.budget)) }
    }

    /// Which rows are taken and which are late; none: all are taken.
    fn sort(&self, data: &RecordBatch) -> Result<Option<Sorted>, RunError> {
        let (times, nulls) = (self.shape.times(data)?, data.column(self.shape.spec.time).nulls());
        let timed = |row: usize| nulls.is_none_or(|nulls| nulls.is_valid(row));
        let earliest = match nulls.is_some_and(|nulls| nulls.null_count() > 0) {
            true => None,
            false => times.iter().min(),
        };
        let open = |end: i64| self.bound.is_none_or(|bound| end > bound);
        let mut sorted = Sorted { taken: vec![], late: vec![] };
        match &self.kind {
            Kind::Windows(windows) => {
                let mut slicer = Slicer::new(windows);
                // What the earliest row belongs to closes first.
                let first = earliest.filter(|_| !windows.leave_gaps()).map(|earliest| slicer.slice(*earliest));
                if first.is_some_and(|slice| slice.last_end.is_some_and(open)) {
                    return Ok(None);
                }
                for (row, time) in times.iter().enumerate() {
                    match slicer.slice(*time).last_end.filter(|_| timed(row)) {
                        Some(end) if open(end) => sorted.taken.push(row as u32),
                        // Between windows.
                        None if timed(row) => {}
                        _ => sorted.late.push(row as u32),
                    }
                }
            }
            Kind::Sessions(gap) => {
                let open = |at: i64| open(at.saturating_add(*gap));
                if earliest.is_some_and(|earliest| open(*earliest)) {
                    return Ok(None);
                }
                let holding = lock(&self.kept);
                let Kept::Sessions(sessions) = &holding.kept else { return Ok(None) };
                let encoded = sessions.encode(&self.shape, data)?;
                for (row, time) in times.iter().enumerate() {
                    let taken = timed(row) && (open(*time) || sessions.takes_in(&encoded, row, *time, *gap));
                    if taken { &mut sorted.taken } else { &mut sorted.late }.push(row as u32);
                }
            }
        }
        Ok(Some(sorted))
    }

    /// The rows that are on time. Late ones are set aside; those between windows are left out.
    fn arrived(&self, late: &mut Late, batch: Batch) -> Result<Option<Arrived>, RunError> {
        let rows = batch.data.num_rows();
        let first = batch.order.first_row_of(self.surroundings.epoch, rows);
        let first = first.ok_or_else(|| internal("an epoch has more splits, batches or rows than places"))?;
        let data = match self.sort(&batch.data)? {
            None => batch.data,
            Some(sorted) => {
                let pick = |rows: Vec<u32>| take_record_batch(&batch.data, &UInt32Array::from(rows)).map_err(internal);
                if !sorted.late.is_empty() {
                    let place = (batch.order.path, batch.order.split);
                    let buffer = || SpillBuffer::leaving_half(self.surroundings.budget.clone());
                    late.entry(place).or_insert_with(buffer).push(pick(sorted.late)?)?;
                }
                pick(sorted.taken)?
            }
        };
        let places = self.shape.places(&data, first)?;
        Ok(Some(Arrived { data, places }).filter(|rows| rows.data.num_rows() > 0))
    }

    /// Takes what the workers have, and their late rows.
    fn gather(&self) -> (Vec<Gathered>, Late) {
        let (mut all, mut late) = (vec![], Late::new());
        for worker in &self.workers {
            let mut worker = lock(worker);
            late.append(&mut worker.late);
            all.extend(worker.gathered.take());
        }
        (all, late)
    }

    /// What the workers had is part of what is kept.
    fn merged(&self, holding: &mut Holding) -> Result<(), RunError> {
        for worker in &self.workers {
            lock(worker).held = Held::new(self.surroundings.budget.clone());
        }
        self.fits(&mut holding.held, holding.kept.bytes())
    }

    /// The next rows of what closes; at its end, it is forgotten.
    fn next(&self, closing: &mut kept::Closing) -> Result<Option<RecordBatch>, Fault> {
        let mut holding = lock(&self.kept);
        let pace = Pace { rows: self.surroundings.batch_rows, threads: self.surroundings.workers };
        let next = holding.kept.next(&self.shape, closing, pace)?;
        if next.is_none() {
            holding.kept.settle(&self.shape, &self.kind, closing)?;
            self.merged(&mut holding)?;
        }
        Ok(next)
    }
}

impl Stateful for WindowAggregate {
    fn push(&self, worker: usize, _input: usize, batch: Batch) -> Result<(), Fault> {
        let mut worker = lock(&self.workers[worker]);
        let Worker { gathered, held, late } = &mut *worker;
        let Some(rows) = self.arrived(late, batch)? else { return Ok(()) };
        let gathered = match gathered {
            Some(gathered) => gathered,
            none => none.insert(Gathered::new(&self.shape, &self.kind)?),
        };
        gathered.absorb(&self.shape, &self.kind, &rows)?;
        Ok(self.fits(held, gathered.bytes())?)
    }

    fn finish(&self, watermark: Option<i64>) -> Result<Emissions<'_>, Fault> {
        let (gathered, late) = self.gather();
        let late = late.into_values().flat_map(drained).map(|batch| Ok(Emitted::Late(batch?)));
        let mut holding = lock(&self.kept);
        let closing = match watermark {
            Some(watermark) => Some(holding.kept.close(&self.shape, &self.kind, watermark, gathered)?),
            // Without a time nothing closes.
            None => {
                holding.kept.merge(&self.shape, &self.kind, gathered)?;
                self.merged(&mut holding)?;
                None
            }
        };
        drop(holding);
        let rows = closing.into_iter().flat_map(move |mut closing| {
            std::iter::from_fn(move || self.next(&mut closing).map(|rows| rows.map(Emitted::Rows)).transpose())
        });
        Ok(Box::new(late.chain(rows)))
    }

    fn changes(&self, extent: Extent) -> Result<Changes, RunError> {
        lock(&self.kept).kept.changes(&self.shape, extent)
    }

    fn remembered(&self) -> Remembered {
        let kept = &mut lock(&self.kept).kept;
        let (windows, first_end, last_end) = kept.open(&self.kind);
        let (entries, bytes) = (kept.live() as u64, kept.bytes() as u64);
        Remembered { unit: "groups".into(), entries, bytes, on_disk: 0, windows, first_end, last_end }
    }

    fn take_memory(&self) -> Memory {
        match Kept::new(&self.shape, &self.kind) {
            Ok(empty) => Box::new(std::mem::replace(&mut lock(&self.kept).kept, empty)),
            // Nothing that the next epoch can take over; its operator says so.
            Err(_) => Box::new(()),
        }
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod state_tests;
#[cfg(test)]
mod tests;
