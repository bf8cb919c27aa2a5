//! Columns of the rows that a filter has left, close together: what compiled functions read where they need not ask which rows are there, and what is
//! handed on where nothing is to be computed. Knows the layout of columns and their Arrow arrays; nothing of expressions.

use crate::abi::{BLOCK, Column};
use crate::compress::{self, Compress, compress};
use crate::emit::width;
use arrow::array::{ArrayRef, make_array};
use arrow::buffer::{BooleanBuffer, MutableBuffer, NullBuffer};
use flowc_ir::arrow_types::to_arrow;
use flowc_ir::{DataType, Type};

/// Stands for the validity of a column without nulls.
static ALL_VALID: u64 = u64::MAX;

/// A column that grows by the rows that stay.
pub(crate) struct Dense {
    data: DataType,
    values: Values,
    /// Bits of valid rows, where some may be null.
    valid: Option<Bits>,
    rows: usize,
    /// Rows that there is room for: whole blocks.
    room: usize,
}

enum Values {
    /// Only the validity is read.
    None,
    Bits(Bits),
    Wide {
        values: MutableBuffer,
        width: usize,
        compress: Compress,
    },
}

impl Dense {
    /// An empty column with room for `room` rows, which count as many as are appended, whether or not they stay. Nulls are kept if `nullable`.
    pub(crate) fn new(ty: &Type, nullable: bool, room: usize) -> Dense {
        let room = room.next_multiple_of(BLOCK);
        let values = match width(&ty.data) {
            _ if ty.data == DataType::Boolean => Values::Bits(Bits::new(room)),
            None => Values::None,
            // Zeros: functions read whole blocks, and what was never written may not be looked at.
            Some(width) => {
                Values::Wide { values: MutableBuffer::from_len_zeroed(room * width), width, compress: compress(width) }
            }
        };
        let valid = nullable.then(|| Bits::new(room));
        Dense { data: ty.data.clone(), values, valid, rows: 0, room }
    }

    /// Appends the rows of some blocks that stay: a bit for each in `words`. `column` begins with the first of the blocks.
    ///
    /// # Safety
    /// `column` has so many blocks, of the type given to [`Dense::new`].
    pub(crate) unsafe fn append(&mut self, column: &Column, words: &[u64]) {
        let (at, end) = (self.rows, self.rows + words.len() * BLOCK);
        assert!(end <= self.room, "there is room for all rows of the blocks");
        let word = |first: *const u8, step: i64, block: usize| {
            // SAFETY: the caller promises a word for each block, whose number is below that of `words`.
            unsafe { first.offset(step as isize * block as isize).cast::<u64>().read_unaligned() }
        };
        match &mut self.values {
            Values::None => {}
            Values::Bits(bits) => bits.append(at, words, |block| word(column.values, 8, block)),
            Values::Wide { values, width, compress } => {
                // SAFETY: the caller promises so many blocks; the room was compared.
                unsafe { compress(column.values, values.as_mut_ptr().add(at * *width), words) };
            }
        }
        if let Some(valid) = &mut self.valid {
            valid.append(at, words, |block| word(column.validity, column.validity_step, block));
        }
        self.rows += words.iter().map(|w| w.count_ones() as usize).sum::<usize>();
    }

    /// Takes out the first `rows` rows.
    pub(crate) fn remove(&mut self, rows: usize) {
        assert!(rows.is_multiple_of(BLOCK) && rows <= self.rows, "whole blocks that are there");
        let left = self.rows - rows;
        match &mut self.values {
            Values::None => {}
            Values::Bits(bits) => bits.remove(rows, self.rows),
            Values::Wide { values, width, .. } => values.copy_within(rows * *width..(rows + left) * *width, 0),
        }
        if let Some(valid) = &mut self.valid {
            valid.remove(rows, self.rows);
        }
        self.rows = left;
    }

    /// How many rows there are.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The column for a compiled function; whole blocks of it can be read.
    pub(crate) fn column(&self) -> Column {
        let values = match &self.values {
            Values::None => std::ptr::null(),
            Values::Bits(bits) => bits.words.as_ptr().cast(),
            Values::Wide { values, .. } => values.as_ptr(),
        };
        match &self.valid {
            Some(valid) => Column { values, validity: valid.words.as_ptr().cast(), validity_step: 8 },
            None => Column { values, validity: (&raw const ALL_VALID).cast(), validity_step: 0 },
        }
    }

    /// The rows as an array.
    pub(crate) fn finish(self) -> ArrayRef {
        let rows = self.rows;
        let nulls = self.valid.map(|bits| NullBuffer::new(bits.finish(rows))).filter(|n| n.null_count() > 0);
        let buffer = match self.values {
            Values::None => unreachable!("what is handed on has values"),
            Values::Bits(bits) => bits.finish(rows).into_inner(),
            Values::Wide { mut values, width, .. } => {
                values.truncate(rows * width);
                values.into()
            }
        };
        let builder = arrow::array::ArrayData::builder(to_arrow(&self.data)).len(rows).add_buffer(buffer).nulls(nulls);
        // SAFETY: one buffer of `rows` values of the type's width, or bits, which any bytes are valid for, and as many valid bits.
        make_array(unsafe { builder.build_unchecked() })
    }
}

/// A bitmap that grows. Bits behind the last row are zero.
struct Bits {
    words: Vec<u64>,
}

impl Bits {
    fn new(room: usize) -> Bits {
        // A word more: the bits of a block are written to two words.
        Bits { words: vec![0; room / BLOCK + 1] }
    }

    /// Appends those bits of the blocks' words that stay behind the first `rows`.
    fn append(&mut self, rows: usize, stay: &[u64], word: impl Fn(usize) -> u64) {
        let mut at = rows;
        for (block, &mask) in stay.iter().enumerate() {
            let bits = compress::bits(word(block), mask);
            let (first, shift) = (at / BLOCK, at % BLOCK);
            self.words[first] |= bits << shift;
            // In two steps, as a shift by 64 is none.
            self.words[first + 1] |= bits >> 1 >> (63 - shift);
            at += mask.count_ones() as usize;
        }
    }

    /// Takes the first `removed` bits, whole words, out of `rows`.
    fn remove(&mut self, removed: usize, rows: usize) {
        let (from, to) = (removed / BLOCK, rows.div_ceil(BLOCK));
        self.words.copy_within(from..to, 0);
        self.words[to - from..to].fill(0);
    }

    fn finish(self, rows: usize) -> BooleanBuffer {
        BooleanBuffer::new(self.words.into(), 0, rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Inputs;
    use arrow::array::{Array, BooleanArray, Int16Array};
    use arrow::compute::filter;
    use std::sync::Arc;

    fn column(inputs: &Inputs, first: usize, width: usize) -> Column {
        inputs.whole()[0].at_block(first, width)
    }

    #[test]
    fn rows_are_appended_and_removed_as_a_filter_would() {
        let values: Int16Array = (0..1024i16).map(|i| (i % 5 > 0).then_some(i)).collect();
        let flags: BooleanArray = (0..1024).map(|i| (i % 7 > 0).then_some(i % 3 == 0)).collect();
        let stays: BooleanArray = (0..1024).map(|i| Some(i * i % 11 < 5)).collect();
        let arrays: [(ArrayRef, DataType); 2] =
            [(Arc::new(values), DataType::Short), (Arc::new(flags), DataType::Boolean)];
        let words: Vec<u64> = stays.values().bit_chunks().iter().collect();
        for (array, data) in arrays {
            let ty = Type::nullable(data);
            let inputs = Inputs::new(std::iter::once((&array, &ty)), 1024);
            let width = width(&ty.data).expect("of fixed width");
            let bytes = if ty.data == DataType::Boolean { 0 } else { width };
            let mut dense = Dense::new(&ty, true, 1024);
            for first in (0..16).step_by(4) {
                // SAFETY: the column has 16 blocks.
                unsafe { dense.append(&column(&inputs, first, bytes), &words[first..first + 4]) };
            }
            let expected = filter(&array, &stays).expect("of one length");
            assert_eq!(dense.rows(), expected.len());
            dense.remove(128);
            // SAFETY: as above.
            unsafe { dense.append(&column(&inputs, 0, bytes), &words[..1]) };
            let again = filter(&array.slice(0, 64), &stays.slice(0, 64)).expect("of one length");
            let rest = expected.slice(128, expected.len() - 128);
            let expected = arrow::compute::concat(&[&*rest, &*again]).expect("of one type");
            assert_eq!(dense.finish().to_data(), expected.to_data());
        }
    }
}
