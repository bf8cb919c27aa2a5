//! Functions that look for and cut out parts of strings. Positions count characters from 1, as in Spark.

use super::operand::{argument, integer, string};
use super::string::{of_text, text};
use super::{Function, kernels};
use crate::value::Value;

/// The functions of this topic.
pub(super) const FUNCTIONS: &[Function] = &[
    of_text(
        "substring",
        &["substring(text: string, start: integer, length: integer = 2147483647) -> string"],
        "So many characters from a position; from the end where `start` is negative.",
        &[("substring(\"Spark SQL\", 7)", "\"SQL\""), ("substring(\"Spark SQL\", -3, 2)", "\"SQ\"")],
        |_, args| text(substring(string(&args[0]), integer(&args[1]), args.get(2).map_or(i32::MAX, integer))),
    )
    .with_kernel(kernels::part),
    of_text(
        "substr",
        &["substr(text: string, start: integer, length: integer = 2147483647) -> string"],
        "As `substring`.",
        &[("substr(\"abc\", 2, 1)", "\"b\"")],
        |_, args| text(substring(string(&args[0]), integer(&args[1]), args.get(2).map_or(i32::MAX, integer))),
    )
    .with_kernel(kernels::part),
    of_text(
        "left",
        &["left(text: string, count: integer) -> string"],
        "The first characters.",
        &[("left(\"abc\", 2)", "\"ab\"")],
        |_, args| text(substring(string(&args[0]), 1, integer(&args[1]))),
    )
    .with_kernel(kernels::left),
    of_text(
        "right",
        &["right(text: string, count: integer) -> string"],
        "The last characters.",
        &[("right(\"abc\", 2)", "\"bc\""), ("right(\"abc\", 9)", "\"abc\"")],
        |_, args| {
            let s = string(&args[0]);
            let count = usize::try_from(integer(&args[1])).unwrap_or(0);
            text(s.chars().skip(s.chars().count().saturating_sub(count)).collect::<String>())
        },
    ),
    of_text(
        "instr",
        &["instr(text: string, search: string) -> integer"],
        "The position of the first `search`; 0 if there is none.",
        &[("instr(\"SparkSQL\", \"SQL\")", "6"), ("instr(\"abc\", \"x\")", "0")],
        |_, args| Ok(Value::Integer(find(string(&args[0]), string(&args[1]), 1))),
    ),
    of_text(
        "locate",
        &["locate(search: string, text: string, start: integer = 1) -> integer"],
        "The position of the first `search` from `start` on; 0 if there is none.",
        &[("locate(\"b\", \"abcb\", 3)", "4")],
        |_, args| Ok(Value::Integer(find(string(&args[1]), string(&args[0]), args.get(2).map_or(1, integer)))),
    ),
    of_text(
        "position",
        &["position(search: string, text: string, start: integer = 1) -> integer"],
        "As `locate`.",
        &[("position(\"b\", \"abc\")", "2")],
        |_, args| Ok(Value::Integer(find(string(&args[1]), string(&args[0]), args.get(2).map_or(1, integer)))),
    ),
    of_text(
        "contains",
        &["contains(text: string, search: string) -> boolean"],
        "Whether the text has `search` in it.",
        &[("contains(\"Spark SQL\", \"rk S\")", "true")],
        |_, args| Ok(Value::Boolean(string(&args[0]).contains(string(&args[1])))),
    )
    .with_kernel(kernels::contains),
    of_text(
        "startswith",
        &["startswith(text: string, start: string) -> boolean"],
        "Whether the text begins so.",
        &[("startswith(\"Spark\", \"Sp\")", "true")],
        |_, args| Ok(Value::Boolean(string(&args[0]).starts_with(string(&args[1])))),
    )
    .with_kernel(kernels::startswith),
    of_text(
        "endswith",
        &["endswith(text: string, end: string) -> boolean"],
        "Whether the text ends so.",
        &[("endswith(\"Spark\", \"rk\")", "true")],
        |_, args| Ok(Value::Boolean(string(&args[0]).ends_with(string(&args[1])))),
    )
    .with_kernel(kernels::endswith),
    of_text(
        "split_part",
        &["split_part(text: string, separator: string, part: integer) -> string"],
        "One of the parts between separators, counted from 1, or from the end where negative; empty if there are not so many. Fails for part 0.",
        &[("split_part(\"11.12.13\", \".\", 3)", "\"13\""), ("split_part(\"a,b\", \",\", -2)", "\"a\"")],
        |_, args| {
            let (s, separator, part) = (string(&args[0]), string(&args[1]), integer(&args[2]));
            if part == 0 {
                return Err(argument("parts are counted from 1; there is no part 0"));
            }
            let parts: Vec<&str> = if separator.is_empty() { vec![s] } else { s.split(separator).collect() };
            let index = if part > 0 { i64::from(part) - 1 } else { parts.len() as i64 + i64::from(part) };
            text(usize::try_from(index).ok().and_then(|i| parts.get(i).copied()).unwrap_or(""))
        },
    )
    .failing(),
    of_text(
        "substring_index",
        &["substring_index(text: string, separator: string, count: integer) -> string"],
        "What stands before so many separators; behind them, counted from the end, where `count` is negative.",
        &[
            ("substring_index(\"www.apache.org\", \".\", 2)", "\"www.apache\""),
            ("substring_index(\"www.apache.org\", \".\", -1)", "\"org\""),
        ],
        |_, args| text(substring_index(string(&args[0]), string(&args[1]), integer(&args[2]))),
    ),
    of_text(
        "find_in_set",
        &["find_in_set(text: string, list: string) -> integer"],
        "The position of a text in a list parted by commas, from 1; 0 if it is not there or has a comma.",
        &[("find_in_set(\"ab\", \"abc,b,ab\")", "3")],
        |_, args| {
            let (s, list) = (string(&args[0]), string(&args[1]));
            let at = if s.contains(',') { None } else { list.split(',').position(|p| p == s) };
            Ok(Value::Integer(at.map_or(0, |i| i as i32 + 1)))
        },
    ),
    of_text(
        "url_encode",
        &["url_encode(text: string) -> string"],
        "The text as it stands in a URL's form data.",
        &[("url_encode(\"a b&ä\")", "\"a+b%26%C3%A4\"")],
        |_, args| {
            let mut out = String::new();
            for byte in string(&args[0]).bytes() {
                match byte {
                    b' ' => out.push('+'),
                    b if b.is_ascii_alphanumeric() || b"-_.*".contains(&b) => out.push(char::from(b)),
                    b => out.push_str(&format!("%{b:02X}")),
                }
            }
            text(out)
        },
    ),
    of_text(
        "url_decode",
        &["url_decode(text: string) -> string"],
        "Undoes `url_encode`. Fails where the text is not so encoded.",
        &[("url_decode(\"a+b%26\")", "\"a b&\"")],
        |_, args| {
            let s = string(&args[0]);
            url_decode(s).map(Value::String).ok_or_else(|| argument(format!("{s:?} is not URL-encoded")))
        },
    )
    .failing(),
];

/// So many characters from a position, as Spark's `substring`.
pub(super) fn substring(s: &str, start: i32, length: i32) -> &str {
    let start = match start {
        0 => 0,
        p if p > 0 => i64::from(p) - 1,
        p => s.chars().count() as i64 + i64::from(p),
    };
    let end = start + i64::from(length);
    let (start, end) = (start.max(0), end.max(0));
    if end <= start {
        return "";
    }
    if s.is_ascii() {
        let at = |p: i64| p.min(s.len() as i64) as usize;
        return &s[at(start)..at(end)];
    }
    let mut offsets = s.char_indices().map(|(i, _)| i);
    let from = offsets.nth(start as usize).unwrap_or(s.len());
    let to = offsets.nth((end - start - 1) as usize).unwrap_or(s.len());
    &s[from..to]
}

fn find(s: &str, search: &str, start: i32) -> i32 {
    let Ok(skipped) = usize::try_from(i64::from(start) - 1) else { return 0 };
    let from = s.char_indices().map(|(i, _)| i).chain([s.len()]).nth(skipped);
    let Some(from) = from else { return 0 };
    s[from..].find(search).map_or(0, |at| s[..from + at].chars().count() as i32 + 1)
}

fn substring_index<'a>(s: &'a str, separator: &str, count: i32) -> &'a str {
    if separator.is_empty() || count == 0 {
        return "";
    }
    let nth = count.unsigned_abs() as usize - 1;
    if count > 0 {
        s.match_indices(separator).nth(nth).map_or(s, |(i, _)| &s[..i])
    } else {
        s.rmatch_indices(separator).nth(nth).map_or(s, |(i, m)| &s[i + m.len()..])
    }
}

fn url_decode(s: &str) -> Option<String> {
    let mut out = vec![];
    let mut bytes = s.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                (digit()? * 16 + digit()?) as u8
            }
            other => other,
        });
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn substrings_as_spark() {
        for (s, start, length, expected) in [
            ("Spark SQL", 5, 1, "k"),
            ("Spark SQL", 0, 3, "Spa"),
            ("Spark SQL", -20, 12, "S"),
            ("Spark SQL", -20, 3, ""),
            ("äöü", 2, i32::MAX, "öü"),
            ("äöü", 4, 1, ""),
            ("äöü", i32::MIN, i32::MAX, "äö"),
            ("abc", i32::MAX, i32::MAX, ""),
            ("abc", 1, -1, ""),
        ] {
            assert_eq!(substring(s, start, length), expected, "substring({s:?}, {start}, {length})");
        }
    }
}
