//! How what an operator remembers falls apart by key: where the keys are in the rows that it takes and in the batches that it stores, and in what order its
//! rows come out, so that parts of them can be put together again. Knows nothing of where parts are.

use crate::error::RunError;
use crate::keys::{Keys, hash_bytes};
use crate::operators::{changing_join, dedup, incremental, internal, join, top, unique, upsert, window};
use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, Int64Type, UInt64Type};
use arrow::record_batch::RecordBatch;
use flowc_ir::arrow_types::to_arrow;
use flowc_ir::graph::{Operator, SortColumn};
use flowc_ir::{Field, Schema, Type};
use std::sync::Arc;

/// Where a stored batch says of each of its rows which key it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::operators) enum StoredKeys {
    /// In these columns. `numbered`: its first column numbers the rows.
    Columns {
        /// The columns.
        columns: Vec<usize>,
        /// Whether other batches name its rows by number.
        numbered: bool,
    },
    /// Its first column is the key, as bytes: see [`Keys::encode`].
    Encoded,
    /// Its first column names rows of other batches by their numbers.
    Numbers,
}

/// The order in which rows come out.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Arrangement {
    /// None that matters to anybody.
    Any,
    /// By these columns of these rows.
    By(Vec<SortColumn>, Schema),
    /// By the event time at this position, and where times are equal by a hash of the row.
    ByTime(usize, Schema),
    /// As rows went in. These are the rows that come out; the columns of their places, while they are carried, stand at this position.
    Input(Schema, usize),
}

impl Arrangement {
    /// Where the columns of rows' places stand in what comes out; none: they are not needed.
    pub(super) fn places(&self) -> Option<usize> {
        match self {
            Arrangement::Input(_, at) => Some(*at),
            _ => None,
        }
    }
}

type Find = Box<dyn Fn(&RecordBatch) -> StoredKeys + Send + Sync>;

/// See the module.
pub(super) struct Layout {
    keys: Keys,
    /// The key columns of each input.
    inputs: Vec<Vec<usize>>,
    find: Find,
    pub(super) arrangement: Arrangement,
}

impl std::fmt::Debug for Layout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Layout { inputs, arrangement, .. } = self;
        f.debug_struct("Layout").field("inputs", inputs).field("arrangement", arrangement).finish_non_exhaustive()
    }
}

fn ascending(columns: impl Iterator<Item = usize>) -> Vec<SortColumn> {
    columns.map(|column| SortColumn { column, descending: false, nulls_first: true }).collect()
}

impl Layout {
    /// Of an operator with these inputs; none: it remembers nothing that falls apart by key.
    pub(super) fn of(operator: &Operator, inputs: &[&Schema], output: &Schema) -> Result<Option<Layout>, RunError> {
        let (keys, find, arrangement): (Vec<Vec<usize>>, Find, Arrangement) = match operator.clone() {
            // Within an epoch the order of rows that change means nothing.
            operator if incremental::is_incremental(&operator, output) => {
                let Some((keys, find)) = incremental::stored_keys(&operator, output) else { return Ok(None) };
                (vec![keys], find, Arrangement::Any)
            }
            Operator::WindowAggregate(spec) => {
                let keys = spec.aggregate.keys.clone();
                let width = keys.len();
                let order = [width + 1, width].into_iter().chain(0..width);
                let arrangement = Arrangement::By(ascending(order), output.clone());
                (vec![keys], Box::new(move |batch| window::stored_keys(&spec, batch)), arrangement)
            }
            Operator::Dedup(spec) => {
                let arrangement = match spec.time.filter(|_| spec.by_time && spec.within.is_some()) {
                    Some(time) => Arrangement::ByTime(time, inputs[0].clone()),
                    None => Arrangement::Input(output.clone(), output.fields.len()),
                };
                (vec![spec.keys.clone()], Box::new(move |batch| dedup::stored_keys(&spec, batch)), arrangement)
            }
            Operator::Unique(spec) => {
                // The answer stands behind them.
                let arrangement = Arrangement::Input(output.clone(), inputs[0].fields.len());
                (vec![spec.keys], Box::new(|_| unique::stored_keys()), arrangement)
            }
            Operator::Top(spec) => {
                let group = spec.window.into_iter().flat_map(|(start, end)| [end, start]);
                let order = ascending(group.chain(spec.keys.iter().copied()));
                let arrangement = Arrangement::By(order, inputs[0].clone());
                (vec![spec.keys.clone()], Box::new(move |batch| top::stored_keys(&spec, batch)), arrangement)
            }
            Operator::Join(spec) if changing_join::is_changing(output) => {
                if !changing_join::falls_apart(&spec, inputs) {
                    return Ok(None);
                }
                let places = changing_join::key_places(&spec, inputs)?;
                let keys = vec![spec.left_keys, spec.right_keys];
                (keys, Box::new(move |batch| changing_join::stored_keys(&places, batch)), Arrangement::Any)
            }
            Operator::Join(spec) => {
                let keys = vec![spec.left_keys.clone(), spec.right_keys.clone()];
                (keys, Box::new(move |batch| join::stored_keys(&spec, batch)), Arrangement::Any)
            }
            Operator::Upsert(spec) => {
                (vec![spec.keys.clone()], Box::new(move |batch| upsert::stored_keys(&spec, batch)), Arrangement::Any)
            }
            _ => return Ok(None),
        };
        let Some(first) = keys.first().filter(|keys| !keys.is_empty()) else { return Ok(None) };
        let types: Vec<DataType> = first.iter().map(|c| to_arrow(&inputs[0].fields[*c].ty.data)).collect();
        Ok(Some(Layout { keys: Keys::new(types.iter())?, inputs: keys, find, arrangement }))
    }

    /// Which of `count` buckets (a power of two) each row of an input belongs to.
    pub(super) fn of_input(&self, input: usize, rows: &RecordBatch, count: usize) -> Result<Vec<u16>, RunError> {
        self.buckets(rows, self.inputs.get(input).map_or(&[][..], Vec::as_slice), count)
    }

    fn buckets(&self, rows: &RecordBatch, columns: &[usize], count: usize) -> Result<Vec<u16>, RunError> {
        let columns: Vec<ArrayRef> = columns.iter().map(|c| Arc::clone(rows.column(*c))).collect();
        Ok(self.keys.encode(&columns)?.iter().map(|key| bucket(key.data(), count)).collect())
    }

    /// Which bucket each row of a stored batch belongs to. `numbered` knows the rows that have numbers, and gets to know those of this batch.
    pub(super) fn of_stored(
        &self,
        batch: &RecordBatch,
        count: usize,
        numbered: &mut Numbered,
    ) -> Result<Vec<u16>, RunError> {
        match (self.find)(batch) {
            StoredKeys::Numbers => numbered.find(batch),
            StoredKeys::Encoded => {
                let keys = batch.columns().first().and_then(|keys| keys.as_binary_opt::<i32>());
                let keys = keys.ok_or_else(|| internal("a stored batch has no keys"))?;
                Ok(keys.iter().map(|key| bucket(key.unwrap_or_default(), count)).collect())
            }
            StoredKeys::Columns { columns, numbered: has_numbers } => {
                let buckets = self.buckets(batch, &columns, count)?;
                if has_numbers {
                    numbered.note(batch, &buckets)?;
                }
                Ok(buckets)
            }
        }
    }
}

/// The bucket of a key, of so many.
fn bucket(key: &[u8], count: usize) -> u16 {
    // The tables in memory go by the hash's last bits: within a bucket they must not all be the same.
    ((hash_bytes(key).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as usize & (count - 1)) as u16
}

/// Which buckets rows with numbers are in, by the parts of the memory that they are of.
#[derive(Debug, Default)]
pub(super) struct Numbered(Vec<(String, Vec<(u64, u16)>)>);

/// The numbers in a batch's first column.
fn numbers(batch: &RecordBatch) -> Result<Vec<u64>, RunError> {
    let column = batch.columns().first().ok_or_else(|| internal("a stored batch has no columns"))?;
    if let Some(numbers) = column.as_primitive_opt::<UInt64Type>() {
        return Ok(numbers.values().to_vec());
    }
    let numbers = column.as_primitive_opt::<Int64Type>().ok_or_else(|| internal("rows are not numbered"))?;
    Ok(numbers.values().iter().map(|number| *number as u64).collect())
}

impl Numbered {
    /// The part that a batch is of, or whose rows it names.
    fn part(batch: &RecordBatch) -> String {
        let part = super::super::kept::part_of(batch);
        part.strip_suffix(" flagged").map_or(part.clone(), str::to_string)
    }

    fn note(&mut self, batch: &RecordBatch, buckets: &[u16]) -> Result<(), RunError> {
        let part = Numbered::part(batch);
        let place = self.0.iter().position(|(name, _)| *name == part).unwrap_or(self.0.len());
        if place == self.0.len() {
            self.0.push((part, vec![]));
        }
        self.0[place].1.extend(numbers(batch)?.into_iter().zip(buckets.iter().copied()));
        Ok(())
    }

    fn find(&mut self, batch: &RecordBatch) -> Result<Vec<u16>, RunError> {
        let part = Numbered::part(batch);
        let Some((_, known)) = self.0.iter_mut().find(|(name, _)| *name == part) else {
            return Ok(vec![0; batch.num_rows()]);
        };
        if !known.is_sorted() {
            known.sort_unstable();
        }
        // Nobody knows a row that was forgotten: its number means nothing wherever it goes.
        let bucket = |number: u64| {
            let at = known.partition_point(|(other, _)| *other < number);
            known.get(at).filter(|(other, _)| *other == number).map_or(0, |(_, bucket)| *bucket)
        };
        Ok(numbers(batch)?.into_iter().map(bucket).collect())
    }
}

/// The schema with so many columns of a row's place at this position.
pub(in crate::operators) fn carrying(schema: &Schema, at: usize, columns: usize) -> Schema {
    let place = |n: usize| Field::new(format!("#place {n}"), Type::new(flowc_ir::DataType::Long));
    let mut fields = schema.fields.to_vec();
    fields.splice(at..at, (0..columns).map(place));
    Schema::new(fields)
}
