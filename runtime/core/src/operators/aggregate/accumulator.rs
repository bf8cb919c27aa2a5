//! What all accumulators have in common: rows with their groups come in, a column with a value for each group comes out.

use crate::batch::RowOrder;
use crate::error::RunError;
use crate::operators::internal;
use arrow::array::{Array, ArrayRef, BooleanArray};
use flowc_ir::eval::Failure;
use std::any::Any;
use std::fmt;

/// The places of rows in the input.
#[derive(Debug, Clone)]
pub(super) enum Places {
    /// The first row's; each other row's is one more than that of the row before it.
    From(RowOrder),
    /// Each row's.
    Each(Vec<RowOrder>),
}

impl Places {
    pub(super) fn of(&self, row: usize) -> RowOrder {
        match self {
            Places::From(first) => first + row as RowOrder,
            Places::Each(places) => places[row],
        }
    }
}

/// Rows with the group of each.
#[derive(Debug)]
pub(super) struct Rows<'a> {
    /// The group of each row.
    pub(super) groups: &'a [u32],
    /// Which rows are let in.
    pub(super) filter: Option<&'a BooleanArray>,
    /// The operands.
    pub(super) args: &'a [ArrayRef],
    /// The place of each row in the input.
    pub(super) places: &'a Places,
    /// The number of groups so far.
    pub(super) count: usize,
}

impl Rows<'_> {
    /// Rows that are let in, with their groups.
    pub(super) fn admitted(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let passes = |row: usize| self.filter.is_none_or(|f| f.is_valid(row) && f.value(row));
        self.groups.iter().enumerate().filter(move |(row, _)| passes(*row)).map(|(row, group)| (row, *group as usize))
    }

    /// Rows that are let in and where this array is not null.
    pub(super) fn valid<'b>(&'b self, array: &'b dyn Array) -> impl Iterator<Item = (usize, usize)> + 'b {
        let nulls = array.nulls().filter(|n| n.null_count() > 0);
        self.admitted().filter(move |(row, _)| nulls.is_none_or(|n| n.is_valid(*row)))
    }
}

/// Why a group has no result: the group, and what happened.
#[derive(Debug)]
pub(super) enum Failed {
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
pub(super) trait Accumulator: Send + fmt::Debug {
    /// Takes rows.
    fn update(&mut self, rows: &Rows<'_>) -> Result<(), RunError>;

    /// Takes what another accumulator of this kind has; `groups` has the number here of each group there, `count` the number of groups here.
    fn merge(&mut self, other: Box<dyn Accumulator>, groups: &[u32], count: usize) -> Result<(), RunError>;

    /// The bytes that it takes, about.
    fn bytes(&self) -> usize;

    /// Whether what it keeps of a group grows with the group's rows. Its [`Accumulator::finish`] is then called once, for all groups.
    fn grows(&self) -> bool {
        false
    }

    /// A value for each of these groups.
    fn finish(&mut self, order: &[u32]) -> Result<ArrayRef, Failed>;

    /// For [`same`].
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

/// The other accumulator as the type that it has.
pub(super) fn same<T: Accumulator + 'static>(other: Box<dyn Accumulator>) -> Result<T, RunError> {
    let other = other.into_any().downcast::<T>();
    other.map(|other| *other).map_err(|_| internal("accumulators of different kinds meet"))
}

/// Makes room for so many groups.
pub(super) fn grow<T: Clone + Default>(values: &mut Vec<T>, count: usize) {
    if values.capacity() < count {
        // A quarter more, not twice as much: there may be many millions.
        values.reserve_exact((count - values.len()).max(values.len() / 4).max(16));
    }
    if values.len() < count {
        values.resize(count, T::default());
    }
}

/// The bytes that a vector takes.
pub(super) fn room<T>(values: &Vec<T>) -> usize {
    values.capacity() * size_of::<T>()
}

/// The value of a group, which need not have been seen.
pub(super) fn of<T: Clone + Default>(values: &[T], group: u32) -> T {
    values.get(group as usize).cloned().unwrap_or_default()
}
