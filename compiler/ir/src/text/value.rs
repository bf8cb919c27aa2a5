//! Literals.

use super::name::string;
use super::reader::{Parsed, Reader};
use crate::cast::format::{text_of, write_decimal};
use crate::cast::parse;
use crate::types::DataType;
use crate::value::Value;

/// The text of a value; of its type only a decimal's scale and what is inside of arrays, maps and structs matters.
pub(super) fn print(value: &Value, ty: &DataType) -> String {
    let list = |values: &[Value], ty: &dyn Fn(usize) -> DataType| {
        let items = values.iter().enumerate().map(|(i, v)| print(v, &ty(i)));
        items.collect::<Vec<_>>().join(", ")
    };
    match value {
        Value::Null => "null".into(),
        Value::Boolean(v) => v.to_string(),
        Value::Byte(v) => format!("{v}y"),
        Value::Short(v) => format!("{v}s"),
        Value::Integer(v) => v.to_string(),
        Value::Long(v) => format!("{v}L"),
        Value::Float(v) => format!("{v:?}f").replace("NaN", "nan"),
        Value::Double(v) => format!("{v:?}").replace("NaN", "nan"),
        Value::Decimal(v) => {
            let mut out = String::new();
            let scale = if let DataType::Decimal { scale, .. } = ty { *scale } else { 0 };
            write_decimal(&mut out, *v, scale);
            out + "d"
        }
        Value::String(v) => string(v),
        Value::Binary(v) => format!("x{}", string(&hex::encode(v))),
        Value::Date(v) => dated("date", value, DataType::Date, i64::from(*v), parse::parse_date),
        Value::Timestamp(v) => dated("timestamp", value, DataType::Timestamp, *v, parse::parse_timestamp),
        Value::TimestampNtz(v) => dated("timestamp_ntz", value, DataType::TimestampNtz, *v, parse::parse_timestamp_ntz),
        Value::Duration(v) => dated("duration", value, DataType::Duration, *v, parse::parse_duration),
        Value::Array(items) => {
            let item = if let DataType::Array(item) = ty { item.data.clone() } else { DataType::Null };
            format!("[{}]", list(items, &|_| item.clone()))
        }
        Value::Map(entries) => {
            let (key, item) = match ty {
                DataType::Map(key, item) => ((**key).clone(), item.data.clone()),
                _ => (DataType::Null, DataType::Null),
            };
            let entries = entries.iter().map(|(k, v)| format!("{}: {}", print(k, &key), print(v, &item)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        Value::Struct(values) => {
            let field = |i: usize| match ty {
                DataType::Struct(fields) => fields.get(i).map_or(DataType::Null, |f| f.ty.data.clone()),
                _ => DataType::Null,
            };
            format!("<{}>", list(values, &field))
        }
    }
}

/// A date or the like as people write it, or as its number where that would not be read back.
fn dated<T: Into<i64>>(
    word: &str,
    value: &Value,
    ty: DataType,
    number: i64,
    parse: impl Fn(&str) -> Option<T>,
) -> String {
    let text = text_of(value, &ty);
    if parse(&text).map(Into::into) == Some(number) {
        format!("@{word} {}", string(&text))
    } else {
        format!("@{word} {number}")
    }
}

/// Whether a literal comes next.
pub(super) fn begins(reader: &mut Reader<'_>) -> bool {
    let rest = reader.rest();
    let word = reader.peek_word();
    matches!(word, "null" | "true" | "false" | "nan" | "inf" | "nanf" | "inff")
        || rest.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '"' | '[' | '{' | '<' | '@'))
        || rest.starts_with("x\"")
}

/// The value that comes next, and for a decimal the digits it is written with: all, and those behind the point.
pub(super) fn parse(reader: &mut Reader<'_>) -> Parsed<(Value, Option<(u8, u8)>)> {
    let value = match reader.peek() {
        Some('"') => Value::String(reader.string()?),
        Some('[') => {
            reader.skip(1);
            Value::Array(reader.list("]", inner)?)
        }
        Some('<') => {
            reader.skip(1);
            Value::Struct(reader.list(">", inner)?)
        }
        Some('{') => {
            reader.skip(1);
            let entry = |reader: &mut Reader<'_>| {
                let key = inner(reader)?;
                reader.expect(":")?;
                Ok((key, inner(reader)?))
            };
            Value::Map(reader.list("}", entry)?)
        }
        Some('@') => at_word(reader)?,
        Some(c) if c == '-' || c.is_ascii_digit() => return number(reader),
        _ => match reader.word()? {
            "null" => Value::Null,
            "true" => Value::Boolean(true),
            "false" => Value::Boolean(false),
            "nan" => Value::Double(f64::NAN),
            "nanf" => Value::Float(f32::NAN),
            "inf" => Value::Double(f64::INFINITY),
            "inff" => Value::Float(f32::INFINITY),
            "x" => match hex::decode(reader.string()?) {
                Ok(bytes) => Value::Binary(bytes),
                Err(_) => return reader.fail("expected hexadecimal digits"),
            },
            _ => return reader.fail("expected a literal"),
        },
    };
    Ok((value, None))
}

fn inner(reader: &mut Reader<'_>) -> Parsed<Value> {
    reader.nested(|reader| parse(reader).map(|(value, _)| value))
}

fn at_word(reader: &mut Reader<'_>) -> Parsed<Value> {
    reader.expect("@")?;
    let word = reader.word()?;
    let text = if reader.peek() == Some('"') { Some(reader.string()?) } else { None };
    let number = match &text {
        Some(text) => match word {
            "date" => parse::parse_date(text).map(i64::from),
            "timestamp" => parse::parse_timestamp(text),
            "timestamp_ntz" => parse::parse_timestamp_ntz(text),
            "duration" => parse::parse_duration(text),
            _ => None,
        },
        None => {
            let negative = reader.eat("-");
            let magnitude = i128::from(reader.number::<u64>()?);
            i64::try_from(if negative { -magnitude } else { magnitude }).ok()
        }
    };
    let value = number.and_then(|n| {
        Some(match word {
            "date" => Value::Date(n.try_into().ok()?),
            "timestamp" => Value::Timestamp(n),
            "timestamp_ntz" => Value::TimestampNtz(n),
            "duration" => Value::Duration(n),
            _ => return None,
        })
    });
    value.map_or_else(|| reader.fail(format!("no such {word}")), Ok)
}

fn number(reader: &mut Reader<'_>) -> Parsed<(Value, Option<(u8, u8)>)> {
    let rest = reader.rest();
    let body = rest.strip_prefix('-').unwrap_or(rest);
    for (word, value) in [("inff", Value::Float(f32::NEG_INFINITY)), ("inf", Value::Double(f64::NEG_INFINITY))] {
        if body.starts_with(word) {
            reader.skip(word.len() + 1);
            return Ok((value, None));
        }
    }
    let mut end = rest.len() - body.len();
    let mut previous = ' ';
    for c in body.chars() {
        let signed_exponent = previous == 'e' && (c == '-' || c == '+');
        // A field of a literal is never read: a point belongs to the number where a digit follows.
        let point = c == '.' && rest[end + 1..].starts_with(|c: char| c.is_ascii_digit());
        if !c.is_ascii_alphanumeric() && !signed_exponent && !point {
            break;
        }
        (end, previous) = (end + c.len_utf8(), c);
    }
    let text = &rest[..end];
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let mut decimal = None;
    let value = match &text[digits.len()..] {
        "y" => digits.parse().map(Value::Byte).ok(),
        "s" => digits.parse().map(Value::Short).ok(),
        "L" => digits.parse().map(Value::Long).ok(),
        "f" => digits.parse().map(Value::Float).ok(),
        "d" => {
            let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
            let significant = whole.trim_start_matches('-').trim_start_matches('0').len() + fraction.len();
            decimal = Some((significant.clamp(1, 38) as u8, fraction.len().min(38) as u8));
            let value = format!("{whole}{fraction}").parse().map(Value::Decimal).ok();
            value.filter(|_| significant <= 38)
        }
        "" if digits.contains(['.', 'e']) => digits.parse().map(Value::Double).ok(),
        "" => digits.parse().map(Value::Integer).ok(),
        _ => None,
    };
    match value {
        Some(value) => {
            reader.skip(end);
            Ok((value, decimal))
        }
        None => reader.fail(format!("`{text}` is no number")),
    }
}
