//! Lists, sets, counts of different values, percentiles: what needs all values of a group.

use super::accumulator::{Accumulator, Failed, Pair, Rows, damaged, grow, load_place, of, room, same, save_places};
use crate::batch::RowOrder;
use crate::error::RunError;
use crate::keys::{Bytes, Keys, hash_bytes, normalize};
use crate::operators::internal;
use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, ListArray, UInt32Array, UInt64Array, new_empty_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{cast, interleave, take};
use arrow::datatypes::{DataType as A, Field, FieldRef, Float64Type, UInt64Type};
use flowc_ir::value::compare_double;
use hashbrown::HashTable;
use std::sync::Arc;

/// Which items belong to which group: of each group the last item, of each item the one before it.
#[derive(Debug, Default)]
struct Chains {
    /// One more than the last item; 0: none.
    last: Vec<u32>,
    before: Vec<u32>,
}

impl Chains {
    /// Adds an item, with the next number.
    fn push(&mut self, group: u32) {
        grow(&mut self.last, group as usize + 1);
        let last = &mut self.last[group as usize];
        self.before.push(*last);
        *last = self.before.len() as u32;
    }

    /// The items of a group, the last first.
    fn of(&self, group: u32) -> impl Iterator<Item = usize> + '_ {
        let item = |one_more: u32| (one_more > 0).then(|| one_more as usize - 1);
        std::iter::successors(item(of(&self.last, group)), move |i| item(self.before[*i]))
    }

    /// The items of these groups, within a group sorted by `key`, with the number of each group's.
    fn sorted<K: Ord>(&self, order: &[u32], key: impl Fn(usize) -> K) -> (Vec<usize>, Vec<usize>) {
        let (mut items, mut lengths) = (vec![], vec![]);
        for group in order {
            let from = items.len();
            items.extend(self.of(*group));
            items[from..].sort_unstable_by_key(|i| key(*i));
            lengths.push(items.len() - from);
        }
        (items, lengths)
    }

    fn bytes(&self) -> usize {
        room(&self.last) + room(&self.before)
    }
}

/// A list of places for each group, in two columns.
fn save_place_lists(places: &[RowOrder], items: &[usize], lengths: &[usize]) -> Result<Vec<ArrayRef>, RunError> {
    let halves = save_places(items.iter().map(|i| Some(places[*i])));
    let field = Arc::new(Field::new("element", A::UInt64, true));
    halves.into_iter().map(|half| list(&field, lengths.to_vec(), half)).collect()
}

/// Lists of what was saved.
fn saved_lists(columns: &[ArrayRef], index: usize) -> Result<&ListArray, RunError> {
    columns.get(index).and_then(|c| c.as_list_opt::<i32>()).ok_or_else(damaged)
}

/// The places of the elements of lists: see [`save_place_lists`].
fn load_place_lists(columns: &[ArrayRef]) -> Result<impl Fn(usize) -> Vec<RowOrder> + '_, RunError> {
    let (high, low) = (saved_lists(columns, 1)?, saved_lists(columns, 2)?);
    let halves = |list: &ListArray, row: usize| list.value(row).as_primitive_opt::<UInt64Type>().cloned();
    Ok(move |row| {
        let (Some(high), Some(low)) = (halves(high, row), halves(low, row)) else { return vec![] };
        (0..high.len().min(low.len())).map(|i| load_place(&high, &low, i)).collect()
    })
}

/// The most arrays that the values of lists stand in, for each 32 values.
const CHUNKS: usize = 256;

/// `collect_list`
#[derive(Debug)]
pub(super) struct Lists {
    field: FieldRef,
    chunks: Vec<ArrayRef>,
    /// The bytes of the chunks.
    values: usize,
    /// Chunk and row of each item.
    items: Vec<(u32, u32)>,
    places: Vec<RowOrder>,
    chains: Chains,
}

impl Lists {
    /// `field`: of the list's elements.
    pub(super) fn new(field: FieldRef) -> Self {
        Lists { field, chunks: vec![], values: 0, items: vec![], places: vec![], chains: Chains::default() }
    }

    /// An item, of the chunk that is added next.
    fn push(&mut self, group: u32, row: usize, place: RowOrder) {
        self.items.push((self.chunks.len() as u32, row as u32));
        self.places.push(place);
        self.chains.push(group);
    }

    fn add(&mut self, chunk: ArrayRef) -> Result<(), RunError> {
        self.values += chunk.get_array_memory_size();
        self.chunks.push(chunk);
        if self.chunks.len() > CHUNKS.max(self.items.len() / 32) {
            let all: Vec<usize> = (0..self.items.len()).collect();
            let one = self.taken(&all)?;
            self.values = one.get_array_memory_size();
            self.chunks = vec![one];
            self.items = (0..self.items.len() as u32).map(|row| (0, row)).collect();
        }
        Ok(())
    }

    /// The values of items.
    fn taken(&self, items: &[usize]) -> Result<ArrayRef, RunError> {
        let places: Vec<(usize, usize)> =
            items.iter().map(|i| (self.items[*i].0 as usize, self.items[*i].1 as usize)).collect();
        let chunks: Vec<&dyn Array> = self.chunks.iter().map(AsRef::as_ref).collect();
        match chunks.is_empty() {
            true => Ok(new_empty_array(self.field.data_type())),
            false => interleave(&chunks, &places).map_err(internal),
        }
    }
}

impl Accumulator for Lists {
    fn update(&mut self, rows: &Rows<'_>) -> Result<(), RunError> {
        let mut kept = vec![];
        for (row, group) in rows.valid(&rows.args[0]) {
            self.push(group as u32, kept.len(), rows.places.of(row));
            kept.push(row as u32);
        }
        // A copy of these values alone: the batch's other columns must not stay in memory.
        if !kept.is_empty() {
            self.add(take(&rows.args[0], &UInt32Array::from(kept), None).map_err(internal)?)?;
        }
        Ok(())
    }

    fn merge(&mut self, other: &dyn Accumulator, pairs: &[Pair], _count: usize) -> Result<(), RunError> {
        let other: &Lists = same(other)?;
        let mut taken = vec![];
        for (from, to) in pairs {
            for item in other.chains.of(*from) {
                self.push(*to, taken.len(), other.places[item]);
                taken.push(item);
            }
        }
        if taken.is_empty() { Ok(()) } else { self.add(other.taken(&taken)?) }
    }

    /// The values in their order, and their places.
    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>, RunError> {
        let (items, lengths) = self.chains.sorted(groups, |i| self.places[i]);
        let mut columns = save_place_lists(&self.places, &items, &lengths)?;
        columns.insert(0, list(&self.field, lengths, self.taken(&items)?)?);
        Ok(columns)
    }

    fn load(&mut self, columns: &[ArrayRef], groups: &[u32], _count: usize) -> Result<(), RunError> {
        let (lists, places) = (saved_lists(columns, 0)?, load_place_lists(columns)?);
        let first = lists.value_offsets()[0] as usize;
        for (row, group) in groups.iter().enumerate() {
            let from = lists.value_offsets()[row] as usize - first;
            places(row).into_iter().enumerate().for_each(|(i, place)| self.push(*group, from + i, place));
        }
        let length = lists.value_offsets()[lists.len()] as usize - first;
        if length == 0 {
            return Ok(());
        }
        let all = UInt64Array::from_iter_values((first..first + length).map(|i| i as u64));
        self.add(take(lists.values(), &all, None).map_err(internal)?)
    }

    fn bytes(&self) -> usize {
        self.values + room(&self.items) + room(&self.places) + self.chains.bytes()
    }

    fn grows(&self) -> bool {
        true
    }

    fn finish(&self, order: &[u32]) -> Result<ArrayRef, Failed> {
        let (items, lengths) = self.chains.sorted(order, |i| self.places[i]);
        Ok(list(&self.field, lengths, self.taken(&items)?)?)
    }
}

fn list(field: &FieldRef, lengths: Vec<usize>, values: ArrayRef) -> Result<ArrayRef, RunError> {
    if i32::try_from(lengths.iter().sum::<usize>()).is_err() {
        return Err(RunError::data("R0109", "the collected arrays have more than two billion elements"));
    }
    let offsets = OffsetBuffer::from_lengths(lengths);
    let array = ListArray::try_new(Arc::clone(field), offsets, values, None).map_err(internal)?;
    Ok(Arc::new(array))
}

/// Different values of each group: `count_distinct`, `collect_set`.
#[derive(Debug)]
pub(super) struct Distinct {
    keys: Keys,
    data: A,
    /// The list's element for `collect_set`; none: count.
    field: Option<FieldRef>,
    bytes: Bytes,
    groups: Vec<u32>,
    places: Vec<RowOrder>,
    table: HashTable<u32>,
    chains: Chains,
}

impl Distinct {
    pub(super) fn new(data: &A, field: Option<FieldRef>) -> Result<Self, RunError> {
        let keys = Keys::new([data].into_iter())?;
        let (bytes, groups, places, table) = (Bytes::default(), vec![], vec![], HashTable::new());
        Ok(Distinct { keys, data: data.clone(), field, bytes, groups, places, table, chains: Chains::default() })
    }

    /// The values of items.
    fn values(&self, items: &[usize]) -> Result<ArrayRef, RunError> {
        Ok(self.keys.decode(items.iter().map(|i| self.bytes.get(*i)))?.remove(0))
    }

    fn insert(&mut self, group: u32, value: &[u8], place: RowOrder) {
        let hash = |group: u32, value: &[u8]| hash_bytes(value) ^ u64::from(group).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let Distinct { bytes, groups, places, table, chains, .. } = self;
        let same = |i: &u32| groups[*i as usize] == group && bytes.get(*i as usize) == value;
        if let Some(found) = table.find(hash(group, value), same) {
            let first = &mut places[*found as usize];
            *first = place.min(*first);
            return;
        }
        let index = groups.len() as u32;
        bytes.push(value);
        groups.push(group);
        places.push(place);
        chains.push(group);
        table.insert_unique(hash(group, value), index, |i| hash(groups[*i as usize], bytes.get(*i as usize)));
    }
}

impl Accumulator for Distinct {
    fn update(&mut self, rows: &Rows<'_>) -> Result<(), RunError> {
        let encoded = self.keys.encode(rows.args)?;
        for (row, group) in rows.valid(&rows.args[0]) {
            self.insert(group as u32, encoded.row(row).data(), rows.places.of(row));
        }
        Ok(())
    }

    fn merge(&mut self, other: &dyn Accumulator, pairs: &[Pair], _count: usize) -> Result<(), RunError> {
        let other: &Distinct = same(other)?;
        for (from, to) in pairs {
            other.chains.of(*from).for_each(|i| self.insert(*to, other.bytes.get(i), other.places[i]));
        }
        Ok(())
    }

    /// The values in their order, and their places.
    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>, RunError> {
        let (items, lengths) = self.chains.sorted(groups, |i| self.places[i]);
        let mut columns = save_place_lists(&self.places, &items, &lengths)?;
        let field = Arc::new(Field::new("element", self.data.clone(), true));
        columns.insert(0, list(&field, lengths, self.values(&items)?)?);
        Ok(columns)
    }

    fn load(&mut self, columns: &[ArrayRef], groups: &[u32], _count: usize) -> Result<(), RunError> {
        let (lists, places) = (saved_lists(columns, 0)?, load_place_lists(columns)?);
        let encoded = self.keys.encode(&[Arc::clone(lists.values())])?;
        for (row, group) in groups.iter().enumerate() {
            let from = lists.value_offsets()[row] as usize;
            for (i, place) in places(row).into_iter().enumerate() {
                self.insert(*group, encoded.row(from + i).data(), place);
            }
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        let items = room(&self.groups) + room(&self.places) + self.chains.bytes();
        self.bytes.room() + items + self.table.capacity() * 6
    }

    fn grows(&self) -> bool {
        true
    }

    fn finish(&self, order: &[u32]) -> Result<ArrayRef, Failed> {
        let Some(field) = &self.field else {
            let counts = order.iter().map(|group| self.chains.of(*group).count() as i64);
            return Ok(Arc::new(Int64Array::from_iter_values(counts)));
        };
        let (items, lengths) = self.chains.sorted(order, |i| self.places[i]);
        Ok(list(field, lengths, self.values(&items)?)?)
    }
}

/// `percentile`
#[derive(Debug)]
pub(super) struct Percentiles {
    fraction: f64,
    groups: Vec<Vec<f64>>,
    /// How many values there are.
    values: usize,
}

impl Percentiles {
    pub(super) fn new(fraction: f64) -> Self {
        Percentiles { fraction, groups: vec![], values: 0 }
    }

    /// As Spark: linear between the two nearest values.
    fn of(&self, sorted: &[f64]) -> Option<f64> {
        let last = sorted.len().checked_sub(1)?;
        let position = last as f64 * self.fraction;
        let (low, high) = (position.floor(), position.ceil());
        let (below, above) = (sorted[low as usize], sorted[(high as usize).min(last)]);
        let exact = low == high || compare_double(below, above).is_eq();
        Some(if exact { below } else { (high - position) * below + (position - low) * above })
    }
}

impl Accumulator for Percentiles {
    fn update(&mut self, rows: &Rows<'_>) -> Result<(), RunError> {
        grow(&mut self.groups, rows.count);
        // Zeros of both signs would make the result depend on which of two equal values comes first.
        let values = normalize(&cast(&rows.args[0], &A::Float64).map_err(internal)?);
        let numbers = values.as_primitive::<Float64Type>().values();
        for (row, group) in rows.valid(&values) {
            self.groups[group].push(numbers[row]);
            self.values += 1;
        }
        Ok(())
    }

    fn merge(&mut self, other: &dyn Accumulator, pairs: &[Pair], count: usize) -> Result<(), RunError> {
        grow(&mut self.groups, count);
        let other: &Percentiles = same(other)?;
        for (from, to) in pairs {
            let values = other.groups.get(*from as usize).map_or(&[][..], Vec::as_slice);
            self.groups[*to as usize].extend(values);
            self.values += values.len();
        }
        Ok(())
    }

    /// The values, in no order.
    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>, RunError> {
        let (mut values, mut lengths): (Vec<f64>, Vec<usize>) = (vec![], vec![]);
        for group in groups {
            let of = self.groups.get(*group as usize).map_or(&[][..], Vec::as_slice);
            values.extend(of);
            lengths.push(of.len());
        }
        let field = Arc::new(Field::new("element", A::Float64, true));
        Ok(vec![list(&field, lengths, Arc::new(Float64Array::from(values)))?])
    }

    fn load(&mut self, columns: &[ArrayRef], groups: &[u32], count: usize) -> Result<(), RunError> {
        grow(&mut self.groups, count);
        let lists = saved_lists(columns, 0)?;
        for (row, group) in groups.iter().enumerate() {
            let values = lists.value(row);
            let values = values.as_primitive_opt::<Float64Type>().ok_or_else(damaged)?.values();
            self.groups[*group as usize].extend(values);
            self.values += values.len();
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        room(&self.groups) + self.values * size_of::<f64>()
    }

    fn grows(&self) -> bool {
        true
    }

    fn finish(&self, order: &[u32]) -> Result<ArrayRef, Failed> {
        let value = |group: &u32| {
            let mut values = of(&self.groups, *group);
            values.sort_unstable_by(|a, b| compare_double(*a, *b));
            self.of(&values)
        };
        Ok(Arc::new(order.iter().map(value).collect::<Float64Array>()))
    }
}
