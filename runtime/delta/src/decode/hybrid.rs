//! Parquet's runs of equal numbers and of packed bits, read piece by piece: levels, and numbers of values in a dictionary. Knows the encoding ("RLE / bit-packing
//! hybrid" in the Parquet format); nothing of pages. What is packed is unpacked at the borders of groups, wherever a reader stops.

use super::Damaged;
use super::unpack::{GROUP, unpack};
use bytes::Bytes;

/// Numbers that are unpacked at a time: what writers pack at most in one run.
const AT_ONCE: usize = 512;

/// Numbers that stand in a row.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// One so many times.
    Equal(u32, usize),
    /// These.
    Each(&'a [u32]),
}

/// Numbers of `width` bits.
#[derive(Debug)]
pub struct Hybrid {
    bytes: Bytes,
    at: usize,
    width: u32,
    /// The number of a run of equal ones, and how many of them are left.
    equal: (u32, usize),
    /// Packed numbers that are left.
    packed: usize,
    /// Those of them that are unpacked already, and the part that was not taken yet.
    buffer: Box<[u32; AT_ONCE]>,
    ready: (usize, usize),
}

impl Hybrid {
    /// Numbers of so many bits, 32 at most.
    pub fn new(bytes: Bytes, width: u32) -> Result<Hybrid, Damaged> {
        if width > 32 {
            return Err(Damaged("numbers of more than 32 bits"));
        }
        Ok(Hybrid { bytes, at: 0, width, equal: (0, 0), packed: 0, buffer: Box::new([0; AT_ONCE]), ready: (0, 0) })
    }

    /// The next numbers, between one and `most` of them.
    pub fn take(&mut self, most: usize) -> Result<Piece<'_>, Damaged> {
        if self.ready.0 == self.ready.1 && self.equal.1 == 0 {
            if self.packed == 0 {
                self.head()?;
            }
            if self.packed > 0 {
                self.fill();
            }
        }
        if self.equal.1 > 0 {
            let count = self.equal.1.min(most);
            self.equal.1 -= count;
            return Ok(Piece::Equal(self.equal.0, count));
        }
        let begin = self.ready.0;
        self.ready.0 = self.ready.1.min(begin + most);
        Ok(Piece::Each(&self.buffer[begin..self.ready.0]))
    }

    /// Passes over so many numbers.
    pub fn skip(&mut self, mut count: usize) -> Result<(), Damaged> {
        while count > 0 {
            // Whole groups of a packed run need not be unpacked.
            let groups = self.packed.min(count) / GROUP;
            if self.ready.0 == self.ready.1 && self.equal.1 == 0 && groups > 0 {
                self.at += groups * self.width as usize;
                self.packed -= groups * GROUP;
                count -= groups * GROUP;
                continue;
            }
            count -= match self.take(count)? {
                Piece::Equal(_, count) => count,
                Piece::Each(numbers) => numbers.len(),
            };
        }
        Ok(())
    }

    /// Begins the next run.
    fn head(&mut self) -> Result<(), Damaged> {
        let short = Damaged("numbers that end early");
        let head = varint(&self.bytes, &mut self.at).ok_or(short)?;
        let count = usize::try_from(head >> 1).map_err(|_| short)?;
        if count == 0 {
            return Err(Damaged("an empty run"));
        }
        if head & 1 == 0 {
            let size = self.width.div_ceil(8) as usize;
            let mut value = [0; 4];
            value[..size].copy_from_slice(self.bytes.get(self.at..self.at + size).ok_or(short)?);
            self.at += size;
            self.equal = (u32::from_le_bytes(value), count);
            return Ok(());
        }
        let left = (self.bytes.len() - self.at).saturating_mul(8);
        // The last group may be cut short by its writer.
        let there = if self.width == 0 { usize::MAX } else { left / self.width as usize };
        self.packed = count.saturating_mul(GROUP).min(there);
        if self.packed == 0 { Err(short) } else { Ok(()) }
    }

    fn fill(&mut self) {
        let count = self.packed.min(AT_ONCE);
        let room = count.div_ceil(GROUP) * GROUP;
        let bytes = self.bytes.get(self.at..).unwrap_or_default();
        unpack(bytes, self.width, &mut self.buffer[..room]);
        self.at += room / GROUP * self.width as usize;
        self.packed -= count;
        self.ready = (0, count);
    }
}

/// A number, seven bits a byte.
pub(super) fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::hybrid;
    use proptest::prelude::*;

    fn read(reader: &mut Hybrid, count: usize) -> Result<Vec<u32>, Damaged> {
        let mut found = vec![];
        while found.len() < count {
            match reader.take(count - found.len())? {
                Piece::Equal(number, times) => found.extend(vec![number; times]),
                Piece::Each(numbers) => found.extend(numbers),
            }
        }
        Ok(found)
    }

    proptest! {
        #[test]
        fn any_bytes_do_no_harm(width in 0u32..=32, bytes in prop::collection::vec(any::<u8>(), 0..60), steps in prop::collection::vec((any::<bool>(), 1usize..700), 0..20)) {
            let mut reader = Hybrid::new(bytes.into(), width).expect("a width");
            for (skips, count) in steps {
                let done = if skips { reader.skip(count) } else { reader.take(count).map(|_| ()) };
                if done.is_err() {
                    break;
                }
            }
        }

        #[test]
        fn what_is_encoded_is_read_whole_or_in_parts(
            width in 0u32..=32,
            runs in prop::collection::vec((any::<u32>(), 1usize..90), 0..40),
            steps in prop::collection::vec((any::<bool>(), 1usize..300), 1..20),
        ) {
            let mask = ((1u64 << width) - 1) as u32;
            let numbers: Vec<u32> = runs.iter().flat_map(|(n, times)| (0..*times as u32).map(move |i| (n.wrapping_add(i * (times % 2) as u32)) & mask)).collect();
            let mut bytes = vec![];
            hybrid::encode(&numbers, width, &mut bytes);
            let bytes = Bytes::from(bytes);
            let mut reader = Hybrid::new(bytes.clone(), width).expect("a width");
            prop_assert_eq!(read(&mut reader, numbers.len()).expect("reads"), numbers.clone());
            let mut reader = Hybrid::new(bytes, width).expect("a width");
            let mut at = 0;
            for (skips, count) in steps {
                let count = count.min(numbers.len() - at);
                if count == 0 {
                    break;
                }
                if skips {
                    reader.skip(count).expect("skips");
                    at += count;
                } else {
                    let taken = match reader.take(count).expect("takes") {
                        Piece::Equal(number, times) => vec![number; times],
                        Piece::Each(numbers) => numbers.to_vec(),
                    };
                    prop_assert_eq!(&taken[..], &numbers[at..at + taken.len()]);
                    at += taken.len();
                }
            }
        }
    }
}
