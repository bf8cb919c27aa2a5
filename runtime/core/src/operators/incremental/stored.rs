//! What aggregates keep right, as it is stored. Groups: how many rows each has, its keys, what accumulators have; what a later batch says of a group holds. Operands
//! that are kept, in sorted runs: the keys, lists of the operands, and how often they were added since the batch before; all batches together are what is there. Knows
//! nothing of files.

use super::aggregate::{Kept, Shape, bounds};
use super::clock::Clock;
use super::coder::Values;
use super::groups::Operands;
use super::spine::{Run, Slice, Spine};
use super::zset::{Entry, Zset};
use crate::error::RunError;
use crate::operators::aggregate::accumulator::{grow, saved};
use crate::operators::internal;
use crate::operators::kept::{damaged, mark, part_of};
use crate::operators::spilled::StoredKeys;
use crate::operators::stateful::{Changes, Extent, Stored};
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray, UInt32Array, new_null_array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Int64Type, Schema as ArrowSchema};
use arrow::record_batch::RecordBatch;
use flowc_ir::Schema;
use flowc_ir::graph::{Operator, Window};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Names of parts; those of operands are numbered.
const GROUPS: &str = "groups";
const OPERANDS: &str = "runs ";
/// Operands as they were stored before: a row each.
const FLAT: &str = "operands ";

/// The note that the group which always has a result has given it.
const BEGUN: &str = "begun";

/// The most rows of a batch.
pub(super) const ROWS: usize = 1 << 18;

/// The most operands of a batch, and of those that are byte strings.
const WORDS: usize = 1 << 22;
const STRINGS: usize = 1 << 18;

/// A batch of a part of the memory; its columns are named by what they are and their number.
pub(super) fn part(name: &str, columns: Vec<(&str, Vec<ArrayRef>)>) -> Result<RecordBatch, RunError> {
    let fields = columns.iter().flat_map(|(what, columns)| {
        columns.iter().enumerate().map(move |(i, c)| Field::new(format!("{what}_{i}"), c.data_type().clone(), true))
    });
    let schema = mark(&ArrowSchema::new(fields.collect::<Vec<_>>()), name);
    let columns = columns.into_iter().flat_map(|(_, columns)| columns).collect();
    RecordBatch::try_new(schema, columns).map_err(internal)
}

pub(super) fn changes(shape: &Shape, kept: &mut Kept, extent: Extent) -> Result<Changes, RunError> {
    let whole = extent.whole(kept.changed.len(), kept.live().count());
    if whole {
        kept.groups.sets.iter_mut().for_each(Spine::compact);
    }
    let kept = &*kept;
    // Forgotten windows need no record: they follow from the watermark, which is noted.
    let needed = |group: &u32| kept.end(*group).is_none_or(|end| !kept.clock.released(end));
    let groups: Vec<u32> =
        if whole { kept.live().collect() } else { kept.changed.iter().copied().filter(needed).collect() };
    let mut segments = vec![];
    for groups in groups.chunks(ROWS) {
        segments.push(of_groups(kept, groups)?);
    }
    for (number, operands) in shape.calls.operands.iter().enumerate() {
        let runs = if whole { kept.groups.sets[number].runs() } else { kept.fresh[number].as_slice() };
        for run in runs {
            // What a group that is gone had is taken away, too.
            let stays = |slice: &&Slice| if whole { !kept.dead[slice.group as usize] } else { needed(&slice.group) };
            let slices: Vec<Slice> = run.slices.iter().filter(stays).copied().collect();
            for slices in divided(&slices, if run.values.is_words() { WORDS } else { STRINGS }) {
                segments.push(of_operands(kept, operands, number, run, &slices)?);
            }
        }
    }
    let mut notes = BTreeMap::new();
    if shape.always() {
        notes.insert(BEGUN.to_string(), kept.begun.to_string());
    }
    kept.clock.note(&mut notes);
    Ok(Changes { whole, notes, segments, more: None })
}

/// Slices, divided so that at most so many rows, and groups, stand together.
fn divided(slices: &[Slice], most: usize) -> Vec<Vec<Slice>> {
    let (mut parts, mut part, mut rows) = (vec![], vec![], 0);
    for slice in slices {
        let mut slice = *slice;
        while slice.start < slice.end {
            if rows >= most || part.len() >= ROWS {
                parts.push(std::mem::take(&mut part));
                rows = 0;
            }
            let end = slice.end.min(slice.start + most - rows);
            part.push(Slice { end, ..slice });
            rows += end - slice.start;
            slice.start = end;
        }
    }
    parts.extend(Some(part).filter(|part| !part.is_empty()));
    parts
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
    run: &Run,
    slices: &[Slice],
) -> Result<RecordBatch, RunError> {
    let groups: Vec<u32> = slices.iter().map(|slice| slice.group).collect();
    let lengths = || OffsetBuffer::from_lengths(slices.iter().map(|slice| slice.end - slice.start));
    let list = |values: ArrayRef| {
        let item = Arc::new(Field::new_list_field(values.data_type().clone(), true));
        ListArray::try_new(item, lengths(), values, None).map(|list| Arc::new(list) as ArrayRef).map_err(internal)
    };
    let mut picked = operands.coder.none_picked();
    slices.iter().for_each(|slice| run.values.pick(slice.start, slice.end, &mut picked));
    let args = operands.coder.decode(picked)?.into_iter().map(list).collect::<Result<Vec<_>, _>>()?;
    let weights = match &run.weights {
        Some(weights) => {
            let of = |slice: &Slice| weights[slice.start..slice.end].iter().copied();
            list(Arc::new(Int64Array::from_iter_values(slices.iter().flat_map(of))))?
        }
        None => new_null_array(&weight_type(), slices.len()),
    };
    let keys = kept.groups.index.columns(&groups)?;
    part(&format!("{OPERANDS}{number}"), vec![("key", keys), ("operand", args), ("weight", vec![weights])])
}

/// The type of the weights of a group's operands; null: each is there once.
fn weight_type() -> DataType {
    DataType::List(Arc::new(Field::new_list_field(DataType::Int64, true)))
}

/// Whether columns have these types.
pub(super) fn are(columns: &[ArrayRef], types: &[DataType]) -> bool {
    columns.len() == types.len() && columns.iter().zip(types).all(|(column, data)| column.data_type() == data)
}

pub(super) fn restore(shape: &Shape, clock: Clock, stored: Stored) -> Result<Kept, RunError> {
    let mut kept = Kept::new(shape, clock.noted(&stored)?)?;
    kept.begun = stored.notes.get(BEGUN).is_some_and(|begun| begun == "true");
    let clock = Clock { latest: kept.clock.latest.max(clock.latest), ..kept.clock };
    let mut seen: Vec<bool> = vec![];
    for segment in stored.segments.iter().rev().filter(|segment| part_of(segment) == GROUPS) {
        load_groups(shape, &mut kept, &clock, segment, &mut seen)?;
    }
    let operands: Vec<RecordBatch> = stored.segments.into_iter().filter(|segment| part_of(segment) != GROUPS).collect();
    let mut loading: Vec<Loading> = shape.calls.operands.iter().map(Loading::new).collect();
    for (number, words) in rooms(shape, &operands) {
        loading[number].run.values.reserve(words);
    }
    // Each is gone when it was read: together they can be large.
    for segment in operands {
        let part = part_of(&segment);
        let number = |prefix: &str| {
            let number = part.strip_prefix(prefix).and_then(|number| number.parse::<usize>().ok());
            number.filter(|number| *number < shape.calls.operands.len())
        };
        match (number(OPERANDS), number(FLAT)) {
            (Some(number), _) => load_run(shape, &mut kept, &clock, &segment, (number, &mut loading[number]))?,
            (_, Some(number)) => load_flat(shape, &mut kept, &clock, &segment, number)?,
            _ => return Err(damaged(&shape.name)),
        }
    }
    for (set, loading) in kept.groups.sets.iter_mut().zip(loading) {
        set.sort();
        loading.finish(set);
    }
    kept.enter(shape)?;
    for group in 0..kept.groups.len() as u32 {
        kept.dead[group as usize] = !shape.always() && kept.groups.is_empty(group);
    }
    Ok(kept)
}

/// How many operands there are in these batches, by their number.
fn rooms(shape: &Shape, batches: &[RecordBatch]) -> BTreeMap<usize, usize> {
    let width = shape.calls.keys.len();
    let mut rooms = BTreeMap::new();
    for batch in batches {
        let part = part_of(batch);
        let number = part.strip_prefix(OPERANDS).and_then(|number| number.parse::<usize>().ok());
        let list = batch.columns().get(width).and_then(|column| column.as_list_opt::<i32>());
        if let (Some(number), Some(list)) = (number.filter(|number| *number < shape.calls.operands.len()), list) {
            *rooms.entry(number).or_default() += list.values().len();
        }
    }
    rooms
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

/// A run that is put together of stored batches.
struct Loading {
    run: Run,
    /// Which groups it has.
    has: Vec<bool>,
}

impl Loading {
    fn new(operands: &Operands) -> Loading {
        Loading { run: Run::empty(&operands.coder), has: vec![] }
    }

    /// The batches of it are all there.
    fn finish(self, set: &mut Spine) {
        let mut run = self.run;
        run.order_groups();
        set.push(Arc::new(run));
    }

    /// Takes a group's rows; those that cannot be of the run begin another.
    fn take(&mut self, set: &mut Spine, group: u32, from: &Run, (start, end): (usize, usize)) {
        grow(&mut self.has, group as usize + 1);
        let has = std::mem::replace(&mut self.has[group as usize], true);
        if !self.run.append(group, from, start, end, has) {
            let empty = Run { slices: vec![], values: from.values.empty(), weights: None };
            Loading { run: std::mem::replace(&mut self.run, empty), has: vec![] }.finish(set);
            self.has.fill(false);
            self.has[group as usize] = true;
            self.run.append(group, from, start, end, false);
        }
    }
}

/// The keys, the operands, and the weights of a batch.
fn columns_of<'a>(shape: &Shape, segment: &'a RecordBatch, number: usize) -> Result<[&'a [ArrayRef]; 3], RunError> {
    let (operands, width) = (&shape.calls.operands[number], shape.calls.keys.len());
    let (keys, rest) = segment.columns().split_at_checked(width).ok_or_else(|| damaged(&shape.name))?;
    let (args, weights) = rest.split_at_checked(operands.types.len()).ok_or_else(|| damaged(&shape.name))?;
    if are(keys, &shape.calls.keys) { Ok([keys, args, weights]) } else { Err(damaged(&shape.name)) }
}

/// The weights of operands, whose lists are here; none: each is there once. Nothing: they are not those of such lists.
fn weights_of(weights: &ListArray, offsets: &[i32]) -> Option<Option<Vec<i64>>> {
    if weights.null_count() == weights.len() {
        return Some(None);
    }
    let given = weights.values().as_primitive_opt::<Int64Type>()?;
    let mut all = vec![1; *offsets.last()? as usize];
    for (row, bounds) in offsets.windows(2).enumerate().filter(|(row, _)| weights.is_valid(*row)) {
        let (start, end) = (weights.offsets()[row] as usize, weights.offsets()[row + 1] as usize);
        let of_row = all.get_mut(bounds[0] as usize..bounds[1] as usize)?;
        if of_row.len() != end - start {
            return None;
        }
        of_row.copy_from_slice(&given.values()[start..end]);
    }
    Some(Some(all))
}

fn load_run(
    shape: &Shape,
    kept: &mut Kept,
    clock: &Clock,
    segment: &RecordBatch,
    (number, loading): (usize, &mut Loading),
) -> Result<(), RunError> {
    let damaged = || damaged(&shape.name);
    let [keys, args, weights] = columns_of(shape, segment, number)?;
    let operands = &shape.calls.operands[number];
    let lists = args.iter().map(|arg| arg.as_list_opt::<i32>().filter(|list| list.null_count() == 0));
    let lists = lists.collect::<Option<Vec<&ListArray>>>().ok_or_else(damaged)?;
    let offsets = lists.first().map(|list| list.offsets()).ok_or_else(damaged)?;
    let values: Vec<ArrayRef> = lists.iter().map(|list| Arc::clone(list.values())).collect();
    if lists.iter().any(|list| list.offsets() != offsets) || !are(&values, &operands.types) {
        return Err(damaged());
    }
    let weights = weights.first().and_then(|weights| weights.as_list_opt::<i32>()).ok_or_else(damaged)?;
    let weights = weights_of(weights, offsets).ok_or_else(damaged)?;
    let coded = operands.coder.encode(&values)?;
    let values = Values::of(coded, values.first().map_or(0, |values| values.len()));
    let from = Run { slices: vec![], values, weights };
    let found = kept.groups.index.encode(keys, segment.num_rows())?;
    for row in needed(shape, clock, keys, segment.num_rows())? {
        let row = row as usize;
        let group = kept.groups.index.insert(&found, row, 0)?;
        grow(&mut kept.groups.rows, kept.groups.index.len());
        let (start, end) = (offsets[row] as usize, offsets[row + 1] as usize);
        if start >= end || !from.is_sorted(start, end) {
            return Err(damaged());
        }
        loading.take(&mut kept.groups.sets[number], group, &from, (start, end));
    }
    Ok(())
}

fn load_flat(
    shape: &Shape,
    kept: &mut Kept,
    clock: &Clock,
    segment: &RecordBatch,
    number: usize,
) -> Result<(), RunError> {
    let [keys, args, weights] = columns_of(shape, segment, number)?;
    let operands = &shape.calls.operands[number];
    if !are(args, &operands.types) {
        return Err(damaged(&shape.name));
    }
    let (weights, groups) = (saved::<Int64Type>(weights, 0)?, &mut kept.groups);
    let (found, coded) = (groups.index.encode(keys, segment.num_rows())?, operands.coder.encode(args)?);
    let mut buffer = vec![];
    for row in needed(shape, clock, keys, segment.num_rows())? {
        let row = row as usize;
        let group = groups.index.insert(&found, row, 0)?;
        grow(&mut groups.rows, groups.index.len());
        groups.sets[number].add(group, &coded, row, weights.value(row), &mut buffer);
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
