//! What a sink in memory holds, and how an epoch's rows meet what is there, mode by mode: the meaning of [`SinkMode`], said without regard to speed. Knows
//! nothing of connectors, nor of how rows got here.

use crate::codes::{AMBIGUOUS_KEY, AMBIGUOUS_VERSION};
use crate::error::RunError;
use crate::operators::internal;
use crate::text::row_text;
use crate::zset::{ZSet, chosen, encoded, leading, weighted};
use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, TimestampMicrosecondArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field as ArrowField, Schema as ArrowSchema, SchemaRef, TimestampMicrosecondType};
use flowc_ir::arrow_types::{to_arrow, to_arrow_schema};
use flowc_ir::graph::weight;
use flowc_ir::plan::{COMMITTED, SinkMode, SinkSpec};
use flowc_ir::{Field, Type};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a sink holds.
#[derive(Debug, Default)]
pub(super) struct Target {
    pub(super) committed: Option<u64>,
    rows: Vec<RecordBatch>,
    /// Of each key, when it was deleted: for a history. A table would tell by the gaps between versions.
    deleted: Deletes,
}

/// Times in microseconds, by key.
type Deletes = BTreeMap<Vec<u8>, BTreeSet<i64>>;

impl Target {
    /// The rows: with the sink's columns; a history has `valid_to` and `is_current` besides.
    pub(super) fn rows(&self) -> Vec<RecordBatch> {
        self.rows.clone()
    }

    /// Takes an epoch's rows, in the order in which they came. `replace`: what is there goes. When this fails, nothing has changed.
    pub(super) fn take(
        &mut self,
        spec: &SinkSpec,
        (epoch, replace): (u64, bool),
        new: Vec<RecordBatch>,
    ) -> Result<(), RunError> {
        let arrival = Arrival::new(spec, epoch);
        let before = if replace { &[][..] } else { &self.rows };
        let (rows, deleted) = match &spec.mode {
            SinkMode::Append => (arrival.appended(before, new)?, None),
            SinkMode::Overwrite => (arrival.appended(&[], new)?, None),
            SinkMode::OverwritePartition => (arrival.partitions(before, new)?, None),
            SinkMode::Merge { keys } => (arrival.merged(before, new, keys)?, None),
            SinkMode::Scd2 { keys } => {
                let deleted = if replace { Deletes::new() } else { self.deleted.clone() };
                let (rows, deleted) = arrival.history(before, deleted, new, keys)?;
                (rows, Some(deleted))
            }
        };
        (self.rows, self.committed) = (rows, Some(epoch));
        self.deleted = deleted.unwrap_or_default();
        Ok(())
    }
}

/// The columns of the rows that a sink takes.
fn taken(spec: &SinkSpec) -> SchemaRef {
    let mut schema = spec.schema.clone();
    if spec.changing {
        let history = matches!(spec.mode, SinkMode::Scd2 { .. });
        schema.fields.extend(history.then(|| Field::new(COMMITTED, Type::new(flowc_ir::DataType::Timestamp))));
        schema.fields.push(weight());
    }
    to_arrow_schema(&schema)
}

/// An epoch's rows on their way to a sink.
struct Arrival<'a> {
    spec: &'a SinkSpec,
    epoch: u64,
    /// Of the rows that are there.
    schema: SchemaRef,
}

/// The bytes by which the rows of a batch are told apart in some columns.
fn keys_of(batch: &RecordBatch, columns: &[usize]) -> Result<Vec<Vec<u8>>, RunError> {
    let columns: Vec<ArrayRef> = columns.iter().map(|column| Arc::clone(batch.column(*column))).collect();
    Ok(match encoded(&columns)? {
        Some(rows) => rows.iter().map(|row| row.data().to_vec()).collect(),
        None => vec![vec![]; batch.num_rows()],
    })
}

fn times(column: &ArrayRef) -> Result<&TimestampMicrosecondArray, RunError> {
    column.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(|| internal("a time is no timestamp"))
}

impl Arrival<'_> {
    fn new(spec: &SinkSpec, epoch: u64) -> Arrival<'_> {
        Arrival { spec, epoch, schema: to_arrow_schema(&spec.schema) }
    }

    fn columns(&self, names: &[String]) -> Result<Vec<usize>, RunError> {
        let find = |name: &String| {
            let found = self.spec.schema.index_of(name);
            found.ok_or_else(|| internal(format!("sink `{}` has no column `{name}`", self.spec.name)))
        };
        names.iter().map(find).collect()
    }

    /// Rows that are added to those that are there; where they change, the sum of both.
    fn appended(&self, before: &[RecordBatch], new: Vec<RecordBatch>) -> Result<Vec<RecordBatch>, RunError> {
        if !self.spec.changing {
            return Ok(before.iter().cloned().chain(new).collect());
        }
        let there = before.iter().map(|rows| weighted(rows, vec![1; rows.num_rows()]));
        let all = there.chain(new.into_iter().map(Ok)).collect::<Result<Vec<_>, _>>()?;
        let schema = taken(self.spec);
        let all = all.iter().map(|rows| leading(rows, &schema)).collect::<Result<Vec<_>, _>>()?;
        let sum = ZSet::sum(&schema, &all)?;
        match sum.negative() {
            Some(row) => Err(self.never_there(&sum.rows, row)),
            None => Ok(vec![leading(&sum.repeated()?, &self.schema)?]),
        }
    }

    fn never_there(&self, rows: &RecordBatch, row: usize) -> RunError {
        let (name, epoch) = (&self.spec.name, self.epoch);
        let text = format!("epoch {epoch} takes a row out of sink `{name}` that is not there");
        RunError { row: row_text(rows, row), ..RunError::data("R0142", text) }
            .help("nothing of the epoch was committed; what the sources give must add up: a row that is taken away must have been added")
    }

    /// Rows that take the place of all rows of their partitions.
    fn partitions(&self, before: &[RecordBatch], new: Vec<RecordBatch>) -> Result<Vec<RecordBatch>, RunError> {
        let columns = self.columns(&self.spec.partition_by)?;
        let new = self.appended(&[], new)?;
        let mut written = BTreeSet::new();
        for batch in &new {
            written.extend(keys_of(batch, &columns)?);
        }
        let mut rows = self.without(before, &columns, &written)?;
        rows.extend(new);
        Ok(rows)
    }

    /// The rows with other keys than these.
    fn without(
        &self,
        before: &[RecordBatch],
        columns: &[usize],
        keys: &BTreeSet<Vec<u8>>,
    ) -> Result<Vec<RecordBatch>, RunError> {
        let mut left = vec![];
        for batch in before {
            let stays = keys_of(batch, columns)?.into_iter().map(|key| !keys.contains(&key)).collect::<Vec<_>>();
            let rows: Vec<u32> = (0..).zip(stays).filter(|(_, stays)| *stays).map(|(row, _)| row).collect();
            if !rows.is_empty() {
                left.push(chosen(batch, rows)?);
            }
        }
        Ok(left)
    }

    /// What is left of the rows, and of each key that they are about the row that it has now; none: it is removed.
    fn merged(
        &self,
        before: &[RecordBatch],
        new: Vec<RecordBatch>,
        keys: &[String],
    ) -> Result<Vec<RecordBatch>, RunError> {
        let columns = self.columns(keys)?;
        let (rows, weights) = if self.spec.changing {
            let sum = ZSet::sum(&taken(self.spec), &new)?;
            (sum.rows, sum.weights)
        } else {
            let rows = concat_batches(&self.schema, &new).map_err(internal)?;
            let count = rows.num_rows();
            (rows, vec![1; count])
        };
        let mut current: BTreeMap<Vec<u8>, Option<u32>> = BTreeMap::new();
        let mut left = if self.spec.changing { self.held(before, &columns)? } else { BTreeMap::new() };
        for ((row, key), weight) in (0..).zip(keys_of(&rows, &columns)?).zip(weights) {
            let sum = left.entry(key.clone()).or_default();
            *sum = sum.saturating_add(weight);
            let known = current.entry(key).or_default();
            if self.spec.changing && (weight > 1 || weight > 0 && known.is_some()) {
                return Err(self.two_rows(keys, &rows, row as usize));
            }
            if weight > 0 {
                *known = Some(row);
            }
        }
        // However the input is cut into epochs: a row that comes beside one that is there and stays is one too many, too.
        let beside = current.iter().find_map(|(key, row)| row.filter(|_| left.get(key).is_some_and(|sum| *sum > 1)));
        if let (true, Some(row)) = (self.spec.changing, beside) {
            return Err(self.two_rows(keys, &rows, row as usize));
        }
        let (changed, kept): (BTreeSet<Vec<u8>>, Vec<Option<u32>>) = current.into_iter().unzip();
        let mut all = self.without(before, &columns, &changed)?;
        all.push(leading(&chosen(&rows, kept.into_iter().flatten().collect())?, &self.schema)?);
        Ok(all)
    }

    /// How many rows there are of each key.
    fn held(&self, before: &[RecordBatch], columns: &[usize]) -> Result<BTreeMap<Vec<u8>, i64>, RunError> {
        let mut held: BTreeMap<Vec<u8>, i64> = BTreeMap::new();
        for batch in before {
            keys_of(batch, columns)?.into_iter().for_each(|key| *held.entry(key).or_default() += 1);
        }
        Ok(held)
    }

    fn two_rows(&self, keys: &[String], rows: &RecordBatch, row: usize) -> RunError {
        let (name, epoch, keys) = (&self.spec.name, self.epoch, keys.join(", "));
        let text =
            format!("epoch {epoch} leaves more than one row of a key for sink `{name}`, which merges by ({keys})");
        RunError { row: row_text(rows, row), ..RunError::data(AMBIGUOUS_KEY, text) }.help(format!(
            "nothing of the epoch was committed; make the key unique before the sink, as by `top 1 by … per {keys}`, or merge on more columns"
        ))
    }

    /// The versions of each key: what was known and what has come, put in their order.
    fn history(
        &self,
        before: &[RecordBatch],
        mut deleted: Deletes,
        new: Vec<RecordBatch>,
        keys: &[String],
    ) -> Result<(Vec<RecordBatch>, Deletes), RunError> {
        let columns = self.columns(keys)?;
        let from = self.columns(&["valid_from".to_string()])?[0];
        let mut sources = vec![];
        for batch in before {
            sources.push(leading(batch, &self.schema)?);
        }
        let known = sources.len();
        let mut gone = Deletes::new();
        if self.spec.changing {
            sources.push(self.versions(new, &columns, &mut gone)?);
        } else {
            sources.extend(new);
        }
        let mut versions: BTreeMap<Vec<u8>, BTreeMap<i64, (usize, u32)>> = BTreeMap::new();
        for (source, batch) in sources.iter().enumerate() {
            let starts = times(batch.column(from))?;
            for ((row, key), start) in (0..).zip(keys_of(batch, &columns)?).zip(starts.values()) {
                // What was deleted when it began was valid for no time.
                let void = source < known && gone.get(&key).is_some_and(|times| times.contains(start));
                // Of several with one time the last one counts.
                let chain = versions.entry(key).or_default();
                if !void {
                    chain.insert(*start, (source, row));
                }
            }
        }
        for (key, times) in gone {
            deleted.entry(key).or_default().extend(times);
        }
        let mut ends: Vec<Vec<(u32, Option<i64>)>> = sources.iter().map(|_| vec![]).collect();
        for (key, chain) in &versions {
            for (start, (source, row)) in chain {
                let later = (std::ops::Bound::Excluded(*start), std::ops::Bound::Unbounded);
                let next = chain.range(later).next().map(|(start, _)| *start);
                let gone = deleted.get(key).and_then(|times| times.range(later).next().copied());
                ends[*source].push((*row, next.into_iter().chain(gone).min()));
            }
        }
        let dated = |(batch, rows): (&RecordBatch, Vec<(u32, Option<i64>)>)| dated(batch, rows);
        Ok((sources.iter().zip(ends).map(dated).collect::<Result<_, _>>()?, deleted))
    }

    fn two_versions(&self, rows: &RecordBatch, row: usize) -> RunError {
        let (name, epoch) = (&self.spec.name, self.epoch);
        let text = format!(
            "in epoch {epoch} one commit added two versions of a key to sink `{name}` that begin at the same time"
        );
        RunError { row: row_text(rows, row), ..RunError::data(AMBIGUOUS_VERSION, text) }.help(
            "nothing of the epoch was committed; make the key and `valid_from` unique before the sink, or keep history by more columns",
        )
    }

    /// The rows that commits have added, those of the earlier commits first, but for those that a later one deleted when they began; keys of which a commit has only
    /// taken rows away are noted as deleted.
    fn versions(
        &self,
        new: Vec<RecordBatch>,
        columns: &[usize],
        deleted: &mut Deletes,
    ) -> Result<RecordBatch, RunError> {
        let ZSet { rows, weights } = ZSet::sum(&taken(self.spec), &new)?;
        let committed = rows.column_by_name(COMMITTED).ok_or_else(|| internal("rows without the time of a commit"))?;
        let committed = times(committed)?;
        let keys = keys_of(&rows, columns)?;
        let from = self.columns(&["valid_from".to_string()])?[0];
        let starts = times(rows.column(from))?;
        let mut changes: BTreeMap<(i64, &[u8]), Vec<u32>> = BTreeMap::new();
        for (row, key) in keys.iter().enumerate() {
            let added = changes.entry((committed.value(row), key)).or_default();
            let twin = |other: &u32| starts.value(*other as usize) == starts.value(row);
            if weights[row] > 1 || weights[row] > 0 && added.iter().any(twin) {
                return Err(self.two_versions(&rows, row));
            }
            added.extend((weights[row] > 0).then_some(row as u32));
        }
        let gone = changes.iter().filter(|(_, added)| added.is_empty());
        for ((at, key), _) in gone {
            deleted.entry(key.to_vec()).or_default().insert(*at);
        }
        let stays = |at: i64, key: &[u8], row: u32| {
            let start = starts.value(row as usize);
            start <= at || !deleted.get(key).is_some_and(|times| times.contains(&start))
        };
        let added = changes.into_iter().flat_map(|((at, key), rows)| rows.into_iter().map(move |row| (at, key, row)));
        let stay = added.filter(|(at, key, row)| stays(*at, key, *row)).map(|(.., row)| row);
        leading(&chosen(&rows, stay.collect())?, &self.schema)
    }
}

/// Versions with the times at which they end.
fn dated(batch: &RecordBatch, rows: Vec<(u32, Option<i64>)>) -> Result<RecordBatch, RunError> {
    let (rows, ends): (Vec<u32>, Vec<Option<i64>>) = rows.into_iter().unzip();
    let timestamp = to_arrow(&flowc_ir::DataType::Timestamp);
    let zone = match &timestamp {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    };
    let current: BooleanArray = ends.iter().map(|end| Some(end.is_none())).collect();
    let ends = TimestampMicrosecondArray::from(ends).with_timezone_opt(zone);
    let chosen = chosen(batch, rows)?;
    let mut fields: Vec<_> = chosen.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(ArrowField::new("valid_to", timestamp, true)));
    fields.push(Arc::new(ArrowField::new("is_current", DataType::Boolean, false)));
    let mut columns = chosen.columns().to_vec();
    columns.extend([Arc::new(ends) as ArrayRef, Arc::new(current)]);
    RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), columns).map_err(internal)
}

#[cfg(test)]
mod tests;
