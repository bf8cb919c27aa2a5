//! A group of buckets that are in memory together: an operator of the usual kind is made of them, gets their new rows, and gives what comes out; what it has
//! changed goes back. Knows nothing of the other groups but what numbers they have given to their rows.

use super::staged::{PLACE, Stage};
use super::{Layout, Numbered, Shape, Work};
use crate::error::RunError;
use crate::operators::Fault;
use crate::operators::internal;
use crate::operators::stateful::{Before, Emitted, Extent, Segments, Stateful, Stored, Surroundings};
use crate::spill::{Budget, SpillBuffer, batch_bytes};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use std::collections::BTreeMap;

/// A bucket with more levels than this is written anew when it is in memory.
const MOST_LEVELS: usize = if cfg!(test) { 2 } else { 8 };

/// A stored segment is put together of batches up to so many rows and bytes: each costs a read.
const SEGMENT_ROWS: usize = 1 << 18;
const SEGMENT_BYTES: usize = 1 << 25;

/// Notes that say how far time has come. Each group begins where the epoch began.
pub(super) const OF_TIME: [&str; 2] = ["closed", "latest"];

/// See the module.
pub(super) struct Group {
    pub(super) buckets: Vec<u16>,
    pub(super) rows: Vec<Stage>,
    pub(super) watermark: Option<i64>,
}

/// What came out of a group.
pub(super) struct Came {
    pub(super) rows: SpillBuffer,
    pub(super) late: SpillBuffer,
    /// Late rows of the second input.
    pub(super) others: u64,
}

/// What groups have changed: batches of each part of the memory, in the order of the groups.
#[derive(Debug)]
pub(super) struct Changed {
    budget: Budget,
    parts: Vec<(SchemaRef, SpillBuffer)>,
}

impl Changed {
    pub(super) fn new(budget: Budget) -> Changed {
        Changed { budget, parts: vec![] }
    }

    fn push(&mut self, batch: RecordBatch) -> Result<(), RunError> {
        let place = self.parts.iter().position(|(schema, _)| *schema == batch.schema()).unwrap_or(self.parts.len());
        if place == self.parts.len() {
            self.parts.push((batch.schema(), SpillBuffer::leaving_half(self.budget.clone())));
        }
        self.parts[place].1.push(batch)
    }

    /// All of it, in segments.
    pub(super) fn segments(self) -> Segments {
        Box::new(self.parts.into_iter().flat_map(|(schema, buffer)| {
            let mut batches = super::super::kept::drained([buffer].into_iter()).peekable();
            std::iter::from_fn(move || {
                let (mut together, mut rows, mut bytes) = (vec![], 0, 0);
                while let Some(batch) = batches.next_if(|_| rows < SEGMENT_ROWS && bytes < SEGMENT_BYTES) {
                    match batch {
                        Ok(batch) => {
                            (rows, bytes) = (rows + batch.num_rows(), bytes + batch_bytes(&batch));
                            together.push(batch);
                        }
                        Err(error) => return Some(Err(error)),
                    }
                }
                (!together.is_empty()).then(|| concat_batches(&schema, &together).map_err(internal))
            })
        }))
    }
}

/// An operator of what is in these buckets, and what rows there have numbers. `began`: the notes from before the epoch.
fn operator(
    shape: &Shape,
    work: &Work,
    began: &BTreeMap<String, String>,
    buckets: &[u16],
    carried: usize,
) -> Result<(Box<dyn Stateful>, Numbered), RunError> {
    let (loaded, mut numbered) = (work.buckets.load(buckets)?, Numbered::default());
    let mut segments = vec![];
    for (batch, _) in loaded {
        shape.layout.of_stored(&batch, work.buckets.count(), &mut numbered)?;
        segments.push(batch);
    }
    let mut notes = work.notes.clone();
    for note in OF_TIME {
        notes.remove(note);
        notes.extend(began.get(note).map(|at| (note.to_string(), at.clone())));
    }
    let nothing = notes.is_empty() && segments.is_empty();
    let before = if nothing { Before::Nothing } else { Before::Stored(Stored { notes, segments }) };
    let surroundings = Surroundings { workers: 1, carried, ..shape.surroundings.clone() };
    Ok(((shape.make)(before, surroundings)?, numbered))
}

/// Takes what an operator has noted. Of two times the later holds.
pub(super) fn note(work: &mut Work, noted: BTreeMap<String, String>) {
    for (note, text) in noted {
        let time = |text: &String| text.parse::<i64>().ok();
        let earlier =
            OF_TIME.contains(&note.as_str()) && work.notes.get(&note).is_some_and(|known| time(known) > time(&text));
        if !earlier {
            work.notes.insert(note, text);
        }
    }
}

fn routed(
    layout: &Layout,
    work: &Work,
    batches: Vec<RecordBatch>,
    numbered: &mut Numbered,
) -> Result<super::buckets::Loaded, RunError> {
    let count = work.buckets.count();
    let route = |batch: RecordBatch| Ok((batch.clone(), layout.of_stored(&batch, count, numbered)?));
    batches.into_iter().filter(|batch| batch.num_rows() > 0).map(route).collect()
}

impl Group {
    /// Works on the group. `carry`: whether rows that come out have their places behind them.
    pub(super) fn run(
        self,
        shape: &Shape,
        work: &mut Work,
        began: &BTreeMap<String, String>,
        carry: bool,
    ) -> Result<Came, Fault> {
        let places = if shape.layout.arrangement.places().is_some() { PLACE } else { 0 };
        let keep = if carry { PLACE } else { 0 };
        let (operator, mut numbered) = operator(shape, work, began, &self.buckets, keep)?;
        for stage in self.rows {
            for batch in stage.batches((keep, places))? {
                let (input, batch) = batch?;
                operator.push(0, input, batch)?;
            }
        }
        let buffer = || SpillBuffer::leaving_half(shape.surroundings.budget.clone());
        let mut came = Came { rows: buffer(), late: buffer(), others: 0 };
        for emitted in operator.finish(self.watermark)? {
            match emitted? {
                Emitted::Rows(rows) if rows.num_rows() > 0 => came.rows.push(rows)?,
                Emitted::Late(rows) if rows.num_rows() > 0 => came.late.push(rows)?,
                Emitted::LateOther(rows) => came.others += rows,
                _ => {}
            }
        }
        let changes = operator.changes(Extent::Changed)?;
        for batch in changes.segments.iter().filter(|batch| batch.num_rows() > 0) {
            work.changed.push(batch.clone())?;
        }
        note(work, changes.notes);
        if work.buckets.depth(&self.buckets) < MOST_LEVELS {
            let level = routed(&shape.layout, work, changes.segments, &mut numbered)?;
            work.buckets.add(&level)?;
        } else {
            put(shape, work, &*operator, &self.buckets)?;
        }
        let remembered = operator.remembered();
        if remembered.entries == 0 && remembered.first_end.is_none() {
            work.buckets.clear(&self.buckets)?;
        }
        work.buckets.tell(&self.buckets, remembered);
        Ok(came)
    }
}

/// Writes buckets anew; everything that they hold.
fn put(shape: &Shape, work: &mut Work, operator: &dyn Stateful, buckets: &[u16]) -> Result<Vec<RecordBatch>, RunError> {
    let all = operator.changes(Extent::Whole)?.segments;
    let level = routed(&shape.layout, work, all.clone(), &mut Numbered::default())?;
    work.buckets.replace(buckets, &level)?;
    Ok(all)
}

/// Everything that these buckets hold, which are written anew.
pub(super) fn rewritten(shape: &Shape, work: &mut Work, buckets: &[u16]) -> Result<Vec<RecordBatch>, RunError> {
    let began = work.notes.clone();
    let (operator, _) = operator(shape, work, &began, buckets, 0)?;
    let all = put(shape, work, &*operator, buckets)?;
    work.buckets.tell(buckets, operator.remembered());
    Ok(all)
}
