//! Single values: literals, and what the reference interpreter computes with. Knows types; nothing of expressions or batches.

use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// A value, or null. Its type stands beside it, in the expression or the column.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// Null, of any type.
    Null,
    /// `boolean`
    Boolean(bool),
    /// `byte`
    Byte(i8),
    /// `short`
    Short(i16),
    /// `integer`
    Integer(i32),
    /// `long`
    Long(i64),
    /// `float`, by its bits, so that NaN and -0.0 survive plan.json.
    Float(#[serde(with = "float_bits")] f32),
    /// `double`, by its bits.
    Double(#[serde(with = "double_bits")] f64),
    /// `decimal`: the unscaled value; the scale is the type's.
    Decimal(i128),
    /// `string`
    String(String),
    /// `binary`
    Binary(Vec<u8>),
    /// `date`: days since 1970-01-01
    Date(i32),
    /// `timestamp`: microseconds since 1970-01-01T00:00:00Z
    Timestamp(i64),
    /// `timestamp_ntz`: microseconds
    TimestampNtz(i64),
    /// `duration`: microseconds
    Duration(i64),
    /// `array`
    Array(Vec<Value>),
    /// `map`: entries in their order
    Map(Vec<(Value, Value)>),
    /// `struct`: the fields in the order of the type
    Struct(Vec<Value>),
}

mod float_bits {
    use serde::{Deserialize, Deserializer, Serializer};
    pub fn serialize<S: Serializer>(v: &f32, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u32(v.to_bits())
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<f32, D::Error> {
        u32::deserialize(d).map(f32::from_bits)
    }
}

mod double_bits {
    use serde::{Deserialize, Deserializer, Serializer};
    pub fn serialize<S: Serializer>(v: &f64, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u64(v.to_bits())
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
        u64::deserialize(d).map(f64::from_bits)
    }
}

/// The order of doubles in flowc: NaN equals NaN and is the greatest, -0.0 equals 0.0.
pub fn compare_double(a: f64, b: f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
    }
}

impl Value {
    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// The order of two values of one type, for `<`, `==`, sorting and grouping: nulls equal each other and come first (three-valued logic is the
    /// operators' matter), floats as [`compare_double`], strings and binaries by bytes, arrays and structs element by element. Values of different
    /// types are ordered by their kind, so that the order is total.
    pub fn compare(&self, other: &Value) -> Ordering {
        use Value::*;
        match (self, other) {
            (Null, Null) => Ordering::Equal,
            (Boolean(a), Boolean(b)) => a.cmp(b),
            (Byte(a), Byte(b)) => a.cmp(b),
            (Short(a), Short(b)) => a.cmp(b),
            (Integer(a), Integer(b)) => a.cmp(b),
            (Long(a), Long(b)) => a.cmp(b),
            (Float(a), Float(b)) => compare_double(f64::from(*a), f64::from(*b)),
            (Double(a), Double(b)) => compare_double(*a, *b),
            (Decimal(a), Decimal(b)) => a.cmp(b),
            (String(a), String(b)) => a.as_bytes().cmp(b.as_bytes()),
            (Binary(a), Binary(b)) => a.cmp(b),
            (Date(a), Date(b)) => a.cmp(b),
            (Timestamp(a), Timestamp(b)) | (TimestampNtz(a), TimestampNtz(b)) | (Duration(a), Duration(b)) => a.cmp(b),
            (Array(a), Array(b)) | (Struct(a), Struct(b)) => compare_lists(a, b),
            (Map(a), Map(b)) => {
                let pairs = a.iter().zip(b).map(|((k, v), (l, w))| k.compare(l).then_with(|| v.compare(w)));
                pairs.fold(Ordering::Equal, Ordering::then).then(a.len().cmp(&b.len()))
            }
            _ => self.kind().cmp(&other.kind()),
        }
    }

    fn kind(&self) -> u8 {
        match self {
            Value::Null => 0,
            Value::Boolean(_) => 1,
            Value::Byte(_) => 2,
            Value::Short(_) => 3,
            Value::Integer(_) => 4,
            Value::Long(_) => 5,
            Value::Float(_) => 6,
            Value::Double(_) => 7,
            Value::Decimal(_) => 8,
            Value::String(_) => 9,
            Value::Binary(_) => 10,
            Value::Date(_) => 11,
            Value::Timestamp(_) => 12,
            Value::TimestampNtz(_) => 13,
            Value::Duration(_) => 14,
            Value::Array(_) => 15,
            Value::Map(_) => 16,
            Value::Struct(_) => 17,
        }
    }
}

fn compare_lists(a: &[Value], b: &[Value]) -> Ordering {
    a.iter().zip(b).map(|(x, y)| x.compare(y)).find(|o| o.is_ne()).unwrap_or_else(|| a.len().cmp(&b.len()))
}

impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        self.compare(other).is_eq()
    }
}

impl Eq for Value {}
