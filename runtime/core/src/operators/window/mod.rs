//! Groups and aggregates by windows of event time: each worker aggregates what it gets, at an epoch's end what they have is merged into what is remembered, and
//! the windows that the watermark has passed come out. No result depends on who got what, or on how rows were cut into batches and epochs. Knows nothing of
//! sources, of how watermarks come about, or of where anything is stored.

mod cells;
mod open;
mod out;
mod values;
mod windows;

use super::aggregate::accumulator::Places;
use super::stateful::{Before, Changes, Emissions, Emitted, Memory, Remembered, Stateful, Surroundings};
use super::{Fault, internal};
use crate::batch::Batch;
use crate::error::RunError;
use crate::spill::{Budget, Held, SpillBuffer};
use arrow::array::{Array, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::record_batch::RecordBatch;
use flowc_ir::Schema;
use flowc_ir::graph;
use open::{Closing, Open, Slicer, Table};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use values::{Arrived, Shape};
use windows::Windows;

/// The operator.
#[derive(Debug)]
pub(crate) struct WindowAggregate {
    shape: Arc<Shape>,
    windows: Windows,
    surroundings: Surroundings,
    /// A row is late whose last window ends by then.
    bound: Option<i64>,
    workers: Vec<Mutex<Worker>>,
    kept: Mutex<Kept>,
}

/// What a worker has.
#[derive(Debug)]
struct Worker {
    table: Option<Table>,
    held: Held,
    /// Late rows, by path and split; those of one come in order.
    late: Late,
}

type Late = BTreeMap<(u32, u32), SpillBuffer>;

/// What is remembered, with the memory for it.
#[derive(Debug)]
struct Kept {
    open: Open,
    held: Held,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn too_large(name: &str, budget: &Budget) -> RunError {
    let mib = budget.total >> 20;
    RunError::data("R0116", format!("what `{name}` remembers of open windows does not fit the {mib} MiB of --memory"))
        .help("nothing was committed; raise --memory, let an epoch take less, group by fewer keys, or make windows shorter")
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
        let windows = Windows::new(&spec.window)?;
        let open = match before {
            Before::Nothing => Open::new(&shape)?,
            Before::Stored(_) => return Err(internal("windows are not restored yet")),
            Before::Memory(memory) => {
                *memory.downcast::<Open>().map_err(|_| internal("windows got what another step remembers"))?
            }
        };
        let bound = surroundings.watermark.max(open.closed);
        let worker = || Worker { table: None, held: Held::new(surroundings.budget.clone()), late: Late::new() };
        let workers = (0..surroundings.workers.max(1)).map(|_| Mutex::new(worker())).collect();
        let mut held = Held::new(surroundings.budget.clone());
        if !held.grow_to(open.bytes()) {
            return Err(too_large(&spec.name, &surroundings.budget));
        }
        Ok(WindowAggregate { shape, windows, surroundings, bound, workers, kept: Mutex::new(Kept { open, held }) })
    }

    fn fits(&self, held: &mut Held, bytes: usize) -> Result<(), RunError> {
        if held.grow_to(bytes) { Ok(()) } else { Err(too_large(&self.shape.spec.name, &self.surroundings.budget)) }
    }

    /// Which rows are taken and which are late; none: all are taken.
    fn sort(&self, data: &RecordBatch) -> Result<Option<Sorted>, RunError> {
        let (times, nulls) = (self.shape.times(data)?, data.column(self.shape.spec.time).nulls());
        let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
        let on_time = |last_end: Option<i64>| last_end.is_some_and(|end| self.bound.is_none_or(|bound| end > bound));
        let mut slicer = Slicer::new(&self.windows);
        if nulls.is_none() && !self.windows.leave_gaps() {
            // What the earliest row belongs to closes first.
            let Some(earliest) = times.iter().min() else { return Ok(None) };
            if on_time(slicer.slice(*earliest).last_end) {
                return Ok(None);
            }
        }
        let mut sorted = Sorted { taken: vec![], late: vec![] };
        for (row, time) in times.iter().enumerate() {
            let last_end = slicer.slice(*time).last_end;
            let timed = nulls.is_none_or(|nulls| nulls.is_valid(row));
            if timed && on_time(last_end) {
                sorted.taken.push(row as u32);
            } else if !timed || last_end.is_some() {
                sorted.late.push(row as u32);
            }
        }
        Ok(Some(sorted))
    }

    /// The rows that are on time. Late ones are set aside; those between windows are left out.
    fn arrived(&self, late: &mut Late, batch: Batch) -> Result<Option<Arrived>, RunError> {
        let rows = batch.data.num_rows();
        let first = batch.order.first_row_of(self.surroundings.epoch, rows);
        let first = first.ok_or_else(|| internal("an epoch has more splits, batches or rows than places"))?;
        let (data, taken) = match self.sort(&batch.data)? {
            None => (batch.data, None),
            Some(sorted) => {
                let pick =
                    |rows: &[u32]| take_record_batch(&batch.data, &UInt32Array::from(rows.to_vec())).map_err(internal);
                if !sorted.late.is_empty() {
                    let place = (batch.order.path, batch.order.split);
                    let buffer = || SpillBuffer::leaving_half(self.surroundings.budget.clone());
                    late.entry(place).or_insert_with(buffer).push(pick(&sorted.late)?)?;
                }
                (pick(&sorted.taken)?, Some(sorted.taken))
            }
        };
        if data.num_rows() == 0 {
            return Ok(None);
        }
        let places = match self.shape.is_ordered() {
            true => self.shape.places(&data, first, taken.as_deref())?,
            false => Places::From(first),
        };
        Ok(Some(Arrived { data, places }))
    }

    /// Moves what the workers have to what is remembered; the late rows come back.
    fn gather(&self) -> Result<Late, RunError> {
        let mut all = Late::new();
        let mut kept = lock(&self.kept);
        let Kept { open, held } = &mut *kept;
        for worker in &self.workers {
            let mut worker = lock(worker);
            all.append(&mut worker.late);
            if let Some(table) = worker.table.take() {
                open.merge(table)?;
                worker.held = Held::new(self.surroundings.budget.clone());
                self.fits(held, open.bytes())?;
            }
        }
        Ok(all)
    }
}

impl Stateful for WindowAggregate {
    fn push(&self, worker: usize, _input: usize, batch: Batch) -> Result<(), Fault> {
        let mut worker = lock(&self.workers[worker]);
        let Worker { table, held, late } = &mut *worker;
        let Some(rows) = self.arrived(late, batch)? else { return Ok(()) };
        let table = match table {
            Some(table) => table,
            none => none.insert(Table::new(&self.shape)?),
        };
        table.absorb(&self.shape, &self.windows, &rows)?;
        Ok(self.fits(held, table.bytes())?)
    }

    fn finish(&self, watermark: Option<i64>) -> Result<Emissions<'_>, Fault> {
        let late = self.gather()?;
        let closing = match watermark {
            Some(watermark) => lock(&self.kept).open.close(&self.windows, watermark),
            None => vec![],
        };
        let late = late.into_values().flat_map(drained).map(|batch| Ok(Emitted::Late(batch?)));
        let mut closing = Closing::new(closing);
        let rows = std::iter::from_fn(move || {
            let mut kept = lock(&self.kept);
            let next = closing.next(&self.shape, &self.windows, &kept.open, self.surroundings.batch_rows);
            if let Ok(None) = next
                && let Err(error) = kept.open.forget(&self.shape, &self.windows)
            {
                return Some(Err(error.into()));
            }
            next.map(|batch| batch.map(Emitted::Rows)).transpose()
        });
        Ok(Box::new(late.chain(rows)))
    }

    fn changes(&self, _whole: bool) -> Result<Changes, RunError> {
        let mut kept = lock(&self.kept);
        kept.open.forget(&self.shape, &self.windows)?;
        Err(internal("windows are not stored yet"))
    }

    fn remembered(&self) -> Remembered {
        let kept = lock(&self.kept);
        let (windows, first_end, last_end) = kept.open.open(&self.windows);
        let (entries, bytes) = (kept.open.live as u64, kept.open.bytes() as u64);
        Remembered { unit: "groups".into(), entries, bytes, windows, first_end, last_end }
    }

    fn into_memory(&self) -> Memory {
        let empty = Open::new(&self.shape);
        match empty {
            Ok(empty) => Box::new(std::mem::replace(&mut lock(&self.kept).open, empty)),
            // The next epoch's operator tells it.
            Err(_) => Box::new(()),
        }
    }
}

#[cfg(test)]
mod tests;
