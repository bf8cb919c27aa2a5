//! Least and greatest values, and values chosen by their place or by another value.

use super::accumulator::{Accumulator, Failed, Pair, Rows, damaged, grow, load_place, room, same, save_places, saved};
use super::column::Column;
use crate::batch::RowOrder;
use crate::error::RunError;
use crate::keys::{Keys, normalize};
use crate::operators::internal;
use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, UInt32Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType as A, Float64Type, Int64Type, UInt64Type};
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use std::sync::Arc;

/// Least or greatest values of types that have a 64-bit number with the same order.
#[derive(Debug)]
pub(super) struct Numbers {
    data: A,
    greatest: bool,
    groups: Column<i64>,
    /// Which groups have a value: a bit each.
    some: Column<u64>,
}

/// Whether [`Numbers`] does for the type.
pub(super) fn is_number(data: &A) -> bool {
    data.is_integer() || data.is_floating() || data.is_temporal() || *data == A::Boolean
}

/// A double as a number of the same order; its own inverse.
fn flip(bits: i64) -> i64 {
    bits ^ ((bits >> 63) as u64 >> 1) as i64
}

impl Numbers {
    pub(super) fn new(data: &A, greatest: bool) -> Self {
        Numbers { data: data.clone(), greatest, groups: Column::default(), some: Column::default() }
    }

    fn offer(&mut self, group: usize, value: i64) {
        let (best, some, bit) = (self.groups.at(group), self.some.at(group / 64), 1 << (group % 64));
        if *some & bit == 0 || (if self.greatest { value > *best } else { value < *best }) {
            *best = value;
            *some |= bit;
        }
    }

    fn best(&self, group: usize) -> Option<i64> {
        let some = self.some.get(group / 64).is_some_and(|bits| bits >> (group % 64) & 1 == 1);
        if some { self.groups.get(group).copied() } else { None }
    }

    fn grow(&mut self, count: usize) {
        self.groups.grow(count);
        self.some.grow(count.div_ceil(64));
    }

    /// A number of the same order for each value.
    fn numbers(&self, values: &ArrayRef) -> Result<Int64Array, RunError> {
        if self.data.is_floating() {
            let doubles = normalize(&cast(values, &A::Float64).map_err(internal)?);
            return Ok(doubles.as_primitive::<Float64Type>().unary(|x| flip(x.to_bits() as i64)));
        }
        Ok(cast(values, &A::Int64).map_err(internal)?.as_primitive::<Int64Type>().clone())
    }

    fn values(&self, groups: &[u32]) -> Result<ArrayRef, RunError> {
        let values = groups.iter().map(|group| self.best(*group as usize));
        let array: ArrayRef = if self.data.is_floating() {
            Arc::new(values.map(|v| v.map(|v| f64::from_bits(flip(v) as u64))).collect::<Float64Array>())
        } else {
            Arc::new(values.collect::<Int64Array>())
        };
        // Dates are 32-bit numbers.
        let array = if self.data == A::Date32 { cast(&array, &A::Int32).map_err(internal)? } else { array };
        cast(&array, &self.data).map_err(internal)
    }
}

impl Accumulator for Numbers {
    fn update(&mut self, rows: &Rows<'_>) -> Result<(), RunError> {
        self.grow(rows.count);
        let values = self.numbers(&rows.args[0])?;
        let numbers = values.values();
        rows.each(&values, |row, group| self.offer(group, numbers[row]));
        Ok(())
    }

    fn merge(&mut self, other: &dyn Accumulator, pairs: &[Pair], count: usize) -> Result<(), RunError> {
        self.grow(count);
        let other: &Numbers = same(other)?;
        for (from, to) in pairs {
            if let Some(value) = other.best(*from as usize) {
                self.offer(*to as usize, value);
            }
        }
        Ok(())
    }

    /// The values.
    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>, RunError> {
        Ok(vec![self.values(groups)?])
    }

    fn load(&mut self, columns: &[ArrayRef], groups: &[u32], count: usize) -> Result<(), RunError> {
        self.grow(count);
        let values = self.numbers(columns.first().filter(|c| *c.data_type() == self.data).ok_or_else(damaged)?)?;
        let some = groups.iter().enumerate().filter(|(row, _)| values.is_valid(*row));
        some.for_each(|(row, group)| self.offer(*group as usize, values.value(row)));
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.groups.bytes() + self.some.bytes()
    }

    fn finish(&self, order: &[u32]) -> Result<ArrayRef, Failed> {
        Ok(self.values(order)?)
    }
}

/// What makes a row the one that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// It comes first.
    First,
    /// It comes last.
    Last,
    /// Its rank is the least; of several the first.
    Least,
    /// Its rank is the greatest; of several the first.
    Greatest,
}

/// The row that counts, of a group.
#[derive(Debug, Clone)]
struct Best {
    rank: Box<[u8]>,
    place: RowOrder,
    value: Box<[u8]>,
}

/// The value of the row that counts: first, last, min_by, max_by; and min and max, where the value is its own rank.
#[derive(Debug)]
pub(super) struct Chosen {
    choice: Choice,
    /// Of the operand that ranks; none: the place does.
    ranks: Option<Keys>,
    /// Whether the value is what ranks it.
    own_rank: bool,
    values: Keys,
    groups: Vec<Option<Best>>,
    /// The bytes of all ranks and values.
    texts: usize,
}

impl Chosen {
    /// For operands of these types: the value, and what ranks it.
    pub(super) fn new(choice: Choice, value: &A, rank: Option<&A>) -> Result<Self, RunError> {
        let ranks = rank.map(|rank| Keys::new([rank].into_iter())).transpose()?;
        let values = Keys::new([value].into_iter())?;
        Ok(Chosen { choice, ranks, own_rank: false, values, groups: vec![], texts: 0 })
    }

    /// The least or greatest value of this type.
    pub(super) fn extreme(choice: Choice, value: &A) -> Result<Self, RunError> {
        Ok(Chosen { own_rank: true, ..Chosen::new(choice, value, Some(value))? })
    }

    fn best(&self, group: u32) -> Option<&Best> {
        self.groups.get(group as usize).and_then(Option::as_ref)
    }

    /// What `keys` encoded of these groups, null where there is no row.
    fn column(&self, keys: &Keys, groups: &[u32], bytes: impl Fn(&Best) -> &[u8]) -> Result<ArrayRef, RunError> {
        let present = groups.iter().filter_map(|group| self.best(*group)).map(bytes);
        let values = keys.decode(present)?.remove(0);
        let mut next = 0..;
        let places: UInt32Array = groups.iter().map(|group| self.best(*group).and_then(|_| next.next())).collect();
        take(&values, &places, None).map_err(internal)
    }

    /// Whether a row counts more than another, given rank and place of each.
    fn beats(&self, a: (&[u8], RowOrder), b: (&[u8], RowOrder)) -> bool {
        match self.choice {
            Choice::First => a.1 < b.1,
            Choice::Last => a.1 > b.1,
            Choice::Least => a < b,
            Choice::Greatest => a.0 > b.0 || (a.0 == b.0 && a.1 < b.1),
        }
    }

    fn offer(&mut self, group: usize, rank: &[u8], place: RowOrder, value: &[u8]) {
        let wins = match &self.groups[group] {
            Some(best) => self.beats((rank, place), (&best.rank, best.place)),
            None => true,
        };
        if wins {
            self.texts += rank.len() + value.len();
            let new = Best { rank: rank.into(), place, value: value.into() };
            if let Some(old) = self.groups[group].replace(new) {
                self.texts -= old.rank.len() + old.value.len();
            }
        }
    }
}

impl Accumulator for Chosen {
    fn update(&mut self, rows: &Rows<'_>) -> Result<(), RunError> {
        grow(&mut self.groups, rows.count);
        let ranking = rows.args.last().filter(|_| self.ranks.is_some());
        let ranks = match (&self.ranks, ranking) {
            (Some(keys), Some(by)) => Some(keys.encode(&[Arc::clone(by)])?),
            _ => None,
        };
        let rank = |row: usize| ranks.as_ref().map_or(&[][..], |r| r.row(row).data());
        // First the row of each group that counts within this batch, so that few values are encoded.
        let mut winners: HashMap<usize, u32> = HashMap::with_capacity(rows.count.min(rows.groups.len()));
        let mut touched = vec![];
        for (row, group) in rows.admitted().filter(|(row, _)| ranking.is_none_or(|by| by.is_valid(*row))) {
            let place = rows.places.of(row);
            match winners.entry(group) {
                Entry::Vacant(winner) => {
                    touched.push(group);
                    winner.insert(row as u32);
                }
                Entry::Occupied(mut winner) => {
                    let best = *winner.get() as usize;
                    if self.beats((rank(row), place), (rank(best), rows.places.of(best))) {
                        winner.insert(row as u32);
                    }
                }
            }
        }
        let picked: UInt32Array = touched.iter().map(|group| winners.get(group).copied()).collect();
        // A value that is its own rank comes out in the form in which it is compared: it does not depend on which of several equal ones came first.
        let column = if self.own_rank { normalize(&rows.args[0]) } else { Arc::clone(&rows.args[0]) };
        let values = self.values.exact(&[take(&column, &picked, None).map_err(internal)?])?;
        for (i, group) in touched.into_iter().enumerate() {
            let row = picked.value(i) as usize;
            self.offer(group, rank(row), rows.places.of(row), values.row(i).data());
        }
        Ok(())
    }

    fn merge(&mut self, other: &dyn Accumulator, pairs: &[Pair], count: usize) -> Result<(), RunError> {
        grow(&mut self.groups, count);
        let other: &Chosen = same(other)?;
        for (from, to) in pairs {
            if let Some(best) = other.best(*from) {
                self.offer(*to as usize, &best.rank, best.place, &best.value);
            }
        }
        Ok(())
    }

    /// The values, the places, and what ranks the values unless they rank themselves. Without a row, there is no place.
    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>, RunError> {
        let mut columns = vec![self.column(&self.values, groups, |best| &best.value)?];
        columns.extend(save_places(groups.iter().map(|group| Some(self.best(*group)?.place))));
        if let Some(ranks) = self.ranks.as_ref().filter(|_| !self.own_rank) {
            columns.push(self.column(ranks, groups, |best| &best.rank)?);
        }
        Ok(columns)
    }

    fn load(&mut self, columns: &[ArrayRef], groups: &[u32], count: usize) -> Result<(), RunError> {
        grow(&mut self.groups, count);
        let (high, low) = (saved::<UInt64Type>(columns, 1)?, saved::<UInt64Type>(columns, 2)?);
        let values = self.values.exact(&columns[..1])?;
        let ranking = columns.get(if self.own_rank { 0 } else { 3 });
        let ranks = match (&self.ranks, ranking) {
            (None, _) => None,
            (Some(keys), Some(by)) => Some(keys.encode(&[Arc::clone(by)])?),
            _ => return Err(damaged()),
        };
        for (row, group) in groups.iter().enumerate().filter(|(row, _)| high.is_valid(*row)) {
            let rank = ranks.as_ref().map_or(&[][..], |r| r.row(row).data());
            self.offer(*group as usize, rank, load_place(high, low, row), values.row(row).data());
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        room(&self.groups) + self.texts
    }

    fn finish(&self, order: &[u32]) -> Result<ArrayRef, Failed> {
        Ok(self.column(&self.values, order, |best| &best.value)?)
    }
}
