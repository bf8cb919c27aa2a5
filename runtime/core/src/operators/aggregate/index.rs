//! Numbers keys as they come: columns, and for windows a tag besides (where the row's slice of time begins). Knows nothing of what the numbers are for.

use super::part::{First, NULL, Part};
use super::partitions::Partitions;
use super::words::{self, Words};
use crate::error::RunError;
use crate::keys::{Bytes, Keys, hash_bytes, hash_words};
use crate::operators::internal;
use arrow::array::ArrayRef;
use arrow::datatypes::DataType as A;
use arrow::row::Rows;

/// How keys stand in memory.
#[derive(Debug)]
enum Store {
    /// Each in as many words of 64 bits.
    Words(Words),
    /// As byte strings, each behind its tag, where there are tags.
    Bytes(Keys, Bytes),
}

/// The keys of rows, in the form in which they are compared.
#[derive(Debug)]
pub(in crate::operators) struct Encoded {
    form: Form,
    rows: usize,
    /// None where a key is one word, whose hash is seldom needed.
    hashes: Vec<u64>,
}

impl Encoded {
    fn hash(&self, row: usize) -> u64 {
        self.word(row).map_or_else(|| self.hashes[row], |word| hash_words(&[word]))
    }

    /// The word of a row's key, if it has but one.
    fn word(&self, row: usize) -> Option<u64> {
        match &self.form {
            Form::Words(words) if self.hashes.is_empty() => Some(words.words()[row]),
            _ => None,
        }
    }
}

#[derive(Debug)]
enum Form {
    Words(words::Encoded),
    Bytes(Rows),
}

/// The numbers of keys. The same key with another tag has another number.
#[derive(Debug)]
pub(in crate::operators) struct KeyIndex {
    store: Store,
    count: usize,
    table: Table,
}

/// Where numbers are found.
#[derive(Debug)]
enum Table {
    /// Keys have no tags.
    One(Part),
    /// They have.
    ByTag(Partitions),
}

impl Table {
    fn is_tagged(&self) -> bool {
        matches!(self, Table::ByTag(_))
    }

    fn bytes(&self) -> usize {
        match self {
            Table::One(part) => part.bytes(),
            Table::ByTag(partitions) => partitions.bytes(),
        }
    }

    /// The part that keys with this tag are in, if there is one.
    fn find(&self, tag: i64) -> Option<&Part> {
        match self {
            Table::One(part) => Some(part),
            Table::ByTag(partitions) => partitions.find(tag).map(|part| partitions.table(part)),
        }
    }

    /// The number of the part that keys with this tag are in.
    fn enter(&mut self, tag: i64) -> u32 {
        match self {
            Table::One(_) => 0,
            Table::ByTag(partitions) => partitions.enter(tag),
        }
    }

    fn part(&self, part: u32) -> &Part {
        match self {
            Table::One(only) => only,
            Table::ByTag(partitions) => partitions.table(part),
        }
    }

    fn part_mut(&mut self, part: u32) -> &mut Part {
        match self {
            Table::One(only) => only,
            Table::ByTag(partitions) => partitions.table_mut(part),
        }
    }

    /// The first looks at the keys of rows, each with its part; `tags`: of rows, of which those that are missing are 0.
    fn first(&mut self, encoded: &Encoded, tags: &[i64]) -> Vec<(u32, First)> {
        let look = |part: &Part, row: usize| part.first(encoded.word(row), || encoded.hash(row));
        match self {
            Table::One(part) => (0..encoded.rows).map(|row| (0, look(part, row))).collect(),
            Table::ByTag(partitions) => {
                let tags = tags.iter().copied().chain(std::iter::repeat(0)).take(encoded.rows);
                let parts = partitions.enter_all(tags).into_iter().enumerate();
                parts.map(|(row, part)| (part, look(partitions.table(part), row))).collect()
            }
        }
    }
}

impl KeyIndex {
    /// For keys of these types.
    pub(in crate::operators) fn new(types: &[A], tagged: bool) -> Result<KeyIndex, RunError> {
        let store = match Words::new(types, tagged) {
            Some(words) => Store::Words(words),
            None => Store::Bytes(Keys::new(types.iter())?, Bytes::default()),
        };
        let table = if tagged { Table::ByTag(Partitions::default()) } else { Table::One(Part::default()) };
        Ok(KeyIndex { store, count: 0, table })
    }

    /// How many keys there are; the next one gets this number.
    pub(in crate::operators) fn len(&self) -> usize {
        self.count
    }

    /// The bytes that it takes, about.
    pub(in crate::operators) fn bytes(&self) -> usize {
        let keys = match &self.store {
            Store::Words(words) => words.bytes(),
            Store::Bytes(_, bytes) => bytes.room(),
        };
        keys + self.table.bytes()
    }

    /// The keys of so many rows.
    pub(in crate::operators) fn encode(&self, columns: &[ArrayRef], rows: usize) -> Result<Encoded, RunError> {
        match &self.store {
            Store::Words(words) => {
                let keys = words.encode(columns, rows)?;
                let hashes = match words.width {
                    0 => vec![0; rows],
                    1 => vec![],
                    width => keys.words().chunks_exact(width).map(hash_words).collect(),
                };
                Ok(Encoded { form: Form::Words(keys), rows, hashes })
            }
            Store::Bytes(keys, _) => {
                let keys = keys.encode(columns)?;
                let hashes: Vec<u64> = keys.iter().map(|row| hash_bytes(row.data())).collect();
                Ok(Encoded { form: Form::Bytes(keys), rows: hashes.len(), hashes })
            }
        }
    }

    /// The hash of a row's key, without a tag.
    pub(in crate::operators) fn hash(encoded: &Encoded, row: usize) -> u64 {
        encoded.hash(row)
    }

    /// The number of a row's key, if it has one.
    pub(in crate::operators) fn find(&self, encoded: &Encoded, row: usize, tag: i64) -> Option<u32> {
        self.find_in(self.table.find(tag)?, encoded, row, tag)
    }

    fn find_in(&self, part: &Part, encoded: &Encoded, row: usize, tag: i64) -> Option<u32> {
        part.find(encoded.word(row), encoded.hash(row), |key| self.is(encoded, row, tag, key as usize))
    }

    /// The number of each row's key without a tag, or this one where it has none.
    pub(in crate::operators) fn find_all(&self, encoded: &Encoded, none: u32) -> Vec<u32> {
        let Some(part) = self.table.find(0) else { return vec![none; encoded.rows] };
        // The slots first, as in [`KeyIndex::assign`].
        let first: Vec<First> =
            (0..encoded.rows).map(|row| part.first(encoded.word(row), || encoded.hash(row))).collect();
        let number = |(row, first): (usize, First)| match first {
            First::Number(key) => key,
            First::Slot(slot) if slot.is_free() => none,
            First::Slot(slot) => match slot.candidate(encoded.hash(row)) {
                Some(key) if self.is(encoded, row, 0, key as usize) => key,
                _ => self.find_in(part, encoded, row, 0).unwrap_or(none),
            },
        };
        first.into_iter().enumerate().map(number).collect()
    }

    /// Whether a row's key and tag are those of this number.
    fn is(&self, encoded: &Encoded, row: usize, tag: i64, key: usize) -> bool {
        match (&self.store, &encoded.form) {
            (Store::Words(words), Form::Words(rows)) => words.is(key, tag, words.row(rows, row)),
            (Store::Bytes(_, bytes), Form::Bytes(rows)) => self.are(bytes.get(key), tag, rows.row(row).data()),
            _ => false,
        }
    }

    /// Whether bytes that stand here are this key, with this tag.
    fn are(&self, bytes: &[u8], tag: i64, key: &[u8]) -> bool {
        match bytes.split_first_chunk() {
            Some((of, bytes)) if self.table.is_tagged() => *of == tag.to_ne_bytes() && bytes == key,
            _ => bytes == key,
        }
    }

    /// The number of a row's key; a new one if it has none.
    pub(in crate::operators) fn insert(&mut self, encoded: &Encoded, row: usize, tag: i64) -> Result<u32, RunError> {
        let part = self.table.enter(tag);
        self.enter(encoded, row, tag, part)
    }

    fn enter(&mut self, encoded: &Encoded, row: usize, tag: i64, part: u32) -> Result<u32, RunError> {
        if let Some(key) = self.find_in(self.table.part(part), encoded, row, tag) {
            return Ok(key);
        }
        let key = self.next()?;
        match (&mut self.store, &encoded.form) {
            (Store::Words(words), Form::Words(rows)) => {
                let row = words.row(rows, row);
                words.push(key, tag, row);
            }
            (Store::Bytes(_, bytes), Form::Bytes(rows)) => {
                push(bytes, self.table.is_tagged().then_some(tag), rows.row(row).data());
            }
            _ => return Err(internal("keys were encoded for another index")),
        }
        self.added(key, (encoded.hash(row), part));
        Ok(key)
    }

    /// The number of each row's key, new ones where they have none. `tags`: of the rows; none: they have none.
    pub(in crate::operators) fn assign(&mut self, encoded: &Encoded, tags: &[i64]) -> Result<Vec<u32>, RunError> {
        let tag = |row: usize| tags.get(row).copied().unwrap_or(0);
        // The slots first, then what stands there: looks at memory that wait for none before them.
        let first = self.table.first(encoded, tags);
        let number = |(row, (part, first)): (usize, (u32, First))| match first {
            First::Number(key) => Ok(key),
            First::Slot(slot) => match slot.candidate(encoded.hash(row)) {
                Some(key) if self.is(encoded, row, tag(row), key as usize) => Ok(key),
                _ => self.enter(encoded, row, tag(row), part),
            },
        };
        first.into_iter().enumerate().map(number).collect()
    }

    /// The number here of a key of another index of the same types, with this tag; a new one if it has none.
    pub(in crate::operators) fn adopt(&mut self, other: &KeyIndex, key: u32, tag: i64) -> Result<u32, RunError> {
        let theirs = key as usize;
        let (hash, word, part) = (other.hash_of(key), other.store.single_word(key), self.table.enter(tag));
        let same = |key: u32| match (&self.store, &other.store) {
            (Store::Words(a), Store::Words(b)) => a.is(key as usize, tag, b.get(theirs)),
            (Store::Bytes(_, a), Store::Bytes(..)) => {
                self.are(a.get(key as usize), tag, other.key_bytes(theirs as u32).unwrap_or_default())
            }
            _ => false,
        };
        if let Some(key) = self.table.part(part).find(word, hash, same) {
            return Ok(key);
        }
        let key = self.next()?;
        match (&mut self.store, &other.store) {
            (Store::Words(a), Store::Words(b)) => a.push(key, tag, b.get(theirs)),
            (Store::Bytes(_, a), Store::Bytes(..)) => {
                let bytes = other.key_bytes(theirs as u32).unwrap_or_default();
                push(a, self.table.is_tagged().then_some(tag), bytes);
            }
            _ => return Err(internal("indexes of other keys meet")),
        }
        self.added(key, (hash, part));
        Ok(key)
    }

    fn next(&self) -> Result<u32, RunError> {
        // The highest number is none of [`Slots`].
        let next = u32::try_from(self.count).ok().filter(|next| *next < u32::MAX);
        next.ok_or_else(|| RunError::data("R0108", "an aggregate has more than four billion groups"))
    }

    /// Enters a key that was pushed.
    fn added(&mut self, key: u32, (hash, part): (u64, u32)) {
        self.count += 1;
        debug_assert!(!matches!(&self.store, Store::Bytes(_, bytes) if bytes.len() != self.count));
        let word_of: &dyn Fn(u32) -> u64 = &|key| self.store.single_word(key).unwrap_or(NULL);
        let single = self.store.single_word(key).is_some();
        self.table.part_mut(part).insert(hash, key, single.then_some(word_of));
    }

    /// The tag of this number.
    pub(in crate::operators) fn tag(&self, key: u32) -> i64 {
        match &self.store {
            Store::Words(words) if (key as usize) < self.count => words.tag(key as usize),
            Store::Bytes(_, bytes) if self.table.is_tagged() && (key as usize) < self.count => {
                bytes.get(key as usize).first_chunk().map_or(0, |tag| i64::from_ne_bytes(*tag))
            }
            _ => 0,
        }
    }

    /// Numbers in the order of these keys, nulls first, where words tell them at once; those of another index with the same types compare with them.
    pub(in crate::operators) fn numbers(&self, keys: &[u32]) -> Option<Vec<u64>> {
        match &self.store {
            Store::Words(words) => words.numbers(keys),
            Store::Bytes(..) => None,
        }
    }

    /// A key as bytes in the order of keys, nulls first, where it stands so; those of another index with the same types compare with them.
    pub(in crate::operators) fn key_bytes(&self, key: u32) -> Option<&[u8]> {
        match &self.store {
            Store::Words(_) => None,
            Store::Bytes(_, bytes) => {
                let before = if self.table.is_tagged() { size_of::<i64>() } else { 0 };
                bytes.get(key as usize).get(before..)
            }
        }
    }

    /// The hash of a key, without its tag.
    fn hash_of(&self, key: u32) -> u64 {
        match &self.store {
            Store::Words(words) => words.hash(key as usize),
            Store::Bytes(..) => hash_bytes(self.key_bytes(key).unwrap_or_default()),
        }
    }

    /// The columns of these keys; floats as they are compared.
    pub(in crate::operators) fn columns(&self, order: &[u32]) -> Result<Vec<ArrayRef>, RunError> {
        match &self.store {
            Store::Words(words) => words.decode(order),
            Store::Bytes(keys, _) => keys.decode(order.iter().map(|key| self.key_bytes(*key).unwrap_or_default())),
        }
    }
}

impl Store {
    /// The word of a key, if it has but one.
    fn single_word(&self, key: u32) -> Option<u64> {
        match self {
            Store::Words(words) if words.width == 1 => Some(words.word(key, 0)),
            _ => None,
        }
    }
}

/// Adds a key, behind its tag if it has one.
fn push(bytes: &mut Bytes, tag: Option<i64>, key: &[u8]) {
    match tag {
        Some(tag) => bytes.push_both(&tag.to_ne_bytes(), key),
        None => bytes.push(key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{
        BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int32Array, Int64Array, StringArray,
        TimestampMicrosecondArray,
    };
    use arrow::compute::cast;
    use std::sync::Arc;

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
    fn nulls_of_narrow_types_are_no_value_and_keys_of_many_segments_are_found() {
        use arrow::array::UInt32Array;
        let column: ArrayRef = Arc::new(Int32Array::from_iter((0..20_000).map(|i| (i != 7).then_some(i - 9))));
        for types in [vec![A::Int32], vec![A::Int32, A::Int32], vec![A::Int32, A::Boolean, A::Date32]] {
            let columns: Vec<ArrayRef> = types.iter().map(|data| cast(&column, data).unwrap()).collect();
            for tagged in [false, true] {
                let mut index = KeyIndex::new(&types, tagged).unwrap();
                let tags: Vec<i64> = if tagged { (0..20_000).map(|i| i % 3).collect() } else { vec![] };
                for _twice in 0..2 {
                    let encoded = index.encode(&columns, 20_000).unwrap();
                    assert!(index.assign(&encoded, &tags).unwrap().into_iter().eq(0..20_000));
                    assert!((0..20_000).all(|row| {
                        let tag = tags.get(row).copied().unwrap_or(0);
                        index.find(&encoded, row, tag) == Some(row as u32) && index.tag(row as u32) == tag
                    }));
                    // All at once find what each alone does: of keys without a tag.
                    let alone = |row| index.find(&encoded, row, 0).unwrap_or(u32::MAX);
                    assert!(index.find_all(&encoded, u32::MAX).into_iter().eq((0..20_000).map(alone)));
                }
                let order: Vec<u32> = (0..20_000).rev().collect();
                let wanted = |column| arrow::compute::take(column, &UInt32Array::from(order.clone()), None).unwrap();
                if let Some(numbers) = index.numbers(&(0..20_000).collect::<Vec<_>>()) {
                    // The null first, the others as they are.
                    let mut wanted: Vec<u32> = (0..20_000).filter(|row| *row != 7).collect();
                    wanted.insert(0, 7);
                    assert!(wanted.is_sorted_by_key(|row| numbers[*row as usize]));
                }
                assert_eq!(index.columns(&order).unwrap(), columns.iter().map(|c| wanted(c)).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn numbers_of_keys_have_their_order() {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![i64::MIN, -1, 0, i64::MAX]));
        let narrow =
            cast(&Int64Array::from(vec![None, Some(i64::from(i32::MIN)), Some(-1), Some(0)]), &A::Int32).unwrap();
        for column in [column, narrow] {
            let mut index = KeyIndex::new(&[column.data_type().clone()], true).unwrap();
            let encoded = index.encode(&[column], 4).unwrap();
            index.assign(&encoded, &[5; 4]).unwrap();
            assert!(index.numbers(&[0, 1, 2, 3]).unwrap().is_sorted_by(|a, b| a < b));
        }
        let column: ArrayRef = Arc::new(Int64Array::from(vec![None, Some(0)]));
        let mut index = KeyIndex::new(&[A::Int64], false).unwrap();
        index.assign(&index.encode(&[column], 2).unwrap(), &[]).unwrap();
        assert_eq!((index.numbers(&[0, 1]), index.numbers(&[1])), (None, Some(vec![1 << 63])));
    }

    #[test]
    fn null_and_the_value_whose_word_it_has_are_two_keys() {
        let time = A::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into()));
        for data in [A::Int64, time, A::Float64] {
            for tagged in [false, true] {
                let values =
                    [Some(i64::MIN), None, Some(5), Some(i64::MIN), None, Some(i64::MIN + 1), Some(4), Some(6)];
                let column = cast(&Int64Array::from(values.to_vec()), &data).unwrap();
                let mut index = KeyIndex::new(std::slice::from_ref(&data), tagged).unwrap();
                let tags: &[i64] = if tagged { &[1, 1, 1, 1, 1, 1, 2, 1] } else { &[] };
                let encoded = index.encode(&[Arc::clone(&column)], 8).unwrap();
                let numbers = index.assign(&encoded, tags).unwrap();
                assert_eq!(numbers, [0, 1, 2, 0, 1, if data == A::Float64 { 0 } else { 3 }, numbers[6], numbers[7]]);
                assert_eq!(index.find_all(&encoded, 99), if tagged { vec![99; 8] } else { numbers.clone() });
                assert_eq!(index.columns(&numbers).unwrap(), [Arc::clone(&column)]);
                assert_eq!(index.find(&encoded, 1, 2), if tagged { None } else { Some(1) });
                let mut other = KeyIndex::new(std::slice::from_ref(&data), true).unwrap();
                let adopted: Vec<u32> = [1, 0, 2, 1].map(|key| other.adopt(&index, key, 7).unwrap()).to_vec();
                assert_eq!((adopted, other.find(&encoded, 4, 7)), (vec![0, 1, 2, 0], Some(0)));
            }
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
