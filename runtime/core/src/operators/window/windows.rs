//! Which windows a moment lies in. Windows that overlap are made of slices: the time between one start or end of a window and the next, so that a row is
//! aggregated once, into its slice. Pure; knows nothing of rows.

use super::cells::{Cell, Cells, DAY};
use crate::error::RunError;
use crate::operators::internal;
use flowc_ir::graph::Window;

/// The time that no start or end of a window divides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::operators) struct Slice {
    /// Its first moment.
    pub(in crate::operators) start: i64,
    /// The first moment after it.
    pub(in crate::operators) end: i64,
    /// The end of the last window that it belongs to; none: it belongs to none.
    pub(in crate::operators) last_end: Option<i64>,
}

/// A window's bounds; ordered by end, then start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::operators) struct Bounds {
    /// The first moment after it.
    pub(in crate::operators) end: i64,
    /// Its first moment.
    pub(in crate::operators) start: i64,
}

/// How time is cut into windows, sessions apart. The later a window begins, the later it ends, or at the same time.
#[derive(Debug, Clone)]
pub(in crate::operators) enum Windows {
    /// One begins with each cell, or each so many cells.
    Hop(Hop),
    /// Of one start for each long cell, ending with each short one in it.
    Cumulate {
        /// The longest windows.
        long: Cells,
        /// The steps between their ends.
        short: Cells,
    },
}

/// Windows of one length.
#[derive(Debug, Clone)]
pub(in crate::operators) struct Hop {
    cells: Cells,
    /// One begins with every so many cells.
    every: i64,
    /// A window ends so many days after its start (where cells are parts of days) …
    days: i64,
    /// … so many cells later …
    whole: i64,
    /// … and so long later, but with that cell at the latest.
    rest: i64,
    /// Whether there is time between one window and the next.
    gaps: bool,
}

impl Hop {
    fn new(size: i64, slide: i64, align: &flowc_ir::graph::Alignment) -> Result<Hop, RunError> {
        let cells = Cells::new(slide, align)?;
        let (days, within) = (size / DAY, size % DAY);
        let gaps = size < slide;
        Ok(match cells {
            Cells::Parts { .. } => Hop { cells, every: 1, days, whole: within / slide, rest: within % slide, gaps },
            Cells::Days { .. } if size % slide != 0 => {
                // Windows end with other days than they begin with: days are the cells.
                let one = Cells::new(DAY, align)?;
                Hop { cells: one, every: slide / DAY, days: 0, whole: days, rest: within, gaps }
            }
            _ => Hop { cells, every: 1, days: 0, whole: size / slide, rest: size % slide, gaps },
        })
    }

    /// The last cell, up to this one, with which a window begins.
    fn first(&self, cell: Cell) -> Cell {
        if self.every == 1 {
            return cell;
        }
        Cell(cell.0 - cell.0.rem_euclid(self.every), 0)
    }

    fn end(&self, first: Cell) -> i64 {
        let last = self.cells.forward(self.cells.days_later(first, self.days), self.whole);
        let start = self.cells.start(last);
        if self.rest == 0 {
            return start;
        }
        start.saturating_add(self.rest).min(self.cells.start(self.cells.forward(last, 1)))
    }

    fn bounds(&self, first: Cell) -> Bounds {
        Bounds { start: self.cells.start(first), end: self.end(first) }
    }

    fn before(&self, first: Cell) -> Option<Cell> {
        Some(self.first(self.cells.back(first)?))
    }
}

/// A moment that has a moment after it.
fn within(at: i64) -> i64 {
    at.min(i64::MAX - 1)
}

impl Windows {
    /// For windows that are no sessions.
    pub(in crate::operators) fn new(window: &Window) -> Result<Windows, RunError> {
        let positive = |duration: i64| match duration > 0 {
            true => Ok(duration),
            false => Err(internal(format!("a window of {duration} microseconds"))),
        };
        Ok(match window {
            Window::Tumble { size, align } => Windows::Hop(Hop::new(positive(*size)?, *size, align)?),
            Window::Hop { size, slide, align } => Windows::Hop(Hop::new(positive(*size)?, *slide, align)?),
            Window::Cumulate { size, step, align } => {
                Windows::Cumulate { long: Cells::new(*size, align)?, short: Cells::new(*step, align)? }
            }
            Window::Session { .. } => return Err(internal("sessions are no windows of the clock")),
        })
    }

    /// Whether each window is one slice.
    pub(super) fn are_slices(&self) -> bool {
        matches!(self, Windows::Hop(hop) if hop.every == 1 && hop.days == 0 && hop.whole == 1 && hop.rest == 0)
    }

    /// Whether there are moments that lie in no window.
    pub(super) fn leave_gaps(&self) -> bool {
        matches!(self, Windows::Hop(hop) if hop.gaps)
    }

    /// Whether a window has the slices of the one before it, and more, where they begin at the same time.
    pub(super) fn accumulate(&self) -> bool {
        matches!(self, Windows::Cumulate { .. })
    }

    /// The slice that a moment lies in.
    pub(super) fn slice(&self, at: i64) -> Slice {
        let at = within(at);
        match self {
            Windows::Hop(hop) => {
                let cell = hop.cells.cell(at);
                let (mut start, mut end) = (hop.cells.start(cell), hop.cells.start(hop.cells.forward(cell, 1)));
                // Windows that do not end with a cell all end so long after its start.
                let divide = start.saturating_add(hop.rest);
                if hop.rest > 0 && divide < end {
                    if at < divide { end = divide } else { start = divide }
                }
                let last_end = Some(hop.end(hop.first(cell))).filter(|last| *last > at);
                Slice { start, end, last_end }
            }
            Windows::Cumulate { long, short } => {
                let (outer, inner) = (long.cell(at), short.cell(at));
                let last = long.start(long.forward(outer, 1));
                let start = short.start(inner).max(long.start(outer));
                let end = short.start(short.forward(inner, 1)).min(last);
                Slice { start, end, last_end: Some(last) }
            }
        }
    }

    /// The first window that contains a slice and comes after others.
    fn first_containing(&self, slice: i64, after: Option<Bounds>) -> Option<(Cell, Bounds)> {
        let at = within(slice);
        let later = |bounds: &Bounds| after.is_none_or(|after| *bounds > after);
        match self {
            Windows::Hop(hop) => {
                let (mut next, mut found) = (Some(hop.first(hop.cells.cell(at))), None);
                while let Some(first) = next {
                    let bounds = hop.bounds(first);
                    if bounds.end <= at || !later(&bounds) {
                        break;
                    }
                    found = Some((first, bounds));
                    next = hop.before(first);
                }
                found
            }
            Windows::Cumulate { long, short } => {
                let from = after.map_or(at, |after| at.max(within(after.end)));
                let window = self.bounds(short.cell(from));
                let contains = long.cell(from) == long.cell(at) && later(&window.1);
                contains.then_some(window)
            }
        }
    }

    /// The window that begins with a cell; of those that accumulate, the one that ends with it.
    fn bounds(&self, cell: Cell) -> (Cell, Bounds) {
        match self {
            Windows::Hop(hop) => (cell, hop.bounds(cell)),
            Windows::Cumulate { long, short } => {
                let outer = long.cell(within(short.start(cell)));
                let last = long.start(long.forward(outer, 1));
                let end = short.start(short.forward(cell, 1)).min(last);
                (cell, Bounds { start: long.start(outer), end })
            }
        }
    }

    fn next(&self, cell: Cell) -> (Cell, Bounds) {
        match self {
            Windows::Hop(hop) => self.bounds(hop.cells.forward(cell, hop.every)),
            Windows::Cumulate { short, .. } => self.bounds(short.forward(cell, 1)),
        }
    }

    /// The windows that contain a slice, come after others and end by a moment, in their order. `slice`: the first slice that begins at a moment or later.
    pub(in crate::operators) fn ending(
        &self,
        slice: impl Fn(i64) -> Option<i64>,
        after: Option<Bounds>,
        until: i64,
    ) -> Vec<Bounds> {
        let (mut found, mut after): (Vec<Bounds>, _) = (vec![], after);
        let mut from = slice(i64::MIN);
        while let Some(at) = from {
            let Some((mut cell, mut bounds)) = self.first_containing(at, after) else {
                from = at.checked_add(1).and_then(&slice);
                continue;
            };
            loop {
                if bounds.end > until {
                    return found;
                }
                from = slice(bounds.start);
                if from.is_none_or(|at| at >= bounds.end) {
                    break;
                }
                found.push(bounds);
                after = Some(bounds);
                (cell, bounds) = self.next(cell);
                // With a day that clocks skip no window ends.
                while bounds.end < i64::MAX && after.is_some_and(|after| bounds <= after) {
                    (cell, bounds) = self.next(cell);
                }
                // At the end of all time there is no further window.
                if after.is_some_and(|after| bounds <= after) {
                    from = at.checked_add(1).and_then(&slice);
                    break;
                }
            }
        }
        found
    }
}

#[cfg(test)]
#[path = "windows_tests.rs"]
mod tests;
