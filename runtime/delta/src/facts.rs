//! What is known of a file's columns: its partition values, the statistics in the log, and those of Parquet row groups. Knows how they are
//! written and where they cannot be trusted.

use crate::log::{Add, Snapshot};
use crate::partition::{self, parse_value};
use crate::prune::{Facts, Range, widen};
use crate::schema::{DeltaField, DeltaType};
use flowc_ir::catalog::ColumnBounds;
use flowc_ir::{DataType, Schema, Type, Value};
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::file::metadata::RowGroupMetaData;
use parquet::schema::types::SchemaDescriptor;
use serde_json::Value as Json;

/// Where a column of the program lies in the table.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// As the program names and types it.
    pub field: flowc_ir::Field,
    /// As the table has it.
    pub table: DeltaField,
    /// Whether it is a partition column.
    pub partition: bool,
}

impl Column {
    /// The value of this partition column in a file, as the program types it. The error says what is wrong with it.
    pub fn partition_value(&self, add: &Add) -> Result<Value, String> {
        let text = add.partition_values.get(self.table.physical()).and_then(Option::as_deref);
        let wanted = &self.field.ty.data;
        let DeltaType::Primitive(held) = &self.table.ty else { return Err("it is nested".into()) };
        let value = partition::parse(text, held)?;
        if value.is_null() {
            return Ok(value);
        }
        widen(&value, held, wanted).ok_or_else(|| format!("a {held} cannot be read as {wanted}"))
    }
}

/// What the log says of a file.
pub struct FileFacts<'a> {
    columns: &'a [Column],
    add: &'a Add,
    stats: Json,
}

impl<'a> FileFacts<'a> {
    /// Reads the file's statistics.
    pub fn new(columns: &'a [Column], add: &'a Add) -> Self {
        let stats = add.stats.as_deref().and_then(|s| serde_json::from_str(s).ok()).unwrap_or(Json::Null);
        FileFacts { columns, add, stats }
    }

    fn stat(&self, kind: &str, path: &[&str]) -> Option<&Json> {
        path.iter().try_fold(self.stats.get(kind)?, |at, name| at.get(name))
    }
}

impl Facts for FileFacts<'_> {
    fn range(&self, path: &[usize], ty: &Type) -> Option<Range> {
        let column = self.columns.get(*path.first()?)?;
        if column.partition {
            return column.partition_value(self.add).ok().map(Range::constant);
        }
        let (names, held) = leaf(column, &path[1..])?;
        let bound = |v| bound(v, &held).and_then(|v| widen(&v, &held, &ty.data));
        let rows = self.stats.get("numRecords").and_then(Json::as_u64);
        let nulls = self.stat("nullCount", &names).and_then(Json::as_u64);
        let max = self.stat("maxValues", &names).and_then(bound).map(rounded_up);
        Some(Range {
            min: lower(self.stat("minValues", &names).and_then(bound)),
            max: upper(max),
            nulls: ty.nullable && nulls != Some(0),
            values: rows.is_none() || nulls.is_none() || nulls < rows,
        })
    }
}

/// What the statistics of all files of a version say of its columns. A column of which a file says nothing is left out.
pub fn table_bounds(snapshot: &Snapshot, schema: &Schema) -> Vec<ColumnBounds> {
    let Ok(fields) = crate::schema::parse(&snapshot.metadata.schema_string) else { return vec![] };
    let column = |field: &flowc_ir::Field| {
        let table = fields.iter().find(|f| f.name == field.name).cloned()?;
        let partition = snapshot.metadata.partition_columns.contains(&field.name);
        Some(Column { field: field.clone(), table, partition })
    };
    let columns: Vec<Column> = schema.fields.iter().filter_map(column).collect();
    let files: Vec<FileFacts<'_>> = snapshot.files.values().map(|add| FileFacts::new(&columns, add)).collect();
    let bounds = |(index, column): (usize, &Column)| {
        let ranges: Option<Vec<Range>> = files.iter().map(|file| file.range(&[index], &column.field.ty)).collect();
        let ranges = ranges.filter(|ranges| !ranges.is_empty())?;
        let nulls = ranges.iter().any(|range| range.nulls);
        let values = || ranges.iter().filter(|range| range.values);
        // One file without a bound, and the table has none.
        let least: Option<Vec<Value>> = values().map(|range| range.min.clone()).collect();
        let greatest: Option<Vec<Value>> = values().map(|range| range.max.clone()).collect();
        let min = least.and_then(|all| all.into_iter().min_by(Value::compare));
        let max = greatest.and_then(|all| all.into_iter().max_by(Value::compare));
        Some(ColumnBounds { column: column.field.name.clone(), min, max, nulls })
    };
    columns.iter().enumerate().filter_map(bounds).collect()
}

/// The physical names on the way to a field of a column, and the type that the table has for it: that of the values in the statistics. None where a
/// type was widened from float: bounds that were written for floats are none for the doubles that they become.
fn leaf<'a>(column: &'a Column, path: &[usize]) -> Option<(Vec<&'a str>, DataType)> {
    let mut names = vec![column.table.physical()];
    let (mut wanted, mut table) = (&column.field.ty.data, &column.table);
    for index in path {
        let (DataType::Struct(fields), DeltaType::Struct(declared)) = (wanted, &table.ty) else { return None };
        let field = fields.get(*index)?;
        table = declared.iter().find(|f| f.name == field.name)?;
        names.push(table.physical());
        wanted = &field.ty.data;
    }
    match &table.ty {
        DeltaType::Primitive(DataType::Double) if table.metadata.contains_key("delta.typeChanges") => None,
        DeltaType::Primitive(data) => Some((names, data.clone())),
        _ => None,
    }
}

/// A bound in a file's statistics.
fn bound(json: &Json, data: &DataType) -> Option<Value> {
    match json {
        Json::String(text) => match data {
            DataType::Binary => None,
            _ => parse_value(text, data),
        },
        Json::Number(number) if data.is_numeric() => parse_value(&number.to_string(), data),
        Json::Bool(value) if *data == DataType::Boolean => Some(Value::Boolean(*value)),
        _ => None,
    }
}

/// Writers cut timestamps to milliseconds: the greatest may be almost one more.
fn rounded_up(value: Value) -> Value {
    let up = |v: i64| if v.rem_euclid(1_000) == 0 { v.saturating_add(999) } else { v };
    match value {
        Value::Timestamp(v) => Value::Timestamp(up(v)),
        Value::TimestampNtz(v) => Value::TimestampNtz(up(v)),
        other => other,
    }
}

/// Many writers leave NaN out of their statistics; for flowc it is the greatest value. So floats have no upper bound.
fn upper(max: Option<Value>) -> Option<Value> {
    max.filter(|v| !matches!(v, Value::Float(_) | Value::Double(_)))
}

/// Writers that take NaN for a bound do not agree where it stands.
fn lower(min: Option<Value>) -> Option<Value> {
    min.filter(|v| !matches!(v, Value::Float(x) if x.is_nan()) && !matches!(v, Value::Double(x) if x.is_nan()))
}

/// What a Parquet row group says of itself; top-level columns only.
pub struct RowGroupFacts {
    ranges: Vec<Option<Range>>,
}

impl RowGroupFacts {
    /// Reads the row group's statistics for these columns. `positions`: the root column in the file of each.
    pub fn new(
        columns: &[Column],
        positions: &[Option<usize>],
        group: &RowGroupMetaData,
        parquet: &SchemaDescriptor,
        arrow: &arrow::datatypes::Schema,
    ) -> Self {
        let range = |(column, position): (&Column, &Option<usize>)| {
            let field = arrow.field((*position)?);
            row_group_range(column, field.name(), group, parquet, arrow)
        };
        RowGroupFacts { ranges: columns.iter().zip(positions).map(range).collect() }
    }
}

fn row_group_range(
    column: &Column,
    name: &str,
    group: &RowGroupMetaData,
    parquet: &SchemaDescriptor,
    arrow: &arrow::datatypes::Schema,
) -> Option<Range> {
    let converter = StatisticsConverter::try_new(name, arrow, parquet).ok()?;
    let statistics = group.column(converter.parquet_column_index()?).statistics()?;
    let (data, held) = (&column.field.ty.data, converter.arrow_field().data_type());
    // Old writers ordered texts and decimals by signed bytes; a file with other types than the table is converted first.
    let trusted = !statistics.is_min_max_deprecated() && flowc_ir::arrow_types::to_arrow(data) == *held;
    let value = |array: arrow::error::Result<arrow::array::ArrayRef>| {
        partition::value_at(&array.ok()?, 0).filter(|v| !v.is_null())
    };
    let mins = converter.row_group_mins([group]).map_err(|e| arrow::error::ArrowError::ParquetError(e.to_string()));
    let maxes = converter.row_group_maxes([group]).map_err(|e| arrow::error::ArrowError::ParquetError(e.to_string()));
    let nulls = statistics.null_count_opt();
    Some(Range {
        min: lower(value(mins)).filter(|_| trusted),
        max: upper(value(maxes)).filter(|_| trusted),
        nulls: column.field.ty.nullable && nulls != Some(0),
        values: nulls.is_none_or(|n| n < group.num_rows().max(0) as u64),
    })
}

impl Facts for RowGroupFacts {
    fn range(&self, path: &[usize], _: &Type) -> Option<Range> {
        match path {
            [column] => self.ranges.get(*column)?.clone(),
            _ => None,
        }
    }
}

/// What is known of a row group of a file of the table: its partition's values, its own statistics, and where it has none those of the file.
pub struct PartFacts<'a> {
    file: FileFacts<'a>,
    group: RowGroupFacts,
}

impl<'a> PartFacts<'a> {
    /// Reads the file's statistics.
    pub fn new(columns: &'a [Column], add: &'a Add, group: RowGroupFacts) -> Self {
        PartFacts { file: FileFacts::new(columns, add), group }
    }
}

impl Facts for PartFacts<'_> {
    fn range(&self, path: &[usize], ty: &Type) -> Option<Range> {
        self.group.range(path, ty).or_else(|| self.file.range(path, ty))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowc_ir::Field;

    fn range(stats: &str, data: DataType) -> Range {
        let field = Field::new("x", Type::nullable(data));
        let table = DeltaField::from_flowc(&field).expect("Delta's type");
        let columns = [Column { table, field: field.clone(), partition: false }];
        let add: Add =
            serde_json::from_value(serde_json::json!({ "path": "f", "size": 1, "stats": stats })).expect("an add");
        FileFacts::new(&columns, &add).range(&[0], &field.ty).expect("known column")
    }

    #[test]
    fn statistics_are_read_by_type() {
        let decimal = DataType::Decimal { precision: 38, scale: 2 };
        let stats = r#"{"numRecords":3,"minValues":{"x":-1.5},"maxValues":{"x":12345678901234567890123456789012345.25},"nullCount":{"x":0}}"#;
        let decimal = range(stats, decimal);
        assert_eq!(decimal.min, Some(Value::Decimal(-150)));
        assert_eq!(decimal.max, Some(Value::Decimal(1234567890123456789012345678901234525)));
        assert!(!decimal.nulls && decimal.values);
        let time = range(
            r#"{"minValues":{"x":"1969-12-31T23:59:59.999Z"},"maxValues":{"x":"1970-01-01T00:00:00.001Z"}}"#,
            DataType::Timestamp,
        );
        assert_eq!((time.min, time.max), (Some(Value::Timestamp(-1_000)), Some(Value::Timestamp(1_999))));
        assert!(time.nulls && time.values);
        let double = range(
            r#"{"numRecords":2,"minValues":{"x":1},"maxValues":{"x":2.5},"nullCount":{"x":2}}"#,
            DataType::Double,
        );
        assert_eq!((double.min, double.max, double.values), (Some(Value::Double(1.0)), None, false));
    }

    #[test]
    fn floats_are_widened_after_they_are_read() {
        let wanted = Field::new("x", Type::nullable(DataType::Double));
        let table = DeltaField::from_flowc(&Field::new("x", Type::nullable(DataType::Float))).expect("Delta's type");
        let columns = [Column { table, field: wanted.clone(), partition: false }];
        let json = serde_json::json!({ "path": "f", "size": 1, "stats": r#"{"minValues":{"x":0.7}}"#, "partitionValues": { "x": "0.7" } });
        let add: Add = serde_json::from_value(json).expect("an add");
        let min = FileFacts::new(&columns, &add).range(&[0], &wanted.ty).expect("known column").min;
        assert_eq!(min, Some(Value::Double(f64::from(0.7f32))));
        assert_eq!(columns[0].partition_value(&add), Ok(Value::Double(f64::from(0.7f32))));
    }

    #[test]
    fn no_statistics_say_nothing() {
        let unknown = range("not json", DataType::Long);
        assert_eq!(unknown, Range { min: None, max: None, nulls: true, values: true });
    }
}
