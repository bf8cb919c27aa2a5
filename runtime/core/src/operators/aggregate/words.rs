//! Keys of a fixed width in words of 64 bits, in segments that are not copied, each with its tag in the word before it: one look at memory compares both. Null is a value
//! that the type does not have, where there is one; a single column that fills its word takes no other for nulls: the few keys that are null are told by their numbers.
//! Knows nothing of how keys are found.

use super::accumulator::room;
use super::part::NULL;
use crate::error::RunError;
use crate::keys::{hash_words, normalize};
use crate::operators::internal;
use arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, Float32Array, Float64Array, Int32Array, Int64Array, PrimitiveArray,
};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType as A, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type};
use std::sync::Arc;

/// How many keys a segment of [`Words`] has.
const SEGMENT: usize = 4096;

/// See the module.
#[derive(Debug)]
pub(super) struct Words {
    types: Vec<A>,
    /// Words of a key without its tag; where a type fills its word and there are several, the last has a bit for each column that is null.
    pub(super) width: usize,
    /// Words before a key: one for its tag, or none.
    tags: usize,
    /// Keys by their number; all segments are full but the last. The first grows by doubling.
    segments: Vec<Vec<u64>>,
    /// The numbers of keys that are null, ascending, where keys are a single column that fills its word. There is one for each tag at most.
    nulls: Vec<u32>,
}

/// The keys of rows as words.
#[derive(Debug)]
pub(super) struct Encoded {
    words: Vec<u64>,
    /// Which keys are null, where no word tells.
    nulls: Option<NullBuffer>,
}

/// A key as words.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key<'a> {
    pub(super) words: &'a [u64],
    /// Whether it is null, where no word tells.
    pub(super) null: bool,
}

pub(super) fn is_fixed(data: &A) -> bool {
    data.is_integer()
        || matches!(data, A::Boolean | A::Date32 | A::Timestamp(..) | A::Duration(_))
        || is_wide(data)
        || { matches!(data, A::Float32 | A::Float64) }
}

fn is_wide(data: &A) -> bool {
    matches!(data, A::Decimal128(..))
}

/// Whether values leave room in a word, so that null can be one of its values.
fn is_narrow(data: &A) -> bool {
    matches!(data, A::Boolean | A::Int8 | A::Int16 | A::Int32 | A::Date32 | A::Float32)
}

/// Whether keys are the same. They have few words, of which a loop is faster than a call.
fn same(a: &[u64], b: &[u64]) -> bool {
    a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

/// Whether keys of these types are a single column that fills its word.
fn fills_its_word(types: &[A]) -> bool {
    matches!(types, [data] if !is_narrow(data) && !is_wide(data))
}

/// Puts a word of each key, of so many.
fn put(out: &mut [u64], width: usize, words: impl Iterator<Item = u64>) {
    out.iter_mut().step_by(width).zip(words).for_each(|(to, word)| *to = word);
}

impl Encoded {
    /// The words of all keys, one key after the other.
    pub(super) fn words(&self) -> &[u64] {
        &self.words
    }
}

impl Words {
    /// For keys of these types; `tagged`: each with a tag. None: not all are of a fixed width.
    pub(super) fn new(types: &[A], tagged: bool) -> Option<Words> {
        if !types.iter().all(is_fixed) || types.len() >= 64 {
            return None;
        }
        let wide = types.iter().filter(|data| is_wide(data)).count();
        let nulls = usize::from(!types.iter().all(is_narrow) && !fills_its_word(types));
        let (width, tags) = (types.len() + wide + nulls, usize::from(tagged));
        Some(Words { types: types.to_vec(), width, tags, segments: vec![], nulls: vec![] })
    }

    /// The bytes that they take.
    pub(super) fn bytes(&self) -> usize {
        self.segments.iter().map(room).sum::<usize>() + room(&self.nulls)
    }

    /// The key of a row.
    pub(super) fn row<'a>(&self, rows: &'a Encoded, row: usize) -> Key<'a> {
        let null = rows.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
        Key { words: &rows.words[row * self.width..(row + 1) * self.width], null }
    }

    /// A key with the words before it.
    fn whole(&self, key: usize) -> &[u64] {
        let width = self.tags + self.width;
        &self.segments[key / SEGMENT][key % SEGMENT * width..][..width]
    }

    /// A key.
    pub(super) fn get(&self, key: usize) -> Key<'_> {
        let words = self.words(key);
        Key { words, null: words == [NULL] && self.is_null(key) }
    }

    fn words(&self, key: usize) -> &[u64] {
        &self.whole(key)[self.tags..]
    }

    /// The hash of a key.
    pub(super) fn hash(&self, key: usize) -> u64 {
        if self.width == 0 { 0 } else { hash_words(self.words(key)) }
    }

    /// Whether a key whose word may be that of null is null.
    fn is_null(&self, key: usize) -> bool {
        // Keys are numbered by 32 bits.
        self.nulls.binary_search(&(key as u32)).is_ok()
    }

    /// The tag of a key.
    pub(super) fn tag(&self, key: usize) -> i64 {
        if self.tags == 0 { 0 } else { self.whole(key)[0] as i64 }
    }

    /// Whether a number's key and tag are these.
    pub(super) fn is(&self, number: usize, tag: i64, key: Key<'_>) -> bool {
        let whole = self.whole(number);
        (self.tags == 0 || whole[0] == tag as u64)
            && same(&whole[self.tags..], key.words)
            // A value that looks like null is seldom.
            && (key.words != [NULL] || self.is_null(number) == key.null)
    }

    /// Adds a key; `number`: as many as there are.
    pub(super) fn push(&mut self, number: u32, tag: i64, key: Key<'_>) {
        let (segment, width) = (number as usize / SEGMENT, self.tags + self.width);
        if segment == self.segments.len() {
            self.segments.push(Vec::with_capacity(if segment == 0 { 0 } else { SEGMENT * width }));
        }
        let words = &mut self.segments[segment];
        if words.capacity() < words.len() + width {
            words.reserve_exact(words.capacity().max(4 * width).min(SEGMENT * width - words.len()));
        }
        if self.tags > 0 {
            words.push(tag as u64);
        }
        words.extend_from_slice(key.words);
        if key.null {
            self.nulls.push(number);
        }
    }

    /// A word of a key.
    pub(super) fn word(&self, key: u32, at: usize) -> u64 {
        self.words(key as usize)[at]
    }

    /// Which keys are not null in a column that stands in this word; none: all.
    fn nulls(&self, keys: &[u32], column: usize, at: usize) -> Option<NullBuffer> {
        let valid = |key: &u32| match is_narrow(&self.types[column]) {
            true => self.word(*key, at) != NULL,
            false if fills_its_word(&self.types) => self.word(*key, at) != NULL || !self.is_null(*key as usize),
            false => self.word(*key, self.width - 1) >> column & 1 == 0,
        };
        (!keys.iter().all(valid)).then(|| NullBuffer::from_iter(keys.iter().map(valid)))
    }

    /// See [`super::index::KeyIndex::numbers`].
    pub(super) fn numbers(&self, keys: &[u32]) -> Option<Vec<u64>> {
        match self.types[..] {
            // A word is far from the ends of what it can be.
            [A::Boolean | A::Int8 | A::Int16 | A::Int32 | A::Date32] => {
                let number = |word| if word == NULL { 0 } else { (word ^ 1 << 63) + 1 };
                Some(keys.iter().map(|key| number(self.word(*key, 0))).collect())
            }
            [A::Int64 | A::Timestamp(..) | A::Duration(_)] if self.nulls(keys, 0, 0).is_none() => {
                Some(keys.iter().map(|key| self.word(*key, 0) ^ 1 << 63).collect())
            }
            _ => None,
        }
    }

    /// The keys of so many rows.
    pub(super) fn encode(&self, columns: &[ArrayRef], rows: usize) -> Result<Encoded, RunError> {
        let (mut out, mut at) = (vec![0; rows * self.width], 0);
        if rows == 0 {
            return Ok(Encoded { words: out, nulls: None });
        }
        let alone = fills_its_word(&self.types);
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
                A::Int32 => {
                    let values = column.as_primitive::<Int32Type>().values();
                    put(&mut out[at..], self.width, values.iter().map(|x| i64::from(*x) as u64));
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
                    if is_narrow(data) || alone {
                        key[at - 1] = NULL;
                    } else {
                        key[at - 1 - usize::from(is_wide(data))..at].fill(0);
                        key[self.width - 1] |= 1 << i;
                    }
                }
            }
        }
        let nulls = columns.first().filter(|_| alone).and_then(|column| column.nulls().cloned());
        Ok(Encoded { words: out, nulls: nulls.filter(|nulls| nulls.null_count() > 0) })
    }

    /// The columns of these keys.
    pub(super) fn decode(&self, order: &[u32]) -> Result<Vec<ArrayRef>, RunError> {
        let (mut columns, mut at) = (vec![], 0);
        for (i, data) in self.types.iter().enumerate() {
            let nulls = self.nulls(order, i, at);
            let word = |key: &u32| self.word(*key, at);
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
                    let high = |key: &u32| self.word(*key, at + 1);
                    let value = |key: &u32| (u128::from(high(key)) << 64 | u128::from(word(key))) as i128;
                    let values = order.iter().map(value).collect::<Vec<_>>();
                    let values: Decimal128Array = PrimitiveArray::new(values.into(), nulls);
                    Arc::new(values.with_precision_and_scale(*precision, *scale).map_err(internal)?)
                }
                // Of null the lower half is 0.
                A::Int32 => {
                    let values = order.iter().map(|key| word(key) as i32).collect::<Vec<_>>();
                    Arc::new(Int32Array::new(values.into(), nulls))
                }
                // Of null some bits may not fit the type.
                _ => {
                    let valid = |row: usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
                    let value = |(row, key)| if valid(row) { word(key) as i64 } else { 0 };
                    let values = order.iter().enumerate().map(value).collect::<Vec<_>>();
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
