//! What aggregates keep right, as it is stored. Groups: how many rows each has, its keys, what accumulators have; what a later batch says of a group holds. Operands
//! that are kept: the keys, the operands, and how often they were added since the batch before; all batches together are what is there. Knows nothing of files.

use super::aggregate::{Kept, Shape, bounds};
use super::clock::Clock;
use super::groups::Operands;
use super::zset::{Entry, Zset, begin, split};
use crate::error::RunError;
use crate::operators::aggregate::accumulator::{grow, saved};
use crate::operators::internal;
use crate::operators::kept::{damaged, mark, part_of};
use crate::operators::spilled::StoredKeys;
use crate::operators::stateful::{Changes, Extent, Stored};
use arrow::array::{Array, ArrayRef, Int64Array, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Int64Type, Schema as ArrowSchema};
use arrow::record_batch::RecordBatch;
use flowc_ir::Schema;
use flowc_ir::graph::{Operator, Window};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Names of parts; those of operands are numbered.
const GROUPS: &str = "groups";
const OPERANDS: &str = "operands ";

/// The note that the group which always has a result has given it.
const BEGUN: &str = "begun";

/// The most rows of a batch.
pub(super) const ROWS: usize = 1 << 18;

/// A batch of a part of the memory; its columns are named by what they are and their number.
pub(super) fn part(name: &str, columns: Vec<(&str, Vec<ArrayRef>)>) -> Result<RecordBatch, RunError> {
    let fields = columns.iter().flat_map(|(what, columns)| {
        columns.iter().enumerate().map(move |(i, c)| Field::new(format!("{what}_{i}"), c.data_type().clone(), true))
    });
    let schema = mark(&ArrowSchema::new(fields.collect::<Vec<_>>()), name);
    let columns = columns.into_iter().flat_map(|(_, columns)| columns).collect();
    RecordBatch::try_new(schema, columns).map_err(internal)
}

pub(super) fn changes(shape: &Shape, kept: &Kept, extent: Extent) -> Result<Changes, RunError> {
    let whole = extent.whole(kept.changed.len(), kept.live().count());
    // Forgotten windows need no record: they follow from the watermark, which is noted.
    let needed = |group: &u32| kept.end(*group).is_none_or(|end| !kept.clock.released(end));
    let groups: Vec<u32> =
        if whole { kept.live().collect() } else { kept.changed.iter().copied().filter(needed).collect() };
    let mut segments = vec![];
    for groups in groups.chunks(ROWS) {
        segments.push(of_groups(kept, groups)?);
    }
    let sets = if whole { &kept.groups.sets } else { &kept.fresh };
    for (number, (operands, set)) in shape.calls.operands.iter().zip(sets).enumerate() {
        let entries = set.iter().filter(|(entry, _)| {
            let group = group_of(entry);
            // What a group that is gone had is taken away, too.
            if whole { !kept.dead[group as usize] } else { needed(&group) }
        });
        let entries: Vec<Entry<'_>> = entries.collect();
        for entries in entries.chunks(ROWS) {
            segments.push(of_operands(kept, operands, number, entries)?);
        }
    }
    let mut notes = BTreeMap::new();
    if shape.always() {
        notes.insert(BEGUN.to_string(), kept.begun.to_string());
    }
    kept.clock.note(&mut notes);
    Ok(Changes { whole, notes, segments, more: None })
}

fn group_of(entry: &[u8]) -> u32 {
    split(entry).0.try_into().map_or(0, u32::from_be_bytes)
}

fn of_groups(kept: &Kept, groups: &[u32]) -> Result<RecordBatch, RunError> {
    let rows = Int64Array::from_iter_values(groups.iter().map(|group| kept.groups.rows[*group as usize]));
    let mut values = vec![];
    for accumulator in &kept.groups.accumulators {
        values.extend(accumulator.save(groups)?);
    }
    let keys = kept.groups.index.columns(groups)?;
    part(GROUPS, vec![("rows", vec![Arc::new(rows)]), ("key", keys), ("value", values)])
}

fn of_operands(
    kept: &Kept,
    operands: &Operands,
    number: usize,
    entries: &[Entry<'_>],
) -> Result<RecordBatch, RunError> {
    let groups: Vec<u32> = entries.iter().map(|(entry, _)| group_of(entry)).collect();
    let args = operands.codec.decode(entries.iter().map(|(entry, _)| split(entry).1))?;
    let weights = Int64Array::from_iter_values(entries.iter().map(|(_, weight)| *weight));
    let keys = kept.groups.index.columns(&groups)?;
    part(&format!("{OPERANDS}{number}"), vec![("key", keys), ("operand", args), ("weight", vec![Arc::new(weights)])])
}

/// Whether columns have these types.
pub(super) fn are(columns: &[ArrayRef], types: &[DataType]) -> bool {
    columns.len() == types.len() && columns.iter().zip(types).all(|(column, data)| column.data_type() == data)
}

pub(super) fn restore(shape: &Shape, clock: Clock, stored: &Stored) -> Result<Kept, RunError> {
    let mut kept = Kept::new(shape, clock.noted(stored)?)?;
    kept.begun = stored.notes.get(BEGUN).is_some_and(|begun| begun == "true");
    let clock = Clock { latest: kept.clock.latest.max(clock.latest), ..kept.clock };
    let mut seen: Vec<bool> = vec![];
    for segment in stored.segments.iter().rev().filter(|segment| part_of(segment) == GROUPS) {
        load_groups(shape, &mut kept, &clock, segment, &mut seen)?;
    }
    for segment in stored.segments.iter().filter(|segment| part_of(segment) != GROUPS) {
        let number = part_of(segment).strip_prefix(OPERANDS).and_then(|number| number.parse::<usize>().ok());
        let number =
            number.filter(|number| *number < shape.calls.operands.len()).ok_or_else(|| damaged(&shape.name))?;
        load_operands(shape, &mut kept, &clock, segment, number)?;
    }
    kept.enter(shape)?;
    for group in 0..kept.groups.len() as u32 {
        kept.dead[group as usize] = !shape.always() && kept.groups.is_empty(group);
    }
    Ok(kept)
}

/// Which rows are of windows that are not forgotten; `keys`: their key columns.
fn needed(shape: &Shape, clock: &Clock, keys: &[ArrayRef], rows: usize) -> Result<Vec<u32>, RunError> {
    if shape.cutting.is_none() {
        return Ok((0..rows as u32).collect());
    }
    let bounds = bounds(keys)?;
    Ok((0..).zip(bounds).filter(|(_, (_, end))| !clock.released(*end)).map(|(row, _)| row).collect())
}

/// These rows of columns.
fn picked(columns: &[ArrayRef], rows: &[u32]) -> Result<Vec<ArrayRef>, RunError> {
    let rows = UInt32Array::from(rows.to_vec());
    columns.iter().map(|column| take(column, &rows, None).map_err(internal)).collect()
}

/// `seen`: the groups of which a later segment told.
fn load_groups(
    shape: &Shape,
    kept: &mut Kept,
    clock: &Clock,
    segment: &RecordBatch,
    seen: &mut Vec<bool>,
) -> Result<(), RunError> {
    let width = shape.calls.keys.len();
    let columns = segment.columns();
    let keys =
        columns.get(1..1 + width).filter(|keys| are(keys, &shape.calls.keys)).ok_or_else(|| damaged(&shape.name))?;
    let counts = saved::<Int64Type>(columns, 0)?;
    let groups = &mut kept.groups;
    let encoded = groups.index.encode(keys, segment.num_rows())?;
    let (mut rows, mut numbers) = (vec![], vec![]);
    for row in needed(shape, clock, keys, segment.num_rows())? {
        let group = groups.index.insert(&encoded, row as usize, 0)?;
        grow(seen, groups.index.len());
        if !std::mem::replace(&mut seen[group as usize], true) {
            grow(&mut groups.rows, groups.index.len());
            groups.rows[group as usize] = counts.value(row as usize);
            rows.push(row);
            numbers.push(group);
        }
    }
    let values = picked(&columns[1 + width..], &rows)?;
    let (mut rest, count) = (values.as_slice(), groups.index.len());
    for accumulator in &mut groups.accumulators {
        let saved = accumulator.save(&[])?.len();
        let (columns, others) = rest.split_at_checked(saved).ok_or_else(|| damaged(&shape.name))?;
        accumulator.load(columns, &numbers, count)?;
        rest = others;
    }
    if rest.is_empty() { Ok(()) } else { Err(damaged(&shape.name)) }
}

fn load_operands(
    shape: &Shape,
    kept: &mut Kept,
    clock: &Clock,
    segment: &RecordBatch,
    number: usize,
) -> Result<(), RunError> {
    let (operands, width) = (&shape.calls.operands[number], shape.calls.keys.len());
    let (keys, rest) = segment.columns().split_at_checked(width).ok_or_else(|| damaged(&shape.name))?;
    let (args, weights) = rest.split_at_checked(operands.types.len()).ok_or_else(|| damaged(&shape.name))?;
    if !are(keys, &shape.calls.keys) || !are(args, &operands.types) {
        return Err(damaged(&shape.name));
    }
    let (weights, groups) = (saved::<Int64Type>(weights, 0)?, &mut kept.groups);
    let (found, encoded) = (groups.index.encode(keys, segment.num_rows())?, operands.codec.encode(args)?);
    let mut entry = vec![];
    for row in needed(shape, clock, keys, segment.num_rows())? {
        let group = groups.index.insert(&found, row as usize, 0)?;
        grow(&mut groups.rows, groups.index.len());
        begin(&group.to_be_bytes(), &mut entry);
        encoded.append(row as usize, &mut entry);
        groups.sets[number].add(&entry, weights.value(row as usize));
    }
    Ok(())
}

/// Batches of entries whose rows have these keys: the keys, the rows, and the weights.
pub(super) fn of_rows(
    name: &str,
    set: &Zset,
    columns: impl Fn(&[Entry<'_>]) -> Result<(Vec<ArrayRef>, Vec<ArrayRef>), RunError>,
) -> Result<Vec<RecordBatch>, RunError> {
    let entries: Vec<Entry<'_>> = set.iter().collect();
    let batch = |entries: &[Entry<'_>]| {
        let (keys, rows) = columns(entries)?;
        let weights = Int64Array::from_iter_values(entries.iter().map(|(_, weight)| *weight));
        part(name, vec![("key", keys), ("row", rows), ("weight", vec![Arc::new(weights)])])
    };
    entries.chunks(ROWS).map(batch).collect()
}

/// Where a stored batch has its keys, of an operator that is one of these; and the positions of the keys in what goes in. None: it has no keys.
pub(in crate::operators) fn stored_keys(operator: &Operator, output: &Schema) -> Option<(Vec<usize>, Find)> {
    if !super::is_incremental(operator, output) {
        return None;
    }
    let keys = match operator {
        Operator::KeyedAggregate(spec) => &spec.aggregate.keys,
        Operator::WindowAggregate(spec) => &spec.aggregate.keys,
        Operator::Dedup(spec) => &spec.keys,
        Operator::Top(spec) => &spec.keys,
        _ => return None,
    };
    let width = keys.len();
    let session = matches!(operator, Operator::WindowAggregate(spec) if matches!(spec.window, Window::Session { .. }));
    // The rows of a `top` are by window and key.
    let before = match operator {
        Operator::Top(spec) if spec.window.is_some() => 2,
        _ => 0,
    };
    let by_group = !session && !matches!(operator, Operator::Top(_));
    let find = move |batch: &RecordBatch| {
        let first = if by_group && part_of(batch) == GROUPS { 1 } else { before };
        StoredKeys::Columns { columns: (first..first + width).collect(), numbered: false }
    };
    Some((keys.clone(), Box::new(find)))
}

type Find = Box<dyn Fn(&RecordBatch) -> StoredKeys + Send + Sync>;
