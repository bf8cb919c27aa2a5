//! Sessions that are open: rows of a key at most a gap apart. The parts of sessions that workers have found are merged with them at an epoch's end, so that it
//! does not matter who saw what, or in what order. Knows nothing of where anything is stored.

use super::ends::Ends;
use super::out::{batch, in_order};
use super::parts::{Part, Parts, number};
use super::stored::{self, Named, Segment, moments, named, notes, read_notes};
use super::values::{Shape, Values};
use super::windows::Bounds;
use crate::error::RunError;
use crate::operators::Fault;
use crate::operators::aggregate::accumulator::{Pair, damaged, grow, room, saved};
use crate::operators::aggregate::index::{Encoded, KeyIndex};
use crate::operators::stateful::{Changes, Extent, Stored};
use arrow::array::UInt64Array;
use arrow::datatypes::{DataType as A, Field, TimestampMicrosecondType, UInt64Type};
use arrow::record_batch::RecordBatch;
use std::collections::HashSet;
use std::sync::Arc;

/// The name of the note that tells what the next session is called in the store.
const NEXT: &str = "next";
/// The name of the only column of a batch that says which sessions others have taken in.
pub(super) const GONE: &str = "gone";

/// Sessions that are no longer needed are cleared away when they are so many, and more than the others.
const DEAD: usize = 1024;

/// A session that is remembered.
#[derive(Debug, Clone, Copy)]
struct Kept {
    /// What it is called where it is stored.
    id: u64,
    open: bool,
    /// The one before it of its key: one more than its number.
    before: u32,
}

/// The sessions that are open.
#[derive(Debug)]
pub(super) struct Sessions {
    index: KeyIndex,
    parts: Vec<Part>,
    kept: Vec<Kept>,
    /// Of each key the last one that was added: one more than its number.
    latest: Vec<u32>,
    values: Values,
    pub(super) live: usize,
    /// When each open session ends.
    ends: Ends,
    /// The greatest end of all sessions so far.
    last_end: Option<i64>,
    /// Those that are being given out.
    closing: Vec<u32>,
    /// Which have changed since changes were last asked for: a bit each.
    changed: Vec<u64>,
    /// Those that others have taken in since then, by their names in the store.
    gone: Vec<u64>,
    pub(super) next_id: u64,
    /// Sessions that end by then have been given out.
    pub(super) closed: Option<i64>,
}

/// A part of a session, of the rows of a worker or of what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Piece {
    key: u32,
    first: i64,
    last: i64,
    kept: bool,
    number: u32,
}

impl Sessions {
    pub(super) fn new(shape: &Shape, gap: i64) -> Result<Sessions, RunError> {
        Ok(Sessions {
            index: KeyIndex::new(&shape.keys, false)?,
            parts: vec![],
            kept: vec![],
            latest: vec![],
            values: Values::new(shape)?,
            live: 0,
            ends: Ends::new(gap),
            last_end: None,
            closing: vec![],
            changed: vec![],
            gone: vec![],
            next_id: 0,
            closed: None,
        })
    }

    /// The bytes that it takes, about.
    pub(super) fn bytes(&self) -> usize {
        let sessions = room(&self.parts) + room(&self.kept) + room(&self.changed) + room(&self.latest);
        self.index.bytes() + self.values.bytes() + sessions + self.ends.bytes()
    }

    /// Whether an open session takes in a row.
    pub(super) fn takes_in(&self, encoded: &Encoded, row: usize, at: i64, gap: i64) -> bool {
        let Some(key) = self.index.find(encoded, row, 0) else { return false };
        let mut next = self.latest.get(key as usize).copied().unwrap_or(0);
        while next > 0 {
            let session = next as usize - 1;
            if self.kept[session].open && self.parts[session].touches(at, gap) {
                return true;
            }
            next = self.kept[session].before;
        }
        false
    }

    /// The keys of rows, for [`Sessions::takes_in`].
    pub(super) fn encode(&self, shape: &Shape, data: &RecordBatch) -> Result<Encoded, RunError> {
        self.index.encode(&shape.key_columns(data), data.num_rows())
    }

    /// Takes what a worker has.
    pub(super) fn merge(&mut self, shape: &Shape, gap: i64, theirs: Parts) -> Result<(), RunError> {
        let keys = (0..theirs.index.len() as u32).map(|key| self.index.adopt(&theirs.index, key, 0));
        let keys = keys.collect::<Result<Vec<u32>, RunError>>()?;
        let mut pieces: Vec<Piece> = vec![];
        for key in &keys {
            self.pieces(*key, &mut pieces);
        }
        let part = |(number, part): (usize, &Part)| Piece::of(part, keys[part.key as usize], false, number as u32);
        pieces.extend(theirs.parts.iter().enumerate().map(part));
        pieces.sort_unstable();
        let (mut pairs, mut folded): (Vec<Pair>, Vec<Pair>) = (vec![], vec![]);
        let mut from = 0;
        while from < pieces.len() {
            let (mut to, mut last) = (from + 1, pieces[from].last);
            while to < pieces.len()
                && pieces[to].key == pieces[from].key
                && pieces[to].first <= last.saturating_add(gap)
            {
                last = last.max(pieces[to].last);
                to += 1;
            }
            self.join(&pieces[from..to], last, gap, (&mut pairs, &mut folded))?;
            from = to;
        }
        self.values.merge(&theirs.values, &pairs, self.parts.len())?;
        self.fold(shape, &folded)
    }

    /// The open sessions of a key. Those that are no longer needed are passed by from here on.
    fn pieces(&mut self, key: u32, pieces: &mut Vec<Piece>) {
        grow(&mut self.latest, key as usize + 1);
        let (mut next, mut link) = (self.latest[key as usize], None::<usize>);
        while next > 0 {
            let (session, Kept { open, before, .. }) = (next as usize - 1, self.kept[next as usize - 1]);
            match link {
                _ if open => {
                    pieces.push(Piece::of(&self.parts[session], key, true, session as u32));
                    link = Some(session);
                }
                Some(link) => self.kept[link].before = before,
                None => self.latest[key as usize] = before,
            }
            next = before;
        }
    }

    /// Makes one session of its pieces, which come in the order of their first times. Remembers who takes in the rows of the worker, and of other sessions.
    fn join(
        &mut self,
        pieces: &[Piece],
        last: i64,
        gap: i64,
        (pairs, folded): (&mut Vec<Pair>, &mut Vec<Pair>),
    ) -> Result<(), RunError> {
        let mut kept = pieces.iter().filter(|piece| piece.kept).map(|piece| piece.number);
        let whole = Part { key: pieces[0].key, first: pieces[0].first, last };
        let target = match kept.next() {
            Some(_) if pieces.len() == 1 => return Ok(()),
            Some(target) => target,
            None => self.add(whole, gap, None)?,
        };
        for other in kept {
            folded.push((other, target));
            self.gone.push(self.kept[other as usize].id);
            self.end(other);
        }
        self.parts[target as usize] = whole;
        self.last_end = self.last_end.max(Some(last.saturating_add(gap)));
        self.mark(target);
        pairs.extend(pieces.iter().filter(|piece| !piece.kept).map(|piece| (piece.number, target)));
        Ok(())
    }

    /// Adds a session; `id`: its name in the store, if it has one.
    pub(super) fn add(&mut self, part: Part, gap: i64, id: Option<u64>) -> Result<u32, RunError> {
        let session = number(self.parts.len())?;
        self.parts.push(part);
        grow(&mut self.latest, part.key as usize + 1);
        let before = std::mem::replace(&mut self.latest[part.key as usize], session + 1);
        self.kept.push(Kept { id: id.unwrap_or(self.next_id), open: true, before });
        self.next_id = self.next_id.max(self.kept[session as usize].id + 1);
        self.ends.add(part.last.saturating_add(gap), session);
        self.last_end = self.last_end.max(Some(part.last.saturating_add(gap)));
        self.live += 1;
        Ok(session)
    }

    /// A session is no longer needed.
    fn end(&mut self, session: u32) {
        self.kept[session as usize].open = false;
        self.live -= 1;
    }

    /// Moves what sessions have to others.
    fn fold(&mut self, shape: &Shape, folded: &[Pair]) -> Result<(), RunError> {
        if folded.is_empty() {
            return Ok(());
        }
        let mut between = Values::new(shape)?;
        let pairs = |to: fn(u32, Pair) -> Pair| (0..).zip(folded).map(|(i, pair)| to(i, *pair)).collect::<Vec<Pair>>();
        between.merge(&self.values, &pairs(|i, (from, _)| (from, i)), folded.len())?;
        self.values.merge(&between, &pairs(|i, (_, to)| (i, to)), self.parts.len())
    }

    fn mark(&mut self, session: u32) {
        grow(&mut self.changed, session as usize / 64 + 1);
        self.changed[session as usize / 64] |= 1 << (session % 64);
    }

    fn is_changed(&self, session: u32) -> bool {
        self.changed.get(session as usize / 64).is_some_and(|bits| bits >> (session % 64) & 1 == 1)
    }

    fn is_open(&self, session: u32) -> bool {
        self.kept[session as usize].open
    }

    /// The sessions that are open.
    pub(super) fn all(&self) -> Vec<u32> {
        (0..self.parts.len() as u32).filter(|session| self.is_open(*session)).collect()
    }

    /// The sessions that have changed and are open, and what others have taken in; from here on, there is none.
    pub(super) fn take_changed(&mut self) -> (Vec<u32>, Vec<u64>) {
        let words = self.changed.len() as u32 * 64;
        let changed = |session: &u32| self.is_changed(*session) && self.is_open(*session);
        let sessions = (0..words.min(self.parts.len() as u32)).filter(changed).collect();
        self.changed.clear();
        (sessions, std::mem::take(&mut self.gone))
    }

    /// The sessions that end by then, in the order of their ends and starts; they count as given out.
    pub(super) fn close(&mut self, gap: i64, until: i64) -> Vec<(Bounds, u32)> {
        let (parts, kept) = (&self.parts, &self.kept);
        let end = |session: u32| kept[session as usize].open.then(|| parts[session as usize].last.saturating_add(gap));
        let taken = self.ends.take(until, end).into_iter();
        let bounds = |(end, session): (i64, u32)| (Bounds { end, start: parts[session as usize].first }, session);
        let mut closing: Vec<(Bounds, u32)> = taken.map(bounds).collect();
        closing.sort_unstable();
        let last = closing.last().map(|(bounds, _)| bounds.end);
        self.closed = self.closed.max(if until < i64::MAX { Some(until) } else { last });
        self.closing = closing.iter().map(|(_, session)| *session).collect();
        closing
    }

    /// How many sessions are open, and where the first and the last of them end.
    pub(super) fn open(&mut self, gap: i64) -> (u64, Option<i64>, Option<i64>) {
        let (parts, kept) = (&self.parts, &self.kept);
        let end = |session: u32| kept[session as usize].open.then(|| parts[session as usize].last.saturating_add(gap));
        let first = self.ends.first(end);
        (self.live as u64, first, self.last_end.filter(|_| first.is_some()))
    }

    /// Forgets the sessions that have been given out.
    pub(super) fn forget(&mut self, shape: &Shape, gap: i64) -> Result<(), RunError> {
        std::mem::take(&mut self.closing).into_iter().for_each(|session| self.end(session));
        let dead = self.parts.len() - self.live;
        if dead >= DEAD && dead > self.live { self.compact(shape, gap) } else { Ok(()) }
    }

    /// Leaves what is not needed.
    fn compact(&mut self, shape: &Shape, gap: i64) -> Result<(), RunError> {
        let gone = std::mem::take(&mut self.gone);
        let mut compact = Sessions { closed: self.closed, next_id: self.next_id, gone, ..Sessions::new(shape, gap)? };
        let (mut pairs, mut keys) = (vec![], vec![None; self.index.len()]);
        for session in self.all() {
            let part = self.parts[session as usize];
            let key = match keys[part.key as usize] {
                Some(key) => key,
                None => *keys[part.key as usize].insert(compact.index.adopt(&self.index, part.key, 0)?),
            };
            let to = compact.add(Part { key, ..part }, gap, Some(self.kept[session as usize].id))?;
            if self.is_changed(session) {
                compact.mark(to);
            }
            pairs.push((session, to));
        }
        compact.values.merge(&self.values, &pairs, compact.parts.len())?;
        compact.last_end = self.last_end;
        *self = compact;
        Ok(())
    }

    /// The rows of the next of these sessions, at most so many; none: there are none. `closing`: in the order of [`Sessions::close`].
    pub(super) fn next(&self, shape: &Shape, closing: &mut Closing, rows: usize) -> Result<Option<RecordBatch>, Fault> {
        if closing.ready.is_empty() {
            self.gather(shape, closing, rows)?;
        }
        let count = closing.ready.len().min(rows.max(1));
        if count == 0 {
            return Ok(None);
        }
        let (bounds, sessions): (Vec<Bounds>, Vec<u32>) = closing.ready.drain(..count).unzip();
        batch(shape, &self.values, &sessions, self.keys(&sessions)?, &bounds).map(Some)
    }

    /// The next sessions, so many or a few more, in the order in which they come out.
    fn gather(&self, shape: &Shape, closing: &mut Closing, rows: usize) -> Result<(), RunError> {
        let rest = &closing.sessions[closing.next..];
        let mut count = rest.len().min(rows.max(1));
        // Keys are not looked at yet: those of the same bounds stay together.
        while (1..rest.len()).contains(&count) && rest[count].0 == rest[count - 1].0 {
            count += 1;
        }
        closing.next += count;
        let (bounds, sessions): (Vec<Bounds>, Vec<u32>) = rest[..count].iter().copied().unzip();
        let order = in_order(shape, &self.keys(&sessions)?, &bounds)?;
        closing.ready = order.iter().map(|i| rest[*i as usize]).collect();
        Ok(())
    }

    /// The key columns of sessions.
    fn keys(&self, sessions: &[u32]) -> Result<Vec<arrow::array::ArrayRef>, RunError> {
        let keys: Vec<u32> = sessions.iter().map(|session| self.parts[*session as usize].key).collect();
        self.index.columns(&keys)
    }
}

impl Piece {
    fn of(part: &Part, key: u32, kept: bool, number: u32) -> Piece {
        Piece { key, first: part.first, last: part.last, kept, number }
    }
}

/// Sessions that are being given out.
#[derive(Debug)]
pub(super) struct Closing {
    sessions: Vec<(Bounds, u32)>,
    next: usize,
    ready: std::collections::VecDeque<(Bounds, u32)>,
}

impl Closing {
    /// `sessions`: in the order of [`Sessions::close`].
    pub(super) fn new(sessions: Vec<(Bounds, u32)>) -> Closing {
        Closing { sessions, next: 0, ready: Default::default() }
    }
}

/// The columns that say which session a row is of, where sessions are stored: its name, and its first and last time.
pub(super) const OF: usize = 3;

impl Sessions {
    /// What is stored: all, or else the sessions that have changed, and the names of those that others have taken in.
    pub(super) fn changes(&mut self, shape: &Shape, extent: Extent) -> Result<Changes, RunError> {
        let (mut sessions, gone) = self.take_changed();
        let whole = extent.whole(sessions.len(), self.live);
        let mut segments = vec![];
        if whole {
            sessions = self.all();
        } else if !gone.is_empty() {
            segments.push(named(vec![(Field::new(GONE, A::UInt64, false), Arc::new(UInt64Array::from(gone)))])?);
        }
        let of = |sessions: &[u32]| {
            let parts = || sessions.iter().map(|session| &self.parts[*session as usize]);
            let ids = UInt64Array::from_iter_values(sessions.iter().map(|session| self.kept[*session as usize].id));
            let (first, last) = (moments("first", parts().map(|p| p.first)), moments("last", parts().map(|p| p.last)));
            let id: Named = (Field::new("session", A::UInt64, false), Arc::new(ids));
            Ok((vec![id, first, last], self.keys(sessions)?))
        };
        segments.extend(stored::segments(shape, &self.values, &sessions, of)?);
        let mut notes = notes(self.closed);
        notes.insert(NEXT.into(), self.next_id.to_string());
        Ok(Changes { whole, notes, segments, more: None })
    }

    /// What was stored.
    pub(super) fn restore(shape: &Shape, gap: i64, stored: &Stored) -> Result<Sessions, RunError> {
        let closed = read_notes(stored)?;
        let mut sessions = Sessions { closed, ..Sessions::new(shape, gap)? };
        sessions.next_id = stored.notes.get(NEXT).and_then(|next| next.parse().ok()).ok_or_else(damaged)?;
        // What a later batch says of a session holds.
        let mut seen: HashSet<u64> = HashSet::new();
        for batch in stored.segments.iter().rev() {
            if batch.schema_ref().fields().first().is_some_and(|field| field.name() == GONE) {
                seen.extend(saved::<UInt64Type>(batch.columns(), 0)?.values());
            } else {
                sessions.load(shape, gap, &Segment::new(shape, batch, OF)?, &mut seen)?;
            }
        }
        Ok(sessions)
    }

    fn load(
        &mut self,
        shape: &Shape,
        gap: i64,
        segment: &Segment<'_>,
        seen: &mut HashSet<u64>,
    ) -> Result<(), RunError> {
        let ids = saved::<UInt64Type>(segment.of, 0)?.values();
        let first = saved::<TimestampMicrosecondType>(segment.of, 1)?.values();
        let last = saved::<TimestampMicrosecondType>(segment.of, 2)?.values();
        let encoded = self.index.encode(segment.keys, ids.len())?;
        let (mut rows, mut groups) = (vec![], vec![]);
        for row in 0..ids.len() {
            let closed = self.closed.is_some_and(|closed| last[row].saturating_add(gap) <= closed);
            if !seen.insert(ids[row]) || closed {
                continue;
            }
            let key = self.index.insert(&encoded, row, 0)?;
            groups.push(self.add(Part { key, first: first[row], last: last[row] }, gap, Some(ids[row]))?);
            rows.push(row as u32);
        }
        segment.load(shape, &mut self.values, &rows, &groups, self.parts.len())
    }
}
