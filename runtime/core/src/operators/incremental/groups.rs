//! Groups of rows that are added and taken away, with what aggregates have of them: sums that take rows away as they add them, and for the other functions the rows
//! that are there, by their operands. What is left of a group depends on the rows that are left alone. Knows nothing of epochs, or of what comes out when.

use super::coder::Coder;
use super::evaluate::{Present, Unfinished, result, retracts};
use super::spine::Spine;
use crate::error::RunError;
use crate::operators::aggregate::accumulator::{Accumulator, Pair, Places, Rows, grow, room};
use crate::operators::aggregate::index::KeyIndex;
use crate::operators::aggregate::{accumulator, depends_on_order};
use crate::operators::internal;
use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use flowc_ir::Schema;
use flowc_ir::aggregates::AggregateFunction;
use flowc_ir::arrow_types::to_arrow_schema;
use flowc_ir::graph::{self, AggregateCall};
use std::sync::Arc;

/// Operands that several calls share, of rows that change.
#[derive(Debug)]
pub(super) struct Operands {
    pub(super) args: Vec<usize>,
    pub(super) filter: Option<usize>,
    /// The calls, by their positions.
    pub(super) calls: Vec<usize>,
    pub(super) types: Vec<DataType>,
    pub(super) coder: Coder,
    /// Whether the first and the last of them say everything.
    pub(super) ends: bool,
}

/// What is computed, over which columns.
#[derive(Debug)]
pub(super) struct Calls {
    pub(super) calls: Vec<AggregateCall>,
    pub(super) schema: Schema,
    /// The types of the keys, a window's bounds among them.
    pub(super) keys: Vec<DataType>,
    /// The calls, by their positions, that have an accumulator.
    pub(super) accumulated: Vec<usize>,
    /// The operands of the others.
    pub(super) operands: Vec<Operands>,
    /// Whether a result depends on the order of the rows.
    pub(super) ordered: bool,
}

impl Calls {
    /// Over rows of `schema`; `keys`: the types of the keys; `changing`: whether rows are taken away.
    pub(super) fn new(
        spec: &graph::Aggregate,
        schema: &Schema,
        keys: Vec<DataType>,
        changing: bool,
    ) -> Result<Calls, RunError> {
        let (calls, arrow) = (spec.aggregates.clone(), to_arrow_schema(schema));
        let (mut accumulated, mut operands): (Vec<usize>, Vec<Operands>) = (vec![], vec![]);
        for (i, call) in calls.iter().enumerate() {
            if !changing || retracts(call.function) {
                accumulated.push(i);
                continue;
            }
            match operands.iter_mut().find(|known| known.args == call.args && known.filter == call.filter) {
                Some(known) => {
                    known.calls.push(i);
                    known.ends &= is_end(call.function);
                }
                None => {
                    let types: Vec<DataType> =
                        call.args.iter().map(|arg| arrow.field(*arg).data_type().clone()).collect();
                    let (coder, ends) = (Coder::new(&types)?, is_end(call.function));
                    let (args, filter) = (call.args.clone(), call.filter);
                    operands.push(Operands { args, filter, calls: vec![i], types, coder, ends });
                }
            }
        }
        let ordered = !changing && calls.iter().any(|call| depends_on_order(call.function));
        Ok(Calls { calls, schema: schema.clone(), keys, accumulated, operands, ordered })
    }
}

/// Whether the result is the first or the last of the operands.
fn is_end(function: AggregateFunction) -> bool {
    matches!(function, AggregateFunction::Min | AggregateFunction::Max)
}

/// Rows on their way into groups.
#[derive(Debug)]
pub(super) struct Arrived<'a> {
    pub(super) data: &'a RecordBatch,
    /// The columns of the keys, a window's bounds among them.
    pub(super) keys: &'a [ArrayRef],
    /// None: each row is added once.
    pub(super) weights: Option<&'a [i64]>,
    pub(super) places: &'a Places,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Groups {
    pub(super) index: KeyIndex,
    /// Of each group how many rows it has.
    pub(super) rows: Vec<i64>,
    pub(super) accumulators: Vec<Box<dyn Accumulator>>,
    /// For each of [`Calls::operands`], by the group's number.
    pub(super) sets: Vec<Spine>,
}

impl Groups {
    pub(super) fn new(calls: &Calls) -> Result<Groups, RunError> {
        let accumulators = calls.accumulated.iter().map(|call| accumulator(&calls.calls[*call], &calls.schema));
        Ok(Groups {
            index: KeyIndex::new(&calls.keys, false)?,
            rows: vec![],
            accumulators: accumulators.collect::<Result<_, _>>()?,
            sets: calls.operands.iter().map(|operands| Spine::new(&operands.coder)).collect(),
        })
    }

    /// The bytes that they take, about.
    pub(super) fn bytes(&self) -> usize {
        let accumulators: usize = self.accumulators.iter().map(|a| a.bytes()).sum();
        let sets: usize = self.sets.iter().map(Spine::bytes).sum();
        self.index.bytes() + room(&self.rows) + accumulators + sets
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// Takes rows.
    pub(super) fn absorb(&mut self, calls: &Calls, rows: &Arrived<'_>) -> Result<(), RunError> {
        let Arrived { data, keys, weights, places } = *rows;
        let encoded = self.index.encode(keys, data.num_rows())?;
        let groups = self.index.assign(&encoded, &[])?;
        let count = self.index.len();
        grow(&mut self.rows, count);
        let weight = |row: usize| weights.map_or(1, |weights| weights[row]);
        groups.iter().enumerate().for_each(|(row, group)| self.rows[*group as usize] += weight(row));
        let columns = |of: &[usize]| of.iter().map(|c| Arc::clone(data.column(*c))).collect::<Vec<ArrayRef>>();
        for (call, accumulator) in calls.accumulated.iter().zip(&mut self.accumulators) {
            let call = &calls.calls[*call];
            let (args, filter) = (columns(&call.args), call.filter.map(|column| data.column(column).as_boolean()));
            accumulator.update(&Rows { groups: &groups, filter, args: &args, places, count, weights })?;
        }
        let mut buffer = vec![];
        for (operands, set) in calls.operands.iter().zip(&mut self.sets) {
            let (args, filter) =
                (columns(&operands.args), operands.filter.map(|column| data.column(column).as_boolean()));
            let rows = Rows { groups: &groups, filter, args: &args, places, count, weights };
            let coded = operands.coder.encode(&args)?;
            // Functions pass over rows whose only operand is null, or what ranks them.
            let Some(last) = args.last() else { return Err(internal("an aggregate lacks an operand")) };
            for (row, group) in rows.valid(last) {
                set.add(group as u32, &coded, row, rows.weight(row), &mut buffer);
            }
        }
        Ok(())
    }

    /// Takes what other groups have; returns the number here of each group there.
    pub(super) fn merge(&mut self, other: &Groups) -> Result<Vec<u32>, RunError> {
        let numbers = self.adopt(other, 0..other.len() as u32)?;
        let pairs: Vec<Pair> = (0..).zip(numbers.iter().copied()).collect();
        self.take(other, &pairs)?;
        Ok(numbers)
    }

    /// The numbers here of groups there.
    pub(super) fn adopt(&mut self, other: &Groups, groups: impl Iterator<Item = u32>) -> Result<Vec<u32>, RunError> {
        let numbers = groups.map(|group| self.index.adopt(&other.index, group, 0)).collect::<Result<_, _>>()?;
        grow(&mut self.rows, self.index.len());
        Ok(numbers)
    }

    /// Takes what groups there have: each into the group here.
    pub(super) fn take(&mut self, other: &Groups, pairs: &[Pair]) -> Result<(), RunError> {
        self.take_sums(other, pairs)?;
        if self.sets.is_empty() {
            return Ok(());
        }
        let mut numbers = vec![None; other.len()];
        pairs.iter().for_each(|(from, to)| numbers[*from as usize] = Some(*to));
        for (mine, theirs) in self.sets.iter_mut().zip(&other.sets) {
            mine.take(theirs, |group| numbers[group as usize]);
        }
        Ok(())
    }

    /// The same, operands apart.
    pub(super) fn take_sums(&mut self, other: &Groups, pairs: &[Pair]) -> Result<(), RunError> {
        let count = self.index.len();
        pairs.iter().for_each(|(from, to)| self.rows[*to as usize] += other.rows[*from as usize]);
        for (mine, theirs) in self.accumulators.iter_mut().zip(&other.accumulators) {
            mine.merge(&**theirs, pairs, count)?;
        }
        Ok(())
    }

    /// Whether a group is as if it had never had a row.
    pub(super) fn is_empty(&self, group: u32) -> bool {
        self.rows[group as usize] == 0
            && self.accumulators.iter().all(|a| a.is_initial(group))
            && self.sets.iter().all(|set| set.is_empty(group))
    }

    /// The results of these groups, a column for each call.
    pub(super) fn results(&self, calls: &Calls, groups: &[u32]) -> Result<Vec<ArrayRef>, Unfinished> {
        let mut columns: Vec<Option<ArrayRef>> = vec![None; calls.calls.len()];
        let mut failed: Option<(usize, Unfinished)> = None;
        let mut note =
            |columns: &mut Vec<Option<ArrayRef>>, call: usize, found: Result<ArrayRef, Unfinished>| match found {
                Ok(column) => {
                    columns[call] = Some(column);
                    Ok(())
                }
                Err(unfinished) => {
                    let position = |group: u32| groups.iter().position(|g| *g == group).unwrap_or(0);
                    let Some(position) = unfinished.group.map(position) else { return Err(unfinished) };
                    if failed.as_ref().is_none_or(|(before, _)| position < *before) {
                        failed = Some((position, unfinished));
                    }
                    Ok(())
                }
            };
        for (call, accumulator) in calls.accumulated.iter().zip(&self.accumulators) {
            let found = accumulator.finish(groups).map_err(|failed| Unfinished::of(&calls.calls[*call], failed));
            note(&mut columns, *call, found)?;
        }
        for (operands, set) in calls.operands.iter().zip(&self.sets) {
            let (mut of, mut weights, mut picked) = (vec![], vec![], operands.coder.none_picked());
            for (number, group) in (0..).zip(groups) {
                set.pick(*group, operands.ends, &mut picked, |weight| {
                    of.push(number);
                    weights.push(weight);
                });
            }
            let args = operands.coder.decode(picked)?;
            // They come in the order of the operands.
            let places = Places::From(0);
            let present = Present { groups: &of, weights: &weights, count: groups.len(), places: Some(&places) };
            for call in &operands.calls {
                let found = result(&calls.calls[*call], &calls.schema, &present, &args, None);
                note(&mut columns, *call, found)?;
            }
        }
        match failed {
            Some((position, unfinished)) => Err(Unfinished { group: Some(position as u32), ..unfinished }),
            None => columns
                .into_iter()
                .map(|column| column.ok_or_else(|| internal("a call has no result").into()))
                .collect(),
        }
    }
}
