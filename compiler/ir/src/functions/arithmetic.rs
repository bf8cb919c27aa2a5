//! The arithmetic operators. Integers, decimals, timestamps and durations are checked: a result that does not fit fails the row. Floats are IEEE 754.

use super::decimal::{self, Digits, Scaled};
use super::operand::overflow;
use super::{Call, Category, Function};
use crate::cast::format::text_of;
use crate::eval::{Failure, FailureCode};
use crate::types::{DataType, Type};
use crate::value::Value;

const OPERATOR: Category = Category::Operator;

/// The functions of this topic.
pub(super) const FUNCTIONS: &[Function] = &[
    Function::new(
        "add",
        OPERATOR,
        &[
            "add(a: decimal, b: decimal) -> decimal",
            "add(a: N, b: N) -> N",
            "add(a: timestamp, b: duration) -> timestamp",
            "add(a: duration, b: timestamp) -> timestamp",
            "add(a: timestamp_ntz, b: duration) -> timestamp_ntz",
            "add(a: duration, b: timestamp_ntz) -> timestamp_ntz",
            "add(a: duration, b: duration) -> duration",
        ],
        "`a + b`. Integers keep the wider operand's type and fail on overflow; decimals follow Spark's rules of precision. A date plus a duration is \
         a timestamp (`date_add` gives a date).",
        &[("1 + 2", "3"), ("1.50d + 2", "3.50d"), ("@2026-11-22T10:00:00Z + 5m", "@2026-11-22T10:05:00Z")],
        add,
    )
    .typed(|t| decimals(t, decimal::sum_type))
    .failing(),
    Function::new(
        "subtract",
        OPERATOR,
        &[
            "subtract(a: decimal, b: decimal) -> decimal",
            "subtract(a: N, b: N) -> N",
            "subtract(a: date, b: date) -> duration",
            "subtract(a: timestamp, b: timestamp) -> duration",
            "subtract(a: timestamp_ntz, b: timestamp_ntz) -> duration",
            "subtract(a: timestamp, b: duration) -> timestamp",
            "subtract(a: timestamp_ntz, b: duration) -> timestamp_ntz",
            "subtract(a: duration, b: duration) -> duration",
        ],
        "`a - b`. The difference of two dates or timestamps is a duration (`datediff` gives days).",
        &[("1 - 2", "-1"), ("@2026-11-22 - @2026-11-20", "2d")],
        subtract,
    )
    .typed(|t| decimals(t, decimal::sum_type))
    .failing(),
    Function::new(
        "multiply",
        OPERATOR,
        &[
            "multiply(a: decimal, b: decimal) -> decimal",
            "multiply(a: N, b: N) -> N",
            "multiply(a: duration, b: long) -> duration",
            "multiply(a: long, b: duration) -> duration",
        ],
        "`a * b`.",
        &[("6 * 7", "42"), ("1.5d * 1.5d", "2.25d"), ("5m * 3", "15m")],
        multiply,
    )
    .typed(|t| decimals(t, decimal::product_type))
    .failing(),
    Function::new(
        "divide",
        OPERATOR,
        &[
            "divide(a: decimal, b: decimal) -> decimal",
            "divide(a: double, b: double) -> double",
            "divide(a: duration, b: long) -> duration",
        ],
        "`a / b`: a double, or a decimal where an operand is a decimal and none a float. A decimal or a duration divided by zero fails, a double is \
         infinite or NaN.",
        &[("7 / 2", "3.5"), ("1d / 4", "6h")],
        divide,
    )
    .typed(|t| decimals(t, decimal::quotient_type))
    .failing(),
    Function::new(
        "div",
        OPERATOR,
        &["div(a: decimal, b: decimal) -> long", "div(a: I, b: I) -> I", "div(a: duration, b: duration) -> long"],
        "`a div b`: the quotient without its fraction. Fails where `b` is zero.",
        &[("7 div 2", "3"), ("-7 div 2", "-3"), ("10.5d div 2", "5"), ("1h div 25m", "2")],
        div,
    )
    .failing(),
    Function::new(
        "mod",
        OPERATOR,
        &["mod(a: decimal, b: decimal) -> decimal", "mod(a: N, b: N) -> N", "mod(a: duration, b: duration) -> duration"],
        "`a % b`: what `a div b` leaves, with the sign of `a`. Fails where `b` is zero, unless the operands are floats: then it is NaN.",
        &[("7 % 3", "1"), ("-7 % 3", "-1"), ("7.5 % 2", "1.5"), ("1h % 25m", "10m")],
        modulo,
    )
    .typed(|t| decimals(t, decimal::remainder_type))
    .failing(),
    Function::new(
        "negate",
        OPERATOR,
        &["negate(a: N) -> N", "negate(a: duration) -> duration"],
        "`-a`. Fails for the least integer of its type, which has no opposite.",
        &[("-(1 + 2)", "-3")],
        negate,
    )
    .failing(),
];

fn decimals(types: &[Type], rule: fn(&DataType, &DataType) -> Option<DataType>) -> Option<DataType> {
    match types {
        [a, b] if matches!(a.data, DataType::Decimal { .. }) => rule(&a.data, &b.data),
        _ => None,
    }
}

/// The scales of two decimal operands and the digits of the result.
pub(super) fn decimal_shape(call: &Call<'_>) -> (u8, u8, Digits) {
    let shape = |t: &DataType| t.as_decimal().unwrap_or((38, 0));
    (shape(&call.args[0].data).1, shape(&call.args[1].data).1, shape(&call.result.data))
}

/// ``a + b does not fit integer``
fn does_not_fit(call: &Call<'_>, args: &[Value], sign: &str) -> Failure {
    overflow(format!("{} does not fit {}", expression(call, args, sign), call.result.data))
}

fn by_zero(call: &Call<'_>, args: &[Value], sign: &str) -> Failure {
    Failure::new(FailureCode::DivisionByZero, format!("{}: division by zero", expression(call, args, sign)))
}

fn expression(call: &Call<'_>, args: &[Value], sign: &str) -> String {
    let shown: Vec<String> = args.iter().zip(call.args).map(|(v, t)| text_of(v, &t.data)).collect();
    match shown.as_slice() {
        [a] => format!("{sign}{a}"),
        [a, b] => format!("{a} {sign} {b}"),
        _ => sign.to_string(),
    }
}

macro_rules! checked {
    ($args:expr, $call:expr, $sign:literal, $method:ident, $float:tt, $decimal:path) => {{
        use Value::*;
        let args: &[Value] = $args;
        let result = match (&args[0], &args[1]) {
            (Byte(a), Byte(b)) => a.$method(*b).map(Byte),
            (Short(a), Short(b)) => a.$method(*b).map(Short),
            (Integer(a), Integer(b)) => a.$method(*b).map(Integer),
            (Long(a), Long(b)) => a.$method(*b).map(Long),
            (Float(a), Float(b)) => Some(Float(a $float b)),
            (Double(a), Double(b)) => Some(Double(a $float b)),
            (Decimal(a), Decimal(b)) => {
                let (s, t, to) = decimal_shape($call);
                let (a, b): (Scaled, Scaled) = ((*a, s), (*b, t));
                $decimal(a, b, to).map(Decimal)
            }
            (Timestamp(a), Duration(b)) | (Duration(a), Timestamp(b)) => a.$method(*b).map(Timestamp),
            (TimestampNtz(a), Duration(b)) | (Duration(a), TimestampNtz(b)) => a.$method(*b).map(TimestampNtz),
            (Timestamp(a), Timestamp(b)) | (TimestampNtz(a), TimestampNtz(b)) | (Duration(a), Duration(b))
            | (Duration(a), Long(b)) | (Long(a), Duration(b)) => a.$method(*b).map(Duration),
            (Date(a), Date(b)) => {
                (i64::from(*a) - i64::from(*b)).checked_mul(crate::calendar::MICROS_PER_DAY).map(Duration)
            }
            (a, b) => unreachable!("{a:?} {} {b:?}: the expression was not verified", $sign),
        };
        result.ok_or_else(|| does_not_fit($call, args, $sign))
    }};
}

fn add(call: &Call<'_>, args: &[Value]) -> Result<Value, Failure> {
    checked!(args, call, "+", checked_add, +, decimal::add)
}

fn subtract(call: &Call<'_>, args: &[Value]) -> Result<Value, Failure> {
    checked!(args, call, "-", checked_sub, -, decimal::subtract)
}

fn multiply(call: &Call<'_>, args: &[Value]) -> Result<Value, Failure> {
    checked!(args, call, "*", checked_mul, *, decimal::multiply)
}

fn is_zero(value: &Value) -> bool {
    use Value::*;
    matches!(value, Byte(0) | Short(0) | Integer(0) | Long(0) | Decimal(0) | Duration(0))
}

fn divide(call: &Call<'_>, args: &[Value]) -> Result<Value, Failure> {
    use Value::*;
    if is_zero(&args[1]) {
        return Err(by_zero(call, args, "/"));
    }
    let result = match (&args[0], &args[1]) {
        (Double(a), Double(b)) => Some(Double(a / b)),
        (Decimal(a), Decimal(b)) => {
            let (s, t, to) = decimal_shape(call);
            decimal::divide((*a, s), (*b, t), to).map(Decimal)
        }
        (Duration(a), Long(b)) => decimal::divide((i128::from(*a), 0), (i128::from(*b), 0), (38, 0))
            .and_then(|v| i64::try_from(v).ok())
            .map(Duration),
        (a, b) => unreachable!("{a:?} / {b:?}: the expression was not verified"),
    };
    result.ok_or_else(|| does_not_fit(call, args, "/"))
}

fn div(call: &Call<'_>, args: &[Value]) -> Result<Value, Failure> {
    use Value::*;
    if is_zero(&args[1]) {
        return Err(by_zero(call, args, "div"));
    }
    let result = match (&args[0], &args[1]) {
        (Byte(a), Byte(b)) => a.checked_div(*b).map(Byte),
        (Short(a), Short(b)) => a.checked_div(*b).map(Short),
        (Integer(a), Integer(b)) => a.checked_div(*b).map(Integer),
        (Long(a), Long(b)) => a.checked_div(*b).map(Long),
        (Duration(a), Duration(b)) => a.checked_div(*b).map(Long),
        (Decimal(a), Decimal(b)) => {
            let (s, t, _) = decimal_shape(call);
            decimal::integral_divide((*a, s), (*b, t)).map(Long)
        }
        (a, b) => unreachable!("{a:?} div {b:?}: the expression was not verified"),
    };
    result.ok_or_else(|| does_not_fit(call, args, "div"))
}

fn modulo(call: &Call<'_>, args: &[Value]) -> Result<Value, Failure> {
    use Value::*;
    if is_zero(&args[1]) {
        return Err(by_zero(call, args, "%"));
    }
    Ok(match (&args[0], &args[1]) {
        // The least integer has remainder 0 by -1, though the quotient does not fit.
        (Byte(a), Byte(b)) => Byte(a.wrapping_rem(*b)),
        (Short(a), Short(b)) => Short(a.wrapping_rem(*b)),
        (Integer(a), Integer(b)) => Integer(a.wrapping_rem(*b)),
        (Long(a), Long(b)) => Long(a.wrapping_rem(*b)),
        (Duration(a), Duration(b)) => Duration(a.wrapping_rem(*b)),
        (Float(a), Float(b)) => Float(a % b),
        (Double(a), Double(b)) => Double(a % b),
        (Decimal(a), Decimal(b)) => {
            let (s, t, to) = decimal_shape(call);
            let rest = decimal::remainder((*a, s), (*b, t), to);
            Decimal(rest.ok_or_else(|| does_not_fit(call, args, "%"))?)
        }
        (a, b) => unreachable!("{a:?} % {b:?}: the expression was not verified"),
    })
}

fn negate(call: &Call<'_>, args: &[Value]) -> Result<Value, Failure> {
    use Value::*;
    let result = match &args[0] {
        Byte(a) => a.checked_neg().map(Byte),
        Short(a) => a.checked_neg().map(Short),
        Integer(a) => a.checked_neg().map(Integer),
        Long(a) => a.checked_neg().map(Long),
        Duration(a) => a.checked_neg().map(Duration),
        Decimal(a) => a.checked_neg().map(Decimal),
        Float(a) => Some(Float(-a)),
        Double(a) => Some(Double(-a)),
        a => unreachable!("-{a:?}: the expression was not verified"),
    };
    result.ok_or_else(|| does_not_fit(call, args, "-"))
}
