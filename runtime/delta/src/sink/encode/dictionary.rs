//! Numbers for the values of a column: Parquet's dictionary encoding. Tables with open addressing and linear probing, as in database hash joins (Balkesen et al., "Main-memory
//! hash joins on multi-core CPUs", 2013), whose slots hold nothing but numbers, so that they stay in the cache. Knows values as bits and bytes; nothing of pages.

use xxhash_rust::xxh3::xxh3_64;

/// A slot without a value.
const EMPTY: u32 = u32::MAX;

/// Slots that a table begins with.
const SLOTS: usize = 1 << 10;

/// Spreads bits over the whole word: the halves of a product, folded (Yi, "wyhash").
#[inline(always)]
fn mix(bits: u64) -> u64 {
    let product = u128::from(bits ^ 0x9e37_79b9_7f4a_7c15) * 0xa076_1d64_78bd_642f;
    (product >> 64) as u64 ^ product as u64
}

/// The slots of a table, a power of two of them, at most half of them taken.
#[derive(Debug)]
struct Slots(Vec<u32>);

impl Slots {
    fn new() -> Slots {
        Slots(vec![EMPTY; SLOTS])
    }

    #[inline(always)]
    fn first(&self, hash: u64) -> usize {
        hash as usize & (self.0.len() - 1)
    }

    #[inline(always)]
    fn next(&self, slot: usize) -> usize {
        (slot + 1) & (self.0.len() - 1)
    }

    /// Twice as many, where more than half would be taken by so many values.
    fn grow(&mut self, values: usize, hash: impl Fn(usize) -> u64) {
        if values * 2 <= self.0.len() {
            return;
        }
        self.0 = vec![EMPTY; self.0.len() * 2];
        for number in 0..values {
            let mut slot = self.first(hash(number));
            while self.0[slot] != EMPTY {
                slot = self.next(slot);
            }
            self.0[slot] = number as u32;
        }
    }
}

/// The dictionary of values of fixed width, by their bits.
#[derive(Debug)]
pub struct Fixed {
    slots: Slots,
    values: Vec<u64>,
    width: usize,
}

impl Fixed {
    /// Of values of so many bytes, 4 or 8.
    pub fn new(width: usize) -> Fixed {
        Fixed { slots: Slots::new(), values: vec![], width }
    }

    /// Appends the number of each value, a new one where it is seen for the first time.
    pub fn number(&mut self, values: impl Iterator<Item = u64>, out: &mut Vec<u32>) {
        // Most columns either hardly repeat a value at once, or nearly always.
        let mut last: Option<(u64, u32)> = None;
        out.extend(values.map(|value| match last {
            Some((seen, number)) if seen == value => number,
            _ => {
                let number = self.find(value);
                last = Some((value, number));
                number
            }
        }));
    }

    #[inline(always)]
    fn find(&mut self, value: u64) -> u32 {
        let mut slot = self.slots.first(mix(value));
        loop {
            match self.slots.0[slot] {
                EMPTY => return self.insert(slot, value),
                number if self.values[number as usize] == value => return number,
                _ => slot = self.slots.next(slot),
            }
        }
    }

    #[cold]
    fn insert(&mut self, slot: usize, value: u64) -> u32 {
        let number = self.values.len() as u32;
        self.slots.0[slot] = number;
        self.values.push(value);
        self.slots.grow(self.values.len(), |number| mix(self.values[number]));
        number
    }

    /// The values in the order of their numbers, little-endian.
    pub fn plain(&self) -> Vec<u8> {
        self.values.iter().flat_map(|v| v.to_le_bytes().into_iter().take(self.width)).collect()
    }
}

/// The dictionary of texts.
#[derive(Debug)]
pub struct Texts {
    slots: Slots,
    /// Where each text begins and ends, and its hash.
    places: Vec<(u32, u32, u64)>,
    /// The texts one after the other, each behind its length: a page of them.
    page: Vec<u8>,
}

impl Texts {
    /// Without texts.
    pub fn new() -> Texts {
        Texts { slots: Slots::new(), places: vec![], page: vec![] }
    }

    /// Appends the number of each text.
    pub fn number<'a>(&mut self, texts: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u32>) {
        out.extend(texts.map(|text| self.find(text)));
    }

    /// The text of a number.
    pub fn text(&self, number: u32) -> &[u8] {
        let (begin, end, _) = self.places[number as usize];
        &self.page[begin as usize..end as usize]
    }

    #[inline(always)]
    fn find(&mut self, text: &[u8]) -> u32 {
        let hash = hash(text);
        let mut slot = self.slots.first(hash);
        loop {
            match self.slots.0[slot] {
                EMPTY => return self.insert(slot, text, hash),
                number if self.places[number as usize].2 == hash && self.text(number) == text => return number,
                _ => slot = self.slots.next(slot),
            }
        }
    }

    #[cold]
    fn insert(&mut self, slot: usize, text: &[u8], hash: u64) -> u32 {
        let number = self.places.len() as u32;
        self.slots.0[slot] = number;
        self.page.extend((text.len() as u32).to_le_bytes());
        let begin = self.page.len() as u32;
        self.page.extend(text);
        self.places.push((begin, self.page.len() as u32, hash));
        self.slots.grow(self.places.len(), |number| self.places[number].2);
        number
    }
}

/// Short texts by their first and their last bytes, which are all they have.
#[inline(always)]
fn hash(text: &[u8]) -> u64 {
    let word = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
    let half = |bytes: &[u8; 4]| u64::from(u32::from_le_bytes(*bytes));
    let (first, last) = match (text.len(), text.first_chunk(), text.last_chunk()) {
        (17.., ..) => return xxh3_64(text),
        (8.., Some(first), Some(last)) => (word(first), word(last)),
        _ => match (text.first_chunk(), text.last_chunk()) {
            (Some(first), Some(last)) => (half(first), half(last)),
            _ => (text.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)), 0),
        },
    };
    mix(mix(first ^ (text.len() as u64) << 56) ^ last)
}

/// The dictionary of a column.
#[derive(Debug)]
pub enum Dictionary {
    /// Of numbers and times.
    Fixed(Fixed),
    /// Of texts.
    Texts(Texts),
}

impl Dictionary {
    /// Without values.
    pub fn new(width: Option<usize>) -> Dictionary {
        match width {
            Some(width) => Dictionary::Fixed(Fixed::new(width)),
            None => Dictionary::Texts(Texts::new()),
        }
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        match self {
            Dictionary::Fixed(d) => d.values.len(),
            Dictionary::Texts(d) => d.places.len(),
        }
    }

    /// The bytes of its page.
    pub fn bytes(&self) -> usize {
        match self {
            Dictionary::Fixed(d) => d.values.len() * d.width,
            Dictionary::Texts(d) => d.page.len(),
        }
    }

    /// The memory that it takes.
    pub fn memory(&self) -> usize {
        match self {
            Dictionary::Fixed(d) => d.slots.0.len() * 4 + d.values.capacity() * 8,
            Dictionary::Texts(d) => d.slots.0.len() * 4 + d.places.capacity() * 16 + d.page.capacity(),
        }
    }

    /// Its page. After that it is empty.
    pub fn take(&mut self) -> Vec<u8> {
        match self {
            Dictionary::Fixed(d) => {
                let page = d.plain();
                d.values.clear();
                d.slots.0.fill(EMPTY);
                page
            }
            Dictionary::Texts(d) => {
                d.places.clear();
                d.slots.0.fill(EMPTY);
                std::mem::take(&mut d.page)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn numbers<T: std::hash::Hash + Eq>(values: impl Iterator<Item = T>) -> Vec<u32> {
        let mut seen = HashMap::new();
        values
            .map(|v| {
                let next = seen.len() as u32;
                *seen.entry(v).or_insert(next)
            })
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn values_are_numbered_as_they_come(values in prop::collection::vec(prop_oneof![0u64..50, any::<u64>()], 0..3000)) {
            let mut fixed = Fixed::new(8);
            let mut found = vec![];
            for part in values.chunks(700) {
                fixed.number(part.iter().copied(), &mut found);
            }
            prop_assert_eq!(&found, &numbers(values.iter()));
            let plain = fixed.plain();
            let words: Vec<u64> = plain.as_chunks().0.iter().map(|c| u64::from_le_bytes(*c)).collect();
            let decoded: Vec<u64> = found.iter().map(|n| words[*n as usize]).collect();
            prop_assert_eq!(decoded, values);
        }

        #[test]
        fn texts_are_numbered_as_they_come(texts in prop::collection::vec(prop_oneof!["[ab]{0,3}", "[a-c]{0,24}", ".{0,40}"], 0..1000)) {
            let mut dictionary = Texts::new();
            let mut found = vec![];
            dictionary.number(texts.iter().map(|t| t.as_bytes()), &mut found);
            prop_assert_eq!(&found, &numbers(texts.iter()));
            let decoded: Vec<&[u8]> = found.iter().map(|n| dictionary.text(*n)).collect();
            prop_assert_eq!(decoded, texts.iter().map(|t| t.as_bytes()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_dictionary_begins_again() {
        for width in [Some(4), Some(8), None] {
            let mut dictionary = Dictionary::new(width);
            for _ in 0..2 {
                let mut found = vec![];
                match &mut dictionary {
                    Dictionary::Fixed(d) => d.number((0..5000).rev(), &mut found),
                    Dictionary::Texts(d) => {
                        let texts: Vec<String> = (0..5000).map(|i| i.to_string()).collect();
                        d.number(texts.iter().map(|t| t.as_bytes()), &mut found);
                    }
                }
                assert_eq!(found, (0..5000).collect::<Vec<u32>>());
                let bytes = dictionary.bytes();
                assert_eq!(dictionary.take().len(), bytes);
                assert_eq!((dictionary.len(), dictionary.bytes()), (0, 0));
            }
        }
    }
}
