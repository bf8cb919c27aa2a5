//! Sessions whose results change: rows of a key at most a gap apart. A row that is taken away can divide one, and a row that comes late can join two; so what is kept
//! is the rows, and the sessions of a key that changed are found again. Knows nothing of epochs.

use super::clock::Clock;
use super::evaluate::{Present, Unfinished, result};
use super::keyed_rows::{Kept, Shape, Span};
use super::windows::{moments, times};
use super::zset::{Entry, Owned, Zset, owned, split};
use crate::batch::Batch;
use crate::error::RunError;
use crate::keys::Keys;
use crate::operators::aggregate::accumulator::{Places, load_place, save_places, saved};
use crate::operators::aggregate::depends_on_order;
use crate::operators::window::values::places_by_time;
use crate::operators::{Fault, internal};
use crate::text::row_text;
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, UInt32Array};
use arrow::compute::{interleave, take};
use arrow::datatypes::{DataType, Schema as ArrowSchema, SchemaRef, TimestampMicrosecondType, UInt64Type};
use arrow::record_batch::RecordBatch;
use flowc_ir::Schema;
use flowc_ir::graph::{AggregateCall, Window, WindowAggregate};
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

/// See the module.
#[derive(Debug)]
pub(super) struct Sessions {
    spec: WindowAggregate,
    gap: i64,
    schema: Schema,
    /// What is kept of a row: the time, and what aggregates read.
    columns: Vec<usize>,
    /// Whether the place of a row in the input is kept, too, in two columns behind those.
    placed: bool,
}

/// A session.
#[derive(Debug, Clone)]
struct Session {
    /// The key, by its position among those that are looked at.
    key: usize,
    start: i64,
    end: i64,
    rows: Range<usize>,
}

/// The sessions of keys, in the order of keys and times.
#[derive(Debug)]
struct Found<'a> {
    entries: Vec<Entry<'a>>,
    columns: Vec<ArrayRef>,
    sessions: Vec<Session>,
}

/// Sessions as they come out, but for the weight.
type Results = Vec<ArrayRef>;

impl Sessions {
    /// Over rows of `schema`; `changing`: whether they are taken away.
    pub(super) fn new(spec: &WindowAggregate, schema: &Schema, changing: bool) -> Result<Sessions, RunError> {
        let gap = match spec.window {
            Window::Session { gap } if gap > 0 => gap,
            ref other => return Err(internal(format!("{other} is no session"))),
        };
        let calls = &spec.aggregate.aggregates;
        let mut columns = vec![spec.time];
        for column in calls.iter().flat_map(|call| call.args.iter().copied().chain(call.filter)) {
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
        let placed = !changing && calls.iter().any(|call| depends_on_order(call.function));
        Ok(Sessions { spec: spec.clone(), gap, schema: schema.clone(), columns, placed })
    }

    /// The types of what is kept of a row.
    pub(super) fn types(&self, input: &SchemaRef) -> Vec<DataType> {
        let places = [DataType::UInt64, DataType::UInt64].into_iter().filter(|_| self.placed);
        self.columns.iter().map(|column| input.field(*column).data_type().clone()).chain(places).collect()
    }

    /// What is kept of rows.
    pub(super) fn columns(&self, batch: &Batch, epoch: u64) -> Result<Vec<ArrayRef>, RunError> {
        let mut columns: Vec<ArrayRef> =
            self.columns.iter().map(|column| Arc::clone(batch.data.column(*column))).collect();
        if self.placed {
            let rows = batch.data.num_rows();
            let places = match (self.spec.by_time, batch.order.first_row_of(epoch, rows)) {
                (true, _) => places_by_time(&batch.data, self.spec.time)?,
                (_, Some(first)) => Places::From(first),
                _ => return Err(internal("an epoch has more splits, batches or rows than places")),
            };
            columns.extend(save_places((0..rows).map(|row| Some(places.of(row)))));
        }
        Ok(columns)
    }

    fn column(&self, of: &Found<'_>, column: usize) -> Result<ArrayRef, RunError> {
        let position = self.columns.iter().position(|kept| *kept == column);
        let found = position.and_then(|position| of.columns.get(position)).cloned();
        found.ok_or_else(|| internal("what an aggregate reads was not kept"))
    }

    /// The sessions of keys.
    fn found<'a>(&self, shape: &Shape, rows: &'a Zset, keys: &[Box<[u8]>]) -> Result<Found<'a>, RunError> {
        let (mut entries, mut of) = (vec![], vec![]);
        for (number, key) in keys.iter().enumerate() {
            entries.extend(rows.of(key).filter(|(_, weight)| *weight > 0));
            of.resize(entries.len(), number);
        }
        let columns = shape.codec.decode(entries.iter().map(|(entry, _)| split(entry).1))?;
        let mut sessions: Vec<Session> = vec![];
        for (row, at) in saved::<TimestampMicrosecondType>(&columns, 0)?.values().iter().enumerate() {
            let end = at.saturating_add(self.gap);
            match sessions.last_mut().filter(|last| last.key == of[row] && *at <= last.end) {
                // Rows come in the order of their times.
                Some(last) => (last.end, last.rows.end) = (end, row + 1),
                None => sessions.push(Session { key: of[row], start: *at, end, rows: row..row + 1 }),
            }
        }
        Ok(Found { entries, columns, sessions })
    }

    /// The rows that come out of sessions that have come out at this time.
    fn results(&self, shape: &Shape, found: &Found<'_>, keys: &[Box<[u8]>], clock: &Clock) -> Result<Results, Fault> {
        let out: Vec<&Session> = found.sessions.iter().filter(|session| clock.fired(session.end)).collect();
        let rows: Vec<u32> = out.iter().flat_map(|session| session.rows.clone()).map(|row| row as u32).collect();
        let lengths = (0..).zip(&out).flat_map(|(number, session)| session.rows.clone().map(move |_| number));
        let groups: Vec<u32> = lengths.collect();
        let weights: Vec<i64> = rows.iter().map(|row| found.entries[*row as usize].1).collect();
        let places = self.places(found, &rows)?;
        let present = Present { groups: &groups, weights: &weights, count: out.len(), places: places.as_ref() };
        let rows = UInt32Array::from(rows);
        let mut columns = shape.key_columns(out.iter().map(|session| &*keys[session.key]))?;
        columns.push(moments(out.iter().map(|session| session.start)));
        columns.push(moments(out.iter().map(|session| session.end)));
        let bounds = columns.clone();
        let mut failed: Option<Unfinished> = None;
        for call in &self.spec.aggregate.aggregates {
            match self.call(found, &present, &rows, call) {
                Ok(column) => columns.push(column),
                Err(unfinished) if unfinished.group.is_none() => return Err(Fault::Run(unfinished.error)),
                // Of several the first is told.
                Err(unfinished) => {
                    failed = failed.into_iter().chain([unfinished]).min_by_key(|unfinished| unfinished.group);
                }
            }
        }
        let Some(Unfinished { group, mut error }) = failed else { return Ok(columns) };
        let schema = Arc::new(ArrowSchema::new(shape.output.fields()[..bounds.len()].to_vec()));
        error.row = row_text(&RecordBatch::try_new(schema, bounds)?, group.unwrap_or(0) as usize);
        Err(Fault::Run(error))
    }

    fn places(&self, found: &Found<'_>, rows: &[u32]) -> Result<Option<Places>, RunError> {
        if !self.placed {
            return Ok(None);
        }
        let width = self.columns.len();
        let high = saved::<UInt64Type>(&found.columns, width)?;
        let low = saved::<UInt64Type>(&found.columns, width + 1)?;
        Ok(Some(Places::Each(rows.iter().map(|row| load_place(high, low, *row as usize)).collect())))
    }

    fn call(
        &self,
        found: &Found<'_>,
        present: &Present<'_>,
        rows: &UInt32Array,
        call: &AggregateCall,
    ) -> Result<ArrayRef, Unfinished> {
        let column = |column: usize| take(&self.column(found, column)?, rows, None).map_err(internal);
        let args = call.args.iter().map(|arg| column(*arg)).collect::<Result<Vec<_>, _>>()?;
        let filter = call.filter.map(column).transpose()?;
        result(call, &self.schema, present, &args, filter.as_ref().map(|filter| filter.as_boolean()))
    }

    /// Adds what the epoch brought for these keys; what comes out for them, and the greatest end of a session.
    pub(super) fn differences(
        &self,
        shape: &Shape,
        kept: &mut Kept,
        delta: &Zset,
        keys: &[Box<[u8]>],
        (before, now): (&Clock, &Clock),
    ) -> Result<(Option<RecordBatch>, Option<i64>), Fault> {
        let old = self.results(shape, &self.found(shape, &kept.rows, keys)?, keys, before)?;
        for key in keys {
            delta.of(key).for_each(|(entry, weight)| kept.add(entry, weight));
        }
        let found = self.found(shape, &kept.rows, keys)?;
        let new = self.results(shape, &found, keys, now)?;
        let last = found.sessions.iter().map(|session| session.end).max();
        let spans = spans_of(&found, keys.len(), now);
        let over = found.sessions.iter().filter(|session| now.released(session.end));
        let mut over: Vec<Owned> =
            over.flat_map(|session| &found.entries[session.rows.clone()]).map(|entry| owned(*entry)).collect();
        over.extend(self.stray(shape, &kept.rows, keys, now)?);
        over.into_iter().for_each(|(entry, weight)| kept.add(&entry, -weight));
        for (key, span) in keys.iter().zip(spans) {
            kept.span(key, span);
        }
        Ok((difference(shape, &old, &new)?, last))
    }

    /// Rows that were taken away and never added, and belong to nothing that can still be corrected.
    fn stray(&self, shape: &Shape, rows: &Zset, keys: &[Box<[u8]>], now: &Clock) -> Result<Vec<Owned>, RunError> {
        let below = keys.iter().flat_map(|key| rows.of(key)).filter(|(_, weight)| *weight < 0);
        let below: Vec<Entry<'_>> = below.collect();
        if below.is_empty() || now.late.is_none() {
            return Ok(vec![]);
        }
        let columns = shape.codec.decode(below.iter().map(|(entry, _)| split(entry).1))?;
        let times = saved::<TimestampMicrosecondType>(&columns, 0)?.values();
        let over = below.iter().zip(times).filter(|(_, at)| now.released(at.saturating_add(self.gap)));
        Ok(over.map(|(entry, _)| owned(*entry)).collect())
    }
}

/// What is known of the sessions of each key, but for those that are forgotten.
fn spans_of(found: &Found<'_>, keys: usize, clock: &Clock) -> Vec<Option<Span>> {
    let mut spans: Vec<Option<Span>> = vec![None; keys];
    for session in found.sessions.iter().filter(|session| !clock.released(session.end)) {
        let Span { due, last_end, windows } =
            spans[session.key].unwrap_or(Span { last_end: i64::MIN, ..Span::default() });
        let due = due.into_iter().chain(clock.due(session.end)).min();
        spans[session.key] = Some(Span { due, last_end: last_end.max(session.end), windows: windows + 1 });
    }
    spans
}

/// Finds what is known of the sessions of all keys.
pub(super) fn spans(sessions: &Sessions, shape: &Shape, kept: &mut Kept) -> Result<(), RunError> {
    let keys: Vec<Box<[u8]>> = kept.rows.keys().map(Into::into).collect();
    for keys in keys.chunks(1024) {
        let found = spans_of(&sessions.found(shape, &kept.rows, keys)?, keys.len(), &kept.clock);
        keys.iter().zip(found).for_each(|(key, span)| kept.span(key, span));
    }
    Ok(())
}

/// What became another session.
fn difference(shape: &Shape, old: &[ArrayRef], new: &[ArrayRef]) -> Result<Option<RecordBatch>, Fault> {
    let keys = Keys::new(new.iter().map(|column| column.data_type()))?;
    let (was, is) = (keys.exact(old)?, keys.exact(new)?);
    let (all_old, all_new): (HashSet<_>, HashSet<_>) = (was.iter().collect(), is.iter().collect());
    let gone = (0..was.num_rows()).filter(|row| !all_new.contains(&was.row(*row))).map(|row| (0, row));
    let added = (0..is.num_rows()).filter(|row| !all_old.contains(&is.row(*row))).map(|row| (1, row));
    let picks: Vec<(usize, usize)> = gone.chain(added).collect();
    if picks.is_empty() {
        return Ok(None);
    }
    let columns = old.iter().zip(new).map(|(old, new)| interleave(&[&**old, &**new], &picks));
    let mut columns: Vec<ArrayRef> = columns.collect::<Result<_, _>>()?;
    let weight = |(side, _): &(usize, usize)| if *side == 0 { -1 } else { 1 };
    columns.push(Arc::new(Int64Array::from_iter_values(picks.iter().map(weight))));
    Ok(Some(RecordBatch::try_new(Arc::clone(&shape.output), columns)?))
}

/// Which rows are late: without a time; or so that a session of theirs alone would be forgotten, and no row that is kept is near. None: none are.
pub(super) fn late(
    sessions: &Sessions,
    shape: &Shape,
    kept: &Zset,
    clock: &Clock,
    rows: &RecordBatch,
) -> Result<Option<Vec<bool>>, RunError> {
    let (times, gap) = (times(rows, sessions.spec.time)?, sessions.gap);
    let mut late: Vec<bool> =
        times.iter().map(|at| at.is_none_or(|at| clock.released(at.saturating_add(gap)))).collect();
    if !late.contains(&true) {
        return Ok(None);
    }
    let keys = shape.encoded_keys(rows)?;
    let moment = Keys::new([times.data_type()].into_iter())?;
    let bound = |by: i64| moment.exact(&[moments(times.values().iter().map(|at| at.saturating_add(by)))]);
    let (first, last) = (bound(-gap)?, bound(gap)?);
    for (row, late) in late.iter_mut().enumerate().filter(|(row, late)| **late && times.is_valid(*row)) {
        let key = keys.as_ref().map_or(&[][..], |keys| keys.row(row).data());
        let (first, last) = (first.row(row), last.row(row));
        // A row begins with its time.
        let near = kept
            .from(key, first.data())
            .take_while(|(entry, _)| split(entry).1.get(..last.data().len()) <= Some(last.data()));
        *late = !near.into_iter().any(|(_, weight)| weight > 0);
    }
    Ok(Some(late).filter(|late| late.contains(&true)))
}
