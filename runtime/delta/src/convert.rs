//! Brings columns as data files have them to the types that the program wants: by column mapping, with nulls for what the file lacks, widened
//! where the table's types were. Knows Arrow and Delta's types; nothing of files.

use crate::schema::{DeltaField, DeltaType};
use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, StructArray, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType as A, Fields};
use flowc_ir::DataType;
use flowc_ir::arrow_types::{from_arrow, to_arrow};
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;
use std::sync::Arc;

/// The position of a table's field among those of a file: by id where the table maps columns by id, else by physical name.
pub fn position(fields: &Fields, wanted: &DeltaField, by_id: bool) -> Option<usize> {
    let id = wanted.id().filter(|_| by_id).map(|id| id.to_string());
    match id {
        Some(id) => fields.iter().position(|f| f.metadata().get(PARQUET_FIELD_ID_META_KEY) == Some(&id)),
        None => fields.iter().position(|f| f.name() == wanted.physical()),
    }
}

/// The column `array` of a file as the type `target`. The error says what does not fit.
pub fn convert(array: &ArrayRef, target: &DataType, table: &DeltaType, by_id: bool) -> Result<ArrayRef, String> {
    match (target, table) {
        (DataType::Struct(_), DeltaType::Struct(fields)) => convert_struct(array, target, fields, by_id),
        (DataType::Array(item), DeltaType::Array(element, _)) => {
            let list = array.as_list_opt::<i32>().ok_or_else(|| mismatch(array, target))?;
            let values = convert(list.values(), &item.data, element, by_id)?;
            let A::List(field) = to_arrow(target) else { return Err(mismatch(array, target)) };
            let list = ListArray::try_new(field, list.offsets().clone(), values, list.nulls().cloned());
            Ok(Arc::new(list.map_err(|e| e.to_string())?))
        }
        (DataType::Map(key, value), DeltaType::Map(key_type, value_type, _)) => {
            let map = array.as_map_opt().ok_or_else(|| mismatch(array, target))?;
            let keys = convert(map.keys(), key, key_type, by_id)?;
            let values = convert(map.values(), &value.data, value_type, by_id)?;
            let A::Map(field, _) = to_arrow(target) else { return Err(mismatch(array, target)) };
            let A::Struct(pair) = field.data_type() else { return Err(mismatch(array, target)) };
            let entries = StructArray::try_new(pair.clone(), vec![keys, values], None).map_err(|e| e.to_string())?;
            let map = MapArray::try_new(field, map.offsets().clone(), entries, map.nulls().cloned(), false);
            Ok(Arc::new(map.map_err(|e| e.to_string())?))
        }
        _ => convert_primitive(array, target),
    }
}

fn convert_struct(array: &ArrayRef, target: &DataType, table: &[DeltaField], by_id: bool) -> Result<ArrayRef, String> {
    let (DataType::Struct(wanted), A::Struct(out), Some(rows)) = (target, to_arrow(target), array.as_struct_opt())
    else {
        return Err(mismatch(array, target));
    };
    let mut columns = vec![];
    for (field, arrow) in wanted.iter().zip(&out) {
        let declared = table.iter().find(|f| f.name == field.name).ok_or_else(|| mismatch(array, target))?;
        columns.push(match position(rows.fields(), declared, by_id) {
            Some(i) => convert(rows.column(i), &field.ty.data, &declared.ty, by_id)?,
            None => new_null_array(arrow.data_type(), rows.len()),
        });
    }
    if columns.is_empty() {
        return Ok(Arc::new(StructArray::new_empty_fields(rows.len(), rows.nulls().cloned())));
    }
    let rows = StructArray::try_new(out, columns, rows.nulls().cloned()).map_err(|e| e.to_string())?;
    Ok(Arc::new(rows))
}

fn mismatch(array: &ArrayRef, target: &DataType) -> String {
    format!("it holds {} where the table has {target}", array.data_type())
}

/// Converts where files legitimately differ from the table: other widths of integers, types before they were widened, other units and encodings.
fn convert_primitive(array: &ArrayRef, target: &DataType) -> Result<ArrayRef, String> {
    let wanted = to_arrow(target);
    if array.data_type() == &wanted {
        return Ok(array.clone());
    }
    let held = from_arrow(array.data_type()).ok_or_else(|| mismatch(array, target))?;
    let fits = held.widens_to(target)
        || (held.is_integer() && target.is_integer())
        || matches!((&held, target), (DataType::Decimal { .. }, DataType::Decimal { .. }))
        || matches!((&held, target), (DataType::Binary, DataType::String) | (DataType::Date, DataType::TimestampNtz))
        || matches!((&held, target), (DataType::TimestampNtz, DataType::Timestamp))
        || matches!((&held, target), (DataType::Timestamp, DataType::TimestampNtz));
    if !fits {
        return Err(mismatch(array, target));
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, &wanted, &options).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::from_flowc;
    use arrow::array::{Int16Array, Int32Array, StringArray, TimestampNanosecondArray};
    use arrow::datatypes::Field as AField;
    use flowc_ir::{Field, Schema, Type};

    #[test]
    fn narrower_files_are_widened_and_wrong_ones_refused() {
        let ints: ArrayRef = Arc::new(Int16Array::from(vec![Some(1), None]));
        let long = DeltaType::Primitive(DataType::Long);
        assert_eq!(convert(&ints, &DataType::Long, &long, false).expect("widens").data_type(), &A::Int64);
        let text: ArrayRef = Arc::new(StringArray::from(vec!["1"]));
        assert!(convert(&text, &DataType::Long, &long, false).expect_err("text").contains("Utf8"));
        let big: ArrayRef = Arc::new(Int32Array::from(vec![300]));
        assert!(convert(&big, &DataType::Byte, &DeltaType::Primitive(DataType::Byte), false).is_err());
        let old: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![-1_000]));
        let out =
            convert(&old, &DataType::Timestamp, &DeltaType::Primitive(DataType::Timestamp), false).expect("casts");
        assert_eq!(crate::partition::value_at(&out, 0), Some(flowc_ir::Value::Timestamp(-1)));
    }

    #[test]
    fn fields_that_a_file_lacks_are_null() {
        let column = |name: &str, data| Field::new(name, Type::nullable(data));
        let nested = DataType::Struct(vec![column("new", DataType::String), column("old", DataType::Long)]);
        let table = from_flowc(&Schema::new(vec![column("s", nested.clone())])).expect("Delta's types");
        let old: ArrayRef = Arc::new(Int32Array::from(vec![7]));
        let file = StructArray::from(vec![(Arc::new(AField::new("old", A::Int32, true)), old)]);
        let out = convert(&(Arc::new(file) as ArrayRef), &nested, &table[0].ty, false).expect("converts");
        assert!(out.as_struct().column(0).is_null(0));
        assert_eq!(out.data_type(), &to_arrow(&nested));
    }
}
