//! The rows of a target that are matched by key: all columns of the table in its order and types, which of them are the key, and how the program's batches become
//! such rows. Decides nothing; reads and writes nothing.

use super::key_index::RowKeys;
use super::numbers::Numbers;
use crate::codes;
use crate::convert::convert;
use crate::facts::Column;
use crate::schema::DeltaField;
use crate::sink::target::{Target, describe, history_columns};
use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::datatypes::{Field as AField, Schema as ASchema, SchemaRef};
use arrow::row::Rows;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use flowc_ir::arrow_types::to_arrow_schema;
use flowc_ir::graph::WEIGHT;
use flowc_ir::plan::{COMMITTED, SinkMode, SinkSpec};
use flowc_ir::{DataType, Field, Schema, Type};
use flowc_runtime::RunError;
use flowc_runtime::keys::Keys;
use std::sync::Arc;

/// The times of a version in the history of a row, and whether it is the current one: positions of columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// When it began.
    pub from: usize,
    /// When it ended; null: it has not.
    pub to: usize,
    /// Whether it has not.
    pub current: usize,
}

/// See the module.
#[derive(Debug)]
pub struct Layout {
    spec: Arc<SinkSpec>,
    /// The table's columns.
    pub schema: Schema,
    /// The same as the table has them.
    fields: Vec<DeltaField>,
    arrow: SchemaRef,
    /// The same, and what the program's rows have besides: the time of the commit, the weight.
    staged: SchemaRef,
    /// For each column of the table its position in the program's batches.
    sources: Vec<Option<usize>>,
    /// Positions of the key's columns; those by which the table is partitioned first.
    keys: Vec<usize>,
    key_columns: Vec<Column>,
    encoder: Keys,
    /// Of a target that keeps history.
    pub validity: Option<Validity>,
}

impl Layout {
    /// The rows of a target whose keys are these columns. Fails where a column has a type that flowc does not have, or a key one that cannot be compared.
    pub fn new(spec: &Arc<SinkSpec>, keys: &[String], target: &Target) -> Result<Layout, RunError> {
        let what = describe(spec);
        let mismatch = |why: String| RunError::data(codes::TARGET_SCHEMA, format!("{what}: {why}")).at(spec.origin);
        let table = crate::schema::to_flowc(&target.fields);
        let mut schema = table.map_err(|e| mismatch(format!("`{}` has the type {}", e.column, e.ty)))?;
        schema.fields.iter_mut().for_each(|f| f.comment = None);
        let arrow = to_arrow_schema(&schema);
        let mut staged: Vec<AField> = arrow.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
        let history = matches!(spec.mode, SinkMode::Scd2 { .. });
        if spec.changing {
            let mut more = vec![Field::new(WEIGHT, Type::new(DataType::Long))];
            if history {
                more.insert(0, Field::new(COMMITTED, Type::new(DataType::Timestamp)));
            }
            staged.extend(more.iter().map(flowc_ir::arrow_types::to_arrow_field));
        }
        let position =
            |name: &str| schema.index_of(name).ok_or_else(|| mismatch(format!("the table has no column `{name}`")));
        let mut positions = keys.iter().map(|k| position(k)).collect::<Result<Vec<_>, _>>()?;
        positions.sort_by_key(|p| !target.partition_by.contains(&schema.fields[*p].name));
        let column = |position: &usize| {
            let field = schema.fields[*position].clone();
            let partition = target.partition_by.contains(&field.name);
            Column { field, table: target.fields[*position].clone(), partition }
        };
        let key_columns = positions.iter().map(column).collect();
        let encoder = Keys::new(positions.iter().map(|p| arrow.field(*p).data_type()))?;
        let validity = if history {
            let [to, current] = history_columns().map(|f| position(&f.name));
            Some(Validity { from: position("valid_from")?, to: to?, current: current? })
        } else {
            None
        };
        Ok(Layout {
            spec: Arc::clone(spec),
            sources: schema.fields.iter().map(|f| spec.schema.index_of(&f.name)).collect(),
            fields: target.fields.clone(),
            staged: Arc::new(ASchema::new(staged)),
            keys: positions,
            key_columns,
            schema,
            arrow,
            encoder,
            validity,
        })
    }

    /// The columns of the table.
    pub fn arrow(&self) -> &SchemaRef {
        &self.arrow
    }

    /// The columns of rows that wait: those of the table, each nullable, then the time of the commit and the weight where the program's rows have them.
    pub fn staged(&self) -> &SchemaRef {
        &self.staged
    }

    /// How many columns the table has.
    pub fn width(&self) -> usize {
        self.schema.len()
    }

    /// A batch of the program as rows that wait. Columns that the program does not have are null.
    pub fn stage(&self, batch: &RecordBatch) -> Result<RecordBatch, RunError> {
        let rows = batch.num_rows();
        let mut columns: Vec<ArrayRef> = vec![];
        for (i, source) in self.sources.iter().enumerate() {
            let (field, table) = (&self.schema.fields[i], &self.fields[i]);
            columns.push(match source {
                Some(position) => {
                    convert(batch.column(*position), &field.ty.data, &table.ty, false).map_err(|why| {
                        let message = format!("{}: column `{}`: {why}", describe(&self.spec), field.name);
                        RunError::data(codes::TARGET_SCHEMA, message).at(self.spec.origin)
                    })?
                }
                None => new_null_array(self.arrow.field(i).data_type(), rows),
            });
        }
        columns.extend(batch.columns().iter().skip(self.spec.schema.len()).cloned());
        RecordBatch::try_new(Arc::clone(&self.staged), columns).map_err(|e| self.internal(e))
    }

    /// The key of each row of a batch whose columns are the table's, in order.
    pub fn encode_keys(&self, batch: &RecordBatch) -> Result<RowKeys, RunError> {
        let columns: Vec<ArrayRef> = self.keys.iter().map(|k| Arc::clone(batch.column(*k))).collect();
        self.encode_key_columns(&columns)
    }

    /// The same for a batch that has the key's columns only, in the order of [`Layout::key_columns`].
    pub fn encode_key_columns(&self, columns: &[ArrayRef]) -> Result<RowKeys, RunError> {
        match Numbers::of(columns) {
            Some(numbers) => Ok(RowKeys::Numbers(numbers)),
            None => Ok(RowKeys::Bytes(self.encoder.encode(columns)?)),
        }
    }

    /// All columns of the rows, each comparable as bytes.
    pub fn encode_rows(&self, batch: &RecordBatch) -> Result<Rows, RunError> {
        let columns = &batch.columns()[..self.width()];
        Keys::new(columns.iter().map(|c| c.data_type()))?.encode(columns)
    }

    /// The key's columns as they are read from the table, those by which it is partitioned first.
    pub fn key_columns(&self) -> &[Column] {
        &self.key_columns
    }

    /// The names of the key's columns, in the program's order.
    pub fn key_names(&self) -> &[String] {
        match &self.spec.mode {
            SinkMode::Merge { keys } | SinkMode::Scd2 { keys } => keys,
            _ => &[],
        }
    }

    /// A row as text: `{id: 1, name: x}`; only the key's columns on demand.
    pub fn text(&self, batch: &RecordBatch, row: usize, key_only: bool) -> String {
        let options = FormatOptions::new().with_null("null").with_display_error(true);
        let mut wanted: Vec<usize> = if key_only { self.keys.clone() } else { (0..self.width()).collect() };
        wanted.sort_unstable();
        let value = |i: &usize| {
            let text = ArrayFormatter::try_new(batch.column(*i), &options).map(|f| f.value(row).to_string());
            format!("{}: {}", self.schema.fields[*i].name, text.unwrap_or_default())
        };
        format!("{{{}}}", wanted.iter().map(value).collect::<Vec<_>>().join(", "))
    }

    /// What must not happen: arrays that do not fit together.
    pub fn internal(&self, error: impl std::fmt::Display) -> RunError {
        let message = format!("{}: {error}", describe(&self.spec));
        RunError::data(codes::TARGET_SCHEMA, message).at(self.spec.origin)
    }
}
