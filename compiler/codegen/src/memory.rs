//! Arrow arrays as the memory that compiled functions read and write, and back. Knows arrays and the layout of arguments; nothing of expressions.

use crate::abi::{BLOCK, Column, Target};
use crate::emit::{Nulls, width};
use arrow::array::{Array, ArrayRef, make_array};
use arrow::buffer::{BooleanBuffer, Buffer, MutableBuffer, NullBuffer};
use arrow::datatypes::DataType as ArrowType;
use flowc_ir::arrow_types::to_arrow;
use flowc_ir::{DataType, Type};

/// Stands for the validity of a column without nulls.
static ALL_VALID: u64 = u64::MAX;

/// The columns of a batch, ready to be read in blocks: all whole blocks from where they are, the rest from a copy of 64 rows.
pub(crate) struct Inputs {
    whole: Vec<Column>,
    rest: Vec<Column>,
    /// What the pointers point to, besides the arrays themselves.
    _owned: Vec<Owned>,
}

enum Owned {
    Array(#[allow(dead_code, reason = "kept alive for the pointers into it")] ArrayRef),
    Bits(#[allow(dead_code, reason = "kept alive for the pointers into it")] BooleanBuffer),
    Rest(#[allow(dead_code, reason = "kept alive for the pointers into it")] Box<Rest>),
}

/// The rows behind the last whole block.
#[repr(C)]
struct Rest {
    values: [u128; BLOCK],
    validity: u64,
}

impl Inputs {
    /// Prepares columns of `rows` rows.
    pub(crate) fn new<'a>(columns: impl Iterator<Item = (&'a ArrayRef, &'a Type)>, rows: usize) -> Inputs {
        let mut inputs = Inputs { whole: vec![], rest: vec![], _owned: vec![] };
        for (array, ty) in columns {
            assert_eq!(array.len(), rows, "all columns of a batch have its length");
            let read = ty.data.is_fixed_width();
            assert!(!read || *array.data_type() == to_arrow(&ty.data), "columns have the types of the program's input");
            inputs.column(array, ty, rows);
        }
        inputs
    }

    fn column(&mut self, array: &ArrayRef, ty: &Type, rows: usize) {
        let whole = rows / BLOCK * BLOCK;
        let mut rest = Box::new(Rest { values: [0; BLOCK], validity: u64::MAX });
        let mut values = std::ptr::null();
        if ty.data == DataType::Boolean {
            let bits = boolean_values(array);
            rest.values[0] = u128::from(tail(&bits, whole));
            values = self.words(bits);
        } else if let Some(width) = width(&ty.data) {
            let data = array.to_data();
            let bytes = &data.buffers()[0].as_slice()[data.offset() * width..][..rows * width];
            values = bytes.as_ptr();
            let rest = as_bytes(&mut rest.values);
            rest[..(rows - whole) * width].copy_from_slice(&bytes[whole * width..]);
        }
        let (mut validity, mut validity_step) = ((&raw const ALL_VALID).cast(), 0);
        if let Some(nulls) = array.logical_nulls() {
            rest.validity = tail(nulls.inner(), whole);
            validity = self.words(nulls.inner().clone());
            validity_step = 8;
        }
        self.whole.push(Column { values, validity, validity_step });
        let rest_values = (&raw const rest.values).cast();
        let rest_validity = (&raw const rest.validity).cast();
        self.rest.push(Column { values: rest_values, validity: rest_validity, validity_step: 0 });
        self._owned.extend([Owned::Array(array.clone()), Owned::Rest(rest)]);
    }

    /// The address of a bitmap's first word; moved if it does not begin with a byte.
    fn words(&mut self, bits: BooleanBuffer) -> *const u8 {
        let bits = match bits.offset() % 8 {
            0 => bits,
            _ => BooleanBuffer::new(bits.sliced(), 0, bits.len()),
        };
        let address = bits.values()[bits.offset() / 8..].as_ptr();
        self._owned.push(Owned::Bits(bits));
        address
    }

    /// Columns of the whole blocks.
    pub(crate) fn whole(&self) -> &[Column] {
        &self.whole
    }

    /// Columns of the one block behind them.
    pub(crate) fn rest(&self) -> &[Column] {
        &self.rest
    }
}

fn boolean_values(array: &ArrayRef) -> BooleanBuffer {
    let array = array.as_any().downcast_ref::<arrow::array::BooleanArray>();
    array.expect("the type was compared").values().clone()
}

/// The bits behind the last whole block.
fn tail(bits: &BooleanBuffer, whole: usize) -> u64 {
    bits.slice(whole, bits.len() - whole).bit_chunks().remainder_bits()
}

fn as_bytes(values: &mut [u128; BLOCK]) -> &mut [u8] {
    // SAFETY: any 128-bit integer is sixteen bytes, of any values; the borrow goes on.
    unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), BLOCK * 16) }
}

/// A column being written. There is room for whole blocks, as vectors write those.
pub(crate) struct Output {
    values: MutableBuffer,
    nulls: MutableBuffer,
    how: Nulls,
    data: DataType,
}

impl Output {
    /// Room for `rows` values, and for what is written of their nulls.
    pub(crate) fn new(data: &DataType, how: Nulls, rows: usize) -> Output {
        let width = width(data).expect("machine code writes types of fixed width");
        let rows = rows.next_multiple_of(BLOCK);
        let nulls = match how {
            Nulls::Never => 0,
            Nulls::Bytes => rows,
            Nulls::Words => rows / 8,
        };
        Output { values: MutableBuffer::new(rows * width), nulls: MutableBuffer::new(nulls), how, data: data.clone() }
    }

    /// Where the values from row `from` on go: the first of a block, and not beyond the room.
    pub(crate) fn target(&mut self, from: usize) -> Target {
        let width = width(&self.data).expect("machine code writes types of fixed width");
        let nulls = match self.how {
            Nulls::Never => 0,
            Nulls::Bytes => from,
            Nulls::Words => from / 8,
        };
        assert!(from.is_multiple_of(BLOCK) && from * width <= self.values.capacity() && nulls <= self.nulls.capacity());
        // SAFETY: both offsets are within the room.
        unsafe {
            Target { values: self.values.as_mut_ptr().add(from * width), nulls: self.nulls.as_mut_ptr().add(nulls) }
        }
    }

    /// The array of the first `rows` values.
    ///
    /// # Safety
    /// So many values have been written, and their nulls as said when this was made; no more than there is room for.
    pub(crate) unsafe fn finish(self, rows: usize) -> ArrayRef {
        let Output { mut values, mut nulls, how, data } = self;
        let valid = match how {
            Nulls::Never => None,
            Nulls::Bytes => {
                // SAFETY: the caller's promise.
                unsafe { nulls.set_len(rows) };
                Some(!&BooleanBuffer::new(pack(&nulls), 0, rows))
            }
            Nulls::Words => {
                // SAFETY: the caller's promise; the words of whole blocks have at least a bit for each row.
                unsafe { nulls.set_len(rows.div_ceil(8)) };
                Some(BooleanBuffer::new(nulls.into(), 0, rows))
            }
        };
        let nulls = valid.map(NullBuffer::new).filter(|n| n.null_count() > 0);
        let width = width(&data).expect("machine code writes types of fixed width");
        // SAFETY: the caller's promise.
        unsafe { values.set_len(rows * width) };
        let ty = to_arrow(&data);
        let buffer = if ty == ArrowType::Boolean { pack(&values) } else { values.into() };
        let builder = arrow::array::ArrayData::builder(ty).len(rows).add_buffer(buffer).nulls(nulls);
        // SAFETY: one buffer of `rows` values of the type's width, or bits, which any bytes are valid for, and as many valid bits.
        make_array(unsafe { builder.build_unchecked() })
    }
}

/// Bytes of 0 and 1 as bits.
fn pack(bytes: &[u8]) -> Buffer {
    let mut bits = MutableBuffer::with_capacity(bytes.len().div_ceil(8));
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let word = u64::from_le_bytes(chunk.try_into().expect("chunks have eight bytes"));
        // Moves the lowest bit of byte i to bit 56 + i: the products do not overlap.
        bits.push((word.wrapping_mul(0x0102_0408_1020_4080) >> 56) as u8);
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        bits.push(rest.iter().enumerate().fold(0u8, |byte, (i, bit)| byte | bit << i));
    }
    bits.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_bits() {
        let bytes: Vec<u8> = (0..77u32).map(|i| u8::from(i * i % 7 < 3)).collect();
        let bits = BooleanBuffer::new(pack(&bytes), 0, bytes.len());
        assert_eq!(bits.iter().map(u8::from).collect::<Vec<_>>(), bytes);
    }
}
