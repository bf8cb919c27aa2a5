//! Numbers keys as they come: columns, and for windows a tag besides (where the row's slice of time begins). Knows nothing of what the numbers are for.

use super::accumulator::{grow, room};
use crate::error::RunError;
use crate::keys::{Bytes, Keys, hash_bytes, hash_words, normalize};
use crate::operators::internal;
use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Float32Array, Float64Array, Int64Array, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType as A, Decimal128Type, Float32Type, Float64Type, Int64Type};
use arrow::row::Rows;
use hashbrown::HashTable;
use std::sync::Arc;

/// How keys stand in memory.
#[derive(Debug)]
enum Store {
    /// Each in as many words of 64 bits.
    Words(Words),
    /// As byte strings.
    Bytes(Keys, Bytes),
}

/// Keys of types of a fixed width.
#[derive(Debug)]
struct Words {
    types: Vec<A>,
    /// Words of a key; the last has a bit for each column that is null.
    width: usize,
    data: Vec<u64>,
}

/// The keys of rows, in the form in which they are compared.
#[derive(Debug)]
pub(in crate::operators) struct Encoded {
    form: Form,
    hashes: Vec<u64>,
}

#[derive(Debug)]
enum Form {
    Words(Vec<u64>),
    Bytes(Rows),
}

/// The numbers of keys. The same key with another tag has another number.
#[derive(Debug)]
pub(in crate::operators) struct KeyIndex {
    store: Store,
    /// The tag of each key, where there are tags.
    tags: Vec<i64>,
    tagged: bool,
    count: usize,
    table: HashTable<u32>,
}

fn is_fixed(data: &A) -> bool {
    data.is_integer()
        || matches!(data, A::Boolean | A::Date32 | A::Timestamp(..) | A::Duration(_))
        || is_wide(data)
        || { matches!(data, A::Float32 | A::Float64) }
}

fn is_wide(data: &A) -> bool {
    matches!(data, A::Decimal128(..))
}

fn with_tag(hash: u64, tag: i64) -> u64 {
    hash_words(&[hash, tag as u64])
}

impl KeyIndex {
    /// For keys of these types.
    pub(in crate::operators) fn new(types: &[A], tagged: bool) -> Result<KeyIndex, RunError> {
        let store = if types.iter().all(is_fixed) && types.len() < 64 {
            let wide = types.iter().filter(|data| is_wide(data)).count();
            let nulls = usize::from(!types.is_empty());
            Store::Words(Words { types: types.to_vec(), width: types.len() + wide + nulls, data: vec![] })
        } else {
            Store::Bytes(Keys::new(types.iter())?, Bytes::default())
        };
        Ok(KeyIndex { store, tags: vec![], tagged, count: 0, table: HashTable::new() })
    }

    /// How many keys there are; the next one gets this number.
    pub(in crate::operators) fn len(&self) -> usize {
        self.count
    }

    /// The bytes that it takes, about.
    pub(in crate::operators) fn bytes(&self) -> usize {
        let keys = match &self.store {
            Store::Words(words) => room(&words.data),
            Store::Bytes(_, bytes) => bytes.room(),
        };
        // The table has room for an eighth more than its capacity; a slot takes its number and a byte.
        keys + room(&self.tags) + self.table.capacity() * 6
    }

    /// The keys of so many rows.
    pub(in crate::operators) fn encode(&self, columns: &[ArrayRef], rows: usize) -> Result<Encoded, RunError> {
        match &self.store {
            Store::Words(words) => {
                let keys = words.encode(columns, rows)?;
                let hashes = match words.width {
                    0 => vec![0; rows],
                    width => keys.chunks_exact(width).map(hash_words).collect(),
                };
                Ok(Encoded { form: Form::Words(keys), hashes })
            }
            Store::Bytes(keys, _) => {
                let keys = keys.encode(columns)?;
                let hashes = keys.iter().map(|row| hash_bytes(row.data())).collect();
                Ok(Encoded { form: Form::Bytes(keys), hashes })
            }
        }
    }

    /// The hash of a row's key, without a tag.
    pub(in crate::operators) fn hash(encoded: &Encoded, row: usize) -> u64 {
        encoded.hashes[row]
    }

    /// The number of a row's key, if it has one.
    pub(in crate::operators) fn find(&self, encoded: &Encoded, row: usize, tag: i64) -> Option<u32> {
        let hash = if self.tagged { with_tag(encoded.hashes[row], tag) } else { encoded.hashes[row] };
        self.table.find(hash, |key| self.is(encoded, row, tag, *key as usize)).copied()
    }

    /// Whether a row's key and tag are those of this number.
    fn is(&self, encoded: &Encoded, row: usize, tag: i64, key: usize) -> bool {
        let tags = !self.tagged || self.tags[key] == tag;
        tags && match (&self.store, &encoded.form) {
            (Store::Words(words), Form::Words(rows)) => {
                let at = |keys: usize| keys * words.width..(keys + 1) * words.width;
                rows[at(row)].iter().zip(&words.data[at(key)]).all(|(a, b)| a == b)
            }
            (Store::Bytes(_, bytes), Form::Bytes(rows)) => bytes.get(key) == rows.row(row).data(),
            _ => false,
        }
    }

    /// The number of a row's key; a new one if it has none.
    pub(in crate::operators) fn insert(&mut self, encoded: &Encoded, row: usize, tag: i64) -> Result<u32, RunError> {
        if let Some(key) = self.find(encoded, row, tag) {
            return Ok(key);
        }
        let key = self.next()?;
        match (&mut self.store, &encoded.form) {
            (Store::Words(words), Form::Words(rows)) => {
                words.push(&rows[row * words.width..(row + 1) * words.width]);
            }
            (Store::Bytes(_, bytes), Form::Bytes(rows)) => bytes.push(rows.row(row).data()),
            _ => return Err(internal("keys were encoded for another index")),
        }
        self.added(key, encoded.hashes[row], tag);
        Ok(key)
    }

    /// The number of each row's key, new ones where they have none.
    pub(in crate::operators) fn assign(&mut self, encoded: &Encoded, tags: &[i64]) -> Result<Vec<u32>, RunError> {
        (0..encoded.hashes.len()).map(|row| self.insert(encoded, row, tags.get(row).copied().unwrap_or(0))).collect()
    }

    /// The number here of a key of another index of the same types, with this tag; a new one if it has none.
    pub(in crate::operators) fn adopt(&mut self, other: &KeyIndex, key: u32, tag: i64) -> Result<u32, RunError> {
        let (hash, theirs) = (other.key_hash(key as usize), key as usize);
        let tagged = if self.tagged { with_tag(hash, tag) } else { hash };
        let (mine, tags) = (&self.store, &self.tags);
        let same = |key: &u32| {
            let key = *key as usize;
            (!self.tagged || tags[key] == tag)
                && match (mine, &other.store) {
                    (Store::Words(a), Store::Words(b)) => a.get(key) == b.get(theirs),
                    (Store::Bytes(_, a), Store::Bytes(_, b)) => a.get(key) == b.get(theirs),
                    _ => false,
                }
        };
        if let Some(key) = self.table.find(tagged, same) {
            return Ok(*key);
        }
        let key = self.next()?;
        match (&mut self.store, &other.store) {
            (Store::Words(a), Store::Words(b)) => a.push(b.get(theirs)),
            (Store::Bytes(_, a), Store::Bytes(_, b)) => a.push(b.get(theirs)),
            _ => return Err(internal("indexes of other keys meet")),
        }
        self.added(key, hash, tag);
        Ok(key)
    }

    fn next(&self) -> Result<u32, RunError> {
        u32::try_from(self.count).map_err(|_| RunError::data("R0108", "an aggregate has more than four billion groups"))
    }

    fn added(&mut self, key: u32, hash: u64, tag: i64) {
        self.count += 1;
        debug_assert!(!matches!(&self.store, Store::Bytes(_, bytes) if bytes.len() != self.count));
        if self.tagged {
            grow(&mut self.tags, self.count);
            self.tags[key as usize] = tag;
        }
        let hash = if self.tagged { with_tag(hash, tag) } else { hash };
        let (store, tags, tagged) = (&self.store, &self.tags, self.tagged);
        self.table.insert_unique(hash, key, |key| {
            let hash = store.hash(*key as usize);
            if tagged { with_tag(hash, tags[*key as usize]) } else { hash }
        });
    }

    fn key_hash(&self, key: usize) -> u64 {
        self.store.hash(key)
    }

    /// The tag of this number.
    pub(in crate::operators) fn tag(&self, key: u32) -> i64 {
        self.tags.get(key as usize).copied().unwrap_or(0)
    }

    /// The columns of these keys; floats as they are compared.
    pub(in crate::operators) fn columns(&self, order: &[u32]) -> Result<Vec<ArrayRef>, RunError> {
        match &self.store {
            Store::Words(words) => words.decode(order),
            Store::Bytes(keys, bytes) => keys.decode(order.iter().map(|key| bytes.get(*key as usize))),
        }
    }
}

/// Puts a word of each key, of so many.
fn put(out: &mut [u64], width: usize, words: impl Iterator<Item = u64>) {
    out.iter_mut().step_by(width).zip(words).for_each(|(to, word)| *to = word);
}

impl Store {
    fn hash(&self, key: usize) -> u64 {
        match self {
            Store::Words(words) if words.width == 0 => 0,
            Store::Words(words) => hash_words(words.get(key)),
            Store::Bytes(_, bytes) => hash_bytes(bytes.get(key)),
        }
    }
}

impl Words {
    fn get(&self, key: usize) -> &[u64] {
        &self.data[key * self.width..(key + 1) * self.width]
    }

    fn push(&mut self, key: &[u64]) {
        if self.data.capacity() - self.data.len() < key.len() {
            // A quarter more, not twice as much: there may be many millions.
            self.data.reserve_exact((self.data.len() / 4).max(64));
        }
        self.data.extend_from_slice(key);
    }

    fn encode(&self, columns: &[ArrayRef], rows: usize) -> Result<Vec<u64>, RunError> {
        let (mut out, mut at) = (vec![0; rows * self.width], 0);
        if rows == 0 {
            return Ok(out);
        }
        for (i, (column, data)) in columns.iter().zip(&self.types).enumerate() {
            if column.data_type() != data || column.len() != rows {
                return Err(internal(format!("a key is {}, not {data}", column.data_type())));
            }
            match data {
                A::Float32 => {
                    let column = normalize(column);
                    let values = column.as_primitive::<Float32Type>().values();
                    put(&mut out[at..], self.width, values.iter().map(|x| u64::from(x.to_bits())));
                }
                A::Float64 => {
                    let column = normalize(column);
                    let values = column.as_primitive::<Float64Type>().values();
                    put(&mut out[at..], self.width, values.iter().map(|x| x.to_bits()));
                }
                A::Decimal128(..) => {
                    let values = column.as_primitive::<Decimal128Type>().values();
                    put(&mut out[at..], self.width, values.iter().map(|x| *x as u64));
                    at += 1;
                    put(&mut out[at..], self.width, values.iter().map(|x| (*x >> 64) as u64));
                }
                _ => {
                    let column = cast(column, &A::Int64).map_err(internal)?;
                    let values = column.as_primitive::<Int64Type>().values();
                    put(&mut out[at..], self.width, values.iter().map(|x| *x as u64));
                }
            }
            at += 1;
            if let Some(nulls) = column.nulls().filter(|nulls| nulls.null_count() > 0) {
                for row in (0..rows).filter(|row| nulls.is_null(*row)) {
                    let key = &mut out[row * self.width..(row + 1) * self.width];
                    key[at - 1 - usize::from(is_wide(data))..at].fill(0);
                    key[self.width - 1] |= 1 << i;
                }
            }
        }
        Ok(out)
    }

    fn decode(&self, order: &[u32]) -> Result<Vec<ArrayRef>, RunError> {
        let (mut columns, mut at) = (vec![], 0);
        for (i, data) in self.types.iter().enumerate() {
            let word = |key: &u32| self.data[*key as usize * self.width + at];
            let valid = |key: &u32| self.data[(*key as usize + 1) * self.width - 1] >> i & 1 == 0;
            let nulls = NullBuffer::from_iter(order.iter().map(valid));
            let nulls = Some(nulls).filter(|nulls| nulls.null_count() > 0);
            columns.push(match data {
                A::Float32 => {
                    let values = order.iter().map(|key| f32::from_bits(word(key) as u32)).collect::<Vec<_>>();
                    Arc::new(Float32Array::new(values.into(), nulls)) as ArrayRef
                }
                A::Float64 => {
                    let values = order.iter().map(|key| f64::from_bits(word(key))).collect::<Vec<_>>();
                    Arc::new(Float64Array::new(values.into(), nulls))
                }
                A::Decimal128(precision, scale) => {
                    let high = |key: &u32| self.data[*key as usize * self.width + at + 1];
                    let value = |key: &u32| (u128::from(high(key)) << 64 | u128::from(word(key))) as i128;
                    let values = order.iter().map(value).collect::<Vec<_>>();
                    let values: Decimal128Array = PrimitiveArray::new(values.into(), nulls);
                    Arc::new(values.with_precision_and_scale(*precision, *scale).map_err(internal)?)
                }
                _ => {
                    let values = order.iter().map(|key| word(key) as i64).collect::<Vec<_>>();
                    let values: ArrayRef = Arc::new(Int64Array::new(values.into(), nulls));
                    // Dates are 32-bit numbers.
                    let values = if *data == A::Date32 { cast(&values, &A::Int32).map_err(internal)? } else { values };
                    cast(&values, data).map_err(internal)?
                }
            });
            at += 1 + usize::from(is_wide(data));
        }
        Ok(columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{BooleanArray, Date32Array, StringArray, TimestampMicrosecondArray};

    fn columns() -> Vec<ArrayRef> {
        let decimals = Decimal128Array::from(vec![Some(-5), Some(1 << 100), None, Some(-5)]);
        vec![
            Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(0), Some(i64::MIN)])),
            Arc::new(Float64Array::from(vec![Some(-0.0), Some(f64::NAN), None, Some(0.0)])),
            Arc::new(Float32Array::from(vec![Some(1.5), Some(f32::INFINITY), None, Some(1.5)])),
            Arc::new(BooleanArray::from(vec![Some(true), Some(false), None, Some(true)])),
            Arc::new(Date32Array::from(vec![Some(-1), Some(7), None, Some(-1)])),
            Arc::new(TimestampMicrosecondArray::from(vec![Some(-1), Some(7), None, Some(-1)]).with_timezone("UTC")),
            Arc::new(decimals.with_precision_and_scale(38, 4).unwrap()),
        ]
    }

    #[test]
    fn keys_come_back_in_both_forms_and_are_told_apart() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), Some(""), None, Some("a")]));
        for more in [vec![], vec![texts]] {
            let columns: Vec<ArrayRef> = columns().into_iter().chain(more).collect();
            let types: Vec<A> = columns.iter().map(|c| c.data_type().clone()).collect();
            let mut index = KeyIndex::new(&types, false).unwrap();
            let encoded = index.encode(&columns, 4).unwrap();
            assert_eq!(index.assign(&encoded, &[]).unwrap(), [0, 1, 2, 0]);
            let back = index.columns(&[2, 0, 1]).unwrap();
            let rows = arrow::array::UInt32Array::from(vec![2, 3, 1]);
            for (column, back) in columns.iter().zip(&back) {
                assert_eq!(&arrow::compute::take(column, &rows, None).unwrap(), back);
            }
            let mut other = KeyIndex::new(&types, true).unwrap();
            let adopt = |other: &mut KeyIndex, key, tag| other.adopt(&index, key, tag).unwrap();
            assert_eq!([(2, 7), (2, 8), (0, 7), (2, 7)].map(|(key, tag)| adopt(&mut other, key, tag)), [0, 1, 2, 0]);
            assert_eq!((other.find(&encoded, 3, 7), other.find(&encoded, 3, 8)), (Some(2), None));
            assert_eq!(other.tag(1), 8);
        }
    }

    #[test]
    fn without_columns_there_is_one_key_for_each_tag() {
        let mut index = KeyIndex::new(&[], true).unwrap();
        let encoded = index.encode(&[], 3).unwrap();
        assert_eq!(index.assign(&encoded, &[5, 6, 5]).unwrap(), [0, 1, 0]);
        assert!(index.columns(&[1]).unwrap().is_empty());
    }
}
