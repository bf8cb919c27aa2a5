//! Functions of regular expressions. The dialect is the one of the `regex` crate: linear in the text, so without look-around and back references.

use super::operand::{LARGEST, argument, integer, string};
use super::string::{text, too_long};
use super::{Category, Function, kernels};
use crate::eval::Failure;
use crate::value::Value;
use regex::{Captures, Regex, RegexBuilder};
use std::cell::RefCell;
use std::collections::BTreeMap;

const REGEX: Category = Category::Regex;

/// The most memory that a compiled expression takes.
const SIZE_LIMIT: usize = 4 << 20;
/// How many compiled expressions a thread keeps.
const KEPT: usize = 64;

/// The functions of this topic.
pub(super) const FUNCTIONS: &[Function] = &[
    Function::new(
        "matches",
        Category::Operator,
        &["matches(text: string, pattern: string) -> boolean"],
        "`text matches pattern`: whether the regular expression fits somewhere in the text; `^` and `$` tie it to the ends. Fails for a pattern that is none.",
        &[("\"flowc\" matches r\"^f.*c$\"", "true"), ("\"flowc\" matches \"x\"", "false")],
        |_, args| Ok(Value::Boolean(compiled(string(&args[1]))?.is_match(string(&args[0])))),
    )
    .with_kernel(kernels::matches)
    .failing(),
    Function::new(
        "regexp_like",
        REGEX,
        &["regexp_like(text: string, pattern: string) -> boolean"],
        "As `text matches pattern`.",
        &[("regexp_like(\"a1\", r\"\\d\")", "true")],
        |_, args| Ok(Value::Boolean(compiled(string(&args[1]))?.is_match(string(&args[0])))),
    )
    .with_kernel(kernels::matches)
    .failing(),
    Function::new(
        "regexp_extract",
        REGEX,
        &["regexp_extract(text: string, pattern: string, group: integer = 1) -> string"],
        "What a group of the first match holds, group 0 being the match; empty if there is none.",
        &[("regexp_extract(\"100-200\", r\"(\\d+)-(\\d+)\", 2)", "\"200\""), ("regexp_extract(\"x\", r\"(\\d)\")", "\"\"")],
        |_, args| {
            let regex = compiled(string(&args[1]))?;
            let group = group(&regex, args.get(2).map_or(1, integer))?;
            text(regex.captures(string(&args[0])).as_ref().map_or("", |c| held(c, group)))
        },
    )
    .with_kernel(kernels::regexp_extract)
    .failing(),
    Function::new(
        "regexp_extract_all",
        REGEX,
        &["regexp_extract_all(text: string, pattern: string, group: integer = 1) -> array<string>"],
        "What a group holds in each match.",
        &[("regexp_extract_all(\"100-200, 300-400\", r\"(\\d+)-\\d+\")", "[\"100\", \"300\"]")],
        |_, args| {
            let regex = compiled(string(&args[1]))?;
            let group = group(&regex, args.get(2).map_or(1, integer))?;
            let found = regex.captures_iter(string(&args[0])).map(|c| Value::String(held(&c, group).to_string()));
            Ok(Value::Array(found.collect()))
        },
    )
    .failing(),
    Function::new(
        "regexp_replace",
        REGEX,
        &["regexp_replace(text: string, pattern: string, replacement: string) -> string"],
        "The text with every match replaced; `$1` in the replacement is the first group, `\\$` a dollar sign.",
        &[("regexp_replace(\"100-200\", r\"(\\d+)\", \"num\")", "\"num-num\""), ("regexp_replace(\"ab\", \"(a)(b)\", \"$2$1\")", "\"ba\"")],
        |_, args| {
            let regex = compiled(string(&args[1]))?;
            let replacement = Replacement::parse(&regex, string(&args[2]))?;
            replacement.replace(&regex, string(&args[0])).and_then(text)
        },
    )
    .with_kernel(kernels::regexp_replace)
    .failing(),
    Function::new(
        "regexp_count",
        REGEX,
        &["regexp_count(text: string, pattern: string) -> integer"],
        "The number of matches.",
        &[("regexp_count(\"Steven Jones and Stephen Smith\", r\"Ste(v|ph)en\")", "2")],
        |_, args| Ok(Value::Integer(compiled(string(&args[1]))?.find_iter(string(&args[0])).count() as i32)),
    )
    .failing(),
    Function::new(
        "regexp_instr",
        REGEX,
        &["regexp_instr(text: string, pattern: string) -> integer"],
        "The position of the first match, from 1; 0 if there is none.",
        &[("regexp_instr(\"user@spark\", \"@\")", "5")],
        |_, args| {
            let s = string(&args[0]);
            let found = compiled(string(&args[1]))?.find(s).map(|m| s[..m.start()].chars().count() as i32 + 1);
            Ok(Value::Integer(found.unwrap_or(0)))
        },
    )
    .failing(),
    Function::new(
        "regexp_substr",
        REGEX,
        &["regexp_substr(text: string, pattern: string) -> string?"],
        "The first match; null if there is none.",
        &[("regexp_substr(\"order 66\", r\"\\d+\")", "\"66\""), ("regexp_substr(\"order\", r\"\\d+\")", "null")],
        |_, args| {
            let found = compiled(string(&args[1]))?;
            Ok(found.find(string(&args[0])).map_or(Value::Null, |m| Value::String(m.as_str().to_string())))
        },
    )
    .failing(),
    Function::new(
        "split",
        REGEX,
        &["split(text: string, pattern: string, limit: integer = -1) -> array<string>"],
        "The parts between matches of a regular expression; at most `limit` of them if it is positive.",
        &[("split(\"a1b2c\", r\"[12]\")", "[\"a\", \"b\", \"c\"]"), ("split(\"a,b,c\", \",\", 2)", "[\"a\", \"b,c\"]")],
        |_, args| {
            let regex = compiled(string(&args[1]))?;
            let limit = usize::try_from(args.get(2).map_or(-1, integer)).unwrap_or(0);
            Ok(Value::Array(split(&regex, string(&args[0]), limit).map(|s| Value::String(s.to_string())).collect()))
        },
    )
    .failing(),
];

/// The compiled form of an expression; a thread keeps those it has seen.
pub(crate) fn compiled(pattern: &str) -> Result<Regex, Failure> {
    thread_local! {
        static CACHE: RefCell<BTreeMap<String, Regex>> = const { RefCell::new(BTreeMap::new()) };
    }
    if let Some(regex) = CACHE.with_borrow(|cache| cache.get(pattern).cloned()) {
        return Ok(regex);
    }
    let regex = RegexBuilder::new(pattern).size_limit(SIZE_LIMIT).build().map_err(|e| {
        let shown: String = pattern.chars().take(80).collect();
        let reason = e.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_string();
        argument(format!("{shown:?} is not a regular expression: {reason}"))
    })?;
    CACHE.with_borrow_mut(|cache| {
        if cache.len() >= KEPT {
            cache.clear();
        }
        cache.insert(pattern.to_string(), regex.clone());
    });
    Ok(regex)
}

/// The number of a group, if the expression has it.
pub(super) fn group(regex: &Regex, group: i32) -> Result<usize, Failure> {
    let last = regex.captures_len() - 1;
    usize::try_from(group)
        .ok()
        .filter(|g| *g <= last)
        .ok_or_else(|| argument(format!("the pattern has {last} groups; there is no group {group}")))
}

/// What a group holds; nothing if it took no part in the match.
pub(super) fn held<'a>(captures: &Captures<'a>, group: usize) -> &'a str {
    captures.get(group).map_or("", |m| m.as_str())
}

fn split<'a>(regex: &Regex, s: &'a str, limit: usize) -> impl Iterator<Item = &'a str> {
    let mut parts = vec![];
    let mut from = 0;
    for found in regex.find_iter(s) {
        if limit > 0 && parts.len() + 1 == limit {
            break;
        }
        // As in Java, an empty match at the beginning does not part anything; nor does one at the end.
        if found.is_empty() && (found.start() == 0 || found.start() == s.len()) {
            continue;
        }
        parts.push(&s[from..found.start()]);
        from = found.end();
    }
    parts.push(&s[from..]);
    parts.into_iter()
}

enum Piece {
    Text(String),
    Group(usize),
}

/// The replacement of `regexp_replace`, taken apart.
pub(super) struct Replacement(Vec<Piece>);

impl Replacement {
    /// Reads a replacement as Java does: `$12` is group 12 if there are so many, else group 1 and a `2`.
    pub(super) fn parse(regex: &Regex, replacement: &str) -> Result<Replacement, Failure> {
        let groups = regex.captures_len();
        let mut pieces = vec![];
        let mut literal = String::new();
        let mut chars = replacement.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\\' => literal.push(chars.next().unwrap_or('\\')),
                '$' => {
                    let first = chars.next().and_then(|d| d.to_digit(10)).map(|d| d as usize).filter(|d| *d < groups);
                    let Some(mut group) = first else {
                        return Err(argument(format!(
                            "{replacement:?} refers to a group that the pattern does not have"
                        )));
                    };
                    while let Some(digit) = chars.peek().and_then(|d| d.to_digit(10)) {
                        let longer = group * 10 + digit as usize;
                        if longer >= groups {
                            break;
                        }
                        group = longer;
                        chars.next();
                    }
                    pieces.push(Piece::Text(std::mem::take(&mut literal)));
                    pieces.push(Piece::Group(group));
                }
                other => literal.push(other),
            }
        }
        pieces.push(Piece::Text(literal));
        Ok(Replacement(pieces))
    }

    /// The text with every match replaced.
    pub(super) fn replace(&self, regex: &Regex, s: &str) -> Result<String, Failure> {
        let mut out = String::with_capacity(s.len());
        let mut from = 0;
        for captures in regex.captures_iter(s) {
            let (start, end) = captures.get(0).map_or((0, 0), |m| (m.start(), m.end()));
            out.push_str(&s[from..start]);
            for piece in &self.0 {
                match piece {
                    Piece::Text(t) => out.push_str(t),
                    Piece::Group(g) => out.push_str(held(&captures, *g)),
                }
            }
            from = end;
            if out.len() > LARGEST {
                return Err(too_long(out.len()));
            }
        }
        out.push_str(&s[from..]);
        Ok(out)
    }
}
