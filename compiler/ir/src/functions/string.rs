//! Functions that measure and make strings. Positions count characters from 1, as in Spark.

use super::operand::{LARGEST, argument, array, bytes, double, integer, long, string, unscaled};
use super::{Call, Category, Function, decimal, kernels};
use crate::cast::format::write_decimal;
use crate::eval::Failure;
use crate::types::DataType;
use crate::value::Value;

const STRING: Category = Category::String;

pub(super) const fn of_text(
    name: &'static str,
    signatures: &'static [&'static str],
    doc: &'static str,
    examples: &'static [(&'static str, &'static str)],
    scalar: super::Scalar,
) -> Function {
    Function::new(name, STRING, signatures, doc, examples, scalar)
}

/// A string result.
pub(super) fn text(s: impl Into<String>) -> Result<Value, Failure> {
    Ok(Value::String(s.into()))
}

/// The functions of this topic.
pub(super) const FUNCTIONS: &[Function] = &[
    of_text(
        "upper",
        &["upper(text: string) -> string"],
        "The text in capital letters.",
        &[("upper(\"aß\")", "\"ASS\"")],
        |_, args| text(string(&args[0]).to_uppercase()),
    )
    .with_kernel(kernels::upper),
    of_text(
        "lower",
        &["lower(text: string) -> string"],
        "The text in small letters.",
        &[("lower(\"ABC\")", "\"abc\"")],
        |_, args| text(string(&args[0]).to_lowercase()),
    )
    .with_kernel(kernels::lower),
    of_text(
        "ucase",
        &["ucase(text: string) -> string"],
        "As `upper`.",
        &[("ucase(\"a\")", "\"A\"")],
        |_, args| text(string(&args[0]).to_uppercase()),
    )
    .with_kernel(kernels::upper),
    of_text(
        "lcase",
        &["lcase(text: string) -> string"],
        "As `lower`.",
        &[("lcase(\"A\")", "\"a\"")],
        |_, args| text(string(&args[0]).to_lowercase()),
    )
    .with_kernel(kernels::lower),
    of_text(
        "initcap",
        &["initcap(text: string) -> string"],
        "Each word with a capital letter, the rest in small ones. Words are parted by spaces.",
        &[("initcap(\"sPark sql\")", "\"Spark Sql\"")],
        |_, args| text(initcap(string(&args[0]))),
    )
    .with_kernel(kernels::capitalized),
    of_text(
        "length",
        &["length(text: string) -> integer", "length(x: binary) -> integer"],
        "The number of characters, or of a binary's bytes.",
        &[("length(\"äöü\")", "3")],
        |_, args| Ok(Value::Integer(length(&args[0]))),
    )
    .with_kernel(kernels::length),
    of_text(
        "char_length",
        &["char_length(text: string) -> integer"],
        "The number of characters.",
        &[("char_length(\"abc\")", "3")],
        |_, args| Ok(Value::Integer(length(&args[0]))),
    )
    .with_kernel(kernels::length),
    of_text(
        "octet_length",
        &["octet_length(text: string) -> integer", "octet_length(x: binary) -> integer"],
        "The number of bytes (of UTF-8).",
        &[("octet_length(\"ä\")", "2")],
        |_, args| Ok(Value::Integer(bytes(&args[0]).len() as i32)),
    )
    .with_kernel(kernels::octet_length),
    of_text(
        "bit_length",
        &["bit_length(text: string) -> integer", "bit_length(x: binary) -> integer"],
        "The number of bits (of UTF-8).",
        &[("bit_length(\"ab\")", "16")],
        |_, args| Ok(Value::Integer((bytes(&args[0]).len() as i32).saturating_mul(8))),
    ),
    of_text(
        "trim",
        &["trim(text: string, characters: string = \" \") -> string"],
        "The text without spaces (or these characters) at both ends.",
        &[("trim(\"  a b \")", "\"a b\""), ("trim(\"xxaxx\", \"x\")", "\"a\"")],
        |_, args| text(trim(args, true, true)),
    )
    .with_kernel(kernels::trim),
    of_text(
        "btrim",
        &["btrim(text: string, characters: string = \" \") -> string"],
        "As `trim`.",
        &[("btrim(\" a \")", "\"a\"")],
        |_, args| text(trim(args, true, true)),
    )
    .with_kernel(kernels::trim),
    of_text(
        "ltrim",
        &["ltrim(text: string, characters: string = \" \") -> string"],
        "The text without spaces (or these characters) at its beginning.",
        &[("ltrim(\" a \")", "\"a \"")],
        |_, args| text(trim(args, true, false)),
    )
    .with_kernel(kernels::ltrim),
    of_text(
        "rtrim",
        &["rtrim(text: string, characters: string = \" \") -> string"],
        "The text without spaces (or these characters) at its end.",
        &[("rtrim(\" a \")", "\" a\"")],
        |_, args| text(trim(args, false, true)),
    )
    .with_kernel(kernels::rtrim),
    of_text(
        "lpad",
        &["lpad(text: string, length: integer, pad: string = \" \") -> string"],
        "The text filled up on the left to so many characters, or cut off there.",
        &[("lpad(\"7\", 3, \"0\")", "\"007\""), ("lpad(\"abcd\", 2)", "\"ab\"")],
        |_, args| pad(args, true),
    )
    .failing(),
    of_text(
        "rpad",
        &["rpad(text: string, length: integer, pad: string = \" \") -> string"],
        "The text filled up on the right to so many characters, or cut off there.",
        &[("rpad(\"ab\", 5, \"xy\")", "\"abxyx\"")],
        |_, args| pad(args, false),
    )
    .failing(),
    of_text(
        "repeat",
        &["repeat(text: string, times: integer) -> string"],
        "The text so many times. Fails beyond 64 MiB.",
        &[("repeat(\"ab\", 3)", "\"ababab\"")],
        |_, args| {
            let times = usize::try_from(integer(&args[1])).unwrap_or(0);
            let size = string(&args[0]).len().saturating_mul(times);
            if size > LARGEST { Err(too_long(size)) } else { text(string(&args[0]).repeat(times)) }
        },
    )
    .failing(),
    of_text(
        "space",
        &["space(count: integer) -> string"],
        "So many spaces. Fails beyond 64 MiB.",
        &[("space(2)", "\"  \"")],
        |_, args| {
            let count = usize::try_from(integer(&args[0])).unwrap_or(0);
            if count > LARGEST { Err(too_long(count)) } else { text(" ".repeat(count)) }
        },
    )
    .failing(),
    of_text(
        "reverse",
        &["reverse(text: string) -> string", "reverse(xs: array<T>) -> array<T>"],
        "The characters, or elements, from last to first.",
        &[("reverse(\"abc\")", "\"cba\""), ("reverse([1, 2])", "[2, 1]")],
        |_, args| match &args[0] {
            Value::String(s) => text(s.chars().rev().collect::<String>()),
            items => Ok(Value::Array(array(items).iter().rev().cloned().collect())),
        },
    ),
    of_text(
        "replace",
        &["replace(text: string, search: string, replacement: string = \"\") -> string"],
        "The text with every `search` replaced.",
        &[("replace(\"a-b-c\", \"-\", \"+\")", "\"a+b+c\""), ("replace(\"abc\", \"b\")", "\"ac\"")],
        |_, args| replace(string(&args[0]), string(&args[1]), args.get(2).map_or("", string)).and_then(text),
    )
    .with_kernel(kernels::replace)
    .failing(),
    of_text(
        "translate",
        &["translate(text: string, from: string, to: string) -> string"],
        "Each character that is in `from` becomes the one at its place in `to`, or is left out if there is none.",
        &[("translate(\"AaBbCc\", \"abc\", \"12\")", "\"A1B2C\"")],
        |_, args| {
            let from: Vec<char> = string(&args[1]).chars().collect();
            let to: Vec<char> = string(&args[2]).chars().collect();
            let one = |c: char| match from.iter().position(|f| *f == c) {
                Some(i) => to.get(i).copied(),
                None => Some(c),
            };
            text(string(&args[0]).chars().filter_map(one).collect::<String>())
        },
    ),
    of_text(
        "concat",
        &[
            "concat(texts: string...) -> string",
            "concat(xs: binary...) -> binary",
            "concat(xs: array<T>...) -> array<T>",
        ],
        "The operands one behind the other.",
        &[("concat(\"a\", \"b\", \"c\")", "\"abc\""), ("concat([1], [2, 3])", "[1, 2, 3]")],
        concat,
    )
    .with_kernel(kernels::concat)
    .failing(),
    of_text(
        "concat_ws",
        &[
            "concat_ws(separator: string, texts: string...) -> string",
            "concat_ws(separator: string, texts: array<string?>) -> string",
        ],
        "The texts that are not null, with the separator between them.",
        &[("concat_ws(\"-\", \"a\", null, \"b\")", "\"a-b\""), ("concat_ws(\"/\", [\"a\", \"b\"])", "\"a/b\"")],
        concat_ws,
    )
    .sees_nulls(Some(|types| types[0].nullable))
    .failing(),
    of_text(
        "overlay",
        &["overlay(text: string, replacement: string, start: integer, length: integer = -1) -> string"],
        "The text with the characters from `start` replaced: as many as the replacement has, or `length`.",
        &[("overlay(\"Spark SQL\", \"_\", 6)", "\"Spark_SQL\""), ("overlay(\"abcdef\", \"X\", 2, 3)", "\"aXef\"")],
        |_, args| {
            let (replacement, start) = (string(&args[1]), i64::from(integer(&args[2])));
            let given = args.get(3).map_or(-1, integer);
            let length = if given < 0 { replacement.chars().count() as i64 } else { i64::from(given) };
            let all: Vec<char> = string(&args[0]).chars().collect();
            let at = |position: i64| position.clamp(0, all.len() as i64) as usize;
            let head = all[..at(start - 1)].iter();
            let tail = all[at((start - 1).max(0).saturating_add(length))..].iter();
            text(head.copied().chain(replacement.chars()).chain(tail.copied()).collect::<String>())
        },
    ),
    of_text(
        "ascii",
        &["ascii(text: string) -> integer"],
        "The code point of the first character; 0 for an empty text.",
        &[("ascii(\"A\")", "65")],
        |_, args| Ok(Value::Integer(string(&args[0]).chars().next().map_or(0, |c| c as i32))),
    ),
    of_text(
        "chr",
        &["chr(code: long) -> string"],
        "The character of this Latin-1 code (modulo 256); empty for a negative one.",
        &[("chr(65)", "\"A\"")],
        |_, args| {
            let code = long(&args[0]);
            text(if code < 0 { String::new() } else { char::from((code & 0xff) as u8).to_string() })
        },
    ),
    of_text(
        "levenshtein",
        &["levenshtein(a: string, b: string) -> integer"],
        "The number of characters to insert, delete or change to get from one text to the other. Fails for very long texts.",
        &[("levenshtein(\"kitten\", \"sitting\")", "3")],
        |_, args| {
            let (a, b) = (string(&args[0]), string(&args[1]));
            if a.len().saturating_mul(b.len()) > LARGEST {
                return Err(argument(format!("texts of {} and {} bytes are too long to compare", a.len(), b.len())));
            }
            Ok(Value::Integer(strsim::levenshtein(a, b) as i32))
        },
    )
    .failing(),
    of_text(
        "soundex",
        &["soundex(text: string) -> string"],
        "The Soundex code of a name.",
        &[("soundex(\"Miller\")", "\"M460\"")],
        |_, args| text(soundex(string(&args[0]))),
    ),
    of_text(
        "format_number",
        &[
            "format_number(x: decimal, digits: integer) -> string?",
            "format_number(x: long, digits: integer) -> string?",
            "format_number(x: double, digits: integer) -> string?",
        ],
        "The number with commas between thousands and so many digits behind the point, halves rounded to even; null for negative `digits`.",
        &[("format_number(12332.123456, 4)", "\"12,332.1235\""), ("format_number(1234567, 0)", "\"1,234,567\"")],
        format_number,
    ),
];

pub(super) fn too_long(size: usize) -> Failure {
    argument(format!("the result would have {size} bytes, more than {LARGEST}"))
}

pub(super) fn length(x: &Value) -> i32 {
    match x {
        Value::String(s) => s.chars().count() as i32,
        other => bytes(other).len() as i32,
    }
}

pub(super) fn initcap(s: &str) -> String {
    let mut out = String::with_capacity(s.len());
    let mut first = true;
    for c in s.chars() {
        if first {
            out.extend(c.to_uppercase());
        } else {
            out.extend(c.to_lowercase());
        }
        first = c == ' ';
    }
    out
}

fn trim(args: &[Value], start: bool, end: bool) -> &str {
    trimmed(string(&args[0]), args.get(1).map_or(" ", string), start, end)
}

/// A text without these characters at its ends.
pub(super) fn trimmed<'a>(mut s: &'a str, unwanted: &str, start: bool, end: bool) -> &'a str {
    if start {
        s = s.trim_start_matches(|c| unwanted.contains(c));
    }
    if end {
        s = s.trim_end_matches(|c| unwanted.contains(c));
    }
    s
}

fn pad(args: &[Value], left: bool) -> Result<Value, Failure> {
    let s = string(&args[0]);
    let wanted = usize::try_from(integer(&args[1])).unwrap_or(0);
    let filling = args.get(2).map_or(" ", string);
    let count = s.chars().count();
    if wanted <= count || filling.is_empty() {
        return text(s.chars().take(wanted).collect::<String>());
    }
    let missing = wanted - count;
    if missing.saturating_mul(4) > LARGEST {
        return Err(too_long(wanted));
    }
    let filling: String = filling.chars().cycle().take(missing).collect();
    text(if left { filling + s } else { s.to_string() + &filling })
}

/// Replaces every `search`; an empty one is nowhere.
pub(super) fn replace(s: &str, search: &str, replacement: &str) -> Result<String, Failure> {
    if search.is_empty() {
        return Ok(s.to_string());
    }
    let size = s.len() + s.len() / search.len() * replacement.len();
    if size > LARGEST {
        return Err(too_long(size));
    }
    Ok(s.replace(search, replacement))
}

fn concat(call: &Call<'_>, args: &[Value]) -> Result<Value, Failure> {
    if matches!(call.result.data, DataType::Array(_)) {
        return super::array::concat(args);
    }
    let size = args.iter().map(|a| bytes(a).len()).sum();
    if size > LARGEST {
        return Err(too_long(size));
    }
    Ok(match call.result.data {
        DataType::String => Value::String(args.iter().map(string).collect()),
        _ => Value::Binary(args.iter().flat_map(bytes).copied().collect()),
    })
}

fn concat_ws(_: &Call<'_>, args: &[Value]) -> Result<Value, Failure> {
    let Value::String(separator) = &args[0] else { return Ok(Value::Null) };
    let mut parts: Vec<&str> = vec![];
    for arg in &args[1..] {
        match arg {
            Value::Null => {}
            Value::Array(items) => parts.extend(items.iter().filter(|v| !v.is_null()).map(string)),
            one => parts.push(string(one)),
        }
    }
    let size = parts.iter().map(|p| p.len() + separator.len()).sum();
    if size > LARGEST { Err(too_long(size)) } else { text(parts.join(separator)) }
}

fn soundex(s: &str) -> String {
    // Letters that sound alike share a digit; `h` and `w` (7) do not part them, vowels (0) do.
    const CODES: &[u8; 26] = b"01230127022455012623017202";
    let Some(first) = s.chars().next().filter(char::is_ascii_alphabetic) else { return s.to_string() };
    let code = |c: char| CODES[(c.to_ascii_uppercase() as u8 - b'A') as usize];
    let mut out = String::from(first.to_ascii_uppercase());
    let mut last = code(first);
    for c in s.chars().skip(1).filter(char::is_ascii_alphabetic) {
        let digit = code(c);
        if digit == b'7' {
            continue;
        }
        if digit != b'0' && digit != last {
            out.push(char::from(digit));
        }
        last = digit;
        if out.len() == 4 {
            break;
        }
    }
    format!("{out:0<4}")
}

/// The most digits behind the point that `format_number` writes.
const MOST_DIGITS: i32 = 400;

fn format_number(call: &Call<'_>, args: &[Value]) -> Result<Value, Failure> {
    let digits = integer(&args[1]);
    if digits < 0 {
        return Ok(Value::Null);
    }
    let digits = digits.min(MOST_DIGITS) as usize;
    let plain = match &args[0] {
        Value::Decimal(_) => {
            let scale = call.args[0].data.as_decimal().map_or(0, |d| d.1);
            let drop = usize::from(scale).saturating_sub(digits) as u32;
            let rounded = decimal::round_digits(unscaled(&args[0]), drop, true).unwrap_or(i128::MAX);
            let mut out = String::new();
            write_decimal(&mut out, rounded, scale);
            with_digits(&out, digits)
        }
        Value::Long(v) => with_digits(&v.to_string(), digits),
        other => {
            let v = double(other);
            if !v.is_finite() {
                return text(if v.is_nan() {
                    "NaN"
                } else if v > 0.0 {
                    "∞"
                } else {
                    "-∞"
                });
            }
            format!("{v:.digits$}")
        }
    };
    let (sign, number) = plain.strip_prefix('-').map_or(("", plain.as_str()), |rest| ("-", rest));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let mut grouped = String::new();
    for (i, c) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(c);
    }
    let point = if fraction.is_empty() { "" } else { "." };
    text(format!("{sign}{grouped}{point}{fraction}"))
}

fn with_digits(plain: &str, digits: usize) -> String {
    let (whole, fraction) = plain.split_once('.').unwrap_or((plain, ""));
    if digits == 0 { whole.to_string() } else { format!("{whole}.{fraction:0<digits$.digits$}") }
}
