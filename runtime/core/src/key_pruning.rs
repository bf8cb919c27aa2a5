//! What a lookup knows of the keys that its source's rows must have: the least, the greatest, and all of them where they are few. Knows arrays of keys; nothing of
//! how a source makes use of it. See [`flowc_ir::key_pruning`].

use crate::connector::Needed;
use crate::flow::{Flow, Station};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType as A, Int64Type, TimeUnit};
use flowc_ir::graph::SourceId;
use flowc_ir::key_pruning::{KnownKeys, prunings};
use flowc_ir::plan::Plan;
use flowc_ir::{DataType, Value};
use std::collections::BTreeSet;

/// More keys than so many are not looked at one by one: files and row groups are asked about each of them.
const FEW: usize = 1000;

/// Which rows of a source a lookup of the epoch can match; none: it is not told.
pub(crate) fn needed(plan: &Plan, flow: &Flow, source: SourceId) -> Option<Needed> {
    let pruning = prunings(plan).into_iter().find(|pruning| pruning.source == source)?;
    let Station::Stateless(lookup) = &flow.stations[pruning.lookup.0 as usize] else { return None };
    let mut known = vec![];
    for key in &pruning.keys {
        known.push(keys(lookup.table_key(key.key)?, &key.value.ty.data)?);
    }
    let columns = &plan.sources.get(source.0 as usize)?.schema;
    Some(Needed { predicate: pruning.predicate(columns, &known)?, times: pruning.times })
}

/// What is known of keys of a type; the outer none: of this type nothing is, the inner: there are none but nulls.
fn keys(keys: &ArrayRef, ty: &DataType) -> Option<Option<KnownKeys>> {
    if *ty == DataType::String {
        let texts = keys.as_string_opt::<i32>()?;
        return Some(known(texts.iter().flatten(), |text| Value::String(text.into())));
    }
    let value = match ty {
        DataType::Byte => |key: i64| Value::Byte(key as i8),
        DataType::Short => |key: i64| Value::Short(key as i16),
        DataType::Integer => |key: i64| Value::Integer(key as i32),
        DataType::Long => Value::Long,
        DataType::Date => |key: i64| Value::Date(key as i32),
        DataType::Timestamp => Value::Timestamp,
        _ => return None,
    };
    let whole = match keys.data_type() {
        A::Date32 => cast(&cast(keys, &A::Int32).ok()?, &A::Int64).ok()?,
        A::Timestamp(TimeUnit::Microsecond, _) | A::Int8 | A::Int16 | A::Int32 | A::Int64 => {
            cast(keys, &A::Int64).ok()?
        }
        _ => return None,
    };
    Some(known(whole.as_primitive_opt::<Int64Type>()?.iter().flatten(), value))
}

fn known<T: Ord + Copy>(keys: impl Iterator<Item = T>, value: impl Fn(T) -> Value) -> Option<KnownKeys> {
    let mut bounds: Option<(T, T)> = None;
    let mut all = BTreeSet::new();
    for key in keys {
        bounds = Some(bounds.map_or((key, key), |(least, greatest)| (least.min(key), greatest.max(key))));
        if all.len() <= FEW {
            all.insert(key);
        }
    }
    let (least, greatest) = bounds?;
    let few = all.len() <= FEW;
    let all = few.then(|| all.into_iter().map(&value).collect());
    Some(KnownKeys { bounds: (value(least), value(greatest)), all })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Date32Array, Int16Array, Int64Array, StringArray, TimestampMicrosecondArray};
    use std::sync::Arc;

    fn of(array: impl Array + 'static, ty: DataType) -> Option<KnownKeys> {
        keys(&(Arc::new(array) as ArrayRef), &ty).expect("a type of keys")
    }

    #[test]
    fn the_least_the_greatest_and_all_of_few() {
        let found = of(Int16Array::from(vec![Some(7), None, Some(-2), Some(7)]), DataType::Short).expect("keys");
        assert_eq!(found.bounds, (Value::Short(-2), Value::Short(7)));
        assert_eq!(found.all, Some(vec![Value::Short(-2), Value::Short(7)]));
        let found = of(StringArray::from(vec!["b", "a"]), DataType::String).expect("keys");
        assert_eq!(found.bounds, (Value::String("a".into()), Value::String("b".into())));
        assert_eq!(of(Date32Array::from(vec![3]), DataType::Date).expect("keys").bounds.0, Value::Date(3));
        let times = TimestampMicrosecondArray::from(vec![5]).with_timezone("UTC");
        assert_eq!(of(times, DataType::Timestamp).expect("keys").bounds.1, Value::Timestamp(5));
    }

    #[test]
    fn of_many_the_bounds_alone() {
        let most = FEW as i64;
        assert!(of(Int64Array::from_iter_values(0..most), DataType::Long).expect("keys").all.is_some());
        let found = of(Int64Array::from_iter_values(0..=most), DataType::Long).expect("keys");
        assert_eq!((found.bounds, found.all), ((Value::Long(0), Value::Long(most)), None));
    }

    #[test]
    fn nulls_are_no_keys() {
        assert_eq!(of(Int64Array::from(vec![None, None]), DataType::Long), None);
        let doubles = Arc::new(arrow::array::Float64Array::from(vec![1.0])) as ArrayRef;
        assert_eq!(keys(&doubles, &DataType::Double), None);
    }
}
