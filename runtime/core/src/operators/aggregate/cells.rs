//! One value for each group, down to its bits: values of a fixed width as they stand in a column, all others as byte strings. Knows nothing of which value
//! a group has, nor why.

use super::accumulator::{grow, room};
use crate::error::RunError;
use crate::keys::Keys;
use crate::operators::internal;
use arrow::array::{Array, ArrayData, ArrayRef, UInt32Array, make_array};
use arrow::buffer::{MutableBuffer, NullBuffer};
use arrow::compute::take;
use arrow::datatypes::DataType as A;

/// A row (or a group of another accumulator), and the group here that takes its value.
pub(super) type Win = (u32, u32);

/// A bit for each group.
#[derive(Debug, Default)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    pub(super) fn grow(&mut self, count: usize) {
        grow(&mut self.0, count.div_ceil(64));
    }

    /// Whether the bit is set; one beyond all is not.
    pub(super) fn get(&self, group: usize) -> bool {
        self.0.get(group / 64).is_some_and(|word| word >> (group % 64) & 1 == 1)
    }

    /// Sets the bit; returns whether it was set. There must be room for it.
    pub(super) fn set(&mut self, group: usize) -> bool {
        let (word, bit) = (&mut self.0[group / 64], 1 << (group % 64));
        let was = *word & bit != 0;
        *word |= bit;
        was
    }

    fn put(&mut self, group: usize, value: bool) {
        let (word, at) = (&mut self.0[group / 64], group % 64);
        *word = *word & !(1 << at) | u64::from(value) << at;
    }

    pub(super) fn room(&self) -> usize {
        room(&self.0)
    }
}

/// A byte string for each group; the room of one that is replaced is used again.
#[derive(Debug, Default)]
pub(super) struct Texts {
    texts: Vec<Vec<u8>>,
    /// The bytes that they have room for.
    room: usize,
}

impl Texts {
    pub(super) fn grow(&mut self, count: usize) {
        grow(&mut self.texts, count);
    }

    pub(super) fn get(&self, group: usize) -> &[u8] {
        &self.texts[group]
    }

    pub(super) fn put(&mut self, group: usize, text: &[u8]) {
        let mine = &mut self.texts[group];
        let before = mine.capacity();
        mine.clear();
        mine.reserve_exact(text.len());
        mine.extend_from_slice(text);
        self.room += mine.capacity() - before;
    }

    pub(super) fn room(&self) -> usize {
        room(&self.texts) + self.room
    }

    /// What `keys` encoded of these groups, null where there is no value.
    pub(super) fn column(&self, keys: &Keys, groups: &[u32], some: &Bits) -> Result<ArrayRef, RunError> {
        let has = |group: &&u32| some.get(**group as usize);
        let values = keys.decode(groups.iter().filter(has).map(|group| self.get(*group as usize)))?.remove(0);
        let mut next = 0..;
        let places: UInt32Array = groups.iter().map(|group| has(&group).then(|| next.next()).flatten()).collect();
        take(&values, &places, None).map_err(internal)
    }
}

/// The values.
#[derive(Debug)]
pub(super) enum Cells {
    /// Of a fixed width in bytes.
    Fixed(Fixed),
    /// As byte strings, encoded bit by bit.
    Texts(Keys, Texts),
}

/// Values of a fixed width.
#[derive(Debug)]
pub(super) struct Fixed {
    data: A,
    width: usize,
    bytes: Vec<u8>,
    /// Which of them are null; not there before the first one is.
    nulls: Option<Bits>,
    count: usize,
}

impl Cells {
    pub(super) fn new(data: &A) -> Result<Cells, RunError> {
        match data.primitive_width() {
            Some(width) => Ok(Cells::Fixed(Fixed { data: data.clone(), width, bytes: vec![], nulls: None, count: 0 })),
            None => Cells::texts(data),
        }
    }

    /// As byte strings, whatever the type is.
    pub(super) fn texts(data: &A) -> Result<Cells, RunError> {
        Ok(Cells::Texts(Keys::new([data].into_iter())?, Texts::default()))
    }

    pub(super) fn grow(&mut self, count: usize) {
        match self {
            Cells::Fixed(fixed) => {
                fixed.count = fixed.count.max(count);
                grow(&mut fixed.bytes, fixed.count * fixed.width);
                let count = fixed.count;
                fixed.nulls.iter_mut().for_each(|nulls| nulls.grow(count));
            }
            Cells::Texts(_, texts) => texts.grow(count),
        }
    }

    /// Whether it costs much to put a value that another one replaces at once.
    pub(super) fn is_costly(&self) -> bool {
        matches!(self, Cells::Texts(..))
    }

    /// Takes values of these rows of a column; of several for one group the last.
    pub(super) fn put(&mut self, column: &ArrayRef, wins: &[Win]) -> Result<(), RunError> {
        match self {
            Cells::Fixed(fixed) => {
                if *column.data_type() != fixed.data {
                    return Err(internal(format!("a value is {}, not {}", column.data_type(), fixed.data)));
                }
                let data = column.to_data();
                let values = data.buffers().first().map_or(&[][..], |buffer| buffer.as_slice());
                fixed.copy(values.get(data.offset() * fixed.width..).unwrap_or_default(), wins);
                let nulls = data.nulls().filter(|nulls| nulls.null_count() > 0);
                fixed.note_nulls(nulls.map(|nulls| move |row: usize| nulls.is_null(row)), wins);
            }
            Cells::Texts(keys, texts) => {
                let picked = UInt32Array::from_iter_values(wins.iter().map(|(row, _)| *row));
                let values = keys.exact(&[take(column, &picked, None).map_err(internal)?])?;
                wins.iter().enumerate().for_each(|(i, (_, group))| texts.put(*group as usize, values.row(i).data()));
            }
        }
        Ok(())
    }

    /// Takes values of groups of others; of several for one group the last.
    pub(super) fn take(&mut self, other: &Cells, wins: &[Win]) -> Result<(), RunError> {
        match (self, other) {
            (Cells::Fixed(mine), Cells::Fixed(other)) if mine.data == other.data => {
                mine.copy(&other.bytes, wins);
                mine.note_nulls(other.nulls.as_ref().map(|nulls| move |group: usize| nulls.get(group)), wins);
            }
            (Cells::Texts(_, mine), Cells::Texts(_, other)) => {
                wins.iter().for_each(|(from, to)| mine.put(*to as usize, other.get(*from as usize)));
            }
            _ => return Err(internal("values of different kinds meet")),
        }
        Ok(())
    }

    /// The values of these groups, null where there is none.
    pub(super) fn column(&self, groups: &[u32], some: &Bits) -> Result<ArrayRef, RunError> {
        match self {
            Cells::Fixed(fixed) => fixed.column(groups, some),
            Cells::Texts(keys, texts) => texts.column(keys, groups, some),
        }
    }

    /// The bytes that they take.
    pub(super) fn room(&self) -> usize {
        match self {
            Cells::Fixed(fixed) => room(&fixed.bytes) + fixed.nulls.as_ref().map_or(0, Bits::room),
            Cells::Texts(_, texts) => texts.room(),
        }
    }
}

/// Copies values of so many bytes.
fn scatter<const WIDTH: usize>(to: &mut [u8], from: &[u8], wins: &[Win]) {
    let ((to, _), (from, _)) = (to.as_chunks_mut::<WIDTH>(), from.as_chunks::<WIDTH>());
    wins.iter().for_each(|(row, group)| to[*group as usize] = from[*row as usize]);
}

impl Fixed {
    fn copy(&mut self, from: &[u8], wins: &[Win]) {
        let Fixed { width, bytes: to, .. } = self;
        match *width {
            4 => scatter::<4>(to, from, wins),
            8 => scatter::<8>(to, from, wins),
            16 => scatter::<16>(to, from, wins),
            width => {
                for (row, group) in wins {
                    let (at, row) = (*group as usize * width, *row as usize * width);
                    to[at..at + width].copy_from_slice(&from[row..row + width]);
                }
            }
        }
    }

    /// `is_null`: of a row; none: no row is.
    fn note_nulls(&mut self, is_null: Option<impl Fn(usize) -> bool>, wins: &[Win]) {
        if is_null.is_none() && self.nulls.is_none() {
            return;
        }
        let nulls = self.nulls.get_or_insert_default();
        nulls.grow(self.count);
        let null = |row: u32| is_null.as_ref().is_some_and(|is_null| is_null(row as usize));
        wins.iter().for_each(|(row, group)| nulls.put(*group as usize, null(*row)));
    }

    fn column(&self, groups: &[u32], some: &Bits) -> Result<ArrayRef, RunError> {
        let has = |group: usize| some.get(group) && self.nulls.as_ref().is_none_or(|nulls| !nulls.get(group));
        let mut bytes = MutableBuffer::with_capacity(groups.len() * self.width);
        for group in groups {
            let at = *group as usize * self.width;
            match self.bytes.get(at..at + self.width) {
                Some(value) => bytes.extend_from_slice(value),
                None => bytes.extend_zeros(self.width),
            }
        }
        let nulls = NullBuffer::from_iter(groups.iter().map(|group| has(*group as usize)));
        let nulls = Some(nulls).filter(|nulls| nulls.null_count() > 0);
        let array = ArrayData::builder(self.data.clone()).len(groups.len()).add_buffer(bytes.into()).nulls(nulls);
        Ok(make_array(array.build().map_err(internal)?))
    }
}
