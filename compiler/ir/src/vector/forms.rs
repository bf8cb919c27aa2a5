//! The forms of expressions that are not calls, over the rows of a frame.

use super::frame::{Evaluated, Frame, Stop};
use crate::arrow_types::to_arrow;
use crate::arrow_values::{build_array, value_at};
use crate::cast::format::write_text;
use crate::cast::{cast_value, from_string};
use crate::expr::{CastFailure, Expr, ExprKind};
use crate::interpret::in_list;
use crate::types::{DataType, Type};
use crate::value::Value;
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, BooleanBuilder, ListArray, NullArray, StringBuilder, StructArray,
    UInt32Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{interleave, is_null, not, nullif};
use arrow::datatypes::DataType as A;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Evaluates a form.
pub(super) fn eval<'e>(frame: &Frame<'_, 'e>, expr: &'e Expr) -> Evaluated {
    match &expr.kind {
        ExprKind::Literal(value) => Ok(constant(value, &expr.ty.data, frame.rows())),
        ExprKind::And(xs) => connect(frame, xs, false),
        ExprKind::Or(xs) => connect(frame, xs, true),
        ExprKind::Not(x) => {
            let array = frame.eval(x)?;
            Ok(match array.as_boolean_opt() {
                Some(booleans) => Arc::new(not(booleans).expect("`not` does not fail")),
                None => array,
            })
        }
        ExprKind::IsNull(x) => Ok(Arc::new(null_mask(&frame.eval(x)?))),
        ExprKind::If { condition, then, otherwise } => choose(frame, condition, then, otherwise, &expr.ty.data),
        ExprKind::Coalesce(xs) => coalesce(frame, xs, &expr.ty.data),
        ExprKind::InList { value, list } => Ok(membership(&frame.eval(value)?, &value.ty, list)),
        ExprKind::Cast { value, on_failure } => cast(&frame.eval(value)?, &value.ty, &expr.ty.data, *on_failure),
        ExprKind::Field { value, index } => Ok(field(&frame.eval(value)?, *index)),
        ExprKind::Struct(xs) => {
            let columns = xs.iter().map(|x| frame.eval(x)).collect::<Result<Vec<_>, _>>()?;
            Ok(structure(columns, &expr.ty.data, frame.rows()))
        }
        ExprKind::Array(xs) => {
            let items = xs.iter().map(|x| frame.eval(x)).collect::<Result<Vec<_>, _>>()?;
            Ok(list(&items, &expr.ty.data, frame.rows()))
        }
        ExprKind::Column(_) | ExprKind::Local(_) | ExprKind::Let { .. } | ExprKind::Call { .. } | ExprKind::Try(_) => {
            frame.eval(expr)
        }
    }
}

fn constant(value: &Value, data: &DataType, rows: usize) -> ArrayRef {
    let one = build_array(data, std::slice::from_ref(value));
    super::frame::pick(&one, &UInt32Array::from(vec![0; rows]))
}

fn null_mask(array: &ArrayRef) -> BooleanArray {
    is_null(array).expect("`is null` does not fail")
}

/// Whether a condition is true, row by row.
fn is_true(condition: &ArrayRef) -> impl Fn(usize) -> bool + '_ {
    let booleans = condition.as_boolean_opt();
    move |row| booleans.is_some_and(|b| b.is_valid(row) && b.value(row))
}

/// `and`, `or`: each operand for the rows that are not decided yet.
fn connect<'e>(frame: &Frame<'_, 'e>, xs: &'e [Expr], decisive: bool) -> Evaluated {
    let mut results: Vec<Option<bool>> = vec![Some(!decisive); frame.rows()];
    let mut open: Vec<u32> = (0..frame.rows() as u32).collect();
    for x in xs {
        let part = frame.eval_some(x, &open)?;
        let booleans = part.array.as_boolean_opt();
        let mut still = Vec::with_capacity(open.len());
        for (nth, row) in open.iter().enumerate() {
            let at = part.place(nth, *row);
            match booleans.filter(|b| b.is_valid(at)).map(|b| b.value(at)) {
                Some(b) if b == decisive => results[*row as usize] = Some(decisive),
                None => {
                    results[*row as usize] = None;
                    still.push(*row);
                }
                Some(_) => still.push(*row),
            }
        }
        open = still;
    }
    Ok(Arc::new(BooleanArray::from(results)))
}

/// Puts together a column from pieces: for each row, which piece and which of its values.
fn merge(pieces: &[ArrayRef], places: &[(usize, usize)], data: &DataType) -> ArrayRef {
    if *data == DataType::Null {
        return Arc::new(NullArray::new(places.len()));
    }
    let pieces: Vec<&dyn Array> = pieces.iter().map(|p| p.as_ref()).collect();
    interleave(&pieces, places).expect("pieces have the type of the whole")
}

fn choose<'e>(
    frame: &Frame<'_, 'e>,
    condition: &'e Expr,
    then: &'e Expr,
    otherwise: &'e Expr,
    data: &DataType,
) -> Evaluated {
    let condition = frame.eval(condition)?;
    let yes = is_true(&condition);
    let (taken, left): (Vec<u32>, Vec<u32>) = (0..frame.rows() as u32).partition(|row| yes(*row as usize));
    if left.is_empty() {
        return frame.eval(then);
    }
    if taken.is_empty() {
        return frame.eval(otherwise);
    }
    let parts = [frame.eval_some(then, &taken)?, frame.eval_some(otherwise, &left)?];
    let mut next = [0, 0];
    let place = |row: u32| {
        let piece = usize::from(!yes(row as usize));
        next[piece] += 1;
        (piece, parts[piece].place(next[piece] - 1, row))
    };
    let places: Vec<_> = (0..frame.rows() as u32).map(place).collect();
    Ok(merge(&parts.map(|p| p.array), &places, data))
}

fn coalesce<'e>(frame: &Frame<'_, 'e>, xs: &'e [Expr], data: &DataType) -> Evaluated {
    let mut open: Vec<u32> = (0..frame.rows() as u32).collect();
    let mut places = vec![(0, 0); frame.rows()];
    let mut pieces = vec![];
    for x in xs {
        if open.is_empty() {
            break;
        }
        let part = frame.eval_some(x, &open)?;
        let nulls = null_mask(&part.array);
        let mut still = vec![];
        for (nth, row) in open.iter().enumerate() {
            let at = part.place(nth, *row);
            places[*row as usize] = (pieces.len(), at);
            if nulls.value(at) {
                still.push(*row);
            }
        }
        open = still;
        if pieces.is_empty() && open.is_empty() {
            return Ok(part.array);
        }
        pieces.push(part.array);
    }
    Ok(merge(&pieces, &places, data))
}

fn membership(array: &ArrayRef, ty: &Type, list: &[Value]) -> ArrayRef {
    if let Some(found) = super::members::of_whole(array, list) {
        return found;
    }
    let Some(texts) = array.as_string_opt::<i32>() else {
        let test = |row| match in_list(&value_at(array, row, ty), list) {
            Value::Boolean(b) => Some(b),
            _ => None,
        };
        return Arc::new((0..array.len()).map(test).collect::<BooleanArray>());
    };
    let known: BTreeSet<&str> =
        list.iter().filter_map(|v| if let Value::String(s) = v { Some(&**s) } else { None }).collect();
    let unknown = list.iter().any(Value::is_null);
    let mut result = BooleanBuilder::with_capacity(array.len());
    for text in texts {
        let found = text.map(|t| known.contains(t));
        result.append_option(found.filter(|f| *f || !unknown));
    }
    Arc::new(result.finish())
}

fn cast(array: &ArrayRef, from: &Type, to: &DataType, on_failure: CastFailure) -> Evaluated {
    if from.data == *to {
        return Ok(array.clone());
    }
    // Text is written into the column at once; a binary may not be text, and null is not the text `null`.
    if *to == DataType::String && from.data != DataType::Binary {
        let mut texts = StringBuilder::with_capacity(array.len(), array.len() * 8);
        let mut text = String::new();
        for row in 0..array.len() {
            match value_at(array, row, from) {
                Value::Null => texts.append_null(),
                value => {
                    text.clear();
                    write_text(&mut text, &value, &from.data);
                    texts.append_value(&text);
                }
            }
        }
        return Ok(Arc::new(texts.finish()));
    }
    if let Some(texts) = array.as_string_opt::<i32>() {
        let value = |(row, text): (usize, Option<&str>)| match text.map(|t| from_string(t, to)) {
            Some(Some(value)) => Ok(value),
            Some(None) if on_failure != CastFailure::Null => Err(Stop::Fails(row)),
            _ => Ok(Value::Null),
        };
        let values = texts.iter().enumerate().map(value).collect::<Result<Vec<_>, _>>()?;
        return Ok(build_array(to, &values));
    }
    let value = |row| match cast_value(&value_at(array, row, from), &from.data, to) {
        Ok(value) => Ok(value),
        Err(_) if on_failure == CastFailure::Null => Ok(Value::Null),
        Err(_) => Err(Stop::Fails(row)),
    };
    let values = (0..array.len()).map(value).collect::<Result<Vec<_>, _>>()?;
    Ok(build_array(to, &values))
}

fn field(array: &ArrayRef, index: usize) -> ArrayRef {
    let Some(structs) = array.as_struct_opt() else { return array.clone() };
    let column = structs.column(index);
    if structs.null_count() == 0 || column.data_type() == &A::Null {
        return column.clone();
    }
    nullif(column.as_ref(), &null_mask(array)).expect("a struct's null mask is as long as its fields")
}

fn structure(columns: Vec<ArrayRef>, data: &DataType, rows: usize) -> ArrayRef {
    match to_arrow(data) {
        A::Struct(fields) if !columns.is_empty() => Arc::new(StructArray::new(fields, columns, None)),
        _ => Arc::new(StructArray::new_empty_fields(rows, None)),
    }
}

fn list(items: &[ArrayRef], data: &DataType, rows: usize) -> ArrayRef {
    let (DataType::Array(item), A::List(field)) = (data, to_arrow(data)) else {
        unreachable!("an array has an array's type")
    };
    let places: Vec<_> = (0..rows).flat_map(|row| (0..items.len()).map(move |i| (i, row))).collect();
    let values = if items.is_empty() { build_array(&item.data, &[]) } else { merge(items, &places, &item.data) };
    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(items.len(), rows));
    Arc::new(ListArray::new(field, offsets, values, None))
}
