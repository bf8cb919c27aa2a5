//! Which rows of a column without nesting are null: definition levels of one bit become a bitmap, and values that stand close become ones with gaps. Levels that say
//! nothing but "not null" cost a comparison a run. Knows levels; nothing of values' types.

use super::Damaged;
use arrow::array::BooleanBufferBuilder;
use arrow::buffer::{BooleanBuffer, NullBuffer};
use bytes::Bytes;

/// The rows of a batch that are not null, as far as it is read.
#[derive(Debug, Default)]
pub struct Validity {
    rows: usize,
    /// None: all of them.
    bits: Option<BooleanBufferBuilder>,
}

impl Validity {
    /// So many rows more, none of them null, or all of them.
    pub fn push(&mut self, count: usize, valid: bool) {
        if valid && self.bits.is_none() {
            self.rows += count;
            return;
        }
        self.bits().append_n(count, valid);
        self.rows += count;
    }

    /// Rows by their bits `from..from + count`.
    fn push_packed(&mut self, bytes: &[u8], from: usize, count: usize) {
        self.bits().append_packed_range(from..from + count, bytes);
        self.rows += count;
    }

    fn bits(&mut self) -> &mut BooleanBufferBuilder {
        let rows = self.rows;
        self.bits.get_or_insert_with(|| {
            let mut bits = BooleanBufferBuilder::new(rows + 1024);
            bits.append_n(rows, true);
            bits
        })
    }

    /// The last rows, as bits; none: no row was null so far.
    pub fn last(&self, count: usize) -> Option<BooleanBuffer> {
        let bits = self.bits.as_ref()?;
        let bytes = bits.as_slice();
        let first = (self.rows - count) / 8;
        let begin = (self.rows - count) % 8;
        Some(BooleanBuffer::new(bytes[first..].to_vec().into(), begin, count))
    }

    /// All of them, and begins anew.
    pub fn finish(&mut self) -> Option<NullBuffer> {
        self.rows = 0;
        let bits = self.bits.take()?.build();
        Some(NullBuffer::new(bits)).filter(|nulls| nulls.null_count() > 0)
    }
}

/// The definition levels of a page: one for a value, zero for null.
#[derive(Debug)]
pub struct Levels {
    bytes: Bytes,
    at: usize,
    /// What a run of equal levels says, and how many of them are left.
    equal: (bool, usize),
    /// The bits that are left of a packed run.
    packed: std::ops::Range<usize>,
}

impl Levels {
    /// Levels as they are encoded.
    pub fn new(bytes: Bytes) -> Levels {
        Levels { bytes, at: 0, equal: (true, 0), packed: 0..0 }
    }

    /// Tells of the next rows which are null. Returns how many are not.
    pub fn take(&mut self, mut count: usize, validity: &mut Validity) -> Result<usize, Damaged> {
        let mut valid = 0;
        while count > 0 {
            self.advance()?;
            if self.equal.1 > 0 {
                let run = self.equal.1.min(count);
                self.equal.1 -= run;
                validity.push(run, self.equal.0);
                valid += if self.equal.0 { run } else { 0 };
                count -= run;
            } else {
                let run = self.packed.len().min(count);
                let ones = ones(&self.bytes, self.packed.start, run);
                if ones == run {
                    validity.push(run, true);
                } else {
                    validity.push_packed(&self.bytes, self.packed.start, run);
                }
                self.packed.start += run;
                valid += ones;
                count -= run;
            }
        }
        Ok(valid)
    }

    /// Passes over so many rows. Returns how many are not null.
    pub fn skip(&mut self, mut count: usize) -> Result<usize, Damaged> {
        let mut valid = 0;
        while count > 0 {
            self.advance()?;
            let run = if self.equal.1 > 0 {
                let run = self.equal.1.min(count);
                self.equal.1 -= run;
                valid += if self.equal.0 { run } else { 0 };
                run
            } else {
                let run = self.packed.len().min(count);
                valid += ones(&self.bytes, self.packed.start, run);
                self.packed.start += run;
                run
            };
            count -= run;
        }
        Ok(valid)
    }

    /// Begins the next run, if none is left.
    fn advance(&mut self) -> Result<(), Damaged> {
        if self.equal.1 > 0 || !self.packed.is_empty() {
            return Ok(());
        }
        let short = Damaged("definition levels that end early");
        let head = super::hybrid::varint(&self.bytes, &mut self.at).ok_or(short)?;
        let count = usize::try_from(head >> 1).map_err(|_| short)?;
        if head & 1 == 0 {
            let level = *self.bytes.get(self.at).ok_or(short)?;
            self.at += 1;
            if level > 1 {
                return Err(Damaged("a definition level that is too high"));
            }
            self.equal = (level == 1, count);
        } else {
            let bytes = count.min(self.bytes.len() - self.at);
            self.packed = self.at * 8..(self.at + bytes) * 8;
            self.at += bytes;
        }
        if self.equal.1 == 0 && self.packed.is_empty() { Err(short) } else { Ok(()) }
    }
}

/// How many of these bits are set.
fn ones(bytes: &[u8], from: usize, count: usize) -> usize {
    let bit = |at: usize| usize::from(bytes[at / 8] >> (at % 8) & 1);
    let end = from + count;
    let (first, last) = (from.next_multiple_of(8).min(end), end / 8 * 8);
    if first >= last {
        return (from..end).map(bit).sum();
    }
    let (words, rest) = bytes[first / 8..last / 8].as_chunks::<8>();
    let whole: u32 = words.iter().map(|word| u64::from_le_bytes(*word).count_ones()).sum();
    let whole = whole + rest.iter().map(|byte| byte.count_ones()).sum::<u32>();
    whole as usize + (from..first).map(bit).sum::<usize>() + (last..end).map(bit).sum::<usize>()
}

/// Appends a value for each bit: the next one of `dense` where it is set, else `null(last value)`.
pub fn spread<T: Copy>(dense: &[T], valid: &BooleanBuffer, out: &mut Vec<T>, null: impl Fn(&[T]) -> T) {
    let mut left = dense;
    let mut word = |mut bits: u64, mut count: usize| {
        while count > 0 {
            let run = (bits.trailing_ones() as usize).min(count).min(left.len());
            out.extend_from_slice(&left[..run]);
            left = &left[run..];
            (bits, count) = (if run < 64 { bits >> run } else { 0 }, count - run);
            let gap = (bits.trailing_zeros() as usize).min(count);
            if gap > 0 {
                let value = null(out);
                out.extend(std::iter::repeat_n(value, gap));
                (bits, count) = (if gap < 64 { bits >> gap } else { 0 }, count - gap);
            } else if run == 0 {
                return;
            }
        }
    };
    let chunks = valid.bit_chunks();
    chunks.iter().for_each(|bits| word(bits, 64));
    word(chunks.remainder_bits(), chunks.remainder_len());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::hybrid;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn levels_become_bits(
            runs in prop::collection::vec((any::<bool>(), 1usize..90), 0..40),
            steps in prop::collection::vec((any::<bool>(), 1usize..300), 1..20),
        ) {
            let rows: Vec<bool> = runs.iter().flat_map(|(valid, times)| vec![*valid; *times]).collect();
            let mut bytes = vec![];
            hybrid::encode(&rows.iter().map(|valid| u32::from(*valid)).collect::<Vec<_>>(), 1, &mut bytes);
            let (mut levels, mut validity, mut at, mut kept) = (Levels::new(bytes.into()), Validity::default(), 0, vec![]);
            for (skips, count) in steps {
                let count = count.min(rows.len() - at);
                let these = &rows[at..at + count];
                let valid = if skips { levels.skip(count) } else { levels.take(count, &mut validity) };
                prop_assert_eq!(valid.expect("there are so many"), these.iter().filter(|v| **v).count());
                if !skips {
                    kept.extend(these);
                    let last: Option<Vec<bool>> = validity.last(count).map(|bits| bits.iter().collect());
                    prop_assert_eq!(last.unwrap_or(vec![true; count]), these);
                }
                at += count;
            }
            let nulls = validity.finish();
            prop_assert_eq!(nulls.is_some(), kept.contains(&false));
            prop_assert!(nulls.is_none_or(|nulls| nulls.iter().eq(kept.iter().copied())));
        }

        #[test]
        fn any_levels_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..60), steps in prop::collection::vec((any::<bool>(), 1usize..700), 0..20)) {
            let (mut levels, mut validity) = (Levels::new(bytes.into()), Validity::default());
            for (skips, count) in steps {
                if (if skips { levels.skip(count) } else { levels.take(count, &mut validity) }).is_err() {
                    break;
                }
            }
        }

        #[test]
        fn values_stand_where_bits_are_set(rows in prop::collection::vec(prop::option::weighted(0.9, any::<i32>()), 0..300), cut in 0usize..40) {
            let bits: BooleanBuffer = rows.iter().map(Option::is_some).collect();
            let cut = cut.min(rows.len());
            let (bits, rows) = (bits.slice(cut, rows.len() - cut), &rows[cut..]);
            let dense: Vec<i32> = rows.iter().flatten().copied().collect();
            let mut out = vec![];
            spread(&dense, &bits, &mut out, |_| 0);
            prop_assert_eq!(out, rows.iter().map(|row| row.unwrap_or(0)).collect::<Vec<_>>());
        }
    }
}
