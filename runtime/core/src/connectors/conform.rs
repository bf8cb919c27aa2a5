//! Columns as files have them, turned into the types that the program was compiled for. Knows Arrow types; nothing of files.

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, StructArray, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::DataType as A;
use flowc_ir::arrow_types::to_arrow;
use flowc_ir::{DataType, Type};
use std::sync::Arc;

/// The column with this type; an explanation if it cannot be.
pub(crate) fn conform(array: &ArrayRef, ty: &Type) -> Result<ArrayRef, String> {
    let array = conform_data(array, &ty.data)?;
    if !ty.nullable && array.logical_null_count() > 0 {
        return Err(format!("it has a null, and its type is {ty}"));
    }
    Ok(array)
}

fn conform_data(array: &ArrayRef, data: &DataType) -> Result<ArrayRef, String> {
    let target = to_arrow(data);
    if *array.data_type() == target {
        return Ok(Arc::clone(array));
    }
    match (array.data_type(), data) {
        (A::Null, _) => Ok(new_null_array(&target, array.len())),
        (A::Dictionary(_, values), _) => conform_data(&cast(array, values)?, data),
        (A::Struct(_), DataType::Struct(fields)) => {
            let parts = array.as_struct();
            let mut columns = vec![];
            for field in fields {
                columns.push(match parts.column_by_name(&field.name) {
                    // What is null where the struct is null is no null of the field.
                    Some(column) => match parts.nulls() {
                        None => conform(column, &field.ty).map_err(|e| format!("in `{}`, {e}", field.name))?,
                        Some(_) => conform_data(column, &field.ty.data)?,
                    },
                    None if field.ty.nullable => new_null_array(&to_arrow(&field.ty.data), array.len()),
                    None => return Err(format!("it has no field `{}`", field.name)),
                });
            }
            let A::Struct(fields) = target else { return Err("it is a struct".into()) };
            let made = StructArray::try_new(fields, columns, parts.nulls().cloned());
            Ok(Arc::new(made.map_err(|e| e.to_string())?))
        }
        (A::List(_), DataType::Array(item)) => {
            let list = array.as_list::<i32>();
            let A::List(field) = target else { return Err("it is a list".into()) };
            let values = conform(list.values(), item)?;
            let made = ListArray::try_new(field, list.offsets().clone(), values, list.nulls().cloned());
            Ok(Arc::new(made.map_err(|e| e.to_string())?))
        }
        (A::LargeList(item) | A::FixedSizeList(item, _) | A::ListView(item), DataType::Array(_)) => {
            conform_data(&cast(array, &A::List(Arc::clone(item)))?, data)
        }
        (A::Map(..), DataType::Map(key, value)) => {
            let map = array.as_map();
            let A::Map(field, sorted) = target else { return Err("it is a map".into()) };
            let A::Struct(pair) = field.data_type().clone() else { return Err("it is a map".into()) };
            let columns = vec![conform(map.keys(), &Type::new((**key).clone()))?, conform(map.values(), value)?];
            let entries = StructArray::try_new(pair, columns, None).map_err(|e| e.to_string())?;
            let made = MapArray::try_new(field, map.offsets().clone(), entries, map.nulls().cloned(), sorted);
            Ok(Arc::new(made.map_err(|e| e.to_string())?))
        }
        _ => cast(array, &target),
    }
}

fn cast(array: &ArrayRef, to: &A) -> Result<ArrayRef, String> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, to, &options).map_err(|e| e.to_string())
}
