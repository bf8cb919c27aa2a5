//! Rows that are added and taken away, summed: a Z-set (Budiu et al., "DBSP", arXiv 2203.16684) whose rows belong to keys, those of a key in an order. A row that
//! was taken away as often as it was added is not there; one that was taken away more often is, until the others come. Knows nothing of what rows are for.

use crate::error::RunError;
use crate::keys::{Keys, has_floats};
use arrow::array::ArrayRef;
use arrow::compute::SortOptions;
use arrow::datatypes::DataType;
use arrow::row::Rows;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// The bytes that say how long the key of an entry is.
const HEADER: usize = 4;

/// What an entry takes besides its bytes, about: its place in the tree, and that of its bytes.
const ENTRY: usize = 56;

/// Turns columns into byte strings that are in the order wanted, and back, bit by bit.
#[derive(Debug)]
pub(super) struct Codec {
    /// The columns that come first in the order.
    leading: Vec<usize>,
    /// Of those columns, then of all.
    order: Keys,
    /// Tells rows apart that are equal, but not the same: 0.0 and -0.0. None: there are no such.
    exact: Option<Keys>,
}

/// The byte strings of a batch.
#[derive(Debug)]
pub(super) struct Encoded {
    order: Rows,
    exact: Option<Rows>,
}

impl Encoded {
    /// Appends the byte string of a row.
    pub(super) fn append(&self, row: usize, out: &mut Vec<u8>) {
        let order = self.order.row(row);
        out.extend_from_slice(order.data());
        if let Some(exact) = &self.exact {
            out.extend_from_slice(exact.row(row).data());
            out.extend_from_slice(&(order.data().len() as u32).to_be_bytes());
        }
    }
}

impl Codec {
    /// For rows with columns of these types: in the order of some of them, and where that is the same, of all.
    pub(super) fn new(types: &[DataType], order: &[(usize, SortOptions)]) -> Result<Codec, RunError> {
        let all = (0..types.len()).map(|column| (column, SortOptions::default()));
        let fields = order.iter().copied().chain(all).map(|(column, options)| (types[column].clone(), options));
        let exact = types.iter().any(has_floats).then(|| Keys::new(types.iter())).transpose()?;
        let leading = order.iter().map(|(column, _)| *column).collect();
        Ok(Codec { leading, order: Keys::sorted(fields.collect())?, exact })
    }

    pub(super) fn encode(&self, columns: &[ArrayRef]) -> Result<Encoded, RunError> {
        let ordered: Vec<ArrayRef> =
            self.leading.iter().map(|column| &columns[*column]).chain(columns).map(Arc::clone).collect();
        let exact = self.exact.as_ref().map(|keys| keys.exact(columns)).transpose()?;
        Ok(Encoded { order: self.order.encode(&ordered)?, exact })
    }

    /// The columns of rows.
    pub(super) fn decode<'a>(&self, rows: impl Iterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>, RunError> {
        match &self.exact {
            None => Ok(self.order.decode(rows)?.split_off(self.leading.len())),
            Some(exact) => exact.decode(rows.map(|row| {
                let (row, length) = row.split_at(row.len().saturating_sub(HEADER));
                let length = length.try_into().map_or(0, u32::from_be_bytes) as usize;
                row.get(length..).unwrap_or_default()
            })),
        }
    }
}

/// Begins an entry: a row's byte string is to be appended.
pub(super) fn begin(key: &[u8], entry: &mut Vec<u8>) {
    entry.clear();
    entry.extend_from_slice(&(key.len() as u32).to_be_bytes());
    entry.extend_from_slice(key);
}

/// The key and the row of an entry.
pub(super) fn split(entry: &[u8]) -> (&[u8], &[u8]) {
    let (length, rest) = entry.split_at(HEADER.min(entry.len()));
    let length = length.try_into().map_or(0, u32::from_be_bytes) as usize;
    rest.split_at(length.min(rest.len()))
}

/// An entry, and how often its row is there.
pub(super) type Entry<'a> = (&'a [u8], i64);

/// The same, of its own.
pub(super) type Owned = (Box<[u8]>, i64);

/// An entry of its own.
pub(super) fn owned((entry, weight): Entry<'_>) -> Owned {
    (entry.into(), weight)
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Zset {
    entries: BTreeMap<Box<[u8]>, i64>,
    bytes: usize,
}

impl Zset {
    /// How many different rows there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The bytes that it takes, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a row so many times; less than 0: takes it away.
    pub(super) fn add(&mut self, entry: &[u8], weight: i64) {
        match self.entries.get_mut(entry) {
            Some(known) if known.wrapping_add(weight) == 0 => {
                self.entries.remove(entry);
                self.bytes -= entry.len() + ENTRY;
            }
            Some(known) => *known = known.wrapping_add(weight),
            None if weight == 0 => {}
            None => {
                self.bytes += entry.len() + ENTRY;
                self.entries.insert(entry.into(), weight);
            }
        }
    }

    /// Adds all of another one.
    pub(super) fn merge(&mut self, other: Zset) {
        if self.entries.is_empty() {
            *self = other;
            return;
        }
        other.iter().for_each(|(entry, weight)| self.add(entry, weight));
    }

    /// The entries, key by key, those of a key in order, with their weights.
    pub(super) fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        self.entries.iter().map(|(entry, weight)| (&**entry, *weight))
    }

    /// The entries of a key from this row on, in order.
    pub(super) fn from<'a>(&'a self, key: &[u8], row: &[u8]) -> impl Iterator<Item = Entry<'a>> + use<'a> {
        let mut prefix = Vec::with_capacity(HEADER + key.len() + row.len());
        begin(key, &mut prefix);
        let length = prefix.len();
        prefix.extend_from_slice(row);
        let entries = self.entries.range::<[u8], _>((Bound::Included(&*prefix), Bound::Unbounded));
        let entries = entries.take_while(move |(entry, _)| entry.get(..length) == prefix.get(..length));
        entries.map(|(entry, weight)| (&**entry, *weight))
    }

    /// The entries of a key, in order.
    pub(super) fn of<'a>(&'a self, key: &[u8]) -> impl Iterator<Item = Entry<'a>> + use<'a> {
        self.from(key, &[])
    }

    /// The keys, in order.
    pub(super) fn keys(&self) -> impl Iterator<Item = &[u8]> {
        let mut last: Option<&[u8]> = None;
        self.entries.keys().filter_map(move |entry| {
            let key = split(entry).0;
            (last != Some(key)).then(|| *last.insert(key))
        })
    }

    /// Leaves of each key the first rows, counted as often as they are there.
    pub(super) fn keep_first(&mut self, count: u64) {
        let (mut last, mut left, mut freed): (Vec<u8>, u64, usize) = (vec![], 0, 0);
        self.entries.retain(|entry, weight| {
            let key = &entry[..HEADER + split(entry).0.len()];
            if last != key {
                last = key.to_vec();
                left = count;
            }
            *weight = (*weight).min(i64::try_from(left).unwrap_or(i64::MAX));
            left = left.saturating_sub(weight.unsigned_abs());
            freed += if *weight == 0 { entry.len() + ENTRY } else { 0 };
            *weight != 0
        });
        self.bytes -= freed;
    }
}
