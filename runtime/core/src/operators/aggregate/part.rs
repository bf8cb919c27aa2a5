//! The numbers of keys, found by hash, or where keys are integers that lie close together by the key itself: no hash, no comparison, one look at memory (the perfect hash
//! aggregates of DuckDB). Keys begin in a table of hashes; when that would grow, and they turn out to lie close together, they move. Knows nothing of what keys are
//! beyond their word.

use super::slots::{Slot, Slots};
use crate::keys::hash_words;

/// What stands in the word of a null. Of a narrow type it is no value; where it may be one as well, it has no place of its own.
pub(super) const NULL: u64 = 1 << 63;

/// A direct table has at most so many places for each key: about what a table of hashes takes.
const SPARSE: u64 = 8;

/// From integers that lie close together to numbers. There is no place for [`NULL`], the least that there is.
#[derive(Debug, Default)]
struct Direct {
    least: i64,
    /// One more than the number of the key `least + n` at the place `n`; 0: there is none.
    numbers: Vec<u32>,
    used: usize,
}

impl Direct {
    fn get(&self, word: u64) -> Option<u32> {
        let place = (word as i64).wrapping_sub(self.least) as usize;
        self.numbers.get(place)?.checked_sub(1)
    }

    /// The first and the last key that there are places for.
    fn range(&self) -> Option<(i64, i64)> {
        (!self.numbers.is_empty()).then(|| (self.least, self.least.saturating_add((self.numbers.len() - 1) as i64)))
    }

    /// The first and the last key that has a number.
    fn used(&self) -> Option<(i64, i64)> {
        let (first, last) = (self.numbers.iter().position(|n| *n != 0)?, self.numbers.iter().rposition(|n| *n != 0)?);
        Some((self.least + first as i64, self.least + last as i64))
    }

    /// Makes places for these keys too, if there are at most so many in all; whether it has.
    fn cover(&mut self, first: i64, last: i64, most: u64) -> bool {
        if self.used == 0 {
            // Places that were expected to be needed lie elsewhere.
            self.numbers.clear();
        }
        let (from, to) = self.range().map_or((first, last), |(least, most)| (least.min(first), most.max(last)));
        let wanted = to.abs_diff(from).saturating_add(1);
        if wanted > most {
            return false;
        }
        // Twice as many as there were, as far as that is allowed, so that each is copied about once.
        let until_the_last = i64::MAX.abs_diff(from).saturating_add(1);
        let room = wanted.max(2 * self.numbers.len() as u64).min(most).min(until_the_last);
        let Some((least, _)) = self.range().filter(|(least, _)| from < *least) else {
            self.least = from;
            self.numbers.resize(room.max(self.numbers.len() as u64) as usize, 0);
            return true;
        };
        let before = (least.abs_diff(from) + room - wanted) as usize;
        let Some(from) = least.checked_sub(before as i64).filter(|from| *from != NULL as i64) else { return false };
        let mut numbers = vec![0; before + self.numbers.len()];
        numbers[before..].copy_from_slice(&self.numbers);
        (self.least, self.numbers) = (from, numbers);
        // What is to be covered may go on behind, too.
        let end = (to - from) as usize + 1;
        self.numbers.resize(end.max(self.numbers.len()), 0);
        true
    }

    /// Puts a number in its place; whether there is one.
    fn put(&mut self, word: u64, number: u32) -> bool {
        let place = (word as i64).wrapping_sub(self.least) as usize;
        let Some(mine) = self.numbers.get_mut(place) else { return false };
        self.used += usize::from(*mine == 0);
        *mine = number + 1;
        true
    }
}

/// What a look at a key has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum First {
    /// The key has this number.
    Number(u32),
    /// Where the search in the table of hashes begins.
    Slot(Slot),
}

/// See the module. A key is in one of both.
#[derive(Debug, Default)]
pub(super) struct Part {
    direct: Direct,
    slots: Slots,
    /// The least and the greatest key of one word in the table of hashes, null aside, so that keys that lie far apart are not looked at again and again.
    bounds: Option<(i64, i64)>,
}

/// The word of the key of a number, where keys have one word each.
pub(super) type WordOf<'a> = Option<&'a dyn Fn(u32) -> u64>;

impl Part {
    /// Keys are expected to be about as many as those of another part, and to lie where they lie.
    pub(super) fn like(other: &Part, most: usize) -> Part {
        let close = |first: i64, last: i64| other.direct.used as u64 * SPARSE > last.abs_diff(first);
        let direct = match other.direct.used().filter(|(first, last)| close(*first, *last)) {
            Some((least, last)) => Direct { least, numbers: vec![0; (last - least) as usize + 1], used: 0 },
            None => Direct::default(),
        };
        Part { direct, slots: Slots::with_room(other.slots.len().min(most)), bounds: None }
    }

    /// How many numbers there are.
    pub(super) fn len(&self) -> usize {
        self.direct.used + self.slots.len()
    }

    /// The bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.direct.numbers.capacity() * size_of::<u32>() + self.slots.bytes()
    }

    /// The first look at a key. `word`: of the key, if it has but one; `hash`: of the key.
    pub(super) fn first(&self, word: Option<u64>, hash: impl FnOnce() -> u64) -> First {
        match word.and_then(|word| self.direct.get(word)) {
            Some(number) => First::Number(number),
            None => First::Slot(self.slots.first(hash())),
        }
    }

    /// The number of a key: with this word, if it has but one, or else with this hash one that `is` accepts.
    pub(super) fn find(&self, word: Option<u64>, hash: u64, is: impl Fn(u32) -> bool) -> Option<u32> {
        word.and_then(|word| self.direct.get(word)).or_else(|| self.slots.find(hash, is))
    }

    /// Adds a number, less than the highest there is, that was not found.
    pub(super) fn insert(&mut self, hash: u64, number: u32, word_of: WordOf<'_>) {
        if let Some(word_of) = word_of {
            if self.slots.is_full() {
                self.draw_together(word_of);
            }
            let word = word_of(number);
            if self.direct.put(word, number) {
                return;
            }
            let most = (self.len() as u64 + 1) * SPARSE;
            let near = word != NULL && !self.direct.numbers.is_empty();
            if near && self.direct.cover(word as i64, word as i64, most) && self.direct.put(word, number) {
                return;
            }
            if word != NULL {
                let (least, most) = self.bounds.unwrap_or((word as i64, word as i64));
                self.bounds = Some((least.min(word as i64), most.max(word as i64)));
            }
        }
        self.slots.insert(hash, number);
    }

    /// Moves the keys of the table of hashes to their own places, if all lie close together.
    fn draw_together(&mut self, word_of: &dyn Fn(u32) -> u64) {
        let Some((first, last)) = self.bounds else { return };
        if !self.direct.cover(first, last, self.len() as u64 * SPARSE) {
            return;
        }
        self.bounds = None;
        for number in std::mem::take(&mut self.slots).numbers() {
            match word_of(number) {
                NULL => self.slots.insert(hash_words(&[NULL]), number),
                word => {
                    let placed = self.direct.put(word, number);
                    debug_assert!(placed);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn add(part: &mut Part, words: &[u64], number: usize, direct: bool) {
        let of = |number: u32| words[number as usize];
        part.insert(hash_words(&[words[number]]), number as u32, direct.then_some(&of));
    }

    fn find(part: &Part, words: &[u64], word: u64, direct: bool) -> Option<u32> {
        let (hash, is) = (hash_words(&[word]), |number: u32| words[number as usize] == word);
        let found = part.find(direct.then_some(word), hash, is);
        // A first look that tells a number tells the same.
        if let First::Number(number) = part.first(direct.then_some(word), || hash) {
            assert_eq!(found, Some(number));
        }
        found
    }

    proptest! {
        #[test]
        fn keys_are_found_by_themselves_as_by_their_hashes(
            steps in prop::collection::vec((prop_oneof![
                0i64..20, -40i64..400, 1_000i64..1_050, any::<i32>().prop_map(i64::from), Just(NULL as i64),
                i64::MAX - 20..=i64::MAX, i64::MIN + 1..i64::MIN + 20,
            ], any::<bool>()), 0..300),
        ) {
            let (mut words, mut direct, mut hashed) = (vec![], Part::default(), Part::default());
            for (step, (word, alike)) in steps.into_iter().enumerate() {
                let word = word as u64;
                let found = find(&direct, &words, word, true);
                prop_assert_eq!(found, find(&hashed, &words, word, false));
                if found.is_none() {
                    words.push(word);
                    add(&mut direct, &words, words.len() - 1, true);
                    add(&mut hashed, &words, words.len() - 1, false);
                }
                prop_assert_eq!((direct.len(), hashed.len()), (words.len(), words.len()));
                if alike && step % 50 == 49 {
                    // Another part begins where this one is, with nothing in it.
                    words.clear();
                    direct = Part::like(&direct, 100);
                    hashed = Part::like(&hashed, 100);
                }
            }
        }
    }

    #[test]
    fn keys_that_lie_close_together_leave_the_table_of_hashes_in_whatever_order_they_come() {
        for stride in [1_u64, 7, 4_999] {
            let words: Vec<u64> = (0..10_000).map(|i| (i * stride % 10_000).wrapping_sub(5_000)).collect();
            let mut part = Part::default();
            (0..words.len()).for_each(|number| add(&mut part, &words, number, true));
            assert_eq!((part.slots.len(), part.direct.used), (0, words.len()));
            assert!(part.direct.numbers.len() <= 8 * words.len());
            assert!((0..words.len()).all(|number| find(&part, &words, words[number], true) == Some(number as u32)));
            let mut next = Part::like(&part, 100);
            assert_eq!((next.len(), next.direct.range()), (0, Some((-5_000, 4_999))));
            // Where keys do not lie where they were expected, places are made where they lie.
            let words: Vec<u64> = (0..10_000).map(|i| 20_000 + i * stride % 10_000).collect();
            (0..words.len()).for_each(|number| add(&mut next, &words, number, true));
            // The last ones may wait in the table of hashes until it is full.
            assert!(
                (next.len(), next.direct.least > 0) == (words.len(), true) && next.direct.used > 8 * next.slots.len()
            );
            assert!((0..words.len()).all(|number| find(&next, &words, words[number], true) == Some(number as u32)));
            assert!(next.direct.numbers.len() <= 8 * words.len());
        }
        // Beside what stands for null, at both ends of what there is.
        for words in [(0..3_000).map(|i| NULL + i).collect::<Vec<u64>>(), (0..3_000).map(|i| NULL - 1 - i).collect()] {
            let words: Vec<u64> = words.into_iter().chain([NULL]).collect();
            let words = if words[0] == NULL { words[1..].to_vec() } else { words };
            let mut part = Part::default();
            (0..words.len()).for_each(|number| add(&mut part, &words, number, true));
            assert_eq!((part.slots.len(), part.direct.get(NULL)), (1, None));
            assert!(part.direct.numbers.len() <= 3 * words.len());
            assert!((0..words.len()).all(|number| find(&part, &words, words[number], true) == Some(number as u32)));
        }
        // Far apart they stay.
        let words: Vec<u64> = (0..10_000).map(|i| i * 1_000).collect();
        let mut part = Part::default();
        (0..words.len()).for_each(|number| add(&mut part, &words, number, true));
        assert!(part.slots.len() > 9_000);
    }
}
