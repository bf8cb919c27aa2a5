//! Keys as numbers of the same order, so that sorting compares no bytes: where their columns fit one word, they stand in it (normalized keys: Graefe, "Implementing
//! Sorting in Database Systems", 2006), otherwise each is told by its rank. Knows nothing of windows.

use crate::error::RunError;
use crate::keys::Keys;
use crate::operators::internal;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType as A, Int64Type};

/// The bits of a type whose numbers are in its order, without one for null.
fn bits(data: &A) -> Option<u32> {
    match data {
        A::Boolean => Some(1),
        A::Int8 => Some(8),
        A::Int16 => Some(16),
        A::Int32 | A::Date32 => Some(32),
        A::Int64 | A::Timestamp(..) | A::Duration(_) => Some(64),
        _ => None,
    }
}

/// Numbers in the order of keys, nulls first: equal where keys are. `keys`: columns of these types, in several parts; the numbers of all of them compare.
pub(super) fn numbers(types: &[A], keys: &[Vec<ArrayRef>], rows: &[usize]) -> Result<Vec<Vec<u64>>, RunError> {
    match packed(types, keys, rows)? {
        Some(numbers) => Ok(numbers),
        None => ranks(types, keys),
    }
}

fn packed(types: &[A], keys: &[Vec<ArrayRef>], rows: &[usize]) -> Result<Option<Vec<Vec<u64>>>, RunError> {
    let null = |column: usize| keys.iter().any(|part| part[column].null_count() > 0);
    let mut widths = vec![];
    for (column, data) in types.iter().enumerate() {
        let Some(bits) = bits(data) else { return Ok(None) };
        widths.push((bits, null(column)));
    }
    if widths.iter().map(|(bits, null)| bits + u32::from(*null)).sum::<u32>() > u64::BITS {
        return Ok(None);
    }
    let mut numbers: Vec<Vec<u64>> = rows.iter().map(|rows| vec![0; *rows]).collect();
    for (part, numbers) in keys.iter().zip(&mut numbers) {
        for (column, (bits, null)) in part.iter().zip(&widths) {
            append(column, *bits, *null, numbers)?;
        }
    }
    Ok(Some(numbers))
}

/// Appends the bits of a column to numbers.
fn append(column: &ArrayRef, bits: u32, null: bool, numbers: &mut [u64]) -> Result<(), RunError> {
    let values = cast(column, &A::Int64).map_err(internal)?;
    let values = values.as_primitive::<Int64Type>();
    // What is least becomes 0.
    let (lift, mask) = if bits == 1 { (0, 1) } else { (1_u64 << (bits - 1), u64::MAX >> (u64::BITS - bits)) };
    let shift = bits + u32::from(null);
    for (row, number) in numbers.iter_mut().enumerate() {
        let valid = !null || values.is_valid(row);
        let value = if valid { (values.value(row) as u64).wrapping_add(lift) & mask } else { 0 };
        let value = if null { value | u64::from(valid).checked_shl(bits).unwrap_or(0) } else { value };
        // A column that takes the whole word is the only one.
        *number = number.checked_shl(shift).unwrap_or(0) | value;
    }
    Ok(())
}

fn ranks(types: &[A], keys: &[Vec<ArrayRef>]) -> Result<Vec<Vec<u64>>, RunError> {
    let keys_of = Keys::new(types.iter())?;
    let rows = keys.iter().map(|part| keys_of.encode(part)).collect::<Result<Vec<_>, _>>()?;
    let counts: Vec<usize> = rows.iter().map(|rows| rows.num_rows()).collect();
    Ok(ranks_of_bytes(&counts, |part, row| rows[part].row(row).data()))
}

/// Keys as numbers in the order of their bytes, equal where these are. `counts`: how many keys each part has. Most are told apart by the eight bytes behind what all begin
/// with, which are compared as a number (abbreviated keys, as in Graefe's survey).
pub(super) fn ranks_of_bytes<'a>(counts: &[usize], key: impl Fn(usize, usize) -> &'a [u8]) -> Vec<Vec<u64>> {
    let places = || counts.iter().enumerate().flat_map(|(part, rows)| (0..*rows).map(move |row| (part, row)));
    let common = common_prefix(places().map(|(part, row)| key(part, row)));
    let entry = |(part, row): (usize, usize)| (abbreviated(&key(part, row)[common..]), part as u32, row as u32);
    let mut order: Vec<(u64, u32, u32)> = places().map(entry).collect();
    let bytes = |(_, part, row): (u64, u32, u32)| key(part as usize, row as usize);
    order.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| bytes(*a).cmp(bytes(*b))));
    let mut ranks: Vec<Vec<u64>> = counts.iter().map(|rows| vec![0; *rows]).collect();
    let (mut rank, mut last) = (0, None::<(u64, u32, u32)>);
    for at in order {
        let same = |last: (u64, u32, u32)| last.0 == at.0 && bytes(last) == bytes(at);
        rank += u64::from(last.is_some_and(|last| !same(last)));
        ranks[at.1 as usize][at.2 as usize] = rank;
        last = Some(at);
    }
    ranks
}

/// How many bytes all keys begin with.
fn common_prefix<'a>(mut keys: impl Iterator<Item = &'a [u8]>) -> usize {
    let Some(first) = keys.next() else { return 0 };
    keys.fold(first.len(), |common, key| {
        // Most often it stays as it is.
        if key.len() >= common && key[..common] == first[..common] {
            return common;
        }
        key.iter().zip(&first[..common]).take_while(|(a, b)| a == b).count()
    })
}

/// The first eight bytes as a number of their order; where there are fewer, zeros stand behind them, so that equal numbers tell nothing.
fn abbreviated(key: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    let length = key.len().min(8);
    bytes[..length].copy_from_slice(&key[..length]);
    u64::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Int64Array;
    use proptest::prelude::*;
    use std::sync::Arc;

    fn columns(types: &[A], rows: &[Option<i64>]) -> Vec<ArrayRef> {
        let column = |(i, data): (usize, &A)| {
            let of = |x: &Option<i64>| x.map(|x| x.rotate_left(i as u32 * 3));
            let numbers: ArrayRef = match data {
                A::Int64 | A::Timestamp(..) => Arc::new(rows.iter().map(of).collect::<Int64Array>()),
                A::Boolean => Arc::new(rows.iter().map(|x| of(x).map(|x| x & 1)).collect::<Int64Array>()),
                A::Int8 => Arc::new(rows.iter().map(|x| of(x).map(|x| x as i8 as i64)).collect::<Int64Array>()),
                _ => Arc::new(rows.iter().map(|x| of(x).map(|x| x as i32 as i64)).collect::<Int64Array>()),
            };
            let numbers = if *data == A::Date32 { cast(&numbers, &A::Int32).unwrap() } else { numbers };
            cast(&numbers, data).unwrap()
        };
        types.iter().enumerate().map(column).collect()
    }

    proptest! {
        #[test]
        fn numbers_have_the_order_of_keys(
            rows in prop::collection::vec(prop::option::weighted(0.8, prop_oneof![any::<i64>(), -3i64..3]), 1..40),
            nulls in any::<bool>(),
            cut in 0..40usize,
        ) {
            let time = A::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into()));
            let all = [
                vec![A::Int32], vec![A::Int64], vec![time.clone()], vec![A::Boolean, A::Date32, A::Int8],
                vec![A::Int32, A::Int32], vec![A::Int32, A::Int64], vec![A::Utf8], vec![A::Int64, A::Utf8],
            ];
            let rows: Vec<Option<i64>> = rows.into_iter().map(|x| if nulls { x } else { Some(x.unwrap_or(0)) }).collect();
            let (left, right) = rows.split_at(cut.min(rows.len()));
            for types in all {
                let parts = [columns(&types, left), columns(&types, right)];
                let found = numbers(&types, &parts, &[left.len(), right.len()]).unwrap().concat();
                let wanted = ranks(&types, &[columns(&types, &rows)]).unwrap().remove(0);
                for a in 0..rows.len() {
                    for b in 0..rows.len() {
                        prop_assert_eq!(found[a].cmp(&found[b]), wanted[a].cmp(&wanted[b]), "{:?}", &types);
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn ranks_are_those_of_sorted_bytes(
            prefix in prop::collection::vec(0u8..3, 0..12),
            keys in prop::collection::vec(prop::collection::vec(prop_oneof![0u8..2, any::<u8>()], 0..12), 0..40),
            cut in 0..40usize,
        ) {
            let keys: Vec<Vec<u8>> = keys.into_iter().map(|key| [prefix.clone(), key].concat()).collect();
            let parts: [&[Vec<u8>]; 2] = keys.split_at(cut.min(keys.len())).into();
            let found = ranks_of_bytes(&parts.map(<[_]>::len), |part, row| &parts[part][row]).concat();
            let mut distinct = keys.clone();
            distinct.sort();
            distinct.dedup();
            let wanted: Vec<u64> = keys.iter().map(|key| distinct.binary_search(key).unwrap() as u64).collect();
            prop_assert_eq!(found, wanted);
        }
    }

    #[test]
    fn without_columns_all_keys_are_the_same() {
        assert_eq!(numbers(&[], &[vec![], vec![]], &[2, 1]).unwrap(), [vec![0, 0], vec![0]]);
    }
}
