//! Lists, sets, counts of different values, percentiles: what needs all values of a group.

use super::accumulator::{Accumulator, Failed, Rows, grow, of, room, same};
use crate::batch::RowOrder;
use crate::error::RunError;
use crate::keys::{Bytes, Keys, hash_bytes, normalize};
use crate::operators::internal;
use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, ListArray, UInt32Array, new_empty_array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{cast, interleave, take};
use arrow::datatypes::{DataType as A, FieldRef, Float64Type};
use flowc_ir::value::compare_double;
use hashbrown::HashTable;
use std::any::Any;
use std::sync::Arc;

/// For each group in `order`, the positions of its items in `groups`, sorted by `key`.
fn grouped<K: Ord>(groups: &[u32], order: &[u32], key: impl Fn(usize) -> K) -> (Vec<usize>, Vec<usize>) {
    let count = order.iter().chain(groups).max().map_or(0, |m| *m as usize + 1);
    let mut rank = vec![u32::MAX; count];
    order.iter().enumerate().for_each(|(i, group)| rank[*group as usize] = i as u32);
    let mut items: Vec<usize> = (0..groups.len()).collect();
    items.sort_unstable_by_key(|i| (rank[groups[*i] as usize], key(*i)));
    let mut lengths = vec![0; order.len()];
    groups.iter().for_each(|group| lengths[rank[*group as usize] as usize] += 1);
    (items, lengths)
}

/// `collect_list`
#[derive(Debug)]
pub(super) struct Lists {
    field: FieldRef,
    chunks: Vec<ArrayRef>,
    /// The bytes of the chunks.
    values: usize,
    /// Chunk and row of each item.
    items: Vec<(u32, u32)>,
    groups: Vec<u32>,
    places: Vec<RowOrder>,
}

impl Lists {
    /// `field`: of the list's elements.
    pub(super) fn new(field: FieldRef) -> Self {
        Lists { field, chunks: vec![], values: 0, items: vec![], groups: vec![], places: vec![] }
    }
}

impl Accumulator for Lists {
    fn update(&mut self, rows: &Rows<'_>) -> Result<(), RunError> {
        let (mut kept, chunk) = (vec![], self.chunks.len() as u32);
        for (row, group) in rows.valid(&rows.args[0]) {
            self.items.push((chunk, kept.len() as u32));
            self.groups.push(group as u32);
            self.places.push(rows.places.of(row));
            kept.push(row as u32);
        }
        // A copy of these values alone: the batch's other columns must not stay in memory.
        if !kept.is_empty() {
            let chunk = take(&rows.args[0], &UInt32Array::from(kept), None).map_err(internal)?;
            self.values += chunk.get_array_memory_size();
            self.chunks.push(chunk);
        }
        Ok(())
    }

    fn merge(&mut self, other: Box<dyn Accumulator>, groups: &[u32], _count: usize) -> Result<(), RunError> {
        let other: Lists = same(other)?;
        let before = self.chunks.len() as u32;
        self.chunks.extend(other.chunks);
        self.values += other.values;
        self.items.extend(other.items.iter().map(|(chunk, row)| (chunk + before, *row)));
        self.groups.extend(other.groups.iter().map(|group| groups[*group as usize]));
        self.places.extend(other.places);
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.values + room(&self.items) + room(&self.groups) + room(&self.places)
    }

    fn grows(&self) -> bool {
        true
    }

    fn finish(&mut self, order: &[u32]) -> Result<ArrayRef, Failed> {
        let (items, lengths) = grouped(&self.groups, order, |i| self.places[i]);
        let places: Vec<(usize, usize)> =
            items.iter().map(|i| (self.items[*i].0 as usize, self.items[*i].1 as usize)).collect();
        let chunks: Vec<&dyn Array> = self.chunks.iter().map(AsRef::as_ref).collect();
        let values = match chunks.is_empty() {
            true => new_empty_array(self.field.data_type()),
            false => interleave(&chunks, &places).map_err(internal)?,
        };
        list(&self.field, lengths, values)
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

fn list(field: &FieldRef, lengths: Vec<usize>, values: ArrayRef) -> Result<ArrayRef, Failed> {
    if i32::try_from(lengths.iter().sum::<usize>()).is_err() {
        return Err(RunError::data("R0109", "the collected arrays have more than two billion elements").into());
    }
    let offsets = OffsetBuffer::from_lengths(lengths);
    let array = ListArray::try_new(Arc::clone(field), offsets, values, None).map_err(internal)?;
    Ok(Arc::new(array))
}

/// Different values of each group: `count_distinct`, `collect_set`.
#[derive(Debug)]
pub(super) struct Distinct {
    keys: Keys,
    /// The list's element for `collect_set`; none: count.
    field: Option<FieldRef>,
    bytes: Bytes,
    groups: Vec<u32>,
    places: Vec<RowOrder>,
    table: HashTable<u32>,
}

impl Distinct {
    pub(super) fn new(data: &A, field: Option<FieldRef>) -> Result<Self, RunError> {
        let keys = Keys::new([data].into_iter())?;
        let (bytes, groups, places, table) = (Bytes::default(), vec![], vec![], HashTable::new());
        Ok(Distinct { keys, field, bytes, groups, places, table })
    }

    fn insert(&mut self, group: u32, value: &[u8], place: RowOrder) {
        let hash = |group: u32, value: &[u8]| hash_bytes(value) ^ u64::from(group).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let Distinct { bytes, groups, places, table, .. } = self;
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

    fn merge(&mut self, other: Box<dyn Accumulator>, groups: &[u32], _count: usize) -> Result<(), RunError> {
        let other: Distinct = same(other)?;
        for i in 0..other.bytes.len() {
            self.insert(groups[other.groups[i] as usize], other.bytes.get(i), other.places[i]);
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.bytes.room() + room(&self.groups) + room(&self.places) + self.table.capacity() * 6
    }

    fn grows(&self) -> bool {
        true
    }

    fn finish(&mut self, order: &[u32]) -> Result<ArrayRef, Failed> {
        let (items, lengths) = grouped(&self.groups, order, |i| self.places[i]);
        match &self.field {
            None => Ok(Arc::new(Int64Array::from_iter_values(lengths.iter().map(|n| *n as i64)))),
            Some(field) => {
                let values = self.keys.decode(items.iter().map(|i| self.bytes.get(*i)))?.remove(0);
                list(field, lengths, values)
            }
        }
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
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

    fn merge(&mut self, other: Box<dyn Accumulator>, groups: &[u32], count: usize) -> Result<(), RunError> {
        grow(&mut self.groups, count);
        let other: Percentiles = same(other)?;
        self.values += other.values;
        for (values, group) in other.groups.into_iter().zip(groups) {
            self.groups[*group as usize].extend(values);
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        room(&self.groups) + self.values * size_of::<f64>()
    }

    fn grows(&self) -> bool {
        true
    }

    fn finish(&mut self, order: &[u32]) -> Result<ArrayRef, Failed> {
        let value = |group: &u32| {
            let mut values = of(&self.groups, *group);
            values.sort_unstable_by(|a, b| compare_double(*a, *b));
            self.of(&values)
        };
        Ok(Arc::new(order.iter().map(value).collect::<Float64Array>()))
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
