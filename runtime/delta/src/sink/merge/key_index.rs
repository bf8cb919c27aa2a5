//! The keys that an epoch changes: found by their bytes or as numbers, and ordered, so that files and row groups that hold none of them are passed over. Knows keys;
//! nothing of what happens to their rows.

use super::layout::Layout;
use super::numbers::{NumberIndex, Numbers};
use crate::facts::Column;
use crate::partition::scalar;
use crate::prune::{Facts, Range};
use arrow::array::{ArrayRef, new_null_array};
use arrow::row::Rows;
use flowc_ir::arrow_types::to_arrow;
use flowc_ir::{DataType, Value};
use flowc_runtime::RunError;
use flowc_runtime::keys::{Keys, hash_bytes};
use hashbrown::HashTable;

/// The keys of rows.
#[derive(Debug)]
pub enum RowKeys {
    /// Of any columns: bytes that have the keys' order.
    Bytes(Rows),
    /// Of one column of whole numbers.
    Numbers(Numbers),
}

impl RowKeys {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        match self {
            RowKeys::Bytes(rows) => rows.num_rows(),
            RowKeys::Numbers(numbers) => numbers.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A hash of a row's key.
    pub fn hash(&self, row: usize) -> u64 {
        match self {
            RowKeys::Bytes(rows) => hash_bytes(rows.row(row).data()),
            RowKeys::Numbers(numbers) => numbers.hash(row),
        }
    }
}

/// Rows that fall into groups of one key each.
pub struct Groups {
    keys: RowKeys,
    /// The group of each row.
    pub of: Vec<u32>,
    /// The first row of each group.
    pub firsts: Vec<u32>,
}

impl Groups {
    /// The groups of rows with these keys, in the order of their first rows.
    pub fn new(keys: RowKeys) -> Groups {
        let (of, firsts) = match &keys {
            RowKeys::Bytes(rows) => {
                let bytes = |row: usize| rows.row(row).data();
                grouped(rows.num_rows(), |row| hash_bytes(bytes(row)), |a, b| bytes(a) == bytes(b))
            }
            RowKeys::Numbers(numbers) => {
                grouped(numbers.len(), |row| numbers.hash(row), |a, b| numbers.get(a) == numbers.get(b))
            }
        };
        Groups { keys, of, firsts }
    }

    /// The rows of each group, in order: group `g` has those from `starts[g]` to `starts[g + 1]`.
    pub fn members(&self) -> (Vec<u32>, Vec<u32>) {
        let mut starts = vec![0u32; self.firsts.len() + 1];
        self.of.iter().for_each(|g| starts[*g as usize + 1] += 1);
        for g in 0..self.firsts.len() {
            starts[g + 1] += starts[g];
        }
        let mut next = starts.clone();
        let mut rows = vec![0u32; self.of.len()];
        for (row, group) in self.of.iter().enumerate() {
            let place = &mut next[*group as usize];
            rows[*place as usize] = row as u32;
            *place += 1;
        }
        (starts, rows)
    }
}

/// The group of each row, and the first row of each group.
fn grouped(rows: usize, hash: impl Fn(usize) -> u64, same: impl Fn(usize, usize) -> bool) -> (Vec<u32>, Vec<u32>) {
    let mut table: HashTable<u32> = HashTable::new();
    let (mut of, mut firsts) = (Vec::with_capacity(rows), vec![]);
    for row in 0..rows {
        let hashed = hash(row);
        let group = match table.find(hashed, |group: &u32| same(firsts[*group as usize] as usize, row)) {
            Some(group) => *group,
            None => {
                let group = firsts.len() as u32;
                table.insert_unique(hashed, group, |group| hash(firsts[*group as usize] as usize));
                firsts.push(row as u32);
                group
            }
        };
        of.push(group);
    }
    (of, firsts)
}

/// Keys, numbered in their order.
#[derive(Debug)]
pub struct KeyIndex {
    keys: Index,
    columns: Vec<DataType>,
}

#[derive(Debug)]
enum Index {
    Bytes(ByteIndex),
    Numbers(NumberIndex),
}

/// Keys as bytes.
#[derive(Debug)]
struct ByteIndex {
    keys: Rows,
    /// The row of each key's bytes.
    rows: Vec<u32>,
    table: HashTable<u32>,
}

impl KeyIndex {
    /// An index of those groups that are wanted, and their numbers in the order of the keys.
    pub fn new(groups: Groups, layout: &Layout, wanted: impl Fn(usize) -> bool) -> (KeyIndex, Vec<u32>) {
        let Groups { keys, firsts, of } = groups;
        drop(of);
        let wanted = (0..firsts.len()).filter(|group| wanted(*group));
        let (keys, order) = match keys {
            RowKeys::Bytes(keys) => {
                let (index, order) = ByteIndex::new(keys, &firsts, wanted);
                (Index::Bytes(index), order)
            }
            RowKeys::Numbers(numbers) => {
                let number = |group: usize| (numbers.get(firsts[group] as usize), group as u32);
                let (nulls, some): (Vec<_>, Vec<_>) = wanted.map(number).partition(|(number, _)| number.is_none());
                let mut some: Vec<(i64, u32)> = some.into_iter().filter_map(|(n, group)| Some((n?, group))).collect();
                some.sort_unstable();
                let order = nulls.iter().map(|(_, group)| *group).chain(some.iter().map(|(_, group)| *group)).collect();
                let sorted = some.into_iter().map(|(number, _)| number).collect();
                (Index::Numbers(NumberIndex::new(sorted, !nulls.is_empty())), order)
            }
        };
        let columns = layout.key_columns().iter().map(|c| c.field.ty.data.clone()).collect();
        (KeyIndex { keys, columns }, order)
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        match &self.keys {
            Index::Bytes(keys) => keys.len(),
            Index::Numbers(keys) => keys.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls for each row of a batch of the key's columns that has one of the keys, with the key's number.
    pub fn matches(
        &self,
        layout: &Layout,
        columns: &[ArrayRef],
        mut found: impl FnMut(usize, u32),
    ) -> Result<(), RunError> {
        match (&self.keys, layout.encode_key_columns(columns)?) {
            (Index::Numbers(keys), RowKeys::Numbers(rows)) => keys.matches(&rows, found),
            (Index::Bytes(keys), RowKeys::Bytes(rows)) => {
                for (row, bytes) in rows.iter().enumerate() {
                    if let Some(key) = keys.get(bytes.data()) {
                        found(row, key);
                    }
                }
            }
            _ => return Err(layout.internal("keys of another type")),
        }
        Ok(())
    }

    /// Whether some of the keys can be in a file or row group of which this is known of the key's columns.
    pub fn may_be_in(&self, layout: &Layout, facts: &dyn Facts) -> Result<bool, RunError> {
        match (&self.keys, layout.key_columns()) {
            (Index::Bytes(keys), columns) => self.bytes_may_be_in(keys, columns, facts),
            (Index::Numbers(keys), [column, ..]) => {
                let ty = &column.field.ty;
                let range = facts.range(&[0], ty).unwrap_or_else(|| Range::unknown(ty));
                let bound = |value: &Option<Value>| value.as_ref().and_then(Numbers::value);
                Ok((range.nulls && keys.has_null()) || (range.values && keys.any(bound(&range.min), bound(&range.max))))
            }
            (Index::Numbers(_), []) => Ok(true),
        }
    }

    /// Columns with one value (those by which the table is
    /// partitioned come first) and the range of the first one with several are looked at together.
    fn bytes_may_be_in(&self, keys: &ByteIndex, columns: &[Column], facts: &dyn Facts) -> Result<bool, RunError> {
        let mut prefix = vec![];
        for (i, column) in columns.iter().enumerate() {
            let ty = &column.field.ty;
            let range = facts.range(&[i], ty).unwrap_or_else(|| Range::unknown(ty));
            let encoded = |value: &Value| self.encode(i, value);
            if !range.nulls && !range.values {
                return Ok(false);
            }
            if !range.values {
                prefix.extend(encoded(&Value::Null)?.unwrap_or_default());
                continue;
            }
            let (min, max) = (range.min.as_ref().map(encoded), range.max.as_ref().map(encoded));
            let (min, max) = (min.transpose()?.flatten(), max.transpose()?.flatten());
            match (&min, &max) {
                (Some(min), Some(max)) if min == max && !range.nulls => prefix.extend(min),
                _ => {
                    let null = encoded(&Value::Null)?.unwrap_or_default();
                    let end = |bound: Option<Vec<u8>>| [prefix.clone(), bound.unwrap_or_default()].concat();
                    let null = end(Some(null));
                    return Ok(keys.any(&end(min), &end(max)) || (range.nulls && keys.any(&null, &null)));
                }
            }
        }
        Ok(keys.any(&prefix, &prefix))
    }

    /// The bytes that a value has as this column of a key; none for types whose values stand in no statistics.
    fn encode(&self, column: usize, value: &Value) -> Result<Option<Vec<u8>>, RunError> {
        let data = &self.columns[column];
        let ty = to_arrow(data);
        let array: Option<ArrayRef> = if value.is_null() { Some(new_null_array(&ty, 1)) } else { scalar(value, data) };
        let Some(array) = array.filter(|a| *a.data_type() == ty) else { return Ok(None) };
        let rows = Keys::new([&ty].into_iter())?.encode(&[array])?;
        Ok(Some(rows.row(0).data().to_vec()))
    }
}

impl ByteIndex {
    /// Of those groups, and their numbers in the order of the keys.
    fn new(keys: Rows, firsts: &[u32], wanted: impl Iterator<Item = usize>) -> (ByteIndex, Vec<u32>) {
        // The first bytes as a number decide most comparisons without a look at memory elsewhere.
        let head = |row: u32| {
            let bytes = keys.row(row as usize).data();
            let mut head = [0; 16];
            let length = bytes.len().min(16);
            head[..length].copy_from_slice(&bytes[..length]);
            u128::from_be_bytes(head)
        };
        let mut order: Vec<(u128, u32)> = wanted.map(|group| (head(firsts[group]), group as u32)).collect();
        let bytes = |group: u32| keys.row(firsts[group as usize] as usize).data();
        order.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| bytes(a.1).cmp(bytes(b.1))));
        let order: Vec<u32> = order.into_iter().map(|(_, group)| group).collect();
        let rows: Vec<u32> = order.iter().map(|group| firsts[*group as usize]).collect();
        let hash = |key: &u32| hash_bytes(keys.row(rows[*key as usize] as usize).data());
        let mut table = HashTable::with_capacity(rows.len());
        for key in 0..rows.len() as u32 {
            table.insert_unique(hash(&key), key, hash);
        }
        (ByteIndex { keys, rows, table }, order)
    }

    fn len(&self) -> usize {
        self.rows.len()
    }

    fn key(&self, number: usize) -> &[u8] {
        self.keys.row(self.rows[number] as usize).data()
    }

    /// The number of a key.
    fn get(&self, key: &[u8]) -> Option<u32> {
        self.table.find(hash_bytes(key), |number| self.key(*number as usize) == key).copied()
    }

    /// Whether there is a key that begins with `from`, with `to`, or with something between.
    fn any(&self, from: &[u8], to: &[u8]) -> bool {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.key(middle) < from { low = middle + 1 } else { high = middle }
        }
        low < self.len() && {
            let key = self.key(low);
            &key[..key.len().min(to.len())] <= to
        }
    }
}
