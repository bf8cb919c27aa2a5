//! Membership of whole numbers, dates and times in a list: a bitmap where the list's numbers are close together, else a binary search. Knows columns of numbers;
//! what membership means is the interpreter's matter.

use crate::value::Value;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType as A, Date32Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use std::sync::Arc;

/// Of whole numbers, dates and times in a list of the same; none: it is another list, or one with a null.
pub(super) fn of_whole(array: &ArrayRef, list: &[Value]) -> Option<ArrayRef> {
    let whole = |value: &Value| match (value, array.data_type()) {
        (Value::Integer(x), A::Int32) | (Value::Date(x), A::Date32) => Some(i64::from(*x)),
        (Value::Long(x), A::Int64) | (Value::Timestamp(x), A::Timestamp(..)) => Some(*x),
        _ => None,
    };
    let mut known = list.iter().map(whole).collect::<Option<Vec<i64>>>()?;
    known.sort_unstable();
    let known = Members::of(&known);
    let nulls = array.nulls().cloned();
    let found = match array.data_type() {
        A::Int32 => of_each(array.as_primitive::<Int32Type>().values(), |x| known.has(i64::from(x))),
        A::Date32 => of_each(array.as_primitive::<Date32Type>().values(), |x| known.has(i64::from(x))),
        A::Int64 => of_each(array.as_primitive::<Int64Type>().values(), |x| known.has(x)),
        A::Timestamp(TimeUnit::Microsecond, _) => {
            of_each(array.as_primitive::<TimestampMicrosecondType>().values(), |x| known.has(x))
        }
        _ => return None,
    };
    Some(Arc::new(BooleanArray::new(found, nulls)))
}

fn of_each<T: Copy>(values: &[T], has: impl Fn(T) -> bool) -> BooleanBuffer {
    BooleanBuffer::collect_bool(values.len(), |row| has(values[row]))
}

/// Numbers to be found.
enum Members<'a> {
    /// Close together: a bit for each from the least on.
    Dense(i64, BooleanBuffer),
    /// In order.
    Sparse(&'a [i64]),
}

/// A bitmap has so many bits at most.
const DENSE: u64 = 1 << 16;

impl Members<'_> {
    fn of(sorted: &[i64]) -> Members<'_> {
        let (Some(least), Some(greatest)) = (sorted.first(), sorted.last()) else { return Members::Sparse(sorted) };
        let span = greatest.abs_diff(*least);
        if span >= DENSE {
            return Members::Sparse(sorted);
        }
        let mut bits = BooleanBufferBuilder::new(span as usize + 1);
        bits.append_n(span as usize + 1, false);
        sorted.iter().for_each(|number| bits.set_bit(number.abs_diff(*least) as usize, true));
        Members::Dense(*least, bits.finish())
    }

    fn has(&self, number: i64) -> bool {
        match self {
            // A number below the least wraps to a place behind all: no two numbers of 64 bits are 2^64 apart.
            Members::Dense(least, bits) => {
                let place = number.wrapping_sub(*least) as u64;
                place < bits.len() as u64 && bits.value(place as usize)
            }
            Members::Sparse(sorted) => sorted.binary_search(&number).is_ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrow_values::{build_array, value_at};
    use crate::interpret::in_list;
    use crate::types::{DataType, Type};
    use proptest::prelude::*;

    type Make = fn(i64) -> Value;

    fn numbers() -> impl Strategy<Value = i64> {
        prop_oneof![-20i64..20, Just(i64::MIN), Just(i64::MAX), any::<i64>()]
    }

    proptest! {
        #[test]
        fn it_is_what_the_interpreter_says(
            rows in prop::collection::vec(prop::option::weighted(0.9, numbers()), 0..60),
            list in prop_oneof![prop::collection::vec(numbers(), 0..12), prop::collection::vec(-20i64..20, 0..12)],
        ) {
            let kinds: [(DataType, Make); 4] = [
                (DataType::Integer, |x| Value::Integer(x as i32)),
                (DataType::Long, Value::Long),
                (DataType::Date, |x| Value::Date(x as i32)),
                (DataType::Timestamp, Value::Timestamp),
            ];
            for (data, value) in kinds {
                let rows: Vec<Value> = rows.iter().map(|x| x.map_or(Value::Null, value)).collect();
                let list: Vec<Value> = list.iter().map(|x| value(*x)).collect();
                let array = build_array(&data, &rows);
                let found = of_whole(&array, &list).expect("numbers in numbers");
                let expected: Vec<Value> = rows.iter().map(|x| in_list(x, &list)).collect();
                let found: Vec<Value> =
                    (0..rows.len()).map(|row| value_at(&found, row, &Type::nullable(DataType::Boolean))).collect();
                prop_assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn a_list_with_a_null_is_not_for_it() {
        let array = build_array(&DataType::Long, &[Value::Long(1)]);
        assert!(of_whole(&array, &[Value::Long(1), Value::Null]).is_none());
        assert!(of_whole(&array, &[Value::Integer(1)]).is_none());
    }
}
