//! The partitions that an epoch's files lie in, to tell which files of the table lie in the same. Pure.

use super::target::Target;
use crate::log::Add;
use crate::partition;
use flowc_ir::{DataType, Value};
use indexmap::IndexMap;

/// The values of a file's partition columns, as the log has them.
pub type PartitionValues = IndexMap<String, Option<String>>;

/// The partitions that files lie in.
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
