//! The types of values, columns and rows, with the rules of widening. Knows nothing of values, expressions or tables.

use crate::shared::SharedVec;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The type of a value that is not null. Delta's primitive and nested types, `Duration` (expressions only) and `Null` (the type of a bare `null`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataType {
    /// The type of `null` alone: widens to every type.
    Null,
    /// `boolean`
    Boolean,
    /// `byte`: 8 bits, signed
    Byte,
    /// `short`: 16 bits, signed
    Short,
    /// `integer`: 32 bits, signed
    Integer,
    /// `long`: 64 bits, signed
    Long,
    /// `float`: IEEE 754 binary32
    Float,
    /// `double`: IEEE 754 binary64
    Double,
    /// `decimal(precision, scale)`: up to 38 digits
    Decimal {
        /// Digits in all, 1 to 38.
        precision: u8,
        /// Digits after the point, at most `precision`.
        scale: u8,
    },
    /// `string`: UTF-8
    String,
    /// `binary`
    Binary,
    /// `date`: days since 1970-01-01
    Date,
    /// `timestamp`: microseconds since 1970-01-01T00:00:00Z
    Timestamp,
    /// `timestamp_ntz`: microseconds since 1970-01-01T00:00:00 of an unnamed zone
    TimestampNtz,
    /// `duration`: microseconds
    Duration,
    /// `array<T>`
    Array(Box<Type>),
    /// `map<K, V>`; keys are never null
    Map(Box<DataType>, Box<Type>),
    /// `struct<a: T>`
    Struct(Vec<Field>),
}

/// A type and whether null is one of its values.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Type {
    /// The type of the values that are not null.
    pub data: DataType,
    /// Whether null is a value.
    pub nullable: bool,
}

/// A column, or a field of a struct.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Field {
    /// Its name. In the graph a joined table's column is called `table.column`.
    pub name: String,
    /// Its type.
    pub ty: Type,
    /// Its documentation, as in the Delta table's column comment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// The columns of a row, in order. Names are unique.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Schema {
    /// The columns; copies of a schema share them.
    pub fields: SharedVec<Field>,
}

impl Type {
    /// `T`
    pub fn new(data: DataType) -> Self {
        Type { data, nullable: false }
    }

    /// `T?`
    pub fn nullable(data: DataType) -> Self {
        Type { data, nullable: true }
    }

    /// The same, nullable or not as said.
    pub fn with_nullable(mut self, nullable: bool) -> Self {
        self.nullable = nullable;
        self
    }

    /// The type of a bare `null`.
    pub fn null() -> Self {
        Type::nullable(DataType::Null)
    }

    /// A boolean that is never null.
    pub fn boolean() -> Self {
        Type::new(DataType::Boolean)
    }
}

impl Field {
    /// A column without a comment.
    pub fn new(name: impl Into<String>, ty: Type) -> Self {
        Field { name: name.into(), ty, comment: None }
    }
}

impl Schema {
    /// These columns.
    pub fn new(fields: Vec<Field>) -> Self {
        Schema { fields: fields.into() }
    }

    /// The position of the column of this name (case matters).
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|f| f.name == name)
    }

    /// The column of this name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|f| f.name == name)
    }

    /// The number of columns.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there is no column.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }
}

impl DataType {
    /// byte, short, integer, long
    pub fn is_integer(&self) -> bool {
        matches!(self, DataType::Byte | DataType::Short | DataType::Integer | DataType::Long)
    }

    /// float, double
    pub fn is_floating(&self) -> bool {
        matches!(self, DataType::Float | DataType::Double)
    }

    /// Integers, decimals, floats.
    pub fn is_numeric(&self) -> bool {
        self.is_integer() || self.is_floating() || matches!(self, DataType::Decimal { .. })
    }

    /// Of a fixed number of bytes: what the compiled kernels work on.
    pub fn is_fixed_width(&self) -> bool {
        !matches!(
            self,
            DataType::Null
                | DataType::String
                | DataType::Binary
                | DataType::Array(_)
                | DataType::Map(..)
                | DataType::Struct(_)
        )
    }

    /// Whether `<` is defined: everything but maps (and what holds one).
    pub fn is_orderable(&self) -> bool {
        match self {
            DataType::Map(..) => false,
            DataType::Array(item) => item.data.is_orderable(),
            DataType::Struct(fields) => fields.iter().all(|f| f.ty.data.is_orderable()),
            _ => true,
        }
    }

    /// Digits that every value of an integer type fits in: as a decimal of scale 0.
    pub fn integer_digits(&self) -> Option<u8> {
        match self {
            DataType::Byte => Some(3),
            DataType::Short => Some(5),
            DataType::Integer => Some(10),
            DataType::Long => Some(19),
            _ => None,
        }
    }

    fn rank(&self) -> Option<u8> {
        Some(match self {
            DataType::Byte => 0,
            DataType::Short => 1,
            DataType::Integer => 2,
            DataType::Long => 3,
            DataType::Decimal { .. } => 4,
            DataType::Double => 5,
            _ => return None,
        })
    }

    /// Whether every value of `self` is, or is implicitly converted to, a value of `to`: byte→short→integer→long→decimal→double, float→double,
    /// date→timestamp, `null`→anything, and element by element in arrays, maps and structs. A decimal widens to one with no fewer digits on either side
    /// of the point.
    pub fn widens_to(&self, to: &DataType) -> bool {
        if self == to || *self == DataType::Null {
            return true;
        }
        match (self, to) {
            (DataType::Float, DataType::Double) | (DataType::Date, DataType::Timestamp) => true,
            (DataType::Decimal { precision: p, scale: s }, DataType::Decimal { precision: q, scale: t }) => {
                t >= s && q - t >= p - s
            }
            (a, DataType::Decimal { precision, scale }) if a.is_integer() => {
                a.integer_digits().is_some_and(|d| precision - scale >= d)
            }
            (DataType::Array(a), DataType::Array(b)) => a.widens_to(b),
            (DataType::Map(k, v), DataType::Map(l, w)) => k.widens_to(l) && v.widens_to(w),
            (DataType::Struct(a), DataType::Struct(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x.name == y.name && x.ty.widens_to(&y.ty))
            }
            (a, b) => matches!((a.rank(), b.rank()), (Some(x), Some(y)) if x < y && y != 4),
        }
    }

    /// The least type that both widen to; none if there is none. Integers meet decimals in a decimal wide enough for both (at most 38 digits, the
    /// digits before the point are kept).
    pub fn common(&self, other: &DataType) -> Option<DataType> {
        if self.widens_to(other) {
            return Some(other.clone());
        }
        if other.widens_to(self) {
            return Some(self.clone());
        }
        match (self, other) {
            (a, b) if a.as_decimal().is_some() && b.as_decimal().is_some() => {
                let ((p, s), (q, t)) = (a.as_decimal()?, b.as_decimal()?);
                let whole = (p - s).max(q - t);
                let scale = s.max(t).min(38 - whole);
                Some(DataType::Decimal { precision: whole + scale, scale })
            }
            (a, b) if a.is_numeric() && b.is_numeric() => Some(DataType::Double),
            (DataType::Array(a), DataType::Array(b)) => Some(DataType::Array(Box::new(a.common(b)?))),
            (DataType::Map(k, v), DataType::Map(l, w)) => {
                Some(DataType::Map(Box::new(k.common(l)?), Box::new(v.common(w)?)))
            }
            (DataType::Struct(a), DataType::Struct(b)) if a.len() == b.len() => {
                let fields = a.iter().zip(b).map(|(x, y)| {
                    (x.name == y.name).then_some(())?;
                    Some(Field { name: x.name.clone(), ty: x.ty.common(&y.ty)?, comment: x.comment.clone() })
                });
                Some(DataType::Struct(fields.collect::<Option<_>>()?))
            }
            _ => None,
        }
    }

    /// Precision and scale of a decimal, or of the decimal that holds every value of an integer type.
    pub fn as_decimal(&self) -> Option<(u8, u8)> {
        match self {
            DataType::Decimal { precision, scale } => Some((*precision, *scale)),
            other => other.integer_digits().map(|d| (d, 0)),
        }
    }
}

impl Type {
    /// As [`DataType::widens_to`]; a nullable type does not widen to one that is not.
    pub fn widens_to(&self, to: &Type) -> bool {
        (!self.nullable || to.nullable) && self.data.widens_to(&to.data)
    }

    /// As [`DataType::common`]; nullable if either is.
    pub fn common(&self, other: &Type) -> Option<Type> {
        Some(Type { data: self.data.common(&other.data)?, nullable: self.nullable || other.nullable })
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DataType::Null => f.write_str("null"),
            DataType::Boolean => f.write_str("boolean"),
            DataType::Byte => f.write_str("byte"),
            DataType::Short => f.write_str("short"),
            DataType::Integer => f.write_str("integer"),
            DataType::Long => f.write_str("long"),
            DataType::Float => f.write_str("float"),
            DataType::Double => f.write_str("double"),
            DataType::Decimal { precision, scale } => write!(f, "decimal({precision}, {scale})"),
            DataType::String => f.write_str("string"),
            DataType::Binary => f.write_str("binary"),
            DataType::Date => f.write_str("date"),
            DataType::Timestamp => f.write_str("timestamp"),
            DataType::TimestampNtz => f.write_str("timestamp_ntz"),
            DataType::Duration => f.write_str("duration"),
            DataType::Array(item) => write!(f, "array<{item}>"),
            DataType::Map(key, value) => write!(f, "map<{key}, {value}>"),
            DataType::Struct(fields) => {
                f.write_str("struct<")?;
                for (i, field) in fields.iter().enumerate() {
                    write!(f, "{}{field}", if i > 0 { ", " } else { "" })?;
                }
                f.write_str(">")
            }
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.data, if self.nullable && self.data != DataType::Null { "?" } else { "" })
    }
}

/// A name as it is written in a program: in backticks unless it is an identifier.
pub fn quote_name(name: &str) -> String {
    let mut chars = name.chars();
    let identifier = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_');
    if identifier { name.to_string() } else { format!("`{}`", name.replace('`', "``")) }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", quote_name(&self.name), self.ty)
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, field) in self.fields.iter().enumerate() {
            write!(f, "{}{field}", if i > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}
