//! How flowc's types stand in Arrow. One mapping, used by every kernel, operator and connector.

use crate::types::{DataType, Field, Schema, Type};
use arrow::datatypes::{DataType as A, Field as AField, Fields, Schema as ASchema, SchemaRef, TimeUnit};
use std::sync::Arc;

/// The Arrow type of a flowc type: strings are `Utf8`, timestamps microseconds (`UTC`, or no zone for `timestamp_ntz`), decimals `Decimal128`, durations
/// microseconds, lists and maps with 32-bit offsets. List elements are called `element`, map entries `entries` with `key` and `value`.
pub fn to_arrow(data: &DataType) -> A {
    match data {
        DataType::Null => A::Null,
        DataType::Boolean => A::Boolean,
        DataType::Byte => A::Int8,
        DataType::Short => A::Int16,
        DataType::Integer => A::Int32,
        DataType::Long => A::Int64,
        DataType::Float => A::Float32,
        DataType::Double => A::Float64,
        DataType::Decimal { precision, scale } => A::Decimal128(*precision, *scale as i8),
        DataType::String => A::Utf8,
        DataType::Binary => A::Binary,
        DataType::Date => A::Date32,
        DataType::Timestamp => A::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::TimestampNtz => A::Timestamp(TimeUnit::Microsecond, None),
        DataType::Duration => A::Duration(TimeUnit::Microsecond),
        DataType::Array(item) => A::List(Arc::new(AField::new("element", to_arrow(&item.data), item.nullable))),
        DataType::Map(key, value) => {
            let entry = Fields::from(vec![
                AField::new("key", to_arrow(key), false),
                AField::new("value", to_arrow(&value.data), value.nullable),
            ]);
            A::Map(Arc::new(AField::new("entries", A::Struct(entry), false)), false)
        }
        DataType::Struct(fields) => A::Struct(fields.iter().map(to_arrow_field).collect()),
    }
}

/// The Arrow field of a column.
pub fn to_arrow_field(field: &Field) -> AField {
    AField::new(&field.name, to_arrow(&field.ty.data), field.ty.nullable)
}

/// The Arrow schema of a row.
pub fn to_arrow_schema(schema: &Schema) -> SchemaRef {
    Arc::new(ASchema::new(schema.fields.iter().map(to_arrow_field).collect::<Vec<_>>()))
}

/// The flowc type of an Arrow type, as files have them; none where flowc has none (unsigned 64-bit integers, times of day, unions, …). What it maps to
/// need not be what [`to_arrow`] gives back: the reader converts.
pub fn from_arrow(data: &A) -> Option<DataType> {
    Some(match data {
        A::Null => DataType::Null,
        A::Boolean => DataType::Boolean,
        A::Int8 => DataType::Byte,
        A::Int16 | A::UInt8 => DataType::Short,
        A::Int32 | A::UInt16 => DataType::Integer,
        A::Int64 | A::UInt32 => DataType::Long,
        A::Float16 | A::Float32 => DataType::Float,
        A::Float64 => DataType::Double,
        A::Decimal128(precision, scale) if *scale >= 0 => {
            DataType::Decimal { precision: *precision, scale: *scale as u8 }
        }
        A::Utf8 | A::LargeUtf8 | A::Utf8View => DataType::String,
        A::Binary | A::LargeBinary | A::BinaryView | A::FixedSizeBinary(_) => DataType::Binary,
        A::Date32 | A::Date64 => DataType::Date,
        A::Timestamp(_, Some(_)) => DataType::Timestamp,
        A::Timestamp(_, None) => DataType::TimestampNtz,
        A::Duration(_) => DataType::Duration,
        A::List(item) | A::LargeList(item) | A::FixedSizeList(item, _) | A::ListView(item) => {
            DataType::Array(Box::new(from_arrow_type(item)?))
        }
        A::Map(entries, _) => match entries.data_type() {
            A::Struct(pair) if pair.len() == 2 => {
                DataType::Map(Box::new(from_arrow(pair[0].data_type())?), Box::new(from_arrow_type(&pair[1])?))
            }
            _ => return None,
        },
        A::Struct(fields) => DataType::Struct(fields.iter().map(|f| from_arrow_field(f)).collect::<Option<_>>()?),
        A::Dictionary(_, value) => from_arrow(value)?,
        _ => return None,
    })
}

fn from_arrow_type(field: &AField) -> Option<Type> {
    Some(Type { data: from_arrow(field.data_type())?, nullable: field.is_nullable() })
}

/// The column of an Arrow field.
pub fn from_arrow_field(field: &AField) -> Option<Field> {
    Some(Field::new(field.name(), from_arrow_type(field)?))
}
