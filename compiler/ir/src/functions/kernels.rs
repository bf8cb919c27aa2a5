//! Vectorized kernels of the functions that are called most: the same as their `scalar`, without a value for every row. A test compares both.

use super::comparison::Like;
use super::operand::{LARGEST, argument};
use super::regex::{Replacement, compiled};
use super::string::{initcap, too_long};
use super::substring::substring;
use super::{Call, Scalar, find};
use crate::arrow_values::{build_array, value_at};
use crate::calendar::MICROS_PER_DAY;
use crate::cast::format::write_text;
use crate::eval::Failure;
use crate::types::DataType;
use crate::value::{Value, compare_double};
use ::regex::Regex;
use arrow::array::*;
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::take;
use arrow::datatypes as a;
use std::cmp::Ordering;
use std::sync::Arc;

type Column = Result<ArrayRef, (usize, Failure)>;

/// Calls a function row by row; nulls propagate.
fn by_rows(scalar: Scalar, call: &Call<'_>, args: &[ArrayRef], rows: usize) -> Column {
    let value = |row| {
        let operands: Vec<Value> = args.iter().zip(call.args).map(|(a, t)| value_at(a, row, t)).collect();
        if operands.iter().any(Value::is_null) {
            return Ok(Value::Null);
        }
        scalar(call, &operands).map_err(|f| (row, f))
    };
    let values = (0..rows).map(value).collect::<Result<Vec<_>, _>>()?;
    Ok(build_array(&call.result.data, &values))
}

/// Where no operand is null.
fn present(args: &[ArrayRef]) -> Option<NullBuffer> {
    args.iter().fold(None, |nulls, a| NullBuffer::union(nulls.as_ref(), a.logical_nulls().as_ref()))
}

fn valid(nulls: &Option<NullBuffer>, row: usize) -> bool {
    nulls.as_ref().is_none_or(|n| n.is_valid(row))
}

/// A column of texts: `write` appends a row's text.
fn texts(args: &[ArrayRef], rows: usize, mut write: impl FnMut(usize, &mut String) -> Result<(), Failure>) -> Column {
    let nulls = present(args);
    let mut column = StringBuilder::with_capacity(rows, rows * 8);
    let mut text = String::new();
    for row in 0..rows {
        if valid(&nulls, row) {
            text.clear();
            write(row, &mut text).map_err(|f| (row, f))?;
            column.append_value(&text);
        } else {
            column.append_null();
        }
    }
    Ok(Arc::new(column.finish()))
}

/// A column of booleans that is computed for every row, null or not.
fn tests(args: &[ArrayRef], rows: usize, test: impl FnMut(usize) -> bool) -> Column {
    Ok(Arc::new(BooleanArray::new(BooleanBuffer::collect_bool(rows, test), present(args))))
}

fn fallible_tests(args: &[ArrayRef], rows: usize, mut test: impl FnMut(usize) -> Result<bool, Failure>) -> Column {
    let nulls = present(args);
    let mut result = BooleanBufferBuilder::new(rows);
    for row in 0..rows {
        result.append(valid(&nulls, row) && test(row).map_err(|f| (row, f))?);
    }
    Ok(Arc::new(BooleanArray::new(result.finish(), nulls)))
}

fn integers(args: &[ArrayRef], rows: usize, value: impl FnMut(usize) -> i32) -> Column {
    Ok(Arc::new(Int32Array::new((0..rows).map(value).collect(), present(args))))
}

fn text(args: &[ArrayRef], index: usize) -> &StringArray {
    args[index].as_string::<i32>()
}

fn numbers(args: &[ArrayRef], index: usize) -> &[i32] {
    args[index].as_primitive::<a::Int32Type>().values()
}

pub(super) fn upper(_: &Call<'_>, args: &[ArrayRef], rows: usize) -> Column {
    let input = text(args, 0);
    texts(args, rows, |row, out| {
        let s = input.value(row);
        if s.is_ascii() {
            out.push_str(s);
            out.make_ascii_uppercase();
        } else {
            *out = s.to_uppercase();
        }
        Ok(())
    })
}

pub(super) fn lower(_: &Call<'_>, args: &[ArrayRef], rows: usize) -> Column {
    let input = text(args, 0);
    texts(args, rows, |row, out| {
        let s = input.value(row);
        if s.is_ascii() {
            out.push_str(s);
            out.make_ascii_lowercase();
        } else {
            *out = s.to_lowercase();
        }
        Ok(())
    })
}

pub(super) fn capitalized(_: &Call<'_>, args: &[ArrayRef], rows: usize) -> Column {
    let input = text(args, 0);
    texts(args, rows, |row, out| {
        *out = initcap(input.value(row));
        Ok(())
    })
}

fn trimmed(args: &[ArrayRef], rows: usize, start: bool, end: bool) -> Column {
    let (input, unwanted) = (text(args, 0), args.get(1).map(|_| text(args, 1)));
    texts(args, rows, |row, out| {
        let unwanted = unwanted.map_or(" ", |u| u.value(row));
        out.push_str(super::string::trimmed(input.value(row), unwanted, start, end));
        Ok(())
    })
}

pub(super) fn trim(_: &Call<'_>, args: &[ArrayRef], rows: usize) -> Column {
    trimmed(args, rows, true, true)
}

pub(super) fn ltrim(_: &Call<'_>, args: &[ArrayRef], rows: usize) -> Column {
    trimmed(args, rows, true, false)
}

pub(super) fn rtrim(_: &Call<'_>, args: &[ArrayRef], rows: usize) -> Column {
    trimmed(args, rows, false, true)
}

pub(super) fn length(call: &Call<'_>, args: &[ArrayRef], rows: usize) -> Column {
    if call.args[0].data != DataType::String {
        return octet_length(call, args, rows);
    }
    let input = text(args, 0);
    integers(args, rows, |row| input.value(row).chars().count() as i32)
}

pub(super) fn octet_length(_: &Call<'_>, args: &[ArrayRef], rows: usize) -> Column {
    match args[0].as_string_opt::<i32>() {
        Some(input) => integers(args, rows, |row| input.value_length(row)),
        None => {
            let input = args[0].as_binary::<i32>();
            integers(args, rows, |row| input.value_length(row))
        }
    }
}

pub(super) fn part(_: &Call<'_>, args: &[ArrayRef], rows: usize) -> Column {
    let (input, starts, lengths) = (text(args, 0), numbers(args, 1), args.get(2).map(|_| numbers(args, 2)));
    texts(args, rows, |row, out| {
        out.push_str(substring(input.value(row), starts[row], lengths.map_or(i32::MAX, |l| l[row])));
        Ok(())
    })
}

pub(super) fn left(_: &Call<'_>, args: &[ArrayRef], rows: usize) -> Column {
    let (input, counts) = (text(args, 0), numbers(args, 1));
    texts(args, rows, |row, out| {
        out.push_str(substring(input.value(row), 1, counts[row]));
        Ok(())
    })
}

pub(super) fn concat(call: &Call<'_>, args: &[ArrayRef], rows: usize) -> Column {
    if call.result.data != DataType::String {
        let scalar = find("concat").expect("this is its kernel").scalar;
        return by_rows(scalar, call, args, rows);
    }
    let inputs: Vec<&StringArray> = (0..args.len()).map(|i| text(args, i)).collect();
    texts(args, rows, |row, out| {
        let size: usize = inputs.iter().map(|i| i.value_length(row) as usize).sum();
        if size > LARGEST {
            return Err(too_long(size));
        }
        inputs.iter().for_each(|i| out.push_str(i.value(row)));
        Ok(())
    })
}

pub(super) fn replace(_: &Call<'_>, args: &[ArrayRef], rows: usize) -> Column {
    let (input, search, by) = (text(args, 0), text(args, 1), args.get(2).map(|_| text(args, 2)));
    texts(args, rows, |row, out| {
        *out = super::string::replace(input.value(row), search.value(row), by.map_or("", |b| b.value(row)))?;
        Ok(())
    })
}

pub(super) fn contains(_: &Call<'_>, args: &[ArrayRef], rows: usize) -> Column {
    let (input, search) = (text(args, 0), text(args, 1));
    tests(args, rows, |row| input.value(row).contains(search.value(row)))
}

pub(super) fn startswith(_: &Call<'_>, args: &[ArrayRef], rows: usize) -> Column {
    let (input, start) = (text(args, 0), text(args, 1));
    tests(args, rows, |row| input.value(row).starts_with(start.value(row)))
}

pub(super) fn endswith(_: &Call<'_>, args: &[ArrayRef], rows: usize) -> Column {
    let (input, end) = (text(args, 0), text(args, 1));
    tests(args, rows, |row| input.value(row).ends_with(end.value(row)))
}

pub(super) fn like(_: &Call<'_>, args: &[ArrayRef], rows: usize) -> Column {
    let (input, patterns) = (text(args, 0), text(args, 1));
    let mut last: Option<(&str, Like)> = None;
    tests(args, rows, |row| {
        let pattern = patterns.value(row);
        if last.as_ref().is_none_or(|l| l.0 != pattern) {
            last = Some((pattern, Like::new(pattern)));
        }
        last.as_ref().is_some_and(|l| l.1.fits(input.value(row)))
    })
}

/// The compiled form of a column's patterns; the last one is kept, so that a constant is compiled once.
struct Patterns<'a> {
    patterns: &'a StringArray,
    last: Option<(&'a str, Regex)>,
}

impl<'a> Patterns<'a> {
    fn new(args: &'a [ArrayRef]) -> Self {
        Patterns { patterns: text(args, 1), last: None }
    }

    fn at(&mut self, row: usize) -> Result<&Regex, Failure> {
        let pattern = self.patterns.value(row);
        if self.last.as_ref().is_none_or(|l| l.0 != pattern) {
            self.last = Some((pattern, compiled(pattern)?));
        }
        self.last.as_ref().map(|l| &l.1).ok_or_else(|| argument("no pattern"))
    }
}

pub(super) fn matches(_: &Call<'_>, args: &[ArrayRef], rows: usize) -> Column {
    let (input, mut patterns) = (text(args, 0), Patterns::new(args));
    fallible_tests(args, rows, |row| Ok(patterns.at(row)?.is_match(input.value(row))))
}

pub(super) fn regexp_replace(_: &Call<'_>, args: &[ArrayRef], rows: usize) -> Column {
    let (input, by, mut patterns) = (text(args, 0), text(args, 2), Patterns::new(args));
    texts(args, rows, |row, out| {
        let regex = patterns.at(row)?;
        *out = Replacement::parse(regex, by.value(row))?.replace(regex, input.value(row))?;
        Ok(())
    })
}

pub(super) fn regexp_extract(_: &Call<'_>, args: &[ArrayRef], rows: usize) -> Column {
    let (input, mut patterns) = (text(args, 0), Patterns::new(args));
    let groups = args.get(2).map(|_| numbers(args, 2));
    texts(args, rows, |row, out| {
        let regex = patterns.at(row)?;
        let group = super::regex::group(regex, groups.map_or(1, |g| g[row]))?;
        if let Some(found) = regex.captures(input.value(row)) {
            out.push_str(super::regex::held(&found, group));
        }
        Ok(())
    })
}

/// Runs a comparison over two columns of the same type: texts by bytes, floats by flowc's order; others row by row.
pub(super) fn comparison(
    call: &Call<'_>,
    args: &[ArrayRef],
    rows: usize,
    scalar: Scalar,
    test: fn(Ordering) -> bool,
) -> Column {
    macro_rules! natural {
        ($ty:ty) => {{
            let (x, y) = (args[0].as_primitive::<$ty>().values(), args[1].as_primitive::<$ty>().values());
            tests(args, rows, |row| test(x[row].cmp(&y[row])))
        }};
    }
    match &call.args[0].data {
        DataType::String => {
            let (x, y) = (text(args, 0), text(args, 1));
            tests(args, rows, |row| test(x.value(row).as_bytes().cmp(y.value(row).as_bytes())))
        }
        DataType::Integer => natural!(a::Int32Type),
        DataType::Long => natural!(a::Int64Type),
        DataType::Date => natural!(a::Date32Type),
        DataType::Timestamp | DataType::TimestampNtz => natural!(a::TimestampMicrosecondType),
        DataType::Double => {
            let (x, y) = (args[0].as_primitive::<a::Float64Type>(), args[1].as_primitive::<a::Float64Type>());
            tests(args, rows, |row| test(compare_double(x.value(row), y.value(row))))
        }
        _ => by_rows(scalar, call, args, rows),
    }
}

/// A part of the day that each value of a column lies in.
pub(super) fn part_of_date(call: &Call<'_>, args: &[ArrayRef], rows: usize, part: fn(i64) -> i64) -> Column {
    if call.args[0].data == DataType::Date {
        let days = args[0].as_primitive::<a::Date32Type>().values();
        return integers(args, rows, |row| part(i64::from(days[row])) as i32);
    }
    let micros = args[0].as_primitive::<a::TimestampMicrosecondType>().values();
    integers(args, rows, |row| part(micros[row].div_euclid(MICROS_PER_DAY)) as i32)
}

/// A part of the second of the day that each value of a column lies in.
pub(super) fn part_of_time(_: &Call<'_>, args: &[ArrayRef], rows: usize, part: fn(i64) -> i64) -> Column {
    let micros = args[0].as_primitive::<a::TimestampMicrosecondType>().values();
    integers(args, rows, |row| part(micros[row].rem_euclid(MICROS_PER_DAY) / 1_000_000) as i32)
}

pub(super) fn to_text(call: &Call<'_>, args: &[ArrayRef], rows: usize) -> Column {
    let ty = &call.args[0];
    let nulls = args[0].logical_nulls();
    let strings = args[0].as_string_opt::<i32>();
    // Null is a text too, so no operand counts as null here.
    texts(&[], rows, |row, out| {
        match strings {
            _ if !valid(&nulls, row) => out.push_str("null"),
            Some(strings) => out.push_str(strings.value(row)),
            None => write_text(out, &value_at(&args[0], row, ty), &ty.data),
        }
        Ok(())
    })
}

/// Elements of arrays are taken from the column of all elements; maps go row by row.
pub(super) fn index(call: &Call<'_>, args: &[ArrayRef], rows: usize) -> Column {
    let Some(lists) = args[0].as_list_opt::<i32>() else {
        let scalar = find("index").expect("this is its kernel").scalar;
        return by_rows(scalar, call, args, rows);
    };
    let wanted = args[1].as_primitive::<a::Int64Type>();
    let place = |row: usize| {
        let fits = lists.is_valid(row) && wanted.is_valid(row);
        let at = wanted.value(row);
        let inside = fits && at >= 0 && at < i64::from(lists.value_length(row));
        inside.then(|| lists.value_offsets()[row] as u32 + at as u32)
    };
    let places: UInt32Array = (0..rows).map(place).collect();
    Ok(take(lists.values(), &places, None).expect("the places lie inside of the elements"))
}

pub(super) fn size(_: &Call<'_>, args: &[ArrayRef], rows: usize) -> Column {
    match args[0].as_list_opt::<i32>() {
        Some(lists) => integers(args, rows, |row| lists.value_length(row)),
        None => {
            let maps = args[0].as_map();
            integers(args, rows, |row| maps.value_length(row))
        }
    }
}
