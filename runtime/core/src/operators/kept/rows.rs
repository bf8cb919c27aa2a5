//! Rows that are remembered, as they came: in chunks of columns, each row with a number, a time and a flag. Rows are forgotten as time passes, chunk by chunk;
//! a chunk is copied when half of it is dead, so that forgetting costs no more than remembering did. Knows nothing of keys.

use super::{Horizon, damaged, mark};
use crate::error::RunError;
use crate::operators::internal;
use crate::spill::batch_bytes;
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatchOptions, UInt32Array, new_null_array};
use arrow::buffer::ScalarBuffer;
use arrow::compute::{concat_batches, interleave, take};
use arrow::datatypes::{DataType, Field, Int64Type, Schema as ArrowSchema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use std::ops::Range;
use std::sync::Arc;

/// Chunks are put together up to so many rows.
const CHUNK_ROWS: usize = 1 << 16;

/// A stored batch has at most so many rows, and about so many bytes.
const SEGMENT_ROWS: usize = 1 << 20;
const SEGMENT_BYTES: usize = 1 << 28;

/// Where a row is. It holds until [`KeptRows::sweep`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::operators) struct Place {
    chunk: u32,
    row: u32,
}

impl Place {
    /// No row: nulls.
    pub(in crate::operators) const NONE: Place = Place { chunk: u32::MAX, row: 0 };
}

/// A row whose time has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::operators) struct Due {
    pub(in crate::operators) time: i64,
    pub(in crate::operators) id: u64,
    pub(in crate::operators) place: Place,
}

/// The numbers of a chunk's rows, ascending.
#[derive(Debug)]
pub(in crate::operators) enum Ids {
    From(u64),
    Each(Vec<u64>),
}

impl Ids {
    /// The number of a row.
    pub(in crate::operators) fn get(&self, row: usize) -> u64 {
        match self {
            Ids::From(first) => first + row as u64,
            Ids::Each(ids) => ids[row],
        }
    }

    fn find(&self, id: u64) -> Option<usize> {
        match self {
            Ids::From(first) => id.checked_sub(*first).map(|row| row as usize),
            Ids::Each(ids) => ids.binary_search(&id).ok(),
        }
    }

    /// In the shortest form.
    fn new(ids: Vec<u64>) -> Ids {
        match (ids.first(), ids.last()) {
            (Some(first), Some(last)) if last - first + 1 == ids.len() as u64 => Ids::From(*first),
            _ => Ids::Each(ids),
        }
    }
}

#[derive(Debug)]
struct Chunk {
    batch: RecordBatch,
    times: ScalarBuffer<i64>,
    ids: Ids,
    flagged: Vec<bool>,
    /// The rows by time.
    by_time: Vec<u32>,
    /// So many of them are over.
    dead: usize,
    /// So many of the others are forgotten because of their flag.
    gone: usize,
    bytes: usize,
}

impl Chunk {
    fn new(batch: RecordBatch, times: ScalarBuffer<i64>, ids: Ids, flagged: Vec<bool>, forgets: bool) -> Chunk {
        let mut by_time: Vec<u32> = (0..batch.num_rows() as u32).collect();
        by_time.sort_unstable_by_key(|row| (times[*row as usize], *row));
        let gone = if forgets { flagged.iter().filter(|flag| **flag).count() } else { 0 };
        let numbers = if matches!(ids, Ids::Each(_)) { size_of::<u64>() } else { 0 };
        let row = size_of::<i64>() + size_of::<u32>() + 1 + numbers;
        let bytes = batch_bytes(&batch) + batch.num_rows() * row;
        Chunk { batch, times, ids, flagged, by_time, dead: 0, gone, bytes }
    }

    fn rows(&self) -> usize {
        self.batch.num_rows()
    }

    fn live(&self) -> usize {
        self.rows() - self.dead - self.gone
    }

    /// The rows that are remembered, in order.
    fn kept(&self, forgets: bool) -> Vec<u32> {
        let mut keep: Vec<bool> = self.flagged.iter().map(|flagged| !(forgets && *flagged)).collect();
        self.by_time[..self.dead].iter().for_each(|row| keep[*row as usize] = false);
        (0..self.rows() as u32).filter(|row| keep[*row as usize]).collect()
    }

    /// The same without the rows that are not remembered.
    fn compacted(&self, forgets: bool) -> Result<Chunk, RunError> {
        let rows = self.kept(forgets);
        let ids = Ids::new(rows.iter().map(|row| self.ids.get(*row as usize)).collect());
        let times = rows.iter().map(|row| self.times[*row as usize]).collect();
        let flagged = rows.iter().map(|row| self.flagged[*row as usize]).collect();
        Ok(Chunk::new(taken(&self.batch, rows)?, times, ids, flagged, forgets))
    }

    /// Neighbours in one.
    fn joined(schema: &SchemaRef, of: &[Chunk], forgets: bool) -> Result<Chunk, RunError> {
        let batch = concat_batches(schema, of.iter().map(|c| &c.batch)).map_err(internal)?;
        let ids = of.iter().flat_map(|c| (0..c.rows()).map(|row| c.ids.get(row))).collect();
        let times = of.iter().flat_map(|c| c.times.iter().copied()).collect();
        let flagged = of.iter().flat_map(|c| c.flagged.iter().copied()).collect();
        Ok(Chunk::new(batch, times, Ids::new(ids), flagged, forgets))
    }
}

/// These rows of a batch.
pub(in crate::operators) fn taken(batch: &RecordBatch, rows: Vec<u32>) -> Result<RecordBatch, RunError> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    let rows = UInt32Array::from(rows);
    let columns = batch.columns().iter().map(|column| take(column, &rows, None));
    let columns = columns.collect::<Result<Vec<_>, _>>().map_err(internal)?;
    RecordBatch::try_new_with_options(batch.schema(), columns, &options).map_err(internal)
}

/// The rows without what a slice would keep of a larger batch.
fn owned(batch: RecordBatch) -> Result<RecordBatch, RunError> {
    let whole: usize = batch.columns().iter().map(|column| column.get_buffer_memory_size()).sum();
    if whole <= 2 * batch_bytes(&batch) + 4096 {
        return Ok(batch);
    }
    let rows = (0..batch.num_rows() as u32).collect();
    taken(&batch, rows)
}

/// The rows.
#[derive(Debug)]
pub(in crate::operators) struct KeptRows {
    schema: SchemaRef,
    /// Whether flagged rows are forgotten.
    forgets: bool,
    /// With ascending numbers.
    chunks: Vec<Chunk>,
    /// The number of the next row.
    next: u64,
    /// The rows from this number on are not stored yet.
    fresh: u64,
    /// Stored rows that were flagged since.
    flagged: Vec<u64>,
}

impl KeptRows {
    /// For rows of this schema. `forgets`: flagged rows are not needed any more.
    pub(in crate::operators) fn new(schema: SchemaRef, forgets: bool) -> KeptRows {
        KeptRows { schema, forgets, chunks: vec![], next: 0, fresh: 0, flagged: vec![] }
    }

    /// Remembers rows with their times; returns their numbers.
    pub(in crate::operators) fn add(
        &mut self,
        batch: RecordBatch,
        times: ScalarBuffer<i64>,
        flagged: Vec<bool>,
    ) -> Result<Range<u64>, RunError> {
        let first = self.next;
        self.next += batch.num_rows() as u64;
        if batch.num_rows() > 0 {
            self.chunks.push(Chunk::new(owned(batch)?, times, Ids::From(first), flagged, self.forgets));
        }
        Ok(first..self.next)
    }

    /// The number of the next row.
    pub(in crate::operators) fn next_id(&self) -> u64 {
        self.next
    }

    /// How many rows are remembered.
    pub(in crate::operators) fn live(&self) -> usize {
        self.chunks.iter().map(Chunk::live).sum()
    }

    /// The bytes that they take, about.
    pub(in crate::operators) fn bytes(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.bytes).sum::<usize>() + self.flagged.capacity() * size_of::<u64>()
    }

    /// The rows that are remembered, among others that are over.
    pub(in crate::operators) fn batches(&self) -> impl Iterator<Item = &RecordBatch> {
        self.chunks.iter().map(|chunk| &chunk.batch)
    }

    /// Where the row of this number is, if it is.
    pub(in crate::operators) fn locate(&self, id: u64) -> Option<Place> {
        let chunk = self.chunks.partition_point(|chunk| chunk.ids.get(0) <= id).checked_sub(1)?;
        let row = self.chunks[chunk].ids.find(id).filter(|row| *row < self.chunks[chunk].rows())?;
        Some(Place { chunk: chunk as u32, row: row as u32 })
    }

    /// Whether the row of this number is remembered; it may be if its time is over.
    pub(in crate::operators) fn holds(&self, id: u64) -> bool {
        self.locate(id).is_some_and(|place| !(self.forgets && self.is_flagged(place)))
    }

    /// Whether the row is flagged.
    pub(in crate::operators) fn is_flagged(&self, place: Place) -> bool {
        self.chunks[place.chunk as usize].flagged[place.row as usize]
    }

    /// Flags the row; whether it was not.
    pub(in crate::operators) fn flag(&mut self, place: Place) -> bool {
        let chunk = &mut self.chunks[place.chunk as usize];
        let flagged = &mut chunk.flagged[place.row as usize];
        if *flagged {
            return false;
        }
        *flagged = true;
        chunk.gone += usize::from(self.forgets);
        let id = chunk.ids.get(place.row as usize);
        if id < self.fresh {
            self.flagged.push(id);
        }
        true
    }

    /// The chunk of the row, and where in it the row is.
    pub(in crate::operators) fn row(&self, place: Place) -> (&RecordBatch, usize) {
        (&self.chunks[place.chunk as usize].batch, place.row as usize)
    }

    /// The columns of these rows; [`Place::NONE`] beside nulls.
    pub(in crate::operators) fn gather(&self, places: &[Place]) -> Result<Vec<ArrayRef>, ArrowError> {
        self.gather_columns(places, &(0..self.schema.fields().len()).collect::<Vec<_>>())
    }

    /// These columns of these rows; [`Place::NONE`] beside nulls.
    pub(in crate::operators) fn gather_columns(
        &self,
        places: &[Place],
        columns: &[usize],
    ) -> Result<Vec<ArrayRef>, ArrowError> {
        let mut slot = vec![u32::MAX; self.chunks.len()];
        let mut used: Vec<&RecordBatch> = vec![];
        for place in places.iter().filter(|place| **place != Place::NONE) {
            let slot = &mut slot[place.chunk as usize];
            if *slot == u32::MAX {
                *slot = used.len() as u32;
                used.push(&self.chunks[place.chunk as usize].batch);
            }
        }
        match used.as_slice() {
            [] => {
                let types = columns.iter().map(|column| self.schema.field(*column).data_type());
                Ok(types.map(|data| new_null_array(data, places.len())).collect())
            }
            [batch] => {
                let row = |place: &Place| (*place != Place::NONE).then_some(place.row);
                let rows: UInt32Array = places.iter().map(row).collect();
                columns.iter().map(|column| take(batch.column(*column), &rows, None)).collect()
            }
            _ => {
                let row = |place: &Place| match *place {
                    Place::NONE => (used.len(), 0),
                    place => (slot[place.chunk as usize] as usize, place.row as usize),
                };
                let rows: Vec<(usize, usize)> = places.iter().map(row).collect();
                let column = |column: &usize| {
                    let none = new_null_array(self.schema.field(*column).data_type(), 1);
                    let arrays = used.iter().map(|batch| &**batch.column(*column)).chain([&*none]);
                    interleave(&arrays.collect::<Vec<_>>(), &rows)
                };
                columns.iter().map(column).collect()
            }
        }
    }

    /// Passes over the rows that are over now; returns those that are not flagged.
    pub(in crate::operators) fn due(&mut self, horizon: Horizon) -> Vec<Due> {
        let mut due = vec![];
        self.pass(horizon, |row| due.push(row));
        due
    }

    /// Passes over the rows that are over now; tells of those that are not flagged.
    pub(in crate::operators) fn pass(&mut self, horizon: Horizon, mut tell: impl FnMut(Due)) {
        for (c, chunk) in self.chunks.iter_mut().enumerate() {
            let rest = &chunk.by_time[chunk.dead..];
            let end = chunk.dead + rest.partition_point(|row| horizon.passed(chunk.times[*row as usize]));
            for row in &chunk.by_time[chunk.dead..end] {
                if !chunk.flagged[*row as usize] {
                    let (time, id) = (chunk.times[*row as usize], chunk.ids.get(*row as usize));
                    tell(Due { time, id, place: Place { chunk: c as u32, row: *row } });
                } else if self.forgets {
                    chunk.gone -= 1;
                }
            }
            chunk.dead = end;
        }
    }

    /// The first and the last time of the rows that are remembered and not flagged.
    pub(in crate::operators) fn span(&self) -> Option<(i64, i64)> {
        let times = |chunk: &Chunk| {
            let mut open = chunk.by_time[chunk.dead..].iter().filter(|row| !chunk.flagged[**row as usize]);
            let first = open.next()?;
            let last = open.next_back().unwrap_or(first);
            Some((chunk.times[*first as usize], chunk.times[*last as usize]))
        };
        self.chunks.iter().filter_map(times).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }

    /// Frees what the rows took that are not remembered any more; puts small chunks together, each row about as often as chunks double, and once at a time.
    pub(in crate::operators) fn sweep(&mut self) -> Result<(), RunError> {
        // Neighbours that become one chunk, with how many rows that has.
        let mut groups: Vec<(Vec<Chunk>, usize)> = vec![];
        for mut chunk in std::mem::take(&mut self.chunks) {
            if chunk.live() == 0 {
                continue;
            }
            if chunk.live() < chunk.rows().div_ceil(2) {
                chunk = chunk.compacted(self.forgets)?;
            }
            let mut live = chunk.live();
            let mut first = groups.len();
            while let Some((_, last)) = groups[..first].last()
                && *last <= live
                && *last + live <= CHUNK_ROWS
            {
                (first, live) = (first - 1, live + *last);
            }
            let mut group: Vec<Chunk> = groups.drain(first..).flat_map(|(chunks, _)| chunks).collect();
            group.push(chunk);
            groups.push((group, live));
        }
        self.chunks = groups.into_iter().map(|(group, _)| self.in_one(group)).collect::<Result<_, _>>()?;
        Ok(())
    }

    /// Neighbours in one chunk.
    fn in_one(&self, mut group: Vec<Chunk>) -> Result<Chunk, RunError> {
        if group.len() > 1 {
            // What is dead must not come to life.
            for chunk in group.iter_mut().filter(|chunk| chunk.live() < chunk.rows()) {
                *chunk = chunk.compacted(self.forgets)?;
            }
        }
        match group.pop() {
            Some(only) if group.is_empty() => Ok(only),
            last => {
                group.extend(last);
                Chunk::joined(&self.schema, &group, self.forgets)
            }
        }
    }

    /// The next rows are those of a new epoch: what there is was stored.
    pub(in crate::operators) fn begin(&mut self) {
        self.fresh = self.next;
        self.flagged.clear();
    }

    /// How many rows are not stored yet, at most.
    pub(in crate::operators) fn unstored(&self) -> usize {
        (self.next - self.fresh) as usize
    }

    /// What is remembered, or what was not stored yet: batches of rows behind their numbers, named `part`; then the numbers of those flagged, named
    /// `part flagged`.
    pub(in crate::operators) fn segments(&self, whole: bool, part: &str) -> Result<Vec<RecordBatch>, RunError> {
        let from = if whole { 0 } else { self.fresh };
        let (mut segments, mut flagged) = (vec![], vec![]);
        // Few segments, because each costs a read: chunks are put together, as far as their bytes can be counted in 32 bits.
        let (mut batches, mut rows, mut bytes) = (vec![], 0, 0);
        for chunk in self.chunks.iter().filter(|chunk| chunk.ids.get(chunk.rows() - 1) >= from) {
            let mut kept = chunk.kept(self.forgets);
            kept.retain(|row| chunk.ids.get(*row as usize) >= from);
            if kept.is_empty() {
                continue;
            }
            if rows + kept.len() > SEGMENT_ROWS || bytes + chunk.bytes > SEGMENT_BYTES {
                segments.extend(self.segment(part, &std::mem::take(&mut batches))?);
                (rows, bytes) = (0, 0);
            }
            (rows, bytes) = (rows + kept.len(), bytes + chunk.bytes);
            flagged.extend(
                kept.iter().filter(|row| chunk.flagged[**row as usize]).map(|row| chunk.ids.get(*row as usize)),
            );
            batches.push(self.stored_rows(chunk, kept)?);
        }
        segments.extend(self.segment(part, &batches)?);
        if !whole {
            flagged.extend_from_slice(&self.flagged);
        }
        if !flagged.is_empty() {
            flagged.sort_unstable();
            let ids = Int64Array::from_iter_values(flagged.into_iter().map(|id| id as i64));
            let schema = mark(&ArrowSchema::new(vec![number()]), &format!("{part}{FLAGGED}"));
            segments.push(RecordBatch::try_new(schema, vec![Arc::new(ids)]).map_err(internal)?);
        }
        Ok(segments)
    }

    /// These rows of a chunk as they are stored.
    fn stored_rows(&self, chunk: &Chunk, rows: Vec<u32>) -> Result<RecordBatch, RunError> {
        let ids = Int64Array::from_iter_values(rows.iter().map(|row| chunk.ids.get(*row as usize) as i64));
        let batch = if rows.len() == chunk.rows() { chunk.batch.clone() } else { taken(&chunk.batch, rows)? };
        let mut columns: Vec<ArrayRef> = vec![Arc::new(ids)];
        columns.extend_from_slice(batch.columns());
        RecordBatch::try_new(Arc::new(self.stored()), columns).map_err(internal)
    }

    /// Batches in one; none: there are none.
    fn segment(&self, part: &str, batches: &[RecordBatch]) -> Result<Option<RecordBatch>, RunError> {
        if batches.is_empty() {
            return Ok(None);
        }
        let rows = concat_batches(&Arc::new(self.stored()), batches).map_err(internal)?;
        RecordBatch::try_new(mark(&self.stored(), part), rows.columns().to_vec()).map(Some).map_err(internal)
    }

    /// The columns of a stored batch of rows.
    fn stored(&self) -> ArrowSchema {
        let columns = self.schema.fields().iter().cloned();
        ArrowSchema::new([Arc::new(number())].into_iter().chain(columns).collect::<Vec<_>>())
    }

    /// Takes a stored batch of rows; `times` finds their times.
    pub(in crate::operators) fn restore(
        &mut self,
        stored: &RecordBatch,
        name: &str,
        times: impl FnOnce(&RecordBatch) -> Result<ScalarBuffer<i64>, RunError>,
    ) -> Result<(), RunError> {
        let wanted = self.stored();
        let given = stored.schema();
        let fields = given.fields().iter().zip(wanted.fields());
        let fits = given.fields().len() == wanted.fields().len()
            && fields.clone().all(|(given, wanted)| given.data_type() == wanted.data_type());
        if !fits {
            return Err(damaged(name));
        }
        let ids: Vec<u64> = stored.column(0).as_primitive::<Int64Type>().values().iter().map(|id| *id as u64).collect();
        let Some(last) = ids.last().copied() else { return Ok(()) };
        if ids[0] < self.next || !ids.is_sorted() {
            return Err(damaged(name));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(ids.len()));
        let columns = stored.columns()[1..].to_vec();
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options).map_err(internal)?;
        let times = times(&batch)?;
        self.next = last + 1;
        let flagged = vec![false; ids.len()];
        self.chunks.push(Chunk::new(batch, times, Ids::new(ids), flagged, self.forgets));
        Ok(())
    }

    /// Takes a stored batch of flagged rows, some of which may be forgotten.
    pub(in crate::operators) fn restore_flagged(&mut self, stored: &RecordBatch, name: &str) -> Result<(), RunError> {
        let ids = stored.columns().first().and_then(|column| column.as_primitive_opt::<Int64Type>());
        for id in ids.ok_or_else(|| damaged(name))?.values() {
            if let Some(place) = self.locate(*id as u64) {
                self.flag(place);
            }
        }
        Ok(())
    }

    /// All numbers of a restored or compacted memory are below this one.
    pub(in crate::operators) fn skip_to(&mut self, next: u64) {
        self.next = self.next.max(next);
    }

    /// The rows, some of which may be forgotten, chunk by chunk: with their times and numbers.
    pub(in crate::operators) fn chunks(&self) -> impl Iterator<Item = (&RecordBatch, &ScalarBuffer<i64>, &Ids)> {
        self.chunks.iter().map(|chunk| (&chunk.batch, &chunk.times, &chunk.ids))
    }
}

/// What the name of a part ends with that names flagged rows by number.
pub(super) const FLAGGED: &str = " flagged";

fn number() -> Field {
    Field::new("#row", DataType::Int64, false)
}

/// Whether a stored batch has rows behind their numbers.
pub(super) fn is_numbered(batch: &RecordBatch) -> bool {
    let first = batch.schema_ref().fields().first().is_some_and(|field| **field == number());
    first && !super::part_of(batch).ends_with(FLAGGED)
}

/// Stored batches of one part so that numbers ascend.
pub(super) fn by_number(batches: Vec<RecordBatch>) -> Result<Vec<RecordBatch>, RunError> {
    let ids = |batch: &RecordBatch| batch.column(0).as_primitive::<Int64Type>().values().clone();
    let mut last = i64::MIN;
    let ascending = batches.iter().map(ids).all(|ids| {
        let follows = ids.first().is_none_or(|first| last < *first) && ids.is_sorted();
        last = ids.last().copied().unwrap_or(last);
        follows
    });
    let Some(first) = batches.first().filter(|_| !ascending) else { return Ok(batches) };
    let all = concat_batches(&first.schema(), &batches).map_err(internal)?;
    let ids = ids(&all);
    let mut rows: Vec<u32> = (0..all.num_rows() as u32).collect();
    rows.sort_unstable_by_key(|row| ids[*row as usize]);
    Ok(vec![taken(&all, rows)?])
}
