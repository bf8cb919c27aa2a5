//! Functions of numbers.

use super::operand::{argument, double, integer, long, overflow, unscaled};
use super::{Call, Category, Function, decimal};
use crate::cast::double_to_long;
use crate::cast::format::text_of;
use crate::eval::{Failure, FailureCode};
use crate::types::{DataType, Type};
use crate::value::Value;
use std::cmp::Ordering;

const MATH: Category = Category::Math;

macro_rules! of_double {
    ($name:literal, $doc:literal, $examples:expr, $compute:expr) => {
        Function::new($name, MATH, &[concat!($name, "(x: double) -> double")], $doc, $examples, |_, args| {
            let compute: fn(f64) -> f64 = $compute;
            Ok(Value::Double(compute(double(&args[0]))))
        })
    };
}

macro_rules! logarithm {
    ($name:literal, $doc:literal, $examples:expr, $above:literal, $compute:expr) => {
        Function::new($name, MATH, &[concat!($name, "(x: double) -> double?")], $doc, $examples, |_, args| {
            let compute: fn(f64) -> f64 = $compute;
            let x = double(&args[0]);
            Ok(if x <= $above { Value::Null } else { Value::Double(compute(x)) })
        })
    };
}

/// The functions of this topic.
pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("abs", MATH, &["abs(x: N) -> N"], "The number without its sign.", &[("abs(-5)", "5")], abs).failing(),
    Function::new(
        "ceil",
        MATH,
        &["ceil(x: decimal) -> decimal", "ceil(x: long) -> long", "ceil(x: double) -> long"],
        "The least integer that is not less.",
        &[("ceil(-0.1)", "-0"), ("ceil(5.2)", "6"), ("ceil(5.2d)", "6.0d")],
        |call, args| to_whole(call, &args[0], f64::ceil, 1),
    )
    .typed(whole_type)
    .failing(),
    Function::new(
        "ceiling",
        MATH,
        &["ceiling(x: decimal) -> decimal", "ceiling(x: long) -> long", "ceiling(x: double) -> long"],
        "As `ceil`.",
        &[("ceiling(5.2)", "6")],
        |call, args| to_whole(call, &args[0], f64::ceil, 1),
    )
    .typed(whole_type)
    .failing(),
    Function::new(
        "floor",
        MATH,
        &["floor(x: decimal) -> decimal", "floor(x: long) -> long", "floor(x: double) -> long"],
        "The greatest integer that is not greater.",
        &[("floor(-0.1)", "-1"), ("floor(5.9)", "5")],
        |call, args| to_whole(call, &args[0], f64::floor, -1),
    )
    .typed(whole_type)
    .failing(),
    Function::new(
        "round",
        MATH,
        &["round(x: decimal, digits: integer = 0) -> decimal", "round(x: N, digits: integer = 0) -> N"],
        "Rounds half up (away from zero) to so many digits behind the point, or before it where `digits` is negative. A decimal keeps its scale when \
         `digits` is given.",
        &[("round(2.5)", "3.0"), ("round(2.345, 2)", "2.35"), ("round(125, -1)", "130"), ("round(2.45d, 1)", "2.50d")],
        |call, args| round(call, args, false),
    )
    .typed(rounded_type)
    .failing(),
    Function::new(
        "bround",
        MATH,
        &["bround(x: decimal, digits: integer = 0) -> decimal", "bround(x: N, digits: integer = 0) -> N"],
        "Rounds as `round`, but halves to the even neighbour.",
        &[("bround(2.5)", "2.0"), ("bround(3.5)", "4.0"), ("bround(25, -1)", "20")],
        |call, args| round(call, args, true),
    )
    .typed(rounded_type)
    .failing(),
    of_double!("rint", "The nearest whole number, halves to even.", &[("rint(2.5)", "2.0")], f64::round_ties_even),
    of_double!("sqrt", "The square root; NaN of a negative number.", &[("sqrt(9)", "3.0")], f64::sqrt),
    of_double!("cbrt", "The cube root.", &[("cbrt(27.0)", "3.0")], f64::cbrt),
    of_double!("exp", "e to the power of `x`.", &[("exp(0)", "1.0")], f64::exp),
    of_double!("expm1", "`exp(x) - 1`, exact near zero.", &[("expm1(0)", "0.0")], f64::exp_m1),
    of_double!("sin", "The sine of an angle in radians.", &[("sin(0)", "0.0")], f64::sin),
    of_double!("cos", "The cosine of an angle in radians.", &[("cos(0)", "1.0")], f64::cos),
    of_double!("tan", "The tangent of an angle in radians.", &[("tan(0)", "0.0")], f64::tan),
    of_double!("asin", "The angle of this sine; NaN beyond 1.", &[("asin(0)", "0.0")], f64::asin),
    of_double!("acos", "The angle of this cosine; NaN beyond 1.", &[("acos(1)", "0.0")], f64::acos),
    of_double!("atan", "The angle of this tangent.", &[("atan(0)", "0.0")], f64::atan),
    of_double!("sinh", "The hyperbolic sine.", &[("sinh(0)", "0.0")], f64::sinh),
    of_double!("cosh", "The hyperbolic cosine.", &[("cosh(0)", "1.0")], f64::cosh),
    of_double!("tanh", "The hyperbolic tangent.", &[("tanh(0)", "0.0")], f64::tanh),
    of_double!("degrees", "Radians as degrees.", &[("degrees(pi())", "180.0")], f64::to_degrees),
    of_double!("radians", "Degrees as radians.", &[("radians(180) == pi()", "true")], f64::to_radians),
    of_double!(
        "sign",
        "-1.0, 0.0 or 1.0.",
        &[("sign(-40)", "-1.0"), ("sign(0)", "0.0")],
        |x| if x == 0.0 || x.is_nan() { x } else { x.signum() }
    ),
    logarithm!("ln", "The natural logarithm; null of zero and less.", &[("ln(1)", "0.0"), ("ln(0)", "null")], 0.0, f64::ln),
    logarithm!("log2", "The logarithm to base 2; null of zero and less.", &[("log2(8)", "3.0")], 0.0, f64::log2),
    logarithm!("log10", "The logarithm to base 10; null of zero and less.", &[("log10(1000)", "3.0")], 0.0, f64::log10),
    logarithm!("log1p", "`ln(1 + x)`, exact near zero; null of -1 and less.", &[("log1p(0)", "0.0")], -1.0, f64::ln_1p),
    Function::new(
        "log",
        MATH,
        &["log(x: double) -> double?", "log(base: double, x: double) -> double?"],
        "The logarithm to a base, or the natural one; null where base or number are zero or less.",
        &[("log(1)", "0.0"), ("log(2, 8)", "3.0")],
        |_, args| {
            let values: Vec<f64> = args.iter().map(double).collect();
            if values.iter().any(|v| *v <= 0.0) {
                return Ok(Value::Null);
            }
            Ok(Value::Double(match values.as_slice() {
                [base, x] => x.ln() / base.ln(),
                other => other[0].ln(),
            }))
        },
    ),
    Function::new(
        "pow",
        MATH,
        &["pow(x: double, exponent: double) -> double"],
        "`x` to the power of `exponent`.",
        &[("pow(2, 10)", "1024.0")],
        |_, args| Ok(Value::Double(double(&args[0]).powf(double(&args[1])))),
    ),
    Function::new(
        "power",
        MATH,
        &["power(x: double, exponent: double) -> double"],
        "As `pow`.",
        &[("power(2, -1)", "0.5")],
        |_, args| Ok(Value::Double(double(&args[0]).powf(double(&args[1])))),
    ),
    Function::new(
        "atan2",
        MATH,
        &["atan2(y: double, x: double) -> double"],
        "The angle of the point (x, y).",
        &[("atan2(0, 1)", "0.0")],
        |_, args| Ok(Value::Double(double(&args[0]).atan2(double(&args[1])))),
    ),
    Function::new(
        "hypot",
        MATH,
        &["hypot(x: double, y: double) -> double"],
        "The length of the hypotenuse.",
        &[("hypot(3, 4)", "5.0")],
        |_, args| Ok(Value::Double(double(&args[0]).hypot(double(&args[1])))),
    ),
    Function::new("e", MATH, &["e() -> double"], "Euler's number.", &[("round(e(), 4)", "2.7183")], |_, _| {
        Ok(Value::Double(std::f64::consts::E))
    }),
    Function::new("pi", MATH, &["pi() -> double"], "The number π.", &[("round(pi(), 4)", "3.1416")], |_, _| {
        Ok(Value::Double(std::f64::consts::PI))
    }),
    Function::new(
        "greatest",
        MATH,
        &["greatest(xs: O...) -> O"],
        "The greatest operand; nulls are passed over, and it is null if all are.",
        &[("greatest(1, 3, 2)", "3"), ("greatest(1, null)", "1")],
        |_, args| Ok(extreme(args, Ordering::is_gt)),
    )
    .sees_nulls(Some(all_nullable)),
    Function::new(
        "least",
        MATH,
        &["least(xs: O...) -> O"],
        "The least operand; nulls are passed over, and it is null if all are.",
        &[("least(1, 3, 2)", "1"), ("least(null, 2.5)", "2.5")],
        |_, args| Ok(extreme(args, Ordering::is_lt)),
    )
    .sees_nulls(Some(all_nullable)),
    Function::new(
        "clamp",
        MATH,
        &["clamp(x: O, low: O, high: O) -> O"],
        "`x`, but not less than `low` and not greater than `high`.",
        &[("clamp(1200, -40, 999)", "999"), ("clamp(-50.5, -40, 999)", "-40.0")],
        |_, args| {
            let raised = if args[0].compare(&args[1]).is_lt() { &args[1] } else { &args[0] };
            Ok(if raised.compare(&args[2]).is_gt() { args[2].clone() } else { raised.clone() })
        },
    ),
    Function::new(
        "pmod",
        MATH,
        &["pmod(a: N, b: N) -> N"],
        "The remainder that is not negative (for positive `b`). Fails where `b` is zero, unless the operands are floats: then it is NaN.",
        &[("pmod(-7, 3)", "2"), ("pmod(7, 3)", "1")],
        pmod,
    )
    .failing(),
    Function::new(
        "isnan",
        MATH,
        &["isnan(x: double) -> boolean"],
        "Whether `x` is not a number; false for null.",
        &[("isnan(sqrt(-1))", "true"), ("isnan(1)", "false")],
        |_, args| Ok(Value::Boolean(matches!(args[0], Value::Double(x) if x.is_nan()))),
    )
    .sees_nulls(None),
    Function::new(
        "nanvl",
        MATH,
        &["nanvl(x: double, y: double) -> double"],
        "`x`, or `y` where `x` is not a number.",
        &[("nanvl(sqrt(-1), 0)", "0.0")],
        |_, args| Ok(if double(&args[0]).is_nan() { args[1].clone() } else { args[0].clone() }),
    ),
    Function::new(
        "factorial",
        MATH,
        &["factorial(n: integer) -> long?"],
        "The product of 1 to `n`; null outside of 0 to 20.",
        &[("factorial(5)", "120"), ("factorial(21)", "null")],
        |_, args| {
            let n = i64::from(integer(&args[0]));
            Ok(if (0..=20).contains(&n) { Value::Long((1..=n).product()) } else { Value::Null })
        },
    ),
    Function::new(
        "shiftleft",
        MATH,
        &["shiftleft(x: integer, bits: integer) -> integer", "shiftleft(x: long, bits: integer) -> long"],
        "The bits moved up; as in Java only the lowest five (six) bits of `bits` count.",
        &[("shiftleft(2, 3)", "16")],
        |_, args| {
            let bits = integer(&args[1]) as u32;
            Ok(match &args[0] {
                Value::Integer(x) => Value::Integer(x.wrapping_shl(bits)),
                x => Value::Long(long(x).wrapping_shl(bits)),
            })
        },
    ),
    Function::new(
        "shiftright",
        MATH,
        &["shiftright(x: integer, bits: integer) -> integer", "shiftright(x: long, bits: integer) -> long"],
        "The bits moved down, the sign kept.",
        &[("shiftright(-16, 3)", "-2")],
        |_, args| {
            let bits = integer(&args[1]) as u32;
            Ok(match &args[0] {
                Value::Integer(x) => Value::Integer(x.wrapping_shr(bits)),
                x => Value::Long(long(x).wrapping_shr(bits)),
            })
        },
    ),
    Function::new(
        "shiftrightunsigned",
        MATH,
        &[
            "shiftrightunsigned(x: integer, bits: integer) -> integer",
            "shiftrightunsigned(x: long, bits: integer) -> long",
        ],
        "The bits moved down, zeros moving in.",
        &[("shiftrightunsigned(-1, 31)", "1")],
        |_, args| {
            let bits = integer(&args[1]) as u32;
            Ok(match &args[0] {
                Value::Integer(x) => Value::Integer((*x as u32).wrapping_shr(bits) as i32),
                x => Value::Long((long(x) as u64).wrapping_shr(bits) as i64),
            })
        },
    ),
    bitwise("bit_and", &["bit_and(a: I, b: I) -> I"], "The bits set in both.", &[("bit_and(6, 3)", "2")], |_, args| {
        Ok(bits(&args[0], &args[1], |a, b| a & b))
    }),
    bitwise("bit_or", &["bit_or(a: I, b: I) -> I"], "The bits set in either.", &[("bit_or(6, 3)", "7")], |_, args| {
        Ok(bits(&args[0], &args[1], |a, b| a | b))
    }),
    bitwise(
        "bit_xor",
        &["bit_xor(a: I, b: I) -> I"],
        "The bits set in one of them.",
        &[("bit_xor(6, 3)", "5")],
        |_, args| Ok(bits(&args[0], &args[1], |a, b| a ^ b)),
    ),
    bitwise("bit_not", &["bit_not(x: I) -> I"], "The bits turned over.", &[("bit_not(0)", "-1")], |_, args| {
        Ok(bits(&args[0], &args[0], |a, _| !a))
    }),
    bitwise(
        "bit_count",
        &["bit_count(x: long) -> integer"],
        "The number of bits set.",
        &[("bit_count(7)", "3"), ("bit_count(-1)", "64")],
        |_, args| Ok(Value::Integer(long(&args[0]).count_ones() as i32)),
    ),
    bitwise(
        "bit_get",
        &["bit_get(x: long, position: integer) -> integer"],
        "The bit at a position, counted from 0 at the lowest. Fails outside of 0 to 63.",
        &[("bit_get(11, 0)", "1"), ("bit_get(11, 2)", "0")],
        |_, args| {
            let at = integer(&args[1]);
            if !(0..64).contains(&at) {
                return Err(argument(format!("there is no bit {at} in a long")));
            }
            Ok(Value::Integer((long(&args[0]) >> at & 1) as i32))
        },
    )
    .failing(),
    Function::new(
        "bin",
        MATH,
        &["bin(x: long) -> string"],
        "The number in base 2; a negative one as its 64 bits.",
        &[("bin(13)", "\"1101\"")],
        |_, args| Ok(Value::String(format!("{:b}", long(&args[0])))),
    ),
    Function::new(
        "width_bucket",
        MATH,
        &["width_bucket(x: double, low: double, high: double, buckets: long) -> long?"],
        "Which of so many equal buckets between `low` and `high` the value falls in: 0 below, `buckets + 1` above; null where there are no buckets.",
        &[("width_bucket(5.3, 0.2, 10.6, 5)", "3"), ("width_bucket(-1, 0, 10, 5)", "0")],
        width_bucket,
    ),
];

const fn bitwise(
    name: &'static str,
    signatures: &'static [&'static str],
    doc: &'static str,
    examples: &'static [(&'static str, &'static str)],
    scalar: super::Scalar,
) -> Function {
    Function::new(name, MATH, signatures, doc, examples, scalar)
}

fn all_nullable(types: &[Type]) -> bool {
    types.iter().all(|t| t.nullable)
}

fn extreme(args: &[Value], better: fn(Ordering) -> bool) -> Value {
    let mut best = &Value::Null;
    for arg in args.iter().filter(|a| !a.is_null()) {
        if best.is_null() || better(arg.compare(best)) {
            best = arg;
        }
    }
    best.clone()
}

fn does_not_fit(call: &Call<'_>, what: &str, x: &Value) -> Failure {
    overflow(format!("{what}({}) does not fit {}", text_of(x, &call.args[0].data), call.result.data))
}

fn abs(call: &Call<'_>, args: &[Value]) -> Result<Value, Failure> {
    use Value::*;
    let result = match &args[0] {
        Byte(x) => x.checked_abs().map(Byte),
        Short(x) => x.checked_abs().map(Short),
        Integer(x) => x.checked_abs().map(Integer),
        Long(x) => x.checked_abs().map(Long),
        Decimal(x) => x.checked_abs().map(Decimal),
        Float(x) => Some(Float(x.abs())),
        x => Some(Double(double(x).abs())),
    };
    result.ok_or_else(|| does_not_fit(call, "abs", &args[0]))
}

fn whole_type(types: &[Type]) -> Option<DataType> {
    match types[0].data {
        DataType::Decimal { precision, scale } => {
            Some(DataType::Decimal { precision: (precision - scale + 1).min(38), scale: 0 })
        }
        _ => None,
    }
}

fn rounded_type(types: &[Type]) -> Option<DataType> {
    match (&types[0].data, types.len()) {
        (DataType::Decimal { .. }, 1) => whole_type(types),
        (DataType::Decimal { precision, scale }, _) => {
            Some(DataType::Decimal { precision: (precision + 1).min(38), scale: *scale })
        }
        _ => None,
    }
}

/// Rounds to an integer: doubles by `rule`, decimals towards the side of `direction`.
fn to_whole(call: &Call<'_>, x: &Value, rule: fn(f64) -> f64, direction: i128) -> Result<Value, Failure> {
    match x {
        Value::Decimal(v) => {
            let scale = call.args[0].data.as_decimal().map_or(0, |d| d.1);
            let unit = decimal::power_of_ten(scale);
            let (quotient, rest) = (v / unit, v % unit);
            Ok(Value::Decimal(if rest != 0 && rest.signum() == direction { quotient + direction } else { quotient }))
        }
        Value::Double(v) => double_to_long(rule(*v))
            .map(Value::Long)
            .ok_or_else(|| overflow(format!("{} has no neighbour among the longs", text_of(x, &DataType::Double)))),
        other => Ok(other.clone()),
    }
}

fn round(call: &Call<'_>, args: &[Value], half_even: bool) -> Result<Value, Failure> {
    let digits = args.get(1).map_or(0, integer);
    let fail = || does_not_fit(call, "round", &args[0]);
    let whole = |v: i128, most: i128| {
        let rounded =
            decimal::round_digits(v, digits.min(0).unsigned_abs(), half_even).filter(|r| *r <= most && *r >= -most - 1);
        rounded.ok_or_else(fail)
    };
    Ok(match &args[0] {
        Value::Byte(v) => Value::Byte(whole(i128::from(*v), i128::from(i8::MAX))? as i8),
        Value::Short(v) => Value::Short(whole(i128::from(*v), i128::from(i16::MAX))? as i16),
        Value::Integer(v) => Value::Integer(whole(i128::from(*v), i128::from(i32::MAX))? as i32),
        Value::Long(v) => Value::Long(whole(i128::from(*v), i128::from(i64::MAX))? as i64),
        Value::Float(v) => Value::Float(round_text(format!("{v:e}"), digits, half_even).unwrap_or(*v)),
        Value::Decimal(_) => Value::Decimal(round_decimal(call, &args[0], digits, half_even).ok_or_else(fail)?),
        other => {
            let v = double(other);
            Value::Double(round_text(format!("{v:e}"), digits, half_even).unwrap_or(v))
        }
    })
}

fn round_decimal(call: &Call<'_>, x: &Value, digits: i32, half_even: bool) -> Option<i128> {
    let scale = i64::from(call.args[0].data.as_decimal()?.1);
    let to = call.result.data.as_decimal()?;
    let drop = (scale - i64::from(digits)).max(0);
    let rounded = decimal::round_digits(unscaled(x), u32::try_from(drop).ok()?, half_even)?;
    decimal::rescale(rounded, scale as u8, to)
}

/// Rounds the shortest text of a float, as Java's `BigDecimal` does; none if there is nothing to round.
fn round_text<F: std::str::FromStr>(text: String, digits: i32, half_even: bool) -> Option<F> {
    let (mantissa, exponent) = text.split_once('e')?;
    let exponent: i64 = exponent.parse().ok()?;
    let sign = if mantissa.starts_with('-') { "-" } else { "" };
    let all: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).map(|b| b - b'0').collect();
    let keep = exponent + 1 + i64::from(digits);
    if keep >= all.len() as i64 {
        return None;
    }
    if keep < 0 {
        return format!("{sign}0").parse().ok();
    }
    let (kept, rest) = all.split_at(keep as usize);
    let odd = kept.last().is_some_and(|d| d % 2 == 1);
    let up = match rest[0].cmp(&5) {
        Ordering::Equal => !half_even || rest[1..].iter().any(|d| *d > 0) || odd,
        other => other.is_gt(),
    };
    let mut value: u128 = kept.iter().fold(0, |v, d| v * 10 + u128::from(*d));
    value += u128::from(up);
    format!("{sign}{value}e{}", exponent + 1 - keep).parse().ok()
}

fn pmod(call: &Call<'_>, args: &[Value]) -> Result<Value, Failure> {
    use Value::*;
    let zero = || {
        let shown = text_of(&args[0], &call.args[0].data);
        Failure::new(FailureCode::DivisionByZero, format!("pmod({shown}, 0): division by zero"))
    };
    macro_rules! positive {
        ($a:expr, $b:expr, $wrap:path) => {{
            let rest = $a.checked_rem(*$b);
            let rest = if *$b == 0 { return Err(zero()) } else { rest.unwrap_or(0) };
            Ok($wrap(if rest < 0 && *$b > 0 { rest + *$b } else { rest }))
        }};
    }
    match (&args[0], &args[1]) {
        (Byte(a), Byte(b)) => positive!(a, b, Byte),
        (Short(a), Short(b)) => positive!(a, b, Short),
        (Integer(a), Integer(b)) => positive!(a, b, Integer),
        (Long(a), Long(b)) => positive!(a, b, Long),
        (Decimal(a), Decimal(b)) => positive!(a, b, Decimal),
        (Float(a), Float(b)) => {
            let rest = a % b;
            Ok(Float(if rest < 0.0 { (rest + b) % b } else { rest }))
        }
        (a, b) => {
            let (a, b) = (double(a), double(b));
            let rest = a % b;
            Ok(Double(if rest < 0.0 { (rest + b) % b } else { rest }))
        }
    }
}

fn bits(a: &Value, b: &Value, rule: fn(i64, i64) -> i64) -> Value {
    match (a, b) {
        (Value::Byte(a), Value::Byte(b)) => Value::Byte(rule(i64::from(*a), i64::from(*b)) as i8),
        (Value::Short(a), Value::Short(b)) => Value::Short(rule(i64::from(*a), i64::from(*b)) as i16),
        (Value::Integer(a), Value::Integer(b)) => Value::Integer(rule(i64::from(*a), i64::from(*b)) as i32),
        (a, b) => Value::Long(rule(long(a), long(b))),
    }
}

fn width_bucket(_: &Call<'_>, args: &[Value]) -> Result<Value, Failure> {
    let (x, low, high, count) = (double(&args[0]), double(&args[1]), double(&args[2]), long(&args[3]));
    if count <= 0 || count == i64::MAX || x.is_nan() || low == high || !low.is_finite() || !high.is_finite() {
        return Ok(Value::Null);
    }
    let (from, to, at) = if low < high { (low, high, x) } else { (-low, -high, -x) };
    Ok(Value::Long(if at < from {
        0
    } else if at >= to {
        count + 1
    } else {
        // Rounding must not put a value that is below the end into the bucket above it.
        ((count as f64 * (at - from) / (to - from)) as i64).min(count - 1) + 1
    }))
}

#[cfg(test)]
mod tests {
    use super::round_text;

    #[test]
    fn doubles_round_as_their_text() {
        for (v, digits, even, expected) in [
            (2.675, 2, false, 2.68),
            (-2.5, 0, false, -3.0),
            (0.5, 0, true, 0.0),
            (0.4, 0, false, 0.0),
            (1234.5, -2, false, 1200.0),
            (50.0, -2, false, 100.0),
            (49.0, -3, false, 0.0),
            (9.99, 1, false, 10.0),
        ] {
            let v: f64 = v;
            assert_eq!(
                round_text::<f64>(format!("{v:e}"), digits, even).unwrap_or(v),
                expected,
                "round({v}, {digits})"
            );
        }
        assert_eq!(round_text::<f64>(format!("{:e}", f64::NAN), 2, false), None);
    }
}
