//! A hash table of numbers: open addressing with linear probing, in each slot a number with 32 bits of its key's hash, so that a wrong key is seldom looked at, and
//! growth looks at none. The first slots of many keys can be read at once, before any key is compared (Kersten et al., "Everything You Always Wanted to Know
//! About Compiled and Vectorized Queries", 2018). Knows nothing of what keys are.

/// At most so many slots of [`OF`] are in use.
const FULL: usize = 5;
const OF: usize = 8;

/// The fewest slots.
const LEAST: usize = 4;

/// A slot: the hash's 32 bits above one more than the number; 0: it is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot(u64);

impl Slot {
    /// The number, if a key with this hash may have it.
    pub(super) fn candidate(self, hash: u64) -> Option<u32> {
        (self.0 & !u64::from(u32::MAX) == salt(hash) << 32).then_some(self.number()).flatten()
    }

    /// Whether no number is in it, so that a search that begins here finds none.
    pub(super) fn is_free(self) -> bool {
        self.0 == 0
    }

    fn number(self) -> Option<u32> {
        (self.0 as u32).checked_sub(1)
    }
}

/// The part of a hash that is kept.
fn salt(hash: u64) -> u64 {
    hash >> 32
}

/// The table.
#[derive(Debug, Default)]
pub(super) struct Slots {
    /// None, or a power of two.
    slots: Vec<u64>,
    used: usize,
}

impl Slots {
    /// With room for so many numbers.
    pub(super) fn with_room(numbers: usize) -> Slots {
        let slots = if numbers == 0 { 0 } else { (numbers * OF / FULL + 1).next_power_of_two().max(LEAST) };
        Slots { slots: vec![0; slots], used: 0 }
    }

    /// The bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<u64>()
    }

    /// How many numbers there are.
    pub(super) fn len(&self) -> usize {
        self.used
    }

    /// Whether another number makes the table grow.
    pub(super) fn is_full(&self) -> bool {
        self.used * OF >= self.slots.len() * FULL
    }

    /// All numbers.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> + '_ {
        self.slots.iter().filter_map(|slot| Slot(*slot).number())
    }

    /// The slot where the search for a hash begins.
    pub(super) fn first(&self, hash: u64) -> Slot {
        // With a mask of no slots there is none.
        let mask = self.slots.len().wrapping_sub(1);
        Slot(self.slots.get(salt(hash) as usize & mask).copied().unwrap_or(0))
    }

    /// The number with this hash that `is` accepts.
    pub(super) fn find(&self, hash: u64, is: impl Fn(u32) -> bool) -> Option<u32> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut at = salt(hash) as usize & mask;
        // There is a free slot, always.
        loop {
            let slot = Slot(self.slots[at]);
            slot.number()?;
            if let Some(number) = slot.candidate(hash).filter(|number| is(*number)) {
                return Some(number);
            }
            at = (at + 1) & mask;
        }
    }

    /// Adds a number, less than the highest there is, that was not found.
    pub(super) fn insert(&mut self, hash: u64, number: u32) {
        if self.is_full() {
            self.double();
        }
        self.place(salt(hash) << 32 | (u64::from(number) + 1));
        self.used += 1;
    }

    fn place(&mut self, slot: u64) {
        let mask = self.slots.len() - 1;
        let mut at = (slot >> 32) as usize & mask;
        while self.slots[at] != 0 {
            at = (at + 1) & mask;
        }
        self.slots[at] = slot;
    }

    fn double(&mut self) {
        let more = vec![0; (self.slots.len() * 2).max(LEAST)];
        let before = std::mem::replace(&mut self.slots, more);
        before.into_iter().filter(|slot| *slot != 0).for_each(|slot| self.place(slot));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_their_keys_even_where_hashes_are_equal() {
        let hashes: [fn(u32) -> u64; 4] =
            [|key| u64::from(key) << 32, |_| 7 << 32, |key| u64::from(key % 3) << 32, |key| u64::from(key) << 52];
        for hash in hashes {
            let mut slots = Slots::with_room(hash(3) as usize % 40);
            assert_eq!((slots.find(5, |_| true), slots.first(5).candidate(5)), (None, None));
            for key in 0..500 {
                assert_eq!(slots.find(hash(key), |number| number == key), None);
                slots.insert(hash(key), key);
                assert!((0..=key).all(|key| slots.find(hash(key), |number| number == key) == Some(key)));
            }
            assert!(slots.bytes() >= 500 * 8);
        }
        for numbers in [0, 1, 10, 11, 500, 640, 641] {
            let mut slots = Slots::with_room(numbers);
            let bytes = slots.bytes();
            (0..numbers as u32).for_each(|number| slots.insert(u64::from(number) << 32, number));
            assert_eq!(slots.bytes(), bytes, "room for {numbers}");
        }
        let mut slots = Slots::default();
        slots.insert(3 << 32, 9);
        assert_eq!(
            (slots.first(3 << 32).candidate(3 << 32), slots.first(3 << 32).candidate(19 << 32)),
            (Some(9), None)
        );
    }
}
