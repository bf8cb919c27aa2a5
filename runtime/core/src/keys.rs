//! Comparing and hashing keys: columns as byte strings whose equality and order are flowc's. Knows nothing of what the keys are for.

use crate::error::RunError;
use crate::operators::internal;
use arrow::array::{Array, ArrayRef, AsArray, Float32Array, Float64Array, ListArray, MapArray, StructArray};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use arrow::row::{RowConverter, Rows, SortField};
use std::sync::Arc;

/// Floats in one form: every NaN the same, -0.0 as 0.0; also inside of arrays, maps and structs. Bytes of equal values are then equal.
pub fn normalize(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Float32 => {
            let floats: Float32Array =
                array.as_primitive::<Float32Type>().unary(|x| if x.is_nan() { f32::NAN } else { x + 0.0 });
            Arc::new(floats)
        }
        DataType::Float64 => {
            let floats: Float64Array =
                array.as_primitive::<Float64Type>().unary(|x| if x.is_nan() { f64::NAN } else { x + 0.0 });
            Arc::new(floats)
        }
        data if !has_floats(data) => Arc::clone(array),
        DataType::List(item) => {
            let list = array.as_list::<i32>();
            let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
            Arc::new(ListArray::new(Arc::clone(item), offsets, normalize(list.values()), nulls))
        }
        DataType::Struct(fields) => {
            let parts = array.as_struct();
            let columns = parts.columns().iter().map(normalize).collect();
            Arc::new(StructArray::new(fields.clone(), columns, parts.nulls().cloned()))
        }
        DataType::Map(entry, sorted) => {
            let map = array.as_map();
            let entries: ArrayRef = Arc::new(map.entries().clone());
            let entries = normalize(&entries).as_struct().clone();
            Arc::new(MapArray::new(Arc::clone(entry), map.offsets().clone(), entries, map.nulls().cloned(), *sorted))
        }
        _ => Arc::clone(array),
    }
}

/// Whether values of this type hold floats, whose equality is not that of their bits.
pub(crate) fn has_floats(data: &DataType) -> bool {
    match data {
        DataType::Float32 | DataType::Float64 => true,
        DataType::List(item) | DataType::Map(item, _) => has_floats(item.data_type()),
        DataType::Struct(fields) => fields.iter().any(|f| has_floats(f.data_type())),
        _ => false,
    }
}

/// Turns columns into byte strings and back. The bytes of several columns are those of each, one after the other, and no value's bytes begin with those of
/// another value of its type.
#[derive(Debug)]
pub struct Keys(RowConverter);

impl Keys {
    /// For columns of these types, ascending, nulls first. Fails for types that have no order.
    pub fn new<'a>(types: impl Iterator<Item = &'a DataType>) -> Result<Keys, RunError> {
        let fields = types.map(|t| SortField::new(t.clone())).collect();
        Ok(Keys(RowConverter::new(fields).map_err(internal)?))
    }

    /// For columns of these types, ordered as said. Fails for types that have no order.
    pub fn sorted(fields: Vec<(DataType, SortOptions)>) -> Result<Keys, RunError> {
        let fields = fields.into_iter().map(|(t, o)| SortField::new_with_options(t, o)).collect();
        Ok(Keys(RowConverter::new(fields).map_err(internal)?))
    }

    /// By flowc's equality and order. Fails for columns of other types.
    pub fn encode(&self, columns: &[ArrayRef]) -> Result<Rows, RunError> {
        let columns: Vec<ArrayRef> = columns.iter().map(normalize).collect();
        self.exact(&columns)
    }

    /// Bit by bit, to get the same back. Fails for columns of other types.
    pub fn exact(&self, columns: &[ArrayRef]) -> Result<Rows, RunError> {
        self.0.convert_columns(columns).map_err(internal)
    }

    /// The columns again. Fails where the bytes are not of rows of these types.
    pub fn decode<'a>(&self, rows: impl Iterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>, RunError> {
        let parser = self.0.parser();
        let rows: Vec<_> = rows.map(|bytes| parser.parse(bytes)).collect();
        self.0.convert_rows(rows).map_err(internal)
    }
}

const SEED: u64 = 0x9E37_79B9_7F4A_7C15;

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// Hashes bytes for the tables in memory, eight at a time; the same in every process.
pub fn hash_bytes(bytes: &[u8]) -> u64 {
    let mut hash = (bytes.len() as u64).wrapping_mul(SEED);
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        let word = u64::from_le_bytes(word.try_into().unwrap_or_default());
        hash = fold(hash ^ word, SEED).wrapping_add(word);
    }
    let mut last = [0; 8];
    last[..words.remainder().len()].copy_from_slice(words.remainder());
    hash = fold(hash ^ u64::from_le_bytes(last), 0xD6E8_FEB8_6659_FD93);
    hash ^ hash >> 32
}

/// Hashes words for the tables in memory; the same in every process.
pub(crate) fn hash_words(words: &[u64]) -> u64 {
    let mut hash = (words.len() as u64).wrapping_mul(SEED);
    for word in words {
        hash = fold(hash ^ word, SEED).wrapping_add(*word);
    }
    hash = fold(hash, 0xD6E8_FEB8_6659_FD93);
    hash ^ hash >> 32
}

/// How many byte strings a segment has.
const SEGMENT: usize = 4096;

/// Byte strings by number, in segments: a full one is never copied, so that growth touches no memory twice.
#[derive(Debug, Default)]
pub(crate) struct Bytes {
    /// All full but the last.
    segments: Vec<Segment>,
}

/// Byte strings one after the other.
#[derive(Debug, Default)]
struct Segment {
    data: Vec<u8>,
    ends: Vec<usize>,
}

impl Segment {
    fn get(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.data[start..self.ends[index]]
    }
}

impl Bytes {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.push_both(&[], bytes);
    }

    /// Adds two strings as one.
    pub(crate) fn push_both(&mut self, first: &[u8], second: &[u8]) {
        if self.segments.last().is_none_or(|last| last.ends.len() == SEGMENT) {
            // The first grows as it fills, the others are about as long as the one before.
            let next = self.segments.last_mut().map(|full| {
                full.data.shrink_to(full.data.len() + full.data.len() / 8);
                let expected = full.data.len() + full.data.len() / 16;
                Segment { data: Vec::with_capacity(expected), ends: Vec::with_capacity(SEGMENT) }
            });
            self.segments.push(next.unwrap_or_default());
        }
        let Some(segment) = self.segments.last_mut() else { return };
        segment.data.extend_from_slice(first);
        segment.data.extend_from_slice(second);
        segment.ends.push(segment.data.len());
    }

    pub(crate) fn get(&self, index: usize) -> &[u8] {
        self.segments[index / SEGMENT].get(index % SEGMENT)
    }

    pub(crate) fn len(&self) -> usize {
        self.segments.last().map_or(0, |last| (self.segments.len() - 1) * SEGMENT + last.ends.len())
    }

    /// The bytes that it takes.
    pub(crate) fn room(&self) -> usize {
        let of = |segment: &Segment| segment.data.capacity() + segment.ends.capacity() * size_of::<usize>();
        self.segments.iter().map(of).sum::<usize>() + self.segments.capacity() * size_of::<Segment>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::Float64Type;

    #[test]
    fn zeros_and_nans_are_equal_inside_of_lists_too() {
        let other_nan = f64::from_bits(f64::NAN.to_bits() | 1 << 63 | 5);
        let list = ListArray::from_iter_primitive::<Float64Type, _, _>(
            [0.0, -0.0, f64::NAN, other_nan, 1.0].map(|x| Some(vec![Some(x)])),
        );
        let array: ArrayRef = Arc::new(list);
        let keys = Keys::new([array.data_type()].into_iter()).unwrap();
        let rows = keys.encode(&[array]).unwrap();
        assert_eq!(rows.row(0), rows.row(1));
        assert_eq!(rows.row(2), rows.row(3));
        assert!(rows.row(0) < rows.row(4) && rows.row(4) < rows.row(2));
    }

    #[test]
    fn bytes_of_many_segments_are_found_by_number() {
        let text = |i: usize| "x".repeat(i % 7 * usize::from(i < 9000)) + &i.to_string();
        let mut bytes = Bytes::default();
        for i in 0..3 * SEGMENT + 5 {
            assert_eq!(bytes.len(), i);
            bytes.push(text(i).as_bytes());
        }
        assert!((0..bytes.len()).all(|i| bytes.get(i) == text(i).as_bytes()));
        assert!(bytes.room() >= bytes.len() * size_of::<usize>());
    }
}
