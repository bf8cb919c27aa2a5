//! When sessions end: those that end at about the same time stand together, so that few are looked at when the watermark moves, and none moves when it is
//! prolonged. Knows nothing of what sessions are.

use std::collections::BTreeMap;

/// Into how many parts the gap is divided.
const PARTS: i64 = 64;

/// Sessions by when they end, or ended before they were prolonged.
#[derive(Debug)]
pub(super) struct Ends {
    /// How far apart ends that stand together can be.
    width: i64,
    sessions: BTreeMap<i64, Vec<u32>>,
    count: usize,
}

impl Ends {
    pub(super) fn new(gap: i64) -> Ends {
        Ends { width: (gap / PARTS).max(1), sessions: BTreeMap::new(), count: 0 }
    }

    /// The bytes that it takes, about.
    pub(super) fn bytes(&self) -> usize {
        self.count * size_of::<u32>() * 3 / 2 + self.sessions.len() * size_of::<(i64, Vec<u32>)>() * 3 / 2
    }

    /// Adds a session, once.
    pub(super) fn add(&mut self, end: i64, session: u32) {
        self.count += 1;
        self.sessions.entry(end.div_euclid(self.width)).or_default().push(session);
    }

    /// Takes out the sessions that end by then. `end`: when a session ends now; none: it is no longer needed.
    pub(super) fn take(&mut self, until: i64, end: impl Fn(u32) -> Option<i64>) -> Vec<(i64, u32)> {
        let (mut taken, mut later) = (vec![], vec![]);
        while let Some(first) = self.sessions.first_entry().filter(|first| *first.key() <= until.div_euclid(self.width))
        {
            for session in first.remove() {
                self.count -= 1;
                match end(session) {
                    None => {}
                    Some(end) if end <= until => taken.push((end, session)),
                    Some(end) => later.push((end, session)),
                }
            }
        }
        later.into_iter().for_each(|(end, session)| self.add(end, session));
        taken
    }

    /// When the first session ends.
    pub(super) fn first(&mut self, end: impl Fn(u32) -> Option<i64>) -> Option<i64> {
        loop {
            let first = self.sessions.first_entry()?;
            let (number, sessions) = (*first.key(), first.remove());
            self.count -= sessions.len();
            let mut earliest: Option<i64> = None;
            for session in sessions {
                let Some(end) = end(session) else { continue };
                self.add(end, session);
                if end.div_euclid(self.width) == number {
                    earliest = Some(earliest.map_or(end, |earliest| earliest.min(end)));
                }
            }
            if earliest.is_some() {
                return earliest;
            }
        }
    }
}
