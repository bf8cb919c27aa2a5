//! Operands in a form in which they are compared and kept: a word each where the type allows it, else a byte string. Knows nothing of groups, or of how often rows are
//! there.

use super::zset::{Codec, Encoded};
use crate::error::RunError;
use crate::keys::Bytes;
use crate::operators::internal;
use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Float32Array, Float64Array, Int64Array,
};
use arrow::array::{PrimitiveArray, make_array};
use arrow::compute::cast;
use arrow::datatypes::TimestampMicrosecondType;
use arrow::datatypes::{DataType, Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};
use std::cmp::Ordering;
use std::sync::Arc;

/// The bit that makes the order of signed numbers that of unsigned ones.
const SIGN: u64 = 1 << 63;

/// Turns operands into [`Values`] and back. Their order is flowc's, and where values are equal, but not the same (0.0 and -0.0), that of their bits; every NaN is the
/// same, and the greatest.
#[derive(Debug)]
pub(super) enum Coder {
    /// One operand of at most 64 bits.
    Word(DataType),
    /// Any.
    Row(Codec),
}

/// Operands, one behind the other.
#[derive(Debug)]
pub(super) enum Values {
    Words(Vec<u64>),
    Bytes(Bytes),
}

/// Some operands, picked.
#[derive(Debug)]
pub(super) enum Picked<'a> {
    Words(Vec<u64>),
    Bytes(Vec<&'a [u8]>),
}

/// Operands of a batch, on their way into [`Values`].
#[derive(Debug)]
pub(super) enum Coded {
    Words(Vec<u64>),
    Rows(Encoded),
}

fn is_word(data: &DataType) -> bool {
    use DataType::{Boolean, Date32, Float32, Float64, Int8, Int16, Int32, Int64, Timestamp};
    matches!(data, Boolean | Date32 | Float32 | Float64 | Int8 | Int16 | Int32 | Int64 | Timestamp(..))
}

fn of_float(x: f64) -> u64 {
    let bits = if x.is_nan() { f64::NAN.to_bits() } else { x.to_bits() };
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

fn to_float(word: u64) -> f64 {
    f64::from_bits(if word & SIGN == 0 { !word } else { word & !SIGN })
}

fn integers<T: ArrowPrimitiveType>(column: &ArrayRef) -> Result<Vec<u64>, RunError>
where
    T::Native: Into<i64>,
{
    let column = column.as_primitive_opt::<T>().ok_or_else(|| internal("an operand has another type"))?;
    Ok(column.values().iter().map(|value| (*value).into() as u64 ^ SIGN).collect())
}

impl Coder {
    /// For operands of these types.
    pub(super) fn new(types: &[DataType]) -> Result<Coder, RunError> {
        Ok(match types {
            [data] if is_word(data) => Coder::Word(data.clone()),
            types => Coder::Row(Codec::new(types, &[])?),
        })
    }

    /// None of such operands.
    pub(super) fn empty(&self) -> Values {
        match self {
            Coder::Word(_) => Values::Words(vec![]),
            Coder::Row(_) => Values::Bytes(Bytes::default()),
        }
    }

    /// The same, of operands that are picked.
    pub(super) fn none_picked<'a>(&self) -> Picked<'a> {
        match self {
            Coder::Word(_) => Picked::Words(vec![]),
            Coder::Row(_) => Picked::Bytes(vec![]),
        }
    }

    /// What is null has some word.
    pub(super) fn encode(&self, columns: &[ArrayRef]) -> Result<Coded, RunError> {
        let data = match self {
            Coder::Row(codec) => return codec.encode(columns).map(Coded::Rows),
            Coder::Word(data) => data,
        };
        let column = columns.first().ok_or_else(|| internal("an aggregate lacks an operand"))?;
        Ok(Coded::Words(match data {
            DataType::Float64 => {
                let column = column.as_primitive::<Float64Type>();
                column.values().iter().map(|x| of_float(*x)).collect()
            }
            DataType::Float32 => {
                let column = column.as_primitive::<Float32Type>();
                column.values().iter().map(|x| of_float(f64::from(*x))).collect()
            }
            DataType::Boolean => column.as_boolean().values().iter().map(|x| u64::from(x) ^ SIGN).collect(),
            DataType::Date32 => integers::<Date32Type>(column)?,
            DataType::Timestamp(..) => integers::<TimestampMicrosecondType>(column)?,
            DataType::Int8 => integers::<Int8Type>(column)?,
            DataType::Int16 => integers::<Int16Type>(column)?,
            DataType::Int32 => integers::<Int32Type>(column)?,
            _ => integers::<Int64Type>(column)?,
        }))
    }

    /// The columns again.
    pub(super) fn decode(&self, picked: Picked<'_>) -> Result<Vec<ArrayRef>, RunError> {
        let (data, words) = match (self, picked) {
            (Coder::Row(codec), Picked::Bytes(rows)) => return codec.decode(rows.into_iter()),
            (Coder::Word(data), Picked::Words(words)) => (data, words),
            _ => return Err(internal("operands have another form")),
        };
        let number = |word: &u64| (*word ^ SIGN) as i64;
        let column: ArrayRef = match data {
            DataType::Float64 => Arc::new(Float64Array::from_iter_values(words.iter().map(|word| to_float(*word)))),
            DataType::Float32 => {
                Arc::new(Float32Array::from_iter_values(words.iter().map(|word| to_float(*word) as f32)))
            }
            DataType::Boolean => Arc::new(BooleanArray::from_iter(words.iter().map(|word| Some(*word != SIGN)))),
            DataType::Date32 => {
                let days = words.iter().map(|word| number(word) as i32);
                Arc::new(PrimitiveArray::<Date32Type>::from_iter_values(days))
            }
            DataType::Timestamp(..) => {
                let moments = Int64Array::from_iter_values(words.iter().map(number)).into_data();
                let moments = moments.into_builder().data_type(data.clone()).build().map_err(internal)?;
                make_array(moments)
            }
            data => cast(&Int64Array::from_iter_values(words.iter().map(number)), data).map_err(internal)?,
        };
        Ok(vec![column])
    }
}

impl Values {
    pub(super) fn len(&self) -> usize {
        match self {
            Values::Words(words) => words.len(),
            Values::Bytes(bytes) => bytes.len(),
        }
    }

    /// So many of a batch.
    pub(super) fn of(coded: Coded, rows: usize) -> Values {
        match coded {
            Coded::Words(words) => Values::Words(words),
            coded @ Coded::Rows(_) => {
                let (mut values, mut buffer) = (Values::Bytes(Bytes::default()), vec![]);
                (0..rows).for_each(|row| values.push(&coded, row, &mut buffer));
                values
            }
        }
    }

    pub(super) fn is_words(&self) -> bool {
        matches!(self, Values::Words(_))
    }

    /// The bytes that they take.
    pub(super) fn room(&self) -> usize {
        match self {
            Values::Words(words) => words.capacity() * size_of::<u64>(),
            Values::Bytes(bytes) => bytes.room(),
        }
    }

    /// None, of the same kind.
    pub(super) fn empty(&self) -> Values {
        match self {
            Values::Words(_) => Values::Words(vec![]),
            Values::Bytes(_) => Values::Bytes(Bytes::default()),
        }
    }

    /// Sees to it that there is room for so many words.
    pub(super) fn reserve(&mut self, more: usize) {
        if let Values::Words(words) = self {
            words.reserve(more);
        }
    }

    /// Appends an operand of a batch; `buffer` is used in between.
    pub(super) fn push(&mut self, coded: &Coded, row: usize, buffer: &mut Vec<u8>) {
        match (self, coded) {
            (Values::Words(words), Coded::Words(coded)) => words.push(coded[row]),
            (Values::Bytes(bytes), Coded::Rows(rows)) => {
                buffer.clear();
                rows.append(row, buffer);
                bytes.push(buffer);
            }
            // A coder has one form.
            _ => debug_assert!(false, "operands have another form"),
        }
    }

    /// Appends an operand of others.
    pub(super) fn push_of(&mut self, other: &Values, at: usize) {
        match (self, other) {
            (Values::Words(words), Values::Words(others)) => words.push(others[at]),
            (Values::Bytes(bytes), Values::Bytes(others)) => bytes.push(others.get(at)),
            _ => debug_assert!(false, "operands have another form"),
        }
    }

    /// Appends those of others from the first to before the last.
    pub(super) fn extend(&mut self, other: &Values, from: usize, to: usize) {
        match (self, other) {
            (Values::Words(words), Values::Words(others)) => words.extend_from_slice(&others[from..to]),
            (this, other) => (from..to).for_each(|at| this.push_of(other, at)),
        }
    }

    /// Compares one with one of others.
    pub(super) fn order(&self, at: usize, other: &Values, there: usize) -> Ordering {
        match (self, other) {
            (Values::Words(a), Values::Words(b)) => a[at].cmp(&b[there]),
            (Values::Bytes(a), Values::Bytes(b)) => a.get(at).cmp(b.get(there)),
            _ => Ordering::Equal,
        }
    }

    /// Picks those from the first to before the last.
    pub(super) fn pick<'a>(&'a self, from: usize, to: usize, picked: &mut Picked<'a>) {
        match (self, picked) {
            (Values::Words(words), Picked::Words(picked)) => picked.extend_from_slice(&words[from..to]),
            (Values::Bytes(bytes), Picked::Bytes(picked)) => picked.extend((from..to).map(|at| bytes.get(at))),
            _ => debug_assert!(false, "operands have another form"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_in_the_order_of_what_they_stand_for_and_come_back() {
        let floats = [f64::NEG_INFINITY, -1.5, -0.0, 0.0, f64::MIN_POSITIVE, 2.0, f64::INFINITY, f64::NAN];
        let words: Vec<u64> = floats.iter().map(|x| of_float(*x)).collect();
        assert!(words.is_sorted_by(|a, b| a < b));
        assert_eq!(of_float(-f64::NAN), of_float(f64::NAN));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Float64Array::from(floats.to_vec())),
            Arc::new(Float32Array::from(vec![-f32::INFINITY, -0.0, 0.0, 1e-40, 3.5, f32::NAN])),
            Arc::new(Int64Array::from(vec![i64::MIN, -1, 0, 7, i64::MAX])),
            Arc::new(PrimitiveArray::<Int8Type>::from(vec![i8::MIN, 0, i8::MAX])),
            Arc::new(PrimitiveArray::<Date32Type>::from(vec![i32::MIN, -3, i32::MAX])),
            Arc::new(BooleanArray::from(vec![false, true])),
            Arc::new(PrimitiveArray::<TimestampMicrosecondType>::from(vec![-5, 5]).with_timezone("UTC")),
        ];
        for column in columns {
            let coder = Coder::new(&[column.data_type().clone()]).unwrap();
            let Coded::Words(words) = coder.encode(&[Arc::clone(&column)]).unwrap() else { panic!("{column:?}") };
            assert!(words.is_sorted_by(|a, b| a < b), "{column:?}");
            let back = coder.decode(Picked::Words(words)).unwrap();
            assert_eq!(format!("{back:?}"), format!("{:?}", [column]));
        }
    }
}
