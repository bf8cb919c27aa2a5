//! Keeps the rows of keys, and what follows from the rows of a key right: its first rows, or its sessions. Each worker sums up what it gets; at an epoch's end the
//! keys that it touched are looked at as they were and as they are. Knows nothing of what follows from rows.

use super::clock::Clock;
use super::sessions::{self, Sessions};
use super::stored::{are, of_rows};
use super::top::Ranking;
use super::zset::{Codec, Encoded, Entry, Zset, begin, split};
use super::{account, position, weights};
use crate::batch::Batch;
use crate::error::RunError;
use crate::keys::Keys;
use crate::operators::Fault;
use crate::operators::aggregate::accumulator::saved;
use crate::operators::kept::{Stepwise, damaged, drained, parts, recalled};
use crate::operators::stateful::{
    Before, Changes, Emissions, Emitted, Extent, Memory, Remembered, Stateful, Stored, Surroundings,
};
use crate::spill::{Held, SpillBuffer};
use arrow::array::{ArrayRef, BooleanArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Int64Type, SchemaRef};
use arrow::record_batch::RecordBatch;
use flowc_ir::Schema;
use flowc_ir::arrow_types::to_arrow_schema;
use flowc_ir::graph::{Top, WindowAggregate};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The name of the part.
const ROWS: &str = "rows";

/// So many rows, or a few more, are looked at together.
const TOGETHER: usize = 1 << 14;

/// A worker looks for rows that are not among the first when it has at least so many.
const PRUNE_ROWS: usize = 1 << 15;

/// What follows from the rows of a key.
#[derive(Debug)]
pub(super) enum Rule {
    /// The first.
    Top(Ranking),
    /// Its sessions.
    Sessions(Box<Sessions>),
}

/// What does not change.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) name: String,
    pub(super) output: SchemaRef,
    /// The positions of the keys, and their types; none: there is one key.
    pub(super) keys: Vec<usize>,
    pub(super) key_types: Vec<DataType>,
    pub(super) key_codec: Option<Keys>,
    /// The types of the columns of what is kept of a row.
    pub(super) types: Vec<DataType>,
    pub(super) codec: Codec,
    pub(super) rule: Rule,
}

impl Shape {
    /// Appends the entries of rows to nothing: calls `f` with each, and the row.
    fn entries(&self, rows: &RecordBatch, kept: &[ArrayRef], mut f: impl FnMut(&[u8], usize)) -> Result<(), RunError> {
        let (keys, encoded) = (self.encoded_keys(rows)?, self.codec.encode(kept)?);
        each(keys.as_ref(), &encoded, rows.num_rows(), &mut f);
        Ok(())
    }

    pub(super) fn encoded_keys(&self, rows: &RecordBatch) -> Result<Option<arrow::row::Rows>, RunError> {
        let columns: Vec<ArrayRef> = self.keys.iter().map(|key| Arc::clone(rows.column(*key))).collect();
        self.key_codec.as_ref().map(|codec| codec.encode(&columns)).transpose()
    }

    /// The columns of keys.
    pub(super) fn key_columns<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>, RunError> {
        self.key_codec.as_ref().map_or(Ok(vec![]), |codec| codec.decode(keys))
    }
}

fn each(keys: Option<&arrow::row::Rows>, encoded: &Encoded, rows: usize, f: &mut impl FnMut(&[u8], usize)) {
    let mut entry = vec![];
    for row in 0..rows {
        begin(keys.map_or(&[], |keys| keys.row(row).data()), &mut entry);
        encoded.append(row, &mut entry);
        f(&entry, row);
    }
}

/// What is known of the windows of a key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Span {
    /// When the next thing happens; none: nothing does.
    pub(super) due: Option<i64>,
    pub(super) last_end: i64,
    pub(super) windows: u64,
}

/// What is kept from epoch to epoch.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) rows: Zset,
    /// What the epoch has changed of them.
    pub(super) fresh: Zset,
    /// Of keys that have sessions.
    spans: BTreeMap<Box<[u8]>, Span>,
    /// The bytes that those take, about.
    span_bytes: usize,
    pub(super) clock: Clock,
}

impl Kept {
    /// Adds a row so many times.
    pub(super) fn add(&mut self, entry: &[u8], weight: i64) {
        self.rows.add(entry, weight);
        self.fresh.add(entry, weight);
    }

    /// Notes what is known of the windows of a key; none: it has no windows.
    pub(super) fn span(&mut self, key: &[u8], span: Option<Span>) {
        let bytes = key.len() + 2 * size_of::<Span>() + 16;
        match span {
            Some(span) => match self.spans.get_mut(key) {
                Some(known) => *known = span,
                None => {
                    self.spans.insert(key.into(), span);
                    self.span_bytes += bytes;
                }
            },
            None => self.span_bytes -= self.spans.remove(key).map_or(0, |_| bytes),
        }
    }

    fn bytes(&self) -> usize {
        self.rows.bytes() + self.fresh.bytes() + self.span_bytes
    }
}

/// What a worker has.
#[derive(Debug)]
struct Worker {
    rows: Zset,
    /// So many rows are looked through for those that are not among the first.
    prune_at: usize,
    held: Held,
    late: Late,
}

type Late = BTreeMap<(u32, u32), SpillBuffer>;

#[derive(Debug)]
struct Work {
    kept: Kept,
    held: Held,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct KeyedRows {
    shape: Shape,
    surroundings: Surroundings,
    /// As it was before the epoch.
    clock: Clock,
    workers: Vec<Mutex<Worker>>,
    work: Mutex<Work>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The codec of keys of these types.
fn key_codec(types: &[DataType]) -> Result<Option<Keys>, RunError> {
    if types.is_empty() { Ok(None) } else { Keys::new(types.iter()).map(Some) }
}

impl KeyedRows {
    /// The first rows of each key.
    pub(crate) fn top(
        spec: &Top,
        (input, output): (&Schema, &Schema),
        surroundings: Surroundings,
        before: Before,
    ) -> Result<KeyedRows, RunError> {
        let weight = position(input);
        let (input, output) = (to_arrow_schema(input), to_arrow_schema(output));
        let keys: Vec<usize> =
            spec.window.into_iter().flat_map(|(start, end)| [end, start]).chain(spec.keys.clone()).collect();
        let key_types: Vec<DataType> = keys.iter().map(|key| input.field(*key).data_type().clone()).collect();
        let ranking = Ranking::new(spec, &output, weight)?;
        let types = ranking.types(&input);
        let (codec, key_codec) = (ranking.codec(&types)?, key_codec(&key_types)?);
        let (name, rule) = (spec.name.clone(), Rule::Top(ranking));
        let shape = Shape { name, output, keys, key_types, key_codec, types, codec, rule };
        KeyedRows::new(shape, Clock::default(), surroundings, before)
    }

    /// Aggregates by key and session.
    pub(crate) fn sessions(
        spec: &WindowAggregate,
        (input, output): (&Schema, &Schema),
        surroundings: Surroundings,
        before: Before,
    ) -> Result<KeyedRows, RunError> {
        let changing = position(input).is_some();
        let sessions = Sessions::new(spec, input, changing)?;
        let (input, output) = (to_arrow_schema(input), to_arrow_schema(output));
        let keys = spec.aggregate.keys.clone();
        let key_types: Vec<DataType> = keys.iter().map(|key| input.field(*key).data_type().clone()).collect();
        let types = sessions.types(&input);
        let (codec, key_codec) = (Codec::new(&types, &[])?, key_codec(&key_types)?);
        let (name, rule) = (spec.name.clone(), Rule::Sessions(Box::new(sessions)));
        let shape = Shape { name, output, keys, key_types, key_codec, types, codec, rule };
        let latest = surroundings.watermark;
        let clock = Clock { late: spec.late, waits: !changing, sessions: true, latest, ..Clock::default() };
        KeyedRows::new(shape, clock, surroundings, before)
    }

    fn new(shape: Shape, clock: Clock, surroundings: Surroundings, before: Before) -> Result<KeyedRows, RunError> {
        let mut kept = recalled(before, &shape.name, || Ok(Kept::default()), |stored| restore(&shape, clock, &stored))?;
        kept.clock = Clock { latest: kept.clock.latest.max(clock.latest), closed: kept.clock.closed, ..clock };
        kept.fresh = Zset::default();
        let budget = &surroundings.budget;
        let mut held = Held::new(budget.clone());
        account(&mut held, budget, kept.bytes(), &shape.name)?;
        let worker = || Worker {
            rows: Zset::default(),
            prune_at: PRUNE_ROWS,
            held: Held::new(budget.clone()),
            late: Late::new(),
        };
        let workers = (0..surroundings.workers.max(1)).map(|_| Mutex::new(worker())).collect();
        Ok(KeyedRows { clock: kept.clock, shape, surroundings, workers, work: Mutex::new(Work { kept, held }) })
    }

    /// Rows that are late are set aside.
    fn separate(&self, late: &mut Late, batch: &mut Batch) -> Result<(), Fault> {
        let Rule::Sessions(sessions) = &self.shape.rule else { return Ok(()) };
        let too_late = {
            let work = lock(&self.work);
            sessions::late(sessions, &self.shape, &work.kept.rows, &self.clock, &batch.data)?
        };
        let Some(too_late) = too_late else { return Ok(()) };
        let too_late = BooleanArray::from(too_late);
        let place = (batch.order.path, batch.order.split);
        let buffer = || SpillBuffer::leaving_half(self.surroundings.budget.clone());
        late.entry(place).or_insert_with(buffer).push(filter_record_batch(&batch.data, &too_late)?)?;
        batch.data = filter_record_batch(&batch.data, &arrow::compute::not(&too_late)?)?;
        Ok(())
    }

    /// What is kept of rows, a column for each type of the shape.
    fn kept_columns(&self, batch: &Batch) -> Result<Vec<ArrayRef>, RunError> {
        match &self.shape.rule {
            Rule::Top(ranking) => Ok(ranking.columns(&batch.data)),
            Rule::Sessions(sessions) => sessions.columns(batch, self.surroundings.epoch),
        }
    }

    /// What the workers have, in one; and the late rows.
    fn gather(&self) -> Result<(Zset, Late, Held), RunError> {
        let (mut all, mut late, mut held) = (Zset::default(), Late::new(), Held::new(self.surroundings.budget.clone()));
        for worker in &self.workers {
            let mut worker = lock(worker);
            late.append(&mut worker.late);
            // From here on the bytes are counted with the others.
            worker.held = Held::new(self.surroundings.budget.clone());
            all.merge(std::mem::take(&mut worker.rows));
            account(&mut held, &self.surroundings.budget, all.bytes(), &self.shape.name)?;
        }
        Ok((all, late, held))
    }
}

impl Stateful for KeyedRows {
    fn push(&self, worker: usize, _input: usize, mut batch: Batch) -> Result<(), Fault> {
        let mut worker = lock(&self.workers[worker % self.workers.len()]);
        let Worker { rows, prune_at, held, late } = &mut *worker;
        self.separate(late, &mut batch)?;
        if batch.data.num_rows() == 0 {
            return Ok(());
        }
        let (kept, weights) = (self.kept_columns(&batch)?, weights(&batch.data)?);
        let weight = |row: usize| weights.map_or(1, |weights| weights[row]);
        self.shape.entries(&batch.data, &kept, |entry, row| rows.add(entry, weight(row)))?;
        if let Rule::Top(ranking) = &self.shape.rule
            && ranking.appends()
            && (rows.len() >= *prune_at || !held.grow_to(rows.bytes()))
        {
            rows.keep_first(ranking.count());
            *prune_at = PRUNE_ROWS.max(2 * rows.len());
        }
        Ok(account(held, &self.surroundings.budget, rows.bytes(), &self.shape.name)?)
    }

    fn finish(&self, watermark: Option<i64>) -> Result<Emissions<'_>, Fault> {
        let (delta, late, held) = self.gather()?;
        let clock = self.clock.at(watermark);
        let mut keys: Vec<Box<[u8]>> = delta.keys().map(Into::into).collect();
        let due =
            |span: &Span| span.due.is_some_and(|due| clock.over || clock.latest.is_some_and(|latest| due < latest));
        keys.extend(lock(&self.work).kept.spans.iter().filter(|(_, span)| due(span)).map(|(key, _)| key.clone()));
        keys.sort_unstable();
        keys.dedup();
        let late = drained(late.into_values());
        let (keys, made) = (keys.into(), VecDeque::new());
        Ok(Run { operator: self, clock, late, delta, keys, last: None, over: false, made, _held: held }.emissions())
    }

    fn changes(&self, extent: Extent) -> Result<Changes, RunError> {
        let kept = &lock(&self.work).kept;
        let whole = extent.whole(kept.fresh.len(), kept.rows.len());
        let mut notes = BTreeMap::new();
        kept.clock.note(&mut notes);
        let columns = |entries: &[Entry<'_>]| {
            let keys = self.shape.key_columns(entries.iter().map(|(entry, _)| split(entry).0))?;
            Ok((keys, self.shape.codec.decode(entries.iter().map(|(entry, _)| split(entry).1))?))
        };
        let segments = of_rows(ROWS, if whole { &kept.rows } else { &kept.fresh }, columns)?;
        Ok(Changes { whole, notes, segments, more: None })
    }

    fn remembered(&self) -> Remembered {
        let kept = &lock(&self.work).kept;
        Remembered {
            unit: ROWS.into(),
            entries: kept.rows.len() as u64,
            bytes: kept.bytes() as u64,
            on_disk: 0,
            windows: kept.spans.values().map(|span| span.windows).sum(),
            first_end: kept.spans.values().filter_map(|span| span.due).min(),
            last_end: kept.spans.values().map(|span| span.last_end).max(),
        }
    }

    fn take_memory(&self) -> Memory {
        Box::new(std::mem::take(&mut lock(&self.work).kept))
    }
}

fn restore(shape: &Shape, clock: Clock, stored: &Stored) -> Result<Kept, RunError> {
    let mut kept = Kept { clock: clock.noted(stored)?, ..Kept::default() };
    kept.clock.latest = kept.clock.latest.max(clock.latest);
    let width = shape.key_types.len();
    for segment in &stored.segments {
        let (keys, rest) = segment.columns().split_at_checked(width).ok_or_else(|| damaged(&shape.name))?;
        let (rows, weights) = rest.split_at_checked(shape.types.len()).ok_or_else(|| damaged(&shape.name))?;
        if !are(keys, &shape.key_types) || !are(rows, &shape.types) {
            return Err(damaged(&shape.name));
        }
        let weights = saved::<Int64Type>(weights, 0)?;
        let keys = shape.key_codec.as_ref().map(|codec| codec.encode(keys)).transpose()?;
        let encoded = shape.codec.encode(rows)?;
        each(keys.as_ref(), &encoded, segment.num_rows(), &mut |entry, row| kept.rows.add(entry, weights.value(row)));
    }
    if let Rule::Sessions(sessions) = &shape.rule {
        sessions::spans(sessions, shape, &mut kept)?;
    }
    Ok(kept)
}

/// The end of an epoch.
struct Run<'a> {
    operator: &'a KeyedRows,
    clock: Clock,
    late: Box<dyn Iterator<Item = Result<RecordBatch, RunError>> + Send>,
    /// What the epoch brought.
    delta: Zset,
    /// The keys that are to be looked at.
    keys: VecDeque<Box<[u8]>>,
    /// The greatest end of a window so far.
    last: Option<i64>,
    over: bool,
    made: VecDeque<Emitted>,
    _held: Held,
}

impl Run<'_> {
    /// What comes out of the next keys.
    fn next(&mut self, kept: &mut Kept) -> Result<Option<RecordBatch>, Fault> {
        let (mut together, mut rows) = (vec![], 0);
        while rows < TOGETHER
            && let Some(key) = self.keys.pop_front()
        {
            rows += 1 + match &self.operator.shape.rule {
                Rule::Top(ranking) => usize::try_from(ranking.count()).map_or(TOGETHER, |count| count.min(TOGETHER)),
                Rule::Sessions(_) => kept.rows.of(&key).count(),
            };
            together.push(key);
        }
        let shape = &self.operator.shape;
        let out = match &shape.rule {
            Rule::Top(ranking) => ranking.differences(shape, kept, &self.delta, &together)?,
            Rule::Sessions(sessions) => {
                let clocks = (&self.operator.clock, &self.clock);
                let (out, last) = sessions.differences(shape, kept, &self.delta, &together, clocks)?;
                self.last = self.last.max(last);
                out
            }
        };
        Ok(out.filter(|out| out.num_rows() > 0))
    }
}

impl Stepwise for Run<'_> {
    fn made(&mut self) -> &mut VecDeque<Emitted> {
        &mut self.made
    }

    fn step(&mut self) -> Result<bool, Fault> {
        let Surroundings { batch_rows, budget, .. } = &self.operator.surroundings;
        if let Some(late) = self.late.next().transpose()? {
            self.made.extend(parts(late, *batch_rows).map(Emitted::Late));
            return Ok(false);
        }
        let mut work = lock(&self.operator.work);
        let Work { kept, held } = &mut *work;
        if self.keys.is_empty() {
            if self.over {
                return Ok(true);
            }
            kept.clock = self.clock.behind(self.last);
            self.over = true;
            return Ok(false);
        }
        let out = self.next(kept)?;
        account(held, budget, kept.bytes(), &self.operator.shape.name)?;
        self.made.extend(out.into_iter().flat_map(|out| parts(out, *batch_rows)).map(Emitted::Rows));
        Ok(false)
    }
}
