//! From keys to the rows of a table that have them. Keys of one or two columns of a fixed width are compared as numbers, all others as byte strings. Knows
//! nothing of what is looked up, nor of what becomes of the rows.
//!
//! Where the numbers of a single column lie close together a row's place is the number itself, as in the perfect hash joins of DuckDB and HyPer: no hash, no
//! comparison. Otherwise keys stand in the table of hashes itself, so that a probe touches one line of memory and not the table's rows (Birler, Schmidt,
//! Fent, Neumann: "Simple, Efficient, and Robust Hash Tables for Join Processing", DaMoN 2024, of which this takes the inline keys).

use super::NONE;
use crate::error::RunError;
use crate::keys::{Keys, hash_bytes, hash_words, normalize};
use crate::operators::internal;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int64Type};
use arrow::row::Rows;
use hashbrown::HashTable;

/// Places of a direct table that are always allowed, and how many more than rows otherwise: about what a table of hashes takes.
const DIRECT: (usize, usize) = (1024, 8);

/// How the keys of a table are compared.
#[derive(Debug)]
pub(super) enum Form {
    /// One column, as a number.
    Word,
    /// Two columns, as a number each.
    Pair,
    /// As bytes.
    Bytes(Keys),
}

/// The keys of rows.
#[derive(Debug)]
pub(super) enum Encoded {
    Words(ScalarBuffer<i64>),
    Pairs([ScalarBuffer<i64>; 2]),
    Bytes(Rows),
}

fn is_word(data: &DataType) -> bool {
    use DataType as A;
    data.is_integer()
        || matches!(data, A::Boolean | A::Date32 | A::Timestamp(..) | A::Duration(_) | A::Float32 | A::Float64)
}

/// A number for each value; equal ones have the same.
fn words(column: &ArrayRef) -> Result<ScalarBuffer<i64>, RunError> {
    Ok(match column.data_type() {
        DataType::Float32 => {
            let column = normalize(column);
            column.as_primitive::<Float32Type>().values().iter().map(|x| i64::from(x.to_bits())).collect()
        }
        DataType::Float64 => {
            let column = normalize(column);
            column.as_primitive::<Float64Type>().values().iter().map(|x| x.to_bits() as i64).collect()
        }
        _ => cast(column, &DataType::Int64).map_err(internal)?.as_primitive::<Int64Type>().values().clone(),
    })
}

impl Form {
    /// For keys of these types, one at least.
    pub(super) fn new(types: &[&DataType]) -> Result<Form, RunError> {
        Ok(match types {
            [one] if is_word(one) => Form::Word,
            [a, b] if is_word(a) && is_word(b) => Form::Pair,
            _ => Form::bytes(types)?,
        })
    }

    /// As bytes, whatever the types are.
    pub(super) fn bytes(types: &[&DataType]) -> Result<Form, RunError> {
        Ok(Form::Bytes(Keys::new(types.iter().copied())?))
    }

    /// The keys of rows; those of rows with a null mean nothing.
    pub(super) fn encode(&self, columns: &[ArrayRef]) -> Result<Encoded, RunError> {
        match (self, columns) {
            (Form::Word, [one]) => Ok(Encoded::Words(words(one)?)),
            (Form::Pair, [a, b]) => Ok(Encoded::Pairs([words(a)?, words(b)?])),
            (Form::Bytes(keys), _) => Ok(Encoded::Bytes(keys.encode(columns)?)),
            _ => Err(internal("a lookup has other keys than its table")),
        }
    }
}

/// Which rows have no null among these columns; none: all.
pub(super) fn valid(columns: &[ArrayRef]) -> Option<NullBuffer> {
    let nulls =
        columns.iter().fold(None, |all, column| NullBuffer::union(all.as_ref(), column.logical_nulls().as_ref()));
    nulls.filter(|nulls| nulls.null_count() > 0)
}

/// The first row of each key.
#[derive(Debug)]
enum Heads {
    /// That of the key `least + n` at the place `n`.
    Direct {
        least: i64,
        heads: Vec<u32>,
    },
    Words(HashTable<(i64, u32)>),
    Pairs(HashTable<([i64; 2], u32)>),
    Bytes(Rows, HashTable<u32>),
}

/// From keys to rows.
#[derive(Debug)]
pub(super) struct Index {
    heads: Heads,
    /// The next row with the same key, in the table's order; empty: no key is there twice.
    next: Vec<u32>,
}

fn hash_word(word: i64) -> u64 {
    hash_words(&[word as u64])
}

fn hash_pair(pair: [i64; 2]) -> u64 {
    hash_words(&pair.map(|word| word as u64))
}

/// Puts a row in front of those with its key; returns the one that was.
fn replace<K: Copy + Eq>(table: &mut HashTable<(K, u32)>, hash: impl Fn(K) -> u64, key: K, row: u32) -> u32 {
    match table.find_mut(hash(key), |(other, _)| *other == key) {
        Some((_, head)) => std::mem::replace(head, row),
        None => {
            table.insert_unique(hash(key), (key, row), |(other, _)| hash(*other));
            NONE
        }
    }
}

fn find<K: Copy + Eq>(table: &HashTable<(K, u32)>, hash: u64, key: K) -> u32 {
    table.find(hash, |(other, _)| *other == key).map_or(NONE, |(_, head)| *head)
}

fn find_bytes(rows: &Rows, table: &HashTable<u32>, key: &[u8]) -> u32 {
    table.find(hash_bytes(key), |row| rows.row(*row as usize).data() == key).copied().unwrap_or(NONE)
}

/// The place of a key in a direct table. A key below the least one is at a place beyond all: a place within means that least and place add up to the key, both
/// as they are and modulo 2^64.
fn place(key: i64, least: i64) -> usize {
    usize::try_from(key.wrapping_sub(least) as u64).unwrap_or(usize::MAX)
}

impl Heads {
    /// For so many rows with these keys.
    fn new(keys: Encoded, rows: impl Iterator<Item = usize> + Clone, count: usize) -> Heads {
        match keys {
            Encoded::Words(words) => {
                let mut all = rows.map(|row| words[row]);
                let first = all.next();
                let bounds = first.map(|first| all.fold((first, first), |(a, b), key| (a.min(key), b.max(key))));
                let span = bounds.map_or(0, |(least, greatest)| i128::from(greatest) - i128::from(least) + 1);
                match (bounds, usize::try_from(span)) {
                    (Some((least, _)), Ok(span)) if span <= DIRECT.0.max(count.saturating_mul(DIRECT.1)) => {
                        Heads::Direct { least, heads: vec![NONE; span] }
                    }
                    _ => Heads::Words(HashTable::with_capacity(count)),
                }
            }
            Encoded::Pairs(_) => Heads::Pairs(HashTable::with_capacity(count)),
            Encoded::Bytes(rows) => Heads::Bytes(rows, HashTable::with_capacity(count)),
        }
    }

    /// Puts a row in front of those with its key; returns the one that was. `words`: as the rows' keys were encoded, bytes apart.
    fn replace(&mut self, words: &[ScalarBuffer<i64>], row: usize) -> u32 {
        match (self, words) {
            (Heads::Direct { least, heads }, [words]) => {
                std::mem::replace(&mut heads[place(words[row], *least)], row as u32)
            }
            (Heads::Words(table), [words]) => replace(table, hash_word, words[row], row as u32),
            (Heads::Pairs(table), [a, b]) => replace(table, hash_pair, [a[row], b[row]], row as u32),
            (Heads::Bytes(rows, table), _) => {
                let key = rows.row(row).data();
                match table.find_mut(hash_bytes(key), |other| rows.row(*other as usize).data() == key) {
                    Some(head) => std::mem::replace(head, row as u32),
                    None => {
                        let rehash = |other: &u32| hash_bytes(rows.row(*other as usize).data());
                        table.insert_unique(hash_bytes(key), row as u32, rehash);
                        NONE
                    }
                }
            }
            // Heads are made of the same keys.
            _ => NONE,
        }
    }
}

impl Index {
    /// Of a table's rows by these columns; rows with a null among them match nothing.
    pub(super) fn build(form: &Form, columns: &[ArrayRef], count: usize) -> Result<Index, RunError> {
        let (keys, valid) = (form.encode(columns)?, valid(columns));
        let words = match &keys {
            Encoded::Words(words) => vec![words.clone()],
            Encoded::Pairs(pairs) => pairs.to_vec(),
            Encoded::Bytes(_) => vec![],
        };
        // From the last row to the first, so that chains are in the table's order.
        let rows = (0..count).rev().filter(|row| valid.as_ref().is_none_or(|valid| valid.is_valid(*row)));
        let mut heads = Heads::new(keys, rows.clone(), count);
        let (mut next, mut repeated) = (vec![NONE; count], false);
        for row in rows {
            next[row] = heads.replace(&words, row);
            repeated |= next[row] != NONE;
        }
        Ok(Index { heads, next: if repeated { next } else { vec![] } })
    }

    /// The bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        // A slot takes its entry and a byte, and an eighth of all are free.
        let slots = |capacity: usize, entry: usize| capacity * (entry + 1) * 8 / 7;
        let heads = match &self.heads {
            Heads::Direct { heads, .. } => heads.len() * size_of::<u32>(),
            Heads::Words(table) => slots(table.capacity(), size_of::<(i64, u32)>()),
            Heads::Pairs(table) => slots(table.capacity(), size_of::<([i64; 2], u32)>()),
            Heads::Bytes(rows, table) => rows.size() + slots(table.capacity(), size_of::<u32>()),
        };
        heads + self.next.len() * size_of::<u32>()
    }

    /// Whether no key is there twice.
    pub(super) fn is_unique(&self) -> bool {
        self.next.is_empty()
    }

    /// The row after this one with the same key.
    pub(super) fn following(&self, row: u32) -> u32 {
        self.next.get(row as usize).copied().unwrap_or(NONE)
    }

    /// The first row with the key of a row.
    pub(super) fn first(&self, keys: &Encoded, row: usize) -> u32 {
        match (&self.heads, keys) {
            (Heads::Direct { least, heads }, Encoded::Words(words)) => {
                heads.get(place(words[row], *least)).copied().unwrap_or(NONE)
            }
            (Heads::Words(table), Encoded::Words(words)) => find(table, hash_word(words[row]), words[row]),
            (Heads::Pairs(table), Encoded::Pairs([a, b])) => find(table, hash_pair([a[row], b[row]]), [a[row], b[row]]),
            (Heads::Bytes(rows, table), Encoded::Bytes(keys)) => find_bytes(rows, table, keys.row(row).data()),
            // Both are of the lookup's form.
            _ => NONE,
        }
    }

    /// The first row with the key of each of so many rows.
    pub(super) fn firsts(&self, keys: &Encoded, count: usize) -> Vec<u32> {
        match (&self.heads, keys) {
            (Heads::Direct { least, heads }, Encoded::Words(words)) => {
                words.iter().map(|key| heads.get(place(*key, *least)).copied().unwrap_or(NONE)).collect()
            }
            (Heads::Words(table), Encoded::Words(words)) => {
                words.iter().map(|key| find(table, hash_word(*key), *key)).collect()
            }
            _ => (0..count).map(|row| self.first(keys, row)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float64Array, Int64Array, StringArray};
    use arrow::datatypes::TimeUnit;
    use proptest::prelude::*;
    use std::sync::Arc;

    /// Numbers that lie close together, and such that do not.
    fn numbers() -> impl Strategy<Value = Option<i64>> {
        let close = -5..9i64;
        prop::option::weighted(
            0.9,
            prop_oneof![4 => close, 1 => Just(i64::MIN), 1 => Just(i64::MAX), 1 => Just(1 << 40)],
        )
    }

    fn column(data: &DataType, values: &[Option<i64>]) -> ArrayRef {
        let longs: ArrayRef = Arc::new(values.iter().copied().collect::<Int64Array>());
        let small: ArrayRef = Arc::new(values.iter().map(|v| v.map(|v| v % 1000)).collect::<Int64Array>());
        let floats = |v: i64| match v {
            0 => -0.0,
            1 => 0.0,
            2 => f64::NAN,
            3 => f64::from_bits(f64::NAN.to_bits() | 1 << 63 | 5),
            other => other as f64,
        };
        let floats: ArrayRef = Arc::new(values.iter().map(|v| v.map(floats)).collect::<Float64Array>());
        match data {
            DataType::Float32 | DataType::Float64 => cast(&floats, data).unwrap(),
            DataType::Utf8 => Arc::new(values.iter().map(|v| v.map(|v| v.to_string())).collect::<StringArray>()),
            DataType::Date32 => cast(&cast(&small, &DataType::Int32).unwrap(), data).unwrap(),
            DataType::Int32 | DataType::Boolean | DataType::Decimal128(..) => cast(&small, data).unwrap(),
            _ => cast(&longs, data).unwrap(),
        }
    }

    fn types() -> Vec<DataType> {
        use DataType as A;
        let fixed = [A::Int32, A::Int64, A::Float32, A::Float64, A::Boolean, A::Date32];
        fixed.into_iter().chain([A::Timestamp(TimeUnit::Microsecond, None), A::Decimal128(20, 2), A::Utf8]).collect()
    }

    /// The rows of a key, in the table's order.
    fn chain(index: &Index, head: u32) -> Vec<u32> {
        let some = |row: u32| (row != NONE).then_some(row);
        std::iter::successors(some(head), |row| some(index.following(*row))).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn numbers_find_the_rows_that_bytes_find(
            table in prop::collection::vec((numbers(), numbers(), numbers()), 0..30),
            stream in prop::collection::vec((numbers(), numbers(), numbers()), 0..30),
            wide in any::<bool>(),
            at in 0..9usize,
        ) {
            let types = types();
            let narrow = |v: &Option<i64>| if wide { *v } else { v.map(|v| v.clamp(-7, 11)) };
            for width in 1..=3 {
                let types: Vec<&DataType> = (0..width).map(|i| &types[(at + 2 * i) % types.len()]).collect();
                let columns = |rows: &[(Option<i64>, Option<i64>, Option<i64>)]| -> Vec<ArrayRef> {
                    let part = |i: usize| rows.iter().map(|r| narrow([&r.0, &r.1, &r.2][i])).collect::<Vec<_>>();
                    types.iter().enumerate().map(|(i, data)| column(data, &part(i))).collect()
                };
                let (build, probe) = (columns(&table), columns(&stream));
                let found = [Form::new(&types).unwrap(), Form::bytes(&types).unwrap()].map(|form| {
                    let index = Index::build(&form, &build, table.len()).unwrap();
                    let keys = form.encode(&probe).unwrap();
                    let firsts = index.firsts(&keys, stream.len());
                    let one_by_one: Vec<u32> = (0..stream.len()).map(|row| index.first(&keys, row)).collect();
                    assert_eq!(firsts, one_by_one);
                    let valid = valid(&probe);
                    let rows = (0..stream.len()).filter(|row| valid.as_ref().is_none_or(|v| v.is_valid(*row)));
                    rows.map(|row| chain(&index, firsts[row])).collect::<Vec<_>>()
                });
                prop_assert_eq!(&found[0], &found[1]);
            }
        }
    }

    #[test]
    fn keys_far_below_the_least_one_are_not_taken_for_others() {
        let table: ArrayRef = Arc::new(Int64Array::from(vec![i64::MAX, i64::MAX - 1]));
        let index = Index::build(&Form::Word, &[table], 2).unwrap();
        assert!(matches!(index.heads, Heads::Direct { .. }) && index.is_unique());
        let probe: ArrayRef = Arc::new(Int64Array::from(vec![i64::MIN, -1, i64::MAX, 0, i64::MAX - 1]));
        let keys = Form::Word.encode(&[probe]).unwrap();
        assert_eq!(index.firsts(&keys, 5), [NONE, NONE, 0, NONE, 1]);
    }
}
