//! The versions of a key's row in time (slowly changing dimensions of type 2): where new versions and deletes go among those that are there. Each event is a step
//! from one chain of versions to the next, and a chain is all that the table keeps, so that how events are cut into epochs means nothing. Pure.

use super::key_index::{Groups, KeyIndex};
use super::layout::Layout;
use super::net::Encoded;
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use flowc_runtime::RunError;
use std::sync::Arc;

/// What happened to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Its row was this one from then on.
    Version {
        /// Since when, in microseconds.
        from: i64,
        /// The row of the epoch.
        row: u32,
    },
    /// It was deleted.
    Delete {
        /// When, in microseconds.
        at: i64,
    },
}

/// Where a version's row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the table: the number of a version that was found there.
    Table(u32),
    /// Among the epoch's rows.
    Epoch {
        /// The row.
        row: u32,
        /// The version in the table that began at the same time, of which it takes the place.
        replaces: Option<u32>,
    },
}

/// A version of a key's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// When it began.
    pub from: i64,
    /// When it ended: at the next version's beginning, or, where that is later or there is none, when the row was deleted. None: it has not.
    pub to: Option<i64>,
    /// Its row.
    pub place: Place,
}

/// The versions of one key, by their beginning.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// Ascending, each beginning once.
    pub versions: Vec<Version>,
    /// Versions of the table that were valid for no time: they were deleted when they began.
    pub removed: Vec<u32>,
}

impl Chain {
    /// The versions that are in the table, in any order. Of several that begin at one time the first counts; the others stay as they are.
    pub fn new(mut versions: Vec<Version>) -> Chain {
        versions.sort_by_key(|v| v.from);
        versions.dedup_by_key(|v| v.from);
        Chain { versions, removed: vec![] }
    }

    /// Takes the next event.
    pub fn step(&mut self, event: Event) {
        match event {
            Event::Version { from, row } => self.version(from, row),
            Event::Delete { at } => self.delete(at),
        }
    }

    fn delete(&mut self, at: i64) {
        let Some(last) = self.versions.partition_point(|v| v.from <= at).checked_sub(1) else { return };
        let version = &mut self.versions[last];
        if version.from < at {
            version.to = Some(version.to.map_or(at, |to| to.min(at)));
            return;
        }
        match version.place {
            Place::Table(number) | Place::Epoch { replaces: Some(number), .. } => self.removed.push(number),
            Place::Epoch { replaces: None, .. } => {}
        }
        self.versions.remove(last);
    }

    fn version(&mut self, from: i64, row: u32) {
        let place = match self.versions.binary_search_by_key(&from, |v| v.from) {
            Ok(same) => {
                let version = &mut self.versions[same];
                let replaces = match version.place {
                    Place::Table(number) => Some(number),
                    Place::Epoch { replaces, .. } => replaces,
                };
                version.place = Place::Epoch { row, replaces };
                return;
            }
            Err(place) => place,
        };
        let next = self.versions.get(place).map(|v| v.from);
        let to = match place.checked_sub(1).map(|i| &mut self.versions[i]) {
            // It splits the one before it, and ends as that one did: with the next version, or with the delete.
            Some(before) if before.to.is_none_or(|to| to > from) => before.to.replace(from),
            _ => next,
        };
        self.versions.insert(place, Version { from, to, place: Place::Epoch { row, replaces: None } });
    }
}

/// The events of an epoch, by key.
#[derive(Debug)]
pub struct Events {
    /// The keys.
    pub index: Arc<KeyIndex>,
    /// Those of all keys, each key's in the order in which they happened.
    all: Vec<Event>,
    /// Where those of a key begin and end.
    ranges: Vec<(u32, u32)>,
}

impl Events {
    /// Of staged rows. `where_` names the sink and the epoch in messages.
    pub fn new(layout: &Layout, rows: &RecordBatch, changing: bool, where_: &str) -> Result<Events, RunError> {
        let groups = Groups::new(layout.encode_keys(rows)?);
        let from = layout.validity.map_or(0, |v| v.from);
        let from = rows.column(from).as_primitive::<TimestampMicrosecondType>().values();
        let (starts, members) = groups.members();
        let encoded = if changing { Some(Encoded::of_several(layout, rows, &starts, &members)?) } else { None };
        let (mut all, mut ranges) = (vec![], vec![]);
        for group in 0..groups.firsts.len() {
            let begin = all.len() as u32;
            let members = &members[starts[group] as usize..starts[group + 1] as usize];
            match &encoded {
                None => all.extend(members.iter().map(|row| Event::Version { from: from[*row as usize], row: *row })),
                Some(encoded) => {
                    let commits = Commits { rows, encoded, from };
                    commits.events(members, &mut all).map_err(|(a, b)| {
                        let (key, text) =
                            (layout.text(rows, a as usize, true), |r| layout.text(rows, r as usize, false));
                        let what = format!("of the key {key} one commit added two versions with the same valid_from");
                        ambiguous(layout, format!("{where_}: {what}: {} and {}", text(a), text(b)))
                    })?;
                }
            }
            ranges.push((begin, all.len() as u32));
        }
        let (index, order) = KeyIndex::new(groups, layout, |group| ranges[group].0 < ranges[group].1);
        let ranges = order.iter().map(|group| ranges[*group as usize]).collect();
        Ok(Events { index: Arc::new(index), all, ranges })
    }

    /// What happened to a key, in order.
    pub fn of(&self, key: usize) -> &[Event] {
        let (from, to) = self.ranges[key];
        &self.all[from as usize..to as usize]
    }
}

fn ambiguous(layout: &Layout, message: String) -> RunError {
    let keys = layout.key_names().join(", ");
    RunError::data(flowc_runtime::codes::AMBIGUOUS_VERSION, message).help(format!(
        "make ({keys}, valid_from) unique, or keep history by more columns; nothing of the epoch was committed"
    ))
}

/// Weighted rows of one key, commit by commit.
struct Commits<'a> {
    rows: &'a RecordBatch,
    encoded: &'a Encoded,
    from: &'a [i64],
}

impl Commits<'_> {
    /// Adds what each commit did. The error: two rows that one commit added with the same beginning.
    fn events(&self, members: &[u32], into: &mut Vec<Event>) -> Result<(), (u32, u32)> {
        let columns = self.rows.num_columns();
        let weights = self.rows.column(columns - 1).as_primitive::<Int64Type>().values();
        let times = self.rows.column(columns - 2).as_primitive::<TimestampMicrosecondType>().values();
        // Of a key with one row there is nothing to compare.
        let bytes = |row: u32| if members.len() < 2 { &[][..] } else { self.encoded.get(row) };
        let mut sorted = members.to_vec();
        sorted.sort_unstable_by(|a, b| {
            times[*a as usize].cmp(&times[*b as usize]).then_with(|| bytes(*a).cmp(bytes(*b))).then(a.cmp(b))
        });
        for commit in sorted.chunk_by(|a, b| times[*a as usize] == times[*b as usize]) {
            let (mut added, mut taken): (Vec<u32>, bool) = (vec![], false);
            for equal in commit.chunk_by(|a, b| bytes(*a) == bytes(*b)) {
                let weight: i64 = equal.iter().fold(0, |sum: i64, row| sum.saturating_add(weights[*row as usize]));
                match weight {
                    0 => {}
                    weight if weight < 0 => taken = true,
                    _ => added.extend(equal.iter().find(|row| weights[**row as usize] > 0)),
                }
            }
            if added.is_empty() && taken {
                into.push(Event::Delete { at: times[commit[0] as usize] });
            }
            added.sort_by_key(|row| self.from[*row as usize]);
            if let Some(pair) = added.windows(2).find(|w| self.from[w[0] as usize] == self.from[w[1] as usize]) {
                return Err((pair[0], pair[1]));
            }
            into.extend(added.iter().map(|row| Event::Version { from: self.from[*row as usize], row: *row }));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(events: &[Event]) -> Vec<(i64, Option<i64>)> {
        let mut chain = Chain::default();
        events.iter().for_each(|e| chain.step(*e));
        chain.versions.iter().map(|v| (v.from, v.to)).collect()
    }

    fn version(from: i64) -> Event {
        Event::Version { from, row: from as u32 }
    }

    fn delete(at: i64) -> Event {
        Event::Delete { at }
    }

    #[test]
    fn versions_go_in_between_in_any_order() {
        let expected = vec![(1, Some(3)), (3, Some(7)), (7, None)];
        for order in [[1, 3, 7], [7, 3, 1], [3, 7, 1], [3, 1, 7], [1, 7, 3], [7, 1, 3]] {
            assert_eq!(after(&order.map(version)), expected, "{order:?}");
        }
    }

    #[test]
    fn a_delete_ends_the_version_of_its_time() {
        assert_eq!(after(&[version(1), delete(5)]), [(1, Some(5))]);
        assert_eq!(after(&[version(1), delete(5), version(9)]), [(1, Some(5)), (9, None)]);
        assert_eq!(after(&[version(1), version(9), delete(5)]), [(1, Some(5)), (9, None)]);
        assert_eq!(
            after(&[version(1), delete(5), version(3)]),
            [(1, Some(3)), (3, Some(5))],
            "it ends with the delete"
        );
        assert_eq!(after(&[version(1), delete(5), version(5)]), [(1, Some(5)), (5, None)], "no gap: no delete");
        assert_eq!(after(&[version(5), delete(5)]), [], "it was valid for no time");
        assert_eq!(after(&[version(1), version(5), delete(5)]), [(1, Some(5))]);
        assert_eq!(after(&[version(1), version(5), delete(5), version(5)]), [(1, Some(5)), (5, None)]);
        assert_eq!(after(&[delete(5), version(9)]), [(9, None)], "there was nothing to delete");
        assert_eq!(after(&[version(1), delete(5), delete(8)]), [(1, Some(5))], "it was deleted already");
        assert_eq!(after(&[version(1), delete(8), delete(5)]), [(1, Some(5))]);
    }

    #[test]
    fn a_version_of_the_same_time_takes_the_others_place() {
        let place = Place::Table(4);
        let mut chain = Chain::new(vec![Version { from: 1, to: Some(2), place }]);
        chain.step(Event::Version { from: 1, row: 8 });
        chain.step(Event::Version { from: 1, row: 9 });
        let place = Place::Epoch { row: 9, replaces: Some(4) };
        assert_eq!(chain.versions, [Version { from: 1, to: Some(2), place }]);
        chain.step(delete(1));
        assert_eq!((chain.versions, chain.removed), (vec![], vec![4]), "it leaves the table");
    }
}
