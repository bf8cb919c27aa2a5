//! Functions of arrays. Elements are compared as `==` compares them, nulls being equal.

use super::operand::{LARGEST, MOST_ELEMENTS, argument, array, boolean, date, duration, integer, long, micros, string};
use super::string::{text, too_long};
use super::{Call, Category, Function, kernels};
use crate::calendar::MICROS_PER_DAY;
use crate::cast::format::write_text;
use crate::eval::Failure;
use crate::types::{DataType, Type};
use crate::value::Value;
use std::cmp::Ordering;

const ARRAY: Category = Category::Array;

const fn of_array(
    name: &'static str,
    signatures: &'static [&'static str],
    doc: &'static str,
    examples: &'static [(&'static str, &'static str)],
    scalar: super::Scalar,
) -> Function {
    Function::new(name, ARRAY, signatures, doc, examples, scalar)
}

fn array_nullable(types: &[Type]) -> bool {
    types[0].nullable
}

/// The functions of this topic.
pub(super) const FUNCTIONS: &[Function] = &[
    of_array(
        "size",
        &["size(xs: array<T>) -> integer", "size(m: map<K, V>) -> integer"],
        "The number of elements or entries.",
        &[("size([1, 2, 3])", "3")],
        |_, args| {
            Ok(Value::Integer(match &args[0] {
                Value::Map(entries) => entries.len() as i32,
                items => array(items).len() as i32,
            }))
        },
    )
    .with_kernel(kernels::size),
    of_array(
        "array_size",
        &["array_size(xs: array<T>) -> integer"],
        "The number of elements.",
        &[("array_size([])", "0")],
        |_, args| Ok(Value::Integer(array(&args[0]).len() as i32)),
    )
    .with_kernel(kernels::size),
    of_array(
        "array_position",
        &["array_position(xs: array<O>, x: O) -> long"],
        "The position of the first such element, counted from 1; 0 if there is none.",
        &[("array_position([3, 2, 1], 1)", "3")],
        |_, args| {
            let at = array(&args[0]).iter().position(|v| *v == args[1]);
            Ok(Value::Long(at.map_or(0, |i| i as i64 + 1)))
        },
    ),
    of_array(
        "element_at",
        &["element_at(xs: array<T>, position: integer) -> T?", "element_at(m: map<K, V>, key: K) -> V?"],
        "The element at a position counted from 1, or from the end where negative, or the value of a key; null if there is none. Fails for position 0.",
        &[("element_at([1, 2, 3], -1)", "3"), ("element_at([1], 2)", "null")],
        element_at,
    )
    .failing(),
    of_array(
        "array_distinct",
        &["array_distinct(xs: array<O>) -> array<O>"],
        "The elements without repetition, in their order.",
        &[("array_distinct([1, 2, 1, null, null])", "[1, 2, null]")],
        |_, args| Ok(Value::Array(distinct(array(&args[0]).iter()))),
    ),
    of_array(
        "array_sort",
        &["array_sort(xs: array<O>) -> array<O>"],
        "The elements from the least to the greatest, nulls last.",
        &[("array_sort([3, null, 1])", "[1, 3, null]")],
        |_, args| {
            let mut items = array(&args[0]).to_vec();
            items.sort_by(|a, b| a.is_null().cmp(&b.is_null()).then_with(|| a.compare(b)));
            Ok(Value::Array(items))
        },
    ),
    of_array(
        "sort_array",
        &["sort_array(xs: array<O>, ascending: boolean = true) -> array<O>"],
        "The elements from the least to the greatest, nulls first; or the other way round.",
        &[("sort_array([3, null, 1])", "[null, 1, 3]"), ("sort_array([1, 3], false)", "[3, 1]")],
        |_, args| {
            let mut items = array(&args[0]).to_vec();
            let ascending = args.get(1).is_none_or(boolean);
            items.sort_by(|a, b| if ascending { a.compare(b) } else { b.compare(a) });
            Ok(Value::Array(items))
        },
    ),
    of_array(
        "array_max",
        &["array_max(xs: array<O>) -> O?"],
        "The greatest element that is not null; null if there is none.",
        &[("array_max([1, 20, null, 3])", "20"), ("array_max([])", "null")],
        |_, args| Ok(extreme(&args[0], Ordering::is_gt)),
    ),
    of_array(
        "array_min",
        &["array_min(xs: array<O>) -> O?"],
        "The least element that is not null; null if there is none.",
        &[("array_min([4, 20, null, 3])", "3")],
        |_, args| Ok(extreme(&args[0], Ordering::is_lt)),
    ),
    of_array(
        "array_join",
        &["array_join(xs: array<T>, separator: string) -> string", "array_join(xs: array<T>, separator: string, null_text: string) -> string"],
        "The elements as text with the separator between them; nulls are left out, or printed as `null_text`.",
        &[("array_join([\"a\", null, \"b\"], \",\")", "\"a,b\""), ("array_join([1, null], \"/\", \"-\")", "\"1/-\"")],
        array_join,
    )
    .failing(),
    of_array(
        "array_append",
        &["array_append(xs: array<T>, x: T) -> array<T>"],
        "The array with a further element at its end.",
        &[("array_append([1, 2], 3)", "[1, 2, 3]"), ("array_append([1], null)", "[1, null]")],
        |_, args| extended(&args[0], &args[1], false),
    )
    .sees_nulls(Some(array_nullable))
    .failing(),
    of_array(
        "array_prepend",
        &["array_prepend(xs: array<T>, x: T) -> array<T>"],
        "The array with a further element before its first.",
        &[("array_prepend([1, 2], 0)", "[0, 1, 2]")],
        |_, args| extended(&args[0], &args[1], true),
    )
    .sees_nulls(Some(array_nullable))
    .failing(),
    of_array(
        "array_insert",
        &["array_insert(xs: array<T?>, position: integer, x: T) -> array<T?>"],
        "The array with an element put in at a position counted from 1, or from the end where negative; nulls fill up to it. Fails for position 0.",
        &[("array_insert([1, 3], 2, 2)", "[1, 2, 3]"), ("array_insert([1], 3, 5)", "[1, null, 5]"), ("array_insert([1, 2], -1, 3)", "[1, 2, 3]")],
        array_insert,
    )
    .sees_nulls(Some(|types| types[0].nullable || types[1].nullable))
    .failing(),
    of_array(
        "array_remove",
        &["array_remove(xs: array<O>, x: O) -> array<O>"],
        "The array without the elements that equal `x`.",
        &[("array_remove([1, 2, null, 1], 1)", "[2, null]")],
        |_, args| Ok(Value::Array(array(&args[0]).iter().filter(|v| **v != args[1]).cloned().collect())),
    ),
    of_array(
        "array_compact",
        &["array_compact(xs: array<T?>) -> array<T>"],
        "The elements that are not null.",
        &[("array_compact([1, null, 2])", "[1, 2]")],
        |_, args| Ok(Value::Array(array(&args[0]).iter().filter(|v| !v.is_null()).cloned().collect())),
    ),
    of_array(
        "array_union",
        &["array_union(xs: array<O>, ys: array<O>) -> array<O>"],
        "The elements of both without repetition.",
        &[("array_union([1, 2], [2, 3])", "[1, 2, 3]")],
        |_, args| {
            let all = distinct(array(&args[0]).iter().chain(array(&args[1])));
            bounded(all.len())?;
            Ok(Value::Array(all))
        },
    )
    .failing(),
    of_array(
        "array_intersect",
        &["array_intersect(xs: array<O>, ys: array<O>) -> array<O>"],
        "The elements of the first that are in the second too, without repetition.",
        &[("array_intersect([1, 2, 2], [2, 3])", "[2]")],
        |_, args| {
            let other = sorted(array(&args[1]));
            Ok(Value::Array(distinct(array(&args[0]).iter().filter(|v| holds(&other, v)))))
        },
    ),
    of_array(
        "array_except",
        &["array_except(xs: array<O>, ys: array<O>) -> array<O>"],
        "The elements of the first that are not in the second, without repetition.",
        &[("array_except([1, 2, 3, 1], [2])", "[1, 3]")],
        |_, args| {
            let other = sorted(array(&args[1]));
            Ok(Value::Array(distinct(array(&args[0]).iter().filter(|v| !holds(&other, v)))))
        },
    ),
    of_array(
        "arrays_overlap",
        &["arrays_overlap(xs: array<O>, ys: array<O>) -> boolean?"],
        "Whether both have an element in common that is not null; null if they have none, but both have elements and one a null.",
        &[("arrays_overlap([1, 2], [2, 3])", "true"), ("arrays_overlap([1, null], [2])", "null")],
        |_, args| {
            let (xs, ys) = (array(&args[0]), array(&args[1]));
            let other = sorted(ys);
            if xs.iter().any(|v| !v.is_null() && holds(&other, v)) {
                return Ok(Value::Boolean(true));
            }
            let unknown = !xs.is_empty() && !ys.is_empty() && xs.iter().chain(ys).any(Value::is_null);
            Ok(if unknown { Value::Null } else { Value::Boolean(false) })
        },
    ),
    of_array(
        "slice",
        &["slice(xs: array<T>, start: integer, length: integer) -> array<T>"],
        "So many elements from a position counted from 1, or from the end where negative. Fails for position 0 and a negative length.",
        &[("slice([1, 2, 3, 4], 2, 2)", "[2, 3]"), ("slice([1, 2, 3], -2, 2)", "[2, 3]")],
        slice,
    )
    .failing(),
    of_array(
        "flatten",
        &["flatten(xss: array<array<T>>) -> array<T>"],
        "The elements of the arrays in an array; null if one of them is null.",
        &[("flatten([[1, 2], [3]])", "[1, 2, 3]")],
        flatten,
    )
    .nullable_when(super::comparison::has_null_elements)
    .failing(),
    of_array(
        "sequence",
        &[
            "sequence(start: integer, stop: integer, step: integer = 1) -> array<integer>",
            "sequence(start: long, stop: long, step: long = 1) -> array<long>",
            "sequence(start: date, stop: date, step: duration) -> array<date>",
            "sequence(start: timestamp, stop: timestamp, step: duration) -> array<timestamp>",
        ],
        "The values from `start` to `stop`, both included, so far apart; without a step 1 or -1. Fails where the step does not lead to `stop`.",
        &[("sequence(1, 5)", "[1, 2, 3, 4, 5]"), ("sequence(5, 1, -2)", "[5, 3, 1]"), ("sequence(@2026-11-22, @2026-11-24, 1d)", "[@2026-11-22, @2026-11-23, @2026-11-24]")],
        sequence,
    )
    .failing(),
    of_array(
        "array_repeat",
        &["array_repeat(x: T, times: integer) -> array<T>"],
        "An array of so many times `x`.",
        &[("array_repeat(\"a\", 2)", "[\"a\", \"a\"]")],
        |_, args| {
            let Value::Integer(times) = args[1] else { return Ok(Value::Null) };
            let times = usize::try_from(times).unwrap_or(0);
            bounded(times)?;
            if let Value::String(s) = &args[0] && s.len().saturating_mul(times) > LARGEST {
                return Err(too_long(s.len() * times));
            }
            Ok(Value::Array(vec![args[0].clone(); times]))
        },
    )
    .sees_nulls(Some(|types| types[1].nullable))
    .failing(),
    of_array(
        "arrays_zip",
        &["arrays_zip(xs: array<A?>, ys: array<B?>) -> array<struct>"],
        "An array of structs with fields `0` and `1`, pairing the elements; nulls fill up the shorter one.",
        &[("size(arrays_zip([1, 2], [\"a\"]))", "2")],
        |_, args| {
            let (xs, ys) = (array(&args[0]), array(&args[1]));
            let at = |items: &[Value], i: usize| items.get(i).cloned().unwrap_or(Value::Null);
            let pairs = (0..xs.len().max(ys.len())).map(|i| Value::Struct(vec![at(xs, i), at(ys, i)]));
            Ok(Value::Array(pairs.collect()))
        },
    )
    .typed(|types| {
        let element = |t: &Type| match &t.data {
            DataType::Array(item) => item.data.clone(),
            _ => DataType::Null,
        };
        let field = |i: usize| crate::types::Field::new(i.to_string(), Type::nullable(element(&types[i])));
        Some(DataType::Array(Box::new(Type::new(DataType::Struct(vec![field(0), field(1)])))))
    }),
];

/// Refuses arrays beyond all bounds.
pub(super) fn bounded(elements: usize) -> Result<(), Failure> {
    if elements > MOST_ELEMENTS {
        return Err(argument(format!("the array would have {elements} elements, more than {MOST_ELEMENTS}")));
    }
    Ok(())
}

pub(super) fn concat(args: &[Value]) -> Result<Value, Failure> {
    bounded(args.iter().map(|a| array(a).len()).sum())?;
    Ok(Value::Array(args.iter().flat_map(array).cloned().collect()))
}

fn sorted(items: &[Value]) -> Vec<&Value> {
    let mut sorted: Vec<&Value> = items.iter().collect();
    sorted.sort_by(|a, b| a.compare(b));
    sorted
}

fn holds(sorted: &[&Value], value: &Value) -> bool {
    sorted.binary_search_by(|v| v.compare(value)).is_ok()
}

/// The first of each group of equal values, in the order of their appearance.
pub(super) fn distinct<'a>(items: impl Iterator<Item = &'a Value>) -> Vec<Value> {
    let mut indexed: Vec<(usize, &Value)> = items.enumerate().collect();
    indexed.sort_by(|a, b| a.1.compare(b.1).then(a.0.cmp(&b.0)));
    indexed.dedup_by(|next, kept| next.1 == kept.1);
    indexed.sort_by_key(|i| i.0);
    indexed.into_iter().map(|(_, v)| v.clone()).collect()
}

fn extreme(items: &Value, better: fn(Ordering) -> bool) -> Value {
    let mut best = &Value::Null;
    for item in array(items).iter().filter(|v| !v.is_null()) {
        if best.is_null() || better(item.compare(best)) {
            best = item;
        }
    }
    best.clone()
}

fn element_at(_: &Call<'_>, args: &[Value]) -> Result<Value, Failure> {
    if let Value::Map(entries) = &args[0] {
        return Ok(entries.iter().find(|(k, _)| *k == args[1]).map_or(Value::Null, |(_, v)| v.clone()));
    }
    let items = array(&args[0]);
    Ok(offset(integer(&args[1]), items.len())?.and_then(|i| items.get(i).cloned()).unwrap_or(Value::Null))
}

/// A position counted from 1 or from the end, as an index; none before the first.
fn offset(position: i32, length: usize) -> Result<Option<usize>, Failure> {
    let index = match position {
        0 => return Err(argument("positions are counted from 1; there is no position 0")),
        p if p > 0 => i64::from(p) - 1,
        p => length as i64 + i64::from(p),
    };
    Ok(usize::try_from(index).ok())
}

fn array_join(call: &Call<'_>, args: &[Value]) -> Result<Value, Failure> {
    let DataType::Array(item) = &call.args[0].data else { return Ok(Value::Null) };
    let mut out = String::new();
    let mut first = true;
    for value in array(&args[0]) {
        if value.is_null() && args.len() < 3 {
            continue;
        }
        if !first {
            out.push_str(string(&args[1]));
        }
        first = false;
        match value {
            Value::Null => out.push_str(string(&args[2])),
            value => write_text(&mut out, value, &item.data),
        }
        if out.len() > LARGEST {
            return Err(too_long(out.len()));
        }
    }
    text(out)
}

fn extended(items: &Value, item: &Value, front: bool) -> Result<Value, Failure> {
    let Value::Array(items) = items else { return Ok(Value::Null) };
    bounded(items.len() + 1)?;
    let mut items = items.clone();
    items.insert(if front { 0 } else { items.len() }, item.clone());
    Ok(Value::Array(items))
}

fn array_insert(_: &Call<'_>, args: &[Value]) -> Result<Value, Failure> {
    let (Value::Array(items), Value::Integer(position)) = (&args[0], &args[1]) else { return Ok(Value::Null) };
    let mut items = items.clone();
    let size = items.len() as i64;
    let at = match *position {
        0 => return Err(argument("positions are counted from 1; there is no position 0")),
        p if p > 0 => i64::from(p) - 1,
        p => size + i64::from(p) + 1,
    };
    let missing = if at < 0 { -at } else { (at - size).max(0) } as usize;
    bounded(items.len().saturating_add(missing).saturating_add(1))?;
    let filling = std::iter::repeat_n(Value::Null, missing);
    if at < 0 {
        let head = std::iter::once(args[2].clone()).chain(filling);
        return Ok(Value::Array(head.chain(items).collect()));
    }
    items.extend(filling);
    items.insert(at as usize, args[2].clone());
    Ok(Value::Array(items))
}

fn slice(_: &Call<'_>, args: &[Value]) -> Result<Value, Failure> {
    let (items, length) = (array(&args[0]), integer(&args[2]));
    let from = offset(integer(&args[1]), items.len())?;
    let Ok(length) = usize::try_from(length) else {
        return Err(argument(format!("a slice has no negative length ({length})")));
    };
    let part = from.map_or(vec![], |from| items.iter().skip(from).take(length).cloned().collect());
    Ok(Value::Array(part))
}

fn flatten(_: &Call<'_>, args: &[Value]) -> Result<Value, Failure> {
    let outer = array(&args[0]);
    if outer.iter().any(Value::is_null) {
        return Ok(Value::Null);
    }
    bounded(outer.iter().map(|inner| array(inner).len()).sum())?;
    Ok(Value::Array(outer.iter().flat_map(array).cloned().collect()))
}

fn sequence(_: &Call<'_>, args: &[Value]) -> Result<Value, Failure> {
    let (from, to, unit): (i128, i128, fn(i128) -> Value) = match (&args[0], &args[1]) {
        (Value::Integer(a), Value::Integer(b)) => (i128::from(*a), i128::from(*b), |v| Value::Integer(v as i32)),
        (Value::Date(_), _) => {
            let at = |v: &Value| i128::from(date(v)) * i128::from(MICROS_PER_DAY);
            (at(&args[0]), at(&args[1]), |v| Value::Date(v.div_euclid(i128::from(MICROS_PER_DAY)) as i32))
        }
        (Value::Timestamp(_), _) => {
            (i128::from(micros(&args[0])), i128::from(micros(&args[1])), |v| Value::Timestamp(v as i64))
        }
        (a, b) => (i128::from(long(a)), i128::from(long(b)), |v| Value::Long(v as i64)),
    };
    let step = match args.get(2) {
        None => {
            if from <= to {
                1
            } else {
                -1
            }
        }
        Some(Value::Integer(s)) => i128::from(*s),
        Some(Value::Long(s)) => i128::from(*s),
        Some(s) => i128::from(duration(s)),
    };
    if step == 0 && from != to || from < to && step < 0 || from > to && step > 0 {
        return Err(argument("the step of the sequence does not lead from its start to its stop"));
    }
    let count = if step == 0 { 1 } else { (to - from) / step + 1 };
    bounded(usize::try_from(count).unwrap_or(usize::MAX))?;
    Ok(Value::Array((0..count).map(|i| unit(from + i * step)).collect()))
}
