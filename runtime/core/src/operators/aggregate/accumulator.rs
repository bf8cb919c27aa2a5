//! What all accumulators have in common: rows with their groups come in, a column with a value for each group comes out.

use crate::batch::RowOrder;
use crate::error::RunError;
use crate::operators::internal;
use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, BooleanArray, PrimitiveArray, UInt64Array,
};
use flowc_ir::eval::Failure;
use flowc_ir::graph::AggregateCall;
use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// The places of rows in the input.
#[derive(Debug, Clone)]
pub(in crate::operators) enum Places {
    /// The first row's; each other row's is one more than that of the row before it.
    From(RowOrder),
    /// Each row's.
    Each(Vec<RowOrder>),
}

impl Places {
    pub(in crate::operators) fn of(&self, row: usize) -> RowOrder {
        match self {
            Places::From(first) => first + row as RowOrder,
            Places::Each(places) => places[row],
        }
    }
}

/// A group of one accumulator, and the group of another that takes in what it has.
pub(in crate::operators) type Pair = (u32, u32);

/// Rows with the group of each.
#[derive(Debug)]
pub(in crate::operators) struct Rows<'a> {
    /// The group of each row.
    pub(in crate::operators) groups: &'a [u32],
    /// Which rows are let in.
    pub(in crate::operators) filter: Option<&'a BooleanArray>,
    /// The operands.
    pub(in crate::operators) args: &'a [ArrayRef],
    /// The place of each row in the input.
    pub(in crate::operators) places: &'a Places,
    /// The number of groups so far.
    pub(in crate::operators) count: usize,
    /// How often each row is added; less than 0: it is taken away. Only counts, sums, means and variances know of weights. None: each is added once.
    pub(in crate::operators) weights: Option<&'a [i64]>,
}

impl Rows<'_> {
    /// Rows that are let in, with their groups.
    pub(in crate::operators) fn admitted(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let passes = |row: usize| self.filter.is_none_or(|f| f.is_valid(row) && f.value(row));
        self.groups.iter().enumerate().filter(move |(row, _)| passes(*row)).map(|(row, group)| (row, *group as usize))
    }

    /// How often a row is added.
    pub(in crate::operators) fn weight(&self, row: usize) -> i64 {
        self.weights.map_or(1, |weights| weights[row])
    }

    /// Does something for each row that is let in and where this array is not null, with its group.
    pub(in crate::operators) fn each(&self, array: &dyn Array, mut does: impl FnMut(usize, usize)) {
        if self.filter.is_none() && array.null_count() == 0 {
            // Most often; a loop that asks nothing of a row.
            self.groups.iter().enumerate().for_each(|(row, group)| does(row, *group as usize));
        } else {
            self.valid(array).for_each(|(row, group)| does(row, group));
        }
    }

    /// Rows that are let in and where this array is not null.
    pub(in crate::operators) fn valid<'b>(&'b self, array: &'b dyn Array) -> impl Iterator<Item = (usize, usize)> + 'b {
        let nulls = array.nulls().filter(|n| n.null_count() > 0);
        self.admitted().filter(move |(row, _)| nulls.is_none_or(|n| n.is_valid(*row)))
    }
}

/// Why a group has no result: the group, and what happened.
#[derive(Debug)]
pub(in crate::operators) enum Failed {
    /// The value does not fit.
    Group(u32, Failure),
    /// Anything else.
    Run(RunError),
}

impl From<RunError> for Failed {
    fn from(error: RunError) -> Self {
        Failed::Run(error)
    }
}

/// Computes an aggregate function for many groups.
pub(in crate::operators) trait Accumulator: Any + Send + Sync + fmt::Debug {
    /// Takes rows.
    fn update(&mut self, rows: &Rows<'_>) -> Result<(), RunError>;

    /// Takes what another accumulator of this kind has of some groups, and leaves it there. Of each pair the first is a group there, the second the group here
    /// that takes it in; `count` is the number of groups here. The order of merges never shows.
    fn merge(&mut self, other: &dyn Accumulator, pairs: &[Pair], count: usize) -> Result<(), RunError>;

    /// What it has of these groups, as columns with a row for each group; their number and types depend on the function and its operands alone.
    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>, RunError>;

    /// Takes what [`Accumulator::save`] gave: each row into this group, of `count`. The group is then as it was, down to the last bit of every result.
    fn load(&mut self, columns: &[ArrayRef], groups: &[u32], count: usize) -> Result<(), RunError>;

    /// The bytes that it takes, about.
    fn bytes(&self) -> usize;

    /// Whether what it keeps of a group grows with the group's rows.
    fn grows(&self) -> bool {
        false
    }

    /// Whether a group is as if it had never had a row. An accumulator that knows no weights need not know.
    fn is_initial(&self, _group: u32) -> bool {
        false
    }

    /// A value for each of these groups. If several fail, the first is told.
    fn finish(&self, order: &[u32]) -> Result<ArrayRef, Failed>;

    /// [`Accumulator::save`] for a call that shares what this one keeps: the columns are those of an accumulator of its own.
    fn save_for(&self, _call: &AggregateCall, groups: &[u32]) -> Result<Vec<ArrayRef>, RunError> {
        self.save(groups)
    }

    /// [`Accumulator::finish`] for a call that shares what this one keeps.
    fn finish_for(&self, _call: &AggregateCall, order: &[u32]) -> Result<ArrayRef, Failed> {
        self.finish(order)
    }
}

/// The other accumulator as the type that it has.
pub(in crate::operators) fn same<T: Accumulator>(other: &dyn Accumulator) -> Result<&T, RunError> {
    let other: &dyn Any = other;
    other.downcast_ref::<T>().ok_or_else(|| internal("accumulators of different kinds meet"))
}

/// For what was stored and has another form than it was stored in.
pub(in crate::operators) fn damaged() -> RunError {
    RunError::world("R0405", "what an aggregate remembers was stored in another form")
        .help("use the flowc that wrote it, or compute everything again with --full-refresh")
}

/// A column of what was saved.
pub(in crate::operators) fn saved<T: ArrowPrimitiveType>(
    columns: &[ArrayRef],
    index: usize,
) -> Result<&PrimitiveArray<T>, RunError> {
    columns.get(index).and_then(|c| c.as_primitive_opt::<T>()).ok_or_else(damaged)
}

/// A column of binaries of what was saved.
pub(in crate::operators) fn saved_bytes(columns: &[ArrayRef], index: usize) -> Result<&BinaryArray, RunError> {
    columns.get(index).and_then(|c| c.as_binary_opt::<i32>()).ok_or_else(damaged)
}

/// Places in two columns: the higher 64 bits, and the lower ones.
pub(in crate::operators) fn save_places(places: impl Iterator<Item = Option<RowOrder>> + Clone) -> [ArrayRef; 2] {
    [64, 0].map(|shift| {
        let half = |place: Option<RowOrder>| place.map(|place| (place >> shift) as u64);
        Arc::new(places.clone().map(half).collect::<UInt64Array>()) as ArrayRef
    })
}

/// The reverse of [`save_places`].
pub(in crate::operators) fn load_place(high: &UInt64Array, low: &UInt64Array, row: usize) -> RowOrder {
    RowOrder::from(high.value(row)) << 64 | RowOrder::from(low.value(row))
}

/// Makes room for so many groups.
pub(in crate::operators) fn grow<T: Clone + Default>(values: &mut Vec<T>, count: usize) {
    if values.capacity() < count {
        // A quarter more, not twice as much: there may be many millions.
        values.reserve_exact((count - values.len()).max(values.len() / 4).max(16));
    }
    if values.len() < count {
        values.resize(count, T::default());
    }
}

/// The bytes that a vector takes.
pub(in crate::operators) fn room<T>(values: &Vec<T>) -> usize {
    values.capacity() * size_of::<T>()
}

/// The value of a group, which need not have been seen.
pub(in crate::operators) fn of<T: Clone + Default>(values: &[T], group: u32) -> T {
    values.get(group as usize).cloned().unwrap_or_default()
}
