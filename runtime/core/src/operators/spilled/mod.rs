//! Lets an operator that remembers things by key remember more than the memory holds. Keys are divided into buckets, which are kept on disk; at an epoch's end
//! the buckets that have new rows, or from which something comes out, are taken so many at a time: an operator of the usual kind is made of them, gets their
//! rows, gives what comes out, and what it has changed goes back. Keys are independent of one another, so what comes out is the same; it is put in the order
//! in which it would have come out otherwise. Knows nothing of what the operator does.

mod buckets;
mod group;
mod layout;
mod output;
mod staged;
mod store;

pub(super) use layout::{StoredKeys, carrying};

use super::stateful::{
    Before, Changes, Emissions, Extent, Memory, Remembered, Segments, Stateful, Stored, Surroundings, Unread,
};
use super::{Fault, internal};
use crate::batch::Batch;
use crate::error::RunError;
use crate::spill::Budget;
use arrow::record_batch::RecordBatch;
use buckets::Buckets;
use flowc_ir::Schema;
use flowc_ir::graph::Operator;
use group::{Changed, Group};
use layout::{Arrangement, Layout, Numbered};
use staged::Staged;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Makes an operator of the usual kind.
pub(crate) type Make = Arc<dyn Fn(Before, Surroundings) -> Result<Box<dyn Stateful>, RunError> + Send + Sync>;

/// The operator.
pub(crate) struct Spilled {
    shape: Arc<Shape>,
    staged: Mutex<Staged>,
    work: Shared,
}

/// What does not change in an epoch.
struct Shape {
    name: String,
    layout: Layout,
    make: Make,
    surroundings: Surroundings,
    /// The most bytes, about, of the buckets that are in memory together, with their rows.
    together: u64,
}

/// What is remembered.
#[derive(Debug)]
struct Work {
    buckets: Buckets,
    notes: BTreeMap<String, String>,
    /// What the epoch has changed.
    changed: Changed,
}

type Shared = Arc<Mutex<Work>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Spilled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spilled").field("name", &self.shape.name).field("work", &self.work).finish_non_exhaustive()
    }
}

/// In memory a row takes about so many times the bytes that it has on disk: as they are read, as columns, and in the operator.
const IN_MEMORY: u64 = 6;

/// Whether what an operator remembers falls apart by key.
pub(crate) fn can_spill(operator: &Operator, inputs: &[&Schema], output: &Schema) -> bool {
    matches!(Layout::of(operator, inputs, output), Ok(Some(_)))
}

impl Spilled {
    /// `make` makes the operator of the usual kind, whose name is `name`. `share`: what it keeps in memory at a time may take this part of the memory: one in so
    /// many. Fails where [`can_spill`] says no, or if what was stored cannot be read.
    pub(crate) fn new(
        name: &str,
        operator: &Operator,
        (inputs, output): (&[&Schema], &Schema),
        make: Make,
        surroundings: Surroundings,
        before: Before,
        share: u32,
    ) -> Result<Spilled, RunError> {
        let layout = Layout::of(operator, inputs, output)?;
        let layout = layout.ok_or_else(|| internal(format!("what `{name}` remembers does not fall apart by key")))?;
        let together = surroundings.budget.total as u64 / (2 * IN_MEMORY * u64::from(share.max(1)));
        let work = match before {
            Before::Nothing => Arc::new(Mutex::new(Work::new(&surroundings.budget)?)),
            Before::Memory(memory) => {
                *memory.downcast::<Shared>().map_err(|_| internal(format!("`{name}` got another step's memory")))?
            }
            Before::Unread(unread) => Arc::new(Mutex::new(Work::read(&layout, &surroundings.budget, unread)?)),
            Before::Stored(Stored { notes, segments }) => {
                let segments: Segments = Box::new(segments.into_iter().map(Ok));
                // When something comes out is not known.
                let remembered = Remembered { first_end: Some(i64::MIN), ..Remembered::default() };
                let unread = Unread { notes, segments, remembered };
                Arc::new(Mutex::new(Work::read(&layout, &surroundings.budget, unread)?))
            }
        };
        let count = {
            let mut work = lock(&work);
            work.changed = Changed::new(surroundings.budget.clone());
            work.buckets.count()
        };
        let carried = if layout.arrangement.places().is_some() { staged::PLACE } else { 0 };
        let staged = Mutex::new(Staged::new(surroundings.budget.clone(), count, carried));
        let shape = Arc::new(Shape { name: name.to_string(), layout, make, surroundings, together });
        Ok(Spilled { shape, staged, work })
    }
}

impl Work {
    fn new(budget: &Budget) -> Result<Work, RunError> {
        let (buckets, changed) = (Buckets::new(budget)?, Changed::new(budget.clone()));
        Ok(Work { buckets, notes: BTreeMap::new(), changed })
    }

    /// Puts what was stored into buckets.
    fn read(layout: &Layout, budget: &Budget, unread: Unread) -> Result<Work, RunError> {
        let Unread { notes, segments, remembered } = unread;
        let mut work = Work { notes, ..Work::new(budget)? };
        let (count, mut numbered) = (work.buckets.count(), Numbered::default());
        for batch in segments {
            let batch = batch?;
            // A segment of the first version of the format says in its schema what a note says today.
            let said = |note: &str| Some((note.to_string(), batch.schema_ref().metadata().get(note)?.clone()));
            group::note(&mut work, group::OF_TIME.into_iter().filter_map(said).collect());
            let buckets = layout.of_stored(&batch, count, &mut numbered)?;
            work.buckets.add(&vec![(batch, buckets)])?;
        }
        let all: Vec<u16> = (0..count).map(|bucket| bucket as u16).collect();
        work.buckets.tell(&all, remembered);
        Ok(work)
    }

    /// What there is to tell, group by group of those that were last looked at together, with the part of it that still holds.
    fn told(&self) -> impl Iterator<Item = (&Remembered, f64)> {
        self.buckets.known().iter().filter_map(|bucket| {
            let told = bucket.told.as_deref()?;
            Some((&told.remembered, 1.0 / told.buckets.max(1) as f64))
        })
    }
}

impl Shape {
    /// Cuts buckets into groups that fit the memory together. `bytes`: what new rows of each bucket take.
    fn groups(&self, work: &Work, wanted: &[u16], bytes: &[u64]) -> Vec<Vec<u16>> {
        let cost = |bucket: &u16| {
            let bucket = usize::from(*bucket);
            work.buckets.known()[bucket].bytes + bytes.get(bucket).copied().unwrap_or(0)
        };
        let all: u64 = wanted.iter().map(cost).sum();
        // Each group has a file of its own for its rows.
        let most = self.together.max(all / staged::MOST_GROUPS as u64 + 1);
        let (mut groups, mut group, mut taken) = (vec![], vec![], 0);
        for bucket in wanted {
            let cost = cost(bucket);
            if !group.is_empty() && taken + cost > most {
                groups.push(std::mem::take(&mut group));
                taken = 0;
            }
            group.push(*bucket);
            taken += cost;
        }
        groups.extend((!group.is_empty()).then_some(group));
        groups
    }

    /// The buckets from which something may come out at this watermark, or that have new rows.
    fn wanted(work: &Work, watermark: Option<i64>, bytes: &[u64]) -> Vec<u16> {
        let due = |bucket: usize| {
            let known = &work.buckets.known()[bucket];
            let first = known.told.as_ref().and_then(|told| told.remembered.first_end);
            match watermark {
                None => false,
                Some(i64::MAX) => known.bytes > 0,
                Some(watermark) => known.bytes > 0 && first.is_some_and(|first| first <= watermark),
            }
        };
        let wanted = (0..work.buckets.count()).filter(|bucket| bytes[*bucket] > 0 || due(*bucket));
        wanted.map(|bucket| bucket as u16).collect()
    }
}

impl Stateful for Spilled {
    fn push(&self, _worker: usize, input: usize, batch: Batch) -> Result<(), Fault> {
        let count = lock(&self.work).buckets.count();
        let buckets = self.shape.layout.of_input(input, &batch.data, count)?;
        Ok(lock(&self.staged).push(input, batch, &buckets)?)
    }

    fn finish(&self, watermark: Option<i64>) -> Result<Emissions<'_>, Fault> {
        let (staged, bytes) = lock(&self.staged).take();
        let groups = {
            let work = lock(&self.work);
            let wanted = Shape::wanted(&work, watermark, &bytes);
            let groups = self.shape.groups(&work, &wanted, &bytes);
            // An epoch in which nothing is wanted takes time further, too: one group, of nothing, notes it.
            if groups.is_empty() { vec![vec![]] } else { groups }
        };
        let staged = staged.divided(&groups)?;
        let notes = lock(&self.work).notes.clone();
        let groups = groups.into_iter().zip(staged).map(move |(buckets, rows)| Group { buckets, rows, watermark });
        output::arranged(&self.shape, Arc::clone(&self.work), notes, groups.collect())
    }

    fn changes(&self, extent: Extent) -> Result<Changes, RunError> {
        let mut work = lock(&self.work);
        let notes = work.notes.clone();
        let changed = std::mem::replace(&mut work.changed, Changed::new(self.shape.surroundings.budget.clone()));
        let whole = extent == Extent::Whole;
        let more: Segments = if whole { self.whole(&work) } else { changed.segments() };
        Ok(Changes { whole, notes, segments: vec![], more: Some(more) })
    }

    fn remembered(&self) -> Remembered {
        let work = lock(&self.work);
        // How many windows there are together is not known: parts have the same ones.
        let mut all = Remembered::default();
        let mut entries = 0.0;
        for (told, share) in work.told() {
            entries += told.entries as f64 * share;
            all.unit.clone_from(&told.unit);
            all.first_end = all.first_end.into_iter().chain(told.first_end).min();
            all.last_end = all.last_end.max(told.last_end);
        }
        let on_disk = work.buckets.known().iter().map(|bucket| bucket.bytes).sum();
        Remembered { entries: entries.round() as u64, on_disk, ..all }
    }

    fn take_memory(&self) -> Memory {
        Box::new(Arc::clone(&self.work))
    }
}

impl Spilled {
    /// Everything, group by group; buckets are written anew on the way, without what has died.
    fn whole(&self, work: &Work) -> Segments {
        let full = (0..work.buckets.count()).filter(|bucket| work.buckets.known()[*bucket].bytes > 0);
        let full: Vec<u16> = full.map(|bucket| bucket as u16).collect();
        let groups = self.shape.groups(work, &full, &[]);
        let (shape, work) = (Arc::clone(&self.shape), Arc::clone(&self.work));
        Box::new(groups.into_iter().flat_map(move |buckets| {
            let batches: Result<Vec<RecordBatch>, RunError> = group::rewritten(&shape, &mut lock(&work), &buckets);
            let (batches, failed) = match batches {
                Ok(batches) => (batches, None),
                Err(error) => (vec![], Some(Err(error))),
            };
            batches.into_iter().map(Ok).chain(failed)
        }))
    }
}

#[cfg(test)]
mod tests;
