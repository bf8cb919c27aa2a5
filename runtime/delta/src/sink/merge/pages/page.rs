//! Takes rows out of one page of a column without lists, as it is encoded: plain values, or numbers of values in a dictionary. Pure. Knows encodings; nothing of
//! files and compression.

use super::Unfit;
use super::header::{Data, RLE};
use crate::sink::hybrid;
use parquet::basic::Type as Physical;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::statistics::Statistics;

const PLAIN: i32 = 0;
const PLAIN_DICTIONARY: i32 = 2;
const RLE_DICTIONARY: i32 = 8;

/// The width of plain values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    Bit,
    Bytes(usize),
    /// Each begins with its length.
    Varying,
}

/// One column of a row group, and what left it.
#[derive(Debug)]
pub struct Column {
    width: Width,
    float: bool,
    /// The definition level of a value that is not null.
    defined: u32,
    /// The least and the greatest value, where both are known exactly.
    bounds: Option<[Vec<u8>; 2]>,
    /// Their numbers in the dictionary.
    numbers: [Option<u32>; 2],
    /// Whether what left may have been the least or the greatest value.
    pub touched: bool,
    /// Nulls that left.
    pub nulls: u64,
}

/// What is left of a page.
#[derive(Debug, PartialEq, Eq)]
pub struct Left {
    /// Definition levels.
    pub levels: Vec<u8>,
    /// Values.
    pub values: Vec<u8>,
    /// Nulls among them.
    pub nulls: usize,
}

impl Column {
    /// A column of which nothing has left.
    pub fn new(chunk: &ColumnChunkMetaData) -> Result<Column, Unfit> {
        let column = chunk.column_descr();
        if column.max_rep_level() > 0 {
            return Err(Unfit("a list"));
        }
        let width = match column.physical_type() {
            Physical::BOOLEAN => Width::Bit,
            Physical::INT32 | Physical::FLOAT => Width::Bytes(4),
            Physical::INT64 | Physical::DOUBLE => Width::Bytes(8),
            Physical::INT96 => Width::Bytes(12),
            Physical::BYTE_ARRAY => Width::Varying,
            Physical::FIXED_LEN_BYTE_ARRAY => {
                Width::Bytes(usize::try_from(column.type_length()).map_err(|_| Unfit("a length"))?)
            }
        };
        // Only texts are cut short.
        let exact = |s: &&Statistics| !matches!(width, Width::Varying) || (s.min_is_exact() && s.max_is_exact());
        let float = matches!(column.physical_type(), Physical::FLOAT | Physical::DOUBLE);
        let bounds = chunk.statistics().filter(exact);
        let bounds = bounds.and_then(|s| Some([s.min_bytes_opt()?.to_vec(), s.max_bytes_opt()?.to_vec()]));
        let defined = column.max_def_level().max(0) as u32;
        Ok(Column { width, float, defined, bounds, numbers: [None; 2], touched: false, nulls: 0 })
    }

    /// Whether its values may be null.
    pub fn optional(&self) -> bool {
        self.defined > 0
    }

    /// Takes note of the column's dictionary.
    pub fn dictionary(&mut self, bytes: &[u8], values: usize) -> Result<(), Unfit> {
        let Some(bounds) = &self.bounds else { return Ok(()) };
        let (mut at, mut numbers) = (0, [None; 2]);
        for number in 0..values as u32 {
            let value = self.plain(bytes, &mut at)?;
            for (bound, found) in bounds.iter().zip(&mut numbers) {
                if self.same(value, bound) {
                    *found = Some(number);
                }
            }
        }
        self.numbers = numbers;
        Ok(())
    }

    /// The plain value that begins at a place, which is moved behind it.
    fn plain<'a>(&self, bytes: &'a [u8], at: &mut usize) -> Result<&'a [u8], Unfit> {
        let short = Unfit("values that end early");
        let length = match self.width {
            Width::Bytes(length) => length,
            Width::Varying => {
                let length: [u8; 4] = bytes.get(*at..*at + 4).and_then(|b| b.try_into().ok()).ok_or(short)?;
                *at += 4;
                u32::from_le_bytes(length) as usize
            }
            Width::Bit => return Err(Unfit("a dictionary of booleans")),
        };
        let value = bytes.get(*at..*at + length).ok_or(short)?;
        *at += length;
        Ok(value)
    }

    /// Statistics write zeros with another sign than values may have.
    fn same(&self, value: &[u8], bound: &[u8]) -> bool {
        let zero = |bytes: &[u8]| match bytes.split_last() {
            Some((last, rest)) => last & 0x7f == 0 && rest.iter().all(|b| *b == 0),
            None => false,
        };
        value == bound || (self.float && zero(value) && zero(bound))
    }

    fn removed(&mut self, value: &[u8]) {
        self.touched = self.touched
            || self.bounds.as_ref().is_none_or(|bounds| bounds.iter().any(|bound| self.same(value, bound)));
    }

    /// A page without the rows at `gone`, in order. `levels` and `values` are not compressed.
    pub fn without(&mut self, data: &Data, levels: &[u8], values: &[u8], gone: &[u32]) -> Result<Left, Unfit> {
        let (rows, mut left) = (data.values, Left { levels: vec![], values: vec![], nulls: 0 });
        if self.defined == 0 {
            left.values = self.values(data.encoding, values, rows, gone)?;
            return Ok(left);
        }
        if data.levels != RLE {
            return Err(Unfit("an old encoding of levels"));
        }
        let (width, mut numbers) = (32 - self.defined.leading_zeros(), vec![]);
        hybrid::decode(levels, width, rows, &mut numbers).ok_or(Unfit("levels"))?;
        let (mut gone_values, mut seen, mut next) = (Vec::with_capacity(gone.len()), 0u32, gone.iter().peekable());
        for (row, level) in numbers.iter().enumerate() {
            let leaves = next.next_if(|gone| **gone as usize == row).is_some();
            if *level == self.defined {
                if leaves {
                    gone_values.push(seen);
                }
                seen += 1;
            } else if leaves {
                self.nulls += 1;
            }
        }
        take_out(&mut numbers, gone);
        left.nulls = numbers.iter().filter(|level| **level != self.defined).count();
        hybrid::encode(&numbers, width, &mut left.levels);
        left.values = self.values(data.encoding, values, seen as usize, &gone_values)?;
        Ok(left)
    }

    /// `count` values without those at `gone`.
    fn values(&mut self, encoding: i32, values: &[u8], count: usize, gone: &[u32]) -> Result<Vec<u8>, Unfit> {
        match encoding {
            PLAIN => match self.width {
                Width::Bit => self.bits(values, count, gone),
                Width::Bytes(width) => self.fixed(values, width, count, gone),
                Width::Varying => self.varying(values, count, gone),
            },
            PLAIN_DICTIONARY | RLE_DICTIONARY => self.numbers(values, count, gone),
            _ => Err(Unfit("an encoding")),
        }
    }

    fn fixed(&mut self, values: &[u8], width: usize, count: usize, gone: &[u32]) -> Result<Vec<u8>, Unfit> {
        let size = count.checked_mul(width).ok_or(Unfit("a width"))?;
        let values = values.get(..size).ok_or(Unfit("values that end early"))?;
        let (mut out, mut from) = (Vec::with_capacity(values.len()), 0);
        for at in gone.iter().map(|at| *at as usize * width) {
            out.extend_from_slice(&values[from..at]);
            self.removed(&values[at..at + width]);
            from = at + width;
        }
        out.extend_from_slice(&values[from..]);
        Ok(out)
    }

    fn varying(&mut self, values: &[u8], count: usize, gone: &[u32]) -> Result<Vec<u8>, Unfit> {
        let (mut out, mut from, mut at) = (Vec::with_capacity(values.len()), 0, 0);
        let mut next = gone.iter().peekable();
        for number in 0..count {
            let begin = at;
            let value = self.plain(values, &mut at)?;
            if next.next_if(|gone| **gone as usize == number).is_some() {
                out.extend_from_slice(&values[from..begin]);
                self.removed(value);
                from = at;
            }
        }
        out.extend_from_slice(&values[from..at]);
        Ok(out)
    }

    fn bits(&mut self, values: &[u8], count: usize, gone: &[u32]) -> Result<Vec<u8>, Unfit> {
        if values.len() < count.div_ceil(8) {
            return Err(Unfit("values that end early"));
        }
        let bit = |at: usize| values[at / 8] >> (at % 8) & 1;
        let (mut out, mut kept) = (vec![0u8; (count - gone.len()).div_ceil(8)], 0);
        let mut next = gone.iter().peekable();
        for number in 0..count {
            if next.next_if(|gone| **gone as usize == number).is_some() {
                self.removed(&[bit(number)]);
            } else {
                out[kept / 8] |= bit(number) << (kept % 8);
                kept += 1;
            }
        }
        Ok(out)
    }

    fn numbers(&mut self, values: &[u8], count: usize, gone: &[u32]) -> Result<Vec<u8>, Unfit> {
        if count == gone.len() && count == 0 {
            return Ok(values.to_vec());
        }
        let (width, packed) = values.split_first().ok_or(Unfit("values that end early"))?;
        let mut numbers = vec![];
        hybrid::decode(packed, u32::from(*width), count, &mut numbers).ok_or(Unfit("numbers of a dictionary"))?;
        for at in gone {
            let number = Some(numbers[*at as usize]);
            self.touched |= self.bounds.is_none() || self.numbers.contains(&number);
        }
        take_out(&mut numbers, gone);
        let mut out = Vec::with_capacity(values.len() + 16);
        out.push(*width);
        hybrid::encode(&numbers, u32::from(*width), &mut out);
        Ok(out)
    }
}

/// Takes out the numbers at these places, which ascend.
fn take_out(numbers: &mut Vec<u32>, gone: &[u32]) {
    let Some(first) = gone.first() else { return };
    let (mut to, mut from) = (*first as usize, *first as usize);
    for (at, end) in gone.iter().zip(gone[1..].iter().map(|g| *g as usize).chain([numbers.len()])) {
        debug_assert_eq!(from, *at as usize);
        numbers.copy_within(from + 1..end, to);
        to += end - from - 1;
        from = end;
    }
    numbers.truncate(to);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(width: Width) -> Column {
        let bounds = Some([vec![1], vec![9]]);
        Column { width, float: false, defined: 0, bounds, numbers: [None; 2], touched: false, nulls: 0 }
    }

    fn plain(values: usize) -> Data {
        Data { values, encoding: PLAIN, levels: RLE, second: None }
    }

    #[test]
    fn rows_leave_plain_values() {
        let mut one = column(Width::Bytes(1));
        let left = one.without(&plain(5), &[], &[1, 2, 3, 4, 9], &[1, 3]).expect("fits");
        assert_eq!((left.values, one.touched), (vec![1, 3, 9], false));
        one.without(&plain(2), &[], &[2, 9], &[1]).expect("fits");
        assert!(one.touched, "the greatest value left");
    }

    #[test]
    fn rows_leave_texts_and_bits() {
        let texts = [1, 0, 0, 0, 5, 0, 0, 0, 0, 2, 0, 0, 0, 6, 7];
        let left = column(Width::Varying).without(&plain(3), &[], &texts, &[0, 1]).expect("fits");
        assert_eq!(left.values, [2, 0, 0, 0, 6, 7]);
        let left = column(Width::Bit).without(&plain(10), &[], &[0b0101_0101, 0b10], &[1, 3, 8]).expect("fits");
        assert_eq!(left.values, [0b101_0111]);
    }

    #[test]
    fn nulls_are_no_values() {
        let mut one = Column { defined: 1, ..column(Width::Bytes(1)) };
        let mut levels = vec![];
        hybrid::encode(&[1, 0, 1, 0, 1], 1, &mut levels);
        let left = one.without(&plain(5), &levels, &[5, 6, 7], &[1, 2]).expect("fits");
        assert_eq!((left.values, left.nulls, one.nulls), (vec![5, 7], 1, 1));
        let mut found = vec![];
        hybrid::decode(&left.levels, 1, 3, &mut found).expect("levels");
        assert_eq!(found, [1, 0, 1]);
    }

    #[test]
    fn numbers_stay_those_of_the_dictionary() {
        let mut one = column(Width::Bytes(1));
        one.dictionary(&[4, 9, 1], 3).expect("fits");
        let mut values = vec![2];
        hybrid::encode(&[0, 1, 2, 0], 2, &mut values);
        let data = Data { encoding: RLE_DICTIONARY, ..plain(4) };
        let left = one.without(&data, &[], &values, &[3]).expect("fits");
        assert!(!one.touched);
        let mut found = vec![];
        hybrid::decode(&left.values[1..], 2, 3, &mut found).expect("numbers");
        assert_eq!(found, [0, 1, 2]);
        one.without(&data, &[], &values, &[1]).expect("fits");
        assert!(one.touched);
    }

    #[test]
    fn what_ends_early_does_not_fit() {
        for width in [Width::Bit, Width::Bytes(4), Width::Varying] {
            assert!(column(width).without(&plain(9), &[], &[1], &[0]).is_err());
        }
        let dictionary = Data { encoding: RLE_DICTIONARY, ..plain(9) };
        assert!(column(Width::Bytes(4)).without(&dictionary, &[], &[], &[0]).is_err());
        assert!(column(Width::Bytes(4)).without(&Data { encoding: 5, ..plain(1) }, &[], &[1], &[0]).is_err());
    }
}
