//! Keys that are one column of whole numbers, dates or timestamps: as numbers, which take less memory than their bytes and are found faster. Knows numbers alone.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::datatypes::{
    DataType as A, Date32Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use flowc_ir::Value;

/// A slot of the table without a key.
const EMPTY: u32 = u32::MAX;
/// Bits of the filter for each key: of the numbers that are no key, it lets one in about so many through.
const FILTER_BITS: usize = 16;

fn hash(number: i64) -> u64 {
    let product = u128::from(number as u64 ^ 0xD6E8_FEB8_6659_FD93) * 0x9E37_79B9_7F4A_7C15;
    product as u64 ^ (product >> 64) as u64
}

/// The values of a column as numbers, in their order.
#[derive(Debug)]
pub struct Numbers {
    values: ScalarBuffer<i64>,
    nulls: Option<NullBuffer>,
}

impl Numbers {
    /// Of a key's columns, where they are one, of a type whose values are numbers.
    pub fn of(columns: &[ArrayRef]) -> Option<Numbers> {
        let [column] = columns else { return None };
        let values = match column.data_type() {
            A::Int64 => column.as_primitive::<Int64Type>().values().clone(),
            A::Timestamp(TimeUnit::Microsecond, _) => {
                column.as_primitive::<TimestampMicrosecondType>().values().clone()
            }
            A::Int32 => column.as_primitive::<Int32Type>().values().iter().map(|v| i64::from(*v)).collect(),
            A::Date32 => column.as_primitive::<Date32Type>().values().iter().map(|v| i64::from(*v)).collect(),
            A::Int16 => column.as_primitive::<Int16Type>().values().iter().map(|v| i64::from(*v)).collect(),
            A::Int8 => column.as_primitive::<Int8Type>().values().iter().map(|v| i64::from(*v)).collect(),
            _ => return None,
        };
        Some(Numbers { values, nulls: column.nulls().filter(|nulls| nulls.null_count() > 0).cloned() })
    }

    /// The number that a value has in such a column; none for null, and for values of other types.
    pub fn value(value: &Value) -> Option<i64> {
        match value {
            Value::Byte(v) => Some(i64::from(*v)),
            Value::Short(v) => Some(i64::from(*v)),
            Value::Integer(v) | Value::Date(v) => Some(i64::from(*v)),
            Value::Long(v) | Value::Timestamp(v) | Value::TimestampNtz(v) => Some(*v),
            _ => None,
        }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The number of a row; none: null.
    pub fn get(&self, row: usize) -> Option<i64> {
        match &self.nulls {
            Some(nulls) if nulls.is_null(row) => None,
            _ => Some(self.values[row]),
        }
    }

    /// A hash of a row's number.
    pub fn hash(&self, row: usize) -> u64 {
        self.get(row).map_or(0, hash)
    }
}

/// Keys, numbered in their order: null, where it is one, before all numbers.
#[derive(Debug)]
pub struct NumberIndex {
    sorted: Vec<i64>,
    null: bool,
    /// The keys' numbers by hash, the next free slot where several have one.
    table: Vec<u32>,
    /// Bits by hash: numbers that are no key are mostly told by it, and it fits a processor's cache where the table does not.
    filter: Vec<u64>,
}

impl NumberIndex {
    /// Of different numbers in ascending order.
    pub fn new(sorted: Vec<i64>, null: bool) -> NumberIndex {
        let slots = (sorted.len() * 2).next_power_of_two().max(2);
        let words = (sorted.len() * FILTER_BITS / 64).next_power_of_two().max(2);
        let mut index = NumberIndex { sorted: vec![], null, table: vec![EMPTY; slots], filter: vec![0; words] };
        for (place, number) in (0u32..).zip(&sorted) {
            let hash = hash(*number);
            let mut slot = index.slot(hash);
            while index.table[slot] != EMPTY {
                slot = (slot + 1) & (slots - 1);
            }
            index.table[slot] = place;
            let (word, bit) = index.bit(hash);
            index.filter[word] |= bit;
        }
        index.sorted = sorted;
        index
    }

    /// The upper bits of the hash are the slot's.
    fn slot(&self, hash: u64) -> usize {
        (hash >> (64 - self.table.len().trailing_zeros())) as usize
    }

    /// The middle ones are the filter's, so that it tells apart what falls into one slot.
    fn bit(&self, hash: u64) -> (usize, u64) {
        ((hash >> 6) as usize & (self.filter.len() - 1), 1 << (hash & 63))
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.sorted.len() + usize::from(self.null)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn find(&self, number: i64) -> Option<u32> {
        let hash = hash(number);
        let (word, bit) = self.bit(hash);
        if self.filter[word] & bit == 0 {
            return None;
        }
        let mut slot = self.slot(hash);
        loop {
            let place = self.table[slot];
            if place == EMPTY {
                return None;
            }
            if self.sorted[place as usize] == number {
                return Some(place + u32::from(self.null));
            }
            slot = (slot + 1) & (self.table.len() - 1);
        }
    }

    /// Calls for each row that has one of the keys, with the key's number.
    pub fn matches(&self, rows: &Numbers, mut found: impl FnMut(usize, u32)) {
        for (row, number) in rows.values.iter().enumerate() {
            match &rows.nulls {
                Some(nulls) if nulls.is_null(row) => {
                    if self.null {
                        found(row, 0);
                    }
                }
                _ => {
                    if let Some(key) = self.find(*number) {
                        found(row, key);
                    }
                }
            }
        }
    }

    /// Whether null is a key.
    pub fn has_null(&self) -> bool {
        self.null
    }

    /// Whether a key is a number from `min` to `max`; none: no bound.
    pub fn any(&self, min: Option<i64>, max: Option<i64>) -> bool {
        let first = min.map_or(0, |min| self.sorted.partition_point(|n| *n < min));
        self.sorted.get(first).is_some_and(|n| max.is_none_or(|max| *n <= max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Date32Array, Int8Array, Int16Array, Int32Array, Int64Array, StringArray};
    use proptest::prelude::*;
    use std::sync::Arc;

    fn found(index: &NumberIndex, rows: Vec<Option<i64>>) -> Vec<(usize, u32)> {
        let column: ArrayRef = Arc::new(Int64Array::from(rows));
        let mut found = vec![];
        index.matches(&Numbers::of(&[column]).expect("numbers"), |row, key| found.push((row, key)));
        found
    }

    #[test]
    fn null_is_a_key_before_all_others() {
        let index = NumberIndex::new(vec![i64::MIN, -1, 0, i64::MAX], true);
        let rows = vec![Some(i64::MAX), None, Some(1), Some(i64::MIN), Some(-1)];
        assert_eq!(found(&index, rows.clone()), [(0, 4), (1, 0), (3, 1), (4, 2)]);
        let index = NumberIndex::new(vec![i64::MIN, -1, 0, i64::MAX], false);
        assert_eq!(found(&index, rows), [(0, 3), (3, 0), (4, 1)], "without null");
        assert_eq!(found(&NumberIndex::new(vec![], true), vec![Some(0), None]), [(1, 0)]);
        assert_eq!(found(&NumberIndex::new(vec![], false), vec![Some(0), None]), []);
    }

    #[test]
    fn ranges_include_their_ends() {
        let index = NumberIndex::new(vec![2, 4], false);
        let any = |min, max| index.any(min, max);
        assert!(any(Some(2), Some(2)) && any(Some(3), Some(4)) && any(None, Some(2)) && any(Some(4), None));
        assert!(!any(Some(3), Some(3)) && !any(Some(5), None) && !any(None, Some(1)));
        assert!(any(None, None) && !NumberIndex::new(vec![], false).any(None, None));
    }

    #[test]
    fn columns_of_all_widths_are_numbers_and_others_are_not() {
        let columns: [ArrayRef; 5] = [
            Arc::new(Int8Array::from(vec![Some(-1), None])),
            Arc::new(Int16Array::from(vec![Some(-1), None])),
            Arc::new(Int32Array::from(vec![Some(-1), None])),
            Arc::new(Date32Array::from(vec![Some(-1), None])),
            Arc::new(Int64Array::from(vec![Some(-1), None])),
        ];
        for column in columns {
            let numbers = Numbers::of(&[Arc::clone(&column)]).expect("numbers");
            assert_eq!((numbers.get(0), numbers.get(1), numbers.len()), (Some(-1), None, 2), "{}", column.data_type());
            assert!(Numbers::of(&[Arc::clone(&column), column]).is_none(), "two columns");
        }
        assert!(Numbers::of(&[Arc::new(StringArray::from(vec!["1"]))]).is_none());
    }

    proptest! {
        #[test]
        fn exactly_the_keys_are_found(keys in prop::collection::btree_set(-300i64..300, 0..200), step in 1i64..1 << 50) {
            let sorted: Vec<i64> = keys.iter().map(|k| k * step).collect();
            let index = NumberIndex::new(sorted.clone(), false);
            let rows: Vec<Option<i64>> = (-300..300).map(|n| Some(n * step)).collect();
            let expected: Vec<(usize, u32)> = rows.iter().enumerate().filter_map(|(row, n)| {
                Some((row, sorted.binary_search(&n.expect("a number")).ok()? as u32))
            }).collect();
            prop_assert_eq!(found(&index, rows), expected);
        }
    }
}
