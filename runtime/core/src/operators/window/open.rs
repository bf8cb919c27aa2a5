//! Groups of slices and keys, with what each has: those of windows that are open, and those that a worker has found. Slices are merged into windows when these
//! close. Knows nothing of sessions, of workers, or of where anything is stored.

use super::stored::{self, Segment, moments, notes, read_notes};
use super::values::{Arrived, Shape, Values};
use super::windows::{Bounds, Slice, Windows};
use crate::error::RunError;
use crate::operators::aggregate::accumulator::{Pair, grow, room, saved};
use crate::operators::aggregate::column::Column;
use crate::operators::aggregate::index::KeyIndex;
use crate::operators::stateful::{Changes, Extent, Stored};
use arrow::datatypes::TimestampMicrosecondType;
use std::collections::BTreeMap;

/// Groups that are no longer needed are cleared away when they are so many, and more than the others.
const DEAD: usize = 1024;

/// The groups of slices and keys; the tag of a key is the start of its slice.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) index: KeyIndex,
    pub(super) values: Values,
}

impl Table {
    pub(super) fn new(shape: &Shape) -> Result<Table, RunError> {
        Ok(Table { index: KeyIndex::new(&shape.keys, true)?, values: Values::new(shape)? })
    }

    /// The bytes that it takes, about.
    pub(super) fn bytes(&self) -> usize {
        self.index.bytes() + self.values.bytes()
    }

    /// Takes rows, each into its slice.
    pub(super) fn absorb(&mut self, shape: &Shape, windows: &Windows, rows: &Arrived) -> Result<(), RunError> {
        let mut slicer = Slicer::new(windows);
        let slices: Vec<i64> = shape.times(&rows.data)?.iter().map(|time| slicer.slice(*time).start).collect();
        let encoded = self.index.encode(&shape.key_columns(&rows.data), slices.len())?;
        let groups = self.index.assign(&encoded, &slices)?;
        self.values.update(shape, rows, &groups, self.index.len())
    }

    /// Takes what groups of another table have; `tag`: where the windows or slices of these groups begin here.
    pub(super) fn take(
        &mut self,
        other: &Table,
        groups: impl Iterator<Item = u32>,
        tag: impl Fn(u32) -> i64,
    ) -> Result<Vec<Pair>, RunError> {
        let pair = |group| Ok((group, self.index.adopt(&other.index, group, tag(group))?));
        let pairs = groups.map(pair).collect::<Result<Vec<Pair>, RunError>>()?;
        self.values.merge(&other.values, &pairs, self.index.len())?;
        Ok(pairs)
    }
}

/// The slices of moments that often lie in the same one.
#[derive(Debug)]
pub(in crate::operators) struct Slicer<'a> {
    windows: &'a Windows,
    last: Option<Slice>,
}

impl<'a> Slicer<'a> {
    pub(in crate::operators) fn new(windows: &'a Windows) -> Self {
        Slicer { windows, last: None }
    }

    pub(in crate::operators) fn slice(&mut self, at: i64) -> Slice {
        match self.last {
            Some(slice) if slice.start <= at && at < slice.end => slice,
            _ => *self.last.insert(self.windows.slice(at)),
        }
    }
}

/// The groups of a slice: the last one, and how many.
#[derive(Debug, Clone, Copy, Default)]
struct Members {
    /// One more than its number.
    last: u32,
    count: u32,
}

/// What is open.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) table: Table,
    /// The slices that are needed, by their start.
    slices: BTreeMap<i64, Members>,
    /// Of each group the one before it in its slice: one more than its number.
    before: Column<u32>,
    /// How many groups are needed.
    pub(super) live: usize,
    /// Which groups have changed since changes were last asked for: a bit each.
    changed: Vec<u64>,
    /// Windows that end by then have been given out.
    pub(super) closed: Option<i64>,
}

impl Open {
    pub(super) fn new(shape: &Shape) -> Result<Open, RunError> {
        let (table, slices) = (Table::new(shape)?, BTreeMap::new());
        Ok(Open { table, slices, before: Column::default(), live: 0, changed: vec![], closed: None })
    }

    /// The bytes that it takes, about.
    pub(super) fn bytes(&self) -> usize {
        // A slice takes its start and its members, and the tree a half more.
        let slices = self.slices.len() * size_of::<(i64, Members)>() * 3 / 2;
        self.table.bytes() + slices + self.before.bytes() + room(&self.changed)
    }

    /// Enters the groups that were added to the table, from this one on.
    pub(super) fn enter(&mut self, from: usize) {
        let count = self.table.index.len();
        self.before.grow(count);
        let mut group = from;
        while group < count {
            // Rows come about in the order of time: many groups in turn are of one slice.
            let tag = self.table.index.tag(group as u32);
            let members = self.slices.entry(tag).or_default();
            while group < count && self.table.index.tag(group as u32) == tag {
                *self.before.at(group) = std::mem::replace(&mut members.last, group as u32 + 1);
                members.count += 1;
                group += 1;
            }
        }
        self.live += count - from;
    }

    /// What a worker has found.
    pub(super) fn found(table: Table) -> Open {
        let (slices, before, changed) = (BTreeMap::new(), Column::default(), vec![]);
        let mut open = Open { table, slices, before, live: 0, changed, closed: None };
        open.enter(0);
        open
    }

    /// Takes what a worker has found, but for the slices whose last window has been given out.
    pub(super) fn merge(&mut self, windows: &Windows, mut theirs: Open) -> Result<(), RunError> {
        theirs.closed = self.closed;
        theirs.leave(windows);
        let from = self.table.index.len();
        if from == 0 && theirs.live == theirs.table.index.len() {
            let count = theirs.live as u32;
            *self = theirs;
            (0..count).for_each(|group| self.mark(group));
            return Ok(());
        }
        let index = &theirs.table.index;
        let pairs = self.table.take(&theirs.table, theirs.all().into_iter(), |group| index.tag(group))?;
        self.enter(from);
        pairs.iter().for_each(|(_, group)| self.mark(*group));
        Ok(())
    }

    fn mark(&mut self, group: u32) {
        grow(&mut self.changed, group as usize / 64 + 1);
        self.changed[group as usize / 64] |= 1 << (group % 64);
    }

    /// The groups of slices that begin in this time.
    pub(super) fn groups(&self, from: i64, to: i64) -> impl Iterator<Item = u32> + '_ {
        let group = |one_more: u32| one_more.checked_sub(1);
        let of =
            move |members: &Members| std::iter::successors(group(members.last), move |g| group(self.before.of(*g)));
        self.slices.range(from..to.max(from)).flat_map(move |(_, members)| of(members))
    }

    /// All groups that are needed, by their slices.
    pub(super) fn all(&self) -> Vec<u32> {
        // No slice begins at the end of all time.
        self.groups(i64::MIN, i64::MAX).collect()
    }

    /// The groups that have changed and are needed; from here on, none has.
    pub(super) fn take_changed(&mut self) -> Vec<u32> {
        let mut groups = vec![];
        for (word, mut bits) in std::mem::take(&mut self.changed).into_iter().enumerate() {
            while bits != 0 {
                let group = word as u32 * 64 + bits.trailing_zeros();
                bits &= bits - 1;
                if self.slices.contains_key(&self.table.index.tag(group)) {
                    groups.push(group);
                }
            }
        }
        groups
    }

    fn after(&self) -> Option<Bounds> {
        self.closed.map(|end| Bounds { end, start: i64::MAX })
    }

    /// The first slice that begins then or later.
    fn slice(&self, from: i64) -> Option<i64> {
        self.slices.range(from..).next().map(|(start, _)| *start)
    }

    /// The slices that begin in this time, each with how many groups it has.
    pub(super) fn slices(&self, from: i64, to: i64) -> impl Iterator<Item = (i64, usize)> + '_ {
        self.slices.range(from..to.max(from)).map(|(start, members)| (*start, members.count as usize))
    }

    fn windows_until(&self, windows: &Windows, until: i64, others: &[Open]) -> Vec<Bounds> {
        let slice = |from: i64| others.iter().filter_map(|other| other.slice(from)).chain(self.slice(from)).min();
        windows.ending(slice, self.after(), until)
    }

    /// The windows that end by then, in their order, of what is here and of what others have found; they count as given out.
    pub(super) fn close(&mut self, windows: &Windows, until: i64, others: &[Open]) -> Vec<Bounds> {
        let closing = self.windows_until(windows, until, others);
        let closed = if until < i64::MAX { Some(until) } else { closing.last().map(|window| window.end) };
        self.closed = self.closed.max(closed);
        closing
    }

    /// How many windows are open, and where the first and the last of them end.
    pub(super) fn open(&self, windows: &Windows) -> (u64, Option<i64>, Option<i64>) {
        if windows.are_slices() {
            let end = |slice: Option<(&i64, &Members)>| slice.and_then(|(start, _)| windows.slice(*start).last_end);
            let slices = &self.slices;
            return (slices.len() as u64, end(slices.first_key_value()), end(slices.last_key_value()));
        }
        let open = self.windows_until(windows, i64::MAX, &[]);
        (open.len() as u64, open.first().map(|window| window.end), open.last().map(|window| window.end))
    }

    /// Forgets the slices whose last window has been given out.
    pub(super) fn forget(&mut self, shape: &Shape, windows: &Windows) -> Result<(), RunError> {
        self.leave(windows);
        let dead = self.table.index.len() - self.live;
        if dead >= DEAD && dead > self.live { self.compact(shape) } else { Ok(()) }
    }

    fn leave(&mut self, windows: &Windows) {
        let Some(closed) = self.closed else { return };
        while let Some(slice) = self.slices.first_entry() {
            if windows.slice(*slice.key()).last_end.is_some_and(|end| end > closed) {
                break;
            }
            self.live -= slice.remove().count as usize;
        }
    }

    /// Leaves what is not needed.
    fn compact(&mut self, shape: &Shape) -> Result<(), RunError> {
        let mut compact = Open { closed: self.closed, ..Open::new(shape)? };
        let old = &self.table;
        let pairs = compact.table.take(old, self.all().into_iter(), |group| old.index.tag(group))?;
        compact.enter(0);
        for (from, to) in pairs {
            if self.changed.get(from as usize / 64).is_some_and(|bits| bits >> (from % 64) & 1 == 1) {
                compact.mark(to);
            }
        }
        *self = compact;
        Ok(())
    }
}

/// The columns that say which group a row is of, where groups are stored: the start of its slice.
pub(super) const OF: usize = 1;

impl Open {
    /// What is stored: all, or else the groups that have changed.
    pub(super) fn changes(&mut self, shape: &Shape, extent: Extent) -> Result<Changes, RunError> {
        let changed = self.take_changed();
        let whole = extent.whole(changed.len(), self.live);
        let groups = if whole { self.all() } else { changed };
        let index = &self.table.index;
        let of = |groups: &[u32]| {
            let slices = moments("slice", groups.iter().map(|group| index.tag(*group)));
            Ok((vec![slices], index.columns(groups)?))
        };
        let segments = stored::segments(shape, &self.table.values, &groups, of)?;
        Ok(Changes { whole, notes: notes(self.closed), segments, more: None })
    }

    /// What was stored.
    pub(super) fn restore(shape: &Shape, windows: &Windows, stored: &Stored) -> Result<Open, RunError> {
        let mut open = Open { closed: read_notes(stored)?, ..Open::new(shape)? };
        let needed = |slice: Slice| slice.last_end.is_some_and(|end| open.closed.is_none_or(|closed| end > closed));
        // What a later batch says of a group holds.
        for batch in stored.segments.iter().rev() {
            let segment = Segment::new(shape, batch, OF)?;
            let slices = saved::<TimestampMicrosecondType>(segment.of, 0)?.values();
            let Table { index, values } = &mut open.table;
            let (mut slicer, mut rows, mut groups) = (Slicer::new(windows), vec![], vec![]);
            let encoded = index.encode(segment.keys, slices.len())?;
            for (row, start) in slices.iter().enumerate() {
                let next = index.len();
                if needed(slicer.slice(*start)) && index.insert(&encoded, row, *start)? as usize == next {
                    rows.push(row as u32);
                    groups.push(next as u32);
                }
            }
            segment.load(shape, values, &rows, &groups, index.len())?;
        }
        open.enter(0);
        Ok(open)
    }
}
