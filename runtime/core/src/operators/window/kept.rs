//! What is remembered, of windows or of sessions, behind one face. Knows nothing of workers or memory.

use super::closing::{Closing as Ending, Pace};
use super::open::{Open, Table};
use super::parts::Parts;
use super::running::Running;
use super::sessions::{self, Sessions};
use super::values::{Arrived, Shape};
use super::windows::Windows;
use crate::error::RunError;
use crate::operators::stateful::{Before, Changes, Extent};
use crate::operators::threads::at_once;
use crate::operators::{Fault, internal};
use arrow::record_batch::RecordBatch;
use flowc_ir::graph::Window;

/// How time is cut.
#[derive(Debug)]
pub(super) enum Kind {
    /// By the clock.
    Windows(Windows),
    /// Where no row comes for longer than this.
    Sessions(i64),
}

impl Kind {
    pub(super) fn new(window: &Window) -> Result<Kind, RunError> {
        Ok(match window {
            Window::Session { gap } if *gap > 0 => Kind::Sessions(*gap),
            Window::Session { gap } => return Err(internal(format!("sessions with a gap of {gap} microseconds"))),
            window => Kind::Windows(Windows::new(window)?),
        })
    }

    /// What ends by the moment that comes back is over when the watermark gets here. A window does not contain its end, but a row at the end of a session belongs to
    /// it: that row is on time until the watermark is past it, so the session is open until then. Otherwise it would depend on where an epoch ends whether the row
    /// prolongs the session.
    pub(super) fn over(&self, watermark: i64) -> i64 {
        match self {
            Kind::Sessions(_) if watermark < i64::MAX => watermark.saturating_sub(1),
            // At the end of all time everything is over.
            _ => watermark,
        }
    }
}

/// What a worker has.
#[derive(Debug)]
pub(super) enum Gathered {
    Windows(Table),
    Sessions(Parts),
}

impl Gathered {
    pub(super) fn new(shape: &Shape, kind: &Kind) -> Result<Gathered, RunError> {
        Ok(match kind {
            Kind::Windows(_) => Gathered::Windows(Table::new(shape)?),
            Kind::Sessions(_) => Gathered::Sessions(Parts::new(shape)?),
        })
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Gathered::Windows(table) => table.bytes(),
            Gathered::Sessions(parts) => parts.bytes(),
        }
    }

    pub(super) fn absorb(&mut self, shape: &Shape, kind: &Kind, rows: &Arrived) -> Result<(), RunError> {
        match (self, kind) {
            (Gathered::Windows(table), Kind::Windows(windows)) => table.absorb(shape, windows, rows),
            (Gathered::Sessions(parts), Kind::Sessions(gap)) => parts.absorb(shape, *gap, rows),
            _ => Err(mixed()),
        }
    }
}

/// What is remembered.
#[derive(Debug)]
pub(super) enum Kept {
    Windows(Open),
    Sessions(Sessions),
}

/// What is being given out.
#[derive(Debug)]
pub(super) enum Closing {
    Windows(Ending),
    Running(Box<Running>),
    Sessions(sessions::Closing),
}

fn mixed() -> RunError {
    internal("windows and sessions meet")
}

/// What workers have found, by slices.
fn found(gathered: Vec<Gathered>) -> Result<Vec<Open>, RunError> {
    let open = |gathered: Gathered| match gathered {
        Gathered::Windows(table) => Ok(Open::found(table)),
        Gathered::Sessions(_) => Err(mixed()),
    };
    at_once(gathered, open).into_iter().collect()
}

impl Kept {
    /// Nothing.
    pub(super) fn new(shape: &Shape, kind: &Kind) -> Result<Kept, RunError> {
        Ok(match kind {
            Kind::Windows(_) => Kept::Windows(Open::new(shape)?),
            Kind::Sessions(gap) => Kept::Sessions(Sessions::new(shape, *gap)?),
        })
    }

    /// What the last epoch left.
    pub(super) fn restore(shape: &Shape, kind: &Kind, before: Before) -> Result<Kept, RunError> {
        Ok(match (before.read()?, kind) {
            (Before::Nothing | Before::Unread(_), _) => Kept::new(shape, kind)?,
            (Before::Memory(memory), _) => {
                *memory.downcast::<Kept>().map_err(|_| internal("windows got what another step remembers"))?
            }
            (Before::Stored(stored), Kind::Windows(windows)) => Kept::Windows(Open::restore(shape, windows, &stored)?),
            (Before::Stored(stored), Kind::Sessions(gap)) => Kept::Sessions(Sessions::restore(shape, *gap, &stored)?),
        })
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Kept::Windows(open) => open.bytes(),
            Kept::Sessions(sessions) => sessions.bytes(),
        }
    }

    /// How many groups are needed.
    pub(super) fn live(&self) -> usize {
        match self {
            Kept::Windows(open) => open.live,
            Kept::Sessions(sessions) => sessions.live,
        }
    }

    /// Windows that end by then have been given out.
    pub(super) fn closed(&self) -> Option<i64> {
        match self {
            Kept::Windows(open) => open.closed,
            Kept::Sessions(sessions) => sessions.closed,
        }
    }

    /// Takes what workers have.
    pub(super) fn merge(&mut self, shape: &Shape, kind: &Kind, gathered: Vec<Gathered>) -> Result<(), RunError> {
        match (self, kind) {
            (Kept::Windows(open), Kind::Windows(windows)) => {
                found(gathered)?.into_iter().try_for_each(|found| open.merge(windows, found))
            }
            (Kept::Sessions(sessions), Kind::Sessions(gap)) => gathered.into_iter().try_for_each(|gathered| {
                let Gathered::Sessions(parts) = gathered else { return Err(mixed()) };
                sessions.merge(shape, *gap, parts)
            }),
            _ => Err(mixed()),
        }
    }

    /// What closes when the watermark gets here; it counts as given out. What workers have is taken before, or when it has been given out.
    pub(super) fn close(
        &mut self,
        shape: &Shape,
        kind: &Kind,
        watermark: i64,
        gathered: Vec<Gathered>,
    ) -> Result<Closing, RunError> {
        let until = kind.over(watermark);
        match (self, kind) {
            (Kept::Windows(open), Kind::Windows(windows)) if !windows.accumulate() => {
                let found = found(gathered)?;
                Ok(Closing::Windows(Ending::new(open.close(windows, until, &found), found)))
            }
            (kept, _) => {
                kept.merge(shape, kind, gathered)?;
                match (kept, kind) {
                    (Kept::Windows(open), Kind::Windows(windows)) => {
                        Ok(Closing::Running(Box::new(Running::new(open.close(windows, until, &[])))))
                    }
                    (Kept::Sessions(sessions), Kind::Sessions(gap)) => {
                        Ok(Closing::Sessions(sessions::Closing::new(sessions.close(*gap, until))))
                    }
                    _ => Err(mixed()),
                }
            }
        }
    }

    /// The next rows of what closes; none: that was all.
    pub(super) fn next(&self, shape: &Shape, closing: &mut Closing, pace: Pace) -> Result<Option<RecordBatch>, Fault> {
        match (self, closing) {
            (Kept::Windows(open), Closing::Windows(closing)) => closing.next(shape, open, pace),
            (Kept::Windows(open), Closing::Running(closing)) => closing.next(shape, open, pace.rows),
            (Kept::Sessions(sessions), Closing::Sessions(closing)) => sessions.next(shape, closing, pace.rows),
            _ => Err(mixed().into()),
        }
    }

    /// Forgets what has been given out, and takes what stays of what workers have.
    pub(super) fn settle(&mut self, shape: &Shape, kind: &Kind, closing: &mut Closing) -> Result<(), RunError> {
        match (self, kind) {
            (Kept::Windows(open), Kind::Windows(windows)) => {
                open.forget(shape, windows)?;
                let Closing::Windows(closing) = closing else { return Ok(()) };
                closing.take_found().into_iter().try_for_each(|found| open.merge(windows, found))
            }
            (Kept::Sessions(sessions), Kind::Sessions(gap)) => sessions.forget(shape, *gap),
            _ => Err(mixed()),
        }
    }

    /// See [`crate::operators::stateful::Stateful::changes`].
    pub(super) fn changes(&mut self, shape: &Shape, extent: Extent) -> Result<Changes, RunError> {
        match self {
            Kept::Windows(open) => open.changes(shape, extent),
            Kept::Sessions(sessions) => sessions.changes(shape, extent),
        }
    }

    /// How many windows are open, and where the first and the last of them end.
    pub(super) fn open(&mut self, kind: &Kind) -> (u64, Option<i64>, Option<i64>) {
        match (self, kind) {
            (Kept::Windows(open), Kind::Windows(windows)) => open.open(windows),
            (Kept::Sessions(sessions), Kind::Sessions(gap)) => sessions.open(*gap),
            _ => (0, None, None),
        }
    }
}
