//! Runs the examples of the reference: a small reader of the language's expressions, enough for calls, operators and literals.

use super::{Category, FunctionRef, all, resolve};
use crate::cast::cast_value;
use crate::cast::parse::{parse_date, parse_decimal, parse_duration, parse_timestamp};
use crate::eval::EvalContext;
use crate::expr::{CastFailure, Expr, ExprKind, Origin};
use crate::interpret;
use crate::types::{DataType, Field, Type};
use crate::value::Value;

struct Reader<'a> {
    rest: &'a str,
}

fn expr(kind: ExprKind, ty: Type) -> Expr {
    Expr::new(kind, ty, Origin::default())
}

fn literal(value: Value, data: DataType) -> Expr {
    expr(ExprKind::Literal(value), Type::new(data))
}

fn widen(value: Expr, data: &DataType) -> Expr {
    if value.ty.data == *data {
        return value;
    }
    let ty = Type { data: data.clone(), nullable: value.ty.nullable };
    expr(ExprKind::Cast { value: Box::new(value), on_failure: CastFailure::Never }, ty)
}

fn call(name: &str, args: Vec<Expr>) -> Expr {
    let types: Vec<Type> = args.iter().map(|a| a.ty.clone()).collect();
    let found = resolve(name, &types).unwrap_or_else(|e| panic!("{name}({types:?}): {e:?}"));
    let args = args.into_iter().zip(&found.parameters).map(|(a, p)| widen(a, &p.data)).collect();
    expr(ExprKind::Call { function: found.function, args }, found.result)
}

const LEVELS: [&[(&str, &str)]; 3] = [
    &[
        ("==", "equal"),
        ("!=", "not_equal"),
        ("<=", "less_equal"),
        (">=", "greater_equal"),
        ("<", "less"),
        (">", "greater"),
        ("like ", "like"),
        ("matches ", "matches"),
    ],
    &[("+", "add"), ("-", "subtract")],
    &[("*", "multiply"), ("/", "divide"), ("%", "mod"), ("div ", "div")],
];

impl Reader<'_> {
    fn eat(&mut self, token: &str) -> bool {
        let trimmed = self.rest.trim_start();
        let found = trimmed.strip_prefix(token);
        self.rest = found.unwrap_or(trimmed);
        found.is_some()
    }

    fn take(&mut self, accept: impl Fn(char) -> bool) -> String {
        let end = self.rest.find(|c| !accept(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken.to_string()
    }

    fn binary(&mut self, level: usize) -> Expr {
        let Some(operators) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1);
        while let Some((_, name)) = operators.iter().find(|(sign, _)| self.eat(sign)) {
            let right = self.binary(level + 1);
            left = call(name, vec![left, right]);
        }
        left
    }

    fn unary(&mut self) -> Expr {
        if self.eat("-") { call("negate", vec![self.unary()]) } else { self.postfix() }
    }

    fn postfix(&mut self) -> Expr {
        let mut value = self.primary();
        loop {
            if self.eat("[") {
                let index = self.binary(0);
                assert!(self.eat("]"));
                value = call("index", vec![value, index]);
            } else if self.eat("as string") {
                let ty = Type { data: DataType::String, nullable: value.ty.nullable };
                value = expr(ExprKind::Cast { value: Box::new(value), on_failure: CastFailure::Error }, ty);
            } else {
                return value;
            }
        }
    }

    fn list(&mut self, close: &str) -> Vec<Expr> {
        let mut items = vec![];
        while !self.eat(close) {
            items.push(self.binary(0));
            assert!(self.eat(",") || self.rest.starts_with(close), "at {}", self.rest);
        }
        items
    }

    fn primary(&mut self) -> Expr {
        if self.eat("(") {
            let inner = self.binary(0);
            assert!(self.eat(")"));
            return inner;
        }
        if self.eat("[") {
            let items = self.list("]");
            let common = items.iter().fold(Type::new(DataType::Null), |t, i| t.common(&i.ty).expect("one type"));
            let items = items.into_iter().map(|i| widen(i, &common.data)).collect();
            return expr(ExprKind::Array(items), Type::new(DataType::Array(Box::new(common))));
        }
        if self.eat("{") {
            let (mut fields, mut values) = (vec![], vec![]);
            while !self.eat("}") {
                self.rest = self.rest.trim_start();
                let name = self.take(|c| c.is_alphanumeric());
                assert!(self.eat(":"));
                let value = self.binary(0);
                fields.push(Field::new(name, value.ty.clone()));
                values.push(value);
                self.eat(",");
            }
            return expr(ExprKind::Struct(values), Type::new(DataType::Struct(fields)));
        }
        if self.eat("r\"") {
            let text = self.take(|c| c != '"');
            assert!(self.eat("\""));
            return literal(Value::String(text), DataType::String);
        }
        if self.eat("\"") {
            return self.string();
        }
        if self.eat("@") {
            let text = self.take(|c| c.is_alphanumeric() || "-:.".contains(c));
            return if text.contains('T') {
                literal(Value::Timestamp(parse_timestamp(&text).expect("a timestamp")), DataType::Timestamp)
            } else {
                literal(Value::Date(parse_date(&text).expect("a date")), DataType::Date)
            };
        }
        if self.rest.starts_with(|c: char| c.is_ascii_digit()) {
            return self.number();
        }
        let name = self.take(|c| c.is_alphanumeric() || c == '_');
        match name.as_str() {
            "null" => expr(ExprKind::Literal(Value::Null), Type::null()),
            "true" => literal(Value::Boolean(true), DataType::Boolean),
            "false" => literal(Value::Boolean(false), DataType::Boolean),
            _ => {
                assert!(self.eat("("), "at {name}{}", self.rest);
                call(&name, self.list(")"))
            }
        }
    }

    fn string(&mut self) -> Expr {
        let mut parts = vec![];
        let mut text = String::new();
        loop {
            let c = self.rest.chars().next().expect("a closing quote");
            self.rest = &self.rest[c.len_utf8()..];
            match c {
                '"' => break,
                '\\' => {
                    let escaped = self.rest.chars().next().expect("an escape");
                    self.rest = &self.rest[1..];
                    text.push(if escaped == 'n' { '\n' } else { escaped });
                }
                '{' if self.rest.starts_with('{') => {
                    self.rest = &self.rest[1..];
                    text.push('{');
                }
                '}' => {
                    self.rest = self.rest.strip_prefix('}').expect("two braces");
                    text.push('}');
                }
                '{' => {
                    parts.push(literal(Value::String(std::mem::take(&mut text)), DataType::String));
                    parts.push(call("to_text", vec![self.binary(0)]));
                    assert!(self.eat("}"));
                }
                other => text.push(other),
            }
        }
        parts.push(literal(Value::String(text), DataType::String));
        if parts.len() == 1 { parts.remove(0) } else { call("concat", parts) }
    }

    fn number(&mut self) -> Expr {
        let mut text = self.take(|c| c.is_ascii_digit());
        if let Some(rest) = self.rest.strip_prefix('.') {
            self.rest = rest;
            text = format!("{text}.{}", self.take(|c| c.is_ascii_digit()));
        }
        let unit = self.take(|c| c.is_ascii_alphabetic());
        match (unit.as_str(), text.split_once('.')) {
            ("d", Some((whole, fraction))) => {
                let (precision, scale) = ((whole.len() + fraction.len()) as u8, fraction.len() as u8);
                let value = parse_decimal(&text, precision, scale).flatten().expect("a decimal");
                literal(Value::Decimal(value), DataType::Decimal { precision, scale })
            }
            ("", Some(_)) => literal(Value::Double(text.parse().expect("a double")), DataType::Double),
            ("", None) => match text.parse::<i32>() {
                Ok(v) => literal(Value::Integer(v), DataType::Integer),
                Err(_) => literal(Value::Long(text.parse().expect("a long")), DataType::Long),
            },
            (unit, _) => {
                let value = parse_duration(&format!("{text}{unit}")).expect("a duration");
                literal(Value::Duration(value), DataType::Duration)
            }
        }
    }
}

fn read(text: &str) -> Expr {
    let mut reader = Reader { rest: text };
    let expr = reader.binary(0);
    assert_eq!(reader.rest.trim(), "", "left over in `{text}`");
    expr
}

fn run(expr: &Expr) -> Result<Value, String> {
    let context = EvalContext { now: 1_700_000_000_123_456, epoch: 1 };
    interpret::eval(expr, &[], &context).map_err(|(f, _)| f.message)
}

fn check(example: &str, expected: &str) -> Result<(), String> {
    let (actual, expected) = (read(example), read(expected));
    let (value, wanted) = (run(&actual)?, run(&expected)?);
    let wanted = cast_value(&wanted, &expected.ty.data, &actual.ty.data).map_err(|f| f.message)?;
    if value.is_null() && !actual.ty.nullable {
        return Err(format!("null, though its type is {}", actual.ty));
    }
    // The bits of floats are compared too: -0.0 is not 0.0 here.
    if value == wanted { Ok(()) } else { Err(format!("gives {value:?}, not {wanted:?}")) }
}

#[test]
fn every_example_gives_what_it_says() {
    let mut wrong = vec![];
    for function in all() {
        assert!(!function.examples.is_empty(), "{} has no example", function.name);
        for (example, expected) in function.examples {
            if let Err(message) = check(example, expected) {
                wrong.push(format!("{example}: {message}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_is_whole() {
    let named = all().iter().filter(|f| f.category != Category::Operator).count();
    assert!(named >= 125, "{named} functions");
    for pair in all().windows(2) {
        assert!(pair[0].name != pair[1].name, "{} is declared twice", pair[0].name);
    }
    for function in all() {
        assert!(function.doc.ends_with('.'), "the documentation of {} is no sentence", function.name);
        assert_eq!(super::find(function.name), Some(FunctionRef(function)));
    }
}

/// Values as Spark gives them (ANSI mode), where they are easy to get wrong.
#[test]
fn edges_are_as_in_spark() {
    let mut wrong = vec![];
    for (text, expected) in [
        ("-7 div 2", "-3"),
        ("-7 % 3", "-1"),
        ("7 % -3", "1"),
        ("-7.5 % 2", "-1.5"),
        ("(-2147483647 - 1) % -1", "0"),
        ("1.0 / 0 == exp(1000)", "true"),
        ("isnan(0.0 / 0)", "true"),
        ("sqrt(-1) == sqrt(-1)", "true"),
        ("sqrt(-1) > exp(1000)", "true"),
        ("0.0 == -0.0", "true"),
        ("10.0d / 3", "3.333333333333d"),
        ("1.0d / 3.0d", "0.333333d"),
        ("2.5d * 0.5d", "1.25d"),
        ("1.05d + 2.9d", "3.95d"),
        ("5.5d % 2", "1.5d"),
        ("-5.5d div 2", "-2"),
        ("1.10d == 1.1d", "true"),
        ("1.5 > 1.25d", "true"),
        ("round(-2.5)", "-3.0"),
        ("round(2.5d)", "3.0d"),
        ("round(0.285, 2)", "0.29"),
        ("bround(-2.5)", "-2.0"),
        ("round(1234567, -3)", "1235000"),
        ("floor(-1.5d)", "-2.0d"),
        ("ceil(-1.5)", "-1"),
        ("pmod(-7.5, 2)", "0.5"),
        ("greatest(1, 2.5, null)", "2.5"),
        ("substring(\"Spark SQL\", 0, 5)", "\"Spark\""),
        ("substring(\"Spark SQL\", -12, 5)", "\"Sp\""),
        ("instr(\"abc\", \"\")", "1"),
        ("locate(\"a\", \"banana\", 0)", "0"),
        ("lpad(\"hi\", 5, \"??\")", "\"???hi\""),
        ("lpad(\"hi\", 1, \"??\")", "\"h\""),
        ("lpad(\"hi\", 5, \"\")", "\"hi\""),
        ("split_part(\"a.b\", \".\", 5)", "\"\""),
        ("substring_index(\"a.b.c\", \".\", -2)", "\"b.c\""),
        ("soundex(\"Robert\")", "\"R163\""),
        ("soundex(\"Tymczak\")", "\"T522\""),
        ("soundex(\"Pfister\")", "\"P236\""),
        ("split(\"oneAtwoBthreeC\", \"[ABC]\")", "[\"one\", \"two\", \"three\", \"\"]"),
        ("split(\"abc\", \"\")", "[\"a\", \"b\", \"c\"]"),
        ("translate(\"AaBbCc\", \"abcabc\", \"123456\")", "\"A1B2C3\""),
        ("format_number(2.5, 0)", "\"2\""),
        ("format_number(-1234.567d, 2)", "\"-1,234.57\""),
        ("100.0 as string", "\"100.0\""),
        ("10000000000.0 as string", "\"1.0E10\""),
        ("1.50d as string", "\"1.50\""),
        ("{ a: 1, b: null } as string", "\"{{1, null}}\""),
        ("map_from_arrays([1], [\"x\"]) as string", "\"{{1 -> x}}\""),
        ("@2026-11-22T10:00:00.120Z as string", "\"2026-11-22 10:00:00.12\""),
        ("add_months(@2016-08-31, 1)", "@2016-09-30"),
        ("add_months(@2016-02-29, 12)", "@2017-02-28"),
        ("months_between(@2026-03-31, @2026-02-28)", "1.0"),
        ("next_day(@2015-01-14, \"TU\")", "@2015-01-20"),
        ("next_day(@2015-01-13, \"TUESDAY\")", "@2015-01-20"),
        ("dayofweek(@2009-07-30)", "5"),
        ("weekday(@2009-07-30)", "3"),
        ("weekofyear(@2008-02-20)", "8"),
        ("trunc(@2019-08-04, \"week\")", "@2019-07-29"),
        ("trunc(@2019-08-04, \"day\")", "null"),
        ("date_trunc(\"HOUR\", @2015-03-05T09:32:05.359Z)", "@2015-03-05T09:00:00Z"),
        ("date_trunc(\"week\", @1969-12-31T23:59:59Z)", "@1969-12-29T00:00:00Z"),
        ("unix_seconds(@1969-12-31T23:59:59.5Z)", "-1"),
        ("hour(@1969-12-31T23:59:59.5Z)", "23"),
        ("date(@1969-12-31T23:59:59.5Z)", "@1969-12-31"),
        ("to_utc_timestamp(@2016-08-31, \"Asia/Seoul\")", "@2016-08-30T15:00:00Z"),
        ("from_utc_timestamp(@2024-03-31T01:30:00Z, \"Europe/Berlin\")", "@2024-03-31T03:30:00Z"),
        ("to_utc_timestamp(@2024-10-27T02:30:00Z, \"Europe/Berlin\")", "@2024-10-27T00:30:00Z"),
        ("make_timestamp(2014, 12, 28, 6, 30, 60)", "@2014-12-28T06:31:00Z"),
        ("@2026-11-22 + 1d", "@2026-11-23T00:00:00Z"),
        ("@2026-11-22T00:00:00Z - @2026-11-21T12:00:00Z", "12h"),
        ("7s / 2", "3500ms"),
        ("array_sort([3, null, 1, 2])", "[1, 2, 3, null]"),
        ("sort_array([\"b\", null, \"a\"], false)", "[\"b\", \"a\", null]"),
        ("slice([1, 2, 3], 2, 10)", "[2, 3]"),
        ("slice([1, 2, 3], -5, 2)", "[]"),
        ("array_except([1, 2, null], [1, 3])", "[2, null]"),
        ("arrays_overlap([1, null], [1])", "true"),
        ("arrays_overlap([], [null])", "false"),
        ("array_distinct([0.0, -0.0])", "[0.0]"),
        ("sequence(1, 1, 0)", "[1]"),
        ("crc32(\"\")", "0"),
        ("hex(-1)", "\"FFFFFFFFFFFFFFFF\""),
        ("hash(null, null)", "42"),
        ("get_json_object(\"x\", \"$.a\")", "null"),
        ("null + 1", "null"),
        ("null == null", "null"),
        ("\"{null}\"", "\"null\""),
        ("width_bucket(10.6, 0.2, 10.6, 5)", "6"),
    ] {
        if let Err(message) = check(text, expected) {
            wrong.push(format!("{text}: {message}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn failures_name_the_values() {
    for (text, message) in [
        ("2147483647 + 1", "2147483647 + 1 does not fit integer"),
        ("1 div 0", "1 div 0: division by zero"),
        ("9999999999.9d * 9999999999.9d * 9999999999.9d * 9999999999.9d", "does not fit decimal(38, 4)"),
        ("\"a\" matches \"(\"", "\"(\" is not a regular expression: unclosed group"),
        ("repeat(\"ab\", 2147483647)", "the result would have 4294967294 bytes, more than 67108864"),
        ("sequence(1, 2147483647)", "the array would have 2147483647 elements, more than 4194304"),
        ("make_date(2026, 2, 30)", "there is no date 2026-2-30"),
        ("to_date(\"x\", \"yyyy\")", "\"x\" is no date of the pattern \"yyyy\""),
        ("element_at([1], 0)", "positions are counted from 1; there is no position 0"),
        ("map_from_arrays([1, 1], [2, 3])", "the key 1 comes twice"),
        ("from_utc_timestamp(now(), \"Mars\")", "there is no time zone \"Mars\""),
        ("date_add(@2026-11-22, 2147483647)", "2026-11-22 leads to a date out of range"),
        ("timestamp_millis(9223372036854775807)", "9223372036854775807 leads to a time out of range"),
        ("regexp_replace(\"a\", \"a\", \"$1\")", "\"$1\" refers to a group that the pattern does not have"),
    ] {
        let actual = run(&read(text)).expect_err(text);
        assert!(actual.ends_with(message), "{text}: {actual}");
    }
}
