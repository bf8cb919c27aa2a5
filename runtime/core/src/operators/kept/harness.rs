//! Runs an operator that remembers over epochs, as its caller does: rows in splits, pushed from several workers; what it remembers stays in memory, or is stored,
//! in increments and now and then whole. For tests.

use super::super::spilled::{Make, Spilled, can_spill};
use super::super::stateful::{Before, Emitted, Extent, Stateful, Stored, Surroundings};
use crate::batch::{Batch, Order};
use crate::error::RunError;
use crate::operators::Fault;
use crate::spill::Budget;
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType as A, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use flowc_ir::arrow_types::to_arrow_schema;
use flowc_ir::graph::Operator;
use flowc_ir::{DataType, Schema};
use std::sync::Arc;

/// A row: its columns as numbers. Doubles are numbered: see [`double`].
pub(in crate::operators) type Row = Vec<Option<i64>>;

/// How it is run.
#[derive(Debug, Clone, Copy)]
pub(in crate::operators) struct How {
    pub(in crate::operators) workers: usize,
    pub(in crate::operators) splits: usize,
    pub(in crate::operators) batch_rows: usize,
    pub(in crate::operators) memory: usize,
    /// Every so many epochs what it remembers is stored whole, and in between in increments; none: it stays in memory.
    pub(in crate::operators) stored: Option<usize>,
    /// Whether it is kept on disk, by key; where it is stored, in every other epoch.
    pub(in crate::operators) spilled: bool,
    /// Whether the rows of its first input come last, and only those that it then needs.
    pub(in crate::operators) deferred: bool,
}

/// What is run.
pub(in crate::operators) struct Step {
    pub(in crate::operators) operator: Operator,
    pub(in crate::operators) inputs: Vec<Schema>,
    pub(in crate::operators) output: Schema,
    pub(in crate::operators) make: Make,
}

impl Step {
    /// The operator that keeps what it remembers on disk, with the least of it in memory; the usual one where it has no keys.
    pub(in crate::operators) fn spilled(
        &self,
        around: Surroundings,
        before: Before,
    ) -> Result<Box<dyn Stateful>, RunError> {
        let inputs: Vec<&Schema> = self.inputs.iter().collect();
        if !can_spill(&self.operator, &inputs, &self.output) {
            return (self.make)(before, around);
        }
        let (schemas, make) = ((&inputs[..], &self.output), Arc::clone(&self.make));
        Ok(Box::new(Spilled::new("it", &self.operator, schemas, make, around, before, u32::MAX)?))
    }
}

impl How {
    pub(in crate::operators) const PLAIN: How =
        How { workers: 1, splits: 1, batch_rows: 1024, memory: 1 << 24, stored: None, spilled: false, deferred: false };
}

/// An epoch: the rows of each input, and the watermark behind it.
#[derive(Debug, Clone, Default)]
pub(in crate::operators) struct Epoch {
    pub(in crate::operators) inputs: Vec<Vec<Row>>,
    pub(in crate::operators) watermark: Option<i64>,
}

/// What came out of an epoch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::operators) struct Came {
    pub(in crate::operators) rows: Vec<Row>,
    pub(in crate::operators) late: Vec<Row>,
    pub(in crate::operators) others: u64,
}

/// A double for a number: few numbers are few doubles, NaN, both zeros and both infinities among them.
pub(in crate::operators) fn double(number: i64) -> f64 {
    match number {
        0 => 0.0,
        -1 => -0.0,
        1 => f64::NAN,
        i64::MAX => f64::INFINITY,
        i64::MIN => f64::NEG_INFINITY,
        n => n as f64,
    }
}

fn number(double: f64) -> i64 {
    match double {
        d if d.is_nan() => 1,
        d if d == 0.0 => -i64::from(d.is_sign_negative()),
        d => d as i64,
    }
}

/// Texts that mean something, by their numbers from [`FIRST_TEXT`] on.
pub(in crate::operators) const TEXTS: [&str; 8] = ["insert", "U", "Delete", "r", "d", "update_preimage", "upsert", "?"];

/// The number of the first of [`TEXTS`].
pub(in crate::operators) const FIRST_TEXT: i64 = 100;

/// The text of a number: one of [`TEXTS`], or else one that is ordered as the number, if that has one digit.
fn text(number: i64) -> String {
    let known = usize::try_from(number - FIRST_TEXT).ok().and_then(|n| TEXTS.get(n));
    known.map_or_else(|| format!("s{number}"), |text| text.to_string())
}

/// Rows as a batch.
pub(in crate::operators) fn batch(schema: &Schema, rows: &[Row]) -> RecordBatch {
    let column = |(i, data): (usize, &DataType)| -> ArrayRef {
        let numbers = rows.iter().map(|row| row[i]);
        match data {
            DataType::Double => Arc::new(numbers.map(|n| n.map(double)).collect::<Float64Array>()),
            DataType::Timestamp => Arc::new(numbers.collect::<TimestampMicrosecondArray>().with_timezone("UTC")),
            DataType::String => Arc::new(numbers.map(|n| n.map(text)).collect::<StringArray>()),
            DataType::Boolean => Arc::new(numbers.map(|n| n.map(|n| n != 0)).collect::<BooleanArray>()),
            DataType::Decimal { precision, scale } => {
                let decimals: Decimal128Array = numbers.map(|n| n.map(i128::from)).collect();
                Arc::new(decimals.with_precision_and_scale(*precision, *scale as i8).unwrap())
            }
            _ => Arc::new(numbers.collect::<Int64Array>()),
        }
    };
    let columns = schema.fields.iter().map(|f| &f.ty.data).enumerate().map(column).collect();
    RecordBatch::try_new(to_arrow_schema(schema), columns).unwrap()
}

/// The rows of a batch.
pub(in crate::operators) fn rows(batch: &RecordBatch) -> Vec<Row> {
    let value = |column: &ArrayRef, row: usize| {
        column.is_valid(row).then(|| match column.data_type() {
            A::Float64 => number(column.as_primitive::<Float64Type>().value(row)),
            A::Boolean => i64::from(column.as_boolean().value(row)),
            A::Timestamp(..) => column.as_primitive::<TimestampMicrosecondType>().value(row),
            _ => column.as_primitive::<Int64Type>().value(row),
        })
    };
    (0..batch.num_rows()).map(|row| batch.columns().iter().map(|column| value(column, row)).collect()).collect()
}

/// Gives an epoch's rows to the operator: the splits from the last to the first, and in each the rows in order.
pub(in crate::operators) fn push(
    operator: &dyn Stateful,
    how: How,
    schemas: &[&Schema],
    inputs: &[Vec<Row>],
) -> Result<(), Fault> {
    for (input, rows) in inputs.iter().enumerate() {
        let size = rows.len().div_ceil(how.splits).max(1);
        for (split, part) in rows.chunks(size).enumerate().collect::<Vec<_>>().into_iter().rev() {
            for (sequence, part) in part.chunks(how.batch_rows).enumerate() {
                let order = Order { path: 0, split: split as u32, sequence: sequence as u32 };
                // A slice of a larger batch, as operators get them.
                let data = batch(schemas[input], &[part, part].concat()).slice(part.len(), part.len());
                operator.push(split % how.workers, input, Batch { data, order })?;
            }
        }
    }
    Ok(())
}

/// As [`push`], but the rows of the first input come last, and only those that the operator then needs.
fn push_deferred(
    operator: &dyn Stateful,
    how: How,
    schemas: &[&Schema],
    (inputs, watermark): (&[Vec<Row>], Option<i64>),
) -> Result<(), Fault> {
    let mut others = inputs.to_vec();
    let mut first = std::mem::take(&mut others[0]);
    push(operator, how, schemas, &others)?;
    if let Some(filter) = operator.needs(watermark)? {
        let kept = |rows: &[Row]| -> Vec<Row> {
            let seen = batch(schemas[0], rows).project(filter.columns()).unwrap();
            let keep = filter.keep(&seen).unwrap();
            rows.iter().zip(&keep).filter(|(_, keep)| *keep).map(|(row, _)| row.clone()).collect()
        };
        first = first.chunks(how.batch_rows).flat_map(kept).collect();
    }
    push(operator, how, schemas, &[first])
}

/// Takes all that comes out.
pub(in crate::operators) fn take(operator: &dyn Stateful, watermark: Option<i64>) -> Result<Came, Fault> {
    let mut came = Came::default();
    for emitted in operator.finish(watermark)? {
        match emitted? {
            Emitted::Rows(batch) => came.rows.extend(rows(&batch)),
            Emitted::Late(batch) => came.late.extend(rows(&batch)),
            Emitted::LateOther(count) => came.others += count,
        }
    }
    Ok(came)
}

/// The run's error in a fault.
pub(in crate::operators) fn error(fault: Fault) -> RunError {
    match fault {
        Fault::Run(error) | Fault::Rule(error) => *error,
        Fault::Row(row) => RunError::from(row.failure),
        Fault::Cancelled => panic!("nothing here waits"),
    }
}

/// Runs epochs.
pub(in crate::operators) fn run(step: &Step, how: How, epochs: &[Epoch]) -> Result<Vec<Came>, Fault> {
    let directory = tempfile::tempdir().unwrap();
    let (mut before, mut watermark, mut store) = (Before::Nothing, None, Stored::default());
    let mut came = vec![];
    for (number, epoch) in epochs.iter().enumerate() {
        let budget = Budget::new(how.memory, directory.path());
        let surroundings = Surroundings {
            epoch: number as u64,
            watermark,
            workers: how.workers,
            batch_rows: how.batch_rows,
            budget: budget.clone(),
            carried: 0,
        };
        let spilled = how.spilled && (how.stored.is_none() || number % 2 == 0);
        let operator = if spilled { step.spilled(surroundings, before)? } else { (step.make)(before, surroundings)? };
        let schemas = step.inputs.iter().collect::<Vec<_>>();
        match how.deferred {
            true => push_deferred(&*operator, how, &schemas, (&epoch.inputs, epoch.watermark))?,
            false => push(&*operator, how, &schemas, &epoch.inputs)?,
        }
        came.push(take(&*operator, epoch.watermark)?);
        before = match how.stored {
            None => Before::Memory(operator.take_memory()),
            Some(every) => {
                let changes = operator.changes(if number % every.max(1) == every.max(1) - 1 {
                    Extent::Whole
                } else {
                    Extent::Less
                })?;
                store.notes = changes.notes;
                if changes.whole {
                    store.segments.clear();
                }
                store.segments.extend(changes.segments);
                for batch in changes.more.into_iter().flatten() {
                    store.segments.push(batch?);
                }
                if store.notes.is_empty() && store.segments.is_empty() {
                    Before::Nothing
                } else {
                    Before::Stored(store.clone())
                }
            }
        };
        drop(operator);
        // What is kept on disk keeps its part of the memory.
        assert!(matches!(before, Before::Memory(_)) && spilled || budget.take(how.memory), "memory was not given back");
        // Where everything is over, the watermark stays where it was.
        watermark = watermark.max(epoch.watermark.filter(|watermark| *watermark != i64::MAX));
    }
    if how.spilled {
        late_in_any_order(&mut came);
    }
    Ok(came)
}

/// Late rows of what is kept on disk come key by key.
pub(in crate::operators) fn late_in_any_order(came: &mut [Came]) {
    came.iter_mut().for_each(|came| came.late.sort());
}
