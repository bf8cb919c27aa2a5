//! The columns of a source that no file has: how often a row is added, and when that was committed. Knows the order of columns; nothing of files.

use arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use flowc_ir::arrow_types::to_arrow_schema;
use flowc_ir::graph::WEIGHT;
use flowc_ir::{DataType, Schema, Type};
use std::sync::Arc;

/// The column of the change data feed's files that says what happened to a row.
pub const CHANGE_TYPE: &str = "_change_type";

/// The type of [`CHANGE_TYPE`].
pub fn change_type() -> Type {
    Type::new(DataType::String)
}

/// Where a column's values come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// From the table's column at this position among those that are read.
    Table(usize),
    /// From how the row came.
    Weight,
    /// From the commit.
    Committed,
}

/// How often rows are added.
#[derive(Debug, Clone, Copy)]
pub enum Weights<'a> {
    /// Each so often.
    All(i64),
    /// Each as its place says.
    Each(&'a Int64Array),
}

/// What the batches of a source are made of.
#[derive(Debug, Clone)]
pub struct Layout {
    schema: SchemaRef,
    places: Vec<Place>,
    columns: Schema,
}

impl Layout {
    /// Of a source's columns; `committed` names the one with the commit's time.
    pub fn new(schema: &Schema, committed: Option<&str>) -> Layout {
        let (mut places, mut columns) = (vec![], vec![]);
        for field in &schema.fields {
            places.push(if field.name == WEIGHT {
                Place::Weight
            } else if committed == Some(field.name.as_str()) {
                Place::Committed
            } else {
                columns.push(field.clone());
                Place::Table(columns.len() - 1)
            });
        }
        Layout { schema: to_arrow_schema(schema), places, columns: Schema::new(columns) }
    }

    /// The table's columns among them.
    pub fn columns(&self) -> &Schema {
        &self.columns
    }

    /// Of each column, which of the table's that are read it is.
    pub fn places(&self) -> Vec<Option<usize>> {
        let place = |place: &Place| match place {
            Place::Table(position) => Some(*position),
            _ => None,
        };
        self.places.iter().map(place).collect()
    }

    /// Rows with all columns, from rows that begin with the table's.
    pub fn complete(
        &self,
        batch: &RecordBatch,
        weights: Weights<'_>,
        committed: i64,
    ) -> Result<RecordBatch, ArrowError> {
        let rows = batch.num_rows();
        let column = |place: &Place| -> ArrayRef {
            match (place, weights) {
                (Place::Table(position), _) => Arc::clone(batch.column(*position)),
                (Place::Weight, Weights::All(weight)) => Arc::new(Int64Array::from_value(weight, rows)),
                (Place::Weight, Weights::Each(weights)) => Arc::new(weights.clone()),
                (Place::Committed, _) => {
                    Arc::new(TimestampMicrosecondArray::from_value(committed, rows).with_timezone("UTC"))
                }
            }
        };
        let columns = self.places.iter().map(column).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
    }
}

/// The weights that the types of changes mean; the error is one that the protocol does not have ("Add CDC File").
pub fn weights(types: &StringArray) -> Result<Int64Array, String> {
    let weight = |ty: &str| match ty {
        "insert" | "update_postimage" => Ok(1),
        "delete" | "update_preimage" => Ok(-1),
        other => Err(format!("`{CHANGE_TYPE}` is `{other}`")),
    };
    let known = |ty: Option<&str>| ty.map_or_else(|| Err(format!("`{CHANGE_TYPE}` is null")), weight);
    Ok(Int64Array::from(types.iter().map(known).collect::<Result<Vec<i64>, _>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Array;
    use flowc_ir::Field;
    use flowc_ir::graph::weight;

    #[test]
    fn what_no_file_has_is_put_in_its_place() {
        let long = |name: &str| Field::new(name, Type::new(DataType::Long));
        let time = Field::new("at", Type::new(DataType::Timestamp));
        let schema = Schema::new(vec![long("a"), time, long("b"), weight()]);
        let layout = Layout::new(&schema, Some("at"));
        assert_eq!(layout.places(), [Some(0), None, Some(1), None]);
        let read = to_arrow_schema(layout.columns());
        let numbers = |n: i64| Arc::new(Int64Array::from(vec![n, n])) as ArrayRef;
        let batch = RecordBatch::try_new(read, vec![numbers(1), numbers(2)]).expect("a batch");
        let whole = layout.complete(&batch, Weights::All(-1), 7_000_000).expect("fits");
        assert_eq!(whole.schema(), to_arrow_schema(&schema));
        assert_eq!((whole.column(2), whole.column(3)), (&numbers(2), &numbers(-1)));
        let each = Int64Array::from(vec![1, -1]);
        let whole = layout.complete(&batch, Weights::Each(&each), 0).expect("fits");
        assert_eq!(whole.column(3).as_ref(), &each as &dyn Array);
    }

    #[test]
    fn types_of_changes() {
        let all = StringArray::from(vec!["insert", "delete", "update_preimage", "update_postimage"]);
        assert_eq!(weights(&all), Ok(Int64Array::from(vec![1, -1, -1, 1])));
        assert_eq!(weights(&StringArray::from(vec!["upsert"])), Err("`_change_type` is `upsert`".to_string()));
        assert!(weights(&StringArray::from(vec![None::<&str>])).is_err());
    }
}
