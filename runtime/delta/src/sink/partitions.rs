//! The partitions that an epoch's files lie in, to tell which files of the table lie in the same. Pure.

use super::target::Target;
use crate::log::Add;
use crate::partition;
use crate::schema::DeltaField;
use arrow::array::{ArrayRef, BooleanArray};
use flowc_ir::{DataType, Value};
use flowc_runtime::Partition;
use indexmap::IndexMap;

/// The values of a file's partition columns, as the log has them.
pub type PartitionValues = IndexMap<String, Option<String>>;

/// The partitions that files lie in: by all partition columns of a table, or by some of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Partitions {
    columns: Vec<(String, DataType)>,
    values: Vec<Vec<Value>>,
}

impl Partitions {
    /// Those of files that are to be added.
    pub fn of(target: &Target, adds: &[Add]) -> Partitions {
        let ty = |name: &String| {
            let field = target.fields.iter().find(|f| f.name == *name)?.to_flowc().ok()?;
            Some((name.clone(), field.ty.data))
        };
        let mut partitions =
            Partitions { columns: target.partition_by.iter().filter_map(ty).collect(), values: vec![] };
        let all = adds.iter().map(|add| partitions.of_file(&add.partition_values));
        let mut values: Vec<Vec<Value>> = all.collect();
        values.sort_by(|a, b| compare(a, b));
        values.dedup_by(|a, b| compare(a, b).is_eq());
        partitions.values = values;
        partitions
    }

    /// Those that are named: all that have these values in these columns. The error says why the table cannot have them.
    pub fn named(partition_by: &[String], fields: &[DeltaField], partition: &Partition) -> Result<Partitions, String> {
        let mut named = Partitions { columns: vec![], values: vec![vec![]] };
        for (name, text) in &partition.0 {
            let field = fields.iter().find(|f| f.name == *name && partition_by.contains(name));
            let field = field.ok_or_else(|| match partition_by {
                [] => "the table has no partition columns".to_string(),
                columns => format!("the table is partitioned by ({}), not by `{name}`", columns.join(", ")),
            })?;
            let column = field.to_flowc().map_err(|e| format!("`{name}` has the type {}", e.ty))?;
            let value = partition::parse(text.as_deref(), &column.ty.data);
            named.values[0].push(value.map_err(|why| format!("column `{name}`: {why}"))?);
            named.columns.push((name.clone(), column.ty.data));
        }
        Ok(named)
    }

    /// The names of the columns that they are told by.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(name, _)| name.as_str())
    }

    /// Which rows lie in one of them, by these columns of theirs, in the order of [`Partitions::columns`].
    pub fn rows(&self, columns: &[ArrayRef], rows: usize) -> BooleanArray {
        let value = |column: &ArrayRef, row: usize| match partition::value_at(column, row) {
            // The log writes both alike.
            Some(Value::String(text)) if text.is_empty() => Value::Null,
            value => value.unwrap_or(Value::Null),
        };
        let holds = |row: usize| {
            let wanted: Vec<Value> = columns.iter().map(|column| value(column, row)).collect();
            self.values.binary_search_by(|held| compare(held, &wanted)).is_ok()
        };
        (0..rows).map(|row| Some(holds(row))).collect()
    }

    /// The one partition of a table that has no partition columns.
    #[cfg(test)]
    pub(super) fn all() -> Partitions {
        Partitions { columns: vec![], values: vec![vec![]] }
    }

    /// As values: writers do not agree how they are written.
    fn of_file(&self, values: &PartitionValues) -> Vec<Value> {
        let value = |(name, data): &(String, DataType)| {
            let text = values.get(name).and_then(Option::as_deref);
            partition::parse(text, data).unwrap_or_else(|_| Value::String(text.unwrap_or_default().into()))
        };
        self.columns.iter().map(value).collect()
    }

    /// Whether a file with these values lies in one of them.
    pub fn hold(&self, values: &PartitionValues) -> bool {
        let wanted = self.of_file(values);
        self.values.binary_search_by(|held| compare(held, &wanted)).is_ok()
    }
}

fn compare(a: &[Value], b: &[Value]) -> std::cmp::Ordering {
    let unequal = a.iter().zip(b).map(|(a, b)| a.compare(b)).find(|order| order.is_ne());
    unequal.unwrap_or(std::cmp::Ordering::Equal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_files_are_told_by_the_columns_that_are_named() {
        let field = |name: &str, data| {
            let field = flowc_ir::Field::new(name, flowc_ir::Type::nullable(data));
            DeltaField::from_flowc(&field).expect("a field")
        };
        let fields = [field("day", DataType::Date), field("id", DataType::Integer), field("v", DataType::Double)];
        let by = ["day".to_string(), "id".to_string()];
        let named = |column: &str, value: Option<&str>| {
            let partition = Partition([(column.to_string(), value.map(String::from))].into_iter().collect());
            Partitions::named(&by, &fields, &partition)
        };
        let seven = named("id", Some("7")).expect("there is such a column");
        let file = |id: &str| -> PartitionValues {
            [("day", "2020-01-01"), ("id", id)].map(|(k, v)| (k.to_string(), Some(v.to_string()))).into_iter().collect()
        };
        assert!(seven.hold(&file("7")) && !seven.hold(&file("8")));
        let ids: ArrayRef = std::sync::Arc::new(arrow::array::Int32Array::from(vec![Some(7), None, Some(8), Some(7)]));
        let held = |partitions: &Partitions| {
            partitions.rows(std::slice::from_ref(&ids), 4).values().iter().collect::<Vec<_>>()
        };
        assert_eq!(held(&seven), [true, false, false, true]);
        assert_eq!(held(&named("id", None).expect("null is a value")), [false, true, false, false]);
        assert!(named("v", Some("1")).expect_err("no partition column").contains("(day, id), not by `v`"));
        assert!(named("day", Some("yesterday")).expect_err("no date").contains("`yesterday` is not a date"));
    }

    #[test]
    fn values_are_compared_and_not_their_texts() {
        let data = DataType::Timestamp;
        let columns = vec![("at".to_string(), data), ("part".to_string(), DataType::String)];
        let mut partitions = Partitions { columns, values: vec![] };
        let file = |at: Option<&str>, part: Option<&str>| -> PartitionValues {
            [("at", at), ("part", part)].map(|(k, v)| (k.to_string(), v.map(str::to_string))).into_iter().collect()
        };
        partitions.values = vec![partitions.of_file(&file(Some("2020-01-01T00:00:00.000000Z"), None))];
        assert!(partitions.hold(&file(Some("2020-01-01 00:00:00"), Some(""))));
        assert!(!partitions.hold(&file(Some("2020-01-01 00:00:00"), Some("a"))));
        assert!(!partitions.hold(&file(None, None)));
    }
}
