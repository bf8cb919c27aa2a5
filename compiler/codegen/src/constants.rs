//! Columns of constant texts by their numbers: what a classification yields. Knows arrays; nothing of programs.

use arrow::array::{ArrayRef, Int32Array, StringArray};
use arrow::buffer::{Buffer, OffsetBuffer};
use arrow::compute::take;
use flowc_ir::arrow_values::build_array;
use flowc_ir::{DataType, Value};
use std::sync::Arc;

/// Texts up to this length are copied whole blocks at a time.
const BLOCK: usize = 16;

/// The constants that a column is made of.
#[derive(Debug)]
pub(crate) struct Constants {
    values: ArrayRef,
    /// The texts in blocks of one length, with their own lengths; none if one of them is null or longer.
    blocks: Option<Vec<([u8; BLOCK], usize)>>,
}

impl Constants {
    pub(crate) fn new(data: &DataType, values: &[Value]) -> Constants {
        let block = |value: &Value| {
            let Value::String(text) = value else { return None };
            let mut block = [0; BLOCK];
            block.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
            Some((block, text.len()))
        };
        let blocks = values.iter().map(block).collect();
        Constants { values: build_array(data, values), blocks }
    }

    /// The column in which each row is the constant of that number. Panics if there is none.
    pub(crate) fn choose(&self, numbers: &[i32]) -> ArrayRef {
        if let Some(blocks) = &self.blocks
            && numbers.len() <= i32::MAX as usize / BLOCK
        {
            return Arc::new(short(blocks, numbers));
        }
        let numbers = Int32Array::from(numbers.to_vec());
        take(&self.values, &numbers, None).expect("each number is that of a constant")
    }
}

/// Each block is written whole, and the next one over what of it is not text.
fn short(blocks: &[([u8; BLOCK], usize)], numbers: &[i32]) -> StringArray {
    let length: usize = numbers.iter().map(|n| blocks[*n as usize].1).sum();
    let mut bytes = vec![0; length + BLOCK];
    let mut offsets = Vec::with_capacity(numbers.len() + 1);
    let mut at = 0;
    offsets.push(0);
    for number in numbers {
        let (block, length) = &blocks[*number as usize];
        bytes[at..at + BLOCK].copy_from_slice(block);
        at += length;
        offsets.push(at as i32);
    }
    bytes.truncate(length);
    // SAFETY: offsets begin at 0 and grow by the lengths of texts; their sum, which is below 2^31 as there are at most 2^31 / 16 rows of 16 bytes,
    // is the number of bytes. Between two offsets stands one whole text, so each is UTF-8.
    unsafe {
        let offsets = OffsetBuffer::new_unchecked(offsets.into());
        StringArray::new_unchecked(offsets, Buffer::from_vec(bytes), None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Array;

    #[test]
    fn rows_are_their_constants() {
        let text = |t: &str| Value::String(t.to_string());
        let sets = [
            vec![text(""), text("é"), text("sixteen bytes ok")],
            vec![text("seventeen bytes !"), text("a"), text("")],
            vec![text("a"), Value::Null, text("b")],
        ];
        for set in sets {
            let constants = Constants::new(&DataType::String, &set);
            for numbers in [vec![], vec![2], vec![0, 1, 2, 2, 1, 0, 0, 2, 1, 1]] {
                let column = constants.choose(&numbers);
                let wanted: Vec<Value> = numbers.iter().map(|n| set[*n as usize].clone()).collect();
                assert_eq!(column.to_data(), build_array(&DataType::String, &wanted).to_data());
                column.to_data().validate_full().expect("a valid column");
            }
        }
    }
}
