//! Values of four or eight bytes, as they are or as numbers in a dictionary, straight into the buffer of an array. Knows encodings; nothing of pages and nulls.

use super::hybrid::{Hybrid, Piece};
use super::{Damaged, Decoder, indices};
use arrow::array::{ArrayRef, ArrowPrimitiveType, PrimitiveArray};
use arrow::buffer::{BooleanBuffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::{ArrowNativeType, DataType};
use bytes::Bytes;
use parquet::basic::Encoding;
use std::sync::Arc;

/// A number as Parquet stores it.
pub trait Number: ArrowNativeType {
    /// The numbers that whole values of some bytes are, appended.
    fn append(bytes: &[u8], out: &mut Vec<Self>);
}

macro_rules! number {
    ($($native:ty)*) => {
        $(impl Number for $native {
            fn append(bytes: &[u8], out: &mut Vec<Self>) {
                let (values, _) = bytes.as_chunks::<{ size_of::<$native>() }>();
                out.extend(values.iter().map(|value| <$native>::from_le_bytes(*value)));
            }
        })*
    };
}
number!(i32 i64 f32 f64);

/// The values of a page that are left.
#[derive(Debug)]
enum Values {
    Plain(Bytes),
    Numbers(Hybrid),
}

/// See the module.
#[derive(Debug)]
pub struct Numbers<T: ArrowPrimitiveType> {
    dictionary: Vec<T::Native>,
    values: Values,
    out: Vec<T::Native>,
    /// Values before nulls get their places among them.
    dense: Vec<T::Native>,
    data: DataType,
}

impl<T: ArrowPrimitiveType<Native: Number>> Numbers<T> {
    /// Of arrays of this type, which stores its values as Parquet does.
    pub fn new(data: DataType) -> Numbers<T> {
        Numbers { dictionary: vec![], values: Values::Plain(Bytes::new()), out: vec![], dense: vec![], data }
    }

    fn dense(&mut self, count: usize, spread: bool) -> Result<(), Damaged> {
        let out = if spread { &mut self.dense } else { &mut self.out };
        match &mut self.values {
            Values::Plain(bytes) => {
                let size = count * size_of::<T::Native>();
                if bytes.len() < size {
                    return Err(Damaged("values that end early"));
                }
                T::Native::append(&bytes.split_to(size), out);
            }
            Values::Numbers(numbers) => {
                let mut left = count;
                while left > 0 {
                    left -= match numbers.take(left)? {
                        Piece::Equal(number, times) => {
                            let value = *self.dictionary.get(number as usize).ok_or(super::BEYOND)?;
                            out.extend(std::iter::repeat_n(value, times));
                            times
                        }
                        Piece::Each(numbers) => {
                            if numbers.iter().fold(0, |most, n| most.max(*n)) as usize >= self.dictionary.len() {
                                return Err(super::BEYOND);
                            }
                            out.extend(numbers.iter().map(|number| self.dictionary[*number as usize]));
                            numbers.len()
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

impl<T: ArrowPrimitiveType<Native: Number>> Decoder for Numbers<T> {
    fn dictionary(&mut self, bytes: Bytes, count: usize) -> Result<(), Damaged> {
        self.dictionary.clear();
        if bytes.len() / size_of::<T::Native>() < count {
            return Err(Damaged("a dictionary that ends early"));
        }
        T::Native::append(&bytes[..count * size_of::<T::Native>()], &mut self.dictionary);
        Ok(())
    }

    fn page(&mut self, encoding: Encoding, bytes: Bytes) -> Result<(), Damaged> {
        self.values = match encoding {
            Encoding::PLAIN => Values::Plain(bytes),
            _ => Values::Numbers(indices(encoding, bytes)?),
        };
        Ok(())
    }

    fn begin(&mut self, rows: usize) {
        self.out.reserve_exact(rows);
    }

    fn read(&mut self, count: usize) -> Result<(), Damaged> {
        self.dense(count, false)
    }

    fn read_spread(&mut self, count: usize, valid: &BooleanBuffer) -> Result<(), Damaged> {
        self.dense.clear();
        self.dense(count, true)?;
        super::validity::spread(&self.dense, valid, &mut self.out, |_| T::Native::default());
        Ok(())
    }

    fn skip(&mut self, count: usize) -> Result<(), Damaged> {
        match &mut self.values {
            Values::Plain(bytes) => {
                let size = count * size_of::<T::Native>();
                if bytes.len() < size {
                    return Err(Damaged("values that end early"));
                }
                *bytes = bytes.split_off(size);
                Ok(())
            }
            Values::Numbers(numbers) => numbers.skip(count),
        }
    }

    fn finish(&mut self, nulls: Option<NullBuffer>) -> Result<ArrayRef, Damaged> {
        let values = ScalarBuffer::from(std::mem::take(&mut self.out));
        let array = PrimitiveArray::<T>::try_new(values, nulls).map_err(|_| Damaged("other values than rows"))?;
        Ok(Arc::new(array.with_data_type(self.data.clone())))
    }
}
