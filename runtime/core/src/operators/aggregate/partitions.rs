//! A hash table for each tag (for windows: the slice of time that a row lies in). Rows come about in the order of time, so that those of a batch look at the tables
//! of one or two slices, which stay in the processor's cache, where one table of all open groups would be as large as these are (partitioning so that parts fit the
//! cache: Shatdal, Kant and Naughton, "Cache Conscious Algorithms for Relational Query Processing", VLDB 1994). Knows nothing of what keys are.

use super::part::Part;
use crate::keys::hash_words;
use hashbrown::HashTable;

/// A table is made with room for as many keys as the one before it has, up to so many.
const MOST_EXPECTED: usize = 4096;

/// The tables.
#[derive(Debug, Default)]
pub(super) struct Partitions {
    tables: Vec<Part>,
    /// The table of each tag.
    of: HashTable<(i64, u32)>,
}

/// Tables of tags that were asked for last: most tags in turn are the same one, or one of two.
#[derive(Debug, Default)]
struct Recent([Option<(i64, u32)>; 2]);

impl Recent {
    fn find(&mut self, tag: i64) -> Option<u32> {
        match self.0 {
            [Some((last, table)), _] if last == tag => Some(table),
            [last, Some((before, table))] if before == tag => {
                self.0 = [Some((before, table)), last];
                Some(table)
            }
            _ => None,
        }
    }

    fn note(&mut self, tag: i64, table: u32) {
        self.0 = [Some((tag, table)), self.0[0]];
    }
}

impl Partitions {
    /// The bytes that they take, about.
    pub(super) fn bytes(&self) -> usize {
        let slots: usize = self.tables.iter().map(Part::bytes).sum();
        slots + self.tables.capacity() * size_of::<Part>() + self.of.capacity() * (size_of::<(i64, u32)>() + 1)
    }

    /// The table of a tag, if it has one.
    pub(super) fn find(&self, tag: i64) -> Option<u32> {
        self.of.find(hash_words(&[tag as u64]), |(of, _)| *of == tag).map(|(_, table)| *table)
    }

    /// The table of a tag, which is made if there is none.
    pub(super) fn enter(&mut self, tag: i64) -> u32 {
        if let Some(table) = self.find(tag) {
            return table;
        }
        let table = self.tables.len() as u32;
        // Neighbours in time have about the same keys.
        let part = self.tables.last().map_or_else(Part::default, |last| Part::like(last, MOST_EXPECTED));
        self.tables.push(part);
        self.of.insert_unique(hash_words(&[tag as u64]), (tag, table), |(of, _)| hash_words(&[*of as u64]));
        table
    }

    /// The tables of tags, made where there are none.
    pub(super) fn enter_all(&mut self, tags: impl Iterator<Item = i64>) -> Vec<u32> {
        let mut recent = Recent::default();
        let table = |tag| {
            recent.find(tag).unwrap_or_else(|| {
                let table = self.enter(tag);
                recent.note(tag, table);
                table
            })
        };
        tags.map(table).collect()
    }

    /// A table.
    pub(super) fn table(&self, table: u32) -> &Part {
        &self.tables[table as usize]
    }

    /// A table.
    pub(super) fn table_mut(&mut self, table: u32) -> &mut Part {
        &mut self.tables[table as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tag_has_a_table_of_its_own() {
        let mut partitions = Partitions::default();
        let tags = [5, 5, -7, 5, -7, 9, i64::MIN, 9, 5, -7];
        let tables = partitions.enter_all(tags.into_iter());
        assert_eq!(tables, [0, 0, 1, 0, 1, 2, 3, 2, 0, 1]);
        assert!(tags.iter().zip(&tables).all(|(tag, table)| partitions.find(*tag) == Some(*table)));
        assert_eq!(partitions.find(6), None);
        (0..100).for_each(|key| partitions.table_mut(3).insert(u64::from(key) << 32, key, None));
        assert_eq!((partitions.table(3).len(), partitions.table(0).len()), (100, 0));
        // The next one is expected to get as many.
        let next = partitions.enter(77);
        let bytes = partitions.table(next).bytes();
        (0..100).for_each(|key| partitions.table_mut(next).insert(u64::from(key) << 32, key, None));
        assert_eq!(partitions.table(next).bytes(), bytes);
        assert!(partitions.bytes() > 2 * bytes);
    }
}
