//! What operators that remember something across epochs have in common: they take an epoch's rows, and at its end, when the watermark moves, give what has
//! become final, and say what has changed of what they remember. Knows nothing of where that is stored.

use super::Fault;
use crate::batch::Batch;
use crate::connector::RowFilter;
use crate::error::RunError;
use crate::spill::Budget;
use arrow::record_batch::RecordBatch;
use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// What comes out of a stateful operator.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Emitted {
    /// Rows with the operator's columns.
    Rows(RecordBatch),
    /// Rows with the columns of its first input, which came too late.
    Late(RecordBatch),
    /// Rows of its second input that came too late: so many. They are counted, and come out nowhere.
    LateOther(u64),
}

/// What comes out, one batch at a time.
pub(crate) type Emissions<'a> = Box<dyn Iterator<Item = Result<Emitted, Fault>> + Send + 'a>;

/// What a stateful operator needs to know of the epoch it works in.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    /// The epoch: part of the place of its rows in the input.
    pub(crate) epoch: u64,
    /// The watermark before the epoch: what is later than it is late. None: no time is known.
    pub(crate) watermark: Option<i64>,
    /// How many workers push.
    pub(crate) workers: usize,
    /// The most rows of a batch that comes out.
    pub(crate) batch_rows: usize,
    /// The memory.
    pub(crate) budget: Budget,
    /// Columns that the rows of the first input have behind those of its schema: they are carried along, and mean nothing to the step. Only `dedup` and
    /// `unique` know of them; the others have none.
    pub(crate) carried: usize,
}

/// What an operator remembers, as it was stored.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Stored {
    /// Short facts, such as the shape of what is remembered.
    pub(crate) notes: BTreeMap<String, String>,
    /// Batches in the order in which they were stored; each may have other columns. What a later one says holds.
    pub(crate) segments: Vec<RecordBatch>,
}

/// Batches that are made as they are needed, because together they need not fit the memory.
pub(crate) type Segments = Box<dyn Iterator<Item = Result<RecordBatch, RunError>> + Send>;

/// What an operator remembers, as it was stored, to be read a batch at a time.
pub(crate) struct Unread {
    /// See [`Stored::notes`].
    pub(crate) notes: BTreeMap<String, String>,
    /// See [`Stored::segments`].
    pub(crate) segments: Segments,
    /// What there is to tell of it.
    pub(crate) remembered: Remembered,
}

/// How much of what an operator remembers is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Everything, so that nothing stored before is needed any more.
    Whole,
    /// What this epoch has changed.
    Changed,
    /// What this epoch has changed; everything, where that is no more.
    Less,
}

impl Extent {
    /// Whether it is everything, where so many entries of so many have changed.
    pub(crate) fn whole(self, changed: usize, all: usize) -> bool {
        match self {
            Extent::Whole => true,
            Extent::Changed => false,
            Extent::Less => changed >= all,
        }
    }
}

/// What is to be stored after an epoch.
#[derive(Default)]
pub(crate) struct Changes {
    /// Whether it takes the place of all that was stored before, and not only adds to it.
    pub(crate) whole: bool,
    /// As in [`Stored`]; takes the place of earlier notes in any case.
    pub(crate) notes: BTreeMap<String, String>,
    /// As in [`Stored`].
    pub(crate) segments: Vec<RecordBatch>,
    /// Further segments, behind those.
    pub(crate) more: Option<Segments>,
}

impl Changes {
    /// Nothing is remembered any more.
    pub(crate) fn nothing() -> Changes {
        Changes { whole: true, ..Changes::default() }
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Changes { whole, notes, segments, more } = self;
        let mut debug = f.debug_struct("Changes");
        debug.field("whole", whole).field("notes", notes).field("segments", segments);
        debug.field("more", &more.is_some()).finish()
    }
}

/// What an operator remembers, as the operator of the last epoch left it in memory. Only an operator of the same kind and name can take it.
pub(crate) type Memory = Box<dyn Any + Send>;

/// What an operator remembers of earlier epochs.
pub(crate) enum Before {
    /// Nothing.
    Nothing,
    /// What was read from the store.
    Stored(Stored),
    /// What is to be read from the store.
    Unread(Unread),
    /// What is in memory.
    Memory(Memory),
}

impl Before {
    /// The same with what was stored read.
    pub(crate) fn read(self) -> Result<Before, RunError> {
        Ok(match self {
            Before::Unread(Unread { notes, segments, .. }) => {
                Before::Stored(Stored { notes, segments: segments.collect::<Result<_, _>>()? })
            }
            before => before,
        })
    }
}

impl fmt::Debug for Before {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Before::Nothing => f.write_str("Nothing"),
            Before::Stored(stored) => f.debug_tuple("Stored").field(stored).finish(),
            Before::Unread(unread) => f.debug_tuple("Unread").field(&unread.notes).finish(),
            Before::Memory(_) => f.write_str("Memory"),
        }
    }
}

/// What there is to tell of what an operator remembers.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Remembered {
    /// What is counted by `entries`: `windows`, `keys`, `rows`.
    pub unit: String,
    /// So many: for windows, groups of keys and windows.
    pub entries: u64,
    /// Bytes in memory, about.
    pub bytes: u64,
    /// Bytes on disk, where it is more than the memory holds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub on_disk: u64,
    /// How many different windows are open.
    pub windows: u64,
    /// Where the first open window ends (or the first thing that waits comes out): microseconds since 1970-01-01T00:00:00Z.
    pub first_end: Option<i64>,
    /// Where the last one ends.
    pub last_end: Option<i64>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// An operator that remembers something across epochs. It is made anew for each epoch, from [`Before`].
pub(crate) trait Stateful: Send + Sync + fmt::Debug {
    /// Takes rows of an input (0, or 1 for the right side of a join) from this worker. Within a path and split, batches come in order, and from one worker.
    fn push(&self, worker: usize, input: usize, batch: Batch) -> Result<(), Fault>;

    /// Which rows of its first input it needs, now that its second input is complete and nothing of the first has come: what it takes for no row of the others to have
    /// come. None: all of them. The watermark is that of [`Stateful::finish`].
    fn needs(&self, _watermark: Option<i64>) -> Result<Option<Arc<dyn RowFilter>>, RunError> {
        Ok(None)
    }

    /// What comes out, in an order that does not depend on how the input was cut or who pushed it; called once, after all input. `watermark`: after the
    /// epoch; [`i64::MAX`] where everything is over. None: no time is known.
    fn finish(&self, watermark: Option<i64>) -> Result<Emissions<'_>, Fault>;

    /// What is to be stored, once all that comes out has been taken.
    fn changes(&self, extent: Extent) -> Result<Changes, RunError>;

    /// What there is to tell of what it remembers.
    fn remembered(&self) -> Remembered;

    /// What the operator of the next epoch takes over, once this epoch is committed; called last.
    fn take_memory(&self) -> Memory;
}

/// The error for a state that another form of the program has left; `what` names the step.
pub(crate) fn other_shape(what: &str) -> RunError {
    let text = format!(
        "what `{what}` remembers was left by another form of the program: its keys, aggregates or columns were others"
    );
    RunError::data("R0408", text)
        .help("run the program as it was once more with --drain, so that nothing is open; or compute everything again with --full-refresh")
}
