//! Single values in and out of Arrow arrays of the types that [`crate::arrow_types`] gives. Slices are allowed. Knows nothing of expressions.

use crate::arrow_types::{to_arrow, to_arrow_field};
use crate::types::{DataType, Field, Type};
use crate::value::Value;
use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{self as a, ArrowPrimitiveType, DataType as A, Fields};
use std::sync::Arc;

/// The value in a row of an array. The array has the Arrow type of `ty`.
pub fn value_at(array: &dyn Array, row: usize, ty: &Type) -> Value {
    value_of(array, row, &ty.data)
}

fn primitive<T: ArrowPrimitiveType>(array: &dyn Array, row: usize) -> T::Native {
    array.as_primitive::<T>().value(row)
}

fn value_of(array: &dyn Array, row: usize, data: &DataType) -> Value {
    if *data == DataType::Null || array.is_null(row) {
        return Value::Null;
    }
    match data {
        DataType::Null => Value::Null,
        DataType::Boolean => Value::Boolean(array.as_boolean().value(row)),
        DataType::Byte => Value::Byte(primitive::<a::Int8Type>(array, row)),
        DataType::Short => Value::Short(primitive::<a::Int16Type>(array, row)),
        DataType::Integer => Value::Integer(primitive::<a::Int32Type>(array, row)),
        DataType::Long => Value::Long(primitive::<a::Int64Type>(array, row)),
        DataType::Float => Value::Float(primitive::<a::Float32Type>(array, row)),
        DataType::Double => Value::Double(primitive::<a::Float64Type>(array, row)),
        DataType::Decimal { .. } => Value::Decimal(primitive::<a::Decimal128Type>(array, row)),
        DataType::String => Value::String(array.as_string::<i32>().value(row).to_string()),
        DataType::Binary => Value::Binary(array.as_binary::<i32>().value(row).to_vec()),
        DataType::Date => Value::Date(primitive::<a::Date32Type>(array, row)),
        DataType::Timestamp => Value::Timestamp(primitive::<a::TimestampMicrosecondType>(array, row)),
        DataType::TimestampNtz => Value::TimestampNtz(primitive::<a::TimestampMicrosecondType>(array, row)),
        DataType::Duration => Value::Duration(primitive::<a::DurationMicrosecondType>(array, row)),
        DataType::Array(item) => {
            let items = array.as_list::<i32>().value(row);
            Value::Array((0..items.len()).map(|i| value_of(&items, i, &item.data)).collect())
        }
        DataType::Map(key, value) => {
            let entries = array.as_map().value(row);
            let (keys, values) = (entries.column(0), entries.column(1));
            let entry = |i| (value_of(keys, i, key), value_of(values, i, &value.data));
            Value::Map((0..entries.len()).map(entry).collect())
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct();
            let field = |(i, f): (usize, &Field)| value_of(columns.column(i), row, &f.ty.data);
            Value::Struct(fields.iter().enumerate().map(field).collect())
        }
    }
}

fn primitives<T: ArrowPrimitiveType>(values: &[Value], get: impl Fn(&Value) -> Option<T::Native>) -> PrimitiveArray<T> {
    values.iter().map(get).collect()
}

macro_rules! column {
    ($values:expr, $arrow:ty, $variant:path) => {
        primitives::<$arrow>($values, |v| match v {
            $variant(v) => Some(*v),
            _ => None,
        })
    };
}

/// An array of these values, of the Arrow type of `data`. Nulls may stand anywhere; where a nested type says that its elements are not null, they must not be.
pub fn build_array(data: &DataType, values: &[Value]) -> ArrayRef {
    match data {
        DataType::Null => Arc::new(NullArray::new(values.len())),
        DataType::Boolean => Arc::new(BooleanArray::from_iter(values.iter().map(|v| match v {
            Value::Boolean(b) => Some(*b),
            _ => None,
        }))),
        DataType::Byte => Arc::new(column!(values, a::Int8Type, Value::Byte)),
        DataType::Short => Arc::new(column!(values, a::Int16Type, Value::Short)),
        DataType::Integer => Arc::new(column!(values, a::Int32Type, Value::Integer)),
        DataType::Long => Arc::new(column!(values, a::Int64Type, Value::Long)),
        DataType::Float => Arc::new(column!(values, a::Float32Type, Value::Float)),
        DataType::Double => Arc::new(column!(values, a::Float64Type, Value::Double)),
        DataType::Decimal { .. } => {
            Arc::new(column!(values, a::Decimal128Type, Value::Decimal).with_data_type(to_arrow(data)))
        }
        DataType::String => {
            let mut builder = StringBuilder::with_capacity(values.len(), 0);
            for value in values {
                builder.append_option(if let Value::String(s) = value { Some(s) } else { None });
            }
            Arc::new(builder.finish())
        }
        DataType::Binary => {
            let mut builder = BinaryBuilder::with_capacity(values.len(), 0);
            for value in values {
                builder.append_option(if let Value::Binary(b) = value { Some(b) } else { None });
            }
            Arc::new(builder.finish())
        }
        DataType::Date => Arc::new(column!(values, a::Date32Type, Value::Date)),
        DataType::Timestamp => {
            let array = column!(values, a::TimestampMicrosecondType, Value::Timestamp);
            Arc::new(array.with_data_type(to_arrow(data)))
        }
        DataType::TimestampNtz => Arc::new(column!(values, a::TimestampMicrosecondType, Value::TimestampNtz)),
        DataType::Duration => Arc::new(column!(values, a::DurationMicrosecondType, Value::Duration)),
        DataType::Array(item) => build_list(item, values),
        DataType::Map(key, value) => build_map(key, value, values),
        DataType::Struct(fields) => build_struct(fields, values),
    }
}

fn validity(values: &[Value]) -> Option<NullBuffer> {
    let nulls: NullBuffer = values.iter().map(|v| !v.is_null()).collect();
    (nulls.null_count() > 0).then_some(nulls)
}

fn build_list(item: &Type, values: &[Value]) -> ArrayRef {
    let items = |v: &Value| if let Value::Array(items) = v { items.len() } else { 0 };
    let offsets = OffsetBuffer::from_lengths(values.iter().map(items));
    let flat: Vec<Value> =
        values.iter().flat_map(|v| if let Value::Array(items) = v { items.as_slice() } else { &[] }).cloned().collect();
    let field = Arc::new(a::Field::new("element", to_arrow(&item.data), item.nullable));
    Arc::new(ListArray::new(field, offsets, build_array(&item.data, &flat), validity(values)))
}

fn build_map(key: &DataType, value: &Type, values: &[Value]) -> ArrayRef {
    let entries = |v: &Value| if let Value::Map(entries) = v { entries.len() } else { 0 };
    let offsets = OffsetBuffer::from_lengths(values.iter().map(entries));
    let (keys, items): (Vec<Value>, Vec<Value>) =
        values.iter().flat_map(|v| if let Value::Map(entries) = v { entries.as_slice() } else { &[] }).cloned().unzip();
    let data = DataType::Map(Box::new(key.clone()), Box::new(value.clone()));
    let A::Map(field, ordered) = to_arrow(&data) else { unreachable!("a map is an Arrow map") };
    let A::Struct(pair) = field.data_type() else { unreachable!("a map's entries are structs") };
    let columns = vec![build_array(key, &keys), build_array(&value.data, &items)];
    let entries = StructArray::new(pair.clone(), columns, None);
    Arc::new(MapArray::new(field, offsets, entries, validity(values), ordered))
}

fn build_struct(fields: &[Field], values: &[Value]) -> ArrayRef {
    let nulls = validity(values);
    if fields.is_empty() {
        return Arc::new(StructArray::new_empty_fields(values.len(), nulls));
    }
    let column = |(i, field): (usize, &Field)| {
        let at = |v: &Value| match v {
            Value::Struct(values) => values.get(i).cloned().unwrap_or(Value::Null),
            _ => Value::Null,
        };
        build_array(&field.ty.data, &values.iter().map(at).collect::<Vec<_>>())
    };
    let columns = fields.iter().enumerate().map(column).collect();
    let arrow: Fields = fields.iter().map(to_arrow_field).collect();
    Arc::new(StructArray::new(arrow, columns, nulls))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(data: DataType, values: Vec<Value>) {
        let ty = Type::nullable(data);
        let array = build_array(&ty.data, &values);
        assert_eq!(array.data_type(), &to_arrow(&ty.data));
        for from in 0..values.len() {
            let slice = array.slice(from, values.len() - from);
            let back: Vec<Value> = (0..slice.len()).map(|i| value_at(&slice, i, &ty)).collect();
            assert_eq!(back, values[from..], "{}", ty);
        }
        assert_eq!(build_array(&ty.data, &[]).len(), 0);
    }

    #[test]
    fn nested_and_sliced() {
        let integers = DataType::Array(Box::new(Type::nullable(DataType::Integer)));
        round_trip(
            integers.clone(),
            vec![
                Value::Array(vec![Value::Integer(1), Value::Null]),
                Value::Null,
                Value::Array(vec![]),
                Value::Array(vec![Value::Integer(3)]),
            ],
        );
        let map = DataType::Map(Box::new(DataType::String), Box::new(Type::nullable(integers.clone())));
        let entry = |k: &str, v| (Value::String(k.into()), v);
        round_trip(
            map,
            vec![
                Value::Null,
                Value::Map(vec![entry("a", Value::Null), entry("b", Value::Array(vec![Value::Integer(1)]))]),
            ],
        );
        let fields = vec![
            Field::new("a", Type::new(DataType::Timestamp)),
            Field::new("b", Type::nullable(DataType::Decimal { precision: 9, scale: 2 })),
        ];
        round_trip(DataType::Struct(fields), vec![Value::Struct(vec![Value::Timestamp(1), Value::Null]), Value::Null]);
        round_trip(DataType::Null, vec![Value::Null, Value::Null]);
        round_trip(DataType::Struct(vec![]), vec![Value::Null, Value::Struct(vec![])]);
    }
}
