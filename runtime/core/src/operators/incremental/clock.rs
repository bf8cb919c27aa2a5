//! What event time says of windows whose results change: which have come out, and which can no longer be corrected. Pure; knows nothing of rows.
//!
//! Let `W` be the watermark, and `L` for how long behind its end a window is corrected. If rows are only added, a window has come out when `end <= W`, a session when
//! `end < W` (a row at its end still belongs to it). If they change, every window has come out as far as it is. A window is forgotten, and rows of it alone are late,
//! when `end + L < W`.

use crate::error::RunError;
use crate::operators::internal;
use crate::operators::stateful::Stored;
use std::collections::BTreeMap;

/// The watermark up to which results were given out; and the greatest end of a window that was over when everything was.
const LATEST: &str = "latest";
const CLOSED: &str = "closed";

/// See the module.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Clock {
    /// For how long behind its end a window is corrected; none: for ever.
    pub(super) late: Option<i64>,
    /// Whether windows wait for the watermark.
    pub(super) waits: bool,
    /// Whether the windows are sessions.
    pub(super) sessions: bool,
    /// The watermark.
    pub(super) latest: Option<i64>,
    /// Windows that end by then are over, whatever the watermark.
    pub(super) closed: Option<i64>,
    /// Whether everything is over.
    pub(super) over: bool,
}

impl Clock {
    /// Whether a window that ends there has come out.
    pub(super) fn fired(&self, end: i64) -> bool {
        let passed = |watermark: i64| if self.sessions { end < watermark } else { end <= watermark };
        !self.waits || self.over || self.is_closed(end) || self.latest.is_some_and(passed)
    }

    /// Whether a window that ends there is forgotten.
    pub(super) fn released(&self, end: i64) -> bool {
        let passed = |late: i64| self.latest.is_some_and(|watermark| end.saturating_add(late) < watermark);
        self.late.is_some_and(|late| self.over || self.is_closed(end) || passed(late))
    }

    fn is_closed(&self, end: i64) -> bool {
        self.closed.is_some_and(|closed| end <= closed)
    }

    /// The watermark at which, or behind which, something happens to a window that is not forgotten; none: nothing does.
    pub(super) fn due(&self, end: i64) -> Option<i64> {
        if self.fired(end) { self.late.map(|late| end.saturating_add(late)) } else { Some(end) }
    }

    /// When the watermark is here; [`i64::MAX`]: everything is over.
    pub(super) fn at(self, watermark: Option<i64>) -> Clock {
        let over = watermark == Some(i64::MAX);
        Clock { latest: self.latest.max(watermark.filter(|_| !over)), over, ..self }
    }

    /// Behind the epoch in which it was so. `last`: the greatest end of a window.
    pub(super) fn behind(self, last: Option<i64>) -> Clock {
        let closed = if self.over { self.closed.max(last) } else { self.closed };
        Clock { closed, over: false, ..self }
    }

    pub(super) fn note(&self, notes: &mut BTreeMap<String, String>) {
        let times = [(LATEST, self.latest), (CLOSED, self.closed)];
        notes.extend(times.into_iter().filter_map(|(name, time)| Some((name.to_string(), time?.to_string()))));
    }

    pub(super) fn noted(self, stored: &Stored) -> Result<Clock, RunError> {
        let time = |name: &str| stored.notes.get(name).map(|time| time.parse::<i64>()).transpose();
        let damaged = |_| internal("a time was noted that is no number");
        Ok(Clock { latest: time(LATEST).map_err(damaged)?, closed: time(CLOSED).map_err(damaged)?, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_come_out_at_their_end_and_are_forgotten_behind_it() {
        let windows = Clock { late: Some(5), waits: true, ..Clock::default() };
        let at =
            |clock: Clock, watermark| (clock.at(Some(watermark)).fired(10), clock.at(Some(watermark)).released(10));
        assert_eq!(
            [9, 10, 15, 16].map(|w| at(windows, w)),
            [(false, false), (true, false), (true, false), (true, true)]
        );
        let sessions = Clock { sessions: true, ..windows };
        assert_eq!([10, 11].map(|w| at(sessions, w)), [(false, false), (true, false)]);
        let changing = Clock { waits: false, late: None, ..windows };
        assert_eq!([9, i64::MAX].map(|w| at(changing, w)), [(true, false), (true, false)]);
        assert_eq!((windows.due(10), windows.at(Some(12)).due(10), changing.due(10)), (Some(10), Some(15), None));
        // When everything is over, so are its windows, wherever the watermark is afterwards.
        let over = windows.at(Some(3)).at(Some(i64::MAX));
        assert!(over.fired(1000) && over.released(1000));
        let behind = over.behind(Some(40));
        assert_eq!((behind.released(40), behind.fired(41), behind.latest), (true, false, Some(3)));
    }
}
