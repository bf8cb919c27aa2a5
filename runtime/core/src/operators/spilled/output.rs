//! What comes out of groups, put in the order in which it would have come out of an operator that had all of them in memory. Late rows come group by group.
//! Knows nothing of what is remembered.

use super::group::{Came, Group};
use super::layout::carrying;
use super::staged::PLACE;
use super::{Arrangement, Shape, Shared, lock};
use crate::batch::{Batch, Order};
use crate::operators::dedup::Sorting;
use crate::operators::kept::drained;
use crate::operators::sort::Sort;
use crate::operators::stateful::{Emissions, Emitted, Surroundings};
use crate::operators::{Blocking, Fault, Outputs};
use crate::spill::{Budget, Held};
use arrow::record_batch::RecordBatch;
use flowc_ir::graph::SortColumn;
use std::collections::{BTreeMap, VecDeque};

/// How rows get into their order.
enum Sorter {
    /// By columns. How many batches it has.
    Columns(Box<Sort>, u32),
    /// By event time.
    Time(Box<Sorting>),
}

impl Sorter {
    fn push(&mut self, rows: RecordBatch) -> Result<(), Fault> {
        match self {
            Sorter::Time(sorting) => sorting.push(rows),
            Sorter::Columns(sort, pushed) => {
                *pushed += 1;
                sort.push(0, Batch { data: rows, order: Order { path: 0, split: 0, sequence: *pushed } })
            }
        }
    }

    fn finish(self) -> Result<Outputs<'static>, Fault> {
        match self {
            Sorter::Time(sorting) => sorting.finish(),
            Sorter::Columns(sort, _) => sort.finish(),
        }
    }
}

fn sorter(shape: &Shape, held: &mut Held) -> Result<Option<Sorter>, Fault> {
    let Surroundings { batch_rows, budget: all, .. } = &shape.surroundings;
    // The rest is for the groups. Rows that exceed this part are sorted in files.
    let (batch_rows, bytes) = ((*batch_rows).max(1), all.total / 8);
    let part = |held: &mut Held| Budget::new(if held.grow_to(bytes) { bytes } else { 0 }, &all.directory);
    Ok(Some(match &shape.layout.arrangement {
        Arrangement::Any => return Ok(None),
        Arrangement::By(columns, schema) => {
            Sorter::Columns(Box::new(Sort::new(columns, schema, 1, batch_rows, part(held))?), 0)
        }
        Arrangement::ByTime(time, schema) => {
            Sorter::Time(Box::new(Sorting::new(*time, schema, batch_rows, all, bytes)?))
        }
        Arrangement::Input(schema, at) => {
            let columns: Vec<SortColumn> =
                (*at..at + PLACE).map(|column| SortColumn { column, descending: false, nulls_first: true }).collect();
            let schema = carrying(schema, *at, PLACE);
            Sorter::Columns(Box::new(Sort::new(&columns, &schema, 1, batch_rows, part(held))?), 0)
        }
    }))
}

/// What comes out of groups. `began`: the notes from before the epoch.
pub(super) fn arranged<'a>(
    shape: &'a Shape,
    work: Shared,
    began: BTreeMap<String, String>,
    groups: Vec<Group>,
) -> Result<Emissions<'a>, Fault> {
    let mut held = Held::new(shape.surroundings.budget.clone());
    // One group gives its rows in order.
    let sorter = if groups.len() > 1 { sorter(shape, &mut held)? } else { None };
    let groups: VecDeque<Group> = groups.into();
    Ok(Box::new(Run { shape, work, began, groups, sorter, ready: None, sorted: None, others: 0, _held: held }))
}

struct Run<'a> {
    shape: &'a Shape,
    work: Shared,
    began: BTreeMap<String, String>,
    groups: VecDeque<Group>,
    sorter: Option<Sorter>,
    /// What came out of a group.
    ready: Option<Box<dyn Iterator<Item = Result<Emitted, Fault>> + Send>>,
    /// What came out of all, in order.
    sorted: Option<Outputs<'static>>,
    others: u64,
    _held: Held,
}

impl Run<'_> {
    /// Where the columns of rows' places are in what comes out, if they are there.
    fn places(&self) -> Option<usize> {
        self.sorter.as_ref().and(self.shape.layout.arrangement.places())
    }

    fn group(&mut self, group: Group) -> Result<(), Fault> {
        let places = self.places();
        let carry = places.is_some();
        let Came { rows, late, others } = group.run(self.shape, &mut lock(&self.work), &self.began, carry)?;
        self.others += others;
        let late = drained([late].into_iter()).map(move |rows| Ok(Emitted::Late(without(rows?, places)?)));
        match &mut self.sorter {
            Some(sorter) => {
                drained([rows].into_iter()).try_for_each(|rows| sorter.push(rows?))?;
                self.ready = Some(Box::new(late));
            }
            None => {
                let rows = drained([rows].into_iter()).map(|rows| Ok(Emitted::Rows(rows?)));
                self.ready = Some(Box::new(late.chain(rows)));
            }
        }
        Ok(())
    }

    fn step(&mut self) -> Result<Option<Emitted>, Fault> {
        loop {
            if let Some(ready) = &mut self.ready {
                match ready.next() {
                    Some(emitted) => return emitted.map(Some),
                    None => self.ready = None,
                }
            }
            if let Some(group) = self.groups.pop_front() {
                self.group(group)?;
                continue;
            }
            if self.others > 0 {
                return Ok(Some(Emitted::LateOther(std::mem::take(&mut self.others))));
            }
            let places = self.places();
            if let Some(sorter) = self.sorter.take() {
                let rows = sorter.finish()?;
                self.sorted = Some(Box::new(rows.map(move |rows| without(rows?, places))));
            }
            return self.sorted.as_mut().and_then(Iterator::next).transpose().map(|rows| rows.map(Emitted::Rows));
        }
    }
}

/// Rows without the columns of their places, if they have them.
fn without(rows: RecordBatch, places: Option<usize>) -> Result<RecordBatch, Fault> {
    let Some(at) = places else { return Ok(rows) };
    let others: Vec<usize> = (0..at).chain(at + PLACE..rows.num_columns()).collect();
    Ok(rows.project(&others)?)
}

impl Iterator for Run<'_> {
    type Item = Result<Emitted, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}
