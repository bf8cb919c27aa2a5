//! Groups with their accumulators, within a bound of memory: when there is no room for more groups, those that are there go on, and the rows of all others
//! wait in temporary files, divided by their keys. Knows nothing of workers or of what becomes of the groups.

use super::accumulator::{Accumulator, Failed, Pair, Places, Rows};
use super::groups::{Groups, Known};
use super::{Shape, accumulator};
use crate::batch::RowOrder;
use crate::error::RunError;
use crate::operators::internal;
use crate::operators::sort::RunReader;
use crate::spill::{Budget, Writer, create, reopen, spill_error};
use crate::text::row_text;
use arrow::array::{ArrayRef, AsArray, UInt32Array, UInt64Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType as A, Field, Schema as ArrowSchema, UInt64Type};
use arrow::record_batch::RecordBatch;
use std::sync::Arc;

/// Bits of a key's hash that choose its part.
const BITS: u32 = 4;

/// How often rows can be divided.
const DEPTH: u32 = 64 / BITS - 1;

/// What a table may hold beyond the budget before it gives up: the budget can be very small.
const GRACE: usize = 8 << 20;

/// Rows with their places in the input.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) data: RecordBatch,
    pub(super) places: Places,
}

impl Part {
    fn pick(&self, columns: &[usize]) -> Vec<ArrayRef> {
        columns.iter().map(|c| Arc::clone(self.data.column(*c))).collect()
    }

    fn take(&self, rows: Vec<u32>) -> Result<Part, RunError> {
        let places = Places::Each(rows.iter().map(|row| self.places.of(*row as usize)).collect());
        let data = take_record_batch(&self.data, &UInt32Array::from(rows)).map_err(internal)?;
        Ok(Part { data, places })
    }

    /// The rows with their places in two more columns.
    fn pack(&self) -> Result<RecordBatch, RunError> {
        let half = |shift: u32| {
            let half = |row| (self.places.of(row) >> shift) as u64;
            Arc::new(UInt64Array::from_iter_values((0..self.data.num_rows()).map(half))) as ArrayRef
        };
        let fields = self.data.schema().fields().iter().cloned().collect::<Vec<_>>();
        let place = || Arc::new(Field::new("", A::UInt64, false));
        let fields: Vec<_> = fields.into_iter().chain([place(), place()]).collect();
        let columns = self.data.columns().iter().cloned().chain([half(64), half(0)]).collect();
        RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), columns).map_err(internal)
    }

    /// The reverse of [`Part::pack`].
    pub(super) fn unpack(packed: &RecordBatch) -> Result<Part, RunError> {
        let width = packed.num_columns() - 2;
        let half = |i: usize| packed.column(width + i).as_primitive::<UInt64Type>().values();
        let place = |(high, low): (&u64, &u64)| RowOrder::from(*high) << 64 | RowOrder::from(*low);
        let places = Places::Each(half(0).iter().zip(half(1)).map(place).collect());
        Ok(Part { data: packed.project(&(0..width).collect::<Vec<_>>()).map_err(internal)?, places })
    }
}

/// The place of the first group that has no result, and why it has none.
pub(super) type Unfinished = Box<(RowOrder, RunError)>;

fn unfinished(error: RunError) -> Unfinished {
    Box::new((0, error))
}

/// Groups with their accumulators.
#[derive(Debug)]
pub(super) struct State {
    /// None: there are no keys, and one group.
    groups: Option<Groups>,
    accumulators: Vec<Box<dyn Accumulator>>,
}

impl State {
    pub(super) fn new(shape: &Shape) -> Result<State, RunError> {
        let types: Vec<A> = shape.spec.keys.iter().map(|k| shape.input.field(*k).data_type().clone()).collect();
        let groups = (!types.is_empty()).then(|| Groups::new(&types)).transpose()?;
        let accumulators = shape.spec.aggregates.iter().map(|call| accumulator(call, &shape.schema));
        Ok(State { groups, accumulators: accumulators.collect::<Result<_, _>>()? })
    }

    fn count(&self) -> usize {
        self.groups.as_ref().map_or(1, Groups::len)
    }

    fn bytes(&self) -> usize {
        let values: usize = self.accumulators.iter().map(|a| a.bytes()).sum();
        self.groups.as_ref().map_or(0, Groups::bytes) + values
    }

    fn grows(&self) -> bool {
        self.accumulators.iter().any(|a| a.grows())
    }

    fn update(&mut self, shape: &Shape, part: &Part, groups: &[u32]) -> Result<(), RunError> {
        let count = self.count();
        for (call, accumulator) in shape.spec.aggregates.iter().zip(&mut self.accumulators) {
            let args = part.pick(&call.args);
            let filter = call.filter.map(|c| part.data.column(c).as_boolean());
            accumulator.update(&Rows { groups, filter, args: &args, places: &part.places, count, weights: None })?;
        }
        Ok(())
    }

    /// Takes all rows.
    fn absorb(&mut self, shape: &Shape, part: &Part) -> Result<(), RunError> {
        let groups = match &mut self.groups {
            Some(groups) => groups.assign(&part.pick(&shape.spec.keys), &part.places)?,
            None => vec![0; part.data.num_rows()],
        };
        self.update(shape, part, &groups)
    }

    /// Takes the rows of groups that are there; returns the others with the hashes of their keys.
    pub(super) fn absorb_known(&mut self, shape: &Shape, part: Part) -> Result<Option<(Part, Vec<u64>)>, RunError> {
        let Some(groups) = &mut self.groups else {
            self.absorb(shape, &part)?;
            return Ok(None);
        };
        let Known { rows, groups, others } = groups.known(&part.pick(&shape.spec.keys), &part.places)?;
        if others.is_empty() {
            self.update(shape, &part, &groups)?;
            return Ok(None);
        }
        if !rows.is_empty() {
            self.update(shape, &part.take(rows)?, &groups)?;
        }
        let (rows, hashes): (Vec<u32>, Vec<u64>) = others.into_iter().unzip();
        let rest = if rows.len() == part.data.num_rows() { part } else { part.take(rows)? };
        Ok(Some((rest, hashes)))
    }

    fn merge(&mut self, other: State) -> Result<(), RunError> {
        let map = match (&mut self.groups, other.groups) {
            (Some(groups), Some(others)) => groups.merge(&others)?,
            _ => vec![0],
        };
        let (pairs, count): (Vec<Pair>, usize) = ((0..).zip(map).collect(), self.count());
        for (mine, theirs) in self.accumulators.iter_mut().zip(other.accumulators) {
            mine.merge(&*theirs, &pairs, count)?;
        }
        Ok(())
    }

    /// The columns of these groups.
    fn columns(&self, shape: &Shape, order: &[u32]) -> Result<Vec<ArrayRef>, Unfinished> {
        let first = |group: u32, groups: &Option<Groups>| groups.as_ref().map_or(0, |g| g.first(group));
        let mut columns = match &self.groups {
            Some(groups) => groups.columns(order).map_err(unfinished)?,
            None => vec![],
        };
        let keys = columns.len();
        let mut failed: Option<(RowOrder, RunError)> = None;
        for (call, accumulator) in shape.spec.aggregates.iter().zip(&self.accumulators) {
            match accumulator.finish(order) {
                Ok(column) => columns.push(column),
                Err(Failed::Run(error)) => return Err(unfinished(error)),
                Err(Failed::Group(group, failure)) => {
                    let place = first(group, &self.groups);
                    if failed.as_ref().is_some_and(|(before, _)| *before <= place) {
                        continue;
                    }
                    let mut error = RunError::data(failure.code.code(), failure.message).at(call.origin);
                    if let Some(groups) = &self.groups {
                        let schema = Arc::new(ArrowSchema::new(shape.output.fields()[..keys].to_vec()));
                        let key = groups.columns(&[group]).map_err(unfinished)?;
                        let key = RecordBatch::try_new(schema, key).map_err(|e| unfinished(internal(e)))?;
                        error.row = row_text(&key, 0);
                    }
                    failed = Some((place, error));
                }
            }
        }
        failed.map_or(Ok(columns), |failed| Err(Box::new(failed)))
    }

    /// The groups in the order of their first rows, in batches.
    pub(super) fn into_batches(self, shape: Arc<Shape>, rows: usize) -> Batches {
        let order = self.groups.as_ref().map_or(vec![0], Groups::in_order);
        Batches { shape, rows, state: self, order, next: 0 }
    }
}

/// See [`State::into_batches`]; each batch with the places of its groups.
#[derive(Debug)]
pub(super) struct Batches {
    shape: Arc<Shape>,
    rows: usize,
    state: State,
    order: Vec<u32>,
    next: usize,
}

impl Iterator for Batches {
    type Item = Result<(RecordBatch, Vec<RowOrder>), Unfinished>;

    fn next(&mut self) -> Option<Self::Item> {
        let end = self.order.len().min(self.next + self.rows);
        let order = &self.order[std::mem::replace(&mut self.next, end)..end];
        if order.is_empty() {
            return None;
        }
        let made = self.state.columns(&self.shape, order).and_then(|columns| {
            RecordBatch::try_new(Arc::clone(&self.shape.output), columns).map_err(|e| unfinished(internal(e)))
        });
        if made.is_err() {
            self.next = self.order.len();
        }
        let place = |group: &u32| self.state.groups.as_ref().map_or(0, |groups| groups.first(*group));
        Some(made.map(|batch| (batch, order.iter().map(place).collect())))
    }
}

/// Rows in temporary files, divided by the hashes of their keys.
type Overflow = Vec<Option<Writer>>;

/// A state that takes rows until memory is short.
pub(super) struct Table {
    state: State,
    /// The bytes taken from the budget.
    held: usize,
    /// How often the rows have been divided before.
    depth: u32,
    overflow: Option<Overflow>,
    budget: Budget,
}

/// A table at its end.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) state: State,
    pub(super) held: usize,
    /// The rows that it did not take, divided.
    pub(super) rest: Vec<Vec<RunReader>>,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let divided = self.overflow.is_some();
        f.debug_struct("Table").field("state", &self.state).field("divided", &divided).finish_non_exhaustive()
    }
}

impl Table {
    pub(super) fn new(shape: &Shape, depth: u32, budget: Budget) -> Result<Table, RunError> {
        Ok(Table { state: State::new(shape)?, held: 0, depth, overflow: None, budget })
    }

    pub(super) fn push(&mut self, shape: &Shape, part: Part) -> Result<(), RunError> {
        if self.overflow.is_none() {
            self.state.absorb(shape, &part)?;
        } else if let Some((rest, hashes)) = self.state.absorb_known(shape, part)? {
            self.set_aside(&rest, &hashes)?;
        }
        self.account()
    }

    /// Writes rows to the files of their parts.
    fn set_aside(&mut self, rest: &Part, hashes: &[u64]) -> Result<(), RunError> {
        let mut rows: Vec<Vec<u32>> = vec![vec![]; 1 << BITS];
        for (row, hash) in hashes.iter().enumerate() {
            let part = hash >> (64 - BITS * (self.depth + 1)) & ((1 << BITS) - 1);
            rows[part as usize].push(row as u32);
        }
        let files = self.overflow.get_or_insert_default();
        for (file, rows) in files.iter_mut().zip(rows).filter(|(_, rows)| !rows.is_empty()) {
            let packed = rest.take(rows)?.pack()?;
            let file = match file {
                Some(file) => file,
                none => none.insert(create(&self.budget.directory, packed.schema())?),
            };
            file.write(&packed).map_err(spill_error)?;
        }
        Ok(())
    }

    /// Counts what the state takes; sees to it that no groups are added when there is no room.
    fn account(&mut self) -> Result<(), RunError> {
        let bytes = self.state.bytes();
        let more = bytes.saturating_sub(self.held);
        // The other half is for what comes back from the files.
        let first = self.depth == 0 && self.overflow.is_none();
        if first && self.state.groups.is_some() && !self.budget.take_of_half(more) || !first && !self.budget.take(more)
        {
            if self.state.groups.is_some() && self.overflow.is_none() && self.depth < DEPTH {
                self.overflow = Some((0..1 << BITS).map(|_| None).collect());
            } else if self.state.grows() && bytes > (self.budget.total / 4).max(GRACE) {
                return Err(too_large(&self.budget));
            }
            return Ok(());
        }
        self.held = self.held.max(bytes);
        Ok(())
    }

    pub(super) fn end(self) -> Result<Ended, RunError> {
        let files = self.overflow.unwrap_or_default().into_iter();
        let rest = files.map(|file| Ok(file.map(reopen).transpose()?.into_iter().collect()));
        Ok(Ended { state: self.state, held: self.held, rest: rest.collect::<Result<_, RunError>>()? })
    }
}

impl Ended {
    /// Takes another worker's table.
    pub(super) fn merge(&mut self, other: Ended) -> Result<(), RunError> {
        self.state.merge(other.state)?;
        self.held += other.held;
        self.rest.resize_with(self.rest.len().max(other.rest.len()), Vec::new);
        self.rest.iter_mut().zip(other.rest).for_each(|(mine, theirs)| mine.extend(theirs));
        Ok(())
    }
}

fn too_large(budget: &Budget) -> RunError {
    let text = format!("what an aggregate collects does not fit the {} MiB of --memory", budget.total >> 20);
    RunError::data("R0110", text)
        .help("raise --memory, collect less (filter, or count instead of collecting), or add keys to `by`")
}
