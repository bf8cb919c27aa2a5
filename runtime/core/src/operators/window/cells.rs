//! Event time cut into cells one after the other: of one length, or days of a time zone's calendar, or parts of those days. Pure; knows nothing of rows.

use crate::error::RunError;
use crate::operators::internal;
use flowc_ir::graph::Alignment;
use flowc_ir::zone::Zone;

/// Microseconds of a day that has 24 hours.
pub(super) const DAY: i64 = 86_400_000_000;

/// A cell: its number, or the number of its day (since 1970-01-01 in the zone) and its number in the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cell(pub(super) i64, pub(super) i64);

/// Cells that cover all of time. A cell contains its start and not its end; times beyond 64 bits are cut off.
#[derive(Debug, Clone)]
pub(in crate::operators) enum Cells {
    /// Of one length.
    Even {
        /// Their length.
        step: i64,
        /// Where one of them begins.
        offset: i64,
    },
    /// So many days of a calendar each.
    Days {
        /// The calendar.
        calendar: Calendar,
        /// How many.
        days: i64,
        /// The number of a day that begins a cell.
        first: i64,
    },
    /// Parts of the days of a calendar, counted from each day's beginning; the last one of a day ends with it.
    Parts {
        /// The calendar.
        calendar: Calendar,
        /// Their length.
        step: i64,
    },
}

/// The days of a time zone.
#[derive(Debug, Clone)]
pub(in crate::operators) struct Calendar {
    zone: Zone,
    /// How long after midnight a day begins, by the clock: less than a day.
    begins: i64,
}

fn clamped(micros: i128) -> i64 {
    micros.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}

impl Calendar {
    /// When a day begins. Beyond the years that the zone knows, it is at Greenwich.
    pub(super) fn start(&self, day: i64) -> i64 {
        let local = clamped(i128::from(day) * i128::from(DAY) + i128::from(self.begins));
        self.zone.to_utc(local).unwrap_or(local)
    }

    /// The day that a moment lies in.
    fn day(&self, at: i64) -> i64 {
        let local = self.zone.to_local(at).unwrap_or(at);
        let mut day = local.saturating_sub(self.begins).div_euclid(DAY);
        while at < self.start(day) {
            day -= 1;
        }
        // The last day of all has no end.
        while self.start(day + 1) <= at && self.start(day + 1) < i64::MAX {
            day += 1;
        }
        day
    }

    /// How long a day is.
    fn length(&self, day: i64) -> i64 {
        self.start(day + 1).saturating_sub(self.start(day))
    }
}

impl Cells {
    /// Cells of this length, which is not 0.
    pub(super) fn new(step: i64, align: &Alignment) -> Result<Cells, RunError> {
        if step <= 0 {
            return Err(internal(format!("windows of {step} microseconds")));
        }
        let Some(name) = &align.zone else {
            return Ok(Cells::Even { step, offset: align.offset.rem_euclid(step) });
        };
        let zone = Zone::find(name).ok_or_else(|| internal(format!("the time zone `{name}` is not known")))?;
        let calendar = Calendar { zone, begins: align.offset.rem_euclid(DAY) };
        if step < DAY {
            return Ok(Cells::Parts { calendar, step });
        }
        if step % DAY != 0 {
            return Err(internal(format!("windows of a time zone begin every {step} microseconds: no whole days")));
        }
        Ok(Cells::Days { calendar, days: step / DAY, first: align.offset.div_euclid(DAY) })
    }

    /// The cell that a moment lies in.
    pub(super) fn cell(&self, at: i64) -> Cell {
        match self {
            Cells::Even { step, offset } => match at.checked_sub(*offset) {
                Some(since) => Cell(since.div_euclid(*step), 0),
                None => {
                    let since = i128::from(at) - i128::from(*offset);
                    Cell(clamped(since.div_euclid(i128::from(*step))), 0)
                }
            },
            Cells::Days { calendar, days, first } => Cell((calendar.day(at) - first).div_euclid(*days), 0),
            Cells::Parts { calendar, step } => {
                let day = calendar.day(at);
                Cell(day, at.saturating_sub(calendar.start(day)) / step)
            }
        }
    }

    /// When a cell begins.
    pub(super) fn start(&self, cell: Cell) -> i64 {
        match self {
            Cells::Even { step, offset } => clamped(i128::from(cell.0) * i128::from(*step) + i128::from(*offset)),
            Cells::Days { calendar, days, first } => {
                calendar.start(cell.0.saturating_mul(*days).saturating_add(*first))
            }
            Cells::Parts { calendar, step } => calendar.start(cell.0).saturating_add(cell.1 * step),
        }
    }

    /// How many cells a day has; of cells of days or of one length there is one.
    fn count(&self, day: i64) -> i64 {
        match self {
            // Where clocks skip a day, it has none.
            Cells::Parts { calendar, step } => (calendar.length(day) + step - 1) / step,
            _ => 1,
        }
    }

    /// The cell after so many others.
    pub(super) fn forward(&self, cell: Cell, mut by: i64) -> Cell {
        let Cells::Parts { .. } = self else { return Cell(cell.0.saturating_add(by), 0) };
        let Cell(mut day, mut part) = cell;
        loop {
            let left = self.count(day) - part;
            if by < left || day > i64::MAX / DAY {
                return Cell(day, part + by);
            }
            by -= left;
            (day, part) = (day + 1, 0);
        }
    }

    /// The cell before; none: there is no time before.
    pub(super) fn back(&self, cell: Cell) -> Option<Cell> {
        if self.start(cell) == i64::MIN {
            return None;
        }
        let Cells::Parts { .. } = self else { return Some(Cell(cell.0 - 1, 0)) };
        let Cell(mut day, part) = cell;
        if part > 0 {
            return Some(Cell(day, part - 1));
        }
        loop {
            day -= 1;
            let count = self.count(day);
            if count > 0 {
                return Some(Cell(day, count - 1));
            }
        }
    }

    /// The cell that begins where a cell would so many days later; the next day's first where that day is too short.
    pub(super) fn days_later(&self, cell: Cell, days: i64) -> Cell {
        match self {
            Cells::Parts { .. } if days > 0 => {
                let day = cell.0.saturating_add(days);
                if cell.1 < self.count(day) { Cell(day, cell.1) } else { Cell(day + 1, 0) }
            }
            _ => cell,
        }
    }
}
